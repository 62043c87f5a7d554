///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES lib/Lib.java

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.Lib;
import lib.backup.Backup;
import lib.backup.BackupFile;
import lib.backup.BackupFolder;
import lib.backup.BackupOptions;
import lib.backup.BackupPrinter;
import lib.backup.BackupStatus;
import lib.backup.OffSite;
import lib.backup.Prune;
import lib.backup.Restoration;
import lib.backup.Retention;
import lib.backup.ShrinkageAlarm;
import lib.backup.offsite.Remote;
import lib.cli.Cli;
import lib.cli.Confirmation;
import lib.cli.Console;
import lib.environment.Environment;
import lib.environment.ProjectOptions;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.FolderLock;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.postgres.RunLock;
import lib.project.Credentials;
import lib.project.Project;
import lib.project.Settings;
import lib.reset.Guards;
import lib.reset.PlanPrinter;
import lib.reset.Run;
import lib.restore.Restore;
import lib.restore.VerifyServer;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(name = "backup_database", mixinStandardHelpOptions = true, versionProvider = backup_database.Version.class, sortOptions = false,
        subcommands = {backup_database.Create.class, backup_database.ListBackups.class, backup_database.Fetch.class, backup_database.Verify.class,
                backup_database.RestoreBackup.class, backup_database.PruneBackups.class, backup_database.Status.class},
        description = {"Backs up the database of a Django project on PostgreSQL; without a command: create.",
                "A file called a backup has been read back to its end; verify restores it to see that it can be."})
