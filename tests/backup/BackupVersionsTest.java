package lib.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import lib.backup.archive.Compression;
import lib.backup.archive.Contents;
import lib.environment.Environment;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.project.Credentials;
import lib.restore.Restore;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.OtherServer;
import support.PgClients;
import support.Sample;

/** A database with every kind of object, with servers and clients of each major version. */
class BackupVersionsTest {
    private static final Consumer<String> SILENT = words -> {};
    private static final AtomicInteger PAIRS = new AtomicInteger();

    @TempDir Path temp;

    @AfterAll static void say() {
        System.out.printf(
                "server and client majors: %d pairs backed up, restored and compared%s%n",
                PAIRS.get(), Sample.described());
    }

    private static List<Integer> servers() {
        return Sample.of("servers", List.of(14, 15, 16, 17, 18), 1);
    }

    @ParameterizedTest @MethodSource("servers")
    void every_kind_of_object_is_counted_restored_and_compared(int server) throws Exception {
        try (var there = started(server)) {
            var full = there.database("postgres").credentials().withDatabase("every kind");
            fill(there.database("postgres").credentials(), server);
            for (int client : Sample.of("clients", IntStream.rangeClosed(server, 18).boxed().toList(), 1)) {
                var bin = PgClients.bin(client);
                if (bin.isEmpty()) continue;
                for (var how : List.of(
                        new Backup.Options(false, Compression.parse("zstd:1"), null, 1),
                        new Backup.Options(true, Compression.parse("gzip"), null, 0))) restores(full, bin.get(), how);
                PAIRS.incrementAndGet();
            }
        }
    }

    private void restores(Credentials full, Path bin, Backup.Options how) throws Exception {
        var programs = new PgPrograms(Program.of(bin.resolve("pg_dump").toString()), full);
        Backup backup;
        try (var writer = new BackupWriter(programs, new BackupFolder(temp.resolve("backups")), how, SILENT)) {
            for (var step : writer.steps()) step.run();
            backup = writer.backup();
        }
        var manifest = backup.manifest();
        assertEquals(
                List.of(
                        "public.\"a \"\"strange\"\" one\"=3",
                        "public.daily_2026=2",
                        "public.daily_2027=1",
                        "public.django_migrations=2",
                        "public.empty=0",
                        "public.none=4",
                        "public.shop_item=500",
                        "other.shop_item=1"),
                manifest.content().tables().stream()
                        .map(t -> t.name() + "=" + t.rows())
                        .sorted(Comparator.comparing((String s) -> s.startsWith("other"))
                                .thenComparing(s -> s))
                        .toList());
        assertEquals("7, true", manifest.content().sequences().get("public.counter"));
        assertEquals(2, manifest.content().largeObjects().rows());
        assertEquals(
                "shop 0002_more",
                manifest.content().lastMigration().app() + " "
                        + manifest.content().lastMigration().name());
        try (var db = Database.open(full)) {
            var name = "restored " + System.nanoTime();
            var restoration = new Restoration(BackupFile.of(backup.file(), null), programs, name, List.of(), SILENT);
            for (var step : restoration.steps(Restore.createScratch(db, name, DatabaseCopy.locale(db)))) step.run();
            assertTrue(restoration.hasContents());
            execute(
                    full.withDatabase(name),
                    "UPDATE shop_item SET name = name || '!' WHERE id = 77"); // the control: one letter
            var altered = new Restoration(BackupFile.of(backup.file(), null), programs, name, List.of(), SILENT);
            altered.check().run();
            var failure = assertThrows(Failure.class, () -> altered.compare().run());
            assertTrue(failure.getMessage().contains("public.shop_item"), failure.getMessage());
            execute(full.withDatabase("postgres"), "DROP DATABASE \"" + name + "\"");
        }
    }

    @Test void the_lowest_version_of_the_client_that_fits_is_used_and_a_missing_one_is_reported() throws Exception {
        var folders = new ArrayList<Path>();
        for (int major : new int[] {18, 15, 16, 17}) PgClients.bin(major).ifPresent(folders::add); // in mixed order
        assumeTrue(folders.size() >= 3, "fewer than three majors of clients can be had");
        for (int server : new int[] {13, 14, 15, 16, 17, 18}) {
            var chosen = Environment.Local.pgProgram("pg_dump", server, folders);
            var version = chosen.with("--version").run().out();
            assertTrue(version.contains("(PostgreSQL) " + Math.max(server, 15) + "."), server + ": " + version);
        }
        var failure = assertThrows(Failure.class, () -> Environment.Local.pgProgram("pg_dump", 19, folders));
        assertEquals(ExitCode.USAGE, failure.problem().exit());
        assertTrue(
                failure.getMessage().contains("15, 16, 17, 18")
                        && failure.problem().next().toString().contains("postgresql-client-19"),
                failure.getMessage() + failure.problem().next());
    }

