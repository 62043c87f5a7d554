import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Tool;

/** The demo as a new user starts it, and that its claims can fail. */
class DemoTest {
    @TempDir Path temp;

    private Tool.Output demo(String... args) throws Exception {
        return Tool.in(temp, "demo")
                .env("JAVA_TOOL_OPTIONS", "-Djava.io.tmpdir=" + temp)
                .env("DB_NAME", "somebody_elses")
                .env("DB_HOST", "db.example.com")
                .run(args);
    }

    /** An interpreter that runs each command, and does something else too. */
    private Path python(String more) throws Exception {
        var script = Files.writeString(
                temp.resolve("python"), "#!/bin/sh\n" + more + "\nexec '" + Python.venv() + "' \"$@\"\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwxr-xr-x"));
        return script;
    }

    private List<Path> left() throws Exception {
        try (var all = Files.list(temp)) {
            return all.filter(path -> path.getFileName().toString().startsWith("reset_migrations-demo-")).toList();
        }
    }

    @Test void it_runs_from_any_folder_and_every_claim_is_true() throws Exception {
        var output = demo();
        assertEquals(0, output.code(), output.all());
        var out = output.out();
        for (var said : List.of("$ python manage.py migrate\n  django.db.migrations.exceptions.NodeNotFoundError: ",
                "$ reset_migrations --yes\n", "$ python manage.py migrate --check\n  (exit code 0",
                "No changes detected", "$ reset_migrations undo --yes\n",
                "44 tables, 5,691 rows: definitions, counts and hashes as before.",
                "Every claim was checked and is true; "))
            assertTrue(out.contains(said), said + "\n-- is missing from --\n" + out);
        assertEquals(2, out.split(Pattern.quote("exceptions.NodeNotFoundError: "), -1).length - 1, out);
        assertFalse(output.all().contains(Postgres.PASSWORD), "the password was shown");
        assertFalse(out.contains("\033["), "colours without a terminal");

        assertEquals(1, left().size());
        var crm = left().getFirst().resolve("crm");
        assertTrue(out.contains("  " + crm.toRealPath()), out);
        assertTrue(Files.isDirectory(crm.resolve(".reset")));
        assertTrue(Files.exists(crm.resolve("crm_backend/flows/migrations/0003_flow_archived_at.py")));
    }

    @Tag("exhaustive")
    @Test
    void a_row_changed_meanwhile_makes_it_fail_and_name_the_table_even_with_no_keep() throws Exception {
        var meddling = python("""
            if [ "$*" = "manage.py migrate" ] && [ -d ../.reset ]; then
                '%s' -c '
            import django, os
            os.environ["DJANGO_SETTINGS_MODULE"] = "crm_backend.settings"
            django.setup()
            from django.db import connection
            connection.cursor().execute("UPDATE conversations_contact SET blocked = NOT blocked WHERE id = 7")'
            fi""".formatted(Python.venv()));
        var output = demo("--python", meddling.toString(), "--no-keep");
        assertEquals(1, output.code(), output.all());
        assertTrue(output.err().contains("database and files are as they were"), output.all());
        assertTrue(
                output.err().contains("was: rows conversations_contact ")
                        && output.err().contains("is:  rows conversations_contact "),
                output.all());
        assertFalse(output.out().contains("Every claim was checked"), output.out());
        assertTrue(Files.isDirectory(left().getFirst().resolve("crm")), "what failed is there to look at");
    }

    @Test void a_python_without_django_is_refused_before_anything_starts() throws Exception {
        var output = demo("--python", python("exec python3 -S -I \"$@\"").toString());
        assertEquals(2, output.code(), output.all());
        assertTrue(output.err().contains("No module named 'django'"), output.all());
    }

    @Test void help_ends_with_the_exit_codes() throws Exception {
        var output = demo("--help");
        assertEquals(0, output.code());
        for (var said : List.of("--python", "--[no-]keep", "Exit codes:"))
            assertTrue(output.out().contains(said), output.out());
        assertEquals(2, demo("--pyton", "x").code());
    }

    @Test void each_kind_of_change_is_a_difference_and_no_change_is_none() throws Exception {
        var crm = SampleProject.copyTo(Files.createDirectory(temp.resolve("crm")));
        var db = Postgres.database(Postgres.role("owner", ""));
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            crm.loadHistory(connection);
            var before = demo.State.of(crm, db);
            assertEquals(5691, before.total());
            assertEquals(44, before.rows().size());
            assertEquals(List.of(), before.differences(demo.State.of(crm, db)));

            for (var change : List.of(
                    "UPDATE flows_flow SET name = name || '!' WHERE id = 1",
                    "DELETE FROM \"Referral Earnings\" WHERE id = 1",
                    "DROP TABLE flows_formanswer",
                    "CREATE TABLE extra ()",
                    "ALTER TABLE flows_flow ALTER name DROP NOT NULL")) {
                var earlier = demo.State.of(crm, db);
                statement.execute(change);
                assertFalse(earlier.differences(demo.State.of(crm, db)).isEmpty(), change);
            }
        }
        var earlier = demo.State.of(crm, db);
        Files.writeString(crm.backend().resolve("flows/models.py"), "\n", StandardOpenOption.APPEND);
        var differences = earlier.differences(demo.State.of(crm, db));
        assertEquals(2, differences.size(), differences.toString());
        assertTrue(differences.getFirst().startsWith("was: crm_backend/flows/models.py rw"), differences.toString());
    }
}
