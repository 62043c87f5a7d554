package lib.postgres;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;

/**
 * A new, empty database that is as the live one in all but the objects of its current schema. Each statement is made
 * by PostgreSQL's own quoting from the catalogs. One that is denied is only remembered: the fingerprints decide.
 */
public final class DatabaseCopy {
    private final Database live;
    private final String schema;
    private final String copy;
    private final List<String> denied = new ArrayList<>();

    /** @param schema the current one, whose objects are not copied */
    public DatabaseCopy(Database live, String schema, String copy) {
        this.live = live;
        this.schema = schema;
        this.copy = copy;
    }

    /** @throws Failure {@link Problem.NotCopied} when the two differ in anything */
    public void make(Database maintenance) {
        create(maintenance);
        Checkpoint.reached("created " + copy);
        tryEach(maintenance, grants());
        tryEach(maintenance, settings());
        tryEach(maintenance, comment());
        var wanted = Fingerprint.of(live, schema);
        try (var inside = reach()) {
            tryEach(inside, schemas(Fingerprint.of(inside, schema)));
            tryEach(inside, extensions());
            tryEach(inside, defaultPrivileges());
            var differences = wanted.differences(Fingerprint.of(inside, schema));
            if (differences.isEmpty()) return;
            differences.addAll(denied);
            throw new Failure(new Problem.NotCopied(copy, differences));
        }
    }

    /** The database alone, with what belongs to it and not to anything inside. @return what was denied, in words */
    public List<String> makeEmpty(Database maintenance) {
        create(maintenance);
        tryEach(maintenance, grants());
        tryEach(maintenance, settings());
        return List.copyOf(denied);
    }

    private void create(Database maintenance) {
        try {
            maintenance.run(createDatabase());
        } catch (Failure e) { // an owner we may not act for, a tablespace or a locale that is denied or gone
            if (!List.of("42501", "42704", "22023", "0A000").contains(Database.state(e))) throw e;
            throw new Failure(new Problem.NotCopied(copy, List.of("it cannot be created: " + Failure.firstLine(e))), e);
        }
    }

    private Database reach() {
        try {
            return live.sibling(copy);
        } catch (Failure e) { // a pooler that knows only the live name, or pg_hba.conf
            throw new Failure(new Problem.NotCopied(copy, List.of("a new database cannot be reached: " + Failure.firstLine(e))), e);
        }
    }

    private void tryEach(Database db, List<String> statements) {
        for (var statement : statements) {
            try {
                db.run(statement);
            } catch (Failure e) {
                denied.add(statement.lines().findFirst().orElse("") + ": " + Failure.firstLine(e));
            }
        }
    }

    /** The tablespace is template0's unless it differs: naming the default one needs a privilege. */
    String createDatabase() {
        return live.texts("""
                SELECT format('CREATE DATABASE %%I TEMPLATE template0 OWNER %%I', %s, pg_get_userbyid(datdba)) || ?
                    || coalesce((SELECT ' TABLESPACE ' || quote_ident(t.spcname) FROM pg_tablespace t, pg_database z
                                 WHERE t.oid = d.dattablespace AND z.datname = 'template0' AND z.dattablespace <> t.oid), '')
                    || ' CONNECTION LIMIT ' || datconnlimit
                    || CASE WHEN datistemplate THEN ' IS_TEMPLATE true' ELSE '' END
                FROM pg_database d WHERE datname = current_database()""".formatted(Database.literal(copy)), locale(live)).getFirst();
    }

    /** Encoding and locale of a database, for CREATE DATABASE. LC_COLLATE and LC_CTYPE since ever; LOCALE_PROVIDER and ICU_LOCALE with 15, ICU_RULES with 16, BUILTIN_LOCALE with 17. */
    public static String locale(Database of) {
        return of.texts("""
                SELECT format(' ENCODING %L LC_COLLATE %L LC_CTYPE %L', pg_encoding_to_char(encoding), datcollate, datctype)
                    || CASE j ->> 'datlocprovider' WHEN 'c' THEN ' LOCALE_PROVIDER libc' WHEN 'i' THEN ' LOCALE_PROVIDER icu'
                                                   WHEN 'b' THEN ' LOCALE_PROVIDER builtin' ELSE '' END
                    || CASE j ->> 'datlocprovider' WHEN 'i' THEN ' ICU_LOCALE ' || quote_literal(coalesce(j ->> 'datlocale', j ->> 'daticulocale'))
                                                   WHEN 'b' THEN format(' BUILTIN_LOCALE %L', j ->> 'datlocale') ELSE '' END
                    || coalesce(' ICU_RULES ' || quote_literal(j ->> 'daticurules'), '')
                FROM (SELECT d.*, to_jsonb(d) AS j FROM pg_database d WHERE datname = current_database()) d""").getFirst();
    }

    private List<String> grants() {
        return live.texts("""
                WITH d AS (SELECT * FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL)
                SELECT format('REVOKE ALL ON DATABASE %%1$I FROM PUBLIC, %%2$I', %1$s, pg_get_userbyid(datdba)) FROM d
                UNION ALL
                (SELECT format('GRANT %%s ON DATABASE %%I TO %%s%%s', privilege_type, %1$s,
                           CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
                 FROM d, aclexplode(datacl))""".formatted(Database.literal(copy)));
    }

    private record Setting(String role, String name, String value) {}