    @Test void an_archive_of_a_newer_pg_dump_says_which_pg_restore_it_needs() throws Exception {
        var newer = PgClients.bin(17);
        var older = PgClients.bin(15);
        assumeTrue(newer.isPresent() && older.isPresent(), "needs clients of 15 and 17");
        try (var there = started(15)) {
            fill(there.database("postgres").credentials(), 15);
            var full = there.database("postgres").credentials().withDatabase("every kind");
            var backup = Backup.create(
                    full, Program.of(newer.get().resolve("pg_dump").toString()), temp.resolve("backups"), SILENT);
            var file = BackupFile.of(backup.file(), null);
            assertEquals(17, file.pgRestoreMajor(15));
            try (var db = Database.open(full)) {
                var restoration = new Restoration(
                        file,
                        new PgPrograms(Program.of(older.get().resolve("pg_dump").toString()), full),
                        "too_old",
                        List.of(),
                        SILENT);
                var steps = restoration.steps(Restore.createScratch(db, "too_old", DatabaseCopy.locale(db)));
                steps.get(0).run();
                steps.get(1).run();
                var failure = assertThrows(Failure.class, () -> steps.get(2).run());
                assertTrue(
                        failure.problem().next().toString().contains("newer pg_dump"),
                        failure.problem().next().toString());
                steps.get(1).undo();
                assertThrows(Failure.class, () -> Database.open(full.withDatabase("too_old"))); // it was dropped again
            }
        }
    }

    /** Archives of other tools, which pg_dump has compressed, are counted in the same way. */
    @Test void an_archive_with_compressed_data_is_counted_like_an_uncompressed_one() throws Exception {
        var bin = PgClients.bin(17);
        assumeTrue(bin.isPresent(), "needs clients of 17");
        try (var there = started(17)) {
            fill(there.database("postgres").credentials(), 17);
            var programs = Program.of(bin.get().resolve("pg_dump").toString());
            var plain = contents(programs, there.database("postgres").credentials(), "none");
            for (var how : List.of("gzip:6", "zstd:3")) {
                var packed = contents(programs, there.database("postgres").credentials(), how);
                if (packed.isEmpty()) continue; // this build of pg_dump does not support it
                assertEquals(plain.orElseThrow().tables(), packed.get().tables(), how);
                assertEquals(plain.orElseThrow().largeObjects(), packed.get().largeObjects(), how);
            }
        }
    }

    private Optional<Contents> contents(Program pgDump, Credentials server, String how) {
        var file = temp.resolve(how.replace(':', '_') + ".dump");
        var made = pgDump.with(
                        "-Fc",
                        "--compress=" + how,
                        "--file=" + file,
                        "--host=" + server.host(),
                        "--port=" + server.port(),
                        "--username=" + server.user(),
                        "every kind")
                .secret("PGPASSWORD", server.password())
                .run();
        return made.code() != 0 ? Optional.empty() : Optional.of(BackupFile.of(file, null).check(SILENT));
    }

    // ---- the database ------------------------------------------------------------------------

    private static OtherServer started(int major) {
        var server = OtherServer.start(major);
        assumeTrue(server.isPresent(), "no server of PostgreSQL " + major);
        return server.get();
    }

