import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import support.Postgres;
import support.Python;
import support.Sample;
import support.SampleProject;
import support.Tool;

/** The database's password is in no command line, no output and no file except .env, after failures too. */
class SecretsTest {
    private static final String PASSWORD = "p'w \"d$x\\ üñ€ %s;";
    /** Unique parts of it: plain, percent-encoded, and escaped by JSON, Python and shells. */
    private static final List<String> TRACES = List.of("üñ€", "%c3%bc%c3%b1%e2%82%ac", "\\u00fc\\u00f1\\u20ac",
            "\\xfc\\xf1\\u20ac", "\\xc3\\xbc\\xc3\\xb1", "d$x", "d%24x", "d\\$x", "\\303\\274\\303\\261");

    private static int commands, found;
    private static final Set<String> PROCESSES = ConcurrentHashMap.newKeySet();

    @TempDir Path temp;
    private SampleProject project;
    private Postgres.Db db;

    @BeforeEach void projectWithAPassword() throws Exception {
        var role = new Postgres.Role("secretive_" + ProcessHandle.current().pid() + "_" + System.nanoTime(), PASSWORD);
        Postgres.execute(
                "CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'".formatted(role.name(), PASSWORD.replace("'", "''")));
        db = Postgres.database("secret_" + System.nanoTime(), role);
        project = SampleProject.tiny(
                        Files.createDirectory(temp.resolve("project")).toRealPath(),
                        Map.of(
                                "shop/models.py",
                                "from django.db import models\n"
                                        + "class Book(models.Model):\n"
                                        + "    title = models.CharField(max_length=9)\n",
                                "shop/migrations/0001_initial.py",
                                "broken (\n"))
                .env(db);
    }

    @AfterAll static void figures() {
        System.out.printf(
                "secrets: %d commands watched, %d processes read, found %d times%n", commands, PROCESSES.size(), found);
    }

    private static List<String> traces(String text) {
        var lower = text.toLowerCase(Locale.ROOT);
        return TRACES.stream().filter(lower::contains).toList();
    }

    /** Reads the command line of every process, repeatedly. */
    private static final class Watch implements AutoCloseable {
        private final Set<String> seen = ConcurrentHashMap.newKeySet();
        private volatile boolean ended;
        private final Thread thread = Thread.ofPlatform().daemon().start(() -> {
            while (!ended) look();
        });

        private void look() {
            try (var processes = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
                for (var process : processes) {
                    try {
                        var line = Files.readString(process.resolve("cmdline"));
                        PROCESSES.add(process + line);
                        if (!traces(line).isEmpty()) seen.add(line.replace('\0', ' '));
                    } catch (IOException ended) {
                        // or its arguments are no UTF-8
                    }
                }
                Thread.sleep(2);
            } catch (IOException | InterruptedException e) {
                ended = true;
            }
        }

        @Override public void close() throws InterruptedException {
            ended = true;
            thread.join();
        }
    }

    private Tool.Output watched(int code, String script, Map<String, String> environment, String... args)
            throws Exception {
        var state = temp.resolve("project.state");
        var tool = Tool.in(project.root(), script)
                .env("VIRTUAL_ENV", Python.venv().getParent().getParent().toString())
                .env("JAVA_TOOL_OPTIONS", "-Djava.io.tmpdir=" + Files.createDirectories(temp.resolve("tmp")));
        environment.forEach(tool::env);
        commands++;
        try (var watch = new Watch()) {
            var output = tool.env("TMPDIR", temp.resolve("tmp").toString()).run(args);
            var what = script + " " + String.join(" ", args) + "\n";
            nowhere(what + "a command line", watch.seen.toString());
            nowhere(what + "stdout", output.out());
            nowhere(what + "stderr", output.err());
            for (var folder : List.of(project.root(), state, temp.resolve("tmp"))) searched(what, folder);
            assertEquals(code, output.code(), what + output.all());
            return output;
        }
    }

    private static void nowhere(String where, String text) {
        var traces = traces(text);
        found += traces.size();
        assertEquals(
                List.of(),
                traces,
                () -> where + " holds the password: " + text.substring(0, Math.min(4000, text.length())));
    }

    private static void searched(String what, Path folder) throws IOException {
        if (!Files.exists(folder)) return;
        try (Stream<Path> all = Files.walk(folder)) {
            for (var file : all.filter(f -> Files.isRegularFile(f, LinkOption.NOFOLLOW_LINKS))
                    .toList())
                if (!file.getFileName().toString().equals(".env"))
                    nowhere(what + file, new String(Files.readAllBytes(file), StandardCharsets.UTF_8));
        }
    }

