package lib.reset;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import lib.postgres.Sql;

/** The id of a run: 20261122-172530-4f2a. Ids are unique and sort by time. */
public final class RunId {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss")
            .withZone(ZoneOffset.UTC);

    private RunId() {}

    public static String create() {
        return TIME.format(Instant.now()) + "-%04x".formatted(ThreadLocalRandom.current().nextInt(0x10000));
    }

    /** The id as a part of names in the database: 20261122_172530_4f2a. */
    static String suffix(String id) { return id.replace('-', '_'); }

    /** The databases in which a run builds: the new one, and the one for the old migrations. */
    static List<String> scratchDatabases(String database, String id) {
        return List.of(named(database, "new", id), named(database, "old", id));
    }

    /** The name of a database that a run creates or sets aside: crm_before_20261122_172530_4f2a. */
    static String named(String database, String state, String id) {
        return Sql.shortened(database, "_" + state + "_" + suffix(id));
    }
}
