package lib.backup.archive;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
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
 * Reads an archive of pg_dump's custom format from its first byte to its last, in one pass that needs no seeking, and counts
 * what is in it. Source of the format: PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c, versions 1.12 (PostgreSQL 10)
 * to 1.16 (18). An archive that ends early, or says what the format does not know, is an IOException.
 */
public final class Archive implements AutoCloseable {
    static final byte[] MAGIC = "PGDMP".getBytes(StandardCharsets.US_ASCII);
    private static final int OLDEST = 0x010c;
    private static final int NEWEST = 0x0110;
    private static final int CUSTOM = 1;
    private static final int DATA = 1;
    private static final int LARGE_OBJECTS = 3;
    private static final int MANY = 100_000_000;

    /** How the rows are packed inside; archives of ours not at all, for what is around them packs better. */
    private enum Packing {NONE, GZIP, LZ4, ZSTD}

    private record Item(Contents.Entry entry, boolean hasData, String copy) {}

    private final InputStream in;
    private final OutputStream copy;
    private final byte[] buffer = new byte[1 << 17];
    private int at;
    private int end;
    private int version;
    private int integer;
    private int offset;
    private Packing packing = Packing.NONE;
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
     * @param copy every byte that is read is written to it too, also those before an error
     * @throws IOException of {@code in} or {@code copy}, or the archive is damaged: the message says how
     */
    public static Contents read(InputStream in, OutputStream copy) throws IOException {
        try (var archive = new Archive(in, copy)) {
            return archive.read();
        }
    }

    /** Not an archive: what it begins with instead. */
    public static final class NotOne extends IOException {
        NotOne(String beginsWith) {
            super(beginsWith);
        }
    }

