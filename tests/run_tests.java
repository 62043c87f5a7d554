///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//DEPS org.junit.platform:junit-platform-console-standalone:1.14.4
//SOURCES ../lib/Lib.java
//SOURCES ../reset_migrations.java
//SOURCES ../backup_database.java
//SOURCES ../demo.java
//SOURCES *Test.java
//SOURCES docker/*.java
//SOURCES support/*.java

import java.io.FilterWriter;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.platform.console.ConsoleLauncher;

/** Runs every test, or those named by the console launcher's own options: {@code --select-class=EnvFileTest}. */
class run_tests {
    public static void main(String... args) {
        var launch = new ArrayList<>(List.of("execute", "--disable-banner", "--fail-if-no-tests", "--details=tree"));
        if (args.length == 0) launch.add("--scan-classpath=" + ownClasses());
        // two at a time of those tests that say so: they mostly wait for containers
        launch.addAll(List.of("--config=junit.jupiter.execution.parallel.enabled=true", "--config=junit.jupiter.execution.parallel.config.strategy=fixed",
            "--config=junit.jupiter.execution.parallel.config.fixed.parallelism=2", "--config=junit.jupiter.execution.parallel.config.fixed.max-pool-size=2"));
        launch.addAll(List.of(args));
        var out = new Counting();
        var exit = ConsoleLauncher.run(new PrintWriter(out, true), new PrintWriter(System.err, true), launch.toArray(String[]::new)).getExitCode();
        System.out.printf("%d passed, %d failed%n", out.count("tests successful"), out.count("tests failed"));
        System.exit(exit);
    }

    /** The jar that JBang made of the sources above: only its classes are scanned, not the libraries'. */
    private static String ownClasses() {
        return run_tests.class.getProtectionDomain().getCodeSource().getLocation().getPath();
    }

    /** Lets everything through and keeps the end of it, where the launcher's figures are. */
    private static final class Counting extends FilterWriter {
        private final StringBuilder tail = new StringBuilder();

        Counting() {
            super(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        }

        @Override public void write(String text, int from, int length) throws IOException {
            out.write(text, from, length);
            out.flush();
            tail.append(text, from, from + length);
            if (tail.length() > 8192) tail.delete(0, tail.length() - 4096);
        }

        int count(String what) {
            var figure = Pattern.compile("\\[\\s*(\\d+) " + what).matcher(tail);
            return figure.find() ? Integer.parseInt(figure.group(1)) : 0;
        }
    }
}
