package lib.backup;

import java.io.EOFException;
import java.io.FilterInputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import lib.backup.archive.Archive;
import lib.backup.archive.Compression;
import lib.backup.archive.Contents;
import lib.backup.archive.XxHash64;
import lib.backup.encryption.Age;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.process.Interruption;
import lib.process.Program;
import lib.process.RunningProgram;
import lib.project.Credentials;

/**
 * A backup: what pg_dump wrote, read to its end and counted while it was packed, and read back from the disk with the same result.
 * Until then its name ends in {@code .partial}, and a failure removes it.
 *
 * @param file     {@code <database>_<YYYYMMDD>_<HHMMSS>.dump.zst}, mode 0600, local time of its beginning
 * @param manifest lies beside it
 * @param warnings what pg_dump said although it succeeded
 */
public record Backup(Path file, Manifest manifest, List<String> warnings) {

    /**
     * How a backup is written.
     *
     * @param plain SQL instead of an archive
     * @param seal  null: not encrypted
     * @param jobs  threads that compress beside ours
     */
    public record Options(boolean plain, Compression compression, Age seal, int jobs) {
        public static final Options USUAL = new Options(false, Compression.parse("zstd"), null, 1);

        String suffix() {
            return (plain ? ".sql" : ".dump") + compression.suffix() + (seal == null ? "" : ".age");
        }
    }

    public long bytes() {
        return manifest.bytes();
    }

    public int tables() {
        return manifest.tables().size();
    }

    /** {@link Making} at once, written as usual: an archive, not encrypted. */
    public static Backup create(Credentials database, Program pgDump, Path folder, Consumer<String> progress) {
        return create(new PgPrograms(pgDump, database), new BackupFolder(folder), Options.USUAL, progress);
    }

    static Backup create(PgPrograms programs, BackupFolder folder, Options options, Consumer<String> progress) {
        try (var making = new Making(programs, folder, options, progress)) {
            for (var step : making.steps()) step.run();
            return making.made();
        } catch (Exception e) {
            var failure = Failure.of(Interruption.asInterruption(e));
            throw failure != null ? failure : e instanceof RuntimeException bug ? bug : new IllegalStateException(e);
        }
    }

    /** One backup on its way: holds the folder's lock, and leaves no unfinished file when it is closed. */
    public static final class Making implements AutoCloseable {
        private final PgPrograms programs;
        private final Credentials database;
        private final BackupFolder folder;
        private final Options options;
        private final Consumer<String> progress;
        private final BackupFolder.Lock lock;
        private final OffsetDateTime started = OffsetDateTime.now().truncatedTo(ChronoUnit.MILLIS);
        private final long began = System.nanoTime();
        private final Path file;
        private final Path partial;
        private long databaseBytes;
        private List<Manifest.Extension> extensions = List.of();
        private List<String> warnings = List.of();
        private Contents contents;
        private Written written;
        private boolean manifestWritten;
        private Backup made;

        /** What went into the file, and what the file has to give back. */
        private record Written(long bytes, String sha256, long plainBytes, long plainSum) {}

        /**
         * @param folder made when it is missing, for its owner alone
         * @throws Failure busy (5) when another one is at work in the folder
         */
        public Making(PgPrograms programs, BackupFolder folder, Options options, Consumer<String> progress) throws IOException {
            programs.requireEncodablePassword();
            this.programs = programs;
            database = programs.server();
            this.folder = folder;
            this.options = options;
            this.progress = progress;
            try {
                folder.make();
                lock = folder.lock();
            } catch (IOException e) {
                throw cannotWrite(e);
            }
            try {
                folder.sweep();
                file = folder.freeName(database.database(), started.toLocalDateTime(), options.suffix());
                partial = file.resolveSibling(file.getFileName() + BackupFolder.PARTIAL);
            } catch (IOException | RuntimeException e) {
                lock.close();
                throw e;
            }
        }

        /** To be run in this order, by {@link #create} or by a {@link Plan}. */
        public List<Step> steps() {
            return List.of(
                    Step.of("dump %s with %s".formatted(database.database(), programs.pgDump().name()), this::dump),
                    Step.of("read it back to its end", this::readBack),
                    Step.of("keep it as " + file.getFileName(), this::keep));
        }

        /** The backup, once every step has run. */
        public Backup made() {
            if (made == null) throw new IllegalStateException("not every step has run");
            return made;
        }

        // ---- out of the database -------------------------------------------------------------

