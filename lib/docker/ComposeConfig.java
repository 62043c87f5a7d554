package lib.docker;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.error.Problem;
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

/**
 * What Compose itself makes of its files, overrides, profiles and variables: {@code config}, read.
 *
 * @param project  its name; null from v1, which does not say
 * @param services in Compose's order; those of profiles that are not active are not among them
 */
public record ComposeConfig(String project, List<Service> services) {
    private static final Pattern POSTGRES = Pattern.compile("postg|timescale|pgvector");
    /** Images with PostgreSQL in their names that talk to one. */
    private static final Pattern CLIENT = Pattern.compile("postgrest|exporter|backup|bouncer|pgpool|pgcat|admin|pgweb|graphile|operator");
    private static final Pattern DATABASE_SETTING = Pattern.compile("(?i)(^|_)(DB|DATABASE|POSTGRES|POSTGRESQL|PG|PGHOST|SQL|SQLALCHEMY|DSN)(_|$)");
    private static final List<String> OURS = List.of("DB_", "POSTGRES_", "PG", "DATABASE_URL");

    /**
     * @param image       null when it is only built
     * @param build       the context; null when there is none, or none on this machine
     * @param recipe      which Dockerfile of that context, and up to which stage
     * @param environment the variables that have a value, as the container gets them; may hold secrets
     * @param exposed     container ports of {@code expose} and {@code ports}
     * @param dependsOn   direct ones, also through a link, {@code volumes_from} or a shared network
     * @param hosts       every name that other services may know it by
     */
    public record Service(String name, String image, Path build, String recipe, Map<String, String> environment, List<Mount> mounts, List<Port> ports,
                          Set<Integer> exposed, Set<String> dependsOn, boolean sharesHostNetwork, Set<String> hosts) {
        /** True when the container sees this file of the host's. */
        public boolean mounts(Path file) {
            return mounts.stream().anyMatch(mount -> mount.holds(file));
        }

        /** True when the image may hold it. */
        public boolean builds(Path file) {
            return build != null && holds(build, file);
        }

        public boolean publishes(int port) {
            return ports.stream().anyMatch(p -> p.published == port);
        }

        public boolean isPostgres() {
            if (image == null) return keepsPostgres();
            var last = image.substring(image.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT).replaceFirst("[:@].*", "");
            return !CLIENT.matcher(last).find() && (POSTGRES.matcher(last).find() || keepsPostgres());
        }

        /** An image of one's own: the app's environment has the same variables, but not the port or the folder. */
        private boolean keepsPostgres() {
            return (environment.containsKey("POSTGRES_PASSWORD") || environment.containsKey("POSTGRES_DB"))
                    && (exposed.contains(5432) || mounts.stream().anyMatch(m -> m.target.matches(".*/postgres(ql)?(/.*)?")));
        }

        /** In a volume with a name, or in a folder: whoever makes the container anew finds it again. */
        public boolean keepsData() {
            return mounts.stream().anyMatch(m -> m.source != null && !m.readOnly && m.target.matches("(?i)(?!/etc/|/var/log/).*(postgres|pgdata|/data).*"));
        }

        /** Without the environment's values. */
        @Override public String toString() {
            return name + " (" + (image == null ? "built from " + build : image) + ", variables " + environment.keySet() + ")";
        }
    }

    /** @param type   bind, volume, tmpfs … @param source a path for a bind, a volume's name, or null */
    public record Mount(String type, String source, String target, boolean readOnly) {
        boolean holds(Path file) {
            return "bind".equals(type) && source != null && ComposeConfig.holds(Path.of(source), file);
        }
    }

    /** @param hostIp null for all addresses @param published 0 when the engine picks one */
    public record Port(String hostIp, int published, int target, String protocol) {}

    // ---- asking Compose ----------------------------------------------------------------------

    /** @throws Failure Compose refuses its files, in its own words */
    public static ComposeConfig of(Composer composer) {
        if (!composer.v1()) return of(said(composer, composer.compose("config", "--format", "json"), ""), Optional.empty());
        var env = composer.folder().resolve(".env");
        var profiles = Files.isRegularFile(env) ? EnvFile.read(env).get("COMPOSE_PROFILES") : System.getenv("COMPOSE_PROFILES");
        return of(said(composer, composer.compose("config"), ""), Optional.of(Set.of(Objects.requireNonNullElse(profiles, "").split(","))));
    }

