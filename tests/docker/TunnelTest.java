package lib.docker;

import static org.junit.jupiter.api.Assertions.*;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Route;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.Containers;
import support.Docker;

@Tag("docker") @Tag("exhaustive")
class TunnelTest {
    /** A container with only one program that speaks TCP, beside the server's container. */
    enum Tool {
        BASH(Docker.DB, "rm -f /usr/bin/python3* /usr/bin/perl* /usr/bin/nc*"),
        PYTHON3(Docker.APP, "rm -f /bin/bash /usr/bin/perl* /usr/bin/nc*"),
        PERL(Docker.DB, "rm -f /bin/bash /usr/bin/python3* /usr/bin/nc*"), NC(Docker.BARE, "true");

        private final String image;
        private final String without;
        private String id;

        Tool(String image, String without) {
            this.image = image;
            this.without = without;
        }

        synchronized String container() {
            if (id == null) {
                id = Containers.idle(image);
                Containers.sh(id, without);
            }
            return id;
        }
    }

    private static String server;

    @BeforeAll static void server() throws Exception {
        Docker.assume();
        server = Containers.server();
        Containers.awaitServer(server);
    }

    @AfterAll static void remove() {
        Containers.removeAll();
    }

    private static List<String> exec(String container) {
        return List.of("docker", "exec", "-i", container);
    }

    private static void into(Properties set, Route.SocketFactory tunnel) {
        set.setProperty("socketFactory", tunnel.className());
        set.setProperty("socketFactoryArg", tunnel.argument());
    }

    private static Properties through(String container, String host) {
        var set = new Properties();
        set.setProperty("user", "postgres");
        set.setProperty("password", Containers.PASSWORD);
        set.setProperty("connectTimeout", "10");
        set.setProperty("prepareThreshold", "0");
        into(set, Tunnel.to(exec(container), host, 5432));
        return set;
    }

    private static Connection connect(String container) throws SQLException {
        var host = Containers.address(server);
        return DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", through(container, host));
    }

