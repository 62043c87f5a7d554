package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;

/**
 * Two databases change places: one goes aside, the other gets its name, in one transaction. The first rename locks the
 * name, so that clients that reconnect wait until the other one bears it; a crash leaves the old names.
 *
 * @param built the incoming one was made by this run: whatever is connected to it is a pooler's leftover
 */
public record Renames(String live, long outgoing, String outgoingName, String outgoingComment, String incoming, String incomingComment, boolean built) {

    /**
     * @param db        a session in the live database, or null; given up here because it would be in the way itself
     * @param terminate end other sessions instead of failing after PostgreSQL's own five seconds of waiting
     */
    public void run(Database db, boolean terminate) {
        var maintenance = db.maintenance().orElseThrow(() -> new Failure(new Problem.NoMaintenanceDatabase(live)));
        db.close();
        try (maintenance; var second = maintenance.sibling(maintenance.credentials().database())) {
            if (maintenance.oidOf(live).filter(o -> o == outgoing).isEmpty()) throw new Failure(new Problem.NotTheDatabase(live, outgoing));
            var in = maintenance.oidOf(incoming).orElseThrow(() -> new Failure(new Problem.DatabaseGone(incoming)));
            var seen = new ArrayList<String>();
            try {
                maintenance.transaction(() -> {
                    if (terminate || built) Sessions.terminateIn(second, in);
                    else Sessions.terminateOurs(second, in);
                    Sessions.terminateOurs(second, outgoing);
                    try (var kept = terminate ? Sessions.keepOut(second, outgoing, in) : Sessions.NOBODY) {
                        remember(seen, Sessions.in(second, outgoing));
                        maintenance.run(rename(live, outgoingName));
                        Checkpoint.reached("between the two renames");
                        remember(seen, Sessions.in(second, in));
                        maintenance.run(rename(incoming, live));
                    }
                    maintenance.run(comment(outgoingName, outgoingComment));
                    maintenance.run(comment(live, incomingComment));
                    Checkpoint.reached("before COMMIT");
                    return null;
                });
                Checkpoint.reached("after COMMIT");
            } catch (Failure e) {
                if (!Database.state(e).equals("55006")) throw e;
                remember(seen, Sessions.in(second, outgoing));
                throw new Failure(new Problem.InUse(live, seen, terminate), e);
            }
        }
    }

    private static void remember(List<String> seen, List<String> now) {
        if (now.isEmpty()) return;
        seen.clear();
        seen.addAll(now);
    }

    public static String rename(String from, String to) {
        return "ALTER DATABASE %s RENAME TO %s".formatted(Database.quoted(from), Database.quoted(to));
    }

    public static String comment(String database, String words) {
        return "COMMENT ON DATABASE %s IS %s".formatted(Database.quoted(database), words == null ? "NULL" : Database.literal(words));
    }
}
