package lib.reset;

import java.util.List;
import java.util.function.Supplier;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaDifference;

/**
 * Compares the old schema with the new one before the new one is live, and says what the new one lacks. Row security
 * that would be lost refuses the run, because people would see rows that were hidden from them.
 */
final class CompareSchemas implements Step {
    private final Findings findings;
    private final boolean allowPolicyLoss;
    private final Supplier<SchemaCatalog> fresh;
    private final Supplier<Database> parser;
    private SchemaCatalog built;
    private Losses losses = new Losses(List.of());

    /**
     * @param fresh  reads the new schema
     * @param parser opens a database where definitions can be parsed again
     */
    CompareSchemas(Findings findings, boolean allowPolicyLoss, Supplier<SchemaCatalog> fresh,
            Supplier<Database> parser) {
        this.findings = findings;
        this.allowPolicyLoss = allowPolicyLoss;
        this.fresh = fresh;
        this.parser = parser;
    }

    @Override public String describe() {
        return "compare the new schema with the old one";
    }

    @Override public void run() {
        built = fresh.get();
        try (var db = parser.get()) {
            losses = Losses.between(findings.snapshot().schema().catalog(), built, new Rewording(db));
        }
        if (!allowPolicyLoss) refusePolicyLoss(losses.rowSecurity());
    }

    /** @throws Failure refused (4) when there are any */
    static void refusePolicyLoss(List<SchemaDifference> lost) {
        if (lost.isEmpty()) return;
        throw Failure.refused("row security would be lost, and people would see rows that are hidden from them now:\n  "
                + String.join("\n  ", lost.stream().map(SchemaDifference::toString).toList()))
                .next("put them into a migration of their own after the reset, or keep them in the models' app, and "
                        + "repeat with --allow-policy-loss");
    }

    /** Known once this step has run. */
    Losses losses() {
        return losses;
    }

    /** The new schema as it was built, or null before this step has run. */
    SchemaCatalog built() {
        return built;
    }
}
