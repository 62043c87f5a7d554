package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.parallel.ExecutionMode.CONCURRENT;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import support.ComposeProject;
import support.Docker;
import support.Tool;

/** The project's containers change before or during a run. */
@Tag("docker") @Tag("exhaustive")
class ComposeMeanwhileTest {
    private static final Docker.Compose V2 = Docker.Compose.V2;

    @TempDir Path temp;

    private interface Act {
        void run() throws Exception;
    }

    /** Stops a script at this point, does something else, and continues the script. */
    private static Tool.Output meanwhile(ComposeProject project, String point, Act act, String... script)
            throws Exception {
        var tool = project.tool("support.SignalAt");
        var args = new ArrayList<>(List.of("STOP", "self", point));
        args.addAll(List.of(script));
        var process = tool.start(args.toArray(String[]::new));
        for (int i = 0; !Files.readString(Path.of("/proc", "" + process.pid(), "stat")).replaceFirst(".*\\) ", "")
                .startsWith("T"); i++) {
            if (i > 1200) throw new IllegalStateException("it never reached " + point);
            Thread.sleep(50);
        }
        try {
            act.run();
        } finally {
            new ProcessBuilder("kill", "-CONT", "" + process.pid()).start().waitFor();
        }
        return tool.end(process);
    }

    @Test @Execution(CONCURRENT) void a_container_that_was_replaced_since_the_plan_is_stopped_and_started_again()
            throws Exception {
        try (var project = ComposeProject.in(temp, V2).start()) {
            var before = project.snapshot();
            var made = new TreeMap<String, String>();
            var said = meanwhile(project, "before: stop .*", () -> {
                project.compose("up", "-d", "--no-deps", "--force-recreate", "--scale", "worker=2", "worker");
                project.awaitSessions();
                made.putAll(workers(project));
            }, "reset_migrations", "--yes", "--no-superuser").done();
            assertTrue(said.out().contains("started again: backend, worker"), said.all());
            var now = workers(project);
            assertEquals(2, now.size());
            assertEquals(made.keySet(), now.keySet());
            // both were down for the swap
            assertTrue(made.values().stream().noneMatch(now::containsValue), made + " " + now);
            project.awaitSessions();
            project.tool("reset_migrations").run("undo", "--yes").done();
            assertEquals(before, project.snapshot());
        }
    }

    /** The running workers: id and start time. */
    private static Map<String, String> workers(ComposeProject project) throws Exception {
        var ids = Docker.run("ps", "-q", "--filter", "label=com.docker.compose.project="
                + project.name(), "--filter", "label=com.docker.compose.service=worker").lines().toList();
        var workers = new TreeMap<String, String>();
        for (var id : ids) workers.put(id, Docker.run("inspect", "-f", "{{.State.StartedAt}}", id).strip());
        return workers;
    }

    @Test @Execution(CONCURRENT) void a_database_that_others_use_by_now_is_left_running() throws Exception {
        try (var project = ComposeProject.in(temp, V2).startDatabase()) {
            project.compose("stop");
            meanwhile(project, "before: read it back .*", () -> project.compose("up", "-d", "--no-deps", "worker"),
                    "backup_database")
                .ended(0, "the service db was stopped before, and is left running: in use by worker");
            assertEquals("running", project.containers().get("db").state());

            project.compose("stop");
            meanwhile(project, "before: read it back .*", () -> {
                Docker.run("exec", "-d", project.id("db"), "psql", "-h", "127.0.0.1", "-U", "crm_user", "-d", "crm_dev",
                        "-c", "SELECT pg_sleep(600)");
                Thread.sleep(2_500);
            }, "backup_database").ended(0, "is left running: in use by pid ", "SELECT pg_sleep(600)");
            assertEquals("running", project.containers().get("db").state());

            project.compose("stop");
            assertFalse(project.tool("backup_database").run().done().all().contains("left running")); // nothing uses it
            assertEquals("exited", project.containers().get("db").state());
        }
    }

    @Test @Execution(CONCURRENT) void a_database_whose_volume_is_gone_is_not_backed_up() throws Exception {
        try (var project = ComposeProject.in(temp, V2).startDatabase()) {
            project.compose("down");
            // its volume still exists
            project.tool("backup_database").run().ended(0, "the service db had no container");
            project.compose("down", "-v");
            project.tool("backup_database").run()
                    .ended(4, "the service db had no container", "there is nothing to back up");
            assertEquals(Set.of(), project.containers().keySet());
            project.compose("up", "-d", "db");
            project.await("db", container -> container.health().equals("healthy"));
            project.tool("backup_database").run().ended(4, "there is nothing to back up"); // nor the next night
            project.tool("backup_database").run("--dir", "new").done();
            try (var files = Files.list(project.root().resolve("backups"))) {
                assertEquals(1, files.filter(file -> file.toString().endsWith(".zst")).count());
            }
        }
    }

    /** Monitoring needs the age of the latest backup even when something does not run. */
    @Test @Execution(CONCURRENT) void status_and_prune_work_while_the_database_does_not_run() throws Exception {
        try (var project = ComposeProject.in(temp, V2)) {
            var port = freePort();
            project.edit(yaml -> yaml.replace("- DB_HOST=db\n", "- DB_HOST=db\n      - DB_PORT=5432\n")
                .replace("    restart: unless-stopped\n\n  backend:",
                        "    ports: [\"127.0.0.1:%d:5432\"]\n    restart: unless-stopped\n\n  backend:"
                        .formatted(port)));
            project.startDatabase();
            for (var host : List.of("db", "localhost")) {
                if (host.equals("localhost"))
                    project.editEnv(text -> text.replaceAll("(?m)^DB_HOST=.*$", "DB_HOST=localhost")
                            .replaceAll("(?m)^DB_PORT=.*$", "DB_PORT=" + port));
                project.compose("up", "-d", "db");
                project.await("db", container -> container.health().equals("healthy"));
                project.tool("backup_database").run().ended(0, "in Compose project " + project.name());
                project.compose("stop", "db");
                project.tool("backup_database").run("status", "--max-age", "1h").done();
                project.tool("backup_database").env("DOCKER_HOST", "unix:///nowhere").run("status", "--max-age", "1h")
                        .done();
                project.tool("backup_database").env("DOCKER_HOST", "unix:///nowhere").run("prune", "--keep-last", "1")
                        .ended(0, host.equals("db") ? "removed 0 of 1" : "removed 1 of 2");
            }
            // another database, without backups
            project.tool("backup_database").run("status", "--max-age", "1h", "--local").ended(1);
        }
    }

    private static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    @Test @Execution(CONCURRENT) void an_image_that_was_built_after_a_kill_has_the_new_files() throws Exception {
        try (var project = ComposeProject.in(temp, V2).baked().start()) {
            project.tool("support.SignalAt")
                    .run("KILL", "self", "after: rename .*", "reset_migrations", "--yes", "--no-superuser")
                    .ended(137, "but backend, worker only after a new build of the image");
            project.tool("reset_migrations").run("status").ended(0, "services   backend, worker");
            project.compose("up", "-d", "--build");
            project.await("backend", container -> container.health().equals("healthy"));
            project.tool("reset_migrations").run("finish").ended(0, "started again: backend, worker");

            project.tool("support.SignalAt")
                    .run("KILL", "self", "after: rename .*", "reset_migrations", "--yes", "--no-superuser").ended(137);
            // without a new build
            project.tool("reset_migrations").run("finish").ended(3, "left stopped", "backend, worker");
            assertEquals("exited", project.containers().get("worker").state());
        }
    }
}
