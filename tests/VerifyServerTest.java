import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import lib.backup.BackupFolder;
import lib.backup.Manifest;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.OldState;
import support.OtherServer;
import support.PgClients;
import support.Postgres;
import support.Tool;

/** {@code verify} on the server that BACKUP_VERIFY_URL names. */
class VerifyServerTest {
    private static final String PASSWORD = "v3rify & \"me\"";
    private static OtherServer server;
    private static Postgres.Db shop;

    @TempDir Path project;
    private Tool tool;

    @BeforeAll static void a_second_server_with_a_role_that_may_create_databases() throws Exception {
        server = OtherServer.start(15).orElseThrow();
        onServer("CREATE ROLE verifier LOGIN CREATEDB PASSWORD '" + PASSWORD + "'");
        onServer("CREATE ROLE guest LOGIN PASSWORD '" + PASSWORD + "'");
        shop = BackupTest.shop(
                "verified_" + ProcessHandle.current().pid(),
                Postgres.role("keeper", "")); // it may not create databases
    }

    @AfterAll static void stop() throws IOException {
        if (server != null) server.close();
    }

    @BeforeEach void a_project_with_a_backup() throws Exception {
        Files.writeString(project.resolve("manage.py"), "");
        settings(shop.port(), "");
        tool = Tool.in(project, "backup_database").warmHere();
        tool.run("--quiet").done();
    }

    @AfterEach void nothing_is_left_on_the_other_server() {
        assertEquals(List.of("postgres", "template0", "template1"), databases(server));
        assertEquals(
                "guest postgres verifier",
                OldState.text(
                        server.database("postgres"),
                        "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'"));
    }

    // ---- what it proves ----------------------------------------------------------------------

    @Test void a_backup_is_proven_on_the_other_server_without_the_project_server() throws Exception {
        settings(1, "BACKUP_VERIFY_URL='" + url("verifier", PASSWORD) + "'\n"); // the project's port is closed
        var verified = tool.run("verify").done();
        assertTrue(
                verified.out()
                        .contains("Verifying " + file() + " on verifier@127.0.0.1:"
                                + server.database("postgres").port() + "/postgres"),
                verified.all());
        assertEquals(Manifest.Level.RESTORED, level());
        assertNoSecret(verified);
    }

    @Test void the_environment_wins_over_the_env_file_and_all_backups_can_be_verified() throws Exception {
        tool.run("--quiet").done();
        settings(1, "BACKUP_VERIFY_URL=postgresql://nobody@127.0.0.1:1/\n");
        tool.env("BACKUP_VERIFY_URL", url("verifier", PASSWORD)).run("verify", "--all").done();
        assertEquals(
                List.of(Manifest.Level.RESTORED, Manifest.Level.RESTORED),
                folder().list().stream().map(BackupFolder.Entry::level).toList());
    }

    @Tag("exhaustive") @Test void a_newer_server_can_prove_a_backup() throws Exception {
        var clients = PgClients.bin(17);
        assumeTrue(clients.isPresent(), "needs clients of PostgreSQL 17");
        try (var newer = OtherServer.start(17).orElse(null)) {
            assumeTrue(newer != null, "needs a server of PostgreSQL 17");
            tool.env("PATH", clients.get() + ":" + System.getenv("PATH"))
                    .env("BACKUP_VERIFY_URL", url(newer, "postgres", Postgres.PASSWORD))
                    .run("verify")
                    .done();
            assertEquals(Manifest.Level.RESTORED, level());
            assertEquals(List.of("postgres", "template0", "template1"), databases(newer));
        }
    }

