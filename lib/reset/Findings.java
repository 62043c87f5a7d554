package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.django.Description;
import lib.django.Migrations;
import lib.django.NewMigrations;
import lib.environment.Environment;
import lib.environment.Services;
import lib.postgres.DatabaseSnapshot;
import lib.project.Git;
import lib.project.Project;

/**
 * What looking has found, all that a plan is made of.
 *
 * @param id       of the run to be
 * @param old      the selected apps' migration files as they are
 * @param fresh    the new ones: text by path relative to the root
 * @param drift    what makemigrations would write again at once, so no fault of the reset
 * @param unwritten   tables and columns that the models of other apps want and no migration makes
 * @param strategy what will set the old tables aside
 * @param inTheWay sessions that are connected now and would hinder it, in words; terminate: they are ended then
 * @param services    that use the database and run now
 * @param uncommitted changes to migration files that git does not have
 */
public record Findings(String id, Project project, Environment environment, Description django, DatabaseSnapshot look,
                    Migrations old, Map<String, String> fresh, Set<String> drift, List<NewMigrations.UnwrittenChange> unwritten,
                    Strategy strategy, List<String> inTheWay, boolean terminate, List<Git.Change> uncommitted,
                    Services services) {

    private static final String OUTSIDE = "outside the project";

    /** The same, set aside in another way. */
    public Findings with(Strategy other) {
        return new Findings(id, project, environment, django, look, old, fresh, drift, unwritten, other, inTheWay,
                terminate, uncommitted, services);
    }

    /** The same, and whoever is in the way is ended. */
    public Findings terminating() {
        return new Findings(id, project, environment, django, look, old, fresh, drift, unwritten, strategy.terminating(),
                inTheWay, true, uncommitted, services);
    }

    /** The tables that go aside. */
    public List<DatabaseSnapshot.Table> tables() {
        return look.schema().tables().stream().filter(table -> !table.extensionOwned()).toList();
    }

    /** Tables that no migration makes, with the reason; they will not be in the new state. */
    public Map<String, String> strangers() {
        var models = django.tables().stream().collect(Collectors.toMap(Description.ModelTable::table, model -> model, (a, b) -> a));
        var strangers = new TreeMap<String, String>();
        for (var table : tables()) {
            if (table.name().equals("django_migrations") || table.partition()) continue;
            var model = models.get(table.name());
            if (model == null) strangers.put(table.name(), "no model has it: made by hand, by an old migration, by createcachetable or another program");
            else if (!model.byMigration()) strangers.put(table.name(), why(model));
        }
        for (var model : models.values()) // on a view, most often
            if (!model.managed() && model.onDefault()) strangers.putIfAbsent(model.table(), why(model));
        return strangers;
    }

    private static String why(Description.ModelTable model) {
        var name = model.app() + "." + model.model();
        if (!model.managed()) return name + " is an unmanaged model";
        if (!model.onDefault()) return name + " is routed to another database";
        return "the app of " + name + " has no migrations";
    }

    /** Own code that imports a migration which will be gone, and whatever else deserves a look before going on. */
    public List<String> warnings() {
        var warnings = new java.util.ArrayList<>(strategy.warnings());
        warnings.addAll(django.warnings());
        for (var importer : django.history().imports())
            if (gone(importer.module())) warnings.add("%s:%d imports the migration %s, which will be gone"
                    .formatted(project.show(importer.path()), importer.line(), importer.module()));
        for (var app : django.apps())
            if (!app.own() && app.migrationsFolder() != null && isInside(app.path()) && app.whyNotOwn().equals(OUTSIDE))
                warnings.add("the app %s keeps its migrations: they are %s".formatted(app.label(), OUTSIDE));
        for (var change : unwritten)
            warnings.add("the new database will not have what no migration makes in the app %s: %s"
                    .formatted(change.app(), change.change()));
        for (var alias : django.databases())
            if (!alias.isDefault() && !alias.sameDatabase()) warnings.add("the database of alias \"%s\" (%s) stays as it is; where own apps migrate there, its history keeps the old names"
                    .formatted(alias.alias(), alias.name()));
        return warnings;
    }

    /** A virtual environment that is linked into the project is not inside it. */
    private boolean isInside(Path folder) {
        try {
            return folder.toRealPath().startsWith(project.root());
        } catch (IOException notOnThisMachine) {
            return false;
        }
    }

    private boolean gone(String module) {
        return fresh.keySet().stream().noneMatch(path -> path.replace('/', '.').endsWith(module + ".py"));
    }
}
