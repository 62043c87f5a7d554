package lib.backup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import lib.backup.BackupFolder.Entry;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.files.Text;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What monitoring is told about the backups; never better than the truth. */
class BackupStatusTest {
    private static final Instant NOON = Instant.parse("2026-11-22T12:00:00Z");
    private static final Duration A_DAY = BackupStatus.parse("26h");

    private static Entry stream(long number, String taken) {
        var started = OffsetDateTime.parse(taken);
        var file = new Manifest.StoredFile(number, "shop_" + number + ".dump.zst", 5000 + number, "00");
        var source = new Manifest.Source("shop", "db:5432", "15.8", "15.8", started, 1, 9000);
        var table = new Manifest.Table("public.item", 100 * number, "00", 1000);
        var none = new Manifest.Table("large objects", 0, "00", 0);
        var content =
                new Manifest.Content(List.of(table), new TreeMap<>(), none, new TreeMap<>(), List.of(), null);
        var manifest = new Manifest(file, source, new Manifest.Encoding("custom", "zstd:3", List.of()), content, List.of(),
                new Manifest.Proof(Manifest.Level.STREAM, started, null, null));
        return new Entry(Path.of(file.name()), "shop", started.toLocalDateTime(), file.bytes(), manifest);
    }

    private static Entry restored(Entry of, String at, double seconds) {
        var proof = new Manifest.Proof(Manifest.Level.RESTORED, OffsetDateTime.parse(at), seconds, null);
        return new Entry(of.file(), of.database(), of.taken(), of.bytes(), of.manifest().withProof(proof));
    }

    private static Entry unknown(long number, String taken) {
        var local = LocalDateTime.ofInstant(Instant.parse(taken), ZoneId.systemDefault());
        return new Entry(Path.of("shop_" + number + ".dump.zst"), "shop", local, 1, null);
    }

    private static BackupStatus status(Entry... backups) {
        return BackupStatus.of(List.of(backups), 123_456, List.of(), NOON);
    }

    // ---- durations ---------------------------------------------------------------------------

    @Test void a_duration_is_a_number_and_a_unit() {
        assertEquals(List.of(Duration.ofMinutes(90), Duration.ofHours(26), Duration.ofHours(48), Duration.ofHours(168)),
                Stream.of("90m", "26h", "2d", "1w").map(BackupStatus::parse).toList());
    }

    @Test void any_other_duration_is_a_usage_error() {
        for (var bad : List.of(
                "",
                "26",
                "h",
                "26 h",
                " 26h",
                "26h ",
                "-1h",
                "+1h",
                "0h",
                "00d",
                "1.5h",
                "1d12h",
                "26H",
                "26hours",
                "1y",
                "99999999999h",
                "٢٦h",
                "26h\n")) {
            var problem = assertThrows(Failure.class, () -> BackupStatus.parse(bad), bad).problem();
            assertEquals(ExitCode.USAGE, problem.exit());
            assertEquals("invalid duration: \"" + bad + "\"", problem.what());
            assertEquals(List.of("give a number above 0 with m, h, d or w: 90m, 26h, 2d, 1w"), problem.next());
        }
    }

    @Test void an_age_is_shown_in_its_two_largest_units() {
        assertEquals(
                List.of("5 s", "59 min", "1 h", "26 h", "26 h 1 min", "2 d", "3 d 4 h"),
                Stream.of("PT5S", "PT59M59S", "PT1H", "PT26H", "PT26H1M", "P2D", "P3DT4H59M")
                        .map(Duration::parse)
                        .map(Text::duration)
                        .toList());
    }

    // ---- age ---------------------------------------------------------------------------------

    /** Why the status fails, or null. */
    private static String refusal(BackupStatus status, Duration maxAge) {
        try {
            status.require(maxAge);
            return null;
        } catch (Failure failure) {
            assertEquals(ExitCode.FAILED, failure.problem().exit());
            assertEquals(1, failure.problem().next().size());
            return failure.problem().what();
        }
    }

    @Test void a_good_backup_is_fresh_up_to_the_limit_and_stale_after_it() {
        assertNull(refusal(status(stream(1, "2026-11-21T10:00:00Z")), A_DAY));
        assertEquals(
                "the newest good backup, shop_1.dump.zst, is 26 h old; the limit is 26 h",
                refusal(status(stream(1, "2026-11-21T09:59:59Z")), A_DAY));
        var old = status(stream(1, "2026-11-01T00:00:00Z"));
        assertEquals(
                "the newest good backup, shop_1.dump.zst, is 21 d 12 h old; the limit is 26 h", refusal(old, A_DAY));
        assertNull(refusal(old, null));
    }

