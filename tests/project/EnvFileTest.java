package lib.project;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import com.google.gson.JsonParser;
import io.github.cdimascio.dotenv.Dotenv;
import io.github.cdimascio.dotenv.DotenvEntry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import lib.error.Failure;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Python;

/** python-dotenv itself gives the expected values. */
class EnvFileTest {
    @TempDir Path folder;

    /** Each is a document. */
    private static final List<String> LINES = List.of(
            // plain
            "A=1",
            "A=",
            "A",
            "A =1",
            "A= 1",
            "  A  =  1  ",
            "\tA\t=\t1\t",
            "A=a b c",
            "A==",
            "A=b=c",
            "A=b==",
            "a.b-c/d=1",
            "1A=1",
            "Ä=ö",
            "=1",
            " =1",
            "A=1\n=2\nB=3",
            // quotes
            "A='1'",
            "A=\"1\"",
            "A=''",
            "A=\"\"",
            "A='a b'",
            "A='it\\'s'",
            "A=\"say \\\"x\\\"\"",
            "A='a\"b'",
            "A=\"a'b\"",
            "A='open",
            "A=\"open",
            "A='open\nB=2",
            "A=\"open\nB=2",
            "A='x' y",
            "A='x'y",
            "A='x' # c",
            "A='x'# c",
            "A='x'#",
            "A='a''b'",
            "A=\"a\"\"b\"",
            "A=x'y'",
            "A=x\"y z\"",
            "A='x'   ",
            "A=`x`",
            "A=  'x'",
            "A='end\\'",
            "A='end\\\\'",
            "A=\"end\\\\\"",
            // escapes
            "A=\"a\\nb\"",
            "A='a\\nb'",
            "A=a\\nb",
            "A=\"\\a\\b\\f\\r\\t\\v\\\\\\'\\\"\"",
            "A=\"\\x41\\u0041\\101\\0\"",
            "A='\\\\'",
            "A='\\\\n'",
            "A=\"\\\\n\"",
            "A=\"\\q\\$\\`\"",
            "A=a\\ b",
            "A=C:\\dir\\new",
            "A='C:\\dir\\new'",
            "A=\"C:\\dir\\new\"",
            "A=\\",
            "A=\"x\\",
            // comments
            "# c",
            "   # c",
            "#A=1",
            "A=1 # c",
            "A=1 #",
            "A=pa#ss",
            "A=pa #ss",
            "A=#x",
            "A= #x",
            "A=  # x",
            "A='a#b'",
            "A=\"a # b\"",
            "A # c",
            "A#c",
            "A#=1",
            "A=1\t# c",
            "A=1 \\# c",
            "export # c",
            "A=1# c",
            // export
            "export A=1",
            "export  A=1",
            "export\tA=1",
            "export A",
            "export",
            "export=1",
            "export =1",
            "exportA=1",
            "export export A=1",
            "export 'A'=1",
            " export A=1",
            "EXPORT A=1",
            // names
            "'A'=1",
            "'A B'=1",
            "'A=B'=1",
            "''=1",
            "'A=1",
            "\"A\"=1",
            "A B=1",
            "A B",
            "A:1",
            "A: 1",
            "'A'",
            "'A\nB'=1",
            "A'B=1",
            // interpolation
            "A=${HOME}",
            "A=1\nB=${A}",
            "A=1\nB='${A}'",
            "A=1\nB=\"${A}\"",
            "A=1\nB=$A",
            "B=${A}",
            "B=${A:-d}",
            "B=${A:-}",
            "B=${A-d}",
            "B=${A:d}",
            "A=\nB=${A:-d}",
            "A\nB=${A:-d}",
            "B=${A:-${C}}",
            "A=1\nB=${A}-x${A}",
            "A=x${A}",
            "B=${}",
            "B=${:-x}",
            "B=${A",
            "B=\\${HOME}",
            "A=1\nA=${A}2\nA=${A}3",
            "A=${B}\nB=1",
            "B=${A:-a b # c}",
            "B=\"${A:-a\nb}\"",
            "IN_ENV=file\nB=${IN_ENV}",
            "B=${IN_ENV:-d}",
            "A=a$b\\\\c\nB=${A}",
            "B=${EMPTY_IN_ENV:-d}",
            "A=$1\\1\nB='${A}'",
            // several lines
            "A='1\n2\n3'\nB=4",
            "A=\"1\n2\n\"\nB=4",
            "A='1\n#2\n'\n#B=3",
            "A=1\n\n\n\nB=2",
            "\n\n  \n A=1",
            "A=1\n   ",
            "A=1\n\n\n=x\n\n\n B C\n",
            "A='1\n2' x\nB=3",
            "A=\"x\ny\nz\nB=1\nC=2",
            // line endings
            "A=1\r\nB=2\r\n",
            "A='1\r\n2'\r\nB=3",
            "A=1\rB=2\r",
            "A=\"1\r2\"\n",
            "A=\r\nB=2",
            "A\r\nB",
            "=\r\n=\r\nA B\r\n",
            "\r\n\r\nA=1",
            "A=1\n\rB=2",
            // byte order marks
            "\ufeffA=1",
            "\ufeff\ufeffA=1",
            "\ufeff\nA=1",
            "\ufeff# c\nA=1",
            "A=1\n\ufeffB=2",
            "\ufeff",
            // duplicates, empty, nothing
            "A=1\nB=2\nA=3",
            "A=1\nA",
            "A\nA=1",
            "",
            "\n",
            " ",
            "\r\n",
            "\n\n\n",
            // Unicode
            "A=żółć",
            "A='日本 # x'",
            "A=\"🐘\\n\"",
            "A=a\u00a0# c",
            "A=1\u2003",
            "\u3000A=1",
            "A\u2028=1",
            "A=x\u2028y # z",
            "A=x\u0085#y",
            "A=x\u001c#y",
            "A=x\u001f",
            "A=x\u200b",
            "A=\u000bx\f",
            "🐘=1",
            "A=x\u180e",
            "A=e\u0301",
            // dotenv-java reads these differently
            "DB_NAME='crm'", "PASS=pa#ss", "G=\"a\\nb \\\" c\"", "A=1\nH=${A}-x", "Q='it\\'s'");

