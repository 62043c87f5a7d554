package lib.process;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;

/**
 * A program to run: arguments, a folder, and environment variables, some of them secret. It is never run by a shell,
 * and has no secret in its arguments, which every user of the machine can read.
 */
public final class Program {
    /** It cannot be started. */
    public record Missing(String program) implements Problem {
        @Override public ExitCode exit() {
            return ExitCode.USAGE;
        }

        @Override public String what() {
            return program + " is not installed, or not on PATH";
        }

        @Override public List<String> next() {
            return List.of("install it, or add its folder to PATH");
        }
    }

    private static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");
    private static final Pattern CREDENTIAL = Pattern.compile("(?i)PASS|SECRET|KEY|TOKEN|CRED|SAS|AUTH");

    private final List<String> argv;
    /** The program's index in argv, after the relay's own arguments. */
    private final int at;
    /** Null for a program on this machine. */
    private final Relay relay;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private final Map<String, String> secrets = new LinkedHashMap<>();
    private final List<String> without = new ArrayList<>();
    private Path folder;
    private boolean ownSession;
    private Duration limit; // null: none

    private Program(List<String> argv, int at, Relay relay) {
        this.argv = List.copyOf(argv);
        this.at = at;
        this.relay = relay;
    }

    /** Runs a program elsewhere, for example in a container. */
    public interface Relay {
        /** How many arguments before the program are the relay's own, and not shown to people. */
        int ownArguments();

        /** @param to the stdin of the started process */
        OutputStream input(OutputStream to);

        /** @return how the program ended @param code exit code of the started process */
        Output ended(int code, String out, String err);
    }

    public static Program of(String... argv) {
        return of(List.of(argv));
    }

    public static Program of(List<String> argv) {
        return new Program(argv, 0, null);
    }

    /** The last argument is the program; those before it start the relay. */
    public static Program through(Relay relay, List<String> argv) {
        return new Program(argv, argv.size() - 1, relay);
    }

    public Program with(String... more) {
        return copy(Stream.concat(argv.stream(), Stream.of(more)).toList());
    }

    /** With another program in place of one that has no arguments yet. */
    public Program withProgram(String program) {
        return copy(Stream.concat(argv.stream().limit(argv.size() - 1), Stream.of(program)).toList());
    }

    private Program copy(List<String> argv) {
        var program = new Program(argv, at, relay).in(folder);
        program.ownSession = ownSession;
        program.limit = limit;
        program.environment.putAll(environment);
        program.secrets.putAll(secrets);
        program.without.addAll(without);
        return program;
    }

    public Program in(Path folder) {
        this.folder = folder;
        return this;
    }

    /**
     * In a session that the terminal's Ctrl-C does not reach: for programs that undo needs. Perl starts the session
     * where there is no setsid (macOS); without both, Ctrl-C reaches the program.
     */
    public Program inOwnSession() {
        ownSession = true;
        return this;
    }

    /** For {@link #run}, which kills a program that takes longer, and fails. */
    public Program timeout(Duration time) {
        limit = time;
        return this;
    }

    public Program env(String name, String value) {
        environment.put(name, value);
        return this;
    }

    /** A variable, unless it is set already, here or in this process's environment. */
    public Program envIfAbsent(String name, String value) {
        if (System.getenv(name) == null) environment.putIfAbsent(name, value);
        return this;
    }

    /** Does not inherit the variables whose names begin so. */
    public Program withoutEnv(String prefix) {
        without.add(prefix);
        return this;
    }

    /** A variable that is never shown. Null: not set. */
    public Program secret(String name, String value) {
        if (value != null) secrets.put(name, value);
        return this;
    }

    /** Variables of which any may be secret, as those of a {@code .env}. */
    public Program secrets(Map<String, String> values) {
        secrets.putAll(values);
        return this;
    }

    public String name() {
        return Path.of(argv.get(at)).getFileName().toString();
    }

    public List<String> argv() {
        return argv;
    }

    public record Output(int code, String out, String err) {}

    /** Starts it with pipes for its three streams. The caller reads, closes and ends it. */
    public Process start() {
        return start(new ProcessBuilder(argv));
    }

    /** The program's stdin. */
    public OutputStream input(Process process) {
        return relay == null ? process.getOutputStream() : relay.input(process.getOutputStream());
    }

    private Process start(ProcessBuilder builder) {
        if (ownSession && exists(argv.getFirst()))
            builder.command(Stream.concat(sessionStarter().stream(), argv.stream()).toList());
        if (folder != null) builder.directory(folder.toFile());
        builder.environment().keySet().removeIf(name -> without.stream().anyMatch(name::startsWith));
        builder.environment().putAll(environment);
        builder.environment().putAll(secrets);
        try {
            return builder.start();
        } catch (IOException e) {
            throw new Failure(new Missing(argv.getFirst()), e);
        }
    }

    private static List<String> sessionStarter() {
        return Stream.of(List.of("setsid"), List.of("perl", "-MPOSIX", "-e", "POSIX::setsid(); exec {$ARGV[0]} @ARGV"))
            .filter(starter -> exists(starter.getFirst())).findFirst().orElse(List.of());
    }