    @Test void no_backup_fails_with_and_without_a_limit() {
        for (var limit : new Duration[] {A_DAY, null}) {
            assertEquals("there is no backup", refusal(status(), limit));
            assertEquals(
                    "the only backup is not proven to be good",
                    refusal(status(unknown(1, "2026-11-22T11:00:00Z")), limit));
            assertEquals("none of the 2 backups is proven to be good",
                    refusal(status(unknown(1, "2026-11-22T11:00:00Z"), unknown(2, "2026-11-22T11:30:00Z")), limit));
        }
        assertNull(status().age());
        assertEquals(
                "shop_1.dump.zst",
                status(stream(1, "2026-11-22T10:00:00Z"), unknown(2, "2026-11-22T11:00:00Z"))
                        .newest()
                        .name());
    }

    @Test void the_newest_backup_is_the_last_by_number_not_by_the_clock() {
        var status = status(stream(2, "2026-01-01T00:00:00Z"), stream(1, "2026-11-22T11:00:00Z"));
        assertEquals(2, status.newest().number());
        assertEquals(
                "the newest good backup, shop_2.dump.zst, is 325 d 12 h old; the limit is 26 h",
                refusal(status, A_DAY));
    }

    @Test void a_newest_backup_dated_in_the_future_is_a_problem_and_not_fresh() {
        var status = status(stream(1, "2026-11-22T11:00:00Z"), stream(2, "2027-03-01T00:00:00Z"));
        assertEquals(
                "the newest good backup, shop_2.dump.zst, is dated in the future (2027-03-01T00:00:00Z): its age is"
                        + " unknown",
                refusal(status, A_DAY));
        assertEquals(
                List.of("shop_2.dump.zst is dated in the future (2027-03-01T00:00:00Z): the clock is or was wrong"),
                status.problems());
        assertTrue(status.prometheus("shop")
                .contains("\nbackup_database_last_good_timestamp_seconds{database=\"shop\"} 0\n"));
        assertFalse(status.json().toString().contains("age_seconds"), status.json().toString());
    }

    @Test void an_older_backup_dated_in_the_future_is_listed_as_a_problem() {
        var status = status(stream(1, "2027-03-01T00:00:00Z"), stream(2, "2026-11-22T11:00:00Z"));
        assertNull(refusal(status, A_DAY));
        assertEquals(1, status.problems().size());
    }

    @Test void clocks_that_differ_by_less_than_a_minute_are_no_problem() {
        var status = status(stream(1, "2026-11-22T12:01:00Z"));
        assertEquals(List.of(), status.problems());
        assertEquals(Duration.ZERO, status.age());
        assertEquals(1, status(stream(1, "2026-11-22T12:01:01Z")).problems().size());
    }

    @Test void problems_that_the_caller_found_come_first() {
        var status = BackupStatus.of(
                List.of(stream(1, "2027-03-01T00:00:00Z")), 0, List.of("shop_9.dump.zst: damaged"), NOON);
        assertEquals("shop_9.dump.zst: damaged", status.problems().getFirst());
        assertEquals(2, status.problems().size());
    }

    // ---- the proof by a restore --------------------------------------------------------------

    @Test void the_last_restore_may_be_of_an_older_backup() {
        var status = status(
                restored(stream(1, "2026-11-01T03:00:00Z"), "2026-11-20T12:00:00Z", 41.5),
                restored(stream(2, "2026-11-10T03:00:00Z"), "2026-11-15T12:00:00Z", 40.0),
                stream(3, "2026-11-22T03:00:00Z"));
        assertEquals("shop_3.dump.zst", status.newest().name());
        assertEquals(Manifest.Level.STREAM, status.newest().level());
        assertEquals("shop_1.dump.zst", status.lastRestore().name());
        assertEquals(Manifest.Level.RESTORED, status.lastRestore().level());
        assertEquals(Duration.ofDays(2), status.restoreAge());
        assertNull(status(stream(1, "2026-11-22T03:00:00Z")).restoreAge());
        assertEquals(Manifest.Level.NONE, unknown(1, "2026-11-22T03:00:00Z").level());
    }

    // ---- JSON --------------------------------------------------------------------------------

    @Test void json_leaves_out_what_is_unknown() {
        var gson = new Gson();
        assertEquals(
                "{'at':'2026-11-22T12:00:00Z','good':0,'all':1,'disk_bytes':123456,'problems':[]}".replace('\'', '"'),
                gson.toJson(status(unknown(1, "2026-11-22T11:00:00Z")).json()));
        assertEquals(
                """
                {"at":"2026-11-22T12:00:00Z",\
                "newest":{"file":"shop_2.dump.zst","taken":"2026-11-22T11:00:00Z","age_seconds":3600,"bytes":5002,"rows":200,"proof":"stream"},\
                "last_restore":{"file":"shop_1.dump.zst","at":"2026-11-21T12:00:00Z","age_seconds":86400,"seconds":41.5},\
                "good":2,"all":2,"disk_bytes":123456,"problems":[]}""",
                gson.toJson(status(
                                restored(stream(1, "2026-11-20T03:00:00Z"), "2026-11-21T12:00:00Z", 41.5),
                                stream(2, "2026-11-22T11:00:00Z"))
                        .json()));
    }

    // ---- Prometheus --------------------------------------------------------------------------

