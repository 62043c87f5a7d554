package lib.reset;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import lib.backup.BackupSettings;
import lib.cli.Console;
import lib.django.Description;
import lib.django.Django;
import lib.django.Migrations;
import lib.environment.Environment;
import lib.environment.Services;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.FolderLock;
import lib.files.Text;
import lib.plan.Plan;
import lib.plan.Plan.NotFinished;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.RunLock;
import lib.postgres.SchemaCatalog;
import lib.postgres.Sql;
import lib.process.Interruption;
import lib.project.Git;

/**
 * One reset: looks at the project and the database, plans, and runs the plan.
 *
 * @param backups the project's settings for backups; asked for only when one will be taken
 */
public record Reset(Options options, Environment environment, Django django, Database db, Console console,
        Supplier<BackupSettings> backups) {
    /**
     * What the command line asks for.
     *
     * @param apps     labels of the apps to reset; empty for all own apps
     * @param settings Django's settings module, or null for the project's own
     * @param allowed  guards that are switched off
     * @param backup   take one first; null: only before something is destroyed
     * @param purge    drop at the end what was set aside
     */
    public record Options(List<String> apps, String settings, StrategyChoice.Wanted strategy, boolean terminate,
            Set<Allowed> allowed, Boolean backup, boolean purge) {

        /** A reset that only sets aside destroys nothing, and what is purged is backed up when it is set aside. */
        private boolean backupFirst(Strategy chosen) {
            return backup != null ? backup : chosen instanceof DropTables;
        }

        private boolean backupBeforePurge() { return purge && !Boolean.FALSE.equals(backup); }
    }

    /** What a guard would refuse. */
    public enum Allowed { REPLICATION, STALE_IMAGE, POLICY_LOSS }

    // ---- look --------------------------------------------------------------------------------

    /**
     * A run that was cut short has to be undone or finished first; except after drop, which has no undo.
     *
     * @param dryRun nothing is locked, so the run may still be working: then it is busy (5)
     * @throws Failure refused (4), busy (5)
     */
    public void refuseUnfinished(boolean dryRun) throws IOException {
        var project = environment.project();
        for (var run : Runs.of(project, db)) {
            if (!run.isUnfinished() || !run.concerns(project, db.credentials())) continue;
            if (run.isOn(db.credentials()) && run.dropped(db).isPresent()) continue;
            if (dryRun) {
                FolderLock.refuseIfHeld(run.root());
                RunLock.take(db).close();
            }
            throw run.unfinished();
        }
    }

    /** Looks, and plans. Nothing is changed. */
    public ResetPlan plan() throws Exception {
        return plan(console.during("reading the project and the database", this::look), null);
    }

    private Findings look() throws Exception {
        var services = environment.services();
        db.ignoreSessionsFrom(services.addresses());
        var snapshot = DatabaseSnapshot.of(db); // while Python is still starting
        Description description;
        try (var proof = db.randomAdvisoryLock()) {
            description = django.describe(proof.key(), options.apps);
        }
        Guards.checkSettings(description, environment.database());
        var buildCommand = environment.composeCommand("build", String.valueOf(django.service()));
        Guards.checkSameCode(django, description, buildCommand, options.allowed.contains(Allowed.STALE_IMAGE));
        if (!snapshot.schema().name().equals(description.currentSchema()))
            snapshot = DatabaseSnapshot.of(db, description.currentSchema());
        OneSchema.check(db, description, snapshot.schema().name());
        Guards.checkImports(environment.project(), description.history().imports());
        var migrations = migrations(description);
        var strategy = runnable(StrategyChoice.choose(db, snapshot, options.strategy, RunId.create(),
                options.terminate, options.allowed.contains(Allowed.REPLICATION)), description);
        return new Findings(environment, services, description, snapshot,
                SchemaCatalog.of(db, snapshot.schema().name()), migrations, strategy, strategy.inTheWay());
    }

    private Findings.MigrationChange migrations(Description description) throws IOException {
        var root = environment.project().root();
        var folders = new TreeMap<String, Path>();
        description.selected().forEach(app -> folders.put(app.label(), app.migrationsFolder()));
        var old = Migrations.in(root, folders.values());
        var generated = django.generate(description.labels(), description.history().carried());
        Guards.checkDependencies(description, generated);
        var fresh = new TreeMap<String, String>();
        for (var file : generated.files()) {
            var path = folders.get(file.app()).resolve(file.name());
            fresh.put(root.relativize(path).toString(), file.text());
        }
        return new Findings.MigrationChange(old, fresh, generated,
                Git.uncommitted(root, folders.values(), Migrations::isMigrationName));
    }

    /** A migration that cannot run in a transaction cannot run in the one that parks either. */
    private static Strategy runnable(Strategy chosen, Description django) {
        return chosen instanceof ParkTables park && !django.history().nonAtomic().isEmpty()
                ? park.withoutTransaction() : chosen;
    }

    // ---- plan --------------------------------------------------------------------------------

    /** The same plan, which ends the sessions that are in the way. */
    public ResetPlan terminating(ResetPlan plan) {
        var findings = plan.findings();
        return plan(findings.with(findings.strategy().terminating()), plan.backup());
    }

    /** @param earlier the backup step of an earlier plan, or null */
    private ResetPlan plan(Findings findings, BackupStep earlier) {
        return plan(findings, earlier, scratch(findings));
    }

    /** Where the new migrations can be tried; null where the role may not create such a database. */
    private ScratchDatabase scratch(Findings findings) {
        var strategy = findings.strategy();
        if (strategy instanceof SwapDatabase swap) return swap.scratch();
        var obstacles = ScratchDatabase.obstacles(db, findings.snapshot());
        if (obstacles.isEmpty()) return new ScratchDatabase(db, findings.snapshot(), findings.id());
        var warning = "the new migrations are not tried in an empty database first: " + String.join("; ", obstacles);
        if (!strategy.inTransaction() && !strategy.warnings().contains(warning)) strategy.warnings().add(warning);
        return null;
    }

    private ResetPlan plan(Findings findings, BackupStep earlier, ScratchDatabase scratch) {
        var strategy = findings.strategy();
        var origin = Run.Origin.now(findings.id(), findings.project(), environment.identity(), strategy.name());
        var run = new Run(origin, Run.Outcome.RUNNING, strategy.previous(),
                findings.migrations().record(findings.django().labels()), null, findings.services().running());
        var files = new ReplaceFiles(findings.migrations().old(), findings.migrations().fresh(), run);
        var steps = new ArrayList<Step>();
        var folders = new ArrayList<>(List.of(new RunStore(run).folder()));
        folders.addAll(run.migrations().folders(run.root()));
        var backup = options.backupFirst(strategy) ? earlier != null ? earlier : backup() : null;
        if (backup != null && backup.file() == null) steps.add(backup);
        // here, so that wrong settings and a missing program are found now
        if (backup != null || options.backupBeforePurge()) folders.add(backups.get().folder().path());
        if (options.backupBeforePurge()) environment.pgPrograms(db.major());
        var keep = new RunStore(run).keep(() -> backup == null ? null : backup.file(), db, console);
        var comparison = comparison(findings, scratch, console);
        steps.addAll(steps(findings, keep, files, comparison));
        steps.add(new FinalCheck(environment, options.settings, run, comparison::built));
        return new ResetPlan(findings, run, new Plan(steps), backup, comparison, folders);
    }

    private BackupStep backup() {
        return new BackupStep(console, environment, backups.get(), db, db.name());
    }

    /**
     * Files first, database last: old files must never meet the new database. Services stop as late as possible, and
     * when they are stopped it is their step that finishes {@code keep}.
     */
    private List<Step> steps(Findings findings, Step keep, ReplaceFiles files, CompareSchemas comparison) {
        var services = findings.services();
        var steps = new ArrayList<Step>();
        steps.add(services.isEmpty() ? keep : Step.of(keep.describe(), keep::run, keep::undo));
        steps.addAll(build(findings.strategy(), comparison, comparison));
        if (comparison.scratch() != null && !(findings.strategy() instanceof SwapDatabase))
            steps.add(comparison.scratch().dropAgain());
        if (!services.isEmpty()) steps.add(services.stopStep(true, console, keep::finish));
        steps.addAll(replace(findings, files, comparison));
        return steps;
    }

    /**
     * The new schema in a database beside the live one, proven before anything is touched.
     *
     * @param comparing the comparison, or one that refuses nothing
     */
    private List<Step> build(Strategy strategy, CompareSchemas comparison, Step comparing) {
        var scratch = comparison.scratch();
        if (scratch == null) return List.of();
        var models = models(comparison);
        return strategy instanceof SwapDatabase swap
                ? List.of(swap.createScratch(), swap.migrate(django), models, comparing)
                : List.of(scratch.create(), scratch.migrate(django, strategy.warnings()), models, comparing);
    }

    /** The new files and the new schema in place of the old ones; compared only now if that was not possible before. */
    private List<Step> replace(Findings findings, ReplaceFiles files, CompareSchemas comparison) {
        var isCompared = comparison.scratch() != null;
        var steps = new ArrayList<Step>();
        switch (findings.strategy()) {
            case SwapDatabase swap -> steps.addAll(List.of(files, withoutPython(swap.swap())));
            case ParkTables park when park.inTransaction() -> {
                steps.add(park.parkAndMigrate(django));
                if (!isCompared && park.hasRoomForModels()) steps.add(models(comparison));
                if (!isCompared) steps.add(comparison);
                steps.addAll(List.of(files, park.commit(django)));
                return steps;
            }
            case ParkTables park -> steps.addAll(List.of(files, park.park(), park.migrate(django)));
            case DropTables drop -> steps.addAll(List.of(files,
                    drop.drop(findings.migrations().generated().namesMade()), drop.migrate(django)));
        }
        if (!isCompared) steps.add(comparison);
        return steps;
    }

    private CompareModels models(CompareSchemas comparison) {
        return new CompareModels(comparison.findings(), db, comparison.scratch(), comparison::built, django, console);
    }

    private CompareSchemas comparison(Findings findings, ScratchDatabase scratch, Console console) {
        var schema = findings.snapshot().schema().name();
        Supplier<Database> fresh = scratch != null
                ? () -> db.sibling(scratch.name()) : () -> Database.open(db.credentials());
        Supplier<SchemaCatalog> catalog = scratch == null && findings.strategy().inTransaction()
                ? () -> django.catalogInTransaction(schema)
                : () -> {
                    try (var other = fresh.get()) {
                        return SchemaCatalog.of(other, schema);
                    }
                };
        return new CompareSchemas(findings, options.allowed.contains(Allowed.POLICY_LOSS), scratch, catalog, fresh,
                django, console);
    }

    /** Python is connected to the live database, which would be in the way of its renaming. */
    private Step withoutPython(Step swap) {
        return Step.of(swap.describe(), () -> {
            django.close();
            swap.run();
        }, swap::undo);
    }

    /**
     * What is checked after the plan was printed.
     *
     * @throws Failure refused (4) for a protected database; failed (1) when a folder is not writable
     */
    public void check(ResetPlan plan) {
        if (options.purge) console.warn("--purge: what is set aside is dropped at the end%s; undo cannot bring it back"
                .formatted(options.backupBeforePurge() ? ", after a backup of it" : ""));
        Guards.refuseProtected(db);
        if (!options.allowed.contains(Allowed.POLICY_LOSS)) plan.comparison().refuseUncheckedPolicyLoss();
        Guards.writable(environment.project(), plan.folders().stream());
    }

    /**
     * Builds the new database, prints what it lacks in comparison with the old one, and drops it.
     *
     * @throws Failure refused (4) where the role may not create a database
     */
    public void printLosses(ResetPlan plan) throws Exception {
        var scratch = plan.comparison().scratch();
        if (scratch == null)
            throw Failure.refused("--losses builds the new database beside the old one, and that is not possible here: "
                    + String.join("; ", ScratchDatabase.obstacles(db, plan.findings().snapshot())))
                    .next("let the role create databases: ALTER ROLE %s CREATEDB;"
                            .formatted(Sql.identifier(db.credentials().user())));
        var steps = new ArrayList<>(build(plan.findings().strategy(), plan.comparison(),
                plan.comparison().printingOnly()));
        var create = steps.getFirst();
        steps.set(0, Step.of(create.describe(), create::run, create::undo, create::undo));
        var strategy = plan.findings().strategy();
        var known = List.copyOf(strategy.warnings());
        new Plan(steps).run(console, () -> "DROP DATABASE %s;".formatted(Sql.identifier(scratch.name())));
        warnOfMore(strategy, known);
        if (plan.comparison().losses().isEmpty()) console.success("everything of the old schema is in the new one");
    }

    // ---- run ---------------------------------------------------------------------------------

    /** @param left what could not be finished, although the reset is done; or null */
    private record Done(Run run, Findings findings, Failure left) {}

    /** Runs the plan; then, or when only something after it failed: the superuser, and the purge. */
    public void run(ResetPlan plan, Superuser superuser) {
        whatFollows(runOrPark(plan), superuser);
    }

    /** Only the new database shows if it can be reached and everything copied; if not, tables are parked without it. */
    private Done runOrPark(ResetPlan plan) {
        var findings = plan.findings();
        try {
            return run(plan);
        } catch (Failure failure) {
            var isAuto = options.strategy == StrategyChoice.Wanted.auto;
            if (!(failure.problem() instanceof DatabaseCopy.Differs why)) throw failure;
            return switch (findings.strategy()) {
                case SwapDatabase swap when isAuto -> {
                    console.warn(why.what());
                    var parked = findings.with(runnable(StrategyChoice.instead(swap, why), findings.django()));
                    console.heading("Strategy: park, " + parked.strategy().reason());
                    parked.strategy().warnings().forEach(console::warn);
                    yield run(plan(parked, plan.backup(), null)); // no other database can be built either
                }
                case ParkTables park -> {
                    console.warn("the new migrations are not tried in an empty database first: "
                            + String.join("; ", why.differences()));
                    yield run(plan(findings, plan.backup(), null));
                }
                default -> throw failure;
            };
        }
    }

    private Done run(ResetPlan plan) {
        var findings = plan.findings();
        var run = plan.run();
        var known = List.copyOf(findings.strategy().warnings());
        var unfinished = plan.plan().runReturningUnfinished(console, plan::undoCommand);
        var left = unfinished != null ? unfinished : changedByServices(run, findings.services());
        warnOfMore(findings.strategy(), known);
        var purged = options.purge && left == null;
        try {
            var files = options.backupBeforePurge() ? PurgePlan.filesFolder(backups.get().folder().path(), run) : null;
            // even after Ctrl-C: who interrupts needs to know that the reset is done
            Interruption.uninterruptibly(() -> PlanPrinter.printDone(console, plan, db, purged, files));
        } catch (Failure failure) {
            throw doneBut(failure);
        }
        return new Done(run.with(Run.Outcome.DONE).withBackup(plan.backupFile()), findings, left);
    }

    /** What the steps have added. @param known the warnings that were printed before */
    private void warnOfMore(Strategy strategy, List<String> known) {
        strategy.warnings().stream().filter(warning -> !known.contains(warning)).forEach(console::warn);
    }

    /** We do not control what services do when they start, but we report it. */
    private static Failure changedByServices(Run run, Services services) {
        try {
            var changed = services.isEmpty() ? List.<String>of() : run.migrations().changedFresh(run.root());
            if (changed.isEmpty()) return null;
            return Failure.partly(("the reset is done, but new migration files were deleted or changed since %s "
                    + "started again; an entrypoint may do that:%s").formatted(services.names(), Text.lines(changed)))
                    .next("see the entrypoint, and: " + services.composeCommand("logs"),
                            "to go back: " + run.undoCommand());
        } catch (IOException e) {
            return doneBut(Failure.failed("comparing the new migration files: " + Failure.firstLine(e)).causedBy(e));
        }
    }

    private static Failure doneBut(Failure failure) {
        return doneBut(failure, failure.problem().next());
    }

    private static Failure doneBut(Failure failure, List<String> next) {
        var why = failure.problem() instanceof Problem.Interrupted ? "interrupted" : failure.problem().what();
        return Failure.partly("the reset is done, but what follows it is not: " + why).next(next).causedBy(failure);
    }

    // ---- what follows ------------------------------------------------------------------------

    /** The reset is done already, so a failure here, or Ctrl-C, is "done in part" (3). */
    private void whatFollows(Done done, Superuser superuser) {
        var run = done.run;
        var notPurged = options.purge ? Failure.partly("what was set aside is still there, to go back to")
                .next("when everything works: " + run.purgeCommand()).problem() : null;
        try {
            superuser.create(console, environment, done.findings.django());
        } catch (Failure failure) {
            if (done.left != null)
                throw new Failure(notFinished(done.left).and(failure.problem()).and(notPurged), failure);
            throw followed(failure, run);
        }
        if (done.left != null) // which may be a reason to go back
            throw notPurged == null ? done.left : new Failure(notFinished(done.left).and(notPurged), done.left);
        if (options.purge) purge(run);
    }

    private void purge(Run run) {
        try {
            var settings = options.backupBeforePurge() ? backups.get() : null;
            PurgePlan.of(console, environment, List.of(run), db, settings, options.terminate)
                    .run(console, environment, run::purgeCommand);
        } catch (Failure failure) {
            throw followed(failure, run);
        }
    }

    private Failure followed(Failure failure, Run run) {
        if (failure.problem().exit() == ExitCode.PARTLY) return failure;
        var next = new ArrayList<>(failure.problem().next());
        if (options.purge) next.add("then: " + run.purgeCommand());
        return doneBut(failure, next);
    }

    private static NotFinished notFinished(Failure left) {
        return left.problem() instanceof NotFinished whole ? whole : new NotFinished(List.of(left.problem()));
    }
}
