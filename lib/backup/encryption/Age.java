package lib.backup.encryption;

import com.exceptionfactory.jagged.FileKey;
import com.exceptionfactory.jagged.PayloadException;
import com.exceptionfactory.jagged.RecipientStanza;
import com.exceptionfactory.jagged.RecipientStanzaReader;
import com.exceptionfactory.jagged.RecipientStanzaWriter;
import com.exceptionfactory.jagged.framework.armor.ArmoredDecodingException;
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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import lib.error.Failure;
import lib.process.Shell;

/**
 * Encrypts one backup with age (age-encryption.org/v1). The same object can read back what it wrote, without a key
 * file: each file is also encrypted for one more recipient, whose identity exists only in the memory of this object.
 */
public final class Age {
    private static final String BINARY = "age-encryption.org/";
    private static final String ARMORED = "-----BEGIN AGE ENCRYPTED FILE-----";
    private static final String SECRET = "AGE-SECRET-KEY-";
    private static final String X25519_SECRET = SECRET + "1";
    private static final int LARGEST_IDENTITY_FILE = 1 << 20;

    /** Decrypts what age has encrypted. */
    public interface Key {
        /**
         * @param file for messages
         * @throws Failure usage (2): it is the wrong key, or there is none
         */
        InputStream decrypting(Path file, InputStream encrypted) throws IOException;
    }

    private final List<String> recipients;
    private final List<RecipientStanzaWriter> writers;
    private final List<RecipientStanzaReader> own;

    private Age(List<String> recipients, List<RecipientStanzaWriter> writers, List<RecipientStanzaReader> own) {
        this.recipients = recipients;
        this.writers = writers;
        this.own = own;
    }

    /**
     * @param recipients {@code age1…}, one or several to an entry, separated by blanks or commas
     * @throws Failure usage (2): there is none, or one is not valid
     */
    public static Age to(List<String> recipients) {
        var names = recipients.stream().flatMap(entry -> Arrays.stream(entry.strip().split("[\\s,]+")))
                .filter(name -> !name.isEmpty()).distinct().toList();
        if (names.isEmpty()) throw notARecipient("\"\"", "it is empty");
        try {
            var writers = new ArrayList<RecipientStanzaWriter>();
            for (var name : names) writers.add(recipient(name));
            var own = new X25519KeyPairGenerator().generateKeyPair();
            var publicKey = ascii(own.getPublic().getEncoded());
            writers.add(X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(publicKey));
            var secretKey = ascii(own.getPrivate().getEncoded());
            var reader = X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(secretKey);
            return new Age(names, writers, List.of(reader));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JVM has X25519 and ChaCha20-Poly1305
        }
    }

    private static RecipientStanzaWriter recipient(String name) {
        if (name.regionMatches(true, 0, "AGE-", 0, 4))
            throw notARecipient("AGE-…",
                    "it is a secret key, which belongs where backups are decrypted, not where they are made");
        var shown = name.length() <= 80 ? name : name.substring(0, 77) + "…";
        if (name.startsWith("ssh-")) throw notARecipient(shown, "ssh keys are not supported");
        if (!name.startsWith("age1")) throw notARecipient(shown, "it does not begin with age1");
        if (name.lastIndexOf('1') > 3) throw notARecipient(shown, "plugin recipients are not supported");
        try {
            return X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(name);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw notARecipient(shown, "it is mistyped or incomplete").causedBy(e);
        }
    }

    private static Failure notARecipient(String name, String why) {
        return Failure.usage("cannot encrypt to " + name + ": " + why)
                .next("give an age1… recipient: the line \"public key\" of a file made by age-keygen -o key.txt");
    }

    private static String ascii(byte[] bytes) {
        return new String(bytes, StandardCharsets.US_ASCII);
    }

    /** The recipients that were given. */
    public List<String> recipients() {
        return recipients;
    }

    // ---- encrypting --------------------------------------------------------------------------