    private static final Pattern SAMPLE =
            Pattern.compile("[a-z_]+\\{database=\"(?:[^\"\\\\\n]|\\\\[\\\\\"n])*\"} [0-9.E]+");

    /** The lines that violate the format, as far as it is used here. */
    private static List<String> against(String text) {
        var wrong = new java.util.ArrayList<String>();
        var lines = text.split("\n", -1);
        if (!lines[lines.length - 1].isEmpty()) wrong.add("the last line does not end");
        for (var i = 0; i + 1 < lines.length; i += 3) {
            var name = lines[i].replaceFirst("# HELP (\\S+) .+", "$1");
            if (!lines[i].startsWith("# HELP backup_database_")) wrong.add(lines[i]);
            if (i + 2 >= lines.length || !lines[i + 1].equals("# TYPE " + name + " gauge"))
                wrong.add("no TYPE of " + name);
            else if (!lines[i + 2].startsWith(name + "{")
                    || !SAMPLE.matcher(lines[i + 2]).matches()) wrong.add(lines[i + 2]);
        }
        return wrong;
    }

    @Test void the_metrics_are_valid_prometheus_text() {
        var text = status(
                        restored(stream(1, "2026-11-20T03:00:00Z"), "2026-11-21T12:00:00Z", 41.5),
                        unknown(2, "2026-11-22T11:00:00Z"))
                .prometheus("shop");
        assertEquals(List.of(), against(text));
        assertEquals("""
            backup_database_last_good_timestamp_seconds{database="shop"} 1795143600
            backup_database_last_good_size_bytes{database="shop"} 5001
            backup_database_last_good_rows{database="shop"} 100
            backup_database_last_good_restored{database="shop"} 1
            backup_database_last_restore_timestamp_seconds{database="shop"} 1795262400
            backup_database_last_restore_duration_seconds{database="shop"} 41.5
            backup_database_good_backups{database="shop"} 1
            backup_database_backups{database="shop"} 2
            backup_database_disk_bytes{database="shop"} 123456
            backup_database_problems{database="shop"} 0
            backup_database_seen_timestamp_seconds{database="shop"} 1795348800
            """, text.replaceAll("(?m)^#.*\n", ""));
        assertEquals(List.of(), against(status().prometheus("shop")));
        assertTrue(
                status().prometheus("shop")
                        .contains("\nbackup_database_last_good_timestamp_seconds{database=\"shop\"} 0\n"),
                "a rule on the age has to fire when there is none");
    }

    @Test void a_name_with_quotes_backslashes_and_line_ends_stays_one_label() {
        var text = status().prometheus("a\"b\\c\nd\\n");
        assertTrue(text.contains("{database=\"a\\\"b\\\\c\\nd\\\\n\"} 0\n"), text);
        assertEquals(List.of(), against(text));
        assertFalse(against(text.replace("\\\"", "\"")).isEmpty());
        assertFalse(against(text.replace("a\\", "a\n")).isEmpty());
    }

    @Test void the_metrics_file_is_complete_and_readable_for_all_users(@TempDir Path folder) throws Exception {
        var file = folder.resolve("shop.prom");
        Files.writeString(file, "old");
        var status = status(stream(1, "2026-11-22T11:00:00Z"));
        status.writePrometheus(file, "shop");
        assertEquals(status.prometheus("shop"), Files.readString(file));
        assertEquals("rw-r--r--", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        try (var files = Files.list(folder)) {
            assertEquals(List.of(file), files.toList());
        }
    }

    @Test void a_reader_during_a_write_gets_the_complete_file(@TempDir Path folder) throws Exception {
        var file = folder.resolve("shop.prom");
        var one = status(stream(1, "2026-11-22T11:00:00Z"));
        var other = status();
        one.writePrometheus(file, "shop");
        var texts = List.of(one.prometheus("shop"), other.prometheus("shop"));
        int reads = 0, strange = 0;
        var written = new AtomicInteger();
        var writer = Thread.ofPlatform().start(() -> {
            for (; written.get() < 300; written.incrementAndGet()) {
                try {
                    (written.get() % 2 == 0 ? other : one).writePrometheus(file, "shop");
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            }
        });
        while (writer.isAlive()) {
            try (var files = Files.list(folder)) {
                if (files.filter(f -> f.toString().endsWith(".prom")).count() != 1)
                    strange++; // the collector takes every *.prom
            }
            if (!texts.contains(Files.readString(file))) strange++;
            reads++;
        }
        assertEquals(300, written.get());
        assertEquals(0, strange, "of " + reads);
    }

    @Test void a_file_name_that_the_collector_ignores_is_a_usage_error(@TempDir Path folder) throws Exception {
        var failure = assertThrows(Failure.class, () -> status().writePrometheus(folder.resolve("shop.txt"), "shop"));
        assertEquals(ExitCode.USAGE, failure.problem().exit());
        try (var files = Files.list(folder)) {
            assertEquals(0, files.count());
        }
    }
}
