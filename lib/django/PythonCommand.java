package lib.django;

import java.nio.file.Path;
import java.util.function.Predicate;
import lib.process.Program;

/**
 * How the project's Python is started, here or in a container.
 *
 * @param start     Python's arguments may follow
 * @param root      the project's root as this Python sees it; null: the folder of manage.py
 * @param backend   the folder of manage.py here
 * @param paths     which path in the container is which here
 * @param container null on this machine
 */
public record PythonCommand(Program start, String root, Path backend, CodePaths paths, Container container) {

    /**
     * @param service  its name in Compose
     * @param managePy SHA-256 of manage.py when the code is the image's own, and its folder has to be found; null when
     *                 the code is mounted and Python starts in that folder
     * @param noise    lines of standard error that Compose wrote
     * @param remove   removes the container
     */
    public record Container(String service, String managePy, Predicate<String> noise, Runnable remove) {}

    /** What a container's start prints when it finds no Python. */
    public static final String NO_PYTHON = "there is no Python here";

    public static PythonCommand local(Program python, Path root) {
        return new PythonCommand(python, root.toString(), null, CodePaths.SAME, null);
    }

    /** The code is the image's own: a change here does not reach it. */
    boolean codeInImage() {
        return container != null && container.managePy() != null;
    }
}
