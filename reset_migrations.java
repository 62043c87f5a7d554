///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
// A process of a second or two starts fastest with the first compiler tier alone; a backup of gigabytes wants the second, which knows SHA-256.
//RUNTIME_OPTIONS -XX:TieredStopAtLevel=1
//SOURCES lib/Lib.java

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.Lib;
import lib.backup.Backup;
import lib.backup.BackupSettings;
import lib.cli.Cli;
import lib.cli.Confirmation;
import lib.cli.Console;
import lib.django.Description;
import lib.django.Django;
import lib.django.DjangoProblem;
import lib.django.Migrations;
import lib.docker.Composer;
import lib.environment.Environment;
import lib.environment.ProjectOptions;
import lib.environment.Services;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.FolderLock;
import lib.plan.NotFinished;
import lib.plan.Plan;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.PgPrograms;
import lib.postgres.RunLock;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Git;
import lib.project.Project;
import lib.reset.DropTables;
import lib.reset.Findings;
import lib.reset.Guards;
import lib.reset.OrphanedState;
import lib.reset.ParkTables;
import lib.reset.PlanPrinter;
import lib.reset.PreviousState;
import lib.reset.PutBackFiles;
import lib.reset.ReplaceFiles;
import lib.reset.Run;
import lib.reset.Strategy;
import lib.reset.SwapDatabase;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.ScopeType;

@Command(name = "reset_migrations", mixinStandardHelpOptions = true, versionProvider = reset_migrations.Version.class, sortOptions = false,
        subcommands = {reset_migrations.Undo.class, reset_migrations.Finish.class, reset_migrations.Status.class, reset_migrations.Purge.class},
        description = {"Gives a Django project on PostgreSQL one fresh set of migrations and a database that matches.",
                "The new state is built and proven beside the old one, then swapped in; undo swaps it back."})
public class reset_migrations implements Callable<Integer>, Cli.HasOutput {

    @Mixin ProjectOptions where;
    @Option(names = "--python", paramLabel = "PATH", description = "The project's Python (default: $VIRTUAL_ENV, venv, .venv, env, then python3).")
    Path python;
    @Option(names = "--settings", paramLabel = "MODULE", description = "Django's settings module (default: what manage.py says).")
    String settings;
    @Option(names = "--apps", paramLabel = "LABEL", split = ",", description = "Renew the migrations of these own apps only (default: all own apps).")
    List<String> apps = List.of();
    @Option(names = "--strategy", paramLabel = "NAME", defaultValue = "auto",
            description = "auto, swap, park or drop (default: ${DEFAULT-VALUE}, the best that the role may do). drop destroys, after a backup.")
    Wanted strategy;
    @Option(names = "--dry-run", description = "Show the plan and change nothing.")
    boolean dryRun;
    @Mixin Confirmation consent;
    @Option(names = "--backup", negatable = true,
            description = "Take a verified backup first, as backup_database does (BACKUP_… settings), or not even before --purge and drop.")
    Boolean backup;
    @Option(names = "--purge", description = "When all is done, drop what was set aside; takes a backup first.")
    boolean purge;
    @Option(names = "--superuser", negatable = true, description = "Create a superuser at the end, or do not ask for it.")
    Boolean superuser;
    @Option(names = "--terminate", scope = ScopeType.INHERIT, description = "End sessions that stand in the way.")
    boolean terminate;
    @Option(names = "--allow-replication", description = "Go on in spite of publications, logical slots and prepared transactions.")
    boolean allowReplication;
    @Option(names = "--trust-image", description = "Go on although the app's image was built from other code than is here.")
    boolean trustImage;
    @Mixin Cli.Output output;
    private BackupSettings backups;

    /** What {@code --strategy} takes. */
    enum Wanted { auto, swap, park, drop }

    static final class Version implements IVersionProvider {
        @Override public String[] getVersion() {
            return new String[] {"${COMMAND-FULL-NAME} " + Lib.VERSION};
        }
    }

