package lib.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import lib.error.Failure;
import lib.error.Problem;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProjectTest {
    @TempDir Path folder;

    private Path file(String path) throws IOException {
        var file = folder.resolve(path);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, "");
    }

    private Path folder(String path) throws IOException {
        return Files.createDirectories(folder.resolve(path));
    }

    private void assertFound(String root, String backend, String start) {
        assertEquals(
                new Project(
                        folder.resolve(root).normalize(),
                        folder.resolve(backend).normalize()),
                Project.find(folder.resolve(start)),
                start);
    }

    private static Problem problemFrom(Path start) {
        var problem = assertThrows(Failure.class, () -> Project.find(start)).problem();
        assertEquals(2, problem.exit().code);
        return problem;
    }

    private static void assertNone(Path start) {
        var problem = problemFrom(start);
        assertEquals(
                "no Django project in %s or above it: no manage.py found there or up to two levels below"
                        .formatted(start),
                problem.what());
        assertEquals(List.of("go to the project's folder, or give --project DIR"), problem.next());
    }

    @Test void manage_py_in_the_root_makes_it_the_backend_too() throws IOException {
        file("p/manage.py");
        folder("p/shop/migrations");
        for (var start : List.of("p", "p/shop", "p/shop/migrations")) assertFound("p", "p", start);
    }

    @Test void manage_py_one_level_below_is_found_from_any_folder_inside() throws IOException {
        file("p/.env");
        file("p/backend/manage.py");
        folder("p/backend/shop/migrations");
        folder("p/frontend/src/components");
        for (var start : List.of("p", "p/backend", "p/backend/shop", "p/backend/shop/migrations", "p/frontend",
                "p/frontend/src/components", "p/../p")) assertFound("p", "p/backend", start);
    }

    @Test void manage_py_two_levels_below_is_found_and_three_levels_are_not() throws IOException {
        file("p/docker-compose.yml");
        file("p/services/web/manage.py");
        folder("p/services/web/shop");
        for (var start : List.of("p", "p/services", "p/services/web", "p/services/web/shop"))
            assertFound("p", "p/services/web", start);
        file("deep/.env");
        file("deep/a/b/c/manage.py");
        assertNone(folder.resolve("deep"));
    }

    @Test void root_is_the_outermost_marked_folder() throws IOException {
        file("p/compose.yaml");
        file("p/backend/.env");
        file("p/backend/manage.py");
        assertFound("p", "p/backend", "p/backend");
        assertEquals(folder.resolve("p/compose.yaml"), Project.find(folder.resolve("p")).composeFile().orElseThrow());
    }

    @Test void root_is_the_same_from_above_and_from_inside_when_nothing_marks_it() throws IOException {
        file("p/backend/manage.py");
        assertFound("p/backend", "p/backend", "p");
        assertFound("p/backend", "p/backend", "p/backend");
    }

    @Test void several_manage_py_are_listed() throws IOException {
        file("p/.env");
        var one = file("p/api/manage.py");
        var two = file("p/web/manage.py");
        var problem = problemFrom(folder.resolve("p"));
        assertEquals(
                "more than one manage.py in %s:\n  %s\n  %s".formatted(folder.resolve("p"), one, two), problem.what());
        assertEquals(List.of("name the right one: --project " + one.getParent()), problem.next());
        assertFound("p/api", "p/api", "p/api");
    }

    @Test void several_manage_py_do_not_disturb_from_inside_one_of_them() throws IOException {
        file("p/.env");
        file("p/api/manage.py");
        file("p/web/manage.py");
        assertEquals(folder.resolve("p/web"), Project.find(folder.resolve("p/web")).backend());
    }

    @Test void a_project_that_only_lies_beside_is_not_taken() throws IOException {
        file("code/site/manage.py");
        folder("code/scripts/x");
        assertNone(folder.resolve("code/scripts/x"));
        folder("code/.git"); // now it belongs to the same repository
        assertFound("code", "code/site", "code/scripts/x");
    }

    @Test void the_repository_is_the_root_where_nothing_else_marks_one() throws IOException {
        for (var mark : List.of(".git/HEAD", "pyproject.toml", "requirements.txt")) {
            var name = mark.replaceFirst("\\W", "");
            file(name + "/" + mark);
            file(name + "/site/manage.py");
            folder(name + "/docs");
            for (var start : List.of("", "/site", "/docs")) assertFound(name, name + "/site", name + start);
        }
        file("outer/requirements.txt"); // above the repository
        file("outer/repo/.git/HEAD");
        file("outer/repo/manage.py");
        assertFound("outer/repo", "outer/repo", "outer/repo");
        file("two/.git/HEAD"); // of two projects
        file("two/a/manage.py");
        file("two/b/manage.py");
        assertFound("two/a", "two/a", "two/a");
    }

    /** Undo has to find the run that an earlier version made, and pruning the earlier backups. */
    @Test void what_an_earlier_version_has_used_as_root_stays_the_root() throws IOException {
        file("p/.git/HEAD");
        file("p/site/.env");
        file("p/site/manage.py");
        assertFound("p/site", "p/site", "p");
        for (var state : List.of(".reset/20261128_101500/run.json", "backups/crm_20261128_101500.dump.zst")) {
            var name = state.replaceFirst("\\W.*|/.*", "x") + state.length();
            file(name + "/.git/HEAD");
            file(name + "/site/manage.py");
            file(name + "/site/backups/__init__.py"); // an app
            assertFound(name, name + "/site", name);
            file(name + "/site/" + state);
            assertFound(name + "/site", name + "/site", name);
        }
        file("p/.reset/lock"); // a .env that comes later does not take the root away from its runs
        assertFound("p", "p/site", "p/site");
    }

    @Test void backups_above_a_marked_folder_or_outside_the_repository_do_not_move_the_root() throws IOException {
        file("home/backups/crm_20261128_101500.dump.zst"); // BACKUP_DIR of this project, or of another program
        file("home/crm/.env");
        file("home/crm/manage.py");
        assertFound("home/crm", "home/crm", "home/crm");
        file("repo/.git/HEAD");
        file("repo/backups/crm_20261128_101500.dump.zst"); // BACKUP_DIR=../backups
        file("repo/site/.env");
        file("repo/site/manage.py");
        assertFound("repo/site", "repo/site", "repo");
        file("srv/backups/crm_20261128_101500.dump.zst");
        file("srv/crm/manage.py");
        assertFound("srv/crm", "srv/crm", "srv/crm");
    }

    @Test void copies_in_environments_and_hidden_folders_do_not_count() throws IOException {
        file("p/.env");
        file("p/backend/manage.py");
        file("p/venv/x/manage.py");
        file("p/.cache/x/manage.py");
        file("p/node_modules/manage.py");
        assertFound("p", "p/backend", "p");
    }

    @Test void a_linked_folder_is_not_a_second_backend() throws IOException {
        file("p/.env");
        file("p/releases/manage.py");
        Files.createSymbolicLink(folder.resolve("p/current"), folder.resolve("p/releases"));
        assertFound("p", "p/releases", "p");
    }

    @Test void no_project_and_no_folder_are_told_apart_from_bugs() throws IOException {
        assertNone(folder("empty"));
        assertNone(folder.resolve("not-there"));
        assertNone(file("a-file"));
    }
}
