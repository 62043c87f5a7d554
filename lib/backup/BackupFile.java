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
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.plan.NotPutBack;
import lib.process.Shell;

/**
 * A file to restore from, ours or another's: what it is shows in its content, never in its name.
 *
 * @param key      opens what is encrypted, or null
 * @param manifest of a backup of ours, or null
 */
public record BackupFile(Path file, Kind kind, boolean encrypted, DecryptionKey key, Manifest manifest) {
    /** What pg_restore reads, and what psql reads. */
    public enum Kind { ARCHIVE, SQL }

    private static final int HEAD = 512;

    /** @throws Failure no file, no backup of any kind, or encrypted and the key does not open it */
    public static BackupFile of(Path file, DecryptionKey key) {
        if (Files.isRegularFile(file.resolve("toc.dat"))) throw unsupported(file, "directory", false);
        if (!Files.isRegularFile(file)) throw new Failure(new Problem.NoBackupFile(file));
        try (var in = new BufferedInputStream(Files.newInputStream(file))) {
            in.mark(HEAD);
            var first = in.readNBytes(HEAD);
            var encrypted = Age.isEncrypted(first);
            in.reset();
            try (var plain = Compression.reading(encrypted ? key.decrypting(file, in) : in)) {
                var head = plain.readNBytes(HEAD);
                if (isTar(head)) throw unsupported(file, "tar", !Arrays.equals(first, head));
                return new BackupFile(file.toAbsolutePath().normalize(), kind(file, head), encrypted, key, Manifest.beside(file.toAbsolutePath()));
            }
        } catch (IOException e) {
            throw new Failure(new Problem.DamagedArchive(file, Failure.firstLine(e)), e);
        }
    }

    /** How a dump begins after comments: anything else that is text is somebody's letter. */
    private static final Pattern SQL = Pattern.compile("(?is)\\A(\\uFEFF|\u00ef\u00bb\u00bf)?(\\s+|--[^\\n]*(\\n|\\z)|/\\*.*?(\\*/|\\z))*(\\z|\\\\|(SET|SELECT|BEGIN|START|CREATE|ALTER|DROP|COPY|INSERT|COMMENT|GRANT|REVOKE|TRUNCATE|DELETE|UPDATE|DO|LOCK|WITH)\\b)");

    private static Kind kind(Path file, byte[] head) {
        if (starts(head, 0, "PGDMP")) return Kind.ARCHIVE;
        for (var b : head) if (b == 0) throw notADump(file, head);
        if (head.length == 0 || !SQL.matcher(new String(head, StandardCharsets.ISO_8859_1)).find()) throw notADump(file, head);
        return Kind.SQL;
    }

    private static Failure notADump(Path file, byte[] head) {
        return new Failure(new Problem.NotADump(file, Archive.firstLine(new String(head, StandardCharsets.UTF_8))));
    }

    private static boolean isTar(byte[] head) {
        return starts(head, 257, "ustar") && starts(head, 0, "toc.dat");
    }

    private static Failure unsupported(Path file, String format, boolean packed) {
        var restore = Shell.line("pg_restore", "--exit-on-error", "--dbname=NAME", packed ? "UNPACKED_FILE" : file.toString());
        return Failure.usage(file + " is a pg_dump archive in the " + format + " format, which is not supported")
                .next((packed ? "decrypt and unpack it (age --decrypt, zstd -d, gzip -d), then restore it by hand: " : "restore it by hand: ")
                                + "createdb --template=template0 NAME && " + restore,
                        "dump that database in the custom format, which is supported: pg_dump --format=custom --file=NAME.dump NAME");
    }

    private static boolean starts(byte[] head, int at, String with) {
        var bytes = with.getBytes(StandardCharsets.US_ASCII);
        return head.length >= at + bytes.length && Arrays.equals(head, at, at + bytes.length, bytes, 0, bytes.length);
    }

    /** What it holds, decrypted and unpacked. */
    InputStream open() throws IOException {
        return opened(Files.newInputStream(file));
    }

    private InputStream opened(InputStream in) throws IOException {
        return Compression.reading(encrypted ? key.decrypting(file, in) : in);
    }

