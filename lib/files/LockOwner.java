package lib.files;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;

/**
 * Who holds a lock, as others are told.
 *
 * @param since ISO 8601, UTC
 * @param command "reset_migrations undo"; never its arguments
 */
public record LockOwner(long pid, String host, String since, String command) {
    public static LockOwner us(String command) {
        return new LockOwner(ProcessHandle.current().pid(), hostName(), Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(), command);
    }

    /** "pid 4711 on web1, since 2026-11-22T10:15:00Z, reset_migrations undo". */
    public String words() {
        return "pid %d on %s, since %s, %s".formatted(pid, host, since, command);
    }

    /** As the kernel knows it: asking Java would ask the name service, which may take its time. */
    public static String hostName() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException notLinux) {
            try {
                return InetAddress.getLocalHost().getHostName();
            } catch (IOException nameless) {
                return "localhost";
            }
        }
    }
}
