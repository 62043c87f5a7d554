"""What there is: databases, apps, migrations, tables. Works however broken the migrations are, and changes nothing."""
import ast
import importlib
import importlib.util
import os
import pkgutil
import platform
import re
import sys
import tokenize

from reset_migrations_driver.conversation import digest, failure, inside, is_virtual_environment, words_of

# The operations that makemigrations writes.
AUTODETECTED = set("""
    CreateModel DeleteModel RenameModel AlterModelTable AlterModelTableComment AlterUniqueTogether AlterIndexTogether
    AlterOrderWithRespectTo AlterModelOptions AlterModelManagers AddIndex RemoveIndex RenameIndex AddConstraint
    RemoveConstraint AlterConstraint AddField RemoveField AlterField RenameField""".split())


class Databases:
    """Django's connections, and to which database they lead."""

    def __init__(self):
        from django.db import connections
        from django.db.backends.signals import connection_created
        self.same = {"default"}  # aliases of default's database
        self.other = set()       # aliases known to be of another database
        self._target = None      # while building: the only database that the aliases in same may reach
        self.settings = {}       # NAME and OPTIONS by alias, as the project has them
        for alias in connections:
            values = connections.settings[alias]
            self.settings[alias] = values.get("NAME"), dict(values.get("OPTIONS") or {})
        connection_created.connect(self._guard, weak=False)

    def _guard(self, sender, connection, **kwargs):
        if self._target is None or connection.alias in self.other or connection.vendor != "postgresql":
            return
        with connection.connection.cursor() as cursor:  # below Django: no logging, no wrappers
            cursor.execute("SELECT current_database()")
            reached = cursor.fetchone()[0]
        if connection.alias not in self.same or reached != self._target:
            connection.close()
            raise RuntimeError("the connection '%s' goes to the database %s, not to %s where the new one is built"
                               % (connection.alias, reached, self._target))

    def point_to(self, database):
        """
        Closes every connection; those to default's database lead to the given one from now on.
        None: to where the settings say.
        """
        from django.db import connections
        self._target = None
        for alias in connections:
            try:
                wrapper = connections[alias]
            except Exception:
                continue  # its backend is not installed, so it leads nowhere
            if wrapper.alias != alias:  # it shared default's connection in a transaction
                del connections[alias]
                wrapper = connections[alias]
            if wrapper.vendor != "postgresql":
                continue
            wrapper.close()
            if alias in getattr(wrapper, "_connection_pools", {}):
                wrapper.close_pool()
            moved = database and alias in self.same
            name, options = self.settings[alias]
            # A pool would hand out older connections, and a dbname would win over NAME; a service does not.
            options = {k: v for k, v in options.items() if k != "pool" and not (k == "dbname" and moved)}
            options.setdefault("connect_timeout", 10)
            wrapper.settings_dict["OPTIONS"] = options
            wrapper.settings_dict["NAME"] = database if moved else name
        self._target = database

    def share_default_connection(self):
        """For aliases of the same database, inside a transaction: another connection would wait for our own locks."""
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


class App:
    """An installed app, and where its migrations are or would be made."""

    def __init__(self, config, project, only):
        """only: the labels to select; none means every own app."""
        self.label = config.label
        self.path = project.shown(config.path)
        self.module, explicit = migrations_module(config.label)
        folder = migrations_folder(config)
        self.why_not_own = self._why_not_own(config, folder, explicit, project)
        self.folder = project.shown(folder) if folder else None
        self.selected = self.own and (not only or config.label in only)

    def _why_not_own(self, config, folder, explicit, project):
        if self.module is None:
            return "its migrations are switched off by MIGRATION_MODULES"
        if folder is None:
            return "%s is not a package" % self.module
        why = project.why_not_own(folder)
        if why and explicit and not project.why_not_own(config.path):
            return "MIGRATION_MODULES points to %s, %s" % (self.module, why)
        if not why and os.path.isfile(folder + ".py") and not os.path.isdir(folder):
            return "%s is not a package" % self.module
        return why

    @property
    def own(self):
        return self.why_not_own is None

    def migration_names(self):
        return migration_names(self.folder) if self.module else []

    def reply(self):
        return dict(label=self.label, path=self.path, whyNotOwn=self.why_not_own, migrationsFolder=self.folder,
                    selected=self.selected)


