package lib.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import support.Tool;

class CliTest {
    @TempDir Path temp;

    @ParameterizedTest @ValueSource(strings = {"reset_migrations", "backup_database"})
    void a_wrong_option_is_an_event_with_json_too(String script) throws Exception {
        for (var args : List.of(
                new String[] {"--json", "--no-such-option"},
                new String[] {"--no-such-option", "--json"},
                new String[] {"status", "--json", "--no-such-option"})) {
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
}
