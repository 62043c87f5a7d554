package lib.docker;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import lib.docker.ComposeConfig.Build;
import lib.docker.ComposeConfig.Mount;
import lib.docker.ComposeConfig.Network;
import lib.docker.ComposeConfig.Port;
import lib.docker.ComposeConfig.Service;
import lib.error.Failure;
import lib.process.Program;
import lib.project.EnvFile;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/** Reads a project from {@code docker compose config}, so Compose resolves its files, profiles and variables. */
public final class ComposeReader {
    private static final List<String> DATABASE_VARIABLES = List.of("DB_", "POSTGRES_", "PG", "DATABASE_URL");
    private static final int MAX_YAML_CHARACTERS = 64 << 20;

    private ComposeReader() {}

    /** @throws Failure with Compose's own message when it rejects its files */
    public static ComposeConfig read(DockerCompose docker) {
        if (!docker.v1())
            return config(output(docker, docker.compose("config", "--format", "json"), ""), Optional.empty());
        var profiles = Objects.requireNonNullElse(docker.variable("COMPOSE_PROFILES"), "");
        return config(output(docker, docker.compose("config"), ""), Optional.of(Set.of(profiles.split(","))));
    }

    private static String output(DockerCompose docker, Program config, String input) {
        var output = config.run(input);
        if (output.code() == 0) return output.out();
        throw Failure.usage(docker.describe() + " rejects the configuration in " + docker.folder() + ":\n"
            + DockerCompose.indented(docker.message(output)))
            .next("correct it until this prints nothing: " + docker.commandLine("config", "--quiet"));
    }

    /**
     * @param text     what {@code config} prints, YAML or JSON
     * @param profiles the active ones, when the text has the services of all profiles (v1)
     */
    private static ComposeConfig config(String text, Optional<Set<String>> profiles) {
        var top = map(parsed(text));
        var all = map(top.get("services"));
        var links = links(all);
        var services = new ArrayList<Service>();
        all.forEach((name, value) -> {
            var needed = list(map(value).get("profiles"));
            if (needed.isEmpty() || profiles.isEmpty() || needed.stream().anyMatch(profiles.get()::contains))
                services.add(service(name, map(value), links.getOrDefault(name, Set.of())));
        });
        return new ComposeConfig(text(top.get("name")), List.copyOf(services));
    }

    /** Scalars are strings or null: a container gets the digits of a number as they are written. */
    private static Object parsed(String yaml) {
        try {
            var settings = LoadSettings.builder().setCodePointLimit(MAX_YAML_CHARACTERS).build();
            return new Compose(settings).composeString(yaml).map(ComposeReader::value).orElse(null);
        } catch (YamlEngineException e) { // not as a cause: its text quotes what may be secret
            throw Failure.failed("the output of Compose's config is neither JSON nor YAML");
        }
    }

    private static Object value(Node node) {
        return switch (node) {
            case MappingNode mapping -> {
                var map = new LinkedHashMap<String, Object>();
                mapping.getValue().forEach(entry ->
                    map.put((String) value(entry.getKeyNode()), value(entry.getValueNode())));
                yield map;
            }
            case SequenceNode sequence -> sequence.getValue().stream().map(ComposeReader::value).toList();
            case ScalarNode scalar when scalar.getTag().equals(Tag.NULL) -> null;
            case ScalarNode scalar -> scalar.getValue().replace("$$", "$"); // config prints a compose file again
            default -> null;
        };
    }

    // ---- a service ---------------------------------------------------------------------------

