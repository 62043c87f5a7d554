package lib.environment;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import lib.cli.Cli;
import lib.error.Failure;
import lib.error.Problem;
import lib.project.Credentials;
import lib.project.EnvFile;
import lib.project.Interpreter;
import lib.project.Project;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** Which project, and which {@code .env}: the options that every command of both scripts has. */
public final class ProjectOptions implements Cli.ForLaterCommands {
    @Option(names = "--project", paramLabel = "DIR", defaultValue = ".", scope = ScopeType.INHERIT,
            description = "The Django project, or any folder inside it (default: here).")
    Path folder;
    @Option(names = "--env-file", paramLabel = "FILE", scope = ScopeType.INHERIT, description = "Read this file instead of the project's .env.")
    Path file;

    @Option(names = "--docker", scope = ScopeType.INHERIT, description = "The database is a Compose service (default: when it is running, or DB_HOST is its name).")
    boolean docker;
    @Option(names = "--local", scope = ScopeType.INHERIT, description = "The database is the one that .env names, without Compose.")
    boolean local;
    @Option(names = "--db-service", paramLabel = "NAME", scope = ScopeType.INHERIT, description = "The Compose service with the database (default: the one that DB_HOST names, else the only PostgreSQL); as --docker.")
    String dbService;
    @Option(names = "--app-service", paramLabel = "NAME", scope = ScopeType.INHERIT, description = "The Compose service with Django (default: the one that holds manage.py); as --docker.")
    String appService;
    @Option(names = "--keep-services", scope = ScopeType.INHERIT, description = "Leave the Compose services that use the database running.")
    boolean keepServices;

    public Project project() {
        return Project.find(folder);
    }

    /** The file that all settings come from. */
    public EnvFile envFile(Project project) {
        return EnvFile.of(project, file, System.getenv());
    }

    /** With Django: the interpreter is looked for, and warned about. @param warn gets what becomes of containers, as it happens */
    public Environment environment(Project project, Path python, Consumer<String> warn) {
        return detection(project, () -> Interpreter.find(project, python, System.getenv()), python, warn).environment();
    }

    /** For what needs the database alone. */
    public Environment withoutDjango(Project project, Consumer<String> warn) {
        return detection(project, null, null, warn).environment();
    }

    /** The database by its name alone; nothing has to run for it. */
    public Credentials server(Project project) {
        return detection(project, null, null, warning -> {}).server();
    }

    private Detection detection(Project project, Supplier<Interpreter> interpreter, Path python, Consumer<String> warn) {
        if (docker && local) throw new Failure(new Problem.Usage("--docker and --local exclude each other", List.of("leave one of them out")));
        var service = dbService != null ? "--db-service" : appService != null ? "--app-service" : null;
        if (local && service != null) throw new Failure(new Problem.Usage("--local and " + service + " exclude each other", List.of("leave one of them out")));
        var wanted = docker || service != null ? Detection.Wanted.DOCKER : local ? Detection.Wanted.LOCAL : Detection.Wanted.EITHER;
        return new Detection(project, wanted, file, dbService, appService, keepServices, interpreter, python, System.getenv(), warn);
    }
}
