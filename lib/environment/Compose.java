package lib.environment;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.django.CodePaths;
import lib.django.Description;
import lib.django.PythonCommand;
import lib.docker.ComposeConfig;
import lib.docker.Composer;
import lib.docker.ContainerExec;
import lib.docker.Containers;
import lib.docker.Tunnel;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.postgres.CannotConnect;
import lib.postgres.Database;
import lib.postgres.PgPrograms;
import lib.postgres.Sessions;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Credentials;
import lib.project.EnvFile;
import lib.project.Project;
import lib.project.Route;

/**
 * A Compose project: PostgreSQL in a container, and Django in one too where a service holds its code. Compose itself says what
 * belongs together; single containers are then addressed by their ids.
 */
public final class Compose implements Environment {
    private static final Duration START = Duration.ofSeconds(60);
    private static final Duration USUAL = Duration.ofSeconds(10);
    private static final int PORT = 5432;
    private static final String ONE_OFF = "reset_migrations_";

    private final Project project;
    private final Composer composer;
    private final ComposeConfig config;
    private final ComposeConfig.Service db;
    private final ComposeConfig.Service app; // null: Django runs on this machine
    private final Environment.Local here;    // Django on this machine, or null
    private final Path python;               // in the container, or null
    private final boolean keepServices;
    private final Credentials identity;
    private final String hostOfDjango;
    private final boolean engineIsLocal; // the engine is this machine's
    private final String why;
    private final List<String> warnings;
    private final Consumer<String> warn;
    private Credentials database;
    private Containers.Container container;
    private boolean started;
    private boolean databaseWasCreated;
    private Runnable restoreDatabaseService = () -> {};
    private String superuser; // the one-off that makes it, by name

    Compose(Project project, Composer composer, ComposeConfig config, ComposeConfig.Service db, ComposeConfig.Service app, Environment.Local here, Path python,
            boolean keepServices, boolean engineIsLocal, Credentials settings, String why, List<String> warnings, Consumer<String> warn) {
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
        this.warn = warn;
        hostOfDjango = settings.host();
        this.engineIsLocal = engineIsLocal;
        var port = db.hosts().contains(settings.host()) || db.sharesHostNetwork() && settings.isLocal() ? settings.port() : PORT;
        identity = settings.withAddress(db.name(), port, new Route(null, 0, null, null, engineIsLocal, "Compose project " + name(composer, config)));
    }

    @Override
    public Project project() {
        return project;
    }

    @Override
    public Credentials identity() {
        return identity;
    }

    // ---- the database ------------------------------------------------------------------------

    @Override
    public Credentials database() {
        if (database == null) database = reached(upContainer());
        return database;
    }

    private static String state(Containers.Container now) {
        if (now.status().equals("restarting") || now.status().equals("exited")) return "%s (exit code %d)".formatted(now.status(), now.exitCode());
        if (!now.up()) return now.status();
        if ("healthy".equals(now.health())) return "running";
        if (now.looping()) return "up, but it has crashed and was restarted";
        return now.health() == null ? "running" : now.health();
    }

    private static Set<String> addresses(Containers.Container container) {
        return container.networks().values().stream().filter(address -> !address.isEmpty()).collect(Collectors.toSet());
    }

    private List<Containers.Container> containers() {
        return Containers.of(composer);
    }

    /** A service's container, one that runs before others. */
    static Optional<Containers.Container> of(ComposeConfig.Service service, List<Containers.Container> all) {
        return all.stream().filter(c -> service.name().equals(c.service()) && !c.oneOff()).min(Comparator.comparing(c -> !c.up()));
    }

    /** v1 does not say it: as it makes it from the folder. */
    static String name(Composer composer, ComposeConfig config) {
        if (config.project() != null) return config.project();
        var set = System.getenv("COMPOSE_PROJECT_NAME");
        var env = composer.folder().resolve(".env");
        if (set == null && Files.isRegularFile(env)) set = EnvFile.read(env).get("COMPOSE_PROJECT_NAME");
        return (set == null || set.isEmpty() ? composer.folder().getFileName().toString() : set).toLowerCase(Locale.ROOT).replaceAll("[^-_a-z0-9]", "");
    }

