package lib.django;

import java.util.List;

/**
 * What makemigrations wrote for some apps whose history is empty.
 *
 * @param files     of these apps only; none when changes are required elsewhere
 * @param drift     what makemigrations would write again at once, as "app: change"; for {@link Django#check}
 * @param required  when not empty, new migrations for these apps alone cannot run
 * @param unwritten in other apps
 */
public record NewMigrations(List<File> files, List<String> drift, List<RequiredChange> required,
                            List<UnwrittenChange> unwritten) {
    /** @param name with its ending; nearly always of a migration, but a project's own makemigrations may write more */
    public record File(String app, String name, String text) {}

    /** A new migration's operation cannot run without a change that belongs into another app's migrations. */
    public record RequiredChange(String app, String operation, String otherApp, String change) {}

    /** A table or column that an app's models want, and that no migration makes, neither an old nor a new one. */
    public record UnwrittenChange(String app, String change) {}
}
