package lib.environment;

import com.google.gson.annotations.SerializedName;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.cli.Console;
import lib.cli.Script;
import lib.docker.Containers.State;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Step;
import lib.process.Interruption;

/**
 * The containers that use a Compose project's database. They are stopped before it is replaced, and exactly those are
 * started again. One in a crash loop counts as running: its entrypoint could migrate in the middle of a swap.
 *
 * @param engine      null outside Compose
 * @param codeInImage services whose image contains the code: it has to be built again before they use the new database
 */
public record Services(ServiceEngine engine, List<Container> running, List<String> codeInImage) {
    public static final Services NONE = new Services(null, List.of(), List.of());
    private static final Duration HEALTHY_LIMIT = Duration.ofMinutes(3);
    /** For a container that was in a crash loop before. */
    private static final Duration CRASHING_LIMIT = Duration.ofSeconds(20);
    /** Without a health check, only this shows that an entrypoint fails: one that migrates takes a few seconds. */
    private static final Duration SETTLE_TIME = Duration.ofSeconds(8);

    /** How a container was before it was stopped. The lower-case names are in every run.json. */
    public enum Health {
        @SerializedName("running") RUNNING,
        @SerializedName("restarting") CRASHING,
        @SerializedName("starting") STARTING,
        @SerializedName("unhealthy") UNHEALTHY;

        static Health of(State state) {
            if (state.crashLoop()) return CRASHING;
            return state.isWell() ? RUNNING : state.isStarting() ? STARTING : UNHEALTHY;
        }
    }

    /** @param service finds a container that has replaced this one */
    public record Container(String id, String service, Health before) {
        boolean wasWell() {
            return before == Health.RUNNING;
        }
    }

    /** The network addresses that their sessions come from. */
    public Set<String> addresses() {
        return engine == null ? Set.of() : engine.addresses(running);
    }

    /** With those that a killed run has stopped and not started again. */
    public Services including(Collection<Container> stopped) {
        var all = new LinkedHashMap<String, Container>();
        running.forEach(one -> all.put(one.id(), one));
        stopped.forEach(one -> all.putIfAbsent(one.id(), one));
        return new Services(engine, List.copyOf(all.values()), codeInImage);
    }

    /** With the health that each had earlier: a container that crashed before a reset may crash after its undo. */
    public Services withPreviousHealth(Collection<Container> previous) {
        return new Services(engine, running.stream().map(one -> previous.stream()
            .filter(old -> old.service().equals(one.service())).findFirst()
            .map(old -> new Container(one.id(), one.service(), old.before())).orElse(one)).toList(), codeInImage);
    }

    /** For files that go back to their state at this time: only an image that was built later contains others. */
    public Services staleIfBuiltAfter(Instant time) {
        return staleIf(built -> built.isAfter(time));
    }

    /** For files that are from this time: only an image that was built later contains them. */
    public Services staleIfBuiltBefore(Instant time) {
        return staleIf(built -> !built.isAfter(time));
    }

    /** An image of unknown age counts as stale. */
    private Services staleIf(Predicate<Instant> built) {
        var stale = running.stream().filter(this::hasCodeInImage)
            .filter(one -> engine.imageBuilt(one).map(built::test).orElse(true)).toList();
        return new Services(engine, running, services(stale));
    }

    private boolean hasCodeInImage(Container one) {
        return codeInImage.contains(one.service());
    }

    /** A Compose command to paste into a shell. */
    public String composeCommand(String... arguments) {
        return engine.composeCommand(arguments);
    }

    public boolean isEmpty() {
        return running.isEmpty();
    }

    public String names() {
        return names(running);
    }

    private static String names(List<Container> all) {
        return String.join(", ", services(all));
    }

    private static List<String> services(List<Container> all) {
        return all.stream().map(Container::service).distinct().toList();
    }

    private String composeCommand(String command, List<Container> all) {
        var words = Stream.concat(Stream.of(command.split(" ")), services(all).stream());
        return composeCommand(words.toArray(String[]::new));
    }

