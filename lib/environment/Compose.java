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
 * A Compose project: PostgreSQL in a container, and Django too when a service has its code. Compose finds the
 * containers; afterwards they are addressed by their ids.
 *
 * @param django Django's service, or this machine; null when only the database is needed
 * @param engine stops and starts the other services
 * @param reason for people: why it is this database
 */
record Compose(ComposeSetup setup, DatabaseService service, DjangoHost django, ServiceEngine engine, String reason,
    List<String> warnings) implements Environment {
    @Override public Project project() {
        return setup.project();
    }

    @Override public Credentials identity() {
        return service.identity();
    }

    @Override public Credentials database() {
        return service.credentials();
    }

    @Override public boolean databaseWasCreated() {
        return service.wasCreated();
    }

    @Override public PgPrograms pgPrograms(int serverMajor) {
        return service.pgPrograms(serverMajor);
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

    @Override public String composeCommand(String... arguments) {
        return setup.docker().commandLine(arguments);
    }

    @Override public String describe() {
        var route = service.route() == null ? "" : " through " + service.route();
        var python = django instanceof DjangoService ? "in service " + setup.app().name() : "on this machine";
        return "%s, project %s: database in service %s%s, Django %s; %s"
            .formatted(setup.docker().describe(), setup.name(), setup.database().name(), route, python, reason);
    }

    /** Also after a signal. */
    @Override public void close() {
        Interruption.uninterruptibly(() -> {
            if (django instanceof DjangoService inService) inService.close();
            service.restore();
        });
    }

    /** Without the settings. */
    @Override public String toString() {
        return describe();
    }
}
