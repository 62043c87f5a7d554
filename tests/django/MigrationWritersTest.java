package lib.django;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.OldState;
import support.Postgres;
import support.Python;
import support.Repo;
import support.SampleProject;
import support.Tool;

/** Packages with a command of their own that writes migrations. */
class MigrationWritersTest {
    private static final String PARTITIONED = """
            from django.db import models
            from psqlextra.models import PostgresPartitionedModel
            from psqlextra.types import PostgresPartitioningMethod

            class Event(PostgresPartitionedModel):
                at = models.DateTimeField()

                class PartitioningMeta:
                    method = PostgresPartitioningMethod.RANGE
                    key = ["at"]
            """;
    private static final String VIEW = """
            from django.db import models
            from django_db_views.db_view import DBView

            class Sale(models.Model):
                number = models.IntegerField()

            class LargeSale(DBView):
                number = models.IntegerField()
                view_definition = "SELECT id, number FROM shop_sale WHERE number > 1000"

                class Meta:
                    managed = False
                    db_table = "large_sale"
            """;

    @TempDir Path temp;
    private Path python;
    private Path root;
    private Postgres.Db db;

    private SampleProject project(String requirement, String settings, String models) throws IOException {
        root = Files.createDirectory(temp.resolve("site")).toRealPath();
        python = Python.venv(Files.writeString(temp.resolve("requirements.txt"),
                Files.readString(Repo.root().resolve("tests/projects/requirements.txt")) + requirement));
        db = Postgres.database(Postgres.role("site", "CREATEDB"));
        return SampleProject.tiny(root, Map.of("config/extra.py",
                "from config.settings import DATABASES, INSTALLED_APPS\n" + settings, "shop/models.py", models,
                "shop/migrations/__init__.py", "")).env(db);
    }

    private Tool.Output reset(String... args) throws Exception {
        return Tool.in(root, "reset_migrations").env("VIRTUAL_ENV", python.getParent().getParent().toString())
                .run(args);
    }

    private void succeeds(SampleProject project, String... args) throws IOException {
        var ended = project.manage(python, args);
        assertEquals(0, ended.code(), ended.text());
    }

    @Tag("exhaustive") @Test void a_partitioned_model_of_django_postgres_extra_stays_partitioned() throws Exception {
        var project = project("django-postgres-extra<3\n", """
                INSTALLED_APPS = ["psqlextra"] + INSTALLED_APPS
                DATABASES["default"]["ENGINE"] = "psqlextra.backend"
                """, PARTITIONED);
        succeeds(project, "pgmakemigrations", "shop", "--name", "old");
        succeeds(project, "migrate");
        var partitioned = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'p'";
        assertEquals("shop_event", OldState.text(db, partitioned));
        var done = reset("--yes").done();
        assertEquals("shop_event", OldState.text(db, partitioned), done.all());
        assertTrue(Files.exists(root.resolve("shop/migrations/0001_initial.py")));
        succeeds(project, "pgmakemigrations", "--check", "--dry-run");
        SampleProject.write(root, "shop/models.py", PARTITIONED.replace("class Part",
                "place = models.IntegerField(null=True)\n\n    class Part"));
        reset("--dry-run").done();
    }

    @Tag("exhaustive") @Test void a_view_of_django_db_views_is_made_again() throws Exception {
        var project = project("django-db-views\n", "INSTALLED_APPS = ['django_db_views'] + INSTALLED_APPS\n", VIEW);
        succeeds(project, "makemigrations", "shop", "--name", "old");
        succeeds(project, "makeviewmigrations", "shop");
        succeeds(project, "migrate");
        var views = "SELECT string_agg(viewname, ' ') FROM pg_views WHERE schemaname = 'public'";
        assertEquals("large_sale", OldState.text(db, views));
        var done = reset("--yes").done();
        assertEquals("large_sale", OldState.text(db, views), done.all());
        succeeds(project, "makeviewmigrations", "--check", "--dry-run");
    }
}
