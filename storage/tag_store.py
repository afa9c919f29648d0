"""Tags: free short words on batches and orders, several on each. An order has the tags of its batch, too.

A tag is the same whatever its capitals are, and is shown as it was written first. A tag without batches and orders is
deleted.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    ScalarSelect,
    Select,
    Table,
    TextClause,
    delete,
    exists,
    func,
    select,
    update,
)

from database import IMEIDatabase
from engines import read_prepared
from schema import batch_tags, each_of, order_tags, orders, sql, tags, upsert

#: Uses of one tag that are counted for a suggestion.
COUNTED = 1_000
TAG_BATCHES = sql(
    "INSERT INTO batch_tags (tag, batch_id) SELECT :tag, value FROM each(:ids AS INTEGER) given"
    " WHERE EXISTS (SELECT 1 FROM batches WHERE id = given.value) ON CONFLICT DO NOTHING"
)
TAG_ORDERS = sql(
    "INSERT INTO order_tags (tag, order_row) SELECT :tag, value FROM each(:ids AS INTEGER) given"
    " WHERE EXISTS (SELECT 1 FROM orders WHERE id = given.value) ON CONFLICT DO NOTHING"
)
#: Give what has one tag another one, where it has not both.
RETAG = (
    sql(
        "INSERT INTO batch_tags (tag, batch_id) SELECT :new, batch_id FROM batch_tags WHERE tag = :old"
        " ON CONFLICT DO NOTHING"
    ),
    sql(
        "INSERT INTO order_tags (tag, order_row) SELECT :new, order_row FROM order_tags WHERE tag = :old"
        " ON CONFLICT DO NOTHING"
    ),
)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag, and how many batches and orders have it."""

    word: str  #: as it was written first
    batches: int  #: counted up to COUNTED
    orders: int  #: that have it themselves, counted up to COUNTED


def tag_key(word: str) -> str:
    """Return what is equal for two writings of one tag."""
    return word.casefold()


def tag_batches(database: IMEIDatabase, batch_ids: Iterable[int], word: str) -> int:
    """Put a tag on batches; return how many did not have it."""
    return _put(database, TAG_BATCHES, batch_ids, word)


def tag_orders(database: IMEIDatabase, rows: Iterable[int], word: str) -> int:
    """Put a tag on the orders with these row ids; return how many did not have it."""
    return _put(database, TAG_ORDERS, rows, word)


def _put(database: IMEIDatabase, statement: TextClause, ids: Iterable[int], word: str) -> int:
    key = tag_key(word)
    with database.write() as connection:
        connection.execute(upsert(tags).values(key=key, word=word).on_conflict_do_nothing())
        put = connection.execute(statement, {"tag": key, "ids": json.dumps(list(ids))}).rowcount
        _forget_unused(connection, key)
        return put


def untag_batch(database: IMEIDatabase, batch_id: int, word: str) -> bool:
    """Take a tag from a batch; return whether it had it."""
    return _take(database, delete(batch_tags).where(batch_tags.c.batch_id == batch_id), batch_tags.c.tag, word)


def untag_order(database: IMEIDatabase, row: int, word: str) -> bool:
    """Take a tag from an order; return whether it had it. The tags of its batch stay."""
    return _take(database, delete(order_tags).where(order_tags.c.order_row == row), order_tags.c.tag, word)


def _take(database: IMEIDatabase, statement: Delete, tag: Column[str], word: str) -> bool:
    with database.write() as connection:
        taken = connection.execute(statement.where(tag == tag_key(word))).rowcount == 1
        _forget_unused(connection, tag_key(word))
        return taken


def _forget_unused(connection: Connection, key: str) -> None:
    unused = ~exists().where(batch_tags.c.tag == key), ~exists().where(order_tags.c.tag == key)
    connection.execute(delete(tags).where(tags.c.key == key, *unused))


