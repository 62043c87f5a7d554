package lib.environment;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import lib.docker.ComposeConfig;
import lib.docker.ComposeConfig.Service;
import lib.docker.ComposeReader;
import lib.docker.Containers.Container;
import lib.docker.DockerCompose;
import lib.environment.ProjectOptions.Place;
import lib.error.Failure;
import lib.files.Text;
import lib.postgres.Database;
import lib.project.Credentials;
import lib.project.Interpreter;
import lib.project.Project;
import lib.project.Settings;

/**
 * Decides whether the database is a Compose service's or the one that {@code .env} names without Compose. It refuses to
 * choose between two databases that both reply.
 *
 * @param settings   with this shell's environment
 * @param database   the one without Compose
 * @param withDjango false for commands that need only PostgreSQL
 * @param warn       receives messages about containers
 */
record Detection(Settings settings, ProjectOptions options, OwnDatabase database, boolean withDjango,
    Consumer<String> warn) {
    Environment environment() {
        return environment(false);
    }

    private Project project() {
        return settings.project();
    }

    /** The same when the service or its engine does not run. */
    Credentials identity() {
        return environment(true).identity();
    }

    private Environment environment(boolean nameOnly) {
        if (options.place() == Place.LOCAL) return local("--local was given");
        var hasComposeFile = project().composeFile().isPresent() || settings.ownFile().get("COMPOSE_FILE") != null;
        if (options.place() == Place.AUTO && !hasComposeFile) return local(null);
        DockerCompose docker;
        ComposeConfig config;
        try {
            docker = DockerCompose.find(project().root(), settings.file().environment());
            config = ComposeReader.read(docker);
        } catch (Failure failure) {
            return localUnlessService(failure, ownSettings());
        }
        return decide(docker, config, nameOnly);
    }

    private Environment local(String reason) {
        if (!withDjango) {
            database.named(); // so that wrong settings are found now
            return new Environment.Local(project(), database, null, List.of(), reason);
        }
        var interpreter = Interpreter.find(project(), options.python, settings.file().environment());
        return Environment.of(settings, database, interpreter).withReason(reason);
    }

    /** Only when the own settings name a database of this machine: another one cannot be the service's. */
    private Environment localUnlessService(Failure failure, Optional<Credentials> own) {
        if (options.place() == Place.COMPOSE || own.filter(Credentials::isLocal).isEmpty()) throw failure;
        return local("Compose does not work: " + Text.line(failure.problem().what()));
    }

    // ---- deciding ----------------------------------------------------------------------------

    /**
     * What the decision is made from.
     *
     * @param inContainers the database's settings as the containers get them
     * @param own          those without Compose, when they are complete
     * @param byHost       the service that DB_HOST names: the database, or a pooler
     */
    private record Evidence(ComposeSetup setup, Credentials inContainers, Optional<Credentials> own,
        Optional<Service> byHost) {
        boolean namesService() {
            return byHost.isPresent();
        }

        /** The settings without Compose name the same database, through a port that is published on this machine. */
        boolean isSameDatabase(Credentials other, boolean isPublished) {
            return isPublished && setup.engineIsLocal() && other.isLocal() && !other.isSocket()
                && other.database().equals(inContainers.database());
        }

        /** The settings without Compose name a port that the service publishes when it runs, and it does not. */
        boolean isStoppedService() {
            return own.filter(other -> isSameDatabase(other, setup.database().publishes(other.port())))
                .filter(other -> !replies(other)).isPresent();
        }

        /** For people. */
        String service() {
            return "the service %s of Compose project %s".formatted(setup.database().name(), setup.name());
        }
    }

    private Environment decide(DockerCompose docker, ComposeConfig config, boolean nameOnly) {
        var app = options.appService == null ? config.app(project().backend())
            : Optional.of(config.service(options.appService));
        var inContainers = containerSettings(config, app);
        var service = options.dbService == null ? config.database(inContainers.host(), inContainers.port())
            : Optional.of(config.service(options.dbService));
        if (service.isEmpty()) {
            if (options.place() == Place.AUTO) return local("no service of the compose file is a PostgreSQL");
            throw Failure.usage("none of the Compose services is a PostgreSQL: " + config.serviceNames())
                .next("name it with --db-service, or leave --docker out");
        }
        var setup = new ComposeSetup(settings, docker, config, service.get(), app.orElse(null),
            docker.engineIsLocal());
        // Django's settings would show their defaults here: a service gives them other variables
        var own = app.isEmpty() || settings.nameDatabase() ? ownSettings() : Optional.<Credentials>empty();
        var host = isHostUnset(own) ? inContainers.host() : own.get().host();
        var byHost = config.named(host, setup.name())
            .filter(one -> one.name().equals(setup.database().name()) || !one.isPostgres());
        return decide(new Evidence(setup, inContainers, own, byHost), nameOnly);
    }

    /** Then the compose file sets the host. */
    private static boolean isHostUnset(Optional<Credentials> own) {
        return own.isEmpty() || "default".equals(own.get().sources().get("DB_HOST"));
    }

    private Environment decide(Evidence evidence, boolean nameOnly) {
        var setup = evidence.setup();
        var isAuto = options.place() == Place.AUTO;
        var isCertain = nameOnly && (!isAuto || evidence.namesService() || evidence.isStoppedService());
        var engineFailure = setup.docker().engineFailure();
        if (engineFailure.isPresent() && !isCertain) {
            if (evidence.namesService()) throw engineFailure.get();
            return localUnlessService(engineFailure.get(), evidence.own());
        }
        var running = engineFailure.isPresent() ? Optional.<Container>empty()
            : setup.databaseContainer().filter(Container::isRunning);
        if (isAuto && running.isEmpty() && !evidence.namesService() && !isCertain)
            return local("the service " + setup.database().name() + " is not running, and DB_HOST is not its name");
        if (isAuto) refuseTwoDatabases(evidence, running);
        var reason = evidence.byHost().map(service -> "DB_HOST is the service " + service.name())
            .orElse("the service " + setup.database().name() + " is running");
        return compose(evidence, isAuto ? reason : "--docker");
    }

    private Compose compose(Evidence evidence, String reason) {
        var setup = evidence.setup();
        var hasApp = setup.app() != null && (!withDjango || options.appService != null || setup.appHasImage());
        var usable = hasApp ? setup : setup.withoutApp();
        if (!hasApp && withDjango && evidence.own().isEmpty()) {
            throw Failure.usage("no Compose service has both the project's manage.py and an image: "
                    + setup.config().serviceNames())
                .next("build the image first: " + setup.docker().commandLine("build"),
                    "or name the service with --app-service");
        }
        Environment here = hasApp || !withDjango ? null : local("no service has the code");
        var django = hasApp ? new DjangoService(usable, options.python) : here;
        var service = new DatabaseService(usable, evidence.inContainers(), warn);
        var engine = new ServiceEngine(usable, evidence.inContainers().host(), options.keepServices);
        return new Compose(usable, service, django, engine, reason, warnings(setup, hasApp));
    }

    // ---- two databases -----------------------------------------------------------------------

    private void refuseTwoDatabases(Evidence evidence, Optional<Container> running) {
        var own = evidence.own();
        if (!evidence.namesService() || isHostUnset(evidence.own())) {
            var isSame = own.isPresent() && running.isPresent()
                && evidence.isSameDatabase(own.get(), running.get().publishesAs(own.get().port()));
            if (own.isPresent() && !isSame && replies(own.get()))
                throw twoDatabases("%s names %s, and %s has one too"
                    .formatted(origin(own.get()), own.get(), evidence.service()), origin(own.get()));
        }
        var inContainers = evidence.inContainers();
        var app = Optional.ofNullable(evidence.setup().app());
        var inShell = own.filter(shell -> shell.isFromEnvironment("DB_NAME")).map(Credentials::database)
            .filter(name -> !name.equals(inContainers.database()));
        if (inShell.isPresent()) {
            var service = app.orElse(evidence.setup().database()).name();
            throw twoDatabases("DB_NAME is %s in this shell, but %s in the containers of service %s"
                    .formatted(inShell.get(), inContainers.database(), service), ".env")
                .next("give --docker for %s, or unset DB_NAME in this shell".formatted(inContainers.database()),
                    "for %s, give a file that names it: --env-file".formatted(inShell.get()));
        }
        var isElsewhere = inContainers.isFromEnvironment("DB_HOST") && !inContainers.isLocal()
            && evidence.setup().config().named(inContainers.host(), evidence.setup().name()).isEmpty();
        if (app.isPresent() && isElsewhere) {
            throw twoDatabases("the service %s gets DB_HOST=%s, and %s has one too"
                .formatted(app.get().name(), inContainers.host(), evidence.service()), ".env");
        }
    }

    private static String origin(Credentials own) {
        return own.isFromDjango() ? own.origin() : ".env";
    }

    /** @param origin what names the one without Compose */
    private static Failure twoDatabases(String which, String origin) {
        return Failure.refused("there are two possible databases: " + which)
            .next("give --docker for the service's database, or --local for the one that %s names".formatted(origin));
    }

    /** A database on another machine counts without a try: naming it is enough. */
    private static boolean replies(Credentials own) {
        if (!own.isLocal()) return true;
        try {
            Database.open(own).close();
            return true;
        } catch (Failure failure) {
            return DatabaseService.isBusy(failure);
        }
    }

    // ---- settings ----------------------------------------------------------------------------

    /** From {@code --env-file}, else the app's environment, else {@code .env}, else the database's environment. */
    private Credentials containerSettings(ComposeConfig config, Optional<Service> app) {
        var environment = new HashMap<String, String>();
        databaseService(config).ifPresent(db -> db.environment().forEach((name, value) -> {
            if (name.startsWith("POSTGRES_")) environment.put(name, value);
        }));
        app.ifPresent(service -> environment.putAll(service.environment()));
        if (settings.named())
            environment.keySet().removeAll(Credentials.namesOverriddenBy(settings.file().values().keySet()));
        return settings.withEnvironment(environment).credentials();
    }

    private Optional<Service> databaseService(ComposeConfig config) {
        if (options.dbService != null) return Optional.of(config.service(options.dbService));
        try {
            return config.database("", 0);
        } catch (Failure ignored) { // there are several: the settings decide
            return Optional.empty();
        }
    }

    /** Empty when the settings without Compose are incomplete. */
    private Optional<Credentials> ownSettings() {
        try {
            return Optional.of(database.named());
        } catch (Failure ignored) {
            return Optional.empty();
        }
    }

    private List<String> warnings(ComposeSetup setup, boolean hasApp) {
        var file = settings.file().withEnvironment(Map.of());
        var warnings = new ArrayList<>(file.warnings());
        var different = ComposeReader.readDifferently(setup.docker(), file);
        if (!different.isEmpty()) {
            warnings.add("Compose and python-dotenv read .env differently, so the containers and Django may have"
                + " different values of " + String.join(", ", different) + ": write them in single quotes, without $");
        }
        if (!withDjango || setup.app() == null) return warnings;
        var app = setup.app().name();
        if (!hasApp) {
            warnings.add("the service %s has no image yet, so Django runs on this machine; to run it in the service: %s"
                .formatted(app, setup.docker().commandLine("build", app)));
        } else if (!setup.engineIsLocal() || !setup.app().mounts(project().managePy())) {
            warnings.add("the code is in the image of service " + app + ", not mounted: after the reset, build it again"
                + " before anything starts from it: " + setup.docker().commandLine("up", "-d", "--build"));
        }
        return warnings;
    }
}
