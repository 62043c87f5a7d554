package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.Lib;
import lib.cli.Console;
import lib.environment.Services;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.project.Project;

/** The plan, the summary and the status as people read them, and as {@code --json} prints them. */
public final class PlanPrinter {
    private static final int LONGEST_LIST = 12;
    /** What will be gone is worth more lines, but no screen holds 20,000. */
    private static final int LONGEST_LOSSES = 50;
    private static final int WIDEST = 64;

    private PlanPrinter() {}

    public static void print(Console console, Findings found, Plan plan) {
        printWhere(console, found);
        printTables(console, found);
        printFiles(console, found);
        printLost(console, found);
        console.say("");
        printUncommitted(console, found);
        console.heading("Strategy: " + found.strategy().name());
        console.say("  " + found.strategy().reason());
        found.warnings().forEach(console::warn);
        printInTheWay(console, found.inTheWay(), found.terminate());
        printSteps(console, plan);
        console.event("plan", json(found, plan));
    }

    private static void printWhere(Console console, Findings found) {
        var look = found.look();
        var django = found.django();
        console.heading("reset_migrations " + Lib.VERSION);
        console.say("  Project   " + found.project().root() + (found.project().backend().equals(found.project().root()) ? ""
                : "  (manage.py in " + found.project().show(found.project().backend()) + ")"));
        console.say("  Python    " + django.python().version() + " at " + found.project().show(Path.of(django.python().executable()))
                + ", Django " + django.python().djangoVersion() + ", settings " + django.settings().module());
        var where = found.environment().describe();
        if (!where.isEmpty()) console.say("  Runs      " + where);
        var database = found.environment().identity();
        console.say("  Database  %s as %s at %s:%d, PostgreSQL %s, %s; Django uses the same".formatted(
                look.name(), database.user(), database.host(), database.port(), look.server().versionText().replaceFirst(" .*", ""), Text.size(look.bytes())));
    }

    private static void printTables(Console console, Findings found) {
        var tables = found.tables();
        var rows = tables.stream().mapToLong(DatabaseSnapshot.Table::rows).sum();
        console.say("");
        console.heading("Set aside: %s, %,d rows".formatted(Text.count(tables.size(), "table"), rows));
        var largest = tables.stream().sorted(Comparator.comparingLong(DatabaseSnapshot.Table::bytes).reversed()).toList();
        columns(console, largest.stream().limit(LONGEST_LIST).map(table -> List.of(Text.line(table.name()),
                "%10s rows  %10s".formatted((table.exact() ? "" : "~") + "%,d".formatted(table.rows()), Text.size(table.bytes())))).toList());
        more(console, largest.size());
        if (!found.look().schema().otherObjects().isEmpty()) console.say("  and by kind: " + String.join(", ", found.look().schema().otherObjects().entrySet().stream()
                .map(entry -> entry.getValue() + " " + entry.getKey()).toList()) + "; what no migration makes of these will not be there");
        var strangers = found.strangers();
        if (strangers.isEmpty()) return;
        console.say("");
        console.heading(Text.count(strangers.size(), "table") + " that no migration makes, so not in the new database");
        columns(console, strangers.entrySet().stream().limit(LONGEST_LOSSES).map(entry -> List.of(Text.line(entry.getKey()), entry.getValue())).toList());
        if (strangers.size() > LONGEST_LOSSES) console.say("  … and %,d more; --json names them all".formatted(strangers.size() - LONGEST_LOSSES));
    }

    private static void printFiles(Console console, Findings found) {
        console.say("");
        console.heading("Replace: %s by %d".formatted(Text.count(found.old().files().size(), "migration file"), found.fresh().size()));
        var before = found.old().countByFolder();
        var after = new TreeMap<String, Integer>();
        found.fresh().keySet().forEach(path -> after.merge(String.valueOf(Path.of(path).getParent()), 1, Integer::sum));
        var folders = new TreeMap<String, Integer>(before);
        after.keySet().forEach(folder -> folders.putIfAbsent(folder, 0));
        columns(console, folders.entrySet().stream().map(entry -> List.of(entry.getKey(),
                "%3d → %d".formatted(entry.getValue(), after.getOrDefault(entry.getKey(), 0)))).toList());
        for (var file : found.django().history().files())
            if (file.broken() != null) console.say("  broken: %s%s: %s".formatted(found.project().show(file.path()), file.line() > 0 ? ":" + file.line() : "", file.broken()));
    }

