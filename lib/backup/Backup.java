package lib.backup;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import lib.backup.archive.Compression;
import lib.backup.encryption.Age;
import lib.error.Failure;
import lib.postgres.PgPrograms;
import lib.process.Interruption;
import lib.process.Program;
import lib.project.Credentials;

/**
 * A finished backup: the output of pg_dump, counted while it was written, and read back from the disk with the same
 * result.
 *
 * @param file     {@code <database>_<YYYYMMDD>_<HHMMSS>.dump.zst}, mode 0600; the local time of its start
 * @param manifest lies beside it
 * @param warnings what pg_dump wrote to stderr although it succeeded
 */
public record Backup(Path file, Manifest manifest, List<String> warnings) {

    /**
     * How a backup is written.
     *
     * @param plain      SQL instead of an archive
     * @param encryption null: not encrypted
     * @param jobs       threads that compress beside the calling one
     */
    public record Options(boolean plain, Compression compression, Age encryption, int jobs) {
        public static final Options DEFAULT = new Options(false, Compression.parse("zstd"), null, 1);

        String format() {
            return plain ? "plain" : "custom";
        }

        String suffix() {
            return (plain ? ".sql" : ".dump") + compression.suffix() + (encryption == null ? "" : ".age");
        }

        /** The recipients of age; empty when it is not encrypted. */
        List<String> encryptedTo() {
            return encryption == null ? List.of() : encryption.recipients();
        }
    }

    public static Backup create(Credentials database, Program pgDump, Path folder, Consumer<String> progress) {
        return create(new PgPrograms(pgDump, database), new BackupFolder(folder), Options.DEFAULT, progress);
    }

    static Backup create(PgPrograms programs, BackupFolder folder, Options options, Consumer<String> progress) {
        try (var writer = new BackupWriter(programs, folder, options, progress)) {
            for (var step : writer.steps()) step.run();
            return writer.backup();
        } catch (Exception e) {
            var failure = Failure.of(Interruption.asInterruption(e));
            throw failure != null ? failure : e instanceof RuntimeException bug ? bug : new IllegalStateException(e);
        }
    }
}
