package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.django.Description;
import lib.django.Django;
import lib.django.NewMigrations;
import lib.error.Failure;
import lib.files.Disk;
import lib.files.Text;
import lib.postgres.Database;
import lib.postgres.Sql;
import lib.project.Credentials;
import lib.project.Project;

/** Conditions that have to hold before anything is touched, and the check of the result. */
public final class Guards {
    private Guards() {}

    private static final Pattern PROTECTED = Pattern.compile("\\bprotected\\b", Pattern.CASE_INSENSITIVE);

    /** @throws Failure refused (4) on a standby: nothing can be written there */
    public static void refuseStandby(Database db) {
        if (db.is("SELECT pg_is_in_recovery()")) throw standby(db.name());
    }

    static Failure standby(String database) {
        return Failure.refused("database %s is on a standby server, which is read-only".formatted(database))
                .next("name the primary server in DB_HOST");
    }

    /** For a backup from a server that may be new. @throws Failure refused (4) when the database has no tables */
    public static void refuseEmpty(Database db) {
        if (!hasTables(db)) throw Failure.refused(("the database %s has no tables, and its container looks newly "
                + "created (empty volume?): there is nothing to back up").formatted(db.name()))
                .next("see whether its volume was removed or renamed: docker volume ls",
                        "if it is really new, start the service first, or give the new one's backups a folder of "
                        + "their own: --dir");
    }

    /** Tables of extensions do not count: an image may create them. */
    private static boolean hasTables(Database db) {
        return db.is("""
                SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                  AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))""");
    }

    /** @throws Failure refused (4) when the database's COMMENT says that it is protected, whatever the options */
    public static void refuseProtected(Database db) {
        var comment = db.texts("SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE "
                + "datname = current_database()").getFirst();
        if (!PROTECTED.matcher(comment).find()) return;
        throw Failure.refused("database %s is marked as protected by its comment: %s"
                .formatted(Text.line(db.name()), Text.line(comment)))
                .next("if that is no longer intended, remove the mark in psql:",
                        "COMMENT ON DATABASE %s IS NULL;".formatted(Sql.identifier(db.name())));
    }

    /** Django's default database is the one we look at, and the apps can be reset. @throws Failure refused (4) */
    static void checkSettings(Description django, Credentials ours) {
        if (!django.defaultDatabase().sameDatabase()) throw otherDatabase(django.defaultDatabase(), ours);
        if (django.selected().isEmpty()) throw Failure.refused("no app of the project has migrations to reset")
                .next("check --project and --settings: these decide which apps are the project's own");
        var selected = django.labels();
        var others = django.history().files().stream()
                .filter(file -> !file.isMigration() && selected.contains(file.app()))
                .map(file -> file.path().toString()).toList();
        if (!others.isEmpty())
            throw Failure.refused("these files in a migrations folder are not migrations, so Django cannot load the "
                    + "app's migrations:" + Text.lines(others))
                    .next("move them elsewhere, or give them names that begin with _");
    }

    /** What imports a migration would fail as soon as the new files are in place. @throws Failure refused (4) */
    static void checkImports(Project project, List<Description.Import> imports) {
        var lines = imports.stream().filter(Description.Import::needed).map(one -> "%s:%d imports %s"
                .formatted(project.show(one.path()), one.line(), one.module())).distinct().toList();
        if (!lines.isEmpty()) throw Failure.refused("the project needs migrations that a reset replaces:"
                + Text.lines(lines)).next("move what these lines need to a module that is not a migration, and let the "
                + "migrations import it from there too");
    }

    private static Failure otherDatabase(Description.DatabaseAlias theirs, Credentials ours) {
        var engine = theirs.engine();
        if (!engine.contains("postg") && !engine.contains("psycopg") && !engine.contains("psql"))
            return Failure.refused("Django's default database has the engine %s; only PostgreSQL can be reset"
                    .formatted(engine)).next("check DATABASES in the settings, or give --settings MODULE");
        var error = theirs.error() == null ? "" : "\n  Django cannot connect: " + theirs.error();
        return Failure.refused(
                ".env and Django name different databases:\n  %s: %s\n  Django's settings: %s@%s:%s/%s%s".formatted(
                        ours.origin(), ours, theirs.user(), theirs.host(), theirs.port(), theirs.name(), error))
                .next("make them agree: often the backend has a .env of its own, or the settings have other defaults",
                        "or, if Django runs with other settings, name their module: --settings MODULE, or"
                        + " DJANGO_SETTINGS_MODULE");
    }