    /** What no fresh migration can know: a reset loses it. */
    private static void printLost(Console console, Findings found) {
        var lost = found.django().history().customOperations().stream().filter(operation -> !operation.carried()).toList();
        if (!lost.isEmpty()) {
            console.say("");
            console.heading(Text.count(lost.size(), "custom operation") + " in the old files that the new ones will not have");
            columns(console, lost.stream().map(operation -> List.of(
                    operation.app() + "." + operation.migration() + ":" + operation.line(), operation.operation() + " " + Text.line(operation.detail()))).toList());
        }
        var carried = found.django().history().carried();
        if (!carried.isEmpty()) {
            console.say("");
            console.heading("Carried into the new first migrations");
            columns(console, carried.stream().map(operation -> List.of(operation.app(), Text.line(operation.source()))).toList());
        }
    }

    private static void printUncommitted(Console console, Findings found) {
        var changes = found.uncommitted();
        if (changes.isEmpty()) return;
        console.heading(Text.count(changes.size(), "migration file") + " with changes that git does not have");
        columns(console, changes.stream().limit(LONGEST_LOSSES).map(change -> List.of(Text.line(change.path()), change.state())).toList());
        if (changes.size() > LONGEST_LOSSES) console.say("  … and %,d more; --json names them all".formatted(changes.size() - LONGEST_LOSSES));
        console.say("  they are saved either way, as they are now, in .reset/" + found.id() + "/old");
        console.say("");
    }

    /** Whoever is connected now; others may come and go until it matters. */
    public static void printInTheWay(Console console, List<String> sessions, boolean terminate) {
        if (sessions.isEmpty()) return;
        console.say("");
        console.heading(Text.count(sessions.size(), "session") + " in the way");
        sessions.forEach(session -> console.say("  " + session));
        console.say(terminate ? "  they are ended when it is time, and kept out until it is done: --terminate"
                : "  without --terminate the run waits about five seconds for them to leave, then gives up with everything as it was");
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
        values.put("uncommitted", found.uncommitted());
        values.put("tables", found.look().schema().tables());
        values.put("other_objects", found.look().schema().otherObjects());
        values.put("strangers", found.strangers());
        values.put("old_files", found.old().paths());
        values.put("new_files", found.fresh().keySet());
        values.put("custom_operations", found.django().history().customOperations());
        values.put("carried", found.django().history().carried());
        values.put("steps", plan.describe());
        return values;
    }

    // ---- afterwards --------------------------------------------------------------------------

    /**
     * @param backup taken before, or null
     * @param goBack the command that brings the old state back, or null when that is dropped next
     * @param keep   the folder that the old files move to when the old state is dropped; null: they are dropped too
     */
    public static void printDone(Console console, Findings found, Database db, Path backup, String goBack, Path keep) {
        var where = found.strategy().aside().where(db);
        console.say("");
        console.success("done: %s is new, and %s %s it".formatted(found.look().name(), Text.count(found.fresh().size(), "fresh migration"), found.fresh().size() == 1 ? "matches" : "match"));
        if (backup != null) console.say("  backup     " + found.project().show(backup));
        console.say("  old tables " + where + (goBack == null ? ", dropped next" : ""));
        var next = goBack != null ? "" : keep == null ? ", dropped next" : ", moved to " + found.project().show(keep) + " next";
        console.say("  old files  .reset/" + found.id() + "/old" + next);
        if (goBack != null) {
            console.say("  go back    " + goBack);
            if (!(found.strategy() instanceof DropTables)) console.say("  clean up   reset_migrations purge " + found.id() + "   (drops the old state; after that there is no way back)");
        }
        console.event("result", Map.of("run", found.id(), "aside", where));
    }

    /** Where a run's files belong, when that is not plainly here. */
    public static void printMadeIn(Console console, Run run, Project project) throws IOException {
        var made = run.madeIn();
        if (!run.root().equals(project.root().toString())) console.note("made in %s: its files are put back there, those here stay".formatted(made));
        else if (!made.equals(run.root())) console.note("made in %s, which is not there any more: its files are put back here".formatted(made));
    }

