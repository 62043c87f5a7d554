package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.cli.Script;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.files.FolderLock;
import lib.files.Host;
import lib.plan.Step;
import lib.postgres.Database;
import lib.project.Project;

/**
 * Where a run is kept: {@code .reset/<id>/run.json} with the old files beside it, and a copy of both in the user's
 * state folder, because {@code git clean} may remove {@code .reset/}.
 */
public record RunStore(Run run) {

    // ---- folders -----------------------------------------------------------------------------

    /** {@code .reset/<id>}. */
    Path folder() { return run.root().resolve(".reset").resolve(run.id()); }

    /** The second copy, outside the project. */
    Path copy() { return stateFolder().resolve(run.id()); }

    /** Without a home, a folder that no ordinary user may write to. */
    static Path stateFolder() {
        return Host.stateFolder(System.getenv()).orElse(Path.of("/")).resolve("reset_migrations");
    }

    private boolean exists() { return Files.isDirectory(folder()) || Files.isDirectory(copy()); }

    /** The folders with the old files that exist: in the project and in the copy. */
    List<Path> oldFolders() { return existing("old"); }

    /** The folders where an undo has put the newer files. */
    List<Path> undoneFolders() { return existing("undone"); }

    private List<Path> existing(String name) {
        return Stream.of(folder(), copy()).map(folder -> folder.resolve(name)).filter(Files::isDirectory).toList();
    }

    // ---- written -----------------------------------------------------------------------------

    /**
     * Writes both copies, durable, before anything else is touched.
     *
     * @return why there is no second copy: a service without a home has only the first one
     */
    Optional<String> create() throws IOException {
        Disk.createPrivateFolder(folder().getParent());
        FolderLock.writeGitignore(folder().getParent());
        writeInto(partial(folder()));
        Checkpoint.reached("kept in the project alone");
        Optional<String> missing = Optional.empty();
        try {
            writeInto(partial(copy()));
            rename(partial(copy()), copy());
        } catch (IOException noHome) {
            removeIfThere(partial(copy()));
            missing = Optional.of("%s (%s)".formatted(copy(), Failure.firstLine(noHome)));
        }
        Checkpoint.reached("the copy is whole");
        rename(partial(folder()), folder());
        return missing;
    }

    private void writeInto(Path folder) throws IOException {
        var old = folder.resolve("old");
        Disk.createPrivateFolder(old);
        run.migrations().oldIn(run.root()).copyTo(old);
        Disk.writePrivate(folder.resolve("run.json"), run.json());
        Disk.fsync(folder);
    }

    /** A run's folder while it is not whole yet, or is being removed. */
    private static Path partial(Path folder) {
        return folder.resolveSibling("~" + folder.getFileName());
    }

    static boolean isPartial(Path folder) {
        return folder.getFileName().toString().startsWith("~");
    }

    private static void rename(Path from, Path to) throws IOException {
        if (!Files.isDirectory(from)) return;
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        Disk.fsync(to.getParent());
    }

    /** Removes the partial folders that killed runs of this project have left; only for the holder of the lock. */
    public static void sweep(Project project) throws IOException {
        if (!Files.isDirectory(project.runs())) return;
        try (Stream<Path> children = Files.list(project.runs())) {
            for (var left : children.filter(RunStore::isPartial).toList()) {
                removeIfThere(stateFolder().resolve(left.getFileName()));
                Disk.removeTree(left); // last, because its name leads to the other one
            }
        }
    }

    /** Writes run.json in both places, as far as they exist. */
    void save() throws IOException {
        if (!Files.isDirectory(folder())) {
            saveIn(copy());
            return;
        }
        saveIn(folder());
        try {
            if (Files.isDirectory(copy())) saveIn(copy());
        } catch (IOException ignored) {
            // a full disk: the first copy counts while it exists, and the second still says where everything is
        }
    }

