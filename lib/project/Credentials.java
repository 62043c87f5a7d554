package lib.project;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Host;
import lib.process.Shell;

/**
 * Which database, and how to log in.
 *
 * @param host     name, address or the folder of a Unix socket
 * @param password null when the server asks for none
 * @param sslmode  as libpq names it, or null for the driver's default
 * @param sources  where each setting came from: "DB_NAME" → "./.env", "default", "environment"
 * @param route    how to reach the server from here, or null: by host and port
 */
public record Credentials(String host, int port, String database, String user, String password, String sslmode,
    Map<String, String> sources, Route route) {
    public Credentials(String host, int port, String database, String user, String password, String sslmode,
        Map<String, String> sources) {
        this(host, port, database, user, password, sslmode, sources, null);
    }

    /** For each setting, its own name, Docker's and libpq's. */
    private static final List<List<String>> NAMES = List.of(
        List.of("DB_NAME", "POSTGRES_DB", "PGDATABASE"), List.of("DB_USER", "POSTGRES_USER", "PGUSER"),
        List.of("DB_PASSWORD", "POSTGRES_PASSWORD", "PGPASSWORD"), List.of("DB_HOST", "POSTGRES_HOST", "PGHOST"),
        List.of("DB_PORT", "POSTGRES_PORT", "PGPORT"), List.of("DB_SSLMODE", "POSTGRES_SSLMODE", "PGSSLMODE"));
    private static final String DJANGO = "DATABASES['default']";
    private static final String LOOPBACK = "127(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}";
    private static final List<String> SSLMODES =
        List.of("disable", "allow", "prefer", "require", "verify-ca", "verify-full");
    /** Parts of engines: other packages wrap Django's, as django_prometheus.db.backends.postgis does. */
    private static final List<String> ENGINES = List.of("postgres", "postgis", "psycopg", "pgsql", "psql", "timescale");

    /**
     * Each setting has the value of the first of these names that has one: {@code DB_*}, then the part of
     * {@code DATABASE_URL}, then {@code POSTGRES_*}, then {@code PG*}, then the default (whatsapp_crm_dev, crm_user,
     * localhost, 5432). The environment's value of a name comes before the file's. The password has no default; its
     * last source is ~/.pgpass. {@code DATABASE_URL} may name another kind of database; with {@code DB_NAME} it is
     * ignored.
     *
     * @throws Failure a setting is missing or wrong, or the database is not PostgreSQL; the message has no value that
     *                 may be secret
     */
    static Credentials of(Project project, EnvFile file) {
        return new Search(project, file).credentials();
    }

    /** As Django makes its default connection. @param module of the settings */
    public static Credentials ofDjango(String module, String host, int port, String database, String user,
        String password, String sslmode) {
        var sources = new LinkedHashMap<String, String>();
        for (var names : NAMES) {
            var key = names.getFirst().substring("DB_".length());
            sources.put(names.getFirst(), "%s['%s'] in %s".formatted(DJANGO, key, module));
        }
        return new Credentials(host, port, database, user, password, sslmode, Map.copyOf(sources));
    }

    /** Whether any name of the database is set. libpq's others also complete what Django's settings leave out. */
    static boolean areNamed(EnvFile file) {
        return Stream.concat(NAMES.stream().flatMap(List::stream), Stream.of("DATABASE_URL"))
            .filter(name -> !name.startsWith("PG") || name.equals("PGDATABASE"))
            .anyMatch(name -> file.get(name) != null && !file.get(name).isEmpty());
    }

    /**
     * The server that one setting names by a URL, with a role and a database to log in to: {@code postgres} unless the
     * URL names one. Without a password in the URL, the drivers look in ~/.pgpass.
     *
     * @return null when the setting is not set
     * @throws Failure usage (2): not a URL of a PostgreSQL server; the message has no part of the URL
     */
    public static Credentials ofUrl(EnvFile file, String setting) {
        var value = file.get(setting);
        if (value == null || value.isBlank()) return null;
        var from = new Setting(value, setting, file.source(setting));
        var url = DatabaseUrl.parse(from);
        var isServer = url.host() != null && !url.host().startsWith("/") && !url.host().contains(",");
        var isSslmode = url.sslmode() == null || SSLMODES.contains(url.sslmode());
        var port = port(url.port() == null ? "5432" : url.port());
        if (url.user() == null || !isServer || !isSslmode || port == 0) throw DatabaseUrl.wrong(from);
        var database = url.database() == null ? "postgres" : url.database();
        return new Credentials(url.host(), port, database, url.user(), url.password(), url.sslmode(), Map.of());
    }

    /** 0 when it is not a port number. */
    private static int port(String text) {
        var port = text.matches("\\d{1,5}") ? Integer.parseInt(text) : 0;
        return port < 65536 ? port : 0;
    }

    /** These and all other names of the same settings: a value under one name overrides those under the others. */
    public static Set<String> namesOverriddenBy(Set<String> names) {
        var overridden = new HashSet<>(names);
        for (var setting : NAMES) {
            var isSet = setting.stream().anyMatch(names::contains);
            if (isSet) overridden.add("DATABASE_URL");
            if (isSet || names.contains("DATABASE_URL")) overridden.addAll(setting);
        }
        return overridden;
    }

    /** True when this setting, "DB_NAME", came from the environment under any of its names. */
    public boolean isFromEnvironment(String setting) {
        return sources.getOrDefault(setting, "").matches("(.* in )?environment");
    }

    /** True when Django's own settings name them. */
    public boolean isFromDjango() {
        return sources.getOrDefault("DB_NAME", "").startsWith(DJANGO);
    }

    /** For people: a setting under the name that its value came from: "DB_HOST", "PGHOST in environment". */
    public String nameOf(String setting) {
        var source = sources.getOrDefault(setting, "");
        return source.matches("(?s)([A-Z_]+|DATABASES\\S+) in .*") ? source : setting;
    }

    /** For people: where they came from, each place once. */
    public String origin() {
        if (isFromDjango()) return nameOf("DB_NAME").replaceFirst("\\['NAME'\\]", "");
        return String.join(", ", new TreeSet<>(sources.values()));
    }

    /** True after {@link #withPasswordOf}: two passwords are known, and either may be the role's. */
    public boolean hasPasswordOfDjango() {
        return !isFromDjango() && nameOf("DB_PASSWORD").startsWith(DJANGO);
    }

    /** The same database and role, with the password that Django read. */
    public Credentials withPasswordOf(Credentials django) {
        var others = new LinkedHashMap<>(sources);
        others.put("DB_PASSWORD", django.nameOf("DB_PASSWORD"));
        return new Credentials(host, port, database, user, django.password, sslmode, Map.copyOf(others), route);
    }

    /** The same server and role, another database. */
    public Credentials withDatabase(String otherDatabase) {
        return new Credentials(host, port, otherDatabase, user, password, sslmode, sources, route);
    }

    /** The same database and role, under the name that its containers know it by. */
    public Credentials withAddress(String service, int servicePort, Route by) {
        return new Credentials(service, servicePort, database, user, password, sslmode, sources, by);
    }

    /** True when the host is the folder of a Unix socket. */
    public boolean isSocket() {
        return route == null && host.startsWith("/");
    }

    /** True for a Unix socket, a loopback address and this machine's own name. Asks no name server. */
    public boolean isLocal() {
        if (route != null) return route.engineIsLocal();
        var name = host.toLowerCase(Locale.ROOT).replaceFirst("\\.$", "");
        if (host.startsWith("/") || name.equals("localhost") || name.matches(LOOPBACK)) return true;
        return name.contains(":") ? isLoopback(name) : name.equals(Host.name().toLowerCase(Locale.ROOT));
    }

    /** @param address with a colon, so that it cannot be a name */
    private static boolean isLoopback(String address) {
        try {
            return InetAddress.getByName(address).isLoopbackAddress();
        } catch (UnknownHostException ignored) { // not an address
            return false;
        }
    }

    /** Without the password. */
    @Override public String toString() {
        return user + "@" + host + ":" + port + "/" + database + (route == null ? "" : " in " + route.owner());
    }

    // ---- looking them up ---------------------------------------------------------------------

    /** Names what is read, and where. */
    static Failure noSettings(Project project) {
        var files = Stream.of(project.root(), project.backend()).distinct()
            .map(folder -> folder.resolve(".env").toString()).collect(Collectors.joining(", "));
        return Failure.usage("no database settings: none of DB_NAME, DB_USER, DB_PASSWORD, DB_HOST, DB_PORT and "
                + "DATABASE_URL is set in " + files + " or the environment, nor POSTGRES_… or PG… in their place")
            .next("name the file: --env-file FILE, or export DB_NAME, DB_USER and DB_PASSWORD");
    }

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
            var password = setting("DB_PASSWORD", url.password(), null);
            var namesDatabase = urlSetting != null || namesOf("DB_NAME").stream().anyMatch(name -> named(name) != null);
            if (password == null && file.path().isEmpty() && !namesDatabase) throw noSettings(project);
            var database = setting("DB_NAME", url.database(), "whatsapp_crm_dev");
            var user = setting("DB_USER", url.user(), "crm_user");
            var host = setting("DB_HOST", url.host(), "localhost");
            if (host.contains(",")) throw invalid("DB_HOST", "one host");
            var port = port(setting("DB_PORT", url.port(), "5432").strip());
            if (port == 0) throw invalid("DB_PORT", "a port number from 1 to 65535");
            var sslmode = setting("DB_SSLMODE", url.sslmode(), null);
            if (sslmode != null && !SSLMODES.contains(sslmode))
                throw invalid("DB_SSLMODE", "one of " + String.join(", ", SSLMODES));
            if (password == null && isEmptyHost()) host = socketFolder(port, host);
            if (password == null) password = fromPgpass(host, port, database, user);
            var sources = new LinkedHashMap<String, String>();
            found.forEach((setting, from) -> sources.put(setting, source(setting, from)));
            return new Credentials(host, port, database, user, password, sslmode, Map.copyOf(sources));
        }

        private String fromPgpass(String host, int port, String database, String user) {
            var passwords = Pgpass.of(file.environment());
            var password = passwords.find(host, port, database, user);
            if (password == null && host.startsWith("/")) return null; // the server asks the system who we are
            if (password == null) throw noPassword(passwords.refused());
            found.put("DB_PASSWORD", new Setting(password, "", passwords.path().toString()));
            return password;
        }

        /** Set, but to nothing, as libpq and Django's settings name the default socket. */
        private boolean isEmptyHost() {
            return "".equals(file.get("DB_HOST")) && found.get("DB_HOST").where().equals("default");
        }

        /** The default socket's folder, where a server has its socket. @param otherwise where none has */
        private String socketFolder(int port, String otherwise) {
            var folder = Stream.of("/var/run/postgresql", "/tmp")
                .filter(one -> Files.exists(Path.of(one, ".s.PGSQL." + port))).findFirst();
            folder.ifPresent(one -> found.put("DB_HOST", new Setting(one, "", "default socket")));
            return folder.orElse(otherwise);
        }

        private static List<String> namesOf(String setting) {
            return NAMES.stream().filter(names -> names.getFirst().equals(setting)).findFirst().orElseThrow();
        }

        /** @param pgpass ignored because other users can read it, or null */
        private Failure noPassword(Path pgpass) {
            var lines = new ArrayList<String>();
            lines.add("DB_PASSWORD is not set in " + file.path().map(Path::toString).orElse("the environment"));
            lines.addAll(file.warnings()); // a skipped line may have been meant to set it
            if (pgpass != null) lines.add(pgpass + " is ignored: other users can read it");
            var failure = Failure.usage(String.join("\n  ", lines));
            var add = "add it there, or export DB_PASSWORD; where the server asks for no password any value will do,"
                + " and a Unix socket (DB_HOST=/var/run/postgresql) needs none;"
                + " POSTGRES_PASSWORD, PGPASSWORD, DATABASE_URL and ~/.pgpass are read too";
            return pgpass == null ? failure.next(add) : failure.next(add,
                "or make the password file readable for yourself alone: "
                    + Shell.line("chmod", "600", pgpass.toString()));
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

        /** The environment's value, else the file's. An empty one counts as not set, and hides the file's. */
        private Setting named(String name) {
            var value = file.get(name);
            if (value == null || value.isEmpty()) return null;
            return new Setting(value, name, file.fromEnvironment(name) ? file.source(name)
                : project.show(file.path().orElseThrow()));
        }

        private static String source(String setting, Setting from) {
            return from.name().equals(setting) || from.name().isEmpty() ? from.where() : from.toString();
        }

        /** Names the setting that was really used. */
        private Failure invalid(String setting, String expected) {
            return found.get(setting).invalid(expected);
        }

        private void refuseOtherEngines() {
            var engine = named("DB_ENGINE");
            if (engine == null) return;
            var name = engine.value().toLowerCase(Locale.ROOT);
            if (ENGINES.stream().noneMatch(name::contains)) throw engine.notPostgres(engine.value());
        }
    }
}
