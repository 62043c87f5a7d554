///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES lib/Lib.java

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import lib.Lib;
import lib.backup.BackupFile;
import lib.backup.BackupFolder;
import lib.backup.BackupJob;
import lib.backup.BackupOptions;
import lib.backup.BackupPrinter;
import lib.backup.BackupStatus;
import lib.backup.BadBackup;
import lib.backup.OffSite;
import lib.backup.Prune;
import lib.backup.Restoration;
import lib.cli.Cli;
import lib.cli.Confirmation;
import lib.cli.Console;
import lib.cli.Script;
import lib.environment.Environment;
import lib.environment.ProjectOptions;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.FolderLock;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.postgres.RunLock;
import lib.process.Shell;
import lib.project.Credentials;
import lib.project.Project;
import lib.project.Settings;
import lib.reset.Guards;
import lib.reset.PlanPrinter;
import lib.reset.Runs;
import lib.restore.Restore;
import lib.restore.VerifyServer;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(name = "backup_database", versionProvider = backup_database.Version.class,
        subcommands = {backup_database.Create.class, backup_database.ListBackups.class, backup_database.Fetch.class,
                backup_database.Verify.class, backup_database.RestoreBackup.class, backup_database.PruneBackups.class,
                backup_database.Status.class},
        description = {"Backs up the PostgreSQL database of a Django project; without a command: create.",
                "Every backup is read back to its end; verify restores it and compares every table."})
public class backup_database implements Callable<Integer>, Cli.HasOutput {
    private static final int DONE = ExitCode.DONE.code;