    private Contents read() throws IOException {
        requireMagic();
        version = unsigned() << 8 | unsigned();
        unsigned();
        if (version < OLDEST || version > NEWEST) throw new IOException("version %d.%d of the format is not known".formatted(version >> 8, version & 0xff));
        integer = unsigned();
        offset = unsigned();
        if (integer < 4 || integer > 8 || offset < 4 || offset > 8) throw new IOException("its integers have %d bytes, its offsets %d".formatted(integer, offset));
        if (unsigned() != CUSTOM) throw new IOException("it is not of the custom format");
        packing = packing();
        for (int i = 0; i < 7; i++) integer(); // when it began, in the server's local time
        var database = text();
        var server = text();
        var pgDump = text();
        for (int i = 0, n = integer(0, MANY); i < n; i++) item();
        while (fill()) block();
        if (!missing.isEmpty()) {
            var first = items.get(missing.stream().sorted().findFirst().get()).entry();
            throw new EOFException("it ends before the data of %s%s".formatted(first, missing.size() == 1 ? "" : " and %d others".formatted(missing.size() - 1)));
        }
        return new Contents(database, server, pgDump, List.copyOf(entries), tables, sequences, objects.rows(), constraints, lastMigration);
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

    private Packing packing() throws IOException {
        if (version < 0x010f) return integer() == 0 ? Packing.NONE : Packing.GZIP; // a level, -1 for the library's own
        var algorithm = unsigned();
        if (algorithm >= Packing.values().length) throw new IOException("its compression %d is not known".formatted(algorithm));
        return Packing.values()[algorithm];
    }

    // ---- the table of contents ---------------------------------------------------------------

    private void item() throws IOException {
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
        if (items.put(id, new Item(entry, hasData, copyStatement)) != null) throw new IOException("it has two entries %d".formatted(id));
        if (hasData) missing.add(id);
        switch (kind) {
            case "SEQUENCE SET" -> sequences.put(Contents.named(entry.schema(), name), position(definition));
            case "CONSTRAINT", "FK CONSTRAINT" -> {
                // an exclusion's condition may be worded differently once it was restored
                if (!definition.contains(" EXCLUDE USING ")) constraints.put(entry.schema() + "." + name, definition.strip());
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

    private void block() throws IOException {
        var type = unsigned();
        var id = integer();
        var item = items.get(id);
        if (item == null || !missing.remove(id)) throw new IOException("it has data of an entry %d that it does not list".formatted(id));
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
        var counted = packing != Packing.LZ4 && item.copy() != null && item.copy().startsWith("COPY ");
        if (!counted) {
            data((bytes, from, to) -> {});
            tables.put(Contents.named(item.entry().schema(), item.entry().name()), Contents.Rows.UNKNOWN);
            return;
        }
        var migrations = item.entry().name().equals("django_migrations") ? Latest.of(item.copy()) : null;
        var rows = new RowCounter(migrations);
        data(rows);
        tables.put(Contents.named(item.entry().schema(), item.entry().name()), rows.finish());
        if (migrations != null && migrations.row != null) lastMigration = migrations.row;
    }

    private interface Data {
        void take(byte[] bytes, int from, int to) throws IOException;
    }

    /** The chunks of one entry's data, unpacked. */
    private void data(Data to) throws IOException {
        if (packing == Packing.ZSTD) {
            var chunks = new Chunks();
            try (var unpacked = Compression.reading(chunks)) {
                var bytes = new byte[1 << 16];
                for (int n; (n = unpacked.read(bytes)) >= 0; ) to.take(bytes, 0, n);
            }
            if (chunks.read() >= 0) throw new IOException("its packed data goes on after its end");
            return;
        }
        if (packing == Packing.GZIP) inflater = new Inflater();
        for (int length; (length = integer(0, Integer.MAX_VALUE)) != 0; ) {
            for (int left = length; left > 0; ) {
                if (at == end && !fill()) throw new EOFException("it ends within its data");
                var n = Math.min(left, end - at);
                if (packing == Packing.GZIP) inflate(n, to);
                else to.take(buffer, at, at + n);
                at += n;
                left -= n;
            }
        }
        if (inflater != null && packing == Packing.GZIP) {
            var whole = inflater.finished() || inflater.getBytesRead() == 0;
            inflater.end();
            if (!whole) throw new EOFException("its packed data ends early");
        }
    }

    private final byte[] unpacked = new byte[1 << 16];

    private void inflate(int n, Data to) throws IOException {
        inflater.setInput(buffer, at, n);
        try {
            for (int got; (got = inflater.inflate(unpacked)) > 0; ) to.take(unpacked, 0, got);
        } catch (DataFormatException e) {
            throw new IOException("its packed data is damaged: " + e.getMessage(), e);
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

    /**
     * Counts lines of COPY's text format up to the one that says {@code \.}; a line end within a value is escaped there. Keeps none
     * of them: one can be as large as memory, and larger.
     */
    private static final class RowCounter implements Data {
        private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
        private static final byte[] END = {'\\', '.'};

        private final XxHash64 line = new XxHash64(0);
        private final Latest latest;
        private final ByteArrayOutputStream text = new ByteArrayOutputStream();
        private long rows;
        private long hash;
        private long bytes;
        private boolean over;

        RowCounter(Latest latest) {
            this.latest = latest;
        }

        @Override public void take(byte[] from, int start, int to) {
            for (int at = start, end; at < to; at = end + 1) {
                end = lineEnd(from, at, to);
                line.add(from, at, end);
                if (latest != null) text.write(from, at, end - at);
                if (end < to) row();
            }
        }

        /** {@code to} when there is none: eight bytes at a time, of which one that is 0 after the XOR is found by its borrow. */
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
            if (!over && !(over = line.is(END))) {
                rows++;
                bytes += line.length() + 1;
                hash += line.end();
                if (latest != null) latest.see(text.toString(StandardCharsets.UTF_8));
            }
            line.begin(0);
            text.reset();
        }

        Contents.Rows finish() throws IOException {
            if (line.length() > 0 || !over) throw new EOFException("the rows of a table end early");
            return new Contents.Rows(rows, hash, bytes);
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

    /** The row of django_migrations with the highest id. */
    private static final class Latest {
        private final int id;
        private final int app;
        private final int name;
        private final int applied;
        private long highest = Long.MIN_VALUE;
        private Contents.Migration row;

        private Latest(List<String> columns) {
            id = columns.indexOf("id");
            app = columns.indexOf("app");
            name = columns.indexOf("name");
            applied = columns.indexOf("applied");
        }

        static Latest of(String copy) {
            var columns = List.of(copy.substring(copy.indexOf('(') + 1, Math.max(copy.indexOf('(') + 1, copy.indexOf(')'))).split(", "));
            return columns.containsAll(List.of("id", "app", "name", "applied")) ? new Latest(columns) : null;
        }

        void see(String line) {
            var values = line.split("\t", -1);
            if (values.length <= Math.max(Math.max(id, app), Math.max(name, applied)) || !values[id].matches("\\d{1,18}")) return;
            var number = Long.parseLong(values[id]);
            if (number < highest) return;
            highest = number;
            row = new Contents.Migration(values[app], values[name], values[applied]);
        }
    }

    /** What a file begins with, for a message. */
    public static String firstLine(String text) {
        var line = text.lines().findFirst().orElse("").replaceAll("\\P{Print}", "?");
        return line.length() > 60 ? line.substring(0, 60) + "…" : line;
    }

    // ---- bytes -------------------------------------------------------------------------------

    /** Makes sure of a byte at {@code at}; false at the end. */
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

    /** A byte for the sign, then the lowest byte first. */
    private int integer() throws IOException {
        var negative = unsigned() != 0;
        long value = 0;
        for (int i = 0; i < integer; i++) value |= (long) unsigned() << 8 * i;
        if (value < 0 || value > 0xffffffffL) throw new IOException("a number in it is too large");
        return negative ? (int) -value : (int) value; // oids are unsigned
    }

    private int integer(int least, int most) throws IOException {
        var value = integer();
        if (value < least || value > most) throw new IOException("a number in it, %d, cannot be right".formatted(value));
        return value;
    }

    /** Null where the archive has none. */
    private String text() throws IOException {
        var length = integer(-1, MANY);
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
