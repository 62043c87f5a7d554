package lib.backup.encryption;

import com.exceptionfactory.jagged.FileKey;
import com.exceptionfactory.jagged.PayloadException;
import com.exceptionfactory.jagged.RecipientStanza;
import com.exceptionfactory.jagged.RecipientStanzaReader;
import com.exceptionfactory.jagged.RecipientStanzaWriter;
import com.exceptionfactory.jagged.framework.armor.ArmoredDecodingException;
import com.exceptionfactory.jagged.framework.armor.ArmoredDecryptingChannelFactory;
import com.exceptionfactory.jagged.framework.crypto.CipherKey;
import com.exceptionfactory.jagged.framework.crypto.EncryptedFileKey;
import com.exceptionfactory.jagged.framework.crypto.FileKeyDecryptorFactory;
import com.exceptionfactory.jagged.framework.crypto.FileKeyEncryptorFactory;
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
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import lib.error.Failure;
import lib.error.Problem;

/**
 * Seals one backup with age (age-encryption.org/v1), which the {@code age} program opens too. What was written can be read back
 * through the same object, even where no key is at hand: a file sealed to recipients is sealed to one more, whose identity
 * never leaves this object's memory.
 */
public final class Age {
    private static final String BINARY = "age-encryption.org/";
    private static final String ARMORED = "-----BEGIN AGE ENCRYPTED FILE-----";
    private static final String SECRET = "AGE-SECRET-KEY-";
    private static final String X25519_SECRET = SECRET + "1";

    private final List<String> names;
    private final List<RecipientStanzaWriter> writers;
    private final Keys own;

    private Age(List<String> names, List<RecipientStanzaWriter> writers, Keys own) {
        this.names = names;
        this.writers = writers;
        this.own = own;
    }

    /**
     * @param recipients {@code age1…}, one or several to an entry, separated by blanks or commas
     * @throws Failure one of them is none, or there is none
     */
    public static Age to(List<String> recipients) {
        var names = recipients.stream().flatMap(entry -> Arrays.stream(entry.strip().split("[\\s,]+"))).filter(name -> !name.isEmpty()).distinct().toList();
        if (names.isEmpty()) throw new Failure(new Problem.NoRecipient("\"\"", "it is empty"));
        try {
            var writers = new ArrayList<RecipientStanzaWriter>();
            for (var name : names) writers.add(recipient(name));
            var once = new X25519KeyPairGenerator().generateKeyPair();
            writers.add(X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(ascii(once.getPublic().getEncoded())));
            return new Age(names, writers, new Keys(List.of(X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(ascii(once.getPrivate().getEncoded()))), null, null));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every JVM has X25519 and ChaCha20-Poly1305
        }
    }

    /** @throws Failure it is empty */
    public static Age withPassphrase(String passphrase) {
        if (passphrase.isEmpty()) throw new Failure(new Problem.NoPassphrase());
        var secret = new Passphrase(passphrase);
        return new Age(List.of("passphrase"), List.of(secret), new Keys(List.of(), secret, null));
    }

    private static RecipientStanzaWriter recipient(String name) {
        if (name.regionMatches(true, 0, "AGE-", 0, 4)) throw new Failure(new Problem.NoRecipient("AGE-…", "it is a secret key, which belongs where backups are opened, not where they are made"));
        if (name.startsWith("ssh-")) throw new Failure(new Problem.NoRecipient(shortened(name), "ssh keys are not supported, use an age1… recipient"));
        if (name.startsWith("age1") && name.lastIndexOf('1') > 3) throw new Failure(new Problem.NoRecipient(shortened(name), "plugin recipients are not supported, use a plain age1… recipient"));
        try {
            if (name.startsWith("age1")) return X25519RecipientStanzaWriterFactory.newRecipientStanzaWriter(name);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw new Failure(new Problem.NoRecipient(shortened(name), "it is mistyped or not complete"), e);
        }
        throw new Failure(new Problem.NoRecipient(shortened(name), "it does not begin with age1"));
    }

