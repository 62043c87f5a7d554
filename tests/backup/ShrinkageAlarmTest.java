package lib.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import lib.backup.ShrinkageAlarm.Shrinkage;
import lib.backup.ShrinkageAlarm.Sizes;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.Test;

/** Tables, and backups, that have become much smaller since the last backup. */
class ShrinkageAlarmTest {
    private static final String ZSTD = "custom zstd:3";

    private static List<String> shrunk(Map<String, Long> before, Map<String, Long> now, int percent) {
        return words(new Sizes(before, 1000, ZSTD), new Sizes(now, 1000, ZSTD), percent);
    }

    private static List<String> words(Sizes before, Sizes now, int percent) {
        return new ShrinkageAlarm(percent, false).between(before, now).stream().map(Shrinkage::toString).toList();
    }

    @Test void a_table_that_lost_most_of_its_rows_is_named_with_both_numbers() {
        assertEquals(
                List.of("table public.shop_order: 120,000 rows, 3,000 now (-98 %)"),
                shrunk(Map.of("public.shop_order", 120_000L), Map.of("public.shop_order", 3_000L), 50));
    }

    @Test void tables_that_grew_or_are_unchanged_or_new_are_not_named() {
        assertEquals(List.of(), shrunk(Map.of("a", 1000L, "b", 1000L), Map.of("a", 1000L, "b", 2000L, "c", 5L), 0));
    }

    @Test void only_a_loss_above_the_percentage_counts() {
        var before = Map.of("a", 1000L);
        assertEquals(List.of(), shrunk(before, Map.of("a", 500L), 50));
        assertEquals(List.of("table a: 1,000 rows, 499 now (-50 %)"), shrunk(before, Map.of("a", 499L), 50));
        assertEquals(List.of("table a: 1,000 rows, 999 now (-0 %)"), shrunk(before, Map.of("a", 999L), 0));
        assertEquals(List.of(), shrunk(before, Map.of(), 100));
    }

    @Test void thirds_and_large_numbers_are_not_rounded_into_an_alarm() {
        assertEquals(
                List.of(),
                shrunk(
                        Map.of("a", 300L, "b", 4_000_000_000_000_000L),
                        Map.of("a", 201L, "b", 2_680_000_000_000_000L),
                        33));
        assertEquals(
                2,
                shrunk(
                                Map.of("a", 300L, "b", 4_000_000_000_000_000L),
                                Map.of("a", 200L, "b", 2_679_999_999_999_999L),
                                33)
                        .size());
    }

    @Test void a_missing_or_empty_table_has_lost_everything() {
        assertEquals(
                List.of("table a: 1,000 rows, gone now (-100 %)", "table b: 900 rows, 0 now (-100 %)"),
                shrunk(Map.of("a", 1000L, "b", 900L), Map.of("b", 0L), 99));
    }

    @Test void a_hundred_percent_is_shown_only_when_nothing_is_left() {
        assertEquals(
                List.of("table a: 1,000,000 rows, 1 now (-99 %)"),
                shrunk(Map.of("a", 1_000_000L), Map.of("a", 1L), 50));
    }

    @Test void small_tables_are_compared_together() {
        assertEquals(List.of(), shrunk(Map.of("queue", 99L), Map.of("queue", 0L), 50));
        assertEquals(
                List.of("table queue: 100 rows, 0 now (-100 %)"),
                shrunk(Map.of("queue", 100L), Map.of("queue", 0L), 50));
        var before = new TreeMap<String, Long>();
        for (var i = 0; i < 40; i++) before.put("t%02d".formatted(i), 50L);
        var now = new TreeMap<String, Long>();
        now.put("t00", 50L);
        assertEquals(
                List.of("the 40 tables of fewer than 100 rows together: 2,000 rows, 50 now (-98 %)"),
                shrunk(before, now, 50));
        now.put("t01", 1_000_000L); // one that grew does not make up for another
        assertEquals(
                List.of("the 40 tables of fewer than 100 rows together: 2,000 rows, 100 now (-95 %)"),
                shrunk(before, now, 50));
    }

    @Test void the_file_comes_first_then_the_most_rows_lost_whatever_the_order_of_the_input() {
        var before = new LinkedHashMap<String, Long>();
        before.put("small", 200L);
        before.put("large", 100_000L);
        before.put("alike", 200L);
        assertEquals(
                List.of(
                        "the backup: 1.2 GB, 300.0 MB now (-75 %)",
                        "table large: 100,000 rows, 10,000 now (-90 %)",
                        "table alike: 200 rows, 0 now (-100 %)",
                        "table small: 200 rows, 0 now (-100 %)"),
                words(
                        new Sizes(before, 1_200_000_000, ZSTD),
                        new Sizes(Map.of("small", 0L, "large", 10_000L, "alike", 0L), 300_000_000, ZSTD),
                        50));
    }

    @Test void sizes_of_different_formats_are_not_compared() {
        assertEquals(
                List.of(),
                words(new Sizes(Map.of(), 1_000_000, "custom none"), new Sizes(Map.of(), 200_000, ZSTD), 50));
        assertEquals(1, words(new Sizes(Map.of(), 1_000_000, ZSTD), new Sizes(Map.of(), 200_000, ZSTD), 50).size());
    }

    @Test void unknown_counts_are_not_compared() {
        assertEquals(List.of(), shrunk(Map.of("a", -1L, "b", 1000L), Map.of("b", -1L), 0));
    }

    @Test void an_empty_database_cannot_shrink() {
        assertEquals(List.of(), words(new Sizes(Map.of("a", 0L), 0, ZSTD), new Sizes(Map.of(), 0, ZSTD), 0));
    }

    @Test void a_number_that_is_not_a_percentage_is_a_usage_error() {
        for (var share : List.of(-1, 101)) {
            var problem = assertThrows(Failure.class, () -> new ShrinkageAlarm(share, false)).problem();
            assertEquals(ExitCode.USAGE, problem.exit());
            assertEquals("--alarm-drop " + share + " is not a percentage from 0 to 100", problem.what());
            assertEquals(List.of("50, the default, warns when less than half is left"), problem.next());
        }
    }
}
