package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.sql.SQLException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import lib.django.Migrator;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Fingerprint;
import org.junit.jupiter.api.Test;
import support.FakeMigrator;
import support.OldState;
import support.Postgres;
import support.Snapshot;

class SwapDatabaseTest {
    private static int runs = 0xa000;

    static String runId() {
        return "20261122-172530-%04x".formatted(++runs);
    }

    static Database open(Postgres.Db db) {
        return Database.open(db.credentials());
    }

    static Strategy choose(Database database, String wanted, boolean terminate) {
        return StrategyChoice.choose(database, DatabaseSnapshot.of(database), StrategyChoice.Wanted.valueOf(wanted),
                runId(), terminate, false);
    }

    private static SwapDatabase swap(Database database) {
        var chosen = choose(database, "auto", false);
        return assertInstanceOf(SwapDatabase.class, chosen, chosen.reason());
    }

    /** As Plan does: on failure the steps that were begun are undone, last first. */
    static void run(List<Step> steps) throws Exception {
        var begun = new ArrayDeque<Step>();
        try {
            for (var step : steps) {
                begun.push(step);
                step.run();
            }
        } catch (Exception e) {
            for (var step : begun) step.undo();
            throw e;
        }
    }

    private static List<Step> steps(SwapDatabase swap, Migrator migrator) {
        return List.of(swap.createScratch(), swap.migrate(migrator), swap.swap());
    }

    private static List<String> databases() {
        return List.of(OldState.text(Postgres.database(),
                "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname ~"
                + " '_(new|before|undone)_'") + "");
    }

    private static Postgres.Db filled() {
        var db = Postgres.database();
        OldState.run(db, "CREATE EXTENSION citext", "CREATE EXTENSION pg_trgm", "CREATE EXTENSION hstore");
        OldState.fill(db);
        return db;
    }

    @Test void the_new_state_is_live_and_undo_brings_every_row_back() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            assertEquals(PreviousState.State.OLD_IS_LIVE, swap.previous().state(database));
            run(steps(swap, OldState.migrator(db)));

            assertEquals(PreviousState.State.NEW_IS_LIVE, swap.previous().state(database));
            assertEquals("crm 0001_initial", OldState.text(db, "SELECT app || ' ' || name FROM django_migrations"));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
            assertNotEquals(before, Snapshot.of(db), "the comparison sees a difference");
            assertTrue(swap.previous().bytes(database) > 1_000_000);

