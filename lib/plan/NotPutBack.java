package lib.plan;

import java.util.List;
import lib.error.Problem;

/**
 * The plan failed, and a step could not be undone.
 *
 * @param first what failed
 * @param left  what is not undone, a line each
 */
public record NotPutBack(Problem first, List<String> left, List<String> next) implements Problem {
    @Override
    public Exit exit() {
        return Exit.PARTLY;
    }

    @Override
    public String what() {
        var failed = first instanceof Interrupted ? "interrupted" : first.what();
        return failed + "\nand this could not be put back:\n  " + String.join("\n  ", left);
    }
}
