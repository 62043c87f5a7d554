# Runs inside the project's own interpreter, in the folder of manage.py. Python 3.8 and later.
# In: this text, then one JSON object a line on stdin. Out: the token, a space and a JSON object, a line; anything else is noise.
import sys
sys.path[:] = [p for p in sys.path if p]  # a project's json.py is not the json that is meant here
import ast, contextlib, gc, hashlib, importlib, importlib.util, json, os, pkgutil, platform, queue, re, runpy, shutil, signal, tempfile, threading, tokenize, traceback
from urllib.parse import quote, quote_plus, unquote

sys.dont_write_bytecode = True
stdin = os.fdopen(os.dup(0), encoding="utf-8")
stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
with open(os.devnull) as nothing:
    os.dup2(nothing.fileno(), 0)  # nobody else may eat our commands
os.dup2(2, 1)                     # nor print into our answers
sys.stdin = open(0, closefd=False)
if hasattr(os, "register_at_fork"):  # what settings.py forks must neither answer in our place nor keep the conversation open
    os.register_at_fork(after_in_child=lambda: (os.dup2(0, stdin.fileno()), os.dup2(2, stdout.fileno())))
for name in ("SIGINT", "SIGHUP"):  # a terminal sends them to us too, but whoever asked decides, and a commit must not be cut
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)

hello = json.loads(stdin.readline())
PLACES = ("/app", "/code", "/src", "/srv", "/usr/src", "/opt", "/workspace", "/home", "/var/www")


def manage_pys(folder, depth=2):
    if os.path.isfile(os.path.join(folder, "manage.py")):
        yield folder
    elif depth:
        try:
            below = sorted(e.path for e in os.scandir(folder) if e.is_dir(follow_symlinks=False) and e.name[0] != "." and e.name not in ("node_modules", "site-packages"))
        except OSError:
            return
        for path in below:
            yield from manage_pys(path, depth - 1)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


if hello.get("managePy"):  # the image has a copy of the code, who knows where
    there = [f for place in (os.getcwd(),) + PLACES for f in manage_pys(place)]
    there.sort(key=lambda f: digest(os.path.join(f, "manage.py")) != hello.get("managePy"))
    lost = not there
    if there:
        os.chdir(there[0])
else:
    lost = False
ROOT = os.path.abspath(hello.get("root") or os.getcwd())
REAL_ROOT = os.path.realpath(ROOT)
commands = queue.Queue()
masks = {}
staging = None  # folder of the fresh migrations
modules = {}    # label -> staged package


def say(what, **values):
    stdout.write(hello["token"] + " " + json.dumps(dict(values, event=what)) + "\n")
    stdout.flush()


def end():
    if staging:
        shutil.rmtree(staging, ignore_errors=True)
    os._exit(0)  # apps start threads in ready(); what is uncommitted rolls back with its connection


def listen():
    for line in stdin:
        commands.put(json.loads(line))
    end()  # whoever asked is gone


# ---- words -----------------------------------------------------------------------------------


def secret(value):
    value = str(value or "")
    doubled = value.replace("\\", "\\\\")
    quoted = [repr(value), ascii(value), json.dumps(value), json.dumps(value, ensure_ascii=False)]  # as a dict's repr shows it, or a log line
    for text in {value, quote(value, safe=""), quote(value), quote_plus(value), doubled, doubled.replace("'", "\\'"), value.replace("'", "''"), *(q[1:-1] for q in quoted)}:
        if text and text not in masks:
            pattern = re.escape(text)
            masks[text] = re.compile(pattern if len(text) > 5 else r"(?<!\w)" + pattern + r"(?!\w)")


def masked(text):
    for pattern in masks.values():
        text = pattern.sub("***", text)
    return text


def know_secrets():
    """Of the environment at once, of the settings as soon as they are read."""
    for name, value in os.environ.items():
        if re.search(r"PASSW|SECRET|TOKEN|PRIVATE|API_?KEY|_KEY$", name, re.I) and not name.endswith("FILE") and len(value) > 2:
            secret(value)
        for password in re.findall(r"://[^/@\s]*?:([^/@\s]+)@", value):
            secret(password)
            secret(unquote(password))
    if "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured:
        settings = sys.modules["django.conf"].settings
        secret(getattr(settings, "SECRET_KEY", None))
        for database in getattr(settings, "DATABASES", {}).values():
            secret(database.get("PASSWORD"))
            secret((database.get("OPTIONS") or {}).get("password"))
        for database in getattr(settings, "DATABASES", {}).values():
            for public in ("NAME", "USER", "HOST"):  # "postgres" masked would leave no message readable, and hide nothing
                masks.pop(str(database.get(public)), None)
    say("secrets", values=sorted(masks, key=len, reverse=True))


def shown(path):
    """A real path as the project's user knows it: through the project's folder, even when that is a link."""
    real = os.path.realpath(path)
    return os.path.normpath(os.path.join(ROOT, os.path.relpath(real, REAL_ROOT))) if inside(real, REAL_ROOT) else path


def inside(path, folder):
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def why_not_own(path):
    real = os.path.realpath(path)
    if not inside(real, REAL_ROOT):
        return "outside the project"
    parts = os.path.relpath(real, REAL_ROOT).split(os.sep)
    if "site-packages" in parts or "dist-packages" in parts:
        return "an installed package"
    for depth in range(1, len(parts) + 1):
        if os.path.exists(os.path.join(REAL_ROOT, *parts[:depth], "pyvenv.cfg")):
            return "in a virtual environment"
    return None


