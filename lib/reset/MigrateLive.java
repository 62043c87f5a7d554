package lib.reset;

import lib.django.Migrator;
import lib.files.Checkpoint;
import lib.plan.Step;

/**
 * Runs every migration in the live database.
 *
 * @param grant   gives the new tables what was granted on the old ones
 * @param dropNew drops what the migrations have made
 */
record MigrateLive(Migrator migrator, Step.Action grant, Step.Action dropNew) implements Step {
    @Override public String describe() {
        return "run every migration";
    }

    @Override public void run() throws Exception {
        migrator.migrateLive();
        Checkpoint.reached("migrated, and nothing granted yet");
        grant.run();
    }

    @Override public void undo() throws Exception {
        dropNew.run();
    }
}
