package lib.reset;

import com.google.gson.JsonDeserializationContext;
import com.google.gson.JsonDeserializer;
import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonSerializationContext;
import com.google.gson.JsonSerializer;
import java.lang.reflect.Type;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Grants;
import lib.postgres.Renames;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/**
 * What a run sets aside, as run.json keeps it: names and oids from which, after a crash at any point, the databases
 * themselves say what happened. Plain fields only.
 */
public sealed interface PreviousState permits PreviousState.Database, PreviousState.Schema, PreviousState.Backup {
    enum State {
        NEW_IS_LIVE("the new state of this run, or of a later one; the old one stands aside"),
        /** Nothing happened yet, or it was undone. */
        OLD_IS_LIVE("the old state"),
        /** Only a killed run or undo leaves this: undo brings the objects together. */
        HALF("a part of the old state; the rest stands aside, undo brings it together"),
        GONE("a later state; the old one was purged, or put aside by a later run");

        private final String words;

        State(String words) {
            this.words = words;
        }

        /** What the live database holds, for people. */
        public String words() {
            return words;
        }
    }

    /** With the kind beside the fields: run.json has to say which of the three it is. */
    Object JSON = new Json();

    final class Json implements JsonSerializer<PreviousState>, JsonDeserializer<PreviousState> {
        private static final Map<String, Class<? extends PreviousState>> KINDS = Map.of("database", Database.class, "schema", Schema.class, "backup", Backup.class);

        @Override
        public JsonElement serialize(PreviousState aside, Type type, JsonSerializationContext context) {
            var json = context.serialize(aside, aside.getClass()).getAsJsonObject();
            KINDS.forEach((kind, of) -> {
                if (of == aside.getClass()) json.addProperty("kind", kind);
            });
            return json;
        }

        @Override
        public PreviousState deserialize(JsonElement json, Type type, JsonDeserializationContext context) {
            var kind = json.getAsJsonObject().get("kind");
            if (kind == null || !KINDS.containsKey(kind.getAsString())) throw new JsonParseException("unknown kind of aside");
            return context.deserialize(json, KINDS.get(kind.getAsString()));
        }
    }

    /** In words where what is not in use stands now: "database crm_before_20261122_172530_4f2a", or "nowhere". */
    String where(lib.postgres.Database live);

    String run();

    /** What the live database holds, for people. */
    default String words(State state) {
        return state.words();
    }

    State state(lib.postgres.Database live);

    /**
     * Puts the old state back and sets the newer one aside. Drops nothing; accepts what a killed run or a killed undo left.
     *
     * @param terminate end sessions that are in the way
     */
    List<Step> undo(lib.postgres.Database live, boolean terminate);

    /** Does what the killed run has left to do in the new state. @return in words what could not be done */
    default List<String> complete(lib.postgres.Database live) {
        return List.of();
    }

    /** Whether all of the old state is still there: false once a purge has begun to drop it. */
    default boolean whole(lib.postgres.Database live) {
        return true;
    }

    /** Disk taken by what is not in use: the old state, or the newer one after an undo, or what a killed run left. */
    long bytes(lib.postgres.Database live);

    /** Drops for good what is not in use. Its run refuses (exit 4) while that still holds what another run set aside. */
    default Step purge(lib.postgres.Database live) {
        return purge(live, false);
    }

    /** @param terminate end sessions that are in the way */
    Step purge(lib.postgres.Database live, boolean terminate);

    /** The databases that hold what {@link #purge} would drop: what a backup has to take first. */
    List<String> holders(lib.postgres.Database live);

    /** Whether it lies within what another run has set aside, so that this has to be purged first. */
    default boolean isInside(lib.postgres.Database live) {
        return false;
    }

    /** A session from which databases can be renamed and dropped. */
    static lib.postgres.Database maintenance(lib.postgres.Database live, String name) {
        return live.requireMaintenance();
    }

    /**
     * Swap: the old database under another name.
     *
     * @param live    the name in use
     * @param oid     of the old database
     * @param scratch the new database's name while it is built
     * @param aside   the old database's name afterwards
     * @param undone  the newer database's name after an undo
     * @param comment the old database's own, which makes room for the run's id while it stands aside; or null
     */
    record Database(String run, String live, long oid, String scratch, String aside, String undone, String comment) implements PreviousState {
        public String where(lib.postgres.Database db) {
            var names = unused(db);
            return names.isEmpty() ? "nowhere" : "database " + String.join(", ", names);
        }