    @Tag("exhaustive") @Test void text_outside_the_other_server_s_encoding_is_restored() throws Exception {
        OldState.run(shop, "CREATE TABLE arrow AS SELECT '→ ₤' AS way");
        tool.run("--quiet").done();
        onServer("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
        try {
            tool.env("BACKUP_VERIFY_URL", url("verifier", PASSWORD).replaceFirst("/postgres$", "/latin"))
                    .run("verify")
                    .done();
        } finally {
            onServer("DROP DATABASE latin");
            OldState.run(shop, "DROP TABLE arrow");
        }
    }

    @Test void a_bad_backup_fails_on_the_other_server_and_is_listed_as_bad() throws Exception {
        tool.env("BACKUP_VERIFY_URL", url("verifier", PASSWORD));
        var broken = Files.writeString(project.resolve("broken.sql"), "CREATE TABLE t (id int);\nSELECT 1 / 0;\n");
        tool.run("verify", broken.toString()).ended(1, broken + " does not restore: ", "division by zero");
        var bytes = Files.readAllBytes(file());
        bytes[bytes.length / 2] ^= 1;
        Files.write(file(), bytes);
        tool.run("verify").ended(1, file().toString());
        assertFalse(folder().list().getFirst().isGood());
    }

    // ---- what is refused ---------------------------------------------------------------------

    @Test void a_server_older_than_the_dump_s_is_refused() throws Exception {
        try (var older = OtherServer.start(14).orElse(null)) {
            assumeTrue(older != null, "needs a server of PostgreSQL 14");
            tool.env("BACKUP_VERIFY_URL", url(older, "postgres", Postgres.PASSWORD));
            var refused =
                    "the server of BACKUP_VERIFY_URL is PostgreSQL 14, older than the server that the backup is from:"
                            + " PostgreSQL 15";
            for (var withManifest : List.of(true, false)) {
                if (!withManifest) Files.delete(Path.of(file() + ".json"));
                tool.run("verify").ended(4, refused, "name a server of PostgreSQL 15 or newer in BACKUP_VERIFY_URL");
            }
            assertEquals(List.of("postgres", "template0", "template1"), databases(older));
        }
    }

    @Test void a_role_without_createdb_is_refused() throws Exception {
        var refused = tool.env("BACKUP_VERIFY_URL", url("guest", PASSWORD)).run("verify");
        refused.ended(4, "role guest may not create databases on the server of BACKUP_VERIFY_URL: guest@127.0.0.1:",
                "have a superuser of that server run: ALTER ROLE \"guest\" CREATEDB");
        assertNoSecret(refused);
    }

    @Test void a_wrong_password_or_port_names_the_setting() throws Exception {
        var wrong = tool.env("BACKUP_VERIFY_URL", url("verifier", "not " + PASSWORD)).run("verify");
        wrong.ended(
                2,
                "cannot use the server of BACKUP_VERIFY_URL: the password of role verifier is wrong",
                "correct BACKUP_VERIFY_URL, or remove it to verify on the project's server");
        assertNoSecret(wrong);
        assertNoSecret(tool.env("BACKUP_VERIFY_URL", "postgresql://verifier:%s@127.0.0.1:1/".formatted(encoded(PASSWORD)))
                .run("verify")
                .ended(
                        1,
                        "cannot use the server of BACKUP_VERIFY_URL: no PostgreSQL server answers on 127.0.0.1"
                                + " port 1"));
        assertEquals(Manifest.Level.STREAM, level()); // it proves nothing about the file
    }

    @Test void a_bad_url_is_a_usage_error_that_never_shows_it() throws Exception {
        var part = "s3cret-part";
        for (var bad : List.of(
                part,
                "postgresql://" + part,
                "postgresql://verifier:" + part + "@/x",
                "postgresql://verifier:" + part + "@h:70000/x",
                "postgresql://verifier:" + part + "@h:x/x",
                "postgresql://verifier:" + part + "@h/x?sslmode=perhaps",
                "postgresql://verifier:" + part + "%zz@h/x",
                "postgresql://verifier:" + part + "@a,b/x",
                "postgresql://verifier:" + part + "@%2Ftmp/x")) {
            var refused = tool.env("BACKUP_VERIFY_URL", bad).run("verify");
            assertEquals(2, refused.code(), bad + refused.all());
            assertTrue(
                    refused.err()
                            .contains("BACKUP_VERIFY_URL in environment is invalid: expected a URL like"
                                    + " postgresql://user:password@host:5432/name"),
                    refused.all());
            assertFalse(refused.all().contains(part), refused.all());
        }
    }

    @Test void embedded_is_gone_and_the_message_says_what_to_use() throws Exception {
        tool.run("verify", "--embedded")
                .ended(
                        2,
                        "verify no longer has --embedded: it does not start a PostgreSQL server of its own",
                        "name a server where a role may create databases, in .env or in the environment:"
                                + " BACKUP_VERIFY_URL=postgresql://ROLE:PASSWORD@HOST:5432/postgres");
        assertFalse(tool.run("verify", "--help").all().contains("embedded"));
    }

    // ---- while it runs, and when it is stopped -----------------------------------------------

    @Test
    void a_killed_verify_s_database_is_dropped_by_the_next_and_the_password_is_in_no_command_line() throws Exception {
        tool.env("BACKUP_VERIFY_URL", url("verifier", PASSWORD));
        var slow = Files.writeString(project.resolve("slow.sql"), "CREATE TABLE t (id int);\nSELECT pg_sleep(60);\n");
        var verify = tool.start("verify", slow.toString());
        var scratch = sleeping();
        var commands = new ArrayList<String>();
        for (var process : verify.descendants().toList()) {
            commands.add(read(process.pid(), "cmdline"));
            assertFalse(read(process.pid(), "environ").contains("BACKUP_VERIFY_URL"));
        }
        assertTrue(commands.toString().contains("psql") && commands.toString().contains(scratch), commands.toString());
        commands.add(read(verify.pid(), "cmdline"));
        for (var command : commands)
            assertFalse(command.contains(PASSWORD) || command.contains(encoded(PASSWORD)), command);
        verify.descendants().forEach(ProcessHandle::destroyForcibly);
        verify.destroyForcibly().waitFor();
        onServer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + scratch + "'");
        tool.run("verify").done(); // the database of a run that may still be running is kept
        assertTrue(databases(server).contains(scratch), databases(server).toString());
        var old = scratch.replaceFirst("_\\d{8}_", "_20200101_");
        onServer("ALTER DATABASE %s RENAME TO %s".formatted(scratch, old));
        tool.run("verify").ended(0, "dropped " + old + ", which a killed verify had left");
    }

