package support;

import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * An embedded server that can be stopped as by a power cut, and started again. Like some users' servers, it commits
 * without waiting for the disk and has a small lock table.
 */
public final class CrashingServer implements AutoCloseable {
    private final EmbeddedPostgres server;
    private final Path data;

    private CrashingServer(EmbeddedPostgres server, Path data) {
        this.server = server;
        this.data = data;
    }

    public static CrashingServer start() {
        try {
            var server = EmbeddedPostgres.builder().setLocaleConfig("locale", "C")
                .setServerConfig("max_connections", "60").setServerConfig("max_locks_per_transaction", "16")
                .setServerConfig("synchronous_commit", "off").setServerConfig("wal_writer_delay", "10s")
                .setServerConfig("full_page_writes", "off").start();
            var running = new CrashingServer(server, null);
            var data = Path.of(OldState.text(running.database("postgres", Postgres.SUPERUSER), "SHOW data_directory"));
            return new CrashingServer(server, data);
        } catch (IOException e) {
            throw new IllegalStateException("the embedded PostgreSQL does not start", e);
        }
    }

    /** The server accepts any password. */
    public Postgres.Db database(String name, Postgres.Role role) {
        return new Postgres.Db(Postgres.HOST, server.getPort(), name, role);
    }

    public void execute(String sql) {
        OldState.run(database("postgres", Postgres.SUPERUSER), sql);
    }

    /** Like {@code pg_ctl stop -m immediate}, then a start with recovery. */
    public void crash() throws IOException, InterruptedException {
        var pid = Long.parseLong(Files.readAllLines(data.resolve("postmaster.pid")).getFirst().strip());
        // PostgreSQL refuses to run as root
        var command = new ArrayList<>(isRoot() ? List.of("unshare", "-U") : List.<String>of());
        command.addAll(Arrays.asList(Files.readString(Path.of("/proc/" + pid + "/cmdline")).split("\0")));
        var postmaster = ProcessHandle.of(pid).orElseThrow();
        new ProcessBuilder("kill", "-QUIT", "" + pid).start().waitFor();
        for (int i = 0; i < 500 && isAlive(postmaster); i++) Thread.sleep(20);
        new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        for (int i = 0; i < 500 && !acceptsConnections(); i++) Thread.sleep(20);
    }

    /** A zombie counts as dead: in a container nothing may reap an orphan. */
    public static boolean isAlive(ProcessHandle process) throws IOException {
        var stat = Path.of("/proc/" + process.pid() + "/stat");
        try {
            return Files.exists(stat) && !Files.readString(stat).replaceFirst("(?s).*\\) ", "").startsWith("Z");
        } catch (IOException ended) {
            return false;
        }
    }

    private static boolean isRoot() throws IOException {
        return Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0);
    }

    private boolean acceptsConnections() {
        try (var connection = database("postgres", Postgres.SUPERUSER).connect()) {
            return connection.isValid(1);
        } catch (SQLException notYet) {
            return false;
        }
    }

    @Override public void close() throws IOException {
        server.close();
    }
}
