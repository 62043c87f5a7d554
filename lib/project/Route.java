package lib.project;

/**
 * How a connection reaches a server whose name means something only among its containers.
 *
 * @param host   where to connect to from here, or null when it goes through the tunnel
 * @param tunnel makes the sockets that lead to the server, or null when a port is published
 * @param itself the server's host in its own container
 * @param near   the engine is this machine's
 * @param whose  "Compose project shop": two projects may both have a crm_user@db:5432/crm
 */
public record Route(String host, int port, SocketFactory tunnel, String itself, boolean near, String whose) {
    /** The JDBC driver's settings socketFactory (a class by its name) and socketFactoryArg. */
    public record SocketFactory(String className, String argument) {}

    @Override
    public String toString() {
        return tunnel == null ? "published port " + host + ":" + port : "a tunnel into its container";
    }
}
