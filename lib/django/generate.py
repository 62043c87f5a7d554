"""Makes new migrations for some apps, and no others, in a separate folder."""
import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import traceback

from reset_migrations_driver import runsql, unwritable
from reset_migrations_driver.conversation import inside
from reset_migrations_driver.describe import key_of, migrations_module
from reset_migrations_driver.otherapps import ask_for_order, carry_changes, carry_order, label_of, model_of

# Words in a migration that show that it needs an extension.
TRACES_OF_EXTENSIONS = {
    "citext": ["citext"], "hstore": ["hstore"], "ltree": ["ltree", "lquery"], "vector": ["vector"],
    "postgis": ["geometry", "geography", "raster"], "pg_trgm": ["gin_trgm_ops", "gist_trgm_ops", "trgm"],
    "btree_gist": ["ExclusionConstraint", "GistIndex"], "btree_gin": ["GinIndex"], "bloom": ["BloomIndex"],
    "unaccent": ["unaccent"], "pgcrypto": ["gen_random_", "RandomUUID", "crypt"], "uuid-ossp": ["uuid_generate"]}


class Staging:
    """Migrations packages for some apps, empty at first, that Django can import."""

    def __init__(self, folder, labels, project):
        """folder: to create; the other side removes it if this process is killed. None: a temporary one."""
        from django.conf import settings
        if folder:
            os.mkdir(folder, 0o700)
        self.folder = folder or temporary_folder(project)
        self._before = settings.MIGRATION_MODULES
        self._package = "staged_" + os.urandom(8).hex()
        self.modules = {label: self._package + "." + label for label in labels}
        for label in ["", *labels]:
            os.mkdir(self._path(label))
            open(self._path(label, "__init__.py"), "w").close()
        os.environ["BLACK_CACHE_DIR"] = self.folder  # makemigrations runs black, which keeps its cache in the home
        for place in (os.getcwd(), project.root):  # and finds its settings above a file
            if os.path.isfile(os.path.join(place, "pyproject.toml")):
                shutil.copy(os.path.join(place, "pyproject.toml"), self.folder)
                break
        sys.path.insert(0, self.folder)
        importlib.invalidate_caches()

    def _path(self, *names):
        return os.path.join(self.folder, self._package, *names)

    def write(self, label, name, text):
        with open(self._path(label, name), "w", encoding="utf-8") as file:
            file.write(text)

    def files(self, label):
        """(name, text) of each written file."""
        for name in sorted(os.listdir(self._path(label))):
            if name != "__init__.py" and os.path.isfile(self._path(label, name)):
                with open(self._path(label, name), encoding="utf-8", newline="") as file:
                    yield name, file.read()

    def use(self, without=()):
        """From now on Django uses these as the apps' migrations. without: apps that then have none."""
        from django.conf import settings
        old = settings.MIGRATION_MODULES
        modules = dict({label: None for label in without}, **self.modules)
        settings.MIGRATION_MODULES = dict(old, **modules) if isinstance(old, dict) else MigrationModules(old, modules)

    @contextlib.contextmanager
    def not_in_use(self):
        """Meanwhile Django uses the migrations that the apps had before."""
        from django.conf import settings
        staged, settings.MIGRATION_MODULES = settings.MIGRATION_MODULES, self._before
        try:
            yield
        finally:
            settings.MIGRATION_MODULES = staged

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class MigrationModules:
    """MIGRATION_MODULES with more entries. The original may be any object with __contains__ and __getitem__."""

    def __init__(self, old, more):
        self._old, self._more = old, more

    def __contains__(self, label):
        return label in self._more or label in self._old

    def __getitem__(self, label):
        return self._more[label] if label in self._more else self._old[label]

    def get(self, label, default=None):
        return self[label] if label in self else default


