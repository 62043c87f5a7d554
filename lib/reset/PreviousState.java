package lib.reset;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import java.util.List;
import java.util.Map;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;

/**
 * What a run sets aside, as run.json keeps it: names and oids. Which state is live is found by looking at the server,
 * so it is right after a crash at any point. The records have plain fields only.
 */
public sealed interface PreviousState permits PreviousDatabase, PreviousSchema, DroppedTables {
    enum State {
        NEW_IS_LIVE("the new state of this run, or of a later one; the old one is set aside"),
        /** Nothing has happened yet, or it was undone. */
        OLD_IS_LIVE("the old state"),
        /** Only a killed run or a killed undo leaves this. */
        HALF("a part of the old state; the rest is set aside, and undo moves it back"),
        GONE("a later state; the old one was purged, or a later run has set it aside");

        private final String description;

        State(String description) {
            this.description = description;
        }

        /** What the live database holds, for people. */
        public String description() { return description; }
    }

    String NOWHERE = "nowhere", NOTHING = "nothing is set aside";

    /** In run.json a field "kind" beside the others says which of the three it is. */
    Map<String, Class<? extends PreviousState>> KINDS = Map.of("database", PreviousDatabase.class,
            "schema", PreviousSchema.class, "backup", DroppedTables.class);

    default JsonObject toJson(Gson gson) {
        var json = gson.toJsonTree(this).getAsJsonObject();
        KINDS.forEach((kind, type) -> {
            if (type == getClass()) json.addProperty("kind", kind);
        });
        return json;
    }

    /** @return null without one */
    static PreviousState of(JsonObject json, Gson gson) {
        if (json == null) return null;
        var type = json.has("kind") ? KINDS.get(json.get("kind").getAsString()) : null;
        if (type == null) throw new JsonParseException("unknown kind of previous state");
        return gson.fromJson(json, type);
    }

    /** The id of the run. */
    String run();

    /** Where the state is that is not in use: "database crm_before_20261122_172530_4f2a", or "nowhere". */
    String location(Database live);

    /** What the live database holds, for people. */
    default String describe(State state) { return state.description(); }

    State state(Database live);

    /** Puts the old state back and sets the newer one aside. Drops nothing, and accepts what a kill has left. */
    List<Step> undo(Database live, boolean terminate);

    /** Does what a killed run has left to do in the new state. @return what could not be done, a line each */
    default List<String> complete(Database live) { return List.of(); }

    /** Whether all of the old state is still there: false once a purge has begun to drop it. */
    default boolean isWhole(Database live) { return true; }

    /** Disk space of what is not in use: the old state, or the newer one after an undo, or what a killed run left. */
    long bytes(Database live);

    /** Drops what is not in use. The step refuses (exit 4) while that holds what another run has set aside. */
    Step purge(Database live, boolean terminate);

    /** The databases that hold what {@link #purge} would drop: a backup of these comes first. */
    List<String> holders(Database live);

    /** Whether it is inside what another run has set aside, so that this one has to be purged first. */
    default boolean isInside(Database live) { return false; }

    /** The old state is not where the run has put it. */
    static Failure missing(String run) {
        return Failure.refused("what run %s set aside is no longer there: it was purged, or renamed by hand"
                .formatted(run)).next("restore a backup if you need the old state");
    }

    /** Undo of a purge that has begun: nothing comes back, and no message may claim that all is as it was. */
    static Failure purged(String what) {
        return Failure.partly("already dropped: " + what).permanent();
    }
}
