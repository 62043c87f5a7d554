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
import java.security.DigestInputStream;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import lib.backup.archive.Archive;
import lib.backup.archive.Compression;
import lib.backup.archive.Contents;
import lib.backup.encryption.Age;
import lib.cli.Script;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.plan.Plan.NotPutBack;
import lib.process.Shell;

/**
 * A file to restore from, made by this toolkit or by other tools. Its kind is recognized by its content, never by its
 * name.
 *
 * @param key      decrypts it, or null
 * @param manifest of a backup that this toolkit made, or null
 */
public record BackupFile(Path file, Kind kind, boolean encrypted, Age.Key key, Manifest manifest) {
    /** What pg_restore reads, and what psql reads. */
    public enum Kind { ARCHIVE, SQL }

    private static final int HEAD = 512;

    /** @throws Failure no such file, not a backup of any kind, or encrypted and the key does not open it */
    public static BackupFile of(Path file, Age.Key key) {
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

    /** How a dump starts after a byte order mark, white space and comments: any other text is not a dump. */
    private static final Pattern SQL = Pattern.compile("""
            (?isx) \\A (\\uFEFF | \\u00ef\\u00bb\\u00bf)? (\\s+ | --[^\\n]*(\\n|\\z) | /\\*.*?(\\*/|\\z))*
            ( \\z | \\\\ | (SET|SELECT|BEGIN|START|CREATE|ALTER|DROP|COPY|INSERT|COMMENT|GRANT|REVOKE|TRUNCATE|DELETE
            |UPDATE|DO|LOCK|WITH)\\b )""");

    private static Kind kind(Path file, byte[] head) {
        if (starts(head, 0, "PGDMP")) return Kind.ARCHIVE;
        if (head.length == 0) throw BadBackup.empty(file);
        var text = new String(head, StandardCharsets.ISO_8859_1);
        if (text.indexOf('\0') < 0 && SQL.matcher(text).find()) return Kind.SQL;
        throw BadBackup.notADump(file, Archive.firstLine(new String(head, StandardCharsets.UTF_8)));
    }

    private static boolean isTar(byte[] head) {
        return starts(head, 257, "ustar") && starts(head, 0, "toc.dat");
    }

    private static Failure unsupported(Path file, String format, boolean packed) {
        var archive = packed ? "UNPACKED_FILE" : file.toString();
        var restore = Shell.line("pg_restore", "--exit-on-error", "--dbname=NAME", archive);
        var unpack = packed ? "decrypt and unpack it (age --decrypt, zstd -d, gzip -d), then " : "";
        return Failure.usage(file + " is a pg_dump archive in the " + format + " format, which is not supported")
                .next(unpack + "restore it by hand: createdb --template=template0 NAME && " + restore,
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
     * Reads the file to its end before anything is touched. Its hash and the counts of an archive are compared with
     * the manifest. SQL without a manifest is searched for statements that would change other databases.
     *
     * @return the contents of an archive; null for SQL
     * @throws Failure {@link BadBackup}, or refused (4)
     */
    public Contents check(Consumer<String> progress) {
        try (var in = new DigestInputStream(Files.newInputStream(file), Disk.sha256Digest()); var plain = decoded(in)) {
            var contents = readAll(plain, progress);
            if (manifest != null) compare(digest(in), contents);
            return contents;
        } catch (IOException e) {
            throw BadBackup.damaged(file, Failure.firstLine(e)).causedBy(e);
        }
    }

    /** SHA-256 of the whole file: the decoders may have left the end unread. */
    private static String digest(DigestInputStream in) throws IOException {
        in.transferTo(OutputStream.nullOutputStream());
        return HexFormat.of().formatHex(in.getMessageDigest().digest());
    }

    private Contents readAll(InputStream plain, Consumer<String> progress) throws IOException {
        if (kind == Kind.ARCHIVE)
            return Archive.read(plain, new ProgressStream(OutputStream.nullOutputStream(), progress));
        // Our own SQL is dumped without --create, and the hash in the manifest shows that it is unchanged.
        try (var scan =
                new ProgressStream(manifest == null ? new SqlScan(file) : OutputStream.nullOutputStream(), progress)) {
            plain.transferTo(scan);
        }
        return null;
    }

    private void compare(String sha256, Contents contents) throws IOException {
        var expected = manifest.file();
        var bytes = Files.size(file);
        if (bytes != expected.bytes() || !sha256.equals(expected.sha256()))
            throw BadBackup.damaged(file, "its %,d bytes are not the %,d that were written (SHA-256)"
                    .formatted(bytes, expected.bytes()));
        if (contents == null) return;
        var differences = Differences.between(manifest, contents);
        if (!differences.isEmpty()) throw BadBackup.differsFromManifest(file, differences);
    }

    /** The lowest major version of pg_restore that reads the file and knows the server. */
    public int pgRestoreMajor(int serverMajor) {
        return manifest == null ? serverMajor : Math.max(serverMajor, Contents.major(manifest.source().pgDump()));
    }

    /** The major version of the server that was dumped; 0 without a manifest: an archive itself has it. */
    public int serverMajor() {
        return manifest == null ? 0 : Contents.major(manifest.source().server());
    }

    // ---- recording the result ------------------------------------------------------

    /** Records in the manifest that it was restored and compared; a missing manifest is rebuilt. */
    public Manifest recordRestored(Restoration restoration) throws IOException {
        var known = manifest != null ? manifest : rebuilt(restoration.contents());
        return record(file, known.withProof(Manifest.Proof.now(Manifest.Level.RESTORED, restoration.seconds(), null)));
    }

    /** Records that the file is bad; a wrong key, or something that the server lacks, does not make it bad. */
    public static void recordFailure(Path file, Problem problem) throws IOException {
        var manifest = Manifest.read(file.toAbsolutePath());
        if (manifest == null || !isBad(problem)) return;
        var failed = manifest.withProof(Manifest.Proof.now(Manifest.Level.NONE, null, problem.what()));
        try {
            record(file.toAbsolutePath(), failed);
        } catch (IOException full) { // without a manifest it does not count as good either, and this makes room
            Files.deleteIfExists(Manifest.fileOf(file));
            record(file.toAbsolutePath(), failed);
        }
    }

    private static boolean isBad(Problem problem) {
        return problem instanceof NotPutBack left ? isBad(left.first()) : problem instanceof BadBackup;
    }

    /** Only beside a file with the name of a backup, which may also have been pruned during the verify. */
    private static Manifest record(Path file, Manifest manifest) throws IOException {
        if (!BackupFolder.isName(file.getFileName().toString()) || !Files.isRegularFile(file)) return manifest;
        for (int tries = 3; ; tries--) {
            try {
                manifest.write(file);
                break;
            } catch (NoSuchFileException | FileAlreadyExistsException e) {
                if (tries == 0) throw e; // a backup has swept the partial file, or another verify writes it too
            }
        }
        Disk.fsync(file.getParent());
        if (!Files.exists(file)) Files.deleteIfExists(Manifest.fileOf(file));
        return manifest;
    }

    private Manifest rebuilt(Contents contents) throws IOException {
        var name = file.getFileName().toString();
        var modified = OffsetDateTime.ofInstant(Files.getLastModifiedTime(file).toInstant(), ZoneId.systemDefault());
        var compression = name.contains(".zst") ? "zstd" : name.contains(".gz") ? "gzip" : "none";
        var encryptedTo = encrypted ? List.of("unknown") : List.<String>of();
        var header = contents.header();
        try (var in = new DigestInputStream(Files.newInputStream(file), Disk.sha256Digest())) {
            return new Manifest(new Manifest.StoredFile(0, name, Files.size(file), digest(in)),
                    new Manifest.Source(header.database(), null, header.server(), header.pgDump(), modified, 0, 0),
                    new Manifest.Encoding(kind == Kind.SQL ? "plain" : "custom", compression, encryptedTo),
                    Manifest.Content.of(contents, List.of()), List.of(), null);
        }
    }
}
