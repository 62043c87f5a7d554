package lib.reset;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import lib.backup.BackupFile;
import lib.backup.archive.Compression;
import lib.environment.Environment;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.Sample;
import support.Snapshot;
import support.Tool;
import support.Victim;

/** Nothing is destroyed before it is in a backup that was read back. */
class BackupFirstTest {
    private static int tried, kept;
    private int folders;
    @TempDir Path temp;

    @AfterAll static void figures() {
        System.out.printf("backups that failed and nothing was destroyed: %d of %d%n", kept, tried);
    }

    private Victim victim() throws Exception {
        return new Victim(temp.resolve("v" + folders++));
    }

    private static void assertDone(Tool.Output output) {
        assertEquals(0, output.code(), output.all());
    }

    private static String pgDump(Victim victim) {
        return Environment.withoutDjango(lib.project.Project.find(victim.root()), victim.db.credentials())
                .pgProgram("pg_dump", 15).toString();
    }

    /** A folder for PATH with a pg_dump that runs this script instead. */
    private Path fake(Victim victim, String script) throws IOException {
        var bin = Files.createTempDirectory(temp, "bin");
        var real = Path.of(pgDump(victim));
        for (var other : List.of("pg_restore", "createdb", "dropdb"))
            Files.createSymbolicLink(bin.resolve(other), real.resolveSibling(other));
        var file = Files.writeString(bin.resolve("pg_dump"),
                "#!/bin/sh\n[ \"$1\" = --version ] && exec %1$s --version\n%2$s\n"
                        .formatted(real, script.replace("REAL", real.toString())));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
        return bin;
    }

    private static final List<String> BROKEN = List.of(
            "REAL \"$@\" | head -c 2000; kill -9 $$", "echo Welcome; exec REAL \"$@\"", "REAL \"$@\" | head -c 2000");

