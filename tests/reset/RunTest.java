package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.gson.JsonParser;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import lib.django.Migrations;
import lib.environment.Services;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** run.json stays readable: undo works for runs of earlier versions. */
class RunTest {
    @TempDir Path temp;

    /** As version 1.0 writes it. */
    private static final String SWAP = """
        {
          "format": 1,
          "id": "20261122-172530-4f2a",
          "version": "1.0.0",
          "started": "2026-11-22T17:25:30Z",
          "root": "/srv/shop",
          "database": "shop@localhost:5432/shop",
          "strategy": "swap",
          "outcome": "undoing",
          "aside": {
            "run": "20261122-172530-4f2a",
            "live": "shop",
            "oid": 4000000000,
            "scratch": "shop_new_20261122_172530_4f2a",
            "aside": "shop_before_20261122_172530_4f2a",
            "undone": "shop_undone_20261122_172530_4f2a",
            "kind": "database"
          },
          "old": [
            {
              "path": "orders/migrations/0001_initial.py",
              "sha256": "aa",
              "mode": "rw-r--r--",
              "touched": 1700000000000
            }
          ],
          "fresh": {
            "orders/migrations/0001_initial.py": "bb"
          },
          "made": [
            "orders/migrations"
          ],
          "backup": "/srv/shop/backups/shop.dump",
          "apps": [
            "orders"
          ],
          "drift": [
            "orders: Alter field x"
          ],
          "services": [
            {
              "id": "c1",
              "service": "web",
              "before": "running"
            }
          ]
        }""";

    private Run read(String json) throws Exception {
        return Run.read(Files.writeString(temp.resolve("run.json"), json));
    }

    @Test void a_record_of_an_earlier_version_is_read_in_full() throws Exception {
        var origin = new Run.Origin("20261122-172530-4f2a", "1.0.0", "2026-11-22T17:25:30Z", "/srv/shop",
                "shop@localhost:5432/shop", "swap");
        var previous = new PreviousDatabase(origin.id(), "shop", 4_000_000_000L, "shop_new_20261122_172530_4f2a",
                "shop_before_20261122_172530_4f2a", "shop_undone_20261122_172530_4f2a", null);
        var old = new Migrations.File("orders/migrations/0001_initial.py", "aa", "rw-r--r--", null, 1_700_000_000_000L);
        var migrations = new RunMigrations(List.of(old), Map.of("orders/migrations/0001_initial.py", "bb"),
                List.of("orders/migrations"), List.of("orders"), Set.of("orders: Alter field x"));
        assertEquals(new Run(origin, Run.Outcome.UNDOING, previous, migrations, "/srv/shop/backups/shop.dump",
                List.of(new Services.Container("c1", "web", Services.Health.RUNNING))), read(SWAP));
    }

    @Test void a_record_is_written_as_the_earlier_version_wrote_it() throws Exception {
        assertEquals(JsonParser.parseString(SWAP),
                JsonParser.parseString(new String(read(SWAP).json(), StandardCharsets.UTF_8)));
    }

    @Test void records_without_the_later_fields_are_read() throws Exception {
        var run = read(SWAP.replaceAll("(?s),\\s*\"backup\".*", "}"));
        assertEquals(List.of(), run.services());
        assertEquals(List.of(), run.migrations().apps());
        assertEquals(Set.of(), run.migrations().drift());
    }

    @Test void the_other_kinds_of_previous_state_are_read() throws Exception {
        var park = "\"aside\": {\"run\": \"r\", \"database\": \"shop\", \"live\": \"public\", \"parked\": \"parked_r\","
                + " \"undone\": \"undone_r\", \"fixed\": true, \"objects\": {\"pg_class\": [7]}, \"kind\": \"schema\"}";
        assertEquals(new PreviousSchema("r", "shop", "public", "parked_r", "undone_r", true,
                Map.of("pg_class", List.of(7L))), read(SWAP.replaceFirst("(?s)\"aside\": \\{.*?\\}", park)).previous());
        var drop = "\"aside\": {\"run\": \"r\", \"name\": \"shop\", \"schema\": \"public\", \"tables\": [7], \"kind\":"
                + " \"backup\"}";
        assertEquals(new DroppedTables("r", "shop", "public", List.of(7L)),
                read(SWAP.replaceFirst("(?s)\"aside\": \\{.*?\\}", drop)).previous());
    }

    @Test void a_damaged_record_is_refused_with_its_path() {
        for (var json : List.of("", "{}", "[]", "null", "{", SWAP.substring(0, 400),
                SWAP.replace("\"format\": 1", "\"format\": 2"),
                SWAP.replace("undoing", "flying"), SWAP.replace("\"kind\": \"database\"", "\"kind\": \"tape\""))) {
            var problem = assertThrows(Failure.class, () -> read(json), json).problem();
            assertEquals(ExitCode.USAGE, problem.exit());
            assertEquals("the record of a run cannot be read: it is damaged, or another version wrote it: "
                    + temp.resolve("run.json"), problem.what());
        }
    }

    @Test void the_comment_of_what_is_set_aside_is_written_and_parsed_in_one_place() {
        var before = RunComment.before("20261122-172530-4f2a", "shop");
        assertEquals("reset_migrations 20261122-172530-4f2a: shop as it was before", before.toString());
        assertEquals("reset_migrations 20261122-172530-4f2a: what undo took away from schema public",
                RunComment.undone("20261122-172530-4f2a", "public").toString());
        assertEquals(before, RunComment.parse(before.toString()).orElseThrow());
        for (var other : List.of("", "shop", "reset_migrations", "reset_migrations : x", "reset_migrations a b: x",
                " reset_migrations a: x")) assertEquals(java.util.Optional.empty(), RunComment.parse(other), other);
    }
}
