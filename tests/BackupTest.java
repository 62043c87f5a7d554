import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import lib.backup.Backup;
import lib.backup.BackupWriter;
import lib.backup.BadBackup;
import lib.backup.BackupFile;
import lib.backup.BackupFolder;
import lib.backup.Restoration;
import lib.backup.archive.Compression;
import lib.environment.Environment;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.postgres.Database;
import lib.postgres.DatabaseCopy;
import lib.postgres.PgPrograms;
import lib.process.Program;
import lib.project.Credentials;
import lib.restore.Restore;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;

/** Backups of a real server, with PostgreSQL's programs and with programs that fail in ways that have been seen. */
class BackupTest {
    private static final Consumer<String> SILENT = words -> {};
    private static Program pgDump;
    private static Postgres.Db shop;

    @TempDir Path temp;

    @BeforeAll static void a_shop_with_rows() throws Exception {
        pgDump = Environment.withoutDjango(null, null).pgProgram("pg_dump", 15);
        shop = shop("shop_" + ProcessHandle.current().pid(), Postgres.SUPERUSER);
    }

    static Postgres.Db shop(String name, Postgres.Role owner) throws SQLException {
        var db = Postgres.database(name, owner);
        execute(db, """
            CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL, photo bytea);
            CREATE TABLE "Order ""Line"" x" (id serial PRIMARY KEY, customer int REFERENCES customer, note text);
            CREATE TABLE empty (id int);
            CREATE FUNCTION phantom() RETURNS text LANGUAGE sql AS $$ SELECT 'COPY public.phantom (id) FROM stdin;' $$;
            INSERT INTO customer (name, photo) SELECT 'Zoë ' || i || E'\\t\\\\N', decode(md5(i::text), 'hex') FROM \
            generate_series(1, 4000) i;
            INSERT INTO "Order ""Line"" x" (customer, note) SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE \
            repeat(md5(i::text), 8) END FROM generate_series(1, 4000) i;
            """);
        return db;
    }

    // ---- good backups ------------------------------------------------------------------------

    @Test void a_backup_restores_every_row() throws Exception {
        var backup = Backup.create(credentials(shop), pgDump, folder(), SILENT);
        assertEquals(3, backup.manifest().content().tables().size());
        assertEquals(Files.size(backup.file()), backup.manifest().file().bytes());
        assertTrue(
                backup.file().getFileName().toString().matches(shop.name() + "_\\d{8}_\\d{6}\\.dump\\.zst"),
                backup.file().toString());

        var copy = new Postgres.Db(shop.host(), shop.port(), shop.name() + "_copy", shop.role());
        restore(backup.file(), shop, copy.name(), SILENT);
        assertEquals(rows(shop), rows(copy));

        execute(copy, "UPDATE customer SET name = name || '!' WHERE id = 1234"); // the control: one letter
        assertNotEquals(rows(shop), rows(copy));
    }

