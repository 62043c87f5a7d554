package lib.error;

import java.sql.SQLException;
import java.util.List;

/**
 * An expected failure as data: what happened and where, what to do next, and the exit code. It never holds a secret.
 * It is a type of its own only where some code has to tell it from others.
 */
public interface Problem {
    /** The exit codes, the same in every script. */
    enum Exit {
        DONE(0, "done"), FAILED(1, "failed; everything is as it was"), USAGE(2, "usage or configuration"),
        PARTLY(3,
            "done in part, or failed and not fully put back: the message names what is left and the next command"),
        REFUSED(4, "refused: a guard said no, nothing was touched"), BUSY(5, "busy: another run holds the lock"),
        INTERRUPTED(130, "interrupted; everything is as it was");

        public final int code;
        public final String meaning;

        Exit(int code, String meaning) {
            this.code = code;
            this.meaning = meaning;
        }
    }

    Exit exit();

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

    static Problem of(Exit exit, String what, String... next) {
        return new Plain(exit, what, List.of(next), false);
    }

    static Problem of(Exit exit, String what, List<String> next) {
        return new Plain(exit, what, List.copyOf(next), false);
    }

    record Plain(Exit exit, String what, List<String> next, boolean isPermanent) implements Problem {}

    record Interrupted() implements Problem {
        @Override public Exit exit() {
            return Exit.INTERRUPTED;
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

        @Override public Exit exit() {
            return Exit.FAILED;
        }

        @Override public String what() {
            return "PostgreSQL: " + message;
        }
    }
}
