package lib.backup;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.regex.Pattern;
import lib.backup.archive.Contents;

/**
 * Removes the one setting that servers before PostgreSQL 17 do not know from the SQL that pg_dump and pg_restore 17 and
 * newer write. The setting is among the first lines; everything after them, rows above all, passes unchanged.
 */
final class TransactionTimeoutFilter extends FilterOutputStream {
    static final String STATEMENT = "SET transaction_timeout = 0;";
    private static final Pattern LINE = Pattern.compile("(?md)^" + STATEMENT + "\n");
    private static final int HEAD = 4096; // bytes: pg_dump's settings come first
    private static final int SINCE = 17; // major version

    private byte[] head = new byte[HEAD]; // null once it has passed
    private int length;

    TransactionTimeoutFilter(OutputStream to) {
        super(to);
    }

    /** Whether the program writes what the server does not know; both versions as pg_dump writes them. */
    static boolean isNeeded(String server, String program) {
        return Contents.major(server) < SINCE && Contents.major(program) >= SINCE;
    }

    @Override public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override public void write(byte[] from, int start, int count) throws IOException {
        var n = head == null ? 0 : Math.min(count, HEAD - length);
        if (n > 0) {
            System.arraycopy(from, start, head, length, n);
            length += n;
            if (length == HEAD) passHead();
        }
        if (n < count) out.write(from, start + n, count - n);
    }

    private void passHead() throws IOException {
        var text = new String(head, 0, length, StandardCharsets.ISO_8859_1); // any byte is a character
        head = null;
        out.write(LINE.matcher(text).replaceFirst("").getBytes(StandardCharsets.ISO_8859_1));
    }

    @Override public void close() throws IOException {
        if (head != null) passHead();
        super.close();
    }
}
