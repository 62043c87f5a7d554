///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
// A process of a second or two starts fastest with the first compiler tier alone; a backup of gigabytes wants the
// second, which knows SHA-256.
//RUNTIME_OPTIONS -XX:TieredStopAtLevel=1
//SOURCES lib/Lib.java

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import lib.Lib;
import lib.backup.BackupSettings;
import lib.cli.Cli;
import lib.cli.Confirmation;
import lib.cli.Console;
import lib.cli.Script;
import lib.django.Django;
import lib.django.DjangoProblem;
import lib.environment.Environment;
import lib.environment.ProjectOptions;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.FolderLock;
import lib.postgres.Database;
import lib.postgres.RunLock;
import lib.process.Program;
import lib.project.Project;
import lib.reset.FinishPlan;
import lib.reset.Guards;
import lib.reset.LockedProject;
import lib.reset.PlanPrinter;
import lib.reset.PurgePlan;
import lib.reset.Reset;
import lib.reset.RunStore;
import lib.reset.StatusPrinter;
import lib.reset.StrategyChoice;
import lib.reset.Superuser;
import lib.reset.UndoPlan;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.ScopeType;

@Command(name = "reset_migrations", versionProvider = reset_migrations.Version.class,
        subcommands = {reset_migrations.Undo.class, reset_migrations.Finish.class, reset_migrations.Status.class,
                reset_migrations.Purge.class},
        description = {"Gives a Django project on PostgreSQL one fresh set of migrations and a database that matches.",
                "The new state is built and checked beside the old one, then swapped in; undo swaps it back."})
public class reset_migrations implements Callable<Integer>, Cli.HasOutput {

    @Mixin ProjectOptions where;
    @Option(names = "--apps", paramLabel = "LABEL", split = ",",
            description = "Reset only the migrations of these own apps (default: all own apps).")
    List<String> apps = List.of();
    @Option(names = "--strategy", paramLabel = "NAME", defaultValue = "auto",
            description = "auto, swap, park or drop (default: ${DEFAULT-VALUE}, the best that the role may do). "
                    + "drop destroys, after a backup.")
    StrategyChoice.Wanted strategy;
    @Option(names = "--dry-run", description = "Show the plan and change nothing.")
    boolean dryRun;
    @Option(names = "--losses", description = "With --dry-run: build the new database, say what it lacks, and drop it.")
    boolean losses;
    @Mixin Confirmation confirmation;
    @Option(names = "--backup", negatable = true,
            description = "Take a verified backup first, as backup_database does (BACKUP_… settings). With --no-: "
                    + "not even before --purge and drop.")
    Boolean backup;
    @Option(names = "--purge", description = "At the end, drop what was set aside; takes a backup first.")
    boolean purge;
    @Option(names = "--superuser", negatable = true,
            description = "Create a superuser at the end, or do not ask for it.")
    Boolean superuser;
    @Option(names = "--terminate", scope = ScopeType.INHERIT, description = "End sessions that are in the way.")
    boolean terminate;
    @Option(names = "--allow-replication",
            description = "Continue despite publications, logical slots and prepared transactions.")
    boolean allowReplication;
    @Option(names = "--trust-image",
            description = "Continue although the app's image was built from different code.")
    boolean trustImage;
    @Option(names = "--allow-policy-loss",
            description = "Continue although row security of the old database is not in the new one.")
    boolean allowPolicyLoss;
    @Mixin Cli.Output output;

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

    // ---- reset -------------------------------------------------------------------------------

    @Override public Integer call() throws Exception {
        try {
            return reset();
        } catch (Failure failure) {
            if (DjangoProblem.NoDjango.in(failure) instanceof DjangoProblem.NoDjango missing && installed(missing))
                return reset();
            throw failure;
        }
    }

    private int reset() throws Exception {
        if (losses && !dryRun)
            throw Failure.usage("--losses is for --dry-run").next("leave it out: a reset says what is lost by itself");
        var console = output.console();
        var project = where.project();
        try (var environment = where.environment(project, console::warn)) {
            environment.warnings().forEach(console::warn);
            return reset(console, environment);
        }
    }

    private int reset(Console console, Environment environment) throws Exception {
        var project = environment.project();
        var settings = where.settingsModule();
        var database = environment.database(); // first: it decides what Django's process gets
        try (var folder = dryRun ? null : FolderLock.take(project.root(), "reset_migrations", console::warn);
             var django = Django.start(environment.python(), settings, console::progress);
             var db = Database.open(database);
             var lock = dryRun && !losses ? null : RunLock.take(db)) {
            var options = new Reset.Options(apps, settings, strategy, terminate, allowed(), backup, purge);
            var reset = new Reset(options, environment, django, db, console, () -> backups(project));
            Guards.refuseStandby(db);
            reset.refuseUnfinished(dryRun);
            if (!dryRun) RunStore.sweep(project);
            var plan = reset.plan();
            PlanPrinter.print(console, plan);
            reset.check(plan);
            PlanPrinter.printConsequence(console, plan, purge);
            if (dryRun) {
                if (losses) reset.printLosses(plan);
                console.success("dry run: nothing was changed");
                return ExitCode.DONE.code;
            }
            var findings = plan.findings();
            confirmation.ask(console, findings.snapshot().name(), db.credentials().isLocal(),
                    findings.django().settings().debug());
            lock.requireHeld();
            if (!terminate && confirmation.toTerminate(console, findings.inTheWay().size()))
                plan = reset.terminating(plan);
            reset.run(plan, superuser(console));
            return ExitCode.DONE.code;
        }
    }

