package lib.environment;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import lib.project.Settings;
import picocli.CommandLine;
import support.ComposeProject;

/** The environment that the scripts would find for a project, with one of this machine's Composes. */
public final class Detected {
    private Detected() {}

    /** @param python as {@code --python}, or null */
    public static Environment in(ComposeProject project, Path python) throws IOException {
        var shell = new HashMap<>(System.getenv());
        shell.put("PATH", project.version().onlyOn(project.root().resolveSibling(project.name() + ".bin")));
        var options = CommandLine.populateCommand(new ProjectOptions(), "--project", project.root().toString(),
            "--docker", "--app-service", "backend");
        options.python = python;
        return options.environment(Settings.read(options.project(), null, shell), warning -> {});
    }
}
