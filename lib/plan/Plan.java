package lib.plan;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import lib.cli.Console;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.process.Interruption;
import org.fusesource.jansi.Ansi;

/**
 * Steps to print, and the same steps to run. On failure the steps that were begun are undone, the last one first. A step that
 * cannot be undone stops that, because a later undo needs what the steps before it keep (the old files, the record of the run).
 * Only a permanent problem ({@link Problem#isPermanent}) does not stop it: no later undo could do better.
 */
public record Plan(List<Step> steps) {

    public List<String> describe() {
        return steps.stream().map(Step::describe).toList();
    }

    /**
     * Runs every step, then finishes every step.
     *
     * @param nextIfNotPutBack gives the command to run when a step could not be undone
     * @throws Failure what failed, and everything is put back; or with a {@link NotPutBack}, or a {@link NotFinished}
     */
    public void run(Console console, Supplier<String> nextIfNotPutBack) {
        var begun = new ArrayDeque<Step>();
        try {
            for (var step : steps) {
                Interruption.check();
                begun.push(step);
                Checkpoint.reached("before: " + step.describe());
                run(console, begun.size(), steps.size(), step);
                Checkpoint.reached("after: " + step.describe());
            }
            Interruption.check();
        } catch (Exception e) {
            throw putBack(begun, Interruption.asInterruption(e), console, nextIfNotPutBack);
        } catch (Error e) { // out of memory is no reason to leave things half done
            throw putBack(begun, new IllegalStateException(e), console, nextIfNotPutBack);
        }
        finish();
    }

    /** Runs a step and prints its line with the time it took; while it runs, a terminal shows that it lives. */
    public static void run(Console console, int number, int of, Step step) throws Exception {
        var label = "[%d/%d] %s".formatted(number, of, step.describe());
        console.event("step", Map.of("number", number, "of", of, "what", step.describe()));
        var began = System.nanoTime();
        try {
            console.during(label, () -> {
                step.run();
                return null;
            });
        } catch (Exception e) {
            console.say(Ansi.Color.RED, false, label + "  not done, after " + Console.seconds(began));
            throw e;
        }
        console.say(label + console.paint(Ansi.Color.GREEN, false, "  " + Console.seconds(began)));
        var seconds = (System.nanoTime() - began) / 1e9;
        console.event("done", Map.of("number", number, "of", of, "what", step.describe(), "seconds", seconds));
    }

    /**
     * As {@link #run}, for a caller that reports success before it throws what could not be finished.
     *
     * @return the failure with the {@link NotFinished}, or null
     */
    public Failure runReturningUnfinished(Console console, Supplier<String> nextIfNotPutBack) {
        try {
            run(console, nextIfNotPutBack);
            return null;
        } catch (Failure failure) {
            if (failure.problem() instanceof NotFinished) return failure;
            throw failure;
        }
    }

    /** Nothing is put back any more, but what cannot be finished is a failure. */
    private void finish() {
        var left = new ArrayList<Failure>();
        for (var step : steps) {
            try {
                step.finish();
                Checkpoint.reached("finished: " + step.describe());
            } catch (Exception e) {
                left.add(
                        e instanceof Failure failure
                                ? failure
                                : Failure.failed(step.describe() + ": " + Failure.firstLine(e))
                                        .causedBy(e));
            }
        }
        if (!left.isEmpty())
            throw new Failure(
                    new NotFinished(left.stream().map(Failure::problem).toList()), left.getFirst());
    }

    private static RuntimeException putBack(
            ArrayDeque<Step> begun, Exception cause, Console console, Supplier<String> next) {
        var putBack = new PutBack(console, next);
        Interruption.uninterruptibly(() -> putBack.undo(begun));
        var failure = Failure.of(cause);
        if (putBack.left.isEmpty())
            return failure != null
                    ? failure
                    : cause instanceof RuntimeException bug ? bug : new IllegalStateException(cause);
        var first = failure != null ? failure.problem() : Problem.of(Problem.Exit.FAILED, cause.toString());
        return new Failure(new NotPutBack(first, putBack.left, List.copyOf(putBack.commands)), cause);
    }

    /** Undoes the steps that were begun, and remembers what it could not undo. */
    private static final class PutBack {
        private final Console console;
        private final Supplier<String> next;
        private final List<String> left = new ArrayList<>();
        private final LinkedHashSet<String> commands = new LinkedHashSet<>();

        PutBack(Console console, Supplier<String> next) {
            this.console = console;
            this.next = next;
        }

        void undo(ArrayDeque<Step> begun) {
            console.note("putting everything back");
            for (var steps = begun.iterator(); steps.hasNext();) {
                var step = steps.next();
                if (undo(step)) continue;
                steps.forEachRemaining(
                        waiting -> left.add("therefore not undone: " + waiting.describe())); // also stopped services
                return;
            }
        }

        /** @return whether the steps before it may be undone */
        private boolean undo(Step step) {
            try {
                step.undo();
                Checkpoint.reached("undone: " + step.describe());
                console.log("undone: " + step.describe());
                return true;
            } catch (Exception e) {
                console.log(e);
                left.add(step.describe() + ": " + Failure.firstLine(e));
                var isPermanent = e instanceof Failure failure && failure.problem().isPermanent();
                var own = e instanceof Failure failure && isPermanent ? failure.problem().next() : List.<String>of();
                commands.addAll(own.isEmpty() ? List.of(next.get()) : own);
                return isPermanent;
            }
        }
    }
}
