"""The search over everything: one field in the navigation, and the page of what it finds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from database import IMEIDatabase
from orders import ServiceInfo
from people import Role
from storage import global_search
from storage.customer_store import customer_names
from storage.global_search import BatchLine
from storage.rows import Order
from storage.tag_store import tag_words
from web.access import allow
from web.batch_fields import LONGEST_NAME, one_line
from web.context import at_one_moment
from web.filter_chips import Chip, chips
from web.service_search import find_services

blueprint = Blueprint("search", __name__)

#: Lines of one group.
SHOWN = 8
#: Characters that the beginning of a number or of a serial number has at least.
SHORTEST = 3
#: Separators between the digits of an IMEI, as labels, mails and scanners write it.
BETWEEN_DIGITS = re.compile(r"[\s./\u2010-\u2015-]+")
WHOLE_IMEI = re.compile(r"[0-9]{15}")


@dataclass(frozen=True, slots=True)
class Matches:
    """What matches a text, in groups of at most SHOWN and one more, which says that there are more."""

    orders: Sequence[Order] = ()  #: by IMEI, IMEI 2 or order id
    serials: Sequence[Order] = ()  #: by serial number
    awaiting: Sequence[int] = ()  #: batches in which the IMEI has no order yet
    batches: Sequence[BatchLine] = ()
    customers: Sequence[str] = ()
    services: Sequence[ServiceInfo] = ()
    tags: Sequence[str] = ()
    filters: Sequence[Chip] = ()  #: saved ones that the person sees

    @property
    def only(self) -> str:
        """Return the address of the one thing that was found; "" where there are more, or none."""
        addresses = [
            *(url_for("orders.order", order_id=one.order_id) for one in (*self.orders, *self.serials) if one.order_id),
            *(url_for("batches.live", batch_id=batch_id) for batch_id in self.awaiting),
            *(url_for("batches.live", batch_id=one.batch_id) for one in self.batches),
            *(url_for("customers.show", name=name) for name in self.customers),
            *(url_for("overview.services", q=one.package_id) for one in self.services),
            *(url_for("orders.history", tag=word) for word in self.tags),
            *(one.url for one in self.filters),
        ]
        return addresses[0] if len(addresses) == 1 else ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not any(getattr(self, name) for name in self.__slots__)


@blueprint.get("/search")
@allow(Role.VIEWER)
@at_one_moment
def show() -> ResponseReturnValue:
    """Show what matches ?q=, in groups; redirect to it where it is one thing."""
    text = one_line(request.args.get("q", ""), LONGEST_NAME)
    found = _find(backend().database, text) if text else Matches()
    if found.only:
        return redirect(found.only)
    number = _number(text)
    whole = number if WHOLE_IMEI.fullmatch(number) else ""
    return render_template("search.html", q=text, number=number, imei=whole, found=found, shown=SHOWN)


def _find(database: IMEIDatabase, text: str) -> Matches:
    number, most = _number(text), SHOWN + 1
    if WHOLE_IMEI.fullmatch(number):
        orders = global_search.orders_beginning(database, number, most)
        return Matches(orders=orders, awaiting=global_search.batches_awaiting(database, number))
    named, wanted = text.removeprefix("#"), number or text
    is_batch, is_word = text != named, len(text) >= SHORTEST and " " not in text
    is_order = len(wanted) >= SHORTEST and bool(number or is_word) and not is_batch
    return Matches(
        orders=global_search.orders_beginning(database, wanted, most) if is_order else (),
        serials=global_search.orders_of_serial(database, text, most) if is_word and not is_batch else (),
        batches=global_search.find_batches(database, text, most),
        customers=() if is_batch else customer_names(database, text)[:most],
        services=() if is_batch else find_services(backend().catalog.stored().services, text)[:most],
        tags=tag_words(database, most, named) if named else (),
        filters=() if is_batch else [one for one in chips(database) if text.casefold() in one.name.casefold()][:most],
    )


def _number(text: str) -> str:
    """Return the digits of a text that has only digits and separators; else ""."""
    digits = BETWEEN_DIGITS.sub("", text)
    return digits if digits.isascii() and digits.isdecimal() else ""
