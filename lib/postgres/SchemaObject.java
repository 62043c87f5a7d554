package lib.postgres;

/**
 * An object of a schema that can be moved to another one.
 *
 * @param catalog   the system catalog that lists it: "pg_class"
 * @param kind      the word of ALTER and DROP, in lower case: "materialized view"
 * @param identity  schema-qualified and quoted, with argument types where they are part of the name
 * @param owned     by our role, or by a role that ours is a member of
 * @param dependent created and dropped with another object: a range type's multirange and constructors
 */
public record SchemaObject(String catalog, long oid, String kind, String identity, String owner,
                           boolean owned, boolean dependent) {
    public boolean isRelation() {
        return catalog.equals("pg_class");
    }

    public boolean isTable() {
        return kind.equals("table") || kind.equals("foreign table");
    }

    public String moveTo(String schema) {
        return "ALTER %s %s SET SCHEMA %s".formatted(kind.toUpperCase(), identity, Sql.identifier(schema));
    }

    public String drop() {
        return "DROP %s IF EXISTS %s CASCADE".formatted(kind.toUpperCase(), identity);
    }
}
