package lib.django;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Shell;

/** Failures of the Python process. */
public interface DjangoProblem extends Problem {
    /** @param requirements the file that names what the project needs, or null */
    record NoDjango(String interpreter, String requirements) implements DjangoProblem {
        public ExitCode exit() { return ExitCode.USAGE; }
        public String what() { return "Django is not installed for " + interpreter; }
        public List<String> next() {
            return List.of("install what the project needs: " + Shell.line(install()),
                    "or name the interpreter that has it: --python PATH, or activate its virtual environment");
        }

        /** The reason for this failure or for one behind it; null when it is another. */
        public static NoDjango in(Throwable failure) {
            for (var at = failure; at != null; at = at.getCause())
                if (at instanceof Failure one && one.problem() instanceof NoDjango missing) return missing;
            return null;
        }

        /** The command that installs it. */
        public List<String> install() {
            var what = requirements == null ? List.of("Django", "psycopg[binary]")
                    : requirements.endsWith(".toml") ? List.of(Path.of(requirements).getParent().toString())
                    : List.of("-r", requirements);
            return Stream.concat(Stream.of(interpreter, "-m", "pip", "install"), what.stream()).toList();
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
