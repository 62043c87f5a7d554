package lib.postgres;

import java.net.URLEncoder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Program;
import lib.project.Credentials;

/**
 * pg_dump and those beside it, for one server. The password goes through the environment alone, all else as one URI, so that no
 * name can be taken for an option or a connection string.
 *
 * @param programs each by its name, of the server's major version or the next newer
 * @param server   as the programs reach it
 * @param forPeople the same programs, to be copied into a shell
 * @param where     and the options with which a person reaches the server by them
 */
public record PgPrograms(Function<String, Program> programs, Credentials server, Function<String, List<String>> forPeople, List<String> where) {
    /** Those that lie beside this pg_dump. */
    public PgPrograms(Program pgDump, Credentials server) {
        this(name -> beside(pgDump, name), server, name -> beside(pgDump, name).argv(),
                List.of("--host=" + server.host(), "--port=" + server.port(), "--username=" + server.user()));
    }

    /** A table locked for longer by somebody else fails the backup: cron would pile up waiting ones without a word. */
    private static final String LOCK_WAIT_MS = "300000";

    /** The same programs for another database of the server. */
    public PgPrograms of(String database) {
        return new PgPrograms(programs, server.withDatabase(database), forPeople, where);
    }

    /**
     * Rows come as COPY's text, unpacked: what is around the archive packs better, and the rows can be counted. Their text must not
     * depend on where it is made: a server, role or database elsewhere has another time zone, and a shell another encoding.
     */
    public Program dump(String database) {
        var program = connected(pgDump()).env("PGTZ", "UTC").withoutEnv("PGCLIENTENCODING").with("--format=custom", "--no-password", "--lock-wait-timeout=" + LOCK_WAIT_MS, "--compress=0");
        return program.with("--dbname=" + uri(server.withDatabase(database)));
    }

    /** Reads an archive from stdin into a database; the first error ends it. */
    public Program restore(String database, List<String> options) {
        return connected(programs.apply("pg_restore")).with("--exit-on-error", "--no-password").with(options.toArray(String[]::new)).with("--dbname=" + uri(server.withDatabase(database)));
    }

    /** Turns an archive on stdin into SQL on stdout. */
    public Program script() {
        return withoutOurs(programs.apply("pg_restore").with("--file=-")).env("LC_ALL", "C");
    }

    /**
     * Runs SQL from stdin in a database. No psqlrc, and the first error ends it.
     *
     * @param atOnce in one transaction, in which nobody's SQL can drop a database; thousands of tables have too many locks for that
     */
    public Program psql(String database, boolean atOnce) {
        var psql = connected(programs.apply("psql")).with("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1");
        return (atOnce ? psql.with("--single-transaction") : psql).with("--dbname=" + uri(server.withDatabase(database)));
    }

    private Program connected(Program program) {
        return withoutOurs(program).env("LC_ALL", "C").secret("PGPASSWORD", server.password());
    }

    /** The passphrase and the keys to what is off-site are no business of PostgreSQL's programs, nor of a wrapper around them. */
    private static Program withoutOurs(Program program) {
        return program.with().withoutEnv("BACKUP_").withoutEnv("RCLONE_");
    }

    public Program pgDump() {
        return programs.apply("pg_dump");
    }

    private static Program beside(Program pgDump, String name) {
        var dump = pgDump.argv().getLast();
        var cut = dump.lastIndexOf("pg_dump");
        if (cut < 0) throw new IllegalArgumentException("not pg_dump alone: " + pgDump);
        return pgDump.withLastWord(dump.substring(0, cut) + name + dump.substring(cut + "pg_dump".length()));
    }

    /** A wrapper around pg_dump may print what it was given; a password that is the user's name too hides nothing. */
    public String hide(String words) {
        var password = server.password();
        if (password == null || password.isEmpty() || server.toString().contains(password)) return words;
        return words.replace(password, "[password]");
    }

    private static String uri(Credentials database) {
        var settings = new LinkedHashMap<String, String>();
        settings.put("host", database.route() == null ? database.host() : database.route().hostInContainer());
        settings.put("port", String.valueOf(database.port()));
        settings.put("user", database.user());
        settings.put("dbname", database.database());
        if (database.sslmode() != null) settings.put("sslmode", database.sslmode());
        settings.put("connect_timeout", "10");
        settings.put("application_name", "backup_database");
        return settings.entrySet().stream().map(PgPrograms::parameter).collect(Collectors.joining("&", "postgresql:///?", ""));
    }

    private static String parameter(Map.Entry<String, String> setting) {
        return setting.getKey() + "=" + URLEncoder.encode(setting.getValue(), StandardCharsets.UTF_8).replace("+", "%20");
    }

    /** Without a UTF-8 locale (cron) Java hands "?" to other programs for every other letter: a wrong password, and no word why. */
    public void requirePassable() {
        if (System.getProperty("os.name").startsWith("Windows") || server.password() == null) return;
        var encoder = Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8")).newEncoder();
        if (!encoder.canEncode(server.password())) throw new Failure(new Problem.LocaleTooSmall("the password"));
    }
}
