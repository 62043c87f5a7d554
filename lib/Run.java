package lib;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * One reset as it is remembered: {@code .reset/<id>/run.json} with the old files beside it, and a copy of both in the
 * user's state folder, because {@code .reset/} may fall to {@code git clean}. It is whole on disk before the first change and
 * names everything the run may touch, so undo needs no step-by-step log; {@code log} is for people. No secrets.
 *
 * @param format   of this file: 1
 * @param started  ISO 8601, UTC
 * @param root     the project's root, absolute
 * @param database as {@code user@host:port/name}
 * @param outcome  running, done, undone: a hint for people; what holds is found by looking
 * @param old      the files that were there
 * @param fresh    sha256 of the new files by path
 * @param made     packages' folders and {@code __init__.py} that were missing, the innermost first
 * @param backup   the verified backup's file, or null
 */
public record Run(int format, String id, String version, String started, String root, String database, String strategy,
                  String outcome, Aside aside, List<Migrations.Kept> old, Map<String, String> fresh, List<String> made, String backup) {
    static final int FORMAT = 1;
    private static final Gson JSON = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping()
            .registerTypeAdapter(Aside.class, Aside.JSON).create();

    /** Sorts by time and is unique: 20261122-172530-4f2a. */
    public static String newId() {
        return DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss").withZone(ZoneOffset.UTC).format(Instant.now())
                + "-%04x".formatted(ThreadLocalRandom.current().nextInt(0x10000));
    }

    /** The record of a reset that has not begun. */
    public static Run of(Found found) {
        var hashes = new LinkedHashMap<String, String>();
        var made = new ArrayList<String>();
        var root = found.project().root();
        found.fresh().forEach((path, text) -> {
            hashes.put(path, Disk.sha256(text.getBytes(StandardCharsets.UTF_8)));
            var folder = Path.of(path).getParent();
            if (!Files.exists(root.resolve(folder).resolve("__init__.py"))) made.add(folder.resolve("__init__.py").toString());
            for (; folder != null && !Files.exists(root.resolve(folder)); folder = folder.getParent()) {
                made.add(folder.resolve("__init__.py").toString());
                made.add(folder.toString());
            }
        });
        return new Run(FORMAT, found.id(), Lib.VERSION, Instant.now().toString(), root.toString(), found.environment().database().toString(),
                found.strategy().name(), "running", found.strategy().aside(), found.old().files(), hashes,
                made.stream().distinct().sorted(Comparator.comparing(String::length).reversed()).toList(), null);
    }

    public Run with(String newOutcome) {
        return but(root, newOutcome, backup);
    }

    private Run withBackup(Path file) {
        return but(root, outcome, file.toString());
    }

    private Run at(Path newRoot) {
        return but(newRoot.toString(), outcome, backup);
    }

    private Run but(String newRoot, String newOutcome, String newBackup) {
        return new Run(format, id, version, started, newRoot, database, strategy, newOutcome, aside, old, fresh, made, newBackup);
    }

    // ---- where it lies -----------------------------------------------------------------------

    /** {@code .reset/<id>}. */
    public Path folder() {
        return Path.of(root, ".reset", id);
    }

    /** The second copy, out of the project. */
    public Path copy() {
        return stateFolder().resolve(id);
    }

    private static Path stateFolder() {
        return absolute(System.getenv("XDG_STATE_HOME")).or(() -> home().map(home -> home.resolve(".local/state")))
                .orElse(Path.of("/")).resolve("reset_migrations"); // nobody's home: where no ordinary user may write
    }

    private static Optional<Path> home() {
        return absolute(System.getenv("HOME")).or(() -> absolute(System.getProperty("user.home"))); // Java's own asks the password database
    }

    /** An empty HOME, or Java's "?" for a user whom the machine does not know, would be a folder of the project. */
    private static Optional<Path> absolute(String path) {
        return Optional.ofNullable(path).map(Path::of).filter(Path::isAbsolute);
    }

    /** Where the old files lie: in the project, or the copy when that is gone. */
    public Path oldFolder() {
        return old(Files.isDirectory(folder().resolve("old")) ? folder() : copy());
    }

    private static Path old(Path folder) {
        return folder.resolve("old");
    }

    public Migrations oldFiles() {
        return new Migrations(Path.of(root), old);
    }

    // ---- written -----------------------------------------------------------------------------

    /**
     * Both copies with the old files in them, durable; nothing else has been touched yet.
     *
     * @return why there is no second copy: a service without a home has the first one all the same
     */
    public Optional<String> create() throws IOException {
        keepIn(folder());
        var ignore = folder().resolveSibling(".gitignore");
        if (!Files.exists(ignore)) Disk.writePrivate(ignore, "*\n".getBytes(StandardCharsets.UTF_8));
        saveIn(folder());
        try {
            keepIn(copy());
            saveIn(copy());
            return Optional.empty();
        } catch (IOException noHome) {
            removeIfThere(copy());
            return Optional.of("%s (%s)".formatted(copy(), Failure.wordsOf(noHome)));
        }
    }

    private void keepIn(Path folder) throws IOException {
        Disk.privateFolder(folder);
        Disk.privateFolder(old(folder));
        oldFiles().copyTo(old(folder));
    }

    /** Writes run.json in both places, as far as they are there. */
    public void save() throws IOException {
        if (!Files.isDirectory(folder())) {
            saveIn(copy());
            return;
        }
        saveIn(folder());
        try {
            if (Files.isDirectory(copy())) saveIn(copy());
        } catch (IOException full) {
            // the first one counts as long as it is there, and the second says where everything is all the same
        }
    }

    private void saveIn(Path folder) throws IOException {
        Disk.writePrivate(folder.resolve("run.json"), JSON.toJson(this).getBytes(StandardCharsets.UTF_8));
        Disk.fsync(folder);
    }

    /** The step that ends a run for good. @param files where its migration files go, or null: nobody wants them */
    public Step end(Path files) {
        return Step.of(files == null ? "forget the run " + id + " and the migration files it kept" : "move the migration files of " + id + " to " + files, () -> {
            if (files != null) keepFiles(files);
            remove();
        });
    }

    private void keepFiles(Path folder) throws IOException {
        for (var kept : List.of("old", "undone")) {
            var from = (Files.isDirectory(folder()) ? folder() : copy()).resolve(kept);
            if (!Files.isDirectory(from)) continue;
            try (Stream<Path> all = Files.walk(from)) {
                for (var file : all.filter(Files::isRegularFile).toList()) {
                    var to = folder.resolve(kept).resolve(from.relativize(file));
                    Disk.privateFolder(to.getParent());
                    Disk.writePrivate(to, Files.readAllBytes(file));
                    Disk.fsync(to.getParent());
                }
            }
        }
    }

    /** Forgets the run: its files were put back, or what it set aside has been purged. */
    public void remove() throws IOException {
        removeIfThere(folder());
        removeIfThere(copy());
        for (var parent : List.of(folder().getParent(), copy().getParent())) removeIfBare(parent);
    }

    /** What we cannot see, in a home that is closed to us, is not ours. */
    private static void removeIfThere(Path folder) throws IOException {
        if (Files.isDirectory(folder)) Disk.removeTree(folder);
    }

    private static void removeIfBare(Path folder) {
        try (Stream<Path> left = Files.list(folder)) {
            if (left.anyMatch(f -> !f.getFileName().toString().equals(".gitignore"))) return;
            Disk.removeTree(folder);
        } catch (IOException stays) {
            // gone already, or a file system of its own, or in a folder that is not ours: bare as it is it may stay
        }
    }

    /** Takes away the packages that this run made, as far as nobody has put anything else in. */
    void removeMade() throws IOException {
        for (var path : made) {
            var file = Path.of(root).resolve(path);
            if (path.endsWith("__init__.py")) {
                if (Files.isRegularFile(file) && Files.size(file) == 0) Files.delete(file);
            } else if (Files.isDirectory(file)) {
                try (Stream<Path> left = Files.list(file)) {
                    if (left.findAny().isPresent()) continue;
                }
                Files.delete(file);
            }
        }
    }

    /** The step that makes the record and keeps the old files; undone by forgetting them, once nothing can need them any more. */
    public Step keep(Supplier<Path> backedUp, Database db, Console console) {
        return Step.of("keep the old migration files in .reset/" + id, () -> {
            var file = backedUp.get();
            (file == null ? this : withBackup(file)).create().ifPresent(why ->
                    console.warn("no second copy of the old migration files, so take care of .reset/: cannot write " + why));
            console.logTo(folder().resolve("log"));
        }, () -> forget(db), () -> read(folder().resolve("run.json")).with("done").save());
    }

    /** A step that could not be undone leaves the record: it is what {@code undo} goes by. */
    private void forget(Database db) throws IOException {
        if (!oldFiles().displacedBy(fresh).files().isEmpty() || aside.state(db) != Aside.State.OLD_IS_LIVE) throw new Failure(new Problem.RunStays(id));
        remove();
    }

    /** That these credentials are those of the run; another name for the same server counts as another. */
    boolean isOn(Credentials now) {
        return now.toString().equals(database);
    }

    /** @throws Failure when the credentials lead to another database than this run's */
    public void refuseOther(Credentials now) {
        if (!isOn(now)) throw new Failure(new Problem.OtherDatabase(id, database, now.toString()));
    }

    // ---- found again -------------------------------------------------------------------------

    /** The runs of this project, oldest first: those in {@code .reset/}, and those of the state folder that it has lost. */
    public static List<Run> of(Project project) throws IOException {
        var found = new LinkedHashMap<String, Run>();
        for (var file : in(project.runs())) {
            var run = read(file);
            if (!isCopied(project, run)) found.put(run.id(), run.at(project.root()));
        }
        for (var file : in(stateFolder())) {
            try {
                var run = read(file);
                if (run.root().equals(project.root().toString())) found.putIfAbsent(run.id(), run);
            } catch (Failure unreadable) {
                // another project's, perhaps of another version: no reason to stop this one
            }
        }
        return found.values().stream().sorted(Comparator.comparing(Run::id)).toList();
    }

    /** Where the runs in {@code .reset/} belong when this project is a copy of another, which still has them. */
    public static Optional<String> original(Project project) throws IOException {
        for (var file : in(project.runs()))
            if (isCopied(project, read(file))) return Optional.of(read(file).root());
        return Optional.empty();
    }

    /** A project that was moved takes its runs along; one that was copied has the original's, which are not for it to undo. */
    private static boolean isCopied(Project project, Run run) {
        return !run.root().equals(project.root().toString()) && Files.exists(run.folder().resolve("run.json"));
    }

    private static List<Path> in(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return List.of();
        try (Stream<Path> children = Files.list(folder)) {
            return children.map(child -> child.resolve("run.json")).filter(Files::isRegularFile).sorted().toList();
        }
    }

    static Run read(Path file) throws IOException {
        try {
            var run = JSON.fromJson(Files.readString(file), Run.class);
            if (run == null || run.id == null || run.format != FORMAT) throw new Failure(new Problem.UnreadableRun(file));
            return run;
        } catch (JsonParseException e) {
            throw new Failure(new Problem.UnreadableRun(file), e);
        }
    }
}
