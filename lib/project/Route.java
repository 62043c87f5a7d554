package lib.project;

/**
 * How a connection reaches a database server in a container. Credentials keep the host name that the containers use,
 * which often exists only in their network.
 *
 * @param host            where a published port is reached from here; null when the connection goes through a tunnel
 * @param port            the published port; unused with a tunnel
 * @param tunnel          makes sockets that lead to the server; null when a port is published
 * @param hostInContainer the server's host as seen from its own container
 * @param engineIsLocal   true when the container engine runs on this machine
 * @param owner           for example "Compose project shop": two projects may each have crm_user@db:5432/crm
 */
public record Route(String host, int port, SocketFactory tunnel, String hostInContainer, boolean engineIsLocal,
    String owner) {
    /** The JDBC driver's properties socketFactory (a class name) and socketFactoryArg. */
    public record SocketFactory(String className, String argument) {}

    @Override public String toString() {
        return tunnel == null ? "published port " + host + ":" + port : "a tunnel into its container";
    }
}
