package lib.django;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.Database;
import lib.process.Program;

/**
 * A Python process and its streams. A line of its standard output that begins with the token is a reply; all else there
 * is noise. Not for several threads.
 */
final class PythonProcess {
    private static final int KEPT_LINES = 200;
    private static final int SHOWN_LINES = 12;
    private static final int LONGEST_NOISE = 1 << 20; // characters of a line
    private static final Duration GRACE = Duration.ofSeconds(1); // for the last lines of a process that has ended
    private static final String END = "";

    private final PythonCommand python;
    private final String token;
    private final Process process;
    private final Writer input;
    /** Nobody waits for a process that does not read. */
    private final ExecutorService writer = Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().factory());
    private final LinkedBlockingQueue<String> replies = new LinkedBlockingQueue<>();
    private final ArrayDeque<String> errorLines = new ArrayDeque<>();
    private final Thread errorReader;
    private volatile List<String> secrets = List.of();
    private volatile long lastSign = System.nanoTime();
    private Duration silenceLimit = Duration.ofSeconds(300);

    /** Starts it; returns at once. */
    PythonProcess(PythonCommand python, String program, String token) {
        this.python = python;
        this.token = token;
        process = python.start().with("-c", program).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1")
                .env("PGAPPNAME", Database.APPLICATION).start();
        input = new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8);
        errorReader = Thread.ofPlatform().daemon().start(this::readErrors);
        Thread.ofPlatform().daemon().start(this::readReplies);
    }

    void silenceLimit(Duration limit) {
        silenceLimit = limit;
    }

    /** Longest first: from now on these are masked in what it wrote to standard error. */
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
        });
    }

    /**
     * The next reply, without the token.
     *
     * @throws Failure it has ended, or has said nothing for too long and was killed
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
        replies.add(END); // for whoever asks next
        errorReader.join(GRACE);
        if (python.container() != null && lastErrorLines().contains(PythonCommand.NO_PYTHON))
            return Failure.usage("the container of service " + python.container().service() + " has no Python")
                    .next("name the service with Django: --app-service", "or say where its Python is: --python");
        return new Failure(new DjangoProblem.PythonEnded(doing, tail()));
    }

    /** What follows a malformed reply cannot be trusted either, so the process is killed. */
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

    /** As the driver does it: a short secret only where it is a word of its own. */
    private String masked(String line) {
        for (var secret : secrets) {
            var pattern = Pattern.quote(secret);
            line = line.replaceAll(secret.length() > 5 ? pattern : "(?<!\\w)" + pattern + "(?!\\w)", "***");
        }
        return line;
    }

    /** The process ends when its standard input does, and rolls back what is uncommitted; its children are killed. */
    void close() {
        var children = process.descendants().toList(); // once it has ended, nobody knows them
        inOrder(input::close);
        writer.shutdown();
        try {
            if (!process.waitFor(3, TimeUnit.SECONDS)) kill();
        } catch (InterruptedException e) {
            kill();
        }
        children.forEach(ProcessHandle::destroyForcibly);
    }

    private interface Writing {
        void run() throws IOException;
    }

    private void inOrder(Writing writing) {
        if (writer.isShutdown()) return;
        writer.execute(() -> {
            try {
                writing.run();
            } catch (IOException ignored) {
                // it has ended, and the end of its output says so
            }
        });
    }

    // ---- reading -----------------------------------------------------------------------------

    private void readReplies() {
        try (var reader = reader(process.getInputStream())) {
            for (String line; (line = line(reader, token)) != null; ) {
                lastSign = System.nanoTime();
                if (line.startsWith(token + " ")) replies.add(line.substring(token.length() + 1));
            }
        } catch (IOException ignored) {
            // killed
        }
        replies.add(END);
    }

    private void readErrors() {
        try (var reader = reader(process.getErrorStream())) {
            for (String line; (line = line(reader, null)) != null; ) {
                lastSign = System.nanoTime();
                if (python.container() != null && python.container().noise().test(line)) continue;
                synchronized (errorLines) {
                    errorLines.add(line);
                    if (errorLines.size() > KEPT_LINES) errorLines.removeFirst();
                }
            }
        } catch (IOException ignored) {
            // killed
        }
    }

    private static BufferedReader reader(InputStream stream) {
        return new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
    }

    /** A line that does not begin with {@code whole} is cut: what a project prints may have no end. */
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
