package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.parallel.ExecutionMode.CONCURRENT;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import support.ComposeProject;
import support.Docker;
import support.Snapshot;

/** The strategies park and drop, services that keep running, and what follows a reset. */
@Tag("docker") @Tag("exhaustive")
class ComposeStrategyTest {
    @TempDir Path temp;

    private static void backupsOf(ComposeProject project, int count) throws Exception {
        try (var files = Files.list(project.root().resolve("backups"))) {
            assertEquals(count, files.filter(file -> file.toString().endsWith(".zst")).count());
        }
    }

    /** A restored CHECK may differ in text from the original. */
    private static List<String> rows(ComposeProject project) throws Exception {
        return Snapshot.of(project.db()).stream().filter(line -> line.matches("(rows|sequence|index) .*")).toList();
    }

    @Test @Execution(CONCURRENT) void parked_tables_are_moved_back_and_dropped_ones_are_restored() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).start()) {
            var before = project.snapshot();
            var rows = rows(project);
            var ids = project.ids();

            project.tool("reset_migrations").run("--yes", "--no-superuser", "--strategy", "park").done();
            assertEquals("1", project.query("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^parked_'"));
            project.await("backend", container -> container.health().equals("healthy"));
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());

            project.tool("reset_migrations").run("--yes", "--no-superuser", "--strategy", "drop")
                    .ended(0, "backup_database restore");
            backupsOf(project, 1);
            assertEquals("0", project.query("SELECT count(*) FROM conversations_contact"));
            project.tool("reset_migrations").run("undo", "--yes").ended(4, "backup_database restore");
            Path file;
            try (var files = Files.list(project.root().resolve("backups"))) {
                file = files.filter(found -> found.toString().endsWith(".zst")).findFirst().orElseThrow();
            }
            // it ran with the new files, which do not fit the old database
            project.tool("backup_database").run("restore", file.toString(), "--yes")
                    .ended(3, "everything is done except", "started again, but backend");
            assertEquals(rows, rows(project));
            assertEquals(ids, project.ids());
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @Test @Execution(CONCURRENT) void a_superuser_is_created_in_the_container_without_a_terminal() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V1).start()) {
            project.tool("reset_migrations")
                    .run("--yes", "--superuser")
                    .ended(3, "DJANGO_SUPERUSER_",
                            "docker-compose run --rm --no-deps --workdir /app --entrypoint /usr/bin/python backend"
                                    + " manage.py createsuperuser");
            project.awaitSessions(); // the reset itself is done
            assertEquals("0", project.query("SELECT count(*) FROM auth_user"));

            var said = project.tool("reset_migrations").env("DJANGO_SUPERUSER_USERNAME", "anna")
                    .env("DJANGO_SUPERUSER_EMAIL", "anna@crm.example")
                .env("DJANGO_SUPERUSER_PASSWORD", "s3cret of hers").run("--yes", "--superuser").done();
            assertFalse(said.all().contains("s3cret"), said.all());
            assertEquals("anna|t", project.query("SELECT username, is_superuser FROM auth_user"));
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @Test @Execution(CONCURRENT) void services_that_keep_running_lose_their_sessions_only_with_terminate()
            throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).start()) {
            project.compose("stop", "-t", "0", "backend"); // its entrypoint migrates at any moment
            var before = project.snapshot();
            var worker = project.containers().get("worker");

            project.tool("reset_migrations").run("--yes", "--no-superuser", "--keep-services")
                    .ended(1, "in the way", "idle in transaction");
            assertEquals(before, project.snapshot());
            assertEquals(worker, project.containers().get("worker"));

            var said = project.tool("reset_migrations").run("--yes", "--no-superuser", "--keep-services", "--terminate")
                    .done();
            assertFalse(said.out().contains("stop worker"), said.out());
            // by the engine, not by the tool
            var after = project.await("worker", container -> container.restarts() > worker.restarts());
            assertEquals(worker.id(), after.id());
            project.awaitSessions();
            assertEquals("exited", project.containers().get("backend").state());

            project.tool("reset_migrations").run("undo", "--yes").ended(0, "stop worker"); // without --keep-services
            assertEquals(before, project.snapshot());
            assertEquals("exited", project.containers().get("backend").state());
        }
    }

    /** The model exists only beside the new files, so only the final check sees it. */
    @Test @Execution(CONCURRENT) void when_the_final_check_fails_everything_is_put_back_and_the_services_run()
            throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V1).start()) {
            var models = project.backend().resolve("flows/models.py");
            Files.writeString(models, Files.readString(models) + """


                import pathlib
                if not (pathlib.Path(__file__).parent / "migrations" / "0002_step_position.py").exists():
                    class Late(models.Model):
                        pass
                """);
            var before = project.snapshot();
            var ids = project.ids();
            var said = project.tool("reset_migrations").run("--yes", "--no-superuser").ended(1, "flows");
            assertTrue(said.out().contains("check: Django finds nothing"), said.all());
            assertEquals(before, project.snapshot());
            assertEquals(ids, project.ids());
            project.awaitSessions();
            assertEquals(List.of(), project.oneOffs());
            assertEquals("", project.query("SELECT datname FROM pg_database WHERE datname ~ '^crm_dev.'"));
        }
    }

    @Test @Execution(CONCURRENT) void a_server_whose_container_lacks_pg_dump_is_not_backed_up() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).startDatabase()) {
            var before = project.snapshot();
            Docker.run("exec", "-u", "root", project.id("db"), "rm", "/usr/bin/pg_dump",
                    "/usr/lib/postgresql/15/bin/pg_dump");
            project.tool("backup_database").run().ended(1, "has no pg_dump");
            project.tool("reset_migrations").run("--yes", "--no-superuser", "--backup").ended(1, "has no pg_dump");
            assertEquals(before, project.snapshot());
            project.tool("reset_migrations").run("--yes", "--no-superuser").done(); // it needs no pg_dump
        }
    }
}
