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
import lib.process.Shell;
import lib.project.Route;

/**
 * Connects the JDBC driver to a server that only a container can reach: each socket is one {@code docker exec -i} that
 * runs tunnel.sh. The driver sets time-outs and adds TLS, so it gets a real socket, connected to this process itself.
 */
public final class Tunnel extends SocketFactory {
    private static final String SCRIPT = ContainerExec.resource("tunnel.sh");
    private static final int CONNECT_SECONDS = 10;
    private static final String READY = "the tunnel is ready";
    /** Exit codes of tunnel.sh. 0 is a failure: the docker client exits with it when a signal ends it. */
    private static final int SERVER_CLOSED = 64;
    private static final int NO_PROGRAM = 69;

    private record Target(List<String> exec, String host, int port) {}

    private final Target target;

    /** The driver calls this. @param argument as {@link #to} writes it */
    public Tunnel(String argument) {
        target = new Gson().fromJson(argument, Target.class);
    }

    /**
     * @param exec {@code docker exec -i ID}: the container last
     * @param host in the container; not 127.0.0.1 where possible, because the server may accept any password from there
     */
    public static Route.SocketFactory to(List<String> exec, String host, int port) {
        return new Route.SocketFactory(Tunnel.class.getName(), new Gson().toJson(new Target(exec, host, port)));
    }

    /** @throws IOException with a Failure as its cause, and with its message */
    @Override public Socket createSocket() throws IOException {
        try {
            var exec = new ArrayList<>(target.exec);
            exec.addAll(List.of("sh", "-c", SCRIPT, "tunnel", READY, target.host, String.valueOf(target.port),
                String.valueOf(CONNECT_SECONDS)));
            // undo needs the database, even after a second Ctrl-C
            var process = Program.of(exec).inOwnSession().start();
            try (var handle = Interruption.onSignal(() -> Program.kill(process))) {
                Interruption.check();
                return new TunnelSocket(process).connected();
            } catch (IOException | RuntimeException e) {
                Program.kill(process);
                throw e;
            }
        } catch (Failure e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** The driver's end. When the exec breaks, the driver's next read throws the reason. */
    private final class TunnelSocket extends Socket {
        private final Process process;
        private final StringBuffer messages = new StringBuffer();
        private final Thread listener;
        private volatile Failure broken;

        TunnelSocket(Process process) {
            super(Proxy.NO_PROXY);
            this.process = process;
            listener = thread("messages", () ->
                messages.append(new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8)));
        }

        Socket connected() throws IOException {
            awaitReady();
            var other = connectToSelf();
            thread("up", () -> up(other));
            thread("down", () -> down(other));
            return this;
        }

        private void awaitReady() {
            var ready = new CompletableFuture<Boolean>();
            thread("ready", () -> ready.complete(isReady()));
            try {
                if (ready.get(CONNECT_SECONDS + 5, TimeUnit.SECONDS)) return;
                throw Objects.requireNonNullElseGet(whyEnded(), () -> failure("the connection was closed at once"));
            } catch (TimeoutException e) {
                throw failure("no reply within " + (CONNECT_SECONDS + 5) + " s");
            } catch (ExecutionException e) {
                throw new IllegalStateException(e);
            } catch (InterruptedException e) {
                throw new Failure(new Problem.Interrupted(), e);
            }
        }

        /** Reads only up to the ready line. Docker may report an error on stdout. */
        private boolean isReady() {
            var line = new ByteArrayOutputStream();
            try {
                for (int c; (c = process.getInputStream().read()) >= 0; ) {
                    if (c != '\n') {
                        line.write(c);
                        continue;
                    }
                    var text = line.toString(StandardCharsets.UTF_8);
                    if (text.equals(READY)) return true;
                    messages.append(text).append('\n');
                    line.reset();
                }
            } catch (IOException ignored) {
                // the exit code has the reason
            }
            messages.append(line.toString(StandardCharsets.UTF_8));
            return false;
        }

        /** Accepts only its own connection: another user of this machine may connect first. */
        private Socket connectToSelf() throws IOException {
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

        /** Reads to the end, also when the process has ended: closing earlier would lose the server's last message. */
        private void up(Socket other) throws IOException {
            try (other) {
                try {
                    copy(other.getInputStream(), process.getOutputStream());
                } catch (IOException ignored) {
                    other.getInputStream().transferTo(OutputStream.nullOutputStream());
                }
            } finally {
                endExec();
            }
        }

        private void endExec() throws IOException {
            try {
                process.getOutputStream().close();
            } catch (IOException ignored) {
                // it has ended already
            }
            try {
                process.waitFor(5, TimeUnit.SECONDS);
            } catch (InterruptedException ignored) {
                // it is killed below
            }
            Program.kill(process);
        }

        private void down(Socket other) throws IOException {
            try {
                copy(process.getInputStream(), other.getOutputStream());
            } finally {
                broken = whyEnded();
                other.shutdownOutput();
            }
        }

        /** Why the exec ended; null when the server closed the connection. */
        private Failure whyEnded() {
            try {
                if (!process.waitFor(5, TimeUnit.SECONDS)) return failure("docker exec does not end");
                listener.join(1_000);
                var code = process.exitValue();
                var text = messages.toString().strip().replace("\n", "; ");
                return switch (code) {
                    case SERVER_CLOSED -> null;
                    case NO_PROGRAM -> noProgram();
                    default -> failure(text.isEmpty() ? "docker exec ended with exit code " + code : text);
                };
            } catch (InterruptedException e) {
                return new Failure(new Problem.Interrupted(), e);
            }
        }

        private Failure failure(String why) {
            var what = "no connection to port %d in container %s: %s".formatted(target.port, container(), why);
            return Failure.failed(what)
                .next("see whether it runs: " + Shell.line("docker", "ps", "--all", "--filter", "id=" + container()));
        }

        private String container() {
            return ContainerExec.containerName(target.exec);
        }

        private Failure noProgram() {
            return Failure.failed("container " + container() + " has none of bash, python3, perl and nc (other than"
                    + " OpenBSD's), so its database can be reached only through a published port")
                .next("publish the database's port in the compose file (ports: \"127.0.0.1:5432:5432\"), start it"
                    + " again, and set DB_HOST=localhost");
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

    /** Flushes after each read. */
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

    private static Thread thread(String name, Work work) {
        return Thread.ofPlatform().daemon().name("tunnel " + name).start(() -> {
            try {
                work.run();
            } catch (IOException ignored) {
                // the other direction ends too, and reports the reason
            }
        });
    }

    // ---- not used by the driver --------------------------------------------------------------

    @Override public Socket createSocket(String host, int port) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(String host, int port, InetAddress local, int localPort) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(InetAddress host, int port) throws IOException {
        return createSocket();
    }

    @Override public Socket createSocket(InetAddress host, int port, InetAddress local, int localPort)
            throws IOException {
        return createSocket();
    }
}
