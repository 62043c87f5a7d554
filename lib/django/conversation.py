"""
The conversation with the program that started this interpreter, the project's own Python (3.8 or later).

The first line on standard input is the greeting; each line after it is a request: {"do": command, "with": arguments}.
A reply is a line on standard output: the greeting's token, a space and a JSON object with an "event". The last reply to
a request is "answer", "failed", "noDjango", "noManagePy" or "noSettings"; "progress", "secrets" and "folder" may come
before it. Every other line is noise.
"""
import ast
import gc
import hashlib
import importlib
import json
import os
import queue
import re
import runpy
import signal
import sys
import threading
import tokenize
import traceback
from urllib.parse import quote, quote_plus, unquote

# Where images keep their code.
PLACES = ("/app", "/code", "/src", "/srv", "/usr/src", "/opt", "/workspace", "/home", "/var/www")
INSTALLED_FOLDERS = {"site-packages", "dist-packages", "__pypackages__"}
SETUP_FILES = ("pyproject.toml", "setup.cfg", "setup.py")
# A source tree inside the project, installed in place (pip install -e); --apps can choose its apps.
A_PACKAGE_OF_ITS_OWN = "a package of its own"


class CannotStart(Exception):
    """Django cannot be started; the event names the reason."""

    def __init__(self, event, **values):
        self.event, self.values = event, values


class Conversation:
    """The lines in both directions, kept apart from what the project reads and prints."""

    def __init__(self):
        self._input = os.fdopen(os.dup(0), encoding="utf-8")
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._take_standard_streams()
        for name in ("SIGINT", "SIGHUP"):  # sent by a terminal; the other side decides, so that a commit is finished
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        self.greeting = json.loads(self._input.readline())
        self.requests = queue.Queue()
        self.at_end = []  # functions to call before the process ends

    def _take_standard_streams(self):
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        sys.stdin = open(0, closefd=False)
        if hasattr(os, "register_at_fork"):  # a child of the project neither replies nor keeps the conversation open
            os.register_at_fork(after_in_child=self._leave_in_child)

    def _leave_in_child(self):
        os.dup2(0, self._input.fileno())
        os.dup2(2, self._output.fileno())

    def say(self, event, **values):
        self._output.write(self.greeting["token"] + " " + json.dumps(dict(values, event=event)) + "\n")
        self._output.flush()

    def listen(self):
        """From now on the process ends as soon as its standard input does."""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self._input:
            self.requests.put(json.loads(line))
        for act in self.at_end:
            act()
        os._exit(0)  # not sys.exit: apps start threads in ready(). The server rolls back what is open


class Project:
    """The project's folder as this interpreter sees it."""

    def __init__(self, greeting):
        """In an image, finds the folder of manage.py and changes into it."""
        self.found = True
        if greeting.get("managePy"):
            folders = [f for place in (os.getcwd(),) + PLACES for f in manage_py_folders(place)]
            folders.sort(key=lambda f: digest(os.path.join(f, "manage.py")) != greeting["managePy"])
            self.found = bool(folders)
            if folders:
                os.chdir(folders[0])
        self.root = os.path.abspath(greeting.get("root") or os.getcwd())
        self.real_root = os.path.realpath(self.root)
        self._packages = {}  # by folder

    def shown(self, path):
        """A path as the user knows it: below the project's folder, even when that is a symbolic link."""
        real = os.path.realpath(path)
        if not inside(real, self.real_root):
            return path
        return os.path.normpath(os.path.join(self.root, os.path.relpath(real, self.real_root)))

    def why_not_own(self, path):
        """Why the code at this path is not the project's own; None when it is."""
        real = os.path.realpath(path)
        if not inside(real, self.real_root):
            return "outside the project"
        parts = os.path.relpath(real, self.real_root).split(os.sep)
        if not INSTALLED_FOLDERS.isdisjoint(parts):
            return "an installed package"
        for depth in range(len(parts)):
            folder = os.path.join(self.real_root, *parts[:depth])
            if is_virtual_environment(os.path.join(folder, parts[depth])):
                return "in a virtual environment"
            if os.path.isfile(folder):  # zip or wheel
                return "in the archive " + os.path.relpath(folder, self.real_root)
            why = self._why_installed(folder, parts[depth:])
            if why:
                return why
        return None

    def _why_installed(self, folder, parts):
        """folder: may hold metadata of installed packages, beside their code. parts: of the path below it."""
        if folder not in self._packages:
            self._packages[folder] = list(packages_in(folder))
        paths = {"/".join(parts[:depth + 1]) for depth in range(len(parts))}
        for metadata, files, is_source in self._packages[folder]:
            if files is None or not paths.isdisjoint(files):
                kind = A_PACKAGE_OF_ITS_OWN if is_source else "an installed package"
                return "%s (%s)" % (kind, os.path.relpath(metadata, self.real_root))
        return None


