package lib.reset;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicReference;
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

/** The tables of the current schema are dropped, and only a backup brings them back. @param grants on the old tables */
record DropTables(Database db, DatabaseSnapshot snapshot, boolean terminate, List<SchemaObject> tables,
        List<SchemaObject> collations, DroppedTables previous, List<String> warnings, AtomicReference<Grants> grants)
        implements Strategy {
    private static final String DROPPED = "the tables are dropped, not set aside: only a backup brings them back, "
            + "and what others write after that backup is lost";

    static DropTables plan(Database db, DatabaseSnapshot snapshot, String runId, boolean terminate) {
        var schema = snapshot.schema().name();
        var objects = SchemaObjects.in(db, schema);
        var tables = objects.stream().filter(o -> o.kind().equals("table")).toList();
        var others = tables.stream().filter(t -> !t.owned()).map(t -> t.identity() + " belongs to " + t.owner())
                .toList();
        if (!others.isEmpty()) throw Parking.cascade("the tables of schema " + schema, others);
        Parking.refuseCascade(db, schema, tables, "the tables of schema " + schema);
        var collations = objects.stream().filter(o -> o.kind().equals("collation") && o.owned()).toList();
        var kinds = objects.stream().filter(o -> !o.kind().equals("table") && !o.dependent() && !collations.contains(o))
                .collect(Collectors.groupingBy(SchemaObject::kind, TreeMap::new, Collectors.counting()));
        var warnings = new ArrayList<>(List.of(DROPPED));
        if (!kinds.isEmpty()) warnings.add("other objects stay, unless they depend on a table: " + kinds.entrySet()
                .stream().map(e -> e.getKey() + " " + e.getValue()).collect(Collectors.joining(", ")));
        var oids = tables.stream().map(SchemaObject::oid).toList();
        return new DropTables(db, snapshot, terminate, tables, collations,
                new DroppedTables(runId, snapshot.name(), schema, oids), warnings,
                new AtomicReference<>(new Grants(List.of())));
    }

    @Override public String name() { return "drop"; }
    @Override public String reason() { return BY_NAME; }

    @Override public List<String> inTheWay() {
        return Sessions.othersHolding(db, Parking.relations(tables));
    }

    @Override public DropTables terminating() {
        return new DropTables(db, snapshot, true, tables, collations, previous, warnings, grants);
    }

    /**
     * In batches, because one transaction would fill the lock table. Its undo can only name the backup.
     *
     * @param made names of what the new migrations create with SQL of the old ones, which has to go too
     */
    Step drop(Set<String> made) {
        var schema = snapshot.schema().name();
        return Step.of("drop %d tables of schema %s".formatted(tables.size(), schema), () -> {
            grants.set(Grants.in(db, schema));
            for (var batch : Parking.droppable(tables)) {
                Interruption.check();
                var names = batch.stream().map(SchemaObject::identity).collect(Collectors.joining(", "));
                Parking.locking(db, Parking.relations(batch), terminate,
                        () -> db.inOneTransaction(List.of("DROP TABLE IF EXISTS %s CASCADE".formatted(names))));
                Checkpoint.reached("dropped some");
            }
            collations.forEach(this::dropUnused);
            SchemaObjects.in(db, schema).reversed().stream().filter(one -> isMadeAgain(one, made))
                    .forEach(this::dropUnused);
        }, () -> {
            if (previous.areDropped(db)) throw previous.onlyBackupHasThem(null);
        });
    }

    private boolean isMadeAgain(SchemaObject one, Set<String> made) {
        var name = one.identity().substring(one.identity().indexOf('.') + 1).replace("\"", "");
        return one.owned() && !one.dependent() && !one.isTable()
                && made.stream().anyMatch(wanted -> name.equals(wanted) || name.startsWith(wanted + "("));
    }

    /** Django creates collations without IF NOT EXISTS, so one that a table needed has to go too. */
    private void dropUnused(SchemaObject one) {
        try {
            db.run("DROP %s IF EXISTS %s".formatted(one.kind(), one.identity()));
        } catch (Failure e) {
            if (!Database.sqlState(e).equals("2BP01")) throw e;
            warnings.add("the %s %s stays: something else uses it".formatted(one.kind(), one.identity()));
        }
    }

    Step migrate(Migrator migrator) {
        return Parking.migrateLive(migrator, () -> {
            warnings.addAll(grants.get().regrant(db, snapshot.schema().name()));
            db.flushWal();
        }, () -> {});
    }
}