    /** Whether it could be run at once: to build one may take minutes, and the network. */
    static boolean hasImage(Composer composer, ComposeConfig config, ComposeConfig.Service service) {
        var name = service.image() != null ? service.image() : name(composer, config) + (composer.v1() ? "_" : "-") + service.name();
        return composer.engine("image", "inspect", "--format", "{{.Id}}", name).run().code() == 0;
    }

    private Containers.Container upContainer() {
        var found = ofDatabase();
        if (found != null && found.started() && !found.up()) throw down("it is " + found.status());
        if (found == null || !found.up()) {
            start(found);
            found = ofDatabase();
            if (found == null) throw down("it was started, and is not there");
        }
        return found;
    }

    private Failure down(String state) {
        return new Failure(new Problem.DatabaseServiceDown(composer.command(), db.name(), state));
    }

    private Containers.Container ofDatabase() {
        return of(db, containers()).orElse(null);
    }

    /** As it was found it is left: stopped, or not there at all. */
    private void start(Containers.Container stopped) {
        started = true;
        var ran = usersUp();
        if (stopped != null) {
            restoreDatabaseService = () -> {
                if (!isUsed(ran)) composer.engine("stop", stopped.id()).inOwnSession().output();
            };
            composer.engine("start", stopped.id()).output();
            return;
        }
        databaseWasCreated = true;
        warn.accept(new Problem.MadeAnew(db.name()).what());
        var networks = networks();
        restoreDatabaseService = () -> {
            var made = ofDatabase();
            if (made != null && isUsed(ran)) return;
            if (made != null) composer.engine("stop", made.id()).inOwnSession().output();
            if (made != null && (!db.keepsData() || made.hasNamelessVolume())) return; // with the container its data would be gone
            if (made != null) composer.engine("rm", made.id()).inOwnSession().output();
            networks().stream().filter(network -> !networks.contains(network)).forEach(network -> composer.engine("network", "rm", network).inOwnSession().output());
        };
        composer.done("up", "-d", "--no-deps", "--no-recreate", db.name());
    }

    private List<Containers.Container> usersUp() {
        var users = config.users(db, app);
        return containers().stream().filter(c -> c.started() && !c.oneOff() && users.contains(c.service())).toList();
    }

    /** By somebody who came while it ran for us. @param before who was there all the time, without a database, and goes on so */
    private boolean isUsed(List<Containers.Container> before) {
        var services = before.stream().map(Containers.Container::service).collect(Collectors.toSet());
        var came = usersUp().stream().map(Containers.Container::service).filter(service -> !services.contains(service)).distinct().toList();
        var by = came.isEmpty() ? sessions(before) : String.join(", ", came);
        if (by == null) return false;
        warn.accept(new Problem.RunsOn(db.name(), by).what());
        return true;
    }

    /** Null for none, or for a server that does not say. */
    private String sessions(List<Containers.Container> before) {
        if (database == null) return null;
        var known = Containers.of(composer, before.stream().map(Containers.Container::id).toList()).stream().flatMap(c -> addresses(c).stream()).collect(Collectors.toSet());
        try (var open = Database.openServer(database)) {
            var others = Sessions.onServer(open, known);
            return others.isEmpty() ? null : others.getFirst();
        } catch (Failure doesNotSay) {
            return doesNotSay.problem() instanceof CannotConnect refused && refused.reason() == CannotConnect.Reason.BUSY ? "others, as many as it takes" : null;
        }
    }

