import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.Lib;
import lib.backup.BackupFolder;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import support.JBang;
import support.Postgres;
import support.Python;
import support.Repo;
import support.SampleProject;
import support.Tool;

/** The aliases, used with nothing but the catalog's address. */
@Timeout(240)
class CatalogTest {
    @TempDir static Path shared; // one home for all tests, so that each script is built once
    static JBang jbang;
    static HttpServer server;
    static final Set<String> served = ConcurrentHashMap.newKeySet();

    @TempDir Path temp;

    /** Below {@code /without/<file>/}, lib/Lib.java lacks the line of that file. */
    @BeforeAll static void serve_the_clone_on_loopback() throws Exception {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            try (exchange) {
                var path = exchange.getRequestURI().getPath().substring(1);
                var without = Pattern.compile("without/([^/]+)/(.*)").matcher(path);
                var body = without.matches() ? file(without.group(2), without.group(1)) : file(path, null);
                served.add(path);
                exchange.sendResponseHeaders(body == null ? 404 : 200, body == null ? -1 : body.length);
                if (body != null) exchange.getResponseBody().write(body);
            }
        });
        server.start();
        jbang = JBang.in(shared);
    }

    @AfterAll static void stop_serving() {
        server.stop(0);
    }

    private static byte[] file(String path, String without) throws IOException {
        var file = Repo.root().resolve(path).normalize();
        if (!file.startsWith(Repo.root()) || !Files.isRegularFile(file)) return null;
        if (without == null || !path.equals("lib/Lib.java")) return Files.readAllBytes(file);
        var lines = Files.readAllLines(file);
        assertTrue(
                lines.removeIf(line -> line.matches("//(SOURCES|FILES) \\S*/" + Pattern.quote(without))),
                "no such line: " + without);
        return String.join("\n", lines).getBytes();
    }

    private static String catalog(String folder) {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/" + folder + "jbang-catalog.json";
    }

    private Tool.Output alias(String name, String folder, String arguments) throws Exception {
        return jbang.bash(temp, "jbang " + name + "@" + catalog(folder) + " " + arguments);
    }

    // ---- the list ----------------------------------------------------------------------------

    @Test void every_file_of_the_library_is_listed_and_every_listed_file_is_there() throws Exception {
        var text = Files.readString(Repo.root().resolve("lib/Lib.java"));
        assertEquals(filesOfLib(), listed(text));
        assertNotEquals(
                filesOfLib(), listed(text.replace("//SOURCES plan/Plan.java\n", "")), "a file that is not listed");
        assertNotEquals(filesOfLib(), listed(text + "\n//SOURCES plan/Gone.java\n"), "a listed one that is not there");
        assertNotEquals(filesOfLib(), listed(text.replace("=django/describe.py", "")), "a file of the driver");
    }

    private static Set<String> filesOfLib() throws IOException {
        var lib = Repo.root().resolve("lib");
        try (Stream<Path> files = Files.walk(lib)) {
            return files.filter(Files::isRegularFile).map(file -> lib.relativize(file).toString())
                .filter(name -> !name.equals("Lib.java")).collect(Collectors.toCollection(TreeSet::new));
        }
    }

    private static Set<String> listed(String text) {
        return Pattern.compile("(?m)^//(?:SOURCES |FILES \\S+=)(\\S+)$")
                .matcher(text)
                .results()
                .map(line -> line.group(1))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** JBang reads an invalid catalog as an empty one. */
    @Test void the_catalog_names_both_scripts_and_they_are_there() throws Exception {
        var aliases = JsonParser.parseString(Files.readString(Repo.root().resolve("jbang-catalog.json")))
                .getAsJsonObject()
                .getAsJsonObject("aliases");
        assertEquals(Set.of("reset-migrations", "backup-database"), aliases.keySet());
        for (var alias : aliases.entrySet()) {
            var script = alias.getValue().getAsJsonObject().get("script-ref").getAsString();
            assertEquals(alias.getKey().replace('-', '_') + ".java", script);
            assertTrue(Files.isExecutable(Repo.root().resolve(script)), script);
        }
    }

    // ---- from an address ---------------------------------------------------------------------

    @Test void both_aliases_run_from_a_url() throws Exception {
        assertSaid("reset_migrations " + Lib.VERSION + "\n", alias("reset-migrations", "", "--version"));
        assertSaid("backup_database " + Lib.VERSION + "\n", alias("backup-database", "", "--version"));
        var help = alias("reset-migrations", "", "--help");
        assertEquals(0, help.code(), help.all());
        assertTrue(help.out().startsWith("Usage: reset_migrations "), help.all());
        for (var file : filesOfLib())
            assertTrue(served.contains("lib/" + file), file + " did not come from the address");
    }

    @Test void a_dry_run_from_a_url_has_the_driver_with_it() throws Exception {
        var output = dryRun("");
        assertEquals(0, output.code(), output.all());
        assertTrue(output.out().contains("shop"), output.all());
    }

    @Tag("exhaustive") @Test void a_missing_files_line_of_the_driver_is_named() throws Exception {
        var output = dryRun("without/describe.py/");
        assertNotEquals(0, output.code(), output.all());
        assertTrue(output.err().contains("lib/django/describe.py is missing from the built program"), output.all());
    }

    @Tag("exhaustive") @Test void without_one_of_the_sources_nothing_is_built() throws Exception {
        var output = alias("backup-database", "without/Plan.java/", "--version");
        assertNotEquals(0, output.code(), output.all());
        assertTrue(output.err().contains("Plan"), output.all());
    }

    private Tool.Output dryRun(String folder) throws Exception {
        var project = SampleProject.tiny(
                        Files.createDirectory(temp.resolve("project")),
                        Map.of("shop/models.py", """
                            from django.db import models

                            class Customer(models.Model):
                                name = models.TextField()
                            """, "shop/migrations/__init__.py", ""))
                .env(Postgres.database());
        return alias(
                "reset-migrations",
                folder,
                "--dry-run --project '" + project.root() + "' --python '" + Python.venv() + "'");
    }

    // ---- installed ---------------------------------------------------------------------------

    @Tag("exhaustive") @Test void installed_from_a_url_it_is_a_command() throws Exception {
        install("reset-migrations", "rm-url", catalog(""));
        assertSaid("reset_migrations " + Lib.VERSION + "\n", jbang.bash(temp, "\"$HOME/.jbang/bin/rm-url\" --version"));
        var refused = jbang.bash(temp, "\"$HOME/.jbang/bin/rm-url\" --no-such-option");
        assertEquals(2, refused.code(), refused.all()); // arguments arrive, and the exit code comes back
    }

    /** Runs README's lines, then the commands from another folder. */
    @Tag("exhaustive") @Test void readmes_own_install_lines_make_commands_that_work_from_any_folder() throws Exception {
        var readme = Files.readString(Repo.root().resolve("README.md"));
        var lines = readme.lines().filter(line -> line.startsWith("jbang app install ")).toList();
        assertEquals(
                List.of("reset-migrations", "backup-database"),
                lines.stream()
                        .map(line -> line.replaceFirst(".*--name (\\S+) .*", "$1"))
                        .toList());
        for (var line : lines) {
            var output = jbang.bash(Repo.root(), line);
            assertEquals(0, output.code(), output.all());
        }
        for (var name : List.of("reset-migrations", "backup-database"))
            assertSaid(
                    name.replace('-', '_') + " " + Lib.VERSION + "\n",
                    jbang.bash(temp, "\"$HOME/.jbang/bin/" + name + "\" --version"));
    }

    /** README's lines for cron, with other paths. cron has a short PATH and no JBang, and mails all output. */
    @Tag("exhaustive")
    @Test
    void readmes_portable_jar_backs_up_in_crons_surroundings_and_in_silence() throws Exception {
        var readme = Files.readString(Repo.root().resolve("README.md"));
        var export = line(readme, "jbang export portable .*").replace("/opt/backup", temp.toString());
        var made = jbang.bash(Repo.root(), export);
        assertEquals(0, made.code(), made.all());
        var db = Postgres.database();
        var project = SampleProject.tiny(temp.resolve("crm"), Map.of()).env(db);
        var cron = line(readme, "15 3 \\* \\* \\*  .*")
                .substring("15 3 * * *  java".length())
                .replace("/opt/backup", temp.toString())
                .replace("/srv/crm", project.root().toString());
        cron = "cd / && env -i HOME=\"$HOME\" PATH=/usr/bin:/bin '" + System.getProperty("java.home") + "/bin/java'"
                + cron;
        var output = jbang.bash(temp, cron);
        assertEquals(0, output.code(), output.all());
        assertEquals("", output.all());
        assertEquals(
                List.of(db.name()),
                new BackupFolder(project.root().resolve("backups"))
                        .list().stream().map(BackupFolder.Entry::database).toList());

        Files.writeString(
                project.root().resolve(".env"),
                Files.readString(project.root().resolve(".env")).replace("pa#ss", "no-such-word"));
        var failed = jbang.bash(temp, cron);
        assertTrue(
                failed.code() != 0 && failed.err().contains("password"),
                failed.all()); // only a success is silent
        assertEquals(1, new BackupFolder(project.root().resolve("backups")).list().size());
    }

    private static String line(String text, String pattern) {
        var line = Pattern.compile("(?m)^" + pattern + "$").matcher(text);
        assertTrue(line.find(), pattern);
        return line.group();
    }

    private void install(String alias, String name, String catalog) throws Exception {
        var output = jbang.bash(temp, "jbang app install --name " + name + " " + alias + "@" + catalog);
        assertEquals(0, output.code(), output.all());
        assertTrue(Files.isExecutable(jbang.home().resolve(".jbang/bin/" + name)), output.all());
    }

    private static void assertSaid(String words, Tool.Output output) {
        assertEquals(0, output.code(), output.all());
        assertEquals(words, output.out(), output.all());
    }
}
