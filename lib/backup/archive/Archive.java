package lib.backup.archive;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * Reads a pg_dump archive in the custom format from its first byte to its last, in one pass without seeking, and counts
 * what is in it. The format is that of PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c, versions 1.12
 * (PostgreSQL 10) to 1.16 (18). An archive that ends early or violates the format is an IOException.
 */
public final class Archive implements AutoCloseable {
    static final byte[] MAGIC = "PGDMP".getBytes(StandardCharsets.US_ASCII);
    private static final int OLDEST = 0x010c;
    private static final int NEWEST = 0x0110;
    private static final int CUSTOM = 1;
    private static final int DATA = 1;
    private static final int LARGE_OBJECTS = 3;
    private static final int LARGEST = 100_000_000; // of a count or a text's length
    private static final int SHOWN = 60; // characters of a line in a message

    /**
     * How the rows inside are compressed. Our own archives leave them plain, because compressing the whole archive is
     * better.
     */
    private enum RowCompression {NONE, GZIP, LZ4, ZSTD}

    private record Item(Contents.Entry entry, boolean hasData, String copy) {}

    private final InputStream in;
    private final OutputStream copy;
    private final byte[] buffer = new byte[1 << 17];
    private int at;
    private int end;
    private int version;
    private int integer;
    private int offset;
    private RowCompression compression = RowCompression.NONE;
    private final Map<Integer, Item> items = new HashMap<>();
    private final List<Contents.Entry> entries = new ArrayList<>();
    private final SortedMap<String, Contents.Rows> tables = new TreeMap<>();
    private final SortedMap<String, String> sequences = new TreeMap<>();
    private final SortedMap<String, String> constraints = new TreeMap<>();
    private final Set<Integer> missing = new HashSet<>();
    private final LargeObjects objects = new LargeObjects();
    private Contents.Migration lastMigration;
    private Inflater inflater;

    private Archive(InputStream in, OutputStream copy) {
        this.in = in;
        this.copy = copy;
    }

    /**
     * @param copy gets every byte that is read, also those before an error
     * @throws IOException from {@code in} or {@code copy}, or the archive is damaged: the message says how
     */
    public static Contents read(InputStream in, OutputStream copy) throws IOException {
        try (var archive = new Archive(in, copy)) {
            return archive.read();
        }
    }

    /** Not an archive; the message is what it starts with. */
    public static final class NotOne extends IOException {
        NotOne(String start) {
            super(start);
        }
    }

    private Contents read() throws IOException {
        requireMagic();
        version = unsigned() << 8 | unsigned();
        unsigned();
        if (version < OLDEST || version > NEWEST)
            throw new IOException("version %d.%d of the format is not supported"
                    .formatted(version >> 8, version & 0xff));
        integer = unsigned();
        offset = unsigned();
        if (integer < 4 || integer > 8 || offset < 4 || offset > 8)
            throw new IOException("its integers have %d bytes, its offsets %d".formatted(integer, offset));
        if (unsigned() != CUSTOM) throw new IOException("it is not of the custom format");
        compression = compression();
        for (int i = 0; i < 7; i++) integer(); // when it was made, in the server's local time
        var database = text();
        var server = text();
        var pgDump = text();
        for (int i = 0, n = integer(0, LARGEST); i < n; i++) readItem();
        while (fill()) readBlock();
        if (!missing.isEmpty()) {
            var first = items.get(missing.stream().sorted().findFirst().get()).entry();
            throw new EOFException("it ends before the data of %s%s"
                    .formatted(first, missing.size() == 1 ? "" : " and %d others".formatted(missing.size() - 1)));
        }
        return new Contents(database, server, pgDump, List.copyOf(entries), tables, sequences, objects.rows(),
                constraints, lastMigration);
    }

    private void requireMagic() throws IOException {
        for (int i = 0; i < MAGIC.length; i++) {
            if (at == end && !fill() || buffer[at] != MAGIC[i]) {
                while (end < 200 && more()) {}
                throw new NotOne(new String(buffer, 0, Math.min(end, 200), StandardCharsets.UTF_8));
            }
            at++;
        }
    }

