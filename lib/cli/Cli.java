package lib.cli;

import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.stream.Stream;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.process.Interruption;
import picocli.CommandLine;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.ScopeType;

/** picocli's set-up, the same for every script: a Failure becomes one message and one exit code. */
public final class Cli {
    private Cli() {}

    /** The options every command has; mixed in by picocli. */
    public static final class Output {
        @Option(names = "--json", scope = ScopeType.INHERIT,
                description = "One JSON object a line on stdout; all that is for people goes to stderr.")
        public boolean json;
        @Option(names = "--verbose", scope = ScopeType.INHERIT, description = "Details, and stack traces of failures.")
        public boolean verbose;
        @Option(names = "--quiet", scope = ScopeType.INHERIT, description = "Only warnings and errors.")
        public boolean quiet;
        @Option(names = "--color", scope = ScopeType.INHERIT, paramLabel = "WHEN", defaultValue = "auto",
                description = "auto, always or never (default: ${DEFAULT-VALUE}; NO_COLOR is respected).")
        public Console.Color color = Console.Color.auto;

        private Console console;

        public Console console() {
            if (console == null) console = new Console(new Console.Options(quiet, verbose, json, color));
            return console;
        }
    }

    /** A command with the options of {@link Output}. */
    public interface HasOutput {
        Output output();
    }

    /** A mixin whose options, as they were given, are repeated in every command that a message names. */
    public interface ForLaterCommands {}

    /** Runs the command line and returns the exit code. */
    public static int run(Object command, String... args) {
        Interruption.install();
        return commandLine(command).execute(args);
    }

    /** The command line as {@link #run} uses it, for tests that read the help. */
    public static CommandLine commandLine(Object command) {
        var line = new CommandLine(command).setCaseInsensitiveEnumValuesAllowed(true).setUsageHelpAutoWidth(true)
                .setExpandAtFiles(false) // a password file named @x is not a list of arguments
                .setExecutionStrategy(Cli::execute)
                .setExecutionExceptionHandler((e, cl, parsed) -> failed(e, cl))
                .setParameterExceptionHandler(Cli::misused);
        completeHead(line);
        return line;
    }

    /** An option that only the command above has would be ignored when it is given before a subcommand's name. */
    private static int execute(ParseResult parsed) {
        for (var above = parsed; above.hasSubcommand(); above = above.subcommand())
            for (var option : above.matchedOptions())
                if (option.scopeType() != ScopeType.INHERIT) {
                    var below = above.subcommand().commandSpec();
                    throw new ParameterException(below.commandLine(),
                            option.longestName() + " is not an option of " + below.name());
                }
        Script.repeat(forLaterCommands(parsed));
        return new CommandLine.RunLast().execute(parsed);
    }

    private static List<String> forLaterCommands(ParseResult parsed) {
        var words = new ArrayList<String>();
        for (var at = parsed; at != null; at = at.subcommand())
            for (var option : at.matchedOptions()) {
                if (!(option.userObject() instanceof Field field)
                        || !ForLaterCommands.class.isAssignableFrom(field.getDeclaringClass())) continue;
                words.add(option.longestName());
                if (option.arity().max() > 0) words.add(laterValue(option));
            }
        return words;
    }

    /** A pipe, as of {@code <(…)}, is gone when the command has ended: its option's label stands for it. */
    private static String laterValue(CommandLine.Model.OptionSpec option) {
        var value = option.originalStringValues().getLast();
        if (option.type() != Path.class) return value;
        var path = Path.of(value).toAbsolutePath().normalize();
        var isDescriptor = Stream.of("/dev/fd", "/dev/stdin", "/proc").anyMatch(path::startsWith);
        var isPipe = Files.exists(path) && !Files.isRegularFile(path) && !Files.isDirectory(path);
        return isDescriptor || isPipe ? option.paramLabel() : value;
    }

    /** What every command has: --help, --version, options in the order of their declaration, the exit codes. */
    private static void completeHead(CommandLine line) {
        var spec = line.getCommandSpec();
        spec.mixinStandardHelpOptions(true);
        var exitCodes = new LinkedHashMap<String, String>();
        for (var exit : ExitCode.values()) exitCodes.put(String.valueOf(exit.code), exit.meaning);
        spec.usageMessage().sortOptions(false).exitCodeListHeading("%nExit codes:%n").exitCodeList(exitCodes);
        for (var below : line.getSubcommands().values()) {
            if (spec.versionProvider() != null) below.getCommandSpec().versionProvider(spec.versionProvider());
            completeHead(below);
        }
    }

    private static int failed(Exception e, CommandLine line) throws Exception {
        var console = console(line);
        var failure = Failure.of(Interruption.asInterruption(e));
        if (failure == null) { // a bug: everything that helps to find it
            console.error(Problem.of(ExitCode.FAILED, "this is a bug in the tool: " + e,
                "please report it with the lines below"));
            e.printStackTrace(System.err);
            return ExitCode.FAILED.code;
        }
        console.log(failure);
        console.error(failure.problem());
        return failure.problem().exit().code;
    }

    /** A subcommand has the console of the command above it. */
    private static Console console(CommandLine line) {
        for (var at = line; at != null; at = at.getParent())
            if (at.getCommand() instanceof HasOutput has) return has.output().console();
        return new Output().console();
    }

    private static int misused(ParameterException e, String[] args) {
        var line = e.getCommandLine();
        var help = "see " + line.getCommandSpec().qualifiedName() + " --help";
        var problem = Problem.of(ExitCode.USAGE, e.getMessage(), help);
        var output = new Output(); // picocli stopped before it had set the options
        output.json = Arrays.asList(args).contains("--json");
        output.console().error(problem);
        return problem.exit().code;
    }
}