    /**
     * @param config   what {@code config} prints, YAML or JSON
     * @param profiles the active ones, where services of others are still among them, as in v1
     */
    private static ComposeConfig of(String config, Optional<Set<String>> profiles) {
        var top = map(parsed(config));
        var services = new ArrayList<Service>();
        map(top.get("services")).forEach((name, value) -> {
            var needed = list(map(value).get("profiles"));
            if (needed.isEmpty() || profiles.isEmpty() || needed.stream().anyMatch(profiles.get()::contains)) services.add(service(name, map(value)));
        });
        return new ComposeConfig(text(top.get("name")), withLinks(services, map(top.get("services"))));
    }

    /** Warnings are no failure, and are not kept. */
    private static String said(Composer composer, Program asked, String input) {
        var output = asked.run(input);
        if (output.code() == 0) return output.out();
        throw new Failure(new Problem.ComposeRefuses(composer.describe(), composer.folder(), words(composer, output)));
    }

    /** What Compose says of a failure, without its warnings and without values of {@code .env}. */
    static String words(Composer composer, Program.Output output) {
        var words = (output.err().isBlank() ? output.out() : output.err()).lines().filter(line -> !isWarning(line) && !line.isBlank()).collect(Collectors.joining("\n"));
        return withoutSecrets(words, composer.folder().resolve(".env"));
    }

    /** One may name a part of a password with a dollar in it as a variable that is not set. */
    public static boolean isWarning(String line) {
        return line.contains("level=warning") || line.startsWith("WARNING:") || line.startsWith("WARN[") || line.contains("variable is not set") || line.startsWith(">>>>");
    }

    /** v2 quotes what it cannot read of an env file, old ones up to its end; v1 quotes a service's whole environment. */
    private static String withoutSecrets(String words, Path env) {
        var safe = words.replaceAll("(?s)(need to escape any \\$ with another \\$\\.).*", "$1").replaceAll("(?s)(Invalid interpolation format for [^:]*):.*", "$1")
                .replaceAll("(?s)(line \\d+: [^'\"]*)['\"].*", "$1…").replaceAll("(?s)(near|variable name|Invalid template:) \".*", "$1 …")
                .replaceAll("(?s)interpolating \\{.*} in", "interpolating it in").replaceAll("(?s)(environment\\S*) contains .*?, which", "$1 contains what");
        try {
            var values = new LinkedHashMap<String, String>();
            EnvFile.read(env, Map.of()).values().forEach((name, value) -> { if (value != null) values.put(name, value); });
            return Program.of("compose").secrets(values).redact(safe);
        } catch (Failure none) {
            return safe;
        }
    }

    /** Strings alone, and null: a number's digits are what the container gets. */
    private static Object parsed(String yaml) {
        try {
            return new Compose(LoadSettings.builder().setCodePointLimit(64 << 20).build()).composeString(yaml).map(ComposeConfig::plain).orElse(null);
        } catch (YamlEngineException e) { // without the exception: its text quotes what may be secret
            throw new Failure(new Problem.ComposeUnreadable());
        }
    }

    private static Object plain(Node node) {
        return switch (node) {
            case MappingNode mapping -> {
                var map = new LinkedHashMap<String, Object>();
                mapping.getValue().forEach(entry -> map.put((String) plain(entry.getKeyNode()), plain(entry.getValueNode())));
                yield map;
            }
            case SequenceNode sequence -> sequence.getValue().stream().map(ComposeConfig::plain).toList();
            case ScalarNode scalar when scalar.getTag().equals(Tag.NULL) -> null;
            case ScalarNode scalar -> scalar.getValue().replace("$$", "$"); // config's output is a compose file again
            default -> null;
        };
    }

    // ---- reading it --------------------------------------------------------------------------