    private static void fill(Credentials server, int major) throws SQLException {
        execute(server, "CREATE ROLE \"some one\"");
        execute(server, "CREATE DATABASE \"every kind\" TEMPLATE template0 ENCODING 'UTF8'");
        execute(
                server.withDatabase("every kind"),
                """
                    CREATE SCHEMA other AUTHORIZATION "some one";
                    CREATE TYPE mood AS ENUM ('glad', 'so so');
                    CREATE TYPE pair AS (a int, b text);
                    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
                    CREATE SEQUENCE counter;
                    SELECT setval('counter', 7);
                    CREATE TABLE shop_item (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name varchar(80) \
                    NOT NULL, price numeric(10, 2) CHECK (price >= 0),
                        kind varchar(9) CHECK (kind IN ('a', 'b', 'c')), mood mood DEFAULT 'glad', amount positive, \
                    data jsonb, at timestamptz DEFAULT now(), twice numeric GENERATED ALWAYS AS (price * 2) STORED,
                        blob bytea, tags text[], pair pair, parent bigint, CONSTRAINT "odd name" UNIQUE (name, kind),
                        EXCLUDE USING btree (name WITH =) WHERE (price > 1000000));
                    INSERT INTO shop_item (name, price, kind, data, blob, tags, pair, parent)
                        SELECT E'Zoë\\t\\\\' || i || E'\\n', i, 'a', jsonb_build_object('i', i, 'wörds', \
                    md5(i::text)), decode(md5(i::text), 'hex'), ARRAY['x', NULL, '\\.'], ROW(i, NULL)::pair, \
                    NULLIF(i - 1, 0)
                        FROM generate_series(1, 500) i;
                    CREATE TABLE other.shop_item (id int PRIMARY KEY, note text);
                    INSERT INTO other.shop_item VALUES (1, 'the other one');
                    CREATE TABLE "a ""strange"" one" ("select" int, "b b" text);
                    INSERT INTO "a ""strange"" one" VALUES (1, '\\.'), (2, NULL), (3, '');
                    CREATE TABLE empty (id int);
                    CREATE TABLE none ();
                    INSERT INTO none SELECT FROM generate_series(1, 4);
                    CREATE TABLE daily (day date NOT NULL, n int) PARTITION BY RANGE (day);
                    CREATE TABLE daily_2026 PARTITION OF daily FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
                    CREATE TABLE daily_2027 (n int, day date NOT NULL);
                    ALTER TABLE daily ATTACH PARTITION daily_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
                    INSERT INTO daily VALUES ('2026-02-03', 1), ('2026-02-04', 2), ('2027-02-03', 3);
                    CREATE TABLE django_migrations (id serial PRIMARY KEY, app varchar(255), name varchar(255), \
                    applied timestamptz);
                    INSERT INTO django_migrations (id, app, name, applied) VALUES (2, 'shop', '0002_more', now()), \
                    (1, 'shop', '0001_initial', now());
                    CREATE INDEX ON shop_item (lower(name)) WHERE price > 3;
                    CREATE INDEX ON shop_item USING gin (data jsonb_path_ops);
                    CREATE STATISTICS correlated ON name, kind FROM shop_item;
                    CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    COPY public.phantom (id) FROM stdin;
                    RETURN NEW; END $$;
                    CREATE TRIGGER touch BEFORE UPDATE ON shop_item FOR EACH ROW WHEN (OLD.name IS DISTINCT FROM \
                    NEW.name AND NEW.price < 0) EXECUTE FUNCTION touched();
                    CREATE VIEW cheap AS SELECT name FROM shop_item WHERE kind IN ('a', 'b') AND price < 10;
                    CREATE MATERIALIZED VIEW sums AS SELECT kind, sum(price) FROM shop_item GROUP BY kind;
                    CREATE RULE nothing AS ON DELETE TO cheap DO INSTEAD NOTHING;
                    CREATE AGGREGATE longest (text) (SFUNC = textcat, STYPE = text);
                    CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
                    CREATE COLLATION simple FROM "C";
                    CREATE CAST (pair AS text) WITH INOUT;
                    CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
                    ALTER TABLE shop_item ENABLE ROW LEVEL SECURITY;
                    CREATE POLICY own ON shop_item TO "some one" USING (kind IN ('a', 'b'));
                    GRANT SELECT ON shop_item TO "some one" WITH GRANT OPTION;
                    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "some one";
                    CREATE PUBLICATION changes FOR TABLE empty;
                    CREATE FUNCTION watched() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
                    CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE CAST') EXECUTE FUNCTION \
                    watched();
                    COMMENT ON DATABASE "every kind" IS 'no restore into another brings this';
                    GRANT CONNECT ON DATABASE "every kind" TO "some one";
                    ALTER DATABASE "every kind" SET work_mem TO '5MB';
                    COMMENT ON TABLE shop_item IS 'what is ''sold''';
                    COMMENT ON COLUMN shop_item.name IS 'its name';
                    ALTER TABLE shop_item ADD FOREIGN KEY (parent) REFERENCES shop_item DEFERRABLE INITIALLY DEFERRED;
                    ALTER TABLE shop_item ADD CONSTRAINT later CHECK (price < 1000000) NOT VALID;
                    SELECT lo_from_bytea(4711, decode(repeat('00ff', 50000), 'hex')), lo_from_bytea(4000000001, '');
                    """ + (major >= 15 ? "CREATE TABLE nulls (a int UNIQUE NULLS NOT DISTINCT); DROP TABLE nulls;" : ""));
    }

    private static void execute(Credentials database, String sql) throws SQLException {
        var url = "jdbc:postgresql://%s:%d/%s"
                .formatted(database.host(), database.port(), database.database().replace(" ", "%20"));
        try (var connection = DriverManager.getConnection(url, database.user(), database.password());
                var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }
}
