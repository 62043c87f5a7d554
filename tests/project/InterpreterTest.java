package lib.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import lib.django.DjangoProblem;
import lib.environment.Environment;
import lib.error.Failure;
import lib.error.Problem;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import support.Python;

@DisabledOnOs(OS.WINDOWS)
class InterpreterTest {
    @TempDir Path root;
    private Project project;
    private final Map<String, String> environment = new HashMap<>();

    @BeforeEach void aProjectAndAPathWithPython() throws IOException {
        project = new Project(root, Files.createDirectory(root.resolve("backend")));
        program(root.resolve("usr/bin/python3"), "exit 0");
        environment.put("PATH", root.resolve("nowhere") + ":" + root.resolve("usr/bin"));
    }

    private static Path program(Path path, String script) throws IOException {
        Files.createDirectories(path.getParent());
        Files.writeString(path, "#!/bin/sh\n" + script + "\n");
        return Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private Path venv(String folder) throws IOException {
        var python = program(root.resolve(folder).resolve("bin/python"), "exit 0");
        Files.writeString(root.resolve(folder).resolve("pyvenv.cfg"), "home = /usr/bin\n");
        return python;
    }

    private Interpreter find(Path option) {
        return Interpreter.find(project, option, environment);
    }

    private String unusable(Path option) {
        var problem = assertThrows(Failure.class, () -> find(option)).problem();
        assertEquals(2, problem.exit().code);
        assertEquals(
                List.of("give --python the interpreter of the project's virtual environment, such as venv/bin/python"),
                problem.next());
        return problem.what();
    }

    @Test void each_place_gives_way_to_the_one_before_it() throws IOException {
        assertEquals(new Interpreter(root.resolve("usr/bin/python3"), "python3 on PATH", false), find(null));
        assertEquals(new Interpreter(venv("backend/env"), "backend/env", true), find(null));
        assertEquals(new Interpreter(venv("backend/venv"), "backend/venv", true), find(null));
        assertEquals(new Interpreter(venv(".venv"), ".venv", true), find(null));
        assertEquals(new Interpreter(venv("venv"), "venv", true), find(null));
        var active = venv("active");
        environment.put("VIRTUAL_ENV", root.resolve("active").toString());
        assertEquals(new Interpreter(active, "$VIRTUAL_ENV", true), find(null));
        assertEquals(
                new Interpreter(root.resolve("usr/bin/python3"), "--python", false),
                find(root.resolve("usr/bin/python3")));
    }

    @Test void python_serves_where_there_is_no_python3() throws IOException {
        Files.delete(root.resolve("usr/bin/python3"));
        var problem = assertThrows(Failure.class, () -> find(null)).problem();
        assertEquals("no Python found: no virtual environment in the project, no python3 on PATH", problem.what());
        assertEquals(2, problem.exit().code);
        var python = program(root.resolve("usr/bin/python"), "exit 0");
        assertEquals(python, find(null).python());
    }

    @Test void a_broken_virtual_environment_is_passed_over_and_its_fault_kept() throws IOException {
        var gone = venv("venv");
        Files.delete(gone);
        Files.createSymbolicLink(gone, Path.of("/usr/bin/python2.3-gone"));
        var good = venv(".venv");
        var found = find(null);
        assertEquals(good, found.python());
        assertTrue(found.why().contains(gone + " is a link to a Python that is gone"), found.why());
        environment.put("VIRTUAL_ENV", root.resolve("removed").toString());
        assertTrue(find(null).why().contains("removed/bin/python does not exist"), find(null).why());
    }

    @Test void a_folder_that_is_only_called_env_is_none() throws IOException {
        program(root.resolve("env/bin/python"), "exit 0");
        assertEquals("python3 on PATH", find(null).why());
    }

    @Test void the_one_that_was_named_must_do() throws IOException {
        assertEquals(root.resolve("none/python") + " does not exist", unusable(root.resolve("none/python")));
        var plain = Files.writeString(root.resolve("plain"), "");
        assertEquals(plain + " is not executable", unusable(plain));
        var link = Files.createSymbolicLink(root.resolve("link"), root.resolve("gone"));
        assertEquals(link + " is a link to a Python that is gone", unusable(link));
        assertEquals(root + " is a folder without bin/python", unusable(root));
        assertEquals(Path.of("python9.9").toAbsolutePath() + " does not exist", unusable(Path.of("python9.9")));
    }

    @Test void a_name_on_path_and_a_virtual_environments_folder_can_be_named_too() throws IOException {
        var named = program(root.resolve("usr/bin/python3.99"), "exit 0");
        assertEquals(named, find(Path.of("python3.99")).python());
        assertEquals(venv("here"), find(root.resolve("here")).python());
    }

    @Test void a_real_virtual_environment_keeps_its_own_path() {
        var found = find(Python.venv());
        assertTrue(found.virtualEnv());
        assertEquals(Python.venv(), found.python()); // its link resolved, it would be the system's, without Django
    }

    @Test void condas_environments_count() throws IOException {
        var python = program(root.resolve("conda/envs/crm/bin/python"), "exit 0");
        assertFalse(find(python).virtualEnv());
        Files.createDirectories(root.resolve("conda/envs/crm/conda-meta"));
        assertTrue(find(python).virtualEnv());
    }

    @Test void the_install_command_uses_the_projects_own_list() throws IOException {
        var pip = List.of("/x/python", "-m", "pip", "install");
        assertEquals(with(pip, "Django", "psycopg[binary]"), install());
        Files.writeString(root.resolve("pyproject.toml"), "");
        assertEquals(with(pip, root.toString()), install());
        Files.createDirectory(root.resolve("requirements"));
        var production = Files.writeString(root.resolve("requirements/production.txt"), "");
        assertEquals(with(pip, "-r", production.toString()), install());
        var dev = Files.writeString(root.resolve("requirements/dev.txt"), "");
        assertEquals(with(pip, "-r", dev.toString()), install());
        var backends = Files.writeString(project.backend().resolve("requirements.txt"), "");
        assertEquals(with(pip, "-r", backends.toString()), install());
    }

    @Test void the_projects_own_tool_installs_and_never_into_the_systems_python() throws IOException {
        var next = new DjangoProblem.NoDjango("/usr/bin/python3", root + "/requirements.txt", root + "/venv").next();
        assertEquals("install what the project needs: /usr/bin/python3 -m venv %1$s/venv && "
            .concat("%1$s/venv/bin/python -m pip install -r %1$s/requirements.txt").formatted(root), next.getFirst());
        var commands = Map.of("uv.lock", "uv sync --project %s", "pdm.lock", "pdm install --project %s",
            "poetry.lock", "poetry --directory %s install", "Pipfile", "env PIPENV_PIPFILE=%s/Pipfile pipenv install");
        Files.writeString(root.resolve("requirements.txt"), "");
        for (var tool : commands.entrySet()) {
            var file = Files.writeString(root.resolve(tool.getKey()), "");
            assertEquals(tool.getValue().formatted(root), String.join(" ", install()));
            Files.delete(file);
        }
        var poetry = new DjangoProblem.NoDjango("/usr/bin/python3", root + "/poetry.lock", root + "/venv").next();
        assertEquals("or name the interpreter that has it: --python \"$(poetry --directory %s env info --executable)\""
            .formatted(root) + ", or activate its virtual environment", poetry.getLast());
    }

    @Test void a_virtual_environment_beside_the_project_in_its_repository_is_found() throws IOException {
        var inner = Files.createDirectories(root.resolve("backend/site"));
        project = new Project(inner, inner); // with a .env of its own
        var beside = venv("venv");
        assertEquals("python3 on PATH", find(null).why()); // no repository: anybody's
        Files.createDirectory(root.resolve(".git"));
        assertEquals(beside, find(null).python());
    }

    private List<String> install() {
        return new DjangoProblem.NoDjango(
                        "/x/python",
                        Interpreter.requirements(project).map(Path::toString).orElse(null),
                        null)
                .install().getFirst();
    }

    private static List<String> with(List<String> some, String... more) {
        return java.util.stream.Stream.concat(some.stream(), java.util.Arrays.stream(more)).toList();
    }

    // ---- the environment around it -----------------------------------------------------------

    private Environment.Local environment() {
        return Environment.of(
                Settings.read(project, null, environment), Interpreter.find(project, Python.venv(), environment));
    }

    private static final String SHOW =
            "import os; print(os.getcwd(), os.environ.get('DB_NAME'), os.environ.get('PYTHONDONTWRITEBYTECODE'))";

    @Test void python_runs_in_the_backend_with_the_roots_env() throws IOException {
        Files.writeString(root.resolve(".env"), "DB_NAME='crm'\nDB_PASSWORD=pw");
        var backend = project.backend().toRealPath();
        assertEquals(backend + " crm 1", environment().python("-c", SHOW).output().strip());
        Files.writeString(project.backend().resolve(".env"), "DB_NAME=inner");
        assertFalse(environment().python("-c", SHOW).output().contains("crm"));
    }

    @Test void warnings_name_skipped_lines_and_a_python_outside_any_virtual_environment() throws IOException {
        Files.writeString(root.resolve(".env"), "DB_PASSWORD=pw\nA B=1");
        assertEquals(1, environment().warnings().size());
        assertTrue(environment().warnings().getFirst().contains("line 2"));
        var system = Environment.of(Settings.read(project, null, environment), find(null));
        assertEquals(2, system.warnings().size());
        assertTrue(system.warnings().getLast().contains("usr/bin/python3"));
    }

    // ---- PostgreSQL's programs ---------------------------------------------------------------

    private Path pgDump(String folder, String version) throws IOException {
        return program(root.resolve(folder).resolve("pg_dump"), "echo 'pg_dump (PostgreSQL) " + version + "'")
                .getParent();
    }

    private static String choose(int major, Path... folders) {
        return Environment.Local.pgProgram("pg_dump", major, List.of(folders)).argv().getFirst();
    }

    @Test void the_smallest_version_that_fits_the_server_is_taken() throws IOException {
        var old = pgDump("14", "14.11 (Debian 14.11-1)");
        var fits = pgDump("15", "15.18");
        var newer = pgDump("17", "17beta2");
        assertEquals(fits + "/pg_dump", choose(15, newer, old, fits));
        assertEquals(newer + "/pg_dump", choose(16, old, fits, newer));
        assertEquals(old + "/pg_dump", choose(9, newer, old));
        var same = pgDump("other", "15.2");
        assertEquals(same + "/pg_dump", choose(15, same, fits));
        var problem = assertThrows(Failure.class, () -> choose(18, old, newer, fits)).problem();
        assertEquals(
                "the server is PostgreSQL 18, but pg_dump is installed only in version 14, 15, 17", problem.what());
        assertEquals(2, problem.exit().code);
    }

    @Test void what_does_not_answer_or_only_chooses_is_passed_over() throws IOException {
        var silent = program(root.resolve("silent/pg_dump"), "exit 1").getParent();
        program(root.resolve("debian/pg_wrapper"), "echo 'pg_dump (PostgreSQL) 15.1'");
        Files.createSymbolicLink(root.resolve("debian/pg_dump"), root.resolve("debian/pg_wrapper"));
        var failure =
                assertThrows(Failure.class, () -> choose(15, silent, root.resolve("debian"), root.resolve("nowhere")));
        assertEquals("pg_dump is not installed, or not on PATH", failure.getMessage());
    }
}
