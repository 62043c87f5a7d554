package lib.django;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;

/**
 * The migration files of some apps as they were found. They can be copied, removed and restored. A migration is a
 * {@code .py} file directly in the folder whose name does not begin with {@code _} or {@code ~}. Everything else there
 * (helper modules, subpackages, {@code __init__.py}) stays.
 */
public record Migrations(Path root, List<File> files) {

    /**
     * @param path    relative to the project's root
     * @param sha256  of its content; of the link's text when it is a symbolic link
     * @param mode    "rw-r--r--", or "" where the file system has none
     * @param link    the target of a symbolic link, else null
     * @param touched last modification, milliseconds since 1970
     */
    public record File(String path, String sha256, String mode, String link, long touched) {}

    /** The migrations in these folders; a folder that does not exist holds none. */
    public static Migrations in(Path root, Iterable<Path> folders) throws IOException {
        var files = new ArrayList<File>();
        for (var folder : folders) {
            requireInside(root, folder);
            if (!Files.isDirectory(folder)) continue;
            try (Stream<Path> children = Files.list(folder)) {
                for (var file : children.filter(Migrations::isMigration).sorted().toList())
                    files.add(stateOf(root, file));
            }
        }
        return new Migrations(root, List.copyOf(files));
    }

    private static boolean isMigration(Path file) {
        return isMigrationName(file.getFileName().toString()) && !Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS);
    }

    public static boolean isMigrationName(String file) {
        return file.endsWith(".py") && !file.startsWith("_") && !file.startsWith("~");
    }

    private static File stateOf(Path root, Path file) throws IOException {
        var isLink = Files.isSymbolicLink(file);
        // a named pipe or a device: reading it may never end, and it could not be restored
        if (!isLink && !Files.isRegularFile(file))
            throw Failure.refused(file + " has the name of a migration, but is neither a file nor a link")
                    .next("move it away");
        var link = isLink ? Files.readSymbolicLink(file).toString() : null;
        var content = isLink ? link.getBytes(StandardCharsets.UTF_8) : Files.readAllBytes(file);
        var mode = !isLink && Disk.POSIX ? PosixFilePermissions.toString(Files.getPosixFilePermissions(file)) : "";
        var touched = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).toMillis();
        var path = root.relativize(file);
        if (!Path.of(path.toString()).equals(path)) throw Failure.unusableName(path.toString());
        return new File(path.toString(), Disk.sha256(content), mode, link, touched);
    }

    private static void requireInside(Path root, Path folder) throws IOException {
        var nearest = folder;
        while (!Files.exists(nearest, LinkOption.NOFOLLOW_LINKS)) nearest = nearest.getParent();
        var dangling = !Files.exists(nearest);
        if (folder.startsWith(root) && !dangling && nearest.toRealPath().startsWith(root.toRealPath())) return;
        throw Failure.refused(folder + " is outside the project " + root + " or a symbolic link to a place outside it:"
                + " its files are not this project's to replace")
                .next("replace the link by a folder, or leave that app out with --apps");
    }

    /** Copies every file into {@code store}, each fsynced and compared with what was found. */
    public void copyTo(Path store) throws IOException {
        var folders = new LinkedHashSet<Path>();
        for (var file : files) {
            if (file.link() != null) continue; // the record has the link's target
            var content = Files.readAllBytes(root.resolve(file.path()));
            if (!Disk.sha256(content).equals(file.sha256())) throw changed(file.path());
            var copy = store.resolve(file.path());
            Disk.createPrivateFolder(copy.getParent());
            Disk.writePrivate(copy, content);
            if (!Disk.sha256(Files.readAllBytes(copy)).equals(file.sha256()))
                throw Failure.failed("the copy " + copy + " differs from what was written to it")
                        .next("check the disk before anything else");
            folders.add(copy.getParent());
            Checkpoint.reached("copied " + file.path());
        }
        for (var folder : folders) Disk.fsync(folder);
    }

    /** Removes every file that is not in {@code stay}, and the {@code __pycache__} beside them. */
    public void removeExcept(Set<String> stay) throws IOException {
        var folders = new LinkedHashSet<Path>();
        for (var file : files) {
            var path = root.resolve(file.path());
            folders.add(path.getParent());
            if (stay.contains(file.path())) continue;
            Files.deleteIfExists(path);
            Checkpoint.reached("removed " + file.path());
        }
        for (var folder : folders) {
            if (!Files.isDirectory(folder)) continue;
            removeCache(folder);
            Disk.fsync(folder);
        }
    }

    /** Because one history must not find the other's compiled migrations. */
    public static void removeCache(Path folder) throws IOException {
        var cache = folder.resolve("__pycache__");
        if (Files.isDirectory(cache, LinkOption.NOFOLLOW_LINKS)) Disk.removeTree(cache);
    }

    /** @throws Failure a file has been edited since it was found, and no copy has the edit */
    public void requireUnchanged() throws IOException {
        for (var file : files) if (!isInPlace(file)) throw changed(file.path());
    }

    public static Failure changed(String path) {
        return Failure.failed(path + " was changed by somebody else while the reset was running")
                .next("run the reset again");
    }

    /**
     * The files that are gone or were replaced by a run. Any other file that differs has been edited since.
     *
     * @param written SHA-256 by path
     */
    public Migrations replacedBy(Map<String, String> written) throws IOException {
        var replaced = new ArrayList<File>();
        for (var file : files) {
            if (isInPlace(file)) continue;
            var path = root.resolve(file.path());
            var gone = !Files.exists(path, LinkOption.NOFOLLOW_LINKS);
            if (gone || stateOf(root, path).sha256().equals(written.get(file.path()))) replaced.add(file);
        }
        return new Migrations(root, replaced);
    }

    /**
     * Restores every file that is not in place, from the first of these folders with an intact copy. Begins with the
     * last file: when the disk became full, each step back frees what the next one needs.
     */
    public void restoreFrom(List<Path> stores) throws IOException {
        var folders = new LinkedHashSet<Path>();
        for (var file : files.reversed()) {
            var path = root.resolve(file.path());
            if (isInPlace(file)) continue;
            Files.createDirectories(path.getParent());
            folders.add(path.getParent());
            if (file.link() != null) {
                Files.deleteIfExists(path);
                Checkpoint.reached("in place of the link " + file.path());
                Files.createSymbolicLink(path, Path.of(file.link()));
                continue;
            }
            Disk.replace(path, intactCopy(file, stores), file.mode().isEmpty() ? null : file.mode(), path.getParent());
            Files.setLastModifiedTime(path, FileTime.fromMillis(file.touched()));
            Checkpoint.reached("put back " + file.path());
        }
        for (var folder : folders) Disk.fsync(folder);
    }

    private static byte[] intactCopy(File file, List<Path> stores) throws IOException {
        for (var store : stores) {
            var copy = store.resolve(file.path());
            if (!Files.isRegularFile(copy, LinkOption.NOFOLLOW_LINKS)) continue;
            var content = Files.readAllBytes(copy);
            if (Disk.sha256(content).equals(file.sha256())) return content;
        }
        throw Failure.failed("no intact copy of %s is left in %s".formatted(file.path(),
                String.join(" or ", stores.stream().map(Path::toString).toList())))
                .next("put it back from git or a backup of this disk, into the project or one of these folders,"
                        + " then run this again");
    }

    /** @throws Failure a file is not in place and none of these folders has an intact copy of it */
    public void requireCopies(List<Path> stores) throws IOException {
        for (var file : files) if (file.link() == null && !isInPlace(file)) intactCopy(file, stores);
    }

    private boolean isInPlace(File file) throws IOException {
        var path = root.resolve(file.path());
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) return false;
        var now = stateOf(root, path);
        return now.sha256().equals(file.sha256()) && now.mode().equals(file.mode())
                && Objects.equals(now.link(), file.link());
    }

    public boolean allInPlace() throws IOException {
        for (var file : files) if (!isInPlace(file)) return false;
        return true;
    }

    public Set<String> paths() {
        return files.stream().map(File::path).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** The number of files by folder, relative to the root. */
    public Map<String, Integer> countByFolder() {
        var counts = new LinkedHashMap<String, Integer>();
        files.forEach(f -> counts.merge(String.valueOf(Path.of(f.path()).getParent()), 1, Integer::sum));
        return counts;
    }
}
