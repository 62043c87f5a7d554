package lib.docker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import lib.error.ExitCode;
import lib.error.Failure;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Small scripts stand in for docker where the choice between programs is tested. */
class DockerComposeTest {
    @TempDir Path folder;

    @Test
    void the_plugin_comes_before_docker_compose_with_a_dash() throws IOException {
        program("docker", "echo 'time=x level=warning msg=\"version is obsolete\"' >&2; echo v2.26.1");
        program("docker-compose", "echo 1.29.2");
        var found = find();
        assertEquals(List.of(file("docker"), "compose"), found.compose());
        assertEquals(List.of(file("docker")), found.engine());
        assertEquals("2.26.1", found.version());
        assertFalse(found.v1());
        assertEquals("docker compose 2.26.1", found.describe());
    }

    @Test
    void without_the_plugin_docker_compose_with_a_dash_is_used() throws IOException {
        program("docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1");
        program("docker-compose", "echo 1.29.2");
        var found = find();
        assertEquals(List.of(file("docker-compose")), found.compose());
        assertEquals(List.of(file("docker")), found.engine());
        assertTrue(found.v1());
    }

    @Test
    void a_v2_named_docker_compose_is_not_v1() throws IOException {
        program("docker", "exit 125");
        program("docker-compose", "echo 2.40.3");
        assertFalse(find().v1());
    }

    @Test
    void without_compose_it_is_a_configuration_error() throws IOException {
        program("docker", "echo 'unknown shorthand flag' >&2; exit 125");
        program("docker-compose", "exit 127");
        assertTrue(DockerCompose.search(folder, path()).isEmpty());
        var problem = assertThrows(Failure.class, this::find).problem();
        assertEquals(ExitCode.USAGE, problem.exit());
        assertEquals("docker is installed, but neither docker compose nor docker-compose works", problem.what());
    }

    @Test
    void docker_is_found_with_the_short_path_of_cron() {
        var docker = docker();
        assertTrue(Path.of(docker.compose().getFirst()).isAbsolute());
        assertEquals(0, docker.compose("version").run().code());
    }

    @Test
    void the_engines_errors_are_distinguished() throws IOException {
        assertProblem("the docker engine does not run",
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?");
        assertProblem("the docker engine does not run",
                "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct");
        assertProblem(
                "the docker engine does not run",
                "WARNING: Error loading config file: open /root/.docker/config.json: permission denied\n"
                        + "Cannot connect to the Docker daemon");
        assertProblem("no permission to talk to docker",
                "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock");
        assertProblem("docker does not work", "client version 1.50 is too new. Maximum supported API version is 1.41");
        program("docker", "echo 20.10.24");
        assertTrue(with(file("docker")).engineFailure().isEmpty());
    }

    private void assertProblem(String beginning, String said) throws IOException {
        Files.writeString(folder.resolve("said"), said);
        program("docker", "cat '" + folder + "/said' >&2; exit 1");
        var problem = with(file("docker")).engineFailure().orElseThrow().problem();
        assertEquals(ExitCode.FAILED, problem.exit());
        assertTrue(problem.what().startsWith(beginning), problem.what());
        assertTrue(problem.what().contains(said.lines().toList().getLast()), problem.what());
        assertFalse(problem.next().isEmpty());
    }

    @Test
    void the_real_docker_reports_that_no_engine_runs() {
        var docker = docker().engine().getFirst();
        var problem = with(docker, "-H", "unix://" + folder + "/none.sock").engineFailure().orElseThrow().problem();
        assertTrue(problem.what().startsWith("the docker engine does not run"), problem.what());
    }

    @Test
    void the_real_docker_reports_that_there_is_no_permission() {
        var docker = docker().engine().getFirst();
        assumeTrue(with(docker).engineFailure().isEmpty(), "no engine runs");
        assumeTrue("root".equals(System.getProperty("user.name"))
                && Files.isExecutable(Path.of("/usr/bin/setpriv")), "only root can become nobody");
        var problem = with("/usr/bin/setpriv", "--reuid=65534", "--clear-groups", docker).engineFailure().orElseThrow()
                .problem();
        assertTrue(problem.what().startsWith("no permission to talk to"), problem.what());
    }

    @Test
    void an_engine_on_another_machine_is_not_local() {
        var docker = docker().engine().getFirst();
        assertTrue(with(docker, "-H", "unix:///var/run/docker.sock").engineIsLocal());
        for (var there : List.of("tcp://192.0.2.1:2375", "ssh://crm@example.org"))
            assertFalse(with(docker, "-H", there).engineIsLocal(), there);
    }

    /** {@code ssh -L} makes a remote engine look like one on loopback. */
    @Test
    void an_engine_on_loopback_is_local_only_with_this_machines_name() throws Exception {
        var engine = folder.resolve("docker");
        for (var host : List.of("tcp://127.0.0.1:2375", "tcp://localhost:2375")) {
            for (var name : List.of("docker-desktop", Files.readString(Path.of("/proc/sys/kernel/hostname"))
                    .strip(), "build7.example", "")) {
                Files.writeString(engine, "#!/bin/sh\n[ $1 = context ] && echo '%s' || echo '%s'\n"
                        .formatted(host, name));
                assertTrue(engine.toFile().setExecutable(true));
                assertEquals(!name.isEmpty() && !name.equals("build7.example"), with(engine.toString())
                        .engineIsLocal(), name);
            }
        }
    }

    @Test
    void a_command_for_people_enters_the_project_only_from_outside() {
        var here = Path.of("").toAbsolutePath();
        assertEquals("docker compose logs db",
                new DockerCompose(List.of("/usr/bin/docker", "compose"), List.of("docker"), "2.26.1", here)
                .commandLine("logs", "db"));
        var elsewhere = new DockerCompose(List.of("/usr/bin/docker-compose"), List.of("docker"), "1.29.2",
                Path.of("/srv/my shop"));
        assertEquals("(cd '/srv/my shop' && docker-compose exec db psql -c '\\password')",
                elsewhere.commandLine("exec", "db", "psql", "-c", "\\password"));
    }

    /** Without any PATH. */
    private DockerCompose docker() {
        var found = DockerCompose.search(folder, Map.of());
        assumeTrue(found.isPresent(), "no Compose in the usual places: not tested with a real one");
        return found.get();
    }

    private DockerCompose with(String... engine) {
        return new DockerCompose(List.of("docker-compose"), List.of(engine), "1.29.2", folder);
    }

    private DockerCompose find() {
        return DockerCompose.find(folder, path());
    }

    private Map<String, String> path() {
        return Map.of("PATH", folder.toString());
    }

    private String file(String name) {
        return folder.resolve(name).toString();
    }

    private void program(String name, String body) throws IOException {
        Files.writeString(folder.resolve(name), "#!/bin/sh\n" + body + "\n");
        folder.resolve(name).toFile().setExecutable(true);
    }
}
