package lib.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import support.Tool;

class CliTest {
    @TempDir Path temp;

    @ParameterizedTest @ValueSource(strings = {"reset_migrations", "backup_database"})
    void a_wrong_option_is_a_json_event(String script) throws Exception {
        for (var args : List.of(new String[] {"--json", "--no-such-option"},
                new String[] {"--no-such-option", "--json"}, new String[] {"status", "--json", "--no-such-option"})) {
            var said = Tool.in(temp, script).run(args).ended(2);
            var event = JsonParser.parseString(said.out()).getAsJsonObject();
            assertEquals("error", event.get("event").getAsString());
            assertEquals("Unknown option: '--no-such-option'", event.get("what").getAsString());
            assertEquals(2, event.get("exit").getAsInt());
            assertTrue(event.get("next").getAsJsonArray().get(0).getAsString().startsWith("see " + script), said.out());
            assertTrue(said.err().contains("error: Unknown option: '--no-such-option'"), said.err());
        }
        assertEquals("", Tool.in(temp, script).run("--no-such-option").ended(2).out()); // the control
    }

    static final class Options implements Cli.ForLaterCommands {
        @Option(names = "--env-file", paramLabel = "FILE") Path file;
    }

    @Command
    static final class Asking implements Runnable {
        @Mixin Options options;
        private String later;

        @Override public void run() {
            later = Script.RESET_MIGRATIONS.command("undo");
        }
    }

    private static String optionsOfLaterCommands(Path envFile) {
        var asking = new Asking();
        assertEquals(0, Cli.commandLine(asking).execute("--env-file", envFile.toString()));
        return asking.later.replaceFirst(".* undo ", "");
    }

    @Test void a_pipe_is_not_repeated_in_printed_commands() throws Exception {
        try {
            var fifo = temp.resolve("fifo");
            assertEquals(0, new ProcessBuilder("mkfifo", fifo.toString()).start().waitFor());
            for (var pipe : List.of(fifo, Path.of("/dev/fd/63"), Path.of("/proc/self/fd/63"), Path.of("/dev/stdin")))
                assertEquals("--env-file FILE", optionsOfLaterCommands(pipe), pipe.toString());
            for (var file : List.of(Files.createFile(temp.resolve("crm.env")), temp.resolve("none")))
                assertEquals("--env-file " + file, optionsOfLaterCommands(file));
        } finally {
            Script.repeat(List.of());
        }
    }
}
