package lib.project;

import io.github.cdimascio.dotenv.Dotenv;
import io.github.cdimascio.dotenv.DotenvEntry;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;

/**
 * A {@code .env} file as python-dotenv's {@code load_dotenv()} reads it (1.2.4), because that is what Django sees.
 * dotenv-java's own reader keeps single quotes, cuts values at {@code #} and drops {@code export}. Only its interface
 * is used: the environment comes before the file.
 */
public final class EnvFile implements Dotenv {
    private static final int MAX_BYTES = 1 << 20;
    private static final int PIPE_SECONDS = 10;

    /** A line that Django skips too. The line itself may hold a secret and is not kept. */
    record MalformedLine(Path file, int line, String why) {
        @Override public String toString() {
            return file + " line " + line + " is skipped, by Django too: " + why;
        }
    }

    private final Path path;
    private final String text; // holds secrets
    private final Map<String, String> environment;
    private final Map<String, String> values;
    private final List<MalformedLine> malformed;

    private EnvFile(Path path, String text, Map<String, String> environment) {
        this.path = path;
        this.text = text;
        this.environment = Map.copyOf(environment);
        var reader = new Reader(path, text, environment);
        reader.read();
        values = Collections.unmodifiableMap(reader.values);
        malformed = List.copyOf(reader.malformed);
    }

    /** With this process's environment. */
    public static EnvFile read(Path path) {
        return read(path, System.getenv());
    }

    /**
     * @param environment comes before the file, in {@link #get} as well as inside <code>${NAME}</code>
     * @throws Failure the file cannot be read as text; malformed lines do not throw, see {@link #warnings}
     */
    public static EnvFile read(Path path, Map<String, String> environment) {
        return new EnvFile(path, text(path), environment);
    }

    /** The same file under another environment. The file is not read again: a pipe can be read only once. */
    public EnvFile withEnvironment(Map<String, String> other) {
        return new EnvFile(path, text, other);
    }

    EnvFile withoutFile() {
        return new EnvFile(null, "", environment);
    }

    /**
     * The project's file: {@code --env-file}, else the root's {@code .env}, else the backend's. With none of them,
     * {@link #path} is empty and only the environment counts.
     *
     * @param named by {@code --env-file}, or null
     */
    public static EnvFile of(Project project, Path named, Map<String, String> environment) {
        if (named != null) return read(named.toAbsolutePath().normalize(), environment);
        for (var folder : List.of(project.root(), project.backend())) {
            var file = folder.resolve(".env");
            if (isFile(file)) return read(file, environment);
        }
        return new EnvFile(null, "", environment);
    }

    /** A folder named .env is a virtual environment; a named pipe is a password manager's .env. */
    private static boolean isFile(Path file) {
        return Files.exists(file) && !Files.isDirectory(file);
    }

    // ---- its values --------------------------------------------------------------------------

    /** Where it was read from; empty when the project has no such file. */
    public Optional<Path> path() {
        return Optional.ofNullable(path);
    }

    /** In file order; null for a name without {@code =}. */
    public Map<String, String> values() {
        return values;
    }

    /** For people: the skipped lines, and why. */
    public List<String> warnings() {
        return malformed.stream().map(MalformedLine::toString).toList();
    }

    List<MalformedLine> malformed() {
        return malformed;
    }

    /** For people: where the name's value comes from. */
    String source(String name) {
        return path == null || fromEnvironment(name) ? "environment" : path.toString();
    }

    /** True when the environment has the name, whether the file has it or not. */
    boolean fromEnvironment(String name) {
        return environment.containsKey(name);
    }

    /** The environment that comes before the file. */
    public Map<String, String> environment() {
        return environment;
    }

    @Override public String get(String name) {
        return environment.containsKey(name) ? environment.get(name) : values.get(name);
    }

    @Override public String get(String name, String otherwise) {
        var value = get(name);
        return value == null ? otherwise : value;
    }

    /** The file's names and the environment's, each with the value that {@link #get} returns. */
    @Override public Set<DotenvEntry> entries() {
        var all = new LinkedHashMap<>(values);
        all.putAll(environment);
        return entries(all);
    }

    /** The file's own names and values. */
    @Override public Set<DotenvEntry> entries(Filter filter) {
        return filter == null ? entries() : entries(values);
    }

