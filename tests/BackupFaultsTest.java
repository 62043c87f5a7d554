import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.backup.Backup;
import lib.backup.BackupWriter;
import lib.backup.BackupFolder;
import lib.backup.Manifest;
import lib.backup.Prune;
import lib.backup.Retention;
import lib.backup.archive.Compression;
import lib.cli.Cli;
import lib.environment.Environment;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.project.Credentials;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import support.CrashingServer;
import support.OldState;
import support.Postgres;
import support.Sample;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/**
 * What goes wrong with backups: damaged files, damaged manifests, full disks, servers and programs that die, concurrent
 * runs, clock changes, dumps of other tools. A backup that fails verify is not listed as good, no good backup is lost or
 * altered, no database is left, and the live one is unchanged.
 */
@EnabledOnOs(value = OS.LINUX, disabledReason = "small disks are tmpfs, programs that die are shell scripts")
class BackupFaultsTest {
    private static final Consumer<String> SILENT = words -> {};
    private static final Map<String, int[]> FIGURES = new LinkedHashMap<>();
    private static Program pgDump;
    private static Postgres.Role owner;
    private static Postgres.Db shop;
    private static List<String> rows;
    private static Map<String, Path> kinds;

    @TempDir static Path all;
    @TempDir Path temp;
    private Path project;
    private Path backups;
    private List<String> databases;

    @BeforeAll static void a_shop_and_a_backup_of_each_kind() throws Exception {
        pgDump = Environment.withoutDjango(null, null).pgProgram("pg_dump", 15);
        owner = Postgres.role("faults", "CREATEDB");
        shop = Postgres.database("faults_shop", owner);
        OldState.run(shop, """
            CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
            CREATE TABLE invoice (id serial PRIMARY KEY, customer int NOT NULL REFERENCES customer, note text);
            INSERT INTO customer (name) SELECT 'Zoë ' || i FROM generate_series(1, 400) i;
            INSERT INTO invoice (customer, note) SELECT i, md5(i::text) || md5((i + 7)::text) FROM \
            generate_series(1, 400) i;
            SELECT lo_from_bytea(0, 'a large object')""");
        rows = Snapshot.of(shop);
        kinds = new TreeMap<>();
        for (var plain : List.of(false, true))
            for (var how : List.of("zstd", "gzip", "none"))
                kinds.put(
                        (plain ? "plain, " : "custom, ") + how,
                        make(
                                        all.resolve(how + plain),
                                        pgDump,
                                        new Backup.Options(plain, Compression.parse(how), null, 0))
                                .file());
    }

    @BeforeEach void a_project() throws Exception {
        project = Files.createDirectory(temp.toRealPath().resolve("project"));
        Files.writeString(project.resolve("manage.py"), "");
        new SampleProject(project, project).env(shop);
        backups = project.resolve("backups");
        databases = databases();
    }

    @AfterEach void the_server_is_as_it_was() throws Exception {
        Checkpoint.listen(point -> {});
        assertEquals(databases, databases());
        assertEquals(String.join("\n", rows), String.join("\n", Snapshot.of(shop)));
    }

    @AfterAll static void figures() {
        System.out.println("backup faults: "
                + String.join(
                        "; ",
                        FIGURES.entrySet().stream()
                                .map(f -> "%s %d of %d".formatted(f.getKey(), f.getValue()[0], f.getValue()[1]))
                                .toList())
                + Sample.described());
    }

    // ---- damaged files -----------------------------------------------------------------------

    private record Fault(String name, byte[] content) {
        /** "cut" or "bit". */
        String kind() {
            return name.split(" ")[0];
        }
    }

    private static List<Fault> faults(byte[] whole) {
        var found = new ArrayList<Fault>();
        for (var length : List.of(0, 1, 10, 200, whole.length * 6 / 10, whole.length - 1))
            found.add(new Fault("cut at " + length, Arrays.copyOf(whole, length)));
        for (var at : List.of(0, 6, 60, whole.length / 3, whole.length / 2, whole.length - 30, whole.length - 1)) {
            var flipped = whole.clone();
            flipped[at] ^= 1;
            found.add(new Fault("bit flipped at " + at + " of " + whole.length, flipped));
        }
        return found;
    }

    @Test void a_damaged_file_fails_verify_and_is_no_longer_listed_as_good() throws Exception {
        for (var kind : kinds.entrySet()) {
            var whole = Files.readAllBytes(kind.getValue());
            for (var fault : Sample.of("damaged " + kind.getKey(), faults(whole), 1, Fault::kind)) {
                var at = kind.getKey() + ", " + fault.name;
                var file = put(kind.getValue());
                Files.write(file, fault.content);
                assertEquals(
                        fault.content.length == whole.length,
                        isGood(file),
                        at); // a file of the same length is noticed only when it is read
                var verify = tool("verify", file.toString());
                assertTrue(verify.code() == 1 || verify.code() == 2, at + verify.all());
                assertFalse(isGood(file), at + verify.all());
                var list = tool("list").out();
                assertTrue(list.contains("not proven") || list.contains("NOT GOOD"), at + list);
                if (fault.name.contains(" 6"))
                    assertNotEquals(
                            0,
                            tool("restore", file.toString(), "--into", "faults_restored")
                                    .code(),
                            at);
                assertEquals(databases, databases(), at);
                count("damaged files found", true);
            }
            var file = put(kind.getValue()); // the control: undamaged it is good, before and after
            assertTrue(isGood(file));
            assertDone(tool("verify", file.toString()));
            assertEquals(Manifest.Level.RESTORED, found(file).level());
        }
    }

