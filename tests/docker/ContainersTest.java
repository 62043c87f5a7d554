package lib.docker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import lib.docker.ComposeConfig.Mount;
import lib.docker.Containers.Container;
import lib.docker.Containers.Health;
import lib.docker.Containers.HostPort;
import lib.docker.Containers.Status;
import lib.error.Failure;
import lib.project.EnvFile;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import support.Docker;
import support.Docker.Compose;

/** Small containers of busybox, with each installed Compose. */
@Tag("docker") @Tag("exhaustive")
class ContainersTest {
    @TempDir Path temp;
    private Path root;
    private DockerCompose docker;

    @BeforeEach
    void project() throws IOException {
        root = Files.createDirectory(temp.toRealPath()
                .resolve("rmtest" + Long.toHexString(ThreadLocalRandom.current().nextLong() >>> 16)));
    }

    @AfterEach
    void remove() throws IOException {
        var label = "label=com.docker.compose.project=" + root.getFileName();
        for (var kind : List.of("container", "network", "volume")) {
            var all = kind.equals("container") ? new String[] {"container", "ls", "-a", "-q", "--filter", label}
                    : new String[] {kind, "ls", "-q", "--filter", label};
            for (var id : Docker.run(all).lines().toList())
                Docker.run(kind.equals("container") ? new String[] {kind, "rm", "-f", "-v", id}
                        : new String[] {kind, "rm", id});
        }
    }

    @ParameterizedTest
    @EnumSource(Compose.class)
    void containers_are_read_as_they_are(Compose compose) throws IOException {
        begin(compose, """
            version: "3.8"
            services:
              main:
                image: %s
                command: [sleep, "1000"]
                working_dir: /srv
                user: "12:34"
                environment: {DB_PASSWORD: s3cr3t}
                ports: ["5432", "127.0.0.1::5433", "6000/udp"]
                expose: ["7000"]
                volumes: ["./:/app:ro", "kept:/v"]
                healthcheck: {test: ["CMD", "true"], interval: 1s}
              loop: {image: %1$s, command: [sh, -c, "exit 3"], restart: unless-stopped}
              done: {image: %1$s, command: [sh, -c, "exit 4"]}
              ill: {image: %1$s, command: [sleep, "1000"], healthcheck: {test: ["CMD", "false"], interval: 1s, \
            retries: 1}}
              idle: {image: %1$s, command: [sleep, "1000"], profiles: [dev]}
            volumes: {kept: }
            """.formatted(Docker.BARE));
        compose("up", "-d");
        compose("run", "-d", "-T", "main", "sleep", "1000");
        var all = await(services -> services.get("main").state().health() == Health.HEALTHY
                && services.get("ill").state().health() == Health.UNHEALTHY && services.get("loop").state()
                        .status() == Status.RESTARTING
                && services.get("done").state().status() == Status.EXITED);
        assertEquals(Set.of("main", "loop", "done", "ill"), all.keySet());
        var main = all.get("main");
        assertTrue(main.isRunning() && main.isStarted() && main.state().isWell());
        assertEquals("running", main.state().describe());
        assertFalse(all.get("loop").isRunning());
        assertTrue(all.get("loop").isStarted());
        assertFalse(all.get("done").isStarted());
        assertEquals("exited (exit code 4)", all.get("done").state().describe());
        assertEquals("restarting (exit code 3)", all.get("loop").state().describe());
        assertTrue(all.get("loop").state().crashLoop());
        assertEquals("unhealthy", all.get("ill").state().describe());
        assertEquals(Health.NO_CHECK, all.get("loop").state().health());
        assertEquals(Set.of(new Mount("bind", root.toString(), "/app", true),
                new Mount("volume", root.getFileName() + "_kept", "/v", false)), Set.copyOf(main.mounts()));
        assertEquals(Set.of(root.getFileName() + "_default"), main.network().addresses().keySet());
        assertEquals(1, main.addresses().size());
        assertEquals("127.0.0.1", main.published(5432).orElseThrow().host());
        assertEquals("127.0.0.1", main.published(5433).orElseThrow().host());
        for (var port : List.of(5432, 5433))
            assertEquals(published(main.id(), port), main.published(port).map(HostPort::port).orElseThrow());
        for (var port : List.of(6000, 7000)) assertTrue(main.published(port).isEmpty(), "port " + port);
        assertFalse(all.toString().contains("s3cr3t"), "shows the environment");
        var oneOff = Containers.of(docker).stream().filter(Container::oneOff).toList();
        assertEquals(List.of("main"), oneOff.stream().map(Container::service).toList());
        assertFalse(main.oneOff());

        Docker.run("pause", main.id());
        assertEquals("paused", containers().get("main").state().describe());
        assertTrue(containers().get("main").isStarted());
        Docker.run("unpause", main.id());
        Docker.run("stop", "-t", "0", main.id());
        var stopped = containers().get("main");
        assertFalse(stopped.isStarted());
        assertTrue(stopped.published(5432).isEmpty());
    }

