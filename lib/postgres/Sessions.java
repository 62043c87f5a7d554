package lib.postgres;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import lib.error.Failure;
import lib.files.Text;

/** Other sessions of the server: describes those that are in the way, and terminates them where that was allowed. */
public final class Sessions {
    private Sessions() {}

    private static final int LONGEST_QUERY = 80;

    /** What helps a person find a session. Details of other roles' sessions may be hidden from ours. */
    private static final String COLUMNS = """
            a.pid, coalesce(a.usename, 'no user'), coalesce(nullif(a.application_name, ''), 'no application name'),
            coalesce(host(a.client_addr), 'local'), coalesce(a.state, ''),
            coalesce(extract(epoch FROM clock_timestamp() - a.state_change), -1)::bigint,
            left(ltrim(coalesce(a.query, ''), E' \\t\\r\\n'), 1000)""";

    private static final Database.Row<String> DESCRIPTION = r -> description(r.getInt(1), r.getString(2),
            r.getString(3), r.getString(4), r.getString(5), r.getLong(6), r.getString(7));

    /** "pid 4711, crm_user, celery, 127.0.0.1, idle in transaction for 3 min: SELECT 1". No control characters. */
    static String description(int pid, String user, String application, String address, String state, long seconds,
                              String query) {
        var text = new StringBuilder("pid ").append(pid).append(", ").append(Text.line(user))
                .append(", ").append(Text.line(application)).append(", ").append(address);
        if (!state.isEmpty()) text.append(", ").append(state);
        if (!state.isEmpty() && seconds >= 0) text.append(" for ").append(Text.duration(Duration.ofSeconds(seconds)));
        var first = Text.line(query.lines().findFirst().orElse(""));
        if (first.codePointCount(0, first.length()) > LONGEST_QUERY)
            first = first.substring(0, first.offsetByCodePoints(0, LONGEST_QUERY - 1)) + "…";
        return first.isEmpty() ? text.toString() : text + ": " + first;
    }

    // ---- descriptions ------------------------------------------------------------------------

    private static final String NOT_OURS = "a.application_name IS DISTINCT FROM '%s'".formatted(Database.APPLICATION);
    private static final String CONNECTED = "a.datid = ? AND a.usesysid IS NOT NULL"
            + " AND coalesce(a.backend_type, '') NOT LIKE 'autovacuum%'";
    private static final String HOLDERS = """
            SELECT l.pid FROM pg_locks l WHERE l.relation = ANY (?) AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""";

    /** What is connected to a database, prepared transactions included: they block a rename too. */
    public static List<String> in(Database db, long database) {
        var found = sessions(db, CONNECTED, database);
        found.addAll(prepared(db, """
                SELECT gid FROM pg_prepared_xacts p JOIN pg_database d ON d.datname = p.database
                WHERE d.oid = ? ORDER BY 1""", database));
        return found;
    }

    /** The same without our own sessions and those that are to be ignored. */
    public static List<String> othersIn(Database db, long database) {
        return sessions(db, CONNECTED + " AND " + NOT_OURS + " AND " + notFrom(db.ignoredAddresses()), database);
    }

    /** Others' sessions in any database. Those younger than two seconds may be health checks, and are left out. */
    public static List<String> onServer(Database db, Collection<String> ignoredAddresses) {
        return db.list("""
                SELECT %s FROM pg_stat_activity a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL
                AND coalesce(a.backend_type, 'client backend') = 'client backend'
                AND coalesce(a.backend_start < clock_timestamp() - interval '2 s', true)
                AND %s AND %s ORDER BY a.pid""".formatted(COLUMNS, NOT_OURS, notFrom(ignoredAddresses)), DESCRIPTION);
    }

    /** What holds a lock on one of these relations, or waits for one. */
    public static List<String> holding(Database db, Collection<Long> relations) {
        var found = sessions(db, "a.pid IN (%s)".formatted(HOLDERS), relations);
        found.addAll(prepared(db, """
                SELECT DISTINCT gid FROM pg_prepared_xacts p
                JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid' AND t.transactionid = p.transaction
                JOIN pg_locks l ON l.pid IS NULL AND l.virtualtransaction = t.virtualtransaction
                WHERE l.relation = ANY (?) AND p.database = current_database() ORDER BY 1""", relations));
        return found;
    }

    /** The same without prepared transactions, our own sessions and those that are to be ignored. */
    public static List<String> othersHolding(Database db, Collection<Long> relations) {
        var condition = "a.pid IN (%s) AND %s AND %s".formatted(HOLDERS, NOT_OURS, notFrom(db.ignoredAddresses()));
        return sessions(db, condition, relations);
    }

