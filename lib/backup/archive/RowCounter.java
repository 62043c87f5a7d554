package lib.backup.archive;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Counts and hashes the lines of COPY's text format up to its last line, {@code \.}; a line end within a value is
 * escaped there. It keeps no row: one can be larger than the memory.
 */
final class RowCounter implements Archive.Data {
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final byte[] END = {'\\', '.'};

    private final XxHash64 line = new XxHash64();
    private final LatestMigration migrations;
    private final ByteArrayOutputStream text = new ByteArrayOutputStream();
    private long rows;
    private long hash;
    private long bytes;
    private boolean ended;

    /** @param migrations sees each row; null for any table but django_migrations */
    RowCounter(LatestMigration migrations) {
        this.migrations = migrations;
    }

    @Override public void take(byte[] from, int start, int to) {
        for (int at = start, end; at < to; at = end + 1) {
            end = lineEnd(from, at, to);
            line.add(from, at, end);
            if (migrations != null) text.write(from, at, end - at);
            if (end < to) row();
        }
    }

    /**
     * Where the line ends, or {@code to}. Eight bytes at a time: after the XOR a line feed is 0, which the borrow of
     * the subtraction shows.
     */
    private static int lineEnd(byte[] bytes, int from, int to) {
        var at = from;
        for (; at <= to - 8; at += 8) {
            var eight = (long) LONG.get(bytes, at) ^ 0x0a0a0a0a0a0a0a0aL;
            var found = eight - 0x0101010101010101L & ~eight & 0x8080808080808080L;
            if (found != 0) return at + (Long.numberOfTrailingZeros(found) >> 3);
        }
        while (at < to && bytes[at] != '\n') at++;
        return at;
    }

    private void row() {
        if (!ended && !(ended = line.is(END))) {
            rows++;
            bytes += line.length() + 1;
            hash += line.end();
            if (migrations != null) migrations.add(text.toString(StandardCharsets.UTF_8));
        }
        line.begin(0);
        text.reset();
    }

    /** @throws EOFException the rows end before their last line */
    Contents.Rows finish() throws EOFException {
        if (line.length() > 0 || !ended) throw new EOFException("the rows of a table end early");
        return new Contents.Rows(rows, hash, bytes);
    }
}
