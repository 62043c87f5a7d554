package lib.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.ServerSocket;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.project.Credentials;
import org.junit.jupiter.api.Test;
import support.OldState;
import support.Postgres;

class DatabaseTest {
    private static Problem refused(Credentials credentials) {
        return assertThrows(Failure.class, () -> Database.open(credentials).close()).problem();
    }

    private static Credentials with(Credentials good, String user, String password, String sslmode) {
        return new Credentials(good.host(), good.port(), good.database(), user, password, sslmode, Map.of());
    }

    private static Credentials at(String host, int port) {
        return new Credentials(host, port, "x", "x", "x", null, Map.of());
    }

    private static void says(Problem problem, String part, ExitCode exit) {
        var all = problem.what() + problem.next();
        assertTrue(all.contains(part), all);
        assertFalse(problem.next().isEmpty(), "it says what to do next");
        assertFalse(all.contains(Postgres.PASSWORD) || all.contains("not the password"), "it hides the password");
        assertEquals(exit, problem.exit());
    }

    @Test void a_failed_connection_says_why_and_what_to_do() throws Exception {
        var good = Postgres.database().credentials();
        Database.open(good).close();
        var wrong = refused(with(good, good.user(), "not the password", null));
        says(wrong, "password", ExitCode.USAGE);
        assertEquals(CannotConnect.Reason.WRONG_PASSWORD, assertInstanceOf(CannotConnect.class, wrong).reason());
        var missing = refused(good.withDatabase("no such database"));
        says(missing, "database no such database does not exist on 127.0.0.1 port " + good.port(), ExitCode.USAGE);
        assertEquals(List.of("correct DB_NAME, or create it: createdb -O postgres 'no such database'"), missing.next());
        says(refused(with(good, "nobody here", "x", null)), "nobody here", ExitCode.USAGE);
        says(refused(with(good, good.user(), "x", "require")), "DB_SSLMODE", ExitCode.USAGE);
        says(refused(at("/no/such/folder", 5432)), "the Unix socket /no/such/folder/.s.PGSQL.5432", ExitCode.FAILED);
        int free;
        try (var socket = new ServerSocket(0)) {
            free = socket.getLocalPort();
        }
        says(refused(at(good.host(), free)), "DB_PORT", ExitCode.FAILED);
    }

    @Test void without_DB_PASSWORD_the_password_comes_from_pgpass() throws Exception {
        var good = Postgres.database().credentials();
        var without = with(good, good.user(), null, null);
        var file = Files.createTempFile("pgpass", "");
        try {
            System.setProperty("org.postgresql.pgpassfile", file.toString());
            says(refused(without), "~/.pgpass", ExitCode.USAGE);
            Files.writeString(file, "*:%d:*:%s:%s\n".formatted(good.port(), good.user(), good.password()));
            Database.open(without).close();
        } finally {
            System.clearProperty("org.postgresql.pgpassfile");
            Files.delete(file);
        }
    }

    @Test void a_role_without_connections_left_is_told_so() {
        var role = Postgres.role("narrow", "CONNECTION LIMIT 1");
        var db = Postgres.database().as(role);
        try (var first = Database.open(db.credentials())) {
            var busy = refused(db.credentials());
            says(busy, "the server has no connection left", ExitCode.FAILED);
            assertEquals(CannotConnect.Reason.BUSY, assertInstanceOf(CannotConnect.class, busy).reason());
        }
    }

    @Test void a_database_whose_name_has_odd_characters_is_reached() {
        var db = Postgres.database("Ärger & Söhne/+%20?\"x\"", Postgres.SUPERUSER);
        try (var database = Database.open(db.credentials())) {
            assertEquals(db.name(), DatabaseSnapshot.of(database).name());
        }
    }

    @Test void a_snapshot_has_the_rows_of_small_tables_and_all_owners() {
        var db = Postgres.database();
        OldState.run(db, "CREATE EXTENSION citext",
            "COMMENT ON DATABASE \"%s\" IS 'what it is for'".formatted(db.name()));
        OldState.fill(db);
        try (var database = Database.open(db.credentials())) {
            var snapshot = DatabaseSnapshot.of(database);
            assertEquals("what it is for", snapshot.comment());
            assertTrue(snapshot.bytes() > 0);
            assertEquals(new DatabaseSnapshot.Role("postgres", true, true, true, true), snapshot.role());
            assertTrue(snapshot.server().version() > 130000 && !snapshot.server().standby());
            assertEquals("public", snapshot.schema().name());
            var tables = snapshot.schema().tables();
            var customer = tables.stream().filter(t -> t.name().equals("crm_customer")).findFirst().orElseThrow();
            assertEquals(200, customer.rows());
            assertTrue(customer.exact() && !customer.extensionOwned() && customer.owner().equals("postgres"));
            var partition = tables.stream().filter(t -> t.name().equals("crm_event_2025")).findFirst().orElseThrow();
            assertTrue(partition.partition() && partition.rows() == 213, partition.toString());
            var others = snapshot.schema().otherObjects();
            assertEquals(1, others.get("view"));
            assertEquals(4, others.get("type"), others.toString()); // without the multirange and citext
        }
    }

