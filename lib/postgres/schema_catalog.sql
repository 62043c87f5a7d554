-- What a schema contains, object by object, in words that do not depend on oids, on creation order or on names that
-- nobody chose: rows of (kind, relation, name, definition, detail, ordinal). PostgreSQL 13 to 18.
-- The schema's name stands for the question mark. The caller has set search_path to that schema.
-- What extensions own is left out, and so is what PostgreSQL itself makes for another object: the indexes and triggers
-- of constraints, the copies that partitions have of what their parent has, the row types of tables.
WITH n AS MATERIALIZED (SELECT * FROM pg_namespace WHERE nspname = ?),
member AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
-- tables that another session has locked, and the views of them: to word a definition, PostgreSQL would wait for them
locked AS MATERIALIZED (
    SELECT relation AS oid FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
),
unread AS MATERIALIZED (
    SELECT oid FROM locked
    UNION SELECT r.ev_class FROM pg_rewrite r JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM locked)
),
rel AS MATERIALIZED (
    SELECT c.*, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END AS noun
    FROM pg_class c JOIN n ON n.oid = c.relnamespace
    WHERE ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM member)
      AND c.oid NOT IN (SELECT oid FROM unread)
),
tab AS MATERIALIZED (SELECT * FROM rel WHERE relkind IN ('r', 'p', 'f')),
col AS MATERIALIZED (
    SELECT a.*, tab.relname, tab.relowner FROM pg_attribute a JOIN tab ON tab.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped
),
-- sequences of columns: of an identity, serial, where the column's default is the sequence's next value, or neither
owned AS MATERIALIZED (
    SELECT d.objid AS oid, d.refobjid AS attrelid, d.refobjsubid AS attnum, d.deptype = 'i' AS identity,
        d.deptype = 'a' AND EXISTS (
        SELECT FROM pg_depend x JOIN pg_attrdef e ON e.oid = x.objid
        WHERE x.classid = 'pg_attrdef'::regclass AND x.refclassid = 'pg_class'::regclass AND x.refobjid = d.objid
          AND (e.adrelid, e.adnum) = (d.refobjid, d.refobjsubid)) AS serial
    FROM pg_depend d JOIN rel ON rel.oid = d.objid AND relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid > 0
),
con AS MATERIALIZED (
    SELECT k.*, tab.relname FROM pg_constraint k JOIN tab ON tab.oid = k.conrelid
    WHERE k.conparentid = 0 AND (k.conislocal OR k.coninhcount = 0)
),
idx AS MATERIALIZED (
    SELECT i.*, c.relname AS index_name, rel.relname,
           substr(pg_get_indexdef(i.indexrelid), length(format('CREATE %sINDEX %I ON %s%I.%I ',
               CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname, CASE c.relkind WHEN 'I' THEN 'ONLY ' END,
               (SELECT nspname FROM n), rel.relname)) + 1) AS method
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN rel ON rel.oid = i.indrelid
    WHERE NOT c.relispartition AND rel.relkind <> 't'
),
fun AS MATERIALIZED (
    SELECT p.* FROM pg_proc p JOIN n ON n.oid = p.pronamespace
    WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM member)
      -- a range type makes its constructors
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i')
),
typ AS MATERIALIZED (
    SELECT t.* FROM pg_type t JOIN n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type e ON e.typarray = t.oid
    WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c' OR t.typtype = 'b' AND e.oid IS NULL
           OR t.typtype = 'p')
      AND ('pg_type'::regclass, t.oid) NOT IN (SELECT classid, objid FROM member)
),
trg AS MATERIALIZED (
    SELECT t.*, rel.relname FROM pg_trigger t JOIN rel ON rel.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0
),
rul AS MATERIALIZED (
    SELECT r.*, rel.relname FROM pg_rewrite r JOIN rel ON rel.oid = r.ev_class WHERE r.rulename <> '_RETURN'
),
pol AS MATERIALIZED (SELECT p.*, tab.relname FROM pg_policy p JOIN tab ON tab.oid = p.polrelid),
sta AS MATERIALIZED (
    SELECT s.*, rel.relname FROM pg_statistic_ext s JOIN rel ON rel.oid = s.stxrelid
),
-- kinds that are rare; (class, oid, kind, name, owner, definition)
rare AS MATERIALIZED (
    SELECT 'pg_operator'::regclass AS class, o.oid, 'operator' AS kind, o.oid::regoperator::text AS name,
           oprowner AS owner, format('%s %s %s %s %s %s', oprcode, oprcom::regoperator, oprnegate::regoperator, oprrest,
                            oprjoin, oprcanhash::text || oprcanmerge::text) AS definition
        FROM pg_operator o JOIN n ON n.oid = o.oprnamespace
    UNION ALL SELECT 'pg_opfamily'::regclass, f.oid, 'operator family', format('%s using %s', f.opfname, a.amname),
        opfowner,
        (SELECT string_agg(format('%s %s %s', amopstrategy, amopopr::regoperator, amoppurpose), '; '
                           ORDER BY amopstrategy, amopopr::regoperator::text)
         FROM pg_amop WHERE amopfamily = f.oid) || ' / ' ||
        (SELECT string_agg(format('%s %s', amprocnum, amproc::regprocedure), '; '
                           ORDER BY amprocnum, amproc::regprocedure::text)
         FROM pg_amproc WHERE amprocfamily = f.oid)
        FROM pg_opfamily f JOIN n ON n.oid = f.opfnamespace JOIN pg_am a ON a.oid = f.opfmethod
    UNION ALL SELECT 'pg_opclass'::regclass, c.oid, 'operator class', format('%s using %s', c.opcname, a.amname),
        opcowner, format('for %s, default %s, key %s, family %s', c.opcintype::regtype, c.opcdefault,
                         c.opckeytype::regtype, f.opfname)
        FROM pg_opclass c JOIN n ON n.oid = c.opcnamespace JOIN pg_am a ON a.oid = c.opcmethod
        JOIN pg_opfamily f ON f.oid = c.opcfamily
    UNION ALL SELECT 'pg_conversion'::regclass, c.oid, 'conversion', conname, conowner,
        format('%s to %s by %s, default %s', pg_encoding_to_char(conforencoding), pg_encoding_to_char(contoencoding),
               conproc, condefault)
        FROM pg_conversion c JOIN n ON n.oid = c.connamespace
    UNION ALL SELECT 'pg_collation'::regclass, c.oid, 'collation', collname, collowner,
        (to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[])::text
        FROM pg_collation c JOIN n ON n.oid = c.collnamespace
    UNION ALL SELECT 'pg_ts_config'::regclass, c.oid, 'text search configuration', c.cfgname, c.cfgowner,
        format('parser %s', p.prsname) || coalesce((
            SELECT string_agg(format('; %s: %s',
                (SELECT alias FROM ts_token_type(c.cfgparser) WHERE tokid = maptokentype), mapdict::regdictionary),
                '' ORDER BY maptokentype, mapseqno)
            FROM pg_ts_config_map m WHERE m.mapcfg = c.oid), '')
        FROM pg_ts_config c JOIN n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser
    UNION ALL SELECT 'pg_ts_dict'::regclass, d.oid, 'text search dictionary', d.dictname, d.dictowner,
        format('template %s (%s)', t.tmplname, d.dictinitoption)
        FROM pg_ts_dict d JOIN n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
    UNION ALL SELECT 'pg_ts_parser'::regclass, p.oid, 'text search parser', p.prsname, 10::oid,
        format('%s %s %s %s %s', prsstart, prstoken, prsend, prsheadline, prslextype)
        FROM pg_ts_parser p JOIN n ON n.oid = p.prsnamespace
    UNION ALL SELECT 'pg_ts_template'::regclass, t.oid, 'text search template', t.tmplname, 10::oid,
        format('%s %s', tmplinit, tmpllexize)
        FROM pg_ts_template t JOIN n ON n.oid = t.tmplnamespace
),
-- every object above by its catalog, for what may be attached to any of them
object (class, oid, sub, kind, relation, name, owner) AS MATERIALIZED (
    SELECT 'pg_class'::regclass, oid, 0, noun, relname, relname, relowner
        FROM rel WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
    -- one that only belongs to a column is used by its name
    UNION ALL SELECT 'pg_class', s.oid, 0, 'sequence', c.relname,
            coalesce(CASE WHEN o.serial OR o.identity THEN 'of column ' || c.attname END, s.relname), s.relowner
        FROM rel s LEFT JOIN owned o USING (oid) LEFT JOIN col c ON (c.attrelid, c.attnum) = (o.attrelid, o.attnum)
        WHERE s.relkind = 'S'
    UNION ALL SELECT 'pg_class', attrelid, attnum, 'column', relname, attname, NULL FROM col
    UNION ALL SELECT 'pg_class', indexrelid, 0, 'index', relname, index_name, NULL FROM idx
    UNION ALL SELECT 'pg_constraint', oid, 0, 'constraint', relname, conname, NULL FROM con
    UNION ALL SELECT 'pg_proc', oid, 0, 'function', NULL, oid::regprocedure::text, proowner FROM fun
    UNION ALL SELECT 'pg_type', oid, 0, 'type', NULL, typname, typowner FROM typ
    UNION ALL SELECT 'pg_trigger', oid, 0, 'trigger', relname, tgname, NULL FROM trg
    UNION ALL SELECT 'pg_rewrite', oid, 0, 'rule', relname, rulename, NULL FROM rul
    UNION ALL SELECT 'pg_policy', oid, 0, 'policy', relname, polname, NULL FROM pol
    UNION ALL SELECT 'pg_statistic_ext', oid, 0, 'statistics', relname, stxname, stxowner FROM sta
    UNION ALL SELECT class, oid, 0, kind, NULL, name, owner FROM rare
        WHERE (class, oid) NOT IN (SELECT classid, objid FROM member)
),
grants (relation, name, owner, acl) AS (
    SELECT relname, noun || ' ' || relname, relowner,
           coalesce(relacl, acldefault('r', relowner))
        FROM rel WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
    UNION ALL SELECT o.relation, 'sequence ' || o.name, s.relowner, coalesce(s.relacl, acldefault('s', s.relowner))
        FROM rel s JOIN object o ON o.oid = s.oid AND o.kind = 'sequence'
    UNION ALL SELECT relname, 'column ' || attname, relowner, attacl FROM col WHERE attacl IS NOT NULL
    UNION ALL SELECT NULL, 'function ' || oid::regprocedure, proowner, coalesce(proacl, acldefault('f', proowner))
        FROM fun
    UNION ALL SELECT NULL, 'type ' || typname, typowner, coalesce(typacl, acldefault('T', typowner)) FROM typ
),
part AS NOT MATERIALIZED (SELECT inhrelid, inhparent::regclass::text AS parent, inhseqno FROM pg_inherits)
-- tables
SELECT 'TABLE' AS kind, relname::text AS relation, relname::text AS name,
       concat_ws(', ', CASE relkind WHEN 'f' THEN 'foreign table'
                                    WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) ELSE 'table' END,
           CASE WHEN relispartition
               THEN format('partition of %s %s', (SELECT parent FROM part WHERE inhrelid = tab.oid),
                           pg_get_expr(relpartbound, oid))
               ELSE 'inherits ' || (SELECT string_agg(parent, ', ' ORDER BY inhseqno) FROM part
                                    WHERE inhrelid = tab.oid)
           END,
           CASE relpersistence WHEN 'u' THEN 'unlogged' END, 'of type ' || nullif(reloftype, 0)::regtype,
           (SELECT 'access method ' || amname FROM pg_am a WHERE a.oid = relam AND amname <> 'heap'),
           (SELECT format('server %s %s', srvname, f.ftoptions) FROM pg_foreign_table f
            JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE ftrelid = tab.oid)) AS definition,
       NULL::text AS detail, 0 AS ordinal FROM tab
