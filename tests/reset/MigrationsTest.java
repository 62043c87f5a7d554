package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import lib.django.Migrations;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The migration files of a reset: replaced, put back, and put back again after a kill. */
class MigrationsTest {
    @TempDir Path temp;
    private Path root;
    private Path folder;
    private Path bare;

    @BeforeEach void project() throws IOException {
        root = Files.createDirectory(temp.resolve("pro ject")).toRealPath();
        folder = Files.createDirectories(root.resolve("backend/flows/migrations"));
        bare = Files.createDirectories(root.resolve("backend/stats"));
        write("__init__.py", "");
        write("0001_initial.py", "old 1");
        write("0002_naïve name.py", "old 2");
        write("_helpers.py", "helper");
        Files.createDirectories(folder.resolve("data"));
        write("data/__init__.py", "");
        Files.createDirectories(folder.resolve("__pycache__"));
        write("__pycache__/0001_initial.cpython-311.pyc", "compiled");
        mode("0002_naïve name.py", "rw-rw----");
    }

    private void write(String name, String text) throws IOException {
        Files.writeString(folder.resolve(name), text);
    }

    private void mode(String name, String mode) throws IOException {
        Files.setPosixFilePermissions(folder.resolve(name), PosixFilePermissions.fromString(mode));
    }

    private Migrations found() throws IOException {
        return Migrations.in(root, List.of(folder, bare.resolve("migrations")));
    }

    private Run run(Migrations old, Map<String, String> fresh) {
        var hashes = new TreeMap<String, String>();
        fresh.forEach((path, text) -> hashes.put(path, Disk.sha256(text.getBytes(StandardCharsets.UTF_8))));
        var origin = new Run.Origin("20260101-000000-0000", "test", "", root.toString(), "u@h:1/d", "swap");
        var made = List.of("backend/stats/migrations/__init__.py", "backend/stats/migrations");
        return new Run(origin, Run.Outcome.RUNNING, new DroppedTables("r", "shop", "public", List.of()),
                new RunMigrations(old.files(), hashes, made, List.of("flows", "stats"), Set.of()), null, List.of());
    }

    private static Map<String, String> fresh() {
        return new TreeMap<>(Map.of("backend/flows/migrations/0001_initial.py", "new 1",
                "backend/stats/migrations/0001_initial.py", "new stats"));
    }

    /** Every file below the root except the run's: path, mode, content. */
    private Map<String, String> tree() throws IOException {
        var all = new TreeMap<String, String>();
        try (var files = Files.walk(root)) {
            for (var file : files.filter(f -> !f.startsWith(root.resolve(".reset"))
                        && !f.toString().contains("__pycache__")).toList()) all.put(root.relativize(file).toString(),
                    PosixFilePermissions.toString(Files.getPosixFilePermissions(file)) + " "
                        + (Files.isRegularFile(file) ? Files.readString(file) : "folder"));
        }
        return all;
    }

    @Test void only_files_that_django_loads_count_as_migrations() throws IOException {
        assertEquals(List.of("backend/flows/migrations/0001_initial.py", "backend/flows/migrations/0002_naïve name.py"),
                List.copyOf(found().paths()));
    }

    @Test void replace_and_undo_leave_every_file_as_it_was() throws IOException {
        var before = tree();
        var run = run(found(), fresh());
        new RunStore(run).create();
        var step = new ReplaceFiles(found(), fresh(), run);
        step.run();
        assertNotEquals(before, tree()); // the comparison can fail
        assertEquals("new 1", Files.readString(folder.resolve("0001_initial.py")));
        assertFalse(Files.exists(folder.resolve("0002_naïve name.py")));
        assertFalse(Files.exists(folder.resolve("__pycache__")));
        assertTrue(Files.exists(folder.resolve("_helpers.py")) && Files.exists(folder.resolve("data/__init__.py")));
        assertTrue(Files.exists(bare.resolve("migrations/__init__.py")));
        step.undo();
        assertEquals(before, tree());
        step.undo();
        assertEquals(before, tree());
        new RunStore(run).remove();
    }

    @Test void an_edit_made_while_the_new_database_was_being_built_is_neither_replaced_nor_undone() throws IOException {
        var run = run(found(), fresh());
        new RunStore(run).create();
        var step = new ReplaceFiles(found(), fresh(), run);
        write("0001_initial.py", "edited meanwhile");
        var edited = tree();
        assertChanged("backend/flows/migrations/0001_initial.py", assertThrows(Failure.class, step::run).problem());
        step.undo();
        assertEquals(edited, tree());
        new RunStore(run).remove();
    }

    @Test void a_migration_that_appeared_at_the_path_of_a_new_one_is_neither_replaced_nor_undone() throws IOException {
        var run = run(found(), fresh());
        new RunStore(run).create();
        var step = new ReplaceFiles(found(), fresh(), run);
        Files.createDirectory(bare.resolve("migrations"));
        Files.writeString(bare.resolve("migrations/0001_initial.py"), "made by hand meanwhile");
        assertChanged(root.relativize(bare.resolve("migrations/0001_initial.py")).toString(),
                assertThrows(Failure.class, step::run).problem());
        step.undo();
        assertEquals("made by hand meanwhile", Files.readString(bare.resolve("migrations/0001_initial.py")));
        new RunStore(run).remove();
    }

    private static void assertChanged(String path, Problem problem) {
        assertEquals(path + " was changed by somebody else while the reset was running", problem.what());
        assertEquals(List.of("run the reset again"), problem.next());
        assertEquals(ExitCode.FAILED, problem.exit());
    }