    /** Compressed files have checksums. In others a missing end is found, but not a flipped bit within a value. */
    @Test
    void a_damaged_file_without_its_manifest_is_good_only_when_its_content_is_complete() throws Exception {
        for (var kind : kinds.entrySet()) {
            var whole = Files.readAllBytes(kind.getValue());
            for (var fault : Sample.of("damaged " + kind.getKey(), faults(whole), 1, Fault::kind)) {
                var at = kind.getKey() + ", " + fault.name;
                var file = put(kind.getValue());
                Files.delete(Manifest.fileOf(file));
                Files.write(file, fault.content);
                assertFalse(isGood(file), at);
                var verify = tool("verify", file.toString());
                assertFalse(verify.err().contains("bug in the tool"), at + verify.all());
                assertEquals(verify.code() == 0, isGood(file), at + verify.all());
                if (fault.name.startsWith("bit") && kind.getKey().endsWith("none")) {
                    count("flipped bits found without checksum or manifest", verify.code() != 0);
                } else {
                    if (verify.code() == 0) assertEquals(decompressed(whole).strip(), decompressed(fault.content).strip(), at);
                    count("damaged files without manifest found, or complete", true);
                }
            }
            var file = put(kind.getValue());
            Files.delete(Manifest.fileOf(file));
            assertDone(tool("verify", file.toString()));
            assertTrue(isGood(file)); // the control; the manifest has been rebuilt
            assertEquals(whole.length, found(file).manifest().file().bytes());
        }
    }

    private static String decompressed(byte[] content) throws IOException {
        try (var in = Compression.decompressing(new ByteArrayInputStream(content))) {
            return new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
        }
    }

    // ---- damaged manifests -------------------------------------------------------------------

    @Test void a_damaged_manifest_stops_no_command_and_makes_no_backup_good() throws Exception {
        var whole = Files.readString(Manifest.fileOf(kinds.get("custom, zstd")));
        var damaged = new LinkedHashMap<String, String>();
        for (var text : List.of("", "null", "[]", "{}", "\"x\"", "7", "{\"proof\": {}}", "\0\0\0", "[".repeat(5000)))
            damaged.put("it is " + text.substring(0, Math.min(20, text.length())), text);
        for (int at = 1; at < whole.length() - 2; at += whole.length() / 25)
            damaged.put("cut at " + at, whole.substring(0, at));
        for (int at = 3; at < whole.length(); at += whole.length() / 50)
            damaged.put("byte " + at, whole.substring(0, at) + (char) (whole.charAt(at) ^ 4) + whole.substring(at + 1));
        var json = JsonParser.parseString(whole).getAsJsonObject();
        for (var of : List.of("", "proof", "large_objects"))
            for (var field : (of.isEmpty() ? json : json.getAsJsonObject(of)).keySet())
                for (JsonElement value : List.of(
                        JsonNull.INSTANCE,
                        new JsonObject(),
                        new JsonArray(),
                        new JsonPrimitive("x"),
                        new JsonPrimitive(-1))) {
                    var copy = json.deepCopy();
                    (of.isEmpty() ? copy : copy.getAsJsonObject(of)).add(field, value);
                    damaged.put("%s %s is %s".formatted(of, field, value), copy.toString());
                }
        for (var list : List.of("tables", "extensions", "restore")) {
            var copy = json.deepCopy();
            copy.getAsJsonArray(list).add(JsonNull.INSTANCE);
            damaged.put(list + " with null", copy.toString());
        }
        var file = put(kinds.get("custom, zstd"));
        var verified = 0;
        for (var fault : Sample.of("damaged manifests", List.copyOf(damaged.entrySet()), 8, one -> one.getKey()
                .split(" ")[0])) {
            Files.writeString(Manifest.fileOf(file), fault.getValue());
            for (var command : List.of("prune --keep-last 1 --dry-run", "list --json"))
                assertDone(tool(command.split(" ")), fault.getKey());
            var good = isGood(file);
            var status = tool("status"); // it fails without a good backup of this database
            var newest = new BackupFolder(backups).newestGood(shop.credentials());
            assertEquals(newest != null ? 0 : 1, status.code(), fault.getKey() + status.all());
            if (!fault.getKey().matches("byte .*| origin is .*")) assertEquals(good, newest != null, fault.getKey());
            if (good
                            && !fault.getKey()
                                    .matches("(proof|large_objects)?"
                                                 + " ?(number|seconds|database_bytes|server|pg_dump|restore|database|started|format|compression|encrypted_to|extensions|last_migration)"
                                                 + " is .*")
                            && verified++ % 6 == 0
                    || fault.getKey().contains("null")) {
                var verify = tool("verify", file.toString());
                assertFalse(verify.err().contains("bug in the tool"), fault.getKey() + verify.all());
                assertEquals(verify.code() == 0, isGood(file), fault.getKey() + verify.all());
            }
            count("damaged manifests ignored", true);
        }
        Files.writeString(Manifest.fileOf(file), whole);
        assertTrue(isGood(file)); // the control
    }

