package lib.project;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.process.Program;

/**
 * The Python that runs the project's Django.
 *
 * @param python     absolute, symbolic links not resolved: a virtual environment is known by where its link is
 * @param why        how it was found: "--python", "venv in the project", "python3 on PATH"; then what was skipped
 * @param virtualEnv in a virtual environment, or conda's
 */
public record Interpreter(Path python, String why, boolean virtualEnv) {
    private static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");
    private static final List<String> IN_ENVIRONMENT = WINDOWS ? List.of("Scripts/python.exe", "python.exe")
        : List.of("bin/python", "bin/python3");
    private static final List<String> FOLDERS = List.of("venv", ".venv", "env");
    private static final List<String> LOCKS = List.of("uv.lock", "poetry.lock", "pdm.lock", "Pipfile");
    private static final List<String> REQUIREMENTS = List.of("requirements.txt", "requirements/local.txt",
        "requirements/dev.txt", "requirements/development.txt", "requirements/base.txt");

    /**
     * {@code --python}, {@code $VIRTUAL_ENV}, venv, .venv or env in root, backend or the repository, then python3 and
     * python on PATH.
     *
     * @param pythonOption null, an interpreter, the folder of a virtual environment, or a name on PATH
     * @throws Failure the named one cannot be used, or none was found
     */
    public static Interpreter find(Project project, Path pythonOption, Map<String, String> environment) {
        if (pythonOption != null) return fromOption(pythonOption, environment);
        var skipped = new ArrayList<String>();
        var active = environment.getOrDefault("VIRTUAL_ENV", "");
        if (!active.isEmpty()) {
            var found = inEnvironment(Path.of(active), skipped);
            if (found.isPresent()) return of(found.get(), "$VIRTUAL_ENV", skipped);
        }
        for (var folder : project.folders()) {
            for (var name : FOLDERS) {
                var candidate = folder.resolve(name);
                if (!isEnvironment(candidate)) continue; // env/ may be a folder of settings
                var found = inEnvironment(candidate, skipped);
                if (found.isPresent()) return of(found.get(), project.show(candidate), skipped);
            }
        }
        for (var name : List.of("python3", "python")) {
            var found = Program.onPath(name, environment);
            if (found.isPresent()) return of(found.get(), name + " on PATH", skipped);
        }
        throw Failure.usage("no Python found: no virtual environment in the project, no python3 on PATH"
                + skipped.stream().map(line -> "\n  " + line).collect(Collectors.joining()))
            .next("name the project's interpreter: --python PATH");
    }

    private static Interpreter of(Path python, String why, List<String> skipped) {
        var all = skipped.isEmpty() ? why : why + "; " + String.join("; ", skipped);
        return new Interpreter(python, all, isVirtual(python));
    }

    private static Interpreter fromOption(Path option, Map<String, String> environment) {
        var path = option.toAbsolutePath().normalize();
        if (Files.isDirectory(path)) {
            var found = IN_ENVIRONMENT.stream().map(path::resolve).filter(Files::isExecutable).findFirst();
            return of(found.orElseThrow(() -> unusable(path, "is a folder without bin/python")), "--python", List.of());
        }
        var isName = option.getNameCount() == 1 && !option.isAbsolute();
        var isFile = Files.exists(path, LinkOption.NOFOLLOW_LINKS);
        var python = isName && !isFile ? Program.onPath(option.toString(), environment).orElse(path) : path;
        var wrong = whatIsWrong(python);
        if (wrong.isPresent()) throw unusable(python, wrong.get());
        return of(python, "--python", List.of());
    }

    /** The interpreter of a virtual environment. One that does not work is added to the skipped ones. */
    private static Optional<Path> inEnvironment(Path environment, List<String> skipped) {
        var folder = environment.toAbsolutePath().normalize();
        var pythons = IN_ENVIRONMENT.stream().map(folder::resolve).toList();
        var found = pythons.stream().filter(p -> whatIsWrong(p).isEmpty()).findFirst();
        if (found.isEmpty()) {
            var broken = pythons.stream().filter(p -> Files.exists(p, LinkOption.NOFOLLOW_LINKS)).findFirst()
                .orElse(pythons.getFirst());
            skipped.add(broken + " " + whatIsWrong(broken).orElseThrow());
        }
        return found;
    }

    private static Failure unusable(Path python, String why) {
        return Failure.usage(python + " " + why)
            .next("give --python the interpreter of the project's virtual environment, such as venv/bin/python");
    }

    private static Optional<String> whatIsWrong(Path python) {
        if (Files.isSymbolicLink(python) && !Files.exists(python))
            return Optional.of("is a link to a Python that is gone");
        if (!Files.isRegularFile(python)) return Optional.of("does not exist");
        return Files.isExecutable(python) ? Optional.empty() : Optional.of("is not executable");
    }

    private static boolean isVirtual(Path python) {
        var folder = python.getParent();
        return isEnvironment(folder) || folder.getParent() != null && isEnvironment(folder.getParent());
    }

    private static boolean isEnvironment(Path folder) {
        return Files.isRegularFile(folder.resolve("pyvenv.cfg")) || Files.isDirectory(folder.resolve("conda-meta"));
    }

    /**
     * The file that says what the project needs, the backend's first: of uv, Poetry, PDM or Pipenv, requirements.txt,
     * requirements/*.txt or pyproject.toml.
     */
    public static Optional<Path> requirements(Project project) {
        for (var folder : new LinkedHashSet<>(List.of(project.backend(), project.root()))) {
            var found = Stream.concat(LOCKS.stream(), REQUIREMENTS.stream()).map(folder::resolve)
                .filter(Files::isRegularFile).findFirst()
                .or(() -> firstTextFile(folder.resolve("requirements")))
                .or(() -> Optional.of(folder.resolve("pyproject.toml")).filter(Files::isRegularFile));
            if (found.isPresent()) return found;
        }
        return Optional.empty();
    }

    private static Optional<Path> firstTextFile(Path folder) {
        if (!Files.isDirectory(folder)) return Optional.empty();
        try (var files = Files.list(folder)) {
            return files.filter(f -> f.toString().endsWith(".txt") && Files.isRegularFile(f)).sorted().findFirst();
        } catch (IOException ignored) { // it cannot be read
            return Optional.empty();
        }
    }
}
