package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import lib.Lib;
import lib.cli.Console;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.project.Project;

/** Plans and the summary of a reset, as people read them and as {@code --json} prints them. */
public final class PlanPrinter {
    private static final int LONGEST_LIST = 12;
    /** What will be lost is worth more lines, but not 20,000. */
    private static final int LONGEST_LOSSES = 50;
    private static final int WIDEST = 64;

    private PlanPrinter() {}

    public static void print(Console console, ResetPlan plan) {
        var found = plan.findings();
        printProject(console, found);
        printTables(console, found);
        printFiles(console, found);
        printLost(console, found);
        console.say("");
        printUncommitted(console, found);
        console.heading("Strategy: " + found.strategy().name());
        console.say("  " + found.strategy().reason());
        found.warnings().forEach(console::warn);
        printInTheWay(console, found.inTheWay(), found.terminate());
        printSteps(console, plan.plan());
        console.event("plan", json(found, plan.plan()));
    }

    private static void printProject(Console console, Findings found) {
        var snapshot = found.snapshot();
        var django = found.django();
        var project = found.project();
        console.heading("reset_migrations " + Lib.VERSION);
        console.say("  Project   " + project.root() + (project.backend().equals(project.root())
                ? "" : "  (manage.py in " + project.show(project.backend()) + ")"));
        console.say("  Python    %s at %s, Django %s, settings %s"
                .formatted(django.python().version(), project.show(Path.of(django.python().executable())),
                django.python().djangoVersion(), django.settings().module()));
        var where = found.environment().describe();
        if (!where.isEmpty()) console.say("  Runs      " + where);
        var database = found.environment().identity();
        console.say("  Database  %s as %s at %s:%d, PostgreSQL %s, %s; Django uses the same"
                .formatted(snapshot.name(), database.user(), database.host(),
                database.port(), snapshot.server().versionText().replaceFirst(" .*", ""), Text.size(snapshot.bytes())));
    }

    private static void printTables(Console console, Findings found) {
        var tables = found.tables();
        var rows = tables.stream().mapToLong(DatabaseSnapshot.Table::rows).sum();
        console.say("");
        console.heading("Set aside: %s, %,d rows".formatted(Text.count(tables.size(), "table"), rows));
        var largest = tables.stream().sorted(Comparator.comparingLong(DatabaseSnapshot.Table::bytes).reversed())
                .toList();
        columns(console, largest.stream().limit(LONGEST_LIST).map(table -> List.of(Text.line(table.name()),
                "%10s rows  %10s"
                        .formatted((table.exact() ? "" : "~") + "%,d"
                        .formatted(table.rows()), Text.size(table.bytes())))).toList());
        more(console, largest.size());
        if (!found.snapshot().schema().otherObjects().isEmpty())
            console.say("  and by kind: "
                    + String.join(
                            ", ",
                            found.snapshot().schema().otherObjects().entrySet().stream()
                                    .map(entry -> entry.getValue() + " " + entry.getKey())
                                    .toList())
                    + "; the new state has only those that a migration makes");
        var without = found.tablesWithoutMigration();
        if (without.isEmpty()) return;
        console.say("");
        console.heading(Text.count(without.size(), "table") + " that no migration makes, so not in the new database");
        columns(console, without.entrySet().stream().limit(LONGEST_LOSSES)
                .map(entry -> List.of(Text.line(entry.getKey()), entry.getValue())).toList());
        if (without.size() > LONGEST_LOSSES)
            console.say("  … and %,d more; --json lists them all".formatted(without.size() - LONGEST_LOSSES));
    }

    private static void printFiles(Console console, Findings found) {
        console.say("");
        console.heading("Replace: %s by %d"
                .formatted(Text.count(found.migrations().old().files().size(), "migration file"), found.migrations()
                .fresh().size()));
        var before = found.migrations().old().countByFolder();
        var after = new TreeMap<String, Integer>();
        found.migrations().fresh().keySet()
                .forEach(path -> after.merge(String.valueOf(Path.of(path).getParent()), 1, Integer::sum));
        var folders = new TreeMap<String, Integer>(before);
        after.keySet().forEach(folder -> folders.putIfAbsent(folder, 0));
        columns(console, folders.entrySet().stream().map(entry -> List.of(entry.getKey(),
                "%3d → %d".formatted(entry.getValue(), after.getOrDefault(entry.getKey(), 0)))).toList());
        for (var file : found.django().history().files())
            if (file.broken() != null) console.say("  broken: %s%s: %s".formatted(found.project().show(file.path()),
                    file.line() > 0 ? ":" + file.line() : "", file.broken()));
    }

    /** Operations that no generated migration has: a reset loses them, unless they are carried over. */
    private static void printLost(Console console, Findings found) {
        var lost = found.django().history().customOperations().stream().filter(operation -> !operation.carried())
                .toList();
        if (!lost.isEmpty()) {
            console.say("");
            console.heading(Text.count(lost.size(), "custom operation")
                    + " in the old files that the new ones will not have");
            columns(console, lost.stream().map(operation -> List.of(
                    operation.app() + "." + operation.migration() + ":" + operation.line(), operation.operation() + " "
                            + Text.line(operation.detail()))).toList());
        }
        var carried = found.django().history().carried();
        if (!carried.isEmpty()) {
            console.say("");
            console.heading("Carried into the new first migrations");
            columns(console, carried.stream().map(operation -> List.of(operation.app(), Text.line(operation.source())))
                    .toList());
        }
    }

