package lib.django;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.lang.reflect.RecordComponent;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.postgres.Database;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Interpreter;
import lib.project.Project;

/**
 * One conversation with one Python process in the project's own interpreter: django_driver.py, JSON lines over its
 * stdin and stdout. Every failure inside comes as {@link Problem.DjangoFailed}, passwords masked. Not for several threads.
 */
public final class Django implements Migrator, AutoCloseable {
    /** Reads as much as it is told to and no more: what follows is the conversation. The text itself is too long, and nobody's business, in a container's record. */
    private static final String BOOT = """
            import os
            def _read(n):
                text = b""
                while len(text) < n:
                    more = os.read(0, n - len(text))
                    if not more: os._exit(0)
                    text += more
                return text
            exec(compile(_read(int(_read(8))), "<string>", "exec"))""";

    /** Where the driver puts fresh migrations while they are not in place; null where it finds a place itself. */
    private final Path staging;
    private static final int KEPT_LINES = 200;
    private final Gson json = new GsonBuilder().registerTypeHierarchyAdapter(Path.class,
            (com.google.gson.JsonDeserializer<Path>) (text, type, context) -> here(text.getAsString())).create();
    private static final String END = "";
    private static final long GRACE = 1_000_000_000; // nanoseconds for the last lines of a process that has ended
    private static final int LONGEST = 1 << 20;      // characters of a line that is not ours

