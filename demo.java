///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES reset_migrations.java
//SOURCES tests/support/Postgres.java
//SOURCES tests/support/Python.java
//SOURCES tests/support/Repo.java
//SOURCES tests/support/SampleProject.java
//SOURCES tests/support/Snapshot.java
// Packed in, because a script does not know its own path, and may be started from any folder.
//FILES repo/tests/projects/=tests/projects/**

import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.cli.Cli;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.plan.Plan;
import lib.plan.Step;
import lib.process.Interruption;
import lib.process.Shell;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Snapshot;

/**
 * Shows a reset and its undo on a sample project. Each claim is checked before it is printed, independently of the
 * reset's own checks.
 */
@Command(name = "demo", mixinStandardHelpOptions = true, versionProvider = reset_migrations.Version.class,
        sortOptions = false,
        description = {"Breaks a sample project's migrations, resets it, undoes the reset, and checks each claim.",
                "Uses its own PostgreSQL and its own virtual environment; touches nothing of yours and asks nothing."})
public class demo implements Callable<Integer>, Cli.HasOutput {

    @Option(names = "--python", paramLabel = "PATH", description = "A Python with Django, psycopg and python-dotenv "
            + "(default: a virtual environment, created once and kept).")
    Path givenPython;
    @Option(names = "--keep", negatable = true, defaultValue = "true", fallbackValue = "true",
            description = "Keep the sample project to look at (the default), or remove it after success.")
    boolean keep;
    @Mixin Cli.Output output;

    private Console console;
    private Path folder;
    private SampleProject crm;
    private Postgres.Db db;
    private Path python;

