package lib.docker;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.process.Program;

/**
 * Programs in a container, run by {@code docker exec}, which forwards no signals: when this process is killed, the
 * program sees only the end of its stdin. pg_dump does not read stdin, and psql takes its end for the end of the script
 * and commits. So the input is sent in frames, and exec.sh kills the program when stdin ends without an end frame.
 */
public final class ContainerExec {
    private static final String SCRIPT = resource("exec.sh");
    /** The variables that {@link lib.postgres.PgPrograms} sets. */
    private static final List<String> VARIABLES = List.of("PGPASSWORD", "PGTZ", "LC_ALL");
    private static final Pattern VERSION = Pattern.compile("\\(PostgreSQL\\) (\\d+)");
    private static final int COMMAND_NOT_FOUND = 127;
    private static final int CUT_OFF = 125;

    private static final Program.Relay RELAY = new Program.Relay() {
        @Override public int ownArguments() {
            return 3; // sh, -c and the script
        }

        @Override public OutputStream input(OutputStream to) {
            return new Frames(to);
        }

        @Override public Program.Output ended(int code, String out, String err) {
            return ContainerExec.ended(code, out, err);
        }
    };

    private ContainerExec() {}

    /**
     * @param exec    {@code docker exec -i ID}: the container last, the options before it
     * @param program the program and its arguments; it gets PGPASSWORD, PGTZ and LC_ALL from the environment
     */
    public static Program of(List<String> exec, List<String> program) {
        var argv = new ArrayList<>(exec);
        var container = argv.removeLast();
        for (var name : VARIABLES) argv.addAll(List.of("-e", name));
        argv.addAll(List.of(container, "sh", "-c", SCRIPT, program.getFirst()));
        return Program.through(RELAY, argv).with(program.subList(1, program.size()).toArray(String[]::new));
    }

    /**
     * When a signal ends the docker client before the program, the client exits with 0 and prints nothing. So only the
     * exit code that exec.sh writes as its last line counts.
     */
    private static Program.Output ended(int code, String out, String err) {
        var last = "\nended with " + code + "\n";
        if (err.endsWith(last)) return new Program.Output(code, out, err.substring(0, err.length() - last.length()));
        if (code != 0) return new Program.Output(code, out, err);
        return new Program.Output(CUT_OFF, out, err + "cut off: the docker client ended before the program");
    }

    /** Of one of PostgreSQL's programs. @throws Failure the container does not have it, or does not run */
    public static int majorVersion(List<String> exec, String program) {
        var output = of(exec, List.of(program, "--version")).run();
        var version = VERSION.matcher(output.out());
        if (output.code() == 0 && version.find()) return Integer.parseInt(version.group(1));
        var container = containerName(exec);
        if (output.code() == COMMAND_NOT_FOUND) {
            throw Failure.failed("container " + container + " has no " + program)
                .next("use a PostgreSQL image that contains it, as the official images do");
        }
        throw Program.failed(program + " in container " + container, output.code(), output.out() + output.err());
    }

    /** As docker's own lists show it: a full id is cut to 12 digits. */
    static String containerName(List<String> exec) {
        return exec.getLast().replaceFirst("^([0-9a-f]{12})[0-9a-f]{52}$", "$1");
    }

    /** A file of this package. */
    static String resource(String name) {
        try (var in = ContainerExec.class.getResourceAsStream(name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Sends the program's input in frames. Closing leaves the process's stdin open: its end kills the program. */
    private static final class Frames extends OutputStream {
        private static final int SIZE = 1 << 20;

        private final OutputStream to;
        private final byte[] frame = new byte[SIZE];
        private int filled;
        private boolean closed;

        Frames(OutputStream to) {
            this.to = to;
        }

        @Override public void write(int one) throws IOException {
            if (filled == SIZE) send();
            frame[filled++] = (byte) one;
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            while (length > 0) {
                if (filled == SIZE) send();
                var count = Math.min(length, SIZE - filled);
                System.arraycopy(from, start, frame, filled, count);
                filled += count;
                start += count;
                length -= count;
            }
        }

        private void send() throws IOException {
            if (filled == 0) return;
            to.write((filled + "\n").getBytes(StandardCharsets.US_ASCII));
            to.write(frame, 0, filled);
            filled = 0;
        }

        @Override public void flush() throws IOException {
            send();
            to.flush();
        }

        @Override public void close() throws IOException {
            if (closed) return;
            closed = true;
            send();
            to.write("end\n".getBytes(StandardCharsets.US_ASCII));
            to.flush();
        }
    }
}
