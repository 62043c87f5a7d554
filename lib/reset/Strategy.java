package lib.reset;

import java.util.List;

/** A way to make room in a database for new tables, and what it will set aside; chosen before anything is touched. */
sealed interface Strategy permits SwapDatabase, ParkTables, DropTables {
    String BY_NAME = "asked for by name";

    /** "swap", "park" or "drop". */
    String name();

    /** One sentence for the plan: why this one, and why not a better one. */
    String reason();

    /** Whether sessions that are in its way are ended. */
    boolean terminate();

    /** What will be lost or stay behind, a line each; after the run also what could not be kept. */
    List<String> warnings();

    /** Sessions that are connected now and would be in its way, a line each. */
    List<String> inTheWay();

    /** The same strategy, which ends the sessions that are in its way. */
    Strategy terminating();

    /** Whether the old tables stay where they are until the new ones are complete, and can be compared with them. */
    default boolean inTransaction() { return false; }

    /** What it will set aside, for run.json. */
    PreviousState previous();
}