    /** Only the owner can read what a run or a backup leaves. */
    private void assertPrivate(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (var path : all.filter(p -> !p.getFileName().toString().matches("\\.gitignore|\\.lock"))
                    .toList())
                assertEquals(Files.isDirectory(path) ? "rwx------" : "rw-------",
                        PosixFilePermissions.toString(Files.getPosixFilePermissions(path)), path.toString());
        }
    }

    private Tool.Output reset(int code, String... args) throws Exception {
        return watched(code, "reset_migrations", Map.of(), args);
    }

    @Test void a_program_with_the_password_in_its_arguments_is_caught() throws Exception {
        try (var watch = new Watch()) {
            for (var form : List.of(
                    PASSWORD,
                    URLEncoder.encode(PASSWORD, StandardCharsets.UTF_8),
                    "--dbname=postgres://u:" + PASSWORD + "@h/d")) {
                watch.seen.clear();
                var program = new ProcessBuilder("sh", "-c", "sleep 0.2; exit", form).start();
                program.waitFor();
                assertTrue(!watch.seen.isEmpty(), form);
            }
        }
        var json = new com.google.gson.Gson().toJson(PASSWORD);
        for (var form : List.of(json, "'p\\'w \"d$x\\\\ \\xfc\\xf1\\u20ac %s;'", "$'p\\'w \"d$x\\\\ üñ€'"))
            assertTrue(!traces(form).isEmpty(), form);
    }

    @Test void every_command_keeps_it_to_itself() throws Exception {
        reset(0, "--dry-run", "--verbose");
        reset(0, "--yes", "--backup", "--strategy", "swap", "--verbose");
        reset(0, "status", "--json");
        for (var kept : List.of(project.root().resolve(".reset"), project.root().resolve("backups"),
                temp.resolve("project.state/reset_migrations"))) assertPrivate(kept);
        reset(0, "undo", "--yes", "--verbose");
        reset(0, "purge", "--yes", "--verbose");
        reset(0, "--yes", "--strategy", "park", "--json");
        reset(2, "finish", "--verbose");
        reset(0, "undo", "--yes");
        reset(0, "--yes", "--strategy", "drop", "--verbose");
        assertPrivate(project.root().resolve("backups"));
        Path dump;
        try (Stream<Path> all = Files.list(project.root().resolve("backups"))) {
            dump = all.filter(f -> f.toString().endsWith(".dump.zst")).findFirst().orElseThrow();
        }
        watched(0, "backup_database", Map.of(), "create", "--verbose");
        watched(0, "backup_database", Map.of(), "list", "--json");
        watched(0, "backup_database", Map.of(), "restore", dump.toString(), "--into", db.name() + "_restored",
                "--verbose");
    }

    @Tag("exhaustive") @Test void a_url_with_it_percent_encoded_is_kept_as_well() throws Exception {
        var encoded = URLEncoder.encode(PASSWORD, StandardCharsets.UTF_8).replace("+", "%20");
        Files.writeString(
                project.root().resolve(".env"),
                "DATABASE_URL='postgres://%s:%s@%s:%d/%s'\n"
                        .formatted(db.role().name(), encoded, db.host(), db.port(), db.name()));
        var settings = project.root().resolve("config/settings.py");
        Files.writeString(
                settings,
                Files.readString(settings)
                                .replace(
                                        "DATABASES = ",
                                        "from urllib.parse import urlsplit, unquote\n"
                                                + "url = urlsplit(os.environ['DATABASE_URL'])\n"
                                                + "DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql',"
                                                + " 'NAME': url.path[1:], 'USER': url.username, 'PASSWORD':"
                                                + " unquote(url.password), 'HOST': url.hostname, 'PORT': url.port}}\n"
                                                + "NONE = lambda: ")
                        + "\n");
        reset(0, "--yes", "--backup", "--verbose");
        reset(0, "undo", "--yes");
        Files.writeString(
                project.root().resolve("config/extra.py"),
                "import os\nraise Exception('no good: ' + os.environ['DATABASE_URL'])\n");
        reset(1, "--yes", "--verbose");
    }

    @Test void failures_keep_it_to_themselves() throws Exception {
        var extra = project.root().resolve("config/extra.py");
        for (var words : Sample.of(
                "failures",
                List.of(
                        "raise Exception(dict(os.environ))",
                        "raise Exception(os.environ['DB_PASSWORD'])",
                        "import json; raise Exception(json.dumps(dict(os.environ)))",
                        "import sys; print(dict(os.environ), file=sys.stderr, flush=True); os._exit(1)"),
                2)) {
            Files.writeString(extra, "import os\n" + words + "\n");
            reset(1, "--yes", "--verbose");
        }
        Files.delete(extra);
        SampleProject.write(project.root(), "shop/apps.py", """
            from django.apps import AppConfig
            from django.db.models.signals import post_migrate
            def fail(**kwargs):
                from django.conf import settings
                raise RuntimeError("cannot use %r" % settings.DATABASES)
            class C(AppConfig):
                name = "shop"
                def ready(self):
                    post_migrate.connect(fail)
            """);
        reset(1, "--yes", "--verbose", "--strategy", "swap");
        Files.delete(project.root().resolve("shop/apps.py"));

        var bin = Files.createDirectories(temp.resolve("bin"));
        var pgDump = Files.writeString(
                bin.resolve("pg_dump"),
                "#!/bin/sh\n"
                        + "case $1 in --version) echo 'pg_dump (PostgreSQL) 15.1'; exit;; esac\n"
                        + "echo \"connection failed: $PGPASSWORD\" >&2\n"
                        + "exit 1\n");
        pgDump.toFile().setExecutable(true);
        watched(1, "backup_database", Map.of("PATH", bin + ":" + System.getenv("PATH")), "create", "--verbose");

        project.env(new Postgres.Db(db.host(), 1, db.name(), db.role()));
        reset(1, "--yes", "--verbose");
        watched(1, "backup_database", Map.of(), "create", "--verbose");
        project.env(db.as(new Postgres.Role(db.role().name(), "wrong" + PASSWORD)));
        reset(2, "status", "--verbose");
        reset(2, "--yes", "--verbose");
    }
}
