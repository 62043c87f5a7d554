package lib.environment;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import lib.docker.ContainerExec;
import lib.docker.Containers;
import lib.docker.Containers.Container;
import lib.docker.Tunnel;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.CannotConnect;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.postgres.Sessions;
import lib.process.Interruption;
import lib.project.Credentials;
import lib.project.Route;

/** PostgreSQL in a container of a Compose project. When it does not run, it is started, and stopped at the end. */
final class DatabaseService {
    private static final int PORT = 5432;
    private static final Duration START_LIMIT = Duration.ofSeconds(60);
    private static final Duration CONNECT_LIMIT = Duration.ofSeconds(10);
    private static final Duration PAUSE = Duration.ofMillis(300);

    private final ComposeSetup setup;
    private final Credentials identity;
    private final Consumer<String> warn;
    private final String service;
    private Credentials credentials;
    private Container container;
    private boolean wasStarted;
    private boolean wasCreated;
    private Runnable restore = () -> {};

    /** @param settings as the containers get them @param warn receives messages about the container */
    DatabaseService(ComposeSetup setup, Credentials settings, Consumer<String> warn) {
        this.setup = setup;
        this.warn = warn;
        service = setup.database().name();
        var namesService = setup.database().hosts().contains(settings.host())
            || setup.database().network().sharesHost() && settings.isLocal();
        identity = settings.withAddress(service, namesService ? settings.port() : PORT,
            new Route(null, 0, null, null, setup.engineIsLocal(), "Compose project " + setup.name()));
    }

    Credentials identity() {
        return identity;
    }

    /** Null before the first {@link #credentials}. */
    Route route() {
        return credentials == null ? null : credentials.route();
    }

    /** There was no container, so it was created. */
    boolean wasCreated() {
        return wasCreated;
    }

    /** To connect with; starts the service when it does not run. */
    Credentials credentials() {
        if (credentials == null) credentials = connect(runningContainer());
        return credentials;
    }

    PgPrograms pgPrograms(int serverMajor) {
        credentials();
        var exec = exec(container);
        var major = ContainerExec.majorVersion(exec, "pg_dump");
        if (major < serverMajor) {
            throw Failure.usage("the server is PostgreSQL %d, but pg_dump in its container %s is version %d"
                    .formatted(serverMajor, container.name(), major))
                .next("use an image whose programs fit its server, as those of the official images do");
        }
        return new PgPrograms(name -> ContainerExec.of(exec, List.of(name)), credentials,
            name -> List.of("docker", "exec", "-i", container.name(), name), List.of("--username=" + identity.user()));
    }

    // ---- starting it, and putting it back ----------------------------------------------------

    private Container runningContainer() {
        var found = setup.databaseContainer().orElse(null);
        if (found != null && found.isRunning()) return found;
        if (found != null && found.isStarted()) throw notRunning(found.state().describe());
        start(found);
        return setup.databaseContainer().orElseThrow(() -> notRunning("it was started, but there is no container"));
    }

    private Failure notRunning(String state) {
        return Failure.failed("the database service %s does not run: %s".formatted(service, state))
            .next("see its log: " + setup.docker().commandLine("logs", service));
    }

    private void start(Container stopped) {
        wasStarted = true;
        var usersBefore = setup.startedUsers();
        if (stopped != null) {
            restore = () -> { if (!isInUse(usersBefore)) stop(stopped); };
            setup.docker().engine("start", stopped.id()).output();
            return;
        }
        wasCreated = true;
        warn.accept(("the service %s had no container, so one is created; "
            + "when its volume is new too, its database is empty").formatted(service));
        var networksBefore = networks();
        restore = () -> {
            var created = setup.databaseContainer();
            if (created.isPresent() && isInUse(usersBefore)) return;
            created.ifPresent(this::stop);
            // without its container, data outside a named volume would be lost
            if (created.filter(c -> c.hasAnonymousVolume() || !setup.database().keepsData()).isPresent()) return;
            created.ifPresent(c -> setup.docker().engine("rm", c.id()).inOwnSession().output());
            networks().stream().filter(network -> !networksBefore.contains(network))
                .forEach(network -> setup.docker().engine("network", "rm", network).inOwnSession().output());
        };
        setup.docker().run("up", "-d", "--no-deps", "--no-recreate", service);
    }

    private void stop(Container running) {
        setup.docker().engine("stop", running.id()).inOwnSession().output();
    }

    private List<String> networks() {
        return setup.docker().engine("network", "ls", "-q", "--no-trunc", "--filter",
            "label=com.docker.compose.project=" + setup.name())
            .output().lines().toList();
    }

    /** Stops the container if it was started for this command, and nothing else uses it. */
    void restore() {
        try {
            restore.run();
        } catch (Failure failure) {
            warn.accept("the service %s was stopped before, and may be running now: %s"
                .formatted(service, failure.problem().what()));
        }
    }

