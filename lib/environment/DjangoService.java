package lib.environment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import lib.django.CodePaths;
import lib.django.Description;
import lib.django.PythonCommand;
import lib.docker.Composer;
import lib.error.Failure;
import lib.files.Disk;
import lib.postgres.Database;
import lib.process.Program;
import lib.project.Project;

/** Django in one-off containers of the app's service, beside its own container, which may be crashing. */
final class DjangoService implements DjangoHost {
    private static final String NAME_PREFIX = "reset_migrations_";
    /** The container's Python, or the one that {@code --python} names. */
    private static final String FIND_PYTHON = """
        for python in "$PYTHON" python python3; do
          [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 && exec "$python" "$@"
        done
        echo '%s' >&2
        exit 127""".formatted(PythonCommand.NO_PYTHON);

    private final ComposeSetup setup;
    private final Path python;
    private String manageContainer;

    /** @param python a path in the container, or null */
    DjangoService(ComposeSetup setup, Path python) {
        this.setup = setup;
        this.python = python;
    }

    @Override public PythonCommand python() {
        removeAbandoned();
        var name = newName();
        var folder = folder();
        var start = oneOff("-T", "--name", name, "-e", "PYTHONDONTWRITEBYTECODE=1", "-e", "PYTHONUNBUFFERED=1",
                "-e", "PGAPPNAME=" + Database.APPLICATION, "-e", "PYTHON=" + (python == null ? "" : python))
            .with(folder.map(path -> new String[] {"--workdir", path}).orElse(new String[0]))
            .with("--entrypoint", "sh", setup.app().name(), "-c", FIND_PYTHON, "sh").inOwnSession();
        var project = setup.project();
        var root = folder.map(path -> inside(project.root()).orElse(path)).orElse(null);
        var managePy = folder.isPresent() ? null : sha256(project.managePy());
        var service = setup.app().name();
        var container = new PythonCommand.Container(service, managePy, Composer::isWarning, () -> remove(name));
        return new PythonCommand(start, root, project.backend(), new CodePaths(pairs()), container);
    }

    /** Containers of runs that were killed. v1 does not remove them. */
    private void removeAbandoned() {
        setup.containers().stream().filter(c -> c.oneOff() && c.name().startsWith(NAME_PREFIX) && c.isAbandoned())
            .forEach(c -> setup.composer().engine("rm", c.id()).run());
    }

    private void remove(String container) {
        setup.composer().engine("rm", "-f", container).run();
    }

    private static String newName() {
        return NAME_PREFIX + HexFormat.of().formatHex(new SecureRandom().generateSeed(6));
    }

    /** Without the service's ports, its restarts and the services that it depends on. */
    private Program oneOff(String... options) {
        var run = setup.composer().compose("run", "--rm", "--no-deps").with(options);
        return run.env("COMPOSE_INTERACTIVE_NO_CLI", "0"); // with 1, v1 hangs
    }

    @Override public Program manage(boolean terminal, Description django, String... arguments) {
        manageContainer = newName();
        var options = new ArrayList<>(terminal ? List.<String>of() : List.of("-T"));
        options.addAll(List.of("--name", manageContainer, "-e", "PYTHONDONTWRITEBYTECODE=1"));
        System.getenv().keySet().stream().filter(name -> name.startsWith("DJANGO_SUPERUSER_")).sorted()
            .forEach(name -> options.addAll(List.of("-e", name)));
        return oneOff(options.toArray(String[]::new)).with(managePy(django, arguments).toArray(String[]::new));
    }

    /** With an entrypoint of its own: the service's may migrate. */
    private List<String> managePy(Description django, String... arguments) {
        var python = django.python();
        var words = new ArrayList<>(List.of("--workdir", python.folder(), "--entrypoint", python.executable()));
        words.addAll(List.of(setup.app().name(), "manage.py"));
        words.addAll(List.of(arguments));
        return words;
    }

    @Override public String commandLine(Description django, String... arguments) {
        var words = Stream.concat(Stream.of("run", "--rm", "--no-deps"), managePy(django, arguments).stream());
        return setup.composer().commandLine(words.toArray(String[]::new));
    }

    @Override public boolean imageHasCode() {
        return folder().isEmpty();
    }

    /** Removes the container of {@link #manage}: one that waits on a terminal that is gone would wait forever. */
    void close() {
        try {
            if (manageContainer != null) setup.composer().engine("rm", "-f", manageContainer).inOwnSession().run();
        } catch (Failure ignored) {
            // too slow; it ends by itself
        }
    }

    // ---- paths here and in the container -----------------------------------------------------

    /** The folder of manage.py in the container, when it is mounted. */
    private Optional<String> folder() {
        return inside(setup.project().backend());
    }

    private Optional<String> inside(Path path) {
        for (var pair : pairs()) {
            if (pair.here() == null) continue;
            if (path.equals(pair.here())) return Optional.of(pair.inside());
            if (path.startsWith(pair.here()))
                return Optional.of(pair.inside() + "/" + withSlashes(pair.here().relativize(path)));
        }
        return Optional.empty();
    }

    /** The project's mounted folders, and the mounts that cover parts of them; none when the engine is elsewhere. */
    private List<CodePaths.Pair> pairs() {
        if (!setup.engineIsLocal()) return List.of();
        return setup.app().mounts().stream().map(mount -> {
            var isBind = mount.type().equals("bind") && mount.source() != null;
            return isBind ? pair(setup.project(), mount.target(), Disk.real(Path.of(mount.source())))
                : new CodePaths.Pair(mount.target(), null);
        }).toList();
    }

    private static CodePaths.Pair pair(Project project, String target, Path source) {
        var root = Disk.real(project.root());
        if (source.startsWith(root)) return new CodePaths.Pair(target, project.root().resolve(root.relativize(source))
            .normalize());
        if (root.startsWith(source)) return new CodePaths.Pair(target + "/"
            + withSlashes(source.relativize(root)), project.root());
        return new CodePaths.Pair(target, null);
    }

    private static String withSlashes(Path path) {
        return path.toString().replace('\\', '/');
    }

    private static String sha256(Path file) {
        try {
            return Disk.sha256(Files.readAllBytes(file));
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }
}
