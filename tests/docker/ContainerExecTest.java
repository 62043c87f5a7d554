package lib.docker;

import static org.junit.jupiter.api.Assertions.*;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import lib.backup.Backup;
import lib.backup.BackupFile;
import lib.backup.BackupFolder;
import lib.backup.BackupWriter;
import lib.backup.Restoration;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.project.Credentials;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import support.Containers;
import support.Docker;

@Tag("docker") @Tag("exhaustive")
class ContainerExecTest {
    private static String server;
    private static List<String> atRest;

    @BeforeAll static void server() throws Exception {
        Docker.assume();
        server = Containers.server();
        Containers.awaitServer(server);
    }

    @BeforeEach void processes() throws Exception {
        Thread.sleep(200);
        atRest = ours();
    }

    @AfterAll static void remove() {
        Containers.removeAll();
    }

    /** All processes except the server's own. */
    private static List<String> ours() {
        return Containers.processes(server).stream().filter(line -> !line.contains("postgres: ")).toList();
    }

    private static List<String> exec() {
        return List.of("docker", "exec", "-i", server);
    }

    private static Program inside(String... program) {
        return ContainerExec.of(exec(), List.of(program)).secret("PGPASSWORD", Containers.PASSWORD);
    }

    private static Connection connect() throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://" + Containers.address(server)
                + "/postgres", "postgres", Containers.PASSWORD);
    }

    private static String one(String sql) throws SQLException {
        try (var db = connect(); var statement = db.createStatement(); var rows = statement.executeQuery(sql)) {
            return rows.next() ? rows.getString(1) : null;
        }
    }

    private static void execute(String sql) throws SQLException {
        try (var db = connect(); var statement = db.createStatement()) {
            statement.execute(sql);
        }
    }

    private static void within(int seconds, String what, Callable<Boolean> holds) throws Exception {
        for (var end = System.nanoTime() + seconds * 1_000_000_000L; System.nanoTime() < end; Thread.sleep(50))
            if (holds.call()) return;
        fail(what);
    }

    private static void nothingIsLeft() throws Exception {
        within(5, "left: " + ours(), () -> ours().equals(atRest));
    }

    private static String sha256(InputStream in, int slowEvery) throws Exception {
        var digest = MessageDigest.getInstance("SHA-256");
        var bytes = new byte[1 << 16];
        long total = 0;
        for (int n, i = 0; (n = in.read(bytes)) >= 0; i++) {
            digest.update(bytes, 0, n);
            total += n;
            if (slowEvery > 0 && i % slowEvery == 0) Thread.sleep(2);
        }
        return total + " " + HexFormat.of().formatHex(digest.digest());
    }

    // ---- input and output --------------------------------------------------------------------

    @Test void exit_code_and_both_outputs_pass_through() throws Exception {
        assertEquals(new Program.Output(7, "out\n", "err\n"), inside("sh", "-c", "echo out; echo err >&2; exit 7")
                .run());
        assertEquals(new Program.Output(0, "", ""), inside("true").run());
        assertEquals(143, inside("sh", "-c", "kill -TERM $$").run().code());
        assertEquals(127, inside("no-such-program").run().code());
        assertEquals("a b\n'\"$x\n", inside("printf", "%s\\n", "a b", "'\"$x").run().out());
        assertEquals(1, inside("cat", "/no/such/file").run().code());
        nothingIsLeft();
    }

    @Test void the_name_is_the_programs_and_argv_contains_no_secret() throws Exception {
        var program = inside("/usr/lib/postgresql/15/bin/pg_dump").with("--version");
        assertEquals("pg_dump", program.name());
        assertFalse(program.toString().contains("kill"), program.toString());
        assertTrue(program.toString()
                .endsWith(server + " /usr/lib/postgresql/15/bin/pg_dump --version"), program.toString());
        assertFalse(program.argv().toString().contains(Containers.PASSWORD));
        assertEquals(Containers.PASSWORD + "/UTC", inside("sh", "-c", "printf %s/%s \"$PGPASSWORD\" \"$PGTZ\"")
                .env("PGTZ", "UTC").run().out());
        assertEquals("unset", inside("sh", "-c", "printf %s \"${PGTZ-unset}\"").run().out());
    }

    @ParameterizedTest @ValueSource(ints = {0, 1, 65_535, 262_144, 1_000_003, 10_000_000, 200_000_000})
    void all_output_arrives_even_when_the_program_ends_at_once(int size) throws Exception {
        var script = "head -c " + size
                + " /dev/urandom >/tmp/printed; sha256sum </tmp/printed >/tmp/sum; exec cat /tmp/printed";
        for (var slow : size > 1_000_003 ? new int[] {0} : new int[] {0, 1, 3}) { // read at once, or slowly
            var program = inside("sh", "-c", script);
            var process = program.start();
            program.input(process).close();
            var got = sha256(process.getInputStream(), slow);
            assertEquals(0, process.waitFor());
            assertEquals(size + " " + Containers.sh(server, "cat /tmp/sum").split(" ")[0], got);
        }
        nothingIsLeft();
    }

    @ParameterizedTest @ValueSource(ints = {0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 50_000_000})
    void all_input_arrives(int size) throws Exception {
        var bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        var program = inside("sh", "-c", "cat; echo done >&2");
        var process = program.start();
        Thread.ofPlatform().daemon().start(() -> {
            try (var in = program.input(process)) {
                for (int i = 0; i < size; ) { // in pieces of every size
                    var n = Math.min(size - i, 1 + i % 300_007);
                    in.write(bytes, i, n);
                    i += n;
                }
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        assertEquals(sha256(new java.io.ByteArrayInputStream(bytes), 0), sha256(process.getInputStream(), 0));
        assertEquals("done\n\nended with 0\n", new String(process.getErrorStream().readAllBytes()));
        assertEquals(0, process.waitFor());
        nothingIsLeft();
    }

    /** psql ends at its first error, and tar or pg_restore at the end of an archive. */
    @Test void a_program_may_end_before_its_input() throws Exception {
        for (var script : List.of("head -c 10; exit 3", "head -c 10; exec <&-; sleep 1; exit 3")) {
            var program = inside("sh", "-c", script);
            var process = program.start();
            var in = program.input(process);
            assertTimeoutPreemptively(java.time.Duration.ofSeconds(20), () -> {
                try {
                    for (int i = 0; i < 100_000; i++) in.write(new byte[10_000]);
                    fail("a gigabyte went nowhere");
                } catch (IOException closed) {
                    // as with a program on this machine
                }
            });
            assertEquals(10, process.getInputStream().readAllBytes().length);
            assertEquals(3, process.waitFor());
            nothingIsLeft();
        }
    }

    /** The only shell of Alpine's images; this one has only a few tools as files. */
    @Test void busybox_is_enough() throws Exception {
        var bare = Containers.idle(Docker.BARE);
        var before = Containers.processes(bare);
        var bytes = new byte[10_000_000];
        new Random(1).nextBytes(bytes);
        var program = ContainerExec.of(List.of("docker", "exec", "-i", bare), List.of("sh", "-c", "cat; exit 7"));
        var process = program.start();
        Thread.ofPlatform().daemon().start(() -> {
            try (var in = program.input(process)) {
                in.write(bytes);
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        assertArrayEquals(bytes, process.getInputStream().readAllBytes());
        assertEquals(7, process.waitFor());
        for (var ended : List.of(true, false)) {
            var killed = ContainerExec.of(List.of("docker", "exec", "-i", bare), List.of("sleep", "60"));
            var sleep = killed.start();
            if (ended) killed.input(sleep).close();
            within(5, "it does not run", () -> Containers.processes(bare).stream()
                    .anyMatch(line -> line.endsWith("sleep 60")));
            Program.kill(sleep);
            within(5, "left: " + Containers.processes(bare), () -> Containers.processes(bare).equals(before));
        }
    }

    /** For the program it looks like the end of its input: psql would commit. */
    @Test void input_that_was_cut_short_in_the_container_is_not_a_success() throws Exception {
        var debian = Containers.idle(Docker.APP);
        var exec = List.of("docker", "exec", "-i", debian);
        var reads = List.of("sh", "-c", "cat >/dev/null; exit 0");
        var dd = "/usr/local/bin/dd"; // before the real one
        for (var broken : List.of("case $1 in bs=1) exec /bin/dd \"$@\" ;; esac; exit 137", "exit 1")) {
            Containers.docker("exec", "-u", "root", debian, "sh", "-c",
                    "printf '#!/bin/sh\\n%s\\n' \"$0\" >$1; chmod 755 $1", broken, dd);
            assertNotEquals(0, ContainerExec.of(exec, reads).run("DELETE FROM crm").code(), broken);
        }
        Containers.docker("exec", "-u", "root", debian, "rm", dd);
        // control: without the fault it is a success
        assertEquals(0, ContainerExec.of(exec, reads).run("DELETE FROM crm").code());

        var running = ContainerExec.of(exec, reads).start();
        within(5, "it does not run", () -> Containers.processes(debian).stream()
                .anyMatch(line -> line.endsWith("cat")));
        // the shell that unpacks the frames
        Containers.sh(debian, "for p in /proc/[0-9]*; do [ ! -e $p/fd/4 ] || kill -KILL ${p#/proc/}; done");
        assertEquals(125, running.waitFor());
    }

    /** Newer docker clients exit with 0 when a signal ends them. */
    @Test void a_client_ended_by_a_signal_is_not_a_success() throws Exception {
        for (var signal : List.of("INT", "TERM", "KILL")) {
            var sleep = inside("sleep", "60");
            var known = ProcessHandle.current().children().toList();
            var killer = Thread.ofPlatform().daemon().start(() -> {
                try {
                    Thread.sleep(1_000);
                    ProcessHandle.current().children().filter(child -> !known.contains(child))
                            .forEach(child -> Program.of("kill", "-" + signal, "" + child.pid()).run());
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            });
            var output = sleep.run();
            killer.join();
            assertNotEquals(0, output.code(), signal);
            nothingIsLeft();
        }
    }

    // ---- when either side is killed ----------------------------------------------------------

    private static Program dump() {
        return inside("pg_dump", "--host=" + Containers.address(server), "--username=postgres", "--format=custom",
                "--compress=0", "--lock-wait-timeout=60000", "postgres");
    }

    /** The same without exec.sh. */
    private static Program bare(Program program) {
        var argv = new ArrayList<>(program.argv());
        argv.subList(argv.indexOf("sh"), argv.indexOf("sh") + 3).clear();
        return Program.of(argv).secret("PGPASSWORD", Containers.PASSWORD);
    }

    private static String dumps() throws SQLException {
        return one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump'");
    }

    @Test void killing_the_client_ends_pg_dump_and_its_session() throws Exception {
        execute("CREATE TABLE big AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 200000) i");
        try {
            // it waits for its output to be read
            var program = dump();
            var process = program.start();
            program.input(process).close();
            within(10, "no dump", () -> dumps().equals("1"));
            process.getInputStream().readNBytes(1_000_000);
            assertTrue(ours().size() > atRest.size());
            Program.kill(process);
            within(5, "its session continues", () -> dumps().equals("0"));
            nothingIsLeft();
            // it waits for a lock
            try (var db = connect(); var statement = db.createStatement()) {
                db.setAutoCommit(false);
                statement.execute("LOCK TABLE big");
                var waiting = program.start();
                program.input(waiting).close();
                within(10, "no dump", () -> one("SELECT count(*) FROM pg_locks WHERE NOT granted").equals("1"));
                Program.kill(waiting);
                within(5, "its session continues", () -> dumps().equals("0"));
                nothingIsLeft();

                // control: the bare exec leaves it running
                var bare = bare(program).start();
                within(10, "no dump", () -> one("SELECT count(*) FROM pg_locks WHERE NOT granted").equals("1"));
                Program.kill(bare);
                Thread.sleep(3_000);
                assertEquals("1", dumps());
                one("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'");
                nothingIsLeft();
            }
        } finally {
            execute("DROP TABLE big");
        }
    }

    public static final class Holder {
        public static void main(String[] args) throws Exception {
            server = args[0];
            var program = args[1].equals("pg_dump") ? dump() : psql();
            var process = program.start();
            var in = program.input(process);
            if (args[1].equals("pg_dump")) in.close();
            else {
                in.write(
                        "CREATE TABLE truncated (i int);\nCREATE TABLE and_more (i int);\nSELECT pg_notify('x', 'y');\n"
                        .getBytes());
                in.flush();
            }
            System.out.println("started");
            Thread.sleep(60_000);
        }
    }

    private static Process us(String what) throws IOException {
        var us = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java")
                .toString(), "-cp", System.getProperty("java.class.path"), Holder.class.getName(), server, what)
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        assertEquals("started", us.inputReader().readLine());
        return us;
    }

    private static Program psql() {
        return inside("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--host="
                + Containers.address(server), "--username=postgres", "postgres");
    }

    @Test void when_this_process_is_killed_pg_dump_ends() throws Exception {
        execute("CREATE TABLE big AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 200000) i");
        try {
            var us = us("pg_dump");
            within(10, "no dump", () -> dumps().equals("1"));
            us.destroyForcibly();
            within(5, "its session continues", () -> dumps().equals("0"));
            nothingIsLeft();
        } finally {
            execute("DROP TABLE big");
        }
    }

    @Test void when_this_process_is_killed_psql_does_not_commit_half_a_script() throws Exception {
        var us = us("psql");
        within(
                10,
                "nothing was run",
                () -> one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state = 'idle"
                                + " in transaction'")
                        .equals("1"));
        us.destroyForcibly();
        within(5, "its session continues",
                () -> one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'").equals("0"));
        assertNull(one("SELECT to_regclass('truncated')"));
        nothingIsLeft();

        // control: the bare exec commits it
        var process = bare(psql()).start();
        process.getOutputStream().write("CREATE TABLE truncated (i int);\nSELECT 1;\n".getBytes());
        process.getOutputStream().flush();
        within(
                10,
                "nothing was run",
                () -> one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state = 'idle"
                                + " in transaction'")
                        .equals("1"));
        process.destroyForcibly();
        within(10, "not committed", () -> one("SELECT to_regclass('truncated')") != null);
        execute("DROP TABLE truncated");
    }

    @Test void killed_in_the_middle_of_a_statement_psql_cancels_it() throws Exception {
        var psql = psql();
        var process = psql.start();
        try (var in = psql.input(process)) {
            in.write("CREATE TABLE truncated (i int);\nSELECT pg_sleep(60);\n".getBytes());
        }
        within(
                10,
                "nothing was run",
                () -> one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND query LIKE"
                                + " '%sleep(60)%'")
                        .equals("1"));
        Program.kill(process);
        within(5, "its session continues",
                () -> one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'").equals("0"));
        assertNull(one("SELECT to_regclass('truncated')"));
        nothingIsLeft();
    }

    @Test void a_whole_script_is_committed() throws Exception {
        var psql = psql();
        var process = psql.start();
        try (var in = psql.input(process)) {
            in.write("CREATE TABLE whole (i int);\nSELECT 42;\n".getBytes());
        }
        assertTrue(new String(process.getInputStream().readAllBytes()).contains("42"));
        assertEquals(0, process.waitFor(), new String(process.getErrorStream().readAllBytes()));
        assertEquals("whole", one("SELECT to_regclass('whole')"));
        execute("DROP TABLE whole");
        nothingIsLeft();
    }

    @Test void a_backup_and_its_restore_run_in_the_container(@TempDir Path folder) throws Exception {
        var here = new Credentials(Containers.address(server), 5432, "postgres", "postgres", Containers.PASSWORD, null,
                Map.of());
        execute("CREATE DATABASE shop");
        var shop = here.withDatabase("shop");
        try (var db = DriverManager.getConnection("jdbc:postgresql://" + shop.host()
                + "/shop", shop.user(), shop.password()); var statement = db.createStatement()) {
            statement.execute("CREATE TABLE item AS SELECT i, md5(i::text) AS name, now() AS at FROM generate_series(1,"
                    + " 100000) i");
        }
        var programs = new PgPrograms(ContainerExec.of(exec(), List.of("pg_dump")), shop);
        for (var plain : List.of(false, true)) {
            Backup backup;
            var options = new Backup.Options(plain, Backup.Options.DEFAULT.compression(), null, 1);
            try (var writer = new BackupWriter(programs, new BackupFolder(folder), options, words -> {})) {
                for (var step : writer.steps()) step.run();
                backup = writer.backup();
            }
            assertEquals(1, backup.manifest().content().tables().size());
            execute("CREATE DATABASE shop_again TEMPLATE template0");
            var restoration = new Restoration(BackupFile.of(backup.file(), null), programs, "shop_again", List.of(),
                    words -> {});
            restoration.check().run();
            restoration.restore().run();
            restoration.compare().run();
            assertEquals(1, restoration.restored().tables().size());
            execute("DROP DATABASE shop_again");
        }
        var wrong = new PgPrograms(programs.programs()
                .apply("pg_dump"), new Credentials(shop.host(), 5432, "shop", "postgres", "not it", null, Map.of()));
        for (var found : new BackupFolder(folder).list()) {
            var restoration = new Restoration(BackupFile.of(found.file(), null), wrong, "shop", List.of(), words -> {});
            restoration.check().run();
            var refused = assertThrows(Failure.class, () -> restoration.restore().run());
            assertTrue(refused.getMessage().contains("password authentication failed"), refused.getMessage());
        }
        execute("DROP DATABASE shop");
        nothingIsLeft();
    }

    // ---- versions ----------------------------------------------------------------------------

    @Test void the_version_of_a_program_or_its_absence_is_found() {
        assertEquals(15, ContainerExec.majorVersion(exec(), "pg_dump"));
        var bare = Containers.idle(Docker.BARE);
        var none = assertThrows(Failure.class,
                () -> ContainerExec.majorVersion(List.of("docker", "exec", "-i", bare), "pg_dump"));
        assertEquals("container " + bare.substring(0, 12) + " has no pg_dump", none.getMessage());
        assertEquals(ExitCode.FAILED, none.problem().exit());
        assertEquals(List.of("use a PostgreSQL image that contains it, as the official images do"), none.problem()
                .next());
        Containers.docker("kill", bare);
        var stopped = assertThrows(Failure.class,
                () -> ContainerExec.majorVersion(List.of("docker", "exec", "-i", bare), "pg_dump"));
        assertTrue(stopped.getMessage().contains("is not running"), stopped.getMessage());
    }
}
