import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** The whole command on a real Django project and a real PostgreSQL. */
class ResetTest {
    @TempDir Path temp;
    private SampleProject crm;
    private Postgres.Db db;

    @BeforeEach void brokenProject() throws Exception {
        crm = SampleProject.copyTo(Files.createDirectory(temp.resolve("crm")).toRealPath());
        database("CREATEDB");
    }

    private void database(String attributes) throws Exception {
        var owner = Postgres.role("crm_user", attributes);
        db = Postgres.database(owner);
        try (var connection = db.connect()) {
            crm.loadHistory(connection);
        }
        crm.env(db);
    }

    private Tool tool() {
        return Tool.in(crm.root(), "reset_migrations")
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    private Tool.Output reset(String... args) throws Exception {
        return tool().warm().run(args);
    }

    private void assertDone(Tool.Output output) {
        assertEquals(0, output.code(), output.all());
    }

    /** Failed runs leave no database behind. */
    private java.util.List<String> databases() throws Exception {
        var names = new java.util.ArrayList<String>();
        try (var connection = db.connect();
                var rows = connection.createStatement().executeQuery("SELECT datname FROM pg_database ORDER BY 1")) {
            while (rows.next()) names.add(rows.getString(1));
        }
        return names;
    }

    static java.util.List<String> oneStrategy() {
        return Sample.of("strategy", java.util.List.of("swap", "park"), 1);
    }

    private int migrateCheck() throws IOException {
        return crm.manage(Python.venv(), "migrate", "--check").code();
    }

    @ParameterizedTest @ValueSource(strings = {"swap", "park"})
    void a_broken_history_is_replaced_and_undo_brings_everything_back(String strategy) throws Exception {
        assertNotEquals(0, migrateCheck());
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        assertDone(reset("--yes", "--strategy", strategy));
        assertEquals(0, migrateCheck());
        assertNotEquals(rows, Snapshot.of(db));
        assertNotEquals(files, Snapshot.of(crm.root()));
        assertDone(reset("undo", "--yes"));
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        assertDone(reset("--yes", "--strategy", strategy)); // again: undo left nothing in the way
        assertEquals(0, migrateCheck());
    }

    @Tag("exhaustive") @Test void two_resets_are_undone_one_by_one_latest_first() throws Exception {
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        assertDone(reset("--yes"));
        var between = Snapshot.of(crm.root());
        var first = reset("status", "--json").out().lines().findFirst().orElseThrow();
        var id = JsonParser.parseString(first).getAsJsonObject().get("run").getAsString();
        assertDone(reset("--yes"));
        assertEquals(4, reset("undo", id, "--yes").code());
        assertDone(reset("undo", "--yes"));
        assertEquals(between, Snapshot.of(crm.root()));
        assertDone(reset("undo", "--yes"));
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(2, reset("undo", "--yes").code());
    }

    @Test void a_dry_run_changes_nothing_not_even_a_folder() throws Exception {
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        var output = reset("--dry-run");
        assertDone(output);
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(crm.root()));
        assertFalse(Files.exists(crm.root().resolve(".reset")));
        assertTrue(output.out().contains("Steps"), output.out());
    }

    @Test void the_plan_lists_custom_operations_that_a_reset_loses() throws Exception {
        var out = reset("--dry-run").out();
        for (var operation : new String[] {"RunPython", "RunSQL"}) assertTrue(out.contains(operation), out);
    }

    @Test void json_goes_to_stdout_alone_and_begins_with_the_plan() throws Exception {
        var output = reset("--yes", "--json");
        assertDone(output);
        var lines = output.out().lines().toList();
        assertEquals("plan", JsonParser.parseString(lines.getFirst()).getAsJsonObject().get("event").getAsString());
        assertEquals("result", JsonParser.parseString(lines.getLast()).getAsJsonObject().get("event").getAsString());
        lines.forEach(JsonParser::parseString);
    }

    @Test void undo_and_purge_print_their_plan_and_result_as_json_too() throws Exception {
        assertDone(reset("--yes"));
        for (var command : new String[] {"undo", "purge"}) {
            var output = reset(command, "--yes", "--json");
            assertDone(output);
            var events = output.out().lines().map(line -> JsonParser.parseString(line).getAsJsonObject().get("event")
                    .getAsString()).toList();
            assertEquals("plan", events.getFirst());
            assertEquals("result", events.getLast());
        }
    }

