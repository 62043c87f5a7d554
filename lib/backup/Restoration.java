package lib.backup;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import lib.backup.archive.Archive;
import lib.backup.archive.Contents;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Step;
import lib.postgres.PgProgramFailed;
import lib.postgres.PgPrograms;
import lib.postgres.RunningProgram;
import lib.postgres.Sql;
import lib.process.Program;

/**
 * Restores a backup into an empty database: reads it to its end before anything is touched, restores it up to the first
 * error, then dumps the new database and compares it, table by table.
 */
public final class Restoration {
    private final BackupFile file;
    private final PgPrograms programs;
    private final String into;
    private final List<String> options;
    private final Consumer<String> progress;
    private Contents archived;
    private Contents restored;
    private double seconds;

    /**
     * @param programs for the server of {@code into}
     * @param options  for pg_restore: {@code --no-owner}, {@code --no-privileges}
     */
    public Restoration(BackupFile file, PgPrograms programs, String into, List<String> options,
            Consumer<String> progress) {
        programs.requireEncodablePassword();
        this.file = file;
        this.programs = programs;
        this.into = into;
        this.options = options;
        this.progress = progress;
    }

    public Step check() {
        var manifest = file.manifest() == null ? "" : " and compare it with its manifest";
        return Step.of("read %s to its end%s".formatted(file.file().getFileName(), manifest),
                () -> archived = file.check(progress));
    }

    /** Its run throws the first error of the database; nothing after that error was restored. */
    public Step restore() {
        return Step.of("restore it into " + into, () -> {
            var began = System.nanoTime();
            try {
                if (file.kind() == BackupFile.Kind.SQL) restoreSql();
                else restoreArchive();
            } catch (Failure failure) {
                throw explained(failure);
            }
            seconds = (System.nanoTime() - began) / 1e9;
        });
    }

    /** @throws Failure (from run) {@link BadBackup} */
    public Step compare() {
        var how = hasContents() ? "compare every table with the backup"
                : "count every table: there is nothing to compare with";
        return Step.of(how, () -> {
            restored = dumpRestored();
            var differences = differences();
            if (!differences.isEmpty()) throw BadBackup.restoredDiffers(file.file(), differences);
        });
    }

    private List<String> differences() {
        if (archived != null) return Differences.between(archived, restored, comparesRows());
        return comparesRows() ? Differences.between(file.manifest(), restored) : List.of();
    }

    /** Whether the content of the file is known, to compare with: an archive lists it, SQL needs a manifest. */
    public boolean hasContents() {
        return file.kind() == BackupFile.Kind.ARCHIVE || file.manifest() != null;
    }

    /** Whether rows are compared, not only counted: only our own dumps have a known time zone. */
    public boolean comparesRows() {
        return file.manifest() != null;
    }

    /** The dumped server's major version; 0 when unknown: an archive without a manifest before its check, and SQL. */
    public int serverMajor() {
        return archived != null ? Contents.major(archived.header().server()) : file.serverMajor();
    }

    /** What the file holds; of SQL, what was restored from it. */
    Contents contents() {
        return archived != null ? archived : restored;
    }

    /** What the new database holds. */
    public Contents restored() {
        return restored;
    }

    /** How long the restore itself took. */
    double seconds() {
        return seconds;
    }

    private void restoreSql() {
        restoreWith(programs.psql(into, file.manifest() == null), true);
    }

    private void restoreArchive() {
        try {
            restoreWith(programs.restore(into, options), false);
        } catch (Failure failure) {
            var isUnknownSetting = failure.problem() instanceof PgProgramFailed failed
                    && failed.message().contains("unrecognized configuration parameter \"transaction_timeout\"");
            if (!isUnknownSetting) throw failure;
            restoreArchiveAsSql(); // that was its first statement: nothing was restored yet
        }
    }

    private void restoreWith(Program program, boolean sql) {
        try (var running = RunningProgram.start(program)) {
            running.discardOutput();
            feed(running, sql);
            running.finish(programs::hide);
        }
    }

