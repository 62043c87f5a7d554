package lib.postgres;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;

/** Quotes for SQL, and the settings that several transactions begin with. */
public final class Sql {
    private Sql() {}

    /** For a server with synchronous_commit = off: a crash must not lose what this transaction commits. */
    public static final String WAIT_FOR_DISK = "SELECT set_config('synchronous_commit', 'local', true)"
            + " WHERE current_setting('synchronous_commit') = 'off'";

    /** In a long statement, a backend notices only with this that its client is gone. PostgreSQL 14 and later. */
    public static final String CHECK_CLIENT = """
            SELECT set_config(name, '2s', true) FROM pg_settings
            WHERE name = 'client_connection_check_interval' AND setting = '0' AND version() ~ 'linux'""";

    /** A .sql file of this folder. */
    static String file(String name) {
        try (var in = Sql.class.getResourceAsStream(name)) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The grantee of a row of aclexplode(). */
    static final String GRANTEE = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END";

    /** An identifier, always quoted: {@code a"b} becomes {@code "a""b"}. */
    public static String identifier(String name) {
        return '"' + name.replace("\"", "\"\"") + '"';
    }

    /** A text literal that means the same whatever standard_conforming_strings is set to. */
    public static String literal(String text) {
        var doubled = "'" + text.replace("'", "''") + "'";
        return text.contains("\\") ? "E" + doubled.replace("\\", "\\\\") : doubled;
    }

    /**
     * {@code start + end} with the start shortened, so that both fit the 63 bytes of an identifier. PostgreSQL would
     * cut off the end, with only a notice.
     */
    public static String shortened(String start, String end) {
        var room = 63 - end.getBytes(StandardCharsets.UTF_8).length;
        var cut = start;
        while (cut.getBytes(StandardCharsets.UTF_8).length > room)
            cut = cut.substring(0, cut.offsetByCodePoints(cut.length(), -1));
        return cut + end;
    }
}
