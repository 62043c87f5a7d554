package lib.postgres;

import java.net.UnknownHostException;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import lib.error.ExitCode;
import lib.error.Problem;
import lib.process.Shell;
import lib.project.Credentials;

/** The server refused the connection, or does not answer. No text here holds a password. */
public record CannotConnect(Reason reason, ExitCode exit, String what, List<String> next) implements Problem {
    public enum Reason {
        WRONG_PASSWORD,
        /** The server runs, but takes no connection now. */
        BUSY,
        OTHER
    }

    static CannotConnect of(SQLException e, Credentials c) {
        var said = e.getMessage() == null ? e.toString() : e.getMessage().strip();
        var words = said + defaults(c);
        var at = "%s port %d".formatted(c.host(), c.port());
        var address = "%s and %s".formatted(c.nameOf("DB_HOST"), c.nameOf("DB_PORT"));
        return switch (e.getSQLState() == null ? "" : e.getSQLState()) {
            case "28P01" -> new CannotConnect(Reason.WRONG_PASSWORD, ExitCode.USAGE,
                    "the password of role %s is wrong (%s): %s".formatted(c.user(), at, words),
                    List.of("correct " + c.nameOf("DB_PASSWORD") + (c.hasPasswordOfDjango() ? ""
                            : ", or give the role this password: ALTER ROLE … PASSWORD …")));
            case "3D000" -> usage("database %s does not exist on %s: %s".formatted(c.database(), at, words),
                    "correct %s, or create it: %s".formatted(c.nameOf("DB_NAME"),
                            Shell.line("createdb", "-O", c.user(), c.database())));
            case "28000" -> said.contains("pg_hba.conf") || said.contains("no encryption") || said.contains("SSL")
                    ? usage("the server does not let %s in: %s".formatted(c, words),
                            "if it requires TLS, set DB_SSLMODE=require",
                            "else its pg_hba.conf needs a line for this role, database and address")
                    : usage("role %s may not log in on %s: %s".formatted(c.user(), at, words),
                            "correct " + c.nameOf("DB_USER") + ", or create the role: CREATE ROLE … LOGIN PASSWORD …");
            case "42501" -> usage("role %s may not connect to database %s: %s".formatted(c.user(), c.database(), words),
                    "have its owner run: GRANT CONNECT ON DATABASE … TO …");
            case "53300" -> busy("the server has no connection left (%s): %s".formatted(at, words),
                    "stop some of the programs that use it, or raise max_connections");
            case "57P03" -> busy("the server is not ready (%s): %s".formatted(at, words),
                    "wait a moment and try again");
            case "08001" -> c.isSocket() ? failed("no PostgreSQL server answers at the Unix socket "
                            + (e.getCause() == null ? said : e.getCause().getMessage()),
                            "start it, or correct " + address)
                    : e.getCause() instanceof UnknownHostException ? unknownHost(c.host(), c.nameOf("DB_HOST"))
                    : failed("no PostgreSQL server answers on %s: %s".formatted(at, words),
                            "start it, or correct " + address);
            case "08004" -> said.contains("password")
                    ? usage("the server requires a password for role %s (%s): %s".formatted(c.user(), at, words),
                            "set DB_PASSWORD, or add a line to ~/.pgpass")
                    : usage("the server on %s refused: %s".formatted(at, words),
                            "see DB_SSLMODE: the server may not support TLS, or may require it");
            default -> failed("no connection to %s: %s".formatted(c, words), "see DB_HOST, DB_PORT and DB_SSLMODE");
        };
    }

    private static String defaults(Credentials c) {
        var defaults = c.sources().entrySet().stream().filter(source -> source.getValue().equals("default"))
                .map(Map.Entry::getKey).sorted().toList();
        return defaults.isEmpty() ? "" : "\n  not set, so these have their defaults: " + String.join(", ", defaults);
    }

    private static CannotConnect unknownHost(String host, String setting) {
        var what = "unknown host " + host;
        if (host.contains(".")) return usage(what, "correct " + setting);
        return usage(what, "if it is a Docker Compose service: put the compose file into the project's root,"
                + " or name it in COMPOSE_FILE; and leave --local out", "else correct " + setting);
    }

    private static CannotConnect usage(String what, String... next) {
        return new CannotConnect(Reason.OTHER, ExitCode.USAGE, what, List.of(next));
    }

    private static CannotConnect busy(String what, String next) {
        return new CannotConnect(Reason.BUSY, ExitCode.FAILED, what, List.of(next));
    }

    private static CannotConnect failed(String what, String next) {
        return new CannotConnect(Reason.OTHER, ExitCode.FAILED, what, List.of(next));
    }
}
