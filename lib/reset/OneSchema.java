package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import lib.django.Description;
import lib.error.Failure;
import lib.files.Text;
import lib.postgres.Database;
import lib.postgres.Sql;

/** A reset sets aside and builds one schema. A project that uses several would be left in pieces, so it is refused. */
final class OneSchema {
    private static final Pattern TENANTS = Pattern.compile("\\b(django_tenants|tenant_schemas|django_pgschemas)\\b");

    private OneSchema() {}

    /** @param schema the current one of Django's connection @throws Failure refused (4) */
    static void check(Database db, Description django, String schema) {
        refuseTenants(db, django, schema);
        refuseTablesElsewhere(django, schema);
    }

    private static void refuseTenants(Database db, Description django, String schema) {
        var engine = TENANTS.matcher(django.defaultDatabase().engine());
        var app = django.apps().stream().map(Description.App::label).filter(TENANTS.asMatchPredicate()).findFirst();
        if (engine.find()) throw tenants(schema, engine.group() + " keeps a schema for each tenant");
        if (app.isPresent()) throw tenants(schema, app.get() + " keeps a schema for each tenant");
        var others = schemasWithMigrationsOf(db, django.labels(), schema);
        if (!others.isEmpty()) throw tenants(schema,
                "other schemas have applied migrations of the same apps: " + Text.some(others, 10));
    }

    private static Failure tenants(String schema, String why) {
        return Failure.refused("%s; a reset would rebuild only the schema %s, and the other schemas would not match "
                .formatted(why, schema) + "the new migrations")
                .next("to shorten a history that several schemas have applied: manage.py squashmigrations");
    }

    /** Not those that runs have set aside, nor those of another project in the same database. */
    private static List<String> schemasWithMigrationsOf(Database db, List<String> labels, String schema) {
        var setAside = OrphanedState.schemasIn(db).stream().map(OrphanedState::schema).toList();
        return db.texts("""
                SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relname = 'django_migrations' AND c.relkind IN ('r', 'p') AND n.nspname <> ?
                  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                ORDER BY 1""", schema).stream().filter(Predicate.not(setAside::contains))
                .filter(other -> db.is("SELECT EXISTS (SELECT FROM %s.django_migrations WHERE app = ANY (?))"
                        .formatted(Sql.identifier(other)), labels)).toList();
    }

    private static void refuseTablesElsewhere(Description django, String schema) {
        var elsewhere = new ArrayList<String>();
        for (var table : django.tables())
            if (table.byMigration() && table.schema() != null && !table.schema().equals(schema))
                elsewhere.add("%s.%s of %s.%s".formatted(table.schema(), name(table.table()), table.app(),
                        table.model()));
        var history = django.history().schema();
        if (history != null && !history.equals(schema)) elsewhere.add(history + ".django_migrations");
        if (elsewhere.isEmpty()) return;
        var shown = elsewhere.stream().limit(10).toList();
        var more = elsewhere.size() > 10 ? "\n  … and %d more".formatted(elsewhere.size() - 10) : "";
        throw Failure.refused("a reset is about the tables of one schema, here %s, and these are in others:%s"
                .formatted(schema, Text.lines(shown) + more))
                .next("move all to one schema: ALTER TABLE … SET SCHEMA, and a db_table without a schema; or let the "
                        + "search_path of Django's connection begin with the schema that has them all");
    }

    private static String name(String table) {
        return table.replaceFirst("^.*\"\\.\"", "").replace("\"", "");
    }
}
