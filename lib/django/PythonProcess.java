package lib.django;

import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.Database;
import lib.process.Program;

/**
 * The Python process with the driver, whose files are beside this class. A line of standard output that begins with the
 * token is a reply; any other line is noise. Not for several threads.
 */
final class PythonProcess {
    private static final List<String> DRIVER = List.of("conversation", "describe", "generate", "migrate", "otherapps",
            "runsql", "unwritable");
    private static final int KEPT_LINES = 200;
    private static final int SHOWN_LINES = 12;
    private static final int LONGEST_NOISE = 1 << 20; // characters of a line
    private static final Duration GRACE = Duration.ofSeconds(1); // for the last lines of an ended process
    private static final String END = "";

    private final PythonCommand python;
    private final String token;
    private final Process process;
    private final Writer input;
    /** A separate thread, because the process may not read. */
    private final ExecutorService writer = Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().factory());
    private final LinkedBlockingQueue<String> replies = new LinkedBlockingQueue<>();
    private final ArrayDeque<String> errorLines = new ArrayDeque<>();
    private final Thread errorReader;
    private volatile List<String> secrets = List.of();
    private volatile long lastSign = System.nanoTime();
    private Duration silenceLimit = Duration.ofSeconds(300);

    /** Starts it; returns at once. The driver is not in an argument: a container's record shows these. */
    PythonProcess(PythonCommand python, String token) {
        this.python = python;
        this.token = token;
        process = python.start().with("-c", source("boot")).env("PYTHONDONTWRITEBYTECODE", "1")
                .env("PYTHONUNBUFFERED", "1").env("PGAPPNAME", Database.APPLICATION).start();
        input = new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8);
        errorReader = Thread.ofPlatform().daemon().start(this::readErrors);
        Thread.ofPlatform().daemon().start(this::readReplies);
        var sources = DRIVER.stream().collect(Collectors.toMap(name -> name, PythonProcess::source));
        var driver = new Gson().toJson(sources);
        write("%08d%s".formatted(driver.getBytes(StandardCharsets.UTF_8).length, driver)); // as boot.py expects it
    }

    private static String source(String name) {
        try (var in = PythonProcess.class.getResourceAsStream(name + ".py")) {
            if (in == null)
                throw new IllegalStateException("lib/django/" + name + ".py is missing from the built program");
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void silenceLimit(Duration limit) {
        silenceLimit = limit;
    }

    /** From now on these are masked in its standard error. @param values the longest first */
    void mask(List<String> values) {
        secrets = values;
    }

    boolean isAlive() {
        return process.isAlive();
    }

    void kill() {
        Program.kill(process);
    }

    void write(String text) {
        lastSign = System.nanoTime();
        inOrder(() -> {
            input.write(text);
            input.flush();
            return null;
        });
    }

    /**
     * The next reply, without the token.
     *
     * @throws Failure it has ended, or it printed nothing for too long and was killed
     */
    String reply(String doing) {
        try {
            var alive = System.nanoTime();
            while (true) {
                var reply = replies.poll(100, TimeUnit.MILLISECONDS);
                if (reply != null && reply.equals(END)) throw ended(doing);
                if (reply != null) return reply;
                if (process.isAlive()) alive = System.nanoTime();
                else if (System.nanoTime() - alive > GRACE.toNanos()) replies.add(END); // a child keeps its output open
                if (System.nanoTime() - lastSign > silenceLimit.toNanos()) {
                    kill();
                    throw new Failure(new DjangoProblem.NoOutput(doing, silenceLimit.toSeconds(), tail()));
                }
            }
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    private Failure ended(String doing) throws InterruptedException {
        replies.add(END); // for the next request
        errorReader.join(GRACE);
        if (python.container() != null && lastErrorLines().contains(PythonCommand.NO_PYTHON))
            return Failure.usage("the container of service " + python.container().service() + " has no Python")
                    .next("name the service with Django: --app-service", "or say where its Python is: --python");
        return new Failure(new DjangoProblem.PythonEnded(doing, tail()));
    }

    /** Kills the process, because what follows a malformed reply cannot be trusted either. */
    Failure malformed(String doing) {
        kill();
        return new Failure(new DjangoProblem.MalformedReply(doing, tail()));
    }

    /** The last lines of its standard error, secrets masked. */
    List<String> lastErrorLines() {
        synchronized (errorLines) {
            return errorLines.stream().map(this::masked).toList();
        }
    }

    private List<String> tail() {
        var all = lastErrorLines();
        return all.subList(Math.max(0, all.size() - SHOWN_LINES), all.size());
    }

    /** As the driver does it: a short secret only where it is a whole word. */
    private String masked(String line) {
        for (var secret : secrets) {
            var pattern = Pattern.quote(secret);
            line = line.replaceAll(secret.length() > 5 ? pattern : "(?<!\\w)" + pattern + "(?!\\w)", "***");
        }
        return line;
    }

    /** Ends its standard input, and with it the process; what is uncommitted is rolled back. Kills its children. */
    void close() {
        var children = process.descendants().toList(); // of an ended process they are unknown
        inOrder(() -> {
            input.close();
            return null;
        });
        writer.shutdown();
        try {
            if (!process.waitFor(3, TimeUnit.SECONDS)) kill();
        } catch (InterruptedException e) {
            kill();
        }
        children.forEach(ProcessHandle::destroyForcibly);
    }

    /** Ignores exceptions: that the process has ended is known by the end of its output. */
    private void inOrder(Callable<Void> writing) {
        if (!writer.isShutdown()) writer.submit(writing);
    }

    // ---- reading -----------------------------------------------------------------------------

    private void readReplies() {
        read(process.getInputStream(), token, line -> {
            if (line.startsWith(token + " ")) replies.add(line.substring(token.length() + 1));
        });
        replies.add(END);
    }

    private void readErrors() {
        read(process.getErrorStream(), null, line -> {
            if (python.container() != null && python.container().noise().test(line)) return;
            synchronized (errorLines) {
                errorLines.add(line);
                if (errorLines.size() > KEPT_LINES) errorLines.removeFirst();
            }
        });
    }

    private void read(InputStream stream, String whole, Consumer<String> use) {
        try (var reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
            for (String line; (line = line(reader, whole)) != null; use.accept(line)) lastSign = System.nanoTime();
        } catch (IOException ignored) {
            // killed
        }
    }

    /** The next line. One that does not begin with {@code whole} is cut, because a project may print without end. */
    private String line(BufferedReader reader, String whole) throws IOException {
        var line = new StringBuilder();
        int c, read = 0;
        for (var all = false; (c = reader.read()) >= 0 && c != '\n'; ) {
            if (whole != null && line.length() == whole.length()) all = line.indexOf(whole) == 0;
            if ((++read & 0xffff) == 0) lastSign = System.nanoTime();
            if (all || line.length() < LONGEST_NOISE) line.append((char) c);
        }
        if (c < 0 && line.isEmpty()) return null;
        if (!line.isEmpty() && line.charAt(line.length() - 1) == '\r') line.setLength(line.length() - 1);
        return line.toString();
    }
}
