"""The filter of orders, and its terms in words for the database: by an index, without one, or as a look into it.

A `Term` has up to three wordings: `seek` lets SQLite use the index, `read` keeps it from the index, `probe` looks into
the index for one order. storage/order_filters.py chooses which term leads. order_wordings.py knows which stored words a
finding ("ON") or a name ("verizon") means.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, literal, not_, or_, select, union_all

from devices import STATE_OF
from grading import PENDING
from orders import FINAL_STATUSES, OrderStatus
from schema import PENDING_BY_DATE, DayStart, WordList, order_tags, orders, sql
from storage.newest_orders import (
    MOST_BATCHES,
    PERSON,
    TAG,
    batches_alone_with,
    batches_of_person,
    batches_of_tag,
    some_batches,
)
from storage.order_wordings import MEANT, wordings
from storage.tag_store import tag_key

READ = 5  #: index entries that can be read in the time of reading one order
#: Terms that are kept: a page needs its terms six times, and to put one together takes as long as a look into an index.
REMEMBERED = 256
#: The last character of Unicode, for the end of a range of texts.
LAST_SIGN = "\U0010ffff"
#: Digits from which on a text is a whole IMEI or order id; a shorter one is the beginning of an IMEI.
WHOLE = 14
#: The index of dates, by which orders between dates are sorted.
DATE = "idx_order_date"
#: How the names of the indexes of a verdict with a finding begin.
PAIRS = "idx_orders_verdict_"
#: A comparison and not "is not null", which SQLite answers without the index.
MISMATCHED = orders.c.other_imei > ""
#: Column → the stored words that mean what is asked of it; any other column is compared with the word itself.
Wordings = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Terms that must all hold; an unset one holds for every order."""

    q: str = ""  #: an IMEI, its beginning, an IMEI 2, or an order id
    status: str = ""
    verdict: str = ""  #: a word of grading.Verdict, or grading.PENDING
    service: str = ""
    batch: int | None = None
    person: str = ""  #: the name of the user or token that ordered the batch
    tag: str = ""  #: that the order or its batch has, in any capitals
    carrier: str = ""
    simlock: str = ""
    fmi: str = ""
    blacklist: str = ""
    model: str = ""
    serial: str = ""  #: a serial number, or its beginning
    since: date | None = None  #: first UTC day of the order
    until: date | None = None  #: last UTC day
    mismatch: bool = False  #: only results that are about another IMEI
    row: tuple[int, ...] = ()  #: only the orders of these row ids

    def arguments(self) -> dict[str, Any]:
        """Return what is set, as a URL holds it."""
        found = {name: getattr(self, name) for name in NAMES}
        return {name: _in_url(value) for name, value in found.items() if value not in ("", None, False, ())}

    @property
    def dated(self) -> bool:
        """Whether its orders are sorted by their date; else they are by their row id."""
        return self.since is not None or self.until is not None


NAMES = tuple(field.name for field in fields(OrderFilter))


class Term(NamedTuple):
    """One term of a filter in up to three wordings."""

    name: str
    seek: ColumnElement[bool]  #: lets SQLite use the index
    read: ColumnElement[bool]  #: reads the column of the order and keeps SQLite from the index
    probe: ColumnElement[bool] | None = None  #: looks for the order in the index, where that is sorted by row id
    looks: int = READ  #: looks into the index for a test, or what reading costs; 1: the index holds them by row id
    parts: tuple[ColumnElement[bool], ...] = ()  #: the same orders by one index each, where seek needs several
    batches: Select[Any] | None = None  #: the ids of the batches that most of these orders are in
    are_few_batches: bool = False  #: all of these orders are in `batches`, of which there are at most MOST_BATCHES
    words: tuple[ColumnElement[bool], ...] = ()  #: the same orders by few words of one index, which has each by row id

    @property
    def test(self) -> ColumnElement[bool]:
        """The wording that tests orders which another term has found."""
        return self.read if self.probe is None else self.probe


def wordings_of(connection: Connection, chosen: OrderFilter) -> Wordings:
    """Return each finding or name of the filter, such as "ON" → every stored value that means it.

    For a person and for a tag that no order has itself, the ids of the batches, at most MOST_BATCHES and one.
    """
    found = {name: wordings(connection, name, getattr(chosen, name)) for name in MEANT if getattr(chosen, name)}
    if chosen.person:
        found[PERSON] = list(map(str, some_batches(connection, batches_of_person(chosen.person))))
    if chosen.tag:
        found[TAG] = list(map(str, batches_alone_with(connection, chosen.tag)))
    return found


