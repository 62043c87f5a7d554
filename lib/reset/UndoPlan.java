package lib.reset;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.environment.Services;
import lib.error.Failure;
import lib.plan.Plan;
import lib.plan.Step;
import lib.postgres.Database;
import lib.project.Project;

/** Brings back what the latest run has set aside: the database first, then the files. */
public record UndoPlan(Run run, Plan plan, PutBackFiles files) {

    /**
     * @param wanted the run's id, or null for the latest
     * @throws Failure usage (2) without such a run; refused (4) when it cannot be undone, or not yet
     */
    public static UndoPlan of(LockedProject locked, String wanted, boolean terminate) throws Exception {
        var db = locked.db();
        RunStore.sweep(locked.project());
        var run = latest(locked.project(), db, wanted);
        run.refuseOther(db.credentials());
        locked.folder().takeAlso(run.root());
        if (run.outcome() == Run.Outcome.PURGING && !run.previous().isWhole(db)) throw run.halfPurged();
        run.dropped(db).ifPresent(tables -> {
            throw tables.onlyBackupHasThem(run.backup());
        });
        var files = PutBackFiles.of(run);
        return new UndoPlan(run, new Plan(steps(locked, run, files, terminate)), files);
    }

    private static List<Step> steps(LockedProject locked, Run run, PutBackFiles files, boolean terminate) {
        var steps = new ArrayList<>(run.previous().undo(locked.db(), terminate));
        if (run.changesFiles() || steps.isEmpty()) steps.add(files);
        var stopped = run.isUnfinished() ? run.services() : List.<Services.Container>of();
        var services = locked.environment().services().including(stopped).withPreviousHealth(run.services())
                .staleIfBuiltAfter(run.started());
        if (!services.isEmpty()) steps.addFirst(services.stopStep(run.changesFiles(), locked.console(), () -> {}));
        steps.set(0, new RunStore(run.withServices(services)).marked(Run.Outcome.UNDOING, steps.getFirst()));
        return steps;
    }

    private static Run latest(Project project, Database db, String wanted) throws Exception {
        var all = Runs.of(project, db);
        var open = all.stream().filter(run -> run.outcome() != Run.Outcome.UNDONE).toList();
        var lost = Runs.orphans(all, db).stream().filter(state -> state.run().equals(wanted) || state.isOld()
                && (open.isEmpty() || state.run().compareTo(open.getLast().id()) > 0)).toList();
        if (!lost.isEmpty()) throw OrphanedState.withoutRecord(lost);
        if (open.isEmpty())
            throw Run.notFound(wanted == null ? "no reset to go back to" : "no run called " + wanted, all);
        var last = open.getLast();
        if (wanted == null || wanted.equals(last.id())) return last;
        if (open.stream().noneMatch(run -> run.id().equals(wanted))) throw Run.notFound("no run called " + wanted, all);
        throw Failure.refused("%s is not the latest run: %s came after it and has to be undone first"
                .formatted(wanted, last.id())).next(last.undoCommand());
    }

    /** The folders that it writes into. */
    public Stream<Path> folders() { return files.folders(); }

    /** Runs the plan, and reports the end. */
    public void run(Console console) {
        var unfinished = plan.runReturningUnfinished(console, run::undoCommand);
        RunStore.saveEnd(run.with(Run.Outcome.UNDONE), run.undoCommand());
        var back = run.changesFiles() ? "database and files are as they were" : "the database is as it was";
        console.success("undone: %s before %s".formatted(back, run.id()));
        console.event("result", Map.of("undone", run.id()));
        if (unfinished != null) throw unfinished;
    }
}
