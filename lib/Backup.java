package lib;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A backup: an archive of pg_dump's ({@code -Fc}) that has been read back to its end. Until then its name ends in
 * {@code .partial}, and a failure removes it.
 *
 * @param file     {@code <database>_<YYYYMMDD>_<HHMMSS>.dump}, mode 0600, local time of its beginning
 * @param tables   whose rows are in it
 * @param seconds  from the beginning to the durable file
 * @param warnings what pg_dump said although it succeeded
 */
public record Backup(Path file, long bytes, int tables, double seconds, List<String> warnings) {
    private static final byte[] MAGIC = "PGDMP".getBytes(StandardCharsets.US_ASCII);
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd_HHmmss", Locale.ROOT);
    private static final Pattern NAME = Pattern.compile("(.+)_(\\d{8}_\\d{6})(?:_\\d+)?\\.dump");
    private static final String PARTIAL = ".partial";
    private static final String WINDOWS_NULL = "NUL";
    /** A table locked for longer by somebody else fails the backup: cron would pile up waiting ones without a word. */
    private static final String LOCK_WAIT_MS = "300000";

    /**
     * Takes a backup and returns it when it is known to decode and is on the disk.
     *
     * @param pgDump   the program alone, of the server's major version or the next newer; pg_restore lies beside it
     * @param folder   made when it is missing, for its owner alone
     * @param progress how far it is, now and then
     * @throws Failure nothing new is left in the folder then, and no earlier backup was touched; busy (exit 5) when
     *                 another one is at work in the folder
     */
    public static Backup create(Credentials database, Program pgDump, Path folder, Consumer<String> progress) {
        try (var making = new Making(database, pgDump, folder, progress)) {
            for (var step : making.steps()) step.run();
            return making.made();
        } catch (Exception e) {
            var failure = Failure.of(Interruption.explains(e));
            throw failure != null ? failure : e instanceof RuntimeException bug ? bug : new IllegalStateException(e);
        }
    }

    // ---- taking one --------------------------------------------------------------------------

    /** One backup on its way: holds the folder's lock, and leaves no unfinished file when it is closed. */
    public static final class Making implements AutoCloseable {
        private final Credentials database;
        private final Program pgDump;
        private final Path folder;
        private final Consumer<String> progress;
        private final Lock lock;
        private final Path file;
        private final Path partial;
        private final long began = System.nanoTime();
        private long bytes;
        private List<String> warnings = List.of();
        private int tables;
        private Backup made;

        public Making(Credentials database, Program pgDump, Path folder, Consumer<String> progress) throws IOException {
            requirePassable(database);
            this.database = database;
            this.pgDump = pgDump;
            this.folder = folder.toAbsolutePath().normalize();
            this.progress = progress;
            try {
                makeFolder(this.folder);
                lock = new Lock(this.folder);
            } catch (IOException e) {
                throw cannotWrite(e);
            }
            try {
                sweep(this.folder);
                file = freeName(this.folder, database.database());
                partial = this.folder.resolve(file.getFileName() + PARTIAL);
            } catch (IOException | RuntimeException e) {
                lock.close();
                throw e;
            }
        }

        /** To be run in this order, by {@link #create} or by a {@link Plan}. */
        public List<Step> steps() {
            return List.of(
                    Step.of("dump %s with %s".formatted(database.database(), pgDump.name()), this::dump),
                    Step.of("read the archive back to its end", this::readBack),
                    Step.of("keep it as " + file.getFileName(), this::keep));
        }

        /** The backup, once every step has run. */
        public Backup made() {
            if (made == null) throw new IllegalStateException("not every step has run");
            return made;
        }

        private void dump() {
            try (var out = createPrivate(partial)) { // before pg_dump starts: a folder that cannot be written fails at once
                dumpInto(out);
                out.force(true);
            } catch (IOException e) {
                throw cannotWrite(e);
            }
        }