    /** By a service or session that came later. @param before services that already ran without the database */
    private boolean isInUse(List<Container> before) {
        var services = before.stream().map(Container::service).collect(Collectors.toSet());
        var newUsers = setup.startedUsers().stream().map(Container::service).filter(name -> !services.contains(name))
            .distinct().toList();
        var user = newUsers.isEmpty() ? otherSession(before) : Optional.of(String.join(", ", newUsers));
        user.ifPresent(name -> warn.accept("the service %s was stopped before, and is left running: in use by %s"
            .formatted(service, name)));
        return user.isPresent();
    }

    /** For people: a session of another program; empty also when the server does not reply. */
    private Optional<String> otherSession(List<Container> before) {
        if (credentials == null) return Optional.empty();
        var ids = before.stream().map(Container::id).toList();
        var known = Containers.of(setup.docker(), ids).stream().flatMap(c -> c.addresses().stream())
            .collect(Collectors.toSet());
        try (var server = Database.openServer(credentials)) {
            return Sessions.onServer(server, known).stream().findFirst();
        } catch (Failure failure) {
            return isBusy(failure) ? Optional.of("so many sessions that the server accepts no more") : Optional.empty();
        }
    }

    static boolean isBusy(Failure failure) {
        return isReason(failure, CannotConnect.Reason.BUSY);
    }

    private static boolean isReason(Failure failure, CannotConnect.Reason reason) {
        return failure.problem() instanceof CannotConnect refused && refused.reason() == reason;
    }

    // ---- connecting --------------------------------------------------------------------------

    /** A server that was just started rejects connections for a while. */
    private Credentials connect(Container found) {
        container = found;
        var isStarting = wasStarted || found.state().isStarting();
        var deadline = System.nanoTime() + (isStarting ? START_LIMIT : CONNECT_LIMIT).toNanos();
        while (true) {
            try {
                return throughPort(found).orElseGet(() -> throughTunnel(found));
            } catch (Failure failure) {
                var now = setup.databaseContainer();
                if (!now.map(Container::isRunning).orElse(false))
                    throw notRunning(now.map(c -> c.state().describe()).orElse("its container is gone"));
                if (isReason(failure, CannotConnect.Reason.WRONG_PASSWORD)) throw wrongPassword().causedBy(failure);
                if (failure.problem().exit() != ExitCode.FAILED || System.nanoTime() > deadline) throw failure;
                Interruption.pause(PAUSE);
            }
        }
    }

    /** The official images set the password only when the volume is new. */
    private Failure wrongPassword() {
        var source = sourceOfPassword();
        var psql = setup.docker().commandLine("exec", service, "psql", "-U", identity.user(), "-d", "postgres", "-c",
            "\\password");
        return Failure.usage(("the password in %s is not the one of role %s in service %s: "
                + "the volume keeps the password that it was created with, "
                + "whatever changes later").formatted(source, identity.user(), service))
            .next("put the old password back into " + source, "or give the role the new one: " + psql);
    }

    /** A container's environment usually has it from {@code .env}. */
    private String sourceOfPassword() {
        if (!identity.isFromEnvironment("DB_PASSWORD")) return identity.sources().get("DB_PASSWORD");
        var file = setup.settings().ownFile().withEnvironment(Map.of());
        if (file.path().isPresent() && file.values().containsValue(identity.password()))
            return setup.project().show(file.path().get());
        return "the environment of service " + (setup.app() == null ? service : setup.app().name());
    }

    /** Another server may listen on that port of this machine, so the server's own address must be the container's. */
    private Optional<Credentials> throughPort(Container found) {
        var port = setup.engineIsLocal() ? found.published(identity.port()) : Optional.<Containers.HostPort>empty();
        if (port.isEmpty()) return Optional.empty();
        var owner = identity.route().owner();
        var route = new Route(port.get().host(), port.get().port(), null, hostInContainer(found), true, owner);
        var published = with(route);
        try (var server = Database.openServer(published)) {
            return found.addresses().contains(server.serverAddress()) ? Optional.of(published) : Optional.empty();
        } catch (Failure failure) {
            if (failure.problem() instanceof CannotConnect) return Optional.empty();
            throw failure;
        }
    }

    private Credentials throughTunnel(Container found) {
        var host = hostInContainer(found);
        var tunnel = Tunnel.to(exec(found), host, identity.port());
        var tunneled = with(new Route(null, 0, tunnel, host, setup.engineIsLocal(), identity.route().owner()));
        Database.openServer(tunneled).close();
        return tunneled;
    }

    /**
     * The container's own host name. Not the service's: on a network of several projects, another container may have it
     * too. Not 127.0.0.1 when there is an address: the official images accept any password for local connections.
     */
    private static String hostInContainer(Container container) {
        return container.addresses().isEmpty() ? "127.0.0.1" : container.network().hostname();
    }

    private Credentials with(Route route) {
        return identity.withAddress(identity.host(), identity.port(), route);
    }

    private List<String> exec(Container container) {
        return setup.docker().engine("exec", "-i", container.id()).argv();
    }
}
