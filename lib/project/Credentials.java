package lib.project;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.LockOwner;

/**
 * Which database, and how to log in.
 *
 * @param host     name, address or the folder of a Unix socket
 * @param password null only for who makes one by hand and trusts the server to ask for none
 * @param sslmode  libpq's word, or null for the driver's default
 * @param sources  for every setting, where it came from: "DB_NAME" → "./.env", "default", "environment"
 * @param route    how to get there from here, or null: as host and port say
 */
public record Credentials(String host, int port, String database, String user, String password, String sslmode,
                          Map<String, String> sources, Route route) {
    public Credentials(String host, int port, String database, String user, String password, String sslmode, Map<String, String> sources) {
        this(host, port, database, user, password, sslmode, sources, null);
    }

    /** Of each setting its own name, Docker's and libpq's. */
    private static final List<List<String>> NAMES = List.of(List.of("DB_NAME", "POSTGRES_DB", "PGDATABASE"), List.of("DB_USER", "POSTGRES_USER", "PGUSER"),
            List.of("DB_PASSWORD", "POSTGRES_PASSWORD", "PGPASSWORD"), List.of("DB_HOST", "POSTGRES_HOST", "PGHOST"),
            List.of("DB_PORT", "POSTGRES_PORT", "PGPORT"), List.of("DB_SSLMODE", "POSTGRES_SSLMODE", "PGSSLMODE"));
    private static final String ENVIRONMENT = "environment";
    private static final Set<String> SSLMODES = Set.of("disable", "allow", "prefer", "require", "verify-ca", "verify-full");
    private static final Set<String> URL_SCHEMES = Set.of("postgres", "postgresql", "pgsql", "psql", "postgis");

    /** The project's own settings; see {@link #of(Project, EnvFile)}. */
    public static Credentials of(Project project, Path envFileOption, Map<String, String> environment) {
        return of(project, EnvFile.of(project, envFileOption, environment));
    }

    /**
     * For each setting the first of these names that has a value, a name's value being the environment's or else the file's:
     * {@code DB_*}, then the part of {@code DATABASE_URL}, then {@code POSTGRES_*}, then {@code PG*}, then the default
     * (whatsapp_crm_dev, crm_user, localhost, 5432). The password has no default, only ~/.pgpass as its last source.
     * {@code DATABASE_URL} may name another kind of database where {@code DB_NAME} is set: it is not looked at then.
     *
     * @throws Failure a setting is missing or wrong, or the database is not PostgreSQL; never with a value that may be secret
     */
    public static Credentials of(Project project, EnvFile file) {
        return new Search(project, file).credentials();
    }

    /**
     * The server that one setting names by a URL, with a role and a database to log in to. The database is {@code postgres} unless
     * the URL names one; a password that it leaves out is for the drivers to find in ~/.pgpass.
     *
     * @return null when the setting is not set
     * @throws Failure usage (2): not a URL of a PostgreSQL server; never with a part of the URL
     */
    public static Credentials ofUrl(EnvFile file, String setting) {
        var value = file.get(setting);
        if (value == null || value.isBlank()) return null;
        var from = new Found(value, setting, file.fromEnvironment(setting) ? ENVIRONMENT : file.path().map(Path::toString).orElse(ENVIRONMENT));
        var url = Url.parse(from);
        if (url.user == null || url.host == null || url.host.startsWith("/") || url.host.contains(",")) throw Url.wrong(from);
        if (url.sslmode != null && !SSLMODES.contains(url.sslmode)) throw Url.wrong(from);
        var port = url.port == null ? "5432" : url.port;
        if (!port.matches("[0-9]{1,5}") || Integer.parseInt(port) < 1 || Integer.parseInt(port) > 65535) throw Url.wrong(from);
        return new Credentials(url.host, Integer.parseInt(port), url.database == null ? "postgres" : url.database, url.user, url.password,
                url.sslmode, Map.of());
    }

    /** All the names of the settings that are set when these names are: who sets one of them does not want another name's value for it. */
    public static Set<String> namesOverriddenBy(Set<String> names) {
        var meant = new HashSet<>(names);
        for (var setting : NAMES) {
            var isSet = setting.stream().anyMatch(names::contains);
            if (isSet) meant.add("DATABASE_URL");
            if (isSet || names.contains("DATABASE_URL")) meant.addAll(setting);
        }
        return meant;
    }

    /** That this setting, "DB_NAME", came from the environment, under whatever name. */
    public boolean isFromEnvironment(String setting) {
        var source = sources.getOrDefault(setting, "");
        return source.equals(ENVIRONMENT) || source.endsWith(" in " + ENVIRONMENT);
    }

    /** The same server and role, another database. */
    public Credentials withDatabase(String otherDatabase) {
        return new Credentials(host, port, otherDatabase, user, password, sslmode, sources, route);
    }

    /** The same database and role, under the name that its containers know it by. */
    public Credentials withAddress(String service, int servicePort, Route by) {
        return new Credentials(service, servicePort, database, user, password, sslmode, sources, by);
    }

    /** True when the server is this machine: a Unix socket, loopback, or this machine's own name. No name service is asked. */
    public boolean isLocal() {
        if (route != null) return route.engineIsLocal();
        var name = host.toLowerCase(Locale.ROOT).replaceFirst("\\.$", "");
        if (host.startsWith("/") || name.equals("localhost") || name.matches("127(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}")) return true;
        return name.contains(":") ? isLoopback(name) : name.equals(LockOwner.hostName().toLowerCase(Locale.ROOT));
    }

    /** Of an address that can be no name: whatever has a colon in it. */
    private static boolean isLoopback(String address) {
        try {
            return InetAddress.getByName(address).isLoopbackAddress();
        } catch (UnknownHostException noAddress) {
            return false;
        }
    }

    /** Without the password. */
    @Override
    public String toString() {
        return user + "@" + host + ":" + port + "/" + database + (route == null ? "" : " in " + route.owner());
    }

    // ---- looking them up ---------------------------------------------------------------------

    /** A value and where it came from. */
    private record Found(String value, String name, String where) {
        String source(String setting) {
            return name.equals(setting) || name.isEmpty() ? where : name + " in " + where;
        }

        @Override
        public String toString() {
            return name + " in " + where;
        }
    }

    private static final class Search {
        private final Project project;
        private final EnvFile file;
        private final Found urlSetting;
        private final Url url;
        private final Map<String, Found> found = new LinkedHashMap<>();

        Search(Project project, EnvFile file) {
            this.project = project;
            this.file = file;
            urlSetting = named("DB_NAME") == null ? named("DATABASE_URL") : null;
            url = urlSetting == null ? Url.NONE : Url.parse(urlSetting);
        }

        Credentials credentials() {
            refuseOtherEngines();
            // First, so that somebody without any settings hears of that and not of a part.
            var password = password();
            var database = setting("DB_NAME", url.database, "whatsapp_crm_dev");
            var user = setting("DB_USER", url.user, "crm_user");
            var host = setting("DB_HOST", url.host, "localhost");
            if (host.contains(",")) throw invalid("DB_HOST", "one host");
            var port = port(setting("DB_PORT", url.port, "5432"));
            var sslmode = setting("DB_SSLMODE", url.sslmode, null);
            if (sslmode != null && !SSLMODES.contains(sslmode)) throw invalid("DB_SSLMODE", "one of disable, allow, prefer, require, verify-ca, verify-full");
            if (password == null) password = fromPgpass(host, port, database, user);
            var sources = new LinkedHashMap<String, String>();
            found.forEach((setting, from) -> sources.put(setting, from.source(setting)));
            return new Credentials(host, port, database, user, password, sslmode, Map.copyOf(sources));
        }

        /** The password by name, or null where only the password file can know it. */
        private String password() {
            var password = setting("DB_PASSWORD", url.password, null);
            var nothingNamed = password == null && file.path().isEmpty()
                    && urlSetting == null && named("DB_NAME") == null && named("POSTGRES_DB") == null && named("PGDATABASE") == null;
            if (nothingNamed) throw new Failure(new Problem.NoEnvFile(List.copyOf(new LinkedHashSet<>(List.of(project.root(), project.backend())))));
            return password;
        }

        private String fromPgpass(String host, int port, String database, String user) {
            var passwords = Pgpass.of(file.environment());
            var password = passwords.find(host, port, database, user);
            if (password == null) {
                var where = file.path().map(Path::toString).orElse("the environment");
                throw new Failure(new Problem.MissingSetting("DB_PASSWORD", where, file.problems(), passwords.refused()));
            }
            found.put("DB_PASSWORD", new Found(password, "", passwords.path().toString()));
            return password;
        }

        private String setting(String name, String fromUrl, String otherwise) {
            var from = named(name);
            if (from == null && fromUrl != null) from = new Found(fromUrl, urlSetting.name, urlSetting.where);
            for (var other : NAMES.stream().filter(names -> names.getFirst().equals(name)).findFirst().orElseThrow()) if (from == null) from = named(other);
            if (from == null && otherwise != null) from = new Found(otherwise, "", "default");
            if (from == null) return null;
            found.put(name, from);
            return from.value;
        }

        /** The environment's value before the file's; an empty one counts as not set, and hides the file's as it does for Django. */
        private Found named(String name) {
            var value = file.get(name);
            if (value == null || value.isEmpty()) return null;
            return new Found(value, name, file.fromEnvironment(name) ? ENVIRONMENT : project.show(file.path().orElseThrow()));
        }

        private int port(String value) {
            try {
                var port = Integer.parseInt(value.strip());
                if (port > 0 && port < 65536) return port;
            } catch (NumberFormatException notANumber) {
                // said below, without the exception: its text holds the value
            }
            throw invalid("DB_PORT", "a port number from 1 to 65535");
        }

        /** Names the setting that was really used. */
        private Failure invalid(String setting, String expected) {
            var from = found.get(setting);
            return new Failure(new Problem.InvalidSetting(from.name, from.where, expected));
        }

        private void refuseOtherEngines() {
            var engine = named("DB_ENGINE");
            if (engine == null) return;
            var name = engine.value.toLowerCase(Locale.ROOT);
            // Third parties wrap Django's: django_tenants.postgresql_backend, django_prometheus.db.backends.postgis, psqlextra.backend.
            if (List.of("postgres", "postgis", "psycopg", "pgsql", "psql", "timescale").stream().noneMatch(name::contains))
                throw new Failure(new Problem.NotPostgres(engine.value, engine.name, engine.where));
        }
    }

    // ---- DATABASE_URL ------------------------------------------------------------------------

    /** The parts of a URL, null where it does not say; the query's come after those in front of it. */
    private record Url(String host, String port, String database, String user, String password, String sslmode) {
        static final Url NONE = new Url(null, null, null, null, null, null);

        /** By hand: java.net.URI refuses hosts with an underscore, which Compose's services have, and socket folders. */
        static Url parse(Found setting) {
            var text = setting.value.strip();
            var colon = text.indexOf("://");
            if (colon < 1) throw wrong(setting);
            var scheme = text.substring(0, colon).toLowerCase(Locale.ROOT);
            if (!scheme.matches("[a-z][a-z0-9+.-]*")) throw wrong(setting);
            if (!URL_SCHEMES.contains(scheme.replaceFirst("\\+.*", ""))) // postgresql+psycopg2
                throw new Failure(new Problem.NotPostgres(scheme, setting.name, setting.where));
            text = text.substring(colon + 3).replaceFirst("(?s)#.*", "");
            var question = text.indexOf('?');
            var query = query(setting, question < 0 ? "" : text.substring(question + 1));
            if (question >= 0) text = text.substring(0, question);
            var slash = text.indexOf('/');
            var database = slash < 0 ? "" : text.substring(slash + 1);
            var server = slash < 0 ? text : text.substring(0, slash);
            var at = server.lastIndexOf('@');
            var login = at < 0 ? "" : server.substring(0, at);
            server = server.substring(at + 1);
            var password = login.indexOf(':');
            var bracket = server.indexOf(']'); // [::1]:5432
            var port = server.indexOf(':', Math.max(bracket, 0));
            var host = port < 0 ? server : server.substring(0, port);
            if (host.startsWith("[") != bracket >= 0 || host.startsWith("[") && !host.endsWith("]")) throw wrong(setting);
            if (host.startsWith("[")) host = host.substring(1, host.length() - 1);
            Function<String, String> plain = part -> part.isEmpty() ? null : decoded(setting, part);
            return new Url(first(plain.apply(host), query.get("host")),
                    first(port < 0 ? null : plain.apply(server.substring(port + 1)), query.get("port")),
                    first(plain.apply(database), query.get("dbname")),
                    first(plain.apply(password < 0 ? login : login.substring(0, password)), query.get("user")),
                    first(password < 0 ? null : plain.apply(login.substring(password + 1)), query.get("password")),
                    query.get("sslmode"));
        }

        private static Map<String, String> query(Found setting, String text) {
            var query = new LinkedHashMap<String, String>();
            for (var pair : text.split("&")) {
                var equals = pair.indexOf('=');
                if (equals > 0 && equals < pair.length() - 1) query.put(pair.substring(0, equals), decoded(setting, pair.substring(equals + 1)));
            }
            return query;
        }

        /** Percent-encoding only: in URLDecoder's reading a + in a password would become a space. */
        private static String decoded(Found setting, String part) {
            var bytes = new ByteArrayOutputStream();
            var from = part.getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < from.length; i++) {
                if (from[i] != '%') {
                    bytes.write(from[i]);
                    continue;
                }
                var high = i + 2 < from.length ? Character.digit(from[i + 1], 16) : -1;
                var low = i + 2 < from.length ? Character.digit(from[i + 2], 16) : -1;
                if (high < 0 || low < 0) throw wrong(setting);
                bytes.write(high << 4 | low);
                i += 2;
            }
            return bytes.toString(StandardCharsets.UTF_8);
        }

        private static String first(String one, String other) {
            return one != null ? one : other;
        }

        private static Failure wrong(Found setting) {
            return new Failure(new Problem.InvalidSetting(setting.name, setting.where,
                    "a URL like postgresql://user:password@host:5432/name with everything unusual percent-encoded"));
        }

        @Override
        public String toString() {
            return "DATABASE_URL";
        }
    }

    // ---- ~/.pgpass ---------------------------------------------------------------------------

    /**
     * libpq's password file, read here and not left to libpq because the same password is wanted for the scratch database.
     *
     * @param lines   of five fields or more
     * @param refused the file, when it is there but others may read it, as libpq refuses it too; else null
     */
    private record Pgpass(Path path, List<List<String>> lines, Path refused) {
        static Pgpass of(Map<String, String> environment) {
            var path = path(environment);
            try {
                // A symbolic link is fine, a folder or pipe is not.
                if (!Files.isRegularFile(path)) return new Pgpass(path, List.of(), null);
                if (othersMayRead(path)) return new Pgpass(path, List.of(), path);
                // Bytes that are not UTF-8 are somebody's Latin-1 password in another line, no reason to stop.
                var text = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
                return new Pgpass(path, text.lines().filter(l -> !l.isEmpty() && !l.startsWith("#")).map(Pgpass::fields).toList(), null);
            } catch (IOException unreadable) {
                return new Pgpass(path, List.of(), null);
            }
        }

        private static Path path(Map<String, String> environment) {
            var named = environment.get("PGPASSFILE");
            if (named != null && !named.isEmpty()) return Path.of(named);
            var home = environment.getOrDefault("HOME", System.getProperty("user.home"));
            var windows = environment.get("APPDATA");
            return System.getProperty("os.name").startsWith("Windows") && windows != null
                    ? Path.of(windows, "postgresql", "pgpass.conf") : Path.of(home, ".pgpass");
        }

        private static boolean othersMayRead(Path path) throws IOException {
            try {
                var others = EnumSet.allOf(PosixFilePermission.class);
                others.removeAll(EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE, PosixFilePermission.OWNER_EXECUTE));
                others.retainAll(Files.getPosixFilePermissions(path));
                return !others.isEmpty();
            } catch (UnsupportedOperationException windows) {
                return false;
            }
        }

        /** Split at colons, a backslash taking the next character as it is. */
        private static List<String> fields(String line) {
            var fields = new ArrayList<String>();
            var field = new StringBuilder();
            for (int i = 0; i < line.length(); i++) {
                var c = line.charAt(i);
                if (c == ':') {
                    fields.add(field.toString());
                    field.setLength(0);
                } else field.append(c == '\\' && i + 1 < line.length() ? line.charAt(++i) : c);
            }
            fields.add(field.toString());
            return fields;
        }

        /** The first line that fits decides. */
        String find(String host, int port, String database, String user) {
            // libpq: its default socket folder goes by the name localhost
            var name = host.equals("/var/run/postgresql") || host.equals("/tmp") ? "localhost" : host;
            var wanted = List.of(name, String.valueOf(port), database, user);
            for (var line : lines) {
                if (line.size() < 5) continue;
                var fits = true;
                for (int i = 0; i < 4 && fits; i++) fits = line.get(i).equals("*") || line.get(i).equals(wanted.get(i));
                if (fits) return line.get(4);
            }
            return null;
        }

        @Override
        public String toString() {
            return path.toString();
        }
    }
}