    @Test void an_advisory_lock_is_visible_in_the_same_database_only() {
        var db = Postgres.database();
        var other = Postgres.database();
        try (var database = Database.open(db.credentials()); var lock = database.randomAdvisoryLock()) {
            var query = """
                SELECT count(*) FROM pg_locks
                WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = %d AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                """.formatted(lock.key());
            assertEquals("1", OldState.text(db, query));
            assertEquals("0", OldState.text(other, query));
            lock.close();
            assertEquals("0", OldState.text(db, query));
        }
    }

    @Test void a_second_run_on_a_database_is_refused_with_the_first_ones_process() {
        var db = Postgres.database();
        var other = Postgres.database();
        try (var first = Database.open(db.credentials()); var second = Database.open(db.credentials());
             var elsewhere = Database.open(other.credentials())) {
            try (var lock = RunLock.take(first); var unrelated = RunLock.take(elsewhere)) {
                lock.requireHeld();
                var busy = assertThrows(Failure.class, () -> RunLock.take(second)).problem();
                assertEquals(ExitCode.BUSY, busy.exit());
                assertTrue(busy.what().matches(
                    "another run is at work on database %s: pid %d on \\S+, since 2[^,]+Z, server process \\d+"
                    .formatted(db.name(), ProcessHandle.current().pid())), busy.what());
                assertEquals("wait until it has ended", busy.next().getFirst());
                assertTrue(busy.next().getLast().matches("if that program is gone and only its session is left:"
                    + " SELECT pg_terminate_backend\\(\\d+\\);"), busy.next().toString());
            }
            RunLock.take(second).close();
        }
    }

    @Test void a_run_lock_whose_session_has_ended_is_noticed() {
        var db = Postgres.database();
        try (var database = Database.open(db.credentials()); var lock = RunLock.take(database)) {
            var application = "%s pid %d %%".formatted(Database.APPLICATION, ProcessHandle.current().pid());
            Postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                + " WHERE application_name LIKE " + Sql.literal(application));
            var lost = assertThrows(Failure.class, lock::requireHeld).problem();
            assertEquals(ExitCode.FAILED, lost.exit());
            assertEquals("the connection to database postgres that kept other runs out has ended; nothing was touched",
                lost.what());
        }
    }

    @Test void the_maintenance_database_is_one_that_the_role_can_connect_to() {
        var role = Postgres.role("outsider", "");
        var db = Postgres.database(role);
        try (var database = Database.open(db.credentials())) {
            try (var found = database.maintenance().orElseThrow()) {
                assertEquals("postgres", found.credentials().database());
            }
            Postgres.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC");
            try (var found = database.maintenance().orElseThrow()) {
                assertEquals("template1", found.credentials().database());
            } finally {
                Postgres.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC");
            }
        }
    }

    @Test void identifiers_are_shortened_by_bytes_and_keep_their_end() {
        assertEquals("\"a\"\"b\"", Sql.identifier("a\"b"));
        assertEquals("E'it''s \\\\ ours'", Sql.literal("it's \\ ours"));
        assertEquals("crm_new_x", Sql.shortened("crm", "_new_x"));
        assertEquals("ü".repeat(28) + "_new_x", Sql.shortened("ü".repeat(63), "_new_x"));
    }

    private static final List<String> CHANGES = List.of("CREATE SCHEMA s", "COMMENT ON SCHEMA public IS 'x'",
        "ALTER DATABASE \"%s\" SET work_mem = '8MB'", "CREATE EXTENSION citext",
        "GRANT TEMPORARY ON DATABASE \"%s\" TO pg_monitor",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor", "SELECT lo_create(0)", "CREATE TABLE s.t ()",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC", "GRANT EXECUTE ON FUNCTION citext_eq TO pg_monitor",
        "ALTER DATABASE \"%s\" CONNECTION LIMIT 7", "COMMENT ON DATABASE \"%s\" IS 'y'", "CREATE PUBLICATION p",
        "CREATE FOREIGN DATA WRAPPER w", "CREATE CAST (text AS int) WITH INOUT",
        "ALTER ROLE postgres IN DATABASE \"%s\" SET work_mem = '9MB'");

    @Test void equal_databases_have_equal_fingerprints_and_any_difference_shows() {
        var a = Postgres.database();
        var b = Postgres.database();
        try (var da = Database.open(a.credentials()); var db = Database.open(b.credentials())) {
            assertEquals(Fingerprint.of(da, "public"), Fingerprint.of(db, "public"));
            for (var change : CHANGES) {
                var before = Fingerprint.of(db, "public");
                OldState.run(b, change.replace("%s", b.name()));
                assertNotEquals(before, Fingerprint.of(db, "public"), change);
            }
            assertTrue(Fingerprint.of(db, "public").lines().stream().map(Fingerprint.Line::toString)
                .anyMatch("database grant postgres gave pg_monitor TEMPORARY"::equals));
        }
    }
}
