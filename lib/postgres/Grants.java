package lib.postgres;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.TreeMap;
import lib.error.Failure;

/**
 * Privileges on the relations of a schema. New tables have none of the old ones' grants, whatever the strategy: they
 * are given again by name.
 */
public record Grants(List<One> all) {
    /** @param column null for the whole relation; @param grantee quoted, or PUBLIC */
    record One(String relation, String column, String grantee, String privilege, boolean grantable) {
        String statement(String schema) {
            return "GRANT %s%s ON %s.%s TO %s%s".formatted(privilege, column == null ? "" : " (" + Database.quoted(column) + ")",
                    Database.quoted(schema), Database.quoted(relation), grantee, grantable ? " WITH GRANT OPTION" : "");
        }

        @Override
        public String toString() {
            return "%s on %s%s to %s".formatted(privilege, relation, column == null ? "" : " (" + column + ")", grantee);
        }
    }

    /** Everything given to others than the owner. */
    public static Grants in(Database db, String schema) {
        return new Grants(db.list("""
                WITH r AS (SELECT c.oid, c.relname, c.relacl, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                           WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S'))
                SELECT relname, NULL, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, is_grantable
                FROM r, aclexplode(relacl) WHERE grantee <> relowner
                UNION ALL
                SELECT relname, attname, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, is_grantable
                FROM r JOIN pg_attribute a ON a.attrelid = r.oid AND NOT attisdropped, aclexplode(attacl) WHERE grantee <> relowner
                ORDER BY 1, 2, 3, 4""",
                r -> new One(r.getString(1), r.getString(2), r.getString(3), r.getString(4), r.getBoolean(5)), schema));
    }

    private static final int NAMED = 50;

    /** Gives them to the relations of the same names, and returns in words those that found none, or were denied. */
    public List<String> giveIn(Database db, String schema) {
        var lost = new ArrayList<String>();
        if (all.isEmpty()) return lost;
        var missing = new TreeMap<String, Integer>(); // by what was granted: no screen holds a reader's 20,000 tables
        var has = new HashSet<>(Grants.in(db, schema).all);
        var there = new HashSet<>(db.texts("SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?", schema));
        for (var grant : all) {
            if (has.contains(grant)) continue; // default privileges gave it already
            if (!there.contains(grant.relation)) {
                if (missing.merge(grant.privilege + " to " + grant.grantee, 1, Integer::sum) <= NAMED)
                    lost.add("not granted again: " + grant + ": there is no new " + grant.relation);
                continue;
            }
            try {
                db.run(grant.statement(schema));
            } catch (Failure denied) {
                lost.add("not granted again: " + grant + ": " + Failure.firstLine(denied));
            }
        }
        missing.forEach((what, times) -> {
            if (times > NAMED) lost.add("not granted again: %s, on %,d more that are not there any longer".formatted(what, times - NAMED));
        });
        return lost;
    }
}
