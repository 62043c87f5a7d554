package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.ComposeProject;
import support.Docker;
import support.SampleProject;

/** The sample project that the tests with a real engine use. */
@Tag("docker") @Tag("exhaustive")
class ComposeProjectTest {
    @TempDir Path folder;

    @ParameterizedTest
    @EnumSource
    void the_backend_crash_loops_on_the_broken_history_and_the_worker_holds_sessions(Docker.Compose compose)
            throws Exception {
        try (var project = ComposeProject.in(folder, compose).start()) {
            project.awaitCrashLoop();
            assertTrue(project.logs("backend")
                    .contains("NodeNotFoundError: Migration customer_data.0005_transaction_moves_money"),
                    project.logs("backend"));
            assertEquals(Set.of("backend", "db", "worker"), project.containers().keySet());
            assertEquals("running", project.containers().get("worker").state());
            assertEquals(2, project.sessions().size());

            var before = project.snapshot();
            assertEquals(before, project.snapshot());
            project.query(
                    "UPDATE conversations_contact SET display_name = display_name || '!' WHERE id = (SELECT min(id)"
                            + " FROM conversations_contact)");
            assertNotEquals(before, project.snapshot());

            // a lost session ends the worker, and the engine restarts it
            var restarts = project.containers().get("worker").restarts();
            project.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'");
            project.await("worker", worker -> worker.restarts() > restarts);
            project.awaitSessions();

            // control: with a repaired history it serves
            SampleProject.write(project.backend(), "customer_data/migrations/0004_wallet_reference.py", """
                from django.db import migrations, models

                class Migration(migrations.Migration):
                    dependencies = [("customer_data", "0003_case_insensitive_email")]
                    operations = [migrations.AddField("wallet", "reference", models.CharField(max_length=30, \
                null=True, unique=True))]
                """);
            project.compose("run", "--rm", "--no-deps", "-T", "--entrypoint",
                    "python manage.py makemigrations --merge --noinput flows", "backend");
            // without it, the engine waits longer and longer before a restart
            Docker.run("restart", "-t", "0", project.id("backend"));
            project.await("backend", backend -> backend.health().equals("healthy"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void the_port_can_be_published_and_the_code_can_be_in_the_image(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(folder, compose).published().baked().startDatabase()) {
            assertTrue(project.compose("port", "db", "5432").startsWith("127.0.0.1:"));
            Files.delete(project.backend().resolve("manage.py"));
            assertTrue(project.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "backend")
                    .contains("manage.py"));
            assertEquals(Set.of("db"), project.containers().keySet());
        }
        try (var project = ComposeProject.in(folder, compose).startDatabase()) {
            assertEquals("", Docker.run("port", project.id("db")));
            Files.delete(project.backend().resolve("manage.py"));
            assertFalse(project.compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "ls", "backend")
                    .contains("manage.py"));
        }
    }

    @Test
    void close_removes_everything_from_the_engine() throws Exception {
        String name;
        try (var project = ComposeProject.in(folder, Docker.Compose.V2).startDatabase()) {
            name = project.name();
            project.compose("run", "-d", "--no-deps", "--entrypoint", "sleep 600", "backend");
            assertEquals(1, project.oneOffs().size());
            assertFalse(left(name).isEmpty());
        }
        assertEquals("", left(name));
    }

    @Test
    void a_crashed_server_fails_the_test() throws Exception {
        var project = ComposeProject.in(folder, Docker.Compose.V2).startDatabase();
        Docker.run("exec", "-u", "root", project.id("db"), "sh", "-c", "kill -9 "
                + project.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"));
        while (!project.logs("db").contains("all server processes terminated")) Thread.sleep(50);
        assertTrue(assertThrows(AssertionError.class, project::close).getMessage().contains("has crashed"));
        assertEquals("", left(project.name()));
    }

    private static String left(String name) throws IOException {
        var own = "label=com.docker.compose.project=" + name;
        return Docker.run("ps", "-aq", "--filter", own) + Docker.run("network", "ls", "-q", "--filter", own)
            + Docker.run("volume", "ls", "-q", "--filter", own)
                    + Docker.run("images", "-q", "--filter", "reference=" + name + "*");
    }

    @ParameterizedTest
    @EnumSource
    void a_path_can_have_only_one_compose(Docker.Compose compose) throws Exception {
        Docker.assume(compose);
        for (var asked : Docker.Compose.values()) {
            var command = String.join(" ", asked.command("version"));
            var shell = new ProcessBuilder("sh", "-c", command).redirectErrorStream(true);
            shell.environment().put("PATH", compose.onlyOn(folder));
            var process = shell.start();
            process.getInputStream().readAllBytes();
            assertEquals(asked == compose, process.waitFor() == 0, command);
        }
        assertThrows(IOException.class, () -> Docker.run("no-such-command"));
    }
}
