package lib.plan;

import java.util.List;
import java.util.stream.Stream;
import lib.error.Problem;

/** Every step is done, so nothing is put back, but something that follows the steps failed. */
public record NotFinished(List<Problem> left) implements Problem {
    @Override
    public Exit exit() {
        return Exit.PARTLY;
    }

    @Override
    public String what() {
        return "all is done but for this:\n  " + String.join("\n  ", left.stream().map(Problem::what).toList());
    }

    @Override
    public List<String> next() {
        return left.stream().flatMap(problem -> problem.next().stream()).toList();
    }

    /** The same with another one. @param other null: none */
    public NotFinished and(Problem other) {
        return other == null ? this : new NotFinished(Stream.concat(left.stream(), Stream.of(other)).toList());
    }
}
