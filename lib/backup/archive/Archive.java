package lib.backup.archive;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.zip.InflaterInputStream;
import java.util.zip.ZipException;

/**
 * Reads a pg_dump archive in the custom format from its first byte to its last, in one pass without seeking, and counts
 * what is in it. The format is that of PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c, versions 1.12
 * (PostgreSQL 10) to 1.16 (18). An archive that ends early or violates the format is an IOException.
 */
public final class Archive {
    private static final byte[] MAGIC = "PGDMP".getBytes(StandardCharsets.US_ASCII);
    private static final int OLDEST = 0x010c;
    private static final int NEWEST = 0x0110;
    private static final int CUSTOM = 1;
    private static final int DATA = 1;
    private static final int LARGE_OBJECTS = 3;
    private static final int LARGEST = 100_000_000; // of a count or a text's length
    private static final int SHOWN = 60; // characters of a line in a message

    /** How the data inside is compressed. In our own archives it is not: compressing the whole archive is better. */
    private enum DataCompression {NONE, GZIP, LZ4, ZSTD}

    private record Item(Contents.Entry entry, String copy) {}

    private final InputStream in;
    private final OutputStream copy;
    private final byte[] buffer = new byte[1 << 17];
    private int at;
    private int end;
    private int version;
    private int integerBytes;
    private int offsetBytes;
    private DataCompression compression = DataCompression.NONE;
    private final Map<Integer, Item> items = new LinkedHashMap<>(); // in the order of the table of contents
    private final SortedMap<String, Contents.Rows> tables = new TreeMap<>();
    private final SortedMap<String, String> sequences = new TreeMap<>();
    private final SortedMap<String, String> constraints = new TreeMap<>();
    private final SortedSet<Integer> missing = new TreeSet<>();
    private final LargeObjects objects = new LargeObjects();
    private Contents.Migration lastMigration;

    private Archive(InputStream in, OutputStream copy) {
        this.in = in;
        this.copy = copy;
    }

    /**
     * @param copy gets every byte that is read, also those before an error
     * @throws IOException from {@code in} or {@code copy}, or the archive is damaged: the message says how
     */
    public static Contents read(InputStream in, OutputStream copy) throws IOException {
        return new Archive(in, copy).read();
    }

    /** The message is what the file starts with. */
    public static final class NotAnArchive extends IOException {
        NotAnArchive(String start) {
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
        integerBytes = unsigned();
        offsetBytes = unsigned();
        if (integerBytes < 4 || integerBytes > 8 || offsetBytes < 4 || offsetBytes > 8)
            throw new IOException("its integers have %d bytes, its offsets %d".formatted(integerBytes, offsetBytes));
        if (unsigned() != CUSTOM) throw new IOException("it is not of the custom format");
        compression = compression();
        for (int i = 0; i < 7; i++) integer(); // when it was made, in the server's local time
        var header = new Contents.Header(text(), text(), text());
        for (int i = 0, n = integer(0, LARGEST); i < n; i++) readItem();
        while (fill()) readBlock();
        if (!missing.isEmpty()) {
            var others = missing.size() == 1 ? "" : " and %d others".formatted(missing.size() - 1);
            throw new EOFException("it ends before the data of " + items.get(missing.first()).entry() + others);
        }
        var entries = items.values().stream().map(Item::entry).toList();
        return new Contents(header, entries, tables, sequences, objects.rows(), constraints, lastMigration);
    }

    private void requireMagic() throws IOException {
        for (int i = 0; i < MAGIC.length; i++) {
            if (at == end && !fill() || buffer[at] != MAGIC[i]) {
                while (end < 200 && more()) {}
                throw new NotAnArchive(new String(buffer, 0, Math.min(end, 200), StandardCharsets.UTF_8));
            }
            at++;
        }
    }

    private DataCompression compression() throws IOException {
        if (version < 0x010f) // it has a level, -1 for the default
            return integer() == 0 ? DataCompression.NONE : DataCompression.GZIP;
        var algorithm = unsigned();
        if (algorithm >= DataCompression.values().length)
            throw new IOException("its compression %d is not supported".formatted(algorithm));
        return DataCompression.values()[algorithm];
    }

    // ---- the table of contents ---------------------------------------------------------------

