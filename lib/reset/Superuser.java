package lib.reset;

import java.util.stream.Collectors;
import lib.cli.Console;
import lib.django.Description;
import lib.docker.DockerCompose;
import lib.environment.Environment;
import lib.error.Failure;

/**
 * Django's createsuperuser after a reset.
 *
 * @param wanted      null: only when the answer to our question is yes
 * @param interactive createsuperuser itself may ask on the terminal
 */
public record Superuser(Boolean wanted, boolean mayAsk, boolean interactive) {

    /** @throws Failure done in part (3): the reset is done, but there is no superuser */
    void create(Console console, Environment environment, Description django) {
        var command = environment.commandLine(django, "createsuperuser");
        if (environment.imageHasCode()) { // createsuperuser looks at the migrations first
            if (Boolean.TRUE.equals(wanted))
                throw Failure.partly("no superuser was created: the image still has the old migration files")
                    .next("once it is built: " + command);
            return;
        }
        var isWanted = wanted != null ? wanted : mayAsk
                && console.yes("Create a superuser now? Type YES, yes or y:", failed("interrupted", command).problem());
        if (!isWanted) return;
        var manage = environment.manage(interactive, django, "createsuperuser");
        if (interactive) {
            var code = manage.interactive();
            if (code != 0) throw failed("exit code " + code, command);
            return;
        }
        var output = manage.with("--noinput").run();
        var words = output.err().lines().filter(line -> !DockerCompose.isWarning(line))
                .collect(Collectors.joining("\n")).strip();
        if (words.contains("unrecognized arguments: --noinput")) throw failed(words, command)
                .next("this is the project's own createsuperuser, which does not know --noinput; run it as it wants: "
                        + command);
        if (output.code() != 0) throw failed(words, command)
                .next("without a terminal, DJANGO_SUPERUSER_USERNAME, _EMAIL and _PASSWORD have to be set",
                        "run it again: " + command);
        console.say(output.out().strip());
    }

    private static Failure failed(String why, String command) {
        return Failure.partly("the reset is done, but createsuperuser failed: " + why).next("run it again: " + command);
    }
}
