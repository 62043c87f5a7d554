"""Reads a project: databases, apps, migrations, tables. Works on broken migrations, and changes nothing."""
import ast
import importlib
import importlib.util
import os
import pkgutil
import platform
import re
import sys
import tokenize

from reset_migrations_driver.conversation import (
    A_PACKAGE_OF_ITS_OWN, INSTALLED_FOLDERS, digest, failure, inside, is_virtual_environment, words_of)

# The operations that makemigrations writes.
AUTODETECTED = set("""
    CreateModel DeleteModel RenameModel AlterModelTable AlterModelTableComment AlterUniqueTogether AlterIndexTogether
    AlterOrderWithRespectTo AlterModelOptions AlterModelManagers AddIndex RemoveIndex RenameIndex AddConstraint
    RemoveConstraint AlterConstraint AddField RemoveField AlterField RenameField""".split())


class Databases:
    """Django's connections, and the database that each leads to."""

    def __init__(self):
        from django.db import connections
        from django.db.backends.signals import connection_created
        self.same = {"default"}  # aliases of default's database
        self.other = set()       # aliases known to be of another database
        self._target = None      # while building: the only database that the aliases in same may reach
        self._unpooled = set()   # aliases whose engine has a pool of its own, which is not used here
        self.settings = {  # NAME and OPTIONS by alias, as the project has them
            alias: (connections.settings[alias].get("NAME"), dict(connections.settings[alias].get("OPTIONS") or {}))
            for alias in connections}
        connection_created.connect(self._guard, weak=False)

    def _guard(self, sender, connection, **kwargs):
        if self._target is None or connection.alias in self.other or connection.vendor != "postgresql":
            return
        with connection.connection.cursor() as cursor:  # below Django: no logging, no wrappers
            cursor.execute("SELECT current_database()")
            reached = cursor.fetchone()[0]
            # in a long statement, a backend notices only with this that its client is gone
            cursor.execute("SELECT set_config(name, '2s', false) FROM pg_settings WHERE setting = '0' AND "
                           "name = 'client_connection_check_interval' AND version() ~ 'linux'")
        if connection.alias not in self.same or reached != self._target:
            connection.close()
            raise RuntimeError("the connection '%s' goes to the database %s, not to %s where the new one is built"
                               % (connection.alias, reached, self._target))

    def point_to(self, database):
        """Closes all connections; from now on those to default's database lead to this one (None: to default's own)."""
        from django.db import connections
        self._target = None
        for alias in connections:
            try:
                wrapper = connections[alias]
            except Exception:
                continue  # its backend is not installed
            if wrapper.alias != alias:  # it shared default's connection
                del connections[alias]
                wrapper = connections[alias]
            if wrapper.vendor != "postgresql":
                continue
            wrapper.close()
            if hasattr(wrapper, "close_pool") and alias in getattr(wrapper, "_connection_pools", {}):
                wrapper.close_pool()
            if not connects_itself(type(wrapper)) and keeps_connections(wrapper):
                wrapper.__class__ = next(base for base in type(wrapper).__mro__ if connects_itself(base))
                self._unpooled.add(alias)
            moved = database and alias in self.same
            name, options = self.settings[alias]
            # A pool hands out older connections, dbname wins over NAME (a service does not), and application_name over
            # PGAPPNAME, by which the tool knows its own sessions.
            options = {k: v for k, v in options.items()
                       if k not in ("pool", "application_name") and not (k == "dbname" and moved)
                       and not (k.isupper() and alias in self._unpooled)}  # MAX_CONNS, for the pool only
            options.setdefault("connect_timeout", 10)
            wrapper.settings_dict["OPTIONS"] = options
            wrapper.settings_dict["NAME"] = database if moved else name
        self._target = database

    def share_default_connection(self):
        """Inside a transaction, for aliases of the same database: another connection would wait for our own locks."""
        from django.db import connections
        for alias in self.same - {"default"}:
            connections[alias] = connections["default"]

    def query(self, alias, sql, *values):
        from django.db import connections
        with connections[alias].cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall()

    def close(self):
        from django.db import connections
        for alias in connections:
            try:
                connections[alias].close()
            except Exception:
                pass