    private static String shortened(String name) {
        return name.length() <= 80 ? name : name.substring(0, 77) + "…";
    }

    private static String ascii(byte[] bytes) {
        return new String(bytes, StandardCharsets.US_ASCII);
    }

    /** For the manifest: the recipients that were given, or {@code passphrase}. */
    public List<String> names() {
        return names;
    }

    @Override public String toString() {
        return String.join(" ", names);
    }

    // ---- sealing -----------------------------------------------------------------------------

    /**
     * {@code close()} writes the last block and closes {@code out}. Without it the file can never pass for whole: who gives up
     * closes {@code out} alone. After a failed write, {@code close()} refuses.
     */
    public OutputStream encrypting(OutputStream out) throws IOException {
        try {
            return new Sealing(new StandardEncryptingChannelFactory().newEncryptingChannel(Channels.newChannel(out), writers));
        } catch (GeneralSecurityException e) {
            throw new IOException("age cannot seal: " + e.getMessage(), e);
        }
    }

    private static final class Sealing extends OutputStream {
        private final WritableByteChannel to;
        private boolean failed;
        private boolean closed;

        Sealing(WritableByteChannel to) {
            this.to = to;
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            if (failed || closed) throw new IOException("this sealed file has been given up or closed");
            failed = true; // until it has not: the same block must never be sealed twice, nor an end put behind a hole
            to.write(ByteBuffer.wrap(from, start, length));
            failed = false;
        }

        @Override public void close() throws IOException {
            if (closed) return;
            if (failed) throw new IOException("a write has failed, so no end is put to this sealed file");
            failed = true;
            if (!to.isOpen()) throw new IOException("what this is written to has been closed");
            to.close();
            failed = false;
            closed = true;
        }
    }

    // ---- opening -----------------------------------------------------------------------------

