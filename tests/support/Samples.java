package support;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;

/** Bytes to compress, to encrypt and to read back. */
public final class Samples {
    private Samples() {}

    public static byte[] random(int size) {
        var bytes = new byte[size];
        new Random(size).nextBytes(bytes);
        return bytes;
    }

    /** Like a table in a dump. */
    public static byte[] realistic(int size) {
        var random = new Random(1);
        var text = new StringBuilder(size + 100);
        for (int row = 1; text.length() < size; row++)
            text.append(row)
                    .append('\t')
                    .append(Integer.toHexString(random.nextInt()))
                    .append("\tcustomer number ")
                    .append(random.nextInt(1000))
                    .append("\t2026-11-22\t\\N\n");
        return text.substring(0, size).getBytes(StandardCharsets.US_ASCII);
    }

    public static byte[] join(byte[] one, byte[] two) {
        var both = Arrays.copyOf(one, one.length + two.length);
        System.arraycopy(two, 0, both, one.length, two.length);
        return both;
    }

    /** Returns few bytes at a time and an unknown rest, as a pipe or a network does. */
    public static final class Dribble extends InputStream {
        private final InputStream in;

        public Dribble(byte[] bytes) {
            in = new ByteArrayInputStream(bytes);
        }

        @Override public int read() throws IOException {
            return in.read();
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            return in.read(to, start, Math.min(length, 777));
        }

        @Override public int available() {
            return 0;
        }
    }
}
