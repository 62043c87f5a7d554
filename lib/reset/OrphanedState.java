package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import lib.postgres.Database;
import lib.postgres.Renames;
import lib.postgres.Sql;

/**
 * What stands aside as the server itself tells it: the run's id is in the COMMENT, for the day when no record of the run is left.
 *
 * @param schema null when it is the whole database
 * @param words  "crm as it was before"
 */
public record OrphanedState(String run, String database, String schema, String words) {
    private static final Pattern COMMENT = Pattern.compile("reset_migrations ([^:\\s]+): (.*)", Pattern.DOTALL);
    private static final String BEFORE = " as it was before";

    private record Commented(String name, String comment) {}

    /** What runs have set aside of this database: under other names, and in schemas of its own. */
    public static List<OrphanedState> in(Database db) {
        var live = db.name();
        var found = new ArrayList<OrphanedState>();
        for (var one : commented(db, "SELECT datname, shobj_description(oid, 'pg_database') AS words FROM pg_database WHERE datname <> current_database()")) {
            var m = COMMENT.matcher(one.comment);
            if (!m.matches()) continue;
            var aside = new OrphanedState(m.group(1), one.name, null, m.group(2));
            if (m.group(2).equals(live + BEFORE) || one.name.equals(aside.name(live, "before")) || one.name.equals(aside.name(live, "undone"))) found.add(aside);
        }
        for (var one : commented(db, "SELECT nspname, obj_description(oid, 'pg_namespace') AS words FROM pg_namespace")) {
            var m = COMMENT.matcher(one.comment);
            if (m.matches()) found.add(new OrphanedState(m.group(1), live, one.name, m.group(2)));
        }
        return found;
    }

    private static List<Commented> commented(Database db, String sql) {
        return db.list("SELECT * FROM (%s) c WHERE words LIKE 'reset\\_migrations %%' ORDER BY 1".formatted(sql), r -> new Commented(r.getString(1), r.getString(2)));
    }

    /** Those of no run in this list. */
    public static List<OrphanedState> without(List<Run> runs, Database db) {
        var known = Set.copyOf(runs.stream().map(Run::id).toList());
        return in(db).stream().filter(aside -> !known.contains(aside.run)).toList();
    }

    private String name(String live, String state) {
        return Sql.shortened(live, "_" + state + "_" + Strategy.suffix(run));
    }

    /** An old state, which undo would bring back; else what an undo took away. */
    public boolean old() {
        return words.endsWith(BEFORE);
    }

    public String what() {
        return "%s: %s, by run %s".formatted(schema == null ? "database " + database : "schema %s of database %s".formatted(schema, database), words, run);
    }

    /** How it comes back by hand, a line each. */
    public List<String> back(Database db) {
        var live = db.name();
        if (schema != null) return List.of("-- in database " + live + ", in one transaction: what is in the schema in use goes elsewhere by ALTER TABLE … SET SCHEMA (and so on),",
                "-- then what is in %s goes there; %d tables are in it".formatted(Sql.identifier(schema),
                        db.one("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = ? AND relkind IN ('r', 'p', 'f')", r -> r.getLong(1), schema)));
        var elsewhere = name(live, old() ? "undone" : "before");
        var comment = db.texts("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()").getFirst();
        return List.of("-- from another database, such as postgres, when nobody is connected to " + live,
                "BEGIN;", Renames.rename(live, elsewhere) + ";", Renames.rename(database, live) + ";",
                Renames.comment(elsewhere, "reset_migrations %s: %s".formatted(run, old() ? "what undo took away" : live + BEFORE)) + ";",
                Renames.comment(live, comment) + ";", "COMMIT;");
    }
}
