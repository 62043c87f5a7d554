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
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import lib.backup.Backup;
import lib.backup.Manifest;
import lib.cli.Cli;
import lib.environment.Environment;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.process.Program;
import lib.project.Credentials;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.OldState;
import support.Postgres;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/**
 * Kills backup_database at every checkpoint: what is listed as good restores, earlier backups and the live database are
 * unchanged, and every command still works. A restore in place also fails at each of its checkpoints.
 */
@Isolated("two commands at a time of its own")
@EnabledOnOs(value = OS.LINUX, disabledReason = "a process is killed by kill -KILL")
class BackupKillTest {
    /** What happens at the checkpoint: the process is killed, or the step fails. */
    enum Kind { kill, fail }

    /** @param command of backup_database, except UNDO; OLD, NEW and BAD are files, NEWDB is a name */
    enum Scenario {
        CREATE("create", "--keep-last", "2"),
        VERIFY("verify", "OLD"),
        VERIFY_DAMAGED("verify", "BAD"),
        INTO("restore", "NEW", "--into", "NEWDB"),
        PRUNE("prune", "--keep-last", "1"),
        RESTORE("restore", "OLD", "--yes"),
        RESTORE_PUT_BACK("restore", "STRANGE", "--yes"),
        UNDO("undo", "--yes");

        final List<String> command;

        Scenario(String... command) {
            this.command = List.of(command);
        }

        boolean ownDatabase() {
            return this == RESTORE || this == RESTORE_PUT_BACK || this == UNDO;
        }
    }

    private static final AtomicInteger TRIED = new AtomicInteger(),
            HELD = new AtomicInteger(),
            CASES = new AtomicInteger();
    private static final Map<Scenario, List<String>> POINTS = new ConcurrentHashMap<>();
    private static final BlockingQueue<Lane> LANES = new ArrayBlockingQueue<>(2);
    private static final ExecutorService TWO = Executors.newFixedThreadPool(2);
    @TempDir static Path temp;

    // ---- the worker: a JVM that runs commands until it is killed -----------------------------

    /** @param at the checkpoint, from 0; -1: none */
    record Request(String script, List<String> args, int at, Kind kind) {}

    /** @param code 137 when it was killed */
    record Output(int code, String out, String err, List<String> points) {
        String all() {
            return "exit " + code + "\n" + out + err;
        }
    }

    static final class Worker {
        private static final Gson JSON = new Gson();
        private static final PrintStream ANSWERS = System.out;
        private static final List<String> POINTS = new ArrayList<>();
        private static Request request;

        public static void main(String... none) throws Exception {
            var requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            Checkpoint.listen(Worker::reached);
            for (String line; (line = requests.readLine()) != null; ) {
                request = JSON.fromJson(line, Request.class);
                POINTS.clear();
                var out = new ByteArrayOutputStream();
                var err = new ByteArrayOutputStream();
                System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
                System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
                var script = request.script.equals("reset_migrations") ? new reset_migrations() : new backup_database();
                var code = Cli.commandLine(script).execute(request.args.toArray(String[]::new));
                ANSWERS.println(JSON.toJson(new Output(
                        code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8), POINTS)));
                ANSWERS.flush();
            }
        }

