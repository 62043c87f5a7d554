package lib.process;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;

/**
 * A running program between two streams of ours. What it says on stderr is read all the while, so that neither fills up;
 * Ctrl-C ends it, and so does closing it.
 */
public final class RunningProgram implements AutoCloseable {
    private final Program program;
    private final Process process;
    private final OutputStream in;
    private final Interruption.Handle handle;
    private final StringBuilder words = new StringBuilder();
    private final Thread listener;

    private RunningProgram(Program program) {
        this.program = program;
        process = program.start();
        in = program.input(process);
        handle = Interruption.onSignal(() -> Program.kill(process));
        listener = Thread.ofPlatform().daemon().start(() -> {
            try (var err = process.getErrorStream()) {
                words.append(new String(err.readAllBytes(), StandardCharsets.UTF_8));
            } catch (IOException closedWhenKilled) {
                // what it said before is lost; its exit code is not
            }
        });
    }

    public static RunningProgram start(Program program) {
        var child = new RunningProgram(program);
        try {
            Interruption.check(); // a signal that came before the handle was there has killed nobody
        } catch (Failure interrupted) {
            child.close();
            throw interrupted;
        }
        return child;
    }

    /** Its stdin; a program that has enough closes it on us, and one that misses something says so by its exit code. */
    public OutputStream in() {
        return in;
    }

    public void closeInput() {
        try {
            in.close();
        } catch (IOException alreadyGone) {
            // its exit code tells
        }
    }

    /** Its stdout; one that was killed closes it on us: its exit code tells, not an exception. */
    public InputStream out() {
        var out = process.getInputStream();
        return new InputStream() {
            @Override public int read() throws IOException {
                var one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override public int read(byte[] bytes, int from, int length) {
                try {
                    return out.read(bytes, from, length);
                } catch (IOException closed) {
                    return -1;
                }
            }
        };
    }

    public void discardOutput() {
        var out = out();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                out.transferTo(OutputStream.nullOutputStream());
            } catch (IOException never) {
                throw new IllegalStateException(never);
            }
        });
    }

    public void kill() {
        Program.kill(process);
    }

    /** Waits for its end; an error among its words counts like an exit code. @return what it said on stderr, as warnings */
    public String finish(UnaryOperator<String> hide) {
        try {
            var code = process.waitFor();
            listener.join();
            var ended = program.ended(code, "", words.toString());
            var said = hide.apply(ended.err());
            if (ended.code() != 0 || ERROR.matcher(said).find())
                throw new Failure(new Problem.PgProgramFailed(program.name(), ended.code(), said));
            return said;
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    private static final Pattern ERROR = Pattern.compile("(?m)(^|\\s)(error|ERROR|FATAL|PANIC):");

    /** What it has said so far, once it was killed or has ended. */
    public String stderr() {
        try {
            listener.join();
            return program.ended(process.waitFor(), "", words.toString()).err();
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    @Override public void close() {
        handle.close();
        kill();
    }
}
