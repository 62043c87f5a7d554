package lib.postgres;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.error.Failure;

/**
 * What a reset has to know of a database.
 *
 * @param comment of the database, or null
 * @param bytes   the whole database on disk
 * @param role    ours
 */
public record DatabaseSnapshot(String name, long oid, String owner, String comment, long bytes,
                               Server server, Role role, Schema schema) {

    /** @param version 150018; @param versionText as people write it: "15.18" */
    public record Server(int version, String versionText, boolean standby) {}

    /**
     * @param ownsDatabase    it is the owner, a member of the owner, or a superuser
     * @param mayCreateSchema it has CREATE on the database
     */
    public record Role(String name, boolean superuser, boolean createdb,
                       boolean ownsDatabase, boolean mayCreateSchema) {}

    /**
     * The schema that a reset is about.
     *
     * @param tables       tables, partitions and foreign tables, by name
     * @param otherObjects the number of each other kind: "view" → 3
     */
    public record Schema(String name, List<Table> tables, Map<String, Long> otherObjects) {}

    /**
     * Component names are those of the JSON output.
     *
     * @param kind           "table", "partitioned table", "foreign table"
     * @param rows           0 for a partitioned table, whose partitions have them, and for a foreign table
     * @param exact          counted, not estimated
     * @param extensionOwned belongs to an extension, so it stays where it is
     * @param partition      of a partitioned table
     */
    public record Table(String name, long oid, String kind, long rows, boolean exact, long bytes, String owner,
                        boolean extensionOwned, boolean partition) {
        private Table counted(long number) {
            return new Table(name, oid, kind, number, true, bytes, owner, extensionOwned, partition);
        }
    }

    /** With the schema that is current for this connection. */
    public static DatabaseSnapshot of(Database db) {
        return of(db, null);
    }

    /**
     * @param schema the current one of Django's connection, or null for that of this connection
     * @throws Failure when tables are locked for more than five seconds
     */
    public static DatabaseSnapshot of(Database db, String schema) {
        try {
            return db.transaction(() -> read(db, schema));
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("55P03")) throw e;
            var all = "SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384";
            throw Sessions.tablesLocked(Sessions.holding(db, db.list(all, r -> r.getLong(1))), false).causedBy(e);
        }
    }

    private static DatabaseSnapshot read(Database db, String given) {
        var name = given != null ? given : db.texts("SELECT coalesce(current_schema(), 'public')").getFirst();
        var others = SchemaObjects.in(db, name).stream().filter(o -> !o.dependent() && !o.isTable())
                .collect(Collectors.groupingBy(SchemaObject::kind, TreeMap::new, Collectors.counting()));
        var schema = new Schema(name, tables(db, name), others);
        return db.one("""
                SELECT d.datname, d.oid, pg_get_userbyid(d.datdba) AS owner,
                       shobj_description(d.oid, 'pg_database') AS comment, pg_database_size(d.oid) AS bytes,
                       current_setting('server_version_num')::int AS version,
                       current_setting('server_version') AS version_text, pg_is_in_recovery() AS standby,
                       r.rolname, r.rolsuper, r.rolcreatedb, pg_has_role(d.datdba, 'USAGE') AS owns,
                       has_database_privilege(d.oid, 'CREATE') AS may_create_schema
                FROM pg_database d, pg_roles r
                WHERE d.datname = current_database() AND r.rolname = current_user""",
                r -> new DatabaseSnapshot(r.getString("datname"), r.getLong("oid"), r.getString("owner"),
                        r.getString("comment"), r.getLong("bytes"),
                        new Server(r.getInt("version"), r.getString("version_text"), r.getBoolean("standby")),
                        new Role(r.getString("rolname"), r.getBoolean("rolsuper"), r.getBoolean("rolcreatedb"),
                                r.getBoolean("owns"), r.getBoolean("may_create_schema")),
                        schema));
    }

    /** Counting reads the whole table. Up to this many pages of 8 kB per table, and in all, it takes no time. */
    private static final long PAGES_PER_TABLE = 2_000, PAGES_IN_ALL = 20_000;

    private record Size(Table table, long pages, boolean countable) {
        boolean isSmall() {
            return countable && pages > 0 && pages <= PAGES_PER_TABLE;
        }
    }

    private static List<Table> tables(Database db, String schema) {
        var sizes = db.list(Sql.file("tables.sql"), r -> {
            var pages = r.getLong("pages");
            var rowsPerPage = r.getLong("relpages") > 0 ? r.getDouble("reltuples") / r.getLong("relpages") : 50;
            var empty = !r.getString("kind").equals("foreign table") && pages == 0 && !r.getBoolean("locked");
            var table = new Table(r.getString("relname"), r.getLong("oid"), r.getString("kind"),
                    Math.round(rowsPerPage * pages), empty, r.getLong("bytes"), r.getString("owner"),
                    r.getBoolean("extension"), r.getBoolean("relispartition"));
            return new Size(table, pages, r.getBoolean("countable"));
        }, schema);
        var left = PAGES_IN_ALL;
        var small = new ArrayList<String>();
        for (var size : sizes) {
            if (!size.isSmall() || size.pages > left) continue;
            left -= size.pages;
            small.add(size.table.name());
        }
        var counts = counts(db, schema, small);
        return sizes.stream().map(Size::table)
                .map(t -> counts.containsKey(t.name()) ? t.counted(counts.get(t.name())) : t).toList();
    }

    private static Map<String, Long> counts(Database db, String schema, List<String> tables) {
        var counts = new HashMap<String, Long>();
        for (var batch : SchemaObjects.batches(tables, 100)) {
            var from = " FROM ONLY " + Sql.identifier(schema) + ".";
            var sql = batch.stream().map(t -> "SELECT " + Sql.literal(t) + ", count(*)" + from + Sql.identifier(t))
                    .collect(Collectors.joining("\nUNION ALL "));
            db.run("SAVEPOINT counting");
            db.list(sql, r -> counts.put(r.getString(1), r.getLong(2)));
            db.run("ROLLBACK TO SAVEPOINT counting"); // releases the locks: those of 5,000 tables fill the lock table
        }
        return counts;
    }
}