    /**
     * Everything that will be written is writable. Of a folder that does not exist yet, the nearest one above it
     * counts; of one with migrations, its {@code __pycache__} too, which a container has often created as root.
     *
     * @throws Failure failed (1)
     */
    public static void writable(Project project, Stream<Path> folders) {
        var closed = folders.flatMap(folder -> Stream.of(folder, folder.resolve("__pycache__"))).map(Guards::nearest)
                .distinct().filter(folder -> !Files.isWritable(folder) || !Files.isExecutable(folder))
                .map(folder -> project.show(folder) + " (" + Disk.ownerAndMode(folder) + ")").sorted().toList();
        if (!closed.isEmpty())
            throw Failure.failed("nothing was touched, because these folders are not writable:" + Text.lines(closed))
                    .next("run this as their owner, or give yourself the right to write there (chown, chmod, mount)");
    }

    private static Path nearest(Path folder) {
        var existing = folder;
        while (!Files.isDirectory(existing) && existing.getParent() != null) existing = existing.getParent();
        return existing;
    }

    /**
     * The new migrations need nothing that other apps do not have. A migration that stays may name one that is replaced
     * if a new one has that name.
     *
     * @throws Failure refused (4)
     */
    static void checkDependencies(Description django, NewMigrations fresh) {
        if (!fresh.required().isEmpty()) throw needsOtherApps(django, fresh.required());
        if (!fresh.circles().isEmpty()) throw circle(fresh.circles());
        var names = fresh.files().stream().map(file -> file.app() + "." + file.name().replaceFirst("\\.py$", ""))
                .toList();
        var lost = django.history().references().stream()
                .filter(pin -> !names.contains(pin.toApp() + "." + pin.toMigration())).toList();
        if (lost.isEmpty()) return;
        var references = lost.stream().map(pin -> "%s.%s (%s) names %s.%s"
                .formatted(pin.app(), pin.migration(), pin.kind(), pin.toApp(), pin.toMigration())).toList();
        throw Failure.refused("migrations that stay name migrations that would no longer exist:"
                + Text.lines(references)).next(lost.stream().anyMatch(Description.Reference::own)
                        ? "reset those apps together: leave --apps out, or add them to it"
                        : "a package cannot depend on a project's migration by name: have it depend on __first__, "
                        + "or make its migrations the project's own with MIGRATION_MODULES");
    }

    private static Failure circle(List<NewMigrations.Reference> references) {
        var lines = references.stream().map(one -> (one.field() == null ? "%s has the base %3$s" : "%s.%s refers to %s")
                .formatted(one.model(), one.field(), one.other())).distinct().toList();
        return Failure.refused("models need each other, so no migration can create either of them first:"
                + Text.lines(lines))
                .next("the migrations of the other app need this one's models: take one of these references out of "
                        + "models.py for the reset, and add it with makemigrations afterwards");
    }

    private static Failure needsOtherApps(Description django, List<NewMigrations.RequiredChange> needs) {
        var own = django.apps().stream().filter(Description.App::own).map(Description.App::label).toList();
        var changes = needs.stream().map(need -> "%s (%s) needs a migration in %s (%s)"
                .formatted(need.app(), need.operation(), need.otherApp(), need.change())).toList();
        return Failure.refused("the new migrations need changes in apps that are not reset:" + Text.lines(changes))
                .next(needs.stream().map(NewMigrations.RequiredChange::otherApp).distinct()
                        .map(app -> (own.contains(app) ? "reset %s too: leave --apps out, or add it"
                        : "make the migrations of %s the project's own with MIGRATION_MODULES, or do without "
                        + "that change").formatted(app)).toList());
    }

    /** What a container proves has to hold for the files here too. @throws Failure refused (4) */
    static void checkSameCode(Django django, Description description, String buildCommand, boolean trusted)
            throws IOException {
        var stale = trusted ? List.<String>of() : django.staleInImage(description);
        if (!stale.isEmpty())
            throw Failure.refused("the image of service %s was built from different code:"
                    .formatted(django.service()) + firstTen(stale))
                .next(buildCommand, "or, if the image is meant to differ: --trust-image");
        var hidden = django.hiddenInContainer(description);
        if (!hidden.isEmpty())
            throw Failure.refused(("the code's folder is mounted into the container of service %s, but its files "
                    + "there differ from those here:").formatted(django.service()) + firstTen(hidden))
                    .next("see the service's volumes in the compose file: another one may be mounted over this folder",
                        "or name another service with Django: --app-service");
    }

    private static String firstTen(List<String> all) {
        var more = all.size() > 10 ? "\n  … and %d more".formatted(all.size() - 10) : "";
        return Text.lines(all.stream().limit(10).toList()) + more;
    }
}
