package lib.backup;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URLDecoder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.project.Credentials;

/** A folder of backups, and how a file in it is known to be one of ours: by its name. What its manifest says is another matter. */
public record BackupFolder(Path path) {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd_HHmmss", Locale.ROOT);
    private static final Pattern NAME = Pattern.compile("(.+)_(\\d{8}_\\d{6})(?:_\\d+)?\\.(dump|sql)(\\.zst|\\.gz)?(\\.age)?");
    static final String PARTIAL = ".partial";

    public BackupFolder {
        path = path.toAbsolutePath().normalize();
    }

    // ---- those that are there ----------------------------------------------------------------

    /**
     * A backup as it lies in the folder.
     *
     * @param taken    as its name says, in the local time of the machine that made it
     * @param manifest null where there is none that can be understood
     */
    public record Found(Path file, String database, LocalDateTime taken, long bytes, Manifest manifest) {
        /** Known to decode, and still of the size it had then. */
        public boolean isGood() {
            return manifest != null && manifest.isGood() && manifest.bytes() == bytes;
        }

        /** When it was begun: by its manifest, else by its name in this machine's zone. */
        public Instant began() {
            return manifest != null ? manifest.started().toInstant() : taken.atZone(ZoneId.systemDefault()).toInstant();
        }

        /** The order of creation; 0 where it is not known. */
        public long number() {
            return manifest != null ? manifest.number() : 0;
        }

        public Manifest.Level level() {
            return isGood() ? manifest.proof().level() : Manifest.Level.NONE;
        }
    }