    private static void printUncommitted(Console console, Findings found) {
        var changes = found.migrations().uncommitted();
        if (changes.isEmpty()) return;
        console.heading(Text.count(changes.size(), "migration file") + " with changes that git does not have");
        columns(console, changes.stream().limit(LONGEST_LOSSES)
                .map(change -> List.of(Text.line(change.path()), change.state())).toList());
        if (changes.size() > LONGEST_LOSSES)
            console.say("  … and %,d more; --json lists them all".formatted(changes.size() - LONGEST_LOSSES));
        console.say("  the run saves them as they are now, in .reset/" + found.id() + "/old");
        console.say("");
    }

    /** The sessions that are connected now; others may come and go before the swap. */
    public static void printInTheWay(Console console, List<String> sessions, boolean terminate) {
        if (sessions.isEmpty()) return;
        console.say("");
        console.heading(Text.count(sessions.size(), "session") + " in the way");
        sessions.forEach(session -> console.say("  " + session));
        console.say(terminate ? "  they are disconnected before the swap, and kept out until it finishes: --terminate"
                : "  without --terminate the run waits about five seconds for them to leave, then gives up with "
                        + "everything as it was");
    }

    public static void printSteps(Console console, Plan plan) {
        console.say("");
        console.heading("Steps");
        var number = 1;
        for (var step : plan.describe()) console.say("  %d. %s".formatted(number++, step));
        console.say("");
    }

    private static Map<String, Object> json(Findings found, Plan plan) {
        var values = new LinkedHashMap<String, Object>();
        values.put("version", Lib.VERSION);
        values.put("run", found.id());
        values.put("project", found.project().root().toString());
        values.put("database", found.environment().identity().toString());
        values.put("environment", found.environment().describe());
        values.put("strategy", found.strategy().name());
        values.put("reason", found.strategy().reason());
        values.put("warnings", found.warnings());
        values.put("in_the_way", found.inTheWay());
        values.put("terminate", found.terminate());
        values.put("uncommitted", found.migrations().uncommitted());
        values.put("tables", found.snapshot().schema().tables());
        values.put("other_objects", found.snapshot().schema().otherObjects());
        values.put("strangers", found.tablesWithoutMigration());
        values.put("old_files", found.migrations().old().paths());
        values.put("new_files", found.migrations().fresh().keySet());
        values.put("custom_operations", found.django().history().customOperations());
        values.put("carried", found.django().history().carried());
        values.put("steps", plan.describe());
        return values;
    }

    // ---- afterwards --------------------------------------------------------------------------

    /**
     * @param purged     what was set aside is dropped next
     * @param filesGoTo  the folder where the old files go then; null: they are removed
     */
    static void printDone(Console console, ResetPlan plan, Database db, boolean purged, Path filesGoTo) {
        var findings = plan.findings();
        var project = findings.project();
        var location = plan.run().previous().location(db);
        var fresh = findings.migrations().fresh().size();
        console.say("");
        console.success("done: %s is new, and %s %s it"
                .formatted(findings.snapshot().name(), Text.count(fresh, "fresh migration"), fresh == 1
                ? "matches" : "match"));
        if (plan.backupFile() != null) console.say("  backup     " + project.show(plan.backupFile()));
        console.say("  old tables " + location + (purged ? ", dropped next" : ""));
        var next = !purged ? "" : filesGoTo == null
                ? ", removed next" : ", moved to " + project.show(filesGoTo) + " next";
        console.say("  old files  .reset/" + findings.id() + "/old" + next);
        if (!purged) console.say("  go back    " + plan.undoCommand());
        if (!purged && !(plan.run().previous() instanceof DroppedTables)) {
            console.say("  clean up   " + Runs.purgeCommand(plan.run(), project, db)
                    + "   (drops the old state; after that there is no way back)");
        }
        console.event("result", Map.of("run", findings.id(), "aside", location));
    }

    // ---- undo, purge -------------------------------------------------------------------------

    public static void print(Console console, UndoPlan undo, Project project) throws IOException {
        var run = undo.run();
        console.heading("Undo the %s %s".formatted(run.kind(), run.id()));
        var made = Runs.madeIn(run);
        if (!run.root().equals(project.root()))
            console.note("made in %s: its files are put back there, those here stay".formatted(made));
        else if (!made.equals(run.root()))
            console.note("made in %s, which no longer exists: its files are put back here".formatted(made));
        printSteps(console, undo.plan());
        console.event("plan", Map.of("run", run.id(), "steps", undo.plan().describe()));
    }

    public static void print(Console console, PurgePlan purge) {
        console.heading("Purge " + String.join(", ", purge.ids()));
        printSteps(console, purge.plan());
        console.event("plan", Map.of("runs", purge.ids(), "steps", purge.plan().describe()));
        console.warn("undo cannot bring back what is dropped here");
    }

    // ---- layout ------------------------------------------------------------------------------

    /** Two columns. */
    private static void columns(Console console, List<List<String>> rows) {
        var width = rows.stream().mapToInt(row -> row.getFirst().length()).filter(length -> length <= WIDEST).max()
                .orElse(0);
        for (var row : rows) {
            var padding = " ".repeat(Math.max(0, width - row.getFirst().length()));
            console.say("  %s  %s".formatted(row.getFirst() + padding, row.getLast()).stripTrailing());
        }
    }

    private static void more(Console console, int all) {
        if (all > LONGEST_LIST) console.say("  … and %,d more".formatted(all - LONGEST_LIST));
    }
}
