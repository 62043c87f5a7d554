package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import lib.django.Migrator;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import support.FakeMigrator;
import support.OldState;
import support.Postgres;
import support.Snapshot;

class ParkTablesTest {
    private static ParkTables park(Database database) {
        return assertInstanceOf(ParkTables.class, SwapDatabaseTest.choose(database, "park", false));
    }

    private static List<Step> steps(ParkTables park, Migrator migrator) {
        return park.inTransaction() ? List.of(park.parkAndMigrate(migrator), park.commit(migrator))
                : List.of(park.park(), park.migrate(migrator));
    }

    private static Postgres.Db filled(Postgres.Role owner) {
        var db = Postgres.database(owner);
        OldState.run(db, "CREATE EXTENSION citext", "CREATE EXTENSION pg_trgm", "CREATE EXTENSION hstore");
        OldState.fill(db);
        OldState.run(db, "CREATE TABLE typed (a citext, b hstore)", "CREATE INDEX ON typed USING gin (b)",
                "INSERT INTO typed VALUES ('ONE', 'a=>1')");
        return db;
    }

    private static Failure refused(Postgres.Db db, String wanted) {
        try (var database = SwapDatabaseTest.open(db)) {
            return assertThrows(Failure.class, () -> SwapDatabaseTest.choose(database, wanted, false));
        }
    }

    private static String objectsIn(Postgres.Db db, String schema) {
        return OldState.text(db, """
            SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid)
                + (SELECT count(*) FROM pg_proc WHERE pronamespace = n.oid)
                 + (SELECT count(*) FROM pg_type WHERE typnamespace = n.oid)
                     FROM pg_namespace n WHERE nspname = '%s'""".formatted(schema));
    }

    private static void thereAndBack(Postgres.Db db, boolean inTransaction) throws Exception {
        var before = Snapshot.of(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = inTransaction ? park(database) : park(database).withoutTransaction();
            assertEquals(inTransaction, park.inTransaction());
            assertEquals(PreviousState.State.OLD_IS_LIVE, park.previous().state(database));
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));

            assertEquals(PreviousState.State.NEW_IS_LIVE, park.previous().state(database));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
            assertEquals("citext", OldState.text(db,
                    "SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid ="
                    + " 'crm_customer'::regclass AND attname = 'name'"));
            assertEquals("t", OldState.text(db,
                    "SELECT 'A'::citext = 'a' AND similarity('abc', 'abd') > 0 AND ('a=>1'::hstore -> 'a') ="
                    + " '1'"), "extensions stay usable");
            assertEquals("ONE", OldState.text(db, "SELECT a FROM %s.typed WHERE a = 'one' AND b ? 'a'"
                    .formatted(park.previous().parked()).replace("?", "??")));
            assertNotEquals(before, Snapshot.of(db), "the comparison sees a difference");
            assertTrue(park.previous().bytes(database) > 100_000);

