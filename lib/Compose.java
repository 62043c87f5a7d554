package lib;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A Compose project: PostgreSQL in a container, and Django in one too where a service holds its code. Compose itself says what
 * belongs together; single containers are then addressed by their ids.
 */
public final class Compose implements Environment {
    private static final Duration START = Duration.ofSeconds(60);
    private static final Duration USUAL = Duration.ofSeconds(10);
    private static final int PORT = 5432;

    private final Project project;
    private final Composer composer;
    private final ComposeConfig config;
    private final ComposeConfig.Service db;
    private final ComposeConfig.Service app; // null: Django runs on this machine
    private final Environment.Local here;    // Django on this machine, or null
    private final Path python;               // in the container, or null
    private final boolean keepServices;
    private final Credentials server;
    private final String why;
    private final List<String> warnings;
    private Credentials database;
    private Containers.Container container;
    private Runnable asFound = () -> {};

    Compose(Project project, Composer composer, ComposeConfig config, ComposeConfig.Service db, ComposeConfig.Service app, Environment.Local here, Path python,
            boolean keepServices, Credentials settings, String why, List<String> warnings) {
        this.project = project;
        this.composer = composer;
        this.config = config;
        this.db = db;
        this.app = app;
        this.here = here;
        this.python = python;
        this.keepServices = keepServices;
        this.why = why;
        this.warnings = warnings;
        var port = config.names(db, settings.host()) ? settings.port() : PORT;
        server = settings.at(db.name(), port, new Route(null, 0, null, composer.onThisMachine(), "Compose project " + config.name()));
    }

    @Override
    public Project project() {
        return project;
    }

    @Override
    public Credentials server() {
        return server;
    }

    // ---- the database ------------------------------------------------------------------------

    @Override
    public Credentials database() {
        if (database == null) database = reached(upContainer());
        return database;
    }

    private List<Containers.Container> containers() {
        return Containers.of(composer);
    }

    private Containers.Container upContainer() {
        var found = ofDatabase();
        if (found == null || !found.up()) {
            start(found);
            found = ofDatabase();
            if (found == null) throw new Failure(new Problem.DatabaseServiceDown(db.name(), "it was started, and is not there"));
        }
        if (found.status().equals("paused")) throw new Failure(new Problem.DatabaseServiceDown(db.name(), "it is paused"));
        return found;
    }

    private Containers.Container ofDatabase() {
        var all = containers().stream().filter(c -> c.service().equals(db.name()) && !c.oneOff()).toList();
        return all.stream().filter(Containers.Container::up).findFirst().orElse(all.isEmpty() ? null : all.getFirst());
    }

    /** As it was found it is left: stopped, or not there at all. */
    private void start(Containers.Container stopped) {
        if (stopped != null) {
            composer.engine("start", stopped.id()).output();
            asFound = () -> composer.engine("stop", stopped.id()).output();
            return;
        }
        composer.compose("up", "-d", "--no-deps", "--no-recreate", db.name()).output();
        asFound = () -> {
            composer.compose("stop", db.name()).output();
            composer.compose("rm", "-f", db.name()).output();
        };
    }

    /** A server that was just started lets nobody in for a while. */
    private Credentials reached(Containers.Container found) {
        container = found;
        var fresh = database == null && !found.settled();
        var deadline = System.nanoTime() + (fresh ? START : USUAL).toNanos();
        while (true) {
            try {
                return byPort(found).orElseGet(() -> byTunnel(found));
            } catch (Failure failure) {
                var state = ofDatabase();
                if (state == null || !state.up() || state.status().equals("restarting"))
                    throw new Failure(new Problem.DatabaseServiceDown(db.name(), state == null ? "gone" : state.status() + ", exit code " + state.exitCode()), failure);
                if (failure.problem() instanceof Problem.CannotConnect refused && refused.wrongPassword())
                    throw new Failure(new Problem.StalePassword(db.name(), server.user(), server.sources().getOrDefault("DB_PASSWORD", ".env"), composer.words()), failure);
                if (failure.problem().exit() != Problem.Exit.FAILED || System.nanoTime() > deadline) throw failure;
                Interruption.pause(Duration.ofMillis(300));
            }
        }
    }

