package lib.restore;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import lib.backup.Restoration;
import lib.cli.Console;
import lib.environment.Services;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Renames;
import lib.postgres.Sessions;
import lib.postgres.Sql;
import lib.project.Project;
import lib.reset.PreviousDatabase;
import lib.reset.Run;
import lib.reset.RunId;
import lib.reset.RunStore;

/**
 * What a restore does on a server: it makes a new database, proven against the backup, beside the live one or in its
 * place.
 */
public final class Restore {
    private static final String DUPLICATE_DATABASE = "42P04";

    private Restore() {}

    static boolean mayCreateDatabases(Database server) {
        return server.is("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user");
    }

    /** @throws Failure refused (4): the name is taken, or the role may not create databases */
    public static void refuseUnlessNew(Database server, String name) {
        if (server.oidOf(name).isPresent()) throw exists(name);
        if (mayCreateDatabases(server)) return;
        var role = server.credentials().user();
        throw Failure.refused("role " + role + " may not create databases, and a restore goes into a new one")
                .next("have a superuser run: ALTER ROLE " + Sql.identifier(role) + " CREATEDB",
                        "to see whether the backup restores at all, verify can use another server: "
                                + VerifyServer.EXAMPLE);
    }

    private static Failure exists(String name) {
        return Failure.refused("database " + name + " already exists, and a restore goes into a new one")
                .next("give another name: --into NAME");
    }

    // ---- beside the live database ------------------------------------------------------------

    /**
     * The steps into a new database. It gets its name only when all of it was restored and compared: after a kill, a
     * database that is half restored would look complete.
     *
     * @param restoration into {@code scratch}
     */
    public static List<Step> beside(Database server, Restoration restoration, String scratch, String name) {
        var create = new Create(server, scratch, name, DatabaseCopy.locale(server), new ArrayList<>());
        var steps = new ArrayList<>(restoration.steps(create));
        steps.add(Step.of("rename it to " + name, create::rename));
        return steps;
    }

    /**
     * Creates an empty database; its undo drops only the database that this very step created.
     *
     * @param name      it is created under
     * @param finalName it gets in the end; may be the same
     * @param locale    encoding and locale, as in CREATE DATABASE
     * @param created   its oid, once it is created
     */
    private record Create(Database server, String name, String finalName, String locale, List<Long> created)
            implements Step {
        @Override public String describe() {
            return "create database " + name;
        }

        @Override public void run() {
            if (server.oidOf(finalName).isPresent()) throw exists(finalName);
            runUnlessExists("CREATE DATABASE %s TEMPLATE template0".formatted(Sql.identifier(name)) + locale, name);
            server.oidOf(name).ifPresent(created::add);
        }

        void rename() {
            created.forEach(oid -> Sessions.terminateIn(server, oid)); // idle sessions of a pooler
            runUnlessExists(Renames.rename(name, finalName), finalName);
        }

        private void runUnlessExists(String statement, String database) {
            try {
                server.run(statement);
            } catch (Failure e) {
                throw Database.sqlState(e).equals(DUPLICATE_DATABASE) ? exists(database).causedBy(e) : e;
            }
        }

        @Override public void undo() {
            for (var oid : created)
                for (var now : List.of(name, finalName))
                    server.oidOf(now).filter(oid::equals).ifPresent(same -> PreviousDatabase.drop(server, now, same));
            created.clear();
        }
    }

    // ---- in its place ------------------------------------------------------------------------