    private RowCompression compression() throws IOException {
        // A level, -1 for the library's own
        if (version < 0x010f) return integer() == 0 ? RowCompression.NONE : RowCompression.GZIP;
        var algorithm = unsigned();
        if (algorithm >= RowCompression.values().length)
            throw new IOException("its compression %d is not supported".formatted(algorithm));
        return RowCompression.values()[algorithm];
    }

    // ---- the table of contents ---------------------------------------------------------------

    private void readItem() throws IOException {
        var id = integer(1, Integer.MAX_VALUE);
        var hasData = integer() != 0;
        text(); // oids of the catalog and of the object
        text();
        var name = text();
        var kind = text();
        integer(); // section
        var definition = text();
        text(); // how to drop it
        var copyStatement = text();
        var schema = text();
        text(); // tablespace
        if (version >= 0x010e) text(); // access method
        if (version >= 0x0110) integer(); // relkind
        var owner = text();
        text(); // WITH OIDS
        while (text() != null) {} // what it depends on
        skip(1 + offset);
        var entry = new Contents.Entry(kind, schema == null ? "" : schema, name, owner == null ? "" : owner);
        entries.add(entry);
        if (items.put(id, new Item(entry, hasData, copyStatement)) != null)
            throw new IOException("it has two entries %d".formatted(id));
        if (hasData) missing.add(id);
        switch (kind) {
            case "SEQUENCE SET" -> sequences.put(Contents.named(entry.schema(), name), position(definition));
            case "CONSTRAINT", "FK CONSTRAINT" -> {
                // PostgreSQL may write an exclusion's condition differently once it was restored
                if (!definition.contains(" EXCLUDE USING "))
                    constraints.put(entry.schema() + "." + name, definition.strip());
            }
            default -> {}
        }
    }

    private static final Pattern SETVAL = Pattern.compile("(-?\\d+, (?:true|false))\\);\\s*$");

    private static String position(String definition) throws IOException {
        var found = SETVAL.matcher(definition);
        if (!found.find()) throw new IOException("a sequence's position cannot be read");
        return found.group(1);
    }

    // ---- the data ----------------------------------------------------------------------------

    private void readBlock() throws IOException {
        var type = unsigned();
        var id = integer();
        var item = items.get(id);
        if (item == null || !missing.remove(id))
            throw new IOException("it has data of an entry %d that it does not list".formatted(id));
        switch (type) {
            case DATA -> table(item);
            case LARGE_OBJECTS -> {
                for (int oid; (oid = integer()) != 0; ) {
                    objects.begin(oid);
                    data(objects);
                    objects.finish();
                }
            }
            default -> throw new IOException("a block of its data is of kind %d".formatted(type));
        }
    }

    private void table(Item item) throws IOException {
        var counted = compression != RowCompression.LZ4 && item.copy() != null && item.copy().startsWith("COPY ");
        if (!counted) {
            data((bytes, from, to) -> {});
            tables.put(Contents.named(item.entry().schema(), item.entry().name()), Contents.Rows.UNKNOWN);
            return;
        }
        var migrations = item.entry().name().equals("django_migrations") ? LatestMigration.of(item.copy()) : null;
        var rows = new RowCounter(migrations);
        data(rows);
        tables.put(Contents.named(item.entry().schema(), item.entry().name()), rows.finish());
        if (migrations != null && migrations.row() != null) lastMigration = migrations.row();
    }

    /** Takes the data of one entry in pieces. */
    interface Data {
        void take(byte[] bytes, int from, int to) throws IOException;
    }

    /** The chunks of one entry's data, decompressed. */
    private void data(Data to) throws IOException {
        if (compression == RowCompression.ZSTD) {
            var chunks = new Chunks();
            try (var unpacked = Compression.decompressing(chunks)) {
                var bytes = new byte[1 << 16];
                for (int n; (n = unpacked.read(bytes)) >= 0; ) to.take(bytes, 0, n);
            }
            if (chunks.read() >= 0) throw new IOException("its compressed data goes on after its end");
            return;
        }
        if (compression == RowCompression.GZIP) inflater = new Inflater();
        for (int length; (length = integer(0, Integer.MAX_VALUE)) != 0; ) {
            for (int left = length; left > 0; ) {
                if (at == end && !fill()) throw new EOFException("it ends within its data");
                var n = Math.min(left, end - at);
                if (compression == RowCompression.GZIP) inflate(n, to);
                else to.take(buffer, at, at + n);
                at += n;
                left -= n;
            }
        }
        if (inflater != null && compression == RowCompression.GZIP) {
            var whole = inflater.finished() || inflater.getBytesRead() == 0;
            inflater.end();
            if (!whole) throw new EOFException("its compressed data ends early");
        }
    }

