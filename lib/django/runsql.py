"""SQL of old migrations that creates what the new ones need: functions, types, sequences and the like."""
import re

from reset_migrations_driver.conversation import said_by_postgresql
from reset_migrations_driver.describe import evaluated, operation_nodes

NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
KINDS = (r"FUNCTION|PROCEDURE|AGGREGATE|TYPE|DOMAIN|SEQUENCE|SCHEMA|COLLATION|EXTENSION|TABLE"
         r"|OPERATOR\s+(?:CLASS|FAMILY)|TEXT\s+SEARCH\s+(?:CONFIGURATION|DICTIONARY|TEMPLATE|PARSER)")
DEFINITION = re.compile(
    r"\b(CREATE(?:\s+OR\s+REPLACE)?|ALTER|DROP)\s+(%s)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(%s(?:\s*\.\s*%s)*)"
    % (KINDS, NAME, NAME), re.I)
RENAMING = re.compile(r"\bRENAME\s+TO\s+(%s)\s*;?\s*$" % NAME, re.I)
OWNED_SEQUENCE = re.compile(r"\s*ALTER\s+SEQUENCE\b.*\bOWNED\s+BY\s+(?!NONE\b)", re.I | re.S)
WITHOUT_IF = re.compile(r"\bCREATE\s+(EXTENSION|SCHEMA)\s+(?!IF\b)", re.I)  # the new database may have it already
# What a semicolon may be inside of; and a semicolon.
TOKEN = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|;""", re.S)
MISSING = ("42883", "42704", "42P01", "3F000")  # SQLSTATE: undefined function, object, table, schema


def statements(sql):
    """The statements of a script, each with its semicolon; a body in standard SQL keeps a script in one piece."""
    if re.search(r"\bBEGIN\s+ATOMIC\b", sql, re.I):
        return [sql]
    parts, start = [], 0
    for token in TOKEN.finditer(sql):
        if token.group() == ";":
            parts.append(sql[start:token.end()].strip())
            start = token.end()
    return [part for part in parts + [sql[start:].strip()] if without_comments(part).strip("; \n")]


def without_comments(sql):
    return TOKEN.sub(lambda token: "" if token.group()[:2] in ("--", "/*") else token.group(), sql)


class Statement:
    """A statement of an old RunSQL. names: (kind, name) of what it creates, alters or drops."""

    def __init__(self, sql, params=None):
        self.sql = WITHOUT_IF.sub(r"CREATE \1 IF NOT EXISTS ", sql)
        self.params = params
        text = without_comments(sql)
        self.needs_table = OWNED_SEQUENCE.match(text) is not None
        inside = re.match(r"\s*DO\b", text, re.I)  # most often CREATE TYPE, unless it exists
        found = list(DEFINITION.finditer(text)) if inside else [DEFINITION.match(text.lstrip())]
        self.names = [(kind_of(made), last_name(made.group(3))) for made in found if made]
        self.drops = bool(found and found[0]) and all(made.group(1).upper() == "DROP" for made in found)
        self.creates = {name for name, made in zip(self.names, filter(None, found))
                        if made.group(1).upper().startswith("CREATE")}
        renamed = self.names and RENAMING.search(text)
        if renamed:
            self.names.append((self.names[0][0], last_name(renamed.group(1))))
            self.creates.add(self.names[-1])

    def uses(self, kind, name):
        return uses(self.sql, kind, name)


def kind_of(made):
    return " ".join(made.group(2).upper().split())


def last_name(qualified):
    name = re.findall(NAME, qualified)[-1]
    return name[1:-1].replace('""', '"') if name[0] == '"' else name.lower()


def uses(sql, kind, name):
    """Whether SQL uses an object. Other words may be like a function's or a table's name."""
    word = r"(?<![\w$])%s(?![\w$])" % re.escape(name)
    if kind in ("FUNCTION", "PROCEDURE", "AGGREGATE"):
        word += r'"?\s*\('
    if kind == "TABLE":
        word = r'\bREFERENCES\s+(?:%s\s*\.\s*)?"?%s' % (NAME, word)
    return re.search(word, sql, re.I) is not None


class OldSql:
    """A RunSQL operation of an old migration."""

    def __init__(self, file, line, operation):
        self.app, self.migration, self.line, self.operation = file.app, file.name, line, operation
        self.statements = parsed(operation.sql)
        self.carried = []  # those of its statements that the new migrations need
        self.models = set()  # (label, name) of the models that need them

    def __str__(self):
        return "%s.%s:%d" % (self.app, self.migration, self.line)

    def new_operations(self):
        """(operation, whether it needs a table and goes last) each."""
        from django.db.migrations import RunSQL
        back = getattr(self.operation, "reverse_sql", None)
        for is_last in (False, True):
            chosen = [statement for statement in self.carried if statement.needs_table == is_last]
            names = {name for statement in chosen for name in statement.names}
            undoing = [s for s in parsed(back) if names & set(s.names)] if back and not is_last else []
            if chosen:
                yield RunSQL(written(chosen), written(undoing) or (None if back is None else RunSQL.noop),
                             hints=self.operation.hints or None), is_last

    def reply(self, masked):
        source = " ".join(without_comments(" ".join(statement.sql for statement in self.carried)).split())
        whole = len(self.carried) == len(self.statements)
        return dict(app=self.app, migration=self.migration, line=self.line, source=masked(source), whole=whole,
                    names=sorted({name for statement in self.carried for _, name in statement.names}))


def parsed(sql):
    """The statements of RunSQL's sql: a script, or a list of statements, each with or without parameters."""
    if isinstance(sql, str):
        return [Statement(one) for one in statements(sql)]
    pairs = [(one, None) if isinstance(one, str) else tuple(one) for one in sql]
    return [one for text, params in pairs
            for one in (parsed(text) if params is None else [Statement(text, params)])]


