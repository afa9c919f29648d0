"""The provider's XML API, and what each failure of a call means.

Every error answers one question first: may it have been charged? NotSentError says no, RefusedError says what
the provider said, OutcomeUnknownError says maybe. A call that costs money is one POST, never repeated here.
This module must not know the database, batches or pages.
"""

import base64
import http.client
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from ipaddress import ip_address
from textwrap import shorten
from typing import NamedTuple, Protocol, Self, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from orders import Account, IMEIOrder, PlacementAnswer, ServiceInfo
from provider import (
    LIST_PART,
    MAX_BODY,
    BrokenCallError,
    NotConnectedError,
    PostSession,
    Record,
    Reply,
    TooLargeError,
    UnreadableError,
    error_texts,
    hides_ids,
    is_answer,
    list_parts,
    read_account,
    read_opaque_list,
    read_orders,
    read_placement,
    read_plain_placement,
    read_records,
    read_root,
    read_services,
    texts_name_orders,
)

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Keep = Callable[[bytes], None]

API_PATH = "/gsmfusion_api/index.php"
LONGEST_WAIT = 60.0  #: seconds a Retry-After is obeyed
SHOWN_WORDS = 300  #: characters of the provider's words that an error carries
RESERVED_FIELDS = frozenset({"apikey", "userid", "action", "imei", "networkid"})


class RefusalKind(StrEnum):
    """Why the provider said no."""

    CREDENTIALS = "credentials"  #: key, user or address; every call would be refused
    CREDIT = "credit"  #: no money; earlier IMEIs of the same call may have been placed
    SERVICE = "service"  #: no such service
    INVALID_IMEI = "invalid_imei"  #: one IMEI is not accepted
    DUPLICATE = "duplicate"  #: already known; for a call of many it is not said which
    ORDER_ID = "order_id"  #: getimeis does not know an order
    UNKNOWN = "unknown"  #: words that nobody has seen yet, or several reasons at once: stop and ask


#: The provider's words, lower case, matched as a part of the text.
REFUSALS = (
    ("invalid user", RefusalKind.CREDENTIALS),
    ("invalid api key", RefusalKind.CREDENTIALS),
    ("api access to you is not allowed", RefusalKind.CREDENTIALS),
    ("this user is not active", RefusalKind.CREDENTIALS),
    ("invalid ip request", RefusalKind.CREDENTIALS),
    ("credit has been finished", RefusalKind.CREDIT),
    ("credits have been finished", RefusalKind.CREDIT),
    ("invalid value of network id", RefusalKind.SERVICE),
    ("invalid imei", RefusalKind.INVALID_IMEI),
    ("imei already exists", RefusalKind.DUPLICATE),
    ("invalid order id", RefusalKind.ORDER_ID),
    ("no imei found", RefusalKind.ORDER_ID),
)
UNREADABLE = "The provider's answer cannot be read: {}."
#: A refusal that says no more than that a list is empty.
NOTHING_FOUND = "no imei found"
MAINTENANCE = "website is in maintenance"
#: Orders in a list at most; their number is bounded as well as their bytes.
MAX_LISTED = 500_000
#: Bytes of the list of recent orders at most: some 200,000 of a provider that lists all there ever was, with results.
MAX_LIST = 128 * 1024 * 1024


