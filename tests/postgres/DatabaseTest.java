package lib.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.ServerSocket;
import java.nio.file.Files;
import java.util.Map;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem.Exit;
import lib.project.Credentials;
import org.junit.jupiter.api.Test;
import support.OldState;
import support.Postgres;

class DatabaseTest {
    private static Failure refused(Credentials credentials) {
        return assertThrows(Failure.class, () -> Database.open(credentials).close());
    }

    private static void says(Failure failure, String part, Exit exit) {
        var all = failure.problem().what() + failure.problem().next();
        assertTrue(all.contains(part), all);
        assertFalse(failure.problem().next().isEmpty(), "says what to do");
        assertFalse(all.contains(Postgres.PASSWORD) || all.contains("not the password"), "keeps the password to itself");
        assertEquals(exit, failure.problem().exit());
    }

    @Test void what_keeps_us_out_is_said_with_what_to_do() throws Exception {
        var db = Postgres.database();
        var good = db.credentials();
        Database.open(good).close();
        says(refused(new Credentials(good.host(), good.port(), good.database(), good.user(), "not the password", null, Map.of())), "password", Exit.USAGE);
        says(refused(good.withDatabase("no such database")), "no such database", Exit.USAGE);
        says(refused(new Credentials(good.host(), good.port(), good.database(), "nobody here", "x", null, Map.of())), "nobody here", Exit.USAGE);
        says(refused(new Credentials(good.host(), good.port(), good.database(), good.user(), "x", "require", Map.of())), "DB_SSLMODE", Exit.USAGE);
        says(refused(new Credentials("/var/run/postgresql", 5432, "x", "x", "x", null, Map.of())), "localhost", Exit.USAGE);
        int free;
        try (var socket = new ServerSocket(0)) {
            free = socket.getLocalPort();
        }
        says(refused(new Credentials(good.host(), free, "x", "x", "x", null, Map.of())), "DB_PORT", Exit.FAILED);
    }

    @Test void the_password_comes_from_pgpass_when_there_is_none() throws Exception {
        var good = Postgres.database().credentials();
        var without = new Credentials(good.host(), good.port(), good.database(), good.user(), null, null, Map.of());
        var file = Files.createTempFile("pgpass", "");
        try {
            System.setProperty("org.postgresql.pgpassfile", file.toString());
            says(refused(without), "~/.pgpass", Exit.USAGE);
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
            says(refused(db.credentials()), "connection", Exit.FAILED);
        }
    }

    @Test void a_database_whose_name_has_odd_characters_is_reached() {
        var db = Postgres.database("Ärger & Söhne/+%20?\"x\"", Postgres.SUPERUSER);
        try (var database = Database.open(db.credentials())) {
            assertEquals(db.name(), DatabaseSnapshot.of(database).name());
        }
    }

    @Test void looking_counts_small_tables_and_says_whose_they_are() {
        var db = Postgres.database();
        OldState.run(db, "CREATE EXTENSION citext", "COMMENT ON DATABASE \"%s\" IS 'what it is for'".formatted(db.name()));
        OldState.fill(db);
        try (var database = Database.open(db.credentials())) {
            var look = DatabaseSnapshot.of(database);
            assertEquals("public", look.schema().name());
            assertEquals("what it is for", look.comment());
            assertTrue(look.role().superuser() && look.role().createdb() && look.role().ownsDatabase() && look.role().mayCreateSchema() && !look.server().standby());
            assertTrue(look.server().version() > 130000 && look.bytes() > 0);
            var customer = look.schema().tables().stream().filter(t -> t.name().equals("crm_customer")).findFirst().orElseThrow();
            assertEquals(200, customer.rows());
            assertTrue(customer.exact() && !customer.extensionOwned() && customer.owner().equals("postgres"));
            assertTrue(look.schema().tables().stream().anyMatch(t -> t.name().equals("crm_event_2025") && t.partition() && t.rows() == 213), look.schema().tables().toString());
            assertEquals(1, look.schema().otherObjects().get("view"));
            assertEquals(4, look.schema().otherObjects().get("type"), look.schema().otherObjects().toString()); // not the multirange, not citext
        }
    }

    @Test void the_same_database_is_proven_and_another_is_not() {
        var db = Postgres.database();
        var other = Postgres.database();
        try (var database = Database.open(db.credentials()); var proof = database.randomAdvisoryLock()) {
            var query = """
                SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = %d AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""".formatted(proof.key());
            assertEquals("1", OldState.text(db, query));
            assertEquals("0", OldState.text(other, query));
            proof.close();
            assertEquals("0", OldState.text(db, query));
        }
    }

    @Test void one_run_at_a_time_and_the_other_is_named() {
        var db = Postgres.database();
        var other = Postgres.database();
        try (var a = Database.open(db.credentials()); var b = Database.open(db.credentials()); var c = Database.open(other.credentials())) {
            try (var lock = RunLock.take(a); var unrelated = RunLock.take(c)) {
                var busy = assertThrows(Failure.class, () -> RunLock.take(b)).problem();
                assertEquals(Exit.BUSY, busy.exit());
                assertTrue(Pattern.compile("pid %d on \\S+, since 2[^,]+Z, server process \\d+".formatted(ProcessHandle.current().pid())).matcher(busy.what()).find(), busy.what());
                assertTrue(busy.next().getLast().matches(".*SELECT pg_terminate_backend\\(\\d+\\);"), busy.next().toString());
            }
            RunLock.take(b).close();
        }
    }

    @Test void the_maintenance_database_is_one_that_lets_the_role_in() {
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

    @Test void equal_databases_have_equal_fingerprints_and_any_difference_shows() {
        var a = Postgres.database();
        var b = Postgres.database();
        try (var da = Database.open(a.credentials()); var db = Database.open(b.credentials())) {
            assertEquals(Fingerprint.of(da, "public"), Fingerprint.of(db, "public"));
            for (var change : new String[] {"CREATE SCHEMA s", "COMMENT ON SCHEMA public IS 'x'", "ALTER DATABASE \"%s\" SET work_mem = '8MB'", "CREATE EXTENSION citext",
                    "GRANT TEMPORARY ON DATABASE \"%s\" TO pg_monitor", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor", "SELECT lo_create(0)",
                    "CREATE TABLE s.t ()", "REVOKE ALL ON SCHEMA public FROM PUBLIC", "GRANT EXECUTE ON FUNCTION citext_eq TO pg_monitor",
                    "ALTER DATABASE \"%s\" CONNECTION LIMIT 7", "COMMENT ON DATABASE \"%s\" IS 'y'", "CREATE PUBLICATION p", "CREATE FOREIGN DATA WRAPPER w",
                    "CREATE CAST (text AS int) WITH INOUT", "ALTER ROLE postgres IN DATABASE \"%s\" SET work_mem = '9MB'"}) {
                var before = Fingerprint.of(db, "public");
                OldState.run(b, change.replace("%s", b.name()));
                assertNotEquals(before, Fingerprint.of(db, "public"), change);
            }
        }
    }
}
