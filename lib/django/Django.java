package lib.django;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import lib.error.Failure;
import lib.files.Disk;
import lib.postgres.SchemaCatalog;
import lib.postgres.Sql;
import lib.process.Interruption;

/**
 * The project's Django, in one process of the project's own interpreter. Every error there becomes a {@link Failure}
 * with the exception's text, secrets masked. Not for several threads.
 */
public final class Django implements Migrator, AutoCloseable {
    private final PythonCommand python;
    private final Conversation conversation;
    private final PythonProcess process;
    /** Where the driver puts new migrations; null in a container, where the driver finds a place itself. */
    private final Path staging;
    private boolean transactionOpen;

    /**
     * The live project as Django sees it.
     *
     * @param oid       of the database that Django is connected to
     * @param unapplied migrations
     * @param drift     what makemigrations would write, beyond the baseline
     * @param failing   the project's own system checks that fail, beyond the baseline
     */
    public record CheckResult(long oid, List<String> unapplied, List<String> drift, List<String> failing) {}

    /**
     * Starts Python and, inside it, Django; returns at once.
     *
     * @param settingsModule null: manage.py and DJANGO_SETTINGS_MODULE decide
     * @param progress       gets "contenttypes.0001_initial (3 of 24)" while migrating
     */
    public static Django start(PythonCommand python, String settingsModule, Consumer<String> progress) {
        return new Django(python, settingsModule, null, progress);
    }

    /** Reads the settings in a process of its own, which loads no app. */
    public static DefaultDatabase defaultDatabase(PythonCommand python, String settingsModule) {
        try (var django = new Django(python, settingsModule, "settings", progress -> {})) {
            return django.conversation.ask("reading the project's settings", "defaultDatabase", Map.of(),
                    DefaultDatabase.class);
        }
    }

    private Django(PythonCommand python, String settingsModule, String only, Consumer<String> progress) {
        this.python = python;
        staging = python.container() != null ? null : Path.of(System.getProperty("java.io.tmpdir"),
                "reset_migrations_" + HexFormat.of().formatHex(new SecureRandom().generateSeed(8)));
        conversation = new Conversation(python, settingsModule, only, staging, progress);
        process = conversation.process();
    }

    /** How long Python may print nothing while it works, before it is stopped. For tests. */
    Django silenceLimit(Duration limit) {
        process.silenceLimit(limit);
        return this;
    }

    /** The service in whose container it runs; null on this machine. */
    public String service() {
        return python.container() == null ? null : python.container().service();
    }

    /**
     * Django's own view of the project; works on broken migrations too.
     *
     * @param proofKey of an advisory lock, below 2^62, that the caller holds until this returns
     * @param onlyApps labels to select; empty means every own app
     * @throws Failure also when one of the labels is not an own app
     */
    public Description describe(long proofKey, List<String> onlyApps) {
        var description = conversation.ask("reading the project's settings and models", "describe",
                Map.of("key", proofKey, "only", onlyApps), Description.class);
        var own = description.apps().stream().filter(Description.App::own).map(Description.App::label).toList();
        var unknown = onlyApps.stream().filter(label -> !own.contains(label)).toList();
        if (!unknown.isEmpty())
            throw Failure.usage("not an app of this project whose migrations can be reset: "
                    + String.join(", ", unknown)).next("these can: " + String.join(", ", own));
        return description;
    }

    /**
     * Makes new migrations for these apps, and no others, in a separate folder; later migrations use them. Needs
     * {@link #describe} first.
     */
    public NewMigrations generate(List<String> labels, List<Description.CarriedOperation> carried) {
        return conversation.ask("making the new migrations", "generate", Map.of("labels", labels,
                "carried", carried.stream().map(Description.CarriedOperation::number).toList()), NewMigrations.class);
    }

    private record ExtensionsReply(List<String> extensions) {}

    @Override
    public List<String> migrateInto(String database) {
        return conversation.ask("migrating the new database", "migrate", Map.of("database", database),
                ExtensionsReply.class).extensions;
    }

    private record MadeRowsReply(List<MadeRows> rows) {}

    @Override
    public Optional<List<MadeRows>> migrateOldInto(String database, Duration limit) {
        var arguments = new HashMap<String, Object>(Map.of("database", database));
        if (limit != null) arguments.put("seconds", limit.toSeconds());
        return Optional.ofNullable(conversation.ask("running the old migrations", "migrateOld", arguments,
                MadeRowsReply.class).rows);
    }

    @Override
    public void buildModels(String database, String schema) {
        conversation.ask("building the models", "buildModels", Map.of("database", database, "schema", schema));
    }

    @Override
    public void migrateLive() {
        conversation.ask("migrating the live database", "migrate", Map.of());
    }

    @Override
    public void migrateInTransaction(List<String> before) {
        transactionOpen = true;
        conversation.ask("migrating in one transaction", "migrateInTransaction", Map.of("statements", before));
    }

    private record Rows(List<List<String>> rows) {}

    @Override
    public SchemaCatalog catalogInTransaction(String schema) {
        return SchemaCatalog.of(schema, conversation.ask("reading the new schema", "query",
                Map.of("search_path", Sql.identifier(schema), "sql", SchemaCatalog.query(schema)), Rows.class).rows);
    }