    @Test void a_manifest_of_another_file_or_with_other_numbers_proves_nothing() throws Exception {
        var file = put(kinds.get("custom, zstd"));
        var manifest = Manifest.fileOf(file);
        var text = Files.readString(manifest);

        var renamed = Files.move(
                file, file.resolveSibling("faults_shop_20200101_000000.dump.zst")); // without its manifest
        assertFalse(isGood(renamed));
        Files.move(manifest, Manifest.fileOf(renamed)); // with its manifest, which has another name
        assertFalse(isGood(renamed));
        Files.move(renamed, file);
        Files.move(Manifest.fileOf(renamed), manifest);
        assertTrue(isGood(file)); // the control

        for (var edit : List.of(
                List.of("\"rows\": 400", "\"rows\": 399"),
                List.of("\"sha256\": \"", "\"sha256\": \"0"),
                List.of("\"400, true\"", "\"401, true\""),
                List.of("\"TABLE\": 2", "\"TABLE\": 3"),
                List.of("\"name\": \"public.customer\"", "\"name\": \"public.custom\""))) {
            Files.writeString(manifest, text);
            assertTrue(text.contains(edit.getFirst()), text);
            Files.writeString(manifest, text.replaceFirst(java.util.regex.Pattern.quote(edit.get(0)), edit.get(1)));
            assertTrue(isGood(file)); // by its manifest
            var verify = tool("verify", file.toString());
            assertEquals(1, verify.code(), edit + verify.all());
            assertFalse(isGood(file), edit.toString());
            count("edited manifests found", true);
        }
        Files.delete(manifest); // the way out: verify rebuilds it
        assertDone(tool("verify", file.toString()));
        assertTrue(isGood(file));
        assertEquals(
                JsonParser.parseString(text).getAsJsonObject().get("tables"),
                JsonParser.parseString(Files.readString(manifest))
                        .getAsJsonObject()
                        .get("tables"));
    }

    /** All other tests rely on this check. */
    @Test void a_row_that_is_altered_while_it_is_restored_is_noticed() throws Exception {
        var file = put(kinds.get("custom, zstd"));
        var fake = programs(
                "pg_restore",
                "%s \"$@\" || exit 1; for to; do :; done; exec %s -q \"${to#--dbname=}\" -c \"UPDATE customer SET name = 'Zoe' WHERE id = 7\""
                        .formatted(real("pg_restore"), real("psql")));
        var verify = process("backup_database").env("PATH", fake).run("verify", file.toString());
        assertEquals(1, verify.code(), verify.all());
        assertTrue(verify.err().contains("public.customer"), verify.all());
        assertFalse(isGood(file));
        var refused = process("backup_database")
                .env("PATH", fake)
                .run("restore", file.toString(), "--into", "faults_restored");
        assertEquals(1, refused.code(), refused.all());
        var again =
                process("backup_database").warm().run("verify", file.toString()); // the control: the file is good
        assertDone(again);
        assertTrue(isGood(file));
    }

    // ---- full disks --------------------------------------------------------------------------

    @Test void no_unfinished_backup_is_left_on_a_full_disk() throws Exception {
        var disk = smallDisk("64m");
        try {
            backups = disk.resolve("backups");
            var earlier = make(backups, pgDump, Backup.Options.DEFAULT).file();
            var before = content();
            var stages = new TreeMap<String, Integer>();
            for (int pages = 0; ; pages++) {
                resize(disk, pages);
                var create = tool("create", "--dir", backups.toString());
                if (create.code() == 0) break;
                assertEquals(1, create.code(), create.all());
                assertTrue(create.err().contains("No space left"), create.all());
                stages.merge(create.err().contains(".json") ? "manifest" : "dump", 1, Integer::sum);
                assertEquals(before, content());
                count("full disks without a leftover", true);
                assertTrue(pages < 100);
            }
            assertTrue(stages.getOrDefault("manifest", 0) > 0 && stages.getOrDefault("dump", 0) > 3, stages.toString());
            assertEquals(
                    2,
                    new BackupFolder(backups)
                            .list().stream()
                                    .filter(BackupFolder.Entry::isGood)
                                    .count()); // the control: with free space there is one more

            resize(disk, 0); // no space to record the result
            before = content();
            var verify = tool("verify", earlier.toString(), "--dir", backups.toString());
            assertFalse(verify.err().contains("bug in the tool"), verify.all());
            assertEquals(before, content());
            assertTrue(new BackupFolder(backups).list().stream().allMatch(BackupFolder.Entry::isGood));
            flip(earlier);
            var damaged = tool("verify", earlier.toString(), "--dir", backups.toString());
            assertEquals(1, damaged.code(), damaged.all());
            assertTrue(damaged.err().contains("damaged"), damaged.all());
            assertFalse(
                    new BackupFolder(backups)
                            .list().stream().anyMatch(f -> f.file().equals(earlier) && f.isGood()),
                    "it failed verify, and there was no room to say so");
            assertDone(tool("prune", "--keep-last", "1", "--dir", backups.toString()));
        } finally {
            umount(disk);
        }
    }

