package lib;

import com.exceptionfactory.jagged.PayloadException;
import com.exceptionfactory.jagged.RecipientStanzaReader;
import com.exceptionfactory.jagged.RecipientStanzaWriter;
import com.exceptionfactory.jagged.UnsupportedRecipientStanzaException;
import com.exceptionfactory.jagged.framework.armor.ArmoredDecryptingChannelFactory;
import com.exceptionfactory.jagged.framework.stream.StandardDecryptingChannelFactory;
import com.exceptionfactory.jagged.framework.stream.StandardEncryptingChannelFactory;
import com.exceptionfactory.jagged.x25519.X25519KeyPairGenerator;
import com.exceptionfactory.jagged.x25519.X25519RecipientStanzaReaderFactory;
import com.exceptionfactory.jagged.x25519.X25519RecipientStanzaWriterFactory;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * Encryption as age does it (age-encryption.org/v1), in streams: nothing readable ever lies on a disk. One object is for one
 * backup.
 *
 * <p>For recipients one more is added, whose identity is made for this backup and never leaves the memory: with it the very
 * process that wrote the file can read it back, although it has nobody's key.
 */
public final class Age {
    private final List<RecipientStanzaWriter> writers;
    private final List<RecipientStanzaReader> readers;
    private final List<String> names;

    private Age(List<RecipientStanzaWriter> writers, List<RecipientStanzaReader> readers, List<String> names) {
        this.writers = writers;
        this.readers = readers;
        this.names = names;
    }

    /** @param recipients {@code age1…} @throws Failure usage (2), naming the one that is none */
    public static Age to(List<String> recipients) {
        var writers = new ArrayList<RecipientStanzaWriter>();
        for (var recipient : recipients) {
            try {
                writers.add(X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(recipient));
            } catch (GeneralSecurityException | RuntimeException e) { // without it: somebody may have given the secret key
                throw new Failure(new Problem.NoRecipient(recipient.toUpperCase(Locale.ROOT).startsWith(IDENTITY) ? null : recipient));
            }
        }
        try {
            var own = new X25519KeyPairGenerator().generateKeyPair();
            writers.add(X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(text(own.getPublic())));
            return new Age(writers, List.of(X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(text(own.getPrivate()))), List.copyOf(recipients));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JDK since 11 has X25519
        }
    }

    /** age allows nobody beside a passphrase. */
    public static Age with(String passphrase) {
        var scrypt = new Passphrase(passphrase);
        return new Age(List.of(scrypt), List.of(scrypt), List.of("passphrase"));
    }

    private static String text(Key key) {
        return new String(key.getEncoded(), StandardCharsets.US_ASCII);
    }

    /** Whom the file is for, for its manifest. */
    public List<String> names() {
        return names;
    }

    /** Closing the stream writes the last block: one that is not closed is not whole, and everybody notices. */
    public OutputStream encrypting(OutputStream out) throws IOException {
        try {
            return new Sealing(new StandardEncryptingChannelFactory().newEncryptingChannel(Channels.newChannel(out), writers));
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot encrypt: " + e.getMessage(), e);
        }
    }

    /** What this object has encrypted. */
    public InputStream reading(InputStream in) throws IOException {
        return opened(in, readers, true);
    }

    // ---- the other side ----------------------------------------------------------------------

    private static final String IDENTITY = "AGE-SECRET-KEY-1";

    /**
     * Opens what was encrypted by anybody.
     *
     * @param identities a file as age-keygen writes it, or null
     * @param passphrase or null
     */
    public static BackupFile.Key key(Path identities, String passphrase) {
        var readers = Stream.concat(identities == null ? Stream.of() : identitiesIn(identities).stream(), passphrase == null ? Stream.of() : Stream.of(new Passphrase(passphrase))).toList();
        return in -> opened(in, readers, false);
    }

    private static List<RecipientStanzaReader> identitiesIn(Path file) {
        var readers = new ArrayList<RecipientStanzaReader>();
        try {
            for (var line : Files.readAllLines(file)) {
                if (line.isBlank() || line.startsWith("#")) continue;
                try {
                    readers.add(X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(line.strip()));
                } catch (GeneralSecurityException | RuntimeException e) { // without it: its text may hold the key
                    throw new Failure(new Problem.NoIdentity(file, line.startsWith("age-encryption.org/") || line.startsWith("-----BEGIN AGE")));
                }
            }
        } catch (IOException e) {
            throw new Failure(new Problem.NoIdentity(file, false));
        }
        if (readers.isEmpty()) throw new Failure(new Problem.NoIdentity(file, false));
        return readers;
    }

    private static InputStream opened(InputStream in, List<RecipientStanzaReader> readers, boolean own) throws IOException {
        if (readers.isEmpty()) throw new Failure(new Problem.WrongKey(false));
        var buffered = in.markSupported() ? in : new BufferedInputStream(in, 1 << 16);
        buffered.mark(1);
        var armored = buffered.read() == '-';
        buffered.reset();
        var channel = Channels.newChannel(buffered);
        try {
            var factory = armored ? new ArmoredDecryptingChannelFactory() : new StandardDecryptingChannelFactory();
            return new Opening(factory.newDecryptingChannel(channel, readers));
        } catch (UnsupportedRecipientStanzaException e) {
            if (own) throw new IOException("it is not what was encrypted", e);
            throw new Failure(new Problem.WrongKey(true), e);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw new IOException("its encryption's header is damaged: " + e.getMessage(), e);
        }
    }

    /** The library's channels write and read less than they are given. */
    private static final class Sealing extends OutputStream {
        private final WritableByteChannel channel;

        Sealing(WritableByteChannel channel) {
            this.channel = channel;
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            for (var left = ByteBuffer.wrap(from, start, length); left.hasRemaining(); ) channel.write(left);
        }

        @Override public void close() throws IOException {
            channel.close();
        }
    }

    private static final class Opening extends InputStream {
        private final ReadableByteChannel channel;

        Opening(ReadableByteChannel channel) {
            this.channel = channel;
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            if (length == 0) return 0;
            try {
                return channel.read(ByteBuffer.wrap(to, start, length));
            } catch (PayloadException e) {
                throw new IOException("its encryption is damaged, or cut short", e);
            }
        }

        @Override public void close() throws IOException {
            channel.close();
        }
    }
}
