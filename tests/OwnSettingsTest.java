import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** Projects whose database only Django's own settings name, or that read .env with another reader. */
class OwnSettingsTest {
    private static final String PASSWORD = "pa ss #1 ü'\"\\ %zz";

    @TempDir Path temp;
    private SampleProject project;
    private Postgres.Db db;

    @BeforeEach void a_project_with_local_settings() throws Exception {
        var role = Postgres.role("own", "CREATEDB");
        Postgres.execute("ALTER ROLE %s PASSWORD '%s'".formatted(role.name(), PASSWORD.replace("'", "''")));
        db = Postgres.database(new Postgres.Role(role.name(), PASSWORD));
        project = SampleProject.tiny(Files.createDirectory(temp.resolve("site")).toRealPath(), Map.of(
            "shop/models.py", """
                from django.db import models
                class Order(models.Model):
                    number = models.IntegerField()
                """,
            "shop/migrations/0001_initial.py", """
                from django.db import migrations, models
                class Migration(migrations.Migration):
                    initial = True
                    operations = [migrations.CreateModel("Order", [
                        ("id", models.BigAutoField(primary_key=True)), ("number", models.IntegerField())])]
                """));
        settings("""
            import json
            with open(BASE_DIR / "secrets.json", encoding="utf-8") as file:
                DATABASES = json.load(file)
            """);
        secrets(PASSWORD);
    }

    /** The settings read this instead of .env. */
    private void settings(String databases) throws IOException {
        var file = project.root().resolve("config/settings.py");
        var text = Files.readString(file);
        var start = text.contains("# databases") ? text.indexOf("# databases") : text.indexOf("DATABASES = ");
        var others = text.substring(0, start).replaceAll("(?m)^.*dotenv.*\n", "");
        Files.writeString(file, others + "# databases\n" + databases);
    }

    private void secrets(String password) throws IOException {
        Files.writeString(project.root().resolve("secrets.json"), new com.google.gson.Gson().toJson(Map.of("default",
            Map.of("ENGINE", "django.db.backends.postgresql", "NAME", db.name(), "USER", db.role().name(),
                "PASSWORD", password, "HOST", db.host(), "PORT", db.port()))));
    }

    private void env(String... lines) throws IOException {
        Files.write(project.root().resolve(".env"), List.of(lines));
    }

    private Tool.Output run(String script, String... args) throws Exception {
        var output = Tool.in(project.root(), script).warm()
            .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run(args);
        assertFalse(output.all().contains(PASSWORD), output.all());
        return output;
    }

    // ---- no name is set: Django's own settings ----------------------------------------------

    @Test void reset_undo_and_backup_need_no_env_file() throws Exception {
        run("reset_migrations", "--dry-run").ended(0, "  Settings  DATABASES['default'] in config.settings\n");
        env("DEBUG=1", "SQL_DATABASE=no", "DB_PASSWORD="); // an empty value counts as not set
        run("reset_migrations", "--yes", "--no-superuser", "--backup").ended(0, "done: " + db.name());
        run("reset_migrations", "status").ended(0, "the new");
        run("reset_migrations", "undo", "--yes").ended(0);
        run("backup_database").ended(0, "Backing up");
        run("backup_database", "list").ended(0, db.name());
        run("backup_database", "verify").ended(0, "verified");
        passwordIsOnlyIn("secrets.json");
    }

    private void passwordIsOnlyIn(String name) throws IOException {
        try (var files = Files.walk(temp)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                assertEquals(file.endsWith(name),
                    Files.readString(file, java.nio.charset.StandardCharsets.ISO_8859_1).contains("pa ss #1"),
                    file.toString());
        }
    }

    @Test void a_wrong_password_is_called_by_its_own_name() throws Exception {
        secrets("w%rong-secret");
        for (var command : List.of(List.of("reset_migrations", "--dry-run"), List.of("backup_database", "create"))) {
            var output = run(command.getFirst(), command.getLast())
                .ended(2, "the password of role " + db.role().name() + " is wrong",
                    "correct DATABASES['default']['PASSWORD'] in config.settings");
            assertFalse(output.all().contains("w%rong-secret"), output.all());
        }
    }

