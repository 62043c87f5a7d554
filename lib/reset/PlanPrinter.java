package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import lib.Lib;
import lib.cli.Console;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.project.Project;
import org.fusesource.jansi.Ansi;

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
        printOperations(console, found, plan.comparison().operations());
        console.say("");
        printUncommitted(console, found);
        console.heading("Strategy: " + found.strategy().name());
        console.item("  ", found.strategy().reason());
        found.warnings().forEach(console::warn);
        printInTheWay(console, found.inTheWay(), found.strategy().terminate());
        printSteps(console, plan.plan());
        console.event("plan", json(found, plan.plan()));
    }

    private static void printProject(Console console, Findings found) {
        var snapshot = found.snapshot();
        var python = found.django().python();
        var project = found.project();
        var root = project.root();
        var backend = project.backend().equals(root) ? "" : "  (manage.py in " + project.show(project.backend()) + ")";
        console.heading("reset_migrations " + Lib.VERSION);
        console.item("  Project   ", root + backend);
        console.item("  Python    ", "%s at %s, Django %s, settings %s".formatted(python.version(),
                project.show(Path.of(python.executable())), python.djangoVersion(),
                found.django().settings().module()));
        var where = found.environment().describe();
        if (!where.isEmpty()) console.item("  Runs      ", where);
        var database = found.environment().identity();
        console.item("  Settings  ", database.origin());
        var version = snapshot.server().versionText().replaceFirst(" .*", "");
        console.item("  Database  ", "%s as %s at %s:%d, PostgreSQL %s, %s; Django uses the same".formatted(
                snapshot.name(), database.user(), database.host(), database.port(), version,
                Text.size(snapshot.bytes())));
    }

    private static void printTables(Console console, Findings found) {
        var tables = found.tables().stream()
                .sorted(Comparator.comparingLong(DatabaseSnapshot.Table::bytes).reversed()).toList();
        var rows = tables.stream().mapToLong(DatabaseSnapshot.Table::rows).sum();
        title(console, "Set aside: %s, %,d rows".formatted(Text.count(tables.size(), "table"), rows));
        columns(console, tables.stream().limit(LONGEST_LIST).map(PlanPrinter::row).toList());
        if (tables.size() > LONGEST_LIST) console.say("  … and %,d more".formatted(tables.size() - LONGEST_LIST));
        var kinds = found.snapshot().schema().otherObjects().entrySet().stream()
                .map(entry -> entry.getValue() + " " + entry.getKey()).collect(Collectors.joining(", "));
        if (!kinds.isEmpty())
            console.item("  ", "and by kind: " + kinds + "; the new state has only those that a migration makes");
        var without = found.tablesWithoutMigration();
        if (without.isEmpty()) return;
        title(console, Text.count(without.size(), "table") + " that no migration makes, so not in the new database");
        losses(console, without.entrySet(), entry -> List.of(Text.line(entry.getKey()), entry.getValue()));
    }

    private static List<String> row(DatabaseSnapshot.Table table) {
        var rows = (table.exact() ? "" : "~") + "%,d".formatted(table.rows());
        return List.of(Text.line(table.name()), "%10s rows  %10s".formatted(rows, Text.size(table.bytes())));
    }

    private static void printFiles(Console console, Findings found) {
        var fresh = found.migrations().fresh().keySet();
        title(console, "Replace: %s by %d".formatted(
                Text.count(found.migrations().old().files().size(), "migration file"), fresh.size()));
        var before = found.migrations().old().countByFolder();
        var after = fresh.stream().collect(Collectors.groupingBy(path -> String.valueOf(Path.of(path).getParent()),
                Collectors.counting()));
        var folders = new TreeSet<>(before.keySet());
        folders.addAll(after.keySet());
        columns(console, folders.stream().map(folder -> List.of(folder,
                "%3d → %d".formatted(before.getOrDefault(folder, 0), after.getOrDefault(folder, 0L)))).toList());
        for (var file : found.django().history().files())
            if (file.broken() != null) console.say("  broken: %s%s: %s".formatted(found.project().show(file.path()),
                    file.line() > 0 ? ":" + file.line() : "", file.broken()));
    }

    /** Operations that makemigrations never writes: what they left is known once the new schema is compared. */
    private static void printOperations(Console console, Findings found, CustomOperations operations) {
        if (!operations.isEmpty()) {
            title(console, "%s of the old files %s not in the new ones".formatted(
                    Text.count(operations.count(), "custom operation"), operations.count() == 1 ? "is" : "are"));
            columns(console, operations.byApp());
            console.item("  ", "what the new database lacks because of that is listed once it is built; to see it now: "
                    + "--dry-run --losses");
            operations.byMigration().forEach(row -> console.log("  " + String.join("  ", row)));
        }
        var carried = new ArrayList<List<String>>();
        for (var one : found.django().history().carried()) carried.add(List.of(one.app(), Text.line(one.source())));
        for (var one : found.migrations().generated().carriedSql())
            carried.add(List.of("%s.%s:%d".formatted(one.app(), one.migration(), one.line()),
                    "RunSQL " + Text.shortened(Text.line(one.source()), WIDEST)));
        var elsewhere = found.migrations().generated().elsewhere();
        if (!elsewhere.isEmpty()) {
            title(console, "Kept in the new migrations: changes of other apps' models");
            columns(console, elsewhere.stream().map(change -> List.of(change.app() + "." + change.migration(),
                    change.otherApp() + ": " + Text.line(change.change()))).toList());
        }
        if (carried.isEmpty()) return;
        title(console, "Carried into the new first migrations");
        columns(console, carried);
    }

    private static void printUncommitted(Console console, Findings found) {
        var changes = found.migrations().uncommitted();
        if (changes.isEmpty()) return;
        console.heading(Text.count(changes.size(), "migration file") + " with changes that git does not have");
        losses(console, changes, change -> List.of(Text.line(change.path()), change.state()));
        var deleted = changes.stream().filter(change -> change.state().equals("deleted")).count();
        if (deleted < changes.size())
            console.item("  ", "the run saves %s as they are now, in .reset/%s/old".formatted(
                    deleted == 0 ? "them" : "those that are there", found.id()));
        if (deleted > 0) console.item("  ", "only git has what was deleted, and undo does not bring it back");
        console.say("");
    }

    /** The sessions that are connected now; others may come and go before the swap. */
    public static void printInTheWay(Console console, List<String> sessions, boolean terminate) {
        if (sessions.isEmpty()) return;
        title(console, Text.count(sessions.size(), "session") + " in the way");
        sessions.forEach(session -> console.say("  " + session));
        console.item("  ", terminate
                ? "they are disconnected before the swap, and kept out until it finishes: --terminate"
                : "without --terminate the run waits about five seconds for them to leave, then gives up with "
                        + "everything as it was");
    }

    public static void printSteps(Console console, Plan plan) {
        title(console, "Steps");
        var number = 1;
        for (var step : plan.describe()) console.item("  %d. ".formatted(number++), step);
        console.say("");
    }

    /** What will be the case, in a warning's colour. @param purge what is set aside is dropped at the end */
    public static void printConsequence(Console console, ResetPlan plan, boolean purge) {
        var found = plan.findings();
        var tables = found.tables();
        var rows = tables.stream().mapToLong(DatabaseSnapshot.Table::rows).sum();
        var what = "%s%s in %s".formatted(tables.stream().allMatch(DatabaseSnapshot.Table::exact) ? "" : "about ",
                Text.count(rows, "row"), Text.count(tables.size(), "table"));
        var kept = purge ? "until --purge drops it at the end" : "`undo` brings it back";
        var then = switch (found.strategy().previous()) {
            case PreviousDatabase database -> "what it has now (%s) moves to the database %s; %s"
                    .formatted(what, database.before(), kept);
            case PreviousSchema schema -> "what it has now (%s) moves to the schema %s; %s"
                    .formatted(what, schema.parked(), kept);
            case DroppedTables dropped -> "what it has now (%s) is dropped; %s".formatted(what,
                    plan.backup() == null ? "there is no backup of it" : "only the backup has it then");
        };
        console.say(Ansi.Color.YELLOW, true, Text.folded("%s will be empty but for what migrations make: %s"
                .formatted(found.snapshot().name(), then), console.width(), 0));
        console.say("");
    }

    private static Map<String, Object> json(Findings found, Plan plan) {
        var values = new LinkedHashMap<String, Object>();
        values.put("version", Lib.VERSION);
        values.put("run", found.id());
        values.put("project", found.project().root().toString());
        values.put("database", found.environment().identity().toString());
        values.put("settings", found.environment().identity().origin());
        values.put("environment", found.environment().describe());
        values.put("strategy", found.strategy().name());
        values.put("reason", found.strategy().reason());
        values.put("warnings", found.warnings());
        values.put("in_the_way", found.inTheWay());
        values.put("terminate", found.strategy().terminate());
        values.put("uncommitted", found.migrations().uncommitted());
        values.put("tables", found.snapshot().schema().tables());
        values.put("other_objects", found.snapshot().schema().otherObjects());
        values.put("strangers", found.tablesWithoutMigration());
        values.put("old_files", found.migrations().old().paths());
        values.put("new_files", found.migrations().fresh().keySet());
        values.put("custom_operations", found.django().history().customOperations());
        values.put("carried", found.django().history().carried());
        values.put("elsewhere", found.migrations().generated().elsewhere());
        values.put("carried_sql", found.migrations().generated().carriedSql());
        values.put("steps", plan.describe());
        return values;
    }

    // ---- afterwards --------------------------------------------------------------------------

    /**
     * @param purged    what was set aside is dropped next
     * @param filesGoTo the folder where the old files go then; null: they are removed
     */
    static void printDone(Console console, ResetPlan plan, Database db, boolean purged, Path filesGoTo) {
        var findings = plan.findings();
        var project = findings.project();
        var previous = plan.run().previous();
        var location = previous.location(db);
        var fresh = findings.migrations().fresh().size();
        console.say("");
        console.success("done: %s is new, and %s %s it".formatted(findings.snapshot().name(),
                Text.count(fresh, "fresh migration"), fresh == 1 ? "matches" : "match"));
        var losses = plan.comparison().losses();
        if (!losses.isEmpty()) console.item("  ", "not in the new database: %s; all of it in .reset/%s/log"
                .formatted(losses.summary(), findings.id()));
        losses.rowLines().forEach(line -> console.say("  " + line));
        if (plan.backupFile() != null) console.say("  backup     " + project.show(plan.backupFile()));
        console.item("  old tables ", location + (purged ? ", dropped next" : ""));
        var movedTo = filesGoTo == null ? ", removed next" : ", moved to " + project.show(filesGoTo) + " next";
        console.say("  old files  .reset/" + findings.id() + "/old" + (purged ? movedTo : ""));
        if (!purged) console.say("  go back    " + plan.undoCommand());
        if (!purged && !(previous instanceof DroppedTables))
            console.say("  clean up   " + Runs.purgeCommand(plan.run(), project, db)
                    + "\n             (drops the old state; after that there is no way back)");
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

    private static void title(Console console, String text) {
        console.say("");
        console.heading(text);
    }

    private static <T> void losses(Console console, Collection<T> all, Function<T, List<String>> row) {
        columns(console, all.stream().limit(LONGEST_LOSSES).map(row).toList());
        if (all.size() > LONGEST_LOSSES)
            console.say("  … and %,d more; --json lists them all".formatted(all.size() - LONGEST_LOSSES));
    }

    /** Two columns. */
    static void columns(Console console, List<List<String>> rows) {
        var width = rows.stream().mapToInt(row -> row.getFirst().length()).filter(length -> length <= WIDEST).max()
                .orElse(0);
        for (var row : rows) {
            var padding = " ".repeat(Math.max(0, width - row.getFirst().length()));
            if (row.getLast().isBlank()) console.say("  " + row.getFirst());
            else console.item("  %s  ".formatted(row.getFirst() + padding), row.getLast());
        }
    }
}
