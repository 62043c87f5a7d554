package lib.process;

import java.io.File;
import java.io.IOException;
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
import lib.error.Failure;
import lib.error.Problem;

/**
 * A program to run: argv, a folder, and environment variables of which some are secret. Never a shell, never a secret
 * in argv: argv is what every user of the machine can read.
 */
public final class Program {
    private static final boolean WINDOWS = System.getProperty("os.name").startsWith("Windows");
    private static final Pattern CREDENTIAL = Pattern.compile("(?i)PASS|SECRET|KEY|TOKEN|CRED|SAS|AUTH");

    private final List<String> argv;
    /** The index of the program itself in argv: what is before it is the relay's. */
    private final int at;
    /** Null for a program on this machine. */
    private final Relay relay;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private final Map<String, String> secrets = new LinkedHashMap<>();
    private final List<String> without = new ArrayList<>();
    private Path folder;
    private boolean ownSession;
    private Duration limit; // null: as long as it takes

    private Program(List<String> argv, int at, Relay relay) {
        this.argv = List.copyOf(argv);
        this.at = at;
        this.relay = relay;
    }

    /** Takes a program to where it runs when that is not this machine: into a container, for example. */
    public interface Relay {
        /** How many words of argv before the program are the relay's own, not shown to people. */
        int ownWords();

        /** @param to the stdin of the process that was started */
        OutputStream input(OutputStream to);

        /** How the program ended, from how the process ended that was started. */
        Output ended(int code, String out, String err);
    }

    public static Program of(String... argv) {
        return of(List.of(argv));
    }

    public static Program of(List<String> argv) {
        return new Program(argv, 0, null);
    }

    /** The last word of argv is the program; the words before it start the relay. */
    public static Program through(Relay relay, List<String> argv) {
        return new Program(argv, argv.size() - 1, relay);
    }

    public Program with(String... more) {
        var all = new ArrayList<>(argv);
        all.addAll(List.of(more));
        return copy(all);
    }

