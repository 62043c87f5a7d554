package support;

import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import lib.files.Checkpoint;

/**
 * A script in which something happens at a chosen point: {@code java support.CommandAt 'before: check.*' 'rm -r .reset'
 * reset_migrations ARGS…} runs the shell command there, once, and continues when it has ended.
 */
public final class CommandAt {
    private static boolean done;

    private CommandAt() {}

    public static void main(String... args) throws ReflectiveOperationException {
        Checkpoint.listen(point -> {
            if (done || !point.matches(args[0])) return;
            done = true;
            run(args[1]);
        });
        var script = Class.forName(args[2]).getMethod("main", String[].class);
        try {
            script.invoke(null, (Object) java.util.Arrays.copyOfRange(args, 3, args.length));
        } catch (InvocationTargetException e) {
            throw new IllegalStateException(e.getCause());
        }
    }

    private static void run(String command) {
        try {
            var code = new ProcessBuilder("sh", "-c", command).inheritIO().start().waitFor();
            if (code != 0) throw new IllegalStateException(command + ": exit code " + code);
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