def connects_itself(engine):
    """Whether an engine's connections are opened and closed by Django's own code."""
    from django.db.backends.postgresql.base import DatabaseWrapper
    return issubclass(engine, DatabaseWrapper) and all(
        getattr(engine, name).__module__.startswith("django.")
        for name in ("get_new_connection", "connect", "close", "_close"))


def keeps_connections(wrapper):
    """
    Whether an engine keeps a connection that was closed, as a pool does: one to another database would come back then.
    Ends the connection, which could be in the way of a rename.
    """
    def session():
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return cursor.fetchone()[0]

    try:
        first, raw = session(), wrapper.connection
        wrapper.close()
        if session() != first and not works(raw):
            return False
        works(wrapper, "SELECT pg_terminate_backend(pg_backend_pid())")
        return True
    except Exception:
        return False  # the error comes again, with its reason, where the connection is needed
    finally:
        try:
            wrapper.close()
        except Exception:
            wrapper.connection = None


def works(connection, sql="SELECT 1"):
    try:
        connection.cursor().execute(sql)
        return True
    except Exception:
        return False


class App:
    """An installed app, and the folder of its migrations, which may not exist yet."""

    def __init__(self, config, project, only):
        """only: the labels to select; none means every own app."""
        self.label = config.label
        self.path = project.shown(config.path)
        self.module, explicit = migrations_module(config.label)
        folder = migrations_folder(config)
        self.why_not_own = self._why_not_own(config, folder, explicit, project)
        self.folder = project.shown(folder) if folder else None
        if config.label in only and (self.why_not_own or "").startswith(A_PACKAGE_OF_ITS_OWN):
            self.why_not_own = None
        self.selected = not self.why_not_own and (not only or config.label in only)

    def _why_not_own(self, config, folder, explicit, project):
        if self.module is None:
            return "its migrations are switched off by MIGRATION_MODULES"
        why = project.why_not_own(folder) if folder else None
        if why and explicit and not project.why_not_own(config.path):
            return "MIGRATION_MODULES points to %s, %s" % (self.module, why)
        is_module = folder is None or os.path.isfile(folder + ".py") and not os.path.isdir(folder)
        return "%s is not a package" % self.module if is_module and not why else why

    def migration_names(self):
        """MigrationLoader's rule: modules, not packages, with names that do not begin with _ or ~."""
        if not self.module or not self.folder:
            return []
        return sorted(m.name for m in pkgutil.iter_modules([self.folder]) if not m.ispkg and m.name[0] not in "_~")

    def reply(self):
        return dict(label=self.label, path=self.path, whyNotOwn=self.why_not_own, migrationsFolder=self.folder,
                    selected=self.selected)


def migrations_module(label):
    """The module's name, and whether MIGRATION_MODULES has it."""
    from django.db.migrations.loader import MigrationLoader
    return MigrationLoader.migrations_module(label)


def migrations_folder(config):
    """
    The existing folder, or the one to create below the deepest parent package that exists. Imports parents only. None
    when the migrations are switched off, or when there is no such place.
    """
    module, explicit = migrations_module(config.label)
    if module is None:
        return None
    if not explicit:
        return os.path.join(config.path, "migrations")
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:depth]))
        except Exception:
            continue
        if spec and spec.submodule_search_locations is None:
            return None
        for location in spec.submodule_search_locations if spec else ():
            return os.path.join(location, *parts[depth:])
    return None


class MigrationFile:
    """A migration in its file. One that cannot be parsed has no tree; a broken one has no migration class."""

    def __init__(self, app, name, project, secrets):
        self.app, self.name = app.label, name
        self.path = os.path.join(app.folder, name + ".py")
        self.module = app.module + "." + name
        self.source, self.tree, self.migration, self.is_migration = "", None, None, True
        self.broken, self.line = None, 0
        if os.path.isfile(self.path):
            self._parse()
        else:  # compiled
            spec = pkgutil.get_importer(app.folder).find_spec(name)
            self.path = spec.origin if spec and spec.origin else self.path
        if not self.broken and self.is_migration:
            self._load(project, secrets)

    def _parse(self):
        try:
            with tokenize.open(self.path) as text:
                self.source = text.read()
            self.tree = ast.parse(self.source)
            self.is_migration = any(may_name_migration(node) for node in ast.walk(self.tree))
        except SyntaxError as e:
            self.broken, self.line = "SyntaxError: " + str(e.msg), e.lineno or 0
        except Exception as e:
            self.broken = words_of(e)

    def _load(self, project, secrets):
        try:
            loaded = importlib.import_module(self.module).Migration
            if hasattr(loaded, "operations"):
                self.migration = loaded
            else:
                self.broken = "its Migration is not a class of django.db.migrations"
        except BaseException as e:
            why = failure(e, project, secrets)
            self.broken, self.line = why["words"], why["line"] if why["file"] == project.shown(self.path) else 0

    def reply(self):
        return dict(app=self.app, path=self.path, broken=self.broken, line=self.line, isMigration=self.is_migration)


