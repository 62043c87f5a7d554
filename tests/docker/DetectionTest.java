import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.ComposeProject;
import support.Docker;
import support.Postgres;
import support.Tool;

/** Which database is meant, where two could be. */
class DetectionTest {
    @TempDir Path temp;

    private static void ended(int code, Tool.Output said, String words) {
        assertEquals(code, said.code(), said.all());
        assertTrue(said.all().contains(words), words + "\n" + said.all());
    }

    @Test void of_two_that_answer_none_is_guessed() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).startDatabase()) {
            ended(0, project.tool("backup_database").run(), "in Compose project " + project.name());

            var local = Postgres.database();
            project.editEnv(text -> text.replaceAll("(?m)^DB_.*\n?", "")).root();
            var env = java.nio.file.Files.readString(project.root().resolve(".env"));
            java.nio.file.Files.writeString(project.root().resolve(".env"), env + """
                    DB_NAME='%s'
                    DB_USER='%s'
                    DB_PASSWORD='%s'
                    DB_HOST='%s'
                    DB_PORT='%d'
                    """.formatted(local.name(), local.role().name(), local.role().password(), local.host(), local.port()));
            ended(4, project.tool("backup_database").run(), "two databases may be meant");
            ended(4, project.tool("reset_migrations").run("--dry-run"), "--docker for the service's, --local for the other one");
            ended(0, project.tool("backup_database").run("--local"), local.name());
            ended(1, project.tool("backup_database").run("--docker"), "no connection to db:" + local.port()); // as Django in there would find

            project.compose("stop", "db"); // now there is only one
            ended(0, project.tool("backup_database").run(), local.name());
        }
    }
}
