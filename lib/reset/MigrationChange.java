package lib.reset;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import lib.django.Migrations;
import lib.django.NewMigrations;
import lib.files.Disk;
import lib.project.Git;

/**
 * The migration files of the selected apps and those that replace them.
 *
 * @param fresh       the new ones: text by path relative to the project's root, sorted
 * @param drift       what makemigrations would write even with these
 * @param unwritten   tables and columns that models of other apps want and no migration makes
 * @param uncommitted changes to the old files that git does not have
 */
record MigrationChange(Migrations old,
        Map<String, String> fresh, Set<String> drift, List<NewMigrations.UnwrittenChange> unwritten,
                              List<Git.Change> uncommitted) {

    /** For run.json. @param apps the labels of the selected apps */
    RunMigrations record(List<String> apps) {
        var root = old.root();
        var hashes = new LinkedHashMap<String, String>();
        var missing = new ArrayList<String>();
        fresh.forEach((path, text) -> {
            hashes.put(path, Disk.sha256(text.getBytes(StandardCharsets.UTF_8)));
            var folder = Path.of(path).getParent();
            if (!Files.exists(root.resolve(folder).resolve("__init__.py")))
                missing.add(folder.resolve("__init__.py").toString());
            for (; folder != null && !Files.exists(root.resolve(folder)); folder = folder.getParent()) {
                missing.add(folder.resolve("__init__.py").toString());
                missing.add(folder.toString());
            }
        });
        var innermostFirst = missing.stream().distinct().sorted(Comparator.comparing(String::length).reversed())
                .toList();
        return new RunMigrations(old.files(), hashes, innermostFirst, apps, drift);
    }
}
