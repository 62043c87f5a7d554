package lib.error;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.regex.Pattern;
import lib.backup.BackupPrinter;
import lib.django.Description;
import lib.django.NewMigrations;
import lib.files.Text;
import lib.postgres.Sql;
import lib.project.Credentials;

/**
 * Every expected failure as data: what happened and where, what to do next, and the exit code.
 * All wording lives here, so that it is written with one voice and can be read in one sitting.
 * No record may hold a secret.
 */
public interface Problem {
    /** The exit codes, the same in every script. */
    enum Exit {
        DONE(0, "done"),
        FAILED(1, "failed; everything is as it was"),
        USAGE(2, "usage or configuration"),
        PARTLY(
                3,
                "done in part, or failed and not fully put back: the message names what is left and the next command"),
        REFUSED(4, "refused: a guard said no, nothing was touched"),
        BUSY(5, "busy: another run holds the lock"),
        INTERRUPTED(130, "interrupted; everything is as it was");

        public final int code;
        public final String meaning;

        Exit(int code, String meaning) {
            this.code = code;
            this.meaning = meaning;
        }
    }

    Exit exit();

    /** What happened and where, a sentence without a full stop; further lines are details. */
    String what();

    /** What to do next, a line each; may be empty. */
    default List<String> next() {
        return List.of();
    }

    /** The SQLSTATE that PostgreSQL sent, or "". */
    default String sqlState() {
        return "";
    }

    /** True when what this is about can never be put back, so that nothing needs to wait for a second try. */
    default boolean isPermanent() {
        return false;
    }

    /** A problem that no code has to tell from others. */
    record Plain(Exit exit, String what, List<String> next) implements Problem {}

    static Problem of(Exit exit, String what, String... next) {
        return new Plain(exit, what, List.of(next));
    }

    static Problem of(Exit exit, String what, List<String> next) {
        return new Plain(exit, what, List.copyOf(next));
    }

    // ---- running the script ------------------------------------------------------------------

    record Usage(String what, List<String> next) implements Problem {
        public Exit exit() { return Exit.USAGE; }
    }

    record Bug(String what) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "this is a bug in the tool: " + what; }
        public List<String> next() { return List.of("please report it with the lines below"); }
    }

    record Interrupted() implements Problem {
        public Exit exit() { return Exit.INTERRUPTED; }
        public String what() { return "interrupted; everything is as it was"; }
    }

    record DatabaseSaid(String state, String words) implements Problem {
        static DatabaseSaid of(SQLException e) {
            return new DatabaseSaid(e.getSQLState(), e.getMessage() == null ? e.toString() : e.getMessage());
        }
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "PostgreSQL: " + words; }
        public String sqlState() { return state == null ? "" : state; }
    }

    /** @param where the file or folder, or "" when the system did not say; @param words the system's own */
    record FileSystemSaid(String where, String words) implements Problem {
        static FileSystemSaid of(IOException e) {
            var said = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : switch (e) {
                case AccessDeniedException denied -> "permission denied";
                case NoSuchFileException gone -> "it is not there";
                case FileSystemException f -> f.getClass().getSimpleName();
                default -> e.getMessage() == null ? e.toString() : e.getMessage();
            };
            var where = e instanceof FileSystemException f && f.getFile() != null ? f.getFile() : "";
            return new FileSystemSaid(where, where.isEmpty() ? said : said.replace(where + ": ", ""));
        }
        public Exit exit() { return Exit.FAILED; }
        public String what() { return where.isEmpty() ? words : where + ": " + words; }
        public List<String> next() {
            var there = where.isEmpty() ? "" : " " + Path.of(where).getParent();
            if (words.contains("No space left") || words.contains("quota"))
                return List.of("make room there, then start again: df -h" + there + " shows how full it is");
            if (words.contains("ermission denied") || words.contains("not permitted"))
                return List.of(
                        "look at who owns it and who may write: ls -ld" + there + (where.isEmpty() ? "" : " " + where));
            if (words.contains("Read-only")) return List.of("mount it so that it can be written to, then start again");
            return List.of();
        }
    }

    record ProgramFailed(String program, int code, String words) implements Problem {
        public Exit exit() { return Exit.FAILED; }

        public String what() {
            return program + " failed with exit code " + code
                    + (words.isBlank() ? "" : ":\n" + words.strip().indent(2).stripTrailing());
        }
    }

    // ---- the interpreter and Django ----------------------------------------------------------

    // ---- the database ------------------------------------------------------------------------

    // ---- migration files and runs ------------------------------------------------------------

    /** As the locale of this process reads it, which is not what the disk has. */
    record UnusableName(String name) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the file name " + name + " cannot be written in this locale, or is not UTF-8"; }

        public List<String> next() {
            return List.of("run it with LC_ALL=C.UTF-8", "if that does not help, rename the file");
        }
    }

    // ---- backup ------------------------------------------------------------------------------

    /** pg_dump, pg_restore or createdb failed; the words are its own. */
    record PgProgramFailed(String program, int code, String words) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return new ProgramFailed(program, code, words).what(); }
        public List<String> next() {
            if (words.contains("aborting because of server version mismatch")) {
                var server = Pattern.compile("server version: (\\d+)").matcher(words);
                var major = server.find() ? server.group(1) : "N";
                return List.of("install the client of the server's major version: postgresql-client-" + major
                        + " (Debian, Ubuntu), postgresql@" + major + " (Homebrew)");
            }
            if (words.contains("max_locks_per_transaction"))
                return List.of(
                        "it locks every table and sequence at once: raise max_locks_per_transaction in the server's"
                                + " postgresql.conf to their number divided by max_connections, and restart it");
            if (words.contains("unsupported version") && words.contains("in file header"))
                return List.of(
                        "the file is a newer pg_dump's: use a pg_restore of at least its major version (head -c 200"
                                + " FILE | strings shows it)");
            if (words.contains("unrecognized configuration parameter \"transaction_timeout\""))
                return List.of(
                        "this pg_restore (17 or later) sends a setting that the older server does not know: use the"
                                + " pg_restore of the server's major version",
                        "or leave that one line out: ( set -o pipefail; pg_restore -f - FILE | sed '1,30{/^SET"
                                + " transaction_timeout = 0;$/d}' | psql -v ON_ERROR_STOP=1 -d NEW_DATABASE )");
            if (words.contains("password authentication failed") || words.contains("no password supplied"))
                return List.of("look at DB_USER and DB_PASSWORD");
            if (words.contains("lock timeout"))
                return List.of(
                        "somebody holds a lock on a table: see pg_stat_activity and pg_blocking_pids, then try again");
            return List.of();
        }
    }

    // ---- Docker Compose ----------------------------------------------------------------------

    private static String firstTen(List<String> all) {
        return "\n  " + String.join("\n  ", all.stream().limit(10).toList())
                + (all.size() > 10 ? "\n  … and %d more".formatted(all.size() - 10) : "");
    }
}
