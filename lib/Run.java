package lib;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import java.util.stream.Collectors;
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
        return newRoot.equals(Path.of(root)) ? this : but(newRoot.toString(), outcome, backup);
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
        var xdg = System.getenv("XDG_STATE_HOME");
        var home = System.getenv().getOrDefault("HOME", System.getProperty("user.home")); // Java's own asks the password database
        var base = xdg != null && Path.of(xdg).isAbsolute() ? Path.of(xdg) : Path.of(home, ".local", "state");
        return base.resolve("reset_migrations");
    }

    /** Where the old files lie: in the project and in the copy, or what is left of the two. */
    public List<Path> oldFolders() {
        return kept("old");
    }

    /** Where an undo has put the newer files. */
    List<Path> undoneFolders() {
        return kept("undone");
    }

    private List<Path> kept(String name) {
        return Stream.of(folder(), copy()).map(folder -> folder.resolve(name)).filter(Files::isDirectory).toList();
    }

    private static Path old(Path folder) {
        return folder.resolve("old");
    }

    public Migrations oldFiles() {
        return new Migrations(Path.of(root), old);
    }

    // ---- written -----------------------------------------------------------------------------

    /** Both copies with the old files in them, durable; nothing else has been touched yet. */
    public void create() throws IOException {
        keepIn(folder());
        try {
            keepIn(copy());
        } catch (IOException noHome) {
            Disk.removeTree(copy()); // a service without a home has the first copy all the same
        }
        FolderLock.ignoreItself(folder().getParent());
        save();
    }

    private void keepIn(Path folder) throws IOException {
        Disk.privateFolder(folder);
        Disk.privateFolder(old(folder));
        oldFiles().copyTo(old(folder));
    }

    /** Writes run.json in both places, as far as they are there. */
    public void save() throws IOException {
        var text = JSON.toJson(this).getBytes(StandardCharsets.UTF_8);
        for (var folder : List.of(folder(), copy())) {
            if (!Files.isDirectory(folder)) continue;
            Disk.writePrivate(folder.resolve("run.json"), text);
            Disk.fsync(folder);
        }
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
            for (var from : kept(kept).reversed()) { // the project's own last: it wins
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
    }

    /** Forgets the run: its files were put back, or what it set aside has been purged. */
    public void remove() throws IOException {
        Disk.removeTree(folder());
        Disk.removeTree(copy());
        for (var parent : List.of(folder().getParent(), copy().getParent())) removeIfBare(parent);
    }

    /** A link or a mount that somebody has put there stays. */
    private static void removeIfBare(Path folder) throws IOException {
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) return;
        try (Stream<Path> left = Files.list(folder)) {
            if (left.anyMatch(f -> !f.getFileName().toString().equals(".gitignore"))) return;
        }
        try {
            Disk.removeTree(folder);
        } catch (FileSystemException mount) {
            // see above
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
            (file == null ? this : withBackup(file)).create();
            console.logTo(folder().resolve("log"));
        }, () -> forget(db), () -> read(id, List.of(folder().resolve("run.json"), copy().resolve("run.json")), true).with("done").save());
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

    /**
     * The runs that concern this project, oldest first: made here, or in another checkout on this very database, which
     * says so itself. A run belongs to the checkout it was made in as long as that is there; else to this one.
     * When there are none, those that only lie in {@code .reset/} because it was copied here.
     */
    public static List<Run> of(Project project, Database db) throws IOException {
        var here = ids(project.runs());
        var aside = SetAside.in(db).stream().map(SetAside::run).collect(Collectors.toSet());
        var all = new TreeSet<>(here);
        all.addAll(ids(stateFolder()));
        var found = new ArrayList<Run>();
        for (var id : all) {
            var known = here.contains(id) || aside.contains(id);
            var run = read(id, Stream.of(project.runs(), stateFolder()).map(runs -> runs.resolve(id).resolve("run.json")).toList(), known);
            if (run != null && (known || isSame(Path.of(run.root), project.root()) || run.buildsFor(db))) found.add(run.at(run.home(project)));
        }
        var ours = found.stream().filter(run -> run.concerns(project, db.credentials())).toList();
        return ours.isEmpty() ? List.copyOf(found) : ours;
    }

    public boolean concerns(Project project, Credentials now) {
        return isOn(now) || Path.of(root).equals(project.root());
    }

    /** Cut short before the database could say anything of it but a name. */
    private boolean buildsFor(Database db) {
        return isOn(db.credentials()) && aside instanceof Aside.Database swap && db.oidOf(swap.scratch()).isPresent();
    }

    /** A project that was moved takes its runs along; one that was copied leaves them to the original. */
    private Path home(Project project) throws IOException {
        var made = Path.of(root);
        var here = project.root();
        if (isSame(made, here) || !Files.isDirectory(made)) return here;
        if (Files.exists(folder().resolve("run.json")) || !Files.exists(project.runs().resolve(id).resolve("run.json"))) return made;
        return isIn(made) ? made : here; // both is possible: moved, and checked out anew; or copied, and .reset/ lost there
    }

    /** That a file of this run lies there, as the run has written it. */
    private boolean isIn(Path checkout) throws IOException {
        for (var file : fresh.entrySet()) {
            var path = checkout.resolve(file.getKey());
            if (Files.isRegularFile(path) && Disk.sha256(Files.readAllBytes(path)).equals(file.getValue())) return true;
        }
        return false;
    }

    private static boolean isSame(Path a, Path b) throws IOException {
        return a.equals(b) || Files.isDirectory(a) && Files.isDirectory(b) && Files.isSameFile(a, b);
    }

    /** The checkout that the record names, which may be gone by now. */
    public String madeIn() throws IOException {
        return read(id, List.of(folder().resolve("run.json"), copy().resolve("run.json")), true).root;
    }

    private static Set<String> ids(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return Set.of();
        try (Stream<Path> children = Files.list(folder)) {
            return children.filter(child -> Files.isRegularFile(child.resolve("run.json"))).map(child -> child.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    /** The first copy that can be read. @param known that it is this project's: then it is missed when none can */
    private static Run read(String id, List<Path> files, boolean known) throws IOException {
        var damaged = new ArrayList<Path>();
        for (var file : files) {
            if (!Files.isRegularFile(file)) continue;
            try {
                var run = read(file);
                if (run.id.equals(id)) return run;
                damaged.add(file);
            } catch (Failure unreadable) {
                damaged.add(file);
            }
        }
        if (known && !damaged.isEmpty()) throw new Failure(new Problem.UnreadableRun(damaged));
        return null; // another project's, perhaps of another version: no reason to stop this one
    }

    static Run read(Path file) throws IOException {
        try {
            var run = JSON.fromJson(Files.readString(file), Run.class);
            if (run == null || run.format != FORMAT || Stream.of(run.id, run.root, run.database, run.outcome, run.aside, run.old, run.fresh, run.made).anyMatch(Objects::isNull))
                throw new Failure(new Problem.UnreadableRun(List.of(file)));
            return run;
        } catch (JsonParseException | IllegalStateException | ClassCastException | UnsupportedOperationException | CharacterCodingException damaged) {
            throw new Failure(new Problem.UnreadableRun(List.of(file)), damaged);
        }
    }
}
