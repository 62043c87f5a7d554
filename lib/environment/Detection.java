package lib.environment;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Supplier;
import lib.docker.ComposeConfig;
import lib.docker.Composer;
import lib.docker.Containers;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.CannotConnect;
import lib.postgres.Database;
import lib.project.Credentials;
import lib.project.EnvFile;
import lib.project.Interpreter;
import lib.project.Project;

/**
 * Whether the database is a Compose project's or whatever {@code .env} names on its own. Never a guess between two databases that
 * both answer.
 *
 * @param wanted      said by {@code --docker} or {@code --local}
 * @param named       by {@code --env-file}, or null
 * @param interpreter finds Python on this machine; null where nobody asks for it
 * @param python      by {@code --python}: in Compose a path in the container
 * @param warn        gets what becomes of containers, as it happens
 */
public record Detection(Project project, Wanted wanted, Path named, String dbService, String appService, boolean keepServices,
                 Supplier<Interpreter> interpreter, Path python, Map<String, String> shell, Consumer<String> warn) {
    public enum Wanted { EITHER, DOCKER, LOCAL }

    public Environment environment() {
        return environment(false);
    }

    /** What the database is called, for whoever does not connect to it: the same when its service or its engine does not run. */
    Credentials server() {
        return environment(true).identity();
    }

    private Environment environment(boolean nameOnly) {
        if (wanted == Wanted.LOCAL) return here("--local was given");
        if (wanted == Wanted.EITHER && !hasComposeFile()) return here(null);
        Composer composer;
        ComposeConfig config;
        try {
            composer = Composer.find(project.root(), shell);
            config = ComposeConfig.of(composer);
        } catch (Failure failure) {
            return hereUnlessService(failure);
        }
        return of(composer, config, nameOnly);
    }

    private boolean hasComposeFile() {
        return project.composeFile().isPresent() || EnvFile.of(project, null, shell).get("COMPOSE_FILE") != null;
    }

    /** Where Compose does not work, what {@code .env} names must be reachable without it; never another database in its place. */
    private Environment hereUnlessService(Failure failure) {
        if (wanted == Wanted.DOCKER || own().filter(Credentials::isLocal).isEmpty()) throw failure;
        return here("Compose is no help: " + failure.problem().what().lines().findFirst().orElse(""));
    }

    private Environment of(Composer composer, ComposeConfig config, boolean nameOnly) {
        var own = own();
        var app = appService == null ? config.app(project.backend()) : Optional.of(config.service(appService));
        var settings = inContainers(config, app);
        var db = dbService == null ? config.database(settings.host(), settings.port()) : Optional.of(config.service(dbService));
        if (db.isEmpty()) {
            if (wanted == Wanted.DOCKER) throw new Failure(new Problem.NoDatabaseService(config.services().stream().map(ComposeConfig.Service::name).toList()));
            return here("no service of the compose file is a PostgreSQL");
        }
        var unnamed = own.isEmpty() || "default".equals(own.get().sources().get("DB_HOST")); // then the compose file's own environment says it
        var composeProject = Compose.name(composer, config);
        var byHost = config.named(unnamed ? settings.host() : own.get().host(), composeProject).filter(service -> service.name().equals(db.get().name()) || !service.isPostgres());
        var isService = byHost.isPresent();
        var engineIsLocal = composer.engineIsLocal();
        var sure = nameOnly && (wanted == Wanted.DOCKER || isService || own.isPresent() && own.get().isLocal() && engineIsLocal && db.get().publishes(own.get().port()) && own.get().database().equals(settings.database()) && !answers(own.get()));
        var silent = composer.engineProblem();
        if (silent.isPresent() && !sure) {
            if (isService) throw new Failure(silent.get());
            return hereUnlessService(new Failure(silent.get()));
        }
        var running = silent.isPresent() ? Optional.<Containers.Container>empty() : Compose.of(db.get(), Containers.of(composer)).filter(Containers.Container::up);
        var why = wanted == Wanted.DOCKER ? "--docker" : isService ? "DB_HOST is the service " + byHost.get().name() : "the service " + db.get().name() + " is running";
        if (wanted == Wanted.EITHER && (!isService || unnamed)) {
            if (running.isEmpty() && !sure && !isService) return here("the service %s is not running, and DB_HOST is not its name".formatted(db.get().name()));
            var same = own.isPresent() && running.isPresent() && isPublished(own.get(), engineIsLocal, running.get()) && own.get().database().equals(settings.database());
            if ((running.isPresent() || isService) && own.isPresent() && !same && answers(own.get()))
                throw new Failure(new Problem.TwoDatabases(own.get(), db.get().name(), composeProject));
        }
        if (wanted == Wanted.EITHER) refuseTwo(config, db.get(), app, settings, own, composeProject);
        var usable = app.filter(service -> interpreter == null || appService != null || Compose.hasImage(composer, config, service));
        var local = usable.isEmpty() && interpreter != null && own.isPresent() ? (Environment.Local) here("no service has the code") : null;
        if (usable.isEmpty() && interpreter != null && local == null) throw new Failure(new Problem.NoAppService(composer.command(), config.services().stream().map(ComposeConfig.Service::name).toList()));
        return new Compose(project, composer, config, db.get(), usable.orElse(null), local, python, keepServices, engineIsLocal, settings, why, warnings(composer, engineIsLocal, app, usable), warn);
    }

    /** Of what the containers are told, and of what this shell is, only one can be meant. */
    private void refuseTwo(ComposeConfig config, ComposeConfig.Service db, Optional<ComposeConfig.Service> app, Credentials settings, Optional<Credentials> own, String composeProject) {
        var byShell = own.filter(mine -> mine.isFromEnvironment("DB_NAME") && !mine.database().equals(settings.database()));
        if (byShell.isPresent()) throw new Failure(new Problem.ShellNamesAnother(byShell.get().database(), settings.database(), app.orElse(db).name()));
        if (settings.isFromEnvironment("DB_HOST") && app.isPresent() && !settings.isLocal() && config.named(settings.host(), composeProject).isEmpty())
            throw new Failure(new Problem.DatabaseElsewhere(settings.host(), app.get().name(), db.name(), composeProject));
    }

    /** As the containers get them: the app's environment before the file, the database's own last. */
    private Credentials inContainers(ComposeConfig config, Optional<ComposeConfig.Service> app) {
        var environment = new HashMap<String, String>();
        theDatabase(config).ifPresent(db -> db.environment().forEach((name, value) -> {
            if (name.startsWith("POSTGRES_")) environment.put(name, value);
        }));
        app.ifPresent(service -> environment.putAll(service.environment()));
        if (named != null) environment.keySet().removeAll(Credentials.namesOverriddenBy(EnvFile.of(project, named, Map.of()).values().keySet())); // who names a file means it
        return Credentials.of(project, EnvFile.of(project, named, environment));
    }

    private Optional<ComposeConfig.Service> theDatabase(ComposeConfig config) {
        if (dbService != null) return Optional.of(config.service(dbService));
        try {
            return config.database("", 0);
        } catch (Failure several) {
            return Optional.empty(); // the settings will say
        }
    }

    /** What {@code .env} names without Compose, as long as that is something at all. */
    private Optional<Credentials> own() {
        try {
            return Optional.of(Credentials.of(project, EnvFile.of(project, named, shell)));
        } catch (Failure incomplete) {
            return Optional.empty();
        }
    }

    private static boolean isPublished(Credentials own, boolean engineIsLocal, Containers.Container db) {
        return own.isLocal() && !own.host().startsWith("/") && engineIsLocal && db.published().values().stream().flatMap(List::stream).anyMatch(port -> port.port() == own.port());
    }

    /** A database elsewhere is not even tried: that it is named is enough to ask. */
    private static boolean answers(Credentials own) {
        if (!own.isLocal() || own.host().startsWith("/")) return true;
        try {
            Database.open(own).close();
            return true;
        } catch (Failure failure) {
            return failure.problem() instanceof CannotConnect refused && refused.reason() == CannotConnect.Reason.BUSY;
        }
    }

    private List<String> warnings(Composer composer, boolean engineIsLocal, Optional<ComposeConfig.Service> app, Optional<ComposeConfig.Service> usable) {
        var warnings = new ArrayList<String>();
        var file = EnvFile.of(project, named, Map.of());
        file.problems().stream().map(Problem.MalformedLine::what).forEach(warnings::add);
        var differing = ComposeConfig.differing(composer, file);
        if (!differing.isEmpty()) warnings.add(new Problem.ReadDifferently(List.copyOf(differing)).what());
        if (interpreter == null) return warnings;
        if (usable.isEmpty()) app.ifPresent(service -> warnings.add(new Problem.NoImage(composer.command(), service.name()).what()));
        usable.filter(service -> !(service.mounts(project.managePy()) && engineIsLocal)).ifPresent(service -> warnings.add(new Problem.CodeInImage(composer.command(), service.name()).what()));
        return warnings;
    }

    private Environment here(String why) {
        var file = EnvFile.of(project, named, shell);
        return interpreter == null ? Environment.withoutDjango(project, Credentials.of(project, file)).withReason(why) : Environment.of(project, file, interpreter.get()).withReason(why);
    }
}
