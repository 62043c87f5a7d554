package lib.docker;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.StreamSupport;
import lib.error.Failure;
import lib.error.Problem;

/** The containers of a Compose project as the engine sees them. */
public final class Containers {
    private Containers() {}

    /**
     * @param hostname   its name for itself, which it resolves without any server
     * @param service    the label's; null for one that is not Compose's
     * @param oneOff     made by {@code compose run}
     * @param status     running, restarting, exited, created, paused, removing or dead
     * @param looping    restarting, or up for less than two minutes after the engine has restarted it: most of such a loop it is up
     * @param health     starting, healthy or unhealthy; null without a health check
     * @param exitCode   of its last end; 0 while it runs
     * @param published  by container port
     * @param networks   by name, with the address there; "" while it is not running
     */
    public record Container(String id, String name, String hostname, Instant created, String service, boolean oneOff, String status, boolean looping, String health, int exitCode, List<ComposeConfig.Mount> mounts,
                            Map<Integer, List<HostPort>> published, Map<String, String> networks) {
        /** It will not run any more, or was never begun: its maker must have died long ago. */
        public boolean isLeft() {
            return status.equals("exited") || status.equals("dead") || status.equals("created") && created.isBefore(Instant.now().minusSeconds(300));
        }

        /** Nobody would find it again without this container. */
        public boolean hasNamelessVolume() {
            return mounts.stream().anyMatch(mount -> mount.type().equals("volume") && mount.source().matches("[0-9a-f]{64}"));
        }

        /** Running now: one that restarts in a loop is not. */
        public boolean up() {
            return status.equals("running");
        }

        /** It does not run, or it will again by itself: the engine holds it for started. */
        public boolean started() {
            return List.of("running", "restarting", "paused").contains(status);
        }

        /** Where this TCP port of the container is reached from the engine's machine. */
        public Optional<HostPort> published(int port) {
            return published.getOrDefault(port, List.of()).stream().findFirst();
        }
    }

    /** @param host 127.0.0.1 or ::1 for a port that is published on all addresses */
    public record HostPort(String host, int port) {}

    /** Of every service and every one-off, running or not. */
    public static List<Container> of(Composer composer) {
        return of(composer, composer.done("ps", "-a", "-q").lines().map(String::strip).filter(id -> id.matches("[0-9a-f]{12,}")).toList());
    }

    /** A container that is gone by now is left out. */
    public static List<Container> of(Composer composer, List<String> ids) {
        if (ids.isEmpty()) return List.of();
        var asked = composer.engine("container", "inspect").with(ids.toArray(String[]::new)).inOwnSession();
        var said = asked.run(); // exit 1 when one is gone, with all the others on stdout
        var gone = !said.err().isBlank() && said.err().lines().allMatch(line -> line.isBlank() || line.toLowerCase(Locale.ROOT).contains("no such container"));
        if (said.code() != 0 && !gone) throw new Failure(new Problem.ProgramFailed(asked.name(), said.code(), said.err()));
        return StreamSupport.stream(JsonParser.parseString(said.out()).getAsJsonArray().spliterator(), false).map(c -> container(c.getAsJsonObject())).toList();
    }

    private static Container container(JsonObject said) {
        var config = said.getAsJsonObject("Config");
        var state = said.getAsJsonObject("State");
        var labels = object(config, "Labels");
        var health = object(state, "Health");
        return new Container(text(said, "Id"), text(said, "Name").replaceFirst("^/", ""), text(config, "Hostname"), time(text(said, "Created")), labels.has("com.docker.compose.service") ? text(labels, "com.docker.compose.service") : null,
                text(labels, "com.docker.compose.oneoff").equalsIgnoreCase("true"), text(state, "Status"), looping(said, state), health.has("Status") ? text(health, "Status") : null,
                state.get("ExitCode").getAsInt(), mounts(said), published(object(object(said, "NetworkSettings"), "Ports")),
                networks(object(object(said, "NetworkSettings"), "Networks")));
    }

    private static Instant time(String text) {
        try {
            return Instant.parse(text);
        } catch (DateTimeParseException unknown) {
            return Instant.MAX;
        }
    }

    private static boolean looping(JsonObject said, JsonObject state) {
        if (text(state, "Status").equals("restarting")) return true;
        try {
            return said.get("RestartCount").getAsInt() > 0 && Instant.parse(text(state, "StartedAt")).isAfter(Instant.now().minusSeconds(120));
        } catch (RuntimeException notSaid) { // podman's
            return false;
        }
    }

    private static List<ComposeConfig.Mount> mounts(JsonObject said) {
        var mounts = new ArrayList<ComposeConfig.Mount>();
        for (var element : array(said, "Mounts")) {
            var mount = element.getAsJsonObject();
            var volume = text(mount, "Type").equals("volume");
            mounts.add(new ComposeConfig.Mount(text(mount, "Type"), text(mount, volume ? "Name" : "Source"), text(mount, "Destination"), !mount.get("RW").getAsBoolean()));
        }
        return List.copyOf(mounts);
    }

    private static Map<Integer, List<HostPort>> published(JsonObject said) {
        var ports = new LinkedHashMap<Integer, List<HostPort>>();
        for (var port : said.keySet()) {
            if (!port.endsWith("/tcp")) continue;
            var bindings = new ArrayList<HostPort>();
            for (var binding : array(said, port)) {
                var host = text(binding.getAsJsonObject(), "HostIp");
                bindings.add(new HostPort(switch (host) {
                    case "", "0.0.0.0" -> "127.0.0.1";
                    case "::" -> "::1";
                    default -> host;
                }, Integer.parseInt(text(binding.getAsJsonObject(), "HostPort"))));
            }
            if (!bindings.isEmpty()) ports.put(Integer.parseInt(port.replaceFirst("/.*", "")), List.copyOf(bindings));
        }
        return ports;
    }

    private static Map<String, String> networks(JsonObject said) {
        var networks = new LinkedHashMap<String, String>();
        said.keySet().forEach(name -> networks.put(name, text(object(said, name), "IPAddress")));
        return networks;
    }

    private static JsonObject object(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonObject object ? object : new JsonObject();
    }

    private static JsonArray array(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonArray array ? array : new JsonArray();
    }

    private static String text(JsonObject parent, String key) {
        return parent.get(key) instanceof JsonElement value && value.isJsonPrimitive() ? value.getAsString() : "";
    }
}
