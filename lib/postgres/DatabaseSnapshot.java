package lib.postgres;

import java.util.List;
import java.util.Map;

/**
 * What a database is and holds, as far as a reset has to know it.
 *
 * @param role           who we are there
 * @param serverVersionNum 150018
 * @param serverVersion  what people call it: "15.18"
 * @param currentSchema  the schema that a reset is about: current_schema(), or the one Django said
 * @param ownsDatabase   the role is its owner, a member of the owner, or a superuser
 * @param mayCreateSchema the role has CREATE on the database
 * @param bytes          the whole database on disk
 * @param tables         tables, partitions and foreign tables of the schema, by name
 * @param others         how many there are of each other kind of object: "view" → 3
 * @param databaseComment or null
 */
public record DatabaseSnapshot(String name, long oid, String owner, String role, int serverVersionNum, String serverVersion, String currentSchema,
                   boolean standby, boolean superuser, boolean createdb, boolean ownsDatabase, boolean mayCreateSchema,
                   String encoding, long bytes, List<Table> tables, Map<String, Long> others, String databaseComment) {

    /**
     * @param kind           "table", "partitioned table", "foreign table"
     * @param rows           a partitioned table's are its partitions', so its own are 0; a foreign table's are not counted
     * @param exact          counted, not estimated
     * @param partition      of a partitioned table
     * @param extensionOwned belongs to an extension and stays where it is
     */
    public record Table(String name, long oid, String kind, long rows, boolean exact, long bytes, String owner, boolean extensionOwned, boolean partition) {}
}
