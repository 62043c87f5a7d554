import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import support.Sample;

class SampleTest {
    private static final List<String> CASES =
            List.of("kill 1", "fail 1", "kill 2", "kill 3", "fail 2", "kill 4", "crash 1");
    private static final Function<String, String> KIND = name -> name.split(" ")[0];

    @Test void each_kind_is_in_the_sample_as_often_as_asked_in_the_given_order() {
        var sample = Sample.of("", CASES, 2, KIND, 7);
        assertEquals(2, sample.stream().filter(name -> name.startsWith("kill")).count());
        assertEquals(
                List.of("fail 1", "fail 2", "crash 1"),
                sample.stream().filter(name -> !name.startsWith("kill")).toList());
        assertEquals(CASES.stream().filter(sample::contains).toList(), sample);
    }

    @Test void a_seed_repeats_its_sample_and_all_seeds_together_reach_every_case() {
        assertEquals(Sample.of("", CASES, 1, KIND, 7), Sample.of("", CASES, 1, KIND, 7));
        var reached = new TreeSet<String>();
        for (int seed = 0; seed < 100; seed++) reached.addAll(Sample.of("", CASES, 1, KIND, seed));
        assertEquals(new TreeSet<>(CASES), reached);
    }
}
