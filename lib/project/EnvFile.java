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
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;

/**
 * A {@code .env} file as python-dotenv's {@code load_dotenv()} reads it (1.2.4), because that is what Django sees.
 * dotenv-java's own reader keeps single quotes, cuts values at {@code #} and drops {@code export}; its interface is kept, so
 * the environment comes before the file.
 */
public final class EnvFile implements Dotenv {
    private static final int LARGEST = 1 << 20; // bytes
    private static final int PATIENCE = 10; // seconds

    /** Why a file cannot be read as a .env. */
    private enum Unreadable {
        MISSING("does not exist", "name the file that is meant: --env-file FILE"),
        FOLDER("is a folder", "name the file that is meant: --env-file FILE"),
        FORBIDDEN(
                "cannot be read: permission denied",
                "look at its owner and mode, or name another file: --env-file FILE"),
        BROKEN("could not be read to its end", "look at its owner and mode, or name another file: --env-file FILE"),
        TOO_LARGE("is larger than 1 MB: it is no .env file", "name the file that is meant: --env-file FILE"),
        GROWN(
                "has values that grow beyond 1 MB when ${…} is expanded",
                "look for names that are doubled from line to line"),
        SILENT(
                "is a pipe that nobody writes to",
                "start the program that writes to it, or name another file: --env-file FILE"),
        NOT_UTF_8("is not UTF-8", "save it as UTF-8"),
        NUL("contains a NUL byte, so it is not text in UTF-8", "save it as UTF-8");

        private final String words;
        private final String next;

        Unreadable(String words, String next) {
            this.words = words;
            this.next = next;
        }
    }

    /** Why a line is skipped. */
    enum Malformed {
        NO_NAME("there is no name before the ="), OPEN_QUOTE("a quote is opened and never closed"),
        AFTER_QUOTE("something follows the closing quote"),
        NO_EQUALS("a name must not contain a space, and = has to follow it");

        private final String words;

        Malformed(String words) {
            this.words = words;
        }
    }

    /** A line that Django skips too. The line itself may hold a secret and is not kept. */
    record MalformedLine(Path file, int line, Malformed why) {
        @Override
        public String toString() {
            return file + " line " + line + " is skipped, by Django too: " + why.words;
        }
    }

    private final Path path;
    private final String text; // holds secrets
    private final Map<String, String> values;
    private final List<MalformedLine> malformed;
    private final Map<String, String> environment;

    private EnvFile(
            Path path,
            String text,
            Map<String, String> values,
            List<MalformedLine> malformed,
            Map<String, String> environment) {
        this.path = path;
        this.text = text;
        this.values = Collections.unmodifiableMap(values);
        this.malformed = List.copyOf(malformed);
        this.environment = Map.copyOf(environment);
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
        return parsed(path, text(path), environment);
    }

    private static EnvFile parsed(Path path, String text, Map<String, String> environment) {
        var reader = new Reader(path, text, environment);
        reader.read();
        return new EnvFile(path, text, reader.values, reader.malformed, environment);
    }

    /** The same file under another environment. The file is not read again: a pipe can be read only once. */
    public EnvFile withEnvironment(Map<String, String> other) {
        return path == null ? none(other) : parsed(path, text, other);
    }

    EnvFile withoutFile() {
        return none(environment);
    }

    private static EnvFile none(Map<String, String> environment) {
        return new EnvFile(null, "", Map.of(), List.of(), environment);
    }

    /**
     * The project's file: the one named, else the root's {@code .env}, else the backend's, else none at all
     * ({@link #path} is empty then and only the environment speaks).
     *
     * @param named nullable: {@code --env-file}
     */
    public static EnvFile of(Project project, Path named, Map<String, String> environment) {
        if (named != null) return read(named.toAbsolutePath().normalize(), environment);
        for (var folder : List.of(project.root(), project.backend())) {
            var file = folder.resolve(".env");
            if (isFile(file)) return read(file, environment);
        }
        return none(environment);
    }

    /** A folder named .env is somebody's virtual environment; a named pipe is a password manager's .env. */
    private static boolean isFile(Path file) {
        return Files.exists(file) && !Files.isDirectory(file);
    }

    // ---- what it says ------------------------------------------------------------------------

    /** Where it was read from; empty when the project has no such file. */
    public Optional<Path> path() {
        return Optional.ofNullable(path);
    }

    /** In file order; null for a name without {@code =}. */
    public Map<String, String> values() {
        return values;
    }

