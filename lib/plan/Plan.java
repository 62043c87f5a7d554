package lib.plan;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Text;
import lib.process.Interruption;
import org.fusesource.jansi.Ansi;

/**
 * Steps to print, and the same steps to run. On failure the steps that were begun are undone, the last one first. A
 * step that cannot be undone stops that, because a later undo needs what the steps before it keep (the old files, the
 * record of the run). Only a permanent problem ({@link Problem#isPermanent}) does not stop it: no later undo could do
 * better.
 */
public record Plan(List<Step> steps) {
    /** Every step is done, so nothing is put back, but something that follows the steps failed. */
    public record NotFinished(List<Problem> left) implements Problem {
        @Override public ExitCode exit() { return ExitCode.PARTLY; }

        @Override public String what() {
            return "everything is done except:" + Text.lines(left.stream().map(Problem::what).toList());
        }

        @Override public List<String> next() {
            return left.stream().flatMap(problem -> problem.next().stream()).toList();
        }

        /** The same with another one. @param other null: none */
        public NotFinished and(Problem other) {
            return new NotFinished(Stream.concat(left.stream(), Stream.ofNullable(other)).toList());
        }
    }

    /** The plan failed, and a step could not be undone. @param left what is not undone, a line each */
    public record NotPutBack(Problem first, List<String> left, List<String> next) implements Problem {
        @Override public ExitCode exit() { return ExitCode.PARTLY; }

        @Override public String what() {
            var failed = first instanceof Interrupted ? "interrupted" : first.what();
            return failed + "\nand this could not be put back:" + Text.lines(left);
        }
    }

    public List<String> describe() { return steps.stream().map(Step::describe).toList(); }

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

    /** Runs a step and prints its line, shortened, with the time it took; meanwhile a terminal shows that it runs. */
    public static void run(Console console, int number, int of, Step step) throws Exception {
        var what = step.describe();
        var label = "[%d/%d] %s".formatted(number, of, what);
        console.event("step", Map.of("number", number, "of", of, "what", what));
        var began = System.nanoTime();
        try {
            console.during(label, () -> {
                step.run();
                return null;
            });
        } catch (Exception e) {
            var after = "  not done, after " + Console.seconds(began);
            console.say(Ansi.Color.RED, false, Text.shortened(label, console.width() - after.length()) + after);
            throw e;
        }
        var time = "  " + Console.seconds(began);
        console.say(Text.shortened(label, console.width() - time.length())
                + console.paint(Ansi.Color.GREEN, false, time));
        var seconds = (System.nanoTime() - began) / 1e9;
        console.event("done", Map.of("number", number, "of", of, "what", what, "seconds", seconds));
    }

    /**
     * As {@link #run}, but returns the failure with a {@link NotFinished}, so that the caller can report success first.
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
            } catch (Failure failure) {
                left.add(failure);
            } catch (Exception e) {
                left.add(Failure.failed(step.describe() + ": " + Failure.firstLine(e)).causedBy(e));
            }
        }
        if (left.isEmpty()) return;
        throw new Failure(new NotFinished(left.stream().map(Failure::problem).toList()), left.getFirst());
    }

    private static RuntimeException putBack(ArrayDeque<Step> begun, Exception cause, Console console,
            Supplier<String> next) {
        var putBack = new PutBack(console, next, new ArrayList<>(), new LinkedHashSet<>());
        Interruption.uninterruptibly(() -> putBack.undo(begun));
        var failure = Failure.of(cause);
        if (!putBack.left.isEmpty()) {
            var first = failure != null ? failure.problem() : Problem.of(ExitCode.FAILED, cause.toString());
            return new Failure(new NotPutBack(first, putBack.left, List.copyOf(putBack.commands)), cause);
        }
        if (failure != null) return failure;
        return cause instanceof RuntimeException bug ? bug : new IllegalStateException(cause);
    }

    /** Undoes the steps that were begun, and remembers what it could not undo. */
    private record PutBack(Console console, Supplier<String> next, List<String> left, Set<String> commands) {
        void undo(ArrayDeque<Step> begun) {
            console.note("putting everything back");
            for (var steps = begun.iterator(); steps.hasNext();) {
                if (undo(steps.next())) continue;
                // stopped services too
                steps.forEachRemaining(waiting -> left.add("therefore not undone: " + waiting.describe()));
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
                var own = isPermanent ? ((Failure) e).problem().next() : List.<String>of();
                commands.addAll(own.isEmpty() ? List.of(next.get()) : own);
                return isPermanent;
            }
        }
    }
}
