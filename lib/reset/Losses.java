package lib.reset;

import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.files.Text;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaCatalog.Kind;
import lib.postgres.SchemaDifference;
import lib.postgres.SchemaDifference.Verdict;

/** What the old schema has and the new one lacks, the most important first. */
public record Losses(List<SchemaDifference> differences) {
    private static final int SHOWN = 10;
    private static final Set<Kind> ROW_SECURITY = EnumSet.of(Kind.POLICY, Kind.ROW_SECURITY);
    private static final Comparator<SchemaDifference> BY_IMPORTANCE =
            Comparator.comparing((SchemaDifference one) -> importance(one.item().kind()))
                    .thenComparing(one -> one.verdict() == Verdict.DIFFERENT)
                    .thenComparing(SchemaDifference::toString);

    private static int importance(Kind kind) {
        return switch (kind) {
            case POLICY, ROW_SECURITY -> 0;
            case TABLE, MATERIALIZED_VIEW -> 1;
            case COLUMN -> 2;
            case TRIGGER, RULE, FUNCTION, VIEW -> 3;
            case PRIMARY_KEY, UNIQUE, FOREIGN_KEY, CHECK, EXCLUSION, UNIQUE_INDEX, INDEX -> 4;
            case GRANT, OWNER -> 5;
            default -> 6;
        };
    }

    /** What the models only want otherwise, and what the old schema lacks, is no loss. */
    static Losses between(SchemaCatalog old, SchemaCatalog fresh, Rewording rewording) {
        return new Losses(SchemaDifference.between(old, fresh, rewording::of).stream()
                .filter(one -> one.verdict().isOnlyLive() || one.verdict() == Verdict.DIFFERENT)
                .sorted(BY_IMPORTANCE).toList());
    }

    /** Policies that are gone or are others, and tables whose row security is off. */
    List<SchemaDifference> rowSecurity() {
        return differences.stream().filter(one -> ROW_SECURITY.contains(one.item().kind())).toList();
    }

    public boolean isEmpty() {
        return differences.isEmpty();
    }

    /** "2 tables, 1 trigger, 3 indexes; different: 4 columns" */
    String summary() {
        return Stream.of(count(true), (count(false).isEmpty() ? "" : "different: ") + count(false))
                .filter(text -> !text.isEmpty()).collect(Collectors.joining("; "));
    }

    private String count(boolean onlyOld) {
        return differences.stream().filter(one -> one.verdict().isOnlyLive() == onlyOld)
                .collect(Collectors.groupingBy(one -> one.item().kind(), TreeMap::new, Collectors.counting()))
                .entrySet().stream().map(entry -> Text.count(entry.getValue(), entry.getKey().label()))
                .collect(Collectors.joining(", "));
    }

    /** One line each. */
    List<String> lines() {
        return differences.stream().map(SchemaDifference::toString).map(Text::line).toList();
    }

    /** The ten most important, and all of them with --verbose. @param rest where the others are, or null */
    void print(Console console, String rest) {
        if (isEmpty()) return;
        console.heading("Not in the new database: " + summary());
        var lines = lines();
        lines.stream().limit(SHOWN).forEach(line -> console.say("  " + line));
        lines.stream().skip(SHOWN).forEach(line -> console.log("  " + line));
        if (lines.size() > SHOWN)
            console.say("  … and %,d more%s".formatted(lines.size() - SHOWN, rest == null ? "" : ": " + rest));
    }
}
