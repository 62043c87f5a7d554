///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES lib/Lib.java

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import lib.Backup;
import lib.Cli;
import lib.Console;
import lib.Credentials;
import lib.Database;
import lib.Failure;
import lib.FolderLock;
import lib.Lib;
import lib.Plan;
import lib.PlanText;
import lib.Problem;
import lib.Project;
import lib.Where;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.ScopeType;

@Command(name = "backup_database", mixinStandardHelpOptions = true, versionProvider = backup_database.Version.class, sortOptions = false,
        subcommands = {backup_database.Create.class, backup_database.ListBackups.class, backup_database.Restore.class},
        description = {"Backs up the database of a Django project on PostgreSQL; without a command: create.",
                "A file called a backup has been read back to its end."})
public class backup_database implements Callable<Integer>, Cli.HasOutput {
    @Mixin Where where;
    @Mixin Folder dir;
    @Mixin Cli.Output output;

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        create();
        return 0;
    }

    public static void main(String... args) {
        System.exit(Cli.run(new backup_database(), args));
    }

    static final class Folder {
        @Option(names = "--dir", paramLabel = "DIR", scope = ScopeType.INHERIT, description = "Where the backups are (default: backups/ in the project).")
        Path folder;

        Path in(Project project) {
            return folder != null ? folder : project.root().resolve("backups");
        }
    }

    @Command(name = "create", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Takes a backup, reads it back to its end, and only then gives it its name.")
    static final class Create implements Callable<Integer> {
        @ParentCommand backup_database top;

        @Override public Integer call() throws Exception {
            return top.call();
        }
    }

    private void create() throws Exception {
        var console = output.console();
        var project = where.project();
        var environment = where.withoutDjango(project);
        var database = environment.database();
        var folder = dir.in(project);
        int major;
        long databaseBytes;
        try (var db = Database.open(database)) {
            major = db.major();
            databaseBytes = db.bytes();
        }
        var pgDump = environment.pgProgram("pg_dump", major);
        console.heading("Backing up " + database + " into " + folder);
        Backup backup;
        try (var making = new Backup.Making(database, pgDump, folder, console::progress)) {
            new Plan(making.steps()).run(console, () -> "look into " + folder);
            backup = making.made();
        }
        backup.warnings().forEach(console::warn);
        report(console, backup, databaseBytes, Backup.restoreCommand(backup.file(), database, pgDump));
        print(console, Backup.recent(folder).stream().limit(5).toList());
    }

    private static void report(Console console, Backup backup, long databaseBytes, String restore) {
        console.success("backed up: " + backup.file());
        console.note("  %s, %d %% of the database's %s; %d tables; %.1f s".formatted(PlanText.size(backup.bytes()),
                Math.round(100.0 * backup.bytes() / Math.max(1, databaseBytes)), PlanText.size(databaseBytes), backup.tables(), backup.seconds()));
        console.note("restore into a new database:");
        console.note("  " + restore);
        console.event("backup", Map.of("file", backup.file().toString(), "bytes", backup.bytes(), "database_bytes", databaseBytes,
                "tables", backup.tables(), "seconds", backup.seconds(), "restore", restore));
    }

    @Command(name = "list", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Shows the backups that are there, the latest first.")
    static final class ListBackups implements Callable<Integer> {
        @ParentCommand backup_database top;

        @Override public Integer call() {
            var console = top.output.console();
            var folder = top.dir.in(top.where.project());
            var found = Backup.recent(folder);
            if (found.isEmpty()) console.note("no backups in " + folder);
            else print(console, found);
            return 0;
        }
    }

    @Command(name = "restore", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Restores a backup into a new database; on failure that database is gone again.")
    static final class Restore implements Callable<Integer> {
        @ParentCommand backup_database top;
        @Parameters(paramLabel = "FILE", description = "The backup.")
        Path file;
        @Option(names = "--into", paramLabel = "NAME", required = true, description = "The new database's name; it must not exist yet.")
        String into;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            var environment = top.where.withoutDjango(project);
            var server = environment.database();
            try (var folder = lock(project, console); var lock = lockRuns(server)) {
                var pgDump = environment.pgProgram("pg_dump", majorOf(server));
                new Plan(Backup.restore(file, server, into, pgDump, console::progress))
                        .run(console, () -> "drop what is left of it: dropdb " + into);
            }
            console.success("restored %s into database %s on %s:%d".formatted(file, into, server.host(), server.port()));
            console.event("restored", Map.of("file", file.toString(), "database", into));
            return 0;
        }
    }

    /** Where nothing can be written no reset can be at work either, and a restore needs nothing of the project. */
    private static FolderLock lock(Project project, Console console) {
        try {
            return FolderLock.take(project.root(), "backup_database restore", console::warn);
        } catch (Failure failure) {
            if (!(failure.problem() instanceof Problem.CannotLock cannot)) throw failure;
            console.warn(cannot.what());
            return null;
        }
    }

    /** No reset of this database meanwhile; one that is gone cannot be reset. */
    private static Database.Lock lockRuns(Credentials server) {
        try (var db = Database.open(server)) {
            return db.lockRuns();
        } catch (Failure failure) {
            if (Database.isMissing(failure)) return null;
            throw failure;
        }
    }

    /** A restore is needed most when the database is gone: any other one tells the server's version too. */
    private static int majorOf(Credentials server) {
        try (var db = Database.open(server)) {
            return db.major();
        } catch (Failure gone) {
            try (var db = Database.open(server.of("postgres"))) {
                return db.major();
            } catch (Failure notThisOneEither) {
                throw gone;
            }
        }
    }

    private static void print(Console console, List<Backup.Found> backups) {
        console.note("backups:");
        for (var backup : backups) {
            console.note("  %s  %9s  %s  %s".formatted(backup.taken().toString().replace('T', ' '), PlanText.size(backup.bytes()), backup.database(), backup.file()));
            console.event("found", Map.of("file", backup.file().toString(), "database", backup.database(), "taken", backup.taken().toString(), "bytes", backup.bytes()));
        }
    }

    static final class Version implements IVersionProvider {
        @Override public String[] getVersion() {
            return new String[] {"backup_database " + Lib.VERSION};
        }
    }
}