        private void dump() {
            try (var out = BackupFolder.createPrivate(partial)) { // before pg_dump starts: a folder that cannot be written fails at once
                look();
                var disk = new DigestOf(out);
                var packed = options.compression().onto(options.seal() == null ? disk : options.seal().encrypting(disk), options.jobs());
                var plain = new Sum(packed);
                if (options.plain()) throughScript(plain);
                else fromPgDump(plain);
                packed.close(); // writes the end; not in a finally: what failed must not look whole
                out.force(true);
                written = new Written(disk.bytes, disk.sha256(), plain.bytes(), plain.sum());
            } catch (Unwritable e) {
                throw cannotWrite((IOException) e.getCause());
            } catch (IOException e) {
                throw cannotWrite(e);
            }
        }

        private void look() {
            try (var db = Database.open(database)) {
                databaseBytes = db.bytes();
                extensions = db.list("SELECT extname, extversion FROM pg_extension ORDER BY 1", r -> new Manifest.Extension(r.getString(1), r.getString(2)));
            }
        }

        private void fromPgDump(OutputStream to) throws IOException {
            try (var pgDump = RunningProgram.start(programs.dump(database.database()))) {
                pgDump.closeInput();
                contents = counted(pgDump, to);
                warnings = pgDump.finish(programs::hide).lines().filter(line -> !line.isBlank()).toList();
            }
        }

        /** What pg_dump itself said of its end comes before what that did to the archive. */
        private Contents counted(RunningProgram pgDump, OutputStream to) throws IOException {
            try {
                return Archive.read(pgDump.out(), new Progressing(to, progress));
            } catch (Unwritable e) {
                throw e;
            } catch (Archive.NotOne e) {
                if (e.getMessage().isEmpty()) {
                    pgDump.finish(programs::hide);
                    throw new Failure(new Problem.PgProgramFailed(programs.pgDump().name(), 0, "it wrote nothing"), e);
                }
                pgDump.kill();
                throw new Failure(new Problem.NotAnArchive(programs.pgDump().name() + "'s output", programs.hide(Archive.firstLine(e.getMessage())), programs.hide(pgDump.stderr())), e);
            } catch (EOFException e) {
                pgDump.finish(programs::hide);
                throw new Failure(new Problem.DamagedArchive(partial, e.getMessage()), e);
            } catch (IOException e) {
                pgDump.kill();
                throw new Failure(new Problem.DamagedArchive(partial, e.getMessage()), e);
            }
        }

        /** The archive is read and counted all the same; what is written is what pg_restore makes of it. */
        private void throughScript(Sum to) throws IOException {
            try (var script = RunningProgram.start(programs.script())) {
                var failed = new IOException[1];
                var end = new Tail(to);
                var pump = Thread.ofPlatform().daemon().start(() -> {
                    try {
                        script.out().transferTo(end);
                    } catch (IOException e) {
                        failed[0] = e;
                        script.kill();
                    }
                });
                try (var in = script.in()) {
                    fromPgDump(in);
                } catch (Unwritable | Failure e) {
                    join(pump);
                    if (failed[0] != null) throw failed[0];
                    if (e instanceof Unwritable) script.finish(programs::hide); // it has closed its end: why?
                    throw e;
                }
                join(pump);
                if (failed[0] != null) throw failed[0];
                script.finish(programs::hide);
                if (!end.text().contains(COMPLETE)) throw new Failure(new Problem.DamagedArchive(partial, "the SQL of " + programs.script().name() + " was cut off before its end"));
            }
        }

