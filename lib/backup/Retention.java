package lib.backup;

import java.time.Instant;
import java.time.LocalDate;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import lib.error.Failure;

/**
 * Which backups of one database are pruned: grandfather, father, son. A rule has slots. They are filled by the latest
 * days, ISO weeks or months that <em>have</em> a good backup, each by the latest backup of its period: a machine that
 * was off for a month loses nothing.
 *
 * <p>What is in doubt is kept. The rules are applied twice, in the order of the clock and in the order of creation, and
 * what either keeps is kept, because clocks are set back. A backup dated in the future is not counted until that
 * time. One that is not proven fills no slot, and is pruned only when newer good ones fill every slot it could have.
 */
public final class Retention {
    private Retention() {}

    /** How many of each to keep; null: the rule keeps none. All four null: everything is kept for ever. */
    public record Policy(Integer last, Integer daily, Integer weekly, Integer monthly) {
        public Policy {
            require("last", last);
            require("daily", daily);
            require("weekly", weekly);
            require("monthly", monthly);
        }

        private static void require(String rule, Integer slots) {
            if (slots != null && slots < 0)
                throw Failure.usage("--keep-%s %d is negative".formatted(rule, slots))
                        .next("give 0 or more; without any --keep option all backups are kept");
        }

        public boolean keepsAll() {
            return last == null && daily == null && weekly == null && monthly == null;
        }

        private List<Rule> rules(ZoneId zone) {
            Function<Item, LocalDate> day = item -> item.taken.atZone(zone).toLocalDate();
            return List.of(
                    new Rule("", 1, Item::name), // with any policy
                    new Rule("last", orNone(last), Item::name),
                    new Rule("daily", orNone(daily), item -> day.apply(item).toString()),
                    new Rule("weekly", orNone(weekly), item -> week(day.apply(item))),
                    new Rule("monthly", orNone(monthly), item -> YearMonth.from(day.apply(item)).toString()));
        }

        private static int orNone(Integer slots) {
            return slots == null ? 0 : slots;
        }

        /** "2026-W53": its year is that of the week's Thursday. */
        private static String week(LocalDate day) {
            var date = DateTimeFormatter.ISO_WEEK_DATE.format(day); // 2026-W53-5
            return date.substring(0, date.length() - 2);
        }

        /** "last 3, daily 7". */
        @Override public String toString() {
            var named = new ArrayList<String>();
            if (last != null) named.add("last " + last);
            if (daily != null) named.add("daily " + daily);
            if (weekly != null) named.add("weekly " + weekly);
            if (monthly != null) named.add("monthly " + monthly);
            return String.join(", ", named);
        }
    }

    /**
     * @param name     of the file, unique
     * @param number   the order of creation, independent of the clock
     * @param good     it was read back, or restored
     * @param restored the better of the two proofs
     */
    public record Item(String name, Instant taken, long number, boolean good, boolean restored) {
        public Item(String name, Instant taken, long number, boolean good) {
            this(name, taken, number, good, false);
        }
    }

    /** @param reason "kept: daily, 2026-11-20" */
    public record Decision(Item item, boolean keep, String reason) {}

    private static final Comparator<Item> BY_CLOCK =
            Comparator.comparing(Item::taken).thenComparingLong(Item::number).thenComparing(Item::name).reversed();
    private static final Comparator<Item> BY_CREATION =
            Comparator.comparingLong(Item::number).thenComparing(Item::taken).thenComparing(Item::name).reversed();

    /**
     * @param items of one database only, in any order
     * @param zone  whose days, weeks and months count
     * @return one for each item, the latest first
     */
    public static List<Decision> decide(List<Item> items, Policy policy, ZoneId zone, Instant now) {
        var past = items.stream().filter(item -> !item.taken.isAfter(now)).toList();
        var byClock = past.stream().sorted(BY_CLOCK).toList();
        var byCreation = past.stream().sorted(BY_CREATION).toList();
        var reasons = new HashMap<Item, Set<String>>();
        for (var rule : policy.rules(zone)) {
            rule.fill(byClock, "", reasons);
            rule.fill(byCreation, " by the order of creation", reasons);
        }
        // The newest that is known to restore is always kept.
        for (var order : List.of(byClock, byCreation))
            order.stream().filter(item -> item.good && item.restored).findFirst()
                    .ifPresent(item -> reasonsOf(item, reasons).add("the newest that was restored"));
        return items.stream().sorted(BY_CLOCK)
                .map(item -> decide(item, policy, now, reasons.getOrDefault(item, Set.of()))).toList();
    }

    private static Set<String> reasonsOf(Item item, Map<Item, Set<String>> reasons) {
        return reasons.computeIfAbsent(item, i -> new LinkedHashSet<>());
    }

    private static Decision decide(Item item, Policy policy, Instant now, Set<String> reasons) {
        if (policy.keepsAll()) return new Decision(item, true, "kept: no --keep rule is set");
        if (item.taken.isAfter(now))
            return new Decision(item, true, "kept: dated in the future, not counted until then");
        if (!reasons.isEmpty()) {
            var start = item.good ? "kept: " : "kept: not proven, fills no slot, but ";
            return new Decision(item, true, start + String.join("; ", reasons));
        }
        return new Decision(item, false, item.good ? "pruned: none of " + policy
                : "pruned: not proven, and newer good ones fill every slot it could have");
    }

    /** @param period names the slot of an item; of several items with the same period the first in order gets it */
    private record Rule(String name, int slots, Function<Item, String> period) {
        void fill(List<Item> latestFirst, String order, Map<Item, Set<String>> reasons) {
            if (slots == 0) return;
            var good = latestFirst.stream().filter(Item::good).map(period).collect(Collectors.toSet());
            var filled = new HashSet<String>();
            for (var item : latestFirst) {
                if (filled.size() >= slots) return;
                var itsPeriod = period.apply(item);
                if (item.good ? !filled.add(itsPeriod) : good.contains(itsPeriod)) continue;
                var all = reasonsOf(item, reasons);
                var reason = reason(item, itsPeriod);
                if (!all.contains(reason)) all.add(reason + order);
            }
        }

        private String reason(Item item, String itsPeriod) {
            return switch (name) {
                case "" -> item.good ? "the newest good one" : "no newer one is good";
                case "last" -> item.good ? "one of the last " + slots
                        : "fewer than %d newer ones are good".formatted(slots);
                default -> item.good ? name + ", " + itsPeriod : "there is no good one of " + itsPeriod;
            };
        }
    }
}
