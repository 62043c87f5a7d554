package lib.reset;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Grants;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/**
 * Everything of the current schema that no extension owns moves to another schema of the same database. In one
 * transaction with the migrations where the lock table has room for it, else in batches that can be taken back.
 */
final class ParkTables implements Strategy {
    /** A role that may not create schemas finds these two when its DBA has made them. */
    private static final String FIXED_PARKED = "reset_parked", FIXED_UNDONE = "reset_undone";

    private final Database db;
    private final DatabaseSnapshot snapshot;
    private final boolean terminate;
    private final String reason;
    private final boolean inTransaction;
    private final PreviousSchema previous;
    private final List<String> warnings;

    private ParkTables(Database db, DatabaseSnapshot snapshot, boolean terminate, String reason, boolean inTransaction,
            PreviousSchema previous,
                       List<String> warnings) {
        this.db = db;
        this.snapshot = snapshot;
        this.terminate = terminate;
        this.reason = reason;
        this.inTransaction = inTransaction;
        this.previous = previous;
        this.warnings = warnings;
    }

    static ParkTables plan(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate, String reason) {
        var schema = snapshot.schema().name();
        var all = SchemaObjects.in(db, schema);
        refuseOfOthers(snapshot, all.stream().filter(o -> o.isRelation() && !o.owned()).toList());
        if (!db.is("SELECT has_schema_privilege(?, 'CREATE')", schema))
            throw askDba("role %s may not create tables in schema %s".formatted(snapshot.role().name(), schema),
                    List.of("GRANT USAGE, CREATE ON SCHEMA %s TO %s;"
                            .formatted(Sql.identifier(schema), Sql.identifier(snapshot.role().name()))));
        var moved = all.stream().filter(SchemaObject::owned).toList();
        refuseForeignKeys(db, moved, schema);
        var suffix = RunId.suffix(runId);
        var schemas = snapshot.role().mayCreateSchema() ? new Schemas("parked_" + suffix, "undone_" + suffix, false)
                : fixed(db, snapshot);
        var previous = new PreviousSchema(runId, snapshot.name(), schema, schemas.parked, schemas.undone, schemas.fixed,
                SchemaObjects.oids(moved));
        var tables = moved.stream().filter(SchemaObject::isTable).count();
        // measured: 2 locks for each object that moves, about 20 for each table that is created; a fifth is left to
        // others
        var inTransaction = 2 * moved.size() + 20 * tables < Parking.lockTable(db) * 4 / 5;
        var warnings = new ArrayList<String>();
        all.stream().filter(o -> !o.owned() && !o.dependent())
                .forEach(o -> warnings.add("stays where it is, because it belongs to %s: %s %s"
                .formatted(o.owner(), o.kind(), o.identity())));
        SchemaObjects.droppedByCascade(db, schema, moved, false)
                .forEach(d -> warnings.add("will still use the tables that are set aside, not the new ones: " + d));
        warnings.addAll(publications(db, moved));
        warnings.addAll(triggersByName(db, moved, snapshot));
        return new ParkTables(db, snapshot, terminate, reason, inTransaction, previous, warnings);
    }