    /** A program that has read enough closes the pipe; one that misses something reports it by its exit code. */
    private void feed(RunningProgram program, boolean sql) {
        try (var in = file.open()) {
            var to = new ProgressStream(sql ? new TransactionTimeoutFilter(program.in()) : program.in(), progress);
            try {
                in.transferTo(to);
                to.close(); // not when reading failed: psql would take half a script for the whole, and commit it
            } catch (ProgressStream.Unwritable closed) {
                // see above
            }
        } catch (IOException damaged) {
            program.kill();
            throw BadBackup.damaged(file.file(), Failure.firstLine(damaged)).causedBy(damaged);
        }
    }

    /** Restores an archive through SQL, without the setting that servers before PostgreSQL 17 do not know. */
    private void restoreArchiveAsSql() {
        var toSql = programs.script().with(options.toArray(String[]::new));
        try (var script = RunningProgram.start(toSql); var psql = RunningProgram.start(programs.psql(into, false))) {
            psql.discardOutput();
            var copying = Thread.ofPlatform().daemon().start(() -> {
                try (var to = new TransactionTimeoutFilter(psql.in())) {
                    script.out().transferTo(to);
                } catch (IOException closed) {
                    script.kill(); // psql stopped at an error, and reports it
                }
            });
            feed(script, false);
            copying.join();
            psql.finish(programs::hide);
            script.finish(programs::hide);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    private Contents dumpRestored() throws IOException {
        try (var pgDump = RunningProgram.start(programs.dump(into))) {
            pgDump.closeInput();
            try {
                return Archive.read(pgDump.out(), new ProgressStream(OutputStream.nullOutputStream(), progress));
            } finally {
                pgDump.finish(programs::hide); // its own failure is reported rather than an archive that ends early
            }
        }
    }

    // ---- what the database said --------------------------------------------------------------

    private static final Pattern NO_EXTENSION = Pattern.compile("extension \"([^\"]+)\" is not available"
            + "|could not open extension control file \"(?:.*/)?([^/\"]+)\\.control\"");
    private static final Pattern EXTENSION_DENIED =
            Pattern.compile("permission denied to create extension \"([^\"]+)\"");
    private static final Pattern NO_ROLE = Pattern.compile("role \"([^\"]+)\" does not exist");
    private static final Pattern NO_SPACE =
            Pattern.compile("(?i)no space left on device|could not extend file|disk quota exceeded");
    private static final Pattern NOT_A_MEMBER = Pattern.compile("must be member of role|must be able to SET ROLE");

    /** The failure of a client program, with what to do about it; any other failure as it is. */
    private Failure explained(Failure failure) {
        return failure.problem() instanceof PgProgramFailed failed ? explained(failed).causedBy(failure) : failure;
    }

    private Failure explained(PgProgramFailed failed) {
        var path = file.file();
        var message = failed.message();
        var missing = find(NO_EXTENSION, message);
        if (missing != null)
            return Failure.failed("%s needs the extension %s, which this server does not have".formatted(path, missing))
                    .next("install it on the server (its package, for example postgresql-16-postgis-3), and try again");
        var denied = find(EXTENSION_DENIED, message);
        if (denied != null)
            return Failure.failed("%s needs the extension %s, which this role may not create".formatted(path, denied))
                    .next("ask a superuser to restore it", "verify can use another server: BACKUP_VERIFY_URL in .env");
        if (NO_SPACE.matcher(message).find())
            return Failure.failed("too little space on the server to restore " + path + ":\n"
                    + message.strip().indent(2).stripTrailing()).next("make room on the server's disk");
        var role = find(NO_ROLE, message);
        if (role != null) {
            var create = "create the role: CREATE ROLE " + Sql.identifier(role);
            return Failure.failed("%s names the role %s, which this server does not have".formatted(path, role))
                    .next(options.contains("--no-owner") ? List.of(create)
                            : List.of(create, "or restore everything as your own: --no-owner"));
        }
        return Failure.failed(path + " does not restore: " + failed.what()).next(NOT_A_MEMBER.matcher(message).find()
                ? List.of("restore it as a superuser, or everything as your own: --no-owner") : failed.next());
    }

    /** What a group of the pattern matches, or null. */
    private static String find(Pattern pattern, String message) {
        var found = pattern.matcher(message);
        if (!found.find()) return null;
        return found.group(1) == null ? found.group(2) : found.group(1);
    }

    /**
     * The steps to a proven database.
     *
     * @param create the step that creates it, which comes after the check of the file
     */
    public List<Step> steps(Step create) {
        return List.of(check(), create, restore(), compare());
    }
}
