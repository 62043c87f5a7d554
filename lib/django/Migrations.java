package lib.django;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;

/**
 * The migration files of some apps: what lies there, put aside, put in place, put back.
 * A migration is what Django loads as one: a {@code .py} file directly in the folder whose name does not begin with
 * {@code _} or {@code ~}. Everything else there (helper modules, subpackages, {@code __init__.py}) stays.
 */
public record Migrations(Path root, List<File> files) {

    /**
     * One migration file as it was found.
     *
     * @param path    relative to the project's root
     * @param sha256  of its content; of the link's text when it is a symbolic link
     * @param mode    "rw-r--r--", or "" where the file system has none
     * @param link    where the symbolic link leads, else null
     * @param touched last modification, milliseconds since 1970
     */
    public record File(String path, String sha256, String mode, String link, long touched) {}

    /** The migrations that lie in these folders now; a folder that does not exist holds none. */
    public static Migrations in(Path root, Iterable<Path> folders) throws IOException {
        var files = new ArrayList<File>();
        for (var folder : folders) {
            refuseOutside(root, folder);
            if (!Files.isDirectory(folder)) continue;
            try (Stream<Path> children = Files.list(folder)) {
                for (var file : children.filter(Migrations::isMigration).sorted().toList()) files.add(kept(root, file));
            }
        }
        return new Migrations(root, List.copyOf(files));
    }

