package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.django.Migrations;
import lib.files.Disk;

/**
 * The migration files that a run replaces, as run.json keeps them. Paths are relative to the project's root.
 *
 * @param old   the files that were there
 * @param fresh sha256 of the new files by path
 * @param made  folders and {@code __init__.py} that the run creates, the innermost first
 * @param apps  labels of the apps whose migrations are new
 * @param drift what makemigrations would write nevertheless: no fault of the reset
 */
record RunMigrations(
        List<Migrations.File> old, Map<String, String> fresh, List<String> made, List<String> apps, Set<String> drift) {
    static final RunMigrations NONE = new RunMigrations(List.of(), Map.of(), List.of(), List.of(), Set.of());

    /** Records of older versions lack the last two. */
    public RunMigrations {
        if (apps == null) apps = List.of();
        if (drift == null) drift = Set.of();
    }

    Migrations oldIn(Path root) { return new Migrations(root, old); }

    /** The folders that have old files or new ones. */
    Set<Path> folders(Path root) {
        return Stream.concat(old.stream().map(Migrations.File::path), fresh.keySet().stream())
                .map(path -> root.resolve(path).getParent()).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** Whether the old files are all in place, and nothing new is. */
    boolean areOldInPlace(Path root) throws IOException {
        var replaced = oldIn(root).paths();
        for (var path : Stream.concat(fresh.keySet().stream(), made.stream()).toList())
            if (!replaced.contains(path) && exists(root.resolve(path))) return false;
        return oldIn(root).allInPlace();
    }

    /** The new files that are gone, or are no longer what the run wrote. */
    List<String> changedFresh(Path root) throws IOException {
        var changed = new ArrayList<String>();
        for (var file : fresh.entrySet())
            if (!Disk.hasContent(root.resolve(file.getKey()), file.getValue())) changed.add(file.getKey());
        return changed;
    }

    /** Whether the new files are all in place, and none of the old ones that they replace. */
    boolean areFreshInPlace(Path root) throws IOException {
        if (!changedFresh(root).isEmpty()) return false;
        return old.stream().noneMatch(kept -> !fresh.containsKey(kept.path()) && exists(root.resolve(kept.path())));
    }

    /** Whether a new file of the run is in this checkout. */
    boolean isAnyFreshIn(Path checkout) throws IOException {
        for (var file : fresh.entrySet()) {
            var path = checkout.resolve(file.getKey());
            if (Files.isRegularFile(path) && Disk.sha256(Files.readAllBytes(path)).equals(file.getValue())) return true;
        }
        return false;
    }

    private static boolean exists(Path path) {
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }

    /** Removes what a kill left half-written, and the packages that the run created, unless they hold anything else. */
    void removeMade(Path root) throws IOException {
        for (var path : Stream.of(oldIn(root).paths(), fresh.keySet(), made).flatMap(Collection::stream).toList())
            if (Files.isDirectory(root.resolve(path).getParent())) Disk.removePartial(root.resolve(path));
        for (var path : made) {
            var file = root.resolve(path);
            if (path.endsWith("__init__.py")) {
                if (Files.isRegularFile(file) && Files.size(file) == 0) Files.delete(file);
            } else if (Files.isDirectory(file) && isEmpty(file)) {
                Files.delete(file);
            }
        }
    }

    private static boolean isEmpty(Path folder) throws IOException {
        try (Stream<Path> left = Files.list(folder)) {
            return left.findAny().isEmpty();
        }
    }
}
