package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Collectors;
import lib.django.Migrator;
import lib.error.Failure;
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
final class DropTables implements Strategy {
    /** One table with two indexes takes thirteen locks; a server's default settings have room for 6,400. */
    private static final int AT_ONCE = 50;

    private static final String DROPPED = "the tables are dropped, not set aside: only a backup brings them back, "
            + "and what others write after that backup is lost";

    private final Database db;
    private final DatabaseSnapshot snapshot;
    private final boolean terminate;
    private final List<SchemaObject> tables;
    private final List<SchemaObject> collations;
    private final List<String> warnings;
    private final DroppedTables previous;
    private Grants grants = new Grants(List.of());

    private DropTables(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate,
            List<SchemaObject> tables,
                       List<SchemaObject> collations, List<String> warnings) {
        this.db = db;
        this.snapshot = snapshot;
        this.terminate = terminate;
        this.tables = tables;
        this.collations = collations;
        this.warnings = warnings;
        this.previous = new DroppedTables(runId, snapshot.name(), snapshot.schema().name(), tables.stream()
                .map(SchemaObject::oid).toList());
    }

    static DropTables plan(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate) {
        var objects = SchemaObjects.in(db, snapshot.schema().name());
        var tables = objects.stream().filter(o -> o.kind().equals("table")).toList();
        var all = "the tables of schema " + snapshot.schema().name();
        var others = tables.stream().filter(t -> !t.owned()).map(t -> t.identity() + " belongs to " + t.owner())
                .toList();
        if (!others.isEmpty()) throw Parking.cascade(all, others);
        Parking.refuseCascade(db, snapshot.schema().name(), tables, all);
        var warnings = new ArrayList<>(List.of(DROPPED));
        var collations = objects.stream().filter(o -> o.kind().equals("collation") && o.owned()).toList();
        var kinds = objects.stream().filter(o -> !o.kind().equals("table") && !o.dependent() && !collations.contains(o))
                .collect(Collectors.groupingBy(SchemaObject::kind, TreeMap::new, Collectors.counting()));
        if (!kinds.isEmpty()) warnings.add("other objects stay, unless they depend on a table: "
                + kinds.entrySet().stream().map(e -> e.getKey() + " " + e.getValue())
                        .collect(Collectors.joining(", ")));
        return new DropTables(db, snapshot, runId, terminate, tables, collations, warnings);
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
        return new DropTables(db, snapshot, previous.run(), true, tables, collations, warnings);
    }

    public DroppedTables previous() {
        return previous;
    }

    /**
     * In batches, because one transaction would fill the lock table; the newest first, because dropping a table locks
     * all that refer to it. Its undo can only say where the tables are: in the backup.
     */
    public Step drop() {
        return new Step() {
            public String describe() {
                return "drop %d tables of schema %s".formatted(tables.size(), snapshot.schema().name());
            }

            public void run() {
                grants = Grants.in(db, snapshot.schema().name());
                for (var batch : SchemaObjects.batches(tables.reversed(), AT_ONCE)) {
                    Interruption.check();
                    var names = batch.stream().map(SchemaObject::identity).collect(Collectors.joining(", "));
                    Parking.locking(db, Parking.relations(batch), terminate,
                            () -> db.inOneTransaction(List.of("DROP TABLE IF EXISTS %s CASCADE".formatted(names))));
                    Checkpoint.reached("dropped some");
                }
                collations.forEach(DropTables.this::dropUnused);
            }

            public void undo() {
                if (previous.areDropped(db)) throw previous.onlyBackupHasThem(null);
            }
        };
    }

    /** Django creates collations without IF NOT EXISTS, so one that a table needed has to go too. */
    private void dropUnused(SchemaObject collation) {
        try {
            db.run("DROP COLLATION IF EXISTS " + collation.identity());
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("2BP01")) throw e;
            warnings.add("the collation " + collation.identity() + " stays: something else uses it");
        }
    }

    public Step migrate(Migrator migrator) {
        return new MigrateLive(migrator, () -> {
            warnings.addAll(grants.regrant(db, snapshot.schema().name()));
            db.flushWal();
        }, () -> {});
    }
}
