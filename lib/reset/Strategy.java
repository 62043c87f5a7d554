package lib.reset;

import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;

/** A way to make room in a database for fresh tables. Chosen before anything is touched; what it will set aside is known then. */
public sealed interface Strategy permits SwapDatabase, ParkTables, DropTables {
    /** "swap", "park" or "drop". */
    String name();

    /** One sentence for the plan: why this one, and why not a better one. */
    String reason();

    /** What will be lost or stays behind, a line each; after the run also what turned out to be lost. */
    List<String> warnings();

    /** Sessions that are connected now and would be in its way, in words. */
    List<String> inTheWay();

    /** The same, ending whoever is in its way. */
    Strategy terminating();

    /** What it will set aside, for run.json. */
    PreviousState aside();

    /**
     * Picks by what the role may do and what the database is.
     *
     * @param wanted           auto, swap, park or drop
     * @param runId            like 20261122-172530-4f2a: part of every name that is made
     * @param terminate        end other sessions that are in the way
     * @param allowReplication go on although publications, logical slots or prepared transactions are touched
     * @throws Failure refused (exit 4): nothing was touched
     */
    static Strategy choose(Database db, DatabaseSnapshot look, String wanted, String runId, boolean terminate, boolean allowReplication) {
        if (look.server().standby()) throw new Failure(new Problem.Standby(look.name()));
        if (!allowReplication) refuseReplication(db, look);
        return switch (wanted) {
            case "park" -> ParkTables.plan(db, look, runId, terminate, "asked for by name");
            case "drop" -> DropTables.plan(db, look, runId, terminate);
            case "swap" -> {
                var obstacles = SwapDatabase.obstacles(db, look);
                if (!obstacles.isEmpty()) throw new Failure(new Problem.CannotSwap(look.name(), obstacles));
                yield SwapDatabase.plan(db, look, runId, terminate, "asked for by name");
            }
            case "auto" -> {
                var obstacles = SwapDatabase.obstacles(db, look);
                yield obstacles.isEmpty()
                        ? SwapDatabase.plan(db, look, runId, terminate, "the role owns the database and may create another, and nothing of it is lost on the way")
                        : ParkTables.plan(db, look, runId, terminate, notSwapped(obstacles));
            }
            default -> throw new IllegalArgumentException(wanted);
        };
    }

    static String notSwapped(List<String> obstacles) {
        var others = obstacles.size() - 1;
        return "not swapped, because " + obstacles.getFirst() + (others == 0 ? "" : others == 1 ? "; " + obstacles.getLast() : ", and %d more reasons".formatted(others));
    }

    private static void refuseReplication(Database db, DatabaseSnapshot look) {
        var found = new ArrayList<>(db.texts("""
                SELECT 'publication ' || pubname || ' of all tables' FROM pg_publication WHERE puballtables
                UNION ALL SELECT 'logical replication slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
                UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = current_database()
                ORDER BY 1"""));
        if (look.server().version() >= 150000) found.addAll(db.texts("""
                SELECT 'publication ' || pubname || ' of the schema ' || nspname FROM pg_publication_namespace pn
                JOIN pg_publication p ON p.oid = pn.pnpubid JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE nspname = ?""", look.schema().name()));
        if (!found.isEmpty()) throw new Failure(new Problem.Replicated(look.name(), found));
    }

    /** A run's id as part of a name: 20261122_172530_4f2a. */
    static String suffix(String runId) {
        return runId.replace('-', '_');
    }
}
