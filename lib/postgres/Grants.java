package lib.postgres;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.TreeMap;
import lib.error.Failure;

/** Privileges on the relations of a schema, to be granted on new relations of the same names. */
public record Grants(List<Grant> all) {
    /** @param column null for the whole relation; @param grantee quoted, or PUBLIC */
    record Grant(String relation, String column, String grantee, String privilege, boolean grantable) {
        String statement(String schema) {
            var columns = column == null ? "" : " (" + Sql.identifier(column) + ")";
            return "GRANT %s%s ON %s.%s TO %s%s".formatted(privilege, columns,
                    Sql.identifier(schema), Sql.identifier(relation), grantee, grantable ? " WITH GRANT OPTION" : "");
        }

        @Override
        public String toString() {
            var columns = column == null ? "" : " (" + column + ")";
            return "%s on %s%s to %s".formatted(privilege, relation, columns, grantee);
        }
    }

    /** All grants to roles other than the owner. */
    public static Grants in(Database db, String schema) {
        return new Grants(db.list("""
                WITH r AS (SELECT c.oid, relname, relacl, relowner
                           FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                           WHERE nspname = ? AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
                acls (relname, attname, relowner, acl) AS (
                    SELECT relname, NULL, relowner, relacl FROM r
                    UNION ALL SELECT relname, attname, relowner, attacl
                    FROM r JOIN pg_attribute ON attrelid = oid AND NOT attisdropped)
                SELECT relname, attname, %s, privilege_type, is_grantable
                FROM acls, aclexplode(acl) WHERE grantee <> relowner ORDER BY 1, 2, 3, 4""".formatted(Sql.GRANTEE),
                r -> new Grant(r.getString(1), r.getString(2), r.getString(3), r.getString(4), r.getBoolean(5)),
                schema));
    }

    /** Of equal grants on relations that are gone, this many are listed: a reader of a large schema has 20,000. */
    private static final int LISTED = 50;
    private static final String NOT_GRANTED = "not granted again: ";

    /** Grants them on the relations of the same names. @return a warning for each that was not possible */
    public List<String> regrant(Database db, String schema) {
        var warnings = new ArrayList<String>();
        if (all.isEmpty()) return warnings;
        var missing = new TreeMap<String, Integer>();
        var present = new HashSet<>(Grants.in(db, schema).all); // from default privileges
        var relations = new HashSet<>(db.texts(
                "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = ?", schema));
        for (var grant : all) {
            if (present.contains(grant)) continue;
            if (!relations.contains(grant.relation)) {
                var number = missing.merge(grant.privilege + " to " + grant.grantee, 1, Integer::sum);
                if (number <= LISTED) warnings.add(NOT_GRANTED + grant + ": there is no new " + grant.relation);
                continue;
            }
            try {
                db.run(grant.statement(schema));
            } catch (Failure denied) {
                warnings.add(NOT_GRANTED + "%s: %s".formatted(grant, Failure.firstLine(denied)));
            }
        }
        missing.forEach((grant, number) -> {
            if (number <= LISTED) return;
            var more = number - LISTED;
            warnings.add(NOT_GRANTED + "%s on %,d more relations that no longer exist".formatted(grant, more));
        });
        return warnings;
    }
}
