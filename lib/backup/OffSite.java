package lib.backup;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import lib.backup.offsite.Remote;
import lib.cli.Console;
import lib.error.Failure;
import lib.files.Disk;
import lib.project.Credentials;

/** The backups of a database on a remote. Those with a manifest, which is uploaded last, are complete. */
public record OffSite(Remote remote, Credentials database) {
    /** After this long an unfinished upload is a leftover. */
    private static final Duration STALE = Duration.ofDays(1);

    /** @param complete its manifest is there */
    public record Copy(String name, long bytes, Instant taken, Instant arrived, boolean complete) {}

    /** The latest first. */
    public List<Copy> list() {
        var files = remote.list();
        var names = files.stream().map(Remote.RemoteFile::name).collect(Collectors.toSet());
        var copies = new ArrayList<Copy>();
        for (var file : files) {
            var name = BackupFolder.name(file.name());
            if (name == null || !name.database().equals(database.database())) continue;
            var complete = names.contains(file.name() + Remote.MANIFEST);
            var taken = BackupFolder.instant(name.taken());
            copies.add(new Copy(file.name(), file.bytes(), taken, file.arrived(), complete));
        }
        copies.sort(Comparator.comparing(Copy::taken).thenComparing(Copy::name).reversed());
        return copies;
    }

    /**
     * Uploads a new backup, and before it the good ones that earlier uploads missed since the last one that arrived.
     *
     * @return a line for each
     */
    List<String> uploadMissing(BackupFolder folder, Path backup, Console console) {
        var lines = new ArrayList<String>();
        for (var missing : missing(folder, backup)) {
            console.progress("uploading " + missing.name());
            var sha256 = missing.manifest().file().sha256();
            var proof = remote.upload(missing.file(), sha256, Manifest.fileOf(missing.file()));
            console.event("uploaded", Map.of("remote", remote.toString(), "file", missing.name(), "proof", proof));
            lines.add("%s in %s (%s)".formatted(missing.name(), remote, proof));
        }
        return lines;
    }

    private List<BackupFolder.Entry> missing(BackupFolder folder, Path backup) {
        var complete = list().stream().filter(Copy::complete).toList();
        var names = complete.stream().map(Copy::name).collect(Collectors.toSet());
        var last = complete.stream().map(Copy::taken).max(Comparator.naturalOrder()).orElse(Instant.MAX);
        return folder.list(database).reversed().stream()
                .filter(entry -> entry.isGood() && !names.contains(entry.name()))
                .filter(entry -> entry.file().equals(backup) || BackupFolder.instant(entry.taken()).isAfter(last))
                .toList();
    }

    /** With the same policy as here; the order of creation is the order of arrival by the remote's clock. */
    List<String> prune(Retention.Policy policy) {
        remote.sweep(BackupFolder::isName, Instant.now().minus(STALE));
        if (policy.keepsAll()) return List.of();
        var items = list().stream().map(copy -> new Retention.Item(
                copy.name(), copy.taken(), copy.arrived().getEpochSecond(), copy.complete())).toList();
        var pruned = Retention.decide(items, policy, ZoneId.systemDefault(), Instant.now()).stream()
                .filter(decision -> !decision.keep()).map(decision -> decision.item().name()).toList();
        pruned.forEach(remote::delete);
        return pruned;
    }

    /** Downloads a backup and its manifest to the folder, and compares the hash. */
    public Path fetch(String name, BackupFolder folder) throws IOException {
        var manifest = Manifest.parse(remote.read(name + Remote.MANIFEST), name);
        if (manifest == null)
            throw Failure.failed("%s on %s is not a manifest of %s".formatted(name + Remote.MANIFEST, remote, name))
                    .next(Remote.useAnother());
        folder.create();
        var file = remote.fetch(name, manifest.file().sha256(), folder.path());
        if (!Files.exists(Manifest.fileOf(file))) manifest.write(file);
        Disk.fsync(folder.path());
        return file;
    }
}
