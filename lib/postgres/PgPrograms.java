package lib.postgres;

import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.process.Program;
import lib.process.Shell;
import lib.project.Credentials;

/**
 * pg_dump, pg_restore and psql for one server. The password goes through the environment, all else through one URI, so
 * that no name can be taken for an option or a connection string.
 *
 * @param programs          each by its name, of the server's major version or a newer one
 * @param server            as the programs reach it
 * @param commandLine       how a person calls the program of that name in a shell
 * @param connectionOptions the options with which a person reaches the server
 */
public record PgPrograms(Function<String, Program> programs, Credentials server,
                         Function<String, List<String>> commandLine, List<String> connectionOptions) {
    /** The programs in the folder of this pg_dump. */
    public PgPrograms(Program pgDump, Credentials server) {
        this(name -> beside(pgDump, name), server, name -> beside(pgDump, name).argv(),
                List.of("--host=" + server.host(), "--port=" + server.port(), "--username=" + server.user()));
    }

    private static Program beside(Program pgDump, String name) {
        var dump = pgDump.argv().getLast();
        var start = dump.lastIndexOf("pg_dump");
        if (start < 0) throw new IllegalArgumentException("not pg_dump alone: " + pgDump);
        return pgDump.withProgram(dump.substring(0, start) + name + dump.substring(start + "pg_dump".length()));
    }

    // ---- where they are ----------------------------------------------------------------------

    private static final Pattern VERSION = Pattern.compile("\\(PostgreSQL\\) ((\\d+)\\S*)");
    private static final List<String> VERSION_FOLDERS = List.of("/usr/lib/postgresql", "/usr", "/opt/homebrew/opt",
            "/usr/local/opt", "/Applications/Postgres.app/Contents/Versions", "C:\\Program Files\\PostgreSQL");

    /** The folders of PATH, then those of installed versions: Debian, Red Hat, Homebrew, Postgres.app, Windows. */
    public static List<Path> folders() {
        var folders = new ArrayList<>(Program.path());
        for (var place : VERSION_FOLDERS) {
            try (Stream<Path> versions = Files.list(Path.of(place))) {
                versions.filter(v -> v.getFileName().toString().matches("(pgsql-|postgresql@)?\\d+"))
                        .map(v -> v.resolve("bin")).sorted().forEach(folders::add);
            } catch (IOException ignored) {
                // most of them are on other systems
            }
        }
        return folders;
    }

    /** The program's major version, or 0 when it does not print one. */
    public static int majorVersion(Path program) {
        var version = VERSION.matcher(Program.of(program.toString(), "--version").run().out());
        return version.find() ? Integer.parseInt(version.group(2)) : 0;
    }

    // ---- the programs ------------------------------------------------------------------------

    /** A table that stays locked longer fails the backup; otherwise cron would pile up waiting ones silently. */
    private static final String LOCK_WAIT_MS = "300000";

    /** The same programs for another database of the server. */
    public PgPrograms of(String database) {
        return new PgPrograms(programs, server.withDatabase(database), commandLine, connectionOptions);
    }

    /**
     * Rows are COPY's text, uncompressed: compressing the whole archive works better, and the rows can be counted.
     * Time zone and encoding are fixed: the defaults of another server, role, database or shell would change the text.
     */
    public Program dump(String database) {
        var program = pgDump().with("--format=custom", "--lock-wait-timeout=" + LOCK_WAIT_MS, "--compress=0");
        return connected(program.env("PGTZ", "UTC").withoutEnv("PGCLIENTENCODING"), database);
    }

    /** Reads an archive from stdin into a database; ends at the first error. */
    public Program restore(String database, List<String> options) {
        var program = programs.apply("pg_restore").with("--exit-on-error").with(options.toArray(String[]::new));
        return connected(program, database);
    }

    /** Turns an archive on stdin into SQL on stdout. */
    public Program script() {
        return withoutOurSecrets(programs.apply("pg_restore").with("--file=-")).env("LC_ALL", "C");
    }

    /**
     * Runs SQL from stdin in a database; ends at the first error.
     *
     * @param singleTransaction in which no SQL can drop a database; thousands of tables need too many locks for it
     */
    public Program psql(String database, boolean singleTransaction) {
        var psql = programs.apply("psql").with("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1");
        return connected(singleTransaction ? psql.with("--single-transaction") : psql, database);
    }

    private Program connected(Program program, String database) {
        return withoutOurSecrets(program).env("LC_ALL", "C").secret("PGPASSWORD", server.password())
                .with("--no-password", "--dbname=" + uri(server.withDatabase(database)));
    }

    /** PostgreSQL's programs, or a wrapper around them, do not need the passphrase and the keys to off-site copies. */
    private static Program withoutOurSecrets(Program program) {
        return program.withoutEnv("BACKUP_").withoutEnv("RCLONE_");
    }

    /** A command line for people, with which the program connects to the server. */
    public String shellLine(String program, String... arguments) {
        return Shell.line(Stream.of(commandLine.apply(program), connectionOptions, List.of(arguments))
                .flatMap(List::stream).toList());
    }

    public Program pgDump() {
        return programs.apply("pg_dump");
    }

    /** Masks the password, which a wrapper around pg_dump may print; but not one that is also the user's name. */
    public String hide(String text) {
        var password = server.password();
        if (password == null || password.isEmpty() || server.toString().contains(password)) return text;
        return text.replace(password, "[password]");
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
        return settings.entrySet().stream().map(PgPrograms::parameter)
                .collect(Collectors.joining("&", "postgresql:///?", ""));
    }

    private static String parameter(Map.Entry<String, String> setting) {
        var value = URLEncoder.encode(setting.getValue(), StandardCharsets.UTF_8).replace("+", "%20");
        return setting.getKey() + "=" + value;
    }

    /** Without a UTF-8 locale (cron) Java passes "?" for non-ASCII letters, and the server calls the password wrong. */
    public void requireEncodablePassword() {
        if (System.getProperty("os.name").startsWith("Windows") || server.password() == null) return;
        var encoder = Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8")).newEncoder();
        if (encoder.canEncode(server.password())) return;
        throw Failure.usage("the password has characters that this locale cannot pass to another program")
                .next("set a UTF-8 locale, in a crontab with the line LC_ALL=C.UTF-8");
    }
}
