package lib.postgres;

import java.util.Collection;
import java.util.List;
import lib.error.Failure;
import lib.files.Text;

/** Other sessions of the server: to name whoever is in the way, and to end it when that was allowed. */
public final class Sessions {
    private Sessions() {}

    private static final int LONGEST_QUERY = 80;

    /** Of each session what lets a person find it; another role's details may be hidden from us. */
    private static final String COLUMNS = """
            a.pid, coalesce(a.usename, 'no user'), coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(host(a.client_addr), 'local'),
            coalesce(a.state, ''), coalesce(extract(epoch FROM clock_timestamp() - a.state_change), -1)::bigint, left(ltrim(coalesce(a.query, ''), E' \\t\\r\\n'), 1000)""";

    private static final Database.Row<String> WORDS = r -> words(r.getInt(1), r.getString(2), r.getString(3), r.getString(4), r.getString(5), r.getLong(6), r.getString(7));

    /** "pid 4711, crm_user, celery, 127.0.0.1, idle in transaction for 3 min 12 s: SELECT 1"; whatever others have put into it is harmless on a terminal. */
    static String words(int pid, String user, String application, String address, String state, long seconds, String query) {
        var text = new StringBuilder("pid %d, %s, %s, %s".formatted(pid, Text.line(user), Text.line(application), address));
        if (!state.isEmpty()) text.append(", ").append(state).append(seconds < 0 ? "" : " for " + duration(seconds));
        var first = Text.line(query.lines().findFirst().orElse(""));
        if (first.codePointCount(0, first.length()) > LONGEST_QUERY) first = first.substring(0, first.offsetByCodePoints(0, LONGEST_QUERY - 1)) + "…";
        return first.isEmpty() ? text.toString() : text + ": " + first;
    }

    /** 12 s, 3 min 12 s, 2 h 5 min, 4 d 1 h. */
    static String duration(long seconds) {
        if (seconds < 60) return seconds + " s";
        if (seconds < 3600) return "%d min %d s".formatted(seconds / 60, seconds % 60);
        if (seconds < 86400) return "%d h %d min".formatted(seconds / 3600, seconds / 60 % 60);
        return "%d d %d h".formatted(seconds / 86400, seconds / 3600 % 24);
    }

    private static final String NOT_OURS = "a.application_name IS DISTINCT FROM '%s'".formatted(Database.APPLICATION);

    /** Who is connected to a database; prepared transactions hold it as sessions do. */
    public static List<String> in(Database db, long database) {
        var found = sessions(db, "a.datid = ? AND a.usesysid IS NOT NULL AND coalesce(a.backend_type, '') NOT LIKE 'autovacuum%'", database);
        found.addAll(db.texts("SELECT gid FROM pg_prepared_xacts p JOIN pg_database d ON d.datname = p.database WHERE d.oid = ? ORDER BY 1", database)
                .stream().map(gid -> "prepared transaction " + Text.line(gid)).toList());
        return found;
    }

    /** The same without what is our own: we leave before it matters. */
    public static List<String> othersIn(Database db, long database) {
        return staying(db, "a.datid = ? AND a.usesysid IS NOT NULL AND coalesce(a.backend_type, '') NOT LIKE 'autovacuum%' AND " + NOT_OURS, database);
    }

    /** Anywhere on the server, for longer than a health check takes as far as that may be seen. @param known addresses whose sessions do not count */
    public static List<String> ofOthers(Database db, Collection<String> known) {
        return db.list("""
                SELECT %s FROM pg_stat_activity a WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL
                AND coalesce(a.backend_type, 'client backend') = 'client backend' AND coalesce(a.backend_start < clock_timestamp() - interval '2 s', true)
                AND %s AND %s ORDER BY a.pid""".formatted(COLUMNS, NOT_OURS, notFrom(known)), WORDS);
    }

