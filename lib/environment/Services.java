package lib.environment;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import lib.cli.Console;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Step;
import lib.process.Interruption;

/**
 * The containers that use a Compose project's database: stopped before it is replaced, and exactly those started again. Container that
 * crashes and restarts in a loop counts as running: its entrypoint would migrate in the middle of things.
 *
 * @param engine how a single container is addressed, or null where there are none
 * @param running     those that run now
 * @param staleImages  services whose image holds the code: they must not meet the new database before it is built anew
 */
public record Services(Engine engine, List<Container> running, List<String> staleImages) {
    /**
     * A container, by its id; the service's name is for when it was made anew meanwhile.
     *
     * @param before it was stopped: "running" (well), "restarting" in a loop, or "starting" and "unhealthy" by its health check
     */
    public record Container(String id, String service, String before) {
        boolean isHealthy() {
            return before.equals("running");
        }
    }

    /** Where sessions of theirs come from. */
    public Set<String> addresses() {
        return engine == null ? Set.of() : engine.addresses(running);
    }

    /** What is done with containers. */
    interface Engine {
        /** "docker compose", as people type it. */
        String command();

        /** All at once: each may take its ten seconds. */
        void stop(List<Container> all);

        void start(Container one);

        /** Of each "running", "starting" (has a health check that has not passed yet), or what is wrong, for people. */
        List<String> states(List<Container> all);

        Set<String> addresses(List<Container> of);

        /** When its image was made, if anybody knows. */
        Optional<Instant> built(Container one);
    }

    public static final Services NONE = new Services(null, List.of(), List.of());
    private static final Duration PATIENCE = Duration.ofMinutes(3);
    private static final Duration SHORT = Duration.ofSeconds(20);
    /** An entrypoint that migrates needs a few seconds to fail, and without a health check nothing else tells. */
    private static final Duration SETTLED = Duration.ofSeconds(8);

    /** Together with those that a killed run has stopped and not started again. */
    public Services including(Collection<Container> before) {
        var all = new LinkedHashMap<String, Container>();
        running.forEach(one -> all.put(one.id(), one));
        before.forEach(one -> all.putIfAbsent(one.id(), one));
        return new Services(engine, List.copyOf(all.values()), staleImages);
    }

    /** Judged by how they were then: who crashed in a loop before a reset may do so again after its undo. */
    public Services withPreviousHealth(Collection<Container> then) {
        return new Services(engine, running.stream().map(one -> new Container(one.id(), one.service(),
                then.stream().filter(old -> old.service().equals(one.service())).map(Container::before).findFirst().orElse(one.before()))).toList(), staleImages);
    }

    /** For when files go back to what they were at a time: only an image that was built since then holds others. */
    public Services staleIfBuiltAfter(Instant time) {
        return staleIf(built -> built.isAfter(time));
    }

    /** For when the files of a run that began then are kept: an image that was built since then holds them. */
    public Services staleIfBuiltBefore(Instant time) {
        return staleIf(built -> !built.isAfter(time));
    }

    /** An image of unknown age is. */
    private Services staleIf(Predicate<Instant> built) {
        return new Services(engine, running, running.stream().filter(one -> staleImages.contains(one.service()) && engine.built(one).map(built::test).orElse(true)).map(Container::service).distinct().toList());
    }

    /** "docker compose", as people type it. */
    public String composeCommand() {
        return engine.command();
    }

    public boolean isEmpty() {
        return running.isEmpty();
    }

    public String names() {
        return names(running);
    }

    private static String names(List<Container> of) {
        return String.join(", ", of.stream().map(Container::service).distinct().toList());
    }

    private List<Container> withStaleImages() {
        return running.stream().filter(one -> staleImages.contains(one.service())).toList();
    }

    /**
     * The step that stops them. Put back, they are started; in the end they are started too, and waited for.
     *
     * @param newFiles code in images is staleImages afterwards, so these stay stopped
     * @param then     whatever becomes of the start, in the end
     */
    public Step stopStep(boolean newFiles, Console console, Step.Action then) {
        var held = newFiles ? names(withStaleImages()) : "";
        return Step.of("stop %s, which use%s the database; started again at the end%s".formatted(names(), running.size() == 1 ? "s" : "",
                        held.isEmpty() ? "" : ", but %s only once the image is built anew".formatted(held)),
                this::stopNow,
                () -> start(running),
                () -> {
                    try {
                        restart(newFiles, console);
                    } finally {
                        then.run();
                    }
                });
    }

    /** To its end, whatever signal comes: the engine goes on when its command is killed, and a start in between would do nothing. */
    private void stopNow() {
        Interruption.uninterruptibly(() -> engine.stop(running));
        Interruption.check();
    }

    /** Starts them and waits until they are well. */
    public void restart(boolean newFiles, Console console) {
        var wanted = newFiles ? new Services(engine, running.stream().filter(one -> !staleImages.contains(one.service())).toList(), List.of()) : this;
        Interruption.uninterruptibly(() -> start(wanted.running)); // nobody wants them down because of a second Ctrl-C
        await(wanted.running, console);
        if (!wanted.isEmpty()) console.success("started again: " + wanted.names());
        if (wanted.running.size() < running.size()) throw new Failure(new Problem.ImagesStale(engine.command(), withStaleImages().stream().map(Container::service).distinct().toList()));
    }

    /** All are tried, whatever becomes of one. */
    private void start(List<Container> wanted) {
        var failures = new ArrayList<Failure>();
        for (var one : wanted) {
            try {
                engine.start(one);
            } catch (Failure failure) {
                failures.add(failure);
            }
        }
        if (!failures.isEmpty()) throw new Failure(new Problem.NotStarted(engine.command(), failures.stream().map(failure -> failure.problem().what()).toList(),
                wanted.stream().map(Container::service).distinct().toList()), failures.getFirst());
    }

    /**
     * Who was well has to be well again. Container that crashed in a loop may be now, and is not waited for so long; one whose health check
     * failed all along is nobody's to judge.
     */
    private void await(List<Container> wanted, Console console) {
        var begun = System.nanoTime();
        var left = new ArrayList<>(wanted.stream().filter(one -> one.isHealthy() || one.before().equals("restarting")).toList());
        var wrong = new ArrayList<String>();
        while (!left.isEmpty()) {
            var now = List.copyOf(left);
            List<String> states;
            try {
                states = engine.states(now);
            } catch (Failure unknown) {
                wrong.add("whether these are well was not to be learned: " + names(left));
                break;
            }
            var settled = System.nanoTime() - begun > SETTLED.toNanos();
            for (int i = 0; i < now.size(); i++) {
                var one = now.get(i);
                var state = states.get(i);
                var patience = one.isHealthy() ? PATIENCE : SHORT;
                if (state.equals("running") && !settled) continue;
                var mayStill = state.equals("starting") || !one.isHealthy();
                if (!state.equals("running") && mayStill && System.nanoTime() - begun < patience.toNanos()) continue;
                left.remove(one);
                if (state.equals("running")) continue;
                var words = one.service() + " is " + (state.equals("starting") ? "not healthy after %d s".formatted(patience.toSeconds()) : state);
                if (one.isHealthy()) wrong.add(words);
                else console.warn("started again, but " + words + ", as it was before");
            }
            if (left.isEmpty()) break;
            console.progress("waiting for " + names(left));
            try {
                Interruption.pause(Duration.ofSeconds(1));
            } catch (Failure interrupted) {
                wrong.add("nobody waited until these were well: " + names(left));
                break;
            }
        }
        if (!wrong.isEmpty()) throw new Failure(new Problem.NotHealthy(engine.command(), wrong));
    }
}
