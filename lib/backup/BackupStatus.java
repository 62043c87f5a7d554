package lib.backup;

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
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Disk;
import lib.files.Text;

/**
 * What monitoring has to know of the backups of one database.
 *
 * @param at          when this was seen
 * @param newest      good one by the order of creation, or null: there is none
 * @param lastRestore the latest that was ever restored and compared, or null
 * @param good        how many are known to be; {@code all} of them, with those that are not
 * @param diskBytes   that the folder takes
 * @param problems    in words, a line each; empty: none is known
 */
public record BackupStatus(Instant at, Seen newest, Seen lastRestore, int good, int all, long diskBytes, List<String> problems) {
    /** Two machines' clocks may differ by this much, or one may be set while the other looks. */
    private static final Duration CLOCKS_DIFFER = Duration.ofMinutes(1);
    private static final Pattern DURATION = Pattern.compile("([0-9]{1,9})([mhdw])");

    /**
     * A backup as it lies there.
     *
     * @param number         the order of creation
     * @param taken          when its dump began
     * @param restored       when a restore of it was last compared and matched, or null: never
     * @param restoreSeconds how long that took, or null
     */
    public record Seen(String file, long number, Instant taken, long bytes, long rows, boolean good, Instant restored, Double restoreSeconds) {
        /** "restored", "stream" or "none". */
        public String proof() {
            return !good ? "none" : restored != null ? "restored" : "stream";
        }
    }

    /** @param problems that the caller knows of already; what the list itself shows is added */
    public static BackupStatus of(List<Seen> backups, long diskBytes, List<String> problems, Instant at) {
        var good = backups.stream().filter(Seen::good).toList();
        var newest = good.stream().max(Comparator.comparingLong(Seen::number).thenComparing(Seen::taken)).orElse(null);
        var restored = good.stream().filter(seen -> seen.restored != null).max(Comparator.comparing(Seen::restored)).orElse(null);
        var all = new ArrayList<>(problems);
        good.stream().filter(seen -> isAhead(seen.taken, at)).sorted(Comparator.comparingLong(Seen::number))
                .forEach(seen -> all.add("%s is dated in the future (%s): the clock is or was wrong".formatted(seen.file, seen.taken)));
        return new BackupStatus(at, newest, restored, good.size(), backups.size(), diskBytes, List.copyOf(all));
    }

    private static boolean isAhead(Instant time, Instant at) {
        return time.isAfter(at.plus(CLOCKS_DIFFER));
    }

    /** "90m", "26h", "2d" or "1w"; a day has 24 hours. @throws Failure usage */
    public static Duration parse(String text) {
        var parts = DURATION.matcher(text);
        if (!parts.matches() || Integer.parseInt(parts.group(1)) == 0) throw new Failure(new Problem.NoDuration(text));
        int number = Integer.parseInt(parts.group(1));
        return switch (parts.group(2)) {
            case "m" -> Duration.ofMinutes(number);
            case "h" -> Duration.ofHours(number);
            case "d" -> Duration.ofDays(number);
            default -> Duration.ofDays(7L * number);
        };
    }

    /** Of the newest good one; null when there is none, or it says that it comes from the future. */
    public Duration age() {
        if (newest == null || isAhead(newest.taken, at)) return null;
        return since(newest.taken);
    }

    /** Of the last proof by a restore; null when there is none. */
    public Duration restoreAge() {
        return lastRestore == null ? null : since(lastRestore.restored);
    }

    private Duration since(Instant then) {
        return then.isAfter(at) ? Duration.ZERO : Duration.between(then, at);
    }

    /** Why monitoring should call somebody, or null: there is a good one, and it is not older than that. */
    public String stale(Duration maxAge) {
        if (newest == null) return all == 0 ? "there is no backup at all" : all == 1 ? "the only backup is not known to be good" : "none of the %,d backups is known to be good".formatted(all);
        var age = age();
        if (age == null) return "the newest good backup, %s, is dated in the future (%s): nobody can tell its age".formatted(newest.file, newest.taken);
        return age.compareTo(maxAge) <= 0 ? null : "the newest good backup, %s, is %s old, and %s is the most".formatted(newest.file, Text.duration(age), Text.duration(maxAge));
    }