    private void readItem() throws IOException {
        var id = integer(1, Integer.MAX_VALUE);
        if (integer() != 0) missing.add(id); // it has data
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
        text(); // owner
        text(); // WITH OIDS
        while (text() != null) {} // what it depends on
        for (int i = 0; i < 1 + offsetBytes; i++) unsigned();
        var entry = new Contents.Entry(kind, schema == null ? "" : schema, name);
        if (items.put(id, new Item(entry, copyStatement)) != null)
            throw new IOException("it has two entries %d".formatted(id));
        switch (kind) {
            case "SEQUENCE SET" -> sequences.put(Contents.named(entry.schema(), name), position(definition));
            case "CONSTRAINT", "FK CONSTRAINT" -> {
                // After a restore PostgreSQL may print an exclusion's condition differently
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
        var name = Contents.named(item.entry().schema(), item.entry().name());
        if (compression == DataCompression.LZ4 || item.copy() == null || !item.copy().startsWith("COPY ")) {
            data((bytes, from, to) -> {});
            tables.put(name, Contents.Rows.UNKNOWN);
            return;
        }
        var migrations = item.entry().name().equals("django_migrations") ? LatestMigration.of(item.copy()) : null;
        var rows = new RowCounter(migrations);
        data(rows);
        tables.put(name, rows.finish());
        if (migrations != null && migrations.row() != null) lastMigration = migrations.row();
    }

    /** Takes the data of one entry in pieces. */
    interface Data {
        void take(byte[] bytes, int from, int to) throws IOException;
    }

    /** The chunks of one entry's data, decompressed. */
    private void data(Data to) throws IOException {
        if (compression == DataCompression.ZSTD || compression == DataCompression.GZIP) {
            decompress(to);
            return;
        }
        for (int length; (length = integer(0, Integer.MAX_VALUE)) != 0; ) pass(length, to);
    }

    private void decompress(Data to) throws IOException {
        var chunks = new Chunks();
        if (chunks.isEmpty()) return;
        try (var unpacked = compression == DataCompression.GZIP
                ? new InflaterInputStream(chunks) : Compression.decompressing(chunks)) {
            var bytes = new byte[1 << 16];
            for (int n; (n = unpacked.read(bytes)) >= 0; ) to.take(bytes, 0, n);
        } catch (ZipException e) {
            throw new IOException("its compressed data is damaged: " + e.getMessage(), e);
        }
        if (chunks.read() >= 0) throw new IOException("its compressed data continues after its end");
    }

    /** The chunks of one entry's data as one stream. */
    private final class Chunks extends InputStream {
        private int left;
        private boolean ended;

        /** Reads the length of the next chunk when there is no more of this one; the last chunk has none. */
        boolean isEmpty() throws IOException {
            if (!ended && left == 0) left = integer(0, Integer.MAX_VALUE);
            return ended = left == 0;
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] bytes, int from, int length) throws IOException {
            if (isEmpty()) return -1;
            var n = Math.min(Math.min(left, length), buffered());
            System.arraycopy(buffer, at, bytes, from, n);
            at += n;
            left -= n;
            return n;
        }
    }

    /** A large object counts as a row whose hash is its content's, with its oid as the seed. */
    private static final class LargeObjects implements Data {
        private final XxHash64 content = new XxHash64();
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

    /** How many bytes there are at {@code at}, at least one. */
    private int buffered() throws IOException {
        if (!fill()) throw new EOFException("it ends early");
        return end - at;
    }

    private int unsigned() throws IOException {
        buffered();
        return buffer[at++] & 0xff;
    }

    /** One byte for the sign, then the number, its lowest byte first. */
    private int integer() throws IOException {
        var negative = unsigned() != 0;
        long value = 0;
        for (int i = 0; i < integerBytes; i++) value |= (long) unsigned() << 8 * i;
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
        var text = new ByteArrayOutputStream(Math.min(length, buffer.length));
        pass(length, (bytes, from, to) -> text.write(bytes, from, to - from));
        return text.toString(StandardCharsets.UTF_8);
    }

    /** Passes on the next bytes, in pieces. */
    private void pass(int length, Data to) throws IOException {
        for (int left = length; left > 0; ) {
            var n = Math.min(left, buffered());
            to.take(buffer, at, at + n);
            at += n;
            left -= n;
        }
    }
}
