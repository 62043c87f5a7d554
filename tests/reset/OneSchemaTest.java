package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.OldState;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Tool;

/** Projects whose tables are in several schemas are refused before anything is touched. */
class OneSchemaTest {
    private static final String MODELS = """
        from django.db import models
        class Order(models.Model):
            number = models.IntegerField()
            class Meta:
                db_table = %s
        """;

    @TempDir Path temp;
    private SampleProject shop;
    private Postgres.Db db;

    @BeforeEach void project() throws Exception {
        shop = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")).toRealPath(), Map.of(
            "shop/models.py", MODELS.formatted("'shop_order'"), "config/extra.py", ""));
        db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        shop.env(db);
    }

    private Tool.Output dryRun() throws Exception {
        return Tool.in(shop.root(), "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run("--dry-run");
    }

    private void sql(String... statements) throws Exception {
        OldState.run(db, statements);
    }

    private static String history(String schema, String app) {
        return """
            CREATE SCHEMA %1$s; CREATE TABLE %1$s.django_migrations (id int, app text, name text);
            INSERT INTO %1$s.django_migrations VALUES (1, '%2$s', '0001_initial')""".formatted(schema, app);
    }

    @Test void tables_that_models_name_in_another_schema_are_refused() throws Exception {
        SampleProject.write(shop.root(), "shop/models.py", MODELS.formatted("'sales\".\"order'"));
        dryRun().ended(4, "here public, and these are in others:\n  sales.order of shop.Order");
        SampleProject.write(shop.root(), "shop/models.py", MODELS.formatted("'\"sales\".\"order\"'"));
        sql("CREATE SCHEMA sales; CREATE TABLE sales.\"order\" (id int)");
        dryRun().ended(4, "here public, and these are in others:\n  sales.order of shop.Order");
        SampleProject.write(shop.root(), "shop/models.py", MODELS.formatted("'order'"));
        dryRun().done(); // the control: a table of this name elsewhere is another program's
    }

    @Test void tables_that_django_finds_in_a_later_schema_of_its_search_path_are_refused() throws Exception {
        sql("CREATE TABLE shop_order (id int); CREATE TABLE django_migrations (id int, app text, name text)",
            "CREATE SCHEMA later");
        dryRun().done();
        SampleProject.write(shop.root(), "config/extra.py", """
            from config.settings import DATABASES
            DATABASES["default"]["OPTIONS"] = {"options": "-c search_path=later,public"}
            """);
        dryRun().ended(4, "here later, and these are in others:", "public.shop_order of shop.Order",
            "public.django_migrations");
    }

    @Test void schemas_with_the_same_apps_migrations_are_tenants() throws Exception {
        sql(history("other_project", "blog"));
        dryRun().done();
        sql(history("tenant_a", "shop"));
        dryRun().ended(4, "other schemas have applied migrations of the same apps: tenant_a; a reset would");
        sql("COMMENT ON SCHEMA tenant_a IS '" + RunComment.before("20261128-120000-abcd", db.name()) + "'");
        assertEquals(0, dryRun().code()); // set aside by a run
    }

    @Test void packages_that_keep_a_schema_for_each_tenant_are_known_by_app_and_engine() throws Exception {
        SampleProject.write(shop.root(), "django_tenants/backend/base.py",
            "from django.db.backends.postgresql.base import *\n");
        SampleProject.write(shop.root(), "config/extra.py", """
            from config.settings import DATABASES
            DATABASES["default"]["ENGINE"] = "django_tenants.backend"
            """);
        dryRun().ended(4, "django_tenants keeps a schema for each tenant");
        SampleProject.write(shop.root(), "config/extra.py", """
            from config.settings import INSTALLED_APPS
            INSTALLED_APPS = INSTALLED_APPS + ["django_tenants"]
            """);
        dryRun().ended(4, "django_tenants keeps a schema for each tenant");
    }
}