def may_name_migration(node):
    """Whether a definition, an import or an assignment may define Migration in a module."""
    if isinstance(node, ast.Name):
        return node.id == "Migration"
    if isinstance(node, ast.alias) and node.name == "*":
        return True
    return "Migration" in (getattr(node, "name", ""), getattr(node, "asname", ""))


class Describer:
    """The command "describe", and what generate needs from it."""

    def __init__(self, project, secrets, databases):
        self._project, self._secrets, self._databases = project, secrets, databases
        self.carried = []         # (label, operation) by number
        self.replaced = []        # the files of the selected apps
        self.referenced = set()   # (label, name) of each replaced migration that one that stays names
        self.hidden_apps = set()  # labels of the apps that these stay in, and of those whose migrations need them
        self._at_start = dict(sys.modules)  # what Django's start has imported

    def describe(self, key, only):
        """key: of an advisory lock that the caller holds in its database. only: labels to select; none means all."""
        import django
        from django.apps import apps
        from django.conf import settings
        from django.db import connections
        warnings = []
        self._databases.point_to(None)  # without pools: a database with an open session cannot be renamed
        databases = [self._alias(alias, key) for alias in connections]
        schema, schemas = None, {}
        try:
            if not next(d for d in databases if d["alias"] == "default")["error"]:
                schema = self._databases.query("default", "SELECT current_schema()")[0][0]
                schemas = self._schemas()
        except Exception as e:
            warnings.append(self._secrets.masked(words_of(e)))
        self._databases.close()
        found = [App(config, self._project, only) for config in apps.get_app_configs()]
        selected = {app.label for app in found if app.selected}
        files = [MigrationFile(app, name, self._project, self._secrets)
                 for app in found if not app.why_not_own for name in app.migration_names()]
        self.replaced = replaced = [file for file in files if file.app in selected]
        staying = {file.path for file in files} - {file.path for file in replaced}
        custom, carried = self._operations(replaced)
        references, non_atomic = self._staying_migrations(found, selected)
        return dict(
            python=dict(version=platform.python_version(), djangoVersion=django.get_version(),
                        executable=sys.executable, folder=os.getcwd()),
            settings=dict(module=os.environ["DJANGO_SETTINGS_MODULE"], debug=bool(settings.DEBUG)),
            databases=databases, currentSchema=schema, apps=[app.reply() for app in found],
            history=dict(files=[file.reply() for file in files], customOperations=custom, carried=carried,
                         references=references, nonAtomic=non_atomic, imports=self._imports(replaced, staying),
                         schema=schemas.get("django_migrations")),
            tables=tables(found, schemas), warnings=warnings)

    def _schemas(self):
        """The schema of each model's table, and of django_migrations, that exists on Django's search_path."""
        from django.apps import apps
        from django.db import connections
        quote = connections["default"].ops.quote_name
        names = {quote(model._meta.db_table): model._meta.db_table for model in apps.get_models(True)}
        names[quote("django_migrations")] = "django_migrations"
        rows = self._databases.query("default", """
            SELECT t, n.nspname::text FROM unnest(%s::text[]) t JOIN pg_class c ON c.oid = to_regclass(t)
            JOIN pg_namespace n ON n.oid = c.relnamespace""", list(names))
        return {names[quoted]: schema for quoted, schema in rows}

    def _alias(self, alias, key):
        from django.db import connections
        values = connections.settings[alias]
        name, options = self._databases.settings[alias]
        found = dict(alias=alias, engine=values.get("ENGINE") or "", name=str(options.get("dbname") or name or ""),
                     host=str(values.get("HOST") or ""), port=str(values.get("PORT") or ""),
                     user=str(values.get("USER") or ""), sameDatabase=False, error=None)
        try:
            if connections[alias].vendor == "postgresql":
                # The caller's lock is visible only in the caller's database.
                same, found["name"], found["user"] = self._databases.query(alias, """
                    SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                                   WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
                                     AND l.classid::bigint = %s AND l.objid::bigint = %s AND l.objsubid = 1),
                           current_database()::text, current_user::text""", key >> 32, key & 0xFFFFFFFF)[0]
                found["sameDatabase"] = same
                (self._databases.same if same else self._databases.other).add(alias)
            else:
                connections[alias].ensure_connection()
                self._databases.other.add(alias)
        except Exception as e:
            found["error"] = self._secrets.masked(words_of(e))
            default = connections.settings["default"]
            if all((values.get(k) or "") == (default.get(k) or "") for k in ("HOST", "PORT", "NAME")):
                self._databases.same.add(alias)
        return found

    def _operations(self, files):
        """
        The operations that makemigrations never writes, and those of them that the new migrations get too. Read from
        the syntax trees, because files may be broken.
        """
        custom, wanted = [], {}
        for file in files:
            if not file.tree or not file.is_migration:
                continue
            nodes = operation_nodes(file)
            loaded = file.migration.operations if file.migration else []
            for number, (node, name) in enumerate(nodes):
                if name in AUTODETECTED:
                    continue
                is_call = isinstance(node, ast.Call)
                value = loaded[number] if len(loaded) == len(nodes) else None
                detail = detail_of(node, name, file.source) if is_call else detail_of_loaded(value)
                operation, removed = carriable(file, node, name, detail, value)
                if removed:
                    wanted.pop(removed, None)
                elif operation is not None:
                    wanted.setdefault(key_of(operation), (file.app, operation))
                custom.append(dict(app=file.app, migration=file.name, line=node.lineno, operation=name,
                                   detail=self._secrets.masked(detail[:80]), carried=bool(removed or operation)))
        self.carried = list(wanted.values())
        return custom, [source_of(number, *each) for number, each in enumerate(self.carried)]

    def _staying_migrations(self, found, selected):
        """References from the migrations that stay to replaced ones; those that cannot run in a transaction."""
        references, non_atomic, needed = [], [], {}
        for app in found:
            for name in app.migration_names() if not app.selected else ():
                try:
                    migration = importlib.import_module(app.module + "." + name).Migration
                except BaseException:
                    continue  # Django will report it
                if not migration.atomic:
                    non_atomic.append(app.label + "." + name)
                needed.setdefault(app.label, set()).update(
                    label for label, other in migration.dependencies if other not in ("__first__", "__latest__"))
                for kind in ("dependencies", "run_before", "replaces"):
                    for entry in getattr(migration, kind, None) or []:
                        if entry[0] in selected and entry[1] not in ("__first__", "__latest__"):
                            references.append(dict(app=app.label, migration=name, kind=kind, toApp=entry[0],
                                                   toMigration=entry[1], own=not app.why_not_own))
        hidden = {reference["app"] for reference in references}
        while not hidden.issuperset(more := {label for label, others in needed.items() if others & hidden}):
            hidden |= more
        self.hidden_apps = hidden
        self.referenced = {(reference["toApp"], reference["toMigration"]) for reference in references}
        return references, non_atomic

    def _imports(self, files, staying):
        """Lines of the project's own code that import one of these migrations. staying: paths of other migrations."""
        modules = {file.module for file in files}
        started = {os.path.realpath(m.__file__) for m in self._at_start.values() if getattr(m, "__file__", None)}
        all_loaded = modules <= self._at_start.keys()  # an app that looks at the migrations, not at one
        skipped = {os.path.realpath(file.path) for file in files if file.is_migration}
        packages = {module.rsplit(".", 2)[-2] for module in modules}
        result = []
        for folder, texts in python_files(self._project.real_root) if modules else []:
            for path in texts:
                if path in skipped:
                    continue
                try:
                    with tokenize.open(path) as file:
                        source = file.read()
                    if not any(package in source for package in packages):
                        continue
                    tree = ast.parse(source)
                except Exception:
                    continue
                package = package_of(folder)
                caught, later = parts(tree)
                runs = path in started or path in map(os.path.realpath, staying)
                result += [dict(path=self._project.shown(path), line=node.lineno, module=name,
                                needed=runs and id(node) not in caught
                                and (name in self._at_start or path not in started)
                                and (id(node) not in later or not all_loaded and name in self._at_start))
                           for node in ast.walk(tree) for name in imported(node, package) if name in modules]
        return result

    def code_in_image(self):
        """SHA-256 of each Python file in manage.py's folder and below it."""
        return {path: digest(path) for _, paths in python_files(os.getcwd()) for path in paths}

    def mounted_files(self, labels):
        """SHA-256 of manage.py and of each Python file in the migrations folders, as this Python sees them."""
        paths = [os.path.join(self._project.shown(os.getcwd()), "manage.py")]
        for folder in map(self._project.shown, migrations_folders(labels).values()):
            names = os.listdir(folder) if os.path.isdir(folder) else []
            paths += [os.path.join(folder, name) for name in names if name.endswith(".py")]
        return {path: digest(path) for path in paths if os.path.isfile(path)}


