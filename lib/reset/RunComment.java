package lib.reset;

import java.util.Optional;
import java.util.regex.Pattern;

/**
 * The COMMENT on a database or schema that a run has set aside, "reset_migrations ID: words". It says what the database
 * or schema is when the run's record is lost.
 */
record RunComment(String run, String words) {
    /** For SQL's LIKE. */
    static final String LIKE = "reset\\_migrations %";
    private static final Pattern FORMAT = Pattern.compile("reset_migrations ([^:\\s]+): (.*)", Pattern.DOTALL);
    private static final String BEFORE = " as it was before";

    /** On the previous state. @param name the database's, or "schema NAME" */
    static RunComment before(String run, String name) { return new RunComment(run, name + BEFORE); }

    /** On the newer state, once undo has set that aside. */
    static RunComment undone(String run) { return new RunComment(run, "what undo took away"); }

    static RunComment undone(String run, String schema) {
        return new RunComment(run, undone(run).words + " from schema " + schema);
    }

    static Optional<RunComment> parse(String comment) {
        var matcher = FORMAT.matcher(comment);
        return matcher.matches() ? Optional.of(new RunComment(matcher.group(1), matcher.group(2))) : Optional.empty();
    }

    /** Whether it is on a previous state, which undo would bring back. */
    boolean isBefore() { return words.endsWith(BEFORE); }

    /** The comment's text. */
    @Override public String toString() { return "reset_migrations %s: %s".formatted(run, words); }
}
