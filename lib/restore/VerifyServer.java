package lib.restore;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import lib.backup.BackupFile;
import lib.backup.Restoration;
import lib.cli.Console;
import lib.environment.Environment;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Plan;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.PgPrograms;
import lib.postgres.Sql;
import lib.project.Credentials;
import lib.project.Settings;

/**
 * The server that a backup is restored into to prove it: the project's own, or the one that BACKUP_VERIFY_URL names.
 * The scratch database is always dropped; a later run drops what a killed one has left.
 *
 * @param database any database of the server
 * @param programs that fit the server, of at least this major version
 * @param isOther  BACKUP_VERIFY_URL names it; false: it is the project's own server
 */
public record VerifyServer(Database database, IntFunction<PgPrograms> programs, boolean isOther)
        implements AutoCloseable {
    private static final String SETTING = "BACKUP_VERIFY_URL";
    /** The example that messages give. */
    public static final String EXAMPLE = SETTING + "=postgresql://ROLE:PASSWORD@HOST:5432/postgres";

    /** @throws Failure usage (2): BACKUP_VERIFY_URL is not valid; refused (4): nothing can be created there */
    public static VerifyServer of(Credentials other) {
        var server = connected(other);
        try {
            if (server.is("SELECT pg_is_in_recovery()"))
                throw Failure.refused("the server of %s is a standby, which is read-only: %s".formatted(SETTING, other))
                        .next("name a primary server in " + SETTING);
            if (!Restore.mayCreateDatabases(server))
                throw Failure.refused("role %s may not create databases on the server of %s: %s"
                                .formatted(other.user(), SETTING, other))
                        .next("have a superuser of that server run: " + grant(other.user()));
            return new VerifyServer(server, major -> new PgPrograms(
                    Environment.Local.pgProgram("pg_dump", major), server.credentials()), true);
        } catch (Throwable e) {
            server.close();
            throw e;
        }
    }

    /** @throws Failure refused (4): nothing can be created there */
    public static VerifyServer of(Environment environment) {
        var server = Database.openServer(environment.database());
        if (Restore.mayCreateDatabases(server)) return new VerifyServer(server, environment::pgPrograms, false);
        server.close();
        var role = environment.identity().user();
        throw Failure.refused("role " + role + " may not create databases, and verify restores into a new one")
                .next("have a superuser run: " + grant(role),
                        "or let verify use another server, in .env or in the environment: " + EXAMPLE);
    }

    private static String grant(String role) {
        return "ALTER ROLE " + Sql.identifier(role) + " CREATEDB";
    }

    /** What BACKUP_VERIFY_URL names, or null. @throws Failure usage (2): it is not valid */
    public static Credentials named(Settings settings) {
        return Credentials.ofUrl(settings.file(), SETTING);
    }

    private static Database connected(Credentials other) {
        try {
            return Database.openServer(other);
        } catch (Failure failure) {
            var problem = failure.problem();
            if (problem instanceof Problem.Interrupted) throw failure;
            var what = "cannot use the server of " + SETTING + ": " + problem.what();
            var next = "correct " + SETTING + ", or remove it to verify on the project's server";
            throw new Failure(Problem.of(problem.exit(), what, next), failure);
        }
    }

    /**
     * Restores a backup and compares every table.
     *
     * @return what was restored
     * @throws Failure failed (1): it is not good; refused (4): this server is older than the one that was dumped
     */
    public Restoration verify(BackupFile file, Console console) {
        refuseOlder(file.serverMajor());
        Restore.dropLeftovers(database, name -> console.note("dropped " + name + ", which a killed verify had left"));
        var scratch = Restore.scratchName("verify");
        var clients = programs.apply(file.pgRestoreMajor(database.major()));
        // A database that subscribes to another cannot be dropped.
        var restoration = new Restoration(file, clients, scratch,
                List.of("--no-subscriptions", "--no-owner", "--no-privileges"), console::progress);
        new Plan(steps(restoration, scratch)).run(console, () -> clients.shellLine("dropdb", scratch));
        return restoration;
    }

    private List<Step> steps(Restoration restoration, String scratch) {
        var steps = new ArrayList<>(restoration.steps(Restore.createScratch(database, scratch, locale())));
        if (isOther) steps.set(0, Step.of(restoration.check().describe(), () -> {
            restoration.check().run();
            refuseOlder(restoration.serverMajor()); // known only now for an archive without a manifest
        }));
        return steps;
    }

    /** Another server may have another encoding; what was dumped is nearly always UTF-8. */
    private String locale() {
        var utf8 = database.is("""
            SELECT pg_encoding_to_char(encoding) = 'UTF8' FROM pg_database WHERE datname = current_database()""");
        return !isOther || utf8 ? DatabaseCopy.locale(database) : " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
    }

    private void refuseOlder(int dumped) {
        if (!isOther || database.major() >= dumped) return;
        var what = "the server of %s is PostgreSQL %d, older than the server that the backup is from: PostgreSQL %d";
        throw Failure.refused(what.formatted(SETTING, database.major(), dumped))
                .next("name a server of PostgreSQL %d or newer in %s".formatted(dumped, SETTING));
    }

    @Override public void close() {
        database.close();
    }
}
