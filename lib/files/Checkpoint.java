package lib.files;

import java.util.function.Consumer;

/**
 * A point between two acts, where a kill would leave a different state. Nothing happens there, unless a test listens.
 */
public final class Checkpoint {
    private static volatile Consumer<String> listener = name -> {};

    private Checkpoint() {}

    public static void listen(Consumer<String> to) {
        listener = to;
    }

    /** @param name where we are, for people: "before: commit it", "moved 200 of 6,000" */
    public static void reached(String name) { listener.accept(name); }
}