def words_of(error):
    name = type(error).__name__
    module = type(error).__module__
    try:
        text = str(error).strip()
    except Exception:
        text = "(it cannot be shown as text)"
    full = name if module in ("builtins", "django.core.management.base") or module.startswith(("django.", "psycopg")) else module + "." + name
    return full + (": " + text if text else "")


def source_line(path, line):
    try:
        with tokenize.open(path) as file:
            return file.read().splitlines()[line - 1].strip()
    except Exception:
        return ""


def failure(error):
    """What is useful first: the exception, PostgreSQL's own words, the last frame in the user's own code."""
    while isinstance(error, SystemExit) and isinstance(error.__context__, Exception):
        error = error.__context__
    frames = [(f.filename, f.lineno, f.line or "") for f in traceback.extract_tb(error.__traceback__) if f.filename != "<string>"]
    own = [f for f in frames if os.path.isabs(f[0]) and not why_not_own(f[0])]
    where = own[-1] if own else None
    if isinstance(error, SyntaxError) and error.filename:
        where = (error.filename, error.lineno or 0, (error.text or "").strip())
    details, state, cause = [], None, error
    while cause is not None and state is None:
        diag = getattr(cause, "diag", None)
        if diag is not None:
            state = diag.sqlstate
            details = ["%s: %s" % (k, v) for k, v in (("DETAIL", diag.message_detail), ("HINT", diag.message_hint), ("CONTEXT", diag.context)) if v]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    words = words_of(error)
    return dict(
        words=masked(words), details=[masked(d) for d in details if d.split(": ", 1)[1] not in words], state=state,
        file=shown(where[0]) if where else None, line=where[1] if where else 0, source=masked(where[2]) if where else "",
        trace=masked("".join(traceback.format_exception(type(error), error, error.__traceback__)))[-20000:])


# ---- Django ----------------------------------------------------------------------------------


class NoDjango(Exception):
    pass


class NoSettings(Exception):
    pass


def read_manage_py():
    """
    All that manage.py does before it hands over to Django: sys.path, .env files, DJANGO_SETTINGS_MODULE.
    One that does not hand over in the known way is only read, never run.
    """
    path = os.path.join(os.getcwd(), "manage.py")
    try:
        with tokenize.open(path) as file:
            text = file.read()
        tree = ast.parse(text)
    except Exception:
        return
    if "execute_from_command_line" in text:
        from django.core.management import ManagementUtility

        class HandedOver(BaseException):
            pass

        def execute(self):
            raise HandedOver()

        real, ManagementUtility.execute = ManagementUtility.execute, execute
        sys.argv = [path, "check"]
        try:
            runpy.run_path(path, run_name="__main__")
        except HandedOver:
            return
        finally:
            ManagementUtility.execute = real
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setdefault" and len(node.args) == 2:
            name, value = (getattr(a, "value", None) for a in node.args)
            if name == "DJANGO_SETTINGS_MODULE" and isinstance(value, str):
                os.environ.setdefault(name, value)


class NoManagePy(Exception):
    pass


def setup():
    if lost:
        raise NoManagePy()
    sys.path.insert(0, os.getcwd())
    know_secrets()
    try:
        import django
    except ModuleNotFoundError as e:
        if e.name != "django":
            raise
        raise NoDjango()
    if hello.get("settings"):
        os.environ["DJANGO_SETTINGS_MODULE"] = hello["settings"]
    read_manage_py()
    if hello.get("settings"):  # as --settings does, it wins over an assignment in manage.py
        os.environ["DJANGO_SETTINGS_MODULE"] = hello["settings"]
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise NoSettings()
    sys.argv = [os.path.join(os.getcwd(), "manage.py"), "migrate"]  # settings look at it
    try:
        django.setup()
    finally:
        try:
            know_secrets()
        except Exception:
            pass
    from django.db import connections
    from django.db.backends.signals import connection_created
    connection_created.connect(guard, weak=False)
    gc.freeze()
    gc.set_threshold(50000, 20, 20)  # migrate makes model classes by the thousand: a tenth less time, measured
    for alias in connections:
        original[alias] = (connections.settings[alias].get("NAME"), dict(connections.settings[alias].get("OPTIONS") or {}))


original = {}           # alias -> NAME, OPTIONS as the settings have them
same = {"default"}      # aliases that are default's database
other = set()           # aliases known to be another database
target = None           # the only database that the aliases in same may reach, while building


def guard(sender, connection, **kwargs):
    if target is None or connection.alias in other or connection.vendor != "postgresql":
        return
    with connection.connection.cursor() as cursor:  # below Django: no logging, no wrappers
        cursor.execute("SELECT current_database()")
        reached = cursor.fetchone()[0]
    if connection.alias not in same or reached != target:
        connection.close()
        raise RuntimeError("the connection '%s' goes to the database %s, not to %s where the new one is built" % (connection.alias, reached, target))


def point(database):
    """Every connection closed; those to default's database lead to the given one, or to where the settings say."""
    global target
    from django.db import connections
    target = None
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
        name, options = original[alias]
        # a pool would hand out connections made before; a service may stay, an explicit name wins over its own
        options = {k: v for k, v in options.items() if k != "pool" and (k != "dbname" or not database or alias not in same)}
        options.setdefault("connect_timeout", 10)
        wrapper.settings_dict["OPTIONS"] = options
        wrapper.settings_dict["NAME"] = database if database and alias in same else name
    target = database


def query(alias, sql, *values):
    from django.db import connections
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchall()


