package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.django.CheckResult;
import lib.django.Description;
import lib.django.Django;
import lib.django.NewMigrations;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.postgres.Database;
import lib.project.Credentials;
import lib.project.Project;

/** What has to be so before anything is touched, and what has to be so at the end. */
public final class Guards {
    private Guards() {}

    private static final Pattern PROTECTED = Pattern.compile("\\bprotected\\b", Pattern.CASE_INSENSITIVE);

    /** @throws Failure refused (4) on a standby: nothing can be written there */
    public static void refuseStandby(Database db) {
        if (db.is("SELECT pg_is_in_recovery()")) throw new Failure(new Problem.Standby(db.name()));
    }

    /** For a server that may have been set up a moment ago. @throws Failure refused (4): there is nothing in it, and something must have been */
    public static void refuseEmpty(Database db) {
        if (!hasTables(db)) throw new Failure(new Problem.EmptyNow(db.name()));
    }

    /** An image may bring some of extensions. */
    private static boolean hasTables(Database db) {
        return db.is("""
                SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))""");
    }

    /** @throws Failure refused (4) when the database's COMMENT says that it is protected, whatever the options */
    public static void refuseProtected(Database db) {
        var comment = db.texts("SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = current_database()").getFirst();
        if (PROTECTED.matcher(comment).find()) throw new Failure(new Problem.Protected(db.name(), comment));
    }

    /**
     * Before: Django's default database is the one that we look at, and nothing that stays leans on what goes.
     *
     * @throws Failure refused (4), or configuration (2)
     */
    public static void check(Description django, Credentials ours) {
        var theirs = django.defaultDatabase();
        if (!theirs.sameDatabase()) {
            var engine = theirs.engine();
            if (!engine.contains("postg") && !engine.contains("psycopg") && !engine.contains("psql")) throw new Failure(new Problem.NotPostgresInSettings(engine));
            throw new Failure(new Problem.NotTheSame(ours, theirs.user() + "@" + theirs.host() + ":" + theirs.port() + "/" + theirs.name(), theirs.error()));
        }
        if (django.selected().isEmpty()) throw new Failure(new Problem.NoOwnApps());
        var selected = django.labels();
        var strangers = django.history().files().stream().filter(file -> !file.isMigration() && selected.contains(file.app())).map(Description.MigrationFile::path).toList();
        if (!strangers.isEmpty()) throw new Failure(new Problem.NotAMigration(strangers));
    }

    /**
     * Before: whatever will be written to lets us. Of a folder that is still to be made the nearest that is there counts; of one
     * with migrations its {@code __pycache__}, which is to go, counts too: a container has often made it as root.
     */
    public static void writable(Project project, Stream<Path> folders) {
        var closed = folders.flatMap(folder -> Stream.of(folder, folder.resolve("__pycache__"))).map(Guards::nearest).distinct()
                .filter(folder -> !Files.isWritable(folder) || !Files.isExecutable(folder))
                .map(folder -> project.show(folder) + " (" + Disk.ownerAndMode(folder) + ")").sorted().toList();
        if (!closed.isEmpty()) throw new Failure(new Problem.NotWritable(closed));
    }

    private static Path nearest(Path folder) {
        var there = folder;
        while (!Files.isDirectory(there) && there.getParent() != null) there = there.getParent();
        return there;
    }

    /**
     * The new migrations need nothing that other apps do not have. A migration that stays may name one that goes
     * if a fresh one bears that name.
     */
    public static void check(Description django, NewMigrations fresh) {
        if (!fresh.required().isEmpty()) {
            var own = django.apps().stream().filter(Description.App::own).map(Description.App::label).toList();
            throw new Failure(new Problem.NeedsOtherApps(fresh.required(), own));
        }
        var names = fresh.files().stream().map(file -> file.app() + "." + file.name().replaceFirst("\\.py$", "")).toList();
        var lost = django.history().references().stream().filter(reference -> !names.contains(reference.toApp() + "." + reference.toMigration())).toList();
        if (!lost.isEmpty()) throw new Failure(new Problem.Pinned(lost));
    }

    /** After: Django is connected to the new database and has nothing left to do. */
    public static void check(CheckResult found, long oid) {
        var findings = new ArrayList<String>();
        if (found.oid() != oid) findings.add("Django is connected to another database than the new one");
        if (!found.unapplied().isEmpty()) findings.add("not applied: " + String.join(", ", found.unapplied()));
        if (!found.drift().isEmpty()) findings.add("makemigrations would write: " + String.join("; ", found.drift()));
        if (!findings.isEmpty()) throw new Failure(new Problem.CheckFailed(findings));
    }

    /** What a container proves has to be true of what lies here. @param compose the command, for people @param trusted the image may have other code */
    public static void sameCode(Django django, Description description, String compose, boolean trusted) throws IOException {
        var stale = trusted ? List.<String>of() : django.staleInImage(description);
        if (!stale.isEmpty()) throw new Failure(new Problem.ImageOlder(compose, django.service(), stale));
        var hidden = django.hiddenInContainer(description);
        if (!hidden.isEmpty()) throw new Failure(new Problem.OtherCodeInside(django.service(), hidden));
    }
}
