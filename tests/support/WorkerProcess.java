package support;

import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import support.TestWorker.Event;
import support.TestWorker.Task;

/** A {@link TestWorker}, for run_tests. */
public final class WorkerProcess implements AutoCloseable {
    private static final long SILENT_MINUTES = 20;
    private static final ScheduledExecutorService WATCH = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().factory());

    private final Process process;
    private final JsonLines lines;

    private WorkerProcess(JsonLines.Connected worker) {
        process = worker.process();
        lines = worker.lines();
    }

    /** @param printed receives each line of stdout and stderr, of the tests and the programs that they start */
    public static WorkerProcess start(boolean all, long seed, Consumer<String> printed) throws IOException {
        return new WorkerProcess(JsonLines.start(socket -> {
            var builder = new ProcessBuilder(command(all, seed, socket))
                    .redirectInput(new File("/dev/null"))
                    .redirectErrorStream(true);
            builder.environment().put("JBANGW_CALL", "reset_migrations"); // as in Tool
            var process = builder.start();
            Runtime.getRuntime().addShutdownHook(new Thread(process::destroy));
            Thread.ofPlatform().daemon().start(() -> process.inputReader().lines().forEach(printed));
            return process;
        }));
    }

    private static List<String> command(boolean all, long seed, Path socket) throws IOException {
        var command = new ArrayList<>(ignoresInterrupts() ? List.of("env", "--default-signal=INT") : List.<String>of());
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(List.of("-D" + Sample.ALL_PROPERTY + "=" + all, "-D" + Sample.SEED_PROPERTY + "=" + seed));
        command.addAll(
                List.of("-cp", System.getProperty("java.class.path"), TestWorker.class.getName(), socket.toString()));
        return command;
    }

    /** A shell makes its background jobs ignore Ctrl-C, and their processes inherit that; some tests send it. */
    private static boolean ignoresInterrupts() throws IOException {
        var status = Path.of("/proc/self/status");
        if (!Files.exists(status)) return false;
        var ignored = Files.readAllLines(status).stream()
                .filter(line -> line.startsWith("SigIgn:"))
                .findFirst()
                .orElseThrow();
        return (Long.parseLong(ignored.replaceAll(".*\\s", ""), 16) & 2) != 0;
    }

    /**
     * Runs a class to its end.
     *
     * @throws IOException the worker ended too early, or was killed because no test has ended for twenty minutes
     */
    public void run(Task task, Consumer<Event> report) throws IOException {
        lines.send(task);
        while (true) {
            var silent = WATCH.schedule(this::end, SILENT_MINUTES, TimeUnit.MINUTES);
            var event = lines.receive(Event.class);
            if (event == null)
                throw new IOException(
                        silent.isDone() ? "no test has ended for " + SILENT_MINUTES + " minutes" : "the JVM has ended");
            silent.cancel(false);
            report.accept(event);
            if (event.kind() == TestWorker.Kind.ended) return;
        }
    }

    /** With a thread dump on its stdout first. */
    private void end() {
        try {
            new ProcessBuilder("kill", "-QUIT", "" + process.pid()).start().waitFor();
            process.waitFor(5, TimeUnit.SECONDS);
        } catch (IOException | InterruptedException noDump) {
            // it ends without one
        }
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    /** Its PostgreSQL stops with it. */
    @Override public void close() throws IOException, InterruptedException {
        lines.close();
        if (!process.waitFor(1, TimeUnit.MINUTES)) end();
    }
}
