"""What the project's migrations do to other apps, whose migrations stay: their order, and changes of their models."""
import ast
import copy
import importlib
import re
import sys

from reset_migrations_driver.describe import AUTODETECTED, operation_nodes

IN_APP = '''class InApp(migrations.SeparateDatabaseAndState):
    """Operations on the models of another app."""

    def __init__(self, app_label, operations):
        super().__init__(operations, operations)
        self.app_label = app_label

    def state_forwards(self, app_label, state):
        super().state_forwards(self.app_label, state)

    def database_forwards(self, app_label, *rest):
        super().database_forwards(self.app_label, *rest)

    def database_backwards(self, app_label, *rest):
        super().database_backwards(self.app_label, *rest)


'''


def run_before_of(file):
    """(label, name) of each migration that an old one names in run_before; read from the text of a broken one."""
    if file.migration:
        return [tuple(target) for target in file.migration.run_before]
    for node in ast.walk(file.tree) if file.tree else ():
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "run_before" for t in node.targets):
            try:
                return [tuple(target) for target in ast.literal_eval(node.value)]
            except ValueError:
                return []  # computed
    return []


def ask_for_order(new, replaced):
    """Sets run_before of new migrations, by label, so that a circle that it closes can be broken. Writes nothing."""
    for file in replaced:
        home = new_home(file, new.get(file.app, []))
        for target in run_before_of(file) if home else ():
            if target[0] not in new:
                home.run_before.append(target)


def carry_order(staging, replaced):
    """
    Gives run_before of the replaced migrations to those new ones that create the same models. Returns what cannot be
    kept, as "shop.0002_more before auth.0001_initial".
    """
    from django.db.migrations.loader import MigrationLoader
    asking = [file for file in replaced if run_before_of(file)]
    if not asking:
        return []
    loader = MigrationLoader(None, ignore_no_migrations=True)
    kept, lost = {}, []
    for file in asking:
        new = [m for (label, _), m in sorted(loader.disk_migrations.items()) if label == file.app]
        home = new_home(file, new)
        home = home and (file.app, home.name)
        for target in run_before_of(file):
            if target[0] in staging.modules or target not in loader.disk_migrations:
                continue
            if home is None or target in loader.graph.nodes and target in loader.graph.forwards_plan(home):
                lost.append("%s.%s before %s.%s" % (file.app, file.name, *target))
                continue
            if target in loader.graph.nodes:
                loader.graph.add_dependency(None, target, home)
            if target not in kept.setdefault(home, []):
                kept[home].append(target)
    for (label, name), targets in kept.items():
        lines = "".join('        ("%s", "%s"),\n' % target for target in targets)
        text = dict(staging.files(label))[name + ".py"]
        staging.write(label, name + ".py", re.sub(
            r"^    operations = \[", "    run_before = [\n%s    ]\n\n\\g<0>" % lines, text, count=1, flags=re.M))
        sys.modules.pop("%s.%s" % (staging.modules[label], name), None)
    return lost


def new_home(file, new):
    """The first of the app's new migrations that comes after every model that the old one creates; or None."""
    made = created(file.migration) if file.migration else set()
    after = [number for number, migration in enumerate(new) if made & created(migration)]
    return new[max(after, default=0)] if new else None


def created(migration):
    return {op.name.lower() for op in migration.operations if type(op).__name__ == "CreateModel"}


# ---- changes of other apps' models -----------------------------------------------------------


def carry_changes(staging, others, replaced, databases):
    """
    Writes new migrations that change other apps' models: what old ones changed there, and the tables and columns that
    the live database has. others: (label, operation) of each change that these models still want. Returns what they do.
    """
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader
    known = {config.label for config in apps.get_app_configs()} - set(staging.modules)
    old = [change for file in replaced for change in changes_elsewhere(file, known)]
    if not others and not old:
        return []
    places = {}  # by model
    for file, models, line, _, _ in old:
        for model in models:
            places.setdefault(model, []).append((file.app, file.name, line))
    loader = MigrationLoader(None, ignore_no_migrations=True)
    state, kept = loader.project_state(), {}

    def keep(label, operation, needed):
        made_by = places.get((label, model_of(operation)), [])
        home = made_by[0][0] if made_by else home_of_change(label, operation, staging, replaced)
        kept.setdefault((home, label), []).append((operation, made_by, needed))

    for label, operation in others:
        changed_before = (label, model_of(operation)) in places and changes_more_than_key(operation)
        if changed_before or is_live(label, operation, databases):
            keep(label, operation, {label_of(dependency) for dependency in operation._auto_deps})
            unbound(operation).state_forwards(label, state)
    by_models = {(label, model_of(operation), field_name(operation)) for label, operation in others}
    for label, migration in only_in(state, old, loader.graph) if old else ():
        for operation in migration.operations if label in known else ():
            if type(operation).__name__ == "AlterField" and (
                    label, model_of(operation), field_name(operation)) in by_models:
                continue  # the models have changed it since
            keep(label, operation, {label_of(dependency) for dependency in migration.dependencies})
    result = []
    for (home, label), changes in sorted(kept.items()):
        name = write_in_app(staging, loader.graph, home, label, changes)
        result += [dict(app=home, migration=name, otherApp=label, change=operation.describe(),
                        places=[dict(app=app, migration=file, line=line) for app, file, line in made_by])
                   for operation, made_by, _ in changes]
    return result


