package lib.backup;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import lib.backup.archive.Contents;

/**
 * SQL of pg_dump 17 and newer on its way to an older server: the one setting that this does not know is left out. It stands
 * among the first lines; whatever comes later, rows above all, goes through as it is.
 */
final class OldServer extends FilterOutputStream {
    static final String UNKNOWN = "SET transaction_timeout = 0;";
    private static final byte[] LINE = (UNKNOWN + "\n").getBytes(StandardCharsets.US_ASCII);
    private static final int HEAD = 4096; // bytes: pg_dump's settings come before everything else

    private byte[] head = new byte[HEAD];
    private int filled;

    OldServer(OutputStream to) {
        super(to);
    }

    /** Whether this pg_dump or pg_restore, as it names its version, says what that server does not know. */
    static boolean isOld(String server, String program) {
        return Contents.major(server) < 17 && Contents.major(program) >= 17;
    }

    @Override public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override public void write(byte[] from, int start, int length) throws IOException {
        var n = head == null ? 0 : Math.min(length, HEAD - filled);
        if (n > 0) {
            System.arraycopy(from, start, head, filled, n);
            filled += n;
            if (filled == HEAD) passHead();
        }
        if (n < length) out.write(from, start + n, length - n);
    }

    private void passHead() throws IOException {
        var at = find();
        out.write(head, 0, at < 0 ? filled : at);
        if (at >= 0) out.write(head, at + LINE.length, filled - at - LINE.length);
        head = null;
    }

    private int find() {
        for (int i = 0; i + LINE.length <= filled; i++)
            if ((i == 0 || head[i - 1] == '\n') && Arrays.equals(head, i, i + LINE.length, LINE, 0, LINE.length)) return i;
        return -1;
    }

    @Override public void close() throws IOException {
        if (head != null) passHead();
        super.close();
    }
}
