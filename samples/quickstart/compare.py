"""Whether two databases hold the same, found out with nothing of Coffer's: psql and pg_dump alone.

Rows are compared by count and by the sum of a hash over each row's text, so their order does not matter and equal rows
don't cancel; everything else by `pg_dump --schema-only`, sequences and large objects by value.
"""

import difflib
import json
import subprocess

from postgres import psql, quote
from terminal import Failure

# Output that does not depend on who asks.
SETTINGS = """
SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET xmloption = 'content'; SET lc_monetary = 'C'; SET search_path = pg_catalog;
SET row_security = off; SET jit = off; SET statement_timeout = 0;
"""

# Tables with rows of their own, and materialized views, as JSON: no name can break the output apart.
RELATIONS = """
SELECT json_build_array(n.nspname, c.relname, c.relkind = 'm' AND NOT c.relispopulated)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""

SEQUENCES = """
SELECT json_build_array(schemaname, sequencename, last_value) FROM pg_sequences
ORDER BY schemaname COLLATE "C", sequencename COLLATE "C"
"""

# Page by page, since a large object may be larger than a value can be. An empty one has no page.
LARGE_OBJECTS = """
SELECT json_build_array(m.oid, count(data), sum(('x' || left(md5(pageno || ':' || encode(data, 'hex')), 16))::bit(64)::bigint::numeric))
FROM pg_largeobject_metadata AS m LEFT JOIN pg_largeobject AS l ON l.loid = m.oid GROUP BY m.oid ORDER BY m.oid
"""


def row_sum(schema, name):
    """SQL that gives a relation's row count and content sum. The alias is one that no column has."""
    alias = '"the whole row of this relation"'
    digest = f"sum(('x' || left(md5({alias}::text), 16))::bit(64)::bigint::numeric)"
    return f"SELECT count(*) || ' ' || coalesce({digest}, 0) FROM ONLY {quote(schema)}.{quote(name)} AS {alias}"


def content(programs, database, note=lambda text: None):
    """Everything in a database that has a value: relation or object → fingerprint."""
    found = {}
    for line in psql(programs, database, SETTINGS + RELATIONS, read_only=True).splitlines():
        schema, name, unpopulated = json.loads(line)
        if unpopulated:
            found[f"relation {schema}.{name}"] = "not populated"
            continue
        note(f"{schema}.{name}")
        found[f"relation {schema}.{name}"] = psql(programs, database, SETTINGS + row_sum(schema, name), read_only=True)
    for line in psql(programs, database, SETTINGS + SEQUENCES, read_only=True).splitlines():
        schema, name, value = json.loads(line)
        found[f"sequence {schema}.{name}"] = value
    if may_read_large_objects(programs, database):
        for line in psql(programs, database, SETTINGS + LARGE_OBJECTS, read_only=True).splitlines():
            oid, pieces, total = json.loads(line)
            found[f"large object {oid}"] = f"{pieces} {total}"
    return found


def may_read_large_objects(programs, database):
    return psql(programs, database, "SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')") == "t"


def schema_text(programs, database):
    """The definitions, as pg_dump writes them, without what differs from one run to the next."""
    command = [programs / "pg_dump", "--schema-only", "--no-sync", "--lock-wait-timeout=60s"]
    run = subprocess.run(command, capture_output=True, text=True, env=database.environment())
    if run.returncode != 0:
        raise Failure(f"pg_dump of {database.name}: {run.stderr.strip()}")
    return [line for line in run.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def differences(source, copy):
    """What differs between two results of `content`, in words."""
    found = []
    for name in sorted(source.keys() | copy.keys()):
        if name not in copy:
            found.append(f"{name} is missing")
        elif name not in source:
            found.append(f"{name} is there in addition")
        elif source[name] != copy[name]:
            found.append(f"{name}: {source[name]} became {copy[name]}")
    return found


def schema_differences(source, copy):
    return [line for line in difflib.unified_diff(source, copy, "source", "restored", lineterm="", n=0)][:40]


def rows(contents):
    """Rows in all relations of a result of `content`."""
    return sum(
        int(value.split()[0])
        for name, value in contents.items()
        if name.startswith("relation ") and value != "not populated"
    )
