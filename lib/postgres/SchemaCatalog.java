package lib.postgres;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;

/**
 * The objects of one schema, each with its definition as PostgreSQL words it. Two catalogs can be compared when both
 * were read from the same server, for a schema of the same name.
 *
 * @param locked relations that could not be read, because another session had locked them; of these only row security
 *               is known
 */
public record SchemaCatalog(String schema, List<Item> items, Set<String> locked) {

    /** Kinds of objects, and of properties that can be attached to them. */
    public enum Kind {
        TABLE, COLUMN, PRIMARY_KEY(Naming.ANY), UNIQUE(Naming.ANY), FOREIGN_KEY(Naming.ANY), CHECK(Naming.ANY),
        EXCLUSION(Naming.ANY), COLUMN_CONSTRAINT(Naming.ANY), INDEX(Naming.ANY), UNIQUE_INDEX(Naming.ANY),
        SEQUENCE, TRIGGER, RULE, POLICY, ROW_SECURITY, VIEW, MATERIALIZED_VIEW, FUNCTION, ENUM, DOMAIN, DOMAIN_CHECK,
        COMPOSITE_TYPE, RANGE_TYPE, BASE_TYPE, STATISTICS, EXTENSION, COLLATION, CONVERSION, OPERATOR,
        OPERATOR_CLASS, OPERATOR_FAMILY, TEXT_SEARCH_CONFIGURATION, TEXT_SEARCH_DICTIONARY, TEXT_SEARCH_PARSER,
        TEXT_SEARCH_TEMPLATE, REPLICA_IDENTITY, CLUSTER, TABLESPACE, COLUMN_STORAGE, STATISTICS_TARGET,
        STORAGE_PARAMETER(Naming.SEVERAL), PUBLICATION(Naming.SEVERAL), GRANT(Naming.SEVERAL), OWNER, COMMENT,
        SECURITY_LABEL(Naming.SEVERAL);

        private enum Naming { UNIQUE, ANY, SEVERAL }

        private final Naming naming;

        Kind() {
            this(Naming.UNIQUE);
        }

        Kind(Naming naming) {
            this.naming = naming;
        }

        /** PostgreSQL or Django may have chosen the name, so the definition tells which object it is. */
        boolean isKnownByDefinition() {
            return naming == Naming.ANY;
        }

        /** One object can have several of them, so that none is another version of another. */
        boolean isOneOfSeveral() {
            return naming == Naming.SEVERAL;
        }

        /** "primary key" */
        public String label() {
            return name().toLowerCase().replace('_', ' ');
        }

        /** How comments, owners and grants name an object of this kind: "constraint". */
        String noun() {
            return switch (this) {
                case PRIMARY_KEY, UNIQUE, FOREIGN_KEY, CHECK, EXCLUSION, COLUMN_CONSTRAINT -> "constraint";
                case INDEX, UNIQUE_INDEX -> "index";
                case ENUM, DOMAIN, COMPOSITE_TYPE, RANGE_TYPE, BASE_TYPE -> "type";
                default -> label();
            };
        }

        public boolean isRelation() {
            return this == TABLE || this == VIEW || this == MATERIALIZED_VIEW;
        }

        /** A property of another object, whose {@link Item#name} is that object's noun and name. */
        boolean isAttached() {
            return this == GRANT || this == OWNER || this == COMMENT || this == SECURITY_LABEL;
        }
    }

    /**
     * @param relation   the table, view or materialized view that it belongs to, or null
     * @param name       unquoted; of an attached property the noun and name of its object: "column code"
     * @param definition without the name where the name may be any
     * @param detail     what makes no difference in meaning: "serial" or "identity", an extension's version; or null
     * @param ordinal    a column's position among those of its table, 0 for others
     */
    public record Item(Kind kind, String relation, String name, String definition, String detail, int ordinal) {
        /** "index code_idx", "comment of column code" */
        public String label() {
            return kind.isAttached() ? kind.label() + " of " + name : kind.label() + " " + name;
        }

        /** "index code_idx on shop_order" */
        @Override
        public String toString() {
            return relation == null || relation.equals(name) || name.endsWith(" " + relation)
                    ? label() : label() + " on " + relation;
        }
    }

