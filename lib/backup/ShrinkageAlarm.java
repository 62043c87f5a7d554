package lib.backup;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import lib.error.Failure;
import lib.files.Text;

/**
 * Warns when a table, or the backup itself, has become much smaller since the last good backup: the dump of an emptied
 * table is a perfect dump.
 *
 * @param percent from 0 (any loss counts) to 100 (none does); a missing table has lost 100
 * @param strict  a loss is exit code 3, and nothing older is pruned
 */
public record ShrinkageAlarm(int percent, boolean strict) {
    /** Smaller tables change by large shares every day; they are compared together. */
    static final int SMALL = 100;

    /** @throws Failure usage, when percent is not a percentage */
    public ShrinkageAlarm {
        if (percent < 0 || percent > 100)
            throw Failure.usage("--alarm-drop " + percent + " is not a percentage from 0 to 100")
                    .next("50, the default, warns when less than half is left");
    }

    /**
     * What is compared of a backup.
     *
     * @param rows  of each table; a negative number is unknown and not compared
     * @param bytes of the file
     * @param form  how it was written ("custom zstd:3 encrypted"): only sizes of the same form are compared
     */
    public record Sizes(Map<String, Long> rows, long bytes, String form) {}

    public enum Unit { ROWS, BYTES }

    /**
     * @param what "table public.shop_order", or "the backup"
     * @param now  null: it is missing
     */
    public record Shrinkage(String what, long before, Long now, Unit unit) {
        long lost() {
            return before - (now == null ? 0 : now);
        }

        private boolean exceeds(int percent) {
            return lost() * 100.0 > before * (double) percent;
        }

        /** 100 only when nothing is left. */
        private int percent() {
            var rounded = (int) Math.round(lost() * 100.0 / before);
            return lost() == before ? 100 : Math.min(99, rounded);
        }

        /** "table public.shop_order: 120,000 rows, 3,000 now (-98 %)". */
        @Override public String toString() {
            var bytes = unit == Unit.BYTES;
            var remaining = now == null ? "gone" : bytes ? Text.size(now) : String.format(Locale.ROOT, "%,d", now);
            var was = bytes ? Text.size(before) : String.format(Locale.ROOT, "%,d rows", before);
            return "%s: %s, %s now (-%d %%)".formatted(what, was, remaining, percent());
        }
    }

    /** What shrank by more than the percentage: the file first, then the tables, those that lost most rows first. */
    public List<Shrinkage> between(Sizes before, Sizes now) {
        var compared = tables(before.rows, now.rows);
        if (before.form.equals(now.form))
            compared.add(new Shrinkage("the backup", before.bytes, now.bytes, Unit.BYTES));
        var mostLostFirst = Comparator.comparing(Shrinkage::unit).thenComparing(Shrinkage::lost).reversed();
        return compared.stream().filter(shrinkage -> shrinkage.exceeds(percent))
                .sorted(mostLostFirst.thenComparing(Shrinkage::what)).toList();
    }

    private static List<Shrinkage> tables(Map<String, Long> before, Map<String, Long> now) {
        var large = new ArrayList<Shrinkage>();
        long small = 0, smallBefore = 0, smallNow = 0;
        for (var table : before.entrySet()) {
            long rows = table.getValue();
            var left = now.get(table.getKey());
            if (rows < 0 || left != null && left < 0) continue;
            if (rows >= SMALL) {
                large.add(new Shrinkage("table " + table.getKey(), rows, left, Unit.ROWS));
            } else {
                small++;
                smallBefore += rows;
                smallNow += left == null ? 0 : Math.min(left, rows); // one that grew does not make up for another
            }
        }
        if (smallBefore >= SMALL) {
            var what = String.format(Locale.ROOT, "the %,d tables of fewer than %d rows together", small, SMALL);
            large.add(new Shrinkage(what, smallBefore, smallNow, Unit.ROWS));
        }
        return large;
    }
}
