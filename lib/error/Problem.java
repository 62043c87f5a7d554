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
        PARTLY(3, "done in part, or failed and not fully put back: the message names what is left and the next command"),
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

    record NotPurged(String run) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "what was set aside is still there, to go back to"; }
        public List<String> next() { return List.of("when all is well: reset_migrations purge " + run); }
    }

    record NoSuperuser(String words, boolean withoutTerminal, String command) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "the reset is done, but createsuperuser failed: " + words; }
        public List<String> next() {
            var again = "run it again: " + command;
            return withoutTerminal ? List.of("without a terminal, DJANGO_SUPERUSER_USERNAME, _EMAIL and _PASSWORD have to be set", again) : List.of(again);
        }
    }

    /** createsuperuser looks at the migrations first. */
    record NoSuperuserYet(String command) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "no superuser was made: the image still has the old migration files"; }
        public List<String> next() { return List.of("once it is built: " + command); }
    }

    /** The reset holds, and something that was to come after it failed. @param again the command that does it, or null */
    record DoneBut(Problem first, String again) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "the reset is done, but what was to follow is not: " + (first instanceof Interrupted ? "interrupted" : first.what()); }
        public List<String> next() {
            return again == null ? first.next() : java.util.stream.Stream.concat(first.next().stream(), java.util.stream.Stream.of("then: " + again)).toList();
        }
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
            if (words.contains("No space left") || words.contains("quota")) return List.of("make room there, then start again: df -h" + there + " shows how full it is");
            if (words.contains("ermission denied") || words.contains("not permitted")) return List.of("look at who owns it and who may write: ls -ld" + there + (where.isEmpty() ? "" : " " + where));
            if (words.contains("Read-only")) return List.of("mount it so that it can be written to, then start again");
            return List.of();
        }
    }

    /** Found before anything is touched, so that a plan that is going to fail is not begun. @param folders, each with what is to be written there */
    record NotWritable(List<String> folders) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "nothing was touched, because what has to be written to is not writable:\n  " + String.join("\n  ", folders); }
        public List<String> next() { return List.of("run this as their owner, or give yourself the right to write there (chown, chmod, mount)"); }
    }

    record ProgramFailed(String program, int code, String words) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return program + " failed with exit code " + code + (words.isBlank() ? "" : ":\n" + words.strip().indent(2).stripTrailing()); }
    }

    // ---- the interpreter and Django ----------------------------------------------------------

    record NotTheSame(Credentials ours, String theirs, String error) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() {
            return ".env and Django name different databases:\n  " + sources(ours) + ": " + ours
                    + "\n  Django's settings: " + theirs + (error == null ? "" : "\n  Django cannot connect: " + error);
        }
        public List<String> next() { return List.of("make them agree: often the backend has a .env of its own, or the settings have other defaults"); }

        private static String sources(Credentials ours) {
            return String.join(", ", ours.sources().values().stream().distinct().toList());
        }
    }

    record NotPostgresInSettings(String engine) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "Django's default database has the engine " + engine + "; only PostgreSQL can be reset"; }
        public List<String> next() { return List.of("check DATABASES in the settings, or give --settings MODULE"); }
    }

    record Pinned(List<Description.Reference> references) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() {
            return "migrations that stay name migrations that would go:\n  " + String.join("\n  ", references.stream().map(pin ->
                    "%s.%s (%s) names %s.%s".formatted(pin.app(), pin.migration(), pin.kind(), pin.toApp(), pin.toMigration())).toList());
        }
        public List<String> next() {
            return references.stream().anyMatch(Description.Reference::own)
                    ? List.of("reset those apps together: leave --apps away, or add them to it")
                    : List.of("a package cannot depend on a project's migration by name: have it depend on __first__, or make its migrations the project's own with MIGRATION_MODULES");
        }
    }

    /** @param own labels of the project's own apps */
    record NeedsOtherApps(List<NewMigrations.RequiredChange> required, List<String> own) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() {
            return "the new migrations need changes in apps that are not reset:\n  "
                    + String.join("\n  ", required.stream().map(need -> "%s (%s) needs a migration in %s (%s)"
                            .formatted(need.app(), need.operation(), need.otherApp(), need.change())).toList());
        }
        public List<String> next() {
            return required.stream().map(NewMigrations.RequiredChange::otherApp).distinct().map(app -> own.contains(app)
                    ? "reset " + app + " too: leave --apps away, or add it"
                    : "make the migrations of " + app
                            + " the project's own with MIGRATION_MODULES, or do without that change").toList();
        }
    }

    record NotAMigration(List<Path> files) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() {
            return "in a migrations folder, but no migration, so Django cannot load the app's migrations:\n  "
                    + String.join("\n  ", files.stream().map(Path::toString).toList());
        }
        public List<String> next() { return List.of("move it elsewhere, or give it a name that begins with _"); }
    }

    record NoOwnApps() implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "no app of the project has migrations to reset"; }
        public List<String> next() { return List.of("check --project and --settings: these decide what is the project's own"); }
    }

    record CheckFailed(List<String> findings) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "the new state does not hold:\n  " + String.join("\n  ", findings); }
        public List<String> next() { return List.of("please report it: the build beside had passed the same checks"); }
    }

    // ---- the database ------------------------------------------------------------------------

    record Standby(String database) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "database " + database + " is on a standby server: it cannot be written to"; }
        public List<String> next() { return List.of("name the primary server in DB_HOST"); }
    }

    record Protected(String database, String comment) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "database " + Text.line(database) + " is marked as protected by its comment: " + Text.line(comment); }
        public List<String> next() {
            return List.of("if that is no longer meant, unmark it in psql:", "COMMENT ON DATABASE " + Sql.identifier(database) + " IS NULL;");
        }
    }

    record Replicated(String database, List<String> found) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "a reset of database %s would reach others:\n  %s".formatted(database, String.join("\n  ", found)); }
        public List<String> next() { return List.of("finish or remove them, or accept it with --allow-replication"); }
    }

    record CannotSwap(String database, List<String> obstacles) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "database %s cannot be swapped:\n  %s".formatted(database, String.join("\n  ", obstacles)); }
        public List<String> next() { return List.of("leave --strategy out, or give --strategy park"); }
    }

    record AskDba(String why, List<String> lines) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return why; }
        public List<String> next() {
            var all = new java.util.ArrayList<>(List.of("have the database's administrator run, in this database:"));
            all.addAll(lines);
            return all;
        }
    }

    record ForeignKeysFromOutside(String schema, List<String> keys) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "foreign keys of other schemas hold on to tables of schema %s and would follow them aside:\n  %s".formatted(schema, String.join("\n  ", keys)); }
        public List<String> next() { return List.of("drop them, and make them again after the reset"); }
    }

    record CascadeReaches(String dropped, List<String> reached) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "dropping %s would take along:\n  %s".formatted(dropped, String.join("\n  ", reached)); }
        public List<String> next() { return List.of("drop these, or hand them over, if they are to go"); }
    }

    record ChangedSincePlan(String where) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return where + " has changed since the plan was made"; }
        public List<String> next() { return List.of("start again"); }
    }

    record NothingAside(String run) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "what run " + run + " set aside is no longer there: it was purged, or renamed by hand"; }
        public List<String> next() { return List.of("restore a backup if the old state is needed"); }
    }

    record HalfWay(String run) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "run " + run + " was ended half way: its old state is partly in use"; }
        public List<String> next() { return List.of("bring it together with undo first"); }
    }

    /** Purge was asked for and went part of the way. */
    record Purged(String where) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public boolean isPermanent() { return true; }
        public String what() { return where + " is purged, for good"; }
    }

    record HoldsAnotherRun(String where, List<String> held) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "%s still holds what another run set aside:\n  %s".formatted(where, String.join("\n  ", held)); }
        public List<String> next() { return List.of("purge that run first, or keep both; if its record is lost, look into that schema, and drop it by hand once nobody needs it"); }
    }

    /** @param backup the file, or null when it is not known here, or was declined */
    record OnlyBackupHasIt(String database, String backup) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public boolean isPermanent() { return true; }
        public String what() {
            return "tables of database " + database + " were dropped: " + (backup == null ? "only a backup has them" : "only the backup " + backup + " has them");
        }
        public List<String> next() { return List.of(restore(database, backup)); }

        /** What brings the old tables back, beside the database that is in use. */
        public static String restore(String database, String backup) {
            return (backup == null ? "backup_database restore FILE" : BackupPrinter.restore(Path.of(backup))) + " --into %s_old".formatted(database);
        }
    }

    // ---- migration files and runs ------------------------------------------------------------

    /** As the locale of this process reads it, which is not what the disk has. */
    record UnusableName(String name) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the file name " + name + " cannot be written in this locale, or is not UTF-8"; }
        public List<String> next() { return List.of("run it with LC_ALL=C.UTF-8", "if that does not help, rename the file"); }
    }

    /** @param files every copy that there is */
    record UnreadableRun(List<Path> files) implements Problem {
        public Exit exit() { return Exit.USAGE; }
        public String what() {
            return "the record of a run cannot be read, for it is damaged or another version's: " + String.join(" and ", files.stream().map(Path::toString).toList());
        }
        public List<String> next() {
            return List.of("use the version that wrote it, or put a copy of the file back from a backup of this disk",
                    "what the run set aside is not lost: reset_migrations status names it, and the SQL that brings it back",
                    "to go on without the record, move " + String.join(" and ", files.stream().map(file -> file.getParent().toString()).toList()) + " away");
        }
    }

    /** What stands aside is there, but no record that says how it was. @param aside in words */
    record NoRecord(List<String> aside) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "set aside by a run whose record is not here:\n  " + String.join("\n  ", aside); }
        public List<String> next() {
            return List.of("undo and purge go by the record: run them where the reset was run, or bring its folder here, from .reset/ there or ~/.local/state/reset_migrations",
                    "or by hand: reset_migrations status has the SQL");
        }
    }

    record NoRun(String wanted, List<String> known) implements Problem {
        public Exit exit() { return Exit.USAGE; }
        public String what() {
            return (wanted == null ? "no reset to go back to" : "no run called " + wanted)
                    + (known.isEmpty() ? ": no run is known for this project" : "; known runs: " + String.join(", ", known));
        }
        public List<String> next() { return List.of("see reset_migrations status"); }
    }

    record NotTheLatest(String wanted, String latest) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return wanted + " is not the latest run: " + latest + " came after it and has to be undone first"; }
        public List<String> next() { return List.of("reset_migrations undo " + latest); }
    }

    record NotTheOldest(String wanted, String oldest) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "%s is not the first to purge: %s is older, or went aside within it".formatted(wanted, oldest); }
        public List<String> next() { return List.of("reset_migrations purge " + oldest, "reset_migrations purge --all"); }
    }

    record OtherDatabase(String run, String then, String now) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the run " + run + " was made on " + then + ", but the settings now name " + now; }
        public List<String> next() { return List.of("set .env to that database, or give --env-file"); }
    }

    record RunStays(String id) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "not everything is back, so .reset/" + id + " stays for undo"; }
    }

    record UnfinishedRun(String id) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the run " + id + " was cut short and has not been put back"; }
        public List<String> next() {
            return List.of("reset_migrations undo " + id + "  brings the old state back",
                    "reset_migrations finish " + id + "  keeps the new state, if that is live and proves to be whole",
                    "reset_migrations status  says what holds now");
        }
    }

    /** @param why the new state cannot be called whole */
    record NotToFinish(String id, String why) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the run " + id + " cannot be finished: " + why; }
        public List<String> next() { return List.of("reset_migrations undo " + id + "  brings the old state back"); }
    }

    /** After drop there is no undo. */
    record NotToFinishDropped(String id, String why, String restore) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the run " + id + " cannot be finished: " + why; }
        public List<String> next() { return List.of("reset again: reset_migrations", "the old tables: " + restore); }
    }

    record NothingToFinish(String wanted, List<String> known) implements Problem {
        public Exit exit() { return Exit.USAGE; }
        public String what() {
            return (wanted == null ? "no run was cut short" : "no run " + wanted + " that was cut short")
                    + (known.isEmpty() ? ": no run is known for this project" : "; known runs: " + String.join(", ", known));
        }
        public List<String> next() { return List.of("see reset_migrations status"); }
    }

    /** @param ended done, undone */
    record NotRecorded(String id, String ended, String words, String command) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() { return "the run " + id + " is " + ended + ", but that could not be written down: " + words; }
        public List<String> next() { return List.of("when that is mended: " + command); }
    }

    record FinishElsewhere(String run, String root) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the run " + run + " was made in " + root + ": its files are there, and only there can it be checked"; }
        public List<String> next() { return List.of("reset_migrations finish " + run + " --project " + root); }
    }

    record HalfPurged(String id) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "run " + id + " was being purged: what it set aside is no longer whole"; }
        public List<String> next() {
            return List.of("reset_migrations purge " + id + "  ends it", "see the backup taken before: backup_database list");
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
                return List.of("it locks every table and sequence at once: raise max_locks_per_transaction in the server's postgresql.conf to their number divided by max_connections, and restart it");
            if (words.contains("unsupported version") && words.contains("in file header"))
                return List.of("the file is a newer pg_dump's: use a pg_restore of at least its major version (head -c 200 FILE | strings shows it)");
            if (words.contains("unrecognized configuration parameter \"transaction_timeout\""))
                return List.of("this pg_restore (17 or later) sends a setting that the older server does not know: use the pg_restore of the server's major version",
                        "or leave that one line out: ( set -o pipefail; pg_restore -f - FILE | sed '1,30{/^SET transaction_timeout = 0;$/d}' | psql -v ON_ERROR_STOP=1 -d NEW_DATABASE )");
            if (words.contains("password authentication failed") || words.contains("no password supplied"))
                return List.of("look at DB_USER and DB_PASSWORD");
            if (words.contains("lock timeout"))
                return List.of("somebody holds a lock on a table: see pg_stat_activity and pg_blocking_pids, then try again");
            return List.of();
        }
    }

    /** @param first why not */
    record NothingDestroyed(Problem first) implements Problem {
        public Exit exit() { return first.exit(); }
        public String what() { return "no backup could be taken, so nothing was destroyed: " + first.what(); }
        public List<String> next() { return first.next(); }
    }

    record ReachesBeyond(Path file, long line, String text) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "line %,d of %s would reach beyond the new database: %s".formatted(line, file, text); }
        public List<String> next() {
            return List.of("dump without --create (and not with pg_dumpall), or take such lines out of the file first: nothing was touched");
        }
    }

    record MissingExtension(Path file, String extension, boolean mayNot) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() {
            return mayNot ? "%s needs the extension %s, which this role may not create".formatted(file, extension)
                    : "%s needs the extension %s, which this server does not have".formatted(file, extension);
        }
        public List<String> next() {
            return List.of(mayNot ? "ask a superuser, or restore as one; verify can use another server: BACKUP_VERIFY_URL in .env"
                    : "install it on the server (its packages, as postgresql-N-postgis), and try again; the file itself is good as far as it was read");
        }
    }

    record MissingRole(Path file, String role) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "%s gives things to the role %s, which this server does not have".formatted(file, role); }
        public List<String> next() { return List.of("create the role, or restore all of it as your own: --no-owner"); }
    }

    record NoSpace(Path file, String words) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "too little space on the server to restore " + file + ":\n" + words.strip().indent(2).stripTrailing(); }
        public List<String> next() { return List.of("make room on the server's disk; the file itself is good as far as it was read"); }
    }

    record NotRestored(Path file, PgProgramFailed said) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return file + " does not restore: " + said.what(); }
        public List<String> next() {
            var anothers = said.words().contains("must be member of role") || said.words().contains("must be able to SET ROLE");
            return anothers ? List.of("restore as a superuser, or all of it as your own: --no-owner") : said.next();
        }
    }

    record NotOurs(String database, List<String> reasons) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "database %s cannot be replaced by the restored one: %s".formatted(database, String.join("; ", reasons)); }
        public List<String> next() { return List.of("ask the administrator (ALTER ROLE … CREATEDB), or the database's owner"); }
    }

    record MayNotCreate(String role) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "role " + role + " may not create databases, and a restore goes into a new one"; }
        public List<String> next() { return List.of("ask the administrator: ALTER ROLE " + Sql.identifier(role) + " CREATEDB", "to see whether it restores at all, verify can use another server: BACKUP_VERIFY_URL in .env"); }
    }

    record DatabaseExists(String name) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "a database " + name + " exists already; a restore goes into a new one only"; }
        public List<String> next() { return List.of("give a name that is free: --into NAME"); }
    }

    // ---- packing and sealing -----------------------------------------------------------------

    record NoCompression(String given) implements Problem {
        public Exit exit() { return Exit.USAGE; }
        public String what() { return "\"" + given + "\" is no compression"; }
        public List<String> next() { return List.of("give zstd, zstd:1 to zstd:19, gzip, gzip:1 to gzip:9, or none"); }
    }

    record NoZstd(String words) implements Problem {
        public Exit exit() { return Exit.FAILED; }
        public String what() { return "zstd's native library does not load: " + words; }
        public List<String> next() {
            return List.of("it is unpacked into the temporary folder, which must not be mounted noexec: give another one by JAVA_TOOL_OPTIONS=-DZstdTempFolder=DIR",
                    "or pack with gzip: --compress gzip");
        }
    }

    // ---- Docker Compose ----------------------------------------------------------------------

    /** A server in a container that was made anew, with a new volume. */
    record EmptyNow(String name) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the database " + name + " has no tables, in a container that was made anew by all appearances: there is nothing to back up"; }
        public List<String> next() { return List.of("see whether its volume was removed or renamed: docker volume ls", "if it is really new, start the service first, or give the new one's backups a folder of their own: --dir"); }
    }

    record ImageOlder(String build, String service, List<String> differing) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the image of service %s was built from other code than is here:".formatted(service) + firstTen(differing); }
        public List<String> next() {
            return List.of(build, "or, where the image is meant to have its own of these: --trust-image");
        }
    }

    /** Another volume over the code's folder, or an engine that shares no files with this machine. */
    record OtherCodeInside(String service, List<String> differing) implements Problem {
        public Exit exit() { return Exit.REFUSED; }
        public String what() { return "the code's folder is mounted into the container of service %s, but it sees other files there than lie here:".formatted(service) + firstTen(differing); }
        public List<String> next() {
            return List.of("see the service's volumes in the compose file: another one may lie over this folder", "or name another service with Django: --app-service");
        }
    }

    private static String firstTen(List<String> all) {
        return "\n  " + String.join("\n  ", all.stream().limit(10).toList()) + (all.size() > 10 ? "\n  … and %d more".formatted(all.size() - 10) : "");
    }

    /** An entrypoint may take migrations for stale by their names. @param run what it was that wrote them */
    record ChangedByServices(String logs, String run, List<String> files, String services) implements Problem {
        public Exit exit() { return Exit.PARTLY; }
        public String what() {
            return "the reset is done, but since %s started again new migration files are gone or changed; an entrypoint may delete or rewrite migrations:\n  ".formatted(services) + String.join("\n  ", files);
        }
        public List<String> next() { return List.of("see " + logs + ", and the entrypoint", "to go back: reset_migrations undo " + run); }
    }

}
