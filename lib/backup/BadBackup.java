package lib.backup;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import lib.cli.Script;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;

/**
 * The file itself is not a good backup, on any server: damaged, no dump at all, or not what its
 * manifest says. {@code verify} records this in the manifest.
 */
public record BadBackup(ExitCode exit, Path file, String what, List<String> next) implements Problem {
    private static final int SHOWN = 10;

    private static Failure failure(Path file, String what) {
        var another = "use another backup: " + Script.BACKUP_DATABASE.command("list");
        return new Failure(new BadBackup(ExitCode.FAILED, file, what, List.of(another)));
    }

    static Failure damaged(Path file, String why) {
        return failure(file, file + " is damaged: it cannot be read to its end: " + why.strip());
    }

    static Failure empty(Path file) {
        return failure(file, file + " is empty");
    }

    /** @param start its first line */
    static Failure notADump(Path file, String start) {
        var what = "%s is not a dump: it starts with \"%s\"".formatted(file, start);
        var next = "give an archive of pg_dump (-Fc) or SQL; zstd, gzip and age are recognized";
        return new Failure(new BadBackup(ExitCode.USAGE, file, what, List.of(next)));
    }

    static Failure differsFromManifest(Path file, List<String> differences) {
        return failure(file, file + " differs from its manifest:\n" + first(differences));
    }

    static Failure restoredDiffers(Path file, List<String> differences) {
        return failure(file, file + " was restored, but the result differs from it:\n" + first(differences));
    }

    /** The same for {@code verify}, whose question is whether the file is a good backup. */
    public BadBackup failed() {
        return new BadBackup(ExitCode.FAILED, file, what, next);
    }

    private static String first(List<String> differences) {
        var more = differences.size() > SHOWN ? "\n  and %,d more".formatted(differences.size() - SHOWN) : "";
        return differences.stream().limit(SHOWN).map(line -> "  " + line).collect(Collectors.joining("\n")) + more;
    }
}
