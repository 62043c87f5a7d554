package lib.process;

import java.util.List;
import lib.error.Problem;

/** A program that cannot be started. */
public record ProgramMissing(String program) implements Problem {
    @Override
    public Exit exit() {
        return Exit.USAGE;
    }

    @Override
    public String what() {
        return program + " is not installed, or not on PATH";
    }

    @Override
    public List<String> next() {
        return List.of("install it, or add its folder to PATH");
    }
}
