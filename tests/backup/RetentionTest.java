package lib.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.time.temporal.IsoFields;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import lib.backup.Retention.Decision;
import lib.backup.Retention.Item;
import lib.backup.Retention.Policy;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.Test;

/** Which backups are pruned: examples computed by hand, and properties of any history. */
class RetentionTest {
    private static final long SEED = Long.getLong("retention.seed", 20_261_122);
    private static final int HISTORIES = 1000;
    private static final ZoneId UTC = ZoneId.of("UTC"),
            BERLIN = ZoneId.of("Europe/Berlin"),
            SAO_PAULO = ZoneId.of("America/Sao_Paulo"),
            BEIRUT = ZoneId.of("Asia/Beirut");

    private static Policy last(int n) { return new Policy(n, null, null, null); }
    private static Policy daily(int n) { return new Policy(null, n, null, null); }
    private static Policy weekly(int n) { return new Policy(null, null, n, null); }
    private static Policy monthly(int n) { return new Policy(null, null, null, n); }

    /** Named by their times, which a failure shows; numbered in this order. */
    private static List<Item> good(String... times) {
        return IntStream.range(0, times.length)
                .mapToObj(i -> new Item(times[i], Instant.parse(times[i]), i + 1, true))
                .toList();
    }

    private static Item good(String name, String time, long number) {
        return new Item(name, Instant.parse(time), number, true);
    }

    private static Item bad(String name, String time, long number) {
        return new Item(name, Instant.parse(time), number, false);
    }

