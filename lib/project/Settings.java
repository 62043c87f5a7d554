package lib.project;

import io.github.cdimascio.dotenv.DotenvEntry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * All that the environment and {@code .env} say for a project: its database, and options that may stand there too (what the
 * command line says comes first). A command has one of these: the file is read once, so that it may be a pipe.
 *
 * @param named by {@code --env-file}; false for the project's own {@code .env}
 */
public record Settings(Project project, EnvFile file, boolean named) {
    /** @param envFile by {@code --env-file}, or null: the project's own */
    public static Settings read(Project project, Path envFile, Map<String, String> environment) {
        return new Settings(project, EnvFile.of(project, envFile, environment), envFile != null);
    }

    /** The same file as a process with another environment sees it. */
    public Settings withEnvironment(Map<String, String> environment) {
        return new Settings(project, file.withEnvironment(environment), named);
    }

    /** @throws Failure see {@link Credentials#of(Project, EnvFile)} */
    public Credentials credentials() {
        return Credentials.of(project, file);
    }

    /**
     * The project's own {@code .env}, which Compose reads whatever {@code --env-file} says. Beside a file that was named only a
     * regular file counts: a pipe is left to Compose.
     */
    public EnvFile ownFile() {
        if (!named) return file;
        var own = project.root().resolve(".env");
        return Files.isRegularFile(own) ? EnvFile.read(own, file.environment()) : file.withoutFile();
    }

    public String text(String given, String name) {
        if (given != null) return given;
        var value = file.get(name);
        return value == null || value.isBlank() ? null : value.strip();
    }

    /** @param otherwise when nobody says */
    public <E extends Enum<E>> E choice(E given, String name, E otherwise) {
        if (given != null) return given;
        var all = otherwise.getDeclaringClass().getEnumConstants();
        var found = parsed(name, "one of " + Arrays.stream(all).map(Enum::name).collect(Collectors.joining(", ")),
                text -> Enum.valueOf(otherwise.getDeclaringClass(), text.toLowerCase(Locale.ROOT)));
        return found == null ? otherwise : found;
    }

    public Path path(Path given, String name) {
        return given != null ? given : parsed(name, "a path", Path::of);
    }

    public Integer number(Integer given, String name) {
        return given != null ? given : parsed(name, "a number", text -> {
            var number = Integer.parseInt(text);
            if (number < 0) throw new IllegalArgumentException();
            return number;
        });
    }

    public boolean flag(boolean given, String name) {
        if (given) return true;
        var value = parsed(name, "true or false", text -> switch (text.toLowerCase(Locale.ROOT)) {
            case "true", "1", "yes", "on" -> true;
            case "false", "0", "no", "off" -> false;
            default -> throw new IllegalArgumentException();
        });
        return value != null && value;
    }

    /** Several, with spaces or commas between them. */
    public List<String> list(List<String> given, String name) {
        if (given != null && !given.isEmpty()) return given;
        var value = text(null, name);
        return value == null
                ? List.of()
                : Arrays.stream(value.split("[\\s,]+"))
                        .filter(part -> !part.isEmpty())
                        .toList();
    }

    /** All whose names begin so, for a program that reads them itself; any may be a secret. */
    public Map<String, String> withPrefix(String prefix) {
        return file.entries().stream().filter(entry -> entry.getKey().startsWith(prefix))
            .collect(Collectors.toMap(DotenvEntry::getKey, DotenvEntry::getValue));
    }

    private <T> T parsed(String name, String expected, Function<String, T> parse) {
        var value = text(null, name);
        if (value == null) return null;
        try {
            return parse.apply(value);
        } catch (IllegalArgumentException e) { // without the exception: its text holds the value
            var where = file.fromEnvironment(name)
                    ? "environment"
                    : file.path().map(Path::toString).orElse("environment");
            throw new Setting(value, name, where).invalid(expected);
        }
    }
}
