package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.files.Checkpoint;

/**
 * Swaps two databases by renaming both in one transaction. The first rename locks the name: clients that reconnect wait
 * until the other database has it. A crash leaves the old names.
 *
 * @param live            the name in use, which {@code outgoing} gives up to {@code incoming}
 * @param outgoing        oid
 * @param outgoingName    its new name
 * @param incoming        present name
 * @param created         this run has created the incoming one, so a session in it can only be a pooler's leftover
 */
public record Renames(String live, long outgoing, String outgoingName, String outgoingComment,
                      String incoming, String incomingComment, boolean created) {

    /**
     * @param db        in the live database; its session is closed, because it would block the rename
     * @param terminate other sessions, instead of failing when PostgreSQL has waited for them for five seconds
     */
    public void run(Database db, boolean terminate) {
        var maintenance = db.requireMaintenance();
        db.close();
        try (maintenance; var second = maintenance.sibling(maintenance.credentials().database())) {
            requireUnchanged(maintenance);
            var in = maintenance.oidOf(incoming).orElseThrow(() -> Failure
                    .failed("database " + incoming + " does not exist").next("find out what renamed or dropped it"));
            var seen = new ArrayList<String>();
            try {
                maintenance.transaction(() -> {
                    if (terminate || created) Sessions.terminateIn(second, in);
                    else Sessions.terminateOurs(second, in);
                    Sessions.terminateOurs(second, outgoing);
                    try (var termination = terminate ? Sessions.keepTerminating(second, outgoing, in)
                            : Sessions.NO_TERMINATION) {
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
                if (!Database.sqlState(e).equals("55006")) throw e;
                remember(seen, Sessions.in(second, outgoing));
                throw Sessions.databaseInUse(live, seen, terminate).causedBy(e);
            }
        }
    }

    private void requireUnchanged(Database maintenance) {
        if (maintenance.oidOf(live).filter(o -> o == outgoing).isPresent()) return;
        throw Failure.failed("database %s is not the one that this run began with (oid %d)".formatted(live, outgoing))
                .next("find out what changed it, then start again");
    }

    private static void remember(List<String> seen, List<String> now) {
        if (now.isEmpty()) return;
        seen.clear();
        seen.addAll(now);
    }

    public static String rename(String from, String to) {
        return "ALTER DATABASE %s RENAME TO %s".formatted(Sql.identifier(from), Sql.identifier(to));
    }

    /** @param text null for none */
    public static String comment(String database, String text) {
        var literal = text == null ? "NULL" : Sql.literal(text);
        return "COMMENT ON DATABASE %s IS %s".formatted(Sql.identifier(database), literal);
    }
}
