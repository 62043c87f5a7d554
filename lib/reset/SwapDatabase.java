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
        found.addAll(uncreatableExtensions(db));
        found.addAll(db.texts("""
                SELECT format('extension %s belongs to %s', extname, extowner::regrole)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT pg_has_role(extowner, 'MEMBER')
                UNION ALL
                SELECT format('the database has settings of its own for role %s', setrole::regrole)
                FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
                WHERE datname = current_database() AND setrole <> 0 AND setrole <> quote_ident(current_user)::regrole
                  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                ORDER BY 1"""));
        if (!found.isEmpty()) return found;
        db.maintenance().ifPresentOrElse(Database::close,
                () -> found.add(role + " cannot connect to any other database of the server"));
        return found;
    }

    /** The live database's extensions that our role cannot create in another one, a line each. */
    static List<String> uncreatableExtensions(Database db) {
        return db.texts("""
                SELECT format('extension %s %s cannot be created again by role %s', extname, extversion, current_user)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT EXISTS (
                    SELECT FROM pg_available_extension_versions v
                    WHERE v.name = extname AND v.version = extversion
                      AND (NOT v.superuser OR v.trusted
                           OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
                ORDER BY 1""");
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
            migrator.migrateInto(previous.scratch());
            Checkpoint.reached("migrated, and nothing granted yet");
            var schema = snapshot.schema().name();
            try (var scratch = db.sibling(previous.scratch())) {
                warnings.addAll(Grants.in(db, schema).regrant(scratch, schema));
            }
        });
    }

    /**
     * Runs the old migrations into a database of its own, and drops that again.
     *
     * @throws lib.error.Failure when the old migrations do not run
     */
    List<Migrator.MadeRows> rowsOfOldMigrations(Migrator migrator) {
        try {
            try (var maintenance = db.requireMaintenance()) {
                new DatabaseCopy(db, snapshot.schema().name(), previous.oldScratch()).create(maintenance);
            }
            return migrator.migrateOldInto(previous.oldScratch());
        } finally {
            previous.dropOldScratch(db);
        }
    }

    Step swap() { return previous.swap(db, terminate); }
}