def describe(key, only):
    import django
    from django.apps import apps
    from django.conf import settings
    from django.db import connections
    warnings = []
    point(None)  # without pools: no session may stay behind on a database that is going to be renamed
    databases = [describe_alias(alias, key) for alias in connections]
    schema = None
    try:
        if not next(d for d in databases if d["alias"] == "default")["error"]:
            schema = query("default", "SELECT current_schema()")[0][0]
    except Exception as e:
        warnings.append(masked(words_of(e)))
    close()
    found = [describe_app(app, only) for app in apps.get_app_configs()]
    own = {a["label"]: a for a in found if a["own"]}
    files = [f for app in own.values() for f in migration_files(app)]
    going = [f for f in files if own[f["app"]]["selected"]]
    custom, carried = operations(going)
    pins, not_atomic = foreign(found, own)
    return dict(
        python=dict(version=platform.python_version(), djangoVersion=django.get_version(), executable=sys.executable, folder=os.getcwd()),
        settings=dict(module=os.environ["DJANGO_SETTINGS_MODULE"], debug=bool(settings.DEBUG)), databases=databases, currentSchema=schema,
        apps=[{k: a[k] for k in ("label", "path", "whyNotOwn", "migrationsFolder", "selected")} for a in found],
        history=dict(files=[{k: f[k] for k in ("app", "name", "path", "broken", "line", "isMigration")} for f in files],
                     customOperations=custom, carried=carried, references=pins, nonAtomic=not_atomic, imports=importers(going)),
        tables=tables(found), warnings=warnings)


def describe_alias(alias, key):
    from django.db import connections
    values = connections.settings[alias]
    name, options = original[alias]
    found = dict(alias=alias, engine=values.get("ENGINE") or "", name=str(options.get("dbname") or name or ""),
                 host=str(values.get("HOST") or ""), port=str(values.get("PORT") or ""), user=str(values.get("USER") or ""), sameDatabase=False, error=None)
    try:
        if connections[alias].vendor == "postgresql":
            # the proof: whoever asks holds this advisory lock in its database; the same database sees it under its own oid
            seen, found["name"], found["user"] = query(alias, """
                SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                               WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
                                 AND l.classid::bigint = %s AND l.objid::bigint = %s AND l.objsubid = 1),
                       current_database()::text, current_user::text""", key >> 32, key & 0xFFFFFFFF)[0]
            found["sameDatabase"] = seen
            if seen:
                same.add(alias)
            else:
                other.add(alias)
        else:
            connections[alias].ensure_connection()
            other.add(alias)
    except Exception as e:
        found["error"] = masked(words_of(e))
        default = connections.settings["default"]
        if all((values.get(k) or "") == (default.get(k) or "") for k in ("HOST", "PORT", "NAME")):
            same.add(alias)
    return found


# ---- apps and files --------------------------------------------------------------------------


def module_of(label):
    from django.db.migrations.loader import MigrationLoader
    return MigrationLoader.migrations_module(label)


def folder_of(module):
    """Where a package lies, or would be made: the deepest existing parent and the rest of the name. Imports parents only."""
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


def describe_app(app, only):
    module, explicit = module_of(app.label)
    folder = None
    if module is None:
        why = "its migrations are switched off by MIGRATION_MODULES"
    else:
        folder = folder_of(module) if explicit else os.path.join(app.path, "migrations")
        if folder is None:
            why = "%s is not a package" % module
        else:
            why = why_not_own(folder)
            if why and explicit and not why_not_own(app.path):
                why = "MIGRATION_MODULES points to %s, %s" % (module, why)
            if not why and os.path.isfile(folder + ".py") and not os.path.isdir(folder):
                why = "%s is not a package" % module
    return dict(label=app.label, path=shown(app.path), own=why is None, whyNotOwn=why,
                migrationsModule=module, migrationsFolder=shown(folder) if folder else None,
                folderExists=bool(folder) and os.path.isdir(folder),
                selected=why is None and (not only or app.label in only))


def migration_files(app):
    """By MigrationLoader's rule: modules that are no packages and do not begin with _ or ~."""
    found = []
    for _, name, is_package in sorted(pkgutil.iter_modules([app["migrationsFolder"]]) if app["folderExists"] else [], key=lambda m: m[1]):
        if is_package or name[0] in "_~":
            continue
        path = os.path.join(app["migrationsFolder"], name + ".py")
        file = dict(app=app["label"], name=name, path=path, broken=None, line=0, isMigration=True, source="", tree=None,
                    module=app["migrationsModule"] + "." + name, loaded=None)
        if not os.path.isfile(path):
            spec = pkgutil.get_importer(app["migrationsFolder"]).find_spec(name)
            file["path"] = spec.origin if spec and spec.origin else path
        else:
            try:
                with tokenize.open(path) as text:
                    file["source"] = text.read()
                file["tree"] = ast.parse(file["source"])
                file["isMigration"] = any(getattr(n, "name", "") == "Migration" or getattr(n, "asname", "") == "Migration"
                                        or (isinstance(n, ast.alias) and n.name == "*") or (isinstance(n, ast.Name) and n.id == "Migration")
                                        for n in ast.walk(file["tree"]))
            except SyntaxError as e:
                file.update(broken="SyntaxError: " + str(e.msg), line=e.lineno or 0)
            except Exception as e:
                file["broken"] = words_of(e)
        if not file["broken"] and file["isMigration"]:
            try:
                file["loaded"] = importlib.import_module(file["module"]).Migration
            except BaseException as e:
                told = failure(e)
                file.update(broken=told["words"], line=told["line"] if told["file"] == shown(path) else 0)
        found.append(file)
    return found


