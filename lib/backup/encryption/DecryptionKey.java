package lib.backup.encryption;

import java.io.IOException;
import java.io.InputStream;

/** Decrypts what age has encrypted. */
public interface DecryptionKey {
    /** @throws Failure it is the wrong key, or there is none */
    InputStream opening(InputStream encrypted) throws IOException;
}
