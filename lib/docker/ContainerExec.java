package lib.docker;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Program;

/**
 * Programs in a container, run by the engine's {@code exec}. That sends no signals: when we are killed, all that the program
 * sees is the end of its stdin, which pg_dump never looks at, and which psql takes for the end of a script to commit. So what we
 * send is framed. The end of its input is a frame of its own, and our end, without that frame or after it, kills the program.
 */
public final class ContainerExec {
    /** Those that {@link PgPrograms} sets. */
    private static final List<String> VARIABLES = List.of("PGPASSWORD", "PGTZ", "LC_ALL");

    /**
     * The left side unpacks frames (a length, a line end, that many bytes; or "end") and lives until we do not; then it has the
     * right side end the program, whose stdin it holds open until that is done. A program that has enough of its input may go on:
     * the rest is thrown away. A left side that is gone at the end may have cut the input short, so that is no success. The right side passes on the exit code and ends the left.
     *
     * <p>In most images the server is process 1, which inherits whoever loses its parent. When such a one was killed, or ends with
     * another code than 0 or 1, the server takes it for one of its own that has crashed, and ends every session. So nobody is killed
     * but by who waits for it, and dd and cat do not die of a broken pipe.
     */
    private static final String SCRIPT = """
        unset PGCLIENTENCODING PGHOSTADDR PGOPTIONS PGSERVICE
        dd bs=1 count=1 iflag=fullblock </dev/null >/dev/null 2>&1 || { echo 'dd, which is needed to hand a file in, does not work here' >&2; exit 69; }
        exec 4<&0
        trap 'over=1; [ -z "$right" ] || kill $right' TERM
        {
          trap '' PIPE
          sh -c 'echo $PPID'
          while IFS= read -r n; do
            if [ "$n" = end ]; then exec >/dev/null
            else
              dd bs="$n" count=1 iflag=fullblock 2>/dev/null || case $? in
                1) exec >/dev/null ;;
                *) break ;;
              esac
            fi
          done <&4
          kill $$
          sleep 4 2>/dev/null
        } | {
          exec 5<&0 4<&-
          read -r left
          "$0" "$@" <&5 5<&- & n=$!
          exec 5<&-
          trap 'kill -INT $n; sleep 1; kill $n 2>/dev/null; sleep 1; kill -KILL $n 2>/dev/null' TERM
          while wait $n; code=$?; kill -0 $n 2>/dev/null; do :; done
          kill -KILL $left 2>/dev/null || code=125
          printf '\n%s\n' "ended with $code" >&2
          exit $code
        } & right=$!
        exec 4<&- 2>/dev/null  # of what was killed the shell would tell after the program's last word
        [ -z "$over" ] || kill $right
        while wait $right; code=$?; kill -0 $right 2>/dev/null; do :; done
        exit $code
        """;

    private static final Program.Relay RELAY = new Program.Relay() {
        /** sh, -c and the script. */
        @Override public int ownWords() {
            return 3;
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
     * @param program with its arguments; PGPASSWORD and what else {@link PgPrograms} sets is taken along from the environment
     */
    public static Program of(List<String> exec, List<String> program) {
        var argv = new ArrayList<>(exec);
        var container = argv.removeLast();
        for (var name : VARIABLES) argv.addAll(List.of("-e", name));
        argv.addAll(List.of(container, "sh", "-c", SCRIPT, program.getFirst()));
        return Program.through(RELAY, argv).with(program.subList(1, program.size()).toArray(String[]::new));
    }

    /** The engine's client says 0, and nothing else, when a signal ends it before the program: what counts is said by the shell inside. */
    private static Program.Output ended(int code, String out, String err) {
        var last = "\nended with " + code + "\n";
        if (err.endsWith(last)) return new Program.Output(code, out, err.substring(0, err.length() - last.length()));
        return code == 0 ? new Program.Output(125, out, err + "it was cut off: the engine's client ended before it") : new Program.Output(code, out, err);
    }

    private static final Pattern VERSION = Pattern.compile("\\(PostgreSQL\\) (\\d+)");

    /**
     * The major version of one of PostgreSQL's programs in the container.
     *
     * @throws Failure {@link Problem.NoSuchProgramInside}
     */
    public static int major(List<String> exec, String program) {
        var said = of(exec, List.of(program, "--version")).run();
        var version = VERSION.matcher(said.out());
        if (said.code() == 0 && version.find()) return Integer.parseInt(version.group(1));
        var container = Tunnel.shown(exec);
        throw new Failure(said.code() == 127 ? new Problem.NoSuchProgramInside(container, program)
                : new Problem.ProgramFailed(program + " in container " + container, said.code(), said.out() + said.err()));
    }

    /** What a program is to read. Closing says that this was all; the way itself stays open, or the program would be killed. */
    private static final class Frames extends OutputStream {
        private static final int SIZE = 1 << 20;

        private final OutputStream to;
        private final byte[] frame = new byte[SIZE];
        private int filled;
        private boolean ended;

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
                var now = Math.min(length, SIZE - filled);
                System.arraycopy(from, start, frame, filled, now);
                filled += now;
                start += now;
                length -= now;
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
            if (ended) return;
            ended = true;
            send();
            to.write("end\n".getBytes(StandardCharsets.US_ASCII));
            to.flush();
        }
    }
}