WRITTEN = set("""CreateModel DeleteModel RenameModel AlterModelTable AlterModelTableComment AlterUniqueTogether AlterIndexTogether
    AlterOrderWithRespectTo AlterModelOptions AlterModelManagers AddIndex RemoveIndex RenameIndex AddConstraint RemoveConstraint
    AlterConstraint AddField RemoveField AlterField RenameField""".split())  # by the autodetector
keep = []  # the operations to carry, by number
pinning = set()  # labels of the migrations that stay and name one that goes


def operations(files):
    """Operations that no autodetector writes, from the syntax tree, so that broken files are read too."""
    custom, wanted = [], {}
    for file in files:
        if not file["tree"] or not file["isMigration"]:
            continue
        for node, name in operation_nodes(file):
            if name in WRITTEN:
                continue
            detail, carry = "", None
            if isinstance(node, ast.Call):
                text = lambda n: " ".join((ast.get_source_segment(file["source"], n) or "").split())
                first = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg in ("code", "sql", "name")), None)
                detail = "" if first is None else text(first)
                if name == "RunSQL" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    detail = " ".join(first.value.split())
                elif name == "SeparateDatabaseAndState":
                    detail = inner(node, text)
                carry = carriable(file, node, name, detail)
            carried = False
            if isinstance(carry, tuple):  # a removal takes back what was to be carried
                wanted.pop(carry, None)
                carried = True
            elif carry is not None:
                wanted.setdefault(key_of(carry), (file["app"], carry))
                carried = True
            custom.append(dict(app=file["app"], migration=file["name"], line=node.lineno, operation=name, detail=masked(detail[:80]), carried=carried))
    from django.db.migrations.writer import OperationWriter
    del keep[:]
    result = []
    for app, operation in wanted.values():
        source, imports = OperationWriter(operation, indentation=0).serialize()
        source = re.sub(r",?\s*\)$", ")", re.sub(r"\(\s+", "(", re.sub(r"\s*\n\s*", " ", source.strip().rstrip(","))))
        result.append(dict(number=len(keep), app=app, source=source, imports=sorted(imports)))
        keep.append((app, operation))
    return custom, result


def inner(node, text):
    """What SeparateDatabaseAndState holds that makemigrations would not write; when nothing, the names of all."""
    calls = [(getattr(n.func, "attr", getattr(n.func, "id", "?")), n) for n in ast.walk(node)
             if isinstance(n, ast.Call) and n is not node and (text(n.func).startswith("migrations.") or text(n.func) in ("RunPython", "RunSQL"))]
    calls.sort(key=lambda c: (c[1].lineno, c[1].col_offset))
    first = lambda a: " ".join(a.value.split()) if isinstance(getattr(a, "value", None), str) else text(a)
    own = [name + "".join(" " + first(a) for a in n.args[:1]) for name, n in calls if name not in WRITTEN]
    return ", ".join(own or [name for name, _ in calls])


def operation_nodes(file):
    """The elements of Migration.operations, with the class's name; what is computed is asked of the loaded class."""
    found = []
    for cls in ast.walk(file["tree"]):
        if not isinstance(cls, ast.ClassDef) or cls.name != "Migration":
            continue
        for node in cls.body:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else []
            if not any(isinstance(t, ast.Name) and t.id == "operations" for t in targets) or node.value is None:
                continue
            elements = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            if all(isinstance(e, ast.Call) for e in elements):
                found += [(e, class_name(e, file["tree"])) for e in elements]
            elif file["loaded"]:
                found += [(node, type(o).__name__) for o in file["loaded"].operations]
            else:
                found += [(e, class_name(e, file["tree"])) for e in ast.walk(node.value)
                          if isinstance(e, ast.Call)] or [(node, "computed operations")]
    return found


def class_name(call, tree):
    """The class's own name, also when it was imported as another."""
    name = getattr(call.func, "attr", getattr(call.func, "id", "?"))
    if isinstance(call.func, ast.Name):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.asname == name:
                        return alias.name
    return name


def key_of(operation):
    return ("collation" if "Collation" in type(operation).__name__ else "extension", operation.name)


def carriable(file, node, name, detail):
    """The operation as an object when new databases need it too; a key when it removes such; else None."""
    if name == "RunSQL":
        plain = re.fullmatch(r'CREATE EXTENSION (?:IF NOT EXISTS )?(?:"([^"]+)"|(\w+)) ?;?', detail, re.I)
        if plain:
            from django.contrib.postgres.operations import CreateExtension
            return CreateExtension(plain.group(1) or plain.group(2).lower())
        plain = re.fullmatch(r'DROP EXTENSION (?:IF EXISTS )?(?:"([^"]+)"|(\w+))(?: CASCADE)? ?;?', detail, re.I)
        return ("extension", plain.group(1) or plain.group(2).lower()) if plain else None
    if not name.endswith(("Extension", "CreateCollation", "RemoveCollation")):
        return None
    try:
        names = {}
        for statement in file["tree"].body:  # only the imports that this very call uses
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                bound = {(a.asname or a.name).split(".")[0] for a in statement.names}
                if bound & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
                    exec(compile(ast.Module(body=[statement], type_ignores=[]), file["path"], "exec"), {"__package__": file["module"].rpartition(".")[0]}, names)
        operation = eval(compile(ast.Expression(node), file["path"], "eval"), names)
        return key_of(operation) if name == "RemoveCollation" else operation
    except Exception:
        return None  # it is still listed as one that will be gone


