package lib.environment;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.django.DefaultDatabase;
import lib.django.Django;
import lib.django.PythonCommand;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.postgres.CannotConnect;
import lib.postgres.Database;
import lib.process.Program;
import lib.project.Credentials;
import lib.project.Interpreter;
import lib.project.Project;
import lib.project.Settings;

/**
 * The project's database without Compose: the one that {@code .env} and the environment name; where these name none,
 * the one of Django's own settings.
 */
final class OwnDatabase {
    private final Settings settings;
    private final Path python;
    private final String module;
    private final Consumer<String> warn;
    private Credentials named;
    private Credentials accepted;
    private Map<String, String> variables;

    /** @param python {@code --python}, or null @param module {@code --settings}, or null */
    OwnDatabase(Settings settings, Path python, String module, Consumer<String> warn) {
        this.settings = settings;
        this.python = python;
        this.module = module;
        this.warn = warn;
        variables = settings == null ? Map.of() : settings.file().forDjango(settings.project());
    }

    static OwnDatabase of(Credentials known) {
        var own = new OwnDatabase(null, null, null, warning -> {});
        own.named = known;
        own.accepted = known;
        return own;
    }

    /** What Django's process gets in addition to this process's environment; may hold secrets. */
    Map<String, String> variables() {
        return variables;
    }

    /** Asks no server. @throws Failure no settings, wrong ones, or those of another kind of database */
    Credentials named() {
        if (named == null) named = settings.nameDatabase() ? fromFile() : fromDjangoAlone();
        return named;
    }

    private Credentials fromFile() {
        try {
            return settings.credentials();
        } catch (Failure failure) {
            if (failure.problem().exit() != ExitCode.USAGE || !settings.haveUrl()) throw failure;
            var django = fromDjangoIfPossible(failure);
            warn.accept("%s; Django's settings are used".formatted(failure.problem().what()));
            return django;
        }
    }

    private Credentials fromDjangoAlone() {
        try {
            return fromDjango();
        } catch (Failure failure) {
            var why = failure.problem();
            if (why instanceof Problem.Interrupted || why.exit() == ExitCode.REFUSED) throw failure;
            var none = settings.noDatabase().problem();
            throw Failure.usage(none.what() + "\nand Django's own settings cannot be read: " + why.what())
                .next(Stream.concat(why.next().stream(), none.next().stream()).toList()).causedBy(failure);
        }
    }

    /** Those that the server accepts: Django's password, when it rejects the one in the file and Django has another. */
    Credentials accepted() {
        if (accepted == null) accepted = named().isFromDjango() ? named : tried(named);
        return accepted;
    }

    private Credentials tried(Credentials ours) {
        try {
            Database.open(ours).close();
            return ours;
        } catch (Failure failure) {
            if (Database.sqlState(failure).equals("3D000")) return ours; // a restore makes it
            var isHostUnset = "default".equals(ours.sources().get("DB_HOST"));
            var isWrongPassword = failure.problem() instanceof CannotConnect why
                && why.reason() == CannotConnect.Reason.WRONG_PASSWORD;
            if (!isHostUnset && !isWrongPassword) throw failure;
            var django = fromDjangoIfPossible(failure);
            if (isHostUnset && django.isSocket() && django.user().equals(ours.user())
                && django.database().equals(ours.database())) {
                warn.accept("DB_HOST is not set, and nothing on %s lets %s in; Django uses the Unix socket in %s"
                    .formatted(ours.host(), ours.user(), django.host()));
                return django;
            }
            var isSame = django.toString().equals(ours.toString());
            if (!isWrongPassword || !isSame || Objects.equals(ours.password(), django.password())) throw failure;
            warn.accept(("the server rejects %s as python-dotenv reads it in %s; Django's settings have another"
                    + " password, because their reader takes quotes, #, $, \\ or %% differently: Django's is used")
                .formatted(ours.nameOf("DB_PASSWORD"), ours.sources().get("DB_PASSWORD")));
            return ours.withPasswordOf(django);
        }
    }

    // ---- asking Django -----------------------------------------------------------------------

    /**
     * First without our reading of the file, which would come before Django's own; then Django never gets it.
     *
     * @throws Failure the earlier one, when Django cannot be asked
     */
    private Credentials fromDjangoIfPossible(Failure earlier) {
        var ours = variables;
        for (var tried : List.of(Map.<String, String>of(), ours)) {
            try {
                variables = tried;
                return fromDjango();
            } catch (Failure failure) {
                if (failure.problem() instanceof Problem.Interrupted) throw failure;
            }
        }
        throw earlier;
    }

    private Credentials fromDjango() {
        var project = settings.project();
        var interpreter = Interpreter.find(project, python, settings.file().environment());
        var program = python(project, interpreter, variables);
        return credentials(Django.defaultDatabase(PythonCommand.local(program, project.root()), module));
    }

    private static Credentials credentials(DefaultDatabase django) {
        if (!django.postgresql())
            throw Failure.refused("the database is not PostgreSQL: the ENGINE of %s is %s"
                    .formatted(django, django.engine()))
                .next("this tool is for PostgreSQL only; if Django runs with other settings, name their module:"
                    + " --settings MODULE, or DJANGO_SETTINGS_MODULE");
        if (django.error() != null && (django.host().isEmpty() || django.name().isEmpty() || django.user().isEmpty()))
            throw Failure.usage("Django cannot connect to %s: %s".formatted(django, django.error()))
                .next("correct these settings, or start the server");
        if (!django.port().matches("\\d{0,5}"))
            throw Failure.usage("the PORT of %s is not a number".formatted(django)).next("correct it there");
        var port = django.port().isEmpty() ? 5432 : Integer.parseInt(django.port());
        return Credentials.ofDjango(django.module(), django.host(), port, django.name(), django.user(),
            django.password(), django.sslmode());
    }

    /** @param variables what the process gets in addition to this process's environment; may hold secrets */
    static Program python(Project project, Interpreter interpreter, Map<String, String> variables,
        String... arguments) {
        return Program.of(List.of(interpreter.python().toString())).with(arguments).in(project.backend())
            .env("PYTHONDONTWRITEBYTECODE", "1").secrets(variables);
    }
}
