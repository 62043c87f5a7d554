package lib;

import java.nio.file.Path;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** Which project, and which {@code .env}: the options that every command of both scripts has. */
public final class Where {
    @Option(names = "--project", paramLabel = "DIR", defaultValue = ".", scope = ScopeType.INHERIT,
            description = "The Django project, or any folder inside it (default: here).")
    Path folder;
    @Option(names = "--env-file", paramLabel = "FILE", scope = ScopeType.INHERIT, description = "Read this file instead of the project's .env.")
    Path file;

    public Project project() {
        return Project.find(folder);
    }

    /** The file that all settings come from. */
    public EnvFile envFile(Project project) {
        return EnvFile.of(project, file, System.getenv());
    }

    /** With Django: the interpreter is looked for, and warned about. */
    public Environment environment(Project project, Path python) {
        return Environment.of(project, envFile(project), Interpreter.find(project, python, System.getenv()));
    }

    /** For what needs the database alone. */
    public Environment withoutDjango(Project project) {
        return Environment.withoutDjango(project, Credentials.of(project, envFile(project)));
    }
}