    private List<String> networks() {
        return composer.engine("network", "ls", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project=" + name(composer, config)).output().lines().toList();
    }

    /** A server that was just started lets nobody in for a while. */
    private Credentials reached(Containers.Container found) {
        container = found;
        var fresh = started || "starting".equals(found.health());
        var deadline = System.nanoTime() + (fresh ? START : USUAL).toNanos();
        while (true) {
            try {
                return byPort(found).orElseGet(() -> byTunnel(found));
            } catch (Failure failure) {
                var state = ofDatabase();
                if (state == null || !state.up() || state.status().equals("restarting"))
                    throw down(state == null ? "gone" : state.status() + ", exit code " + state.exitCode());
                if (failure.problem() instanceof CannotConnect refused && refused.reason() == CannotConnect.Reason.WRONG_PASSWORD)
                    throw new Failure(new Problem.StalePassword(db.name(), identity.user(), sourceOfPassword(), composer.command()), failure);
                if (failure.problem().exit() != Problem.Exit.FAILED || System.nanoTime() > deadline) throw failure;
                Interruption.pause(Duration.ofMillis(300));
            }
        }
    }

    /** A container's environment mostly has it from the file. */
    private String sourceOfPassword() {
        if (!identity.isFromEnvironment("DB_PASSWORD")) return identity.sources().get("DB_PASSWORD");
        var file = EnvFile.of(project, null, Map.of());
        return file.path().isPresent() && file.values().containsValue(identity.password()) ? project.show(file.path().get())
                : "the environment of service " + (app == null ? db : app).name();
    }

    /** Whatever else may listen on that port of this machine: the server itself has to say that it is the container's. What another says is nobody's business. */
    private Optional<Credentials> byPort(Containers.Container found) {
        var port = engineIsLocal ? found.published(identity.port()) : Optional.<Containers.HostPort>empty();
        if (port.isEmpty()) return Optional.empty();
        var credentials = via(new Route(port.get().host(), port.get().port(), null, itself(found), true, identity.route().owner()));
        try (var db = Database.openServer(credentials)) {
            return addresses(found).contains(db.serverAddress()) ? Optional.of(credentials) : Optional.empty();
        } catch (Failure failure) {
            if (failure.problem() instanceof CannotConnect) return Optional.empty();
            throw failure;
        }
    }

    private Credentials byTunnel(Containers.Container found) {
        var tunnel = Tunnel.to(exec(found), itself(found), identity.port());
        var credentials = via(new Route(null, 0, tunnel, itself(found), engineIsLocal, identity.route().owner()));
        Database.openServer(credentials).close();
        return credentials;
    }

    /**
     * What a container calls itself. Not the service: on a network of several projects that name may be another's too. Nor 127.0.0.1,
     * unless there is nothing else: the official images let in whoever comes from there, with any password.
     */
    private static String itself(Containers.Container container) {
        return addresses(container).isEmpty() ? "127.0.0.1" : container.hostname();
    }

    private Credentials via(Route route) {
        return identity.withAddress(identity.host(), identity.port(), route);
    }

    private List<String> exec(Containers.Container into) {
        return composer.engine("exec", "-i", into.id()).argv();
    }

    @Override
    public PgPrograms pgPrograms(int serverMajor) {
        database();
        return programs(serverMajor);
    }

    private PgPrograms programs(int major) {
        var exec = exec(container);
        var found = ContainerExec.major(exec, "pg_dump");
        if (found < major) throw new Failure(new Problem.PgProgramTooOld("pg_dump", major, List.of(found)));
        return new PgPrograms(name -> ContainerExec.of(exec, List.of(name)), database,
                name -> List.of(composer.engineName(), "exec", "-i", container.name(), name), List.of("--username=" + identity.user()));
    }

    // ---- Django ------------------------------------------------------------------------------

    /** The container's own Python, or the one that {@code --python} names. */
    private static final String FIND_PYTHON = """
            for python in "$PYTHON" python python3; do
              [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 && exec "$python" "$@"
            done
            echo '%s' >&2
            exit 127""".formatted(PythonCommand.NO_PYTHON);

    @Override
    public PythonCommand python() {
        if (app == null) return here.python();
        database(); // two that make the project's network at once make two of them
        containers().stream().filter(c -> c.oneOff() && c.name().startsWith(ONE_OFF) && c.isLeft()).forEach(c -> composer.engine("rm", c.id()).run()); // of killed runs, with v1
        var mounted = folder().isPresent();
        var name = newName();
        var start = oneOff("-T", "--name", name, "-e", "PYTHONDONTWRITEBYTECODE=1", "-e", "PYTHONUNBUFFERED=1", "-e", "PGAPPNAME=" + Database.APPLICATION,
                "-e", "PYTHON=" + (python == null ? "" : python)).with(mounted ? new String[] {"--workdir", folder().get()} : new String[0])
                .with("--entrypoint", "sh", app.name(), "-c", FIND_PYTHON, "sh").inOwnSession();
        var container = new PythonCommand.Container(app.name(), mounted ? null : digestOfManagePy(), ComposeConfig::isWarning,
                () -> composer.engine("rm", "-f", name).run());
        return new PythonCommand(start, mounted ? inside(project.root()).or(this::folder).get() : null, project.backend(), new CodePaths(pairs()), container);
    }

    private static String newName() {
        return ONE_OFF + HexFormat.of().formatHex(new SecureRandom().generateSeed(6));
    }

    /** Never through its entrypoint, which may migrate, nor with its ports and restarts; what it depends on stays as it is. */
    private Program oneOff(String... options) {
        return composer.compose("run", "--rm", "--no-deps").with(options).env("COMPOSE_INTERACTIVE_NO_CLI", "0"); // 1 makes v1 hang
    }

    @Override
    public Program manage(boolean terminal, Description django, String... args) {
        if (app == null) return here.manage(terminal, django, args);
        superuser = newName();
        var variables = System.getenv().keySet().stream().filter(name -> name.startsWith("DJANGO_SUPERUSER_")).sorted().flatMap(name -> Stream.of("-e", name));
        return oneOff(Stream.of(terminal ? Stream.<String>of() : Stream.of("-T"), Stream.of("--name", superuser, "-e", "PYTHONDONTWRITEBYTECODE=1"), variables)
                .flatMap(options -> options).toArray(String[]::new))
                .with("--workdir", django.python().folder(), "--entrypoint", django.python().executable(), app.name(), "manage.py").with(args);
    }

    @Override
    public String commandLine(Description django, String... args) {
        return app == null ? here.commandLine(django, args) : "%s run --rm --no-deps --workdir %s --entrypoint %s %s manage.py %s".formatted(composer.command(), django.python().folder(), django.python().executable(), app.name(), String.join(" ", args));
    }

    /** The folder of manage.py in the container, where this one is mounted there. */
    private Optional<String> folder() {
        return inside(project.backend());
    }

    private Optional<String> inside(Path here) {
        for (var pair : pairs()) {
            if (pair.here() == null) continue;
            if (here.equals(pair.here())) return Optional.of(pair.inside());
            if (here.startsWith(pair.here())) return Optional.of(pair.inside() + "/" + pair.here().relativize(here).toString().replace('\\', '/'));
        }
        return Optional.empty();
    }

    /** Folders of the project that are the container's too, and what lies over them there; what another machine's engine mounts is that machine's. */
    private List<CodePaths.Pair> pairs() {
        if (!engineIsLocal) return List.of();
        var pairs = new ArrayList<CodePaths.Pair>();
        for (var mount : app.mounts()) {
            var real = mount.type().equals("bind") && mount.source() != null ? real(Path.of(mount.source())) : null;
            var root = real(project.root());
            if (real == null) pairs.add(new CodePaths.Pair(mount.target(), null));
            else if (real.startsWith(root)) pairs.add(new CodePaths.Pair(mount.target(), project.root().resolve(root.relativize(real)).normalize()));
            else if (root.startsWith(real)) pairs.add(new CodePaths.Pair(mount.target() + "/" + real.relativize(root).toString().replace('\\', '/'), project.root()));
            else pairs.add(new CodePaths.Pair(mount.target(), null));
        }
        return pairs;
    }

    private static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException notThere) {
            return path.toAbsolutePath().normalize();
        }
    }

    private String digestOfManagePy() {
        try {
            return Disk.sha256(Files.readAllBytes(project.managePy()));
        } catch (IOException e) {
            throw Failure.of(e);
        }
    }

    // ---- services ----------------------------------------------------------------------------

    @Override
    public Services services() {
        var up = usersUp().stream().filter(c -> !c.status().equals("paused"))
                .map(c -> new Services.Container(c.id(), c.service(), c.looping() ? "restarting" : state(c))).toList();
        return new Services(new ByEngine(), keepServices ? List.of() : up, config.services().stream().filter(this::isBaked).map(ComposeConfig.Service::name).toList());
    }

    /** Its image holds the project's code, and nothing is mounted over it. */
    private boolean isBaked(ComposeConfig.Service service) {
        var managePy = project.managePy();
        return !(service.mounts(managePy) && engineIsLocal)
                && (service.builds(managePy) || app != null && app.image() != null && app.image().equals(service.image()));
    }

    private final class ByEngine implements Services.Engine {
        /** By their ids: made anew since the plan, and stopped with the rest. */
        private final Set<String> heirs = new HashSet<>();

        @Override
        public String command() {
            return composer.command();
        }

        /** Also what was made anew since the plan, by somebody's {@code up} or {@code watch}. */
        @Override
        public void stop(List<Services.Container> all) {
            var there = there(all);
            all.stream().filter(one -> in(there, one).isEmpty()).flatMap(this::successors).filter(Containers.Container::started).forEach(heir -> heirs.add(heir.id()));
            var ids = Stream.concat(there.stream().map(Containers.Container::id), heirs.stream()).distinct().toArray(String[]::new);
            if (ids.length > 0) composer.engine("stop").with(ids).inOwnSession().output();
            all.stream().filter(this::isWayOfDjango).forEach(this::start);
        }

        /** A pooler: only its sessions have to go, the last check needs it. */
        private boolean isWayOfDjango(Services.Container one) {
            return config.services().stream().anyMatch(s -> s.name().equals(one.service()) && s.hosts().contains(hostOfDjango));
        }

        @Override
        public void start(Services.Container one) {
            var known = in(there(List.of(one)), one).isPresent() ? List.<Containers.Container>of() : successors(one).toList();
            var stopped = known.stream().filter(heir -> heirs.contains(heir.id())).toList();
            if (stopped.isEmpty() && known.stream().anyMatch(Containers.Container::up)) return;
            var ids = (stopped.isEmpty() ? known.stream().limit(1) : stopped.stream()).map(Containers.Container::id).toList();
            composer.engine("start").with(ids.isEmpty() ? new String[] {one.id()} : ids.toArray(String[]::new)).inOwnSession().output();
        }

        @Override
        public List<String> states(List<Services.Container> all) {
            var there = there(all);
            return all.stream().map(one -> in(there, one).or(() -> successors(one).findFirst()).map(Compose::state).orElse("gone")).toList();
        }

        @Override
        public Set<String> addresses(List<Services.Container> of) {
            return there(of).stream().flatMap(c -> Compose.addresses(c).stream()).collect(Collectors.toSet());
        }

        @Override
        public Optional<Instant> built(Services.Container one) {
            var container = in(there(List.of(one)), one).or(() -> successors(one).findFirst()).map(Containers.Container::id).orElse(one.id());
            var made = composer.engine("container", "inspect", "--format", "{{.Image}}", container).run();
            var built = composer.engine("image", "inspect", "--format", "{{.Created}}", made.out().strip()).run();
            try {
                return Optional.of(OffsetDateTime.parse(built.out().strip()).toInstant());
            } catch (DateTimeParseException unknown) {
                return Optional.empty();
            }
        }

        /** Those that are there still; asked at once, as it is asked every second while people wait. */
        private List<Containers.Container> there(List<Services.Container> all) {
            return Containers.of(composer, all.stream().map(Services.Container::id).toList());
        }

        private Optional<Containers.Container> in(List<Containers.Container> there, Services.Container one) {
            return there.stream().filter(container -> container.id().equals(one.id())).findFirst();
        }

        /** The service's containers, the youngest first. */
        private Stream<Containers.Container> successors(Services.Container one) {
            return containers().stream().filter(c -> one.service().equals(c.service()) && !c.oneOff()).sorted(Comparator.comparing(Containers.Container::created).reversed());
        }
    }

    @Override
    public String describe() {
        return "%s, project %s: database in service %s%s, Django %s; %s".formatted(composer.describe(), name(composer, config), db.name(),
                database == null ? "" : " through " + database.route(), app == null ? "on this machine" : "in service " + app.name(), why);
    }

    @Override
    public List<String> warnings() {
        return warnings;
    }

    @Override
    public boolean databaseWasCreated() {
        return databaseWasCreated;
    }

    /** Also when we were told to stop: what waits on a terminal that has gone would wait for ever. What we came for is done by now, or has failed with a better reason. */
    @Override
    public void close() {
        Interruption.uninterruptibly(() -> {
            try {
                if (superuser != null) composer.engine("rm", "-f", superuser).inOwnSession().run();
            } catch (Failure tooSlow) {
                // it ends by itself
            }
            try {
                restoreDatabaseService.run();
            } catch (Failure stays) {
                warn.accept(new Problem.MayRunOn(db.name(), stays.problem()).what());
            }
        });
    }

    @Override
    public boolean imageHasCode() {
        return app != null && folder().isEmpty();
    }

    @Override
    public String composeCommand() {
        return composer.command();
    }

    @Override
    public String toString() {
        return describe();
    }
}
