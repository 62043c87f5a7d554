package lib.docker;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Disk;

/**
 * The services of a Compose project, and which of them run the database and Django. {@link ComposeReader} reads them.
 *
 * @param project  its name; null with Compose v1, which does not print it
 * @param services in Compose's order, without those of inactive profiles
 */
public record ComposeConfig(String project, List<Service> services) {
    private static final Pattern POSTGRES = Pattern.compile("postg|timescale|pgvector");
    /** Images with PostgreSQL in their names that are clients of a server. */
    private static final Pattern CLIENT =
        Pattern.compile("postgrest|exporter|backup|bouncer|pgpool|pgcat|admin|pgweb|graphile|operator");
    private static final Pattern DATABASE_SETTING =
        Pattern.compile("(?i)(^|_)(DB|DATABASE|POSTGRES|POSTGRESQL|PG|PGHOST|SQL|SQLALCHEMY|DSN)(_|$)");
    private static final int POSTGRES_PORT = 5432;

    /**
     * @param image       null when it is only built
     * @param build       null when there is none, or when its context is not on this machine
     * @param environment the variables that have a value, as the container gets them; may hold secrets
     * @param dependsOn   directly, including a link, {@code volumes_from} and a shared network
     */
    public record Service(String name, String image, Build build, Map<String, String> environment, List<Mount> mounts,
        Network network, Set<String> dependsOn) {
        /** Every name that other services may use for it. */
        public Set<String> hosts() {
            return network.hosts;
        }

        /** True when the container sees this file of the host. */
        public boolean mounts(Path file) {
            return mounts.stream().anyMatch(mount -> mount.contains(file));
        }

        /** True when the image may contain this file. */
        public boolean builds(Path file) {
            return build != null && ComposeConfig.contains(build.context, file);
        }

        public boolean publishes(int port) {
            return network.ports.stream().anyMatch(p -> p.published == port);
        }

        public boolean isPostgres() {
            if (image == null) return hasPostgresData();
            return !isClient() && (POSTGRES.matcher(imageName()).find() || hasPostgresData());
        }

        /** By its image: a pooler, an exporter, an admin tool. */
        boolean isClient() {
            return image != null && CLIENT.matcher(imageName()).find();
        }

        /** Without registry, owner and tag. */
        private String imageName() {
            return image.substring(image.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT).replaceFirst("[:@].*", "");
        }

        /** For images with other names. The app has the same variables, but not the port or the folder. */
        private boolean hasPostgresData() {
            var hasVariable = environment.containsKey("POSTGRES_PASSWORD") || environment.containsKey("POSTGRES_DB");
            return hasVariable && (network.exposed.contains(POSTGRES_PORT)
                || mounts.stream().anyMatch(m -> m.target.matches(".*/postgres(ql)?(/.*)?")));
        }

        /** Its data is in a named volume or a folder, and outlives the container. */
        public boolean keepsData() {
            return mounts.stream().anyMatch(m -> m.source != null && !m.readOnly
                    && m.target.matches("(?i)(?!/etc/|/var/log/).*(postgres|pgdata|/data).*"));
        }

        /** Without the environment's values. */
        @Override public String toString() {
            return name + " (" + (image == null ? "built from " + (build == null ? "elsewhere" : build.context) : image)
                    + ", variables " + environment.keySet() + ")";
        }
    }

    /** @param recipe which Dockerfile of the context, and up to which stage: equal for equal images of one context */
    public record Build(Path context, String recipe) {}

    /**
     * @param hosts      the service's name, its container's names, aliases and links to it
     * @param exposed    container ports of {@code expose} and {@code ports}
     * @param sharesHost {@code network_mode: host}
     */
    public record Network(Set<String> hosts, List<Port> ports, Set<Integer> exposed, boolean sharesHost) {}

    /** @param published 0 when the engine picks one */
    public record Port(int published, int target) {}

    /** @param type bind, volume, tmpfs … @param source a path for a bind, a volume's name, or null */
    public record Mount(String type, String source, String target, boolean readOnly) {
        boolean hasManagePy() {
            return isFolder() && Files.exists(Path.of(source, "manage.py"));
        }

        boolean contains(Path file) {
            return isFolder() && ComposeConfig.contains(Path.of(source), file);
        }

        private boolean isFolder() {
            return "bind".equals(type) && source != null;
        }
    }

    /** @throws Failure there is no such service */
    public Service service(String name) {
        var hint = services.isEmpty() ? "no service is active: see COMPOSE_FILE and COMPOSE_PROFILES"
            : "the services are: " + serviceNames();
        return services.stream().filter(service -> service.name.equals(name)).findFirst()
            .orElseThrow(() -> Failure.usage("Compose has no service " + name).next(hint));
    }

    /** For people. */
    public String serviceNames() {
        return names(services);
    }

    private static String names(List<Service> services) {
        return services.stream().map(Service::name).collect(Collectors.joining(", "));
    }

