package lib.django;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import lib.files.Disk;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.opentest4j.AssertionFailedError;
import support.Postgres;
import support.Python;
import support.Repo;
import support.SampleProject;
import support.Tool;

/** Only files of the apps that are reset are written: nothing into installed packages, nothing into other own apps. */
class OnlyChosenAppsTest {
    /** Django 3.2 works on newer Pythons when modules that these no longer have are installed. */
    private static final String DJANGO_3_2 = """
        django==3.2.25
        django-taggit==1.3.0
        psycopg2-binary
        python-dotenv
        setuptools<81; python_version >= "3.12"
        legacy-cgi; python_version >= "3.13"
        """;

    private static final String TAGGED_BLOG = """
        from django.db import models
        from taggit.managers import TaggableManager

        class Post(models.Model):
            title = models.CharField(max_length=100)
            tags = TaggableManager()
        """;
    private static final String WITH_TAGGIT = """
        from config.settings import INSTALLED_APPS
        INSTALLED_APPS = INSTALLED_APPS + ["taggit"]
        """;
    private static final String FIELD_ADDED_TO_GROUP = """
        from django.contrib.auth.models import Group
        from django.db import models

        models.CharField(max_length=9, null=True, unique=True).contribute_to_class(Group, "code")

        """;

    @TempDir Path temp;
    private Path root;
    private Path python;

    @BeforeEach void folder() throws IOException {
        root = Files.createDirectory(temp.resolve("site")).toRealPath();
    }

    /** A virtual environment for this class only, so that no other test changes its files. */
    private Path venv(String requirements) throws IOException {
        var file = temp.resolve("requirements.txt");
        return Python.venv(Files.writeString(file, requirements + "# for OnlyChosenAppsTest\n"));
    }

    private Path newestDjango() throws IOException {
        return venv(Files.readString(Repo.root().resolve("tests/projects/requirements.txt")));
    }

    private SampleProject project(Map<String, String> files) throws IOException {
        return SampleProject.tiny(root, files).env(Postgres.database(Postgres.role("site", "CREATEDB")));
    }

    private Tool.Output reset(String... args) throws Exception {
        return Tool.in(root, "reset_migrations").env("VIRTUAL_ENV", venvFolder().toString()).run(args);
    }

    private Path venvFolder() {
        return python.getParent().getParent();
    }

    /** Every file below a folder with its hash, also compiled Python. */
    private static List<String> hashes(Path folder) throws IOException {
        var lines = new ArrayList<String>();
        try (var files = Files.walk(folder)) {
            for (var file : files.sorted().toList()) {
                lines.add(folder.relativize(file) + " " + (Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                    ? Disk.sha256(Files.readAllBytes(file)) : ""));
            }
        }
        return lines;
    }

    /** The same files with the same hashes; a failure shows only those that differ. */
    private static void assertSame(List<String> before, List<String> after) {
        assertEquals(less(before, after), less(after, before));
    }

    private static List<String> less(List<String> some, List<String> others) {
        var left = new LinkedHashSet<>(some);
        left.removeAll(new HashSet<>(others));
        return List.copyOf(left);
    }

    /** All files that a reset must not write: without its own folder and the chosen apps' migrations. */
    private List<String> outside(String... chosen) throws IOException {
        var lines = new ArrayList<>(hashes(root));
        lines.removeIf(line -> line.startsWith(".reset"));
        for (var app : chosen) lines.removeIf(line -> line.startsWith(app + "/migrations"));
        return lines;
    }

    private void assertDependsOn(String other, String migration, String app) throws IOException {
        var fresh = Files.readString(root.resolve(app + "/migrations/0001_initial.py"));
        assertTrue(fresh.replace('\'', '"').contains("(\"%s\", \"%s\")".formatted(other, migration)), fresh);
    }

    private void assertMigrated(SampleProject project) throws IOException {
        var check = project.manage(python, "migrate", "--check");
        assertEquals(0, check.code(), check.text());
    }

    private void resetWritesOnly(SampleProject project, String app, String... options) throws Exception {
        var packages = hashes(venvFolder());
        var all = hashes(root);
        reset(with(options, "--dry-run")).ended(0, "dry run: nothing was changed");
        assertSame(packages, hashes(venvFolder()));
        assertSame(all, hashes(root));
        var others = outside(app);
        reset(with(options, "--yes")).done();
        assertSame(packages, hashes(venvFolder()));
        assertSame(others, outside(app));
        assertMigrated(project);
    }