    private static Service service(String name, Map<String, Object> yaml, Set<String> links) {
        var mode = Objects.requireNonNullElse(text(yaml.get("network_mode")), "");
        var dependsOn = new LinkedHashSet<>(names(yaml.get("depends_on")));
        if (mode.startsWith("service:")) dependsOn.add(mode.substring("service:".length()));
        Stream.of("links", "volumes_from").flatMap(key -> list(yaml.get(key)).stream())
            .forEach(link -> dependsOn.add(text(link).replaceFirst(":.*", "")));
        var environment = environment(yaml.get("environment"));
        var mounts = list(yaml.get("volumes")).stream().map(ComposeReader::mount).toList();
        var network = network(name, yaml, links, mode.equals("host"));
        return new Service(name, text(yaml.get("image")), build(yaml.get("build")), environment, mounts, network,
            dependsOn);
    }

    private static Network network(String name, Map<String, Object> yaml, Set<String> links, boolean sharesHost) {
        var hosts = new LinkedHashSet<>(List.of(name));
        Stream.of("container_name", "hostname").map(key -> text(yaml.get(key))).filter(Objects::nonNull)
            .forEach(hosts::add);
        map(yaml.get("networks")).values().stream().flatMap(network -> list(map(network).get("aliases")).stream())
            .forEach(alias -> hosts.add(text(alias)));
        hosts.addAll(links);
        var ports = list(yaml.get("ports")).stream().flatMap(ComposeReader::ports).toList();
        var exposed = ports.stream().map(Port::target).collect(Collectors.toSet());
        list(yaml.get("expose")).forEach(port -> exposed.add(port(text(port))));
        return new Network(hosts, ports, exposed, sharesHost);
    }

    /** "db:pg" in any service makes pg another name of db. */
    private static Map<String, Set<String>> links(Map<String, Object> services) {
        var links = new HashMap<String, Set<String>>();
        services.values().stream().flatMap(service -> list(map(service).get("links")).stream())
            .map(link -> text(link).split(":")).filter(link -> link.length == 2)
            .forEach(link -> links.computeIfAbsent(link[0], key -> new LinkedHashSet<>()).add(link[1]));
        return links;
    }

    /** Null when there is none, or when its context is a repository elsewhere. */
    private static Build build(Object yaml) {
        var build = map(yaml);
        var context = build.isEmpty() ? text(yaml) : text(build.get("context"));
        if (context == null || context.matches("[a-z+]+://.*|git@.*")) return null;
        var dockerfile = Path.of(Objects.requireNonNullElse(text(build.get("dockerfile")), "Dockerfile")).normalize();
        var recipe = Stream.of(dockerfile, text(build.get("dockerfile_inline")), text(build.get("target")))
            .map(String::valueOf).collect(Collectors.joining(" "));
        return new Build(Path.of(context), recipe);
    }

    private static Map<String, String> environment(Object yaml) {
        var environment = new LinkedHashMap<String, String>();
        if (yaml instanceof List<?> entries) {
            entries.stream().map(entry -> text(entry).split("=", 2)).filter(entry -> entry.length == 2)
                .forEach(entry -> environment.put(entry[0], entry[1]));
        }
        // null: a variable of the shell that is not set there
        map(yaml).forEach((name, value) -> { if (value != null) environment.put(name, text(value)); });
        return environment;
    }

    /** [source:]target[:options] */
    private static final Pattern SHORT_MOUNT =
        Pattern.compile("(?:((?:[A-Za-z]:[\\\\/])?[^:]*):)?([^:]+)(?::([^:]*))?");

    private static Mount mount(Object yaml) {
        if (yaml instanceof Map<?, ?> mount) {
            return new Mount(text(mount.get("type")), text(mount.get("source")), text(mount.get("target")),
                "true".equals(mount.get("read_only")));
        }
        var parts = SHORT_MOUNT.matcher(text(yaml));
        if (!parts.matches()) return new Mount("volume", null, text(yaml), false);
        var source = parts.group(1);
        var isPath = source != null && source.matches("[/~.\\\\].*|[A-Za-z]:[\\\\/].*");
        var readOnly = parts.group(3) != null && List.of(parts.group(3).split(",")).contains("ro");
        return new Mount(isPath ? "bind" : "volume", source, parts.group(2), readOnly);
    }

