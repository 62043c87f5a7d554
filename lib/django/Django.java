package lib.django;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import lib.error.Failure;
import lib.files.Disk;
import lib.process.Interruption;
import lib.process.Program;

/**
 * The project's Django, in one process of the project's own interpreter. Every failure in there comes as a
 * {@link Failure} with the exception's words, secrets masked. Not for several threads.
 */
public final class Django implements Migrator, AutoCloseable {
    private final PythonCommand python;
    private final Conversation conversation;
    private final PythonProcess process;
    /** Where the driver puts new migrations; null in a container, where the driver finds a place itself. */
    private final Path staging;
    private boolean transactionOpen;

    /** On this machine. @param python the interpreter, with environment, and the folder of manage.py as its folder */
    public static Django start(Program python, String settingsModule, Path projectRoot, Consumer<String> progress) {
        return start(PythonCommand.local(python, projectRoot), settingsModule, progress);
    }

    /**
     * Starts Python and, inside it, Django; returns at once.
     *
     * @param settingsModule null: as manage.py and DJANGO_SETTINGS_MODULE decide
     * @param progress       gets "contenttypes.0001_initial (3 of 24)" while migrating
     */
    public static Django start(PythonCommand python, String settingsModule, Consumer<String> progress) {
        return new Django(python, settingsModule, progress);
    }

    private Django(PythonCommand python, String settingsModule, Consumer<String> progress) {
        this.python = python;
        staging = python.container() != null ? null : Path.of(System.getProperty("java.io.tmpdir"),
                "reset_migrations_" + HexFormat.of().formatHex(new SecureRandom().generateSeed(8)));
        conversation = new Conversation(python, settingsModule, staging, progress);
        process = conversation.process();
    }

    /** How long Python may print nothing while it works; then it is stopped. For tests. */
    Django silenceLimit(Duration limit) {
        process.silenceLimit(limit);
        return this;
    }

    /** In whose container it runs; null on this machine. */
    public String service() {
        return python.container() == null ? null : python.container().service();
    }

    /**
     * Django's own view of the project; works however broken the migrations are.
     *
     * @param proofKey of an advisory lock that the caller holds meanwhile, below 2^62
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
     * Makes new migrations for these apps, and no others, in a folder of its own; from then on migrate uses those.
     * After {@link #describe}.
     */
    public NewMigrations generate(List<String> labels, List<Description.CarriedOperation> carried) {
        return conversation.ask("making the new migrations", "generate", Map.of("labels", labels,
                "carried", carried.stream().map(Description.CarriedOperation::number).toList()), NewMigrations.class);
    }

    @Override
    public void migrateInto(String database) {
        conversation.ask("migrating the new database", "migrateInto", Map.of("database", database));
    }

    @Override
    public void migrateLive() {
        conversation.ask("migrating the live database", "migrateLive", Map.of());
    }

    @Override
    public void migrateInTransaction(List<String> before) {
        transactionOpen = true;
        conversation.ask("migrating in one transaction", "migrateInTransaction", Map.of("statements", before));
    }

    /** Not stopped by a signal: nobody could tell afterwards whether it was done. */
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
            switch (e.problem()) {
                case DjangoProblem.PythonEnded ignored -> { } // that rolled back
                case DjangoProblem.NoOutput ignored -> { }    // it was killed
                default -> throw e;
            }
        }
    }

    /**
     * Looks at the live project; meant for a process that has not generated anything.
     *
     * @param baseline drift that does not count
     * @param written  the new migration files, which an image with its own code does not have
     */
    public CheckResult check(List<String> labels, Set<String> baseline, Collection<Path> written) throws IOException {
        if (!python.codeInImage()) return check(labels, baseline);
        return check(Map.of("labels", labels, "baseline", baseline, "files", byFolder(written)));
    }

    /** With the migration files that this Python sees. */
    CheckResult check(List<String> labels, Set<String> baseline) {
        return check(Map.of("labels", labels, "baseline", baseline));
    }

    private CheckResult check(Map<String, ?> arguments) {
        return conversation.ask("checking the project", "check", arguments, CheckResult.class);
    }

    /**
     * All texts beside these, as migrations may import other modules there: by folder below manage.py's, and name.
     */
    private Map<String, Map<String, String>> byFolder(Collection<Path> files) throws IOException {
        var texts = new TreeMap<String, Map<String, String>>();
        for (var folder : files.stream().map(Path::getParent).distinct().toList()) {
            var byName = new TreeMap<String, String>();
            for (var file : pythonFiles(folder)) byName.put(file.getFileName().toString(), Files.readString(file));
            texts.put(python.backend().relativize(folder).toString().replace('\\', '/'), byName);
        }
        return texts;
    }

    private static List<Path> pythonFiles(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(".py")).toList();
        }
    }

    /** Files whose text in the image differs from the one here, as relative paths. */
    public List<String> staleInImage(Description description) throws IOException {
        if (!python.codeInImage()) return List.of();
        var inside = conversation.ask("reading the code in the image", "sources", Map.of()).getAsJsonObject();
        var folders = description.selected().stream().map(Description.App::migrationsFolder).toList();
        var differing = new TreeSet<String>();
        for (var path : inside.keySet()) {
            var here = python.backend().resolve(path);
            var differs = Files.isRegularFile(here) ? !Disk.hasContent(here, inside.get(path).getAsString())
                    : folders.contains(here.getParent());
            if (differs) differing.add(path);
        }
        for (var path : Migrations.in(python.backend(), folders).paths()) if (!inside.has(path)) differing.add(path);
        return List.copyOf(differing);
    }

    /**
     * Mounted files that are others in the container, as paths here: another volume covers their folder, or the engine
     * does not share it.
     */
    public List<String> hiddenInContainer(Description description) throws IOException {
        if (python.container() == null || python.codeInImage()) return List.of();
        var seen = conversation.ask("comparing the mounted files", "seen", Map.of("labels", description.labels()))
                .getAsJsonObject();
        var hidden = new TreeSet<String>();
        var managePy = python.backend().resolve("manage.py");
        if (!Disk.hasContent(managePy, seen.get("manage").getAsString())) hidden.add("manage.py");
        for (var app : description.selected()) {
            var folder = app.migrationsFolder();
            if (!folder.startsWith(conversation.here(python.root()))) {
                hidden.add(folder.toString());
                continue;
            }
            var inside = seen.getAsJsonObject("migrations").getAsJsonObject(app.label());
            var names = new TreeSet<>(inside.keySet());
            if (Files.isDirectory(folder))
                for (var file : pythonFiles(folder)) names.add(file.getFileName().toString());
            for (var name : names) {
                var here = folder.resolve(name);
                var same = inside.has(name) && Files.isRegularFile(here)
                        && Disk.hasContent(here, inside.get(name).getAsString());
                if (!same) hidden.add(python.backend().relativize(here).toString());
            }
        }
        return List.copyOf(hidden);
    }

    /** The last lines of its standard error, secrets masked. */
    List<String> lastErrorLines() {
        return process.lastErrorLines();
    }

    @Override
    public void close() {
        process.close();
        // even when interrupted: a killed Compose removes no container
        if (python.container() != null) Interruption.uninterruptibly(python.container().remove());
        if (staging == null) return;
        try {
            Disk.removeTree(staging); // a driver that was killed could not
        } catch (IOException ignored) {
            // it holds texts only, and the system cleans that folder up
        }
    }
}