def migrations_module(label):
    """The module's name, and whether MIGRATION_MODULES has it."""
    from django.db.migrations.loader import MigrationLoader
    return MigrationLoader.migrations_module(label)


def migrations_folder(config):
    """None when the migrations are switched off, or when there is no such place."""
    module, explicit = migrations_module(config.label)
    if module is None:
        return None
    return folder_of(module) if explicit else os.path.join(config.path, "migrations")


def folder_of(module):
    """Where a package is, or would be made: in the deepest parent that exists. Imports parents only."""
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:depth]))
        except Exception:
            continue
        if spec is None:
            continue
        if spec.submodule_search_locations is None:
            return None
        locations = list(spec.submodule_search_locations)
        if locations:
            return os.path.join(locations[0], *parts[depth:])
    return None


def migration_names(folder):
    """MigrationLoader's rule: the modules that are no packages and whose names do not begin with _ or ~."""
    modules = pkgutil.iter_modules([folder]) if folder and os.path.isdir(folder) else []
    return sorted(name for _, name, is_package in modules if not is_package and name[0] not in "_~")


class MigrationFile:
    """
    A migration as its file has it. What cannot be parsed has no tree, what cannot be imported is broken and has no
    migration class.
    """

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
            self.migration = importlib.import_module(self.module).Migration
        except BaseException as e:
            why = failure(e, project, secrets)
            self.broken, self.line = why["words"], why["line"] if why["file"] == project.shown(self.path) else 0

    def reply(self):
        return dict(app=self.app, name=self.name, path=self.path, broken=self.broken, line=self.line,
                    isMigration=self.is_migration)


def may_name_migration(node):
    """A definition, an import or an assignment that may bring the name Migration into a module."""
    if isinstance(node, ast.Name):
        return node.id == "Migration"
    if isinstance(node, ast.alias) and node.name == "*":
        return True
    return "Migration" in (getattr(node, "name", ""), getattr(node, "asname", ""))


class Describer:
    """The command "describe". Keeps what generate needs of it."""

    def __init__(self, project, secrets, databases):
        self._project, self._secrets, self._databases = project, secrets, databases
        self.carried = []            # (label, operation) by number
        self.referring_apps = set()  # labels of migrations that stay and name one that is replaced

    def describe(self, key, only):
        """key: of an advisory lock that the caller holds in its database. only: labels to select, none for all."""
        import django
        from django.apps import apps
        from django.conf import settings
        from django.db import connections
        warnings = []
        self._databases.point_to(None)  # without pools: no session may stay on a database that will be renamed
        databases = [self._alias(alias, key) for alias in connections]
        schema = None
        try:
            if not next(d for d in databases if d["alias"] == "default")["error"]:
                schema = self._databases.query("default", "SELECT current_schema()")[0][0]
        except Exception as e:
            warnings.append(self._secrets.masked(words_of(e)))
        self._databases.close()
        found = [App(config, self._project, only) for config in apps.get_app_configs()]
        selected = {app.label for app in found if app.selected}
        files = [MigrationFile(app, name, self._project, self._secrets)
                 for app in found if app.own for name in app.migration_names()]
        replaced = [file for file in files if file.app in selected]
        custom, carried = self._operations(replaced)
        references, non_atomic = self._staying_migrations(found, selected)
        return dict(
            python=dict(version=platform.python_version(), djangoVersion=django.get_version(),
                        executable=sys.executable, folder=os.getcwd()),
            settings=dict(module=os.environ["DJANGO_SETTINGS_MODULE"], debug=bool(settings.DEBUG)),
            databases=databases, currentSchema=schema, apps=[app.reply() for app in found],
            history=dict(files=[file.reply() for file in files], customOperations=custom, carried=carried,
                         references=references, nonAtomic=non_atomic, imports=self._imports(replaced)),
            tables=tables(found), warnings=warnings)

    def _alias(self, alias, key):
        from django.db import connections
        values = connections.settings[alias]
        name, options = self._databases.settings[alias]
        found = dict(alias=alias, engine=values.get("ENGINE") or "", name=str(options.get("dbname") or name or ""),
                     host=str(values.get("HOST") or ""), port=str(values.get("PORT") or ""),
                     user=str(values.get("USER") or ""), sameDatabase=False, error=None)
        try:
            if connections[alias].vendor == "postgresql":
                # The caller's lock is seen in its own database only, whatever the connection is called.
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
        The operations that makemigrations never writes, from the syntax trees, so that broken files are read too; and
        those of them that the new migrations get as well.
        """
        custom, wanted = [], {}
        for file in files:
            if not file.tree or not file.is_migration:
                continue
            for node, name in operation_nodes(file):
                if name in AUTODETECTED:
                    continue
                detail = detail_of(node, name, file.source) if isinstance(node, ast.Call) else ""
                operation, removed = carriable(file, node, name, detail) if isinstance(node, ast.Call) else (None, None)
                if removed:
                    wanted.pop(removed, None)
                elif operation is not None:
                    wanted.setdefault(key_of(operation), (file.app, operation))
                custom.append(dict(app=file.app, migration=file.name, line=node.lineno, operation=name,
                                   detail=self._secrets.masked(detail[:80]), carried=bool(removed or operation)))
        self.carried = list(wanted.values())
        return custom, [source_of(number, *each) for number, each in enumerate(self.carried)]

    def _staying_migrations(self, found, selected):
        """Of the migrations that stay: references to replaced ones, and those that cannot run in a transaction."""
        references, non_atomic = [], []
        for app in found:
            for name in [] if app.label in selected else app.migration_names():
                try:
                    migration = importlib.import_module(app.module + "." + name).Migration
                except BaseException:
                    continue  # Django itself will report it
                if not migration.atomic:
                    non_atomic.append(dict(app=app.label, migration=name))
                for kind in ("dependencies", "run_before", "replaces"):
                    for entry in getattr(migration, kind, None) or []:
                        if entry[0] in selected and entry[1] not in ("__first__", "__latest__"):
                            references.append(dict(app=app.label, migration=name, kind=kind, toApp=entry[0],
                                                   toMigration=entry[1], own=app.own))
        self.referring_apps = {reference["app"] for reference in references}
        return references, non_atomic

    def _imports(self, files):
        """Lines of the project's own code that import one of these migrations."""
        modules = {file.module for file in files}
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
                result += [dict(path=self._project.shown(path), line=node.lineno, module=name)
                           for node in ast.walk(tree) for name in imported(node, package) if name in modules]
        return result


