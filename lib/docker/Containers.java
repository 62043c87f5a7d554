package lib.docker;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.time.Instant;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.docker.ComposeConfig.Mount;
import lib.process.Program;

/** The containers of a Compose project, as {@code docker container inspect} shows them. */
public final class Containers {
    private Containers() {}

    /** Docker's own, and GONE: the container does not exist any more. */
    public enum Status { CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED, DEAD, GONE, UNKNOWN }

    public enum Health { NO_CHECK, STARTING, HEALTHY, UNHEALTHY }

    /**
     * @param crashLoop restarting, or running for less than two minutes since a restart by the engine: in a crash loop
     *                  a container runs most of the time
     * @param exitCode  of its last end; 0 while it runs
     */
    public record State(Status status, boolean crashLoop, Health health, int exitCode) {
        public static final State GONE = new State(Status.GONE, false, Health.NO_CHECK, 0);

        /** A container that restarts in a loop is not running while it waits for its next start. */
        public boolean isRunning() {
            return status == Status.RUNNING;
        }

        /** Running, or the engine will run it again. */
        public boolean isStarted() {
            return status == Status.RUNNING || status == Status.RESTARTING || status == Status.PAUSED;
        }

        /** Running, with no sign that something is wrong. */
        public boolean isWell() {
            return isRunning() && (health == Health.HEALTHY || health == Health.NO_CHECK && !crashLoop);
        }

        /** Its health check has not passed yet, and has not failed. */
        public boolean isStarting() {
            return isRunning() && health == Health.STARTING && !crashLoop;
        }

        /** For people, and more exact than the status alone. */
        public String describe() {
            var name = lower(status);
            if (status == Status.RESTARTING || status == Status.EXITED)
                return "%s (exit code %d)".formatted(name, exitCode);
            if (!isRunning() || isWell()) return name;
            return crashLoop ? "running, but it has crashed and was restarted" : lower(health);
        }