class GSMFusionAPIError(Exception):
    """A call did not bring what it was made for; str() never holds the key and is safe to show (escaped)."""

    def __init__(
        self, message: str, *, raw: str = "", retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.raw = raw  #: the provider's words, if any
        self.retry_after = retry_after  #: seconds the provider asks to wait, at most LONGEST_WAIT
        self.status = status  #: the HTTP status where it is the reason

    def hide(self, secret: str) -> None:
        """Take a secret that the provider echoed out of the message and the words."""
        if secret:
            self.raw = self.raw.replace(secret, "[hidden]")
            self.args = tuple(str(arg).replace(secret, "[hidden]") for arg in self.args)


class NotSentError(GSMFusionAPIError):
    """It is certain that nothing was placed: the call may be made again."""


class MaintenanceError(NotSentError):
    """The provider is down for maintenance and placed nothing: wait, then call again."""


class RateLimitedError(NotSentError):
    """The provider turned the call away (HTTP 429): wait, then call again."""


class RefusedError(GSMFusionAPIError):
    """The provider said no to the whole call; kind says why."""

    def __init__(self, kind: RefusalKind, raw: str) -> None:
        super().__init__(f"The provider refused: {raw}", raw=raw)
        self.kind = kind


class OutcomeUnknownError(GSMFusionAPIError):
    """The call was sent and no readable answer came: what it asked for may have been placed and charged."""


class UnreadableAnswerError(OutcomeUnknownError):
    """The answer to a question for some orders came and cannot be read: ask for fewer of them."""


def refusal_kind(words: str) -> RefusalKind:
    """Why the provider says no in these words; UNKNOWN for new words and for several reasons at once."""
    text = " ".join(words.lower().split())
    kinds = {kind for part, kind in REFUSALS if part in text}
    return kinds.pop() if len(kinds) == 1 else RefusalKind.UNKNOWN


def parse_placement(raw: bytes) -> PlacementAnswer:
    """What the whole body of an answer to placeorder names; see read_placement.

    Raises RefusedError or MaintenanceError where the whole answer is an <error>, OutcomeUnknownError where it
    cannot be read or names no IMEI.
    """
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


def parse_orders(raw: bytes) -> list[IMEIOrder]:
    """The orders of a getimeis answer; an empty list where it lists none. Raises GSMFusionAPIError."""
    try:
        return parse_recent_orders(raw)
    except RefusedError as error:
        if NOTHING_FOUND in error.raw.lower():
            return []
        raise


def parse_recent_orders(raw: bytes) -> list[IMEIOrder]:
    """Return the orders of an answer that lists all recent ones. Raises GSMFusionAPIError.

    "No IMEI Found" is a refusal here: it does not prove that there are no orders.
    """
    try:
        return _listed(raw).orders
    except UnreadableAnswerError as error:
        raise OutcomeUnknownError(str(error)) from error


def parse_asked_orders(raw: bytes, asked: Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
    """The orders of an answer to a question for these ids, each named once. Raises GSMFusionAPIError.

    An id that the answer names in two ways is left out, for a result text may have forged one of them. Where texts hide
    ids, or are not XML and an id was not asked for or comes twice, the answer is unreadable; with nothing_else also
    wherever an id was not asked for.
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
    """A list, and how far its result texts can be told from the list."""

    orders: list[IMEIOrder]
    opaque: bool  #: a text was not XML and is taken as plain text
    hides_ids: bool  #: elements within a text are named as those of an order


def _listed(raw: bytes) -> _Listing:
    orders: list[IMEIOrder] = []
    opaque = hides_ids = False
    for part in list_parts(raw):
        root, is_opaque = _list_root(part)
        opaque, hides_ids = opaque or is_opaque, hides_ids or texts_name_orders(root)
        found = read_orders(root)
        orders += found
        if len(orders) > MAX_LISTED:
            raise UnreadableAnswerError(f"The provider's answer lists more than {MAX_LISTED} orders.")
        if not found and len(part) > LIST_PART:
            raise UnreadableAnswerError(UNREADABLE.format("it is long and names no orders"))
    if not orders:
        _raise_refusal(root)
    named = {order.imei for order in orders if order.id}
    return _Listing([order for order in orders if order.id or order.imei not in named], opaque, hides_ids)


def _list_root(part: bytes) -> tuple[Element, bool]:
    try:
        return read_root(part), False
    except UnreadableError as error:
        try:
            return read_opaque_list(part), True
        except UnreadableError:
            unreadable = UnreadableAnswerError if is_answer(part) else OutcomeUnknownError
            raise unreadable(UNREADABLE.format(error)) from error


def parse_services(raw: bytes) -> list[ServiceInfo]:
    """The services of a list, never an empty list. Raises GSMFusionAPIError."""
    root = _root(raw)
    services = read_services(root)
    if not services:
        _raise_refusal(root)
        raise OutcomeUnknownError("The provider's answer lists no service.")
    return services


def parse_account(raw: bytes) -> Account:
    """What accountinfo says. Raises GSMFusionAPIError."""
    root = _root(raw)
    account = read_account(root)
    if account is None:
        _raise_refusal(root)
        raise OutcomeUnknownError("The provider's answer names no credits.")
    return account


def parse_records(raw: bytes) -> list[Record]:
    """The plain fields of an answer whose shape is not proven. Raises GSMFusionAPIError."""
    root = _root(raw)
    _raise_refusal(root)
    return read_records(root)


def parse_paid_records(raw: bytes) -> list[Record]:
    """The same for an order: without an order id it is open what was placed. Raises GSMFusionAPIError."""
    records = parse_records(raw)
    if not any(record.fields.get("id", "").strip("0") for record in records):
        raise OutcomeUnknownError("The provider's answer names no order.")
    return records


def _root(raw: bytes) -> Element:
    try:
        return read_root(raw)
    except UnreadableError as error:
        raise OutcomeUnknownError(UNREADABLE.format(error)) from error


def _raise_refusal(root: Element) -> None:
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


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Seconds (0 to LONGEST_WAIT) that a Retry-After header, seconds or an HTTP date, asks to wait.

    None where it cannot be read; now needs a time zone.
    """
    text = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds.total_seconds(), 0.0), LONGEST_WAIT)