    /**
     * {@code close()} writes the last block and closes {@code out}. A file without its last block is never valid: to
     * abandon it, close {@code out} alone. After a failed write, {@code close()} throws.
     */
    public OutputStream encrypting(OutputStream out) throws IOException {
        try {
            var factory = new StandardEncryptingChannelFactory();
            return new Encrypted(factory.newEncryptingChannel(Channels.newChannel(out), writers));
        } catch (GeneralSecurityException e) {
            throw new IOException("age cannot encrypt: " + e.getMessage(), e);
        }
    }

    private static final class Encrypted extends OutputStream {
        private final WritableByteChannel to;
        private boolean failed;
        private boolean closed;

        Encrypted(WritableByteChannel to) {
            this.to = to;
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            if (failed || closed) throw new IOException("this encrypted file is closed, or an earlier write failed");
            failed = true; // unless the write returns: no block may be encrypted twice, and no end may follow a gap
            to.write(ByteBuffer.wrap(from, start, length));
            failed = false;
        }

        @Override public void close() throws IOException {
            if (closed) return;
            if (failed) throw new IOException("a write failed, so this encrypted file gets no end");
            failed = true;
            if (!to.isOpen()) throw new IOException("the file below this encrypted file is closed");
            to.close();
            failed = false;
            closed = true;
        }
    }

    // ---- decrypting --------------------------------------------------------------------------

    /** What {@link #encrypting} wrote, without a key file. */
    public InputStream readingBack(InputStream in) throws IOException {
        try {
            return decrypting(in, new Identities(null, own, null));
        } catch (Failure e) {
            throw new IOException("its age header is damaged", e); // our own key is never the wrong one
        }
    }

    /** @param head the first bytes of a file, 34 or more of them */
    public static boolean isEncrypted(byte[] head) {
        return starts(head, BINARY) || starts(head, ARMORED);
    }

    private static boolean starts(byte[] head, String with) {
        return head.length >= with.length() && ascii(Arrays.copyOf(head, with.length())).equals(with);
    }

    /**
     * Decrypts files of any age program, armored or not. The stream throws an IOException where the file is damaged or
     * cut off.
     *
     * @param identity a file that age-keygen wrote, or null
     * @throws Failure usage (2): the identity file is not valid; when decrypting: it does not fit, or there is none
     */
    public static Key key(Path identity) {
        var identities = identity == null ? List.<RecipientStanzaReader>of() : identities(identity);
        return (file, encrypted) -> decrypting(encrypted, new Identities(file, identities, identity));
    }

    private static InputStream decrypting(InputStream encrypted, Identities identities) throws IOException {
        var in = encrypted.markSupported() ? encrypted : new BufferedInputStream(encrypted, 1 << 16);
        in.mark(ARMORED.length());
        var armored = starts(in.readNBytes(ARMORED.length()), ARMORED);
        in.reset();
        try {
            var factory = armored ? new ArmoredDecryptingChannelFactory() : new StandardDecryptingChannelFactory();
            return new Decrypted(factory.newDecryptingChannel(Channels.newChannel(in), List.of(identities)));
        } catch (Failure e) {
            throw e;
        } catch (GeneralSecurityException | RuntimeException e) {
            // The library reads past the end of a file that was cut.
            throw new IOException("its age header is damaged or cut off", e);
        }
    }

    private static List<RecipientStanzaReader> identities(Path file) {
        try {
            if (Files.size(file) > LARGEST_IDENTITY_FILE) throw notAnIdentity(file, "it is too large");
            var text = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
            if (text.startsWith(BINARY) || text.startsWith(ARMORED))
                throw notAnIdentity(file, "it is encrypted itself")
                        .next("decrypt it to a file that only you can read: " + decryptByHand(file, false));
            if (text.contains("PRIVATE KEY-----") || text.startsWith("ssh-"))
                throw notAnIdentity(file, "ssh keys are not supported");
            var readers = new ArrayList<RecipientStanzaReader>();
            var number = 0;
            for (var line : text.split("\\R")) {
                number++;
                if (!line.isBlank() && !line.startsWith("#")) readers.add(identity(file, number, line.strip()));
            }
            if (readers.isEmpty()) throw notAnIdentity(file, "it has no line that begins with " + X25519_SECRET);
            return readers;
        } catch (IOException e) {
            throw notAnIdentity(file, Failure.firstLine(e).replace(file + ": ", ""))
                    .next("check its name, and who may read it: " + Shell.line("ls", "-l", file.toString()))
                    .causedBy(e);
        }
    }