    /**
     * A restored database that takes the live one's name; that one is kept, and {@code undo} of the run brings it back.
     *
     * @param warnings what of the database itself could not be copied, once it was created
     */
    public record InPlace(Run run, PreviousDatabase previous, Database live, DatabaseSnapshot snapshot,
            List<String> warnings, Services services) {
        /** @throws Failure refused (4) when this role may not replace the database */
        public static InPlace of(Project project, Database live, Path backup, Services services) {
            var snapshot = DatabaseSnapshot.of(live);
            refuseUnlessReplaceable(live, snapshot);
            var id = RunId.create();
            var previous = PreviousDatabase.of(id, snapshot);
            var run = Run.ofRestore(id, project, live.credentials(), previous, backup, services);
            return new InPlace(run, previous, live, snapshot, new ArrayList<>(), services);
        }

        private static void refuseUnlessReplaceable(Database live, DatabaseSnapshot snapshot) {
            var role = "role " + snapshot.role().name();
            var reasons = new ArrayList<String>();
            if (!snapshot.role().superuser() && !snapshot.role().createdb())
                reasons.add(role + " may not create databases");
            if (!snapshot.role().ownsDatabase())
                reasons.add(role + " does not own it (its owner is " + snapshot.owner() + ")");
            live.maintenance().ifPresentOrElse(Database::close,
                    () -> reasons.add(role + " cannot connect to any other database of the server"));
            if (reasons.isEmpty()) return;
            throw Failure.refused("database " + snapshot.name() + " cannot be replaced by the restored one: "
                    + String.join("; ", reasons))
                    .next("ask a superuser (ALTER ROLE … CREATEDB), or the owner of the database");
        }

        /** The sessions that block the swap. */
        public List<String> sessions() {
            return Sessions.othersIn(live, snapshot.oid());
        }

        /**
         * @param restoration into {@link PreviousDatabase#scratch}
         * @param terminate   the sessions that block the swap
         */
        public List<Step> steps(Restoration restoration, boolean terminate, Console console) {
            Supplier<Path> backup = () -> Path.of(run.backup());
            var keep = new RunStore(run).keep(backup, live, console);
            var steps = new ArrayList<Step>();
            steps.add(restoration.check());
            steps.add(services.isEmpty() ? keep : Step.of(keep.describe(), keep::run, keep::undo));
            steps.add(createScratch());
            steps.add(restoration.restore());
            steps.add(restoration.compare());
            if (!services.isEmpty()) steps.add(services.stopStep(false, console, keep::finish));
            steps.add(previous.swap(live, terminate));
            return steps;
        }

        private Step createScratch() {
            var what = "create database %s with the owner, settings and grants of %s"
                    .formatted(previous.scratch(), previous.live());
            return Step.of(what, () -> {
                var copy = new DatabaseCopy(live, snapshot.schema().name(), previous.scratch());
                try (var maintenance = live.requireMaintenance()) {
                    warnings.addAll(copy.createEmpty(maintenance));
                }
            }, () -> previous.dropScratch(live));
        }
    }

    // ---- scratch databases -------------------------------------------------------------------

    /** A name by which a later run knows our scratch databases. @param use {@code verify} or {@code restore} */
    public static String scratchName(String use) {
        return "backup_%s_%s".formatted(use, RunId.create().replace('-', '_'));
    }

    /** The step that creates an empty database, which is dropped in the end. @param locale as in CREATE DATABASE */
    public static Step createScratch(Database server, String name, String locale) {
        var create = new Create(server, name, name, locale, new ArrayList<>());
        return Step.of("create the scratch database " + name, create::run, create::undo, create::undo);
    }

    /**
     * Drops the scratch databases that killed runs left: with such a name, owned by this role, more than a day
     * old and without sessions.
     *
     * @param dropped gets their names
     */
    public static void dropLeftovers(Database server, Consumer<String> dropped) {
        var leftovers = server.texts("""
                SELECT datname FROM pg_database d
                WHERE datname ~ '^backup_(verify|restore)_[0-9]{8}_[0-9]{6}_[0-9a-f]{4}$'
                  AND datdba = current_user::regrole
                  AND to_timestamp(substring(datname from '[0-9]{8}_[0-9]{6}'), 'YYYYMMDD_HH24MISS') AT TIME ZONE 'UTC'
                      < now() AT TIME ZONE 'UTC' - interval '1 day'
                  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND usesysid IS NOT NULL)""");
        for (var name : leftovers) {
            try {
                server.run("DROP DATABASE " + Sql.identifier(name));
                dropped.accept(name);
            } catch (Failure ignored) {
                // another session has just connected to it, or dropped it
            }
        }
    }
}
