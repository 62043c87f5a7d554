package lib.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.SocketTimeoutException;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Map;
import java.util.Properties;
import lib.project.Credentials;
import org.junit.jupiter.api.Test;
import support.Postgres;

/** What the JDBC driver asks of a socket, at a Unix socket. Roles need a password; support.Postgres.PEER does not. */
class UnixSocketTest {
    private final Credentials tcp = Postgres.database().credentials();
    private final Credentials socket = new Credentials("/tmp", tcp.port(), tcp.database(), tcp.user(), tcp.password(),
        "require", Map.of()); // which means nothing there

    @Test void large_values_go_in_and_come_out() {
        try (var db = Database.open(socket)) {
            assertEquals("", db.serverAddress(), "it is not TCP");
            var large = "ü".repeat(5_000_000);
            assertEquals(large, db.one("SELECT ?::text", row -> row.getString(1), large));
            assertEquals(200_000, db.texts("SELECT n FROM generate_series(1, 200000) n").size());
        }
    }

    @Test void a_statement_can_be_cancelled_and_a_reply_waited_for_in_vain() throws Exception {
        var settings = new Properties();
        settings.putAll(Map.of("user", socket.user(), "password", socket.password(), "socketFactory",
            UnixSocket.class.getName(), "socketFactoryArg", UnixSocket.in("/tmp", socket.port()).toString()));
        try (var connection = DriverManager.getConnection("jdbc:postgresql://localhost/" + socket.database(), settings);
                var statement = connection.createStatement()) {
            var cancelling = Thread.ofPlatform().start(() -> {
                try {
                    Thread.sleep(300);
                    statement.cancel();
                } catch (InterruptedException | SQLException e) {
                    throw new IllegalStateException(e);
                }
            });
            assertEquals("57014", assertThrows(SQLException.class, () -> statement.execute("SELECT pg_sleep(60)"))
                .getSQLState());
            cancelling.join();
            connection.setNetworkTimeout(Runnable::run, 200);
            var late = assertThrows(SQLException.class, () -> statement.execute("SELECT pg_sleep(60)"));
            assertTrue(late.getCause() instanceof SocketTimeoutException, late.toString());
        }
    }

    @Test void a_lost_connection_is_opened_again() throws Exception {
        try (var db = Database.open(socket)) {
            var first = db.one("SELECT pg_backend_pid()", row -> row.getInt(1));
            Postgres.execute("SELECT pg_terminate_backend(%d, 5000)".formatted(first));
            Thread.sleep(150); // a connection that was just used is not tried first
            assertTrue(db.is("SELECT pg_backend_pid() <> ?", first));
        }
    }
}
