"""How many orders fit a filter, for a page, in a time that does not grow with their number. Reads only.

Filters by what sums are kept of (SUMMED) have the exact count. One term is counted in its index
up to INDEX_ONLY orders. Several terms are tested on the newest orders of the leading term, with at most LOOKED_AT
looks into indexes. A count that stops there is a least number, and the page says so.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, case, func, select

from database import IMEIDatabase, count_orders
from grading import PENDING
from schema import orders, slowness, sums
from storage.newest_orders import PERSON, TAG, batches_of_person, batches_of_tag
from storage.order_filters import REJECTED, Guide, count_of, guide, led_by, order_of
from storage.order_terms import OrderFilter, Wordings, are_few_batches, pairs_of, terms_of

#: For the count of a page: entries of one index that are counted, and looks into indexes for several terms. Where a
#: database is slower, both are smaller by that factor.
INDEX_ONLY, LOOKED_AT = 200_000, 20_000
#: What schema.sums() adds up by: a filter of these terms alone is counted exactly, however many orders fit. A person
#: or a tag with few batches are more of these.
SUMMED = frozenset({"status", "verdict", "batch", "since", "until"})


@dataclass(frozen=True, slots=True)
class Count:
    """How many orders fit a filter, as far as they were counted."""

    found: int
    is_all: bool  #: False: there may be more, among orders that were not looked at


def counted(database: IMEIDatabase, chosen: OrderFilter) -> Count:
    """Return how many orders fit, for a page, in a time that does not grow with the number of orders."""
    with database.read() as connection:
        return guided_count(connection, chosen, counting_guide(connection, chosen))


def counting_guide(connection: Connection, chosen: OrderFilter) -> Guide:
    """Return the guide of a filter for a page that shows the count: what one index answers is counted once for both."""
    return guide(connection, chosen, _most(connection))


def _most(connection: Connection) -> int:
    return INDEX_ONLY // slowness(connection)


def guided_count(connection: Connection, chosen: OrderFilter, guided: Guide) -> Count:
    """Return the count of a filter whose guide is known."""
    if is_summed(chosen, guided.meanings):
        return Count(_summed(connection, chosen), is_all=True)
    most = _most(connection)
    if guided.found is not None:
        return Count(min(guided.found, most), guided.found <= most)
    terms = list(terms_of(chosen, guided.meanings))
    alone = terms if len(terms) == 1 else list(pairs_of(chosen, guided.meanings)) if len(terms) == 2 else []
    if alone:
        found = count_of(connection, alone[0], most)
        return Count(min(found, most), found <= most)
    return _counted_among(connection, chosen, guided)


def is_summed(chosen: OrderFilter, meanings: Wordings) -> bool:
    """Return whether the sums that are kept have the count of a filter: of SUMMED terms, and of few batches."""
    by_batch = {name for name in (PERSON, TAG) if are_few_batches(meanings, name)}
    return chosen.verdict != PENDING and chosen.arguments().keys() <= SUMMED | by_batch


def _summed(connection: Connection, chosen: OrderFilter) -> int:
    """Return the number of orders of a filter that is_summed(), from the sums that are kept."""
    if not chosen.arguments():
        return count_orders(connection)
    added = sums().c
    wanted = ((added.status, chosen.status), (added.verdict, chosen.verdict), (added.batch_id, chosen.batch))
    terms = [column == value for column, value in wanted if value not in ("", None)]
    if chosen.person:
        terms.append(added.batch_id.in_(batches_of_person(chosen.person)))
    if chosen.tag:
        terms.append(added.batch_id.in_(batches_of_tag(chosen.tag)))
    if chosen.dated:
        terms.append(added.day >= (chosen.since.isoformat() if chosen.since else "0"))  # not the unknown day ""
    if chosen.until:
        terms.append(added.day <= chosen.until.isoformat())
    return int(connection.execute(select(func.coalesce(func.total(added.orders), 0)).where(*terms)).scalar_one())


def _counted_among(connection: Connection, chosen: OrderFilter, guided: Guide) -> Count:
    """Count what fits among the newest orders that fit the leading term, or among the newest where no term leads."""
    looks = sum(term.looks for term in terms_of(chosen, guided.meanings) if term.name != guided.name)
    by_index = guided.name == REJECTED
    most = INDEX_ONLY if by_index else LOOKED_AT // max(looks, 1)
    most //= slowness(connection, of_rows=not by_index)
    seek, tests = led_by(chosen, guided, None)
    fits = case((and_(*tests), 1)).label("fits")
    newest = [] if guided.sorts else order_of(chosen, guided)
    among = select(fits).select_from(orders).where(*seek).order_by(*newest).limit(most + 1).subquery()
    looked_at, found = connection.execute(select(func.count(), func.count(among.c.fits)).select_from(among)).one()
    return Count(found, looked_at <= most)
