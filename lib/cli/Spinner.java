package lib.cli;

import java.io.PrintStream;
import org.fusesource.jansi.AnsiConsole;

/** One line of a terminal that shows that a step is running: a turning bar, the step, its progress and the time. */
final class Spinner implements AutoCloseable {
    private static final String CLEAR_LINE = "\r\033[2K";
    private static final String FRAMES = "|/-\\";
    private static final int INTERVAL = 120; // milliseconds

    private final PrintStream terminal;
    private final String label;
    private final long began = System.nanoTime();
    private final Thread thread;
    private volatile String progress = "";

    Spinner(PrintStream terminal, String label) {
        this.terminal = terminal;
        this.label = label;
        thread = Thread.ofPlatform().daemon().start(this::turn);
    }

    void progress(String what) {
        progress = what;
    }

    private void turn() {
        try {
            for (int i = 0; ; i++) {
                Thread.sleep(INTERVAL);
                var frame = FRAMES.charAt(i % FRAMES.length());
                var line = "%s %s  %s  %s".formatted(frame, label, progress, Console.seconds(began));
                terminal.print(CLEAR_LINE + shortened(line));
                terminal.flush();
            }
        } catch (InterruptedException finished) {
            terminal.print(CLEAR_LINE);
        }
    }

    /** To the terminal's width: a line that wraps could not be cleared. */
    private static String shortened(String line) {
        var width = Math.max(20, AnsiConsole.getTerminalWidth() > 0 ? AnsiConsole.getTerminalWidth() : 80);
        return line.length() < width ? line : line.substring(0, width - 2) + "…";
    }

    @Override public void close() throws InterruptedException {
        thread.interrupt();
        thread.join();
    }
}