    /** Who holds locks on any of these relations, or waits for one. */
    public static List<String> holding(Database db, Collection<Long> relations) {
        var found = sessions(db, "a.pid IN (%s)".formatted(HOLDERS), relations);
        found.addAll(db.texts("""
                SELECT DISTINCT gid FROM pg_prepared_xacts p JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid' AND t.transactionid = p.transaction
                JOIN pg_locks l ON l.pid IS NULL AND l.virtualtransaction = t.virtualtransaction
                WHERE l.relation = ANY (?) AND p.database = current_database() ORDER BY 1""", relations)
                .stream().map(gid -> "prepared transaction " + Text.line(gid)).toList());
        return found;
    }

    public static List<String> othersHolding(Database db, Collection<Long> relations) {
        return staying(db, "a.pid IN (%s) AND %s".formatted(HOLDERS, NOT_OURS), relations);
    }

    /** Without those of services that are stopped when it is time. */
    private static List<String> staying(Database db, String which, Object value) {
        return sessions(db, which + " AND " + notFrom(db.leaving()), value);
    }

    private static String notFrom(Collection<String> addresses) {
        return addresses.isEmpty() ? "true" : "coalesce(host(a.client_addr), '') NOT IN (%s)".formatted(String.join(", ", addresses.stream().map(Database::literal).toList()));
    }

    private static List<String> sessions(Database db, String which, Object value) {
        return db.list("SELECT %s FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND %s ORDER BY a.pid".formatted(COLUMNS, which), WORDS, value);
    }

    private static final String HOLDERS = """
            SELECT l.pid FROM pg_locks l WHERE l.relation = ANY (?) AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""";

    public static void terminateIn(Database db, long database) {
        terminate(db, db.list("SELECT pid FROM pg_stat_activity WHERE datid = ? AND pid <> pg_backend_pid()", r -> r.getInt(1), database));
    }

    /** Ends what a pooler has kept open of our own. */
    public static void terminateOurs(Database db, long database) {
        terminate(db, db.list("SELECT pid FROM pg_stat_activity WHERE datid = ? AND application_name = ? AND state = 'idle' AND pid <> pg_backend_pid()",
                r -> r.getInt(1), database, Database.APPLICATION));
    }

    public static void terminateHolding(Database db, Collection<Long> relations) {
        terminate(db, db.list(HOLDERS, r -> r.getInt(1), relations));
    }

    /** Whoever our own sessions wait for in this database: holders, and those ahead of us in a queue. */
    private static void terminateBlocking(Database db) {
        terminate(db, db.list("""
                SELECT DISTINCT b FROM pg_stat_activity a, unnest(pg_blocking_pids(a.pid)) b
                WHERE a.datname = current_database() AND a.application_name = ? AND a.usename = current_user AND a.wait_event_type = 'Lock' AND b <> 0
                  AND NOT EXISTS (SELECT FROM pg_stat_activity o WHERE o.pid = b AND o.application_name = a.application_name AND o.usename = current_user)""",
                r -> r.getInt(1), Database.APPLICATION));
    }

    private static void terminate(Database db, List<Integer> pids) {
        for (var pid : pids) {
            try {
                db.is("SELECT pg_terminate_backend(?)", pid);
            } catch (Failure notOurs) {
                // another role's: it stays, and is named when it is in the way
            }
        }
    }

    // ---- kept out ----------------------------------------------------------------------------

    public interface KeptOut extends AutoCloseable {
        @Override void close();
    }

    public static final KeptOut NOBODY = () -> {};

    /** Until it is closed, who connects to one of these databases is told to leave, again and again. */
    public static KeptOut keepOut(Database second, long... databases) {
        return again(() -> {
            for (var database : databases) terminateIn(second, database);
        }, () -> {});
    }

    /** Until it is closed, nobody whom our work in this database waits for stays: one that comes back at once may have been faster than we. */
    public static KeptOut keepFromBlocking(Database db) {
        var second = db.sibling(db.credentials().database());
        return again(() -> terminateBlocking(second), second::close);
    }

    private static KeptOut again(Runnable work, Runnable end) {
        var thread = Thread.ofPlatform().daemon().start(() -> {
            try {
                while (true) {
                    work.run();
                    Thread.sleep(100);
                }
            } catch (InterruptedException | Failure enough) {
                // what is left in the way is named by whom it hinders
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