-- columns; an owned sequence and an identity count as the same, and the detail tells which it is
UNION ALL SELECT 'COLUMN', relname, attname,
    concat_ws(' ', format_type(atttypid, atttypmod),
        (SELECT 'COLLATE ' || k.oid::regcollation FROM pg_collation k JOIN pg_type t ON t.oid = atttypid
         WHERE k.oid = attcollation AND attcollation <> t.typcollation),
        CASE WHEN attnotnull THEN 'NOT NULL' END,
        CASE WHEN attidentity = 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
             WHEN attidentity = 'd' OR serial THEN 'with a sequence'
             WHEN attgenerated <> '' THEN format('GENERATED ALWAYS AS (%s) %s', expression,
                                                 CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END)
             ELSE 'DEFAULT ' || expression END),
    CASE WHEN attidentity = 'd' THEN 'identity' WHEN serial THEN 'serial' END, attnum
    FROM (SELECT col.*, pg_get_expr(d.adbin, d.adrelid) AS expression, o.serial
          FROM col LEFT JOIN pg_attrdef d ON d.adrelid = col.attrelid AND d.adnum = col.attnum
          LEFT JOIN owned o ON (o.attrelid, o.attnum) = (col.attrelid, col.attnum) AND o.serial) c
UNION ALL SELECT 'COLUMN_STORAGE', relname, attname, concat_ws(' ', 'STORAGE ' || CASE attstorage WHEN 'p' THEN 'PLAIN'
        WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END,
        CASE compression WHEN 'p' THEN 'COMPRESSION pglz' WHEN 'l' THEN 'COMPRESSION lz4' END), NULL, 0
    FROM (SELECT col.*, typstorage, (SELECT attcompression FROM pg_attribute i -- of "none" in PostgreSQL 13
                                     WHERE (i.attrelid, i.attnum) = (col.attrelid, col.attnum)) AS compression
          FROM (SELECT ''::"char" AS attcompression) none, col JOIN pg_type t ON t.oid = atttypid) c
    WHERE attstorage <> typstorage OR compression <> ''
