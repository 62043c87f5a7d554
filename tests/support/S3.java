package support;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import lib.process.Program;

/** A real S3 server on loopback: S3Proxy, in another process. Its buckets are subfolders. It checks signatures. */
public final class S3 implements AutoCloseable {
    public static final String KEY_ID = "crmkeyid0001", KEY = "s3-Secret/Key+0123456789abcdef";
    private static final String ARTIFACT = "org.gaul:s3proxy:2.6.0:jar-with-dependencies@fatjar";
    private static final Pattern PORT = Pattern.compile("Started ServerConnector.*\\{127\\.0\\.0\\.1:(\\d+)\\}");
    private static Path jar;

    private final Path folder;
    private final Process process;
    private final int port;

    private S3(Path folder, Process process, int port) {
        this.folder = folder;
        this.process = process;
        this.port = port;
    }

    /** The server, from the local Maven repository, into which JBang fetches it; null when that fails. */
    public static synchronized Path jar() throws IOException {
        if (jar != null) return jar;
        var said = Python.run(Repo.root(), Repo.root().resolve("jbangw").toString(), "info", "classpath", ARTIFACT);
        var path = said.text().lines().reduce((a, b) -> b).orElse("");
        return jar = said.code() == 0 && path.endsWith(".jar") && Files.exists(Path.of(path)) ? Path.of(path) : null;
    }

    public static S3 start(Path folder) throws Exception {
        return start(folder, 0);
    }

    /** @param port 0: any free one */
    public static S3 start(Path folder, int port) throws Exception {
        Files.createDirectories(folder);
        var properties =
                Files.writeString(Files.createTempFile("s3", ".properties"), """
                    s3proxy.endpoint=http://127.0.0.1:%d
                    s3proxy.authorization=aws-v4
                    s3proxy.identity=%s
                    s3proxy.credential=%s
                    jclouds.provider=filesystem
                    jclouds.identity=unused
                    jclouds.credential=unused
                    jclouds.filesystem.basedir=%s
                    """.formatted(port, KEY_ID, KEY, folder));
        var process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-jar", jar().toString(),
                        "--properties", properties.toString())
                .redirectErrorStream(true)
                .start();
        var listens = new CompletableFuture<Integer>();
        Thread.ofPlatform().daemon().start(() -> {
            var log = new StringBuilder();
            try (var lines =
                    new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line; (line = lines.readLine()) != null; ) {
                    log.append(line).append('\n');
                    var at = PORT.matcher(line);
                    if (at.find()) listens.complete(Integer.parseInt(at.group(1)));
                }
            } catch (IOException killed) {
                // as wanted
            }
            listens.completeExceptionally(new IOException("S3Proxy ended:\n" + log));
        });
        try {
            return new S3(folder, process, listens.get(30, TimeUnit.SECONDS));
        } finally {
            Files.delete(properties);
        }
    }

    public long pid() {
        return process.pid();
    }

    public int port() {
        return port;
    }

    /** rclone with the settings of a .env that names this server {@code off:}. */
    public Program rclone(String... argv) {
        return rclone(port, KEY_ID, KEY, argv);
    }

    public static Program rclone(int port, String keyId, String key, String... argv) {
        return Program.of(argv)
                .withoutEnv("AWS_")
                .withoutEnv("RCLONE_")
                .env("RCLONE_CONFIG", "/dev/null")
                .secrets(Map.of("RCLONE_CONFIG_OFF_TYPE", "s3", "RCLONE_CONFIG_OFF_PROVIDER", "Other",
                        "RCLONE_CONFIG_OFF_ENDPOINT", "http://127.0.0.1:" + port, "RCLONE_CONFIG_OFF_ACCESS_KEY_ID",
                        keyId, "RCLONE_CONFIG_OFF_SECRET_ACCESS_KEY", key));
    }

    /** The file of an object. */
    public Path file(String bucket, String key) {
        return folder.resolve(bucket).resolve(key);
    }

    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    @Override public void close() throws InterruptedException {
        kill();
    }
}
