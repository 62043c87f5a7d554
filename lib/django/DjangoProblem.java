package lib.django;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Shell;

/** Failures of the Python process. */
public interface DjangoProblem extends Problem {
    /**
     * @param requirements the file that names what the project needs, or null
     * @param venv         the virtual environment to create, because the interpreter is the system's; null: it is not
     */
    record NoDjango(String interpreter, String requirements, String venv) implements DjangoProblem {
        public ExitCode exit() { return ExitCode.USAGE; }
        public String what() { return "Django is not installed for " + interpreter; }
        public List<String> next() {
            var commands = install().stream().map(Shell::line).collect(Collectors.joining(" && "));
            return List.of("install what the project needs: " + commands, "or name the interpreter that has it: "
                    + elsewhere() + ", or activate its virtual environment");
        }

        /** Poetry and Pipenv keep virtual environments in folders of their own. */
        private String elsewhere() {
            return switch (tool()) {
                case "poetry.lock" -> pythonOf("poetry", "--directory", folder(), "env", "info", "--executable");
                case "Pipfile" -> pythonOf("env", "PIPENV_PIPFILE=" + requirements, "pipenv", "--py");
                default -> "--python PATH";
            };
        }

        private static String pythonOf(String... command) {
            return "--python \"$(" + Shell.line(command) + ")\"";
        }

        private String tool() {
            return requirements == null ? "" : Path.of(requirements).getFileName().toString();
        }

        private String folder() {
            return Path.of(requirements).getParent().toString();
        }

        /** The reason for this failure or for one behind it; null when it is another. */
        public static NoDjango in(Throwable failure) {
            for (var at = failure; at != null; at = at.getCause())
                if (at instanceof Failure one && one.problem() instanceof NoDjango missing) return missing;
            return null;
        }

        /** The commands that install it, into no system's Python. */
        public List<List<String>> install() {
            return switch (tool()) {
                case "uv.lock" -> List.of(List.of("uv", "sync", "--project", folder()));
                case "poetry.lock" -> List.of(List.of("poetry", "--directory", folder(), "install"));
                case "pdm.lock" -> List.of(List.of("pdm", "install", "--project", folder()));
                case "Pipfile" -> List.of(List.of("env", "PIPENV_PIPFILE=" + requirements, "pipenv", "install"));
                case "" -> pip("Django", "psycopg[binary]");
                case "pyproject.toml" -> pip(folder());
                default -> pip("-r", requirements);
            };
        }

        private List<List<String>> pip(String... what) {
            var python = venv == null ? interpreter : Path.of(venv, "bin", "python").toString();
            var pip = Stream.concat(Stream.of(python, "-m", "pip", "install"), Stream.of(what)).toList();
            return venv == null ? List.of(pip) : List.of(List.of(interpreter, "-m", "venv", venv), pip);
        }
    }

    record PythonEnded(String doing, List<String> lastLines) implements DjangoProblem {
        public ExitCode exit() { return ExitCode.FAILED; }
        public String what() { return "the Python process ended while " + doing + lastOutput(lastLines); }
    }

    record NoOutput(String doing, long seconds, List<String> lastLines) implements DjangoProblem {
        public ExitCode exit() { return ExitCode.FAILED; }
        public String what() {
            return "Django printed nothing for %d s while %s, so it was stopped%s"
                    .formatted(seconds, doing, lastOutput(lastLines));
        }
    }

    record MalformedReply(String doing, List<String> lastLines) implements DjangoProblem {
        public ExitCode exit() { return ExitCode.FAILED; }
        public String what() {
            return "the Python process sent a malformed reply while " + doing + lastOutput(lastLines);
        }
        public List<String> next() {
            return List.of("check that this is the project's interpreter, or name it: --python PATH");
        }
    }

    private static String lastOutput(List<String> lines) {
        return lines.isEmpty() ? "" : "; its last output:\n  " + String.join("\n  ", lines);
    }
}
