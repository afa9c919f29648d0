"""Orders that fit a filter: pages by key, walks over all of them in little memory, counts. Reads only.

**How a filter is answered.** SQLite plans by averages: for "carrier = Rare AND status = Completed" it may walk every
completed order, seconds at 5,000,000 orders. So `guide()` chooses the term that is looked up by its index, and the
others are tested on what that finds:

1. Each term is counted in its index up to VERY_FEW, then up to FEW. The term that leaves the fewest entries to read
   leads; its orders are sorted where its index has another order than the page.
2. Where every term fits more than FEW, a page fills soon: the orders are walked in the order of the page (by row id,
   or by date for a filter with dates) and tested, led by the term whose newest orders reach back least (`_reach`).
3. A verdict and a finding that never come together, such as pass and Locked, would be looked for in all orders: their
   pairs have indexes of their own, in which they are counted first, up to FEW.
4. The orders of one person or of a tag that few batches have are read batch by batch, from the newest ones
   (storage/newest_orders.py).
5. Rejected orders are a fiftieth of all and say little about the other terms: they have an index of their own
   (schema.IS_REJECTED) that holds what filters ask of them.

A `Term` therefore has up to three wordings: `seek` lets SQLite use the index, `read` keeps it from the index, `probe`
looks into the index for one order. tests/storage/test_query_plans.py holds the plans, benchmarks/README.md the figures.
order_wordings.py knows which stored words a finding ("ON") or a name ("verizon") means.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, literal, not_, or_, select, union_all

from database import IMEIDatabase
from engines import read_prepared
from grading import PENDING
from orders import FINAL_STATUSES, OrderStatus
from schema import IS_REJECTED, PENDING_BY_DATE, DayStart, WordList, order_tags, orders, sql
from storage.newest_orders import (
    MOST_BATCHES,
    PERSON,
    TAG,
    batches_alone_with,
    batches_of_person,
    batches_of_tag,
    newest_of_batches,
    some_batches,
)
from storage.order_wordings import FINDINGS, MEANT, wordings
from storage.rows import Order
from storage.tag_store import tag_key

#: Orders that a walk reads at a time, without holding a transaction between.
WALKED_AT_ONCE = 2000
#: The first time it reads fewer, because somebody waits for the beginning.
WALKED_FIRST = 100
#: Index entries that may be read for one page. Where more orders than this fit, a page fills soon.
FEW = 20_000
VERY_FEW = 2000  #: orders that fit a term are counted up to this first, which often decides
READ = 5  #: index entries that can be read in the time of reading one order
#: Terms that are kept: a page needs its terms six times, and to put one together takes as long as a look into an index.
REMEMBERED = 256
#: The last character of Unicode, for the end of a range of texts.
LAST_SIGN = "\U0010ffff"
#: Digits from which on a text is a whole IMEI or order id; a shorter one is the beginning of an IMEI.
WHOLE = 14
#: The index of dates, by which orders between dates are sorted.
DATE = "idx_order_date"
#: The index of rejected orders, which holds the columns that filters test.
REJECTED = "idx_orders_rejected"
#: How the names of the indexes of a verdict with a finding begin.
PAIRS = "idx_orders_verdict_"
#: How many of the batches of one person or tag are asked for the newest order.
RECENT_BATCHES = 20
#: A comparison and not "is not null", which SQLite answers without the index.
MISMATCHED = orders.c.other_imei > ""
COUNT_MISMATCHED = select(func.count()).select_from(orders).where(MISMATCHED)


#: Column → the stored words that mean what is asked of it; any other column is compared with the word itself.
Wordings = Mapping[str, Sequence[str]]
NO_WORDINGS: Wordings = MappingProxyType({})


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
        """What is set, as a URL holds it."""
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


class Guide(NamedTuple):
    """The term that is looked up by its index, and what the findings of the filter mean."""

    name: str = ""  #: of the term; "": the table itself is walked from its end
    sorts: bool = False  #: what is found is not in the order of the page
    meanings: Wordings = NO_WORDINGS
    found: int | None = None  #: how many orders fit by one index, up to what was asked for and one; None: not known


def page(database: IMEIDatabase, chosen: OrderFilter, before: int | None = None, limit: int = 100) -> list[Order]:
    """Return the newest orders that fit; before is the row id of the last one seen."""
    with database.read() as connection:
        return guided_page(connection, chosen, guide(connection, chosen), before, limit)


def guided_page(
    connection: Connection, chosen: OrderFilter, guided: Guide, before: int | None, limit: int
) -> list[Order]:
    """Return a page of a filter whose guide is known."""
    return [Order.from_row(row) for row in connection.execute(page_query(chosen, guided, before, limit)).all()]


def walk(database: IMEIDatabase, chosen: OrderFilter) -> Iterator[Order]:
    """Yield all orders that fit, newest first, in the memory of WALKED_AT_ONCE."""
    with database.read() as connection:
        guided = guide(connection, chosen)
    last, limit = None, WALKED_FIRST
    while True:
        with database.read() as connection:
            rows = [Order.from_row(row) for row in connection.execute(page_query(chosen, guided, last, limit)).all()]
        yield from rows
        if len(rows) < limit:
            return
        last, limit = rows[-1].id, WALKED_AT_ONCE


def count(database: IMEIDatabase, chosen: OrderFilter, most: int = 1_000_000) -> int:
    """How many orders fit, counted up to `most`."""
    if chosen == OrderFilter():
        return min(database.count_orders(), most)
    with database.read() as connection:
        guided = guide(connection, chosen)
        few = select(orders.c.id).where(*_conditions(chosen, guided, None)).limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(few)).scalar_one())


def imeis_of(database: IMEIDatabase, chosen: OrderFilter, most: int) -> list[str]:
    """The different IMEIs of the orders that fit, newest first, at most `most` of them."""
    found: dict[str, None] = {}
    for order in walk(database, chosen):
        found.setdefault(order.imei)
        if len(found) == most:
            break
    return list(found)


def mismatched_count(connection: Connection, batch_id: int | None = None) -> int:
    """How many results are about another IMEI than the one that was ordered."""
    if batch_id is None:
        return int(read_prepared(connection, COUNT_MISMATCHED).scalar_one())
    return int(connection.execute(COUNT_MISMATCHED.where(_read(orders.c.batch_id) == batch_id)).scalar_one())


def guide(connection: Connection, chosen: OrderFilter, most: int = 0) -> Guide:
    """Choose the term that leads, as the module's docstring explains.

    most: to which number to count what one index holds, for a page that shows it; FEW at least.
    """
    most = max(most, FEW)
    meanings = wordings_of(connection, chosen)
    terms = list(terms_of(chosen, meanings))
    in_order = [term.name for term in terms if (term.name == DATE if chosen.dated else term.looks == 1)]
    if len(terms) == len(in_order) <= 1:
        return Guide(in_order[0] if in_order else "", meanings=meanings)
    if len(terms) == 1 and terms[0].are_few_batches:
        return Guide(terms[0].name, meanings=meanings)
    counts, paired = counts_of(connection, terms, VERY_FEW), dict[str, int]()
    if min(counts.values()) > VERY_FEW:
        if chosen.status == OrderStatus.REJECTED:
            return Guide(REJECTED, sorts=chosen.dated, meanings=meanings)
        paired = counts_of(connection, list(pairs_of(chosen, meanings)), most if len(terms) == 2 else FEW)
        common = {name for pair in paired if paired[pair] > FEW for name in terms_of_pair(pair)}
        counts = dict.fromkeys(common, FEW + 1) | counts_of(
            connection, [term for term in terms if term.name not in common], FEW if len(terms) > 1 else most
        )
    looks = sum(term.looks for term in terms)
    costs = {term.name: counts[term.name] * max(looks - term.looks, 1) for term in terms}
    costs |= paired if min(costs.values()) > FEW else {}
    least = min(costs, key=lambda name: costs[name])
    found = _found(terms, costs | counts, most)
    if costs[least] <= FEW:
        return Guide(least, least not in in_order, meanings, found)
    for term in terms:
        if term.batches is not None and _is_cheaper_than_walk(connection, term, max(looks - term.looks, 1)):
            return Guide(term.name, True, meanings, found)
    if len(in_order) > 1:
        wide = [term for term in terms if term.name in in_order]
        reach = _reach(connection, wide)
        in_order = [min(wide, key=lambda term: (counts[term.name], reach[term.name])).name]
    return Guide(in_order[0] if in_order else "", False, meanings, found)


def _found(terms: Sequence[Term], counts: Mapping[str, int], most: int) -> int | None:
    """Return the counted orders of a filter that one index answers: the only term, or a verdict with a finding."""
    names = [terms[0].name] if len(terms) == 1 else [name for name in counts if name.startswith(PAIRS)]
    found = counts[names[0]] if len(terms) <= 2 and names else None
    return None if found is not None and found > FEW == most else found


def _is_cheaper_than_walk(connection: Connection, term: Term, cost: int) -> bool:
    """Return whether to look up all orders of some batches costs less than to walk past those placed since.

    Other terms fit orders of all times; a person who left has none among the newest. cost: of one order that is found.
    """
    if term.batches is None:
        return False
    some = term.batches.order_by(term.batches.selected_columns[0].desc()).limit(RECENT_BATCHES).subquery()
    newest_of_batch = select(func.max(orders.c.id)).where(orders.c.batch_id == some.c[0]).scalar_subquery()
    last = connection.execute(select(func.max(newest_of_batch)).select_from(some)).scalar() or 0
    passed = int(connection.execute(select(func.max(orders.c.id))).scalar() or 0) - last
    return count_of(connection, term, passed * READ // cost) * cost <= passed * READ


def rare_guide(connection: Connection, chosen: OrderFilter) -> Guide | None:
    """Return a guide by a term that at most VERY_FEW orders fit; None where there is no such term."""
    meanings = wordings_of(connection, chosen)
    for term in terms_of(chosen, meanings):
        if count_of(connection, term, VERY_FEW) <= VERY_FEW:
            return Guide(term.name, sorts=True, meanings=meanings)
    return None


def wordings_of(connection: Connection, chosen: OrderFilter) -> Wordings:
    """For each finding or name of the filter, such as "ON", every stored value that means it.

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


