package lib.backup.archive;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import com.github.luben.zstd.ZstdOutputStreamNoFinalizer;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.GZIPOutputStream;
import java.util.zip.Inflater;
import lib.error.Failure;
import lib.error.Problem;

/**
 * How a backup is packed. zstd's native library is loaded only where zstd is used.
 *
 * @param level 0 for {@code none}
 */
public record Compression(Kind kind, int level) {
    /** With the level that is taken when none is given, and the highest; zstd's above 19 would need hundreds of megabytes. */
    public enum Kind {
        ZSTD(3, 19, ".zst"), GZIP(6, 9, ".gz"), NONE(0, 0, "");

        private final int usual;
        private final int highest;
        private final String suffix;

        Kind(int usual, int highest, String suffix) {
            this.usual = usual;
            this.highest = highest;
            this.suffix = suffix;
        }
    }

    private static final int BLOCK = 1 << 16;
    private static final Pattern TEXT = Pattern.compile("(zstd|gzip|none)(?::(\\d{1,2}))?");

    /**
     * @param text {@code zstd}, {@code gzip} or {@code none}, the first two with a level if wanted: {@code zstd:9}
     * @throws Failure it is none of these
     */
    public static Compression parse(String text) {
        var found = TEXT.matcher(text.strip());
        if (!found.matches()) throw new Failure(new Problem.NoCompression(text));
        var kind = Kind.valueOf(found.group(1).toUpperCase(Locale.ROOT));
        if (found.group(2) == null) return new Compression(kind, kind.usual);
        var level = Integer.parseInt(found.group(2));
        if (level < 1 || level > kind.highest) throw new Failure(new Problem.NoCompression(text));
        return new Compression(kind, level);
    }

    @Override public String toString() {
        var name = kind.name().toLowerCase(Locale.ROOT);
        return kind == Kind.NONE ? name : name + ":" + level;
    }

    /** What a packed file's name ends in. */
    public String suffix() {
        return kind.suffix;
    }

    /**
     * Packs onto {@code out}. {@code close()} writes the end and closes {@code out}; what must not look whole is left unclosed.
     *
     * @param workers threads beside ours, for zstd only; fewer are taken where more would need too much memory
     */
    public OutputStream onto(OutputStream out, int workers) throws IOException {
        try {
            return switch (kind) {
                case ZSTD -> Zstd.onto(out, level, Math.min(workers, mostWorkers()));
                case GZIP -> new GZIPOutputStream(out, BLOCK) {{ def.setLevel(level); }};
                case NONE -> out;
            };
        } catch (LinkageError e) {
            throw noZstd(e);
        }
    }

    /** A thread needs from 11 MB (level 3) over 45 MB (11) to 120 MB (19). */
    private int mostWorkers() {
        return level < 9 ? 8 : level < 12 ? 2 : 1;
    }

    /** A class of its own, so that the others do without zstd's. */
    private static final class Zstd {
        /** Not ZstdOutputStream: its finalizer closes, so the end could be written behind a backup that was given up. */
        static OutputStream onto(OutputStream out, int level, int workers) throws IOException {
            var zstd = new ZstdOutputStreamNoFinalizer(out, level).setChecksum(true);
            return workers > 0 ? zstd.setWorkers(workers) : zstd;
        }

        static InputStream reading(InputStream in) throws IOException {
            return new ZstdInputStreamNoFinalizer(in);
        }
    }

    private static Failure noZstd(LinkageError e) {
        return new Failure(new Problem.NoZstd(String.valueOf(e.getMessage()).lines().findFirst().orElse("")), e);
    }

    // ---- unpacking ---------------------------------------------------------------------------

    private static final int[] ZSTD_MAGIC = {0x28, 0xb5, 0x2f, 0xfd};
    private static final int[] GZIP_MAGIC = {0x1f, 0x8b, 0x08};