def foreign(found, own):
    """Migrations that stay: those that name one that goes, and those that cannot run in a transaction."""
    pins, not_atomic = [], []
    pinning.clear()
    going = {a["label"] for a in own.values() if a["selected"]}
    for app in found:
        if app["label"] in going or not app["migrationsModule"]:
            continue
        folder = app["migrationsFolder"]
        for _, name, is_package in sorted(pkgutil.iter_modules([folder]) if folder and os.path.isdir(folder) else [], key=lambda m: m[1]):
            if is_package or name[0] in "_~":
                continue
            try:
                migration = importlib.import_module(app["migrationsModule"] + "." + name).Migration
            except BaseException:
                continue  # Django itself will say so
            if not migration.atomic:
                not_atomic.append(dict(app=app["label"], migration=name))
            for kind in ("dependencies", "run_before", "replaces"):
                for entry in getattr(migration, kind, None) or []:
                    if entry[0] in going and entry[1] not in ("__first__", "__latest__"):
                        pinning.add(app["label"])
                        pins.append(dict(app=app["label"], migration=name, kind=kind, toApp=entry[0], toMigration=entry[1], own=app["own"]))
    return pins, not_atomic


def tables(found):
    from django.apps import apps
    from django.db import router
    by = {a["label"]: a for a in found}
    result = []
    for model in apps.get_models(include_auto_created=True, include_swapped=False):
        meta = model._meta
        app = by[meta.app_label]
        if meta.proxy:
            continue
        migrated = app["selected"] or (bool(app["migrationsModule"]) and app["folderExists"] and any(
            not p and n[0] not in "_~" for _, n, p in pkgutil.iter_modules([app["migrationsFolder"]])))
        routed = router.allow_migrate_model("default", model)
        result.append(dict(table=meta.db_table, app=meta.app_label, model=meta.object_name, managed=meta.managed, onDefault=routed,
                           byMigration=bool(migrated and meta.managed and routed)))
    return result


def importers(files):
    """Lines of the project's own code that import a migration file."""
    modules = {f["module"] for f in files}
    paths = {os.path.realpath(f["path"]) for f in files if f["isMigration"]}
    tails = {m.rsplit(".", 1)[0].rsplit(".", 1)[1] for m in modules}
    result = []
    for folder, names, texts in os.walk(REAL_ROOT) if modules else []:
        names[:] = [n for n in names if not n.startswith(".") and n not in ("node_modules", "__pycache__", "site-packages", "dist-packages")
                    and not os.path.exists(os.path.join(folder, n, "pyvenv.cfg"))]
        for text in sorted(t for t in texts if t.endswith(".py")):
            path = os.path.join(folder, text)
            if path in paths or not os.path.isfile(path):  # a pipe would never end
                continue
            try:
                with tokenize.open(path) as file:
                    source = file.read()
                if not any(t in source for t in tails):
                    continue
                tree = ast.parse(source)
            except Exception:
                continue
            package = next((os.path.relpath(folder, os.path.realpath(p)).replace(os.sep, ".") for p in sys.path
                            if os.path.isdir(p) and inside(folder, os.path.realpath(p))), "")
            for node in ast.walk(tree):
                for name in imported(node, package):
                    if name in modules:
                        result.append(dict(path=shown(path), line=node.lineno, module=name))
    return result


def imported(node, package):
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


# ---- fresh migrations ------------------------------------------------------------------------


class Modules:
    """MIGRATION_MODULES may be any object with __contains__ and __getitem__."""
    def __init__(self, old, staged):
        self.old, self.staged = old, staged

    def __contains__(self, label):
        return label in self.staged or label in self.old

    def __getitem__(self, label):
        return self.staged[label] if label in self.staged else self.old[label]

    def get(self, label, default=None):
        return self[label] if label in self else default


def temporary_folder():
    """In a container, where the file system may be read-only. Never in the current folder, where Python looks last: that is the project's, here."""
    for place in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp", "/dev/shm"):
        if os.path.isabs(place) and not inside(os.path.realpath(place), REAL_ROOT):
            try:
                return tempfile.mkdtemp(prefix="reset_migrations_", dir=place)
            except OSError:
                pass  # the next may do
    raise RuntimeError("there is no place for temporary files: none of TMPDIR, /tmp, /var/tmp and /dev/shm can be written")


def stage(labels):
    global staging
    if hello.get("staging"):
        staging = hello.get("staging")  # whoever asks removes it when we are killed
        os.mkdir(staging, 0o700)
    else:
        staging = temporary_folder()
    package = "staged_" + os.urandom(8).hex()
    for label in [""] + labels:
        folder = os.path.join(staging, package, label)
        os.mkdir(folder)
        open(os.path.join(folder, "__init__.py"), "w").close()
        if label:
            modules[label] = package + "." + label
    for folder in (os.getcwd(), ROOT):  # makemigrations runs black, which looks for its settings from the file upwards
        if os.path.isfile(os.path.join(folder, "pyproject.toml")):
            shutil.copy(os.path.join(folder, "pyproject.toml"), staging)
            break
    sys.path.insert(0, staging)
    importlib.invalidate_caches()
    return package


@contextlib.contextmanager
def modules_while_making():
    """What is there already says nothing about the new files: neither rows, nor migrations that name one that is gone."""
    from django.conf import settings
    from django.db.migrations.loader import MigrationLoader
    old, consistent = settings.MIGRATION_MODULES, MigrationLoader.check_consistent_history
    together = lambda more: dict(old, **more) if isinstance(old, dict) else Modules(old, more)
    settings.MIGRATION_MODULES = together(dict({label: None for label in pinning}, **modules))
    MigrationLoader.check_consistent_history = lambda self, connection: None
    try:
        yield
    finally:
        settings.MIGRATION_MODULES = together(modules)
        MigrationLoader.check_consistent_history = consistent


