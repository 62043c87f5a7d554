package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.parallel.ExecutionMode.CONCURRENT;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.ComposeProject;
import support.Docker;
import support.Tool;

/** Which user runs the tool, and which user the containers run as. */
@Tag("docker") @Tag("exhaustive")
class ComposeUsersTest {
    private static final int USER = 1234;
    private static final Path SOCKET = Path.of("/var/run/docker.sock");

    @TempDir Path temp;

    private static Tool as(ComposeProject project, String script) throws Exception {
        return project.toolAs(USER, (Integer) Files.getAttribute(SOCKET, "unix:gid"), script);
    }

    @ParameterizedTest @Execution(CONCURRENT) @EnumSource
    void a_user_other_than_root_resets_and_keeps_every_file(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            as(project, "reset_migrations"); // skipped unless this is root
            project.start().ownedBy(USER);
            var before = project.snapshot();

            as(project, "reset_migrations").run("--yes", "--no-superuser").done();
            as(project, "backup_database").run().done();
            assertEquals(Set.of(USER), project.owners());

            as(project, "reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(Set.of(USER), project.owners());

            // root in that user's folder: new files belong to the user too
            project.tool("reset_migrations").run("--yes", "--no-superuser").done();
            assertEquals(USER,
                    Files.getAttribute(project.backend().resolve("flows/migrations/0001_initial.py"), "unix:uid"));
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(USER, Files.getAttribute(project.backend()
                    .resolve("flows/migrations/0002_step_position.py"), "unix:uid"));

            Files.createFile(project.root().resolve("of root"));
            assertEquals(Set.of(USER, 0), project.owners()); // control: another owner is noticed
        }
    }

    @Test @Execution(CONCURRENT) void containers_that_run_as_another_user_need_not_write_the_code() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2)) {
            project.edit(yaml -> yaml.replace("    env_file:", "    user: \"1000:1000\"\n    env_file:")).start();
            assertEquals("1000", Docker.run("exec", project.id("worker"), "id", "-u"));
            var before = project.snapshot();
            var owners = project.owners();

            project.tool("reset_migrations").run("--yes", "--no-superuser").done();
            project.await("backend", container -> container.health().equals("healthy"));
            assertEquals(owners, project.owners());
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(java.util.List.of(), project.oneOffs());
        }
    }

    @ParameterizedTest @Execution(CONCURRENT) @EnumSource
    void a_user_without_permission_for_the_engine_is_told_so(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            for (var script : new String[] {"reset_migrations", "backup_database"})
                project.toolAs(USER, null, script).run()
                        .ended(1, "no permission to talk to docker", "usermod -aG docker");
        }
    }
}
