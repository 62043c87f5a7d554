package lib.environment;

import java.nio.file.Path;
import java.util.function.Consumer;
import lib.cli.Cli;
import lib.error.Failure;
import lib.project.Credentials;
import lib.project.Project;
import lib.project.Settings;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** Which project, and which {@code .env}: the options that every command of both scripts has. */
public final class ProjectOptions implements Cli.ForLaterCommands {
    /** Where the database may be: AUTO when no option says it. */
    enum Place { AUTO, COMPOSE, LOCAL }

    @Option(names = "--project", paramLabel = "DIR", defaultValue = ".", scope = ScopeType.INHERIT,
        description = "The Django project, or any folder inside it (default: here).")
    Path folder;
    @Option(names = "--env-file", paramLabel = "FILE", scope = ScopeType.INHERIT,
        description = "Read this file instead of the project's .env. It may be a pipe, as <(…) makes one;"
            + " printed commands then have FILE in its place.")
    Path envFile;

    @Option(names = "--docker", scope = ScopeType.INHERIT,
        description = "The database is a Compose service (default: when it is running, or DB_HOST is its name).")
    boolean docker;
    @Option(names = "--local", scope = ScopeType.INHERIT,
        description = "The database is the one that .env names, without Compose.")
    boolean local;
    @Option(names = "--db-service", paramLabel = "NAME", scope = ScopeType.INHERIT,
        description = "The Compose service with the database (default: the one that DB_HOST names,"
            + " else the only PostgreSQL); implies --docker.")
    String dbService;
    @Option(names = "--app-service", paramLabel = "NAME", scope = ScopeType.INHERIT,
        description = "The Compose service with Django (default: the one that has manage.py); implies --docker.")
    String appService;
    @Option(names = "--keep-services", scope = ScopeType.INHERIT,
        description = "Leave the Compose services that use the database running.")
    boolean keepServices;

    @Option(names = "--python", paramLabel = "PATH", scope = ScopeType.INHERIT,
        description = "The project's Python (default: $VIRTUAL_ENV, venv, .venv, env, then python3).")
    Path python;
    @Option(names = "--settings", paramLabel = "MODULE", scope = ScopeType.INHERIT,
        description = "Django's settings module (default: what manage.py says).")
    String module;

    private Settings settings;
    private OwnDatabase database;

    public Project project() {
        return Project.find(folder);
    }

    /** The same object every time: the file is read once a command. */
    public Settings settings(Project project) {
        if (settings == null) settings = Settings.read(project, envFile, System.getenv());
        return settings;
    }

    /** {@code --settings}, or null. */
    public String settingsModule() {
        return module;
    }

    /** With Django. @param warn receives messages about containers */
    public Environment environment(Project project, Consumer<String> warn) {
        return environment(settings(project), warn);
    }

    Environment environment(Settings settings, Consumer<String> warn) {
        return detection(settings, true, warn).environment();
    }

    /** For what needs the database alone. */
    public Environment withoutDjango(Project project, Consumer<String> warn) {
        return detection(settings(project), false, warn).environment();
    }

    /** The database by the names that records keep. It does not have to run. */
    public Credentials identity(Project project) {
        return detection(settings(project), false, warning -> {}).identity();
    }

    private Detection detection(Settings settings, boolean withDjango, Consumer<String> warn) {
        checkCombination();
        if (database == null) database = new OwnDatabase(settings, python, module, warn);
        return new Detection(settings, this, database, withDjango, warn);
    }

    Place place() {
        return docker || dbService != null || appService != null ? Place.COMPOSE : local ? Place.LOCAL : Place.AUTO;
    }

    private void checkCombination() {
        var other = docker ? "--docker" : dbService != null ? "--db-service" : appService != null ? "--app-service"
            : null;
        if (!local || other == null) return;
        var options = docker ? other + " and --local" : "--local and " + other;
        throw Failure.usage(options + " exclude each other").next("leave one of them out");
    }
}