    public static void main(String... args) {
        System.exit(Cli.run(new reset_migrations(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        try {
            return reset();
        } catch (Failure failure) {
            if (failure.problem() instanceof DjangoProblem.NoDjango missing && installed(output.console(), missing)) return reset();
            throw failure;
        }
    }

    private int reset() throws Exception {
        var console = output.console();
        var project = where.project();
        try (var environment = where.environment(project, python, console::warn)) {
            environment.warnings().forEach(console::warn);
            return reset(console, project, environment);
        }
    }

    private int reset(Console console, Project project, Environment environment) throws Exception {
        try (var folder = dryRun ? null : FolderLock.take(project.root(), "reset_migrations", console::warn);
             var django = Django.start(environment.python(), settings, console::progress);
             var db = Database.open(environment.database());
             var lock = dryRun ? null : RunLock.take(db)) {
            Guards.refuseStandby(db);
            refuseUnfinished(project, db);
            if (!dryRun) Run.sweep(project);
            var found = console.during("reading the project and the database", () -> look(project, environment, django, db));
            var prepared = prepare(found, django, db, new AtomicReference<>());
            PlanPrinter.print(console, found, prepared.plan());
            if (purge) console.warn("--purge: what is set aside is dropped at the end%s, and cannot be brought back by undo".formatted(Boolean.FALSE.equals(backup) ? "" : ", after a backup of it"));
            Guards.refuseProtected(db); // the plan is shown all the same
            Guards.writable(project, prepared.writes().stream());
            if (dryRun) {
                console.success("dry run: nothing was changed");
                return 0;
            }
            consent.ask(console, found.look().name(), db.credentials().isLocal(), found.django().settings().debug());
            lock.requireHeld();
            if (!terminate && consent.toTerminate(console, found.inTheWay().size())) prepared = prepare(found.terminating(), django, db, prepared.backedUp());
            whatFollows(console, environment, found.django(), carryOut(console, prepared, django, db), db);
            return Problem.Exit.DONE.code;
        }
    }

    /** Only the new database itself shows whether all could be copied; where it was not, the tables are parked instead. */
    private Outcome carryOut(Console console, Prepared prepared, Django django, Database db) {
        var found = prepared.found();
        try {
            return run(console, prepared, db);
        } catch (Failure failure) {
            if (!(failure.problem() instanceof DatabaseCopy.Differs why) || strategy != Wanted.auto || !(found.strategy() instanceof SwapDatabase swap)) throw failure;
            console.warn(why.what());
            var parked = found.with(runnable(swap.instead(why), found.django()));
            console.heading("Strategy: park, " + parked.strategy().reason());
            parked.strategy().warnings().forEach(console::warn);
            return run(console, prepare(parked, django, db, prepared.backedUp()), db);
        }
    }

    /** @param left what could not be finished, though all is done; or null */
    private record Outcome(Run run, Failure left) {}

    private Outcome run(Console console, Prepared prepared, Database db) {
        var found = prepared.found();
        var run = prepared.run();
        var backedUp = prepared.backedUp();
        var known = found.strategy().warnings();
        Supplier<String> goBack = () -> found.strategy() instanceof DropTables
                ? Problem.OnlyBackupHasIt.restore(found.look().name(), backedUp.get() == null ? null : backedUp.get().toString())
                : "reset_migrations undo " + run.id();
        var unfinished = prepared.plan().runReturningUnfinished(console, goBack);
        var left = unfinished != null ? unfinished : changed(run, found.services());
        found.strategy().warnings().stream().filter(warning -> !known.contains(warning)).forEach(console::warn);
        try {
            var keep = purgeTakesBackup() ? Purge.migrations(backups(found.project()), run) : null;
            // whoever cuts the waiting short wants to know all the more
            Interruption.uninterruptibly(() -> PlanPrinter.printDone(console, found, db, backedUp.get(), purge && left == null ? null : goBack.get(), keep));
        } catch (Failure failure) { // whatever it is, not everything is as it was
            throw new Failure(new Problem.DoneBut(failure.problem(), null), failure);
        }
        return new Outcome(run.done(backedUp.get()), left);
    }

    /** What services do when they start is beyond us, but not beyond being told. */
    private static Failure changed(Run run, Services services) {
        try {
            var changed = services.isEmpty() ? List.<String>of() : run.freshChanged();
            return changed.isEmpty() ? null : new Failure(new Problem.ChangedByServices(services.composeCommand("logs"), run.id(), changed, services.names()));
        } catch (IOException e) {
            return new Failure(new Problem.DoneBut(new Problem.FileSystemSaid("comparing the new migration files", Failure.firstLine(e)), null), e);
        }
    }

    /** Offers to install what the project needs; only where somebody can say yes. */
    private boolean installed(Console console, DjangoProblem.NoDjango missing) {
        if (!console.canAsk() || output.json) return false; // what pip prints would be taken for JSON
        var install = Program.of(missing.install());
        return console.yes("%s. Run %s now? Type YES, yes or y:".formatted(missing.what(), install)) && install.interactive() == 0;
    }

    // ---- look --------------------------------------------------------------------------------

    private Findings look(Project project, Environment environment, Django django, Database db) throws Exception {
        var services = environment.services();
        db.ignoreSessionsFrom(services.addresses());
        var look = DatabaseSnapshot.of(db); // while Python is still starting
        Description description;
        try (var proof = db.randomAdvisoryLock()) {
            description = django.describe(proof.key(), apps);
        }
        Guards.check(description, environment.database());
        Guards.sameCode(django, description, environment.composeCommand("build", String.valueOf(django.service())), trustImage);
        if (!look.schema().name().equals(description.currentSchema())) look = DatabaseSnapshot.of(db, description.currentSchema());
        var folders = new TreeMap<String, Path>();
        description.selected().forEach(app -> folders.put(app.label(), app.migrationsFolder()));
        var old = Migrations.in(project.root(), folders.values());
        var made = django.generate(description.labels(), description.history().carried());
        Guards.check(description, made);
        var fresh = new TreeMap<String, String>();
        made.files().forEach(file -> fresh.put(project.root().relativize(folders.get(file.app()).resolve(file.name())).toString(), file.text()));
        var id = Run.newId();
        var chosen = Strategy.choose(db, look, strategy.name(), id, terminate, allowReplication);
        var runnable = runnable(chosen, description);
        return new Findings(id, project, environment, description, look, old, fresh,
                Set.copyOf(made.drift()), made.unwritten(), runnable, runnable.inTheWay(), terminate,
                Git.uncommitted(project.root(), folders.values(), Migrations::isMigrationName), services);
    }

    /** A migration that cannot run in a transaction cannot run in the one that parks, either. */
    private static Strategy runnable(Strategy chosen, Description django) {
        return chosen instanceof ParkTables park && !django.history().nonAtomic().isEmpty() ? park.withoutTransaction() : chosen;
    }

    /** A run that was cut short has to be put back before another begins; after drop there is nothing that undo could do. */
    private void refuseUnfinished(Project project, Database db) throws Exception {
        for (var run : Run.of(project, db)) {
            if (!run.unfinished() || !run.concerns(project, db.credentials())
                    || run.isOn(db.credentials()) && run.aside() instanceof PreviousState.Backup aside && aside.state(db) != PreviousState.State.OLD_IS_LIVE) continue;
            if (dryRun) { // it may be at work this very moment: then that is said
                FolderLock.refuseIfHeld(Path.of(run.root()));
                RunLock.take(db).close();
            }
            throw new Failure(new Problem.UnfinishedRun(run.id()));
        }
    }

    // ---- plan --------------------------------------------------------------------------------

    /** The plan that is printed and the very same that is run. @param backedUp gets the backup's file when there is one; @param writes into these folders */
    private record Prepared(Findings found, Run run, Plan plan, AtomicReference<Path> backedUp, List<Path> writes) {}

    /** Files first, database last: old files must never meet the new database. @param backedUp has the backup when a plan before this one took it */
    private Prepared prepare(Findings found, Django django, Database db, AtomicReference<Path> backedUp) {
        var run = Run.of(found);
        var steps = new ArrayList<Step>();
        var files = new ReplaceFiles(found.old(), found.fresh(), run);
        var wantsBackup = wantsBackup(found.strategy());
        var backups = wantsBackup || purgeTakesBackup() ? backups(found.project()) : null; // a wrong setting is better known now
        if (wantsBackup && backedUp.get() == null)
            steps.add(backup(output.console(), found.environment(), backups, db, found.look().name(), backedUp::set));
        if (purgeTakesBackup()) found.environment().pgPrograms(db.major()); // one that is missing is better missed now
        var keep = run.keep(backedUp::get, db, output.console());
        var stop = found.services().isEmpty() ? List.<Step>of() : List.of(found.services().stopStep(true, output.console(), keep::finish));
        steps.add(stop.isEmpty() ? keep : Step.withoutFinish(keep));
        if (found.strategy() instanceof SwapDatabase swap) steps.addAll(List.of(swap.createScratch(), swap.migrate(django)));
        steps.addAll(stop); // as late as can be: what comes before disturbs nobody
        steps.addAll(switch (found.strategy()) {
            case SwapDatabase swap -> List.of(files, Step.after(django::close, swap.swap()));
            case ParkTables park when park.inTransaction() -> List.of(park.parkAndMigrate(django), files, park.commit(django));
            case ParkTables park -> List.of(files, park.park(), park.migrate(django));
            case DropTables drop -> List.of(files, drop.drop(), drop.migrate(django));
        });
        steps.add(check(found.environment(), settings, found.django().labels(), found.drift(), run));
        var writes = new ArrayList<>(List.of(run.folder()));
        files.folders().forEach(writes::add);
        if (backups != null) writes.add(backups.folder().path());
        return new Prepared(found, run, new Plan(steps), backedUp, writes);
    }

    /** Destroying asks for a backup unless it is declined in so many words; what {@code --purge} destroys is backed up when it stands aside. */
    private boolean wantsBackup(Strategy strategy) {
        return backup != null ? backup : strategy instanceof DropTables;
    }

    private boolean purgeTakesBackup() {
        return purge && !Boolean.FALSE.equals(backup);
    }

    /** As backup_database makes them; asked for only when one will be taken. */
    private BackupSettings backups(Project project) {
        if (backups == null) backups = BackupSettings.of(project, where.settings(project));
        return backups;
    }

    /** @param made gets the file when it is there */
    private static Step backup(Console console, Environment environment, BackupSettings backups, Database db, String name, Consumer<Path> made) {
        var programs = environment.pgPrograms(db.major()).of(name);
        var copy = backups.remote() == null ? "" : ", with a copy in " + backups.remote();
        return Step.of("back up " + name + " into " + environment.project().show(backups.folder().path()) + copy, () -> {
            var backup = taken(backups, programs, console);
            made.accept(backup.file());
            backups.copyOffSite(programs.server(), backup, console);
        });
    }

    private static Backup taken(BackupSettings backups, PgPrograms programs, Console console) {
        try {
            return backups.take(programs, console::progress);
        } catch (Failure failure) {
            throw new Failure(new Problem.NothingDestroyed(failure.problem()), failure);
        }
    }

    /** A new process sees the project as everybody else will: files, settings and database as they now are. */
    private static Step check(Environment environment, String settings, List<String> apps, Set<String> drift, Run run) {
        return Step.of("check: Django finds nothing left to migrate and nothing to make", () -> {
            try (var django = Django.start(environment.python(), settings, note -> {});
                 var db = Database.open(environment.database())) {
                Guards.check(django.check(apps, drift, run.fresh().keySet().stream().map(Path.of(run.root())::resolve).toList()), db.oid());
            }
        });
    }

    // ---- superuser, purge --------------------------------------------------------------------

    /** The reset is done whatever happens here, so a failure, or Ctrl-C, is "done in part". */
    private void whatFollows(Console console, Environment environment, Description django, Outcome outcome, Database db) {
        var run = outcome.run();
        try {
            createSuperuser(console, environment, django);
            if (outcome.left() != null) throw purge ? new Failure(notFinished(outcome.left()).and(new Problem.NotPurged(run.id())), outcome.left()) : outcome.left(); // which may be a reason to go back
            if (!purge) return;
            var backups = purgeTakesBackup() ? backups(environment.project()) : null;
            Purge.plan(console, environment, List.of(run), db, backups, terminate).run(console, () -> "reset_migrations purge " + run.id());
        } catch (Failure failure) {
            if (failure == outcome.left() || failure.problem() instanceof NotFinished) throw failure;
            if (outcome.left() != null) throw new Failure(notFinished(outcome.left()).and(failure.problem()).and(purge ? new Problem.NotPurged(run.id()) : null), failure);
            if (failure.problem().exit() == Problem.Exit.PARTLY) throw failure;
            throw new Failure(new Problem.DoneBut(failure.problem(), purge ? "reset_migrations purge " + run.id() : null), failure);
        }
    }

    private static NotFinished notFinished(Failure left) {
        return left.problem() instanceof NotFinished whole ? whole : new NotFinished(List.of(left.problem()));
    }

    private void createSuperuser(Console console, Environment environment, Description django) {
        var typed = environment.commandLine(django, "createsuperuser");
        if (environment.imageHasCode()) {
            if (Boolean.TRUE.equals(superuser)) throw new Failure(new Problem.NoSuperuserYet(typed));
            return;
        }
        var wanted = superuser != null ? superuser : !consent.yes && console.canAsk()
                && console.yes("Create a superuser now? Type YES, yes or y:", new Problem.NoSuperuser("interrupted", false, typed));
        if (!wanted) return;
        var manage = environment.manage(console.canAsk() && !output.json, django, "createsuperuser");
        if (console.canAsk() && !output.json) {
            var code = manage.interactive();
            if (code != 0) throw new Failure(new Problem.NoSuperuser("exit code " + code, false, typed));
            return;
        }
        var output = manage.with("--noinput").run();
        if (output.code() != 0) throw new Failure(new Problem.NoSuperuser(output.err().lines().filter(line -> !Composer.isWarning(line)).collect(Collectors.joining("\n")).strip(), true, typed));
        console.say(output.out().strip());
    }

    // ---- undo, status, purge -----------------------------------------------------------------

    @Command(name = "undo", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Bring back what the latest reset set aside: the database first, then the files. Drops nothing.")
    static final class Undo implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN", description = "The run (default: the latest).")
        String wanted;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            try (var environment = top.where.withoutDjango(project, console::warn);
                 var folder = FolderLock.take(project.root(), "reset_migrations undo", console::warn);
                 var db = Database.open(environment.database()); var lock = RunLock.take(db)) {
                Guards.refuseStandby(db);
                Guards.refuseProtected(db);
                Run.sweep(project);
                var run = latest(project, db, wanted);
                run.refuseOther(db.credentials());
                folder.takeAlso(Path.of(run.root()));
                if (run.outcome().equals("purging") && !run.aside().whole(db)) throw new Failure(new Problem.HalfPurged(run.id()));
                if (run.aside() instanceof PreviousState.Backup aside && aside.state(db) != PreviousState.State.OLD_IS_LIVE)
                    throw new Failure(new Problem.OnlyBackupHasIt(aside.name(), run.backup()));
                var steps = new ArrayList<>(run.aside().undo(db, top.terminate));
                var files = PutBackFiles.of(run);
                if (run.changesFiles() || steps.isEmpty()) steps.add(files);
                var services = environment.services().including(run.unfinished() ? run.services() : List.of()).withPreviousHealth(run.services()).staleIfBuiltAfter(Instant.parse(run.started()));
                if (!services.isEmpty()) steps.addFirst(services.stopStep(run.changesFiles(), console, () -> {}));
                steps.set(0, run.stopping(services).marked("undoing", steps.getFirst()));
                var plan = new Plan(steps);
                console.heading("Undo the %s %s".formatted(run.kind(), run.id()));
                PlanPrinter.printMadeIn(console, run, project);
                PlanPrinter.printSteps(console, plan);
                console.event("plan", Map.of("run", run.id(), "steps", plan.describe()));
                Guards.writable(project, files.folders());
                top.consent.ask(console, db.name(), db.credentials().isLocal(), true);
                lock.requireHeld();
                var left = plan.runReturningUnfinished(console, () -> "reset_migrations undo " + run.id());
                run.mark("undone", "reset_migrations undo " + run.id());
                console.success("undone: %s as %s before %s".formatted(run.changesFiles() ? "database and files are" : "the database is", run.changesFiles() ? "they were" : "it was", run.id()));
                console.event("result", Map.of("undone", run.id()));
                if (left != null) throw left;
                return Problem.Exit.DONE.code;
            }
        }

        private static Run latest(Project project, Database db, String wanted) throws Exception {
            var all = Run.of(project, db);
            var open = all.stream().filter(run -> !run.outcome().equals("undone")).toList();
            var known = Run.told(all);
            var lost = OrphanedState.without(all, db).stream()
                    .filter(aside -> aside.run().equals(wanted) || aside.old() && (open.isEmpty() || aside.run().compareTo(open.getLast().id()) > 0)).toList();
            if (!lost.isEmpty()) throw new Failure(new Problem.NoRecord(lost.stream().map(OrphanedState::what).toList()));
            if (open.isEmpty()) throw new Failure(new Problem.NoRun(wanted, known));
            var last = open.getLast();
            if (wanted == null || wanted.equals(last.id())) return last;
            if (open.stream().noneMatch(run -> run.id().equals(wanted))) throw new Failure(new Problem.NoRun(wanted, known));
            throw new Failure(new Problem.NotTheLatest(wanted, last.id()));
        }
    }

    @Command(name = "finish", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Keep the new state of a run that was cut short, once the last check has found it whole.")
    static final class Finish implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN", description = "The run (default: the one that was cut short).")
        String wanted;
        @Option(names = "--python", paramLabel = "PATH", description = "The project's Python, as for the reset.")
        Path python;
        @Option(names = "--settings", paramLabel = "MODULE", description = "Django's settings module, as for the reset.")
        String settings;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            try (var environment = top.where.environment(project, python, console::warn);
                 var folder = FolderLock.take(project.root(), "reset_migrations finish", console::warn);
                 var db = Database.open(environment.database()); var lock = RunLock.take(db)) {
                Guards.refuseStandby(db);
                Guards.refuseProtected(db);
                var run = unfinished(Run.of(project, db));
                run.refuseOther(db.credentials());
                if (!Path.of(run.root()).equals(project.root())) throw new Failure(new Problem.FinishElsewhere(run.id(), run.root()));
                refuseNotLive(run, db);
                try {
                    new Plan(List.of(check(environment, settings, run.apps(), run.drift(), run))).run(console, () -> "");
                } catch (Failure found) {
                    throw found.problem() instanceof Problem.CheckFailed ? refused(run, db, found.problem().what()) : found;
                }
                run.aside().complete(db).forEach(console::warn);
                var services = environment.services().including(run.services()).staleIfBuiltBefore(Instant.parse(run.started()));
                console.success("finished: the new state of " + run.id() + " is live and whole");
                console.event("result", Map.of("finished", run.id(), "aside", run.aside().where(db)));
                try {
                    services.restart(run.changesFiles(), console);
                } catch (Failure failure) {
                    throw new Failure(new NotFinished(List.of(failure.problem())), failure);
                } finally {
                    run.mark("done", "reset_migrations finish " + run.id());
                }
                return Problem.Exit.DONE.code;
            }
        }

        private Run unfinished(List<Run> all) {
            return all.stream().filter(run -> run.unfinished() && (wanted == null || wanted.equals(run.id()))).reduce((first, last) -> last)
                    .orElseThrow(() -> new Failure(new Problem.NothingToFinish(wanted, Run.told(all))));
        }

        private static void refuseNotLive(Run run, Database db) throws Exception {
            if (run.outcome().equals("undoing")) throw refused(run, db, "it is being undone");
            var state = run.aside().state(db);
            if (state != PreviousState.State.NEW_IS_LIVE) throw refused(run, db, "the database holds " + run.aside().words(state));
            if (!run.freshInPlace()) throw refused(run, db, "its new migration files are not all in place");
        }

        private static Failure refused(Run run, Database db, String why) {
            return new Failure(run.aside() instanceof PreviousState.Backup aside && aside.state(db) != PreviousState.State.OLD_IS_LIVE
                    ? new Problem.NotToFinishDropped(run.id(), why, Problem.OnlyBackupHasIt.restore(aside.name(), run.backup())) : new Problem.NotToFinish(run.id(), why));
        }
    }

    @Command(name = "status", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Show the runs of this project, which state holds, and what is set aside.")
    static final class Status implements Callable<Integer> {
        @ParentCommand reset_migrations top;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            try (var environment = top.where.withoutDjango(project, console::warn); var db = Database.open(environment.database())) {
                PlanPrinter.printStatus(console, project, db);
            }
            return Problem.Exit.DONE.code;
        }
    }

    @Command(name = "purge", mixinStandardHelpOptions = true, versionProvider = Version.class, sortOptions = false,
            description = "Drop what runs have set aside, oldest first. This is the only command that destroys.")
    static final class Purge implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN", description = "The run: the oldest there is (default).")
        String wanted;
        @Option(names = "--all", description = "All runs, oldest first.")
        boolean all;
        @Option(names = "--no-backup", description = "Without a verified backup first.")
        boolean noBackup;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            try (var environment = top.where.withoutDjango(project, console::warn);
                 var folder = FolderLock.take(project.root(), "reset_migrations purge", console::warn);
                 var db = Database.open(environment.database()); var lock = RunLock.take(db)) {
                Guards.refuseStandby(db);
                Guards.refuseProtected(db);
                var known = Run.of(project, db);
                var lost = OrphanedState.without(known, db).stream().filter(aside -> known.isEmpty() || aside.run().equals(wanted)).toList();
                if (!lost.isEmpty()) throw new Failure(new Problem.NoRecord(lost.stream().map(OrphanedState::what).toList()));
                var runs = oldest(known, db);
                for (var run : runs) run.refuseOther(db.credentials());
                for (var run : runs) folder.takeAlso(Path.of(run.root()));
                for (var run : runs) refuseHalfWay(run, db);
                var backups = noBackup ? null : top.backups(project);
                var plan = plan(console, environment, runs, db, backups, top.terminate);
                console.heading("Purge " + String.join(", ", runs.stream().map(Run::id).toList()));
                PlanPrinter.printSteps(console, plan);
                console.event("plan", Map.of("runs", runs.stream().map(Run::id).toList(), "steps", plan.describe()));
                console.warn("what is dropped here cannot be brought back by undo");
                Guards.writable(project, Stream.concat(Stream.ofNullable(backups).map(all -> all.folder().path()),
                        runs.stream().map(Run::folder).filter(Files::isDirectory)));
                top.consent.ask(console, db.name(), db.credentials().isLocal(), true);
                lock.requireHeld();
                plan.run(console, () -> "reset_migrations purge");
                console.event("result", Map.of("purged", runs.stream().map(Run::id).toList()));
            }
            return Problem.Exit.DONE.code;
        }

