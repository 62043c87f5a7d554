import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.File;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipFile;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import support.Repo;

/** JBang compiles a script with the sources that it names, and with no others. */
class SourcesTest {
    private static final Path ROOT = Repo.root();

    static List<Path> scripts() throws IOException {
        try (var top = Files.list(ROOT); var bench = Files.list(ROOT.resolve("bench"))) {
            return Stream.concat(top, bench).filter(file -> file.toString().endsWith(".java")).sorted()
                    .map(ROOT::relativize).toList();
        }
    }

    @ParameterizedTest @MethodSource("scripts")
    void a_script_compiles_with_the_sources_that_it_names(Path script) throws IOException {
        assertEquals("", errors(sourcesOf(ROOT.resolve(script))));
    }

    @Test void a_source_that_is_not_named_is_found_missing() throws IOException {
        var sources = sourcesOf(ROOT.resolve("demo.java"));
        sources.removeIf(source -> source.endsWith("tests/support/SampleProject.java"));
        assertFalse(errors(sources).isEmpty());
    }

    /** The script and what its //SOURCES lines name, also in those files. */
    private static Set<Path> sourcesOf(Path script) throws IOException {
        var found = new LinkedHashSet<Path>();
        var left = new ArrayList<>(List.of(script.normalize()));
        while (!left.isEmpty()) {
            var source = left.removeLast();
            if (!found.add(source)) continue;
            for (var line : Files.readAllLines(source))
                if (line.startsWith("//SOURCES "))
                    left.add(source.resolveSibling(line.substring("//SOURCES ".length()).strip()).normalize());
        }
        return found;
    }

    private static String errors(Collection<Path> sources) {
        var compiler = ToolProvider.getSystemJavaCompiler();
        var words = new StringWriter();
        var options = List.of("-proc:none", "-nowarn", "-XDshould-stop.ifNoError=FLOW", "-classpath", libraries(),
                "-sourcepath", "");
        var files = compiler.getStandardFileManager(null, null, null).getJavaFileObjectsFromPaths(sources);
        var compiled = compiler.getTask(words, null, null, options, null, files).call();
        return compiled ? "" : words.toString();
    }

    /** The class path without this repository's own classes. */
    private static String libraries() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> !hasOwnClasses(Path.of(entry))).collect(Collectors.joining(File.pathSeparator));
    }

    private static boolean hasOwnClasses(Path entry) {
        if (Files.isDirectory(entry)) return Files.exists(entry.resolve("lib/Lib.class"));
        if (!Files.exists(entry)) return false;
        try (var jar = new ZipFile(entry.toFile())) {
            return jar.getEntry("lib/Lib.class") != null;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
