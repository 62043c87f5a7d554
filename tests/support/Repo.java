package support;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** The clone whose tests or demo are running. */
public final class Repo {
    private Repo() {}

    /** System property {@code repo}, or the nearest folder, from the working folder upwards, with the scripts. */
    public static Path root() {
        var repo = System.getProperty("repo");
        if (repo != null) return Path.of(repo).toAbsolutePath();
        var here = Path.of("").toAbsolutePath();
        return Stream.iterate(here, folder -> folder != null, Path::getParent)
                .filter(folder -> Files.exists(folder.resolve("reset_migrations.java"))
                        && Files.isDirectory(folder.resolve("tests/projects")))
                .findFirst()
                .orElseThrow(() ->
                        new IllegalStateException("no clone of the toolkit in " + here + " or above: give -Drepo=DIR"));
    }
}
