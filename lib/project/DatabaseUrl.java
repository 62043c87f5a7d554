package lib.project;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import lib.error.Failure;

/** The parts of a DATABASE_URL, null where it has none; parts of the query come after those before it. */
record DatabaseUrl(String host, String port, String database, String user, String password, String sslmode) {
    private static final Set<String> SCHEMES = Set.of("postgres", "postgresql", "pgsql", "psql", "postgis");
    static final DatabaseUrl NONE = new DatabaseUrl(null, null, null, null, null, null);

    /** By hand: java.net.URI refuses hosts with an underscore, which Compose's services have, and socket folders. */
    static DatabaseUrl parse(Setting setting) {
        var text = setting.value().strip();
        var colon = text.indexOf("://");
        if (colon < 1) throw wrong(setting);
        var scheme = text.substring(0, colon).toLowerCase(Locale.ROOT);
        if (!scheme.matches("[a-z][a-z0-9+.-]*")) throw wrong(setting);
        if (!SCHEMES.contains(scheme.replaceFirst("\\+.*", ""))) // postgresql+psycopg2
            throw setting.notPostgres(scheme);
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
        return new DatabaseUrl(first(plain.apply(host), query.get("host")),
                first(port < 0 ? null : plain.apply(server.substring(port + 1)), query.get("port")),
                first(plain.apply(database), query.get("dbname")),
                first(plain.apply(password < 0 ? login : login.substring(0, password)), query.get("user")),
                first(password < 0 ? null : plain.apply(login.substring(password + 1)), query.get("password")),
                query.get("sslmode"));
    }

    private static Map<String, String> query(Setting setting, String text) {
        var query = new LinkedHashMap<String, String>();
        for (var pair : text.split("&")) {
            var equals = pair.indexOf('=');
            if (equals > 0 && equals < pair.length() - 1)
                query.put(pair.substring(0, equals), decoded(setting, pair.substring(equals + 1)));
        }
        return query;
    }

    /** Percent-encoding only: in URLDecoder's reading a + in a password would become a space. */
    private static String decoded(Setting setting, String part) {
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

    static Failure wrong(Setting setting) {
        return setting.invalid(
                "a URL like postgresql://user:password@host:5432/name with everything unusual percent-encoded");
    }

    @Override
    public String toString() {
        return "DATABASE_URL";
    }
}
