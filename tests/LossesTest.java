import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import lib.files.Disk;
import lib.postgres.Database;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaDifference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Tool;
import support.Victim;

/** A reset says what the new database lacks, refuses to lose row security, and undo brings everything back. */
class LossesTest {
    @TempDir Path temp;
    private Victim victim;

    /** On a table of Django's, and made by no migration. */
    private static final List<String> PLANTED = List.of(
            "table shop_note",
            "column colour: text",
            "trigger numbered: CREATE TRIGGER numbered",
            "rule no_delete: CREATE RULE no_delete",
            "function numbered(): CREATE OR REPLACE FUNCTION",
            "check shop_order_number_check: CHECK ((number > 0))",
            "index by_number: USING btree (number)",
            "column number: integer NOT NULL DEFAULT 7; in a new database: integer NOT NULL",
            "statistics related: ON id, number FROM shop_order",
            "comment of table shop_order: all orders",
            "storage parameter shop_order: fillfactor=70",
            "replica identity shop_order: FULL",
            "statistics target number: 500",
            "enum colour: 'red'",
            "grant of column number: UPDATE to pg_monitor");

    @BeforeEach void create() throws Exception {
        victim = new Victim(temp.resolve("v"));
    }

    private void plant() throws Exception {
        victim.sql("""
            ALTER TABLE shop_order ADD colour text, ALTER number SET DEFAULT 7, ADD CHECK (number > 0),
                ALTER number SET STATISTICS 500, SET (fillfactor = 70), REPLICA IDENTITY FULL;
            CREATE FUNCTION numbered() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
            CREATE TRIGGER numbered BEFORE INSERT ON shop_order FOR EACH ROW EXECUTE FUNCTION numbered();
            CREATE RULE no_delete AS ON DELETE TO shop_order DO INSTEAD NOTHING;
            CREATE INDEX by_number ON shop_order (number);
            CREATE STATISTICS related ON id, number FROM shop_order;
            CREATE TYPE colour AS ENUM ('red');
            COMMENT ON TABLE shop_order IS 'all orders';
            GRANT UPDATE (number) ON shop_order TO pg_monitor;
            """);
    }

    private void plantPolicy() throws Exception {
        victim.sql("ALTER TABLE shop_order ENABLE ROW LEVEL SECURITY");
        victim.sql("CREATE POLICY own ON shop_order USING (number < 9)");
    }

    private SchemaCatalog catalog() {
        try (var db = Database.open(victim.db.credentials())) {
            return SchemaCatalog.of(db, "public");
        }
    }

    static List<String> two() {
        return Sample.of("losses", List.of("swap", "park"), 1);
    }

    static List<String> rights() {
        return Sample.of("rights", List.of("CREATEDB", "NOCREATEDB"), 1);
    }

    static List<String> three() {
        return Sample.of("policies", List.of("swap", "park", "drop"), 1);
    }

    private String log() throws IOException {
        try (var runs = Files.list(victim.root().resolve(".reset"))) {
            return Files.readString(runs.filter(Files::isDirectory).findFirst().orElseThrow().resolve("log"));
        }
    }

    @ParameterizedTest @MethodSource("two")
    void each_planted_object_is_listed_and_undo_brings_it_back(String strategy) throws Exception {
        plant();
        var before = catalog();
        var reset = victim.reset().warmHere().run("--yes", "--strategy", strategy).done();
        assertTrue(reset.out().contains("Not in the new database: 1 table, 1 column, "), reset.out());
        assertTrue(reset.out().contains("\n  … and "), reset.out());
        assertTrue(reset.out().contains("\n  not in the new database: 1 table, 1 column, "), reset.out());
        var log = log();
        for (var line : PLANTED)
            // what was granted on a column that is still there is granted again
            if (!line.startsWith("grant")) assertTrue(log.matches("(?s).*Z {3,5}" + Pattern.quote(line) + ".*"), line + " is not in\n" + log);
        assertFalse(log.contains("  grant of "), log);
        assertTrue(log.contains("Z   shop.Order (shop_order)\n"), log);

        var again = victim.reset().warmHere().run("--yes", "--strategy", strategy).done();
        assertFalse(again.out().contains("ot in the new database"), again.out()); // the control
        for (int i = 0; i < 2; i++) victim.reset().warmHere().run("undo", "--yes").done();
        assertEquals(List.of(), SchemaDifference.between(before, catalog(), (catalog, item) -> item.definition()));
    }