        private void dumpInto(FileChannel out) throws IOException {
            var process = pgDump.with("--format=custom", "--no-password", "--lock-wait-timeout=" + LOCK_WAIT_MS,
                    "--dbname=" + uri(database)).env("LC_ALL", "C").secret("PGPASSWORD", database.password()).start();
            try (var handle = Interruption.stoppedBy(() -> Program.kill(process))) {
                Interruption.check(); // a signal that came before the line above has killed nobody
                noInput(process);
                var said = new Said(process.getErrorStream());
                var notAnArchive = store(process.getInputStream(), out);
                if (notAnArchive != null) {
                    Program.kill(process);
                    throw new Failure(new Problem.NotAnArchive(pgDump.name() + "'s output", hide(notAnArchive), hide(said.text())));
                }
                var code = process.waitFor();
                var words = hide(said.text());
                if (code != 0 || isError(words) || bytes == 0) throw new Failure(new Problem.PgProgramFailed(pgDump.name(), code, words));
                warnings = words.lines().filter(line -> !line.isBlank()).toList();
            } catch (InterruptedException e) {
                throw new Failure(new Problem.Interrupted(), e);
            } finally {
                Program.kill(process);
            }
        }

        /** Copies the stream; returns its beginning when that is no archive's, else null. */
        private String store(InputStream from, FileChannel out) throws IOException {
            var buffer = new byte[1 << 16];
            var filled = 0;
            for (int n; filled < MAGIC.length && (n = read(from, buffer, filled)) >= 0; ) filled += n;
            if (filled > 0 && !Arrays.equals(buffer, 0, Math.min(filled, MAGIC.length), MAGIC, 0, MAGIC.length))
                return firstLine(buffer, filled);
            var shown = System.nanoTime();
            for (int n = filled; n >= 0; n = read(from, buffer, 0)) {
                for (var left = ByteBuffer.wrap(buffer, 0, n); left.hasRemaining(); ) out.write(left);
                bytes += n;
                if (System.nanoTime() - shown < 500_000_000L) continue;
                shown = System.nanoTime();
                progress.accept(PlanText.size(bytes));
            }
            return null;
        }

        /** A program that was killed closes its stream on us: its exit code tells, not this exception. */
        private static int read(InputStream from, byte[] buffer, int at) {
            try {
                return from.read(buffer, at, buffer.length - at);
            } catch (IOException closed) {
                return -1;
            }
        }

        private void readBack() throws IOException {
            if (Files.size(partial) != bytes) throw new Failure(new Problem.DamagedArchive(partial, "%d bytes were written, %d are there".formatted(bytes, Files.size(partial))));
            var pgRestore = sibling(pgDump, "pg_restore");
            decode(pgRestore, partial, progress);
            tables = (int) contents(pgRestore, partial).stream().filter(line -> line.matches("\\d+; \\d+ \\d+ TABLE DATA .*")).count();
        }

        /** Never over another file: the lock keeps our own kind out, and nobody else makes such names. */
        private void keep() throws IOException {
            Files.move(partial, file);
            try {
                Disk.fsync(folder);
            } catch (IOException e) {
                Files.deleteIfExists(file); // not durable is not a backup
                throw cannotWrite(e);
            }
            made = new Backup(file, bytes, tables, (System.nanoTime() - began) / 1e9, warnings);
        }

        private Failure cannotWrite(IOException e) {
            var words = e.getMessage() == null ? e.toString() : e.getMessage();
            return new Failure(new Problem.CannotWriteBackup(folder, words), e);
        }

        /** A wrapper around pg_dump may print what it was given; a password that is the user's name too hides nothing. */
        private String hide(String words) {
            var password = database.password();
            if (password == null || password.isEmpty() || database.toString().contains(password)) return words;
            return words.replace(password, "[password]");
        }

        @Override public void close() {
            try (lock) {
                Files.deleteIfExists(partial);
            } catch (IOException left) {
                throw new Failure(new Problem.CannotWriteBackup(folder, "cannot remove " + partial + ": " + left.getMessage()), left);
            }
        }
    }

    private static void makeFolder(Path folder) throws IOException {
        if (Files.isDirectory(folder)) return;
        Disk.privateFolder(folder);
        try {
            // It lies in a project as a rule, and `git add .` must not publish the customers' data.
            Disk.writePrivate(folder.resolve(".gitignore"), "*\n".getBytes(StandardCharsets.UTF_8));
        } catch (IOException full) {
            Files.deleteIfExists(folder); // or the next one would take it for ready
            throw full;
        }
    }