    @Test void only_the_owner_can_read_the_folder_and_the_file() throws Exception {
        var backup = Backup.create(credentials(shop), pgDump, folder(), SILENT);
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder())));
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(backup.file())));
    }

    @Test void only_the_owner_can_ever_read_the_unfinished_file() throws Exception {
        var seen = temp.resolve("seen");
        var spy = fake("stat -c %%a '%s'/*.partial > '%s'; exec %s \"$@\"".formatted(folder(), seen, pgDump));
        Backup.create(credentials(shop), spy, folder(), SILENT);
        assertEquals("600", Files.readString(seen).strip());
    }

    @Test void two_backups_in_one_second_get_different_names() throws Exception {
        Files.createDirectory(folder());
        var now = LocalDateTime.now();
        var taken = new ArrayList<Path>(); // for every second that the backup may start in
        for (int i = 0; i < 60; i++)
            taken.add(Files.writeString(
                    folder().resolve(shop.name()
                            + now.plusSeconds(i).format(DateTimeFormatter.ofPattern("'_'yyyyMMdd_HHmmss'.dump'"))),
                    "earlier"));
        var second = Backup.create(credentials(shop), pgDump, folder(), SILENT).file();
        assertTrue(second.toString().matches(".*_\\d{6}_2\\.dump\\.zst"), second.toString());
        for (var earlier : taken) assertEquals("earlier", Files.readString(earlier));
        assertTrue(new BackupFolder(folder()).list().stream().anyMatch(found -> found.file().equals(second)));
    }

    @Test void an_odd_database_name_becomes_a_safe_file_name_and_is_decoded_again() throws Exception {
        var odd = Postgres.database("../o'dd \"na=me\" %20+", Postgres.SUPERUSER);
        execute(odd, "CREATE TABLE t AS SELECT 7 AS seven");
        var backup = Backup.create(credentials(odd), pgDump, folder(), SILENT);
        assertEquals(folder(), backup.file().getParent());
        assertTrue(backup.file().getFileName().toString().matches("[A-Za-z0-9%_.-]+"), backup.file().toString());
        assertEquals(odd.name(), new BackupFolder(folder()).list().getFirst().database());
        assertEquals(1, backup.manifest().content().tables().size()); // this database was dumped, not one whose name is a part of it
    }

    @Test void the_restore_command_restores_once_and_then_fails_also_under_set_e() throws Exception {
        var backup = Backup.create(credentials(shop), pgDump, folder(), SILENT);
        var command = "cd %s && %s".formatted(folder(), backup.manifest().restore().getFirst());
        assertFalse(command.contains(Postgres.PASSWORD), command);
        var first = bash("set -e\n" + command + "\necho went on");
        assertEquals(0, first.code(), first.err());
        assertTrue(first.out().contains("went on"));
        assertEquals(
                rows(shop), rows(new Postgres.Db(shop.host(), shop.port(), shop.name() + "_restored", shop.role())));
        var second = bash("set -e\n" + command + "\necho went on"); // the database exists now
        assertNotEquals(0, second.code());
        assertFalse(second.out().contains("went on"));
        Postgres.execute("DROP DATABASE " + Postgres.quoted(shop.name() + "_restored"));
        Files.write(backup.file(), cut(Files.readAllBytes(backup.file()), 60));
        assertNotEquals(0, bash(command).code());
        assertFalse(exists(shop.name() + "_restored")); // the file is tested before the database is created
    }

    private static final String DAMAGED = "\\S+\\.partial is damaged: it cannot be read to its end: .*";

    // ---- failures ----------------------------------------------------------------------------

    @Test void pg_dump_killed_half_way_leaves_nothing_and_touches_no_earlier_backup() throws Exception {
        failsWithout(
                fake("%s \"$@\" | head -c 20000; kill -9 $$".formatted(pgDump)), "pg_dump failed with exit code .*");
    }

    @Test void sql_that_is_cut_off_with_exit_code_0_is_not_a_backup() throws Exception {
        var fake = fake("exec '%s' \"$@\"".formatted(pgDump));
        var restore = Path.of(fake.toString()).resolveSibling("pg_restore");
        var real = restore.toRealPath();
        Files.delete(restore);
        var plain = new Backup.Options(true, Compression.parse("none"), null, 0);
        for (var kept : List.of("cat", "head -c -300")) {
            Files.writeString(restore, "#!/bin/sh\n'%s' \"$@\" | %s\n".formatted(real, kept));
            Files.setPosixFilePermissions(restore, PosixFilePermissions.fromString("rwx------"));
            if (kept.equals("cat")) make(temp.resolve("plain"), fake, plain);
            else
                assertMatches(
                        "\\S+\\.sql\\.partial is damaged: it cannot be read to its end: the SQL of pg_restore ends too"
                                + " early",
                        assertThrows(Failure.class, () -> make(temp.resolve("cut"), fake, plain)));
        }
    }

    @Test void an_archive_that_is_cut_off_at_60_percent_with_exit_code_0_is_noticed() throws Exception {
        var whole = Files.readAllBytes(
                make(temp.resolve("whole"), new Backup.Options(false, Compression.parse("none"), null, 0))
                        .file());
        var archive = temp.resolve("archive");
        var fake = fake("exec cat '%s'".formatted(archive));
        Files.write(archive, cut(whole, 60));
        failsWithout(fake, DAMAGED);
        Files.write(archive, java.util.Arrays.copyOf(whole, whole.length - 1));
        failsWithout(fake, DAMAGED);
        Files.write(archive, whole); // the control: the complete one passes
        assertEquals(3, Backup.create(credentials(shop), fake, folder(), SILENT).manifest().content().tables().size());
    }

    @Test void text_before_the_archive_is_noticed() throws Exception {
        var failure = failsWithout(fake("echo 'Welcome to the database host'; exec %s \"$@\"".formatted(pgDump)),
                "the output of pg_dump is not an archive: it starts with \"Welcome to the database host\".*");
        assertEquals(
                List.of("find the wrapper, login script or TTY that prints before pg_dump does"),
                failure.problem().next());
    }

    @Test void pg_dump_that_writes_nothing_is_a_failure() throws Exception {
        failsWithout(fake("exit 0"), "pg_dump wrote nothing, with exit code 0");
    }

    @Test void an_error_on_stderr_is_a_failure_whatever_the_exit_code_but_a_warning_is_kept() throws Exception {
        failsWithout(
                fake("%s \"$@\"; echo 'pg_dump: error: lost it' >&2; exit 0".formatted(pgDump)),
                "pg_dump failed with exit code .*");
        var backup = Backup.create(
                credentials(shop),
                fake("echo 'pg_dump: warning: beware' >&2; exec %s \"$@\"".formatted(pgDump)),
                folder(),
                SILENT);
        assertEquals(List.of("pg_dump: warning: beware"), backup.warnings());
    }

    @Test void a_wrong_password_fails_and_names_the_settings() throws Exception {
        var wrong = credentials(shop.as(new Postgres.Role("postgres", "not it")));
        var failure = assertThrows(Failure.class, () -> Backup.create(wrong, pgDump, folder(), SILENT));
        assertTrue(failure.getMessage().contains("password authentication failed"), failure.getMessage());
        assertTrue(failure.problem().next().toString().contains("DB_PASSWORD"));
        assertEquals(List.of(), backups());
    }

    @Test void a_full_disk_leaves_no_file() throws Exception {
        var small = Files.createDirectory(temp.resolve("small"));
        assumeTrue(
                Program.of("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small.toString())
                                .run()
                                .code()
                        == 0,
                "may not mount a small tmpfs");
        try {
            var failure = assertThrows(
                    Failure.class, () -> Backup.create(credentials(shop), pgDump, small.resolve("backups"), SILENT));
            assertMatches("cannot write a backup to " + small.resolve("backups") + ": .*No space left.*", failure);
            assertEquals(List.of(), dumps(small.resolve("backups")));
        } finally {
            Program.of("umount", small.toString()).output();
        }
    }

    @Test void postgresql_s_own_messages_are_explained() throws Exception {
        assertTrue(nextAfter("pg_dump: error: server version: 17.2; pg_dump version: 15.18\n"
                        + "pg_dump: error: aborting because of server version mismatch")
                .contains("postgresql-client-17"));
        assertTrue(nextAfter("pg_restore: error: unsupported version (1.16) in file header").contains("newer pg_dump"));
        assertTrue(nextAfter("pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter"
                        + " \"transaction_timeout\"")
                .contains("server's major version"));
        assertEquals("[]", nextAfter("pg_dump: error: something else"));
    }

    private String nextAfter(String words) throws IOException {
        Files.writeString(temp.resolve("words"), words);
        return failsWithout(
                        fake("cat '%s' >&2; exit 1".formatted(temp.resolve("words"))),
                        "pg_dump failed with exit code 1:.*")
                .problem()
                .next()
                .toString();
    }

    // ---- the lock, and leftovers -------------------------------------------------------------

    @Test void a_second_backup_in_the_folder_is_busy_until_the_first_has_finished() throws Exception {
        try (var first = new BackupWriter(
                new PgPrograms(pgDump, credentials(shop)),
                new BackupFolder(folder()),
                Backup.Options.DEFAULT,
                SILENT)) {
            var failure = assertThrows(Failure.class, () -> Backup.create(credentials(shop), pgDump, folder(), SILENT));
            assertEquals(ExitCode.BUSY, failure.problem().exit());
            assertEquals(
                    5,
                    cron(envFile(Postgres.SUPERUSER))
                            .code()); // another process is refused too, also after the attempt above
            Backup.create(credentials(shop), pgDump, temp.resolve("another"), SILENT);
        }
        Backup.create(credentials(shop), pgDump, folder(), SILENT);
    }

    @Test void the_partial_file_of_a_killed_run_is_removed_and_nothing_else() throws Exception {
        Files.createDirectory(folder());
        var ours = Files.writeString(folder().resolve("crm_20250101_030000.dump.partial"), "PGDMP");
        var others = List.of(Files.writeString(folder().resolve("crm_20250101_030000.dump"), "earlier"),
                Files.writeString(folder().resolve("film.mkv.partial"), "somebody's download"),
                Files.createSymbolicLink(folder().resolve("link_20250101_030000.dump.partial"), temp));
        Backup.create(credentials(shop), pgDump, folder(), SILENT);
        assertFalse(Files.exists(ours));
        for (var other : others) assertTrue(Files.exists(other), other.toString());
    }

    // ---- secrets -----------------------------------------------------------------------------

    @Test void the_password_is_in_no_command_line_no_message_and_no_output() throws Exception {
        var locale = Charset.forName(System.getProperty("sun.jnu.encoding")).newEncoder();
        var password = "s3'cr \"et $x" + (locale.canEncode("ä€") ? "ä€" : "");
        var role = new Postgres.Role("careful_" + System.nanoTime(), password);
        Postgres.execute(
                "CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'".formatted(role.name(), password.replace("'", "''")));
        var db = shop("careful_" + System.nanoTime(), role);

        try (var control = new CommandLines(password)) {
            Program.of("sh", "-c", "sleep 0.5; :", password).output();
            assertNotEquals(List.of(), control.found()); // the control: a secret would have been found
        }
        var output = new ArrayList<String>();
        try (var watch = new CommandLines(password)) {
            var slow = fake("sleep 0.3; %s \"$@\"; code=$?; sleep 0.3; exit $code".formatted(pgDump));
            var backup = Backup.create(credentials(db), slow, folder(), output::add);
            restore(backup.file(), db, db.name() + "_copy", output::add);
            assertEquals(List.of(), watch.found());
        }
        var talkative = fake("echo \"PGPASSWORD=$PGPASSWORD\" >&2; exit 1");
        var failure = assertThrows(Failure.class, () -> Backup.create(credentials(db), talkative, folder(), output::add));
        output.add(failure.toString());
        output.add(failure.problem().toString());
        var printing = fake("echo \"+ export PGPASSWORD=$PGPASSWORD\"");
        output.add(assertThrows(Failure.class, () -> Backup.create(credentials(db), printing, folder(), output::add))
                .problem()
                .toString());
        assertFalse(output.toString().contains(password), output.toString());
        assertTrue(output.toString().contains("PGPASSWORD=[password]"), output.toString()); // they did print it
    }

    /** Reads the arguments of every process again and again, as any user of the machine can. */
    private static final class CommandLines implements AutoCloseable {
        private final List<String> found = new java.util.concurrent.CopyOnWriteArrayList<>();
        private volatile boolean done;
        private final Thread thread;

        CommandLines(String secret) {
            thread = Thread.ofPlatform().daemon().start(() -> {
                while (!done) {
                    try (var processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
                        for (var process : processes) {
                            try {
                                var line = Files.readString(process.resolve("cmdline"), StandardCharsets.UTF_8);
                                if (line.contains(secret)) found.add(line);
                            } catch (IOException gone) {
                                // it ended meanwhile
                            }
                        }
                        Thread.sleep(5);
                    } catch (IOException | InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                }
            });
        }

        List<String> found() {
            return List.copyOf(found);
        }

        @Override public void close() throws InterruptedException {
            done = true;
            thread.join();
        }
    }

    // ---- the command -------------------------------------------------------------------------

    @Test void it_works_in_the_minimal_environment_of_cron_and_quiet_prints_nothing() throws Exception {
        var env = envFile(Postgres.SUPERUSER);
        var loud = cron(env);
        assertEquals(0, loud.code(), loud.err());
        for (var expected : List.of(
                "backed up: ",
                "% of the database's",
                "restore it in place of the database",
                "--exit-on-error",
                "backups:")) assertTrue(loud.out().contains(expected), loud.out());
        assertFalse(loud.out().contains(Postgres.PASSWORD));
        var quiet = cron(env, "--quiet");
        assertEquals("", quiet.out() + quiet.err());
        assertEquals(0, quiet.code());
        assertEquals(2, backups().size());
        var failed = cron(
                envFile(new Postgres.Role("postgres", "not it")), "--quiet"); // the control: errors are still printed
        assertEquals(2, failed.code());
        assertTrue(failed.err().contains("password authentication failed"), failed.err());
    }

    @Test void a_password_that_the_locale_cannot_pass_on_is_refused() throws Exception {
        var role = new Postgres.Role("emigrant_" + System.nanoTime(), "pä€ss");
        Postgres.execute("CREATE ROLE %s LOGIN SUPERUSER PASSWORD '%s'".formatted(role.name(), role.password()));
        var bare = cron(envFile(role), "--quiet");
        assertEquals(2, bare.code(), bare.err());
        assertTrue(bare.err().contains("LC_ALL=C.UTF-8"), bare.err());
        assertEquals(List.of(), backups());
        assertEquals(0, command("LC_ALL=C.UTF-8", envFile(role)).run().code()); // the next step that it names works
    }

    @Test void a_terminated_run_leaves_no_file_and_exits_with_130() throws Exception {
        try (var connection = shop.connect(); var statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            statement.execute("LOCK TABLE empty IN ACCESS EXCLUSIVE MODE"); // pg_dump waits for it
            var process = command("LANG=", envFile(Postgres.SUPERUSER)).start();
            for (int i = 0; i < 400 && backups().isEmpty(); i++) Thread.sleep(50);
            assertEquals(1, backups().size()); // the partial file: the dump is running
            process.destroy();
            assertEquals(130, process.waitFor());
            assertEquals(List.of(), backups());
            connection.rollback();
        }
    }

    @Test void create_is_the_default_command() throws Exception {
        var env = envFile(Postgres.SUPERUSER);
        assertEquals(0, run("create", "--env-file", env.toString(), "--project", project().toString(), "--quiet"));
        assertEquals(0, run("--env-file", env.toString(), "--project", project().toString(), "--quiet"));
        assertEquals(2, dumps(project().resolve("backups")).size());
        assertEquals(0, run("list", "--project", project().toString(), "--quiet"));
        assertEquals(0, run("--quiet", "--project", project().toString(), "list"));
        assertEquals(2, run("--into", "x", "list", "--project", project().toString())); // only restore has it
    }

    @Test void restoring_a_damaged_file_fails_and_leaves_no_database() throws Exception {
        var backup = Backup.create(credentials(shop), pgDump, folder(), SILENT);
        var env = envFile(Postgres.SUPERUSER).toString();
        var damaged = Files.write(temp.resolve("damaged.dump"), cut(Files.readAllBytes(backup.file()), 60));
        assertEquals(
                1,
                run(
                        "restore",
                        damaged.toString(),
                        "--into",
                        "from_damaged",
                        "--env-file",
                        env,
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertFalse(exists("from_damaged"));
        assertEquals(
                1,
                run(
                        "restore",
                        Files.writeString(temp.resolve("wrong.sql"), "SELECT 1 / 0;")
                                .toString(),
                        "--into",
                        "from_damaged",
                        "--env-file",
                        env,
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertEquals(
                2,
                run(
                        "restore",
                        temp.resolve("nowhere").toString(),
                        "--into",
                        "from_damaged",
                        "--env-file",
                        env,
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertFalse(exists("from_damaged"));
        assertEquals(
                0,
                run(
                        "restore",
                        backup.file().toString(),
                        "--into",
                        "from_whole",
                        "--env-file",
                        env,
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertTrue(exists("from_whole")); // the control
    }

    @Test void a_restore_that_fails_half_way_drops_what_it_created() throws Exception {
        var owner = Postgres.role("leaver", "");
        var db = shop("left_" + System.nanoTime(), owner);
        var backup = Backup.create(credentials(db.as(Postgres.SUPERUSER)), pgDump, folder(), SILENT);
        Postgres.execute("DROP DATABASE " + Postgres.quoted(db.name()));
        Postgres.execute("DROP ROLE " + Postgres.quoted(owner.name())); // ALTER TABLE … OWNER TO will fail
        var result = run(
                "restore",
                backup.file().toString(),
                "--into",
                "half_way",
                "--env-file",
                envFile(Postgres.SUPERUSER).toString(),
                "--project",
                project().toString(),
                "--quiet");
        assertEquals(1, result);
        assertFalse(exists("half_way"));
    }

    @Test void a_restore_works_when_the_database_of_the_project_is_missing() throws Exception {
        var lost = shop("lost_" + System.nanoTime(), Postgres.SUPERUSER);
        var backup = Backup.create(credentials(lost), pgDump, folder(), SILENT);
        var before = rows(lost);
        var env = Files.writeString(
                        temp.resolve("lost.env"),
                        Files.readString(envFile(Postgres.SUPERUSER)).replace(shop.name(), lost.name()))
                .toString();
        Postgres.execute("DROP DATABASE " + Postgres.quoted(lost.name()));
        assertEquals(
                0,
                run(
                        "restore",
                        backup.file().toString(),
                        "--into",
                        lost.name(),
                        "--env-file",
                        env,
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertEquals(before, rows(lost));
    }

    @Test void a_restore_never_goes_into_an_existing_database() throws Exception {
        var backup = Backup.create(credentials(shop), pgDump, folder(), SILENT);
        var before = rows(shop);
        assertEquals(
                4,
                run(
                        "restore",
                        backup.file().toString(),
                        "--into",
                        shop.name(),
                        "--env-file",
                        envFile(Postgres.SUPERUSER).toString(),
                        "--project",
                        project().toString(),
                        "--quiet"));
        assertTrue(exists(shop.name()));
        assertEquals(before, rows(shop));
    }

    /** After a restore PostgreSQL prints the condition of an exclusion differently, which is no difference. */
    @Test void a_reworded_condition_is_no_difference_and_another_key_is() throws Exception {
        var rooms = Postgres.database("rooms_" + System.nanoTime(), Postgres.SUPERUSER);
        execute(rooms, """
            CREATE TABLE booking (id int PRIMARY KEY, room int UNIQUE, during tstzrange, status varchar(9));
            ALTER TABLE booking ADD CONSTRAINT overlap EXCLUDE USING gist (during WITH &&) WHERE (status IN \
            ('asked', 'confirmed'));
            """);
        var backup = Backup.create(credentials(rooms), pgDump, folder(), SILENT);
        restore(backup.file(), rooms, rooms.name() + "_good", SILENT);
        assertTrue(exists(rooms.name() + "_good"));

        try (var db =
                Database.open(credentials(rooms))) { // the control: a constraint of the same name on another column
            var restoration = new Restoration(
                    BackupFile.of(backup.file(), null),
                    new PgPrograms(pgDump, credentials(rooms)),
                    rooms.name() + "_bad",
                    List.of(),
                    SILENT);
            restoration.check().run();
            Restore.createScratch(db, rooms.name() + "_bad", DatabaseCopy.locale(db)).run();
            restoration.restore().run();
            execute(
                    new Postgres.Db(rooms.host(), rooms.port(), rooms.name() + "_bad", rooms.role()),
                    "ALTER TABLE booking DROP CONSTRAINT booking_room_key, ADD CONSTRAINT booking_room_key UNIQUE"
                            + " (status)");
            assertInstanceOf(BadBackup.class, assertThrows(Failure.class, () -> restoration.compare().run()).problem());
        }
    }

    /** The time zone of the database, role or server differs from that of the database it is restored into. */
    @Test void times_are_compared_independently_of_the_time_zone() throws Exception {
        var zoned = Postgres.database("zoned_" + System.nanoTime(), Postgres.SUPERUSER);
        execute(
                zoned,
                "CREATE TABLE event (id int, at timestamptz); INSERT INTO event VALUES (1, '2026-07-01 12:00+00'), (2,"
                        + " '2026-01-01 12:00+00')");
        execute(zoned, "ALTER DATABASE " + Postgres.quoted(zoned.name()) + " SET timezone = 'Asia/Tokyo'");
        var backup = Backup.create(credentials(zoned), pgDump, folder(), SILENT);
        restore(backup.file(), zoned, zoned.name() + "_ours", SILENT);

        var foreign = temp.resolve("foreign.dump"); // in the time zone of Tokyo
        pgDump.with(
                        "--format=custom",
                        "--file=" + foreign,
                        "--host=" + zoned.host(),
                        "--port=" + zoned.port(),
                        "--username=" + zoned.role().name(),
                        zoned.name())
                .secret("PGPASSWORD", Postgres.PASSWORD)
                .output();
        restore(foreign, zoned, zoned.name() + "_foreign", SILENT);

        try (var db =
                Database.open(credentials(zoned))) { // the controls: an hour, a row
            for (var wrong : Map.of(
                            backup.file(),
                            "UPDATE event SET at = at + interval '1 hour' WHERE id = 1",
                            foreign,
                            "DELETE FROM event WHERE id = 1")
                    .entrySet()) {
                var into = zoned.name() + "_wrong_" + System.nanoTime();
                var restoration = new Restoration(
                        BackupFile.of(wrong.getKey(), null),
                        new PgPrograms(pgDump, credentials(zoned)),
                        into,
                        List.of(),
                        SILENT);
                restoration.check().run();
                Restore.createScratch(db, into, DatabaseCopy.locale(db)).run();
                restoration.restore().run();
                execute(new Postgres.Db(zoned.host(), zoned.port(), into, zoned.role()), wrong.getValue());
                assertInstanceOf(
                        BadBackup.class,
                        assertThrows(Failure.class, () -> restoration.compare().run())
                                .problem());
            }
        }
    }

    /** Archives of pg_dump --exclude-table-data and --schema-only restore to what they contain. */
    @Test void an_archive_of_another_tool_without_the_rows_of_some_tables_is_restored() throws Exception {
        var dump = pgDump.with(
                        "--format=custom",
                        "--host=" + shop.host(),
                        "--port=" + shop.port(),
                        "--username=" + shop.role().name())
                .secret("PGPASSWORD", Postgres.PASSWORD);
        for (var without : List.of("--exclude-table-data=?rder*", "--schema-only")) {
            var archive = temp.resolve("without" + without.length() + ".dump");
            dump.with(without, "--file=" + archive, shop.name()).output();
            var into = shop.name() + "_without" + without.length();
            restore(archive, shop, into, SILENT);
            assertTrue(exists(into));
        }
    }

    @Test
    void archives_in_the_tar_and_directory_formats_are_refused_with_the_command_that_restores_them() throws Exception {
        var dump = pgDump.with(
                        "--host=" + shop.host(),
                        "--port=" + shop.port(),
                        "--username=" + shop.role().name())
                .secret("PGPASSWORD", Postgres.PASSWORD);
        var custom =
                "dump that database in the custom format, which is supported: pg_dump --format=custom --file=NAME.dump"
                        + " NAME";
        for (var format : List.of("tar", "directory")) {
            var archive = temp.resolve("an archive." + format);
            dump.with("--format=" + format, "--file=" + archive, shop.name()).output();
            var problem = assertThrows(Failure.class, () -> BackupFile.of(archive, null)).problem();
            assertEquals(ExitCode.USAGE, problem.exit());
            assertEquals(
                    archive + " is a pg_dump archive in the " + format + " format, which is not supported",
                    problem.what());
            var restore =
                    "createdb --template=template0 NAME && pg_restore --exit-on-error --dbname=NAME '" + archive + "'";
            assertEquals(List.of("restore it by hand: " + restore, custom), problem.next());
            var name = shop.name() + "_" + format;
            var server = "export PGHOST=%s PGPORT=%d PGUSER=%s; "
                    .formatted(shop.host(), shop.port(), shop.role().name());
            var byHand = bash(server + restore.replace("NAME", name));
            assertEquals(0, byHand.code(), byHand.err());
            assertEquals(rows(shop), rows(new Postgres.Db(shop.host(), shop.port(), name, shop.role())));
        }
        var packed = temp.resolve("packed");
        assertEquals(0, bash("gzip -c '%s' > '%s'".formatted(temp.resolve("an archive.tar"), packed)).code());
        var problem = assertThrows(Failure.class, () -> BackupFile.of(packed, null)).problem();
        assertEquals(packed + " is a pg_dump archive in the tar format, which is not supported", problem.what());
        assertEquals(
                List.of(
                        "decrypt and unpack it (age --decrypt, zstd -d, gzip -d), then restore it by hand: createdb"
                            + " --template=template0 NAME && pg_restore --exit-on-error --dbname=NAME UNPACKED_FILE",
                        custom),
                problem.next());
    }

    // ---- helpers -----------------------------------------------------------------------------

    private static Backup make(Path folder, Backup.Options options) throws Exception {
        return make(folder, pgDump, options);
    }

    private static Backup make(Path folder, Program program, Backup.Options options) throws Exception {
        try (var writer = new BackupWriter(
                new PgPrograms(program, credentials(shop)), new BackupFolder(folder), options, SILENT)) {
            for (var step : writer.steps()) step.run();
            return writer.backup();
        }
    }

    private static void restore(Path file, Postgres.Db server, String into, Consumer<String> progress)
            throws Exception {
        try (var db = Database.open(credentials(server))) {
            var restoration = new Restoration(
                    BackupFile.of(file, null), new PgPrograms(pgDump, credentials(server)), into, List.of(), progress);
            for (var step : restoration.steps(Restore.createScratch(db, into, DatabaseCopy.locale(db)))) step.run();
        }
    }

    private Path folder() {
        return temp.resolve("backups");
    }

    private List<Path> backups() throws IOException {
        return dumps(folder());
    }

    /** All files that look like a backup or an unfinished one. */
    private static List<Path> dumps(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return List.of();
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().contains(".dump")
                            && !file.toString().endsWith(".json"))
                    .sorted()
                    .toList();
        }
    }

    /** The backup fails with this message and leaves no file; an earlier backup is unchanged. */
    private Failure failsWithout(Program pgDump, String message) throws IOException {
        Files.createDirectories(folder());
        var earlier = Files.writeString(folder().resolve("crm_20250101_030000.dump"), "earlier");
        var failure = assertThrows(Failure.class, () -> Backup.create(credentials(shop), pgDump, folder(), SILENT));
        assertMatches(message, failure);
        assertEquals(List.of(earlier), backups());
        assertArrayEquals("earlier".getBytes(StandardCharsets.UTF_8), Files.readAllBytes(earlier));
        Files.delete(earlier);
        return failure;
    }

    private static void assertMatches(String pattern, Failure failure) {
        assertEquals(ExitCode.FAILED, failure.problem().exit());
        assertTrue(failure.getMessage().matches("(?s)" + pattern), failure.getMessage());
    }

    /** A replacement for pg_dump beside the real pg_restore. */
    private Program fake(String script) throws IOException {
        var bin = Files.createTempDirectory(temp, "bin");
        var real = Path.of(pgDump.toString());
        for (var other : List.of("pg_restore", "psql"))
            Files.createSymbolicLink(bin.resolve(other), real.resolveSibling(other));
        var file = Files.writeString(bin.resolve("pg_dump"), "#!/bin/sh\n" + script + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
        return Program.of(file.toString());
    }

    private static Credentials credentials(Postgres.Db db) {
        return new Credentials(db.host(), db.port(), db.name(), db.role().name(), db.role().password(), null, Map.of());
    }

    private Path project() throws IOException {
        var project = Files.createDirectories(temp.resolve("project"));
        Files.writeString(project.resolve("manage.py"), "");
        return project;
    }

    private Path envFile(Postgres.Role role) throws IOException {
        return Files.writeString(Files.createTempFile(temp, "settings", ".env"), """
            DB_HOST='%s'
            DB_PORT='%d'
            DB_NAME='%s'
            DB_USER='%s'
            DB_PASSWORD='%s'
            """.formatted(
                        shop.host(), shop.port(), shop.name(), role.name(), role.password()));
    }

    private static int run(String... args) {
        return lib.cli.Cli.run(new backup_database(), args);
    }

    /** The command as cron starts it: a short PATH, no HOME, no LANG. */
    private Program.Output cron(Path envFile, String... more) throws IOException {
        return command("LANG=", envFile).with(more).run();
    }

    private Program command(String locale, Path envFile) throws IOException {
        return Program.of(
                "/usr/bin/env",
                "-i",
                "PATH=/usr/bin:/bin",
                locale,
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                "backup_database",
                "create",
                "--dir",
                folder().toString(),
                "--project",
                project().toString(),
                "--env-file",
                envFile.toString());
    }

    private static Program.Output bash(String script) {
        return Program.of("bash", "-c", script).secret("PGPASSWORD", Postgres.PASSWORD).run();
    }

    private static byte[] cut(byte[] whole, int percent) {
        return java.util.Arrays.copyOf(whole, whole.length * percent / 100);
    }

    private static void execute(Postgres.Db db, String sql) throws SQLException {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static boolean exists(String database) throws SQLException {
        try (var connection = shop.connect();
                var query = connection.prepareStatement("SELECT 1 FROM pg_database WHERE datname = ?")) {
            query.setString(1, database);
            return query.executeQuery().next();
        }
    }

    /** One hash of all rows for each table. */
    private static Map<String, String> rows(Postgres.Db db) throws SQLException {
        var rows = new TreeMap<String, String>();
        for (var table : List.of("customer", "Order \"Line\" x", "empty")) {
            try (var connection = db.connect();
                    var statement = connection.createStatement();
                    var row = statement.executeQuery(
                            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t.id)), '') FROM %s t"
                                    .formatted(Postgres.quoted(table)))) {
                row.next();
                rows.put(table, row.getString(1));
            }
        }
        return rows;
    }
}
