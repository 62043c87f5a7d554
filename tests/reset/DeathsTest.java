package lib.reset;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import lib.cli.Console;
import lib.django.Description;
import lib.django.Django;
import lib.django.DjangoProblem;
import lib.django.PythonCommand;
import lib.django.SilenceLimit;
import lib.error.Failure;
import lib.plan.Plan;
import lib.plan.Step;
import lib.postgres.Database;
import lib.process.Program;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import support.Python;
import support.Sample;
import support.Tool;
import support.Victim;

/**
 * Processes are killed or signalled, the disk is full or not writable: the old state is live, and the message says so.
 */
class DeathsTest {
    private static final AtomicInteger TRIED = new AtomicInteger(), SURVIVED = new AtomicInteger();
    private static final AtomicInteger FOLDERS = new AtomicInteger();
    @TempDir Path temp;

    @AfterAll static void figures() {
        System.out.printf("deaths survived: %d of %d%s%n", SURVIVED.get(), TRIED.get(), Sample.described());
    }

    private Victim victim() throws Exception {
        return new Victim(temp.resolve("v" + FOLDERS.incrementAndGet()));
    }

    interface Death {
        void happens() throws Exception;
    }

    private static Executable survived(String name, Death death) {
        return () -> {
            TRIED.incrementAndGet();
            try {
                death.happens();
            } catch (Throwable e) {
                throw new AssertionError(name + ": " + e.getMessage(), e);
            }
            SURVIVED.incrementAndGet();
        };
    }

    /** All of them, two at a time, each with its own project and database. */
    private static void all(List<Executable> deaths) throws Exception {
        try (var two = Executors.newFixedThreadPool(2)) {
            var running = deaths.stream().map(death -> two.submit((Callable<Void>) () -> {
                try {
                    death.execute();
                } catch (Exception | Error e) {
                    throw e;
                } catch (Throwable e) {
                    throw new IllegalStateException(e);
                }
                return null;
            })).toList();
            assertAll(running.stream().map(death -> (Executable) () -> {
                try {
                    death.get();
                } catch (ExecutionException e) {
                    throw e.getCause();
                }
            }));
        }
    }

