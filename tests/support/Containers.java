package support;

import java.io.IOException;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import lib.process.Program;

/** Single containers of the test images, without Compose. */
public final class Containers {
    public static final String PASSWORD = "pa55 word#1";
    private static final List<String> STARTED = new ArrayList<>();

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(Containers::removeAll)); // when a test is interrupted
    }

    private Containers() {}

    public static String docker(String... args) {
        return Program.of("docker").with(args).output().strip();
    }

    public static String idle(String image) {
        return started(docker("run", "-d", "--init", "--entrypoint", "sleep", image, "100000"));
    }

    private static String started(String id) {
        STARTED.add(id);
        return id;
    }

    public static String server() {
        return started(docker("run", "-d", "-e", "POSTGRES_PASSWORD=" + PASSWORD, Docker.DB));
    }

    /** Through {@link #address}: inside the container the server accepts connections before it is ready for others. */
    public static void awaitServer(String server) throws IOException, InterruptedException {
        for (var end = System.nanoTime() + 60_000_000_000L; ; Thread.sleep(200)) {
            try (var connection = DriverManager.getConnection(
                    "jdbc:postgresql://" + address(server) + "/postgres", "postgres", PASSWORD)) {
                return;
            } catch (SQLException notYet) {
                if (System.nanoTime() > end)
                    throw new IOException("the server in " + server + " does not start", notYet);
            }
        }
    }

    public static String address(String container) {
        return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container);
    }

    public static String sh(String container, String script) {
        return docker("exec", container, "sh", "-c", script);
    }

    public static List<String> processes(String container) {
        return docker("top", container, "-eo", "pid,args")
                .lines()
                .skip(1)
                .filter(line -> !line.contains("docker-init"))
                .toList();
    }

    public static void removeAll() {
        for (var id : STARTED) docker("rm", "-f", "-v", id);
        STARTED.clear();
    }
}
