package lib.django;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.OldState;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** The project's migrations and those of other apps name each other. */
class OtherAppsTest {
    private static final String SALE = """
            from django.db import models

            class Sale(models.Model):
                number = models.IntegerField()
            """;

    @TempDir Path temp;
    private Path root;
    private SampleProject project;
    private Postgres.Db db;
    private final Map<String, String> files = new HashMap<>();
    private String installed = "";

    @BeforeEach void folder() throws IOException {
        root = Files.createDirectory(temp.resolve("site")).toRealPath();
    }

    private OtherAppsTest file(String path, String text) {
        files.put(path, text);
        return this;
    }

    private static String migration(String attributes) {
        return "from django.db import migrations, models\n\nclass Migration(migrations.Migration):\n"
                + attributes.strip().indent(4);
    }

    /** A package outside the project, which is installed. */
    private OtherAppsTest packaged(String app, Map<String, String> texts) throws IOException {
        for (var text : texts.entrySet())
            SampleProject.write(temp.resolve("packages"), app + "/" + text.getKey(), text.getValue());
        SampleProject.write(temp.resolve("packages"), app + "/__init__.py", "");
        installed += ", \"" + app + "\"";
        return this;
    }

    private void create() throws IOException {
        files.put("config/extra.py", """
                import sys
                from config.settings import INSTALLED_APPS
                sys.path.append("%s")
                INSTALLED_APPS = INSTALLED_APPS + [%s]
                """.formatted(temp.resolve("packages"), installed.replaceFirst("^, ", "")));
        db = Postgres.database(Postgres.role("site", "CREATEDB"));
        project = SampleProject.tiny(root, files).env(db);
    }

