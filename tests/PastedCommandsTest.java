import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import support.JBang;
import support.Python;
import support.Repo;
import support.Tool;
import support.Victim;

/** The commands in messages work when they are pasted into the shell that the script was called from. */
@Timeout(240)
class PastedCommandsTest {
    private static final Pattern OWN_COMMAND =
            Pattern.compile("\\b(reset_migrations (undo|finish|status|purge)|backup_database"
                    + " (create|list|verify|restore|prune|status|fetch))\\b");
    private static final Pattern LITERAL = Pattern.compile("\"(?:\\\\.|[^\"\\\\\n])*\"");

    @TempDir Path temp;
    private Victim victim;
    private Path folder;

    @BeforeEach void projectInAFolderWithASpace() throws Exception {
        folder = Files.createDirectory(temp.resolve("my work"));
        victim = new Victim(folder.resolve("my project"));
    }

    /** An executable for a script, with a space in its path: a possible JBANGW_CALL. */
    private Path executable(String script) throws IOException {
        var command = Tool.in(folder, script).command();
        var text = "#!/bin/sh\nexec " + String.join(
                " ", command.stream().map(word -> "'" + word + "'").toList()) + " \"$@\"\n";
        var bin = Files.createDirectories(folder.resolve("my tools"));
        var file = Files.writeString(bin.resolve(script), text);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        return file;
    }

    /** Runs one line in bash, in the folder above the project, with the variables that the project needs. */
    private Tool.Output shell(String line, String... variables) throws Exception {
        var builder = new ProcessBuilder("bash", "-c", line).directory(folder.toFile());
        var environment = builder.environment();
        environment.keySet()
                .removeIf(name -> name.matches("(DB_|PG|POSTGRES_|DJANGO_|DATABASE_URL|BACKUP_|JBANGW_).*"));
        environment.put("VIRTUAL_ENV", Python.venv().getParent().getParent().toString());
        environment.put("HOME", victim.home.toString());
        environment.put("XDG_STATE_HOME", victim.home.resolve("state").toString());
        for (int i = 0; i < variables.length; i += 2) environment.put(variables[i], variables[i + 1]);
        var err = Files.createTempFile(temp, "stderr", "");
        var process = builder.redirectInput(new File("/dev/null")).redirectError(err.toFile()).start();
        var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Tool.Output(process.waitFor(), out, Files.readString(err));
    }

    /** The command that follows these words in the output, up to the line's end or three spaces. */
    private static String named(Tool.Output output, String before) {
        var found = Pattern.compile("(?m)" + before + "\\s+(.+?)(?: {3}.*)?$").matcher(output.all());
        assertTrue(found.find(), before + " is not in:\n" + output.all());
        return found.group(1);
    }

    @Test void the_commands_that_reset_backup_and_restore_print_can_be_pasted() throws Exception {
        var call = "'" + executable("reset_migrations") + "'";
        executable("backup_database");
        var quotedForBash = call.replace("'", "").replace(" ", "\\ ");
        var variables = new String[] {"JBANGW_CALL", quotedForBash};
        var project = " --project 'my project/project'";

        var first = shell(call + " --yes --no-superuser" + project, variables).done();
        shell(named(first, "go back") + " --yes", variables).done();
        victim.rowsAreAsTheyWere();
        victim.filesAreAsTheyWere();

        var second = shell(call + " --yes --no-superuser" + project, variables).done();
        shell(named(second, "clean up") + " --yes", variables).done();

        var backup = call.replace("reset_migrations", "backup_database");
        shell(backup + project, variables).done();
        var file = shell("ls 'my project/project/backups/'*.dump.zst | tail -n 1").done().out().strip();
        var restored = shell(backup + " restore '" + file + "' --yes" + project, variables).done();
        shell(named(restored, "go back:") + " --yes", variables).done();
        var again = shell(backup + " restore '" + file + "' --yes" + project, variables).done();
        shell(named(again, "free its disk space:") + " --yes", variables).done();
    }

    @Tag("exhaustive")
    @Test
    void the_wrapper_an_installed_alias_and_a_jar_are_named_as_they_were_called() throws Exception {
        var jbang = JBang.in(Files.createDirectory(temp.resolve("jbang")));
        for (var line : List.of("jbang app install --name reset-migrations 'reset-migrations@"
                        + Repo.root().resolve("jbang-catalog.json") + "'",
                "jbang export portable --force -O reset_migrations.jar '"
                        + Repo.root().resolve("reset_migrations.java") + "'")) {
            var output = jbang.bash(folder, line);
            assertEquals(0, output.code(), output.all());
        }
        for (var call : List.of("jbang '" + Repo.root().resolve("reset_migrations.java") + "'", "reset-migrations",
                "\"$JAVA_HOME/bin/java\" -jar reset_migrations.jar")) {
            var line = "export PATH=\"$HOME/.jbang/bin:$PATH\" VIRTUAL_ENV='"
                    + Python.venv().getParent().getParent() + "'; ";
            var reset = jbang.bash(folder, line + call + " --yes --no-superuser --project 'my project/project'").done();
            var back = named(reset, "go back");
            assertFalse(back.contains(" -cp "), back);
            jbang.bash(folder, line + back + " --yes").done();
            victim.rowsAreAsTheyWere();
        }
    }

    // ---- every message takes its commands from Script ----------------------------------------

    private static List<String> spelled(String source) {
        var found = new ArrayList<String>();
        // a lock's owner is named by its command
        var code = source.replaceAll("(LockedProject\\.run|FolderLock\\.take\\w*)\\([^;]*?\"[^\"]*\"", "")
            .replaceAll("(?m)^\\s*(//|\\*|/\\*).*$", "").replaceAll("description = [^\\n]*", "");
        LITERAL.matcher(code).results().map(literal -> literal.group())
                .filter(literal -> OWN_COMMAND.matcher(literal).find()).forEach(found::add);
        return found;
    }

    @Test void every_message_takes_our_commands_from_script() throws Exception {
        var spelled = new ArrayList<String>();
        try (Stream<Path> lib = Files.walk(Repo.root().resolve("lib"));
                Stream<Path> scripts = Stream.of("reset_migrations.java", "backup_database.java")
                        .map(Repo.root()::resolve)) {
            for (var file : Stream.concat(lib, scripts).filter(path -> path.toString().endsWith(".java")).toList())
                spelled(Files.readString(file)).forEach(literal -> spelled.add(file.getFileName() + ": " + literal));
        }
        assertEquals(List.of(), spelled);
        assertEquals(List.of("\"run reset_migrations undo first\""), spelled("// \"reset_migrations undo\"\n"
                + "x(\"run reset_migrations undo first\");\nFolderLock.take(root, \"reset_migrations undo\")"));
    }
}
