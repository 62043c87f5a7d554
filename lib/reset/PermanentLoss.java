package lib.reset;

import java.util.List;
import lib.error.Problem;

/** Something was dropped that no undo brings back, so the steps before it can be undone at once. */
record PermanentLoss(Exit exit, String what, List<String> next) implements Problem {
    @Override public boolean isPermanent() {
        return true;
    }
}
