package lib.error;

import java.sql.SQLException;
import java.util.List;

/**
 * An expected failure as data: what happened and where, what to do next, and the exit code. It never holds a secret.
 * It is a type of its own only where some code has to tell it from others.
 */
public interface Problem {
    ExitCode exit();

    /** What happened and where, a sentence without a full stop; further lines are details. */
    String what();

    /** What to do next, a line each; may be empty. */
    default List<String> next() {
        return List.of();
    }

    /** The SQLSTATE that PostgreSQL sent, or "". */
    default String sqlState() {
        return "";
    }

    /** True when a second undo could do no better, so that the undo of the earlier steps does not wait for it. */
    default boolean isPermanent() {
        return false;
    }

    static Problem of(ExitCode exit, String what, String... next) {
        return new Plain(exit, what, List.of(next), false);
    }

    static Problem of(ExitCode exit, String what, List<String> next) {
        return new Plain(exit, what, List.copyOf(next), false);
    }

    record Plain(ExitCode exit, String what, List<String> next, boolean isPermanent) implements Problem {}

    record Interrupted() implements Problem {
        @Override public ExitCode exit() {
            return ExitCode.INTERRUPTED;
        }

        @Override public String what() {
            return "interrupted; everything is as it was";
        }
    }

    record DatabaseError(String sqlState, String message) implements Problem {
        static DatabaseError of(SQLException e) {
            var message = e.getMessage() == null ? e.toString() : e.getMessage();
            return new DatabaseError(e.getSQLState() == null ? "" : e.getSQLState(), message);
        }

        @Override public ExitCode exit() {
            return ExitCode.FAILED;
        }

        @Override public String what() {
            return "PostgreSQL: " + message;
        }
    }
}
