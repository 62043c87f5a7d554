///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES ../lib/Lib.java
//SOURCES ../tests/support/Postgres.java

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import lib.cli.Cli;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.postgres.Database;
import lib.postgres.Rewording;
import lib.postgres.SchemaCatalog;
import lib.postgres.SchemaDifference;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import support.Postgres;

/** Compares the duration of a comparison of two schemas with that of {@code pg_dump --schema-only} of both. */
@Command(
        name = "bench/schemas",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Measures the comparison of two schemas against pg_dump --schema-only of both.",
            "Brings its own PostgreSQL; touches nothing of yours."
        })
public class schemas implements Callable<Integer>, Cli.HasOutput {
    @Option(names = "--runs", paramLabel = "N", defaultValue = "5", description = "Runs of each side.")
    int runs;

    @Mixin Cli.Output output;

    public static void main(String... args) {
        System.exit(Cli.run(new schemas(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        for (int tables : List.of(50, 500, 1000, 2000)) compare(output.console(), tables);
        return ExitCode.DONE.code;
    }

    private void compare(Console console, int tables) throws Exception {
        var old = filled(tables);
        var fresh = filled(tables);
        var ours = new ArrayList<Double>();
        var peers = new ArrayList<Double>();
        for (int run = 0; run <= runs; run++) { // the first one warms the JVM and the caches
            ours.add(seconds(() -> differences(old, fresh)));
            peers.add(seconds(() -> dump(old) + dump(fresh)));
        }
        var mine = median(ours.subList(1, ours.size()));
        var theirs = median(peers.subList(1, peers.size()));
        console.say("%,d tables: compared in %.2f s, pg_dump --schema-only of both in %.2f s; ratio %.2f"
                .formatted(tables, mine, theirs, mine / theirs));
    }

    private static Postgres.Db filled(int tables) {
        var db = Postgres.database();
        for (int from = 1; from <= tables; from += 500) // each transaction locks its tables
            run(db, """
                DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE TABLE shop_%%s (id bigserial PRIMARY KEY,
                    other_id bigint REFERENCES shop_%%s, code varchar(20) UNIQUE, name text DEFAULT %%L,
                    number int CHECK (number > 0), at timestamptz, good boolean NOT NULL, a text, b text, c text);
                    CREATE INDEX ON shop_%%s (name); CREATE INDEX ON shop_%%s (at)',
                    i, greatest(1, i - 1), 'x', i, i); END LOOP; END $$""".formatted(
                        from, Math.min(tables, from + 499)));
        return db;
    }

    private static void run(Postgres.Db db, String sql) {
        try (var database = Database.open(db.credentials())) {
            database.run(sql);
        }
    }

    private static int differences(Postgres.Db old, Postgres.Db fresh) {
        try (var one = Database.open(old.credentials()); var other = Database.open(fresh.credentials())) {
            var found = SchemaDifference.between(SchemaCatalog.of(one, "public"), SchemaCatalog.of(other, "public"),
                    new Rewording(other)::of);
            if (!found.isEmpty()) throw new IllegalStateException("the two schemas differ: " + found);
            return 0;
        }
    }

    private static int dump(Postgres.Db db) throws Exception {
        var dump = new ProcessBuilder("pg_dump", "--schema-only",
                "-h", db.host(), "-p", "" + db.port(), "-U", db.role().name(), db.name())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.INHERIT);
        dump.environment().put("PGPASSWORD", db.role().password());
        if (dump.start().waitFor() != 0) throw new IllegalStateException("pg_dump failed");
        return 0;
    }

    private static double seconds(Callable<Integer> work) throws Exception {
        var began = System.nanoTime();
        work.call();
        return (System.nanoTime() - began) / 1e9;
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().skip(values.size() / 2).findFirst().orElseThrow();
    }
}
