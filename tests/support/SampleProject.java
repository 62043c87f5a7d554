package support;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A Django project to reset: the sample CRM of {@code tests/projects/crm}, or a small one that a test writes. */
public record SampleProject(Path root, Path backend) {

    /** Copies the sample CRM, without its history and its .env. */
    public static SampleProject copyTo(Path folder) throws IOException {
        var crm = Repo.root().resolve("tests/projects/crm");
        try (Stream<Path> all = Files.walk(crm)) {
            for (var source : all.filter(p -> !p.toString().contains("__pycache__") && !p.endsWith(".env")).toList()) {
                var target = folder.resolve(crm.relativize(source).toString());
                if (Files.isDirectory(source)) Files.createDirectories(target);
                else if (!source.endsWith("history.sql")) Files.copy(source, target);
            }
        }
        return new SampleProject(folder, folder.resolve("crm_backend"));
    }

    /**
     * A project with manage.py in its root, settings in {@code config/} that read .env, and the given files.
     * Each folder with a models.py or apps.py is an installed app; {@code config/extra.py} may set more, or add to
     * INSTALLED_APPS.
     *
     * @param files content by path
     */
    public static SampleProject tiny(Path folder, Map<String, String> files) throws IOException {
        var apps = files.keySet().stream().filter(f -> f.matches(".+/(models|apps)\\.py"))
            .map(f -> f.substring(0, f.lastIndexOf('/')).replace('/', '.'))
            .collect(Collectors.toCollection(TreeSet::new));
        write(folder, "manage.py", """
            import os, sys
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
            from django.core.management import execute_from_command_line
            execute_from_command_line(sys.argv)
            """);
        write(folder, "config/settings.py", """
            import os
            from pathlib import Path
            import dotenv
            BASE_DIR = Path(__file__).resolve().parent.parent
            dotenv.load_dotenv(BASE_DIR / ".env")
            SECRET_KEY = "only-for-tests"
            DEBUG = True
            USE_TZ = True
            DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
            INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"%s]
            DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", **{
                key: os.environ["DB_" + key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}}}
            try:
                from config.extra import *
            except ModuleNotFoundError as missing:
                if missing.name != "config.extra":
                    raise
            """.formatted(apps.stream().map(app -> ", \"" + app + "\"").collect(Collectors.joining())));
        for (var file : files.entrySet()) write(folder, file.getKey(), file.getValue());
        return new SampleProject(folder, folder);
    }

    /** Writes a file of the project; the packages of a .py file get their {@code __init__.py}. */
    public static void write(Path folder, String path, String text) throws IOException {
        var file = folder.resolve(path);
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
        for (var up = file.getParent(); path.endsWith(".py") && !up.equals(folder); up = up.getParent()) {
            var init = up.resolve("__init__.py");
            if (!Files.exists(init)) Files.writeString(init, "");
        }
    }

    /** Writes the root's .env, from .env.template if there is one. */
    public SampleProject env(Postgres.Db db) throws IOException {
        var template = root.resolve(".env.template");
        var other = new StringBuilder();
        if (Files.exists(template))
            for (var line : Files.readAllLines(template))
                if (!line.matches("DB_(NAME|USER|PASSWORD|HOST|PORT)=.*")) other.append(line).append("\n");
        var env = root.resolve(".env");
        Files.deleteIfExists(env);
        if (env.getFileSystem().supportedFileAttributeViews().contains("posix"))
            Files.createFile(env, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        Files.writeString(env, other + """
            DB_NAME=%s
            DB_USER=%s
            DB_PASSWORD=%s
            DB_HOST=%s
            DB_PORT=%s
            """.formatted(quoted(db.name()), quoted(db.role().name()), quoted(db.role().password()), quoted(db.host()),
            quoted("" + db.port())));
        return this;
    }

    /** As python-dotenv reads single quotes: only {@code \\} and {@code \'} are escapes. */
    private static String quoted(String value) {
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'";
    }

    /** The tables and rows of the broken history, into an empty database. */
    public void loadHistory(Connection connection) throws IOException, SQLException {
        try (var statement = connection.createStatement()) {
            statement.execute(Files.readString(Repo.root().resolve("tests/projects/crm/history.sql")));
        }
    }

    /** {@code manage.py ARGS…} with this interpreter. */
    public Python.Output manage(Path python, String... args) throws IOException {
        var command = Stream.concat(Stream.of(python.toString(), "manage.py"), Stream.of(args));
        return Python.run(backend, command.toArray(String[]::new));
    }
}