    private static String notFrom(Collection<String> addresses) {
        if (addresses.isEmpty()) return "true";
        var literals = String.join(", ", addresses.stream().map(Sql::literal).toList());
        return "coalesce(host(a.client_addr), '') NOT IN (%s)".formatted(literals);
    }

    private static List<String> sessions(Database db, String condition, Object value) {
        return db.list("""
                SELECT %s FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND %s ORDER BY a.pid
                """.formatted(COLUMNS, condition), DESCRIPTION, value);
    }

    private static List<String> prepared(Database db, String query, Object value) {
        return db.texts(query, value).stream().map(gid -> "prepared transaction " + Text.line(gid)).toList();
    }

    // ---- failures ----------------------------------------------------------------------------

    /** @param sessions descriptions; @param terminated it was tried */
    public static Failure databaseInUse(String database, List<String> sessions, boolean terminated) {
        var by = sessions.isEmpty() ? "" : " by:\n  " + String.join("\n  ", sessions);
        return Failure.failed("database %s is in use%s".formatted(database, by)).next(whatToStop(terminated));
    }

    /** @param sessions descriptions; @param terminated it was tried */
    public static Failure tablesLocked(List<String> sessions, boolean terminated) {
        var by = sessions.isEmpty() ? "" : ":\n  " + String.join("\n  ", sessions);
        return Failure.failed("tables are locked by others for more than five seconds" + by)
                .next(whatToStop(terminated));
    }

    private static String whatToStop(boolean terminated) {
        return terminated ? "stop these programs: this role may not terminate their sessions, or they have reconnected"
                : "stop these programs, or add --terminate";
    }

    // ---- termination -------------------------------------------------------------------------

    public static void terminateIn(Database db, long database) {
        terminate(db, db.list("SELECT pid FROM pg_stat_activity WHERE datid = ? AND pid <> pg_backend_pid()",
                r -> r.getInt(1), database));
    }

    /** Our own idle sessions, which a pooler has kept open. */
    public static void terminateOurs(Database db, long database) {
        terminate(db, db.list("""
                SELECT pid FROM pg_stat_activity
                WHERE datid = ? AND application_name = ? AND state = 'idle' AND pid <> pg_backend_pid()""",
                r -> r.getInt(1), database, Database.APPLICATION));
    }

    public static void terminateHolding(Database db, Collection<Long> relations) {
        terminate(db, db.list(HOLDERS, r -> r.getInt(1), relations));
    }

    /** What our own sessions in this database wait for: sessions that hold a lock, and those ahead in its queue. */
    private static void terminateBlocking(Database db) {
        terminate(db, db.list("""
                SELECT DISTINCT b FROM pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) b
                WHERE a.datname = current_database() AND a.application_name = ? AND a.usename = current_user
                  AND a.wait_event_type = 'Lock' AND b <> 0
                  AND NOT EXISTS (SELECT FROM pg_stat_activity o WHERE o.pid = b
                                  AND o.application_name = a.application_name AND o.usename = current_user)""",
                r -> r.getInt(1), Database.APPLICATION));
    }

    private static void terminate(Database db, List<Integer> pids) {
        for (var pid : pids) {
            try {
                db.is("SELECT pg_terminate_backend(?)", pid);
            } catch (Failure ignored) {
                // another role's session: the failure that it causes describes it
            }
        }
    }

    /** Terminates sessions every 100 ms until it is closed. */
    public interface Termination extends AutoCloseable {
        @Override void close();
    }

    public static final Termination NO_TERMINATION = () -> {};

    /** Of sessions in these databases. @param second a connection that nothing else uses */
    public static Termination keepTerminating(Database second, long... databases) {
        return repeat(() -> {
            for (var database : databases) terminateIn(second, database);
        }, () -> {});
    }

    /** Of sessions that ours in this database wait for. A client that reconnects at once may get the lock first. */
    public static Termination keepTerminatingBlockers(Database db) {
        var second = db.sibling(db.credentials().database());
        return repeat(() -> terminateBlocking(second), second::close);
    }

    private static Termination repeat(Runnable work, Runnable end) {
        var thread = Thread.ofPlatform().daemon().start(() -> {
            try {
                while (true) {
                    work.run();
                    Thread.sleep(100);
                }
            } catch (InterruptedException | Failure ignored) {
                // sessions that are still in the way fail what they block, and are described then
            }
        });
        return () -> {
            thread.interrupt();
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            end.run();
        };
    }
}
