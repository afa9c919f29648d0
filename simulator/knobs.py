"""The settings (knobs) of the simulated provider, and the effect of each fault on an answer.

This module sends nothing: a reply names the manner in which it is to be sent.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from simulator.limits import LimiterKind, RetryAfterKind

FIRST_ORDER_ID = 15_000_000
PROLOG = '<?xml version="1.0" encoding="utf-8"?>'
#: The answer to a list of which nothing was placed and no IMEI is named.
NOBODY = "<result></result>"
XML, HTML = "application/xml", "text/html"
BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
GATEWAY_TIMEOUT_PAGE = "<html><head><title>524: A timeout occurred</title></head><body><h1>Error 524</h1></body></html>"
HTML_PAGE = "<!DOCTYPE html><html><body><h1>Just a moment...</h1><p>Checking your browser<br></body></html>"
PHP_NOTICE = "<br />\n<b>Notice</b>:  Undefined index: mep in <b>/api/index.php</b> on line <b>214</b><br />\n"
ERRORS = {
    "maintenance": "Website is in maintenance, please try again later",
    "auth": "Invalid User!",
    "withdrawn": "Invalid value of Network Id!",
}
ORDER = re.compile(r"<imeis><id>(\d+)</id><imei>(\d+)</imei>.*?</imeis>")
#: An IMEI and an order id of another customer.
FOREIGN_IMEI, FOREIGN_ID = "359999990000001", 14_999_999

Fault = Literal[
    "",  # none
    "503", "502", "429", "html200", "empty", "reset", "close", "hang", "late", "trickle", "trickle_head",
    "cut_body", "truncated", "phpxml", "bom", "blank", "notice", "bare_amp", "latin1", "doctype", "two_roots",
    "maintenance", "auth", "withdrawn", "fewer", "more", "foreign", "repeated", "repeated_ids",
]  # fmt: skip
Quirk = Literal["phpxml", "bom", "blank", "bare_amp", "notice"]
#: How an answer reaches the client: "hang" and "close" send nothing, "late" sends it after a silence.
Manner = Literal["whole", "hang", "late", "close", "reset", "trickle", "trickle_head", "cut", "slow"]


@dataclass(frozen=True)
class Knobs:
    """How the provider behaves; a wrong name raises TypeError, a wrong value ValueError."""

    first_order_id: int = FIRST_ORDER_ID  #: order ids grow from here
    latency: float = 0.0  #: seconds that a placeorder call takes
    jitter: float = 0.0  #: seconds, at most, on top of latency; by the seed and the call number
    read_latency: float = 0.0  #: seconds that any other action takes
    charge_when: Literal["arrival", "answer"] = "arrival"  #: before or after the latency has passed
    #: Seconds a placeorder call works on each IMEI: the first is placed and charged that long after arrival, the
    #: answer is sent after the last (and the latency). The work goes on when the client disconnects.
    seconds_per_imei: float = 0.0
    gateway_timeout: float = 0.0  #: seconds until a proxy answers a placeorder call with 524; 0 is never
    rate_limit: int = 0  #: calls a window, beyond which 429 is answered at once; 0 is no limit
    rate_window: float = 60.0  #: seconds
    #: How calls are counted: in windows that begin at whole multiples of their length; in any stretch as long as the
    #: window; by a bucket of rate_limit tokens, refilled evenly; by nginx's limit_req with burst=rate_burst nodelay.
    rate_limiter: LimiterKind = "fixed"
    rate_burst: int = 10  #: calls that the leaky bucket lets through beyond its rate
    retry_after: bool = True  #: whether a 429 says how many seconds to wait
    #: What it says, rounded up to whole seconds: the wait until a call may pass, half of it, or one second at most.
    retry_after_told: RetryAfterKind = "exact"
    duplicates: Literal["always", "pending", "never"] = "always"  #: when a known IMEI + service is refused
    #: What a list that holds a known or invalid IMEI gets: each such IMEI named in its own element; one error
    #: text after those before it were placed and charged; one error text and nothing placed.
    duplicate_style: Literal["per_imei", "whole_call", "whole_call_clean"] = "per_imei"
    #: Whether a call of one IMEI with a known form field orderId gets the first answer again and charges nothing;
    #: known is an orderId whose call is being worked on or has placed its order.
    order_key: Literal["ignored", "honoured"] = "ignored"
    #: 0 to 1 of the placeorder calls that a proxy sends to the provider twice, one after the other, by the seed and
    #: the call number; the client gets the second answer.
    repeat_share: float = 0.0
    #: What a list of nothing but known IMEIs gets under per_imei (the captured provider says one error text).
    all_known: Literal["error", "list"] = "error"
    comma_list: Literal["all", "last", "first", "charge_all_report_last"] = "all"  #: how a list is read
    first_n: int = 1  #: how many of a list are read when comma_list is "first"
    listing: Literal["on", "off", "empty", "lagging"] = "on"  #: getimeis without ids; "off" is an error text
    listing_lag: float = 60.0  #: seconds until an order shows in a lagging listing
    listing_limit: int = 0  #: orders on the listing, newest first; 0 is all of them
    #: What the listing leaves out: orders with a result; orders In Process; all but the newest listing_limit of each
    #: service; all but the listing_limit that were placed or replied last (shown in that order).
    listing_holes: Literal["", "open_only", "no_in_process", "newest_per_service", "newest_changed"] = ""
    list_rate: float = 0.0  #: bytes a second with which the listing is sent; 0 is all at once
    list_pause: float = 0.0  #: seconds of silence in the middle of a listing that is sent with a rate
    late_orders: tuple[int, ...] = ()  #: these orders (positions in the ledger, from 0) show late on the listing
    late_share: float = 0.0  #: 0 to 1 of the orders show late, by the seed and the order id
    late_seconds: float = 0.0  #: from placing an order that shows late until the listing has it
    list_cache: float = 0.0  #: seconds for which the listing is answered from a copy
    balance_cache: float = 0.0  #: seconds for which accountinfo is answered from a copy
    history: int = 0  #: orders at the old end of the listing that were made a month before, elsewhere
    history_same: int = 0  #: how many of the history are of service 269
    package_as: Literal["title", "id"] = "title"  #: what <package> holds in getimeis
    #: How getimeis writes an IMEI: as sent, "35 209900 123456 1", "35-209900-123456-1", "352099*****3456", as a number
    #: without its leading zero, or its first 14 digits.
    imei_style: Literal["plain", "blanks", "dashes", "masked", "no_leading_zero", "body"] = "plain"
    #: How getimeis writes times: "2026-11-28 15:33:00", "11/28/2026 3:33 PM", "28/11/2026 15:33", or not at all.
    date_style: Literal["iso", "us", "day_first", "none"] = "iso"
    credit: float | None = None  #: US dollars left now, falling with each charge; None: no limit
    accountinfo: Literal["on", "off"] = "on"  #: "off" answers as to an unknown action
    price_factor: float = 1.0  #: times the price of every service, on the list and in what is charged
    refund_rejected: bool = False  #: whether a rejected order's price is given back when it is replied
    turnaround: float = 0.0  #: seconds until the slowest result is there
    rejection_share: float = 0.0  #: 0 to 1 of the orders; a wrong check digit is always rejected
    fault: Fault = ""  #: what goes wrong
    #: Whether the call has placed and charged by then; "later" sends the fault at once and places create_after
    #: seconds later.
    fault_when: Literal["before", "after", "later"] = "before"
    create_after: float = 0.0  #: seconds from a fault "later" until the provider begins to place the orders
    fault_calls: tuple[int, ...] = ()  #: these calls of the action, counted from 1 since the start
    fault_every: int = 0  #: else every nth call; 0 is off
    fault_share: float = 1.0  #: else this share of calls, by the seed and the call number
    fault_limit: int = 0  #: most faults since fault was last set; 0 is no limit
    fault_actions: tuple[str, ...] = ("placeorder",)
    hang_seconds: float = 30.0  #: how long "hang" (then closes) and "late" (then answers) keep silent
    trickle_seconds: float = 1.0  #: between two bytes of a trickling answer
    quirks: tuple[Quirk, ...] = ()  #: harmless oddities of form, on every answer of every action

    def __post_init__(self) -> None:
        for name in _TUPLES:
            if not isinstance(getattr(self, name), tuple):
                raise ValueError(f"{name} is {getattr(self, name)!r}: it must be a list")
        for name, (words, several) in _CHOICES.items():
            value = getattr(self, name)
            if not set(value if several else (value,)) <= set(words):
                raise ValueError(f"{name} is {value!r}: it must be of {', '.join(map(repr, words))}")
        for name in _NUMBERS:
            value = getattr(self, name)
            if not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{name} is {value!r}: it must be a number from 0 up")


def _choices() -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return for each knob of fixed words its words, and whether it holds several of them."""
    found = {}
    for name, hint in get_type_hints(Knobs).items():
        inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if get_origin(inner) is Literal:
            found[name] = (get_args(inner), inner is not hint)
    return found


