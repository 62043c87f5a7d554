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
import lib.error.Problem;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.project.Credentials;
import lib.project.EnvFile;
import lib.project.Interpreter;
import lib.project.Project;

/** Where PostgreSQL and Django run. */
public sealed interface Environment extends AutoCloseable permits Environment.Local, Compose {
    Project project();

    /** What the database is called in names and records; nothing is asked of any server. */
    Credentials identity();

    /** The same to connect with. A database service that is not up is started for it. */
    Credentials database();

    /** The project's Python in the backend's folder: what the driver runs in. */
    PythonCommand python();

    /** {@code manage.py ARGS…} with the Python that {@code django} was told by. @param terminal it asks the user itself: {@link Program#interactive} */
    Program manage(boolean terminal, Description django, String... args);

    /** The same for people to type. */
    String commandLine(Description django, String... args);

    /**
     * PostgreSQL's client programs in the smallest version that fits the server: pg_dump refuses a newer server.
     *
     * @throws Failure none is there, or only older ones
     */
    PgPrograms pgPrograms(int serverMajor);

    /** What runs beside us and uses the database; it is stopped before the database is replaced. */
    Services services();

    /** One line for the plan: where, and why there; empty where that was no question. */
    String describe();

    /** Django's code is the image's own, which holds the old migrations until it is built again. */
    boolean imageHasCode();

    /** "docker compose", as people type it; empty where there is none. */
    String composeCommand();

    /** What the user should hear before anything begins, a line each. */
    List<String> warnings();

    /** There was no container for the database, so it was given one: whatever is in it now need not be what was backed up last. */
    boolean databaseWasCreated();

    /** What was started only to be looked at is stopped again, unless others use it by now. */
    @Override
    void close();

    /** @param file as {@link EnvFile#of} chose it */
    static Local of(Project project, EnvFile file, Interpreter interpreter) {
        var warnings = new ArrayList<>(file.problems().stream().map(Problem.MalformedLine::what).toList());
        if (!interpreter.virtualEnv()) warnings.add(new Problem.NoVirtualEnvironment(interpreter.python(), interpreter.why()).what());
        return new Local(project, Credentials.of(project, file), interpreter, file.forDjango(project), List.copyOf(warnings), null);
    }

    /** For what needs PostgreSQL alone, as a backup does: no Python is looked for, and {@link #python} must not be asked. */
    static Local withoutDjango(Project project, Credentials database) {
        return new Local(project, database, null, Map.of(), List.of(), null);
    }

    /**
     * All on this machine.
     *
     * @param django the variables Django's process gets on top of ours; may hold secrets
     * @param why    and not a Compose project; null where that was no question
     */
    record Local(Project project, Credentials database, Interpreter interpreter, Map<String, String> django, List<String> warnings, String why)
            implements Environment {
        /** The same, with the reason why it is this one. */
        public Local withReason(String reason) {
            return new Local(project, database, interpreter, django, warnings, reason);
        }

        @Override
        public Credentials identity() {
            return database;
        }

        @Override
        public PythonCommand python() {
            return PythonCommand.local(python(new String[0]), project.root());
        }

        @Override
        public Program manage(boolean terminal, Description django, String... args) {
            return python("manage.py").with(args);
        }

        @Override
        public String commandLine(Description django, String... args) {
            return manage(true, django, args).toString();
        }

        /** {@code python("manage.py", "migrate")}. */
        public Program python(String... args) {
            return Program.of(interpreter.python().toString()).with(args).in(project.backend())
                    .env("PYTHONDONTWRITEBYTECODE", "1").secrets(django);
        }

        @Override
        public PgPrograms pgPrograms(int serverMajor) {
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
                    .filter(path -> Files.isExecutable(path) && !isChooser(path))
                    .map(path -> new Candidate(path, PgPrograms.majorVersion(path))).filter(c -> c.major > 0).toList();
            return found.stream().filter(c -> c.major >= serverMajor).min(Comparator.comparingInt(Candidate::major))
                    .map(c -> Program.of(c.path.toString()))
                    .orElseThrow(() -> new Failure(new Problem.PgProgramTooOld(name, serverMajor,
                            found.stream().map(Candidate::major).distinct().sorted().toList())));
        }

        /** Debian's pg_wrapper takes a version by rules of its own, and says one when asked that it need not take when connecting. */
        private static boolean isChooser(Path program) {
            try {
                return program.toRealPath().endsWith("pg_wrapper");
            } catch (IOException gone) {
                return true;
            }
        }

        @Override
        public Services services() {
            return Services.NONE;
        }

        @Override
        public boolean imageHasCode() {
            return false;
        }

        @Override
        public String composeCommand() {
            return "";
        }

        @Override
        public boolean databaseWasCreated() {
            return false;
        }

        @Override
        public void close() {}

        @Override
        public String describe() {
            return why == null ? "" : "on this machine, not in Compose: " + why;
        }

        /** Without the variables. */
        @Override
        public String toString() {
            return "local: " + database + (interpreter == null ? "" : ", Python " + project.show(interpreter.python()) + " (" + interpreter.why() + ")");
        }
    }
}
