import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import lib.cli.Cli;
import lib.files.Checkpoint;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.CrashingServer;
import support.OldState;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/**
 * The power is cut at every point between two acts. Afterwards status reports the real state, and undo restores exactly
 * the old one.
 */
@Isolated("starts two servers and two commands at a time")
@EnabledOnOs(value = OS.LINUX, disabledReason = "processes are watched in /proc")
class KillTest {
    /** What is killed: the tool, Django's process, both; or the server, which then recovers. */
    enum Kind { jvm, driver, both, server }

    /** Which command is killed, on what. {@code failing}: the final check fails, so that all is put back. */
    enum Scenario {
        SWAP("swap", false, "reset"),
        PARK("park", false, "reset"),
        PARK_IN_BATCHES("park", true, "reset"),
        DROP("drop", true, "reset"),
        SWAP_PUT_BACK("swap", false, "failing"),
        PARK_PUT_BACK("park", false, "failing"),
        PARK_IN_BATCHES_PUT_BACK("park", true, "failing"),
        UNDO_SWAP("swap", false, "undo"), UNDO_PARK("park", false, "undo"), UNDO_PARK_IN_BATCHES("park", true, "undo"),
        PURGE_SWAP("swap", false, "purge"), PURGE_PARK("park", true, "purge");

        final String strategy, killed;
        final boolean large;

        Scenario(String strategy, boolean large, String killed) {
            this.strategy = strategy;
            this.large = large;
            this.killed = killed;
        }

        boolean isReset() {
            return killed.equals("reset") || killed.equals("failing");
        }

        String[] command() {
            return isReset() ? reset() : new String[] {killed, "--yes"};
        }

        String[] reset() {
            return new String[] {"--yes", "--strategy", strategy};
        }
    }

    private static final AtomicInteger TRIED = new AtomicInteger(), RECOVERED = new AtomicInteger(),
            DATABASES = new AtomicInteger();
    private static final Map<Scenario, List<String>> POINTS = new ConcurrentHashMap<>();
    private static final Map<Scenario, List<String>> NEW_SCHEMA = new ConcurrentHashMap<>();
    private static final BlockingQueue<Lane> LANES = new ArrayBlockingQueue<>(2);
    private static final ExecutorService TWO = Executors.newFixedThreadPool(2);
    @TempDir static Path temp;

    // ---- the worker: a JVM that runs commands until it is killed -----------------------------

    /** @param at the point to kill at, from 0; -1: none */
    record Request(String script, List<String> args, int at, Kind kind) {}

    /** @param code 137 when it was killed */
    record Output(int code, String out, String err, List<String> points, String killedAt) {
        String all() {
            return "exit " + code + "\n" + out + err;
        }
    }

    static final class Worker {
        private static final Gson JSON = new Gson();
        private static final PrintStream ANSWERS = System.out;
        private static final List<String> POINTS = new ArrayList<>();
        private static final BufferedReader REQUESTS =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        private static Request request;

        public static void main(String... none) throws Exception {
            Checkpoint.listen(Worker::reached);
            for (String line; (line = REQUESTS.readLine()) != null; ) {
                request = JSON.fromJson(line, Request.class);
                POINTS.clear();
                var out = new ByteArrayOutputStream();
                var err = new ByteArrayOutputStream();
                System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
                System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
                var script = request.script.equals("reset_migrations") ? new reset_migrations() : new backup_database();
                var code = Cli.commandLine(script).execute(request.args.toArray(String[]::new));
                answer(Map.of("event", "end", "code", code, "out", out.toString(StandardCharsets.UTF_8), "err",
                        err.toString(StandardCharsets.UTF_8), "points", POINTS));
            }
        }

        private static void answer(Map<String, ?> values) {
            ANSWERS.println(JSON.toJson(values));
            ANSWERS.flush();
        }

