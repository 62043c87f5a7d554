package lib.django;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Which folder here is which in the container. Paths in there are texts with slashes until they have become ours; without any
 * pair they are ours already.
 */
public record CodePaths(List<Pair> pairs) {
    /** @param here null: what is there lies over a folder of ours, and is nowhere here */
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
        var all = new ArrayList<>(pairs);
        all.add(new Pair(inside, here));
        return new CodePaths(all);
    }

    /** One that lies in no folder of ours, as an installed package does, stays what it is. */
    Path here(String inside) {
        for (var pair : pairs) {
            var within = inside.equals(pair.inside()) || inside.startsWith(pair.inside() + "/");
            if (within && pair.here() == null) return Path.of(inside);
            if (inside.equals(pair.inside())) return pair.here();
            if (inside.startsWith(pair.inside() + "/")) return pair.here().resolve(inside.substring(pair.inside().length() + 1));
        }
        return Path.of(inside);
    }
}