    private void refusedWithoutAnyChange(String problem, String next, String... options) throws Exception {
        var packages = hashes(venvFolder());
        var all = hashes(root);
        for (var how : List.of("--dry-run", "--yes")) {
            reset(with(options, how))
                .ended(4, "the new migrations need changes in apps that are not reset:\n  " + problem + "\n", next);
            assertSame(packages, hashes(venvFolder()));
            assertSame(all, outside());
        }
    }

    private static String[] with(String[] options, String more) {
        var all = new ArrayList<>(List.of(options));
        all.add(more);
        return all.toArray(String[]::new);
    }

    // ---- installed packages ------------------------------------------------------------------

    @Test void a_package_whose_models_have_changes_gets_no_migration() throws Exception {
        python = venv(DJANGO_3_2);
        var project = project(Map.of(
                "blog/models.py", TAGGED_BLOG, "config/extra.py", WITH_TAGGIT, "blog/migrations/0001_initial.py", """
                from django.db import migrations

                class Migration(migrations.Migration):
                    initial = True
                    dependencies = [("taggit", "0003_taggeditem_add_unique_index")]
                    operations = []
                """));
        resetWritesOnly(project, "blog");
        assertDependsOn("taggit", "0003_taggeditem_add_unique_index", "blog");
    }

    /** The negative control: Django writes a file into the package here, and the hashes show it. */
    @Test void makemigrations_of_the_same_app_writes_into_the_package() throws Exception {
        python = venv(DJANGO_3_2);
        project(Map.of("blog/models.py", TAGGED_BLOG, "blog/migrations/__init__.py", "",
            "config/extra.py", WITH_TAGGIT));
        var purelib = Python.run(root, python.toString(), "-c",
            "import sysconfig; print(sysconfig.get_path('purelib'))").text().strip();
        var copy = temp.resolve("copy");
        try (var files = Files.walk(Path.of(purelib, "taggit"))) {
            for (var file : files.toList()) {
                var target = copy.resolve(Path.of(purelib).relativize(file).toString());
                if (Files.isDirectory(file)) Files.createDirectories(target);
                else Files.copy(file, target);
            }
        }
        var before = hashes(copy);
        assertSame(before, hashes(copy));
        var made = Python.run(root, python.toString(), "-c", """
            import runpy, sys
            sys.path[:0] = ["%s", "."]
            sys.argv = ["manage.py", "makemigrations", "blog"]
            runpy.run_path("manage.py", run_name="__main__")
            """.formatted(copy));
        assertEquals(0, made.code(), made.text());
        var noticed = assertThrows(AssertionFailedError.class, () -> assertSame(before, hashes(copy))).getMessage();
        assertTrue(noticed.matches("(?s).*<\\[taggit/migrations/0004_auto_\\w+\\.py \\w{64}]>.*"), noticed);
    }

    @Tag("exhaustive") @Test void a_field_that_the_project_adds_to_a_packages_model_is_a_warning() throws Exception {
        python = newestDjango();
        var project = project(Map.of("blog/models.py", FIELD_ADDED_TO_GROUP + """
            class Team(models.Model):
                group = models.ForeignKey(Group, on_delete=models.CASCADE)
            """));
        reset("--dry-run").ended(0, "no migration makes this change of the app auth, so the new database will not have"
                + " it: Add field code to group");
        resetWritesOnly(project, "blog");
        assertDependsOn("auth", "0012_alter_user_first_name_max_length", "blog");
    }

    @Tag("exhaustive") @Test void a_foreign_key_to_such_a_field_is_refused_by_name() throws Exception {
        python = newestDjango();
        project(Map.of("blog/models.py", FIELD_ADDED_TO_GROUP + """
            class Team(models.Model):
                group = models.ForeignKey(Group, on_delete=models.CASCADE, to_field="code")
            """));
        refusedWithoutAnyChange("blog (Add field group to team) needs a migration in auth (Add field code to group)",
            "make the migrations of auth the project's own with MIGRATION_MODULES, or do without that change");
    }

    @Tag("exhaustive")
    @Test
    void a_foreign_key_to_a_model_that_a_package_has_no_migration_for_is_refused_by_name() throws Exception {
        python = newestDjango();
        project(Map.of("blog/models.py", """
            from django.db import models

            class Badge(models.Model):
                class Meta:
                    app_label = "auth"

            class Team(models.Model):
                badges = models.ManyToManyField(Badge)
            """));
        refusedWithoutAnyChange("blog (Add field badges to team) needs a migration in auth (Create model Badge)",
            "make the migrations of auth the project's own with MIGRATION_MODULES, or do without that change");
    }

