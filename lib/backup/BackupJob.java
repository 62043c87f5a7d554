package lib.backup;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Text;
import lib.plan.Plan;
import lib.postgres.PgPrograms;
import lib.process.Shell;
import lib.project.Credentials;

/**
 * One run of {@code create}: a backup, and what follows it: the shrinkage alarm, pruning, the off-site copy. Start
 * and end are reported to the dead man's switch.
 *
 * @param needed see {@link Prune}
 */
public record BackupJob(
        Console console, BackupOptions.CreateSettings settings, Credentials database, Map<String, String> needed) {

    /**
     * @param connect checks the database and finds PostgreSQL's programs for it; its failures are reported too
     * @throws Failure 3 when the backup is good, and something that follows it failed
     */
    public void run(Supplier<PgPrograms> connect) throws Exception {
        var ping = settings.ping();
        try {
            create(connect);
        } catch (Failure e) {
            var failure = describe(e);
            var problem = failure.problem();
            var isBusy = problem.exit() == ExitCode.BUSY; // the backup that is running will report its own end
            if (ping != null && !isBusy) ping.fail(problem.exit().code, problem.what()).forEach(console::warn);
            throw failure;
        }
        if (ping != null) ping.success().forEach(console::warn);
    }

    /** The newest good backup of the database, or null. */
    public BackupFolder.Entry previous() {
        return folder().newestGood(database);
    }

    private BackupFolder folder() {
        return settings.backups().folder();
    }

    private void create(Supplier<PgPrograms> connect) throws Exception {
        var noRemote = checkRemote();
        var previous = previous();
        var programs = connect.get();
        console.heading("Backing up " + database + " into " + folder().path());
        var backup = write(programs);
        BackupPrinter.printCreated(console, backup);
        var failures = new ArrayList<>(shrinkage(previous, backup));
        var mayPrune = failures.isEmpty();
        if (mayPrune) failures.addAll(prune());
        failures.addAll(noRemote.isEmpty() ? copyOffSite(backup, mayPrune) : noRemote);
        BackupPrinter.printList(console, folder().list(database).stream().limit(5).toList());
        if (!failures.isEmpty()) throw goodBut(backup.file(), failures);
    }

    private Backup write(PgPrograms programs) throws Exception {
        try (var writer = settings.backups().writer(programs, console::progress)) {
            if (settings.ping() != null) settings.ping().start();
            new Plan(writer.steps()).run(console, () -> Shell.line("ls", "-l", folder().path().toString()));
            return writer.backup();
        }
    }

    // ---- what follows; each returns its failures ---------------------------------------------

    /** A network that is down, or a disk that is not mounted, does not prevent the local backup. */
    private List<Problem> checkRemote() {
        try {
            if (settings.backups().remote() != null) settings.backups().remote().require();
            return List.of();
        } catch (Failure failure) {
            var problem = failure.problem();
            if (problem instanceof Problem.Interrupted) throw failure;
            console.warn("there will be no off-site copy: " + problem.what());
            return partly("there is no off-site copy: " + problem.what(), problem.next());
        }
    }

    private static List<Problem> partly(String what, List<String> next) {
        return List.of(Problem.of(ExitCode.PARTLY, what, next));
    }

    private List<Problem> shrinkage(BackupFolder.Entry previous, Backup backup) {
        if (previous == null) return List.of();
        var shrunk = settings.alarm().between(previous.manifest().sizes(), backup.manifest().sizes());
        shrunk.forEach(shrinkage -> console.warn("much less than in the last good backup: " + shrinkage));
        if (!settings.alarm().strict() || shrunk.isEmpty()) return List.of();
        var what = shrunk.stream().map(ShrinkageAlarm.Shrinkage::toString).collect(Collectors.joining("; "));
        return partly("much less than in the last good backup: " + what, List.of("look at the database; if the loss is"
                + " intended, do nothing: the next backup is compared with this one"));
    }

    private List<Problem> prune() {
        var policy = settings.policy();
        if (policy.keepsAll()) return List.of();
        try {
            var pruned = new Prune(folder(), database, policy, needed).run();
            var names = pruned.stream().map(file -> file.getFileName().toString()).collect(Collectors.joining(", "));
            if (!pruned.isEmpty()) console.note("pruned, keeping %s: %s".formatted(policy, names));
            console.event("pruned", Map.of("files", pruned.stream().map(Path::toString).toList()));
            return List.of();
        } catch (Failure failure) {
            var problem = failure.problem();
            return partly("older backups could not be pruned: " + problem.what(), problem.next());
        }
    }

    private List<Problem> copyOffSite(Backup backup, boolean mayPrune) throws Exception {
        var remote = settings.backups().remote();
        if (remote == null) return List.of();
        var offSite = new OffSite(remote, database);
        try {
            console.during("copying off-site", () -> offSite.uploadMissing(folder(), backup.file(), console))
                    .forEach(copy -> console.success("off-site: " + copy));
            if (!mayPrune) return List.of();
            var pruned = offSite.prune(settings.policy());
            if (!pruned.isEmpty()) console.note("pruned there: " + String.join(", ", pruned));
            return List.of();
        } catch (Failure failure) {
            if (!(failure.problem() instanceof Problem.Interrupted)) return List.of(failure.problem());
            return partly("the off-site copy was interrupted", List.of("the next backup copies this one too"));
        }
    }

    // ---- failures ----------------------------------------------------------------------------

    private static Failure goodBut(Path file, List<Problem> failures) {
        var what = failures.stream().map(Problem::what).collect(Collectors.joining("; "));
        return Failure.partly("the backup %s is good, but: %s".formatted(file, what))
                .next(failures.stream().flatMap(problem -> problem.next().stream()).distinct().toList());
    }

    /** For the reader of a mail from cron: which database it is, and whether there is an earlier backup. */
    private Failure describe(Failure failure) {
        var problem = failure.problem();
        if (problem.exit() == ExitCode.PARTLY || problem.exit() == ExitCode.INTERRUPTED) return failure;
        var age = folder().status(database).age();
        var newest = age == null ? "there is no good one" : "the newest good one is " + Text.duration(age) + " old";
        var what = "no backup of %s was made (%s): %s".formatted(database.database(), newest, problem.what());
        return new Failure(Problem.of(problem.exit(), what, problem.next()), failure);
    }
}
