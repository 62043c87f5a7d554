package lib.backup;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/**
 * Reads a tar archive of pg_dump's to its end. pg_restore 15 to 18 reads one that was cut for ever: this has to come before it.
 */
final class Tar {
    private static final int BLOCK = 512;

    private Tar() {}

    /** @throws IOException it ends early, or a header is damaged: the message says how */
    static void read(InputStream in) throws IOException {
        for (byte[] header; (header = in.readNBytes(BLOCK)).length == BLOCK; ) {
            if (isZero(header)) return;
            if (number(header, 148, 8) != sum(header)) throw new IOException("a header within it is damaged");
            var size = number(header, 124, 12);
            in.skipNBytes((size + BLOCK - 1) / BLOCK * BLOCK);
        }
        throw new EOFException("it ends early");
    }

    private static boolean isZero(byte[] header) {
        for (var b : header) if (b != 0) return false;
        return true;
    }

    /** Octal digits, or from 8 GB on a binary number with its highest bit set. */
    private static long number(byte[] header, int at, int length) throws IOException {
        if ((header[at] & 0x80) != 0) {
            long value = 0;
            for (int i = at + length - 8; i < at + length; i++) value = value << 8 | header[i] & 0xff;
            return value;
        }
        try {
            return Long.parseLong(new String(header, at, length, StandardCharsets.ISO_8859_1).replace('\0', ' ').strip(), 8);
        } catch (NumberFormatException e) {
            throw new IOException("a header within it is damaged", e);
        }
    }

    /** Its own field counts as blanks. */
    private static long sum(byte[] header) {
        long sum = 0;
        for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : header[i] & 0xff;
        return sum;
    }
}
