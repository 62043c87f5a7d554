package lib.backup;

import java.io.IOException;
import java.util.function.Consumer;
import lib.backup.offsite.Remote;
import lib.cli.Console;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.PgPrograms;
import lib.project.Credentials;
import lib.project.Project;
import lib.project.Settings;

/**
 * Where the backups of a project are kept and how they are made: one set of settings for every script that takes a
 * backup.
 *
 * @param remote where the off-site copies go, or null
 */
public record BackupSettings(BackupFolder folder, Backup.Options options, Remote remote) {

    /** From the environment and {@code .env}. @throws Failure usage (2) when a setting of a new backup is wrong */
    public static BackupSettings of(Project project, Settings settings) {
        return new BackupOptions.Create()
                .settings(new BackupOptions.Folder().in(project, settings), settings).backups();
    }

    /** For a caller that runs the steps of the backup. */
    public BackupWriter writer(PgPrograms programs, Consumer<String> progress) throws IOException {
        return new BackupWriter(programs, folder, options, progress);
    }

    public Backup take(PgPrograms programs, Consumer<String> progress) {
        return Backup.create(programs, folder, options, progress);
    }

    /**
     * Copies a backup off-site when there is a remote, and before it those that an earlier copy missed. A failed copy
     * is a warning: the local backup is good.
     *
     * @throws Failure interrupted
     */
    public void copyOffSite(Credentials database, Backup backup, Console console) {
        if (remote == null) return;
        try {
            remote.require();
            new OffSite(remote, database).uploadMissing(folder, backup.file(), console);
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.Interrupted) throw failure;
            console.warn("there is no off-site copy of " + backup.file() + ": " + failure.problem().what());
        }
    }
}