    private static void refuseOfOthers(DatabaseSnapshot snapshot, List<SchemaObject> others) {
        if (others.isEmpty()) return;
        var some = others.stream().limit(10).map(o -> o.identity() + " belongs to " + o.owner()).toList();
        throw askDba(
                "%d of the tables and other relations in schema %s do not belong to role %s:\n  %s"
                        .formatted(
                                others.size(),
                                snapshot.schema().name(),
                                snapshot.role().name(),
                                String.join("\n  ", some)),
                others.stream()
                        .map(o -> "ALTER %s %s OWNER TO %s;"
                                .formatted(
                                        o.kind().toUpperCase(),
                                        o.identity(),
                                        Sql.identifier(snapshot.role().name())))
                        .toList());
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
                WHERE contype = 'f' AND n.nspname <> ? AND confrelid = ANY (?) ORDER BY 1""", schema, Parking.relations(moved));
        if (!keys.isEmpty())
            throw Failure.refused(
                    "foreign keys of other schemas refer to tables of schema %s and would move with them:\n  %s"
                    .formatted(
                schema, String.join("\n  ", keys))).next("drop them, and create them again after the reset");
    }

    private record Schemas(String parked, String undone, boolean fixed) {}

    /** The first empty pair that a DBA has made for us; the pairs of earlier runs are in use until these are purged. */
    private static Schemas fixed(Database db, DatabaseSnapshot snapshot) {
        for (int i = 1; ; i++) {
            var number = i == 1 ? "" : "_" + i;
            var pair = new Schemas(FIXED_PARKED + number, FIXED_UNDONE + number, true);
            var missing = new ArrayList<String>();
            for (var schema : List.of(pair.parked, pair.undone))
                if (!Parking.exists(db, schema))
                    missing.add("CREATE SCHEMA %s AUTHORIZATION %s;"
                            .formatted(schema, Sql.identifier(snapshot.role().name())));
            if (!missing.isEmpty())
                throw askDba("role %s may neither swap the database nor create a schema to set its tables aside in"
                        .formatted(snapshot.role().name()), missing);
            if (usable(db, pair.parked) && usable(db, pair.undone)) return pair;
        }
    }

    private static boolean usable(Database db, String schema) {
        return db.is("""
                SELECT pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n')
                FROM pg_namespace n WHERE nspname = ?""", schema)
                && OrphanedState.schemasIn(db).stream()
                        .noneMatch(one -> one.schema().equals(schema));
    }

    private static List<String> publications(Database db, List<SchemaObject> moved) {
        return db.texts("""
                SELECT format('publication %s will still publish the table that is set aside, not the new one: %s',
                              pubname, string_agg(prrelid::regclass::text, ', '))
                FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid
                WHERE prrelid = ANY (?) GROUP BY pubname ORDER BY 1""", Parking.relations(moved));
    }

    private record Body(String function, String text) {}

    /**
     * The text of a function names its tables, and those names mean the new tables while the old ones are set aside.
     */
    private static List<String> triggersByName(Database db, List<SchemaObject> moved, DatabaseSnapshot snapshot) {
        var bodies = db.list("""
                SELECT DISTINCT p.oid::regproc::text, p.prosrc
                FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_language l ON l.oid = p.prolang
                WHERE NOT t.tgisinternal AND t.tgrelid = ANY (?) AND l.lanname NOT IN ('c', 'internal') ORDER BY 1""", r -> new Body(r.getString(1), r.getString(2)), Parking.relations(moved));
        var warnings = new ArrayList<String>();
        for (var body : bodies) {
            var words = new HashSet<>(List.of(body.text.split("[^\\w$]+")));
            var named = snapshot.schema().tables().stream().map(DatabaseSnapshot.Table::name)
                    .filter(t -> isNamed(t, words, body.text)).limit(3).toList();
            if (!named.isEmpty()) warnings.add(("trigger function %s names %s in its text: a write to a table that "
                    + "is set aside would change the new one").formatted(
                    body.function, String.join(", ", named)));
        }
        return warnings;
    }

    /**
     * Only a name with odd characters is searched for in the text: there may be hundreds of functions and thousands of
     * tables.
     */
    private static boolean isNamed(String table, Set<String> words, String text) {
        if (table.matches("[\\w$]+")) return words.contains(table);
        return Pattern.compile("(?<![\\w$])" + Pattern.quote(table) + "(?![\\w$])").matcher(text).find();
    }

    public String name() {
        return "park";
    }

    public String reason() {
        return reason;
    }

    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    public List<String> inTheWay() {
        return Sessions.othersHolding(db, previous.objects().values().stream().flatMap(List::stream).toList());
    }

    public ParkTables terminating() {
        return new ParkTables(db, snapshot, true, reason, inTransaction, previous, warnings);
    }

    public PreviousSchema previous() {
        return previous;
    }

    /**
     * Whether parking and migrating fit into one transaction: {@link #parkAndMigrate} and {@link #commit}; else {@link
     * #park} and {@link #migrate}.
     */
    public boolean inTransaction() {
        return inTransaction;
    }

    /** The same in batches: for migrations that cannot run in a transaction. */
    public ParkTables withoutTransaction() {
        return new ParkTables(db, snapshot, terminate, reason, false, previous, warnings);
    }

    /** What has to be moved now; refuses when that is no longer what the plan showed. */
    private List<SchemaObject> unchanged() {
        var now = SchemaObjects.in(db, snapshot.schema().name()).stream().filter(SchemaObject::owned).toList();
        if (!SchemaObjects.oids(now).equals(previous.objects()))
            throw Failure.failed("schema %s has changed since the plan was made".formatted(snapshot.schema().name()))
                    .next("start again");
        return now;
    }

    private String moving() {
        return "move %,d objects of schema %s to %s"
                .formatted(previous.objects().values().stream().mapToInt(List::size)
                .sum(), previous.live(), previous.parked());
    }

    private void regrant() {
        warnings.addAll(Grants.in(db, previous.parked()).regrant(db, previous.live()));
        db.flushWal();
    }

    /** In Django's own transaction, which stays open until {@link #commit}; undo rolls it back. */
    public Step parkAndMigrate(Migrator migrator) {
        return new Step() {
            public String describe() {
                return moving() + " and run every migration, in one transaction";
            }

            public void run() {
                var objects = unchanged();
                var statements = new ArrayList<String>();
                statements.add("SET LOCAL lock_timeout = '5s'");
                // then Sessions can name whom it waits for
                statements.add("SET LOCAL application_name = " + Sql.literal(Database.APPLICATION));
                statements.add(Sql.WAIT_FOR_DISK);
                statements.add(Sql.CHECK_CLIENT);
                statements.addAll(previous.makeParked());
                statements.addAll(Parking.moves(objects, previous.parked()));
                statements.add("SET LOCAL lock_timeout TO DEFAULT");
                var relations = Parking.relations(objects);
                if (terminate) Sessions.terminateHolding(db, relations);
                try (var kept = terminate ? Sessions.keepTerminatingBlockers(db) : Sessions.NO_TERMINATION) {
                    migrator.migrateInTransaction(statements);
                } catch (Failure e) {
                    migrator.rollback(); // our own transaction must not be among those that are named
                    var timedOut = Database.sqlState(e).equals("55P03") || e.problem().what().contains("lock timeout");
                    var holding = timedOut ? Sessions.holding(db, relations) : List.<String>of();
                    throw holding.isEmpty() ? e : Sessions.tablesLocked(holding, terminate).causedBy(e);
                }
            }

            public void undo() {
                migrator.rollback();
            }
        };
    }

    /** The COMMIT; its undo moves everything back. */
    public Step commit(Migrator migrator) {
        return new Step() {
            public String describe() {
                return "commit it";
            }

            public void run() {
                Checkpoint.reached("before COMMIT");
                migrator.commit();
                Checkpoint.reached("after COMMIT");
                regrant();
            }

            public void undo() {
                migrator.rollback();
                previous.awaitCommit(db);
                previous.dropNew(db, terminate);
                Checkpoint.reached("removed what was made");
                previous.moveBack(db, terminate);
            }
        };
    }

    /** Batches, each in its own transaction. */
    public Step park() {
        return new Step() {
            public String describe() {
                return moving() + ", in batches";
            }

            public void run() {
                var objects = unchanged();
                db.inOneTransaction(previous.makeParked());
                Checkpoint.reached("made schema " + previous.parked());
                Parking.move(db, objects, previous.parked(), terminate);
            }

            public void undo() {
                previous.moveBack(db, terminate);
            }
        };
    }

    /** After {@link #park}; undo drops what the migrations have made. */
    public Step migrate(Migrator migrator) {
        return new MigrateLive(migrator, this::regrant, () -> previous.dropNew(db, terminate));
    }
}
