package lib.backup.archive;

import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.postgres.Sql;

/**
 * What a pg_dump archive holds, counted while all of it was read.
 *
 * @param entries       the table of contents, in its own order, without the definitions
 * @param tables        rows of each table whose data is in it, by {@code schema.table}, quoted where SQL needs it
 * @param sequences     the position of each sequence: {@code 42, true} as in {@code setval}
 * @param largeObjects  all of them counted as one table
 * @param constraints   definitions of primary keys, unique constraints and foreign keys (not of exclusions), by {@code
 *                      schema.table name}
 * @param lastMigration of Django's, or null
 */
public record Contents(Header header, List<Entry> entries, SortedMap<String, Rows> tables,
        SortedMap<String, String> sequences, Rows largeObjects, SortedMap<String, String> constraints,
        Migration lastMigration) {
    /**
     * @param database that was dumped
     * @param server   the version of its server, as pg_dump wrote it: {@code 15.8 (Debian 15.8-0+deb12u1)}
     * @param pgDump   the version of pg_dump
     */
    public record Header(String database, String server, String pgDump) {}

    /** @param name as pg_dump tags it: a constraint's with its table before it */
    public record Entry(String kind, String schema, String name) {
        /**
         * Whether it belongs to the database itself, so that a restore into another database does not bring it. So does
         * the public schema, which every new database has: pg_dump lists it when its owner was changed, which
         * --no-owner does not restore.
         */
        public boolean isOfDatabase() {
            var publicSchema = schema.isEmpty()
                    && (kind.equals("SCHEMA") && name.equals("public") || name.equals("SCHEMA public"));
            var aboutDatabase = name.startsWith("DATABASE ")
                    && List.of("COMMENT", "ACL", "SECURITY LABEL").contains(kind);
            return kind.startsWith("DATABASE") || publicSchema || aboutDatabase;
        }

        @Override public String toString() {
            return kind + " " + (schema.isEmpty() ? "" : plain(schema) + ".") + name;
        }
    }

    /**
     * Rows of a table, in any order.
     *
     * @param rows  -1 when unknown: data as INSERTs, or compressed with LZ4
     * @param hash  the sum modulo 2^64 of the XXH64 of each row's line in COPY's text format, without its end
     * @param bytes of these lines, with their ends
     */
    public record Rows(long rows, long hash, long bytes) {
        static final Rows UNKNOWN = new Rows(-1, 0, 0);

        public String hex() {
            return "%016x".formatted(hash);
        }
    }

    /** The latest row of django_migrations. */
    public record Migration(String app, String name, String applied) {}

    /** How many objects in the database of each kind, such as TABLE, INDEX, FK CONSTRAINT. */
    public SortedMap<String, Long> kinds() {
        return entries.stream().filter(entry -> !entry.isOfDatabase())
                .collect(Collectors.groupingBy(Entry::kind, TreeMap::new, Collectors.counting()));
    }

    public long rows() {
        return tables.values().stream().mapToLong(Rows::rows).filter(rows -> rows >= 0).sum();
    }

    /** The major version: 15 of {@code 15.8 (Debian 15.8-0+deb12u1)}; 0 where it begins with no number. */
    public static int major(String version) {
        var digits = version.replaceFirst("\\D.*", "");
        return digits.isEmpty() ? 0 : Integer.parseInt(digits);
    }

    /** {@code schema.table}, each part quoted only where SQL needs it. */
    static String named(String schema, String name) {
        return plain(schema) + "." + plain(name);
    }

    private static String plain(String name) {
        return name.matches("[a-z_][a-z0-9_$]*") ? name : Sql.identifier(name);
    }
}
