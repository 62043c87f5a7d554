package lib.error;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.sql.SQLException;
import java.util.List;

/**
 * An expected failure: a message, the next steps and an exit code. It is written where it happens:
 * {@code throw Failure.refused("the database is on a standby server").next("name the primary in DB_HOST")}.
 * Its stack trace is shown with {@code --verbose} only.
 */
public final class Failure extends RuntimeException {
    private final transient Problem problem;

    public Failure(Problem problem) {
        this(problem, null);
    }

    public Failure(Problem problem, Throwable cause) {
        super(problem.what(), cause);
        this.problem = problem;
    }

    /** Exit code 1: it failed, and everything is as it was. @param what happened and where, without a full stop */
    public static Failure failed(String what) {
        return new Failure(Problem.of(Problem.Exit.FAILED, what));
    }

    /** Exit code 2: usage or configuration. */
    public static Failure usage(String what) {
        return new Failure(Problem.of(Problem.Exit.USAGE, what));
    }

    /** Exit code 3: done in part, or not fully put back. */
    public static Failure partly(String what) {
        return new Failure(Problem.of(Problem.Exit.PARTLY, what));
    }

    /** Exit code 4: a guard refused, nothing was touched. */
    public static Failure refused(String what) {
        return new Failure(Problem.of(Problem.Exit.REFUSED, what));
    }

    /** Exit code 5: another run holds the lock. */
    public static Failure busy(String what) {
        return new Failure(Problem.of(Problem.Exit.BUSY, what));
    }

    /** The same failure with these next steps, a line each. */
    public Failure next(String... steps) {
        return next(List.of(steps));
    }

    public Failure next(List<String> steps) {
        return new Failure(Problem.of(problem.exit(), problem.what(), steps), getCause());
    }

    public Failure causedBy(Throwable cause) {
        return new Failure(problem, cause);
    }

    public Problem problem() {
        return problem;
    }

    /** What the database or the file system said is expected too; null for anything else, which is a bug of ours. */
    public static Failure of(Exception e) {
        return switch (e) {
            case Failure f -> f;
            case SQLException s -> new Failure(Problem.DatabaseSaid.of(s), s);
            case IOException io -> new Failure(Problem.FileSystemSaid.of(io), io);
            case InvalidPathException name -> new Failure(new Problem.UnusableName(name.getInput()), name);
            case null, default -> null;
        };
    }

    /** The failure that is the exception's cause, or null: the JDBC driver wraps what a socket factory throws. */
    public static Failure findIn(Throwable e) {
        for (; e != null; e = e.getCause()) if (e instanceof Failure failure) return failure;
        return null;
    }

    /** The words for a line of a list: the first line of what happened. */
    public static String firstLine(Exception e) {
        var failure = of(e);
        return failure == null ? e.toString() : failure.problem().what().lines().findFirst().orElse("");
    }
}