    private static Set<DotenvEntry> entries(Map<String, String> values) {
        return values.entrySet().stream().filter(entry -> entry.getValue() != null)
            .map(entry -> new DotenvEntry(entry.getKey(), entry.getValue()))
            .collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /**
     * The variables for Django's process: the file's values that the environment does not have, as if a script that
     * called load_dotenv() had started manage.py. None of the root's file when the backend has its own: that is the one
     * Django reads, and the root's variables would override it.
     */
    public Map<String, String> forDjango(Project project) {
        var ofBackend = project.backend().resolve(".env");
        var isRoots = project.root().resolve(".env").equals(path) && !ofBackend.equals(path);
        var variables = new LinkedHashMap<String, String>();
        if (isRoots && isFile(ofBackend)) return variables;
        values.forEach((name, value) -> {
            // a quoted name may contain "=", which no process's environment can have
            if (value != null && !environment.containsKey(name) && !name.contains("=")) variables.put(name, value);
        });
        return variables;
    }

    /** Without any value. */
    @Override public String toString() {
        return path == null ? "no .env" : path + " (" + values.size() + " names)";
    }

    // ---- reading -----------------------------------------------------------------------------

    private static final String OTHER_FILE = "name the right file: --env-file FILE";
    private static final String PERMISSIONS = "check its owner and mode, or name another file: --env-file FILE";

    /** As Python's text mode reads it: strict UTF-8, each line ending as a line feed. */
    private static String text(Path path) {
        var bytes = bytes(path);
        if (bytes.length > MAX_BYTES)
            throw Failure.usage(path + " is larger than 1 MB: it is no .env file").next(OTHER_FILE);
        var buffer = ByteBuffer.wrap(bytes);
        try {
            var text = withLineFeeds(StandardCharsets.UTF_8.newDecoder().decode(buffer).toString());
            var nul = text.indexOf('\0');
            if (nul < 0) return text;
            throw notText(path, text.substring(0, nul), "contains a NUL byte, so it is not text in UTF-8");
        } catch (CharacterCodingException ignored) { // not as a cause: none of the file's content may reach a log
            var before = new String(bytes, 0, buffer.position(), StandardCharsets.UTF_8);
            throw notText(path, withLineFeeds(before), "is not UTF-8");
        }
    }

    private static byte[] bytes(Path path) {
        if (Files.isDirectory(path)) throw Failure.usage(path + " is a folder").next(OTHER_FILE);
        try {
            return Files.isRegularFile(path) || !Files.exists(path) ? content(path) : pipeContent(path);
        } catch (NoSuchFileException e) {
            throw Failure.usage(path + " does not exist").next(OTHER_FILE).causedBy(e);
        } catch (AccessDeniedException e) {
            throw Failure.usage(path + " cannot be read: permission denied").next(PERMISSIONS).causedBy(e);
        } catch (IOException e) {
            throw Failure.usage(path + " could not be read to its end").next(PERMISSIONS).causedBy(e);
        }
    }

    private static byte[] content(Path path) throws IOException {
        try (var in = Files.newInputStream(path)) {
            return in.readNBytes(MAX_BYTES + 1);
        }
    }

    /** A password manager may take seconds to write to its pipe; when nobody writes, the read would never end. */
    private static byte[] pipeContent(Path path) throws IOException {
        var reading = new FutureTask<>(() -> content(path));
        Thread.ofPlatform().daemon().start(reading);
        try {
            for (int i = 0; i < PIPE_SECONDS * 10; i++) {
                Interruption.check();
                try {
                    return reading.get(100, TimeUnit.MILLISECONDS);
                } catch (TimeoutException ignored) {
                    // not written yet
                }
            }
            throw Failure.usage(path + " is a pipe that nobody writes to")
                .next("start the program that writes to it, or name another file: --env-file FILE");
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException io ? io : new IOException(e.getCause());
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    /** @param before the text before the first wrong byte */
    private static Failure notText(Path path, String before, String why) {
        var line = 1 + lineFeeds(before, 0, before.length());
        return Failure.usage(path + " line " + line + ": the file " + why).next("save it as UTF-8");
    }

    private static String withLineFeeds(String text) {
        return text.replace("\r\n", "\n").replace('\r', '\n');
    }

    private static int lineFeeds(String text, int from, int to) {
        return (int) text.substring(from, to).chars().filter(c -> c == '\n').count();
    }

    /** python-dotenv's parser, expression by expression, on text whose line endings are line feeds. */
    private static final class Reader {
        // Python's \s for str: Java's, even with UNICODE_CHARACTER_CLASS, lacks U+001C to U+001F.
        private static final String SPACES =
                "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
        private static final String BLANKS = "[" + SPACES + "&&[^\\n]]*+";

        private static final Pattern BLANK_LINES = Pattern.compile("[" + SPACES + "]*+");
        private static final Pattern BLANK = Pattern.compile(BLANKS);
        private static final Pattern EXPORT = Pattern.compile("(?:export[" + SPACES + "&&[^\\n]]+)?");
        private static final Pattern QUOTED_NAME = Pattern.compile("'([^']+)'");
        private static final Pattern NAME = Pattern.compile("([^=#" + SPACES + "]+)");
        private static final Pattern EQUALS = Pattern.compile("(=" + BLANKS + ")");
        // Possessive: Java's stack would overflow on a long value.
        private static final Pattern SINGLE_QUOTED =
            Pattern.compile("'([^'\\\\]*+(?:\\\\.[^'\\\\]*+)*+)'", Pattern.DOTALL);
        private static final Pattern DOUBLE_QUOTED =
            Pattern.compile("\"([^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+)\"", Pattern.DOTALL);
        private static final Pattern UNQUOTED = Pattern.compile("([^\\n]*+)");
        private static final Pattern COMMENT = Pattern.compile("(?:" + BLANKS + "#[^\\n]*+)?");
        private static final Pattern END_OF_LINE = Pattern.compile(BLANKS + "(?:\\n|\\z)");
        private static final Pattern REST_OF_LINE = Pattern.compile("[^\\n]*+\\n?");
        // The look-behind only saves time: a run of spaces is tried once, not from each of its spaces.
        private static final Pattern TRAILING_COMMENT =
                Pattern.compile("(?<![" + SPACES + "])[" + SPACES + "]++#.*", Pattern.DOTALL);
        private static final Pattern TRAILING_SPACE = Pattern.compile("(?<![" + SPACES + "])[" + SPACES + "]++\\z");
        private static final Pattern SINGLE_ESCAPE = Pattern.compile("\\\\([\\\\'])");
        private static final Pattern DOUBLE_ESCAPE = Pattern.compile("\\\\([\\\\'\"abfnrtv])");
        private static final Pattern VARIABLE = Pattern.compile("\\$\\{([^}:]*+)(?::-([^}]*+))?\\}");
        private static final char END = '\0'; // text() rejects a NUL

        private final Path path;
        private final String text;
        private final Map<String, String> environment;
        final Map<String, String> values = new LinkedHashMap<>();
        final List<MalformedLine> malformed = new ArrayList<>();
        private int at;
        private int expandedCharacters;

        Reader(Path path, String text, Map<String, String> environment) {
            this.path = path;
            this.text = text.startsWith("\ufeff") ? text.substring(1) : text;
            this.environment = environment;
        }

        void read() {
            int line = 1, counted = 0;
            while (true) {
                take(BLANK_LINES);
                if (at == text.length()) return;
                line += lineFeeds(text, counted, at);
                counted = at;
                var wrong = binding();
                if (wrong == null) continue;
                take(REST_OF_LINE);
                malformed.add(new MalformedLine(path, line, wrong));
            }
        }

        /** Reads one binding or comment. Returns what is wrong with it, or null. */
        private String binding() {
            take(EXPORT);
            String name = null;
            if (peek() != '#') {
                name = take(peek() == '\'' ? QUOTED_NAME : NAME);
                if (name == null) return "there is no name before the =";
            }
            take(BLANK);
            String value = null;
            var quoted = false;
            if (peek() == '=') {
                var blankAfter = take(EQUALS).length() > 1;
                quoted = peek() == '\'' || peek() == '"';
                value = blankAfter && peek() == '#' ? "" : value();
                if (value == null) return "a quote is opened and never closed";
            }
            take(COMMENT);
            if (take(END_OF_LINE) == null) {
                return quoted ? "something follows the closing quote"
                    : "a name must not contain a space, and = has to follow it";
            }
            if (name != null) values.put(name, value == null ? null : expanded(value));
            return null;
        }

        private String value() {
            return switch (peek()) {
                case '\'' -> unescaped(SINGLE_ESCAPE, take(SINGLE_QUOTED));
                case '"' -> unescaped(DOUBLE_ESCAPE, take(DOUBLE_QUOTED));
                case END, '\n' -> "";
                default -> {
                    var withoutComment = TRAILING_COMMENT.matcher(take(UNQUOTED)).replaceFirst("");
                    yield TRAILING_SPACE.matcher(withoutComment).replaceFirst("");
                }
            };
        }

        private static String unescaped(Pattern escapes, String value) {
            if (value == null) return null;
            return escapes.matcher(value).replaceAll(escape -> Matcher.quoteReplacement(switch (escape.group(1)) {
                case "a" -> "\u0007";
                case "b" -> "\b";
                case "f" -> "\f";
                case "n" -> "\n";
                case "r" -> "\r";
                case "t" -> "\t";
                case "v" -> "\u000b";
                case String other -> other;
            }));
        }

        /**
         * A name's value comes from the environment, else from an earlier line. There a name without a value is "", not
         * the default.
         */
        private String expanded(String value) {
            // each ${ without a } would look for it to the end
            var matcher = VARIABLE.matcher(value).region(0, value.lastIndexOf('}') + 1);
            var whole = new StringBuilder();
            while (matcher.find()) {
                var name = matcher.group(1);
                var known = environment.containsKey(name) ? environment.get(name)
                    : values.containsKey(name) ? values.get(name) : matcher.group(2);
                known = Objects.requireNonNullElse(known, "");
                matcher.appendReplacement(whole, Matcher.quoteReplacement(known));
                expandedCharacters += known.length();
                if (expandedCharacters > MAX_BYTES) { // doubled line by line, a value would fill the memory
                    throw Failure.usage(path + " has values that grow beyond 1 MB when ${…} is expanded")
                        .next("look for values that contain an earlier value more than once");
                }
            }
            return matcher.appendTail(whole).toString();
        }

        private char peek() {
            return at < text.length() ? text.charAt(at) : END;
        }

        /** Moves past the expression and returns its group, or all of it; null when it does not match. */
        private String take(Pattern pattern) {
            var matcher = pattern.matcher(text).region(at, text.length());
            if (!matcher.lookingAt()) return null;
            at = matcher.end();
            return matcher.group(matcher.groupCount());
        }
    }
}
