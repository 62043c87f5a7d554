package lib.reset;

import lib.cli.Confirmation;
import lib.cli.Console;
import lib.environment.Environment;
import lib.files.FolderLock;
import lib.postgres.Database;
import lib.postgres.RunLock;
import lib.project.Project;

/** A project and its database under both locks, which keep other runs away: what undo, finish and purge begin with. */
public record LockedProject(Console console, Environment environment, FolderLock folder, Database db, RunLock lock) {
    public interface Work {
        int run(LockedProject locked) throws Exception;
    }

    /** @throws lib.error.Failure busy (5); refused (4) for a standby server or a protected database */
    public static int run(Console console, Environment environment, String command, Work work) throws Exception {
        try (var folder = FolderLock.take(environment.project().root(), command, console::warn);
             var db = Database.open(environment.database()); var lock = RunLock.take(db)) {
            Guards.refuseStandby(db);
            Guards.refuseProtected(db);
            return work.run(new LockedProject(console, environment, folder, db, lock));
        }
    }

    public Project project() { return environment.project(); }

    /** Asks, and makes sure that the lock is still held then. @throws lib.error.Failure refused (4) */
    public void confirm(Confirmation confirmation) {
        confirmation.ask(console, db.name(), db.credentials().isLocal(), true);
        lock.requireHeld();
    }
}
