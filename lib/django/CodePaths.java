package lib.django;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Which folder of a container is which folder here. Paths in the container are texts with slashes. */
public record CodePaths(List<Pair> pairs) {
    /** @param here null: what is at this place in the container lies over a folder of ours, and is not here */
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

    /** The path here; a path in none of the folders, as of an installed package, stays as it is. */
    Path here(String inside) {
        for (var pair : pairs)
            if (pair.contains(inside)) return pair.here() == null ? Path.of(inside) : pair.translate(inside);
        return Path.of(inside);
    }
}
