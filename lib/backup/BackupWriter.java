package lib.backup;

import java.io.EOFException;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.zip.CheckedOutputStream;
import lib.backup.archive.Archive;
import lib.backup.archive.Compression;
import lib.backup.archive.Contents;
import lib.backup.archive.XxHash64;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.postgres.RunningProgram;
import lib.project.Credentials;

/**
 * Writes one backup. Until it is finished the file's name ends in {@code .partial}. It holds the folder's lock, and
 * {@link #close} removes an unfinished file.
 */
public final class BackupWriter implements AutoCloseable {
    private final PgPrograms programs;
    private final Credentials database;
    private final BackupFolder folder;
    private final Backup.Options options;
    private final Consumer<String> progress;
    private final BackupFolder.Lock lock;
    private final OffsetDateTime started = OffsetDateTime.now().truncatedTo(ChronoUnit.MILLIS);
    private final long startedNanos = System.nanoTime();
    private final Path file;
    private final Path partial;
    private long databaseBytes;
    private List<Manifest.Extension> extensions = List.of();
    private List<String> warnings = List.of();
    private Contents contents;
    private Written written;
    private boolean manifestWritten;
    private Backup backup;

    /** What was written to the file, or read from it. @param hash XXH64 of the uncompressed content */
    private record Written(long bytes, String sha256, long plainBytes, long hash) {
        static Written of(long bytes, MessageDigest sha256, XxHash64 plain) {
            var digits = HexFormat.of().formatHex(sha256.digest());
            return new Written(bytes, digits, plain.length(), plain.getValue());
        }
    }

