package lib.reset;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/**
 * Everything of the current schema that no extension owns moves to another schema of the same database. In one
 * transaction with the migrations where the lock table has room for it, else in batches that can be taken back.
 *
 * @param inTransaction parking and migrating fit into one transaction: {@link #parkAndMigrate} and {@link #commit};
 *                      else {@link #park} and {@link #migrate}
 * @param warnings      the steps that grant add to them
 */
record ParkTables(Database db, DatabaseSnapshot snapshot, boolean terminate, String reason, boolean inTransaction,
        PreviousSchema previous, List<String> warnings) implements Strategy {
    /** A role that may not create schemas uses these two when its DBA has created them. */
    private static final String FIXED_PARKED = "reset_parked", FIXED_UNDONE = "reset_undone";

    static ParkTables plan(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate, String reason) {
        var schema = snapshot.schema().name();
        var role = Sql.identifier(snapshot.role().name());
        var all = SchemaObjects.in(db, schema);
        refuseOfOthers(snapshot, all.stream().filter(o -> o.isRelation() && !o.owned()).toList());
        if (!db.is("SELECT has_schema_privilege(?, 'CREATE')", schema))
            throw askDba("role %s may not create tables in schema %s".formatted(snapshot.role().name(), schema),
                    List.of("GRANT USAGE, CREATE ON SCHEMA %s TO %s;".formatted(Sql.identifier(schema), role)));
        var moved = all.stream().filter(SchemaObject::owned).toList();
        refuseForeignKeys(db, moved, schema);
        var suffix = RunId.suffix(runId);
        var schemas = snapshot.role().mayCreateSchema() ? new Schemas("parked_" + suffix, "undone_" + suffix, false)
                : fixed(db, snapshot);
        var previous = new PreviousSchema(runId, snapshot.name(), schema, schemas.parked, schemas.undone, schemas.fixed,
                SchemaObjects.oids(moved));
        var tables = moved.stream().filter(SchemaObject::isTable).count();
        var inTransaction = hasRoom(db, moved.size(), tables);
        return new ParkTables(db, snapshot, terminate, reason, inTransaction, previous, warnings(db, snapshot, all));
    }

    /** Measured: 2 locks for each object that moves, about 20 for each table that is created; others need a fifth. */
    private static boolean hasRoom(Database db, long moved, long created) {
        return 2 * moved + 20 * created < Parking.lockTable(db) * 4 / 5;
    }

    /** Whether one transaction can also create each table a second time. */
    boolean hasRoomForModels() {
        var moved = previous.objects().values().stream().mapToLong(List::size).sum();
        return hasRoom(db, moved, 2L * snapshot.schema().tables().size());
    }

    private static List<String> warnings(Database db, DatabaseSnapshot snapshot, List<SchemaObject> all) {
        var moved = all.stream().filter(SchemaObject::owned).toList();
        var warnings = new ArrayList<String>();
        for (var one : all)
            if (!one.owned() && !one.dependent()) warnings.add("stays where it is, because it belongs to %s: %s %s"
                    .formatted(one.owner(), one.kind(), one.identity()));
        SchemaObjects.droppedByCascade(db, snapshot.schema().name(), moved, false).forEach(user ->
                warnings.add("will still use the tables that are set aside, not the new ones: " + user));
        warnings.addAll(db.texts("""
                SELECT format('publication %s will still publish the table that is set aside, not the new one: %s',
                              pubname, string_agg(prrelid::regclass::text, ', '))
                FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid
                WHERE prrelid = ANY (?) GROUP BY pubname ORDER BY 1""", Parking.relations(moved)));
        warnings.addAll(triggersByName(db, moved, snapshot));
        return warnings;
    }

    private static void refuseOfOthers(DatabaseSnapshot snapshot, List<SchemaObject> others) {
        if (others.isEmpty()) return;
        var role = snapshot.role().name();
        var some = others.stream().limit(10).map(o -> o.identity() + " belongs to " + o.owner()).toList();
        throw askDba("%d of the tables and other relations in schema %s do not belong to role %s:%s"
                        .formatted(others.size(), snapshot.schema().name(), role, Text.lines(some)),
                others.stream().map(o -> "ALTER %s %s OWNER TO %s;"
                        .formatted(o.kind().toUpperCase(), o.identity(), Sql.identifier(role))).toList());
    }

    private static Failure askDba(String why, List<String> statements) {
        var next = new ArrayList<>(List.of("have the database's administrator run, in this database:"));
        next.addAll(statements);
        return Failure.refused(why).next(next);
    }

    /** These keys would move with the tables, and check other programs' rows against data that is no longer live. */
    private static void refuseForeignKeys(Database db, List<SchemaObject> moved, String schema) {
        var keys = db.texts("""
                SELECT format('%s of %s, to %s', quote_ident(conname), conrelid::regclass, confrelid::regclass)
                FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE contype = 'f' AND n.nspname <> ? AND confrelid = ANY (?) ORDER BY 1""",
                schema, Parking.relations(moved));
        if (!keys.isEmpty()) throw Failure.refused(
                "foreign keys of other schemas refer to tables of schema %s and would move with them:%s"
                .formatted(schema, Text.lines(keys))).next("drop them, and create them again after the reset");
    }

    private record Schemas(String parked, String undone, boolean fixed) {}

    /** The first empty pair that a DBA has created; the pairs of earlier runs are in use until these are purged. */
    private static Schemas fixed(Database db, DatabaseSnapshot snapshot) {
        var role = snapshot.role().name();
        for (int i = 1; ; i++) {
            var number = i == 1 ? "" : "_" + i;
            var pair = new Schemas(FIXED_PARKED + number, FIXED_UNDONE + number, true);
            var missing = Stream.of(pair.parked, pair.undone)
                    .filter(schema -> db.is("SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?)", schema))
                    .map(schema -> "CREATE SCHEMA %s AUTHORIZATION %s;".formatted(schema, Sql.identifier(role)))
                    .toList();
            if (!missing.isEmpty())
                throw askDba("role %s may neither swap the database nor create a schema to set its tables aside in"
                        .formatted(role), missing);
            if (usable(db, pair.parked) && usable(db, pair.undone)) return pair;
        }
    }

    private static boolean usable(Database db, String schema) {
        return db.is("""
                SELECT pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n')
                FROM pg_namespace n WHERE nspname = ?""", schema)
                && OrphanedState.schemasIn(db).stream().noneMatch(one -> one.schema().equals(schema));
    }

    private record Body(String function, String text) {}

    /** A function names tables in its text: these names mean the new tables once the old ones are set aside. */
    private static List<String> triggersByName(Database db, List<SchemaObject> moved, DatabaseSnapshot snapshot) {
        var bodies = db.list("""
                SELECT DISTINCT p.oid::regproc::text, p.prosrc
                FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
                WHERE NOT t.tgisinternal AND t.tgrelid = ANY (?) AND l.lanname NOT IN ('c', 'internal') ORDER BY 1""",
                r -> new Body(r.getString(1), r.getString(2)), Parking.relations(moved));
        var warnings = new ArrayList<String>();
        for (var body : bodies) {
            var words = new HashSet<>(List.of(body.text.split("[^\\w$]+")));
            var named = snapshot.schema().tables().stream().map(DatabaseSnapshot.Table::name)
                    .filter(table -> isNamed(table, words, body.text)).limit(3).toList();
            if (!named.isEmpty()) warnings.add(("trigger function %s names %s in its text: a write to a table that "
                    + "is set aside would change the new one").formatted(body.function, String.join(", ", named)));
        }
        return warnings;
    }

    /**
     * Searches the text only for names with odd characters: there may be hundreds of functions, thousands of tables.
     */
    private static boolean isNamed(String table, Set<String> words, String text) {
        if (table.matches("[\\w$]+")) return words.contains(table);
        return Pattern.compile("(?<![\\w$])" + Pattern.quote(table) + "(?![\\w$])").matcher(text).find();
    }

    @Override public String name() { return "park"; }

    @Override public List<String> inTheWay() {
        return Sessions.othersHolding(db, previous.objects().values().stream().flatMap(List::stream).toList());
    }

    @Override public ParkTables terminating() {
        return new ParkTables(db, snapshot, true, reason, inTransaction, previous, warnings);
    }

    /** The same in batches: for migrations that cannot run in a transaction. */
    ParkTables withoutTransaction() {
        return new ParkTables(db, snapshot, terminate, reason, false, previous, warnings);
    }

    /** What has to be moved now; refuses when that is no longer what the plan showed. */
    private List<SchemaObject> unchanged() {
        var now = Parking.ours(db, previous.live(), o -> true);
        if (!SchemaObjects.oids(now).equals(previous.objects()))
            throw Failure.failed("schema %s has changed since the plan was made".formatted(previous.live()))
                    .next("start again");
        return now;
    }

    private String moving() {
        return "move %,d objects of schema %s to %s".formatted(
                previous.objects().values().stream().mapToInt(List::size).sum(), previous.live(), previous.parked());
    }

    private void regrant() {
        warnings.addAll(previous.complete(db));
        db.flushWal();
    }

    /** In Django's own transaction, which stays open until {@link #commit}; undo rolls it back. */
    Step parkAndMigrate(Migrator migrator) {
        return Step.of(moving() + " and run every migration, in one transaction", () -> {
            var objects = unchanged();
            var statements = new ArrayList<String>();
            statements.add("SET LOCAL lock_timeout = '5s'");
            // by this name Sessions finds what it waits for
            statements.add("SET LOCAL application_name = " + Sql.literal(Database.APPLICATION));
            statements.add(Sql.WAIT_FOR_DISK);
            statements.add(Sql.CHECK_CLIENT);
            statements.addAll(previous.makeParked());
            statements.addAll(Parking.moves(objects, previous.parked()));
            statements.add("SET LOCAL lock_timeout TO DEFAULT");
            migrateInTransaction(migrator, statements, Parking.relations(objects));
        }, migrator::rollback);
    }

    private void migrateInTransaction(Migrator migrator, List<String> before, List<Long> relations) {
        if (terminate) Sessions.terminateHolding(db, relations);
        try (var kept = terminate ? Sessions.keepTerminatingBlockers(db) : Sessions.NO_TERMINATION) {
            migrator.migrateInTransaction(before);
        } catch (Failure e) {
            migrator.rollback(); // our own transaction must not be among those that are named
            var timedOut = Database.sqlState(e).equals("55P03") || e.problem().what().contains("lock timeout");
            var holding = timedOut ? Sessions.holding(db, relations) : List.<String>of();
            throw holding.isEmpty() ? e : Sessions.tablesLocked(holding, terminate).causedBy(e);
        }
    }

    /** The COMMIT; its undo moves everything back. */
    Step commit(Migrator migrator) {
        return Step.of("commit it", () -> {
            Checkpoint.reached("before COMMIT");
            migrator.commit();
            Checkpoint.reached("after COMMIT");
            regrant();
        }, () -> {
            migrator.rollback();
            previous.awaitCommit(db);
            previous.dropNew(db, terminate);
            Checkpoint.reached("removed what was made");
            previous.moveBack(db, terminate);
        });
    }

    /** Batches, each in its own transaction. */
    Step park() {
        return Step.of(moving() + ", in batches", () -> {
            var objects = unchanged();
            db.inOneTransaction(previous.makeParked());
            Checkpoint.reached("made schema " + previous.parked());
            Parking.move(db, objects, previous.parked(), terminate);
        }, () -> previous.moveBack(db, terminate));
    }

    /** After {@link #park}; undo drops what the migrations have made. */
    Step migrate(Migrator migrator) {
        return Parking.migrateLive(migrator, this::regrant, () -> previous.dropNew(db, terminate));
    }
}
