package lib.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import support.PgClients;
import support.Postgres;
import support.Python;

class PgClientsTest {
    @TempDir Path folder;

    @ParameterizedTest
    @ValueSource(ints = {16, 17, 18})
    void they_dump_a_database_and_read_it_back(int major) throws Exception {
        var bin = PgClients.bin(major);
        assumeTrue(bin.isPresent(), "no clients of PostgreSQL " + major + ", see above");
        var db = Postgres.database();
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute("CREATE TABLE customer AS SELECT i, md5(i::text) AS name FROM generate_series(1, 100) i");
        }
        var pgpass = Files.writeString(folder.resolve("pgpass"), "*:*:*:*:" + db.role().password() + "\n");
        pgpass.toFile().setReadable(false, false);
        pgpass.toFile().setReadable(true, true);
        pgpass.toFile().setWritable(true, true);
        var dump = folder.resolve("dump").toString();
        var url = "postgresql://%s@%s:%d/%s?passfile=%s"
            .formatted(db.role().name(), db.host(), db.port(), db.name(), pgpass);
        var dumped = Python.run(folder, bin.get().resolve("pg_dump").toString(), "-Fc", "-f", dump, url);
        assertEquals(0, dumped.code(), dumped.text());
        var sql = Python.run(folder, bin.get().resolve("pg_restore").toString(), "-f", "-", dump);
        assertTrue(sql.text().contains("Dumped by pg_dump version " + major + "."), sql.text());
        assertTrue(sql.text().contains("COPY public.customer"), sql.text());
        var psql = bin.get().resolve("psql").toString();
        assertEquals("100\n", Python.run(folder, psql, "-XAt", "-c", "SELECT count(*) FROM customer", url).text());
    }

    @Test void an_unknown_major_version_is_empty() {
        assertEquals(Optional.empty(), PgClients.bin(97));
    }
}
