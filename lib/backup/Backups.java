package lib.backup;

import java.io.IOException;
import java.util.Map;
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
 * Where a project's backups lie and how they are made. Every script that takes a backup takes it here, so that one set of
 * settings holds for all of them.
 *
 * @param remote where the copies off-site go, or null
 */
public record Backups(BackupFolder folder, Backup.Options options, Remote remote) {

    /** As the environment and {@code .env} say. @throws Failure configuration (2) when any setting of a new backup is wrong */
    public static Backups of(Project project, Settings settings) {
        return new BackupOptions.Making().order(new BackupOptions.Folder().in(project, settings), settings).backups();
    }

    /** One backup whose steps the caller runs. */
    public Backup.Making making(PgPrograms programs, Consumer<String> progress) throws IOException {
        return new Backup.Making(programs, folder, options, progress);
    }

    /** {@link #making} at once. */
    public Backup take(PgPrograms programs, Consumer<String> progress) {
        return Backup.create(programs, folder, options, progress);
    }

    /**
     * Copies a backup off-site when there is a remote, and before it those that an earlier copy missed. What fails is a warning:
     * the backup here is good all the same.
     *
     * @throws Failure interrupted
     */
    public void copyOffSite(Credentials database, Backup made, Console console) {
        if (remote == null) return;
        try {
            remote.require();
            var offSite = new OffSite(remote, database);
            for (var missing : offSite.missing(folder, made.file())) {
                var name = missing.file().getFileName().toString();
                console.progress("uploading " + name);
                var proof = offSite.upload(missing);
                console.event("uploaded", Map.of("remote", remote.toString(), "file", name, "proof", proof.toString()));
            }
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.Interrupted) throw failure;
            console.warn("there is no copy off-site of " + made.file() + ": " + failure.problem().what());
        }
    }
}
