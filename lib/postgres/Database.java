package lib.postgres;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.LockOwner;
import lib.process.Interruption;
import lib.project.Credentials;

/**
 * One database of one server, seen through one connection that is opened again when it was given up.
 * Every statement is one named method over a text block; identifiers and literals are quoted here and nowhere else.
 * Nothing is set for the session and every wait for a lock ends after five seconds: a pooler in transaction mode
 * may hand each transaction to another backend.
 */
public final class Database implements AutoCloseable {
    public static final String APPLICATION = "reset_migrations";

    private final Credentials credentials;
    private Connection connection;
    private long lastUsed;
    private Set<String> leaving = Set.of();

    private Database(Credentials credentials) {
        this.credentials = credentials;
    }

    /** @throws Failure wrong password, unknown database, unreachable …: what, where and what to do */
    public static Database open(Credentials credentials) {
        var database = new Database(credentials);
        database.connection();
        return database;
    }

    /** The database itself, or where it is gone any other of the server: a restore is needed most then. */
    public static Database openServer(Credentials credentials) {
        try {
            return open(credentials);
        } catch (Failure gone) {
            if (!isMissing(gone)) throw gone;
            for (var other : List.of("postgres", "template1")) {
                try {
                    return open(credentials.withDatabase(other));
                } catch (Failure notThisOneEither) {
                    // a pooler may not know it
                }
            }
            throw gone;
        }
    }

    public Credentials credentials() {
        return credentials;
    }

    /** Whoever comes from one of these addresses is gone when it matters, so in nobody's way. */
    public void expectToLeave(Set<String> addresses) {
        leaving = addresses;
    }

    Set<String> leaving() {
        return leaving;
    }

    /** Another database of the same server with the same role, connected. */
    public Database sibling(String name) {
        return open(credentials.withDatabase(name));
    }

    private Connection connection() {
        try {
            if (connection == null || connection.isClosed() || isGone()) connection = connect(credentials);
            lastUsed = System.nanoTime();
            return connection;
        } catch (SQLException e) {
            var broken = Failure.findIn(e);
            throw broken != null ? broken : new Failure(Problem.CannotConnect.of(e, credentials), e);
        }
    }

    /** After a while without use the server may have been started anew: no reason to fail, unless a transaction went with it. */
    private boolean isGone() throws SQLException {
        return System.nanoTime() - lastUsed > 100_000_000 && connection.getAutoCommit() && !connection.isValid(5);
    }

    /** The server's own address as the container engine has given it, or "" where it has none. */
    public String serverAddress() {
        return one("SELECT coalesce(host(inet_server_addr()), '')", r -> r.getString(1));
    }

    private static Connection connect(Credentials c) throws SQLException {
        if (c.host().startsWith("/")) throw new Failure(new Problem.SocketFolder(c.host()));
        var set = new Properties();
        set.setProperty("user", c.user());
        if (c.password() != null) set.setProperty("password", c.password()); // else the driver reads ~/.pgpass
        if (c.sslmode() != null) set.setProperty("sslmode", c.sslmode());
        set.setProperty("ApplicationName", APPLICATION);
        set.setProperty("connectTimeout", "10");
        set.setProperty("tcpKeepAlive", "true");
        set.setProperty("prepareThreshold", "0"); // a named statement would be looked for on another backend of the pooler's
        var route = c.route();
        if (route != null && route.tunnel() != null) {
            set.setProperty("socketFactory", route.tunnel().className());
            set.setProperty("socketFactoryArg", route.tunnel().argument());
        }
        var direct = route == null || route.host() == null;
        var host = direct ? c.host() : route.host();
        if (host.contains(":") && !host.startsWith("[")) host = "[" + host + "]";
        var url = "jdbc:postgresql://%s:%d/%s".formatted(host, direct ? c.port() : route.port(), URLEncoder.encode(c.database(), StandardCharsets.UTF_8).replace("+", "%20"));
        return DriverManager.getConnection(url, set);
    }

    /** Gives the connection up; the next use opens a new one. Our own session would hold up a rename. */
    @Override
    public void close() {
        try {
            if (connection != null) connection.close();
        } catch (SQLException alreadyBroken) {
            // closed is what was wanted
        } finally {
            connection = null;
        }
    }

