package lib.project;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Host;
import lib.process.Shell;

/**
 * Which database, and how to log in.
 *
 * @param host     name, address or the folder of a Unix socket
 * @param password null when the server is trusted to ask for none
 * @param sslmode  libpq's word, or null for the driver's default
 * @param sources  for every setting, where it came from: "DB_NAME" → "./.env", "default", "environment"
 * @param route    how to get there from here, or null: as host and port say
 */
public record Credentials(String host, int port, String database, String user, String password, String sslmode,
                          Map<String, String> sources, Route route) {
    public Credentials(String host, int port, String database, String user, String password, String sslmode,
                       Map<String, String> sources) {
        this(host, port, database, user, password, sslmode, sources, null);
    }

    /** Of each setting its own name, Docker's and libpq's. */
    private static final List<List<String>> NAMES = List.of(
            List.of("DB_NAME", "POSTGRES_DB", "PGDATABASE"), List.of("DB_USER", "POSTGRES_USER", "PGUSER"),
            List.of("DB_PASSWORD", "POSTGRES_PASSWORD", "PGPASSWORD"), List.of("DB_HOST", "POSTGRES_HOST", "PGHOST"),
            List.of("DB_PORT", "POSTGRES_PORT", "PGPORT"), List.of("DB_SSLMODE", "POSTGRES_SSLMODE", "PGSSLMODE"));
    private static final String LOOPBACK = "127(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}";
    private static final String ENVIRONMENT = "environment";
    private static final List<String> SSLMODES =
            List.of("disable", "allow", "prefer", "require", "verify-ca", "verify-full");

    /**
     * For each setting the first of these names that has a value, a name's value being the environment's or else the file's:
     * {@code DB_*}, then the part of {@code DATABASE_URL}, then {@code POSTGRES_*}, then {@code PG*}, then the default
     * (whatsapp_crm_dev, crm_user, localhost, 5432). The password has no default, only ~/.pgpass as its last source.
     * {@code DATABASE_URL} may name another kind of database where {@code DB_NAME} is set: it is not looked at then.
     *
     * @throws Failure a setting is missing or wrong, or the database is not PostgreSQL; never with a value that may be secret
     */
    static Credentials of(Project project, EnvFile file) {
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
        var path = file.path().map(Path::toString).orElse(ENVIRONMENT);
        var from = new Setting(value, setting, file.fromEnvironment(setting) ? ENVIRONMENT : path);
        var url = DatabaseUrl.parse(from);
        var isServer = url.host() != null && !url.host().startsWith("/") && !url.host().contains(",");
        if (url.user() == null || !isServer) throw DatabaseUrl.wrong(from);
        if (url.sslmode() != null && !SSLMODES.contains(url.sslmode())) throw DatabaseUrl.wrong(from);
        var port = url.port() == null ? "5432" : url.port();
        if (!port.matches("[0-9]{1,5}") || Integer.parseInt(port) < 1 || Integer.parseInt(port) > 65535)
            throw DatabaseUrl.wrong(from);
        var database = url.database() == null ? "postgres" : url.database();
        return new Credentials(
                url.host(), Integer.parseInt(port), database, url.user(), url.password(), url.sslmode(), Map.of());
    }

    /** These names and all other names of the same settings: a value under one name overrides those under the others. */
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

    /** True for a Unix socket, a loopback address and this machine's own name. No name service is asked. */
    public boolean isLocal() {
        if (route != null) return route.engineIsLocal();
        var name = host.toLowerCase(Locale.ROOT).replaceFirst("\\.$", "");
        if (host.startsWith("/") || name.equals("localhost") || name.matches(LOOPBACK)) return true;
        return name.contains(":") ? isLoopback(name) : name.equals(Host.name().toLowerCase(Locale.ROOT));
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

    private static final class Search {
        private final Project project;
        private final EnvFile file;
        private final Setting urlSetting;
        private final DatabaseUrl url;
        private final Map<String, Setting> found = new LinkedHashMap<>();

        Search(Project project, EnvFile file) {
            this.project = project;
            this.file = file;
            urlSetting = named("DB_NAME") == null ? named("DATABASE_URL") : null;
            url = urlSetting == null ? DatabaseUrl.NONE : DatabaseUrl.parse(urlSetting);
        }

        Credentials credentials() {
            refuseOtherEngines();
            // First, so that somebody without any settings hears of that and not of a part.
            var password = password();
            var database = setting("DB_NAME", url.database(), "whatsapp_crm_dev");
            var user = setting("DB_USER", url.user(), "crm_user");
            var host = setting("DB_HOST", url.host(), "localhost");
            if (host.contains(",")) throw invalid("DB_HOST", "one host");
            var port = port(setting("DB_PORT", url.port(), "5432"));
            var sslmode = setting("DB_SSLMODE", url.sslmode(), null);
            if (sslmode != null && !SSLMODES.contains(sslmode)) 
                throw invalid("DB_SSLMODE", "one of " + String.join(", ", SSLMODES));
            if (password == null) password = fromPgpass(host, port, database, user);
            var sources = new LinkedHashMap<String, String>();
            found.forEach((setting, from) -> sources.put(setting, source(setting, from)));
            return new Credentials(host, port, database, user, password, sslmode, Map.copyOf(sources));
        }

        /** The password by name, or null where only the password file can know it. */
        private String password() {
            var password = setting("DB_PASSWORD", url.password(), null);
            var namesDatabase = urlSetting != null || namesOf("DB_NAME").stream().anyMatch(name -> named(name) != null);
            if (password == null && file.path().isEmpty() && !namesDatabase) throw noSettings();
            return password;
        }

        private String fromPgpass(String host, int port, String database, String user) {
            var passwords = Pgpass.of(file.environment());
            var password = passwords.find(host, port, database, user);
            if (password == null) {
                throw noPassword(passwords.refused());
            }
            found.put("DB_PASSWORD", new Setting(password, "", passwords.path().toString()));
            return password;
        }

        private static List<String> namesOf(String setting) {
            return NAMES.stream().filter(names -> names.getFirst().equals(setting)).findFirst().orElseThrow();
        }

        private Failure noSettings() {
            var looked = Stream.of(project.root(), project.backend()).distinct().map(Path::toString)
                .collect(Collectors.joining(" or "));
            return Failure.usage(
                            "no .env in " + looked + ", and neither DB_PASSWORD nor DATABASE_URL in the environment")
                    .next("name the file: --env-file FILE, or export DB_NAME, DB_USER and DB_PASSWORD");
        }

        /** @param pgpass ignored because other users can read it, or null */
        private Failure noPassword(Path pgpass) {
            var what = new StringBuilder("DB_PASSWORD is not set in "
                    + file.path().map(Path::toString).orElse("the environment"));
            file.warnings()
                    .forEach(skipped -> what.append("\n  ").append(skipped)); // one of them may be meant to hold it
            if (pgpass != null) what.append("\n  ").append(pgpass).append(" is ignored: other users can read it");
            var add = "add it there, or export DB_PASSWORD; where the server asks for no password any value will do";
            return Failure.usage(what.toString()).next(pgpass == null ? List.of(add)
                : List.of(add, "or make the password file readable for yourself alone: "
                    + Shell.line("chmod", "600", pgpass.toString())));
        }

        private String setting(String name, String fromUrl, String otherwise) {
            var from = named(name);
            if (from == null && fromUrl != null) from = new Setting(fromUrl, urlSetting.name(), urlSetting.where());
            for (var other : namesOf(name)) if (from == null) from = named(other);
            if (from == null && otherwise != null) from = new Setting(otherwise, "", "default");
            if (from == null) return null;
            found.put(name, from);
            return from.value();
        }

        /** The environment's value, else the file's. An empty one counts as not set, and hides the file's as for Django. */
        private Setting named(String name) {
            var value = file.get(name);
            if (value == null || value.isEmpty()) return null;
            return new Setting(
                    value,
                    name,
                    file.fromEnvironment(name)
                            ? ENVIRONMENT
                            : project.show(file.path().orElseThrow()));
        }

        private static String source(String setting, Setting from) {
            return from.name().equals(setting) || from.name().isEmpty() ? from.where() : from.toString();
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
            return found.get(setting).invalid(expected);
        }

        private void refuseOtherEngines() {
            var engine = named("DB_ENGINE");
            if (engine == null) return;
            var name = engine.value().toLowerCase(Locale.ROOT);
            // Third parties wrap Django's: django_tenants.postgresql_backend, django_prometheus.db.backends.postgis
            if (List.of("postgres", "postgis", "psycopg", "pgsql", "psql", "timescale").stream()
                    .noneMatch(name::contains)) throw engine.notPostgres(engine.value());
        }
    }
}
