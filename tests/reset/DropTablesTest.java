package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.Database;
import org.junit.jupiter.api.Test;
import support.FakeMigrator;
import support.OldState;
import support.Postgres;
import support.Snapshot;

class DropTablesTest {
    private static DropTables drop(Database database) {
        return assertInstanceOf(DropTables.class, SwapDatabaseTest.choose(database, "drop", false));
    }

    @Test void tables_are_dropped_and_other_objects_stay() throws Exception {
        var reader = Postgres.role("reader", "");
        var db = Postgres.database();
        OldState.run(db, "CREATE EXTENSION citext");
        OldState.fill(db);
        OldState.run(db, "GRANT SELECT ON crm_customer TO " + reader.name());
        try (var database = SwapDatabaseTest.open(db)) {
            var drop = drop(database);
            assertTrue(drop.warnings().getFirst().contains("only a backup"));
            assertEquals(PreviousState.State.OLD_IS_LIVE, drop.previous().state(database));
            drop.drop(Set.of()).undo(); // nothing was dropped yet
            SwapDatabaseTest.run(List.of(drop.drop(Set.of()), drop.migrate(OldState.migrator(db))));
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM crm_customer"));
            assertEquals("3", OldState.text(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"));
            assertEquals("1", OldState.text(db, "SELECT count(*) FROM pg_type WHERE typname = 'mood'"));
            assertEquals("t", OldState.text(
                    db, "SELECT has_table_privilege('%s', 'crm_customer', 'SELECT')".formatted(reader.name())));
            assertEquals(PreviousState.State.NEW_IS_LIVE, drop.previous().state(database));
            assertEquals(ExitCode.REFUSED, assertThrows(Failure.class, () -> drop.previous().undo(database, false))
                    .problem().exit());
        }
    }

    @Test void a_failure_after_the_drop_says_that_only_the_backup_has_them() throws Exception {
        var db = Postgres.database();
        OldState.fill(db);
        try (var database = SwapDatabaseTest.open(db)) {
            var drop = drop(database);
            var failure = assertThrows(Failure.class, () -> SwapDatabaseTest.run(
                    List.of(drop.drop(Set.of()), drop.migrate(new FakeMigrator(db, "SELECT 1 / 0")))));
            assertEquals(ExitCode.REFUSED, failure.problem().exit());
            assertEquals("tables of database %s were dropped: only a backup has them".formatted(db.name()),
                    failure.problem().what());
            assertTrue(failure.problem().next().getFirst().contains(" restore FILE --into " + db.name() + "_old"),
                    failure.problem().next().toString());
        }
    }

    @Test void a_cascade_into_another_schema_and_tables_of_others_are_refused() throws Exception {
        var db = Postgres.database();
        OldState.fill(db);
        OldState.run(db, "CREATE SCHEMA other", "CREATE VIEW other.names AS SELECT name FROM crm_customer",
                "CREATE TABLE other.uses (c crm_customer)");
        try (var database = SwapDatabaseTest.open(db)) {
            var problem = assertThrows(Failure.class, () -> drop(database)).problem();
            assertEquals(ExitCode.REFUSED, problem.exit());
            assertTrue(problem.what().contains("view other.names") && problem.what().contains("table other.uses"),
                    problem.what());
            OldState.run(db, "DROP SCHEMA other CASCADE");
            drop(database);
        }
        var owner = Postgres.role("owner", "");
        var theirs = Postgres.database(owner);
        OldState.run(theirs, "CREATE TABLE mine (id int)", "GRANT ALL ON mine TO PUBLIC");
        OldState.run(theirs.as(Postgres.SUPERUSER), "CREATE VIEW foreign_view AS SELECT * FROM mine");
        try (var database = SwapDatabaseTest.open(theirs)) {
            assertTrue(assertThrows(Failure.class, () -> drop(database)).problem().what().contains("foreign_view"));
        }
    }

    @Test void a_thousand_tables_are_dropped_with_the_default_lock_table() throws Exception {
        var db = Postgres.database();
        for (int batch = 0; batch < 10; batch++)
            OldState.run(db, IntStream.range(batch * 100, batch * 100 + 100).mapToObj(
                        "CREATE TABLE t%d (id serial PRIMARY KEY, a int UNIQUE, b text UNIQUE)"::formatted)
                        .collect(Collectors.joining(";")));
        try (var database = SwapDatabaseTest.open(db)) {
            drop(database).drop(Set.of()).run();
            assertEquals("0", OldState.text(db, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"));
        }
    }

    @Test void a_missing_row_makes_a_snapshot_differ() throws Exception {
        var db = Postgres.database();
        OldState.fill(db);
        var before = Snapshot.of(db);
        OldState.run(db, "DELETE FROM crm_event WHERE what = 'e7'");
        assertNotEquals(before, Snapshot.of(db));
    }
}