    private static SQLException refused(String container, String host, int port) {
        var set = through(container, host);
        into(set, Tunnel.to(exec(container), host, port));
        return assertTimeout(Duration.ofSeconds(20),
                () -> assertThrows(SQLException.class,
                () -> DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", set).close()));
    }

    private static String one(Connection connection, String sql) throws SQLException {
        try (var statement = connection.createStatement(); var rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static long threads() {
        return Thread.getAllStackTraces().keySet().stream().filter(thread -> thread.getName().startsWith("tunnel"))
                .count();
    }

    private static void eventually(String what, java.util.concurrent.Callable<Boolean> holds) throws Exception {
        for (var end = System.nanoTime() + 10_000_000_000L; System.nanoTime() < end; Thread.sleep(50))
            if (holds.call()) return;
        fail(what);
    }

    private static void nothingRunsIn(String container) throws Exception {
        eventually("left running: " + Containers.processes(container), () -> Containers.processes(container)
                .size() == 1);
    }

    @ParameterizedTest @EnumSource void queries_work_with_each_program_and_nothing_is_left_after_close(Tool tool)
            throws Exception {
        try (var db = connect(tool.container())) {
            assertEquals("42", one(db, "SELECT 42"));
            assertTrue(db.isValid(5));
            assertTrue(Containers.processes(tool.container()).size() > 1, "or this would not see what is left");
            assertEquals("" + (20 << 20), one(db, "SELECT length(repeat('x', 20 << 20))"));
            var big = "y".repeat(5 << 20);
            try (var statement = db.prepareStatement("SELECT ? = repeat('y', 5 << 20)")) {
                statement.setString(1, big);
                var rows = statement.executeQuery();
                rows.next();
                assertTrue(rows.getBoolean(1));
            }
        }
        nothingRunsIn(tool.container());
        eventually("threads are left", () -> threads() == 0);
    }

    @ParameterizedTest @EnumSource void a_wrong_password_and_a_closed_port_are_distinguished(Tool tool)
            throws Exception {
        var set = through(tool.container(), Containers.address(server));
        set.setProperty("password", "wrong");
        var wrong = assertThrows(SQLException.class,
                () -> DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", set).close());
        assertEquals("28P01", wrong.getSQLState());
        assertNull(Failure.findIn(wrong));

        var closed = refused(tool.container(), Containers.address(server), 5433);
        assertEquals("08001", closed.getSQLState());
        assertTrue(Failure.findIn(closed).getMessage().contains("efused"), Failure.findIn(closed).getMessage());

        var unknown = refused(tool.container(), "no-such-host", 5432);
        assertBroken(Failure.findIn(unknown), tool.container());
        nothingRunsIn(tool.container());
    }

    private static void assertBroken(Failure failure, String container) {
        var name = container.matches("[0-9a-f]{64}") ? container.substring(0, 12) : container;
        assertEquals(ExitCode.FAILED, failure.problem().exit());
        assertTrue(failure.getMessage()
                .startsWith("no connection to port 5432 in container " + name + ": "), failure.getMessage());
        assertEquals(List.of("see whether it runs: docker ps --all --filter id=" + name), failure.problem().next());
    }

    @ParameterizedTest @EnumSource void a_killed_server_session_is_reported(Tool tool) throws Exception {
        try (var db = connect(tool.container())) {
            var backend = one(db, "SELECT pg_backend_pid()");
            Thread.ofPlatform().daemon().start(() -> Containers.sh(server, "sleep 1; kill -9 " + backend));
            var gone = assertTimeoutPreemptively(Duration.ofSeconds(10),
                    () -> assertThrows(SQLException.class, () -> one(db, "SELECT pg_sleep(60)")));
            assertEquals("08006", gone.getSQLState());
        }
        nothingRunsIn(tool.container());
        Containers.awaitServer(server);
    }

    @ParameterizedTest @EnumSource void a_statement_can_be_cancelled(Tool tool) throws Exception {
        try (var db = connect(tool.container()); var statement = db.createStatement()) {
            Thread.ofPlatform().daemon().start(() -> {
                try {
                    Thread.sleep(500);
                    statement.cancel();
                } catch (SQLException | InterruptedException e) {
                    throw new IllegalStateException(e);
                }
            });
            var cancelled = assertTimeoutPreemptively(Duration.ofSeconds(10),
                    () -> assertThrows(SQLException.class, () -> statement.execute("SELECT pg_sleep(60)")));
            assertEquals("57014", cancelled.getSQLState());
            assertEquals("1", one(db, "SELECT 1"));
        }
        nothingRunsIn(tool.container());
    }

    public static final class Holder {
        public static void main(String[] args) throws Exception {
            var db = DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", through(args[0], args[1]));
            one(db, "SELECT 1");
            System.out.println("connected");
            one(db, "SELECT pg_sleep(60)");
        }
    }

    @ParameterizedTest @EnumSource void when_this_process_is_killed_nothing_is_left(Tool tool) throws Exception {
        var us = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java")
                .toString(), "-cp", System.getProperty("java.class.path"), Holder.class.getName(), tool.container(),
                Containers.address(server))
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        assertEquals("connected", us.inputReader().readLine());
        assertTrue(Containers.processes(tool.container()).size() > 1);
        us.destroyForcibly();
        nothingRunsIn(tool.container());
    }

    /** Records signals, and queries again when it reads a line. */
    public static final class Noting {
        public static void main(String[] args) throws Exception {
            Interruption.install();
            var control = new ProcessBuilder("sleep", "60").start();
            var db = DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", through(args[0], args[1]));
            System.out.println("connected");
            System.in.read();
            System.out.println(one(db, "SELECT 42") + (control.isAlive() ? ", but no signal came" : ""));
        }
    }

    /** The terminal sends it to all processes, and it ends newer docker clients, but undo needs the connection. */
    @Test void ctrl_c_does_not_end_the_tunnel() throws Exception {
        var us = new ProcessBuilder("setsid", Path.of(System.getProperty("java.home"), "bin", "java")
                .toString(), "-cp", System.getProperty("java.class.path"), Noting.class.getName(),
                Tool.BASH.container(), Containers.address(server))
                .redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try (var out = us.inputReader(); var in = us.outputWriter()) {
            assertEquals("connected", out.readLine());
            Program.of("kill", "-INT", "--", "-" + us.pid()).output();
            Thread.sleep(1_000);
            in.write("\n");
            in.flush();
            assertEquals("42", out.readLine());
        } finally {
            us.destroyForcibly();
        }
        nothingRunsIn(Tool.BASH.container());
    }

    @ParameterizedTest @EnumSource void when_the_docker_client_is_killed_nothing_is_left_and_it_is_reported(Tool tool)
            throws Exception {
        try (var db = connect(tool.container())) {
            one(db, "SELECT 1");
            var client = ProcessHandle.current().children()
                    .filter(child -> child.info().command().orElse("").endsWith("docker")).toList();
            assertEquals(1, client.size());
            client.getFirst().destroyForcibly();
            var gone = assertTimeoutPreemptively(Duration.ofSeconds(10),
                    () -> assertThrows(SQLException.class, () -> one(db, "SELECT 1")));
            assertBroken(Failure.findIn(gone), tool.container());
        }
        nothingRunsIn(tool.container());
    }

    private static String bare() {
        var bare = Containers.idle(Docker.DB);
        Containers.sh(bare, "rm -f /bin/bash /usr/bin/python3* /usr/bin/perl* /bin/nc* /usr/bin/nc* /bin/busybox");
        return bare;
    }

    @Test void a_container_without_any_of_these_programs_is_reported() {
        var bare = bare();
        var none = Failure.findIn(refused(bare, Containers.address(server), 5432));
        assertNoProgram(none, bare);
    }

    private static void assertNoProgram(Failure failure, String container) {
        assertEquals(ExitCode.FAILED, failure.problem().exit());
        assertEquals(
                "container %s has none of bash, python3, perl and nc (other than OpenBSD's), so its database can be reached only through a published port"
                        .formatted(container.substring(0, 12)),
                failure.getMessage());
        assertEquals(
                List.of("publish the database's port in the compose file (ports: \"127.0.0.1:5432:5432\"), start it"
                        + " again, and set DB_HOST=localhost"),
                failure.problem().next());
    }

    @Test void openbsds_nc_is_not_used() {
        var bare = bare();
        Containers.sh(
                bare,
                "printf '#!/bin/sh\\n"
                        + "echo \"OpenBSD netcat (Debian patchlevel 1.219-1)\" >&2\\n"
                        + "exit 1\\n"
                        + "' >/bin/nc; chmod +x /bin/nc");
        assertNoProgram(Failure.findIn(refused(bare, Containers.address(server), 5432)), bare);
        Containers.sh(bare, "printf '#!/bin/sh\\necho \"no route\" >&2\\nexit 1\\n' >/bin/nc");
        assertEquals("no connection to port 5432 in container %s: no route".formatted(bare.substring(0, 12)),
                Failure.findIn(refused(bare, Containers.address(server), 5432)).getMessage());
    }

    @Test void a_stopped_paused_or_unknown_container_is_reported_at_once() {
        var stopped = Containers.idle(Docker.BARE);
        Containers.docker("kill", stopped);
        var paused = Containers.idle(Docker.BARE);
        Containers.docker("pause", paused);
        for (var bad : List.of(stopped, paused, "tunnel-no-such-container")) {
            var failure = Failure.findIn(refused(bad, "db", 5432));
            assertBroken(failure, bad);
        }
    }

    @Test void a_container_that_stops_during_a_query_is_reported() throws Exception {
        var container = Containers.idle(Docker.DB);
        try (var db = connect(container)) {
            Thread.ofPlatform().daemon().start(() -> {
                try {
                    Thread.sleep(1000);
                } catch (InterruptedException e) {
                    return;
                }
                Containers.docker("kill", container);
            });
            var gone = assertTimeoutPreemptively(Duration.ofSeconds(10),
                    () -> assertThrows(SQLException.class, () -> one(db, "SELECT pg_sleep(60)")));
            assertNotNull(Failure.findIn(gone));
        }
    }

    @Test void a_missing_docker_client_is_reported() {
        var set = through("x", "db");
        into(set, Tunnel.to(List.of("/no/such/docker", "exec", "-i", "x"), "db", 5432));
        var missing = Failure.findIn(assertThrows(SQLException.class,
                () -> DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", set).close()));
        assertInstanceOf(Program.Missing.class, missing.problem());
    }

    /** An engine that never replies. */
    @Test void a_connection_attempt_without_a_reply_times_out() {
        var set = through("x", "db");
        into(set, Tunnel.to(List.of("sleep", "60"), "db", 5432));
        assertTimeout(Duration.ofSeconds(20),
                () -> assertThrows(SQLException.class,
                () -> DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", set).close()));
    }

    @Test void many_connections_leave_nothing_behind() throws Exception {
        var container = Tool.BASH.container();
        var before = Thread.getAllStackTraces().size();
        var children = ProcessHandle.current().children().toList();
        for (var i = 0; i < 50; i++) try (var db = connect(container)) {
            one(db, "SELECT 1");
        }
        eventually("threads are left", () -> threads() == 0);
        // the JVM keeps a few threads that wait for processes
        assertTrue(Thread.getAllStackTraces().size() <= before + 3, Thread.getAllStackTraces().keySet().toString());
        nothingRunsIn(container);
        eventually("clients are left", () -> ProcessHandle.current().children()
                .filter(child -> !children.contains(child)).noneMatch(ProcessHandle::isAlive));
    }

    @ParameterizedTest @EnumSource void a_large_result_arrives_whole(Tool tool) throws Exception {
        try (var db = connect(tool.container()); var statement = db.createStatement()) {
            db.setAutoCommit(false);
            statement.setFetchSize(100);
            var bytes = 0L;
            var rows = statement.executeQuery("SELECT repeat('x', 100000) FROM generate_series(1, 1000)");
            while (rows.next()) bytes += rows.getString(1).length();
            assertEquals(100_000_000L, bytes);
        }
    }

    @Test void tls_works_through_the_tunnel() throws Exception {
        assumeTrue(Containers.sh(server, "ls /etc/ssl/private/ssl-cert-snakeoil.key || true")
                .endsWith(".key"), "the image has no certificate");
        try (var db = connect(Tool.BASH.container()); var statement = db.createStatement()) {
            assertEquals("f", one(db, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
            for (var setting : List.of("ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'",
                    "ssl_key_file = '/etc/ssl/private/ssl-cert-snakeoil.key'", "ssl = on"))
                statement.execute("ALTER SYSTEM SET " + setting);
            statement.execute("SELECT pg_reload_conf()");
        }
        var set = through(Tool.BASH.container(), Containers.address(server));
        set.setProperty("sslmode", "require");
        Thread.sleep(500);
        try (var db = DriverManager.getConnection("jdbc:postgresql://db:5432/postgres", set);
                var statement = db.createStatement()) {
            assertEquals("t", one(db, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"));
            assertEquals("" + (5 << 20), one(db, "SELECT length(repeat('x', 5 << 20))"));
            statement.execute("ALTER SYSTEM SET ssl = off");
            statement.execute("SELECT pg_reload_conf()");
        }
    }
}