    @Test void a_dry_run_lists_the_losses_and_leaves_nothing_behind() throws Exception {
        plant();
        plantPolicy();
        var before = catalog();
        var losses = victim.reset().warmHere().run("--dry-run", "--losses").done();
        assertTrue(losses.out().contains("\n  shop.Order (shop_order)\n    policy own: PERMISSIVE FOR ALL TO PUBLIC"), losses.out());
        assertTrue(losses.out().contains("\n  table shop_note\n"), losses.out());
        for (var line : PLANTED)
            if (!line.startsWith("grant"))
                assertTrue(losses.out().contains(" " + line), line + " is not in\n" + losses.out());
        assertFalse(losses.out().contains("… and "), losses.out());
        var events = victim.reset().warmHere().run("--dry-run", "--losses", "--json").done().out();
        assertTrue(events.contains("""
            "kind":"policy","relation":"shop_order","model":"shop.Order","name":"own","verdict":"only_live\""""), events);
        assertEquals(List.of(), victim.leftovers());
        victim.filesAreAsTheyWere();
        assertEquals(List.of(), SchemaDifference.between(before, catalog(), (catalog, item) -> item.definition()));
    }

    @ParameterizedTest @MethodSource("three")
    void row_security_is_not_lost_without_a_word(String strategy) throws Exception {
        plantPolicy();
        var before = catalog();
        victim.reset().warmHere().run("--yes", "--strategy", strategy)
                .ended(4, "row security is not in the new database", "policy own on shop_order", "--allow-policy-loss");
        assertEquals(List.of(), victim.leftovers());
        victim.filesAreAsTheyWere();
        assertEquals(List.of(), SchemaDifference.between(before, catalog(), (catalog, item) -> item.definition()));
        var reset = victim.reset().warmHere().run("--yes", "--strategy", strategy, "--allow-policy-loss").done();
        assertTrue(reset.out().contains("\n    policy own: "), reset.out());
    }

    @Test void losses_need_a_dry_run_and_a_role_that_may_create_databases() throws Exception {
        victim.reset().warmHere().run("--losses").ended(2, "--losses is for --dry-run");
        var poor = new Victim(temp.resolve("poor"), Postgres.database(Postgres.role("poor", "")));
        poor.reset().warmHere().run("--dry-run", "--losses").ended(4, "may not create databases", "CREATEDB");
        poor.isAsItWas();
    }

    @Tag("exhaustive") @Test void a_locked_table_is_not_waited_for_and_its_row_security_counts() throws Exception {
        plant();
        plantPolicy();
        try (var other = victim.db.connect(); var statement = other.createStatement()) {
            other.setAutoCommit(false);
            statement.execute("LOCK TABLE shop_order IN ACCESS EXCLUSIVE MODE");
            var losses = victim.reset().warmHere().run("--dry-run", "--losses").done();
            assertTrue(losses.err().contains("locked by another session, and therefore not compared: shop_order"),
                    losses.all());
            assertTrue(losses.out().contains("\n    row security shop_order: enabled"), losses.out());
            assertFalse(losses.out().contains("column colour"), losses.out());
        }
        assertEquals(List.of(), victim.leftovers());
    }

    @Tag("exhaustive") @Test void what_a_killed_dry_run_with_losses_leaves_is_named_by_status() throws Exception {
        var losses = victim.pausing("migrate").start("--dry-run", "--losses");
        victim.untilPaused(losses);
        losses.destroyForcibly().waitFor();
        Files.delete(victim.paused());
        victim.pythons();
        var database = databases(victim.db).getFirst();
        var status = victim.reset().run("status").done();
        assertTrue(status.out().contains("database " + database + "\n"), status.out());
        var drop = status.out().lines().filter(line -> line.contains("DROP DATABASE")).findFirst().orElseThrow();
        victim.sql(drop.replaceFirst(".*(DROP DATABASE)", "$1"));
        assertFalse(victim.reset().run("status").done().out().contains(database));
        victim.isAsItWas();
    }

