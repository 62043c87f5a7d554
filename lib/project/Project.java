package lib.project;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Host;
import lib.process.Shell;

/**
 * The folders of a Django project.
 *
 * @param root    the folder with {@code .env} or a compose file; else the repository; else that of manage.py
 * @param backend the folder with manage.py: the root, or one or two levels below it
 */
public record Project(Path root, Path backend) {
    private static final List<String> COMPOSE_FILES = List.of("compose.yaml", "compose.yml",
        "docker-compose.yml", "docker-compose.yaml");
    private static final List<String> SOURCES = List.of(".git", "pyproject.toml", "requirements.txt");
    private static final Pattern BACKUP = Pattern.compile(".+_\\d{8}_\\d{6}.*\\.(dump|sql).*");
    private static final Set<String> NOT_A_BACKEND =
            Set.of("node_modules", "venv", ".venv", "env", "site-packages", "__pycache__");

    /**
     * The project of the first folder, from {@code start} upwards, that has manage.py, or that has {@code .env}, a
     * compose file, {@code .git}, pyproject.toml or requirements.txt, and a manage.py at most two levels below.
     * {@code start} itself needs none of these files. Other folders are skipped: they may only contain another project
     * beside this one.
     *
     * @throws Failure no project, or several manage.py
     */
    public static Project find(Path start) {
        var from = start.toAbsolutePath().normalize();
        if (!Files.isDirectory(from)) throw noProject(from);
        for (var folder = from; folder != null; folder = folder.getParent()) {
            var isMarked = isMarked(folder) || hasSources(folder)
                || Files.isRegularFile(folder.resolve("manage.py"));
            if (!isMarked && !folder.equals(from)) continue;
            var found = managePys(folder);
            if (found.isEmpty()) continue;
            if (found.size() > 1) throw several(folder, found);
            var backend = found.getFirst().getParent();
            return new Project(rootOf(backend), backend);
        }
        throw noProject(from);
    }

    private static Failure noProject(Path from) {
        return Failure.usage("no Django project in " + from
                + " or above it: no manage.py found there or up to two levels below")
            .next("go to the project's folder, or give --project DIR");
    }

    private static Failure several(Path folder, List<Path> managePys) {
        var all = String.join("\n  ", managePys.stream().map(Path::toString).toList());
        return Failure.usage("more than one manage.py in " + folder + ":\n  " + all)
            .next("name the right one: --project " + Shell.quoted(managePys.getFirst().getParent().toString()));
    }

    /**
     * The outermost folder, at most two levels above the backend, with {@code .env}, a compose file or runs, and no
     * other manage.py. Without any, the backend if it has backups; else the outermost folder of the repository with
     * {@code .git}, pyproject.toml or requirements.txt; else the backend. It does not depend on where the search began:
     * undo has to find the same {@code .reset/} from anywhere.
     */
    private static Path rootOf(Path backend) {
        var folders = from(backend).filter(folder -> folder.equals(backend) || managePys(folder).size() == 1).toList();
        var used = outermost(folders.stream().filter(folder -> isMarked(folder) || hasRuns(folder)));
        if (used.isPresent()) return used.get();
        if (hasBackups(backend)) return backend;
        return outermost(inRepository(folders).filter(Project::hasSources)).orElse(backend);
    }

    private static Optional<Path> outermost(Stream<Path> folders) {
        return folders.reduce((inner, outer) -> outer);
    }

    /** The backend and the two folders above it. */
    private static Stream<Path> from(Path backend) {
        return Stream.iterate(backend, folder -> folder != null && folder.getParent() != null, Path::getParent)
            .limit(3); // "/" is not a project
    }

    /** Up to the repository's top; not a home folder, which may be a repository of something else. */
    private static Stream<Path> inRepository(List<Path> folders) {
        var home = Host.home(System.getenv()).orElse(null);
        var top = folders.stream().filter(folder -> Files.exists(folder.resolve(".git"))).findFirst();
        return folders.stream().limit(top.map(folder -> folders.indexOf(folder) + 1).orElse(folders.size()))
            .filter(folder -> folder.equals(folders.getFirst()) || !folder.equals(home));
    }

    /** The folders that may have the project's virtual environment: root and backend first. */
    List<Path> folders() {
        return Stream.concat(Stream.of(root, backend), inRepository(from(backend).toList()).filter(Project::hasSources))
            .distinct().toList();
    }

    private static boolean isMarked(Path folder) {
        return Files.isRegularFile(folder.resolve(".env")) || composeFile(folder).isPresent();
    }

    private static boolean hasSources(Path folder) {
        return SOURCES.stream().anyMatch(name -> Files.exists(folder.resolve(name)));
    }

    private static boolean hasRuns(Path folder) {
        return Files.isDirectory(folder.resolve(".reset"));
    }

    /** Only the backend's count: any folder above it may have those of other programs. */
    private static boolean hasBackups(Path backend) {
        try (Stream<Path> backups = Files.list(backend.resolve("backups"))) {
            return backups.anyMatch(file -> BACKUP.matcher(file.getFileName().toString()).matches());
        } catch (IOException ignored) { // there is no such folder
            return false;
        }
    }

    private static List<Path> managePys(Path folder) {
        var here = folder.resolve("manage.py");
        if (Files.isRegularFile(here)) return List.of(here);
        var found = new ArrayList<Path>();
        for (var child : folders(folder)) {
            if (Files.isRegularFile(child.resolve("manage.py"))) found.add(child.resolve("manage.py"));
            else folders(child).stream().map(below -> below.resolve("manage.py")).filter(Files::isRegularFile)
                .forEach(found::add);
        }
        return found;
    }

    private static List<Path> folders(Path folder) {
        try (Stream<Path> children = Files.list(folder)) {
            // not through links: "current", a link to the folder beside it, would have a second manage.py
            return children.filter(c -> Files.isDirectory(c, LinkOption.NOFOLLOW_LINKS))
                .filter(c -> !c.getFileName().toString().startsWith("."))
                .filter(c -> !NOT_A_BACKEND.contains(c.getFileName().toString())).sorted().toList();
        } catch (IOException ignored) { // it cannot be read
            return List.of();
        }
    }

    private static Optional<Path> composeFile(Path folder) {
        return COMPOSE_FILES.stream().map(folder::resolve).filter(Files::isRegularFile).findFirst();
    }

    /** The root's compose file, by the names that Compose itself looks for. */
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

    /** For people: relative to the root when it is inside. */
    public String show(Path path) {
        return path.startsWith(root) && !path.equals(root) ? root.relativize(path).toString() : path.toString();
    }
}