def changes_elsewhere(file, known):
    """
    (file, models, line, operation, label to run it with) of each operation of an old migration that changes models of
    the known other apps, which are (label, name) each.
    """
    from unittest.mock import MagicMock
    try:
        migration = file.migration(file.name, file.app)
        nodes = operation_nodes(file)
    except Exception:
        return
    for number, operation in enumerate(migration.operations):
        name, module = type(operation).__name__, type(operation).__module__
        if name in AUTODETECTED and module.startswith("django.") and migration.app_label == file.app:
            continue
        state = MagicMock()  # the history before it may be broken
        try:
            operation.state_forwards(migration.app_label, state)
        except Exception:
            pass  # what it has called so far tells enough
        line = nodes[number][0].lineno if len(nodes) == len(migration.operations) else 0
        models = {model for model in (model_in(args) for _, args, _ in state.mock_calls) if model and model[0] in known}
        if models:
            yield file, models, line, operation, migration.app_label


def only_in(state, old, graph):
    """(label, migration) of what the old changes add to the state or alter: often, no model has the column."""
    from django.db.migrations.autodetector import MigrationAutodetector
    after = state.clone()
    for _, _, _, operation, label in old:
        try:
            operation.state_forwards(label, after)
        except Exception:
            pass  # it changes what is no longer there
    changes = MigrationAutodetector(state, after).changes(graph)
    for label, migrations in changes.items():
        for migration in migrations:
            migration.operations = [op for op in migration.operations
                                    if type(op).__name__ in ("CreateModel", "AddField", "AlterField", "AddIndex",
                                                             "AddConstraint")]
            yield label, migration


def unbound(operation):
    """A copy of an operation of the autodetector's, without the fields of real models."""
    result = copy.copy(operation)
    if hasattr(operation, "field"):
        result.field = operation.field.clone()
    if hasattr(operation, "fields"):
        result.fields = [(name, field.clone()) for name, field in operation.fields]
    return result


def model_in(args):
    """(label, model name) in the arguments of a call of ProjectState or of its models; or None."""
    first = args[0] if args else None
    if hasattr(first, "app_label") and hasattr(first, "name"):  # ModelState
        return first.app_label, first.name.lower()
    pair = first if isinstance(first, tuple) else args[:2]
    return (pair[0], pair[1].lower()) if len(pair) == 2 and all(isinstance(one, str) for one in pair) else None


def model_of(operation):
    """The name of the model that an operation creates or changes, in lower case; None when it is on no model."""
    return getattr(operation, "model_name_lower", None) or getattr(operation, "name_lower", None)


def field_name(operation):
    return operation.name.lower() if hasattr(operation, "field") else None


def changes_more_than_key(operation):
    """DEFAULT_AUTO_FIELD changes the keys of a package's models, which the package's migrations then do not have."""
    return type(operation).__name__ != "AlterField" or not operation.field.primary_key


def is_live(label, operation, databases):
    """Whether the operation creates a table or a column that the live database has."""
    from django.apps import apps
    from django.db import connections
    column = None
    if type(operation).__name__ == "CreateModel":
        meta = apps.get_model(label, operation.name)._meta
        if meta.proxy or not meta.managed:
            return False
        table = meta.db_table
    elif type(operation).__name__ == "AddField":
        field = apps.get_model(label, operation.model_name)._meta.get_field(operation.name)
        table = field.m2m_db_table() if field.many_to_many else field.model._meta.db_table
        column = None if field.many_to_many else field.column
    else:
        return False
    quoted = connections["default"].ops.quote_name(table)
    try:
        return databases.query(
            "default", "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
            "AND NOT attisdropped AND attname = coalesce(%s, attname))", quoted, column)[0][0]
    except Exception:
        return False  # Django cannot connect
    finally:
        databases.close()


def home_of_change(label, operation, staging, replaced):
    """The label of the app with the model's code or, failing that, with an old migration that names its table."""
    from django.apps import apps
    labels = [one for one in sorted(staging.modules) if dict(staging.files(one))] + sorted(staging.modules)
    model = apps.all_models[label].get(model_of(operation))
    if model:
        config = apps.get_containing_app_config(model.__module__)
        table = re.compile(r"\b%s\b" % re.escape(model._meta.db_table))
        labels[:0] = [config and config.label, *(file.app for file in replaced if table.search(file.source))]
    return next(one for one in labels if one in staging.modules)


def write_in_app(staging, graph, home, label, changes):
    """Writes the app's next migration, with changes of another app's models; returns its name."""
    from django.db.migrations import Migration
    from django.db.migrations.optimizer import MigrationOptimizer
    from django.db.migrations.writer import MigrationWriter
    last = max((name for name, _ in staging.files(home)), default="0000")
    number = int(re.match(r"\d*", last).group() or 0) + 1
    migration = Migration("%04d_in_%s" % (number, label), home)
    needed = {home, label}.union(*(labels for _, _, labels in changes))
    migration.dependencies = [key for one in sorted(needed) for key in graph.leaf_nodes(one)]
    migration.operations = MigrationOptimizer().optimize([operation for operation, _, _ in changes], label)
    text = MigrationWriter(migration).as_string()
    start, end = text.index("class Migration("), text.rindex("    ]")
    head, operations = text[start:end].split("    operations = [\n")
    inner = '        InApp("%s", [\n%s        ]),\n' % (label, re.sub("^(?=.)", "    ", operations, flags=re.M))
    text = text[:start] + IN_APP + head + "    operations = [\n" + inner + text[end:]
    staging.write(home, migration.name + ".py", text)
    key = home, migration.name
    graph.add_node(key, migration)  # the next one of this app comes after it
    for dependency in migration.dependencies:
        graph.add_dependency(migration, key, dependency)
    importlib.invalidate_caches()
    return migration.name


def label_of(dependency):
    from django.conf import settings
    return getattr(settings, dependency[1]).split(".")[0] if dependency[0] == "__setting__" else dependency[0]
