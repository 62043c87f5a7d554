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

/**
 * How a backup is compressed. zstd's native library is loaded only where zstd is used.
 *
 * @param level 0 for {@code none}
 */
public record Compression(Kind kind, int level) {
    /** With the default and the highest level; zstd's levels above 19 need hundreds of megabytes. */
    public enum Kind {
        ZSTD(3, 19, ".zst"), GZIP(6, 9, ".gz"), NONE(0, 0, "");

        private final int defaultLevel;
        private final int highestLevel;
        private final String suffix;

        Kind(int defaultLevel, int highestLevel, String suffix) {
            this.defaultLevel = defaultLevel;
            this.highestLevel = highestLevel;
            this.suffix = suffix;
        }
    }

    private static final int BLOCK = 1 << 16;
    private static final Pattern TEXT = Pattern.compile("(zstd|gzip|none)(?::(\\d{1,2}))?");

    /**
     * @param text {@code zstd}, {@code gzip} or {@code none}; the first two take a level: {@code zstd:9}
     * @throws Failure usage (2): anything else
     */
    public static Compression parse(String text) {
        var found = TEXT.matcher(text.strip());
        if (!found.matches()) throw invalid(text);
        var kind = Kind.valueOf(found.group(1).toUpperCase(Locale.ROOT));
        if (found.group(2) == null) return new Compression(kind, kind.defaultLevel);
        var level = Integer.parseInt(found.group(2));
        if (level < 1 || level > kind.highestLevel) throw invalid(text);
        return new Compression(kind, level);
    }

    private static Failure invalid(String text) {
        return Failure.usage("invalid compression: \"" + text + "\"")
                .next("give zstd, zstd:1 to zstd:19, gzip, gzip:1 to gzip:9, or none");
    }

    @Override public String toString() {
        var name = kind.name().toLowerCase(Locale.ROOT);
        return kind == Kind.NONE ? name : name + ":" + level;
    }

    /** The end of a compressed file's name. */
    public String suffix() {
        return kind.suffix;
    }

    /**
     * Compresses onto {@code out}. {@code close()} writes the end and closes {@code out}: to abandon a file,
     * do not close it.
     *
     * @param workers threads beside the caller's, for zstd only; fewer are used where more would need too much memory
     */
    public OutputStream compressing(OutputStream out, int workers) throws IOException {
        try {
            return switch (kind) {
                case ZSTD -> Zstd.compressing(out, level, Math.min(workers, maximumWorkers()));
                case GZIP -> new GZIPOutputStream(out, BLOCK) {{ def.setLevel(level); }};
                case NONE -> out;
            };
        } catch (LinkageError e) {
            throw noZstd(e);
        }
    }

    /** A thread needs from 11 MB (level 3) over 45 MB (11) to 120 MB (19). */
    private int maximumWorkers() {
        return level < 9 ? 8 : level < 12 ? 2 : 1;
    }

    /** A separate class, so that zstd's classes are loaded only where they are used. */
    private static final class Zstd {
        /** Not ZstdOutputStream: its finalizer closes it, which could write the end of an abandoned backup. */
        static OutputStream compressing(OutputStream out, int level, int workers) throws IOException {
            var zstd = new ZstdOutputStreamNoFinalizer(out, level).setChecksum(true);
            return workers > 0 ? zstd.setWorkers(workers) : zstd;
        }

        static InputStream decompressing(InputStream in) throws IOException {
            return new ZstdInputStreamNoFinalizer(in);
        }
    }

    private static Failure noZstd(LinkageError e) {
        var reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return Failure.failed("zstd's native library does not load: " + reason)
                .next("it is unpacked into the temporary folder, which must not be mounted noexec; for another folder: "
                                + "JAVA_TOOL_OPTIONS=-DZstdTempFolder=DIR",
                        "or compress with gzip: --compress gzip").causedBy(e);
    }

    // ---- decompressing -----------------------------------------------------------------------

    private static final int[] ZSTD_MAGIC = {0x28, 0xb5, 0x2f, 0xfd};
    private static final int[] GZIP_MAGIC = {0x1f, 0x8b, 0x08};

    /**
     * Decompresses {@code in}; its first bytes tell how it is compressed. Read to its end, the stream throws an
     * IOException when zstd or gzip data is cut off, is followed by anything else, or has a wrong checksum. An empty
     * stream stays empty.
     */
    public static InputStream decompressing(InputStream in) throws IOException {
        var ahead = in.markSupported() ? in : new BufferedInputStream(in, BLOCK);
        ahead.mark(ZSTD_MAGIC.length);
        var head = ahead.readNBytes(ZSTD_MAGIC.length);
        ahead.reset();
        try {
            if (startsWith(head, ZSTD_MAGIC) || isSkippableFrame(head)) return Zstd.decompressing(ahead);
        } catch (LinkageError e) {
            throw noZstd(e);
        }
        return startsWith(head, GZIP_MAGIC) ? new Gunzip(ahead) : ahead;
    }

    private static boolean startsWith(byte[] head, int[] magic) throws EOFException {
        for (int i = 0; i < Math.min(head.length, magic.length); i++) if ((head[i] & 0xff) != magic[i]) return false;
        if (head.length > 0 && head.length < magic.length)
            throw new EOFException("it is cut off within its first bytes");
        return head.length > 0;
    }

    /** pzstd writes such frames before its data. */
    private static boolean isSkippableFrame(byte[] head) {
        return head.length == 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
    }

    /** One gzip member after another. Java's GZIPInputStream takes trailing garbage for the end of the file. */
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
                throw new IOException("its gzip data has a wrong checksum");
            ended = at == end && !fill();
            if (ended) return;
            header();
            inflater.reset();
            crc.reset();
        }

        private void header() throws IOException {
            for (var magic : GZIP_MAGIC) if (next() != magic)
                throw new IOException("its gzip data is followed by something else");
            var flags = next();
            if ((flags & RESERVED) != 0) throw new IOException("its gzip header is damaged");
            number(4); // time
            number(2); // flags of the compressor, and operating system
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
