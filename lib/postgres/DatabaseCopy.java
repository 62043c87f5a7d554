package lib.postgres;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import lib.error.ExitCode;
import lib.error.Failure;
import lib.error.Problem;
import lib.files.Checkpoint;

/**
 * Creates a database like the live one, but without the objects of its current schema. PostgreSQL quotes the statements
 * itself. One that is denied is only noted: the comparison of the fingerprints decides whether it matters.
 */
public final class DatabaseCopy {
    /** The copy would differ; undo drops what was created of it. */
    public record Differs(String database, List<String> differences) implements Problem {
        public ExitCode exit() { return ExitCode.FAILED; }
        public String what() {
            var all = String.join("\n  ", differences);
            return "the new database %s would differ from the live one:\n  %s".formatted(database, all);
        }
        public List<String> next() { return List.of("use --strategy park"); }
    }

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

    /** @throws Failure {@link Differs} */
    public void create(Database maintenance) {
        createDatabase(maintenance);
        Checkpoint.reached("created " + copy);
        tryEach(maintenance, grants());
        tryEach(maintenance, settings());
        tryEach(maintenance, comment());
        var wanted = Fingerprint.of(live, schema);
        try (var inside = connect()) {
            tryEach(inside, schemas(wanted, Fingerprint.of(inside, schema)));
            tryEach(inside, extensions());
            tryEach(inside, defaultPrivileges());
            var differences = wanted.differences(Fingerprint.of(inside, schema));
            if (differences.isEmpty()) return;
            differences.addAll(denied);
            throw differs(differences, null);
        }
    }

    /**
     * With the grants and settings of the database, but with nothing inside.
     *
     * @return a warning for each that was denied
     */
    public List<String> createEmpty(Database maintenance) {
        createDatabase(maintenance);
        tryEach(maintenance, grants());
        tryEach(maintenance, settings());
        return List.copyOf(denied);
    }

    /**
     * Owned by our role, with the extensions, the other schemas and, where they may be set, the settings.
     *
     * @throws Failure when an extension or a schema was denied
     */
    public void createForMigrations(Database maintenance) {
        maintenance.run("CREATE DATABASE %s TEMPLATE template0%s".formatted(Sql.identifier(copy), locale(live)));
        Checkpoint.reached("created " + copy);
        tryEach(maintenance, settings());
        denied.clear();
        try (var inside = connect()) {
            tryEach(inside, live.texts("SELECT format('CREATE SCHEMA IF NOT EXISTS %I', nspname) FROM pg_namespace n "
                    + "WHERE " + NOT_OF_AN_EXTENSION));
            tryEach(inside, extensions());
        }
        if (!denied.isEmpty()) throw Failure.failed("the new migrations cannot be tried in an empty database: "
                + String.join("\n  ", denied)).next("let the database's administrator grant that to the role");
    }

    private void createDatabase(Database maintenance) {
        try {
            maintenance.run(createStatement());
        } catch (Failure e) { // an owner our role is no member of, a tablespace or a locale that is denied or gone
            if (!List.of("42501", "42704", "22023", "0A000").contains(Database.sqlState(e))) throw e;
            throw differs(List.of("it cannot be created: " + Failure.firstLine(e)), e);
        }
    }

    private Database connect() {
        try {
            return live.sibling(copy);
        } catch (Failure e) { // a pooler that knows only the live name, or pg_hba.conf
            throw differs(List.of("a new database cannot be reached: " + Failure.firstLine(e)), e);
        }
    }

