///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES ../lib/Lib.java
//SOURCES ../tests/support/Postgres.java
//SOURCES ../tests/support/Python.java
//SOURCES ../tests/support/Repo.java
//SOURCES ../tests/support/SampleProject.java

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import lib.cli.Cli;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import support.Postgres;
import support.Python;
import support.Repo;
import support.SampleProject;

/**
 * Compares the duration of a reset with that of a script that drops everything. Each run has its own project and
 * database. Both sides run in turn, so that a busy machine slows both alike.
 */
@Command(
        name = "bench/reset",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Measures reset_migrations against the steps of the script it replaces (bench/original_steps.py).",
            "Brings its own PostgreSQL and its own virtual environment; touches nothing of yours."
        })
public class reset implements Callable<Integer>, Cli.HasOutput {

    @Option(
            names = "--runs",
            paramLabel = "N",
            defaultValue = "7",
            description = "Runs of each side on the sample; large databases get a half (default: ${DEFAULT-VALUE}).")
    int runs;

    @Option(
            names = "--quick",
            description =
                    "One run of each and smaller databases: shows that the benchmark works, its figures mean little.")
    boolean quick;

    @Mixin Cli.Output output;

    /** With fewer tables, park moves and migrates in one transaction, and the move cannot be timed separately. */
    private static final int QUICK_TABLES = 300;

    private Console console;
    private Path folder;
    private Path python;
    private Postgres.Role owner;
    private Postgres.Db server;
    private double version;

