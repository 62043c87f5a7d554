package lib;

import java.util.Map;

/**
 * Which database, and how to log in.
 *
 * @param host     name, address or the folder of a Unix socket
 * @param password null when ~/.pgpass or trust supplies it
 * @param sslmode  libpq's word, or null for the driver's default
 * @param sources  for every setting, where it came from: "DB_NAME" → "./.env", "default", "environment"
 */
public record Credentials(String host, int port, String database, String user, String password, String sslmode,
                          Map<String, String> sources) {

    /** The same server and role, another database. */
    public Credentials of(String otherDatabase) {
        return new Credentials(host, port, otherDatabase, user, password, sslmode, sources);
    }

    /** True when the server is this machine: loopback, or a Unix socket. */
    public boolean local() {
        return host.startsWith("/") || host.equals("localhost") || host.equals("::1") || host.startsWith("127.");
    }

    /** Without the password. */
    @Override
    public String toString() {
        return user + "@" + host + ":" + port + "/" + database;
    }
}
