package lib.postgres;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.postgres.SchemaCatalog.Item;
import lib.postgres.SchemaCatalog.Kind;
import lib.postgres.SchemaDifference.Verdict;

/**
 * Pairs the items of two catalogs: first those that are equal, then those with the same definition, then with the same
 * definition once the server has worded it again, then with the same name. What is left only one of the two has.
 */
final class SchemaComparison {
    /** Names that Django and PostgreSQL choose for constraints and indexes. */
    private static final Pattern AUTOMATIC =
            Pattern.compile(".*_[0-9a-f]{8}(_.*)?|.*_(pkey|key|fkey|check|excl|idx|not_null)\\d*");

    /** Items of the same kind in the same relation can be versions of each other. */
    private record Group(Kind kind, String relation) {}

    private final SchemaCatalog live;
    private final SchemaCatalog fresh;
    private final BiFunction<SchemaCatalog, Item, String> reworded;
    private final Set<String> freshTables;
    private final List<SchemaDifference> found = new ArrayList<>();
    /** Of the live objects that have another name in the fresh schema: noun and name there. */
    private final Map<List<String>, String> freshNames = new HashMap<>();

    SchemaComparison(SchemaCatalog live, SchemaCatalog fresh, BiFunction<SchemaCatalog, Item, String> reworded) {
        this.live = live;
        this.fresh = fresh;
        this.reworded = reworded;
        freshTables = fresh.items().stream().filter(item -> item.kind() == Kind.TABLE).map(Item::name)
                .collect(Collectors.toSet());
    }

    List<SchemaDifference> differences() {
        var liveLeft = new ArrayList<>(live.items());
        var freshLeft = new ArrayList<>(fresh.items());
        removeEqual(liveLeft, freshLeft);
        for (var pass : List.<Pass>of(this::sameDefinition, this::sameWording, this::sameName))
            match(liveLeft, freshLeft, pass);
        matchAttached(liveLeft, freshLeft);
        var owners = freshOwners();
        liveLeft.removeIf(item -> item.kind() == Kind.GRANT
                && owners.contains(List.of(String.valueOf(item.relation()), grantee(item))));
        var onlyLive = absent(liveLeft);
        var onlyFresh = absent(freshLeft);
        liveLeft.stream().filter(item -> !onlyLive.covers(item)).forEach(item -> add(onlyLive(item), item, null));
        freshLeft.stream().filter(item -> !onlyFresh.covers(item)).forEach(item -> add(Verdict.MISSING, null, item));
        columnOrder();
        found.sort(Comparator.comparing((SchemaDifference one) ->
                        Objects.requireNonNullElse(one.item().relation(), ""))
                .thenComparing(one -> one.item().kind())
                .thenComparing(one -> one.item().name())
                .thenComparing(one -> one.item().definition()));
        return List.copyOf(found);
    }

    private void add(Verdict verdict, Item live, Item fresh) {
        found.add(new SchemaDifference(verdict, live, fresh));
    }

    /** Needs no memory for what only one side has: that may be 20,000 tables. */
    private static void removeEqual(List<Item> liveItems, List<Item> freshItems) {
        var unmatched = new HashMap<Item, Integer>();
        freshItems.forEach(item -> unmatched.merge(withoutOrdinal(item), 1, Integer::sum));
        liveItems.removeIf(item -> {
            var key = withoutOrdinal(item);
            var left = unmatched.getOrDefault(key, 0);
            if (left > 0) unmatched.put(key, left - 1);
            return left > 0;
        });
        freshItems.removeIf(item -> {
            var key = withoutOrdinal(item);
            var left = unmatched.get(key);
            if (left > 0) unmatched.put(key, left - 1);
            return left == 0;
        });
    }

    private static Item withoutOrdinal(Item item) {
        return item.ordinal() == 0 ? item
                : new Item(item.kind(), item.relation(), item.name(), item.definition(), item.detail(), 0);
    }

    /** The difference between two items that are versions of each other, or empty when they are not. */
    private interface Pass {
        Optional<SchemaDifference> difference(Item live, Item fresh);
    }

    /** Pairs what is left within the same relation and kind, each item once. */
    private void match(List<Item> liveItems, List<Item> freshItems, Pass pass) {
        Function<Item, Group> group = item -> new Group(item.kind(), item.relation());
        var candidates = freshItems.stream().collect(Collectors.groupingBy(group));
        var matched = new HashSet<Item>();
        liveItems.removeIf(item -> {
            for (var other : candidates.getOrDefault(group.apply(item), List.of())) {
                if (matched.contains(other)) continue;
                var difference = pass.difference(item, other);
                if (difference.isEmpty()) continue;
                found.add(difference.get());
                matched.add(other);
                if (!item.name().equals(other.name()))
                    freshNames.put(noun(item), noun(other).getLast());
                return true;
            }
            return false;
        });
        freshItems.removeAll(matched);
    }

    private Optional<SchemaDifference> sameDefinition(Item live, Item fresh) {
        if (!live.definition().equals(fresh.definition())) return Optional.empty();
        if (live.name().equals(fresh.name()))
            return Optional.of(new SchemaDifference(Verdict.SAME_MEANING, live, fresh));
        return live.kind().isKnownByDefinition() ? Optional.of(renamed(live, fresh)) : Optional.empty();
    }

