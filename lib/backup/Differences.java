package lib.backup;

import java.util.ArrayList;
import java.util.HashSet;
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
 * In what two dumps of the same database differ, in words for people. Definitions that hold an expression are compared by
 * name alone: PostgreSQL words some expressions differently once they were restored.
 */
final class Differences {
    private Differences() {}

    /**
     * Settings of the dump itself, and what is left out of a restore into a database that nobody else uses; pg_dump 17 groups large
     * objects anew, and verify leaves subscriptions out.
     */
    private static final Set<String> NOT_COMPARED = Set.of("ENCODING", "STDSTRINGS", "SEARCHPATH", "ACL", "DEFAULT ACL",
            "BLOB", "BLOB METADATA", "BLOBS", "BLOB COMMENTS", "STATISTICS DATA", "SUBSCRIPTION");

    /**
     * Everything the archive has, against everything that came out of the restored database.
     *
     * @param ours false: another's archive has its rows in a time zone of its own, which it does not tell, so they are only counted;
     *             and it may have been made without the rows of some tables, or of all
     */
    static List<String> between(Contents file, Contents restored, boolean ours) {
        var rows = tables(file.tables());
        var sequences = new TreeMap<>(file.sequences());
        if (!ours) {
            restored.tables().forEach((name, is) -> {
                var was = file.tables().get(name);
                if (is.rows() == (was == null ? 0 : was.rows())) rows.put(name, row(is));
            });
            restored.sequences().forEach(sequences::putIfAbsent);
        }
        var found = between(rows, row(file.largeObjects()), sequences, Map.of(), restored);
        if (!found.isEmpty()) return found;
        var wanted = names(file);
        var there = names(restored);
        missing(wanted, there).forEach(name -> found.add("missing: " + name));
        missing(there, wanted).forEach(name -> found.add("not in the backup: " + name));
        compare(file.constraints(), restored.constraints(), (name, was, is) -> found.add("constraint %s: %s, restored as %s".formatted(name, was, is)));
        return found;
    }

    /** What the manifest says, against a dump. */
    static List<String> between(Manifest manifest, Contents dump) {
        var tables = new TreeMap<String, String>();
        manifest.content().tables().forEach(t -> tables.put(t.name(), words(t.rows(), t.hash())));
        var objects = manifest.content().largeObjects();
        return between(tables, words(objects.rows(), objects.hash()), manifest.content().sequences(), manifest.content().objects(), dump);
    }

    private static List<String> between(SortedMap<String, String> tables, String largeObjects, SortedMap<String, String> sequences, Map<String, Long> kinds, Contents dump) {
        var found = new ArrayList<String>();
        compare(tables, tables(dump.tables()), (name, was, is) -> found.add("table %s: %s, but %s".formatted(name, was, is)));
        if (!largeObjects.equals(row(dump.largeObjects()))) found.add("large objects: %s, but %s".formatted(largeObjects, row(dump.largeObjects())));
        compare(sequences, dump.sequences(), (name, was, is) -> found.add("sequence %s: stood at %s, but %s".formatted(name, was, is)));
        var there = dump.kinds();
        kinds.forEach((kind, count) -> {
            if (!NOT_COMPARED.contains(kind) && !count.equals(there.get(kind))) found.add("%s: %d, but %d".formatted(kind, count, there.getOrDefault(kind, 0L)));
        });
        return found;
    }

    private static SortedMap<String, String> tables(SortedMap<String, Contents.Rows> tables) {
        return tables.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, t -> row(t.getValue()), (a, b) -> a, TreeMap::new));
    }

    private static String row(Contents.Rows rows) {
        return words(rows.rows(), rows.hex());
    }

    private static final String UNCOUNTED = "rows that its archive does not tell";

    private static String words(long rows, String hash) {
        return rows < 0 ? UNCOUNTED : "%,d rows (%s)".formatted(rows, hash);
    }

    private interface Found {
        void differs(String name, String was, String is);
    }

    private static void compare(Map<String, String> was, Map<String, String> is, Found found) {
        for (var name : new TreeSet<>(union(was.keySet(), is.keySet()))) {
            var before = was.get(name);
            var after = is.get(name);
            if (!Objects.equals(before, after) && !UNCOUNTED.equals(before)) found.differs(name, before == null ? "none" : before, after == null ? "none" : after);
        }
    }

    private static Set<String> union(Set<String> a, Set<String> b) {
        var all = new HashSet<>(a);
        all.addAll(b);
        return all;
    }

    /** Of what is not compared by its content. */
    private static Map<String, Long> names(Contents contents) {
        return contents.entries().stream().filter(e -> !e.isOfDatabase() && !NOT_COMPARED.contains(e.kind()) && !List.of("TABLE DATA", "SEQUENCE SET").contains(e.kind())).map(Contents.Entry::toString)
                .collect(Collectors.groupingBy(Function.identity(), TreeMap::new, Collectors.counting()));
    }

    private static List<String> missing(Map<String, Long> wanted, Map<String, Long> there) {
        return wanted.entrySet().stream().filter(e -> there.getOrDefault(e.getKey(), 0L) < e.getValue()).map(Map.Entry::getKey).toList();
    }
}
