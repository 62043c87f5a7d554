package support;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A small project with conflicting migrations, its database with rows, and how both were before. Python waits where the
 * environment says: {@code PAUSE} is generate, migrate or check; the file {@code PAUSED} exists while it waits.
 */
public final class Victim {
    private static final String MIGRATION = """
        from django.db import migrations
        class Migration(migrations.Migration):
            dependencies = [%s]
            operations = []
        """;

    private final Path folder;
    public final SampleProject project;
    public final Postgres.Db db;
    public final Path home;
    private final List<String> rows;
    private final List<String> files;

    /** @param folder is created; it contains the project, {@code home} and the file that Python waits for */
    public Victim(Path folder) throws Exception {
        this(folder, Postgres.database(Postgres.role("victim", "CREATEDB")));
    }

    public Victim(Path folder, Postgres.Db db) throws Exception {
        this.folder = Files.createDirectory(folder).toRealPath();
        this.db = db;
        home = this.folder.resolve("home");
        project = SampleProject.tiny(
                Files.createDirectory(this.folder.resolve("project")),
                Map.of(
                        "shop/models.py",
                        """
                        import os, time
                        from django.db import models

                        def pause(where):
                            paused = os.environ.get("PAUSED")
                            if os.environ.get("PAUSE") != where or os.path.exists(paused + ".over"):
                                return
                            if where == "check" and not os.path.exists(paused + ".once"):
                                open(paused + ".once", "w").close()  # the first Django is not the check
                                return
                            open(paused, "w").close()
                            while os.path.exists(paused):
                                time.sleep(0.05)
                            open(paused + ".over", "w").close()

                        class Number(models.IntegerField):
                            def deconstruct(self):
                                pause("generate")
                                return super().deconstruct()

                        class Order(models.Model):
                            number = Number()

                        pause("check")
                        """,
                        "shop/apps.py",
                        """
                        from django.apps import AppConfig
                        from django.db.models.signals import post_migrate

                        class ShopConfig(AppConfig):
                            name = "shop"

                            def ready(self):
                                from shop.models import pause
                                post_migrate.connect(lambda **kwargs: pause("migrate"), weak=False)
                        """,
                        "shop/migrations/0001_initial.py", MIGRATION.formatted("") + "# long\n".repeat(900),
                        "shop/migrations/0002_left.py", MIGRATION.formatted("(\"shop\", \"0001_initial\")"),
                        "shop/migrations/0002_right.py",
                        MIGRATION.formatted("(\"shop\", \"0001_initial\")") + "# longer\n".repeat(1500)));
        project.env(db);
        sql("""
            CREATE TABLE shop_order (id bigserial PRIMARY KEY, number int NOT NULL);
            INSERT INTO shop_order (number) SELECT i FROM generate_series(1, 500) i;
            CREATE TABLE shop_note (id int PRIMARY KEY, words text, of bigint REFERENCES shop_order);
            INSERT INTO shop_note SELECT i, repeat(md5(i::text), 30), i FROM generate_series(1, 200) i;
            CREATE TABLE django_migrations (id bigserial PRIMARY KEY, app text, name text, applied timestamptz \
            DEFAULT now());
            INSERT INTO django_migrations (app, name) VALUES ('shop', '0001_initial'), ('shop', '0002_left');
            """);
        rows = Snapshot.of(db);
        files = Snapshot.of(root());
    }

    public Path root() {
        return project.root();
    }

    public Path folder() {
        return folder;
    }

    /** The file that exists while Python waits. */
    public Path paused() {
        return folder.resolve("paused");
    }

    public void sql(String statements) throws SQLException {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(statements);
        }
    }

    public Tool tool(String main) {
        return Tool.in(root(), main).env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
            .env("HOME", home.toString()).env("XDG_STATE_HOME", home.resolve("state").toString());
    }

    public Tool reset() {
        return tool("reset_migrations");
    }

    /** The reset, with Python waiting there. */
    public Tool pausing(String where) {
        return reset().env("PAUSE", where).env("PAUSED", paused().toString());
    }

    /** Waits until Python waits. */
    public void untilPaused(Process process) throws InterruptedException {
        for (int i = 0; !Files.exists(paused()); i++) {
            if (!process.isAlive() || i > 1200) throw new IllegalStateException("it never paused:\n" + said(process));
            Thread.sleep(50);
        }
    }

    /** All of its stderr. */
    public static String said(Process process) {
        return String.join("\n", process.errorReader().lines().toList());
    }

    /** Rows, files, databases and schemas are as before, nothing of the run is left, and no Python is running. */
    public void isAsItWas() throws Exception {
        assertEquals(rows, Snapshot.of(db));
        filesAreAsTheyWere();
        assertEquals(List.of(), leftovers());
        assertEquals(List.of(), pythons());
    }

    public void rowsAreAsTheyWere() throws SQLException {
        assertEquals(rows, Snapshot.of(db));
    }

    public void filesAreAsTheyWere() throws IOException {
        assertEquals(files, Snapshot.of(root()));
    }

    /** Databases and schemas of runs, .reset, the second copy's files, partial files, and unfinished backups. */
    public List<String> leftovers() throws Exception {
        var left = new ArrayList<String>();
        try (var connection = db.connect();
                var found = connection.createStatement().executeQuery("""
                    SELECT 'database ' || datname FROM pg_database WHERE starts_with(datname, current_database() || '_')
                    UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'""")) {
            while (found.next()) left.add(found.getString(1));
        }
        for (var in : List.of(root(), home)) {
            if (!Files.isDirectory(in)) continue;
            try (Stream<Path> all = Files.walk(in)) {
                all.filter(f -> f.toString().contains(".reset/")
                                || f.toString().contains("reset_migrations/")
                                || f.toString().endsWith(".partial"))
                        .map(Path::toString)
                        .forEach(left::add);
            }
        }
        return left;
    }

    /** Interpreters in the project's folder; one that is being ended may take a moment. */
    public List<String> pythons() throws Exception {
        var found = new ArrayList<String>();
        for (int i = 0; i < 40; i++) {
            found.clear();
            try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
                for (var process : processes.filter(p -> p.getFileName().toString().matches("\\d+")).toList()) {
                    try {
                        if (process.resolve("cwd").toRealPath().startsWith(root())
                                && process.resolve("exe")
                                        .toRealPath()
                                        .toString()
                                        .contains("python")) found.add(process.toString());
                    } catch (IOException ended) {
                        // or belongs to another user
                    }
                }
            } catch (IOException notLinux) {
                return List.of();
            }
            if (found.isEmpty()) break;
            Thread.sleep(100);
        }
        return found;
    }
}
