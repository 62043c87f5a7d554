package lib.django;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import lib.environment.Detected;
import lib.environment.ProjectOptions;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import picocli.CommandLine;
import support.ComposeProject;
import support.Docker;
import support.Snapshot;

/** The conversation with Django in a one-off container of a real engine, with both Composes. */
@Tag("docker") @Tag("exhaustive")
class DjangoInContainerTest {
    @TempDir Path folder;

    // ---- starting it -------------------------------------------------------------------------

    private static Django django(ComposeProject project) throws IOException {
        return SilenceLimit.of(60, Django.start(Detected.in(project, null).python(), null, note -> {}));
    }

    /** Calls describe while holding the lock that proves the database. */
    private static Description describe(ComposeProject project, Django django) throws Exception {
        long key = ThreadLocalRandom.current().nextLong(1L << 62);
        try (var live = project.db().connect(); var statement = live.createStatement()) {
            live.setAutoCommit(false);
            statement.execute("SELECT pg_advisory_xact_lock(" + key + ")");
            return django.describe(key, List.of());
        }
    }

    private static Problem failed(ExitCode exit, ComposeProject project) throws IOException {
        try (var django = django(project)) {
            var problem = assertThrows(Failure.class, () -> django.describe(1, List.of())).problem();
            assertEquals(exit, problem.exit(), problem::what);
            return problem;
        }
    }

    private static ComposeProject service(ComposeProject project, String line) throws IOException {
        return project.edit(yaml -> yaml.replace("  backend:\n    build: ./crm_backend\n",
                "  backend:\n    build: ./crm_backend\n    " + line + "\n"));
    }

    private static void awaitNoOneOff(ComposeProject project) throws Exception {
        await(() -> project.oneOffs().isEmpty(), "left behind in " + project.name());
    }

    private static void await(Callable<Boolean> wanted, String otherwise) throws Exception {
        var end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        for (; !wanted.call(); Thread.sleep(100)) assertTrue(System.nanoTime() < end, otherwise);
    }

    // ---- mounted -----------------------------------------------------------------------------

    @ParameterizedTest @EnumSource
    void mounted_code_is_known_by_its_local_paths_whatever_user_the_container_runs_as(Docker.Compose compose)
            throws Exception {
        try (var project = ComposeProject.in(folder, compose).startDatabase()) {
            seen(project, "0");
            // a fixed name that another container may have, a user without a name, only shared memory writable
            service(project, "container_name: " + project.name() + "-fixed");
            service(project, "user: \"1000:1000\"");
            service(project, "read_only: true");
            service(project, "ports: [\"127.0.0.1:9:9\"]");
            seen(project, "1000");
            // neither the service nor its dependencies were started
            assertEquals(Set.of("db"), project.containers().keySet());
        }
    }

    private void seen(ComposeProject project, String user) throws Exception {
        var files = Snapshot.of(project.root());
        var history = project.query("SELECT count(*) FROM django_migrations");
        project.query("CREATE DATABASE scratch");
        try (var django = django(project)) {
            var found = describe(project, django);
            assertEquals("/app", found.python().folder());
            assertTrue(found.defaultDatabase().sameDatabase(), found.defaultDatabase()::toString);
            assertTrue(found.selected().size() > 5, () -> found.apps().toString());
            for (var app : found.selected())
                assertTrue(app.path().startsWith(project.backend()) && Files.isDirectory(app.path()), app::toString);
            for (var file : found.history().files()) assertTrue(Files.isRegularFile(file.path()), file::toString);
            var installed = found.apps().stream().filter(app -> app.label().equals("auth")).findFirst().orElseThrow();
            assertTrue(!installed.own() && installed.path().toString().startsWith("/usr/"), installed::toString);
            assertEquals(List.of(), django.staleInImage(found));

            var oneOff = project.oneOffs().getFirst();
            var kept = Docker.run("inspect", oneOff);
            // it is not restarted, and its record does not have the driver
            assertTrue(!kept.contains("\"unless-stopped\"") && !kept.contains("django.setup()"), kept);
            assertEquals(user, Docker.run("exec", oneOff, "id", "-u"));

            var fresh = django.generate(found.labels(), found.history().carried());
            assertTrue(fresh.files().size() >= 8, () -> fresh.files().toString());
            django.migrateInto("scratch");
            assertEquals(fresh.files().size() + "", project.query("scratch",
                    "SELECT count(*) FROM django_migrations WHERE app IN ('"
                    + String.join("', '", found.labels()) + "')"));
        }
        awaitNoOneOff(project);
        assertEquals(files, Snapshot.of(project.root()));
        assertEquals(history, project.query("SELECT count(*) FROM django_migrations"));
        project.query("DROP DATABASE scratch");
    }