        private static void reached(String point) {
            POINTS.add(point);
            if (POINTS.size() - 1 != request.at) return;
            if (request.kind == Kind.fail) throw Failure.failed(point + ": made to fail here");
            try {
                new ProcessBuilder("kill", "-KILL", "" + ProcessHandle.current().pid()).start();
                Thread.sleep(60_000);
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    /** A role with a database and backups, a victim started in advance, and a checker, which is kept and warm. */
    private static final class Lane implements AutoCloseable {
        final Path folder;
        final Postgres.Role role;
        final Postgres.Db pristine, live;
        final Map<String, Path> files = new TreeMap<>();
        final Map<String, List<String>> rowsOf = new TreeMap<>();
        final Path damaged, strange;
        private final Process checker;
        private Process next;

        /** Three good backups, one that differs from its manifest, one that needs a missing role. */
        Lane(Path folder, String name) throws Exception {
            this.folder = Files.createDirectory(folder).toRealPath();
            checker = start();
            next = start();
            role = Postgres.role("backup_kill", "CREATEDB");
            live = Postgres.database("backup_live_" + name, role);
            OldState.run(live, ROWS);
            var pgDump = Environment.withoutDjango(null, null).pgProgram("pg_dump", 15);
            var made = this.folder.resolve("made");
            backUp("OLD", pgDump, made);
            backUp("MIDDLE", pgDump, made);
            OldState.run(live, "INSERT INTO customer (name) VALUES ('later')");
            backUp("NEW", pgDump, made);
            damaged = Backup.create(credentials(live), pgDump, made, words -> {}).file();
            var bytes = Files.readAllBytes(damaged);
            bytes[bytes.length / 2] ^= 16;
            Files.write(damaged, bytes);
            var leaver = Postgres.role("leaver", "");
            var left = Postgres.database(leaver);
            OldState.run(left, "CREATE TABLE t (id int)");
            strange = Backup.create(
                            credentials(left.as(Postgres.SUPERUSER)),
                            pgDump,
                            this.folder.resolve("strange"),
                            words -> {})
                    .file();
            Postgres.execute("DROP DATABASE " + left.name());
            Postgres.execute("DROP ROLE " + leaver.name());
            OldState.run(live, "DELETE FROM invoice WHERE id > 100");
            pristine = copyOfLive("backup_pristine_" + name);
        }

        private void backUp(String as, Program pgDump, Path folder) throws Exception {
            files.put(as, Backup.create(credentials(live), pgDump, folder, words -> {}).file());
            rowsOf.put(as, Snapshot.of(live));
        }

        Postgres.Db copyOfLive(String name) {
            Postgres.execute("CREATE DATABASE %s TEMPLATE %s OWNER %s"
                    .formatted(name, pristine == null ? live.name() : pristine.name(), role.name()));
            return new Postgres.Db(live.host(), live.port(), name, role);
        }

        private Process start() throws IOException {
            return Tool.in(folder, "BackupKillTest$Worker").start();
        }

        Output run(Request request) throws IOException, InterruptedException {
            if (request.at < 0 || request.kind == Kind.fail) return outputOf(checker, request);
            var victim = next;
            next = start();
            try {
                return outputOf(victim, request);
            } finally {
                victim.destroyForcibly();
            }
        }

        private static Output outputOf(Process worker, Request request) throws IOException, InterruptedException {
            worker.getOutputStream().write((new Gson().toJson(request) + "\n").getBytes(StandardCharsets.UTF_8));
            worker.getOutputStream().flush();
            var line = worker.inputReader(StandardCharsets.UTF_8).readLine();
            return line != null
                    ? new Gson().fromJson(line, Output.class)
                    : new Output(worker.waitFor(), "", "", List.of());
        }

        @Override public void close() throws Exception {
            for (var worker : List.of(next, checker)) worker.destroyForcibly().waitFor();
        }
    }

    // ---- projects with backups ---------------------------------------------------------------

    private static final String ROWS = """
        CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
        CREATE TABLE invoice (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customer, note text);
        CREATE VIEW names AS SELECT name FROM customer;
        INSERT INTO customer (name) SELECT 'Zoë ' || i FROM generate_series(1, 300) i;
        INSERT INTO invoice (customer, note) SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, 300) i;
        SELECT lo_from_bytea(0, 'a large object')""";

    @BeforeAll static void backupsAndPoints() throws Exception {
        for (var name : List.of("a", "b")) LANES.add(new Lane(temp.resolve(name), name));
        onBothLanes(Stream.of(Scenario.values())
                .map(scenario -> (LaneTask) lane -> {
                    try (var one = new Case(scenario, lane)) {
                        var output = one.run(-1, Kind.kill);
                        assertEquals(
                                scenario == Scenario.VERIFY_DAMAGED || scenario == Scenario.RESTORE_PUT_BACK ? 1 : 0,
                                output.code,
                                output.all());
                        POINTS.put(scenario, output.points);
                        one.holds(output, "");
                    }
                })
                .toList());
    }

    private static Credentials credentials(Postgres.Db db) {
        return new Credentials(db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
    }

    /** A separate project with the lane's backups, and a separate database for the restore in place. */
    private static final class Case implements AutoCloseable {
        final Scenario scenario;
        final Lane lane;
        final Path root;
        final Path backups;
        final Postgres.Db db;
        final List<String> rows;
        final Map<String, String> files;
        final String into;
        List<String> restored = List.of();

        Case(Scenario scenario, Lane lane) throws Exception {
            this.scenario = scenario;
            this.lane = lane;
            var name = "case_%05d".formatted(CASES.incrementAndGet());
            into = name + "_into";
            root = Files.createDirectory(lane.folder.resolve(name));
            Files.writeString(root.resolve("manage.py"), "");
            db = scenario.ownDatabase() ? lane.copyOfLive(name) : lane.live;
            new SampleProject(root, root).env(db);
            rows = Snapshot.of(db);
            backups = Files.createDirectory(root.resolve("backups"));
            for (var file : lane.files.values()) copy(file, backups);
            if (scenario == Scenario.VERIFY_DAMAGED) copy(lane.damaged, backups);
            if (scenario == Scenario.UNDO) {
                assertDone(tool(
                        "backup_database",
                        "restore",
                        backups.resolve(lane.files.get("OLD").getFileName()).toString(),
                        "--yes"));
                restored = Snapshot.of(db);
                assertNotEquals(rows, restored);
            }
            files = content();
        }

        private static void copy(Path backup, Path to) throws IOException {
            for (var file : List.of(backup, Manifest.fileOf(backup))) Files.copy(file, to.resolve(file.getFileName()));
        }

        Output run(int at, Kind kind) throws Exception {
            var args = scenario.command.stream().map(word -> switch (word) {
                case "OLD", "NEW" -> backups.resolve(lane.files.get(word).getFileName()).toString();
                case "BAD" -> backups.resolve(lane.damaged.getFileName()).toString();
                case "STRANGE" -> lane.strange.toString();
                case "NEWDB" -> into;
                default -> word;
            });
            return lane.run(new Request(
                    scenario == Scenario.UNDO ? "reset_migrations" : "backup_database", inProject(args), at, kind));
        }

        Output tool(String script, String... args) throws Exception {
            var output = lane.run(new Request(script, inProject(Stream.of(args)), -1, Kind.kill));
            assertFalse(output.err.contains("bug in the tool"), output.all());
            return output;
        }

        private List<String> inProject(Stream<String> args) {
            return Stream.concat(args, Stream.of("--project", root.toString())).toList();
        }

        List<JsonObject> events(String kind, String script, String... args) throws Exception {
            var output = tool(script, Stream.concat(Stream.of(args), Stream.of("--json")).toArray(String[]::new));
            assertDone(output);
            return output.out
                    .lines()
                    .map(line -> JsonParser.parseString(line).getAsJsonObject())
                    .filter(line -> line.get("event").getAsString().equals(kind))
                    .toList();
        }

        /** The files in the folder: name, and hash of the content. */
        Map<String, String> content() throws IOException {
            var found = new TreeMap<String, String>();
            try (var all = Files.list(backups)) {
                for (var file : all.filter(f -> !f.getFileName().toString().matches("\\.lock|\\.gitignore"))
                        .toList()) found.put(file.getFileName().toString(), Disk.sha256(Files.readAllBytes(file)));
            }
            return found;
        }

        List<String> databases() {
            var names = OldState.text(
                    lane.live,
                    "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE datdba = current_user::regrole AND datname NOT IN ('%s', '%s', '%s')"
                            .formatted(lane.live.name(), lane.pristine.name(), db.name()));
            return names == null ? List.of() : List.of(names.split(" "));
        }

        // ---- invariants ----------------------------------------------------------------------

        void holds(Output output, String point) throws Exception {
            listedBackupsAreGood();
            earlierBackupsAreUnchanged();
            switch (scenario) {
                case CREATE, PRUNE -> assertEquals(List.of(), databases());
                case VERIFY, VERIFY_DAMAGED -> afterVerify(output);
                case INTO -> afterInto(output);
                case RESTORE, RESTORE_PUT_BACK, UNDO -> afterRestore(output, point);
            }
            assertEquals(String.join("\n", rows), String.join("\n", Snapshot.of(db)), "the live database");
            commandsStillWork();
        }

        /** Every backup that is listed as good and is not an unchanged earlier one restores. */
        private void listedBackupsAreGood() throws Exception {
            var now = content();
            for (var found : events("found", "backup_database", "list")) {
                var file = Path.of(found.get("file").getAsString());
                var name = file.getFileName().toString();
                var untouched = now.get(name).equals(files.get(name))
                        && !name.equals(lane.damaged.getFileName().toString());
                if (found.get("proof").getAsString().equals("none") || untouched) continue;
                var verified = tool("backup_database", "verify", file.toString());
                if (scenario == Scenario.VERIFY_DAMAGED
                        && now.get(name + Manifest.SUFFIX).equals(files.get(name + Manifest.SUFFIX)))
                    assertEquals(1, verified.code, verified.all()); // it has not been noticed yet
                else assertDone(verified);
            }
        }

        /** Byte by byte. What prune removes may be gone, or half gone and not good; verify may have recorded a result. */
        private void earlierBackupsAreUnchanged() throws Exception {
            var now = content();
            for (var file : files.entrySet()) {
                var name = file.getKey();
                var backup = name.replaceFirst("\\.json$", "");
                if (file.getValue().equals(now.get(name))) continue;
                var may =
                        switch (scenario) {
                            case PRUNE, CREATE ->
                                !backup.equals(lane.files
                                                .get("NEW")
                                                .getFileName()
                                                .toString())
                                        && now.get(name) == null;
                            case VERIFY ->
                                name.endsWith(".json")
                                        && backup.equals(lane.files
                                                .get("OLD")
                                                .getFileName()
                                                .toString())
                                        && now.get(name) != null;
                            case VERIFY_DAMAGED ->
                                name.endsWith(".json")
                                        && backup.equals(
                                                lane.damaged.getFileName().toString());
                            default -> false;
                        };
                assertTrue(may, name + " was touched");
            }
        }

        /** A killed verify leaves its scratch database; the next verify a day later drops it. */
        private void afterVerify(Output output) throws Exception {
            var left = databases();
            if (output.code != 137) assertEquals(List.of(), left);
            for (var name : left) {
                assertTrue(name.matches("backup_verify_\\d{8}_\\d{6}_[0-9a-f]{4}"), name);
                OldState.run(
                        lane.live,
                        "ALTER DATABASE %s RENAME TO backup_verify_20200101_000000_%s"
                                .formatted(name, name.substring(name.length() - 4)));
            }
            assertDone(tool(
                    "backup_database",
                    "verify",
                    backups.resolve(lane.files.get("NEW").getFileName()).toString()));
            assertEquals(List.of(), databases());
            if (scenario != Scenario.VERIFY_DAMAGED) return;
            assertEquals(1, run(-1, Kind.kill).code);
            assertTrue(events("found", "backup_database", "list").stream()
                    .anyMatch(found -> found.get("file").getAsString().endsWith("/" + lane.damaged.getFileName())
                            && found.get("proof").getAsString().equals("none")));
        }

        /** The database with the new name is complete, or does not exist. */
        private void afterInto(Output output) throws Exception {
            if (output.code == 1) assertEquals(List.of(), databases());
            else if (output.code != 137) assertEquals(List.of(into), databases());
            for (var left : databases()) {
                if (left.equals(into)) continue;
                assertTrue(left.matches("backup_restore_\\d{8}_\\d{6}_[0-9a-f]{4}"), left);
                OldState.run(
                        lane.live,
                        "ALTER DATABASE %s RENAME TO backup_restore_20200101_000000_%s"
                                .formatted(left, left.substring(left.length() - 4)));
            }
            if (!databases().contains(into)) assertDone(run(-1, Kind.kill));
            assertEquals(List.of(into), databases());
            assertEquals(
                    without(lane.rowsOf.get("NEW")),
                    without(Snapshot.of(new Postgres.Db(db.host(), db.port(), into, db.role()))));
            OldState.run(lane.live, "DROP DATABASE " + into);
        }

        private static String without(List<String> snapshot) {
            return String.join("\n", snapshot.stream().filter(line -> !line.startsWith("database ")).toList());
        }

        private void afterRestore(Output output, String point) throws Exception {
            var runs = events("run", "reset_migrations", "status");
            var open = runs.stream().filter(run -> !run.get("outcome").getAsString().equals("undone")).toList();
            if (output.code == 0 && scenario == Scenario.RESTORE)
                assertEquals(without(lane.rowsOf.get("OLD")), without(Snapshot.of(db)));
            if (runs.isEmpty()) { // it did not start, or was undone
                assertTrue(
                        List.of(1, 137).contains(output.code) || point.equals("removed, but not swept"), output.all());
                assertEquals(List.of(), databases());
                assertEquals(2, tool("reset_migrations", "undo", "--yes").code);
            } else if (!open.isEmpty()) {
                assertTrue(List.of(0, 3, 137).contains(output.code) || scenario == Scenario.UNDO, output.all());
                var live = Snapshot.of(db);
                var old = open.getFirst().get("state").getAsString().equals("OLD_IS_LIVE");
                assertEquals(old, live.equals(rows), open.getFirst().toString());
                if (!old) assertEquals(without(lane.rowsOf.get("OLD")), without(live)); // never a part of it
                for (var name : databases())
                    assertTrue(
                            open.getFirst().get("aside").getAsString().contains(name), name + " is not named: " + open);
                assertDone(tool("reset_migrations", "undo", "--yes"));
            }
            assertEquals(String.join("\n", rows), String.join("\n", Snapshot.of(db)), "after undo");
            if (!runs.isEmpty()) {
                assertEquals(
                        "undone",
                        events("run", "reset_migrations", "status")
                                .getFirst()
                                .get("outcome")
                                .getAsString());
                assertEquals(2, tool("reset_migrations", "undo", "--yes").code); // the undo is recorded
                assertDone(tool("reset_migrations", "purge", "--all", "--no-backup", "--yes"));
            }
            assertEquals(List.of(), databases());
            assertEquals(List.of(), events("run", "reset_migrations", "status"));
        }

        /** Prune works, and so does the next backup, which removes leftovers. */
        private void commandsStillWork() throws Exception {
            if (scenario == Scenario.VERIFY) { // the leftovers of a killed verify do not prevent it
                assertDone(tool("backup_database", "prune", "--keep-last", "1"));
                assertFalse(Files.exists(backups.resolve(lane.files.get("OLD").getFileName())));
            }
            var before = content();
            var made = events("backup", "backup_database", "create").getFirst();
            assertFalse(before.containsKey(Path.of(made.get("file").getAsString()).getFileName().toString()));
            var now = content();
            for (var name : now.keySet())
                assertTrue(
                        name.endsWith(".dump.zst")
                                || name.endsWith(".json") && now.containsKey(name.replaceFirst("\\.json$", "")),
                        name + " is left");
            var latest = events("found", "backup_database", "list").getFirst();
            assertEquals(made.get("file"), latest.get("file"));
            assertEquals("stream", latest.get("proof").getAsString());
            if (CASES.get() % 4 == 0) assertDone(tool("backup_database", "verify", "--latest"));
        }

        @Override public void close() throws Exception {
            for (var name : databases()) OldState.run(lane.live, "DROP DATABASE " + Postgres.quoted(name));
            if (!scenario.ownDatabase()) return;
            Postgres.execute("DROP DATABASE " + Postgres.quoted(db.name()) + " WITH (FORCE)");
        }
    }

    private static void assertDone(Output output) {
        assertEquals(0, output.code, output.all());
    }

    private interface LaneTask {
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
        System.out.printf(
                "backups: %d of %d points where power was cut or an act failed hold%s%n",
                HELD.get(), TRIED.get(), Sample.described());
        TWO.shutdownNow();
        for (var lane : LANES) lane.close();
    }

    // ---- the tests ---------------------------------------------------------------------------

    private record Cut(int at, Kind kind) {}

    /** The last of checkpoints with the same state. Restore in place fails at each, the others where a step starts. */
    private static List<Cut> cuts(Scenario scenario) {
        var points = POINTS.get(scenario);
        var cuts = new ArrayList<Cut>();
        for (int at = 0; at < points.size(); at++) {
            var point = points.get(at);
            var next = at + 1 < points.size() ? points.get(at + 1) : "";
            if (point.startsWith("after: ") && next.startsWith("before: ")
                    || point.startsWith("finished: ") && next.startsWith("finished: ")) continue;
            cuts.add(new Cut(at, Kind.kill));
            if (scenario == Scenario.RESTORE || point.startsWith("before: ")) cuts.add(new Cut(at, Kind.fail));
        }
        return cuts;
    }

    @ParameterizedTest
    @EnumSource(Scenario.class)
    void wherever_it_is_cut_short_good_ones_stay_good_and_nothing_else_is_called_so(Scenario scenario)
            throws Exception {
        var wrong = new ConcurrentLinkedQueue<String>();
        var points = POINTS.get(scenario);
        var begun = System.nanoTime();
        var tasks = new ArrayList<LaneTask>();
        for (var cut : Sample.of(scenario.name(), cuts(scenario), 1, Cut::kind))
            tasks.add(lane -> {
                TRIED.incrementAndGet();
                try (var one = new Case(scenario, lane)) {
                    var output = one.run(cut.at, cut.kind);
                    if (cut.kind == Kind.kill) assertEquals(137, output.code, output.all());
                    else assertTrue(output.err.contains("made to fail here") || output.code != 0, output.all());
                    one.holds(output, points.get(cut.at));
                    HELD.incrementAndGet();
                } catch (Throwable e) {
                    wrong.add("%s, %s at %d, %s: %s\n  %s"
                            .formatted(
                                    scenario,
                                    cut.kind,
                                    cut.at,
                                    points.get(cut.at),
                                    e,
                                    Stream.of(e.getStackTrace())
                                            .filter(f -> f.getClassName().startsWith("BackupKill"))
                                            .limit(4)
                                            .toList()));
                }
            });
        onBothLanes(tasks);
        System.out.printf(
                "%s: %d points, %d cuts, %.0f s%n",
                scenario, points.size(), tasks.size(), (System.nanoTime() - begun) / 1e9);
        assertEquals("", String.join("\n\n", wrong));
    }

    /** Each of them is a forbidden state, which the check finds. */
    @Test void the_check_detects_damage() throws Exception {
        onBothLanes(List.of(
                lane -> {
                    try (var one = new Case(Scenario.CREATE, lane)) {
                        var done = one.run(-1, Kind.kill);
                        var old = one.backups.resolve(lane.files.get("NEW").getFileName());
                        var bytes = Files.readAllBytes(old);
                        var manifest = Files.readString(Manifest.fileOf(old));
                        bytes[bytes.length / 2] ^= 1;
                        Files.write(old, bytes); // an earlier backup is altered
                        assertThrows(AssertionError.class, () -> one.holds(done, ""));
                        bytes[bytes.length / 2] ^= 1;
                        Files.write(old, bytes);
                        Files.writeString(Manifest.fileOf(old), manifest);
                        var half = one.backups.resolve(
                                lane.live.name() + "_20240101_000000.dump.zst"); // a part of a file is listed as good
                        Files.write(half, Arrays.copyOf(bytes, bytes.length / 2));
                        Files.writeString(
                                Manifest.fileOf(half),
                                manifest.replace(
                                                old.getFileName().toString(),
                                                half.getFileName().toString())
                                        .replaceFirst("\"bytes\": " + bytes.length, "\"bytes\": " + bytes.length / 2));
                        assertThrows(AssertionError.class, () -> one.holds(done, ""));
                        Files.delete(half);
                        Files.delete(Manifest.fileOf(half));
                        Postgres.execute("CREATE DATABASE left_behind OWNER " + lane.role.name()); // a database is left
                        assertThrows(AssertionError.class, () -> one.holds(done, ""));
                        Postgres.execute("DROP DATABASE left_behind");
                        one.holds(done, "");
                    }
                },
                lane -> {
                    try (var one = new Case(Scenario.RESTORE, lane)) {
                        OldState.run(
                                one.db, "UPDATE customer SET name = 'Zoe' WHERE id = 7"); // a row is changed
                        assertThrows(AssertionError.class, () -> one.holds(new Output(137, "", "", List.of()), ""));
                    }
                }));
    }
}
