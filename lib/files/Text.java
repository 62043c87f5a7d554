package lib.files;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Locale;

/** Numbers and names as people read them. */
public final class Text {
    private Text() {}

    /** A name in one line: names of database objects may hold newlines and control characters. */
    public static String line(String text) {
        return text.strip().replaceAll("\\s*\\R\\s*", " ")
                .replaceAll("[\\p{Cntrl}\\p{Cf}\\x80-\\x9f\\u2028\\u2029]", "?");
    }

    /** In lines of at most this width where its words allow it; those after the first are indented. */
    public static String folded(String text, int width, int indent) {
        var lines = new StringBuilder();
        var length = 0;
        for (var word : text.split("(?<=\\S) (?=\\S)")) {
            if (length > 0 && length + 1 + word.length() > width) {
                lines.append("\n").append(" ".repeat(indent));
                length = indent;
            } else if (length > 0) {
                lines.append(' ');
                length++;
            }
            lines.append(word);
            length += word.length();
        }
        return lines.toString();
    }

    /** "a long na…" */
    public static String shortened(String text, int width) {
        return text.length() <= width ? text : text.substring(0, Math.max(0, width - 1)) + "…";
    }

    /** The end of a message: each on a line below it, indented. */
    public static String lines(Collection<String> all) { return "\n  " + String.join("\n  ", all); }

    /** The first ones, and the number of the others: "a, b and 3 more". */
    public static String some(List<String> all, int shown) {
        var first = String.join(", ", all.subList(0, Math.min(shown, all.size())));
        return all.size() <= shown ? first : "%s and %,d more".formatted(first, all.size() - shown);
    }

    /** "1 table", "1,200 tables", "2 indexes", "2 policies". */
    public static String count(long number, String noun) {
        return "%,d %s".formatted(number, number == 1 ? noun : plural(noun));
    }

    private static String plural(String noun) {
        if (noun.endsWith("statistics")) return noun;
        if (noun.endsWith("x") || noun.endsWith("ss")) return noun + "es";
        return noun.matches(".*[^aeiou]y") ? noun.replaceFirst("y$", "ies") : noun + "s";
    }

    /** "12 s", "3 min", "26 h 5 min", "3 d 4 h". */
    public static String duration(Duration time) {
        if (time.toMinutes() < 1) return time.toSeconds() + " s";
        if (time.toHours() < 1) return time.toMinutes() + " min";
        if (time.toHours() < 48)
            return time.toHours() + " h" + (time.toMinutesPart() == 0 ? "" : " " + time.toMinutesPart() + " min");
        return time.toDays() + " d" + (time.toHoursPart() == 0 ? "" : " " + time.toHoursPart() + " h");
    }

    /** Bytes in decimal units: 14.2 MB. */
    public static String size(long bytes) {
        if (bytes < 1000) return bytes + " B";
        double value = bytes;
        var unit = -1;
        for (; value >= 999.95 && unit < 4; unit++) value /= 1000; // 999.95 would be written as 1000.0
        return String.format(Locale.ROOT, "%.1f %cB", value, "kMGTP".charAt(unit));
    }
}
