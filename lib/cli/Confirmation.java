package lib.cli;

import lib.error.Failure;
import lib.error.Problem;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;

/** What a person, or a script in its place, has to say before something is replaced or destroyed. */
public final class Confirmation {
    @Option(names = "--yes", scope = ScopeType.INHERIT, description = "Do not ask.")
    public boolean yes;
    @Option(names = "--confirm-database", scope = ScopeType.INHERIT, paramLabel = "NAME", description = "The database's name, as a script has to give it where a person has to type it.")
    String database;

    /**
     * @param local a database of this machine
     * @param debug as Django has it; true where that is not known
     * @throws Failure refused (4)
     */
    public void ask(Console console, String name, boolean local, boolean debug) {
        if (database != null) {
            if (!database.equals(name)) throw new Failure(new Problem.OtherName(database, name));
            return;
        }
        if (local && debug) {
            if (!yes && !console.yes("Go on? Type YES, yes or y:")) throw new Failure(new Problem.NotConfirmed());
            return;
        }
        if (yes || !console.canAsk()) throw new Failure(new Problem.NameNotGiven(name, local));
        var why = local ? "DEBUG is False" : "the database is not on this machine";
        if (!console.ask(why + ". Type the database's name to go on:").equals(name)) throw new Failure(new Problem.NotConfirmed());
    }

    /** Once, and only where somebody is there to say yes. After a no the run goes on, and says who was in its way. @param sessions in the way */
    public boolean toTerminate(Console console, int sessions) {
        return !yes && sessions > 0 && console.canAsk()
                && console.yes("End %s when it is time? Type YES, yes or y:".formatted(sessions == 1 ? "this session" : "these %d sessions".formatted(sessions)));
    }
}