    @ParameterizedTest @EnumSource
    void long_texts_arrive_complete_in_both_directions_and_failures_name_the_local_file(Docker.Compose compose)
            throws Exception {
        try (var project = ComposeProject.in(folder, compose).startDatabase()) {
            var many = new HashSet<String>();
            for (var i = 0; i < 40_000; i++) many.add("zwölf € 日本 \r\n\t\u2028 " + i);
            try (var django = django(project)) {
                // the history is broken; the reply answers a request of 2 MB
                var drift = assertThrows(Failure.class, () -> django.check(List.of(), many));
                assertTrue(drift.getMessage().contains("NodeNotFoundError"), drift::getMessage);
            }
            var settings = project.backend().resolve("crm_backend/settings.py");
            var good = Files.readString(settings);
            Files.writeString(settings, good + "\nprint('a line of noise', 'x' * 3000000)\n"
                    + "raise RuntimeError('zwölf € 日本 ' * 200000 + 'end')\n");
            var failed = failed(ExitCode.FAILED, project);
            assertTrue(failed.what().contains("zwölf € 日本 ".repeat(200_000) + "end"));
            assertTrue(failed.what().contains(settings.toString()),
                    () -> failed.what().substring(failed.what().length() - 500));
            awaitNoOneOff(project);
        }
    }

