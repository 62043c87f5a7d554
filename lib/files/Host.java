package lib.files;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/** This machine, and its user's folders. */
public final class Host {
    private Host() {}

    /** As the kernel knows it: Java would ask the name service, which may take its time. */
    public static String name() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
        } catch (IOException notLinux) {
            try {
                return InetAddress.getLocalHost().getHostName();
            } catch (IOException unknown) {
                return "localhost";
            }
        }
    }

    /** The user's home: {@code HOME}, as Java asks the password database instead. */
    public static Optional<Path> home(Map<String, String> environment) {
        return absolute(environment.get("HOME")).or(() -> absolute(System.getProperty("user.home")));
    }

    /** Where programs keep their state: {@code XDG_STATE_HOME}, else {@code ~/.local/state}. */
    public static Optional<Path> stateFolder(Map<String, String> environment) {
        return absolute(environment.get("XDG_STATE_HOME"))
                .or(() -> home(environment).map(home -> home.resolve(".local/state")));
    }

    /** An empty HOME, or Java's "?" for an unknown user, would be a folder below the working folder. */
    private static Optional<Path> absolute(String path) {
        return Optional.ofNullable(path).map(Path::of).filter(Path::isAbsolute);
    }
}