# ---- operations ------------------------------------------------------------------------------


def operation_nodes(file):
    """The elements of Migration.operations with their class names. A computed list is read from the loaded class."""
    found = []
    classes = [node for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef) and node.name == "Migration"]
    for node in (statement for definition in classes for statement in definition.body):
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is None or not any(isinstance(t, ast.Name) and t.id == "operations" for t in targets):
            continue
        if isinstance(value, (ast.List, ast.Tuple)) and all(isinstance(e, ast.Call) for e in value.elts):
            found += [(e, class_name(e, file.tree)) for e in value.elts]
        elif file.migration:
            found += [(node, type(o).__name__) for o in file.migration.operations]
        else:
            calls = [e for e in ast.walk(value) if isinstance(e, ast.Call)]
            found += [(e, class_name(e, file.tree)) for e in calls] or [(node, "computed operations")]
    return found


def called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", "?"))


def class_name(call, tree):
    """The class's own name, even when it was imported under another one."""
    if isinstance(call.func, ast.Name):
        for node in ast.walk(tree):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                if alias.asname == called(call):
                    return alias.name
    return called(call)


def detail_of(call, name, source):
    """What tells the operation from others of its class, on one line."""
    if name == "SeparateDatabaseAndState":
        return contents(call, source)
    named = [k.value for k in call.keywords if k.arg in ("code", "sql", "name")]
    first = next(iter(call.args + named), None)
    return "" if first is None else text_of(first, source, literal=name == "RunSQL")


