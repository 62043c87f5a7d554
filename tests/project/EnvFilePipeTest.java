package lib.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import lib.backup.BackupFolder;
import lib.error.Failure;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.Sample;
import support.Tool;
import support.Victim;

/** Every command reads its settings once, so they can come through a pipe. The project here has no other .env. */
class EnvFilePipeTest {
    @TempDir Path temp;
    private Victim victim;
    private String settings;

    /** How the command gets its settings. */
    enum Way { PROCESS_SUBSTITUTION, FIFO }

    static List<Way> ways() {
        return Sample.of("ways of giving a pipe", List.of(Way.values()), 1);
    }

    @BeforeEach void a_project_without_an_env_file() throws Exception {
        victim = new Victim(temp.resolve("victim"));
        settings = Files.readString(victim.root().resolve(".env"));
        Files.delete(victim.root().resolve(".env"));
    }

    private Tool.Output run(Way way, String script, String... args) throws Exception {
        return switch (way) {
            case PROCESS_SUBSTITUTION -> bash("exec \"$@\" --env-file <(printf %s \"$SETTINGS\")", script, args);
            case FIFO -> {
                var fifo = fifo();
                var times = new AtomicInteger();
                var writer = writer(fifo, times);
                var said = victim.tool(script).run(with(args, "--env-file", fifo.toString()));
                writer.join(5000);
                assertEquals(1, times.get(), said.all());
                yield said;
            }
        };
    }

    /** The settings are in the environment of bash alone; the script does not inherit them. */
    private Tool.Output bash(String line, String script, String... args) throws Exception {
        var tool = victim.tool(script);
        var command = new ArrayList<>(List.of("bash", "-c", "export -n SETTINGS; " + line, "bash"));
        command.addAll(tool.command(args));
        return tool.end(tool.env("SETTINGS", settings).start(command));
    }

    private static String[] with(String[] args, String... more) {
        return Stream.concat(Stream.of(args), Stream.of(more)).toArray(String[]::new);
    }

    private Path fifo() throws Exception {
        var fifo = temp.resolve("fifo-" + System.nanoTime());
        assertEquals(0, new ProcessBuilder("mkfifo", fifo.toString()).start().waitFor());
        return fifo;
    }

    /** Writes once: a second reader would wait for nothing. */
    private Thread writer(Path fifo, AtomicInteger times) {
        return Thread.ofPlatform().daemon().start(() -> {
            try {
                Files.writeString(fifo, settings);
                times.incrementAndGet();
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("ways")
    void every_command_takes_its_settings_from_a_pipe(Way way) throws Exception {
        run(way, "reset_migrations", "--dry-run").ended(0, "dry run: nothing was changed");
        var reset = run(way, "reset_migrations", "--yes", "--no-superuser", "--backup")
            .ended(0, "back up " + victim.db.name(), "--env-file FILE").all();
        assertFalse(reset.replace("--env-file FILE", "").contains("--env-file"), reset); // the pipe is gone
        run(way, "reset_migrations", "undo", "--yes").ended(0);
        victim.rowsAreAsTheyWere();
        run(way, "backup_database", "create").ended(0, "Backing up");
        run(way, "backup_database", "verify").ended(0, "verified");
        if (!Sample.ALL) return;

        run(way, "reset_migrations", "status").ended(0);
        run(way, "reset_migrations", "--yes", "--no-superuser").ended(0);
        run(way, "reset_migrations", "purge", "--yes", "--all").ended(0);
        assertEquals(List.of(), databases());
        run(way, "backup_database", "list").ended(0);
        run(way, "backup_database", "status").ended(0);
        run(way, "backup_database", "restore", newest().toString(), "--yes").ended(0, "restored into database");
    }

    private List<String> databases() throws Exception {
        return victim.leftovers().stream().filter(left -> left.startsWith("database ")).toList();
    }

    private Path newest() {
        return new BackupFolder(victim.root().resolve("backups")).list().getFirst().file();
    }

    /** The control: a pipe can be read only once. */
    @Test void a_second_read_of_a_pipe_is_noticed() throws Exception {
        for (var script : List.of("reset_migrations", "backup_database"))
            bash(
                            "exec 9< <(printf %s \"$SETTINGS\"); cat <&9 >/dev/null; exec \"$@\" --env-file /dev/fd/9",
                            script, "status", "--json")
                    .ended(2, "DB_PASSWORD is not set in /dev/fd/9");

        var fifo = fifo();
        writer(fifo, new AtomicInteger());
        assertEquals(victim.db.name(), EnvFile.read(fifo, Map.of()).get("DB_NAME"));
        var failure = assertThrows(Failure.class, () -> EnvFile.read(fifo, Map.of()));
        assertEquals(fifo + " is a pipe that nobody writes to", failure.problem().what());
    }

    @Test void a_pipe_that_is_missing_or_that_nobody_writes_to_is_named() throws Exception {
        var fifo = fifo();
        for (var script : List.of("reset_migrations", "backup_database")) {
            victim.tool(script)
                    .run("status", "--env-file", fifo.toString())
                    .ended(2, "error: " + fifo + " is a pipe that nobody writes to",
                            "→ start the program that writes to it, or name another file: --env-file FILE");
            victim.tool(script)
                    .run("status", "--env-file", temp.resolve("none").toString())
                    .ended(2, "error: " + temp.resolve("none") + " does not exist");
        }
    }

    /** Compose's containers, the local shell and Django read the same file under different environments. */
    @Test void another_environment_does_not_read_the_file_again() throws Exception {
        var file = temp.resolve("x.env");
        Files.writeString(file, "A=1\nB=${WHO}\nDB_PASSWORD=t0psecret\n");
        var project = Project.find(victim.root());
        var settings = Settings.read(project, file, Map.of("WHO", "shell", "A", "2"));
        Files.delete(file);
        assertEquals("2 shell", settings.file().get("A") + " " + settings.file().get("B"));
        var container = settings.withEnvironment(Map.of("WHO", "container"));
        assertEquals("1 container", container.file().get("A") + " " + container.file().get("B"));
        assertEquals("t0psecret", container.credentials().password());
        assertFalse((settings + " " + container).contains("t0psecret"));
        assertTrue(settings.named());
    }
}
