package support;

import java.nio.file.Path;
import lib.error.Failure;
import lib.process.Interruption;
import lib.server.ThrowawayServer;

/** A process that has a throwaway server of that major in that folder, says where, and keeps it until it is ended. */
public final class ServerHolder {
    private ServerHolder() {}

    public static void main(String... args) throws InterruptedException {
        Interruption.install();
        var code = 0;
        try (var server = ThrowawayServer.start(Integer.parseInt(args[0]), Path.of(args[1]), System.err::println)) {
            System.out.println(server.folder());
            System.out.println(server.credentials().port());
            for (;;) {
                Interruption.check();
                Thread.sleep(20);
            }
        } catch (Failure e) {
            System.err.println(e.problem().what());
            code = e.problem().exit().code;
        }
        System.exit(code);
    }
}
