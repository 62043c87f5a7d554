package lib.backup;

import java.nio.file.Path;
import java.util.List;
import lib.backup.archive.Compression;
import lib.backup.encryption.Age;
import lib.backup.encryption.DecryptionKey;
import lib.backup.offsite.Ping;
import lib.backup.offsite.Remote;
import lib.cli.Console;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Program;
import lib.project.Project;
import lib.project.Settings;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** The options of backups, mixed in by picocli. Each may stand in {@code .env} too, as BACKUP_…; the command line wins. */
public final class BackupOptions {
    private BackupOptions() {}

    /** Where they lie. */
    public static final class Folder {
        @Option(names = "--dir", paramLabel = "DIR", scope = ScopeType.INHERIT, description = "Where the backups are (default: backups/ in the project; BACKUP_DIR).")
        Path folder;

        public BackupFolder in(Project project, Settings settings) {
            var given = settings.path(folder, "BACKUP_DIR");
            return new BackupFolder(given == null ? project.root().resolve("backups") : folder == null ? project.root().resolve(given) : given);
        }
    }

    /** How a backup is made, and what follows it. */
    public static final class Making {
        @Option(names = "--format", paramLabel = "FORMAT", description = "custom (default, an archive) or plain (SQL).")
        Format format;
        @Option(names = "--compress", paramLabel = "HOW", description = "zstd, gzip or none, with :LEVEL (default: zstd:3).")
        String compress;
        @Option(names = "--encrypt-to", paramLabel = "RECIPIENT", arity = "1", description = "Encrypt for this age recipient (age1…); more than once for several.")
        List<String> recipients;
        @Option(names = "--jobs", paramLabel = "N", description = "Threads that compress (default: 1).")
        Integer jobs;
        @Mixin Keep keep = new Keep();
        @Option(names = "--alarm-drop", paramLabel = "PERCENT", description = "Warn when a table's rows, or the size, fell by more than this since the last good backup (default: 50).")
        Integer alarmDrop;
        @Option(names = "--strict", description = "Such a fall is exit code 3, and nothing older is pruned.")
        boolean strict;
        @Option(names = "--ping-url", paramLabel = "URL", description = "Tell a dead man's switch (healthchecks.io and alike) of start, success and failure; better as BACKUP_PING_URL, for it is a secret.")
        String pingUrl;
        @Mixin Away away = new Away();

        /** What {@code --format} takes. */
        public enum Format { custom, plain }

        /** All of it, so that what is wrong is known before anything begins. */
        public Order order(BackupFolder folder, Settings settings) {
            var url = settings.text(pingUrl, "BACKUP_PING_URL");
            var alarm = new Alarm(settings.number(alarmDrop, "BACKUP_ALARM_DROP"), settings.flag(strict, "BACKUP_STRICT"));
            return new Order(new Backups(folder, options(settings), away.remote(settings, false)), keep.policy(settings), alarm,
                    url == null ? null : new Ping(url));
        }

        private Backup.Options options(Settings settings) {
            var plain = settings.choice(format, "BACKUP_FORMAT", Format.custom) == Format.plain;
            var how = settings.text(compress, "BACKUP_COMPRESS");
            var threads = settings.number(jobs, "BACKUP_JOBS");
            return new Backup.Options(plain, Compression.parse(how == null ? "zstd" : how), seal(settings), threads == null ? 1 : threads);
        }

        /** Null: not encrypted. */
        private Age seal(Settings settings) {
            if (settings.text(null, "BACKUP_PASSPHRASE") != null)
                throw Failure.usage("BACKUP_PASSPHRASE is set, but backups are no longer encrypted with a passphrase")
                        .next("make a key pair: age-keygen -o key.txt",
                                "set BACKUP_ENCRYPT_TO to its public key (age1…), and remove BACKUP_PASSPHRASE from .env and the environment");
            var to = settings.list(recipients, "BACKUP_ENCRYPT_TO");
            return to.isEmpty() ? null : Age.to(to);
        }
    }

    /** Which backups stay; without any of these all of them do. */
    public static final class Keep {
        @Option(names = "--keep-last", paramLabel = "N", description = "Of the good backups keep the last N, and the last of each of")
        Integer last;
        @Option(names = "--keep-daily", paramLabel = "N", description = "the latest N days,")
        Integer daily;
        @Option(names = "--keep-weekly", paramLabel = "N", description = "the latest N weeks,")
        Integer weekly;
        @Option(names = "--keep-monthly", paramLabel = "N", description = "the latest N months that have one; without any of the four all stay.")
        Integer monthly;

        public Retention.Policy policy(Settings settings) {
            return new Retention.Policy(settings.number(last, "BACKUP_KEEP_LAST"), settings.number(daily, "BACKUP_KEEP_DAILY"),
                    settings.number(weekly, "BACKUP_KEEP_WEEKLY"), settings.number(monthly, "BACKUP_KEEP_MONTHLY"));
        }
    }

    /** A place on another machine. */
    public static final class Away {
        @Option(names = "--remote", paramLabel = "RCLONE_PATH", description = "Where copies lie off-site, as rclone names it: s3:bucket/crm (BACKUP_REMOTE); RCLONE_CONFIG_… may be in .env too.")
        public String path;

        /** Null when there is none, unless one is needed. */
        public Remote remote(Settings settings, boolean needed) {
            var given = settings.text(path, "BACKUP_REMOTE");
            if (given == null && needed) throw new Failure(new Problem.NoRemote());
            return given == null ? null : new Remote(Program.of("rclone").secrets(settings.withPrefix("RCLONE_")), given);
        }
    }

    /** How a backup is made, and what {@code create} does besides. @param ping null: none */
    public record Order(Backups backups, Retention.Policy policy, Alarm alarm, Ping ping) {}

    /** What opens an encrypted backup. */
    public static final class Key {
        @Option(names = "--identity", paramLabel = "FILE", description = "Decrypts backups: a file that age-keygen wrote (BACKUP_IDENTITY).")
        Path identity;

        public DecryptionKey in(Settings settings) {
            return (file, encrypted) -> Age.key(settings.path(identity, "BACKUP_IDENTITY")).decrypting(file, encrypted); // read when needed
        }
    }

    /** What a sudden fall means: a warning, or with {@code --strict} an exit code and that nothing older goes. */
    public record Alarm(Integer percent, boolean strict) {
        public Alarm {
            percent = ShrinkageAlarm.requireShare(percent == null ? 50 : percent);
        }

        public List<String> heard(Console console, List<ShrinkageAlarm> falls) {
            falls.forEach(fall -> console.warn("much less than in the last good backup: " + fall));
            return strict ? falls.stream().map(fall -> "much less than in the last good one: " + fall).toList() : List.of();
        }
    }
}
