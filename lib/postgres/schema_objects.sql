-- The objects of a schema that can be moved to another one. Those of extensions and those that follow another object
-- are left out.
-- Parameter: the schema's name.
-- Types last: routines and operators are named by their argument types, so moving a type first would invalidate the
-- names of the others.
WITH n AS (SELECT oid FROM pg_namespace WHERE nspname = ?),
o (rank, catalog, oid, kind, owner) AS (
    SELECT 1, 'pg_proc'::regclass, p.oid, 'routine', proowner FROM pg_proc p, n WHERE pronamespace = n.oid
    UNION ALL SELECT 2, 'pg_operator', p.oid, 'operator', oprowner FROM pg_operator p, n WHERE oprnamespace = n.oid
    UNION ALL SELECT 3, 'pg_opclass', p.oid, 'operator class', opcowner FROM pg_opclass p, n WHERE opcnamespace = n.oid
    UNION ALL SELECT 4, 'pg_opfamily', p.oid, 'operator family', opfowner
        FROM pg_opfamily p, n WHERE opfnamespace = n.oid
    UNION ALL SELECT 5, 'pg_conversion', p.oid, 'conversion', conowner
        FROM pg_conversion p, n WHERE connamespace = n.oid
    UNION ALL SELECT 5, 'pg_collation', p.oid, 'collation', collowner FROM pg_collation p, n WHERE collnamespace = n.oid
    UNION ALL SELECT 5, 'pg_statistic_ext', p.oid, 'statistics', stxowner
        FROM pg_statistic_ext p, n WHERE stxnamespace = n.oid
    UNION ALL SELECT 6, 'pg_ts_config', p.oid, 'text search configuration', cfgowner
        FROM pg_ts_config p, n WHERE cfgnamespace = n.oid
    UNION ALL SELECT 6, 'pg_ts_dict', p.oid, 'text search dictionary', dictowner
        FROM pg_ts_dict p, n WHERE dictnamespace = n.oid
    UNION ALL SELECT 6, 'pg_ts_parser', p.oid, 'text search parser', 10::oid
        FROM pg_ts_parser p, n WHERE prsnamespace = n.oid
    UNION ALL SELECT 6, 'pg_ts_template', p.oid, 'text search template', 10::oid
        FROM pg_ts_template p, n WHERE tmplnamespace = n.oid
    UNION ALL SELECT 7, 'pg_class', c.oid,
        CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                     WHEN 'S' THEN 'sequence' ELSE 'table' END, relowner
        FROM pg_class c, n WHERE relnamespace = n.oid AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
         AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
    UNION ALL SELECT 8, 'pg_type', t.oid, 'type', t.typowner
        FROM n JOIN pg_type t ON t.typnamespace = n.oid
        LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type e ON e.typarray = t.oid
        WHERE t.typisdefined
          AND (t.typtype IN ('d', 'e', 'r', 'm') OR t.typtype = 'c' AND c.relkind = 'c'
               OR t.typtype = 'b' AND e.oid IS NULL)
)
SELECT o.catalog::text, o.oid, o.kind, i.identity, pg_get_userbyid(o.owner), pg_has_role(o.owner, 'USAGE'),
       o.kind IN ('routine', 'type') AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.catalog AND d.objid = o.oid
           AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i') AS dependent
FROM o, pg_identify_object(o.catalog, o.oid, 0) i
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.catalog AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY o.rank, o.oid
