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
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import lib.error.Failure;
import lib.process.Interruption;
import lib.project.Credentials;

/**
 * One database of one server, and one connection to it that is opened again when it was given up.
 * No setting outlives its transaction, because a pooler in transaction mode may give each transaction another backend.
 */
public final class Database implements AutoCloseable {
    /** The application_name of all our sessions, in Java and in Django. */
    public static final String APPLICATION = "reset_migrations";

    private final Credentials credentials;
    private Connection connection;
    private long lastUsed;
    private Set<String> ignoredAddresses = Set.of();

    private Database(Credentials credentials) {
        this.credentials = credentials;
    }

    /** @throws Failure {@link CannotConnect} */
    public static Database open(Credentials credentials) {
        var database = new Database(credentials);
        database.connection();
        return database;
    }

    /** The database itself or, when it does not exist, another one of the server: a restore has to work then too. */
    public static Database openServer(Credentials credentials) {
        try {
            return open(credentials);
        } catch (Failure missing) {
            if (!sqlState(missing).equals("3D000")) throw missing;
            for (var other : List.of("postgres", "template1")) {
                try {
                    return open(credentials.withDatabase(other));
                } catch (Failure ignored) {
                    // a pooler may not know it
                }
            }
            throw missing;
        }
    }

    public Credentials credentials() {
        return credentials;
    }

    /** Sessions from these addresses do not count as users: the services there are stopped before it matters. */
    public void ignoreSessionsFrom(Set<String> addresses) {
        ignoredAddresses = addresses;
    }

    Set<String> ignoredAddresses() {
        return ignoredAddresses;
    }

    /** Another database of the same server, connected with the same role. */
    public Database sibling(String name) {
        return open(credentials.withDatabase(name));
    }

    private Connection connection() {
        try {
            if (connection == null || connection.isClosed() || isBroken()) connection = connect(credentials);
            lastUsed = System.nanoTime();
            return connection;
        } catch (SQLException e) {
            var failure = Failure.findIn(e); // a tunnel's
            throw failure != null ? failure : new Failure(CannotConnect.of(e, credentials), e);
        }
    }

    /** The server may have restarted while the connection was idle. Only an open transaction is lost with it. */
    private boolean isBroken() throws SQLException {
        return System.nanoTime() - lastUsed > 100_000_000 && connection.getAutoCommit() && !connection.isValid(5);
    }

    private static Connection connect(Credentials c) throws SQLException {
        var settings = new Properties();
        settings.setProperty("user", c.user());
        if (c.password() != null) settings.setProperty("password", c.password()); // else the driver reads ~/.pgpass
        if (c.sslmode() != null) settings.setProperty("sslmode", c.sslmode());
        settings.setProperty("ApplicationName", APPLICATION);
        settings.setProperty("connectTimeout", "10");
        settings.setProperty("tcpKeepAlive", "true");
        settings.setProperty("prepareThreshold", "0"); // a pooler's next backend does not know a named statement
        var route = c.route();
        if (route != null && route.tunnel() != null) {
            settings.setProperty("socketFactory", route.tunnel().className());
            settings.setProperty("socketFactoryArg", route.tunnel().argument());
        }
        if (c.isSocket()) {
            settings.setProperty("socketFactory", UnixSocket.class.getName());
            settings.setProperty("socketFactoryArg", UnixSocket.in(c.host(), c.port()).toString());
            settings.setProperty("sslmode", "disable"); // libpq, too, uses no TLS there
        }
        var direct = route == null || route.host() == null;
        var host = c.isSocket() ? "localhost" : direct ? c.host() : route.host();
        if (host.contains(":") && !host.startsWith("[")) host = "[" + host + "]";
        var name = URLEncoder.encode(c.database(), StandardCharsets.UTF_8).replace("+", "%20");
        var url = "jdbc:postgresql://%s:%d/%s".formatted(host, direct ? c.port() : route.port(), name);
        return DriverManager.getConnection(url, settings);
    }

    /** Closes the connection; the next use opens another. Our own session would block a rename. */
    @Override
    public void close() {
        try {
            if (connection != null) connection.close();
        } catch (SQLException ignored) {
            // it was broken already
        } finally {
            connection = null;
        }
    }

    // ---- statements --------------------------------------------------------------------------

    public interface Row<T> {
        T of(ResultSet row) throws SQLException;
    }

    interface Work<T> {
        T run() throws SQLException;
    }

