package lib.reset;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import lib.django.Migrator;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;

/**
 * An empty database beside the live one, where a run tries the new migrations before it touches anything, and from
 * where it counts the rows that the old ones make. A swap makes it the live one; park and drop drop it again.
 */
record ScratchDatabase(Database db, DatabaseSnapshot snapshot, String run) {

    /** Why the new migrations cannot run in such a database, or have their extensions there; a line each. */
    static List<String> obstacles(Database db, DatabaseSnapshot snapshot) {
        var role = "role " + snapshot.role().name();
        if (!snapshot.role().superuser() && !snapshot.role().createdb())
            return List.of(role + " may not create databases");
        var found = new ArrayList<>(db.texts("""
                SELECT format('extension %s %s cannot be created again by role %s', extname, extversion, current_user)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT EXISTS (
                    SELECT FROM pg_available_extension_versions v
                    WHERE v.name = extname AND v.version = extversion
                      AND (NOT v.superuser OR v.trusted
                           OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
                UNION ALL
                SELECT format('extension %s belongs to %s', extname, extowner::regrole)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT pg_has_role(extowner, 'MEMBER')
                ORDER BY 1"""));
        if (found.isEmpty()) db.maintenance().ifPresentOrElse(Database::close,
                () -> found.add(role + " cannot connect to any other database of the server"));
        return found;
    }

    String name() {
        return names().getFirst();
    }

    private List<String> names() {
        return RunId.scratchDatabases(snapshot.name(), run);
    }

    /** For park and drop: not like the live one in everything, but migrations run in it as they would there. */
    Step create() {
        return Step.of("create database %s, empty, to try the new migrations in".formatted(name()), () -> {
            try (var maintenance = db.requireMaintenance()) {
                copy(name()).createForMigrations(maintenance);
            }
        }, this::drop);
    }

    /** @param warnings the step adds to them */
    Step migrate(Migrator migrator, List<String> warnings) {
        return Step.of("run every migration in " + name(), () -> warnings.addAll(migrated(migrator, name())));
    }

    /** @return warnings about what the new migrations lack */
    static List<String> migrated(Migrator migrator, String database) {
        return migrator.migrateInto(database).stream().map(extension -> ("the new tables need the extension %s, and no "
                + "migration creates it: add CreateExtension(\"%1$s\") to a migration, or every other new database, "
                + "also that of the tests, needs it before migrate").formatted(extension)).toList();
    }

    /** Nothing of the user's is in it. */
    Step dropAgain() {
        return Step.of("drop database " + name(), this::drop);
    }

    private void drop() {
        dropAll(db, names());
    }

    private DatabaseCopy copy(String name) {
        return new DatabaseCopy(db, snapshot.schema().name(), name);
    }

    /**
     * Runs the old migrations into a database of its own, and drops that again.
     *
     * @param limit after which they are stopped; null without one
     * @return empty when they were stopped
     * @throws lib.error.Failure when the old migrations do not run
     */
    Optional<List<Migrator.MadeRows>> rowsOfOldMigrations(Migrator migrator, Duration limit) {
        var name = names().getLast();
        try {
            try (var maintenance = db.requireMaintenance()) {
                copy(name).createForMigrations(maintenance);
            }
            return migrator.migrateOldInto(name, limit);
        } finally {
            dropAll(db, List.of(name));
        }
    }

    /** What a killed run has left of them, except where its previous state names them itself. */
    static List<String> left(Database db, Run run) {
        if (run.previous() instanceof PreviousDatabase) return List.of();
        return RunId.scratchDatabases(db.name(), run.id()).stream().filter(name -> db.oidOf(name).isPresent()).toList();
    }

    /** @param left what {@link #left} has found */
    static Step drop(Database db, List<String> left) {
        return Step.of("drop database " + String.join(", ", left), () -> dropAll(db, left));
    }

    /** Their names have a run's id, so no other program has created them. */
    private static void dropAll(Database db, List<String> names) {
        try (var maintenance = db.requireMaintenance()) {
            for (var name : names)
                maintenance.oidOf(name).ifPresent(found -> PreviousDatabase.drop(maintenance, name, found));
        }
    }
}
