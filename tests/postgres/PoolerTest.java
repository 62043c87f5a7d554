package lib.postgres;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.OldState;
import support.Postgres;
import support.Python;
import support.SampleProject;
import support.Snapshot;
import support.Tool;

/** Resets through pgbouncer in transaction mode. */
class PoolerTest {
    private static final Path PGBOUNCER = Path.of("/usr/sbin/pgbouncer");
    private static int worked, refused;

    @TempDir Path temp;
    private SampleProject shop;
    private Postgres.Db db;
    private Process pooler;
    private Path folder; // in the system's temporary folder, which pgbouncer's user can enter too

    /** @param others databases that the pooler knows beside the live one: "*" for all */
    private void project(String... others) throws Exception {
        Assumptions.assumeTrue(Files.isExecutable(PGBOUNCER), "pgbouncer is not installed");
        shop = SampleProject.tiny(Files.createDirectory(temp.resolve("shop")).toRealPath(), Map.of("shop/models.py", """
            from django.db import models
            class Order(models.Model):
                number = models.IntegerField()
            """, "shop/migrations/0001_old.py", """
            from django.db import migrations
            class Migration(migrations.Migration):
                pass
            """));
        db = Postgres.database(Postgres.role("shop", "CREATEDB"));
        OldState.run(db, "CREATE TABLE old_order (id int PRIMARY KEY)", "INSERT INTO old_order VALUES (7)");
        var port = pooler(others);
        shop.env(new Postgres.Db(db.host(), port, db.name(), db.role()));
    }

    private int pooler(String... others) throws Exception {
        int port;
        try (var socket = new ServerSocket(0)) {
            port = socket.getLocalPort();
        }
        folder = Files.createTempDirectory("pooler", mode("rwx------"));
        var user = "\"%s\" \"%s\"\n".formatted(db.role().name(), db.role().password());
        var users = secret(folder.resolve("users"), user);
        var server = " = host=127.0.0.1 port=%d\n".formatted(db.port());
        var databases = Stream.concat(Stream.of(db.name()), Stream.of(others)).map(name -> name + server)
                .collect(Collectors.joining());
        var ini = secret(folder.resolve("pgbouncer.ini"), """
            [databases]
            %s
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = %d
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = %s
            pool_mode = transaction
            """.formatted(databases, port, users));
        var command = new ArrayList<>(List.of(PGBOUNCER.toString(), ini.toString()));
        if (Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0)) { // it refuses to run as root
            var nobody = folder.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody");
            for (var file : List.of(folder, users, ini)) Files.setOwner(file, nobody);
            command.addAll(1, List.of("-u", "nobody"));
        }
        var log = temp.resolve("pooler.log");
        pooler = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        for (int i = 0; i < 200; i++) {
            try (var connection = new Postgres.Db(db.host(), port, db.name(), db.role()).connect()) {
                return port;
            } catch (SQLException notYet) {
                Thread.sleep(50);
            }
        }
        throw new IOException(Files.readString(log));
    }

    private static Path secret(Path file, String text) throws IOException {
        Files.createFile(file, mode("rw-------"));
        return Files.writeString(file, text);
    }

    private static FileAttribute<?> mode(String permissions) {
        return PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions));
    }

    @AfterEach void stop() throws Exception {
        if (pooler != null) {
            pooler.destroy();
            pooler.waitFor();
        }
        if (folder != null) Python.delete(folder);
    }

    @AfterAll static void figures() {
        System.out.printf("through a pooler: %d commands worked, %d refused and changed nothing%n", worked, refused);
    }

    /** True when the command is done. Otherwise it must have said why, and changed nothing. */
    private boolean works(String... args) throws Exception {
        var rows = Snapshot.of(db);
        var files = Snapshot.of(shop.root());
        var venv = Python.venv().getParent().getParent().toString();
        var output = Tool.in(shop.root(), "reset_migrations").warm().env("VIRTUAL_ENV", venv).run(args);
        if (output.code() == 0) {
            worked++;
            return true;
        }
        assertTrue(output.code() == 1 || output.code() == 4, output.all());
        assertFalse(output.err().contains("this is a bug") || output.err().contains("\tat "), output.all());
        assertEquals(rows, Snapshot.of(db));
        assertEquals(files, Snapshot.of(shop.root()));
        var errors = output.err().lines().filter(line -> line.startsWith("error")).toList();
        System.out.println("refused: " + String.join(" ", args) + ": " + errors);
        refused++;
        return false;
    }

    @Test void with_a_pooler_that_knows_every_database_swap_and_park_work() throws Exception {
        project("*");
        var rows = Snapshot.of(db);
        for (var strategy : List.of("swap", "park")) {
            assertTrue(works("--yes", "--terminate", "--strategy", strategy), strategy);
            assertTrue(works("status"), strategy);
            assertTrue(works("undo", "--yes", "--terminate"), strategy);
            assertEquals(rows, Snapshot.of(db));
            assertTrue(works("purge", "--yes", "--no-backup", "--terminate"), strategy);
        }
    }

    @Test void with_a_pooler_that_knows_only_the_live_database_park_works() throws Exception {
        project();
        var rows = Snapshot.of(db);
        assertFalse(works("--yes", "--strategy", "swap"));
        assertTrue(works("--yes"));
        assertTrue(works("status"));
        assertTrue(works("undo", "--yes"));
        assertEquals(rows, Snapshot.of(db));
        assertTrue(works("purge", "--yes", "--no-backup"));
    }

    /** A new database can be created, but not reached. */
    @Test void with_a_pooler_that_also_knows_the_maintenance_database_park_works() throws Exception {
        project("postgres");
        var rows = Snapshot.of(db);
        assertFalse(works("--yes", "--strategy", "swap"));
        assertFalse(works("--yes", "--strategy", "drop", "--no-backup"));
        for (var strategy : List.of("auto", "park")) {
            assertTrue(works("--yes", "--strategy", strategy), strategy);
            assertTrue(works("undo", "--yes"), strategy);
            assertEquals(rows, Snapshot.of(db));
        }
    }
}
