package lib.project;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import lib.error.Failure;

/** The parts of a DATABASE_URL, or null. The query can give those that are missing before it. */
record DatabaseUrl(String host, String port, String database, String user, String password, String sslmode) {
    private static final Set<String> SCHEMES = Set.of("postgres", "postgresql", "pgsql", "psql", "postgis");
    static final DatabaseUrl NONE = new DatabaseUrl(null, null, null, null, null, null);

    /** Not with java.net.URI, which rejects socket folders and names with an underscore, as services have. */
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
        BiFunction<String, String, String> part = (before, name) ->
            before.isEmpty() ? query.get(name) : decoded(setting, before);
        return new DatabaseUrl(part.apply(host, "host"),
            part.apply(port < 0 ? "" : server.substring(port + 1), "port"),
            part.apply(database, "dbname"),
            part.apply(password < 0 ? login : login.substring(0, password), "user"),
            part.apply(password < 0 ? "" : login.substring(password + 1), "password"),
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

    /** Not with URLDecoder, which turns a + of a password into a space. */
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

    static Failure wrong(Setting setting) {
        return setting.invalid(
            "a URL like postgresql://user:password@host:5432/name with everything unusual percent-encoded");
    }

    @Override public String toString() {
        return "DATABASE_URL";
    }
}
