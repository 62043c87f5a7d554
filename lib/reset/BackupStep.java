package lib.reset;

import java.nio.file.Path;
import lib.backup.Backup;
import lib.backup.BackupSettings;
import lib.cli.Console;
import lib.environment.Environment;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.PgPrograms;

/** A verified backup of one database, as backup_database takes it. */
final class BackupStep implements Step {
    private final Console console;
    private final Environment environment;
    private final BackupSettings backups;
    private final PgPrograms programs;
    private final String name;
    private Path file;

    /** @throws Failure when pg_dump is missing, or too old for this server */
    BackupStep(Console console, Environment environment, BackupSettings backups, Database db, String name) {
        this.console = console;
        this.environment = environment;
        this.backups = backups;
        this.programs = environment.pgPrograms(db.major()).of(name);
        this.name = name;
    }

    @Override public String describe() {
        var copy = backups.remote() == null ? "" : ", with a copy in " + backups.remote();
        return "back up %s into %s%s".formatted(name, environment.project().show(backups.folder().path()), copy);
    }

    @Override public void run() throws Exception {
        var backup = take();
        file = backup.file();
        backups.copyOffSite(programs.server(), backup, console);
    }

    private Backup take() {
        try {
            return backups.take(programs, console::progress);
        } catch (Failure failure) {
            var problem = failure.problem();
            throw new Failure(Problem.of(problem.exit(), "no backup could be taken, so nothing was destroyed: "
                    + problem.what(), problem.next()), failure);
        }
    }

    /** The backup's file, or null before it is taken. */
    Path file() { return file; }
}
