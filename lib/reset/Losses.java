package lib.reset;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.django.Migrator;
import lib.files.Text;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaCatalog.Kind;
import lib.postgres.SchemaDifference;
import lib.postgres.SchemaDifference.Verdict;

/**
 * What the old schema has and the new one lacks or has otherwise, the most important first.
 *
 * @param rows       that old migrations made
 * @param operations of the old migrations, which tell where the objects come from
 */
record Losses(List<SchemaDifference> differences, List<Migrator.MadeRows> rows, CustomOperations operations) {
    static final Losses NONE = new Losses(List.of(), List.of(), null);

    static final int MOST_IMPORTANT = 10;
    static final int ALL = Integer.MAX_VALUE;

    private static final Set<Kind> ROW_SECURITY = EnumSet.of(Kind.POLICY, Kind.ROW_SECURITY);
    private static final Comparator<SchemaDifference> BY_IMPORTANCE =
            Comparator.comparing((SchemaDifference one) -> importance(one.item()))
                    .thenComparing(one -> one.verdict() == Verdict.DIFFERENT)
                    .thenComparing(one -> one.item().toString());

    private static int importance(SchemaCatalog.Item item) {
        return switch (item.kind()) {
            case POLICY, ROW_SECURITY -> 0;
            case TABLE, MATERIALIZED_VIEW -> 1;
            case COLUMN -> 2;
            case TRIGGER, RULE, FUNCTION, VIEW -> 3;
            case PRIMARY_KEY, UNIQUE, FOREIGN_KEY, CHECK, EXCLUSION, UNIQUE_INDEX, INDEX -> 4;
            case GRANT, OWNER -> 5;
            case SEQUENCE -> item.name().startsWith("of column ") ? 6 : 3; // the others are used by their names
            default -> 6;
        };
    }

    /** What only the new schema has is no loss. @param left kinds that are not compared */
    static Losses between(SchemaCatalog old, SchemaCatalog fresh, Rewording rewording, Collection<Kind> left,
            List<Migrator.MadeRows> rows, CustomOperations operations) {
        return new Losses(SchemaDifference.between(old, fresh, rewording::of).stream()
                .filter(one -> one.verdict().isOnlyLive() || one.verdict() == Verdict.DIFFERENT)
                .filter(one -> !left.contains(one.item().kind())).sorted(BY_IMPORTANCE).toList(), rows,
                operations);
    }

    /** Policies that are gone or are others, and tables without their row security, a line each. */
    List<String> rowSecurity() {
        return rowSecurity(differences.stream());
    }

    /** All row security of a schema, as if the new one had none. */
    static List<String> rowSecurity(SchemaCatalog old) {
        return rowSecurity(old.items().stream().map(item -> new SchemaDifference(Verdict.ONLY_LIVE, item, null)));
    }

    private static List<String> rowSecurity(Stream<SchemaDifference> differences) {
        return differences.filter(one -> ROW_SECURITY.contains(one.item().kind())).sorted(BY_IMPORTANCE)
                .map(one -> Text.line(one.toString())).toList();
    }

    boolean isEmpty() {
        return differences.isEmpty() && rows.isEmpty();
    }

    /** "2 tables, 1 trigger, 3 indexes; different: 4 columns; 40 rows that old migrations made" */
    String summary() {
        var different = count(false);
        var made = rows.stream().mapToLong(Migrator.MadeRows::rows).sum();
        return Stream.of(count(true), different.isEmpty() ? "" : "different: " + different,
                        made == 0 ? "" : Text.count(made, "row") + " that old migrations made")
                .filter(text -> !text.isEmpty()).collect(Collectors.joining("; "));
    }

    private String count(boolean isGone) {
        return differences.stream().filter(one -> one.verdict().isOnlyLive() == isGone)
                .collect(Collectors.groupingBy(one -> one.item().kind(), TreeMap::new, Collectors.counting()))
                .entrySet().stream().map(entry -> Text.count(entry.getValue(), entry.getKey().label()))
                .collect(Collectors.joining(", "));
    }

    /** The relation, or its model and the relation, and below it what it loses, a line each. */
    private static List<String> byRelation(Stream<SchemaDifference> differences, Map<String, String> models) {
        var groups = differences.collect(Collectors.groupingBy(
                one -> Objects.requireNonNullElse(one.item().relation(), ""), LinkedHashMap::new, Collectors.toList()));
        var lines = new ArrayList<String>();
        groups.forEach((relation, all) -> {
            var isWhole = relation.isEmpty() || all.getFirst().item().kind().isRelation() && all.size() == 1;
            if (!isWhole) lines.add("  " + heading(relation, models));
            var indent = isWhole ? "  " : "    ";
            for (var one : all) lines.add(indent + Text.line(one.withoutRelation()));
        });
        return lines;
    }

    private static String heading(String relation, Map<String, String> models) {
        var model = models.get(relation);
        return Text.line(model == null ? relation : model + " (" + relation + ")");
    }

    /**
     * The most important first; those that are not shown go to the run's log.
     *
     * @param models "shop.Order" by the name of its table
     * @param shown  how many are shown: {@link #MOST_IMPORTANT}, or {@link #ALL}
     */
    void print(Console console, Map<String, String> models, int shown) {
        if (isEmpty()) return;
        console.heading("Not in the new database: " + summary());
        rowLines().forEach(console::say);
        byRelation(differences.stream().limit(shown), models).forEach(console::say);
        byRelation(differences.stream().skip(shown), models).forEach(console::log);
        if (differences.size() > shown) console.say("  … and %,d more".formatted(differences.size() - shown));
        var origins = origins();
        if (!origins.isEmpty()) console.say("  the old migrations that name them last:");
        origins.forEach((origin, items) -> console.say("    %s  %s".formatted(origin, Text.some(items, 5))));
        var all = differences.stream().map(difference -> json(difference, models)).toList();
        console.event("losses", Map.of("losses", all, "rows", rows));
    }

    /** The rows that old migrations made, a line for each migration and table. */
    List<String> rowLines() {
        return rows.stream().map(made -> "  %s in %s, made by %s".formatted(Text.count(made.rows(), "row"),
                Text.line(made.table()), made.migration())).toList();
    }

    /** What each operation of the old files has left, by migration and line. */
    private Map<String, List<String>> origins() {
        var origins = new TreeMap<String, List<String>>();
        for (var one : differences) {
            var origin = operations.origin(one.item());
            if (origin != null) origins.computeIfAbsent(origin, made -> new ArrayList<>())
                    .add(Text.line(one.item().label()));
        }
        return origins;
    }

    private Map<String, Object> json(SchemaDifference difference, Map<String, String> models) {
        var item = difference.item();
        var values = new LinkedHashMap<String, Object>();
        values.put("kind", item.kind().label());
        values.put("relation", item.relation());
        values.put("model", models.get(item.relation()));
        values.put("name", item.name());
        values.put("verdict", difference.verdict().name().toLowerCase());
        values.put("old", item.definition());
        values.put("made_by", operations.origin(item));
        values.put("new", difference.fresh() == null ? null : difference.fresh().definition());
        return values;
    }
}
