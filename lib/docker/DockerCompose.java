package lib.docker;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Host;
import lib.process.Program;
import lib.process.Shell;
import lib.project.EnvFile;

/**
 * The Compose program of this machine, and docker. Both get this process's environment, so DOCKER_HOST and docker
 * contexts count.
 *
 * @param compose the program by absolute path, and {@code compose} where that is a subcommand
 * @param engine  docker, by absolute path
 * @param version without a leading v
 * @param folder  the project's root, where Compose finds its files, {@code .env}, COMPOSE_FILE and profiles
 */
public record DockerCompose(List<String> compose, List<String> engine, String version, Path folder) {
    /** Longer than any container gets to stop. */
    private static final Duration TIME_LIMIT = Duration.ofMinutes(5);
    /** cron's PATH is short. */
    private static final List<String> USUAL_FOLDERS = List.of("/usr/local/bin", "/usr/bin", "/bin", "/snap/bin",
        "/opt/homebrew/bin", "/opt/local/bin", "/Applications/Docker.app/Contents/Resources/bin",
        "C:\\Program Files\\Docker\\Docker\\resources\\bin");
    private static final List<String> USUAL_FOLDERS_AT_HOME =
        List.of(".docker/bin", ".rd/bin", ".orbstack/bin", ".local/bin", "bin");

    /** @throws Failure no Compose works here */
    public static DockerCompose find(Path folder, Map<String, String> environment) {
        var what = program("docker", environment).isPresent()
            ? "docker is installed, but neither docker compose nor docker-compose works"
            : "Compose is not installed: there is neither docker compose nor docker-compose";
        return search(folder, environment).orElseThrow(() -> Failure.usage(what)
            .next("install the Compose plugin (package docker-compose-plugin), or add the program's folder to PATH",
                "or give --local, when the database and Django run on this machine itself"));
    }

    /** The first that works of {@code docker compose} and {@code docker-compose}; both need {@code docker}. */
    static Optional<DockerCompose> search(Path folder, Map<String, String> environment) {
        var root = folder.toAbsolutePath().normalize();
        var docker = program("docker", environment);
        if (docker.isEmpty()) return Optional.empty();
        var commands = new ArrayList<>(List.of(List.of(docker.get(), "compose")));
        program("docker-compose", environment).ifPresent(program -> commands.add(List.of(program)));
        for (var command : commands) {
            var version = version(command);
            if (version.isPresent())
                return Optional.of(new DockerCompose(command, List.of(docker.get()), version.get(), root));
        }
        return Optional.empty();
    }

    /** Empty when it does not work: an old docker has no such subcommand, or no {@code --short}. */
    private static Optional<String> version(List<String> compose) {
        try {
            var output = Program.of(compose).with("version", "--short").run();
            var version = output.out().strip().replaceFirst("^v", "");
            return output.code() == 0 && version.matches("\\d\\S*") ? Optional.of(version) : Optional.empty();
        } catch (Failure failure) {
            if (failure.problem() instanceof Program.Missing) return Optional.empty();
            throw failure;
        }
    }

    /** The one on PATH, else the first in the usual places. */
    private static Optional<String> program(String name, Map<String, String> environment) {
        var folders = new ArrayList<>(USUAL_FOLDERS.stream().map(Path::of).toList());
        var home = environment.getOrDefault("HOME", "");
        if (!home.isEmpty()) USUAL_FOLDERS_AT_HOME.forEach(folder -> folders.add(Path.of(home, folder)));
        return Program.onPath(name, environment)
            .or(() -> folders.stream().map(folder -> folder.resolve(Program.fileName(name)))
                .filter(file -> Files.isRegularFile(file) && Files.isExecutable(file)).findFirst())
            .map(Path::toString);
    }

    // ---- calling it --------------------------------------------------------------------------

    /** Runs in the project's root without {@code -f}: Compose itself finds the project's files. */
    public Program compose(String... arguments) {
        // v2 takes the project's name from PWD, symbolic links included, as in the user's shell
        return Program.of(compose).with(arguments).in(folder).env("PWD", folder.toString());
    }

    /**
     * Runs a Compose command and returns its output.
     *
     * @throws Failure with Compose's message, without values of {@code .env}
     */
    public String run(String... arguments) {
        var program = compose(arguments).inOwnSession(); // undo needs it, even after a second Ctrl-C
        if (!arguments[0].equals("up")) program.timeout(TIME_LIMIT); // up may pull an image first
        var output = program.run();
        if (output.code() != 0) throw Program.failed(describe() + " " + arguments[0], output.code(), message(output));
        return output.out();
    }

    /** {@code docker …}, with a time limit: an engine that hangs must not block cron, or Ctrl-C, forever. */
    public Program engine(String... arguments) {
        return Program.of(engine).with(arguments).in(folder).timeout(TIME_LIMIT);
    }

