package lib.environment;

import java.util.List;
import lib.error.Problem;

/** Services could not be started again. No undo depends on them, so the others go on. @param command starts them */
record NotStarted(List<String> reasons, String command) implements Problem {
    @Override public Exit exit() {
        return Exit.PARTLY;
    }

    @Override public boolean isPermanent() {
        return true;
    }

    @Override public String what() {
        return "not started again: " + String.join("; ", reasons);
    }

    @Override public List<String> next() {
        return List.of(command);
    }
}
