///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//DEPS org.junit.platform:junit-platform-console-standalone:1.14.4
//SOURCES ../lib/Lib.java
//SOURCES ../reset_migrations.java
//SOURCES ../backup_database.java
//SOURCES ../demo.java
//SOURCES *Test.java
//SOURCES backup/*.java
//SOURCES backup/archive/*.java
//SOURCES backup/encryption/*.java
//SOURCES backup/offsite/*.java
//SOURCES cli/*.java
//SOURCES django/*.java
//SOURCES docker/*.java
//SOURCES environment/*.java
//SOURCES error/*.java
//SOURCES files/*.java
//SOURCES plan/*.java
//SOURCES postgres/*.java
//SOURCES project/*.java
//SOURCES reset/*.java
//SOURCES support/*.java

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.platform.engine.discovery.ClassNameFilter;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import support.Sample;
import support.TestProgress;
import support.TestWorker.Task;
import support.WorkerProcess;

@Command(name = "run_tests.java", sortOptions = false,
    description = {"Runs the tests, two classes at a time. The last line is \"N passed, N failed\".",
        "Exit code: 0 all passed, 1 some failed, 2 a wrong option or no tests."})
class run_tests implements Callable<Integer> {
    /** These come first, so that no worker has a long class left at the end. */
    private static final List<String> LONGEST = List.of("WrapperTest", "ResetTest", "DjangoTest");

    @Option(
            names = "--all",
            description =
                    "All kill points, pairs of versions, large databases and Docker too. Without it: every command, "
                            + "option, exit code and strategy, and a sample of the kill points.")
    boolean all;

    @Option(names = "--seed", paramLabel = "N",
            description = "Repeat the sample of an earlier run, which printed this number.")
    Long seed;

    @Option(names = "--verbose", description = "A line for every test.")
    boolean verbose;

    @Option(names = "--workers", paramLabel = "N",
            description = "JVMs that run a class each at a time (default: 3, with --all 2).")
    Integer workers;

    @Option(names = "--select-class", paramLabel = "CLASS",
            description = "Only this class; all of it, unless --seed is given. Can be repeated.")
    List<String> classes = List.of();

    @Option(names = "--select-method", paramLabel = "CLASS#METHOD", description = "Only this method. Can be repeated.")
    List<String> methods = List.of();

    @Option(names = {"-h", "--help"}, usageHelp = true, description = "Show this help.")
    boolean help;

    public static void main(String... args) {
        System.exit(new CommandLine(new run_tests())
                .setParameterExceptionHandler((e, given) -> refused(e.getMessage()))
                .execute(args));
    }

    private static int refused(String why) {
        System.err.println("run_tests.java: " + why + "; --help shows the options");
        return 2;
    }

    @Override public Integer call() throws Exception {
        var selectors = Stream.concat(classes.stream(), methods.stream()).toList();
        all |= !selectors.isEmpty() && seed == null;
        if (seed == null) seed = Sample.SEED;
        if (workers == null) workers = all ? 2 : 3; // many tests of the sample wait, those of --all need the cores
        if (workers < 1) return refused("--workers=" + workers + ": at least one is needed");
        var found = discover();
        var tasks = new ArrayList<Task>();
        for (var selector : selectors) {
            var words = selector.split("#", 2);
            var match = found.stream()
                    .filter(name -> name.equals(words[0]) || name.endsWith("." + words[0]))
                    .findFirst();
            if (match.isEmpty()) return refused("no test class is called " + words[0]);
            tasks.add(new Task(match.get(), words.length == 1 ? null : words[1].replaceFirst("\\(.*", ""), 1));
        }
        if (selectors.isEmpty()) found.forEach(name -> tasks.add(new Task(name, null, 1)));

        if (!all)
            System.out.println(
                    "A sample of the longest tests, and without Docker (--all is everything). To repeat this sample:"
                            + " --seed="
                            + seed);
        var progress = new TestProgress(System.out, tasks.size(), verbose);
        run(tasks, progress);
        progress.summary();
        if (tasks.isEmpty()) return refused("no tests were found");
        if (!progress.withoutTests().isEmpty())
            return refused("no tests were found in " + String.join(", ", progress.withoutTests()));
        return progress.allPassed() ? 0 : 1;
    }

    /** The names of the classes with tests in the jar that JBang made of the sources above, longest first. */
    private List<String> discover() throws URISyntaxException {
        var own = Path.of(run_tests.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        var request = LauncherDiscoveryRequestBuilder.request()
                .selectors(DiscoverySelectors.selectClasspathRoots(Set.of(own)))
                .filters(ClassNameFilter.includeClassNamePatterns(ClassNameFilter.STANDARD_INCLUDE_PATTERN));
        if (!all) request.filters(TagFilter.excludeTags(Sample.EXHAUSTIVE));
        var plan = LauncherFactory.create().discover(request.build());
        return plan.getRoots().stream()
                .flatMap(engine -> plan.getChildren(engine).stream())
                .map(test -> ((ClassSource) test.getSource().orElseThrow()).getClassName())
                .sorted(Comparator.comparing(run_tests::order).thenComparing(Comparator.naturalOrder()))
                .toList();
    }

    private static int order(String className) {
        var place = LONGEST.indexOf(className.substring(className.lastIndexOf('.') + 1));
        return place < 0 ? LONGEST.size() : place;
    }

    /**
     * Several at a time. Docker's tests mostly wait, so one worker begins with them; those that need the whole machine
     * come last.
     */
    private void run(List<Task> tasks, TestProgress progress) throws Exception {
        var docker = new ConcurrentLinkedQueue<Task>();
        var others = new ConcurrentLinkedQueue<Task>();
        var isolated = new ConcurrentLinkedQueue<Task>();
        for (var task : tasks) {
            if (task.isIsolated()) isolated.add(task);
            else if (task.isTagged("docker")) docker.add(task.withThreads(2));
            else others.add(task);
        }
        var work = new ArrayList<Callable<Void>>();
        for (int worker = 0; worker < Math.min(workers, docker.size() + others.size()); worker++)
            work.add(worker == 0 ? () -> work(docker, others, progress) : () -> work(others, docker, progress));
        if (!work.isEmpty()) try (var threads = Executors.newFixedThreadPool(work.size())) {
                for (var worker : threads.invokeAll(work)) worker.get();
            }
        work(isolated, isolated, progress);
    }

    /** Runs the rest in one worker, and in a new one when it ends too early. */
    private Void work(Queue<Task> first, Queue<Task> second, TestProgress progress) throws Exception {
        while (!first.isEmpty() || !second.isEmpty()) {
            var name = new AtomicReference<>("");
            try (var worker = WorkerProcess.start(all, seed, line -> progress.printed(name.get(), line))) {
                var alive = true;
                for (Task task; alive && (task = next(first, second)) != null; ) {
                    name.set(task.name());
                    alive = finishes(task, worker, progress);
                }
            }
        }
        return null;
    }

    private static Task next(Queue<Task> first, Queue<Task> second) {
        var task = first.poll();
        return task != null ? task : second.poll();
    }

    private static boolean finishes(Task task, WorkerProcess worker, TestProgress progress) {
        progress.started(task.name());
        try {
            worker.run(task, event -> progress.happened(task.name(), event));
            return true;
        } catch (IOException lost) {
            progress.lost(task.name(), lost.getMessage());
            return false;
        }
    }
}
