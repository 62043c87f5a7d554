package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.parallel.ExecutionMode.CONCURRENT;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import support.ComposeProject;
import support.Docker;
import support.Tool;

/** Whole commands on a real engine, with services that run, crash in a loop and hold sessions. */
@Tag("docker") @Tag("exhaustive")
class ComposeResetTest {
    private static final Docker.Compose V2 = Docker.Compose.V2;

    @TempDir Path temp;

    private static Tool.Output reset(ComposeProject project, String... more) throws Exception {
        var args = new java.util.ArrayList<>(List.of("--yes", "--no-superuser"));
        args.addAll(List.of(more));
        return project.tool("reset_migrations").run(args.toArray(String[]::new));
    }

    @ParameterizedTest @Execution(CONCURRENT) @EnumSource
    void a_backend_in_a_crash_loop_runs_after_the_reset_and_undo_restores_everything(Docker.Compose compose)
            throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            if (compose == V2) project.published();
            project.start().awaitCrashLoop();
            project.query("CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'");
            project.query("CREATE TRIGGER planted BEFORE INSERT ON conversations_contact FOR EACH ROW "
                    + "EXECUTE FUNCTION planted()");
            var before = project.snapshot();
            var ids = project.ids();
            var images = Docker.run("images", "-q", "--no-trunc", project.name() + "*");

            var dry = project.tool("reset_migrations").run("--dry-run").done();
            assertTrue(dry.says(compose == V2 ? "published port 127.0.0.1" : "a tunnel into its container"),
                    dry.out());
            assertTrue(dry.out().contains("stop backend, worker"), dry.out());
            assertFalse(dry.out().contains("in the way"), dry.out()); // sessions of services end with the services
            assertEquals(before, project.snapshot());
            assertEquals(ids, project.ids());
            assertEquals(List.of(), project.oneOffs());
            assertEquals(images, Docker.run("images", "-q", "--no-trunc", project.name() + "*"));

            var done = reset(project).done();
            assertTrue(done.out().contains("started again: backend, worker"), done.all());
            assertTrue(done.out().contains("\n    trigger planted: CREATE TRIGGER planted"), done.all());
            assertNotEquals(before, project.snapshot());
            assertEquals(ids, project.ids());
            project.await("backend", container -> container.health().equals("healthy"));
            project.awaitSessions();
            assertEquals("0001_initial",
                    project.query("SELECT string_agg(name, ',') FROM django_migrations WHERE app = 'flows'").strip());

            project.tool("reset_migrations").run("status").done();
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(ids, project.ids());
            project.await("worker", container -> container.state().equals("running"));

