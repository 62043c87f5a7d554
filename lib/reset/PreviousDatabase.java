package lib.reset;

import com.google.gson.annotations.SerializedName;
import java.util.List;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Checkpoint;
import lib.files.Text;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Renames;
import lib.postgres.Sessions;
import lib.postgres.Sql;

/**
 * The old database under another name, as a swap leaves it.
 *
 * @param live    the name in use
 * @param oid     of the old database
 * @param scratch the new database's name while it is built
 * @param before  the old database's name afterwards
 * @param undone  the newer database's name after an undo
 * @param comment the old database's own, replaced by a {@link RunComment} while it is set aside; or null
 */
public record PreviousDatabase(String run, String live, long oid, String scratch,
        @SerializedName("aside") String before, String undone, String comment) implements PreviousState {

    /** The names that a run gives to the databases it creates and sets aside. */
    public static PreviousDatabase of(String run, DatabaseSnapshot snapshot) {
        var name = snapshot.name();
        return new PreviousDatabase(run, name, snapshot.oid(), RunId.named(name, "new", run),
                RunId.named(name, "before", run), RunId.named(name, "undone", run), snapshot.comment());
    }

    @Override public String location(Database db) {
        var names = unused(db);
        return names.isEmpty() ? NOWHERE : "database " + String.join(", ", names);
    }

    @Override public State state(Database db) {
        if (isOld(db, live)) return State.OLD_IS_LIVE;
        return isOld(db, before) ? State.NEW_IS_LIVE : State.GONE;
    }

    private boolean isOld(Database db, String name) {
        return db.oidOf(name).filter(o -> o == oid).isPresent();
    }

    // ---- swap and undo -----------------------------------------------------------------------

    /** Both renames in one transaction; the undo looks at which oid has the name. */
    public Step swap(Database db, boolean terminate) {
        return Step.of("rename %s to %s, and %s to %1$s".formatted(live, before, scratch),
                () -> swapIn(scratch, true).run(db, terminate), () -> {
            if (state(db) == State.NEW_IS_LIVE) putBack(db, scratch, terminate);
        });
    }

    @Override public List<Step> undo(Database db, boolean terminate) {
        return switch (state(db)) {
            case OLD_IS_LIVE -> List.of();
            case NEW_IS_LIVE -> List.of(renameBack(db, terminate));
            case HALF, GONE -> throw PreviousState.missing(run);
        };
    }

    private Step renameBack(Database db, boolean terminate) {
        return Step.of("rename %s to %s, and %s to %1$s".formatted(live, undone, before), () -> {
            if (state(db) == State.NEW_IS_LIVE) putBack(db, undone, terminate);
        }, () -> {
            if (state(db) == State.OLD_IS_LIVE && db.oidOf(undone).isPresent())
                swapIn(undone, false).run(db, terminate);
        });
    }

    /** The new database takes the live one's name, and the old one is set aside. @param name of the new database now */
    private Renames swapIn(String name, boolean built) {
        return new Renames(live, oid, before, RunComment.before(run, live).toString(), name, comment, built);
    }

    /** The old database gets its name back; the newer one is called {@code newer}. */
    private void putBack(Database db, String newer, boolean terminate) {
        var newerComment = newer.equals(scratch) ? comment : RunComment.undone(run).toString();
        new Renames(live, db.oid(), newer, newerComment, before, comment, false).run(db, terminate);
    }

    /** Its name has this run's id, so no other program has created it. */
    public void dropScratch(Database db) {
        try (var maintenance = db.requireMaintenance()) {
            for (var name : scratches()) maintenance.oidOf(name).filter(found -> found != oid)
                    .ifPresent(found -> drop(maintenance, name, found));
        }
    }

    /** The new database while it is built, and the one into which the old migrations run. */
    private List<String> scratches() {
        return RunId.scratchDatabases(live, run);
    }

    /** Not WITH (FORCE), which an owner may not use while autovacuum works there; a plain DROP ends autovacuum. */
    public static void drop(Database maintenance, String name, long oid) {
        try (var second = maintenance.sibling(maintenance.credentials().database());
                var kept = Sessions.keepTerminating(second, oid)) {
            maintenance.run("DROP DATABASE " + Sql.identifier(name));
        }
    }

    // ---- purge -------------------------------------------------------------------------------

    /** Every database of this run that is not in use. */
    private List<String> unused(Database db) {
        return Stream.concat(scratches().stream(), Stream.of(before, undone))
                .filter(name -> db.oidOf(name).isPresent() && (!name.equals(before) || isOld(db, before))).toList();
    }

    @Override public long bytes(Database db) {
        return unused(db).stream()
                .mapToLong(name -> db.one("SELECT pg_database_size(?::name)", r -> r.getLong(1), name)).sum();
    }

    /** An unfinished scratch database holds no user's data. */
    @Override public List<String> holders(Database db) {
        return unused(db).stream().filter(name -> !scratches().contains(name)).toList();
    }

    @Override public Step purge(Database db, boolean terminate) {
        var databases = unused(db);
        var what = databases.isEmpty() ? NOTHING : "drop database " + String.join(", ", databases);
        return Step.of(what, () -> {
            databases.forEach(database -> refuseOtherRuns(db, database));
            try (var maintenance = db.requireMaintenance();
                    var second = maintenance.sibling(maintenance.credentials().database())) {
                for (var database : databases) drop(database, maintenance, second, terminate);
            }
        }, () -> {
            var gone = databases.stream().filter(database -> db.oidOf(database).isEmpty()).toList();
            if (!gone.isEmpty()) throw PreviousState.purged("database " + String.join(", ", gone));
        });
    }

    private void refuseOtherRuns(Database db, String database) {
        try (var inside = db.sibling(database)) {
            Guards.refuseProtected(inside);
            var others = OrphanedState.schemasIn(inside).stream().filter(schema -> !schema.run().equals(run))
                    .map(schema -> schema.schema() + " of run " + schema.run()).toList();
            if (!others.isEmpty()) throw Failure.refused("database %s still holds what another run set aside:%s"
                    .formatted(database, Text.lines(others)))
                    .next("purge that run first, or keep both; if its record is lost, look into that schema, "
                            + "and drop it by hand when nobody needs it");
        }
    }

    private static void drop(String database, Database maintenance, Database second, boolean terminate) {
        var oid = maintenance.oidOf(database).orElse(0L);
        Sessions.terminateOurs(maintenance, oid);
        try (var kept = terminate && oid != 0 ? Sessions.keepTerminating(second, oid) : Sessions.NO_TERMINATION) {
            maintenance.run("DROP DATABASE IF EXISTS " + Sql.identifier(database));
            Checkpoint.reached("dropped " + database);
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("55006")) throw e;
            throw Sessions.databaseInUse(database, Sessions.in(maintenance, oid), terminate).causedBy(e);
        }
    }
}
