package support;

import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import lib.cli.Cli;

/**
 * A JVM that runs one command after the other: a process for each would cost about a second of CPU, most of it for the start.
 * It installs no signal handlers.
 */
final class ScriptJvm {
    private static final Gson JSON = new Gson();
    private static final int MOST_IDLE = 2;
    private static final Deque<ScriptJvm> IDLE = new ArrayDeque<>();

    private record Command(String script, List<String> args) {}

    /** @param folder null for any: commands have to name the project */
    private record Place(Path folder, Map<String, String> environment) {}

    private final Place place;
    private final Process process;
    private final BufferedReader answers;

    private ScriptJvm(Place place) throws IOException {
        this.place = place;
        var folder = place.folder == null ? Files.createTempDirectory("scripts") : place.folder;
        var jvm = Tool.in(folder, ScriptJvm.class.getName());
        place.environment.forEach(jvm::env);
        process = jvm.start();
        answers = process.inputReader(StandardCharsets.UTF_8);
        var errors = process.getErrorStream();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                errors.transferTo(System.err);
            } catch (IOException ended) {
                // nothing more to copy
            }
        });
        if (place.folder == null) Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(folder)));
    }

    private static void delete(Path folder) {
        try {
            for (var path : List.of(folder, folder.resolveSibling(folder.getFileName() + ".state"))) Python.delete(path);
        } catch (IOException left) {
            // in the system's temporary folder
        }
    }

    /**
     * Runs a command in a JVM with this environment, which may be one that has already run others.
     *
     * @param folder its working folder, or null
     */
    static Tool.Output run(Path folder, Map<String, String> environment, String script, List<String> args) throws IOException, InterruptedException {
        var jvm = take(new Place(folder, Map.copyOf(environment)));
        var output = jvm.run(new Command(script, args));
        release(jvm);
        return output;
    }

    private static ScriptJvm take(Place place) throws IOException {
        synchronized (IDLE) {
            for (var jvm : IDLE)
                if (jvm.place.equals(place) && IDLE.remove(jvm)) return jvm;
        }
        return new ScriptJvm(place);
    }

    private static void release(ScriptJvm jvm) {
        synchronized (IDLE) {
            IDLE.addFirst(jvm);
            if (IDLE.size() > MOST_IDLE) IDLE.removeLast().process.destroy();
        }
    }

    private Tool.Output run(Command command) throws IOException, InterruptedException {
        process.getOutputStream().write((JSON.toJson(command) + "\n").getBytes(StandardCharsets.UTF_8));
        process.getOutputStream().flush();
        var answer = answers.readLine();
        if (answer == null) throw new IOException(command.script + " ended its JVM with exit code " + process.waitFor());
        return JSON.fromJson(answer, Tool.Output.class);
    }

    /** Ends with its input, so with the JVM of the tests. */
    public static void main(String... none) throws Exception {
        var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var answers = System.out;
        for (String line; (line = commands.readLine()) != null; ) {
            var command = JSON.fromJson(line, Command.class);
            answers.println(JSON.toJson(execute(command)));
            answers.flush();
        }
    }

    private static Tool.Output execute(Command command) throws ReflectiveOperationException {
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        var script = Class.forName(command.script).getDeclaredConstructor();
        script.setAccessible(true);
        var code = Cli.commandLine(script.newInstance()).execute(command.args.toArray(String[]::new));
        return new Tool.Output(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }
}
