package lib;

import com.github.luben.zstd.ZstdInputStream;
import com.github.luben.zstd.ZstdOutputStream;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Locale;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;

/**
 * How a backup is packed: {@code zstd:3}, {@code gzip:6}, {@code none}.
 *
 * @param level of the packer; 0 for none
 */
public record Compression(Kind kind, int level) {
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

    private static final int BUFFER = 1 << 16;

    /** @throws Failure usage (2) */
    public static Compression parse(String text) {
        var parts = text.strip().toUpperCase(Locale.ROOT).split(":", -1);
        try {
            var kind = Kind.valueOf(parts[0]);
            var level = parts.length == 1 ? kind.usual : Integer.parseInt(parts[1]);
            if (parts.length <= 2 && level >= Math.min(1, kind.highest) && level <= kind.highest) return new Compression(kind, level);
        } catch (IllegalArgumentException unknown) {
            // said below
        }
        throw new Failure(new Problem.NoCompression(text));
    }

    public String suffix() {
        return kind.suffix;
    }

    /** The stream packs; closing it writes the end. @param workers threads beside this one, for zstd */
    public OutputStream onto(OutputStream out, int workers) throws IOException {
        return switch (kind) {
            case NONE -> out;
            case GZIP -> new GZIPOutputStream(out, BUFFER) {
                {
                    def.setLevel(level);
                }
            };
            case ZSTD -> new ZstdOutputStream(out, level).setChecksum(true).setWorkers(workers);
        };
    }

    /**
     * What the stream holds, unpacked if it is packed: that shows in its first bytes, not in a name. A stream that ends within its
     * packed data, or whose checksum is wrong, is an IOException.
     */
    public static InputStream reading(InputStream in) throws IOException {
        var stream = in.markSupported() ? in : new BufferedInputStream(in, BUFFER);
        stream.mark(4);
        var head = stream.readNBytes(4);
        stream.reset();
        if (starts(head, 0x28, 0xb5, 0x2f, 0xfd)) return new ZstdInputStream(stream);
        if (starts(head, 0x1f, 0x8b)) return new GZIPInputStream(stream, BUFFER);
        return stream;
    }

    private static boolean starts(byte[] head, int... with) {
        if (head.length < with.length) return false;
        for (int i = 0; i < with.length; i++) if ((head[i] & 0xff) != with[i]) return false;
        return true;
    }

    @Override public String toString() {
        return kind.name().toLowerCase(Locale.ROOT) + (kind == Kind.NONE ? "" : ":" + level);
    }
}
