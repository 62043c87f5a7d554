package lib.reset;

import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.files.Text;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;

/** Picks the strategy by what the role may do and what the database is. */
public final class StrategyChoice {
    /** What {@code --strategy} takes. */
    public enum Wanted { auto, swap, park, drop }

    private static final String WHY_SWAP =
            "the role owns the database and may create another, and the copy keeps all of its properties";

    private StrategyChoice() {}

    /**
     * @param allowReplication continue although publications, logical slots or prepared transactions are affected
     * @throws Failure refused (4): nothing was touched
     */
    static Strategy choose(Database db, DatabaseSnapshot snapshot, Wanted wanted, String runId, boolean terminate,
            boolean allowReplication) {
        if (snapshot.server().standby()) throw Guards.standby(snapshot.name());
        if (!allowReplication) refuseReplication(db, snapshot);
        if (wanted == Wanted.park) return ParkTables.plan(db, snapshot, runId, terminate, Strategy.BY_NAME);
        if (wanted == Wanted.drop) return DropTables.plan(db, snapshot, runId, terminate);
        var byName = wanted == Wanted.swap;
        var obstacles = SwapDatabase.obstacles(db, snapshot);
        if (obstacles.isEmpty())
            return SwapDatabase.plan(db, snapshot, runId, terminate, byName ? Strategy.BY_NAME : WHY_SWAP);
        if (!byName) return ParkTables.plan(db, snapshot, runId, terminate, notSwapped(obstacles));
        throw Failure.refused("database %s cannot be swapped:%s".formatted(snapshot.name(), Text.lines(obstacles)))
                .next("leave --strategy out, or give --strategy park");
    }

    /** The strategy after the new database turned out to differ from the live one. */
    static Strategy instead(SwapDatabase swap, DatabaseCopy.Differs why) {
        return ParkTables.plan(swap.db(), swap.snapshot(), swap.previous().run(), swap.terminate(),
                notSwapped(why.differences()));
    }

    private static String notSwapped(List<String> obstacles) {
        var others = obstacles.size() - 1;
        return "not swapped, because " + obstacles.getFirst() + switch (others) {
            case 0 -> "";
            case 1 -> "; " + obstacles.getLast();
            default -> ", and %d more reasons".formatted(others);
        };
    }

    private static void refuseReplication(Database db, DatabaseSnapshot snapshot) {
        var found = new ArrayList<>(db.texts("""
                SELECT 'publication ' || pubname || ' of all tables' FROM pg_publication WHERE puballtables
                UNION ALL SELECT 'logical replication slot ' || slot_name FROM pg_replication_slots
                          WHERE database = current_database()
                UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
                          WHERE database = current_database()
                ORDER BY 1"""));
        if (snapshot.server().version() >= 150000) found.addAll(db.texts("""
                SELECT 'publication ' || pubname || ' of the schema ' || nspname FROM pg_publication_namespace pn
                JOIN pg_publication p ON p.oid = pn.pnpubid JOIN pg_namespace n ON n.oid = pn.pnnspid
                WHERE nspname = ?""", snapshot.schema().name()));
        if (!found.isEmpty())
            throw Failure.refused("a reset of database %s would affect replication or open transactions:%s"
                    .formatted(snapshot.name(), Text.lines(found)))
                    .next("finish or remove them, or accept it with --allow-replication");
    }
}