    private static Service service(String name, Map<String, Object> said) {
        var build = said.get("build") instanceof Map<?, ?> long_ ? text(long_.get("context")) : text(said.get("build"));
        var mode = Objects.requireNonNullElse(text(said.get("network_mode")), "");
        var ports = list(said.get("ports")).stream().flatMap(ComposeConfig::ports).toList();
        var exposed = Stream.concat(ports.stream().map(Port::target), list(said.get("expose")).stream().map(p -> port(text(p)))).collect(Collectors.toSet());
        var depends = new LinkedHashSet<>(names(said.get("depends_on")));
        if (mode.startsWith("service:")) depends.add(mode.substring("service:".length()));
        for (var key : List.of("links", "volumes_from")) list(said.get(key)).forEach(link -> depends.add(text(link).replaceFirst(":.*", "")));
        var hosts = new LinkedHashSet<>(List.of(name));
        Stream.of("container_name", "hostname").map(key -> text(said.get(key))).filter(Objects::nonNull).forEach(hosts::add);
        if (said.get("networks") instanceof Map<?, ?> networks) {
            networks.values().forEach(network -> list(map(network).get("aliases")).forEach(alias -> hosts.add(text(alias))));
        }
        return new Service(name, text(said.get("image")), build == null || build.matches("[a-z+]+://.*|git@.*") ? null : Path.of(build), recipe(said.get("build")),
                environment(said.get("environment")), list(said.get("volumes")).stream().map(ComposeConfig::mount).toList(), ports, exposed, depends,
                mode.equals("host"), hosts);
    }

    private static String recipe(Object build) {
        var said = map(build);
        return Stream.of(Path.of(Objects.requireNonNullElse(text(said.get("dockerfile")), "Dockerfile")).normalize(), text(said.get("dockerfile_inline")), text(said.get("target")))
                .map(String::valueOf).collect(Collectors.joining(" "));
    }

    /** "db:pg" in one service makes pg a name of db's. */
    private static List<Service> withLinks(List<Service> services, Map<String, Object> said) {
        said.values().forEach(service -> list(map(service).get("links")).stream().map(link -> text(link).split(":")).filter(link -> link.length == 2)
                .forEach(link -> services.stream().filter(s -> s.name.equals(link[0])).forEach(s -> s.hosts.add(link[1]))));
        return List.copyOf(services);
    }

    private static Map<String, String> environment(Object said) {
        var environment = new LinkedHashMap<String, String>();
        if (said instanceof List<?> entries) {
            entries.stream().map(ComposeConfig::text).filter(entry -> entry.contains("=")).forEach(entry ->
                    environment.put(entry.substring(0, entry.indexOf('=')), entry.substring(entry.indexOf('=') + 1)));
        }
        // null: to be taken from the shell, which has none
        map(said).forEach((name, value) -> { if (value != null) environment.put(name, text(value)); });
        return environment;
    }

    private static final Pattern SHORT_MOUNT = Pattern.compile("(?:((?:[A-Za-z]:[\\\\/])?[^:]*):)?([^:]+)(?::([^:]*))?");

    private static Mount mount(Object said) {
        if (said instanceof Map<?, ?> object) {
            return new Mount(text(object.get("type")), text(object.get("source")), text(object.get("target")), "true".equals(object.get("read_only")));
        }
        var parts = SHORT_MOUNT.matcher(text(said));
        if (!parts.matches()) return new Mount("volume", null, text(said), false);
        var source = parts.group(1);
        var bind = source != null && (source.matches("[/~.\\\\].*|[A-Za-z]:[\\\\/].*"));
        return new Mount(bind ? "bind" : "volume", source, parts.group(2), parts.group(3) != null && List.of(parts.group(3).split(",")).contains("ro"));
    }

    private static final Pattern SHORT_PORT = Pattern.compile("(?:(?:\\[?([^\\]]*?)]?:)?([\\d-]*):)?([\\d-]+)(?:/(\\w+))?");

    /** Ranges become one port each; of a range to pick from nobody knows which. */
    private static Stream<Port> ports(Object said) {
        if (said instanceof Map<?, ?> object) {
            return Stream.of(new Port(text(object.get("host_ip")), port(text(object.get("published"))), port(text(object.get("target"))),
                    Objects.requireNonNullElse(text(object.get("protocol")), "tcp")));
        }
        var parts = SHORT_PORT.matcher(text(said));
        if (!parts.matches()) return Stream.empty();
        var targets = range(parts.group(3));
        var published = range(Objects.requireNonNullElse(parts.group(2), ""));
        var ip = parts.group(1) == null || parts.group(1).isEmpty() ? null : parts.group(1);
        return Stream.iterate(0, i -> i < targets.size(), i -> i + 1).map(i -> new Port(ip,
                published.size() == targets.size() ? published.get(i) : 0, targets.get(i), Objects.requireNonNullElse(parts.group(4), "tcp")));
    }