UNION ALL SELECT 'STATISTICS_TARGET', relname, attname, attstattarget::text, NULL, 0 FROM col WHERE attstattarget <> -1
UNION ALL SELECT 'STORAGE_PARAMETER', relname, attname, o, NULL, 0
    FROM col, unnest(attoptions) o
UNION ALL SELECT 'STORAGE_PARAMETER', relname, attname, o, NULL, 0 FROM col, unnest(attfdwoptions) o
UNION ALL SELECT 'STORAGE_PARAMETER', relname, relname, o, NULL, 0
    FROM rel, unnest(reloptions) o WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
UNION ALL SELECT 'STORAGE_PARAMETER', tab.relname, tab.relname, 'toast.' || o, NULL, 0
    FROM tab JOIN pg_class t ON t.oid = tab.reltoastrelid, unnest(t.reloptions) o
UNION ALL SELECT 'TABLESPACE', relname, relname, spcname, NULL, 0
    FROM rel JOIN pg_tablespace s ON s.oid = reltablespace WHERE relkind IN ('r', 'p', 'm')
-- constraints: what backs one is told with it; NOT NULL is told with its column
UNION ALL SELECT CASE contype WHEN 'f' THEN 'FOREIGN_KEY' WHEN 'c' THEN 'CHECK' WHEN 'x' THEN 'EXCLUSION'
        WHEN 'p' THEN 'PRIMARY_KEY' WHEN 'u' THEN 'UNIQUE' END,
    con.relname, conname,
    concat_ws(' ', pg_get_constraintdef(con.oid),
              CASE WHEN contype IN ('p', 'u') THEN 'USING INDEX ' || idx.method END,
              CASE WHEN NOT indisvalid THEN 'INVALID' END), NULL, 0
    FROM con LEFT JOIN idx ON idx.indexrelid = con.conindid AND contype IN ('p', 'u', 'x')
    WHERE contype IN ('f', 'c', 'x', 'p', 'u')
