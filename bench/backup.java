///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES ../lib/Lib.java
//SOURCES ../tests/support/Postgres.java
//SOURCES ../tests/support/Python.java
//SOURCES ../tests/support/Repo.java

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import lib.cli.Cli;
import lib.cli.Console;
import lib.environment.Environment;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import lib.process.Program;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import support.Postgres;
import support.Python;
import support.Repo;

/**
 * Compares the duration, size and memory of a backup and its restore with those of pg_dump and of pg_back. All sides
 * run in turn on one database, so that a busy machine slows all alike.
 *
 * <pre>
 * ./jbangw bench/backup.java                          1 GB of dump, 3 runs: a quarter of an hour and 5 GB of disk
 * ./jbangw bench/backup.java --megabytes 20 --runs 1  shows that it works; the figures mean little
 * TMPDIR=/mnt/x ./jbangw bench/backup.java            uses that disk; includes zstd and pg_back when they are on PATH
 * </pre>
 */
@Command(
        name = "bench/backup",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Measures backup_database against pg_dump in the ways it is usually run, and against pg_back.",
            "Brings its own PostgreSQL server and makes its own database; touches nothing of yours."
        })
public class backup implements Callable<Integer>, Cli.HasOutput {

    @Option(
            names = "--megabytes",
            paramLabel = "N",
            defaultValue = "1000",
            description = "About how large the plain dump is (default: ${DEFAULT-VALUE}).")
    int megabytes;

    @Option(
            names = "--runs",
            paramLabel = "N",
            defaultValue = "3",
            description = "Runs of each side (default: ${DEFAULT-VALUE}).")
    int runs;

    @Mixin Cli.Output output;

    private static final String NAME = "measured";

    private Console console;
    private Path folder;
    private Path project;
    private Postgres.Db db;
    private final Map<String, Path> kept = new LinkedHashMap<>();

