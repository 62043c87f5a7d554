///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//SOURCES lib/Lib.java

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import lib.Aside;
import lib.Backup;
import lib.Cli;
import lib.Console;
import lib.Credentials;
import lib.Database;
import lib.Django;
import lib.DropTables;
import lib.Environment;
import lib.Failure;
import lib.Interpreter;
import lib.Lib;
import lib.Migrations;
import lib.ParkTables;
import lib.Plan;
import lib.PlanText;
import lib.Problem;
import lib.Project;
import lib.PutBackFiles;
import lib.ReplaceFiles;
import lib.Run;
import lib.Step;
import lib.Strategy;
import lib.SwapDatabase;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(name = "reset_migrations", mixinStandardHelpOptions = true, versionProvider = reset_migrations.Version.class, sortOptions = false,
        subcommands = {reset_migrations.Undo.class, reset_migrations.Status.class, reset_migrations.Purge.class},
        description = {"Gives a Django project on PostgreSQL one fresh set of migrations and a database that matches.",
                "The new state is built and proven beside the old one, then swapped in; undo swaps it back."})
public class reset_migrations implements Callable<Integer>, Cli.HasOutput {

    /** Where the project is; the same for every subcommand. */
    static final class Where {
        @Option(names = "--project", paramLabel = "DIR", defaultValue = ".", description = "The Django project, or any folder inside it (default: here).")
        Path folder;
        @Option(names = "--env-file", paramLabel = "FILE", description = "Read this file instead of the project's .env.")
        Path envFile;

        Project project() {
            return Project.find(folder);
        }
    }

    @Mixin Where where;
    @Option(names = "--python", paramLabel = "PATH", description = "The project's Python (default: $VIRTUAL_ENV, venv, .venv, env, then python3).")
    Path python;
    @Option(names = "--settings", paramLabel = "MODULE", description = "Django's settings module (default: what manage.py says).")
    String settings;
    @Option(names = "--apps", paramLabel = "LABEL", split = ",", description = "Renew the migrations of these own apps only (default: all own apps).")
    List<String> apps = List.of();
    @Option(names = "--strategy", paramLabel = "NAME", defaultValue = "auto",
            description = "auto, swap, park or drop (default: ${DEFAULT-VALUE}, the best that the role may do). drop destroys, after a backup.")
    Wanted strategy;
    @Option(names = "--dry-run", description = "Show the plan and change nothing.")
    boolean dryRun;
    @Option(names = "--yes", description = "Do not ask.")
    boolean yes;
    @Option(names = "--confirm-database", paramLabel = "NAME", description = "The database's name, as a script has to give it where a person has to type it.")
    String confirmDatabase;
    @Option(names = "--backup", negatable = true, description = "Take a verified backup first, or not even before --purge and drop.")
    Boolean backup;
    @Option(names = "--purge", description = "When all is done, drop what was set aside; takes a backup first.")
    boolean purge;
    @Option(names = "--superuser", negatable = true, description = "Create a superuser at the end, or do not ask for it.")
    Boolean superuser;
    @Option(names = "--terminate", description = "End sessions that stand in the way.")
    boolean terminate;
    @Option(names = "--allow-replication", description = "Go on in spite of publications, logical slots and prepared transactions.")
    boolean allowReplication;
    @Mixin Cli.Output output;

    /** What {@code --strategy} takes. */
    enum Wanted { auto, swap, park, drop }

    static final class Version implements IVersionProvider {
        @Override public String[] getVersion() {
            return new String[] {"${COMMAND-FULL-NAME} " + Lib.VERSION};
        }
    }

    public static void main(String... args) {
        System.exit(Cli.run(new reset_migrations(), args));
    }

    @Override public Cli.Output output() {
        return output;
    }

    @Override public Integer call() throws Exception {
        var console = output.console();
        var project = where.project();
        var environment = Environment.of(project, Credentials.of(project, where.envFile, System.getenv()), Interpreter.find(project, python, System.getenv()));
        environment.warnings().forEach(console::warn);
        try (var django = Django.start(environment.python(), settings, project.root(), console::progress);
             var db = Database.open(environment.database());
             var lock = dryRun ? null : db.lockRuns()) {
            refuseUnfinished(project, db);
            var reset = look(project, environment, django, db);
            reset.print(console);
            if (dryRun) return 0;
            confirm(console, reset);
            var run = reset.run(console);
            createSuperuser(console, reset);
            if (purge) purge(console, environment, run);
            reset.printSummary(console, run, purge);
            return 0;
        }
    }
}
