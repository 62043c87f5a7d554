package lib;

import com.exceptionfactory.jagged.FileKey;
import com.exceptionfactory.jagged.RecipientStanza;
import com.exceptionfactory.jagged.RecipientStanzaReader;
import com.exceptionfactory.jagged.RecipientStanzaWriter;
import com.exceptionfactory.jagged.UnsupportedRecipientStanzaException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.crypto.generators.SCrypt;

/** age's recipient type "scrypt" (age-encryption.org/v1, "The scrypt recipient type"), which the library's published parts lack. */
final class Passphrase implements RecipientStanzaWriter, RecipientStanzaReader {
    private static final String TYPE = "scrypt";
    private static final byte[] LABEL = "age-encryption.org/v1/scrypt".getBytes(StandardCharsets.US_ASCII);
    private static final int SALT = 16;
    /** 2^16 blocks of a kilobyte are 64 MB; age itself takes 2^18, four times our memory. */
    private static final int WORK = 16;
    private static final int MOST_WORK = 20;

    private final byte[] passphrase;

    Passphrase(String passphrase) {
        this.passphrase = passphrase.getBytes(StandardCharsets.UTF_8);
    }

    @Override public Iterable<RecipientStanza> getRecipientStanzas(FileKey fileKey) throws GeneralSecurityException {
        var salt = new byte[SALT];
        new SecureRandom().nextBytes(salt);
        var body = crypt(Cipher.ENCRYPT_MODE, salt, WORK, fileKey.getEncoded());
        return List.of(new Stanza(List.of(Base64.getEncoder().withoutPadding().encodeToString(salt), String.valueOf(WORK)), body));
    }

    @Override public FileKey getFileKey(Iterable<RecipientStanza> stanzas) throws GeneralSecurityException {
        for (var stanza : stanzas) {
            if (!stanza.getType().equals(TYPE)) continue;
            try {
                var work = Integer.parseInt(stanza.getArguments().get(1));
                if (work < 1 || work > MOST_WORK) throw new UnsupportedRecipientStanzaException("work factor " + work);
                return new FileKey(crypt(Cipher.DECRYPT_MODE, Base64.getDecoder().decode(stanza.getArguments().get(0)), work, stanza.getBody()));
            } catch (GeneralSecurityException | RuntimeException e) {
                throw new UnsupportedRecipientStanzaException("the passphrase is another one");
            }
        }
        throw new UnsupportedRecipientStanzaException("not encrypted with a passphrase");
    }

    /** The key is used once, so the nonce is zero. */
    private byte[] crypt(int mode, byte[] salt, int work, byte[] content) throws GeneralSecurityException {
        var labelled = new byte[LABEL.length + salt.length];
        System.arraycopy(LABEL, 0, labelled, 0, LABEL.length);
        System.arraycopy(salt, 0, labelled, LABEL.length, salt.length);
        var key = SCrypt.generate(passphrase, labelled, 1 << work, 8, 1, 32);
        var cipher = Cipher.getInstance("ChaCha20-Poly1305");
        cipher.init(mode, new SecretKeySpec(key, "ChaCha20"), new IvParameterSpec(new byte[12]));
        return cipher.doFinal(content);
    }

    private record Stanza(List<String> getArguments, byte[] getBody) implements RecipientStanza {
        @Override public String getType() {
            return TYPE;
        }
    }

    @Override public String toString() {
        return "passphrase";
    }
}
