package lib.docker;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.LockOwner;
import lib.process.Program;

/**
 * Which Compose answers here, and how it and its engine are called. DOCKER_HOST and contexts are those of our own environment.
 *
 * @param compose how a Compose command begins: the program by absolute path, and {@code compose} where that is a subcommand
 * @param engine  how a command of the engine's own begins
 * @param version as Compose says it, without a leading v
 * @param folder  the project's root: Compose looks for its files here, and for overrides, COMPOSE_FILE, {@code .env} and profiles
 */
public record Composer(List<String> compose, List<String> engine, String version, Path folder) {
    /** More than a container is ever given to stop. */
    private static final Duration PATIENCE = Duration.ofMinutes(5);
    /** cron's PATH is short. */
    private static final List<String> PLACES = List.of("/usr/local/bin", "/usr/bin", "/bin", "/snap/bin", "/opt/homebrew/bin", "/opt/local/bin",
            "/Applications/Docker.app/Contents/Resources/bin", "C:\\Program Files\\Docker\\Docker\\resources\\bin");
    private static final List<String> PLACES_AT_HOME = List.of(".docker/bin", ".rd/bin", ".orbstack/bin", ".local/bin", "bin");

    /** @throws Failure none answers */
    public static Composer find(Path folder, Map<String, String> environment) {
        return look(folder, environment).orElseThrow(() -> new Failure(new Problem.NoCompose(program("docker", environment).isPresent())));
    }

    /** The first that answers of {@code docker compose} (v2), {@code docker-compose} (v1) and {@code podman compose}. */
    public static Optional<Composer> look(Path folder, Map<String, String> environment) {
        var root = folder.toAbsolutePath().normalize();
        return Stream.of("docker", "docker-compose", "podman").flatMap(name -> answering(name, root, environment).stream()).findFirst();
    }

    /** An old docker has no such subcommand, or takes {@code --short} for its own option: both are exit codes. */
    private static Optional<Composer> answering(String name, Path root, Map<String, String> environment) {
        var alone = name.equals("docker-compose");
        var program = program(name, environment);
        var engine = alone ? program("docker", environment) : program; // without it there is no exec
        if (program.isEmpty() || engine.isEmpty()) return Optional.empty();
        try {
            var compose = alone ? List.of(program.get()) : List.of(program.get(), "compose");
            var said = Program.of(compose).with("version", "--short").run();
            var version = said.out().strip().replaceFirst("^v", "");
            // podman may hand over to podman-compose (1.x), which neither resolves its configuration nor reads every file
            return said.code() == 0 && version.matches(name.equals("podman") ? "([2-9]|\\d\\d)\\.\\S*" : "\\d\\S*") ? Optional.of(new Composer(compose, List.of(engine.get()), version, root)) : Optional.empty();
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.ProgramMissing) return Optional.empty();
            throw failure;
        }
    }

    /** The one that the user's shell would start, else the first in the usual places. */
    private static Optional<String> program(String name, Map<String, String> environment) {
        var home = environment.getOrDefault("HOME", "");
        return Stream.of(Stream.of(environment.getOrDefault("PATH", "").split(File.pathSeparator)).filter(folder -> !folder.isEmpty()), PLACES.stream(),
                        PLACES_AT_HOME.stream().filter(place -> !home.isEmpty()).map(place -> home + "/" + place))
                .flatMap(folders -> folders).map(folder -> Path.of(folder).toAbsolutePath().resolve(Program.fileName(name)))
                .filter(file -> Files.isRegularFile(file) && Files.isExecutable(file)).map(Path::toString).findFirst();
    }

    // ---- calling it --------------------------------------------------------------------------

    /** Runs in the project's root without {@code -f}: what belongs to the project is Compose's to find. */
    public Program compose(String... arguments) {
        // v2 takes the project's name from the folder as PWD has it, links included, as it does in the user's own shell.
        return Program.of(compose).with(arguments).in(folder).env("PWD", folder.toString());
    }

    /** Runs it, and returns what it printed. @throws Failure with Compose's words, which may quote {@code .env}, made harmless */
    public String done(String... arguments) {
        var asked = compose(arguments).inOwnSession(); // putting back needs it, also after a second Ctrl-C
        if (!arguments[0].equals("up")) asked.timeout(PATIENCE); // which may load an image first
        var output = asked.run();
        if (output.code() != 0) throw new Failure(new Problem.ProgramFailed(describe() + " " + arguments[0], output.code(), ComposeConfig.words(this, output)));
        return output.out();
    }

    /** {@code docker …} or {@code podman …}. An engine that hangs must not hold up cron, nor whoever pressed Ctrl-C, for ever. */
    public Program engine(String... arguments) {
        return Program.of(engine).with(arguments).in(folder).timeout(PATIENCE);
    }

    public boolean v1() {
        return version.startsWith("1.");
    }

    /** "docker compose", as people type it. */
    public String command() {
        var name = Path.of(compose.getFirst()).getFileName();
        return compose.size() == 1 ? name.toString() : name + " compose";
    }

    /** "docker" or "podman". */
    public String engineName() {
        return Path.of(engine.getFirst()).getFileName().toString();
    }

    /** "docker compose 2.26.1", for the plan. */
    public String describe() {
        return command() + " " + version;
    }

    // ---- its engine --------------------------------------------------------------------------

    /** Why the engine does not answer: it does not run, we may not talk to it, or what it says itself. */
    public Optional<Problem> engineProblem() {
        var asked = engine("version", "--format", "{{.Server.Version}}");
        var said = asked.run();
        return said.code() == 0 ? Optional.empty() : Optional.of(Problem.EngineSaid.of(asked.name(), said.err().isBlank() ? said.out() : said.err()));
    }

    /** False where the engine is another machine's: then published ports are there, not here. */
    public boolean engineIsLocal() {
        var context = engine("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").run(); // says DOCKER_HOST where that is set
        return context.code() != 0 || isLocal(context.out().strip(), () -> engine("info", "--format", "{{.Name}}").run().out().strip());
    }

    /** @param name of the engine's machine: loopback may be the near end of {@code ssh -L} */
    static boolean isLocal(String host, Supplier<String> name) {
        if (host.isEmpty() || host.matches("(?i)(unix|npipe|fd)://.*")) return true;
        return host.matches("(?i)tcp://(localhost|127\\.[\\d.]+|\\[::1])(:\\d+)?/?") && List.of("docker-desktop", LockOwner.hostName()).contains(name.get());
    }
}
