package lib.reset;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.postgres.Sql;
import lib.process.Interruption;

/**
 * Objects on their way between the live schema, the parked one and the undone one. What is old is known by oid, so
 * each way can be taken again from wherever a crash left it.
 */
final class Parking {
    /** Moving a table takes two locks, dropping one about thirteen: far from the 6,400 of a server's default settings. */
    private static final int MOVED_AT_ONCE = 200, DROPPED_AT_ONCE = 50;
    private static final Pattern COMMENT = Pattern.compile("reset_migrations ([^:\\s]+): .*", Pattern.DOTALL);

    private Parking() {}

    /** A schema that a run made or filled. */
    record Held(String name, String run) {}

    static List<Held> schemasOfRuns(Database db) {
        return db.list("SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') LIKE 'reset_migrations %'",
                        r -> new Held(r.getString(1), r.getString(2))).stream()
                .flatMap(h -> {
                    var m = COMMENT.matcher(h.run);
                    return m.matches() ? Stream.of(new Held(h.name, m.group(1))) : Stream.of();
                }).toList();
    }

    private static boolean holds(Database db, PreviousState.Schema aside, String schema) {
        return schemasOfRuns(db).contains(new Held(schema, aside.run()));
    }

    static boolean exists(Database db, String schema) {
        return db.is("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = ?)", schema);
    }

    /** Locks that everybody together can hold at least; each session may take more only while others leave room. */
    static long lockTable(Database db) {
        return db.one("""
                SELECT current_setting('max_locks_per_transaction')::bigint
                     * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)""", r -> r.getLong(1));
    }

    // ---- moving ------------------------------------------------------------------------------

    /** What makes the schema ready, in words of SQL; a DBA's is there already. */
    static List<String> make(PreviousState.Schema aside, String schema, String words) {
        var statements = new ArrayList<String>();
        if (!aside.fixed()) statements.add("CREATE SCHEMA IF NOT EXISTS " + Sql.identifier(schema));
        statements.add("COMMENT ON SCHEMA %s IS %s".formatted(Sql.identifier(schema), Sql.literal("reset_migrations %s: %s".formatted(aside.run(), words))));
        return statements;
    }

    static List<String> moves(List<SchemaObject> objects, String to) {
        return objects.stream().map(o -> o.moveTo(to)).toList();
    }

    static List<Long> relations(Collection<SchemaObject> objects) {
        return objects.stream().filter(SchemaObject::isRelation).map(SchemaObject::oid).toList();
    }

    /** Batch by batch, each in its own transaction; whoever holds a table for more than five seconds is named, or ended. */
    static void move(Database db, List<SchemaObject> objects, String to, boolean terminate) {
        for (var batch : SchemaObjects.batches(objects, MOVED_AT_ONCE)) {
            Interruption.check();
            inUse(db, relations(batch), terminate, () -> db.inOneTransaction(moves(batch, to)));
            Checkpoint.reached("moved some to " + to);
        }
    }

