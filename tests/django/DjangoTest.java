package lib.django;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.Database;
import lib.process.Program;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import support.Postgres;
import support.Python;

class DjangoTest {
    @TempDir Path folder;

    // ---- a project to test with --------------------------------------------------------------

    private final Postgres.Db db = Postgres.database();
    private final List<String> installed = new ArrayList<>(List.of("django.contrib.auth",
            "django.contrib.contenttypes"));
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
                operations = [migrations.CreateModel("Book", [
                    ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False,
                                               verbose_name="ID")),
                    ("title", models.CharField(max_length=100))])]
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
        for (var parent = Path.of(name.replace('.', '/')); parent != null; parent = parent.getParent())
            file(parent + "/__init__.py", "");
        return file(name.replace('.', '/') + "/models.py", models);
    }

    private DjangoTest migration(String app, String name, String text) {
        var at = app.replace('.', '/') + "/migrations/";
        return file(at + "__init__.py", "").file(at + name + ".py", text);
    }

    private static String empty(String dependencies, String operations) {
        return """
                from django.db import migrations

                class Migration(migrations.Migration):
                    dependencies = [%s]
                    operations = [%s]
                """.formatted(dependencies, operations);
    }

    private static String database(Postgres.Db db, String name, String options) {
        return """
                {'ENGINE': 'django.db.backends.postgresql', 'NAME': '%s', 'HOST': '%s', 'PORT': %d, 'USER': '%s', \
                'PASSWORD': os.environ['THE_PASSWORD'], 'OPTIONS': %s}"""
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
            file("site_/settings.py", "import os\nSECRET_KEY = 'the key of all keys'\nUSE_TZ = True\n"
                    + "DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
                    + "INSTALLED_APPS = " + installed.stream().map(a -> "'" + a + "'").toList() + "\nDATABASES = {"
                    + all.entrySet().stream().map(e -> "'" + e.getKey() + "': " + e.getValue())
                            .collect(Collectors.joining(", ")) + "}\n" + settings);
        }
        return start(python, folder, null);
    }

    private Django start(Path python, Path root, String settings) {
        var program = Program.of(python.toString()).in(root).secret("THE_PASSWORD", Postgres.PASSWORD);
        return Django.start(PythonCommand.local(program, root), settings, progress::add);
    }

    /** Calls describe while holding the lock that proves the database. */
    private Description describe(Django django, String... only) {
        long key = ThreadLocalRandom.current().nextLong(1L << 62);
        try (var live = db.connect(); var statement = live.createStatement()) {
            live.setAutoCommit(false);
            statement.execute("SELECT pg_advisory_xact_lock(" + key + ")");
            return django.describe(key, List.of(only));
        } catch (SQLException e) {
            throw new AssertionError(e);
        }
    }

    private NewMigrations generate(Django django) {
        var found = describe(django);
        return django.generate(found.labels(), found.history().carried());
    }

    private static Set<String> tables(Postgres.Db db) {
        return new TreeSet<>(column(db, "SELECT table_schema || '.' || table_name FROM information_schema.tables "
                + "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"));
    }

    private static List<String> column(Postgres.Db db, String sql) {
        try (var connection = db.connect(); var statement = connection.createStatement();
             var rows = statement.executeQuery(sql)) {
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

    private static String name(Description.MigrationFile file) {
        return file.path().getFileName().toString();
    }

    private static List<String> names(NewMigrations fresh) {
        return fresh.files().stream().map(f -> f.app() + "/" + f.name()).toList();
    }

    private static Problem failed(ExitCode exit, org.junit.jupiter.api.function.Executable act) {
        var problem = problem(Problem.class, act);
        assertEquals(exit, problem.exit(), problem.what());
        return problem;
    }

    private static <P extends Problem> P problem(Class<P> kind, org.junit.jupiter.api.function.Executable act) {
        return assertInstanceOf(kind, assertThrows(Failure.class, act).problem());
    }

    // ---- the whole way -----------------------------------------------------------------------

    @Test
    void fresh_migrations_are_made_and_migrated_into_another_database_while_live_stays_as_it_is() {
        app("shop", BOOK).migration("shop", "0001_initial", FIRST)
                .migration("shop", "0002_a", empty("('shop', '0001_initial')", ""))
                .migration("shop", "0002_b", empty("('shop', '0001_initial')", ""));
        execute(db, "CREATE TABLE precious (id int)",
                "CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app text, name text, applied timestamptz)",
                "INSERT INTO django_migrations VALUES (1, 'shop', '0007_gone', now())");
        var scratch = Postgres.database();
        try (var django = django()) {
            var found = describe(django);
            assertEquals(List.of("shop"), found.labels());
            assertTrue(found.defaultDatabase().sameDatabase());
            assertEquals(db.name(), found.defaultDatabase().name());
            assertEquals("public", found.currentSchema());
            var fresh = django.generate(found.labels(), found.history().carried());
            assertEquals(List.of("shop/0001_initial.py"), names(fresh));
            assertEquals(List.of(), fresh.drift());
            assertFalse(fresh.files().getFirst().text().contains("staged_"), fresh.files().getFirst().text());
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.shop_book"));
        assertEquals(Set.of("public.precious", "public.django_migrations"), tables(db));
        assertTrue(progress.stream().anyMatch(p -> p.matches("shop\\.0001_initial \\(\\d+ of \\d+\\)")),
                progress.toString());
    }

    @Test
    void the_second_process_finds_the_new_files_and_the_new_database_in_order() {
        app("shop", BOOK);
        try (var building = django(); var checking = django()) {
            file("shop/migrations/__init__.py", "");
            for (var file : generate(building).files()) file("shop/migrations/" + file.name(), file.text());
            building.migrateLive();
            var check = checking.check(List.of("shop"), Set.of());
            var oid = column(db, "SELECT oid FROM pg_database WHERE datname = current_database()").getFirst();
            assertEquals(new Django.CheckResult(Long.parseLong(oid), List.of(), List.of(), List.of()), check);
        }
    }

    @Test
    void check_sees_what_is_unapplied_and_what_has_drifted_beyond_the_baseline() {
        app("shop", "import os\n" + BOOK + "    price = models.IntegerField(default=0)\n"
                + "    at = models.IntegerField(default=os.getpid())\n").migration("shop", "0001_initial",
                FIRST.replace("(max_length=100))", "(max_length=100)), (\"at\", models.IntegerField(default=1))"));
        try (var django = django()) {
            var check = django.check(List.of("shop"), Set.of());
            assertTrue(check.unapplied().contains("shop.0001_initial"), check.toString());
            assertEquals(List.of("shop: Add field price to book"), check.drift());
            assertEquals(List.of(), django.check(List.of("shop"), Set.copyOf(check.drift())).drift());
        }
    }

    // ---- broken histories --------------------------------------------------------------------

    @Test
    void every_kind_of_broken_history_is_described_and_replaced() {
        app("shop", BOOK).migration("shop", "0001_initial", FIRST)
                .migration("shop", "0002_a", empty("('shop', '0001_initial')",
                        "migrations.RunPython(fill, migrations.RunPython.noop)")
                        .replace("class", "def fill(apps, editor): pass\n\nclass"))
                .migration("shop", "0002_b", empty("('shop', '0001_initial')",
                        "migrations.RunSQL('UPDATE x\\n  SET y = 1')"))
                .migration("shop", "0003_gone_before", empty("('shop', '0002_c')",
                        "migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL('a'), "
                        + "migrations.RunPython(f)], state_operations=[migrations.RemoveField('book', 'x')])")
                        .replace("class", "def f(a, b): pass\n\nclass"))
                .migration("shop", "0004_moved", "from shop.moved_away import code as gone, Special as Odd\n"
                        + empty("", "migrations.RunPython(code=gone), Odd('z')"))
                .migration("shop", "0005_syntax", "from django.db import migrations\n\nclass Migration(:\n")
                .migration("shop", "0006_exits", "raise SystemExit(3)\n" + empty("", ""))
                .migration("shop", "0007_computed", "from django.db import migrations\n"
                        + "more = [migrations.RunSQL('SELECT 1')]\nclass Migration(migrations.Migration):\n"
                        + "    operations = [] + more\n");
        app("inner.deep.parts", BOOK.replace("Book", "Part")).file("inner/deep/parts/apps.py",
                "from django.apps import AppConfig\nclass C(AppConfig):\n    name = 'inner.deep.parts'\n"
                        + "    label = 'gadgets'\n");
        app("nothing", "");
        try (var django = django()) {
            var found = describe(django);
            assertEquals(List.of("shop", "gadgets", "nothing"), found.labels());
            var gadgets = found.selected().get(1);
            assertEquals(folder.resolve("inner/deep/parts/migrations"), gadgets.migrationsFolder());
            assertFalse(Files.exists(gadgets.migrationsFolder()));
            assertEquals(Map.of("0004_moved.py", 1, "0005_syntax.py", 3, "0006_exits.py", 1),
                    found.history().files().stream().filter(file -> file.broken() != null)
                            .collect(Collectors.toMap(DjangoTest::name, Description.MigrationFile::line)));
            assertEquals(List.of("0002_a:7 RunPython fill", "0002_b:5 RunSQL UPDATE x SET y = 1",
                    "0003_gone_before:7 SeparateDatabaseAndState RunSQL a, RunPython f",
                    "0004_moved:6 RunPython gone", "0004_moved:6 Special 'z'", "0007_computed:4 RunSQL SELECT 1"),
                    found.history().customOperations().stream()
                            .map(o -> "%s:%d %s %s".formatted(o.migration(), o.line(), o.operation(), o.detail()))
                            .toList());
            var fresh = django.generate(found.labels(), found.history().carried());
            assertEquals(List.of("shop/0001_initial.py", "gadgets/0001_initial.py"), names(fresh));
        }
    }

    @Test
    void a_helper_module_in_migrations_and_the_lines_that_import_migrations_are_named() {
        app("shop", "from shop.migrations.helpers import X\n" + BOOK).migration("shop", "0001_initial", FIRST)
                .migration("shop", "helpers", "X = 1\n").migration("shop", "_private", "X = 1\n");
        file("shop/tasks.py", "import importlib\n\ndef f():\n"
                + "    importlib.import_module('shop.migrations.0001_initial')\n    from .migrations import helpers\n");
        try (var django = django()) {
            var found = describe(django);
            assertEquals(Map.of("0001_initial.py", true, "helpers.py", false), found.history().files().stream()
                    .collect(Collectors.toMap(DjangoTest::name, Description.MigrationFile::isMigration)));
            assertEquals(Set.of("models.py:1 shop.migrations.helpers", "tasks.py:4 shop.migrations.0001_initial",
                    "tasks.py:5 shop.migrations.helpers"),
                    found.history().imports().stream().map(i -> i.path().getFileName() + ":" + i.line() + " "
                            + i.module()).collect(Collectors.toSet()));
        }
    }

    @Test
    void apps_that_need_each_other_get_two_migrations() {
        app("one", "from django.db import models\nclass A(models.Model):\n"
                + "    b = models.ForeignKey('two.B', models.CASCADE, null=True)\n");
        app("two", "from django.db import models\nclass B(models.Model):\n"
                + "    a = models.ForeignKey('one.A', models.CASCADE, null=True)\n");
        var scratch = Postgres.database();
        try (var django = django()) {
            assertEquals(3, generate(django).files().size());
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).containsAll(Set.of("public.one_a", "public.two_b")));
    }

    @Test
    void a_custom_user_model_comes_before_what_points_at_it() {
        installed.add("django.contrib.admin");
        settings = "AUTH_USER_MODEL = 'people.Person'\n";
        app("people", "from django.contrib.auth.models import AbstractUser\nclass Person(AbstractUser): pass\n");
        var scratch = Postgres.database();
        try (var django = django()) {
            generate(django);
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).containsAll(Set.of("public.people_person", "public.django_admin_log")));
    }

    // ---- which apps --------------------------------------------------------------------------

    @Test
    void migration_modules_may_redirect_inside_switch_off_or_lead_outside(@TempDir Path outside) throws IOException {
        app("shop", BOOK).app("off", BOOK).app("away", BOOK);
        Files.createDirectories(outside.resolve("away_changes"));
        Files.writeString(outside.resolve("away_changes/__init__.py"), "");
        settings = "import sys\nsys.path.append('" + outside + "')\n"
                + "MIGRATION_MODULES = {'shop': 'site_.changes.shop', 'off': None, 'away': 'away_changes'}\n";
        var scratch = Postgres.database();
        try (var django = django()) {
            var found = describe(django);
            assertEquals(List.of("shop"), found.labels());
            assertEquals(folder.resolve("site_/changes/shop"), found.selected().getFirst().migrationsFolder());
            var why = found.apps().stream().filter(a -> a.whyNotOwn() != null)
                    .collect(Collectors.toMap(Description.App::label, Description.App::whyNotOwn));
            assertTrue(why.get("off").contains("switched off"), why.toString());
            assertTrue(why.get("away").contains("away_changes"), why.toString());
            assertFalse(found.tables().stream().filter(t -> t.table().equals("off_book")).findFirst().orElseThrow()
                    .byMigration());
            assertEquals(List.of("shop/0001_initial.py"), names(django.generate(found.labels(), List.of())));
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.shop_book"));
        assertFalse(tables(scratch).contains("public.off_book"));
    }

    private DjangoTest appBelow(String place, String app) {
        file(place + "/" + app + "/__init__.py", "").file(place + "/" + app + "/models.py", BOOK);
        installed.add(app);
        return file(place + "/" + app + "/migrations/__init__.py", "")
                .file(place + "/" + app + "/migrations/0001_initial.py", FIRST);
    }

    @Test void installed_packages_inside_the_project_are_not_its_own() throws IOException {
        settings = "import sys\nsys.path += ['lib', 'src', 'vendor/fork', 'vendor/zipped.whl', "
                + "'__pypackages__/3.11/lib']\n";
        // installed with pip install -e: metadata without the list of installed files, beside setup.py or in src
        app("shop", BOOK).appBelow("src", "till")
                .file("pyproject.toml", "[project]\nname = \"Site.Project\"\ndependencies = [\"fork\"]\n")
                .file("site_project.egg-info/top_level.txt", "shop\n")
                .file("src/site_project.egg-info/top_level.txt", "till\n");
        appBelow("lib", "packed").file("lib/django_packed-1.3.0.dist-info/RECORD",
                "packed/__init__.py,sha256=x,0\npacked/models.py,,\ndjango_packed-1.3.0.dist-info/RECORD,,\n");
        appBelow("lib", "egg").file("lib/Egg-1.0-py3.8.egg-info/top_level.txt", "egg\n");
        appBelow("lib", "beside");
        appBelow("__pypackages__/3.11/lib", "local");
        appBelow("vendor/fork", "forked").file("vendor/fork/setup.py", "setup(name='fork')\n")
                .file("vendor/fork/fork.egg-info/top_level.txt", "forked\n");
        appBelow("unzipped", "zipped");
        try (var zip = FileSystems.newFileSystem(folder.resolve("vendor/zipped.whl"), Map.of("create", "true"));
                var files = Files.walk(folder.resolve("unzipped"))) {
            for (var one : files.filter(Files::isRegularFile).toList()) {
                var target = zip.getPath(folder.resolve("unzipped").relativize(one).toString());
                Files.createDirectories(target.getParent());
                Files.copy(one, target);
            }
        }
        try (var django = django()) {
            var found = describe(django);
            assertEquals(Set.of("shop", "till", "beside"), Set.copyOf(found.labels()));
            assertEquals(Map.of("packed", "an installed package (lib/django_packed-1.3.0.dist-info)",
                    "egg", "an installed package (lib/Egg-1.0-py3.8.egg-info)", "local", "an installed package",
                    "forked", "a package of its own (vendor/fork/fork.egg-info)",
                    "zipped", "in the archive vendor/zipped.whl"),
                    found.apps().stream().filter(app -> !app.own() && app.path().startsWith(folder))
                            .collect(Collectors.toMap(Description.App::label, Description.App::whyNotOwn)));
            assertTrue(found.tables().stream().allMatch(table -> !table.app().equals("zipped")
                    || table.byMigration()), "its migrations are found");
            assertEquals(List.of("forked"), describe(django, "forked").labels());
            assertEquals(ExitCode.USAGE, problem(Problem.class, () -> describe(django, "packed")).exit());
        }
    }

    @Test
    void migration_modules_may_be_a_class() {
        app("shop", BOOK).app("off", BOOK);
        settings = "class Off:\n    def __contains__(self, label): return label == 'off'\n"
                + "    def __getitem__(self, label): return None\nMIGRATION_MODULES = Off()\n";
        var scratch = Postgres.database();
        try (var django = django()) {
            assertEquals(List.of("shop/0001_initial.py"), names(generate(django)));
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.shop_book"));
    }

    @Test
    void only_the_named_apps_are_selected_and_a_foreign_name_is_a_usage_error() {
        app("shop", BOOK).app("other", BOOK).migration("other", "0001_initial", FIRST);
        try (var django = django()) {
            assertEquals(List.of("shop"), describe(django, "shop").labels());
            var problem = failed(ExitCode.USAGE, () -> describe(django, "auth", "shop"));
            assertEquals("not an app of this project whose migrations can be reset: auth", problem.what());
            assertEquals(List.of("these can: shop, other"), problem.next());
            assertEquals(List.of("shop/0001_initial.py"), names(django.generate(List.of("shop"), List.of())));
        }
    }

    @Test
    void apps_outside_the_project_or_in_a_virtual_environment_are_not_own_and_their_references_are_listed(
            @TempDir Path outside) throws IOException {
        settings = "import sys\nsys.path[:0] = ['" + outside + "', '" + folder + "/.myenv/lib']\n";
        app("shop", BOOK).migration("shop", "0001_initial", FIRST)
                .migration("shop", "0002_more", empty("('shop', '0001_initial')", ""));
        for (var place : Map.of("plugin", outside, "bundled", folder.resolve(".myenv/lib")).entrySet()) {
            installed.add(place.getKey());
            var app = place.getValue().resolve(place.getKey());
            Files.createDirectories(app.resolve("migrations"));
            Files.writeString(app.resolve("__init__.py"), "");
            Files.writeString(app.resolve("models.py"), "");
            Files.writeString(app.resolve("migrations/__init__.py"), "");
            Files.writeString(app.resolve("migrations/0001_x.py"),
                    empty("('shop', '0002_more'), ('shop', '__first__')", "")
                    .replace("    dep", "    atomic = False\n    dep"));
        }
        Files.writeString(folder.resolve(".myenv/pyvenv.cfg"), "");
        try (var django = django()) {
            var found = describe(django);
            assertEquals(List.of("shop"), found.labels());
            assertEquals(Set.of(
                    new Description.Reference("plugin", "0001_x", "dependencies", "shop", "0002_more", false),
                    new Description.Reference("bundled", "0001_x", "dependencies", "shop", "0002_more", false)),
                    Set.copyOf(found.history().references()));
            assertEquals(Set.of("plugin.0001_x", "bundled.0001_x"), Set.copyOf(found.history().nonAtomic()));
        }
    }

    // ---- which database ----------------------------------------------------------------------

    /** A handler that writes through the alias "second" whenever anything was migrated. */
    private void writesThroughSecondAlias() {
        app("shop", BOOK).file("shop/apps.py", """
                from django.apps import AppConfig
                from django.db.models.signals import post_migrate

                def write(sender, **kwargs):
                    from shop.models import Book
                    Book.objects.using("second").create(title="by a handler")

                class C(AppConfig):
                    name = "shop"
                    def ready(self): post_migrate.connect(write, sender=self)
                """);
    }

    @Test
    void an_alias_of_the_same_database_goes_where_default_goes() {
        writesThroughSecondAlias();
        aliases.put("second", database(db, "not_this", "{'dbname': '" + db.name() + "'}"));
        var elsewhere = Postgres.database();
        aliases.put("third", database(elsewhere, elsewhere.name(), "{}"));
        aliases.put("down", "{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'x', 'HOST': '127.0.0.1', 'PORT': 1, "
                + "'USER': 'x', 'PASSWORD': 'x'}");
        execute(db, "CREATE TABLE shop_book (id bigserial PRIMARY KEY, title text)");
        var scratch = Postgres.database();
        try (var django = django()) {
            assertEquals(Map.of("default", true, "second", true, "third", false, "down", false),
                    describe(django).databases().stream().collect(Collectors.toMap(Description.DatabaseAlias::alias,
                            Description.DatabaseAlias::sameDatabase)));
            generate(django);
            django.migrateInto(scratch.name());
        }
        assertEquals(List.of("by a handler"), column(scratch, "SELECT title FROM shop_book"));
        assertEquals(List.of(), column(db, "SELECT title FROM shop_book"));
        assertEquals(Set.of(), tables(elsewhere));
    }

    @Test
    void inside_the_transaction_such_an_alias_shares_the_connection() {
        writesThroughSecondAlias();
        aliases.put("second", database(db, db.name(), "{}"));
        try (var django = django()) {
            generate(django);
            django.migrateInTransaction(List.of());
            assertEquals(Set.of(), tables(db));
            django.commit();
        }
        assertEquals(List.of("by a handler"), column(db, "SELECT title FROM shop_book"));
    }

    private static void assertNobodyIn(Postgres.Db db) {
        var sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid "
                + "<> pg_backend_pid()";
        var found = column(db, sql);
        for (int i = 0; i < 20 && !found.equals(List.of("0")); i++) { // the query's own last session may still be there
            LockSupport.parkNanos(100_000_000);
            found = column(db, sql);
        }
        assertEquals(List.of("0"), found);
    }

    @Test
    void a_pool_or_a_dbname_in_options_cannot_lead_back_to_live() {
        app("shop", BOOK);
        for (var each : List.of("{'pool': True}", "{'dbname': '" + db.name() + "'}")) {
            options = each;
            try {
                Files.deleteIfExists(folder.resolve("site_/settings.py"));
            } catch (IOException e) {
                throw new AssertionError(e);
            }
            var scratch = Postgres.database();
            try (var django = django()) {
                generate(django);
                assertNobodyIn(db);
                django.migrateInto(scratch.name());
                assertNobodyIn(scratch); // it is about to be renamed
            }
            assertTrue(tables(scratch).contains("public.shop_book"));
            assertEquals(Set.of(), tables(db));
        }
    }

    /** As django-db-geventpool, django-db-connection-pool (SQLAlchemy) and a pool of psycopg written by hand do it. */
    private static final Map<String, String> POOLS = Map.of("queue", """
            from queue import SimpleQueue
            from django.db.backends.postgresql import base
            class DatabaseWrapper(base.DatabaseWrapper):
                _connection_pools = {}
                def get_new_connection(self, conn_params):
                    pool = self._connection_pools.setdefault(self.alias, SimpleQueue())
                    conn_params.pop("MAX_CONNS")
                    return super().get_new_connection(conn_params) if pool.empty() else pool.get()
                def _close(self):
                    self._connection_pools[self.alias].put(self.connection)
                    self.connection = None
            """, "fairy", """
            from django.db.backends.postgresql import base
            class Fairy:
                def __init__(self, real):
                    self.real = real
                def __getattr__(self, name):
                    return getattr(self.real, name)
                def close(self):
                    POOL.append(self.__dict__.pop("real"))
            POOL = []
            class DatabaseWrapper(base.DatabaseWrapper):
                def get_new_connection(self, conn_params):
                    conn_params.pop("MAX_CONNS")
                    return Fairy(POOL.pop() if POOL else super().get_new_connection(conn_params))
                def _set_autocommit(self, autocommit):
                    self.connection.real.autocommit = autocommit
            """, "psycopg", """
            from django.db.backends.postgresql import base
            from psycopg_pool import ConnectionPool
            class DatabaseWrapper(base.DatabaseWrapper):
                the_pool = None
                def get_new_connection(self, conn_params):
                    if not DatabaseWrapper.the_pool:
                        conn_params.pop("MAX_CONNS")
                        DatabaseWrapper.the_pool = ConnectionPool(kwargs=conn_params, min_size=1, open=True)
                    return self.the_pool.getconn()
                def _close(self):
                    self.the_pool.putconn(self.connection)
            """);

    @ParameterizedTest
    @ValueSource(strings = {"queue", "fairy", "psycopg"})
    void an_engine_with_a_pool_of_its_own_builds_without_it(String pool) {
        app("shop", BOOK).file("site_/pooled/__init__.py", "").file("site_/pooled/base.py", POOLS.get(pool));
        aliases.put("default", database(db, db.name(), "{'MAX_CONNS': 4}").replace("django.db.backends.postgresql",
                "site_.pooled"));
        var scratch = Postgres.database();
        try (var django = django()) {
            generate(django);
            if (!pool.equals("psycopg")) assertNobodyIn(db); // its threads connect again until Python ends
            django.migrateInto(scratch.name());
            assertNobodyIn(scratch); // it is about to be renamed
            assertTrue(tables(scratch).contains("public.shop_book"));
            assertEquals(Set.of(), tables(db));
            django.migrateLive();
            assertEquals(tables(scratch), tables(db));
        }
    }

    @Test
    void a_connection_that_still_leads_to_the_live_database_is_refused() {
        app("shop", BOOK).file("site_/stubborn/__init__.py", "").file("site_/stubborn/base.py", """
                from django.db.backends.postgresql import base
                class DatabaseWrapper(base.DatabaseWrapper):
                    def get_connection_params(self):
                        return {**super().get_connection_params(), "dbname": "%s"}
                """.formatted(db.name()));
        aliases.put("default", database(db, db.name(), "{}").replace("django.db.backends.postgresql",
                "site_.stubborn"));
        var scratch = Postgres.database();
        try (var django = django()) {
            generate(django);
            var problem = failed(ExitCode.FAILED, () -> django.migrateInto(scratch.name()));
            assertTrue(problem.what().startsWith("RuntimeError: the connection 'default' goes to the database "
                    + db.name() + ", not to " + scratch.name() + " where the new one is built\n"), problem.what());
            assertTrue(problem.what().endsWith("\n  while migrating the new database"), problem.what());
        }
        assertEquals(Set.of(), tables(db));
    }

    @Test
    void another_database_is_not_taken_for_the_same() {
        app("shop", BOOK);
        var another = Postgres.database();
        aliases.put("default", database(another, another.name(), "{}"));
        try (var django = django()) {
            assertFalse(describe(django).defaultDatabase().sameDatabase());
        }
    }

    @Test
    void what_a_router_sends_elsewhere_is_not_expected_in_default() {
        var elsewhere = Postgres.database();
        aliases.put("reports", database(elsewhere, elsewhere.name(), "{}"));
        app("shop", BOOK).app("stats", BOOK).file("site_/routers.py", """
                class R:
                    def allow_migrate(self, db, label, **hints): return (label == "stats") == (db == "reports")
                """);
        settings = "DATABASE_ROUTERS = ['site_.routers.R']\n";
        var scratch = Postgres.database();
        try (var django = django()) {
            var found = describe(django);
            assertFalse(found.tables().stream().filter(t -> t.table().equals("stats_book")).findFirst().orElseThrow()
                    .byMigration());
            generate(django);
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.shop_book"));
        assertFalse(tables(scratch).contains("public.stats_book"));
        assertEquals(Set.of(), tables(elsewhere));
    }

    // ---- in one transaction ------------------------------------------------------------------

    private static List<String> catalog(Postgres.Db db) {
        return column(db, "SELECT oid || ' ' || xmin || ' ' || relname FROM pg_class WHERE relnamespace "
                + "= 'public'::regnamespace ORDER BY 1");
    }

    private void bookToPark() {
        app("shop", BOOK);
        execute(db, "CREATE TABLE shop_book (id int)", "INSERT INTO shop_book VALUES (7)");
    }

    private static final List<String> PARK = List.of("CREATE SCHEMA parked", "ALTER TABLE shop_book SET SCHEMA parked");

    @Test
    void a_transaction_rolled_back_leaves_row_and_catalog_untouched() {
        bookToPark();
        var before = catalog(db);
        try (var django = django()) {
            generate(django);
            django.migrateInTransaction(PARK);
            django.rollback();
            assertEquals(before, catalog(db));
            assertEquals(List.of("7"), column(db, "SELECT id FROM shop_book"));
            django.rollback(); // harmless when nothing is open
            assertEquals("RuntimeError: no transaction is open\n  while committing",
                    failed(ExitCode.FAILED, django::commit).what());
            django.migrateInTransaction(PARK);
        } // the end of the conversation rolls back too
        assertEquals(before, catalog(db));
    }

    /** By its name a session of ours is told from those that are in the way. */
    @Test
    void sessions_of_django_bear_the_tools_name_whatever_its_options_say() {
        options = "{'application_name': 'crm'}";
        bookToPark();
        try (var django = django()) {
            generate(django);
            django.migrateInTransaction(PARK);
            assertEquals(List.of(Database.APPLICATION), column(db, "SELECT application_name FROM pg_stat_activity "
                    + "WHERE datname = '%s' AND pid <> pg_backend_pid()".formatted(db.name())));
            django.rollback();
        }
    }

    @Test
    void a_transaction_committed_has_both_the_parked_and_the_new_table() {
        bookToPark();
        try (var django = django()) {
            generate(django);
            django.migrateInTransaction(PARK);
            django.commit();
        }
        assertEquals(List.of("7"), column(db, "SELECT id FROM parked.shop_book"));
        assertEquals(List.of("0"), column(db, "SELECT count(*) FROM public.shop_book"));
    }

    @Test
    void a_table_with_waiting_trigger_events_can_be_altered_by_the_next_migration() {
        app("shop", "from django.db import models\nclass A(models.Model):\n    x = models.IntegerField(default=0)\n"
                + "class B(models.Model):\n    a = models.ForeignKey(A, models.CASCADE)\n");
        // not selected: of the migrations that it keeps, the second leaves a deferred check, the third alters the table
        app("kept", "from django.db import models\nclass K(models.Model):\n"
                + "    a = models.ForeignKey('shop.A', models.CASCADE)\n    y = models.IntegerField(default=0)\n");
        migration("kept", "0001_initial", "from django.db import migrations, models\n"
                + "class Migration(migrations.Migration):\n    dependencies = [('shop', '0001_initial')]\n"
                + "    operations = [migrations.CreateModel('K', [('id', models.BigAutoField(primary_key=True)), "
                        + "('a', models.ForeignKey('shop.A', models.CASCADE))])]\n");
        migration("kept", "0002_rows", empty("('kept', '0001_initial')",
                "migrations.RunSQL('WITH a AS (INSERT INTO shop_a (x) VALUES (1) RETURNING id) INSERT INTO kept_k "
                + "(a_id) SELECT id FROM a')"));
        migration("kept", "0003_y", "from django.db import models\n"
                + empty("('kept', '0002_rows')", "migrations.AddField('k', 'y', models.IntegerField(default=0))"));
        try (var django = django()) {
            var found = describe(django, "shop");
            assertEquals(List.of(new Description.Reference("kept", "0001_initial", "dependencies", "shop",
                    "0001_initial", true)), found.history().references());
            django.generate(List.of("shop"), List.of());
            django.migrateInTransaction(List.of());
            django.commit();
        }
        assertEquals(List.of("1"), column(db, "SELECT count(*) FROM kept_k"));
    }

    @Test
    void a_statement_that_waits_for_a_lock_gives_up_with_its_sqlstate() throws SQLException {
        bookToPark();
        try (var django = django(); var blocker = db.connect(); var statement = blocker.createStatement()) {
            generate(django);
            blocker.setAutoCommit(false);
            statement.execute("LOCK TABLE shop_book");
            var statements = List.of("SET LOCAL lock_timeout = '200ms'", PARK.get(0), PARK.get(1));
            var failure = assertThrows(Failure.class, () -> django.migrateInTransaction(statements));
            assertEquals("55P03", Database.sqlState(failure));
            assertEquals(ExitCode.FAILED, failure.problem().exit());
        }
        assertEquals(List.of("7"), column(db, "SELECT id FROM shop_book"));
    }

    // ---- extensions --------------------------------------------------------------------------

    @Test
    void extensions_and_collations_are_carried_and_come_before_what_needs_them() {
        installed.add("django.contrib.postgres");
        // zbase comes last by name, and an app that it does not refer to needs its extensions
        var operations = "operations = [ops.CITextExtension(), ops.CITextExtension(), "
                + "migrations.RunSQL('CREATE EXTENSION IF NOT EXISTS hstore;'), "
                + "ops.CreateCollation('plain', provider='libc', locale='C'), ";
        app("zbase", BOOK).migration("zbase", "0001_initial", "import django.contrib.postgres.operations as ops\n"
                + FIRST.replace("operations = [", operations));
        migration("zbase", "0002_trgm", "from django.contrib.postgres.operations import TrigramExtension\n"
                + "from gone import X\n" + empty("", "TrigramExtension()"));
        app("accounts", "from django.db import models\nclass Ci(models.TextField):\n"
                + "    def db_type(self, connection): return 'citext'\n"
                + "class Mail(models.Model):\n    address = Ci()\n"
                + "    other = models.TextField(db_collation='plain')\n");
        app("bystander", BOOK);
        var scratch = Postgres.database();
        try (var django = django()) {
            var found = describe(django);
            var postgres = "django.contrib.postgres.operations.";
            assertEquals(Set.of(postgres + "CITextExtension()", postgres + "CreateExtension(name='hstore')",
                    postgres + "TrigramExtension()", postgres + "CreateCollation(name='plain', locale='C')"),
                    found.history().carried().stream().map(Description.CarriedOperation::source)
                            .collect(Collectors.toSet()));
            assertTrue(found.history().customOperations().stream().allMatch(Description.CustomOperation::carried),
                    found.history().customOperations().toString());
            var fresh = django.generate(found.labels(), found.history().carried());
            var text = fresh.files().stream().collect(Collectors.toMap(NewMigrations.File::app,
                    NewMigrations.File::text));
            assertEquals(2, text.get("zbase").split("CITextExtension").length, text.get("zbase"));
            assertTrue(text.get("zbase").contains("import django.contrib.postgres.operations"));
            assertTrue(text.get("accounts").contains("('zbase', '0001_initial')"), text.get("accounts"));
            assertFalse(text.get("bystander").contains("zbase"));
            assertEquals(List.of(), fresh.drift());
            django.migrateInto(scratch.name());
        }
        assertEquals(Set.of("citext", "hstore", "pg_trgm", "plpgsql"),
                Set.copyOf(column(scratch, "SELECT extname FROM pg_extension")));
        assertTrue(tables(scratch).contains("public.accounts_mail"));
    }

    @Test
    void extensions_of_computed_operations_are_carried() {
        installed.add("django.contrib.postgres");
        app("shop", BOOK).migration("shop", "0001_initial", FIRST);
        migration("shop", "0002_search", """
                from django.contrib.postgres.operations import TrigramExtension, UnaccentExtension
                from django.db import migrations

                def operations():
                    return [TrigramExtension(), migrations.RunSQL("CREATE EXTENSION hstore")]

                class Migration(migrations.Migration):
                    dependencies = [("shop", "0001_initial")]
                    operations = operations()
                """);
        migration("shop", "0003_more", """
                from django.contrib.postgres.operations import UnaccentExtension
                from django.db import migrations

                LATER = [UnaccentExtension()]

                class Migration(migrations.Migration):
                    dependencies = [("shop", "0002_search")]
                    operations = [*LATER, migrations.RunPython(migrations.RunPython.noop)]
                """);
        try (var django = django()) {
            var history = describe(django).history();
            assertEquals(List.of("TrigramExtension()", "CreateExtension(name='hstore')", "UnaccentExtension()"),
                    history.carried().stream().map(one -> one.source().replaceFirst(".*\\.", "")).toList());
            assertEquals(List.of("RunPython noop"), history.customOperations().stream().filter(one -> !one.carried())
                    .map(one -> one.operation() + " " + one.detail()).toList());
        }
    }

    @Test
    void extensions_are_carried_however_their_class_is_imported_or_derived() {
        installed.add("django.contrib.postgres");
        app("shop", BOOK).migration("shop", "0001_initial", FIRST);
        migration("shop", "0002_star", """
                from django.contrib.postgres.operations import *
                from django.db import migrations

                class Fuzzy(CreateExtension):
                    def __init__(self):
                        self.name = "fuzzystrmatch"

                class Migration(migrations.Migration):
                    dependencies = [("shop", "0001_initial")]
                    operations = [HStoreExtension(), Fuzzy()]
                """);
        migration("shop", "0003_broken", """
                from django.contrib.postgres.operations import *
                from django.db import migrations
                import gone

                class Migration(migrations.Migration):
                    dependencies = [("shop", "0002_star")]
                    operations = [UnaccentExtension()]
                """);
        try (var django = django()) {
            assertEquals(List.of("HStoreExtension()", "CreateExtension(name='fuzzystrmatch')", "UnaccentExtension()"),
                    describe(django).history().carried().stream()
                            .map(one -> one.source().replaceFirst(".*\\.", "")).toList());
        }
    }

    @Test
    void an_extension_that_the_tables_need_and_no_migration_creates_is_named() {
        installed.add("django.contrib.postgres");
        app("shop", """
                from django.contrib.postgres.indexes import GinIndex
                from django.db import models

                class Ci(models.TextField):
                    def db_type(self, connection): return "citext"

                class Book(models.Model):
                    title = models.TextField()
                    key = models.UUIDField(db_default=models.Func(function="uuid_generate_v4"))
                    code = Ci()
                    class Meta:
                        indexes = [GinIndex(fields=["title"], name="by_title", opclasses=["gin_trgm_ops"])]
                """).migration("shop", "0001_initial", """
                from django.contrib.postgres.operations import TrigramExtension
                from django.db import migrations

                class Migration(migrations.Migration):
                    operations = [TrigramExtension(), migrations.RunPython(migrations.RunPython.noop)]
                """);
        var scratch = Postgres.database();
        execute(scratch, "CREATE EXTENSION citext", "CREATE EXTENSION \"uuid-ossp\"", "CREATE EXTENSION hstore");
        try (var django = django()) {
            generate(django);
            assertEquals(List.of("citext", "uuid-ossp"), django.migrateInto(scratch.name()));
            assertEquals(Optional.empty(), django.migrateOldInto(Postgres.database().name(), Duration.ZERO));
            assertEquals(Optional.of(List.of()), django.migrateOldInto(Postgres.database().name(), null));
        }
    }

    @Test
    void an_extension_moves_to_the_app_that_needs_it_when_its_own_comes_later() {
        installed.add("django.contrib.postgres");
        app("early", "from django.db import models\nclass Ci(models.TextField):\n"
                + "    def db_type(self, connection): return 'citext'\n"
                + "class Mail(models.Model):\n    address = Ci()\n");
        app("late", "from django.db import models\nclass L(models.Model):\n"
                + "    m = models.ForeignKey('early.Mail', models.CASCADE)\n")
                .migration("late", "0001_initial", "from django.contrib.postgres.operations import CITextExtension\n"
                        + empty("", "CITextExtension()"));
        var scratch = Postgres.database();
        try (var django = django()) {
            var text = generate(django).files().stream().collect(Collectors.toMap(NewMigrations.File::app,
                    NewMigrations.File::text));
            assertTrue(text.get("early").contains("CITextExtension"));
            assertFalse(text.get("late").contains("CITextExtension"));
            django.migrateInto(scratch.name());
        }
        assertTrue(tables(scratch).contains("public.early_mail"));
    }

    // ---- how it starts -----------------------------------------------------------------------

    private static final String USUAL_MANAGE_PY = """
            import os, sys
            from pathlib import Path
            def main():
                os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_.settings")
                from django.core.management import execute_from_command_line
                sys.path.append(str(Path(__file__).parent / "apps"))
                execute_from_command_line(sys.argv)
                Path("ran").touch()
            if __name__ == "__main__":
                main()
            """;

    @Test
    void everything_that_manage_py_does_before_it_hands_over_takes_effect() {
        installed.add("shop");
        file("apps/shop/__init__.py", "").file("apps/shop/models.py", BOOK);
        var python = Python.venv(file("requirements.txt", requirements).folder.resolve("requirements.txt"));
        django(python).close(); // writes the settings
        file("manage.py", USUAL_MANAGE_PY).file("site_/other.py", "from site_.settings import *\nDEBUG = True\n");
        for (var module : new String[] {null, "site_.other"}) {
            try (var django = start(python, folder, module)) {
                var found = describe(django);
                assertEquals(List.of("shop"), found.labels());
                assertEquals(module != null, found.settings().debug());
            }
        }
        assertFalse(Files.exists(folder.resolve("ran")));
    }

    @Test
    void the_projects_own_makemigrations_is_the_one_that_is_used() {
        app("shop", BOOK).file("shop/management/__init__.py", "").file("shop/management/commands/__init__.py", "");
        file("shop/management/commands/makemigrations.py", """
                from django.core.management.commands.makemigrations import Command as Base
                class Command(Base):
                    def write_migration_files(self, changes, *rest):
                        changes["shop"][0].name = "0001_by_the_project"
                        super().write_migration_files(changes, *rest)
                """);
        try (var django = django()) {
            assertEquals(List.of("shop/0001_by_the_project.py"), names(generate(django)));
        }
    }

    @Test
    void the_terminals_ctrl_c_does_not_reach_django() throws IOException {
        app("shop", BOOK);
        try (var django = django()) {
            describe(django);
            for (var child : ProcessHandle.current().children()
                    .filter(p -> p.info().command().orElse("").contains("python")).toList())
                Python.run(folder, "kill", "-INT", String.valueOf(child.pid()));
            assertEquals(List.of("shop"), describe(django).labels());
        }
    }

    @Test
    void a_project_reached_through_a_link_keeps_its_own_paths(@TempDir Path links) throws IOException {
        app("shop", BOOK);
        django().close();
        var link = Files.createSymbolicLink(links.resolve("link"), folder);
        var python = Python.venv(folder.resolve("requirements.txt"));
        try (var django = start(python, link, null)) {
            assertEquals(link.resolve("shop/migrations"), describe(django).selected().getFirst().migrationsFolder());
        }
    }

    // ---- what goes wrong ---------------------------------------------------------------------

    @Test
    void output_of_settings_and_apps_does_not_disturb_the_conversation() {
        settings = "import sys\nprint('{\"event\": \"answer\"}', flush=True)\nos.write(1, b'noise\\n')\n"
                + "print(sys.stdin.read() == '')\nos.system('echo from a child')\n";
        app("shop", BOOK);
        try (var django = django()) {
            assertEquals(List.of("shop"), describe(django).labels());
            assertTrue(django.lastErrorLines().containsAll(List.of("noise", "from a child", "True")),
                    django.lastErrorLines().toString());
        }
    }

    @Test
    void a_silent_django_is_stopped_with_its_children() throws InterruptedException {
        // no other test run on this machine has the same command line
        var seconds = "4711." + ProcessHandle.current().pid();
        settings = "import subprocess, time\nsubprocess.Popen(['sleep', '" + seconds + "'])\ntime.sleep(4711)\n";
        app("shop", BOOK);
        try (var django = SilenceLimit.of(2, django())) {
            var problem = problem(DjangoProblem.NoOutput.class, () -> describe(django));
            assertEquals("Django printed nothing for 2 s while reading the project's settings and models, so it was "
                    + "stopped", problem.what());
        }
        for (int i = 0; i < 100 && isRunning("sleep " + seconds); i++) Thread.sleep(20);
        assertFalse(isRunning("sleep " + seconds));
    }

    private static boolean isRunning(String command) {
        return ProcessHandle.allProcesses().anyMatch(process -> process.info().commandLine().orElse("")
                .endsWith(command));
    }

    @Test
    void closing_ends_even_a_busy_interpreter_at_once() {
        settings = "import time\ntime.sleep(4712)\n";
        app("shop", BOOK);
        var django = django();
        var began = System.nanoTime();
        django.close();
        assertTrue(System.nanoTime() - began < 2_500_000_000L); // after three seconds it would have been killed
        assertEquals(0, ProcessHandle.current().descendants().filter(ProcessHandle::isAlive)
                .filter(p -> p.info().command().orElse("").contains("python")).count());
    }

    @Test
    void the_last_lines_of_a_dying_interpreter_are_shown_without_the_password() {
        settings = "import sys\nprint('connecting with', os.environ['THE_PASSWORD'], file=sys.stderr, flush=True)\n"
                + "os.kill(os.getpid(), 9)\n";
        app("shop", BOOK);
        try (var django = django()) {
            var problem = problem(DjangoProblem.PythonEnded.class, () -> describe(django));
            assertTrue(problem.lastLines().contains("connecting with ***"), problem.what());
            django.rollback();
        }
    }

    @Test
    void a_syntax_error_in_models_is_reported_with_file_and_line() {
        app("shop", BOOK + "\nclass Oops(:\n    pass\n");
        try (var django = django()) {
            var problem = failed(ExitCode.FAILED, () -> describe(django));
            assertTrue(problem.what().startsWith("SyntaxError: "), problem.what());
            assertTrue(problem.what().endsWith("\n  in " + folder.resolve("shop/models.py") + ":6: class Oops(:"
                    + "\n  while reading the project's settings and models"), problem.what());
        }
    }

    @Test
    void an_exception_in_settings_is_reported_with_its_line_and_without_the_password() {
        settings = "def need():\n    raise ValueError('bad ' + os.environ['THE_PASSWORD'])\nneed()\n";
        app("shop", BOOK);
        try (var django = django()) {
            assertEquals("ValueError: bad ***\n  in " + folder.resolve("site_/settings.py")
                    + ":8: raise ValueError('bad ' + os.environ['THE_PASSWORD'])"
                    + "\n  while reading the project's settings and models",
                    failed(ExitCode.FAILED, () -> describe(django)).what());
        }
        file("site_/settings.py", "raise SystemExit('set FOO first')\n");
        try (var django = django()) {
            assertEquals("SystemExit: set FOO first\n  in " + folder.resolve("site_/settings.py")
                    + ":1: raise SystemExit('set FOO first')\n  while reading the project's settings and models",
                    failed(ExitCode.FAILED, () -> describe(django)).what());
        }
    }

    @Test
    void a_data_error_of_a_kept_migration_comes_with_postgresqls_own_words() {
        app("shop", BOOK).app("kept", "").migration("kept", "0001_bad",
                empty("", "migrations.RunPython(bad)").replace("class",
                "def bad(apps, editor):\n    editor.execute('ALTER TABLE nowhere ADD x int')\n\nclass"));
        try (var django = django()) {
            describe(django);
            django.generate(List.of("shop"), List.of());
            var failure = assertThrows(Failure.class, () -> django.migrateInto(Postgres.database().name()));
            assertEquals("42P01", Database.sqlState(failure));
            var what = failure.problem().what();
            assertTrue(what.contains("relation \"nowhere\" does not exist"), what);
            assertTrue(what.endsWith("\n  in " + folder.resolve("kept/migrations/0001_bad.py")
                    + ":4: editor.execute('ALTER TABLE nowhere ADD x int')"
                    + "\n  while migrating the new database"), what);
            var trace = failure.getCause().getMessage();
            assertTrue(trace.contains("File \"lib/django/migrate.py\", line ")
                    && trace.contains("\n    self._migrate()\n"), trace);
        }
    }

    @Test
    void no_django_names_the_interpreter_and_the_requirements(@TempDir Path bare) throws IOException {
        assertEquals(0, Python.run(bare, "python3", "-m", "venv", "--copies", "--without-pip",
                bare.resolve("v").toString()).code());
        file("requirements.txt", "django\n");
        try (var django = django(bare.resolve("v/bin/python"))) {
            var problem = problem(DjangoProblem.NoDjango.class, () -> django.describe(1, List.of()));
            assertEquals(bare.resolve("v/bin/python").toString(), problem.interpreter());
            assertEquals(folder.resolve("requirements.txt").toString(), problem.requirements());
            assertEquals(null, problem.venv(), "it is in a virtual environment");
            assertEquals(ExitCode.USAGE, problem.exit());
        }
    }

    @Test
    void a_manage_py_without_settings_is_a_usage_error() {
        var python = Python.venv(file("requirements.txt", requirements).folder.resolve("requirements.txt"));
        file("manage.py", "print('hello')\n");
        try (var django = start(python, folder, null)) {
            var problem = failed(ExitCode.USAGE, () -> django.describe(1, List.of()));
            assertEquals(folder.resolve("manage.py") + " names no settings module, and DJANGO_SETTINGS_MODULE is not "
                    + "set", problem.what());
            assertEquals(List.of("give --settings MODULE"), problem.next());
        }
    }

    // ---- versions ----------------------------------------------------------------------------

    @Tag("exhaustive")
    @Test
    void django_4_2_with_psycopg2_works_as_well() {
        requirements = "django==4.2.*\npsycopg2-binary\n";
        installed.add("django.contrib.postgres");
        app("shop", BOOK).migration("shop", "0001_initial", "from django.contrib.postgres.operations import "
                + "CITextExtension\n" + FIRST.replace("[migrations.C", "[CITextExtension(), migrations.C"))
                .migration("shop", "0001_other", empty("", ""));
        var scratch = Postgres.database();
        try (var django = django()) {
            var fresh = generate(django);
            assertEquals(List.of("shop/0001_initial.py"), names(fresh));
            django.migrateInto(scratch.name());
            django.migrateInTransaction(List.of("CREATE SCHEMA parked"));
            django.rollback();
            assertEquals(Set.of(), tables(db));
            django.migrateInTransaction(List.of("CREATE SCHEMA parked"));
            django.commit();
        }
        assertEquals(tables(scratch), tables(db));
    }
}