    private Tool.Output reset(String... args) throws Exception {
        return Tool.in(root, "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run(args);
    }

    private void refused(String words, String next, String... options) throws Exception {
        var all = Snapshot.of(root);
        var rows = Snapshot.of(db);
        for (var how : List.of("--dry-run", "--yes")) {
            var args = new java.util.ArrayList<>(List.of(options));
            args.add(how);
            reset(args.toArray(String[]::new)).ended(4, words, next);
        }
        assertEquals(all, Snapshot.of(root));
        assertEquals(rows, Snapshot.of(db));
    }

    private String fresh(String file) throws IOException {
        return Files.readString(root.resolve(file)).replace('\'', '"');
    }

    private void migrated() throws IOException {
        for (var command : List.of(List.of("migrate", "--check"), List.of("makemigrations", "--check", "--dry-run"))) {
            var check = project.manage(Python.venv(), command.toArray(String[]::new));
            assertEquals(0, check.code(), check.text());
        }
    }

    // ---- migrations that stay name migrations that go ----------------------------------------

    private static final String STAYS = "migrations that stay name migrations that would no longer exist:\n  ";

    @Test void a_package_that_depends_on_a_migration_by_name_is_refused_by_name() throws Exception {
        packaged("plugin", Map.of("models.py", "", "migrations/0001_initial.py",
                migration("dependencies = [('shop', '0002_more')]")));
        packaged("plugin_extra", Map.of("models.py", "", "migrations/0001_initial.py",
                migration("dependencies = [('plugin', '0001_initial')]")));
        file("shop/models.py", SALE).file("shop/migrations/0001_initial.py", migration("dependencies = []"));
        file("shop/migrations/0002_more.py", migration("dependencies = [('shop', '0001_initial')]"));
        create();
        refused(STAYS + "plugin.0001_initial (dependencies) names shop.0002_more\n",
                "a package cannot depend on a project's migration by name");
    }

    @Tag("exhaustive") @Test
    void a_package_that_depends_on_a_migration_whose_name_is_made_again_is_reset() throws Exception {
        packaged("plugin", Map.of("models.py", "", "migrations/0001_initial.py",
                migration("dependencies = [('shop', '0001_initial')]")));
        packaged("plugin_extra", Map.of("models.py", "", "migrations/0001_initial.py",
                migration("dependencies = [('plugin', '0001_initial')]")));
        file("shop/models.py", SALE).file("shop/migrations/0001_initial.py", migration("dependencies = []"));
        create();
        reset("--yes").done();
        migrated();
    }

    @Tag("exhaustive") @Test
    void an_own_app_that_is_left_out_and_depends_on_a_migration_by_name_is_refused_by_name() throws Exception {
        file("shop/models.py", SALE).file("shop/migrations/0002_more.py", migration("dependencies = []"));
        file("till/models.py", "").file("till/migrations/0001_initial.py",
                migration("dependencies = [('shop', '0002_more')]"));
        file("bank/models.py", "").file("bank/migrations/0001_initial.py",
                migration("dependencies = [('till', '0001_initial')]"));
        create();
        refused(STAYS + "till.0001_initial (dependencies) names shop.0002_more\n",
                "reset those apps together: leave --apps out, or add them to it", "--apps", "shop");
        reset("--yes").done();
        migrated();
    }

    // ---- order -------------------------------------------------------------------------------

    private static final Map<String, String> PLUGIN = Map.of("models.py", """
            from django.db import models

            class Socket(models.Model):
                pass
            """, "migrations/0001_initial.py", migration("""
            dependencies = []
            operations = [migrations.CreateModel("Socket", [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))])]
            """));

    private List<String> order() {
        return List.of(OldState.text(db, "SELECT string_agg(app || '.' || name, ' ' ORDER BY id) "
                + "FROM django_migrations WHERE app IN ('plugin', 'shop')").split(" "));
    }

    @Test void run_before_is_kept_by_the_new_migration_that_creates_the_same_model() throws Exception {
        packaged("plugin", PLUGIN);
        file("shop/models.py", SALE).file("shop/migrations/0001_initial.py", migration("dependencies = []"));
        file("shop/migrations/0002_sale.py", migration("""
                dependencies = [("shop", "0001_initial")]
                run_before = [("plugin", "0001_initial")]
                operations = [migrations.CreateModel("Sale", [("id", models.BigAutoField(primary_key=True)),
                                                              ("number", models.IntegerField())])]
                """));
        create();
        reset("--yes").done();
        assertEquals(List.of("shop.0001_initial", "plugin.0001_initial"), order());
        assertTrue(fresh("shop/migrations/0001_initial.py").contains("run_before"));
        migrated();
        reset("--yes").done(); // from the new file
        assertEquals(List.of("shop.0001_initial", "plugin.0001_initial"), order());
    }

    @Tag("exhaustive") @Test
    void run_before_is_kept_by_a_second_migration_where_it_would_close_a_circle() throws Exception {
        packaged("plugin", PLUGIN);
        file("shop/models.py", SALE + "    at = models.ForeignKey('plugin.Socket', models.CASCADE, null=True)\n");
        file("shop/migrations/0001_initial.py", migration("""
                run_before = [("plugin", "0001_initial")]
                operations = [migrations.CreateModel("Sale", [("id", models.BigAutoField(primary_key=True)),
                                                              ("number", models.IntegerField())])]
                """));
        create();
        reset("--yes").done();
        assertEquals(List.of("shop.0001_initial", "plugin.0001_initial"), order().subList(0, 2));
        assertTrue(order().get(2).startsWith("shop.0002_"), order().toString());
        migrated();
    }

    @Tag("exhaustive") @Test void run_before_that_cannot_be_kept_is_a_warning() throws Exception {
        packaged("plugin", PLUGIN);
        file("shop/models.py", SALE.replace("models.Model", "Socket")
                .replace("import models", "import models\nfrom plugin.models import Socket"));
        file("shop/migrations/0001_broken.py", migration("run_before = [('plugin', '0001_initial')]").replace("from",
                "import gone\nfrom"));
        create();
        reset("--yes").ended(0, "run_before is not kept: shop.0001_broken before plugin.0001_initial; ");
        assertEquals(List.of("plugin.0001_initial", "shop.0001_initial"), order());
        migrated();
    }

    // ---- changes of other apps' models -------------------------------------------------------

    private static final String CODE_OF_GROUPS = """
            from django.contrib.auth.models import Group

            models.CharField(max_length=9, null=True).contribute_to_class(Group, "code")
            """;
    private static final String ADDS_CODE = "from django.db import migrations, models\n\n" + """
            class AddToAuth(migrations.AddField):
                def state_forwards(self, app_label, state):
                    super().state_forwards("auth", state)

                def database_forwards(self, app_label, *rest):
                    super().database_forwards("auth", *rest)

            class Migration(migrations.Migration):
                dependencies = [("auth", "0012_alter_user_first_name_max_length")]
                operations = [AddToAuth("group", "code", models.CharField(max_length=9, null=True))]
            """;

    private String columns(String table) {
        return OldState.text(db, """
                SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname)
                FROM pg_attribute WHERE attrelid = '%s'::regclass AND attnum > 0""".formatted(table));
    }

    private void keeps(String table, String words) throws Exception {
        var before = columns(table);
        for (var time : List.of("first", "second")) {
            reset("--yes").ended(0, "Kept in the new migrations: changes of other apps' models\n  " + words);
            assertEquals(before, columns(table), time);
            assertEquals(0, project.manage(Python.venv(), "migrate", "--check").code());
        }
    }

    private void migrate() throws Exception {
        create();
        var migrated = project.manage(Python.venv(), "migrate");
        assertEquals(0, migrated.code(), migrated.text());
    }

    @Test void a_column_that_an_old_migration_put_into_another_apps_table_stays() throws Exception {
        file("shop/models.py", SALE + CODE_OF_GROUPS).file("shop/migrations/0001_code.py", ADDS_CODE);
        migrate();
        keeps("auth_group", "shop.0002_in_auth  auth: Add field code to group\n");
        migrated();
    }

    @Tag("exhaustive") @Test void columns_in_the_tables_of_two_other_apps_stay() throws Exception {
        file("shop/models.py", SALE).file("shop/migrations/0001_code.py", ADDS_CODE);
        file("shop/migrations/0002_code.py", ADDS_CODE.replace("\"group\"", "\"contenttype\"")
                .replace("\"auth\"", "\"contenttypes\"")
                .replace("0012_alter_user_first_name_max_length", "0002_remove_content_type_name")
                .replace("dependencies = [", "dependencies = [('shop', '0001_code'), "));
        migrate();
        var types = columns("django_content_type");
        keeps("auth_group", "shop.0002_in_auth          auth: Add field code to group\n"
                + "  shop.0003_in_contenttypes  contenttypes: Add field code to contenttype\n");
        assertEquals(types, columns("django_content_type"));
    }

    @Test void a_column_of_another_app_that_an_old_migration_altered_stays_altered() throws Exception {
        file("shop/models.py", SALE).file("shop/migrations/0001_name.py", ADDS_CODE.replace("AddField", "AlterField")
                .replace("code", "name").replace("max_length=9", "max_length=300"));
        migrate();
        assertTrue(columns("auth_group").contains("name character varying(300)"), "the control");
        keeps("auth_group", "shop.0002_in_auth  auth: Alter field name on group\n");
    }

    @Tag("exhaustive") @Test void such_a_column_stays_though_no_model_has_it() throws Exception {
        file("shop/models.py", SALE).file("shop/migrations/0001_code.py", ADDS_CODE);
        migrate();
        keeps("auth_group", "shop.0002_in_auth  auth: Add field code to group\n");
    }

    @Test void the_table_of_an_own_model_in_another_app_stays() throws Exception {
        file("shop/models.py", SALE + """

                class Badge(models.Model):
                    sale = models.ForeignKey(Sale, models.CASCADE)

                    class Meta:
                        app_label = "auth"
                """).file("till/models.py", "").file("shop/migrations/0001_initial.py", migration("""
                dependencies = []
                operations = [
                    migrations.CreateModel("Sale", [("id", models.BigAutoField(primary_key=True)),
                                                    ("number", models.IntegerField())]),
                    migrations.RunSQL("CREATE TABLE auth_badge (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
                                      "sale_id bigint NOT NULL REFERENCES shop_sale DEFERRABLE INITIALLY DEFERRED)")]
                """));
        migrate();
        keeps("auth_badge", "shop.0002_in_auth  auth: Create model Badge\n");
        migrated();
    }

    // ---- commands of other apps that write migrations ----------------------------------------

    @Test void the_migrations_are_written_by_the_command_that_a_package_has_for_it() throws Exception {
        packaged("parts", Map.of("models.py", "", "management/commands/partsmakemigrations.py", """
                from django.core.management.commands import makemigrations
                from django.db.migrations.autodetector import MigrationAutodetector

                class Command(makemigrations.Command):
                    def handle(self, *labels, **options):
                        original = MigrationAutodetector.add_operation

                        def add_operation(self, app_label, operation, *rest, **more):
                            if type(operation).__name__ == "CreateModel":
                                operation.options["db_tablespace"] = "pg_default"
                            original(self, app_label, operation, *rest, **more)

                        MigrationAutodetector.add_operation = add_operation
                        try:
                            return super().handle(*labels, **options)
                        finally:
                            MigrationAutodetector.add_operation = original
                """));
        var others = Map.of("models.py", "", "management/commands/makeothermigrations.py", """
                from django.core.management.commands import makemigrations

                class Command(makemigrations.Command):
                    def add_arguments(self, parser):
                        parser.add_argument("args", nargs="*")

                    def handle(self, *labels, **options):
                        raise RuntimeError("no model uses this package")
                """);
        packaged("others", others).packaged("not_whole", Map.of("models.py", "",
                "management/commands/makebrokenmigrations.py", "import not_installed\n"));
        file("shop/models.py", SALE).file("shop/management/commands/ourmakemigrations.py",
                "raise RuntimeError('the project may have a command with such a name that does something else')\n");
        create();
        reset("--yes").done();
        assertTrue(fresh("shop/migrations/0001_initial.py").contains("\"db_tablespace\": \"pg_default\""));
        migrated();
    }
}
