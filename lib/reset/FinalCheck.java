package lib.reset;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import lib.django.Django;
import lib.environment.Environment;
import lib.error.Failure;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaDifference;

/**
 * Compares the live schema with the one that was built, and asks Django. A new Python process sees the project as other
 * programs will: its files, settings and database as they are now.
 *
 * @param built the new schema as it was read before it went live, or null when that is not known
 */
record FinalCheck(Environment environment, String settings, Run reset, Supplier<SchemaCatalog> built)
        implements Step {
    private static final String SYSTEM_CHECK = "manage.py check fails: ";

    @Override public String describe() {
        return "check: Django finds nothing left to migrate and nothing to make";
    }

    @Override public void run() throws IOException {
        var findings = findings();
        if (findings.isEmpty()) return;
        var isSystemCheck = findings.stream().allMatch(one -> one.startsWith(SYSTEM_CHECK));
        throw Failure.failed(failed(findings)).next(isSystemCheck
                ? "change that check of the project: it does not pass with the new migrations"
                : "please report it: the new state had passed the same checks before the swap");
    }

    static String failed(List<String> findings) {
        return "the final check failed:" + Text.lines(findings);
    }

    /** What is wrong, a line each. */
    List<String> findings() throws IOException {
        try (var django = Django.start(environment.python(), settings, note -> {});
                var db = Database.open(environment.database())) {
            var migrations = reset.migrations();
            var files = migrations.fresh().keySet().stream().map(reset.root()::resolve).toList();
            var findings = findings(django.check(migrations.apps(), migrations.drift(), files), db.oid());
            if (built.get() != null) findings.addAll(differences(db, built.get()));
            return findings;
        }
    }

    /** Grants are given again only after the new schema was read. */
    private List<String> differences(Database db, SchemaCatalog built) {
        var isNewDatabase = reset.previous() instanceof PreviousDatabase;
        return SchemaDifference.between(SchemaCatalog.of(db, built.schema()), built, new Rewording(db)::of).stream()
                .filter(one -> one.verdict().isReal() && one.item().kind() != SchemaCatalog.Kind.GRANT)
                .filter(one -> isNewDatabase || !one.verdict().isOnlyLive()) // what others own stays in the schema
                .map(one -> "not as it was built: " + one).toList();
    }

    static List<String> findings(Django.CheckResult check, long oid) {
        var findings = new ArrayList<String>();
        if (check.oid() != oid) findings.add("Django is connected to another database than the new one");
        if (!check.unapplied().isEmpty()) findings.add("not applied: " + String.join(", ", check.unapplied()));
        if (!check.drift().isEmpty()) findings.add("makemigrations would write: " + String.join("; ", check.drift()));
        check.failing().forEach(text -> findings.add(SYSTEM_CHECK + Text.line(text)));
        return findings;
    }
}
