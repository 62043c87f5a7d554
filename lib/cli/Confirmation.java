package lib.cli;

import lib.error.Failure;
import lib.process.Shell;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** The questions before something is replaced or destroyed, and the options that answer them for a script. */
public final class Confirmation {
    @Option(names = "--yes", scope = ScopeType.INHERIT, description = "Do not ask.")
    public boolean yes;
    @Option(names = "--confirm-database", scope = ScopeType.INHERIT, paramLabel = "NAME",
            description = "The database's name, as a script has to give it where a person has to type it.")
    String database;

    /** @param debug as Django has it, or true where it is unknown @throws Failure refused (4) */
    public void ask(Console console, String name, boolean local, boolean debug) {
        if (database != null) {
            if (database.equals(name)) return;
            throw Failure.refused("--confirm-database says " + database + ", but the database is " + name)
                .next("check .env before anything else");
        }
        if (local && debug) {
            if (!yes && !console.yes("Continue? Type YES, yes or y:")) throw notConfirmed();
            return;
        }
        var why = local ? "DEBUG is False" : "the database is not on this machine";
        if (yes || !console.canAsk()) {
            throw Failure.refused(why + ": --yes is not enough, the database's name has to be given")
                .next("if " + name + " is really meant: --confirm-database " + Shell.quoted(name),
                    "or, in a terminal, leave --yes out and type it");
        }
        if (!console.ask(why + ". Type the database's name to continue:").equals(name)) throw notConfirmed();
    }

    private static Failure notConfirmed() {
        return Failure.refused("not confirmed, nothing was touched");
    }

    /** Asks once, and only where a person can answer. After a no the run fails with these sessions if they stay. */
    public boolean toTerminate(Console console, int sessions) {
        if (yes || sessions == 0 || !console.canAsk()) return false;
        var which = sessions == 1 ? "this session" : "these %d sessions".formatted(sessions);
        return console.yes("Disconnect %s before the swap? Type YES, yes or y:".formatted(which));
    }
}
