package lib.backup;

import com.google.gson.annotations.SerializedName;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import lib.backup.BackupFolder.Entry;
import lib.cli.Script;
import lib.error.Failure;
import lib.files.Disk;
import lib.files.Text;

/**
 * The state of the backups of one database, for monitoring.
 *
 * @param at          when this was read
 * @param newest      the newest good backup by the order of creation, or null
 * @param lastRestore the backup that was restored and compared last, or null
 * @param good        how many are good; {@code all}: how many there are
 * @param diskBytes   that they take
 * @param problems    a line each
 */
public record BackupStatus(
        Instant at, Entry newest, Entry lastRestore, int good, int all, long diskBytes, List<String> problems) {
    /** The clocks of two machines may differ by this much. */
    private static final Duration CLOCKS_DIFFER = Duration.ofMinutes(1);
    private static final Pattern DURATION = Pattern.compile("([0-9]{1,9})([mhdw])");

    /** @param problems that the caller has found; those that the list itself shows are added */
    static BackupStatus of(List<Entry> backups, long diskBytes, List<String> problems, Instant at) {
        var good = backups.stream().filter(Entry::isGood).toList();
        var newest = good.stream().max(Comparator.comparingLong(Entry::number).thenComparing(Entry::started));
        var restored = good.stream().filter(entry -> entry.level() == Manifest.Level.RESTORED)
                .max(Comparator.comparing(BackupStatus::restoredAt));
        var all = new ArrayList<>(problems);
        good.stream().filter(entry -> isAhead(entry.started(), at)).sorted(Comparator.comparingLong(Entry::number))
                .map(entry -> "%s is dated in the future (%s): the clock is or was wrong"
                        .formatted(entry.name(), entry.started()))
                .forEach(all::add);
        return new BackupStatus(at, newest.orElse(null), restored.orElse(null), good.size(), backups.size(), diskBytes,
                List.copyOf(all));
    }

    private static Instant restoredAt(Entry entry) {
        return entry.manifest().proof().verifiedAt().toInstant();
    }

    private static boolean isAhead(Instant time, Instant at) {
        return time.isAfter(at.plus(CLOCKS_DIFFER));
    }

    /** "90m", "26h", "2d" or "1w"; a day has 24 hours. @throws Failure usage */
    public static Duration parse(String text) {
        var parts = DURATION.matcher(text);
        if (!parts.matches() || Integer.parseInt(parts.group(1)) == 0)
            throw Failure.usage("invalid duration: \"" + text + "\"")
                    .next("give a number above 0 with m, h, d or w: 90m, 26h, 2d, 1w");
        int number = Integer.parseInt(parts.group(1));
        return switch (parts.group(2)) {
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            case "d" -> Duration.ofDays(number);
            default -> Duration.ofDays(7L * number);
        };
    }

    /** Of the newest good backup; null when there is none, or it is dated in the future. */
    public Duration age() {
        return newest == null || isAhead(newest.started(), at) ? null : since(newest.started());
    }

    /** Since a backup was last restored and compared; null when none was. */
    Duration restoreAge() {
        return lastRestore == null ? null : since(restoredAt(lastRestore));
    }

    private Duration since(Instant then) {
        return then.isAfter(at) ? Duration.ZERO : Duration.between(then, at);
    }

    /**
     * @param maxAge of the newest good backup; null: any
     * @throws Failure (1) there is no good backup, or it is too old
     */
    public void require(Duration maxAge) {
        var why = newest == null ? missing() : maxAge == null ? null : stale(maxAge);
        if (why == null) return;
        throw Failure.failed(why)
                .next("take a backup and read its messages: " + Script.BACKUP_DATABASE.command("create"));
    }

    private String missing() {
        return switch (all) {
            case 0 -> "there is no backup";
            case 1 -> "the only backup is not proven to be good";
            default -> "none of the %,d backups is proven to be good".formatted(all);
        };
    }

    private String stale(Duration maxAge) {
        var age = age();
        if (age == null) return "the newest good backup, %s, is dated in the future (%s): its age is unknown"
                .formatted(newest.name(), newest.started());
        return age.compareTo(maxAge) <= 0 ? null : "the newest good backup, %s, is %s old; the limit is %s"
                .formatted(newest.name(), Text.duration(age), Text.duration(maxAge));
    }

    // ---- for machines ------------------------------------------------------------------------

    private record NewestJson(String file, String taken, @SerializedName("age_seconds") Long age, long bytes, long rows,
            String proof) {}

    private record RestoreJson(String file, String at, @SerializedName("age_seconds") long age, double seconds) {}

    /** For JSON; what is unknown is left out. */
    Map<String, Object> json() {
        var json = new LinkedHashMap<String, Object>();
        json.put("at", at.toString());
        if (newest != null)
            json.put("newest", new NewestJson(newest.name(), newest.started().toString(),
                    age() == null ? null : age().toSeconds(), newest.bytes(), newest.rows(), newest.level().id()));
        if (lastRestore != null)
            json.put("last_restore", new RestoreJson(lastRestore.name(), restoredAt(lastRestore).toString(),
                    restoreAge().toSeconds(), lastRestore.manifest().proof().restoreSeconds()));
        json.put("good", good);
        json.put("all", all);
        json.put("disk_bytes", diskBytes);
        json.put("problems", problems);
        return json;
    }

    /**
     * In Prometheus's text format. It has times, not ages: an age would stop growing when nothing writes the file,
     * which is what has to be noticed. No backup, and one dated in the future, is time 0, so that a rule on the age
     * fires too.
     */
    String prometheus(String database) {
        var metrics = new Metrics("{database=\"" + escaped(database) + "\"}", new StringBuilder());
        metrics.add("last_good_timestamp_seconds",
                "When the newest good backup started, 0 when there is none or its date is in the future.",
                age() == null ? 0 : newest.started().getEpochSecond());
        if (newest != null) {
            metrics.add("last_good_size_bytes", "Size of the file of the newest good backup.", newest.bytes());
            metrics.add("last_good_rows", "Rows in the newest good backup.", newest.rows());
            metrics.add("last_good_restored",
                    "1 when the newest good backup was restored and compared, 0 when it was only read back.",
                    newest.level() == Manifest.Level.RESTORED ? 1 : 0);
        }
        metrics.add("last_restore_timestamp_seconds", "When a backup was last restored and compared, 0 when none was.",
                lastRestore == null ? 0 : restoredAt(lastRestore).getEpochSecond());
        if (lastRestore != null)
            metrics.add("last_restore_duration_seconds", "How long that restore took.",
                    lastRestore.manifest().proof().restoreSeconds());
        metrics.add("good_backups", "Number of good backups.", good);
        metrics.add("backups", "Number of backups, including those that are not good.", all);
        metrics.add("disk_bytes", "Disk space of the backups.", diskBytes);
        metrics.add("problems", "Number of known problems with the backups.", problems.size());
        metrics.add("seen_timestamp_seconds", "When this file was written.", at.getEpochSecond());
        return metrics.text.toString();
    }

    private record Metrics(String label, StringBuilder text) {
        void add(String name, String help, Number value) {
            var full = "backup_database_" + name;
            text.append("# HELP %s %s\n# TYPE %s gauge\n%s%s %s\n".formatted(full, help, full, full, label, value));
        }
    }

    private static String escaped(String value) {
        return value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }

    /** For node_exporter's textfile collector, which reads it at any time as another user: atomically, mode 0644. */
    public void writePrometheus(Path file, String database) throws IOException {
        if (!file.getFileName().toString().endsWith(".prom"))
            throw Failure.usage(file + ": node_exporter reads only files whose names end in .prom")
                    .next("give a name that ends in .prom, in the folder of --collector.textfile.directory");
        var path = file.toAbsolutePath();
        Disk.replace(path, prometheus(database).getBytes(StandardCharsets.UTF_8), "rw-r--r--", null);
        Disk.fsync(path.getParent());
    }
}
