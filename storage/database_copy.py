"""Copy every table of a file of SQLite into a database of PostgreSQL, in one transaction of each.

Rows go through COPY, in pieces, so memory stays flat. Indexes and foreign keys are dropped before and made again after
it, which also checks them; triggers are off meanwhile, because rows are copied with what they caused. The tables of the
queue of jobs are not copied. Reads and writes only; results/moving.py decides.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, Table, Text, func, select, text
from sqlalchemy.exc import DBAPIError

from amounts import HIGHEST_PRICE, plural
from database import Transaction, why_unusable
from schema import audit_entries, metadata, result_changes, result_counts
from storage.copied_values import NUL, PRICES, Conversion, conversion_of, fits

#: Rows that are read, converted and written at once, and seconds between two lines about a long table.
PIECE, TELL_EVERY = 5000, 5.0
#: In the transaction: it may wait for the file for longer than other transactions, and has memory to sort indexes.
PREPARE = ("SET LOCAL idle_in_transaction_session_timeout = 0", "SET LOCAL maintenance_work_mem = '256MB'")
INDEXES = text(
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY(:tables)"
    " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = to_regclass(quote_ident(indexname)))"
)
FOREIGN_KEYS = text(
    "SELECT conrelid::regclass::text AS table_name, conname, pg_get_constraintdef(c.oid) AS definition"
    " FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid WHERE contype = 'f' AND relname = ANY(:tables)"
    " AND relnamespace = CAST(current_schema() AS regnamespace) ORDER BY conname"
)
#: What triggers of the server check of each statement in place of a key, of all rows that were copied.
CHECKS = (
    "ALTER TABLE orders ADD CONSTRAINT copied FOREIGN KEY (batch_id) REFERENCES batches",
    "ALTER TABLE orders DROP CONSTRAINT copied",
)
SEQUENCE = text("SELECT pg_get_serial_sequence(:table, :column)")
#: The next id is one more; in a table that never had a row, 1.
SET_SEQUENCE = text("SELECT setval(CAST(:sequence AS regclass), greatest(:last, 1), :last > 0)")
#: The code of PostgreSQL for a foreign key without its row.
NO_SUCH_ROW = "23503"
#: Its code for a text that is too long for an index, which SQLite takes.
TOO_LONG = "54000"
SHORTEN = " A finding of an order is a long text: run `flask reparse`, which keeps its beginning, and then this again."
#: The audit log has a counter of its own, because its numbers are not taken from the sequence.
SET_COUNTER = text("UPDATE audit_counter SET given = :last")
GIVEN = text("SELECT seq FROM sqlite_sequence WHERE name = :table")


class CopyError(Exception):
    """The copy is not possible; the message is one sentence that names the table, and the row where there is one."""


@dataclass(frozen=True, slots=True)
class Repair:
    """Texts of one column whose NULs were replaced."""

    table: str
    column: str
    rows: int
    first: str  #: the key of the first of these rows

    def __str__(self) -> str:
        found = f"{self.table}, column {self.column}, {plural(self.rows, 'row')}, the first of them {self.first}"
        return f"{found}: each NUL was replaced by U+FFFD."


#: Called with a line about the progress.
Tell = Callable[[str], None]


def copied_tables() -> list[Table]:
    """Return the tables that are copied: all of ours, the referenced ones first.

    Counts of results come last: a text of an order that cannot be copied is named where it is, and not in its counts.
    """
    return sorted(metadata.sorted_tables, key=lambda table: table in (result_changes, result_counts))


def copy_tables(source: Connection, target: Transaction, tell: Tell) -> list[Repair]:
    """Replace the rows of all tables of the target by those of the source. Returns the texts that were repaired.

    Raises CopyError.
    """
    repairs: list[Repair] = []
    for statement in PREPARE:
        target.execute(text(statement))
    with _bare_tables(target, tell):
        names = ", ".join(_name(target, table) for table in copied_tables())
        target.execute(text(f"TRUNCATE {names}"))
        for table in copied_tables():
            repairs += _copy_table(source, target, table, tell)
            _set_sequence(source, target, table)
    target.execute(text(f"ANALYZE {names}"))
    return repairs


@contextmanager
def _bare_tables(target: Transaction, tell: Tell) -> Iterator[None]:
    """Take triggers, foreign keys and indexes from the tables, and give them back at the end."""
    tables = [_name(target, table) for table in copied_tables()]
    names = {"tables": [table.name for table in copied_tables()]}
    indexes, keys = target.execute(INDEXES, names).all(), target.execute(FOREIGN_KEYS, names).all()
    quoted = target.dialect.identifier_preparer.quote
    for table in tables:
        target.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    for key in keys:
        target.execute(text(f"ALTER TABLE {key.table_name} DROP CONSTRAINT {quoted(key.conname)}"))
    for index in indexes:
        target.execute(text(f"DROP INDEX {quoted(index.indexname)}"))
    yield
    tell(f"Making {len(indexes)} indexes and checking {len(keys)} foreign keys")
    with _named_errors(target, "The rows"):
        for index in indexes:
            target.exec_driver_sql(index.indexdef)
        for key in keys:
            words = f"ALTER TABLE {key.table_name} ADD CONSTRAINT {quoted(key.conname)} {key.definition}"
            target.exec_driver_sql(words)
        for words in CHECKS:
            target.exec_driver_sql(words)
    for table in tables:
        target.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def _copy_table(source: Connection, target: Transaction, table: Table, tell: Tell) -> list[Repair]:
    """Copy the rows of one table. FREEZE: they are visible to all at once, as the table was emptied before."""
    total = source.execute(select(func.count()).select_from(table)).scalar_one()
    columns = ", ".join(target.dialect.identifier_preparer.quote(column.name) for column in table.columns)
    words = f"COPY {_name(target, table)} ({columns}) FROM STDIN WITH (FREEZE)"
    repaired: dict[str, Repair] = {}
    conversions = [conversion_of(column) for column in table.columns]
    copied, next_line = 0, time.monotonic() + TELL_EVERY
    with _named_errors(target, table.name), _driver(target).cursor() as cursor, cursor.copy(words) as copy:
        for piece in _pieces(source, table):
            for row in _converted(table, conversions, piece, repaired):
                copy.write_row(row)
            copied += len(piece)
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + TELL_EVERY
                tell(f"{table.name}: {copied:,} of {total:,} rows")
    if copied:
        tell(f"{table.name}: {copied:,} rows")
    return list(repaired.values())


def _pieces(source: Connection, table: Table) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Yield the rows of a table as SQLite has them, in the order of the key."""
    driver = _driver(source)
    query = str(select(table).order_by(*table.primary_key.columns).compile(dialect=source.dialect))
    try:
        cursor = driver.execute(query)
        while piece := cursor.fetchmany(PIECE):
            yield piece
    except source.dialect.loaded_dbapi.OperationalError as error:
        raise CopyError(_undecodable(driver, table, query) or f"{table.name} cannot be read: {error}.") from error


