package lib.reset;

import java.util.ArrayList;
import java.util.List;
import lib.django.Migrator;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Fingerprint;
import lib.postgres.Grants;
import lib.postgres.Renames;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/** The new state is built in a database of its own, which then changes names with the live one. */
public final class SwapDatabase implements Strategy {
    private final Database live;
    private final DatabaseSnapshot look;
    private final String runId;
    private final boolean terminate;
    private final String reason;
    private final PreviousState.Database aside;
    private final List<String> warnings = new ArrayList<>();

    private SwapDatabase(Database live, DatabaseSnapshot look, String runId, boolean terminate, String reason) {
        this.live = live;
        this.look = look;
        this.runId = runId;
        this.terminate = terminate;
        this.reason = reason;
        aside = aside(runId, look);
    }

    /** The names that a run of this database gives, and the oid it goes by. */
    public static PreviousState.Database aside(String runId, DatabaseSnapshot look) {
        var run = Strategy.suffix(runId);
        return new PreviousState.Database(runId, look.name(), look.oid(), Sql.shortened(look.name(), "_new_" + run),
                Sql.shortened(look.name(), "_before_" + run), Sql.shortened(look.name(), "_undone_" + run), look.comment());
    }

    static SwapDatabase plan(Database live, DatabaseSnapshot look, String runId, boolean terminate, String reason) {
        return new SwapDatabase(live, look, runId, terminate, reason);
    }

    /** Why this database cannot be swapped by this role, in words; empty when nothing is known against it. */
    static List<String> obstacles(Database db, DatabaseSnapshot look) {
        var found = new ArrayList<String>();
        if (!look.role().superuser() && !look.role().createdb()) found.add("role %s may not create databases".formatted(look.role().name()));
        if (!look.role().ownsDatabase()) found.add("role %s does not own the database (its owner is %s)".formatted(look.role().name(), look.owner()));
        if (!found.isEmpty()) return found;
        found.addAll(Fingerprint.of(db, look.schema().name()).notCopyable());
        found.addAll(db.texts("""
                SELECT format('extension %s %s cannot be made again by role %s', extname, extversion, current_user)
                FROM pg_extension e WHERE extname <> 'plpgsql' AND NOT EXISTS (
                    SELECT FROM pg_available_extension_versions v
                    WHERE v.name = extname AND v.version = extversion AND (NOT v.superuser OR v.trusted OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))
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
        db.maintenance().ifPresentOrElse(Database::close, () -> found.add("no other database of the server lets role %s in".formatted(look.role().name())));
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
        return Sessions.othersIn(live, look.oid());
    }

    public SwapDatabase terminating() {
        return new SwapDatabase(live, look, runId, true, reason);
    }

    public PreviousState.Database aside() {
        return aside;
    }

    /** What to do instead when the copy turned out to differ. */
    public Strategy instead(DatabaseCopy.Differs why) {
        return ParkTables.plan(live, look, runId, terminate, Strategy.notSwapped(why.differences()));
    }

    /** @throws Failure (from run) {@link DatabaseCopy.Differs}: park instead; undo drops what was created */
    public Step createScratch() {
        return new CreateScratch(live, look, aside);
    }

    private record CreateScratch(Database live, DatabaseSnapshot look, PreviousState.Database aside) implements Step {
        public String describe() {
            return "create database %s as %s is, but empty".formatted(aside.scratch(), aside.live());
        }

        public void run() {
            try (var maintenance = PreviousState.maintenance(live, aside.live())) {
                new DatabaseCopy(live, look.schema().name(), aside.scratch()).create(maintenance);
            }
        }

        public void undo() {
            dropScratch(live, aside);
        }
    }

    /** Its name holds this run's id: nobody else made it. */
    public static void dropScratch(Database live, PreviousState.Database aside) {
        try (var maintenance = PreviousState.maintenance(live, aside.live())) {
            maintenance.oidOf(aside.scratch()).filter(oid -> oid != aside.oid()).ifPresent(oid -> drop(maintenance, aside.scratch(), oid));
        }
    }

    /** Not WITH (FORCE): that is denied to an owner while autovacuum happens to be there, which a plain DROP ends by itself. */
    public static void drop(Database maintenance, String name, long oid) {
        try (var second = maintenance.sibling(maintenance.credentials().database()); var kept = Sessions.keepTerminating(second, oid)) {
            maintenance.run("DROP DATABASE " + Sql.identifier(name));
        }
    }

    /** Migrates the new database and gives again, by name, what was granted on the old tables. */
    public Step migrate(Migrator migrator) {
        return new Migrate(live, look, aside, migrator, warnings);
    }

    private record Migrate(Database live, DatabaseSnapshot look, PreviousState.Database aside, Migrator migrator, List<String> warnings) implements Step {
        public String describe() {
            return "run every migration in %s".formatted(aside.scratch());
        }

        public void run() {
            migrator.migrateInto(aside.scratch());
            Checkpoint.reached("migrated, and nothing granted yet");
            try (var scratch = live.sibling(aside.scratch())) {
                warnings.addAll(Grants.in(live, look.schema().name()).regrant(scratch, look.schema().name()));
            }
        }
    }

    /** Both renames in one transaction; undo looks at which oid bears the name. */
    public Step swap() {
        return new Swap(live, aside, terminate);
    }

    public record Swap(Database live, PreviousState.Database aside, boolean terminate) implements Step {
        public String describe() {
            return "rename %s to %s, and %s to %s".formatted(aside.live(), aside.aside(), aside.scratch(), aside.live());
        }

        public void run() {
            new Renames(aside.live(), aside.oid(), aside.aside(), "reset_migrations %s: %s as it was before".formatted(aside.run(), aside.live()),
                    aside.scratch(), aside.comment(), true).run(live, terminate);
        }

        public void undo() {
            if (aside.state(live) == PreviousState.State.NEW_IS_LIVE) aside.putBack(live, aside.scratch(), terminate);
        }
    }
}
