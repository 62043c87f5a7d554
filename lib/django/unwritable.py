"""Finds the model, the field and the line of what a new migration cannot have."""
import ast
import inspect
import re
import tokenize

from reset_migrations_driver.conversation import words_of


def explain(error, changes):
    """Adds the model and the field to an error of writing these migrations, by label."""
    for label in sorted(changes):
        for migration in changes[label]:
            for operation in migration.operations:
                if serialized(operation, operation=True) is None:
                    name_place(error, label, operation, lambda value: serialized(value) is None)
                    return


def require_independent(texts, changes, replaced):
    """texts: of the new migrations. Refuses those that use code of a migration that is replaced."""
    for module in sorted({file.module for file in replaced}):
        word = re.compile(r"(?<![\w.])%s(?![\w])" % re.escape(module))
        if any(word.search(text) for text in texts):
            error = ValueError("a new migration would use code of %s, which will no longer exist: move that code to a "
                               "module that is not a migration" % module)
            for label in sorted(changes):
                for operation in (op for migration in changes[label] for op in migration.operations):
                    if word.search(serialized(operation, operation=True) or ""):
                        name_place(error, label, operation, lambda value: word.search(serialized(value) or ""))
                        raise error
            raise error


def serialized(value, operation=False):
    """As Python code; None when Django cannot write it."""
    from django.db.migrations.writer import MigrationWriter, OperationWriter
    try:
        writer = OperationWriter(value, indentation=0) if operation else None
        return writer.serialize()[0] if writer else MigrationWriter.serialize(value)[0]
    except Exception:
        return None


def name_place(error, label, operation, is_wrong):
    from django.apps import apps
    fields = list(getattr(operation, "fields", []))
    if hasattr(operation, "field"):
        fields.append((operation.name, operation.field))
    field = next((name for name, value in fields if is_wrong(value)), None)
    try:
        model = apps.get_model(label, getattr(operation, "model_name", None) or operation.name)
    except Exception as e:
        error.more_details = [("OPERATION", "%s: %s (%s)" % (label, operation.describe(), words_of(e)))]
        return
    error.more_details = [("MODEL", model._meta.label + (", field %s" % field if field else ""))]
    error.place = line_of(model, field)


def line_of(model, field):
    """(file, line, source) where a model, or a base of it, has the field; the model itself without one; or None."""
    for owner in model.__mro__:
        try:
            file = inspect.getsourcefile(owner)
            with tokenize.open(file) as text:
                source = text.read()
            found = next(n for n in ast.walk(ast.parse(source))
                         if isinstance(n, ast.ClassDef) and n.name == owner.__name__)
            if field:
                found = next(n for n in found.body for target in getattr(n, "targets", [getattr(n, "target", None)])
                             if isinstance(target, ast.Name) and target.id == field)
            return file, found.lineno, source.splitlines()[found.lineno - 1].strip()
        except Exception:
            continue  # built in, or without source
    return None
