package lib;

import java.util.Collection;
import java.util.List;

/** Other sessions of the server: to name whoever is in the way, and to end it when that was allowed. */
final class Sessions {
    private Sessions() {}

    /** One session in words that let a person find it. */
    private static final String WORDS = """
            format('pid %s, %s, %s, %s%s%s', a.pid, coalesce(a.usename, 'no user'),
                   coalesce(nullif(a.application_name, ''), 'no application name'),
                   coalesce(host(a.client_addr), 'local'), ', ' || a.state || ' since ' || to_char(a.state_change, 'YYYY-MM-DD HH24:MI:SS'),
                   ': ' || nullif(left(split_part(a.query, chr(10), 1), 80), ''))""";

    /** Who is connected to a database, also where another role's details are hidden from us; prepared transactions hold it as sessions do. */
    static List<String> in(Database db, long database) {
        return db.texts("""
                SELECT %s FROM pg_stat_activity a WHERE a.datid = ? AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, '') NOT LIKE 'autovacuum%%'
                UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts p JOIN pg_database d ON d.datname = p.database AND d.oid = ?
                ORDER BY 1""".formatted(WORDS), database, database);
    }

    /** Who holds locks on any of these relations, or waits for one. */
    static List<String> holding(Database db, Collection<Long> relations) {
        return db.texts("SELECT %s FROM pg_stat_activity a WHERE a.pid IN (%s) ORDER BY 1".formatted(WORDS, HOLDERS), relations);
    }

    private static final String HOLDERS = """
            SELECT l.pid FROM pg_locks l WHERE l.relation = ANY (?) AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""";

    static void terminateIn(Database db, long database) {
        terminate(db, db.list("SELECT pid FROM pg_stat_activity WHERE datid = ? AND pid <> pg_backend_pid()", r -> r.getInt(1), database));
    }

    /** Ends what a pooler has kept open of our own. */
    static void terminateOurs(Database db, long database) {
        terminate(db, db.list("SELECT pid FROM pg_stat_activity WHERE datid = ? AND application_name = ? AND pid <> pg_backend_pid()",
                r -> r.getInt(1), database, Database.APPLICATION));
    }

    static void terminateHolding(Database db, Collection<Long> relations) {
        terminate(db, db.list(HOLDERS, r -> r.getInt(1), relations));
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
}
