import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import lib.Lib;
import org.junit.jupiter.api.Test;

/** Dependencies point down the layers only. jdeps reads them from the built classes. */
class LayersTest {
    /** The highest layer first. Packages of one layer do not use each other. */
    private static final List<Set<String>> LAYERS = List.of(
        Set.of("scripts"),
        Set.of("lib.restore"),
        Set.of("lib.reset"),
        Set.of("lib.backup"),
        Set.of("lib.backup.archive", "lib.backup.encryption", "lib.backup.offsite"),
        Set.of("lib.environment"),
        Set.of("lib.django", "lib.docker"),
        Set.of("lib.postgres"),
        Set.of("lib.project"),
        Set.of("lib.plan"),
        Set.of("lib.cli"),
        Set.of("lib.process"),
        Set.of("lib.files"),
        Set.of("lib.error"),
        Set.of("lib"));
    private static final Set<String> SCRIPTS = Set.of("reset_migrations", "backup_database", "demo");
    private static final int LARGEST_CYCLE = 4;
    private static final Pattern EDGE = Pattern.compile("^\\s+(\\S+)\\s+->\\s+(\\S+).*$");

    /** The files that each file uses, by the names of the top-level classes. */
    private static Map<String, Set<String>> dependencies() throws URISyntaxException {
        var classes = Path.of(Lib.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        var out = new StringWriter();
        var jdeps = ToolProvider.findFirst("jdeps")
                .orElseThrow(() -> new IllegalStateException("this needs a JDK: it has jdeps"));
        var code = jdeps.run(new PrintWriter(out, true), new PrintWriter(System.err, true),
            "-verbose:class", "-filter:none", "--multi-release", "base", "--ignore-missing-deps", classes.toString());
        assertEquals(0, code, out.toString());
        var found = new TreeMap<String, Set<String>>();
        out.toString().lines().map(EDGE::matcher).filter(line -> line.matches()).forEach(edge -> {
            var from = file(edge.group(1));
            var to = file(edge.group(2));
            if (isOurs(from) && isOurs(to) && !from.equals(to))
                found.computeIfAbsent(from, name -> new TreeSet<>()).add(to);
        });
        return found;
    }

    private static String file(String type) {
        return type.replaceFirst("\\$.*", "");
    }

    /** Tests are in the packages that they test, and may use everything. */
    private static boolean isOurs(String type) {
        return SCRIPTS.contains(type) || type.startsWith("lib.") && !type.endsWith("Test");
    }

    private static String packageOf(String file) {
        return SCRIPTS.contains(file) ? "scripts" : file.substring(0, file.lastIndexOf('.'));
    }

    private static int layer(String file) {
        for (int i = 0; i < LAYERS.size(); i++) if (LAYERS.get(i).contains(packageOf(file))) return i;
        return -1;
    }

    private static List<String> violations(Map<String, Set<String>> dependencies) {
        var found = new ArrayList<String>();
        dependencies.forEach((from, uses) -> uses.forEach(to -> {
            if (layer(from) < 0 || layer(to) < 0) found.add(from + " -> " + to + ": a package without a layer");
            else if (!packageOf(from).equals(packageOf(to)) && layer(from) >= layer(to)) found.add(from + " -> " + to);
        }));
        return found;
    }

    /** Groups of two or more files, each of which reaches all others of its group. */
    private static List<Set<String>> cycles(Map<String, Set<String>> dependencies) {
        var cycles = new ArrayList<Set<String>>();
        var done = new TreeSet<String>();
        for (var file : dependencies.keySet()) {
            if (done.contains(file)) continue;
            var group = reached(dependencies, file).stream()
                    .filter(other -> reached(dependencies, other).contains(file))
                    .collect(Collectors.toCollection(TreeSet::new));
            if (group.size() > 1) cycles.add(group);
            done.addAll(group);
        }
        return cycles;
    }

    private static Set<String> reached(Map<String, Set<String>> dependencies, String from) {
        var reached = new TreeSet<String>();
        Deque<String> left = new ArrayDeque<>(List.of(from));
        while (!left.isEmpty()) {
            for (var to : dependencies.getOrDefault(left.pop(), Set.of())) if (reached.add(to)) left.push(to);
        }
        return reached;
    }

    private static List<Set<String>> tooLarge(Collection<Set<String>> cycles) {
        return cycles.stream().filter(cycle -> cycle.size() > LARGEST_CYCLE).toList();
    }

    private static List<Set<String>> acrossPackages(Collection<Set<String>> cycles) {
        return cycles.stream()
                .filter(cycle ->
                        cycle.stream().map(LayersTest::packageOf).distinct().count() > 1)
                .toList();
    }

    @Test void every_package_uses_only_those_below_it() throws Exception {
        var dependencies = dependencies();
        assertTrue(dependencies.size() > 60, "jdeps has read the classes: " + dependencies.size());
        assertEquals(List.of(), violations(dependencies));
    }

    @Test void no_cycle_crosses_packages_and_none_is_larger_than_four_files() throws Exception {
        var cycles = cycles(dependencies());
        assertEquals(List.of(), acrossPackages(cycles));
        assertEquals(List.of(), tooLarge(cycles));
    }

    @Test void a_use_of_a_higher_layer_of_a_peer_and_of_an_unknown_package_are_noticed() {
        var planted = new HashMap<String, Set<String>>();
        planted.put("lib.postgres.Database", Set.of("lib.project.Credentials", "lib.docker.Tunnel"));
        planted.put("lib.django.Django", Set.of("lib.docker.ComposeConfig"));
        planted.put("lib.error.Failure", Set.of("lib.new_package.Thing"));
        planted.put("reset_migrations", Set.of("lib.reset.Run"));
        assertEquals(
                Set.of(
                        "lib.postgres.Database -> lib.docker.Tunnel",
                        "lib.django.Django -> lib.docker.ComposeConfig",
                        "lib.error.Failure -> lib.new_package.Thing: a package without a layer"),
                Set.copyOf(violations(planted)));
    }

    @Test void a_cycle_of_five_files_and_one_across_packages_are_noticed() {
        var planted = new HashMap<String, Set<String>>();
        for (int i = 0; i < 5; i++) planted.put("lib.reset.F" + i, Set.of("lib.reset.F" + (i + 1) % 5));
        planted.put("lib.plan.Plan", Set.of("lib.cli.Console"));
        planted.put("lib.cli.Console", Set.of("lib.plan.Plan"));
        var cycles = cycles(planted);
        assertEquals(2, cycles.size());
        assertEquals(5, tooLarge(cycles).getFirst().size());
        assertEquals(List.of(Set.of("lib.cli.Console", "lib.plan.Plan")), acrossPackages(cycles));
    }
}