            var back = swap.previous().undo(database, false);
            run(back);
            assertEquals(before, Snapshot.of(db));
            assertEquals(PreviousState.State.OLD_IS_LIVE, swap.previous().state(database));
            assertEquals(List.of(), swap.previous().undo(database, false), "a second undo has nothing to do");
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM pg_database WHERE datname = '%s'"
                    .formatted(swap.previous().undone())), "the newer state is set aside");

            swap.previous().purge(database, false).run();
            assertEquals("0", OldState.text(
                    db, "SELECT count(*) FROM pg_database WHERE datname LIKE '%s\\_%%'".formatted(db.name())));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void after_a_purge_undo_is_refused() throws Exception {
        var db = filled();
        try (var database = open(db)) {
            var swap = swap(database);
            run(steps(swap, OldState.migrator(db)));
            swap.previous().purge(database, false).run();
            assertEquals(PreviousState.State.GONE, swap.previous().state(database));
            assertEquals(0, swap.previous().bytes(database));
            assertEquals(ExitCode.REFUSED, assertThrows(Failure.class, () -> swap.previous().undo(database, false))
                    .problem().exit());
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
        }
    }

    @Test void a_failed_migration_leaves_everything_as_it_was() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            assertThrows(Failure.class, () -> run(steps(swap, OldState.failing(db))));
            assertEquals(before, Snapshot.of(db));
            assertFalse(databases().getFirst().contains(swap.previous().scratch()));
        }
    }

    @Test void a_failure_after_the_swap_puts_the_names_back() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            assertThrows(Failure.class, () -> run(List.of(swap.createScratch(), swap.migrate(OldState.migrator(db)),
                            swap.swap(), Step.of("check", () -> {
                                assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
                                throw Failure.refused("not confirmed");
                            }))));
            assertEquals(before, Snapshot.of(db));
            assertFalse(databases().getFirst().contains(db.name() + "_"), databases().toString());
        }
    }

    @Test void a_step_that_has_not_run_can_be_undone() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            for (var step : steps(swap, OldState.migrator(db)).reversed()) step.undo();
            swap.createScratch().run();
            for (var step : steps(swap, OldState.migrator(db)).reversed()) step.undo();
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void a_scratch_database_that_a_killed_run_left_is_seen_and_purged() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            swap.createScratch().run();
            assertEquals(PreviousState.State.OLD_IS_LIVE, swap.previous().state(database));
            assertEquals(List.of(), swap.previous().undo(database, false));
            assertTrue(swap.previous().bytes(database) > 1_000_000);
            swap.previous().purge(database, false).run();
            assertEquals(0, swap.previous().bytes(database));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void all_properties_of_the_database_are_copied() throws Exception {
        var reader = Postgres.role("reader", "");
        var db = Postgres.database("Großes \"Lager\" " + "x".repeat(30), Postgres.SUPERUSER);
        OldState.run(db, "ALTER DATABASE %1$s SET search_path = \"$user\", shop, 'a b', public"
                .formatted(Postgres.quoted(db.name())));
        OldState.run(db, """
            CREATE SCHEMA shop;
            COMMENT ON SCHEMA shop IS 'the shop''s \\ own';
            CREATE SCHEMA extensions;
            CREATE EXTENSION hstore WITH SCHEMA extensions VERSION '1.4';
            CREATE EXTENSION earthdistance CASCADE;
            CREATE EXTENSION citext;
            COMMENT ON DATABASE %1$s IS 'it''s \\ ours';
            ALTER DATABASE %1$s SET work_mem = '8MB';
            ALTER DATABASE %1$s SET "my.setting" = 'a ''quoted'' one';
            ALTER ROLE %2$s IN DATABASE %1$s SET statement_timeout = '7s';
            ALTER DATABASE %1$s CONNECTION LIMIT 50;
            REVOKE ALL ON DATABASE %1$s FROM PUBLIC;
            GRANT CONNECT ON DATABASE %1$s TO %2$s WITH GRANT OPTION;
            GRANT USAGE ON SCHEMA shop TO %2$s;
            GRANT USAGE ON SCHEMA public TO %2$s;
            COMMENT ON SCHEMA public IS NULL;
            ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO %2$s;
            ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"""
                    .formatted(Postgres.quoted(db.name()), Postgres.quoted(reader.name()))
                .split(";\n"));
        OldState.fill(db);
        OldState.run(db, "CREATE TABLE only_old ()", "GRANT SELECT ON only_old TO " + Postgres.quoted(reader.name()),
                "GRANT UPDATE (name), INSERT ON crm_customer TO " + Postgres.quoted(reader.name()));
        try (var database = open(db)) {
            assertEquals("shop", DatabaseSnapshot.of(database).schema().name());
            var before = Fingerprint.of(database, "shop");
            var swap = swap(database);
            run(steps(swap, OldState.migrator(db)));
            database.close();
            assertEquals(PreviousState.State.NEW_IS_LIVE, swap.previous().state(database));
            assertEquals(before, Fingerprint.of(database, "shop"));
            assertEquals("it's \\ ours", DatabaseSnapshot.of(database).comment());
            assertEquals("INSERT", OldState.text(db,
                    "SELECT string_agg(privilege_type, ',') FROM pg_class, aclexplode(relacl) "
                    + "WHERE oid = 'shop.crm_customer'::regclass "
                            + "AND grantee = '%s'::regrole AND privilege_type <> 'SELECT'"
                    .formatted(Postgres.quoted(reader.name()))));
            assertTrue(swap.warnings().stream().anyMatch(w -> w.contains("SELECT on only_old to "
                    + Postgres.quoted(reader.name()).replace("\"", ""))), swap.warnings().toString());
            run(swap.previous().undo(database, false));
            database.close();
            assertEquals(before, Fingerprint.of(database, "shop"));
        }
    }

    @Test void encoding_locale_and_its_provider_are_the_same() throws Exception {
        var tried = new ArrayList<String>();
        for (var options : List.of("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
                "ENCODING 'SQL_ASCII' LC_COLLATE 'POSIX' LC_CTYPE 'C'",
                "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C'",
                "LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '&a < g' LOCALE 'C'",
                "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
                "LOCALE_PROVIDER libc LOCALE 'C' ALLOW_CONNECTIONS true IS_TEMPLATE true")) {
            var name = "locale_" + tried.size() + "_" + System.nanoTime();
            try {
                Postgres.execute("CREATE DATABASE %s TEMPLATE template0 %s".formatted(name, options));
            } catch (IllegalStateException notInThisServer) {
                continue;
            }
            tried.add(options);
            var db = new Postgres.Db(Postgres.HOST, Postgres.database().port(), name, Postgres.SUPERUSER);
            try (var database = open(db)) {
                var before = Fingerprint.of(database, "public");
                var swap = swap(database);
                run(steps(swap, new FakeMigrator(db, "CREATE TABLE t ()")));
                assertEquals(before, Fingerprint.of(database, "public"), options);
                assertEquals("0", OldState.text(db, "SELECT count(*) FROM t"));
            }
        }
        assertTrue(tried.size() >= 2, tried.toString());
        System.out.println("locales tried: " + tried);
    }

    @Test void an_owner_with_createdb_swaps() throws Exception {
        var owner = Postgres.role("owner", "CREATEDB");
        var db = Postgres.database(owner);
        OldState.run(db, "CREATE EXTENSION citext", "CREATE EXTENSION hstore");
        OldState.fill(db);
        var before = Snapshot.of(db);
        try (var database = open(db)) {
            var swap = swap(database);
            run(steps(swap, OldState.migrator(db)));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
            run(swap.previous().undo(database, false));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void a_role_that_may_not_swap_parks_and_the_reason_says_why() {
        var owner = Postgres.role("poor", "");
        var db = Postgres.database(owner);
        try (var database = open(db)) {
            var chosen = choose(database, "auto", false);
            assertEquals("park", chosen.name());
            assertTrue(chosen.reason().contains("may not create databases"), chosen.reason());
            var refused = assertThrows(Failure.class, () -> choose(database, "swap", false)).problem();
            assertEquals(ExitCode.REFUSED, refused.exit());
        }
        var other = Postgres.database();
        OldState.run(other, "CREATE SCHEMA reporting", "CREATE TABLE reporting.t ()");
        try (var database = open(other)) {
            assertTrue(choose(database, "auto", false).reason().contains("other schemas with objects: reporting"));
        }
    }

    @Test void a_copy_that_differs_is_dropped_and_the_tables_are_parked_instead() throws Exception {
        var dba = Postgres.role("dba", "");
        var owner = Postgres.role("creator", "CREATEDB");
        var db = Postgres.database(owner);
        // the owner cannot repeat a grant that another role gave
        OldState.run(db.as(Postgres.SUPERUSER),
                "GRANT CONNECT ON DATABASE %s TO %s WITH GRANT OPTION".formatted(db.name(), dba.name()));
        OldState.run(db.as(dba), "GRANT CONNECT ON DATABASE %s TO pg_monitor".formatted(db.name()));
        try (var database = open(db)) {
            var swap = swap(database);
            var failure = assertThrows(Failure.class, () -> run(steps(swap, OldState.migrator(db))));
            var why = assertInstanceOf(DatabaseCopy.Differs.class, failure.problem(), failure.problem().what());
            assertTrue(why.what().contains("pg_monitor CONNECT"), why.what());
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM pg_database WHERE datname = '%s'"
                    .formatted(swap.previous().scratch())));
            var instead = assertInstanceOf(ParkTables.class, StrategyChoice.instead(swap, why));
            assertTrue(instead.reason().contains("pg_monitor"), instead.reason());
        }
    }

    @Test void a_session_in_the_way_is_named_and_nothing_has_changed() throws Exception {
        var db = filled();
        var before = Snapshot.of(db);
        try (var database = open(db); var blocking = db.connect()) {
            blocking.createStatement().execute("SET application_name = 'the shop'; SELECT 'what it did last'");
            var swap = swap(database);
            var problem = assertThrows(Failure.class, () -> run(steps(swap, OldState.migrator(db)))).problem();
            assertEquals(ExitCode.FAILED, problem.exit());
            assertTrue(problem.what().startsWith("database %s is in use by:\n  pid ".formatted(db.name())),
                    problem.what());
            assertTrue(problem.what().contains("postgres, the shop, 127.0.0.1, idle for ")
                    && problem.what().contains("what it did last"), problem.what());
            assertEquals(List.of("stop these programs, or add --terminate"), problem.next());
            assertTrue(blocking.isValid(1), "it lives on");
        }
        assertEquals(before, Snapshot.of(db));
    }

    @Test void with_terminate_the_session_is_ended_and_the_swap_succeeds() throws Exception {
        var db = filled();
        try (var database = open(db); var blocking = db.connect()) {
            var swap = assertInstanceOf(SwapDatabase.class, choose(database, "auto", true));
            run(steps(swap, OldState.migrator(db)));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
            assertThrows(SQLException.class, () -> blocking.createStatement().execute("SELECT 1"));
            try (var another = db.connect()) {
                run(swap.previous().undo(database, true));
            }
            assertEquals("200", OldState.text(db, "SELECT count(*) FROM crm_customer"));
        }
    }

    @Test void a_session_of_another_role_is_named_too_and_may_not_be_ended() throws Exception {
        var owner = Postgres.role("owner", "CREATEDB");
        var db = Postgres.database(owner);
        try (var database = open(db); var blocking = db.as(Postgres.SUPERUSER).connect()) {
            var swap = assertInstanceOf(SwapDatabase.class, choose(database, "auto", true));
            var problem = assertThrows(Failure.class, () -> run(steps(swap, new FakeMigrator(db)))).problem();
            assertEquals(ExitCode.FAILED, problem.exit());
            assertTrue(problem.what().startsWith("database %s is in use by:\n  pid ".formatted(db.name()))
                    && problem.what().contains(", postgres, "), problem.what());
            assertEquals(List.of("stop these programs: this role may not terminate their sessions, or they have"
                    + " reconnected"), problem.next());
            assertTrue(blocking.isValid(1));
        }
    }

    @Test void a_reset_that_affects_replication_is_refused_unless_allowed() {
        var db = Postgres.database();
        OldState.run(db, "CREATE PUBLICATION everything FOR ALL TABLES");
        try (var database = open(db)) {
            var problem = assertThrows(Failure.class, () -> choose(database, "auto", false)).problem();
            assertEquals(ExitCode.REFUSED, problem.exit());
            assertTrue(problem.what().contains("publication everything"));
            assertEquals("park", StrategyChoice.choose(database, DatabaseSnapshot.of(database),
                    StrategyChoice.Wanted.auto, runId(), false, true).name());
        }
    }

    @Test void purge_refuses_a_database_that_holds_what_another_run_parked() throws Exception {
        var db = Postgres.database();
        OldState.fill(db);
        try (var database = open(db)) {
            var park = (ParkTables) choose(database, "park", false);
            var migrator = OldState.migrator(db);
            run(List.of(park.parkAndMigrate(migrator), park.commit(migrator)));
            assertEquals("park", choose(database, "auto", false).name(),
                    "a parked schema keeps the database from being swapped");

            var inner = PreviousDatabase.class.cast(new PreviousDatabase("20261122-180000-ffff", db.name(),
                    DatabaseSnapshot.of(database).oid(), db.name() + "_new_x", db.name() + "_before_x",
                    db.name() + "_undone_x", null));
            database.close();
            Postgres.execute("ALTER DATABASE %s RENAME TO %s_before_x".formatted(db.name(), db.name()));
            Postgres.execute("CREATE DATABASE " + db.name());
            var problem = assertThrows(Failure.class, () -> inner.purge(database, false).run()).problem();
            assertEquals(ExitCode.REFUSED, problem.exit());
            assertTrue(problem.what().contains(park.previous().run()), problem.what());
        }
    }

    @Test void previous_states_survive_json() {
        var gson = new Gson();
        for (var aside : List.<PreviousState>of(new PreviousDatabase("r", "a", 4_000_000_000L, "b", "c", "d", null),
                new PreviousSchema(
                        "r", "db", "public", "p", "u", true, java.util.Map.of("pg_class", List.of(1L, 4_000_000_000L))),
                new DroppedTables("r", "db", "public", List.of(7L)))) {
            var text = gson.toJson(aside.toJson(gson));
            assertEquals(aside, PreviousState.of(gson.fromJson(text, JsonObject.class), gson));
        }
        assertNull(PreviousState.of(null, gson));
    }
}
