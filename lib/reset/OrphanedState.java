package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import lib.cli.Script;
import lib.error.Failure;
import lib.files.Text;
import lib.postgres.Database;
import lib.postgres.Renames;
import lib.postgres.Sql;

/**
 * What a run has set aside, from its {@link RunComment} on the server: all that is known when its record is lost.
 *
 * @param schema null when it is the whole database
 */
record OrphanedState(String run, String database, String schema, String words) {
    private record Commented(String name, RunComment comment) {}

    /** What runs have set aside of this database: under other names, and in schemas inside it. */
    static List<OrphanedState> in(Database db) {
        var live = db.name();
        var found = new ArrayList<OrphanedState>();
        for (var one : commented(db, "SELECT datname, shobj_description(oid, 'pg_database') AS words FROM "
                + "pg_database WHERE datname <> current_database()")) {
            var run = one.comment.run();
            if (one.comment.equals(RunComment.before(run, live)) || one.name.equals(RunId.named(live, "before", run))
                    || one.name.equals(RunId.named(live, "undone", run)))
                found.add(new OrphanedState(run, one.name, null, one.comment.words()));
        }
        found.addAll(schemasIn(db));
        return found;
    }

    /** The schemas of this database that runs have created or filled. */
    static List<OrphanedState> schemasIn(Database db) {
        var database = db.name();
        return commented(db, "SELECT nspname, obj_description(oid, 'pg_namespace') AS words FROM pg_namespace").stream()
                .map(one -> new OrphanedState(one.comment.run(), database, one.name, one.comment.words())).toList();
    }

    /**
     * Databases in which other runs have built something of this one, by their names. A run's record names its own, but
     * {@code --dry-run --losses} has no record when it is killed.
     */
    static List<String> scratchDatabases(Database db, Set<String> runs) {
        var live = db.name();
        return db.texts("SELECT datname FROM pg_database WHERE datname ~ '_[0-9]{8}_[0-9]{6}_[0-9a-f]{4}$' ORDER BY 1")
                .stream().filter(name -> {
                    var run = name.substring(name.length() - "20261122_172530_4f2a".length()).replace('_', '-');
                    return !runs.contains(run) && RunId.scratchDatabases(live, run).contains(name);
                }).toList();
    }

    private static List<Commented> commented(Database db, String sql) {
        return db.list("SELECT * FROM (%s) c WHERE words LIKE '%s' ORDER BY 1".formatted(sql, RunComment.LIKE),
                        r -> new Commented(r.getString(1), RunComment.parse(r.getString(2)).orElse(null))).stream()
                .filter(one -> one.comment != null).toList();
    }

    /** An old state, which undo would bring back; else what an undo has set aside. */
    boolean isOld() { return new RunComment(run, words).isBefore(); }

    /** For a message, in one line. */
    String describe() {
        var where = schema == null ? "database " + database : "schema %s of database %s".formatted(schema, database);
        return "%s: %s, by run %s".formatted(where, words, run);
    }

    static Failure withoutRecord(List<OrphanedState> states) {
        return Failure.refused("set aside by a run whose record is missing here:"
                + Text.lines(states.stream().map(OrphanedState::describe).toList()))
                .next("undo and purge need the record: run them where the reset was run, or copy its folder here, "
                        + "from .reset/ there or ~/.local/state/reset_migrations",
                        "or do it by hand: %s prints the SQL".formatted(Script.RESET_MIGRATIONS.command("status")));
    }

    /** The SQL that brings it back by hand, a line each. */
    List<String> recoverySql(Database db) {
        var live = db.name();
        if (schema != null) {
            var tables = db.one("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE "
                    + "nspname = ? AND relkind IN ('r', 'p', 'f')", r -> r.getInt(1), schema);
            return List.of(("-- in database %s, in one transaction: move what is in the schema in use elsewhere "
                            + "(ALTER TABLE … SET SCHEMA, and so on),").formatted(live),
                    "-- then move what is in %s there; it has %s"
                            .formatted(Sql.identifier(schema), Text.count(tables, "table")));
        }
        var elsewhere = RunId.named(live, isOld() ? "undone" : "before", run);
        var setAside = isOld() ? RunComment.undone(run) : RunComment.before(run, live);
        var comment = db.texts(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()")
                .getFirst();
        return List.of("-- from another database, such as postgres, when nobody is connected to " + live,
                "BEGIN;", Renames.rename(live, elsewhere) + ";", Renames.rename(database, live) + ";",
                Renames.comment(elsewhere, setAside.toString()) + ";", Renames.comment(live, comment) + ";", "COMMIT;");
    }
}