def detail_of_loaded(operation):
    """The same of an element of a computed list, which may be unknown (None)."""
    sql = getattr(operation, "sql", None)
    code = getattr(getattr(operation, "code", None), "__name__", "")
    return " ".join(sql.split()) if isinstance(sql, str) else code


def text_of(node, source, literal=False):
    """The source text, or with literal the value of a string."""
    value = getattr(node, "value", None)
    text = value if literal and isinstance(value, str) else ast.get_source_segment(source, node)
    return " ".join((text or "").split())


def contents(node, source):
    """The operations inside that makemigrations would not write; when there are none, the names of all."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and n is not node and (
        text_of(n.func, source).startswith("migrations.") or text_of(n.func, source) in ("RunPython", "RunSQL"))]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    custom = [" ".join([called(call)] + [text_of(a, source, literal=True) for a in call.args[:1]])
              for call in calls if called(call) not in AUTODETECTED]
    return ", ".join(custom or map(called, calls))


def key_of(operation):
    return ("collation" if "Collation" in type(operation).__name__ else "extension", operation.name)


def carriable(file, call, name, detail, loaded=None):
    """
    (operation, None) if it creates an extension or a collation; (None, key) if it removes one; else (None, None).
    loaded: the operation, if its file can be imported.
    """
    from django.contrib.postgres.operations import CreateExtension
    if name == "RunSQL":
        made = re.fullmatch(r'CREATE EXTENSION (?:IF NOT EXISTS )?(?:"([^"]+)"|(\w+)) ?;?', detail, re.I)
        if made:
            return CreateExtension(made.group(1) or made.group(2).lower()), None
        dropped = re.fullmatch(r'DROP EXTENSION (?:IF EXISTS )?(?:"([^"]+)"|(\w+))(?: CASCADE)? ?;?', detail, re.I)
        return None, ("extension", dropped.group(1) or dropped.group(2).lower()) if dropped else None
    if not (name.endswith(("Extension", "CreateCollation", "RemoveCollation")) or isinstance(loaded, CreateExtension)):
        return None, None
    try:
        operation = loaded or evaluated(file, call)
        if isinstance(operation, CreateExtension) and type(operation).__module__ == file.module:
            operation = CreateExtension(operation.name)  # its class goes with the file
        return (None, key_of(operation)) if name == "RemoveCollation" else (operation, None)
    except Exception:
        return None, None  # it is listed as lost


def evaluated(file, call):
    """The call's value. Only the imports and constants that it uses are run, because others may be broken."""
    used = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
    names = {}
    for statement in file.tree.body:
        made = set()
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            made = {(a.asname or a.name).split(".")[0] for a in statement.names}
            if "*" in made and (statement.module or "").startswith("django."):
                made = used
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            made = {target.id for target in statement.targets if isinstance(target, ast.Name)}
        if used & made:
            module = ast.Module(body=[statement], type_ignores=[])
            exec(compile(module, file.path, "exec"), {"__package__": file.module.rpartition(".")[0]}, names)
    return eval(compile(ast.Expression(call), file.path, "eval"), names)


