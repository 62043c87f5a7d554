package lib.postgres;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Proxy;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import javax.net.SocketFactory;

/** Connects the JDBC driver, which knows TCP only, to a server of this machine through its Unix socket. */
public final class UnixSocket extends SocketFactory {
    private final Path path;

    /** The driver calls this. @param path of the socket */
    public UnixSocket(String path) {
        this.path = Path.of(path);
    }

    /** As libpq names it. */
    static Path in(String folder, int port) {
        return Path.of(folder, ".s.PGSQL." + port);
    }

    /** @throws IOException never a ConnectException, for which the driver would name a host and a port */
    @Override public Socket createSocket() throws IOException {
        try {
            return new Connection(SocketChannel.open(UnixDomainSocketAddress.of(path)));
        } catch (SocketException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /** The driver sets time-outs, so the channel is not blocking, and a selector waits. */
    private static final class Connection extends Socket {
        private final SocketChannel channel;
        private final Selector readable = Selector.open();
        private final Selector writable = Selector.open();
        private int timeout;

        Connection(SocketChannel channel) throws IOException {
            super(Proxy.NO_PROXY);
            this.channel = channel;
            channel.configureBlocking(false);
            channel.register(readable, SelectionKey.OP_READ);
            channel.register(writable, SelectionKey.OP_WRITE);
        }

        private static void await(Selector selector, int milliseconds) throws IOException {
            try {
                var ready = selector.select(milliseconds);
                selector.selectedKeys().clear();
                if (ready == 0 && milliseconds > 0) throw new SocketTimeoutException("no reply");
            } catch (ClosedSelectorException e) {
                throw new SocketException("the connection was closed", e);
            }
        }

        @Override public InputStream getInputStream() {
            return new InputStream() {
                @Override public int read() throws IOException {
                    var one = new byte[1];
                    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
                }

                @Override public int read(byte[] into, int start, int length) throws IOException {
                    var buffer = ByteBuffer.wrap(into, start, length);
                    int read;
                    while ((read = channel.read(buffer)) == 0 && length > 0) await(readable, timeout);
                    return read;
                }
            };
        }

        @Override public OutputStream getOutputStream() {
            return new OutputStream() {
                @Override public void write(int one) throws IOException {
                    write(new byte[] {(byte) one}, 0, 1);
                }

                @Override public void write(byte[] from, int start, int length) throws IOException {
                    var buffer = ByteBuffer.wrap(from, start, length);
                    while (buffer.hasRemaining()) if (channel.write(buffer) == 0) await(writable, 0);
                }
            };
        }

        @Override public void close() throws IOException {
            channel.close();
            readable.close();
            writable.close();
        }

        @Override public boolean isConnected() { return true; }
        @Override public boolean isClosed() { return !channel.isOpen(); }
        @Override public void setSoTimeout(int milliseconds) { timeout = milliseconds; }
        @Override public int getSoTimeout() { return timeout; }
        @Override public void setTcpNoDelay(boolean on) {} // the options of TCP mean nothing here
        @Override public void setKeepAlive(boolean on) {}
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
