package lib.reset;

import java.nio.file.Path;
import java.util.List;
import lib.backup.BackupPrinter;
import lib.cli.Script;
import lib.error.Failure;
import lib.plan.Step;
import lib.postgres.Database;

/** The strategy drop sets nothing aside: only a backup has the old tables. @param tables oids of the dropped tables */
record DroppedTables(String run, String name, String schema, List<Long> tables) implements PreviousState {
    @Override public String location(Database db) {
        return NOWHERE + ": drop leaves the tables to a backup";
    }

    @Override public String describe(State state) {
        return switch (state) {
            case OLD_IS_LIVE -> state.description();
            case HALF -> "a part of the old tables; the others were dropped, only a backup has them";
            case NEW_IS_LIVE, GONE ->
                    "the new state of this run, or of a later one; the old tables were dropped, only a backup has them";
        };
    }

    /** The grants of the dropped tables are lost. */
    @Override public List<String> complete(Database db) {
        return List.of("grants on the dropped tables may be missing on the new ones: compare with the backup");
    }

    @Override public State state(Database db) {
        if (tables.isEmpty()) return State.OLD_IS_LIVE;
        var left = db.one("SELECT count(*) FROM pg_class WHERE oid = ANY (?)", r -> r.getLong(1), tables);
        return left == 0 ? State.NEW_IS_LIVE : left == tables.size() ? State.OLD_IS_LIVE : State.HALF;
    }

    boolean areDropped(Database db) { return state(db) != State.OLD_IS_LIVE; }

    @Override public List<Step> undo(Database db, boolean terminate) {
        if (areDropped(db)) throw onlyBackupHasThem(null);
        return List.of();
    }

    @Override public long bytes(Database db) { return 0; }
    @Override public List<String> holders(Database db) { return List.of(); }

    @Override public Step purge(Database db, boolean terminate) {
        return Step.of(NOTHING, () -> {});
    }

    /** @param backup the file, or null when it is not known here, or was declined */
    Failure onlyBackupHasThem(String backup) {
        return Failure.refused("tables of database %s were dropped: only %s has them".formatted(name,
                backup == null ? "a backup" : "the backup " + backup))
            .next(restoreCommand(backup)).permanent();
    }

    /** The command that restores the old tables, into a database beside the live one. */
    String restoreCommand(String backup) {
        var into = name + "_old";
        return backup == null ? Script.BACKUP_DATABASE.command("restore", "FILE", "--into", into)
                : BackupPrinter.restore(Path.of(backup), "--into", into);
    }
}