class NeedsOtherApps(Exception):
    """A new migration refers to what only a migration in an app that is not reset would make."""
    def __init__(self, needs):
        self.needs = needs


@contextlib.contextmanager
def changes_only_of(labels, unwritten):
    """
    Django also writes migrations for other apps that these depend on, installed packages included. Their changes are
    removed before Django arranges them into migrations, so that the new ones depend on the last migration that the
    other app really has.
    unwritten gets a dict(app, change) for each removed change that would make a table or a column.
    """
    from django.db.migrations.autodetector import MigrationAutodetector
    original = MigrationAutodetector._build_migration_list

    def _build_migration_list(self, *rest, **more):
        others = {label: list(ops) for label, ops in self.generated_operations.items() if label not in labels}
        needs = [dict(app=label, operation=op.describe(), otherApp=other, change=change.describe())
                 for label in sorted(labels) for op in self.generated_operations.get(label, [])
                 for other, change in needed_changes(self, op, others)]
        if needs:
            raise NeedsOtherApps(needs)
        for label, ops in sorted(others.items()):
            made = [dict(app=label, change=op.describe()) for op in ops if makes_table_or_column(op)]
            unwritten.extend(m for m in made if m not in unwritten)
            del self.generated_operations[label]
        return original(self, *rest, **more)

    MigrationAutodetector._build_migration_list = _build_migration_list
    try:
        yield
    finally:
        MigrationAutodetector._build_migration_list = original


def needed_changes(detector, operation, others):
    """The other apps' changes without which this operation cannot run, as (label, operation)."""
    resolve = getattr(detector, "_resolve_dependency", lambda d: (d, False))
    found = []
    for dependency in operation._auto_deps:
        dependency = resolve(dependency)[0]
        found += [(dependency[0], c) for c in others.get(dependency[0], []) if detector.check_dependency(c, dependency)]
    for model, name in referenced_fields(operation):  # Django's dependencies name the model only
        label, _, model_name = model.rpartition(".")
        found += [(label, c) for c in others.get(label, []) if type(c).__name__ == "AddField"
                  and (c.model_name_lower, c.name_lower) == (model_name.lower(), name.lower())]
    return [f for i, f in enumerate(found) if f not in found[:i]]


def referenced_fields(operation):
    """Fields of other models that the operation names: to_field of a foreign key, through_fields of a many-to-many."""
    fields = [f for _, f in getattr(operation, "fields", [])]
    fields += [operation.field] if hasattr(operation, "field") else []
    label_of = lambda model: model if isinstance(model, str) else model._meta.label
    for field in fields:
        remote = getattr(field, "remote_field", None)
        names = [(getattr(remote, "model", None), n) for n in getattr(field, "to_fields", None) or ()]
        names += [(getattr(remote, "through", None), n) for n in getattr(remote, "through_fields", None) or ()]
        yield from ((label_of(model), name) for model, name in names if model and name)


def makes_table_or_column(operation):
    if type(operation).__name__ == "CreateModel":
        return operation.options.get("managed", True) and not operation.options.get("proxy")
    return type(operation).__name__ == "AddField"


def command(name, **overrides):
    """The project's own command (it may have replaced Django's), with our additions."""
    from django.core.management import get_commands, load_command_class
    app = get_commands()[name]
    there = load_command_class(app, name) if isinstance(app, str) else app
    return type("Command", (type(there),), overrides)()


def generate(labels, numbers):
    from django.core.management import call_command
    carried = [keep[n] for n in numbers]
    real = {label: module_of(label)[0] for label in labels}
    package = stage(labels)
    unwritten = []

    def write_migration_files(self, changes, *rest, **more):
        for label in set(changes) - set(labels):
            del changes[label]  # whatever a project's own autodetector or makemigrations has added
        carry(changes, carried)
        return super(type(self), self).write_migration_files(changes, *rest, **more)

    makemigrations = command("makemigrations", write_migration_files=write_migration_files)
    try:
        with modules_while_making(), changes_only_of(labels, unwritten):
            if labels:
                call_command(makemigrations, *labels, interactive=False, verbosity=0,
                             stdout=sys.stderr, stderr=sys.stderr)
    except NeedsOtherApps as e:
        return dict(files=[], drift=[], required=e.needs, unwritten=[])
    importlib.invalidate_caches()
    files = []
    for label in labels:
        folder = os.path.join(staging, package, label)
        for name in sorted(os.listdir(folder)):
            if name == "__init__.py" or not os.path.isfile(os.path.join(folder, name)):
                continue
            with open(os.path.join(folder, name), encoding="utf-8", newline="") as file:
                files.append(dict(app=label, name=name, text=file.read().replace(modules[label], real[label])))
    return dict(files=files, drift=drift(labels), required=[], unwritten=unwritten)


def carry(changes, carried):
    """Puts extension and collation operations first: into their app, or into the earliest app that needs them."""
    from django.db.migrations import Migration
    first = {app: migrations[0] for app, migrations in changes.items() if migrations}
    heads = {}
    for app, operation in carried:
        users = {label for label in first if any(needs(m, operation) for m in changes[label])}
        before = {label: ancestors(first[label], changes) for label in users | ({app} & set(first))}
        home = app if app in first and not users & before[app] else next(
            (u for u in sorted(users) if not users & (before[u] - {u})), None)
        if home is None and app not in first:
            if not users:  # its app has no models left and nobody needs it
                made = Migration("0001_initial", app)
                made.initial, made.dependencies, made.operations = True, [], []
                changes[app], first[app] = [made], made
            home = min(users) if users else app
        home = home or app
        heads.setdefault(home, []).append(operation)
        for user in users - {home}:
            dependency = (home, first[home].name)
            if dependency not in first[user].dependencies:
                first[user].dependencies.append(dependency)
    for home, operations in heads.items():
        first[home].operations[:0] = operations


