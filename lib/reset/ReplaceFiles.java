package lib.reset;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import lib.django.Migrations;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.plan.Step;

/**
 * The old migration files go, the new ones come. The old ones lie in the run's folder before this begins.
 *
 * @param fresh new files' texts by path relative to the root, sorted
 */
public record ReplaceFiles(Migrations old, Map<String, String> fresh, Run record) implements Step {

    @Override public String describe() {
        return "replace %d migration file%s by %d".formatted(old.files().size(), old.files().size() == 1 ? "" : "s", fresh.size());
    }

    /** Where it writes. */
    public Stream<Path> folders() {
        return Stream.concat(old.paths().stream(), fresh.keySet().stream()).map(path -> old.root().resolve(path).getParent()).distinct();
    }

    @Override public void run() throws IOException {
        old.requireUnchanged(); // minutes may have passed since they were copied
        for (var path : fresh.keySet())
            if (!old.paths().contains(path) && Files.exists(old.root().resolve(path), LinkOption.NOFOLLOW_LINKS)) throw Migrations.changed(path);
        for (var file : fresh.entrySet()) {
            var path = old.root().resolve(file.getKey());
            makePackage(path.getParent());
            Migrations.removeCache(path.getParent());
            Disk.replace(path, file.getValue().getBytes(StandardCharsets.UTF_8), null, path.getParent());
            Checkpoint.reached("replaced " + file.getKey());
        }
        old.removeExcept(fresh.keySet());
        for (var folder : fresh.keySet().stream().map(path -> old.root().resolve(path).getParent()).distinct().toList()) Disk.fsync(folder);
    }

    /** An app may have models and no migrations package yet (MIGRATION_MODULES: nor those above it), or a folder that lost its {@code __init__.py}. */
    private void makePackage(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            if (!Files.isDirectory(folder.getParent())) makePackage(folder.getParent());
            Files.createDirectory(folder);
            Disk.copyOwner(folder, folder.getParent());
        }
        var init = folder.resolve("__init__.py");
        if (!Files.exists(init)) Disk.replace(init, new byte[0], null, folder);
    }

    @Override public void undo() throws IOException {
        var replaced = old.paths();
        for (var file : record.fresh().entrySet()) {
            var path = old.root().resolve(file.getKey());
            if (!replaced.contains(file.getKey()) && Disk.hasContent(path, file.getValue())) Files.delete(path);
            if (Files.isDirectory(path.getParent())) Migrations.removeCache(path.getParent());
        }
        old.replacedBy(record.fresh()).restoreFrom(record.oldFolders());
        record.removeMade();
    }
}
