package lib.process;

import java.time.Duration;
import java.util.concurrent.ConcurrentLinkedDeque;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import sun.misc.Signal;

/**
 * Ctrl-C, SIGTERM and a closed terminal: they stop what the command waits for, so that it fails and the plan puts
 * everything back. Thread.interrupt() is not used, because it closes file channels that undo needs.
 */
public final class Interruption {
    private static final ConcurrentLinkedDeque<Runnable> STOPPERS = new ConcurrentLinkedDeque<>();
    private static volatile boolean interrupted;
    private static volatile boolean shielded;

    private Interruption() {}

    /** Handles the three signals from now on, where the platform has them. */
    public static void install() {
        for (var name : new String[] {"INT", "TERM", "HUP"}) {
            try {
                Signal.handle(new Signal(name), signal -> stop());
            } catch (IllegalArgumentException ignored) {
                // Windows has no HUP
            }
        }
    }

    private static void stop() {
        interrupted = true;
        if (!shielded) STOPPERS.forEach(Runnable::run);
    }

    /** While the returned handle is open, a signal runs {@code stop}: kill the program, cancel the statement. */
    public static Handle onSignal(Runnable stop) {
        STOPPERS.push(stop);
        return () -> STOPPERS.remove(stop);
    }

    /** @throws Failure 130 after a signal; never inside {@link #uninterruptibly}, as undo uses the same code */
    public static void check() {
        if (interrupted && !shielded) throw new Failure(new Problem.Interrupted());
    }

    /** @throws Failure 130 when a signal comes */
    public static void pause(Duration length) {
        try {
            var end = System.nanoTime() + length.toNanos();
            do {
                check();
                Thread.sleep(Duration.ofNanos(Math.clamp(end - System.nanoTime(), 0, 50_000_000)));
            } while (System.nanoTime() < end);
            check();
        } catch (InterruptedException e) {
            throw new Failure(new Problem.Interrupted(), e);
        }
    }

    /** After a signal every failure is an interruption, except one that leaves something to do (exit code 3). */
    public static Exception asInterruption(Exception e) {
        var partly = e instanceof Failure f && f.problem().exit() == ExitCode.PARTLY;
        return interrupted && !partly ? new Failure(new Problem.Interrupted(), e) : e;
    }

    /** A signal that comes while the work runs takes effect afterwards. */
    public static void uninterruptibly(Runnable work) {
        var before = shielded;
        shielded = true;
        try {
            work.run();
        } finally {
            shielded = before;
        }
    }

    /** Closing it ends the registration. */
    public interface Handle extends AutoCloseable {
        @Override void close();
    }
}
