package lib.backup;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.project.Credentials;

/**
 * Which backups of a database a policy lets go, and their going.
 *
 * @param needed names of files that hold the only copy of what a run has dropped, with that run's id: they stay
 */
public record Prune(BackupFolder folder, Credentials database, Retention.Policy policy, Map<String, String> needed) {

    /** One for each backup of this database, the latest first; files that are no backups of ours are not even looked at. */
    public List<Retention.Decision> decide() {
        var items = folder.found(database).stream().map(Prune::item).toList();
        return Retention.decide(items, policy, ZoneId.systemDefault(), Instant.now()).stream().map(this::unlessNeeded).toList();
    }

    private Retention.Decision unlessNeeded(Retention.Decision decision) {
        var run = needed.get(decision.item().name());
        if (run == null || decision.keep()) return decision;
        return new Retention.Decision(decision.item(), true, "kept: the only copy of what run %s dropped; reset_migrations purge lets it go".formatted(run));
    }

    private static Retention.Item item(BackupFolder.Found found) {
        return new Retention.Item(found.file().getFileName().toString(), found.began(), found.number(), found.isGood(), found.level() == Manifest.Level.RESTORED);
    }

    /**
     * Removes what may go, under the folder's lock.
     *
     * @throws Failure busy (5), or a file that cannot be removed
     */
    public List<Path> run() {
        try (var lock = folder.lock()) {
            var gone = decide().stream().filter(decision -> !decision.keep()).map(decision -> folder.path().resolve(decision.item().name())).toList();
            for (var file : gone) remove(file);
            return gone;
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** First it loses its proof, under a name that is swept: killed at any point, nothing that is half gone looks whole. */
    private void remove(Path file) throws IOException {
        var manifest = Manifest.fileOf(file);
        var beside = folder.path().resolve("~" + manifest.getFileName() + BackupFolder.PARTIAL);
        if (Files.exists(manifest)) Files.move(manifest, beside, StandardCopyOption.REPLACE_EXISTING); // a killed verify may have left one
        Disk.fsync(folder.path());
        Checkpoint.reached("its proof is gone");
        Files.deleteIfExists(file);
        Checkpoint.reached("its file is gone");
        Files.deleteIfExists(beside);
        Files.deleteIfExists(manifest); // a verify has just stamped it
        Disk.fsync(folder.path());
    }
}