            reset(project).done();
            assertNotEquals("", aside(project));
            project.tool("reset_migrations").run("purge", "--all", "--yes").done();
            assertEquals("", aside(project));
            assertEquals(ids, project.ids());
            project.await("backend", container -> container.health().equals("healthy"));
            project.awaitSessions();
            assertEquals(List.of(), project.oneOffs());
        }
    }

    /** The databases that runs have set aside. */
    private static String aside(ComposeProject project) throws Exception {
        return project.query("SELECT datname FROM pg_database WHERE datname ~ '^crm_dev.'");
    }

    /** What did not run before does not run afterwards, and the next reset finds it again. */
    @ParameterizedTest @Execution(CONCURRENT) @EnumSource
    void a_stopped_or_missing_database_is_started_and_put_back(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose).startDatabase()) {
            var before = project.snapshot();
            project.compose("stop");
            reset(project).done();
            assertEquals("exited", project.containers().get("db").state());
            project.tool("backup_database").run().done();
            project.tool("backup_database").run("verify").done();
            assertEquals("exited", project.containers().get("db").state());

            project.compose("down");
            assertEquals("", networks(project));
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(List.of(), List.copyOf(project.containers().keySet()));
            assertEquals("", networks(project));

            project.compose("up", "-d", "db");
            assertNotEquals("", networks(project)); // control: there can be one
            project.await("db", container -> container.health().equals("healthy"));
            assertEquals(before, project.snapshot());
            assertEquals(List.of(), project.oneOffs());
        }
    }

    private static String networks(ComposeProject project) throws Exception {
        return Docker.run("network", "ls", "-q", "--filter", "label=com.docker.compose.project=" + project.name());
    }

    /** Then no service has to stay stopped, but the images have to be built again. */
    @Test @Execution(CONCURRENT) void code_in_the_image_of_stopped_services_is_reported() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V1).baked().startDatabase()) {
            reset(project)
                    .ended(0,
                    "after the reset, build it again before anything starts from it: docker-compose up -d --build");
            assertEquals(List.of(), project.oneOffs());
            project.compose("up", "-d", "--build");
            project.await("backend", container -> container.health().equals("healthy"));
        }
    }

    @Test @Execution(CONCURRENT) void code_in_the_image_is_compared_and_services_with_the_old_code_stay_stopped()
            throws Exception {
        try (var project = ComposeProject.in(temp, V2).baked().start()) {
            var before = project.snapshot();
            var models = project.backend().resolve("flows/models.py");
            var text = Files.readString(models);
            Files.writeString(models, text + "\n# newer than the image\n");
            reset(project).ended(4, "flows/models.py", "docker compose build backend", "--trust-image");
            reset(project, "--dry-run", "--trust-image").done();
            Files.writeString(models, text);
            assertEquals(before, project.snapshot());

            var said = project.tool("reset_migrations").env("DJANGO_SUPERUSER_USERNAME", "anna")
                    .env("DJANGO_SUPERUSER_EMAIL", "anna@crm.example")
                .env("DJANGO_SUPERUSER_PASSWORD", "s3cret of hers").run("--yes", "--superuser", "--purge");
            // nothing was dropped
            said.ended(3, "left stopped", "docker compose up -d --build backend worker", "no superuser was created",
                    "when everything works: reset_migrations purge");
            assertEquals("0", project.query("SELECT count(*) FROM auth_user"));
            assertNotEquals("", aside(project));
            assertFalse(said.all().contains("s3cret"), said.all());
            assertEquals("exited", project.containers().get("backend").state());
            assertEquals("exited", project.containers().get("worker").state());

            project.compose("up", "-d", "--build");
            project.await("backend", container -> container.health().equals("healthy"));
            assertEquals(List.of(), project.oneOffs());
        }
    }

    /** A new volume starts as a copy of the image's files, not as the project's files. */
    @Test @Execution(CONCURRENT) void a_volume_over_the_migrations_is_refused() throws Exception {
        try (var project = ComposeProject.in(temp, V2).startDatabase()) {
            project.edit(yaml -> yaml.replaceFirst("      - ./crm_backend:/app\n",
                    "$0      - flows:/app/flows/migrations\n") + "  flows:\n");
            var before = project.snapshot();
            reset(project).ended(4, "its files there differ from those here", "/app/flows/migrations");
            assertEquals(before, project.snapshot());
        }
    }

    @Test @Execution(CONCURRENT) void a_signal_during_a_dry_run_stops_the_database_that_was_started_for_it()
            throws Exception {
        try (var project = ComposeProject.in(temp, V2).startDatabase()) {
            project.compose("stop");
            var looking = project.tool("reset_migrations").start("--dry-run");
            project.await("db", container -> container.state().equals("running"));
            new ProcessBuilder("kill", "-INT", "" + looking.pid()).start().waitFor();
            project.tool("reset_migrations").end(looking).ended(130);
            assertEquals("exited", project.containers().get("db").state());
        }
    }

    @Test @Execution(CONCURRENT) void after_a_sigterm_everything_is_put_back_and_the_services_run() throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            for (var point : List.of("after: stop .*", "after: replace .*", "after: rename .*")) {
                var said = project.tool("support.SignalAt")
                        .run("TERM", "self", point, "reset_migrations", "--yes", "--no-superuser");
                said.ended(130, "SignalAt: after");
                assertEquals(before, project.snapshot(), point);
                project.awaitSessions();
            }
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @ParameterizedTest @Execution(CONCURRENT) @ValueSource(strings = {"after: stop .*", "replaced .*0001_initial.py",
            "before: check: .*"})
    void after_a_kill_undo_restores_everything_and_starts_the_services(String point) throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            project.tool("support.SignalAt").run("KILL", "self", point, "reset_migrations", "--yes", "--no-superuser")
                    .ended(137, "SignalAt: ");
            assertEquals("exited", project.containers().get("worker").state());
            reset(project).ended(4, "undo");
            project.tool("reset_migrations").run("status").ended(0, "services   backend, worker");
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            project.awaitSessions();
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @Test @Execution(CONCURRENT) void after_a_kill_behind_the_swap_finish_keeps_the_new_state_and_starts_the_services()
            throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            project.tool("support.SignalAt")
                    .run("KILL", "self", "after: rename .*", "reset_migrations", "--yes", "--no-superuser")
                    .ended(137, "SignalAt: ");
            // does not count for what the run itself has stopped
            project.tool("reset_migrations").run("finish", "--keep-services").done();
            project.await("backend", container -> container.health().equals("healthy"));
            project.awaitSessions();
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @Test @Execution(CONCURRENT) void a_backup_is_made_verified_and_restored_in_place() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V1).start()) {
            project.tool("backup_database").run().done();
            project.tool("backup_database").run("verify").done();
            project.tool("backup_database").run("status", "--max-age", "1h").done();
            project.tool("backup_database").run("list").ended(0, "crm_dev");
            Path file;
            try (var files = Files.list(project.root().resolve("backups"))) {
                file = files.filter(f -> f.toString().endsWith(".zst")).findFirst().orElseThrow();
            }
            project.tool("backup_database").run("restore", file.toString(), "--into", "beside").done();
            assertEquals("300", project.query("beside", "SELECT count(*) FROM conversations_contact").strip());
            project.query("DELETE FROM conversations_contact_tags");
            project.tool("backup_database").run("restore", file.toString(), "--yes").done();
            assertEquals("500", project.query("SELECT count(*) FROM conversations_contact_tags").strip());
            project.awaitSessions();
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals("0", project.query("SELECT count(*) FROM conversations_contact_tags").strip());

            project.tool("backup_database").run().done();
            project.tool("backup_database").run("verify").done();
            project.tool("backup_database").run("prune", "--keep-last", "1").ended(0, "removed 1 of 2");
            assertFalse(Files.exists(file));
            assertEquals(List.of(), project.oneOffs());
        }
    }

    @Test @Execution(CONCURRENT) void wrong_settings_are_reported_and_nothing_is_touched() throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            project.tool("reset_migrations").run("--dry-run", "--app-service", "web")
                    .ended(2, "Compose has no service web", "backend");
            project.tool("reset_migrations").run("--dry-run", "--db-service", "postgres")
                    .ended(2, "Compose has no service postgres");
            project.tool("reset_migrations").env("DOCKER_HOST", "unix:///nowhere").run("--dry-run")
                    .ended(1, "engine does not run");
            project.tool("backup_database").env("DOCKER_HOST", "unix:///nowhere").run().ended(1, "engine does not run");
            project.tool("reset_migrations").run("--docker", "--local").ended(2, "exclude each other");
            project.tool("reset_migrations").run("--local", "--dry-run").ended(2, "unknown host db");
            project.tool("reset_migrations").run("--dry-run", "--app-service", "db").ended(2, "no Python");

            assertEquals(before, project.snapshot());
            project.editEnv(text -> text.replace("pa55 word#1", "another pa55"));
            project.tool("reset_migrations").run("--dry-run")
                    .ended(2, "the volume keeps the password that it was created with");
            project.tool("backup_database").run()
                    .ended(2, "the password in .env", "the volume keeps the password that it was created with");
            project.edit(yaml -> yaml.replace("- DB_HOST=db", "- DB_HOST=db\n      - DB_PASSWORD=a third pa55"));
            project.tool("backup_database").run().ended(2, "the password in the environment of service backend");
            assertEquals(List.of(), project.oneOffs());
        }
    }

    /** As the entrypoint of the project that the tool was first made for: it deletes a list of names. */
    @Test @Execution(CONCURRENT) void an_entrypoint_that_deletes_a_new_migration_is_reported() throws Exception {
        try (var project = ComposeProject.in(temp, V2)) {
            var entrypoint = project.backend().resolve("entrypoint.sh");
            Files.writeString(entrypoint, Files.readString(entrypoint)
                    .replaceFirst("\n", "\nrm -f /app/customer_data/migrations/0002_initial.py\n"));
            project.start();
            reset(project)
                    .ended(3, "customer_data/migrations/0002_initial.py", "an entrypoint may do that",
                    "reset_migrations undo");
            project.tool("reset_migrations").run("undo", "--yes").done();
        }
    }
}