_CHOICES = _choices()
_TUPLES = tuple(name for name, hint in get_type_hints(Knobs).items() if get_origin(hint) is tuple)
_NUMBERS = tuple(name for name, hint in get_type_hints(Knobs).items() if hint in (int, float))


def changed(knobs: Knobs, changes: Mapping[str, Any]) -> Knobs:
    """Return the knobs with these changes; lists (as JSON has them) become tuples. Raises TypeError, ValueError."""
    fixed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    return dataclasses.replace(knobs, **fixed)


def knob_from_text(name: str, text: str) -> Any:
    """Return the value of a knob on a command line: words as they are, all else as JSON. Raises ValueError."""
    words, several = _CHOICES.get(name, ((), True))
    return text if words and not several else json.loads(text)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One HTTP answer, and how it is to be sent."""

    body: bytes
    status: int = 200
    content_type: str = XML
    manner: Manner = "whole"
    pause: float = 0.0  #: seconds of silence, or between two bytes, if the manner has any
    rate: float = 0.0  #: bytes a second, if the manner is "slow"
    retry_after: int | None = None  #: seconds


#: The answers to which the call contributes nothing.
FIXED_REPLIES = {
    "503": HttpReply(b"Service Unavailable", 503, "text/plain"),
    "502": HttpReply(BAD_GATEWAY.encode(), 502, HTML),
    "429": HttpReply(b"Too Many Requests", 429, "text/plain", retry_after=1),
    "html200": HttpReply(HTML_PAGE.encode(), 200, HTML),
    "empty": HttpReply(b""),
    "reset": HttpReply(b"", manner="reset"),
    "close": HttpReply(b"", manner="close"),
}
GATEWAY_TIMEOUT = HttpReply(GATEWAY_TIMEOUT_PAGE.encode(), 524, HTML)


def slow_reply(reply: HttpReply, knobs: Knobs) -> HttpReply:
    """Return the answer as a slow wire carries it, if there is one."""
    if not knobs.list_rate or reply.manner != "whole":
        return reply
    return dataclasses.replace(reply, manner="slow", pause=knobs.list_pause, rate=knobs.list_rate)


def plain_reply(xml: str, quirks: tuple[Quirk, ...] = ()) -> HttpReply:
    """Return the answer without a fault, with these oddities of form."""
    document = PROLOG + xml
    for quirk in quirks:
        document = _odd(quirk, document)
    return HttpReply(document.encode())


def spoiled_reply(fault: Fault, xml: str, knobs: Knobs) -> HttpReply:
    """Return the answer with the fault; xml is the answer without it."""
    if fault in FIXED_REPLIES:
        return FIXED_REPLIES[fault]
    if fault in ERRORS:
        return plain_reply(f"<error>{ERRORS[fault]}</error>", knobs.quirks)
    whole = plain_reply(xml, knobs.quirks)
    match fault:
        case "hang" | "late":
            return dataclasses.replace(whole, manner=fault, pause=knobs.hang_seconds)
        case "trickle" | "trickle_head":
            return dataclasses.replace(whole, manner=fault, pause=knobs.trickle_seconds)
        case "cut_body":
            return dataclasses.replace(whole, manner="cut")
        case "latin1":
            noted = _with_note(f'<?phpxml version="1.0"?>{xml}', "M\xe9xico")
            return HttpReply(noted.encode("latin-1", "replace"))
        case "phpxml" | "bom" | "blank" | "notice" | "bare_amp":
            return plain_reply(xml, (*knobs.quirks, fault))
    return plain_reply(_misquoted(fault, xml), knobs.quirks)


def _odd(quirk: Quirk, document: str) -> str:
    match quirk:
        case "phpxml":
            return document.replace("<?xml", "<?phpxml", 1)
        case "bom":
            return "\ufeff" + document
        case "blank":
            return "\n " + document
        case "notice":
            return PHP_NOTICE + document
        case "bare_amp":
            return _with_note(document, "AT&amp;T").replace("&amp;", "&")


def _with_note(document: str, text: str) -> str:
    """Return the document with one more element before the end of its root."""
    end = document.rindex("</")
    return f"{document[:end]}<note>{text}</note>{document[end:]}"


def _misquoted(fault: Fault, xml: str) -> str:
    """Return a document that is cut, doubled, or names other orders than were placed."""
    match fault:
        case "truncated":
            return xml[: max(len(xml) * 2 // 3, 9)]
        case "doctype":
            return f'<!DOCTYPE result [<!ENTITY a "aaaaaaaa">]>{xml}'
        case "two_roots":
            return xml + xml
    orders = [found.group() for found in ORDER.finditer(xml)]
    if not orders:
        return xml
    return xml.replace("".join(orders), "".join(_misquoted_orders(fault, orders)), 1)


def _misquoted_orders(fault: Fault, orders: list[str]) -> list[str]:
    foreign = f"<imeis><id>{FOREIGN_ID}</id><imei>{FOREIGN_IMEI}</imei><status>Pending</status></imeis>"
    match fault:
        case "fewer":
            return orders[: len(orders) // 2]
        case "more":
            return [*orders, foreign]
        case "foreign":
            return [*orders[:-1], foreign]
        case "repeated":
            return [*orders, orders[0]]
        case "repeated_ids":
            first = ORDER.sub(r"<id>\1</id>", orders[0])
            return [re.sub(r"<id>\d+</id>", first, order) for order in orders]
    return orders
