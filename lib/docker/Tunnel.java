package lib.docker;

import com.google.gson.Gson;
import java.io.ByteArrayOutputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Proxy;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.SocketFactory;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Route;

/**
 * A way for the JDBC driver to a server that only a container sees: each socket is one {@code docker exec -i} that runs whatever
 * the container has to speak TCP with. The driver gets a real socket, connected to ourselves, as it sets timeouts and layers TLS.
 */
public final class Tunnel extends SocketFactory {
    private static final int CONNECT_SECONDS = 10;
    private static final String READY = "the tunnel is ready";
    private static final int NOTHING_TO_SPEAK_WITH = 69;
    /** The server has closed: the engine's client says 0 when a signal ends it. */
    private static final int CLOSED = 64;

    /**
     * exec sends no signals: when we are gone, all that is seen inside is the end of stdin. So each of these ends when either
     * side does. OpenBSD's nc does not notice that the server has gone, and is not taken. Whatever is killed is waited for by who
     * started it, and what may lose its parent ends with 0 or 1: see {@link ContainerExec}.
     */
    private static final String SCRIPT = """
        has() { command -v "$1" >/dev/null 2>&1; }
        if has bash && bash -c '((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] > 402))'; then
          exec bash -c '
            exec 3<>"/dev/tcp/$2/$3" || exit 1
            echo "$1"
            exec 4<&0
            cat <&4 >&3 & up=$!
            cat <&3 3>&- 4<&- & down=$!
            exec 3>&- 4<&-
            wait -n || wait -n  # what breaks by itself ends the other, once that has passed on the last word
            kill $up $down 2>/dev/null
            wait
            exit 64' bash "$@"
        elif has python3; then
          exec python3 -c '
        import os, socket, sys, threading
        try: s = socket.create_connection((sys.argv[2], int(sys.argv[3])), int(sys.argv[4]))
        except OSError as e: sys.exit(str(e))
        s.settimeout(None)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(sys.argv[1], flush=True)
        def up():
            try:
                while True:
                    data = os.read(0, 1 << 16)
                    if not data: os._exit(0)
                    s.sendall(data)
            except OSError: pass
        threading.Thread(target=up, daemon=True).start()
        with open(1, "wb", buffering=0, closefd=False) as out:
            try:
                while True:
                    data = s.recv(1 << 16)
                    if not data: break
                    while data: data = data[out.write(data):]
            except OSError: pass
        os._exit(64)' "$@"
        elif has perl && perl -MIO::Socket::INET -e 1 2>/dev/null; then
          exec perl -MIO::Socket::INET -e '
        my ($ready, $host, $port, $seconds) = @ARGV;
        my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => $seconds) or die "$host port $port: $@\\n";
        sub copy { my ($from, $to) = @_;
            while (my $n = sysread($from, my $data, 65536)) {
                my $done = 0;
                while ($done < $n) { my $w = syswrite($to, $data, $n - $done, $done); return 0 unless defined $w; $done += $w; }
            }
            return 1; }
        syswrite(STDOUT, "$ready\\n");
        $SIG{PIPE} = "IGNORE";
        my $parent = $$;
        my $up = fork // die "fork: $!\\n";
        if (!$up) { copy(\\*STDIN, $s) and kill "KILL", $parent; exit 0; }
        copy($s, \\*STDOUT);
        kill "KILL", $up;
        waitpid $up, 0;
        exit 64;' "$@"
        elif nc=nc; has nc && ! nc -h 2>&1 | grep -q OpenBSD || { nc="busybox nc"; has busybox; }; then
          echo "$1"
          exec 4<&0
          trap 'over=1; [ -z "$right" ] || kill $right' TERM
          { trap '' PIPE; sh -c 'echo $PPID'; cat <&4 2>/dev/null; kill $$; } | {
            exec 5<&0 4<&-
            read -r left
            $nc "$2" "$3" <&5 5<&- & n=$!
            exec 5<&-
            trap 'kill $n' TERM
            while wait $n; code=$?; kill -0 $n 2>/dev/null; do :; done
            kill -KILL $left
            [ $code = 0 ] && exit 64
            exit $code
          } & right=$!
          exec 4<&- 2>/dev/null
          [ -z "$over" ] || kill $right
          while wait $right; code=$?; kill -0 $right 2>/dev/null; do :; done
          exit $code
        else
          exit 69
        fi
        """;

    private record Way(List<String> exec, String host, int port) {}

    private final Way way;

    /** @param argument as {@link #to} makes it; the driver calls this */
    public Tunnel(String argument) {
        way = new Gson().fromJson(argument, Way.class);
    }

    /**
     * @param exec {@code docker exec -i ID}: the container last
     * @param host as the container knows it; the server may trust 127.0.0.1 and not look at passwords
     */
    public static Route.SocketFactory to(List<String> exec, String host, int port) {
        return new Route.SocketFactory(Tunnel.class.getName(), new Gson().toJson(new Way(exec, host, port)));
    }

