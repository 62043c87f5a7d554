import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;
import lib.Django;
import lib.Failure;
import lib.Problem;
import lib.Program;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;

class DjangoTest {
    @TempDir Path folder;

    // ---- a project to try on -----------------------------------------------------------------

    private final Postgres.Db db = Postgres.database();
    private final List<String> installed = new ArrayList<>(List.of("django.contrib.auth", "django.contrib.contenttypes"));
    private final Map<String, String> aliases = new LinkedHashMap<>();
    private final List<String> progress = new ArrayList<>();
    private String options = "{}";
    private String settings = "";
    private String requirements = "django==5.2.*\npsycopg[binary,pool]\n";

    private static final String BOOK = """
            from django.db import models

            class Book(models.Model):
                title = models.CharField(max_length=100)
            """;
    private static final String FIRST = """
            from django.db import migrations, models

            class Migration(migrations.Migration):
                initial = True
                dependencies = []
                operations = [migrations.CreateModel("Book", [("id", models.BigAutoField(primary_key=True)), ("title", models.CharField(max_length=100))])]
            """;

    private DjangoTest file(String path, String text) {
        try {
            var file = folder.resolve(path);
            Files.createDirectories(file.getParent());
            Files.writeString(file, text);
            return this;
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private DjangoTest app(String name, String models) {
        installed.add(name);
        for (var parent = Path.of(name.replace('.', '/')); parent != null; parent = parent.getParent()) file(parent + "/__init__.py", "");
        return file(name.replace('.', '/') + "/models.py", models);
    }

    private DjangoTest migration(String app, String name, String text) {
        var at = app.replace('.', '/') + "/migrations/";
        return file(at + "__init__.py", "").file(at + name + ".py", text);
    }

    private static String empty(String dependencies, String operations) {
        return "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    dependencies = [%s]\n    operations = [%s]\n"
                .formatted(dependencies, operations);
    }

    private static String database(Postgres.Db db, String name, String options) {
        return "{'ENGINE': 'django.db.backends.postgresql', 'NAME': '%s', 'HOST': '%s', 'PORT': %d, 'USER': '%s', 'PASSWORD': os.environ['THE_PASSWORD'], 'OPTIONS': %s}"
                .formatted(name, db.host(), db.port(), db.role().name(), options);
    }

    private Django django() {
        return django(Python.venv(file("requirements.txt", requirements).folder.resolve("requirements.txt")));
    }

    private Django django(Path python) {
        file("manage.py", "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_.settings')\n");
        file("site_/__init__.py", "");
        if (!Files.exists(folder.resolve("site_/settings.py"))) {
            var all = new LinkedHashMap<>(Map.of("default", database(db, db.name(), options)));
            all.putAll(aliases);
            file("site_/settings.py", "import os\nSECRET_KEY = 'the key of all keys'\nUSE_TZ = True\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
                    + "INSTALLED_APPS = " + installed.stream().map(a -> "'" + a + "'").toList() + "\nDATABASES = {"
                    + all.entrySet().stream().map(e -> "'" + e.getKey() + "': " + e.getValue()).collect(Collectors.joining(", ")) + "}\n" + settings);
        }
        return Django.start(Program.of(python.toString()).in(folder).secret("THE_PASSWORD", Postgres.PASSWORD), null, folder, progress::add);
    }

    /** describe, under the lock that proves the database. */
    private Django.Description describe(Django django, String... only) {
        long key = ThreadLocalRandom.current().nextLong(1L << 62);
        try (var live = db.connect(); var statement = live.createStatement()) {
            live.setAutoCommit(false);
            statement.execute("SELECT pg_advisory_xact_lock(" + key + ")");
            return django.describe(key, List.of(only));
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private Django.Fresh generate(Django django) {
        var found = describe(django);
        return django.generate(found.labels(), found.carried());
    }

    private static Set<String> tables(Postgres.Db db) {
        return new TreeSet<>(column(db, "SELECT table_schema || '.' || table_name FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"));
    }

    private static List<String> column(Postgres.Db db, String sql) {
        try (var connection = db.connect(); var statement = connection.createStatement(); var rows = statement.executeQuery(sql)) {
            var values = new ArrayList<String>();
            while (rows.next()) values.add(rows.getString(1));
            return values;
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private static void execute(Postgres.Db db, String... statements) {
        try (Connection connection = db.connect(); var statement = connection.createStatement()) {
            for (var sql : statements) statement.execute(sql);
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private static List<String> names(Django.Fresh fresh) {
        return fresh.files().stream().map(f -> f.app() + "/" + f.name()).toList();
    }

    private static <P extends Problem> P problem(Class<P> kind, org.junit.jupiter.api.function.Executable act) {
        return assertInstanceOf(kind, assertThrows(Failure.class, act).problem());
    }

    // ---- the whole way -----------------------------------------------------------------------

    @Test
    void fresh_migrations_are_made_and_migrated_into_another_database_while_live_stays_as_it_is() {
        app("shop", BOOK).migration("shop", "0001_initial", FIRST)
                .migration("shop", "0002_a", empty("('shop', '0001_initial')", "")).migration("shop", "0002_b", empty("('shop', '0001_initial')", ""));
        execute(db, "CREATE TABLE precious (id int)", "CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app text, name text, applied timestamptz)",
                "INSERT INTO django_migrations VALUES (1, 'shop', '0007_gone', now())");
        var scratch = Postgres.database();
        try (var django = django()) {
            var found = describe(django);
            assertEquals(List.of("shop"), found.labels());
            assertTrue(found.defaultDatabase().sameDatabase());
            assertEquals(db.name(), found.defaultDatabase().name());
            assertEquals("public", found.currentSchema());
            var fresh = django.generate(found.labels(), found.carried());
            assertEquals(List.of("shop/0001_initial.py"), names(fresh));
            assertEquals(List.of(), fresh.drift());
            assertFalse(fresh.files().getFirst().text().contains("staged_"), fresh.files().getFirst().text());
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.shop_book"));
        assertEquals(Set.of("public.precious", "public.django_migrations"), tables(db));
        assertTrue(progress.stream().anyMatch(p -> p.matches("shop\\.0001_initial \\(\\d+ of \\d+\\)")), progress.toString());
    }
}