    private static int code(Process process) throws Exception {
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IllegalStateException("it does not end: " + Victim.said(process));
        }
        return process.exitValue();
    }

    private static void kill(String signal, Object to) throws Exception {
        assertEquals(0, new ProcessBuilder("kill", "-" + signal, "--", to.toString()).start().waitFor());
    }

    private static void assertDone(Tool.Output output) {
        assertEquals(0, output.code(), output.all());
    }

    @Test void an_extra_row_file_database_or_python_process_is_noticed() throws Exception {
        var victim = victim();
        victim.isAsItWas();
        Files.writeString(victim.root().resolve("shop/migrations/0003_more.py"), "");
        assertThrows(AssertionError.class, victim::isAsItWas);
        Files.delete(victim.root().resolve("shop/migrations/0003_more.py"));
        victim.sql("CREATE DATABASE %s_new".formatted(victim.db.name()));
        assertThrows(AssertionError.class, victim::isAsItWas);
        victim.sql("DROP DATABASE %s_new".formatted(victim.db.name()));
        var python = new ProcessBuilder(Python.venv().toString(), "-c", "import time; time.sleep(60)")
                .directory(victim.root().toFile()).start();
        Thread.sleep(300);
        assertEquals(1, victim.pythons().size());
        python.destroyForcibly().waitFor();
        victim.isAsItWas();
        victim.sql("UPDATE shop_order SET number = -1 WHERE id = 7");
        assertThrows(AssertionError.class, victim::isAsItWas);
    }

    // ---- Python is killed --------------------------------------------------------------------

    @Test void a_python_that_is_killed_leaves_everything_as_it_was() throws Exception {
        var deaths = new ArrayList<Executable>();
        for (var strategy : List.of("swap", "park"))
            for (var where : Sample.of("python killed, " + strategy, List.of("generate", "migrate", "check"), 1))
                deaths.add(survived("python killed in " + where + " of " + strategy, () -> {
                    var victim = victim();
                    var process = victim.pausing(where).start("--yes", "--quiet", "--strategy", strategy);
                    victim.untilPaused(process);
                    var python = process.children().filter(p -> p.info().command().orElse("").contains("python"))
                        .max(Comparator.comparing(ProcessHandle::pid)).orElseThrow();
                    kill("KILL", python.pid());
                    assertEquals(1, code(process));
                    var said = Victim.said(process);
                    assertTrue(said.contains("the Python process ended while"), said);
                    victim.isAsItWas();
                }));
        all(deaths);
    }

    @Test void a_python_process_that_hangs_is_stopped_and_everything_is_as_it_was() throws Exception {
        all(List.of(survived("silent in swap's migrate", () -> silentWhileMigrating("swap")),
                survived("silent in park's migrate", () -> silentWhileMigrating("park")),
                survived("silent while it reads the models", () -> {
                    var victim = victim();
                    Files.writeString(victim.root().resolve("shop/models.py"), "import time\ntime.sleep(600)\n");
                    try (var django = django(victim, "nowhere", 1)) {
                        assertTrue(assertThrows(Failure.class, () -> django.describe(1, List.of())).problem()
                                instanceof DjangoProblem.NoOutput);
                    }
                    assertEquals(List.of(), victim.pythons());
                })));
    }

    private static Django django(Victim victim, String pause, int patience) {
        var python = Program.of(Python.venv().toString()).in(victim.root()).env("PAUSE", pause)
                .env("PAUSED", victim.paused().toString());
        return SilenceLimit.of(patience, Django.start(PythonCommand.local(python, victim.root()), null, note -> {}));
    }

    private void silentWhileMigrating(String strategy) throws Exception {
        var victim = victim();
        try (var database = Database.open(victim.db.credentials()); var django = django(victim, "migrate", 4)) {
            Description description;
            try (var proof = database.randomAdvisoryLock()) {
                description = django.describe(proof.key(), List.of());
            }
            django.generate(description.labels(), description.history().carried());
            var steps = switch (SwapDatabaseTest.choose(database, strategy, false)) {
                case SwapDatabase swap -> List.of(swap.createScratch(), swap.migrate(django));
                case ParkTables park -> List.<Step>of(park.parkAndMigrate(django));
                case Strategy other -> throw new IllegalStateException(other.name());
            };
            var console = new Console(new Console.Options(true, false, false, Console.Color.never));
            var failure = assertThrows(Failure.class, () -> new Plan(steps).run(console, () -> "undo"));
            assertTrue(failure.problem() instanceof DjangoProblem.NoOutput, failure.getMessage());
        }
        victim.isAsItWas();
    }

    // ---- signals -----------------------------------------------------------------------------

    /** Runs the reset and sends the signal at these points. */
    private static Tool.Output signalled(Victim victim, String signal, String whom, String points, String... args)
            throws Exception {
        var all = new ArrayList<>(List.of(signal, whom, points, "reset_migrations"));
        all.addAll(List.of(args));
        var output = victim.tool("support.SignalAt").by("env", "--default-signal=HUP", "setsid")
                .run(all.toArray(String[]::new));
        assertTrue(output.err().contains("SignalAt: "), "the point was never reached: " + output.all());
        return output;
    }

    private static void isInterrupted(Tool.Output output) {
        assertEquals(130, output.code(), output.all());
        assertTrue(output.err().contains("interrupted; everything is as it was"), output.all());
    }

    private static final List<String> SWAP = List.of("before: keep.*", "before: create database.*",
            "before: run every.*", "before: replace.*", "before: rename.*", "before: check.*", "after: check.*");
    private static final List<String> PARK = List.of("before: keep.*", "before: move.*", "before: replace.*",
            "before: commit.*", "before: check.*", "after: check.*");

    @Test void ctrl_c_in_any_step_leaves_everything_as_it_was() throws Exception {
        var deaths = new ArrayList<Executable>();
        for (var strategy : List.of("swap", "park"))
            for (var point : Sample.of("Ctrl-C, " + strategy, strategy.equals("swap") ? SWAP : PARK, 1))
                deaths.add(signal("INT", strategy, point));
        all(deaths);
    }

    @Test void sigterm_and_a_closed_terminal_do_the_same() throws Exception {
        all(Sample.of("SIGTERM", List.of(signal("TERM", "swap", "before: run every.*"),
                signal("TERM", "swap", "before: rename.*"), signal("TERM", "park", "before: commit.*")), 1));
        all(Sample.of("SIGHUP",
                List.of(signal("HUP", "swap", "before: check.*"), signal("HUP", "park", "before: check.*")), 1));
    }

    @Test void a_second_ctrl_c_does_not_stop_the_undo() throws Exception {
        all(Sample.of("second Ctrl-C", List.of(signal("INT", "swap", "before: check.*|undone: .*"),
                signal("INT", "park", "before: check.*|undone: .*")), 1));
    }

    private Executable signal(String signal, String strategy, String points) {
        return survived("SIG%s at %s of %s".formatted(signal, points, strategy), () -> {
            var victim = victim();
            isInterrupted(signalled(victim, signal, "group", points, "--yes", "--strategy", strategy));
            victim.isAsItWas();
        });
    }

    @Tag("exhaustive")
    @Test void a_signal_while_python_is_at_work_leaves_everything_as_it_was() throws Exception {
        var deaths = new ArrayList<Executable>();
        for (var strategy : List.of("swap", "park"))
            for (var at :
                    Sample.of("signals at work, " + strategy, List.of("INT migrate", "HUP migrate", "TERM check"), 1))
                deaths.add(survived("SIG%s of %s".formatted(at, strategy), () -> {
                    var victim = victim();
                    var process = victim.pausing(at.replaceFirst(".* ", "")).by("env", "--default-signal=HUP", "setsid")
                            .start("--yes", "--quiet", "--strategy", strategy);
                    victim.untilPaused(process);
                    kill(at.replaceFirst(" .*", ""), -process.pid());
                    assertEquals(130, code(process));
                    var said = Victim.said(process);
                    assertTrue(said.contains("interrupted; everything is as it was"), said);
                    victim.isAsItWas();
                }));
        all(deaths);
    }

    @Test void an_interrupted_undo_or_purge_says_which_state_is_live() throws Exception {
        var deaths = new ArrayList<Executable>();
        for (var strategy : Sample.of("Ctrl-C in undo", List.of("swap", "park"), 1))
            deaths.add(survived("Ctrl-C in undo and purge of " + strategy, () -> {
                var victim = victim();
                assertDone(victim.reset().warmHere().run("--yes", "--strategy", strategy));
                var after = support.Snapshot.of(victim.db);
                var newFiles = support.Snapshot.of(victim.root());
                for (var point : List.of("before: (rename|move).*", "before: put.*", "after: put.*|undone: .*")) {
                    isInterrupted(signalled(victim, "INT", "group", point, "undo", "--yes"));
                    assertEquals(after, support.Snapshot.of(victim.db));
                    assertEquals(newFiles, support.Snapshot.of(victim.root()));
                }
                isInterrupted(signalled(victim, "INT", "group", "before: back up.*", "purge", "--yes"));
                isInterrupted(signalled(victim, "INT", "group", "after: back up.*", "purge", "--yes"));
                assertDone(victim.reset().warmHere().run("undo", "--yes")); // nothing was purged
                victim.rowsAreAsTheyWere();
                victim.filesAreAsTheyWere();
                var half = signalled(victim, "INT", "group", "after: drop.*", "purge", "--yes", "--no-backup");
                assertEquals(3, half.code(), half.all());
                assertTrue(half.err().contains("already dropped") && half.err().contains("reset_migrations purge"),
                        half.err());
                assertDone(victim.reset().warmHere().run("purge", "--yes", "--no-backup"));
                victim.isAsItWas();
            }));
        all(deaths);
    }

    // ---- a terminal --------------------------------------------------------------------------

    /** The script in a pseudo-terminal, which types what the test writes and closes when it is killed. */
    private static Process inTerminal(Victim victim, Tool tool, String... args) throws IOException {
        var line = victim.folder().resolve("line");
        Files.writeString(line, "#!/bin/sh\nexec " + String.join(" ", tool.command(args).stream()
                .map(word -> "'" + word.replace("'", "'\\''") + "'").toList()) + "\n");
        Files.setPosixFilePermissions(line, PosixFilePermissions.fromString("rwx------"));
        return tool.start(List.of("script", "-qefc", line.toString(), "/dev/null"));
    }

    private static void await(Process process, StringBuilder seen, String words)
            throws IOException, InterruptedException {
        var in = process.getInputStream();
        for (var until = System.nanoTime() + 60_000_000_000L; seen.indexOf(words) < 0; ) {
            var ready = in.available();
            if (ready > 0) seen.append(new String(in.readNBytes(ready), StandardCharsets.UTF_8));
            else if (!process.isAlive() || System.nanoTime() > until)
                throw new IllegalStateException("never said \"" + words + "\": " + seen);
            else Thread.sleep(50);
        }
    }

    private static void type(Process process, String keys) throws IOException {
        process.getOutputStream().write(keys.getBytes());
        process.getOutputStream().flush();
    }

    @Test void at_the_prompt_ctrl_c_sigterm_and_a_closed_terminal_touch_nothing() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/script")), "no script(1) here: prompts are not tried");
        var deaths = new ArrayList<Executable>();
        for (var how : List.of("INT", "TERM", "HUP")) deaths.add(survived("SIG%s at the prompt".formatted(how), () -> {
                var victim = victim();
                var terminal = inTerminal(victim, victim.reset());
                var seen = new StringBuilder();
                await(terminal, seen, "Continue?");
                var java = terminal.descendants().filter(p -> p.info().command().orElse("").endsWith("java"))
                        .findFirst().orElseThrow();
                switch (how) {
                    case "INT" -> type(terminal, "\003");
                    case "TERM" -> kill("TERM", java.pid());
                    default -> terminal.destroyForcibly();
                }
                java.onExit().get(20, TimeUnit.SECONDS);
                if (!how.equals("HUP")) {
                    await(terminal, seen, "interrupted; everything is as it was");
                    assertEquals(130, code(terminal));
                }
                victim.isAsItWas();
            }));
        deaths.add(survived("SIGTERM while createsuperuser has the terminal", () -> {
            var victim = victim();
            var terminal = inTerminal(victim, victim.reset(), "--yes", "--superuser");
            var seen = new StringBuilder();
            await(terminal, seen, "Username");
            kill("TERM", terminal.descendants().filter(p -> p.info().command().orElse("").endsWith("java")).findFirst()
                    .orElseThrow().pid());
            await(terminal, seen, "the reset is done, but");
            assertEquals(3, code(terminal));
            assertEquals(List.of(), victim.pythons());
            assertDone(victim.reset().warmHere().run("undo", "--yes"));
            victim.rowsAreAsTheyWere();
        }));
        all(deaths);
    }

    // ---- a full disk -------------------------------------------------------------------------

    private static final boolean ROOT = System.getProperty("user.name").equals("root");

    /** Mounts a small file system on that folder during the run. */
    static void onFileSystem(Path folder, int kilobytes, Death death) throws Exception {
        Files.createDirectories(folder);
        run("mount", "-t", "tmpfs", "-o", "size=%dk,mode=700".formatted(Math.max(kilobytes, 4)), "tmpfs",
                folder.toString());
        try {
            if (kilobytes == 0) Files.write(folder.resolve("filler"), new byte[4096]);
            death.happens();
        } finally {
            run("umount", "--lazy", folder.toString());
        }
    }

    private static void run(String... command) throws Exception {
        var output = Python.run(Path.of("/"), command);
        assertEquals(0, output.code(), String.join(" ", command) + ": " + output.text());
    }

    private static boolean mayMount() throws Exception {
        return ROOT && Python.run(Path.of("/"), "unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt").code() == 0;
    }

    /** Runs that failed and runs that succeeded: both must occur, or the test proves nothing. */
    private record Ends(AtomicInteger failed, AtomicInteger done) {
        Ends() {
            this(new AtomicInteger(), new AtomicInteger());
        }
    }

    /** A sample has a full disk, one with enough room, and one between. */
    private static String room(int kilobytes) {
        return kilobytes == 0 ? "none" : kilobytes == 400 ? "enough" : "some";
    }

    @Test void a_full_disk_under_the_run_folder_leaves_everything_as_it_was() throws Exception {
        assumeTrue(mayMount(), "only root can mount small file systems: a full disk is not tried");
        var ends = new Ends();
        var deaths = new ArrayList<Executable>();
        for (var kilobytes : Sample.of("room for .reset", List.of(0, 4, 12, 24, 400), 1, DeathsTest::room))
            deaths.add(survived(kilobytes + " kB for .reset", () -> {
                var victim = victim();
                onFileSystem(victim.root().resolve(".reset"), kilobytes,
                        () -> isFullOrDone(victim, victim.root().resolve(".reset"), ends, "filler"));
            }));
        for (var kilobytes : Sample.of("room for the state folder", List.of(0, 16), 1))
            deaths.add(survived(kilobytes + " kB for the state folder", () -> {
                var victim = victim();
                onFileSystem(victim.home, kilobytes, () -> {
                    var output = victim.reset().warmHere().run("--yes");
                    assertDone(output); // the first copy is enough
                    assertTrue(output.err().contains("no second copy") && output.err().contains("No space left"),
                            output.err());
                    assertDone(victim.reset().warmHere().run("undo", "--yes"));
                    victim.rowsAreAsTheyWere();
                    victim.filesAreAsTheyWere();
                });
            }));
        all(deaths);
        assertTrue(ends.failed.get() >= (Sample.ALL ? 3 : 1) && ends.done.get() >= 1, ends.toString());
    }

    private static void isFullOrDone(Victim victim, Path where, Ends ends, String... mayBeThere) throws Exception {
        var before = support.Snapshot.of(victim.root());
        var output = victim.reset().warmHere().run("--yes");
        if (output.code() == 0) {
            ends.done.incrementAndGet();
            var undone = victim.reset().warmHere().run("undo", "--yes");
            if (undone.code() == 0) {
                victim.rowsAreAsTheyWere();
                assertEquals(before, support.Snapshot.of(victim.root()));
            } else assertEquals(1, undone.code(), undone.all()); // undo has another test
            return;
        }
        ends.failed.incrementAndGet();
        assertEquals(1, output.code(), output.all());
        assertTrue(output.err().contains("No space left on device") && output.err().contains(where.toString())
                && output.err().contains("df -h"), output.err());
        victim.rowsAreAsTheyWere();
        assertEquals(before, support.Snapshot.of(victim.root()));
        assertEquals(List.of(), victim.leftovers().stream()
                .filter(f -> List.of(mayBeThere).stream().noneMatch(f::endsWith)).toList());
        assertEquals(List.of(), victim.pythons());
    }

    @Tag("exhaustive") @Test void reset_and_undo_leave_a_project_on_a_full_disk_as_it_was() throws Exception {
        assumeTrue(mayMount(), "only root can mount small file systems: a full disk is not tried");
        var ends = new Ends();
        var deaths = new ArrayList<Executable>();
        for (var left : Sample.of("room for reset", List.of(0, 4, 8, 28, 32, 44, 400), 1, DeathsTest::room))
            deaths.add(survived(left + " kB left for the project", () -> {
                var victim = victim();
                onSmallDisk(victim, left, () -> {
                    isFullOrDone(victim, victim.root(), ends);
                });
            }));
        for (var left : Sample.of("room for undo", List.of(0, 4, 12, 20, 400), 1, DeathsTest::room))
            deaths.add(survived(left + " kB left for undo", () -> {
                var victim = victim();
                assertDone(victim.reset().warmHere().run("--yes"));
                onSmallDisk(victim, left, () -> {
                    var rows = support.Snapshot.of(victim.db);
                    var files = support.Snapshot.of(victim.root());
                    var output = victim.reset().warmHere().run("undo", "--yes");
                    switch (output.code()) {
                        case 0 -> ends.done.incrementAndGet();
                        case 1 -> {
                            ends.failed.incrementAndGet();
                            assertTrue(output.err().contains("No space left on device") && output.err()
                                    .contains(victim.root().toString()), output.err());
                            assertEquals(rows, support.Snapshot.of(victim.db));
                            assertEquals(files, support.Snapshot.of(victim.root()));
                            Files.delete(victim.root().resolve(".filler"));
                            assertDone(victim.reset().warmHere().run("undo", "--yes"));
                        }
                        case 3 -> assertTrue(output.err().contains("but its record cannot be written: "), output.err());
                        default -> throw new IllegalStateException(output.all());
                    }
                    victim.rowsAreAsTheyWere();
                    Files.deleteIfExists(victim.root().resolve(".filler"));
                    victim.filesAreAsTheyWere();
                });
            }));
        all(deaths);
        assertTrue(ends.failed.get() >= (Sample.ALL ? 6 : 2) && ends.done.get() >= 2, ends.toString());
    }

    /** Moves the project to a file system that is full except for so many kilobytes. */
    private static void onSmallDisk(Victim victim, int left, Death death) throws Exception {
        var aside = victim.root().resolveSibling("aside");
        run("cp", "-a", victim.root().toString(), aside.toString());
        onFileSystem(victim.root(), 1000, () -> {
            run("cp", "-a", aside + "/.", victim.root().toString());
            var store = Files.getFileStore(victim.root());
            try (var filler = Files.newOutputStream(victim.root().resolve(".filler"))) {
                for (var page = new byte[4096]; store.getUsableSpace() > left * 1024L; ) filler.write(page);
            }
            assertEquals(left * 1024L, store.getUsableSpace());
            death.happens();
        });
    }

    // ---- folders that are not writable--------------------------------------------------------

    /** Permissions as an ordinary user has them: root without its capabilities. */
    private static Tool ordinary(Tool tool) {
        return ROOT ? tool.by("setpriv", "--inh-caps=-all", "--bounding-set=-all") : tool;
    }

    private static void mode(Path path, String permissions) throws IOException {
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString(permissions));
    }

    @Test void folders_that_are_not_writable_are_reported_before_anything_is_built() throws Exception {
        all(Sample.of("not writable", List.of(survived("the project is read-only", () -> {
                            var victim = victim();
                            mode(victim.root(), "r-xr-xr-x");
                            isNotWritable(victim, victim.root().toString());
                        }),
                        survived("a migrations folder is read-only", () -> {
                            var victim = victim();
                            mode(victim.root().resolve("shop/migrations"), "r-xr-xr-x");
                            isNotWritable(victim, "shop/migrations (owned by");
                        }),
                        survived("a migrations folder is another's", () -> {
                            assumeTrue(ROOT);
                            var victim = victim();
                            run("chown", "4321:4321", victim.root().resolve("shop/migrations").toString());
                            isNotWritable(victim, "shop/migrations (owned by 4321");
                        }),
                        survived("compiled migrations are another's", () -> {
                            var victim = victim();
                            var cache = Files.createDirectory(victim.root().resolve("shop/migrations/__pycache__"));
                            Files.createFile(cache.resolve("0001_initial.cpython-311.pyc"));
                            mode(cache, "r-xr-xr-x");
                            isNotWritable(victim, "shop/migrations/__pycache__ (owned by");
                        }),
                        survived(".reset is another's", () -> {
                            assumeTrue(ROOT);
                            var victim = victim();
                            run("chown", "4321:4321", Files.createDirectory(victim.root().resolve(".reset"))
                                    .toString());
                            isNotWritable(victim, ".reset (owned by 4321");
                        }),
                        survived("the backups folder is read-only", () -> {
                            var victim = victim();
                            mode(Files.createDirectory(victim.root().resolve("backups")), "r-xr-xr-x");
                            isNotWritable(victim, "backups (owned by", "--backup");
                            assertDone(ordinary(victim.reset()).run("--yes")); // the run writes nothing there
                        }),
                        survived("undo of a read-only folder", () -> {
                            var victim = victim();
                            assertDone(victim.reset().warmHere().run("--yes"));
                            mode(victim.root().resolve("shop/migrations"), "r-xr-xr-x");
                            var rows = support.Snapshot.of(victim.db);
                            var output = ordinary(victim.reset()).run("undo", "--yes");
                            assertEquals(1, output.code(), output.all());
                            assertTrue(output.err().contains("shop/migrations (owned by"), output.err());
                            assertEquals(rows, support.Snapshot.of(victim.db));
                            mode(victim.root().resolve("shop/migrations"), "rwxr-xr-x");
                            assertDone(ordinary(victim.reset()).run("undo", "--yes"));
                            victim.rowsAreAsTheyWere();
                            victim.filesAreAsTheyWere();
                        }),
                        survived("a home that is not writable", () -> {
                            var victim = victim();
                            mode(Files.createDirectory(victim.home), "---------");
                            var output = ordinary(victim.reset()).run("--yes");
                            assertDone(output);
                            assertTrue(output.err().contains("no second copy")
                                    && output.err().contains("ermission denied"), output.err());
                            assertDone(ordinary(victim.reset()).run("undo", "--yes"));
                            victim.rowsAreAsTheyWere();
                            victim.filesAreAsTheyWere();
                        }),
                        survived("no home at all", () -> {
                            var victim = victim();
                            assertDone(ordinary(victim.reset().env("HOME", "").env("XDG_STATE_HOME", "")
                                    .env("JDK_JAVA_OPTIONS", "-Duser.home=?")).run("--yes"));
                            try (var root = Files.list(victim.root())) {
                                assertEquals(List.of(), root.filter(f -> f.endsWith("?") || f.endsWith(".local")
                                        || f.endsWith("reset_migrations")).toList());
                            }
                        }),
                        survived("the temporary folder is not writable", () -> {
                            var victim = victim();
                            var closed = Files.createDirectory(victim.folder().resolve("tmp"));
                            mode(closed, "r-xr-xr-x");
                            var output = ordinary(victim.reset().env("JDK_JAVA_OPTIONS", "-Djava.io.tmpdir=" + closed)
                                    .env("TMPDIR", closed.toString())).run("--yes");
                            assertEquals(1, output.code(), output.all());
                            assertTrue(output.err().contains(closed.toString()) && !output.err().contains("\tat "),
                                    output.err());
                            victim.isAsItWas();
                        })),
                3));
    }

    private static void isNotWritable(Victim victim, String where, String... more) throws Exception {
        var args = new ArrayList<>(List.of("--yes"));
        args.addAll(List.of(more));
        var before = support.Snapshot.of(victim.root());
        for (var dry : List.of(false, true)) {
            if (dry) args.add("--dry-run");
            var output = ordinary(victim.reset()).run(args.toArray(String[]::new));
            assertEquals(1, output.code(), output.all());
            var plan = output.err().contains("nothing was touched") && output.err().contains(where);
            var lock = output.err().contains("cannot lock the project")
                    && output.err().contains(".reset"); // even before the plan
            assertTrue((plan || lock && !dry) && !output.err().contains("\tat "), output.err());
            assertFalse(output.out().contains("[1/"), output.out());
            victim.rowsAreAsTheyWere();
            assertEquals(before, support.Snapshot.of(victim.root()));
        }
    }
}