    // ---- quoting -----------------------------------------------------------------------------

    /** An identifier, always quoted: {@code a"b} → {@code "a""b"}. */
    public static String quoted(String name) {
        return '"' + name.replace("\"", "\"\"") + '"';
    }

    /** A text literal that means the same whatever standard_conforming_strings says. */
    public static String literal(String text) {
        var doubled = "'" + text.replace("'", "''") + "'";
        return text.contains("\\") ? "E" + doubled.replace("\\", "\\\\") : doubled;
    }

    /** {@code start + end} within the 63 bytes of an identifier; the start gives way. PostgreSQL would cut the end with only a notice. */
    public static String fitting(String start, String end) {
        var room = 63 - end.getBytes(StandardCharsets.UTF_8).length;
        var cut = start;
        while (cut.getBytes(StandardCharsets.UTF_8).length > room) cut = cut.substring(0, cut.offsetByCodePoints(cut.length(), -1));
        return cut + end;
    }

    // ---- statements --------------------------------------------------------------------------

    public interface Row<T> {
        T of(ResultSet row) throws SQLException;
    }

    interface Work<T> {
        T run() throws SQLException;
    }

    public <T> List<T> list(String sql, Row<T> row, Object... values) {
        try (var statement = connection().prepareStatement(sql); var cancel = cancellable(statement)) {
            for (int i = 0; i < values.length; i++) bind(statement, i + 1, values[i]);
            var found = new ArrayList<T>();
            try (var rows = statement.executeQuery()) {
                while (rows.next()) found.add(row.of(rows));
            }
            return found;
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    private void bind(PreparedStatement statement, int at, Object value) throws SQLException {
        if (value instanceof Collection<?> oids) statement.setArray(at, connection().createArrayOf("int8", oids.toArray()));
        else statement.setObject(at, value);
    }

    public <T> T one(String sql, Row<T> row, Object... values) {
        return list(sql, row, values).getFirst();
    }

    public List<String> texts(String sql, Object... values) {
        return list(sql, r -> r.getString(1), values);
    }

    public boolean is(String sql, Object... values) {
        return one(sql, r -> r.getBoolean(1), values);
    }

    public void run(String sql) {
        try (var statement = connection().createStatement(); var cancel = cancellable(statement)) {
            statement.setEscapeProcessing(false);
            statement.execute(sql);
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    public void run(List<String> statements) {
        if (!statements.isEmpty()) run(String.join(";\n", statements));
    }

    private static Interruption.Handle cancellable(Statement statement) {
        return Interruption.onSignal(() -> {
            try {
                statement.cancel();
            } catch (SQLException alreadyOver) {
                // nothing left to stop
            }
        });
    }

    /** For a server that commits without waiting for the disk: what we go on from must not be lost in its crash. */
    public static final String DURABLE = "SELECT set_config('synchronous_commit', 'local', true) WHERE current_setting('synchronous_commit') = 'off'";

    /** A server in the middle of a long statement does not see that its client is gone, and keeps its locks; 14 and later can look. */
    public static final String NOTICING = """
            SELECT set_config(name, '2s', true) FROM pg_settings
            WHERE name = 'client_connection_check_interval' AND setting = '0' AND version() ~ 'linux'""";

    /** Whatever has been committed by now will be there after a crash of the server. */
    public void flush() {
        transaction(() -> one("SELECT txid_current()", r -> 0)); // a commit that waits for the disk takes all before it along
    }

    /** One transaction in which no wait for a lock is longer than five seconds; anything thrown takes it back. */
    <T> T transaction(Work<T> work) {
        var c = connection();
        try {
            c.setAutoCommit(false);
            try {
                run("SET LOCAL lock_timeout = '5s'; " + DURABLE);
                var result = work.run();
                c.commit();
                return result;
            } catch (Throwable e) {
                if (!c.isClosed()) c.rollback();
                throw e;
            } finally {
                if (!c.isClosed()) c.setAutoCommit(true);
            }
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    public void inOneTransaction(List<String> statements) {
        transaction(() -> {
            run(statements);
            return null;
        });
    }

    /** PostgreSQL's SQLSTATE behind a failure, or "". */
    public static String state(Throwable e) {
        for (var cause = e; cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException sql && sql.getSQLState() != null) return sql.getSQLState();
            if (cause instanceof Failure f && f.problem() instanceof Problem.DatabaseSaid said && said.state() != null) return said.state();
            if (cause instanceof Failure f && f.problem() instanceof Problem.DjangoFailed said && said.state() != null) return said.state();
        }
        return "";
    }

    /** That the role may not do what it tried. */
    public static boolean isDenied(Failure failure) {
        return state(failure).equals("42501");
    }

    /** That the connection failed because there is no such database. */
    public static boolean isMissing(Failure failure) {
        return state(failure).equals("3D000");
    }

    // ---- who and where -----------------------------------------------------------------------

    /** The name that the server knows it by now. */
    public String name() {
        return texts("SELECT current_database()").getFirst();
    }

    /** What stays the same when it is renamed. */
    public long oid() {
        return one("SELECT oid FROM pg_database WHERE datname = current_database()", r -> r.getLong(1));
    }

    /** The oid of a database of this server by its name. */
    public Optional<Long> oidOf(String database) {
        return list("SELECT oid FROM pg_database WHERE datname = ?", r -> r.getLong(1), database).stream().findFirst();
    }

    /** The server's major version: 15. */
    public int major() {
        return version() / 10000;
    }

    int version() {
        return one("SELECT current_setting('server_version_num')::int", r -> r.getInt(1));
    }

    /** The whole database on disk; unlike {@link #look} it waits for no table's lock. */
    public long bytes() {
        return one("SELECT pg_database_size(current_database())", r -> r.getLong(1));
    }

    /**
     * A database of this server from which the live one can be renamed: postgres, template1, then any other that
     * lets the role in. Asked by connecting, because a pooler may not know it and pg_hba.conf can refuse it by name.
     */
    public Optional<Database> maintenance() {
        var oid = oid();
        var self = name();
        var names = new ArrayList<>(List.of("postgres", "template1"));
        names.addAll(texts("""
                SELECT datname FROM pg_database
                WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres'
                  AND NOT starts_with(datname, ? || '_') AND has_database_privilege(oid, 'CONNECT')
                ORDER BY oid LIMIT 20""", self));
        for (var name : names) {
            if (name.equals(self)) continue;
            try {
                var other = sibling(name);
                // a pooler may send every name to one database, or to another server
                if (other.name().equals(name) && other.oidOf(self).filter(o -> o == oid).isPresent() && other.oid() != oid) return Optional.of(other);
                other.close();
            } catch (Failure mayNot) {
                // the next one then
            }
        }
        return Optional.empty();
    }

    // ---- looking -----------------------------------------------------------------------------

    /** Looks at the database and at the schema that is current for this connection. */
    public DatabaseSnapshot look() {
        return look(null);
    }

    /** @param schema what Django's own connection calls current; null for this connection's */
    public DatabaseSnapshot look(String schema) {
        try {
            return transaction(() -> looking(schema));
        } catch (Failure e) {
            if (!state(e).equals("55P03")) throw e;
            var relations = list("SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384", r -> r.getLong(1));
            throw new Failure(new Problem.TablesInUse(Sessions.holding(this, relations), false), e);
        }
    }

    private DatabaseSnapshot looking(String schema) {
        var here = schema != null ? schema : texts("SELECT coalesce(current_schema(), 'public')").getFirst();
        var tables = tables(here);
        var others = SchemaObjects.in(this, here).stream().filter(o -> !o.part() && !o.isTable())
                .collect(Collectors.groupingBy(SchemaObjects.One::kind, TreeMap::new, Collectors.counting()));
        return one("""
                SELECT d.datname, d.oid, pg_get_userbyid(d.datdba) AS owner, current_user AS role,
                       current_setting('server_version_num')::int AS version, current_setting('server_version') AS version_text,
                       pg_is_in_recovery() AS standby, r.rolsuper, r.rolcreatedb, pg_has_role(d.datdba, 'USAGE') AS owns,
                       has_database_privilege(d.oid, 'CREATE') AS may_create_schema,
                       pg_encoding_to_char(d.encoding) AS encoding, pg_database_size(d.oid) AS bytes,
                       shobj_description(d.oid, 'pg_database') AS comment
                FROM pg_database d, pg_roles r
                WHERE d.datname = current_database() AND r.rolname = current_user""",
                r -> new DatabaseSnapshot(r.getString("datname"), r.getLong("oid"), r.getString("owner"), r.getString("role"), r.getInt("version"),
                        r.getString("version_text"), here, r.getBoolean("standby"), r.getBoolean("rolsuper"), r.getBoolean("rolcreatedb"),
                        r.getBoolean("owns"), r.getBoolean("may_create_schema"), r.getString("encoding"), r.getLong("bytes"),
                        tables, others, r.getString("comment")));
    }

    /** Counting reads the whole table: up to this many pages of 8 kB each, and so many in all, it takes no time. */
    private static final long CHEAP_PAGES = 2_000, CHEAP_IN_ALL = 20_000;

    private record Size(DatabaseSnapshot.Table table, long pages, boolean countable) {}

    private List<DatabaseSnapshot.Table> tables(String schema) {
        // a table that a stuck migration holds is neither measured nor counted: both would wait for it
        var sizes = list("""
                WITH locked AS MATERIALIZED (
                    SELECT coalesce(i.indrelid, t.oid, l.relation) AS "table" FROM pg_locks l
                    LEFT JOIN pg_index i ON i.indexrelid = l.relation LEFT JOIN pg_class t ON t.reltoastrelid = l.relation
                    WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
                SELECT c.relname, c.oid, pg_get_userbyid(c.relowner) AS owner, c.oid IN (SELECT "table" FROM locked) AS locked,
                       CASE c.relkind WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
                       CASE WHEN c.relkind <> 'r' THEN 0 WHEN c.oid IN (SELECT "table" FROM locked) THEN c.relpages * current_setting('block_size')::bigint
                            ELSE pg_total_relation_size(c.oid) END AS bytes,
                       CASE WHEN c.relkind <> 'r' THEN 0 WHEN c.oid IN (SELECT "table" FROM locked) THEN c.relpages
                            ELSE pg_relation_size(c.oid) / current_setting('block_size')::int END AS pages,
                       c.relispartition, c.relpages, greatest(c.reltuples, 0)::float8 AS reltuples,
                       c.relkind = 'r' AND c.oid NOT IN (SELECT "table" FROM locked) AND NOT row_security_active(c.oid) AND has_table_privilege(c.oid, 'SELECT')
                           AND has_schema_privilege(c.relnamespace, 'USAGE') AS countable,
                       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS extension
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'f')
                ORDER BY c.relname""",
                r -> {
                    var pages = r.getLong("pages");
                    var perPage = r.getLong("relpages") > 0 ? r.getDouble("reltuples") / r.getLong("relpages") : 50;
                    return new Size(new DatabaseSnapshot.Table(r.getString("relname"), r.getLong("oid"), r.getString("kind"), Math.round(perPage * pages),
                            !r.getString("kind").equals("foreign table") && pages == 0 && !r.getBoolean("locked"), r.getLong("bytes"), r.getString("owner"), r.getBoolean("extension"), r.getBoolean("relispartition")),
                            pages, r.getBoolean("countable"));
                }, schema);
        var left = CHEAP_IN_ALL;
        var cheap = new ArrayList<String>();
        for (var size : sizes) {
            if (size.pages == 0 || !size.countable || size.pages > CHEAP_PAGES || size.pages > left) continue;
            left -= size.pages;
            cheap.add(size.table.name());
        }
        var counted = counts(schema, cheap);
        return sizes.stream().map(Size::table).map(t -> counted.containsKey(t.name())
                ? new DatabaseSnapshot.Table(t.name(), t.oid(), t.kind(), counted.get(t.name()), true, t.bytes(), t.owner(), t.extensionOwned(), t.partition()) : t).toList();
    }

    private Map<String, Long> counts(String schema, List<String> tables) {
        var counted = new HashMap<String, Long>();
        for (int from = 0; from < tables.size(); from += 100) {
            var some = tables.subList(from, Math.min(from + 100, tables.size()));
            var sql = some.stream().map(t -> "SELECT %s, count(*) FROM ONLY %s.%s".formatted(literal(t), quoted(schema), quoted(t)))
                    .collect(Collectors.joining("\nUNION ALL "));
            run("SAVEPOINT counting");
            list(sql, r -> counted.put(r.getString(1), r.getLong(2)));
            run("ROLLBACK TO SAVEPOINT counting"); // lets go of the locks: those of 5,000 tables and their indexes do not fit
        }
        return counted;
    }

    // ---- proving and locking -----------------------------------------------------------------

    /** An advisory lock that only whoever is in the very same database sees in pg_locks; closing gives it up. */
    public record AdvisoryProof(long key, Database holder) implements AutoCloseable {
        @Override
        public void close() {
            holder.close(); // a closed session rolls back
        }
    }

    /** Takes a lock nobody can guess in an open transaction of a session of its own. */
    public AdvisoryProof proveSame() {
        var holder = open(credentials);
        try {
            var key = new SecureRandom().nextLong() >>> 2;
            holder.connection().setAutoCommit(false);
            holder.list("SELECT pg_advisory_xact_lock(?)", r -> 0, key);
            return new AdvisoryProof(key, holder);
        } catch (SQLException | RuntimeException e) {
            holder.close();
            throw e instanceof RuntimeException unchecked ? unchecked : Failure.of((SQLException) e);
        }
    }

    /** That this run is the only one for its database; closing gives it up. */
    public record Lock(Database holder) implements AutoCloseable {
        /** @throws Failure when it ended without us: a prompt may stand for hours, and the server be restarted meanwhile */
        public void requireHeld() {
            try {
                if (holder.connection != null && holder.connection.isValid(5)) return;
            } catch (SQLException gone) {
                // as said below
            }
            throw new Failure(new Problem.LockLost(holder.credentials.database()));
        }

        @Override
        public void close() {
            holder.close();
        }
    }

    private record Holding(int backend, String words) {}

    /** The class of our advisory locks: "rset". */
    private static final int LOCK_CLASS = 0x72736574;

    /**
     * Takes the lock of the live database's name in a transaction held elsewhere: in this database it would be a session
     * that blocks the rename. Without a maintenance database it is held here, which only park and drop can do with.
     *
     * @throws Failure {@link Problem.Busy} naming who holds it
     */
    public Lock lockRuns() {
        var name = name();
        var holder = maintenance().orElseGet(() -> open(credentials));
        var us = LockOwner.us(APPLICATION);
        try {
            holder.connection().setAutoCommit(false);
            // LOCAL: a pooler hands the session on. Keepalives: the lock of a host that has vanished ends within a minute or two.
            holder.run(List.of("SET LOCAL idle_in_transaction_session_timeout = 0",
                    "SET LOCAL application_name = " + literal(fitting("%s pid %d on ".formatted(APPLICATION, us.pid()) + us.host(), "")),
                    "SET LOCAL tcp_keepalives_idle = 30", "SET LOCAL tcp_keepalives_interval = 10", "SET LOCAL tcp_keepalives_count = 3",
                    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'")); // 17 and later
            var got = false;
            for (int i = 0; i <= 10 && !got; i++) { // the server takes its time to notice that a killed run is gone
                if (i > 0) Thread.sleep(200);
                got = holder.is("SELECT pg_try_advisory_xact_lock(?, ?)", LOCK_CLASS, name.hashCode());
            }
            if (!got) {
                var holding = holder.list("""
                        SELECT l.pid, coalesce(nullif(regexp_replace(a.application_name, '^reset_migrations ', ''), ''), 'a session without a name'),
                               to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
                        WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = ? AND l.objid::bigint = ? AND l.objsubid = 2
                          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
                        r -> new Holding(r.getInt(1), "%s%s, the server's process %d".formatted(r.getString(2), r.getString(3) == null ? "" : ", since " + r.getString(3), r.getInt(1))),
                        (long) LOCK_CLASS, name.hashCode() & 0xffffffffL);
                throw new Failure(new Problem.Busy(name, holding.stream().map(Holding::words).toList(), holding.stream().map(Holding::backend).toList()));
            }
            return new Lock(holder);
        } catch (SQLException | InterruptedException | RuntimeException e) {
            holder.close();
            throw e instanceof RuntimeException unchecked ? unchecked : e instanceof SQLException sql ? Failure.of(sql) : new Failure(new Problem.Interrupted(), e);
        }
    }
}
