import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.exceptionfactory.jagged.x25519.X25519KeyPairGenerator;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.regex.Pattern;
import lib.backup.BackupFolder;
import lib.backup.Manifest;
import lib.process.Program;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Tool;

/** The commands in separate processes, as cron and people run them: what follows a backup, and restores. */
class BackupCommandTest {
    @TempDir Path project;
    private Postgres.Db db;
    private Tool tool;

    @BeforeEach void a_project_with_a_database() throws Exception {
        db = BackupTest.shop("command_" + System.nanoTime(), Postgres.role("keeper", "CREATEDB"));
        Files.writeString(project.resolve("manage.py"), "");
        settings("");
        tool = Tool.in(project, "backup_database").warm();
    }

    private void settings(String more) throws IOException {
        Files.writeString(
                project.resolve(".env"),
                """
                DB_HOST='%s'
                DB_PORT='%d'
                DB_NAME='%s'
                DB_USER='%s'
                DB_PASSWORD='%s'
                """.formatted(
                                        db.host(),
                                        db.port(),
                                        db.name(),
                                        db.role().name(),
                                        db.role().password())
                        + more);
    }

    // ---- what follows a backup ---------------------------------------------------------------

    @Test void command_line_options_override_the_env_file() throws Exception {
        settings("BACKUP_DIR=nightly\nBACKUP_COMPRESS=gzip:1\nBACKUP_FORMAT=plain\nBACKUP_KEEP_LAST=2\n");
        for (int i = 0; i < 3; i++) assertEquals(0, tool.run("--quiet").code());
        var kept = folder("nightly");
        assertEquals(2, kept.size());
        assertTrue(kept.getFirst().file().toString().endsWith(".sql.gz"), kept.toString());
        assertEquals(
                0,
                tool.run(
                                "--quiet",
                                "--compress",
                                "none",
                                "--format",
                                "custom",
                                "--dir",
                                project.resolve("other").toString())
                        .code());
        assertTrue(folder("other").getFirst().file().toString().endsWith(".dump"));
        settings("BACKUP_FORMAT=tar\n");
        var wrong = tool.run();
        assertEquals(2, wrong.code());
        assertTrue(wrong.err().contains("BACKUP_FORMAT") && wrong.err().contains("custom, plain"), wrong.err());
    }