def temporary_folder(project):
    """For a container, which may be read-only in most places. tempfile also tries the current folder, the project's."""
    for place in (os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp", "/dev/shm"):
        if os.path.isabs(place) and not inside(os.path.realpath(place), project.real_root):
            try:
                return tempfile.mkdtemp(prefix="reset_migrations_", dir=place)
            except OSError:
                pass  # try the next place
    raise RuntimeError("no folder for temporary files: none of TMPDIR, /tmp, /var/tmp and /dev/shm can be written")


class Generator:
    """The command "generate"."""

    def __init__(self, conversation, project, describer, databases, masked):
        """masked: hides secrets in a text."""
        self._conversation, self._project, self._describer = conversation, project, describer
        self._databases, self._masked = databases, masked
        self._staging = None
        self._sql = []  # the old operations with SQL that the new migrations have too

    def stage(self, labels):
        self._staging = Staging(self._conversation.greeting.get("staging"), labels, self._project)
        self._conversation.at_end.append(self._staging.remove)
        return self._staging

    def old_migrations(self):
        return self._staging.not_in_use()

    def labels(self):
        """The labels of the apps whose migrations are new."""
        return self._staging.modules.keys() if self._staging else ()

    def generate(self, labels, carried):
        """carried: the numbers of operations that describe found."""
        operations = [self._describer.carried[number] for number in carried]
        modules = {label: migrations_module(label)[0] for label in labels}
        staging = self.stage(labels)
        sql = self._sql = runsql.choose(runsql.old_sql(self._describer.replaced, self._masked), labels,
                                        {key_of(operation) for _, operation in self._describer.carried})
        others, written = [], {}

        def write_migration_files(self, changes, *rest, **more):
            for label in set(changes) - set(labels):
                del changes[label]  # added by the project's own autodetector or makemigrations
            if not written:  # the first command that writes
                carry_sql(changes, sql)  # which may need extensions
                carry(changes, operations)
            for label in changes:
                written.setdefault(label, []).extend(changes[label])
            try:
                return super(type(self), self).write_migration_files(changes, *rest, **more)
            except Exception as e:
                unwritable.explain(e, changes)
                raise

        try:
            with self._without_history(), changes_only_of(labels, others, self._describer.replaced):
                for name, options in self._writers(labels).items():
                    call_writer(name, labels, options, write_migration_files)
        except RequiresOtherApps as e:
            return refused(required=e.changes)
        except Circle as e:
            return refused(circles=e.references)
        unwritable.require_independent([text for label in labels for _, text in staging.files(label)], written,
                                       self._describer.replaced)
        names = {(label, name[:-len(".py")]) for label in labels for name, _ in staging.files(label)}
        loadable = names.issuperset(self._describer.referenced)  # else it is refused
        lost_order = carry_order(staging, self._describer.replaced) if loadable else []
        kept = carry_changes(staging, others, self._describer.replaced, self._databases) if loadable else []
        changes = {(one["otherApp"], one["change"]) for one in kept}
        unwritten = [dict(app=label, change=op.describe()) for label, op in others
                     if makes_table_or_column(op) and (label, op.describe()) not in changes]
        files = [dict(app=label, name=name, text=text.replace(staging.modules[label], modules[label]))
                 for label in labels for name, text in staging.files(label)]
        drift = []
        if loadable:
            with self.old_migrations():
                failing = sorted(self.failing_checks())
            drift = self.drift(labels) + failing
        return dict(files=files, drift=drift, required=[], circles=[],
                    unwritten=unwritten, elsewhere=kept, lostOrder=lost_order,
                    carriedSql=[one.reply(self._masked) for one in self._sql])

    def failing_checks(self):
        """
        The system checks of the project and its packages that fail: their errors by the check's name. With such an
        error, manage.py runs neither migrate nor check.
        """
        from django.core.checks import registry
        found = {}
        for check in registry.registry.get_checks():
            name = "%s.%s" % (getattr(check, "__module__", ""), getattr(check, "__qualname__", check))
            if name.startswith("django."):
                continue
            try:
                errors = [str(e) for e in check(app_configs=None, databases=["default"]) or ()
                          if e.is_serious() and not e.is_silenced()]
            except Exception as e:  # another service does not run here, a table does not exist yet
                errors = [str(e)]
            if errors:
                found["system check " + name] = "; ".join(errors)
        self._databases.close()
        return found

    def explained(self, error):
        """What else is to be said of an error of the new migrations, as (name, text)."""
        return runsql.explained(error, self._sql, self._describer.replaced) + without_migrations(error)

    def _writers(self, labels):
        """
        The commands that write the project's migrations, in order, with their options: makemigrations or a package's
        own in its place (django-postgres-extra: pgmakemigrations), then those of packages whose classes the models are
        based on, which write more of them (django-db-views: makeviewmigrations).
        """
        from django.apps import apps
        from django.core.management import get_commands, load_command_class
        from django.core.management.commands.makemigrations import Command
        main, more = "makemigrations", {}
        bases = {base.__module__.split(".")[0] for label in labels for model in apps.get_app_config(label).get_models()
                 for base in model.__mro__}
        for name, app in sorted(get_commands().items()):
            if not re.fullmatch(r"\w*make\w*migrations", name) or name == main or not isinstance(app, str):
                continue
            config = next((c for c in apps.get_app_configs() if c.name == app), None)
            if config is None or not self._project.why_not_own(config.path):
                continue
            try:
                kind = type(load_command_class(app, name))
            except Exception:
                continue  # something that it imports is not installed
            if issubclass(kind, Command) and kind.add_arguments is Command.add_arguments:
                main = name
            elif issubclass(kind, Command) and app.split(".")[0] in bases:
                more[name] = {}
        return {main: dict(interactive=False), **more}

    def drift(self, labels):
        """What would still be written, as "label: change", without differences of computed defaults."""
        from django.db.migrations.loader import MigrationLoader
        changes = []

        def write_migration_files(self, found, *rest, **more):
            changes.extend((label, operation) for label in sorted(set(found) & set(labels))
                           for migration in found[label] for operation in migration.operations)

        loader = MigrationLoader(None, ignore_no_migrations=True)
        state = loader.project_state()
        with any_history():
            for name, options in self._writers(labels).items():
                if name == "makemigrations":  # not the project's own command, which may do more than write migrations
                    write_migration_files(None, detected(labels, loader, state))
                else:
                    call_writer(name, labels, options, write_migration_files)
        return [label + ": " + operation.describe() for label, operation in changes
                if not only_computed(state, label, operation)]

    @contextlib.contextmanager
    def _without_history(self):
        """
        Hides the rows of django_migrations, and the apps whose migrations name a replaced one. Afterwards the staged
        migrations stay in use.
        """
        from django.conf import settings
        modules = settings.MIGRATION_MODULES
        self._staging.use(without=self._describer.hidden_apps)
        try:
            with any_history():
                yield
        finally:
            settings.MIGRATION_MODULES = modules
            self._staging.use()


@contextlib.contextmanager
def any_history():
    """Meanwhile the rows of django_migrations may say anything."""
    from django.db.migrations.loader import MigrationLoader
    original, MigrationLoader.check_consistent_history = MigrationLoader.check_consistent_history, lambda *_: None
    try:
        yield
    finally:
        MigrationLoader.check_consistent_history = original


def refused(required=(), circles=()):
    """The reply without files."""
    return dict(files=[], drift=[], required=list(required), circles=list(circles), unwritten=[], elsewhere=[],
                lostOrder=[], carriedSql=[])


class RequiresOtherApps(Exception):
    """A new migration refers to something that only a new migration of another app would create."""

    def __init__(self, changes):
        self.changes = changes


@contextlib.contextmanager
def changes_only_of(labels, removed, replaced):
    """
    Django also writes migrations for other apps that these depend on, even for installed packages. This removes their
    changes before Django arranges them into migrations, so that the new ones depend on the last migration that the
    other app really has. removed gets (label, operation) of each.
    """
    from django.db.migrations.autodetector import MigrationAutodetector
    original = MigrationAutodetector._build_migration_list

    def _build_migration_list(self, *rest, **more):
        others = {label: list(ops) for label, ops in self.generated_operations.items() if label not in labels}
        required = [dict(app=label, operation=op.describe(), otherApp=other, change=change.describe())
                    for label in sorted(labels) for op in self.generated_operations.get(label, [])
                    for other, change in required_changes(self, op, others)]
        if required:
            raise RequiresOtherApps(required)
        for label, ops in sorted(others.items()):
            known = {(other, op.describe()) for other, op in removed}
            removed.extend((label, op) for op in ops if (label, op.describe()) not in known)
            del self.generated_operations[label]
        original(self, *rest, **more)
        ask_for_order(self.migrations, replaced)
        try:
            break_circles(self)
        except Circle:
            for migration in (m for all_new in self.migrations.values() for m in all_new):
                migration.run_before = []
            break_circles(self)

    MigrationAutodetector._build_migration_list = _build_migration_list
    try:
        yield
    finally:
        MigrationAutodetector._build_migration_list = original


class Circle(Exception):
    """A model cannot be created before another app's, whose migrations need it. references: the fields or bases."""

    def __init__(self, references):
        self.references = references


def break_circles(detector):
    """
    Moves what closes a circle through migrations that stay to another new migration: for example the user model's
    foreign key to a package whose models refer to the user model.
    """
    from django.db.migrations.loader import MigrationLoader
    disk = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    while True:
        ways = dependencies_of(detector.migrations, disk)
        circle = circle_in(ways, detector.migrations)
        if not circle:
            return
        first = {label for node in circle & disk.keys() for label, _ in ways[node]}  # what those that stay need
        mine = [migration for label in sorted(detector.migrations, key=lambda label: (label not in first, label))
                for migration in list(detector.migrations[label]) if (label, migration.name) in circle]
        labels = {label for label, _ in circle}
        if not any(split(detector, migration, labels) for migration in mine):
            raise Circle([one for migration in mine for one in references_to(detector, migration, labels)])


def dependencies_of(new, disk):
    """The keys that each migration, new or not, depends on, by its key."""
    migrations = {(label, m.name): m for label, all_new in new.items() for m in all_new}
    migrations.update((key, m) for key, m in disk.items() if key[0] not in new)

    def keys(dependency):
        label, name = label_of(dependency), dependency[1]
        if (label, name) in migrations:
            return [(label, name)]
        if label in new:
            return [(label, new[label][-1 if name == "__latest__" else 0].name)]
        return [key for key in migrations if key[0] == label]

    ways = {key: {k for d in m.dependencies for k in keys(d)} for key, m in migrations.items()}
    for key, migration in migrations.items():
        for before in migration.run_before:
            for one in keys(before):
                ways[one].add(key)
    for label, all_new in new.items():
        for one, after in zip(all_new, all_new[1:]):
            ways[label, after.name].add((label, one.name))
    return ways


def circle_in(ways, new):
    """The migrations on circles through a new one, of the first new one that is on any; else none."""
    def reached(start):
        found, todo = set(), list(ways[start])
        while todo:
            key = todo.pop()
            if key not in found:
                found.add(key)
                todo += ways[key]
        return found

    for label in sorted(new):
        for migration in new[label]:
            key = label, migration.name
            after = reached(key)
            if key in after:
                return {one for one in after if key in reached(one)}
    return set()


def split(detector, migration, circle):
    """Moves the operations that need other apps of the circle to a new migration behind this one; whether it did."""
    later = closing_operations(detector, migration, circle)
    if not later or len(later) == len(migration.operations):
        return False
    label, others = migration.app_label, circle - {migration.app_label}
    new = type("Migration", (type(migration).__base__,), dict(operations=[], dependencies=[]))(
        migration.name + "_later", label)
    new.initial, new.operations = migration.initial, later
    new.dependencies = [d for d in migration.dependencies if label_of(d) in others]
    migration.dependencies = [d for d in migration.dependencies if label_of(d) not in others]
    migration.operations = [op for op in migration.operations if op not in later]
    mine = detector.migrations[label]
    mine.insert(mine.index(migration) + 1, new)
    for other in (m for app, all_new in detector.migrations.items() if app != label for m in all_new):
        if any(needs_one_of(detector, op, label, later) for op in other.operations):
            other.dependencies.append((label, new.name))
    return True


def closing_operations(detector, migration, circle):
    label, closing = migration.app_label, []
    for op in migration.operations:
        created = {model_of(one) for one in closing if type(one).__name__ == "CreateModel"}
        changed = {model_of(one) for one in closing}
        many_fields = type(op).__name__ not in ("CreateModel", "AddField")  # an index may have any of the fields
        needs_others = any(dep[0] in circle - {label} for dep in resolved(detector, op))
        if (needs_others or needs_one_of(detector, op, label, closing)
                or model_of(op) in created or many_fields and model_of(op) in changed):
            closing.append(op)
    return closing


def resolved(detector, operation):
    resolve = getattr(detector, "_resolve_dependency", lambda d: (d, False))
    return [resolve(dependency)[0] for dependency in operation._auto_deps]


def needs_one_of(detector, operation, label, others):
    return any(detector.check_dependency(other, dep) for dep in resolved(detector, operation) if dep[0] == label
               for other in others)


def references_to(detector, migration, circle):
    """What the migration's operations need of other apps of the circle."""
    from django.apps import apps
    for op in migration.operations:
        for dep in resolved(detector, op):
            if dep[0] in circle and dep[0] != migration.app_label:
                model = getattr(op, "model_name", op.name)
                yield dict(model=apps.get_model(migration.app_label, model)._meta.label,
                           field=op.name if hasattr(op, "model_name") else None,
                           other=apps.get_model(dep[0], dep[1])._meta.label)


def required_changes(detector, operation, others):
    """The other apps' changes without which this operation cannot run, as (label, operation)."""
    found = []
    for dependency in resolved(detector, operation):
        found += [(dependency[0], c) for c in others.get(dependency[0], []) if detector.check_dependency(c, dependency)]
    for model, name in referenced_fields(operation):  # Django's dependencies name only the model
        label, _, model_name = model.rpartition(".")
        found += [(label, c) for c in others.get(label, []) if type(c).__name__ == "AddField"
                  and (c.model_name_lower, c.name_lower) == (model_name.lower(), name.lower())]
    return [f for i, f in enumerate(found) if f not in found[:i]]


def referenced_fields(operation):
    """(model, field) for each field of another model that to_field or through_fields name."""
    for field in fields_of(operation):
        remote = getattr(field, "remote_field", None)
        names = [(getattr(remote, "model", None), n) for n in getattr(field, "to_fields", None) or ()]
        names += [(getattr(remote, "through", None), n) for n in getattr(remote, "through_fields", None) or ()]
        for model, name in names:
            if model and name:
                yield model if isinstance(model, str) else model._meta.label, name


def fields_of(operation):
    fields = [field for _, field in getattr(operation, "fields", [])]
    return fields + [operation.field] if hasattr(operation, "field") else fields


def makes_table_or_column(operation):
    if type(operation).__name__ == "CreateModel":
        return operation.options.get("managed", True) and not operation.options.get("proxy")
    return type(operation).__name__ == "AddField"


def command(name, **overrides):
    """The project's command (it may replace Django's), with these methods overridden."""
    from django.core.management import get_commands, load_command_class
    app = get_commands()[name]
    original = load_command_class(app, name) if isinstance(app, str) else app
    return type("Command", (type(original),), overrides)()


def call_writer(name, labels, options, write_migration_files):
    """Runs a command that writes migrations, with this method of its own overridden."""
    run_command(command(name, write_migration_files=write_migration_files), *labels, **options)
    importlib.invalidate_caches()


def run_command(chosen, *labels, **options):
    """Runs what command() returned. When a command that is not Django's own refuses, the exception names it."""
    from django.core.management import CommandError, base, call_command
    try:
        call_command(chosen, *labels, verbosity=0, stdout=sys.stderr, stderr=sys.stderr, **options)
    except (CommandError, SystemExit, TypeError) as e:
        own = [kind.__module__ for kind in type(chosen).__mro__[1:] if not kind.__module__.startswith("django.core.")
               and kind is not object]
        files = [getattr(sys.modules.get(module), "__file__", None) for module in own] + [base.__file__]
        raised_in = traceback.extract_tb(e.__traceback__)[-1].filename
        if own and (raised_in in files or str(e).startswith("Unknown option")):  # base: wrong arguments
            e.refused_by = own[0]
        raise


# ---- carried operations ----------------------------------------------------------------------


def carry(changes, carried):
    """
    Puts the operations first in their own app's first migration, or in that of the earliest app that needs them.
    changes: the new migrations by label. carried: (label, operation) each.
    """
    heads = {}
    for app, operation in carried:
        first = first_migrations(changes)
        users = {label for label in first if any(needs(m, operation) for m in changes[label])}
        home = home_of(app, users, first, changes)
        depend_on(first_or_new(home, first, changes), [first[user] for user in users - {home}])
        heads.setdefault(home, []).append(operation)
    for home, operations in heads.items():
        changes[home][0].operations[:0] = operations


def first_migrations(changes):
    return {label: migrations[0] for label, migrations in changes.items() if migrations}


def first_or_new(home, first, changes):
    """The label's first migration; a new one when the app has no models any more, and no app needs the operation."""
    from django.db.migrations import Migration
    if home not in first:
        migration = Migration("0001_initial", home)
        migration.initial, migration.dependencies, migration.operations = True, [], []
        changes[home] = [migration]
    return changes[home][0]


def depend_on(migration, users):
    dependency = (migration.app_label, migration.name)
    for user in users:
        if dependency not in user.dependencies:
            user.dependencies.append(dependency)


def carry_sql(changes, old):
    """
    Puts each operation before the first one that needs it in its app's first migration, or before all models; what
    needs a table goes last.
    """
    for one in old:
        first = first_migrations(changes)
        users = {label for label, _ in one.models}
        home = home_of(one.app, users, first, changes)
        migration = first_or_new(home, first, changes)
        depend_on(migration, [first[user] for user in users - {home}])
        names = {name for label, name in one.models if label == home}
        for operation, is_last in one.new_operations():
            operations = changes[home][-1].operations if is_last else migration.operations
            of_models = [(model_of(op) not in names, i) for i, op in enumerate(operations) if model_of(op)]
            place = len(operations) if is_last or not of_models else min(of_models)[1]
            operations.insert(place, operation)


def home_of(app, users, first, changes):
    """The label whose first migration gets the operation. No user may come before it."""
    before = {label: ancestors(first[label], changes) for label in users | ({app} & set(first))}
    if app in first and not users & before[app]:
        return app
    earliest = [user for user in sorted(users) if not users & (before[user] - {user})]
    return next(iter(earliest), min(users) if users and app not in first else app)


def ancestors(migration, changes):
    """The labels of the new migrations that this one depends on, also through other apps' migrations."""
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
            migrations = changes.get(label, [])
            new = [m for m in migrations if m.name == name] or (migrations if name.startswith("__") else [])
            if new and label != migration.app_label:
                labels.add(label)
            todo += new or [m for (app, key), m in disk.items()
                            if app == label and (key == name or name.startswith("__"))]
    return labels


def needs(migration, operation):
    """Whether the migration's fields, indexes or constraints use what the operation creates. True when unknown."""
    from django.db import connections
    from django.db.migrations.writer import OperationWriter
    traces = [operation.name] if key_of(operation)[0] == "collation" else TRACES_OF_EXTENSIONS.get(operation.name)
    if traces is None:
        return True
    for op in migration.operations:
        text = OperationWriter(op, indentation=0).serialize()[0]
        for field in fields_of(op):
            try:
                text += " " + str(field.db_type(connections["default"]) or "")
            except Exception:
                pass  # a relation to a model that was not rendered
        if any(re.search(r"(?<![A-Za-z])" + re.escape(trace), text, re.I) for trace in traces):
            return True
    return False


# ---- drift -----------------------------------------------------------------------------------


def detected(labels, loader, state):
    """What makemigrations would write: migrations by label."""
    from django.apps import apps
    from django.core.management.commands import makemigrations
    from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
    from django.db.migrations.state import ProjectState
    autodetector = getattr(command("makemigrations"), "autodetector", makemigrations.MigrationAutodetector)
    questioner = NonInteractiveMigrationQuestioner(specified_apps=set(labels), dry_run=True)
    questioner.log = lambda *_: None  # called since Django 4.1, for a column that becomes NOT NULL
    return autodetector(state, ProjectState.from_apps(apps), questioner).changes(
        graph=loader.graph, trim_to_apps=set(labels) or None, convert_apps=set(labels) or None)


def without_migrations(error):
    """The models whose tables are missing because their apps have no migrations, as details of the error."""
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader
    first = str(error).split("\n")[0]
    unmigrated = MigrationLoader(None, ignore_no_migrations=True).unmigrated_apps
    return [("NO MIGRATIONS", "of the app %s make the table of %s (Django makes it with migrate --run-syncdb): let the "
             "app have a package %s.migrations, and nothing in MIGRATION_MODULES"
             % (model._meta.app_label, model._meta.label, model._meta.app_config.name))
            for model in apps.get_models(include_auto_created=True)
            if model._meta.app_label in unmigrated and '"%s" does not exist' % model._meta.db_table in first]


def only_computed(state, label, operation):
    """Whether a field differs only in a default or in choices that each process computes again, maybe from rows."""
    if type(operation).__name__ != "AlterField":
        return False
    old = state.models[label, operation.model_name_lower].fields.get(operation.name)
    return old is not None and stable_parts(old) == stable_parts(operation.field)


def stable_parts(field):
    _, path, args, kwargs = field.deconstruct()
    if not callable(kwargs.get("default")):
        kwargs.pop("default", None)
    kwargs.pop("choices", None)
    return repr((path, args, sorted(kwargs.items(), key=lambda item: item[0])))
