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

storage/order_terms.py has the terms in words. tests/storage/test_query_plans.py holds the plans, benchmarks/README.md
the figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select, union_all

from database import IMEIDatabase
from engines import read_prepared
from orders import OrderStatus
from schema import IS_REJECTED, orders
from storage.newest_orders import PERSON, TAG, newest_of_batches
from storage.order_terms import (
    DATE,
    MISMATCHED,
    PAIRS,
    READ,
    OrderFilter,
    Term,
    Wordings,
    pairs_of,
    terms_of,
    terms_of_pair,
    unindexed,
    wordings_of,
)
from storage.rows import Order

#: Orders that a walk reads at a time, without holding a transaction between.
WALKED_AT_ONCE = 2000
#: The first time it reads fewer, because somebody waits for the beginning.
WALKED_FIRST = 100
#: Index entries that may be read for one page. Where more orders than this fit, a page fills soon.
FEW = 20_000
VERY_FEW = 2000  #: orders that fit a term are counted up to this first, which often decides
#: The index of rejected orders, which holds the columns that filters test.
REJECTED = "idx_orders_rejected"
#: How many of the batches of one person or tag are asked for the newest order.
RECENT_BATCHES = 20
COUNT_MISMATCHED = select(func.count()).select_from(orders).where(MISMATCHED)
NO_WORDINGS: Wordings = MappingProxyType({})


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
            rows = guided_page(connection, chosen, guided, last, limit)
        yield from rows
        if len(rows) < limit:
            return
        last, limit = rows[-1].id, WALKED_AT_ONCE


def count(database: IMEIDatabase, chosen: OrderFilter, most: int = 1_000_000) -> int:
    """Return how many orders fit, counted up to `most`."""
    if chosen == OrderFilter():
        return min(database.count_orders(), most)
    with database.read() as connection:
        guided = guide(connection, chosen)
        few = select(orders.c.id).where(*_conditions(chosen, guided, None)).limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(few)).scalar_one())


def imeis_of(database: IMEIDatabase, chosen: OrderFilter, most: int) -> list[str]:
    """Return the different IMEIs of the orders that fit, newest first, at most `most` of them."""
    found: dict[str, None] = {}
    for order in walk(database, chosen):
        found.setdefault(order.imei)
        if len(found) == most:
            break
    return list(found)


def mismatched_count(connection: Connection, batch_id: int | None = None) -> int:
    """Return how many results are about another IMEI than the one that was ordered."""
    if batch_id is None:
        return int(read_prepared(connection, COUNT_MISMATCHED).scalar_one())
    return int(connection.execute(COUNT_MISMATCHED.where(unindexed(orders.c.batch_id) == batch_id)).scalar_one())


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
        if _is_cheaper_than_walk(connection, term, max(looks - term.looks, 1)):
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


def fitting(chosen: OrderFilter, guided: Guide) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter for pages that are not sorted newest first."""
    return _conditions(chosen, guided._replace(name="idx_status") if guided.name == REJECTED else guided, None)


def page_query(chosen: OrderFilter, guided: Guide, before: int | None, limit: int | None) -> Select[Any]:
    """Return the SELECT of one page; before is the row id of the last order seen.

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
    """Return the SELECT of the newest orders with one of few words, of which only the newest of each word are read."""
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
    placed = unindexed(orders.c.order_date) if guided.sorts else orders.c.order_date
    return [placed.desc(), orders.c.id]


def _key(guided: Guide) -> ColumnElement[int]:
    """Return the row id; + 0 keeps SQLite from walking the table by row id where the result is sorted anyway."""
    return orders.c.id + 0 if guided.sorts else orders.c.id.expression