        private static void join(Thread thread) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                throw new Failure(new Problem.Interrupted(), e);
            }
        }

        // ---- back from the disk --------------------------------------------------------------

        private void readBack() throws IOException {
            try (var in = new DigestIn(Files.newInputStream(partial));
                 var plain = Compression.reading(options.seal() == null ? in : options.seal().readingBack(in))) {
                var sum = new Sum(OutputStream.nullOutputStream());
                plain.transferTo(new Progressing(sum, progress));
                in.skipToEnd();
                var back = new Written(in.bytes, in.sha256(), sum.bytes(), sum.sum());
                if (!back.equals(written)) throw new Failure(new Problem.DamagedArchive(partial, "%s were written, %s were read back".formatted(written, back)));
            } catch (IOException e) {
                throw new Failure(new Problem.DamagedArchive(partial, Failure.firstLine(e)), e);
            }
        }

        /** Never over another file: the lock keeps our own kind out, and nobody else makes such names. */
        private void keep() throws IOException {
            var manifest = manifest();
            try {
                manifestWritten = true;
                manifest.writeBeside(file);
                Checkpoint.reached("the manifest is there, its backup not yet");
                Files.move(partial, file);
                Checkpoint.reached("renamed, and not yet durable");
                try {
                    Disk.fsync(folder.path());
                } catch (IOException e) {
                    Files.deleteIfExists(file); // not durable is not a backup
                    throw e;
                }
            } catch (IOException e) {
                throw cannotWrite(e);
            }
            made = new Backup(file, manifest, warnings);
        }

        private Manifest manifest() {
            var number = 1 + folder.found().stream().mapToLong(BackupFolder.Found::number).max().orElse(0);
            var sealed = options.seal() == null ? List.<String>of() : options.seal().recipients();
            var restore = RestoreCommand.of(programs, file.getFileName().toString(), options.compression(), sealed, options.plain(), OldServer.isOld(contents.server(), contents.pgDump()));
            return Manifest.of(contents, BackupFolder.origin(database), number, file.getFileName().toString(), written.bytes, written.sha256, started, (System.nanoTime() - began) / 1e9, databaseBytes,
                    options.plain(), options.compression().toString(), sealed, extensions, List.of(restore),
                    Manifest.Proof.now(Manifest.Level.STREAM, null, null));
        }

        private Failure cannotWrite(IOException e) {
            return new Failure(new Problem.CannotWriteBackup(folder.path(), Failure.firstLine(e)), e);
        }

        @Override public void close() {
            try (lock) {
                if (made == null && manifestWritten) Files.deleteIfExists(Manifest.fileOf(file));
                Files.deleteIfExists(partial);
            } catch (IOException left) {
                throw new Failure(new Problem.CannotWriteBackup(folder.path(), "cannot remove " + partial + ": " + left.getMessage()), left);
            }
        }
    }

    // ---- streams -----------------------------------------------------------------------------

    private static final int BLOCK = 1 << 16;
    /** The last words of any script; some versions have a line of their own after them. */
    private static final String COMPLETE = "\n-- PostgreSQL database dump complete\n";

    /** Remembers the last kilobyte that went through. */
    private static final class Tail extends FilterOutputStream {
        private byte[] last = {};

        Tail(OutputStream to) {
            super(to);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            out.write(from, start, length);
            var more = Math.min(length, 1024);
            var both = Arrays.copyOf(last, last.length + more);
            System.arraycopy(from, start + length - more, both, last.length, more);
            last = Arrays.copyOfRange(both, Math.max(0, both.length - 1024), both.length);
        }

        String text() {
            return new String(last, StandardCharsets.ISO_8859_1);
        }
    }

    /** Our side of the stream failed, not pg_dump's. */
    static final class Unwritable extends IOException {
        Unwritable(IOException cause) {
            super(cause.getMessage(), cause);
        }
    }

    /** Says how far it is, now and then; tells its own failures from those of whoever reads. */
    static final class Progressing extends FilterOutputStream {
        private final Consumer<String> progress;
        private long bytes;
        private long shown = System.nanoTime();

        Progressing(OutputStream to, Consumer<String> progress) {
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
            if (System.nanoTime() - shown < 500_000_000L) return;
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

    /** What was written to it, as one number. */
    private static final class Sum extends FilterOutputStream {
        private final XxHash64 hash = new XxHash64(0);

        Sum(OutputStream to) {
            super(to);
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            out.write(from, start, length);
            hash.add(from, start, start + length);
        }

        long bytes() {
            return hash.length();
        }

        long sum() {
            return hash.end();
        }
    }

    /** The file: counted and hashed. Closing it does not close the channel, which has to be forced first. */
    private static final class DigestOf extends OutputStream {
        private final FileChannel file;
        private final MessageDigest digest = Disk.sha256Digest();
        private long bytes;

        DigestOf(FileChannel file) {
            this.file = file;
        }

        @Override public void write(int one) throws IOException {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            for (var left = ByteBuffer.wrap(from, start, length); left.hasRemaining(); ) file.write(left);
            digest.update(from, start, length);
            bytes += length;
        }

        String sha256() {
            return HexFormat.of().formatHex(digest.digest());
        }
    }

    /** A file that is read: counted and hashed likewise. */
    static final class DigestIn extends FilterInputStream {
        private final MessageDigest digest = Disk.sha256Digest();
        private long bytes;

        DigestIn(InputStream in) {
            super(in);
        }

        @Override public int read() throws IOException {
            var one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override public int read(byte[] to, int start, int length) throws IOException {
            var n = in.read(to, start, length);
            if (n > 0) {
                digest.update(to, start, n);
                bytes += n;
            }
            return n;
        }

        @Override public long skip(long n) throws IOException {
            return read(new byte[(int) Math.min(n, BLOCK)]);
        }

        @Override public boolean markSupported() {
            return false;
        }

        void skipToEnd() throws IOException {
            transferTo(OutputStream.nullOutputStream());
        }

        long bytes() {
            return bytes;
        }

        String sha256() {
            return HexFormat.of().formatHex(digest.digest());
        }
    }
}