    private Path smallDisk(String size) throws IOException {
        var disk = Files.createDirectory(temp.resolve("disk"));
        assumeTrue(
                Program.of("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", disk.toString())
                                .run()
                                .code()
                        == 0,
                "may not mount a small tmpfs");
        return disk;
    }

    private static void umount(Path disk) throws IOException {
        Program.of("umount", "-l", disk.toString()).output();
    }

    /** Leaves this many pages free. */
    private static void resize(Path disk, int pages) throws IOException {
        var store = Files.getFileStore(disk);
        var used = store.getTotalSpace() - store.getUnallocatedSpace();
        Program.of("mount", "-o", "remount,size=%dk".formatted((used >> 10) + 4 * pages), disk.toString()).output();
    }

    @Test void too_little_space_on_the_server_is_reported_and_the_file_stays_good() throws Exception {
        var disk = smallDisk("30m");
        var small = (Postgres.Db) null;
        try {
            var place = Files.createDirectory(disk.resolve("data"));
            Postgres.execute("CREATE TABLESPACE faults_small OWNER %s LOCATION '%s'".formatted(owner.name(), place));
            Postgres.execute("CREATE DATABASE faults_small OWNER %s TABLESPACE faults_small".formatted(owner.name()));
            small = new Postgres.Db(shop.host(), shop.port(), "faults_small", owner);
            OldState.run(small, "CREATE TABLE t AS SELECT 7 AS seven");
            var before = Snapshot.of(small);
            var large = Postgres.database("faults_large", owner);
            OldState.run(large, "CREATE TABLE t AS SELECT repeat(md5(i::text), 30) FROM generate_series(1, 25000) i");
            var file = Backup.create(credentials(large), pgDump, backups, SILENT).file();
            Postgres.execute("DROP DATABASE faults_large");
            new SampleProject(project, project).env(small);
            var restore = process("backup_database").warm().run("restore", file.toString(), "--yes");
            assertEquals(1, restore.code(), restore.all());
            assertTrue(restore.err().contains("too little space on the server"), restore.all());
            assertEquals(before, Snapshot.of(small));
            assertEquals(
                    "0", OldState.text(shop, "SELECT count(*) FROM pg_database WHERE datname LIKE 'faults_small\\_%'"));
            assertTrue(process("reset_migrations")
                    .warm()
                    .run("undo", "--yes")
                    .err()
                    .contains("no reset to go back to"));
            assertTrue(isGood(file));
            Program.of("mount", "-o", "remount,size=100m", disk.toString())
                    .output(); // the control: only space was missing
            assertDone(process("backup_database").warm().run("restore", file.toString(), "--yes"));
            assertDone(process("reset_migrations").warm().run("undo", "--yes"));
            assertEquals(before, Snapshot.of(small));
            assertDone(process("reset_migrations").warm().run("purge", "--yes", "--no-backup"));
        } finally {
            if (small != null) Postgres.execute("DROP DATABASE faults_small WITH (FORCE)");
            for (var left : OldState.text(
                            shop,
                            "SELECT coalesce(string_agg(quote_ident(datname), ' '), '') FROM pg_database WHERE datname"
                                    + " LIKE 'faults_small\\_%'")
                    .split(" ")) if (!left.isEmpty()) Postgres.execute("DROP DATABASE " + left + " WITH (FORCE)");
            Postgres.execute("DROP TABLESPACE IF EXISTS faults_small");
            umount(disk);
        }
    }

    // ---- failing programs and servers --------------------------------------------------------

    @Test void pg_dump_that_dies_or_writes_something_else_leaves_no_file() throws Exception {
        make(backups, pgDump, Backup.Options.DEFAULT);
        var before = content();
        var real = real("pg_dump");
        var whole = Files.readAllBytes(kinds.get("custom, none"));
        var archive = temp.resolve("archive");
        for (var script : List.of(
                "%s \"$@\" | head -c 20000; kill -9 $$".formatted(real),
                "%s \"$@\" | head -c 20000; kill -15 $$".formatted(real),
                "%s \"$@\" | head -c 20000".formatted(real),
                "%s \"$@\" | head -c 4".formatted(real),
                "%s \"$@\"; exit 3".formatted(real),
                "echo Welcome; exec %s \"$@\"".formatted(real),
                "%s \"$@\"; echo goodbye".formatted(real),
                "%s \"$@\" | tail -c +2".formatted(real),
                "exec cat '%s'".formatted(archive),
                "%s \"$@\"; echo 'pg_dump: error: lost it' >&2".formatted(real),
                ":",
                "sleep 0.2; exit 1")) {
            for (var damage :
                    script.contains(archive.toString()) ? List.of(whole.length / 2, whole.length - 1) : List.of(0)) {
                Files.write(archive, Arrays.copyOf(whole, damage));
                for (var format : List.of("custom", "plain")) {
                    var fake = Program.of(programs("pg_dump", script).replaceFirst(":.*", "") + "/pg_dump");
                    var failure = assertThrows(
                            Failure.class,
                            () -> make(
                                    backups,
                                    fake,
                                    new Backup.Options(format.equals("plain"), Compression.parse("zstd"), null, 0)),
                            script);
                    assertEquals(ExitCode.FAILED, failure.problem().exit());
                    assertEquals(before, content(), script);
                    count("failing pg_dumps without a leftover", true);
                }
            }
        }
        assertDone(process("backup_database")
                .env("PATH", programs("pg_dump", "exec %s \"$@\"".formatted(real)))
                .run("create")); // the control
        assertEquals(2, new BackupFolder(backups).list().stream().filter(BackupFolder.Entry::isGood).count());
    }

