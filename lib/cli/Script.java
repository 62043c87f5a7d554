package lib.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import lib.process.Program;
import lib.process.Shell;

/** The toolkit's scripts, and how people call them: the commands in messages can be pasted unchanged. */
public enum Script {
    RESET_MIGRATIONS, BACKUP_DATABASE;

    private static final Call CALL = new Call(System.getenv(), properties(), Path.of(""));
    private static List<String> projectOptions = List.of();

    /** A command for the shell that this script was called from, with its options that say which project is meant. */
    public String command(String... arguments) {
        var words = new ArrayList<>(List.of(arguments));
        words.addAll(projectOptions);
        return CALL.of(this) + (words.isEmpty() ? "" : " " + Shell.line(words));
    }

    /** The same for another project, without the options of this call that say which project is meant here. */
    public String commandIn(Path project, String... arguments) {
        var words = new ArrayList<>(List.of(arguments));
        words.addAll(List.of("--project", project.toString()));
        return CALL.of(this) + " " + Shell.line(words);
    }

    /** @param given the options of this call, with their values, that later commands for the same project need too */
    static void repeat(List<String> given) {
        projectOptions = List.copyOf(given);
    }

    private String className() { return name().toLowerCase(Locale.ROOT); }
    private String fileName() { return className() + ".java"; }

    /** The name in jbang-catalog.json. */
    private String alias() { return className().replace('_', '-'); }

    private static Map<String, String> properties() {
        return Stream.of("jbang.source", "script.alias", "java.class.path", "java.home")
                .collect(Collectors.toMap(name -> name, name -> System.getProperty(name, "")));
    }

    /**
     * How the script that runs was called.
     *
     * @param environment of this process: jbangw sets JBANGW_CALL, JBang sets JBANG_LAUNCH_CMD
     * @param properties  of this JVM; the catalog's aliases set script.alias, newer versions of JBang jbang.source
     * @param folder      the working folder
     */
    record Call(Map<String, String> environment, Map<String, String> properties, Path folder) {
        /** The start of a command line for this script or for the one beside it, quoted for a shell. */
        String of(Script script) {
            return Stream.of(byWrapper(script), bySource(script), byAlias(script), byJar(script), byFile(script))
                .flatMap(Optional::stream).findFirst().orElseGet(() -> byClass(script));
        }

        /** JBANGW_CALL is quoted already: {@code ./jbangw '/srv/my tools/reset_migrations.java'}. */
        private Optional<String> byWrapper(Script script) {
            return Optional.ofNullable(environment.get("JBANGW_CALL"))
                .map(call -> call.endsWith(".java") ? call.replaceFirst("\\w+\\.java$", script.fileName())
                    : call.replaceFirst("\\w+$", script.className()));
        }

        private Optional<String> bySource(Script script) {
            return Optional.of(properties.get("jbang.source")).filter(source -> !source.isEmpty())
                .map(source -> Shell.line(jbang(), source.replaceFirst("[^/]+$", script.fileName())));
        }

        /** An installed alias is a command; else JBang finds it in the nearest catalog. */
        private Optional<String> byAlias(Script script) {
            if (properties.get("script.alias").isEmpty()) return Optional.empty();
            if (Program.onPath(script.alias(), environment).isPresent()) return Optional.of(script.alias());
            var here = folder.toAbsolutePath();
            var hasCatalog = Stream.iterate(here, parent -> parent != null, Path::getParent)
                    .anyMatch(parent -> Files.isRegularFile(parent.resolve("jbang-catalog.json"))
                            && Files.isRegularFile(parent.resolve(script.fileName())));
            return hasCatalog ? Optional.of(Shell.line(jbang(), script.alias())) : Optional.empty();
        }

        /** {@code java -jar} makes the jar the whole class path, and names it as it was given. */
        private Optional<String> byJar(Script script) {
            var jar = Path.of(properties.get("java.class.path"));
            var isJar = jar.toString().endsWith(".jar") && !jar.toString().contains(":");
            if (!isJar || !Files.isRegularFile(folder.resolve(jar))) return Optional.empty();
            var name = jar.getFileName().toString()
                    .replaceFirst("reset[_-]migrations|backup[_-]database", script.className());
            var other = jar.resolveSibling(name);
            return Optional.of(other).filter(file -> Files.isRegularFile(folder.resolve(file)))
                    .map(file -> Shell.line(java(), "-jar", file.toString()));
        }

        /** JBang does not say which file it runs; the one in the working folder is that file or another copy of it. */
        private Optional<String> byFile(Script script) {
            return Optional.of(script.fileName()).filter(file -> Files.isRegularFile(folder.resolve(file)))
                    .map(file -> Shell.line(jbang(), file));
        }

        /** Long, but it works anywhere. */
        private String byClass(Script script) {
            return Shell.line(java(), "-cp", properties.get("java.class.path"), script.className());
        }

        private String jbang() {
            var launched = environment.getOrDefault("JBANG_LAUNCH_CMD", "jbang");
            return isOnPath("jbang", launched) ? "jbang" : launched;
        }

        private String java() {
            var java = Path.of(properties.get("java.home"), "bin", "java").toString();
            return isOnPath("java", java) ? "java" : java;
        }

        private boolean isOnPath(String name, String program) {
            return program.equals(name)
                    || Program.onPath(name, environment).filter(found -> isSame(found, Path.of(program))).isPresent();
        }

        private static boolean isSame(Path one, Path other) {
            try {
                return Files.isSameFile(one, other);
            } catch (IOException notThere) {
                return false;
            }
        }
    }
}
