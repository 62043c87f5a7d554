package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.text.Normalizer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import lib.django.Django;
import lib.django.DjangoProblem;
import lib.django.Migrations;
import lib.django.PythonCommand;
import lib.django.SilenceLimit;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.postgres.Sql;
import lib.process.Program;
import lib.project.EnvFile;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.opentest4j.AssertionFailedError;
import support.CrashingServer;
import support.FakeMigrator;
import support.OldState;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** Unexpected names, files and interpreters: each case succeeds or ends with a clear message, and in time. */
class HostileTest {
    private static final long SEED = Long.getLong("hostile.seed", 20_261_122);
    /**
     * How long a process that should have been stopped would sleep; unique on this machine, to find it by its command
     * line.
     */
    private static final String SECONDS = "7654." + ProcessHandle.current().pid();

    private static int tried, ended;

    @TempDir Path temp;

    @BeforeAll static void seed() {
        System.out.println("hostile seed: " + SEED + " (again with -Dhostile.seed=" + SEED + ")");
    }

    @AfterAll static void figures() {
        System.out.printf("hostile cases: %d tried, %d ended as they should%n", tried, ended);
    }

    /** One case: it has to end in time, and its assertions hold. */
    private static void tried(String what, Executable hostile) {
        tried++;
        try {
            assertTimeoutPreemptively(Duration.ofSeconds(60), hostile);
        } catch (Throwable e) {
            throw new AssertionError("case " + what.codePoints()
                    .mapToObj(c -> c < ' ' ? "\\u%04x".formatted(c) : Character.toString(c))
                    .reduce("", String::concat) + ": " + e, e);
        }
        ended++;
    }

    /** A Failure is expected; any other exception is a bug. */
    private static Problem refused(Class<? extends Problem> kind, ExitCode exit, Executable act) {
        var problem = assertThrows(Failure.class, act).problem();
        assertInstanceOf(kind, problem, problem.what());
        assertEquals(exit, problem.exit(), problem.what());
        return problem;
    }

    @Test void an_unexpected_result_of_a_case_is_noticed() {
        var before = new int[] {tried, ended};
        assertThrows(AssertionError.class,
                () -> tried("flipped", () -> refused(Problem.Interrupted.class, ExitCode.REFUSED, () -> {})));
        assertThrows(AssertionError.class, () -> tried("other kind",
                        () -> refused(Problem.Interrupted.class, ExitCode.REFUSED, () -> {
                            throw Failure.refused("another kind");
                        })));
        assertThrows(AssertionError.class, () -> tried("wrong quoting", () -> query("\"" + "a\"b" + "\"", "a\"b")));
        assertThrows(
                AssertionFailedError.class, () -> well(new Tool.Output(1, "", "java.lang.X\n\tat lib.X(X.java)"), 1));
        assertThrows(AssertionFailedError.class, () -> well(new Tool.Output(0, "", ""), 1));
        assertEquals(before[1], ended);
        tried = before[0];
    }

    // ---- identifiers -------------------------------------------------------------------------

    private static final List<String> PIECES = List.of("\"", "\"\"", "'", "''", ";", "--", "/*", "*/", "%s", "%(x)s",
            "%1$s", "%", "$1", "$$", "?", "??", "{", "}", "{0}", "\\", "\\'", "\n", "\r", "\t", "\u000b", "🐘",
            "e\u0301", "\u0301", "é", "ж", "日本", "\u202e", "\u00a0", "\u200b", "\u2028", " ", "  ", ".", ",", ":", "::",
            ":x", "@", "#", "~", "|", "&", "<", "(", ")", "[", "]", "select", "USER", "table", "public", "pg_", "a",
            "B", "0", "_", "NULL", "DROP TABLE x", "E'", "U&\"");
    private static final List<String> NAMES = List.of("select", "user", "table", "a b", " ", "trailing ", " leading",
            "a\"b", "\"", "\"\"", "'; DROP TABLE x; --", "/* */", "%s", "%(x)s", "$1", "?", "{", "\\", "\n", "\t", "🐘",
            "e\u0301", "x".repeat(63), "é".repeat(31), "🐘".repeat(15), "日".repeat(21), "a" + "é".repeat(31), "Ab", "ab",
            "null", "public.x", "a.b", "--", "-f", "-", "..", "/", "%2e", "=", "a=b", "dbname=x", "host=/tmp user=x",
            "postgres://a:b@c/d");

    /** Distinct identifiers that the server accepts unchanged. */
    private static List<String> names(Random random, int count) {
        var names = new LinkedHashSet<>(NAMES);
        while (names.size() < count) {
            var name = new StringBuilder();
            for (int pieces = 1 + random.nextInt(12); pieces > 0; pieces--)
                name.append(PIECES.get(random.nextInt(PIECES.size())));
            while (bytes(name.toString()) > 63) name.setLength(name.offsetByCodePoints(name.length(), -1));
            names.add(name.toString());
        }
        return names.stream().limit(count).toList();
    }