        private static String lower(Enum<?> value) {
            return value.name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * @param hostname  the container's own name, which it resolves without a name server
     * @param addresses by network; empty texts while it is not running
     * @param published by TCP port of the container: where the engine's machine publishes it
     */
    public record Network(String hostname, Map<String, String> addresses, Map<Integer, List<HostPort>> published) {}

    /** @param host 127.0.0.1 or ::1 for a port that is published on all addresses */
    public record HostPort(String host, int port) {}

    /**
     * @param service null for a container that Compose did not create
     * @param oneOff  created by {@code compose run}
     */
    public record Container(String id, String name, Instant created, String service, boolean oneOff, State state,
                            List<Mount> mounts, Network network) {
        public boolean isRunning() {
            return state.isRunning();
        }

        public boolean isStarted() {
            return state.isStarted();
        }

        /** It has ended, or was not started within five minutes. */
        public boolean isAbandoned() {
            return state.status == Status.EXITED || state.status == Status.DEAD
                    || state.status == Status.CREATED && created.isBefore(Instant.now().minusSeconds(300));
        }

        /** A volume without a name is practically lost when its container is removed. */
        public boolean hasAnonymousVolume() {
            return mounts.stream().filter(mount -> mount.type().equals("volume"))
                .anyMatch(mount -> mount.source().matches("[0-9a-f]{64}"));
        }

        public Set<String> addresses() {
            return network.addresses.values().stream().filter(address -> !address.isEmpty())
                .collect(Collectors.toSet());
        }

        /** Where this TCP port is reached from the engine's machine. */
        public Optional<HostPort> published(int port) {
            return network.published.getOrDefault(port, List.of()).stream().findFirst();
        }

        /** Some port of the container is published as this port of the engine's machine. */
        public boolean publishesAs(int port) {
            return network.published.values().stream().flatMap(List::stream)
                .anyMatch(published -> published.port == port);
        }
    }

    /** Those of every service and every {@code compose run}, running or not. */
    public static List<Container> of(DockerCompose docker) {
        return of(docker, docker.run("ps", "-a", "-q").lines().map(String::strip)
            .filter(id -> id.matches("[0-9a-f]{12,}")).toList());
    }

    /** Those of these ids that exist. */
    public static List<Container> of(DockerCompose docker, List<String> ids) {
        if (ids.isEmpty()) return List.of();
        var inspect = docker.engine("container", "inspect").with(ids.toArray(String[]::new)).inOwnSession();
        var output = inspect.run(); // exit code 1 when one does not exist, with all others on stdout
        if (output.code() != 0 && !isNoSuchContainer(output.err()))
            throw Program.failed(inspect.name(), output.code(), output.err());
        return objects(JsonParser.parseString(output.out()).getAsJsonArray()).map(Containers::container).toList();
    }

    private static boolean isNoSuchContainer(String error) {
        return !error.isBlank() && error.lines().filter(line -> !line.isBlank())
            .allMatch(line -> line.toLowerCase(Locale.ROOT).contains("no such container"));
    }

    private static Container container(JsonObject json) {
        var config = json.getAsJsonObject("Config");
        var labels = object(config, "Labels");
        var service = labels.has("com.docker.compose.service") ? text(labels, "com.docker.compose.service") : null;
        var oneOff = text(labels, "com.docker.compose.oneoff").equalsIgnoreCase("true");
        var settings = object(json, "NetworkSettings");
        var addresses = new LinkedHashMap<String, String>();
        var networks = object(settings, "Networks");
        networks.keySet().forEach(name -> addresses.put(name, text(object(networks, name), "IPAddress")));
        var network = new Network(text(config, "Hostname"), addresses, published(object(settings, "Ports")));
        var name = text(json, "Name").replaceFirst("^/", "");
        return new Container(text(json, "Id"), name, Instant.parse(text(json, "Created")), service, oneOff, state(json),
                mounts(json), network);
    }

    private static State state(JsonObject json) {
        var state = json.getAsJsonObject("State");
        var status = value(Status.values(), text(state, "Status"), Status.UNKNOWN);
        var restarted = json.get("RestartCount").getAsInt() > 0
            && Instant.parse(text(state, "StartedAt")).isAfter(Instant.now().minusSeconds(120));
        var health = value(Health.values(), text(object(state, "Health"), "Status"), Health.NO_CHECK);
        return new State(status, status == Status.RESTARTING || restarted, health, state.get("ExitCode").getAsInt());
    }

    private static <E extends Enum<E>> E value(E[] values, String name, E otherwise) {
        return Arrays.stream(values).filter(value -> value.name().equalsIgnoreCase(name)).findFirst().orElse(otherwise);
    }

    private static List<Mount> mounts(JsonObject json) {
        return objects(json, "Mounts").map(mount -> {
            var type = text(mount, "Type");
            var source = text(mount, type.equals("volume") ? "Name" : "Source");
            return new Mount(type, source, text(mount, "Destination"), !mount.get("RW").getAsBoolean());
        }).toList();
    }

    private static Map<Integer, List<HostPort>> published(JsonObject ports) {
        return ports.keySet().stream().filter(port -> port.endsWith("/tcp")).collect(Collectors.toMap(
            port -> Integer.parseInt(port.replace("/tcp", "")),
            port -> objects(ports, port).map(Containers::hostPort).toList()));
    }

    private static HostPort hostPort(JsonObject binding) {
        var host = switch (text(binding, "HostIp")) {
            case "", "0.0.0.0" -> "127.0.0.1";
            case "::" -> "::1";
            case String other -> other;
        };
        return new HostPort(host, Integer.parseInt(text(binding, "HostPort")));
    }

    private static JsonObject object(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonObject object ? object : new JsonObject();
    }

    private static Stream<JsonObject> objects(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonArray array ? objects(array) : Stream.empty();
    }

    private static Stream<JsonObject> objects(JsonArray array) {
        return array.asList().stream().map(JsonElement::getAsJsonObject);
    }

    private static String text(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonElement value && value.isJsonPrimitive() ? value.getAsString() : "";
    }
}
