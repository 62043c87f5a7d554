import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import support.ComposeProject;
import support.Docker;
import support.Tool;

/** The whole way on a real engine: services that run, crash in a loop and hold sessions. */
class ComposeResetTest {
    private static final Docker.Compose V2 = Docker.Compose.V2;

    @TempDir Path temp;

    private static Tool.Output done(Tool.Output said) {
        assertEquals(0, said.code(), said.all());
        return said;
    }

    private static Tool.Output ended(int code, Tool.Output said, String... words) {
        assertEquals(code, said.code(), said.all());
        for (var word : words) assertTrue(said.all().contains(word), word + "\n" + said.all());
        return said;
    }

    private static Tool.Output reset(ComposeProject project, String... more) throws Exception {
        var args = new java.util.ArrayList<>(List.of("--yes", "--no-superuser"));
        args.addAll(List.of(more));
        return project.tool("reset_migrations").run(args.toArray(String[]::new));
    }

    /** Containers by service, without what changes by itself. */
    private static Map<String, String> ids(ComposeProject project) throws Exception {
        var ids = new TreeMap<String, String>();
        project.containers().forEach((service, container) -> ids.put(service, container.id()));
        return ids;
    }

    /** In its container PostgreSQL is process 1: a stray child of ours that was killed would count as a crash of the server's own. */
    private static void nothingLeft(ComposeProject project) throws Exception {
        assertEquals(List.of(), project.oneOffs());
        assertFalse(project.logs("db").contains("terminating any other active server processes"), () -> logs(project));
    }

    private static String logs(ComposeProject project) {
        try {
            return project.logs("db");
        } catch (java.io.IOException e) {
            return e.toString();
        }
    }