    @Tag("exhaustive") @Test void missing_migration_packages_are_created_and_removed_by_undo() throws Exception {
        var root = Files.createDirectory(temp.resolve("tiny")).toRealPath();
        var tiny = SampleProject.tiny(root, Map.of("shop/models.py",
                        """
                        from django.db import models
                        class Order(models.Model):
                            number = models.IntegerField()
                        """,
                        "config/extra.py",
                        "MIGRATION_MODULES = {\"shop\": \"config.migrations_of.the.shop\"}\n"));
        crm = tiny.env(db = Postgres.database(db.role()));
        var files = Snapshot.of(root);
        assertDone(reset("--yes"));
        assertTrue(Files.exists(root.resolve("config/migrations_of/__init__.py"))
                && Files.exists(root.resolve("config/migrations_of/the/shop/0001_initial.py")));
        assertEquals(0, migrateCheck());
        assertDone(reset("undo", "--yes"));
        assertEquals(files, Snapshot.of(root));
    }

    @Test void without_a_terminal_it_refuses_unless_yes_is_given() throws Exception {
        var rows = Snapshot.of(db);
        assertEquals(4, reset().code());
        assertEquals(rows, Snapshot.of(db));
    }

    @ParameterizedTest @MethodSource("oneStrategy")
    void a_migration_that_fails_puts_files_and_database_back(String strategy) throws Exception {
        // a post_migrate handler fails after the tables exist; with park not yet where the new migrations are tried
        SampleProject.write(crm.backend(), "stats/apps.py", """
            from django.apps import AppConfig
            from django.db import connection
            from django.db.models.signals import post_migrate

            def explode(**kwargs):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT current_database()")
                    if "%s" not in cursor.fetchone()[0]:
                        raise RuntimeError("the handler in stats/apps.py does not like this")

            class StatsConfig(AppConfig):
                name = "stats"

                def ready(self):
                    post_migrate.connect(explode)
            """.formatted(strategy.equals("swap") ? "nowhere" : "_new_"));
        var databases = databases();
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        var output = reset("--yes", "--strategy", strategy);
        assertEquals(1, output.code(), output.all());
        assertTrue(output.err().contains("the handler in stats/apps.py does not like this"), output.all());
        assertEquals(strategy.equals("park"), output.out().contains("] move "), output.all());
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(databases, databases());
        assertFalse(Files.exists(crm.root().resolve(".reset")));
    }

    @Test void env_and_settings_that_name_two_databases_are_refused_with_both_shown() throws Exception {
        var other = Postgres.database(db.role());
        Files.writeString(crm.backend().resolve(".env"),
                Files.readString(crm.root().resolve(".env")).replace(db.name(), other.name()));
        var output = reset("--yes");
        assertEquals(4, output.code(), output.all());
        assertTrue(output.err().contains(db.name()) && output.err().contains(other.name()), output.err());
        assertFalse(output.all().contains(Postgres.PASSWORD), "the password was shown");
    }

    @Test void purge_drops_the_old_database_after_a_backup() throws Exception {
        assertDone(reset("--yes"));
        var aside = reset("status").out();
        assertDone(reset("purge", "--yes"));
        assertNotEquals(aside, reset("status").out());
        assertEquals(0, migrateCheck());
        try (var backups = Files.list(crm.root().resolve("backups"))) {
            assertEquals(1, backups.filter(f -> f.toString().endsWith(".dump.zst")).count());
        }
        assertEquals(2, reset("undo", "--yes").code());
    }

    @Test void drop_takes_a_backup_first_and_leaves_the_new_tables() throws Exception {
        assertDone(reset("--yes", "--strategy", "drop"));
        assertEquals(0, migrateCheck());
        assertTrue(Files.isDirectory(crm.root().resolve("backups")));
    }

    @Test void a_role_without_createdb_gets_park() throws Exception {
        database("NOCREATEDB");
        var output = reset("--yes");
        assertDone(output);
        assertTrue(output.out().contains("park"), output.out());
        assertEquals(0, migrateCheck());
    }

