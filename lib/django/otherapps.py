"""What the project's old migrations wanted of other apps, whose migrations stay: that they come later."""
import ast
import re
import sys


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
    loader = MigrationLoader(None, ignore_no_migrations=True)
    kept, lost = {}, []
    for file in replaced:
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