    /** Without what other sessions had locked in one of the two, except for its row security. */
    private SchemaCatalog without(Set<String> relations) {
        return new SchemaCatalog(schema, items.stream().filter(item -> item.kind() == Kind.ROW_SECURITY
                || item.relation() == null || !relations.contains(item.relation())).toList(), locked);
    }

    SchemaCatalog comparableWith(SchemaCatalog other) {
        var both = new HashSet<>(locked);
        both.addAll(other.locked);
        return both.isEmpty() ? this : without(both);
    }

    /** The names of all tables, views and materialized views. */
    public Set<String> relations() {
        return Stream.concat(items.stream().filter(item -> item.kind().isRelation()).map(Item::name), locked.stream())
                .collect(Collectors.toSet());
    }

    /**
     * Reads the catalogs only; no table is locked or read.
     *
     * @throws Failure when the schema has an object of a kind that is not known here
     */
    public static SchemaCatalog of(Database db, String schema) {
        return read(db, schema, Sql.identifier(schema)).catalog(schema);
    }

    /**
     * The objects of a second schema as if they were in the first one. What they need and the second one lacks, they
     * use from the first.
     */
    public static SchemaCatalog ofSecond(Database db, String second, String schema) {
        return inPlace(read(db, second, searchPath(second, schema)).catalog(schema), second);
    }

    /** @param rows what {@link #query} returned for the second schema, with {@link #searchPath} */
    public static SchemaCatalog ofSecond(String second, String schema, List<List<String>> rows) {
        return inPlace(of(schema, rows), second);
    }

    public static String searchPath(String second, String schema) {
        return Sql.identifier(second) + ", " + Sql.identifier(schema);
    }

    private static SchemaCatalog inPlace(SchemaCatalog catalog, String second) {
        // the definitions of triggers name the schema although it is on the search_path
        return new SchemaCatalog(catalog.schema, catalog.items.stream().map(one -> new Item(one.kind, one.relation,
                one.name, one.definition.replace(second + ".", catalog.schema + "."), one.detail, one.ordinal))
                .toList(), catalog.locked);
    }

    private static Rows read(Database db, String schema, String searchPath) {
        var rows = new Rows();
        db.transaction(() -> {
            // the planner has no statistics of common table expressions, and takes thousands of rows for a few: it
            // would also compile the whole query first, which takes many times as long as running it
            db.run("SET LOCAL enable_nestloop TO off; SET LOCAL jit TO off; SET LOCAL search_path TO " + searchPath);
            return db.list(query(schema), r -> rows.add(r.getString(1), r.getString(2), r.getString(3),
                    r.getString(4), r.getString(5), r.getInt(6)));
        });
        return rows;
    }

    /** The query of a catalog, for a session whose search_path is the schema alone. */
    public static String query(String schema) {
        return Sql.file("schema_catalog.sql").replace("nspname = ?", "nspname = " + Sql.literal(schema));
    }

    /** @param rows what {@link #query} returned, as text */
    public static SchemaCatalog of(String schema, List<List<String>> rows) {
        var found = new Rows();
        for (var row : rows)
            found.add(row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), Integer.parseInt(row.get(5)));
        return found.catalog(schema);
    }

    private static final class Rows {
        private final List<Item> items = new ArrayList<>();
        private final Set<String> locked = new TreeSet<>();
        /** Equal texts are kept once: a schema with 20,000 tables has some hundred thousand items. */
        private final Map<String, String> texts = new HashMap<>();

        /** @return true, for {@link Database#list} */
        boolean add(String kind, String relation, String name, String definition, String detail, int ordinal) {
            switch (kind) {
                case "LOCKED" -> locked.add(relation);
                case "UNKNOWN" -> throw Failure.failed(
                        "%s: %s is not known to this version, so that the schema cannot be compared"
                                .formatted(name, definition)).next("please report it");
                default -> items.add(new Item(Kind.valueOf(kind), kept(relation), kept(name),
                        kept(definition == null ? "" : definition), kept(detail), ordinal));
            }
            return true;
        }

        private String kept(String text) {
            return text == null ? null : texts.computeIfAbsent(text, same -> same);
        }

        SchemaCatalog catalog(String schema) {
            return new SchemaCatalog(schema, List.copyOf(items), locked);
        }
    }
}
