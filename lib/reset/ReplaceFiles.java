package lib.reset;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Map;
import lib.django.Migrations;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.files.Text;
import lib.plan.Step;

/**
 * Replaces the old migration files by the new ones. The run's folder already has copies of the old ones.
 *
 * @param fresh the new texts by path relative to the root, sorted
 */
record ReplaceFiles(Migrations old, Map<String, String> fresh, Run reset) implements Step {

    @Override public String describe() {
        return "replace %s by %d".formatted(Text.count(old.files().size(), "migration file"), fresh.size());
    }

    @Override public void run() throws IOException {
        old.requireUnchanged(); // minutes may have passed since they were copied
        for (var path : fresh.keySet())
            if (!old.paths().contains(path) && Files.exists(old.root().resolve(path), LinkOption.NOFOLLOW_LINKS))
                throw Migrations.changed(path);
        for (var file : fresh.entrySet()) {
            var path = old.root().resolve(file.getKey());
            makePackage(path.getParent());
            Migrations.removeCache(path.getParent());
            Disk.replace(path, file.getValue().getBytes(StandardCharsets.UTF_8), null, path.getParent());
            Checkpoint.reached("replaced " + file.getKey());
        }
        old.removeExcept(fresh.keySet());
        for (var folder : fresh.keySet().stream().map(path -> old.root().resolve(path).getParent()).distinct().toList())
            Disk.fsync(folder);
    }

    /** An app may have models and no migrations package, not even the packages above it, or no {@code __init__.py}. */
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
        for (var file : reset.migrations().fresh().entrySet()) {
            var path = old.root().resolve(file.getKey());
            if (!replaced.contains(file.getKey()) && Disk.hasContent(path, file.getValue())) Files.delete(path);
            if (Files.isDirectory(path.getParent())) Migrations.removeCache(path.getParent());
        }
        old.replacedBy(reset.migrations().fresh()).restoreFrom(new RunStore(reset).oldFolders());
        reset.migrations().removeMade(old.root());
    }
}
