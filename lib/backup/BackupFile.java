package lib.backup;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import lib.backup.archive.Archive;
import lib.backup.archive.Compression;
import lib.backup.archive.Contents;
import lib.backup.encryption.Age;
import lib.backup.encryption.DecryptionKey;
import lib.cli.Script;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.plan.NotPutBack;
import lib.process.Shell;

/**
 * A file to restore from, made by this toolkit or by other tools. Its kind is recognized by its content, never by its name.
 *
 * @param key      decrypts it, or null
 * @param manifest of a backup of ours, or null
 */
public record BackupFile(Path file, Kind kind, boolean encrypted, DecryptionKey key, Manifest manifest) {
    /** What pg_restore reads, and what psql reads. */
    public enum Kind { ARCHIVE, SQL }

    private static final int HEAD = 512;

    /** @throws Failure no such file, not a backup of any kind, or encrypted and the key does not open it */
    public static BackupFile of(Path file, DecryptionKey key) {
        if (Files.isRegularFile(file.resolve("toc.dat"))) throw unsupported(file, "directory", false);
        if (!Files.isRegularFile(file))
            throw Failure.usage("no such file: " + file)
                    .next("list the backups: " + Script.BACKUP_DATABASE.command("list"));
        try (var in = new BufferedInputStream(Files.newInputStream(file))) {
            in.mark(HEAD);
            var first = in.readNBytes(HEAD);
            var encrypted = Age.isEncrypted(first);
            in.reset();
            try (var plain = Compression.decompressing(encrypted ? key.decrypting(file, in) : in)) {
                var head = plain.readNBytes(HEAD);
                if (isTar(head)) throw unsupported(file, "tar", !Arrays.equals(first, head));
                var manifest = Manifest.read(file.toAbsolutePath());
                return new BackupFile(file.toAbsolutePath().normalize(), kind(file, head), encrypted, key, manifest);
            }
        } catch (IOException e) {
            throw BadBackup.damaged(file, Failure.firstLine(e)).causedBy(e);
        }
    }

    /** What a dump starts with after comments: any other text is not a dump. */
    private static final Pattern SQL = Pattern.compile(
            "(?is)\\A(\\uFEFF|\u00ef\u00bb\u00bf)?(\\s+|--[^\\n"
                + "]*(\\n"
                + "|\\z)|/\\*.*?(\\*/|\\z))*"
                + "(\\z|\\\\|(SET|SELECT|BEGIN|START|CREATE|ALTER|DROP|COPY|INSERT|COMMENT|GRANT|REVOKE|TRUNCATE|DELETE|UPDATE|DO|LOCK|WITH)\\b)");

    private static Kind kind(Path file, byte[] head) {
        if (starts(head, 0, "PGDMP")) return Kind.ARCHIVE;
        if (head.length == 0) throw BadBackup.empty(file);
        for (var b : head) if (b == 0) throw notADump(file, head);
        if (!SQL.matcher(new String(head, StandardCharsets.ISO_8859_1)).find()) throw notADump(file, head);
        return Kind.SQL;
    }

    private static Failure notADump(Path file, byte[] head) {
        return BadBackup.notADump(file, Archive.firstLine(new String(head, StandardCharsets.UTF_8)));
    }

    private static boolean isTar(byte[] head) {
        return starts(head, 257, "ustar") && starts(head, 0, "toc.dat");
    }

    private static Failure unsupported(Path file, String format, boolean packed) {
        var archive = packed ? "UNPACKED_FILE" : file.toString();
        var restore = Shell.line("pg_restore", "--exit-on-error", "--dbname=NAME", archive);
        var first = packed
                ? "decrypt and unpack it (age --decrypt, zstd -d, gzip -d), then restore it by hand: "
                : "restore it by hand: ";
        return Failure.usage(file + " is a pg_dump archive in the " + format + " format, which is not supported")
                .next(
                        first + "createdb --template=template0 NAME && " + restore,
                        "dump that database in the custom format, which is supported: pg_dump --format=custom"
                                + " --file=NAME.dump NAME");
    }

    private static boolean starts(byte[] head, int at, String with) {
        var bytes = with.getBytes(StandardCharsets.US_ASCII);
        return head.length >= at + bytes.length && Arrays.equals(head, at, at + bytes.length, bytes, 0, bytes.length);
    }

    /** Its content, decrypted and decompressed. */
    InputStream open() throws IOException {
        return decoded(Files.newInputStream(file));
    }

    private InputStream decoded(InputStream in) throws IOException {
        return Compression.decompressing(encrypted ? key.decrypting(file, in) : in);
    }

