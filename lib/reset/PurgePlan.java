package lib.reset;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.backup.BackupSettings;
import lib.cli.Console;
import lib.cli.Script;
import lib.environment.Environment;
import lib.error.Failure;
import lib.files.Text;
import lib.plan.Plan;
import lib.plan.Step;
import lib.postgres.Database;

/**
 * Drops what runs have set aside, oldest first, after a backup of it. The backup is taken from what is set aside,
 * because a backup from before the reset lacks what others wrote until the swap.
 *
 * @param dropped what each run has set aside, for the summary
 * @param backups one for each database that holds something to drop; empty when no backup was wanted
 * @param folder  where the backups and the old migration files go, or null without a backup
 */
public record PurgePlan(List<Run> runs, Plan plan, List<String> dropped, List<BackupStep> backups, Path folder) {

    /**
     * @param wanted the run's id, or null for the oldest @param backups null without a backup
     * @throws Failure usage (2) without such a run; refused (4) when another one has to go first
     */
    public static PurgePlan of(LockedProject locked, String wanted, boolean all, Supplier<BackupSettings> backups,
            boolean terminate) throws Exception {
        var db = locked.db();
        var known = Runs.of(locked.project(), db);
        var lost = Runs.orphans(known, db).stream().filter(state -> known.isEmpty() || state.run().equals(wanted))
                .toList();
        if (!lost.isEmpty()) throw OrphanedState.withoutRecord(lost);
        var runs = select(known, wanted, all, db);
        for (var run : runs) run.refuseOther(db.credentials());
        for (var run : runs) locked.folder().takeAlso(run.root());
        for (var run : runs) refuseUnfinished(run, db);
        return of(locked.console(), locked.environment(), runs, db, backups == null ? null : backups.get(), terminate);
    }

    /**
     * A newer run's state is only reached through the older ones, so these go first; except when it is inside an older
     * one's, or nothing was set aside.
     */
    private static List<Run> select(List<Run> known, String wanted, boolean all, Database db) {
        if (known.isEmpty()) throw Run.notFound(wanted == null ? "no run to purge" : "no run called " + wanted, known);
        // the order matters within one database
        var ours = known.stream().filter(run -> run.isOn(db.credentials())).toList();
        var runs = ours.isEmpty() ? known : ours.stream().sorted(Comparator.comparing(run ->
                !run.previous().isInside(db) && !(run.previous() instanceof DroppedTables))).toList();
        if (all) return runs;
        var oldest = runs.getFirst();
        if (wanted == null || wanted.equals(oldest.id())) return List.of(oldest);
        if (runs.stream().noneMatch(run -> run.id().equals(wanted)))
            throw Run.notFound("no run called " + wanted, runs);
        throw Failure.refused("%s cannot be purged yet: %s is older, or is set aside inside it"
                .formatted(wanted, oldest.id()))
                .next(oldest.purgeCommand(), Script.RESET_MIGRATIONS.command("purge", "--all"));
    }

    /** The files that a killed run keeps may be the only copy of the old ones, so it has to be undone first. */
    private static void refuseUnfinished(Run run, Database db) throws Exception {
        if (!run.isUnfinished()) return;
        var state = run.previous().state(db);
        var needed = state == PreviousState.State.OLD_IS_LIVE ? !run.migrations().areOldInPlace(run.root())
                : !(run.previous() instanceof DroppedTables) && state != PreviousState.State.GONE;
        if (needed) throw run.unfinished();
    }

    /** For these runs, without looking for reasons against it. @param backups null without a backup */
    static PurgePlan of(Console console, Environment environment, List<Run> runs, Database db, BackupSettings backups,
            boolean terminate) {
        var taken = backups == null ? List.<BackupStep>of()
                : runs.stream().flatMap(run -> run.previous().holders(db).stream()).distinct()
                        .map(name -> new BackupStep(console, environment, backups, db, name)).toList();
        var steps = new ArrayList<Step>(taken); // all of them before anything is dropped
        var folder = backups == null ? null : backups.folder().path();
        var dropped = new ArrayList<String>();
        for (var run : runs) {
            var store = new RunStore(run);
            var during = run.outcome() == Run.Outcome.DONE ? Run.Outcome.PURGING : run.outcome();
            steps.add(store.marked(during, run.previous().purge(db, terminate)));
            var location = run.previous().location(db);
            if (!location.startsWith(PreviousState.NOWHERE))
                dropped.add("%s, %s".formatted(location, Text.size(run.previous().bytes(db))));
            var scratch = ScratchDatabase.left(db, run);
            if (!scratch.isEmpty()) {
                steps.add(ScratchDatabase.drop(db, scratch));
                dropped.add("database " + String.join(", ", scratch));
            }
            steps.add(store.end(folder != null && run.changesFiles() ? filesFolder(folder, run) : null));
        }
        return new PurgePlan(runs, new Plan(steps), dropped, taken, folder);
    }

    /** Where the migration files go that a purged run has kept. */
    static Path filesFolder(Path backups, Run run) {
        return backups.resolve("migrations_" + run.id());
    }

    public List<String> ids() { return runs.stream().map(Run::id).toList(); }

    /** The folders that it writes into. */
    public Stream<Path> folders() {
        return Stream.concat(Stream.ofNullable(folder), runs.stream().map(run -> new RunStore(run).folder())
                .filter(Files::isDirectory));
    }

    /** Runs the plan, and reports what was dropped and kept. @param again the command that continues after a failure */
    public void run(Console console, Environment environment, Supplier<String> again) {
        plan.run(console, again);
        var project = environment.project();
        console.say("");
        console.success("purged: " + String.join(", ", ids()));
        var nothing = dropped.isEmpty() ? "nothing: nothing was set aside" : "";
        console.item("  dropped    ", nothing + String.join("; ", dropped));
        var files = backups.stream().map(BackupStep::file).map(project::show).collect(Collectors.joining(", "));
        console.item("  backup     ", (files.isEmpty() ? "none" : files));
        var moved = folder == null ? "" : runs.stream().map(run -> filesFolder(folder, run)).filter(Files::isDirectory)
                .map(project::show).collect(Collectors.joining(", "));
        if (runs.stream().anyMatch(Run::changesFiles))
            console.item("  old files  ", (moved.isEmpty() ? "removed" : "kept in " + moved));
        console.event("result", Map.of("purged", ids(), "dropped", dropped, "backups", backups.stream()
                .map(backup -> backup.file().toString()).toList()));
    }
}
