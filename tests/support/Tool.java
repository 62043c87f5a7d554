package support;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A script in its own process, as users run it, but with the test run's classes instead of JBang's. */
public final class Tool {
    private final String script;
    private final Path folder;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private List<String> starter = List.of();
    private Reuse reuse = Reuse.NONE;

    private enum Reuse { NONE, HERE, ANYWHERE }

    /** What it printed and how it ended. */
    public record Output(int code, String out, String err) {
        public String all() {
            return out + err;
        }

        /** Whether it printed this, where a terminal's width may have broken the line. */
        public boolean says(String words) {
            return all().contains(words) || flat(all()).contains(flat(words));
        }

        private static String flat(String text) {
            return text.replaceAll("\\s+", " ");
        }

        /** It ended with exit code 0. */
        public Output done() {
            return ended(0);
        }

        /** It ended with this exit code, and printed all of these texts. */
        public Output ended(int expected, String... words) {
            assertEquals(expected, code, all());
            for (var word : words) assertTrue(says(word), () -> "not said: " + word + "\n" + all());
            return this;
        }
    }

    private Tool(String script, Path folder) {
        this.script = script;
        this.folder = folder;
    }

    /** A program on PATH. */
    public static boolean isInstalled(String program) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }

    public static Tool in(Path folder, String script) {
        return new Tool(script, folder);
    }

    public Tool env(String name, String value) {
        environment.put(name, value);
        return this;
    }

    /** Started by another program: {@code setsid}, {@code setpriv …}. */
    public Tool by(String... program) {
        starter = List.of(program);
        return this;
    }

    /**
     * {@link #run} uses a JVM that may have run other commands before. For tests that need neither a new process nor a
     * working folder: the folder is passed as {@code --project}, which messages repeat.
     */
    public Tool warm() {
        reuse = Reuse.ANYWHERE;
        return this;
    }

    /** {@link #run} uses a JVM that may have run other commands in this folder before. */
    public Tool warmHere() {
        reuse = Reuse.HERE;
        return this;
    }

    /** The command line, for another program to start. */
    public List<String> command(String... args) throws IOException {
        var command = new ArrayList<>(starter);
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(runtimeOptions(script));
        if (System.getProperty("repo") != null) command.add("-Drepo=" + System.getProperty("repo"));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), script));
        command.addAll(List.of(args));
        return command;
    }

    public Process start(String... args) throws IOException {
        return start(command(args));
    }

    /** Any command, in the folder and with the environment of the script. */
    public Process start(List<String> command) throws IOException {
        var builder = new ProcessBuilder(command).directory(folder.toFile());
        builder.environment()
                .keySet()
                .removeIf(name -> name.matches(
                        "(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|VIRTUAL_ENV|PYTHONHOME|NO_COLOR|BACKUP_).*"));
        // the second copies of runs must not be among the user's
        builder.environment()
                .put(
                        "XDG_STATE_HOME",
                        folder.resolveSibling(folder.getFileName() + ".state").toAbsolutePath().toString());
        builder.environment().put("JBANGW_CALL", "reset_migrations"); // or messages name this JVM's class path
        builder.environment().putAll(environment);
        return builder.start();
    }

    /** The options that JBang passes to the JVM; all scripts but one are built on reset_migrations. */
    private static List<String> runtimeOptions(String script) throws IOException {
        var options = new ArrayList<String>();
        for (var source : script.equals("backup_database")
                ? List.of("lib/Lib.java")
                : List.of("reset_migrations.java", "lib/Lib.java"))
            Files.readAllLines(Repo.root().resolve(source)).stream()
                    .filter(line -> line.startsWith("//RUNTIME_OPTIONS "))
                    .flatMap(line -> Stream.of(line.split(" ")).skip(1))
                    .forEach(options::add);
        return options;
    }

    public Output run(String... args) throws IOException, InterruptedException {
        return switch (starter.isEmpty() ? reuse : Reuse.NONE) {
            case NONE -> end(start(args));
            case HERE -> ScriptJvm.run(folder, environment, script, List.of(args));
            case ANYWHERE ->
                ScriptJvm.run(null, environment, script,
                        Stream.concat(Stream.of(args), Stream.of("--project", folder.toString())).toList());
        };
    }

    /** Reads all that it prints until it ends. */
    public Output end(Process process) throws IOException, InterruptedException {
        process.getOutputStream().close();
        var err = new StringBuilder();
        var reader = Thread.ofPlatform().start(() -> err.append(read(process.getErrorStream())));
        var out = read(process.getInputStream());
        reader.join();
        if (!process.waitFor(1, TimeUnit.MINUTES)) throw new IOException(script + " does not end");
        return new Output(process.exitValue(), out, err.toString());
    }

    private static String read(java.io.InputStream in) {
        try {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "(" + e + ")";
        }
    }
}
