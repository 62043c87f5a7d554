package lib.django;

import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Folders of a container and the same folders here. A path in the container is a text with slashes. */
public record CodePaths(List<Pair> pairs) {
    /** @param here null when another volume is mounted at this place in the container */
    public record Pair(String inside, Path here) {
        public Pair {
            if (inside.endsWith("/")) inside = inside.substring(0, inside.length() - 1);
        }
    }

    static final CodePaths SAME = new CodePaths(List.of());

    public CodePaths {
        pairs = pairs.stream().sorted(Comparator.comparing((Pair pair) -> pair.inside().length()).reversed()).toList();
    }

    CodePaths and(String inside, Path here) {
        return new CodePaths(Stream.concat(pairs.stream(), Stream.of(new Pair(inside, here))).toList());
    }

    /** The path here. A path in none of the folders, for example of an installed package, is returned unchanged. */
    Path here(String inside) {
        for (var pair : pairs) {
            if (inside.equals(pair.inside()) && pair.here() != null) return pair.here();
            if (!(inside + "/").startsWith(pair.inside() + "/")) continue;
            if (pair.here() == null) break;
            return pair.here().resolve(inside.substring(pair.inside().length() + 1));
        }
        return Path.of(inside);
    }
}