    @Test void a_table_that_lost_its_rows_is_a_warning_and_with_strict_no_older_backup_is_pruned() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        execute("DELETE FROM \"Order \"\"Line\"\" x\" WHERE id > 100");
        var strict = tool.run("--strict", "--keep-last", "1");
        assertEquals(3, strict.code(), strict.all());
        assertTrue(strict.err().contains("4,000 rows, 100 now"), strict.err());
        assertEquals(2, folder("backups").size());
        execute("DELETE FROM \"Order \"\"Line\"\" x\"; DELETE FROM customer WHERE id > 1000");
        var warned = tool.run("--keep-last", "1", "--quiet");
        assertEquals(0, warned.code(), warned.all());
        assertTrue(warned.err().contains("warning: much less") && warned.err().contains("customer"), warned.err());
        assertEquals(1, folder("backups").size());
        var quiet = tool.run("--quiet"); // the control: nothing has shrunk since
        assertEquals("", quiet.all());
        assertEquals(2, tool.run("--alarm-drop", "101").code());
    }

    @Test void the_ping_reports_start_success_and_failure_without_secrets() throws Exception {
        var heard = Collections.synchronizedList(new ArrayList<String>());
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            heard.add(exchange.getRequestURI() + " " + new String(exchange.getRequestBody().readAllBytes()));
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        try {
            settings("BACKUP_PING_URL=http://127.0.0.1:%d/secret-token\n".formatted(server.getAddress().getPort()));
            assertEquals("", tool.run("--quiet").all());
            assertEquals(List.of("/secret-token/start ", "/secret-token "), heard);
            heard.clear();
            Postgres.execute("REVOKE CONNECT ON DATABASE %s FROM PUBLIC, %s"
                    .formatted(
                            Postgres.quoted(db.name()),
                            Postgres.quoted(db.role().name())));
            Postgres.execute("ALTER DATABASE %s OWNER TO postgres".formatted(Postgres.quoted(db.name())));
            var failed = tool.run("--quiet");
            assertEquals(2, failed.code(), failed.all());
            assertEquals(1, heard.size(), heard.toString());
            assertTrue(heard.getFirst().startsWith("/secret-token/fail exit code 2"), heard.toString());
            assertFalse((heard + failed.all().replace("/secret-token", "")).contains(db.role().password()));
            assertFalse(failed.all().contains("secret-token"));
        } finally {
            server.stop(0);
        }
    }

    @Test void an_off_site_copy_can_be_fetched_and_a_missing_folder_does_not_prevent_the_backup() throws Exception {
        assumeTrue(Program.of("sh", "-c", "command -v rclone").run().code() == 0, "rclone is not installed");
        var away = project.resolve("away");
        var first = tool.run("--remote", away.toString());
        assertEquals(3, first.code(), first.all());
        assertEquals(1, folder("backups").size());
        assertFalse(Files.exists(away)); // the mount point of an unmounted disk is not created
        Files.createDirectory(away);
        assertEquals(0, tool.run("--quiet", "--remote", away.toString()).code());
        var name = folder("backups").getFirst().file().getFileName().toString();
        assertTrue(tool.run("list", "--remote", away.toString()).out().contains(name));
        Files.delete(folder("backups").getFirst().file());
        Files.delete(project.resolve("backups").resolve(name + ".json"));
        assertEquals(0, tool.run("fetch", name, "--remote", away.toString()).code());
        assertTrue(folder("backups").getFirst().isGood());
        Files.write(away.resolve(name), new byte[] {1, 2, 3}); // the control: different content is noticed
        Files.delete(project.resolve("backups").resolve(name));
        assertEquals(1, tool.run("fetch", name, "--remote", away.toString()).code());
        assertFalse(Files.exists(project.resolve("backups").resolve(name)));
    }

    // ---- proof -------------------------------------------------------------------------------

    @Test void verify_records_its_result_status_shows_it_and_prune_gives_reasons() throws Exception {
        assertEquals(1, tool.run("status", "--max-age", "1h").code()); // none at all
        assertEquals(0, tool.run("--quiet").code());
        assertEquals(Manifest.Level.STREAM, folder("backups").getFirst().level());
        var verified = tool.run("verify");
        assertEquals(0, verified.code(), verified.all());
        assertEquals(Manifest.Level.RESTORED, folder("backups").getFirst().level());
        assertEquals(List.of(), scratch());
        var prom = project.resolve("crm.prom");
        assertEquals(0, tool.run("status", "--max-age", "1h", "--prometheus", prom.toString()).code());
        assertTrue(
                Files.readString(prom).contains("last_good_restored{database=\"" + db.name() + "\"} 1"),
                Files.readString(prom));
        assertEquals(0, tool.run("--quiet").code());
        var dry = tool.run("prune", "--keep-last", "1", "--dry-run");
        assertTrue(
                dry.out().contains("kept: the newest good one")
                        && dry.out().contains("kept: the newest that was restored"),
                dry.out());
        assertEquals(2, tool.run("prune").code()); // without a rule that says what to keep
        assertEquals(2, folder("backups").size());
    }

    @Test void verify_rebuilds_a_lost_manifest() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        var file = folder("backups").getFirst();
        Files.delete(Path.of(file.file() + ".json"));
        assertFalse(folder("backups").getFirst().isGood());
        assertEquals(0, tool.run("verify").code());
        var again = folder("backups").getFirst();
        assertEquals(Manifest.Level.RESTORED, again.level());
        assertEquals(file.manifest().content().tables(), again.manifest().content().tables());
        assertEquals(file.manifest().file().sha256(), again.manifest().file().sha256());
        assertEquals(file.manifest().content().sequences(), again.manifest().content().sequences());
    }

    @Test void verify_is_refused_when_the_role_may_not_create_databases() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        Postgres.execute("ALTER ROLE %s NOCREATEDB".formatted(Postgres.quoted(db.role().name())));
        tool.run("verify")
                .ended(
                        4,
                        "role " + db.role().name() + " may not create databases, and verify restores into a new one",
                        "have a superuser run: ALTER ROLE \"" + db.role().name() + "\" CREATEDB",
                        "or let verify use another server, in .env or in the environment:"
                                + " BACKUP_VERIFY_URL=postgresql://ROLE:PASSWORD@HOST:5432/postgres");
        assertEquals(Manifest.Level.STREAM, folder("backups").getFirst().level());
    }

    /** As after the usual advice to start over. pg_dump lists such a schema, but not the original one. */
    @Test
    void a_recreated_public_schema_verifies_and_a_missing_schema_is_noticed() throws Exception {
        execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; COMMENT ON SCHEMA public IS 'ours'; CREATE TABLE"
                + " kept (id int); CREATE SCHEMA other");
        var tool = Tool.in(project, "backup_database"); // --dir is relative to the working folder
        for (var format : List.of("custom", "plain")) {
            assertEquals(0, tool.run("--quiet", "--format", format, "--dir", format).code());
            var verified = tool.run("verify", "--dir", format);
            assertEquals(0, verified.code(), verified.all());
        }
        var file = folder("custom").getFirst().file();
        assertEquals(0, tool.run("restore", file.toString(), "--no-owner", "--into", db.name() + "_ours").code());
        var manifest = Path.of(folder("plain").getFirst().file() + ".json"); // the control
        Files.writeString(manifest, Files.readString(manifest).replace("\"SCHEMA\": 1", "\"SCHEMA\": 2"));
        assertEquals(1, tool.run("verify", "--dir", "plain").code());
    }

    @Test void an_encrypted_backup_needs_its_key_and_holds_no_plain_text() throws Exception {
        var recipient = identity("key.txt");
        settings("BACKUP_ENCRYPT_TO=" + recipient + "\nBACKUP_IDENTITY=key.txt\n");
        var tool = Tool.in(project, "backup_database"); // key.txt is relative to the working folder
        assertEquals(0, tool.run("--quiet").code());
        var file = folder("backups").getFirst().file();
        assertTrue(file.toString().endsWith(".dump.zst.age"), file.toString());
        assertTrue(new String(Files.readAllBytes(file), java.nio.charset.StandardCharsets.ISO_8859_1)
                .startsWith("age-encryption.org/v1\n-> X25519"));
        assertEquals(List.of(recipient), folder("backups").getFirst().manifest().encoding().encryptedTo());
        assertEquals(0, tool.run("verify").code());
        identity("another.txt");
        var wrong = tool.run("verify", "--identity", "another.txt");
        assertEquals(2, wrong.code(), wrong.all());
        assertTrue(wrong.err().contains("no key in another.txt decrypts " + file), wrong.err());
        settings("");
        tool.run("verify").ended(2, file + " is encrypted, and no identity file is given");
        assertEquals(
                Manifest.Level.RESTORED, folder("backups").getFirst().level()); // a wrong key proves nothing
    }

    /** Makes a key file. @return its recipient */
    private String identity(String file) throws Exception {
        var pair = new X25519KeyPairGenerator().generateKeyPair();
        Files.write(project.resolve(file), pair.getPrivate().getEncoded());
        return new String(pair.getPublic().getEncoded(), java.nio.charset.StandardCharsets.US_ASCII);
    }

    @Test void a_passphrase_is_refused_and_never_printed() throws Exception {
        settings("BACKUP_PASSPHRASE='four words of mine'\n");
        for (var more : List.of(List.<String>of(), List.of("--encrypt-to", identity("key.txt")))) {
            var refused = tool.run(more.toArray(String[]::new))
                    .ended(
                            2,
                            "BACKUP_PASSPHRASE is set, but backups are no longer encrypted with a passphrase",
                            "make a key pair: age-keygen -o key.txt",
                            "set BACKUP_ENCRYPT_TO to its public key (age1…), and remove BACKUP_PASSPHRASE");
            assertFalse(refused.all().contains("four words"), refused.all());
        }
        assertEquals(List.of(), folder("backups"));
        settings("");
        assertEquals(0, tool.run("--quiet").code());
        settings("BACKUP_PASSPHRASE='four words of mine'\n");
        assertEquals(0, tool.run("verify").code()); // the control: only a new backup refuses it
    }

    // ---- restore -----------------------------------------------------------------------------

    @Test void a_restore_in_place_is_undone_by_reset_migrations_and_keeps_owner_settings_and_grants() throws Exception {
        Postgres.execute("ALTER DATABASE %s SET statement_timeout TO '77s'".formatted(Postgres.quoted(db.name())));
        assertEquals(0, tool.run("--quiet").code());
        execute("DELETE FROM \"Order \"\"Line\"\" x\" WHERE id <= 3000");
        var before = oid();
        var file = folder("backups").getFirst().file().toString();
        var asked = tool.run("restore", file);
        assertEquals(4, asked.code(), asked.all()); // without a terminal to confirm
        assertEquals(before, oid());
        var restored = tool.run("restore", file, "--yes");
        assertEquals(0, restored.code(), restored.all());
        assertEquals("4000", one("SELECT count(*) FROM \"Order \"\"Line\"\" x\""));
        assertEquals("77s", one("SHOW statement_timeout"));
        assertEquals(
                db.role().name(),
                one("SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()")
                        .replace("\"", ""));
        var run = Pattern.compile("reset_migrations undo (\\S+)").matcher(restored.out());
        assertTrue(run.find(), restored.out());
        var undone = Tool.in(project, "reset_migrations").warm().run("undo", run.group(1), "--yes");
        assertEquals(0, undone.code(), undone.all());
        assertEquals(before, oid());
        assertEquals("1000", one("SELECT count(*) FROM \"Order \"\"Line\"\" x\""));
        var purged = Tool.in(project, "reset_migrations").warm().run("purge", "--yes", "--no-backup");
        assertEquals(0, purged.code(), purged.all());
        assertFalse(Files.exists(project.resolve(".reset")));
    }

    @Test void a_protected_database_is_not_replaced_but_its_backup_restores_beside_it() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        var file = folder("backups").getFirst().file().toString();
        Postgres.execute("COMMENT ON DATABASE %s IS 'protected'".formatted(Postgres.quoted(db.name())));
        assertEquals(4, tool.run("restore", file, "--yes").code());
        assertEquals(0, tool.run("restore", file, "--into", db.name() + "_beside").code());
        assertEquals(4, tool.run("restore", file, "--into", db.name() + "_beside").code()); // it exists now
        Postgres.execute("COMMENT ON DATABASE %s IS NULL".formatted(Postgres.quoted(db.name())));
        assertEquals(0, tool.run("restore", file, "--yes").code()); // the control
    }

    @Test void a_role_that_may_not_create_databases_is_refused_before_anything_is_done() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        Postgres.execute("ALTER ROLE %s NOCREATEDB".formatted(Postgres.quoted(db.role().name())));
        var name = folder("backups").getFirst().file().getFileName().toString(); // looked up in the folder
        for (var more : List.of(List.of("--into", "anywhere"), List.of("--yes"))) {
            var args = new ArrayList<>(List.of("restore", name));
            args.addAll(more);
            var refused = tool.run(args.toArray(String[]::new));
            assertEquals(4, refused.code(), refused.all());
            assertTrue(
                    refused.err().contains("may not create databases")
                            && refused.err().contains("CREATEDB"),
                    refused.err());
        }
        Postgres.execute("ALTER ROLE %s CREATEDB".formatted(Postgres.quoted(db.role().name())));
        assertEquals(0, tool.run("restore", name, "--into", db.name() + "_anywhere").code()); // the control
    }

    @Test void a_file_that_is_not_a_dump_is_refused_and_a_failed_backup_names_the_newest_good_one() throws Exception {
        var letter = Files.writeString(project.resolve("letter.sql"), "-- my dear\nnot a dump at all\n");
        var refused = tool.run("restore", letter.toString(), "--into", "anywhere");
        assertEquals(2, refused.code(), refused.all());
        var first = tool.run(
                "--quiet",
                "--env-file",
                Files.writeString(
                                project.resolve("wrong.env"),
                                Files.readString(project.resolve(".env"))
                                        .replace(db.role().password(), "not it"))
                        .toString());
        assertTrue(first.err().contains("no backup of " + db.name() + " was made (there is no good one)"), first.err());
        assertEquals(0, tool.run("--quiet").code());
        var second = tool.run("--quiet", "--env-file", project.resolve("wrong.env").toString());
        assertTrue(second.err().contains("was made (the newest good one is "), second.err());
    }

    @Test void two_servers_with_a_database_of_the_same_name_can_share_a_folder() throws Exception {
        assertEquals(0, tool.run("--quiet").code());
        var other = folder("backups").getFirst().file();
        var manifest = Path.of(other + ".json");
        var ours = "\"origin\": \"%s:%d\"".formatted(db.host(), db.port());
        assertTrue(Files.readString(manifest).contains(ours), Files.readString(manifest));
        Files.writeString(manifest, Files.readString(manifest).replace(ours, "\"origin\": \"elsewhere:5432\""));
        execute("DELETE FROM \"Order \"\"Line\"\" x\""); // no alarm: nothing to compare with
        assertEquals("", tool.run("--quiet", "--keep-last", "1").all());
        assertEquals("", tool.run("--quiet", "--keep-last", "1").all());
        assertTrue(Files.exists(other));
        assertEquals(2, folder("backups").size());
        Files.writeString(
                manifest,
                Files.readString(manifest).replace("elsewhere:5432", "%s:%d".formatted(db.host(), db.port())));
        assertEquals(0, tool.run("prune", "--keep-last", "1").code());
        assertFalse(Files.exists(other)); // the control
    }

    // ---- helpers -----------------------------------------------------------------------------

    private List<BackupFolder.Entry> folder(String name) {
        return new BackupFolder(project.resolve(name)).list();
    }

    private List<String> scratch() throws SQLException {
        return List.of(one("SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE datname LIKE"
                        + " 'backup_verify_%' AND pg_get_userbyid(datdba) = current_user"))
                .stream()
                .filter(s -> !s.isEmpty())
                .toList();
    }

    private String oid() throws SQLException {
        return one("SELECT oid::text FROM pg_database WHERE datname = current_database()");
    }

    private String one(String query) throws SQLException {
        try (var connection = db.connect(); var row = connection.createStatement().executeQuery(query)) {
            row.next();
            return row.getString(1);
        }
    }

    private void execute(String sql) throws SQLException {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
