package lib.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import lib.process.Shell;

/** The toolkit's scripts, for the command lines that messages name. */
public enum Script {
    RESET_MIGRATIONS, BACKUP_DATABASE;

    /** A command line that can be pasted into a shell: {@code RESET_MIGRATIONS.command("undo", id)}. */
    public String command(String... arguments) {
        var words = new ArrayList<>(List.of(name().toLowerCase(Locale.ROOT)));
        words.addAll(List.of(arguments));
        return Shell.line(words);
    }
}