    // ---- everything outside the project ------------------------------------------------------

    /** The environment's files, and everything around the project but the tool's own records of its runs. */
    private List<String> surroundings() throws IOException {
        var lines = new ArrayList<>(hashes(temp));
        lines.removeIf(line -> line.startsWith("site/") || line.startsWith("site.state"));
        hashes(venvFolder()).forEach(line -> lines.add("venv/" + line));
        return lines;
    }

    private Map<String, String> homeWithBlack() throws IOException {
        var home = Files.createDirectory(temp.resolve("home"));
        var black = Files.writeString(Files.createDirectory(temp.resolve("bin")).resolve("black"), """
            #!/bin/sh
            cache=${BLACK_CACHE_DIR:-$HOME/.cache/black}
            mkdir -p "$cache" && echo "$@" > "$cache/cache.pickle"
            """);
        assertTrue(black.toFile().setExecutable(true));
        return Map.of("HOME", home.toString(), "XDG_CACHE_HOME", "",
            "PATH", black.getParent() + ":" + System.getenv("PATH"));
    }

    @Test void a_dry_run_writes_nothing_outside_the_project() throws Exception {
        writeNothingOutside("--dry-run");
    }

    @Tag("exhaustive") @Test void no_command_writes_outside_the_project() throws Exception {
        writeNothingOutside("--dry-run --losses", "--yes", "status", "undo --yes", "--yes", "purge --yes --no-backup");
    }

    private void writeNothingOutside(String... commands) throws Exception {
        python = newestDjango();
        project(Map.of("shop/models.py", "from django.db import models\nclass Sale(models.Model): pass\n"));
        var environment = homeWithBlack();
        var surroundings = surroundings();
        for (var command : commands) {
            var inside = hashes(root);
            var tool = Tool.in(root, "reset_migrations").env("VIRTUAL_ENV", venvFolder().toString());
            environment.forEach(tool::env);
            tool.run(command.split(" ")).done();
            assertSame(surroundings, surroundings());
            if (!command.contains("--yes")) assertSame(inside, hashes(root));
        }
        // the negative control
        SampleProject.write(root, "shop/models.py", "from django.db import models\nclass Buy(models.Model): pass\n");
        var makemigrations = new ProcessBuilder(python.toString(), "manage.py", "makemigrations", "shop", "--noinput")
            .directory(root.toFile()).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD);
        makemigrations.environment().putAll(environment);
        assertEquals(0, makemigrations.start().waitFor());
        var noticed = assertThrows(AssertionFailedError.class, () -> assertSame(surroundings, surroundings()));
        assertTrue(noticed.getMessage().contains("home/.cache/black/cache.pickle"), noticed.getMessage());
    }

    // ---- own apps that --apps leaves out -----------------------------------------------------

    private static final Map<String, String> STOCK =
            Map.of("stock/models.py", """
                from django.db import models

                class Item(models.Model):
                    price = models.IntegerField(null=True)

                class Shelf(models.Model):
                    pass
                """, "stock/migrations/0001_first.py", """
                from django.db import migrations, models

                class Migration(migrations.Migration):
                    initial = True
                    dependencies = []
                    operations = [migrations.CreateModel("Item", [
                        ("id", models.BigAutoField(primary_key=True, serialize=False))])]
                """);

    private SampleProject shopWith(String field) throws IOException {
        var files = new HashMap<>(STOCK);
        files.put("shop/models.py", """
            from django.db import models

            class Sale(models.Model):
                what = %s
            """.formatted(field));
        return project(files);
    }

    @Test void an_app_that_is_left_out_gets_no_file_though_its_models_have_changed() throws Exception {
        python = newestDjango();
        var project = shopWith("models.ForeignKey('stock.Item', on_delete=models.CASCADE)");
        resetWritesOnly(project, "shop", "--apps", "shop");
        assertDependsOn("stock", "0001_first", "shop");
    }

    @Test void an_app_that_is_left_out_but_whose_changes_are_needed_is_named() throws Exception {
        python = newestDjango();
        shopWith("models.ForeignKey('stock.Shelf', on_delete=models.CASCADE)");
        refusedWithoutAnyChange("shop (Add field what to sale) needs a migration in stock (Create model Shelf)",
            "reset stock too: leave --apps out, or add it", "--apps", "shop");
    }
}
