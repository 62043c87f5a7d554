package lib.backup;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import lib.backup.offsite.Remote;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.project.Credentials;

/** The backups of a database on a remote: those with a manifest beside them, which is uploaded last, are whole. */
public record OffSite(Remote remote, Credentials database) {
    /** What an upload that was cut short has left is an upload no more after this long. */
    private static final Duration STALE = Duration.ofDays(1);

    /** @param whole its manifest is there */
    public record There(String name, long bytes, Instant taken, Instant arrived, boolean whole) {}

    /** The latest first. */
    public List<There> found() {
        return whole(remote.list());
    }

    private List<There> whole(List<Remote.RemoteFile> files) {
        Set<String> names = files.stream().map(Remote.RemoteFile::name).collect(Collectors.toSet());
        return files.stream().filter(file -> BackupFolder.isName(file.name()) && BackupFolder.name(file.name()).database().equals(database.database()))
                .map(file -> new There(file.name(), file.bytes(), BackupFolder.name(file.name()).taken().atZone(ZoneId.systemDefault()).toInstant(), file.arrived(), names.contains(file.name() + Remote.MANIFEST)))
                .sorted(Comparator.comparing(There::taken).thenComparing(There::name).reversed()).toList();
    }

    /** What has to be copied: the backup just made, and before it those good ones that an earlier copy missed since the last that arrived. */
    public List<BackupFolder.Found> missing(BackupFolder folder, Path made) {
        var there = found().stream().filter(There::whole).toList();
        var names = there.stream().map(There::name).collect(Collectors.toSet());
        var last = there.stream().map(There::taken).max(Comparator.naturalOrder()).orElse(Instant.MAX);
        return folder.found(database).reversed().stream().filter(found -> found.isGood() && !names.contains(found.file().getFileName().toString()))
                .filter(found -> found.file().equals(made) || found.taken().atZone(ZoneId.systemDefault()).toInstant().isAfter(last)).toList();
    }

    /** With its manifest, which arrives last. */
    public Remote.Proof upload(BackupFolder.Found backup) {
        return remote.upload(backup.file(), backup.manifest().sha256(), Manifest.fileOf(backup.file()));
    }

    /** The same policy as here; the remote's clock tells the order they came in. @return what has gone */
    public List<String> prune(Retention.Policy policy) {
        remote.sweep(BackupFolder::isName, Instant.now().minus(STALE));
        if (policy.keepsAll()) return List.of();
        var items = found().stream().map(there -> new Retention.Item(there.name(), there.taken(), there.arrived().getEpochSecond(), there.whole())).toList();
        var gone = Retention.decide(items, policy, ZoneId.systemDefault(), Instant.now()).stream().filter(decision -> !decision.keep()).map(decision -> decision.item().name()).toList();
        gone.forEach(remote::delete);
        return gone;
    }

    /** Brings a backup into the folder, with its manifest, proven by the hash that this has. */
    public Path fetch(String name, BackupFolder folder) throws IOException {
        var text = remote.read(name + Remote.MANIFEST);
        var manifest = Manifest.of(text, name);
        if (manifest == null) throw new Failure(new Problem.NotAsManifest(name + Remote.MANIFEST, "it cannot be understood"));
        folder.make();
        var file = remote.fetch(name, manifest.sha256(), folder.path());
        if (!Files.exists(Manifest.fileOf(file))) manifest.writeBeside(file);
        Disk.fsync(folder.path());
        return file;
    }
}