    @Mixin ProjectOptions where;
    @Mixin BackupOptions.Folder dir;
    @Mixin BackupOptions.Create options;
    @Mixin Cli.Output output;

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        return create(options);
    }

    public static void main(String... args) {
        System.exit(Cli.run(new backup_database(), args));
    }

    static final class Version implements IVersionProvider {
        @Override public String[] getVersion() {
            return new String[] {"backup_database " + Lib.VERSION};
        }
    }

    /** What every command needs; nothing is asked of the database or its engine. */
    private record Context(Console console, Project project, Settings settings, BackupFolder folder) {}

    private Context context() {
        var project = where.project();
        var settings = where.settings(project);
        return new Context(output.console(), project, settings, dir.in(project, settings));
    }

    /** For commands that connect to the database. */
    private Environment environment(Context context) {
        return where.withoutDjango(context.project, context.console::warn);
    }

    /** The name of the database, for commands that work without it. */
    private Credentials database(Context context) {
        return where.identity(context.project);
    }

    // ---- create ------------------------------------------------------------------------------

    @Command(name = "create", description = "Takes a backup, and reads it back to its end before it gets its name.")
    static final class Create implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Mixin BackupOptions.Create options;

        @Override public Integer call() throws Exception {
            return top.create(options);
        }
    }

    private int create(BackupOptions.Create options) throws Exception {
        var context = context();
        try (var environment = environment(context)) {
            var settings = options.settings(context.folder, context.settings);
            var needed = Runs.neededBackups(context.project);
            var job = new BackupJob(context.console, settings, environment.identity(), needed);
            job.run(() -> {
                environment.warnings().forEach(context.console::warn);
                return programs(environment, job.previous());
            });
        }
        return DONE;
    }

    /** A new Compose volume is one command away, and a nightly empty backup would prune the good ones. */
    private static PgPrograms programs(Environment environment, BackupFolder.Entry previous) {
        var hadTables = previous != null && !previous.manifest().content().tables().isEmpty();
        var inCompose = environment.inCompose();
        try (var db = Database.open(environment.database())) {
            if (environment.databaseWasCreated() || hadTables && inCompose) Guards.refuseEmpty(db);
            return environment.pgPrograms(db.major());
        }
    }

    // ---- list, fetch -------------------------------------------------------------------------

    @Command(name = "list", description = "Lists the backups, the latest first, and how well each is proven.")
    static final class ListBackups implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Option(names = "--off-site", description = "List the backups of this database on the remote.")
        boolean offSite;
        @Mixin BackupOptions.OffSite options;

        @Override public Integer call() {
            var context = top.context();
            if (offSite || options.given()) {
                var remote = options.require(context.settings);
                var copies = new OffSite(remote, top.database(context)).list();
                BackupPrinter.printOffSite(context.console, remote.toString(), copies);
                return DONE;
            }
            var backups = context.folder.list();
            if (backups.isEmpty()) context.console.note("no backups in " + context.folder.path());
            else BackupPrinter.printList(context.console, backups);
            return DONE;
        }
    }

    @Command(name = "fetch", description = "Downloads a backup from the remote to the folder, and compares its hash.")
    static final class Fetch implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Parameters(paramLabel = "NAME", description = "The name, as list --off-site shows it.")
        String name;
        @Mixin BackupOptions.OffSite options;

        @Override public Integer call() throws IOException {
            var context = top.context();
            var offSite = new OffSite(options.require(context.settings), top.database(context));
            var file = offSite.fetch(name, context.folder);
            context.console.success("fetched: " + file);
            context.console.note("  " + BackupPrinter.restore(file));
            context.console.event("fetched", Map.of("file", file.toString()));
            return DONE;
        }
    }

    // ---- verify ------------------------------------------------------------------------------

    @Command(name = "verify", description =
            "Restores a backup into a scratch database, compares every table, and drops that database again.")
    static final class Verify implements Callable<Integer> {
        @ParentCommand backup_database top;
        @ArgGroup Which which = new Which();
        @Mixin BackupOptions.Decryption decryption;
        @Option(names = "--embedded", hidden = true)
        boolean embedded;

        static final class Which {
            @Parameters(arity = "0..1", paramLabel = "FILE", description = "The backup.")
            Path file;
            @Option(names = "--latest", description = "The latest backup of this database (default).")
            boolean latest;
            @Option(names = "--all", description = "Every backup in the folder, the latest first.")
            boolean all;
        }

        @Override public Integer call() throws Exception {
            if (embedded)
                throw Failure.usage("verify no longer has --embedded: it does not start a PostgreSQL server of its own")
                        .next("name a server where a role may create databases, in .env or in the environment: "
                                + VerifyServer.EXAMPLE);
            var context = top.context();
            var other = VerifyServer.named(context.settings);
            try (var environment = other == null ? top.environment(context) : null) {
                var files = files(context);
                try (var server = other == null ? VerifyServer.of(environment) : VerifyServer.of(other)) {
                    var bad = 0;
                    for (var file : files) if (!isGood(context, server, file, files.size() == 1)) bad++;
                    if (bad > 0) throw Failure.failed("%d of %d backups failed".formatted(bad, files.size()))
                            .next("list the good ones: " + Script.BACKUP_DATABASE.command("list"));
                }
            }
            return DONE;
        }

        private List<Path> files(Context context) {
            if (which.file != null) return List.of(context.folder.resolve(which.file));
            var database = which.all ? null : top.database(context);
            var backups = which.all ? context.folder.list() : latest(context.folder, database);
            if (!backups.isEmpty()) return backups.stream().map(BackupFolder.Entry::file).toList();
            var whose = which.all ? "" : " of " + database.database();
            throw Failure.usage("there is no backup%s in %s".formatted(whose, context.folder.path()))
                    .next("take one: " + Script.BACKUP_DATABASE.command("create"), "or name the folder: --dir DIR");
        }

        /** This database's. A machine that only verifies may reach it by another address: then the name counts. */
        private static List<BackupFolder.Entry> latest(BackupFolder folder, Credentials database) {
            var own = folder.list(database);
            if (!own.isEmpty()) return own.subList(0, 1);
            return folder.list().stream()
                    .filter(entry -> entry.database().equals(database.database())).limit(1).toList();
        }

        /** @throws Failure when it is the only one, or something other than the backup is wrong */
        private boolean isGood(Context context, VerifyServer server, Path path, boolean only) throws IOException {
            var where = server.isOther() ? " on " + server.database().credentials() : "";
            context.console.heading("Verifying " + path + where);
            try {
                var file = BackupFile.of(path, decryption.key(context.settings));
                var restoration = server.verify(file, context.console);
                var manifest = file.recordRestored(restoration);
                BackupPrinter.printVerified(context.console, path, manifest, restoration.hasContents());
                return true;
            } catch (Failure e) {
                if (which.all && !Files.exists(path)) return true; // pruned meanwhile
                var failure = e.problem() instanceof BadBackup bad ? new Failure(bad.failed(), e) : e;
                recordFailure(path, failure);
                if (only || failure.problem().exit() != ExitCode.FAILED) throw failure;
                context.console.error(failure.problem());
                return false;
            }
        }

        private static void recordFailure(Path file, Failure failure) {
            try {
                BackupFile.recordFailure(file, failure.problem());
            } catch (IOException e) {
                failure.addSuppressed(e);
            }
        }
    }

    // ---- restore -----------------------------------------------------------------------------

    @Command(name = "restore", description = {
        "Restores a backup into a new database, compares every table, and puts it in place of the one in use,"
                + " which is kept.",
        "Also restores archives of pg_dump and SQL of other tools."})
    static final class RestoreBackup implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Parameters(paramLabel = "FILE", description = "The backup.")
        Path file;

        @Option(names = "--into", paramLabel = "NAME",
                description = "Restore into a new database of this name; the one in use is not touched.")
        String into;
        @Option(names = "--no-owner",
                description = "Your role owns everything that is restored, and no privileges are granted.")
        boolean noOwner;
        @Option(names = "--dry-run", description = "Read the backup to its end, show the plan and change nothing.")
        boolean dryRun;
        @Option(names = "--terminate", description = "Disconnect sessions that block the restore.")
        boolean terminate;
        @Mixin BackupOptions.Decryption decryption;
        @Mixin Confirmation confirmation;

        /** The backup, and the server that it is restored to. */
        private record Target(Context context, Environment environment, BackupFile backup, Database db) {
            Console console() {
                return context.console;
            }
        }

        @Override public Integer call() throws Exception {
            var context = top.context();
            try (var environment = top.environment(context)) {
                var backup = BackupFile.of(context.folder.resolve(file), decryption.key(context.settings));
                try (var folder = dryRun ? null : lock(context); var db = Database.openServer(environment.database())) {
                    var live = environment.identity().database();
                    var missing = !db.name().equals(live);
                    try (var lock = dryRun || missing ? null : RunLock.take(db)) {
                        Guards.refuseStandby(db);
                        var target = new Target(context, environment, backup, db);
                        if (into == null && !missing) inPlace(target, lock);
                        else beside(target, into != null ? into : live);
                    }
                }
            }
            return DONE;
        }

        private static FolderLock lock(Context context) {
            return FolderLock.takeIfWritable(context.project.root(), "backup_database restore", context.console::warn);
        }

        private void beside(Target to, String name) {
            Restore.refuseUnlessNew(to.db, name);
            var scratch = Restore.scratchName("restore");
            var restoration = restoration(to, scratch);
            var plan = new Plan(Restore.beside(to.db, restoration, scratch, name));
            print(to, "Restore %s into a new database %s".formatted(to.backup.file(), name), plan);
            if (isDry(to, restoration)) return;
            Restore.dropLeftovers(to.db, left -> to.console().note("dropped %s, left by a killed run".formatted(left)));
            plan.run(to.console(), () -> "drop what is left of it: " + Shell.line("dropdb", scratch));
            printRestored(to, restoration, name);
            to.console().event("restored", Map.of("file", to.backup.file().toString(), "database", name));
        }

        private void inPlace(Target to, RunLock lock) {
            var services = to.environment.services();
            to.db.ignoreSessionsFrom(services.addresses());
            var replacement = Restore.InPlace.of(to.context.project, to.db, to.backup.file(), services);
            var restoration = restoration(to, replacement.previous().scratch());
            var heading = "Restore %s in place of database %s, which is kept as %s"
                    .formatted(to.backup.file(), to.db.name(), replacement.previous().before());
            print(to, heading, new Plan(replacement.steps(restoration, terminate, to.console())));
            PlanPrinter.printInTheWay(to.console(), replacement.sessions(), terminate);
            Guards.refuseProtected(to.db);
            if (isDry(to, restoration)) return;
            confirmation.ask(to.console(), to.db.name(), to.db.credentials().isLocal(), true);
            lock.requireHeld();
            var asked = !terminate && confirmation.toTerminate(to.console(), replacement.sessions().size());
            var steps = replacement.steps(restoration, terminate || asked, to.console());
            var undo = Script.RESET_MIGRATIONS.command("undo", replacement.run().id());
            var unfinished = new Plan(steps).runReturningUnfinished(to.console(), () -> undo);
            replacement.warnings().forEach(to.console()::warn);
            printReplaced(to, restoration, replacement, undo);
            if (unfinished != null) throw unfinished;
        }

        private Restoration restoration(Target to, String name) {
            var options = noOwner ? List.of("--no-owner", "--no-privileges") : List.<String>of();
            var programs = to.environment.pgPrograms(to.backup.pgRestoreMajor(to.db.major()));
            return new Restoration(to.backup, programs, name, options, to.console()::progress);
        }

        private boolean isDry(Target to, Restoration restoration) {
            if (!dryRun) return false;
            new Plan(List.of(restoration.check())).run(to.console(), () -> "");
            to.console().success("dry run: nothing was changed");
            return true;
        }

        private static void print(Target to, String heading, Plan plan) {
            to.console().heading(heading);
            PlanPrinter.printSteps(to.console(), plan);
            to.console().event("plan", Map.of("what", heading, "steps", plan.describe()));
        }

        private static void printRestored(Target to, Restoration restoration, String name) {
            var restored = restoration.restored();
            var tables = Text.count(restored.tables().size(), "table");
            var compared = !restoration.hasContents() ? "; there is nothing to compare them with"
                    : restoration.comparesRows() ? ", each compared with the backup"
                    : ", as many in each table as in the dump";
            to.console().success("restored into database %s: %s, %,d rows%s"
                    .formatted(name, tables, restored.rows(), compared));
        }

        private static void printReplaced(
                Target to, Restoration restoration, Restore.InPlace replacement, String undo) {
            var console = to.console();
            var name = to.db.name();
            var previous = replacement.previous().before();
            printRestored(to, restoration, name);
            console.event("restored",
                    Map.of("file", to.backup.file().toString(), "database", name, "aside", previous, "undo", undo));
            console.note("the previous database is kept as " + previous);
            console.note("go back:              " + undo);
            console.note("free its disk space:  " + Runs.purgeCommand(replacement.run(), to.context.project, to.db));
            var migration = restoration.restored().lastMigration();
            if (migration == null) return;
            console.note("its last migration:   %s.%s; python manage.py migrate --check shows whether your files match"
                    .formatted(migration.app(), migration.name()));
        }
    }

    // ---- prune, status -----------------------------------------------------------------------

    @Command(name = "prune", description = "Removes the backups of this database that no --keep option keeps; "
            + "never the newest good one, and no other files.")
    static final class PruneBackups implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Mixin BackupOptions.Keep keep;
        @Option(names = "--dry-run", description = "Show for each backup whether it is kept, and why; remove nothing.")
        boolean dryRun;

        @Override public Integer call() {
            var context = top.context();
            var console = context.console;
            var database = top.database(context);
            var policy = keep.policy(context.settings);
            if (policy.keepsAll())
                throw Failure.usage("no --keep option says which backups to keep, so none is removed")
                        .next("for example: --keep-last 3 --keep-daily 7 --keep-weekly 4 --keep-monthly 12, or"
                                + " BACKUP_KEEP_DAILY=7 in .env");
            var prune = new Prune(context.folder, database, policy, Runs.neededBackups(context.project));
            var decisions = prune.decide();
            var where = context.folder.path();
            console.heading("Backups of %s in %s, keeping %s".formatted(database.database(), where, policy));
            for (var decision : decisions) {
                var name = decision.item().name();
                console.note("  %s  %s".formatted(name, decision.reason()));
                console.event("decision", Map.of("file", name, "keep", decision.keep(), "reason", decision.reason()));
            }
            if (dryRun) console.success("dry run: nothing was removed");
            else console.success("removed %d of %d".formatted(prune.run().size(), decisions.size()));
            return DONE;
        }
    }

    @Command(name = "status", description = "Shows how old the newest good backup is and how well it is proven; "
            + "exit code 1 when there is none.")
    static final class Status implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Option(names = "--max-age", paramLabel = "AGE",
                description = "Exit code 1 when the newest good backup is older: 90m, 26h, 2d, 1w (BACKUP_MAX_AGE).")
        String maxAge;

        @Option(names = "--prometheus", paramLabel = "FILE", description =
                "Also write the status for node_exporter's textfile collector, *.prom (BACKUP_PROMETHEUS).")
        Path prometheus;

        @Override public Integer call() throws IOException {
            var context = top.context();
            var database = top.database(context);
            var age = context.settings.text(maxAge, "BACKUP_MAX_AGE");
            var limit = age == null ? null : BackupStatus.parse(age);
            var file = context.settings.path(prometheus, "BACKUP_PROMETHEUS");
            var status = context.folder.status(database);
            BackupPrinter.printStatus(context.console, database.database(), status);
            if (file != null) status.writePrometheus(file, database.database());
            status.require(limit);
            return DONE;
        }
    }
}
