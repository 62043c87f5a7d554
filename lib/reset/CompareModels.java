package lib.reset;

import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import lib.cli.Console;
import lib.django.Migrator;
import lib.error.Failure;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaCatalog.Kind;
import lib.postgres.SchemaDifference;
import lib.postgres.SchemaDifference.Verdict;
import lib.postgres.Sql;
import lib.process.Interruption;

/**
 * Compares what the new migrations have made with tables that Django creates from the models directly. The two differ
 * when a field's {@code deconstruct()} leaves something out; {@code makemigrations --check} cannot see that.
 *
 * @param scratch where the new schema is; null: in the transaction that parks the old tables
 * @param built   reads the new schema
 */
record CompareModels(Findings findings, Database db, ScratchDatabase scratch, Supplier<SchemaCatalog> built,
        Migrator migrator, Console console) implements Step {

    @Override public String describe() {
        return "compare the new schema with the models";
    }

    @Override public void run() {
        var migrated = built.get();
        try (var database = db.sibling(scratch == null ? db.name() : scratch.name())) {
            var models = models(database);
            if (models == null) return;
            var rewording = new Rewording(database);
            var wrong = lacking(migrated, models, rewording);
            if (wrong.isEmpty()) return;
            var asBefore = lacking(findings.catalog(), models, rewording).stream().map(CompareModels::text)
                    .collect(Collectors.toSet());
            var added = wrong.stream().filter(one -> !asBefore.contains(text(one))).collect(Collectors.partitioningBy(
                    CompareModels::isMissingIndex, Collectors.mapping(CompareModels::text, Collectors.toList())));
            var late = added.get(true);
            var fresh = added.get(false);
            if (!fresh.isEmpty()) throw Failure.failed(
                    "the new migrations make another schema than the models describe:" + Text.lines(fresh))
                    .next("correct the class of that field, index or constraint: most often its deconstruct() leaves "
                            + "an argument out, so that migrations do not have it");
            for (var index : late) console.warn("a model has an index that makemigrations does not see, so the new "
                    + "database lacks it: " + index + "; name it in the model's Meta.indexes to have it");
            var old = wrong.size() - late.size();
            var different = "%s different from what the models describe, as in the old database; see the run's log";
            if (old > 0)
                console.note(different.formatted(old == 1 ? "1 definition is" : "%,d definitions are".formatted(old)));
            wrong.stream().map(CompareModels::text).forEach(console::log);
        }
    }

    /** Code may add one to a finished class, as django-mptt's does, and migrations never have it. */
    private static boolean isMissingIndex(SchemaDifference difference) {
        return difference.verdict() == Verdict.MISSING && difference.fresh().kind() == Kind.INDEX;
    }

    private static String text(SchemaDifference difference) {
        return Text.line(difference.in("as the models describe it"));
    }

    /** What the models have and the other schema lacks or has otherwise. */
    private static List<SchemaDifference> lacking(SchemaCatalog other, SchemaCatalog models, Rewording rewording) {
        return SchemaDifference.between(other, models, rewording::of).stream()
                .filter(one -> one.verdict() == Verdict.MISSING || one.verdict() == Verdict.DIFFERENT).toList();
    }

    /** Built in a schema beside the migrated one, which is dropped again; null when that fails. */
    private SchemaCatalog models(Database database) {
        var second = "models_" + RunId.suffix(findings.id());
        var schema = findings.snapshot().schema().name();
        try {
            if (scratch == null) return migrator.modelsInTransaction(second, schema);
            migrator.buildModels(scratch.name(), second);
            return SchemaCatalog.ofSecond(database, second, schema);
        } catch (Failure e) {
            Interruption.check(); // Ctrl-C ends Python too
            console.note("the models cannot be built without migrations, so the new schema is not compared with them");
            console.log(Text.line(Failure.firstLine(e)));
            return null;
        } finally {
            if (scratch != null) {
                Parking.drop(database, second, object -> true, false);
                database.run("DROP SCHEMA IF EXISTS " + Sql.identifier(second));
            }
        }
    }
}
