import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.ComposeProject;
import support.Docker;

/** The whole way on a real engine, with both Composes. */
class ComposeResetTest {
    @TempDir Path temp;

    @ParameterizedTest @EnumSource
    void a_crash_looping_backend_and_a_worker_with_sessions_are_reset_and_undone(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose).start()) {
            project.awaitCrashLoop();
            var dry = project.tool("reset_migrations").run("--dry-run");
            System.out.println(dry.out() + dry.err());
            assertEquals(0, dry.code());
            var done = project.tool("reset_migrations").run("--yes", "--no-superuser");
            System.out.println(done.out() + done.err());
            assertEquals(0, done.code());
        }
    }
}
