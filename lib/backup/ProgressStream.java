package lib.backup;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.function.Consumer;
import lib.files.Text;

/** Reports twice a second how much was written, and marks its own failures as {@link Unwritable}. */
final class ProgressStream extends FilterOutputStream {
    private static final long INTERVAL = 500_000_000L; // nanoseconds
    private final Consumer<String> progress;
    private long bytes;
    private long shown = System.nanoTime();

    /** The output failed, not the input that is copied to it. */
    static final class Unwritable extends IOException {
        Unwritable(IOException cause) {
            super(cause.getMessage(), cause);
        }
    }

    ProgressStream(OutputStream to, Consumer<String> progress) {
        super(to);
        this.progress = progress;
    }

    @Override public void write(byte[] from, int start, int length) throws IOException {
        try {
            out.write(from, start, length);
        } catch (IOException e) {
            throw new Unwritable(e);
        }
        bytes += length;
        if (System.nanoTime() - shown < INTERVAL) return;
        shown = System.nanoTime();
        progress.accept(Text.size(bytes));
    }

    @Override public void close() throws IOException {
        try {
            out.close();
        } catch (IOException e) {
            throw new Unwritable(e);
        }
    }
}