    /**
     * @param folder is created when it is missing, for its owner only
     * @throws Failure busy (5) when another backup is running in the folder
     */
    public BackupWriter(PgPrograms programs, BackupFolder folder, Backup.Options options, Consumer<String> progress)
            throws IOException {
        programs.requireEncodablePassword();
        this.programs = programs;
        database = programs.server();
        this.folder = folder;
        this.options = options;
        this.progress = progress;
        try {
            folder.create();
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

    /** To be run in this order. */
    public List<Step> steps() {
        return List.of(Step.of("dump %s with %s".formatted(database.database(), programs.pgDump().name()), this::dump),
                Step.of("read it back to its end", this::readBack),
                Step.of("save it as " + file.getFileName(), this::save));
    }

    /** The finished backup, once every step has run. */
    public Backup backup() {
        if (backup == null) throw new IllegalStateException("not every step has run");
        return backup;
    }

    // ---- out of the database -------------------------------------------------------------

    private void dump() {
        try (var out = BackupFolder.createPrivate(partial)) { // first, to fail early
            readDatabase();
            // Closing it leaves the file open, which has to be forced to disk first.
            var disk = new DigestOutputStream(Channels.newOutputStream(out), Disk.sha256Digest()) {
                @Override public void close() {}
            };
            var encrypted = options.encryption() == null ? disk : options.encryption().encrypting(disk);
            var compressed = options.compression().compressing(encrypted, options.jobs());
            var hash = new XxHash64();
            var plain = new CheckedOutputStream(compressed, hash);
            if (options.plain()) dumpScript(plain);
            else dumpArchive(plain);
            compressed.close(); // writes the end; not in a finally: what failed must not look complete
            out.force(true);
            written = Written.of(out.size(), disk.getMessageDigest(), hash);
        } catch (ProgressStream.Unwritable e) {
            throw cannotWrite((IOException) e.getCause());
        } catch (IOException e) {
            throw cannotWrite(e);
        }
    }

    private void readDatabase() {
        try (var db = Database.open(database)) {
            databaseBytes = db.bytes();
            extensions = db.list("SELECT extname, extversion FROM pg_extension ORDER BY 1",
                    row -> new Manifest.Extension(row.getString(1), row.getString(2)));
        }
    }

    private void dumpArchive(OutputStream to) throws IOException {
        try (var pgDump = RunningProgram.start(programs.dump(database.database()))) {
            pgDump.closeInput();
            contents = readArchive(pgDump, to);
            warnings = pgDump.finish(programs::hide).lines().filter(line -> !line.isBlank()).toList();
        }
    }

    /** When pg_dump failed, its own message is reported rather than the damage to the archive. */
    private Contents readArchive(RunningProgram pgDump, OutputStream to) throws IOException {
        try {
            return Archive.read(pgDump.out(), new ProgressStream(to, progress));
        } catch (ProgressStream.Unwritable e) {
            throw e;
        } catch (Archive.NotAnArchive e) {
            if (e.getMessage().isEmpty()) pgDump.finish(programs::hide);
            else pgDump.kill();
            throw notAnArchive(e, pgDump);
        } catch (EOFException e) {
            pgDump.finish(programs::hide);
            throw damaged(e.getMessage()).causedBy(e);
        } catch (IOException e) {
            pgDump.kill();
            throw damaged(e.getMessage()).causedBy(e);
        }
    }

    private Failure notAnArchive(Archive.NotAnArchive e, RunningProgram pgDump) {
        var program = programs.pgDump().name();
        if (e.getMessage().isEmpty()) return Failure.failed(program + " wrote nothing, with exit code 0").causedBy(e);
        var start = programs.hide(Archive.firstLine(e.getMessage()));
        var stderr = programs.hide(pgDump.stderr()).strip().indent(2).stripTrailing();
        return Failure.failed("the output of %s is not an archive: it starts with \"%s\"%s"
                        .formatted(program, start, stderr.isEmpty() ? "" : "\n" + stderr))
                .next("find the wrapper, login script or TTY that prints before pg_dump does").causedBy(e);
    }

    /** The archive is read and counted as well; what is written is the SQL that pg_restore makes of it. */
    private void dumpScript(OutputStream to) throws IOException {
        try (var script = RunningProgram.start(programs.script())) {
            var end = new Tail(to);
            var copy = CompletableFuture.runAsync(() -> copyAll(script, end), Thread.ofPlatform().daemon()::start);
            try (var in = script.in()) {
                dumpArchive(in);
            } catch (ProgressStream.Unwritable | Failure e) {
                join(copy);
                if (e instanceof ProgressStream.Unwritable)
                    script.finish(programs::hide); // it stopped reading: report why
                throw e;
            }
            join(copy);
            script.finish(programs::hide);
            if (!end.text().contains(COMPLETE))
                throw damaged("the SQL of " + programs.script().name() + " ends too early");
        }
    }

    private static void copyAll(RunningProgram from, OutputStream to) {
        try {
            from.out().transferTo(to);
        } catch (IOException e) {
            from.kill();
            throw new UncheckedIOException(e);
        }
    }

    private static void join(CompletableFuture<Void> copy) throws IOException {
        try {
            copy.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof UncheckedIOException failed ? failed.getCause() : new IOException(e);
        }
    }

    private Failure damaged(String why) {
        return Failure.failed(partial + " is damaged: it cannot be read to its end: " + why.strip())
                .next("run it again; if it fails twice, check the disk. Earlier backups were not touched");
    }

    // ---- back from the disk --------------------------------------------------------------

    private void readBack() {
        var hash = new XxHash64();
        var encryption = options.encryption();
        try (var in = new DigestInputStream(Files.newInputStream(partial), Disk.sha256Digest());
                var plain = Compression.decompressing(encryption == null ? in : encryption.readingBack(in))) {
            var hashing = new CheckedOutputStream(OutputStream.nullOutputStream(), hash);
            plain.transferTo(new ProgressStream(hashing, progress));
            in.transferTo(OutputStream.nullOutputStream()); // the decoders may have left the end unread
            var read = Written.of(Files.size(partial), in.getMessageDigest(), hash);
            if (!read.equals(written)) throw damaged("%s was written, %s was read back".formatted(written, read));
        } catch (IOException e) {
            throw damaged(Failure.firstLine(e)).causedBy(e);
        }
    }

    /** Replaces no file: the lock excludes our other processes, and no other program uses these names. */
    private void save() throws IOException {
        var manifest = manifest();
        try {
            manifestWritten = true;
            manifest.write(file);
            Checkpoint.reached("the manifest is there, its backup not yet");
            Files.move(partial, file);
            Checkpoint.reached("renamed, and not yet durable");
            try {
                Disk.fsync(folder.path());
            } catch (IOException e) {
                Files.deleteIfExists(file); // not durable: not a backup
                throw e;
            }
        } catch (IOException e) {
            throw cannotWrite(e);
        }
        backup = new Backup(file, manifest, warnings);
    }

    private Manifest manifest() {
        var number = 1 + folder.list().stream().mapToLong(BackupFolder.Entry::number).max().orElse(0);
        var name = file.getFileName().toString();
        var header = contents.header();
        var seconds = (System.nanoTime() - startedNanos) / 1e9;
        var source = new Manifest.Source(header.database(), BackupFolder.origin(database), header.server(),
                header.pgDump(), started, seconds, databaseBytes);
        var encoding = new Manifest.Encoding(options.format(), options.compression().toString(), options.encryptedTo());
        var withoutTimeout = TransactionTimeoutFilter.isNeeded(header.server(), header.pgDump());
        return new Manifest(new Manifest.StoredFile(number, name, written.bytes, written.sha256), source, encoding,
                Manifest.Content.of(contents, extensions),
                List.of(RestoreCommand.of(programs, name, options, withoutTimeout)),
                Manifest.Proof.now(Manifest.Level.STREAM, null, null));
    }

    private Failure cannotWrite(IOException e) {
        return Failure.failed("cannot write a backup to " + folder.path() + ": " + Failure.firstLine(e))
                .next("make room, or use another folder (BACKUP_DIR, or --dir DIR of backup_database); "
                        + "earlier backups were not touched").causedBy(e);
    }

    @Override public void close() {
        try (lock) {
            if (backup == null && manifestWritten) Files.deleteIfExists(Manifest.fileOf(file));
            Files.deleteIfExists(partial);
        } catch (IOException e) {
            throw Failure.failed("cannot remove " + partial + ": " + Failure.firstLine(e)).causedBy(e);
        }
    }

    // ---- streams -----------------------------------------------------------------------------

    /** The last line of any script; some versions write one more. */
    private static final String COMPLETE = "\n-- PostgreSQL database dump complete\n";

    /** Remembers the last kilobyte that went through. */
    private static final class Tail extends FilterOutputStream {
        private static final int KEPT = 1024;
        private byte[] last = {};

        Tail(OutputStream to) {
            super(to);
        }

        @Override public void write(byte[] from, int start, int length) throws IOException {
            out.write(from, start, length);
            var more = Math.min(length, KEPT);
            var both = Arrays.copyOf(last, last.length + more);
            System.arraycopy(from, start + length - more, both, last.length, more);
            last = Arrays.copyOfRange(both, Math.max(0, both.length - KEPT), both.length);
        }

        String text() {
            return new String(last, StandardCharsets.ISO_8859_1);
        }
    }
}
