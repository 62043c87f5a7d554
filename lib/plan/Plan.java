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
 * Steps to print, and the very same steps to run; on failure those begun are undone, last first. One that cannot be undone
 * stops that: those before it (the old files, the record of the run) are what a later undo needs to go on from there. Only
 * what is gone for good ({@link Problem#isPermanent}) has nothing to wait for.
 */
public record Plan(List<Step> steps) {

    public List<String> describe() {
        return steps.stream().map(Step::describe).toList();
    }

    /**
     * Runs every step, then finishes every step.
     *
     * @param nextIfNotPutBack the command to run when a step could not be undone; asked for only then
     * @throws Failure what failed; {@link Problem.NotPutBack} around it when something is left to do; {@link Problem.NotFinished} when all was done
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
        console.event("done", Map.of("number", number, "of", of, "what", step.describe(), "seconds", (System.nanoTime() - began) / 1e9));
    }

    /** The same; what could not be finished is for the caller to throw, once it has told that all is done. @return or null */
    public Failure runReturningUnfinished(Console console, Supplier<String> nextIfNotPutBack) {
        try {
            run(console, nextIfNotPutBack);
            return null;
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.NotFinished) return failure;
            throw failure;
        }
    }

    /** Nothing is put back any more; but what cannot be finished is no success either. */
    private void finish() {
        var left = new ArrayList<Failure>();
        for (var step : steps) {
            try {
                step.finish();
                Checkpoint.reached("finished: " + step.describe());
            } catch (Exception e) {
                left.add(e instanceof Failure failure ? failure : new Failure(new Problem.FileSystemSaid(step.describe(), Failure.firstLine(e)), e));
            }
        }
        if (!left.isEmpty()) throw new Failure(new Problem.NotFinished(left.stream().map(Failure::problem).toList()), left.getFirst());
    }

    private static RuntimeException putBack(ArrayDeque<Step> begun, Exception cause, Console console, Supplier<String> next) {
        var left = new ArrayList<String>();
        var todo = new LinkedHashSet<String>();
        Interruption.uninterruptibly(() -> {
            console.note("putting everything back");
            for (var steps = begun.iterator(); steps.hasNext();) {
                var step = steps.next();
                try {
                    step.undo();
                    Checkpoint.reached("undone: " + step.describe());
                    console.log("undone: " + step.describe());
                } catch (Exception e) {
                    left.add(step.describe() + ": " + Failure.firstLine(e));
                    todo.addAll(e instanceof Failure failure && failure.problem() instanceof Problem.NotStarted stopped ? stopped.next() : List.of(next.get()));
                    console.log(e);
                    if (!(e instanceof Failure failure && failure.problem().isPermanent())) {
                        steps.forEachRemaining(waiting -> left.add("so this stays done: " + waiting.describe())); // services that stay stopped, for one
                        break;
                    }
                }
            }
        });
        var failure = Failure.of(cause);
        if (failure == null && left.isEmpty()) return cause instanceof RuntimeException bug ? bug : new IllegalStateException(cause);
        if (left.isEmpty()) return failure;
        var first = failure != null ? failure.problem() : new Problem.DatabaseSaid("", cause.toString());
        return new Failure(new Problem.NotPutBack(first, left, List.copyOf(todo)), cause);
    }
}
