package support;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/**
 * The sample CRM in Compose, like the project that the tool was made for: a database with a health check, a backend
 * whose entrypoint migrates before it serves, a worker that keeps sessions open, all with
 * {@code restart: unless-stopped}. Its folder's name, which Compose uses as the project's, is unique; {@link #close}
 * removes all of it from the engine.
 */
public final class ComposeProject implements AutoCloseable {
    private static final Map<String, String> CLASSIC_BUILDER =
            Map.of("DOCKER_BUILDKIT", "0", "COMPOSE_DOCKER_CLI_BUILD", "0"); // works without a registry

    private final SampleProject sample;
    private final Docker.Compose compose;
    private final Postgres.Role owner = new Postgres.Role("crm_user", "pa55 word#1");
    private final Thread atExit = new Thread(this::remove);

    private ComposeProject(SampleProject sample, Docker.Compose compose) {
        this.sample = sample;
        this.compose = compose;
        Runtime.getRuntime().addShutdownHook(atExit);
    }

    /** @param state as {@code docker inspect} names it @param health "" without a check */
    public record Container(String id, String state, String health, int restarts, String startedAt) {}

    /** In a new folder of {@code parent}, with mounted code and no published port; nothing is built or started. */
    public static ComposeProject in(Path parent, Docker.Compose compose) throws IOException {
        Docker.assume(compose);
        var name = "rmtest" + Long.toHexString(ThreadLocalRandom.current().nextLong() >>> 16);
        var sample = SampleProject.copyTo(Files.createDirectory(parent.resolve(name)));
        var project = new ComposeProject(sample, compose);
        sample.env(new Postgres.Db("db", 5432, "crm_dev", project.owner));
        var shape = Repo.root().resolve("tests/docker/project");
        try (var files = Files.walk(shape)) {
            for (var file : files.filter(Files::isRegularFile).toList())
                Files.copy(file, sample.root().resolve(shape.relativize(file)), StandardCopyOption.COPY_ATTRIBUTES);
        }
        return project;
    }

    /** The code is only in the image, not mounted. */
    public ComposeProject baked() throws IOException {
        return edit(yaml -> yaml.replace("    volumes:\n      - ./crm_backend:/app\n", ""));
    }

    /** The database's port is published on a free one of this machine's loopback. */
    public ComposeProject published() throws IOException {
        return edit(yaml -> yaml.replace(
                "    restart: unless-stopped\n\n  backend:",
                "    ports:\n      - \"127.0.0.1::5432\"\n    restart: unless-stopped\n\n  backend:"));
    }

    /** Changes docker-compose.yml; a change without an effect is an error. */
    public ComposeProject edit(UnaryOperator<String> change) throws IOException {
        return edit(composeFile(), change);
    }

    /** The same for .env. */
    public ComposeProject editEnv(UnaryOperator<String> change) throws IOException {
        return edit(root().resolve(".env"), change);
    }

    private ComposeProject edit(Path file, UnaryOperator<String> change) throws IOException {
        var before = Files.readString(file);
        var after = change.apply(before);
        if (after.equals(before)) throw new IllegalArgumentException("nothing to change in " + before);
        Files.writeString(file, after);
        return this;
    }

    /** Builds and starts all with the broken history: the backend crashes in a loop, the worker keeps sessions. */
    public ComposeProject start() throws IOException {
        startDatabase();
        compose("up", "-d");
        awaitSessions();
        return this;
    }

    /** Builds, and starts only the database, with the broken history. */
    public ComposeProject startDatabase() throws IOException {
        compose("build");
        compose("up", "-d", "db");
        await("db", container -> container.health().equals("healthy"));
        return loadHistory();
    }

    /** The output of {@code compose ARGS…} in the project's folder, which has to succeed. */
    public String compose(String... args) throws IOException {
        return Docker.run(root(), CLASSIC_BUILDER, null, compose.command(args));
    }

    /** The tables and rows of the broken history, through psql in the database's container. */
    public ComposeProject loadHistory() throws IOException {
        psql(Repo.root().resolve("tests/projects/crm/history.sql"), "-d", "crm_dev");
        return this;
    }

    /** The rows of a query in the project's database, a line each, columns separated by {@code |}. */
    public String query(String sql) throws IOException {
        return query("crm_dev", sql);
    }

