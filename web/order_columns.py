"""The columns of lists of orders: all of them, what a person has chosen, and how their headings sort. No routes."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from markupsafe import Markup

from backend import backend
from spreadsheets import OutColumn
from storage.order_pages import Sort
from storage.preference_store import preference
from storage.rows import Order
from web.access import current_actor


class OrderTable(StrEnum):
    """The lists with columns to choose."""

    HISTORY = "history"  #: also the orders of a looked up list of IMEIs
    BATCH = "batch"  #: the results of a batch


@dataclass(frozen=True, slots=True)
class OrderColumn:
    """A column of a list of orders."""

    name: str  #: in preferences, and of its cells
    export: OutColumn  #: its heading, and what a file holds
    sorts: tuple[Sort, ...] = ()  #: what its heading sorts by: first, and when it is selected again
    kind: str = ""  #: the CSS class of its cells
    is_brief: bool = False  #: is on the card that a row becomes on a small screen

    @property
    def heading(self) -> str:
        """The heading."""
        return self.export.title


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading on a page."""

    column: OrderColumn
    direction: str  #: "ascending" or "descending" where the list is sorted by it
    url: str  #: of the list in another order; "" where there is none


class Cell(NamedTuple):
    """A cell of a list of orders. A tuple, which a template takes apart at once."""

    name: str  #: of its column
    tag: Markup  #: the beginning of its element, with the name and the CSS classes of its column
    is_clipped: bool  #: shows the whole value as its title
    is_moment: bool
    value: Any  #: "" for nothing


#: The first column always, so that each row says which phone it is about.
IMEI = OrderColumn("imei", OutColumn("IMEI", "imei", 17, "digits"), (Sort.IMEI, Sort.IMEI_DOWN), is_brief=True)
COLUMNS: Mapping[str, OrderColumn] = MappingProxyType(
    {
        column.name: column
        for column in (
            IMEI,
            OrderColumn("order", OutColumn("Order", "order_id", 14, "digits")),
            OrderColumn("status", OutColumn("Status", "status", 11), (Sort.STATUS, Sort.STATUS_DOWN), is_brief=True),
            OrderColumn("verdict", OutColumn("Verdict", "verdict", 9), (Sort.WORST, Sort.BEST), is_brief=True),
            OrderColumn("model", OutColumn("Model", "model", 30), (Sort.MODEL, Sort.MODEL_DOWN), "clip", True),
            OrderColumn(
                "carrier", OutColumn("Carrier", "carrier", 20), (Sort.CARRIER, Sort.CARRIER_DOWN), "clip", True
            ),
            OrderColumn("simlock", OutColumn("SIM lock", "simlock", 11), (Sort.SIMLOCK, Sort.SIMLOCK_DOWN), "", True),
            OrderColumn("fmi", OutColumn("Find My", "fmi", 8), (Sort.FMI, Sort.FMI_DOWN), "", True),
            OrderColumn("blacklist", OutColumn("Blacklist", "blacklist", 12), (Sort.BLACKLIST, Sort.BLACKLIST_DOWN)),
            OrderColumn("serial", OutColumn("Serial", "serial", 16), (Sort.SERIAL, Sort.SERIAL_DOWN)),
            OrderColumn("imei2", OutColumn("IMEI 2", "imei2", 17, "digits")),
            OrderColumn("warranty", OutColumn("Warranty", "warranty", 20), kind="clip"),
            OrderColumn("result", OutColumn("Result", "result_code_display", 60), kind="clip"),
            OrderColumn("service", OutColumn("Service", "service_name", 34), (Sort.SERVICE, Sort.SERVICE_DOWN), "clip"),
            OrderColumn("batch", OutColumn("Batch", "batch_id", 9), kind="num"),
            OrderColumn("price", OutColumn("Price", "credits", 9, "money"), (Sort.PRICE, Sort.PRICE_DOWN), "num"),
            OrderColumn("ordered", OutColumn("Ordered", "order_date", 20, "moment"), (Sort.NEWEST, Sort.OLDEST)),
            OrderColumn("updated", OutColumn("Updated", "updated_at", 20, "moment")),
        )
    }
)
USUAL: Mapping[OrderTable, tuple[str, ...]] = MappingProxyType(
    {
        OrderTable.HISTORY: (
            *("imei", "order", "status", "verdict", "model", "carrier", "simlock", "fmi", "blacklist", "serial"),
            *("service", "price", "ordered"),
        ),
        OrderTable.BATCH: ("imei", "verdict", "model", "carrier", "simlock", "fmi", "blacklist", "status"),
    }
)
#: The sorts that go from the first word, number or day to the last.
ASCENDING = frozenset(sort for sort in Sort if not sort.is_down) - {Sort.NEWEST, Sort.BEST}


def shown_columns(which: OrderTable) -> tuple[OrderColumn, ...]:
    """Return the columns that the person of this request has chosen for a list."""
    chosen = preference(backend().database, current_actor().name, preference_of(which)) or USUAL[which]
    return (IMEI, *(COLUMNS[name] for name in chosen if name in COLUMNS and name != IMEI.name))


def exported_columns(which: OrderTable) -> tuple[OutColumn, ...]:
    """Return the columns of a file that has what the list shows."""
    return tuple(column.export for column in shown_columns(which))


def headings(
    columns: Sequence[OrderColumn], sort: Sort, sorts: Collection[Sort], address: Callable[[Sort], str]
) -> list[Heading]:
    """Return the headings of a list that is in one order and could be in these."""
    found = []
    for column in columns:
        following = [other for other in column.sorts if other in sorts and other != sort]
        direction = ("ascending" if sort in ASCENDING else "descending") if sort in column.sorts else ""
        url = address(following[0]) if following else ""
        found.append(Heading(column, direction, url))
    return found


def all_columns(shown: Sequence[OrderColumn]) -> list[OrderColumn]:
    """Return every column: those that are shown, in their order, then the others."""
    return [*shown, *(column for column in COLUMNS.values() if column not in shown)]


def plain_headings(columns: Sequence[OrderColumn]) -> list[Heading]:
    """Return the headings of a list that is in one order only."""
    return [Heading(column, "", "") for column in columns]


def cells(orders: Iterable[Order], columns: Sequence[OrderColumn]) -> Iterator[tuple[Order, list[Cell]]]:
    """Yield each order with its cells.

    They are put together here: a template looks up each attribute of each column for each of some hundred cells, and
    escapes it each time.
    """
    is_card = sum(column.is_brief for column in columns) > 3
    known = [
        (column.name, *_tag(column, is_card), column.export.kind == "moment", column.export.key) for column in columns
    ]
    for order in orders:
        yield (
            order,
            [
                Cell(name, tag, is_clipped, is_moment, getattr(order, key) or "")
                for name, tag, is_clipped, is_moment, key in known
            ],
        )


def _tag(column: OrderColumn, is_card: bool) -> tuple[Markup, bool]:
    """Return the beginning of the elements of a column, and whether their values are clipped.

    is_card: a row is a card of brief cells on a small screen.
    """
    roomy = "roomy" if is_card and not column.is_brief else ""
    classes = " ".join(filter(None, (column.kind, roomy)))
    name = Markup('<td data-part="{}"').format(column.name)
    return name + Markup(' class="{}"').format(classes) if classes else name, "clip" in classes.split()


def preference_of(which: OrderTable) -> str:
    """Return the name of the preference that holds the columns of a list."""
    return f"columns of {which}"