    private Set<Reset.Allowed> allowed() {
        var allowed = EnumSet.noneOf(Reset.Allowed.class);
        if (allowReplication) allowed.add(Reset.Allowed.REPLICATION);
        if (trustImage) allowed.add(Reset.Allowed.STALE_IMAGE);
        if (allowPolicyLoss) allowed.add(Reset.Allowed.POLICY_LOSS);
        return allowed;
    }

    private Superuser superuser(Console console) {
        return new Superuser(superuser, !confirmation.yes && console.canAsk(), console.canAsk() && !output.json);
    }

    /** Offers to install what the project needs, where a person can answer. */
    private boolean installed(DjangoProblem.NoDjango missing) {
        var console = output.console();
        if (!console.canAsk() || output.json) return false; // pip's output would be taken for JSON
        var commands = missing.install().stream().map(Program::of).toList();
        var shown = commands.stream().map(Program::toString).collect(Collectors.joining(" && "));
        var question = "%s. Run %s now? Type YES, yes or y:".formatted(missing.what(), shown);
        return console.yes(question) && commands.stream().allMatch(command -> command.interactive() == 0);
    }

    private BackupSettings backups(Project project) {
        return BackupSettings.of(project, where.settings(project));
    }

    // ---- undo, finish, status, purge ---------------------------------------------------------

    /** Without Django: {@code command} needs the database alone. */
    private int locked(String command, LockedProject.Work work) throws Exception {
        var console = output.console();
        try (var environment = where.withoutDjango(where.project(), console::warn)) {
            return LockedProject.run(console, environment, "reset_migrations " + command, work);
        }
    }

    @Command(name = "undo",
            description =
                    "Bring back what the latest reset set aside: the database first, then the files. Drops nothing.")
    static final class Undo implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN", description = "The run (default: the latest).")
        String wanted;

        @Override public Integer call() throws Exception {
            return top.locked("undo", locked -> {
                var undo = UndoPlan.of(locked, wanted, top.terminate);
                PlanPrinter.print(locked.console(), undo, locked.project());
                Guards.writable(locked.project(), undo.folders());
                locked.confirm(top.confirmation);
                undo.run(locked.console());
                return ExitCode.DONE.code;
            });
        }
    }

    @Command(name = "finish",
            description = "Keep the new state of a run that was cut short, if the final check passes.")
    static final class Finish implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN", description = "The run (default: the one that was cut short).")
        String wanted;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            try (var environment = top.where.environment(top.where.project(), console::warn)) {
                return LockedProject.run(console, environment, "reset_migrations finish", locked -> {
                    FinishPlan.of(locked, wanted, top.where.settingsModule()).run(locked);
                    return ExitCode.DONE.code;
                });
            }
        }
    }

    @Command(name = "status",
            description = "Show the runs of this project, which state is live, and what is set aside.")
    static final class Status implements Callable<Integer> {
        @ParentCommand reset_migrations top;

        @Override public Integer call() throws Exception {
            var console = top.output.console();
            var project = top.where.project();
            try (var environment = top.where.withoutDjango(project, console::warn);
                    var db = Database.open(environment.database())) {
                StatusPrinter.print(console, project, db);
            }
            return ExitCode.DONE.code;
        }
    }

    @Command(name = "purge",
            description = "Drop what runs have set aside, oldest first. No other command destroys anything.")
    static final class Purge implements Callable<Integer> {
        @ParentCommand reset_migrations top;
        @Parameters(arity = "0..1", paramLabel = "RUN",
                description = "The run (default, and the only one allowed: the oldest).")
        String wanted;
        @Option(names = "--all", description = "All runs, oldest first.")
        boolean all;
        @Option(names = "--no-backup", description = "Take no verified backup first.")
        boolean noBackup;

        @Override public Integer call() throws Exception {
            return top.locked("purge", locked -> {
                var purge = PurgePlan.of(locked, wanted, all, noBackup
                        ? null : () -> top.backups(locked.project()), top.terminate);
                PlanPrinter.print(locked.console(), purge);
                Guards.writable(locked.project(), purge.folders());
                locked.confirm(top.confirmation);
                purge.run(locked.console(), locked.environment(), () -> Script.RESET_MIGRATIONS.command("purge"));
                return ExitCode.DONE.code;
            });
        }
    }
}
