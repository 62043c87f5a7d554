package lib.reset;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.Lib;
import lib.cli.Console;
import lib.django.Migrations;
import lib.environment.Services;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.files.Disk;
import lib.files.FolderLock;
import lib.files.Host;
import lib.plan.Step;
import lib.postgres.Database;
import lib.project.Credentials;
import lib.project.Project;

/**
 * One reset as it is remembered: {@code .reset/<id>/run.json} with the old files beside it, and a copy of both in the
 * user's state folder, because {@code .reset/} may fall to {@code git clean}. It is whole on disk before the first change and
 * names everything the run may touch, so undo needs no step-by-step log; {@code log} is for people. No secrets.
 *
 * @param format   of this file: 1
 * @param started  ISO 8601, UTC
 * @param root     the project's root, absolute
 * @param database as {@code user@host:port/name}
 * @param outcome  running, done, undoing, undone, purging; what the database holds is found by looking
 * @param old      the files that were there
 * @param fresh    sha256 of the new files by path
 * @param made     packages' folders and {@code __init__.py} that were missing, the innermost first
 * @param backup   the verified backup's file, or null
 * @param apps     labels of the apps whose migrations are new
 * @param drift    what makemigrations would write at once, so no fault of the reset
 * @param services containers that it stops, and starts again at its end
 */
