package lib.postgres;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.process.Program;

/** Where PostgreSQL's programs may be, and which version one of them is. */
public final class PgFolders {
    private static final Pattern VERSION = Pattern.compile("\\(PostgreSQL\\) ((\\d+)\\S*)");

    private PgFolders() {}

    /** PATH, then where the packages keep each version apart: Debian, Red Hat, Homebrew, Postgres.app, Windows. */
    public static List<Path> all() {
        var folders = new ArrayList<>(Program.path());
        for (var place : List.of("/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt", "/Applications/Postgres.app/Contents/Versions", "C:\\Program Files\\PostgreSQL")) {
            try (Stream<Path> versions = Files.list(Path.of(place))) {
                versions.filter(v -> v.getFileName().toString().matches("(pgsql-|postgresql@)?\\d+")).map(v -> v.resolve("bin")).sorted().forEach(folders::add);
            } catch (IOException notOnThisMachine) {
                // most of them are not
            }
        }
        return folders;
    }

    /** 0 where the program does not say. */
    public static int major(Path program) {
        var version = VERSION.matcher(Program.of(program.toString(), "--version").run().out());
        return version.find() ? Integer.parseInt(version.group(2)) : 0;
    }
}
