package lib.server;

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Credentials;

/**
 * A PostgreSQL server with an empty cluster that lives until {@link #close}, and no longer than we do: a shell starts it,
 * waits for the end of a pipe that only we hold, and then stops it and removes its folder. Where that shell is killed too,
 * the next start does it.
 */
public final class ThrowawayServer implements AutoCloseable {
    public static final String PREFIX = "reset_migrations-server-";
    private static final Gson JSON = new Gson();
    private static final long OWN_NEED = 300L << 20; // an empty cluster and its write-ahead log
    /** Folders of this process: opening another channel on a lock of ours would give it up. */
    private static final Set<Path> OURS = ConcurrentHashMap.newKeySet();

    /**
     * $1 the folder, $2 the programs' folder, then what makes a command run as the server's user. The number of a server
     * that is long dead may be another process's by now: ours has the folder's name in its command line.
     */
    private static final String END = """
        folder=$1 bin=$2
        shift 2
        pid=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null) &&
          { cat "/proc/$pid/cmdline" || ps -o args= -p "$pid"; } 2>/dev/null | grep -q "${folder##*/}" &&
          cd "$folder" && "$@" "$bin/pg_ctl" stop -D data -m immediate -w -t 60 >/dev/null 2>&1
        cd / && rm -rf "$folder" 2>/dev/null
        """;

    /** As above. Ctrl-C reaches all of us at once, and the order of leaving is ours to choose; who hears "started" may be gone. */
    private static final String LIFE = """
        trap '' INT HUP TERM PIPE
        start() (
          cd "$1" && bin=$2 && shift 2 &&
          "$@" "$bin/initdb" -D data -U postgres --pwfile=password --auth=scram-sha-256 --encoding="$ENCODING" --locale="$LOCALE" --no-sync &&
          "$@" "$bin/pg_ctl" start -D data -l data/log -w -t 60 -o "$OPTIONS"
        )
        if start "$@" >"$1/said" 2>&1 </dev/null; then echo started; else echo failed; fi
        rm -f "$1/password"
        cat >/dev/null
        """ + END;

    /** Nothing of it has to survive anything; nothing outside its folder, and thousands of tables in one transaction. */
    private static final List<String> SETTINGS = List.of("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "full_page_writes=off",
            "synchronous_commit=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=256MB", "autovacuum=off", "shared_buffers=64MB",
            "maintenance_work_mem=128MB", "max_connections=50", "max_locks_per_transaction=1024", "dynamic_shared_memory_type=mmap");

    private final Path folder;
    private final Process life;
    private final FileChannel lock;
    private final Credentials credentials;
    private final ServerPrograms programs;
    private final Consumer<String> progress;

    /**
     * What it is to be.
     *
     * @param major    or newer, where only newer ones are there
     * @param encoding of the cluster, as PostgreSQL names it: "UTF8"
     * @param locale   the dumped database's; null, or where this machine does not know it: C.UTF-8, else C
     * @param room     bytes that are going to be restored, 0 when nobody knows
     */
    public record Wanted(int major, String encoding, String locale, long room) {
        public Wanted(int major) {
            this(major, "UTF8", null, 0);
        }

        private Set<String> locales() {
            var locales = new LinkedHashSet<String>();
            if (locale != null) locales.add(locale);
            if (encoding.equals("UTF8")) locales.add("C.UTF-8");
            locales.add("C");
            return locales;
        }
    }

    private ThrowawayServer(Path folder, Process life, FileChannel lock, Credentials credentials, ServerPrograms programs, Consumer<String> progress) {
        this.folder = folder;
        this.life = life;
        this.lock = lock;
        this.credentials = credentials;
        this.programs = programs;
        this.progress = progress;
    }

    /**
     * @param temp     where its folder is made, unless root's substitute cannot enter it
     * @param progress gets a line when something takes long or stays behind
     * @throws Failure {@link Problem.NoServerPrograms}, {@link Problem.NoServerUser}, {@link Problem.NoFolderForServer},
     *                 {@link Problem.NoRoomForServer}, {@link Problem.ServerNotStarted}
     */
    public static ThrowawayServer start(int major, Path temp, Consumer<String> progress) {
        return start(new Wanted(major), temp, progress);
    }

