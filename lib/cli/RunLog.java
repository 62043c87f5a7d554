package lib.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import lib.files.Disk;

/** Everything that was printed, with the time; in memory until there is a file for it. */
final class RunLog {
    private final StringBuilder early = new StringBuilder();
    private Path file;

    /** Later lines go to this new file too, mode 0600; the earlier ones come first. */
    synchronized void writeTo(Path newFile) throws IOException {
        Disk.writePrivate(newFile, early.toString().getBytes(StandardCharsets.UTF_8));
        early.setLength(0);
        file = newFile;
    }

    /** Synchronized: the progress of a backup comes from the thread that feeds it. */
    synchronized void add(String text) {
        var line = Instant.now().truncatedTo(ChronoUnit.MILLIS) + " " + text + "\n";
        if (file == null) {
            early.append(line);
            return;
        }
        try {
            Files.writeString(file, line, StandardCharsets.UTF_8, StandardOpenOption.APPEND);
        } catch (IOException cannotLog) {
            file = null; // a full disk must not stop undo
        }
    }
}