    @Test void new_files_follow_the_mode_of_their_folder() throws IOException {
        Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxrwx---"));
        var run = run(found(), fresh());
        new RunStore(run).create();
        new ReplaceFiles(found(), fresh(), run).run();
        assertEquals("rw-rw----",
                PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve("0001_initial.py"))));
        new RunStore(run).remove();
    }

    @Test void undo_sets_newer_migrations_aside_including_those_written_since() throws IOException {
        var before = tree();
        var run = run(found(), fresh());
        new RunStore(run).create();
        new ReplaceFiles(found(), fresh(), run).run();
        write("0002_since.py", "written after the reset");
        PutBackFiles.of(run).run();
        assertEquals(before, tree());
        assertEquals("written after the reset",
                Files.readString(new RunStore(run).folder().resolve("undone/backend/flows/migrations/0002_since.py")));
        assertEquals("new 1", Files.readString(
                new RunStore(run).folder().resolve("undone/backend/flows/migrations/0001_initial.py")));
        PutBackFiles.of(run).run(); // again, as after a kill
        assertEquals(before, tree());
        assertEquals("new 1", Files.readString(
                new RunStore(run).folder().resolve("undone/backend/flows/migrations/0001_initial.py")));
        new RunStore(run).remove();
    }

    @Test void files_that_were_put_back_are_replaced_again_when_a_later_step_fails() throws IOException {
        var run = run(found(), fresh());
        new RunStore(run).create();
        new ReplaceFiles(found(), fresh(), run).run();
        var after = tree();
        var step = PutBackFiles.of(run);
        step.run();
        assertNotEquals(after, tree());
        step.undo();
        assertEquals(after, tree());
        new RunStore(run).remove();
    }

    @Test void a_migration_that_is_the_same_in_both_sets_stays_when_the_undo_fails() throws IOException {
        var same = new TreeMap<>(fresh());
        same.put("backend/flows/migrations/0001_initial.py", Files.readString(folder.resolve("0001_initial.py")));
        var run = run(found(), same);
        new RunStore(run).create();
        new ReplaceFiles(found(), same, run).run();
        var after = tree();
        var step = PutBackFiles.of(run);
        step.run();
        step.undo();
        assertEquals(after, tree());
        new RunStore(run).remove();
    }

    @Test void old_files_are_restored_from_the_second_copy_when_the_first_is_lost() throws IOException {
        var before = tree();
        var run = run(found(), fresh());
        new RunStore(run).create();
        new ReplaceFiles(found(), fresh(), run).run();
        Disk.removeTree(root.resolve(".reset"));
        PutBackFiles.of(run).run();
        assertEquals(before, tree());
        new RunStore(run).remove();
    }

    @Test void a_damaged_copy_is_never_put_back() throws IOException {
        var run = run(found(), fresh());
        new RunStore(run).create();
        new ReplaceFiles(found(), fresh(), run).run();
        for (var store : new RunStore(run).oldFolders())
            Files.writeString(
                    store.resolve("backend/flows/migrations/0001_initial.py"), "damaged"); // both copies
        var failure = org.junit.jupiter.api.Assertions.assertThrows(Failure.class, () -> PutBackFiles.of(run).run());
        assertEquals("no intact copy of backend/flows/migrations/0001_initial.py is left in " + String.join(" or ",
                new RunStore(run).oldFolders().stream().map(Path::toString).toList()), failure.getMessage());
        assertEquals(ExitCode.FAILED, failure.problem().exit());
        assertEquals("new 1", Files.readString(folder.resolve("0001_initial.py")));
        new RunStore(run).remove();
    }

    @Test void a_symbolic_link_to_a_place_outside_the_project_is_refused() throws IOException {
        var outside = Files.createDirectory(temp.resolve("elsewhere"));
        Files.writeString(outside.resolve("0001_initial.py"), "not ours");
        Files.createSymbolicLink(bare.resolve("migrations"), outside);
        var failure = assertThrows(Failure.class, this::found);
        assertEquals(ExitCode.REFUSED, failure.problem().exit());
    }

    @Test void a_symbolic_link_is_moved_and_its_target_never_written() throws IOException {
        var target = Files.writeString(root.resolve("shared_initial.py"), "shared");
        Files.delete(folder.resolve("0001_initial.py"));
        Files.createSymbolicLink(folder.resolve("0001_initial.py"), Path.of("../../../shared_initial.py"));
        var run = run(found(), fresh());
        new RunStore(run).create();
        var step = new ReplaceFiles(found(), fresh(), run);
        step.run();
        assertEquals("shared", Files.readString(target));
        step.undo();
        assertEquals("../../../shared_initial.py",
                Files.readSymbolicLink(folder.resolve("0001_initial.py")).toString());
        new RunStore(run).remove();
    }

    @Test void the_files_of_a_run_are_readable_by_their_owner_only() throws IOException {
        var run = run(found(), fresh());
        new RunStore(run).create();
        for (var base : List.of(new RunStore(run).folder(), new RunStore(run).copy()))
            try (var files = Files.walk(base)) {
                for (var file : files.toList())
                    assertEquals(Files.isDirectory(file) ? "rwx------" : "rw-------",
                            PosixFilePermissions.toString(Files.getPosixFilePermissions(file)), file.toString());
            }
        new RunStore(run).remove();
        assertFalse(Files.exists(root.resolve(".reset")));
    }
}
