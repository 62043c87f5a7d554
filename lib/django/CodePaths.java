package lib.django;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Folders of a container and the same folders here. A path in the container is a text with slashes. */
public record CodePaths(List<Pair> pairs) {
    /** @param here null when another volume is mounted at this place in the container */
    public record Pair(String inside, Path here) {
        public Pair {
            if (inside.endsWith("/")) inside = inside.substring(0, inside.length() - 1);
        }

        private boolean contains(String path) {
            return path.equals(inside) || path.startsWith(inside + "/");
        }

        private Path translate(String path) {
            return path.equals(inside) ? here : here.resolve(path.substring(inside.length() + 1));
        }
    }

    static final CodePaths SAME = new CodePaths(List.of());

    public CodePaths {
        pairs = pairs.stream().sorted(Comparator.comparing((Pair pair) -> pair.inside().length()).reversed()).toList();
    }

    CodePaths and(String inside, Path here) {
        var all = new ArrayList<>(pairs);
        all.add(new Pair(inside, here));
        return new CodePaths(all);
    }

    /** The path here. A path in none of the folders, for example of an installed package, is returned unchanged. */
    Path here(String inside) {
        for (var pair : pairs)
            if (pair.contains(inside)) return pair.here() == null ? Path.of(inside) : pair.translate(inside);
        return Path.of(inside);
    }
}