    /**
     * Reads all of it before anything is touched: its hash against the manifest's, an archive to its end with everything counted
     * against the manifest's, SQL for what would reach beyond the database it is meant for.
     *
     * @return what an archive holds; null for SQL, which only shows it once it is restored
     * @throws Failure damaged, or refused
     */
    public Contents check(Consumer<String> progress) {
        try (var in = new Backup.DigestIn(Files.newInputStream(file)); var plain = opened(in)) {
            var contents = switch (kind) {
                case ARCHIVE -> Archive.read(plain, new Backup.Progressing(OutputStream.nullOutputStream(), progress));
                case SQL -> {
                    // One of ours was dumped without --create; that it is what was written says its hash.
                    try (var scan = new Backup.Progressing(manifest == null ? new SqlScan(file) : OutputStream.nullOutputStream(), progress)) {
                        plain.transferTo(scan);
                    }
                    yield null;
                }
            };
            in.skipToEnd();
            if (manifest == null) return contents;
            if (in.bytes() != manifest.bytes() || !in.sha256().equals(manifest.sha256()))
                throw new Failure(new Problem.DamagedArchive(file, "its %,d bytes are not the %,d that were written (SHA-256)".formatted(in.bytes(), manifest.bytes())));
            if (contents != null) {
                var differences = Differences.between(manifest, contents);
                if (!differences.isEmpty()) throw new Failure(new Problem.NotAsRecorded(file, differences));
            }
            return contents;
        } catch (IOException e) {
            throw new Failure(new Problem.DamagedArchive(file, Failure.firstLine(e)), e);
        }
    }

    /** The major version that pg_restore has to have: the server's, or that of the pg_dump that wrote the file. */
    public int atLeast(int serverMajor) {
        return manifest == null ? serverMajor : Math.max(serverMajor, Contents.major(manifest.pgDump()));
    }

    /** The major version of the server that was dumped; 0 where only the archive itself tells. */
    public int serverMajor() {
        return manifest == null ? 0 : Contents.major(manifest.server());
    }

    // ---- what is known of it afterwards ------------------------------------------------------

    /** Stamps the manifest of a backup of ours, made again where it had none. */
    public Manifest proven(Restoration restoration) throws IOException {
        var known = manifest != null ? manifest : rebuilt(restoration.wanted() != null ? restoration.wanted() : restoration.restored());
        return stamp(file, known.proven(Manifest.Proof.now(Manifest.Level.RESTORED, restoration.seconds(), null)));
    }

    /** A file that did not pass is not listed as good any more; what the server lacked, or the key, says nothing of the file. */
    public static void disproven(Path file, Problem problem) throws IOException {
        var manifest = Manifest.beside(file.toAbsolutePath());
        if (manifest == null || !isOfTheFile(problem)) return;
        var stamped = manifest.proven(Manifest.Proof.now(Manifest.Level.NONE, null, problem.what()));
        try {
            stamp(file.toAbsolutePath(), stamped);
        } catch (IOException full) {
            Files.deleteIfExists(Manifest.fileOf(file)); // without one it is not good either; and there is its room
            stamp(file.toAbsolutePath(), stamped);
        }
    }

    private static boolean isOfTheFile(Problem problem) {
        return problem instanceof NotPutBack left ? isOfTheFile(left.first())
                : problem instanceof Problem.DamagedArchive || problem instanceof Problem.NotADump || problem instanceof Problem.NotAsRecorded || problem instanceof Problem.RestoredDiffers;
    }

    /** Only beside a backup of ours, and one that nobody has pruned meanwhile. */
    private static Manifest stamp(Path file, Manifest stamped) throws IOException {
        if (!BackupFolder.isName(file.getFileName().toString()) || !Files.isRegularFile(file)) return stamped;
        for (int tries = 3; ; tries--) {
            try {
                stamped.writeBeside(file);
                break;
            } catch (NoSuchFileException | FileAlreadyExistsException swept) { // by a backup that began, or another verify stamps too
                if (tries == 0) throw swept;
            }
        }
        Disk.fsync(file.getParent());
        if (!Files.exists(file)) Files.deleteIfExists(Manifest.fileOf(file));
        return stamped;
    }

    private Manifest rebuilt(Contents contents) throws IOException {
        try (var in = new Backup.DigestIn(Files.newInputStream(file))) {
            in.skipToEnd();
            var name = file.getFileName().toString();
            var modified = OffsetDateTime.ofInstant(Files.getLastModifiedTime(file).toInstant(), ZoneId.systemDefault());
            var compression = name.contains(".zst") ? "zstd" : name.contains(".gz") ? "gzip" : "none";
            return Manifest.of(contents, null, 0, name, in.bytes(), in.sha256(), modified, 0, 0, kind == Kind.SQL, compression, encrypted ? List.of("unknown") : List.of(),
                    List.of(), List.of(), null);
        }
    }
}
