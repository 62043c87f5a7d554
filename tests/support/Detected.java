package lib;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import lib.environment.Detection;
import lib.environment.Environment;
import lib.project.Project;
import support.ComposeProject;

/** The environment that the scripts would detect for a project, for one of the Composes of this machine and without a script around it. */
public final class Detected {
    private Detected() {}

    /** @param python as {@code --python}, or null */
    public static Environment in(ComposeProject project, Path python) throws IOException {
        var shell = new HashMap<>(System.getenv());
        shell.put("PATH", project.version().onlyOn(project.root().resolveSibling(project.name() + ".bin")));
        return new Detection(Project.find(project.root()), Detection.Wanted.DOCKER, null, null, "backend", false, () -> null, python, shell, warning -> {}).environment();
    }
}
