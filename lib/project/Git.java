package lib.project;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;
import lib.error.Failure;
import lib.process.Program;

/** What git knows about some folders: nothing when there is no git, no repository, or git refuses. */
public final class Git {
    private Git() {}

    /** @param path relative to the project's root @param state "modified", "untracked", "ignored" …: in no commit */
    public record Change(String path, String state) {}

    /** Changes that no commit has, to files directly in these folders. @param wanted by the file's name */
    public static List<Change> uncommitted(Path root, Collection<Path> folders, Predicate<String> wanted) {
        try {
            if (folders.isEmpty()) return List.of();
            var prefix = git(root, "rev-parse", "--show-prefix").run();
            var paths = folders.stream().map(folder -> root.relativize(folder).toString()).toArray(String[]::new);
            var status = git(root, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all",
                "--ignored", "--").with(paths).run();
            if (prefix.code() != 0 || status.code() != 0) return List.of();
            return changes(status.out(), prefix.out().replaceFirst("\\R$", ""), root, folders, wanted);
        } catch (Failure failure) {
            if (failure.problem() instanceof Program.Missing) return List.of();
            throw failure;
        }
    }

    /** Without git's variables: in a hook they name another repository. Writes no index, and starts no fsmonitor. */
    private static Program git(Path root, String... arguments) {
        return Program.of("git", "--literal-pathspecs", "-c", "core.fsmonitor=false").with(arguments).in(root)
            .withoutEnv("GIT_").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    }

    private static List<Change> changes(String out, String prefix, Path root, Collection<Path> folders,
        Predicate<String> wanted) {
        var changes = new ArrayList<Change>();
        for (var entry : out.split("\0")) {
            if (entry.length() < 4 || !entry.startsWith(prefix, 3)) continue;
            var path = entry.substring(3 + prefix.length());
            var name = path.substring(path.lastIndexOf('/') + 1);
            var folder = path.substring(0, path.length() - name.length());
            if (wanted.test(name) && folders.stream().anyMatch(one -> (root.relativize(one) + "/").equals(folder)))
                changes.add(new Change(path, state(entry.substring(0, 2))));
        }
        return changes;
    }

    private static String state(String status) {
        return switch (status) {
            case "??" -> "untracked";
            case "!!" -> "ignored, so not in git";
            case "DD", "AU", "UD", "UA", "DU", "AA", "UU" -> "in conflict";
            default -> status.contains("D") ? "deleted" : status.contains("A") ? "added" : "modified";
        };
    }
}