    private static Set<String> kept(List<Item> items, Policy policy, ZoneId zone, String now) {
        return kept(Retention.decide(items, policy, zone, Instant.parse(now))).stream()
                .map(Item::name)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static List<Item> kept(List<Decision> decisions) {
        return decisions.stream().filter(Decision::keep).map(Decision::item).toList();
    }

    private static String reason(List<Decision> decisions, String name) {
        return decisions.stream()
                .filter(decision -> decision.item().name().equals(name))
                .findFirst()
                .orElseThrow()
                .reason();
    }

    // ---- rules and reasons -------------------------------------------------------------------

    @Test void each_decision_has_a_reason_and_the_latest_comes_first() {
        var decisions = Retention.decide(
                good(
                        "2026-11-18T03:00:00Z",
                        "2026-11-19T03:00:00Z",
                        "2026-11-20T03:00:00Z",
                        "2026-11-20T15:00:00Z",
                        "2026-11-21T03:00:00Z"),
                new Policy(2, 3, null, 0),
                UTC,
                Instant.parse("2026-11-21T04:00:00Z"));
        assertEquals(
                """
                2026-11-21T03:00:00Z kept: the newest good one; one of the last 2; daily, 2026-11-21
                2026-11-20T15:00:00Z kept: one of the last 2; daily, 2026-11-20
                2026-11-20T03:00:00Z pruned: none of last 2, daily 3, monthly 0
                2026-11-19T03:00:00Z kept: daily, 2026-11-19
                2026-11-18T03:00:00Z pruned: none of last 2, daily 3, monthly 0
                """,
                decisions.stream()
                        .map(decision -> decision.item().name() + " " + decision.reason() + "\n")
                        .collect(Collectors.joining()));
    }

    @Test void without_a_rule_every_backup_is_kept() {
        var decisions = Retention.decide(
                good("2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z"),
                new Policy(null, null, null, null),
                UTC,
                Instant.parse("2026-01-01T00:00:00Z"));
        assertEquals(
                Set.of("kept: no --keep rule is set"),
                decisions.stream().map(Decision::reason).collect(Collectors.toSet()));
    }

    @Test void rules_of_zero_keep_the_newest_good_backup() {
        assertEquals(
                Set.of("2002-01-01T00:00:00Z"),
                kept(
                        good("2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z"),
                        new Policy(0, 0, 0, 0),
                        UTC,
                        "2026-01-01T00:00:00Z"));
    }

    @Test void a_negative_number_is_a_usage_error() {
        for (var make : List.<Runnable>of(
                () -> last(-1), () -> daily(-1), () -> weekly(-7), () -> monthly(Integer.MIN_VALUE))) {
            var failure = assertThrows(Failure.class, make::run);
            assertEquals(ExitCode.USAGE, failure.problem().exit());
        }
    }

    @Test void an_empty_folder_is_no_error() {
        assertEquals(List.of(), Retention.decide(List.of(), daily(7), UTC, Instant.now()));
    }

    @Test void a_machine_that_was_off_for_a_month_loses_no_backup() {
        var items =
                good("2026-10-18T03:00:00Z", "2026-10-19T03:00:00Z", "2026-10-20T03:00:00Z", "2026-11-20T03:00:00Z");
        assertEquals(
                Set.of("2026-10-19T03:00:00Z", "2026-10-20T03:00:00Z", "2026-11-20T03:00:00Z"),
                kept(items, daily(3), UTC, "2026-11-20T03:01:00Z"));
        assertEquals(4, kept(items, daily(4), UTC, "2031-01-01T00:00:00Z").size());
    }

    // ---- days, weeks, months -----------------------------------------------------------------

    /** Hourly backups from {@code from} until before {@code to}. */
    private static List<String> latestOfDays(ZoneId zone, int days, String from, String to) {
        var items = new ArrayList<Item>();
        for (var time = Instant.parse(from); time.isBefore(Instant.parse(to)); time = time.plus(1, ChronoUnit.HOURS))
            items.add(new Item(time.toString(), time, items.size() + 1, true));
        Collections.shuffle(items, new Random(SEED));
        return List.copyOf(kept(items, daily(days), zone, to));
    }

    @Test void days_of_23_and_25_hours_are_one_day() {
        // Berlin: 25 October 2026 is from 24T22:00Z to 25T23:00Z, 29 March from 28T23:00Z to 29T22:00Z
        assertEquals(
                List.of("2026-10-24T21:00:00Z", "2026-10-25T22:00:00Z", "2026-10-26T22:00:00Z"),
                latestOfDays(BERLIN, 3, "2026-10-22T22:00:00Z", "2026-10-26T23:00:00Z"));
        assertEquals(
                List.of("2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z", "2026-03-30T21:00:00Z"),
                latestOfDays(BERLIN, 3, "2026-03-26T23:00:00Z", "2026-03-30T22:00:00Z"));
    }

    @Test void days_without_a_midnight_or_with_two_are_one_day() {
        // São Paulo: 17 February 2018 had 23:00 twice and ended at 18T03:00Z; 4 November began at 01:00, 04T03:00Z
        assertEquals(
                List.of("2018-02-17T01:00:00Z", "2018-02-18T02:00:00Z", "2018-02-19T02:00:00Z"),
                latestOfDays(SAO_PAULO, 3, "2018-02-15T02:00:00Z", "2018-02-19T03:00:00Z"));
        assertEquals(
                List.of("2018-11-04T02:00:00Z", "2018-11-05T01:00:00Z", "2018-11-06T01:00:00Z"),
                latestOfDays(SAO_PAULO, 3, "2018-11-02T03:00:00Z", "2018-11-06T02:00:00Z"));
        // Beirut: 27 March 2022 began at 01:00, 26T22:00Z; 29 October had 23:00 twice and ended at 29T22:00Z
        assertEquals(
                List.of("2022-03-26T21:00:00Z", "2022-03-27T20:00:00Z", "2022-03-28T20:00:00Z"),
                latestOfDays(BEIRUT, 3, "2022-03-24T22:00:00Z", "2022-03-28T21:00:00Z"));
        assertEquals(
                List.of("2022-10-28T20:00:00Z", "2022-10-29T21:00:00Z", "2022-10-30T21:00:00Z"),
                latestOfDays(BEIRUT, 3, "2022-10-26T21:00:00Z", "2022-10-30T22:00:00Z"));
        // Apia: there was no 30 December 2011
        assertEquals(
                List.of("2011-12-29T09:00:00Z", "2011-12-30T09:00:00Z", "2011-12-31T09:00:00Z"),
                latestOfDays(ZoneId.of("Pacific/Apia"), 3, "2011-12-27T10:00:00Z", "2011-12-31T10:00:00Z"));
    }

    @Test void an_iso_week_can_contain_the_end_of_the_year() {
        var items = good(
                "2026-12-27T12:00:00Z",
                "2026-12-31T12:00:00Z",
                "2027-01-01T12:00:00Z",
                "2027-01-03T12:00:00Z",
                "2027-01-04T12:00:00Z");
        var decisions = Retention.decide(items, weekly(3), UTC, Instant.parse("2027-01-05T00:00:00Z"));
        assertEquals("kept: the newest good one; weekly, 2027-W01", reason(decisions, "2027-01-04T12:00:00Z"));
        assertEquals("kept: weekly, 2026-W53", reason(decisions, "2027-01-03T12:00:00Z"));
        assertEquals("pruned: none of weekly 3", reason(decisions, "2027-01-01T12:00:00Z"));
        assertEquals("pruned: none of weekly 3", reason(decisions, "2026-12-31T12:00:00Z"));
        assertEquals("kept: weekly, 2026-W52", reason(decisions, "2026-12-27T12:00:00Z"));
        assertEquals(
                "kept: the newest good one; weekly, 2025-W01",
                reason(
                        Retention.decide(
                                good("2024-12-30T12:00:00Z"), weekly(1), UTC, Instant.parse("2025-01-01T00:00:00Z")),
                        "2024-12-30T12:00:00Z"));
    }

    @Test void a_new_time_zone_prunes_no_backup_that_was_kept() {
        var items = good(
                "2026-11-18T00:30:00Z",
                "2026-11-18T23:30:00Z",
                "2026-11-19T00:30:00Z",
                "2026-11-19T23:30:00Z",
                "2026-11-20T00:30:00Z",
                "2026-11-20T23:30:00Z");
        var tokyo = ZoneId.of("Asia/Tokyo");
        var now = "2026-11-20T23:59:00Z";
        assertEquals(
                Set.of("2026-11-18T23:30:00Z", "2026-11-19T23:30:00Z", "2026-11-20T23:30:00Z"),
                kept(items, daily(3), UTC, now));
        assertEquals(
                Set.of("2026-11-19T00:30:00Z", "2026-11-20T00:30:00Z", "2026-11-20T23:30:00Z"),
                kept(items, daily(3), tokyo, now));
        var left = kept(Retention.decide(items, daily(3), UTC, Instant.parse(now)));
        assertEquals(3, kept(left, daily(3), tokyo, now).size());
    }

    // ---- two years ---------------------------------------------------------------------------

    /** A backup at each step and a decision at the end of each day. */
    private static Set<String> twoYears(Duration every, String firstOfDay, Policy policy) {
        var there = new ArrayList<Item>();
        var number = 0L;
        for (var day = LocalDate.of(2025, 1, 1); day.getYear() < 2027; day = day.plusDays(1)) {
            var end = day.plusDays(1).atStartOfDay();
            for (var time = LocalDateTime.parse(day + "T" + firstOfDay); time.isBefore(end); time = time.plus(every)) {
                var taken = time.atZone(BERLIN).toInstant();
                there.add(new Item(time.toString(), taken, ++number, true));
            }
            there = new ArrayList<>(kept(Retention.decide(there, policy, BERLIN, end.atZone(BERLIN).toInstant())));
        }
        return there.stream().map(Item::name).collect(Collectors.toCollection(TreeSet::new));
    }

    @Test void two_years_of_daily_backups_leave_the_expected_ones() {
        assertEquals(
                new TreeSet<>(Set.of(
                        "2026-12-31T03:00",
                        "2026-12-30T03:00",
                        "2026-12-29T03:00",
                        "2026-12-28T03:00",
                        "2026-12-27T03:00",
                        "2026-12-26T03:00",
                        "2026-12-25T03:00", // 7 days
                        "2026-12-20T03:00",
                        "2026-12-13T03:00", // W51 and W50, after W53 (the 31st) and W52 (Sunday the 27th)
                        "2026-11-30T03:00",
                        "2026-10-31T03:00",
                        "2026-09-30T03:00",
                        "2026-08-31T03:00",
                        "2026-07-31T03:00",
                        "2026-06-30T03:00",
                        "2026-05-31T03:00",
                        "2026-04-30T03:00",
                        "2026-03-31T03:00",
                        "2026-02-28T03:00",
                        "2026-01-31T03:00")), // 12 months, after December
                twoYears(Duration.ofDays(1), "03:00", new Policy(null, 7, 4, 12)));
    }

    @Test void two_years_of_hourly_backups_leave_the_expected_ones() {
        var expected = new TreeSet<String>();
        for (var hour = 0; hour < 24; hour++) expected.add("2026-12-31T%02d:30".formatted(hour));
        for (var day : List.of(30, 29, 28, 27, 26, 25, 20, 13)) expected.add("2026-12-%dT23:30".formatted(day));
        expected.add("2026-12-06T23:30"); // five weeks: W53 to W49
        for (var month = YearMonth.of(2025, 1); month.isBefore(YearMonth.of(2026, 12)); month = month.plusMonths(1))
            expected.add(month.atEndOfMonth() + "T23:30");
        assertEquals(24 + 6 + 3 + 23, expected.size());
        assertEquals(expected, twoYears(Duration.ofHours(1), "00:30", new Policy(24, 7, 5, 24)));
    }

    // ---- wrong clocks ------------------------------------------------------------------------

    @Test void the_newest_by_the_clock_and_by_creation_are_both_kept() {
        var items = List.of(good("before", "2026-11-20T03:00:00Z", 1), good("set back", "2020-01-01T00:05:00Z", 2));
        assertEquals(Set.of("before", "set back"), kept(items, last(1), UTC, "2026-11-21T00:00:00Z"));
        assertEquals("kept: the newest good one by the order of creation; one of the last 1 by the order of creation",
                reason(Retention.decide(items, last(1), UTC, Instant.parse("2026-11-21T00:00:00Z")), "set back"));
        assertEquals(
                Set.of("after"),
                kept(
                        Stream.concat(items.stream(), Stream.of(good("after", "2026-11-21T03:00:00Z", 3)))
                                .toList(),
                        last(1),
                        UTC,
                        "2026-11-22T00:00:00Z"));
    }

    @Test void a_clock_that_is_wrong_by_years_prunes_no_earlier_backup() {
        var items = List.of(
                good("one", "2026-11-18T03:00:00Z", 1),
                good("two", "2026-11-19T03:00:00Z", 2),
                good("dead battery", "2000-01-01T00:01:00Z", 3));
        assertEquals(Set.of("one", "two", "dead battery"), kept(items, last(1), UTC, "2000-01-01T00:02:00Z"));
    }

    @Test void backups_dated_in_the_future_fill_no_slot_until_that_time() {
        var items = List.of(
                good("a", "2026-11-18T03:00:00Z", 1),
                good("b", "2026-11-19T03:00:00Z", 2),
                good("c", "2027-05-01T03:00:00Z", 3),
                good("d", "2027-05-02T03:00:00Z", 4),
                good("e", "2026-11-20T03:00:00Z", 5));
        var now = Instant.parse("2026-11-20T04:00:00Z");
        var decisions = Retention.decide(items, daily(2), UTC, now);
        assertEquals("kept: dated in the future, not counted until then", reason(decisions, "c"));
        assertEquals("kept: daily, 2026-11-19", reason(decisions, "b"));
        assertEquals("pruned: none of daily 2", reason(decisions, "a"));
        var later = Stream.concat(
                        kept(decisions).stream(),
                        Stream.of(good("f", "2027-05-02T02:00:00Z", 90), good("g", "2027-05-03T03:00:00Z", 91)))
                .toList();
        assertEquals(
                Set.of("d", "f", "g"),
                kept(
                        later,
                        daily(2),
                        UTC,
                        "2027-05-03T04:00:00Z")); // d by its date, f by its number: they are of different days
    }

    // ---- unproven backups --------------------------------------------------------------------

    @Test void an_unproven_backup_fills_no_slot_and_is_pruned_when_good_ones_fill_its_slots() {
        var items = List.of(
                good("g1", "2026-11-17T03:00:00Z", 1),
                good("g2", "2026-11-18T03:00:00Z", 2),
                bad("b2", "2026-11-18T15:00:00Z", 3),
                bad("b3", "2026-11-19T03:00:00Z", 4),
                good("g4", "2026-11-20T03:00:00Z", 5),
                bad("b5", "2026-11-21T03:00:00Z", 6));
        var now = Instant.parse("2026-11-21T04:00:00Z");
        var decisions = Retention.decide(items, daily(2), UTC, now);
        assertEquals(
                "kept: not proven, fills no slot, but no newer one is good; there is no good one of 2026-11-21",
                reason(decisions, "b5"));
        assertEquals("kept: the newest good one; daily, 2026-11-20", reason(decisions, "g4"));
        assertEquals(
                "kept: not proven, fills no slot, but there is no good one of 2026-11-19", reason(decisions, "b3"));
        assertEquals("pruned: not proven, and newer good ones fill every slot it could have", reason(decisions, "b2"));
        assertEquals("kept: daily, 2026-11-18", reason(decisions, "g2"));
        assertEquals("pruned: none of daily 2", reason(decisions, "g1"));
        assertEquals(
                "kept: not proven, fills no slot, but fewer than 2 newer ones are good",
                reason(Retention.decide(items, last(2), UTC, now), "b3"));
        assertEquals(
                "pruned: not proven, and newer good ones fill every slot it could have",
                reason(Retention.decide(items, last(1), UTC, now), "b3"));
    }

    @Test void without_a_good_backup_nothing_is_pruned() {
        assertEquals(
                Set.of("a", "b", "c"),
                kept(
                        List.of(
                                bad("a", "2001-01-01T00:00:00Z", 1),
                                bad("b", "2002-01-01T00:00:00Z", 2),
                                bad("c", "2003-01-01T00:00:00Z", 3)),
                        new Policy(0, 0, 0, 0),
                        UTC,
                        "2026-01-01T00:00:00Z"));
    }

    // ---- any history -------------------------------------------------------------------------

    private interface Decider {
        List<Decision> decide(List<Item> items, Policy policy, ZoneId zone, Instant now);
    }

    private record History(List<Item> items, Policy policy, ZoneId zone, Instant now, boolean saneClock) {
        static History random(Random random) {
            var zone = List.of(UTC, BERLIN, SAO_PAULO, BEIRUT, ZoneId.of("Asia/Tokyo"), ZoneId.of("America/New_York"))
                    .get(random.nextInt(6));
            var sane = random.nextBoolean();
            var every = List.of(1, 6, 24, 24, 100, 800).get(random.nextInt(6));
            var clock = Instant.parse("2017-10-01T00:00:00Z").plusSeconds(random.nextInt(40_000_000));
            var items = new ArrayList<Item>();
            var count = random.nextInt(41);
            for (var number = 1; number <= count; number++) {
                clock = clock.plusSeconds(60L * random.nextInt(1, every * 120));
                var wrong = !sane && random.nextInt(8) == 0
                        ? Duration.ofHours(random.nextInt(-20_000, 20_000))
                        : Duration.ZERO;
                var taken = !sane && random.nextInt(30) == 0 && !items.isEmpty()
                        ? items.getLast().taken()
                        : clock.plus(wrong); // two at the same time
                items.add(new Item("f" + number, taken, number, random.nextInt(5) > 0));
            }
            var now = sane
                    ? clock.plusSeconds(random.nextInt(100_000))
                    : clock.plus(Duration.ofHours(random.nextInt(-2000, 2000)));
            return new History(
                    items, new Policy(slots(random), slots(random), slots(random), slots(random)), zone, now, sane);
        }

        private static Integer slots(Random random) {
            return random.nextInt(3) == 0 ? null : random.nextInt(9);
        }

        Set<Item> kept(Decider decider, List<Item> of, Policy by) {
            return new HashSet<>(RetentionTest.kept(decider.decide(of, by, zone, now)));
        }

        Set<Item> kept(Decider decider) {
            return kept(decider, items, policy);
        }

        Stream<Item> goodOnes() {
            return items.stream().filter(item -> item.good() && !item.taken().isAfter(now));
        }
    }

    /** Properties of every history; each returns what is wrong, or null. */
    private enum Property {
        THE_NEWEST_GOOD_ONES_STAY {
            String wrong(History history, Decider decider) {
                var kept = history.kept(decider);
                var byNumber = history.items.stream().filter(Item::good).max(Comparator.comparingLong(Item::number));
                var byTime = history.goodOnes().max(Comparator.comparing(Item::taken).thenComparing(Item::number));
                return Stream.of(byNumber, byTime)
                                .flatMap(java.util.Optional::stream)
                                .allMatch(kept::contains)
                        ? null
                        : "of " + byNumber + " and " + byTime + " one is gone";
            }
        },
        WHAT_GOES_HAS_A_NEWER_GOOD_ONE_BY_CLOCK_AND_BY_CREATION {
            String wrong(History history, Decider decider) {
                var kept = history.kept(decider);
                for (var gone : history.items) {
                    if (kept.contains(gone)) continue;
                    if (history.goodOnes().noneMatch(good -> kept.contains(good) && good.number() > gone.number()))
                        return "no newer number than " + gone;
                    if (history.goodOnes()
                            .noneMatch(
                                    good -> kept.contains(good) && !good.taken().isBefore(gone.taken())))
                        return "no later one than " + gone;
                }
                return null;
            }
        },
        A_SECOND_TIME_PRUNES_NOTHING_MORE {
            String wrong(History history, Decider decider) {
                var once = history.kept(decider);
                var twice = history.kept(decider, List.copyOf(once), history.policy);
                return once.equals(twice) ? null : once + " then " + twice;
            }
        },
        MORE_SLOTS_PRUNE_NO_MORE {
            String wrong(History history, Decider decider) {
                if (history.policy.keepsAll()) return null;
                var less = history.kept(decider);
                var p = history.policy;
                for (var more : List.of(
                        new Policy(more(p.last()), p.daily(), p.weekly(), p.monthly()),
                        new Policy(p.last(), more(p.daily()), p.weekly(), p.monthly()),
                        new Policy(p.last(), p.daily(), more(p.weekly()), p.monthly()),
                        new Policy(p.last(), p.daily(), p.weekly(), more(p.monthly())))) {
                    if (!history.kept(decider, history.items, more).containsAll(less))
                        return more + " prunes what " + p + " keeps";
                }
                return null;
            }

            private Integer more(Integer slots) {
                return slots == null ? 0 : slots + 1;
            }
        },
        THE_ORDER_OF_THE_INPUT_DOES_NOT_MATTER {
            String wrong(History history, Decider decider) {
                var other = new ArrayList<>(history.items);
                Collections.shuffle(other, new Random(history.items.size()));
                var decisions = decider.decide(history.items, history.policy, history.zone, history.now);
                return decisions.equals(decider.decide(other, history.policy, history.zone, history.now))
                        ? null
                        : "another order decides otherwise";
            }
        },
        WHAT_IS_NOT_KNOWN_TO_BE_GOOD_COUNTS_FOR_NOTHING {
            String wrong(History history, Decider decider) {
                return withoutThose(history, decider, item -> !item.good());
            }
        },
        WHAT_IS_DATED_IN_THE_FUTURE_COUNTS_FOR_NOTHING_AND_STAYS {
            String wrong(History history, Decider decider) {
                var ahead = history.items.stream().filter(item -> item.taken().isAfter(history.now)).toList();
                return history.kept(decider).containsAll(ahead)
                        ? withoutThose(history, decider, ahead::contains)
                        : "one from the future is gone";
            }
        },
        WITH_A_CLOCK_THAT_WAS_RIGHT_THE_SLOTS_ARE_THE_LATEST_PERIODS {
            String wrong(History history, Decider decider) {
                if (!history.saneClock || history.policy.keepsAll()) return null;
                var expected = new HashSet<Item>();
                latest(history, expected, 1, Item::number);
                latest(history, expected, history.policy.last(), Item::number);
                latest(history, expected, history.policy.daily(), item -> item.taken()
                        .atZone(history.zone)
                        .toLocalDate()
                        .toEpochDay());
                latest(history, expected, history.policy.weekly(), item -> {
                    var day = item.taken().atZone(history.zone);
                    return 100L * day.get(IsoFields.WEEK_BASED_YEAR) + day.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR);
                });
                latest(history, expected, history.policy.monthly(), item -> YearMonth.from(
                                item.taken().atZone(history.zone))
                        .getLong(java.time.temporal.ChronoField.PROLEPTIC_MONTH));
                var kept = history.kept(decider).stream().filter(Item::good).collect(Collectors.toSet());
                return kept.equals(expected) ? null : kept + " instead of " + expected;
            }

            /** The same rule in another way: group all, take the highest groups, of each the latest. */
            private void latest(History history, Set<Item> expected, Integer slots, Function<Item, Long> period) {
                if (slots == null) return;
                history
                        .goodOnes()
                        .collect(Collectors.groupingBy(
                                period, TreeMap::new, Collectors.maxBy(Comparator.comparing(Item::taken))))
                        .descendingMap()
                        .values()
                        .stream()
                        .limit(slots)
                        .forEach(item -> expected.add(item.orElseThrow()));
            }
        };

        abstract String wrong(History history, Decider decider);

        /** The decisions about good backups of the past do not depend on the others. */
        private static String withoutThose(History history, Decider decider, java.util.function.Predicate<Item> those) {
            var rest = history.items.stream().filter(item -> !those.test(item)).toList();
            var alone = history.kept(decider, rest, history.policy);
            var with = history.kept(decider);
            return rest.stream()
                    .filter(item -> with.contains(item) != alone.contains(item))
                    .findFirst()
                    .map(item -> item + " is judged otherwise")
                    .orElse(null);
        }

        /** The first of many histories with this result, or null. */
        String wrong(Decider decider) {
            var random = new Random(SEED);
            for (var i = 0; i < HISTORIES; i++) {
                var history = History.random(random);
                var wrong = wrong(history, decider);
                if (wrong != null) return wrong + "\n" + history + "\n(again with -Dretention.seed=" + SEED + ")";
            }
            return null;
        }
    }

