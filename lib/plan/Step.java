package lib.plan;

/**
 * One act of a plan. It carries what planning found, so that undo never has to guess. {@code undo()} accepts a
 * half-done {@code run()} and one that never began.
 */
public interface Step {
    /** One line in the imperative, for the plan and the log: "replace 14 migration files by 9". */
    String describe();

    void run() throws Exception;

    default void undo() throws Exception {}

    /** After every step: gives up what was only kept for undo within this run, never what the user's undo needs. */
    default void finish() throws Exception {}

    interface Action {
        void run() throws Exception;
    }

    /** A step that changes nothing that would have to be undone. */
    static Step of(String describe, Action run) { return of(describe, run, () -> {}, () -> {}); }

    static Step of(String describe, Action run, Action undo) {
        return of(describe, run, undo, () -> {});
    }

    static Step of(String describe, Action run, Action undo, Action finish) {
        return new Step() {
            @Override public String describe() { return describe; }
            @Override public void run() throws Exception { run.run(); }
            @Override public void undo() throws Exception { undo.run(); }
            @Override public void finish() throws Exception { finish.run(); }
        };
    }
}