    private static SchemaDifference renamed(Item live, Item fresh) {
        var automatic = AUTOMATIC.matcher(fresh.name()).matches();
        return new SchemaDifference(automatic ? Verdict.AUTOMATIC_NAME : Verdict.DIFFERENT, live, fresh);
    }

    private Optional<SchemaDifference> sameWording(Item live, Item fresh) {
        var sameName = live.name().equals(fresh.name());
        if (!sameName && !live.kind().isKnownByDefinition() || live.kind().isAttached()) return Optional.empty();
        if (!reworded.apply(this.live, live).equals(reworded.apply(this.fresh, fresh))) return Optional.empty();
        return Optional.of(sameName ? new SchemaDifference(Verdict.SAME_MEANING, live, fresh) : renamed(live, fresh));
    }

    private Optional<SchemaDifference> sameName(Item live, Item fresh) {
        var versions = live.name().equals(fresh.name()) && !live.kind().isOneOfSeveral();
        return versions ? Optional.of(new SchemaDifference(Verdict.DIFFERENT, live, fresh)) : Optional.empty();
    }

    /** Comments and the like of an object that has another name in the fresh schema. */
    private void matchAttached(List<Item> liveItems, List<Item> freshItems) {
        liveItems.removeIf(item -> {
            var name = freshNames.get(List.of(String.valueOf(item.relation()), item.name()));
            return item.kind().isAttached() && name != null && freshItems.removeIf(other ->
                    other.kind() == item.kind() && Objects.equals(other.relation(), item.relation())
                            && other.name().equals(name) && other.definition().equals(item.definition()));
        });
    }

    private static String grantee(Item grant) {
        return grant.definition().replaceFirst("^[A-Z ]+ to ", "").replaceFirst(" WITH GRANT OPTION$", "");
    }

    /** The relations of the fresh schema with their owners, who need no grant. */
    private Set<List<String>> freshOwners() {
        return fresh.items().stream()
                .filter(item -> item.kind() == Kind.OWNER && item.name().endsWith(" " + item.relation()))
                .map(item -> List.of(item.relation(), item.definition())).collect(Collectors.toSet());
    }

    /** Objects that one side lacks as a whole; what belongs to them is not listed. */
    private record Absent(Set<String> relations, Set<List<String>> others) {
        boolean covers(Item item) {
            if (!item.kind().isRelation() && item.relation() != null && relations.contains(item.relation()))
                return true;
            if (item.kind().isAttached() || item.kind() == Kind.SEQUENCE || item.kind() == Kind.COLUMN_STORAGE
                    || item.kind() == Kind.STATISTICS_TARGET || item.kind() == Kind.STORAGE_PARAMETER)
                return others.contains(List.of(String.valueOf(item.relation()), ownerOf(item)));
            return item.kind() == Kind.DOMAIN_CHECK
                    && others.contains(List.of("null", "type " + item.name().replaceFirst("\\.[^.]*$", "")));
        }

        private static String ownerOf(Item item) {
            if (item.kind().isAttached()) return item.name();
            return "column " + item.name().replaceFirst("^of column ", "");
        }
    }

    private static Absent absent(List<Item> left) {
        var relations = left.stream().filter(item -> item.kind().isRelation()).map(Item::name);
        var others = left.stream().filter(item -> !item.kind().isAttached()).map(SchemaComparison::noun);
        return new Absent(relations.collect(Collectors.toSet()), others.collect(Collectors.toSet()));
    }

    /** The relation, and the noun and name by which attached properties name an object. */
    private static List<String> noun(Item item) {
        return List.of(String.valueOf(item.relation()), item.kind().noun() + " " + item.name());
    }

    private Verdict onlyLive(Item item) {
        var dangerous = switch (item.kind()) {
            case COLUMN -> item.definition().contains(" NOT NULL")
                    && Stream.of(" DEFAULT ", " with a sequence", " GENERATED ").noneMatch(item.definition()::contains);
            case PRIMARY_KEY, UNIQUE, FOREIGN_KEY, CHECK, EXCLUSION, UNIQUE_INDEX -> true;
            default -> false;
        };
        return freshTables.contains(item.relation()) && dangerous ? Verdict.ONLY_LIVE_DANGEROUS : Verdict.ONLY_LIVE;
    }

    /** One line a table, among the columns that both have. */
    private void columnOrder() {
        var liveOrder = columns(live);
        var freshOrder = columns(fresh);
        liveOrder.forEach((table, columns) -> {
            var others = freshOrder.getOrDefault(table, List.of());
            var names = names(columns, others);
            var otherNames = names(others, columns);
            if (!names.equals(otherNames))
                add(Verdict.SAME_MEANING, order(table, names), order(table, otherNames));
        });
    }

    private static Item order(String table, List<String> names) {
        return new Item(Kind.TABLE, table, table, "columns in the order " + String.join(", ", names), null, 0);
    }

    private static Map<String, List<Item>> columns(SchemaCatalog catalog) {
        return catalog.items().stream().filter(item -> item.kind() == Kind.COLUMN)
                .sorted(Comparator.comparingInt(Item::ordinal)).collect(Collectors.groupingBy(Item::relation));
    }

    private static List<String> names(List<Item> columns, List<Item> others) {
        var known = others.stream().map(Item::name).collect(Collectors.toSet());
        return columns.stream().map(Item::name).filter(known::contains).toList();
    }
}