    private static List<Integer> range(String ports) {
        if (ports.isEmpty()) return List.of();
        var ends = ports.split("-");
        return java.util.stream.IntStream.rangeClosed(Integer.parseInt(ends[0]), Integer.parseInt(ends[ends.length - 1])).boxed().toList();
    }

    private static int port(String number) {
        return number != null && number.matches("\\d{1,5}(/\\w+)?") ? Integer.parseInt(number.replaceFirst("/.*", "")) : 0;
    }

    private static Set<String> names(Object said) {
        return said instanceof Map<?, ?> ? map(said).keySet() : list(said).stream().map(ComposeConfig::text).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object said) {
        return said instanceof Map<?, ?> map ? (Map<String, Object>) map : Map.of();
    }

    private static List<?> list(Object said) {
        return said instanceof List<?> list ? list : said instanceof String one ? List.of(one) : List.of();
    }

    private static String text(Object said) {
        return said instanceof String text ? text : null;
    }

    // ---- which service is which --------------------------------------------------------------

    /** @throws Failure there is none of this name */
    public Service service(String name) {
        return services.stream().filter(service -> service.name.equals(name)).findFirst()
                .orElseThrow(() -> new Failure(new Problem.NoService(name, services.stream().map(Service::name).toList())));
    }

    /**
     * The service that runs the database: the one that this host names, unless it is a pooler; else the only one with PostgreSQL in it,
     * or of several the one that publishes this port.
     *
     * @throws Failure several could be meant
     */
    public Optional<Service> database(String host, int port) {
        var named = services.stream().filter(s -> s.hosts.contains(host) && (s.isPostgres() || !isClient(s))).findFirst();
        if (named.isPresent()) return named;
        var all = services.stream().filter(Service::isPostgres).toList();
        var publishing = all.stream().filter(s -> s.publishes(port)).toList();
        if (all.size() > 1 && publishing.size() != 1) throw new Failure(new Problem.SeveralDatabases(all.stream().map(Service::name).toList()));
        return (all.size() > 1 ? publishing : all).stream().findFirst();
    }

    /** The service, a pooler perhaps, that goes by this name or its container by that which Compose gives it. */
    public Optional<Service> named(String host, String composeProject) {
        return services.stream().filter(service -> service.hosts.contains(host) || Stream.of("-", "_").anyMatch(dash -> host.equals(String.join(dash, composeProject, service.name, "1")))).findFirst();
    }

    private static boolean isClient(Service service) {
        return service.image != null && CLIENT.matcher(service.image.substring(service.image.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT)).find();
    }

    /**
     * The service that runs Django: it mounts, or is built from, what holds manage.py. Of several, as workers share both: one that uses
     * a database before one that does not, the backend's own folder before one around it, published ports before none, then whom more
     * of them depend on, then who depends on fewer services, then Compose's order.
     */
    public Optional<Service> app(Path backend) {
        var managePy = real(backend).resolve("manage.py");
        var candidates = services.stream().filter(s -> s.mounts(managePy) || s.builds(managePy)).toList();
        var databases = services.stream().filter(Service::isPostgres).toList();
        Predicate<Service> uses = s -> databases.stream().anyMatch(db -> s.dependsOn.contains(db.name) || names(s, db.hosts));
        Predicate<Service> own = s -> s.mounts.stream().anyMatch(m -> m.holds(managePy) && real(Path.of(m.source)).equals(real(backend)))
                || s.build != null && real(s.build).equals(real(backend));
        return candidates.stream().min(Comparator.<Service, Boolean>comparing(uses::test).reversed()
                .thenComparing(Comparator.<Service, Boolean>comparing(own::test).reversed())
                .thenComparing(s -> s.ports.isEmpty())
                .thenComparing(s -> -candidates.stream().filter(other -> other.dependsOn.contains(s.name)).count())
                .thenComparing(s -> dependencies(s).size()));
    }

    private Set<String> dependencies(Service service) {
        var all = new HashSet<String>();
        var next = new ArrayList<>(service.dependsOn);
        while (!next.isEmpty()) {
            var name = next.removeLast();
            if (all.add(name)) services.stream().filter(s -> s.name.equals(name)).forEach(s -> next.addAll(s.dependsOn));
        }
        return all;
    }

