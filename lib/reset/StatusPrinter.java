package lib.reset;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import lib.cli.Console;
import lib.environment.Services;
import lib.error.Failure;
import lib.files.Text;
import lib.postgres.Database;
import lib.postgres.Sql;
import lib.project.Project;

/** The runs of a project, which state is live, and what is set aside; as text and as JSON. */
public final class StatusPrinter {
    private StatusPrinter() {}

    /** @throws Failure usage (2), after everything else is printed, when a record cannot be read */
    public static void print(Console console, Project project, Database db) throws IOException {
        var unreadable = new ArrayList<Failure>();
        var runs = Runs.of(project, db, unreadable::add);
        if (runs.isEmpty() && unreadable.isEmpty()) console.say("no reset or restore is known for this project");
        for (var run : runs) {
            if (run.isOn(db.credentials())) print(console, run, project, db);
            else printElsewhere(console, run, db);
        }
        for (var orphan : Runs.orphans(runs, db)) print(console, orphan, db);
        for (var name : OrphanedState.scratchDatabases(db, runs.stream().map(Run::id).collect(Collectors.toSet())))
            printScratch(console, name);
        if (!unreadable.isEmpty()) throw unreadable.getFirst();
    }

    private static void printElsewhere(Console console, Run run, Database db) {
        var origin = run.origin();
        console.heading(run.id() + "  " + run.outcome());
        console.say("  database   %s  (%s); the settings now name %s, so its state is unknown"
                .formatted(origin.database(), origin.strategy(), db.credentials()));
        console.event("run", Map.of("run", run.id(), "outcome", run.outcome().toString(), "state", "UNKNOWN",
                "database", origin.database()));
    }

    private static void print(Console console, Run run, Project project, Database db) throws IOException {
        var state = run.previous().state(db);
        var bytes = run.previous().bytes(db);
        var scratch = ScratchDatabase.left(db, run);
        var location = run.previous().location(db)
                + (scratch.isEmpty() ? "" : "; left of the build: database " + String.join(", ", scratch));
        var oldInPlace = run.migrations().areOldInPlace(run.root());
        var freshInPlace = run.migrations().areFreshInPlace(run.root());
        console.heading(run.id() + "  " + run.outcome());
        console.say("  database   %s  (%s)".formatted(run.origin().database(), run.origin().strategy()));
        console.say("  in use     " + run.previous().describe(state));
        console.item("  set aside  ", location + ", " + Text.size(bytes));
        if (!run.root().equals(project.root())) console.say("  made in    " + run.root());
        if (run.changesFiles()) {
            var files = oldInPlace && freshInPlace ? "the old and the new ones are identical, and in place"
                    : oldInPlace ? "the old ones are in place" : freshInPlace ? "the new ones are in place"
                    : "neither all old ones nor all new ones of this run are in place";
            var kept = new RunStore(run).oldFolders().stream().findFirst().map(project::show);
            console.item("  files      ", "%s; the old ones are %s"
                    .formatted(files, kept.map("kept in "::concat).orElse("no longer kept anywhere")));
        }
        remedies(run, db).forEach(line -> console.say("  cut short  " + line));
        if (run.isUnfinished() && !run.services().isEmpty()) {
            var names = run.services().stream().map(Services.Container::service).distinct();
            console.say("  services   %s: %s".formatted(names.collect(Collectors.joining(", ")),
                    run.dropped(db).isPresent() ? "start those of them that are stopped"
                            : "undo and finish start those that the run has stopped"));
        }
        console.event("run", Map.of("run", run.id(), "outcome", run.outcome().toString(), "state", state.name(),
                "aside", location, "bytes", bytes, "old_files_in_place", oldInPlace,
                "new_files_in_place", freshInPlace, "root", run.root().toString()));
    }

    private static List<String> remedies(Run run, Database db) {
        if (run.outcome() == Run.Outcome.PURGING) return List.of("complete the purge: " + run.purgeCommand());
        if (!run.isUnfinished()) return List.of();
        return run.dropped(db).map(tables -> List.of("after tables were dropped: reset again",
                "or restore the old tables: " + tables.restoreCommand(run.backup()))).orElseGet(run::remedies);
    }

    private static void print(Console console, OrphanedState orphan, Database db) {
        var sql = orphan.recoverySql(db);
        console.heading(orphan.run() + "  without a record here");
        console.say("  set aside  " + Text.line(orphan.describe()));
        console.say("  to bring it back by hand, in psql:");
        sql.forEach(line -> console.say("    " + line));
        console.event("set_aside", Map.of("run", orphan.run(), "database", orphan.database(),
                "schema", orphan.schema() == null ? "" : orphan.schema(), "words", orphan.words(), "back", sql));
    }

    private static void printScratch(Console console, String database) {
        var sql = "DROP DATABASE %s;".formatted(Sql.identifier(database));
        console.heading("database " + Text.line(database));
        console.say("  built by a reset without a record here, most often a dry run with --losses that was killed");
        console.say("  to drop it, when no reset of this database is running: " + sql);
        console.event("scratch", Map.of("database", database, "drop", sql));
    }
}
