package support;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** Where the clone is whose tests or demo run. */
public final class Repo {
    private Repo() {}

    /** System property {@code repo}, or the working folder or the nearest above it that holds the scripts. */
    public static Path root() {
        var told = System.getProperty("repo");
        if (told != null) return Path.of(told).toAbsolutePath();
        var here = Path.of("").toAbsolutePath();
        return Stream.iterate(here, folder -> folder != null, Path::getParent)
                .filter(folder -> Files.exists(folder.resolve("reset_migrations.java"))
                        && Files.isDirectory(folder.resolve("tests/projects")))
                .findFirst()
                .orElseThrow(() ->
                        new IllegalStateException("no clone of the toolkit in " + here + " or above: give -Drepo=DIR"));
    }
}