def read_delay(attempt: int, retry_after: float | None, jitter: float) -> float:
    """Seconds before a read is repeated: 1, 2, 4 after attempt 1, 2, 3, plus up to a quarter by jitter (0-1).

    Never less than retry_after, never more than LONGEST_WAIT.
    """
    backoff = 2.0 ** (attempt - 1) * (1 + jitter / 4)
    return min(max(backoff, retry_after or 0.0), LONGEST_WAIT)


def may_repeat_read(error: GSMFusionAPIError) -> bool:
    """Whether a call that places nothing may bring more the next time."""
    if isinstance(error, MaintenanceError | UnreadableAnswerError):
        return False
    if isinstance(error, OutcomeUnknownError):
        return error.status is None or error.status >= 500
    return isinstance(error, NotSentError)


#: Told of each call: its action, its seconds, and how it failed.
Report = Callable[[str, float, GSMFusionAPIError | None], None]


class ReadTurns(Protocol):
    """Who says when a call that places nothing may start."""

    def before_read(self) -> None: ...
    def read_limited(self, seconds: float) -> None: ...


class GSMFusionClient:
    """The provider's API for one account, for any number of threads; a context manager that closes itself.

    timeout is the total of one call in seconds, connect_timeout a part of it; a read that is repeated
    (max_retries times) has it anew each time. ca_file replaces the usual certificate authorities; turns says when a
    read may start; report is told how each call went, and must not wait.
    Raises ValueError for a base_url that would carry the key in the open.
    """

    def __init__(
        self,
        api_key: str,
        username: str,
        base_url: str = "https://hammerfusion.com",
        timeout: float = 120.0,
        max_retries: int = 3,
        pool_size: int = 30,
        connect_timeout: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        ca_file: str | None = None,
        turns: ReadTurns | None = None,
        report: Report | None = None,
    ) -> None:
        url = _checked_base(base_url) + API_PATH
        self._credentials = {"apiKey": api_key, "userId": username}
        self._max_retries = max_retries
        self._sleep = sleep
        self._turns = turns
        self._report = report
        self._session = PostSession(url, timeout, connect_timeout, pool_size, ca_file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def get_imei_services(self) -> list[ServiceInfo]:
        """The services that an IMEI can be ordered from. Raises GSMFusionAPIError."""
        return self._read("imeiservices", parse_services)

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Keep | None = None, **optional_fields: str
    ) -> PlacementAnswer:
        """Order one service (network_id) for one or many IMEIs in one POST, which is never repeated in here.

        keep is called with the whole body of an HTTP 200 answer before it is parsed; what it raises goes
        through. optional_fields are the manual's, or a service's own. Raises NotSentError, RefusedError or
        OutcomeUnknownError; ValueError, before anything is sent, for no IMEI or a reserved field.
        """
        reserved = RESERVED_FIELDS.intersection(name.lower() for name in optional_fields)
        if reserved:
            raise ValueError(f"Not an optional field: {', '.join(sorted(reserved))}.")
        fields = {**optional_fields, "imei": _comma_list(imei), "networkId": network_id}
        return self._place("placeorder", parse_placement, fields, keep)

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        """The orders of these ids that the provider knows; one that it leaves out is unchanged.

        nothing_else: an answer that names another order, too, is unreadable. Raises GSMFusionAPIError (RefusedError of
        kind ORDER_ID for an id it refuses), ValueError for no id.
        """
        comma_list = _comma_list(order_ids)
        asked = comma_list.split(",")
        return self._read("getimeis", lambda raw: parse_asked_orders(raw, asked, nothing_else), orderIds=comma_list)

    def list_recent_orders(self) -> list[IMEIOrder]:
        """The recent orders, as many and as far back as the provider chooses. Raises GSMFusionAPIError.

        An order whose id cannot be read has an empty one.
        """
        return self._read("getimeis", parse_recent_orders, max_body=MAX_LIST)

    def get_account(self) -> Account:
        """The account's credits. Raises GSMFusionAPIError."""
        return self._read("accountinfo", parse_account)

    def get_file_services(self) -> list[ServiceInfo]:
        """The services that a file can be ordered from. Raises GSMFusionAPIError."""
        return self._read("fileservices", parse_services)

    def get_server_services(self) -> list[ServiceInfo]:
        """The services of the server kind. Raises GSMFusionAPIError."""
        return self._read("serverservices", parse_services)

    def place_file_order(
        self, network_id: str, file_name: str, content: bytes, *, keep: Keep | None = None
    ) -> list[Record]:
        """Order a file service, as place_imei_order orders an IMEI. Raises GSMFusionAPIError."""
        data = base64.b64encode(content).decode("ascii")
        fields = {"networkId": network_id, "fileName": file_name, "fileData": data}
        return self._place("placefileorder", parse_paid_records, fields, keep)

    def get_file_order(self, order_id: str) -> list[Record]:
        """One file order. Raises GSMFusionAPIError."""
        return self._read("getfileorder", parse_records, orderId=order_id)

    def place_server_order(self, service_id: str, *, keep: Keep | None = None, **fields: str) -> list[Record]:
        """Order a server service, as place_imei_order orders an IMEI. Raises GSMFusionAPIError."""
        return self._place("placeserverorder", parse_paid_records, {**fields, "serviceId": service_id}, keep)

    def get_server_order(self, order_id: str) -> list[Record]:
        """One server order. Raises GSMFusionAPIError."""
        return self._read("getserverorder", parse_records, orderId=order_id)

    def get_providers(self) -> list[Record]:
        """Countries and their networks. Raises GSMFusionAPIError."""
        return self._read("getproviders", parse_records)

    def get_mobiles(self) -> list[Record]:
        """Brands and their models. Raises GSMFusionAPIError."""
        return self._read("getmobiles", parse_records)

    def get_services(self) -> list[Record]:
        """The kinds of optional fields that get_service_details explains. Raises GSMFusionAPIError."""
        return self._read("getservices", parse_records)

    def get_service_details(self, st: str) -> list[Record]:
        """The values of one kind of optional field. Raises GSMFusionAPIError."""
        return self._read("getservicedtls", parse_records, st=st)

    def _place(
        self, action: str, parse: Callable[[bytes], Answer], fields: Mapping[str, str], keep: Keep | None
    ) -> Answer:
        started = time.monotonic()
        try:
            raw = self._post(action, fields)
            if keep:
                keep(raw)
            answer = parse(raw)
        except GSMFusionAPIError as error:
            self._failed(action, started, error)
            raise
        self._told(action, started, None)
        return answer

    def _read(self, action: str, parse: Callable[[bytes], Answer], max_body: int = MAX_BODY, **fields: str) -> Answer:
        attempt = 1
        while True:
            if self._turns:
                self._turns.before_read()
            started = time.monotonic()
            try:
                answer = parse(self._post(action, fields, max_body))
            except GSMFusionAPIError as error:
                self._failed(action, started, error)
                delay = read_delay(attempt, error.retry_after, secrets.randbelow(1000) / 1000)
                if self._turns and isinstance(error, RateLimitedError):
                    self._turns.read_limited(delay)
                if attempt > self._max_retries or not may_repeat_read(error):
                    raise
                log.warning("%s failed, will be repeated in %.1f s: %s", action, delay, error)
            else:
                self._told(action, started, None)
                return answer
            self._sleep(delay)
            attempt += 1

    def _failed(self, action: str, started: float, error: GSMFusionAPIError) -> None:
        error.hide(self._credentials["apiKey"])
        self._told(action, started, error)

    def _told(self, action: str, started: float, error: GSMFusionAPIError | None) -> None:
        if self._report:
            self._report(action, time.monotonic() - started, error)

    def _post(self, action: str, fields: Mapping[str, str], max_body: int = MAX_BODY) -> bytes:
        """The whole HTTP 200 body of one POST. Raises NotSentError or OutcomeUnknownError."""
        form = {**fields, **self._credentials, "action": action}
        try:
            reply = self._session.post(form, max_body)
        except NotConnectedError as error:
            raise NotSentError(f"The provider cannot be reached: {error}") from error
        except TooLargeError as error:
            raise OutcomeUnknownError(f"The outcome is unknown: {error}.", status=http.client.OK) from error
        except BrokenCallError as error:
            raise OutcomeUnknownError(f"The outcome is unknown: {error}.") from error
        return _answered(reply)


def _answered(reply: Reply) -> bytes:
    """The body of HTTP 200, the one status under which the provider answers; others raise GSMFusionAPIError."""
    status = reply.status
    if status == http.client.OK:
        return reply.body
    wait = parse_retry_after(reply.retry_after, datetime.now(UTC))
    if status == http.client.TOO_MANY_REQUESTS:
        message = "The provider asks for fewer calls (HTTP 429)."
        raise RateLimitedError(message, retry_after=wait, status=status)
    meaning = "redirected the call" if 300 <= status < 400 else "did not answer the call"
    raise OutcomeUnknownError(f"The provider {meaning} (HTTP {status}).", retry_after=wait, status=status)


def _comma_list(values: str | Sequence[str]) -> str:
    parts = [part.strip() for part in ([values] if isinstance(values, str) else values)]
    if not parts or not all(parts):
        raise ValueError("An empty list, or an empty entry in it, cannot be sent.")
    return ",".join(parts)


def _checked_base(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme == "https" and parts.hostname:
        return base_url.rstrip("/")
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return base_url.rstrip("/")
    raise ValueError("The provider's address must begin with https://, or the key would travel in the open.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
