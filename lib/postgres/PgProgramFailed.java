package lib.postgres;

import java.util.List;
import java.util.regex.Pattern;
import lib.error.ExitCode;
import lib.error.Problem;
import lib.process.Program;

/** pg_dump, pg_restore or psql failed. @param message its stderr */
public record PgProgramFailed(String program, int code, String message) implements Problem {
    private static final Pattern SERVER_VERSION = Pattern.compile("server version: (\\d+)");

    @Override public ExitCode exit() {
        return ExitCode.FAILED;
    }

    @Override public String what() {
        return Program.failed(program, code, message).getMessage();
    }

    @Override public List<String> next() {
        if (message.contains("aborting because of server version mismatch")) {
            var server = SERVER_VERSION.matcher(message);
            return List.of(("install the client of the server's major version: postgresql-client-%1$s (Debian, Ubuntu),"
                + " postgresql@%1$s (Homebrew)").formatted(server.find() ? server.group(1) : "N"));
        }
        if (message.contains("max_locks_per_transaction")) {
            return List.of("it locks every table and sequence at once: raise max_locks_per_transaction in the server's"
                + " postgresql.conf to their number divided by max_connections, and restart it");
        }
        if (message.contains("unsupported version") && message.contains("in file header")) {
            return List.of("the file is a newer pg_dump's: use a pg_restore of at least its major version (head -c 200"
                + " FILE | strings shows it)");
        }
        if (message.contains("unrecognized configuration parameter \"transaction_timeout\"")) {
            return List.of("this pg_restore (17 or later) sends a setting that the older server does not know: use the"
                    + " pg_restore of the server's major version",
                "or leave that one line out: ( set -o pipefail; pg_restore -f - FILE | sed '1,30{/^SET"
                    + " transaction_timeout = 0;$/d}' | psql -v ON_ERROR_STOP=1 -d NEW_DATABASE )");
        }
        if (message.contains("password authentication failed") || message.contains("no password supplied"))
            return List.of("check DB_USER and DB_PASSWORD");
        if (message.contains("lock timeout")) {
            return List.of("another session holds a lock on a table: see pg_stat_activity and pg_blocking_pids,"
                + " then try again");
        }
        return List.of();
    }
}