public class backup_database implements Callable<Integer>, Cli.HasOutput {
    @Mixin ProjectOptions where;
    @Mixin BackupOptions.Folder dir;
    @Mixin BackupOptions.Making making;
    @Mixin Cli.Output output;

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        return create(making);
    }

    public static void main(String... args) {
        System.exit(Cli.run(new backup_database(), args));
    }

    static final class Version implements IVersionProvider {
        @Override public String[] getVersion() {
            return new String[] {"backup_database " + Lib.VERSION};
        }
    }

    /**
     * What a command works with.
     *
     * @param server      for names and records; to connect with it is {@code environment().database()}
     * @param environment null where nobody connects
     */
    private record Setting(Project project, Settings settings, Credentials server, Environment environment, BackupFolder folder) implements AutoCloseable {
        Prune prune(Retention.Policy policy) {
            return new Prune(folder, server(), policy, Run.neededBackups(project));
        }

        PgPrograms programs(int major) {
            return environment.pgPrograms(major);
        }

        @Override public void close() {
            if (environment != null) environment.close();
        }
    }

    private Setting setting() {
        var project = where.project();
        var settings = where.settings(project);
        var environment = where.withoutDjango(project, output.console()::warn);
        return new Setting(project, settings, environment.identity(), environment, dir.in(project, settings));
    }

    /** For commands that look into the folder, and off-site: they work without the database, and without its engine. */
    private Setting folderOnly() {
        var project = where.project();
        var settings = where.settings(project);
        return new Setting(project, settings, where.identity(project), null, dir.in(project, settings));
    }

    // ---- create ------------------------------------------------------------------------------

    @Command(name = "create", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Takes a backup, reads it back to its end, and only then gives it its name.")
    static final class Create implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Mixin BackupOptions.Making making;

        @Override public Integer call() throws Exception {
            return top.create(making);
        }
    }

    private int create(BackupOptions.Making how) throws Exception {
        var console = output.console();
        try (var at = setting()) {
            return create(console, at, how);
        }
    }

    private int create(Console console, Setting at, BackupOptions.Making how) throws Exception {
        var order = how.order(at.folder(), at.settings());
        try {
            create(console, at, order);
        } catch (Failure why) {
            var failure = noneMade(at, why);
            if (order.ping() != null && failure.problem().exit() != Problem.Exit.BUSY) // the one that is at work will say how it ends
                order.ping().fail(failure.problem().exit().code, failure.problem().what()).forEach(console::warn);
            throw failure;
        }
        if (order.ping() != null) order.ping().success().forEach(console::warn);
        return Problem.Exit.DONE.code;
    }

    /** Who reads it in a mail has to know of what, and whether there is anything to fall back on. */
    private static Failure noneMade(Setting at, Failure why) {
        if (List.of(Problem.Exit.PARTLY, Problem.Exit.INTERRUPTED).contains(why.problem().exit())) return why;
        var status = at.folder().status(at.server());
        return new Failure(new Problem.NoBackupMade(why.problem(), at.server().database(), status.age() == null ? null : Text.duration(status.age())), why);
    }

    /** @throws Failure {@link Problem.BackedUpBut} when something is left to do although the backup is good */
    private void create(Console console, Setting at, BackupOptions.Order order) throws Exception {
        var remote = order.backups().remote();
        var unusable = unusable(console, remote);
        at.environment().warnings().forEach(console::warn);
        var before = at.folder().newestGood(at.server());
        var programs = at.programs(majorOf(at.environment(), before != null && !before.manifest().seen().rows().isEmpty()));
        console.heading("Backing up " + at.server() + " into " + at.folder().path());
        Backup backup;
        try (var making = order.backups().making(programs, console::progress)) {
            if (order.ping() != null) order.ping().start();
            new Plan(making.steps()).run(console, () -> "look into " + at.folder().path());
            backup = making.made();
        }
        BackupPrinter.printMade(console, backup);
        var left = new ArrayList<String>();
        if (before != null) left.addAll(order.alarm().heard(console, ShrinkageAlarm.between(before.manifest().seen(), backup.manifest().seen(), order.alarm().percent())));
        var mayPrune = left.isEmpty();
        if (mayPrune) prune(console, at.prune(order.policy()), left);
        if (unusable != null) left.add(unusable);
        else if (remote != null) upload(console, at, order, backup, mayPrune, left);
        BackupPrinter.print(console, at.folder().found(at.server()).stream().limit(5).toList());
        if (!left.isEmpty()) throw new Failure(new Problem.BackedUpBut(backup.file(), left, null));
    }

    /** Better known before the dump than after it; but a network that is down, or a disk that is not mounted, costs nobody the backup here. @return why not, or null */
    private static String unusable(Console console, Remote remote) {
        try {
            if (remote != null) remote.require();
            return null;
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.Interrupted) throw failure;
            console.warn("there will be no copy off-site: " + failure.problem().what());
            return Stream.concat(Stream.of("there is no copy off-site: " + failure.problem().what()), failure.problem().next().stream()).collect(Collectors.joining("; "));
        }
    }

    private static void upload(Console console, Setting at, BackupOptions.Order order, Backup backup, boolean mayPrune, List<String> left) {
        try {
            var remote = order.backups().remote();
            var offSite = new OffSite(remote, at.server());
            for (var missing : offSite.missing(at.folder(), backup.file())) {
                var file = missing.file();
                var proof = console.during("uploading " + file.getFileName(), () -> offSite.upload(missing));
                console.success("off-site: %s in %s (%s)".formatted(file.getFileName(), remote, proof));
                console.event("uploaded", Map.of("remote", remote.toString(), "file", file.getFileName().toString(), "proof", proof.toString()));
            }
            if (!mayPrune) return;
            var gone = offSite.prune(order.policy());
            if (!gone.isEmpty()) console.note("pruned there: " + String.join(", ", gone));
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.Interrupted) left.add("interrupted while it was copied off-site");
            else left.add(failure.problem().what() + failure.problem().next().stream().map(next -> "; " + next).collect(Collectors.joining()));
        } catch (Exception e) {
            throw new IllegalStateException(e); // during() hands on what the work throws, and that throws failures
        }
    }

    private static void prune(Console console, Prune prune, List<String> left) {
        if (prune.policy().keepsAll()) return;
        try {
            var gone = prune.run();
            if (!gone.isEmpty()) console.note("pruned, as %s are kept: %s".formatted(prune.policy(), String.join(", ", gone.stream().map(file -> file.getFileName().toString()).toList())));
            console.event("pruned", Map.of("files", gone.stream().map(Path::toString).toList()));
        } catch (Failure failure) {
            left.add("older ones could not be pruned: " + failure.problem().what());
        }
    }

    /** In Compose a new volume is but one command away, and an empty backup a night would drive the others out. */
    private static int majorOf(Environment environment, boolean hadTables) {
        try (var db = Database.open(environment.database())) {
            if (environment.databaseWasCreated() || hadTables && environment.inCompose()) Guards.refuseEmpty(db);
            return db.major();
        }
    }

    // ---- list --------------------------------------------------------------------------------

    @Command(name = "list", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Shows the backups that are there, the latest first, and how well each is proven.")
    static final class ListBackups implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Option(names = "--off-site", description = "Those of this database on the remote.")
        boolean offSite;
        @Mixin BackupOptions.Away away;

        @Override public Integer call() {
            var console = top.output.console();
            var project = top.where.project();
            var settings = top.where.settings(project);
            if (offSite || away.path != null) {
                var remote = away.remote(settings, true);
                BackupPrinter.printOffSite(console, remote.toString(), new OffSite(remote, top.where.identity(project)).found());
                return Problem.Exit.DONE.code;
            }
            var folder = top.dir.in(project, settings);
            var found = folder.found();
            if (found.isEmpty()) console.note("no backups in " + folder.path());
            else BackupPrinter.print(console, found);
            return Problem.Exit.DONE.code;
        }
    }

    @Command(name = "fetch", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Brings a backup from the remote into the folder, and compares its hash.")
    static final class Fetch implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Parameters(paramLabel = "NAME", description = "As list --off-site shows it.")
        String name;
        @Mixin BackupOptions.Away away;

        @Override public Integer call() throws IOException {
            var console = top.output.console();
            var at = top.folderOnly();
            var file = new OffSite(away.remote(at.settings(), true), at.server()).fetch(name, at.folder());
            console.success("fetched: " + file);
            console.note("  backup_database restore " + file);
            console.event("fetched", Map.of("file", file.toString()));
            return Problem.Exit.DONE.code;
        }
    }

    // ---- verify ------------------------------------------------------------------------------

    @Command(name = "verify", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Restores a backup into a scratch database, compares every table, and drops that database again.")
    static final class Verify implements Callable<Integer> {
        @ParentCommand backup_database top;
        @ArgGroup Which which = new Which();
        @Mixin BackupOptions.Key key;
        @Option(names = "--embedded", hidden = true)
        boolean embedded;

        static final class Which {
            @Parameters(arity = "0..1", paramLabel = "FILE", description = "The backup.")
            Path file;
            @Option(names = "--latest", description = "The latest backup in the folder (default).")
            boolean latest;
            @Option(names = "--all", description = "Every backup in the folder, the latest first.")
            boolean all;
        }

        @Override public Integer call() throws Exception {
            if (embedded) throw Failure.usage("verify no longer has --embedded: it does not start a PostgreSQL server of its own")
                    .next("name a server where a role may create databases, in .env or in the environment: " + VerifyServer.EXAMPLE);
            var project = top.where.project();
            var other = VerifyServer.named(top.where.settings(project));
            try (var at = other == null ? top.setting() : top.folderOnly()) {
                var files = files(at.folder());
                try (var server = other == null ? VerifyServer.of(at.environment()) : VerifyServer.of(other)) {
                    return verify(top.output.console(), at, files, server);
                }
            }
        }

        private int verify(Console console, Setting at, List<Path> files, VerifyServer server) throws Exception {
            var failed = 0;
            for (var path : files) {
                console.heading("Verifying " + path + (server.setting() == null ? "" : " on " + server.database().credentials()));
                try {
                    var file = BackupFile.of(path, key.in(at.settings()));
                    var restoration = server.verify(file, console);
                    BackupPrinter.printVerified(console, path, file.proven(restoration), restoration.compares());
                } catch (Failure failure) {
                    if (which.all && failure.problem() instanceof Problem.NoBackupFile) continue; // pruned meanwhile
                    disproven(path, failure);
                    if (files.size() == 1 || failure.problem().exit() != Problem.Exit.FAILED && !(failure.problem() instanceof Problem.NotADump)) throw failure;
                    console.error(failure.problem());
                    failed++;
                }
            }
            if (failed > 0) throw new Failure(new Problem.SomeFailed(failed, files.size()));
            return Problem.Exit.DONE.code;
        }

        private static void disproven(Path file, Failure failure) {
            try {
                BackupFile.disproven(file, failure.problem());
            } catch (IOException unwritable) {
                failure.addSuppressed(unwritable);
            }
        }

        private List<Path> files(BackupFolder folder) {
            if (which.file != null) return List.of(folder.find(which.file));
            var found = folder.found().stream().map(BackupFolder.Found::file).toList();
            if (found.isEmpty()) throw new Failure(new Problem.NoBackups(folder.path()));
            return which.all ? found : found.subList(0, 1);
        }
    }

    // ---- restore -----------------------------------------------------------------------------

    @Command(name = "restore", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = {"Restores a backup into a new database, compares every table, and then puts it in place of the one in use, which is kept.",
                    "Takes archives of pg_dump's and SQL of anybody's too."})
    static final class RestoreBackup implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Parameters(paramLabel = "FILE", description = "The backup.")
        Path file;
        @Option(names = "--into", paramLabel = "NAME", description = "Into a new database of this name beside the one in use, which is not touched.")
        String into;
        @Option(names = "--no-owner", description = "All that is restored belongs to this role, and nothing is granted to others.")
        boolean noOwner;
        @Option(names = "--dry-run", description = "Read the backup to its end, show the plan and change nothing.")
        boolean dryRun;
        @Option(names = "--terminate", description = "End sessions that stand in the way.")
        boolean terminate;
        @Mixin BackupOptions.Key key;
        @Mixin Confirmation consent;

        @Override public Integer call() throws Exception {
            try (var at = top.setting()) {
                return restore(top.output.console(), at);
            }
        }

        private int restore(Console console, Setting at) throws Exception {
            var backup = BackupFile.of(at.folder().find(file), key.in(at.settings()));
            try (var folder = dryRun ? null : FolderLock.takeIfWritable(at.project().root(), "backup_database restore", console::warn); var db = Database.openServer(at.environment().database())) {
                var gone = !db.name().equals(at.server().database());
                try (var lock = dryRun || gone ? null : RunLock.take(db)) {
                    Guards.refuseStandby(db);
                    if (into == null && !gone) inPlace(console, at, backup, db, lock);
                    else beside(console, at, backup, db, into != null ? into : at.server().database());
                }
            }
            return Problem.Exit.DONE.code;
        }

        private void beside(Console console, Setting at, BackupFile backup, Database db, String name) {
            Restore.refuseUnlessNew(db, name);
            var scratch = Restore.scratchName("restore");
            var restoration = restoration(console, at, backup, db, scratch);
            var plan = new Plan(Restore.beside(db, restoration, scratch, name));
            show(console, "Restore %s into a new database %s".formatted(backup.file(), name), plan);
            if (isDry(console, restoration)) return;
            Restore.sweep(db, left -> console.note("dropped %s, which a killed run had left".formatted(left)));
            plan.run(console, () -> "drop what is left of it: dropdb " + scratch);
            done(console, restoration, name, Map.of("file", backup.file().toString(), "database", name));
        }

        private void inPlace(Console console, Setting at, BackupFile backup, Database db, RunLock lock) {
            var services = at.environment().services();
            db.ignoreSessionsFrom(services.addresses());
            var wanted = Restore.InPlace.of(at.project(), db, backup.file(), terminate, services);
            var restoration = restoration(console, at, backup, db, wanted.aside().scratch());
            show(console, "Restore %s in place of database %s, which is kept as %s".formatted(backup.file(), db.name(), wanted.aside().aside()), new Plan(wanted.steps(restoration, console)));
            PlanPrinter.printInTheWay(console, wanted.inTheWay(), terminate);
            Guards.refuseProtected(db);
            if (isDry(console, restoration)) return;
            consent.ask(console, db.name(), db.credentials().isLocal(), true);
            lock.requireHeld();
            var terminating = !terminate && consent.toTerminate(console, wanted.inTheWay().size()) ? wanted.terminating() : wanted;
            var left = new Plan(terminating.steps(restoration, console)).runReturningUnfinished(console, () -> "reset_migrations undo " + wanted.run().id());
            wanted.warnings().forEach(console::warn);
            var goBack = "reset_migrations undo " + wanted.run().id();
            done(console, restoration, db.name(), Map.of("file", backup.file().toString(), "database", db.name(), "aside", wanted.aside().aside(), "undo", goBack));
            console.note("the database as it was before is kept as " + wanted.aside().aside());
            console.note("go back:              " + goBack);
            console.note("give its disk back:   reset_migrations purge " + wanted.run().id());
            if (restoration.restored().lastMigration() != null)
                console.note("its last migration:   %s.%s; python manage.py migrate --check tells whether your files fit".formatted(restoration.restored().lastMigration().app(), restoration.restored().lastMigration().name()));
            if (left != null) throw left;
        }

        private Restoration restoration(Console console, Setting at, BackupFile backup, Database db, String name) {
            var options = noOwner ? List.of("--no-owner", "--no-privileges") : List.<String>of();
            return new Restoration(backup, at.programs(backup.atLeast(db.major())), name, options, console::progress);
        }

        private static void show(Console console, String heading, Plan plan) {
            console.heading(heading);
            PlanPrinter.printSteps(console, plan);
            console.event("plan", Map.of("what", heading, "steps", plan.describe()));
        }

        private boolean isDry(Console console, Restoration restoration) {
            if (!dryRun) return false;
            new Plan(List.of(restoration.check())).run(console, () -> "");
            console.success("dry run: nothing was changed");
            return true;
        }

        private static void done(Console console, Restoration restoration, String name, Map<String, String> event) {
            var restored = restoration.restored();
            console.success("restored into database %s: %,d tables, %,d rows%s".formatted(name, restored.tables().size(), restored.rows(),
                    !restoration.compares() ? "; there was nothing to compare them with" : restoration.ours() ? ", each compared with the backup" : ", as many in each table as in the dump"));
            console.event("restored", event);
        }
    }

    // ---- prune, status -----------------------------------------------------------------------

    @Command(name = "prune", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Removes the backups of this database that the --keep options let go; never the newest good one, and no file that is not ours.")
    static final class PruneBackups implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Mixin BackupOptions.Keep keep;
        @Option(names = "--dry-run", description = "Say for each backup whether it stays, and why; remove nothing.")
        boolean dryRun;

        @Override public Integer call() {
            var console = top.output.console();
            var at = top.folderOnly();
            var policy = keep.policy(at.settings());
            if (policy.keepsAll()) throw new Failure(new Problem.NoPolicy());
            var prune = at.prune(policy);
            var decisions = prune.decide();
            console.heading("Backups of %s in %s, keeping %s".formatted(at.server().database(), at.folder().path(), policy));
            for (var decision : decisions) {
                console.note("  %s  %s".formatted(decision.item().name(), decision.reason()));
                console.event("decision", Map.of("file", decision.item().name(), "keep", decision.keep(), "reason", decision.reason()));
            }
            if (dryRun) {
                console.success("dry run: nothing was removed");
                return Problem.Exit.DONE.code;
            }
            var gone = prune.run();
            console.success("removed %d of %d".formatted(gone.size(), decisions.size()));
            return Problem.Exit.DONE.code;
        }
    }

    @Command(name = "status", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Says how old the newest good backup is and how well it is proven, for people and for monitoring.")
    static final class Status implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Option(names = "--max-age", paramLabel = "AGE", description = "Exit code 1 when there is no good backup that is at most this old: 90m, 26h, 2d, 1w (BACKUP_MAX_AGE).")
        String maxAge;
        @Option(names = "--prometheus", paramLabel = "FILE", description = "Write the same for node_exporter's textfile collector, *.prom (BACKUP_PROMETHEUS).")
        Path prometheus;

        @Override public Integer call() throws IOException {
            var console = top.output.console();
            var at = top.folderOnly();
            var most = at.settings().text(maxAge, "BACKUP_MAX_AGE");
            var limit = most == null ? null : BackupStatus.parse(most);
            var status = at.folder().status(at.server());
            BackupPrinter.print(console, at.server().database(), status);
            var file = at.settings().path(prometheus, "BACKUP_PROMETHEUS");
            if (file != null) status.writePrometheus(file, at.server().database());
            var stale = limit == null ? null : status.stale(limit);
            if (stale != null) throw new Failure(new Problem.BackupStale(stale));
            return Problem.Exit.DONE.code;
        }
    }
}
