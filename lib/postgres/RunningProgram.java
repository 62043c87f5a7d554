package lib.postgres;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import lib.process.Program;

/**
 * A running client program of PostgreSQL, whose stdin and stdout the caller writes and reads. Its stderr is read in the
 * background. Ctrl-C kills it, and so does closing it.
 */
public final class RunningProgram implements AutoCloseable {
    private static final Pattern ERROR = Pattern.compile("(?m)(^|\\s)(error|ERROR|FATAL|PANIC):");

    private final Program program;
    private final Process process;
    private final OutputStream in;
    private final Interruption.Handle handle;
    private final StringBuilder stderr = new StringBuilder();
    private final Thread listener;

    private RunningProgram(Program program) {
        this.program = program;
        process = program.start();
        in = program.input(process);
        handle = Interruption.onSignal(() -> Program.kill(process));
        listener = Thread.ofPlatform().daemon().start(() -> {
            try (var err = process.getErrorStream()) {
                stderr.append(new String(err.readAllBytes(), StandardCharsets.UTF_8));
            } catch (IOException ignored) {
                // closed, because it was killed
            }
        });
    }

    public static RunningProgram start(Program program) {
        var running = new RunningProgram(program);
        try {
            Interruption.check(); // a signal that came before the handle has not killed it
        } catch (Failure interrupted) {
            running.close();
            throw interrupted;
        }
        return running;
    }

    /** Its stdin. A program that has read enough closes it. */
    public OutputStream in() {
        return in;
    }

    public void closeInput() {
        try {
            in.close();
        } catch (IOException ignored) {
            // it has ended: its exit code is enough
        }
    }

    /** Its stdout. It ends without an exception when the program is killed: the exit code is enough. */
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
                } catch (IOException ignored) {
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
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    public void kill() {
        Program.kill(process);
    }

    /** Waits for its end. An error on stderr is a failure whatever the exit code. @return its warnings, from stderr */
    public String finish(UnaryOperator<String> hide) {
        var ended = ended();
        var messages = hide.apply(ended.err());
        if (ended.code() == 0 && !ERROR.matcher(messages).find()) return messages;
        throw new Failure(new PgProgramFailed(program.name(), ended.code(), messages));
    }

    /** Its stderr, once it has ended. */
    public String stderr() {
        return ended().err();
    }

    private Program.Output ended() {
        try {
            listener.join();
            return program.ended(process.waitFor(), "", stderr.toString());
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    @Override public void close() {
        handle.close();
        kill();
    }
}
