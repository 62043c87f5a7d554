package lib.reset;

import java.util.ArrayList;
import java.util.List;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Fingerprint;
import lib.postgres.Grants;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/** The new state is built in a scratch database, which then takes the live database's name. */
public final class SwapDatabase implements Strategy {
    final Database live;
    final DatabaseSnapshot snapshot;
    final boolean terminate;
    private final String reason;
    private final PreviousDatabase previous;
    private final List<String> warnings = new ArrayList<>();

    SwapDatabase(Database live, DatabaseSnapshot snapshot, String runId, boolean terminate, String reason) {
        this.live = live;
        this.snapshot = snapshot;
        this.terminate = terminate;
        this.reason = reason;
        previous = PreviousDatabase.of(runId, snapshot);
    }

    /** Why this role cannot swap this database, a line each; empty when nothing is known against it. */
    static List<String> obstacles(Database db, DatabaseSnapshot snapshot) {
        var found = new ArrayList<String>();
        if (!snapshot.role().superuser() && !snapshot.role().createdb())
            found.add("role %s may not create databases".formatted(snapshot.role().name()));
        if (!snapshot.role().ownsDatabase())
            found.add("role %s does not own the database (its owner is %s)"
                    .formatted(snapshot.role().name(), snapshot.owner()));
        if (!found.isEmpty()) return found;
        found.addAll(Fingerprint.of(db, snapshot.schema().name()).notCopyable());
        found.addAll(db.texts("""
                SELECT format('extension %s %s cannot be created again by role %s', extname, extversion, current_user)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT EXISTS (
                    SELECT FROM pg_available_extension_versions v
                    WHERE v.name = extname AND v.version = extversion
                      AND (NOT v.superuser OR v.trusted
                           OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
                UNION ALL
                SELECT format('extension %s belongs to %s', extname, extowner::regrole)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT pg_has_role(extowner, 'MEMBER')
                UNION ALL
                SELECT format('the database has settings of its own for role %s', setrole::regrole)
                FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
                WHERE datname = current_database() AND setrole <> 0 AND setrole <> quote_ident(current_user)::regrole
                  AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                ORDER BY 1"""));
        if (!found.isEmpty()) return found;
        db.maintenance()
                .ifPresentOrElse(Database::close,
                () -> found.add("no other database of the server lets role %s in".formatted(snapshot.role().name())));
        return found;
    }

    public String name() {
        return "swap";
    }

    public String reason() {
        return reason;
    }

    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    public List<String> inTheWay() {
        return Sessions.othersIn(live, snapshot.oid());
    }

    public SwapDatabase terminating() {
        return new SwapDatabase(live, snapshot, previous.run(), true, reason);
    }

    public PreviousDatabase previous() {
        return previous;
    }

    /** @throws Failure (from run) {@link DatabaseCopy.Differs}: park instead; its undo drops what was created */
    public Step createScratch() {
        return new CreateScratch(live, snapshot, previous);
    }

    private record CreateScratch(Database live, DatabaseSnapshot snapshot, PreviousDatabase previous) implements Step {
        public String describe() {
            return "create database %s with the properties of %s, empty".formatted(previous.scratch(), previous.live());
        }

        public void run() {
            try (var maintenance = live.requireMaintenance()) {
                new DatabaseCopy(live, snapshot.schema().name(), previous.scratch()).create(maintenance);
            }
        }

        public void undo() {
            dropScratch(live, previous);
        }
    }

    /** Its name has this run's id, so nobody else has made it. */
    public static void dropScratch(Database live, PreviousDatabase previous) {
        try (var maintenance = live.requireMaintenance()) {
            maintenance.oidOf(previous.scratch()).filter(oid -> oid != previous.oid())
                    .ifPresent(oid -> drop(maintenance, previous.scratch(), oid));
        }
    }

    /**
     * Not WITH (FORCE): an owner may not use that while autovacuum works there; a plain DROP ends autovacuum by itself.
     */
    public static void drop(Database maintenance, String name, long oid) {
        try (var second = maintenance.sibling(maintenance.credentials().database());
                var kept = Sessions.keepTerminating(second, oid)) {
            maintenance.run("DROP DATABASE " + Sql.identifier(name));
        }
    }

    /** Migrates the new database and grants again, by name, what was granted on the old tables. */
    public Step migrate(Migrator migrator) {
        return new Migrate(live, snapshot, previous, migrator, warnings);
    }

    private record Migrate(Database live, DatabaseSnapshot snapshot, PreviousDatabase previous, Migrator migrator,
            List<String> warnings) implements Step {
        public String describe() {
            return "run every migration in %s".formatted(previous.scratch());
        }

        public void run() {
            migrator.migrateInto(previous.scratch());
            Checkpoint.reached("migrated, and nothing granted yet");
            try (var scratch = live.sibling(previous.scratch())) {
                warnings.addAll(Grants.in(live, snapshot.schema().name()).regrant(scratch, snapshot.schema().name()));
            }
        }
    }

    /** Both renames in one transaction; the undo looks at which oid has the name. */
    public Step swap() {
        return new Swap(live, previous, terminate);
    }

    public record Swap(Database live, PreviousDatabase previous, boolean terminate) implements Step {
        public String describe() {
            return "rename %s to %s, and %s to %s"
                    .formatted(previous.live(), previous.before(), previous.scratch(), previous.live());
        }

        public void run() {
            previous.swapIn(previous.scratch(), true).run(live, terminate);
        }

        public void undo() {
            if (previous.state(live) == PreviousState.State.NEW_IS_LIVE)
                previous.putBack(live, previous.scratch(), terminate);
        }
    }
}
