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

/** Who runs the tool, and whom the containers run as. */
@Tag("exhaustive")
class ComposeUsersTest {
    private static final int HE = 1234;
    private static final Path SOCKET = Path.of("/var/run/docker.sock");

    @TempDir Path temp;

    private static Tool his(ComposeProject project, String script) throws Exception {
        return project.toolAs(HE, (Integer) Files.getAttribute(SOCKET, "unix:gid"), script);
    }

    @ParameterizedTest @Execution(CONCURRENT) @EnumSource
    void who_is_not_root_resets_and_every_file_stays_his(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            his(project, "reset_migrations"); // skipped where we are not root
            project.start().ownedBy(HE);
            var before = project.snapshot();

            his(project, "reset_migrations").run("--yes", "--no-superuser").done();
            his(project, "backup_database").run().done();
            assertEquals(Set.of(HE), project.owners());

            his(project, "reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(Set.of(HE), project.owners());

            // root in his folder: what stays there is his all the same
            project.tool("reset_migrations").run("--yes", "--no-superuser").done();
            assertEquals(HE, Files.getAttribute(project.backend().resolve("flows/migrations/0001_initial.py"), "unix:uid"));
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
            assertEquals(HE, Files.getAttribute(project.backend().resolve("flows/migrations/0002_step_position.py"), "unix:uid"));

            Files.createFile(project.root().resolve("of root"));
            assertEquals(Set.of(HE, 0), project.owners()); // it can tell
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
    void who_may_not_use_the_engine_is_told_so(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(temp, compose)) {
            for (var script : new String[] {"reset_migrations", "backup_database"})
                project.toolAs(HE, null, script).run().ended(1, "no permission to talk to docker", "usermod -aG docker");
        }
    }
}
