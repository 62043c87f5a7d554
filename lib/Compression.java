package lib;
import java.io.*;
public record Compression(Kind kind, int level) {
    public enum Kind { ZSTD, GZIP, NONE }
    public static Compression parse(String t) { return t.startsWith("zstd") ? new Compression(Kind.ZSTD, 3) : t.startsWith("gzip") ? new Compression(Kind.GZIP, 6) : new Compression(Kind.NONE, 0); }
    public String suffix() { return switch (kind) { case ZSTD -> ".zst"; case GZIP -> ".gz"; case NONE -> ""; }; }
    @Override public String toString() { return kind == Kind.NONE ? "none" : kind.name().toLowerCase() + ":" + level; }
    public OutputStream onto(OutputStream out, int workers) throws IOException {
        if (kind == Kind.NONE) return out;
        if (kind == Kind.GZIP) return new java.util.zip.GZIPOutputStream(out, 65536);
        var z = new com.github.luben.zstd.ZstdOutputStream(out, level); z.setChecksum(true); if (workers > 0) z.setWorkers(workers); return z;
    }
    public static InputStream reading(InputStream in) throws IOException {
        var b = in.markSupported() ? in : new BufferedInputStream(in, 1 << 16); b.mark(8); var h = b.readNBytes(4); b.reset();
        if (h.length == 4 && h[0] == 0x28 && h[1] == (byte) 0xb5) return new com.github.luben.zstd.ZstdInputStream(b);
        if (h.length > 2 && h[0] == 0x1f && h[1] == (byte) 0x8b) return new java.util.zip.GZIPInputStream(b, 65536);
        return b;
    }
}
