package lib.backup.encryption;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;

/** Decrypts what age has encrypted. */
public interface DecryptionKey {
    /**
     * @param file for messages
     * @throws lib.error.Failure usage (2): it is the wrong key, or there is none
     */
    InputStream decrypting(Path file, InputStream encrypted) throws IOException;
}
