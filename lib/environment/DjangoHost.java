package lib.environment;

import lib.django.Description;
import lib.django.PythonCommand;
import lib.process.Program;

/** Where the project's Python runs. */
interface DjangoHost {
    /** The project's Python in the backend's folder, for the driver. */
    PythonCommand python();

    /**
     * {@code manage.py ARGUMENTS…} with the Python that {@code django} describes.
     *
     * @param terminal the command asks the user itself: {@link Program#interactive}
     */
    Program manage(boolean terminal, Description django, String... arguments);

    /** The same command, to paste into a shell. */
    String commandLine(Description django, String... arguments);

    /** True when Django's code is in an image, which contains the old migrations until it is built again. */
    boolean imageHasCode();
}
