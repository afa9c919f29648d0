"""The newest orders of some batches, such as those with a tag, in a time that does not grow with their orders.

The index of batches holds the orders of each batch by row id. So the newest order of each batch takes one look, and
the newest orders of all of them are among those of the batches whose newest orders are the newest. Reads only.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Select, TextClause, select

from schema import batch_tags, batches, order_tags, sql
from storage.tag_store import tag_key

PERSON, TAG = "person", "tag"
#: Batches that are looked at for one page. A person may have scanned 100,000 phones, each a batch of its own.
MOST_BATCHES = 500
#: Higher than any row id.
NO_END = 2**62
FOUND = {
    PERSON: "SELECT id AS batch_id FROM batches WHERE ordered_by = :word",
    TAG: "SELECT batch_id FROM batch_tags WHERE tag = :word",
}
#: As many batches as orders are asked for are enough: those whose newest orders are the newest. Of each of them, the
#: orders behind that number are left out. In words, because such a statement takes longer to put together than to run.
NEWEST = {
    name: sql(f"""
    SELECT placed.id FROM (
        SELECT ends.batch_id FROM (
            SELECT found.batch_id, coalesce((
                SELECT max(o.id) FROM orders o WHERE o.batch_id = found.batch_id AND o.id < :before
            ), 0) AS newest FROM ({found}) found
        ) ends ORDER BY ends.newest DESC LIMIT :most
    ) top CROSS JOIN orders AS placed ON placed.batch_id = top.batch_id AND placed.id < :before
    AND placed.id > coalesce((
        SELECT o.id FROM orders o WHERE o.batch_id = top.batch_id AND o.id < :before
        ORDER BY o.id DESC LIMIT 1 OFFSET :most
    ), 0)
    ORDER BY placed.id DESC LIMIT :most""")
    for name, found in FOUND.items()
}


def batches_of_person(name: str) -> Select[int]:
    """The SELECT of the ids of the batches that a person or token ordered."""
    return select(batches.c.id).where(batches.c.ordered_by == name)


def batches_of_tag(word: str) -> Select[int]:
    """The SELECT of the ids of the batches that have a tag."""
    return select(batch_tags.c.batch_id).where(batch_tags.c.tag == tag_key(word))


def some_batches(connection: Connection, of: Select[int]) -> Sequence[int]:
    """Return the ids that a SELECT of batches finds, at most MOST_BATCHES and one."""
    return connection.execute(of.limit(MOST_BATCHES + 1)).scalars().all()


def batches_alone_with(connection: Connection, word: str) -> Sequence[int]:
    """Return the batches that have a tag, as some_batches() does; none where an order has it itself."""
    own = select(order_tags.c.order_row).where(order_tags.c.tag == tag_key(word)).limit(1)
    return some_batches(connection, batches_of_tag(word)) if connection.execute(own).first() is None else ()


def newest_of_batches(name: str, word: str, before: int | None, limit: int) -> TextClause:
    """The subquery of the ids of the newest orders of the batches of a PERSON or TAG; before: older than this id."""
    key = tag_key(word) if name == TAG else word
    return NEWEST[name].bindparams(word=key, before=NO_END if before is None else before, most=limit)
