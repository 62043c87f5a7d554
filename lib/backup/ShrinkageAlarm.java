package lib.backup;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Text;

/**
 * Something that has become much less since the last verified backup: the dump succeeds and is whole, and what it was
 * taken for has gone from the database.
 *
 * @param what "table public.shop_order", or the backup itself
 * @param now  null: it is gone
 * @param unit of both numbers
 */
public record ShrinkageAlarm(String what, long before, Long now, Unit unit) {
    public enum Unit { ROWS, BYTES }

    /** Below this a table goes up and down by large shares every day; such tables are looked at together. */
    public static final int FEW_ROWS = 100;

    /**
     * What is compared of a backup.
     *
     * @param rows  of each table; a negative number is not known and not compared
     * @param bytes of the file
     * @param form  how it was written ("custom zstd:3 age"): only sizes of the same form are compared
     */
    public record Seen(Map<String, Long> rows, long bytes, String form) {}

    /**
     * @param percent from 0 (any fall counts) to 100 (none does); a table that is gone has fallen by 100
     * @return what fell by more than that share: the file first, then the tables, most rows lost first
     * @throws Failure usage, when percent is no percentage
     */
    public static List<ShrinkageAlarm> between(Seen before, Seen now, int percent) {
        requireShare(percent);
        var falls = new ArrayList<ShrinkageAlarm>();
        long few = 0, fewBefore = 0, fewNow = 0;
        for (var table : before.rows.entrySet()) {
            long rows = table.getValue();
            var left = now.rows.get(table.getKey());
            if (rows < 0 || left != null && left < 0) continue;
            if (rows >= FEW_ROWS) {
                falls.add(new ShrinkageAlarm("table " + table.getKey(), rows, left, Unit.ROWS));
            } else {
                few++;
                fewBefore += rows;
                fewNow += left == null ? 0 : Math.min(left, rows); // one that grew makes up for no other
            }
        }
        if (fewBefore >= FEW_ROWS) falls.add(new ShrinkageAlarm(String.format(Locale.ROOT, "the %,d tables of fewer than %d rows together", few, FEW_ROWS), fewBefore, fewNow, Unit.ROWS));
        if (before.form.equals(now.form)) falls.add(new ShrinkageAlarm("the backup", before.bytes, now.bytes, Unit.BYTES));
        return falls.stream().filter(fall -> fall.exceeds(percent))
                .sorted(Comparator.comparing(ShrinkageAlarm::unit).reversed().thenComparing(Comparator.comparingLong(ShrinkageAlarm::lost).reversed()).thenComparing(ShrinkageAlarm::what)).toList();
    }

    /** To be asked before a backup is taken, not after. @throws Failure usage */
    public static int requireShare(int percent) {
        if (percent < 0 || percent > 100) throw new Failure(new Problem.NoPercentage(percent));
        return percent;
    }

    public long lost() {
        return before - (now == null ? 0 : now);
    }

    private boolean exceeds(int percent) {
        return lost() * 100.0 > before * (double) percent;
    }

    /** 100 only when nothing is left. */
    public int percent() {
        var rounded = (int) Math.round(lost() * 100.0 / before);
        return lost() == before ? 100 : Math.min(99, rounded);
    }

    /** "table public.shop_order: 120,000 rows, 3,000 now (-98 %)". */
    @Override public String toString() {
        var left = now == null ? "gone" : unit == Unit.BYTES ? Text.size(now) : String.format(Locale.ROOT, "%,d", now);
        var was = unit == Unit.BYTES ? Text.size(before) : String.format(Locale.ROOT, "%,d rows", before);
        return "%s: %s, %s now (-%d %%)".formatted(what, was, left, percent());
    }
}
