package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import lib.django.Migrations;
import lib.project.Credentials;
import lib.project.Git;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.CrashingServer;
import support.OldState;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** The refusals before anything is touched, each also with the case that passes. */
class GuardsTest {
    private static int refused, wentOn;

    @TempDir Path temp;
    private SampleProject shop;
    private Postgres.Db db;

    @BeforeEach void project() throws Exception {
        shop = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")).toRealPath(), Map.of("shop/models.py",
                        """
                        from django.db import models
                        class Order(models.Model):
                            number = models.IntegerField()
                        """,
                        "shop/migrations/0001_old.py",
                        "from django.db import migrations\nclass Migration(migrations.Migration):\n    pass\n"));
        db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        OldState.run(db, "CREATE TABLE old_order (id int PRIMARY KEY)", "INSERT INTO old_order VALUES (7)");
        shop.env(db);
    }

    @AfterAll static void figures() {
        System.out.printf("guards: refused %d times, went on without the mark %d times%n", refused, wentOn);
    }

    private Tool.Output reset(String... args) throws Exception {
        return Tool.in(shop.root(), "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run(args);
    }

    private Tool.Output passes(String... args) throws Exception {
        var output = reset(args);
        assertEquals(0, output.code(), output.all());
        wentOn++;
        return output;
    }

    /** Refused with these words; rows and files are as they were. */
    private Tool.Output refuses(String words, String... args) throws Exception {
        var rows = Snapshot.of(db);
        var files = Snapshot.of(shop.root());
        var output = reset(args);
        assertEquals(4, output.code(), output.all());
        assertTrue(output.err().contains(words), output.all());
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(shop.root()));
        refused++;
        return output;
    }

    private void comment(String words) {
        OldState.run(db, "COMMENT ON DATABASE %s IS %s".formatted(Postgres.quoted(db.name()), words));
    }

    @Test
    void a_protected_database_is_refused_with_any_option_and_the_message_says_how_to_unmark_it() throws Exception {
        comment("'the shop, PROTECTED\u001b[2J since May'");
        var unmark = "COMMENT ON DATABASE \"%s\" IS NULL;".formatted(db.name());
        var output = refuses(unmark, "--yes", "--confirm-database", db.name(), "--terminate", "--allow-replication");
        assertTrue(output.err().contains("PROTECTED?[2J since May"), output.err());
        assertTrue(refuses(unmark, "--dry-run").out().contains("Steps"), "the plan is shown");
        comment("'unprotected'"); // part of another word
        passes("--yes");
        comment("'Protected'");
        refuses(unmark, "undo", "--yes");
        refuses(unmark, "purge", "--yes", "--no-backup");
        OldState.run(db, unmark);
        passes("purge", "--yes", "--no-backup");
    }

    @Test void yes_is_not_enough_when_debug_is_off() throws Exception {
        SampleProject.write(shop.root(), "config/extra.py", "DEBUG = False\n");
        assertTrue(refuses("DEBUG is False", "--yes").err().contains("--confirm-database " + db.name()));
        refuses("but the database is " + db.name(), "--yes", "--confirm-database", "other");
        passes("--confirm-database", db.name());
        passes("undo", "--yes"); // on this machine; DEBUG is unknown without Django
    }

    @Test void yes_is_not_enough_for_a_database_on_another_machine() throws Exception {
        shop.env(new Postgres.Db("0.0.0.0", db.port(), db.name(), db.role())); // not an address that counts as local
        refuses("not on this machine", "--yes");
        passes("--yes", "--confirm-database", db.name());
        for (var command : new String[] {"undo", "purge"}) refuses("not on this machine", command, "--yes");
        passes("undo", "--confirm-database", db.name());
        passes("purge", "--no-backup", "--confirm-database", db.name());
    }

    @Test void a_standby_is_refused() throws Exception {
        try (var server = new Standby()) {
            db = server.database();
            shop.env(db);
            passes("--dry-run"); // as a primary
            passes("--yes");
            server.becomeStandby();
            for (var command :
                    List.of(List.of("--yes"), List.of("undo", "--yes"), List.of("purge", "--yes", "--no-backup")))
                refuses("standby", command.toArray(String[]::new));
        }
    }

    @Test void local_addresses_are_recognized_without_a_name_lookup() throws Exception {
        var own = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        for (var host : List.of("localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.255.0.9", "::1",
                "0:0:0:0:0:0:0:1", "[::1]", "::ffff:127.0.0.1", "/var/run/postgresql",
                own)) assertTrue(local(host), host);
        for (var host : List.of("db", "0.0.0.0", "127.0.0.1.example.com", "127.0.0.256", "128.0.0.1",
                "localhost.example.com", "::2", "::ffff:10.0.0.1", "10.0.0.1", own + "x",
                "a:b")) assertFalse(local(host), host);
    }

    private static boolean local(String host) {
        return new Credentials(host, 5432, "shop", "shop", "x", null, Map.of()).isLocal();
    }

    // ---- git ---------------------------------------------------------------------------------

    private void git(Path folder, String... args) throws Exception {
        var command = new ArrayList<>(List.of(
                "git", "-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "init.defaultBranch=main"));
        command.addAll(List.of(args));
        var ran = Python.run(folder, command.toArray(String[]::new));
        assertEquals(0, ran.code(), ran.text());
    }

    @Test void uncommitted_migrations_are_named_in_the_plan_and_saved_by_the_run() throws Exception {
        assertFalse(reset("--dry-run").out().contains("git")); // no repository: not mentioned
        git(temp, "init", "-q"); // above the project: git's paths begin elsewhere
        git(temp, "add", "shop/shop", "shop/config", "shop/manage.py");
        git(temp, "commit", "-qm", "all");
        assertFalse(passes("--dry-run").out().contains("that git does not have"));
        var folder = shop.root().resolve("shop/migrations");
        Files.writeString(folder.resolve("0001_old.py"), Files.readString(folder.resolve("0001_old.py")) + "# mine\n");
        var hostile = "0002_\u001b]0;x\n\"ü.py";
        Files.writeString(folder.resolve(hostile), Files.readString(folder.resolve("0001_old.py")));
        Files.writeString(folder.resolve("_helper.py"), "");
        var before = Snapshot.of(temp.resolve(".git"));
        var changes = Git.uncommitted(shop.root(), List.of(folder), Migrations::isMigrationName);
        assertEquals(List.of(new Git.Change("shop/migrations/0001_old.py", "modified"),
                new Git.Change("shop/migrations/" + hostile, "untracked")), changes);
        assertEquals(before, Snapshot.of(temp.resolve(".git")));
        Files.writeString(folder.resolve(".gitignore"), "0002_*\n");
        assertTrue(Git.uncommitted(shop.root(), List.of(folder), Migrations::isMigrationName)
                .contains(new Git.Change("shop/migrations/" + hostile, "ignored, so not in git")));
        Files.delete(folder.resolve(".gitignore"));
        Files.delete(folder.resolve(hostile)); // Django itself cannot import such a name
        Files.copy(folder.resolve("0001_old.py"), folder.resolve("0003_new.py"));
        var tool = Tool.in(shop.root(), "reset_migrations")
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).env("GIT_DIR", "/nowhere")
                .env("GIT_INDEX_FILE", "/nowhere");
        var plan = tool.run("--dry-run", "--json");
        assertEquals(0, plan.code(), plan.all());
        assertTrue(plan.err().contains("2 migration files with changes that git does not have")
                && plan.err().contains("the run saves them as they are now"), plan.err());
        var json = JsonParser.parseString(plan.out().lines().findFirst().orElseThrow()).getAsJsonObject()
                .getAsJsonArray("uncommitted").toString();
        assertTrue(json.contains("0001_old.py") && json.contains("modified") && json.contains("0003_new.py")
                && json.contains("untracked"), json);
        Files.delete(folder.resolve("0001_old.py"));
        var deleted = tool.run("--dry-run").done().out();
        assertTrue(deleted.contains("the run saves those that are there as they are now")
                && deleted.contains("only git has what was deleted"), deleted);
        Files.writeString(temp.resolve(".git/HEAD"), "broken");
        assertEquals(List.of(), Git.uncommitted(shop.root(), List.of(folder), Migrations::isMigrationName));
    }

    // ---- a separate server -------------------------------------------------------------------

    /** A primary that is stopped and started again as a standby without a primary. */
    private static final class Standby implements AutoCloseable {
        private final Path data;
        private final EmbeddedPostgres server;
        private Process process;

        Standby() throws Exception {
            server = EmbeddedPostgres.builder().setLocaleConfig("locale", "C").start();
            data = Path.of(OldState.text(maintenance(), "SHOW data_directory"));
        }

        private Postgres.Db maintenance() {
            return new Postgres.Db(Postgres.HOST, server.getPort(), "postgres", Postgres.SUPERUSER);
        }

        Postgres.Db database() {
            OldState.run(maintenance(), "CREATE DATABASE shop");
            return new Postgres.Db(Postgres.HOST, server.getPort(), "shop", Postgres.SUPERUSER);
        }

        void becomeStandby() throws Exception {
            var postmaster = ProcessHandle.of(Long.parseLong(Files.readAllLines(data.resolve("postmaster.pid"))
                    .getFirst().strip())).orElseThrow();
            var command = new ArrayList<>(Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0)
                    ? List.of("unshare", "-U") : List.<String>of());
            command.addAll(List.of(Files.readString(Path.of("/proc/" + postmaster.pid() + "/cmdline")).split("\0")));
            new ProcessBuilder("kill", "-INT", "" + postmaster.pid()).start().waitFor();
            for (int i = 0; i < 500 && CrashingServer.isAlive(postmaster); i++) Thread.sleep(20);
            Files.createFile(data.resolve("standby.signal"));
            process = new ProcessBuilder(command).redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            for (int i = 0; i < 500; i++) {
                try (var connection = maintenance().connect()) {
                    break;
                } catch (java.sql.SQLException notYet) {
                    Thread.sleep(20);
                }
            }
            assertEquals("t", OldState.text(maintenance(), "SELECT pg_is_in_recovery()"));
        }

        @Override public void close() throws Exception {
            if (process != null) process.destroy();
            server.close();
        }
    }
}
