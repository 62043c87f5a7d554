package lib.backup;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import lib.cli.Script;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.project.Credentials;

/**
 * Which backups of a database a policy prunes, and their removal.
 *
 * @param needed names of files to keep, each with the id of the run whose dropped data only this file holds
 */
public record Prune(BackupFolder folder, Credentials database, Retention.Policy policy, Map<String, String> needed) {

    /** One decision for each backup of this database, the latest first; other files are ignored. */
    public List<Retention.Decision> decide() {
        var items = folder.list(database).stream().map(Prune::item).toList();
        return Retention.decide(items, policy, ZoneId.systemDefault(), Instant.now()).stream()
                .map(this::unlessNeeded).toList();
    }

    private Retention.Decision unlessNeeded(Retention.Decision decision) {
        var run = needed.get(decision.item().name());
        if (run == null || decision.keep()) return decision;
        var purge = Script.RESET_MIGRATIONS.command("purge");
        return new Retention.Decision(decision.item(), true,
                "kept: the only copy of what run %s dropped, until %s".formatted(run, purge));
    }

    private static Retention.Item item(BackupFolder.Entry entry) {
        return new Retention.Item(entry.name(), entry.started(), entry.number(), entry.isGood(),
                entry.level() == Manifest.Level.RESTORED);
    }

    /**
     * Removes what the policy prunes, under the folder's lock.
     *
     * @return the removed files
     * @throws Failure busy (5), or a file that cannot be removed
     */
    public List<Path> run() {
        if (!Files.isDirectory(folder.path())) return List.of();
        try (var lock = folder.lock()) {
            var pruned = decide().stream().filter(decision -> !decision.keep())
                    .map(decision -> folder.path().resolve(decision.item().name())).toList();
            for (var file : pruned) remove(file);
            return pruned;
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /**
     * First its manifest gets a name that {@link BackupFolder#sweep} removes: after a kill at any point, no backup
     * that is half removed looks complete.
     */
    private void remove(Path file) throws IOException {
        var manifest = Manifest.fileOf(file);
        var unfinished = folder.path().resolve("~" + manifest.getFileName() + BackupFolder.PARTIAL);
        if (Files.exists(manifest)) // a killed verify may have left the other
            Files.move(manifest, unfinished, StandardCopyOption.REPLACE_EXISTING);
        Disk.fsync(folder.path());
        Checkpoint.reached("its proof is gone");
        Files.deleteIfExists(file);
        Checkpoint.reached("its file is gone");
        Files.deleteIfExists(unfinished);
        Files.deleteIfExists(manifest); // when a verify has just written it again
        Disk.fsync(folder.path());
    }
}