    public static void printStatus(Console console, Project project, Database db) throws IOException {
        var unreadable = new ArrayList<Failure>(); // hides neither the other runs nor what its own has set aside
        var runs = Run.of(project, db, unreadable::add);
        if (runs.isEmpty() && unreadable.isEmpty()) console.say("no reset or restore is known for this project");
        printRuns(console, runs, project, db);
        for (var lost : OrphanedState.without(runs, db)) printWithoutRecord(console, lost, db);
        if (!unreadable.isEmpty()) throw unreadable.getFirst();
    }

    private static void printWithoutRecord(Console console, OrphanedState lost, Database db) {
        var back = lost.back(db);
        console.heading(lost.run() + "  without a record here");
        console.say("  set aside  " + Text.line(lost.what()));
        console.say("  to bring it back by hand, in psql:");
        back.forEach(line -> console.say("    " + line));
        console.event("set_aside", Map.of("run", lost.run(), "database", lost.database(), "schema", lost.schema() == null ? "" : lost.schema(), "words", lost.words(), "back", back));
    }

    private static void printRuns(Console console, List<Run> runs, Project project, Database db) throws IOException {
        for (var run : runs) {
            if (!run.isOn(db.credentials())) {
                console.heading(run.id() + "  " + run.outcome());
                console.say("  database   %s  (%s); the settings name %s now, from where nothing is seen of it".formatted(run.database(), run.strategy(), db.credentials()));
                console.event("run", Map.of("run", run.id(), "outcome", run.outcome(), "state", "UNKNOWN", "database", run.database()));
                continue;
            }
            var state = run.aside().state(db);
            var bytes = run.aside().bytes(db);
            var where = run.aside().where(db);
            var home = run.oldInPlace();
            var fresh = run.freshInPlace();
            console.heading(run.id() + "  " + run.outcome());
            console.say("  database   " + run.database() + "  (" + run.strategy() + ")");
            console.say("  in use     " + run.aside().words(state));
            console.say("  set aside  " + where + ", " + Text.size(bytes));
            if (!run.root().equals(project.root().toString())) console.say("  made in    " + run.root());
            var kept = run.oldFolders().stream().findFirst().map(project::show).orElse("no place any more");
            if (run.changesFiles()) console.say("  files      " + (home ? "the old ones are in place" : (fresh ? "the new ones are in place"
                    : "neither the old ones nor this run's new ones are all in place") + "; the old ones are kept in " + kept));
            if (run.outcome().equals("purging")) console.say("  cut short  " + new Problem.HalfPurged(run.id()).next().getFirst());
            var dropped = run.aside() instanceof PreviousState.Backup && state != PreviousState.State.OLD_IS_LIVE;
            if (run.unfinished() && dropped) console.say("  cut short  after tables were dropped: reset again, or " + Problem.OnlyBackupHasIt.restore(db.name(), run.backup()));
            if (run.unfinished() && !dropped) new Problem.UnfinishedRun(run.id()).next().stream().limit(2).forEach(next -> console.say("  cut short  " + next));
            if (run.unfinished() && !run.services().isEmpty()) console.say("  services   %s: what it has stopped of these, %s".formatted(run.services().stream().map(Services.Container::service).distinct().collect(Collectors.joining(", ")), dropped ? "is yours to start" : "undo and finish start again"));
            console.event("run", Map.of("run", run.id(), "outcome", run.outcome(), "state", state.name(), "aside", where, "bytes", bytes,
                    "old_files_in_place", home, "new_files_in_place", fresh, "root", run.root()));
        }
    }

    // ---- words -------------------------------------------------------------------------------

    /** Pairs, the second of each under the one above. */
    private static void columns(Console console, List<List<String>> rows) {
        var width = rows.stream().mapToInt(row -> row.getFirst().length()).filter(length -> length <= WIDEST).max().orElse(0);
        for (var row : rows) console.say("  %s  %s".formatted(row.getFirst() + " ".repeat(Math.max(0, width - row.getFirst().length())), row.getLast()).stripTrailing());
    }

    private static void more(Console console, int all) {
        if (all > LONGEST_LIST) console.say("  … and %,d more".formatted(all - LONGEST_LIST));
    }
}
