package lib.process;

import java.util.List;
import java.util.stream.Collectors;

/** Command lines for people to paste into a shell. */
public final class Shell {
    private Shell() {}

    /** The words as one command line, each quoted where a POSIX shell needs it. */
    public static String line(List<String> words) {
        return words.stream().map(Shell::quoted).collect(Collectors.joining(" "));
    }

    public static String line(String... words) {
        return line(List.of(words));
    }

    public static String quoted(String word) {
        return word.matches("[A-Za-z0-9_./:@%+=,-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
    }
}