UNION ALL SELECT 'COLUMN_CONSTRAINT', relname, conname, pg_get_constraintdef(oid), NULL, 0 FROM con
    WHERE contype = 'n' AND pg_get_constraintdef(oid) ~ '(NO INHERIT|NOT VALID|NOT ENFORCED)$'
UNION ALL SELECT CASE WHEN indisunique THEN 'UNIQUE_INDEX' ELSE 'INDEX' END, relname, index_name,
    concat_ws(' ', method, CASE WHEN NOT indisvalid THEN 'INVALID' END,
              (SELECT 'TABLESPACE ' || spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace
               WHERE c.oid = indexrelid)), NULL, 0
    FROM idx WHERE NOT EXISTS (SELECT FROM pg_constraint k
                               WHERE k.conindid = indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL SELECT 'CLUSTER', relname, relname, 'on ' || method, NULL, 0 FROM idx WHERE indisclustered
UNION ALL SELECT 'REPLICA_IDENTITY', relname, relname,
    CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
         ELSE 'index ' || (SELECT method FROM idx WHERE indrelid = tab.oid AND indisreplident) END, NULL, 0
    FROM tab WHERE relreplident <> 'd' AND relkind <> 'f'
UNION ALL SELECT 'STATISTICS', relname, stxname,
    substr(pg_get_statisticsobjdef(oid),
           length(format('CREATE STATISTICS %I.%I ', (SELECT nspname FROM n), stxname)) + 1)
    || coalesce(' target ' || nullif(stxstattarget, -1), ''), NULL, 0 FROM sta
-- row security
UNION ALL SELECT 'ROW_SECURITY', relname, relname,
    CASE WHEN relforcerowsecurity THEN 'enabled and forced' ELSE 'enabled' END, NULL, 0 FROM tab WHERE relrowsecurity
UNION ALL SELECT 'POLICY', relname, polname,
    concat_ws(' ', CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, 'FOR',
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                    ELSE 'ALL' END, 'TO',
        (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', '
                           ORDER BY CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END) FROM unnest(polroles) r),
        'USING (' || pg_get_expr(polqual, polrelid) || ')',
        'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),
    NULL, 0 FROM pol
-- code
UNION ALL SELECT 'TRIGGER', relname, tgname,
    pg_get_triggerdef(oid) || CASE tgenabled WHEN 'D' THEN ' DISABLED' WHEN 'R' THEN ' ENABLED REPLICA'
                                             WHEN 'A' THEN ' ENABLED ALWAYS' ELSE '' END, NULL, 0 FROM trg
UNION ALL SELECT 'RULE', relname, rulename,
    pg_get_ruledef(oid) || CASE ev_enabled WHEN 'D' THEN ' DISABLED' WHEN 'R' THEN ' ENABLED REPLICA'
                                           WHEN 'A' THEN ' ENABLED ALWAYS' ELSE '' END, NULL, 0 FROM rul
UNION ALL SELECT 'FUNCTION', NULL, oid::regprocedure::text, pg_get_functiondef(oid), NULL, 0
    FROM fun WHERE prokind <> 'a'
UNION ALL SELECT 'FUNCTION', NULL, f.oid::regprocedure::text,
    format('aggregate of %s: state %s by %s from %s, final %s, combine %s, serial %s %s, moving %s %s %s, %s %s %s %s',
           pg_get_function_result(f.oid), aggtranstype::regtype, aggtransfn, agginitval, aggfinalfn, aggcombinefn,
           aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggsortop::regoperator, aggkind,
           aggfinalmodify, proparallel), NULL, 0
    FROM fun f JOIN pg_aggregate a ON a.aggfnoid = f.oid
UNION ALL SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED_VIEW' END, relname, relname,
    pg_get_viewdef(oid), NULL, 0 FROM rel WHERE relkind IN ('v', 'm')
-- sequences, without their values
UNION ALL SELECT 'SEQUENCE', o.relation, o.name,
    format('%s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s', seqtypid::regtype, seqstart, seqincrement,
           seqmin, seqmax, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END), NULL, 0
    FROM pg_sequence s JOIN object o ON o.oid = s.seqrelid AND o.kind = 'sequence'
-- types
UNION ALL SELECT CASE typtype WHEN 'e' THEN 'ENUM' WHEN 'd' THEN 'DOMAIN' WHEN 'c' THEN 'COMPOSITE_TYPE'
        WHEN 'r' THEN 'RANGE_TYPE' ELSE 'BASE_TYPE' END, NULL, typname,
    CASE typtype
        WHEN 'e' THEN (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                       FROM pg_enum WHERE enumtypid = typ.oid)
        WHEN 'd' THEN concat_ws(' ', format_type(typbasetype, typtypmod),
            (SELECT 'COLLATE ' || typ.typcollation::regcollation FROM pg_type b WHERE b.oid = typ.typbasetype
             AND b.typcollation <> typ.typcollation),
            CASE WHEN typnotnull THEN 'NOT NULL' END, 'DEFAULT ' || typdefault)
        WHEN 'c' THEN (SELECT string_agg(format('%s %s%s', attname, format_type(atttypid, atttypmod),
                           CASE WHEN attcollation <> t.typcollation
                                THEN ' COLLATE ' || attcollation::regcollation END), ', ' ORDER BY attnum)
                       FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                       WHERE attrelid = typ.typrelid AND attnum > 0 AND NOT attisdropped)
        WHEN 'r' THEN (SELECT format('of %s, opclass %s, collation %s, canonical %s, difference %s',
                           rngsubtype::regtype,
                           (SELECT opcname FROM pg_opclass WHERE oid = rngsubopc), rngcollation::regcollation,
                           rngcanonical, rngsubdiff)
                       FROM pg_range WHERE rngtypid = typ.oid)
        ELSE format('%s %s %s %s length %s', typinput, typoutput, typreceive, typsend, typlen) END, NULL, 0
    FROM typ
UNION ALL SELECT 'DOMAIN_CHECK', NULL, typname || '.' || conname, pg_get_constraintdef(k.oid), NULL, 0
    FROM pg_constraint k JOIN typ ON typ.oid = k.contypid WHERE contype = 'c'
UNION ALL SELECT upper(replace(kind, ' ', '_')), NULL, name, definition, NULL, 0 FROM rare
    WHERE (class, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'EXTENSION', NULL, extname, 'in ' || extnamespace::regnamespace, extversion, 0
    FROM pg_extension WHERE extname <> 'plpgsql'
-- what can be attached to any of them
UNION ALL SELECT 'COMMENT', relation, kind || ' ' || name, description, NULL, 0
    FROM object JOIN pg_description d ON (d.classoid, d.objoid, d.objsubid) = (class, oid, sub)
UNION ALL SELECT 'SECURITY_LABEL', relation, kind || ' ' || name, provider || ': ' || label, NULL, 0
    FROM object JOIN pg_seclabel d ON (d.classoid, d.objoid, d.objsubid) = (class, oid, sub)
UNION ALL SELECT 'OWNER', relation, kind || ' ' || name, owner::regrole::text, NULL, 0
    FROM object WHERE owner IS NOT NULL AND NOT (kind = 'sequence' AND relation IS NOT NULL) -- its table's owner
UNION ALL SELECT 'GRANT', relation, name, format('%s to %s%s', privilege_type,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), NULL, 0
    FROM grants, aclexplode(acl) x WHERE x.grantee <> grants.owner
UNION ALL SELECT 'PUBLICATION', rel.relname, rel.relname, pubname, NULL, 0
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid JOIN rel ON rel.oid = prrelid
-- what cannot be read now, but for its row security
UNION ALL SELECT 'LOCKED', relname, relname, '', NULL, 0 FROM pg_class c JOIN n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT oid FROM unread) AND relkind IN ('r', 'p', 'f', 'v', 'm')
UNION ALL SELECT 'ROW_SECURITY', relname, relname, 'enabled', NULL, 0 FROM pg_class c JOIN n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT oid FROM unread) AND relrowsecurity
-- what this query does not know
UNION ALL SELECT 'UNKNOWN', relname, relname, 'kind of relation ' || relkind::text, NULL, 0 FROM rel
    WHERE relkind NOT IN ('r', 'p', 'f', 'v', 'm', 'S', 'i', 'I', 'c', 't')