        public State state(lib.postgres.Database db) {
            if (is(db, live)) return State.OLD_IS_LIVE;
            return is(db, aside) ? State.NEW_IS_LIVE : State.GONE;
        }

        private boolean is(lib.postgres.Database db, String name) {
            return db.oidOf(name).filter(o -> o == oid).isPresent();
        }

        public List<Step> undo(lib.postgres.Database db, boolean terminate) {
            return switch (state(db)) {
                case OLD_IS_LIVE -> List.of();
                case NEW_IS_LIVE -> List.of(new RenameBack(this, db, terminate));
                case HALF, GONE -> throw new Failure(new Problem.NothingAside(run));
            };
        }

        /** The old database gets its name back; the newer one is called {@code newer}. */
        void putBack(lib.postgres.Database db, String newer, boolean terminate) {
            var words = newer.equals(scratch) ? comment : "reset_migrations %s: what undo took away".formatted(run);
            new Renames(live, db.oid(), newer, words, aside, comment, false).run(db, terminate);
        }

        /** Every database of this run that is not in use. */
        private List<String> unused(lib.postgres.Database db) {
            return Stream.of(scratch, aside, undone).filter(n -> db.oidOf(n).isPresent() && (!n.equals(aside) || is(db, aside))).toList();
        }

        public long bytes(lib.postgres.Database db) {
            return unused(db).stream().mapToLong(n -> db.one("SELECT pg_database_size(?::name)", r -> r.getLong(1), n)).sum();
        }

        public List<String> holders(lib.postgres.Database db) {
            return unused(db).stream().filter(name -> !name.equals(scratch)).toList(); // an unfinished scratch is nobody's data
        }

        public Step purge(lib.postgres.Database db, boolean terminate) {
            return new DropDatabases(db, run, live, unused(db), terminate);
        }
    }

    record RenameBack(Database aside, lib.postgres.Database live, boolean terminate) implements Step {
        public String describe() {
            return "rename %s to %s, and %s to %s".formatted(aside.live(), aside.undone(), aside.aside(), aside.live());
        }

        public void run() {
            if (aside.state(live) == State.NEW_IS_LIVE) aside.putBack(live, aside.undone(), terminate);
        }

        public void undo() {
            if (aside.state(live) != State.OLD_IS_LIVE || live.oidOf(aside.undone()).isEmpty()) return;
            new Renames(aside.live(), aside.oid(), aside.aside(), "reset_migrations %s: %s as it was before".formatted(aside.run(), aside.live()),
                    aside.undone(), aside.comment(), false).run(live, terminate);
        }
    }

    record DropDatabases(lib.postgres.Database live, String ofRun, String name, List<String> databases, boolean terminate) implements Step {
        public String describe() {
            return databases.isEmpty() ? "nothing is set aside" : "drop database " + String.join(", ", databases);
        }

        public void run() {
            for (var database : databases) {
                try (var inside = live.sibling(database)) {
                    Guards.refuseProtected(inside);
                    var others = Parking.schemasOfRuns(inside).stream().filter(s -> !s.run().equals(ofRun)).map(s -> s.name() + " of run " + s.run()).toList();
                    if (!others.isEmpty()) throw new Failure(new Problem.HoldsAnotherRun("database " + database, others));
                }
            }
            try (var maintenance = maintenance(live, name); var second = maintenance.sibling(maintenance.credentials().database())) {
                for (var database : databases) {
                    var oid = maintenance.oidOf(database).orElse(0L);
                    Sessions.terminateOurs(maintenance, oid);
                    try (var kept = terminate && oid != 0 ? Sessions.keepTerminating(second, oid) : Sessions.NO_TERMINATION) {
                        maintenance.run("DROP DATABASE IF EXISTS " + Sql.identifier(database));
                        Checkpoint.reached("dropped " + database);
                    } catch (Failure e) {
                        if (!lib.postgres.Database.sqlState(e).equals("55006")) throw e;
                        throw Sessions.databaseInUse(database, Sessions.in(maintenance, oid), terminate).causedBy(e);
                    }
                }
            }
        }

        /** Nothing brings them back; but nobody may hear that all is as it was. */
        public void undo() {
            var gone = databases.stream().filter(database -> live.oidOf(database).isEmpty()).toList();
            if (!gone.isEmpty()) throw new Failure(new Problem.Purged("database " + String.join(", ", gone)));
        }
    }