    @ParameterizedTest @EnumSource
    void a_crash_looping_backend_is_reset_and_runs_and_undo_brings_all_back(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            if (compose == V2) project.published();
            project.start().awaitCrashLoop();
            var before = project.snapshot();
            var ids = ids(project);

            var dry = done(project.tool("reset_migrations").run("--dry-run"));
            assertTrue(dry.out().contains(compose == V2 ? "published port 127.0.0.1" : "a tunnel into its container"), dry.out());
            assertTrue(dry.out().contains("stop backend, worker"), dry.out());
            assertFalse(dry.out().contains("in the way"), dry.out()); // those of services leave with them
            assertEquals(before, project.snapshot());
            assertEquals(ids, ids(project));

            var done = done(reset(project));
            assertTrue(done.out().contains("started again: backend, worker"), done.all());
            assertNotEquals(before, project.snapshot());
            assertEquals(ids, ids(project));
            project.await("backend", container -> container.health().equals("healthy"));
            project.awaitSessions();
            assertEquals("0001_initial", project.query("SELECT string_agg(name, ',') FROM django_migrations WHERE app = 'flows'").strip());

            done(project.tool("reset_migrations").run("status"));
            done(project.tool("reset_migrations").run("undo", "--yes"));
            assertEquals(before, project.snapshot());
            assertEquals(ids, ids(project));
            project.await("worker", container -> container.state().equals("running"));
            nothingLeft(project);
        }
    }

    /** What was not up is as it was afterwards, and the next reset finds it again. */
    @Test void a_database_that_is_stopped_is_started_and_left_as_it_was() throws Exception {
        try (var project = ComposeProject.in(temp, V2).startDatabase()) {
            project.compose("stop");
            done(reset(project));
            assertEquals("exited", project.containers().get("db").state());
            done(project.tool("backup_database").run());
            done(project.tool("backup_database").run("verify"));
            assertEquals("exited", project.containers().get("db").state());

            project.compose("rm", "-f", "db");
            done(project.tool("reset_migrations").run("undo", "--yes"));
            assertFalse(project.containers().containsKey("db"));
            project.compose("up", "-d", "db");
            project.await("db", container -> container.health().equals("healthy"));
            assertEquals("300", project.query("SELECT count(*) FROM conversations_contact").strip());
            nothingLeft(project);
        }
    }

    @Test void code_in_the_image_is_compared_and_services_with_the_old_one_stay_stopped() throws Exception {
        try (var project = ComposeProject.in(temp, V2).baked().start()) {
            var before = project.snapshot();
            var models = project.backend().resolve("flows/models.py");
            var text = Files.readString(models);
            Files.writeString(models, text + "\n# newer than the image\n");
            ended(4, reset(project), "flows/models.py", "docker compose build backend");
            Files.writeString(models, text);
            assertEquals(before, project.snapshot());

            ended(3, reset(project), "left stopped", "--build backend worker");
            assertEquals("exited", project.containers().get("backend").state());
            assertEquals("exited", project.containers().get("worker").state());

            project.compose("up", "-d", "--build");
            project.await("backend", container -> container.health().equals("healthy"));
            nothingLeft(project);
        }
    }

    @Test void a_step_that_fails_puts_all_back_and_the_services_run_again() throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            for (var point : List.of("after: stop .*", "after: replace .*", "after: rename .*")) {
                var said = project.tool("support.SignalAt").run("TERM", "self", point, "reset_migrations", "--yes", "--no-superuser");
                ended(130, said, "SignalAt: after");
                assertEquals(before, project.snapshot(), point);
                project.awaitSessions();
            }
            nothingLeft(project);
        }
    }

    @ParameterizedTest @ValueSource(strings = {"after: stop .*", "replaced .*0001_initial.py", "after: rename .*"})
    void killed_in_the_middle_undo_brings_all_back_and_starts_the_services(String point) throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            ended(137, project.tool("support.SignalAt").run("KILL", "self", point, "reset_migrations", "--yes", "--no-superuser"), "SignalAt: ");
            assertEquals("exited", project.containers().get("worker").state());
            ended(4, reset(project), "undo");
            done(project.tool("reset_migrations").run("undo", "--yes"));
            assertEquals(before, project.snapshot());
            project.awaitSessions();
            nothingLeft(project);
        }
    }

    @Test void killed_after_the_swap_finish_keeps_the_new_state_and_starts_the_services() throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            ended(137, project.tool("support.SignalAt").run("KILL", "self", "after: rename .*", "reset_migrations", "--yes", "--no-superuser"), "SignalAt: ");
            done(project.tool("reset_migrations").run("finish"));
            var aside = "SELECT count(*) FROM pg_database WHERE datname ~ '^crm_dev.'";
            assertEquals("1", project.query(aside).strip());
            done(project.tool("reset_migrations").run("purge", "--yes"));
            assertEquals("0", project.query(aside).strip());
            project.await("backend", container -> container.health().equals("healthy"));
            project.awaitSessions();
            nothingLeft(project);
        }
    }

    @Test void a_backup_is_made_verified_and_restored_in_place() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V1).start()) {
            done(project.tool("backup_database").run());
            done(project.tool("backup_database").run("verify"));
            done(project.tool("backup_database").run("status", "--max-age", "1h"));
            Path file;
            try (var files = Files.list(project.root().resolve("backups"))) {
                file = files.filter(f -> f.toString().endsWith(".zst")).findFirst().orElseThrow();
            }
            done(project.tool("backup_database").run("restore", file.toString(), "--into", "beside"));
            assertEquals("300", project.query("beside", "SELECT count(*) FROM conversations_contact").strip());
            project.query("DELETE FROM conversations_contact_tags");
            done(project.tool("backup_database").run("restore", file.toString(), "--yes"));
            assertEquals("500", project.query("SELECT count(*) FROM conversations_contact_tags").strip());
            project.awaitSessions();
            done(project.tool("reset_migrations").run("undo", "--yes"));
            assertEquals("0", project.query("SELECT count(*) FROM conversations_contact_tags").strip());
            nothingLeft(project);
        }
    }

    @Test void what_is_wrong_is_said_and_nothing_is_touched() throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            ended(2, project.tool("reset_migrations").run("--dry-run", "--app-service", "web"), "Compose has no service web", "backend");
            ended(2, project.tool("reset_migrations").run("--dry-run", "--db-service", "postgres"), "Compose has no service postgres");
            ended(1, project.tool("reset_migrations").env("DOCKER_HOST", "unix:///nowhere").run("--dry-run"), "engine does not run");
            ended(1, project.tool("backup_database").env("DOCKER_HOST", "unix:///nowhere").run(), "engine does not run");
            ended(2, project.tool("reset_migrations").run("--docker", "--local"), "exclude each other");
            ended(2, project.tool("reset_migrations").run("--local", "--dry-run"), "no host called db");
            ended(2, project.tool("reset_migrations").run("--dry-run", "--app-service", "db"), "no Python");

            ended(1, reset(project, "--keep-services"), "idle in transaction", "in the way");
            assertEquals(before, project.snapshot());
            project.editEnv(text -> text.replace("pa55 word#1", "another pa55"));
            ended(2, project.tool("reset_migrations").run("--dry-run"), "the volume keeps the password");
            ended(2, project.tool("backup_database").run(), "the volume keeps the password");
            nothingLeft(project);
        }
    }

    /** As the entrypoint of the project this was made for does: a list of names that it takes for stale. */
    @Test void an_entrypoint_that_deletes_a_new_migration_is_told() throws Exception {
        try (var project = ComposeProject.in(temp, V2)) {
            var entrypoint = project.backend().resolve("entrypoint.sh");
            Files.writeString(entrypoint, Files.readString(entrypoint).replaceFirst("\n", "\nrm -f /app/customer_data/migrations/0002_initial.py\n"));
            project.start();
            ended(3, reset(project), "customer_data/migrations/0002_initial.py", "an entrypoint may delete", "reset_migrations undo");
            done(project.tool("reset_migrations").run("undo", "--yes"));
        }
    }
}