def are_few_batches(meanings: Wordings, name: str) -> bool:
    """Return whether PERSON or TAG means the orders of at most MOST_BATCHES batches, and no others."""
    return 0 < len(meanings.get(name, ())) <= MOST_BATCHES


def terms_of(chosen: OrderFilter, meanings: Wordings, before: int | None = None) -> Iterator[Term]:
    """Yield the terms that are set; first those that probably few orders fit."""
    if chosen.row:
        yield Term("row", orders.c.id.in_(chosen.row), unindexed(orders.c.id).in_(chosen.row), looks=1)
    if chosen.q.strip():
        yield _about(chosen.q.strip())
    rare_status = chosen.status if chosen.status != OrderStatus.COMPLETED else ""
    if chosen.batch is not None:
        yield _of_batch(chosen.batch)
    for index, name, value in (
        ("idx_status", "status", rare_status),
        ("idx_orders_service", "service_id", chosen.service),
        ("idx_status", "status", "" if rare_status else chosen.status),
    ):
        if value:
            yield _of_value(index, name, value)
    if chosen.person:
        yield _in_batches(PERSON, chosen.person, are_few_batches(meanings, PERSON))
    if chosen.tag:
        yield _tagged(chosen, meanings)
    if chosen.verdict == PENDING:
        yield Term("idx_orders_pending", PENDING_BY_DATE, unindexed(orders.c.status).not_in(FINAL_STATUSES))
    elif chosen.verdict:
        yield _worded("verdict", [chosen.verdict])
    yield from (_worded(name, meanings.get(name, [word])) for name in MEANT if (word := getattr(chosen, name)))
    if chosen.serial:
        yield _serial(chosen.serial)
    if chosen.dated:
        placed = orders.c.order_date
        yield Term(DATE, _placed(chosen, before, placed), _placed(chosen, before, unindexed(placed)))
    if chosen.mismatch:
        yield Term("idx_orders_other_imei", MISMATCHED, func.coalesce(orders.c.other_imei, "") > "")


def pairs_of(chosen: OrderFilter, meanings: Wordings) -> Iterator[Term]:
    """Yield the verdict with each finding that is set, where the two are: they can lead, and are no tests."""
    for name in STATE_OF if chosen.verdict not in ("", PENDING) else ():
        if getattr(chosen, name):
            index = f"{PAIRS}{name}"
            seek = and_(orders.c.verdict == chosen.verdict, _is_one_of(orders.c[name], meanings[name]))
            yield Term(index, seek, seek)


def terms_of_pair(pair: str) -> tuple[str, str]:
    """Return the names of the two terms of a pair: the verdict, and the finding."""
    return PAIRS.removesuffix("_"), f"idx_orders_{pair.removeprefix(PAIRS)}"


def _worded(name: str, words: Sequence[str]) -> Term:
    """One wording has its orders sorted by row id in the index; several, which may be thousands, do not."""
    if len(words) < READ:
        return _few_words(name, tuple(words))
    column = orders.c[name]
    return Term(f"idx_orders_{name}", _is_one_of(column, words), _is_one_of(unindexed(column), words))


@lru_cache(REMEMBERED)
def _few_words(name: str, words: tuple[str, ...]) -> Term:
    index, column = f"idx_orders_{name}", orders.c[name]
    if len(words) == 1:
        return _of_value(index, name, words[0])
    by_word = tuple(column == word for word in words)
    seek, read, probe = (
        _is_one_of(column, words),
        _is_one_of(unindexed(column), words),
        _is_in_index(index, name, words),
    )
    return Term(index, seek, read, probe, len(words), words=by_word)


@lru_cache(REMEMBERED)
def _of_value(index: str, name: str, value: str | int) -> Term:
    """Return the term of the orders with one value of a column, which its index holds in the order of a page."""
    column, value = orders.c[name], str(value) if isinstance(value, str) else value  # a word of an enum is equal to it
    return Term(index, column == value, unindexed(column) == value, _is_in_index(index, name, [value]), 1)


def _of_batch(batch_id: int) -> Term:
    return _of_value("idx_orders_batch", "batch_id", batch_id)