    /** Whatever else may listen on that port of this machine: the server itself has to say that it is the container's. */
    private Optional<Credentials> byPort(Containers.Container found) {
        var port = composer.onThisMachine() ? found.published(server.port()) : Optional.<Containers.HostPort>empty();
        if (port.isEmpty()) return Optional.empty();
        var credentials = via(new Route(port.get().host(), port.get().port(), null, true, server.route().whose()));
        try (var db = Database.openServer(credentials)) {
            return found.addresses().contains(db.serverAddress()) ? Optional.of(credentials) : Optional.empty();
        } catch (Failure failure) {
            if (failure.problem() instanceof Problem.CannotConnect refused && refused.exit() == Problem.Exit.FAILED) return Optional.empty();
            throw failure;
        }
    }

    private Credentials byTunnel(Containers.Container found) {
        // its own name, as every other container calls it: the official images let in whoever comes from 127.0.0.1, with any password
        var host = found.addresses().isEmpty() ? "127.0.0.1" : db.name();
        var argument = Tunnel.argument(exec(found), host, server.port());
        var credentials = via(new Route(null, 0, argument, composer.onThisMachine(), server.route().whose()));
        Database.openServer(credentials).close();
        return credentials;
    }

    private Credentials via(Route route) {
        return server.at(server.host(), server.port(), route);
    }

    private List<String> exec(Containers.Container into) {
        return composer.engine("exec", "-i").apart().with(into.id()).argv();
    }

    @Override
    public PgPrograms pgPrograms(int serverMajor) {
        database();
        return Inside.pgPrograms(composer, container, server, serverMajor);
    }

    // ---- Django ------------------------------------------------------------------------------

    @Override
    public Django.Python python() {
        if (app == null) return here.python();
        return null;
    }

    @Override
    public Program manage(boolean terminal, String... args) {
        if (app == null) return here.manage(terminal, args);
        return null;
    }

    // ---- services ----------------------------------------------------------------------------

    @Override
    public Services services() {
        if (keepServices) return Services.NONE;
        var users = config.users(db.name());
        var up = containers().stream().filter(c -> c.up() && !c.oneOff() && users.contains(c.service()))
                .map(c -> new Services.One(c.id(), c.service())).toList();
        return new Services(new ByEngine(), up, List.of());
    }

    private final class ByEngine implements Services.Engine {
        @Override
        public void stop(List<Services.One> all) {
            var there = all.stream().map(this::container).filter(Objects::nonNull).map(Containers.Container::id).toList(); // others were made anew meanwhile
            if (!there.isEmpty()) composer.engine("stop").with(there.toArray(String[]::new)).output();
        }

        @Override
        public void start(Services.One one) {
            if (container(one) == null && containers().stream().anyMatch(c -> c.service().equals(one.service()) && c.up() && !c.oneOff())) return;
            composer.engine("start", one.id()).output();
        }

        @Override
        public String state(Services.One one) {
            var now = container(one);
            if (now == null) return "gone";
            if (now.status().equals("restarting") || now.status().equals("exited")) return "%s again and again (exit code %d)".formatted(now.status(), now.exitCode());
            if (!now.up()) return now.status();
            return now.health() == null || now.health().equals("healthy") ? "running" : now.health();
        }

        @Override
        public Set<String> addresses(List<Services.One> of) {
            return of.stream().map(this::container).filter(Objects::nonNull).flatMap(c -> c.addresses().stream()).collect(Collectors.toSet());
        }

        private Containers.Container container(Services.One one) {
            return containers().stream().filter(c -> c.id().equals(one.id())).findFirst().orElse(null);
        }
    }

    @Override
    public String describe() {
        return "%s %s, project %s: database in service %s%s, Django %s; %s".formatted(composer.words(), composer.version(), config.name(), db.name(),
                database == null ? "" : " through " + database.route(), app == null ? "on this machine" : "in service " + app.name(), why);
    }

    @Override
    public List<String> warnings() {
        return warnings;
    }

    @Override
    public void close() {
        asFound.run();
    }

    @Override
    public String toString() {
        return describe();
    }
}
