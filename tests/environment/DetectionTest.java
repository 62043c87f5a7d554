package lib.environment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.ComposeProject;
import support.Docker;
import support.Postgres;
import support.Python;
import support.Tool;

/** Which database is used when there are two. */
@Tag("docker") @Tag("exhaustive")
class DetectionTest {
    @TempDir Path temp;

    private static void ended(int code, Tool.Output said, String words) {
        assertEquals(code, said.code(), said.all());
        assertTrue(said.all().contains(words), words + "\n" + said.all());
    }

    @Test void when_two_databases_reply_the_user_has_to_choose() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).startDatabase()) {
            ended(0, project.tool("backup_database").run(), "in Compose project " + project.name());

            var local = Postgres.database();
            project.editEnv(text -> text.replaceAll("(?m)^DB_.*\n?", "")).root();
            var env = Files.readString(project.root().resolve(".env"));
            Files.writeString(
                    project.root().resolve(".env"),
                    env
                            + """
                            DB_NAME='%s'
                            DB_USER='%s'
                            DB_PASSWORD='%s'
                            DB_HOST='%s'
                            DB_PORT='%d'
                            """.formatted(local.name(), local.role().name(), local.role().password(), local.host(),
                                            local.port()));
            ended(4, project.tool("backup_database").run(), "there are two possible databases: .env names ");
            ended(4, project.tool("reset_migrations").run("--dry-run"),
                    "give --docker for the service's database, or --local for the one that .env names");
            ended(0, project.tool("backup_database").run("--local"), local.name());
            for (var meant : new String[][] {{"--docker"}, {"--db-service", "db"}, {"--app-service", "backend"}})
                // as Django in the container
                ended(1, project.tool("backup_database")
                        .run(meant), "no connection to port " + local.port() + " in container");

            project.compose("stop", "db"); // one is left
            ended(0, project.tool("backup_database").run(), local.name());
            project.edit(yaml -> yaml.replace("- DB_HOST=db\n", "- DB_HOST=db\n      - DB_PORT=5432\n"));
            // the compose file names db, and nothing names localhost
            project.editEnv(text -> text.replaceAll("(?m)^DB_HOST=.*\n", ""));
            ended(4, project.tool("backup_database").run(), "there are two possible databases: .env names ");
            ended(2, project.tool("backup_database")
                    .run("--db-service", "db", "--local"), "--local and --db-service exclude each other");
        }
    }

    @Test void two_databases_of_one_server_are_different_databases() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).published().startDatabase()) {
            project.edit(yaml -> yaml.replace("      - DB_HOST=db\n",
                    "      - DB_HOST=db\n      - DB_NAME=crm_dev\n      - DB_PORT=5432\n"));
            var published = project.compose("port", "db", "5432").strip().split(":");
            project.editEnv(text -> text.replaceAll("(?m)^DB_HOST=.*$", "DB_HOST=" + published[0])
                    .replaceAll("(?m)^DB_PORT=.*$", "DB_PORT=" + published[1]));
            ended(0, project.tool("backup_database").run(), "crm_dev in Compose project " + project.name());

            project.editEnv(text -> text.replaceAll("(?m)^DB_NAME=.*$", "DB_NAME=crm_two"));
            // the other one does not exist
            ended(0, project.tool("backup_database").run(), "crm_dev in Compose project " + project.name());
            project.query("CREATE DATABASE crm_two");
            ended(4, project.tool("backup_database").run(), "/crm_two, and the service db of Compose project");
            ended(0, project.tool("backup_database").run("--docker"), "crm_dev in Compose project " + project.name());
            ended(0, project.tool("backup_database").run("--local"), "/crm_two");

            // this shell's variables are not the containers'
            project.editEnv(text -> text.replaceAll("(?m)^DB_HOST=.*$", "DB_HOST=db")
                    .replaceAll("(?m)^DB_PORT=.*$", "DB_PORT=5432"));
            ended(4, project.tool("backup_database").env("DB_NAME", "crm_three")
                    .run(), "DB_NAME is crm_three in this shell, but crm_dev in the containers of service backend");
            ended(0, project.tool("backup_database").env("DB_NAME", "crm_three")
                    .run("--docker"), "crm_dev in Compose project " + project.name());
            project.edit(yaml -> yaml.replaceFirst("- DB_HOST=db", "- DB_HOST=pg.crm.example"));
            ended(4, project.tool("backup_database").run(), "the service backend gets DB_HOST=pg.crm.example");
            project.edit(yaml -> yaml.replaceFirst("- DB_HOST=pg.crm.example", "- DB_HOST=db"));

            // only the compose file names the service; --env-file has priority
            project.editEnv(text -> text.replaceAll("(?m)^DB_HOST=.*\n", ""));
            ended(0, project.tool("backup_database").run(), "crm_dev in Compose project " + project.name());
            ended(4, project.tool("backup_database").env("DB_NAME", "crm_three")
                    .run(), "DB_NAME is crm_three in this shell");
            Files.writeString(project.root()
                    .resolve("url.env"), "DATABASE_URL=postgres://crm_user:pa55%20word%231@db/crm_two\n");
            ended(0, project.tool("backup_database")
                    .run("--env-file", "url.env"), "crm_two in Compose project " + project.name());
            Files.writeString(project.root().resolve("two.env"), "DB_HOST=db\nDB_NAME=crm_two\n");
            ended(0, project.tool("backup_database")
                    .run("--env-file", "two.env"), "crm_two in Compose project " + project.name());
        }
    }

    /** The compose file alone names the database; Django on this machine would have the settings' defaults. */
    @Test void the_defaults_of_djangos_settings_do_not_count_where_a_service_has_the_code() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2).startDatabase()) {
            project.edit(yaml -> yaml.replaceAll("\\$\\{DB_NAME\\S+", "crm_dev")
                    .replaceAll("\\$\\{DB_USER:-crm}\n", "crm_user\n")
                    .replaceAll("\\$\\{DB_PASSWORD.*", "'pa55 word#1'")
                    .replace("- DB_HOST=db\n", "- DB_HOST=db\n      - DB_NAME=crm_dev\n      - DB_USER=crm_user\n"
                            + "      - DB_PASSWORD=pa55 word#1\n"));
            project.editEnv(text -> text.replaceAll("(?m)^DB_.*\n?", ""));
            var local = Postgres.database();
            var file = project.backend().resolve("crm_backend/settings.py");
            Files.writeString(file, Files.readString(file) + """
                    DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql",
                        "NAME": os.getenv("DB_NAME", "%s"), "USER": os.getenv("DB_USER", "%s"),
                        "PASSWORD": os.getenv("DB_PASSWORD", "%s"), "HOST": os.getenv("DB_HOST", "%s"),
                        "PORT": os.getenv("DB_PORT", "%d" if "DB_HOST" not in os.environ else "5432")}
                    """.formatted(local.name(), local.role().name(), local.role().password(), local.host(),
                            local.port()));
            ended(0, backup(project), "crm_dev in Compose project " + project.name());
            project.compose("stop", "db");
            var stopped = backup(project);
            assertTrue(!stopped.all().contains("DB_HOST is not its name") && !stopped.all().contains(local.name()),
                    stopped.all());
            Files.delete(project.composeFile()); // the control: nothing but Django's settings is left
            ended(0, backup(project), local.name());
        }
    }

    private static Tool.Output backup(ComposeProject project) throws Exception {
        return project.tool("backup_database").env("VIRTUAL_ENV",
                Python.venv().getParent().getParent().toString()).run();
    }

    /** Without its container, data outside a named volume would be lost. */
    @Test void a_container_with_the_data_in_itself_is_kept() throws Exception {
        try (var project = ComposeProject.in(temp, Docker.Compose.V2)) {
            project.edit(yaml -> yaml.replace("    volumes:\n      - postgres_data:/var/lib/postgresql/data/\n", ""));
            project.compose("build");
            project.tool("reset_migrations").run("--yes", "--no-superuser").done();
            assertEquals("exited", project.containers().get("db").state());
            project.compose("up", "-d", "db");
            project.await("db", container -> container.health().equals("healthy"));
            assertEquals("t", project.query("SELECT count(*) > 0 FROM django_migrations"));
        }
    }
}
