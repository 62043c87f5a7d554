package lib.backup;

import java.util.List;
import java.util.stream.Stream;
import lib.backup.archive.Compression;
import lib.postgres.PgPrograms;
import lib.process.Shell;

/** The command line that restores a backup with PostgreSQL's programs alone: every manifest has it. */
final class RestoreCommand {
    private RestoreCommand() {}

    /**
     * The command that restores into a new database with none of our programs, for people to copy. Its exit code is not 0 when
     * anything failed: the file is tested first, for what a pipe's first program says is lost, and all stands in parentheses,
     * because under {@code set -e} a bare {@code a && b} whose a fails would go on.
     *
     * @param newer pg_restore says what the server does not know: see {@link OldServer}
     */
    static String of(PgPrograms programs, String file, Compression compression, List<String> sealed, boolean plain, boolean newer) {
        var server = programs.server();
        var into = restored(server.database());
        var create = shown(programs, "createdb", "--template=template0", into);
        var psql = shown(programs, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null", "--dbname=" + into);
        var pgRestore = shown(programs, "pg_restore", "--exit-on-error", "--dbname=" + into);
        var without = "grep -v '^%s$' | ".formatted(OldServer.UNKNOWN);
        var restore = !newer ? (plain ? psql : pgRestore) : (plain ? "" : Shell.line(programs.commandLine().apply("pg_restore")) + " --file=-" + " | ") + without + psql;
        var ssl = server.sslmode() == null ? "" : "export PGSSLMODE=" + Shell.quoted(server.sslmode()) + " && ";
        var name = Shell.quoted(file);
        var unpack = switch (compression.kind()) {
            case ZSTD -> "zstd";
            case GZIP -> "gzip";
            case NONE -> null;
        };
        if (!sealed.isEmpty()) {
            var open = "age --decrypt --identity KEY_FILE " + name;
            var test = open + (unpack == null ? " > /dev/null" : " | " + unpack + " -tq");
            return "( %s%s && %s && %s%s | %s )".formatted(ssl, test, create, open, unpack == null ? "" : " | " + unpack + " -dc", restore);
        }
        return unpack == null ? "( %s%s && cat %s | %s )".formatted(ssl, create, name, restore)
                : "( %s%s -tq %s && %s && %s -dc %s | %s )".formatted(ssl, unpack, name, create, unpack, name, restore);
    }

    private static String restored(String database) {
        var name = database.replaceAll("[^A-Za-z0-9_]", "_");
        return name.substring(0, Math.min(name.length(), 50)) + "_restored";
    }

    private static String shown(PgPrograms programs, String program, String... arguments) {
        return Shell.line(Stream.of(programs.commandLine().apply(program), programs.connectionOptions(), List.of(arguments)).flatMap(List::stream).toList());
    }
}
