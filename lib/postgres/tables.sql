-- The tables of a schema with their sizes. Parameter: the schema's name.
-- A table with an exclusive lock (a stuck migration's) is neither measured nor counted, because both would wait for it.
WITH locked AS MATERIALIZED (
    SELECT coalesce(i.indrelid, t.oid, l.relation) AS oid FROM pg_locks l
    LEFT JOIN pg_index i ON i.indexrelid = l.relation
    LEFT JOIN pg_class t ON t.reltoastrelid = l.relation
    WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
),
t AS (
    SELECT c.*, c.oid IN (SELECT oid FROM locked) AS locked FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'f')
)
SELECT relname, oid, pg_get_userbyid(relowner) AS owner, locked, relispartition, relpages,
       greatest(reltuples, 0)::float8 AS reltuples,
       CASE relkind WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
       CASE WHEN relkind <> 'r' THEN 0
            WHEN locked THEN relpages * current_setting('block_size')::bigint
            ELSE pg_total_relation_size(oid) END AS bytes,
       CASE WHEN relkind <> 'r' THEN 0
            WHEN locked THEN relpages
            ELSE pg_relation_size(oid) / current_setting('block_size')::int END AS pages,
       relkind = 'r' AND NOT locked AND NOT row_security_active(oid)
           AND has_table_privilege(oid, 'SELECT') AND has_schema_privilege(relnamespace, 'USAGE') AS countable,
       EXISTS (SELECT FROM pg_depend d
               WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS extension
FROM t
ORDER BY relname
