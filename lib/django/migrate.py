"""Migrates another database or the live one, and checks the result."""
import contextlib
import inspect
import os
import re
import sys
import time

from reset_migrations_driver.describe import migrations_folders
from reset_migrations_driver.generate import command, run_command


class Migrator:
    """Runs the staged migrations of the selected apps, and the installed ones of all other apps."""

    def __init__(self, conversation, databases, generator):
        self._conversation, self._databases, self._generator = conversation, databases, generator
        self._open = None  # the transaction left open

    def migrate(self, database=None):
        """
        Into another database of the same server, or the live one (None), committing as Django does. Returns the
        extensions that the tables of another database need and no migration creates.
        """
        try:
            self._databases.point_to(database)
            self._migrate()
            return dict(extensions=extensions_that_no_migration_creates(self._databases)) if database else None
        finally:
            self._databases.close()

    def migrate_old(self, database, seconds=None):
        """
        The old migrations into another, empty database. Returns the rows that custom operations of the selected apps
        made: by migration and table, with the number of rows that the table has in the end. No rows (None) when they
        were stopped, because they took longer than so many seconds.
        """
        made, before, begun = [], {}, time.monotonic()

        def started(migration):
            if seconds is not None and time.monotonic() - begun > seconds:
                raise TookTooLong
            if self._may_make_rows(migration):
                before.update(self._row_counts())

        def applied(migration):
            if self._may_make_rows(migration):
                for table, rows in self._row_counts().items():
                    if rows > before.get(table, 0) and table != "django_migrations":
                        made.append(dict(migration="%s.%s" % (migration.app_label, migration.name), table=table,
                                         rows=rows - before.get(table, 0)))

        try:
            self._databases.point_to(database)
            with self._generator.old_migrations(), sending_nothing():
                self._run_migrate(before_each=started, after_each=applied)
            left = self._row_counts()
        except TookTooLong:
            return dict(rows=None)
        finally:
            self._databases.close()
        return dict(rows=[dict(one, left=left[one["table"]]) for one in made if one["table"] in left])

    def _may_make_rows(self, migration):
        from django.db.migrations import RunPython, RunSQL, SeparateDatabaseAndState

        def runs_code(operations):
            return any(isinstance(one, (RunPython, RunSQL))
                       or isinstance(one, SeparateDatabaseAndState) and runs_code(one.database_operations)
                       or not type(one).__module__.startswith("django.") for one in operations)
        return migration.app_label in self._generator.labels() and runs_code(migration.operations)

    def _row_counts(self):
        from django.db import connections
        connection = connections["default"]
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
            if not tables:
                return {}
            cursor.execute(" UNION ALL ".join("SELECT %d, count(*) FROM %s" % (number, connection.ops.quote_name(table))
                                              for number, table in enumerate(tables)))
            return {tables[number]: rows for number, rows in cursor.fetchall()}

    def migrate_in_transaction(self, statements):
        """Runs the statements, then the migrations, in one transaction on the live database, and leaves it open."""
        from django.db import connections, transaction
        self.rollback()
        self._databases.point_to(None)
        self._databases.share_default_connection()
        self._open = transaction.atomic(using="default")
        self._open.__enter__()
        try:
            with connections["default"].cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '5s'")
                for statement in statements:
                    cursor.execute(statement)
            self._migrate(after_each=lambda migration: fire_deferred_triggers())
        except BaseException:
            self.rollback()
            raise

    def query(self, search_path, sql):
        """The rows as texts, in the transaction that is open, planned for many rows and with this search_path."""
        from django.db import connections
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT current_setting('search_path'), current_setting('enable_nestloop'), "
                           "current_setting('jit'), set_config('search_path', %s, true), "
                           "set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)", [search_path])
            before = cursor.fetchone()[:3]
            cursor.execute(sql)
            rows = [[None if value is None else str(value) for value in row] for row in cursor.fetchall()]
            cursor.execute("SELECT set_config('search_path', %s, true), set_config('enable_nestloop', %s, true), "
                           "set_config('jit', %s, true)", before)
        return dict(rows=rows)

    def commit(self):
        if self._open is None:
            raise RuntimeError("no transaction is open")
        self._end(None)

    def rollback(self):
        """Does nothing when no transaction is open."""
        if self._open is not None:
            self._end(RuntimeError("rolled back"))

    def _end(self, error):
        ended, self._open = self._open, None
        try:
            ended.__exit__(error and type(error), error, None)
        except Exception:
            if not error:
                raise  # after an error, a lost connection has rolled back already
        finally:
            self._databases.point_to(None)

    def _migrate(self, after_each=None):
        self._run_migrate(after_each=after_each)
        self._require_complete()

    def _run_migrate(self, before_each=None, after_each=None):
        from django.db.models.signals import pre_migrate
        say, planned, applied = self._conversation.say, [], []

        def remember(plan=None, **kwargs):
            planned[:] = plan or []

        def migration_progress_callback(self, action, migration=None, fake=False):
            if action == "apply_start":
                name = "%s.%s" % (migration.app_label, migration.name)
                say("progress", text="%s (%d of %d)" % (name, len(applied) + 1, len(planned)))
                if before_each:
                    before_each(migration)
            if action == "apply_success":
                applied.append(migration)
                if after_each:
                    after_each(migration)
                if len(applied) == len(planned):
                    say("progress", text="after the last migration")

        pre_migrate.connect(remember, weak=False, dispatch_uid="reset_migrations")
        try:
            run_command(command("migrate", migration_progress_callback=migration_progress_callback),
                        database="default", interactive=False)
        except Exception as e:
            e.more_details = self._generator.explained(e)
            raise
        finally:
            pre_migrate.disconnect(dispatch_uid="reset_migrations")

    def _require_complete(self):
        """Fails if a migration is unapplied, or a table of a selected app is missing."""
        from django.db import connections
        left = unapplied()
        if left:
            raise RuntimeError("not applied by migrate: " + ", ".join(left))
        quoted = [connections["default"].ops.quote_name(model._meta.db_table) for model in self._migrated_models(True)]
        missing = quoted and self._databases.query(
            "default", "SELECT t FROM unnest(%s::text[]) t WHERE to_regclass(t) IS NULL", quoted)
        if missing:
            raise RuntimeError("no table after migrate: " + ", ".join(row[0] for row in missing))

    def _migrated_models(self, include_auto_created):
        """The models of the selected apps that have a table in default's database."""
        from django.apps import apps
        from django.db import router
        return [model for model in apps.get_models(include_auto_created=include_auto_created)
                if model._meta.app_label in self._generator.labels() and model._meta.managed
                and not model._meta.proxy and router.allow_migrate_model("default", model)]

    def build_models(self, database, schema):
        """
        Creates the tables of the selected apps in a new schema, from their models and without migrations. Where they
        refer to other apps, they use the tables that are migrated already.
        """
        try:
            self._databases.point_to(database)
            self._databases.query("default", "SELECT set_config('synchronous_commit', 'off', false)")
            self._create_models(schema, False)  # one transaction would take more locks than the server has room for
        finally:
            self._databases.close()

    def models_in_transaction(self, schema, search_path, sql):
        """Does the same in the transaction that is open, runs a query as query() does, and takes all of it back."""
        from django.db import transaction
        with transaction.atomic(using="default"):
            self._create_models(schema, True)
            found = self.query(search_path, sql)
            transaction.set_rollback(True, using="default")
        return found

    def _create_models(self, schema, in_transaction):
        from django.db import connections
        connection = connections["default"]
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA " + connection.ops.quote_name(schema))
            cursor.execute("SELECT set_config('search_path', quote_ident(%s) || ', ' || "
                           "current_setting('search_path'), %s)", [schema, in_transaction])
        with connection.schema_editor(atomic=False) as editor:
            for model in self._migrated_models(False):
                if '"' not in model._meta.db_table:  # else its name leads to another schema
                    editor.create_model(model)

    def check(self, labels, baseline, files=None):
        """
        Looks at the live project. files: the new migrations' texts by path below manage.py's folder, for an image that
        still has the old ones.
        """
        if files is not None:
            self._use_instead(labels, files)
        self._databases.point_to(None)
        oid = self._databases.query(
            "default", "SELECT oid::bigint FROM pg_database WHERE datname = current_database()")[0][0]
        drift = [d for d in self._generator.drift(labels) if d not in baseline]
        failing = [text for key, text in self._generator.failing_checks().items() if key not in baseline]
        result = dict(oid=oid, unapplied=unapplied(), drift=drift, failing=failing)
        self._databases.close()
        return result

    def _use_instead(self, labels, files):
        staging = self._generator.stage(list(labels))
        for label, folder in migrations_folders(labels).items():
            for path, text in files.items():
                if os.path.abspath(os.path.dirname(path)) == os.path.abspath(folder):
                    staging.write(label, os.path.basename(path), text)
        staging.use()