    /** [address:][published:]target[/protocol], where each port may be a range. */
    private static final Pattern SHORT_PORT = Pattern.compile("(?:(?:\\[?[^\\]]*?]?:)?([\\d-]*):)?([\\d-]+)(?:/\\w+)?");

    /** A range becomes one port each. Of a larger range that the engine picks from, the published port is unknown. */
    private static Stream<Port> ports(Object yaml) {
        if (yaml instanceof Map<?, ?> port)
            return Stream.of(new Port(port(text(port.get("published"))), port(text(port.get("target")))));
        var parts = SHORT_PORT.matcher(text(yaml));
        if (!parts.matches()) return Stream.empty();
        var published = range(Objects.requireNonNullElse(parts.group(1), ""));
        var targets = range(parts.group(2));
        return IntStream.range(0, targets.size()).mapToObj(i ->
            new Port(published.size() == targets.size() ? published.get(i) : 0, targets.get(i)));
    }

    private static List<Integer> range(String ports) {
        if (ports.isEmpty()) return List.of();
        var ends = ports.split("-");
        return IntStream.rangeClosed(Integer.parseInt(ends[0]), Integer.parseInt(ends[ends.length - 1])).boxed()
            .toList();
    }

    private static int port(String number) {
        if (number == null || !number.matches("\\d{1,5}(/\\w+)?")) return 0;
        return Integer.parseInt(number.replaceFirst("/.*", ""));
    }

    private static Set<String> names(Object yaml) {
        return yaml instanceof Map<?, ?> ? map(yaml).keySet()
            : list(yaml).stream().map(ComposeReader::text).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object yaml) {
        return yaml instanceof Map<?, ?> map ? (Map<String, Object>) map : Map.of();
    }

    private static List<?> list(Object yaml) {
        return yaml instanceof List<?> list ? list : yaml instanceof String one ? List.of(one) : List.of();
    }

    private static String text(Object yaml) {
        return yaml instanceof String text ? text : null;
    }

    // ---- .env: Compose and python-dotenv -----------------------------------------------------

    /**
     * The names, never the values, of the database's settings in the project's {@code .env} that Compose reads with
     * another value than python-dotenv: dollars, quotes, backslashes. Compose itself is asked, without these variables
     * of the environment. Empty when the file is not the one that Compose reads.
     */
    public static Set<String> readDifferently(DockerCompose docker, EnvFile file) {
        if (!file.path().equals(Optional.of(docker.folder().resolve(".env")))) return Set.of();
        var names = file.values().keySet().stream().filter(ComposeReader::isOfDatabase)
            .filter(name -> name.matches("[A-Za-z_]\\w*")).toList();
        if (names.isEmpty()) return Set.of();
        var folder = docker.folder().toString();
        var compose = docker.compose("-p", "x", "--project-directory", folder, "-f", "-", "config");
        DATABASE_VARIABLES.forEach(compose::withoutEnv);
        var config = config(output(docker, compose, probe(docker, names)), Optional.empty());
        var containers = config.service("x").environment();
        var environment = new LinkedHashMap<>(file.environment());
        environment.keySet().removeIf(ComposeReader::isOfDatabase);
        var django = file.withEnvironment(environment).values();
        return names.stream().filter(containers::containsKey)
            .filter(name -> !Objects.requireNonNullElse(django.get(name), "").equals(containers.get(name)))
            .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** A compose file with one service, whose environment has these variables. */
    private static String probe(DockerCompose docker, List<String> names) {
        var variables = names.stream().map(name -> "%1$s: \"${%1$s}\"".formatted(name))
            .collect(Collectors.joining(", "));
        return (docker.v1() ? "version: '2.4'\n" : "") + "services: {x: {image: x, environment: {" + variables
            + "}}}\n";
    }

    private static boolean isOfDatabase(String name) {
        return DATABASE_VARIABLES.stream().anyMatch(name::startsWith);
    }
}
