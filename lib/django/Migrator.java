package lib.django;

import java.util.List;

/** What a strategy needs of whoever runs Django's migrations: own apps' from staging, all others' as installed. */
public interface Migrator {
    /** Runs every migration into another database of the same server, committing as Django does. */
    void migrateInto(String database);

    /** In one transaction of Django's own connection to the live database: the statements, then every migration; not committed. */
    void migrateInTransaction(List<String> before);

    /** Commits what {@link #migrateInTransaction} left open. */
    void commit();

    /** Takes it back; harmless when nothing is open. */
    void rollback();

    /** Migrates the live database as it stands, committing as Django does. */
    void migrateLive();
}