# ---- operations ------------------------------------------------------------------------------


def operation_nodes(file):
    """The elements of Migration.operations with their class names. What is computed is asked of the loaded class."""
    found = []
    for definition in ast.walk(file.tree):
        if not isinstance(definition, ast.ClassDef) or definition.name != "Migration":
            continue
        for node in definition.body:
            if not assigns_operations(node):
                continue
            elements = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            if all(isinstance(e, ast.Call) for e in elements):
                found += [(e, class_name(e, file.tree)) for e in elements]
            elif file.migration:
                found += [(node, type(o).__name__) for o in file.migration.operations]
            else:
                calls = [e for e in ast.walk(node.value) if isinstance(e, ast.Call)]
                found += [(e, class_name(e, file.tree)) for e in calls] or [(node, "computed operations")]
    return found


def assigns_operations(node):
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        targets = [node.target]
    else:
        return False
    return any(isinstance(t, ast.Name) and t.id == "operations" for t in targets)


def class_name(call, tree):
    """The class's own name, even when it was imported under another one."""
    name = getattr(call.func, "attr", getattr(call.func, "id", "?"))
    if isinstance(call.func, ast.Name):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.asname == name:
                        return alias.name
    return name


def detail_of(call, name, source):
    """The part of the operation that tells it from others of its class, on one line."""
    if name == "SeparateDatabaseAndState":
        return contents(call, source)
    named = [k.value for k in call.keywords if k.arg in ("code", "sql", "name")]
    first = next(iter(call.args + named), None)
    if first is None:
        return ""
    return text_of(first, source) if name != "RunSQL" else literal_or_text(first, source)


def text_of(node, source):
    return " ".join((ast.get_source_segment(source, node) or "").split())


def literal_or_text(node, source):
    value = getattr(node, "value", None)
    return " ".join(value.split()) if isinstance(value, str) else text_of(node, source)