    @Test void a_terminated_verify_leaves_no_database() throws Exception {
        tool.env("BACKUP_VERIFY_URL", url("verifier", PASSWORD));
        var slow = Files.writeString(project.resolve("slow.sql"), "CREATE TABLE t (id int);\nSELECT pg_sleep(60);\n");
        var verify = tool.start("verify", slow.toString());
        sleeping();
        verify.destroy();
        tool.end(verify).ended(130);
    }

    /** The scratch database, when its restore has reached pg_sleep. */
    private static String sleeping() throws InterruptedException {
        for (int i = 0; i < 600; i++) {
            var found = OldState.text(
                    server.database("postgres"),
                    "SELECT coalesce(max(datname), '') FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND"
                            + " datname LIKE 'backup_verify_%'");
            if (!found.isEmpty()) return found;
            Thread.sleep(50);
        }
        throw new AssertionError("the restore never began");
    }

    private static String read(long pid, String file) throws IOException {
        return Files.readString(Path.of("/proc/" + pid, file));
    }

    // ---- helpers -----------------------------------------------------------------------------

    private void settings(int port, String more) throws IOException {
        Files.writeString(
                project.resolve(".env"),
                """
                DB_HOST='%s'
                DB_PORT='%d'
                DB_NAME='%s'
                DB_USER='%s'
                DB_PASSWORD='%s'
                """.formatted(
                                        shop.host(),
                                        port,
                                        shop.name(),
                                        shop.role().name(),
                                        shop.role().password())
                        + more);
    }

    private static String url(String role, String password) {
        return url(server, role, password);
    }

    private static String url(OtherServer server, String role, String password) {
        return "postgresql://%s:%s@127.0.0.1:%d/postgres"
                .formatted(role, encoded(password), server.database("postgres").port());
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static void assertNoSecret(Tool.Output said) {
        assertFalse(said.all().contains(PASSWORD) || said.all().contains(encoded(PASSWORD)), said.all());
        assertNotEquals("", said.all());
    }

    private BackupFolder folder() {
        return new BackupFolder(project.resolve("backups"));
    }

    private Path file() {
        return folder().list().getFirst().file();
    }

    private Manifest.Level level() {
        return folder().list().getFirst().level();
    }

    private static void onServer(String sql) {
        OldState.run(server.database("postgres"), sql);
    }

    private static List<String> databases(OtherServer server) {
        return List.of(OldState.text(
                        server.database("postgres"),
                        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
                .split(" "));
    }
}
