package lib;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Where a Django project's parts lie.
 *
 * @param root    the folder with {@code .env}, compose file or manage.py
 * @param backend the folder with manage.py: the root, or one or two levels below it
 */
public record Project(Path root, Path backend) {
    private static final List<String> COMPOSE_FILES =
            List.of("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml");
    private static final Set<String> NOT_A_BACKEND = Set.of("node_modules", "venv", ".venv", "env", "site-packages", "__pycache__");

    /**
     * From {@code start} upwards: the nearest folder with manage.py at most two levels below it and, of that folder and
     * those above, the outermost that still belongs to the same project (it holds {@code .env} or a compose file and no other
     * manage.py).
     *
     * @throws Failure no project, or several manage.py
     */
    public static Project find(Path start) {
        var from = real(start);
        for (var folder = from; folder != null; folder = folder.getParent()) {
            var found = managePys(folder);
            if (found.isEmpty()) continue;
            if (found.size() > 1) throw new Failure(new Problem.SeveralBackends(folder, found));
            var backend = found.getFirst().getParent();
            return new Project(rootOf(backend, folder), backend);
        }
        throw new Failure(new Problem.NoProject(from));
    }

    /** Without symbolic links: Python reports the paths of modules that way. */
    private static Path real(Path start) {
        try {
            var folder = start.toRealPath();
            if (Files.isDirectory(folder)) return folder;
        } catch (IOException doesNotExist) {
            // the message below says it
        }
        throw new Failure(new Problem.NoProject(start.toAbsolutePath()));
    }

    /** A project's root may lie one or two levels above its manage.py even when we start inside the backend. */
    private static Path rootOf(Path backend, Path found) {
        var root = found;
        var above = backend;
        for (int level = 0; level < 2; level++) {
            above = above.getParent();
            if (above == null || above.getParent() == null) break; // "/" is nobody's project
            if (isMarked(above) && managePys(above).size() == 1 && root.startsWith(above)) root = above;
        }
        return root;
    }

    private static boolean isMarked(Path folder) {
        return Files.isRegularFile(folder.resolve(".env")) || composeFile(folder).isPresent();
    }

    private static List<Path> managePys(Path folder) {
        var here = folder.resolve("manage.py");
        if (Files.isRegularFile(here)) return List.of(here);
        var found = new ArrayList<Path>();
        for (var child : folders(folder)) {
            if (Files.isRegularFile(child.resolve("manage.py"))) found.add(child.resolve("manage.py"));
            else folders(child).stream().map(f -> f.resolve("manage.py")).filter(Files::isRegularFile).forEach(found::add);
        }
        return found;
    }

    private static List<Path> folders(Path folder) {
        try (Stream<Path> children = Files.list(folder)) {
            return children.filter(Files::isDirectory)
                    .filter(c -> !c.getFileName().toString().startsWith(".") && !NOT_A_BACKEND.contains(c.getFileName().toString()))
                    .sorted().toList();
        } catch (IOException unreadable) {
            return List.of();
        }
    }

    private static Optional<Path> composeFile(Path folder) {
        return COMPOSE_FILES.stream().map(folder::resolve).filter(Files::isRegularFile).findFirst();
    }

    /** The compose file of the root, as Compose would look for it. */
    public Optional<Path> composeFile() {
        return composeFile(root);
    }

    public Path managePy() {
        return backend.resolve("manage.py");
    }

    /** Where runs are kept: {@code .reset/} in the root. */
    public Path runs() {
        return root.resolve(".reset");
    }

    /** A path as people want to read it: relative to the root when it is inside. */
    public String show(Path path) {
        return path.startsWith(root) && !path.equals(root) ? root.relativize(path).toString() : path.toString();
    }
}