    @Tag("exhaustive")
    @Test
    void a_server_crash_during_a_dump_or_a_restore_harms_no_good_backup() throws Exception {
        try (var server = CrashingServer.start()) {
            server.execute("CREATE DATABASE large");
            var large = server.database("large", Postgres.SUPERUSER);
            OldState.run(
                    large,
                    "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 15000) i",
                    "CHECKPOINT");
            new SampleProject(project, project).env(large);
            var good = Backup.create(credentials(large), pgDump, backups, SILENT).file();
            var before = content();
            var rowsBefore = Snapshot.of(large);

            var dumping = process("backup_database")
                    .env(
                            "PATH",
                            programs(
                                    "pg_dump",
                                    "%s \"$@\" | %s; exit ${PIPESTATUS[0]}"
                                            .formatted(real("pg_dump"), paused(200_000))))
                    .start("create");
            untilPaused(dumping);
            server.crash();
            Files.delete(paused());
            var create = process("x").end(dumping);
            assertEquals(1, create.code(), create.all());
            assertEquals(before, content());

            var restoring = process("backup_database")
                    .env(
                            "PATH",
                            programs("pg_restore", "%s | %s \"$@\"".formatted(paused(4_000_000), real("pg_restore"))))
                    .start("verify", good.toString());
            untilPaused(restoring);
            assertEquals("1", scratchDatabases(large));
            server.crash();
            Files.delete(paused());
            var verify = process("x").end(restoring);
            assertTrue(
                    verify.code() == 1 || verify.code() == 3 && verify.err().contains("dropdb backup_verify_"),
                    verify.all());
            if (verify.code() == 1) assertEquals("0", scratchDatabases(large));
            assertEquals(before, content()); // it proves nothing about the file
            assertTrue(isGood(good));

            var into = process("backup_database")
                    .env(
                            "PATH",
                            programs("pg_restore", "%s | %s \"$@\"".formatted(paused(4_000_000), real("pg_restore"))))
                    .start("restore", good.toString(), "--yes");
            untilPaused(into);
            server.crash();
            Files.delete(paused());
            var restore = process("x").end(into);
            assertTrue(
                    restore.code() == 1 || restore.code() == 3 && restore.err().contains("reset_migrations undo"),
                    restore.all());
            assertEquals(rowsBefore, Snapshot.of(large));
            var undo = process("reset_migrations").warm().run("undo", "--yes");
            assertEquals(restore.code() == 1 ? 2 : 0, undo.code(), undo.all());

            assertEquals(rowsBefore, Snapshot.of(large));
            assertDone(process("backup_database").warm().run("create")); // the control
            assertDone(process("backup_database").warm().run("verify", "--all"));
            count("crashes of the server survived", true);
            count("crashes of the server survived", true);
            count("crashes of the server survived", true);
        }
    }

    private static String scratchDatabases(Postgres.Db server) {
        return OldState.text(server, "SELECT count(*) FROM pg_database WHERE datname LIKE 'backup\\_verify\\_%'");
    }

    @Test void the_next_run_removes_what_a_killed_run_left() throws Exception {
        make(backups, pgDump, Backup.Options.DEFAULT);
        var before = content();
        var dumping = process("backup_database")
                .env("PATH", programs("pg_dump", "%s \"$@\" | %s".formatted(real("pg_dump"), paused(20_000))))
                .start("create");
        untilPaused(dumping);
        dumping.destroyForcibly().waitFor();
        Files.delete(paused());
        assertEquals(before.size() + 1, content().size());
        assertEquals(1, new BackupFolder(backups).list().size());
        assertDone(tool("create"));
        assertEquals(before.size() + 2, content().size());
        for (var file : before.entrySet()) assertEquals(file.getValue(), content().get(file.getKey()));
        assertDone(tool("verify", "--all"));
    }

    // ---- concurrent commands -----------------------------------------------------------------

    @Test void during_a_backup_another_one_is_busy_verify_works_and_list_does_not_show_it() throws Exception {
        var earlier = make(backups, pgDump, Backup.Options.DEFAULT).file();
        var dumping = process("backup_database")
                .env("PATH", programs("pg_dump", "%s \"$@\" | %s".formatted(real("pg_dump"), paused(20_000))))
                .start("create");
        untilPaused(dumping);
        assertEquals(5, process("backup_database").warm().run("create").code());
        assertEquals(5, tool("prune", "--keep-last", "1").code());
        assertEquals(
                List.of(earlier),
                new BackupFolder(backups)
                        .list().stream().map(BackupFolder.Entry::file).toList());
        assertDone(tool("verify", "--all"));
        Files.delete(paused());
        assertDone(process("x").end(dumping));
        assertEquals(Manifest.Level.RESTORED, found(earlier).level());
        assertDone(tool("verify", "--all"));
    }

