package lib.reset;

import java.util.List;
import java.util.Map;
import lib.cli.Script;
import lib.environment.Services;
import lib.error.Failure;
import lib.plan.Plan;
import lib.plan.Plan.NotFinished;
import lib.plan.Step;
import lib.postgres.Database;

/** Keeps the new state of a run that was killed, when the final check finds nothing wrong with it. */
public record FinishPlan(Run run, Plan plan, Services services) {

    /**
     * @param wanted the run's id, or null for the latest that was killed
     * @throws Failure usage (2) without such a run; refused (4) when its new state is not live
     */
    public static FinishPlan of(LockedProject locked, String wanted, String settings) throws Exception {
        var db = locked.db();
        var run = unfinished(Runs.of(locked.project(), db), wanted);
        run.refuseOther(db.credentials());
        if (!run.root().equals(locked.project().root()))
            throw Failure.refused("the run %s was made in %s: its files are there, and can only be checked there"
                    .formatted(run.id(), run.root()))
                    .next(Script.RESET_MIGRATIONS.commandIn(run.root(), "finish", run.id()));
        refuseNotLive(run, db);
        var check = new FinalCheck(locked.environment(), settings, run, () -> null);
        var refusing = Step.of(check.describe(), () -> {
            var findings = check.findings();
            if (!findings.isEmpty()) throw refused(run, db, FinalCheck.failed(findings));
        });
        var services = locked.environment().services().including(run.services()).staleIfBuiltBefore(run.started());
        return new FinishPlan(run, new Plan(List.of(refusing)), services);
    }

    private static Run unfinished(List<Run> all, String wanted) {
        var none = wanted == null ? "no run was cut short" : "no run %s that was cut short".formatted(wanted);
        return all.stream().filter(run -> run.isUnfinished() && (wanted == null || wanted.equals(run.id())))
                .reduce((first, last) -> last).orElseThrow(() -> Run.notFound(none, all));
    }

    private static void refuseNotLive(Run run, Database db) throws Exception {
        if (run.outcome() == Run.Outcome.UNDOING) throw refused(run, db, "it is being undone");
        var state = run.previous().state(db);
        if (state != PreviousState.State.NEW_IS_LIVE)
            throw refused(run, db, "the database holds " + run.previous().describe(state));
        if (!run.migrations().areFreshInPlace(run.root()))
            throw refused(run, db, "its new migration files are not all in place");
    }

    /** After drop there is no undo. */
    private static Failure refused(Run run, Database db, String why) {
        var failure = Failure.refused("the run %s cannot be finished: %s".formatted(run.id(), why));
        return run.dropped(db).map(tables -> failure.next("reset again: " + Script.RESET_MIGRATIONS.command(),
                        "restore the old tables: " + tables.restoreCommand(run.backup())))
                .orElseGet(() -> failure.next("bring the old state back: " + run.undoCommand()));
    }

    /** Runs the plan, and reports the end. */
    public void run(LockedProject locked) {
        var console = locked.console();
        plan.run(console, () -> "");
        run.previous().complete(locked.db()).forEach(console::warn);
        console.success("finished: the new state of %s is live and complete".formatted(run.id()));
        console.event("result", Map.of("finished", run.id(), "aside", run.previous().location(locked.db())));
        try {
            services.restart(run.changesFiles(), console);
        } catch (Failure failure) {
            throw new Failure(new NotFinished(List.of(failure.problem())), failure);
        } finally {
            RunStore.saveEnd(run.with(Run.Outcome.DONE), run.finishCommand());
        }
    }
}