    /**
     * The service that runs the database: the one with this host name, unless it is a pooler; else the only PostgreSQL;
     * of several the one that publishes this port.
     *
     * @throws Failure several are possible
     */
    public Optional<Service> database(String host, int port) {
        var named = services.stream().filter(s -> s.hosts().contains(host) && (s.isPostgres() || !s.isClient()))
            .findFirst();
        if (named.isPresent()) return named;
        var all = services.stream().filter(Service::isPostgres).toList();
        if (all.size() < 2) return all.stream().findFirst();
        var publishing = all.stream().filter(s -> s.publishes(port)).toList();
        if (publishing.size() == 1) return Optional.of(publishing.getFirst());
        throw Failure.usage("several services have PostgreSQL: " + names(all))
            .next("name the one to use: --db-service " + all.getFirst().name);
    }

    /** The service with this host name, or whose container Compose gives this name; it may be a pooler. */
    public Optional<Service> named(String host, String composeProject) {
        return services.stream().filter(service -> service.hosts().contains(host) || Stream.of("-", "_")
            .anyMatch(dash -> host.equals(String.join(dash, composeProject, service.name, "1")))).findFirst();
    }

    /**
     * The service that runs Django: it mounts, or is built from, the folder of manage.py. Workers do so too; of several
     * services, the first in this order: it uses a database; its mount or build context is the backend's own folder,
     * not one around it; it publishes ports; more of the others depend on it; it depends on fewer services; it comes
     * first in Compose's order.
     */
    public Optional<Service> app(Path backend) {
        var managePy = Disk.real(backend).resolve("manage.py");
        var candidates = services.stream().filter(s -> s.mounts(managePy) || s.builds(managePy)).toList();
        var databases = services.stream().filter(Service::isPostgres).toList();
        Predicate<Service> usesDatabase = s -> databases.stream()
            .anyMatch(db -> s.dependsOn.contains(db.name) || mentions(s, db.hosts()));
        Predicate<Service> ownFolder = s ->
                s.mounts.stream().filter(m -> m.contains(managePy))
                    .anyMatch(m -> Disk.real(Path.of(m.source)).equals(Disk.real(backend)))
                || s.build != null && Disk.real(s.build.context).equals(Disk.real(backend));
        return candidates.stream().min(Comparator.<Service, Boolean>comparing(s -> !usesDatabase.test(s))
            .thenComparing(s -> !ownFolder.test(s))
            .thenComparing(s -> s.network.ports.isEmpty())
            .thenComparing(s -> -candidates.stream().filter(other -> other.dependsOn.contains(s.name)).count())
            .thenComparing(s -> dependencies(s).size()));
    }

    private Set<String> dependencies(Service service) {
        var all = new HashSet<String>();
        var next = new ArrayList<>(service.dependsOn);
        while (!next.isEmpty()) {
            var name = next.removeLast();
            if (all.add(name)) services.stream().filter(s -> s.name.equals(name))
                .forEach(s -> next.addAll(s.dependsOn));
        }
        return all;
    }

    /**
     * The services that can open a session on the database or run the app's code: they depend on the database directly,
     * their environment names it (or, in a setting for a database, a pooler in front of it), or they share the app's
     * image, build context or mount of manage.py. A service that only depends on one of these is not one of them: a
     * proxy, a static frontend.
     *
     * @param app may be null
     */
    public Set<String> users(Service database, Service app) {
        var others = services.stream().filter(service -> !service.name.equals(database.name)).toList();
        var users = others.stream()
            .filter(s -> s.dependsOn.contains(database.name) || mentions(s, database.hosts())
                || app != null && sharesCode(s, app))
            .map(Service::name).collect(Collectors.toCollection(LinkedHashSet::new));
        for (var before = -1; before != users.size();) { // repeated: a pooler may be in front of another
            before = users.size();
            var hosts = services.stream().filter(s -> users.contains(s.name)).flatMap(s -> s.hosts().stream())
                .collect(Collectors.toSet());
            others.stream().filter(s -> s.environment.entrySet().stream()
                .anyMatch(e -> DATABASE_SETTING.matcher(e.getKey()).find() && mentionsHost(e.getValue(), hosts)))
                    .forEach(s -> users.add(s.name));
        }
        return users;
    }

    private static boolean sharesCode(Service service, Service app) {
        if (service.name.equals(app.name) || app.image != null && app.image.equals(service.image)) return true;
        // built from the same folder by another Dockerfile: a proxy if it publishes a port, else perhaps a worker
        if (app.build != null && service.build != null && app.build.context.equals(service.build.context)
                && (app.build.recipe.equals(service.build.recipe) || service.network.ports.isEmpty())) return true;
        return app.mounts.stream().filter(Mount::hasManagePy)
            .anyMatch(m -> service.mounts.stream().anyMatch(other -> m.source.equals(other.source)));
    }

    private static boolean mentions(Service service, Set<String> hosts) {
        return service.environment.values().stream().anyMatch(value -> mentionsHost(value, hosts));
    }

    /** The value is the host, with or without a port, or contains it as a URL or a connection string does. */
    private static boolean mentionsHost(String value, Set<String> hosts) {
        return hosts.stream().anyMatch(host ->
            Pattern.compile("(?i)(^|[/@,;]|host=)" + Pattern.quote(host) + "(:\\d+)?([/?,;\\s]|$)").matcher(value)
                .find());
    }

    private static boolean contains(Path folder, Path file) {
        return file.startsWith(folder) || file.startsWith(Disk.real(folder));
    }
}
