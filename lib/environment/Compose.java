package lib.environment;

import java.util.List;
import lib.django.Description;
import lib.django.PythonCommand;
import lib.postgres.PgPrograms;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Credentials;
import lib.project.Project;

/**
 * A Compose project: PostgreSQL in a container, and Django too when a service has its code. Compose itself tells what
 * belongs together; single containers are then addressed by their ids.
 */
final class Compose implements Environment {
    private final ComposeSetup setup;
    private final DatabaseService database;
    private final DjangoHost django;
    private final ServiceEngine engine;
    private final String reason;
    private final List<String> warnings;

    /**
     * @param django   Django's service, or this machine; null when nobody needs Django
     * @param engine   stops and starts the other services
     * @param reason   why it is this database, for people
     */
    Compose(ComposeSetup setup, DatabaseService database, DjangoHost django, ServiceEngine engine, String reason,
        List<String> warnings) {
        this.setup = setup;
        this.database = database;
        this.django = django;
        this.engine = engine;
        this.reason = reason;
        this.warnings = warnings;
    }

    @Override public Project project() {
        return setup.project();
    }

    @Override public Credentials identity() {
        return database.identity();
    }

    @Override public Credentials database() {
        return database.credentials();
    }

    @Override public boolean databaseWasCreated() {
        return database.wasCreated();
    }

    @Override public PgPrograms pgPrograms(int serverMajor) {
        return database.pgPrograms(serverMajor);
    }

    @Override public PythonCommand python() {
        // first: two commands that create the project's network at once create two of them
        if (django instanceof DjangoService) database();
        return django.python();
    }

    @Override public Program manage(boolean terminal, Description description, String... arguments) {
        return django.manage(terminal, description, arguments);
    }

    @Override public String commandLine(Description description, String... arguments) {
        return django.commandLine(description, arguments);
    }

    @Override public boolean imageHasCode() {
        return django != null && django.imageHasCode();
    }

    @Override public Services services() {
        return engine.services();
    }

    @Override public boolean inCompose() {
        return true;
    }

    @Override public String composeCommand(String... arguments) {
        return setup.composer().commandLine(arguments);
    }

    @Override public String describe() {
        var route = database.route() == null ? "" : " through " + database.route();
        var python = django instanceof DjangoService ? "in service " + setup.app().name() : "on this machine";
        return "%s, project %s: database in service %s%s, Django %s; %s"
            .formatted(setup.composer().describe(), setup.name(), setup.database().name(), route, python, reason);
    }

    @Override public List<String> warnings() {
        return warnings;
    }

    /** Also after a signal. */
    @Override public void close() {
        Interruption.uninterruptibly(() -> {
            if (django instanceof DjangoService service) service.close();
            database.restore();
        });
    }

    @Override public String toString() {
        return describe();
    }
}