public record Run(int format, String id, String version, String started, String root, String database, String strategy,
                  String outcome, PreviousState aside, List<Migrations.File> old, Map<String, String> fresh, List<String> made, String backup,
                  List<String> apps, Set<String> drift, List<Services.Container> services) {
    /** Records of older versions lack some. */
    public Run {
        if (services == null) services = List.of();
        if (apps == null) apps = List.of();
        if (drift == null) drift = Set.of();
    }

    static final int FORMAT = 1;
    private static final Gson JSON = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping()
            .registerTypeAdapter(PreviousState.class, PreviousState.JSON).create();

    /** Sorts by time and is unique: 20261122-172530-4f2a. */
    public static String newId() {
        return DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss").withZone(ZoneOffset.UTC).format(Instant.now())
                + "-%04x".formatted(ThreadLocalRandom.current().nextInt(0x10000));
    }

    /** The record of a reset that has not begun. */
    public static Run of(Findings found) {
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
        return new Run(FORMAT, found.id(), Lib.VERSION, Instant.now().toString(), root.toString(), found.environment().identity().toString(),
                found.strategy().name(), "running", found.strategy().aside(), found.old().files(), hashes,
                made.stream().distinct().sorted(Comparator.comparing(String::length).reversed()).toList(), null,
                found.django().labels(), found.drift(), found.services().running());
    }

    /** The record of a restore that has not begun: it replaces the database and no file. */
    public static Run ofRestore(String id, Project project, Credentials database, PreviousState aside, Path backup, Services services) {
        return new Run(FORMAT, id, Lib.VERSION, Instant.now().toString(), project.root().toString(), database.toString(), RESTORE, "running", aside,
                List.of(), Map.of(), List.of(), backup.toString(), List.of(), Set.of(), services.running());
    }

    private static final String RESTORE = "restore";

    /** What kind of run it was, for people: a reset or a restore. */
    public String kind() {
        return strategy.equals(RESTORE) ? RESTORE : "reset";
    }

    /** A restore leaves all files as they are. */
    public boolean changesFiles() {
        return !strategy.equals(RESTORE);
    }

    public Run with(String newOutcome) {
        return but(root, newOutcome, backup);
    }

    /** Killed while it was changing something, or undoing that. */
    public boolean unfinished() {
        return outcome.equals("running") || outcome.equals("undoing");
    }

    /** The step as a part of this run that is {@code during} while it changes things, and what it was when all was put back. */
    public Step marked(String during, Step step) {
        return Step.of(step.describe(), () -> {
            with(during).save();
            step.run();
        }, () -> {
            step.undo();
            if (Files.isDirectory(folder()) || Files.isDirectory(copy())) save();
        }, step::finish);
    }

    /** All is done: says so, or what it takes to say so. @param command that does it later */
    public void mark(String ended, String command) {
        try {
            with(ended).save();
        } catch (IOException e) {
            throw new Failure(new Problem.NotRecorded(id, ended, Failure.firstLine(e), command), e);
        }
    }

    private Run withBackup(Path file) {
        return file == null ? this : but(root, outcome, file.toString());
    }

    /** As it is remembered after its last step. @param file the verified backup, or null */
    public Run done(Path file) {
        return with("done").withBackup(file);
    }

    /** With what an undo of it stops. */
    public Run stopping(Services now) {
        return new Run(format, id, version, started, root, database, strategy, outcome, aside, old, fresh, made, backup, apps, drift, now.running());
    }

    private Run at(Path newRoot) {
        return newRoot.equals(Path.of(root)) ? this : but(newRoot.toString(), outcome, backup);
    }

    private Run but(String newRoot, String newOutcome, String newBackup) {
        return new Run(format, id, version, started, newRoot, database, strategy, newOutcome, aside, old, fresh, made, newBackup, apps, drift, services);
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

    /** Where nobody's home is known, a folder that no ordinary user may write to. */
    private static Path stateFolder() {
        return Host.stateFolder(System.getenv()).orElse(Path.of("/")).resolve("reset_migrations");
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

    /** Whether the old files are all there, and nothing new beside them. */
    public boolean oldInPlace() throws IOException {
        var replaced = oldFiles().paths();
        for (var path : Stream.concat(fresh.keySet().stream(), made.stream()).toList())
            if (!replaced.contains(path) && Files.exists(Path.of(root).resolve(path), LinkOption.NOFOLLOW_LINKS)) return false;
        return oldFiles().allInPlace();
    }

    /** Of this run's new files those that are gone, or are no longer what it wrote. */
    public List<String> freshChanged() throws IOException {
        var changed = new ArrayList<String>();
        for (var file : fresh.entrySet()) if (!Disk.hasContent(Path.of(root).resolve(file.getKey()), file.getValue())) changed.add(file.getKey());
        return List.copyOf(changed);
    }

    /** Whether this run's new files are all there, and of the old ones none that they should have replaced. */
    public boolean freshInPlace() throws IOException {
        for (var file : fresh.entrySet()) if (!Disk.hasContent(Path.of(root).resolve(file.getKey()), file.getValue())) return false;
        for (var kept : old) if (!fresh.containsKey(kept.path()) && Files.exists(Path.of(root).resolve(kept.path()), LinkOption.NOFOLLOW_LINKS)) return false;
        return true;
    }

    // ---- written -----------------------------------------------------------------------------

    /**
     * Both copies with the old files in them, durable; nothing else has been touched yet.
     *
     * @return why there is no second copy: a service without a home has the first one all the same
     */
    public Optional<String> create() throws IOException {
        Disk.createPrivateFolder(folder().getParent());
        FolderLock.writeGitignore(folder().getParent());
        keepIn(beside(folder()));
        Checkpoint.reached("kept in the project alone");
        Optional<String> alone = Optional.empty();
        try {
            keepIn(beside(copy()));
            rename(beside(copy()), copy());
        } catch (IOException noHome) {
            removeIfThere(beside(copy()));
            alone = Optional.of("%s (%s)".formatted(copy(), Failure.firstLine(noHome)));
        }
        Checkpoint.reached("the copy is whole");
        rename(beside(folder()), folder());
        return alone;
    }

    private void keepIn(Path folder) throws IOException {
        Disk.createPrivateFolder(old(folder));
        oldFiles().copyTo(old(folder));
        Disk.writePrivate(folder.resolve("run.json"), text());
        Disk.fsync(folder);
    }

    /** A run's folder that is not yet whole, or is being removed: no run at all. */
    private static Path beside(Path folder) {
        return folder.resolveSibling("~" + folder.getFileName());
    }

    private static void rename(Path from, Path to) throws IOException {
        if (!Files.isDirectory(from)) return;
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        Disk.fsync(to.getParent());
    }

    private byte[] text() {
        return JSON.toJson(this).getBytes(StandardCharsets.UTF_8);
    }

    /** Removes what killed runs of this project have left of folders; only whoever holds the lock may. */
    public static void sweep(Project project) throws IOException {
        if (!Files.isDirectory(project.runs())) return;
        try (Stream<Path> children = Files.list(project.runs())) {
            for (var left : children.filter(Run::isPartial).toList()) {
                removeIfThere(stateFolder().resolve(left.getFileName()));
                Disk.removeTree(left); // last: it is by this one that the other is known
            }
        }
    }

    private static boolean isPartial(Path folder) {
        return folder.getFileName().toString().startsWith("~");
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
        var file = folder.resolve("run.json");
        if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), text())) return; // a full disk has no room to say it again
        Disk.writePrivate(file, text());
        Disk.fsync(folder);
        Checkpoint.reached(outcome + " written in " + folder.getParent());
    }

    /** The step that ends a run for good. @param files where its migration files go, or null: nobody wants them */
    public Step end(Path files) {
        return Step.of(files == null ? "forget the run " + id + (changesFiles() ? " and the migration files it kept" : "") : "move the migration files of " + id + " to " + files, () -> {
            if (files != null) keepFiles(files);
            remove();
        }, () -> {
            if (!Files.isDirectory(folder()) && !Files.isDirectory(copy())) throw new Failure(new Problem.Purged("the record of run " + id));
        }, () -> {});
    }

    private void keepFiles(Path folder) throws IOException {
        for (var kept : List.of("old", "undone")) {
            for (var from : kept(kept).reversed()) { // the project's own last: it wins
                try (Stream<Path> all = Files.walk(from)) {
                    for (var file : all.filter(Files::isRegularFile).toList()) {
                        var to = folder.resolve(kept).resolve(from.relativize(file));
                        Disk.createPrivateFolder(to.getParent());
                        Disk.writePrivate(to, Files.readAllBytes(file));
                        Disk.fsync(to.getParent());
                    }
                }
            }
        }
    }

    /** Forgets the run: its files were put back, or what it set aside has been purged. */
    public void remove() throws IOException {
        rename(folder(), beside(folder()));
        Checkpoint.reached("removed from the project alone");
        rename(copy(), beside(copy()));
        Checkpoint.reached("removed, but not swept");
        removeIfThere(beside(copy()));
        removeIfThere(beside(folder()));
        for (var parent : List.of(folder().getParent(), copy().getParent())) removeIfBare(parent);
    }

    /** What we cannot see, in a home that is closed to us, is not ours. */
    private static void removeIfThere(Path folder) throws IOException {
        if (Files.isDirectory(folder)) Disk.removeTree(folder);
    }

    /** A link or a mount that somebody has put there stays. */
    private static void removeIfBare(Path folder) {
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) return;
        try (Stream<Path> left = Files.list(folder)) {
            if (left.anyMatch(f -> !f.getFileName().toString().equals(".gitignore"))) return;
            Files.deleteIfExists(folder.resolve(".gitignore"));
            Files.delete(folder); // not what another project puts there this very moment
        } catch (IOException stays) {
            // gone already, or a file system of its own, or in a folder that is not ours: bare as it is it may stay
        }
    }

    /** Takes away what a kill left half-written, and the packages that this run made, as far as nobody has put anything else in. */
    void removeMade() throws IOException {
        for (var path : Stream.of(oldFiles().paths(), fresh.keySet(), made).flatMap(java.util.Collection::stream).toList())
            if (Files.isDirectory(Path.of(root).resolve(path).getParent())) Disk.removePartial(Path.of(root).resolve(path));
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
        return Step.of(kind().equals(RESTORE) ? "note in .reset/%s what undo needs".formatted(id) : "keep the old migration files in .reset/" + id, () -> {
            withBackup(backedUp.get()).create().ifPresent(why ->
                    console.warn("no second copy of the old migration files, so take care of .reset/: cannot write " + why));
            console.logTo(folder().resolve("log"));
        }, () -> forget(db), () -> done(backedUp.get()).mark("done", "reset_migrations finish " + id));
    }

    /** A step that could not be undone leaves the record: it is what {@code undo} goes by. */
    private void forget(Database db) throws IOException {
        if (!oldFiles().replacedBy(fresh).files().isEmpty() || aside.state(db) != PreviousState.State.OLD_IS_LIVE) throw new Failure(new Problem.RunStays(id));
        remove();
    }

    /** That these credentials are those of the run; another name for the same server counts as another. */
    public boolean isOn(Credentials now) {
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
        return of(project, db, Run::missed);
    }

    /** @param unreadable gets what is wrong with a record that concerns this project and can be read nowhere */
    static List<Run> of(Project project, Database db, Consumer<Failure> unreadable) throws IOException {
        var here = ids(project.runs());
        var aside = OrphanedState.in(db).stream().map(OrphanedState::run).collect(Collectors.toSet());
        var all = new TreeSet<>(here);
        all.addAll(ids(stateFolder()));
        var found = new ArrayList<Run>();
        for (var id : all) {
            var known = here.contains(id) || aside.contains(id);
            var run = read(id, Stream.of(project.runs(), stateFolder()).map(runs -> runs.resolve(id).resolve("run.json")).toList(), known ? unreadable : another -> {});
            if (run != null && (known || isSame(Path.of(run.root), project.root()) || run.buildsFor(db))) found.add(run.at(run.home(project)));
        }
        var ours = found.stream().filter(run -> run.concerns(project, db.credentials())).toList();
        return ours.isEmpty() ? List.copyOf(found) : ours;
    }

    /** For a message: each run with its outcome. */
    public static List<String> told(List<Run> runs) {
        return runs.stream().map(run -> run.id() + " (" + run.outcome() + ")").toList();
    }

    public boolean concerns(Project project, Credentials now) {
        return isOn(now) || Path.of(root).equals(project.root());
    }

    /** Cut short before the database could say anything of it but a name. */
    private boolean buildsFor(Database db) {
        return isOn(db.credentials()) && aside instanceof PreviousState.Database swap && db.oidOf(swap.scratch()).isPresent();
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
        return read(id, List.of(folder().resolve("run.json"), copy().resolve("run.json")), Run::missed).root;
    }

    private static Set<String> ids(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return Set.of();
        try (Stream<Path> children = Files.list(folder)) {
            return children.filter(child -> !isPartial(child) && Files.isRegularFile(child.resolve("run.json"))).map(child -> child.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    private static void missed(Failure unreadable) {
        throw unreadable;
    }

    /** The first copy that can be read, or null. @param unreadable gets the damage when none can; for another project's that is nothing */
    private static Run read(String id, List<Path> files, Consumer<Failure> unreadable) throws IOException {
        var damaged = new ArrayList<Path>();
        for (var file : files) {
            if (!Files.isRegularFile(file)) continue;
            try {
                var run = read(file);
                if (run.id.equals(id)) return run;
                damaged.add(file);
            } catch (Failure thisOne) {
                damaged.add(file);
            }
        }
        if (!damaged.isEmpty()) unreadable.accept(new Failure(new Problem.UnreadableRun(damaged)));
        return null;
    }

    /** The backups, by their files' names, that hold the only copy of what a run of this machine has dropped, with that run's id; purge forgets the run. */
    public static Map<String, String> neededBackups(Project project) {
        var needed = new LinkedHashMap<String, String>();
        for (var runs : List.of(project.runs(), stateFolder())) {
            try {
                for (var id : ids(runs)) {
                    var run = read(runs.resolve(id).resolve("run.json"));
                    if (run.aside instanceof PreviousState.Backup && run.backup != null) needed.put(Path.of(run.backup).getFileName().toString(), id);
                }
            } catch (IOException | Failure unreadable) {
                // its own commands say so
            }
        }
        return needed;
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
