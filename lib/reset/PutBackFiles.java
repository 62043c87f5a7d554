package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.django.Migrations;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.plan.Step;

/**
 * The user's undo for files: the newer migrations go into the run's {@code undone/}, the old ones come home.
 * Migrations written since the reset go aside with them.
 *
 * @param newer what goes aside
 * @param there all migrations that were there, also those that are the same in the old set
 */
public record PutBackFiles(Run reset, Migrations newer, Set<String> there) implements Step {

    /** Looks at what lies in the run's folders now. @throws Failure an old file is lost: before anything is touched */
    public static PutBackFiles of(Run run) throws IOException {
        var root = Path.of(run.root());
        run.oldFiles().requireCopies(run.oldFolders());
        var folders = new LinkedHashSet<Path>();
        run.old().forEach(f -> folders.add(root.resolve(f.path()).getParent()));
        run.fresh().keySet().forEach(f -> folders.add(root.resolve(f).getParent()));
        var old = run.old().stream().collect(Collectors.toMap(Migrations.File::path, Migrations.File::sha256));
        var now = Migrations.in(root, folders);
        return new PutBackFiles(run, new Migrations(root, now.files().stream()
                .filter(f -> !f.sha256().equals(old.get(f.path()))).toList()), now.paths()); // what an interrupted undo has put back is not newer
    }

    @Override public String describe() {
        return "put %d old migration file%s back, %d newer aside".formatted(reset.old().size(), reset.old().size() == 1 ? "" : "s", newer.files().size());
    }

    /** Where it writes. */
    public Stream<Path> folders() {
        var store = Files.isDirectory(reset.folder()) ? reset.folder() : reset.copy();
        return Stream.concat(Stream.of(store), new ReplaceFiles(reset.oldFiles(), reset.fresh(), reset).folders());
    }

    @Override public void run() throws IOException {
        var kept = Files.isDirectory(reset.folder()); // one of the two is there, or this run would not have been found
        if (kept) keepIn(reset.folder());
        try {
            if (Files.isDirectory(reset.copy())) keepIn(reset.copy());
        } catch (IOException full) {
            if (!kept) throw full; // one copy is enough
        }
        reset.oldFiles().restoreFrom(reset.oldFolders());
        Checkpoint.reached("put all back");
        newer.removeExcept(reset.oldFiles().paths());
        Checkpoint.reached("removed all newer");
        reset.removeMade();
    }

    private void keepIn(Path folder) throws IOException {
        Disk.createPrivateFolder(folder.resolve("undone"));
        newer.copyTo(folder.resolve("undone"));
        Checkpoint.reached("kept the newer files in " + folder);
    }

    @Override public void undo() throws IOException {
        if (reset.undoneFolders().isEmpty()) return; // nothing was moved yet
        reset.oldFiles().removeExcept(there); // first: on a full disk that makes the room
        newer.restoreFrom(reset.undoneFolders());
        for (var store : reset.undoneFolders())
            for (var path : newer.paths()) Files.deleteIfExists(store.resolve(path)); // home again, so this is one too many
        for (var made : reset.made()) {
            var init = Path.of(reset.root()).resolve(made);
            if (made.endsWith("__init__.py") && Files.isDirectory(init.getParent()) && !Files.exists(init))
                Disk.replace(init, new byte[0], null, init.getParent());
        }
    }
}
