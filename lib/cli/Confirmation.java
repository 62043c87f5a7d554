package lib.cli;

import lib.error.Failure;
import lib.process.Shell;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** What a person, or a script in its place, has to say before something is replaced or destroyed. */
public final class Confirmation {
    @Option(names = "--yes", scope = ScopeType.INHERIT, description = "Do not ask.")
    public boolean yes;
    @Option(names = "--confirm-database", scope = ScopeType.INHERIT, paramLabel = "NAME",
            description = "The database's name, as a script has to give it where a person has to type it.")
    String database;

    /**
     * @param local a database of this machine
     * @param debug as Django has it; true where that is not known
     * @throws Failure refused (4)
     */
    public void ask(Console console, String name, boolean local, boolean debug) {
        if (database != null) {
            if (database.equals(name)) return;
            throw Failure.refused("--confirm-database says " + database + ", but the database is " + name)
                .next("check .env before anything else");
        }
        if (local && debug) {
            if (!yes && !console.yes("Go on? Type YES, yes or y:")) throw notConfirmed();
            return;
        }
        var why = local ? "DEBUG is False" : "the database is not on this machine";
        if (yes || !console.canAsk()) {
            throw Failure.refused(why + ": --yes is not enough, the database's name has to be given")
                .next("if " + name + " is really meant: --confirm-database " + Shell.quoted(name),
                    "or, in a terminal, leave --yes out and type it");
        }
        if (!console.ask(why + ". Type the database's name to go on:").equals(name)) throw notConfirmed();
    }

    private static Failure notConfirmed() {
        return Failure.refused("not confirmed, nothing was touched");
    }

    /**
     * Asks once, and only where a person can answer. After a no the run goes on, and fails with the sessions that are in its way.
     *
     * @param sessions how many are in the way
     */
    public boolean toTerminate(Console console, int sessions) {
        if (yes || sessions == 0 || !console.canAsk()) return false;
        var which = sessions == 1 ? "this session" : "these %d sessions".formatted(sessions);
        return console.yes("Disconnect %s before the swap? Type YES, yes or y:".formatted(which));
    }
}