    public static ThrowawayServer start(Wanted wanted, Path temp, Consumer<String> progress) {
        return start(wanted, temp, ServerPrograms.Places.ofThisMachine(), progress);
    }

    /** As above, with programs from these places. */
    public static ThrowawayServer start(Wanted wanted, Path temp, ServerPrograms.Places places, Consumer<String> progress) {
        if (!Disk.POSIX) throw new Failure(new Problem.NoServerPrograms(wanted.major, "on Windows only in WSL"));
        try {
            var user = ServerUser.choose();
            var temps = new LinkedHashSet<>(List.of(temp.toAbsolutePath(), Path.of("/var/tmp"), Path.of(System.getProperty("java.io.tmpdir"))));
            for (var one : temps) sweep(one, progress);
            var programs = ServerPrograms.find(wanted.major, user, places, progress);
            for (var locale : wanted.locales()) {
                for (int port = 0; port < 5; port++) { // another program may take a port between our look and the server's
                    var started = attempt(wanted, locale, user, programs, temps, progress);
                    if (started.server != null) return started.server;
                    if (started.words.contains("invalid locale") || started.words.contains("encoding mismatch")) break;
                    if (!started.words.contains("Address already in use")) throw new Failure(new Problem.ServerNotStarted(programs.bin(), started.words));
                }
            }
            throw new Failure(new Problem.ServerNotStarted(programs.bin(), "it finds neither a locale nor a port"));
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** The superuser's, of the database postgres. */
    public Credentials credentials() {
        return credentials;
    }

    /** "PostgreSQL 15 of /usr/lib/postgresql/15/bin". */
    @Override
    public String toString() {
        return programs.toString();
    }

    /** For who works on it and hears that the disk is full (SQLSTATE 53100, "No space left on device"). */
    public Failure noRoom() {
        return noRoom(folder);
    }

    private static Failure noRoom(Path folder) {
        return new Failure(new Problem.NoRoomForServer(folder.getParent(), 0, free(folder)));
    }

    private static long free(Path folder) {
        try {
            return Files.getFileStore(folder).getUsableSpace();
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    /** Where all of it lies, in the end nothing. */
    public Path folder() {
        return folder;
    }

    // ---- its start ---------------------------------------------------------------------------

    /** @param server or null; then what the programs said */
    private record Started(ThrowawayServer server, String words) {}

    private static Started attempt(Wanted wanted, String locale, ServerUser user, ServerPrograms programs, Set<Path> temps, Consumer<String> progress)
            throws IOException {
        var folder = folder(temps, user);
        OURS.add(folder);
        FileChannel lock = null;
        Process life = null;
        var stays = false;
        try {
            var free = free(folder);
            var needs = OWN_NEED + wanted.room;
            if (free < needs) throw new Failure(new Problem.NoRoomForServer(folder.getParent(), needs, free));
            var arguments = new ArrayList<>(List.of(folder.toString(), programs.bin().toString()));
            arguments.addAll(user.prefix());
            lock = FileChannel.open(folder.resolve("lock"), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
            Disk.setMode(folder.resolve("lock"), "rw-------");
            lock.lock();
            lock.write(StandardCharsets.UTF_8.encode(JSON.toJson(arguments))); // written last: an empty one is being made
            var password = password(folder, user);
            var port = freePort();
            life = shell(LIFE, arguments).env("ENCODING", wanted.encoding).env("LOCALE", locale)
                    .env("OPTIONS", "-p " + port + " -c cluster_name=" + folder.getFileName() + String.join("", SETTINGS.stream().map(setting -> " -c " + setting).toList())).start();
            var line = new BufferedReader(life.inputReader()).readLine();
            Interruption.check();
            if ("started".equals(line)) {
                var credentials = new Credentials("127.0.0.1", port, "postgres", "postgres", password, "disable", Map.of());
                stays = true;
                return new Started(new ThrowawayServer(folder, life, lock, credentials, programs, progress), null);
            }
            var words = lastOf(folder.resolve("said")) + lastOf(folder.resolve("data/log"));
            if (words.contains("No space left") || words.contains("quota")) throw noRoom(folder);
            return new Started(null, words);
        } finally {
            if (!stays) end(folder, life, lock, progress);
        }
    }

    /** Ours, and nobody may look into it; the server's user may pass through to what is its own. */
    private static Path folder(Set<Path> temps, ServerUser user) throws IOException {
        var tried = new ArrayList<String>();
        for (var temp : temps) {
            Path folder = null;
            try {
                folder = Files.createTempDirectory(temp, PREFIX).toRealPath();
                if (!user.ourselves()) Disk.setMode(folder, "rwx--x--x");
                var data = Files.createDirectory(folder.resolve("data"));
                Disk.setMode(data, "rwx------");
                user.own(data);
                if (user.canEnter(data)) return folder;
                tried.add(temp + ": " + user.name() + " cannot enter it");
            } catch (IOException e) {
                tried.add(temp + ": " + Failure.firstLine(e));
            }
            if (folder != null) Disk.removeTree(folder);
        }
        throw new Failure(new Problem.NoFolderForServer(tried));
    }

    private static String password(Path folder, ServerUser user) throws IOException {
        var random = new byte[24];
        new SecureRandom().nextBytes(random);
        var password = HexFormat.of().formatHex(random);
        var file = folder.resolve("password");
        Disk.writePrivate(file, (password + "\n").getBytes(StandardCharsets.US_ASCII));
        user.own(file);
        return password;
    }

    private static int freePort() throws IOException {
        try (var socket = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            return socket.getLocalPort();
        }
    }

    private static Program shell(String script, List<String> arguments) {
        var argv = new ArrayList<>(List.of("/bin/sh", "-c", script, "sh"));
        argv.addAll(arguments);
        return ServerUser.bare(Program.of(argv)).in(Path.of("/"));
    }

    private static String lastOf(Path file) {
        try {
            var lines = Files.readString(file).lines().toList();
            return String.join("\n", lines.subList(Math.max(0, lines.size() - 12), lines.size())) + "\n";
        } catch (IOException notWritten) {
            return "";
        }
    }

    // ---- its end -----------------------------------------------------------------------------

    /** Stops it and removes all of it; whatever stays is said, and is the next start's to remove. */
    @Override
    public void close() {
        end(folder, life, lock, progress);
    }

    private static void end(Path folder, Process life, FileChannel lock, Consumer<String> progress) {
        try {
            if (life != null) {
                life.getOutputStream().close();
                if (!life.waitFor(2, TimeUnit.MINUTES)) {
                    progress.accept("a server of ours is still being stopped; its folder: " + folder);
                    return;
                }
            }
            Disk.removeTree(folder);
        } catch (IOException e) {
            progress.accept("could not remove " + folder + ": " + Failure.firstLine(e));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            OURS.remove(folder);
            try {
                if (lock != null) lock.close();
            } catch (IOException given) {
                // up in any case
            }
        }
    }

    /** Ends what a process of ours has left behind that was killed together with its shell. */
    private static void sweep(Path temp, Consumer<String> progress) {
        try (Stream<Path> all = Files.list(temp.toRealPath())) {
            for (var folder : all.filter(f -> f.getFileName().toString().startsWith(PREFIX)).toList()) {
                try {
                    sweepOne(folder, progress);
                } catch (IOException notOurs) {
                    // or being removed by its own shell
                }
            }
        } catch (IOException notReadable) {
            // said when a folder is to be made in it
        }
    }

    private static void sweepOne(Path folder, Consumer<String> progress) throws IOException {
        // In a folder for all anybody may have made one of this name, with commands in it.
        if (OURS.contains(folder) || !Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS) || ServerUser.ownUid() != (int) Files.getAttribute(folder, "unix:uid", LinkOption.NOFOLLOW_LINKS)) return;
        var file = folder.resolve("lock");
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) || Files.size(file) == 0) { // being made or being removed
            var hourAgo = FileTime.from(Instant.now().minus(Duration.ofHours(1)));
            if (Files.getLastModifiedTime(folder).compareTo(hourAgo) < 0) Disk.removeTree(folder);
            return;
        }
        try (var channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            if (channel.tryLock() == null) return;
            List<String> arguments = List.of(JSON.fromJson(Files.readString(file), String[].class));
            progress.accept("removing the server that a killed run has left in " + folder);
            shell(END, arguments).run();
            Disk.removeTree(folder);
        } catch (JsonParseException halfWritten) {
            Disk.removeTree(folder);
        }
    }
}