    /** What {@link #encrypting} wrote, with no key from outside. */
    public InputStream reading(InputStream in) throws IOException {
        try {
            return own.opening(in);
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
     * Opens what anybody's age has sealed, armored or not. Its stream throws an IOException where the file is damaged or cut off.
     *
     * @param identity   a file of age-keygen's, or null
     * @param passphrase or null; taken where the file wants one
     * @throws Failure the identity file is none; later, while opening: what was given does not open it, or nothing was given
     */
    public static DecryptionKey key(Path identity, String passphrase) {
        return new Keys(identity == null ? List.of() : identities(identity), passphrase == null || passphrase.isEmpty() ? null : new Passphrase(passphrase), identity);
    }

    private static List<RecipientStanzaReader> identities(Path file) {
        try {
            if (Files.size(file) > 1 << 20) throw noIdentity(file, "it is too large for one");
            var text = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1);
            if (text.startsWith(BINARY) || text.startsWith(ARMORED))
                throw new Failure(new Problem.NoIdentity(file, "it is encrypted itself", List.of("decrypt it to where only you can read, and give that: age --decrypt " + file + " > key.txt")));
            if (text.contains("PRIVATE KEY-----") || text.startsWith("ssh-")) throw noIdentity(file, "ssh keys are not supported");
            var readers = new ArrayList<RecipientStanzaReader>();
            var number = 0;
            for (var line : text.split("\\R")) {
                number++;
                if (!line.isBlank() && !line.startsWith("#")) readers.add(identity(file, number, line.strip()));
            }
            if (readers.isEmpty()) throw noIdentity(file, "no line of it begins with " + X25519_SECRET);
            return readers;
        } catch (IOException e) {
            throw new Failure(new Problem.NoIdentity(file, Failure.wordsOf(e).replace(file + ": ", ""), List.of("look at the name, and at who may read it: ls -l " + file)), e);
        }
    }

    /** The line is a secret: neither it nor what the library says of it may be told. */
    private static RecipientStanzaReader identity(Path file, int number, String line) {
        if (line.startsWith("AGE-PLUGIN-") || line.startsWith(SECRET) && !line.startsWith(X25519_SECRET)) throw noIdentity(file, "line " + number + " is a key of a kind that is not supported");
        if (line.startsWith("age1")) throw noIdentity(file, "line " + number + " is a public key, and opening takes the secret one");
        try {
            if (line.startsWith(X25519_SECRET)) return X25519RecipientStanzaReaderFactory.newRecipientStanzaReader(line);
        } catch (GeneralSecurityException | RuntimeException e) {
            throw noIdentity(file, "the key in line " + number + " is not complete");
        }
        throw noIdentity(file, "line " + number + " does not begin with " + X25519_SECRET);
    }

    private static Failure noIdentity(Path file, String why) {
        return new Failure(new Problem.NoIdentity(file, why, List.of("give the file that was made by: age-keygen -o key.txt")));
    }

    /** @param from the file that the identities are from, or null */
    private record Keys(List<RecipientStanzaReader> identities, Passphrase passphrase, Path from) implements DecryptionKey, RecipientStanzaReader {
        private static final List<String> BOTH = List.of("with the key: --identity FILE", "with the passphrase: BACKUP_PASSPHRASE in the environment or in .env");

        @Override public InputStream opening(InputStream sealed) throws IOException {
            var in = sealed.markSupported() ? sealed : new BufferedInputStream(sealed, 1 << 16);
            in.mark(ARMORED.length());
            var armored = starts(in.readNBytes(ARMORED.length()), ARMORED);
            in.reset();
            try {
                var factory = armored ? new ArmoredDecryptingChannelFactory() : new StandardDecryptingChannelFactory();
                return new Opened(factory.newDecryptingChannel(Channels.newChannel(in), List.of(this)));
            } catch (Failure e) {
                throw e;
            } catch (GeneralSecurityException | RuntimeException e) { // the library runs over the end of what is cut off
                throw new IOException("its age header is damaged or cut off", e);
            }
        }

        @Override public FileKey getFileKey(Iterable<RecipientStanza> stanzas) throws GeneralSecurityException {
            var types = new ArrayList<String>();
            for (var stanza : stanzas) types.add(stanza.getType());
            if (types.contains(Passphrase.TYPE)) {
                if (passphrase == null) throw new Failure(new Problem.WrongKey("this backup is sealed with a passphrase" + (from == null ? "" : ", and is not for the key in " + from), List.of(BOTH.get(1))));
                return passphrase.getFileKey(stanzas);
            }
            for (var identity : identities) {
                try {
                    return identity.getFileKey(stanzas);
                } catch (GeneralSecurityException e) {
                    // another's
                }
            }
            if (!types.contains("X25519")) throw new Failure(new Problem.WrongKey("this backup is sealed for keys of a kind that is not supported: " + String.join(", ", types), List.of("decrypt it with the age program first: age --decrypt")));
            if (from != null) throw new Failure(new Problem.WrongKey("no key in " + from + " opens this backup", List.of("its manifest names the recipients, age-keygen -y FILE those of a key file: give one that matches, --identity FILE")));
            throw new Failure(new Problem.WrongKey("this backup is sealed for a key" + (passphrase == null ? "" : ", not with a passphrase"), List.of(BOTH.get(0))));
        }

        @Override public String toString() {
            return identities.size() + " identities" + (passphrase == null ? "" : ", a passphrase");
        }
    }

    private static final class Opened extends InputStream {
        private final ReadableByteChannel from;
        private IOException failed;

        Opened(ReadableByteChannel from) {
            this.from = from;
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            if (length == 0) return 0;
            if (failed != null) throw new IOException(failed.getMessage(), failed); // not an end, however often it is asked
            try {
                return from.read(ByteBuffer.wrap(to, start, length));
            } catch (PayloadException | ArmoredDecodingException | RuntimeException e) {
                failed = new IOException("what age has sealed is damaged or cut off", e);
            } catch (IOException e) {
                failed = e; // the disk's
            }
            throw failed;
        }

        @Override public void close() throws IOException {
            from.close();
        }
    }

    // ---- passphrases -------------------------------------------------------------------------

    /** age's scrypt stanza, which has to be the only one. Keeps the last key it has derived: reading back needs the same. */
    private static final class Passphrase implements RecipientStanzaWriter, RecipientStanzaReader {
        private static final String TYPE = "scrypt";
        private static final String LABEL = "age-encryption.org/v1/scrypt";
        private static final int WORK_FACTOR = 18; // the age program's own
        private static final int MOST_WORK = 20; // half a minute; anybody can write a larger number into a file
        private static final int SALT = 16;

        private final byte[] passphrase;
        private byte[] salt;
        private int workFactor;
        private byte[] derived;

        Passphrase(String passphrase) {
            this.passphrase = passphrase.getBytes(StandardCharsets.UTF_8);
        }

        private synchronized CipherKey wrapping(byte[] salt, int workFactor) {
            if (!Arrays.equals(salt, this.salt) || workFactor != this.workFactor) {
                var labelled = ByteBuffer.allocate(LABEL.length() + SALT).put(LABEL.getBytes(StandardCharsets.US_ASCII)).put(salt).array();
                derived = Scrypt.derive(passphrase, labelled, workFactor, 32);
                this.salt = salt;
                this.workFactor = workFactor;
            }
            return new CipherKey(derived.clone()); // the library wipes it
        }

        @Override public Iterable<RecipientStanza> getRecipientStanzas(FileKey key) throws GeneralSecurityException {
            var salt = new byte[SALT];
            new SecureRandom().nextBytes(salt);
            var body = new FileKeyEncryptorFactory().newFileKeyEncryptor().getEncryptedFileKey(key, wrapping(salt, WORK_FACTOR)).getEncoded();
            return List.of(new Stanza(TYPE, List.of(Base64.getEncoder().withoutPadding().encodeToString(salt), String.valueOf(WORK_FACTOR)), body));
        }

        @Override public FileKey getFileKey(Iterable<RecipientStanza> stanzas) throws GeneralSecurityException {
            var all = new ArrayList<RecipientStanza>();
            stanzas.forEach(all::add);
            var stanza = all.getFirst();
            var said = stanza.getArguments();
            if (all.size() != 1 || said.size() != 2 || !said.get(1).matches("[1-9]\\d?") || stanza.getBody().length != 32) throw new GeneralSecurityException("no scrypt stanza");
            var salt = Base64.getDecoder().decode(said.get(0));
            if (salt.length != SALT) throw new GeneralSecurityException("no scrypt stanza");
            var work = Integer.parseInt(said.get(1));
            if (work > MOST_WORK) throw new Failure(new Problem.WrongKey("this backup wants scrypt with work factor %d, and more than %d is not supported".formatted(work, MOST_WORK), List.of("decrypt it with the age program first: age --decrypt")));
            var wrapping = wrapping(salt, work);
            try {
                return new FileKeyDecryptorFactory().newFileKeyDecryptor().getFileKey(new EncryptedFileKey(stanza.getBody()), wrapping);
            } catch (GeneralSecurityException e) {
                throw new Failure(new Problem.WrongKey("the passphrase in BACKUP_PASSPHRASE does not open this backup", List.of("give the one that it was made with")), e);
            }
        }

        @Override public String toString() {
            return "passphrase";
        }
    }

    /** One entry of the header: the file's key, wrapped. */
    private record Stanza(String type, List<String> arguments, byte[] body) implements RecipientStanza {
        @Override public String getType() { return type; }
        @Override public List<String> getArguments() { return arguments; }
        @Override public byte[] getBody() { return body.clone(); }
    }
}
