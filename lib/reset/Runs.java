package lib.reset;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Script;
import lib.error.Failure;
import lib.postgres.Database;
import lib.project.Project;

/** Finds the records of runs. */
public final class Runs {
    private Runs() {}

    /**
     * The runs that concern this project, oldest first: made here, or in another checkout on the same database, whose
     * comments name them. A run belongs to the checkout it was made in while that exists; else to this one. When there
     * are none, those that are only in {@code .reset/} because it was copied here.
     */
    public static List<Run> of(Project project, Database db) throws IOException {
        return of(project, db, unreadable -> {
            throw unreadable;
        });
    }

    /** @param unreadable gets the failure when a record that concerns this project cannot be read */
    static List<Run> of(Project project, Database db, Consumer<Failure> unreadable) throws IOException {
        var here = ids(project.runs());
        var known = new TreeSet<>(here);
        OrphanedState.in(db).forEach(state -> known.add(state.run()));
        var all = new TreeSet<>(here);
        all.addAll(ids(RunStore.stateFolder()));
        var found = new ArrayList<Run>();
        for (var id : all) {
            var copies = Stream.of(project.runs(), RunStore.stateFolder())
                    .map(runs -> runs.resolve(id).resolve("run.json")).toList();
            var run = read(id, copies, known.contains(id) ? unreadable : another -> {});
            if (run != null && (known.contains(id) || isSame(run.root(), project.root()) || isBuilding(run, db)))
                found.add(run.at(home(run, project)));
        }
        var ours = found.stream().filter(run -> run.concerns(project, db.credentials())).toList();
        return ours.isEmpty() ? List.copyOf(found) : ours;
    }

    /** The command that purges this run; all runs when there are others, because the oldest is purged first. */
    public static String purgeCommand(Run run, Project project, Database db) {
        try {
            var isOnly = of(project, db).stream().allMatch(other -> other.id().equals(run.id()));
            return isOnly ? run.purgeCommand() : Script.RESET_MIGRATIONS.command("purge", "--all");
        } catch (IOException | Failure unreadable) {
            return run.purgeCommand();
        }
    }

    private static Set<String> ids(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) return Set.of();
        try (Stream<Path> children = Files.list(folder)) {
            return children.filter(child -> !RunStore.isPartial(child))
                    .filter(child -> Files.isRegularFile(child.resolve("run.json")))
                    .map(child -> child.getFileName().toString()).collect(Collectors.toSet());
        }
    }

    /** The first copy that can be read, or null. @param unreadable gets the failure when there are only damaged ones */
    private static Run read(String id, List<Path> copies, Consumer<Failure> unreadable) throws IOException {
        var damaged = new ArrayList<Path>();
        for (var file : copies) {
            if (!Files.isRegularFile(file)) continue;
            try {
                var run = Run.read(file);
                if (run.id().equals(id)) return run;
            } catch (Failure ignored) {
                // the next copy may be better
            }
            damaged.add(file);
        }
        if (!damaged.isEmpty()) unreadable.accept(Run.unreadable(damaged));
        return null;
    }

    /** Killed while it was building the new database: only that database's name shows it. */
    private static boolean isBuilding(Run run, Database db) {
        return run.isOn(db.credentials()) && run.previous() instanceof PreviousDatabase swap
                && db.oidOf(swap.scratch()).isPresent();
    }

    /** A project that was moved keeps its runs; a copy leaves them to the original. */
    private static Path home(Run run, Project project) throws IOException {
        var made = run.root();
        var here = project.root();
        if (isSame(made, here) || !Files.isDirectory(made)) return here;
        var isInOriginal = Files.exists(new RunStore(run).folder().resolve("run.json"));
        var isHere = Files.exists(project.runs().resolve(run.id()).resolve("run.json"));
        if (isInOriginal || !isHere) return made;
        // either moved, and checked out again at the old place; or copied, and .reset/ was lost there
        return run.migrations().isAnyFreshIn(made) ? made : here;
    }

    private static boolean isSame(Path a, Path b) throws IOException {
        return a.equals(b) || Files.isDirectory(a) && Files.isDirectory(b) && Files.isSameFile(a, b);
    }

    /** The checkout that the record names, which may no longer exist. */
    static Path madeIn(Run run) throws IOException {
        var store = new RunStore(run);
        var copies = List.of(store.folder().resolve("run.json"), store.copy().resolve("run.json"));
        return read(run.id(), copies, unreadable -> {
            throw unreadable;
        }).root();
    }

    // ---- set aside ---------------------------------------------------------------------------

    /** What is set aside in the database by none of these runs. */
    static List<OrphanedState> orphans(List<Run> runs, Database db) {
        var known = runs.stream().map(Run::id).collect(Collectors.toSet());
        return OrphanedState.in(db).stream().filter(state -> !known.contains(state.run())).toList();
    }

    /**
     * The backups, by file name, that hold the only copy of what a run has dropped, with the run's id. Purge ends that.
     */
    public static Map<String, String> neededBackups(Project project) {
        var needed = new LinkedHashMap<String, String>();
        for (var runs : List.of(project.runs(), RunStore.stateFolder())) {
            try {
                for (var id : ids(runs)) {
                    var run = Run.read(runs.resolve(id).resolve("run.json"));
                    if (run.previous() instanceof DroppedTables && run.backup() != null)
                        needed.put(Path.of(run.backup()).getFileName().toString(), id);
                }
            } catch (IOException | Failure ignored) {
                // the run's own commands report a record that cannot be read
            }
        }
        return needed;
    }
}
