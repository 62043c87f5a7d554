package lib.reset;

import java.nio.file.Path;
import java.util.List;
import lib.plan.Plan;

/** The plan that is printed, and then run. @param backup null without one @param folders that it writes into */
public record ResetPlan(Findings findings, Run run, Plan plan, BackupStep backup, CompareSchemas comparison,
        List<Path> folders) {

    /** The backup's file, or null as long as none was taken. */
    Path backupFile() { return backup == null ? null : backup.file(); }

    /** The command that brings the old state back. */
    String undoCommand() {
        var file = backupFile();
        return run.previous() instanceof DroppedTables tables
                ? tables.restoreCommand(file == null ? null : file.toString()) : run.undoCommand();
    }
}