    private static boolean isMigration(Path file) {
        var name = file.getFileName().toString();
        return name.endsWith(".py") && !name.startsWith("_") && !name.startsWith("~") && !Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS);
    }

    private static File kept(Path root, Path file) throws IOException {
        if (!Files.isSymbolicLink(file) && !Files.isRegularFile(file)) throw new Failure(new Problem.NotAFile(file));
        var link = Files.isSymbolicLink(file) ? Files.readSymbolicLink(file).toString() : null;
        var content = link != null ? link.getBytes(StandardCharsets.UTF_8) : Files.readAllBytes(file);
        var mode = link == null && Disk.POSIX ? PosixFilePermissions.toString(Files.getPosixFilePermissions(file)) : "";
        var touched = Files.getLastModifiedTime(file, LinkOption.NOFOLLOW_LINKS).toMillis();
        var path = root.relativize(file);
        if (!Path.of(path.toString()).equals(path)) throw new Failure(new Problem.UnusableName(path.toString()));
        return new File(path.toString(), Disk.sha256(content), mode, link, touched);
    }

    /** A folder that a symbolic link leads out of the project belongs to somebody else. */
    private static void refuseOutside(Path root, Path folder) throws IOException {
        var nearest = folder;
        while (!Files.exists(nearest, LinkOption.NOFOLLOW_LINKS)) nearest = nearest.getParent();
        if (!folder.startsWith(root) || !Files.exists(nearest) || !nearest.toRealPath().startsWith(root.toRealPath())) // or a link to nowhere
            throw new Failure(new Problem.OutsideProject(folder, root));
    }

    /** Copies every file into {@code store}, each fsynced and compared with what was found. */
    public void copyTo(Path store) throws IOException {
        var folders = new LinkedHashSet<Path>();
        for (var file : files) {
            if (file.link() != null) continue; // the link's text is in the record
            var content = Files.readAllBytes(root.resolve(file.path()));
            if (!Disk.sha256(content).equals(file.sha256())) throw new Failure(new Problem.FileChanged(file.path()));
            var copy = store.resolve(file.path());
            Disk.createPrivateFolder(copy.getParent());
            Disk.writePrivate(copy, content);
            if (!Disk.sha256(Files.readAllBytes(copy)).equals(file.sha256())) throw new Failure(new Problem.CopyDiffers(copy));
            folders.add(copy.getParent());
            Checkpoint.reached("copied " + file.path());
        }
        for (var folder : folders) Disk.fsync(folder);
    }

    /** The files that are still here and are not among those to stay go; so does {@code __pycache__} beside them. */
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

    /** Compiled migrations of one history must not be found by the other. */
    public static void removeCache(Path folder) throws IOException {
        var cache = folder.resolve("__pycache__");
        if (Files.isDirectory(cache, LinkOption.NOFOLLOW_LINKS)) Disk.removeTree(cache);
    }

    /** @throws Failure when a file is no longer as it was found: somebody is editing it, and that edit is nowhere else */
    public void requireUnchanged() throws IOException {
        for (var file : files) if (!isInPlace(file)) throw new Failure(new Problem.FileChanged(file.path()));
    }

    /** Those that are gone or hold what a run wrote in their place; what is neither is an edit by somebody else, and stays. */
    public Migrations replacedBy(Map<String, String> fresh) throws IOException {
        var displaced = new ArrayList<File>();
        for (var file : files) {
            if (isInPlace(file)) continue;
            var home = root.resolve(file.path());
            if (!Files.exists(home, LinkOption.NOFOLLOW_LINKS) || kept(root, home).sha256().equals(fresh.get(file.path()))) displaced.add(file);
        }
        return new Migrations(root, displaced);
    }

    /**
     * Puts every file back as it was, from the first of these folders that has it whole; one that is home already is left
     * alone. The last first: where the disk became full on the way there, each step back frees what the next one needs.
     */
    public void restoreFrom(List<Path> stores) throws IOException {
        var folders = new LinkedHashSet<Path>();
        for (var file : files.reversed()) {
            var home = root.resolve(file.path());
            if (isInPlace(file)) continue;
            Files.createDirectories(home.getParent());
            folders.add(home.getParent());
            if (file.link() != null) {
                Files.deleteIfExists(home);
                Checkpoint.reached("in place of the link " + file.path());
                Files.createSymbolicLink(home, Path.of(file.link()));
                continue;
            }
            var content = whole(file, stores);
            Disk.replace(home, content, file.mode().isEmpty() ? null : file.mode(), home.getParent());
            Files.setLastModifiedTime(home, java.nio.file.attribute.FileTime.fromMillis(file.touched()));
            Checkpoint.reached("put back " + file.path());
        }
        for (var folder : folders) Disk.fsync(folder);
    }

    private static byte[] whole(File file, List<Path> stores) throws IOException {
        for (var store : stores) {
            var copy = store.resolve(file.path());
            if (!Files.isRegularFile(copy, LinkOption.NOFOLLOW_LINKS)) continue;
            var content = Files.readAllBytes(copy);
            if (Disk.sha256(content).equals(file.sha256())) return content;
        }
        throw new Failure(new Problem.OldFileLost(file.path(), stores));
    }

    /** @throws Failure a file is not home, and none of these folders has it whole */
    public void requireCopies(List<Path> stores) throws IOException {
        for (var file : files) if (file.link() == null && !isInPlace(file)) whole(file, stores);
    }

    private boolean isInPlace(File file) throws IOException {
        var home = root.resolve(file.path());
        if (!Files.exists(home, LinkOption.NOFOLLOW_LINKS)) return false;
        var now = kept(root, home);
        return now.sha256().equals(file.sha256()) && now.mode().equals(file.mode()) && java.util.Objects.equals(now.link(), file.link());
    }

    public boolean allInPlace() throws IOException {
        for (var file : files) if (!isInPlace(file)) return false;
        return true;
    }

    public Set<String> paths() {
        var paths = new LinkedHashSet<String>();
        files.forEach(f -> paths.add(f.path()));
        return paths;
    }

    /** How many files each folder holds, folder relative to the root. */
    public Map<String, Integer> countByFolder() {
        var counts = new LinkedHashMap<String, Integer>();
        files.forEach(f -> counts.merge(String.valueOf(Path.of(f.path()).getParent()), 1, Integer::sum));
        return counts;
    }
}