    @Tag("exhaustive") @Test void settings_may_come_from_a_module_that_is_named() throws Exception {
        SampleProject.write(project.root(), "config/local.py", "from config.settings import *\n");
        Files.writeString(project.root().resolve("config/settings.py"), "\nDATABASES = {}\n",
            java.nio.file.StandardOpenOption.APPEND);
        Files.writeString(project.root().resolve("config/local.py"), """
            from config.settings import *
            import json
            DATABASES = json.load(open(BASE_DIR / "secrets.json", encoding="utf-8"))
            """);
        run("backup_database").ended(4, "the database is not PostgreSQL: the ENGINE of DATABASES['default'] in"
            + " config.settings is django.db.backends.dummy", "--settings MODULE, or DJANGO_SETTINGS_MODULE");
        run("backup_database", "--settings", "config.local").done();
        run("reset_migrations", "--settings", "config.local", "--yes", "--no-superuser")
            .ended(0, "go back    reset_migrations undo", "--settings config.local");
        run("reset_migrations", "undo", "--yes", "--settings", "config.local").done();
    }

    /** An installed environment variable of libpq completes what the settings leave out, as it does for Django. */
    @Tag("exhaustive") @Test void a_service_file_and_libpqs_variables_complete_the_settings() throws Exception {
        settings("""
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"service": "shop"}}}
            """);
        Files.writeString(temp.resolve("services.conf"), "[shop]\nhost=%s\nport=%d\ndbname=%s\nuser=%s\n".formatted(
            db.host(), db.port(), db.name(), db.role().name()));
        var output = Tool.in(project.root(), "backup_database").env("PGPASSWORD", PASSWORD)
            .env("PGSERVICEFILE", temp.resolve("services.conf").toString())
            .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run();
        output.ended(0, db.name());
    }

    @Test void where_one_name_is_set_the_password_is_required() throws Exception {
        env("DB_NAME=" + db.name(), "DB_PASS=x");
        var before = Snapshot.of(project.root());
        for (var script : new String[] {"reset_migrations", "backup_database"})
            run(script).ended(2, "DB_PASSWORD is not set in " + project.root().resolve(".env"), "DATABASE_URL");
        assertEquals(before, Snapshot.of(project.root()));
    }

    @Test void without_any_settings_the_message_says_what_is_read_and_where() throws Exception {
        settings("raise RuntimeError('no settings for you')\n");
        for (var script : new String[] {"reset_migrations", "backup_database"})
            run(script).ended(2, "none of DB_NAME, DB_USER, DB_PASSWORD, DB_HOST, DB_PORT and DATABASE_URL is set in "
                    + project.root().resolve(".env"), "RuntimeError: no settings for you",
                "config/settings.py:", "--env-file FILE");
    }

    /** As netbox has it: repo/venv, repo/requirements.txt and repo/netbox/manage.py, and no .env. */
    @Test void the_repository_around_manage_py_is_the_root() throws Exception {
        var repo = Files.createDirectories(temp.resolve("repo/.git")).getParent().toRealPath();
        var site = Files.move(project.root(), repo.resolve("site"));
        Files.createSymbolicLink(repo.resolve("venv"), Python.venv().getParent().getParent());
        Files.writeString(repo.resolve("requirements.txt"), "django\n");
        Tool.in(site, "reset_migrations").run("--yes", "--no-superuser").ended(0, "  Python    3",
            "venv/bin/python", "  Project   " + repo + "  (manage.py in site)", "site/shop/migrations");
        Tool.in(site, "backup_database").run().done();
        assertTrue(Files.isDirectory(repo.resolve(".reset")) && Files.isDirectory(repo.resolve("backups")));
        assertFalse(Files.exists(site.resolve(".reset")) || Files.exists(site.resolve("backups")));
        var undo = Tool.in(repo, "reset_migrations").run("undo", "--yes");
        assertEquals(0, undo.code(), undo.all());
    }

    // ---- Unix sockets -------------------------------------------------------------------------

    /** The embedded server's folder. Which of its sockets a role may use is in support.Postgres. */
    private static final String SOCKETS = "/tmp";

    private Postgres.Db peersDatabase() {
        Postgres.execute("DROP ROLE IF EXISTS " + Postgres.PEER);
        Postgres.execute("CREATE ROLE %s LOGIN CREATEDB".formatted(Postgres.PEER));
        return Postgres.database(new Postgres.Role(Postgres.PEER, null));
    }

    private void dropPeer() {
        Postgres.execute("DROP DATABASE " + db.name());
        Postgres.execute("DROP ROLE " + Postgres.PEER);
    }

