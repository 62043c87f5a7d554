package lib.django;

import java.nio.file.Path;
import java.util.List;

/**
 * Django's own view of a project, whose migrations may be broken.
 *
 * @param currentSchema of default's connection; null when Django cannot connect
 * @param tables        of every model
 */
public record Description(Python python, Settings settings, List<DatabaseAlias> databases, String currentSchema,
                          List<App> apps, History history, List<ModelTable> tables, List<String> warnings) {

    /** @param executable and {@code folder}, that of manage.py, are paths as this Python knows them */
    public record Python(String version, String djangoVersion, String executable, String folder) {}

    public record Settings(String module, boolean debug) {}

    /**
     * An entry of DATABASES.
     *
     * @param name         as the server has it when Django can connect, otherwise as the settings have it
     * @param sameDatabase Django saw the caller's advisory lock in this database
     * @param error        why Django cannot connect, or null
     */
    public record DatabaseAlias(String alias, String engine, String name, String host, String port, String user,
                                boolean sameDatabase, String error) {
        public boolean isDefault() {
            return alias.equals("default");
        }
    }

    /**
     * @param whyNotOwn        why its migrations are not the project's own; null when they are
     * @param migrationsFolder where the files are or will be created; null when there is no such place
     * @param selected         own, and chosen by {@code --apps}
     */
    public record App(String label, Path path, String whyNotOwn, Path migrationsFolder, boolean selected) {
        public boolean own() {
            return whyNotOwn == null;
        }
    }

    /**
     * The existing migrations.
     *
     * @param files            of all own apps
     * @param customOperations of the selected apps
     * @param carried          those of these operations that the new migrations get too
     * @param references       from migrations that stay to migrations that are replaced
     * @param nonAtomic        "app.migration" of those that stay and cannot run inside a transaction
     * @param imports          lines of the project's code that import migrations of the selected apps
     * @param schema           that of the table django_migrations; null when Django finds none
     */
    public record History(List<MigrationFile> files, List<CustomOperation> customOperations,
                          List<CarriedOperation> carried, List<Reference> references, List<String> nonAtomic,
                          List<Import> imports, String schema) {}

    /**
     * A file that Django loads as a migration.
     *
     * @param broken      why it cannot be imported, or null
     * @param line        of the error; 0 when unknown or in another file
     * @param isMigration false for a helper module without a Migration class: Django cannot load the app's migrations
     */
    public record MigrationFile(String app, Path path, String broken, int line, boolean isMigration) {}

    /** An operation that makemigrations never writes. @param carried the new migrations get it too */
    public record CustomOperation(String app, String migration, int line, String operation, String detail,
                                  boolean carried) {}

    /**
     * An operation that creates an extension or a collation, which a new database needs too.
     *
     * @param number identifies it in {@link Django#generate} of the same process
     * @param source Python code, for people
     */
    public record CarriedOperation(int number, String app, String source, List<String> imports) {}

    /**
     * A migration that stays names one that is replaced.
     *
     * @param kind dependencies, run_before or replaces
     * @param own  whether the one that stays belongs to an own app (not selected) or to an installed package
     */
    public record Reference(String app, String migration, String kind, String toApp, String toMigration, boolean own) {}

    /**
     * @param schema      where Django finds the table, or where its name says that it is; or null
     * @param byMigration migrate creates this table in default's database
     */
    public record ModelTable(String table, String schema, String app, String model, boolean managed, boolean onDefault,
                             boolean byMigration) {}

    /** @param needed the project does not start without that migration, or a migration that stays does not load */
    public record Import(Path path, int line, String module, boolean needed) {}

    public DatabaseAlias defaultDatabase() {
        return databases.stream().filter(DatabaseAlias::isDefault).findFirst().orElseThrow();
    }

    public List<App> selected() {
        return apps.stream().filter(App::selected).toList();
    }

    /** The labels of the selected apps. */
    public List<String> labels() {
        return selected().stream().map(App::label).toList();
    }
}
