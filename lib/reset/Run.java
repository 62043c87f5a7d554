package lib.reset;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.annotations.SerializedName;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import lib.Lib;
import lib.cli.Script;
import lib.environment.Services;
import lib.error.Failure;
import lib.postgres.Database;
import lib.process.Shell;
import lib.project.Credentials;
import lib.project.Project;

/**
 * One reset or restore, as run.json keeps it. The record is written before the first change and names everything that
 * the run may touch, so undo needs no log of the steps. It has no secrets.
 *
 * @param backup   the verified backup's file, or null
 * @param services containers that the run stops, and starts again at its end
 */
public record Run(Origin origin, Outcome outcome, PreviousState previous, RunMigrations migrations, String backup,
        List<Services.Container> services) {

    /**
     * What a run is, and never changes; except for the root, when the project was moved.
     *
     * @param version  of this program
     * @param started  ISO 8601, UTC
     * @param root     the project's root, absolute
     * @param database as {@code user@host:port/name}
     * @param strategy "swap", "park", "drop" or "restore"
     */
    record Origin(String id, String version, String started, String root, String database, String strategy) {
        static Origin now(String id, Project project, Credentials database, String strategy) {
            return new Origin(id, Lib.VERSION, Instant.now().toString(), project.root().toString(),
                    database.toString(), strategy);
        }
    }

    /** How far a run is; what the database holds is found by looking at it. */
    enum Outcome {
        @SerializedName("running") RUNNING, @SerializedName("done") DONE, @SerializedName("undoing") UNDOING,
        @SerializedName("undone") UNDONE, @SerializedName("purging") PURGING;

        @Override public String toString() { return name().toLowerCase(Locale.ROOT); }
    }

    private static final String RESTORE = "restore";

    /** The record of a restore that has not begun: it replaces the database and no file. */
    public static Run ofRestore(String id, Project project, Credentials database, PreviousState previous, Path backup,
            Services services) {
        return new Run(Origin.now(id, project, database, RESTORE), Outcome.RUNNING, previous, RunMigrations.NONE,
                backup.toString(), services.running());
    }

    public String id() { return origin.id; }
    Path root() { return Path.of(origin.root); }
    Instant started() { return Instant.parse(origin.started); }

    /** For people: a reset or a restore. */
    String kind() { return changesFiles() ? "reset" : RESTORE; }

    /** A restore leaves all files as they are. */
    boolean changesFiles() { return !origin.strategy.equals(RESTORE); }

    /** Killed while it was changing something, or undoing that. */
    boolean isUnfinished() { return outcome == Outcome.RUNNING || outcome == Outcome.UNDOING; }

    /** Whether its tables were dropped, so that only a backup has them. */
    Optional<DroppedTables> dropped(Database db) {
        return previous instanceof DroppedTables tables && tables.areDropped(db)
                ? Optional.of(tables) : Optional.empty();
    }

    // ---- changed -----------------------------------------------------------------------------

    Run with(Outcome newOutcome) {
        return new Run(origin, newOutcome, previous, migrations, backup, services);
    }

    /** @param file the verified backup, or null to leave that as it is */
    Run withBackup(Path file) {
        return file == null ? this : new Run(origin, outcome, previous, migrations, file.toString(), services);
    }

    /** @param stopped by an undo of this run */
    Run withServices(Services stopped) {
        return new Run(origin, outcome, previous, migrations, backup, stopped.running());
    }

    Run at(Path root) {
        var o = origin;
        return new Run(new Origin(o.id, o.version, o.started, root.toString(), o.database, o.strategy), outcome,
                previous, migrations, backup, services);
    }

    // ---- compared ----------------------------------------------------------------------------

    /** Whether these are the credentials of the run; another name for the same server counts as another. */
    boolean isOn(Credentials now) { return now.toString().equals(origin.database); }

    /** @throws Failure refused (4) when the credentials name another database */
    void refuseOther(Credentials now) {
        if (!isOn(now))
            throw Failure.refused("the run %s was made on %s, but the settings now name %s"
                    .formatted(id(), origin.database, now)).next("set .env to that database, or give --env-file");
    }

    boolean concerns(Project project, Credentials now) {
        return isOn(now) || root().equals(project.root());
    }

    /** For messages: the run with its outcome. */
    String describe() { return id() + " (" + outcome + ")"; }

    // ---- commands and failures ---------------------------------------------------------------

    String undoCommand() { return Script.RESET_MIGRATIONS.command("undo", id()); }
    String finishCommand() { return Script.RESET_MIGRATIONS.command("finish", id()); }
    String purgeCommand() { return Script.RESET_MIGRATIONS.command("purge", id()); }

    /** What to do about a run that was cut short, a line each. */
    List<String> remedies() {
        return List.of("bring the old state back: " + undoCommand(),
                "or keep the new state, if it is live and complete: " + finishCommand());
    }

    Failure unfinished() {
        var next = new ArrayList<>(remedies());
        next.add("see which state is live: " + Script.RESET_MIGRATIONS.command("status"));
        return Failure.refused("the run %s was cut short and has not been undone".formatted(id())).next(next);
    }

    Failure halfPurged() {
        return Failure.refused("the purge of run %s was cut short: a part of what it set aside is gone".formatted(id()))
                .next("complete the purge: " + purgeCommand(),
                        "see the backup that was taken before: " + Script.BACKUP_DATABASE.command("list"));
    }

    /** @param known the runs of this project */
    static Failure notFound(String what, List<Run> known) {
        var ids = String.join(", ", known.stream().map(Run::describe).toList());
        return Failure.usage(what + (ids.isEmpty() ? ": no run is known for this project" : "; known runs: " + ids))
                .next("see " + Script.RESET_MIGRATIONS.command("status"));
    }

    // ---- run.json ----------------------------------------------------------------------------

    private static final int FORMAT = 1;
    private static final Gson JSON = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

    /** One flat object: the fields of its parts side by side. */
    byte[] json() {
        var json = new JsonObject();
        json.addProperty("format", FORMAT);
        addAll(json, origin);
        json.add("outcome", JSON.toJsonTree(outcome));
        json.add("aside", previous.toJson(JSON));
        addAll(json, migrations);
        json.addProperty("backup", backup);
        json.add("services", JSON.toJsonTree(services));
        return JSON.toJson(json).getBytes(StandardCharsets.UTF_8);
    }

    private static void addAll(JsonObject json, Record part) {
        JSON.toJsonTree(part).getAsJsonObject().entrySet().forEach(field -> json.add(field.getKey(), field.getValue()));
    }

    /** @throws Failure usage (2) when the file is damaged, or of another version */
    static Run read(Path file) throws IOException {
        try {
            var json = JSON.fromJson(Files.readString(file), JsonObject.class);
            var run = json == null ? null : of(json);
            if (run == null || !json.has("format") || json.get("format").getAsInt() != FORMAT || !run.isComplete())
                throw unreadable(List.of(file));
            return run;
        } catch (JsonParseException | IllegalStateException | NumberFormatException | ClassCastException
                 | UnsupportedOperationException | CharacterCodingException damaged) {
            throw unreadable(List.of(file)).causedBy(damaged);
        }
    }

    /** Records of older versions have no services. */
    private static Run of(JsonObject json) {
        var services = JSON.fromJson(json.get("services"), Services.Container[].class);
        return new Run(JSON.fromJson(json, Origin.class), JSON.fromJson(json.get("outcome"), Outcome.class),
                PreviousState.of(json.getAsJsonObject("aside"), JSON), JSON.fromJson(json, RunMigrations.class),
                JSON.fromJson(json.get("backup"), String.class), services == null ? List.of() : List.of(services));
    }

    private boolean isComplete() {
        return Stream.of(origin.id, origin.root, origin.database, outcome, previous, migrations.old(),
                migrations.fresh(), migrations.made()).allMatch(Objects::nonNull);
    }

    /** @param copies of the record, all damaged */
    static Failure unreadable(List<Path> copies) {
        var folders = copies.stream().map(file -> Shell.quoted(file.getParent().toString())).toList();
        return Failure.usage("the record of a run cannot be read: it is damaged, or another version wrote it: "
                        + String.join(" and ", copies.stream().map(Path::toString).toList()))
                .next("use the version that wrote it, or restore the file from a backup of this disk",
                        "what the run set aside is not lost: %s names it, and the SQL that brings it back"
                        .formatted(Script.RESET_MIGRATIONS.command("status")),
                        "to continue without the record, move %s away".formatted(String.join(" and ", folders)));
    }
}
