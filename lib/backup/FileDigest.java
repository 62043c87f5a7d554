package lib.backup;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import lib.files.Disk;

/** The length and SHA-256 of a file, counted while it is written or read. */
final class FileDigest {
    private static final int BLOCK = 1 << 16;
    private final MessageDigest digest = Disk.sha256Digest();
    private long bytes;

    private FileDigest() {}

    private void add(byte[] block, int start, int length) {
        digest.update(block, start, length);
        bytes += length;
    }

    /** @param sha256 in hexadecimal digits */
    record Value(long bytes, String sha256) {}

    /** To be asked once, at the end. */
    private Value value() {
        return new Value(bytes, HexFormat.of().formatHex(digest.digest()));
    }

    /** Closing it does not close the channel, which has to be forced to disk first. */
    static final class Out extends OutputStream {
        private final FileDigest digest = new FileDigest();
        private final FileChannel file;

        Out(FileChannel file) {
            this.file = file;
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            for (var left = ByteBuffer.wrap(from, start, length); left.hasRemaining(); ) file.write(left);
            digest.add(from, start, length);
        }

        Value end() {
            return digest.value();
        }
    }

    static final class In extends FilterInputStream {
        private final FileDigest digest = new FileDigest();

        In(Path file) throws IOException {
            super(Files.newInputStream(file));
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            var n = in.read(to, start, length);
            if (n > 0) digest.add(to, start, n);
            return n;
        }

        @Override public long skip(long n) throws IOException {
            return read(new byte[(int) Math.min(n, BLOCK)]);
        }

        @Override public boolean markSupported() {
            return false;
        }

        /** Reads what the caller has left unread. */
        Value end() throws IOException {
            transferTo(OutputStream.nullOutputStream());
            return digest.value();
        }
    }
}