def contents(node, source):
    """The operations inside that makemigrations would not write; when there are none, the names of all."""
    calls = [(getattr(n.func, "attr", getattr(n.func, "id", "?")), n) for n in ast.walk(node)
             if isinstance(n, ast.Call) and n is not node and names_operation(text_of(n.func, source))]
    calls.sort(key=lambda c: (c[1].lineno, c[1].col_offset))
    custom = [" ".join([name] + [literal_or_text(a, source) for a in n.args[:1]])
              for name, n in calls if name not in AUTODETECTED]
    return ", ".join(custom or [name for name, _ in calls])


def names_operation(function):
    return function.startswith("migrations.") or function in ("RunPython", "RunSQL")


def key_of(operation):
    return ("collation" if "Collation" in type(operation).__name__ else "extension", operation.name)


def carriable(file, call, name, detail):
    """
    (operation, None) for one that makes an extension or a collation, as an object; (None, key) for one that removes
    such; (None, None) for all others.
    """
    if name == "RunSQL":
        made = re.fullmatch(r'CREATE EXTENSION (?:IF NOT EXISTS )?(?:"([^"]+)"|(\w+)) ?;?', detail, re.I)
        if made:
            from django.contrib.postgres.operations import CreateExtension
            return CreateExtension(made.group(1) or made.group(2).lower()), None
        dropped = re.fullmatch(r'DROP EXTENSION (?:IF EXISTS )?(?:"([^"]+)"|(\w+))(?: CASCADE)? ?;?', detail, re.I)
        return None, ("extension", dropped.group(1) or dropped.group(2).lower()) if dropped else None
    if not name.endswith(("Extension", "CreateCollation", "RemoveCollation")):
        return None, None
    try:
        operation = evaluated(file, call)
        return (None, key_of(operation)) if name == "RemoveCollation" else (operation, None)
    except Exception:
        return None, None  # it is listed among those that are lost


def evaluated(file, call):
    """The call's value, with only the imports that it uses: the file's others may be broken."""
    used = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
    names = {}
    for statement in file.tree.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            if used & {(a.asname or a.name).split(".")[0] for a in statement.names}:
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


def tables(found):
    """The table of each model, and whether migrate makes it in default's database."""
    from django.apps import apps
    from django.db import router
    migrated = {app.label for app in found if app.selected or app.migration_names()}
    result = []
    for model in apps.get_models(include_auto_created=True, include_swapped=False):
        meta = model._meta
        if meta.proxy:
            continue
        routed = router.allow_migrate_model("default", model)
        result.append(dict(table=meta.db_table, app=meta.app_label, model=meta.object_name, managed=meta.managed,
                           onDefault=routed, byMigration=bool(meta.app_label in migrated and meta.managed and routed)))
    return result


def python_files(top):
    """(folder, paths of its Python files) for each folder of the code at top, installed packages left out."""
    skipped = ("node_modules", "__pycache__", "site-packages", "dist-packages")
    for folder, names, texts in os.walk(top):
        names[:] = [n for n in names if not n.startswith(".") and n not in skipped
                    and not is_virtual_environment(os.path.join(folder, n))]
        paths = [os.path.join(folder, t) for t in sorted(texts) if t.endswith(".py")]
        yield folder, [path for path in paths if os.path.isfile(path)]  # reading a pipe would never end


def package_of(folder):
    """The dotted name by which sys.path reaches a folder; "" when it does not."""
    for place in sys.path:
        if os.path.isdir(place) and inside(folder, os.path.realpath(place)):
            return os.path.relpath(folder, os.path.realpath(place)).replace(os.sep, ".")
    return ""


def imported(node, package):
    """The modules that a statement may import; a string may be the name of one."""
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


def code_in_image():
    """SHA-256 of each Python file by its path below manage.py's folder."""
    here = os.getcwd()
    return {os.path.relpath(path, here): digest(path) for _, paths in python_files(here) for path in paths}


def mounted_files(labels):
    """SHA-256 of manage.py and, by label and name, of each file in the migrations folders, as this Python sees them."""
    found = {}
    for label, folder in migrations_folders(labels).items():
        names = os.listdir(folder) if os.path.isdir(folder) else []
        paths = {name: os.path.join(folder, name) for name in names if name.endswith(".py")}
        found[label] = {name: digest(path) for name, path in paths.items() if os.path.isfile(path)}
    return dict(manage=digest("manage.py"), migrations=found)


def migrations_folders(labels):
    from django.apps import apps
    return {label: migrations_folder(apps.get_app_config(label)) for label in labels}