    private static boolean exists(String program) {
        return program.contains("/") ? Files.isExecutable(Path.of(program)) : onPath(program).isPresent();
    }

    /** The folders of this process's PATH. */
    public static List<Path> path() {
        return path(System.getenv());
    }

    private static List<Path> path(Map<String, String> environment) {
        return Stream.of(environment.getOrDefault("PATH", "").split(File.pathSeparator))
            .filter(folder -> !folder.isEmpty()).map(folder -> Path.of(folder).toAbsolutePath()).toList();
    }

    /** The executable with this name in the first folder of PATH that has one. */
    public static Optional<Path> onPath(String name) {
        return onPath(name, System.getenv());
    }

    /** The same with the PATH of another environment. */
    public static Optional<Path> onPath(String name, Map<String, String> environment) {
        return path(environment).stream().map(folder -> folder.resolve(fileName(name)))
            .filter(file -> Files.isRegularFile(file) && Files.isExecutable(file)).findFirst();
    }

    /** With .exe on Windows. */
    public static String fileName(String program) {
        return WINDOWS && !program.endsWith(".exe") ? program + ".exe" : program;
    }

    /** Runs it without input, and returns what it printed and its exit code. */
    public Output run() {
        return run("");
    }

    /** @param input a short text for its stdin */
    public Output run(String input) {
        var process = start();
        try (var handle = Interruption.onSignal(() -> kill(process))) {
            Interruption.check(); // a signal may have come before the handle
            var killed = new AtomicBoolean();
            if (limit != null) Thread.ofPlatform().daemon().start(() -> killLate(process, killed));
            var err = new StringBuilder();
            var reader = Thread.ofPlatform().daemon().start(() -> err.append(text(process.getErrorStream())));
            write(input, process);
            var out = text(process.getInputStream());
            reader.join();
            var output = ended(process.waitFor(), out, err.toString());
            if (killed.get()) throw Failure.failed("%s did not end within %d s".formatted(this, limit.toSeconds()))
                .next("run it by hand to see what it waits for; if the engine does not respond, restart it");
            return output;
        } catch (IOException e) {
            throw Failure.of(e);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        } finally {
            kill(process);
        }
    }

    private void killLate(Process process, AtomicBoolean killed) {
        try {
            if (process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) return;
            killed.set(true);
            kill(process);
        } catch (InterruptedException ignored) {
            // nothing interrupts this thread
        }
    }

    /** How the program ended. @param code exit code of the started process */
    public Output ended(int code, String out, String err) {
        return relay == null ? new Output(code, out, err) : relay.ended(code, out, err);
    }

    /** As {@link #run}. @throws Failure with its stderr, when the exit code is not 0 */
    public String output() {
        var output = run();
        if (output.code() != 0) throw failed(name(), output.code(), output.err());
        return output.out();
    }

    /** @param message what it printed */
    public static Failure failed(String program, int code, String message) {
        var details = message.isBlank() ? "" : ":\n" + message.strip().indent(2).stripTrailing();
        return Failure.failed(program + " failed with exit code " + code + details);
    }

    /** For programs that ask the user: gives it the terminal, and returns its exit code. */
    public int interactive() {
        Interruption.check();
        var process = start(new ProcessBuilder(argv).inheritIO());
        try (var handle = Interruption.onSignal(() -> killAfterSecond(process))) {
            return process.waitFor();
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    /** Ctrl-C reaches the program too, which then restores the terminal. SIGTERM reaches only this process. */
    private static void killAfterSecond(Process process) {
        try {
            if (!process.waitFor(1, TimeUnit.SECONDS)) kill(process);
        } catch (InterruptedException ignored) {
            kill(process);
        }
    }

    /**
     * The text without the values of secret variables whose names are those of credentials. Values of up to four
     * characters stay: "true" is not a secret.
     */
    public String redact(String text) {
        var values = secrets.entrySet().stream().filter(e -> CREDENTIAL.matcher(e.getKey()).find())
            .map(Map.Entry::getValue).filter(value -> value != null && value.length() > 4)
            .sorted(Comparator.comparing(String::length).reversed()).toList();
        for (var value : values) text = text.replace(value, "***");
        return text;
    }

    /** Ends a process and all that it started. */
    public static void kill(Process process) {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    private void write(String input, Process process) throws IOException {
        try (var in = input(process)) {
            in.write(input.getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            if (input.isEmpty() && relay == null) throw e; // else it ended without reading: the exit code is enough
        }
    }

    private static String text(InputStream in) {
        try {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException ignored) { // closed, because it was killed
            return "";
        }
    }

    /** The command without the environment and the relay's own arguments. */
    @Override public String toString() {
        if (relay == null) return String.join(" ", argv);
        var before = argv.subList(0, at - relay.ownArguments());
        return String.join(" ", Stream.concat(before.stream(), argv.stream().skip(at)).toList());
    }
}
