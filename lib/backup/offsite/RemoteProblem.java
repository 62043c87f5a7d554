package lib.backup.offsite;

import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import lib.error.Problem;
import lib.process.Shell;

/** The failures that {@link Remote} tells apart. */
sealed interface RemoteProblem extends Problem {

    /** A file does not have the bytes that its manifest, or the original, has. */
    record Mismatch(String file, String how) implements RemoteProblem {
        @Override public Exit exit() {
            return Exit.FAILED;
        }

        @Override public String what() {
            return file + " is not what its manifest says: " + how;
        }

        @Override public List<String> next() {
            return List.of(Remote.useAnother());
        }
    }

    /** @param words of rclone, without secrets */
    record RcloneFailed(String remote, String words) implements RemoteProblem {
        private static final Pattern CONFIGURATION =
                Pattern.compile("(?i)didn't find section|didn't find backend|couldn't find"
                    + " type|SignatureDoesNotMatch|InvalidAccessKeyId|AccessDenied|Forbidden|Unauthorized|status code:"
                    + " 40[13]|unable to authenticate|permission denied|NoSuchBucket");

        @Override public Exit exit() {
            return CONFIGURATION.matcher(words).find() ? Exit.USAGE : Exit.FAILED;
        }

        @Override public String what() {
            return "rclone failed (" + remote + ")"
                    + (words.isBlank() ? "" : ":\n" + words.strip().indent(2).stripTrailing());
        }

        @Override public List<String> next() {
            var attempt = "try by hand: " + Shell.line("rclone", "lsf", remote);
            if (exit() == Exit.FAILED) return List.of(attempt);
            return List.of("set RCLONE_CONFIG_<REMOTE>_TYPE and the other variables of the remote in .env, "
                    + "or run \"rclone config\" as the user that the backup runs as", attempt);
        }
    }

    /** @param left what may remain on the remote, or null */
    record UploadFailed(Path file, String remote, String words, String left) implements RemoteProblem {
        @Override public Exit exit() {
            return Exit.PARTLY;
        }

        @Override public String what() {
            return "the backup %s is good, but its copy to %s failed:\n%s%s"
                    .formatted(
                            file,
                            remote,
                            words.strip().indent(2).stripTrailing(),
                            left == null
                                    ? ""
                                    : "\n" + left
                                            + " may be left there; without its manifest it does not count as a backup");
        }

        @Override public List<String> next() {
            return List.of("once that is fixed, the next backup uploads this one too");
        }
    }
}
