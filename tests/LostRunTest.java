import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.Map;
import lib.files.Disk;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** What was set aside is found even when the run's record is lost or damaged. */
class LostRunTest {
    private static final Path OTHER_FILE_SYSTEM = Path.of("/dev/shm");
    private static int lost, found;

    @TempDir Path temp;
    private SampleProject crm;
    private Postgres.Db db;
    private Path state;
    private List<String> rows, files;

    @AfterAll static void figures() {
        System.out.printf("lost records: %d of %d found%n", found, lost);
    }

    @BeforeEach void an_old_state() throws Exception {
        db = Postgres.database(Postgres.role("crm_user", "CREATEDB"));
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE shop_order (id serial PRIMARY KEY, number int, CONSTRAINT positive CHECK (number >"
                            + " 0)); INSERT INTO shop_order (number) SELECT generate_series(1, 50)");
        }
        state = temp.resolve("state");
        crm = SampleProject.tiny(Files.createDirectory(temp.resolve("crm")).toRealPath(), Map.of("shop/models.py",
                                """
                                from django.db import models
                                class Order(models.Model):
                                    number = models.IntegerField()
                                """,
                                "shop/migrations/0001_initial.py",
                                """
                                from django.db import migrations
                                class Migration(migrations.Migration):
                                    dependencies = []
                                    operations = [migrations.RunPython(print)]
                                """,
                                "shop/migrations/0002_by_hand.py",
                                """
                                from django.db import migrations
                                class Migration(migrations.Migration):
                                    dependencies = [("shop", "0001_gone")]
                                    operations = []
                                """))
                .env(db);
        rows = Snapshot.of(db);
        files = Snapshot.of(crm.root());
    }