    /** The lines that were skipped, and why, for people. */
    public List<String> warnings() {
        return malformed.stream().map(MalformedLine::toString).toList();
    }

    List<MalformedLine> malformed() {
        return malformed;
    }

    /** True when the environment has the name, whatever the file says. */
    public boolean fromEnvironment(String name) {
        return environment.containsKey(name);
    }

    /** The environment that comes before the file. */
    public Map<String, String> environment() {
        return environment;
    }

    @Override
    public String get(String name) {
        return environment.containsKey(name) ? environment.get(name) : values.get(name);
    }

    @Override
    public String get(String name, String otherwise) {
        var value = get(name);
        return value == null ? otherwise : value;
    }

    /** The file's names and the environment's, each with the value that {@link #get} gives. */
    @Override
    public Set<DotenvEntry> entries() {
        var names = new LinkedHashSet<>(values.keySet());
        names.addAll(environment.keySet());
        var entries = new LinkedHashSet<DotenvEntry>();
        for (var name : names) if (get(name) != null) entries.add(new DotenvEntry(name, get(name)));
        return entries;
    }

    /** The file's own names and values. */
    @Override
    public Set<DotenvEntry> entries(Filter filter) {
        if (filter == null) return entries();
        var entries = new LinkedHashSet<DotenvEntry>();
        values.forEach((name, value) -> { if (value != null) entries.add(new DotenvEntry(name, value)); });
        return entries;
    }

    /**
     * What Django's process has to be given: the file's values that the environment does not have, as if manage.py had been
     * started by a script that called load_dotenv(). Nothing of the root's file when the backend has its own: that is the one
     * Django reads, and a variable from the root's would override it.
     */
    public Map<String, String> forDjango(Project project) {
        var backends = project.backend().resolve(".env");
        var django = new LinkedHashMap<String, String>();
        var shadowed = project.root().resolve(".env").equals(path) && !backends.equals(path) && isFile(backends);
        if (shadowed) return django;
        values.forEach((name, value) -> {
            // a quoted name may hold "=": no process can be given that
            if (value != null && !environment.containsKey(name) && name.indexOf('=') < 0) django.put(name, value);
        });
        return django;
    }

    /** Without any value. */
    @Override
    public String toString() {
        return path == null ? "no .env" : path + " (" + values.size() + " names)";
    }

    // ---- reading -----------------------------------------------------------------------------

    /** As Python's text mode gives it: strict UTF-8, every line ending a line feed. */
    private static String text(Path path) {
        byte[] bytes;
        if (Files.isDirectory(path)) throw unreadable(path, Unreadable.FOLDER, 0, null);
        try {
            bytes = Files.isRegularFile(path) || !Files.exists(path) ? content(path) : patiently(path);
        } catch (NoSuchFileException e) {
            throw unreadable(path, Unreadable.MISSING, 0, e);
        } catch (AccessDeniedException e) {
            throw unreadable(path, Unreadable.FORBIDDEN, 0, e);
        } catch (IOException e) {
            throw unreadable(path, Unreadable.BROKEN, 0, e);
        }
        if (bytes.length > LARGEST) throw unreadable(path, Unreadable.TOO_LARGE, 0, null);
        var buffer = ByteBuffer.wrap(bytes);
        try {
            var text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(buffer)
                    .toString()
                    .replace("\r\n", "\n")
                    .replace('\r', '\n');
            var nul = text.indexOf('\0');
            if (nul >= 0) throw unreadable(path, Unreadable.NUL, 1 + newlines(text, 0, nul), null);
            return text;
        } catch (CharacterCodingException e) { // the decoder stops in front of the first bad byte
            var before = new String(bytes, 0, buffer.position(), StandardCharsets.UTF_8)
                    .replace("\r\n", "\n")
                    .replace('\r', '\n');
            // the exception itself is dropped: nothing of the file's content may reach a log
            throw unreadable(path, Unreadable.NOT_UTF_8, 1 + newlines(before, 0, before.length()), null);
        }
    }

    private static byte[] content(Path path) throws IOException {
        try (var in = Files.newInputStream(path)) {
            return in.readNBytes(LARGEST + 1);
        }
    }

