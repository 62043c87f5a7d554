package support;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import lib.files.Checkpoint;
import lib.process.Interruption;

/**
 * A script that gets a signal at chosen points:
 * {@code java support.SignalAt INT group 'before: commit.*' reset_migrations ARGS…}.
 * {@code group} sends it to all processes, as a terminal does; {@code self} only to the script; {@code python} to the
 * program that the script starts next.
 */
public final class SignalAt {
    private SignalAt() {}

    public static void main(String... args) throws ReflectiveOperationException {
        var signal = args[0];
        var whom = args[1];
        var points = args[2];
        Checkpoint.listen(point -> {
            if (!point.matches(points)) return;
            System.err.println("SignalAt: " + point);
            if (whom.equals("python")) {
                Thread.ofPlatform().daemon().start(() -> kill(signal, nextPython()));
                return;
            }
            kill(signal, (whom.equals("group") ? "-" : "") + ProcessHandle.current().pid());
            untilItArrives();
        });
        var script = Class.forName(args[3]).getMethod("main", String[].class);
        try {
            script.invoke(null, (Object) java.util.Arrays.copyOfRange(args, 4, args.length));
        } catch (InvocationTargetException e) {
            throw new IllegalStateException(e.getCause());
        }
    }

    private static void kill(String signal, String to) {
        try {
            new ProcessBuilder("kill", "-" + signal, "--", to).start().waitFor();
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Its handler runs in another thread, and ends what is running. */
    private static void untilItArrives() {
        var failure = new Exception();
        try {
            for (int i = 0; i < 100 && Interruption.asInterruption(failure) == failure; i++) Thread.sleep(50);
            Thread.sleep(200);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String nextPython() {
        var known = ProcessHandle.current().children().map(ProcessHandle::pid).toList();
        while (true) {
            var next = ProcessHandle.current()
                    .children()
                    .filter(p -> !known.contains(p.pid())
                            && p.info().command().orElse("").contains("python"))
                    .findFirst();
            if (next.isPresent()) return String.valueOf(next.get().pid());
            Thread.onSpinWait();
        }
    }
}