    /** @param values for the question marks; a collection of strings or numbers becomes an array of text or int8 */
    public <T> List<T> list(String sql, Row<T> row, Object... values) {
        try (var statement = connection().prepareStatement(sql); var cancel = cancellable(statement)) {
            for (int i = 0; i < values.length; i++) bind(statement, i + 1, values[i]);
            var found = new ArrayList<T>();
            statement.setFetchSize(2_000); // in a transaction: a large result is not kept in memory whole
            try (var rows = statement.executeQuery()) {
                while (rows.next()) found.add(row.of(rows));
            }
            return found;
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    private void bind(PreparedStatement statement, int at, Object value) throws SQLException {
        if (!(value instanceof Collection<?> all)) {
            statement.setObject(at, value);
            return;
        }
        var type = !all.isEmpty() && all.iterator().next() instanceof String ? "text" : "int8";
        statement.setArray(at, connection().createArrayOf(type, all.toArray()));
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
            } catch (SQLException ignored) {
                // it has ended already
            }
        });
    }

    /** What has been committed by now survives a crash of the server. */
    public void flushWal() {
        transaction(() -> one("SELECT txid_current()", r -> 0)); // its commit waits until all before it is on disk
    }

    /** One transaction, in which no wait for a lock is longer than five seconds. Any exception rolls it back. */
    <T> T transaction(Work<T> work) {
        var c = connection();
        try {
            c.setAutoCommit(false);
            try {
                run("SET LOCAL lock_timeout = '5s'; " + Sql.WAIT_FOR_DISK);
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

    /** Begins a transaction that is rolled back by {@link #close}. */
    void beginUntilClosed() {
        try {
            connection().setAutoCommit(false);
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    /** Whether the connection that was opened still works. Opens no other. */
    boolean isStillConnected() {
        try {
            return connection != null && connection.isValid(5);
        } catch (SQLException e) {
            return false;
        }
    }

    /** The SQLSTATE that PostgreSQL sent, or "". */
    public static String sqlState(Throwable e) {
        for (var cause = e; cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException sql && sql.getSQLState() != null) return sql.getSQLState();
            var state = cause instanceof Failure failure ? failure.problem().sqlState() : "";
            if (!state.isEmpty()) return state;
        }
        return "";
    }

    // ---- the server and the database ---------------------------------------------------------

    /** The name that the server knows it by now. */
    public String name() {
        return texts("SELECT current_database()").getFirst();
    }

    /** Stays the same when the database is renamed. */
    public long oid() {
        return one("SELECT oid FROM pg_database WHERE datname = current_database()", r -> r.getLong(1));
    }

    /** The oid of a database of this server by its name. */
    public Optional<Long> oidOf(String database) {
        return list("SELECT oid FROM pg_database WHERE datname = ?", r -> r.getLong(1), database).stream().findFirst();
    }

    /** The server's major version: 15. */
    public int major() {
        return one("SELECT current_setting('server_version_num')::int", r -> r.getInt(1)) / 10000;
    }

    /** The size of the whole database on disk. Waits for no table's lock, unlike {@link DatabaseSnapshot#of}. */
    public long bytes() {
        return one("SELECT pg_database_size(current_database())", r -> r.getLong(1));
    }

    /** The server's own address as the container engine has assigned it, or "" where it has none. */
    public String serverAddress() {
        return one("SELECT coalesce(host(inet_server_addr()), '')", r -> r.getString(1));
    }

    /**
     * A database of this server from which this one can be renamed: postgres, template1, or any other that the role can
     * connect to. Only connecting shows whether it can: a pooler may not know the name, pg_hba.conf may refuse it.
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
                var sameServer = other.oidOf(self).filter(o -> o == oid).isPresent();
                if (sameServer && other.name().equals(name) && other.oid() != oid) return Optional.of(other);
                other.close();
            } catch (Failure ignored) {
                // try the next one
            }
        }
        return Optional.empty();
    }

    /** @throws Failure where {@link #maintenance} finds none */
    public Database requireMaintenance() {
        return maintenance().orElseThrow(() -> Failure.failed(
                "role %s can connect to no other database of the server, and %s cannot be renamed while connected to it"
                        .formatted(credentials.user(), credentials.database()))
                .next("allow it: GRANT CONNECT ON DATABASE postgres TO " + Sql.identifier(credentials.user()) + ";"));
    }

    // ---- the same database? ------------------------------------------------------------------

    /** An advisory lock with a random key: who sees it in pg_locks is in the same database. Closing releases it. */
    public record AdvisoryLock(long key, Database session) implements AutoCloseable {
        @Override
        public void close() {
            session.close();
        }
    }

    /** Held by a session of its own. */
    public AdvisoryLock randomAdvisoryLock() {
        var session = open(credentials);
        try {
            var key = new SecureRandom().nextLong() >>> 2;
            session.beginUntilClosed();
            session.list("SELECT pg_advisory_xact_lock(?)", r -> 0, key);
            return new AdvisoryLock(key, session);
        } catch (RuntimeException e) {
            session.close();
            throw e;
        }
    }
}
