package support;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * A JVM that runs the test classes that run_tests names, one after the other, and reports each result. Two of them can
 * run side by side: each has its own PostgreSQL, its own processes and its own System.out.
 */
public final class TestWorker {
    /** It warns of each symbolic link that it deletes. */
    private static final Logger TEMP_DIR = Logger.getLogger("org.junit.jupiter.engine.extension");

    private TestWorker() {}

    /**
     * {@code ended} is the whole class, {@code printed} a line that a test printed; the others are one test each, or a
     * class or method that failed or was skipped as a whole.
     */
    public enum Kind {
        passed, failed, skipped, printed, ended }

    /** @param text what was printed, or why a test failed or was skipped */
    public record Event(Kind kind, String test, String text) {}

    /**
     * @param method null for all of the class
     * @param threads that run those methods of the class that are marked as concurrent
     */
    public record Task(String className, String method, int threads) {
        public String name() {
            return className + (method == null ? "" : "#" + method);
        }

        /** Whether the class is marked to run alone. */
        public boolean isIsolated() {
            return testClass().isAnnotationPresent(Isolated.class);
        }

        public boolean isTagged(String tag) {
            return Arrays.stream(testClass().getAnnotationsByType(Tag.class))
                    .anyMatch(found -> found.value().equals(tag));
        }

        private Class<?> testClass() {
            try {
                return Class.forName(className, false, Task.class.getClassLoader());
            } catch (ClassNotFoundException e) {
                throw new IllegalArgumentException(e);
            }
        }

        public Task withThreads(int number) {
            return new Task(className, method, number);
        }
    }

    /** @param args the Unix socket that tasks come from, a line each, and that events go to */
    public static void main(String... args) throws Exception {
        TEMP_DIR.setLevel(Level.SEVERE);
        var lines = JsonLines.connect(args[0]);
        System.setOut(printing(lines)); // in the order of the events
        var tasks = new LinkedBlockingQueue<Task>();
        Thread.ofPlatform().daemon().start(() -> read(lines, tasks));
        while (true) run(tasks.take(), lines);
    }

    private static PrintStream printing(JsonLines events) {
        return new PrintStream(new ByteArrayOutputStream() {
            @Override public synchronized void flush() {
                var text = toString(StandardCharsets.UTF_8);
                var end = text.lastIndexOf('\n') + 1;
                if (end == 0) return;
                reset();
                writeBytes(text.substring(end).getBytes(StandardCharsets.UTF_8));
                text.substring(0, end).lines().forEach(line -> events.send(new Event(Kind.printed, "", line)));
            }
        }, true, StandardCharsets.UTF_8);
    }

    /** Ends the worker when run_tests ends or is killed, even in the middle of a test. */
    private static void read(JsonLines lines, LinkedBlockingQueue<Task> tasks) {
        try {
            for (Task task; (task = lines.receive(Task.class)) != null; ) tasks.add(task);
        } catch (IOException ended) {
            // as at the end of the stream
        }
        System.exit(0);
    }

    private static void run(Task task, JsonLines events) {
        LauncherFactory.create().execute(request(task), new Reporter(events));
        events.send(new Event(Kind.ended, "", ""));
    }

    private static LauncherDiscoveryRequest request(Task task) {
        var request = LauncherDiscoveryRequestBuilder.request()
                .selectors(DiscoverySelectors.selectClass(task.className))
                .configurationParameter("junit.jupiter.execution.parallel.enabled", String.valueOf(task.threads > 1))
                .configurationParameter("junit.jupiter.execution.parallel.config.strategy", "fixed")
                .configurationParameter("junit.jupiter.execution.parallel.config.fixed.parallelism", "" + task.threads)
                .configurationParameter(
                        "junit.jupiter.execution.parallel.config.fixed.max-pool-size", "" + task.threads);
        if (!Sample.ALL) request.filters(TagFilter.excludeTags(Sample.EXHAUSTIVE));
        if (task.method != null) request.filters(named(task.method));
        return request.build();
    }

    private static PostDiscoveryFilter named(String method) {
        return test -> FilterResult.includedIf(test.getSource().orElse(null) instanceof MethodSource source
                && source.getMethodName().equals(method));
    }

    private static final class Reporter implements TestExecutionListener {
        private final JsonLines events;
        private TestPlan plan;

        Reporter(JsonLines events) {
            this.events = events;
        }

        @Override public void testPlanExecutionStarted(TestPlan started) {
            plan = started;
        }

        @Override public void executionSkipped(TestIdentifier skipped, String reason) {
            report(Kind.skipped, skipped, reason);
        }

        @Override public void executionFinished(TestIdentifier finished, TestExecutionResult result) {
            switch (result.getStatus()) {
                case SUCCESSFUL -> {
                    if (finished.isTest()) report(Kind.passed, finished, "");
                }
                case ABORTED ->
                    report(Kind.skipped, finished, result.getThrowable().map(Throwable::getMessage).orElse(""));
                case FAILED ->
                    report(Kind.failed, finished, result.getThrowable().map(Reporter::trace).orElse("no exception"));
            }
        }

        private synchronized void report(Kind kind, TestIdentifier test, String text) {
            events.send(new Event(kind, name(test), text));
        }

        /** With the method's name before a parameterized test's "[1] …". */
        private String name(TestIdentifier test) {
            var parent = plan.getParent(test).orElse(null);
            var inMethod = parent != null && parent.getSource().orElse(null) instanceof MethodSource;
            return (inMethod ? name(parent) + " " : "") + test.getDisplayName();
        }

        /** The exception and its causes, each with the project's frames. */
        private static String trace(Throwable thrown) {
            var frames = Arrays.stream(thrown.getStackTrace())
                    .filter(frame -> !frame.getClassName().matches("(java|jdk|org\\.junit|org\\.postgresql)\\..*"))
                    .limit(12)
                    .map(frame -> "\n    at " + frame)
                    .collect(Collectors.joining());
            return thrown + frames + (thrown.getCause() == null ? "" : "\n  caused by " + trace(thrown.getCause()));
        }
    }
}
