package support;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import lib.Program;

/** Single containers of the test images. */
public final class Containers {
    public static final String DB = "reset-migrations-test/db:15";
    public static final String APP = "reset-migrations-test/app:1";
    public static final String BARE = "reset-migrations-test/bare:1";
    public static final String PASSWORD = "secret";
    private static final List<String> STARTED = new ArrayList<>();

    private Containers() {}

    public static void assumeEngine() {
        assumeTrue(Program.of("sh", "-c", "docker version").run().code() == 0, "no engine answers");
        assumeTrue(Program.of("docker", "image", "inspect", DB, APP, BARE).run().code() == 0, "the images are not made");
    }

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
        return started(docker("run", "-d", "--init", "-e", "POSTGRES_PASSWORD=" + PASSWORD, DB));
    }

    public static void awaitServer(String server) throws InterruptedException {
        while (Program.of("docker", "exec", "-e", "PGPASSWORD=" + PASSWORD, server, "psql", "-h", address(server), "-U", "postgres", "-c", "SELECT 1").run().code() != 0) Thread.sleep(200);
    }

    public static String address(String container) {
        return docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container);
    }

    public static String sh(String container, String script) {
        return docker("exec", container, "sh", "-c", script);
    }

    public static List<String> processes(String container) {
        return docker("top", container, "-eo", "pid,args").lines().skip(1).filter(line -> !line.contains("docker-init")).toList();
    }

    public static void removeAll() {
        for (var id : STARTED) docker("rm", "-f", "-v", id);
        STARTED.clear();
    }
}