    /** Runs what locks these relations; when others keep them locked, says who. */
    static void inUse(Database db, List<Long> relations, boolean terminate, Runnable work) {
        if (terminate) Sessions.terminateHolding(db, relations);
        try (var kept = terminate ? Sessions.keepTerminatingBlockers(db) : Sessions.NO_TERMINATION) {
            work.run();
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("55P03")) throw e;
            throw Sessions.tablesLocked(Sessions.holding(db, relations), terminate).causedBy(e);
        }
    }

    // ---- what stands aside -------------------------------------------------------------------

    private static List<SchemaObject> in(Database db, String schema, Predicate<SchemaObject> which) {
        return SchemaObjects.in(db, schema).stream().filter(SchemaObject::owned).filter(which).toList();
    }

    static PreviousState.State state(Database db, PreviousState.Schema aside) {
        if (aside.objects().isEmpty()) return holds(db, aside, aside.parked()) ? PreviousState.State.NEW_IS_LIVE : PreviousState.State.OLD_IS_LIVE;
        var old = SchemaObjects.withOids(aside.objects());
        var live = SchemaObjects.in(db, aside.live()).stream().anyMatch(old);
        var parked = SchemaObjects.in(db, aside.parked()).stream().anyMatch(old);
        if (live) return parked ? PreviousState.State.HALF : PreviousState.State.OLD_IS_LIVE;
        return parked ? PreviousState.State.NEW_IS_LIVE : PreviousState.State.GONE;
    }

    static List<Step> undo(Database db, PreviousState.Schema aside, boolean terminate) {
        return switch (state(db, aside)) {
            case OLD_IS_LIVE -> List.of();
            case NEW_IS_LIVE, HALF -> List.of(new MoveBack(db, aside, terminate));
            case GONE -> throw new Failure(new Problem.NothingAside(aside.run()));
        };
    }

    /** Newer objects out of the way first, then the old ones home. */
    record MoveBack(Database db, PreviousState.Schema aside, boolean terminate) implements Step {
        public String describe() {
            return "move what is in schema %s to %s, and what is in %s back".formatted(aside.live(), aside.undone(), aside.parked());
        }

        public void run() {
            var old = SchemaObjects.withOids(aside.objects());
            var newer = in(db, aside.live(), old.negate());
            var parked = in(db, aside.parked(), old);
            var statements = new ArrayList<String>();
            if (!newer.isEmpty()) statements.addAll(make(aside, aside.undone(), "what undo took away from schema " + aside.live()));
            if (2L * (newer.size() + parked.size()) < lockTable(db) / 2) {
                statements.addAll(moves(newer, aside.undone()));
                statements.addAll(moves(parked, aside.live()));
                var all = Stream.concat(newer.stream(), parked.stream()).toList();
                inUse(db, relations(all), terminate, () -> db.inOneTransaction(statements));
            } else {
                db.inOneTransaction(statements);
                move(db, newer, aside.undone(), terminate);
                move(db, parked, aside.live(), terminate);
            }
            Checkpoint.reached("moved, and not yet left " + aside.parked());
            leave(db, aside, aside.parked());
        }

        /** The other way round: what was taken away is live again, the old objects parked. */
        public void undo() {
            if (!holds(db, aside, aside.undone()) && (holds(db, aside, aside.parked()) || state(db, aside) != PreviousState.State.OLD_IS_LIVE)) return; // nothing was moved
            db.inOneTransaction(make(aside, aside.parked(), "schema %s as it was before".formatted(aside.live())));
            move(db, in(db, aside.live(), SchemaObjects.withOids(aside.objects())), aside.parked(), terminate);
            move(db, in(db, aside.undone(), o -> true), aside.live(), terminate);
            leave(db, aside, aside.undone());
        }
    }

    /** An emptied schema goes, unless a DBA made it. Without CASCADE: should anything be in it, it stays. */
    private static void leave(Database db, PreviousState.Schema aside, String schema) {
        if (!holds(db, aside, schema)) return;
        try {
            db.inOneTransaction(List.of(aside.fixed() ? "COMMENT ON SCHEMA %s IS NULL".formatted(Sql.identifier(schema)) : "DROP SCHEMA " + Sql.identifier(schema)));
        } catch (Failure notEmpty) {
            if (!Database.sqlState(notEmpty).equals("2BP01")) throw notEmpty;
        }
    }

    /**
     * A COMMIT whose answer never came may still be under way, waiting for a standby: what it does cannot be seen yet, but its locks can.
     *
     * @throws Failure when they are still there after a while: whether it was done is not known, so nothing may be put back
     */
    static void awaitCommit(Database db, PreviousState.Schema aside) {
        var relations = aside.objects().getOrDefault("pg_class", List.of());
        for (int i = 0; i < 50; i++) {
            if (!db.is("""
                    SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ANY (?) AND mode = 'AccessExclusiveLock' AND granted AND pid <> pg_backend_pid()
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))""", relations)) return;
            Interruption.uninterruptibly(() -> Interruption.pause(Duration.ofMillis(100)));
        }
        throw Sessions.tablesLocked(Sessions.holding(db, relations), false);
    }

    /** For a run that failed half way: the old objects home. Anything else in the live schema is not ours to touch. */
    static void bringHome(Database db, PreviousState.Schema aside, boolean terminate) {
        move(db, in(db, aside.parked(), SchemaObjects.withOids(aside.objects())), aside.live(), terminate);
        leave(db, aside, aside.parked());
    }

    /** For a run that failed after everything was parked: what stands in the live schema was made by it, and goes as a scratch database would. */
    static void removeMade(Database db, PreviousState.Schema aside, boolean terminate) {
        if (!holds(db, aside, aside.parked()) || state(db, aside) == PreviousState.State.HALF) return;
        dropAll(db, aside.live(), SchemaObjects.withOids(aside.objects()).negate(), terminate);
    }

    /** The schemas of this run whose objects are not in use. */
    private static List<String> unused(Database db, PreviousState.Schema aside) {
        return Stream.of(aside.parked(), aside.undone()).filter(s -> holds(db, aside, s)).toList();
    }

    static long bytes(Database db, PreviousState.Schema aside) {
        return unused(db, aside).stream().mapToLong(s -> db.one("""
                SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = ? AND c.relkind IN ('r', 'm')""", r -> r.getLong(1), s)).sum();
    }

    static Step purge(Database db, PreviousState.Schema aside, boolean terminate) {
        var schemas = unused(db, aside);
        return new Purge(db, aside, schemas, count(db, schemas), terminate);
    }

    private static int count(Database db, List<String> schemas) {
        return schemas.stream().mapToInt(schema -> in(db, schema, o -> true).size()).sum();
    }

    /** @param objects how many there are when the plan is made */
    record Purge(Database db, PreviousState.Schema aside, List<String> schemas, int objects, boolean terminate) implements Step {
        public String describe() {
            return schemas.isEmpty() ? "nothing is set aside"
                    : "drop what is in schema " + schemas.stream().map(Sql::identifier).collect(Collectors.joining(" and "));
        }

        public void run() {
            if (state(db, aside) == PreviousState.State.HALF) throw new Failure(new Problem.HalfWay(aside.run()));
            for (var schema : schemas) {
                var reached = SchemaObjects.droppedByCascade(db, schema, in(db, schema, o -> true), true);
                if (!reached.isEmpty()) throw new Failure(new Problem.CascadeReaches("schema " + schema, reached));
            }
            for (var schema : schemas) {
                dropAll(db, schema, o -> true, terminate);
                Checkpoint.reached("emptied " + schema);
                leave(db, aside, schema);
            }
        }

        /** Nothing brings them back; but nobody may hear that all is as it was. */
        public void undo() {
            var left = count(db, schemas);
            if (left < objects) throw new Failure(new Problem.Purged("%d of %d objects set aside in schema %s".formatted(objects - left, objects, String.join(", ", schemas))));
        }
    }

    /**
     * Of our own objects: relations first and few at a time, as their locks last until the transaction ends. The newest
     * first: a table that thousands of others refer to takes a lock on each of them along while they are there.
     */
    private static void dropAll(Database db, String schema, Predicate<SchemaObject> which, boolean terminate) {
        for (var batch : SchemaObjects.batches(in(db, schema, which.and(SchemaObject::isRelation)).reversed(), DROPPED_AT_ONCE)) {
            inUse(db, relations(batch), terminate, () -> db.inOneTransaction(batch.stream().map(SchemaObject::drop).toList()));
            Checkpoint.reached("dropped some of " + schema);
        }
        for (var one : in(db, schema, which.and(o -> !o.isRelation() && !o.dependent()))) db.run(one.drop());
    }
}