    private static final String ORACLE = """
        import io, json, logging, os, sys, tempfile
        from dotenv import load_dotenv
        from dotenv.main import DotEnv
        from dotenv.parser import parse_stream
        logging.disable(logging.CRITICAL)
        documents = json.load(io.TextIOWrapper(sys.stdin.buffer, 'utf-8', newline=''))
        environment, answers = dict(os.environ), []
        path = os.path.join(sys.argv[1], '.env')
        for document in documents:
            with open(path, 'wb') as file:
                file.write(document.encode('utf-8'))
            values = DotEnv(path, override=False, encoding='utf-8').dict()
            malformed = []
            with open(path, encoding='utf-8') as file:
                for binding in parse_stream(file):
                    if binding.error:
                        text = binding.original.string
                        malformed.append(binding.original.line + text[:len(text) - len(text.lstrip())].count('\\n'))
            try:
                load_dotenv(path)
                exported = {k: v for k, v in os.environ.items() if environment.get(k) != v}
            except ValueError:
                exported = None
            for name in set(os.environ) - set(environment):
                del os.environ[name]
            answers.append([list(values.items()), malformed, exported])
        json.dump([environment, answers], sys.stdout)
        """;

    /** Names and values in order, skipped lines, and the variables for a process. */
    private record Reading(
            List<Map.Entry<String, String>> values, List<Integer> malformed, Map<String, String> exported) {}

    private record Oracle(Map<String, String> environment, List<Reading> readings) {}

