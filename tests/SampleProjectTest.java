import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.SampleProject;

/** The project of the other tests and the demo. */
class SampleProjectTest {
    @TempDir Path folder;

    @Test
    void the_history_loads_for_an_owner_who_is_no_superuser_and_migrate_fails_on_it_in_two_ways() throws Exception {
        var db = Postgres.database(Postgres.role("owner", ""));
        var sample = SampleProject.copyTo(folder).env(db);
        long rows = 0;
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            sample.loadHistory(connection);
            var counts = statement.executeQuery("""
                SELECT (xpath('//c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', relname), false, \
                true, '')))[1]::text::bigint
                  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace""");
            while (counts.next()) rows += counts.getLong(1);
        }
        assertEquals(5691, rows);

        var deleted = sample.manage(Python.venv(), "migrate");
        assertEquals(1, deleted.code());
        assertTrue(
                deleted.text().contains("NodeNotFoundError: Migration customer_data.0005_transaction_moves_money"),
                deleted.text());

        SampleProject.write(sample.backend(), "customer_data/migrations/0004_wallet_reference.py", """
            from django.db import migrations, models

            class Migration(migrations.Migration):
                dependencies = [("customer_data", "0003_case_insensitive_email")]
                operations = [migrations.AddField("wallet", "reference", models.CharField(max_length=30, null=True, \
            unique=True))]
            """);
        var leaves = sample.manage(Python.venv(), "migrate");
        assertEquals(1, leaves.code());
        assertTrue(leaves.text().contains("(0003_flow_archived_at, 0003_step_help_text in flows)"), leaves.text());

        // negative control: with the history repaired, the tables match the models, and only the merge is missing
        assertEquals(0, sample.manage(Python.venv(), "makemigrations", "--merge", "--noinput", "flows").code());
        var whole = sample.manage(Python.venv(), "migrate");
        assertEquals(0, whole.code(), whole.text());
        assertEquals(0, sample.manage(Python.venv(), "migrate", "--check").code());
        var drift = sample.manage(Python.venv(), "makemigrations", "--check", "--dry-run");
        assertEquals(0, drift.code(), drift.text());
    }

    @Test
    void a_tiny_project_migrates_with_a_password_full_of_quotes() throws Exception {
        var role = Postgres.role("tiny", "");
        var odd = new Postgres.Role(role.name(), "it's \\ \"so\" #1 = ü");
        Postgres.execute("ALTER ROLE " + role.name() + " PASSWORD 'it''s \\ \"so\" #1 = ü'");
        var db = Postgres.database("Tiny \"db\" 'x' é", odd);
        var tiny = SampleProject.tiny(folder, Map.of("shop/models.py", """
            from django.db import models

            class Item(models.Model):
                name = models.CharField(max_length=9)
            """)).env(db);
        var made = tiny.manage(Python.venv(), "makemigrations", "shop");
        assertEquals(0, made.code(), made.text());
        var migrated = tiny.manage(Python.venv(), "migrate");
        assertEquals(0, migrated.code(), migrated.text());
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute("SELECT name FROM shop_item");
        }
    }

    @Test
    void a_wrong_password_is_refused() throws Exception {
        var db = Postgres.database(Postgres.role("guarded", ""));
        db.connect().close();
        var wrong = new Postgres.Role(db.role().name(), "wrong");
        assertEquals("28P01", assertThrows(SQLException.class, () -> db.as(wrong).connect()).getSQLState());
    }

    @Tag("exhaustive")
    @Test
    void a_venv_is_built_once_for_all_who_ask_and_again_when_it_is_not_whole() throws Exception {
        var requirements = Files.writeString(folder.resolve("requirements.txt"), "# nothing, for " + folder + "\n");
        var first = CompletableFuture.supplyAsync(() -> Python.venv(requirements));
        var python = Python.venv(requirements);
        var venv = python.getParent().getParent();
        try {
            assertEquals(python, first.get());
            var made = Files.getLastModifiedTime(venv.resolve("whole"));
            assertEquals(python, Python.venv(requirements));
            assertEquals(made, Files.getLastModifiedTime(venv.resolve("whole")), "built a second time");

            Files.delete(venv.resolve("whole"));
            Files.writeString(venv.resolve("left-by-a-crash"), "");
            assertEquals(python, Python.venv(requirements));
            assertTrue(Files.exists(venv.resolve("whole")));
            assertTrue(Files.notExists(venv.resolve("left-by-a-crash")));
        } finally {
            Python.delete(venv);
            Files.deleteIfExists(Path.of(venv + ".lock"));
        }
        assertNotEquals(python, Python.venv(), "another requirements file, another environment");
    }
}