        private static void reached(String point) {
            POINTS.add(point);
            if (POINTS.size() - 1 != request.at) return;
            var pythons = ProcessHandle.current().descendants()
                    .filter(p -> p.info().command().orElse("").contains("python")).toList();
            answer(Map.of("event", "killing", "point", point, "pids",
                    pythons.stream().map(ProcessHandle::pid).toList()));
            try {
                if (request.kind == Kind.server) REQUESTS.readLine(); // until it has recovered
                if (request.kind == Kind.driver || request.kind == Kind.both)
                    pythons.forEach(ProcessHandle::destroyForcibly);
                if (request.kind == Kind.driver)
                    for (var python : pythons) while (CrashingServer.isAlive(python)) Thread.sleep(5);
                if (request.kind != Kind.jvm && request.kind != Kind.both) return;
                new ProcessBuilder("kill", "-KILL", "" + ProcessHandle.current().pid()).start();
                Thread.sleep(60_000);
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    /** A server and a worker for one point at a time. */
    private static final class Lane implements AutoCloseable {
        final CrashingServer server;
        final Postgres.Role role = new Postgres.Role("kill_user", Postgres.PASSWORD);
        final Path folder;
        final Map<String, List<String>> snapshots = new LinkedHashMap<>();
        final Map<Scenario, Case> afterReset = new LinkedHashMap<>();
        private final RunningWorker victim = new RunningWorker();
        private final RunningWorker checker = new RunningWorker(); // never killed, so it runs fast

        Lane(Path folder) throws IOException {
            this.folder = Files.createDirectory(folder).toRealPath();
            server = CrashingServer.start();
            server.execute("CREATE ROLE kill_user LOGIN CREATEDB PASSWORD '" + Postgres.PASSWORD + "'");
        }

        /** Where the worker keeps its second copies. */
        Path state() {
            return folder.resolveSibling(folder.getFileName() + ".state").resolve("reset_migrations");
        }

        Path state(Case of) {
            return folder.resolve(of.db.name() + ".state");
        }

        Postgres.Db database(String name) {
            return server.database(name, role);
        }

        private static final class RunningWorker {
            Process process;
            BufferedReader answers;

            void say(String line) throws IOException {
                process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
                process.getOutputStream().flush();
            }
        }

        private void start(RunningWorker worker) throws IOException {
            if (worker.process != null && worker.process.isAlive()) return;
            worker.process = Tool.in(folder, "KillTest$Worker")
                    .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString()).start();
            worker.answers = worker.process.inputReader(StandardCharsets.UTF_8);
            var errors = worker.process.getErrorStream();
            Thread.ofPlatform().daemon().start(() -> {
                try {
                    errors.transferTo(System.err);
                } catch (IOException killed) {
                    // as planned
                }
            });
        }

        Output run(Request request) throws IOException, InterruptedException {
            var worker = request.at < 0 ? checker : victim;
            start(worker);
            worker.say(new Gson().toJson(request));
            String point = null;
            var pythons = new ArrayList<ProcessHandle>();
            for (String line; (line = worker.answers.readLine()) != null; ) {
                var said = JsonParser.parseString(line).getAsJsonObject();
                if (said.get("event").getAsString().equals("killing")) {
                    point = said.get("point").getAsString();
                    said.getAsJsonArray("pids")
                            .forEach(pid -> ProcessHandle.of(pid.getAsLong()).ifPresent(pythons::add));
                    if (request.kind != Kind.server) continue;
                    server.crash();
                    worker.say("continue");
                } else return new Output(said.get("code").getAsInt(), said.get("out").getAsString(),
                        said.get("err").getAsString(), said.getAsJsonArray("points").asList().stream()
                            .map(p -> p.getAsString()).toList(), point);
            }
            var code = worker.process.waitFor();
            for (var python : pythons)
                waitUntil("the driver ends with the tool", () -> !CrashingServer.isAlive(python));
            return new Output(code, "", "", List.of(), point);
        }

        void waitUntilNoSessionIsLeft() throws Exception {
            waitUntil("no session and no transaction stays", () -> OldState.text(
                    server.database("postgres", Postgres.SUPERUSER),
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <>"
                    + " pg_backend_pid()").equals("0"));
        }

        @Override public void close() throws Exception {
            for (var worker : List.of(victim, checker))
                if (worker.process != null) worker.process.destroyForcibly().waitFor();
            server.close();
        }
    }

    private static void waitUntil(String what, Callable<Boolean> holds) {
        try {
            for (int i = 0; i < 300; i++) {
                if (holds.call()) return;
                Thread.sleep(50);
            }
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        throw new AssertionError("not after 15 seconds: " + what);
    }

    // ---- the project and its database --------------------------------------------------------

    private static final String MIGRATION = """
        from django.db import migrations, models
        import django.db.models.deletion

        class Migration(migrations.Migration):
            dependencies = [%s]
            operations = [%s]
        """;

    /** Migrations in several files, one private, one a link, a helper beside them; an app without migrations. */
    private static void writeProject(Path root, boolean failing) throws IOException {
        SampleProject.tiny(root, Map.of("shop/models.py", """
                            import os
                            from django.db import models
                            new = not os.path.exists(os.path.join(os.path.dirname(__file__), "migrations/0002_item.py"))
                            class Order(models.Model):
                                number = models.IntegerField(help_text="%s" if new else "")
                            class Item(models.Model):
                                order = models.ForeignKey(Order, models.CASCADE)
                            """.formatted(failing ? "new" : ""),
                        "shop/migrations/0001_initial.py", MIGRATION.formatted("", """
                            migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True)),
                                ("number", models.IntegerField())])"""),
                        "shop/migrations/0002_item.py", MIGRATION.formatted("('shop', '0001_initial')", """
                            migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)),
                                ("order", models.ForeignKey(to="shop.order", on_delete=models.CASCADE))])"""),
                        "shop/migrations/_helpers.py", "ANSWER = 42\n",
                        "crm/models.py", """
                        from django.db import models
                        class Customer(models.Model):
                            name = models.CharField(max_length=50)
                            email = models.CharField(max_length=50, default="")
                        """,
                        "crm/migrations/0001_initial.py", MIGRATION.formatted("", """
                            migrations.CreateModel("Customer", [("id", models.BigAutoField(primary_key=True)),
                                ("name", models.CharField(max_length=50))])"""),
                        "linked/0002_more.py", MIGRATION.formatted("('crm', '0001_initial')", """
                            migrations.AddField("customer", "email", models.CharField(max_length=50, default=""))"""),
                        "bare/models.py", """
                        from django.db import models
                        class Note(models.Model):
                            text = models.TextField()
                        """));
        Files.setPosixFilePermissions(
                root.resolve("crm/migrations/0001_initial.py"), PosixFilePermissions.fromString("rw-r-----"));
        Files.createSymbolicLink(root.resolve("crm/migrations/0002_more.py"), Path.of("../../linked/0002_more.py"));
    }

    private static final String ROWS = """
        INSERT INTO shop_order SELECT i, i * 7 FROM generate_series(1, 500) i;
        INSERT INTO shop_item SELECT i, 1 + i % 500 FROM generate_series(1, 900) i;
        INSERT INTO crm_customer SELECT i, 'customer ' || i, '' FROM generate_series(1, 300) i;
        INSERT INTO bare_note SELECT i, repeat('x', i) FROM generate_series(1, 50) i""";

    /** Enough tables that parking takes several transactions on the test's server, and dropping two. */
    private static final String MORE = """
        DO $do$ BEGIN
            FOR i IN 1..190 LOOP EXECUTE
                format('CREATE FUNCTION old_function_%s() RETURNS int LANGUAGE sql AS ''SELECT %s''', i, i); END LOOP;
            FOR i IN 1..50 LOOP EXECUTE format('CREATE TABLE old_table_%s AS SELECT %s AS id', i, i); END LOOP;
            FOR i IN 1..200 LOOP EXECUTE format('CREATE DOMAIN old_domain_%s AS int', i); END LOOP;
        END $do$""";

    private static String template(boolean large) {
        return large ? "large_template" : "small_template";
    }

    private static void makeTemplates(Lane lane) throws Exception {
        var root = Files.createDirectory(lane.folder.resolve("project"));
        writeProject(root, false);
        var failing = Files.createDirectory(lane.folder.resolve("failing"));
        writeProject(failing, true);
        lane.server.execute("CREATE DATABASE small_template OWNER kill_user");
        var small = lane.database(template(false));
        var project = new SampleProject(root, root).env(small);
        var migrated = project.manage(Python.venv(), "migrate", "--run-syncdb");
        assertEquals(0, migrated.code(), migrated.text());
        OldState.run(small, ROWS.split(";\n"));
        lane.server.execute("CREATE DATABASE large_template TEMPLATE small_template OWNER kill_user");
        OldState.run(lane.database(template(true)), MORE);
        for (var large : List.of(false, true))
            lane.snapshots.put(template(large), Snapshot.of(lane.database(template(large))));
    }

    /** One project on one database, and their state before. */
    private record Case(Scenario scenario, Lane lane, Path root, Postgres.Db db, List<String> oldRows,
            List<String> oldFiles, String oldOid) {
        static Case of(Scenario scenario, Lane lane) throws Exception {
            var name = "kill_%05d".formatted(DATABASES.incrementAndGet());
            var template = template(scenario.large);
            create(lane, name, template);
            var root = lane.folder.resolve(name);
            copy(lane.folder.resolve(scenario.killed.equals("failing") ? "failing" : "project"), root);
            var db = lane.database(name);
            new SampleProject(root, root).env(db);
            var rows = lane.snapshots.get(template).stream().map(line -> line.replace(template, name)).toList();
            return new Case(scenario, lane, root, db, rows, Snapshot.of(root), oid(db));
        }

        private static void create(Lane lane, String name, String template) {
            lane.server.execute("CREATE DATABASE %s TEMPLATE %s OWNER kill_user".formatted(name, template));
        }

        /**
         * After a reset. That is slow, so only the first is one; the others are copies of its files and of the
         * server's.
         */
        static Case afterReset(Scenario scenario, Lane lane) throws Exception {
            var first = lane.afterReset.get(scenario);
            if (first == null) {
                first = of(scenario, lane);
                Python.delete(lane.state());
                assertDone(first.run(scenario.reset()));
                Files.move(lane.state(), lane.state(first));
                lane.afterReset.put(scenario, first);
            }
            lane.waitUntilNoSessionIsLeft();
            return first.copied();
        }

        private Case copied() throws Exception {
            var name = "kill_%05d".formatted(DATABASES.incrementAndGet());
            var before = oldOid;
            for (var beside : Stream.concat(Stream.of(db.name()), databasesBeside().stream()).toList()) {
                var copy = beside.replace(db.name(), name);
                create(lane, copy, beside);
                if (oid(lane.database(beside)).equals(oldOid)) before = oid(lane.database(copy));
            }
            var to = lane.folder.resolve(name);
            copy(root, to);
            Python.delete(lane.state());
            copy(lane.state(this), lane.state());
            for (var folder : List.of(to.resolve(".reset"), lane.state()))
                try (var records = Files.walk(folder)) {
                    for (var record : records.filter(f -> f.endsWith("run.json")).toList())
                        Files.writeString(record, Files.readString(record).replace(db.name(), name)
                                    .replace("\"oid\": " + oldOid, "\"oid\": " + before));
                }
            var there = lane.database(name);
            new SampleProject(to, to).env(there);
            var env = Snapshot.of(to).stream().filter(line -> line.startsWith(".env ")).findFirst().orElseThrow();
            return new Case(scenario, lane, to, there,
                    oldRows.stream().map(line -> line.replace(db.name(), name)).toList(), oldFiles.stream()
                            .map(line -> line.startsWith(".env ") ? env : line).toList(), before);
        }

        private static void copy(Path from, Path to) throws IOException {
            try (Stream<Path> all = Files.walk(from)) {
                for (var file : all.filter(f -> !f.toString().contains("__pycache__")).toList())
                    Files.copy(file, to.resolve(from.relativize(file).toString()), StandardCopyOption.COPY_ATTRIBUTES,
                            LinkOption.NOFOLLOW_LINKS);
            }
        }

        private static String oid(Postgres.Db db) {
            return OldState.text(db, "SELECT oid FROM pg_database WHERE datname = current_database()");
        }

        Output run(String... args) throws Exception {
            return killed(-1, Kind.jvm, args);
        }

        Output killed(int at, Kind kind, String... args) throws Exception {
            return run("reset_migrations", at, kind, args);
        }

        Output run(String script, int at, Kind kind, String... args) throws Exception {
            return lane.run(new Request(script, Stream.concat(Stream.of(args), Stream.of("--project", root.toString()))
                    .toList(), at, kind));
        }

        List<JsonObject> status() throws Exception {
            var output = run("status", "--json");
            assertEquals(0, output.code, output.all());
            return output.out.lines().map(line -> JsonParser.parseString(line).getAsJsonObject())
                    .filter(line -> line.get("event").getAsString().equals("run")).toList();
        }

        void assertOld(String when) throws Exception {
            assertEquals(String.join("\n", oldFiles), String.join("\n", Snapshot.of(root)), "files " + when);
            assertEquals(String.join("\n", oldRows), String.join("\n", Snapshot.of(db)), "database " + when);
        }

        /** Where the old state is, without asking the tool. */
        String oldState() {
            if (scenario.strategy.equals("swap")) {
                if (oid(db).equals(oldOid)) return "OLD_IS_LIVE";
                return OldState.text(db, "SELECT count(*) FROM pg_database WHERE oid = " + oldOid).equals("1")
                        ? "NEW_IS_LIVE" : "GONE";
            }
            var template = lane.database(template(scenario.large));
            var objects = """
                SELECT coalesce(array_agg(o ORDER BY o), '{}')::text FROM (
                    SELECT 'c' || c.oid FROM pg_class c WHERE relkind IN ('r', 'S') AND relnamespace %1$s
                    UNION ALL SELECT 'f' || p.oid FROM pg_proc p WHERE pronamespace %1$s
                    UNION ALL SELECT 't' || t.oid FROM pg_type t WHERE typtype = 'd'
                        AND typnamespace %1$s) all_of (o)""";
            var old = List.of(OldState.text(template, objects.formatted("= 'public'::regnamespace"))
                    .replaceAll("[{}]", "").split(","));
            var live = List.of(OldState.text(db, objects.formatted("= 'public'::regnamespace")).replaceAll("[{}]", "")
                    .split(","));
            var parked = List.of(
                    OldState.text(db, objects.formatted("IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^parked_')"))
                            .replaceAll("[{}]", "").split(","));
            if (scenario.strategy.equals("drop")) { // objects that depend on no table stay
                var tables = List.of(OldState.text(template,
                        "SELECT string_agg('c' || oid, ',') FROM pg_class WHERE relkind = 'r' AND relnamespace"
                        + " = 'public'::regnamespace").split(","));
                return live.containsAll(tables) ? "OLD_IS_LIVE"
                        : tables.stream().noneMatch(live::contains) ? "NEW_IS_LIVE" : "HALF";
            }
            if (live.containsAll(old)) return "OLD_IS_LIVE";
            if (old.stream().noneMatch(live::contains))
                return old.stream().anyMatch(parked::contains) ? "NEW_IS_LIVE" : "GONE";
            return "HALF";
        }

        /** All other databases and schemas that were created. */
        List<String> databasesBeside() {
            var names = OldState.text(db,
                    "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datname LIKE"
                            + " current_database() || '\\_%'");
            return names == null ? List.of() : List.of(names.split(" "));
        }

        void drop() throws Exception {
            lane.waitUntilNoSessionIsLeft();
            for (var name : Stream.concat(Stream.of(db.name()), databasesBeside().stream()).toList()
                    .reversed()) lane.server.execute("DROP DATABASE IF EXISTS \"" + name + "\" WITH (FORCE)");
        }
    }

    private static List<String> schemaOnly(List<String> snapshot) {
        return snapshot.stream().filter(line ->
                        !line.startsWith("rows ") && !line.startsWith("sequence ") && !line.startsWith("database "))
                .toList();
    }

    // ---- recording ---------------------------------------------------------------------------

    @BeforeAll static void recordThePoints() throws Exception {
        var lanes = new ArrayList<Future<?>>();
        for (var name : List.of("a", "b")) lanes.add(TWO.submit(() -> {
            var lane = new Lane(temp.resolve(name));
            makeTemplates(lane);
            LANES.add(lane);
            return null;
        }));
        for (var lane : lanes) lane.get();
        onBothLanes(Stream.of(Scenario.values()).map(scenario -> (LaneTask) lane -> record(scenario, lane)).toList());
    }

    private static void record(Scenario scenario, Lane lane) throws Exception {
        var one = scenario.isReset() ? Case.of(scenario, lane) : Case.afterReset(scenario, lane);
        var output = one.run(scenario.command());
        if (scenario.killed.equals("failing")) {
            assertEquals(1, output.code, output.all());
            one.assertOld("after it was put back");
        } else {
            assertDone(output);
            if (scenario.isReset()) NEW_SCHEMA.put(scenario, schemaOnly(Snapshot.of(one.db)));
        }
        POINTS.put(scenario, output.points);
        one.drop();
    }

    private static void assertDone(Output output) {
        assertEquals(0, output.code, output.all());
    }

    interface LaneTask {
        void on(Lane lane) throws Exception;
    }

    private static void onBothLanes(List<LaneTask> tasks) throws Exception {
        var running = new ArrayList<Future<?>>();
        for (var task : tasks) running.add(TWO.submit(() -> {
            var lane = LANES.take();
            try {
                task.on(lane);
            } finally {
                LANES.add(lane);
            }
            return null;
        }));
        for (var task : running) task.get();
    }

    @AfterAll static void figures() throws Exception {
        System.out.printf("%d of %d kill points recovered%s%n", RECOVERED.get(), TRIED.get(), Sample.described());
        TWO.shutdownNow();
        for (var lane : LANES) lane.close();
    }

    // ---- killing -----------------------------------------------------------------------------

    private record Kill(int at, Kind kind) {}

    private static List<Kill> kills(Scenario scenario) {
        var points = POINTS.get(scenario);
        var first = scenario.killed.equals("failing") ? IntStream.range(0, points.size())
                .filter(i -> points.get(i).startsWith("before: check")).findFirst().orElseThrow() + 1 : 0;
        var kills = new ArrayList<Kill>();
        for (int at = first; at < points.size(); at++) {
            kills.add(new Kill(at, Kind.jvm));
            if (!scenario.killed.matches("reset|undo|purge") || !points.get(at)
                    .matches("before: (?!keep|back up).*|.*COMMIT|between the two.*|migrated, .*|moved"
                    + " some.*|dropped some")) continue;
            kills.add(new Kill(at, Kind.server));
            if (!scenario.isReset()) continue;
            kills.add(new Kill(at, Kind.driver));
            if (!points.get(at).startsWith("before: ")) kills.add(new Kill(at, Kind.both));
        }
        return kills;
    }

    @ParameterizedTest @EnumSource(Scenario.class)
    void after_any_kill_the_old_or_the_new_state_is_complete(Scenario scenario) throws Exception {
        var wrong = new ConcurrentLinkedQueue<String>();
        var points = POINTS.get(scenario);
        var tasks = new ArrayList<LaneTask>();
        var begun = System.nanoTime();
        for (var kill : Sample.of(scenario.name(), kills(scenario), 1, Kill::kind)) tasks.add(lane -> {
                TRIED.incrementAndGet();
                try {
                    var one = scenario.isReset() ? Case.of(scenario, lane) : Case.afterReset(scenario, lane);
                    recover(one, kill);
                    RECOVERED.incrementAndGet();
                    one.drop();
                } catch (Throwable e) {
                    wrong.add("%s, %s killed at %d, %s: %s\n  %s"
                            .formatted(scenario, kill.kind, kill.at, points.get(kill.at), shortened("" + e), where(e)));
                }
            });
        onBothLanes(tasks);
        System.out.printf("%s: %d points, %d kills, %d s%n",
                scenario, points.size(), tasks.size(), (System.nanoTime() - begun) / 1_000_000_000);
        assertEquals("", String.join("\n\n", wrong));
    }

    private static String shortened(String text) {
        return text.length() < 4000 ? text : text.substring(0, 4000) + " …";
    }

    private static List<StackTraceElement> where(Throwable e) {
        return Stream.of(e.getStackTrace()).filter(frame -> frame.getClassName().startsWith("KillTest")).limit(4)
                .toList();
    }

    private static void recover(Case one, Kill kill) throws Exception {
        var scenario = one.scenario;
        var newRows = scenario.isReset() ? null : Snapshot.of(one.db);
        var newFiles = Snapshot.of(one.root);
        var output = one.killed(kill.at, kill.kind, scenario.command());
        assertNotEquals(null, output.killedAt, "the point was not reached: " + output.all());
        one.lane.waitUntilNoSessionIsLeft();
        if (kill.kind == Kind.jvm || kill.kind == Kind.both) assertEquals(137, output.code, output.all());
        else assertFalse(output.err.contains("bug in the tool"), output.all());
        switch (scenario.killed) {
            case "purge" -> afterPurge(one, kill, output, newRows, newFiles);
            case "undo" -> afterUndo(one, output);
            default -> afterReset(one, kill, output);
        }
    }

    // ---- after a killed reset ----------------------------------------------------------------

    private static void afterReset(Case one, Kill kill, Output killed) throws Exception {
        var runs = one.status();
        if (runs.isEmpty()) { // nothing was begun, or all was put back
            assertTrue(List.of(1, 137).contains(killed.code), killed.all());
            one.assertOld("without a run");
            assertEquals(2, one.run("undo", "--yes").code);
            one.assertOld("after an undo that had nothing to do");
            assertSwept(one);
            return;
        }
        assertEquals(1, runs.size());
        var run = runs.getFirst();
        assertTruthful(one, run);
        if (run.get("outcome").getAsString().equals("done")) {
            assertTrue(List.of(0, 137).contains(killed.code), killed.all());
            assertNew(one);
        } else {
            assertTrue(List.of(3, 137).contains(killed.code), killed.all());
            if (killed.code == 3)
                assertTrue(killed.err.contains("undo") || killed.err.contains("restore"), killed.all());
            unfinished(one, run);
        }
        if (one.scenario.strategy.equals("drop") && !one.oldState().equals("OLD_IS_LIVE")) afterDrop(one, kill);
        else undo(one);
    }

    private static void assertNew(Case one) throws Exception {
        var schema = NEW_SCHEMA.get(one.scenario);
        if (schema != null)
            assertEquals(
                    String.join("\n", schema), String.join("\n", schemaOnly(Snapshot.of(one.db))), "the new schema");
        assertNotEquals(one.oldFiles, Snapshot.of(one.root));
    }

    /** Compares what status says with what the test finds. */
    private static void assertTruthful(Case one, JsonObject run) throws Exception {
        assertEquals(one.oldState(), run.get("state").getAsString(), run.toString());
        assertEquals(one.oldFiles.equals(Snapshot.of(one.root).stream().filter(line -> !line.contains("/~")).toList()),
                run.get("old_files_in_place").getAsBoolean(), run.toString());
        for (var name : one.databasesBeside())
            assertTrue(run.get("aside").getAsString().contains(name), name + " is not named: " + run);
    }

    private static void unfinished(Case one, JsonObject run) throws Exception {
        var files = Snapshot.of(one.root);
        var dropped = one.scenario.strategy.equals("drop") && !run.get("state").getAsString().equals("OLD_IS_LIVE");
        if (!dropped) { // after a drop, another reset is the remedy
            var refused = one.run(one.scenario.reset());
            assertEquals(4, refused.code, refused.all());
            for (var way : List.of("undo", "finish"))
                assertTrue(refused.err.contains("reset_migrations " + way + " " + run.get("run").getAsString()),
                        refused.all());
        }
        var finish = one.run("finish");
        if (finish.code == 0) {
            assertTrue(run.get("new_files_in_place").getAsBoolean()
                    && run.get("state").getAsString().equals("NEW_IS_LIVE"), run + finish.all());
            assertNew(one);
            assertEquals("done", one.status().getFirst().get("outcome").getAsString());
        } else {
            assertEquals(4, finish.code, finish.all());
            assertTrue(
                    finish.err.contains(dropped ? "backup_database restore" : "reset_migrations undo"), finish.all());
            assertEquals(one.oldState(), run.get("state").getAsString());
        }
        assertEquals(files, Snapshot.of(one.root));
    }

    private static void undo(Case one) throws Exception {
        var beside = one.databasesBeside();
        var undo = one.run("undo", "--yes");
        assertDone(undo);
        one.assertOld("after undo");
        var again = one.run("undo", "--yes");
        assertEquals(2, again.code, again.all());
        assertTrue(again.err.contains("no reset to go back to") && again.err.contains("(undone)"), again.all());
        one.assertOld("after a second undo");
        var run = one.status().getFirst();
        assertTruthful(one, run);
        assertEquals("undone", run.get("outcome").getAsString());
        assertEquals(beside.size(), one.databasesBeside().size(), "undo drops nothing");
        assertSwept(one);
    }

    /** A run that was killed while its folder was created leaves nothing. */
    private static void assertSwept(Case one) throws Exception {
        for (var folder : List.of(one.root.resolve(".reset"), one.lane.state())) {
            if (!Files.isDirectory(folder)) continue;
            try (var left = Files.list(folder)) {
                assertEquals(List.of(), left.filter(f -> f.getFileName().toString().startsWith("~")).toList());
            }
        }
    }

    /** The tables are dropped: undo refuses and names the backup, which has all of them. */
    private static void afterDrop(Case one, Kill kill) throws Exception {
        var undo = one.run("undo", "--yes");
        assertEquals(4, undo.code, undo.all());
        Path backup;
        try (var backups = Files.list(one.root.resolve("backups"))) {
            backup = backups.filter(f -> f.toString().endsWith(".dump.zst")).findFirst().orElseThrow();
        }
        assertTrue(undo.err.contains(backup.toString()), undo.all());
        if (kill.kind != Kind.jvm || kill.at % 4 != 0) return; // the same file each time
        var into = one.db.name() + "_restored";
        assertDone(one.run("backup_database", -1, Kind.jvm, "restore", backup.toString(), "--into", into));
        var restored = one.lane.database(into);
        assertEquals(rowsOnly(one.oldRows), rowsOnly(Snapshot.of(restored)));
        assertEquals(schemaOnly(one.oldRows), schemaOnly(Snapshot.of(restored)));
    }

    private static String rowsOnly(List<String> snapshot) {
        return String.join("\n", snapshot.stream()
                .filter(line -> line.startsWith("rows ") || line.startsWith("sequence ")).toList());
    }

    // ---- after a killed undo -----------------------------------------------------------------

    private static void afterUndo(Case one, Output killed) throws Exception {
        var run = one.status().getFirst();
        assertTruthful(one, run);
        if (run.get("outcome").getAsString().equals("undone")) {
            one.assertOld("after an undo that was killed behind its end");
            assertEquals(2, one.run("undo", "--yes").code);
            return;
        }
        if (killed.code == 137 && !one.oldState().equals("NEW_IS_LIVE")) unfinished(one, run);
        undo(one);
    }

    // ---- after a killed purge ----------------------------------------------------------------

    private static void afterPurge(Case one, Kill kill, Output killed, List<String> rows, List<String> files)
            throws Exception {
        assertEquals(String.join("\n", rows), String.join("\n", Snapshot.of(one.db)), "purge touches nothing live");
        assertEquals(files, Snapshot.of(one.root));
        var runs = one.status();
        if (kill.at % 2 == 1 && !runs.isEmpty()) { // undo works only while everything still exists
            var undo = one.run("undo", "--yes");
            if (undo.code == 0) {
                one.assertOld("after an undo in the middle of a purge");
                return;
            }
            assertEquals(4, undo.code, undo.all());
            assertEquals(
                    String.join("\n", rows), String.join("\n", Snapshot.of(one.db)), "a refused undo touches nothing");
            assertEquals(files, Snapshot.of(one.root));
        }
        var again = one.run("purge", "--yes");
        assertEquals(runs.isEmpty() ? 2 : 0, again.code, again.all());
        assertEquals(List.of(), one.status());
        assertEquals(List.of(), one.databasesBeside());
        assertEquals(
                "0", OldState.text(one.db, "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(parked|undone)_'"));
        assertEquals(String.join("\n", rows), String.join("\n", Snapshot.of(one.db)));
        try (var backups = Files.walk(one.root.resolve("backups"))) {
            var kept = backups.map(Path::toString).toList();
            assertTrue(kept.stream().anyMatch(f -> f.endsWith(".dump.zst"))
                            && kept.stream().anyMatch(f -> f.endsWith("/old/shop/migrations/0002_item.py")),
                    kept.toString());
        }
    }

    // ---- in the middle of a statement --------------------------------------------------------

    /** No ROLLBACK is sent: the driver has to notice that the tool is gone, and the server that the driver is. */
    @Test
    void a_statement_that_would_take_minutes_is_rolled_back_when_the_tool_is_killed() throws Exception {
        onBothLanes(List.of(lane -> {
            var one = Case.of(Scenario.PARK, lane);
            SampleProject.write(one.root, "crm/apps.py", """
                from django.apps import AppConfig
                from django.db import connection
                from django.db.models.signals import post_migrate

                def wait(**kwargs):
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_sleep(300)")

                class CrmConfig(AppConfig):
                    name = "crm"

                    def ready(self):
                        post_migrate.connect(wait)
                """);
            var tool = Tool.in(one.root, "reset_migrations")
                    .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                    .start("--yes", "--strategy", "park");
            waitUntil("the migrations run", () -> !tool.isAlive() || OldState.text(one.db,
                    "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep.300' AND"
                    + " pid <> pg_backend_pid()").equals("1"));
            var pythons = tool.descendants().toList();
            assertFalse(pythons.isEmpty());
            tool.destroyForcibly().waitFor();
            for (var python : pythons)
                waitUntil("the driver ends with the tool", () -> !CrashingServer.isAlive(python));
            one.lane.waitUntilNoSessionIsLeft();
            assertEquals(String.join("\n", one.oldRows), String.join("\n", Snapshot.of(one.db)));
            one.drop();
        }));
    }

    // ---- the check can fail ------------------------------------------------------------------

    @Test void without_the_record_the_check_fails() throws Exception {
        onBothLanes(List.of(lane -> {
            var points = POINTS.get(Scenario.SWAP);
            var one = Case.of(Scenario.SWAP, lane);
            var killed = one.killed(points.lastIndexOf("after COMMIT"), Kind.jvm, Scenario.SWAP.reset());
            one.lane.waitUntilNoSessionIsLeft();
            for (var folder : List.of(
                    one.root.resolve(".reset"), lane.folder.resolveSibling(lane.folder.getFileName() + ".state")))
                try (var records = Files.walk(folder)) {
                    for (var record : records.filter(f -> f.endsWith("run.json")).toList()) Files.delete(record);
                }
            assertThrows(AssertionError.class, () -> afterReset(one, new Kill(0, Kind.jvm), killed));
            one.drop();
        }));
    }
}
