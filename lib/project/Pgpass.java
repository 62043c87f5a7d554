package lib.project;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import lib.files.Host;

/**
 * libpq's password file, read here and not left to libpq because the same password is wanted for the scratch database.
 *
 * @param lines   of five fields or more
 * @param refused the file, when it is there but others may read it, which libpq ignores too; else null
 */
record Pgpass(Path path, List<List<String>> lines, Path refused) {
    static Pgpass of(Map<String, String> environment) {
        var path = path(environment);
        try {
            // A symbolic link is fine, a folder or pipe is not.
            if (!Files.isRegularFile(path)) return new Pgpass(path, List.of(), null);
            if (othersMayRead(path)) return new Pgpass(path, List.of(), path);
            // Bytes that are not UTF-8 are somebody's Latin-1 password in another line, no reason to stop.
            var text = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
            var lines = text.lines().filter(line -> !line.isEmpty() && !line.startsWith("#")).map(Pgpass::fields);
            return new Pgpass(path, lines.toList(), null);
        } catch (IOException unreadable) {
            return new Pgpass(path, List.of(), null);
        }
    }

    private static Path path(Map<String, String> environment) {
        var named = environment.get("PGPASSFILE");
        if (named != null && !named.isEmpty()) return Path.of(named);
        var windows = environment.get("APPDATA");
        return System.getProperty("os.name").startsWith("Windows") && windows != null
                ? Path.of(windows, "postgresql", "pgpass.conf")
                : Host.home(environment).orElse(Path.of("/")).resolve(".pgpass");
    }

    private static boolean othersMayRead(Path path) throws IOException {
        try {
            var others = EnumSet.allOf(PosixFilePermission.class);
            others.removeIf(permission -> permission.name().startsWith("OWNER_"));
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