    /** What a killed run left. We hold the lock, so nobody is writing to it. */
    private static void sweep(Path folder) throws IOException {
        for (var file : files(folder)) {
            var name = file.getFileName().toString();
            if (name.endsWith(PARTIAL) && NAME.matcher(name.substring(0, name.length() - PARTIAL.length())).matches()) Files.delete(file);
        }
    }

    private static Path freeName(Path folder, String database) {
        var base = safe(database) + "_" + TIME.format(LocalDateTime.now());
        var file = folder.resolve(base + ".dump");
        for (int n = 2; Files.exists(file, LinkOption.NOFOLLOW_LINKS); n++) file = folder.resolve(base + "_" + n + ".dump");
        return file;
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

    private static FileChannel createPrivate(Path file) throws IOException {
        var posix = file.getFileSystem().supportedFileAttributeViews().contains("posix");
        Set<OpenOption> options = Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        return posix
                ? FileChannel.open(file, options, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))
                : FileChannel.open(file, options, new FileAttribute<?>[0]);
    }

    /** One backup at a time in a folder; the operating system gives the lock back when its holder dies. */
    private static final class Lock implements AutoCloseable {
        // Closing any second channel on the file would release this process's lock, so the second one is never opened.
        private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();
        private final Path folder;
        private final FileChannel channel;

        Lock(Path folder) throws IOException {
            this.folder = folder.toRealPath();
            if (!OURS.add(this.folder)) throw new Failure(new Problem.BackupBusy(folder));
            FileChannel opened = null;
            try {
                opened = FileChannel.open(this.folder.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
                if (opened.tryLock() == null) throw new Failure(new Problem.BackupBusy(folder));
                channel = opened;
            } catch (IOException | RuntimeException e) {
                OURS.remove(this.folder);
                if (opened != null) opened.close();
                throw e;
            }
        }

        @Override public void close() throws IOException {
            channel.close();
            OURS.remove(folder);
        }
    }

    // ---- those that are there ----------------------------------------------------------------

    /** A backup as it lies in a folder, known by its name. */
    public record Found(Path file, String database, LocalDateTime taken, long bytes) {}