    public static void main(String... args) {
        System.exit(Cli.run(new backup(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        console = output.console();
        var temporary = System.getenv("TMPDIR"); // Java ignores it
        folder = (temporary == null
                        ? Files.createTempDirectory("backup_database-bench-")
                        : Files.createTempDirectory(Path.of(temporary), "backup_database-bench-"))
                .toRealPath();
        try {
            setUp();
            backups();
            restores();
        } finally {
            Python.delete(folder);
        }
        return ExitCode.DONE.code;
    }

    // ---- what is measured --------------------------------------------------------------------

    private void setUp() throws Exception {
        db = Postgres.database(NAME, Postgres.role("owner", "CREATEDB"));
        try (var connection = db.connect()) {
            console.heading("The database");
            console.say("                                     rows         MB   as plain dump");
            new Rows(connection, console).fill(megabytes * 1_000_000L);
        }
        Postgres.execute("CHECKPOINT");
        project = Files.createDirectory(folder.resolve("project"));
        Files.createFile(project.resolve("manage.py"));
        Files.writeString(
                project.resolve(".env"),
                "DB_HOST='%s'\nDB_PORT='%d'\nDB_NAME='%s'\nDB_USER='%s'\nDB_PASSWORD='%s'\n"
                        .formatted(
                                db.host(),
                                db.port(),
                                db.name(),
                                db.role().name(),
                                db.role().password()));
        for (int i = 0; i < 2; i++) run(List.of(ours("--version")), null); // compiles it and warms the page cache
        run(List.of(pg("pg_dump", NAME)), folder.resolve("warm"));
        Files.delete(folder.resolve("warm"));
        console.say("");
        console.heading("Machine");
        console.say(
                "  %d processors, load %s; %s %s, Java %s; %s of the tests, which does not wait for the disk"
                        .formatted(
                                Runtime.getRuntime().availableProcessors(),
                                load(),
                                System.getProperty("os.name"),
                                System.getProperty("os.arch"),
                                Runtime.version().feature(),
                                Program.of(program("pg_dump"), "--version")
                                        .output()
                                        .strip()));
        console.say(
                "  warm: all of it was read once before; sides take turns. Only backup_database waits until its file"
                        + " is on the disk");
    }

    private void backups() throws Exception {
        var sides = new LinkedHashMap<String, Backing>();
        sides.put("pg_dump > file", to -> run(List.of(pg("pg_dump", NAME)), to.resolve(NAME + ".sql")));
        sides.put("pg_dump -Fc", to -> run(List.of(pg("pg_dump", "-Fc", NAME)), to.resolve(NAME + ".dump")));
        if (onPath("zstd"))
            sides.put(
                    "pg_dump -Fc -Z0 | zstd -3",
                    to -> run(
                            List.of(pg("pg_dump", "-Fc", "-Z0", NAME), List.of("zstd", "-3", "-q", "-c")),
                            to.resolve(NAME + ".dump.zst")));
        else console.warn("zstd is not on PATH: it does not take part");
        if (onPath("pg_back")) sides.put("pg_back", to -> run(List.of(pgBack(to)), null, to));
        else console.warn("pg_back is not on PATH: it does not take part");
        sides.put("backup_database", to -> run(List.of(ours("--dir", to.toString())), null, to));
        var all = new LinkedHashMap<String, List<Timed>>();
        sides.keySet().forEach(side -> all.put(side, new ArrayList<>()));
        for (int i = 0; i < runs; i++)
            alternate(i, sides.entrySet().stream().<Turn>map(side -> () -> {
                if (kept.containsKey(side.getKey())) Python.delete(kept.remove(side.getKey()));
                var to = Files.createTempDirectory(folder, "backup-");
                all.get(side.getKey()).add(side.getValue().into(to));
                kept.put(side.getKey(), to);
            }).toList());
        var starts = new ArrayList<Timed>();
        for (int i = 0; i < runs; i++) starts.add(run(List.of(ours("--version")), null));

        heading("Backup: %d runs of each".formatted(runs));
        var plain = all.get("pg_dump > file");
        all.forEach((side, of) -> row(side, of, plain));
        console.say("");
        var ours = all.get("backup_database");
        figure("starting the wrapper and the JVM (--version), s", starts, Timed::seconds);
        figure("backup_database: start to first byte in the file, s", ours, Timed::firstByte);
        figure("pg_dump > file: start to first byte in the file, s", plain, Timed::firstByte);
        if (peak(ours.getFirst()) > 0)
            figure("backup_database: most memory of its JVM (VmHWM), MB", ours, backup::peak);
        else console.say("  most memory: only Linux tells");
        console.say("");
        aim("time : pg_dump > file", median(ours, Timed::seconds) / median(plain, Timed::seconds), 1.15);
        aim("size : pg_dump > file", median(ours, Timed::megabytes) / median(plain, Timed::megabytes), 0.25);
        aim("start to first byte, s", median(ours, Timed::firstByte), 1);
        if (peak(ours.getFirst()) > 0)
            aim("memory, MB", ours.stream().mapToDouble(backup::peak).max().orElseThrow(), 256);
    }

    private void restores() throws Exception {
        var sides = new LinkedHashMap<String, Restoring>();
        sides.put(
                "psql < plain dump",
                into -> run(
                        List.of(pg(
                                "psql",
                                "-X",
                                "-q",
                                "-v",
                                "ON_ERROR_STOP=1",
                                "-o",
                                "/dev/null",
                                "-f",
                                only("pg_dump > file"),
                                into)),
                        null));
        sides.put(
                "pg_restore of pg_dump -Fc",
                into -> run(List.of(pg("pg_restore", "-e", "-d", into, only("pg_dump -Fc"))), null));
        if (kept.containsKey("pg_dump -Fc -Z0 | zstd -3"))
            sides.put(
                    "zstd -dc | pg_restore",
                    into -> run(
                            List.of(
                                    List.of("zstd", "-dc", only("pg_dump -Fc -Z0 | zstd -3")),
                                    pg("pg_restore", "-e", "-d", into)),
                            null));
        sides.put(
                "backup_database restore --into",
                into -> run(List.of(ours("restore", only("backup_database"), "--into", into)), null));
        sides.put("backup_database verify", into -> run(List.of(ours("verify", only("backup_database"))), null));
        var all = new LinkedHashMap<String, List<Timed>>();
        sides.keySet().forEach(side -> all.put(side, new ArrayList<>()));
        for (int i = 0; i < runs; i++)
            alternate(i, sides.entrySet().stream().<Turn>map(side -> () -> {
                var ours = side.getKey().startsWith("backup_database"); // creates the database itself
                if (!ours) Postgres.database("restored", db.role());
                all.get(side.getKey()).add(side.getValue().into("restored"));
                Postgres.execute("DROP DATABASE IF EXISTS restored");
                Postgres.execute("CHECKPOINT"); // so that the next side does not pay for these writes
            }).toList());
        heading(
                "Restore: %d runs of each; backup_database reads the file first, and compares every row afterwards"
                        .formatted(runs));
        var peer = all.get("pg_restore of pg_dump -Fc");
        all.forEach((side, of) -> row(side, of, peer));
        console.say("  (ratios here are to pg_restore of pg_dump -Fc)");
        if (peak(all.get("backup_database verify").getFirst()) > 0) {
            figure(
                    "backup_database restore: most memory of its JVM, MB",
                    all.get("backup_database restore --into"),
                    backup::peak);
            figure(
                    "backup_database verify: most memory of its JVM, MB",
                    all.get("backup_database verify"),
                    backup::peak);
        }
    }

    // ---- the sides ---------------------------------------------------------------------------

    private interface Backing {
        Timed into(Path folder) throws Exception;
    }

    private interface Restoring {
        Timed into(String database) throws Exception;
    }

    private interface Turn {
        void take() throws Exception;
    }

    /** Takes all turns; each round begins with a different one. */
    private static void alternate(int round, List<Turn> turns) throws Exception {
        for (int i = 0; i < turns.size(); i++) turns.get((i + round) % turns.size()).take();
    }

    private List<String> ours(String... args) {
        var root = Repo.root();
        var command = new ArrayList<>(List.of(
                root.resolve("jbangw").toString(),
                root.resolve("backup_database.java").toString()));
        command.addAll(List.of(args));
        if (!List.of(args).contains("--version")) command.addAll(List.of("--project", project.toString()));
        return command;
    }

    private List<String> pg(String program, String... args) {
        return Stream.concat(
                        Stream.of(
                                program(program),
                                "-h",
                                db.host(),
                                "-p",
                                "" + db.port(),
                                "-U",
                                db.role().name(),
                                "-w"),
                        Stream.of(args))
                .toList();
    }

    /** pg_back with its default settings (pg_dump's custom format, default level), for this one database. */
    private List<String> pgBack(Path to) {
        return List.of(
                "pg_back",
                "-B",
                Path.of(program("pg_dump")).getParent().toString(),
                "-b",
                to.toString(),
                "--dump-only",
                "-h",
                db.host(),
                "-p",
                "" + db.port(),
                "-U",
                db.role().name(),
                "-d",
                NAME,
                NAME);
    }

    private final Map<String, String> programs = new LinkedHashMap<>();

    private String program(String name) {
        return programs.computeIfAbsent(name, it -> Environment.withoutDjango(null, null)
                .pgProgram(it, 15)
                .argv()
                .getFirst());
    }

    private static boolean onPath(String program) {
        return Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }

    /** The backup of a side's last run. */
    private String only(String side) throws IOException {
        try (var files = Files.list(kept.get(side))) {
            return files.filter(file -> isBackup(file) && !file.toString().endsWith(".json"))
                    .findFirst()
                    .orElseThrow()
                    .toString();
        }
    }

    private static boolean isBackup(Path file) {
        return file.getFileName().toString().startsWith(NAME + "_")
                || file.getFileName().toString().startsWith(NAME + ".");
    }

    /** @param megabytes the backup's size; 0 for a restore */
    private record Timed(double seconds, double megabytes, double firstByte, long peakKilobytes) {}

    private static double peak(Timed run) {
        return run.peakKilobytes / 1024.0;
    }

    private Timed run(List<List<String>> pipeline, Path out) throws Exception {
        return run(pipeline, out, out == null ? null : out.getParent());
    }

    /**
     * Runs each program of a pipe to its end. A failure ends the benchmark with the program's output.
     *
     * @param out   the file for the output of the last program, or null
     * @param watch the folder in which the backup appears, or null
     */
    private Timed run(List<List<String>> pipeline, Path out, Path watch) throws Exception {
        Interruption.check();
        var errors = folder.resolve("stderr");
        Files.deleteIfExists(errors);
        var builders = pipeline.stream().map(this::builder).toList();
        builders.forEach(builder -> builder.redirectError(ProcessBuilder.Redirect.appendTo(errors.toFile())));
        builders.getFirst().redirectInput(new File("/dev/null"));
        builders.getLast()
                .redirectOutput(
                        out == null ? ProcessBuilder.Redirect.DISCARD : ProcessBuilder.Redirect.to(out.toFile()));
        var began = System.nanoTime();
        var processes = ProcessBuilder.startPipeline(builders);
        try (var handle = Interruption.onSignal(() -> processes.forEach(Process::destroy))) {
            var first = 0.0;
            long peak = 0;
            while (!processes.getLast().waitFor(first == 0 && watch != null ? 5 : 20, TimeUnit.MILLISECONDS)) {
                if (first == 0 && watch != null && bytes(watch) > 0) first = (System.nanoTime() - began) / 1e9;
                peak = Math.max(peak, peak(processes.getLast().pid()));
            }
            var seconds = (System.nanoTime() - began) / 1e9;
            Interruption.check();
            for (int i = 0; i < processes.size(); i++) {
                var code = processes.get(i).waitFor();
                if (code != 0) throw new Failure(new RunFailed(pipeline.get(i), code, Files.readString(errors)));
            }
            return new Timed(seconds, watch == null ? 0 : bytes(watch) / 1e6, first, peak);
        }
    }

    private ProcessBuilder builder(List<String> command) {
        var builder = new ProcessBuilder(command).directory(folder.toFile());
        var environment = builder.environment();
        environment.keySet().removeIf(name -> name.matches("(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|BACKUP_).*"));
        environment.put("XDG_STATE_HOME", folder.resolve("state").toString());
        if (db != null) environment.put("PGPASSWORD", db.role().password());
        return builder;
    }

    private static long bytes(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            var sum = 0L;
            for (var file : (Iterable<Path>) files.filter(backup::isBackup)::iterator) {
                try {
                    sum += Files.size(file);
                } catch (IOException renamed) {
                    // counted under its other name
                }
            }
            return sum;
        }
    }

    /** The peak memory of a process until now, in kB; 0 where it is unknown. It only grows, so the last look counts. */
    private static long peak(long pid) {
        try (var lines = Files.lines(Path.of("/proc", "" + pid, "status"))) {
            return lines.filter(line -> line.startsWith("VmHWM:"))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                    .findFirst()
                    .orElse(0);
        } catch (IOException | java.io.UncheckedIOException gone) {
            return 0;
        }
    }

    record RunFailed(List<String> command, int code, String words) implements Problem {
        @Override public ExitCode exit() { return ExitCode.FAILED; }

        @Override
        public String what() {
            return "%s ended with exit code %d:\n%s"
                    .formatted(
                            String.join(" ", command),
                            code,
                            words.strip().indent(2).stripTrailing());
        }

        @Override public List<String> next() { return List.of(); }
    }

    // ---- the database ------------------------------------------------------------------------

    /**
     * The rows of a shop with a chat: text, jsonb, timestamps, UUIDs, amounts; the same in every run. The words are
     * made of syllables, with the frequency and order of a language: zstd -3 compresses the text to 0.36, like English.
     */
    private static final class Rows {
        private static final String SCHEMA = """
            CREATE TABLE customer (id uuid PRIMARY KEY, name varchar(100) NOT NULL, email varchar(254) NOT NULL,
                phone varchar(20) NOT NULL, city varchar(60) NOT NULL, profile jsonb NOT NULL,
                balance numeric(12,2) NOT NULL, active boolean NOT NULL, created_at timestamptz NOT NULL);
            CREATE TABLE message (id bigint PRIMARY KEY, customer_id uuid NOT NULL, direction varchar(8) NOT NULL,
                body text NOT NULL, status varchar(12) NOT NULL, sent_at timestamptz NOT NULL);
            CREATE TABLE event (id bigint PRIMARY KEY, customer_id uuid NOT NULL, kind varchar(40) NOT NULL,
                payload jsonb NOT NULL, at timestamptz NOT NULL);
            CREATE TABLE order_line (id bigint PRIMARY KEY, order_number integer NOT NULL, customer_id uuid NOT NULL,
                sku varchar(20) NOT NULL, quantity integer NOT NULL, unit_price numeric(10,2) NOT NULL,
                vat numeric(10,4) NOT NULL, note text, placed_at timestamptz NOT NULL);
            CREATE TABLE reading (id bigint PRIMARY KEY, device integer NOT NULL, value double precision NOT NULL,
                at timestamptz NOT NULL);
            """;
        private static final String AFTER = """
            CREATE INDEX ON message (customer_id);
            CREATE INDEX ON event (customer_id);
            ALTER TABLE message ADD FOREIGN KEY (customer_id) REFERENCES customer;
            ALTER TABLE event ADD FOREIGN KEY (customer_id) REFERENCES customer;
            """;
        private static final List<String> TEMPLATES = List.of(
                "Hello %s, your order %d has been shipped and will arrive within the next %d days. You will get a"
                        + " message as soon as it is with our driver. Thank you for shopping with us!",
                "Hi %s! Your invoice %d is ready and due in %d days. You can pay by card or mobile money at the link"
                        + " in your account. Reply HELP if anything is not as you ordered it.",
                "Dear %s, your appointment %d is confirmed, %d days from now. Please come ten minutes early and bring"
                        + " the papers we have asked for. Reply 1 to confirm or 2 to change the time.",
                "%s, we have received your payment for order %d, thank you. You have collected %d points so far, and"
                        + " can use them for your next purchase online or in any of our shops.",
                "Good news, %s! Offer %d is for you: until Sunday you save %d percent on everything in our shop. Show"
                        + " this message at the counter. Reply STOP if you do not want to hear from us.");
        private static final List<String> KINDS = List.of(
                "message.sent",
                "message.delivered",
                "message.read",
                "flow.started",
                "flow.step",
                "flow.finished",
                "contact.updated",
                "webhook.received");
        private static final List<String> AGENTS = List.of(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
                        + " Safari/537.36",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
                        + " Mobile/15E148",
                "WhatsApp/2.24.11.85 A",
                "python-requests/2.32.3");

        private final SplittableRandom random = new SplittableRandom(4);
        private final String[] words = new String[20_000];
        private final Connection connection;
        private final Console console;
        private final StringBuilder line = new StringBuilder();
        private final String[] active = new String[40];
        private String[] customers;
        private final double[] values = new double[50];
        private int last;
        private long clock;

        Rows(Connection connection, Console console) {
            this.connection = connection;
            this.console = console;
            for (int i = 0; i < words.length; i++) words[i] = word(i < 40 ? 1 : i < 1500 ? 2 : 3);
        }

        private interface Row {
            void next(int number);
        }

        void fill(long bytes) throws Exception {
            try (var statement = connection.createStatement()) {
                statement.execute(SCHEMA);
                customers = new String[(int) Math.max(10, bytes / 4000)];
                copy("customer", Long.MAX_VALUE, customers.length, this::customer);
                copy("message", bytes * 42 / 100, Integer.MAX_VALUE, this::message);
                copy("event", bytes * 32 / 100, Integer.MAX_VALUE, this::event);
                copy("order_line", bytes * 11 / 100, Integer.MAX_VALUE, this::orderLine);
                copy("reading", bytes * 9 / 100, Integer.MAX_VALUE, this::reading);
                statement.execute(AFTER);
                statement.execute("VACUUM (FREEZE, ANALYZE)");
            }
        }

        private void copy(String table, long bytes, int rows, Row row) throws Exception {
            clock = Instant.parse("2024-01-01T00:00:00Z").getEpochSecond() * 1000;
            CopyIn copy = connection.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY " + table + " FROM STDIN");
            var block = new ByteArrayOutputStream();
            var written = 0L;
            var number = 0;
            while (written < bytes && number < rows) {
                line.setLength(0);
                row.next(number++);
                line.append('\n');
                var text = line.toString().getBytes(StandardCharsets.UTF_8);
                written += text.length;
                block.writeBytes(text);
                if (block.size() < 1 << 16) continue;
                copy.writeToCopy(block.toByteArray(), 0, block.size());
                block.reset();
            }
            copy.writeToCopy(block.toByteArray(), 0, block.size());
            copy.endCopy();
            console.say(String.format(Locale.ROOT, "  %-28s %,11d %,10.0f", table, number, written / 1e6));
        }

        private void customer(int number) {
            customers[number] = uuid();
            var name = capital(common()) + " " + capital(words[random.nextInt(words.length)]);
            fields(
                    customers[number],
                    name,
                    name.toLowerCase(Locale.ROOT).replace(' ', '.') + number % 100 + "@example.org",
                    "+2637" + random.nextInt(10_000_000, 99_999_999),
                    capital(words[random.nextInt(40, 400)]),
                    "{\"tags\": [\"%s\", \"%s\"], \"opt_in\": %s, \"language\": \"%s\", \"last_campaign\": %d}"
                            .formatted(
                                    common(),
                                    common(),
                                    random.nextInt(4) > 0,
                                    random.nextInt(5) > 0 ? "en" : "sn",
                                    random.nextInt(200)),
                    cents(200_000),
                    random.nextInt(10) > 0 ? "t" : "f",
                    time(40_000));
        }

        private void message(int number) {
            var out = random.nextBoolean();
            var body = out && random.nextInt(4) > 0
                    ? TEMPLATES
                            .get(random.nextInt(TEMPLATES.size()))
                            .formatted(capital(common()), random.nextInt(1_000_000), random.nextInt(30))
                    : sentence(1, out ? 50 : 25);
            fields(
                    "" + (number + 1),
                    somebody(),
                    out ? "outbound" : "inbound",
                    body,
                    random.nextInt(9) > 0 ? "delivered" : "failed",
                    time(9_000));
        }

        private void event(int number) {
            var who = somebody();
            var device = who.hashCode(); // each customer has one, with one address
            fields(
                    "" + (number + 1),
                    who,
                    KINDS.get(random.nextInt(KINDS.size())),
                    ("{\"ip\": \"%d.%d.%d.%d\", \"flow\": %d, \"step\": \"%s_%s\", \"agent\": \"%s\","
                            + " \"duration_ms\": %d, \"message_id\": \"wamid.%016x\"}")
                            .formatted(
                                    30 + (device & 31),
                                    device >> 5 & 255,
                                    device >> 13 & 255,
                                    device >> 21 & 255,
                                    random.nextInt(40),
                                    common(),
                                    common(),
                                    AGENTS.get(device >>> 30),
                                    random.nextInt(5000),
                                    random.nextLong()),
                    time(11_000));
        }

        private void orderLine(int number) {
            fields(
                    "" + (number + 1),
                    "" + (100_000 + number / 3),
                    somebody(),
                    "SKU-" + random.nextInt(1000, 9000),
                    "" + random.nextInt(1, 12),
                    cents(50_000),
                    random.nextInt(1000) + "." + random.nextInt(1000, 10_000),
                    random.nextInt(8) > 0 ? "\\N" : sentence(3, 15),
                    time(60_000));
        }

        private void reading(int number) {
            var device = number % values.length;
            values[device] += random.nextGaussian() / 4;
            fields(
                    "" + (number + 1),
                    "" + device,
                    String.format(Locale.ROOT, "%.2f", 20 + values[device]),
                    time(2_000));
        }

        private void fields(String... values) {
            for (int i = 0; i < values.length; i++) line.append(i == 0 ? "" : "\t").append(values[i]);
        }

        /** The n-th most frequent word is 1/n as frequent as the first (Zipf). */
        private String common() {
            return words[rank()];
        }

        private int rank() {
            return (int) Math.exp(random.nextDouble() * Math.log(words.length));
        }

        /** Every other word is one of the few that often follow the one before. */
        private String following() {
            last = random.nextInt(2) == 0 ? rank() : (int) ((last * 2654435761L + random.nextInt(6) * 40503L) % 3000);
            return words[last];
        }

        private String sentence(int least, int most) {
            var text = new StringBuilder(capital(common()));
            for (int i = random.nextInt(least, most); i > 0; i--)
                text.append(random.nextInt(12) == 0 ? ", " : " ").append(following());
            return text.append(random.nextInt(5) == 0 ? '?' : '.').toString();
        }

        private String word(int syllables) {
            var word = new StringBuilder();
            for (int i = 0; i < syllables; i++) {
                word.append("bcdfghklmnprstvw".charAt(random.nextInt(16))).append("aeiou".charAt(random.nextInt(5)));
                if (random.nextInt(3) == 0) word.append("nrstl".charAt(random.nextInt(5)));
            }
            return word.toString();
        }

        private static String capital(String word) {
            return Character.toUpperCase(word.charAt(0)) + word.substring(1);
        }

        /** Mostly a customer who was active just before, as in a conversation. */
        private String somebody() {
            var place = random.nextInt(active.length);
            if (active[place] == null || random.nextInt(4) == 0)
                active[place] = customers[random.nextInt(customers.length)];
            return active[place];
        }

        private String uuid() {
            return new java.util.UUID(
                            random.nextLong() & ~0xf000L | 0x4000L, random.nextLong() & ~(3L << 62) | 1L << 63)
                    .toString();
        }

        private String cents(int most) {
            return String.format(Locale.ROOT, "%d.%02d", random.nextInt(most / 100), random.nextInt(100));
        }

        /** Up to twice that later than the last time, with microseconds. */
        private String time(int milliseconds) {
            clock += random.nextInt(2 * milliseconds);
            return Instant.ofEpochMilli(clock).plusNanos(random.nextInt(1000) * 1000L).toString();
        }
    }

    // ---- figures -----------------------------------------------------------------------------

    private static String load() throws IOException {
        var file = Path.of("/proc/loadavg");
        return Files.exists(file) ? Files.readString(file).split(" ")[0] : "unknown";
    }

    private void heading(String text) throws IOException {
        console.say("");
        console.heading(text);
        console.say("  %-56s %9s %9s %9s %9s %9s   (load %s)"
                .formatted("", "median s", "least s", "ratio", "MB", "ratio", load()));
    }

    private void row(String what, List<Timed> all, List<Timed> peer) {
        var size = median(all, Timed::megabytes);
        console.say(String.format(
                        Locale.ROOT,
                        "  %-56s %9.2f %9.2f %9.2f",
                        what,
                        median(all, Timed::seconds),
                        least(all, Timed::seconds),
                        median(all, Timed::seconds) / median(peer, Timed::seconds))
                + (size == 0
                        ? ""
                        : String.format(Locale.ROOT, " %9.1f %9.3f", size, size / median(peer, Timed::megabytes))));
    }

    private void figure(String what, List<Timed> all, ToDoubleFunction<Timed> of) {
        console.say(String.format(Locale.ROOT, "  %-56s %9.2f %9.2f", what, median(all, of), least(all, of)));
    }

    private void aim(String what, double value, double aim) {
        console.say(String.format(
                Locale.ROOT,
                "  backup_database, %-39s %9.2f   aim: %s or less, %s",
                what,
                value,
                aim,
                value <= aim ? "reached" : "missed"));
    }

    /** The run that a busy machine disturbed least. */
    private static double least(List<Timed> all, ToDoubleFunction<Timed> of) {
        return all.stream().mapToDouble(of).min().orElseThrow();
    }

    private static double median(List<Timed> all, ToDoubleFunction<Timed> of) {
        var sorted = all.stream().mapToDouble(of).sorted().toArray();
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }
}
