package lib.environment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import lib.django.Description;
import lib.django.PythonCommand;
import lib.error.Failure;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.process.Shell;
import lib.project.Credentials;
import lib.project.Interpreter;
import lib.project.Project;
import lib.project.Settings;

/** Where PostgreSQL and Django run. */
public sealed interface Environment extends DjangoHost, AutoCloseable permits Environment.Local, Compose {
    Project project();

    /** The database as names and records have it. No server is asked. */
    Credentials identity();

    /** The database to connect to. A database service that does not run is started. */
    Credentials database();

    /**
     * PostgreSQL's client programs in the smallest version that fits the server: pg_dump rejects a newer server.
     *
     * @throws Failure none is there, or only older ones
     */
    PgPrograms pgPrograms(int serverMajor);

    /** What uses the database and is stopped before the database is replaced. */
    Services services();

    /** One line for the plan: where, and why there; empty when there was no choice. */
    String describe();

    boolean inCompose();

    /** A Compose command for people to paste into a shell; empty outside Compose. */
    String composeCommand(String... arguments);

    /** For the user, before anything begins. */
    List<String> warnings();

    /** The database's container was created for this command: its volume may be new too, and the database empty. */
    boolean databaseWasCreated();

    /** Stops what was started only for this command, unless somebody else uses it by now. */
    @Override void close();

    static Local of(Settings settings, Interpreter interpreter) {
        var warnings = new ArrayList<>(settings.file().warnings());
        if (!interpreter.virtualEnv()) {
            warnings.add("%s (%s) is not in a virtual environment; name the project's own Python with --python PATH"
                .formatted(interpreter.python(), interpreter.why()));
        }
        var project = settings.project();
        return new Local(project, settings.credentials(), interpreter, settings.file().forDjango(project),
            List.copyOf(warnings), null);
    }

    /** For what needs PostgreSQL alone, as a backup does: {@link #python} must not be called. */
    static Local withoutDjango(Project project, Credentials database) {
        return new Local(project, database, null, Map.of(), List.of(), null);
    }

    /**
     * All on this machine.
     *
     * @param variables what Django's process gets in addition to this process's environment; may hold secrets
     * @param reason    why it is not a Compose project; null when there was no choice
     */
    record Local(Project project, Credentials database, Interpreter interpreter, Map<String, String> variables,
        List<String> warnings, String reason)
            implements Environment {
        Local withReason(String other) {
            return new Local(project, database, interpreter, variables, warnings, other);
        }

        @Override public Credentials identity() {
            return database;
        }

        @Override public PythonCommand python() {
            return PythonCommand.local(python(new String[0]), project.root());
        }

        @Override public Program manage(boolean terminal, Description django, String... arguments) {
            return python("manage.py").with(arguments);
        }

        @Override public String commandLine(Description django, String... arguments) {
            var words = new ArrayList<>(List.of(interpreter.python().toString(), project.managePy().toString()));
            words.addAll(List.of(arguments));
            return Shell.line(words);
        }

        /** {@code python("manage.py", "migrate")}. */
        public Program python(String... arguments) {
            return Program.of(interpreter.python().toString()).with(arguments).in(project.backend())
                .env("PYTHONDONTWRITEBYTECODE", "1").secrets(variables);
        }

        @Override public PgPrograms pgPrograms(int serverMajor) {
            return new PgPrograms(pgProgram("pg_dump", serverMajor), database);
        }

        /** One of PostgreSQL's client programs. */
        public static Program pgProgram(String name, int serverMajor) {
            return pgProgram(name, serverMajor, PgPrograms.folders());
        }

        /** As above, from these folders; of equal versions the first one's. */
        public static Program pgProgram(String name, int serverMajor, List<Path> folders) {
            record Candidate(Path path, int major) {}
            var found = folders.stream().map(folder -> folder.resolve(Program.fileName(name)))
                .filter(path -> Files.isExecutable(path) && !isDebianWrapper(path))
                .map(path -> new Candidate(path, PgPrograms.majorVersion(path))).filter(c -> c.major > 0).toList();
            return found.stream().filter(c -> c.major >= serverMajor).min(Comparator.comparingInt(Candidate::major))
                .map(c -> Program.of(c.path.toString()))
                .orElseThrow(() -> noProgram(name, serverMajor, found.stream().map(Candidate::major).distinct().sorted()
                    .map(String::valueOf).toList()));
        }

        private static Failure noProgram(String name, int serverMajor, List<String> found) {
            var what = found.isEmpty() ? name + " is not installed, or not on PATH"
                : "the server is PostgreSQL %d, but %s is installed only in version %s".formatted(serverMajor, name,
                    String.join(", ", found));
            return Failure.usage(what)
                .next("install version %d or newer: postgresql-client-%1$d (Debian, Ubuntu), postgresql@%1$d (Homebrew)"
                    .formatted(serverMajor));
        }

        /** pg_wrapper chooses a version by its own rules, and not by the one that {@code --version} prints. */
        private static boolean isDebianWrapper(Path program) {
            try {
                return program.toRealPath().endsWith("pg_wrapper");
            } catch (IOException ignored) { // it is gone
                return true;
            }
        }

        @Override public Services services() {
            return Services.NONE;
        }

        @Override public boolean imageHasCode() {
            return false;
        }

        @Override public boolean inCompose() {
            return false;
        }

        @Override public String composeCommand(String... arguments) {
            return "";
        }

        @Override public boolean databaseWasCreated() {
            return false;
        }

        @Override public void close() {}

        @Override public String describe() {
            return reason == null ? "" : "on this machine, not in Compose: " + reason;
        }

        /** Without the variables. */
        @Override public String toString() {
            return "local: " + database + (interpreter == null ? ""
                : ", Python " + project.show(interpreter.python()) + " (" + interpreter.why() + ")");
        }
    }
}
