package lib.django;

/**
 * How Django makes its default connection.
 *
 * @param module     of the settings
 * @param postgresql false: the engine is another, and nothing else is known
 * @param host       empty when Django cannot connect and the settings name none; else a folder for a Unix socket
 * @param password   null when none is needed
 * @param error      why Django cannot connect, or null
 */
public record DefaultDatabase(String module, String engine, boolean postgresql, String host, String port, String name,
                              String user, String password, String sslmode, String error) {
    /** Without the password. */
    @Override
    public String toString() {
        return "DATABASES['default'] in " + module;
    }
}