def rename_tag(database: IMEIDatabase, word: str, new: str) -> None:
    """Write a tag in another way wherever it is; where the other one exists, the two become one."""
    old_key, key = tag_key(word), tag_key(new)
    with database.write() as connection:
        if old_key == key:
            connection.execute(update(tags).where(tags.c.key == key).values(word=new))
            return
        connection.execute(upsert(tags).values(key=key, word=new).on_conflict_do_nothing())
        for statement in RETAG:
            connection.execute(statement, {"new": key, "old": old_key})
        _delete(connection, old_key)
        _forget_unused(connection, key)


def delete_tag(database: IMEIDatabase, word: str) -> None:
    """Take a tag from everything."""
    with database.write() as connection:
        _delete(connection, tag_key(word))


def _delete(connection: Connection, key: str) -> None:
    for table in (batch_tags, order_tags):
        connection.execute(delete(table).where(table.c.tag == key))
    connection.execute(delete(tags).where(tags.c.key == key))


def tags_of_batches(database: IMEIDatabase, batch_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return batch id → its tags, sorted, for the batches that have some."""
    return _tags_by(database, batch_tags.c.batch_id, batch_tags.c.tag, batch_ids)


def tags_of_orders(database: IMEIDatabase, rows: Iterable[int]) -> dict[int, list[str]]:
    """Return row id of an order → its own tags, sorted, for the orders that have some."""
    return _tags_by(database, order_tags.c.order_row, order_tags.c.tag, rows)


def tags_of_orders_in(database: IMEIDatabase, batch_id: int) -> dict[str, list[str]]:
    """Return order id → its own tags, sorted, for the orders of a batch that have some."""
    tagged = select(orders.c.order_id, tags.c.word).join(order_tags, order_tags.c.order_row == orders.c.id)
    query = tagged.join(tags, tags.c.key == order_tags.c.tag).where(orders.c.batch_id == batch_id)
    found = defaultdict[str, list[str]](list)
    with database.read() as connection:
        for order_id, word in connection.execute(query.order_by(tags.c.key)):
            found[order_id or ""].append(word)
    return dict(found)


def _tags_by(database: IMEIDatabase, number: Column[int], tag: Column[str], ids: Iterable[int]) -> dict[int, list[str]]:
    query = select(number, tags.c.word).join(tags, tags.c.key == tag).where(number.in_(each_of(ids, "INTEGER")))
    found = defaultdict[int, list[str]](list)
    with database.read() as connection:
        for one, word in connection.execute(query.order_by(tags.c.key)):
            found[one].append(word)
    return dict(found)


def tag_words(database: IMEIDatabase, most: int, holding: str = "") -> list[str]:
    """Return the first tags by name; holding: only those with this text in them."""
    query = select(tags.c.word).order_by(tags.c.key).limit(most)
    query = query.where(tags.c.key.contains(tag_key(holding), autoescape=True)) if holding else query
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def is_tag(database: IMEIDatabase, word: str) -> bool:
    """Return whether something has this tag."""
    with database.read() as connection:
        return connection.execute(select(tags.c.key).where(tags.c.key == tag_key(word))).first() is not None


def known_tags(connection: Connection, most: int) -> list[Tag]:
    """Return the first tags by name, with the number of their batches and orders."""
    return [
        Tag(word, int(batches), int(orders)) for word, batches, orders in read_prepared(connection, _known_tags(most))
    ]


@cache  # the statement is slower to put together than to run
def _known_tags(most: int) -> Select[Any]:
    listed = select(tags).order_by(tags.c.key).limit(most).subquery()
    counts = (_uses(listed.c.key, table) for table in (batch_tags, order_tags))
    return select(listed.c.word, *counts).order_by(listed.c.key)


def _uses(key: ColumnElement[str], table: Table) -> ScalarSelect[int]:
    some = select(table.c.tag).where(table.c.tag == key).limit(COUNTED).correlate_except(table).subquery()
    return select(func.count()).select_from(some).scalar_subquery()