            SwapDatabaseTest.run(park.previous().undo(database, false));
            assertEquals(before, Snapshot.of(db));
            assertEquals(PreviousState.State.OLD_IS_LIVE, park.previous().state(database));
            assertEquals(List.of(), park.previous().undo(database, false));
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM %s.django_migrations"
                    .formatted(park.previous().undone())), "the newer state is set aside");
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM pg_namespace WHERE nspname = '%s'"
                    .formatted(park.previous().parked())));

            park.previous().purge(database, false).run();
            assertEquals(
                    "0", OldState.text(db, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'"));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void everything_is_parked_and_restored_in_one_transaction() throws Exception {
        thereAndBack(filled(Postgres.SUPERUSER), true);
    }

    @Test void a_commit_with_an_unknown_result_is_not_undone_while_its_locks_are_held() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = (ParkTables) SwapDatabaseTest.choose(database, "park", false);
            var working = OldState.migrator(db);
            park.parkAndMigrate(working).run();
            var commit = park.commit(OldState.migrator(db)); // one that does not know the result of the COMMIT
            var locked = assertThrows(Failure.class, commit::undo).problem();
            assertEquals(ExitCode.FAILED, locked.exit());
            assertTrue(locked.what().startsWith("tables are locked by others for more than five seconds:\n  pid "),
                    locked.what());
            working.commit();
            assertEquals(PreviousState.State.NEW_IS_LIVE, park.previous().state(database));
            commit.undo();
            assertEquals(PreviousState.State.OLD_IS_LIVE, park.previous().state(database));
        }
    }

    @Test void everything_is_parked_and_restored_in_batches() throws Exception {
        thereAndBack(filled(Postgres.SUPERUSER), false);
    }

    @Test void an_owner_without_createdb_parks() throws Exception {
        var db = filled(Postgres.role("owner", ""));
        try (var database = SwapDatabaseTest.open(db)) {
            assertInstanceOf(ParkTables.class, SwapDatabaseTest.choose(database, "auto", false));
        }
        thereAndBack(db, true);
        thereAndBack(db, false);
    }

    @Test void another_schema_of_the_search_path_is_parked_and_public_is_left_alone() throws Exception {
        var db = Postgres.database();
        OldState.run(db, "ALTER DATABASE %s SET search_path = shop, public".formatted(db.name()), "CREATE SCHEMA shop",
                "CREATE TABLE public.mine (id int)", "INSERT INTO public.mine VALUES (1)",
                "CREATE EXTENSION citext SCHEMA public");
        OldState.fill(db);
        var before = Snapshot.of(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM shop.crm_customer"));
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM public.mine"));
            SwapDatabaseTest.run(park.previous().undo(database, false));
        }
        assertEquals(before, Snapshot.of(db));
    }

    @Test void a_role_that_owns_only_the_tables_gets_a_statement_for_its_dba_that_suffices() throws Exception {
        var owner = Postgres.role("Only \"tables\"", "");
        var db = Postgres.database();
        var quoted = Postgres.quoted(owner.name());
        OldState.run(db, "CREATE EXTENSION citext", "GRANT USAGE, CREATE ON SCHEMA public TO " + quoted);
        OldState.fill(db.as(owner));
        var theirs = db.as(owner);
        var before = Snapshot.of(theirs);
        var problem = refused(theirs, "auto").problem();
        assertEquals(ExitCode.REFUSED, problem.exit());
        var lines = problem.next().stream().filter(l -> l.startsWith("CREATE SCHEMA")).toList();
        assertEquals(List.of("CREATE SCHEMA reset_parked AUTHORIZATION %s;".formatted(quoted),
                "CREATE SCHEMA reset_undone AUTHORIZATION %s;".formatted(quoted)), lines);
        OldState.run(db, lines.toArray(String[]::new));
        try (var database = SwapDatabaseTest.open(theirs)) {
            var park = park(database);
            assertEquals("reset_parked", park.previous().parked());
            SwapDatabaseTest.run(steps(park, OldState.migrator(theirs)));
            assertEquals("0", OldState.text(theirs, "SELECT count(*) FROM crm_customer"));
            assertTrue(refused(theirs, "park").problem().next()
                            .contains("CREATE SCHEMA reset_parked_2 AUTHORIZATION %s;".formatted(quoted)),
                    "a full pair is not used twice");
            SwapDatabaseTest.run(park.previous().undo(database, false));
            assertEquals(before, Snapshot.of(theirs));
            park.previous().purge(database, false).run();
            assertEquals("0", objectsIn(db, "reset_parked"));
            assertEquals("0", objectsIn(db, "reset_undone"));
            assertEquals("reset_parked", park(database).previous().parked(),
                    "a DBA's schemas stay, empty, for the next time");
        }
    }

    @Test void a_failed_migration_leaves_everything_as_it_was() throws Exception {
        for (boolean inTransaction : new boolean[] {true, false}) {
            var db = filled(Postgres.SUPERUSER);
            var before = Snapshot.of(db);
            try (var database = SwapDatabaseTest.open(db)) {
                var park = inTransaction ? park(database) : park(database).withoutTransaction();
                assertThrows(Failure.class, () -> SwapDatabaseTest.run(steps(park, OldState.failing(db))));
                assertEquals(before, Snapshot.of(db));
                assertEquals("0",
                        OldState.text(db, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'"));
            }
        }
    }

    @Test void objects_that_others_create_during_a_failed_park_survive() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        try (var database = SwapDatabaseTest.open(db); var blocking = db.connect()) {
            blocking.setAutoCommit(false);
            blocking.createStatement().execute(
                            "SELECT 1 FROM typed"); // the last table: earlier objects were moved by then, or are in its
                                                    // batch
            var park = park(database).withoutTransaction();
            var step = park.park();
            assertThrows(Failure.class, step::run);
            OldState.run(db, "CREATE TABLE of_others (id int)", "INSERT INTO of_others VALUES (1)");
            blocking.rollback();
            step.undo();
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM of_others"));
            assertEquals("200", OldState.text(db, "SELECT count(*) FROM crm_customer"));
        }
    }

    @Test void a_failure_after_the_commit_puts_everything_back() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        var before = Snapshot.of(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            var migrator = OldState.migrator(db);
            assertThrows(Failure.class, () -> SwapDatabaseTest.run(
                            List.of(park.parkAndMigrate(migrator), park.commit(migrator), Step.of("check", () -> {
                                assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
                                throw Failure.refused("not confirmed");
                            }))));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void the_state_after_a_killed_park_or_undo_can_be_undone() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        var before = Snapshot.of(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database).withoutTransaction();
            var parked = park.previous().parked();
            // a park that was killed half way
            OldState.run(db, "CREATE SCHEMA " + parked, "COMMENT ON SCHEMA %s IS 'reset_migrations %s: half'"
                            .formatted(parked, park.previous().run()), "ALTER TABLE crm_order SET SCHEMA " + parked,
                    "ALTER TYPE mood SET SCHEMA " + parked, "ALTER FUNCTION crm_touch() SET SCHEMA " + parked);
            assertEquals(PreviousState.State.HALF, park.previous().state(database));
            var refused = assertThrows(Failure.class, () -> park.previous().purge(database, false).run()).problem();
            assertEquals(ExitCode.REFUSED, refused.exit());
            assertEquals("run %s was killed half way: its old state is partly in use".formatted(park.previous().run()),
                    refused.what());
            assertEquals(List.of("undo it first, which brings the old state together"), refused.next());
            SwapDatabaseTest.run(park.previous().undo(database, false));
            assertEquals(before, Snapshot.of(db));

            // an undo that was killed half way: some newer objects are moved away, some old ones are back
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            var undone = park.previous().undone();
            OldState.run(db, "CREATE SCHEMA " + undone, "COMMENT ON SCHEMA %s IS 'reset_migrations %s: half'"
                            .formatted(undone, park.previous().run()), "ALTER TABLE crm_customer SET SCHEMA " + undone,
                    "ALTER TABLE %s.crm_customer SET SCHEMA public".formatted(parked));
            assertEquals(PreviousState.State.HALF, park.previous().state(database));
            SwapDatabaseTest.run(park.previous().undo(database, false));
            assertEquals(before, Snapshot.of(db));
            assertEquals("2", OldState.text(db,
                    "SELECT count(*) FROM pg_tables WHERE schemaname = '%s' AND tablename LIKE 'crm%%'"
                    .formatted(undone)));
        }
    }

    @Test void a_failed_undo_restores_the_newer_state() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            var after = Snapshot.of(db);
            var back = park.previous().undo(database, false);
            SwapDatabaseTest.run(back);
            back.getFirst().undo();
            assertEquals(after, Snapshot.of(db));
            assertEquals(PreviousState.State.NEW_IS_LIVE, park.previous().state(database));
        }
    }

    @Test void two_resets_are_undone_latest_first() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        var before = Snapshot.of(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var first = park(database);
            SwapDatabaseTest.run(steps(first, OldState.migrator(db)));
            OldState.run(db, "INSERT INTO crm_customer (name) VALUES ('between')");
            var between = Snapshot.of(db);
            var second = park(database);
            SwapDatabaseTest.run(steps(second, OldState.migrator(db)));
            SwapDatabaseTest.run(second.previous().undo(database, false));
            assertEquals(between, Snapshot.of(db));
            SwapDatabaseTest.run(first.previous().undo(database, false));
            assertEquals(before, Snapshot.of(db));
        }
    }

    @Test void purge_drops_what_is_parked_and_nothing_else() throws Exception {
        for (var owner : List.of(Postgres.SUPERUSER, Postgres.role("owner", "")))
            purgeDropsOnlyWhatIsParked(filled(owner));
    }

    private static void purgeDropsOnlyWhatIsParked(Postgres.Db db) throws Exception {
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            OldState.run(db, "CREATE SCHEMA reports", "CREATE VIEW reports.old AS SELECT name FROM %s.crm_names"
                    .formatted(park.previous().parked()));
            var after = Snapshot.of(db);
            var problem = assertThrows(Failure.class, () -> park.previous().purge(database, false).run()).problem();
            assertEquals(ExitCode.REFUSED, problem.exit());
            assertEquals("""
                dropping schema %s would also drop (CASCADE):
                  rule _RETURN on view reports.old in schema reports
                  type reports.old in schema reports
                  type reports.old[] in schema reports
                  view reports.old in schema reports""".formatted(park.previous().parked()), problem.what());
            OldState.run(db, "DROP VIEW reports.old");
            park.previous().purge(database, false).run();
            assertEquals(PreviousState.State.GONE, park.previous().state(database));
            // a role without superuser cannot move a range's constructors; they are dropped with their type
            assertEquals(after.stream().filter(l -> !l.contains("reports") && !l.contains(park.previous().parked())
                    && !l.contains("span")).toList(), Snapshot.of(db));
            assertEquals(
                    "0", OldState.text(db, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'"));
        }
    }

    @Test void foreign_keys_and_views_of_other_schemas_are_named() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        OldState.run(db, "CREATE SCHEMA other", "CREATE VIEW other.names AS SELECT name FROM crm_names");
        try (var database = SwapDatabaseTest.open(db)) {
            var warnings = park(database).warnings();
            assertTrue(warnings.stream().anyMatch(w -> w.contains("view other.names")), warnings.toString());
            assertFalse(warnings.stream().anyMatch(w -> w.contains("goes on") && !w.contains("other")),
                    warnings.toString());
        }
        OldState.run(db, "CREATE TABLE other.note (id int, customer bigint REFERENCES crm_customer)");
        var problem = refused(db, "park").problem();
        assertEquals(ExitCode.REFUSED, problem.exit());
        assertTrue(problem.what().contains("note_customer_fkey of other.note, to crm_customer"), problem.what());
    }

    @Test void tables_of_another_owner_are_refused_with_statements_for_the_dba() throws Exception {
        var owner = Postgres.role("owner", "");
        var db = Postgres.database(owner);
        OldState.run(db.as(Postgres.SUPERUSER), "CREATE TABLE \"Their's\" ()", "CREATE TYPE stays AS ENUM ('a')");
        var problem = refused(db, "auto").problem();
        assertEquals(ExitCode.REFUSED, problem.exit());
        var line = "ALTER TABLE public.\"Their's\" OWNER TO %s;".formatted(Postgres.quoted(owner.name()));
        assertTrue(problem.next().contains(line), problem.next().toString());
        OldState.run(db.as(Postgres.SUPERUSER), line);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            assertTrue(
                    park.warnings().stream().anyMatch(w -> w.contains("type public.stays") && w.contains("postgres")),
                    park.warnings().toString());
            var migrator = new FakeMigrator(db, "CREATE TABLE fresh ()");
            SwapDatabaseTest.run(steps(park, migrator));
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"));
        }
    }

    @Test void trigger_functions_that_name_tables_cause_a_warning() throws Exception {
        var db = Postgres.database();
        OldState.run(db, "CREATE TABLE audit (what text)", "CREATE TABLE audited (id int)",
                "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES ('x');"
                        + " RETURN NEW; END $$",
                "CREATE TRIGGER t AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION note()");
        try (var database = SwapDatabaseTest.open(db)) {
            var warnings = park(database).warnings();
            assertEquals(1, warnings.size(), warnings.toString());
            assertTrue(warnings.getFirst().contains("note names audit in its text"), warnings.toString());
        }
    }

    @Test void grants_are_granted_again_by_name() throws Exception {
        var reader = Postgres.role("reader", "");
        var db = filled(Postgres.SUPERUSER);
        OldState.run(db, "GRANT SELECT ON crm_customer, crm_child TO " + reader.name());
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            assertEquals("t", OldState.text(
                    db, "SELECT has_table_privilege('%s', 'crm_customer', 'SELECT')".formatted(reader.name())));
            assertTrue(park.warnings().stream().anyMatch(w -> w.contains("SELECT on crm_child")),
                    park.warnings().toString());
        }
    }

    @Test void a_session_that_holds_a_table_is_named_or_ended() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        var before = Snapshot.of(db);
        for (boolean inTransaction : new boolean[] {true, false}) {
            try (var database = SwapDatabaseTest.open(db); var blocking = db.connect()) {
                blocking.setAutoCommit(false);
                blocking.createStatement().execute("SELECT name FROM crm_customer LIMIT 1");
                var park = inTransaction ? park(database) : park(database).withoutTransaction();
                var problem = assertThrows(
                                Failure.class, () -> SwapDatabaseTest.run(steps(park, OldState.migrator(db))))
                        .problem();
                assertEquals(ExitCode.FAILED, problem.exit());
                assertTrue(problem.what().startsWith("tables are locked by others for more than five seconds:\n  pid "),
                        problem.what());
                assertEquals(List.of("stop these programs, or add --terminate"), problem.next());
                assertTrue(problem.what().contains("idle in transaction for ")
                        && problem.what().contains("SELECT name FROM crm_customer"), problem.what());
                blocking.rollback();
                assertEquals(before, Snapshot.of(db));
            }
        }
        try (var database = SwapDatabaseTest.open(db); var blocking = db.connect()) {
            blocking.setAutoCommit(false);
            blocking.createStatement().execute("SELECT name FROM crm_customer LIMIT 1");
            var park = (ParkTables) SwapDatabaseTest.choose(database, "park", true);
            SwapDatabaseTest.run(steps(park, OldState.migrator(db)));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
        }
    }

    @Test void a_schema_that_changed_since_the_plan_is_left_alone() throws Exception {
        var db = filled(Postgres.SUPERUSER);
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            OldState.run(db, "CREATE TABLE late ()");
            var problem = assertThrows(Failure.class, () -> SwapDatabaseTest.run(steps(park, OldState.migrator(db))))
                    .problem();
            assertEquals(ExitCode.FAILED, problem.exit());
            assertEquals("schema public has changed since the plan was made", problem.what());
        }
    }

    @Test void three_thousand_tables_are_parked_and_restored_with_the_default_lock_table() throws Exception {
        var db = Postgres.database();
        for (int batch = 0; batch < 30; batch++) {
            int from = batch * 100;
            OldState.run(db, IntStream.range(from, from + 100).mapToObj(
                    i -> "CREATE TABLE t%d (id serial PRIMARY KEY, a int UNIQUE, b int REFERENCES t%d)"
                    .formatted(i, i == 0 ? 0 : i - 1)).collect(Collectors.joining(";")));
        }
        try (var database = SwapDatabaseTest.open(db)) {
            assertEquals("64", OldState.text(db, "SHOW max_locks_per_transaction"));
            var park = park(database);
            assertFalse(park.inTransaction());
            SwapDatabaseTest.run(steps(park, new FakeMigrator(db, "CREATE TABLE t0 (id int)")));
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"));
            SwapDatabaseTest.run(park.previous().undo(database, false));
            assertEquals("3000", OldState.text(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"));
            SwapDatabaseTest.run(steps(park(database), new FakeMigrator(db, "CREATE TABLE t0 (id int)")));
            park.previous().purge(database, false).run();
        }
    }

    @Tag("exhaustive")
    @Test void purge_of_three_thousand_tables_fits_into_the_default_lock_table() throws Exception {
        var db = Postgres.database();
        for (int batch = 0; batch < 30; batch++)
            OldState.run(db, IntStream.range(batch * 100, batch * 100 + 100)
                        .mapToObj("CREATE TABLE t%d (id serial PRIMARY KEY, a int UNIQUE)"::formatted)
                        .collect(Collectors.joining(";")));
        try (var database = SwapDatabaseTest.open(db)) {
            var park = park(database);
            SwapDatabaseTest.run(steps(park, new FakeMigrator(db, "CREATE TABLE t0 (id int)")));
            park.previous().purge(database, false).run();
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384"));
        }
    }
}
