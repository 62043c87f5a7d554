package support;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.function.Function;

/** The cases of an exhaustive test: all with {@code run_tests.java --all}, else a sample that the seed chooses. */
public final class Sample {
    /** The tag of tests that only {@code --all} runs. */
    public static final String EXHAUSTIVE = "exhaustive";

    public static final String ALL_PROPERTY = "tests.all", SEED_PROPERTY = "tests.seed";
    public static final boolean ALL = Boolean.getBoolean(ALL_PROPERTY);
    public static final long SEED = Long.getLong(SEED_PROPERTY, new Random().nextInt(1_000_000));

    private Sample() {}

    /** This many of the cases, in their order. @param name of the sample: another name chooses others */
    public static <T> List<T> of(String name, List<T> cases, int number) {
        return of(name, cases, number, test -> "");
    }

    /** This many of each kind of case. */
    public static <T> List<T> of(String name, List<T> cases, int ofEachKind, Function<T, ?> kind) {
        return ALL ? cases : of(name, cases, ofEachKind, kind, SEED);
    }

    public static <T> List<T> of(String name, List<T> cases, int ofEachKind, Function<T, ?> kind, long seed) {
        var random = new SplittableRandom(
                31 * seed + name.hashCode()); // Random gives similar first numbers for similar seeds
        var indexes = new LinkedHashMap<Object, List<Integer>>();
        for (int i = 0; i < cases.size(); i++)
            indexes.computeIfAbsent(kind.apply(cases.get(i)), k -> new ArrayList<>()).add(i);
        return indexes.values().stream().flatMap(ofKind -> {
            Collections.shuffle(ofKind, random);
            return ofKind.stream().limit(ofEachKind);
        }).sorted().map(cases::get).toList();
    }

    /** For a test's figures: how to repeat this sample. */
    public static String described() {
        return ALL ? "" : " (a sample: --seed=" + SEED + ")";
    }
}