    /** A password manager takes its time to write to its pipe; without a limit the read would wait for ever when nobody writes. */
    private static byte[] patiently(Path path) throws IOException {
        var reading = new FutureTask<>(() -> content(path));
        Thread.ofPlatform().daemon().start(reading);
        try {
            for (int i = 0; ; i++) {
                Interruption.check();
                try {
                    return reading.get(100, TimeUnit.MILLISECONDS);
                } catch (TimeoutException notYet) {
                    if (i >= PATIENCE * 10) throw unreadable(path, Unreadable.SILENT, 0, null);
                }
            }
        } catch (ExecutionException e) {
            throw e.getCause() instanceof IOException io ? io : new IOException(e.getCause());
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    /** @param line from 1, or 0 where no line is to blame */
    private static Failure unreadable(Path path, Unreadable why, int line, IOException cause) {
        return Failure.usage(path + (line > 0 ? " line " + line + ": the file " : " ") + why.words)
                .next(why.next)
                .causedBy(cause);
    }

    private static int newlines(CharSequence text, int from, int to) {
        return (int) text.subSequence(from, to).chars().filter(c -> c == '\n').count();
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

        private final Path path;
        private final String text;
        private final Map<String, String> environment;
        final Map<String, String> values = new LinkedHashMap<>();
        final List<MalformedLine> malformed = new ArrayList<>();
        private int at;
        private int grown;

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
                line += newlines(text, counted, at);
                counted = at;
                var wrong = binding();
                if (wrong == null) continue;
                take(REST_OF_LINE);
                malformed.add(new MalformedLine(path, line, wrong));
            }
        }

        /** One binding or comment; returns what is wrong with it, or null. */
        private Malformed binding() {
            take(EXPORT);
            String name = null;
            if (peek() != '#') {
                name = take(peek() == '\'' ? QUOTED_NAME : NAME);
                if (name == null) return Malformed.NO_NAME;
            }
            take(BLANK);
            String value = null;
            var quoted = false;
            if (peek() == '=') {
                var blankAfter = take(EQUALS).length() > 1;
                quoted = peek() == '\'' || peek() == '"';
                value = blankAfter && peek() == '#' ? "" : value();
                if (value == null) return Malformed.OPEN_QUOTE;
            }
            take(COMMENT);
            if (take(END_OF_LINE) == null) return quoted ? Malformed.AFTER_QUOTE : Malformed.NO_EQUALS;
            if (name != null) values.put(name, value == null ? null : resolved(value));
            return null;
        }

        private String value() {
            return switch (peek()) {
                case '\'' -> unescaped(SINGLE_ESCAPE, take(SINGLE_QUOTED));
                case '"' -> unescaped(DOUBLE_ESCAPE, take(DOUBLE_QUOTED));
                case END, '\n' -> "";
                default ->
                    TRAILING_SPACE
                            .matcher(TRAILING_COMMENT.matcher(take(UNQUOTED)).replaceFirst(""))
                            .replaceFirst("");
            };
        }

        private static String unescaped(Pattern escapes, String value) {
            return value == null
                    ? null
                    : escapes.matcher(value)
                            .replaceAll(m -> Matcher.quoteReplacement(
                                    switch (m.group(1)) {
                                        case "a" -> "\u0007";
                                        case "b" -> "\b";
                                        case "f" -> "\f";
                                        case "n" -> "\n";
                                        case "r" -> "\r";
                                        case "t" -> "\t";
                                        case "v" -> "\u000b";
                                        default -> m.group(1);
                                    }));
        }

        /** A name of the environment, else one from further up in the file: its value is "" where it has none, not the default. */
        private String resolved(String value) {
            var matcher = VARIABLE.matcher(value)
                    .region(0, value.lastIndexOf('}') + 1); // each unclosed one would look for its end
            var whole = new StringBuilder();
            while (matcher.find()) {
                var name = matcher.group(1);
                var known = environment.containsKey(name) ? environment.get(name)
                        : values.containsKey(name) ? values.get(name) : matcher.group(2);
                matcher.appendReplacement(whole, known == null ? "" : Matcher.quoteReplacement(known));
                grown += known == null ? 0 : known.length();
                if (grown > LARGEST)
                    throw unreadable(path, Unreadable.GROWN, 0, null); // doubled line by line it would fill the memory
            }
            return matcher.appendTail(whole).toString();
        }

        private static final char END = '\0'; // text() lets no NUL through

        private char peek() {
            return at < text.length() ? text.charAt(at) : END;
        }

        /** Goes on behind the expression and returns its group, or all of it; null, without moving, where it does not match. */
        private String take(Pattern pattern) {
            var matcher = pattern.matcher(text).region(at, text.length());
            if (!matcher.lookingAt()) return null;
            at = matcher.end();
            return matcher.group(matcher.groupCount());
        }
    }
}
