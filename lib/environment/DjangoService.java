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
import lib.docker.ComposeConfig.Mount;
import lib.docker.DockerCompose;
import lib.error.Failure;
import lib.files.Disk;
import lib.postgres.Database;
import lib.process.Program;

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
        var root = folder.map(path -> inContainer(project.root()).orElse(path)).orElse(null);
        var managePy = folder.isPresent() ? null : sha256(project.managePy());
        var service = setup.app().name();
        var container = new PythonCommand.Container(service, managePy, DockerCompose::isWarning, () -> remove(name));
        return new PythonCommand(start, root, project.backend(), new CodePaths(pairs()), container);
    }

    /** Containers of runs that were killed. v1 does not remove them. */
    private void removeAbandoned() {
        setup.containers().stream().filter(c -> c.oneOff() && c.name().startsWith(NAME_PREFIX) && c.isAbandoned())
            .forEach(c -> setup.docker().engine("rm", c.id()).run());
    }

    private void remove(String container) {
        setup.docker().engine("rm", "-f", container).inOwnSession().run();
    }

    private static String newName() {
        return NAME_PREFIX + HexFormat.of().formatHex(new SecureRandom().generateSeed(6));
    }

    /** Without the service's ports, its restarts and the services that it depends on. */
    private Program oneOff(String... options) {
        var run = setup.docker().compose("run", "--rm", "--no-deps").with(options);
        return run.env("COMPOSE_INTERACTIVE_NO_CLI", "0"); // with 1, v1 hangs
    }

    @Override public Program manage(boolean terminal, Description django, String... arguments) {
        manageContainer = newName();
        var options = new ArrayList<>(List.of("--name", manageContainer, "-e", "PYTHONDONTWRITEBYTECODE=1"));
        if (!terminal) options.addFirst("-T");
        System.getenv().keySet().stream().filter(name -> name.startsWith("DJANGO_SUPERUSER_")).sorted()
            .forEach(name -> options.addAll(List.of("-e", name)));
        return oneOff(options.toArray(String[]::new)).with(managePy(django, arguments).toArray(String[]::new));
    }

    /** Not with the service's entrypoint, which may migrate. */
    private List<String> managePy(Description django, String... arguments) {
        var python = django.python();
        var start = List.of("--workdir", python.folder(), "--entrypoint", python.executable(), setup.app().name(),
            "manage.py");
        return Stream.concat(start.stream(), Stream.of(arguments)).toList();
    }

    @Override public String commandLine(Description django, String... arguments) {
        var words = Stream.concat(Stream.of("run", "--rm", "--no-deps"), managePy(django, arguments).stream());
        return setup.docker().commandLine(words.toArray(String[]::new));
    }

    @Override public boolean imageHasCode() {
        return folder().isEmpty();
    }

    /** Removes the container of {@link #manage}, which would wait forever for a terminal that was closed. */
    void close() {
        try {
            if (manageContainer != null) remove(manageContainer);
        } catch (Failure ignored) {
            // too slow; the container ends by itself
        }
    }

    // ---- paths here and in the container -----------------------------------------------------

    /** The folder of manage.py in the container, when it is mounted. */
    private Optional<String> folder() {
        return inContainer(setup.project().backend());
    }

    private Optional<String> inContainer(Path path) {
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
        return setup.app().mounts().stream().map(this::pair).toList();
    }

    private CodePaths.Pair pair(Mount mount) {
        var target = mount.target();
        if (!mount.type().equals("bind") || mount.source() == null) return new CodePaths.Pair(target, null);
        var source = Disk.real(Path.of(mount.source()));
        var here = setup.project().root();
        var root = Disk.real(here);
        if (source.startsWith(root))
            return new CodePaths.Pair(target, here.resolve(root.relativize(source)).normalize());
        if (root.startsWith(source))
            return new CodePaths.Pair(target + "/" + withSlashes(source.relativize(root)), here);
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