def source_of(number, app, operation):
    """A carried operation as one line of Python, for people."""
    from django.db.migrations.writer import OperationWriter
    source, imports = OperationWriter(operation, indentation=0).serialize()
    source = re.sub(r"\s*\n\s*", " ", source.strip().rstrip(","))
    source = re.sub(r",?\s*\)$", ")", re.sub(r"\(\s+", "(", source))
    return dict(number=number, app=app, source=source, imports=sorted(imports))


# ---- tables and files ------------------------------------------------------------------------


def tables(found, schemas):
    """The table of each model, its schema, and whether migrate creates it in default's database."""
    from django.apps import apps
    from django.db import router
    migrated = {app.label for app in found if app.selected or app.migration_names()}
    result = []
    for model in apps.get_models(include_auto_created=True, include_swapped=False):
        meta = model._meta
        if meta.proxy:
            continue
        routed = router.allow_migrate_model("default", model)
        named = meta.db_table.rpartition('"."')[0].strip('"') or None  # sales"."order
        result.append(dict(table=meta.db_table, schema=schemas.get(meta.db_table, named), app=meta.app_label,
                           model=meta.object_name, managed=meta.managed,
                           onDefault=routed, byMigration=bool(meta.app_label in migrated and meta.managed and routed)))
    return result


def python_files(top):
    """(folder, paths of its Python files) for top and each folder below it, except installed packages."""
    skipped = ("node_modules", "__pycache__", *INSTALLED_FOLDERS)
    for folder, names, texts in os.walk(top):
        names[:] = [n for n in names if not n.startswith(".") and n not in skipped
                    and not is_virtual_environment(os.path.join(folder, n))]
        paths = [os.path.join(folder, t) for t in sorted(texts) if t.endswith(".py")]
        yield folder, [path for path in paths if os.path.isfile(path)]  # reading a named pipe would never end


def package_of(folder):
    """The dotted name under which a folder can be imported; "" when it cannot."""
    for place in sys.path:
        if os.path.isdir(place) and inside(folder, os.path.realpath(place)):
            return os.path.relpath(folder, os.path.realpath(place)).replace(os.sep, ".")
    return ""


def imported(node, package):
    """The modules that a node may import; a string may be a module's name."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        base = ".".join(parts[:len(parts) - node.level + 1] if node.level else []) if package != "." else ""
        module = ".".join(p for p in (base, node.module or "") if p)
        return [module] + [module + "." + a.name for a in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 300:
        return [package + node.value if node.value.startswith(".") else node.value]
    return []


def parts(tree):
    """The ids of the nodes whose errors are caught, and of those in functions."""
    caught, later = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.handlers:
            caught |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            later |= {id(inner) for inner in ast.walk(node)}
    return caught, later


def migrations_folders(labels):
    from django.apps import apps
    return {label: migrations_folder(apps.get_app_config(label)) for label in labels}
