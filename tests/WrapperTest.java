import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * jbangw as users start it, in a new clone with a new home and new caches. JBang's jars come from Maven Central (or
 * JBANGW_REPO) once; afterwards a server on loopback serves them, and counts the requests.
 */
@Timeout(120)
class WrapperTest {

    @TempDir static Path shared;
    @TempDir Path temp;

    static Path root;
    static HttpServer mirror;
    static final AtomicInteger requests = new AtomicInteger();

    Path clone;
    Path home;
    final Map<String, String> env = new HashMap<>();

    // ------------------------------------------------------------ what is passed through

    @Test
    void arguments_arrive_byte_for_byte_when_built_and_when_remembered() throws Exception {
        script("Echo.java", ECHO);
        var nasty = List.of("a b", "", "it's", "say \"hi\"", "$HOME", "${x}", "$(date)", "`date`", "line\nline\n",
                "\ttab", "@file", "@", "*", "?", "~", "\\", "\\n", "a\\\"b", "-", "--", "--help", "-Dx=y", "é ü 漢字 😀",
                "a;b|c&d<e>f", "!", "#", " ");
        var args = Stream.concat(Stream.of("Echo.java"), nasty.stream()).toArray(String[]::new);
        for (var way : List.of("built", "remembered"))
            assertEquals(nasty, jbangw(args).ok().lines().map(WrapperTest::decode).toList(), way);
        env.put("LC_ALL", "C");
        assertEquals(nasty, jbangw(args).ok().lines().map(WrapperTest::decode).toList(), "in the C locale");
        assertEquals(List.of(), jbangw("Echo.java").ok().lines().toList(), "no arguments at all");
    }

    @Test
    void non_ascii_arguments_arrive_without_a_locale() throws Exception {
        script("Echo.java", ECHO);
        assertFalse(env.containsKey("LANG") || env.containsKey("LC_ALL") || env.containsKey("LC_CTYPE"));
        assertEquals("é漢", decode(jbangw("Echo.java", "é漢").ok().strip()));
    }

    @Test
    void standard_input_reaches_the_script_whole() throws Exception {
        script(
                "Count.java",
                "class Count { public static void main(String[] a) throws Exception {"
                        + " System.out.println(System.in.readAllBytes().length); } }");
        var input = temp.resolve("input");
        Files.write(input, new byte[300_000]);
        for (int i = 0; i < 2; i++)
            assertEquals("300000", run(start(List.of("./jbangw", "Count.java"), clone, input)).ok().strip());
    }

    @Test
    void exit_code_is_the_scripts() throws Exception {
        script(
                "Exit.java",
                "class Exit { public static void main(String[] a) { System.exit(Integer.parseInt(a[0])); } }");
        for (int code : new int[] {0, 1, 5, 130, 255, 0}) assertEquals(code, jbangw("Exit.java", "" + code).code());
    }

    @Test
    void a_script_that_does_not_compile_fails_and_works_once_mended() throws Exception {
        script("Bad.java", "class Bad { int x = }");
        var bad = jbangw("Bad.java");
        assertEquals(1, bad.code());
        assertTrue(bad.err().contains("Bad.java:1"), bad.err());
        script("Bad.java", says("Bad", "mended"));
        assertEquals("mended", jbangw("Bad.java").ok().strip());
    }

    @Tag("exhaustive")
    @Test
    void sigterm_reaches_the_script_itself() throws Exception {
        script("Wait.java", WAIT);
        for (int i = 0; i < 2; i++) {
            var process = start(List.of("./jbangw", "Wait.java"), clone, null);
            var out = process.inputReader();
            assertEquals("ready " + process.pid(), out.readLine(), "the script's JVM is the process that was started");
            process.toHandle().destroy(); // Process.destroy would close its output
            assertEquals("hook", out.readLine());
            assertEquals(143, process.waitFor());
        }
    }

    @Tag("exhaustive")
    @Test
    void ctrl_c_and_the_terminal_reach_the_script() throws Exception {
        script("Wait.java", WAIT);
        Files.writeString(clone.resolve("terminal.py"), """
            import os, pty, sys
            pid, terminal = pty.fork()
            if pid == 0:
                os.execv("./jbangw", ["./jbangw", "Wait.java", "tty"])
            seen = b""
            while b"ready" not in seen:
                seen += os.read(terminal, 1000)
            os.write(terminal, b"\\x03")
            try:
                while chunk := os.read(terminal, 1000):
                    seen += chunk
            except OSError:
                pass
            print(seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """);
        for (int i = 0; i < 2; i++) {
            var out = run(start(List.of("python3", "terminal.py"), clone, null)).ok();
            assertTrue(out.contains("tty true"), out);
            assertTrue(out.contains("hook"), out);
            assertTrue(out.strip().endsWith(" 130"), out);
        }
        var without = start(List.of("./jbangw", "Wait.java", "tty"), clone, null);
        assertEquals("tty false", without.inputReader().readLine());
        without.destroy();
        without.waitFor();
    }

