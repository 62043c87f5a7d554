import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import support.Repo;
import support.TestProgress;
import support.TestWorker.Event;
import support.TestWorker.Kind;

/** What a run of the tests says of itself, and that it leaves no folder out. */
class RunTestsTest {
    @Test void every_folder_with_tests_is_among_its_sources() throws IOException {
        assertEquals(foldersWithTests(), sources());
        assertTrue(sources().containsAll(Set.of("", "reset/")));
    }

    private static Set<String> foldersWithTests() throws IOException {
        var tests = Repo.root().resolve("tests");
        try (var files = Files.walk(tests)) {
            return files.filter(file -> file.getFileName().toString().endsWith("Test.java"))
                    .map(file -> tests.relativize(file).toString())
                    .map(file -> file.substring(0, file.lastIndexOf('/') + 1))
                    .collect(Collectors.toCollection(TreeSet::new));
        }
    }

    private static Set<String> sources() throws IOException {
        return Files.readAllLines(Repo.root().resolve("tests/run_tests.java")).stream()
                .filter(line -> line.matches("//SOURCES (?!support/|\\.\\.).*\\*.*"))
                .map(line -> line.replaceAll("//SOURCES |\\*.*", ""))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test void failures_are_told_at_once_and_the_last_line_counts_everything() {
        var bytes = new ByteArrayOutputStream();
        var progress = new TestProgress(new PrintStream(bytes, true, StandardCharsets.UTF_8), 2, false);
        progress.started("OneTest");
        progress.started("TwoTest");
        progress.happened("OneTest", new Event(Kind.passed, "a()", ""));
        progress.happened("OneTest", new Event(Kind.failed, "b()", "expected: <1> but was: <2>"));
        var early = bytes.toString(StandardCharsets.UTF_8);
        assertTrue(early.endsWith("FAILED OneTest: b()\n  expected: <1> but was: <2>\n"), early);
        progress.happened("OneTest", new Event(Kind.skipped, "c()", "Assumption failed: no age here"));
        progress.happened("OneTest", new Event(Kind.ended, "", ""));
        progress.lost("TwoTest", "the JVM has ended");
        progress.summary();
        var lines = bytes.toString(StandardCharsets.UTF_8).lines().toList();
        assertTrue(
                lines.stream()
                        .anyMatch(line -> line.matches(
                                "\\[1/2] OneTest: 1 passed, 1 failed, 1 skipped \\(no age here\\), \\d+\\.\\d s")),
                lines.toString());
        assertTrue(
                lines.containsAll(Set.of("FAILED TwoTest: (did not come to its end)", "Slowest classes:")),
                lines.toString());
        assertEquals("1 passed, 2 failed, 1 skipped", lines.getLast());
        assertFalse(progress.allPassed());
    }

    @Test void without_skipped_tests_the_last_line_has_two_figures() {
        var bytes = new ByteArrayOutputStream();
        var progress = new TestProgress(new PrintStream(bytes, true, StandardCharsets.UTF_8), 1, false);
        progress.started("OneTest");
        progress.happened("OneTest", new Event(Kind.passed, "a()", ""));
        progress.happened("OneTest", new Event(Kind.ended, "", ""));
        progress.summary();
        assertEquals("1 passed, 0 failed", bytes.toString(StandardCharsets.UTF_8).lines().toList().getLast());
        assertTrue(progress.allPassed());
    }
}
