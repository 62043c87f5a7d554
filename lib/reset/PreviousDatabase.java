package lib.reset;

import com.google.gson.annotations.SerializedName;
import java.util.List;
import java.util.stream.Stream;
import lib.error.Failure;
import lib.files.Checkpoint;
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
        @SerializedName("aside") String before, String undone,
                               String comment) implements PreviousState {

    /** The names that a run gives to the databases it makes and sets aside. */
    public static PreviousDatabase of(String run, DatabaseSnapshot snapshot) {
        var suffix = RunId.suffix(run);
        return new PreviousDatabase(run, snapshot.name(), snapshot.oid(),
                Sql.shortened(snapshot.name(), "_new_" + suffix),
                Sql.shortened(snapshot.name(), "_before_" + suffix),
                        Sql.shortened(snapshot.name(), "_undone_" + suffix), snapshot.comment());
    }

    @Override public String location(Database db) {
        var names = unused(db);
        return names.isEmpty() ? "nowhere" : "database " + String.join(", ", names);
    }

    @Override public State state(Database db) {
        if (isOld(db, live)) return State.OLD_IS_LIVE;
        return isOld(db, before) ? State.NEW_IS_LIVE : State.GONE;
    }

    private boolean isOld(Database db, String name) {
        return db.oidOf(name).filter(o -> o == oid).isPresent();
    }

    @Override public List<Step> undo(Database db, boolean terminate) {
        return switch (state(db)) {
            case OLD_IS_LIVE -> List.of();
            case NEW_IS_LIVE -> List.of(new RenameBack(this, db, terminate));
            case HALF, GONE -> throw PreviousState.missing(run);
        };
    }

    /** The new database takes the live one's name, and the old one is set aside. @param name of the new database now */
    Renames swapIn(String name, boolean built) {
        return new Renames(live, oid, before, RunComment.before(run, live).toString(), name, comment, built);
    }

    /** The old database gets its name back; the newer one is called {@code newer}. */
    void putBack(Database db, String newer, boolean terminate) {
        var newerComment = newer.equals(scratch) ? comment : RunComment.undone(run).toString();
        new Renames(live, db.oid(), newer, newerComment, before, comment, false).run(db, terminate);
    }

    /** Every database of this run that is not in use. */
    private List<String> unused(Database db) {
        return Stream.of(scratch, before, undone)
                .filter(n -> db.oidOf(n).isPresent() && (!n.equals(before) || isOld(db, before))).toList();
    }

    @Override public long bytes(Database db) {
        return unused(db).stream().mapToLong(n -> db.one("SELECT pg_database_size(?::name)", r -> r.getLong(1), n))
                .sum();
    }

    @Override public List<String> holders(Database db) {
        // an unfinished scratch database has no data of anybody
        return unused(db).stream().filter(name -> !name.equals(scratch)).toList();
    }

    @Override public Step purge(Database db, boolean terminate) {
        return new DropDatabases(db, run, live, unused(db), terminate);
    }

    private record RenameBack(PreviousDatabase previous, Database db, boolean terminate) implements Step {
        @Override public String describe() {
            return "rename %s to %s, and %s to %1$s".formatted(previous.live, previous.undone, previous.before);
        }

        @Override public void run() {
            if (previous.state(db) == State.NEW_IS_LIVE) previous.putBack(db, previous.undone, terminate);
        }

        @Override public void undo() {
            if (previous.state(db) == State.OLD_IS_LIVE && db.oidOf(previous.undone).isPresent())
                previous.swapIn(previous.undone, false).run(db, terminate);
        }
    }

    private record DropDatabases(Database live, String ofRun, String name, List<String> databases, boolean terminate)
            implements Step {
        @Override public String describe() {
            return databases.isEmpty() ? "nothing is set aside" : "drop database " + String.join(", ", databases);
        }

        @Override public void run() {
            databases.forEach(this::refuseOtherRuns);
            try (var maintenance = live.requireMaintenance();
                    var second = maintenance.sibling(maintenance.credentials().database())) {
                for (var database : databases) drop(database, maintenance, second);
            }
        }

        private void refuseOtherRuns(String database) {
            try (var inside = live.sibling(database)) {
                Guards.refuseProtected(inside);
                var others = OrphanedState.schemasIn(inside).stream().filter(schema -> !schema.run().equals(ofRun))
                        .map(schema -> schema.schema() + " of run " + schema.run()).toList();
                if (!others.isEmpty())
                    throw Failure.refused("database %s still holds what another run set aside:\n  %s"
                            .formatted(database, String.join("\n  ", others)))
                        .next("purge that run first, or keep both; if its record is lost, look into that schema, "
                                + "and drop it by hand when nobody needs it");
            }
        }

        private void drop(String database, Database maintenance, Database second) {
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

        @Override public void undo() {
            var gone = databases.stream().filter(database -> live.oidOf(database).isEmpty()).toList();
            if (!gone.isEmpty()) throw PreviousState.purged("database " + String.join(", ", gone));
        }
    }
}