    // ---- for machines ------------------------------------------------------------------------

    /** For JSON; what is not known is left out. */
    public Map<String, Object> json() {
        var json = new LinkedHashMap<String, Object>();
        json.put("at", at.toString());
        if (newest != null) {
            var its = new LinkedHashMap<String, Object>();
            its.put("file", newest.file);
            its.put("taken", newest.taken.toString());
            if (age() != null) its.put("age_seconds", age().toSeconds());
            its.put("bytes", newest.bytes);
            its.put("rows", newest.rows);
            its.put("proof", newest.proof());
            json.put("newest", its);
        }
        if (lastRestore != null) {
            var its = new LinkedHashMap<String, Object>();
            its.put("file", lastRestore.file);
            its.put("at", lastRestore.restored.toString());
            its.put("age_seconds", restoreAge().toSeconds());
            if (lastRestore.restoreSeconds != null) its.put("seconds", lastRestore.restoreSeconds);
            json.put("last_restore", its);
        }
        json.put("good", good);
        json.put("all", all);
        json.put("disk_bytes", diskBytes);
        json.put("problems", problems);
        return json;
    }

    /**
     * In Prometheus's text format. Times and no ages: an age would stand still in the file when nothing writes it any
     * longer, which is the very thing to be noticed. No backup, and one dated in the future, is time 0, so that
     * a rule on the age fires for them too.
     */
    public String prometheus(String database) {
        var text = new StringBuilder();
        var label = "{database=\"" + escaped(database) + "\"}";
        metric(text, label, "last_good_timestamp_seconds", "When the newest good backup was begun, 0 when there is none or its date is in the future.", age() == null ? 0 : newest.taken.getEpochSecond());
        if (newest != null) {
            metric(text, label, "last_good_size_bytes", "Size of the newest good backup's file.", newest.bytes);
            metric(text, label, "last_good_rows", "Rows in the newest good backup.", newest.rows);
            metric(text, label, "last_good_restored", "1 when the newest good backup was restored and compared, 0 when it was only read back.", newest.restored == null ? 0 : 1);
        }
        metric(text, label, "last_restore_timestamp_seconds", "When a backup was last restored and compared, 0 when none was.", lastRestore == null ? 0 : lastRestore.restored.getEpochSecond());
        if (lastRestore != null && lastRestore.restoreSeconds != null) metric(text, label, "last_restore_duration_seconds", "How long that restore took.", lastRestore.restoreSeconds);
        metric(text, label, "good_backups", "Backups that are known to be good.", good);
        metric(text, label, "backups", "Backups, with those that are not known to be good.", all);
        metric(text, label, "disk_bytes", "Disk that the backups take.", diskBytes);
        metric(text, label, "problems", "Problems that are known with the backups.", problems.size());
        metric(text, label, "seen_timestamp_seconds", "When all this was seen.", at.getEpochSecond());
        return text.toString();
    }

    private static void metric(StringBuilder text, String label, String name, String help, Number value) {
        var full = "backup_database_" + name;
        text.append("# HELP ").append(full).append(' ').append(help).append("\n# TYPE ").append(full).append(" gauge\n").append(full).append(label).append(' ').append(value).append('\n');
    }

    private static String escaped(String value) {
        return value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }

    /** For node_exporter's textfile collector, which reads {@code *.prom} at any moment and as another user: whole or not at all, mode 0644. */
    public void writePrometheus(Path file, String database) throws IOException {
        if (!file.getFileName().toString().endsWith(".prom")) throw new Failure(new Problem.NotProm(file));
        var path = file.toAbsolutePath();
        Disk.replace(path, prometheus(database).getBytes(StandardCharsets.UTF_8), "rw-r--r--", null);
        Disk.fsync(path.getParent());
    }
}
