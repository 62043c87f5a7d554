package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import lib.cli.Console;
import lib.django.Migrator;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;

/**
 * Runs the new migrations into an empty database, and drops that again, before tables are set aside in batches or
 * dropped: what is left in the live database may hide that the new migrations need it.
 */
record Trial(Database db, DatabaseSnapshot snapshot, String name) {
    private static final String TRIAL = "trial";

    static Trial of(Database db, DatabaseSnapshot snapshot, String runId) {
        return new Trial(db, snapshot, RunId.named(snapshot.name(), TRIAL, runId));
    }

    /** Whether a strategy builds in place of the old tables, so that a failure comes when these are gone. */
    static boolean isFor(Strategy strategy) {
        return strategy instanceof DropTables || strategy instanceof ParkTables park && !park.inTransaction();
    }

    /** Why this role cannot do it, a line each; empty when nothing is known against it. */
    List<String> obstacles() {
        var role = "role " + snapshot.role().name();
        if (!snapshot.role().superuser() && !snapshot.role().createdb())
            return List.of(role + " may not create databases");
        var found = new ArrayList<>(SwapDatabase.uncreatableExtensions(db));
        db.maintenance().ifPresentOrElse(Database::close,
                () -> found.add(role + " cannot connect to any other database of the server"));
        return found;
    }

    Step step(Migrator migrator, Console console) {
        return Step.of("run every migration in a new, empty database, and drop it again", () -> {
            if (isCreated(console)) migrator.migrateInto(name);
            sweep(db);
        }, () -> sweep(db));
    }

    private boolean isCreated(Console console) {
        sweep(db);
        try (var maintenance = db.requireMaintenance()) {
            new DatabaseCopy(db, snapshot.schema().name(), name).createForTrial(maintenance);
            return true;
        } catch (Failure e) {
            if (!(e.problem() instanceof DatabaseCopy.Differs why)) throw e;
            console.warn("the new migrations are not tried on an empty database first: "
                    + String.join("; ", why.differences()));
            return false;
        }
    }

    /** Drops the databases of trials, also those of runs that were killed. Under the lock there is no other run. */
    static void sweep(Database db) {
        var live = db.name();
        for (var name : db.texts("SELECT datname FROM pg_database WHERE datname LIKE '%\\_trial\\_%' ORDER BY 1")) {
            var id = Pattern.compile("_trial_(\\d{8})_(\\d{6})_([0-9a-f]{4})$").matcher(name);
            if (!id.find()) continue;
            var run = "%s-%s-%s".formatted(id.group(1), id.group(2), id.group(3));
            if (!name.equals(RunId.named(live, TRIAL, run))) continue; // another database's
            try (var maintenance = db.requireMaintenance()) {
                var oid = maintenance.oidOf(name);
                if (oid.isPresent()) PreviousDatabase.drop(maintenance, name, oid.get());
            }
        }
    }
}