    private void saveIn(Path folder) throws IOException {
        var file = folder.resolve("run.json");
        if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), run.json()))
            return; // a full disk has no room to write it again
        Disk.writePrivate(file, run.json());
        Disk.fsync(folder);
        Checkpoint.reached(run.outcome() + " written in " + folder.getParent());
    }

    /** Records how the run has ended. @param command that records it later, when it cannot be written now */
    static void saveEnd(Run ended, String command) {
        try {
            new RunStore(ended).save();
        } catch (IOException e) {
            throw Failure.partly("the run %s is %s, but its record cannot be written: %s"
                    .formatted(ended.id(), ended.outcome(), Failure.firstLine(e)))
                    .next("when that is repaired: " + command).causedBy(e);
        }
    }

    /** Removes the record: the run's files were put back, or what it set aside was purged. */
    void remove() throws IOException {
        rename(folder(), partial(folder()));
        Checkpoint.reached("removed from the project alone");
        rename(copy(), partial(copy()));
        Checkpoint.reached("removed, but not swept");
        removeIfThere(partial(copy()));
        removeIfThere(partial(folder()));
        for (var parent : List.of(folder().getParent(), copy().getParent())) removeIfEmpty(parent);
    }

    private static void removeIfThere(Path folder) throws IOException {
        if (Files.isDirectory(folder)) Disk.removeTree(folder);
    }

    /** A link or a mount point stays. */
    private static void removeIfEmpty(Path folder) {
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) return;
        try (Stream<Path> left = Files.list(folder)) {
            if (left.anyMatch(f -> !f.getFileName().toString().equals(".gitignore"))) return;
            Files.deleteIfExists(folder.resolve(".gitignore"));
            Files.delete(folder); // fails when another project puts something into it now
        } catch (IOException ignored) {
            // gone already, or a mount point, or in a folder of another owner
        }
    }

    // ---- steps -------------------------------------------------------------------------------

    /** Writes the record and keeps the old files; its undo removes them. @param backup supplies the file, or null */
    public Step keep(Supplier<Path> backup, Database db, Console console) {
        var what = run.changesFiles() ? "keep the old migration files in .reset/" : "record what undo needs in .reset/";
        return Step.of(what + run.id(), () -> {
            new RunStore(run.withBackup(backup.get())).create().ifPresent(why -> console.warn("there is no second copy "
                    + "of the old migration files, so take care of .reset/: cannot write " + why));
            console.logTo(folder().resolve("log"));
        }, () -> removeIfUnneeded(db), () -> saveEnd(run.with(Run.Outcome.DONE).withBackup(backup.get()),
                Script.RESET_MIGRATIONS.command("finish", run.id())));
    }

    /** When a step could not be undone, undo still needs the record. */
    private void removeIfUnneeded(Database db) throws IOException {
        var displaced = run.migrations().oldIn(run.root()).replacedBy(run.migrations().fresh());
        if (!displaced.files().isEmpty() || run.previous().state(db) != PreviousState.State.OLD_IS_LIVE)
            throw Failure.partly("not everything was put back, so .reset/%s is kept for undo".formatted(run.id()));
        remove();
    }

    /** The step, with the run's outcome {@code during} while it changes things; its undo restores the outcome. */
    Step marked(Run.Outcome during, Step step) {
        return Step.of(step.describe(), () -> {
            new RunStore(run.with(during)).save();
            step.run();
        }, () -> {
            step.undo();
            if (exists()) save();
        }, step::finish);
    }

    /** Removes a run. @param files where its migration files go, or null to remove them */
    Step end(Path files) {
        var forget = "forget the run " + run.id() + (run.changesFiles() ? " and the migration files it kept" : "");
        var move = "move the migration files of %s to %s".formatted(run.id(), files);
        return Step.of(files == null ? forget : move, () -> {
            if (files != null) copyFilesTo(files);
            remove();
        }, () -> {
            if (!exists()) throw PreviousState.purged("the record of run " + run.id());
        });
    }

    private void copyFilesTo(Path folder) throws IOException {
        for (var name : List.of("old", "undone")) {
            for (var from : existing(name).reversed()) { // the project's own last: it wins
                try (Stream<Path> all = Files.walk(from)) {
                    for (var file : all.filter(Files::isRegularFile).toList()) {
                        var to = folder.resolve(name).resolve(from.relativize(file));
                        Disk.createPrivateFolder(to.getParent());
                        Disk.writePrivate(to, Files.readAllBytes(file));
                        Disk.fsync(to.getParent());
                    }
                }
            }
        }
    }
}