    private final Process process;
    private final PythonCommand python;
    private CodePaths paths;
    private final String token = HexFormat.of().formatHex(new SecureRandom().generateSeed(16));
    private final Consumer<String> progress;
    private final Writer commands;
    private final ExecutorService writer = Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().factory()); // who does not read is not waited for
    private final LinkedBlockingQueue<String> lines = new LinkedBlockingQueue<>();
    private final ArrayDeque<String> errors = new ArrayDeque<>();
    private final Thread errorReader;
    private volatile List<String> secrets = List.of();
    private volatile long lastSign = System.nanoTime();
    private Duration silenceLimit = Duration.ofSeconds(300);
    private boolean open;

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
        this.progress = progress;
        this.python = python;
        paths = python.paths();
        staging = python.container() != null ? null : Path.of(System.getProperty("java.io.tmpdir"), "reset_migrations_" + HexFormat.of().formatHex(new SecureRandom().generateSeed(8)));
        process = python.start().with("-c", BOOT).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1").env("PGAPPNAME", Database.APPLICATION).start();
        commands = new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8);
        errorReader = Thread.ofPlatform().daemon().start(this::readErrors);
        Thread.ofPlatform().daemon().start(this::readLines);
        var hello = new JsonObject();
        hello.addProperty("token", token);
        hello.addProperty("staging", staging == null ? null : staging.toString());
        hello.addProperty("root", python.root());
        hello.addProperty("managePy", python.container() == null ? null : python.container().managePy());
        hello.addProperty("settings", settingsModule);
        var driver = driver();
        write("%08d%s".formatted(driver.getBytes(StandardCharsets.UTF_8).length, driver));
        send(hello);
    }

    private Path here(String path) {
        return paths.here(path);
    }

    /** Differences between the code in the image and the code here, as relative paths; none where it is the same code. */
    public List<String> staleInImage(Description description) throws IOException {
        if (!python.codeInImage()) return List.of();
        var inside = new TreeMap<String, String>();
        ask("reading the code in the image", "sources", Map.of()).getAsJsonObject().asMap().forEach((path, hash) -> inside.put(path, hash.getAsString()));
        var folders = description.selected().stream().map(Description.App::migrationsFolder).toList();
        var differing = new TreeSet<String>();
        for (var file : inside.entrySet()) {
            var here = python.backend().resolve(file.getKey());
            if (Files.isRegularFile(here) ? !Disk.hasContent(here, file.getValue()) : folders.contains(here.getParent())) differing.add(file.getKey());
        }
        for (var folder : folders) for (var file : Migrations.in(python.backend(), List.of(folder)).paths()) if (!inside.containsKey(file)) differing.add(file);
        return List.copyOf(differing);
    }

    /** Mounted files that are other files in the container, as paths here: another volume lies over their folder, or the engine does not share it. */
    public List<String> hiddenInContainer(Description description) throws IOException {
        if (python.container() == null || python.codeInImage()) return List.of();
        var seen = ask("comparing the mounted files", "seen", Map.of("labels", description.labels())).getAsJsonObject();
        var hidden = new TreeSet<String>();
        if (!Disk.hasContent(python.backend().resolve("manage.py"), seen.get("manage").getAsString())) hidden.add("manage.py");
        for (var app : description.selected()) {
            if (!app.migrationsFolder().startsWith(here(python.root()))) {
                hidden.add(app.migrationsFolder().toString());
                continue;
            }
            var inside = seen.getAsJsonObject("migrations").getAsJsonObject(app.label());
            var all = new TreeSet<>(inside.keySet());
            if (Files.isDirectory(app.migrationsFolder())) {
                try (var here = Files.list(app.migrationsFolder())) {
                    here.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".py")).forEach(all::add);
                }
            }
            for (var name : all) {
                var here = app.migrationsFolder().resolve(name);
                if (!inside.has(name) || !Files.isRegularFile(here) || !Disk.hasContent(here, inside.get(name).getAsString())) hidden.add(python.backend().relativize(here).toString());
            }
        }
        return List.copyOf(hidden);
    }

    /** In whose container it runs; null on this machine. */
    public String service() {
        return python.container() == null ? null : python.container().service();
    }

    /** How long Django may say nothing while it works; then it is stopped. For tests. */
    Django silenceLimit(Duration limit) {
        silenceLimit = limit;
        return this;
    }

    private static String driver() {
        try (var in = Django.class.getResourceAsStream("django_driver.py")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Django's own view of the project; works however broken the history is.
     *
     * @param proofKey of an advisory lock that the caller holds meanwhile, below 2^62
     * @param onlyApps labels to select; empty means every own app
     * @throws Failure also when one of the labels is not an own app
     */
    public Description describe(long proofKey, List<String> onlyApps) {
        var description = ask("reading the project's settings and models", "describe", Map.of("key", proofKey, "only", onlyApps), Description.class);
        var own = description.apps().stream().filter(Description.App::own).map(Description.App::label).toList();
        var unknown = onlyApps.stream().filter(label -> !own.contains(label)).toList();
        if (!unknown.isEmpty()) throw new Failure(new Problem.NotOwnApps(unknown, own));
        return description;
    }

    /**
     * Makes fresh migrations for these apps, and no others, in a folder of its own; from then on migrate uses those.
     * After {@link #describe}.
     */
    public NewMigrations generate(List<String> labels, List<Description.CarriedOperation> carried) {
        return ask("making the new migrations", "generate", Map.of("labels", labels, "carried", carried.stream().map(Description.CarriedOperation::number).toList()), NewMigrations.class);
    }

    @Override
    public void migrateInto(String database) {
        ask("migrating the new database", "migrateInto", Map.of("database", database));
    }

    @Override
    public void migrateInTransaction(List<String> before) {
        open = true;
        ask("migrating in one transaction", "migrateInTransaction", Map.of("statements", before));
    }

    /** Not stopped by a signal: nobody could tell afterwards whether it was done. */
    @Override
    public void commit() {
        open = false;
        answerTo("committing", "commit", Map.of());
    }

    @Override
    public void rollback() {
        if (!open) return;
        open = false;
        try {
            if (process.isAlive()) answerTo("rolling back", "rollback", Map.of());
        } catch (Failure e) {
            if (!(e.problem() instanceof Problem.DriverDied || e.problem() instanceof Problem.DjangoSilent)) throw e;
            // a dead process has rolled back, and a silent one is dead now
        }
    }

    @Override
    public void migrateLive() {
        ask("migrating the live database", "migrateLive", Map.of());
    }

    /** Looks at the live project as it stands; meant for a process that has not generated anything. */
    public CheckResult check(List<String> labels, Set<String> baseline) {
        return ask("checking the project", "check", Map.of("labels", labels, "baseline", baseline), CheckResult.class);
    }

    /** @param fresh the new files: an image that has the code does not have these */
    public CheckResult check(List<String> labels, Set<String> baseline, Collection<Path> fresh) throws IOException {
        if (!python.codeInImage()) return check(labels, baseline);
        return ask("checking the project", "check", Map.of("labels", labels, "baseline", baseline, "files", byFolder(fresh)), CheckResult.class);
    }

    /** All texts beside these, as other modules there may be imported: by folder below manage.py's, and name. */
    private Map<String, Map<String, String>> byFolder(Collection<Path> fresh) throws IOException {
        var texts = new TreeMap<String, Map<String, String>>();
        for (var folder : fresh.stream().map(Path::getParent).distinct().toList()) {
            var names = new TreeMap<String, String>();
            try (var files = Files.list(folder)) {
                for (var file : files.filter(f -> f.toString().endsWith(".py")).toList()) names.put(file.getFileName().toString(), Files.readString(file));
            }
            texts.put(python.backend().relativize(folder).toString().replace('\\', '/'), names);
        }
        return texts;
    }

    /** The last lines of its stderr, passwords masked. */
    public List<String> lastErrorLines() {
        synchronized (errors) {
            return errors.stream().map(this::masked).toList();
        }
    }

    @Override
    public void close() {
        var children = process.descendants().toList(); // once it has ended, they are nobody's
        inOrder(commands::close); // it ends when its stdin does, and what is uncommitted is rolled back
        writer.shutdown();
        try {
            if (!process.waitFor(3, TimeUnit.SECONDS)) Program.kill(process);
        } catch (InterruptedException e) {
            Program.kill(process);
        }
        children.forEach(ProcessHandle::destroyForcibly);
        if (python.container() != null) Interruption.uninterruptibly(python.container().remove()); // most of all when we were told to stop: a killed Compose removes no container
        if (staging == null) return;
        try {
            Disk.removeTree(staging); // a driver that was killed could not
        } catch (IOException leftInTheTemporaryFolder) {
            // holds texts only, and the system sweeps that folder
        }
    }

    private <T extends Record> T ask(String doing, String what, Map<String, ?> with, Class<T> as) {
        var value = ask(doing, what, with);
        try {
            if (value.getAsJsonObject().keySet().containsAll(Arrays.stream(as.getRecordComponents()).map(RecordComponent::getName).toList())) return json.fromJson(value, as);
        } catch (JsonParseException | IllegalStateException | UnsupportedOperationException | NullPointerException notOurs) {
            // said below
        }
        throw garbled(doing);
    }

    private JsonElement ask(String doing, String what, Map<String, ?> with) {
        Interruption.check();
        try (var handle = Interruption.onSignal(() -> Program.kill(process))) {
            return answerTo(doing, what, with);
        }
    }

    private JsonElement answerTo(String doing, String what, Map<String, ?> with) {
        var request = new JsonObject();
        request.addProperty("do", what);
        request.add("with", json.toJsonTree(with));
        lastSign = System.nanoTime();
        send(request);
        while (true) {
            var said = parsed(doing, next(doing));
            try {
                switch (text(said, "event")) {
                    case "answer" -> { return said.get("value"); }
                    case "progress" -> progress.accept(said.get("text").getAsString());
                    case "secrets" -> secrets = strings(said.getAsJsonArray("values"));
                    case "noDjango" -> throw new Failure(service() != null ? new Problem.NoDjangoInside(service(), text(said, "executable")) : new Problem.NoDjango(said.get("executable").getAsString(),
                            Interpreter.requirements(new Project(here(python.root()), here(said.get("folder").getAsString()))).map(Path::toString).orElse(null)));
                    case "folder" -> paths = paths.and(said.get("path").getAsString(), python.backend());
                    case "noManagePy" -> throw new Failure(new Problem.NoManagePyInside(service(), strings(said.getAsJsonArray("looked"))));
                    case "noSettings" -> throw new Failure(new Problem.NoSettingsModule(here(text(said, "managePy"))));
                    case "failed" -> throw failed(doing, said.getAsJsonObject("value"));
                    case null, default -> throw garbled(doing);
                }
            } catch (ClassCastException | IllegalStateException | UnsupportedOperationException | NullPointerException notOurs) {
                throw garbled(doing);
            }
        }
    }

    private JsonObject parsed(String doing, String line) {
        try {
            return JsonParser.parseString(line).getAsJsonObject();
        } catch (JsonParseException | IllegalStateException | StackOverflowError notOurs) {
            throw garbled(doing);
        }
    }

    private Failure garbled(String doing) {
        Program.kill(process); // what follows such an answer cannot be trusted either
        return new Failure(new Problem.DriverGarbled(doing, tail()));
    }

    private String next(String doing) {
        try {
            var alive = System.nanoTime();
            while (true) {
                var line = lines.poll(100, TimeUnit.MILLISECONDS);
                if (line != null && line.isEmpty()) {
                    lines.add(END);
                    errorReader.join(1000);
                    if (service() != null && lastErrorLines().contains("there is no Python here")) throw new Failure(new Problem.NoPythonInside(service()));
                    throw new Failure(new Problem.DriverDied(doing, tail()));
                }
                if (line != null) return line;
                if (process.isAlive()) alive = System.nanoTime();
                else if (System.nanoTime() - alive > GRACE) lines.add(END); // a child of its own keeps its output open
                if (System.nanoTime() - lastSign > silenceLimit.toNanos()) {
                    Program.kill(process);
                    throw new Failure(new Problem.DjangoSilent(doing, silenceLimit.toSeconds(), tail()));
                }
            }
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    private Failure failed(String doing, JsonObject value) {
        var file = text(value, "file");
        var problem = new Problem.DjangoFailed(doing, text(value, "words"), strings(value.getAsJsonArray("details")), file == null ? null : here(file).toString(),
                value.get("line").getAsInt(), text(value, "source"), text(value, "state"));
        return new Failure(problem, new PythonTraceback(text(value, "trace")));
    }

    /** Carries Python's traceback to whoever prints the failure's stack trace. */
    private static final class PythonTraceback extends Exception {
        PythonTraceback(String trace) {
            super(trace, null, false, false);
        }
    }

    private List<String> tail() {
        var all = lastErrorLines();
        return all.subList(Math.max(0, all.size() - 12), all.size());
    }

    private String masked(String line) {
        for (var secret : secrets) {
            var pattern = Pattern.quote(secret);
            line = line.replaceAll(secret.length() > 5 ? pattern : "(?<!\\w)" + pattern + "(?!\\w)", "***"); // as the driver does
        }
        return line;
    }

    private void send(JsonObject request) {
        write(json.toJson(request) + "\n");
    }

    private void write(String text) {
        inOrder(() -> {
            commands.write(text);
            commands.flush();
        });
    }

    private interface Writing {
        void run() throws IOException;
    }

    private void inOrder(Writing writing) {
        if (writer.isShutdown()) return; // it is closed: as if it had ended
        writer.execute(() -> {
            try {
                writing.run();
            } catch (IOException itHasEnded) {
                // the end of its output says so, with its last words
            }
        });
    }

    private void readLines() {
        try (var reader = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = line(reader, token)) != null; ) {
                lastSign = System.nanoTime();
                if (line.startsWith(token + " ")) lines.add(line.substring(token.length() + 1)); // all else is noise
            }
        } catch (IOException killed) {
            // the end is the same
        }
        lines.add(END);
    }

    /** Of a line that does not begin as ours do only the beginning: what a project prints may have no end. */
    private String line(BufferedReader reader, String ours) throws IOException {
        var line = new StringBuilder();
        int c, read = 0;
        for (var all = false; (c = reader.read()) >= 0 && c != '\n'; ) {
            if (ours != null && line.length() == ours.length()) all = line.indexOf(ours) == 0;
            if ((++read & 0xffff) == 0) lastSign = System.nanoTime();
            if (all || line.length() < LONGEST) line.append((char) c);
        }
        if (c < 0 && line.isEmpty()) return null;
        if (!line.isEmpty() && line.charAt(line.length() - 1) == '\r') line.setLength(line.length() - 1);
        return line.toString();
    }

    private void readErrors() {
        try (var reader = new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
            for (String line; (line = line(reader, null)) != null; ) {
                lastSign = System.nanoTime();
                if (python.container() != null && python.container().noise().test(line)) continue;
                synchronized (errors) {
                    errors.add(line);
                    if (errors.size() > KEPT_LINES) errors.removeFirst();
                }
            }
        } catch (IOException killed) {
            // as above
        }
    }

    private static String text(JsonObject object, String name) {
        var value = object.get(name);
        return value == null || value.isJsonNull() ? null : value.getAsString();
    }

    private static List<String> strings(JsonArray values) {
        return values.asList().stream().map(JsonElement::getAsString).toList();
    }
}
