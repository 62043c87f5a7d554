import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import lib.postgres.Database;
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

/** Projects whose models need more than makemigrations writes, or need it in another order. */
class FreshChainTest {
    @TempDir Path temp;
    private SampleProject project;
    private Postgres.Db db;

    private void unmigrated(Map<String, String> files) throws IOException {
        project = SampleProject.tiny(Files.createDirectory(temp.resolve("site")).toRealPath(), files);
        db = Postgres.database(Postgres.role("site", "CREATEDB"));
        project.env(db);
    }

    /** With its old migrations applied. */
    private void project(Map<String, String> files) throws IOException {
        unmigrated(files);
        var migrated = project.manage(Python.venv(), "migrate");
        assertEquals(0, migrated.code(), migrated.text());
    }

    private Tool.Output reset(String... args) throws Exception {
        return Tool.in(project.root(), "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run(args);
    }

    private static String migration(String dependency, String operations) {
        return """
            from django.db import migrations, models
            class Migration(migrations.Migration):
                dependencies = [%s]
                operations = [%s]
            """.formatted(dependency, operations);
    }

    private String fresh(String app) throws IOException {
        return Files.readString(project.root().resolve(app + "/migrations/0001_initial.py"));
    }

    /** The reset has checked the live project; its files make a new database too. */
    private void assertMakesAnotherDatabase() throws IOException {
        project.env(Postgres.database(db.role()));
        var migrated = project.manage(Python.venv(), "migrate");
        assertEquals(0, migrated.code(), migrated.text());
        project.env(db);
    }

    // ---- what old SQL made -------------------------------------------------------------------

    private static final String LIBRARY = """
        from django.db import models
        from django.db.models.expressions import RawSQL

        class Plain(models.Func):
            function = "plain"

        class Mood(models.TextField):
            def db_type(self, connection):
                return "mood"

        class Region(models.Model):
            class Meta:
                managed = False
                db_table = "regions"

        class Shelf(models.Model):
            region = models.ForeignKey(Region, models.CASCADE, null=True)

        class Book(models.Model):
            title = models.CharField(max_length=100)
            shelf = models.ForeignKey(Shelf, models.CASCADE, null=True)
            mood = Mood(default="good")
            code = models.CharField(max_length=9)
            number = models.IntegerField(db_default=RawSQL("nextval('book_numbers')", []))

            class Meta:
                indexes = [models.Index(Plain("title"), name="by_plain_title")]
        """;

    private static Map<String, String> library() {
        return new HashMap<>(Map.of("library/models.py", LIBRARY, "library/migrations/0001_functions.py",
            "KINDS = \"CREATE TYPE state AS ENUM ('good'); ALTER TYPE state RENAME TO mood\"\n"
            + migration("", """
                migrations.RunSQL('''
                    -- needs; nothing
                    CREATE FUNCTION lowered(t text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT lower(t);$$;
                    CREATE FUNCTION plain(t text) RETURNS text IMMUTABLE LANGUAGE sql AS $$SELECT lowered(t);$$;
                    CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$;
                    ''', migrations.RunSQL.noop),
                migrations.SeparateDatabaseAndState([migrations.RunSQL(KINDS)]),
                migrations.RunSQL([("DO $$ BEGIN CREATE SEQUENCE book_numbers; END $$", None)])"""),
            "library/migrations/0002_book.py", """
            import library.models
            from django.db.models.expressions import RawSQL
            """ + migration("('library', '0001_functions')", """
                migrations.CreateModel("Book", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, 
                        verbose_name="ID")),
                    ("title", models.CharField(max_length=100)),
                    ("mood", library.models.Mood(default="good")),
                    ("code", models.CharField(max_length=9)),
                    ("number", models.IntegerField(db_default=RawSQL("nextval('book_numbers')", []))),
                ], {"indexes": [models.Index(library.models.Plain("title"), name="by_plain_title")]}),
                migrations.RunSQL("CREATE TRIGGER touched BEFORE UPDATE ON library_book FOR EACH ROW "
                                  "EXECUTE FUNCTION touched()")"""),
            "library/migrations/0003_more.py", migration("('library', '0002_book')", """
                migrations.RunSQL("ALTER TYPE mood ADD VALUE 'bad'"),
                migrations.RunSQL("CREATE TABLE regions (id bigint PRIMARY KEY)"),
                migrations.SeparateDatabaseAndState([migrations.RunSQL(
                    "CREATE TABLE library_shelf (id bigint PRIMARY KEY, region_id bigint REFERENCES regions)")],
                    [migrations.CreateModel("Shelf", [("id", models.BigAutoField(primary_key=True))])]),
                migrations.AddField("Book", "shelf",
                    models.ForeignKey("library.Shelf", models.CASCADE, null=True))""")));
    }

    static List<String> strategies() {
        return Sample.of("fresh chain", List.of("swap", "park", "drop"), 1);
    }

    @ParameterizedTest @MethodSource("strategies")
    void what_old_sql_made_and_models_need_is_in_the_new_migrations(String strategy) throws Exception {
        project(library());
        var done = reset("--yes", "--no-backup", "--strategy", strategy).done();
        var text = fresh("library");
        for (var made : new String[] {"FUNCTION lowered", "FUNCTION plain", "TYPE state", "RENAME TO mood",
            "SEQUENCE book_numbers", "ADD VALUE", "TABLE regions"})
            assertTrue(text.contains(made), made + " is not in\n" + text);
        for (var left : new String[] {"touched", "TABLE library_shelf"}) assertFalse(text.contains(left), text);
        done.ended(0, "Carried into the new first migrations", "library.0001_functions:5",
            "RunSQL CREATE FUNCTION lowered(t text)");
        var log = log();
        for (var line : new String[] {"RunSQL (a part of it is carried) -- needs",
            "library.0002_book:14  RunSQL CREATE TRIGGER touched"}) assertTrue(log.contains(line), log);
        assertMakesAnotherDatabase();
    }

    @Tag("exhaustive") @Test void sql_in_a_list_and_the_owner_of_a_sequence_are_carried() throws Exception {
        project(Map.of("shop/models.py", """
            from django.db import models
            from django.db.models.expressions import RawSQL
            class Order(models.Model):
                number = models.IntegerField(db_default=RawSQL("nextval('numbers')", []))
                mood = models.TextField()
                class Meta:
                    indexes = [models.Index(models.Func("mood", function="plain"), name="plain_mood")]
            """, "shop/migrations/0001_initial.py", "from django.db.models.expressions import RawSQL\n"
            + migration("", """
                migrations.RunSQL([
                    "CREATE FUNCTION low(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT lower(t)' -- first",
                    "CREATE FUNCTION plain(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT low(t)'; SELECT 1",
                    ("CREATE SEQUENCE numbers", None)]),
                migrations.CreateModel("Order", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False)),
                    ("number", models.IntegerField(db_default=RawSQL("nextval('numbers')", []))),
                    ("mood", models.TextField())],
                    {"indexes": [models.Index(models.Func("mood", function="plain"), name="plain_mood")]}),
                migrations.RunSQL("ALTER SEQUENCE numbers OWNED BY shop_order.number")""")));
        reset("--yes").done();
        assertTrue(fresh("shop").contains("ALTER SEQUENCE numbers OWNED BY"), fresh("shop"));
        var first = fresh("shop");
        reset("--yes").done(); // from the new file
        assertEquals(first.replaceFirst("# Gen.*", ""), fresh("shop").replaceFirst("# Gen.*", ""));
        assertMakesAnotherDatabase();
    }

    @Test void sql_with_a_secret_of_the_settings_is_not_written_into_a_file() throws Exception {
        var sql = "\"CREATE FUNCTION plain(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT t /* %s */'\" % ";
        project(Map.of("shop/models.py", """
            from django.db import models
            class Order(models.Model):
                mood = models.TextField()
                class Meta:
                    indexes = [models.Index(models.Func("mood", function="plain"), name="plain_mood")]
            """, "shop/migrations/0001_initial.py", "import os\n" + migration("", "migrations.RunSQL("
                + sql + "os.environ['DB_PASSWORD']), migrations.RunPython(migrations.RunPython.noop)")));
        var password = db.role().password();
        var before = Snapshot.of(project.root());
        var output = reset("--yes").ended(1, "function plain(text) does not exist",
            "CREATED BY: shop.0001_initial:5, which the new migrations do not have");
        assertFalse(output.all().contains(password));
        assertEquals(before, Snapshot.of(project.root()));
        var first = project.root().resolve("shop/migrations/0001_initial.py");
        Files.writeString(first, Files.readString(first).replace("os.environ['DB_PASSWORD']", "'x'"));
        reset("--yes").done(); // the control
        assertTrue(fresh("shop").contains("FUNCTION plain"));
    }

    private String log() throws Exception {
        try (var runs = Files.list(project.root().resolve(".reset"))) {
            return Files.readString(runs.filter(Files::isDirectory).findFirst().orElseThrow().resolve("log"));
        }
    }

    @Test void what_code_made_is_named_with_file_and_line_when_the_build_misses_it() throws Exception {
        var files = library();
        files.put("library/migrations/0001_functions.py", """
            from django.db import migrations
            def make(apps, editor):
                editor.execute(MOOD)
            MOOD = "CREATE TYPE mood AS ENUM ('good')"
            """ + files.get("library/migrations/0001_functions.py").replace(
                "migrations.SeparateDatabaseAndState([migrations.RunSQL(KINDS)])", "migrations.RunPython(make)"));
        project(files);
        var before = Snapshot.of(project.root());
        reset("--yes").ended(1, "type \"mood\" does not exist",
            "CREATED BY: library.0001_functions:4, which the new migrations do not have");
        assertEquals(before, Snapshot.of(project.root()));
    }

    /** An enum survives a drop, and would hide that the new migrations do not make it. */
    @ParameterizedTest @ValueSource(strings = {"CREATEDB", "NOCREATEDB"})
    void before_tables_are_dropped_the_new_migrations_run_into_an_empty_database(String right) throws Exception {
        project(Map.of("shop/models.py", """
            from django.db import models
            class Mood(models.TextField):
                def db_type(self, connection):
                    return "mood"
            class Order(models.Model):
                mood = Mood()
            """, "shop/migrations/0001_initial.py", """
            import shop.models
            from django.db import migrations, models
            def make(apps, editor):
                editor.execute("CREATE TYPE mood AS ENUM ('good')")
            class Migration(migrations.Migration):
                operations = [migrations.RunPython(make), migrations.CreateModel("Order", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False)),
                    ("mood", shop.models.Mood())])]
            """));
        try (var connection = Postgres.database().connect(); var statement = connection.createStatement()) {
            statement.execute("ALTER ROLE %s %s".formatted(db.role().name(), right));
        }
        var rows = Snapshot.of(db);
        var files = Snapshot.of(project.root());
        var databases = databases();
        var output = reset("--yes", "--strategy", "drop", "--no-backup");
        if (right.equals("CREATEDB")) {
            output.ended(1, "to try the new migrations in",
                "type \"mood\" does not exist", "CREATED BY: shop.0001_initial:4");
            assertEquals(rows, Snapshot.of(db));
            assertEquals(files, Snapshot.of(project.root()));
        } else {
            output.ended(0, "the new migrations are not tried in an empty database first: role %s may not create "
                .formatted(db.role().name()) + "databases"); // the control: Django itself says that all is well
        }
        assertEquals(databases, databases());
    }

    private List<String> databases() throws SQLException {
        try (var connection = db.connect(); var statement = connection.createStatement();
                var rows = statement.executeQuery("SELECT datname FROM pg_database ORDER BY 1")) {
            var names = new ArrayList<String>();
            while (rows.next()) names.add(rows.getString(1));
            return names;
        }
    }

    // ---- circles through installed packages --------------------------------------------------

    /** The user model has a picture of a package, whose pictures have a user as owner. */
    private Map<String, String> pictures(String user) throws IOException {
        SampleProject.write(temp, "lib/pictures/models.py", """
            from django.conf import settings
            from django.db import models
            class Picture(models.Model):
                owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
            """);
        SampleProject.write(temp, "lib/pictures/migrations/0001_initial.py", "from django.conf import settings\n"
            + migration("migrations.swappable_dependency(settings.AUTH_USER_MODEL)", """
                migrations.CreateModel("Picture", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False,
                        verbose_name="ID")),
                    ("owner", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True,
                        related_name="+"))])"""));
        return Map.of("config/extra.py", """
            import sys
            from config.settings import INSTALLED_APPS
            sys.path.append(%s)
            INSTALLED_APPS = INSTALLED_APPS + ["pictures"]
            AUTH_USER_MODEL = "users.User"
            """.formatted('"' + temp.toRealPath().resolve("lib").toString() + '"'),
            "users/models.py", "from django.contrib.auth.models import AbstractUser\nfrom django.db import models\n"
                + "from pictures.models import Picture\n" + user,
            "albums/models.py", """
                from django.db import models
                class Album(models.Model):
                    cover = models.ForeignKey("pictures.Picture", models.CASCADE)
                """);
    }

    @Test void fields_that_close_a_circle_through_a_package_are_added_by_a_second_migration() throws Exception {
        unmigrated(pictures("""
            class User(AbstractUser):
                picture = models.ForeignKey("pictures.Picture", models.CASCADE, null=True)
                album = models.ForeignKey("albums.Album", models.CASCADE, null=True)
                nick = models.CharField(max_length=9)
                class Meta:
                    unique_together = [("picture", "nick")]
                    indexes = [models.Index(fields=["album"], name="by_album")]
            class Portrait(Picture):
                pass
            class Note(models.Model):
                user = models.ForeignKey(User, models.CASCADE)
            """));
        reset("--yes").done();
        var second = Files.readString(project.root().resolve("users/migrations/0002_initial.py"));
        for (var moved : new String[] {"picture", "album", "unique_together", "by_album", "Portrait"})
            assertTrue(second.contains(moved), second);
        assertFalse(fresh("users").matches("(?s).*(picture|album|Portrait).*"), fresh("users"));
        assertTrue(fresh("users").contains("Note"), fresh("users"));
        assertMakesAnotherDatabase();
    }

    @Tag("exhaustive") @Test
    void a_table_that_is_missing_because_its_app_has_no_migrations_is_explained() throws Exception {
        unmigrated(Map.of("kinds/models.py", """
            from django.db import models
            class Kind(models.Model):
                name = models.CharField(max_length=9)
            """, "kinds/migrations.py", "", "shop/models.py", """
            from django.db import models
            class Order(models.Model):
                kind = models.ForeignKey("kinds.Kind", models.CASCADE)
            """));
        reset("--yes").ended(1, "relation \"kinds_kind\" does not exist",
            "NO MIGRATIONS: of the app kinds make the table of kinds.Kind");
    }

    @Tag("exhaustive") @Test void choices_that_models_read_from_rows_at_import_are_no_difference() throws Exception {
        unmigrated(Map.of("kinds/models.py", """
            from django.db import models
            class Kind(models.Model):
                name = models.CharField(max_length=9)
            """, "shop/models.py", """
            from django.db import models
            from kinds.models import Kind
            def kinds():
                try:
                    return [(kind.pk, kind.name) for kind in Kind.objects.all()]
                except Exception:
                    return []
            class Order(models.Model):
                kind = models.IntegerField(choices=kinds())
            """, "kinds/migrations/0001_initial.py", migration("", """
                migrations.CreateModel("Kind", [("id", models.BigAutoField(primary_key=True)),
                    ("name", models.CharField(max_length=9))])"""),
            "shop/migrations/0001_helper.py", "class Migration:\n    pass\n"));
        try (var live = Database.open(db.credentials())) {
            live.run("CREATE TABLE kinds_kind (id bigint PRIMARY KEY, name varchar(9) NOT NULL); "
                + "INSERT INTO kinds_kind VALUES (1, 'new')");
        }
        reset("--yes", "--no-backup").ended(0, "its Migration is not a class of django.db.migrations");
        assertMakesAnotherDatabase();
    }

    @Test void a_circle_that_cannot_be_broken_is_refused_with_the_models_and_what_connects_them() throws Exception {
        unmigrated(pictures("""
            class User(Picture, AbstractUser):
                pass
            """));
        reset("--dry-run").ended(4, "models need each other", "users.User has the base pictures.Picture");
    }

    // ---- what a migration cannot have --------------------------------------------------------

    @Test void what_django_cannot_write_is_named_with_app_model_field_and_line() throws Exception {
        unmigrated(Map.of("shop/models.py", """
            from django.db import models
            class Named(models.Model):
                name = models.CharField(max_length=9, default=lambda: "x")
                class Meta:
                    abstract = True
            class Order(Named):
                number = models.IntegerField()
            """));
        reset("--dry-run").ended(1, "Cannot serialize function: lambda", "MODEL: shop.Order, field name",
            "in " + project.root().resolve("shop/models.py") + ":3: name = models.CharField(");
    }

    @Test void code_of_an_old_migration_that_the_project_needs_is_named_before_anything_starts() throws Exception {
        unmigrated(Map.of("shop/models.py", """
            from importlib import import_module
            from django.db import models
            paths = import_module("shop.migrations.0001_paths")
            class Order(models.Model):
                picture = models.FileField(upload_to=paths.path)
            """, "shop/migrations/0001_paths.py", migration("", "")
                + "def path(instance, name):\n    return name\n",
            "shop/tasks.py", "def task():\n    import_module('shop.migrations.0001_paths')\n"));
        var needed = "shop/models.py:3 imports shop.migrations.0001_paths";
        assertFalse(reset("--dry-run").ended(4, "the project needs migrations that a reset replaces", needed).err()
            .contains("tasks.py"));

        SampleProject.write(project.root(), "shop/models.py", """
            from importlib import import_module
            from django.db import models
            paths = import_module("shop.migrations." + "0001_paths")
            class Order(models.Model):
                picture = models.FileField(upload_to=paths.path)
            """); // no line can be named, but the field
        reset("--dry-run").ended(1, "a new migration would use code of shop.migrations.0001_paths",
            "MODEL: shop.Order, field picture", "models.py:5: picture = models.FileField(");

        SampleProject.write(project.root(), "shop/models.py", """
            from django.db import models
            from .migrations import _paths as paths
            class Order(models.Model):
                picture = models.FileField(upload_to=paths.path)
            """);
        SampleProject.write(project.root(), "shop/migrations/_paths.py",
            "def path(instance, name):\n    return name\n");
        reset("--dry-run").ended(0, "tasks.py:2 imports the migration shop.migrations.0001_paths"); // the control
    }
}