    /** The line is a secret: neither it nor the library's message about it is shown. */
    private static RecipientStanzaReader identity(Path file, int number, String line) {
        var at = "line " + number;
        if (line.startsWith("AGE-PLUGIN-") || line.startsWith(SECRET) && !line.startsWith(X25519_SECRET))
            throw notAnIdentity(file, at + " is a key of a type that is not supported");
        if (line.startsWith("age1"))
            throw notAnIdentity(file, at + " is a public key, and decrypting needs the secret one");
        if (!line.startsWith(X25519_SECRET)) throw notAnIdentity(file, at + " does not begin with " + X25519_SECRET);
        try {
            return X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(line);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw notAnIdentity(file, "the key in " + at + " is incomplete");
        }
    }

    private static Failure notAnIdentity(Path file, String why) {
        return Failure.usage("cannot use the identity file " + file + ": " + why)
                .next("give the file that was made by: age-keygen -o key.txt");
    }

    /** A command line that decrypts a file to one beside it that only its owner can read. */
    private static String decryptByHand(Path file, boolean withIdentity) {
        var name = file.toString();
        var to = name.endsWith(".age") ? name.substring(0, name.length() - ".age".length()) : name + ".decrypted";
        var key = withIdentity ? "--identity KEY_FILE " : "";
        return "( umask 077 && age --decrypt %s--output %s %s )".formatted(key, Shell.quoted(to), Shell.quoted(name));
    }

    /**
     * The identities of one key file, tried on one encrypted file.
     *
     * @param file encrypted, for messages
     * @param from the key file, or null
     */
    private record Identities(Path file, List<RecipientStanzaReader> identities, Path from)
            implements RecipientStanzaReader {
        @Override public FileKey getFileKey(Iterable<RecipientStanza> stanzas) {
            var types = new ArrayList<String>();
            for (var stanza : stanzas) types.add(stanza.getType());
            if (types.contains("scrypt"))
                throw Failure.usage(file + " is encrypted with a passphrase, which is not supported")
                        .next("decrypt it, then give the decrypted file: " + decryptByHand(file, false));
            for (var identity : identities) {
                try {
                    return identity.getFileKey(stanzas);
                } catch (GeneralSecurityException e) {
                    // encrypted for another recipient
                }
            }
            if (!types.contains("X25519"))
                throw Failure.usage(file + " is encrypted for recipients of a type that is not supported: "
                        + String.join(", ", types))
                        .next("decrypt it, then give the decrypted file: " + decryptByHand(file, true));
            if (from == null) throw Failure.usage(file + " is encrypted, and no identity file is given")
                    .next("give the file with its secret key: --identity FILE, or BACKUP_IDENTITY in .env");
            throw Failure.usage("no key in " + from + " decrypts " + file)
                    .next("give the key of one of the recipients that its manifest names: --identity FILE",
                            "the recipients of a key file: " + Shell.line("age-keygen", "-y", from.toString()));
        }
    }

    private static final class Decrypted extends InputStream {
        private final ReadableByteChannel from;
        private IOException failed;

        Decrypted(ReadableByteChannel from) {
            this.from = from;
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            if (length == 0) return 0;
            // Never an end of file, however often it is read
            if (failed != null) throw new IOException(failed.getMessage(), failed);
            try {
                return from.read(ByteBuffer.wrap(to, start, length));
            } catch (PayloadException | ArmoredDecodingException | RuntimeException e) {
                failed = new IOException("its encrypted content is damaged or cut off", e);
            } catch (IOException e) {
                failed = e; // the disk's
            }
            throw failed;
        }

        @Override public void close() throws IOException {
            from.close();
        }
    }
}
