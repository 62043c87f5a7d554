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
import lib.files.Disk;
import lib.project.Credentials;

/** A folder of backups. A file with the name of a backup is one; its manifest has how well it is proven. */
public record BackupFolder(Path path) {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd_HHmmss", Locale.ROOT);
    private static final Pattern NAME =
            Pattern.compile("(.+)_(\\d{8}_\\d{6})(?:_\\d+)?\\.(dump|sql)(\\.zst|\\.gz)?(\\.age)?");
    static final String PARTIAL = ".partial";

    public BackupFolder {
        path = path.toAbsolutePath().normalize();
    }

    // ---- the backups in it -------------------------------------------------------------------

    /**
     * @param taken    by its name, in the local time of the machine that made it
     * @param manifest null where there is none that can be parsed
     */
    public record Entry(Path file, String database, LocalDateTime taken, long bytes, Manifest manifest) {
        String name() {
            return file.getFileName().toString();
        }

        /** Proven to decode, and still of the same size. */
        public boolean isGood() {
            return manifest != null && manifest.isGood() && manifest.file().bytes() == bytes;
        }

        /** By its manifest, else by its name in this machine's zone. */
        Instant started() {
            return manifest != null ? manifest.source().started().toInstant() : instant(taken);
        }

        /** The order of creation; 0 where it is unknown. */
        long number() {
            return manifest != null ? manifest.file().number() : 0;
        }

        /** -1 when they are unknown. */
        long rows() {
            return manifest == null ? -1 : manifest.content().rows();
        }

        public Manifest.Level level() {
            return isGood() ? manifest.proof().level() : Manifest.Level.NONE;
        }

        /** How well the backup is proven, for people. */
        String proof() {
            if (manifest == null || manifest.proof() == null) return "not proven: run verify";
            var proof = manifest.proof();
            if (proof.failure() != null) return "NOT GOOD: " + proof.failure();
            if (manifest.file().bytes() != bytes)
                return "NOT GOOD: it had %,d bytes, and has %,d".formatted(manifest.file().bytes(), bytes);
            var counts = manifest.content().counts();
            return switch (proof.level()) {
                case NONE -> "not proven: run verify";
                case STREAM -> counts + ", read back";
                case RESTORED -> "%s, restored %s in %.1f s"
                        .formatted(counts, proof.verifiedAt().toLocalDate(), proof.restoreSeconds());
            };
        }
    }

    static Instant instant(LocalDateTime local) {
        return local.atZone(ZoneId.systemDefault()).toInstant();
    }

