"""Constraints as comparisons instead of IN lists, of which SQLite makes a temporary index at each row that it writes.

Only the words of the schema change and no row, so they are written as SQLite's documentation of ALTER TABLE describes
it. To copy millions of items into a new table would take minutes.
"""

import re

from alembic import op

revision = "0013"
down_revision = "0012"

IN_LIST = re.compile(r"CHECK \((\w+) IN \(([^)]*)\)\)")


def upgrade() -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    tables = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    for name, words in tables:
        changed = IN_LIST.sub(_comparisons, words)
        if changed != words:
            connection.exec_driver_sql(
                "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?", (changed, name)
            )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")


def _comparisons(found: re.Match[str]) -> str:
    column, words = found[1], found[2].split(", ")
    return f"CHECK ({' OR '.join(f'{column} = {word}' for word in words)})"
