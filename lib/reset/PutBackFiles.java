package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.django.Migrations;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.files.Text;
import lib.plan.Step;

/**
 * The user's undo for files: moves the newer migrations, including those written since the reset, into the run's
 * {@code undone/}, and puts the old ones back.
 *
 * @param newer   what is moved
 * @param present all migrations that exist now, also those that are the same in the old set
 */
record PutBackFiles(Run reset, Migrations newer, Set<String> present) implements Step {

    /** @throws Failure an old file is lost: before anything is touched */
    static PutBackFiles of(Run run) throws IOException {
        var root = run.root();
        var migrations = run.migrations();
        migrations.oldIn(root).requireCopies(new RunStore(run).oldFolders());
        var old = migrations.old().stream().collect(Collectors.toMap(Migrations.File::path, Migrations.File::sha256));
        var now = Migrations.in(root, migrations.folders(root));
        // without what an interrupted undo has put back
        var newer = now.files().stream().filter(f -> !f.sha256().equals(old.get(f.path()))).toList();
        return new PutBackFiles(run, new Migrations(root, newer), now.paths());
    }

    private Migrations old() { return reset.migrations().oldIn(reset.root()); }
    private RunStore store() { return new RunStore(reset); }

    @Override public String describe() {
        return "put %s back, set %d newer aside"
                .formatted(Text.count(reset.migrations().old().size(), "old migration file"), newer.files().size());
    }

    /** The folders that it writes into. */
    Stream<Path> folders() {
        var store = Files.isDirectory(store().folder()) ? store().folder() : store().copy();
        return Stream.concat(Stream.of(store), reset.migrations().folders(reset.root()).stream());
    }

    @Override public void run() throws IOException {
        var kept = Files.isDirectory(store().folder()); // one of the two exists, or this run would not have been found
        if (kept) keepIn(store().folder());
        try {
            if (Files.isDirectory(store().copy())) keepIn(store().copy());
        } catch (IOException full) {
            if (!kept) throw full; // one copy is enough
        }
        old().restoreFrom(store().oldFolders());
        Checkpoint.reached("put all back");
        newer.removeExcept(old().paths());
        Checkpoint.reached("removed all newer");
        reset.migrations().removeMade(reset.root());
    }

    private void keepIn(Path folder) throws IOException {
        Disk.createPrivateFolder(folder.resolve("undone"));
        newer.copyTo(folder.resolve("undone"));
        Checkpoint.reached("kept the newer files in " + folder);
    }

    @Override public void undo() throws IOException {
        if (store().undoneFolders().isEmpty()) return; // nothing was moved yet
        old().removeExcept(present); // first, to make room on a full disk
        newer.restoreFrom(store().undoneFolders());
        for (var store : store().undoneFolders())
            for (var path : newer.paths())
                Files.deleteIfExists(store.resolve(path)); // back in place, so this copy is no longer needed
        for (var made : reset.migrations().made()) {
            var init = reset.root().resolve(made);
            if (made.endsWith("__init__.py") && Files.isDirectory(init.getParent()) && !Files.exists(init))
                Disk.replace(init, new byte[0], null, init.getParent());
        }
    }
}
