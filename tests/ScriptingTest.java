import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import lib.backup.BackupFolder;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import support.JBang;
import support.Postgres;
import support.Repo;
import support.SampleProject;
import support.Tool;

/** README's lines for JShell, taken from README and run as a reader would run them. */
@Timeout(240)
class ScriptingTest {
    @TempDir static Path shared;
    static JBang jbang;
    static String section;

    @TempDir Path temp;
    SampleProject project;
    Postgres.Db db;

    @BeforeAll static void read_the_section() throws Exception {
        jbang = JBang.in(shared);
        var found = Pattern.compile("(?s)\n## As a library\n(.*?)\n## ")
                .matcher(Files.readString(Repo.root().resolve("README.md")));
        assertTrue(found.find());
        section = found.group(1).replace("/path/to/", Repo.root() + "/");
    }

    /** A project with the name that README uses, and five customers. */
    @BeforeEach void a_project_with_rows() throws Exception {
        db = Postgres.database();
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            statement.execute(
                    "CREATE TABLE customer AS SELECT i AS id FROM generate_series(1, 5) i; CREATE TABLE empty (id"
                            + " int)");
        }
        project = SampleProject.tiny(temp.resolve("your-django-project"), Map.of()).env(db);
    }

    @Tag("exhaustive") @Test void the_lines_work_in_jshell() throws Exception {
        var output = jbang.bash(temp, block("bash"), block("java"));
        assertReported(output);
        assertTrue(output.all().contains("project ==> Project["), output.all()); // the interactive shell
    }

    @Tag("exhaustive") @Test void the_lines_work_as_a_jshell_script() throws Exception {
        assertReported(jsh());
    }

    /**
     * The control: without access to the database the assertions below fail. README says that the exit code does not
     * show it.
     */
    @Tag("exhaustive")
    @Test
    void a_wrong_password_is_reported_and_jshell_continues() throws Exception {
        var env = project.root().resolve(".env");
        Files.writeString(env, Files.readString(env).replace("pa#ss", "no-such-word"));
        var output = jsh();
        assertEquals(0, output.code());
        assertTrue(output.all().contains("lib.error.Failure: "), output.all());
        assertFalse(output.all().contains("customer"), output.all());
        assertFalse(output.all().contains("no-such-word"), output.all());
        assertEquals(List.of(), new BackupFolder(project.root().resolve("backups")).list());
    }

    private Tool.Output jsh() throws Exception {
        var deps = Pattern.compile("`(//DEPS [^`]+)`").matcher(section);
        var run = Pattern.compile("`(jbang \\S+\\.jsh)`").matcher(section);
        assertTrue(deps.find() && run.find(), section);
        Files.writeString(project.root().resolve(run.group(1).split(" ")[1]), deps.group(1) + "\n" + block("java"));
        return jbang.bash(project.root(), run.group(1));
    }

    private void assertReported(Tool.Output output) throws Exception {
        assertEquals(0, output.code(), output.all());
        var where = "%s@%s:%d/%s".formatted(db.role(), db.host(), db.port(), db.name());
        for (var line : List.of(where, "        5 rows  customer", "        0 rows  empty"))
            assertTrue(output.out().contains(line + "\n"), line + "\n" + output.all());
        var backups = new BackupFolder(project.root().resolve("backups")).list();
        assertEquals(1, backups.size(), output.all());
        assertTrue(output.out().contains("2 tables backed up into backups/"
                + backups.getFirst().file().getFileName() + "\n"), output.all());
        assertFalse(output.all().contains(Postgres.PASSWORD), "the password was shown");
    }

    private static String block(String language) {
        var block = Pattern.compile("(?s)```" + language + "\n(.*?)```").matcher(section);
        assertTrue(block.find(), section);
        return block.group(1);
    }
}