    @Test void another_owner_and_tablespace_are_listed_and_undo_brings_them_back() throws Exception {
        var other = Postgres.role("other", "");
        try (var admin = Database.open(victim.db.as(Postgres.SUPERUSER).credentials())) {
            admin.run("SET allow_in_place_tablespaces TO on");
            admin.run("CREATE TABLESPACE of_losses LOCATION ''");
            admin.run("ALTER TABLE shop_order SET TABLESPACE of_losses");
            admin.run("CREATE INDEX by_number ON shop_order (number); "
                    + "ALTER TABLE shop_order OWNER TO %s".formatted(Postgres.quoted(other.name())));
            admin.run("GRANT ALL ON shop_order TO " + Postgres.quoted(victim.db.role().name()));
        }
        var before = catalog();
        var reset = victim.reset().warmHere().run("--yes").done();
        var log = log();
        for (var line : List.of("owner of table shop_order: " + other.name(), "tablespace shop_order: of_losses"))
            assertTrue(log.contains(line), line + " is not in\n" + log);
        // the new owner needs none of the grants that it had
        assertTrue(reset.out().contains("1 index, 1 tablespace; different: 3 columns, 1 owner"), reset.out());
        victim.reset().warmHere().run("undo", "--yes").done();
        assertEquals(List.of(), SchemaDifference.between(before, catalog(), (catalog, item) -> item.definition()));
    }

    private static final String SEED = """
        from django.db import migrations

        def seed(apps, editor):
            Status = apps.get_model("shop", "Status")
            for name in ("new", "paid", "sent"):
                Status.objects.create(name=name)

        class Migration(migrations.Migration):
            dependencies = [("shop", "0001_initial")]
            operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
        """;