    private static int bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8).length;
    }

    private static String lib(String method, String... arguments) throws Exception {
        var types = new Class<?>[arguments.length];
        java.util.Arrays.fill(types, String.class);
        var found = Sql.class.getDeclaredMethod(method, types);
        found.setAccessible(true);
        try {
            return (String) found.invoke(null, (Object[]) arguments);
        } catch (InvocationTargetException e) {
            throw (Exception) e.getCause();
        }
    }

    private static java.sql.Connection connection;

    /** The column has exactly this name on the server. */
    private static void query(String identifier, String expected) throws Exception {
        if (connection == null) connection = Postgres.database().connect();
        try (var statement = connection.createStatement()) {
            s(statement);
            try (var rows = statement.executeQuery("SELECT 1 AS " + identifier)) {
                assertEquals(expected, rows.getMetaData().getColumnLabel(1));
            }
        }
    }

    /** The default run tries a quarter of the generated cases. */
    private static int share(int all) {
        return Sample.ALL ? all : all / 4;
    }

    private static void s(java.sql.Statement statement) throws Exception {
        statement.setEscapeProcessing(false);
    }

    @Test void names_are_quoted_and_fitted_as_the_server_reads_them() throws Exception {
        for (var name : names(new Random(SEED), share(400))) tried(name, () -> {
                query(lib("identifier", name), name);
                var fitted = lib("shortened", name + name, "_before_20261122_0000");
                assertTrue(bytes(fitted) <= 63 && fitted.endsWith("_before_20261122_0000"), fitted);
                assertEquals(fitted, new String(fitted.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8),
                        "no half letter");
                query(lib("identifier", fitted), fitted);
                try (var statement = connection.createStatement()) {
                    s(statement);
                    var rows = statement.executeQuery("SELECT " + lib("literal", name));
                    rows.next();
                    assertEquals(name, rows.getString(1));
                }
            });
    }

    private static void fill(Postgres.Db db, List<String> names) throws Exception {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            s(statement);
            for (var name : names) {
                var q = Postgres.quoted(name);
                statement.execute("CREATE TABLE %1$s (%1$s text); INSERT INTO %1$s VALUES ('%2$s'), ('x')"
                        .formatted(q, name.replace("'", "''")));
            }
        }
    }

    /** Each table's rows by its name. */
    private static Map<String, String> rows(Postgres.Db db, String schema) throws Exception {
        var all = new TreeMap<String, String>();
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            s(statement);
            var tables = new ArrayList<String>();
            var found = statement.executeQuery(
                    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = '%s'::regnamespace"
                            .formatted(schema));
            while (found.next()) tables.add(found.getString(1));
            for (var table : tables) {
                var rows = statement.executeQuery("SELECT string_agg(t::text, '|' ORDER BY t::text) FROM %s.%s t"
                        .formatted(schema, Postgres.quoted(table)));
                rows.next();
                all.put(table, rows.getString(1));
            }
        }
        return all;
    }

    @Test void two_hundred_tables_with_odd_names_are_parked_and_restored() throws Exception {
        var names = names(new Random(SEED + 1), share(200));
        var db = Postgres.database(Postgres.role("o\"w'n;er -- 🐘 \\", ""));
        OldState.run(db.as(Postgres.SUPERUSER), "GRANT CREATE ON DATABASE %s TO %s".formatted(
                        Postgres.quoted(db.name()), Postgres.quoted(db.role().name())),
                "GRANT ALL ON SCHEMA public TO PUBLIC");
        fill(db, names);
        var before = rows(db, "public");
        var snapshot = Snapshot.of(db);
        assertEquals(new TreeSet<>(names), before.keySet());
        try (var database = SwapDatabaseTest.open(db)) {
            var park = assertInstanceOf(ParkTables.class, SwapDatabaseTest.choose(database, "park", false))
                    .withoutTransaction();
            SwapDatabaseTest.run(List.of(park.park(), park.migrate(
                    new FakeMigrator(db, "CREATE TABLE \"a\"\"b\" (new int)", "CREATE TABLE fresh (id int)"))));
            var parked = rows(db, park.previous().parked());
            SwapDatabaseTest.run(park.previous().undo(database, false));
            var after = rows(db, "public");
            for (var name : names) tried(name, () -> {
                assertEquals(before.get(name), parked.get(name));
                assertEquals(before.get(name), after.get(name));
            });
            assertEquals(snapshot, Snapshot.of(db));
            park.previous().purge(database, false).run();
            assertEquals(snapshot, Snapshot.of(db));
        }
    }

    @Test void a_hundred_tables_with_odd_names_are_dropped_and_nothing_else() throws Exception {
        var names = names(new Random(SEED + 2), share(100));
        var db = Postgres.database();
        OldState.run(db, "CREATE SCHEMA \"x; --\"", "CREATE TABLE \"x; --\".\"a\"\"b\" AS SELECT 1 AS one");
        fill(db, names);
        try (var database = SwapDatabaseTest.open(db)) {
            var drop = assertInstanceOf(DropTables.class, SwapDatabaseTest.choose(database, "drop", false));
            SwapDatabaseTest.run(
                    List.of(drop.drop(Set.of()), drop.migrate(new FakeMigrator(db, "CREATE TABLE fresh (id int)"))));
        }
        var left = rows(db, "public").keySet();
        for (var name : names) tried(name, () -> assertFalse(left.contains(name)));
        assertEquals(Set.of("fresh"), left);
        assertEquals("1", OldState.text(db, "SELECT one FROM \"x; --\".\"a\"\"b\""));
    }

    private static final List<String> DATABASES = List.of("a\"b", "'; DROP DATABASE x; --", "%s %(x)s $1 ?",
            "é".repeat(31), "🐘".repeat(15), "back\\slash/..", "new\nline\ttab", " select ", "a=b&c?d#e%20+",
            "host=x user=y");

    @Test void databases_with_odd_names_are_swapped_and_restored() throws Exception {
        for (var name : DATABASES) tried(name, () -> {
                var db = Postgres.database(name, Postgres.role("r\"'; %s🐘\\", "CREATEDB"));
                fill(db, List.of("t", name));
                var before = Snapshot.of(db);
                try (var database = SwapDatabaseTest.open(db)) {
                    var swap = assertInstanceOf(SwapDatabase.class, SwapDatabaseTest.choose(database, "swap", false));
                    SwapDatabaseTest.run(List.of(swap.createScratch(),
                            swap.migrate(new FakeMigrator(db, "CREATE TABLE fresh (id int)")), swap.swap()));
                    assertEquals(Set.of("fresh"), rows(db, "public").keySet());
                    SwapDatabaseTest.run(swap.previous().undo(database, false));
                    assertEquals(before, Snapshot.of(db));
                    swap.previous().purge(database, false).run();
                    assertEquals(before, Snapshot.of(db));
                }
                Postgres.execute("DROP DATABASE " + Postgres.quoted(name));
            });
    }

    private static Run run(Path root, Migrations old, Map<String, String> fresh, PreviousState previous) {
        var hashes = new TreeMap<String, String>();
        fresh.forEach((path, text) -> hashes.put(path, Disk.sha256(text.getBytes(StandardCharsets.UTF_8))));
        var origin = new Run.Origin(SwapDatabaseTest.runId(), "test", "", root.toString(), "u@h:1/d", "swap");
        return new Run(origin, Run.Outcome.RUNNING, previous,
                new RunMigrations(old.files(), hashes, List.of(), List.of(), Set.of()), null, List.of());
    }

    @Test void a_run_remembers_odd_names() throws Exception {
        for (var name : names(new Random(SEED + 3), share(100))) tried(name, () -> {
                var aside = bytes(name) % 2 == 0
                        ? new PreviousDatabase("r", name, 7, name + "1", name + "2", name + "3", name)
                        : new PreviousSchema("r", name, name + "1", name + "2", name + "3", false,
                                Map.of(name, List.of(4_000_000_000L)));
                var run = run(temp, new Migrations(temp, List.of()), Map.of(), aside);
                var store = new RunStore(run);
                store.create();
                assertEquals(run, Run.read(store.folder().resolve("run.json")));
                store.remove();
            });
    }

    // ---- .env --------------------------------------------------------------------------------

    private static final String ORACLE = """
        import json, logging, os, sys
        from dotenv import dotenv_values
        logging.disable(logging.CRITICAL)
        answers = []
        for number in range(int(sys.argv[2])):
            try:
                answers.append(list(dotenv_values(os.path.join(sys.argv[1], "%d.env" % number)).items()))
            except UnicodeDecodeError:
                answers.append(None)
        json.dump(answers, sys.stdout)
        """;

    @Test void random_bytes_are_read_as_python_reads_them_or_refused() throws Exception {
        var random = new Random(SEED + 4);
        int count = share(300);
        for (int i = 0; i < count; i++) {
            var bytes = new java.io.ByteArrayOutputStream();
            if (random.nextInt(4) == 0) bytes.writeBytes("\ufeff".getBytes(StandardCharsets.UTF_8));
            for (int length = random.nextInt(60); length > 0; length--) {
                if (random.nextInt(3) == 0)
                    bytes.writeBytes("A%c=".formatted('A' + random.nextInt(4)).getBytes(StandardCharsets.UTF_8));
                if (random.nextInt(60) == 0) bytes.write(random.nextInt(256));
                bytes.writeBytes(PIECES.get(random.nextInt(PIECES.size())).getBytes(StandardCharsets.UTF_8));
                if (random.nextInt(5) == 0)
                    bytes.writeBytes((random.nextBoolean() ? "\r\n" : "${AA}\n").getBytes(StandardCharsets.UTF_8));
            }
            Files.write(temp.resolve(i + ".env"), bytes.toByteArray());
        }
        var builder = new ProcessBuilder(Python.venv().toString(), "-c", ORACLE, temp.toString(), "" + count)
                .redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().clear();
        var process = builder.start();
        var answers = JsonParser.parseString(
                new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)).getAsJsonArray();
        var readable = 0;
        for (int i = 0; i < count; i++) {
            var file = temp.resolve(i + ".env");
            var answer = answers.get(i);
            var nul = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1).indexOf('\0') >= 0;
            if (!answer.isJsonNull()) readable++;
            tried(".env " + i, () -> {
                if (answer.isJsonNull() || nul) {
                    refused(Problem.Plain.class, ExitCode.USAGE, () -> EnvFile.read(file, Map.of()));
                    return;
                }
                var theirs = new LinkedHashMap<String, String>();
                answer.getAsJsonArray().forEach(pair -> theirs.put(pair.getAsJsonArray().get(0).getAsString(),
                    pair.getAsJsonArray().get(1).isJsonNull() ? null : pair.getAsJsonArray().get(1).getAsString()));
                var ours = new LinkedHashMap<>(EnvFile.read(file, Map.of()).values());
                theirs.keySet().removeIf("LC_CTYPE"::equals);
                assertEquals(theirs, ours);
            });
        }
        assertTrue(readable > count / 3, readable + " readable");
    }

    private EnvFile env(byte[] content) throws IOException {
        return EnvFile.read(Files.write(temp.resolve("x.env"), content), Map.of());
    }

    private EnvFile env(String content) throws IOException {
        return env(content.getBytes(StandardCharsets.UTF_8));
    }

    private void unreadable(String why, Path file) {
        assertEquals(file + " " + why,
                refused(Problem.Plain.class, ExitCode.USAGE, () -> EnvFile.read(file, Map.of())).what());
    }

    @Test void large_endless_and_odd_env_files_are_read_or_refused() throws Exception {
        var x = temp.resolve("x.env");
        tried("10 MB", () -> {
            Files.write(x, new byte[10 << 20]);
            unreadable("is larger than 1 MB: it is no .env file", x);
        });
        tried("/dev/zero", () -> unreadable("is larger than 1 MB: it is no .env file", Path.of("/dev/zero")));
        tried("/dev/null", () -> assertEquals(Map.of(), EnvFile.read(Path.of("/dev/null"), Map.of()).values()));
        tried("a folder", () -> unreadable("is a folder", temp));
        tried("a dangling link", () -> unreadable(
                "does not exist", Files.createSymbolicLink(temp.resolve("dangling"), Path.of("nowhere"))));
        tried("a loop", () -> unreadable("could not be read to its end",
                Files.createSymbolicLink(temp.resolve("loop"), Path.of("loop"))));
        tried("a pipe without a writer",
                () -> unreadable("is a pipe that nobody writes to", pipe(temp.resolve("pipe"))));
        tried("a pipe with one", () -> {
            var pipe = pipe(temp.resolve("written"));
            Thread.ofPlatform().daemon().start(() -> {
                try {
                    Files.writeString(pipe, "A=1\n");
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            });
            assertEquals("1", EnvFile.read(pipe, Map.of()).get("A"));
        });
        tried("NUL", () -> {
            Files.writeString(x, "A=1\nB=\0");
            unreadable("line 2: the file contains a NUL byte, so it is not text in UTF-8", x);
        });
        tried("no newline at the end, CRLF, BOM", () -> assertEquals(
                Map.of("A", "1", "B", "2"), env("\ufeffA=1\r\nB=2").values()));
        var long_ = "x".repeat(1_000_000);
        for (var quote : List.of("", "'", "\""))
            tried("a long line in " + quote, () -> assertEquals(long_, env("A=" + quote + long_ + quote).get("A")));
        tried("a long name", () -> assertEquals("1", env(long_ + "=1").get(long_)));
        for (var piece : List.of("\\\\", "\\'", "\\\"", "'", "\"", "A='", "A=\"", "A='\n", "A=\"\\\"\n", "${", "${A",
                "}", "#", " ", "\n", "=", "=\n", "A", "\\", "export ", "A=1\n", "$A", "${A}", "A=${A}\n",
                "A=${A:-b}x\n", "'", " #", "\u0085")) {
            tried("much of " + piece, () -> {
                Files.writeString(x, piece.repeat(900_000 / bytes(piece)));
                if (piece.startsWith("A=${A:-"))
                    unreadable("has values that grow beyond 1 MB when ${…} is expanded",
                            x); // each line is a letter longer
                else EnvFile.read(x, Map.of());
            });
            tried("quoted much of " + piece, () -> env("A=\"" + piece.repeat(900_000 / bytes(piece)) + "\"\nB=${A}\n"));
        }
        var doubling = new StringBuilder("A0=xxxxxxxxxx\n");
        for (int i = 1; i < 80; i++) doubling.append("A%d=${A%d}${A%d}\n".formatted(i, i - 1, i - 1));
        tried("doubling", () -> {
            Files.writeString(x, doubling);
            unreadable("has values that grow beyond 1 MB when ${…} is expanded", x);
        });
        tried("one line of much", () -> {
            Files.writeString(x, "A=" + "x".repeat(400_000) + "\nB=" + "${A}".repeat(100_000));
            unreadable("has values that grow beyond 1 MB when ${…} is expanded", x);
        });
        tried("a cycle", () -> assertEquals("x", env("A=${B}x\nB=${A}").get("B")));
        var deep = new StringBuilder("A0=1\n");
        for (int i = 1; i < 5000; i++) deep.append("A%d=${A%d}\n".formatted(i, i - 1));
        tried("deep", () -> assertEquals("1", env(deep.toString()).get("A4999")));
    }

    private static Path pipe(Path path) throws IOException, InterruptedException {
        assertEquals(0, new ProcessBuilder("mkfifo", path.toString()).start().waitFor());
        return path;
    }

    // ---- files -------------------------------------------------------------------------------

    private static List<String> fileNames(Random random, int count) {
        var names = new LinkedHashSet<>(List.of("0001_initial.py", "0002 with space.py", "-rf.py", "--help.py", "'.py",
                "\".py", "new\nline.py", "tab\t.py", Normalizer.normalize("é.py", Normalizer.Form.NFC),
                Normalizer.normalize("é.py", Normalizer.Form.NFD), "0".repeat(252) + ".py", "é".repeat(126) + ".py",
                "x".repeat(238) + ".py", "..py", ".py", " .py", "*.py", "$HOME.py", "\\.py", "🐘.py", "%s.py", "a.b.py",
                "0003_x.py.py"));
        while (names.size() < count) {
            var name = new StringBuilder();
            for (int pieces = 1 + random.nextInt(8); pieces > 0; pieces--)
                name.append(PIECES.get(random.nextInt(PIECES.size())));
            var usable = name.toString().replace("/", "").replaceFirst("^[_~]+", "");
            if (!usable.isEmpty() && bytes(usable) < 250) names.add(usable + ".py");
        }
        return List.copyOf(names);
    }

    private Map<String, String> tree(Path root) throws IOException {
        var all = new TreeMap<String, String>();
        for (var line : Snapshot.of(root)) all.merge(line, "", String::concat);
        return all;
    }

    @Tag("exhaustive")
    @Test void migrations_with_odd_names_are_replaced_and_restored() throws Exception {
        var random = new Random(SEED + 5);
        var root = Files.createDirectory(temp.resolve("p r'o\"j %s é")).toRealPath();
        var folder = Files.createDirectories(root.resolve("-app with $pace/migrations"));
        var names = fileNames(random, 200);
        var content = new byte[3000];
        for (var name : names) {
            random.nextBytes(content);
            Files.write(folder.resolve(name), content);
            Files.setPosixFilePermissions(folder.resolve(name),
                    PosixFilePermissions.fromString(random.nextBoolean() ? "rw-r--r--" : "rwx------"));
        }
        for (var stays : List.of("__init__.py", "_x.py", "~x.py", "x.pyc", "py"))
            Files.writeString(folder.resolve(stays), "");
        Files.createDirectory(folder.resolve("0001_x.py"));
        Files.writeString(folder.resolve("0009_empty.py"), "");
        Files.write(folder.resolve("0010_large.py"), new byte[10 << 20]);
        var before = tree(root);
        var times = new TreeMap<String, Object>();
        for (var name : names) times.put(name, Files.getLastModifiedTime(folder.resolve(name)).toMillis());
        var old = Migrations.in(root, List.of(folder));
        var fresh = Map.of(root.relativize(folder).resolve("0001_initial.py").toString(), "new");
        var run = run(root, old, fresh, new DroppedTables("r", "shop", "public", List.of()));
        new RunStore(run).create();
        var step = new ReplaceFiles(old, fresh, run);
        step.run();
        try (var left = Files.list(folder)) {
            assertEquals(Set.of("0001_initial.py", "__init__.py", "_x.py", "~x.py", "x.pyc", "py", "0001_x.py"),
                    new TreeSet<>(left.map(f -> f.getFileName().toString()).toList()));
        }
        PutBackFiles.of(run).run();
        var after = tree(root);
        for (var name : names) tried(name, () -> {
                assertEquals(times.get(name), Files.getLastModifiedTime(folder.resolve(name)).toMillis());
                var line = before.keySet().stream()
                        .filter(l -> l.startsWith(root.relativize(folder).resolve(name) + " ")).findFirst()
                        .orElseThrow();
                assertTrue(after.containsKey(line), line);
            });
        assertEquals(before, after);
        step.undo();
        assertEquals(before, tree(root));
        new RunStore(run).remove();
    }

    @Tag("exhaustive")
    @Test void files_that_only_look_like_migrations_are_refused_or_left_alone() throws Exception {
        int number = 0;
        var noFile = "%s/m/0002.py has the name of a migration, but is neither a file nor a link";
        var outside =
                "%1$s/m is outside the project %1$s or a symbolic link to a place outside it: its files are not this"
                        + " project's to replace";
        var kinds = new LinkedHashMap<String, String>(); // and the message
        kinds.put("mkfifo m/0002.py", noFile);
        kinds.put("mknod m/0002.py c 1 5", noFile);
        kinds.put("touch m/$'\\xff\\xfe'.py",
            "the file name m/\uFFFD\uFFFD.py cannot be written in this locale, or is not UTF-8");
        kinds.put("rmdir m; ln -s ../outside m", outside);
        kinds.put("rmdir m; ln -s m m", outside);
        kinds.put("rmdir m; ln -s nowhere m", outside);
        kinds.put("rmdir m; ln -s /nowhere m", outside);
        kinds.put("mkdir d; rmdir m; ln -s d m; echo 1 > d/0001.py", null);
        kinds.put("ln -s ../../outside/x.py m/0001.py", null);
        kinds.put("ln -s nowhere m/0001.py", null);
        kinds.put("ln -s 0001.py m/0001.py", null);
        kinds.put("echo 1 > m/0002.py; ln -s 0002.py m/0001.py", null);
        kinds.put("ln -s ../../outside m/__pycache__; echo 1 > m/0001.py", null);
        kinds.put("ln -s ../../outside m/0001.py", null);
        kinds.put("ln -s ../outside .reset; echo 1 > m/0001.py", null);
        for (var kind : kinds.entrySet()) {
            var root = Files.createDirectories(temp.resolve(number + "/project")).toRealPath();
            var others = Files.createDirectory(temp.resolve(number++ + "/outside"));
            Files.writeString(others.resolve("x.py"), "not ours");
            Files.createDirectory(root.resolve("m"));
            assertEquals(0, new ProcessBuilder("bash", "-c", kind.getKey()).directory(root.toFile()).start().waitFor(),
                    kind.getKey());
            tried(kind.getKey(), () -> {
                if (kind.getValue() != null) {
                    var problem = refused(
                            Problem.class, ExitCode.REFUSED, () -> Migrations.in(root, List.of(root.resolve("m"))));
                    assertEquals(kind.getValue().formatted(root), problem.what());
                    return;
                }
                var before = Snapshot.of(root);
                var old = Migrations.in(root, List.of(root.resolve("m")));
                var fresh = Map.of("m/0001.py", "new", "m/0003.py", "new");
                var run = run(root, old, fresh, new DroppedTables("r", "shop", "public", List.of()));
                new RunStore(run).create();
                var step = new ReplaceFiles(old, fresh, run);
                step.run();
                assertEquals("new", Files.readString(root.resolve("m/0001.py")));
                assertFalse(Files.isSymbolicLink(root.resolve("m/0001.py")));
                assertEquals("not ours", Files.readString(others.resolve("x.py")));
                step.undo();
                Files.deleteIfExists(root.resolve("m/__init__.py")); // would be in run.made(), which is empty here
                assertEquals(before, Snapshot.of(root));
                new RunStore(run).remove();
                assertEquals(kind.getKey().contains(".reset"),
                        Files.exists(root.resolve(".reset"), LinkOption.NOFOLLOW_LINKS));
                assertEquals("not ours", Files.readString(others.resolve("x.py")));
            });
        }
    }

    // ---- the driver --------------------------------------------------------------------------

    private Django fake(String script) throws IOException {
        var file = Files.writeString(Files.createTempFile(temp, "python", ""),
                "read -rN8 length; head -c $((10#$length)) >/dev/null; read -r hello;"
                        + " token=${hello#*\\\"token\\\":\\\"}; token=${token%%\\\"*}; read -r request\n" + script);
        var bash = PythonCommand.local(Program.of("bash", file.toString()), temp);
        return SilenceLimit.of(2, Django.start(bash, null, words -> {}));
    }

    private void driver(Class<? extends Problem> kind, String script) {
        tried(script, () -> {
            try (var django = fake(script)) {
                refused(kind, ExitCode.FAILED, () -> django.describe(1, List.of()));
            }
            assertNothingLeft();
        });
    }

    /** No process that was started from the temporary folder is left. */
    private void assertNothingLeft() throws Exception {
        for (int i = 0; i < 100; i++) {
            var left = ProcessHandle.allProcesses()
                    .filter(p -> p.info().commandLine().orElse("").contains(temp.toString())
                            || p.info().commandLine().orElse("").contains("sleep " + SECONDS)).filter(p -> {
                        try {
                            return CrashingServer.isAlive(p);
                        } catch (IOException gone) {
                            return false;
                        }
                    })
                    .map(p -> p.info().commandLine().orElse(""))
                    .toList();
            if (left.isEmpty()) return;
            if (i == 99) throw new AssertionFailedError("left: " + left);
            Thread.sleep(20);
        }
    }

    @Tag("exhaustive")
    @Test void an_interpreter_with_nonsense_output_ends_with_a_message() {
        driver(DjangoProblem.PythonEnded.class, "head -c 3000000 /dev/urandom");
        driver(DjangoProblem.PythonEnded.class, "head -c 50000000 /dev/zero | tr '\\0' x");
        driver(DjangoProblem.PythonEnded.class, "head -c 50000000 /dev/zero | tr '\\0' x >&2");
        driver(DjangoProblem.PythonEnded.class, "echo '{\"event\": \"answer\", \"value\": {}}'");
        driver(DjangoProblem.PythonEnded.class,
                "echo 'ffffffffffffffffffffffffffffffff {\"event\": \"answer\", \"value\": {}}'");
        driver(DjangoProblem.PythonEnded.class, "printf '\\xff\\xfe\\xc3\\n\\r\\r\\n'; exit 7");
        driver(DjangoProblem.PythonEnded.class, "kill -9 $$");
        driver(DjangoProblem.PythonEnded.class, "exec >&- 2>&-");
        driver(DjangoProblem.PythonEnded.class, "sleep 5 & exit 0"); // the child keeps the pipes open
        driver(DjangoProblem.NoOutput.class, "sleep %1$s & sleep %1$s".formatted(SECONDS));
        driver(DjangoProblem.NoOutput.class, "trap '' TERM INT HUP; while :; do sleep 1; done");
        driver(DjangoProblem.PythonEnded.class, "echo \"$token \"; sleep 1"); // an empty answer is the end
        for (var answer : List.of("x", "{", "[]", "null", "1", "{}", "{\\\"event\\\": null}", "{\\\"event\\\": 7}",
                "{\\\"event\\\": []}", "{\\\"event\\\": \\\"unheard of\\\"}", "\\\"answer\\\"",
                "{\\\"event\\\": \\\"secrets\\\"}", "{\\\"event\\\": \\\"progress\\\"}",
                "{\\\"event\\\": \\\"failed\\\"}", "{\\\"event\\\": \\\"failed\\\", \\\"value\\\": {}}",
                "{\\\"event\\\": \\\"answer\\\"}", "{\\\"event\\\": \\\"answer\\\", \\\"value\\\": []}",
                "{\\\"event\\\": \\\"answer\\\", \\\"value\\\": 7}",
                "{\\\"event\\\": \\\"answer\\\", \\\"value\\\": {\\\"apps\\\": 7}}",
                "{\\\"event\\\": \\\"answer\\\", \\\"value\\\": {}}"))
            driver(DjangoProblem.MalformedReply.class, "echo \"$token " + answer + "\"; sleep 1");
        driver(DjangoProblem.MalformedReply.class,
                "echo \"$token $(head -c 200000 /dev/zero | tr '\\0' '[')\"; sleep 1");
    }

    private Problem settings(String text) throws Exception {
        return settings(text, "", 15);
    }

    private Problem settings(String text, String apps, int patience) throws Exception {
        var root = Files.createTempDirectory(temp, "project").toRealPath();
        SampleProject.write(
                root, "manage.py", "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\n");
        SampleProject.write(root, "settings.py", "import os, sys, time, subprocess, threading\nSECRET_KEY = 'x'\n"
                + "INSTALLED_APPS = ['app']\n"
                + "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'x', 'HOST':"
                + " '127.0.0.1', 'PORT': 1}}\n" + text + "\n");
        SampleProject.write(root, "app/apps.py", "import os, sys\nfrom django.apps import AppConfig\n"
                + "class C(AppConfig):\n    name = 'app'\n    def ready(self):\n        pass\n" + apps);
        var python = PythonCommand.local(Program.of(Python.venv().toString()).in(root), root);
        try (var django = SilenceLimit.of(patience, Django.start(python, null, words -> {}))) {
            django.describe(1, List.of());
            return null;
        } catch (Failure failure) {
            return failure.problem();
        }
    }

    private void settingsAre(Class<? extends Problem> kind, String text, String apps, int patience) {
        tried(text + apps, () -> {
            var problem = settings(text, apps, patience);
            if (kind == null) assertEquals(null, problem, () -> problem.what());
            else {
                assertInstanceOf(kind, problem);
                assertEquals(ExitCode.FAILED, problem.exit());
                assertTrue(problem.what().contains(" while reading the project's settings and models"), problem::what);
            }
            assertNothingLeft();
        });
    }

    @Test void strange_settings_are_read_or_end_with_a_message() {
        for (var harmless : List.of("print('x' * 5_000_000)", "sys.stdout.write('{\"event\": \"answer\"}\\n')",
                "os.write(1, bytes(range(256)) * 1000)", "os.write(2, b'\\xff' * 100000)",
                "sys.stdout = sys.stderr = None", "sys.stdin.close()", "os.close(0); os.close(1)",
                "threading.Thread(target=time.sleep, args=(" + SECONDS + ",), daemon=True).start()",
                "threading.Thread(target=time.sleep, args=(" + SECONDS + ",)).start()",
                "subprocess.Popen(['sleep', '" + SECONDS + "'])",
                "subprocess.Popen(['sleep', '" + SECONDS + "'], close_fds=False)", "os.fork()",
                "sys.stdin.read()")) settingsAre(null, harmless, "", 20);
        for (var failing : List.of("sys.stdout.close()", "sys.exit(3)", "sys.exit()", "raise KeyboardInterrupt()",
                "raise SystemExit('x')", "def f(): f()\nf()",
                "import resource; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20)); x = 'x' * (600 <<"
                        + " 20)", "raise Exception('\\udcff \\0 %s')", "x = (",
                "class E(Exception):\n    def __str__(self): raise self\nraise E()"))
            settingsAre(Problem.Plain.class, failing, "", 20);
        settingsAre(Problem.Plain.class, "", "        raise SystemExit(4)\n", 20);
        settingsAre(DjangoProblem.PythonEnded.class, "", "        os._exit(0)\n", 20);
        settingsAre(DjangoProblem.PythonEnded.class, "os._exit(0)", "", 20);
        settingsAre(DjangoProblem.PythonEnded.class, "os.kill(os.getpid(), 9)", "", 20);
        settingsAre(DjangoProblem.PythonEnded.class, "if os.fork(): os._exit(0)\ntime.sleep(3)\nos._exit(0)", "", 20);
        settingsAre(DjangoProblem.NoOutput.class,
                "subprocess.Popen(['sleep', '" + SECONDS + "'])\ntime.sleep(" + SECONDS + ")", "", 3);
        settingsAre(DjangoProblem.NoOutput.class,
                "subprocess.run('sleep %1$s & sleep %1$s', shell=True)".formatted(SECONDS), "", 3);
    }

    // ---- the whole command -------------------------------------------------------------------

    private static void well(Tool.Output output, int code) {
        assertEquals(code, output.code(), output.all());
        for (var trace : List.of("\tat ", "Exception in", "this is a bug"))
            assertFalse(output.all().contains(trace), output.all());
        if (code != 0) assertFalse(output.err().isBlank());
    }

    private static Tool tool(Path root) {
        return Tool.in(root, "reset_migrations").env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
    }

    private SampleProject project(Postgres.Db db) throws Exception {
        return SampleProject.tiny(Files.createTempDirectory(temp, "project").toRealPath(), Map.of("shop/models.py",
                "from django.db import models\nclass Book(models.Model):\n    title = models.CharField(max_length=9)\n",
                "shop/migrations/0001_initial.py", "broken (\n", "shop/migrations/0002 odd 'name'.py",
                "class Migration (", "shop/migrations/-rf.py", "class Migration (")).env(db);
    }

    @Test void reset_and_undo_work_on_a_database_with_an_odd_name() throws Exception {
        var db = Postgres.database("o\"d'd; -- %s\\ 🐘é", Postgres.role("r\"'; %s\\🐘", "CREATEDB"));
        fill(db, names(new Random(SEED + 6), share(60)));
        var project = project(db);
        var rows = Snapshot.of(db);
        var files = Snapshot.of(project.root());
        tried("reset, status, undo, purge", () -> {
            well(tool(project.root()).warm().run("--yes", "--strategy", "swap"), 0);
            assertTrue(rows(db, "public").containsKey("shop_book"));
            well(tool(project.root()).warm().run("status"), 0);
            well(tool(project.root()).warm().run("undo", "--yes"), 0);
            assertEquals(rows, Snapshot.of(db));
            assertEquals(files, Snapshot.of(project.root()));
            well(tool(project.root()).warm().run("purge", "--yes", "--no-backup"), 0);
            assertEquals(rows, Snapshot.of(db));
        });
    }

    @Test void refusals_have_a_message_and_touch_nothing() throws Exception {
        var db = Postgres.database();
        var refusals = new LinkedHashMap<String, Integer>();
        refusals.put("mkfifo shop/migrations/0002.py", 4);
        refusals.put("touch shop/migrations/$'0003_\\xff'.py", 4);
        refusals.put("rm -r shop/migrations; ln -s migrations shop/migrations", 4);
        refusals.put("head -c 10000000 /dev/zero > .env", 2);
        refusals.put("rm .env; mkfifo .env", 2);
        refusals.put("rm .env; ln -s nowhere .env", 2);
        refusals.put("echo 'import sys; sys.exit(5)' > config/extra.py", 1);
        refusals.put("echo 'import os; os._exit(0)' > config/extra.py", 1);
        for (var refusal : refusals.entrySet()) tried(refusal.getKey(), () -> {
                var project = project(db);
                var rows = Snapshot.of(db);
                assertEquals(0, new ProcessBuilder("bash", "-c", refusal.getKey()).directory(project.root().toFile())
                        .start().waitFor());
                var before = Snapshot.of(temp);
                well(tool(project.root()).warm().run("--yes"), refusal.getValue());
                assertEquals(before, Snapshot.of(temp).stream().filter(line -> !line.contains(".state "))
                        .filter(line -> !line.contains(".reset")).toList());
                assertEquals(rows, Snapshot.of(db));
            });
    }
}