        /** What a run keeps that was cut short may be all there is of the old files: undo first, or nothing is left to undo with. */
        private static void refuseHalfWay(Run run, Database db) throws Exception {
            if (!run.unfinished()) return;
            var state = run.aside().state(db);
            if (state == PreviousState.State.OLD_IS_LIVE ? !run.oldInPlace() : !(run.aside() instanceof PreviousState.Backup) && state != PreviousState.State.GONE)
                throw new Failure(new Problem.UnfinishedRun(run.id()));
        }

        /** A newer run's set-aside state is only reached through the older ones, so these go first; unless it went aside within an older one's, or left nothing aside. */
        private List<Run> oldest(List<Run> known, Database db) {
            if (known.isEmpty()) throw new Failure(new Problem.NoRun(wanted, List.of()));
            var ours = known.stream().filter(run -> run.isOn(db.credentials())).toList(); // the order matters within one database
            var runs = ours.isEmpty() ? known : ours.stream().sorted(Comparator.comparing((Run run) -> !(run.aside().isInside(db) || run.aside() instanceof PreviousState.Backup))).toList();
            if (all) return runs;
            if (wanted == null || wanted.equals(runs.getFirst().id())) return List.of(runs.getFirst());
            if (runs.stream().noneMatch(run -> run.id().equals(wanted))) throw new Failure(new Problem.NoRun(wanted, runs.stream().map(Run::id).toList()));
            throw new Failure(new Problem.NotTheOldest(wanted, runs.getFirst().id()));
        }

        /**
         * What is dropped is backed up as it stands aside: one of before the reset would lack what others wrote until the swap.
         *
         * @param backups keep it, and the migration files beside it; null: nothing does
         */
        static Plan plan(Console console, Environment environment, List<Run> runs, Database db, BackupSettings backups, boolean terminate) {
            var steps = new ArrayList<Step>();
            if (backups != null) runs.stream().flatMap(run -> run.aside().holders(db).stream()).distinct() // all before the first is dropped
                    .forEach(name -> steps.add(backup(console, environment, backups, db, name, file -> {})));
            for (var run : runs) {
                steps.add(run.marked(run.outcome().equals("done") ? "purging" : run.outcome(), run.aside().purge(db, terminate)));
                steps.add(run.end(backups != null && run.changesFiles() ? migrations(backups, run) : null));
            }
            return new Plan(steps);
        }

        /** Where the migration files go that a purged run has kept. */
        private static Path migrations(BackupSettings backups, Run run) {
            return backups.folder().path().resolve("migrations_" + run.id());
        }
    }
}