    @Tag("exhaustive")
    @Test
    void scripts_see_the_users_java_home_and_not_the_wrappers() throws Exception {
        script(
                "Home.java",
                "class Home { public static void main(String[] a) { System.out.println(System.getenv(\"JAVA_HOME\"));"
                        + " } }");
        env.put("PATH", jdk() + "/bin:" + env.get("PATH"));
        env.remove("JAVA_HOME");
        for (int i = 0; i < 2; i++) assertEquals("null", jbangw("Home.java").ok().strip());
    }

    // ------------------------------------------------------------ where it is called from

    @Test
    void works_from_another_folder_through_a_symlink_and_by_any_path() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var link = temp.resolve("a link");
        Files.createSymbolicLink(link, clone.resolve("jbangw"));
        var elsewhere = Files.createDirectory(temp.resolve("else where"));
        env.put(
                "XDG_CACHE_HOME",
                temp.resolve("fresh cache").toString()); // so that jbangw.lock has to be found through the symlink too
        assertEquals("hi", run(start(List.of(link.toString(), clone + "/Hi.java"), elsewhere, null)).ok().strip());
        assertEquals(
                "hi",
                run(start(List.of("../clone of it/jbangw", "../clone of it/Hi.java"), elsewhere, null)).ok().strip());
        assertEquals("hi", jbangw("./Hi.java").ok().strip());
        assertEquals("hi", run(start(List.of("bash", "jbangw", "Hi.java"), clone, null)).ok().strip());
    }

    @Tag("exhaustive")
    @Test
    void flags_and_subcommands_before_the_file_go_to_jbang() throws Exception {
        script("Echo.java", ECHO);
        assertEquals("x y", decode(jbangw("--fresh", "Echo.java", "x y").ok().strip()));
        assertTrue(jbangw("info", "classpath", "Echo.java").ok().contains("Echo.jar"));
        assertEquals(VERSION, jbangw("version").ok().strip());
        Files.writeString(clone.resolve("jbang-catalog.json"), """
            {"aliases": {"echo-it": {"script-ref": "Echo.java"}}}""");
        assertEquals("x", decode(jbangw("echo-it@./jbang-catalog.json", "x").ok().strip()));
        assertNotEquals(0, jbangw("no_such_script.java").code());
    }

    // ------------------------------------------------------------ what is remembered

    @Test
    void jbang_is_not_started_again_until_a_source_changes() throws Exception {
        script("Nested.java", "//SOURCES lib/One.java\n" + says("Nested", "\" + lib.One.text() + \""));
        script(
                "lib/One.java",
                "//SOURCES Two.java\n"
                    + "//FILES word.txt\n"
                    + "package lib; public class One { public static String text() { return Two.text() + word(); }\n"
                    + "static String word() { try (var in = One.class.getResourceAsStream(\"/word.txt\")) { return new"
                    + " String(in.readAllBytes()); } catch (Exception e) { return e.toString(); } } }");
        script("lib/Two.java", TWO.formatted("aaa"));
        script("lib/word.txt", "111");

        assertEquals("aaa111", jbangw("Nested.java").ok().strip());
        assertEquals("aaa111", quietly("Nested.java"));

        script("lib/Two.java", TWO.formatted("bbb"));
        assertEquals("bbb111", noticing("Nested.java"), "the nested source was edited");
        assertEquals("bbb111", quietly("Nested.java"));

        var before = Files.getLastModifiedTime(clone.resolve("lib/Two.java"));
        script("lib/Two.java", TWO.formatted("ccc"));
        Files.setLastModifiedTime(clone.resolve("lib/Two.java"), before);
        assertEquals("ccc111", noticing("Nested.java"), "same size and the old time, as a checkout or cp -p leaves it");

        script("lib/word.txt", "222");
        assertEquals("ccc222", noticing("Nested.java"), "a file of //FILES in a nested source");
        assertEquals("ccc222", quietly("Nested.java"));

        Files.setLastModifiedTime(clone.resolve("Nested.java"), FileTime.from(Instant.now().minusSeconds(3600)));
        assertEquals("ccc222", noticing("Nested.java"), "touched only");
    }

    @Tag("exhaustive")
    @Test
    void a_file_added_where_a_glob_looks_is_noticed() throws Exception {
        script(
                "Glob.java",
                "//SOURCES parts/*.java\n"
                        + "class Glob { public static void main(String[] a) { try { Class.forName(\"Late\");"
                        + " System.out.println(\"late\"); } catch (ClassNotFoundException e) {"
                        + " System.out.println(\"none\"); } } }");
        script("parts/Early.java", "class Early {}");
        assertEquals("none", jbangw("Glob.java").ok().strip());
        assertEquals("none", quietly("Glob.java"));
        script("parts/Late.java", "class Late {}");
        assertEquals("late", noticing("Glob.java"));
    }

    @Tag("exhaustive")
    @Test
    void a_missing_jar_a_jbang_variable_and_a_settings_file_are_noticed() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        assertEquals("hi", jbangw("Hi.java").ok().strip());
        assertEquals("hi", quietly("Hi.java"));
        Files.delete(builtJar("Hi"));
        assertEquals("hi", noticing("Hi.java"), "its jar is gone");
        Files.writeString(clone.resolve("jbang.properties"), "run.debug=");
        noticing("Hi.java");
        env.put("JBANG_DEFAULT_JAVA_VERSION", "21");
        noticing("Hi.java");
        assertEquals("hi", quietly("Hi.java"));
    }

    @Tag("exhaustive")
    @Test
    void runtime_options_with_spaces_and_dollars_survive_being_remembered() throws Exception {
        script(
                "Options.java",
                "//RUNTIME_OPTIONS \"-Dx=a b$c'd\"\n"
                        + "class Options { public static void main(String[] a) {"
                        + " System.out.println(System.getProperty(\"x\")); } }");
        assertEquals("a b$c'd", jbangw("Options.java").ok().strip());
        assertEquals("a b$c'd", quietly("Options.java"));
    }

    // ------------------------------------------------------------ getting JBang

    @Tag("exhaustive")
    @Test
    void a_wrong_sha256_leaves_nothing_behind_and_says_what_to_do() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var cache = freshCache();
        var good = env.put("JBANGW_REPO", url("/altered"));
        var failed = jbangw("Hi.java");
        assertEquals(1, failed.code());
        assertEquals("", failed.out());
        assertTrue(failed.err().contains("wrong sha256 from " + url("/altered") + ": gson-2.13.1.jar\n"), failed.err());
        assertTrue(failed.err().contains("run this again"), failed.err());
        assertEquals(List.of("lock"), names(cache.resolve("jbangw")));
        env.put("JBANGW_REPO", good);
        assertEquals("hi", jbangw("Hi.java").ok().strip());
        assertEquals(56, names(cache.resolve("jbangw/jbang-" + VERSION)).size());
    }

    @Tag("exhaustive")
    @Test
    void a_download_that_fails_leaves_nothing_behind_and_names_the_file() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var cache = freshCache();
        for (var how : List.of("/missing", "/short")) {
            env.put("JBANGW_REPO", url(how));
            var failed = jbangw("Hi.java");
            assertEquals(1, failed.code(), how);
            assertTrue(failed.err().contains("picocli-4.7.7.jar"), failed.err());
            assertTrue(failed.err().contains("JBANGW_REPO"), failed.err());
            assertEquals(List.of("lock"), names(cache.resolve("jbangw")), how);
        }
    }

    @Tag("exhaustive")
    @Test
    void what_a_killed_download_left_is_replaced_and_so_is_a_lost_jar() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var cache = freshCache().resolve("jbangw");
        Files.createDirectories(cache.resolve("jbang-" + VERSION + ".partial"));
        Files.writeString(cache.resolve("jbang-" + VERSION + ".partial/gson-2.13.1.jar"), "half");
        assertEquals("hi", jbangw("Hi.java").ok().strip());
        assertFalse(Files.exists(cache.resolve("jbang-" + VERSION + ".partial")));

        Files.delete(cache.resolve("jbang-" + VERSION + "/gson-2.13.1.jar"));
        int before = requests.get();
        assertEquals("hi", jbangw("Hi.java").ok().strip(), "not needed for a remembered line");
        assertEquals(before, requests.get());
        script("Hi.java", says("Hi", "ho"));
        assertEquals("ho", jbangw("Hi.java").ok().strip());
        assertEquals(before + 56, requests.get());
    }

    @Tag("exhaustive")
    @Test
    void sigterm_while_downloading_leaves_nothing_that_the_next_start_trips_over() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var cache = freshCache().resolve("jbangw");
        var good = env.put("JBANGW_REPO", url("/slow"));
        var process = start(List.of("./jbangw", "Hi.java"), clone, null);
        assertTrue(process.errorReader().readLine().contains("getting JBang"));
        Thread.sleep(500);
        process.destroy();
        assertTrue(process.waitFor(20, TimeUnit.SECONDS));
        assertNotEquals(0, process.exitValue());
        assertFalse(Files.exists(cache.resolve("jbang-" + VERSION)));
        env.put("JBANGW_REPO", good);
        assertEquals("hi", jbangw("Hi.java").ok().strip());
    }

    @Tag("exhaustive")
    @Test
    void wget_does_where_curl_is_missing() throws Exception {
        if (!Files.isExecutable(Path.of("/usr/bin/wget"))) return;
        script("Hi.java", says("Hi", "hi"));
        freshCache();
        env.put("PATH", toolsWithout("curl", "sha256sum"));
        assertEquals("hi", jbangw("Hi.java").ok().strip());
    }

    // ------------------------------------------------------------ several at once

    @Tag("exhaustive")
    @Test
    void four_at_once_on_a_cold_cache_all_work() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        freshCache();
        int before = requests.get();
        fourAtOnce();
        assertEquals(before + 56, requests.get(), "fetched once");
    }

    @Tag("exhaustive")
    @Test
    void four_at_once_work_without_flock_and_past_a_dead_ones_lock() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        var cache = Files.createDirectories(freshCache().resolve("jbangw"));
        var dead = new ProcessBuilder("true").start();
        dead.waitFor();
        Files.createSymbolicLink(cache.resolve("lock.link"), Path.of("" + dead.pid()));
        env.put("PATH", toolsWithout("flock"));
        int before = requests.get();
        fourAtOnce();
        assertEquals(before + 56, requests.get(), "fetched once");
        assertFalse(Files.isSymbolicLink(cache.resolve("lock.link")));
    }

    @Tag("exhaustive")
    @Test
    void a_jar_that_an_interrupted_build_spoiled_is_built_again() throws Exception {
        script("Hi.java", says("Hi", "hi"));
        assertEquals("hi", jbangw("Hi.java").ok().strip());
        dropClasses(builtJar("Hi"));
        assertNotEquals(0, jbangw("Hi.java").code(), "JBang takes a spoiled jar as it is");
        dropClasses(builtJar("Hi"));
        Files.writeString(Path.of(env.get("XDG_CACHE_HOME"), "jbangw/building"), "Hi.java\n");
        assertEquals("hi", jbangw("Hi.java").ok().strip());
        assertFalse(Files.exists(Path.of(env.get("XDG_CACHE_HOME"), "jbangw/building")));
    }

    // ------------------------------------------------------------ which JDK

    @Tag("exhaustive")
    @Test
    void an_older_java_on_path_and_in_java_home_is_passed_over_without_being_started() throws Exception {
        var old = temp.resolve("old jdk");
        Files.createDirectories(old.resolve("bin"));
        Files.writeString(old.resolve("release"), "IMPLEMENTOR=\"Nobody\"\nJAVA_VERSION=\"17.0.1\"\n");
        for (var tool : List.of("java", "javac"))
            executable(old.resolve("bin/" + tool), "#!/bin/sh\ntouch '" + temp + "/started'\nexit 1\n");
        var sdkman = Files.createDirectories(home.resolve(".sdkman/candidates/java"));
        Files.createSymbolicLink(sdkman.resolve("fitting"), Path.of(jdk()));
        env.put("PATH", old + "/bin:" + env.get("PATH"));

        script(
                "Version.java",
                "//JAVA 21+\n"
                        + "class Version { public static void main(String[] a) {"
                        + " System.out.println(Runtime.version().feature() >= 21); } }");
        env.put("JAVA_HOME", old.toString());
        assertEquals("true", jbangw("Version.java").ok().strip());
        env.remove("JAVA_HOME");
        assertEquals("true", jbangw("Version.java").ok().strip());
        assertFalse(Files.exists(temp.resolve("started")));

        Files.writeString(old.resolve("release"), "JAVA_VERSION=\"21.0.1\"\n");
        script("Version.java", Files.readString(clone.resolve("Version.java")) + "// edited\n");
        assertNotEquals(0, jbangw("Version.java").code(), "a JDK that says it fits is believed");
        assertTrue(Files.exists(temp.resolve("started")));
    }

    // ------------------------------------------------------------ the set-up

    static final String VERSION = "0.132.1";

    static final String ECHO = """
        import java.nio.charset.StandardCharsets;
        import java.util.Base64;
        class Echo {
            public static void main(String[] args) {
                for (var arg : args) System.out.println("=" + \
        Base64.getEncoder().encodeToString(arg.getBytes(StandardCharsets.UTF_8)));
            }
        }
        """;

    static final String WAIT = """
        class Wait {
            public static void main(String[] args) throws Exception {
                if (args.length > 0) System.out.println("tty " + (new ProcessBuilder("test", "-t", \
        "0").inheritIO().start().waitFor() == 0));
                Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
                System.out.println("ready " + ProcessHandle.current().pid());
                Thread.sleep(60_000);
            }
        }
        """;

    static final String TWO = "package lib; class Two { static String text() { return \"%s\"; } }";

    static String says(String name, String text) {
        return "class %s { public static void main(String[] a) { System.out.println(\"%s\"); } }\n"
                .formatted(name, text);
    }

    @BeforeAll
    static void fetch_jbang_once_and_serve_it() throws Exception {
        root = Path.of("").toAbsolutePath();
        while (!Files.exists(root.resolve("jbangw.lock"))) root = root.getParent();

        mirror = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        mirror.setExecutor(Executors.newCachedThreadPool());
        mirror.createContext("/", exchange -> {
            requests.incrementAndGet();
            var path = Path.of(exchange.getRequestURI().getPath());
            var how = path.getName(0).toString();
            var name = path.getFileName().toString();
            var jar = Files.readAllBytes(shared.resolve("jbangw/jbang-" + VERSION).resolve(name));
            int status = 200;
            if (how.equals("altered") && name.startsWith("gson-")) jar[1000] ^= 1;
            if (how.equals("missing") && name.startsWith("picocli-")) status = 404;
            if (how.equals("short") && name.startsWith("picocli-")) jar = java.util.Arrays.copyOf(jar, 1000);
            if (how.equals("slow")) pause(200);
            exchange.sendResponseHeaders(status, jar.length);
            try (exchange; var body = exchange.getResponseBody()) {
                body.write(jar);
            } catch (IOException gone) {
                // the client was killed, as a test wanted
            }
        });
        mirror.start();

        countingJdk(shared.resolve("jdk"));
        var first = new ProcessBuilder(root.resolve("jbangw").toString(), "--version").redirectErrorStream(true);
        first.environment().put("XDG_CACHE_HOME", shared.toString());
        first.environment().put("HOME", shared.resolve("home").toString());
        first.environment().put("JAVA_HOME", jdk());
        first.environment().keySet().removeIf(name -> name.startsWith("JBANG_"));
        var process = first.start();
        var said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), said);
    }

    @AfterAll
    static void stop_serving() {
        mirror.stop(0);
    }

    @BeforeEach
    void clone_with_a_home_of_its_own() throws IOException {
        clone = Files.createDirectory(temp.resolve("clone of it"));
        home = Files.createDirectory(temp.resolve("home"));
        for (var file : List.of("jbangw", "jbangw.lock"))
            Files.copy(root.resolve(file), clone.resolve(file), java.nio.file.StandardCopyOption.COPY_ATTRIBUTES);
        var cache = Files.createDirectories(temp.resolve("cache/jbangw"));
        Files.createSymbolicLink(cache.resolve("jbang-" + VERSION), shared.resolve("jbangw/jbang-" + VERSION));
        env.putAll(Map.of("PATH", System.getenv("PATH"), "HOME", home.toString(), "JAVA_HOME",
                shared.resolve("jdk").toString(), "JBANGW_REPO", url("/good"), "XDG_CACHE_HOME",
                temp.resolve("cache").toString(), "JBANG_DIR", temp.resolve("jbang").toString(), "JBANG_CACHE_DIR",
                temp.resolve("jbang/cache").toString(), "STARTS", temp.resolve("starts").toString()));
    }

    record Ran(int code, String out, String err) {
        String ok() {
            assertEquals(0, code, err);
            return out;
        }
    }

    Ran jbangw(String... args) throws Exception {
        return run(start(Stream.concat(Stream.of("./jbangw"), Stream.of(args)).toList(), clone, null));
    }

    Process start(List<String> command, Path folder, Path input) throws IOException {
        var builder = new ProcessBuilder(command).directory(folder.toFile())
            .redirectInput(input == null ? Path.of("/dev/null").toFile() : input.toFile());
        builder.environment().clear();
        builder.environment().putAll(env);
        return builder.start();
    }

    static Ran run(Process process) throws Exception {
        var err = new StringBuffer();
        var reader = Thread.startVirtualThread(() ->
                process.errorReader().lines().forEach(line -> err.append(line).append('\n')));
        var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        reader.join();
        return new Ran(process.waitFor(), out, err.toString());
    }

    /** How many JVMs of JBang have started, from the counting JDK's file. */
    long jbangStarts() throws IOException {
        return Files.readAllLines(temp.resolve("starts")).size();
    }

    /** The real JDK behind a {@code java} that records each start of JBang. */
    static void countingJdk(Path folder) throws IOException {
        Files.createDirectories(folder.resolve("bin"));
        Files.copy(Path.of(jdk(), "release"), folder.resolve("release"));
        for (var name : List.of("lib", "conf", "bin/javac"))
            Files.createSymbolicLink(folder.resolve(name), Path.of(jdk(), name));
        executable(folder.resolve("bin/java"), """
            #!/bin/sh
            case " $* " in *" dev.jbang.Main "*) echo "$*" >> "$STARTS" ;; esac
            exec '%s/bin/java' "$@"
            """.formatted(jdk()));
    }

    String quietly(String script) throws Exception {
        long before = jbangStarts();
        var out = jbangw(script).ok().strip();
        assertEquals(before, jbangStarts(), "JBang's own JVM was started");
        return out;
    }

    String noticing(String script) throws Exception {
        long before = jbangStarts();
        var out = jbangw(script).ok().strip();
        assertTrue(jbangStarts() > before, "JBang's own JVM was not started");
        return out;
    }

    void fourAtOnce() throws Exception {
        try (var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            var runs = IntStream.range(0, 4).mapToObj(i -> executor.submit(() -> jbangw("Hi.java"))).toList();
            for (var one : runs) assertEquals("hi", one.get().ok().strip());
        }
        assertEquals(
                2, jbangStarts(), "one built it (JBang is asked for the line, then for the sources), three waited");
    }

    /** A cache without JBang. */
    Path freshCache() {
        var cache = temp.resolve("fresh cache");
        env.put("XDG_CACHE_HOME", cache.toString());
        return cache;
    }

    void script(String name, String text) throws IOException {
        var file = clone.resolve(name);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    Path builtJar(String name) throws IOException {
        try (var files = Files.walk(temp.resolve("jbang/cache/jars"))) {
            return files.filter(file -> file.endsWith(name + ".jar")).findFirst().orElseThrow();
        }
    }

    static void dropClasses(Path jar) throws IOException {
        java.util.jar.Manifest manifest;
        try (var file = new java.util.jar.JarFile(jar.toFile())) {
            manifest = file.getManifest();
        }
        new java.util.jar.JarOutputStream(Files.newOutputStream(jar), manifest).close();
    }

    String toolsWithout(String... missing) throws IOException {
        var bin = Files.createDirectory(temp.resolve("bin"));
        var tools = new LinkedHashMap<String, Path>();
        for (var folder : List.of("/usr/bin", "/bin")) {
            try (var files = Files.list(Path.of(folder))) {
                for (var file : files.toList()) tools.putIfAbsent(file.getFileName().toString(), file);
            }
        }
        for (var name : missing) tools.remove(name);
        for (var tool : tools.entrySet()) Files.createSymbolicLink(bin.resolve(tool.getKey()), tool.getValue());
        return bin.toString();
    }

    static void executable(Path file, String text) throws IOException {
        Files.writeString(file, text);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    static List<String> names(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return new ArrayList<>(files.map(file -> file.getFileName().toString()).sorted().toList());
        }
    }

    static String decode(String line) {
        assertTrue(line.startsWith("="), line);
        return new String(Base64.getDecoder().decode(line.substring(1)), StandardCharsets.UTF_8);
    }

    static String url(String how) {
        return "http://127.0.0.1:" + mirror.getAddress().getPort() + how;
    }

    static String jdk() {
        return System.getProperty("java.home");
    }

    static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            throw new UncheckedIOException(new IOException(e));
        }
    }
}
