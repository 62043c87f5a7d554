package lib.reset;

import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.process.Interruption;

/** Moves and drops the objects of schemas, in batches that fit into the server's lock table. */
final class Parking {
    /** Moving a table takes two locks, dropping one about thirteen; a server's default settings have room for 6,400. */
    private static final int MOVED_AT_ONCE = 200, DROPPED_AT_ONCE = 50;

    private Parking() {}

    /** Locks that all sessions together can hold at least; one session may take more while others leave room. */
    static long lockTable(Database db) {
        return db.one("""
                SELECT current_setting('max_locks_per_transaction')::bigint
                     * (current_setting('max_connections')::bigint
                        + current_setting('max_prepared_transactions')::bigint)""", r -> r.getLong(1));
    }

    static List<Long> relations(Collection<SchemaObject> objects) {
        return objects.stream().filter(SchemaObject::isRelation).map(SchemaObject::oid).toList();
    }

    /** The objects of the schema that belong to our role. */
    static List<SchemaObject> ours(Database db, String schema, Predicate<SchemaObject> which) {
        return SchemaObjects.in(db, schema).stream().filter(SchemaObject::owned).filter(which).toList();
    }

    static List<String> moves(List<SchemaObject> objects, String to) {
        return objects.stream().map(o -> o.moveTo(to)).toList();
    }

    /** Moves batch by batch, each in its own transaction. */
    static void move(Database db, List<SchemaObject> objects, String to, boolean terminate) {
        for (var batch : SchemaObjects.batches(objects, MOVED_AT_ONCE)) {
            Interruption.check();
            locking(db, relations(batch), terminate, () -> db.inOneTransaction(moves(batch, to)));
            Checkpoint.reached("moved some to " + to);
        }
    }

    /**
     * Runs what locks these relations.
     *
     * @throws Failure naming the sessions that kept them locked for more than five seconds
     */
    static void locking(Database db, List<Long> relations, boolean terminate, Runnable work) {
        if (terminate) Sessions.terminateHolding(db, relations);
        try (var kept = terminate ? Sessions.keepTerminatingBlockers(db) : Sessions.NO_TERMINATION) {
            work.run();
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("55P03")) throw e;
            throw Sessions.tablesLocked(Sessions.holding(db, relations), terminate).causedBy(e);
        }
    }

    /**
     * In small batches, because locks last until the transaction ends. The newest first: to drop a table that thousands
     * of others refer to takes a lock on each of them while they exist.
     */
    static List<List<SchemaObject>> droppable(List<SchemaObject> relations) {
        return SchemaObjects.batches(relations.reversed(), DROPPED_AT_ONCE);
    }

    /** Drops objects of our role, relations first. */
    static void drop(Database db, String schema, Predicate<SchemaObject> which, boolean terminate) {
        for (var batch : droppable(ours(db, schema, which.and(SchemaObject::isRelation)))) {
            locking(db, relations(batch), terminate,
                    () -> db.inOneTransaction(batch.stream().map(SchemaObject::drop).toList()));
            Checkpoint.reached("dropped some of " + schema);
        }
        for (var one : ours(db, schema, which.and(o -> !o.isRelation() && !o.dependent()))) db.run(one.drop());
    }

    /** What DROP … CASCADE of these objects would also drop. @throws Failure refused (4) when there is any */
    static void refuseCascade(Database db, String schema, List<SchemaObject> dropped, String what) {
        var reached = SchemaObjects.droppedByCascade(db, schema, dropped, true);
        if (!reached.isEmpty()) throw cascade(what, reached);
    }

    static Failure cascade(String what, List<String> reached) {
        return Failure.refused("dropping %s would also drop (CASCADE):%s".formatted(what, Text.lines(reached)))
                .next("drop these, or give them to another owner or schema, if they are to go");
    }

    /** Runs every migration in the live database. @param grant repeats the old grants @param dropNew undoes it */
    static Step migrateLive(Migrator migrator, Step.Action grant, Step.Action dropNew) {
        return Step.of("run every migration", () -> {
            migrator.migrateLive();
            Checkpoint.reached("migrated, and nothing granted yet");
            grant.run();
        }, dropNew);
    }
}