    /** The latest first, by the time in their names; none when there is no such folder. */
    public List<Found> found() {
        try {
            var found = new ArrayList<Found>();
            for (var file : files()) {
                var name = name(file.getFileName().toString());
                if (name != null) found.add(new Found(file, name.database, name.taken, Files.size(file), Manifest.beside(file)));
            }
            found.sort(Comparator.comparing(Found::taken).thenComparing(f -> f.file().toString()).reversed());
            return found;
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** A backup by its path, or by its name alone as list shows it. */
    public Path find(Path file) {
        return Files.exists(file) || file.getNameCount() > 1 || file.isAbsolute() ? file : path.resolve(file);
    }

    /** Those of this very database: another server's of the same name are not ours to count or to prune. */
    public List<Found> found(Credentials database) {
        return found().stream().filter(f -> f.database().equals(database.database())
                && (f.manifest() == null || f.manifest().origin() == null || f.manifest().origin().equals(origin(database)))).toList();
    }

    static String origin(Credentials database) {
        return database.host() + ":" + database.port() + (database.route() == null ? "" : " in " + database.route().owner());
    }

    /** The newest good backup of a database, by the order they were made in; null when there is none. */
    public Found newestGood(Credentials database) {
        return found(database).stream().filter(Found::isGood).max(Comparator.comparingLong(f -> f.manifest().number())).orElse(null);
    }

    /** What monitoring has to know of the backups of a database. */
    public BackupStatus status(Credentials database) {
        var all = found(database);
        var problems = all.stream().filter(f -> f.manifest() != null && !f.isGood()).map(f -> f.file().getFileName() + ": " + BackupPrinter.proof(f)).toList();
        return BackupStatus.of(all.stream().map(BackupFolder::seen).toList(), all.stream().mapToLong(Found::bytes).sum(), problems, Instant.now());
    }

    private static BackupStatus.Seen seen(Found found) {
        var manifest = found.manifest;
        var restored = found.level() == Manifest.Level.RESTORED ? manifest.proof().verifiedAt().toInstant() : null;
        return new BackupStatus.Seen(found.file.getFileName().toString(), found.number(), found.began(), found.bytes,
                manifest == null ? -1 : manifest.rows(), found.isGood(), restored, restored == null ? null : manifest.proof().restoreSeconds());
    }

    /** What a backup's name says of it. */
    record Name(String database, LocalDateTime taken) {}

    /** Null when no backup of ours is called so. */
    static Name name(String file) {
        var name = NAME.matcher(file);
        if (!name.matches()) return null;
        try {
            return new Name(plain(name.group(1)), LocalDateTime.parse(name.group(2), TIME));
        } catch (DateTimeParseException noSuchDay) {
            return null;
        }
    }

    public static boolean isName(String file) {
        return name(file) != null;
    }

    private List<Path> files() throws IOException {
        if (!Files.isDirectory(path)) return List.of();
        try (Stream<Path> files = Files.list(path)) {
            return files.filter(f -> Files.isRegularFile(f, LinkOption.NOFOLLOW_LINKS)).toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    // ---- names -------------------------------------------------------------------------------

    /** A name that no file has yet, nor its manifest or its beginning. @param suffix {@code .dump.zst} */
    Path freeName(String database, LocalDateTime now, String suffix) {
        var base = safe(database) + "_" + TIME.format(now);
        for (int n = 1; ; n++) {
            var start = n == 1 ? base : base + "_" + n;
            if (Stream.of(".dump", ".sql").flatMap(kind -> Stream.of("", ".zst", ".gz").flatMap(packed -> Stream.of("", ".age").map(sealed -> start + kind + packed + sealed)))
                    .noneMatch(name -> isThere(name) || isThere(name + Manifest.SUFFIX))) return path.resolve(start + suffix);
        }
    }

    private boolean isThere(String name) {
        return Files.exists(path.resolve(name), LinkOption.NOFOLLOW_LINKS);
    }

    /** Letters, digits and "_-." stay, every other byte of UTF-8 becomes %XX: unambiguous, and safe in any shell and file system. */
    private static String safe(String database) {
        var name = new StringBuilder();
        for (byte b : database.getBytes(StandardCharsets.UTF_8)) {
            var c = (char) (b & 0xff);
            var plain = c < 128 && (Character.isLetterOrDigit(c) || c == '_' || (name.length() > 0 && (c == '-' || c == '.')));
            name.append(plain ? String.valueOf(c) : "%%%02X".formatted((int) c));
        }
        return name.toString();
    }

    private static String plain(String safe) {
        try {
            return URLDecoder.decode(safe.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notOurEncoding) {
            return safe;
        }
    }

    // ---- written -----------------------------------------------------------------------------

    void make() throws IOException {
        if (Files.isDirectory(path)) return;
        Disk.createPrivateFolder(path);
        try {
            // It lies in a project as a rule, and `git add .` must not publish the customers' data.
            Disk.writePrivate(path.resolve(".gitignore"), "*\n".getBytes(StandardCharsets.UTF_8));
        } catch (IOException full) {
            Files.deleteIfExists(path); // or the next one would take it for ready
            throw full;
        }
    }

    /** What a killed run left: files without a final name, with the manifest that waits for one of them. We hold the lock, so nobody is writing. */
    void sweep() throws IOException {
        for (var file : files()) {
            var name = file.getFileName().toString();
            if (!name.endsWith(PARTIAL)) continue;
            var whole = name.substring(0, name.length() - PARTIAL.length());
            var manifest = whole.startsWith("~") && whole.endsWith(Manifest.SUFFIX) && isName(whole.substring(1, whole.length() - Manifest.SUFFIX.length()));
            if (!manifest && !isName(whole)) continue;
            if (!manifest && !isThere(whole)) Files.deleteIfExists(Manifest.fileOf(path.resolve(whole))); // first: by the unfinished file it is known
            Files.deleteIfExists(file);
        }
    }

    static FileChannel createPrivate(Path file) throws IOException {
        Set<OpenOption> options = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        return Disk.POSIX
                ? FileChannel.open(file, options, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))
                : FileChannel.open(file, options, new FileAttribute<?>[0]);
    }

    // ---- one at a time -----------------------------------------------------------------------

    /** @throws Failure busy (5) when another one is at work in the folder */
    public Lock lock() throws IOException {
        return new Lock(path.toRealPath());
    }

    /** One backup at a time in a folder; the operating system gives the lock back when its holder dies. */
    public static final class Lock implements AutoCloseable {
        // Closing any second channel on the file would release this process's lock, so the second one is never opened.
        private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();
        private final Path folder;
        private final FileChannel channel;

        private Lock(Path folder) throws IOException {
            this.folder = folder;
            if (!OURS.add(folder)) throw new Failure(new Problem.BackupBusy(folder));
            FileChannel opened = null;
            try {
                opened = FileChannel.open(folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
                if (opened.tryLock() == null) throw new Failure(new Problem.BackupBusy(folder));
                channel = opened;
            } catch (IOException | RuntimeException e) {
                OURS.remove(folder);
                if (opened != null) opened.close();
                throw e;
            }
        }

        @Override public void close() throws IOException {
            channel.close();
            OURS.remove(folder);
        }
    }
}