def _undecodable(driver: Any, table: Table, query: str) -> str:
    """Return the sentence about the first text that is no UTF-8; "" where there is none."""
    before, driver.text_factory = driver.text_factory, bytes
    try:
        cells = ((row, *cell) for row in driver.execute(query) for cell in zip(table.columns, row, strict=True))
        found = ((row, column) for row, column, value in cells if isinstance(column.type, Text) and _is_broken(value))
        for row, column in found:
            return f"{table.name}, row {_key(table, row)}, column {column.name} holds a text that is no UTF-8."
    finally:
        driver.text_factory = before
    return ""


def _is_broken(value: object) -> bool:
    """Whether the bytes of a text are no UTF-8."""
    return isinstance(value, bytes) and value.decode(errors="replace").encode() != value


def _converted(
    table: Table, conversions: Sequence[Conversion], piece: Sequence[tuple[Any, ...]], repaired: dict[str, Repair]
) -> Iterator[tuple[Any, ...]]:
    """Return the rows for PostgreSQL, and note the texts that are repaired. Column by column, which is quick."""
    converted = []
    for column, conversion, values in zip(table.columns, conversions, zip(*piece, strict=True), strict=True):
        try:
            new = conversion(values)
        except (ValueError, TypeError, KeyError) as error:
            row = next(row for row, value in zip(piece, values, strict=True) if not fits(conversion, value))
            raise CopyError(_odd(table, column, row)) from error
        if new is not values and any(type(value) is str for value in new):
            found = [row for row, value in zip(piece, values, strict=True) if value and NUL in value]
            before = repaired.get(column.name, Repair(table.name, column.name, 0, _key(table, found[0])))
            repaired[column.name] = replace(before, rows=before.rows + len(found))
        converted.append(new)
    return zip(*converted, strict=True)


def _odd(table: Table, column: Column[Any], row: Sequence[Any]) -> str:
    """Return the sentence about a value that does not fit. Its beginning only: it may be a secret."""
    value = row[list(table.columns).index(column)]
    kind = f"price up to ${HIGHEST_PRICE:,}" if column in PRICES else str(column.type).lower()
    return (
        f"{table.name}, row {_key(table, row)}, column {column.name} holds a {type(value).__name__} of"
        f" {len(str(value)):,} signs that is no {kind}."
    )


def _key(table: Table, row: Sequence[Any]) -> str:
    values = dict(zip(table.columns.keys(), row, strict=True))
    keys = [values[column.name] for column in table.primary_key.columns]
    return " ".join(key.decode(errors="replace") if isinstance(key, bytes) else str(key) for key in keys) or "1"


def _set_sequence(source: Connection, target: Transaction, table: Table) -> None:
    """Let ids go on after the largest that was ever given: an id is never used again."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = target.execute(SEQUENCE, {"table": _name(target, table), "column": column.name}).scalar_one_or_none()
    if sequence is None:
        return
    largest = source.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    last = max(largest, source.execute(GIVEN, {"table": table.name}).scalar() or 0)
    target.execute(SET_SEQUENCE, {"sequence": sequence, "last": last})
    if table is audit_entries:
        target.execute(SET_COUNTER, {"last": last})


@contextmanager
def _named_errors(target: Connection, what: str) -> Iterator[None]:
    """Turn an error of PostgreSQL into one sentence. Its detail may hold a secret: only that of a key is shown."""
    try:
        yield
    except (DBAPIError, target.dialect.loaded_dbapi.Error) as error:
        raise CopyError(_sentence(what, getattr(error, "orig", error))) from error


def _sentence(what: str, error: Any) -> str:
    detail = f" {error.diag.message_detail}" if error.sqlstate == NO_SUCH_ROW else ""
    detail = SHORTEN if error.sqlstate == TOO_LONG else detail
    return why_unusable(error) or f"{what} cannot be copied: {error.diag.message_primary or error}.{detail}"


def _name(connection: Connection, table: Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)


def _driver(connection: Connection) -> Any:
    """Return the connection of the library below SQLAlchemy, in the same transaction."""
    return connection.connection.driver_connection