    /**
     * The services that can open a session on the database or run the app's code: they depend on it directly, their environment names it
     * (or, in a setting for a database, a pooler that does), or they share the app's image, build context or mount of manage.py.
     * Depending on one of these is not enough: a proxy or a static frontend has nothing to do with the database.
     *
     * @param app nullable
     */
    public Set<String> users(Service database, Service app) {
        var users = new LinkedHashSet<String>();
        for (var service : services) {
            if (service.name.equals(database.name)) continue;
            if (service.dependsOn.contains(database.name) || names(service, database.hosts) || app != null && sharesCode(service, app)) users.add(service.name);
        }
        // a pooler may stand before another
        for (var before = -1; before != users.size();) {
            before = users.size();
            var ways = services.stream().filter(s -> users.contains(s.name)).flatMap(s -> s.hosts.stream()).collect(Collectors.toSet());
            services.stream().filter(s -> !s.name.equals(database.name) && s.environment.entrySet().stream()
                    .anyMatch(e -> DATABASE_SETTING.matcher(e.getKey()).find() && namesHost(e.getValue(), ways))).forEach(s -> users.add(s.name));
        }
        return users;
    }

    /** What is built of the same folder by other rules, and publishes a port, is a proxy; another one may be a worker. */
    private static boolean sharesCode(Service service, Service app) {
        return service.name.equals(app.name) || app.image != null && app.image.equals(service.image) || app.build != null && app.build.equals(service.build) && (app.recipe.equals(service.recipe) || service.ports.isEmpty())
                || app.mounts.stream().filter(m -> m.source != null && m.holds(Path.of(m.source, "manage.py")) && Files.exists(Path.of(m.source, "manage.py")))
                        .anyMatch(m -> service.mounts.stream().anyMatch(other -> m.source.equals(other.source)));
    }

    private static boolean names(Service service, Set<String> hosts) {
        return service.environment.values().stream().anyMatch(value -> namesHost(value, hosts));
    }

    /** The value is the host, with a port or without, or holds it as a URL or a connection string does. */
    private static boolean namesHost(String value, Set<String> hosts) {
        return hosts.stream().anyMatch(host -> Pattern.compile("(?i)(^|[/@,;]|host=)" + Pattern.quote(host) + "(:\\d+)?([/?,;\\s]|$)").matcher(value).find());
    }

    private static boolean holds(Path folder, Path file) {
        return file.startsWith(folder) || file.startsWith(real(folder));
    }

    private static Path real(Path path) {
        try {
            return path.toRealPath();
        } catch (IOException notThere) {
            return path.toAbsolutePath().normalize();
        }
    }

    // ---- .env, read twice --------------------------------------------------------------------

    /**
     * The names of the database's settings in the project's {@code .env} that Compose reads with another value than python-dotenv does:
     * dollars, quotes, backslashes. Asked of Compose itself, without the environment's own settings. None when {@code file} is another one
     * than Compose reads. Never the values.
     */
    public static Set<String> differing(Composer composer, EnvFile file) {
        if (!file.path().equals(Optional.of(composer.folder().resolve(".env")))) return Set.of();
        var names = file.values().keySet().stream().filter(ComposeConfig::isOurs).filter(name -> name.matches("[A-Za-z_]\\w*")).toList();
        if (names.isEmpty()) return Set.of();
        var probe = names.stream().map(name -> "%1$s: \"${%1$s}\"".formatted(name)).collect(Collectors.joining(", ", "services: {x: {image: x, environment: {", "}}}\n"));
        if (composer.v1()) probe = "version: '2.4'\n" + probe;
        var asked = composer.compose("-p", "x", "--project-directory", composer.folder().toString(), "-f", "-", "config");
        OURS.forEach(asked::withoutEnv);
        var environment = new LinkedHashMap<>(file.environment());
        environment.keySet().removeIf(ComposeConfig::isOurs);
        return differing(EnvFile.read(file.path().get(), environment), of(said(composer, asked, probe), Optional.empty()).service("x").environment);
    }

    private static Set<String> differing(EnvFile file, Map<String, String> composes) {
        return file.values().keySet().stream().filter(ComposeConfig::isOurs).filter(composes::containsKey)
                .filter(name -> !Objects.requireNonNullElse(file.values().get(name), "").equals(composes.get(name)))
                .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    private static boolean isOurs(String name) {
        return OURS.stream().anyMatch(name::startsWith);
    }
}
