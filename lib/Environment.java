package lib;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** Where PostgreSQL and Django run. */
public sealed interface Environment permits Environment.Local {
    Project project();

    Credentials database();

    /** The project's Python in the backend's folder: {@code python("manage.py", "migrate")}. */
    Program python(String... args);

    /**
     * One of PostgreSQL's client programs in the smallest version that fits the server: pg_dump refuses a newer server.
     *
     * @throws Failure none is there, or only older ones
     */
    Program pgProgram(String name, int serverMajor);

    /** One line for the plan. */
    String describe();

    /** What the user should hear before anything begins, a line each. */
    List<String> warnings();

    /** @param file as {@link EnvFile#of} chose it */
    static Environment of(Project project, EnvFile file, Interpreter interpreter) {
        var warnings = new ArrayList<>(file.problems().stream().map(Problem.MalformedLine::what).toList());
        if (!interpreter.virtualEnv()) warnings.add(new Problem.NoVirtualEnvironment(interpreter.python(), interpreter.why()).what());
        return new Local(project, Credentials.of(project, file), interpreter, file.forDjango(project), List.copyOf(warnings));
    }

    /** For what needs PostgreSQL alone, as a backup does: no Python is looked for, and {@link #python} must not be asked. */
    static Environment withoutDjango(Project project, Credentials database) {
        return new Local(project, database, null, Map.of(), List.of());
    }

    /**
     * All on this machine.
     *
     * @param django the variables Django's process gets on top of ours; may hold secrets
     */
    record Local(Project project, Credentials database, Interpreter interpreter, Map<String, String> django, List<String> warnings)
            implements Environment {
        @Override
        public Program python(String... args) {
            return Program.of(interpreter.python().toString()).with(args).in(project.backend())
                    .env("PYTHONDONTWRITEBYTECODE", "1").secrets(django);
        }

        @Override
        public Program pgProgram(String name, int serverMajor) {
            return pgProgram(name, serverMajor, PgFolders.all());
        }

        /** As above, from these folders; of equal versions the first one's. */
        public static Program pgProgram(String name, int serverMajor, List<Path> folders) {
            record Candidate(Path path, int major) {}
            var found = folders.stream().map(folder -> folder.resolve(PgFolders.fileOf(name)))
                    .filter(path -> Files.isExecutable(path) && !isChooser(path))
                    .map(path -> new Candidate(path, PgFolders.major(path))).filter(c -> c.major > 0).toList();
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
        public String describe() {
            return "local: " + database + (interpreter == null ? "" : ", Python " + project.show(interpreter.python()) + " (" + interpreter.why() + ")");
        }

        /** Without the variables. */
        @Override
        public String toString() {
            return describe();
        }
    }
}
