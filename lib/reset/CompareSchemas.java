package lib.reset;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import lib.cli.Console;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaCatalog.Kind;
import lib.postgres.Sql;
import lib.process.Interruption;

/**
 * Compares the old schema with the new one before the new one is live, and prints what the new one lacks. Row security
 * that would be lost refuses the run, because people would see rows that are hidden from them now.
 */
final class CompareSchemas implements Step {
    /** Old migrations may take many minutes; a reset only says then that their rows are not counted. */
    private static final Duration LIMIT = Duration.ofSeconds(30);

    private final Findings findings;
    private final boolean allowPolicyLoss;
    private final ScratchDatabase scratch;
    private final Supplier<SchemaCatalog> fresh;
    private final Supplier<Database> parser;
    private final Migrator migrator;
    private final Console console;
    private final CustomOperations operations;
    private SchemaCatalog built;
    private Losses losses = Losses.NONE;

    /**
     * @param scratch where the new schema was built; null: in place of the old one
     * @param fresh   reads the new schema
     * @param parser  opens a database in which definitions are parsed again
     */
    CompareSchemas(Findings findings, boolean allowPolicyLoss, ScratchDatabase scratch, Supplier<SchemaCatalog> fresh,
            Supplier<Database> parser, Migrator migrator, Console console) {
        this.findings = findings;
        this.allowPolicyLoss = allowPolicyLoss;
        this.scratch = scratch;
        this.fresh = fresh;
        this.parser = parser;
        this.migrator = migrator;
        this.console = console;
        operations = new CustomOperations(findings.django(), findings.migrations().generated());
    }

    @Override public String describe() {
        return "compare the new schema with the old one";
    }

    /** Prints all of it, for there is no run whose log has the rest, and refuses nothing. */
    Step printingOnly() {
        return Step.of(describe(), () -> compare(Losses.ALL, null), () -> {});
    }

    @Override public void run() {
        compare(Losses.MOST_IMPORTANT, LIMIT);
        if (!allowPolicyLoss) refuse(losses.rowSecurity());
    }

    private void compare(int shown, Duration limit) {
        try (var db = parser.get()) {
            losses = Losses.between(old(), built(), new Rewording(db), notBuiltYet(), lostRows(db, limit), operations);
        }
        if (!old().locked().isEmpty())
            console.warn("locked by another session, and therefore not compared: " + String.join(", ", old().locked()));
        losses.print(console, findings.models(), shown);
    }

    /**
     * Old migrations often do not run any more; then only their operations can be named.
     *
     * @param fresh the new database
     * @param limit for the old migrations, or null
     */
    private List<Migrator.MadeRows> lostRows(Database fresh, Duration limit) {
        if (operations.isEmpty()) return List.of();
        if (scratch == null) {
            printUncounted("the old migrations are not run here");
            return List.of();
        }
        console.note("running the old migrations in a database of their own, to count the rows that they make");
        try {
            var made = scratch.rowsOfOldMigrations(migrator, limit);
            if (made.isEmpty()) printUncounted("the old migrations were stopped after %d seconds (--dry-run --losses "
                    .formatted(limit.toSeconds()) + "lets them run to their end)");
            return made.orElse(List.of()).stream().filter(one -> one.left() > rows(fresh, one.table())).toList();
        } catch (Failure e) {
            Interruption.check(); // Ctrl-C ends Python too
            printUncounted("the old migrations do not run (%s)".formatted(Text.line(Failure.firstLine(e))));
            return List.of();
        }
    }

    private void printUncounted(String why) {
        var inserting = operations.mayHaveInserted();
        if (inserting.isEmpty()) return;
        console.note(why + ", so the rows that they made cannot be counted");
        console.say("these operations may have inserted some:");
        PlanPrinter.columns(console, inserting);
    }

    private long rows(Database fresh, String table) {
        var name = Sql.identifier(findings.snapshot().schema().name()) + "." + Sql.identifier(table);
        return fresh.is("SELECT to_regclass(?) IS NULL", name) ? 0
                : fresh.one("SELECT count(*) FROM " + name, r -> r.getLong(1));
    }

    /** What only a later step brings into the new schema: once it is live, the grants. */
    private Set<Kind> notBuiltYet() {
        var strategy = findings.strategy();
        var isGranted = strategy instanceof SwapDatabase || scratch == null && !strategy.inTransaction();
        return isGranted ? Set.of() : Set.of(Kind.GRANT);
    }

    private SchemaCatalog old() {
        return findings.catalog();
    }

    /**
     * Where the new schema is built in place of the old one, it cannot be compared before the old one is set aside or
     * dropped: there every policy may be lost.
     *
     * @throws Failure refused (4) when the old schema has row security
     */
    void refuseUncheckedPolicyLoss() {
        if (scratch == null && !findings.strategy().inTransaction()) refuse(Losses.rowSecurity(old()));
    }

    private static void refuse(List<String> lost) {
        if (lost.isEmpty()) return;
        throw Failure.refused("row security is not in the new database, so people would see rows that are hidden from "
                + "them now:" + Text.lines(lost))
                .next("create it again in a migration after the reset, and repeat this with --allow-policy-loss");
    }

    /** Known once this step has run. */
    Losses losses() {
        return losses;
    }

    /** The new schema as it was built: read once, when it is first asked for. */
    SchemaCatalog built() {
        if (built == null) built = fresh.get();
        return built;
    }

    Findings findings() {
        return findings;
    }

    /** Null where the new schema is built in place of the old one. */
    ScratchDatabase scratch() {
        return scratch;
    }

    CustomOperations operations() {
        return operations;
    }
}
