package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** The objects of a schema that can be moved to another: all that no extension owns and that follows nothing else. */
public final class SchemaObjects {
    private SchemaObjects() {}

    /**
     * @param catalog  the system catalog it stands in: "pg_class"
     * @param kind     the word of ALTER and DROP, in lower case: "materialized view"
     * @param identity schema-qualified and quoted, with argument types where they are part of the name
     * @param ours     its owner is us, or a role we are a member of
     * @param part     made and dropped with another object: a range type's multirange and constructors
     */
    public record One(String catalog, long oid, String kind, String identity, String owner, boolean ours, boolean part) {
        public boolean isRelation() {
            return catalog.equals("pg_class");
        }

        public boolean isTable() {
            return kind.equals("table") || kind.equals("foreign table");
        }

        public String moveTo(String schema) {
            return "ALTER %s %s SET SCHEMA %s".formatted(kind.toUpperCase(), identity, Database.quoted(schema));
        }

        public String drop() {
            return "DROP %s IF EXISTS %s CASCADE".formatted(kind.toUpperCase(), identity);
        }
    }

    /**
     * Types last: routines and operators are named by their argument types, so moving a type first would make
     * every name below it wrong.
     */
    public static List<One> in(Database db, String schema) {
        return db.list("""
                WITH n AS (SELECT oid FROM pg_namespace WHERE nspname = ?),
                o (rank, catalog, oid, kind, owner) AS (
                    SELECT 1, 'pg_proc'::regclass, p.oid, 'routine', proowner FROM pg_proc p, n WHERE pronamespace = n.oid
                    UNION ALL SELECT 2, 'pg_operator', p.oid, 'operator', oprowner FROM pg_operator p, n WHERE oprnamespace = n.oid
                    UNION ALL SELECT 3, 'pg_opclass', p.oid, 'operator class', opcowner FROM pg_opclass p, n WHERE opcnamespace = n.oid
                    UNION ALL SELECT 4, 'pg_opfamily', p.oid, 'operator family', opfowner FROM pg_opfamily p, n WHERE opfnamespace = n.oid
                    UNION ALL SELECT 5, 'pg_conversion', p.oid, 'conversion', conowner FROM pg_conversion p, n WHERE connamespace = n.oid
                    UNION ALL SELECT 5, 'pg_collation', p.oid, 'collation', collowner FROM pg_collation p, n WHERE collnamespace = n.oid
                    UNION ALL SELECT 5, 'pg_statistic_ext', p.oid, 'statistics', stxowner FROM pg_statistic_ext p, n WHERE stxnamespace = n.oid
                    UNION ALL SELECT 6, 'pg_ts_config', p.oid, 'text search configuration', cfgowner FROM pg_ts_config p, n WHERE cfgnamespace = n.oid
                    UNION ALL SELECT 6, 'pg_ts_dict', p.oid, 'text search dictionary', dictowner FROM pg_ts_dict p, n WHERE dictnamespace = n.oid
                    UNION ALL SELECT 6, 'pg_ts_parser', p.oid, 'text search parser', 10::oid FROM pg_ts_parser p, n WHERE prsnamespace = n.oid
                    UNION ALL SELECT 6, 'pg_ts_template', p.oid, 'text search template', 10::oid FROM pg_ts_template p, n WHERE tmplnamespace = n.oid
                    UNION ALL SELECT 7, 'pg_class', c.oid, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                                  WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'table' END, relowner
                        FROM pg_class c, n WHERE relnamespace = n.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                         AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                  AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
                    UNION ALL SELECT 8, 'pg_type', t.oid, 'type', t.typowner
                        FROM n JOIN pg_type t ON t.typnamespace = n.oid
                        LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type e ON e.typarray = t.oid
                        WHERE t.typisdefined AND (t.typtype IN ('d', 'e', 'r', 'm') OR t.typtype = 'c' AND c.relkind = 'c' OR t.typtype = 'b' AND e.oid IS NULL)
                )
                SELECT o.catalog::text, o.oid, o.kind, i.identity, pg_get_userbyid(o.owner), pg_has_role(o.owner, 'USAGE'),
                       o.kind IN ('routine', 'type') AND EXISTS (SELECT FROM pg_depend d
                           WHERE d.classid = o.catalog AND d.objid = o.oid AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i')
                FROM o, pg_identify_object(o.catalog, o.oid, 0) i
                WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.catalog AND d.objid = o.oid AND d.deptype = 'e')
                ORDER BY o.rank, o.oid""",
                r -> new One(r.getString(1), r.getLong(2), r.getString(3), r.getString(4), r.getString(5), r.getBoolean(6), r.getBoolean(7)),
                schema);
    }

