package support;

import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** JSON lines between two JVMs on a Unix socket, so that their standard streams belong to the commands and tests. */
final class JsonLines implements AutoCloseable {
    private static final Gson JSON = new Gson();

    private final SocketChannel channel;
    private final PrintWriter out;
    private final BufferedReader in;

    private JsonLines(SocketChannel channel) {
        this.channel = channel;
        out = new PrintWriter(Channels.newWriter(channel, StandardCharsets.UTF_8), true);
        in = new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
    }

    interface Starter {
        /** @param socket for {@link #connect} */
        Process start(Path socket) throws IOException;
    }

    record Connected(Process process, JsonLines lines) {}

    static Connected start(Starter starter) throws IOException {
        var folder = Files.createTempDirectory("socket"); // 0700: other users cannot connect
        var socket = folder.resolve("socket");
        try (var server =
                ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket))) {
            var process = starter.start(socket);
            process.onExit().thenRun(() -> close(server)); // or accept would wait forever
            return new Connected(process, new JsonLines(server.accept()));
        } finally {
            Files.deleteIfExists(socket);
            Files.delete(folder);
        }
    }

    private static void close(ServerSocketChannel server) {
        try {
            server.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static JsonLines connect(String socket) throws IOException {
        return new JsonLines(SocketChannel.open(UnixDomainSocketAddress.of(socket)));
    }

    synchronized void send(Object value) {
        out.println(JSON.toJson(value));
    }

    /** The next value, or null when the other side has ended. */
    <T> T receive(Class<T> type) throws IOException {
        return JSON.fromJson(in.readLine(), type);
    }

    @Override public void close() throws IOException {
        channel.close();
    }
}