    @Override
    public SchemaCatalog modelsInTransaction(String second, String schema) {
        return SchemaCatalog.ofSecond(second, schema, conversation.ask("building the models", "modelsInTransaction",
                Map.of("schema", second, "search_path", SchemaCatalog.searchPath(second, schema), "sql",
                        SchemaCatalog.query(second)), Rows.class).rows);
    }

    /** Not stopped by a signal: it would be unknown whether the transaction was committed. */
    @Override
    public void commit() {
        transactionOpen = false;
        conversation.askUninterrupted("committing", "commit", Map.of());
    }

    @Override
    public void rollback() {
        if (!transactionOpen) return;
        transactionOpen = false;
        try {
            if (process.isAlive()) conversation.askUninterrupted("rolling back", "rollback", Map.of());
        } catch (Failure e) {
            var problem = e.problem();
            var ended = problem instanceof DjangoProblem.PythonEnded || problem instanceof DjangoProblem.NoOutput;
            if (!ended) throw e; // the server rolls back when the connection is closed
        }
    }

    /**
     * Looks at the live project, in a process that has not generated anything.
     *
     * @param baseline drift and failing system checks that do not count
     * @param written  the new migration files, which an image with its own code does not have
     */
    public CheckResult check(List<String> labels, Set<String> baseline, Collection<Path> written) throws IOException {
        if (!python.codeInImage()) return check(labels, baseline);
        var texts = new TreeMap<String, String>(); // with all files beside them, which migrations may import
        for (var folder : written.stream().map(Path::getParent).distinct().toList())
            for (var file : pythonFiles(folder))
                texts.put(python.backend().relativize(file).toString().replace('\\', '/'), Files.readString(file));
        var arguments = Map.of("labels", labels, "baseline", baseline, "files", texts);
        return conversation.ask("checking the project", "check", arguments, CheckResult.class);
    }

    /** With the migration files that this Python sees. */
    CheckResult check(List<String> labels, Set<String> baseline) {
        var arguments = Map.of("labels", labels, "baseline", baseline);
        return conversation.ask("checking the project", "check", arguments, CheckResult.class);
    }

    /** Files whose content in the image differs from the one here, relative to manage.py's folder. */
    public List<String> staleInImage(Description description) throws IOException {
        if (!python.codeInImage()) return List.of();
        var inside = hashes("reading the code in the image", "codeInImage", Map.of());
        var folders = description.selected().stream().map(Description.App::migrationsFolder).toList();
        var files = new TreeSet<>(inside.keySet());
        files.removeIf(file -> !Files.isRegularFile(file) && !folders.contains(file.getParent()));
        for (var path : Migrations.in(python.backend(), folders).paths()) files.add(python.backend().resolve(path));
        return List.copyOf(differing(files, inside));
    }

    /**
     * Mounted files whose content in the container differs from the one here, relative to manage.py's folder: another
     * volume covers their folder, or the engine does not share it.
     */
    public List<String> hiddenInContainer(Description description) throws IOException {
        if (python.container() == null || python.codeInImage()) return List.of();
        var inside = hashes("comparing the mounted files", "mountedFiles", Map.of("labels", description.labels()));
        var root = conversation.here(python.root());
        var files = new TreeSet<>(inside.keySet());
        files.removeIf(file -> !file.startsWith(root));
        files.add(python.backend().resolve("manage.py"));
        var elsewhere = new TreeSet<String>();
        for (var folder : description.selected().stream().map(Description.App::migrationsFolder).toList()) {
            if (!folder.startsWith(root)) elsewhere.add(folder.toString());
            else if (Files.isDirectory(folder)) files.addAll(pythonFiles(folder));
        }
        elsewhere.addAll(differing(files, inside));
        return List.copyOf(elsewhere);
    }

    /** SHA-256 by path, as the driver sees the files; paths as they are here. */
    private Map<Path, String> hashes(String doing, String command, Map<String, ?> arguments) {
        var hashes = new HashMap<Path, String>();
        conversation.ask(doing, command, arguments).getAsJsonObject().asMap()
                .forEach((path, hash) -> hashes.put(conversation.here(path), hash.getAsString()));
        return hashes;
    }

    private Set<String> differing(Set<Path> files, Map<Path, String> inside) throws IOException {
        var differing = new TreeSet<String>();
        for (var file : files) {
            var same = inside.containsKey(file) && Disk.hasContent(file, inside.get(file));
            if (!same) differing.add(python.backend().relativize(file).toString());
        }
        return differing;
    }

    private static List<Path> pythonFiles(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(".py")).toList();
        }
    }

    /** The last lines of its standard error, secrets masked. */
    List<String> lastErrorLines() {
        return process.lastErrorLines();
    }

    @Override
    public void close() {
        process.close();
        // even after a signal: a killed Compose removes no container
        if (python.container() != null) Interruption.uninterruptibly(python.container().remove());
        if (staging == null) return;
        try {
            Disk.removeTree(staging); // in case the driver was killed
        } catch (IOException ignored) {
            // the system cleans its temporary folder
        }
    }
}
