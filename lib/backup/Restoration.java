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
    private static final String NO_OWNER = "--no-owner";

    private final BackupFile file;
    private final PgPrograms programs;
    private final String into;
    private final List<String> options;
    private final Consumer<String> progress;
    private Contents wanted;
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
                () -> wanted = file.check(progress));
    }

    /** Its run throws the first error of the database; nothing after that error was restored. */
    public Step restore() {
        return Step.of("restore it into " + into, () -> {
            var began = System.nanoTime();
            restoreOnce();
            seconds = (System.nanoTime() - began) / 1e9;
        });
    }

    /** @throws Failure (from run) {@link BadBackup} */
    public Step compare() {
        var how = compares() ? "compare every table with the backup"
                : "count every table: there is nothing to compare with";
        return Step.of(how, () -> {
            restored = dumped();
            var differences = differences();
            if (!differences.isEmpty()) throw BadBackup.restoredDiffers(file.file(), differences);
        });
    }

    private List<String> differences() {
        if (wanted != null) return Differences.between(wanted, restored, ours());
        return ours() ? Differences.between(file.manifest(), restored) : List.of();
    }

    /** Whether there is anything to compare with: an archive lists its content, SQL needs a manifest. */
    public boolean compares() {
        return file.kind() == BackupFile.Kind.ARCHIVE || file.manifest() != null;
    }

    /** Whether rows can be compared: only our own dumps have a known time zone. */
    public boolean ours() {
        return file.manifest() != null;
    }

    /**
     * The major version of the server that was dumped; 0 when unknown: an archive without a manifest tells it once it
     * was checked, SQL never.
     */
    public int serverMajor() {
        return wanted != null ? Contents.major(wanted.server()) : file.serverMajor();
    }

    /** What the file holds, once it was checked; null for SQL. */
    public Contents wanted() {
        return wanted;
    }

    /** What the new database holds. */
    public Contents restored() {
        return restored;
    }

    /** How long the restore itself took. */
    public double seconds() {
        return seconds;
    }

    private void restoreOnce() {
        try {
            if (file.kind() == BackupFile.Kind.SQL) {
                fed(programs.psql(into, file.manifest() == null), true);
                return;
            }
            try {
                fed(programs.restore(into, options), false);
            } catch (Failure failure) {
                if (!isUnknownSetting(failure)) throw failure;
                restoreAsSql(); // that was its first statement: nothing was restored yet
            }
        } catch (Failure failure) {
            throw explained(failure);
        }
    }

    private static boolean isUnknownSetting(Failure failure) {
        return failure.problem() instanceof PgProgramFailed said
                && said.message().contains("unrecognized configuration parameter \"transaction_timeout\"");
    }

    private void fed(Program program, boolean sql) {
        try (var child = RunningProgram.start(program)) {
            child.discardOutput();
            feed(child, sql);
            child.finish(programs::hide);
        }
    }

    /** A program that has read enough closes the pipe; one that misses something says so by its exit code. */
    private void feed(RunningProgram child, boolean sql) {
        try (var in = file.open()) {
            var to = new ProgressStream(sql ? new TransactionTimeoutFilter(child.in()) : child.in(), progress);
            try {
                in.transferTo(to);
                to.close(); // not when reading failed: psql would take half a script for the whole, and commit it
            } catch (ProgressStream.Unwritable closed) {
                // see above
            }
        } catch (IOException damaged) {
            child.kill();
            throw BadBackup.damaged(file.file(), Failure.firstLine(damaged)).causedBy(damaged);
        }
    }

    /** Restores an archive through SQL, without the setting that servers before PostgreSQL 17 do not know. */
    private void restoreAsSql() {
        var toSql = programs.script().with(options.toArray(String[]::new));
        try (var script = RunningProgram.start(toSql); var psql = RunningProgram.start(programs.psql(into, false))) {
            psql.discardOutput();
            var pump = Thread.ofPlatform().daemon().start(() -> {
                try (var to = new TransactionTimeoutFilter(psql.in())) {
                    script.out().transferTo(to);
                } catch (IOException closed) {
                    script.kill(); // psql stopped at an error, and reports it
                }
            });
            feed(script, false);
            pump.join();
            psql.finish(programs::hide);
            script.finish(programs::hide);
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    private Contents dumped() throws IOException {
        try (var child = RunningProgram.start(programs.dump(into))) {
            child.closeInput();
            try {
                var contents = Archive.read(child.out(),
                        new ProgressStream(OutputStream.nullOutputStream(), progress));
                child.finish(programs::hide);
                return contents;
            } catch (IOException endedEarly) {
                child.finish(programs::hide);
                throw endedEarly;
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

    /** The failure of a client program, told by what has to be done; any other failure as it is. */
    private Failure explained(Failure failure) {
        if (!(failure.problem() instanceof PgProgramFailed said)) return failure;
        return explained(said).causedBy(failure);
    }

    private Failure explained(PgProgramFailed said) {
        var path = file.file();
        var words = said.message();
        var extension = NO_EXTENSION.matcher(words);
        if (extension.find()) return Failure.failed("%s needs the extension %s, which this server does not have"
                .formatted(path, extension.group(1) != null ? extension.group(1) : extension.group(2)))
                .next("install it on the server (its package, for example postgresql-16-postgis-3), and try again");
        var denied = EXTENSION_DENIED.matcher(words);
        if (denied.find()) return Failure.failed("%s needs the extension %s, which this role may not create"
                .formatted(path, denied.group(1)))
                .next("ask a superuser to restore it", "verify can use another server: BACKUP_VERIFY_URL in .env");
        if (NO_SPACE.matcher(words).find())
            return Failure.failed("too little space on the server to restore " + path + ":\n"
                    + words.strip().indent(2).stripTrailing())
                    .next("make room on the server's disk");
        var role = NO_ROLE.matcher(words);
        if (role.find()) return Failure.failed("%s names the role %s, which this server does not have"
                .formatted(path, role.group(1)))
                .next(nextStepsForRole(role.group(1)));
        var notRestored = Failure.failed(path + " does not restore: " + said.what());
        return NOT_A_MEMBER.matcher(words).find()
                ? notRestored.next("restore it as a superuser, or everything as your own: --no-owner")
                : notRestored.next(said.next());
    }

    /**
     * The steps to a proven database.
     *
     * @param create the step that creates it, which comes after the check of the file
     */
    public List<Step> steps(Step create) {
        return List.of(check(), create, restore(), compare());
    }

    private List<String> nextStepsForRole(String role) {
        var create = "create the role: CREATE ROLE " + Sql.identifier(role);
        if (options.contains(NO_OWNER)) return List.of(create);
        return List.of(create, "or restore everything as your own: --no-owner");
    }
}
