import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import lib.files.FolderLock;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Tool;

/** Each exit code of each command of reset_migrations, with the message and the next steps. */
class ResetExitCodesTest {
    private static final int DONE = 0, FAILED = 1, USAGE = 2, PARTLY = 3, REFUSED = 4, BUSY = 5, INTERRUPTED = 130;

    @TempDir Path temp;
    private SampleProject shop;
    private Postgres.Db db;

    @BeforeEach void project() throws Exception {
        db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        execute("CREATE TABLE shop_order (id serial PRIMARY KEY, number int)");
        shop = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")).toRealPath(), Map.of("shop/models.py", """
                            from django.db import models
                            class Order(models.Model):
                                number = models.IntegerField()
                            """))
                .env(db);
    }

    private void execute(String sql) throws Exception {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    // ---- the table's columns -----------------------------------------------------------------

    /** @param what after "error: ", in full; %s is replaced by the id of the latest run */
    private record Expected(int code, String what, List<String> next) {}

    private static Expected expect(int code, String what, String... next) {
        return new Expected(code, what, List.of(next));
    }

    private Tool tool(String script) throws Exception {
        return Tool.in(shop.root(), script).env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    private Tool.Output run(String... args) throws Exception {
        return tool("reset_migrations").warmHere().run(args);
    }

    private static void assertSame(Expected expected, Tool.Output output) {
        assertEquals(expected.code, output.code(), output.all());
        var what = new ArrayList<String>();
        var next = new ArrayList<String>();
        for (var line : output.err().substring(Math.max(0, output.err().indexOf("error: "))).lines().toList()) {
            if (line.startsWith("  → ")) next.add(line.substring(4));
            else if (next.isEmpty()) what.add(line);
        }
        assertEquals("error: " + expected.what, String.join("\n", what));
        assertEquals(expected.next, next);
    }

    private void assertEnds(Expected expected, String... args) throws Exception {
        assertSame(expected, run(args));
    }

    /** With SIGINT at that point. */
    private void assertInterrupted(String point, String... args) throws Exception {
        var command = new ArrayList<>(List.of("INT", "self", point, "reset_migrations"));
        command.addAll(List.of(args));
        assertSame(expect(INTERRUPTED, "interrupted; everything is as it was"), tool("support.SignalAt")
                .run(command.toArray(String[]::new)));
    }

    /** With a shell command at that point. */
    private Tool.Output runWith(String point, String shell, String... args) throws Exception {
        var command = new ArrayList<>(List.of(point, shell, "reset_migrations"));
        command.addAll(List.of(args));
        return tool("support.CommandAt").run(command.toArray(String[]::new));
    }

    /** While another run holds the project. */
    private void assertBusy(String... args) throws Exception {
        try (var lock = FolderLock.take(shop.root(), "another run", warning -> {})) {
            var output = run(args).ended(BUSY, "another run is at work in %s: pid %d"
                    .formatted(shop.root(), ProcessHandle.current().pid()));
            assertTrue(output.err().contains("\n  → wait until it has ended\n"), output.err());
        }
    }

    private void assertProtected(String... args) throws Exception {
        execute("COMMENT ON DATABASE %s IS 'protected: the real one'".formatted(db.name()));
        assertEnds(expect(REFUSED, "database %s is marked as protected by its comment: protected: the real one"
                .formatted(db.name()),
            "if that is no longer intended, remove the mark in psql:", "COMMENT ON DATABASE %s IS NULL;"
                    .formatted(quoted())), args);
        execute("COMMENT ON DATABASE %s IS NULL".formatted(db.name()));
    }

    private String quoted() {
        return lib.postgres.Sql.identifier(db.name());
    }

    private String reset() throws Exception {
        run("--yes", "--no-superuser").done();
        return latest();
    }

    private String latest() throws Exception {
        try (var runs = Files.list(shop.root().resolve(".reset"))) {
            return runs.map(run -> run.getFileName().toString()).filter(run -> run.matches("\\d{8}-.*")).sorted()
                    .reduce((first, last) -> last).orElseThrow();
        }
    }

    /** Removes both records of the latest run. */
    private String losingRecords() throws Exception {
        return "rm -r .reset/%s '%s.state/reset_migrations/%1$s'".formatted(latest(), shop.root());
    }

    private Connection session() throws Exception {
        var connection = db.connect();
        connection.createStatement().execute("SET application_name = 'the shop'");
        return connection;
    }

    // ---- the table ---------------------------------------------------------------------------

    @Test void reset_and_dry_run() throws Exception {
        assertBusy("--yes", "--no-superuser");
        assertEnds(expect(USAGE, "Unknown option: '--fly'", "see reset_migrations --help"), "--fly");
        assertEnds(expect(USAGE, "not an app of this project whose migrations can be reset: fly", "these can: shop"),
                "--yes", "--apps", "fly");
        assertEnds(expect(USAGE, "not an app of this project whose migrations can be reset: fly", "these can: shop"),
                "--dry-run", "--apps", "fly");
        assertEnds(expect(REFUSED, "no terminal to ask in: \"Continue? Type YES, yes or y:\"",
                "give --yes to continue without a question"));
        assertProtected("--yes");
        assertProtected("--dry-run");
        run("--dry-run").ended(DONE, "dry run: nothing was changed");
        assertInterrupted("before: check: .*", "--yes", "--no-superuser");
        assertInterrupted("before: compare .*", "--dry-run", "--losses");
        try (var session = session()) {
            var output = run("--yes", "--no-superuser")
                    .ended(FAILED, "error: database %s is in use by:\n".formatted(db.name()), "the shop");
            assertTrue(output.err().endsWith("  → stop these programs, or add --terminate\n"), output.err());
        }
        var output = run("--yes", "--superuser")
                .ended(PARTLY, "error: the reset is done, but createsuperuser failed: ");
        var next = output.err().lines().filter(line -> line.startsWith("  → ")).toList();
        assertEquals("  → without a terminal, DJANGO_SUPERUSER_USERNAME, _EMAIL and _PASSWORD have to be set",
                next.getFirst());
        assertTrue(next.getLast().startsWith("  → run it again: ") && next.getLast()
                .endsWith("/manage.py createsuperuser"), next.getLast());
    }

    /** Its own words, and that it is the project's: Django's would have known what it was asked. */
    @Test void a_command_of_the_projects_own_that_refuses() throws Exception {
        SampleProject.write(shop.root(), "shop/management/commands/makemigrations.py", """
            from django.conf import settings
            from django.core.management.base import CommandError
            from django.core.management.commands.makemigrations import Command as Original
            class Command(Original):
                def handle(self, *args, **options):
                    if not getattr(settings, "DEVELOPER", False):
                        raise CommandError("for developers only: set DEVELOPER = True")
                    super().handle(*args, **options)
            """);
        var hint = "  → this is the project's own command (shop.management.commands.makemigrations)";
        run("--dry-run").ended(FAILED, "error: CommandError: for developers only: set DEVELOPER = True", hint);
        SampleProject.write(shop.root(), "shop/management/commands/createsuperuser.py", """
            from django.core.management.base import BaseCommand
            class Command(BaseCommand):
                def handle(self, **options):
                    pass
            """);
        SampleProject.write(shop.root(), "config/extra.py", """
            DEVELOPER = True
            INSTALLED_APPS = ["shop", "django.contrib.contenttypes", "django.contrib.auth"]
            """);
        run("--yes", "--superuser").ended(PARTLY, "unrecognized arguments: --noinput",
            "  → this is the project's own createsuperuser, which does not know --noinput; run it as it wants: ");

        SampleProject.write(shop.root(), "shop/models.py", "from django.db import models\nclass Order(models.Model):\n"
            + "    number = models.IntegerField(default=lambda: 1)\n"); // the control: Django's own words
        var other = run("--dry-run").ended(FAILED, "error: ");
        assertTrue(!other.err().contains("own command"), other.err());
    }

    @Test void undo() throws Exception {
        assertEnds(expect(USAGE, "no reset to go back to: no run is known for this project",
                "see reset_migrations status"), "undo", "--yes");
        var first = reset();
        var second = reset();
        assertEnds(expect(USAGE, "no run called fly; known runs: %s (done), %s (done)"
                .formatted(first, second), "see reset_migrations status"), "undo", "fly");
        assertEnds(expect(REFUSED, "%s is not the latest run: %s came after it and has to be undone first"
                .formatted(first, second), "reset_migrations undo " + second), "undo", first);
        assertProtected("undo", "--yes");
        assertBusy("undo", "--yes");
        assertInterrupted("before: rename .*", "undo", "--yes");
        try (var session = session()) {
            run("undo", "--yes").ended(FAILED, "error: database %s is in use by:\n"
                    .formatted(db.name()), "  → stop these programs, or add --terminate\n");
        }
        assertSame(expect(PARTLY, "the run %s is undone, but its record cannot be written: %s: it is not there"
                .formatted(second, unwritten(second)), "when that is repaired: reset_migrations undo " + second),
                    runWith("finished: put .*", losingRecords(), "undo", "--yes"));
        assertEquals(DONE, run("undo", first, "--yes").code());
    }

    /** The partial file that becomes the record. */
    private String unwritten(String id) {
        return record(id).replace("run.json", "~run.json.partial");
    }

    private String record(String id) {
        return "%s.state/reset_migrations/%s/run.json".formatted(shop.root(), id);
    }

    @Test void finish() throws Exception {
        assertEnds(expect(USAGE, "no run was cut short: no run is known for this project",
                "see reset_migrations status"), "finish");
        assertEquals(137, tool("support.SignalAt")
                .run("KILL", "self", "before: replace .*", "reset_migrations", "--yes", "--no-superuser").code());
        var id = latest();
        var undo = "bring the old state back: reset_migrations undo " + id;
        assertEnds(expect(REFUSED, "the run %s cannot be finished: the database holds the old state"
                .formatted(id), undo), "finish");
        assertEnds(expect(REFUSED, "the run %s was cut short and has not been undone".formatted(id), undo,
            "or keep the new state, if it is live and complete: reset_migrations finish "
                    + id, "see which state is live: reset_migrations status"), "--yes");
        run("undo", "--yes").done();
        assertEquals(137, tool("support.SignalAt")
                .run("KILL", "self", "before: check: .*", "reset_migrations", "--yes", "--no-superuser").code());
        assertBusy("finish");
        assertProtected("finish");
        assertInterrupted("before: check: .*", "finish");
        var models = Files.readString(shop.root().resolve("shop/models.py"));
        SampleProject.write(shop.root(), "shop/models.py", "import nothing_of_that_name\n");
        run("finish").ended(FAILED, "error: ModuleNotFoundError: No module named 'nothing_of_that_name'",
                "  → is this the project's interpreter");
        SampleProject.write(shop.root(), "shop/models.py", models);
        var copy = Files.createDirectory(temp.resolve("kept"));
        assertSame(expect(PARTLY, "the run %s is done, but its record cannot be written: %s: it is not there"
                .formatted(latest(), unwritten(latest())),
            "when that is repaired: reset_migrations finish " + latest()),
            runWith("after: check: .*", "cp -r .reset/%s '%s' && %s"
                    .formatted(latest(), copy, losingRecords()), "finish"));
        new ProcessBuilder("cp", "-r", copy + "/.", shop.root().resolve(".reset").toString()).start().waitFor();
        run("finish").ended(DONE, "finished: the new state of %s is live and complete".formatted(latest()));
    }

    @Test void status() throws Exception {
        run("status").ended(DONE, "no reset or restore is known for this project");
        assertEnds(expect(USAGE, "Unknown option: '--fly'", "see reset_migrations status --help"), "status", "--fly");
        var id = reset();
        run("status").ended(DONE, id
                + "  done\n", "  in use     the new state of this run, or of a later one; the old one is set aside\n");
        for (var record : List.of(shop.root().resolve(".reset/%s/run.json".formatted(id)), Path.of(record(id))))
            Files.writeString(record, "{");
        var records = "%s/.reset/%s".formatted(shop.root(), id);
        assertEnds(expect(USAGE,
                "the record of a run cannot be read: it is damaged, or another version wrote it: %s/run.json and %s"
                .formatted(records, record(id)),
            "use the version that wrote it, or restore the file from a backup of this disk",
            "what the run set aside is not lost: reset_migrations status names it, and the SQL that brings it back",
            "to continue without the record, move %s and %s away".formatted(records, Path.of(record(id)).getParent())),
                    "status");
        Files.writeString(shop.root().resolve(".env"), Files.readString(shop.root().resolve(".env"))
                .replaceFirst("DB_PORT=.*", "DB_PORT=1"));
        run("status").ended(FAILED, "error: no PostgreSQL server answers on ",
                "  → start it, or correct DB_HOST and DB_PORT\n");
    }

    @Test void purge() throws Exception {
        assertEnds(expect(USAGE, "no run to purge: no run is known for this project", "see reset_migrations status"),
                "purge");
        var first = reset();
        var second = reset();
        assertEnds(expect(USAGE, "no run called fly; known runs: %s (done), %s (done)"
                .formatted(first, second), "see reset_migrations status"), "purge", "fly");
        assertEnds(expect(REFUSED, "%s cannot be purged yet: %s is older, or is set aside inside it"
                .formatted(second, first),
            "reset_migrations purge " + first, "reset_migrations purge --all"), "purge", second);
        assertProtected("purge", "--yes");
        assertBusy("purge", "--yes");
        assertInterrupted("before: back up .*", "purge", "--yes");
        var aside = "%s_before_%s".formatted(db.name(), first.replace('-', '_'));
        try (var session = new Postgres.Db(db.host(), db.port(), aside, db.role()).connect()) {
            run("purge", "--yes", "--no-backup").ended(FAILED, "error: database %s is in use by:\n"
                    .formatted(aside), "  → stop these programs, or add --terminate\n");
        }
        var copy = Path.of(shop.root() + ".state/reset_migrations");
        var cut = runWith("after: drop .*", "mkdir -p '%s/~%s/in the way'".formatted(copy, first), "purge", "--yes",
                "--no-backup");
        assertEquals(PARTLY, cut.code(), cut.all());
        assertTrue(cut.err().contains("already dropped: database " + aside)
                && cut.err().contains("  → reset_migrations purge"), cut.err());
        lib.files.Disk.removeTree(copy.resolve("~" + first));
        run("purge", "--yes", first).ended(DONE, "purged: " + first);
        var output = run("purge", "--yes")
                .ended(DONE, "\npurged: " + second + "\n", "\n  dropped    database %s_before_%s, "
                .formatted(db.name(), second.replace('-', '_')));
        assertTrue(output.out().matches("(?s).*\n  backup     (\\S+/)\\S+\n  old files  kept in \\1migrations_%s\n"
                .formatted(second)), output.out());
    }
}
