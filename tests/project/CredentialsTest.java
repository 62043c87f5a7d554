package lib.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import lib.environment.Environment;
import lib.error.Failure;
import lib.error.Problem;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CredentialsTest {
    private static final String SECRET = "t0psecret";

    @TempDir Path root;
    private Project project;
    private final Map<String, String> environment = new HashMap<>();

    @BeforeEach void aProjectWithABackendBelow() throws IOException {
        project = new Project(root, Files.createDirectory(root.resolve("backend")));
        environment.put("HOME", Files.createDirectory(root.resolve("home")).toString());
    }

    private void env(String... lines) throws IOException {
        Files.writeString(root.resolve(".env"), String.join("\n", lines));
    }

    private Path pgpass(String mode, String... lines) throws IOException {
        var file = Files.writeString(root.resolve("home/.pgpass"), String.join("\n", lines) + "\n");
        return Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(mode));
    }

    private Credentials read() {
        return Settings.read(project, null, environment).credentials();
    }

    /** "user:password@host:port/name sslmode" */
    private String all() {
        var c = read();
        return "%s:%s@%s:%d/%s %s".formatted(c.user(), c.password(), c.host(), c.port(), c.database(), c.sslmode());
    }

    /** The error on one line, with the exit code: "2: DB_PORT in .env is invalid: …". */
    private String problem() {
        var problem = failure();
        return problem.exit().code + ": " + problem.what();
    }

    private Problem failure() {
        var failure = assertThrows(Failure.class, this::read);
        var trace = new StringWriter();
        failure.printStackTrace(new PrintWriter(trace));
        var shown = trace + failure.problem().what() + failure.problem().next() + failure.problem();
        assertFalse(shown.contains(SECRET), shown);
        return failure.problem();
    }

    // ---- names and their order ---------------------------------------------------------------

    @Test void the_file_with_the_defaults_for_what_it_leaves_out() throws IOException {
        env("DB_PASSWORD='pw'");
        assertEquals("crm_user:pw@localhost:5432/whatsapp_crm_dev null", all());
        env("DB_NAME='crm'", "DB_USER='u'", "DB_PASSWORD='pw'", "DB_HOST='db'", "DB_PORT='6543'", "DB_SSLMODE=require");
        assertEquals("u:pw@db:6543/crm require", all());
    }

    @Test void the_environment_wins_name_by_name() throws IOException {
        env("DB_NAME=crm", "DB_PASSWORD=pw", "DB_HOST=db");
        environment.putAll(Map.of("DB_HOST", "other", "POSTGRES_DB", "not_this", "PGUSER", "psql_user"));
        assertEquals("psql_user:pw@other:5432/crm null", all());
        assertEquals(
                Map.of(
                        "DB_NAME",
                        ".env",
                        "DB_PASSWORD",
                        ".env",
                        "DB_HOST",
                        "environment",
                        "DB_USER",
                        "PGUSER in environment",
                        "DB_PORT",
                        "default"),
                read().sources());
    }

    @Test void each_kind_of_name_gives_way_to_the_one_before_it() {
        environment.putAll(Map.of(
                "PGDATABASE",
                "d4",
                "PGUSER",
                "u4",
                "PGPASSWORD",
                "p4",
                "PGHOST",
                "h4",
                "PGPORT",
                "4",
                "PGSSLMODE",
                "prefer"));
        assertEquals("u4:p4@h4:4/d4 prefer", all());
        environment.putAll(Map.of(
                "POSTGRES_DB",
                "d3",
                "POSTGRES_USER",
                "u3",
                "POSTGRES_PASSWORD",
                "p3",
                "POSTGRES_HOST",
                "h3",
                "POSTGRES_PORT",
                "3"));
        assertEquals("u3:p3@h3:3/d3 prefer", all());
        environment.put("DATABASE_URL", "postgres://u2:p2@h2:2/d2?sslmode=require");
        assertEquals("u2:p2@h2:2/d2 require", all());
        environment.putAll(
                Map.of("DB_USER", "u1", "DB_PASSWORD", "p1", "DB_HOST", "h1", "DB_PORT", "1", "DB_SSLMODE", "disable"));
        assertEquals("u1:p1@h1:1/d2 disable", all());
        environment.put("DB_NAME", "d1");
        assertEquals("u1:p1@h1:1/d1 disable", all());
    }

    @Test void a_url_is_not_looked_at_where_the_database_has_a_name_already() {
        environment.putAll(Map.of("DATABASE_URL", "mysql://u:p@h/d", "DB_NAME", "crm", "DB_PASSWORD", "pw"));
        assertEquals("crm_user:pw@localhost:5432/crm null", all());
        environment.remove("DB_NAME");
        assertEquals("4: the database is not PostgreSQL: DATABASE_URL in environment says mysql", problem());
    }

    @Test void an_empty_value_counts_as_not_set_and_hides_the_files() throws IOException {
        env("DB_HOST=db", "DB_USER=", "DB_NAME", "DB_PASSWORD=pw");
        environment.put("DB_HOST", "");
        assertEquals("crm_user:pw@localhost:5432/whatsapp_crm_dev null", all());
    }

    @Test void the_backends_file_serves_where_the_root_has_none() throws IOException {
        Files.writeString(project.backend().resolve(".env"), "DB_NAME=inner\nDB_PASSWORD=pw");
        assertEquals("backend/.env", read().sources().get("DB_NAME"));
        env("DB_NAME=outer\nDB_PASSWORD=pw");
        assertEquals("outer", read().database());
        var named = Files.writeString(root.resolve("ci.env"), "DB_NAME=named\nDB_PASSWORD=pw");
        assertEquals("named", Settings.read(project, named, environment).credentials().database());
    }

    // ---- DATABASE_URL ------------------------------------------------------------------------

    @Test void urls_of_every_shape() {
        var expected = Map.ofEntries(
                Map.entry("postgres://u:p@h:1/d", "u:p@h:1/d null"),
                Map.entry("postgresql://u:p@h/d", "u:p@h:5432/d null"),
                Map.entry("pgsql://u:p@h/d", "u:p@h:5432/d null"),
                Map.entry("postgis://u:p@h/d", "u:p@h:5432/d null"),
                Map.entry("POSTGRESQL://u:p@h/d", "u:p@h:5432/d null"),
                Map.entry("postgresql+psycopg2://u:p@h/d", "u:p@h:5432/d null"),
                Map.entry("postgres://u%40x:p%23%2F%3A%25+w@h/d%20e", "u@x:p#/:%+w@h:5432/d e null"),
                Map.entry("postgres://u:p%C3%A9@h/d", "u:pé@h:5432/d null"),
                Map.entry("postgres://u:p@ss:w@h/d", "u:p@ss:w@h:5432/d null"),
                Map.entry(
                        "postgres://u:p@my_db:1/d?sslmode=verify-full&connect_timeout=3", "u:p@my_db:1/d verify-full"),
                Map.entry("postgres://u:p@[::1]:1/d", "u:p@::1:1/d null"),
                Map.entry("postgres://u:p@[fe80::1]/d", "u:p@fe80::1:5432/d null"),
                Map.entry("postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d", "u:p@/var/run/postgresql:5432/d null"),
                Map.entry("postgres://u:p@/d?host=/tmp/sock&port=7", "u:p@/tmp/sock:7/d null"),
                Map.entry("postgres:///d?user=u&password=p", "u:p@localhost:5432/d null"),
                Map.entry("postgres://u:p@h", "u:p@h:5432/whatsapp_crm_dev null"),
                Map.entry("postgres://u:p@h:/d?", "u:p@h:5432/d null"));
        expected.forEach((url, settings) -> {
            environment.put("DATABASE_URL", url);
            assertEquals(settings, all(), url);
        });
    }

    @Test void urls_that_are_none_are_refused_without_being_shown() {
        for (var url : List.of(
                SECRET,
                "postgres:u:" + SECRET,
                "postgres://u:" + SECRET + "%zz@h/d",
                "postgres://u:" + SECRET + "%4@h/d",
                "postgres://u:" + SECRET + "@[::1/d",
                "postgres://u:" + SECRET + "@::1]/d",
                "://u:" + SECRET + "@h/d",
                "u:" + SECRET + "://x")) {
            environment.put("DATABASE_URL", url);
            assertEquals(
                    "2: DATABASE_URL in environment is invalid: expected a URL like"
                            + " postgresql://user:password@host:5432/name with everything unusual percent-encoded",
                    problem(),
                    url);
        }
        environment.put("DATABASE_URL", "postgres://u:" + SECRET + "@h:12x/d");
        assertEquals("2: DATABASE_URL in environment is invalid: expected a port number from 1 to 65535", problem());
        environment.put("DATABASE_URL", "postgres://u:" + SECRET + "@one,two/d");
        assertEquals("2: DATABASE_URL in environment is invalid: expected one host", problem());
        environment.put("DATABASE_URL", "sqlite:///db.sqlite3");
        assertEquals("4: the database is not PostgreSQL: DATABASE_URL in environment says sqlite", problem());
    }

    // ---- invalid settings ---------------------------------------------------------------------

    @Test void without_file_and_password_all_places_are_named() {
        assertEquals(
                ("2: no database settings: none of DB_NAME, DB_USER, DB_PASSWORD, DB_HOST, DB_PORT and DATABASE_URL is "
                                + "set in %s/.env, %s/.env or the environment, nor POSTGRES_… or PG… in their place")
                        .formatted(root, project.backend()),
                problem());
        environment.put("DB_PASSWORD", "pw");
        assertEquals("crm_user:pw@localhost:5432/whatsapp_crm_dev null", all());
    }

    @Test void a_missing_password_names_the_file_and_its_unreadable_lines() throws IOException {
        env("DB_NAME=crm", "DB_PASSWORD='" + SECRET);
        assertEquals(
                "2: DB_PASSWORD is not set in %1$s\n  %1$s line 2 is skipped, by Django too: a quote is opened and never closed"
                        .formatted(root.resolve(".env")),
                problem());
    }

    @Test void a_wrong_port_or_sslmode_names_file_and_name_but_no_value() throws IOException {
        for (var value : List.of(SECRET, "0", "65536", "-1", "5432x", "'5432 # x'")) {
            env("DB_PASSWORD=pw", "DB_PORT=" + value);
            assertEquals("2: DB_PORT in .env is invalid: expected a port number from 1 to 65535", problem());
        }
        env("DB_PASSWORD=pw", "PGSSLMODE=" + SECRET);
        assertEquals(
                "2: PGSSLMODE in .env is invalid: expected one of disable, allow, prefer, require, verify-ca,"
                        + " verify-full",
                problem());
    }

    @Test void another_engine_is_refused_by_name_and_postgresqls_are_not() throws IOException {
        for (var engine : List.of(
                "django.db.backends.mysql",
                "django.db.backends.sqlite3",
                "django.contrib.gis.db.backends.spatialite",
                "django_cockroachdb",
                "oracle")) {
            env("DB_PASSWORD=" + SECRET, "DB_ENGINE=" + engine);
            assertEquals("4: the database is not PostgreSQL: DB_ENGINE in .env says " + engine, problem());
        }
        for (var engine : List.of(
                "django.db.backends.postgresql",
                "django.db.backends.postgresql_psycopg2",
                "django.contrib.gis.db.backends.postgis",
                "postgresql",
                "PostgreSQL",
                "django_tenants.postgresql_backend",
                "psqlextra.backend",
                "psycopg")) {
            env("DB_PASSWORD=pw", "DB_ENGINE=" + engine);
            assertEquals("pw", read().password(), engine);
        }
    }

    // ---- ~/.pgpass ---------------------------------------------------------------------------

    @Test void the_first_fitting_line_of_pgpass_decides() throws IOException {
        env("DB_NAME=crm", "DB_USER=u", "DB_HOST=db");
        var file = pgpass(
                "rw-------",
                "# a comment:5432:crm:u:no",
                "",
                "too:few",
                "db:5433:crm:u:no",
                "db:*:other:u:no",
                "*:5432:*:u:first",
                "*:*:*:*:second");
        assertEquals("first", read().password());
        assertEquals(file.toString(), read().sources().get("DB_PASSWORD"));
        environment.put("DB_USER", "v");
        assertEquals("second", read().password());
        environment.put("DB_PASSWORD", "by name");
        assertEquals("by name", read().password());
    }

    @Test void pgpass_escapes_and_the_socket_called_localhost() throws IOException {
        env("DB_NAME='a:b\\\\c'", "DB_HOST=/var/run/postgresql");
        pgpass("rw-------", "localhost:5432:a\\:b\\\\c:crm_user:p\\:\\\\w\\x:rest");
        assertEquals("p:\\wx", read().password());
    }

    @Test void a_pgpass_that_others_can_read_is_ignored_with_a_warning() throws IOException {
        env("DB_NAME=crm");
        var file = pgpass("rw-r--r--", "*:*:*:*:" + SECRET);
        assertEquals(
                "2: DB_PASSWORD is not set in %s\n  %s is ignored: other users can read it"
                        .formatted(root.resolve(".env"), file),
                problem());
        assertEquals(
                "or make the password file readable for yourself alone: chmod 600 " + file,
                failure().next().getLast());
        pgpass("rw-------", "*:*:*:*:" + SECRET);
        assertEquals(SECRET, read().password());
        pgpass("rw-------", "*:*:*:somebody_else:" + SECRET);
        assertEquals("2: DB_PASSWORD is not set in " + root.resolve(".env"), problem());
    }

    @Test void pgpassfile_is_read_instead() throws IOException {
        env("DB_NAME=crm");
        pgpass("rw-------", "*:*:*:*:home");
        var other = Files.move(pgpass("rw-------", "*:*:*:*:other"), root.resolve("passwords"));
        pgpass("rw-------", "*:*:*:*:home");
        assertEquals("home", read().password());
        environment.put("PGPASSFILE", other.toString());
        assertEquals("other", read().password());
    }

    // ---- nothing shows the password ----------------------------------------------------------

    @Test void no_text_of_anything_holds_the_password() throws IOException {
        env("DB_NAME=crm", "DB_PASSWORD=" + SECRET);
        var settings = Settings.read(project, null, environment);
        var credentials = settings.credentials();
        var local = Environment.of(settings, new Interpreter(root.resolve("venv/bin/python"), "a test", true));
        assertEquals(SECRET, credentials.password()); // it could be shown
        var program = local.python("manage.py");
        for (var each : List.of(
                settings,
                settings.file(),
                credentials,
                credentials.withDatabase("other"),
                local,
                local.describe(),
                local.warnings(),
                program,
                program.argv(),
                credentials.sources()))
            assertFalse(each.toString().contains(SECRET), each.getClass().getName());
        assertEquals("crm_user@localhost:5432/crm", credentials.toString());
    }

    /** A record's own toString shows every component: those with settings need another one. */
    @Test void every_record_that_reads_settings_has_its_own_text() {
        for (var each : List.of(Setting.class, DatabaseUrl.class, Pgpass.class))
            assertTrue(writesItself(each), each.getName());
        assertTrue(writesItself(Credentials.class) && writesItself(Environment.Local.class));
        assertFalse(writesItself(Project.class)); // a record of paths has the usual one
    }

    /** The compiler's own toString is final; a written one is not. */
    private static boolean writesItself(Class<?> record) {
        try {
            return !java.lang.reflect.Modifier.isFinal(record.getDeclaredMethod("toString").getModifiers());
        } catch (NoSuchMethodException e) {
            return false;
        }
    }

    @Test void local_is_what_lies_on_this_machine() throws IOException {
        for (var host : List.of("localhost", "127.0.0.1", "127.1.2.3", "::1", "/tmp"))
            assertTrue(at(host).isLocal(), host);
        for (var host : List.of("db", "10.0.0.1", "localhost.example", "127.example.org"))
            assertFalse(at(host).isLocal(), host);
    }

    private Credentials at(String host) throws IOException {
        env("DB_PASSWORD=pw", "DB_HOST=" + host);
        return read();
    }
}
