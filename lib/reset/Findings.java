package lib.reset;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.django.Description;
import lib.django.Migrations;
import lib.django.NewMigrations;
import lib.environment.Environment;
import lib.environment.Services;
import lib.files.Disk;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.SchemaCatalog;
import lib.project.Git;
import lib.project.Project;

/**
 * What was found before anything was planned.
 *
 * @param services containers that use the database and are running now
 * @param catalog  the definitions of everything in the schema
 * @param strategy what will set the old tables aside
 * @param inTheWay sessions that are connected now and would be in its way, a line each
 */
public record Findings(Environment environment, Services services, Description django, DatabaseSnapshot snapshot,
        SchemaCatalog catalog, MigrationChange migrations, Strategy strategy, List<String> inTheWay) {

    /**
     * The migration files of the selected apps and those that replace them.
     *
     * @param fresh       the new ones: text by path relative to the project's root, sorted
     * @param generated   what makemigrations made
     * @param uncommitted changes to the old files that git does not have
     */
    record MigrationChange(Migrations old, Map<String, String> fresh, NewMigrations generated,
            List<Git.Change> uncommitted) {

        /** For run.json. @param apps the labels of the selected apps */
        RunMigrations record(List<String> apps) {
            var root = old.root();
            var hashes = new LinkedHashMap<String, String>();
            var missing = new ArrayList<String>();
            fresh.forEach((path, text) -> {
                hashes.put(path, Disk.sha256(text.getBytes(StandardCharsets.UTF_8)));
                var folder = Path.of(path).getParent();
                if (!Files.exists(root.resolve(folder).resolve("__init__.py")))
                    missing.add(folder.resolve("__init__.py").toString());
                for (; folder != null && !Files.exists(root.resolve(folder)); folder = folder.getParent()) {
                    missing.add(folder.resolve("__init__.py").toString());
                    missing.add(folder.toString());
                }
            });
            var innermostFirst = missing.stream().distinct().sorted(Comparator.comparing(String::length).reversed())
                    .toList();
            return new RunMigrations(old.files(), hashes, innermostFirst, apps, Set.copyOf(generated.drift()));
        }
    }

    /** The id of the run to be. */
    public String id() { return strategy.previous().run(); }
    public Project project() { return environment.project(); }

    Findings with(Strategy other) {
        return new Findings(environment, services, django, snapshot, catalog, migrations, other, inTheWay);
    }

    /** The tables that will be set aside. */
    List<DatabaseSnapshot.Table> tables() {
        return snapshot.schema().tables().stream().filter(table -> !table.extensionOwned()).toList();
    }

    /** Tables that no migration creates, with the reason; they will not be in the new state. */
    Map<String, String> tablesWithoutMigration() {
        var relations = catalog.relations();
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
            if (!model.managed() && model.onDefault() && relations.contains(model.table()))
                without.putIfAbsent(model.table(), why(model));
        return without;
    }

    /** "shop.Order" by the name of its table. */
    Map<String, String> models() {
        return django.tables().stream().collect(Collectors.toMap(Description.ModelTable::table,
                model -> model.app() + "." + model.model(), (one, other) -> one));
    }

    private static String why(Description.ModelTable model) {
        var name = model.app() + "." + model.model();
        if (!model.managed()) return name + " is an unmanaged model";
        if (!model.onDefault()) return name + " is routed to another database";
        return "the app of " + name + " has no migrations";
    }

    List<String> warnings() {
        var warnings = new ArrayList<>(strategy.warnings());
        warnings.addAll(django.warnings());
        for (var importer : django.history().imports())
            if (isReplaced(importer.module())) warnings.add("%s:%d imports the migration %s, which will no longer exist"
                    .formatted(project().show(importer.path()), importer.line(), importer.module()));
        for (var app : django.apps())
            if (!app.own() && app.migrationsFolder() != null && isInside(app.path()))
                keptMigrations(app).ifPresent(warnings::add);
        for (var change : migrations.generated.unwritten())
            warnings.add("no migration makes this change of the app %s, so the new database will not have it: %s"
                    .formatted(change.app(), change.change()));
        for (var order : migrations.generated.lostOrder())
            warnings.add(("run_before is not kept: %s; the new migration depends on the one that it would come before,"
                    + " or its app has none").formatted(order));
        for (var alias : django.databases())
            if (!alias.isDefault() && !alias.sameDatabase()) warnings.add(("the database of alias \"%s\" (%s) stays as "
                    + "it is; if own apps migrate there, its history keeps the old names")
                    .formatted(alias.alias(), alias.name()));
        return warnings;
    }

    /** Of an installed package this is no surprise. */
    private static Optional<String> keptMigrations(Description.App app) {
        var isPackage = app.whyNotOwn().startsWith("a package of its own");
        if (!isPackage && !app.whyNotOwn().equals("outside the project")) return Optional.empty();
        return Optional.of("the app %s keeps its migrations: they are %s%s".formatted(app.label(), app.whyNotOwn(),
                isPackage ? "; if they are yours, name it in --apps" : ""));
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