    private final byte[] unpacked = new byte[1 << 16];

    private void inflate(int n, Data to) throws IOException {
        inflater.setInput(buffer, at, n);
        try {
            for (int got; (got = inflater.inflate(unpacked)) > 0; ) to.take(unpacked, 0, got);
        } catch (DataFormatException e) {
            throw new IOException("its compressed data is damaged: " + e.getMessage(), e);
        }
    }

    /** The chunks of one entry's data as one stream. */
    private final class Chunks extends InputStream {
        private int left;
        private boolean over;

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] bytes, int from, int length) throws IOException {
            if (over || left == 0 && (left = integer(0, Integer.MAX_VALUE)) == 0) {
                over = true;
                return -1;
            }
            if (at == end && !fill()) throw new EOFException("it ends within its data");
            var n = Math.min(Math.min(left, length), end - at);
            System.arraycopy(buffer, at, bytes, from, n);
            at += n;
            left -= n;
            return n;
        }
    }

    /** A large object counts as a row whose hash is its content's, with its oid as the seed. */
    private static final class LargeObjects implements Data {
        private final XxHash64 content = new XxHash64(0);
        private long rows;
        private long sum;
        private long bytes;

        void begin(int oid) {
            content.begin(oid & 0xffffffffL);
        }

        @Override public void take(byte[] from, int start, int to) {
            content.add(from, start, to);
        }

        void finish() {
            rows++;
            bytes += content.length();
            sum += content.end();
        }

        Contents.Rows rows() {
            return new Contents.Rows(rows, sum, bytes);
        }
    }

    /** The first line of a text, for a message: printable, and at most 60 characters. */
    public static String firstLine(String text) {
        var line = text.lines().findFirst().orElse("").replaceAll("\\P{Print}", "?");
        return line.length() > SHOWN ? line.substring(0, SHOWN) + "…" : line;
    }

    // ---- bytes -------------------------------------------------------------------------------

    /** Makes sure that there is a byte at {@code at}; false at the end of the file. */
    private boolean fill() throws IOException {
        if (at < end) return true;
        at = end = 0;
        return more();
    }

    private boolean more() throws IOException {
        var n = in.read(buffer, end, buffer.length - end);
        if (n <= 0) return false;
        copy.write(buffer, end, n);
        end += n;
        return true;
    }

    private int unsigned() throws IOException {
        if (at == end && !fill()) throw new EOFException("it ends early");
        return buffer[at++] & 0xff;
    }

    /** One byte for the sign, then the number, its lowest byte first. */
    private int integer() throws IOException {
        var negative = unsigned() != 0;
        long value = 0;
        for (int i = 0; i < integer; i++) value |= (long) unsigned() << 8 * i;
        if (value < 0 || value > 0xffffffffL) throw new IOException("a number in it is too large");
        return negative ? (int) -value : (int) value; // oids are unsigned
    }

    private int integer(int least, int most) throws IOException {
        var value = integer();
        if (value < least || value > most) throw new IOException("a number in it is out of range: %d".formatted(value));
        return value;
    }

    /** Null where the archive has none. */
    private String text() throws IOException {
        var length = integer(-1, LARGEST);
        if (length < 0) return null;
        if (length <= end - at) {
            var text = new String(buffer, at, length, StandardCharsets.UTF_8);
            at += length;
            return text;
        }
        var bytes = new ByteArrayOutputStream(Math.min(length, buffer.length));
        for (int left = length; left > 0; ) {
            if (at == end && !fill()) throw new EOFException("it ends early");
            var n = Math.min(left, end - at);
            bytes.write(buffer, at, n);
            at += n;
            left -= n;
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private void skip(int n) throws IOException {
        for (int i = 0; i < n; i++) unsigned();
    }

    @Override public void close() {
        if (inflater != null) inflater.end();
    }
}