@lru_cache(REMEMBERED)
def _in_batches(name: str, word: str, are_few: bool) -> Term:
    """Return the term of the orders of the batches of a PERSON or TAG."""
    theirs = batches_of_person(word) if name == PERSON else batches_of_tag(word)
    seek, read = orders.c.batch_id.in_(theirs), unindexed(orders.c.batch_id).in_(theirs)
    return Term(name, seek, read, batches=theirs, are_few_batches=are_few)


def _tagged(chosen: OrderFilter, meanings: Wordings) -> Term:
    """Return the term of the orders with a tag, their own or that of their batch."""
    alone = meanings.get(TAG, ())
    if len(alone) == 1 and chosen.batch is None:
        return _of_batch(int(alone[0]))
    return _in_batches(TAG, chosen.tag, are_few_batches(meanings, TAG)) if alone else _tagged_itself(chosen.tag)


@lru_cache(REMEMBERED)
def _tagged_itself(word: str) -> Term:
    """Return the term of a tag that some orders have themselves: a union, which both databases look up by its ids."""
    theirs = batches_of_tag(word)
    own = select(order_tags.c.order_row).where(order_tags.c.tag == tag_key(word))
    of_batches = orders.alias("of_batches")
    both = orders.c.id.in_(union_all(own, select(of_batches.c.id).where(of_batches.c.batch_id.in_(theirs))))
    own_only = and_(orders.c.id.in_(own), func.coalesce(orders.c.batch_id, 0).not_in(theirs))
    seek, read = orders.c.batch_id.in_(theirs), unindexed(orders.c.batch_id).in_(theirs)
    return Term(TAG, both, or_(unindexed(orders.c.id).in_(own), read), parts=(seek, own_only), batches=theirs)


def _serial(given: str) -> Term:
    """A serial number or its beginning, as it is typed and in capitals."""
    column, starts = orders.c.serial, sorted({given, given.upper()})
    # Ranges and not LIKE, which SQLite answers without the index; the last sign comes behind every other.
    seek = or_(*(and_(column >= start, column < start + LAST_SIGN) for start in starts))
    return Term("idx_orders_serial", seek, func.substr(unindexed(column), 1, len(given)).in_(starts))


def _placed(chosen: OrderFilter, before: int | None, placed: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ordered on one of the days, and behind the last order seen. One bound above only: SQLite seeks by one."""
    terms, end = [], literal(date.max, DayStart)
    if chosen.until is not None:
        end = literal(chosen.until + timedelta(days=1), DayStart)
    if chosen.since is not None:
        terms.append(placed >= literal(chosen.since, DayStart))
    if before is not None:
        seen = orders.alias("seen")
        last = func.coalesce(select(seen.c.order_date).where(seen.c.id == before).scalar_subquery(), end)
        terms += [placed <= last, or_(placed < last, orders.c.id > before)]
    elif chosen.until is not None:
        terms.append(placed < end)
    return and_(*terms)


def _is_in_index(index: str, column: str, words: Sequence[Any]) -> ColumnElement[bool]:
    """Return whether an order has one of these words, by a look into the index instead of reading the order."""
    is_one = len(words) == 1
    listed = f":{index}" if is_one else f"each(:{index} AS TEXT)"
    given = bindparam(index, words[0]) if is_one else bindparam(index, list(words), WordList)
    return sql(f"in_index({index}, {column}, {listed})").bindparams(given)  # type: ignore[return-value]


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the column in an expression for which SQLite uses no index."""
    return func.unindexed(column)


def _is_one_of(column: ColumnElement[Any], words: Sequence[str]) -> ColumnElement[bool]:
    return func.is_one_of(column, literal(list(words), WordList))


def _about(given: str) -> Term:
    """An IMEI, a second IMEI or an order id; or, for few digits, the beginning of an IMEI or an order id."""
    if len(given) >= WHOLE or not given.isdecimal():
        whole = or_(orders.c.imei == given, orders.c.imei2 == given, orders.c.order_id == given)
        return Term("q", whole, whole)
    # A range and not LIKE, which SQLite answers without the index; ":" comes behind every digit.
    begins = and_(orders.c.imei >= given, orders.c.imei <= given + ":")
    tested = func.substr(orders.c.imei, 1, len(given)) == given
    named = unindexed(orders.c.order_id) == given
    named_only = and_(orders.c.order_id == given, not_(tested))
    return Term("q", or_(begins, orders.c.order_id == given), or_(tested, named), parts=(begins, named_only))


def _in_url(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else 1 if value is True else value
