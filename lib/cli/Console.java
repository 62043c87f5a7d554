package lib.cli;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.files.FolderLock;
import lib.files.Text;
import lib.process.Interruption;
import org.fusesource.jansi.Ansi;
import org.fusesource.jansi.AnsiConsole;
import org.fusesource.jansi.AnsiType;
import org.fusesource.jansi.internal.CLibrary;

/** What people read and answer. With {@code json} that goes to stderr, and stdout has one JSON object a line. */
public final class Console {
    /** When to colour: {@code auto} is a terminal without NO_COLOR. */
    public enum Color { auto, always, never }

    public record Options(boolean quiet, boolean verbose, boolean json, Color color) {}

    private static final int WIDTH = 100;
    private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();

    private final Options options;
    private final PrintStream people;
    private final PrintStream errors;
    private final PrintStream data;
    private final boolean terminal;
    private final boolean colour;
    private final boolean canAsk;
    private final RunLog log = new RunLog();
    private final StringBuilder heldBack = new StringBuilder(); // by --quiet, until there is an error
    private volatile Spinner spinner;

    public Console(Options options) {
        this.options = options;
        data = System.out;
        errors = System.err;
        people = options.json() ? System.err : System.out;
        terminal = isTerminal(options.json());
        colour = switch (options.color()) {
            case always -> true;
            case never -> false;
            case auto -> terminal && System.getenv("NO_COLOR") == null && !"dumb".equals(System.getenv("TERM"));
        };
        canAsk = stdinIsTerminal();
    }

    private static boolean isTerminal(boolean stderr) {
        var type = (stderr ? AnsiConsole.err() : AnsiConsole.out()).getType();
        return type != AnsiType.Redirected && type != AnsiType.Unsupported;
    }

    private static boolean stdinIsTerminal() {
        try {
            return CLibrary.isatty(0) == 1;
        } catch (LinkageError noNativeLibrary) {
            return System.console() != null;
        }
    }

    /** Whether a person can answer a question. */
    public boolean canAsk() { return canAsk; }

    // ---- lines -------------------------------------------------------------------------------

    public void heading(String text) { say(Ansi.Color.CYAN, true, text); }

    public void say(String text) {
        if (!options.quiet()) people.println(text);
        log(text);
    }

    /** The same in lines that fit a terminal, all indented as the text is: {@code item("  Runs  ", "here")}. */
    public void item(String start, String text) {
        say(Text.folded(start + text, width(), start.length()));
    }

    /** How many characters a line may have; a narrower terminal's width. */
    public int width() {
        var width = terminal ? AnsiConsole.getTerminalWidth() : 0;
        return width > 20 ? Math.min(width, WIDTH) : WIDTH;
    }

    public void note(String text) { say(Ansi.Color.DEFAULT, false, text); }
    public void success(String text) { say(Ansi.Color.GREEN, true, text); }

    /** Warnings are shown even when quiet. */
    public void warn(String text) {
        errors.println(paint(Ansi.Color.YELLOW, true, "warning: ") + text);
        log.add("warning: " + text);
        event("warning", Map.of("text", text));
    }

    public void say(Ansi.Color color, boolean bold, String text) {
        if (!options.quiet()) people.println(paint(color, bold, text));
        log(text);
    }

    public String paint(Ansi.Color color, boolean bold, String text) {
        if (!colour) return text;
        var ansi = Ansi.ansi();
        if (bold) ansi.bold();
        return ansi.fg(color).a(text).reset().toString();
    }

    /** What happened, where, and what to do next, on stderr. */
    public void error(Problem problem) {
        errors.print(heldBack);
        heldBack.setLength(0);
        errors.println(paint(Ansi.Color.RED, true, "error: ") + problem.what());
        problem.next().forEach(line -> errors.println(paint(Ansi.Color.CYAN, false, "  → ") + line));
        log("error: " + problem.what());
        event("error", Map.of("what", problem.what(), "next", problem.next(), "exit", problem.exit().code));
    }

    /** One JSON line on stdout, with {@code --json} only. */
    public void event(String name, Map<String, ?> values) {
        if (!options.json()) return;
        var line = new LinkedHashMap<String, Object>();
        line.put("event", name);
        line.putAll(values);
        data.println(JSON.toJson(line));
        data.flush();
    }

