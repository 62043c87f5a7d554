package lib.reset;

import java.util.ArrayList;
import java.util.List;
import lib.django.Migrator;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Fingerprint;
import lib.postgres.Grants;
import lib.postgres.Sessions;

/**
 * The new state is built in a scratch database, which then takes the live database's name.
 *
 * @param db       the live database
 * @param warnings filled by the migrate step
 */
record SwapDatabase(Database db, DatabaseSnapshot snapshot, boolean terminate, String reason,
        PreviousDatabase previous, List<String> warnings) implements Strategy {

    static SwapDatabase plan(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate, String reason) {
        return new SwapDatabase(db, snapshot, terminate, reason, PreviousDatabase.of(runId, snapshot),
                new ArrayList<>());
    }

    /** Why this role cannot swap this database, a line each; empty when nothing is known against it. */
    static List<String> obstacles(Database db, DatabaseSnapshot snapshot) {
        var role = "role " + snapshot.role().name();
        var found = new ArrayList<String>();
        if (!snapshot.role().superuser() && !snapshot.role().createdb()) found.add(role + " may not create databases");
        if (!snapshot.role().ownsDatabase())
            found.add("%s does not own the database (its owner is %s)".formatted(role, snapshot.owner()));
        if (!found.isEmpty()) return found;
        found.addAll(Fingerprint.of(db, snapshot.schema().name()).notCopyable());
        found.addAll(ScratchDatabase.obstacles(db, snapshot));
        found.addAll(db.texts("""
                SELECT format('the database has settings of its own for role %s', setrole::regrole)
                FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
                WHERE datname = current_database() AND setrole <> 0 AND setrole <> quote_ident(current_user)::regrole
                  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                ORDER BY 1"""));
        return found;
    }

    @Override public String name() { return "swap"; }
    @Override public List<String> inTheWay() { return Sessions.othersIn(db, snapshot.oid()); }

    @Override public SwapDatabase terminating() {
        return new SwapDatabase(db, snapshot, true, reason, previous, warnings);
    }

    /** @throws lib.error.Failure (from run) {@link DatabaseCopy.Differs}: park instead; its undo drops the copy */
    Step createScratch() {
        var what = "create database %s with the properties of %s, empty".formatted(previous.scratch(), previous.live());
        return Step.of(what, () -> {
            try (var maintenance = db.requireMaintenance()) {
                new DatabaseCopy(db, snapshot.schema().name(), previous.scratch()).create(maintenance);
            }
        }, () -> previous.dropScratch(db));
    }

    /** Migrates the new database and grants again, by name, what was granted on the old tables. */
    Step migrate(Migrator migrator) {
        return Step.of("run every migration in " + previous.scratch(), () -> {
            warnings.addAll(ScratchDatabase.migrated(migrator, previous.scratch()));
            Checkpoint.reached("migrated, and nothing granted yet");
            var schema = snapshot.schema().name();
            try (var scratch = db.sibling(previous.scratch())) {
                warnings.addAll(Grants.in(db, schema).regrant(scratch, schema));
            }
        });
    }

    ScratchDatabase scratch() {
        return new ScratchDatabase(db, snapshot, previous.run());
    }

    Step swap() { return previous.swap(db, terminate); }
}
