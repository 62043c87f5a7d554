package lib.project;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import lib.files.Host;

/**
 * libpq's password file. It is read here because the scratch database, which the file does not name, needs the same
 * password.
 *
 * @param lines   their fields
 * @param refused the file when it is ignored because other users can read it, as libpq does; else null
 */
record Pgpass(Path path, List<List<String>> lines, Path refused) {
    static Pgpass of(Map<String, String> environment) {
        var path = path(environment);
        try {
            if (!Files.isRegularFile(path)) return new Pgpass(path, List.of(), null);
            if (othersMayRead(path)) return new Pgpass(path, List.of(), path);
            // not strict: a Latin-1 password in another line does not matter
            var text = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
            var lines = text.lines().filter(line -> !line.isEmpty() && !line.startsWith("#")).map(Pgpass::fields);
            return new Pgpass(path, lines.toList(), null);
        } catch (IOException ignored) { // it cannot be read
            return new Pgpass(path, List.of(), null);
        }
    }

    private static Path path(Map<String, String> environment) {
        var named = environment.get("PGPASSFILE");
        if (named != null && !named.isEmpty()) return Path.of(named);
        var windows = environment.get("APPDATA");
        if (System.getProperty("os.name").startsWith("Windows") && windows != null)
            return Path.of(windows, "postgresql", "pgpass.conf");
        return Host.home(environment).orElse(Path.of("/")).resolve(".pgpass");
    }

    private static boolean othersMayRead(Path path) throws IOException {
        try {
            return Files.getPosixFilePermissions(path).stream().anyMatch(mode -> !mode.name().startsWith("OWNER_"));
        } catch (UnsupportedOperationException ignored) { // Windows
            return false;
        }
    }

    /** Split at colons; a backslash escapes the next character. */
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

    /** The password of the first line that matches, or null. */
    String find(String host, int port, String database, String user) {
        // as in libpq, the default socket folder is named localhost
        var name = host.equals("/var/run/postgresql") || host.equals("/tmp") ? "localhost" : host;
        var wanted = List.of(name, String.valueOf(port), database, user);
        for (var line : lines) {
            if (line.size() < 5) continue;
            var matches = IntStream.range(0, 4).allMatch(i -> List.of("*", wanted.get(i)).contains(line.get(i)));
            if (matches) return line.get(4);
        }
        return null;
    }

    @Override public String toString() {
        return path.toString();
    }
}
