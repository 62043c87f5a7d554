package lib.postgres;

import java.util.List;
import java.util.function.BiFunction;
import lib.files.Text;
import lib.postgres.SchemaCatalog.Item;
import lib.postgres.SchemaCatalog.Kind;

/**
 * One difference between a live schema and a fresh one that the models' migrations have made.
 *
 * @param live  null when only the fresh one has it
 * @param fresh null when only the live one has it
 */
public record SchemaDifference(Verdict verdict, Item live, Item fresh) {

    public enum Verdict {
        /** The models want it, and the live schema lacks it. */
        MISSING,
        /** Both have it, with another definition, or with another name where the models give it one. */
        DIFFERENT,
        /** Only the live schema has it, and it can make a write fail that the models allow. */
        ONLY_LIVE_DANGEROUS,
        /** Only the live schema has it. */
        ONLY_LIVE,
        /** The same, under another name that PostgreSQL or Django has chosen. */
        AUTOMATIC_NAME,
        /** Another wording or order of the same meaning: serial and identity, the order of columns. */
        SAME_MEANING;

        /** Whether the live schema has something that the fresh one has not. */
        public boolean isOnlyLive() {
            return this == ONLY_LIVE || this == ONLY_LIVE_DANGEROUS;
        }

        /** Whether the two schemas differ for a program that uses them. */
        public boolean isReal() {
            return this != AUTOMATIC_NAME && this != SAME_MEANING;
        }
    }

    public Item item() {
        return live != null ? live : fresh;
    }

    /** "index code_idx on shop_order: USING btree (code)" */
    @Override
    public String toString() {
        return text(item().toString(), "in a new database");
    }

    /** The same without the relation: "index code_idx: USING btree (code)" */
    public String withoutRelation() {
        return text(item().label(), "in a new database");
    }

    /** @param where the fresh schema is: "in a new database" */
    public String in(String where) {
        return text(item().toString(), where);
    }

    private String text(String name, String where) {
        return switch (verdict) {
            case MISSING, ONLY_LIVE, ONLY_LIVE_DANGEROUS -> name + words(item());
            case AUTOMATIC_NAME -> "%s is named %s %s".formatted(name, fresh.name(), where);
            case DIFFERENT, SAME_MEANING -> live.name().equals(fresh.name())
                    ? "%s: %s; %s: %s".formatted(name, full(live), where, full(fresh))
                    : "%s is named %s %s, as the models say".formatted(name, fresh.name(), where);
        };
    }

    private static String words(Item item) {
        return item.kind() == Kind.TABLE && item.definition().equals("table") ? "" : ": " + full(item);
    }

    private static String full(Item item) {
        var text = item.definition().strip().replaceAll("\\s+", " ");
        var detail = item.detail() == null ? "" : " (" + item.detail() + ")";
        return Text.shortened(text, 200) + detail;
    }

    /**
     * All differences, in the order of relations and kinds.
     *
     * @param reworded a definition as this server words it today: a restored dump words {@code IN (…)} otherwise than
     *                 the statement that made it. Asked only for definitions that differ.
     */
    public static List<SchemaDifference> between(SchemaCatalog live, SchemaCatalog fresh,
            BiFunction<SchemaCatalog, Item, String> reworded) {
        return new SchemaComparison(live.comparableWith(fresh), fresh.comparableWith(live), reworded).differences();
    }
}