    /** Of an app with rows that its second migration makes. @param third a migration after it */
    private Tool shop(Postgres.Db db, String third) throws Exception {
        var project = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")), Map.of(
                "shop/models.py", """
                    from django.db import models

                    class Status(models.Model):
                        name = models.CharField(max_length=9)
                    """,
                "shop/migrations/0001_initial.py", """
                    from django.db import migrations, models

                    class Migration(migrations.Migration):
                        operations = [migrations.CreateModel("Status", [
                            ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=9))])]
                    """,
                "shop/migrations/0002_seed.py", SEED, "shop/migrations/0003_more.py", third)).env(db);
        return Tool.in(project.root(), "reset_migrations").env("HOME", temp.resolve("home").toString())
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    /** The record of a killed run with park or drop names no database, so its scratch databases are found by name. */
    @Tag("exhaustive") @Test void what_a_killed_park_has_left_of_its_build_is_named_and_purged() throws Exception {
        var db = Postgres.database(Postgres.role("killed", "CREATEDB"));
        var shop = shop(db, SEED.replace("0001_initial", "0002_seed"));
        var root = temp.resolve("shop");
        var killed = Tool.in(root, "support.SignalAt").env("HOME", temp.resolve("home").toString())
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                .run("KILL", "self", "created .*_old_.*", "reset_migrations", "--yes", "--strategy", "park");
        killed.ended(137, "SignalAt: created");
        var left = databases(db);
        assertEquals(List.of("new", "old"), left.stream().map(name -> name.split("_")[2]).toList());
        shop.warmHere().run("status").ended(0, "left of the build: database", left.getFirst(), left.getLast());
        shop.warmHere().run("undo", "--yes").done();
        assertEquals(left, databases(db)); // undo drops nothing
        shop.warmHere().run("status").ended(0, left.getFirst(), left.getLast());
        shop.warmHere().run("purge", "--yes", "--no-backup").ended(0, "  dropped    database "
                + String.join(", ", left) + "\n");
        assertEquals(List.of(), databases(db));
    }

    private static List<String> databases(Postgres.Db db) throws Exception {
        try (var live = Database.open(db.credentials())) {
            return live.texts("SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || '_')"
                    + " ORDER BY 1");
        }
    }

    @Test void rows_that_old_migrations_made_are_counted() throws Exception {
        var db = Postgres.database(Postgres.role("seeds", "CREATEDB"));
        var shop = shop(db, """
            from django.db import migrations

            def nothing(apps, editor):
                from celery.app.base import Celery
                from django.core.mail import send_mail
                Celery().send_task("told")
                send_mail("told", "you", "a@shop.example", ["b@shop.example"])

            class Migration(migrations.Migration):
                dependencies = [("shop", "0002_seed")]
                operations = [
                    migrations.RunPython(nothing),
                    migrations.RunSQL("CREATE VIEW shop_names AS SELECT 'a' AS name"),
                    migrations.RunSQL("CREATE VIEW shop_others AS SELECT 'a' AS name")]
            """);
        // only by this project, and not while its old migrations run to be counted
        SampleProject.write(temp.resolve("shop"), "celery/app/base.py", """
            class Celery:
                def send_task(self, *args):
                    open("sent", "a").close()
            """);
        SampleProject.write(temp.resolve("shop"), "config/extra.py", """
            import celery.app.base
            EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
            EMAIL_FILE_PATH = "mails"
            """);
        var project = new SampleProject(temp.resolve("shop"), temp.resolve("shop"));
        assertEquals(0, project.env(Postgres.database(db.role())).manage(Python.venv(), "migrate").code());
        assertTrue(Files.deleteIfExists(temp.resolve("shop/sent")) && sent(), "the control: they do send");
        Disk.removeTree(temp.resolve("shop/mails"));
        project.env(db);
        try (var live = Database.open(db.credentials())) {
            live.run("CREATE VIEW shop_names AS SELECT 'a' AS name; CREATE VIEW by_hand AS SELECT 'a' AS name");
        }
        var losses = shop.warmHere().run("--dry-run", "--losses").done();
        assertTrue(losses.out().contains("""
            Not in the new database: 2 views; 3 rows that old migrations made
              3 rows in shop_status, made by shop.0002_seed
              view by_hand: SELECT 'a'::text AS name;
              view shop_names: SELECT 'a'::text AS name;
              the old migrations that name them last:
                shop.0003_more:13  view shop_names
            """), losses.out());
        assertEquals(List.of(), databases(db));
        assertFalse(sent(), "a mail or a task was sent");
        var reset = shop.warmHere().run("--yes").done();
        assertFalse(sent(), "a mail or a task was sent");
        assertTrue(reset.out().contains("\n  not in the new database: 2 views; 3 rows that old migrations made; "),
                reset.out());
        assertTrue(reset.out().contains("log\n    3 rows in shop_status, made by shop.0002_seed\n"), reset.out());
        var again = shop.warmHere().run("--yes").done();
        assertFalse(again.out().contains("ot in the new database"), again.out()); // the control
    }

    /** With such an error manage.py runs neither migrate nor check. */
    @Test void a_system_check_of_the_project_that_fails_with_the_new_history_puts_everything_back() throws Exception {
        var db = Postgres.database(Postgres.role("seeds", "CREATEDB"));
        var shop = shop(db, SEED.replace("0001_initial", "0002_seed"));
        Files.writeString(temp.resolve("shop/shop/checks.py"), """
            from django.core.checks import Error, register
            from django.db import connection

            @register()
            def upgraded(app_configs, **kwargs):
                with connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM django_migrations WHERE name = '0003_more'")
                    return [] if cursor.fetchone()[0] else [Error("upgrade to 2.20 first", id="shop.E2")]

            @register()
            def always(app_configs, **kwargs):
                return [Error("no search engine here", id="shop.E1")]
            """);
        Files.writeString(temp.resolve("shop/shop/apps.py"), """
            from django.apps import AppConfig

            class Shop(AppConfig):
                name = "shop"

                def ready(self):
                    from shop import checks
            """);
        try (var live = Database.open(db.credentials())) {
            live.run("CREATE TABLE django_migrations (id bigserial, app text, name text, applied timestamptz)");
        }
        shop.warmHere().run("--yes").done(); // the control: both fail already
        try (var live = Database.open(db.credentials())) {
            live.run("INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0003_more', now())");
        }
        Files.writeString(temp.resolve("shop/shop/migrations/0002_seed.py"), SEED);
        Files.writeString(temp.resolve("shop/shop/checks.py"), """

            @register()
            def seeded(app_configs, **kwargs):
                from django.db.migrations.loader import MigrationLoader
                is_there = ("shop", "0002_seed") in MigrationLoader(None).disk_migrations
                return [] if is_there else [Error("no seed", id="shop.E3")]
            """, StandardOpenOption.APPEND);
        shop.warmHere().run("--yes").ended(1, "the final check failed", "manage.py check fails: ",
                "(shop.E2) upgrade to 2.20 first", "(shop.E3) no seed", "change that check");
        assertEquals(List.of(), databases(db).stream().filter(name -> name.contains("_new_")).toList());
    }

    private boolean sent() {
        return Files.exists(temp.resolve("shop/sent")) || Files.exists(temp.resolve("shop/mails"));
    }

    @Test void old_migrations_that_do_not_run_are_no_obstacle() throws Exception {
        var db = Postgres.database(Postgres.role("seeds", "CREATEDB"));
        var losses = shop(db, SEED.replace("\"shop\", \"0001_initial\"", "\"shop\", \"0001_gone\"")).warmHere()
                .run("--dry-run", "--losses").done();
        assertTrue(losses.out().contains("""
            running the old migrations in a database of their own, to count the rows that they make
            the old migrations do not run (NodeNotFoundError: Migration shop.0003_more dependencies reference \
            nonexistent parent node ('shop', '0001_gone')), so the rows that they made cannot be counted
            these operations may have inserted some:
              shop.0002_seed:10  RunPython seed
            """), losses.out());
        assertEquals(List.of(), databases(db));
    }

    private static final String FIELD = """
        from django.db import models

        class Code(models.CharField):
            def deconstruct(self):
                name, path, args, kwargs = super().deconstruct()
                kwargs["max_length"] = 5
                return name, path, args, kwargs

        class Book(models.Model):
            code = Code(max_length=50)
            author = models.ForeignKey("auth.User", models.CASCADE, db_column="of whom")
            readers = models.ManyToManyField("auth.User", related_name="read")
            class Meta:
                indexes = [models.Index(models.F("code").desc(), name="by_code")]
                constraints = [models.CheckConstraint(condition=models.Q(code__in=["a", "b"]), name="known")]
                order_with_respect_to = "author"
        """;

    /** An app whose first migration makes a column for {@code Code}. @param length what that column has */
    private Tool books(Postgres.Db db, int length) throws Exception {
        var project = SampleProject.tiny(Files.createDirectory(temp.resolve("books" + length)), Map.of(
                "shop/models.py", FIELD,
                "shop/migrations/0001_initial.py", """
                    from django.db import migrations, models

                    class Migration(migrations.Migration):
                        operations = [migrations.CreateModel("Book", [
                            ("id", models.BigAutoField(primary_key=True)), ("code", models.CharField(max_length=9))])]
                    """)).env(db);
        try (var live = Database.open(db.credentials())) {
            live.run("CREATE TABLE shop_book (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "
                    + "code varchar(%d) NOT NULL)".formatted(length));
        }
        return Tool.in(project.root(), "reset_migrations").env("HOME", temp.resolve("home").toString())
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    /** Without the right to create a database, the models are built in the transaction that parks the tables. */
    @ParameterizedTest @MethodSource("rights")
    void migrations_that_make_another_schema_than_the_models_describe_are_refused(String right) throws Exception {
        var db = Postgres.database(Postgres.role("models", right));
        books(db, 50).warmHere().run("--yes").ended(1,
                "the new migrations make another schema than the models describe",
                "\n  column code on shop_book: character varying(5) NOT NULL; as the models describe it: "
                + "character varying(50) NOT NULL\n", "deconstruct()");
        assertEquals(List.of(), databases(db));
    }

    @Tag("exhaustive") @Test void an_index_that_code_adds_to_a_finished_model_is_a_warning() throws Exception {
        var db = Postgres.database(Postgres.role("models", "CREATEDB"));
        var project = SampleProject.tiny(Files.createDirectory(temp.resolve("late")), Map.of("shop/models.py", """
            from django.db import models

            class Book(models.Model):
                code = models.IntegerField()

            Book._meta.indexes.append(models.Index(fields=["code"], name="late"))
            """)).env(db);
        Tool.in(project.root(), "reset_migrations").warmHere().env("HOME", temp.resolve("home").toString())
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run("--yes", "--no-superuser")
                .ended(0, "warning: a model has an index that makemigrations does not see, so the new database lacks "
                        + "it: index late on shop_book: USING btree (code)");
    }

    @ParameterizedTest @MethodSource("rights")
    void what_the_old_database_already_had_otherwise_than_the_models_is_no_obstacle(String right) throws Exception {
        var db = Postgres.database(Postgres.role("models", right));
        var reset = books(db, 5).warmHere().run("--yes").done();
        assertTrue(reset.out().contains("1 definition is different from what the models describe, as in the old "
                + "database; see the run's log"), reset.all());
        try (var live = Database.open(db.credentials())) {
            assertEquals(List.of(),
                    live.texts("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'models')"));
        }
    }
}