    private Failure differs(List<String> differences, Exception cause) {
        return new Failure(new Differs(copy, differences), cause);
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

    // ---- the database ------------------------------------------------------------------------

    /** The tablespace is that of template0 unless it differs: naming the default one needs a privilege. */
    private String createStatement() {
        return live.texts("""
                SELECT format('CREATE DATABASE %%I TEMPLATE template0 OWNER %%I', %s, pg_get_userbyid(datdba)) || ?
                    || coalesce((SELECT ' TABLESPACE ' || quote_ident(t.spcname) FROM pg_tablespace t, pg_database z
                            WHERE t.oid = d.dattablespace AND z.datname = 'template0' AND z.dattablespace <> t.oid), '')
                    || ' CONNECTION LIMIT ' || datconnlimit
                    || CASE WHEN datistemplate THEN ' IS_TEMPLATE true' ELSE '' END
                FROM pg_database d WHERE datname = current_database()
                """.formatted(Sql.literal(copy)), locale(live)).getFirst();
    }

    /**
     * The encoding and locale of a database, for CREATE DATABASE. LOCALE_PROVIDER and ICU_LOCALE need PostgreSQL 15,
     * ICU_RULES 16, BUILTIN_LOCALE 17.
     */
    public static String locale(Database of) {
        return of.texts("""
                SELECT format(' ENCODING %L LC_COLLATE %L LC_CTYPE %L',
                              pg_encoding_to_char(encoding), datcollate, datctype)
                    || CASE j ->> 'datlocprovider'
                       WHEN 'c' THEN ' LOCALE_PROVIDER libc'
                       WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L',
                                            coalesce(j ->> 'datlocale', j ->> 'daticulocale'))
                       WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', j ->> 'datlocale')
                       ELSE '' END
                    || coalesce(' ICU_RULES ' || quote_literal(j ->> 'daticurules'), '')
                FROM (SELECT d.*, to_jsonb(d) AS j FROM pg_database d WHERE datname = current_database()) d
                """).getFirst();
    }

    private List<String> grants() {
        return live.texts("""
                WITH g AS (SELECT '' AS start, 'ON DATABASE ' || quote_ident(%s) AS object,
                                  pg_get_userbyid(datdba) AS owner, datacl AS acl, true AS replaces
                           FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL)
                """.formatted(Sql.literal(copy)) + REVOKE_AND_GRANT);
    }

    /** For {@code g (start, object, owner, acl, replaces)}: an ACL replaces an object's privileges, or adds to them. */
    private static final String REVOKE_AND_GRANT = """
            SELECT format('%%sREVOKE ALL %%s FROM PUBLIC, %%I', start, object, owner) FROM g WHERE replaces
            UNION ALL
            (SELECT format('%%sGRANT %%s %%s TO %%s%%s', start, privilege_type, object, %s,
                           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
             FROM g, aclexplode(acl))""".formatted(Sql.GRANTEE);

    private record Setting(String role, String name, String value) {
        String statement(String database) {
            var of = (role == null ? "" : "ROLE %s IN ".formatted(role)) + "DATABASE " + Sql.identifier(database);
            var quotedName = Arrays.stream(name.split("\\.")).map(Sql::identifier).collect(Collectors.joining("."));
            return "ALTER %s SET %s TO %s".formatted(of, quotedName, valueOf(name, value));
        }
    }

    private List<String> settings() {
        return live.list("""
                SELECT CASE setrole WHEN 0 THEN NULL ELSE setrole::regrole::text END,
                       split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
                FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) c
                WHERE d.datname = current_database()
                """, r -> new Setting(r.getString(1), r.getString(2), r.getString(3)))
                .stream().map(setting -> setting.statement(copy)).toList();
    }

    /** Lists of quoted identifiers: one literal would become one element. pg_dump has the same list. */
    private static final List<String> LISTS = List.of("search_path", "temp_tablespaces", "local_preload_libraries",
            "session_preload_libraries", "shared_preload_libraries", "unix_socket_directories");

    static String valueOf(String name, String value) {
        if (!LISTS.contains(name)) return Sql.literal(value);
        var elements = new ArrayList<String>();
        var element = new StringBuilder();
        boolean quoted = false;
        for (int i = 0; i <= value.length(); i++) {
            var c = i < value.length() ? value.charAt(i) : ',';
            if (c == '"') {
                if (quoted && i + 1 < value.length() && value.charAt(i + 1) == '"') element.append(value.charAt(i++));
                else quoted = !quoted;
            } else if (c == ',' && !quoted) {
                elements.add(Sql.literal(element.toString()));
                element.setLength(0);
            } else if (quoted || !Character.isWhitespace(c)) {
                element.append(c);
            }
        }
        return String.join(", ", elements);
    }

    private List<String> comment() {
        return live.texts("""
                SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()""")
                .stream().filter(c -> c != null).map(c -> Renames.comment(copy, c)).toList();
    }

    // ---- inside ------------------------------------------------------------------------------

    private static final String NOT_OF_AN_EXTENSION = """
            n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND NOT EXISTS (SELECT FROM pg_depend d
                            WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')""";

    /** Changes only what differs from the new database's: the owner of a database may not own its public schema. */
    private List<String> schemas(Fingerprint wanted, Fingerprint pristine) {
        var statements = new ArrayList<String>();
        var present = live.texts("SELECT nspname FROM pg_namespace n WHERE " + NOT_OF_AN_EXTENSION);
        if (!present.contains("public")) statements.add("DROP SCHEMA public");
        statements.addAll(live.texts("""
                SELECT format(CASE nspname WHEN 'public' THEN 'ALTER SCHEMA %I OWNER TO %I'
                              ELSE 'CREATE SCHEMA %I AUTHORIZATION %I' END, nspname, pg_get_userbyid(nspowner))
                FROM pg_namespace n WHERE NOT (nspname = 'public' AND nspowner::regrole::text = ?) AND
                """ + NOT_OF_AN_EXTENSION, publicOwner(pristine)));
        statements.addAll(live.texts("""
                SELECT format('COMMENT ON SCHEMA %I IS %L', nspname, c)
                FROM pg_namespace n, obj_description(oid, 'pg_namespace') c
                WHERE (c IS NOT NULL OR nspname = 'public') AND NOT (nspname = 'public' AND ?) AND
                """ + NOT_OF_AN_EXTENSION,
                wanted.texts("schema", "public ").equals(pristine.texts("schema", "public "))));
        statements.addAll(live.texts("""
                WITH g AS (SELECT '' AS start, 'ON SCHEMA ' || quote_ident(nspname) AS object,
                                  pg_get_userbyid(nspowner) AS owner, nspacl AS acl, true AS replaces
                           FROM pg_namespace n WHERE nspacl IS NOT NULL AND NOT (nspname = 'public' AND ?) AND %s)
                """.formatted(NOT_OF_AN_EXTENSION) + REVOKE_AND_GRANT,
                wanted.texts("schema grant", "public: ").equals(pristine.texts("schema grant", "public: "))));
        return statements;
    }

    private static String publicOwner(Fingerprint fingerprint) {
        return fingerprint.texts("schema", "public of ").stream()
                .map(t -> t.substring("public of ".length()).replaceFirst(": .*", "")).findFirst().orElse("");
    }

    /** In the order in which they were created, so that each finds those it requires. */
    private List<String> extensions() {
        var statements = new ArrayList<String>();
        var plpgsql = live.texts("SELECT extname FROM pg_extension WHERE extname = 'plpgsql'");
        if (plpgsql.isEmpty()) statements.add("DROP EXTENSION plpgsql");
        live.list("""
                SELECT format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L', extname,
                              (SELECT nspname FROM pg_namespace n WHERE n.oid = extnamespace), extversion),
                       CASE WHEN extowner <> quote_ident(current_user)::regrole THEN extowner::regrole::text END
                FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY oid""",
                r -> r.getString(2) == null ? statements.add(r.getString(1))
                        : statements.add("SET ROLE %s;\n%s;\nRESET ROLE".formatted(r.getString(2), r.getString(1))));
        return statements;
    }

    /** Those of a role for all schemas replace the built-in ones; those for one schema only add to them. */
    private List<String> defaultPrivileges() {
        return live.texts("""
                WITH g AS (SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', pg_get_userbyid(defaclrole),
                                         ' IN SCHEMA ' || nullif(defaclnamespace, 0)::regnamespace) AS start,
                                  'ON ' || CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                                      WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
                                      WHEN 'L' THEN 'LARGE OBJECTS' END AS object,
                                  pg_get_userbyid(defaclrole) AS owner, defaclacl AS acl,
                                  defaclnamespace = 0 AS replaces
                           FROM pg_default_acl)
                """ + REVOKE_AND_GRANT);
    }
}