    /** The same in another database of the server. */
    public String query(String database, String sql) throws IOException {
        return psql(null, "-d", database, "-c", sql);
    }

    private String psql(Path in, String... args) throws IOException {
        // bounded: the worker's idle transaction would block a DROP forever
        var command = Stream.of("docker", "exec", "-i", "-e", "PGOPTIONS=-c lock_timeout=20s -c statement_timeout=60s",
                id("db"), "psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", owner.name());
        return Docker.run(root(), Map.of(), in, Stream.concat(command, Stream.of(args)).toList());
    }

    /** The database at the container's own address, which works on the engine's machine without a published port. */
    public Postgres.Db db() throws IOException {
        var address = Docker.run("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id("db"));
        return new Postgres.Db(address, 5432, "crm_dev", owner);
    }

    /** Schema, every row and every file, to compare before and after; the database has to run. */
    public List<String> snapshot() throws IOException, SQLException {
        var lines = new ArrayList<>(Snapshot.of(root()));
        lines.addAll(Snapshot.of(db()));
        return lines;
    }

    /** Every service's container, running or not, without one-offs. */
    public Map<String, Container> containers() throws IOException {
        var containers = new TreeMap<String, Container>();
        var ids = list("False");
        if (ids.isEmpty()) return containers;
        var inspect = Stream.concat(Stream.of("inspect", "-f", """
            {{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.Status}} {{.RestartCount}} {{.State.StartedAt}} {{with .State.Health}}{{.Status}}{{end}}"""), ids.stream());
        for (var line : Docker.run(inspect.toArray(String[]::new)).lines().toList()) {
            var word = Arrays.copyOf(line.split(" "), 6);
            containers.put(
                    word[0],
                    new Container(
                            word[1], word[2], word[5] == null ? "" : word[5], Integer.parseInt(word[3]), word[4]));
        }
        return containers;
    }

    /** Every service's container by its id, which stays the same when it is only stopped and started. */
    public Map<String, String> ids() throws IOException {
        var ids = new TreeMap<String, String>();
        containers().forEach((service, container) -> ids.put(service, container.id()));
        return ids;
    }

    /** Containers of {@code compose run}, running or not: after a test there should be none. */
    public List<String> oneOffs() throws IOException {
        return list("True");
    }

    private List<String> list(String oneOff) throws IOException {
        return Docker.run("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project=" + name(),
                        "--filter", "label=com.docker.compose.oneoff=" + oneOff)
                .lines()
                .toList();
    }

    /** The command lines of the processes in a service's container. */
    public List<String> processes(String service) throws IOException {
        return Docker.run("top", id(service), "-eo", "args").lines().skip(1).toList();
    }

    /** The id of a service's container. */
    public String id(String service) throws IOException {
        var container = containers().get(service);
        if (container == null) throw new IOException("no container of " + service + " in " + name());
        return container.id();
    }

    /** Both output streams of a service's container. */
    public String logs(String service) throws IOException {
        return Docker.run(root(), Map.of(), null, List.of("sh", "-c", "exec docker logs \"$0\" 2>&1", id(service)));
    }

    /** Waits for a state of a service's container, for a minute at most. */
    public Container await(String service, Predicate<Container> wanted) throws IOException {
        var end = System.nanoTime() + Duration.ofMinutes(1).toNanos();
        while (true) {
            var container = containers().get(service);
            if (container != null && wanted.test(container)) return container;
            if (System.nanoTime() > end)
                throw new IOException(service + " is " + container + (container == null ? "" : "\n" + logs(service)));
            pause();
        }
    }

    /** Waits until the backend was restarted at least twice. */
    public Container awaitCrashLoop() throws IOException {
        return await("backend", container -> container.restarts() >= 2);
    }

    /** Waits until the worker has both of its sessions, one of them idle in a transaction. */
    public void awaitSessions() throws IOException {
        var end = System.nanoTime() + Duration.ofMinutes(1).toNanos();
        while (!sessions().contains("idle in transaction") || sessions().size() < 2) {
            if (System.nanoTime() > end) throw new IOException("the worker has no sessions\n" + logs("worker"));
            pause();
        }
    }

    /** The states of the sessions that come from other containers. */
    public List<String> sessions() throws IOException {
        return query("SELECT state FROM pg_stat_activity WHERE datname = 'crm_dev' AND client_addr IS NOT NULL AND"
                        + " host(client_addr) <> '127.0.0.1' ORDER BY state")
                .lines()
                .toList();
    }

    private static void pause() throws IOException {
        try {
            Thread.sleep(100);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    public Path root() {
        return sample.root();
    }

    /** The folder with manage.py, mounted or copied to /app. */
    public Path backend() {
        return sample.backend();
    }

    public Path composeFile() {
        return root().resolve("docker-compose.yml");
    }

    /** The name that Compose gives to the project. */
    public String name() {
        return root().getFileName().toString();
    }

    public Docker.Compose version() {
        return compose;
    }

    /** A script in its own process, in the project's folder, with only this Compose on the PATH. */
    public Tool tool(String script) throws IOException {
        return Tool.in(root(), script).env("PATH", compose.onlyOn(root().resolveSibling(name() + ".bin")));
    }

    /**
     * The same as another user, which only root can become. The user can read everything, because the classes may be in
     * a private folder, but write only own files.
     *
     * @param group of the user, or null
     */
    public Tool toolAs(int user, Integer group, String script) throws IOException {
        assumeTrue("root".equals(System.getProperty("user.name")), "only root can become another user");
        var home = Files.createDirectories(root().resolveSibling(name() + ".home"));
        Files.setAttribute(home, "unix:uid", user);
        Files.setPosixFilePermissions(root().getParent(), PosixFilePermissions.fromString("rwx--x--x"));
        return tool(script)
                .env("HOME", home.toString())
                .env("XDG_STATE_HOME", home.resolve("state").toString())
                .by("setpriv", "--reuid=" + user, "--regid=" + user,
                        group == null ? "--clear-groups" : "--groups=" + group, "--inh-caps=-all,+dac_read_search",
                        "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search");
    }

    /** All of the project's files become this user's. */
    public ComposeProject ownedBy(int user) throws IOException {
        try (var files = Files.walk(root())) {
            for (var file : files.toList())
                for (var id : List.of("unix:uid", "unix:gid"))
                    Files.setAttribute(file, id, user, LinkOption.NOFOLLOW_LINKS);
        }
        return this;
    }

    /** The owners of the project's files, without those that Python compiles. */
    public Set<Object> owners() throws IOException {
        var owners = new HashSet<>();
        try (var files = Files.walk(root())) {
            for (var file : files.filter(file -> !file.toString().contains("__pycache__"))
                    .toList()) owners.add(Files.getAttribute(file, "unix:uid", LinkOption.NOFOLLOW_LINKS));
        }
        return owners;
    }

    /** Removes all of it from the engine. Fails when the database's server has crashed. */
    @Override
    public void close() throws IOException {
        try {
            refuseCrash();
        } finally {
            remove();
            Runtime.getRuntime().removeShutdownHook(atExit);
        }
    }

    /**
     * In its container PostgreSQL is process 1 and inherits orphaned processes: one that a signal ends counts as a
     * crashed backend, and the server ends all sessions.
     */
    private void refuseCrash() throws IOException {
        if (!containers().containsKey("db")) return;
        var said = logs("db");
        if (said.contains("terminating any other active server processes"))
            throw new AssertionError("the database's server has crashed\n" + said);
    }

    /** By label, not by {@code down}: without time-outs, and including one-offs and services of a broken file. */
    private void remove() {
        try {
            var own = "label=com.docker.compose.project=" + name();
            if (!"root".equals(System.getProperty("user.name"))
                    && Files.exists(root())) // what a container wrote is root's
            Docker.run("run", "--rm", "-v", root() + ":/project", Docker.BARE, "busybox", "chown", "-R",
                        Files.getAttribute(root(), "unix:uid") + "", "/project");
            all(List.of("ps", "-aq", "--filter", own), "rm", "-f", "-v");
            all(List.of("network", "ls", "-q", "--filter", own), "network", "rm");
            all(List.of("volume", "ls", "-q", "--filter", own), "volume", "rm", "-f");
            // by name: projects with the same code share an image
            all(
                    List.of("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=" + name() + "*"),
                    "rmi");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void all(List<String> list, String... remove) throws IOException {
        var found = Docker.run(list.toArray(String[]::new)).lines().distinct();
        var command = Stream.concat(Stream.of(remove), found).toArray(String[]::new);
        if (command.length > remove.length) Docker.run(command);
    }
}
