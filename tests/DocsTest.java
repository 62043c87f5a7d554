import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import lib.Lib;
import lib.cli.Cli;
import lib.error.ExitCode;
import lib.project.Settings;
import lib.project.Project;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import support.Repo;

/**
 * Compares README, the guides and the other texts with the commands' help and the files of the clone. Each check is a
 * function from texts to their errors, so that its test can show that it finds an error in a changed text.
 */
class DocsTest {
    private static final Path ROOT = Repo.root();
    private static final Pattern OPTION = Pattern.compile("(?<![\\w-])--[a-z][a-z-]*[a-z]");
    private static final Map<String, CommandLine> COMMANDS = new TreeMap<>(Map.of(
        "reset_migrations", Cli.commandLine(new reset_migrations()),
        "backup_database", Cli.commandLine(new backup_database()),
        "demo", Cli.commandLine(new demo())));

    /** Also the test runner, which only contributors call; CONTRIBUTING has its options. */
    private static final Map<String, CommandLine> CALLED = new TreeMap<>(COMMANDS);
    static {
        CALLED.put("run_tests", new CommandLine(new run_tests()));
    }

    private static String read(String name) {
        try {
            return Files.readString(ROOT.resolve(name));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static final String README = read("README.md"),
            GUIDE = read("MIGRATION_RESET_GUIDE.md") + read("BACKUP_GUIDE.md");

    private static Map<String, String> texts() throws IOException {
        var texts = new LinkedHashMap<String, String>();
        try (Stream<Path> files = Files.list(ROOT)) {
            for (var file :
                    files.filter(f -> f.toString().endsWith(".md")).sorted().toList())
                texts.put(file.getFileName().toString(), Files.readString(file));
        }
        return texts;
    }

    private static List<String> all(Pattern pattern, String text, int group) {
        return pattern.matcher(text).results().map(match -> match.group(group)).toList();
    }

    // ---- what help shows is documented -------------------------------------------------------

    @Test void every_option_and_subcommand_is_documented() {
        assertEquals(List.of(), undocumented(README + GUIDE));
        assertEquals(List.of("reset_migrations --strategy"), lessThan(README + GUIDE, "--strategy"));
        assertEquals(List.of("demo --no-keep"), lessThan(README + GUIDE, "--no-keep"));
        assertEquals(List.of("backup_database restore --into"), lessThan(README + GUIDE, "--into"));
        assertTrue(undocumented((README + GUIDE).replace("status", "state")).contains("reset_migrations status"));
    }

    private static List<String> lessThan(String docs, String option) {
        return undocumented(docs.replace(option, option + "-not")).stream()
                .filter(missing -> missing.endsWith(option))
                .sorted()
                .toList();
    }

    private static List<String> undocumented(String docs) {
        var known = new TreeSet<>(all(OPTION, docs, 0));
        var code = String.join("\n", code(docs).stream().map(Code::text).toList());
        var missing = new ArrayList<String>();
        COMMANDS.forEach((name, line) -> {
            options(line).stream()
                    .filter(option -> !known.contains(option))
                    .forEach(option -> missing.add(name + " " + option));
            line.getSubcommands().forEach((sub, below) -> {
                if (!Pattern.compile("\\b" + name + "(\\.java)? \\[?" + sub + "\\b")
                        .matcher(code)
                        .find()) missing.add(name + " " + sub);
                options(below).stream()
                        .filter(option -> !known.contains(option))
                        .forEach(option -> missing.add(name + " " + sub + " " + option));
            });
        });
        return missing;
    }

    /** The long names; {@code --[no-]backup} is two. */
    private static Set<String> options(CommandLine line) {
        var names = new LinkedHashSet<String>();
        for (var option : line.getCommandSpec().options()) {
            if (option.hidden()) continue;
            for (var name : option.names()) {
                if (!name.startsWith("--")) continue;
                names.add(name);
                if (option.negatable()) names.add(name.replace("--", "--no-"));
            }
        }
        return names;
    }

    // ---- what is documented exists -----------------------------------------------------------

    @Test void every_option_that_the_texts_give_to_our_commands_exists() throws Exception {
        var removed = Pattern.compile("(?m)^- Removed: .*$"); // the changelog's lines about removed options
        for (var text : texts().entrySet())
            assertEquals(
                    List.of(),
                    invented(
                            text.getKey().equals("CHANGELOG.md")
                                    ? removed.matcher(text.getValue()).replaceAll("")
                                    : text.getValue()),
                    text.getKey());

        assertEquals(List.of("--force"), invented("Give `--force` to it."));
        assertEquals(List.of("--force"), invented("Give --force to it."));
        assertEquals(
                List.of("reset_migrations --keep-data"),
                invented("```bash\njbang /path/to/reset_migrations.java --yes --keep-data\n```"));
        assertEquals(List.of("reset_migrations undo --dry-run"), invented("`reset-migrations undo --yes --dry-run`"));
        assertEquals(List.of("backup_database --into"), invented("```\nbackup_database --into x\n```"));
        assertEquals(List.of("backup_database --superuser"), invented("## backup_database\n| `--superuser` | |\n"));
        assertEquals(
                List.of("backup_database --all"),
                invented("java -jar x is no code, `java -jar /opt/backup_database.jar --all` is"));
        assertEquals(
                List.of(),
                invented("`git stash --all`, `jbang app install --name reset-migrations reset-migrations@./x`,"
                        + " `--no-backup`"));
    }

    /** A piece of code in a text; {@code heading} is the nearest above it. */
    private record Code(String heading, boolean block, String text) {}

    private static List<Code> code(String text) {
        var found = new ArrayList<Code>();
        var heading = "";
        var block = false;
        for (var line : text.lines().toList()) {
            if (line.startsWith("```")) block = !block;
            else if (block) found.add(new Code(heading, true, line.replaceFirst("\\s#\\s.*", "")));
            else if (line.startsWith("#")) heading = line.replaceFirst("#+ ", "");
            else for (var span : all(Pattern.compile("`([^`]+)`"), line, 1)) found.add(new Code(heading, false, span));
        }
        return found;
    }

    /**
     * In code, an option belongs to the command named before it. Alone in code it belongs to the command of the heading
     * above, if that is one; there and in prose it must be an option of some command.
     */
    private static List<String> invented(String text) {
        var any = new TreeSet<String>();
        CALLED.forEach((name, line) -> {
            any.addAll(options(line));
            line.getSubcommands().values().forEach(below -> any.addAll(options(below)));
        });
        var wrong = new ArrayList<String>();
        for (var code : code(text)) {
            if (code.text.startsWith("--")) {
                var section = CALLED.get(code.heading);
                for (var option : all(OPTION, code.text, 0)) {
                    if (section == null && !any.contains(option)) wrong.add(option);
                    else if (section != null && !optionsBelow(section).contains(option))
                        wrong.add(code.heading + " " + option);
                }
            } else CALLED.forEach((name, line) -> wrong.addAll(invented(code.text, name, line)));
        }
        var prose = text.replaceAll("(?s)```.*?```", "").replaceAll("`[^`\n]+`", "");
        all(OPTION, prose, 0).stream().filter(option -> !any.contains(option)).forEach(wrong::add);
        return wrong;
    }

    private static Set<String> optionsBelow(CommandLine line) {
        var names = options(line);
        line.getSubcommands().values().forEach(below -> names.addAll(options(below)));
        return names;
    }

    private static List<String> invented(String code, String name, CommandLine line) {
        var call = Pattern.compile("(?<![\\w-])" + name.replace("_", "[_-]") + "(?:\\.java|\\.jar)?\\s(.*)")
                .matcher(code);
        if (!call.find()) return List.of();
        var words = call.group(1);
        var sub = line.getSubcommands().entrySet().stream()
                .filter(s -> Pattern.compile("(^|[\\s\\[])" + s.getKey() + "\\b")
                        .matcher(words)
                        .find())
                .findFirst();
        var known = new TreeSet<>(options(line));
        sub.ifPresent(s -> { known.clear(); known.addAll(options(s.getValue())); });
        // picocli accepts options of the parent command after a subcommand's name only if both commands have them
        return all(OPTION, words, 0).stream()
                .filter(option -> !known.contains(option))
                .map(option -> name + sub.map(s -> " " + s.getKey()).orElse("") + " " + option)
                .toList();
    }

    // ---- exit codes, version, defaults -------------------------------------------------------

    @Test void the_table_of_exit_codes_is_the_codes() {
        var codes = new ArrayList<String>();
        for (var exit : ExitCode.values()) codes.add(exit.code + " " + exit.meaning);
        assertEquals(codes, exitCodes(README));
        assertFalse(codes.equals(exitCodes(README.replace("| 5 | busy", "| 6 | busy"))));
        assertFalse(codes.equals(exitCodes(README.replaceFirst("\\| 4 \\|.*\n", ""))));
        for (var command : COMMANDS.values())
            for (var line : Stream.concat(Stream.of(command), command.getSubcommands().values().stream())
                    .toList())
                assertEquals(
                        codes,
                        line.getCommandSpec().usageMessage().exitCodeList().entrySet().stream()
                                .map(e -> e.getKey() + " " + e.getValue())
                                .toList());
    }

    private static List<String> exitCodes(String text) {
        var table = text.substring(text.indexOf("| exit code |")).split("\n\n")[0];
        return Pattern.compile("(?m)^\\| (\\d+) \\| (.+) \\|$")
                .matcher(table)
                .results()
                .map(row -> row.group(1) + " " + row.group(2))
                .toList();
    }

    /** The guide writes a message's exit code as "(exit 4)". */
    @Test void the_guides_exit_codes_are_codes() {
        var known = Stream.of(ExitCode.values()).map(exit -> "" + exit.code).toList();
        var said = all(Pattern.compile("\\(exit (\\d+)\\)"), README + GUIDE, 1);
        assertFalse(said.isEmpty());
        assertTrue(known.containsAll(said), said.toString());
    }

    @Test void the_changelog_begins_with_this_version() {
        assertEquals(Lib.VERSION, newest(read("CHANGELOG.md")));
        assertEquals("9.9.9", newest("# Changelog\n\n## 9.9.9\n\n- x\n\n## 0.1.0\n"));
        COMMANDS.forEach((name, line) -> assertTrue(String.join(" ", version(line)).endsWith(Lib.VERSION), name));
    }

    private static String newest(String changelog) {
        return all(Pattern.compile("(?m)^## \\[?([^\\s\\]]+)"), changelog, 1).getFirst();
    }

    private static String[] version(CommandLine line) {
        try {
            return line.getCommandSpec().versionProvider().getVersion();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Test void the_guides_default_settings_are_the_defaults() {
        var nothing = new Project(Path.of("/nowhere"), Path.of("/nowhere"));
        var defaults = Settings.read(nothing, null, Map.of("DB_PASSWORD", "x")).credentials();
        var table = new TreeMap<String, String>();
        Pattern.compile("(?m)^\\| `(DB_\\w+)` \\| `([^`]+)` \\|$")
                .matcher(GUIDE)
                .results()
                .forEach(row -> table.put(row.group(1), row.group(2)));
        assertEquals(
                new TreeMap<>(Map.of(
                        "DB_NAME",
                        defaults.database(),
                        "DB_USER",
                        defaults.user(),
                        "DB_HOST",
                        defaults.host(),
                        "DB_PORT",
                        "" + defaults.port())),
                table);
    }

    // ---- troubleshooting by message ----------------------------------------------------------

    /** Where a message varies, the guide has "…", and the source has code between two literals. */
    private static final Map<String, String> SOURCES = sources();

    private static Map<String, String> sources() {
        var sources = new TreeMap<String, String>();
        try (Stream<Path> files = Files.walk(ROOT.resolve("lib"))) {
            for (var file : files.filter(path -> path.toString().endsWith(".java")).toList())
                sources.put(file.toString(), Files.readString(file).replaceAll("\"\\s*\\+\\s*\"", ""));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        return sources;
    }

    /** The names of the exit codes of this message in the sources; empty when no source has it. */
    private static Set<String> exitsOf(String message) {
        var words = words(message.replaceFirst("^DB_\\w+", "…"));
        var exit = Pattern.compile("Exit\\.([A-Z]+)|Failure\\.(\\w+)\\(");
        var found = new TreeSet<String>();
        for (var source : SOURCES.values()) {
            words.matcher(source)
                    .results()
                    .forEach(match ->
                            found.add(exit.matcher(source.substring(Math.max(0, match.start() - 400), match.start()))
                                    .results()
                                    .reduce((first, last) -> last)
                                    .map(last -> (last.group(1) == null ? last.group(2) : last.group(1))
                                            .toUpperCase(Locale.ROOT))
                                    .orElse("")));
        }
        return found;
    }

    private static Pattern words(String message) {
        var parts = Stream.of(message.split("…")).map(String::strip).filter(part -> !part.isEmpty());
        return Pattern.compile(String.join("[^;{}]{1,200}?", parts.map(Pattern::quote).toList()));
    }

    @Test void the_steps_in_the_samples_are_those_that_the_tool_prints() {
        assertEquals(List.of(), unknownSteps(README + GUIDE));
        assertEquals(List.of("create database … as … is, but empty", "no such step"), unknownSteps("""
            ```
              1. create database crm_dev_new_1 as crm_dev is, but empty
            [2/3] no such step  0.02 s
            [3/3] replace 20 migration files by 10  0.01 s
            ```
            1. Not a sample.
            """));
    }

    /** Lines of a plan and of a run, with "…" for names and numbers. */
    private static List<String> unknownSteps(String text) {
        var step = Pattern.compile("(?:\\[\\d+/\\d+]|  \\d+\\.) (.+?)(?:  [\\d.]+ s)?");
        var variable = "\\bcrm_dev\\w*|\\d{8}-\\d{6}-\\w{4}|\\d+( migration files)?|backend, worker,|(?<=which use) ";
        var steps = code(text).stream().filter(Code::block).map(code -> step.matcher(code.text))
                .filter(Matcher::matches).flatMap(line -> Stream.of(line.group(1).split("; ")))
                .map(line -> line.replaceAll(variable, "…"))
                .collect(Collectors.toCollection(LinkedHashSet::new));
        assertFalse(steps.isEmpty());
        steps.removeIf(line -> SOURCES.values().stream().anyMatch(source -> words(line).matcher(source).find()));
        return List.copyOf(steps);
    }

    @Test void the_messages_in_the_guide_are_those_that_the_tool_says() {
        assertEquals(List.of(), neverSaid(GUIDE));
        var own = "\n### The tool's own messages\n\n";
        assertEquals(
                List.of("DB_PASSWORD is missing in …"), neverSaid(own + "**`DB_PASSWORD is missing in …`** Add it.\n"));
        assertEquals(
                List.of("not as code"),
                neverSaid(own + "**not as code** whoever searches for a message finds nothing\n"));
        assertEquals(
                List.of("the run … was cut short (exit 3)"),
                neverSaid(own + "**`the run … was cut short`** (exit 3). Undo.\n"));
        assertEquals(List.of(), neverSaid(own + "**`the run … was cut short`** (exit 4). Undo.\n"));
        assertEquals(List.of("… is broken"), neverSaid("\n## Messages\n\n**`… is broken`** Use another.\n"));
        assertEquals(List.of("no such warning"), neverSaid("| **\"no such warning\"** | ignore it |\n"));
    }

    /** Of the sections with our messages, and of the messages that other tables quote: those that no source has. */
    private static List<String> neverSaid(String guide) {
        var wrong = new ArrayList<String>();
        for (var quoted : all(Pattern.compile("\\*\\*\"(.+?)\"\\*\\*"), guide, 1)) {
            if (exitsOf(quoted).isEmpty()) wrong.add(quoted);
        }
        var section = Pattern.compile("(?s)\n##+ (?:The tool's own messages|Messages)\n(.*?)(?=\n##|\\z)");
        var sections = String.join("\n", all(section, guide, 1));
        for (var entry : Pattern.compile("(?m)^\\*\\*(.+?)\\*\\*( \\(exit (\\d+)\\))?")
                .matcher(sections)
                .results()
                .toList()) {
            for (var message : entry.group(1).split("`\\*\\*, or \\*\\*`")) {
                var exits = message.startsWith("`") || entry.group(1).startsWith("`")
                        ? exitsOf(message.replace("`", ""))
                        : Set.<String>of();
                if (exits.isEmpty()) wrong.add(message.replace("`", ""));
                else if (entry.group(3) != null
                        && exits.stream()
                                .noneMatch(exit -> !exit.isEmpty()
                                        && ExitCode.valueOf(exit).code == Integer.parseInt(entry.group(3))))
                    wrong.add(message.replace("`", "") + entry.group(2));
            }
        }
        return wrong;
    }

    // ---- links, files, aliases ---------------------------------------------------------------

    @Test void every_link_between_the_texts_leads_somewhere() throws Exception {
        var texts = texts();
        assertEquals(List.of(), deadLinks(texts));
        texts.put("DOCTORED.md", """
            [a](MIGRATION_RESET_GUIDE.md#no-such-heading) [b](NO_SUCH.md) [c](#here) [d](#there)
            [e](README.md#as-a-library) [f](lib/Nowhere.java)
            # Here
            """);
        assertEquals(
                List.of(
                        "DOCTORED.md: MIGRATION_RESET_GUIDE.md#no-such-heading",
                        "DOCTORED.md: NO_SUCH.md",
                        "DOCTORED.md: #there",
                        "DOCTORED.md: lib/Nowhere.java"),
                deadLinks(texts));
    }

    private static List<String> deadLinks(Map<String, String> texts) {
        var dead = new ArrayList<String>();
        texts.forEach((name, text) -> {
            for (var target : all(Pattern.compile("\\]\\(([^)\\s]+)\\)"), text.replaceAll("(?s)```.*?```", ""), 1)) {
                if (target.startsWith("https://")) continue;
                var parts = target.split("#", 2);
                var there = parts[0].isEmpty() ? name : parts[0];
                var exists = texts.containsKey(there) || Files.exists(ROOT.resolve(there));
                if (!exists
                        || parts.length == 2
                                && !(texts.containsKey(there)
                                        && anchors(texts.get(there)).contains(parts[1])))
                    dead.add(name + ": " + target);
            }
        });
        return dead;
    }

    /** GitHub's anchors: lower case, hyphens for spaces, and "-1" for the second heading of a name. */
    private static Collection<String> anchors(String text) {
        var seen = new TreeMap<String, Integer>();
        var anchors = new LinkedHashSet<String>();
        for (var heading : all(Pattern.compile("(?m)^#+ (.+)$"), text.replaceAll("(?s)```.*?```", ""), 1)) {
            var anchor = heading.toLowerCase(java.util.Locale.ROOT)
                    .replaceAll("[^\\p{L}\\p{N} _-]", "")
                    .replace(' ', '-');
            var before = seen.merge(anchor, 1, Integer::sum) - 1;
            anchors.add(before == 0 ? anchor : anchor + "-" + before);
        }
        return anchors;
    }

    @Test void every_file_and_alias_that_the_texts_name_is_there() throws Exception {
        for (var text : texts().entrySet()) assertEquals(List.of(), missingFiles(text.getValue()), text.getKey());
        assertEquals(
                List.of(
                        "reset_migration.java",
                        "lib/Libb.java",
                        "bench/nothing",
                        "other-catalog.json",
                        "reset-migrationz"),
                missingFiles("""
                    `jbang reset_migration.java`, `//DEPS /path/to/lib/Libb.java`, `bench/nothing`, `manage.py`,
                    `migrate app 0001.py`, `lib/`
                    ```
                    jbang reset-migrations@./other-catalog.json
                    jbang reset-migrationz@./jbang-catalog.json
                    ./jbangw demo.java
                    ```
                    """));
    }

    /** Names with the extension of a script or a text, and all paths below our folders. */
    private static List<String> missingFiles(String text) {
        var aliases = JsonParser.parseString(read("jbang-catalog.json"))
                .getAsJsonObject()
                .getAsJsonObject("aliases")
                .keySet();
        var missing = new ArrayList<String>();
        for (var code : code(text))
            for (var word : code.text.split("[\\s\"'()=]+")) {
                if (word.contains("://") || word.contains("…") || word.contains("<")) continue;
                var at = word.indexOf('@');
                var path = word.substring(at + 1).replaceFirst("^(/path/to/|\\./|\\$PWD/)", "");
                if (path.equals("run.json")) continue; // every run has one
                var ours = path.matches("[\\w./-]+\\.(java|json|md|lock|cmd)")
                        || path.matches("(lib|tests|bench|\\.ci)/[\\w./-]*")
                        || path.equals("jbangw");
                if (ours && !path.startsWith("/") && !Files.exists(ROOT.resolve(path))) missing.add(path);
                if (ours && at > 0 && !aliases.contains(word.substring(0, at))) missing.add(word.substring(0, at));
            }
        return missing;
    }

    // ---- the library example -----------------------------------------------------------------

    @Test void the_library_example_compiles(@TempDir Path folder) throws IOException {
        assertEquals("", compiled(README, folder));
        assertTrue(compiled(README.replace("Backup.create(", "Backup.make("), folder).contains("cannot find symbol"));
    }

    /** What javac says of the example, with the imports of JShell. */
    private static String compiled(String readme, Path folder) throws IOException {
        var lines = readme.substring(readme.indexOf("```java\n")).split("```")[1].lines().skip(1).toList();
        var imports = lines.stream().filter(line -> line.startsWith("import ")).collect(Collectors.joining("\n"));
        var body = lines.stream().filter(line -> !line.startsWith("import ")).collect(Collectors.joining("\n"));
        var source = Files.writeString(folder.resolve("Example.java"), """
            import java.nio.file.*;
            %s
            class Example {
                static void run() throws Exception {
                    %s
                }
            }
            """.formatted(imports, body));
        var errors = new ByteArrayOutputStream();
        ToolProvider.getSystemJavaCompiler().run(null, errors, errors, "-proc:none", "-implicit:none",
                "-d", folder.toString(), "-cp", System.getProperty("java.class.path"), source.toString());
        return errors.toString();
    }

    @Test void the_guide_shows_a_whole_plan() {
        for (var part :
                List.of("Set aside: ", "Replace: ", "Strategy: swap", "Steps\n", "dry run: nothing was changed"))
            assertTrue(GUIDE.contains(part), part);
    }

    @Test void no_placeholder_is_left() throws Exception {
        for (var text : texts().entrySet()) assertEquals(List.of(), placeholders(text.getValue()), text.getKey());
        assertEquals(
                List.of("TRANSCRIPT", "JSHELL", "TODO"),
                placeholders("```\nTRANSCRIPT\n```\nJSHELL\n TODO: write, BENCHMARK\n"));
    }

    private static List<String> placeholders(String text) {
        return all(Pattern.compile("\\b(TRANSCRIPT|JSHELL|BENCH|TODO|FIXME|TBD|XXX)\\b"), text, 1);
    }
}
