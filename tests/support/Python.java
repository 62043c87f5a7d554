package support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.Map;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Program;

/** Virtual environments for the sample projects, built once a machine, and a way to run them. */
public final class Python {
    private static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");
    private static final String SYSTEM = WINDOWS ? "python" : "python3";

    private Python() {}

    /** A program's output, with standard error, and its exit code. */
    public record Output(int code, String text) {}

    /** The interpreter of a virtual environment with {@code tests/projects/requirements.txt}. */
    public static Path venv() {
        return venv(Repo.root().resolve("tests/projects/requirements.txt"));
    }

    /** The same for any requirements file. The first call on a machine downloads; the others take milliseconds. */
    public static synchronized Path venv(Path requirements) {
        try {
            var version = run(Path.of("."), SYSTEM, "-c", "import sys; print(sys.version, sys.base_prefix)");
            if (version.code() != 0) throw failure(SYSTEM + " does not start", version, "install Python 3");
            var cache = cacheFolder();
            Files.createDirectories(cache);
            var folder = cache.resolve("venv-" + hash(Files.readString(requirements) + version.text()));
            var lock = Path.of(folder + ".lock");
            try (var channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                channel.lock();  // other processes wait here, until the channel is closed
                return built(folder, requirements);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Path built(Path folder, Path requirements) throws IOException {
        // a venv contains its own path, so it cannot be renamed when complete: a marker is written last
        var whole = folder.resolve("whole");
        var python = folder.resolve(WINDOWS ? "Scripts/python.exe" : "bin/python");
        if (Files.exists(whole) && Files.isExecutable(python)) return python;
        delete(folder);
        var made = run(Path.of("."), SYSTEM, "-m", "venv", folder.toString());
        if (made.code() != 0)
            throw failure("cannot make a virtual environment", made,
                "install Python's venv module: apt install python3-venv");
        var installed = run(Path.of("."), python.toString(), "-m", "pip", "install", "--quiet",
            "--disable-pip-version-check", "--no-input", "-r", requirements.toAbsolutePath().toString());
        if (installed.code() != 0)
            throw failure("cannot install " + requirements, installed, "check the network, or pip's own configuration");
        Files.writeString(whole, "");
        return python;
    }

    /** Runs a program in {@code folder}, without the environment's settings of database and Django. */
    public static Output run(Path folder, String... command) throws IOException {
        var builder = new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> name.matches(
            "(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|VIRTUAL_ENV|PYTHONPATH|PYTHONHOME).*"));
        builder.environment().putAll(Map.of("PYTHONDONTWRITEBYTECODE", "1", "PYTHONIOENCODING", "utf-8"));
        Process process;
        try {
            process = builder.start();
        } catch (IOException e) {
            throw new Failure(new Program.Missing(command[0]), e);
        }
        try {
            process.getOutputStream().close();
            var text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return new Output(process.waitFor(), text);
        } catch (InterruptedException e) {
            throw new IOException("interrupted while running " + command[0], e);
        }
    }

    private static Failure failure(String what, Output output, String next) {
        return Failure.usage(what + ":\n" + output.text().strip().indent(2).stripTrailing()).next(next);
    }

    static Path cacheFolder() {
        // not user.home: Java takes it from the password database and ignores a test's HOME
        var home = System.getenv().getOrDefault("HOME", System.getProperty("user.home"));
        var cache = System.getenv("XDG_CACHE_HOME");
        var base = cache == null || cache.isEmpty() ? Path.of(home, ".cache") : Path.of(cache);
        return base.resolve("reset_migrations");
    }

    private static String hash(String text) {
        try {
            var digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return HexFormat.of().formatHex(digest, 0, 6);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    /** Deletes a folder and its content, if it exists. */
    public static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) return;
        try (Stream<Path> all = Files.walk(folder)) {
            for (var path : all.sorted(Comparator.reverseOrder()).toList()) Files.delete(path);
        }
    }
}