    @Tag("exhaustive")
    @Test
    void a_role_that_owns_only_the_tables_gets_a_statement_for_its_dba_that_suffices() throws Exception {
        var role = Postgres.role("tables_only", "");
        db = Postgres.database(Postgres.SUPERUSER);
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            for (var extension : new String[] {"citext", "pg_trgm"}) statement.execute("CREATE EXTENSION " + extension);
            statement.execute("GRANT ALL ON SCHEMA public TO " + role.name());
        }
        var mine = db.as(role);
        try (var connection = mine.connect()) {
            crm.loadHistory(connection);
        }
        crm.env(mine);
        var rows = Snapshot.of(mine);
        var files = Snapshot.of(crm.root());
        var refused = reset("--yes");
        assertEquals(4, refused.code(), refused.all());
        var lines = refused.err().lines().map(line -> line.replaceFirst("^\\W*", ""))
                .filter(line -> line.startsWith("CREATE SCHEMA")).toList();
        assertFalse(lines.isEmpty(), refused.err());
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            for (var line : lines) statement.execute(line);
        }
        assertDone(reset("--yes"));
        assertEquals(0, migrateCheck());
        assertDone(reset("undo", "--yes"));
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(mine));
    }

    @Test void a_session_in_the_way_is_named_and_ended_only_with_terminate() throws Exception {
        var rows = Snapshot.of(db);
        try (var other = db.connect(); var statement = other.createStatement()) {
            statement.execute("SET application_name = 'a forgotten shell'");
            other.setAutoCommit(false);
            statement.execute("LOCK TABLE auth_user IN ACCESS SHARE MODE");
            var refused = reset("--yes");
            assertEquals(1, refused.code(), refused.all());
            assertTrue(refused.err().contains("a forgotten shell"), refused.err());
            other.rollback();
            assertEquals(rows, Snapshot.of(db));
            statement.execute("LOCK TABLE auth_user IN ACCESS SHARE MODE");
            assertDone(reset("--yes", "--terminate"));
        }
        assertEquals(0, migrateCheck());
    }

    @Tag("exhaustive") @Test void terminate_works_while_a_stuck_migration_holds_a_table_itself() throws Exception {
        var rows = Snapshot.of(db);
        try (var other = db.connect(); var statement = other.createStatement()) {
            statement.execute("SET application_name = 'a stuck migration'");
            other.setAutoCommit(false);
            statement.execute("LOCK TABLE auth_user IN ACCESS EXCLUSIVE MODE");
            var refused = reset("--yes");
            assertEquals(1, refused.code(), refused.all());
            assertTrue(refused.err().contains("a stuck migration"), refused.err());
            other.rollback();
            assertEquals(rows, Snapshot.of(db));
            statement.execute("LOCK TABLE auth_user IN ACCESS EXCLUSIVE MODE");
            assertDone(reset("--yes", "--terminate"));
        }
        assertEquals(0, migrateCheck());
    }

    @Test void a_second_run_on_the_same_database_is_busy() throws Exception {
        try (var ours = lib.postgres.Database.open(credentials()); var lock = lib.postgres.RunLock.take(ours)) {
            var busy = reset("--yes");
            assertEquals(5, busy.code(), busy.all());
        }
        assertDone(reset("--dry-run"));
    }

    private lib.project.Credentials credentials() {
        return new lib.project.Credentials(
                db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
    }

    @Test void a_wrong_password_is_a_configuration_error_and_is_not_shown() throws Exception {
        crm.env(db.as(new Postgres.Role(db.role().name(), "wr0ng secret")));
        var output = reset("--yes");
        assertEquals(2, output.code(), output.all());
        assertFalse(output.all().contains("wr0ng secret"));
    }

    @Tag("exhaustive") @Test void a_second_alias_on_another_database_stays_untouched_and_is_named() throws Exception {
        var other = Postgres.database(db.role());
        try (var connection = other.connect(); var statement = connection.createStatement()) {
            statement.execute("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1), (2)");
        }
        var settings = crm.backend().resolve("crm_backend/settings.py");
        Files.writeString(settings,
                Files.readString(settings) + "\nDATABASES['reports'] = {**DATABASES['default'], 'NAME': '"
                        + other.name() + "'}\nDATABASES['again'] = dict(DATABASES['default'])\n");
        var before = Snapshot.of(other);
        var output = reset("--yes");
        assertDone(output);
        assertTrue(output.all().contains("reports"), output.all());
        assertEquals(before, Snapshot.of(other));
        assertEquals(0, migrateCheck());
    }

    @Tag("exhaustive") @Test void ctrl_c_while_migrating_puts_everything_back() throws Exception {
        SampleProject.write(crm.backend(), "stats/apps.py", """
            import time
            from django.apps import AppConfig
            from django.db.models.signals import post_migrate

            class StatsConfig(AppConfig):
                name = "stats"

                def ready(self):
                    post_migrate.connect(lambda **kwargs: time.sleep(60), weak=False)
            """);
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        var process = tool().start("--yes", "--json");
        var lines = process.inputReader();
        while (!lines.readLine().contains("run every migration in ")) { }
        while (!lines.readLine().contains("run every migration in ")) { } // the plan names it first
        Thread.sleep(3000);
        new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
        assertEquals(130, process.waitFor());
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        assertFalse(Files.exists(crm.root().resolve(".reset")));
    }

    @ParameterizedTest @MethodSource("oneStrategy")
    void a_failed_final_check_swaps_back(String strategy) throws Exception {
        // it works while the old migration exists, so only the check in a new process can see it
        SampleProject.write(crm.backend(), "stats/apps.py", """
            import os
            from django.apps import AppConfig

            class StatsConfig(AppConfig):
                name = "stats"

                def ready(self):
                    os.stat("referrals/migrations/0002_tier.py")
            """);
        var databases = databases();
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        var output = reset("--yes", "--strategy", strategy);
        assertEquals(1, output.code(), output.all());
        assertTrue(output.err().contains("0002_tier"), output.err());
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        assertEquals(databases, databases());
        assertFalse(Files.exists(crm.root().resolve(".reset")));
    }

    @Tag("exhaustive")
    @Test
    void a_moved_project_keeps_its_runs_and_a_copied_one_does_not_take_them() throws Exception {
        var rows = Snapshot.of(db);
        var files = Snapshot.of(crm.root());
        assertDone(reset("--yes"));
        var original = crm;
        var after = Snapshot.of(crm.root());
        new ProcessBuilder("cp", "-a", crm.root().toString(), temp.resolve("copy").toString()).start().waitFor();
        crm = new SampleProject(temp.resolve("copy").toRealPath(), temp.resolve("copy/crm_backend").toRealPath());
        var undone = reset("undo", "--yes");
        assertDone(undone);
        assertTrue(undone.out().contains("made in " + original.root()), undone.all());
        assertEquals(files, Snapshot.of(original.root()));
        assertEquals(after, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
        crm.env(Postgres.database(db.role())); // a copy with its own database has nothing to undo or purge
        for (var command : new String[] {"undo", "purge"}) assertEquals(4, reset(command, "--yes").code());
        crm = original;
        assertDone(reset("--yes"));
        Files.move(original.root(), temp.resolve("moved"));
        crm = new SampleProject(temp.resolve("moved").toRealPath(), temp.resolve("moved/crm_backend").toRealPath());
        assertDone(reset("undo", "--yes"));
        assertEquals(files, Snapshot.of(crm.root()));
        assertEquals(rows, Snapshot.of(db));
    }

    @Tag("exhaustive") @Test void purge_moves_the_migration_files_beside_the_backup() throws Exception {
        assertDone(reset("--yes"));
        SampleProject.write(crm.backend(), "flows/migrations/0002_by_hand.py", "# written by hand after the reset\n");
        assertDone(reset("undo", "--yes"));
        assertDone(reset("purge", "--yes"));
        assertFalse(Files.exists(crm.root().resolve(".reset")));
        try (var kept = Files.walk(crm.root().resolve("backups"))) {
            var names = kept.map(file -> file.getFileName().toString()).toList();
            assertTrue(
                    names.contains("0002_by_hand.py") && names.contains("0004_contact_language.py"), names.toString());
        }
    }

    @Tag("exhaustive") @Test void the_plan_names_objects_other_than_tables() throws Exception {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute("CREATE VIEW talkative AS SELECT contact_id FROM conversations_message GROUP BY 1");
        }
        assertTrue(reset("--dry-run").out().contains("1 view"));
    }

    @Tag("exhaustive") @Test void status_after_reset_undo_reset_says_where_each_state_is() throws Exception {
        assertDone(reset("--yes"));
        assertDone(reset("undo", "--yes"));
        assertDone(reset("--yes"));
        var lines = reset("status", "--json").out().lines().map(line -> JsonParser.parseString(line).getAsJsonObject())
                .toList();
        assertEquals(2, lines.size());
        assertTrue(lines.get(0).get("aside").getAsString().contains("_undone_"), lines.toString());
        assertTrue(lines.get(1).get("aside").getAsString().contains("_before_"), lines.toString());
    }

    @Tag("exhaustive") @Test void with_apps_only_these_get_new_files_but_the_whole_database_is_new() throws Exception {
        var own = Postgres.database(db.role());
        var model = "from django.db import models\nclass Thing(models.Model):\n"
                + "    name = models.CharField(max_length=20)\n";
        crm = SampleProject.tiny(Files.createDirectory(temp.resolve("two")).toRealPath(),
                Map.of("left/models.py", model, "right/models.py", model));
        crm.env(own);
        for (var app : new String[] {"left", "right"})
            assertEquals(0, crm.manage(Python.venv(), "makemigrations", app).code());
        assertEquals(0, crm.manage(Python.venv(), "makemigrations", "--empty", "left", "-n", "extra").code());
        assertEquals(0, crm.manage(Python.venv(), "migrate").code());
        var right = Files.getLastModifiedTime(crm.root().resolve("right/migrations/0001_initial.py"));
        assertDone(reset("--yes", "--apps", "left"));
        assertFalse(Files.exists(crm.root().resolve("left/migrations/0002_extra.py")));
        assertTrue(Files.exists(crm.root().resolve("left/migrations/0001_initial.py")));
        assertEquals(right, Files.getLastModifiedTime(crm.root().resolve("right/migrations/0001_initial.py")));
        assertEquals(0, migrateCheck());
    }

    @Test
    void apps_with_migrations_outside_the_project_are_reported_but_not_those_of_a_linked_environment()
            throws Exception {
        var outside = Files.createDirectory(temp.resolve("elsewhere"));
        var migrations = crm.backend().resolve("stats/migrations");
        Files.delete(migrations.resolve("__init__.py"));
        Files.delete(migrations);
        Files.writeString(outside.resolve("__init__.py"), "");
        Files.createSymbolicLink(migrations, outside);
        Files.createSymbolicLink(crm.root().resolve("venv"), Python.venv().getParent().getParent());
        var output = Tool.in(crm.root(), "reset_migrations").run("--dry-run");
        assertDone(output);
        assertTrue(output.err().contains("the app stats keeps its migrations"), output.err());
        assertFalse(output.err().contains("the app auth keeps"), output.err());
    }

    @Test void options_are_accepted_before_and_after_a_subcommand_or_refused() throws Exception {
        assertDone(tool().run("--project", crm.backend().toString(), "status"));
        assertDone(tool().run("status", "--project", crm.backend().toString()));
        var refused = reset("--strategy", "swap", "undo");
        assertEquals(2, refused.code());
        assertTrue(refused.err().contains("--strategy"));
    }

    @Test void a_superuser_is_created_from_environment_variables_without_a_terminal() throws Exception {
        var output = tool().env("DJANGO_SUPERUSER_USERNAME", "ana").env("DJANGO_SUPERUSER_EMAIL", "ana@example.com")
                .env("DJANGO_SUPERUSER_PASSWORD", "not-a-real-one").run("--yes", "--superuser");
        assertDone(output);
        try (var connection = db.connect();
                var rows = connection.createStatement()
                        .executeQuery("SELECT username FROM auth_user WHERE is_superuser")) {
            assertTrue(rows.next());
            assertEquals("ana", rows.getString(1));
        }
    }

    @Tag("exhaustive") @Test void neither_output_nor_files_contain_the_password() throws Exception {
        var output = reset("--yes", "--verbose", "--json");
        assertFalse(output.all().contains(Postgres.PASSWORD));
        try (var kept = Files.walk(crm.root().resolve(".reset"))) {
            for (var file : kept.filter(Files::isRegularFile).toList())
                assertFalse(Files.readString(file).contains(Postgres.PASSWORD), file.toString());
        }
        assertTrue(Files.readString(crm.root().resolve(".env")).contains(Postgres.PASSWORD)); // the search can find it
    }

    @Test void it_works_from_any_folder_inside_the_project() throws Exception {
        var output = Tool.in(crm.backend().resolve("flows"), "reset_migrations")
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                .env("XDG_STATE_HOME", temp.resolve("state").toString()).run("--dry-run");
        assertDone(output);
    }

    // ---- late failures -----------------------------------------------------------------------

    /** Settings that run {@code code} at the second start of Django, which is the check after the swap. */
    private void atTheCheck(String code) throws IOException {
        var settings = crm.backend().resolve("crm_backend/settings.py");
        Files.writeString(settings, Files.readString(settings) + """

                        import pathlib, subprocess, sys, time
                        started = pathlib.Path(%s)
                        if started.exists():
                        %s
                        started.touch()
                        """.formatted(
                                        "'" + temp.resolve("started") + "'",
                                        code.indent(4).stripTrailing()));
    }

    @Tag("exhaustive")
    @Test
    void a_swap_that_cannot_be_undone_leaves_the_new_files_with_the_new_database_and_undo_continues() throws Exception {
        var rows = Snapshot.of(db);
        atTheCheck("""
            program = ("import os, psycopg, sys, time; os.fork() and os._exit(0);"
                       " c = psycopg.connect(sys.argv[1], application_name='somebody else'); time.sleep(60)")
            d = DATABASES["default"]
            to = "host=%s port=%s dbname=%s user=%s password='%s'" % (
                d["HOST"], d["PORT"], d["NAME"], d["USER"], d["PASSWORD"])
            subprocess.Popen([sys.executable, "-c", program, to], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(3)
            raise RuntimeError("not this time")
            """);
        var files = Snapshot.of(crm.root());
        var failed = reset("--yes");
        assertEquals(3, failed.code(), failed.all());
        assertTrue(failed.err().contains("not this time") && failed.err().contains("is in use"), failed.err());
        var next = failed.err().lines().filter(line -> line.contains("reset_migrations undo ")).findFirst()
                .orElseThrow();
        assertTrue(Files.readString(crm.backend().resolve("flows/migrations/0001_initial.py"))
                .contains("Generated by Django"), "the old files met the new database");
        assertEquals(4, reset("purge", "--yes").code()); // undo still needs the run's files
        assertEquals(4, reset("--yes").code());
        assertDone(reset("undo", next.replaceFirst(".* undo (\\S+).*", "$1"), "--yes", "--terminate"));
        assertEquals(rows, Snapshot.of(db));
        Files.delete(temp.resolve("started"));
        assertEquals(files, Snapshot.of(crm.root()));
    }

    @Tag("exhaustive")
    @Test
    void a_failed_purge_does_not_claim_that_everything_is_as_it_was() throws Exception {
        assertDone(reset("--yes"));
        assertDone(reset("undo", "--yes"));
        assertDone(reset("--yes"));
        var aside = JsonParser.parseString(reset("status", "--json").out().lines().toList().getLast()).getAsJsonObject()
                .get("aside").getAsString().replace("database ", "");
        try (var other = new Postgres.Db(db.host(), db.port(), aside, db.role()).connect()) {
            assertTrue(other.isValid(1));
            var half = reset("purge", "--all", "--yes", "--no-backup");
            assertEquals(3, half.code(), half.all());
            assertTrue(half.err().contains(": already dropped: database %s_undone_".formatted(db.name())), half.err());
        }
        assertDone(reset("purge", "--all", "--yes", "--no-backup"));
    }

    @Tag("exhaustive") @Test void ctrl_c_after_parking_in_batches_moves_every_table_back() throws Exception {
        var root = Files.createDirectory(temp.resolve("tiny")).toRealPath();
        crm = SampleProject.tiny(root, Map.of("shop/models.py",
                        """
                        from django.db import models
                        class Order(models.Model):
                            number = models.IntegerField()
                        """,
                        "shop/apps.py",
                        """
                        import os, time
                        from django.apps import AppConfig
                        from django.db.models.signals import post_migrate
                        class ShopConfig(AppConfig):
                            name = "shop"
                            def ready(self):
                                if os.path.exists("slow"):
                                    post_migrate.connect(lambda **kwargs: time.sleep(60), weak=False)
                        """,
                        "stays/apps.py",
                        """
                        from django.apps import AppConfig
                        class StaysConfig(AppConfig):
                            name = "stays"
                        """,
                        "stays/migrations/0001_initial.py",
                        """
                        from django.db import migrations
                        class Migration(migrations.Migration):
                            atomic = False
                            dependencies = []
                            operations = [migrations.RunSQL("CREATE TABLE stays_one (id int)", "DROP TABLE stays_one")]
                        """));
        db = Postgres.database(Postgres.role("parker", ""));
        crm.env(db);
        assertEquals(0, crm.manage(Python.venv(), "makemigrations", "shop").code());
        assertEquals(0, crm.manage(Python.venv(), "migrate").code());
        Files.createFile(root.resolve("slow"));
        var rows = Snapshot.of(db);
        var files = Snapshot.of(root);
        var process = Tool.in(root, "reset_migrations")
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                .env("TMPDIR", Files.createDirectory(temp.resolve("tmp")).toString())
                .start("--yes", "--json", "--apps", "shop", "--strategy", "park");
        var lines = process.inputReader();
        while (!lines.readLine().matches(".*\"event\":\"step\".*\"run every migration\".*")) { }
        Thread.sleep(3000);
        new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
        assertEquals(130, process.waitFor(), () -> process.errorReader().lines().toList().toString());
        try (var left = Files.list(temp.resolve("tmp"))) {
            assertEquals(java.util.List.of(),
                    left.filter(f -> f.getFileName().toString().startsWith("reset_migrations")).toList());
        }
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(root));
    }

    @Tag("exhaustive") @Test void ctrl_c_after_the_reset_does_not_claim_that_all_is_as_it_was() throws Exception {
        SampleProject.write(crm.backend(), "stats/management/commands/createsuperuser.py", """
            import time
            from django.core.management.base import BaseCommand
            class Command(BaseCommand):
                def add_arguments(self, parser):
                    parser.add_argument("--noinput", action="store_true")
                def handle(self, **options):
                    time.sleep(60)
            """);
        var process = tool().start("--yes", "--json", "--superuser");
        var lines = process.inputReader();
        while (!lines.readLine().contains("\"event\":\"result\"")) { }
        Thread.sleep(2000);
        new ProcessBuilder("kill", "-INT", String.valueOf(process.pid())).start().waitFor();
        assertEquals(3, process.waitFor());
        var said = process.errorReader().lines().toList().toString();
        assertTrue(said.contains("the reset is done") && !said.contains("as it was"), said);
        assertDone(reset("undo", "--yes"));
    }

    @Test void what_people_read_fits_100_columns_and_says_what_will_be_the_case() throws Exception {
        var sentence = java.util.regex.Pattern.compile(("%1$s will be empty but for what migrations make: "
            + "what it has now \\(5,691 rows in 44 tables\\) moves to the database %1$s_before_[\\d_a-f]+; "
            + "`undo` brings it back ")
            .formatted(db.name()));
        var said = new StringBuilder();
        for (var args : new String[][] {{"--dry-run"}, {"--yes", "--no-superuser"}, {"status"}}) {
            var output = reset(args);
            assertDone(output);
            if (args[0].startsWith("--"))
                assertTrue(sentence.matcher(output.out().replace("\n", " ")).find(), sentence + "\n" + output.out());
            said.append(output.out());
        }
        assertTrue(said.toString().contains("Steps\n") && said.toString().contains("\n[1/"), said.toString());
        var unfolded = "  (go back|clean up|Python|old files) .*|.*/.{40,}"
            + "|the old migrations do not run \\(NodeNotFound.*";
        assertEquals(java.util.List.of(), said.toString().lines()
            .filter(line -> line.length() > 100 && !line.matches(unfolded)).toList());
        var identical = false;
        for (int i = 0; i < 3 && !identical; i++) { // the files begin with the minute in which they were written
            assertDone(reset("--yes", "--no-superuser"));
            identical = reset("status").out().contains("the old and the new ones are identical, and in place");
        }
        assertTrue(identical);
    }

    @Test void a_run_keeps_its_log_and_status_shows_its_database() throws Exception {
        assertDone(reset("--yes"));
        try (var logs = Files.walk(crm.root().resolve(".reset")).filter(f -> f.endsWith("log"))) {
            var log = logs.findFirst().orElseThrow();
            assertEquals("rw-------",
                    java.nio.file.attribute.PosixFilePermissions.toString(Files.getPosixFilePermissions(log)));
            var text = Files.readString(log);
            assertTrue(text.contains("Strategy: swap") && text.contains("contenttypes.0001_initial (")
                    && text.contains("done: "), text);
        }
        var other = Postgres.database(db.role());
        crm.env(other);
        var status = reset("status");
        assertDone(status);
        assertTrue(status.out().contains(db.name()) && status.out().contains("so its state is unknown")
                && !status.out().contains("purged"), status.out());
        assertEquals(4, reset("undo", "--yes").code());
    }

    @Tag("exhaustive") @Test void the_current_schema_of_django_is_reset() throws Exception {
        db = Postgres.database(db.role());
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE public.another_programs (id int); INSERT INTO public.another_programs VALUES (1);"
                            + " CREATE SCHEMA crm; SET search_path = crm, public");
            crm.loadHistory(connection);
        }
        crm.env(db);
        var settings = crm.backend().resolve("crm_backend/settings.py");
        Files.writeString(settings, Files.readString(settings)
                + "\nDATABASES['default']['OPTIONS'] = {'options': '-c search_path=crm,public'}\n");
        var rows = Snapshot.of(db);
        assertDone(reset("--yes"));
        assertEquals(0, migrateCheck());
        try (var connection = db.connect();
                var found = connection.createStatement()
                        .executeQuery("SELECT (SELECT count(*) FROM public.another_programs), (SELECT count(*) FROM"
                                + " crm.conversations_contact)")) {
            found.next();
            assertEquals("1 0", found.getInt(1) + " " + found.getInt(2));
        }
        assertDone(reset("undo", "--yes"));
        assertEquals(rows, Snapshot.of(db));
    }

    @Tag("exhaustive") @Test void a_database_copy_that_differs_is_dropped_and_the_tables_are_parked() throws Exception {
        var dba = Postgres.role("dba", "");
        try (var connection = db.as(Postgres.SUPERUSER).connect(); var statement = connection.createStatement()) {
            statement.execute("GRANT CONNECT ON DATABASE %s TO %s WITH GRANT OPTION".formatted(db.name(), dba.name()));
        }
        try (var connection = db.as(dba).connect(); var statement = connection.createStatement()) {
            statement.execute("GRANT CONNECT ON DATABASE %s TO pg_monitor".formatted(db.name()));
        }
        var output = reset("--yes");
        assertDone(output);
        assertTrue(output.err().contains("pg_monitor") && output.out().contains("Strategy: park"), output.all());
        assertEquals(0, migrateCheck());
        assertEquals(1, reset("status").out().lines().filter(line -> line.contains("in use")).count());
    }

    @Test void only_the_named_apps_get_new_migrations() throws Exception {
        var output = reset("--dry-run", "--apps", "no_such_app");
        assertEquals(2, output.code(), output.all());
        assertTrue(output.err().contains("no_such_app"));
    }

    @Test void a_tiny_project_with_its_own_user_model_is_reset() throws Exception {
        var root = Files.createDirectory(temp.resolve("tiny")).toRealPath();
        var own = Postgres.database(db.role());
        crm = SampleProject.tiny(root, Map.of("people/models.py", """
                    from django.contrib.auth.models import AbstractUser
                    class Person(AbstractUser):
                        pass
                    """, "config/extra.py", "AUTH_USER_MODEL = \"people.Person\"\n"));
        crm.env(own);
        db = own;
        assertDone(reset("--yes"));
        assertEquals(0, migrateCheck());
    }
}
