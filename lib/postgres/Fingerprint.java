package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * All that makes a database what it is, except the objects of one schema. A program can tell two databases with equal
 * fingerprints apart only by what that schema contains.
 */
public record Fingerprint(SortedSet<Line> lines) {

    /** @param kind for people: "extension" */
    public record Line(String kind, String text) implements Comparable<Line> {
        @Override
        public int compareTo(Line other) {
            return toString().compareTo(other.toString());
        }

        @Override
        public String toString() {
            return kind + " " + text;
        }
    }

    /** @param schema whose objects are left out */
    public static Fingerprint of(Database db, String schema) {
        return new Fingerprint(new TreeSet<>(db.list(Sql.file("fingerprint.sql"),
                r -> new Line(r.getString(1), r.getString(2)), schema, schema)));
    }

    /** What only one of the two has; empty when they are equal. */
    List<String> differences(Fingerprint copy) {
        var differences = new ArrayList<String>();
        lines.stream().filter(l -> !copy.lines.contains(l)).forEach(l -> differences.add(l.toString()));
        copy.lines.stream().filter(l -> !lines.contains(l)).forEach(l -> differences.add("only in the copy: " + l));
        return differences;
    }

    /** The lines of a kind whose text begins so. */
    List<String> texts(String kind, String start) {
        return lines.stream().filter(l -> l.kind.equals(kind) && l.text.startsWith(start)).map(Line::text).toList();
    }

    /** Kinds that a new database never has, and that the catalogs alone do not suffice to create. */
    private static final List<String> NOT_COPYABLE = List.of("security label", "other schemas with objects", "language",
            "cast", "access method", "transform", "event trigger", "foreign data wrapper", "foreign server",
            "publication", "subscription", "replication slot", "prepared transaction", "large objects",
            "grant on an extension's object");

    /** Why a copy would differ, known without creating one: "publication: sync". */
    public List<String> notCopyable() {
        return NOT_COPYABLE.stream().filter(kind -> !texts(kind, "").isEmpty())
                .map(kind -> kind + ": " + String.join(", ", texts(kind, ""))).toList();
    }
}