def ancestors(migration, changes):
    """The labels of the fresh migrations that come before this one, also by way of other apps' migrations."""
    from django.conf import settings
    from django.db.migrations.loader import MigrationLoader
    disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    todo, seen, labels = [migration], set(), set()
    while todo:
        current = todo.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for dependency in current.dependencies:
            label, name = dependency[0], dependency[1]
            if label == "__setting__":
                label, name = getattr(settings, name).split(".")[0], "__first__"
            fresh = [m for m in changes.get(label, []) if m.name == name] or (changes.get(label, []) if name.startswith("__") else [])
            if fresh and label != migration.app_label:
                labels.add(label)
            todo += fresh or [m for key, m in disk.items() if key[0] == label and (key[1] == name or name.startswith("__"))]
    return labels


TYPES = dict(citext=["citext"], hstore=["hstore"], ltree=["ltree", "lquery"], vector=["vector"], postgis=["geometry", "geography", "raster"],
             pg_trgm=["gin_trgm_ops", "gist_trgm_ops", "trgm"], btree_gist=["ExclusionConstraint", "GistIndex"], btree_gin=["GinIndex"],
             bloom=["BloomIndex"], unaccent=["unaccent"], pgcrypto=["gen_random_", "RandomUUID", "crypt"])
TYPES["uuid-ossp"] = ["uuid_generate"]


def needs(migration, operation):
    """Whether a migration's fields, indexes or constraints speak of what the operation makes; of an unknown extension, yes."""
    from django.db import connections
    from django.db.migrations.writer import OperationWriter
    words = [operation.name] if key_of(operation)[0] == "collation" else TYPES.get(operation.name)
    if words is None:
        return True
    for op in migration.operations:
        text = OperationWriter(op, indentation=0).serialize()[0]
        fields = [f for _, f in getattr(op, "fields", [])] + ([op.field] if hasattr(op, "field") else [])
        for field in fields:
            try:
                text += " " + str(field.db_type(connections["default"]) or "")
            except Exception:
                pass  # a relation to a model that is not rendered
        if any(re.search(r"(?<![A-Za-z])" + re.escape(w), text, re.I) for w in words):
            return True
    return False


def drift(labels):
    """What makemigrations would still write, except where only a default differs that is computed in each process."""
    from django.apps import apps
    from django.db.migrations.autodetector import MigrationAutodetector
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
    from django.db.migrations.state import ProjectState
    loader = MigrationLoader(None, ignore_no_migrations=True)
    detector = getattr(command("makemigrations"), "autodetector", MigrationAutodetector)
    state = loader.project_state()
    changes = detector(state, ProjectState.from_apps(apps), NonInteractiveMigrationQuestioner(specified_apps=set(labels), dry_run=True)).changes(
        graph=loader.graph, trim_to_apps=set(labels) or None, convert_apps=set(labels) or None)
    return [label + ": " + operation.describe() for label in sorted(set(changes) & set(labels)) for migration in changes[label]
            for operation in migration.operations if not only_computed(state, label, operation)]


def only_computed(state, label, operation):
    if type(operation).__name__ != "AlterField":
        return False
    def stable(field):
        _, path, args, kwargs = field.deconstruct()
        if not callable(kwargs.get("default")):
            kwargs.pop("default", None)
        kwargs["choices"] = sorted(map(repr, kwargs.get("choices") or []))
        return repr((path, args, sorted(kwargs.items(), key=lambda i: i[0])))
    old = state.models[label, operation.model_name_lower].fields.get(operation.name)
    return old is not None and stable(old) == stable(operation.field)


# ---- migrate ---------------------------------------------------------------------------------

opened = None  # the transaction left open


def migrate(flush=False):
    from django.core.management import call_command
    from django.db import connections
    from django.db.models.signals import pre_migrate
    applied, total = [], [0]

    def count(plan=None, **kwargs):
        total[0] = len(plan or [])

    def migration_progress_callback(self, action, migration=None, fake=False):
        if action == "apply_start":
            say("progress", text="%s.%s (%d of %d)" % (migration.app_label, migration.name, len(applied) + 1, total[0]))
        if action == "apply_success":
            applied.append("%s.%s" % (migration.app_label, migration.name))
            if flush:  # what a commit would do: the next migration may alter a table that has trigger events waiting
                with connections["default"].cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            if len(applied) == total[0]:
                say("progress", text="after the last migration")

    pre_migrate.connect(count, weak=False, dispatch_uid="reset_migrations")
    try:
        call_command(command("migrate", migration_progress_callback=migration_progress_callback),
                     database="default", interactive=False, verbosity=0, stdout=sys.stderr, stderr=sys.stderr)
    finally:
        pre_migrate.disconnect(dispatch_uid="reset_migrations")
    whole()
    return applied