    @Test void every_property_holds_for_thousands_of_histories() {
        for (var property : Property.values()) assertNull(property.wrong(Retention::decide), property::name);
        var random = new Random(SEED);
        int items = 0, pruned = 0;
        for (var i = 0; i < HISTORIES; i++) {
            var history = History.random(random);
            items += history.items.size();
            pruned += history.items.size() - history.kept(Retention::decide).size();
        }
        System.out.printf(
                "retention: %d histories, %d backups, %d pruned, %d properties, seed %d%n",
                HISTORIES, items, pruned, Property.values().length, SEED);
    }

    @Test void every_property_detects_a_wrong_decision() {
        notices(Property.THE_NEWEST_GOOD_ONES_STAY, (items, policy, zone, now) -> items.stream()
                .map(item -> new Decision(item, false, ""))
                .toList());
        notices(Property.THE_NEWEST_GOOD_ONES_STAY, byClockAlone());
        notices(Property.WHAT_GOES_HAS_A_NEWER_GOOD_ONE_BY_CLOCK_AND_BY_CREATION, byClockAlone());
        notices(Property.A_SECOND_TIME_PRUNES_NOTHING_MORE, (items, policy, zone, now) -> items.stream()
                .map(item -> new Decision(item, items.indexOf(item) % 2 == 0, ""))
                .toList());
        notices(
                Property.MORE_SLOTS_PRUNE_NO_MORE,
                (items, policy, zone, now) ->
                        Retention.decide(items, last(20 - (policy.last() == null ? 0 : policy.last())), zone, now));
        notices(Property.THE_ORDER_OF_THE_INPUT_DOES_NOT_MATTER, (items, policy, zone, now) -> items.stream()
                .map(item -> new Decision(item, item == items.getFirst(), ""))
                .toList());
        notices(Property.WHAT_IS_NOT_KNOWN_TO_BE_GOOD_COUNTS_FOR_NOTHING, (items, policy, zone, now) -> Retention
                .decide(
                        items.stream()
                                .map(item -> new Item(item.name(), item.taken(), item.number(), true))
                                .toList(),
                        policy,
                        zone,
                        now)
                .stream()
                .map(d -> new Decision(
                        items.stream()
                                .filter(item -> item.name().equals(d.item().name()))
                                .findFirst()
                                .orElseThrow(),
                        d.keep(),
                        d.reason()))
                .toList());
        notices(
                Property.WHAT_IS_DATED_IN_THE_FUTURE_COUNTS_FOR_NOTHING_AND_STAYS,
                (items, policy, zone, now) ->
                        Retention.decide(items, policy, zone, Instant.parse("2100-01-01T00:00:00Z")));
        notices(
                Property.WITH_A_CLOCK_THAT_WAS_RIGHT_THE_SLOTS_ARE_THE_LATEST_PERIODS,
                (items, policy, zone, now) -> Retention.decide(items, policy, ZoneId.of("UTC+11"), now));
    }

