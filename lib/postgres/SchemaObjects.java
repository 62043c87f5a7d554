package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** Queries about the objects of a schema. */
public final class SchemaObjects {
    private SchemaObjects() {}

    /** The objects that can be moved, in the order in which they can be. */
    public static List<SchemaObject> in(Database db, String schema) {
        return db.list(Sql.file("schema_objects.sql"), r -> new SchemaObject(r.getString(1), r.getLong(2),
                r.getString(3), r.getString(4), r.getString(5), r.getBoolean(6), r.getBoolean(7)), schema);
    }

    /** The objects' oids by catalog, as in run.json. */
    public static Map<String, List<Long>> oids(List<SchemaObject> objects) {
        return objects.stream().collect(Collectors.groupingBy(SchemaObject::catalog, TreeMap::new,
                Collectors.mapping(SchemaObject::oid, Collectors.toList())));
    }

    public static Predicate<SchemaObject> withOids(Map<String, List<Long>> oids) {
        var sets = oids.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> Set.copyOf(e.getValue())));
        return o -> sets.getOrDefault(o.catalog(), Set.of()).contains(o.oid());
    }

    /** For one transaction each, so that the lock table of a server with default settings has room for the locks. */
    public static <T> List<List<T>> batches(List<T> all, int size) {
        var batches = new ArrayList<List<T>>();
        for (int from = 0; from < all.size(); from += size)
            batches.add(all.subList(from, Math.min(from + size, all.size())));
        return batches;
    }

    /**
     * Descriptions of what DROP … CASCADE of these objects would also drop outside their schema.
     *
     * @param othersToo also what is in their schema, but is not owned by our role
     */
    public static List<String> droppedByCascade(Database db, String schema, List<SchemaObject> dropped,
                                                boolean othersToo) {
        return db.texts(Sql.file("dropped_by_cascade.sql"), dropped.stream().map(SchemaObject::catalog).toList(),
                dropped.stream().map(SchemaObject::oid).toList(), schema, othersToo);
    }
}
