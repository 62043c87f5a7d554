package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import lib.django.Migrator;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;
import lib.plan.Step;
import lib.postgres.Database;
import lib.postgres.DatabaseSnapshot;
import lib.postgres.Grants;
import lib.postgres.SchemaObject;
import lib.postgres.SchemaObjects;
import lib.postgres.Sessions;
import lib.process.Interruption;

/** The tables of the current schema are dropped, as the original script did. Only a backup brings them back. */
public final class DropTables implements Strategy {
    /** One table with two indexes takes thirteen locks: far from the 6,400 of a server's default settings. */
    private static final int AT_ONCE = 50;

    private final Database db;
    private final DatabaseSnapshot look;
    private final boolean terminate;
    private final List<SchemaObject> tables;
    private final List<SchemaObject> collations;
    private final List<String> warnings;
    private final PreviousState.Backup aside;
    private Grants grants = new Grants(List.of());

    private DropTables(Database db, DatabaseSnapshot look, String runId, boolean terminate, List<SchemaObject> tables,
                       List<SchemaObject> collations, List<String> warnings) {
        this.db = db;
        this.look = look;
        this.terminate = terminate;
        this.tables = tables;
        this.collations = collations;
        this.warnings = warnings;
        this.aside = new PreviousState.Backup(runId, look.name(), look.schema().name(), tables.stream().map(SchemaObject::oid).toList());
    }

    static DropTables plan(Database db, DatabaseSnapshot look, String runId, boolean terminate) {
        var objects = SchemaObjects.in(db, look.schema().name());
        var tables = objects.stream().filter(o -> o.kind().equals("table")).toList();
        var others = tables.stream().filter(t -> !t.owned()).map(t -> t.identity() + " belongs to " + t.owner()).toList();
        if (!others.isEmpty()) throw new Failure(new Problem.CascadeReaches("the tables of schema " + look.schema().name(), others));
        var reached = SchemaObjects.droppedByCascade(db, look.schema().name(), tables, true);
        if (!reached.isEmpty()) throw new Failure(new Problem.CascadeReaches("the tables of schema " + look.schema().name(), reached));
        var warnings = new ArrayList<>(List.of("the tables are dropped, not set aside: only a backup brings them back, and what others write after it was taken is lost"));
        var collations = objects.stream().filter(o -> o.kind().equals("collation") && o.owned()).toList();
        var kinds = objects.stream().filter(o -> !o.kind().equals("table") && !o.dependent() && !collations.contains(o))
                .collect(Collectors.groupingBy(SchemaObject::kind, java.util.TreeMap::new, Collectors.counting()));
        if (!kinds.isEmpty()) warnings.add("other objects stay, unless they hang on a table: " + kinds.entrySet().stream().map(e -> e.getKey() + " " + e.getValue()).collect(Collectors.joining(", ")));
        return new DropTables(db, look, runId, terminate, tables, collations, warnings);
    }

    public String name() {
        return "drop";
    }

    public String reason() {
        return "asked for by name";
    }

    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    public List<String> inTheWay() {
        return Sessions.othersHolding(db, Parking.relations(tables));
    }

    public DropTables terminating() {
        return new DropTables(db, look, aside.run(), true, tables, collations, warnings);
    }

    public PreviousState.Backup aside() {
        return aside;
    }

    /** In batches, as one transaction would fill the lock table; the newest first, as dropping one locks all that refer to it. Its undo can only say where the tables are: in the backup. */
    public Step drop() {
        return new Step() {
            public String describe() {
                return "drop %d tables of schema %s".formatted(tables.size(), look.schema().name());
            }

            public void run() {
                grants = Grants.in(db, look.schema().name());
                for (var batch : SchemaObjects.batches(tables.reversed(), AT_ONCE)) {
                    Interruption.check();
                    Parking.inUse(db, Parking.relations(batch), terminate, () -> db.inOneTransaction(List.of(
                            "DROP TABLE IF EXISTS %s CASCADE".formatted(batch.stream().map(SchemaObject::identity).collect(Collectors.joining(", "))))));
                    Checkpoint.reached("dropped some");
                }
                collations.forEach(DropTables.this::dropUnused);
            }

            public void undo() {
                if (aside.state(db) != PreviousState.State.OLD_IS_LIVE) throw new Failure(new Problem.OnlyBackupHasIt(look.name(), null));
            }
        };
    }

    /** Django creates collations without IF NOT EXISTS: one that a table needed has to go with it. */
    private void dropUnused(SchemaObject collation) {
        try {
            db.run("DROP COLLATION IF EXISTS " + collation.identity());
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("2BP01")) throw e;
            warnings.add("the collation " + collation.identity() + " stays: something else uses it");
        }
    }

    public Step migrate(Migrator migrator) {
        return new Step() {
            public String describe() {
                return "run every migration";
            }

            public void run() {
                migrator.migrateLive();
                warnings.addAll(grants.regrant(db, look.schema().name()));
                db.flushWal();
            }
        };
    }
}