    /** Numbers the backups in the order of the clock. */
    private static Decider byClockAlone() {
        return (items, policy, zone, now) -> {
            var sorted =
                    items.stream().sorted(Comparator.comparing(Item::taken)).toList();
            var numbered = IntStream.range(0, sorted.size())
                    .mapToObj(i -> new Item(
                            sorted.get(i).name(),
                            sorted.get(i).taken(),
                            i,
                            sorted.get(i).good()))
                    .toList();
            return Retention.decide(numbered, policy, zone, now).stream()
                    .map(d -> new Decision(
                            items.stream()
                                    .filter(item -> item.name().equals(d.item().name()))
                                    .findFirst()
                                    .orElseThrow(),
                            d.keep(),
                            d.reason()))
                    .toList();
        };
    }

    private static void notices(Property property, Decider wrong) {
        assertNotNull(property.wrong(wrong), property::name);
    }

    @Test void the_newest_backup_that_was_restored_is_always_kept() {
        var restored = new Item("restored", Instant.parse("2026-01-05T03:00:00Z"), 1, true, true);
        var older = new Item("older", Instant.parse("2026-01-04T03:00:00Z"), 0, true, true);
        var read = good("read back", "2026-11-20T03:00:00Z", 2);
        var policy = new Policy(1, null, null, null);
        var now = Instant.parse("2026-11-22T03:00:00Z");
        var kept = Retention.decide(List.of(read, older, restored), policy, ZoneOffset.UTC, now).stream()
                .filter(Retention.Decision::keep)
                .map(d -> d.item().name())
                .toList();
        assertEquals(List.of(read.name(), "restored"), kept);
        var control = Retention.decide(
                List.of(read, new Item("restored", restored.taken(), 1, true)), policy, ZoneOffset.UTC, now);
        assertEquals(1, control.stream().filter(Retention.Decision::keep).count());
    }
}