UNION ALL SELECT 'UNKNOWN', relname, conname, 'kind of constraint ' || contype::text, NULL, 0 FROM con
    WHERE contype NOT IN ('f', 'c', 'x', 'p', 'u', 'n', 't')
UNION ALL SELECT 'UNKNOWN', NULL, typname, 'kind of type ' || typtype::text, NULL, 0
    FROM pg_type JOIN n ON n.oid = typnamespace WHERE typtype NOT IN ('b', 'c', 'd', 'e', 'm', 'p', 'r')
UNION ALL SELECT 'UNKNOWN', NULL, proname, 'kind of function ' || prokind::text, NULL, 0 FROM fun
    WHERE prokind NOT IN ('a', 'f', 'p', 'w')
UNION ALL SELECT DISTINCT 'UNKNOWN', NULL, pg_describe_object(d.classid, d.objid, d.objsubid),
    'object of ' || d.classid::regclass, NULL, 0
    FROM pg_depend d, n
    WHERE (d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
           OR d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM rel))
      AND d.classid <> ALL (ARRAY['pg_class', 'pg_proc', 'pg_type', 'pg_constraint', 'pg_attrdef', 'pg_trigger',
          'pg_rewrite', 'pg_policy', 'pg_statistic_ext', 'pg_operator', 'pg_opclass', 'pg_opfamily', 'pg_conversion',
          'pg_collation', 'pg_ts_config', 'pg_ts_dict', 'pg_ts_parser', 'pg_ts_template', 'pg_extension',
          'pg_default_acl', 'pg_publication_rel']::regclass[])
      AND d.classid::regclass::text <> 'pg_publication_namespace'