    /** @throws IOException with a Failure as its cause, and that one's words */
    @Override public Socket createSocket() throws IOException {
        try {
            var exec = new ArrayList<>(way.exec);
            exec.addAll(List.of("sh", "-c", SCRIPT, "tunnel", READY, way.host, String.valueOf(way.port), String.valueOf(CONNECT_SECONDS)));
            var process = Program.of(exec).inOwnSession().start(); // putting back needs the database, also after a second Ctrl-C
            try (var handle = Interruption.onSignal(() -> Program.kill(process))) {
                Interruption.check();
                return new End(process).connected();
            } catch (IOException | RuntimeException e) {
                Program.kill(process);
                throw e;
            }
        } catch (Failure e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private String container() {
        return shown(way.exec);
    }

    /** As the engine's own lists have it. */
    static String shown(List<String> exec) {
        return exec.getLast().matches("[0-9a-f]{64}") ? exec.getLast().substring(0, 12) : exec.getLast();
    }

    /** The driver's end. What ended the exec is said where the driver reads: it knows only that nothing more comes. */
    private final class End extends Socket {
        private final Process process;
        private final StringBuffer words = new StringBuffer();
        private final Thread listener;
        private volatile Failure broken;

        End(Process process) {
            super(Proxy.NO_PROXY);
            this.process = process;
            listener = thread("words", () -> words.append(new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8)));
        }

        Socket connected() throws IOException {
            awaitReady();
            var other = connectToOurselves();
            thread("up", () -> up(other));
            thread("down", () -> down(other));
            return this;
        }

        private void awaitReady() {
            var ready = new CompletableFuture<Boolean>();
            thread("ready", () -> ready.complete(isReady()));
            try {
                if (!ready.get(CONNECT_SECONDS + 5, TimeUnit.SECONDS)) throw Objects.requireNonNullElseGet(broke(), () -> failure("it ended at once"));
            } catch (TimeoutException e) {
                throw failure("no answer within " + (CONNECT_SECONDS + 5) + " s");
            } catch (ExecutionException e) {
                throw new IllegalStateException(e);
            } catch (InterruptedException e) {
                throw new Failure(new Problem.Interrupted(), e);
            }
        }

        /** Reads no further than that line. An engine may say on stdout that it could not start anything. */
        private boolean isReady() {
            var line = new ByteArrayOutputStream();
            try {
                for (int c; (c = process.getInputStream().read()) >= 0; ) {
                    if (c != '\n') {
                        line.write(c);
                        continue;
                    }
                    var said = line.toString(StandardCharsets.UTF_8);
                    if (said.equals(READY)) return true;
                    words.append(said).append('\n');
                    line.reset();
                }
            } catch (IOException killed) {
                // its exit code tells
            }
            words.append(line.toString(StandardCharsets.UTF_8));
            return false;
        }

        /** Another user of this machine may connect first. */
        private Socket connectToOurselves() throws IOException {
            try (var server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
                server.setSoTimeout(5_000);
                connect(server.getLocalSocketAddress(), 5_000);
                while (true) {
                    var other = server.accept();
                    if (other.getRemoteSocketAddress().equals(getLocalSocketAddress())) {
                        other.setTcpNoDelay(true);
                        return other;
                    }
                    other.close();
                }
            }
        }

        /** Goes on reading when nobody takes it any more: closing on unread bytes would take back what the server said last. */
        private void up(Socket other) throws IOException {
            try (other) {
                try {
                    copy(other.getInputStream(), process.getOutputStream());
                } catch (IOException gone) {
                    other.getInputStream().transferTo(OutputStream.nullOutputStream());
                }
            } finally {
                endExec();
            }
        }

        private void endExec() throws IOException {
            try {
                process.getOutputStream().close();
            } catch (IOException gone) {
                // that is what was wanted
            }
            try {
                process.waitFor(5, TimeUnit.SECONDS);
            } catch (InterruptedException atOnce) {
                // as below
            }
            Program.kill(process);
        }

        private void down(Socket other) throws IOException {
            try {
                copy(process.getInputStream(), other.getOutputStream());
            } finally {
                broken = broke();
                other.shutdownOutput();
            }
        }

        /** Why the exec has ended; null when the server has closed, or we have. */
        private Failure broke() {
            try {
                if (!process.waitFor(5, TimeUnit.SECONDS)) return failure("its exec does not end");
                listener.join(1_000);
                var code = process.exitValue();
                if (code == NOTHING_TO_SPEAK_WITH) return new Failure(new Problem.NoWayToPort(container()));
                return code == CLOSED ? null : failure(words.toString().isBlank() ? "it was ended (exit code " + code + ")" : words.toString().strip().replace("\n", "; "));
            } catch (InterruptedException e) {
                return new Failure(new Problem.Interrupted(), e);
            }
        }

        private Failure failure(String why) {
            return new Failure(new Problem.TunnelBroken(container(), way.port, why));
        }

        @Override public InputStream getInputStream() throws IOException {
            return new FilterInputStream(super.getInputStream()) {
                @Override public int read() throws IOException {
                    return explained(in.read());
                }

                @Override public int read(byte[] into, int start, int length) throws IOException {
                    return explained(in.read(into, start, length));
                }
            };
        }

        private int explained(int read) throws IOException {
            if (read < 0 && broken != null) throw new IOException(broken.getMessage(), broken);
            return read;
        }
    }

    private static void copy(InputStream from, OutputStream to) throws IOException {
        var bytes = new byte[1 << 16];
        for (int n; (n = from.read(bytes)) >= 0; ) {
            to.write(bytes, 0, n);
            to.flush();
        }
    }

    private interface Work {
        void run() throws IOException;
    }

    private static Thread thread(String what, Work work) {
        return Thread.ofPlatform().daemon().name("tunnel " + what).start(() -> {
            try {
                work.run();
            } catch (IOException closed) {
                // the other direction ends too, and says why
            }
        });
    }

    // The driver uses none of these.

    @Override public Socket createSocket(String host, int port) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(InetAddress host, int port) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort) throws IOException {
        return createSocket();
    }
}
