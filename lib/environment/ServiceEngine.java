package lib.environment;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.docker.ComposeConfig;
import lib.docker.Containers;
import lib.docker.Containers.Container;
import lib.docker.Containers.State;

/**
 * Stops and starts the containers that use the database, by their ids. When {@code up} or {@code watch} has replaced a
 * container in the meantime, its service's newer containers count.
 */
final class ServiceEngine {
    private final ComposeSetup setup;
    private final String hostOfDjango;
    private final boolean keepServices;
    /** Replacements that were stopped with the rest. */
    private final Set<String> stoppedReplacements = new HashSet<>();

    /** @param hostOfDjango DB_HOST in the app's container @param keepServices stop none */
    ServiceEngine(ComposeSetup setup, String hostOfDjango, boolean keepServices) {
        this.setup = setup;
        this.hostOfDjango = hostOfDjango;
        this.keepServices = keepServices;
    }

    /** The containers that use the database now. */
    Services services() {
        var running = keepServices ? List.<Services.Container>of() : setup.startedUsers().stream()
            .filter(c -> c.state().status() != Containers.Status.PAUSED)
            .map(c -> new Services.Container(c.id(), c.service(), Services.Health.of(c.state()))).toList();
        var withCode = setup.config().services().stream().filter(setup::hasCodeInImage).map(ComposeConfig.Service::name)
            .toList();
        return new Services(this, running, withCode);
    }

    String composeCommand(String... arguments) {
        return setup.docker().commandLine(arguments);
    }

    /** All at once: each may need its ten seconds. */
    void stop(List<Services.Container> all) {
        var existing = existing(all);
        all.stream().filter(one -> in(existing, one).isEmpty()).flatMap(this::replacements).filter(Container::isStarted)
            .forEach(replacement -> stoppedReplacements.add(replacement.id()));
        var ids = Stream.concat(existing.stream().map(Container::id), stoppedReplacements.stream()).distinct()
            .toArray(String[]::new);
        if (ids.length > 0) setup.docker().engine("stop").with(ids).inOwnSession().output();
        all.stream().filter(this::isPoolerOfDjango).forEach(this::start);
    }

    /** A pooler is started again at once, without its sessions: Django's final check connects through it. */
    private boolean isPoolerOfDjango(Services.Container one) {
        return setup.config().services().stream().anyMatch(s -> s.name().equals(one.service())
            && s.hosts().contains(hostOfDjango));
    }

    void start(Services.Container one) {
        var replacements = in(existing(List.of(one)), one).isPresent() ? List.<Container>of()
            : replacements(one).toList();
        var stopped = replacements.stream().filter(replacement -> stoppedReplacements.contains(replacement.id()))
            .toList();
        if (stopped.isEmpty() && replacements.stream().anyMatch(Container::isRunning)) return;
        var wanted = stopped.isEmpty() ? replacements.stream().limit(1).toList() : stopped;
        var ids = wanted.isEmpty() ? List.of(one.id()) : wanted.stream().map(Container::id).toList();
        setup.docker().engine("start").with(ids.toArray(String[]::new)).inOwnSession().output();
    }

    List<State> states(List<Services.Container> all) {
        var existing = existing(all);
        return all.stream().map(one -> in(existing, one).or(() -> replacements(one).findFirst()).map(Container::state)
            .orElse(State.GONE)).toList();
    }

    Set<String> addresses(List<Services.Container> all) {
        return existing(all).stream().flatMap(c -> c.addresses().stream()).collect(Collectors.toSet());
    }

    /** When its image was built; empty when unknown. */
    Optional<Instant> imageBuilt(Services.Container one) {
        var container = in(existing(List.of(one)), one).or(() -> replacements(one).findFirst()).map(Container::id)
            .orElse(one.id());
        var image = inspect("container", "{{.Image}}", container);
        try {
            return Optional.of(OffsetDateTime.parse(inspect("image", "{{.Created}}", image)).toInstant());
        } catch (DateTimeException ignored) { // the image does not exist any more
            return Optional.empty();
        }
    }

    private String inspect(String kind, String format, String id) {
        return setup.docker().engine(kind, "inspect", "--format", format, id).run().out().strip();
    }

    /** One request for all: it is repeated every second while people wait. */
    private List<Container> existing(List<Services.Container> all) {
        return Containers.of(setup.docker(), all.stream().map(Services.Container::id).toList());
    }

    private static Optional<Container> in(List<Container> existing, Services.Container one) {
        return existing.stream().filter(container -> container.id().equals(one.id())).findFirst();
    }

    /** The service's containers, the newest first. */
    private Stream<Container> replacements(Services.Container one) {
        return setup.containers().stream().filter(c -> one.service().equals(c.service()) && !c.oneOff())
            .sorted(Comparator.comparing(Container::created).reversed());
    }
}
