package lib.django;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import lib.postgres.SchemaCatalog;

/** Runs Django's migrations: the new ones of the selected apps, those of all other apps as installed. */
public interface Migrator {
    /**
     * Into another database of the same server, committing as Django does.
     *
     * @return extensions that the new tables need and that no migration creates
     */
    List<String> migrateInto(String database);

    /** Rows that one of the old migrations made in a table. @param left rows that the table has after the last one */
    record MadeRows(String migration, String table, long rows, long left) {}

    /**
     * The old migrations into another, empty database of the same server.
     *
     * @param limit after which they are stopped; null without one
     * @return the rows that custom operations of the selected apps made; empty when they were stopped
     * @throws lib.error.Failure when the old migrations do not run
     */
    Optional<List<MadeRows>> migrateOldInto(String database, Duration limit);

    /**
     * Creates the tables of the selected apps' models in a new schema of another database, without migrations. That
     * database has the new migrations already.
     */
    void buildModels(String database, String schema);

    /**
     * In one transaction of Django's own connection to the live database, left open.
     *
     * @param before statements that run first
     */
    void migrateInTransaction(List<String> before);

    /** The catalog of a schema as the transaction sees it that {@link #migrateInTransaction} left open. */
    SchemaCatalog catalogInTransaction(String schema);

    /**
     * The catalog of the selected apps' models in that transaction: built in a second schema, as by
     * {@link #buildModels}, and taken back.
     */
    SchemaCatalog modelsInTransaction(String second, String schema);

    /** Commits what {@link #migrateInTransaction} left open. */
    void commit();

    /** Rolls it back; does nothing when nothing is open. */
    void rollback();

    /** Into the live database, committing as Django does. */
    void migrateLive();
}