    private Oracle oracle(List<String> documents) throws Exception {
        var builder = new ProcessBuilder(Python.venv().toString(), "-c", ORACLE, folder.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().keySet().removeIf(name -> name.matches("[A-H]|Ä|export|PYTHON_DOTENV_DISABLED"));
        builder.environment()
                .putAll(Map.of(
                        "IN_ENV", "environment", "EMPTY_IN_ENV", "", "HOME", "/home/x", "PYTHONIOENCODING", "utf-8"));
        var process = builder.start();
        try (var in = process.getOutputStream()) {
            in.write(new Gson().toJson(documents).getBytes(UTF_8));
        }
        var answer = JsonParser.parseString(new String(process.getInputStream().readAllBytes(), UTF_8))
                .getAsJsonArray();
        assertEquals(0, process.waitFor());
        var environment = new LinkedHashMap<String, String>();
        answer.get(0).getAsJsonObject().asMap().forEach((name, value) -> environment.put(name, value.getAsString()));
        var readings = new ArrayList<Reading>();
        for (var each : answer.get(1).getAsJsonArray()) {
            var parts = each.getAsJsonArray();
            var values = new ArrayList<Map.Entry<String, String>>();
            for (var pair : parts.get(0).getAsJsonArray()) {
                var value = pair.getAsJsonArray().get(1);
                values.add(entry(
                        pair.getAsJsonArray().get(0).getAsString(), value.isJsonNull() ? null : value.getAsString()));
            }
            var malformed = parts.get(1).getAsJsonArray().asList().stream().map(n -> n.getAsInt()).toList();
            Map<String, String> exported = parts.get(2).isJsonNull()
                    ? null
                    : parts.get(2).getAsJsonObject().asMap().entrySet().stream()
                            .collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().getAsString()));
            readings.add(new Reading(values, malformed, exported));
        }
        return new Oracle(environment, readings);
    }

    private static Map.Entry<String, String> entry(String name, String value) {
        return new java.util.AbstractMap.SimpleEntry<>(name, value);
    }

    private Path write(String text) throws IOException {
        return Files.writeString(folder.resolve(".env"), text);
    }

    private Reading ours(String document, Map<String, String> environment) throws IOException {
        var file = EnvFile.read(write(document), environment);
        var values = file.values().entrySet().stream().map(e -> entry(e.getKey(), e.getValue())).toList();
        return new Reading(values, file.malformed().stream().map(EnvFile.MalformedLine::line).toList(),
                file.forDjango(new Project(folder, folder)));
    }

    private void assertSame(List<String> documents) throws Exception {
        var oracle = oracle(documents);
        assertEquals(documents.size(), oracle.readings.size());
        for (int i = 0; i < documents.size(); i++) {
            var theirs = oracle.readings.get(i);
            var ours = ours(documents.get(i), oracle.environment);
            var shown = "document " + i + ": " + new Gson().toJson(documents.get(i));
            assertEquals(theirs.values, ours.values, shown);
            assertEquals(theirs.malformed, ours.malformed, shown);
            if (theirs.exported != null) assertEquals(theirs.exported, ours.exported, shown);
        }
    }

    @Test void every_line_is_read_as_python_dotenv_reads_it() throws Exception {
        assertTrue(LINES.size() >= 150, "lines: " + LINES.size());
        assertSame(LINES);
    }

    @Test void all_lines_together_are_read_as_python_dotenv_reads_them() throws Exception {
        assertSame(List.of(String.join("\n", LINES), String.join("\r\n", LINES.reversed())));
    }

    @Test void generated_documents_are_read_as_python_dotenv_reads_them() throws Exception {
        var pieces = new String[] {
            "A", "B", "C", "IN_ENV", "=", "=", "=", "'", "\"", "\\", "#", " #", " ", "\t", "\n", "\n", "\r\n", "\r",
            "${", "}", "${A}", "${B:-", ":-", "$", "export ", "export", "x", "1", "é", "🐘", "\u00a0", "\u2028",
            "\u0085", "\u001c", "\ufeff", "\\n", "\\'", "\\\"", "A='", "B=\"", "\nC=", "'\n", "\"\n"
        };
        var random = new Random(20_261_122);
        var documents = new ArrayList<String>();
        for (int i = 0; i < 600; i++) {
            var document = new StringBuilder();
            for (int length = 2 + random.nextInt(40); length > 0; length--)
                document.append(pieces[random.nextInt(pieces.length)]);
            documents.add(document.toString());
        }
        assertSame(documents);
    }

    /** The negative control: the comparison notices a wrong reader. */
    @Test void dotenv_java_reads_the_same_lines_otherwise() throws Exception {
        var documents = List.of("V='crm'", "V=pa#ss", "export V=1", "V=\"a\\nb \\\" c\"", "V=${HOME}-x", "V='it\\'s'");
        var oracle = oracle(documents);
        for (int i = 0; i < documents.size(); i++) {
            write(documents.get(i));
            var theirs = Dotenv.configure()
                    .directory(folder.toString())
                    .ignoreIfMalformed()
                    .load()
                    .entries(Dotenv.Filter.DECLARED_IN_ENV_FILE)
                    .stream()
                    .map(e -> entry(e.getKey(), e.getValue()))
                    .toList();
            assertNotEquals(oracle.readings.get(i).values, theirs, documents.get(i));
        }
        assertEquals(oracle.readings.get(0).values, List.of(entry("V", "crm")));
    }

    // ---- the Dotenv interface ----------------------------------------------------------------

    @Test void the_environment_comes_before_the_file() throws IOException {
        Dotenv file = EnvFile.read(write("A=file\nB=file\nC"), Map.of("A", "environment", "D", "4"));
        assertEquals("environment", file.get("A"));
        assertEquals("file", file.get("B"));
        assertNull(file.get("C"));
        assertEquals("otherwise", file.get("C", "otherwise"));
        assertEquals("4", file.get("D"));
        assertEquals(Map.of("A", "environment", "B", "file", "D", "4"), map(file.entries()));
        assertEquals(Map.of("A", "file", "B", "file"), map(file.entries(Dotenv.Filter.DECLARED_IN_ENV_FILE)));
    }

    private static Map<String, String> map(java.util.Set<DotenvEntry> entries) {
        return entries.stream().collect(Collectors.toMap(DotenvEntry::getKey, DotenvEntry::getValue));
    }

    @Test void no_value_is_in_the_words_for_it() throws IOException {
        var file = EnvFile.read(
                write("DB_PASSWORD=t0psecret\nx t0psecret\n='t0psecret'\nB='a' t0psecret\nA='t0psecret"), Map.of());
        assertEquals(List.of(2, 3, 4, 5), file.malformed().stream().map(EnvFile.MalformedLine::line).toList());
        var reasons = List.of("a name must not contain a space, and = has to follow it",
            "there is no name before the =", "something follows the closing quote", "a quote is opened and never closed");
        assertEquals(reasons, file.malformed().stream().map(EnvFile.MalformedLine::why).toList());
        assertFalse((file + " " + file.malformed() + file.warnings()).contains("t0psecret"));
        assertTrue(
                file.warnings().getFirst().startsWith(folder.resolve(".env") + " line 2 "),
                file.warnings().getFirst());
    }

    // ---- files that cannot be read as .env ---------------------------------------------------

    /** The message after the file's name. */
    private String unreadable(Path file) {
        var failure = assertThrows(Failure.class, () -> EnvFile.read(file));
        assertEquals(2, failure.problem().exit().code);
        assertTrue(failure.problem().what().startsWith(file + " "), failure.problem().what());
        assertFalse(failure.problem().next().isEmpty());
        return failure.problem().what().substring(file.toString().length() + 1);
    }

    @Test void a_file_that_is_no_text_is_named_with_its_line() throws IOException {
        var file = folder.resolve("x.env");
        Files.write(file, "A=1\r\nB=2\nC=caf\u00e9\n".getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
        assertEquals("line 3: the file is not UTF-8", unreadable(file));
        Files.write(file, "\ufeffA=1\n".getBytes(java.nio.charset.StandardCharsets.UTF_16LE));
        assertEquals("line 1: the file is not UTF-8", unreadable(file));
        Files.write(file, "A=1\n\nB=\0\n".getBytes(UTF_8));
        assertEquals("line 3: the file contains a NUL byte, so it is not text in UTF-8", unreadable(file));
        Files.write(file, new byte[] {'A', '=', (byte) 0xed, (byte) 0xa0, (byte) 0x80}); // a lone surrogate
        assertEquals("line 1: the file is not UTF-8", unreadable(file));
        Files.write(file, new byte[] {'A', '=', (byte) 0xc3}); // cut in the middle of a letter
        assertEquals("line 1: the file is not UTF-8", unreadable(file));
    }

    @Test void a_folder_a_missing_and_a_huge_file_are_told_apart() throws IOException {
        assertEquals("is a folder", unreadable(folder));
        assertEquals("does not exist", unreadable(folder.resolve("none")));
        var huge = Files.writeString(folder.resolve("huge"), "A=1\n".repeat(2_500_000));
        assertEquals("is larger than 1 MB: it is no .env file", unreadable(huge));
    }

    @Test void a_file_that_may_not_be_read_says_so() throws IOException {
        var file = write("A=1");
        Assumptions.assumeTrue(Files.getFileStore(file).supportsFileAttributeView("posix"));
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("---------"));
        Assumptions.assumeFalse(Files.isReadable(file), "root may read everything");
        assertEquals("cannot be read: permission denied", unreadable(file));
    }

    @Test void long_values_neither_overflow_the_stack_nor_take_long() throws IOException {
        for (var document : List.of("A='" + "x\\'".repeat(300_000) + "'", "A=\"" + "\\n".repeat(400_000),
                "A=x" + " ".repeat(900_000) + "y # z", "A='" + "\n".repeat(900_000) + "'", "=\n".repeat(300_000)))
            assertTimeoutPreemptively(Duration.ofSeconds(10), () -> EnvFile.read(write(document), Map.of()));
        assertEquals(
                "x" + " ".repeat(900_000) + "y",
                EnvFile.read(write("A=x" + " ".repeat(900_000) + "y # z"), Map.of()).get("A"));
    }

    // ---- which file, and for whom ------------------------------------------------------------

    @Test void the_roots_file_comes_before_the_backends() throws IOException {
        var backend = Files.createDirectories(folder.resolve("backend"));
        var project = new Project(folder, backend);
        assertTrue(EnvFile.of(project, null, Map.of()).path().isEmpty());
        var backends = Files.writeString(backend.resolve(".env"), "A=backend");
        assertEquals(backends, EnvFile.of(project, null, Map.of()).path().orElseThrow());
        Files.createDirectory(folder.resolve(".env")); // a virtual environment
        assertEquals(backends, EnvFile.of(project, null, Map.of()).path().orElseThrow());
        Files.delete(folder.resolve(".env"));
        assertEquals(write("A=root"), EnvFile.of(project, null, Map.of()).path().orElseThrow());
        var named = Files.writeString(folder.resolve("other.env"), "A=other");
        assertEquals("other", EnvFile.of(project, named, Map.of()).get("A"));
    }

    @Test void django_gets_the_roots_file_unless_the_backend_has_its_own() throws IOException {
        var backend = Files.createDirectories(folder.resolve("backend"));
        var project = new Project(folder, backend);
        write("A=root\nB=root\nC\n'D=E'=1");
        var environment = Map.of("B", "environment");
        assertEquals(Map.of("A", "root"), EnvFile.of(project, null, environment).forDjango(project));
        Files.writeString(backend.resolve(".env"), "A=backend");
        assertEquals(Map.of(), EnvFile.of(project, null, environment).forDjango(project));
        var named = Files.writeString(folder.resolve("other.env"), "A=other");
        assertEquals(Map.of("A", "other"), EnvFile.of(project, named, environment).forDjango(project));
        var flat = new Project(folder, folder);
        assertEquals(Map.of("A", "root"), EnvFile.of(flat, null, environment).forDjango(flat));
    }
}
