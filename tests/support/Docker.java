package support;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import lib.error.Failure;

/** This machine's Docker engine and Composes. Tests that need a missing one are skipped, with a message. */
public final class Docker {
    /** What {@code tests/docker/images.sh} makes: PostgreSQL 15; Python with Django, at /app; busybox with neither. */
    public static final String DB = "reset-migrations-test/db:15",
            APP = "reset-migrations-test/app:1",
            BARE = "reset-migrations-test/bare:1";

    private Docker() {}

    public enum Compose {
        V1("docker-compose"), V2("docker", "compose");

        private final List<String> program;

        Compose(String... program) {
            this.program = List.of(program);
        }

        /** The command line of this Compose with these arguments. */
        public List<String> command(String... args) {
            return Stream.concat(program.stream(), Stream.of(args)).toList();
        }

        public boolean isThere() {
            return answers(command("version"));
        }

        /**
         * A PATH with only this Compose, for {@link Tool#env}: {@code folder} gets programs that come first and fail as
         * a missing one does.
         */
        public String onlyOn(Path folder) throws IOException {
            return path(folder, EnumSet.of(this));
        }
    }

    /** As {@link Compose#onlyOn}, for any set of them; with an empty set there is only the engine's own program. */
    public static String path(Path folder, Set<Compose> composes) throws IOException {
        Files.createDirectories(folder);
        if (!composes.contains(Compose.V2)) program(folder, "docker", """
            for word; do
              case $word in
                compose) echo "docker: 'compose' is not a docker command." >&2; exit 1 ;;
                -*) ;;
                *) break ;;
              esac
            done
            exec %s "$@"
            """.formatted(find("docker")));
        if (!composes.contains(Compose.V1))
            program(folder, "docker-compose", "echo 'docker-compose: command not found' >&2; exit 127\n");
        return folder + File.pathSeparator + System.getenv("PATH");
    }

    private static void program(Path folder, String name, String text) throws IOException {
        var file = folder.resolve(name);
        Files.writeString(file, "#!/bin/sh\n" + text);
        file.toFile().setExecutable(true, false);
    }

    private static Path find(String program) {
        return Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
                .map(folder -> Path.of(folder, program))
                .filter(Files::isExecutable)
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("no " + program + " on PATH"));
    }

    /** Skips the calling test when no engine replies, or the images are missing. */
    public static void assume() {
        assumeTrue(Engine.MISSING == null, Engine.MISSING);
    }

    /** Skips the calling test when this Compose or the engine is missing. */
    public static void assume(Compose compose) {
        assume();
        assumeTrue(
                compose.isThere(),
                String.join(" ", compose.command()) + " does not answer: Compose " + compose + " is not tested");
    }

    /** Asked once a JVM. */
    private static final class Engine {
        static final String MISSING = !answers(List.of("docker", "version"))
                ? "no Docker engine answers: the Docker tests are skipped"
                : !answers(List.of("docker", "image", "inspect", DB, APP, BARE))
                        ? "the images are missing: tests/docker/images.sh makes them; the Docker tests are skipped"
                        : null;
    }

    private static boolean answers(List<String> command) {
        try {
            return Python.run(Path.of("."), command.toArray(String[]::new)).code() == 0;
        } catch (IOException | Failure missing) {
            return false;
        }
    }

    /** The output, without the last newline, of {@code docker ARGS…}, which has to succeed. */
    public static String run(String... args) throws IOException {
        return run(Path.of("."), Map.of(), null, Stream.concat(Stream.of("docker"), Stream.of(args)).toList());
    }

    /** The output, without the last newline, of a command that has to succeed. @param in stdin, or null for none */
    static String run(Path folder, Map<String, String> environment, Path in, List<String> command) throws IOException {
        var builder = new ProcessBuilder(command).directory(folder.toFile())
            .redirectInput(in == null ? new File("/dev/null") : in.toFile());
        builder.environment().keySet().removeIf(name -> name.matches("(DB_|PG|POSTGRES_|DJANGO_|COMPOSE_).*"));
        builder.environment().putAll(environment);
        var err = Files.createTempFile("docker", ".err");
        try {
            var process = builder.redirectError(err.toFile()).start();
            var out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            var code = process.waitFor();
            if (code != 0)
                throw new IOException(
                        String.join(" ", command) + ": exit " + code + "\n" + out + Files.readString(err));
            return out.stripTrailing();
        } catch (InterruptedException e) {
            throw new IOException("interrupted while running " + command, e);
        } finally {
            Files.delete(err);
        }
    }
}