    /** The backups of a folder, the latest first; none when there is no such folder. */
    public static List<Found> recent(Path folder) {
        try {
            var found = new ArrayList<Found>();
            for (var file : files(folder)) {
                var name = NAME.matcher(file.getFileName().toString());
                if (name.matches()) found.add(new Found(file, nameOf(name.group(1)), LocalDateTime.parse(name.group(2), TIME), Files.size(file)));
            }
            found.sort(Comparator.comparing(Found::taken).thenComparing(f -> f.file().toString()).reversed());
            return found;
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    private static List<Path> files(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return List.of();
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(f -> Files.isRegularFile(f, LinkOption.NOFOLLOW_LINKS)).toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static String nameOf(String safe) {
        try {
            return URLDecoder.decode(safe.replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notOurEncoding) {
            return safe;
        }
    }

    // ---- restoring ---------------------------------------------------------------------------

    /**
     * The command that restores into a new database, for people to copy. Its exit code is not 0 when anything failed, also
     * under {@code set -e}, which is why it stands in parentheses: a bare {@code a && b} whose a fails would go on.
     */
    public static String restoreCommand(Path file, Credentials server, Program pgDump) {
        var into = restored(server.database());
        var where = List.of("--host=" + server.host(), "--port=" + server.port(), "--username=" + server.user());
        var create = sibling(pgDump, "createdb").with(where.toArray(String[]::new)).with("--template=template0", into);
        var restore = sibling(pgDump, "pg_restore").with("--exit-on-error").with(where.toArray(String[]::new)).with("--dbname=" + into);
        var ssl = server.sslmode() == null ? "" : "export PGSSLMODE=" + quoted(server.sslmode()) + " && ";
        return "( %s%s && %s < %s )".formatted(ssl, quoted(create.argv()), quoted(restore.argv()), quoted(file.toAbsolutePath().toString()));
    }

    private static String restored(String database) {
        var name = database.replaceAll("[^A-Za-z0-9_]", "_");
        return name.substring(0, Math.min(name.length(), 50)) + "_restored";
    }

    private static String quoted(List<String> argv) {
        return argv.stream().map(Backup::quoted).collect(Collectors.joining(" "));
    }

    private static String quoted(String word) {
        return word.matches("[A-Za-z0-9_./:@%+=,-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
    }

    /**
     * The steps that restore an archive into a new database of the server; undone, the database is gone again.
     *
     * @param server whose database's name is not used but as a place to connect to
     * @param pgDump the program alone; createdb, dropdb and pg_restore lie beside it
     */
    public static List<Step> restore(Path file, Credentials server, String into, Program pgDump, Consumer<String> progress) {
        requirePassable(server.of(into));
        return List.of(
                Step.of("read %s to its end".formatted(file), () -> {
                    requireArchive(file);
                    decode(sibling(pgDump, "pg_restore"), file, progress);
                }),
                new CreateDatabase(server, into, pgDump, new ArrayList<>()),
                Step.of("restore into " + into, () -> {
                    var pgRestore = connected(sibling(pgDump, "pg_restore"), server).with("--exit-on-error", "--no-password", "--dbname=" + uri(server.of(into)));
                    var output = feed(pgRestore, file, progress);
                    if (output.code() != 0) throw new Failure(new Problem.PgProgramFailed(pgRestore.name(), output.code(), output.err()));
                }));
    }

    /** Creates an empty database; what undo drops is only what this very run has created. */
    private record CreateDatabase(Credentials server, String name, Program pgDump, List<String> created) implements Step {
        @Override public String describe() {
            return "create database " + name;
        }

        @Override public void run() {
            Program.Output first = null;
            for (var from : Set.of("postgres", server.database()).stream().sorted(Comparator.comparing("postgres"::equals).reversed()).toList()) {
                var output = connected(sibling(pgDump, "createdb"), server)
                        .with("--no-password", "--template=template0", "--maintenance-db=" + uri(server.of(from)), "--", name).run();
                if (output.code() == 0) {
                    created.add(from);
                    return;
                }
                if (output.err().contains("already exists")) throw new Failure(new Problem.DatabaseExists(name));
                if (first == null) first = output; // a role or a pooler may not know "postgres"
            }
            throw new Failure(new Problem.PgProgramFailed("createdb", first.code(), first.err()));
        }

        @Override public void undo() {
            for (var from : created)
                connected(sibling(pgDump, "dropdb"), server).with("--no-password", "--maintenance-db=" + uri(server.of(from)), "--", name).output();
            created.clear();
        }
    }

    private static void requireArchive(Path file) throws IOException {
        if (!Files.isRegularFile(file)) throw new Failure(new Problem.NoBackupFile(file));
        try (var in = Files.newInputStream(file)) {
            var head = in.readNBytes(64);
            if (!Arrays.equals(head, 0, Math.min(head.length, MAGIC.length), MAGIC, 0, MAGIC.length))
                throw new Failure(new Problem.NotAnArchive(file.toString(), firstLine(head, head.length), ""));
        }
    }

    // ---- PostgreSQL's programs ---------------------------------------------------------------

    /** Decodes the archive to its end; {@code --list} alone would pass one that is cut at 60 %. */
    private static void decode(Program pgRestore, Path file, Consumer<String> progress) {
        var nowhere = System.getProperty("os.name").startsWith("Windows") ? WINDOWS_NULL : "/dev/null";
        var output = feed(pgRestore.with("--file=" + nowhere).env("LC_ALL", "C"), file, progress);
        if (output.code() != 0 || isError(output.err())) throw new Failure(new Problem.DamagedArchive(file, output.err()));
    }

    private static List<String> contents(Program pgRestore, Path file) {
        var output = feed(pgRestore.with("--list").env("LC_ALL", "C"), file, read -> {});
        if (output.code() != 0) throw new Failure(new Problem.DamagedArchive(file, output.err()));
        return output.out().lines().toList();
    }

    /** Runs a program with the file on its standard input: it may be in a container that does not see the file. */
    private static Program.Output feed(Program program, Path file, Consumer<String> progress) {
        var process = program.start();
        try (var handle = Interruption.stoppedBy(() -> Program.kill(process)); var in = Files.newInputStream(file)) {
            Interruption.check();
            var feeder = Thread.ofPlatform().daemon().start(() -> pour(in, process, progress));
            var said = new Said(process.getErrorStream());
            var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            var code = process.waitFor();
            feeder.join();
            return new Program.Output(code, out, said.text());
        } catch (IOException e) {
            throw Failure.of(e);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        } finally {
            Program.kill(process);
        }
    }

    /** A reader that has enough closes the pipe; one that misses something says so by its exit code. */
    private static void pour(InputStream in, Process process, Consumer<String> progress) {
        try (var out = process.getOutputStream()) {
            var buffer = new byte[1 << 16];
            long done = 0;
            var shown = System.nanoTime();
            for (int n; (n = in.read(buffer)) >= 0; ) {
                out.write(buffer, 0, n);
                done += n;
                if (System.nanoTime() - shown < 500_000_000L) continue;
                shown = System.nanoTime();
                progress.accept(PlanText.size(done));
            }
        } catch (IOException closed) {
            // see above
        }
    }

    /** Reads a program's stderr while its stdout is being read, so that neither fills up. */
    private static final class Said {
        private final StringBuilder text = new StringBuilder();
        private final Thread reader;

        Said(InputStream err) {
            reader = Thread.ofPlatform().daemon().start(() -> {
                try (err) {
                    text.append(new String(err.readAllBytes(), StandardCharsets.UTF_8));
                } catch (IOException closedWhenKilled) {
                    // what it said before is lost; its exit code is not
                }
            });
        }

        String text() throws InterruptedException {
            reader.join();
            return text.toString();
        }
    }

    private static void noInput(Process process) {
        try {
            process.getOutputStream().close();
        } catch (IOException alreadyGone) {
            // its exit code tells
        }
    }

    private static boolean isError(String words) {
        return Pattern.compile("(?m)(^|\\s)(error|ERROR|FATAL|PANIC):").matcher(words).find();
    }

    private static Program connected(Program program, Credentials server) {
        return program.with().env("LC_ALL", "C").secret("PGPASSWORD", server.password());
    }

    /** PostgreSQL's other programs lie beside this one, on this machine and in a container. */
    private static Program sibling(Program pgDump, String name) {
        var argv = new ArrayList<>(pgDump.argv());
        var dump = argv.removeLast();
        var cut = dump.lastIndexOf("pg_dump");
        if (cut < 0) throw new IllegalArgumentException("not pg_dump alone: " + pgDump);
        argv.add(dump.substring(0, cut) + name + dump.substring(cut + "pg_dump".length()));
        return Program.of(argv);
    }

    /** libpq's form of the connection, without the password: percent-encoded, so no name can be taken for a connection string. */
    private static String uri(Credentials database) {
        var settings = new LinkedHashMap<String, String>();
        settings.put("host", database.host());
        settings.put("port", String.valueOf(database.port()));
        settings.put("user", database.user());
        settings.put("dbname", database.database());
        if (database.sslmode() != null) settings.put("sslmode", database.sslmode());
        settings.put("connect_timeout", "10");
        settings.put("application_name", "backup_database");
        return settings.entrySet().stream().map(Backup::parameter).collect(Collectors.joining("&", "postgresql:///?", ""));
    }

    private static String parameter(Map.Entry<String, String> setting) {
        return setting.getKey() + "=" + URLEncoder.encode(setting.getValue(), StandardCharsets.UTF_8).replace("+", "%20");
    }

    /** Without a UTF-8 locale (cron) Java hands "?" to other programs for every other letter: a wrong password, and no word why. */
    private static void requirePassable(Credentials database) {
        if (System.getProperty("os.name").startsWith("Windows") || database.password() == null) return;
        var encoder = Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8")).newEncoder();
        if (!encoder.canEncode(database.password())) throw new Failure(new Problem.LocaleTooSmall("the password"));
    }

    private static String firstLine(byte[] bytes, int length) {
        var line = new String(bytes, 0, Math.min(length, 200), StandardCharsets.UTF_8).lines().findFirst().orElse("");
        line = line.replaceAll("\\P{Print}", "?");
        return line.length() > 60 ? line.substring(0, 60) + "…" : line;
    }
}
