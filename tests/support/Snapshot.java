package support;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import lib.files.Disk;

/** The state of a database or a folder as sorted lines, so that a failing assertion shows what differs. */
public final class Snapshot {
    private static final String OURS = " n.nspname !~ '^(pg_|information_schema|parked_|undone_|reset_)'";

    private Snapshot() {}

    /** The whole schema and all rows, without what runs have set aside. */
    public static List<String> of(Postgres.Db db) throws SQLException {
        var lines = new TreeSet<String>();
        try (var connection = db.connect()) {
            query(connection, lines, """
                SELECT 'column ' || c.oid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
                       || ' ' || attnotnull || attidentity::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
                       || ' kind ' || relkind::text || ' owner ' || relowner::regrole
                       || ' acl ' || coalesce(relacl::text, '')
                FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
                LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (attrelid, attnum)
                WHERE attnum > 0 AND NOT attisdropped
                  AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND\s""" + OURS);
            query(connection, lines, """
                SELECT 'constraint ' || conname || ' ' || conrelid::regclass || ' ' || pg_get_constraintdef(k.oid)
                FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace WHERE conrelid <> 0 AND\s""" + OURS);
            query(connection, lines, """
                SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
                JOIN pg_namespace n ON n.oid = relnamespace WHERE\s""" + OURS);
            query(connection, lines, """
                SELECT 'view ' || c.oid::regclass || ' ' || pg_get_viewdef(c.oid) FROM pg_class c
                JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('v', 'm') AND\s""" + OURS);
            query(connection, lines, """
                SELECT 'function ' || p.oid::regprocedure || ' ' || prosrc
                FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE\s""" + OURS);
            query(connection, lines, """
                SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
                JOIN pg_namespace n ON n.oid = relnamespace WHERE NOT tgisinternal AND\s""" + OURS);
            query(connection, lines, """
                SELECT 'type ' || t.oid::regtype || ' ' || typtype::text || coalesce(
                    (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), '')
                FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype <> 'b' AND\s""" + OURS);
            query(connection, lines, """
                SELECT 'object ' || i.type || ' ' || i.identity
                FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid, pg_identify_object(classid, objid, 0) i
                WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n' AND\s""" + OURS);
            query(connection, lines, "SELECT 'policy ' || p::text FROM pg_policies p"
                + " WHERE schemaname !~ '^(parked_|undone_|reset_)'");
            query(connection, lines, "SELECT 'rule ' || r::text FROM pg_rules r"
                + " WHERE schemaname !~ '^(pg_|parked_|undone_|reset_)'");
            query(connection, lines,
                "SELECT 'extension ' || extname || ' ' || extnamespace::regnamespace FROM pg_extension");
            query(connection, lines, """
                SELECT 'database ' || datname || ' ' || datdba::regrole || ' ' || coalesce(datacl::text, '')
                       || coalesce(shobj_description(oid, 'pg_database'), '')
                FROM pg_database WHERE datname = current_database()""");
            for (var table : names(connection, "r', 'm")) query(connection, lines, """
                SELECT 'rows %2$s ' || count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 7)), 0) FROM %1$s t
                """.formatted(table, table.replace("'", "''")));
            for (var sequence : names(connection, "S")) query(connection, lines, """
                SELECT 'sequence %2$s ' || last_value || is_called FROM %1$s
                """.formatted(sequence, sequence.replace("'", "''")));
        }
        return List.copyOf(lines);
    }

    private static List<String> names(Connection connection, String kinds) throws SQLException {
        var names = new TreeSet<String>();
        query(connection, names, """
            SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind IN ('%s') AND %s""".formatted(kinds, OURS));
        return List.copyOf(names);
    }

    private static void query(Connection connection, TreeSet<String> lines, String sql) throws SQLException {
        try (var statement = connection.createStatement(); var rows = statement.executeQuery(sql)) {
            while (rows.next()) lines.add(rows.getString(1));
        }
    }

    /** Path, mode and hash of every file below a folder, except those of runs, backups and compiled Python. */
    public static List<String> of(Path folder) throws IOException {
        var lines = new ArrayList<String>();
        try (var files = Files.walk(folder)) {
            for (var file : files.sorted().toList()) {
                var path = folder.relativize(file).toString();
                if (path.startsWith(".reset") || path.startsWith("backups") || path.contains("__pycache__")) continue;
                var mode = Files.getPosixFilePermissions(file, LinkOption.NOFOLLOW_LINKS);
                lines.add(path + " " + PosixFilePermissions.toString(mode) + " " + content(file));
            }
        }
        return lines;
    }

    private static String content(Path file) throws IOException {
        if (Files.isSymbolicLink(file)) return "-> " + Files.readSymbolicLink(file);
        return Files.isRegularFile(file) ? Disk.sha256(Files.readAllBytes(file)) : "";
    }
}