    /**
     * Reads the file to its end before anything is touched. Its hash and the counts of an archive are compared with the manifest.
     * SQL without a manifest is searched for statements that reach beyond the database it is restored to.
     *
     * @return the contents of an archive; null for SQL
     * @throws Failure {@link BadBackup}, or refused (4)
     */
    public Contents check(Consumer<String> progress) {
        try (var in = new FileDigest.In(file); var plain = decoded(in)) {
            var contents = readAll(plain, progress);
            var digest = in.end();
            if (manifest != null) compare(digest, contents);
            return contents;
        } catch (IOException e) {
            throw BadBackup.damaged(file, Failure.firstLine(e)).causedBy(e);
        }
    }

    private Contents readAll(InputStream plain, Consumer<String> progress) throws IOException {
        if (kind == Kind.ARCHIVE)
            return Archive.read(plain, new ProgressStream(OutputStream.nullOutputStream(), progress));
        // One of ours was dumped without --create, and its hash shows that it is unchanged.
        try (var scan =
                new ProgressStream(manifest == null ? new SqlScan(file) : OutputStream.nullOutputStream(), progress)) {
            plain.transferTo(scan);
        }
        return null;
    }

    private void compare(FileDigest.Value digest, Contents contents) {
        var expected = manifest.file();
        if (digest.bytes() != expected.bytes() || !digest.sha256().equals(expected.sha256()))
            throw BadBackup.damaged(file, "its %,d bytes are not the %,d that were written (SHA-256)"
                    .formatted(digest.bytes(), expected.bytes()));
        if (contents == null) return;
        var differences = Differences.between(manifest, contents);
        if (!differences.isEmpty()) throw BadBackup.differsFromManifest(file, differences);
    }

    /** The major version that pg_restore needs: the server's, or that of the pg_dump that wrote the file. */
    public int atLeast(int serverMajor) {
        return manifest == null ? serverMajor : Math.max(serverMajor, Contents.major(manifest.source().pgDump()));
    }

    /** The major version of the server that was dumped; 0 without a manifest: an archive itself has it. */
    public int serverMajor() {
        return manifest == null ? 0 : Contents.major(manifest.source().server());
    }

    // ---- what is known of it afterwards ------------------------------------------------------

    /** Records in the manifest that it was restored and compared; a missing manifest is rebuilt. */
    public Manifest recordRestored(Restoration restoration) throws IOException {
        var contents = restoration.wanted() != null ? restoration.wanted() : restoration.restored();
        var known = manifest != null ? manifest : rebuilt(contents);
        return record(file, known.withProof(Manifest.Proof.now(Manifest.Level.RESTORED, restoration.seconds(), null)));
    }

    /** Records that the file is bad; a wrong key, or something that the server lacks, is not the file's fault. */
    public static void recordFailure(Path file, Problem problem) throws IOException {
        var manifest = Manifest.read(file.toAbsolutePath());
        if (manifest == null || !isBad(problem)) return;
        var failed = manifest.withProof(Manifest.Proof.now(Manifest.Level.NONE, null, problem.what()));
        try {
            record(file.toAbsolutePath(), failed);
        } catch (IOException full) {
            Files.deleteIfExists(
                    Manifest.fileOf(file)); // without one it does not count as good either, and this makes room
            record(file.toAbsolutePath(), failed);
        }
    }

    private static boolean isBad(Problem problem) {
        return problem instanceof NotPutBack left ? isBad(left.first()) : problem instanceof BadBackup;
    }

    /** Only beside a backup of ours, and one that was not pruned meanwhile. */
    private static Manifest record(Path file, Manifest manifest) throws IOException {
        if (!BackupFolder.isName(file.getFileName().toString()) || !Files.isRegularFile(file)) return manifest;
        for (int tries = 3; ; tries--) {
            try {
                manifest.write(file);
                break;
            } catch (NoSuchFileException
                    | FileAlreadyExistsException swept) { // by a backup, or another verify writes it too
                if (tries == 0) throw swept;
            }
        }
        Disk.fsync(file.getParent());
        if (!Files.exists(file)) Files.deleteIfExists(Manifest.fileOf(file));
        return manifest;
    }

    private Manifest rebuilt(Contents contents) throws IOException {
        try (var in = new FileDigest.In(file)) {
            var digest = in.end();
            var name = file.getFileName().toString();
            var modified =
                    OffsetDateTime.ofInstant(Files.getLastModifiedTime(file).toInstant(), ZoneId.systemDefault());
            var compression = name.contains(".zst") ? "zstd" : name.contains(".gz") ? "gzip" : "none";
            var encryptedTo = encrypted ? List.of("unknown") : List.<String>of();
            return new Manifest(
                    new Manifest.StoredFile(0, name, digest.bytes(), digest.sha256()),
                    new Manifest.Source(
                            contents.database(), null, contents.server(), contents.pgDump(), modified, 0, 0),
                    Manifest.Encoding.of(kind == Kind.SQL, compression, encryptedTo),
                    Manifest.Content.of(contents, List.of()),
                    List.of(),
                    null);
        }
    }
}
