package lib.django;

import java.util.List;

/**
 * What makemigrations wrote for some apps whose history is empty.
 *
 * @param files     of these apps only; none when {@code required} has any
 * @param drift     what makemigrations would write again at once, as "app: change"; for {@link Django#check}
 * @param required  without these, the new migrations cannot run
 * @param unwritten in other apps
 */
public record NewMigrations(List<File> files, List<String> drift, List<RequiredChange> required,
                            List<UnwrittenChange> unwritten) {
    /** @param name "0001_initial.py"; a project's own makemigrations may also write files that are not migrations */
    public record File(String app, String name, String text) {}

    /** A new migration's operation cannot run without this change in another app's migrations. */
    public record RequiredChange(String app, String operation, String otherApp, String change) {}

    /** A table or column that an app's models have and that no migration creates, old or new. */
    public record UnwrittenChange(String app, String change) {}
}
