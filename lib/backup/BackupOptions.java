package lib.backup;

import java.nio.file.Path;
import java.util.List;
import lib.backup.archive.Compression;
import lib.backup.encryption.Age;
import lib.backup.offsite.Ping;
import lib.backup.offsite.Remote;
import lib.error.Failure;
import lib.process.Program;
import lib.project.Project;
import lib.project.Settings;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** The options of backups. Each can also be set in {@code .env} as BACKUP_…; the command line wins. */
public final class BackupOptions {
    private BackupOptions() {}

    /** Where the backups are. */
    public static final class Folder {
        @Option(names = "--dir", paramLabel = "DIR", scope = ScopeType.INHERIT,
                description = "The folder of the backups (default: backups/ in the project; BACKUP_DIR).")
        Path folder;

        public BackupFolder in(Project project, Settings settings) {
            if (folder != null) return new BackupFolder(folder);
            var configured = settings.path(null, "BACKUP_DIR");
            return new BackupFolder(project.root().resolve(configured == null ? Path.of("backups") : configured));
        }
    }

    /** How a backup is taken, and what follows it. */
    public static final class Create {
        @Option(names = "--format", paramLabel = "FORMAT", description = "custom (default, an archive) or plain (SQL).")
        Format format;
        @Option(names = "--compress", paramLabel = "HOW",
                description = "zstd, gzip or none, with :LEVEL (default: zstd:3).")
        String compress;
        @Option(names = "--encrypt-to", paramLabel = "RECIPIENT", arity = "1",
                description = "Encrypt for this age recipient (age1…); can be repeated.")
        List<String> recipients;
        @Option(names = "--jobs", paramLabel = "N", description = "Threads that compress (default: 1).")
        Integer jobs;
        @Mixin Keep keep = new Keep();
        @Option(names = "--alarm-drop", paramLabel = "PERCENT",
                description = "Warn when the rows of a table, or the size, "
                        + "fell by more than this since the last good backup (default: 50).")
        Integer alarmDrop;
        @Option(names = "--strict", description = "Exit with code 3 after such a loss, and prune nothing.")
        boolean strict;
        @Option(names = "--ping-url", paramLabel = "URL",
                description = "Notify a dead man's switch (healthchecks.io and similar) of start, success and failure. "
                        + "The URL is a secret: better set BACKUP_PING_URL.")
        String pingUrl;
        @Mixin OffSite offSite = new OffSite();

        /** What {@code --format} takes. */
        public enum Format { custom, plain }

        /** Reads every setting, so that a wrong one is reported before anything starts. */
        public CreateSettings settings(BackupFolder folder, Settings settings) {
            var url = settings.text(pingUrl, "BACKUP_PING_URL");
            var percent = settings.number(alarmDrop, "BACKUP_ALARM_DROP");
            var alarm = new ShrinkageAlarm(percent == null ? 50 : percent, settings.flag(strict, "BACKUP_STRICT"));
            var backups = new BackupSettings(folder, options(settings), offSite.remote(settings));
            return new CreateSettings(backups, keep.policy(settings), alarm, url == null ? null : new Ping(url));
        }

        private Backup.Options options(Settings settings) {
            var plain = settings.choice(format, "BACKUP_FORMAT", Format.custom) == Format.plain;
            var how = settings.text(compress, "BACKUP_COMPRESS");
            var threads = settings.number(jobs, "BACKUP_JOBS");
            return new Backup.Options(plain, Compression.parse(how == null ? "zstd" : how), encryption(settings),
                    threads == null ? 1 : threads);
        }

        /** Null: not encrypted. */
        private Age encryption(Settings settings) {
            if (settings.text(null, "BACKUP_PASSPHRASE") != null)
                throw Failure.usage("BACKUP_PASSPHRASE is set, but backups are no longer encrypted with a passphrase")
                        .next("make a key pair: age-keygen -o key.txt",
                                "set BACKUP_ENCRYPT_TO to its public key (age1…), and remove BACKUP_PASSPHRASE "
                                        + "from .env and the environment");
            var to = settings.list(recipients, "BACKUP_ENCRYPT_TO");
            return to.isEmpty() ? null : Age.to(to);
        }
    }

    /** Which backups are kept; all of them without any of these. */
    public static final class Keep {
        @Option(names = "--keep-last", paramLabel = "N",
                description = "Keep the last N good backups, and the last one of each of")
        Integer last;
        @Option(names = "--keep-daily", paramLabel = "N", description = "the latest N days,")
        Integer daily;
        @Option(names = "--keep-weekly", paramLabel = "N", description = "the latest N weeks,")
        Integer weekly;
        @Option(names = "--keep-monthly", paramLabel = "N",
                description = "the latest N months that have one. Without any of these four, all are kept.")
        Integer monthly;

        public Retention.Policy policy(Settings settings) {
            return new Retention.Policy(settings.number(last, "BACKUP_KEEP_LAST"),
                    settings.number(daily, "BACKUP_KEEP_DAILY"), settings.number(weekly, "BACKUP_KEEP_WEEKLY"),
                    settings.number(monthly, "BACKUP_KEEP_MONTHLY"));
        }
    }

    /** Where the copies on another machine are. */
    public static final class OffSite {
        @Option(names = "--remote", paramLabel = "RCLONE_PATH",
                description = "Where off-site copies go, as rclone names it: s3:bucket/crm (BACKUP_REMOTE). "
                        + "RCLONE_CONFIG_… variables can be in .env too.")
        String path;

        public boolean given() {
            return path != null;
        }

        /** Null: no off-site copies. */
        Remote remote(Settings settings) {
            var configured = settings.text(path, "BACKUP_REMOTE");
            if (configured == null) return null;
            return new Remote(Program.of("rclone").secrets(settings.withPrefix("RCLONE_")), configured);
        }

        /** @throws Failure usage, when there is none */
        public Remote require(Settings settings) {
            var remote = remote(settings);
            if (remote == null)
                throw Failure.usage("no remote is set for off-site copies")
                        .next("give --remote RCLONE_PATH, or set BACKUP_REMOTE in .env: s3:bucket/crm");
            return remote;
        }
    }

    /** How a backup is taken, and what follows it. @param ping null: none */
    public record CreateSettings(BackupSettings backups, Retention.Policy policy, ShrinkageAlarm alarm, Ping ping) {}

    /** What decrypts an encrypted backup. */
    public static final class Decryption {
        @Option(names = "--identity", paramLabel = "FILE",
                description = "Decrypt backups with this file of age-keygen (BACKUP_IDENTITY).")
        Path identity;

        /** The key is read when a backup needs it. */
        public Age.Key key(Settings settings) {
            return (file, encrypted) -> Age.key(settings.path(identity, "BACKUP_IDENTITY")).decrypting(file, encrypted);
        }
    }
}
