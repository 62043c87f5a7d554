package lib.reset;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.FolderLock;
import lib.files.Host;
import lib.postgres.Database;
import lib.postgres.RunLock;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Tool;

/** Two commands at once, in two processes: one runs, the other names the owner of the lock. */
class LockTest {
    private static int tried, apart;

    @TempDir Path temp;
    private Path hold;
    private Postgres.Db db;

    @BeforeEach void start() {
        hold = temp.resolve("hold");
        db = Postgres.database(Postgres.role("crm_user", "CREATEDB"));
    }

    @AfterAll static void figures() {
        System.out.printf("pairs at once: %d of %d kept apart%n", apart, tried);
    }

    /** A project whose settings wait while the file {@code hold} exists. */
    private SampleProject project(String name) throws IOException {
        return SampleProject.tiny(Files.createDirectory(temp.resolve(name)).toRealPath(), Map.of("shop/models.py", """
                            from django.db import models
                            class Order(models.Model):
                                number = models.IntegerField()
                            """, "config/extra.py", """
                import os, time
                while os.path.exists("%s"): time.sleep(0.02)
                """.formatted(hold)))
                .env(db);
    }

    private static Tool tool(SampleProject in, String script) {
        return Tool.in(in.root(), script).env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    private static Tool reset(SampleProject in) {
        return tool(in, "reset_migrations");
    }

    private record Ended(Process process, int code, String out, String err) {
        String all() {
            return out + err;
        }
    }

    private static Ended end(Process process) throws Exception {
        if (!process.waitFor(60, TimeUnit.SECONDS)) throw new IOException("does not end");
        return new Ended(process, process.exitValue(), new String(process.getInputStream().readAllBytes()),
                new String(process.getErrorStream().readAllBytes()));
    }

    /** The faster one keeps its lock until the other has ended. */
    private void assertOneGoesOn(Process a, Process b) throws Exception {
        tried++;
        a.onExit().applyToEither(b.onExit(), ended -> ended).get(60, TimeUnit.SECONDS);
        assertTrue(a.isAlive() != b.isAlive(), "both ended");
        var holder = a.isAlive() ? a : b;
        assertBusy(end(holder == a ? b : a), holder);
        Files.delete(hold);
        var done = end(holder);
        assertEquals(0, done.code(), done.all());
        apart++;
    }

    private static void assertBusy(Ended other, Process holder) throws IOException {
        assertEquals(5, other.code(), other.all());
        var host = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        assertTrue(Pattern.compile("pid %d on %s, since 2\\d{3}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ"
                        .formatted(holder.pid(), Pattern.quote(host))).matcher(other.err()).find(),
                holder.pid() + " is not named: " + other.err());
        assertFalse(other.all().contains("\tat "), other.err());
    }

    /** A reset that runs until {@code hold} is removed. */
    private Process atWork(SampleProject in) throws Exception {
        if (!Files.exists(hold)) Files.createFile(hold);
        var process = reset(in).start("--yes");
        var lock = in.root().resolve(".reset/lock");
        for (int i = 0;
                !(Files.exists(lock) && Files.readString(lock).contains("\"pid\":" + process.pid() + ","));
                i++) {
            assertTrue(i < 3000 && process.isAlive(), "no lock was taken");
            Thread.sleep(10);
        }
        return process;
    }

    private static void assertDone(Tool.Output output) {
        assertEquals(0, output.code(), output.all());
    }

    // ---- pairs -------------------------------------------------------------------------------

    @Test void two_resets_of_one_folder_to_two_databases() throws Exception {
        var crm = project("crm");
        var one = Files.move(crm.root().resolve(".env"), temp.resolve("one.env"));
        var two = Files.writeString(temp.resolve("two.env"), Files.readString(one)
                .replace(db.name(), Postgres.database(db.role()).name()));
        var extra = crm.root().resolve("config/settings.py");
        Files.writeString(extra, Files.readString(extra).replace("BASE_DIR / \".env\"", "os.environ[\"WHICH\"]"));
        Files.createFile(hold);
        assertOneGoesOn(reset(crm).env("WHICH", one.toString()).start("--yes", "--env-file", one.toString()),
            reset(crm).env("WHICH", two.toString()).start("--yes", "--env-file", two.toString()));
        assertFalse(Files.exists(crm.root().resolve(".reset/lock")));
    }

    @Test void two_resets_of_two_checkouts_on_one_database() throws Exception {
        var here = project("here");
        var there = project("there");
        Files.createFile(hold);
        var a = reset(here).start("--yes");
        var b = reset(there).start("--yes");
        assertOneGoesOn(a, b);
        assertEquals(1, Stream.of(here, there).filter(crm -> Files.exists(crm.root().resolve(".reset"))).count(),
                "the refused one left something behind");
    }

    @Tag("exhaustive") @Test void two_resets_that_share_nothing_do_not_disturb_each_other() throws Exception {
        var here = project("here");
        db = Postgres.database(db.role());
        var there = project("there");
        var a = reset(here).start("--yes");
        var b = reset(there).start("--yes");
        assertEquals(0, end(a).code());
        assertEquals(0, end(b).code());
    }

    @Test void undo_purge_and_restore_are_busy_while_a_reset_runs() throws Exception {
        var crm = project("crm");
        assertDone(reset(crm).warm().run("--yes"));
        assertDone(tool(crm, "backup_database").warm().run("--dir", temp.toString()));
        String dump;
        try (var files = Files.list(temp)) {
            dump = files.filter(file -> file.toString().endsWith(".dump.zst")).findFirst().orElseThrow().toString();
        }
        var holder = atWork(crm);
        tried += 4;
        for (var command : List.of(reset(crm).start("undo", "--yes"), reset(crm).start("purge", "--yes"),
                tool(crm, "backup_database").start("restore", dump, "--into", db.name() + "_restored"))) {
            assertBusy(end(command), holder);
            apart++;
        }
        assertDryRunBusy(crm, holder);
        var elsewhere = project("elsewhere"); // another folder, the same database
        assertBusy(end(tool(elsewhere, "backup_database").start("restore", dump, "--into", db.name() + "_restored")),
                holder);
        apart++;
        Files.delete(hold);
        var done = end(holder);
        assertEquals(0, done.code(), done.all());
        assertDone(tool(crm, "backup_database").warm().run("restore", dump, "--into", db.name() + "_restored"));
        assertDone(reset(crm).warm().run("undo", "--yes"));
    }

    /** A run that looks cut short may still be working: then it is reported as busy. */
    private static void assertDryRunBusy(SampleProject crm, Process holder) throws Exception {
        Path record;
        try (var runs = Files.walk(crm.root().resolve(".reset"))) {
            record = runs.filter(file -> file.endsWith("run.json")).findFirst().orElseThrow();
        }
        var text = Files.readString(record);
        Files.writeString(record, text.replace("\"done\"", "\"running\""));
        assertBusy(end(reset(crm).start("--dry-run")), holder);
        assertTrue(Files.exists(crm.root().resolve(".reset/lock")));
        Files.writeString(record, text);
    }

    @Test void the_lock_of_a_killed_run_is_reported_and_the_next_run_starts() throws Exception {
        var crm = project("crm");
        tried++;
        var holder = atWork(crm);
        holder.destroyForcibly().waitFor();
        Files.delete(hold);
        var lock = crm.root().resolve(".reset/lock");
        assertTrue(Files.exists(lock));
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(lock)));
        assertDone(reset(crm).warm().run("--dry-run"));
        assertTrue(Files.exists(lock), "a dry run takes nothing away");
        var next = reset(crm).warm().run("--yes");
        assertDone(next);
        assertEquals(1, next.err().lines()
                .filter(line -> line.contains("an earlier run ended abnormally: pid " + holder.pid() + " on "))
                .count(), next.err());
        assertFalse(Files.exists(lock));
        var quiet = reset(crm).warm().run("undo", "--yes");
        assertDone(quiet);
        assertFalse(quiet.err().contains("ended abnormally"), quiet.err());
        apart++;
    }

    // ---- the folder's lock -------------------------------------------------------------------

    private FolderLock take(List<String> said) {
        return FolderLock.take(temp, "a test", said::add);
    }

    @Test void the_lock_file_is_private_and_git_ignores_it_and_it_is_removed() throws Exception {
        try (var lock = take(new ArrayList<>()); var children = Files.walk(temp)) {
            var modes = new ArrayList<String>();
            for (var path : children.sorted().skip(1).toList())
                modes.add(temp.relativize(path) + " "
                        + PosixFilePermissions.toString(Files.getPosixFilePermissions(path)));
            assertEquals(List.of(".reset rwx------", ".reset/lock rw-------"),
                    modes.stream().filter(mode -> !mode.contains(".gitignore")).toList());
            assertTrue(Files.exists(temp.resolve(".reset/.gitignore")));
            assertEquals(lock, lock.takeAlso(temp)); // its own lock is not in its way
            var busy = assertThrows(Failure.class, () -> take(new ArrayList<>())).problem();
            assertEquals(ExitCode.BUSY, busy.exit());
            assertTrue(busy.what().startsWith("another run is at work in %s: pid %d on %s, since "
                    .formatted(temp, ProcessHandle.current().pid(), Host.name())), busy.what());
            assertTrue(busy.what().endsWith(", a test"), busy.what());
            assertEquals(List.of("wait until it has ended"), busy.next());
        }
        assertFalse(Files.exists(temp.resolve(".reset")));
        Files.createDirectories(temp.resolve(".reset/20261122-172530-4f2a"));
        take(new ArrayList<>()).close();
        try (var left = Files.list(temp.resolve(".reset"))) {
            assertEquals(List.of(".gitignore", "20261122-172530-4f2a"),
                    left.map(file -> file.getFileName().toString()).sorted().toList());
        }
    }

    @Test void a_lock_file_of_a_dead_run_may_hold_anything() throws Exception {
        for (var left : List.of(
                "{\"pid\":4711,\"host\":\"web1\",\"since\":\"2026-11-22T10:15:00Z\",\"command\":\"reset_migrations\"}",
                "\0\0\0\0", "{\"pid\":", "[1]", "{\"pid\":\"x\"}")) {
            Files.writeString(Files.createDirectories(temp.resolve(".reset")).resolve("lock"), left);
            var said = new ArrayList<String>();
            take(said).close();
            assertEquals(1, said.size(), left);
            assertEquals(left.contains("4711"),
                    said.getFirst().contains("pid 4711 on web1, since 2026-11-22T10:15:00Z"), said.getFirst());
        }
    }

    @Test void a_lock_file_that_git_clean_removed_does_not_take_the_next_holders_lock() throws Exception {
        var lock = temp.resolve(".reset/lock");
        try (var cleaned = take(new ArrayList<>())) {
            Files.delete(lock);
            Files.writeString(lock, "another's");
        }
        assertEquals("another's", Files.readString(lock));
    }

    @Test void a_symbolic_link_in_place_of_the_folder_stays_and_a_dangling_one_is_reported() throws Exception {
        var elsewhere = Files.createDirectory(temp.resolve("elsewhere"));
        Files.createSymbolicLink(temp.resolve(".reset"), elsewhere);
        take(new ArrayList<>()).close();
        assertTrue(Files.isDirectory(temp.resolve(".reset")));
        try (var all = Files.walk(elsewhere)) {
            for (var path : all.sorted(java.util.Comparator.reverseOrder()).toList()) Files.delete(path);
        }
        var problem = assertThrows(Failure.class, () -> take(new ArrayList<>())).problem();
        assertEquals(ExitCode.FAILED, problem.exit());
        assertTrue(problem.what().startsWith("cannot lock the project " + temp + " for this run: "), problem.what());
        assertEquals("if .reset is a link or a mount there, its target has to exist", problem.next().getLast());
    }

    @Test void a_read_only_project_is_reported() throws Exception {
        var crm = project("crm");
        try (var readOnly = ReadOnly.make(crm.root())) {
            var refused = reset(crm).warm().run("--yes");
            assertEquals(1, refused.code(), refused.all());
            assertTrue(refused.err().contains("cannot lock the project " + crm.root()) && refused.err().contains("→")
                    && !refused.err().contains("\tat "), refused.err());
        }
        assertFalse(Files.exists(crm.root().resolve(".reset")));
    }

    /** Root ignores permissions, but not a read-only mount. */
    private record ReadOnly(Path folder, boolean mounted) implements AutoCloseable {
        static ReadOnly make(Path folder) throws Exception {
            if (run("mount", "--bind", folder.toString(), folder.toString()) == 0) {
                assertEquals(0, run("mount", "-o", "remount,ro,bind", folder.toString()));
                return new ReadOnly(folder, true);
            }
            Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("r-xr-xr-x"));
            return new ReadOnly(folder, false);
        }

        private static int run(String... command) throws Exception {
            return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start().waitFor();
        }

        @Override public void close() throws Exception {
            if (mounted) assertEquals(0, run("umount", folder.toString()));
            else Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x"));
        }
    }

    /** What three processes do at once: take and release the lock many times, removing the file each time. */
    public static void main(String... args) throws Exception {
        var root = Path.of(args[0]);
        int taken = 0;
        while (taken < 60) {
            try (var lock = FolderLock.take(root, "a test", left -> {})) {
                Files.createFile(root.resolve("inside"));
                taken++;
                Thread.sleep(1); // long enough to see a second holder
                Files.delete(root.resolve("inside"));
            } catch (FileAlreadyExistsException twoInside) {
                System.out.println("two at once");
                System.exit(1);
            } catch (Failure busy) {
                if (busy.problem().exit() != ExitCode.BUSY) throw busy;
            }
        }
    }

    @Test void only_one_run_holds_the_lock_while_its_file_is_removed_repeatedly() throws Exception {
        var processes = new ArrayList<Process>();
        var memory = Path.of("/dev/shm"); // no disk to wait for, so it happens often
        var root = Files.createTempDirectory(Files.isDirectory(memory) ? memory : temp, "reset_migrations_test");
        for (int i = 0; i < 3; i++) processes.add(Tool.in(temp, LockTest.class.getName()).start(root.toString()));
        for (var process : processes) {
            var ended = end(process);
            assertEquals(0, ended.code(), ended.all());
        }
        Files.delete(root); // it is empty
    }

    // ---- the database's lock -----------------------------------------------------------------

    private lib.project.Credentials credentials() {
        return new lib.project.Credentials(
                db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
    }

    @Test void the_printed_statement_ends_the_session_of_a_dead_run() throws Exception {
        try (var ours = Database.open(credentials()); var theirs = Database.open(credentials())) {
            var lock = RunLock.take(theirs);
            var busy = assertThrows(Failure.class, () -> RunLock.take(ours)).problem();
            var line = Pattern.compile("SELECT pg_terminate_backend\\(\\d+\\);").matcher(busy.next().getLast());
            assertTrue(line.find(), busy.next().toString());
            try (var connection = db.connect(); var statement = connection.createStatement()) {
                statement.execute(line.group());
            }
            assertDoesNotThrow(() -> {
                for (int i = 0; ; i++) {
                    try {
                        RunLock.take(ours).close();
                        return;
                    } catch (Failure stillEnding) {
                        if (i == 50) throw stillEnding;
                        Thread.sleep(20);
                    }
                }
            });
            lock.close();
        }
    }

    @Test void a_role_that_may_not_see_the_other_session_is_busy_too() throws SQLException {
        var other = Postgres.role("stranger", "");
        try (var ours = Database.open(credentials());
                var lock = RunLock.take(ours);
                var theirs = Database.open(new lib.project.Credentials(
                        db.host(), db.port(), db.name(), other.name(), other.password(), null, Map.of()))) {
            var busy = assertThrows(Failure.class, () -> RunLock.take(theirs)).problem();
            assertEquals(ExitCode.BUSY, busy.exit());
            assertTrue(Pattern.compile("pid %d on \\S+, server process \\d+".formatted(ProcessHandle.current().pid()))
                    .matcher(busy.what()).find(), busy.what());
        }
    }
}