    private Tool.Output reset(SampleProject in, String... args) throws Exception {
        return Tool.in(in.root(), "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                .env("XDG_STATE_HOME", state.toString()).run(args);
    }

    private Tool.Output reset(String... args) throws Exception {
        return reset(crm, args);
    }

    private static void assertDone(Tool.Output output) {
        assertEquals(0, output.code(), output.all());
    }

    private static void git(Path folder, String... args) throws Exception {
        var command =
                new java.util.ArrayList<>(List.of("git", "-c", "user.name=ana", "-c", "user.email=ana@example.com"));
        command.addAll(List.of(args));
        var process = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
        var said = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), said);
    }

    private Path run() throws IOException {
        try (var runs = Files.list(state.resolve("reset_migrations"))) {
            return crm.root().resolve(".reset").resolve(runs.findFirst().orElseThrow().getFileName());
        }
    }

    private Path copy() throws IOException {
        return state.resolve("reset_migrations").resolve(run().getFileName());
    }

    private List<JsonObject> status(SampleProject in) throws Exception {
        var output = reset(in, "status", "--json");
        assertDone(output);
        return output.out().lines().map(line -> JsonParser.parseString(line).getAsJsonObject()).toList();
    }

    /** Status knows the run, and undo restores the old state. */
    private void assertFound(SampleProject from) throws Exception {
        lost++;
        var run = status(from).getLast();
        assertEquals("run", run.get("event").getAsString(), run.toString());
        assertEquals("NEW_IS_LIVE", run.get("state").getAsString());
        assertNotEquals(rows, Snapshot.of(db), "nothing to undo");
        assertDone(reset(from, "undo", "--yes"));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(crm.root()));
        found++;
    }

    /** Purge drops everything that the undo has set aside. */
    private void assertPurged(SampleProject from) throws Exception {
        lost++;
        assertDone(reset(from, "purge", "--yes", "--no-backup"));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(List.of(), asideOnServer());
        assertFalse(Files.exists(state.resolve("reset_migrations")));
        found++;
    }

    private List<String> asideOnServer() throws Exception {
        var names = new java.util.ArrayList<String>();
        try (var connection = db.connect();
                var rows = connection.createStatement().executeQuery("""
                    SELECT datname FROM pg_database WHERE datname LIKE current_database() || '\\_%' UNION ALL
                    SELECT nspname FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'""")) {
            while (rows.next()) names.add(rows.getString(1));
        }
        return names;
    }

    // ---- .reset/ is missing or elsewhere -----------------------------------------------------

    static List<String> cleanings() {
        return Sample.of("cleanings", List.of("swap -fdX", "park -fdx"), 1);
    }

    @ParameterizedTest @MethodSource("cleanings")
    void git_clean_between_reset_and_undo(String how) throws Exception {
        git(crm.root(), "init", "-q");
        Files.writeString(crm.root().resolve(".gitignore"), "__pycache__/\n");
        git(crm.root(), "add", "-A");
        git(crm.root(), "commit", "-qm", "as it was");
        files = Snapshot.of(crm.root());
        assertDone(reset("--yes", "--strategy", how.split(" ")[0]));
        assertTrue(Files.exists(run()));
        git(crm.root(), "clean", "-q", how.split(" ")[1]);
        assertFalse(Files.exists(crm.root().resolve(".reset")));
        files.addAll(Snapshot.of(crm.root()).stream().filter(line -> line.startsWith(".git/") && !files.contains(line))
                .toList()); // git's own
        files = files.stream().filter(line -> !line.startsWith(".git/")).toList();
        lost++;
        assertEquals("NEW_IS_LIVE", status(crm).getLast().get("state").getAsString());
        assertDone(reset("undo", "--yes"));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(crm.root()).stream().filter(line -> !line.startsWith(".git/")).toList());
        assertFalse(Files.exists(crm.root().resolve(".reset")));
        found++;
        assertPurged(crm);
    }

    private Path elsewhere() throws IOException {
        Assumptions.assumeTrue(Files.isDirectory(OTHER_FILE_SYSTEM)
                        && !Files.getFileStore(OTHER_FILE_SYSTEM).equals(Files.getFileStore(temp)),
                "no second file system in " + OTHER_FILE_SYSTEM);
        return Files.createTempDirectory(OTHER_FILE_SYSTEM, "reset_migrations_test");
    }

    static List<String> copies() {
        return Sample.of("copies", List.of("first", "second"), 1);
    }

    @ParameterizedTest @MethodSource("copies")
    void both_are_on_another_file_system_and_one_copy_is_gone(String gone) throws Exception {
        var elsewhere = elsewhere();
        try {
            Files.createSymbolicLink(crm.root().resolve(".reset"), Files.createDirectory(elsewhere.resolve("first")));
            state = elsewhere.resolve("second");
            assertDone(reset("--yes", "--strategy", gone.equals("first") ? "swap" : "park"));
            assertTrue(Files.isRegularFile(
                    elsewhere.resolve("first").resolve(run().getFileName()).resolve("run.json")));
            Disk.removeTree(gone.equals("first") ? run() : state);
            assertFound(crm);
            if (gone.equals("second")) assertPurged(crm);
            assertTrue(
                    Files.isSymbolicLink(crm.root().resolve(".reset")) && Files.isDirectory(elsewhere.resolve("first")),
                    "the link is not ours to remove");
        } finally {
            Disk.removeTree(elsewhere);
        }
    }

    @Tag("exhaustive") @Test void the_folder_is_a_mount_point() throws Exception {
        var folder = Files.createDirectory(crm.root().resolve(".reset"));
        var mount = new ProcessBuilder("mount", "-t", "tmpfs", "-o", "size=4m", "none", folder.toString())
                .redirectErrorStream(true).start();
        Assumptions.assumeTrue(mount.waitFor() == 0, "may not mount");
        try {
            assertDone(reset("--yes"));
            Disk.removeTree(state);
            assertFound(crm);
            assertPurged(crm);
            assertTrue(Files.isDirectory(folder));
        } finally {
            new ProcessBuilder("umount", folder.toString()).start().waitFor();
        }
    }

    // ---- another checkout --------------------------------------------------------------------

    /** Another checkout of the same project. */
    private SampleProject checkout() throws IOException {
        var there = Files.createDirectory(temp.resolve("there")).toRealPath();
        Files.walkFileTree(crm.root(), new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path dir, BasicFileAttributes attributes) throws IOException {
                if (dir.endsWith(".reset")) return FileVisitResult.SKIP_SUBTREE;
                Files.createDirectories(there.resolve(crm.root().relativize(dir)));
                return FileVisitResult.CONTINUE;
            }

            @Override public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.copy(file, there.resolve(crm.root().relativize(file)),
                        java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
                return FileVisitResult.CONTINUE;
            }
        });
        return new SampleProject(there, there);
    }

    static List<String> strategies() {
        return Sample.of("strategies", List.of("swap", "park"), 1);
    }

    @ParameterizedTest @MethodSource("strategies")
    void undo_in_a_second_checkout_puts_the_files_back_into_the_first(String strategy) throws Exception {
        assertDone(reset("--yes", "--strategy", strategy));
        var there = checkout();
        var untouched = Snapshot.of(there.root());
        var status = reset(there, "status");
        assertTrue(status.out().contains("made in    " + crm.root()), status.all());
        try (var lock = lib.files.FolderLock.take(crm.root(), "a test", line -> {})) { // undo would put its files back
            assertEquals(5, reset(there, "undo", "--yes").code());
        }
        assertFound(there);
        assertEquals(2, reset(there, "undo", "--yes").code()); // there is nothing more to undo
        assertEquals(untouched, Snapshot.of(there.root()));
        assertPurged(there);
        assertFalse(Files.exists(there.root().resolve(".reset")) || Files.exists(crm.root().resolve(".reset")));
    }

    @Tag("exhaustive") @Test void undo_in_a_second_checkout_uses_it_when_the_first_is_gone() throws Exception {
        assertDone(reset("--yes"));
        var there = checkout();
        Disk.removeTree(crm.root());
        crm = there;
        lost++;
        var undone = reset("undo", "--yes");
        assertDone(undone);
        assertTrue(undone.out().contains("which no longer exists: its files are put back here"), undone.all());
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(there.root()));
        found++;
    }

    @Test void a_run_of_another_project_on_a_server_of_the_same_address_is_ignored() throws Exception {
        assertDone(reset("--yes"));
        var there = checkout();
        for (var name : asideOnServer())
            Postgres.execute(
                    "COMMENT ON DATABASE %s IS NULL".formatted(Postgres.quoted(name))); // as if it were another server
        assertEquals(List.of(), status(there));
        assertEquals(2, reset(there, "undo", "--yes").code());
        assertEquals("NEW_IS_LIVE", status(crm).getLast().get("state").getAsString()); // unchanged for its own project
    }

    // ---- no record ---------------------------------------------------------------------------

    private void loseBoth() throws IOException {
        Disk.removeTree(crm.root().resolve(".reset"));
        Disk.removeTree(state);
    }

    @Test void the_sql_that_status_shows_restores_a_database_whose_record_is_lost() throws Exception {
        Postgres.execute("COMMENT ON DATABASE %s IS 'the shop''s'".formatted(db.name()));
        rows = Snapshot.of(db);
        assertDone(reset("--yes"));
        loseBoth();
        lost++;
        var aside = status(crm).getLast();
        assertEquals("set_aside", aside.get("event").getAsString());
        var name = asideOnServer().getFirst();
        for (var command : new String[] {"undo", "purge"}) {
            var refused = reset(command, "--yes");
            assertEquals(4, refused.code(), refused.all());
            assertTrue(refused.err().contains(name) && refused.err().contains(aside.get("run").getAsString()),
                    refused.err());
        }
        assertFalse(Files.exists(crm.root().resolve(".reset")));
        var sql = new StringBuilder();
        aside.get("back").getAsJsonArray().forEach(line -> sql.append(line.getAsString()).append('\n'));
        Postgres.execute(sql.toString());
        assertEquals(rows, Snapshot.of(db));
        found++;
        lost++;
        var back = status(crm).getLast(); // what was set aside by hand is shown too, and can be restored
        assertTrue(back.get("database").getAsString().contains("_undone_"), back.toString());
        assertEquals(4, reset("purge", "--yes").code());
        found++;
    }

    @Test void status_shows_a_schema_whose_record_is_lost() throws Exception {
        assertDone(reset("--yes", "--strategy", "park"));
        loseBoth();
        lost++;
        var status = reset("status");
        assertDone(status);
        var schema = asideOnServer().getFirst();
        assertTrue(status.out().contains(schema) && status.out().contains("; it has 1 table\n")
                && status.out().contains("SET SCHEMA"), status.out());
        for (var command : new String[] {"undo", "purge"}) {
            var refused = reset(command, "--yes");
            assertEquals(4, refused.code(), refused.all());
            assertTrue(refused.err().contains(schema), refused.err());
        }
        found++;
    }

    @Tag("exhaustive") @Test void an_earlier_run_is_not_undone_past_a_later_one_without_a_record() throws Exception {
        assertDone(reset("--yes"));
        var mine = state;
        state = temp.resolve("another machine's");
        var there = checkout();
        var gone = there.root();
        assertDone(reset(there, "--yes"));
        Disk.removeTree(gone);
        state = mine;
        lost++;
        var refused = reset("undo", "--yes");
        assertEquals(4, refused.code(), refused.all());
        assertEquals(List.of("run", "set_aside"), status(crm).stream().map(event -> event.get("event").getAsString())
                .toList());
        found++;
    }

    // ---- damaged copies ----------------------------------------------------------------------

    private static void cut(Path file) throws IOException {
        var text = Files.readString(file);
        Files.writeString(file, text.substring(0, text.length() / 2));
    }

    @Test void a_record_or_an_old_file_damaged_in_one_copy_is_read_from_the_other() throws Exception {
        assertDone(reset("--yes"));
        var record = Files.readString(copy().resolve("run.json"));
        for (var text : List.of("{}", "\0\0\0", record.replaceFirst("\"aside\": \\{[^}]*}", "\"aside\": 7"),
                record.replace(run().getFileName().toString(), "another"))) {
            Files.writeString(run().resolve("run.json"), text);
            assertEquals("done", status(crm).getLast().get("outcome").getAsString());
        }
        Files.writeString(run().resolve("run.json"), record);
        cut(copy().resolve("run.json"));
        assertEquals("done", status(crm).getLast().get("outcome").getAsString());
        Files.writeString(copy().resolve("run.json"), record);
        cut(run().resolve("run.json"));
        cut(run().resolve("old/shop/migrations/0001_initial.py"));
        Files.delete(copy().resolve("old/shop/migrations/0002_by_hand.py"));
        assertFound(crm);
    }

    @Test void a_record_damaged_in_both_copies_is_reported_and_nothing_is_touched() throws Exception {
        assertDone(reset("--yes"));
        var after = Snapshot.of(db);
        var kept = Snapshot.of(crm.root());
        for (var folder : List.of(run(), copy())) cut(folder.resolve("old/shop/migrations/0001_initial.py"));
        var broken = reset("undo", "--yes");
        assertEquals(1, broken.code(), broken.all());
        assertTrue(broken.err().contains("0001_initial.py") && broken.err().contains(run().toString())
                && broken.err().contains(copy().toString()), broken.err());
        for (var folder : List.of(run(), copy())) cut(folder.resolve("run.json"));
        lost++;
        for (var command : new String[] {"undo", "purge", "status"}) {
            var refused = reset(command, "--yes");
            assertEquals(2, refused.code(), refused.all());
            for (var folder : List.of(run(), copy()))
                assertTrue(refused.err().contains(folder.resolve("run.json").toString()), refused.err());
            assertFalse(refused.err().contains("\tat "), refused.err());
            if (command.equals("status")) assertTrue(refused.out().contains("ALTER DATABASE"), refused.out());
        }
        assertEquals(after, Snapshot.of(db));
        assertEquals(kept, Snapshot.of(crm.root()));
        found++;
    }

    @Tag("exhaustive") @Test void a_run_set_aside_inside_an_older_one_is_purged_first() throws Exception {
        assertDone(reset("--yes", "--strategy", "swap"));
        assertDone(reset("--yes", "--strategy", "park"));
        assertDone(reset("undo", "--yes"));
        assertDone(reset("undo", "--yes"));
        var aside = status(crm).stream().map(run -> run.get("aside").getAsString()).toList();
        assertTrue(aside.get(0).matches("database .*_undone_.*")
                && aside.get(1).matches("schema undone_.* of database .*_undone_.*"), aside.toString());
        assertEquals(4, reset("purge", aside.get(0).replaceAll(".*_undone_(\\d+)_(\\d+)_(\\w+)$", "$1-$2-$3"), "--yes",
                                "--no-backup").code()); // it contains the other
        assertDone(reset("purge", "--all", "--yes", "--no-backup"));
        assertEquals(List.of(), asideOnServer());
        assertEquals(rows, Snapshot.of(db));
    }

    // ---- purge with a second run -------------------------------------------------------------

    private void execute(String database, String sql) throws Exception {
        try (var connection = new Postgres.Db(db.host(), db.port(), database, db.role()).connect();
                var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    @Tag("exhaustive") @Test void purge_refuses_to_drop_a_database_that_holds_another_runs_schema() throws Exception {
        assertDone(reset("--yes", "--strategy", "swap"));
        var aside = asideOnServer().getFirst();
        execute(aside, "CREATE SCHEMA parked_before; COMMENT ON SCHEMA parked_before IS 'reset_migrations"
                + " 20251122-101500-ffff: schema public as it was before'");
        for (var lost : List.of(false, true)) {
            if (lost) Disk.removeTree(crm.root().resolve(".reset"));
            var refused = reset("purge", "--yes", "--no-backup");
            assertEquals(4, refused.code(), refused.all());
            assertTrue(refused.err().contains("parked_before of run 20251122-101500-ffff"), refused.err());
        }
        execute(aside, "DROP SCHEMA parked_before");
        assertDone(reset("purge", "--yes", "--no-backup"));
        assertEquals(List.of(), asideOnServer());
    }

    @Tag("exhaustive")
    @Test
    void purge_refuses_to_drop_a_schema_that_another_runs_schema_depends_on() throws Exception {
        assertDone(reset("--yes", "--strategy", "park"));
        var aside = asideOnServer().getFirst();
        execute(db.name(), """
            CREATE SCHEMA parked_before;
                COMMENT ON SCHEMA parked_before
                    IS 'reset_migrations 20251122-101500-ffff: schema public as it was before';
            CREATE VIEW parked_before.leaning AS SELECT number FROM %s.shop_order""".formatted(aside));
        for (var lost : List.of(false, true)) {
            if (lost) Disk.removeTree(crm.root().resolve(".reset"));
            var refused = reset("purge", "--yes", "--no-backup");
            assertEquals(4, refused.code(), refused.all());
            assertTrue(refused.err().contains("parked_before"), refused.err());
        }
        execute(db.name(), "DROP SCHEMA parked_before CASCADE");
        assertDone(reset("purge", "--yes", "--no-backup"));
        assertEquals(List.of(), asideOnServer());
    }
}