def fitting(chosen: OrderFilter, guided: Guide) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter for pages that are not sorted newest first."""
    return _conditions(chosen, guided._replace(name="idx_status") if guided.name == REJECTED else guided, None)


def page_query(chosen: OrderFilter, guided: Guide, before: int | None, limit: int | None) -> Select[Any]:
    """The SELECT of one page; before is the row id of the last order seen.

    Where there is something to test or to sort, the ids come first, from indexes where that can be, so that only the
    orders of the page are read whole.
    """
    conditions, order = _conditions(chosen, guided, before), order_of(chosen, guided)
    terms = list(terms_of(chosen, guided.meanings))
    if len(terms) == 1 and terms[0].words and not guided.name:
        return _newest_by_words(terms[0].words, before, limit)
    if len(terms) == 1 and limit and guided.name in (PERSON, TAG) and not guided.sorts:
        newest = newest_of_batches(guided.name, getattr(chosen, guided.name), before, limit)
        return select(orders).where(orders.c.id.in_(newest)).order_by(orders.c.id.desc())
    if len(terms) <= 1 and not guided.sorts:
        return select(orders).where(*conditions).order_by(*order).limit(limit)
    ids = select(orders.c.id).where(*conditions).order_by(*order).limit(limit)
    return select(orders).where(orders.c.id.in_(ids)).order_by(*order_of(chosen, Guide(sorts=True)))


def _newest_by_words(words: Sequence[ColumnElement[bool]], before: int | None, limit: int | None) -> Select[Any]:
    """The SELECT of the newest orders that have one of few words, from the newest of each: the others are not read."""
    seen = [] if before is None else [orders.c.id < before]
    newest = [select(orders.c.id).where(word, *seen).order_by(orders.c.id.desc()).limit(limit) for word in words]
    ids = union_all(*(one.subquery().select() for one in newest)).subquery()
    chosen = select(ids.c.id).order_by(ids.c.id.desc()).limit(limit)
    return select(orders).where(orders.c.id.in_(chosen)).order_by(orders.c.id.desc())


def sorted_page(connection: Connection, chosen: OrderFilter, guided: Guide, limit: int) -> tuple[list[Order], int]:
    """Return the first page of a filter whose orders are all read and sorted for it, and how many they are."""
    fitting = func.count().over().label("fitting")
    ids = select(orders.c.id, fitting).where(*_conditions(chosen, guided, None)).order_by(*order_of(chosen, guided))
    few = ids.limit(limit).subquery()
    query = select(orders, few.c.fitting).join(few, few.c.id == orders.c.id)
    rows = connection.execute(query.order_by(*order_of(chosen, Guide(sorts=True)))).all()
    return [Order.from_row(row[:-1]) for row in rows], rows[0].fitting if rows else 0


def count_of(connection: Connection, term: Term, most: int) -> int:
    """Return how many orders fit a term, or more than most: then the others are not counted."""
    return counts_of(connection, [term], most)[term.name]


def counts_of(connection: Connection, terms: Sequence[Term], most: int) -> dict[str, int]:
    """Return name → how many orders fit each of these terms, or more than most. One statement for all of them."""
    looks = [(term.name, seek) for term in terms for seek in term.parts or (term.seek,)]
    some = [select(orders.c.id).where(seek).limit(most + 1).subquery() for _, seek in looks]
    counts = [select(func.count()).select_from(few).scalar_subquery() for few in some]
    found = dict.fromkeys((term.name for term in terms), 0)
    for (name, _), count in zip(looks, connection.execute(select(*counts)).one() if counts else (), strict=True):
        found[name] += int(count)
    return found


def _reach(connection: Connection, terms: Sequence[Term]) -> dict[str, int]:
    """Return name → the row id of the last of the newest VERY_FEW orders that fit a term: small for a rare one."""
    newest = [select(orders.c.id).where(term.seek).order_by(orders.c.id.desc()) for term in terms]
    found = connection.execute(select(*(one.limit(1).offset(VERY_FEW).scalar_subquery() for one in newest))).one()
    return {term.name: int(last or 0) for term, last in zip(terms, found, strict=True)}


def _conditions(chosen: OrderFilter, guided: Guide, before: int | None) -> list[ColumnElement[bool]]:
    seek, tests = led_by(chosen, guided, before)
    return [*seek, *tests, *([] if before is None or chosen.dated else [_key(guided) < before])]


def led_by(chosen: OrderFilter, guided: Guide, before: int | None) -> tuple[list[Any], list[Any]]:
    """Return what the leading term is looked up by, and what is tested on the orders that it finds."""
    terms = list(terms_of(chosen, guided.meanings, before))
    if not guided.name:  # the order is read anyway
        return [], [term.read for term in terms]
    if guided.name == REJECTED:
        return [IS_REJECTED], [term.read for term in terms if term.name != "idx_status"]
    seek = [term.seek for term in [*terms, *pairs_of(chosen, guided.meanings)] if term.name == guided.name]
    return seek, [term.test for term in terms if term.name != guided.name]


def order_of(chosen: OrderFilter, guided: Guide) -> list[ColumnElement[Any]]:
    """Return the order of a page: newest first. Orders of one instant are in the order of the index."""
    if not chosen.dated:
        return [_key(guided).desc()]
    placed = _read(orders.c.order_date) if guided.sorts else orders.c.order_date
    return [placed.desc(), orders.c.id]


def _key(guided: Guide) -> ColumnElement[int]:
    """The row id; + 0 keeps SQLite from walking the table by row id where the result is sorted anyway."""
    return orders.c.id + 0 if guided.sorts else orders.c.id.expression


def terms_of(chosen: OrderFilter, meanings: Wordings, before: int | None = None) -> Iterator[Term]:
    """Yield the terms that are set; first those that probably few orders fit."""
    if chosen.row:
        yield Term("row", orders.c.id.in_(chosen.row), _read(orders.c.id).in_(chosen.row), looks=1)
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
        yield Term("idx_orders_pending", PENDING_BY_DATE, _read(orders.c.status).not_in(FINAL_STATUSES))
    elif chosen.verdict:
        yield _worded("verdict", [chosen.verdict])
    yield from (_worded(name, meanings.get(name, [word])) for name in MEANT if (word := getattr(chosen, name)))
    if chosen.serial:
        yield _serial(chosen.serial)
    if chosen.dated:
        placed = orders.c.order_date
        yield Term(DATE, _placed(chosen, before, placed), _placed(chosen, before, _read(placed)))
    if chosen.mismatch:
        yield Term("idx_orders_other_imei", MISMATCHED, func.coalesce(orders.c.other_imei, "") > "")


def pairs_of(chosen: OrderFilter, meanings: Wordings) -> Iterator[Term]:
    """Yield the verdict with each finding that is set, where the two are: they can lead, and are no tests."""
    for name in FINDINGS if chosen.verdict not in ("", PENDING) else ():
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
    return Term(f"idx_orders_{name}", _is_one_of(column, words), _is_one_of(_read(column), words))


@lru_cache(REMEMBERED)
def _few_words(name: str, words: tuple[str, ...]) -> Term:
    index, column = f"idx_orders_{name}", orders.c[name]
    if len(words) == 1:
        return _of_value(index, name, words[0])
    by_word = tuple(column == word for word in words)
    seek, read, probe = _is_one_of(column, words), _is_one_of(_read(column), words), _is_in_index(index, name, words)
    return Term(index, seek, read, probe, len(words), words=by_word)


@lru_cache(REMEMBERED)
def _of_value(index: str, name: str, value: str | int) -> Term:
    """The orders with one value of a column, which its index holds in the order of a page."""
    column = orders.c[name]
    return Term(index, column == value, _read(column) == value, _is_in_index(index, name, [value]), 1)


def _of_batch(batch_id: int) -> Term:
    return _of_value("idx_orders_batch", "batch_id", batch_id)


@lru_cache(REMEMBERED)
def _in_batches(name: str, word: str, are_few: bool) -> Term:
    """The orders of the batches of a PERSON or TAG."""
    theirs = batches_of_person(word) if name == PERSON else batches_of_tag(word)
    seek, read = orders.c.batch_id.in_(theirs), _read(orders.c.batch_id).in_(theirs)
    return Term(name, seek, read, batches=theirs, are_few_batches=are_few)


def _tagged(chosen: OrderFilter, meanings: Wordings) -> Term:
    """The orders with a tag, their own or that of their batch."""
    alone = meanings.get(TAG, ())
    if len(alone) == 1 and chosen.batch is None:
        return _of_batch(int(alone[0]))
    return _in_batches(TAG, chosen.tag, are_few_batches(meanings, TAG)) if alone else _tagged_itself(chosen.tag)


@lru_cache(REMEMBERED)
def _tagged_itself(word: str) -> Term:
    """The orders with a tag that some have themselves: a union, which both databases look up by its ids."""
    theirs = batches_of_tag(word)
    own = select(order_tags.c.order_row).where(order_tags.c.tag == tag_key(word))
    of_batches = orders.alias("of_batches")
    both = orders.c.id.in_(union_all(own, select(of_batches.c.id).where(of_batches.c.batch_id.in_(theirs))))
    own_only = and_(orders.c.id.in_(own), func.coalesce(orders.c.batch_id, 0).not_in(theirs))
    seek, read = orders.c.batch_id.in_(theirs), _read(orders.c.batch_id).in_(theirs)
    return Term(TAG, both, or_(_read(orders.c.id).in_(own), read), parts=(seek, own_only), batches=theirs)


def _serial(given: str) -> Term:
    """A serial number or its beginning, as it is typed and in capitals."""
    column, starts = orders.c.serial, sorted({given, given.upper()})
    # Ranges and not LIKE, which SQLite answers without the index; the last sign comes behind every other.
    seek = or_(*(and_(column >= start, column < start + LAST_SIGN) for start in starts))
    return Term("idx_orders_serial", seek, func.substr(_read(column), 1, len(given)).in_(starts))


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


def _read(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column in an expression for which SQLite uses no index."""
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
    named = _read(orders.c.order_id) == given
    named_only = and_(orders.c.order_id == given, not_(tested))
    return Term("q", or_(begins, orders.c.order_id == given), or_(tested, named), parts=(begins, named_only))


def _in_url(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.isoformat() if isinstance(value, date) else 1 if value is True else value
