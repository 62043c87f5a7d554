package lib.backup.encryption;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.GeneralSecurityException;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * scrypt (RFC 7914) with r = 8 and p = 1, as age uses it, within 64 MB. As it is written down it needs 256 MB for age's usual
 * work factor, more than the tool may use; so only every so many-th block is kept, and those between are made again when wanted.
 */
public final class Scrypt {
    private static final int BLOCK = 256; // ints: 128 bytes times r
    private static final int MOST_KEPT = 1 << 16;

    private Scrypt() {}

    /** @param workFactor the logarithm of N, 1 to 20 */
    public static byte[] derive(byte[] password, byte[] salt, int workFactor, int length) {
        var block = pbkdf2(password, salt, BLOCK * 4);
        var ints = new int[BLOCK];
        ByteBuffer.wrap(block).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(ints);
        mix(ints, 1 << workFactor);
        ByteBuffer.wrap(block).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().put(ints);
        return pbkdf2(password, block, length);
    }

    /** One iteration. Java's own takes no empty password, and that as characters. */
    private static byte[] pbkdf2(byte[] password, byte[] salt, int length) {
        try {
            var mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(password.length == 0 ? new byte[1] : password, "HmacSHA256")); // HMAC pads with zeros
            var key = ByteBuffer.allocate(length);
            for (int i = 1; key.hasRemaining(); i++) {
                mac.update(salt);
                key.put(mac.doFinal(ByteBuffer.allocate(4).putInt(i).array()), 0, Math.min(mac.getMacLength(), key.remaining()));
            }
            return key.array();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JVM has it
        }
    }

    private static void mix(int[] x, int n) {
        var every = Math.max(1, n / MOST_KEPT);
        var kept = new int[n / every * BLOCK];
        var spare = new int[BLOCK];
        for (int i = 0; i < n; i++) {
            if (i % every == 0) System.arraycopy(x, 0, kept, i / every * BLOCK, BLOCK);
            mixBlock(x, spare);
        }
        var v = new int[BLOCK];
        for (int i = 0; i < n; i++) {
            var j = x[BLOCK - 16] & n - 1;
            System.arraycopy(kept, j / every * BLOCK, v, 0, BLOCK);
            for (int again = j % every; again > 0; again--) mixBlock(v, spare);
            for (int k = 0; k < BLOCK; k++) x[k] ^= v[k];
            mixBlock(x, spare);
        }
    }

    /** Sixteen Salsa20/8 blocks, each mixed with the one before; even ones go to the first half, odd ones to the second. */
    private static void mixBlock(int[] b, int[] out) {
        var last = BLOCK - 16;
        for (int i = 0; i < BLOCK / 16; i++) {
            var to = (i / 2 + (i % 2) * (BLOCK / 32)) * 16;
            salsa(i == 0 ? b : out, last, b, i * 16, out, to);
            last = to;
        }
        System.arraycopy(out, 0, b, 0, BLOCK);
    }

    private static void salsa(int[] a, int at, int[] b, int bt, int[] out, int to) {
        int s0 = a[at] ^ b[bt], s1 = a[at + 1] ^ b[bt + 1], s2 = a[at + 2] ^ b[bt + 2], s3 = a[at + 3] ^ b[bt + 3];
        int s4 = a[at + 4] ^ b[bt + 4], s5 = a[at + 5] ^ b[bt + 5], s6 = a[at + 6] ^ b[bt + 6], s7 = a[at + 7] ^ b[bt + 7];
        int s8 = a[at + 8] ^ b[bt + 8], s9 = a[at + 9] ^ b[bt + 9], s10 = a[at + 10] ^ b[bt + 10], s11 = a[at + 11] ^ b[bt + 11];
        int s12 = a[at + 12] ^ b[bt + 12], s13 = a[at + 13] ^ b[bt + 13], s14 = a[at + 14] ^ b[bt + 14], s15 = a[at + 15] ^ b[bt + 15];
        int x0 = s0, x1 = s1, x2 = s2, x3 = s3, x4 = s4, x5 = s5, x6 = s6, x7 = s7;
        int x8 = s8, x9 = s9, x10 = s10, x11 = s11, x12 = s12, x13 = s13, x14 = s14, x15 = s15;
        for (int round = 0; round < 8; round += 2) {
            x4 ^= Integer.rotateLeft(x0 + x12, 7);
            x8 ^= Integer.rotateLeft(x4 + x0, 9);
            x12 ^= Integer.rotateLeft(x8 + x4, 13);
            x0 ^= Integer.rotateLeft(x12 + x8, 18);
            x9 ^= Integer.rotateLeft(x5 + x1, 7);
            x13 ^= Integer.rotateLeft(x9 + x5, 9);
            x1 ^= Integer.rotateLeft(x13 + x9, 13);
            x5 ^= Integer.rotateLeft(x1 + x13, 18);
            x14 ^= Integer.rotateLeft(x10 + x6, 7);
            x2 ^= Integer.rotateLeft(x14 + x10, 9);
            x6 ^= Integer.rotateLeft(x2 + x14, 13);
            x10 ^= Integer.rotateLeft(x6 + x2, 18);
            x3 ^= Integer.rotateLeft(x15 + x11, 7);
            x7 ^= Integer.rotateLeft(x3 + x15, 9);
            x11 ^= Integer.rotateLeft(x7 + x3, 13);
            x15 ^= Integer.rotateLeft(x11 + x7, 18);
            x1 ^= Integer.rotateLeft(x0 + x3, 7);
            x2 ^= Integer.rotateLeft(x1 + x0, 9);
            x3 ^= Integer.rotateLeft(x2 + x1, 13);
            x0 ^= Integer.rotateLeft(x3 + x2, 18);
            x6 ^= Integer.rotateLeft(x5 + x4, 7);
            x7 ^= Integer.rotateLeft(x6 + x5, 9);
            x4 ^= Integer.rotateLeft(x7 + x6, 13);
            x5 ^= Integer.rotateLeft(x4 + x7, 18);
            x11 ^= Integer.rotateLeft(x10 + x9, 7);
            x8 ^= Integer.rotateLeft(x11 + x10, 9);
            x9 ^= Integer.rotateLeft(x8 + x11, 13);
            x10 ^= Integer.rotateLeft(x9 + x8, 18);
            x12 ^= Integer.rotateLeft(x15 + x14, 7);
            x13 ^= Integer.rotateLeft(x12 + x15, 9);
            x14 ^= Integer.rotateLeft(x13 + x12, 13);
            x15 ^= Integer.rotateLeft(x14 + x13, 18);
        }
        out[to] = x0 + s0;
        out[to + 1] = x1 + s1;
        out[to + 2] = x2 + s2;
        out[to + 3] = x3 + s3;
        out[to + 4] = x4 + s4;
        out[to + 5] = x5 + s5;
        out[to + 6] = x6 + s6;
        out[to + 7] = x7 + s7;
        out[to + 8] = x8 + s8;
        out[to + 9] = x9 + s9;
        out[to + 10] = x10 + s10;
        out[to + 11] = x11 + s11;
        out[to + 12] = x12 + s12;
        out[to + 13] = x13 + s13;
        out[to + 14] = x14 + s14;
        out[to + 15] = x15 + s15;
    }
}
