package lib.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ScriptTest {
    @TempDir Path temp;
    private final Map<String, String> environment = new HashMap<>(Map.of("PATH", "/nowhere"));
    private final Map<String, String> properties = new HashMap<>(Map.of(
            "jbang.source", "", "script.alias", "", "java.class.path", "/a.jar:/b c.jar", "java.home", "/opt/jdk"));

    @AfterEach void forget() {
        Script.repeat(List.of());
    }

    private void is(String reset, String backup) {
        var call = new Script.Call(environment, properties, temp);
        assertEquals(reset, call.of(Script.RESET_MIGRATIONS));
        assertEquals(backup, call.of(Script.BACKUP_DATABASE));
    }

    private void program(String name) throws IOException {
        Files.createFile(
                temp.resolve(name), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
    }

    @Test void the_wrapper_says_how_it_was_called() {
        environment.put("JBANGW_CALL", "./jbangw reset_migrations.java");
        is("./jbangw reset_migrations.java", "./jbangw backup_database.java");
        environment.put("JBANGW_CALL", "/srv/my\\ tools/jbangw /srv/my\\ tools/demo.java");
        is("/srv/my\\ tools/jbangw /srv/my\\ tools/reset_migrations.java",
                "/srv/my\\ tools/jbangw /srv/my\\ tools/backup_database.java");
    }

    @Test void an_alias_that_is_installed_is_a_command() throws IOException {
        properties.put("script.alias", "reset-migrations");
        environment.put("PATH", temp.toString());
        program("reset-migrations");
        program("backup-database");
        is("reset-migrations", "backup-database");
    }

    @Test void an_alias_that_is_not_installed_is_found_in_the_nearest_catalog() throws IOException {
        properties.put("script.alias", "reset-migrations");
        for (var name : List.of("jbang-catalog.json", "reset_migrations.java", "backup_database.java"))
            Files.createFile(temp.resolve(name));
        is("jbang reset-migrations", "jbang backup-database");
        Files.delete(temp.resolve("jbang-catalog.json"));
        is("jbang reset_migrations.java", "jbang backup_database.java");
    }

    @Test void a_jar_is_started_as_it_was_given() throws IOException {
        properties.put("java.class.path", "my tools/backup_database.jar");
        Files.createFile(Files.createDirectory(temp.resolve("my tools")).resolve("backup_database.jar"));
        Files.createFile(temp.resolve("my tools/reset_migrations.jar"));
        is("/opt/jdk/bin/java -jar 'my tools/reset_migrations.jar'",
                "/opt/jdk/bin/java -jar 'my tools/backup_database.jar'");
    }

    @Test void jbang_runs_the_file_in_the_working_folder() throws IOException {
        Files.createFile(temp.resolve("reset_migrations.java"));
        Files.createFile(temp.resolve("backup_database.java"));
        is("jbang reset_migrations.java", "jbang backup_database.java");
        environment.put("JBANG_LAUNCH_CMD", "/home/ana/.jbang/bin/jbang");
        is("/home/ana/.jbang/bin/jbang reset_migrations.java", "/home/ana/.jbang/bin/jbang backup_database.java");
    }

    @Test void the_source_named_by_jbang_is_used() {
        properties.put("jbang.source", "/srv/tools/reset_migrations.java");
        is("jbang /srv/tools/reset_migrations.java", "jbang /srv/tools/backup_database.java");
    }

    @Test void without_any_of_these_the_class_is_started() {
        is("/opt/jdk/bin/java -cp '/a.jar:/b c.jar' reset_migrations",
                "/opt/jdk/bin/java -cp '/a.jar:/b c.jar' backup_database");
    }

    @Test void the_options_that_name_the_project_are_repeated() {
        Script.repeat(List.of("--project", "/srv/my project", "--docker"));
        assertTrue(Script.RESET_MIGRATIONS.command("undo", "20261122-193352-1ddc")
                        .endsWith(" undo 20261122-193352-1ddc --project '/srv/my project' --docker"),
                Script.RESET_MIGRATIONS.command());
    }
}