def packages_in(folder):
    """
    (path of its metadata, its files and their folders, whether it is a source tree) of each package in this folder, but
    of the project itself, which pip install -e makes a package too. None for the files: unknown.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        stem, kind = os.path.splitext(name)
        if kind not in (".dist-info", ".egg-info"):
            continue
        metadata = os.path.join(folder, name)
        record = lines_of(os.path.join(metadata, "RECORD"))
        if record:
            files = {line.split(",")[0].strip('"') for line in record}
            yield metadata, files | {os.path.dirname(file) for file in files} - {""}, False
            continue
        if not is_project_itself(folder, stem):
            top = set(lines_of(os.path.join(metadata, "top_level.txt")))
            yield metadata, top or None, "-" not in stem  # else it has a version


def is_project_itself(folder, stem):
    """Whether metadata in this folder, NAME or NAME-VERSION, is that of the source tree with manage.py."""
    tree = folder
    while not any(os.path.isfile(os.path.join(tree, file)) for file in SETUP_FILES):
        if tree == os.path.dirname(tree):
            return inside(os.path.realpath(os.getcwd()), folder)
        tree = os.path.dirname(tree)
    names = {plain_name("".join(found)) for file in SETUP_FILES for line in lines_of(os.path.join(tree, file))
             for found in re.findall(r"""(?:^|[(,])\s*name\s*=\s*(?:["']([\w.-]+)["']|([\w.-]+)$)""", line)}
    known = plain_name(stem.split("-")[0]) in names or not names and "-" not in stem
    return known and inside(os.path.realpath(os.getcwd()), tree)


def plain_name(package):
    return re.sub(r"[-_.]+", "_", package).lower()


def lines_of(path):
    """The stripped lines that are not empty; none when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if line.strip()]
    except OSError:
        return []


def manage_py_folders(folder, depth=2):
    if os.path.isfile(os.path.join(folder, "manage.py")):
        yield folder
    elif depth:
        try:
            below = sorted(e.path for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)
                           and e.name[0] != "." and e.name not in ("node_modules", "site-packages"))
        except OSError:
            return
        for path in below:
            yield from manage_py_folders(path, depth - 1)


def is_virtual_environment(folder):
    return os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def inside(path, folder):
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


# ---- secrets and failures --------------------------------------------------------------------


class Secrets:
    """Passwords and keys, masked in every reply."""

    def __init__(self, conversation):
        self._conversation = conversation
        self._patterns = {}

    def learn(self):
        """Collects them from the environment and from settings that are loaded, and sends them to the other side."""
        for name, value in os.environ.items():
            named = re.search(r"PASSW|SECRET|TOKEN|PRIVATE|API_?KEY|_KEY$", name, re.I)
            if named and not name.endswith("FILE") and len(value) > 2:
                self._add(value)
            for password in re.findall(r"://[^/@\s]*?:([^/@\s]+)@", value):
                self._add(password)
                self._add(unquote(password))
        if "django.conf" in sys.modules and sys.modules["django.conf"].settings.configured:
            self._learn_settings(sys.modules["django.conf"].settings)
        self._conversation.say("secrets", values=sorted(self._patterns, key=len, reverse=True))

    def _learn_settings(self, settings):
        self._add(getattr(settings, "SECRET_KEY", None))
        databases = getattr(settings, "DATABASES", {}).values()
        for database in databases:
            self._add(database.get("PASSWORD"))
            self._add((database.get("OPTIONS") or {}).get("password"))
        for database in databases:
            for public in ("NAME", "USER", "HOST"):  # a password "postgres" is no secret, and masking it harms messages
                self._patterns.pop(str(database.get(public)), None)

    def _add(self, value):
        """Adds the value and its forms in a URL, in SQL, in a repr and in JSON."""
        value = str(value or "")
        doubled = value.replace("\\", "\\\\")
        literals = (repr(value), ascii(value), json.dumps(value), json.dumps(value, ensure_ascii=False))
        forms = {value, quote(value, safe=""), quote(value), quote_plus(value), doubled, doubled.replace("'", "\\'"),
                 value.replace("'", "''"), *(literal[1:-1] for literal in literals)}
        for form in forms:
            if form and form not in self._patterns:
                pattern = re.escape(form)
                self._patterns[form] = re.compile(pattern if len(form) > 5 else r"(?<!\w)" + pattern + r"(?!\w)")

    def learn_if_possible(self):
        """Settings that failed may be half loaded."""
        try:
            self.learn()
        except BaseException:
            pass

    def masked(self, text):
        for pattern in self._patterns.values():
            text = pattern.sub("***", text)
        return text


def words_of(error):
    """The exception's class and text."""
    name = type(error).__name__
    module = type(error).__module__
    try:
        text = str(error).strip()
    except Exception:
        text = "(it cannot be shown as text)"
    if module not in ("builtins", "django.core.management.base") and not module.startswith(("django.", "psycopg")):
        name = module + "." + name
    return name + (": " + text if text else "")


def failure(error, project, secrets):
    """The exception, PostgreSQL's message, and the last frame in the project's own code."""
    refused_by = getattr(error, "refused_by", None)
    while isinstance(error, SystemExit) and isinstance(error.__context__, Exception):
        error = error.__context__
    frames = [(f.filename, f.lineno, f.line or "") for f in traceback.extract_tb(error.__traceback__)]
    own = [f for f in frames if os.path.isabs(f[0]) and not project.why_not_own(f[0])]
    file, line, source = own[-1] if own else (None, 0, "")
    if isinstance(error, SyntaxError) and error.filename:
        file, line, source = error.filename, error.lineno or 0, (error.text or "").strip()
    file, line, source = getattr(error, "place", None) or (file, line, source)
    words = words_of(error)
    state, details = said_by_postgresql(error)
    details += getattr(error, "more_details", [])
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return dict(
        words=secrets.masked(words), state=state, refusedBy=refused_by,
        details=["%s: %s" % (name, secrets.masked(text)) for name, text in details if text not in words],
        file=project.shown(file) if file else None, line=line, source=secrets.masked(source),
        trace=secrets.masked(trace)[-20000:])


def said_by_postgresql(error):
    """SQLSTATE and (name, text) of each detail of the database error behind an exception; None and [] without one."""
    while error is not None:
        diag = getattr(error, "diag", None)
        if diag is not None and diag.sqlstate is not None:
            details = (("DETAIL", diag.message_detail), ("HINT", diag.message_hint), ("CONTEXT", diag.context))
            return diag.sqlstate, [(name, text) for name, text in details if text]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None, []


# ---- starting Django -------------------------------------------------------------------------


def read_manage_py():
    """
    Does what manage.py does before it calls Django: sys.path, .env files, DJANGO_SETTINGS_MODULE. A manage.py that does
    not call Django in the usual way is only read, never run.
    """
    path = os.path.join(os.getcwd(), "manage.py")
    try:
        with tokenize.open(path) as file:
            text = file.read()
        tree = ast.parse(text)
    except Exception:
        return
    if "execute_from_command_line" in text and run_manage_py(path):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setdefault" and len(node.args) == 2:
            name, value = (getattr(a, "value", None) for a in node.args)
            if name == "DJANGO_SETTINGS_MODULE" and isinstance(value, str):
                os.environ.setdefault(name, value)


def run_manage_py(path):
    """Runs it until it calls Django; returns whether it did."""
    from django.core.management import ManagementUtility

    class CallsDjango(BaseException):
        pass

    def execute(self):
        raise CallsDjango()

    original, ManagementUtility.execute = ManagementUtility.execute, execute
    sys.argv = [path, "check"]
    try:
        runpy.run_path(path, run_name="__main__")
        return False
    except CallsDjango:
        return True
    finally:
        ManagementUtility.execute = original


def find_settings(settings, project, secrets):
    """Makes Django's settings ready to be read. settings: a module, or None: manage.py and the environment decide."""
    if not project.found:
        raise CannotStart("noManagePy", looked=[os.getcwd(), *PLACES])
    sys.path.insert(0, os.getcwd())
    secrets.learn()
    try:
        importlib.import_module("django")
    except ModuleNotFoundError as e:
        if e.name != "django":
            raise
        raise CannotStart("noDjango", executable=sys.executable, folder=project.shown(os.getcwd()),
                          virtual=sys.prefix != sys.base_prefix
                          or os.path.isdir(os.path.join(sys.prefix, "conda-meta")))
    if settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
    read_manage_py()
    if settings:  # like --settings, it wins over an assignment in manage.py
        os.environ["DJANGO_SETTINGS_MODULE"] = settings
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise CannotStart("noSettings", managePy=project.shown(os.path.join(os.getcwd(), "manage.py")))
    sys.argv = [os.path.join(os.getcwd(), "manage.py"), "migrate"]  # settings look at it


def start_django():
    """Loads the apps."""
    import django
    django.setup()
    gc.freeze()
    gc.set_threshold(50000, 20, 20)  # migrate creates thousands of model classes: a tenth less time, measured


def start(conversation, project, secrets):
    """The commands by name."""
    find_settings(conversation.greeting.get("settings"), project, secrets)
    if conversation.greeting.get("only") == "settings":
        from django.conf import settings
        settings.DATABASES  # reads the settings: they hold secrets, learned before the first reply
        return dict(defaultDatabase=lambda: default_database(secrets))
    start_django()
    from reset_migrations_driver.describe import Databases, Describer
    from reset_migrations_driver.generate import Generator
    from reset_migrations_driver.migrate import Migrator
    databases = Databases()
    describer = Describer(project, secrets, databases)
    generator = Generator(conversation, project, describer, databases, secrets.masked)
    migrator = Migrator(conversation, databases, generator)
    return dict(
        describe=describer.describe, codeInImage=describer.code_in_image, mountedFiles=describer.mounted_files,
        generate=generator.generate, migrate=migrator.migrate, migrateInTransaction=migrator.migrate_in_transaction,
        query=migrator.query, migrateOld=migrator.migrate_old, buildModels=migrator.build_models,
        modelsInTransaction=migrator.models_in_transaction, commit=migrator.commit, rollback=migrator.rollback,
        check=migrator.check)


def default_database(secrets):
    """
    How default's connection is made. Where it can be made, libpq knows best: it completes the settings from a service,
    a password file and PG… variables.
    """
    from django.db import connections
    wrapper = connections["default"]
    found = dict(module=os.environ["DJANGO_SETTINGS_MODULE"], engine=wrapper.settings_dict.get("ENGINE") or "",
                 postgresql=wrapper.vendor == "postgresql", host="", port="", name="", user="", password=None,
                 sslmode=None, error=None)
    if not found["postgresql"]:
        return found
    parameters = {name: value for name, value in wrapper.get_connection_params().items() if name != "pool"}
    try:
        connection = wrapper.Database.connect(**dict({"connect_timeout": 10}, **parameters))
    except Exception as e:
        found.update(error=secrets.masked(words_of(e)), host=parameters.get("host"), port=parameters.get("port"),
                     name=parameters.get("dbname", parameters.get("database")), user=parameters.get("user"),
                     password=parameters.get("password"), sslmode=parameters.get("sslmode"))
    else:
        info = connection.info
        found.update(host=info.host, port=info.port, name=info.dbname, user=info.user, password=info.password,
                     sslmode=parameters.get("sslmode"))
        connection.close()
    for name in ("host", "port", "name", "user"):
        found[name] = str(found[name] or "")
    for name in ("password", "sslmode"):
        found[name] = str(found[name]) if found[name] else None
    return found


def main():
    sys.dont_write_bytecode = True
    conversation = Conversation()
    project = Project(conversation.greeting)
    secrets = Secrets(conversation)
    conversation.listen()
    if not conversation.greeting.get("root") and project.found:
        conversation.say("folder", path=os.getcwd())
    commands, broken = {}, None
    try:
        commands = start(conversation, project, secrets)
    except BaseException as e:
        broken = e
    secrets.learn_if_possible()
    while True:
        request = conversation.requests.get()
        try:
            if broken:
                raise broken
            conversation.say("answer", value=commands[request["do"]](**request.get("with", {})) or {})
        except CannotStart as e:
            conversation.say(e.event, **e.values)
        except BaseException as e:
            secrets.learn_if_possible()
            conversation.say("failed", value=failure(e, project, secrets))