    private static List<Path> dumps(Victim victim) throws IOException {
        var folder = victim.root().resolve("backups");
        if (!Files.isDirectory(folder)) return List.of();
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(f -> f.toString().contains(".dump") && !f.toString().endsWith(".json")).sorted()
                    .toList(); // finished or partial
        }
    }

    private Tool with(Victim victim, Path bin) {
        return victim.reset().env("PATH", bin + ":" + System.getenv("PATH"));
    }

    private static void saysSo(int code, Tool.Output output) {
        assertEquals(code, output.code(), output.all());
        assertTrue(output.err().contains("nothing was destroyed"), output.err());
    }

    @Test void drop_and_backup_without_a_good_archive_leave_everything_as_it_was() throws Exception {
        var victim = victim();
        for (var broken : Sample.of("broken pg_dumps", BROKEN, 1))
            for (var args : List.of(new String[] {"--yes", "--strategy", "drop"}, new String[] {"--yes", "--backup"})) {
                tried++;
                saysSo(1, with(victim, fake(victim, broken)).run(args));
                victim.isAsItWas();
                assertEquals(List.of(), dumps(victim));
                kept++;
            }
    }

    @Test void purge_without_a_good_archive_purges_nothing() throws Exception {
        for (var strategy : Sample.of("purge without an archive", List.of("swap", "park"), 1)) {
            var victim = victim();
            tried++;
            saysSo(3, with(victim, fake(victim, BROKEN.getFirst()))
                            .run("--yes", "--purge", "--strategy", strategy)); // the reset is done, the purge is not
            for (var broken : BROKEN.subList(1, 3)) {
                tried++;
                saysSo(1, with(victim, fake(victim, broken)).run("purge", "--yes"));
            }
            assertEquals(List.of(), dumps(victim));
            assertDone(victim.reset().warmHere().run("undo", "--yes"));
            victim.rowsAreAsTheyWere();
            victim.filesAreAsTheyWere();
            kept += 3;
        }
    }

    @Test void a_full_backup_folder_stops_drop_and_purge() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"),
                "only root can mount small file systems: a full disk is not tried");
        var victim = victim();
        for (var pages : Sample.of("pages of room", List.of(1, 2), 1)) {
            tried++;
            DeathsTest.onFileSystem(victim.root().resolve("backups"), 4 * pages, () -> {
                var output = victim.reset().warmHere().run("--yes", "--strategy", "drop");
                saysSo(1, output);
                assertTrue(output.err().contains("No space left on device")
                        && output.err().contains(victim.root() + "/backups"), output.err());
                assertEquals(List.of(), dumps(victim));
            });
            Files.delete(victim.root().resolve("backups"));
            victim.isAsItWas();
            kept++;
        }
        tried++;
        assertDone(victim.reset().warmHere().run("--yes"));
        DeathsTest.onFileSystem(victim.root().resolve("backups"), 8,
                () -> saysSo(1, victim.reset().warmHere().run("purge", "--yes")));
        assertDone(victim.reset().warmHere().run("undo", "--yes"));
        victim.rowsAreAsTheyWere();
        kept++;
    }

    @Test void without_pg_dump_drop_and_purge_do_not_start() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root") && Files.isDirectory(Path.of("/usr/lib/postgresql")),
                "pg_dump cannot be hidden here");
        var hiding = new String[] {
            "unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /usr/lib/postgresql && exec \"$@\"", "sh"
        };
        var victim = victim();
        for (var args :
                List.of(new String[] {"--yes", "--strategy", "drop"}, new String[] {"--yes", "--purge"}, new String[] {
                    "--yes", "--backup"
                })) {
            tried++;
            var output = victim.reset().by(hiding).run(args);
            assertEquals(2, output.code(), output.all());
            assertTrue(output.err().contains("pg_dump is not installed"), output.err());
            victim.isAsItWas();
            kept++;
        }
        tried++;
        assertDone(victim.reset().warmHere().run("--yes"));
        assertEquals(2, victim.reset().by(hiding).run("purge", "--yes").code());
        assertDone(victim.reset().warmHere().run("undo", "--yes"));
        victim.rowsAreAsTheyWere();
        kept++;
    }

    /** Kills the tool at that point. */
    private static void killedAt(Victim victim, String point, String... args) throws Exception {
        var all = new ArrayList<>(List.of("KILL", "self", point, "reset_migrations"));
        all.addAll(List.of(args));
        assertEquals(137, victim.tool("support.SignalAt").run(all.toArray(String[]::new)).code());
    }

    private void isPrivateAndDecodes(Victim victim, Path dump) throws Exception {
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(dump)));
        BackupFile.of(dump, null).check(progress -> {}); // throws unless it is complete and matches its manifest
        var archive = temp.resolve("archive"); // and pg_restore can read it
        try (var packed = Compression.decompressing(Files.newInputStream(dump))) {
            Files.copy(packed, archive, StandardCopyOption.REPLACE_EXISTING);
        }
        assertEquals(0, Python.run(victim.root(), Path.of(pgDump(victim)).resolveSibling("pg_restore").toString(), "-f",
                "/dev/null", archive.toString()).code());
    }

    @Test void the_backup_is_complete_before_the_first_destructive_statement() throws Exception {
        var victim = victim();
        killedAt(victim, "before: back up.*", "--yes", "--strategy", "drop");
        assertEquals(List.of(), dumps(victim)); // so the next assertion could fail
        killedAt(victim, "before: drop .*", "--yes", "--strategy", "drop");
        isPrivateAndDecodes(victim, dumps(victim).getFirst());
        victim.rowsAreAsTheyWere();
        for (var strategy : Sample.of("killed before the drop", List.of("swap", "park"), 1)) {
            var other = victim();
            assertDone(other.reset().warmHere().run("--yes", "--strategy", strategy));
            killedAt(other, "before: drop .*", "purge", "--yes");
            isPrivateAndDecodes(other, dumps(other).getFirst());
            assertDone(other.reset().warmHere().run("undo", "--yes"));
            other.rowsAreAsTheyWere();
        }
    }

    /** Restores the only backup into a new database, and returns its name. */
    private static Postgres.Db restored(Victim victim) throws Exception {
        assertEquals(1, dumps(victim).size(), dumps(victim).toString());
        var into = victim.db.name() + "_back";
        assertDone(victim.tool("backup_database").warmHere()
                .run("restore", dumps(victim).getFirst().toString(), "--into", into));
        return new Postgres.Db(victim.db.host(), victim.db.port(), into, victim.db.role());
    }

    private static List<String> rows(Postgres.Db db) throws Exception {
        return Snapshot.of(db).stream().filter(line -> line.startsWith("rows ")).toList();
    }

    @Tag("exhaustive")
    @Test
    void the_only_copy_of_what_drop_destroyed_is_not_pruned_before_its_run_is_purged() throws Exception {
        var victim = victim();
        assertDone(victim.reset().warmHere().run("--yes", "--strategy", "drop"));
        var only = dumps(victim).getFirst();
        for (int i = 0; i < 2; i++) assertDone(victim.tool("backup_database").warmHere().run("--keep-last", "1"));
        assertTrue(Files.exists(only));
        var reasons = victim.tool("backup_database").warmHere().run("prune", "--dry-run", "--keep-last", "1");
        assertTrue(reasons.out().contains("kept: the only copy of what run "), reasons.all());
        assertDone(victim.reset().warmHere().run("purge", "--yes", "--no-backup"));
        assertDone(victim.tool("backup_database").warmHere().run("prune", "--keep-last", "1"));
        assertFalse(Files.exists(only)); // the control: nothing else keeps it
    }

    @Test void the_backup_has_every_row_that_drop_and_purge_destroy() throws Exception {
        for (var args : List.of(List.of("--strategy", "drop"), List.of("--purge"))) {
            var victim = victim();
            var before = rows(victim.db);
            var all = new ArrayList<>(List.of("--yes"));
            all.addAll(args);
            assertDone(victim.reset().warmHere().run(all.toArray(String[]::new)));
            assertEquals(before, rows(restored(victim)));
            assertTrue(!before.equals(rows(victim.db)), "nothing was destroyed, so nothing was proven");
        }
        var victim = victim();
        assertDone(victim.reset().warmHere().run("--yes", "--purge", "--strategy", "park"));
        try (var connection = restored(victim).connect(); var found = connection.createStatement().executeQuery(
                "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'parked%'")) {
            found.next();
            var count = connection.createStatement()
                    .executeQuery("SELECT count(*) FROM \"%s\".shop_note".formatted(found.getString(1)));
            count.next();
            assertEquals(200, count.getInt(1));
        }
    }

    @Tag("exhaustive")
    @Test
    void a_row_written_while_the_new_state_is_built_is_in_the_backup_before_the_purge() throws Exception {
        var victim = victim();
        var process = victim.pausing("migrate").start("--yes", "--quiet", "--purge", "--strategy", "swap");
        victim.untilPaused(process);
        victim.sql("INSERT INTO shop_order (number) VALUES (4711)");
        Files.delete(victim.paused());
        var said = Victim.said(process);
        assertEquals(0, process.waitFor(), said);
        try (var connection = restored(victim).connect();
                var found = connection.createStatement()
                        .executeQuery("SELECT count(*) FROM shop_order WHERE number = 4711")) {
            found.next();
            assertEquals(1, found.getInt(1));
        }
    }

    @Tag("exhaustive") @Test void a_swap_replaced_by_parking_takes_one_backup() throws Exception {
        var victim = victim();
        var dba = Postgres.role("dba", "");
        try (var connection = victim.db.as(Postgres.SUPERUSER).connect();
                var statement = connection.createStatement()) {
            statement.execute(
                    "GRANT CONNECT ON DATABASE %s TO %s WITH GRANT OPTION".formatted(victim.db.name(), dba.name()));
        }
        try (var connection = victim.db.as(dba).connect(); var statement = connection.createStatement()) {
            statement.execute("GRANT CONNECT ON DATABASE %s TO pg_monitor".formatted(victim.db.name()));
        }
        var output = victim.reset().warmHere().run("--yes", "--backup");
        assertDone(output);
        assertTrue(output.out().contains("Strategy: swap") && output.out().contains("Strategy: park"), output.out());
        assertEquals(1, dumps(victim).size(), dumps(victim).toString());
    }
}
