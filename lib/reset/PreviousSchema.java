package lib.reset;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.Grants;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.postgres.Sql;
import lib.process.Interruption;

/**
 * The old objects in another schema of the same database, as parking leaves them. Old objects are known by their oids,
 * so each move can be repeated after a crash.
 *
 * @param live    the schema in use
 * @param parked  where the old objects go
 * @param undone  where newer objects go after an undo
 * @param fixed   a DBA has created both schemas: they are emptied, never dropped
 * @param objects oids of the old objects by catalog: whatever else the live schema holds is newer
 */
record PreviousSchema(String run, String database, String live, String parked, String undone, boolean fixed,
        Map<String, List<Long>> objects) implements PreviousState {

    // ---- where it is -------------------------------------------------------------------------

    /** The database that has its schemas: the live one, or one that was set aside with them in it. */
    private Database home(Database db) {
        if (isIn(db)) return db;
        for (var other : OrphanedState.in(db)) {
            if (other.schema() != null) continue;
            try {
                var candidate = db.sibling(other.database());
                if (isIn(candidate)) return candidate;
                candidate.close();
            } catch (Failure closedToUs) {
                // we could not purge there either
            }
        }
        return db;
    }

    private boolean isIn(Database db) {
        return OrphanedState.schemasIn(db).stream().anyMatch(schema -> schema.run().equals(run));
    }

    private <T> T atHome(Database db, Function<Database, T> question) {
        var home = home(db);
        try {
            return question.apply(home);
        } finally {
            if (home != db) home.close(); // it opens again when a step uses it
        }
    }

    @Override public boolean isInside(Database live) { return atHome(live, home -> home != live); }

    @Override public String location(Database db) {
        return atHome(db, home -> {
            var names = Stream.of(parked, undone).filter(name -> !SchemaObjects.in(home, name).isEmpty()).toList();
            return names.isEmpty() ? NOWHERE : "schema %s of database %s"
                    .formatted(String.join(", ", names), home.name());
        });
    }

    /** Whether this run has made or filled that schema. */
    private boolean owns(Database db, String schema) {
        return OrphanedState.schemasIn(db).stream()
                .anyMatch(one -> one.schema().equals(schema) && one.run().equals(run));
    }

    private Predicate<SchemaObject> old() { return SchemaObjects.withOids(objects); }

    @Override public State state(Database db) {
        if (objects.isEmpty()) return owns(db, parked) ? State.NEW_IS_LIVE : State.OLD_IS_LIVE;
        var inLive = SchemaObjects.in(db, live).stream().anyMatch(old());
        var inParked = SchemaObjects.in(db, parked).stream().anyMatch(old());
        if (inLive) return inParked ? State.HALF : State.OLD_IS_LIVE;
        return inParked ? State.NEW_IS_LIVE : State.GONE;
    }

    @Override public boolean isWhole(Database db) {
        var left = Stream.of(live, parked).flatMap(schema -> SchemaObjects.in(db, schema).stream()).filter(old())
                .count();
        return left == objects.values().stream().mapToLong(List::size).sum();
    }

    /** A run that was killed after the COMMIT has not given the grants yet. */
    @Override public List<String> complete(Database db) {
        return Grants.in(db, parked).regrant(db, live);
    }

    // ---- forward, and the undo within a run --------------------------------------------------

    /** The statements that make the schema for the old objects ready. */
    List<String> makeParked() { return make(parked, RunComment.before(run, "schema " + live)); }

    private List<String> make(String schema, RunComment comment) {
        var name = Sql.identifier(schema);
        var setComment = "COMMENT ON SCHEMA %s IS %s".formatted(name, Sql.literal(comment.toString()));
        return fixed ? List.of(setComment) : List.of("CREATE SCHEMA IF NOT EXISTS " + name, setComment);
    }

    /** Drops an empty schema, unless a DBA has created it. Without CASCADE: if anything is in it, it stays. */
    private void dropIfEmpty(Database db, String schema) {
        if (!owns(db, schema)) return;
        var name = Sql.identifier(schema);
        try {
            var leave = fixed ? "COMMENT ON SCHEMA %s IS NULL".formatted(name) : "DROP SCHEMA " + name;
            db.inOneTransaction(List.of(leave));
        } catch (Failure notEmpty) {
            if (!Database.sqlState(notEmpty).equals("2BP01")) throw notEmpty;
        }
    }

    /**
     * A COMMIT without an answer may still be waiting for a standby: its effect cannot be seen yet, but its locks can.
     *
     * @throws Failure when the locks stay for five seconds: its effect is unknown, so nothing may be put back
     */
    void awaitCommit(Database db) {
        var relations = objects.getOrDefault("pg_class", List.of());
        for (int i = 0; i < 50; i++) {
            if (!db.is("""
                    SELECT EXISTS (SELECT FROM pg_locks WHERE relation = ANY (?)
                        AND mode = 'AccessExclusiveLock' AND granted AND pid <> pg_backend_pid()
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))""",
                    relations)) return;
            Interruption.uninterruptibly(() -> Interruption.pause(Duration.ofMillis(100)));
        }
        throw Sessions.tablesLocked(Sessions.holding(db, relations), false);
    }

    /** For a run that failed half way: moves the old objects back, and touches nothing else in the live schema. */
    void moveBack(Database db, boolean terminate) {
        Parking.move(db, Parking.ours(db, parked, old()), live, terminate);
        dropIfEmpty(db, parked);
    }

    /** For a run that failed after everything was parked: drops what it has created in the live schema. */
    void dropNew(Database db, boolean terminate) {
        if (!owns(db, parked) || state(db) == State.HALF) return;
        Parking.drop(db, live, old().negate(), terminate);
    }

    // ---- the user's undo ---------------------------------------------------------------------

    @Override public List<Step> undo(Database db, boolean terminate) {
        return switch (state(db)) {
            case OLD_IS_LIVE -> List.of();
            case NEW_IS_LIVE, HALF -> {
                var what = "move what is in schema %s to %s, and what is in %s back".formatted(live, undone, parked);
                yield List.of(Step.of(what, () -> exchange(db, terminate), () -> exchangeBack(db, terminate)));
            }
            case GONE -> throw PreviousState.missing(run);
        };
    }

    /** Newer objects out of the live schema first, then the old ones back. */
    private void exchange(Database db, boolean terminate) {
        var newer = Parking.ours(db, live, old().negate());
        var older = Parking.ours(db, parked, old());
        var statements = new ArrayList<String>();
        if (!newer.isEmpty()) statements.addAll(make(undone, RunComment.undone(run, live)));
        if (2L * (newer.size() + older.size()) < Parking.lockTable(db) / 2) {
            statements.addAll(Parking.moves(newer, undone));
            statements.addAll(Parking.moves(older, live));
            var all = Stream.concat(newer.stream(), older.stream()).toList();
            Parking.locking(db, Parking.relations(all), terminate, () -> db.inOneTransaction(statements));
        } else {
            db.inOneTransaction(statements);
            Parking.move(db, newer, undone, terminate);
            Parking.move(db, older, live, terminate);
        }
        Checkpoint.reached("moved, and not yet left " + parked);
        dropIfEmpty(db, parked);
    }

    /** The other way round: the newer objects are live again, the old ones parked. */
    private void exchangeBack(Database db, boolean terminate) {
        var begun = owns(db, undone) || !owns(db, parked) && state(db) == State.OLD_IS_LIVE;
        if (!begun) return;
        db.inOneTransaction(makeParked());
        Parking.move(db, Parking.ours(db, live, old()), parked, terminate);
        Parking.move(db, Parking.ours(db, undone, o -> true), live, terminate);
        dropIfEmpty(db, undone);
    }

    // ---- purge -------------------------------------------------------------------------------

    /** The schemas of this run whose objects are not in use. */
    private List<String> unused(Database db) {
        return Stream.of(parked, undone).filter(schema -> owns(db, schema)).toList();
    }

    @Override public long bytes(Database db) {
        return atHome(db, home -> unused(home).stream().mapToLong(schema -> home.one("""
                SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = ? AND c.relkind IN ('r', 'm')""", r -> r.getLong(1), schema)).sum());
    }

    @Override public List<String> holders(Database db) {
        return atHome(db, home -> Stream.of(parked, undone).allMatch(schema -> SchemaObjects.in(home, schema).isEmpty())
                ? List.of() : List.of(home.credentials().database()));
    }

    @Override public Step purge(Database db, boolean terminate) {
        return atHome(db, home -> {
            var schemas = unused(home);
            var objects = count(home, schemas);
            var what = schemas.isEmpty() ? NOTHING : "drop what is in schema "
                    + schemas.stream().map(Sql::identifier).collect(Collectors.joining(" and "));
            return Step.of(what, () -> drop(home, schemas, terminate), () -> {
                var left = count(home, schemas);
                if (left < objects) throw PreviousState.purged("%d of %d objects in schema %s"
                        .formatted(objects - left, objects, String.join(", ", schemas)));
            });
        });
    }

    private static int count(Database db, List<String> schemas) {
        return schemas.stream().mapToInt(schema -> Parking.ours(db, schema, o -> true).size()).sum();
    }

    private void drop(Database db, List<String> schemas, boolean terminate) {
        if (state(db) == State.HALF)
            throw Failure.refused("run %s was killed half way: its old state is partly in use".formatted(run))
                    .next("undo it first, which brings the old state together");
        for (var schema : schemas)
            Parking.refuseCascade(db, schema, Parking.ours(db, schema, o -> true), "schema " + schema);
        for (var schema : schemas) {
            Parking.drop(db, schema, o -> true, terminate);
            Checkpoint.reached("emptied " + schema);
            dropIfEmpty(db, schema);
        }
    }
}
