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
import lib.error.Problem;
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
import lib.reset.SwapDatabase;

/** What a restore does to a server: a new database, proven against the backup, beside the one in use or in its place. */
public final class Restore {
    private Restore() {}

    /** Whether the role may create databases at all: better asked than tried. */
    public static boolean mayCreate(Database server) {
        return server.is("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user");
    }

    /** @throws Failure refused (4) */
    public static void refuseUnlessNew(Database server, String name) {
        if (server.oidOf(name).isPresent()) throw new Failure(new Problem.DatabaseExists(name));
        if (!mayCreate(server)) throw new Failure(new Problem.MayNotCreate(server.credentials().user()));
    }

    // ---- beside ------------------------------------------------------------------------------

    /** The step that makes an empty database; undone, it is gone again, but only when this very step has made it. */
    public static Step create(Database server, String name) {
        return new Create(server, name, name, DatabaseCopy.locale(server), new ArrayList<>());
    }

    /**
     * The steps into a new database. It gets its name when all of it is there and compared: after a kill half of one would look
     * like a whole.
     *
     * @param restoration into {@code scratch}
     */
    public static List<Step> beside(Database server, Restoration restoration, String scratch, String name) {
        var create = new Create(server, scratch, name, DatabaseCopy.locale(server), new ArrayList<>());
        var steps = new ArrayList<>(restoration.steps(create));
        steps.add(Step.of("call it " + name, create::rename));
        return steps;
    }

    /**
     * @param name   it is created under
     * @param called what it will be called
     * @param locale encoding and locale, as in CREATE DATABASE
     */
    private record Create(Database server, String name, String called, String locale, List<Long> made) implements Step {
        @Override public String describe() {
            return "create database " + name;
        }

        @Override public void run() {
            if (server.oidOf(called).isPresent()) throw new Failure(new Problem.DatabaseExists(called));
            named(name, "CREATE DATABASE %s TEMPLATE template0".formatted(Sql.identifier(name)) + locale);
            server.oidOf(name).ifPresent(made::add);
        }

        void rename() {
            made.forEach(oid -> Sessions.terminateIn(server, oid)); // a pooler's leftovers: nobody else knows it
            named(called, Renames.rename(name, called));
        }

        private void named(String wanted, String statement) {
            try {
                server.run(statement);
            } catch (Failure e) {
                if (Database.sqlState(e).equals("42P04")) throw new Failure(new Problem.DatabaseExists(wanted), e);
                throw e;
            }
        }

        @Override public void undo() {
            for (var oid : made)
                for (var now : List.of(name, called)) server.oidOf(now).filter(oid::equals).ifPresent(same -> SwapDatabase.drop(server, now, same));
            made.clear();
        }
    }

    // ---- in its place ------------------------------------------------------------------------

    /**
     * A restored database that takes the live one's name; that one is kept, and {@code undo} of the run brings it back.
     *
     * @param warnings gets what of the database itself could not be copied
     */
    public record InPlace(Run run, PreviousDatabase previous, Database live, DatabaseSnapshot look, boolean terminate, List<String> warnings, Services services) {
        /** @throws Failure refused (4) when this role may not replace the database */
        public static InPlace of(Project project, Database live, Path backup, boolean terminate, Services services) {
            var look = DatabaseSnapshot.of(live);
            var reasons = new ArrayList<String>();
            if (!look.role().superuser() && !look.role().createdb()) reasons.add("role %s may not create databases".formatted(look.role().name()));
            if (!look.role().ownsDatabase()) reasons.add("role %s does not own it (its owner is %s)".formatted(look.role().name(), look.owner()));
            live.maintenance().ifPresentOrElse(Database::close, () -> reasons.add("no other database of the server lets role %s in".formatted(look.role().name())));
            if (!reasons.isEmpty()) throw new Failure(new Problem.NotOurs(look.name(), reasons));
            var id = RunId.create();
            var previous = PreviousDatabase.of(id, look);
            return new InPlace(Run.ofRestore(id, project, live.credentials(), previous, backup, services), previous, live, look, terminate, new ArrayList<>(), services);
        }

        public List<String> inTheWay() {
            return Sessions.othersIn(live, look.oid());
        }

        public InPlace terminating() {
            return new InPlace(run, previous, live, look, true, warnings, services);
        }

        /** @param restoration into {@link PreviousDatabase#scratch} */
        public List<Step> steps(Restoration restoration, Console console) {
            Supplier<Path> backup = () -> Path.of(run.backup());
            var keep = new RunStore(run).keep(backup, live, console);
            var steps = new ArrayList<Step>(List.of(restoration.check(), services.isEmpty() ? keep : Step.withoutFinish(keep)));
            steps.add(createScratch());
            steps.add(restoration.restore());
            steps.add(restoration.compare());
            if (!services.isEmpty()) steps.add(services.stopStep(false, console, keep::finish));
            steps.add(new SwapDatabase.Swap(live, previous, terminate));
            return steps;
        }

        private Step createScratch() {
            return Step.of("create database %s with the owner, settings and grants of %s".formatted(previous.scratch(), previous.live()), () -> {
                try (var maintenance = live.requireMaintenance()) {
                    warnings.addAll(new DatabaseCopy(live, look.schema().name(), previous.scratch()).createEmpty(maintenance));
                }
            }, () -> SwapDatabase.dropScratch(live, previous), () -> {});
        }
    }

    // ---- to see whether it can be ------------------------------------------------------------

    /** A name that no database has: ours are known by how it begins. @param use {@code verify} or {@code restore} */
    public static String scratchName(String use) {
        return "backup_%s_%s".formatted(use, RunId.create().replace('-', '_'));
    }

    /** As {@link #create}; it is also dropped in the end. */
    static Step createScratch(Database server, String name, String locale) {
        var create = new Create(server, name, name, locale, new ArrayList<>());
        return Step.of("create the scratch database " + name, create::run, create::undo, create::undo);
    }

    /** Drops the scratch databases of killed runs: ours by name and owner, and nobody in them for at least a day. @param told gets their names */
    public static void sweep(Database server, Consumer<String> told) {
        var left = server.texts("""
                SELECT datname FROM pg_database d
                WHERE datname ~ '^backup_(verify|restore)_[0-9]{8}_[0-9]{6}_[0-9a-f]{4}$' AND datdba = current_user::regrole
                  AND to_timestamp(substring(datname from '[0-9]{8}_[0-9]{6}'), 'YYYYMMDD_HH24MISS') AT TIME ZONE 'UTC' < now() AT TIME ZONE 'UTC' - interval '1 day'
                  AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND usesysid IS NOT NULL)""");
        for (var name : left) {
            try {
                server.run("DROP DATABASE " + Sql.identifier(name));
                told.accept(name);
            } catch (Failure stays) {
                // somebody has just come, or was faster
            }
        }
    }
}