    /**
     * What {@code in} holds, whatever it is packed with: that shows in its first bytes. Read to its end, it throws an IOException
     * when zstd or gzip data is cut off, is followed by anything else, or does not have its checksum.
     * Nothing at all is taken for plain, and empty.
     */
    public static InputStream reading(InputStream in) throws IOException {
        var ahead = in.markSupported() ? in : new BufferedInputStream(in, BLOCK);
        ahead.mark(ZSTD_MAGIC.length);
        var head = ahead.readNBytes(ZSTD_MAGIC.length);
        ahead.reset();
        try {
            if (begins(head, ZSTD_MAGIC) || skippable(head)) return Zstd.reading(ahead);
        } catch (LinkageError e) {
            throw noZstd(e);
        }
        return begins(head, GZIP_MAGIC) ? new Gunzip(ahead) : ahead;
    }

    private static boolean begins(byte[] head, int[] magic) throws EOFException {
        for (int i = 0; i < Math.min(head.length, magic.length); i++) if ((head[i] & 0xff) != magic[i]) return false;
        if (head.length > 0 && head.length < magic.length) throw new EOFException("it is cut off within its first bytes");
        return head.length > 0;
    }

    /** The frames that pzstd puts before its data. */
    private static boolean skippable(byte[] head) {
        return head.length == 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
    }

    /** One gzip member after another. Java's own takes whatever follows the first, and does not understand, for the end. */
    private static final class Gunzip extends InputStream {
        private static final int HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 0xe0;

        private final InputStream in;
        private final byte[] buffer = new byte[BLOCK];
        private final Inflater inflater = new Inflater(true);
        private final CRC32 crc = new CRC32();
        private int at;
        private int end;
        private boolean ended;

        Gunzip(InputStream in) throws IOException {
            this.in = in;
            header();
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            try {
                while (!ended && length > 0) {
                    var n = inflater.inflate(to, start, length);
                    crc.update(to, start, n);
                    if (n > 0) return n;
                    if (inflater.finished()) nextMember();
                    else if (inflater.needsDictionary()) throw new IOException("its gzip data is damaged");
                    else feed();
                }
                return length == 0 ? 0 : -1;
            } catch (DataFormatException e) {
                throw new IOException("its gzip data is damaged: " + e.getMessage(), e);
            }
        }

        private void feed() throws IOException {
            if (at == end && !fill()) throw new EOFException("its gzip data is cut off");
            inflater.setInput(buffer, at, end - at);
            at = end;
        }

        private boolean fill() throws IOException {
            at = 0;
            end = Math.max(0, in.read(buffer));
            return end > 0;
        }

        private int next() throws IOException {
            if (at == end && !fill()) throw new EOFException("its gzip data is cut off");
            return buffer[at++] & 0xff;
        }

        private int number(int bytes) throws IOException {
            int number = 0;
            for (int i = 0; i < bytes; i++) number |= next() << 8 * i;
            return number;
        }

        private void nextMember() throws IOException {
            at = end - inflater.getRemaining();
            if (number(4) != (int) crc.getValue() || number(4) != (int) inflater.getBytesWritten())
                throw new IOException("its gzip data does not have the checksum it should have");
            ended = at == end && !fill();
            if (ended) return;
            header();
            inflater.reset();
            crc.reset();
        }

        private void header() throws IOException {
            for (var magic : GZIP_MAGIC) if (next() != magic) throw new IOException("its gzip data is followed by something else");
            var flags = next();
            if ((flags & RESERVED) != 0) throw new IOException("its gzip header is damaged");
            number(4); // time
            number(2); // how, and on what system
            if ((flags & HAS_EXTRA) != 0) for (int left = number(2); left > 0; left--) next();
            if ((flags & HAS_NAME) != 0) while (next() != 0) { /* its name */ }
            if ((flags & HAS_COMMENT) != 0) while (next() != 0) { /* its comment */ }
            if ((flags & HAS_CRC) != 0) number(2);
        }

        @Override public void close() throws IOException {
            inflater.end();
            in.close();
        }
    }
}
