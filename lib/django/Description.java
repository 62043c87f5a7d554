package lib.django;

import java.nio.file.Path;
import java.util.List;

/**
 * Django's own view of a project, however broken its migrations are.
 *
 * @param currentSchema of default's connection; null when Django cannot connect
 * @param tables        of every model
 */
public record Description(Python python, Settings settings, List<DatabaseAlias> databases, String currentSchema,
                          List<App> apps, History history, List<ModelTable> tables, List<String> warnings) {

    /** @param executable and the folder of manage.py: paths as Python knows them, in a container those there */
    public record Python(String version, String djangoVersion, String executable, String folder) {}

    public record Settings(String module, boolean debug) {}

    /**
     * An entry of DATABASES.
     *
     * @param name         what the server calls it when Django can connect, otherwise the name in the settings
     * @param sameDatabase Django saw the advisory lock of the caller in this database
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
     * @param migrationsFolder where the files are, or will be made; null when there is no such place
     * @param selected         own, and chosen by {@code --apps}
     */
    public record App(String label, Path path, String whyNotOwn, Path migrationsFolder, boolean selected) {
        public boolean own() {
            return whyNotOwn == null;
        }
    }

    /**
     * The migrations as they are.
     *
     * @param files            of all own apps
     * @param customOperations of the selected apps
     * @param carried          the operations of these that the new migrations get too
     * @param references       from migrations that stay to migrations that are replaced
     * @param nonAtomic        migrations that stay and cannot run inside a transaction
     * @param imports          lines of the project's code that import migrations of the selected apps
     */
    public record History(List<MigrationFile> files, List<CustomOperation> customOperations,
                          List<CarriedOperation> carried, List<Reference> references, List<NonAtomic> nonAtomic,
                          List<Import> imports) {}

    /**
     * A file that Django's loader takes for a migration.
     *
     * @param broken      why it cannot be imported, or null
     * @param line        of the error, 0 when unknown or in another file
     * @param isMigration false for a helper module without a Migration class: Django cannot load the app's migrations
     */
    public record MigrationFile(String app, String name, Path path, String broken, int line, boolean isMigration) {}

    /** An operation that makemigrations never writes. @param carried the new migrations get it too */
    public record CustomOperation(String app, String migration, int line, String operation, String detail,
                                  boolean carried) {}

    /**
     * An operation that makes an extension or a collation, which a new database needs too.
     *
     * @param number names it in {@link Django#generate} of the same process
     * @param source Python code, for people
     */
    public record CarriedOperation(int number, String app, String source, List<String> imports) {}

    /**
     * A migration that stays names one that is replaced.
     *
     * @param kind dependencies, run_before or replaces
     * @param own  it belongs to an own app that is not selected; otherwise to an installed package
     */
    public record Reference(String app, String migration, String kind, String toApp, String toMigration, boolean own) {}

    public record NonAtomic(String app, String migration) {}

    /** @param byMigration migrate makes this table in default's database */
    public record ModelTable(String table, String app, String model, boolean managed, boolean onDefault,
                             boolean byMigration) {}

    public record Import(Path path, int line, String module) {}

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
