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
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.process.RunningProgram;

/**
 * A backup on its way into an empty database: read to its end before anything is touched, restored up to the first error, and
 * then compared, table by table, by dumping the new database in its turn.
 */
public final class Restoration {
    private final BackupFile file;
    private final PgPrograms programs;
    private final String into;
    private final List<String> options;
    private final Consumer<String> progress;
    private Contents wanted;
    private Contents restored;
    private double seconds;

    /**
     * @param programs for the server that {@code into} is on
     * @param options  of pg_restore: {@code --no-owner}, {@code --no-privileges}
     */
    public Restoration(BackupFile file, PgPrograms programs, String into, List<String> options, Consumer<String> progress) {
        programs.requireEncodablePassword();
        this.file = file;
        this.programs = programs;
        this.into = into;
        this.options = options;
        this.progress = progress;
    }

    public Step check() {
        return Step.of("read %s to its end%s".formatted(file.file().getFileName(), file.manifest() == null ? "" : " and compare it with its manifest"), () -> wanted = file.check(progress));
    }

    /** @throws Failure (from run) what the database said first; nothing after that was done */
    public Step restore() {
        return Step.of("restore it into " + into, () -> {
            var began = System.nanoTime();
            restoreOnce();
            seconds = (System.nanoTime() - began) / 1e9;
        });
    }

    /** @throws Failure (from run) {@link BadBackup} */
    public Step compare() {
        return Step.of("compare every table%s".formatted(compares() ? " with the backup" : ": there is nothing to compare with, so count them"), () -> {
            restored = dumped();
            var differences = wanted != null ? Differences.between(wanted, restored, file.manifest() != null) : file.manifest() != null ? Differences.between(file.manifest(), restored) : List.<String>of();
            if (!differences.isEmpty()) throw BadBackup.restoredDiffers(file.file(), differences);
        });
    }

    /** Whether anything tells what has to be in the file: an archive itself does, SQL only with its manifest. */
    public boolean compares() {
        return file.kind() == BackupFile.Kind.ARCHIVE || file.manifest() != null;
    }

    /** Whether rows can be compared: only a dump of ours tells in which time zone it has them. */
    public boolean ours() {
        return file.manifest() != null;
    }

    /** The major version of the server that was dumped; 0 when unknown: an archive without a manifest tells it once it was checked, SQL never. */
    public int serverMajor() {
        return wanted != null ? Contents.major(wanted.server()) : file.serverMajor();
    }

    /** What the file holds, once it was checked; null for what does not tell. */
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
                if (!isNewer(failure)) throw failure;
                throughScript(); // that was its first statement: nothing has been restored yet
            }
        } catch (Failure failure) {
            throw explained(failure, file.file());
        }
    }

    private static boolean isNewer(Failure failure) {
        return failure.problem() instanceof Problem.PgProgramFailed said && said.words().contains("unrecognized configuration parameter \"transaction_timeout\"");
    }

    private void fed(Program program, boolean sql) {
        try (var child = RunningProgram.start(program)) {
            child.discardOutput();
            feed(child, sql);
            child.finish(programs::hide);
        }
    }

    /** A reader that has enough closes the pipe; one that misses something says so by its exit code. */
    private void feed(RunningProgram child, boolean sql) {
        try (var in = file.open()) {
            var to = new ProgressStream(sql ? new OldServer(child.in()) : child.in(), progress);
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

    /** What pg_restore 17 and newer would have an older server do, as SQL without the setting that this does not know. */
    private void throughScript() {
        try (var script = RunningProgram.start(programs.script().with(options.toArray(String[]::new))); var psql = RunningProgram.start(programs.psql(into, false))) {
            psql.discardOutput();
            var pump = Thread.ofPlatform().daemon().start(() -> {
                try (var to = new OldServer(psql.in())) {
                    script.out().transferTo(to);
                } catch (IOException closed) {
                    script.kill(); // psql has stopped at an error, and says so
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
                var contents = Archive.read(child.out(), new ProgressStream(OutputStream.nullOutputStream(), progress));
                child.finish(programs::hide);
                return contents;
            } catch (IOException endedEarly) {
                child.finish(programs::hide);
                throw endedEarly;
            }
        }
    }

    // ---- what the database said --------------------------------------------------------------

    private static final Pattern EXTENSION = Pattern.compile("extension \"([^\"]+)\" is not available|could not open extension control file \"(?:.*/)?([^/\"]+)\\.control\"");
    private static final Pattern MAY_NOT = Pattern.compile("permission denied to create extension \"([^\"]+)\"");
    private static final Pattern ROLE = Pattern.compile("role \"([^\"]+)\" does not exist");
    private static final Pattern SPACE = Pattern.compile("(?i)no space left on device|could not extend file|disk quota exceeded");

    static Failure explained(Failure failure, Path file) {
        if (!(failure.problem() instanceof Problem.PgProgramFailed said)) return failure;
        var words = said.words();
        var extension = EXTENSION.matcher(words);
        if (extension.find()) return new Failure(new Problem.MissingExtension(file, extension.group(1) != null ? extension.group(1) : extension.group(2), false), failure);
        var mayNot = MAY_NOT.matcher(words);
        if (mayNot.find()) return new Failure(new Problem.MissingExtension(file, mayNot.group(1), true), failure);
        if (SPACE.matcher(words).find()) return new Failure(new Problem.NoSpace(file, words), failure);
        var role = ROLE.matcher(words);
        if (role.find()) return new Failure(new Problem.MissingRole(file, role.group(1)), failure);
        return new Failure(new Problem.NotRestored(file, said), failure);
    }

    /** The steps from an empty database to a proven one; the first of them is done before there is one. */
    public List<Step> steps(Step create) {
        return List.of(check(), create, restore(), compare());
    }
}
