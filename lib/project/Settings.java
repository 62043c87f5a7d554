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
import lib.error.Failure;

/**
 * A project's settings, from the environment and from {@code .env}: its database, and options of the scripts that can
 * be set there too. An option of the command line comes first. A command reads the file once: it may be a pipe.
 *
 * @param named by {@code --env-file}; false for the project's own {@code .env}
 */
public record Settings(Project project, EnvFile file, boolean named) {
    /** @param envFile {@code --env-file}, or null for the project's own */
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

    /** Whether a name of the database is set anywhere. If not, Django's own settings decide. */
    public boolean nameDatabase() {
        return named || Credentials.areNamed(file);
    }

    /** @return names what is read, and where */
    public Failure noDatabase() {
        return Credentials.noSettings(project);
    }

    /** True when {@link #credentials} uses DATABASE_URL, which Python's readers parse differently. */
    public boolean haveUrl() {
        var name = file.get("DB_NAME");
        return file.get("DATABASE_URL") != null && (name == null || name.isEmpty());
    }

    /**
     * The project's own {@code .env}, which Compose reads even when {@code --env-file} names another. In that case only
     * a regular file is read: a pipe is left to Compose.
     */
    public EnvFile ownFile() {
        if (!named) return file;
        var own = project.root().resolve(".env");
        return Files.isRegularFile(own) ? EnvFile.read(own, file.environment()) : file.withoutFile();
    }

    public String text(String option, String name) {
        if (option != null) return option;
        var value = file.get(name);
        return value == null || value.isBlank() ? null : value.strip();
    }

    /** @param otherwise when it is set nowhere; its enum's names are lower-case */
    public <E extends Enum<E>> E choice(E option, String name, E otherwise) {
        if (option != null) return option;
        var type = otherwise.getDeclaringClass();
        var all = Arrays.stream(type.getEnumConstants()).map(Enum::name).collect(Collectors.joining(", "));
        var found = parsed(name, "one of " + all, text -> Enum.valueOf(type, text.toLowerCase(Locale.ROOT)));
        return found == null ? otherwise : found;
    }

    public Path path(Path option, String name) {
        return option != null ? option : parsed(name, "a path", Path::of);
    }

    public Integer number(Integer option, String name) {
        return option != null ? option : parsed(name, "a number", text -> {
            var number = Integer.parseInt(text);
            if (number < 0) throw new IllegalArgumentException();
            return number;
        });
    }

    public boolean flag(boolean option, String name) {
        if (option) return true;
        var value = parsed(name, "true or false", text -> switch (text.toLowerCase(Locale.ROOT)) {
            case "true", "1", "yes", "on" -> true;
            case "false", "0", "no", "off" -> false;
            default -> throw new IllegalArgumentException();
        });
        return value != null && value;
    }

    /** In the setting, separated by spaces or commas. */
    public List<String> list(List<String> option, String name) {
        if (option != null && !option.isEmpty()) return option;
        var value = text(null, name);
        if (value == null) return List.of();
        return Arrays.stream(value.split("[\\s,]+")).filter(part -> !part.isEmpty()).toList();
    }

    /** For a program that reads them itself: those whose names begin so. Any may be a secret. */
    public Map<String, String> withPrefix(String prefix) {
        return file.entries().stream().filter(entry -> entry.getKey().startsWith(prefix))
            .collect(Collectors.toMap(DotenvEntry::getKey, DotenvEntry::getValue));
    }

    private <T> T parsed(String name, String expected, Function<String, T> parse) {
        var value = text(null, name);
        if (value == null) return null;
        try {
            return parse.apply(value);
        } catch (IllegalArgumentException ignored) { // not as a cause: its text holds the value
            throw new Setting(value, name, file.source(name)).invalid(expected);
        }
    }
}