    /** The message of a failed command, without warnings and without values of {@code .env}. */
    String message(Program.Output output) {
        var text = output.err().isBlank() ? output.out() : output.err();
        return withoutSecrets(text.lines().filter(line -> !isWarning(line) && !line.isBlank())
            .collect(Collectors.joining("\n")));
    }

    /** A warning of Compose. It may contain a part of a password with a $, as a variable that is not set. */
    public static boolean isWarning(String line) {
        return line.contains("level=warning") || line.startsWith("WARNING:") || line.startsWith("WARN[")
            || line.contains("variable is not set");
    }

    /** v2 quotes the rest of an env file after a syntax error; v1 quotes a service's whole environment. */
    private String withoutSecrets(String message) {
        var safe = message
            .replaceAll("(?s)(need to escape any \\$ with another \\$\\.).*", "$1")
            .replaceAll("(?s)(Invalid interpolation format for [^:]*):.*", "$1")
            .replaceAll("(?s)(line \\d+: [^'\"]*)['\"].*", "$1…")
            .replaceAll("(?s)(near|variable name|Invalid template:) \".*", "$1 …")
            .replaceAll("(?s)interpolating \\{.*} in", "interpolating it in")
            .replaceAll("(?s)(environment\\S*) contains .*?, which", "$1 contains what");
        var env = folder.resolve(".env");
        if (!Files.isRegularFile(env)) return safe;
        try {
            return Program.of("compose").secrets(EnvFile.read(env, Map.of()).values()).redact(safe);
        } catch (Failure ignored) { // it cannot be read
            return safe;
        }
    }

    static String indented(String text) {
        return text.strip().indent(2).stripTrailing();
    }

    public boolean v1() {
        return version.startsWith("1.");
    }

    /** One of Compose's own variables, for v1: of {@code .env}, else of the environment. May be null. */
    public String variable(String name) {
        var env = folder.resolve(".env");
        return Files.isRegularFile(env) ? EnvFile.read(env).get(name) : System.getenv(name);
    }

    /** "docker compose" or "docker-compose". */
    private List<String> command() {
        var name = Path.of(compose.getFirst()).getFileName().toString();
        return compose.size() == 1 ? List.of(name) : List.of(name, "compose");
    }

    /** A Compose command to paste into a shell; from outside the project, in a subshell that enters it. */
    public String commandLine(String... arguments) {
        var line = Shell.line(Stream.concat(command().stream(), Stream.of(arguments)).toList());
        var here = Path.of("").toAbsolutePath().normalize();
        return here.startsWith(folder) ? line : "(cd " + Shell.quoted(folder.toString()) + " && " + line + ")";
    }

    /** For people: "docker compose 2.26.1". */
    public String describe() {
        return String.join(" ", command()) + " " + version;
    }

    // ---- the engine --------------------------------------------------------------------------

    /** Why the docker engine does not reply; empty when it does. */
    public Optional<Failure> engineFailure() {
        var output = engine("version", "--format", "{{.Server.Version}}").run();
        var message = output.err().isBlank() ? output.out() : output.err();
        return output.code() == 0 ? Optional.empty() : Optional.of(engineFailure(message));
    }

    private static Failure engineFailure(String output) {
        // a config.json that cannot be read is only a warning
        var lines = output.lines().filter(line -> !line.startsWith("WARNING:"));
        var message = lines.collect(Collectors.joining("\n")).strip();
        var lower = message.toLowerCase(Locale.ROOT);
        if (lower.contains("permission denied")) {
            return Failure.failed("no permission to talk to docker:\n" + indented(message))
                .next("add yourself to its group, then log in again: sudo usermod -aG docker $USER",
                    "or run this command as a user who has the permission");
        }
        var noConnection = List.of("cannot connect to", "failed to connect to", "is the docker daemon running",
            "error during connect", "unable to connect to");
        if (noConnection.stream().anyMatch(lower::contains)) {
            return Failure.failed("the docker engine does not run, or not at this address:\n" + indented(message))
                .next("start it: sudo systemctl start docker, or Docker Desktop",
                    "or check DOCKER_HOST and the context: docker context ls");
        }
        return Failure.failed("docker does not work:\n" + indented(message))
            .next("see what this prints: docker version");
    }

    /** False when the engine runs on another machine: its published ports are there, not here. */
    public boolean engineIsLocal() {
        // DOCKER_HOST where that is set
        var context = engine("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").run();
        var host = context.out().strip();
        if (context.code() != 0 || host.isEmpty() || host.matches("(?i)(unix|npipe|fd)://.*")) return true;
        if (!host.matches("(?i)tcp://(localhost|127\\.[\\d.]+|\\[::1])(:\\d+)?/?")) return false;
        // a loopback address may be the local end of ssh -L
        var machine = engine("info", "--format", "{{.Name}}").run().out().strip();
        return List.of("docker-desktop", Host.name()).contains(machine);
    }
}
