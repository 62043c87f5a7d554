package lib.backup;

import lib.postgres.PgPrograms;
import lib.process.Shell;

/** The command line that restores a backup with PostgreSQL's programs alone: every manifest has it. */
final class RestoreCommand {
    private static final int LONGEST_NAME = 50; // before "_restored"; an identifier has 63 bytes

    private RestoreCommand() {}

    /**
     * The command line that restores into a new database. Its exit code is not 0 when anything fails: the file is
     * tested first, because a pipe loses the exit code of its first program, and all of it is in parentheses, because
     * under {@code set -e} a bare {@code a && b} whose a fails does not stop.
     *
     * @param file           as it was written with these options
     * @param withoutTimeout the server does not know transaction_timeout: see {@link TransactionTimeoutFilter}
     */
    static String of(PgPrograms programs, String file, Backup.Options options, boolean withoutTimeout) {
        var server = programs.server();
        var database = server.database().replaceAll("[^A-Za-z0-9_]", "_");
        var target = database.substring(0, Math.min(database.length(), LONGEST_NAME)) + "_restored";
        var create = programs.shellLine("createdb", "--template=template0", target);
        var ssl = server.sslmode() == null ? "" : "export PGSSLMODE=" + Shell.quoted(server.sslmode()) + " && ";
        var restore = restore(programs, target, options.plain(), withoutTimeout);
        var name = Shell.quoted(file);
        var unpack = switch (options.compression().kind()) {
            case ZSTD -> "zstd";
            case GZIP -> "gzip";
            case NONE -> null;
        };
        if (options.encryption() != null) {
            var decrypt = "age --decrypt --identity KEY_FILE " + name;
            var test = decrypt + (unpack == null ? " > /dev/null" : " | " + unpack + " -tq");
            return "( %s%s && %s && %s%s | %s )"
                    .formatted(ssl, test, create, decrypt, unpack == null ? "" : " | " + unpack + " -dc", restore);
        }
        if (unpack == null) return "( %s%s && cat %s | %s )".formatted(ssl, create, name, restore);
        return "( %s%s -tq %s && %s && %s -dc %s | %s )".formatted(ssl, unpack, name, create, unpack, name, restore);
    }

    /** What reads the decompressed backup on stdin. */
    private static String restore(PgPrograms programs, String database, boolean plain, boolean withoutTimeout) {
        var psql = programs.shellLine("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
                "--dbname=" + database);
        if (!withoutTimeout) return plain ? psql
                : programs.shellLine("pg_restore", "--exit-on-error", "--dbname=" + database);
        var filtered = "grep -v '^%s$' | %s".formatted(TransactionTimeoutFilter.STATEMENT, psql);
        return plain ? filtered : Shell.line(programs.commandLine().apply("pg_restore")) + " --file=- | " + filtered;
    }
}
