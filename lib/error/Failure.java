package lib.error;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
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
        return new Failure(Problem.of(ExitCode.FAILED, what));
    }

    /** Exit code 2: usage or configuration. */
    public static Failure usage(String what) {
        return new Failure(Problem.of(ExitCode.USAGE, what));
    }

    /** Exit code 3: done in part, or not fully put back. */
    public static Failure partly(String what) {
        return new Failure(Problem.of(ExitCode.PARTLY, what));
    }

    /** Exit code 4: a guard refused, nothing was touched. */
    public static Failure refused(String what) {
        return new Failure(Problem.of(ExitCode.REFUSED, what));
    }

    /** Exit code 5: another run holds the lock. */
    public static Failure busy(String what) {
        return new Failure(Problem.of(ExitCode.BUSY, what));
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

    /** What undo can never put back, or does not depend on: {@link Problem#isPermanent}. */
    public Failure permanent() {
        return new Failure(new Problem.Plain(problem.exit(), problem.what(), problem.next(), true), getCause());
    }

    /** Errors of the database and the file system are expected too; null for anything else, which is a bug. */
    public static Failure of(Exception e) {
        return switch (e) {
            case Failure failure -> failure;
            case SQLException error -> new Failure(Problem.DatabaseError.of(error), error);
            case IOException error -> fileError(error).causedBy(error);
            case InvalidPathException error -> unusableName(error.getInput()).causedBy(error);
            case null, default -> null;
        };
    }

    private static Failure fileError(IOException e) {
        var file = e instanceof FileSystemException f && f.getFile() != null ? f.getFile() : "";
        var reason = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : switch (e) {
            case AccessDeniedException denied -> "permission denied";
            case NoSuchFileException gone -> "it is not there";
            case FileSystemException f -> f.getClass().getSimpleName();
            default -> e.getMessage() == null ? e.toString() : e.getMessage();
        };
        if (file.isEmpty()) return failed(reason).next(nextSteps(reason, "", ""));
        return failed(file + ": " + reason.replace(file + ": ", ""))
            .next(nextSteps(reason, " " + quoted(Path.of(file).toAbsolutePath().getParent()), " " + quoted(file)));
    }

    /** For a shell. lib.process.Shell is in a higher layer. */
    private static String quoted(Object path) {
        var text = String.valueOf(path);
        return text.matches("[\\w./-]+") ? text : "'" + text.replace("'", "'\\''") + "'";
    }

    private static List<String> nextSteps(String reason, String folder, String file) {
        if (reason.contains("No space left") || reason.contains("quota"))
            return List.of("make room there, then start again: df -h" + folder + " shows how full it is");
        if (reason.contains("ermission denied") || reason.contains("not permitted"))
            return List.of("check who owns it and who may write: ls -ld" + folder + file);
        if (reason.contains("Read-only")) return List.of("mount it so that it can be written to, then start again");
        return List.of();
    }

    /** This process's locale reads the name differently from how it is on the disk. */
    public static Failure unusableName(String name) {
        return refused("the file name " + name + " cannot be written in this locale, or is not UTF-8")
            .next("run it with LC_ALL=C.UTF-8", "if that does not help, rename the file");
    }

    /** The failure that is the exception's cause, or null: the JDBC driver wraps what a socket factory throws. */
    public static Failure findIn(Throwable e) {
        for (; e != null; e = e.getCause()) if (e instanceof Failure failure) return failure;
        return null;
    }

    /** What happened, on one line. */
    public static String firstLine(Exception e) {
        var failure = of(e);
        return failure == null ? e.toString() : failure.problem().what().lines().findFirst().orElse("");
    }
}