    /**
     * Park: the old objects in another schema of the same database.
     *
     * @param live    the schema in use
     * @param parked  where the old objects go; undone where newer ones go after an undo
     * @param fixed   both were made by a DBA: they are emptied, never dropped
     * @param objects oids of the old objects by catalog: whatever else the live schema holds is newer
     */
    record Schema(String run, String database, String live, String parked, String undone, boolean fixed, Map<String, List<Long>> objects) implements PreviousState {
        /** The database that has its schemas: the live one, or one that went aside with them in it, as when an older run was undone. */
        private lib.postgres.Database home(lib.postgres.Database db) {
            if (isIn(db)) return db;
            for (var other : OrphanedState.in(db)) {
                if (other.schema() != null) continue;
                try {
                    var there = db.sibling(other.database());
                    if (isIn(there)) return there;
                    there.close();
                } catch (Failure closedToUs) {
                    // then it is not ours to purge, either
                }
            }
            return db;
        }

        private boolean isIn(lib.postgres.Database db) {
            return Parking.schemasOfRuns(db).stream().anyMatch(held -> held.run().equals(run));
        }

        private <T> T there(lib.postgres.Database db, Function<lib.postgres.Database, T> look) {
            var home = home(db);
            try {
                return look.apply(home);
            } finally {
                if (home != db) home.close(); // opened again when a step uses it
            }
        }

        @Override public boolean isInside(lib.postgres.Database live) {
            return there(live, home -> home != live);
        }

        public String where(lib.postgres.Database db) {
            return there(db, home -> {
                var names = Stream.of(parked, undone).filter(name -> !SchemaObjects.in(home, name).isEmpty()).toList();
                return names.isEmpty() ? "nowhere" : "schema %s of database %s".formatted(String.join(", ", names), home.name());
            });
        }

        public State state(lib.postgres.Database db) {
            return Parking.state(db, this);
        }

        public List<Step> undo(lib.postgres.Database db, boolean terminate) {
            return Parking.undo(db, this, terminate);
        }

        /** After the COMMIT, before the grants. */
        public List<String> complete(lib.postgres.Database db) {
            return Grants.in(db, parked).regrant(db, live);
        }

        public boolean whole(lib.postgres.Database db) {
            var old = SchemaObjects.withOids(objects);
            return Stream.of(live, parked).flatMap(schema -> SchemaObjects.in(db, schema).stream()).filter(old).count() == objects.values().stream().mapToLong(List::size).sum();
        }

        public long bytes(lib.postgres.Database db) {
            return there(db, home -> Parking.bytes(home, this));
        }

        public List<String> holders(lib.postgres.Database db) {
            return there(db, home -> Stream.of(parked, undone).allMatch(schema -> SchemaObjects.in(home, schema).isEmpty()) ? List.of() : List.of(home.credentials().database()));
        }

        public Step purge(lib.postgres.Database db, boolean terminate) {
            return there(db, home -> Parking.purge(home, this, terminate));
        }
    }

    /** Drop: nothing in the database stands aside; a backup has it. @param tables the dropped tables' oids */
    record Backup(String run, String name, String schema, List<Long> tables) implements PreviousState {
        public String where(lib.postgres.Database db) {
            return "nowhere: drop leaves the tables to a backup";
        }

        @Override public String words(State state) {
            return switch (state) {
                case OLD_IS_LIVE -> state.words();
                case HALF -> "a part of the old tables; the others were dropped, only a backup has them";
                case NEW_IS_LIVE, GONE -> "the new state of this run, or of a later one; the old tables were dropped, only a backup has them";
            };
        }

        /** The grants of what was dropped are known to nobody any more. */
        @Override public List<String> complete(lib.postgres.Database db) {
            return List.of("what was granted on the dropped tables may not have been given again: compare with the backup");
        }

        public State state(lib.postgres.Database db) {
            if (tables.isEmpty()) return State.OLD_IS_LIVE;
            var left = db.one("SELECT count(*) FROM pg_class WHERE oid = ANY (?)", r -> r.getLong(1), tables);
            return left == 0 ? State.NEW_IS_LIVE : left == tables.size() ? State.OLD_IS_LIVE : State.HALF;
        }

        public List<Step> undo(lib.postgres.Database db, boolean terminate) {
            if (state(db) == State.OLD_IS_LIVE) return List.of();
            throw new Failure(new Problem.OnlyBackupHasIt(name, null));
        }

        public long bytes(lib.postgres.Database db) {
            return 0;
        }

        public List<String> holders(lib.postgres.Database db) {
            return List.of();
        }

        public Step purge(lib.postgres.Database db, boolean terminate) {
            return new DropDatabases(db, run, name, List.of(), false);
        }
    }
}