    /** With another last word of argv: what lies beside a program that has no arguments yet. */
    public Program withLastWord(String word) {
        var all = new ArrayList<>(argv.subList(0, argv.size() - 1));
        all.add(word);
        return copy(all);
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
     * In a session of its own, where the terminal's Ctrl-C does not reach it: for what is needed to put things back. Perl starts
     * the session where there is no setsid (macOS); without both, Ctrl-C reaches the program.
     */
    public Program inOwnSession() {
        ownSession = true;
        return this;
    }

    /** For {@link #run}: a program that takes longer is stopped, and run fails. */
    public Program timeout(Duration time) {
        limit = time;
        return this;
    }

    public Program env(String name, String value) {
        environment.put(name, value);
        return this;
    }

    /** A variable for when neither we nor this process's environment has it. */
    public Program envIfAbsent(String name, String value) {
        if (System.getenv(name) == null) environment.putIfAbsent(name, value);
        return this;
    }

    /** Inherits no variable whose name begins so. */
    public Program withoutEnv(String prefix) {
        without.add(prefix);
        return this;
    }

    /** A variable that must never be shown; a null value is left out. */
    public Program secret(String name, String value) {
        if (value != null) secrets.put(name, value);
        return this;
    }

    /** Many variables, any of which may be secret: what a {@code .env} holds. */
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

    /** What a finished program printed. */
    public record Output(int code, String out, String err) {}

    /** Starts it with pipes on all three streams; the caller reads them and closes. */
    public Process start() {
        return start(new ProcessBuilder(argv));
    }

    /** Where to write what it reads; closing ends its input. */
    public OutputStream input(Process process) {
        return relay == null ? process.getOutputStream() : relay.input(process.getOutputStream());
    }

    private Process start(ProcessBuilder builder) {
        if (ownSession && isThere(argv.getFirst()))
            builder.command(Stream.concat(sessionStarter().stream(), argv.stream()).toList());
        if (folder != null) builder.directory(folder.toFile());
        builder.environment().keySet().removeIf(name -> without.stream().anyMatch(name::startsWith));
        builder.environment().putAll(environment);
        builder.environment().putAll(secrets);
        try {
            return builder.start();
        } catch (IOException e) {
            throw new Failure(new ProgramMissing(argv.getFirst()), e);
        }
    }

    private static List<String> sessionStarter() {
        return Stream.of(List.of("setsid"), List.of("perl", "-MPOSIX", "-e", "POSIX::setsid(); exec {$ARGV[0]} @ARGV"))
            .filter(starter -> isThere(starter.getFirst())).findFirst().orElse(List.of());
    }

    private static boolean isThere(String program) {
        return program.contains("/") ? Files.isExecutable(Path.of(program)) : onPath(program).isPresent();
    }

    /** The folders of this process's PATH. */
    public static List<Path> path() {
        return path(System.getenv());
    }

    private static List<Path> path(Map<String, String> environment) {
        return Stream.of(environment.getOrDefault("PATH", "").split(File.pathSeparator))
                .filter(folder -> !folder.isEmpty())
                .map(folder -> Path.of(folder).toAbsolutePath())
                .toList();
    }

    /** The executable of that name in the first folder of PATH that has one. */
    public static Optional<Path> onPath(String name) {
        return onPath(name, System.getenv());
    }

    /** The same with the PATH of another environment. */
    public static Optional<Path> onPath(String name, Map<String, String> environment) {
        return path(environment).stream().map(folder -> folder.resolve(fileName(name)))
            .filter(file -> Files.isRegularFile(file) && Files.isExecutable(file)).findFirst();
    }

    /** The file name of a program: with .exe on Windows. */
    public static String fileName(String program) {
        return WINDOWS && !program.endsWith(".exe") ? program + ".exe" : program;
    }

    /** Runs it to its end without input and returns what it printed, whatever its exit code. */
    public Output run() {
        return run("");
    }

    /** As {@link #run()}, with a short text on its stdin. */
    public Output run(String input) {
        var process = start();
        try (var handle = Interruption.onSignal(() -> kill(process))) {
            Interruption.check(); // a signal may have come in between
            var late = new AtomicBoolean();
            if (limit != null) Thread.ofPlatform().daemon().start(() -> endLate(process, late));
            var err = new StringBuilder();
            var reader = Thread.ofPlatform().daemon().start(() -> err.append(text(process.getErrorStream())));
            give(process, input);
            var out = text(process.getInputStream());
            reader.join();
            var output = ended(process.waitFor(), out, err.toString());
            if (late.get()) throw Failure.failed("no end within %d s: %s".formatted(limit.toSeconds(), this))
                .next("run it by hand to see what it waits for; an engine that hangs has to be started again");
            return output;
        } catch (IOException e) {
            throw Failure.of(e);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        } finally {
            kill(process);
        }
    }

    private void endLate(Process process, AtomicBoolean late) {
        try {
            if (process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) return;
            late.set(true);
            kill(process);
        } catch (InterruptedException never) {
            // nobody knows of this thread
        }
    }

    /** How it ended, from how the process did that we have started. */
    Output ended(int code, String out, String err) {
        return relay == null ? new Output(code, out, err) : relay.ended(code, out, err);
    }

    /** Like {@link #run}, but anything except exit code 0 is a failure that carries what it said on stderr. */
    public String output() {
        var output = run();
        if (output.code() != 0) throw new Failure(new Problem.ProgramFailed(name(), output.code(), output.err()));
        return output.out();
    }

    /** Hands the terminal over and returns the exit code: for programs that ask the user themselves. */
    public int interactive() {
        Interruption.check();
        var process = start(new ProcessBuilder(argv).inheritIO());
        try (var handle = Interruption.onSignal(() -> endAfterAll(process))) {
            return process.waitFor();
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    /** Ctrl-C reaches it without us, and it knows best how to leave the terminal; SIGTERM reaches us alone. */
    private static void endAfterAll(Process process) {
        try {
            if (!process.waitFor(1, TimeUnit.SECONDS)) kill(process);
        } catch (InterruptedException atOnce) {
            kill(process);
        }
    }

    /**
     * The text without the values of secret variables that are credentials by their names. Values of up to four characters stay:
     * "true" is not a secret.
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

    private void give(Process process, String input) throws IOException {
        try (var in = input(process)) {
            in.write(input.getBytes(StandardCharsets.UTF_8));
        } catch (IOException notWanted) {
            if (input.isEmpty() && relay == null) throw notWanted; // else it ended without reading: its exit code tells
        }
    }

    private static String text(java.io.InputStream in) {
        try {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException closedWhenKilled) {
            return "";
        }
    }

    /** What a person would type: without the relay's own words. */
    List<String> shown() {
        if (relay == null) return argv;
        var typed = new ArrayList<>(argv.subList(0, at - relay.ownWords()));
        typed.addAll(argv.subList(at, argv.size()));
        return typed;
    }

    /** The command as it can be shown: without any environment. */
    @Override
    public String toString() {
        return String.join(" ", shown());
    }
}