def written(chosen):
    is_script = all(without_comments(one.sql).rstrip().endswith(";") for one in chosen[:-1])
    if is_script and all(one.params is None for one in chosen):
        return "\n".join(one.sql for one in chosen)
    return [one.sql if one.params is None else (one.sql, one.params) for one in chosen]


def old_sql(files, masked):
    """
    Each RunSQL of these files that can be read, in their order, but none that takes a secret from the settings, which
    the new file would spell out. masked: hides secrets in a text.
    """
    found = []
    for file in files:
        if not file.tree or not file.is_migration:
            continue
        nodes = operation_nodes(file)
        loaded = list(file.migration.operations) if file.migration else []
        for number, (node, name) in enumerate(nodes):
            operation = loaded[number] if len(loaded) == len(nodes) else None
            try:
                if operation is None and name in ("RunSQL", "SeparateDatabaseAndState"):
                    operation = evaluated(file, node)
                found += [OldSql(file, node.lineno, one) for one in sql_operations(operation)
                          if masked(str(one.sql)) == str(one.sql) or masked(file.source) != file.source]
            except Exception:
                pass  # the operation is listed as lost
    return found


def sql_operations(operation):
    from django.db.migrations import RunSQL, SeparateDatabaseAndState
    if isinstance(operation, SeparateDatabaseAndState):
        return [one for inner in operation.database_operations for one in sql_operations(inner)]
    return [operation] if isinstance(operation, RunSQL) else []


def choose(old, labels, known):
    """
    Those of the old operations that these apps' models need; each then knows its statements and models. known: keys of
    what other operations create.
    """
    models = sql_by_model(labels) if old else {}
    every = [statement for one in old for statement in one.statements]
    last = {name: statement for statement in every for name in statement.names}
    known = known | {("table", model._meta.db_table) for model in managed_models(labels)}
    alive = {name for statement in every for name in statement.creates
             if not last[name].drops and (name[0].lower(), name[1]) not in known}
    needed = {name: {model for model, sql in models.items() if uses(sql, *name)} for name in alive}
    wanted = {name for name in alive if needed[name] or name[0] == "EXTENSION"}
    todo = list(wanted)
    while todo:  # and what these need in their turn
        name = todo.pop()
        for statement in every:
            if name not in statement.names:
                continue
            for other in alive:
                if other != name and (other in statement.names or statement.uses(*other)):
                    if other not in wanted or not needed[name] <= needed[other]:
                        wanted.add(other)
                        needed[other] |= needed[name]
                        todo.append(other)
    for one in old:
        one.carried = [statement for statement in one.statements if wanted & set(statement.names)]
        one.models = {model for s in one.carried for name in s.names if name in wanted for model in needed[name]}
    return [one for one in old if one.carried]


def sql_by_model(labels):
    """What creates the table of each model of these apps, by label and name."""
    from django.db import connections
    connection, found = connections["default"], {}
    for model in managed_models(labels):
        try:
            with connection.schema_editor(collect_sql=True, atomic=False) as editor:
                editor.create_model(model)
            found[model._meta.app_label, model._meta.model_name] = "\n".join(map(str, editor.collected_sql))
        except Exception:
            pass  # the error comes again, with its reason, when the model's table is created
    return found


def managed_models(labels):
    from django.apps import apps
    return [model for label in labels for model in apps.get_app_config(label).get_models()
            if model._meta.managed and not model._meta.proxy and not model._meta.swapped]


# ---- failures --------------------------------------------------------------------------------


def explained(error, carried, files):
    """
    (name, text) of each detail that tells where an old migration creates what is missing now, or where the carried
    operation came from that fails.
    """
    from django.db.migrations import RunSQL
    places, frame = [], error.__traceback__
    while frame is not None:
        running = frame.tb_frame.f_locals.get("self")
        for one in carried if isinstance(running, RunSQL) else ():
            place = "CARRIED FROM", str(one)
            if place not in places and any(running.sql == new.sql for new, _ in one.new_operations()):
                places.append(place)
        frame = frame.tb_next
    state, _ = said_by_postgresql(error)
    if state not in MISSING:
        return places
    first = str(error).split("\n")[0]
    for file in files:
        for made in DEFINITION.finditer(file.source):
            name = last_name(made.group(3))
            if made.group(1).upper() != "DROP" and re.search(r"(?<![\w$])%s(?![\w$])" % re.escape(name), first):
                line = file.source.count("\n", 0, made.start()) + 1
                places.append(("CREATED BY", "%s.%s:%d, which the new migrations do not have"
                               % (file.app, file.name, line)))
    return places[:5]