    @Test void a_peer_needs_no_password_at_the_socket() throws Exception {
        db = peersDatabase();
        settings(DECOUPLE + """
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": env["DB_NAME"],
                "USER": env["DB_USER"], "HOST": env.get("DB_HOST", ""), "PORT": env["DB_PORT"]}}
            """);
        env("DB_NAME=" + db.name(), "DB_USER=" + Postgres.PEER, "DB_HOST=" + SOCKETS, "DB_PORT=" + db.port());
        run("reset_migrations", "--yes", "--no-superuser", "--backup").ended(0, Postgres.PEER + " at " + SOCKETS);
        run("reset_migrations", "undo", "--yes").done();
        run("reset_migrations", "purge", "--all", "--yes").done();
        run("backup_database", "verify").ended(0, "verified");
        env("DB_NAME=" + db.name(), "DB_USER=" + Postgres.PEER, "DB_HOST=", "DB_PORT=" + db.port());
        run("backup_database").done(); // the default folders
        env("DB_NAME=" + db.name(), "DB_USER=postgres", "DB_HOST=" + SOCKETS, "DB_PORT=" + db.port()); // the control
        run("backup_database").ended(2, "requires a password for role postgres");
        env("DB_NAME=" + db.name(), "DB_USER=" + Postgres.PEER, "DB_HOST=" + SOCKETS, "DB_PORT=1");
        run("backup_database").ended(1, "no PostgreSQL server answers at the Unix socket " + SOCKETS + "/.s.PGSQL.1: ");
        dropPeer();
    }

    @Test void django_at_the_socket_names_it_for_both_scripts() throws Exception {
        db = peersDatabase();
        settings("""
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "%s", "USER": "%s",
                "HOST": "%s", "PORT": "%d"}}
            """.formatted(db.name(), Postgres.PEER, SOCKETS, db.port()));
        run("reset_migrations", "--dry-run").ended(0, Postgres.PEER + " at " + SOCKETS);
        run("backup_database").done();
        env("DB_NAME=" + db.name(), "DB_USER=" + Postgres.PEER, "DB_PASSWORD=any", "DB_PORT=" + db.port());
        run("backup_database").ended(0, "DB_HOST is not set, and nothing on localhost lets " + Postgres.PEER + " in");
        dropPeer();
    }

    // ---- two readers of one file --------------------------------------------------------------

    /** As python-decouple: the environment first, then lines without comments after a value, escapes or variables. */
    private static final String DECOUPLE = """
        env = {}
        for line in open(BASE_DIR / ".env", encoding="utf-8"):
            name, equals, value = line.partition("=")
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\\"":
                value = value[1:-1]
            env[name.strip()] = os.environ.get(name.strip(), value)
        """;

    private void passwordIs(String password) {
        Postgres.execute("ALTER ROLE %s PASSWORD '%s'".formatted(db.role().name(), password.replace("'", "''")));
    }

    private void withPassword(String line) throws IOException {
        env("DB_NAME=" + db.name(), "DB_USER=" + db.role().name(), line, "DB_HOST=" + db.host(),
            "DB_PORT=" + db.port());
    }

    @Test void djangos_reading_of_the_password_is_used_where_the_readers_differ() throws Exception {
        settings(DECOUPLE + """
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **{
                key: env["DB_" + key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}}}
            """);
        for (var password : Sample.of("password", List.of("pa ss #1", "a${HOME}b", "\"tab\\tend\""), 1)) {
            withPassword("DB_PASSWORD=" + password);
            passwordIs(password.replace("\"", ""));
            run("backup_database").ended(0, "their reader takes quotes, #, $, \\ or % differently: Django's is used");
        }
        run("reset_migrations", "--yes", "--no-superuser").ended(0, "the server rejects DB_PASSWORD", "done: ");
        run("reset_migrations", "undo", "--yes").ended(0, "the server rejects DB_PASSWORD");

        withPassword("DB_PASSWORD=both-read-this"); // the control
        var wrong = run("backup_database").ended(2, "is wrong", "or give the role this password: ALTER ROLE");
        assertFalse(wrong.all().contains("their reader"), wrong.all());
        withPassword("DB_PASSWORD=neither #1"); // both are wrong: the role's password is not the cause
        assertFalse(run("backup_database").ended(2, "is wrong").all().contains("ALTER ROLE"));
    }

    @Tag("exhaustive") @Test void djangos_reading_of_a_url_is_used_where_it_is_none() throws Exception {
        settings(DECOUPLE + """
            from urllib.parse import unquote, urlsplit
            url = urlsplit(env["DATABASE_URL"])
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:],
                "USER": url.username, "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port}}
            """);
        passwordIs("100%zz");
        env("DATABASE_URL=postgres://%s:100%%zz@%s:%d/%s".formatted(db.role().name(), db.host(), db.port(), db.name()));
        run("backup_database").ended(0, "DATABASE_URL in .env is invalid", "; Django's settings are used");
        settings("raise RuntimeError('no settings for you')\n"); // the control
        run("backup_database").ended(2, "DATABASE_URL in .env is invalid");
    }
}
