package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.OldState;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** Other sessions in the database: named, and with {@code --terminate} ended and kept out. */
class BlockersTest {
    private static final AtomicInteger ENDED = new AtomicInteger(), NAMED = new AtomicInteger();

    @TempDir Path temp;
    private SampleProject shop;
    private Postgres.Db db;

    private void project() throws Exception {
        shop = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")).toRealPath(), Map.of("shop/models.py",
                        """
                        from django.db import models
                        class Order(models.Model):
                            number = models.IntegerField()
                        """,
                        "shop/migrations/0001_old.py",
                        "from django.db import migrations\nclass Migration(migrations.Migration):\n    pass\n"));
        db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        OldState.run(db, "CREATE TABLE old_order (id int PRIMARY KEY)", "INSERT INTO old_order VALUES (7)");
        shop.env(db);
    }

    @AfterAll static void figures() {
        System.out.printf("sessions ended: %d, blockers named: %d%n", ENDED.get(), NAMED.get());
    }

    private Tool.Output reset(int code, String... args) throws Exception {
        var output = Tool.in(shop.root(), "reset_migrations").warm()
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).run(args);
        assertEquals(code, output.code(), output.all());
        return output;
    }

    /** A program that reconnects at once when it is disconnected, and takes its lock again. */
    private static final class Returning implements AutoCloseable {
        private final AtomicInteger ended = new AtomicInteger();
        private final Thread thread;
        private volatile boolean over;

        Returning(Postgres.Db db, String sql) {
            thread = Thread.ofPlatform().daemon().start(() -> {
                while (!over) {
                    try (var connection = db.connect()) {
                        connection.setAutoCommit(false);
                        connection.createStatement().execute(sql);
                        while (!over) {
                            connection.createStatement().execute("SELECT 1");
                            Thread.sleep(5);
                        }
                    } catch (SQLException thrownOut) {
                        if ("57P01".equals(thrownOut.getSQLState()) || "08006".equals(thrownOut.getSQLState()))
                            ended.incrementAndGet();
                    } catch (InterruptedException enough) {
                        return;
                    }
                }
            });
        }

        @Override public void close() throws Exception {
            over = true;
            thread.join();
            ENDED.addAndGet(ended.get());
        }
    }

    static List<String> named() {
        return Sample.of("named", List.of("swap", "park"), 1);
    }

    @ParameterizedTest
    @MethodSource("named")
    void a_session_is_named_in_the_plan_and_in_the_failure_and_everything_is_as_it_was(String strategy)
            throws Exception {
        project();
        var rows = Snapshot.of(db);
        var files = Snapshot.of(shop.root());
        try (var other = db.connect()) {
            other.setAutoCommit(false);
            other.createStatement()
                    .execute("SET application_name = 'till'; SELECT\t'\u001b[2J' FROM old_order /* " + "x".repeat(200)
                            + " */\nWHERE true");
            var words = "till, 127.0.0.1, idle in transaction for ";
            var output = reset(1, "--yes", "--strategy", strategy);
            assertTrue(output.out().contains("1 session in the way") && output.out().contains(words)
                    && output.says("gives up with everything as it was"), output.all());
            assertTrue(output.err().contains(words), output.err());
            var line = output.err().lines().filter(l -> l.contains(words)).findFirst().orElseThrow();
            assertTrue(line.matches(".*for \\d+ s: SELECT.{0,80}…") && line.contains("'?[2J'"), line);
            assertTrue(line.replaceFirst(".*?: ", "").length() <= 80, line);
            NAMED.incrementAndGet();
            other.rollback();
        }
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(shop.root()));
        assertFalse(reset(0, "--dry-run", "--strategy", strategy).out().contains("in the way"), "no session is left");
    }

    static List<String> keptOut() {
        return Sample.of("keptOut", List.of("swap", "park"), 1);
    }

    @ParameterizedTest @MethodSource("keptOut")
    void clients_that_reconnect_at_once_are_kept_out_of_reset_undo_and_purge(String strategy) throws Exception {
        project();
        var rows = Snapshot.of(db);
        try (var till = new Returning(db, "LOCK TABLE old_order IN ACCESS SHARE MODE")) {
            Thread.sleep(300);
            assertTrue(reset(0, "--yes", "--terminate", "--strategy", strategy).out()
                    .contains("disconnected before the swap"));
        }
        assertNotEquals(rows, Snapshot.of(db));
        try (var till = new Returning(db, "LOCK TABLE shop_order IN ACCESS SHARE MODE")) {
            Thread.sleep(300);
            reset(0, "undo", "--yes", "--terminate");
        }
        assertEquals(rows, Snapshot.of(db));
        var undone = strategy.equals("swap") ? new Postgres.Db(db.host(), db.port(), OldState.text(db,
                "SELECT datname FROM pg_database WHERE starts_with(datname, '" + db.name()
                + "_undone_')"), db.role()) : db;
        var table = strategy.equals("swap") ? "shop_order"
                : OldState.text(db, "SELECT oid::regclass::text FROM pg_class WHERE relname = 'shop_order'");
        try (var till = new Returning(undone, "LOCK TABLE " + table + " IN ACCESS SHARE MODE")) {
            Thread.sleep(300);
            var refused = reset(1, "purge", "--yes", "--no-backup").err();
            // between its statements, or in the middle of one
            assertTrue(refused.contains("idle in transaction") || refused.contains(", active "), refused);
            NAMED.incrementAndGet();
            reset(0, "purge", "--yes", "--no-backup", "--terminate");
        }
        assertEquals(rows, Snapshot.of(db));
    }

    // ---- without the command -----------------------------------------------------------------

    private static Strategy choose(Database database, String wanted, boolean terminate, boolean allowReplication) {
        return StrategyChoice.choose(database, DatabaseSnapshot.of(database), StrategyChoice.Wanted.valueOf(wanted),
                SwapDatabaseTest.runId(), terminate, allowReplication);
    }

    private static void run(Database database, String wanted, boolean terminate, Postgres.Db db, boolean allow)
            throws Exception {
        var strategy = choose(database, wanted, terminate, allow);
        var migrator = OldState.migrator(db);
        SwapDatabaseTest.run(switch (strategy) {
            case SwapDatabase swap -> List.of(swap.createScratch(), swap.migrate(migrator), swap.swap());
            case ParkTables park -> List.of(park.parkAndMigrate(migrator), park.commit(migrator));
            default -> throw new IllegalArgumentException(wanted);
        });
    }

    static List<String> notEnded() {
        return Sample.of("notEnded", List.of("swap", "park"), 1);
    }

    @ParameterizedTest @MethodSource("notEnded")
    void a_session_that_may_not_be_ended_is_named_and_everything_is_as_it_was(String strategy) throws Exception {
        var db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        OldState.fill(db);
        var before = Snapshot.of(db);
        try (var root = db.as(Postgres.SUPERUSER).connect(); var database = Database.open(db.credentials())) {
            root.setAutoCommit(false);
            root.createStatement().execute("SELECT 1 FROM crm_customer");
            var failure = assertThrows(Failure.class, () -> run(database, strategy, true, db, false));
            assertEquals(ExitCode.FAILED, failure.problem().exit());
            assertTrue(failure.problem().what().contains(", postgres, "), failure.problem().what());
            assertEquals(List.of("stop these programs: this role may not terminate their sessions, or they have"
                    + " reconnected"), failure.problem().next());
            NAMED.incrementAndGet();
            root.rollback();
        }
        assertEquals(before, Snapshot.of(db));
    }

    static List<String> replicated() {
        return Sample.of("replicated", List.of("swap", "park"), 1);
    }

    @ParameterizedTest @MethodSource("replicated")
    void replication_is_refused_and_allowed(String strategy) throws Exception {
        for (var hindrance : List.of("CREATE PUBLICATION p FOR ALL TABLES",
                "CREATE PUBLICATION p FOR TABLES IN SCHEMA public", "CREATE PUBLICATION p FOR TABLE crm_parent",
                "SELECT pg_create_logical_replication_slot('slot_" + strategy + "', 'pgoutput')",
                "BEGIN; INSERT INTO crm_parent VALUES (9); PREPARE TRANSACTION 'two_" + strategy + "'")) {
            var db = Postgres.database();
            OldState.fill(db);
            OldState.run(db, hindrance.split("; "));
            var before = Snapshot.of(db);
            try (var database = Database.open(db.credentials())) {
                var named = hindrance.contains(
                        "FOR TABLE crm_parent"); // only these tables, by oid: a warning names them
                if (!named) {
                    var refused =
                            assertThrows(Failure.class, () -> choose(database, strategy, false, false), hindrance);
                    assertEquals(ExitCode.REFUSED, refused.problem().exit(), hindrance);
                }
                if (hindrance.contains("PREPARE")) { // allowed, but it locks the tables: it is named, nothing changes
                    try {
                        var failure = assertThrows(Failure.class, () -> run(database, strategy, true, db, true));
                        assertTrue(
                                failure.problem().what().matches("(?s).*prepared transaction:? two_" + strategy + ".*"),
                                failure.problem().what()); // swap does not begin
                        NAMED.incrementAndGet();
                        assertEquals(before, Snapshot.of(db));
                    } finally { // the next slot would wait for it
                        OldState.run(db, "ROLLBACK PREPARED 'two_" + strategy + "'");
                    }
                } else {
                    try {
                        run(database, strategy, false, db, true);
                    } catch (Failure failure) { // a database that cannot be copied exactly is parked instead
                        assertTrue(strategy.equals("swap")
                                        && (hindrance.contains("PUBLICATION") || hindrance.contains("slot")),
                                hindrance + ": " + failure.problem().what());
                        assertEquals(before, Snapshot.of(db));
                    }
                }
            }
            if (hindrance.contains("slot")) {
                assertEquals(db.name(), OldState.text(db,
                        "SELECT database FROM pg_replication_slots WHERE slot_name = 'slot_" + strategy + "'"));
                OldState.run(db, "SELECT pg_drop_replication_slot('slot_" + strategy + "')");
            }
        }
    }
}
