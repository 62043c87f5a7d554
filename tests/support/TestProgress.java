package support;

import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import support.TestWorker.Event;
import support.TestWorker.Kind;

/** What run_tests prints: a line when a class starts and one when it ends, failures at once, and the totals. */
public final class TestProgress {
    private static final Duration QUIET = Duration.ofMinutes(1);

    private final PrintStream out;
    private final int classes;
    private final boolean verbose;
    private final Map<String, Result> results = new LinkedHashMap<>();
    private final Counts total = new Counts();
    private final List<String> failures = new ArrayList<>();
    private long printed = System.nanoTime();

    private static final class Counts {
        int passed, failed, skipped;

        void add(Kind kind) {
            switch (kind) {
                case passed -> passed++;
                case failed -> failed++;
                case skipped -> skipped++;
                case printed, ended -> { }
            }
        }

        int sum() {
            return passed + failed + skipped;
        }

        @Override public String toString() {
            return passed + " passed, " + failed + " failed" + (skipped == 0 ? "" : ", " + skipped + " skipped");
        }
    }

    private static final class Result {
        final String number;
        final long began = System.nanoTime();
        final Counts counts = new Counts();
        final TreeSet<String> skipReasons = new TreeSet<>();
        double seconds = Double.NaN;

        Result(String number) {
            this.number = number;
        }

        boolean isRunning() {
            return Double.isNaN(seconds);
        }

        double elapsed() {
            return isRunning() ? (System.nanoTime() - began) / 1e9 : seconds;
        }

        @Override public String toString() {
            return counts
                    + (skipReasons.isEmpty() ? "" : " (" + String.join("; ", skipReasons) + ")")
                    + String.format(Locale.ROOT, ", %.1f s", elapsed());
        }
    }

    /** @param verbose a line for every test, too */
    public TestProgress(PrintStream out, int classes, boolean verbose) {
        this.out = out;
        this.classes = classes;
        this.verbose = verbose;
        Thread.ofPlatform().daemon().start(this::remind);
    }

    public synchronized void started(String name) {
        var result = new Result("[%d/%d] ".formatted(results.size() + 1, classes));
        results.put(name, result);
        print(result.number + name);
    }

    public synchronized void happened(String name, Event event) {
        var result = results.get(name);
        result.counts.add(event.kind());
        total.add(event.kind());
        switch (event.kind()) {
            case failed -> {
                failures.add("FAILED " + name + ": " + event.test());
                print(failures.getLast() + "\n" + event.text().indent(2).stripTrailing());
            }
            case printed -> printed(name, event.text());
            case skipped ->
                result.skipReasons.add(event.text()
                        .replaceFirst("^Assumption failed: ", "")
                        .lines()
                        .findFirst()
                        .orElse("no reason given"));
            case ended -> {
                result.seconds = result.elapsed();
                print(result.number + name + ": " + result);
            }
            case passed -> {
                if (verbose)
                    print("  " + name + ": " + event.test()
                            + String.format(Locale.ROOT, " at %.1f s", result.elapsed()));
            }
        }
    }

    /** The worker ended before the class did. */
    public synchronized void lost(String name, String why) {
        happened(name, new Event(Kind.failed, "(did not come to its end)", why));
        happened(name, new Event(Kind.ended, "", ""));
    }

    /** What a test printed. */
    public synchronized void printed(String name, String line) {
        if (!line.isBlank()) print("  " + name + "| " + line);
    }

    private void print(String text) {
        out.println(text);
        printed = System.nanoTime();
    }

    /** Names the running tests when nothing has been printed for a minute. */
    private void remind() {
        try {
            for (;; Thread.sleep(5000)) synchronized (this) {
                    if (System.nanoTime() - printed < QUIET.toNanos()) continue;
                    results.forEach((name, result) -> {
                        if (result.isRunning()) print("  still running: " + name + ": " + result);
                    });
                }
        } catch (InterruptedException never) {
            // nothing interrupts this thread
        }
    }

    /** Classes and methods without a test. */
    public synchronized List<String> withoutTests() {
        return results.entrySet().stream()
                .filter(entry -> entry.getValue().counts.sum() == 0)
                .map(Map.Entry::getKey)
                .toList();
    }

    public synchronized boolean allPassed() {
        return failures.isEmpty();
    }

    /** The slowest ten classes, the failures, and the line that CI reads. */
    public synchronized void summary() {
        print("Slowest classes:");
        results.entrySet().stream()
                .sorted(Comparator.comparing(entry -> -entry.getValue().elapsed()))
                .limit(10)
                .forEach(entry -> print(String.format(
                        Locale.ROOT, "  %6.1f s  %s", entry.getValue().elapsed(), entry.getKey())));
        failures.forEach(this::print);
        print(total.toString());
    }
}
