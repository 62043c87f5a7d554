package lib.error;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.sql.SQLException;

/** An expected failure: data first ({@link Problem}); its stack trace is only for whoever asks with {@code --verbose}. */
public final class Failure extends RuntimeException {
    private final transient Problem problem;

    public Failure(Problem problem) {
        this(problem, null);
    }

    public Failure(Problem problem, Throwable cause) {
        super(problem.what(), cause);
        this.problem = problem;
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
    public static Failure in(Throwable e) {
        for (; e != null; e = e.getCause()) if (e instanceof Failure failure) return failure;
        return null;
    }

    /** The words for a line of a list: the first line of what happened. */
    public static String wordsOf(Exception e) {
        var failure = of(e);
        return failure == null ? e.toString() : failure.problem().what().lines().findFirst().orElse("");
    }
}
