import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import lib.backup.Backup;
import lib.backup.BackupFolder;
import lib.backup.BackupWriter;
import lib.environment.Environment;
import lib.files.FolderLock;
import lib.postgres.PgPrograms;
import lib.project.Credentials;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Tool;

/**
 * Every command of backup_database with the exit codes that it can end with, its message and its next steps. Exit code 4 of
 * create needs a container (ComposeMeanwhileTest); 3 of restore needs a failure while it is undone (BackupKillTest).
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class BackupExitCodesTest {
    private static final String LIST = "backup_database list", CREATE = "backup_database create";
    @TempDir static Path temp;
    private final Map<String, TreeSet<Integer>> seen = new TreeMap<>();
    private final boolean rclone = Tool.isInstalled("rclone");
    private Postgres.Db db;
    private Path project;
    private Path backups;
    private Path good;
    private Path remote;
    private int ran;

    @BeforeAll void a_project_with_a_backup() throws Exception {
        db = BackupTest.shop("exit_codes_" + System.nanoTime(), Postgres.role("exit_codes", "CREATEDB"));
        project = Files.createDirectory(temp.toRealPath().resolve("project"));
        Files.writeString(project.resolve("manage.py"), "");
        Files.writeString(project.resolve(".env"), """
            DB_HOST='%s'
            DB_PORT='%d'
            DB_NAME='%s'
            DB_USER='%s'
            DB_PASSWORD='%s'
            """.formatted(
                db.host(), db.port(), db.name(), db.role().name(), db.role().password()));
        backups = project.resolve("backups");
        remote = Files.createDirectory(project.resolveSibling("remote"));
        run("create", "--quiet").ends(0);
        good = new BackupFolder(backups).list().getFirst().file();
    }

    @BeforeEach void count() {
        ran++;
    }

    @AfterAll void every_command_ended_with_every_code_that_it_can() {
        var tests = Stream.of(BackupExitCodesTest.class.getDeclaredMethods())
                .filter(method -> method.isAnnotationPresent(Test.class))
                .count();
        assumeTrue(ran == tests, "only some of the tests ran");
        var expected = new TreeMap<>(Map.of(
                "create",
                List.of(0, 1, 2, 3, 5, 130),
                "list",
                List.of(0, 2),
                "fetch",
                List.of(0, 1, 2),
                "verify",
                List.of(0, 1, 2, 130),
                "restore",
                List.of(0, 1, 2, 4, 5, 130),
                "prune",
                List.of(0, 2, 5),
                "status",
                List.of(0, 1, 2)));
        if (!rclone) expected.remove("fetch");
        var found = new TreeMap<String, List<Integer>>();
        expected.keySet()
                .forEach(command -> found.put(command, List.copyOf(seen.getOrDefault(command, new TreeSet<>()))));
        assertEquals(expected, found);
    }

    // ---- create ------------------------------------------------------------------------------

    @Test void create_1_when_the_folder_cannot_be_written_to() throws Exception {
        var file = Files.writeString(project.resolve("a file"), "");
        var folder = file.resolve("backups");
        run("create", "--dir", folder.toString())
                .fails(
                        1,
                        noBackup() + "cannot write a backup to " + folder + ": " + folder + ": Not a directory",
                        "make room, or use another folder (BACKUP_DIR, or --dir DIR of backup_database); earlier"
                                + " backups were not touched");
    }

    @Test void create_2_for_a_wrong_option() throws Exception {
        run("create", "--alarm-drop", "101")
                .fails(
                        2,
                        "--alarm-drop 101 is not a percentage from 0 to 100",
                        "50, the default, warns when less than half is left");
        run("create", "--keep-last", "-1")
                .fails(
                        2,
                        "--keep-last -1 is negative",
                        "give 0 or more; without any --keep option all backups are kept");
    }

    @Test void create_3_when_the_off_site_copy_is_missing() throws Exception {
        assumeTrue(rclone, "rclone is not installed");
        var missing = temp.resolve("not mounted");
        var folder = project.resolveSibling("partly");
        var ended = run("create", "--dir", folder.toString(), "--remote", missing.toString());
        var file = new BackupFolder(folder).list().getFirst().file();
        ended.fails(
                3,
                "the backup " + file + " is good, but: there is no off-site copy: --remote " + missing
                        + ": no such folder; it is not created, because it may be an unmounted disk",
                "mount it, or create it once: mkdir -p '" + missing + "'");
    }

    @Test void create_3_with_strict_when_a_table_lost_its_rows() throws Exception {
        var lossy = BackupTest.shop("exit_codes_lossy_" + System.nanoTime(), db.role());
        var folder = project.resolveSibling("strict");
        var env = Files.writeString(
                project.resolveSibling("lossy.env"),
                Files.readString(project.resolve(".env")).replace(db.name(), lossy.name()));
        run("create", "--quiet", "--dir", folder.toString(), "--env-file", env.toString()).ends(0);
        try (var connection = lossy.connect(); var statement = connection.createStatement()) {
            statement.execute("UPDATE \"Order \"\"Line\"\" x\" SET customer = 1; DELETE FROM customer WHERE id > 1000");
        }
        var ended = run(
                "create", "--strict", "--alarm-drop", "70", "--dir", folder.toString(), "--env-file", env.toString());
        var file = new BackupFolder(folder).list().getFirst().file();
        ended.fails(
                3,
                "the backup " + file
                        + " is good, but: much less than in the last good backup: table public.customer: 4,000 rows,"
                        + " 1,000 now (-75 %)",
                "look at the database; if the loss is intended, do nothing: the next backup is compared with this one");
    }

    @Test void create_and_prune_5_while_another_backup_is_running() throws Exception {
        var folder = project.resolveSibling("busy");
        var database = new Credentials(
                db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
        var programs = new PgPrograms(Environment.withoutDjango(null, null).pgProgram("pg_dump", 15), database);
        var busy = "another backup is running in " + folder;
        var next = "wait until it ends, or use another folder (BACKUP_DIR, or --dir DIR of backup_database)";
        try (var writer =
                new BackupWriter(programs, new BackupFolder(folder), Backup.Options.DEFAULT, progress -> {})) {
            run("create", "--dir", folder.toString())
                    .fails(5, "no backup of " + db.name() + " was made (there is no good one): " + busy, next);
            run("prune", "--keep-last", "1", "--dir", folder.toString()).fails(5, busy, next);
        }
    }

    // ---- list, fetch -------------------------------------------------------------------------

    @Test void list_0_with_and_without_backups() throws Exception {
        run("list").ends(0, good.toString());
        run("list", "--dir", temp.resolve("none").toString()).ends(0, "no backups in " + temp.resolve("none"));
    }

    @Test void list_and_fetch_2_without_a_remote() throws Exception {
        var next = "give --remote RCLONE_PATH, or set BACKUP_REMOTE in .env: s3:bucket/crm";
        run("list", "--off-site").fails(2, "no remote is set for off-site copies", next);
        run("fetch", "x.dump").fails(2, "no remote is set for off-site copies", next);
    }

    @Test void fetch_0_1_and_2() throws Exception {
        assumeTrue(rclone, "rclone is not installed");
        for (var file : List.of(good, Path.of(good + ".json"))) Files.copy(file, remote.resolve(file.getFileName()));
        var folder = project.resolveSibling("fetched");
        run("fetch", good.getFileName().toString(), "--remote", remote.toString(), "--dir", folder.toString())
                .ends(0, "fetched: " + folder.resolve(good.getFileName()));
        var another = "use another backup: " + LIST + " --off-site";
        run("fetch", "crm_20250101_030000.dump", "--remote", remote.toString())
                .fails(
                        1,
                        remote + "/crm_20250101_030000.dump.json is not what its manifest says: it is missing",
                        another);
        run("fetch", "../crm.dump", "--remote", remote.toString())
                .fails(2, "\"../crm.dump.json\" is not a file name", "list the backups: " + LIST + " --off-site");
    }

    // ---- verify ------------------------------------------------------------------------------

    @Test void verify_0_of_the_latest_backup_of_this_database() throws Exception {
        var folder = Files.createDirectory(project.resolveSibling("latest"));
        copy(good, folder.resolve(good.getFileName()));
        var later = Files.write(
                folder.resolve("another_20990101_030000.dump"),
                new byte[0]); // of another database, and not a backup
        run("verify", "--latest", "--dir", folder.toString())
                .ends(0, "verified: " + folder.resolve(good.getFileName()));
        Files.delete(folder.resolve(good.getFileName()));
        run("verify", "--latest", "--dir", folder.toString())
                .fails(
                        2,
                        "there is no backup of " + db.name() + " in " + folder,
                        "take one: " + CREATE,
                        "or name the folder: --dir DIR");
        run("verify", "--all", "--dir", folder.toString()).fails(1, later + " is empty", "use another backup: " + LIST);
        assertEquals(List.of(later), new BackupFolder(folder).list().stream().map(BackupFolder.Entry::file).toList());
    }

    @Test void verify_1_of_a_file_that_is_not_a_good_backup() throws Exception {
        var another = "use another backup: " + LIST;
        var empty = Files.write(temp.resolve("crm_20250101_030000.dump"), new byte[0]);
        run("verify", empty.toString()).fails(1, empty + " is empty", another);
        var letter = Files.writeString(temp.resolve("letter.sql"), "Dear reader\n");
        run("verify", letter.toString()).fails(1, letter + " is not a dump: it starts with \"Dear reader\"",
                "give an archive of pg_dump (-Fc) or SQL; zstd, gzip and age are recognized");
        var bytes = Files.readAllBytes(good);
        var cut = copy(good, Files.createDirectory(temp.resolve("cut")).resolve(good.getFileName()));
        Files.write(cut, java.util.Arrays.copyOf(bytes, bytes.length / 2));
        var ended = run("verify", cut.toString());
        ended.ends(1, "error: " + cut + " is damaged: it cannot be read to its end: ", "  → " + another + "\n");
    }

    @Test void verify_2_without_a_file_or_a_key() throws Exception {
        var missing = temp.resolve("missing.dump");
        run("verify", missing.toString()).fails(2, "no such file: " + missing, "list the backups: " + LIST);
        var folder = temp.resolve("no backups");
        run("verify", "--all", "--dir", folder.toString())
                .fails(2, "there is no backup in " + folder, "take one: " + CREATE, "or name the folder: --dir DIR");
    }

    // ---- restore -----------------------------------------------------------------------------

    @Test void restore_0_into_a_new_database_and_4_when_it_exists() throws Exception {
        var name = db.name() + "_new";
        run("restore", good.toString(), "--into", name).ends(0, "restored into database " + name);
        run("restore", good.toString(), "--into", name).ends(4, name);
    }

    @Test void restore_1_of_a_damaged_file() throws Exception {
        var empty = Files.write(temp.resolve("empty.dump"), new byte[0]);
        run("restore", empty.toString(), "--into", "anywhere")
                .fails(1, empty + " is empty", "use another backup: " + LIST);
    }

    @Test void restore_2_of_a_file_that_is_not_a_dump() throws Exception {
        var letter = Files.writeString(temp.resolve("letter.txt"), "Dear reader\n");
        run("restore", letter.toString()).fails(2, letter + " is not a dump: it starts with \"Dear reader\"",
                "give an archive of pg_dump (-Fc) or SQL; zstd, gzip and age are recognized");
    }

    @Test void restore_4_without_a_terminal_to_confirm_and_5_while_another_run_holds_the_lock() throws Exception {
        run("restore", good.toString()).ends(4, "--yes");
        try (var lock = FolderLock.take(project, "reset_migrations", warning -> {})) {
            run("restore", good.toString(), "--yes").ends(5, "pid " + ProcessHandle.current().pid());
        }
    }

    // ---- prune, status -----------------------------------------------------------------------

    @Test void prune_0_and_2() throws Exception {
        run("prune", "--keep-last", "9").ends(0, "removed 0 of 1");
        run("prune", "--keep-last", "9", "--dir", temp.resolve("no such folder").toString()).ends(0, "removed 0 of 0");
        run("prune")
                .fails(
                        2,
                        "no --keep option says which backups to keep, so none is removed",
                        "for example: --keep-last 3 --keep-daily 7 --keep-weekly 4 --keep-monthly 12, or"
                                + " BACKUP_KEEP_DAILY=7 in .env");
    }

    @Test void status_0_only_when_there_is_a_good_backup() throws Exception {
        var take = "take a backup and read its messages: " + CREATE;
        run("status").ends(0, "1 good of 1");
        run("status", "--max-age", "1h").ends(0);
        var folder = Files.createDirectory(project.resolveSibling("status"));
        run("status", "--dir", folder.toString()).fails(1, "there is no backup", take);
        Files.copy(good, folder.resolve(good.getFileName())); // without its manifest
        run("status", "--dir", folder.toString()).fails(1, "the only backup is not proven to be good", take);
        var prom = folder.resolve("crm.prom");
        run("status", "--prometheus", prom.toString(), "--dir", folder.toString())
                .fails(1, "the only backup is not proven to be good", take);
        assertEquals(
                1,
                Files.readAllLines(prom).stream()
                        .filter(line -> line.matches("backup_database_good_backups\\{.*} 0"))
                        .count());
    }

    @Test void status_1_when_the_newest_is_too_old() throws Exception {
        var folder = Files.createDirectory(project.resolveSibling("stale"));
        var old = copy(good, folder.resolve(good.getFileName()));
        var manifest = Path.of(old + ".json");
        var json = JsonParser.parseString(Files.readString(manifest)).getAsJsonObject();
        json.addProperty("started", "2025-01-01T03:00:00Z");
        Files.writeString(manifest, json.toString());
        var ended = run("status", "--max-age", "26h", "--dir", folder.toString());
        ended.ends(
                1,
                "error: the newest good backup, " + good.getFileName() + ", is ",
                " old; the limit is 26 h\n  → take a backup and read its messages: " + CREATE);
    }

    @Test void status_2_for_a_wrong_option() throws Exception {
        run("status", "--max-age", "26")
                .fails(2, "invalid duration: \"26\"", "give a number above 0 with m, h, d or w: 90m, 26h, 2d, 1w");
        var text = temp.resolve("crm.txt");
        run("status", "--prometheus", text.toString())
                .fails(
                        2,
                        text + ": node_exporter reads only files whose names end in .prom",
                        "give a name that ends in .prom, in the folder of --collector.textfile.directory");
    }

    // ---- all ---------------------------------------------------------------------------------

    @Test void every_command_2_for_an_unknown_option_and_outside_a_project() throws Exception {
        for (var command : List.of("create", "list", "fetch x", "verify", "restore x", "prune", "status")) {
            var words = List.of(command.split(" "));
            var name = words.getFirst();
            run(with(words, "--no-such-option"))
                    .fails(2, "Unknown option: '--no-such-option'", "see backup_database " + name + " --help");
            run(with(words, "--project", temp.resolve("nowhere").toString())).ends(2, "error: ", "  → ");
        }
    }

    @Test void interrupted_commands_end_with_130_and_leave_nothing() throws Exception {
        var folder = project.resolveSibling("interrupted");
        interrupted("before: read it back to its end", "create", "--dir", folder.toString());
        assertEquals(List.of(), new BackupFolder(folder).list());
        interrupted("before: compare every table.*", "verify", good.toString());
        interrupted("before: compare every table.*", "restore", good.toString(), "--into", db.name() + "_interrupted");
        try (var connection = db.connect();
                var names = connection
                        .createStatement()
                        .executeQuery(
                                "SELECT count(*) FROM pg_database WHERE datdba = current_user::regrole AND datname ~"
                                        + " '^backup_|_interrupted$'")) {
            names.next();
            assertEquals(0, names.getInt(1));
        }
    }

    private void interrupted(String point, String... command) throws Exception {
        var tool = Tool.in(project, "support.SignalAt");
        var ended =
                new Ended(tool.run(Stream.concat(Stream.of("INT", "self", point, "backup_database"), Stream.of(command))
                        .toArray(String[]::new)));
        seen.computeIfAbsent(command[0], name -> new TreeSet<>()).add(ended.output.code());
        ended.ends(130, "error: interrupted; everything is as it was");
    }

    // ---- helpers -----------------------------------------------------------------------------

    private record Ended(Tool.Output output) {
        void ends(int code, String... words) {
            output.ended(code, words);
        }

        /** The last lines of stderr are exactly the message and its next steps. */
        void fails(int code, String what, String... next) {
            var expected = new ArrayList<>(List.of("error: " + what));
            for (var step : next) expected.add("  → " + step);
            var lines = output.err().lines().toList();
            var last = lines.subList(Math.max(0, lines.size() - expected.size()), lines.size());
            assertEquals(expected, last, output.all());
            assertEquals(code, output.code(), output.all());
        }
    }

    private Ended run(String... args) throws IOException, InterruptedException {
        var output = Tool.in(project, "backup_database").warmHere().run(args);
        seen.computeIfAbsent(args[0], name -> new TreeSet<>()).add(output.code());
        return new Ended(output);
    }

    private static String[] with(List<String> words, String... more) {
        return Stream.concat(words.stream(), Stream.of(more)).toArray(String[]::new);
    }

    /** @return the copy, with its manifest */
    private static Path copy(Path backup, Path to) throws IOException {
        Files.copy(Path.of(backup + ".json"), Path.of(to + ".json"));
        return Files.copy(backup, to);
    }

    private String noBackup() {
        return "no backup of " + db.name() + " was made (there is no good one): ";
    }
}
