package lib;

/**
 * One act of a plan. It carries what planning found, so that undo never has to guess.
 * {@code undo()} accepts a half-done {@code run()} and one that never began.
 */
public interface Step {
    /** One line in the imperative, for the plan and the log: "replace 14 migration files by 9". */
    String describe();

    void run() throws Exception;

    default void undo() throws Exception {}

    /** After every step has run: give up what was only kept for undo within this run (never what the user's undo needs). */
    default void finish() throws Exception {}
}