    public static void main(String... args) {
        System.exit(Cli.run(new reset(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        console = output.console();
        folder = Files.createTempDirectory("reset_migrations-bench-").toRealPath();
        try {
            setUp();
            sample();
            manyTables();
            flatness();
        } finally {
            Python.delete(folder);
        }
        return ExitCode.DONE.code;
    }

    // ---- what is measured --------------------------------------------------------------------

    private void setUp() throws Exception {
        python = Python.venv();
        owner = Postgres.role("owner", "CREATEDB");
        server = Postgres.database();
        template("sample", 0);
        for (int i = 0; i < 2; i++) run(jbangw("--version"), line -> {}); // compiles it and warms the page cache
        ours("sample");
        original("sample");
        console.heading("Machine");
        console.say("  %d processors, load %s; %s %s, Java %s; PostgreSQL %s of the tests"
                .formatted(
                        Runtime.getRuntime().availableProcessors(),
                        load(),
                        System.getProperty("os.name"),
                        System.getProperty("os.arch"),
                        Runtime.version().feature(),
                        setting("server_version")));
        console.say(
                "  fsync %s, synchronous_commit %s: neither side waits for the disk, which favours frequent commits"
                        .formatted(setting("fsync"), setting("synchronous_commit")));
        console.say("  warm: everything has run once before; sides alternate, each run on a fresh copy of project and"
                + " database");
    }

    /** Complete runs on the nine-app sample, started as a user starts them. */
    private void sample() throws Exception {
        var count = quick ? 1 : runs;
        var ours = new ArrayList<Timed>();
        var original = new ArrayList<Timed>();
        var versions = new ArrayList<Timed>();
        for (int i = 0; i < count; i++)
            alternate(i, List.of(
                    () -> versions.add(run(jbangw("--version"), line -> {})),
                    () -> ours.add(ours("sample")),
                    () -> original.add(original("sample"))));
        version = median(versions, Timed::seconds);
        heading("The sample project, nine apps: %d runs of each".formatted(count));
        both("reset_migrations, as users start it", ours, Timed::seconds);
        both("  of that starting the wrapper and the JVM (--version)", versions, Timed::seconds);
        both("  look and plan", ours, run -> run.steps().get("plan") - version);
        steps(ours);
        both("  the rest until the process has ended", ours, Timed::rest);
        both("the original's steps", original, Timed::seconds);
        steps(original);
        ratio("whole run", ours, Timed::seconds, original, Timed::seconds, 0.7);
        ratio("without the JVM's start", ours, run -> run.seconds() - version, original, Timed::seconds, 0.7);
    }

    /** The time to set many tables aside, and the complete run. */
    private void manyTables() throws Exception {
        var tables = quick ? QUICK_TABLES : 1000;
        var count = quick ? 1 : Math.max(3, runs / 2);
        var name = template("t" + tables, tables);
        var swap = new ArrayList<Timed>();
        var park = new ArrayList<Timed>();
        var original = new ArrayList<Timed>();
        for (int i = 0; i < count; i++)
            alternate(i, List.of(
                    () -> swap.add(ours(name)),
                    () -> park.add(ours(name, "--strategy", "park")),
                    () -> original.add(original(name))));
        heading("The sample and %,d tables more, each with 3 indexes, a sequence and a foreign key: %d runs of each"
                .formatted(tables, count));
        both("original: DROP TABLE … CASCADE for each table", original, Timed::outOfTheWay);
        both("swap: rename two databases", swap, Timed::outOfTheWay);
        both("park: move every object, in batches", park, Timed::outOfTheWay);
        both("original, whole", original, Timed::seconds);
        both("swap, whole", swap, Timed::seconds);
        both("park, whole", park, Timed::seconds);
        ratio("out of the way, swap", swap, Timed::outOfTheWay, original, Timed::outOfTheWay, 0.2);
        ratio("out of the way, park", park, Timed::outOfTheWay, original, Timed::outOfTheWay, 0.2);
        ratio("whole run, swap", swap, Timed::seconds, original, Timed::seconds, null);
        ratio("whole run, park", park, Timed::seconds, original, Timed::seconds, null);
        Postgres.execute("DROP DATABASE " + Postgres.quoted(name));
    }

    /** Resets and undoes in turn, so that one copy of 5,000 tables is enough. */
    private void flatness() throws Exception {
        var projects = new LinkedHashMap<Integer, Project>();
        var timed = new LinkedHashMap<Integer, List<Timed>>();
        for (int tables : quick ? List.of(50, QUICK_TABLES) : List.of(50, 500, 5000)) {
            var name = template("f" + tables, tables);
            projects.put(tables, project(name));
            timed.put(tables, new ArrayList<>());
            Postgres.execute("DROP DATABASE " + Postgres.quoted(name));
        }
        for (int i = 0; i < (quick ? 1 : Math.max(3, runs / 2)); i++)
            for (var tables : projects.keySet()) {
                timed.get(tables).add(ours(projects.get(tables)));
                run(with(jbangw("undo", "--yes"), projects.get(tables)), line -> {});
            }
        heading("Swap, by number of tables");
        timed.forEach((tables, all) -> both("%,6d tables: rename".formatted(tables), all, Timed::outOfTheWay));
        timed.forEach((tables, all) -> both(
                "%,6d tables: look and plan".formatted(tables),
                all,
                run -> run.steps().get("plan") - version));
        timed.forEach((tables, all) -> both("%,6d tables: whole run".formatted(tables), all, Timed::seconds));
        var medians = timed.values().stream().map(all -> median(all, Timed::outOfTheWay)).toList();
        var least = timed.values().stream().map(all -> least(all, Timed::outOfTheWay)).toList();
        say(
                "most tables : fewest, rename",
                medians.getLast() / medians.getFirst(),
                least.getLast() / least.getFirst(),
                "aim: flat, about 1");
        for (var project : projects.values()) discard(project);
    }

    // ---- the sides ---------------------------------------------------------------------------

    private record Project(SampleProject files, Postgres.Db db) {}

    /**
     * @param steps       seconds by step, in order; "plan" is the time until our plan was ready
     * @param outOfTheWay the step that sets the old tables aside
     */
    private record Timed(double seconds, Map<String, Double> steps, double outOfTheWay) {
        double rest() {
            return seconds - steps.values().stream().mapToDouble(Double::doubleValue).sum();
        }
    }

    private Timed ours(String template, String... more) throws Exception {
        var project = project(template);
        var timed = ours(project, more);
        discard(project);
        return timed;
    }

    private Timed original(String template) throws Exception {
        var project = project(template);
        var timed = original(project);
        discard(project);
        return timed;
    }

    private Timed ours(Project project, String... more) throws Exception {
        var steps = new LinkedHashMap<String, Double>();
        var way = new double[1];
        var began = System.nanoTime();
        var timed = run(
                with(
                        jbangw(Stream.concat(Stream.of("--yes", "--no-superuser", "--json"), Stream.of(more))
                                .toArray(String[]::new)),
                        project),
                line -> {
                    var event = JsonParser.parseString(line).getAsJsonObject();
                    switch (event.get("event").getAsString()) {
                        case "plan" -> steps.put("plan", (System.nanoTime() - began) / 1e9);
                        case "done" -> {
                            var what = shortened(event);
                            steps.put(what, event.get("seconds").getAsDouble());
                            if (what.startsWith("rename ") || what.startsWith("move "))
                                way[0] = event.get("seconds").getAsDouble();
                        }
                        default -> {}
                    }
                });
        return new Timed(timed.seconds(), steps, way[0]);
    }

    /** Without the names of databases and runs, which differ each time. */
    private static String shortened(JsonObject event) {
        return event.get("what").getAsString().replaceAll("\\bb\\d+_\\w+", "…").replaceAll("\\d{8}-\\d{6}-\\w+", "…");
    }

    private Timed original(Project project) throws Exception {
        var steps = new LinkedHashMap<String, Double>();
        var command = new ArrayList<>(List.of(
                python.toString(),
                Repo.root().resolve("bench/original_steps.py").toString(),
                project.files().root().toString(),
                project.files().backend().toString()));
        try (var apps = Files.list(project.files().backend())) {
            apps.filter(app -> Files.exists(app.resolve("models.py")))
                    .map(app -> app.getFileName().toString())
                    .sorted()
                    .forEach(command::add);
        }
        var timed = run(command, line -> {
            var step = JsonParser.parseString(line).getAsJsonObject();
            steps.put(step.get("what").getAsString(), step.get("seconds").getAsDouble());
        });
        return new Timed(timed.seconds(), steps, steps.get("drop each table"));
    }

    private List<String> jbangw(String... args) {
        var root = Repo.root();
        return Stream.concat(
                        Stream.of(
                                root.resolve("jbangw").toString(),
                                root.resolve("reset_migrations.java").toString()),
                        Stream.of(args))
                .toList();
    }

    private List<String> with(List<String> command, Project project) {
        return Stream.concat(command.stream(), Stream.of("--project", project.files().root().toString())).toList();
    }

    private interface Lines {
        void line(String line);
    }

    /** Runs the program to its end. A failure ends the benchmark with the program's output. */
    private Timed run(List<String> command, Lines lines) throws Exception {
        Interruption.check();
        var errors = folder.resolve("stderr");
        var builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
                .redirectError(errors.toFile());
        var environment = builder.environment();
        environment
                .keySet()
                .removeIf(
                        name -> name.matches(
                                "(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|BACKUP_|PYTHON(PATH|HOME|DONTWRITE)).*"));
        environment.put("VIRTUAL_ENV", python.getParent().getParent().toString());
        environment.put("XDG_STATE_HOME", folder.resolve("state").toString());
        var began = System.nanoTime();
        var process = builder.start();
        try (var handle = Interruption.onSignal(process::destroy);
                var out = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line; (line = out.readLine()) != null; ) lines.line(line);
            var code = process.waitFor();
            var seconds = (System.nanoTime() - began) / 1e9;
            Interruption.check();
            if (code != 0) throw new Failure(new RunFailed(command, code, Files.readString(errors)));
            return new Timed(seconds, Map.of(), 0);
        }
    }

    record RunFailed(List<String> command, int code, String words) implements Problem {
        @Override public ExitCode exit() { return ExitCode.FAILED; }

        @Override
        public String what() {
            return "%s ended with exit code %d:\n%s"
                    .formatted(
                            String.join(" ", command),
                            code,
                            words.strip().indent(2).stripTrailing());
        }

        @Override public List<String> next() { return List.of(); }
    }

    private interface Turn {
        void take() throws Exception;
    }

    /** Takes all turns; each round begins with a different one. */
    private static void alternate(int round, List<Turn> turns) throws Exception {
        for (int i = 0; i < turns.size(); i++) turns.get((i + round) % turns.size()).take();
    }

    // ---- projects and databases --------------------------------------------------------------

    private int made;

    /** A copy of the sample's files, with compiled Python, and of a template's database. */
    private Project project(String template) throws Exception {
        var id = "b%d_%s".formatted(++made, template);
        Postgres.execute(
                "CREATE DATABASE %s TEMPLATE %s OWNER %s".formatted(id, template, Postgres.quoted(owner.name())));
        var db = new Postgres.Db(Postgres.HOST, server.port(), id, owner);
        var files = SampleProject.copyTo(Files.createDirectory(folder.resolve(id))).env(db);
        var compiled = new ProcessBuilder(
                        python.toString(),
                        "-m",
                        "compileall",
                        "-q",
                        files.backend().toString())
                .inheritIO()
                .start()
                .waitFor();
        if (compiled != 0) throw new IOException("the sample does not compile");
        Postgres.execute("CHECKPOINT"); // so that the run does not pay for the copy's writes
        return new Project(files, db);
    }

    /** Drops the project's database and all that runs have set aside. */
    private void discard(Project project) throws Exception {
        try (var connection = server.connect();
                var statement = connection.createStatement();
                var names = statement.executeQuery(
                        "SELECT datname FROM pg_database WHERE datname = '%1$s' OR datname LIKE '%1$s\\_%%'"
                                .formatted(project.db().name()))) {
            while (names.next()) Postgres.execute("DROP DATABASE " + Postgres.quoted(names.getString(1)));
        }
    }

    private String template(String name, int tables) throws Exception {
        var db = Postgres.database(name, owner);
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            SampleProject.copyTo(Files.createDirectory(folder.resolve(name))).loadHistory(connection);
            for (int from = 0; from < tables; from += 50)
                statement.execute(String.join(
                        "",
                        IntStream.range(from, Math.min(from + 50, tables))
                                .mapToObj(reset::table)
                                .toList()));
        }
        return name;
    }

    private static String table(int number) {
        return """
            CREATE TABLE generated_%1$d (id bigserial PRIMARY KEY, name varchar(100) NOT NULL,
                made_at timestamptz NOT NULL DEFAULT now(),
                other_id bigint NOT NULL REFERENCES generated_%2$d DEFERRABLE INITIALLY DEFERRED);
            CREATE INDEX ON generated_%1$d (name);
            CREATE INDEX ON generated_%1$d (other_id);
            INSERT INTO generated_%1$d (name, other_id) VALUES ('one', 1);
            """.formatted(number, Math.max(0, number - 1));
    }

    private String setting(String name) throws Exception {
        try (var connection = server.connect();
                var statement = connection.createStatement();
                var rows = statement.executeQuery("SHOW " + name)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static String load() throws IOException {
        var file = Path.of("/proc/loadavg");
        return Files.exists(file) ? Files.readString(file).split(" ")[0] : "unknown";
    }

    // ---- figures -----------------------------------------------------------------------------

    private void heading(String text) throws IOException {
        console.say("");
        console.heading(text);
        console.say("%-82s %9s %9s   (load %s)".formatted("", "median s", "least s", load()));
    }

    private void both(String what, List<Timed> all, ToDoubleFunction<Timed> of) {
        console.say(String.format(Locale.ROOT, "  %-80s %9.3f %9.3f", what, median(all, of), least(all, of)));
    }

    private void steps(List<Timed> all) {
        for (var step : all.getFirst().steps().keySet())
            if (!step.equals("plan")) both("  " + step, all, run -> run.steps().getOrDefault(step, 0.0));
    }

    private void ratio(
            String what,
            List<Timed> ours,
            ToDoubleFunction<Timed> of,
            List<Timed> original,
            ToDoubleFunction<Timed> ofOriginal,
            Double aim) {
        var value = median(ours, of) / median(original, ofOriginal);
        say(
                "ours : original, " + what,
                value,
                least(ours, of) / least(original, ofOriginal),
                aim == null
                        ? ""
                        : String.format(
                                Locale.ROOT, "aim: %.1f or less, %s", aim, value <= aim ? "reached" : "missed"));
    }

    private void say(String what, double ofMedians, double ofLeast, String aim) {
        console.say(String.format(Locale.ROOT, "  %-80s %9.2f %9.2f   %s", what, ofMedians, ofLeast, aim));
    }

    /** The run that a busy machine disturbed least. */
    private static double least(List<Timed> all, ToDoubleFunction<Timed> of) {
        return all.stream().mapToDouble(of).min().orElseThrow();
    }

    private static double median(List<Timed> all, ToDoubleFunction<Timed> of) {
        var sorted = all.stream().mapToDouble(of).sorted().toArray();
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }
}