    /**
     * The step that stops them. Its undo starts them; its finish starts them too, and waits until they are well.
     *
     * @param newFiles the code in images is stale afterwards, so the services with it stay stopped
     * @param then     runs after the start, even when that fails
     */
    public Step stopStep(boolean newFiles, Console console, Step.Action then) {
        var held = newFiles ? running.stream().filter(this::hasCodeInImage).toList() : List.<Container>of();
        var start = held.isEmpty() ? "started again at the end"
            : "started again at the end, but %s only after a new build of the image".formatted(names(held));
        return Step.of("stop %s, which use%s the database; %s".formatted(names(), running.size() == 1 ? "s"
            : "", start),
            this::stop,
            () -> start(running),
            () -> {
                try {
                    restart(newFiles, console);
                } finally {
                    then.run();
                }
            });
    }

    /** Not interrupted: when its client is killed, the engine continues, and would stop what undo starts. */
    private void stop() {
        Interruption.uninterruptibly(() -> engine.stop(running));
        Interruption.check();
    }

    /** Starts them and waits until they are well. @param newFiles those with the code in their image stay stopped */
    public void restart(boolean newFiles, Console console) {
        var held = running.stream().filter(one -> newFiles && hasCodeInImage(one)).toList();
        var wanted = running.stream().filter(one -> !held.contains(one)).toList();
        Interruption.uninterruptibly(() -> start(wanted)); // a second Ctrl-C must not leave them stopped
        await(wanted, console);
        if (!wanted.isEmpty()) console.success("started again: " + names(wanted));
        if (!held.isEmpty()) {
            throw Failure.partly("left stopped, because their images still contain the old migration files: "
                + names(held))
                .next(composeCommand("up -d --build", held));
        }
    }

    /** Starts the others when one fails. */
    private void start(List<Container> wanted) {
        var failures = new ArrayList<Failure>();
        for (var one : wanted) {
            try {
                engine.start(one);
            } catch (Failure failure) {
                failures.add(failure);
            }
        }
        if (failures.isEmpty()) return;
        var reasons = failures.stream().map(failure -> failure.problem().what()).collect(Collectors.joining("; "));
        throw Failure.partly("not started again: " + reasons).next(composeCommand("start", wanted)).permanent()
            .causedBy(failures.getFirst());
    }

    /**
     * Those that were well have to be well again. One that was in a crash loop gets less time. One that was unhealthy
     * or starting is not waited for: its state may not change.
     */
    private void await(List<Container> wanted, Console console) {
        var begin = System.nanoTime();
        var waiting = new ArrayList<>(wanted);
        waiting.removeIf(one -> !one.wasWell() && one.before() != Health.CRASHING);
        var problems = new ArrayList<String>();
        while (!waiting.isEmpty()) {
            try {
                var states = engine.states(List.copyOf(waiting)).iterator();
                var elapsed = Duration.ofNanos(System.nanoTime() - begin);
                waiting.removeIf(one -> {
                    var state = states.next();
                    if (mayStillChange(one, state, elapsed)) return false;
                    if (!state.isWell()) report(one, state, problems, console);
                    return true;
                });
                if (waiting.isEmpty()) break;
                console.progress("waiting for " + names(waiting));
                Interruption.pause(Duration.ofSeconds(1));
            } catch (Failure failure) {
                problems.add((failure.problem() instanceof Problem.Interrupted ? "the wait for these was interrupted: "
                    : "the state of these could not be read: ") + names(waiting));
                break;
            }
        }
        if (problems.isEmpty()) return;
        throw Failure.partly("started again, but " + String.join(", ", problems))
            .next("see their logs: " + composeCommand("logs", wanted),
                "to go back: " + Script.RESET_MIGRATIONS.command("undo"));
    }

    private static boolean mayStillChange(Container one, State state, Duration elapsed) {
        if (state.isWell()) return elapsed.compareTo(SETTLE_TIME) <= 0;
        return (state.isStarting() || !one.wasWell()) && elapsed.compareTo(limit(one)) < 0;
    }

    private static Duration limit(Container one) {
        return one.wasWell() ? HEALTHY_LIMIT : CRASHING_LIMIT;
    }

    private static void report(Container one, State state, List<String> problems, Console console) {
        var text = one.service() + " is " + (state.isStarting()
            ? "not healthy after %d s".formatted(limit(one).toSeconds()) : state.describe());
        if (one.wasWell()) problems.add(text);
        else console.warn("started again, but " + text + ", as before");
    }
}
