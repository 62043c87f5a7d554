-- What DROP … CASCADE of some objects would also drop. Parameters: their catalogs, their oids, their schema,
-- and whether to include objects of that schema that our role does not own.
-- Internal parts of the dropped objects (deptype 'i') belong to them, wherever they are; a rule is part of its view.
WITH RECURSIVE reached (classid, objid, part) AS (
    SELECT s.catalog::regclass::oid, s.oid::oid, true FROM unnest(?::text[], ?::int8[]) s (catalog, oid)
    UNION
    SELECT e.classid, e.objid, e.part FROM reached r, LATERAL (
        SELECT d.classid, d.objid, d.deptype = 'i' AND r.part AS part FROM pg_depend d
        WHERE d.refclassid = r.classid AND d.refobjid = r.objid AND d.deptype <> 'e'
        UNION
        SELECT d.refclassid, d.refobjid, false FROM pg_depend d
        WHERE r.classid = 'pg_rewrite'::regclass AND d.classid = r.classid AND d.objid = r.objid AND d.deptype = 'i'
    ) e
), placed AS (
    SELECT r.classid, r.objid, coalesce(n.nspname, (pg_identify_object(r.classid, r.objid, 0)).schema) AS schema,
           coalesce(c.relowner,
                    (SELECT proowner FROM pg_proc p WHERE r.classid = 'pg_proc'::regclass AND p.oid = r.objid),
                    (SELECT typowner FROM pg_type t WHERE r.classid = 'pg_type'::regclass AND t.oid = r.objid)) AS owner
    FROM (SELECT classid, objid FROM reached GROUP BY 1, 2 HAVING NOT bool_or(part)) r
    CROSS JOIN LATERAL (SELECT CASE r.classid
        WHEN 'pg_class'::regclass THEN r.objid
        WHEN 'pg_constraint'::regclass THEN (SELECT nullif(conrelid, 0) FROM pg_constraint WHERE oid = r.objid)
        WHEN 'pg_attrdef'::regclass THEN (SELECT adrelid FROM pg_attrdef WHERE oid = r.objid)
        WHEN 'pg_trigger'::regclass THEN (SELECT tgrelid FROM pg_trigger WHERE oid = r.objid)
        WHEN 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = r.objid)
        WHEN 'pg_policy'::regclass THEN (SELECT polrelid FROM pg_policy WHERE oid = r.objid) END AS relation) x
    LEFT JOIN pg_class c ON c.oid = x.relation
    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
)
SELECT DISTINCT pg_describe_object(classid, objid, 0) || coalesce(' in schema ' || schema, '') FROM placed
WHERE schema <> ? AND schema !~ '^pg_toast' OR classid = 'pg_event_trigger'::regclass
   OR ? AND owner IS NOT NULL AND NOT pg_has_role(owner, 'USAGE')
ORDER BY 1