    /** The objects' oids by catalog, as run.json keeps them. */
    public static Map<String, List<Long>> oids(List<One> objects) {
        return objects.stream().collect(Collectors.groupingBy(One::catalog, TreeMap::new, Collectors.mapping(One::oid, Collectors.toList())));
    }

    public static Predicate<One> among(Map<String, List<Long>> oids) {
        var sets = oids.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> Set.copyOf(e.getValue())));
        return o -> sets.getOrDefault(o.catalog(), Set.of()).contains(o.oid());
    }

    /** Fewer than this in one transaction never fill the lock table of a server with default settings. */
    public static <T> List<List<T>> batches(List<T> all, int size) {
        var batches = new ArrayList<List<T>>();
        for (int from = 0; from < all.size(); from += size) batches.add(all.subList(from, Math.min(from + size, all.size())));
        return batches;
    }

    /**
     * What DROP … CASCADE of these objects would take along that does not stand in their schema, in words; with
     * {@code orOfOthers} also what stands there but is not ours. Parts of the dropped ('i') belong to them wherever they
     * stand; a view's rule is part of its view.
     */
    public static List<String> reachedOutside(Database db, String schema, List<One> dropped, boolean orOfOthers) {
        if (dropped.isEmpty()) return List.of();
        var oids = oids(dropped);
        var values = new ArrayList<Object>(oids.values());
        values.addAll(List.of(schema, orOfOthers));
        var start = oids.keySet().stream().map(c -> "SELECT '%s'::regclass::oid AS c, unnest(?) AS o".formatted(c)).collect(Collectors.joining(" UNION ALL "));
        return db.texts("""
                WITH RECURSIVE reached (classid, objid, part) AS (
                    SELECT s.c, s.o::oid, true FROM (%s) s
                    UNION
                    SELECT e.classid, e.objid, e.part FROM reached r, LATERAL (
                        SELECT d.classid, d.objid, d.deptype = 'i' AND r.part AS part FROM pg_depend d
                        WHERE d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype <> 'e'
                        UNION
                        SELECT d.refclassid, d.refobjid, false FROM pg_depend d
                        WHERE r.classid = 'pg_rewrite'::regclass AND d.classid = r.classid AND d.objid = r.objid AND d.deptype = 'i'
                    ) e
                ), placed AS (
                    SELECT r.classid, r.objid, coalesce(n.nspname, (pg_identify_object(r.classid, r.objid, 0)).schema) AS schema,
                           coalesce(c.relowner, (SELECT proowner FROM pg_proc p WHERE r.classid = 'pg_proc'::regclass AND p.oid = r.objid),
                                    (SELECT typowner FROM pg_type t WHERE r.classid = 'pg_type'::regclass AND t.oid = r.objid)) AS owner
                    FROM (SELECT classid, objid FROM reached GROUP BY 1, 2 HAVING NOT bool_or(part)) r
                    CROSS JOIN LATERAL (SELECT CASE r.classid
                        WHEN 'pg_class'::regclass THEN r.objid
                        WHEN 'pg_constraint'::regclass THEN (SELECT nullif(conrelid, 0) FROM pg_constraint WHERE oid = r.objid)
                        WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = r.objid)
                        WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger WHERE oid = r.objid)
                        WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = r.objid)
                        WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = r.objid) END AS relation) x
                    LEFT JOIN pg_class c ON c.oid = x.relation
                    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
                )
                SELECT DISTINCT pg_describe_object(classid, objid, 0) || coalesce(' in schema ' || schema, '') FROM placed
                WHERE schema <> ? AND schema !~ '^pg_toast' OR classid = 'pg_event_trigger'::regclass
                   OR ? AND owner IS NOT NULL AND NOT pg_has_role(owner, 'USAGE')
                ORDER BY 1""".formatted(start), values.toArray());
    }
}
