package lib.django;

import java.nio.file.Path;
import java.util.function.Predicate;
import lib.process.Program;

/**
 * How to start the project's Python, here or in a container.
 *
 * @param start     the command, without Python's arguments
 * @param root      the project's root as this Python sees it; null: the folder of manage.py
 * @param backend   the folder of manage.py here
 * @param paths     which path in the container is which here
 * @param container null on this machine
 */
public record PythonCommand(Program start, String root, Path backend, CodePaths paths, Container container) {

    /**
     * @param service  its name in Compose
     * @param managePy SHA-256 of manage.py when the code is in the image and its folder is unknown; null when the code
     *                 is mounted and Python starts in that folder
     * @param noise    recognizes Compose's own lines on standard error
     * @param remove   removes the container
     */
    public record Container(String service, String managePy, Predicate<String> noise, Runnable remove) {}

    /** What the start command of a container prints when it finds no Python. */
    public static final String NO_PYTHON = "there is no Python here";

    public static PythonCommand local(Program python, Path root) {
        return new PythonCommand(python, root.toString(), null, CodePaths.SAME, null);
    }

    /** Whether the code is in the image, so that a change here does not reach it. */
    boolean codeInImage() {
        return container != null && container.managePy() != null;
    }
}