    /** The latest first, by the time in their names; empty when there is no such folder. */
    public List<Entry> list() {
        try {
            var entries = new ArrayList<Entry>();
            for (var file : files()) {
                var name = name(file.getFileName().toString());
                if (name == null) continue;
                entries.add(new Entry(file, name.database, name.taken, Files.size(file), Manifest.read(file)));
            }
            entries.sort(Comparator.comparing(Entry::taken).thenComparing(entry -> entry.file().toString()).reversed());
            return entries;
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** Those of this very database: another server's backups of the same name are not counted, compared or pruned. */
    public List<Entry> list(Credentials database) {
        var origin = origin(database);
        return list().stream().filter(entry -> entry.database().equals(database.database())).filter(entry -> {
            var known = entry.manifest() == null ? null : entry.manifest().source().origin();
            return known == null || known.equals(origin);
        }).toList();
    }

    static String origin(Credentials database) {
        return database.host() + ":" + database.port()
                + (database.route() == null ? "" : " in " + database.route().owner());
    }

    /** A backup by its path, or by its name alone as {@code list} shows it. */
    public Path resolve(Path file) {
        return Files.exists(file) || file.getNameCount() > 1 || file.isAbsolute() ? file : path.resolve(file);
    }

    /** The newest good backup of a database, by the order of creation; null when there is none. */
    public Entry newestGood(Credentials database) {
        return list(database).stream().filter(Entry::isGood).max(Comparator.comparingLong(Entry::number)).orElse(null);
    }

    public BackupStatus status(Credentials database) {
        var all = list(database);
        var problems = all.stream().filter(entry -> entry.manifest() != null && !entry.isGood())
                .map(entry -> entry.name() + ": " + entry.proof()).toList();
        return BackupStatus.of(all, all.stream().mapToLong(Entry::bytes).sum(), problems, Instant.now());
    }

    /** What the name of a backup says. */
    record Name(String database, LocalDateTime taken) {}

    /** Null when it is not the name of a backup. */
    static Name name(String file) {
        var name = NAME.matcher(file);
        if (!name.matches()) return null;
        try {
            return new Name(decoded(name.group(1)), LocalDateTime.parse(name.group(2), TIME));
        } catch (DateTimeParseException noSuchDay) {
            return null;
        }
    }

    static boolean isName(String file) {
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

    private static final List<String> SUFFIXES = Stream.of(".dump", ".sql")
            .flatMap(format -> Stream.of("", ".zst", ".gz").map(compression -> format + compression))
            .flatMap(name -> Stream.of("", ".age").map(encryption -> name + encryption)).toList();

    /** A name that no backup has yet, of any format, and no manifest. @param suffix {@code .dump.zst} */
    Path freeName(String database, LocalDateTime now, String suffix) {
        var base = encoded(database) + "_" + TIME.format(now);
        for (int n = 1; ; n++) {
            var start = n == 1 ? base : base + "_" + n;
            if (SUFFIXES.stream().noneMatch(used -> exists(start + used) || exists(start + used + Manifest.SUFFIX)))
                return path.resolve(start + suffix);
        }
    }

    private boolean exists(String name) {
        return Files.exists(path.resolve(name), LinkOption.NOFOLLOW_LINKS);
    }

    /** Letters, digits and "_-." stay, every other byte of UTF-8 becomes %XX: safe in any shell and file system. */
    private static String encoded(String database) {
        var name = new StringBuilder();
        for (byte b : database.getBytes(StandardCharsets.UTF_8)) {
            var c = (char) (b & 0xff);
            var inside = name.length() > 0 && (c == '-' || c == '.');
            var safe = c < 128 && (Character.isLetterOrDigit(c) || c == '_' || inside);
            name.append(safe ? String.valueOf(c) : "%%%02X".formatted((int) c));
        }
        return name.toString();
    }

    private static String decoded(String encoded) {
        try {
            return URLDecoder.decode(encoded.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notOurEncoding) {
            return encoded;
        }
    }

    // ---- changes -----------------------------------------------------------------------------

    /** Creates the folder, for its owner only, when it does not exist. */
    void create() throws IOException {
        if (Files.isDirectory(path)) return;
        Disk.createPrivateFolder(path);
        try {
            // It is usually inside a project, and `git add .` must not publish customers' data.
            Disk.writePrivate(path.resolve(".gitignore"), "*\n".getBytes(StandardCharsets.UTF_8));
        } catch (IOException full) {
            Files.deleteIfExists(path); // the next backup does not add the .gitignore to an existing folder
            throw full;
        }
    }

    /**
     * Removes what killed runs have left: files without their final name, and the manifest of such a file. The caller
     * holds the lock, so no other process is writing.
     */
    void sweep() throws IOException {
        for (var file : files()) {
            var name = file.getFileName().toString();
            if (!name.endsWith(PARTIAL)) continue;
            var whole = name.substring(0, name.length() - PARTIAL.length());
            var isManifest = isUnfinishedManifest(whole);
            if (!isManifest && !isName(whole)) continue;
            // The manifest first: after a kill here its unfinished backup is still found.
            if (!isManifest && !exists(whole)) Files.deleteIfExists(Manifest.fileOf(path.resolve(whole)));
            Files.deleteIfExists(file);
        }
    }

    private static boolean isUnfinishedManifest(String name) {
        return name.startsWith("~") && name.endsWith(Manifest.SUFFIX)
                && isName(name.substring(1, name.length() - Manifest.SUFFIX.length()));
    }

    static FileChannel createPrivate(Path file) throws IOException {
        Set<OpenOption> options = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        if (!Disk.POSIX) return FileChannel.open(file, options);
        var mode = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        return FileChannel.open(file, options, mode);
    }

    // ---- the lock -----------------------------------------------------------------------

    /** @throws Failure busy (5) when another backup is running in the folder */
    Lock lock() throws IOException {
        return new Lock(path.toRealPath());
    }

    /** One backup at a time in a folder; the operating system releases the lock when its holder dies. */
    static final class Lock implements AutoCloseable {
        // Closing any second channel on the file would release this process's lock, so the second one is never opened.
        private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();
        private final Path folder;
        private final FileChannel channel;

        private Lock(Path folder) throws IOException {
            this.folder = folder;
            var busy = Failure.busy("another backup is running in " + folder)
                    .next("wait until it ends, or use another folder (BACKUP_DIR, or --dir DIR of backup_database)");
            if (!OURS.add(folder)) throw busy;
            FileChannel opened = null;
            try {
                opened = FileChannel.open(folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE,
                        LinkOption.NOFOLLOW_LINKS);
                if (opened.tryLock() == null) throw busy;
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
