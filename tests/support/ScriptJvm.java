package support;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
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
 * A JVM that runs one command after the other: a process for each would cost about a second of CPU, most of it for the
 * start. It installs no signal handlers.
 */
final class ScriptJvm {
    private static final int MOST_IDLE = 2;
    private static final Deque<ScriptJvm> IDLE = new ArrayDeque<>();

    private record Command(String script, List<String> args) {}

    /** @param folder null for any: commands have to name the project */
    private record Place(Path folder, Map<String, String> environment) {}

    private final Place place;
    private final Process process;
    private final JsonLines lines;

    private ScriptJvm(Place place) throws IOException {
        this.place = place;
        var folder = place.folder == null ? Files.createTempDirectory("scripts") : place.folder;
        var jvm = Tool.in(folder, ScriptJvm.class.getName());
        place.environment.forEach(jvm::env);
        var started = JsonLines.start(socket -> jvm.start(socket.toString()));
        process = started.process();
        lines = started.lines();
        process.getOutputStream().close();
        for (var stream : List.of(process.getInputStream(), process.getErrorStream()))
            Thread.ofPlatform().daemon().start(() -> copy(stream));
        if (place.folder == null) Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(folder)));
    }

    /** Output of the JVM or of the programs that commands start; that of the commands is in their results. */
    private static void copy(InputStream stream) {
        try {
            stream.transferTo(System.err);
        } catch (IOException ended) {
            // nothing more to copy
        }
    }

    private static void delete(Path folder) {
        try {
            for (var path : List.of(folder, folder.resolveSibling(folder.getFileName() + ".state")))
                Python.delete(path);
        } catch (IOException left) {
            // in the system's temporary folder
        }
    }

    /**
     * Runs a command in a JVM with this environment, which may have run others before.
     *
     * @param folder its working folder, or null
     */
    static Tool.Output run(Path folder, Map<String, String> environment, String script, List<String> args)
            throws IOException, InterruptedException {
        var jvm = take(new Place(folder, Map.copyOf(environment)));
        var output = jvm.run(new Command(script, args));
        release(jvm);
        return output;
    }

    private static ScriptJvm take(Place place) throws IOException {
        synchronized (IDLE) {
            for (var jvm : IDLE) if (jvm.place.equals(place) && IDLE.remove(jvm)) return jvm;
        }
        return new ScriptJvm(place);
    }

    private static void release(ScriptJvm jvm) throws IOException {
        synchronized (IDLE) {
            IDLE.addFirst(jvm);
            if (IDLE.size() > MOST_IDLE) IDLE.removeLast().lines.close(); // it ends by itself
        }
    }

    private Tool.Output run(Command command) throws IOException, InterruptedException {
        lines.send(command);
        var output = lines.receive(Tool.Output.class);
        if (output == null)
            throw new IOException(command.script + " ended its JVM with exit code " + process.waitFor());
        return output;
    }

    /** Ends with the JVM of the tests. */
    public static void main(String... args) throws Exception {
        try (var lines = JsonLines.connect(args[0])) {
            for (Command command; (command = lines.receive(Command.class)) != null; ) lines.send(execute(command));
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