    @ParameterizedTest
    @EnumSource(Compose.class)
    void a_container_that_is_gone_is_left_out(Compose compose) throws IOException {
        begin(compose, "version: '3.8'\nservices: {a: {image: %s, command: [sleep, '1000']}}".formatted(Docker.BARE));
        assertEquals(List.of(), Containers.of(docker));
        compose("up", "-d");
        var ids = new ArrayList<>(Containers.of(docker).stream().map(Container::id).toList());
        ids.add("0123456789ab".repeat(5) + "0123");
        assertEquals(List.of("a"), Containers.of(docker, ids).stream().map(Container::service).toList());
        assertEquals(List.of(), Containers.of(docker, List.of("0123456789ab")));
        var deaf = new DockerCompose(docker.compose(),
                List.of(docker.engine().getFirst(), "-H", "unix://" + root + "/none.sock"), docker.version(), root);
        assertThrows(Failure.class, () -> Containers.of(deaf, ids),
                "an engine that does not reply is not an empty project");
    }

    /** Including dollars and quotes, with each Compose. */
    @ParameterizedTest
    @EnumSource(Compose.class)
    void the_environment_of_the_configuration_is_the_containers_environment(Compose compose) throws IOException {
        Files.writeString(root.resolve(".env"), """
            DB_A=1$$2
            DB_B='p$a$$b\\n'
            DB_C=p${DB_A}x
            DB_D="a\\"b\\\\c$$d"
            DB_E='it\\'s'
            DB_F=a#b #c
            DB_G="line\\nfeed"
            export DB_H=a\\b
            DB_I='${DB_A}'
            DB_J=
            DB_K="pa$word"
            """);
        var names = List.of("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K");
        begin(
                compose,
                "version: '3.8'\nservices: {a: {image: %s, command: [sleep, '1000'], env_file: .env, environment: {LITERAL: 'a$$b$$$$c', NUMBER: 0x10, FLOAT: 1.50, %s}}}"
                        .formatted(
                                Docker.BARE,
                                names.stream()
                                        .map(n -> "OF_%1$s: \"${DB_%1$s}\"".formatted(n))
                                        .collect(Collectors.joining(", "))));
        compose("up", "--no-start");
        var real = new TreeMap<String, String>();
        var id = Containers.of(docker).getFirst().id();
        for (var line : Docker.run("inspect", "-f", "{{range .Config.Env}}{{json .}}\n{{end}}", id).lines()
                .filter(l -> !l.isBlank()).toList()) {
            var entry = com.google.gson.JsonParser.parseString(line).getAsString();
            real.put(entry.substring(0, entry.indexOf('=')), entry.substring(entry.indexOf('=') + 1));
        }
        real.keySet().remove("PATH");
        var service = ComposeReader.read(docker).service("a");
        assertEquals(real, new TreeMap<>(service.environment()));
        assertEquals("a$b$$c", real.get("LITERAL"));

        // and the differences to python-dotenv are reported
        var file = EnvFile.read(root.resolve(".env"), Map.of());
        var differing = names.stream().filter(n -> !file.values().get("DB_" + n).equals(real.get("OF_" + n)))
                .map(n -> "DB_" + n).collect(Collectors.toSet());
        assertEquals(differing, ComposeReader.readDifferently(docker, file));
        assertTrue(compose == Compose.V1
                ? differing.isEmpty() : differing.containsAll(Set.of("DB_A", "DB_K")), differing::toString);
    }

    // ------------------------------------------------------------------------------------------

    private void begin(Compose compose, String yaml) throws IOException {
        Docker.assume(compose);
        Files.writeString(root.resolve("docker-compose.yml"), yaml);
        docker = DockerCompose.find(root, Map.of("PATH", compose.onlyOn(temp.resolve("only"))));
        assertEquals(compose == Compose.V1, docker.v1());
    }

    private void compose(String... arguments) {
        docker.compose(arguments).output();
    }

    private Map<String, Container> containers() {
        return Containers.of(docker).stream().filter(c -> !c.oneOff())
                .collect(Collectors.toMap(Container::service, c -> c));
    }

    private Map<String, Container> await(Predicate<Map<String, Container>> state) {
        try {
            for (int tries = 0; tries < 60; tries++) {
                var now = containers();
                if (state.test(now)) return now;
                Thread.sleep(500);
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        throw new AssertionError("after 30 s: " + containers());
    }

    /** As docker itself prints it. */
    private static int published(String id, int port) throws IOException {
        var output = Docker.run("port", id, port + "/tcp").lines().findFirst().orElseThrow();
        return Integer.parseInt(output.substring(output.lastIndexOf(':') + 1));
    }
}
