"""Whole answers: the body of an HTTP 200 answer becomes the nouns of orders.py, or a GSMFusionAPIError.

This module must not know HTTP. Every function raises RefusedError or MaintenanceError where the whole answer is an
<error>, and OutcomeUnknownError where the body cannot be read.
"""

from collections import Counter
from collections.abc import Sequence
from textwrap import shorten
from typing import NamedTuple
from xml.etree.ElementTree import Element

from orders import Account, IMEIOrder, PlacementAnswer, ServiceInfo
from provider.body import LIST_PART, UnreadableError, hides_ids, is_answer, list_parts, read_opaque_list, read_root
from provider.failures import (
    MaintenanceError,
    OutcomeUnknownError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
    refusal_kind,
)
from provider.xml import (
    error_texts,
    read_account,
    read_named_imeis,
    read_orders,
    read_placement,
    read_plain_placement,
    read_services,
    texts_name_orders,
)

UNREADABLE = "The provider's answer cannot be read: {}."
MAINTENANCE = "website is in maintenance"
SHOWN_WORDS = 300  #: characters of the provider's words that an error carries
MAX_LISTED = 500_000  #: orders in one list


def parse_placement(raw: bytes) -> PlacementAnswer:
    """Return what an answer to placeorder names. Raises OutcomeUnknownError where it names no IMEI."""
    plain = read_plain_placement(raw)
    if plain is not None:
        return plain
    root = _root(raw)
    answer = read_placement(root)
    if not answer.orders and not answer.duplicates and root.find(".//imei") is None:
        _raise_refusal(root)
    if not (answer.orders or answer.duplicates or answer.errors):
        raise OutcomeUnknownError("The provider's answer names no IMEI.")
    return answer


def parse_recent_orders(raw: bytes) -> list[IMEIOrder]:
    """Return the orders of an answer that lists all recent ones.

    "No IMEI Found" raises RefusedError: it does not prove that there are no orders.
    """
    try:
        return _listed(raw).orders
    except UnreadableAnswerError as error:
        raise OutcomeUnknownError(str(error)) from error


def parse_asked_orders(raw: bytes, asked: Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
    """Return the orders of an answer to a question for these ids, each id once.

    An id that the answer names with two different orders is left out, because a result text may have forged one of
    them. Raises UnreadableAnswerError where texts hide ids; where a text is not XML and an id comes twice or was not
    asked for; and, with nothing_else, wherever an id was not asked for.
    """
    listing = _listed(raw)
    named = [order for order in listing.orders if order.id]
    different = Counter(order.id for order in set(named))
    is_forged = listing.opaque and (different.keys() - set(asked) or len(named) > len(different))
    is_forged = is_forged or (nothing_else and different.keys() - set(asked))
    if is_forged or listing.hides_ids or hides_ids(raw):
        raise UnreadableAnswerError(UNREADABLE.format("a result text may have named orders in it"))
    known = {order_id for order_id in asked if different[order_id] == 1}
    return [order for order in dict.fromkeys(named) if order.id in known]


class _Listing(NamedTuple):
    """A list, and how clearly its result texts are separated from its records."""

    orders: list[IMEIOrder]
    opaque: bool  #: a text was not XML and is taken as plain text
    hides_ids: bool  #: elements within a text have the names of an order's elements


def _listed(raw: bytes) -> _Listing:
    orders: list[IMEIOrder] = []
    named = set[str]()
    opaque = hides_ids = False
    for part in list_parts(raw):
        root, is_opaque = _list_root(part)
        opaque, hides_ids = opaque or is_opaque, hides_ids or texts_name_orders(root)
        found, here = read_orders(root), read_named_imeis(root)
        orders += found
        named |= here
        if len(orders) > MAX_LISTED:
            raise UnreadableAnswerError(f"The provider's answer lists more than {MAX_LISTED} orders.")
        if not found and not here and len(part) > LIST_PART:
            raise UnreadableAnswerError(UNREADABLE.format("it is long and names no orders"))
    unread = sorted(named - {order.imei for order in orders})
    orders += [IMEIOrder("", imei, "") for imei in unread]
    if not orders:
        _raise_refusal(root)
    return _Listing(orders, opaque, hides_ids)


def _list_root(part: bytes) -> tuple[Element, bool]:
    """Return the root of a part of a list, and whether its texts had to be taken as plain text."""
    try:
        return read_root(part), False
    except UnreadableError as error:
        try:
            return read_opaque_list(part), True
        except UnreadableError:
            unreadable = UnreadableAnswerError if is_answer(part) else OutcomeUnknownError
            raise unreadable(UNREADABLE.format(error)) from error


def parse_services(raw: bytes) -> list[ServiceInfo]:
    """Return the services of a list. Raises OutcomeUnknownError for an empty one."""
    root = _root(raw)
    services = read_services(root)
    if not services:
        _raise_refusal(root)
        raise OutcomeUnknownError("The provider's answer lists no service.")
    return services


def parse_account(raw: bytes) -> Account:
    """Return what accountinfo reports. Raises OutcomeUnknownError where it names no credits."""
    root = _root(raw)
    account = read_account(root)
    if account is None:
        _raise_refusal(root)
        raise OutcomeUnknownError("The provider's answer names no credits.")
    return account


def _root(raw: bytes) -> Element:
    try:
        return read_root(raw)
    except UnreadableError as error:
        raise OutcomeUnknownError(UNREADABLE.format(error)) from error


def _raise_refusal(root: Element) -> None:
    """Raise what the error texts of an answer mean; return where it has none."""
    texts = error_texts(root)
    if not texts:
        return
    # Cut between words only: half of an echoed key could not be recognised and hidden.
    words = shorten("; ".join(texts), SHOWN_WORDS, break_on_hyphens=False, placeholder=" …")
    kinds = {refusal_kind(text) for text in texts}
    kind = kinds.pop() if len(kinds) == 1 else RefusalKind.UNKNOWN
    if kind is RefusalKind.UNKNOWN and all(MAINTENANCE in text.lower() for text in texts):
        raise MaintenanceError(f"The provider is down: {words}", raw=words)
    raise RefusedError(kind, words)
