"""A migrated database of PostgreSQL that one test uses after the other: to empty it costs less than another copy.

Rows and sequences become again what the migrations made. A test that changes anything else, such as a trigger, or that
holds a lock for long, spoils the database: the next test gets another one.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
from kept_connections import KeptConnections
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

#: Tables of which every change of the schema changes one, and no change of rows.
CATALOGS = (
    "pg_attrdef", "pg_attribute", "pg_constraint", "pg_db_role_setting", "pg_depend", "pg_index", "pg_namespace",
    "pg_proc", "pg_trigger", "pg_type",
)  # fmt: skip
MARKS = " UNION ALL ".join(
    f"SELECT '{table}', count(*), max(xmin::text::bigint) FROM {table}"  # how many rows, and when one was written last
    for table in CATALOGS
).encode()
#: Tables in whose file a row was written, perhaps by a transaction that was rolled back, and its bytes.
WRITTEN = (
    b"SELECT relname, pg_relation_size(oid) FROM pg_class"
    b" WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0"
)
SEQUENCES = b"SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
#: The other connections end, but not those that are kept, and triggers and foreign keys do not act.
BEGIN = SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL({});"
    "SET LOCAL lock_timeout = '2s'; SET LOCAL session_replication_role = replica"
)
#: Bytes up to which rows are deleted, which is quicker, and the file is vacuumed: new rows are to be in their order.
SMALL = 64 * 1024
#: So that the planner knows nothing about the tables, as after the migrations.
FORGET = (
    b"DELETE FROM pg_statistic USING pg_class"
    b" WHERE pg_class.oid = starelid AND relnamespace = 'public'::regnamespace;"
    b"UPDATE pg_class SET reltuples = -1, relpages = 0"
    b" WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples >= 0"
)


class EmptiedDatabase:
    """A database that is emptied after each test. Connections to it stay: to open one costs as much as the rest."""

    def __init__(self, address: str) -> None:
        """address: of a migrated database in which nobody has written."""
        self.address = address
        self._connection = psycopg.connect(address, autocommit=True)
        self._kept = KeptConnections(address)
        self.name = self._connection.info.dbname
        self._rows = {table: self._all(SQL("SELECT * FROM {}").format(Identifier(table))) for table in self._written()}
        self._marks, self._sequences = self._all(MARKS), dict(self._all(SEQUENCES))

    def close(self) -> None:
        self._kept.close()
        self._connection.close()

    def empty(self) -> bool:
        """Make it again what it was; return whether that is certain."""
        with suppress(psycopg.Error):
            with self._connection.transaction():
                self._connection.execute(BEGIN.format(self._kept.end_use()))
                if self._all(MARKS) != self._marks:
                    return False
                written = self._written()
                self._connection.execute(SQL("; ").join([*_removed(written), *self._restored()]))
            self._connection.execute(SQL("VACUUM {}").format(SQL(", ").join(map(Identifier, written))))
            self._connection.execute(FORGET)
            return True
        return False

    def _restored(self) -> Iterator[Composable]:
        for table, rows in self._rows.items():
            for row in rows:
                yield SQL("INSERT INTO {} VALUES ({})").format(Identifier(table), SQL(", ").join(map(Literal, row)))
        for name, last in self._all(SEQUENCES):
            first = self._sequences[name]
            if last != first:
                yield SQL("SELECT setval({}, {}, {})").format(name, first or 1, first is not None)

    def _written(self) -> dict[str, int]:
        return dict(self._all(WRITTEN))

    def _all(self, query: bytes | Composed) -> list[Any]:
        return self._connection.execute(query).fetchall()


def _removed(written: dict[str, int]) -> Iterator[Composable]:
    for table, size in written.items():
        yield SQL("DELETE FROM {}" if size <= SMALL else "TRUNCATE {} CASCADE").format(Identifier(table))
