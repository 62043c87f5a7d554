package lib.backup.archive;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.Checksum;

/**
 * XXH64 of data in pieces (specification of xxHash 0.1.1, "XXH64 algorithm"), so that other tools can check a manifest.
 */
public final class XxHash64 implements Checksum {
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final long P1 = 0x9E3779B185EBCA87L;
    private static final long P2 = 0xC2B2AE3D27D4EB4FL;
    private static final long P3 = 0x165667B19E3779F9L;
    private static final long P4 = 0x85EBCA77C2B2AE63L;
    private static final long P5 = 0x27D4EB2F165667C5L;
    private static final int STRIPE = 32;

    private final byte[] stripe = new byte[STRIPE];
    private int held; // bytes of an incomplete stripe
    private long length;
    private long a;
    private long b;
    private long c;
    private long d;

    public XxHash64() {
        begin(0);
    }

    void begin(long seed) {
        a = seed + P1 + P2;
        b = seed + P2;
        c = seed;
        d = seed - P1;
        length = held = 0;
    }

    @Override public void update(int one) {
        add(new byte[] {(byte) one}, 0, 1);
    }

    @Override public void update(byte[] bytes, int start, int count) {
        add(bytes, start, start + count);
    }

    @Override public long getValue() {
        return end();
    }

    @Override public void reset() {
        begin(0);
    }

    void add(byte[] bytes, int from, int to) {
        length += to - from;
        var at = from;
        if (held > 0) {
            at += Math.min(STRIPE - held, to - from);
            System.arraycopy(bytes, from, stripe, held, at - from);
            held += at - from;
            if (held < STRIPE) return;
            stripes(stripe, 0, STRIPE);
        }
        at = stripes(bytes, at, to);
        held = to - at;
        System.arraycopy(bytes, at, stripe, 0, held);
    }

    /** @return the end of the last whole stripe */
    private int stripes(byte[] bytes, int from, int to) {
        long a = this.a, b = this.b, c = this.c, d = this.d;
        var at = from;
        for (; at <= to - STRIPE; at += STRIPE) {
            a = round(a, (long) LONG.get(bytes, at));
            b = round(b, (long) LONG.get(bytes, at + 8));
            c = round(c, (long) LONG.get(bytes, at + 16));
            d = round(d, (long) LONG.get(bytes, at + 24));
        }
        this.a = a;
        this.b = b;
        this.c = c;
        this.d = d;
        return at;
    }

    /** The hash of all that was added since {@link #begin}. */
    long end() {
        var hash = c + P5; // still the seed, when there was no whole stripe
        if (length >= STRIPE) {
            hash = Long.rotateLeft(a, 1) + Long.rotateLeft(b, 7) + Long.rotateLeft(c, 12) + Long.rotateLeft(d, 18);
            hash = merge(merge(merge(merge(hash, a), b), c), d);
        }
        hash += length;
        var at = 0;
        for (; at <= held - 8; at += 8) hash = Long.rotateLeft(hash ^ round(0, (long) LONG.get(stripe, at)), 27) * P1
                + P4;
        if (at <= held - 4) {
            hash = Long.rotateLeft(hash ^ ((int) INT.get(stripe, at) & 0xffffffffL) * P1, 23) * P2 + P3;
            at += 4;
        }
        for (; at < held; at++) hash = Long.rotateLeft(hash ^ (stripe[at] & 0xff) * P5, 11) * P1;
        hash = (hash ^ hash >>> 33) * P2;
        hash = (hash ^ hash >>> 29) * P3;
        return hash ^ hash >>> 32;
    }

    /** How many bytes were added since {@link #begin}. */
    public long length() {
        return length;
    }

    /** Whether exactly these few bytes were added. */
    boolean is(byte[] bytes) {
        return length == bytes.length && Arrays.equals(stripe, 0, held, bytes, 0, bytes.length);
    }

    private static long round(long sum, long lane) {
        return Long.rotateLeft(sum + lane * P2, 31) * P1;
    }

    private static long merge(long hash, long sum) {
        return (hash ^ round(0, sum)) * P1 + P4;
    }
}