    @Test void processes_that_start_at_the_same_time_make_good_backups_or_are_busy() throws Exception {
        var running = new ArrayList<Process>();
        for (int i = 0; i < 3; i++) running.add(process("backup_database").start("create"));
        var made = 0;
        for (var process : running) {
            var ended = process("x").end(process);
            assertTrue(ended.code() == 0 || ended.code() == 5, ended.all());
            if (ended.code() == 0) made++;
        }
        assertTrue(made > 0);
        assertEquals(made, new BackupFolder(backups).list().stream().filter(BackupFolder.Entry::isGood).count());
        assertDone(tool("verify", "--all"));
    }

    @Test void a_backup_that_is_pruned_while_it_is_verified_leaves_no_file() throws Exception {
        var old = make(backups, pgDump, Backup.Options.DEFAULT).file();
        var latest = make(backups, pgDump, Backup.Options.DEFAULT).file();
        assertDone(tool("verify", latest.toString()));
        var left = content();
        left.keySet().removeIf(name -> name.startsWith(old.getFileName().toString()));
        var verifying = process("backup_database")
                .env("PATH", programs("pg_restore", "%s | %s \"$@\"".formatted(paused(20_000), real("pg_restore"))))
                .start("verify", old.toString());
        untilPaused(verifying);
        assertDone(tool("prune", "--keep-last", "1"));
        assertFalse(Files.exists(old));
        Files.delete(paused());
        var verify = process("x").end(verifying);
        assertFalse(verify.err().contains("bug in the tool"), verify.all());
        assertEquals(left, content());
    }

    /** Both write beside the manifest. In every order the result is kept, and nothing is left of a removed backup. */
    @Test
    void concurrent_commands_do_not_lose_the_result_of_a_verify() throws Exception {
        for (var between : List.of("create", "prune", "verify")) {
            Disk.removeTree(backups);
            var old = make(backups, pgDump, Backup.Options.DEFAULT).file();
            var latest = make(backups, pgDump, Backup.Options.DEFAULT).file();
            assertDone(tool("verify", latest.toString()));
            var prune = new Prune(
                    new BackupFolder(backups), shop.credentials(), new Retention.Policy(1, null, null, null), Map.of());
            runOnceAt("written beside " + Manifest.fileOf(old).getFileName(), () -> {
                switch (between) {
                    case "create" -> make(backups, pgDump, Backup.Options.DEFAULT);
                    case "prune" -> prune.run();
                    default -> assertDone(process("backup_database").warm().run("verify", old.toString()));
                }
            });
            var verify = tool("verify", old.toString());
            if (!between.equals("prune")) {
                assertDone(verify);
                assertEquals(Manifest.Level.RESTORED, found(old).level());
            }
            assertOnlyCompleteBackups(between);
            count("concurrent commands", true);
        }
        Disk.removeTree(backups);
        var old = make(backups, pgDump, Backup.Options.DEFAULT).file();
        assertDone(tool("verify", make(backups, pgDump, Backup.Options.DEFAULT).file().toString()));
        runOnceAt("its proof is gone", () -> assertDone(process("backup_database").warm().run("verify", old.toString())));
        new Prune(new BackupFolder(backups), shop.credentials(), new Retention.Policy(1, null, null, null), Map.of())
                .run();
        assertFalse(Files.exists(old));
        assertOnlyCompleteBackups("verify within prune");
        count("concurrent commands", true);
    }

    private interface Act {
        void run() throws Exception;
    }

