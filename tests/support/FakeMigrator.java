package support;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import lib.django.Migrator;
import lib.error.Failure;
import lib.postgres.SchemaCatalog;
import lib.postgres.Sql;

/** Migrations as plain SQL, in the transactions that Django would use. */
public final class FakeMigrator implements Migrator {
    private final Postgres.Db live;
    private final List<String> migrations;
    private Connection open;

    public FakeMigrator(Postgres.Db live, String... migrations) {
        this.live = live;
        this.migrations = List.of(migrations);
    }

    @Override
    public List<String> migrateInto(String database) {
        each(new Postgres.Db(live.host(), live.port(), database, live.role()), migrations);
        return List.of();
    }

    @Override
    public Optional<List<MadeRows>> migrateOldInto(String database, Duration limit) {
        return Optional.of(List.of());
    }

    @Override
    public void buildModels(String database, String schema) {
        each(new Postgres.Db(live.host(), live.port(), database, live.role()),
                List.of("CREATE SCHEMA " + Sql.identifier(schema)));
    }

    @Override
    public void migrateLive() {
        each(live, migrations);
    }

    @Override
    public void migrateInTransaction(List<String> before) {
        try {
            open = live.connect();
            open.setAutoCommit(false);
            try (var statement = open.createStatement()) {
                for (var sql : before) statement.execute(sql);
                for (var sql : migrations) statement.execute(sql);
            }
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    @Override
    public SchemaCatalog catalogInTransaction(String schema) {
        try (var statement = open.createStatement()) {
            var rows = new ArrayList<List<String>>();
            statement.execute("SET LOCAL search_path TO " + Sql.identifier(schema));
            try (var result = statement.executeQuery(SchemaCatalog.query(schema))) {
                while (result.next()) {
                    var row = new ArrayList<String>();
                    for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) row.add(result.getString(i));
                    rows.add(row);
                }
            }
            return SchemaCatalog.of(schema, rows);
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    @Override
    public SchemaCatalog modelsInTransaction(String second, String schema) {
        return SchemaCatalog.of(schema, List.of());
    }

    @Override
    public void commit() {
        end(true);
    }

    @Override
    public void rollback() {
        end(false);
    }

    private void end(boolean commit) {
        if (open == null) return;
        try (var ending = open) {
            open = null;
            if (commit) ending.commit();
            else ending.rollback();
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }

    private static void each(Postgres.Db db, List<String> all) {
        try (var connection = db.connect(); var statement = connection.createStatement()) {
            for (var sql : all) statement.execute(sql);
        } catch (SQLException e) {
            throw Failure.of(e);
        }
    }
}
