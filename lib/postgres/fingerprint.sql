-- All that makes a database what it is, except the objects of one schema: rows of (kind, text). PostgreSQL 13 to 18.
-- Parameter, twice: that schema's name.
WITH d AS (SELECT * FROM pg_database WHERE datname = current_database()),
member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
acl (kind, object, acl) AS (
    SELECT 'database grant', '', coalesce(datacl, acldefault('d', datdba)) FROM d
    UNION ALL SELECT 'schema grant', quote_ident(nspname) || ': ', coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION ALL SELECT 'default privilege', 'of ' || defaclrole::regrole
        || coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace, '') || ' for ' || defaclobjtype::text || ': ',
        defaclacl FROM pg_default_acl
)
SELECT 'property' AS kind, k || '=' || coalesce(v, '') AS text
    FROM d, jsonb_each_text(to_jsonb(d) - ARRAY['oid', 'datname', 'datdba', 'dattablespace', 'datfrozenxid',
        'datminmxid', 'datlastsysoid', 'datcollversion', 'datacl', 'dathasloginevt', 'encoding']) j (k, v)
UNION ALL SELECT 'owner', datdba::regrole::text FROM d
UNION ALL SELECT 'encoding', pg_encoding_to_char(encoding) FROM d
UNION ALL SELECT 'tablespace', spcname FROM d JOIN pg_tablespace t ON t.oid = dattablespace
UNION ALL SELECT kind, object || grantor::regrole || ' gave '
    || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END || ' ' || privilege_type
    || CASE WHEN is_grantable THEN ' with grant option' ELSE '' END FROM acl, aclexplode(acl)
UNION ALL SELECT 'database comment', coalesce(shobj_description(oid, 'pg_database'), '') FROM d
UNION ALL SELECT 'setting', CASE setrole WHEN 0 THEN 'of the database' ELSE 'of role ' || setrole::regrole END
    || ': ' || unnest(setconfig) FROM pg_db_role_setting, d WHERE setdatabase = d.oid
UNION ALL SELECT 'security label', provider || ' ' || label FROM pg_shseclabel s, d
    WHERE s.objoid = d.oid AND classoid = 'pg_database'::regclass
UNION ALL SELECT 'security label', 'of ' || provider FROM pg_seclabel
UNION ALL SELECT 'schema', quote_ident(nspname) || ' of ' || nspowner::regrole
    || coalesce(': ' || obj_description(n.oid, 'pg_namespace'), '')
    FROM pg_namespace n WHERE nspname !~ '^pg_(temp|toast)'
UNION ALL SELECT 'other schemas with objects', quote_ident(nspname) FROM pg_namespace n
    WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', ?)
      AND EXISTS (SELECT FROM pg_depend x
          WHERE x.refclassid = 'pg_namespace'::regclass AND x.refobjid = n.oid AND x.deptype = 'n'
          AND x.classid <> 'pg_extension'::regclass AND (x.classid, x.objid) NOT IN (SELECT classid, objid FROM member))
UNION ALL SELECT 'extension', extname || ' ' || extversion || ' of ' || extowner::regrole
    || ' in ' || extnamespace::regnamespace FROM pg_extension
UNION ALL SELECT 'grant on an extension''s object', pg_describe_object(m.classid, m.objid, 0) FROM member m
    LEFT JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (m.classid, m.objid, 0)
    LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
    LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    WHERE coalesce(c.relacl, p.proacl) IS DISTINCT FROM i.initprivs AND coalesce(c.oid, p.oid) IS NOT NULL
UNION ALL SELECT 'rows of an extension''s table', t::regclass || ': '
    || CASE WHEN NOT has_table_privilege(t, 'SELECT') THEN '?'
       ELSE (xpath('/row/n/text()', query_to_xml(
           format('SELECT count(*) AS n FROM %s %s', t::regclass, condition), false, true, '')))[1]::text END
    FROM pg_extension e, unnest(extconfig, extcondition) x (t, condition)
    JOIN pg_class c ON c.oid = t WHERE c.relkind = 'r'
UNION ALL SELECT 'default privilege', 'of ' || defaclrole::regrole
    || coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace, '') || ' for ' || defaclobjtype::text
    FROM pg_default_acl
UNION ALL SELECT 'language', lanname FROM pg_language
    WHERE oid >= 16384 AND ('pg_language'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'cast', castsource::regtype || ' to ' || casttarget::regtype FROM pg_cast
    WHERE oid >= 16384 AND ('pg_cast'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
    AND NOT EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
                    WHERE t.oid IN (castsource, casttarget) AND nspname = ?)
UNION ALL SELECT 'access method', amname FROM pg_am
    WHERE oid >= 16384 AND ('pg_am'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'transform', trftype::regtype::text FROM pg_transform
    WHERE oid >= 16384 AND ('pg_transform'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
    WHERE ('pg_event_trigger'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'foreign data wrapper', fdwname FROM pg_foreign_data_wrapper
    WHERE ('pg_foreign_data_wrapper'::regclass, oid) NOT IN (SELECT classid, objid FROM member)
UNION ALL SELECT 'foreign server', srvname FROM pg_foreign_server
UNION ALL SELECT 'publication', pubname FROM pg_publication
UNION ALL SELECT 'subscription', subname FROM pg_subscription s, d WHERE s.subdbid = d.oid
UNION ALL SELECT 'replication slot', slot_name FROM pg_replication_slots s, d WHERE s.database = d.datname
UNION ALL SELECT 'prepared transaction', gid FROM pg_prepared_xacts s, d WHERE s.database = d.datname
UNION ALL SELECT 'large objects', count(*)::text FROM pg_largeobject_metadata HAVING count(*) > 0
