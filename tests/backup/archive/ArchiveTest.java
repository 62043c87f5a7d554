package lib.backup.archive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import lib.environment.Environment;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;

/** Counts and hashes of the rows of a real archive. */
class ArchiveTest {
    private static final int LARGE = 60_000_000;
    @TempDir static Path temp;
    private static Path archive;

    @BeforeAll static void an_archive() throws Exception {
        var db = Postgres.database("archive_" + ProcessHandle.current().pid(), Postgres.SUPERUSER);
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute("""
                CREATE TABLE nothing (t text);    INSERT INTO nothing VALUES ('');
                CREATE TABLE letter (t text);     INSERT INTO letter VALUES ('a');
                CREATE TABLE letters (t text);    INSERT INTO letters VALUES ('abc');
                CREATE TABLE sentence (t text);   INSERT INTO sentence VALUES ('Nobody inspects the spammish \
                repetition');
                CREATE TABLE twice (t text);      INSERT INTO twice VALUES ('abc'), ('abc');
                CREATE TABLE lengths (t text);    INSERT INTO lengths SELECT repeat(chr(97 + i %% 26), i) FROM \
                generate_series(0, 300) i;
                CREATE TABLE escapes (t text);    INSERT INTO escapes VALUES (E'\\n'), (E'\\\\.'), (E'\\t'), (NULL), \
                ('\\N');
                CREATE TABLE django_migrations (id int, app text, name text, applied text);
                INSERT INTO django_migrations VALUES (2, 'shop', '0002', 'now'), (1, 'shop', '0001', 'then');
                CREATE TABLE large (t text);      INSERT INTO large VALUES (repeat('0123456789', %d));
                SELECT lo_from_bytea(4711, convert_to('abc', 'UTF8')), lo_from_bytea(4712, decode(repeat('00ff', \
                100000), 'hex'));
                """.formatted(LARGE / 10));
        }
        archive = temp.resolve("archive");
        var program = Environment.withoutDjango(null, null)
                .pgProgram("pg_dump", 15)
                .secret("PGPASSWORD", db.role().password());
        program.with(
                        "--format=custom",
                        "--compress=0",
                        "--blobs",
                        "--file=" + archive,
                        "--host=" + db.host(),
                        "--port=" + db.port(),
                        "--username=" + db.role().name(),
                        db.name())
                .output();
    }

    /** The expected hashes are from Python's xxhash library. */
    @Test void rows_are_hashed_as_xxhash_itself_does() throws Exception {
        var contents = read(Files.newInputStream(archive));
        var hashes = new TreeMap<String, String>();
        contents.tables()
                .forEach((name, rows) -> hashes.put(name.replace("public.", ""), rows.rows() + " " + rows.hex()));
        hashes.keySet().removeAll(List.of("escapes", "django_migrations"));
        assertEquals(
                new TreeMap<>(Map.of(
                        "nothing",
                        "1 ef46db3751d8e999",
                        "letter",
                        "1 d24ec4f1a98c6e5b",
                        "letters",
                        "1 44bc2cf5ad770999",
                        "sentence",
                        "1 fbcea83c8a378bf1",
                        "twice",
                        "2 897859eb5aee1332",
                        "lengths",
                        "301 4a7655e8105476bf",
                        "large",
                        "1 339f6d490a204a9b")),
                hashes);
        assertEquals(5, contents.tables().get("public.escapes").rows());
        assertEquals(LARGE + 1, contents.tables().get("public.large").bytes());
        assertEquals(
                "2 1266c17bb640d112",
                contents.largeObjects().rows() + " " + contents.largeObjects().hex()); // its oid is the seed
    }

    @Test void the_result_does_not_depend_on_how_the_archive_is_split_into_reads() throws Exception {
        var whole = read(Files.newInputStream(archive));
        assertEquals("0002", whole.lastMigration().name());
        assertEquals(2, whole.largeObjects().rows());
        for (int most : new int[] {1009, 65_537})
            assertEquals(whole, read(inPieces(Files.newInputStream(archive), most)));
    }

    /** A row can be larger than the memory. */
    @Test void no_row_is_kept_in_memory() throws Exception {
        var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        read(Files.newInputStream(archive)); // loads the classes
        var before = threads.getCurrentThreadAllocatedBytes();
        read(Files.newInputStream(archive));
        var allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertTrue(allocated < LARGE / 20, "%,d bytes".formatted(allocated));
    }

    private static Contents read(InputStream in) throws IOException {
        try (in) {
            return Archive.read(in, OutputStream.nullOutputStream());
        }
    }

    private static InputStream inPieces(InputStream in, int most) {
        return new FilterInputStream(in) {
            @Override public int read(byte[] bytes, int from, int length) throws IOException {
                return in.read(bytes, from, Math.min(length, most));
            }
        };
    }
}
