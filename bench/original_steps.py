# The steps of the script that this toolkit replaces, for bench/reset.java: drop each table, delete the migration files,
# makemigrations, migrate. Destroys without asking; for throw-away projects only.
# python original_steps.py ROOT BACKEND LABEL…  Prints a JSON object for each step: what, seconds.
import json, pathlib, shutil, subprocess, sys, time

import dotenv, psycopg
from psycopg import sql


def drop_tables(root):
    env = dotenv.dotenv_values(root / ".env")
    with psycopg.connect(dbname=env["DB_NAME"], user=env["DB_USER"], password=env["DB_PASSWORD"], host=env["DB_HOST"],
                         port=env["DB_PORT"], autocommit=True) as connection:
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(sql.Identifier(table)))


def delete_files(backend, labels):
    for label in labels:
        folder = backend / label / "migrations"
        for file in folder.glob("*.py"):
            if file.name != "__init__.py":
                file.unlink()
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)


def manage(backend, *arguments):
    ended = subprocess.run([sys.executable, "manage.py", *arguments], cwd=backend, capture_output=True, text=True)
    if ended.returncode:
        sys.exit("manage.py %s failed:\n%s" % (" ".join(arguments), ended.stderr))


def step(what, act, *arguments):
    began = time.perf_counter()
    act(*arguments)
    print(json.dumps(dict(what=what, seconds=time.perf_counter() - began)), flush=True)


root, backend, labels = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
step("drop each table", drop_tables, root)
step("delete the migration files", delete_files, backend, labels)
step("manage.py makemigrations", manage, backend, "makemigrations", *labels)
step("manage.py migrate", manage, backend, "migrate")
