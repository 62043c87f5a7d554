package lib.backup.archive;

import java.util.List;

/** Finds the row of django_migrations with the highest id. */
final class LatestMigration {
    private static final List<String> COLUMNS = List.of("id", "app", "name", "applied");

    private final List<Integer> positions; // of COLUMNS
    private long highest = Long.MIN_VALUE;
    private Contents.Migration row;

    private LatestMigration(List<String> columns) {
        positions = COLUMNS.stream().map(columns::indexOf).toList();
    }

    /** @param copy the COPY statement @return null when it does not name the columns */
    static LatestMigration of(String copy) {
        var start = copy.indexOf('(') + 1;
        var columns = List.of(copy.substring(start, Math.max(start, copy.indexOf(')'))).split(", "));
        return columns.containsAll(COLUMNS) ? new LatestMigration(columns) : null;
    }

    /** @param line a row in COPY's text format */
    void add(String line) {
        var all = line.split("\t", -1);
        if (positions.stream().anyMatch(position -> position >= all.length)) return;
        var values = positions.stream().map(position -> all[position]).toList();
        if (!values.get(0).matches("\\d{1,18}")) return;
        var id = Long.parseLong(values.get(0));
        if (id < highest) return;
        highest = id;
        row = new Contents.Migration(values.get(1), values.get(2), values.get(3));
    }

    /** Null when there is none. */
    Contents.Migration row() {
        return row;
    }
}