    public static void main(String... args) {
        System.exit(Cli.run(new demo(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        var began = System.nanoTime();
        console = output.console();
        setUp();
        var before = State.of(crm, db);
        var message = showBrokenHistory(before);
        runReset();
        checkNewState(before);
        runUndo();
        checkOldState(before, message);
        printSummary(began);
        return ExitCode.DONE.code;
    }

    // ---- what it shows -----------------------------------------------------------------------

    private void setUp() throws Exception {
        folder = Files.createTempDirectory("reset_migrations-demo-").toRealPath();
        console.heading("A sample Django project with its own PostgreSQL server and Python");
        console.say("  All in " + folder + "; nothing of yours is touched.");
        step(1, "copy the sample project", () -> {
            unpack(folder.resolve("clone"));
            crm = SampleProject.copyTo(Files.createDirectory(folder.resolve("crm")));
        });
        var second = givenPython == null ? "find the virtual environment, or create it (a minute, the first time)"
            : "check " + givenPython;
        step(2, second, () -> python = python());
        step(3, "start PostgreSQL and load the rows, as a role that is no superuser", () -> {
            db = Postgres.database("crm_dev", Postgres.role("crm_user", "CREATEDB"));
            try (var connection = db.connect()) {
                crm.loadHistory(connection);
            }
            crm.env(db);
        });
        Python.delete(folder.resolve("clone"));
    }

    /** Returns migrate's error message. */
    private String showBrokenHistory(State before) throws Exception {
        part("1. migrate no longer works");
        console.say("""
              Nine apps, %,d tables, %,d rows. Their migration history is broken in three ways:
                - flows has two leaf nodes, from two branches
                - customer_data/migrations/0004_wallet_reference.py was deleted
                - django_migrations has a row for paynow_integration.0002_gateway_timeout, which has no file
            """.stripTrailing().formatted(before.rows().size(), before.total()));
        type("cd " + crm.backend());
        return migrateFails();
    }

    private void runReset() throws Exception {
        part("2. The reset");
        type("cd " + crm.root());
        reset("--yes");
    }

    private void checkNewState(State before) throws Exception {
        part("3. A clean history");
        var check = manage("migrate", "--check");
        claim("migrate --check finds nothing left to migrate", check.code() == 0, last(check));
        console.say("  (exit code 0: nothing is left to migrate)");
        var drift = manage("makemigrations", "--check", "--dry-run");
        claim("makemigrations --check finds nothing to make", drift.code() == 0, last(drift));
        console.say("  " + last(drift));
        var now = State.of(crm, db);
        claim("the new database has the tables of the old one", now.rows().keySet().equals(before.rows().keySet()),
                "before: " + before.rows().keySet(), "now: " + now.rows().keySet());
        var filled = new ArrayList<String>();
        for (var table : now.rows().entrySet()) if (table.getValue() > 0) filled.add(table.getKey());
        claim("only Django's own tables have rows", filled.stream()
                .allMatch(table -> table.matches("(auth|django)_.+")), filled.toString());
        console.say("  %,d tables as before, but new: %,d rows where there were %,d, all created by Django itself."
            .formatted(now.rows().size(), now.total(), before.total()));
    }

    private void runUndo() throws Exception {
        part("4. The undo");
        reset("undo", "--yes");
    }

    private void checkOldState(State before, String message) throws Exception {
        part("5. Every row is back, and so is the broken history");
        var again = migrateFails();
        claim("migrate fails as it did before the reset", again.equals(message), message, again);
        var now = State.of(crm, db);
        var differences = before.differences(now);
        claim("database and files are as they were", differences.isEmpty(), differences.toArray(String[]::new));
        console.say("  %,d tables, %,d rows: definitions, counts and hashes as before."
            .formatted(now.rows().size(), now.total()));
        console.say("  %,d files and folders: sha256 and mode as before.".formatted(now.files().size()));
    }

    private void printSummary(long began) throws IOException {
        console.say("");
        var seconds = (System.nanoTime() - began) / 1e9;
        console.success("Every claim was checked and is true; %.1f s in all.".formatted(seconds));
        if (!keep) {
            Python.delete(folder);
            return;
        }
        console.say("  the project               " + crm.root());
        console.say("  records of both runs      " + crm.root().resolve(".reset"));
        console.say("  their second copy         " + stateHome());
        console.say("  PostgreSQL and its databases end with the demo. To clean up: "
                + Shell.line("rm", "-r", folder.toString()));
    }

    // ---- commands ----------------------------------------------------------------------------

    private void part(String title) {
        Interruption.check();
        console.say("");
        console.heading(title);
    }

    private void step(int number, String what, Step.Action act) throws Exception {
        Interruption.check();
        Plan.run(console, number, 3, Step.of(what, act));
    }

    private void type(String command) {
        console.say("$ " + command);
    }

    private String migrateFails() throws IOException {
        var migrate = manage("migrate");
        claim("migrate fails on the broken history", migrate.code() != 0, last(migrate));
        console.say("  " + last(migrate));
        return last(migrate);
    }

    private Python.Output manage(String... args) throws IOException {
        type((givenPython == null ? "python" : givenPython) + " manage.py " + String.join(" ", args));
        return crm.manage(python, args);
    }

    /** The last line: that of a traceback has the message. */
    private static String last(Python.Output output) {
        return output.text().strip().lines().reduce("(no output)", (first, second) -> second);
    }

    /**
     * Runs the real command in another process, without the environment's settings of the user's database. Its output
     * goes straight to the terminal.
     */
    private void reset(String... args) throws IOException, InterruptedException {
        var asked = new ArrayList<>(List.of(args));
        if (givenPython != null && !asked.contains("undo")) asked.addAll(List.of("--python", python.toString()));
        type("reset_migrations " + String.join(" ", asked));
        System.out.flush();
        var command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "-cp",
            System.getProperty("java.class.path"), "reset_migrations"));
        command.addAll(asked);
        command.addAll(List.of("--color", output.color.name()));
        if (output.quiet) command.add("--quiet");
        if (output.verbose) command.add("--verbose");
        if (output.json) command.add("--json");
        var builder = new ProcessBuilder(command).directory(crm.root().toFile()).inheritIO()
                .redirectInput(ProcessBuilder.Redirect.PIPE);
        var environment = builder.environment();
        environment.keySet().removeIf(name ->
                name.matches("(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|VIRTUAL_ENV|PYTHONPATH|PYTHONHOME|BACKUP_).*"));
        environment.put("XDG_STATE_HOME", stateHome().toString());
        if (givenPython == null) // as "activate" does
            environment.put("VIRTUAL_ENV", python.getParent().getParent().toString());
        var process = builder.start();
        process.getOutputStream().close();
        try (var handle = Interruption.onSignal(process::destroy)) {
            var code = process.waitFor();
            Interruption.check();
            claim("reset_migrations " + args[0] + " ends with exit code 0", code == 0, "exit code " + code);
        }
    }

    private Path stateHome() {
        return folder.resolve("state");
    }

    /** The interpreter. One from {@code --python} must have what the sample project imports. */
    private Path python() throws IOException {
        if (givenPython == null) return Python.venv();
        var path = givenPython.toAbsolutePath(); // not the real path: a virtual environment is known by the link
        var imported = Python.run(folder, path.toString(), "-c",
                "import django, dotenv; import django.db.backends.postgresql.base");
        if (imported.code() == 0) return path;
        throw Failure.usage(givenPython + " lacks something that the sample project needs: " + last(imported))
            .next("install Django, psycopg and python-dotenv for it (Debian: python3-django python3-psycopg2"
                + " python3-dotenv)", "or leave --python out");
    }

    /** Unpacks the sample project. When it is not packed in, {@link support.Repo} finds the clone. */
    private static void unpack(Path clone) throws IOException, URISyntaxException {
        var packed = demo.class.getResource("/repo/tests/projects/requirements.txt");
        if (packed == null) return;
        var requirements = packed.toURI();
        var projects = clone.resolve("tests/projects");
        if (!requirements.getScheme().equals("jar")) copy(Path.of(requirements).getParent(), projects);
        else try (var jar = FileSystems.newFileSystem(requirements, Map.of())) {
            copy(jar.getPath("/repo/tests/projects"), projects);
        }
        System.setProperty("repo", clone.toString());
    }

    private static void copy(Path from, Path to) throws IOException {
        try (var all = Files.walk(from)) {
            for (var source : all.toList()) {
                var target = to.resolve(from.relativize(source).toString());
                if (Files.isDirectory(source)) Files.createDirectories(target);
                else try (InputStream in = Files.newInputStream(source)) {
                    Files.copy(in, target);
                }
            }
        }
    }

    // ---- claims ------------------------------------------------------------------------------

    private void claim(String what, boolean holds, String... seen) {
        if (!holds) throw failed(what, List.of(seen));
    }

    private static final int LONGEST_LIST = 12;

    private Failure failed(String what, List<String> seen) {
        var lines = new StringBuilder("this claim is not true: " + what);
        seen.stream().limit(LONGEST_LIST).forEach(line -> lines.append("\n  ").append(line));
        if (seen.size() > LONGEST_LIST) lines.append("\n  … and ").append(seen.size() - LONGEST_LIST).append(" more");
        return Failure.failed(lines.toString()).next("the project is kept as it is in " + folder,
                "please report it with all of the above");
    }

    /** All that a reset may touch: every definition, each table's count and hash, each file's mode and hash. */
    record State(List<String> database, List<String> files) {
        private static final Pattern ROWS = Pattern.compile("rows (.+) (\\d+) \\S+", Pattern.DOTALL);

        static State of(SampleProject project, Postgres.Db db) throws Exception {
            return new State(Snapshot.of(db), Snapshot.of(project.root()));
        }

        Map<String, Long> rows() {
            var rows = new TreeMap<String, Long>();
            database.stream().map(ROWS::matcher).filter(line -> line.matches())
                    .forEach(line -> rows.put(line.group(1), Long.valueOf(line.group(2))));
            return rows;
        }

        long total() {
            return rows().values().stream().mapToLong(Long::longValue).sum();
        }

        /** What only this state has ("was") and what only the other has ("is"). */
        List<String> differences(State now) {
            return Stream.of(missing("was: ", database, now.database), missing("is:  ", now.database, database),
                missing("was: ", files, now.files), missing("is:  ", now.files, files))
                .flatMap(lines -> lines).toList();
        }

        private static Stream<String> missing(String label, List<String> of, List<String> in) {
            return of.stream().filter(line -> !in.contains(line)).map(line -> label + line);
        }
    }
}