    // ---- steps -------------------------------------------------------------------------------

    /** Does the work, while a terminal shows that it is running; nothing of that stays on the screen. */
    public <T> T during(String label, Callable<T> work) throws Exception {
        if (!terminal || options.quiet()) return work.call();
        try (var running = new Spinner(people, label)) {
            spinner = running;
            return work.call();
        } finally {
            spinner = null;
        }
    }

    /** How far the running step is: "contenttypes.0001_initial (3 of 24)". */
    public void progress(String what) {
        var running = spinner;
        if (running != null) running.progress(what);
        log.add("  " + what);
    }

    /** "0.52 s": the time since that value of {@link System#nanoTime}. */
    public static String seconds(long since) {
        return String.format(Locale.ROOT, "%.2f s", (System.nanoTime() - since) / 1e9);
    }

    // ---- questions ---------------------------------------------------------------------------

    /** Asks before anything was touched. @throws Failure refused when there is no terminal to ask in */
    public String ask(String question) { return ask(question, new Problem.Interrupted()); }

    /** @param interrupted what Ctrl-C means here: it ends the program at once, with this and its exit code */
    private String ask(String question, Problem interrupted) {
        if (!canAsk)
            throw Failure.refused("no terminal to ask in: \"" + question + "\"")
                    .next("give --yes to continue without a question");
        try (var handle = Interruption.onSignal(() -> {
            people.println();
            error(interrupted);
            FolderLock.releaseAll(); // nothing else was created yet
            Runtime.getRuntime().halt(interrupted.exit().code);
        })) {
            Interruption.check(); // a signal that came earlier has not ended the program
            people.print(paint(Ansi.Color.YELLOW, true, question) + " ");
            people.flush();
            var answer = new BufferedReader(new InputStreamReader(System.in)).readLine();
            log(question + " " + (answer == null ? "(end of input)" : answer));
            if (answer == null) people.println(); // Ctrl-D leaves the cursor behind the question
            return answer == null ? "" : answer.strip();
        } catch (IOException e) {
            return "";
        }
    }

    /** Exactly {@code YES}, {@code yes} or {@code y}; anything else is a no. */
    public boolean yes(String question) { return yes(question, new Problem.Interrupted()); }

    /** @param interrupted what Ctrl-C means here */
    public boolean yes(String question, Problem interrupted) {
        var answer = ask(question, interrupted);
        return answer.equals("YES") || answer.equals("yes") || answer.equals("y");
    }

    // ---- log ---------------------------------------------------------------------------------

    /** Later lines of the log go to this new file, mode 0600; the earlier ones come first. */
    public void logTo(Path file) throws IOException {
        log.writeTo(file);
    }

    public void log(String text) {
        if (options.quiet()) heldBack.append(text).append('\n');
        log.add(text);
    }

    /** A stack trace goes to the log, and to stderr with {@code --verbose}. */
    public void log(Throwable trace) {
        var text = new StringWriter();
        trace.printStackTrace(new PrintWriter(text));
        if (options.verbose()) errors.print(text);
        log.add(text.toString());
    }

    /** Everything that was printed, with the time; in memory until there is a file for it. */
    private static final class RunLog {
        private final StringBuilder early = new StringBuilder();
        private Path file;

        /** Later lines go to this new file too, mode 0600; the earlier ones come first. */
        synchronized void writeTo(Path newFile) throws IOException {
            Disk.writePrivate(newFile, early.toString().getBytes(StandardCharsets.UTF_8));
            early.setLength(0);
            file = newFile;
        }

        /** Synchronized: the progress of a backup comes from the thread that feeds it. */
        synchronized void add(String text) {
            var line = Instant.now().truncatedTo(ChronoUnit.MILLIS) + " " + text + "\n";
            if (file == null) {
                early.append(line);
                return;
            }
            try {
                Files.writeString(file, line, StandardCharsets.UTF_8, StandardOpenOption.APPEND);
            } catch (IOException cannotLog) {
                file = null; // a full disk must not stop undo
            }
        }
    }
}
