package lib.postgres;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import lib.error.Failure;
import lib.files.Host;
import lib.process.Interruption;

/** Allows one run at a time for a database: an advisory lock in a transaction that lasts until it is closed. */
public final class RunLock implements AutoCloseable {
    /** The class of the advisory locks: "rset". */
    private static final int LOCK_CLASS = 0x72736574;
    private static final int TRIES = 11;
    private static final Duration BETWEEN_TRIES = Duration.ofMillis(200);

    private final Database session;

    private RunLock(Database session) {
        this.session = session;
    }

    /**
     * The session is in the maintenance database, because one in the database itself would block its rename. Where no
     * maintenance database can be reached it is in the database itself: park and drop work without a rename.
     *
     * @throws Failure exit code 5, with the sessions that hold it
     */
    public static RunLock take(Database db) {
        var name = db.name();
        var session = db.maintenance().orElseGet(() -> Database.open(db.credentials()));
        try {
            session.beginUntilClosed();
            session.run(settings());
            for (int i = 0; i < TRIES; i++) { // the server needs a moment to notice that a killed run is gone
                if (i > 0) Interruption.pause(BETWEEN_TRIES);
                var locked = session.is("SELECT pg_try_advisory_xact_lock(?, ?)", LOCK_CLASS, name.hashCode());
                if (locked) return new RunLock(session);
            }
            throw busy(name, holders(session, name));
        } catch (RuntimeException e) {
            session.close();
            throw e;
        }
    }

    /**
     * LOCAL, because a pooler gives the session to others. Keepalives, so that the lock of a host that has vanished
     * ends within two minutes.
     */
    private static List<String> settings() {
        var pid = ProcessHandle.current().pid();
        var application = "%s pid %d on %s".formatted(Database.APPLICATION, pid, Host.name());
        return List.of("SET LOCAL idle_in_transaction_session_timeout = 0",
                "SET LOCAL application_name = " + Sql.literal(Sql.shortened(application, "")),
                "SET LOCAL tcp_keepalives_idle = 30", "SET LOCAL tcp_keepalives_interval = 10",
                "SET LOCAL tcp_keepalives_count = 3",
                // from PostgreSQL 17 on
                "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'");
    }

    private record Holder(int pid, String application, String since) {
        @Override
        public String toString() {
            return "%s%s, server process %d".formatted(application, since == null ? "" : ", since " + since, pid);
        }
    }

    private static List<Holder> holders(Database session, String name) {
        return session.list("""
                SELECT l.pid, coalesce(nullif(regexp_replace(a.application_name, '^reset_migrations ', ''), ''),
                                       'a session without a name'),
                       to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
                WHERE l.locktype = 'advisory' AND l.granted
                  AND l.classid::bigint = ? AND l.objid::bigint = ? AND l.objsubid = 2
                  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
                r -> new Holder(r.getInt(1), r.getString(2), r.getString(3)),
                (long) LOCK_CLASS, name.hashCode() & 0xffffffffL);
    }

    private static Failure busy(String database, List<Holder> holders) {
        var next = new ArrayList<>(List.of("wait until it has ended"));
        holders.forEach(holder -> next.add("if that program is gone and only its session is left:"
                + " SELECT pg_terminate_backend(%d);".formatted(holder.pid)));
        var by = String.join("; ", holders.stream().map(Holder::toString).toList());
        return Failure.busy("another run is at work on database " + database + (by.isEmpty() ? "" : ": " + by))
                .next(next);
    }

    /** @throws Failure when the session has ended: a prompt may wait for hours, and the server restart meanwhile */
    public void requireHeld() {
        if (session.isStillConnected()) return;
        throw Failure.failed("the connection to database %s that kept other runs out has ended; nothing was touched"
                .formatted(session.credentials().database())).next("when the server is up again, start again");
    }

    @Override
    public void close() {
        session.close();
    }
}
