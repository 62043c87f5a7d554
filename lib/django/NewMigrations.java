package lib.django;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What makemigrations wrote for some apps whose history is empty.
 *
 * @param files     of these apps only; none when {@code required} has any
 * @param drift     what makemigrations would write again at once, as "app: change", and the system checks that fail
 *                  already; for {@link Django#check}
 * @param required  without these, the new migrations cannot run
 * @param circles   references that make it impossible to create one model before another; then there are no files
 * @param unwritten in other apps
 * @param elsewhere changes of other apps' models that new migrations make, as old ones did
 * @param lostOrder what run_before of old migrations asked for and would close a circle now, as "shop.0002 before
 *                  auth.0001_initial"
 * @param carriedSql what old migrations create with SQL and these models need
 */
public record NewMigrations(List<File> files, List<String> drift, List<RequiredChange> required,
                            List<Reference> circles, List<UnwrittenChange> unwritten, List<ChangeElsewhere> elsewhere,
                            List<String> lostOrder,
                            List<CarriedSql> carriedSql) {
    /** @param name "0001_initial.py"; a project's own makemigrations may also write files that are not migrations */
    public record File(String app, String name, String text) {}

    /** A new migration's operation cannot run without this change in another app's migrations. */
    public record RequiredChange(String app, String operation, String otherApp, String change) {}

    /** @param field of the model; null: the other model is its base */
    public record Reference(String model, String field, String other) {}

    /** A table or column that an app's models have and that no migration creates, old or new. */
    public record UnwrittenChange(String app, String change) {}

    /** @param places old operations that changed the same model */
    public record ChangeElsewhere(String app, String migration, String otherApp, String change, List<Place> places) {}

    public record Place(String app, String migration, int line) {
        boolean isOf(Description.CustomOperation one) {
            return app.equals(one.app()) && migration.equals(one.migration()) && line == one.line();
        }
    }

    /**
     * Statements of an old RunSQL that the new migrations have too.
     *
     * @param line  of the operation
     * @param whole all of its statements are carried
     * @param names of what the statements create
     */
    public record CarriedSql(String app, String migration, int line, String source, boolean whole,
                             List<String> names) {
        boolean isOf(Description.CustomOperation one) {
            return new Place(app, migration, line).isOf(one);
        }
    }

    /** Whether the new migrations have all of this operation of an old one. */
    public boolean haveAllOf(Description.CustomOperation one) {
        var isElsewhere = elsewhere.stream().flatMap(change -> change.places().stream()).anyMatch(p -> p.isOf(one));
        return isElsewhere || one.carried() || havePartOf(one) && carriedSql.stream().filter(sql -> sql.isOf(one))
                .allMatch(CarriedSql::whole);
    }

    public boolean havePartOf(Description.CustomOperation one) {
        return carriedSql.stream().anyMatch(sql -> sql.isOf(one));
    }

    /** The names of what the carried SQL creates. */
    public Set<String> namesMade() {
        return carriedSql.stream().flatMap(sql -> sql.names().stream()).collect(Collectors.toSet());
    }
}
