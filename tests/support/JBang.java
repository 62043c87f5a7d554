package support;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;
import picocli.CommandLine;

/**
 * jbangw under the name jbang on the PATH, with a new home and a new cache of scripts. Only JBang itself and the
 * libraries come from this machine's caches.
 */
public final class JBang {
    private static final Path REAL_CACHE =
            Path.of(System.getenv().getOrDefault("XDG_CACHE_HOME", System.getenv("HOME") + "/.cache"), "jbangw");

    private final Path home;
    private final Map<String, String> environment = new HashMap<>();

    private JBang(Path home) {
        this.home = home;
    }

    /** @param folder empty; it gets the home and everything else */
    public static JBang in(Path folder) throws IOException {
        var bin = Files.createDirectory(folder.resolve("bin"));
        Files.createSymbolicLink(bin.resolve("jbang"), Repo.root().resolve("jbangw"));
        var whole = "jbang-" + version();
        var cache = Files.createDirectories(folder.resolve("cache/jbangw"));
        if (Files.isDirectory(REAL_CACHE.resolve(whole)))
            Files.createSymbolicLink(cache.resolve(whole), REAL_CACHE.resolve(whole));
        var jbang = new JBang(Files.createDirectory(folder.resolve("home")));
        jbang.environment.putAll(Map.of("HOME", jbang.home.toString(), "PATH", bin + ":" + System.getenv("PATH"),
                "LC_ALL", "C.UTF-8", "JAVA_HOME", System.getProperty("java.home"), "XDG_CACHE_HOME",
                folder.resolve("cache").toString(), "JBANG_REPO", libraries().toString()));
        return jbang;
    }

    public Path home() {
        return home;
    }

    /** Runs a command line of bash in {@code folder}. */
    public Tool.Output bash(Path folder, String line, String input) throws IOException, InterruptedException {
        var builder = new ProcessBuilder("bash", "-c", line).directory(folder.toFile());
        builder.environment().clear();
        builder.environment().putAll(environment);
        var in = Files.writeString(Files.createTempFile(home, "input", ""), input);
        var err = Files.createTempFile(home, "stderr", ""); // a file never fills up
        var process = builder.redirectInput(in.toFile()).redirectError(err.toFile()).start();
        var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Tool.Output(process.waitFor(), out, Files.readString(err));
    }

    public Tool.Output bash(Path folder, String line) throws IOException, InterruptedException {
        return bash(folder, line, "");
    }

    private static String version() throws IOException {
        var line = Pattern.compile("(?m)^version=(.+)$").matcher(Files.readString(Repo.root().resolve("jbangw")));
        if (!line.find()) throw new IllegalStateException("jbangw does not say its version any more");
        return line.group(1);
    }

    /** The Maven repository with the libraries of this run. */
    static Path libraries() throws IOException {
        try {
            var jar = Path.of(CommandLine.class
                            .getProtectionDomain()
                            .getCodeSource()
                            .getLocation()
                            .toURI())
                    .toRealPath();
            return jar.resolve("../../../../..").normalize(); // <repository>/info/picocli/picocli/<version>/<jar>
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
