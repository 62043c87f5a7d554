package lib.backup;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import lib.backup.archive.Contents;

/**
 * What differs between two dumps of the same database, a line each. Definitions with an expression are compared by name
 * alone: after a restore PostgreSQL prints some expressions differently.
 */
final class Differences {
    /**
     * Settings of the dump itself, what {@code --no-owner} and {@code --no-privileges} leave out, large objects, which
     * pg_dump 17 groups differently, and subscriptions, which verify does not restore.
     */
    private static final Set<String> NOT_COMPARED = Set.of("ENCODING", "STDSTRINGS", "SEARCHPATH", "ACL", "DEFAULT ACL",
            "BLOB", "BLOB METADATA", "BLOBS", "BLOB COMMENTS", "STATISTICS DATA", "SUBSCRIPTION");
    /** Kinds whose content is compared, so that their names need no comparison. */
    private static final Set<String> BY_CONTENT = Set.of("TABLE DATA", "SEQUENCE SET");
    private static final String UNCOUNTED = "an unknown number of rows";

    private final List<String> found = new ArrayList<>();

    private Differences() {}

    /**
     * An archive against the dump of the database that was restored from it.
     *
     * @param isOurs false for another tool's archive: its time zone is unknown, so its rows are only counted, and it
     *               may have been made without the rows of some tables, or of all
     */
    static List<String> between(Contents archive, Contents restored, boolean isOurs) {
        var rows = rows(archive.tables());
        var sequences = new TreeMap<>(archive.sequences());
        if (!isOurs) {
            restored.tables().forEach((name, now) -> {
                var before = archive.tables().get(name);
                if (now.rows() == (before == null ? 0 : before.rows())) rows.put(name, text(now));
            });
            restored.sequences().forEach(sequences::putIfAbsent);
        }
        var differences = new Differences();
        differences.content(rows, text(archive.largeObjects()), sequences, restored);
        if (differences.found.isEmpty()) differences.definitions(archive, restored);
        return differences.found;
    }

    /** What the manifest says, against a dump. */
    static List<String> between(Manifest manifest, Contents dump) {
        var rows = new TreeMap<String, String>();
        manifest.content().tables().forEach(t -> rows.put(t.name(), text(t.rows(), t.hash())));
        var objects = manifest.content().largeObjects();
        var differences = new Differences();
        differences.content(rows, text(objects.rows(), objects.hash()), manifest.content().sequences(), dump);
        differences.counts(manifest.content().objects(), dump.kinds());
        return differences.found;
    }

    private void content(SortedMap<String, String> rows, String largeObjects, SortedMap<String, String> sequences,
            Contents dump) {
        compare("table %s: %s, but %s", rows, rows(dump.tables()));
        var objects = text(dump.largeObjects());
        if (!largeObjects.equals(objects)) found.add("large objects: %s, but %s".formatted(largeObjects, objects));
        compare("sequence %s: at %s, but %s", sequences, dump.sequences());
    }

    private void counts(Map<String, Long> before, Map<String, Long> now) {
        before.forEach((kind, count) -> {
            if (!NOT_COMPARED.contains(kind) && !count.equals(now.get(kind)))
                found.add("%s: %d, but %d".formatted(kind, count, now.getOrDefault(kind, 0L)));
        });
    }

    private void definitions(Contents archive, Contents restored) {
        var before = names(archive);
        var now = names(restored);
        missing(before, now).forEach(name -> found.add("missing: " + name));
        missing(now, before).forEach(name -> found.add("not in the backup: " + name));
        compare("constraint %s: %s, restored as %s", archive.constraints(), restored.constraints());
    }

    private void compare(String line, Map<String, String> before, Map<String, String> now) {
        var names = new TreeSet<>(before.keySet());
        names.addAll(now.keySet());
        for (var name : names) {
            var was = before.get(name);
            if (Objects.equals(was, now.get(name)) || UNCOUNTED.equals(was)) continue;
            found.add(line.formatted(name, was == null ? "none" : was, now.getOrDefault(name, "none")));
        }
    }

    private static SortedMap<String, String> rows(SortedMap<String, Contents.Rows> tables) {
        var rows = new TreeMap<String, String>();
        tables.forEach((name, counted) -> rows.put(name, text(counted)));
        return rows;
    }

    private static String text(Contents.Rows rows) {
        return text(rows.rows(), rows.hex());
    }

    private static String text(long rows, String hash) {
        return rows < 0 ? UNCOUNTED : "%,d rows (%s)".formatted(rows, hash);
    }

    /** The names of what is not compared by its content, with how often each occurs. */
    private static Map<String, Long> names(Contents contents) {
        return contents.entries().stream()
                .filter(entry -> !entry.isOfDatabase() && !NOT_COMPARED.contains(entry.kind())
                && !BY_CONTENT.contains(entry.kind()))
                .map(Contents.Entry::toString)
                .collect(Collectors.groupingBy(Function.identity(), TreeMap::new, Collectors.counting()));
    }

    private static List<String> missing(Map<String, Long> expected, Map<String, Long> actual) {
        return expected.entrySet().stream().filter(e -> actual.getOrDefault(e.getKey(), 0L) < e.getValue())
                .map(Map.Entry::getKey).toList();
    }
}
