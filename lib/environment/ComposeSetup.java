package lib.environment;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import lib.docker.ComposeConfig;
import lib.docker.ComposeConfig.Service;
import lib.docker.Containers;
import lib.docker.Containers.Container;
import lib.docker.DockerCompose;
import lib.project.Project;
import lib.project.Settings;

/**
 * A Compose project whose database service is known.
 *
 * @param database the service that runs PostgreSQL
 * @param app      the service that runs Django, or null
 */
record ComposeSetup(Settings settings, DockerCompose docker, ComposeConfig config, Service database, Service app,
    boolean engineIsLocal) {
    /** The project's name in Compose. v1 does not print it, so this follows v1's rules. */
    static String name(DockerCompose docker, ComposeConfig config) {
        if (config.project() != null) return config.project();
        var name = docker.variable("COMPOSE_PROJECT_NAME");
        if (name == null || name.isEmpty()) name = docker.folder().getFileName().toString();
        return name.toLowerCase(Locale.ROOT).replaceAll("[^-_a-z0-9]", "");
    }

    Project project() {
        return settings.project();
    }

    String name() {
        return name(docker, config);
    }

    /** Whether the app's service can run at once: building its image may take minutes, and needs the network. */
    boolean appHasImage() {
        var image = app.image() != null ? app.image() : name() + (docker.v1() ? "_" : "-") + app.name();
        return docker.engine("image", "inspect", "--format", "{{.Id}}", image).run().code() == 0;
    }

    /** The service's image contains the project's code, and no mount covers it. */
    boolean hasCodeInImage(Service service) {
        var managePy = project().managePy();
        if (engineIsLocal && service.mounts(managePy)) return false;
        return service.builds(managePy) || app != null && app.image() != null && app.image().equals(service.image());
    }

    List<Container> containers() {
        return Containers.of(docker);
    }

    /** The database service's container; of several, a running one. */
    Optional<Container> databaseContainer() {
        return containers().stream().filter(c -> database.name().equals(c.service()) && !c.oneOff())
            .min(Comparator.comparing(c -> !c.isRunning()));
    }

    /** The started containers of services that can use the database. */
    List<Container> startedUsers() {
        var users = config.users(database, app);
        return containers().stream().filter(c -> c.isStarted() && !c.oneOff() && users.contains(c.service())).toList();
    }

    ComposeSetup withoutApp() {
        return new ComposeSetup(settings, docker, config, database, null, engineIsLocal);
    }
}