def unapplied():
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor
    executor = MigrationExecutor(connections["default"])
    executor.loader.check_consistent_history(connections["default"])
    conflicts = executor.loader.detect_conflicts()
    if conflicts:
        raise RuntimeError("conflicting leaf nodes: %s" % conflicts)
    return ["%s.%s" % (m.app_label, m.name) for m, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def whole():
    """Nothing is unapplied and every table that the fresh migrations promise is there."""
    from django.apps import apps
    from django.db import connections, router
    left = unapplied()
    if left:
        raise RuntimeError("not applied by migrate: " + ", ".join(left))
    names = [m._meta.db_table for m in apps.get_models(include_auto_created=True)
             if m._meta.app_label in modules and m._meta.managed and not m._meta.proxy and router.allow_migrate_model("default", m)]
    quoted = [connections["default"].ops.quote_name(n) for n in names]
    missing = query("default", "SELECT t FROM unnest(%s::text[]) t WHERE to_regclass(t) IS NULL", quoted) if quoted else []
    if missing:
        raise RuntimeError("no table after migrate: " + ", ".join(m[0] for m in missing))


def close():
    from django.db import connections
    for alias in connections:
        try:
            connections[alias].close()
        except Exception:
            pass


def migrate_into(database):
    try:
        point(database)
        return dict(applied=migrate())
    finally:
        close()


def migrate_live():
    point(None)
    try:
        return dict(applied=migrate())
    finally:
        close()


def migrate_in_transaction(statements):
    global opened
    from django.db import connections, transaction
    rollback()
    point(None)
    for alias in same - {"default"}:  # another connection would wait for our own locks
        connections[alias] = connections["default"]
    opened = transaction.atomic(using="default")
    opened.__enter__()
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            for statement in statements:
                cursor.execute(statement)
        return dict(applied=migrate(flush=True))
    except BaseException:
        rollback()
        raise


def commit():
    global opened
    if opened is None:
        raise RuntimeError("no transaction is open")
    ended, opened = opened, None
    try:
        ended.__exit__(None, None, None)
    finally:
        point(None)


def rollback():
    global opened
    if opened is None:
        return
    ended, opened = opened, None
    try:
        stop = RuntimeError("rolled back")
        ended.__exit__(RuntimeError, stop, None)
    except Exception:
        pass  # a lost connection has rolled back already
    finally:
        point(None)


def sources():
    """The code as the image has it: sha256 of each text by its path below manage.py's folder."""
    found = {}
    for folder, names, texts in os.walk(os.getcwd()):
        names[:] = [n for n in names if n[0] != "." and n not in ("__pycache__", "node_modules", "site-packages") and not os.path.exists(os.path.join(folder, n, "pyvenv.cfg"))]
        paths = [os.path.join(folder, t) for t in texts if t.endswith(".py")]
        found.update((os.path.relpath(p, os.getcwd()), digest(p)) for p in paths if os.path.isfile(p))  # an editor's lock is a link to nowhere
    return found


def migrations_folders(labels):
    from django.apps import apps
    return {label: folder_of(module_of(label)[0]) if module_of(label)[1] else os.path.join(apps.get_app_config(label).path, "migrations") for label in labels}


def seen(labels):
    """What is mounted, as it is seen in here: sha256 of each migration file by label, and that of manage.py."""
    found = {label: {n: digest(os.path.join(folder, n)) for n in (os.listdir(folder) if os.path.isdir(folder) else ()) if n.endswith(".py") and os.path.isfile(os.path.join(folder, n))}
             for label, folder in migrations_folders(labels).items()}
    return dict(manage=digest("manage.py"), migrations=found)


def lay_over(labels, files):
    """The image has these migrations as they were: what is checked is what the project has. Files by folder below manage.py's, and name."""
    from django.conf import settings
    package = stage(list(labels))
    for label, folder in migrations_folders(labels).items():
        for name, text in files.get(os.path.relpath(folder, os.getcwd()), {}).items():
            with open(os.path.join(staging, package, label, name), "w", encoding="utf-8") as file:
                file.write(text)
    old = settings.MIGRATION_MODULES
    settings.MIGRATION_MODULES = dict(old, **modules) if isinstance(old, dict) else Modules(old, modules)


def check(labels, baseline, files):
    if files is not None:
        lay_over(labels, files)
    point(None)
    oid = query("default", "SELECT oid::bigint FROM pg_database WHERE datname = current_database()")[0][0]
    result = dict(oid=oid, unapplied=unapplied(), drift=[d for d in drift(labels) if d not in baseline])
    close()
    return result


# ---- conversation ----------------------------------------------------------------------------


def answer(request):
    do, rest = request["do"], request.get("with", {})
    return dict(
        describe=lambda: describe(rest["key"], rest["only"]), generate=lambda: generate(rest["labels"], rest["carried"]),
        migrateInto=lambda: migrate_into(rest["database"]), migrateLive=migrate_live,
        migrateInTransaction=lambda: migrate_in_transaction(rest["statements"]), commit=commit, rollback=rollback,
        check=lambda: check(rest["labels"], rest["baseline"], rest.get("files")), sources=sources, seen=lambda: seen(rest["labels"]))[do]() or {}


def main():
    threading.Thread(target=listen, daemon=True).start()
    broken = None
    if not hello.get("root") and not lost:
        say("folder", path=os.getcwd())
    try:
        setup()
    except BaseException as e:
        broken = e
    while True:
        request = commands.get()
        try:
            if broken:
                raise broken
            say("answer", value=answer(request))
        except NoDjango:
            say("noDjango", executable=sys.executable, folder=shown(os.getcwd()))
        except NoManagePy:
            say("noManagePy", looked=[os.getcwd(), *PLACES])
        except NoSettings:
            say("noSettings", managePy=shown(os.path.join(os.getcwd(), "manage.py")))
        except BaseException as e:
            try:
                know_secrets()
            except BaseException:
                pass
            say("failed", value=failure(e))


main()
