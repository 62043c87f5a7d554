package lib.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
import lib.project.Credentials;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import support.Python;
import support.ServerHolder;
import support.Tool;

@Timeout(value = 180, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ThrowawayServerTest {
    private static final boolean ROOT = "root".equals(System.getProperty("user.name"));
    private static final ServerPrograms.Places HERE = ServerPrograms.Places.ofThisMachine();
    private static Path installed;
    private static int major;

    /** Open to all, so that root's substitute can enter it, and with no other test's servers. */
    private Path temp;
    private final List<String> said = Collections.synchronizedList(new ArrayList<>());

    /** A machine that has only the clients gets 15 fetched, and for these tests that is as good as installed. */
    @BeforeAll static void find_an_installed_server() throws Exception {
        for (var bin : HERE.folders()) {
            if (!Stream.of("initdb", "pg_ctl", "postgres").allMatch(name -> Files.isExecutable(bin.resolve(name)))) continue;
            var version = Python.run(bin, bin.resolve("postgres").toString(), "--version").text();
            installed = bin;
            major = Integer.parseInt(version.replaceFirst("(?s).*\\(PostgreSQL\\) (\\d+).*", "$1"));
            return;
        }
        try (var server = ThrowawayServer.start(15, Path.of("/var/tmp"), System.err::println)) {
            installed = Path.of(server.toString().replaceFirst(".* of ", ""));
            major = 15;
        } catch (Failure unreachable) {
            System.err.println(unreachable.problem().what());
        }
    }

    @BeforeEach void make_the_folder() throws IOException {
        temp = Files.createTempDirectory(Path.of("/var/tmp"), "server-test").toRealPath();
        Files.setPosixFilePermissions(temp, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    @AfterEach void nothing_is_left() throws Exception {
        try {
            assertEquals(List.of(), servers());
            assertEquals(List.of(), folders());
        } finally {
            Python.delete(temp);
        }
    }

    // ---- what it is ----------------------------------------------------------------------------

    @Test void it_is_there_and_afterwards_nothing_is() throws Exception {
        needsInstalled();
        try (var server = start(major)) {
            assertEquals(String.valueOf(major), ask(server.credentials(), "SHOW server_version_num").replaceFirst("\\d{4}$", ""));
            ask(server.credentials(), "CREATE DATABASE trial");
            assertEquals("UTF8", ask(server.credentials().withDatabase("trial"), "SHOW server_encoding"));
            assertEquals("Ä", ask(server.credentials().withDatabase("trial"), "SELECT upper('ä')"));
            assertEquals(1, servers().size());
            assertEquals(List.of(server.folder()), folders());
            assertTrue(server.toString().startsWith("PostgreSQL " + major + " of "), server.toString());
        }
        assertEquals(List.of(), servers());
        assertEquals(List.of(), said);
    }

    @Test void only_who_has_its_password_gets_in_and_no_process_shows_that() throws Exception {
        needsInstalled();
        try (var server = start(major)) {
            var c = server.credentials();
            var other = new Credentials(c.host(), c.port(), c.database(), c.user(), "wrong", c.sslmode(), c.sources());
            assertEquals("28P01", assertThrows(SQLException.class, () -> ask(other, "SELECT 1")).getSQLState());
            assertFalse(c.toString().contains(c.password()));
            for (var process : processes()) assertFalse(commandLine(process).contains(c.password()));
            assertEquals(List.of("data", "lock", "said"), names(server.folder()));
        }
    }

    @Test void it_inherits_no_secret() throws Exception {
        needsInstalled();
        var process = holder().env("MAIL_PASSWORD", "s3cret marker").start(String.valueOf(major), temp.toString());
        process.inputReader().readLine();
        assertTrue(environment(process.toHandle()).contains("s3cret marker"));
        assertFalse(environment(servers().getFirst()).contains("s3cret marker"));
        process.destroyForcibly().waitFor();
        untilGone();
    }

    /** Some 13 locks a table: more than PostgreSQL's own settings allow. */
    @Test void a_thousand_tables_fit_into_one_transaction() throws Exception {
        needsInstalled();
        try (var server = start(major)) {
            ask(server.credentials(), """
                CREATE SCHEMA shop;
                DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE TABLE shop.t%s (id serial PRIMARY KEY, of int UNIQUE, words text)', i); END LOOP; END $$;
                DROP SCHEMA shop CASCADE""");
        }
    }

    @Test void encoding_and_locale_are_the_wanted_ones_or_the_nearest() throws Exception {
        needsInstalled();
        var sql = "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'postgres'";
        try (var server = start(new ThrowawayServer.Wanted(major, "LATIN1", null, 0))) {
            assertEquals("LATIN1 C", ask(server.credentials(), sql));
        }
        try (var server = start(new ThrowawayServer.Wanted(major, "UTF8", "German_Germany.1252", 0))) {
            assertTrue(ask(server.credentials(), sql).matches("UTF8 C(\\.UTF-8)?"));
        }
    }

    @Test void two_at_once_do_not_disturb_each_other() throws Exception {
        needsInstalled();
        try (var one = start(major); var other = start(major)) {
            assertEquals(2, servers().size());
            one.close();
            assertEquals("1", ask(other.credentials(), "SELECT 1"));
            assertFalse(Files.exists(one.folder()));
        }
    }

    @Test void a_port_that_was_taken_meanwhile_is_not_the_end() throws Exception {
        needsInstalled();
        var attempts = Files.writeString(temp.resolve("attempts"), "");
        Files.setPosixFilePermissions(attempts, PosixFilePermissions.fromString("rw-rw-rw-"));
        var bin = programs("initdb", "exec %s/initdb \"$@\"", "pg_ctl", """
            [ "$1" != start ] || echo x >>ATTEMPTS
            if [ "$1" = start ] && [ $(wc -l <ATTEMPTS) -lt 3 ]; then echo 'could not bind IPv4 address "127.0.0.1": Address already in use'; exit 1; fi
            exec %s/pg_ctl "$@"
            """.replace("ATTEMPTS", attempts.toString()));
        try (var server = start(new ThrowawayServer.Wanted(major), bin)) {
            assertEquals("1", ask(server.credentials(), "SELECT 1"));
        }
        assertEquals(3, Files.readAllLines(attempts).size());
    }

    // ---- how it ends ---------------------------------------------------------------------------

    @Test void kill_9_of_ours_ends_it() throws Exception {
        needsInstalled();
        var holder = hold();
        assertEquals(1, servers().size());
        holder.process.destroyForcibly().waitFor();
        untilGone();
    }

    /** Wherever the start is: initdb, pg_ctl, or before the shell; then there is only a folder, which a later start removes. */
    @Test void kill_9_while_it_starts_ends_it() throws Exception {
        needsInstalled();
        for (int i = 0; i < 4; i++) {
            var process = holder().start(String.valueOf(major), temp.toString());
            while (folders().isEmpty() && process.isAlive()) Thread.sleep(5);
            Thread.sleep(i * 250L);
            var keeper = process.children().filter(child -> commandLine(child).startsWith("/bin/sh -c trap")).findFirst();
            process.destroyForcibly().waitFor();
            if (keeper.isPresent()) untilGone();
            for (var left : folders()) Files.setLastModifiedTime(left, FileTime.from(Instant.now().minus(Duration.ofHours(2))));
        }
        start(major).close();
    }

    @Test void kill_9_of_ours_and_of_its_keeper_leaves_it_to_the_next_start() throws Exception {
        needsInstalled();
        var holder = hold();
        var keeper = holder.process.children().findFirst().orElseThrow();
        keeper.destroyForcibly();
        holder.process.destroyForcibly().waitFor();
        Thread.sleep(500);
        assertEquals(1, servers().size(), "nothing for the next start to do");
        var old = folders();
        try (var server = start(major)) {
            assertEquals(1, servers().size());
            assertEquals(List.of(server.folder()), folders());
        }
        assertEquals(List.of("removing the server that a killed run has left in " + old.getFirst()), said);
    }

    @Test void control_c_ends_it() throws Exception {
        needsInstalled();
        var process = holder().by("setsid").start(String.valueOf(major), temp.toString());
        process.inputReader().readLine();
        assertEquals(1, servers().size());
        Python.run(temp, "kill", "-INT", "--", "-" + process.pid()); // the whole group, as a terminal does
        var output = holder().end(process);
        assertEquals(130, output.code(), output.all());
    }

    @Test void somebody_elses_live_server_stays() throws Exception {
        needsInstalled();
        var holder = hold();
        try (var server = start(major)) {
            assertEquals(2, servers().size());
            assertTrue(Files.exists(holder.folder));
        }
        assertEquals(1, servers().size());
        assertEquals(List.of(), said);
        holder.process.destroy();
        holder.process.waitFor();
    }

    /** After a reboot the number in postmaster.pid is another's. */
    @Test void a_dead_servers_number_kills_nobody() throws Exception {
        needsInstalled();
        var innocent = new ProcessBuilder(Stream.concat(asServersUser(), Stream.of("sleep", "60")).toList()).start();
        try {
            var left = leftOver("[\"FOLDER\",\"" + installed + "\"" + String.join("", asServersUser().map(word -> ",\"" + word + "\"").toList()) + "]");
            Files.setPosixFilePermissions(left, PosixFilePermissions.fromString("rwx--x--x"));
            Files.writeString(Files.createDirectory(left.resolve("data")).resolve("postmaster.pid"), innocent.pid() + "\n" + left + "/data\n");
            Files.writeString(left.resolve("data/PG_VERSION"), major + "\n");
            start(major).close();
            assertFalse(Files.exists(left));
            assertTrue(innocent.isAlive());
            // What would have killed it, had it been told to: pg_ctl itself does not ask whose number that is.
            var again = Files.createDirectory(temp.resolve("control"));
            Files.writeString(again.resolve("PG_VERSION"), major + "\n");
            Files.writeString(again.resolve("postmaster.pid"), innocent.pid() + "\n" + again + "\n");
            new ProcessBuilder(Stream.concat(asServersUser(), Stream.of(installed + "/pg_ctl", "stop", "-D", again.toString(), "-m", "immediate", "-t", "2")).toList())
                .start().waitFor();
            assertTrue(innocent.waitFor(5, TimeUnit.SECONDS));
        } finally {
            innocent.destroyForcibly();
        }
    }

    /** In a folder for all anybody can make one of that name. */
    @Test void nothing_is_run_for_a_folder_that_is_not_ours() throws Exception {
        needsInstalled();
        assumeTrue(ROOT, "only root can make a folder of somebody else's");
        var bin = Files.createDirectory(temp.resolve("evil"));
        script(bin.resolve("pg_ctl"), "touch " + temp + "/ran");
        for (var owner : List.of("nobody", "root")) { // root's own: that the test would notice
            var left = leftOver("[\"FOLDER\",\"" + bin + "\"]");
            var sleeper = new ProcessBuilder("sh", "-c", "sleep 30; : " + left.getFileName()).start();
            Files.writeString(Files.createDirectory(left.resolve("data")).resolve("postmaster.pid"), sleeper.pid() + "\n");
            Files.setOwner(left, temp.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName(owner));
            start(major).close();
            sleeper.descendants().forEach(ProcessHandle::destroyForcibly);
            sleeper.destroyForcibly();
            assertEquals(owner.equals("root"), Files.exists(temp.resolve("ran")));
            assertEquals(owner.equals("root"), !Files.exists(left));
            Python.delete(left);
        }
    }

    // ---- as whom -------------------------------------------------------------------------------

    @Test void root_starts_it_as_somebody_else_where_that_one_can_enter() throws Exception {
        needsInstalled();
        assumeTrue(ROOT, "not root");
        try (var server = start(major)) {
            var user = servers().getFirst().info().user().orElseThrow();
            assertTrue(List.of("postgres", "nobody").contains(user), user);
            assertEquals(temp, server.folder().getParent());
        }
        var closed = Files.createDirectory(temp.resolve("closed"), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        try (var server = ThrowawayServer.start(major, closed, said::add)) {
            assertEquals(Path.of("/var/tmp").toRealPath(), server.folder().getParent());
            assertEquals("1", ask(server.credentials(), "SELECT 1"));
        }
        assertEquals(List.of(), names(closed));
    }

    @Test void an_ordinary_user_is_its_own() throws Exception {
        needsInstalled();
        assumeTrue(ROOT, "the other tests are an ordinary user's");
        assumeTrue(Files.isExecutable(Path.of("/usr/sbin/runuser")) || Files.isExecutable(Path.of("/sbin/runuser")), "no runuser");
        var classes = classesForAll();
        var java = Path.of(System.getProperty("java.home"), "bin/java").toString();
        assumeTrue(Python.run(Path.of("/"), "runuser", "-u", "nobody", "--", java, "-version").code() == 0, "nobody cannot enter " + java);
        var own = Files.createDirectory(temp.resolve("own"));
        Files.setOwner(own, temp.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody"));
        var process = new ProcessBuilder("runuser", "-u", "nobody", "--", java, "-cp", classes, ServerHolder.class.getName(), String.valueOf(major), own.toString())
            .directory(Path.of("/").toFile()).start();
        var folder = process.inputReader().readLine();
        assertTrue(folder != null && folder.startsWith(own.toString()), () -> folder + new String(read(process.getErrorStream()), StandardCharsets.UTF_8));
        assertEquals("nobody", servers().getFirst().info().user().orElseThrow());
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(Path.of(folder))));
        process.descendants().filter(p -> p.info().command().orElse("").endsWith("java")).forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly().waitFor();
        untilGone();
    }

    // ---- its programs --------------------------------------------------------------------------

    @Test void majors_that_are_not_installed_are_fetched_once() throws Exception {
        var cache = temp.resolve("cache");
        var places = new ServerPrograms.Places(List.of(), HERE.jbangs(), List.of(cache));
        try (var pool = Executors.newFixedThreadPool(2)) { // two at once
            Callable<String> versionOf17 = () -> versionOf(17, places);
            for (var version : pool.invokeAll(List.of(versionOf17, versionOf17))) assertTrue(unlessUnreachable(version::get).matches("17\\.\\d+"));
        }
        assertEquals(1, said.size(), said.toString());
        assertTrue(said.getFirst().startsWith("getting PostgreSQL 17."), said.toString());
        assertTrue(versionOf(13, places).matches("14\\.\\d+"), "the next newer one");
        assertEquals(2, said.size());
        try (Stream<Path> all = Files.list(cache)) {
            assertFalse(all.anyMatch(path -> path.toString().endsWith(".partial")));
        }
    }

    @Test void what_it_fetches_has_the_usual_extensions() throws Exception {
        try (var server = unlessUnreachable(() -> start(new ThrowawayServer.Wanted(17), List.of()))) {
            for (var extension : List.of("pgcrypto", "uuid-ossp", "citext", "pg_trgm", "unaccent", "btree_gin", "btree_gist", "hstore", "pg_stat_statements", "postgres_fdw"))
                ask(server.credentials(), "CREATE EXTENSION \"" + extension + "\"");
            assertEquals("0A000", assertThrows(SQLException.class, () -> ask(server.credentials(), "CREATE EXTENSION postgis")).getSQLState());
        }
        said.clear();
    }

    @Test void an_installed_newer_major_comes_before_fetching() throws Exception {
        needsInstalled();
        try (var server = start(new ThrowawayServer.Wanted(major - 1), installed)) {
            assertEquals(String.valueOf(major), ask(server.credentials(), "SHOW server_version").replaceFirst("\\D.*", ""));
        }
        assertEquals(List.of(), said);
    }

    @Test void without_programs_and_without_jbang_it_says_what_to_install() {
        var problem = problem(() -> ThrowawayServer.start(new ThrowawayServer.Wanted(16), temp, new ServerPrograms.Places(List.of(temp), List.of(), List.of(temp)), said::add));
        assertEquals(Problem.Exit.USAGE, problem.exit());
        assertEquals("no PostgreSQL 16 or newer can be started here: none is installed (initdb, pg_ctl and postgres in one folder), and there is no JBang to fetch them with", problem.what());
        assertTrue(problem.next().getFirst().contains("postgresql-16 (Debian, Ubuntu)"));
        var tooNew = problem(() -> ThrowawayServer.start(new ThrowawayServer.Wanted(97), temp, new ServerPrograms.Places(List.of(), List.of(), List.of(temp)), said::add));
        assertTrue(tooNew.what().endsWith("none newer than 18 can be fetched"), tooNew.what());
    }

    @Test void a_jbang_that_reaches_nothing_is_quoted_and_leaves_nothing() throws Exception {
        var jbang = script(temp.resolve("jbang"), "echo '[jbang] [ERROR] Could not resolve dependencies' >&2; exit 1");
        var cache = temp.resolve("cache");
        var problem = problem(() -> ThrowawayServer.start(new ThrowawayServer.Wanted(16), temp,
            new ServerPrograms.Places(List.of(), List.of(List.of(jbang.toString())), List.of(cache)), said::add));
        assertEquals(Problem.Exit.USAGE, problem.exit());
        assertTrue(problem.what().contains("Could not resolve dependencies"), problem.what());
        assertEquals(1, names(cache).size(), "more than the lock: " + names(cache));
    }

    // ---- what can go wrong ---------------------------------------------------------------------

    @Test void too_little_space_is_a_problem_of_its_own() throws Exception {
        needsInstalled();
        var before = problem(() -> start(new ThrowawayServer.Wanted(major, "UTF8", null, Long.MAX_VALUE / 2)));
        assertTrue(before instanceof Problem.NoRoomForServer, before.what());
        assertTrue(before.what().startsWith("too little space in " + temp + ": "), before.what());
        var bin = programs("initdb", "echo 'initdb: error: could not write file: No space left on device'; exit 1", "pg_ctl", "exit 1");
        var meanwhile = problem(() -> start(new ThrowawayServer.Wanted(major), bin));
        assertTrue(meanwhile instanceof Problem.NoRoomForServer, meanwhile.what());
    }

    @Test void a_server_that_does_not_start_says_why() throws Exception {
        needsInstalled();
        var bin = programs("initdb", "echo 'initdb: error: the moon is wrong'; exit 1", "pg_ctl", "exit 1");
        var problem = problem(() -> start(new ThrowawayServer.Wanted(major), bin));
        assertEquals("the PostgreSQL of " + bin + " does not start:\n  initdb: error: the moon is wrong", problem.what());
    }

    // ---- helpers -------------------------------------------------------------------------------

    private static void needsInstalled() {
        assumeTrue(installed != null, "no PostgreSQL server is installed");
    }

    private ThrowawayServer start(int major) {
        return ThrowawayServer.start(major, temp, said::add);
    }

    private ThrowawayServer start(ThrowawayServer.Wanted wanted) {
        return ThrowawayServer.start(wanted, temp, said::add);
    }

    private ThrowawayServer start(ThrowawayServer.Wanted wanted, Path bin) {
        return start(wanted, List.of(bin));
    }

    private ThrowawayServer start(ThrowawayServer.Wanted wanted, List<Path> bins) {
        return ThrowawayServer.start(wanted, temp, new ServerPrograms.Places(bins, HERE.jbangs(), HERE.caches()), said::add);
    }

    private String versionOf(int major, ServerPrograms.Places places) throws Exception {
        try (var server = ThrowawayServer.start(new ThrowawayServer.Wanted(major), temp, places, said::add)) {
            return ask(server.credentials(), "SHOW server_version");
        }
    }

    private static <T> T unlessUnreachable(Callable<T> work) throws Exception {
        try {
            return work.call();
        } catch (Exception e) {
            var failure = e instanceof Failure f ? f : e.getCause() instanceof Failure f ? f : null;
            if (failure != null && failure.problem().what().matches("(?s).*(JBang could not fetch|there is no JBang).*")) abort(failure.problem().what());
            throw e;
        }
    }

    private static Problem problem(org.junit.jupiter.api.function.Executable work) {
        return assertThrows(Failure.class, work).problem();
    }

    /** The first column of the first row, "" where there is none. */
    private static String ask(Credentials to, String sql) throws SQLException {
        try (var connection = DriverManager.getConnection("jdbc:postgresql://" + to.host() + ":" + to.port() + "/" + to.database(), to.user(), to.password());
             var statement = connection.createStatement()) {
            if (!statement.execute(sql)) return "";
            var answer = statement.getResultSet();
            return answer.next() ? answer.getString(1) : "";
        }
    }

    private record Holder(Process process, Path folder) {}

    private Tool holder() {
        return Tool.in(temp, ServerHolder.class.getName());
    }

    private Holder hold() throws IOException {
        var process = holder().start(String.valueOf(major), temp.toString());
        var folder = process.inputReader().readLine();
        assertTrue(folder != null, () -> new String(read(process.getErrorStream()), StandardCharsets.UTF_8));
        return new Holder(process, Path.of(folder));
    }

    private static byte[] read(java.io.InputStream in) {
        try {
            return in.readAllBytes();
        } catch (IOException e) {
            return e.toString().getBytes(StandardCharsets.UTF_8);
        }
    }

    private void untilGone() throws Exception {
        for (int i = 0; i < 600 && !(servers().isEmpty() && folders().isEmpty()); i++) Thread.sleep(50);
        assertEquals(List.of(), servers());
        assertEquals(List.of(), folders());
    }

    private static Stream<ProcessHandle> all() {
        return ProcessHandle.allProcesses();
    }

    private static List<ProcessHandle> processes() {
        return all().toList();
    }

    /** The servers in our folder: the postmasters, which bear its folder's name. */
    private List<ProcessHandle> servers() throws IOException {
        var names = new ArrayList<>(seen);
        for (var folder : folders()) if (seen.add(folder.getFileName().toString())) names.add(folder.getFileName().toString());
        return all().filter(process -> commandLine(process).contains("cluster_name=") && names.stream().anyMatch(commandLine(process)::contains)
            && commandLine(process).split(" ")[0].endsWith("postgres")).toList();
    }

    private final java.util.Set<String> seen = new java.util.HashSet<>();

    private static String commandLine(ProcessHandle process) {
        try {
            return Files.readString(Path.of("/proc/" + process.pid() + "/cmdline"), StandardCharsets.ISO_8859_1).replace('\0', ' ');
        } catch (IOException endedOrNotLinux) {
            return process.info().commandLine().orElse("");
        }
    }

    private static String environment(ProcessHandle process) throws IOException {
        return Files.readString(Path.of("/proc/" + process.pid() + "/environ"), StandardCharsets.ISO_8859_1);
    }

    private List<Path> folders() throws IOException {
        try (Stream<Path> all = Files.walk(temp, 2)) {
            return all.filter(path -> path.getFileName().toString().startsWith(ThrowawayServer.PREFIX)).toList();
        } catch (java.io.UncheckedIOException beingRemoved) {
            return folders();
        }
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    private Path leftOver(String arguments) throws IOException {
        var folder = Files.createTempDirectory(temp, ThrowawayServer.PREFIX);
        Files.writeString(folder.resolve("lock"), arguments.replace("FOLDER", folder.toString()));
        return folder;
    }

    private static Stream<String> asServersUser() {
        return ROOT ? Stream.of("/usr/bin/setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--") : Stream.of();
    }

    /** initdb and pg_ctl as told, postgres as installed. */
    private Path programs(String... namesAndLines) throws IOException {
        var bin = Files.createDirectory(temp.resolve("bin"));
        for (int i = 0; i < namesAndLines.length; i += 2) script(bin.resolve(namesAndLines[i]), namesAndLines[i + 1].replace("%s", installed.toString()));
        script(bin.resolve("postgres"), "exec " + installed + "/postgres \"$@\"");
        return bin;
    }

    private static Path script(Path file, String lines) throws IOException {
        Files.writeString(file, "#!/bin/sh\n" + lines + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        return file;
    }

    /** The classes and the libraries they need, where everybody can read them. */
    private String classesForAll() throws Exception {
        var to = Files.createDirectory(temp.resolve("classes"));
        var paths = new ArrayList<String>();
        for (var of : List.of(ServerHolder.class, com.google.gson.Gson.class)) {
            var from = Path.of(of.getProtectionDomain().getCodeSource().getLocation().toURI());
            var copy = to.resolve(String.valueOf(paths.size()) + (Files.isDirectory(from) ? "" : ".jar"));
            if (Python.run(temp, "cp", "-r", from.toString(), copy.toString()).code() != 0) throw new IOException("cannot copy " + from);
            paths.add(copy.toString());
        }
        Python.run(temp, "chmod", "-R", "a+rX", to.toString());
        return String.join(":", paths);
    }
}