    @ParameterizedTest @EnumSource
    void a_container_that_cannot_do_it_says_what_it_lacks(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(folder, compose).startDatabase()) {
            var built = "  backend:\n    build: ./crm_backend\n";
            project.edit(yaml -> yaml.replace(built, "  backend:\n    image: " + Docker.BARE + "\n"));
            assertEquals("the container of service backend has no Python", failed(ExitCode.USAGE, project).what());

            project.edit(yaml -> yaml.replace(Docker.BARE, Docker.APP)
                    .replace("      - ./crm_backend:/app\n    env_file:\n      - ./.env\n    environment:\n"
                    + "      - DJANGO_SETTINGS_MODULE=crm_backend.settings\n      - DB_HOST=db\n    depends_on:\n"
                    + "      db:\n        condition: service_healthy\n    stop_grace_period",
                    "      - /app\n    env_file:\n      - ./.env\n    environment:\n      - DB_HOST=db\n"
                            + "    depends_on:\n      db:\n        condition: service_healthy\n    stop_grace_period"));
            var lost = failed(ExitCode.USAGE, project).what();
            assertTrue(lost.startsWith("the container of service backend has no manage.py below any of ")
                    && lost.contains(" /app, /code, "), lost);

            project.edit(yaml -> yaml.replace("      - /app\n", "      - ./crm_backend:/app\n")
                    .replaceFirst("      - DB_HOST=db\n", "      - DB_HOST=db\n      - PYTHONPATH=/app/none\n"));
            Files.createDirectories(project.backend().resolve("none/django"));
            Files.writeString(project.backend().resolve("none/django/__init__.py"),
                    "raise ModuleNotFoundError('none', name='django')\n");
            var none = failed(ExitCode.USAGE, project);
            assertTrue(none.what().matches("Django is not installed for /usr/bin/python\\S* in the container of "
                    + "service backend"), none::what);
            // it would run on this machine
            assertTrue(none.next().stream().noneMatch(line -> line.contains("pip")), none.next()::toString);
            awaitNoOneOff(project);
        }
    }

    // ---- in the image ------------------------------------------------------------------------

    @ParameterizedTest @EnumSource
    void code_in_the_image_is_found_compared_and_checked_with_the_files_here(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(folder, compose).baked()) {
            var dockerfile = project.backend().resolve("Dockerfile");
            // in an unusual folder, without a working directory, and beside another project
            Files.writeString(dockerfile, Files.readString(dockerfile)
                    .replace("COPY . /app/", "RUN mkdir -p /app/other && echo 'print()' > /app/other/manage.py\n"
                    + "WORKDIR /\nCOPY . /srv/site/"));
            project.startDatabase();
            var extra = project.backend().resolve("conversations/migrations/0006_not_in_the_image.py");
            var models = project.backend().resolve("flows/models.py");
            var helper = project.backend().resolve("conversations/migrations/_helpers.py");
            var fresh = new ArrayList<Path>();
            List<String> drift;
            try (var django = django(project)) {
                var found = describe(project, django);
                assertEquals("/srv/site", found.python().folder());
                for (var app : found.selected()) {
                    assertTrue(app.path().startsWith(project.backend()), app::toString);
                    assertTrue(Files.isDirectory(app.path()), app::toString);
                }
                for (var file : found.history().files()) assertTrue(Files.isRegularFile(file.path()), file::toString);
                assertEquals(List.of(), django.staleInImage(found));

                Files.writeString(extra, "");
                Files.writeString(project.backend().resolve("notes.py"),
                        "# only here; Django does not read it\n");
                Files.writeString(models, Files.readString(models) + "# changed\n");
                Files.move(helper, helper.resolveSibling("_moved.py"));
                assertEquals(List.of("conversations/migrations/0006_not_in_the_image.py",
                        "conversations/migrations/_helpers.py", "flows/models.py"), django.staleInImage(found));
                Files.move(helper.resolveSibling("_moved.py"), helper);
                Files.delete(extra);

                var made = django.generate(found.labels(), found.history().carried());
                drift = made.drift();
                for (var old : found.history().files()) Files.delete(old.path());
                for (var file : made.files()) {
                    var home = found.selected().stream().filter(app -> app.label().equals(file.app())).findFirst()
                            .orElseThrow().migrationsFolder().resolve(file.name());
                    Files.createDirectories(home.getParent());
                    Files.writeString(home, file.text());
                    fresh.add(home);
                }
                project.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
                django.migrateLive();
            }
            try (var django = django(project)) {
                var check = django.check(labels(project, fresh), Set.copyOf(drift), fresh);
                assertEquals(List.of(), check.unapplied());
                assertEquals(List.of(), check.drift());
            }
            // Negative controls: without the files from here the image's files count; an unapplied migration is found.
            try (var django = django(project)) {
                assertTrue(assertThrows(Failure.class, () -> django.check(labels(project, fresh), Set.of()))
                        .getMessage().contains("NodeNotFoundError"));
            }
            Files.writeString(project.backend().resolve("flows/migrations/0002_later.py"),
                    "from django.db import migrations\n\nclass Migration(migrations.Migration):\n"
                            + "    dependencies = [('flows', '0001_initial')]\n    operations = []\n");
            try (var django = django(project)) {
                assertEquals(List.of("flows.0002_later"), django.check(labels(project, fresh), Set.copyOf(drift),
                        fresh).unapplied());
            }
            awaitNoOneOff(project);
        }
    }

    private static List<String> labels(ComposeProject project, List<Path> fresh) {
        return fresh.stream().map(file -> project.backend().relativize(file).getName(0).toString()).distinct().toList();
    }

    // ---- the end -----------------------------------------------------------------------------

    /** The process that is killed, in a started conversation or in a request that never ends. */
    public static void main(String[] project) throws Exception {
        Interruption.install();
        var where = CommandLine.populateCommand(new ProjectOptions(), "--docker", "--project", project[0]);
        try (var django = Django.start(where.environment(where.project(), warning -> {}).python(), null,
                note -> {})) {
            if (project.length == 1) django.describe(1, List.of());
            System.out.println("begun");
            if (project.length > 1) django.describe(1, List.of());
            Thread.sleep(600_000);
        }
    }

    @ParameterizedTest @EnumSource
    void a_process_that_is_killed_or_interrupted_leaves_no_container(Docker.Compose compose) throws Exception {
        try (var project = ComposeProject.in(folder, compose).startDatabase()) {
            ended(project, Process::destroyForcibly);
            var settings = project.backend().resolve("crm_backend/settings.py");
            Files.writeString(settings, Files.readString(settings)
                    + "\nimport time; open('/tmp/asleep', 'w').close(); time.sleep(600)\n");
            ended(project, Process::destroyForcibly, "busy");
            ended(project, Process::destroy, "busy"); // SIGTERM stops the request and closes the conversation
        }
    }

    private static void ended(ComposeProject project, Consumer<Process> end, String... how) throws Exception {
        var args = Stream.concat(Stream.of(project.root().toString()), Stream.of(how)).toArray(String[]::new);
        var process = project.tool(DjangoInContainerTest.class.getName()).start(args);
        assertEquals("begun", process.inputReader().readLine(),
                () -> process.errorReader().lines().toList().toString());
        if (how.length > 0) await(() -> project.oneOffs().size() == 1
                && holds(project.oneOffs().getFirst(), "/tmp/asleep"), "not asleep");
        assertEquals(1, project.oneOffs().size());
        end.accept(process);
        assertTrue(process.waitFor(20, TimeUnit.SECONDS));
        awaitNoOneOff(project);
    }

    private static boolean holds(String container, String file) {
        try {
            Docker.run("exec", container, "test", "-e", file);
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }
}