    private List<String> settings() {
        return live.list("""
                SELECT CASE setrole WHEN 0 THEN NULL ELSE setrole::regrole::text END, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
                FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) c
                WHERE d.datname = current_database()""", r -> new Setting(r.getString(1), r.getString(2), r.getString(3)))
                .stream().map(s -> "ALTER %s SET %s TO %s".formatted(
                        s.role == null ? "DATABASE " + Database.quoted(copy) : "ROLE %s IN DATABASE %s".formatted(s.role, Database.quoted(copy)),
                        s.name.lines().map(n -> n.contains(".") ? List.of(n.split("\\.")).stream().map(Database::quoted).collect(Collectors.joining(".")) : Database.quoted(n)).findFirst().orElse(""),
                        value(s.name, s.value))).toList();
    }

    /** These are kept as lists of quoted identifiers; as one literal they would become one element. The same list is in pg_dump. */
    private static final List<String> LISTS = List.of("search_path", "temp_tablespaces", "local_preload_libraries",
            "session_preload_libraries", "shared_preload_libraries", "unix_socket_directories");

    static String value(String name, String value) {
        if (!LISTS.contains(name)) return Database.literal(value);
        var elements = new ArrayList<String>();
        var element = new StringBuilder();
        boolean quoted = false;
        for (int i = 0; i <= value.length(); i++) {
            var c = i < value.length() ? value.charAt(i) : ',';
            if (c == '"') {
                if (quoted && i + 1 < value.length() && value.charAt(i + 1) == '"') element.append(value.charAt(i++));
                else quoted = !quoted;
            } else if (c == ',' && !quoted) {
                elements.add(Database.literal(element.toString()));
                element.setLength(0);
            } else if (quoted || !Character.isWhitespace(c)) {
                element.append(c);
            }
        }
        return String.join(", ", elements);
    }

    private List<String> comment() {
        return live.texts("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()").stream()
                .filter(c -> c != null).map(c -> Renames.comment(copy, c)).toList();
    }

    private static final String NOT_OF_AN_EXTENSION = """
            n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')""";

    /** Only what differs from template0's is touched: who owns the database may not own its public schema. */
    private List<String> schemas(Fingerprint pristine) {
        var statements = new ArrayList<String>();
        var here = live.texts("SELECT nspname FROM pg_namespace n WHERE " + NOT_OF_AN_EXTENSION);
        if (!here.contains("public")) statements.add("DROP SCHEMA public");
        statements.addAll(live.texts("""
                SELECT format(CASE nspname WHEN 'public' THEN 'ALTER SCHEMA %I OWNER TO %I' ELSE 'CREATE SCHEMA %I AUTHORIZATION %I' END, nspname, pg_get_userbyid(nspowner))
                FROM pg_namespace n WHERE NOT (nspname = 'public' AND nspowner::regrole::text = ?) AND\s""" + NOT_OF_AN_EXTENSION, publicOwner(pristine)));
        statements.addAll(live.texts("""
                SELECT format('COMMENT ON SCHEMA %I IS %L', nspname, c) FROM pg_namespace n, obj_description(oid, 'pg_namespace') c
                WHERE (c IS NOT NULL OR nspname = 'public') AND NOT (nspname = 'public' AND ?) AND\s""" + NOT_OF_AN_EXTENSION, same(pristine, "schema", "public ")));
        statements.addAll(live.texts("""
                WITH g AS (SELECT * FROM pg_namespace n WHERE nspacl IS NOT NULL AND NOT (nspname = 'public' AND ?) AND %s)
                SELECT format('REVOKE ALL ON SCHEMA %%I FROM PUBLIC, %%I', nspname, pg_get_userbyid(nspowner)) FROM g
                UNION ALL
                (SELECT format('GRANT %%s ON SCHEMA %%I TO %%s%%s', privilege_type, nspname, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM g, aclexplode(nspacl))"""
                .formatted(NOT_OF_AN_EXTENSION), same(pristine, "schema grant", "public: ")));
        return statements;
    }

    private static String publicOwner(Fingerprint pristine) {
        return pristine.texts("schema").stream().filter(t -> t.startsWith("public of "))
                .map(t -> t.substring("public of ".length()).replaceFirst(": .*", "")).findFirst().orElse("");
    }

    private boolean same(Fingerprint pristine, String kind, String start) {
        return pristine.texts(kind).stream().filter(t -> t.startsWith(start)).toList()
                .equals(Fingerprint.of(live, schema).texts(kind).stream().filter(t -> t.startsWith(start)).toList());
    }

    /** In the order in which they came: what one needs was there before it. */
    private List<String> extensions() {
        var statements = new ArrayList<String>();
        if (!live.is("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'plpgsql')")) statements.add("DROP EXTENSION plpgsql");
        live.list("""
                SELECT format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L', extname, (SELECT nspname FROM pg_namespace n WHERE n.oid = extnamespace), extversion),
                       CASE WHEN extowner <> quote_ident(current_user)::regrole THEN extowner::regrole::text END
                FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY oid""",
                r -> r.getString(2) == null ? statements.add(r.getString(1))
                        : statements.add("SET ROLE %s;\n%s;\nRESET ROLE".formatted(r.getString(2), r.getString(1))));
        return statements;
    }

    /** A role's own default privileges say all of it; those in a schema only add to it. */
    private List<String> defaultPrivileges() {
        return live.texts("""
                WITH p AS (SELECT a.*, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', pg_get_userbyid(defaclrole),
                               CASE WHEN defaclnamespace = 0 THEN '' ELSE format(' IN SCHEMA %s', defaclnamespace::regnamespace) END) AS start,
                           CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                                WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS kind
                           FROM pg_default_acl a)
                SELECT format('%sREVOKE ALL ON %s FROM PUBLIC, %I', start, kind, pg_get_userbyid(defaclrole)) FROM p WHERE defaclnamespace = 0
                UNION ALL
                (SELECT format('%sGRANT %s ON %s TO %s%s', start, privilege_type, kind, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM p, aclexplode(defaclacl))""");
    }
}
