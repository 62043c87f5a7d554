package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.django.Description;
import lib.environment.Environment;
import lib.environment.Services;
import lib.postgres.DatabaseSnapshot;
import lib.project.Project;

/**
 * What was found before anything was planned.
 *
 * @param services   containers that use the database and are running now
 * @param strategy   what will set the old tables aside
 * @param inTheWay   sessions that are connected now and would be in its way, a line each
 * @param terminate  whether these sessions are ended
 */
public record Findings(Environment environment, Services services, Description django, DatabaseSnapshot snapshot,
                       MigrationChange migrations, Strategy strategy, List<String> inTheWay, boolean terminate) {

    private static final String OUTSIDE = "outside the project";

    /** The id of the run to be. */
    public String id() {
        return strategy.previous().run();
    }

    public Project project() {
        return environment.project();
    }

    Findings with(Strategy other) {
        return new Findings(environment, services, django, snapshot, migrations, other, inTheWay, terminate);
    }

    Findings terminating() {
        return new Findings(environment, services, django, snapshot, migrations, strategy.terminating(), inTheWay,
                true);
    }

    /** The tables that will be set aside. */
    public List<DatabaseSnapshot.Table> tables() {
        return snapshot.schema().tables().stream().filter(table -> !table.extensionOwned()).toList();
    }

    /** Tables that no migration makes, with the reason; they will not be in the new state. */
    public Map<String, String> tablesWithoutMigration() {
        var models = django.tables().stream()
                .collect(Collectors.toMap(Description.ModelTable::table, model -> model, (a, b) -> a));
        var without = new TreeMap<String, String>();
        for (var table : tables()) {
            if (table.name().equals("django_migrations") || table.partition()) continue;
            var model = models.get(table.name());
            if (model == null) without.put(table.name(), "no model has it: created by hand, by an old migration, by "
                    + "createcachetable or by another program");
            else if (!model.byMigration()) without.put(table.name(), why(model));
        }
        for (var model : models.values()) // most often the model of a view
            if (!model.managed() && model.onDefault()) without.putIfAbsent(model.table(), why(model));
        return without;
    }

    private static String why(Description.ModelTable model) {
        var name = model.app() + "." + model.model();
        if (!model.managed()) return name + " is an unmanaged model";
        if (!model.onDefault()) return name + " is routed to another database";
        return "the app of " + name + " has no migrations";
    }

    public List<String> warnings() {
        var warnings = new ArrayList<>(strategy.warnings());
        warnings.addAll(django.warnings());
        for (var importer : django.history().imports())
            if (isReplaced(importer.module())) warnings.add("%s:%d imports the migration %s, which will no longer exist"
                    .formatted(project().show(importer.path()), importer.line(), importer.module()));
        for (var app : django.apps())
            if (!app.own() && app.migrationsFolder() != null && isInside(app.path()) && app.whyNotOwn().equals(OUTSIDE))
                warnings.add("the app %s keeps its migrations: they are %s".formatted(app.label(), OUTSIDE));
        for (var change : migrations.unwritten())
            warnings.add("no migration makes this change of the app %s, so the new database will not have it: %s"
                    .formatted(change.app(), change.change()));
        for (var alias : django.databases())
            if (!alias.isDefault() && !alias.sameDatabase())
                warnings.add(("the database of alias \"%s\" (%s) stays as it is; if own apps migrate there, its "
                        + "history keeps the old names")
                        .formatted(alias.alias(), alias.name()));
        return warnings;
    }

    /** A virtual environment that is linked into the project is not inside it. */
    private boolean isInside(Path folder) {
        try {
            return folder.toRealPath().startsWith(project().root());
        } catch (IOException notOnThisMachine) {
            return false;
        }
    }

    private boolean isReplaced(String module) {
        return migrations.fresh().keySet().stream().noneMatch(path -> path.replace('/', '.').endsWith(module + ".py"));
    }
}
