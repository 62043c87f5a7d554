package lib.environment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
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

    /** The database by the names that records keep. Asks no server. */
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
    default Services services() {
        return Services.NONE;
    }

    /** One line for the plan: where, and why there; empty when there was no choice. */
    String describe();

    default boolean inCompose() {
        return this instanceof Compose;
    }

    /** A Compose command to paste into a shell; empty outside Compose. */
    default String composeCommand(String... arguments) {
        return "";
    }

    /** For the user, before anything begins. */
    List<String> warnings();

    /** The database's container was created for this command: its volume may be new too, and the database empty. */
    default boolean databaseWasCreated() {
        return false;
    }

    /** Stops what was started only for this command and is not used by others. */
    @Override default void close() {}

    static Local of(Settings settings, Interpreter interpreter) {
        return of(settings, new OwnDatabase(settings, interpreter.python(), null, warning -> {}), interpreter);
    }

    static Local of(Settings settings, OwnDatabase database, Interpreter interpreter) {
        var warnings = new ArrayList<>(settings.file().warnings());
        if (!interpreter.virtualEnv()) {
            warnings.add("%s (%s) is not in a virtual environment; name the project's own Python with --python PATH"
                .formatted(interpreter.python(), interpreter.why()));
        }
        var project = settings.project();
        database.named(); // so that wrong settings are found now
        return new Local(project, database, interpreter, List.copyOf(warnings), null);
    }

    /** For what needs PostgreSQL alone, as a backup does: {@link #python} must not be called. */
    static Local withoutDjango(Project project, Credentials database) {
        return new Local(project, OwnDatabase.of(database), null, List.of(), null);
    }

    /**
     * Both on this machine.
     *
     * @param reason why it is not a Compose project; null when there was no choice
     */
    record Local(Project project, OwnDatabase own, Interpreter interpreter, List<String> warnings, String reason)
        implements Environment {
        Local withReason(String other) {
            return new Local(project, own, interpreter, warnings, other);
        }

        @Override public Credentials identity() {
            return own.named();
        }

        @Override public Credentials database() {
            return own.accepted();
        }

        @Override public PythonCommand python() {
            return PythonCommand.local(python(new String[0]), project.root());
        }

        @Override public Program manage(boolean terminal, Description django, String... arguments) {
            return python("manage.py").with(arguments);
        }

        @Override public String commandLine(Description django, String... arguments) {
            var command = List.of(interpreter.python().toString(), project.managePy().toString());
            return Shell.line(Stream.concat(command.stream(), Stream.of(arguments)).toList());
        }

        /** {@code python("manage.py", "migrate")}. */
        public Program python(String... arguments) {
            return OwnDatabase.python(project, interpreter, own.variables(), arguments);
        }

        @Override public PgPrograms pgPrograms(int serverMajor) {
            return new PgPrograms(pgProgram("pg_dump", serverMajor), database());
        }

        /** One of PostgreSQL's client programs. */
        public static Program pgProgram(String name, int serverMajor) {
            return pgProgram(name, serverMajor, PgPrograms.folders());
        }

        /** From these folders; of equal versions the first one. */
        public static Program pgProgram(String name, int serverMajor, List<Path> folders) {
            var found = new TreeMap<Integer, Path>();
            folders.stream().map(folder -> folder.resolve(Program.fileName(name)))
                .filter(path -> Files.isExecutable(path) && !isDebianWrapper(path))
                .forEach(path -> found.putIfAbsent(PgPrograms.majorVersion(path), path));
            found.remove(0); // not PostgreSQL's
            var smallest = found.ceilingEntry(serverMajor);
            if (smallest != null) return Program.of(smallest.getValue().toString());
            var versions = found.keySet().stream().map(String::valueOf).collect(Collectors.joining(", "));
            throw Failure.usage(found.isEmpty() ? name + " is not installed, or not on PATH"
                    : "the server is PostgreSQL %d, but %s is installed only in version %s"
                        .formatted(serverMajor, name, versions))
                .next("install version %d or newer: postgresql-client-%1$d (Debian, Ubuntu), postgresql@%1$d (Homebrew)"
                    .formatted(serverMajor));
        }

        /** pg_wrapper may run another version than the one that {@code --version} prints. */
        private static boolean isDebianWrapper(Path program) {
            try {
                return program.toRealPath().endsWith("pg_wrapper");
            } catch (IOException ignored) { // it is gone
                return true;
            }
        }

        @Override public boolean imageHasCode() {
            return false;
        }

        @Override public String describe() {
            return reason == null ? "" : "on this machine, not in Compose: " + reason;
        }

        /** Without the variables. */
        @Override public String toString() {
            return "local: " + identity() + (interpreter == null ? ""
                : ", Python " + project.show(interpreter.python()) + " (" + interpreter.why() + ")");
        }
    }
}