    private static void runOnceAt(String point, Act act) {
        var done = new boolean[1];
        Checkpoint.listen(reached -> {
            if (!reached.equals(point) || done[0]) return;
            done[0] = true;
            try {
                act.run();
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
    }

    /** Each file with its manifest, and nothing else. */
    private void assertOnlyCompleteBackups(String when) throws IOException {
        var names = content().keySet();
        for (var name : names)
            assertTrue(
                    name.endsWith(Manifest.SUFFIX)
                            ? names.contains(name.replaceFirst("\\.json$", ""))
                            : names.contains(name + Manifest.SUFFIX),
                    when + ": " + names);
    }

    // ---- clocks ------------------------------------------------------------------------------

    @Tag("exhaustive") // a JVM under faketime takes ten times as long
    @Test void after_a_clock_change_the_newest_backup_is_still_known_and_never_pruned() throws Exception {
        assumeTrue(Program.of("sh", "-c", "command -v faketime").run().code() == 0, "faketime is not installed");
        var first = tool("create", "--json");
        assertDone(first);
        assertDone(at("+400d").run("create"));
        var made = at("-1h").run("create", "--keep-last", "1", "--json"); // before the first one
        assertDone(made);
        var last = fileIn(made);
        var folder = new BackupFolder(backups);
        assertEquals(last, folder.newestGood(shop.credentials()).file());
        var left = folder.list().stream().map(BackupFolder.Entry::file).toList();
        assertTrue(
                left.contains(last) && left.contains(fileIn(first)) && left.size() == 3,
                left.toString()); // the first is the latest by the clock, the third is dated in the future
        assertDone(tool("status", "--max-age", "2h"));
        assertEquals(1, tool("status", "--max-age", "30m").code()); // the control
        assertDone(tool("prune", "--keep-last", "1", "--keep-daily", "1"));
        assertEquals(left, folder.list().stream().map(BackupFolder.Entry::file).toList());
        assertDone(tool("verify", "--all"));
        for (int jumps = 0; jumps < 2; jumps++) count("clock changes", true);
    }

    private Tool at(String jump) throws IOException {
        return process("backup_database").env("DONT_FAKE_MONOTONIC", "1").by("faketime", "-f", jump);
    }

    private static Path fileIn(Tool.Output made) {
        return Path.of(made.out()
                .lines()
                .map(line -> JsonParser.parseString(line).getAsJsonObject())
                .filter(event -> event.get("event").getAsString().equals("backup"))
                .findFirst()
                .orElseThrow()
                .get("file")
                .getAsString());
    }

    // ---- dumps of other tools ----------------------------------------------------------------

    @Test void dumps_of_other_tools_restore_completely_or_not_at_all() throws Exception {
        var dumps = new LinkedHashMap<String, byte[]>();
        for (var format : List.of("-Fp", "-Fc")) dumps.put(format, dumped(format));
        dumps.put("-Fp --inserts", dumped("-Fp", "--inserts"));
        dumps.put(".sql.gz", compressed("gzip", dumps.get("-Fp")));
        dumps.put(".sql.zst", compressed("zstd", dumps.get("-Fp")));
        var file = temp.resolve("foreign");
        for (var dump : dumps.entrySet()) {
            var whole = dump.getValue();
            Files.write(file, whole);
            assertRestores(dump.getKey()); // the control for everything below
            for (var length : Stream.concat(
                            Stream.of(10, 200, whole.length - 1),
                            Stream.of(30, 60, 90, 99).map(percent -> whole.length * percent / 100))
                    .toList()) {
                Files.write(file, Arrays.copyOf(whole, length));
                var at = "%s cut at %,d of %,d".formatted(dump.getKey(), length, whole.length);
                var restore = tool("restore", file.toString(), "--into", "faults_foreign");
                assertFalse(restore.err().contains("bug in the tool"), at + restore.all());
                if (restore.code() == 0) {
                    assertEquals(without(rows), without(Snapshot.of(foreign())), at);
                    Postgres.execute("DROP DATABASE faults_foreign");
                }
                assertEquals(databases, databases(), at);
                count("cut-off dumps of other tools restored completely or not at all", true);
            }
        }
    }

    private void assertRestores(String what) throws Exception {
        var restore = tool("restore", temp.resolve("foreign").toString(), "--into", "faults_foreign");
        assertEquals(0, restore.code(), what + restore.all());
        assertEquals(without(rows), without(Snapshot.of(foreign())), what);
        Postgres.execute("DROP DATABASE faults_foreign");
    }

    private static Postgres.Db foreign() {
        return new Postgres.Db(shop.host(), shop.port(), "faults_foreign", owner);
    }

    private static String without(List<String> snapshot) {
        return String.join("\n", snapshot.stream().filter(line -> !line.startsWith("database ")).toList());
    }

    @Test void sql_that_fails_or_would_change_other_databases_changes_nothing() throws Exception {
        var good = new String(dumped("-Fp"), StandardCharsets.UTF_8);
        var half = good.indexOf("ALTER TABLE ONLY");
        refused(1, good.substring(0, half) + "SELECT 1 / 0;\n" + good.substring(half));
        refused(1, good.substring(0, half) + "SELEKT;\n" + good.substring(half));
        refused(2, "hello");
        refused(1, "");
        refused(2, "\0\1\2");
        refused(4, new String(dumped("-Fp", "--create"), StandardCharsets.UTF_8));
        refused(4, new String(dumped("-Fp", "--create", "--clean"), StandardCharsets.UTF_8));
        refused(
                4,
                Program.of(real("pg_dumpall"), "--globals-only", "--no-role-passwords", uri("postgres"))
                        .secret("PGPASSWORD", Postgres.PASSWORD)
                        .output());
        refused(4, good + "\\connect " + shop.name()); // without a line end
        refused(4, good + "SELECT 1; \\connect " + shop.name() + "\n");
        refused(4, good + "/* here */ \\c " + shop.name() + "\n");
        refused(4, good + "\\c " + shop.name() + "\nDROP TABLE invoice;\n");
        refused(4, good + "  \\connect " + shop.name() + "\nDROP TABLE invoice CASCADE;\n");
        refused(4, good + "DROP DATABASE " + shop.name() + ";\n");

        Files.writeString(temp.resolve("foreign"), """
            CREATE TABLE words (a text);
            COPY words (a) FROM stdin;
            \\connect x
            DROP DATABASE y;
            \\.
            """); // the control: rows may contain anything
        assertDone(tool("restore", temp.resolve("foreign").toString(), "--into", "faults_foreign"));
        assertEquals("2", OldState.text(foreign(), "SELECT count(*) FROM words"));
        Postgres.execute("DROP DATABASE faults_foreign");
    }

    private void refused(int code, String sql) throws Exception {
        Files.writeString(temp.resolve("foreign"), sql);
        var restore = tool("restore", temp.resolve("foreign").toString(), "--into", "faults_foreign");
        assertEquals(code, restore.code(), sql.substring(0, Math.min(200, sql.length())) + "\n" + restore.all());
        assertEquals(databases, databases());
        count("bad SQL refused", true);
    }

    private static String uri(String database) {
        return "--dbname=postgresql://%s@%s:%d/%s".formatted(shop.role().name(), shop.host(), shop.port(), database);
    }

    private static byte[] dumped(String... options) throws Exception {
        var command = new ArrayList<>(List.of(real("pg_dump"), uri(shop.name())));
        command.addAll(List.of(options));
        var builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().put("PGPASSWORD", Postgres.PASSWORD);
        return read(builder.start());
    }

    private byte[] compressed(String program, byte[] content) throws Exception {
        return read(new ProcessBuilder(
                        program,
                        "-qc",
                        Files.write(temp.resolve("to_pack"), content).toString())
                .start());
    }

    private static byte[] read(Process process) throws Exception {
        var content = process.getInputStream().readAllBytes();
        assertEquals(0, process.waitFor());
        return content;
    }

    // ---- helpers -----------------------------------------------------------------------------

    private static void count(String what, boolean held) {
        var figures = FIGURES.computeIfAbsent(what, first -> new int[2]);
        if (held) figures[0]++;
        figures[1]++;
    }

    private static Backup make(Path folder, Program program, Backup.Options options) throws Exception {
        try (var writer = new BackupWriter(
                new PgPrograms(program, credentials(shop)), new BackupFolder(folder), options, SILENT)) {
            for (var step : writer.steps()) step.run();
            return writer.backup();
        }
    }

    private static Credentials credentials(Postgres.Db db) {
        return new Credentials(db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
    }

    /** A copy of the backup, with its manifest, in the project's folder. */
    private Path put(Path backup) throws IOException {
        Files.createDirectories(backups);
        for (var file : List.of(backup, Manifest.fileOf(backup)))
            Files.copy(file, backups.resolve(file.getFileName()), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        return backups.resolve(backup.getFileName());
    }

    private static void flip(Path file) throws IOException {
        var bytes = Files.readAllBytes(file);
        bytes[bytes.length / 2] ^= 16;
        Files.write(file, bytes);
    }

    private static BackupFolder.Entry found(Path file) {
        return new BackupFolder(file.getParent())
                .list().stream().filter(f -> f.file().equals(file)).findFirst().orElseThrow();
    }

    private static boolean isGood(Path file) {
        return found(file).isGood();
    }

    /** The files in the folder of backups, by content. */
    private Map<String, String> content() throws IOException {
        var found = new TreeMap<String, String>();
        if (!Files.isDirectory(backups)) return found;
        try (var files = Files.list(backups)) {
            for (var file : files.filter(f -> !f.getFileName().toString().matches("\\.lock|\\.gitignore"))
                    .toList()) found.put(file.getFileName().toString(), Disk.sha256(Files.readAllBytes(file)));
        }
        return found;
    }

    private static List<String> databases() {
        return List.of(OldState.text(shop, "SELECT string_agg(datname, '\n' ORDER BY datname) FROM pg_database")
                .split("\n"));
    }

    /** In this process, which is already warm. */
    private Tool.Output tool(String... args) {
        var stdout = System.out;
        var stderr = System.err;
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        try {
            var code = Cli.commandLine(new backup_database())
                    .execute(Stream.concat(Stream.of(args), Stream.of("--project", project.toString()))
                            .toArray(String[]::new));
            return new Tool.Output(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
        } finally {
            System.setOut(stdout);
            System.setErr(stderr);
        }
    }

    private Tool process(String main) {
        return Tool.in(project, main);
    }

    private static void assertDone(Tool.Output output) {
        assertDone(output, "");
    }

    private static void assertDone(Tool.Output output, String when) {
        assertEquals(0, output.code(), when + "\n" + output.all());
    }

    private static String real(String program) {
        return Path.of(pgDump.toString()).resolveSibling(program).toString();
    }

    /** A PATH with a replacement for one of PostgreSQL's programs. */
    private String programs(String name, String script) throws IOException {
        var bin = Files.createTempDirectory(temp, "bin");
        for (var program : List.of("pg_dump", "pg_restore", "psql"))
            if (!program.equals(name)) Files.createSymbolicLink(bin.resolve(program), Path.of(real(program)));
        var file = Files.writeString(
                bin.resolve(name),
                "#!/bin/bash\n[ \"$1\" != --version ] || exec %s --version\n%s\n".formatted(real(name), script));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
        return bin + ":/usr/bin:/bin";
    }

    private Path paused() {
        return temp.resolve("paused");
    }

    /** A part of a pipe that stops after this many bytes while its file exists. */
    private String paused(int bytes) {
        return "{ head -c %1$d; touch '%2$s'; while [ -e '%2$s' ]; do sleep 0.05; done; cat; }"
                .formatted(bytes, paused());
    }

    private void untilPaused(Process process) throws Exception {
        for (int i = 0; !Files.exists(paused()); i++) {
            if (!process.isAlive() || i > 600)
                throw new AssertionError(
                        "it never paused: " + process("x").end(process).all());
            Thread.sleep(50);
        }
    }
}
