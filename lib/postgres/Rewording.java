package lib.postgres;

import java.util.HashMap;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.postgres.SchemaCatalog.Item;
import lib.postgres.SchemaCatalog.Kind;

/**
 * Sends a definition through the server's parser once more. PostgreSQL words an expression according to the casts that
 * its parser has added, and a dump that is restored is parsed again: {@code status IN ('a', 'b')} on a varchar becomes
 * {@code ANY ((ARRAY['a'::varchar, …])::text[])}, and after a restore {@code ANY (ARRAY[('a'::varchar)::text, …])}.
 * Parsed once more, both read the same.
 */
public final class Rewording {
    private static final String NAME = "reworded";

    private final Database db;
    private final Map<Item, String> known = new HashMap<>();

    /** @param db where temporary tables may be created, and where the types of both schemas are; nothing stays there */
    public Rewording(Database db) {
        this.db = db;
    }

    /** The definition as the server words it today; unchanged for kinds without expressions, and where it fails. */
    public String of(SchemaCatalog catalog, Item item) {
        return known.computeIfAbsent(item, i -> {
            try {
                return reworded(catalog, i);
            } catch (Failure e) {
                return i.definition(); // for example because this database lacks the column: then they do differ
            }
        });
    }

    private static final String CONSTRAINT = "pg_get_constraintdef(oid) FROM pg_constraint WHERE conname";
    private static final String INDEX =
            "substr(pg_get_indexdef(oid), position(' USING ' IN pg_get_indexdef(oid))) FROM pg_class WHERE relname";
    private static final String POLICY = """
            concat_ws(' / ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), polpermissive, polcmd,
                      polroles) FROM pg_policy WHERE polname""";

    private String reworded(SchemaCatalog catalog, Item item) {
        var table = item.relation() == null ? "" : Sql.identifier(item.relation());
        var definition = item.definition();
        return switch (item.kind()) {
            case CHECK, EXCLUSION -> onTable(catalog, item, CONSTRAINT,
                    "ALTER TABLE %s ADD CONSTRAINT %s %s".formatted(table, NAME, definition));
            case COLUMN -> column(catalog, item, table);
            case INDEX, UNIQUE_INDEX -> onTable(catalog, item, INDEX,
                    "CREATE INDEX %s ON %s %s".formatted(NAME, table, definition));
            case POLICY -> onTable(catalog, item, POLICY,
                    "CREATE POLICY %s ON %s AS %s".formatted(NAME, table, definition));
            case TRIGGER -> onTable(catalog, item, "pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname",
                    trigger(catalog, item, table)) + suffix(definition);
            case VIEW, MATERIALIZED_VIEW -> inTransaction(catalog, "pg_get_viewdef(oid) FROM pg_class WHERE relname",
                    "CREATE TEMP VIEW %s AS %s".formatted(NAME, definition.strip()));
            case DOMAIN_CHECK -> inTransaction(catalog, CONSTRAINT, "CREATE DOMAIN pg_temp.%s AS %s CONSTRAINT %s %s"
                    .formatted(NAME, base(catalog, item), NAME, definition));
            default -> definition;
        };
    }

    /** What the catalog adds to the statement that makes the object: " DISABLED", or "". */
    private static String suffix(String definition) {
        var suffix = Pattern.compile(" (DISABLED|ENABLED REPLICA|ENABLED ALWAYS|STORED|VIRTUAL)$").matcher(definition);
        return suffix.find() ? suffix.group() : "";
    }

    private static String withoutSuffix(String definition) {
        return definition.substring(0, definition.length() - suffix(definition).length());
    }

    private static final Pattern EXPRESSION = Pattern.compile("(?s)( DEFAULT | GENERATED ALWAYS AS \\()(.*)");

    /** The expression of a default or of a generated column; all else is compared as it is. */
    private String column(SchemaCatalog catalog, Item item, String table) {
        var expression = EXPRESSION.matcher(withoutSuffix(item.definition()));
        if (!expression.find()) return item.definition();
        var text = expression.group(1).endsWith("(") ? "(" + expression.group(2) : expression.group(2);
        return item.definition().substring(0, expression.end(1)) + suffix(item.definition())
                + onTable(catalog, item, CONSTRAINT,
                        "ALTER TABLE %s ADD CONSTRAINT %s CHECK ((%s) IS NULL)".formatted(table, NAME, text));
    }

    private static String trigger(SchemaCatalog catalog, Item item, String table) {
        var qualified = " ON %s.%s ".formatted(quoted(catalog.schema()), quoted(item.relation()));
        return withoutSuffix(item.definition()).replace(qualified, " ON " + table + " ")
                .replaceFirst("TRIGGER " + Pattern.quote(quoted(item.name())), "TRIGGER " + NAME);
    }

    /** As quote_ident() does. */
    private static String quoted(String name) {
        return name.matches("[a-z_][a-z0-9_]*") ? name : Sql.identifier(name);
    }

    private static String base(SchemaCatalog catalog, Item check) {
        var domain = check.name().replaceFirst("\\.[^.]*$", "");
        return catalog.items().stream().filter(one -> one.kind() == Kind.DOMAIN && one.name().equals(domain))
                .map(Rewording::type).findFirst().orElse("text");
    }

    /** The type of a column or domain, with its collation. */
    private static String type(Item item) {
        return item.definition().replaceFirst("(?s)( NOT NULL| DEFAULT | GENERATED | with a sequence).*", "");
    }

    /** On an empty temporary table of the same name, which hides the real one. */
    private String onTable(SchemaCatalog catalog, Item item, String query, String statement) {
        var columns = catalog.items().stream()
                .filter(one -> one.kind() == Kind.COLUMN && one.relation().equals(item.relation()))
                .map(one -> Sql.identifier(one.name()) + " " + type(one)).collect(Collectors.joining(", "));
        return inTransaction(catalog, query,
                "CREATE TEMP TABLE %s (%s);\n%s".formatted(Sql.identifier(item.relation()), columns, statement));
    }

    /** @param query the end of a SELECT whose last column has to equal {@link #NAME} */
    private String inTransaction(SchemaCatalog catalog, String query, String statements) {
        return db.transaction(() -> {
            db.run("SET LOCAL search_path TO " + Sql.identifier(catalog.schema()));
            db.run("SAVEPOINT rewording");
            try {
                db.run(statements);
                return db.texts("SELECT %s = '%s' ORDER BY oid DESC LIMIT 1".formatted(query, NAME)).getFirst();
            } finally {
                db.run("ROLLBACK TO SAVEPOINT rewording");
            }
        });
    }
}