class TookTooLong(Exception):
    """The old migrations are stopped."""


@contextlib.contextmanager
def sending_nothing():
    """No e-mails, as in Django's tests, and no tasks: Celery's workers would run them on the live database."""
    from django.conf import settings
    mail, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.dummy.EmailBackend"
    celery = getattr(sys.modules.get("celery.app.base"), "Celery", None)
    send = celery and celery.send_task
    if celery:
        celery.send_task = lambda *args, **kwargs: None
    try:
        yield
    finally:
        settings.EMAIL_BACKEND = mail
        if celery:
            celery.send_task = send


def extensions_that_no_migration_creates(databases):
    """
    The extensions that tables, indexes and defaults of default's database depend on, without those that a migration
    creates. A new database without them fails, which cannot be seen in a copy that has the extensions of the old one.
    """
    from django.db import connections
    from django.db.migrations.loader import MigrationLoader
    needed = [row[0] for row in databases.query("default", """
        SELECT DISTINCT extname::text FROM pg_depend d
        JOIN pg_depend m ON (m.classid, m.objid) = (d.refclassid, d.refobjid) AND m.deptype = 'e'
            AND m.refclassid = 'pg_extension'::regclass
        JOIN pg_extension e ON e.oid = m.refobjid
        WHERE d.classid IN ('pg_class'::regclass, 'pg_attrdef'::regclass) AND d.deptype IN ('n', 'a')
            AND NOT EXISTS (SELECT FROM pg_depend x WHERE (x.classid, x.objid, x.deptype) = (d.classid, d.objid, 'e'))
        ORDER BY 1""")]
    if not needed:
        return []
    loader = MigrationLoader(None, ignore_no_migrations=True)
    made = {name for migration in loader.graph.nodes.values() for name in extensions_made(migration.operations)}
    if hasattr(connections["default"].ops, "postgis"):
        made.add("postgis")  # by the engine
    return [name for name in needed if name not in made]


def extensions_made(operations):
    """The names of the extensions that operations create, as far as their SQL and their code say it."""
    names = set()
    for one in operations:
        if any(base.__name__ == "CreateExtension" for base in type(one).__mro__):
            names.add(one.name)
        text = str(getattr(one, "sql", ""))
        try:
            text += inspect.getsource(one.code)
        except Exception:
            pass  # another operation, or code without a file
        names |= set(re.findall(r'CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?"?([\w-]+)', text, re.I))
        names |= extensions_made(getattr(one, "database_operations", ()))
    return names


def fire_deferred_triggers():
    """As a commit does: the next migration may alter a table with pending trigger events."""
    from django.db import connections
    with connections["default"].cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def unapplied():
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor
    executor = MigrationExecutor(connections["default"])
    executor.loader.check_consistent_history(connections["default"])
    conflicts = executor.loader.detect_conflicts()
    if conflicts:
        raise RuntimeError("conflicting leaf nodes: %s" % conflicts)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return ["%s.%s" % (migration.app_label, migration.name) for migration, _ in plan]
