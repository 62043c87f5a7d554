package lib.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import lib.cli.Console;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.plan.Plan.NotPutBack;
import org.junit.jupiter.api.Test;

class PlanTest {
    private final List<String> acts = new ArrayList<>();
    private final Console console = new Console(new Console.Options(true, false, false, Console.Color.never));

    private Step step(String name) {
        return Step.of(
                name, () -> acts.add("run " + name), () -> acts.add("undo " + name), () -> acts.add("finish " + name));
    }

    private Step failing(String name, Exception with) {
        return Step.of(name, () -> { throw with; }, () -> acts.add("undo " + name), () -> acts.add("finish " + name));
    }

    @Test void steps_run_in_order_and_are_finished_after_the_last() {
        new Plan(List.of(step("a"), step("b"))).run(console, () -> "");
        assertEquals(List.of("run a", "run b", "finish a", "finish b"), acts);
    }

    @Test void a_failure_undoes_the_begun_steps_last_first_and_finishes_none() {
        var plan = new Plan(List.of(step("a"), failing("b", new IOException("disk")), step("c")));
        var failure = assertThrows(Failure.class, () -> plan.run(console, () -> ""));
        assertEquals(List.of("run a", "undo b", "undo a"), acts);
        assertEquals(ExitCode.FAILED, failure.problem().exit());
    }

    @Test void a_step_that_cannot_be_undone_is_named_and_the_steps_before_it_stay() {
        var stubborn = Step.of("rename", () -> {}, () -> { throw new IOException("no such folder"); }, () -> {});
        var plan = new Plan(List.of(step("a"), stubborn, failing("c", new IOException("disk"))));
        var failure = assertThrows(Failure.class, () -> plan.run(console, () -> "reset_migrations undo x"));
        assertEquals(List.of("run a", "undo c"), acts); // a may be the record that undo needs
        var left = (NotPutBack) failure.problem();
        assertEquals(ExitCode.PARTLY, left.exit());
        assertEquals(List.of("rename: no such folder", "therefore not undone: a"), left.left());
        assertEquals(List.of("reset_migrations undo x"), left.next());
    }

    private record Lost(ExitCode exit, String what) implements Problem {
        @Override public boolean isPermanent() {
            return true;
        }
    }

    @Test void a_permanent_loss_does_not_stop_the_undo() {
        var dropped = Step.of("drop", () -> {}, () -> {
                    throw new Failure(new Lost(ExitCode.REFUSED, "tables were dropped"));
                },
                () -> {});
        var plan = new Plan(List.of(step("a"), dropped, failing("c", new IOException("disk"))));
        assertEquals(ExitCode.PARTLY, assertThrows(Failure.class, () -> plan.run(console, () -> "")).problem()
                .exit());
        assertEquals(List.of("run a", "undo c", "undo a"), acts);
    }

    @Test void services_that_do_not_start_do_not_stop_the_undo() {
        var services = Step.of("stop", () -> {}, () -> {
                    throw new Failure(new Stopped("docker-compose start backend"));
                },
                () -> {});
        var plan = new Plan(List.of(step("a"), services, failing("c", new IOException("disk"))));
        var left = (NotPutBack) assertThrows(Failure.class, () -> plan.run(console, () -> "reset_migrations undo x"))
                .problem();
        assertEquals(List.of("run a", "undo c", "undo a"), acts);
        assertEquals(List.of("docker-compose start backend"), left.next());
    }

    @Test void after_a_virtual_machine_error_everything_is_undone() {
        var plan = new Plan(List.of(step("a"), Step.of("b", () -> { throw new OutOfMemoryError(); })));
        assertThrows(IllegalStateException.class, () -> plan.run(console, () -> ""));
        assertEquals(List.of("run a", "undo a"), acts);
    }

    @Test void a_bug_keeps_its_own_exception() {
        var plan = new Plan(List.of(step("a"), failing("b", new IllegalStateException("bug"))));
        assertEquals("bug", assertThrows(IllegalStateException.class, () -> plan.run(console, () -> "")).getMessage());
        assertEquals(List.of("run a", "undo b", "undo a"), acts);
    }

    @Test void a_failed_finish_undoes_nothing_but_is_a_failure() {
        var plan = new Plan(List.of(Step.of("a", () -> {}, () -> acts.add("undo a"), () -> {
                    throw new IOException("disk full");
                }),
                step("b")));
        var failure = assertThrows(Failure.class, () -> plan.run(console, () -> ""));
        assertEquals(List.of("run b", "finish b"), acts);
        assertEquals(ExitCode.PARTLY, failure.problem().exit());
        assertTrue(failure.problem().what().contains("disk full"), failure.problem().what());
    }

    private record Stopped(String command) implements Problem {
        @Override public ExitCode exit() {
            return ExitCode.PARTLY;
        }

        @Override public boolean isPermanent() {
            return true;
        }

        @Override public String what() {
            return "not started again: port 8000 is taken";
        }

        @Override public List<String> next() {
            return List.of(command);
        }
    }
}
