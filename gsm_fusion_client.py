"""The provider's XML API: one method for each action. What each failure means is in provider/failures.py.

A call that costs money is one POST, never repeated here; a read is repeated where that may help. This module must not
know the database, batches or pages.
"""

import http.client
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Protocol, Self, TypeVar
from urllib.parse import urlsplit

from logs import Redactor
from orders import Account, IMEIOrder, PlacementAnswer, ServiceInfo
from provider import (
    MAX_BODY,
    BrokenCallError,
    GSMFusionAPIError,
    MaintenanceError,
    NotConnectedError,
    NotSentError,
    OutcomeUnknownError,
    Patience,
    PostSession,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    Reply,
    SilentError,
    SlowProviderError,
    TooLargeError,
    UnreadableAnswerError,
    parse_account,
    parse_asked_orders,
    parse_placement,
    parse_recent_orders,
    parse_services,
)
from settings import DEFAULT_BASE_URL, Access, SettingsError, load_access

__all__ = [
    "ClientOptions",
    "GSMFusionAPIError",
    "GSMFusionClient",
    "IMEIOrder",
    "Keep",
    "MaintenanceError",
    "NotSentError",
    "OutcomeUnknownError",
    "RateLimitedError",
    "RefusalKind",
    "RefusedError",
    "Report",
    "ServiceInfo",
    "SlowProviderError",
    "UnreadableAnswerError",
]

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Keep = Callable[[bytes], None]
#: Gets the action of each call, its seconds, and how it failed.
Report = Callable[[str, float, GSMFusionAPIError | None], None]

API_PATH = "/gsmfusion_api/index.php"
LONGEST_WAIT = 60.0  #: seconds a Retry-After is obeyed
RESERVED_FIELDS = frozenset({"apikey", "userid", "action", "imei", "networkid"})
#: Bytes of the list of recent orders: some 200,000 orders with results, where a provider lists all that it ever had.
MAX_LIST = 128 * 1024 * 1024
#: Seconds that the list of recent orders may take in all, and the longest silence before and within it. Such a list of
#: 20,000 orders has 10 MB; it costs nothing, and without it no doubt is settled.
LONGEST_LIST, LONGEST_SILENCE = 3600.0, 600.0
LOGGED = 2000  #: characters of an answer in the log


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Return the seconds, 0 to LONGEST_WAIT, that a Retry-After header (seconds or an HTTP date) asks to wait.

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
    """Return the seconds before a read is repeated: 1, 2, 4 after attempt 1, 2, 3.

    jitter (0 to 1) adds up to a quarter. Never less than retry_after, never more than LONGEST_WAIT.
    """
    backoff = 2.0 ** (attempt - 1) * (1 + jitter / 4)
    return min(max(backoff, retry_after or 0.0), LONGEST_WAIT)


def may_repeat_read(error: GSMFusionAPIError) -> bool:
    """Return whether repeating a call that places nothing may help."""
    if isinstance(error, MaintenanceError | UnreadableAnswerError | SlowProviderError):
        return False
    if isinstance(error, OutcomeUnknownError):
        return error.status is None or error.status >= 500
    return isinstance(error, NotSentError)


class ReadTurns(Protocol):
    """Decides when a call that places nothing may start."""

    @property
    def is_closed(self) -> bool: ...

    def before_read(self) -> None: ...
    def read_limited(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client reaches the provider, and who takes part in its calls."""

    base_url: str = DEFAULT_BASE_URL
    pool_size: int = 30  #: connections that are kept open
    connect_timeout: float = 10.0  #: seconds; a part of the timeout of a call
    ca_file: str | None = None  #: replaces the usual certificate authorities
    sleep: Callable[[float], None] = time.sleep
    turns: ReadTurns | None = None  #: waits before each read; None: reads start at once
    report: Report | None = None  #: called after each call; must not wait


class GSMFusionClient:
    """The provider's API for one account, for any number of threads; a context manager that closes itself.

    What is not given comes from the environment: GSM_FUSION_API_KEY, GSM_FUSION_USERNAME, GSM_FUSION_TIMEOUT and,
    without options, GSM_FUSION_BASE_URL. timeout is the seconds that one call may take in all. A read is repeated up
    to max_retries times, each time with the full timeout; a paid call is never repeated.
    Raises SettingsError without credentials, and ValueError for an address that would carry the key unencrypted.
    """

    def __init__(
        self,
        api_key: str | None = None,
        username: str | None = None,
        timeout: float | None = None,
        max_retries: int = 3,
        options: ClientOptions | None = None,
    ) -> None:
        access = load_access() if None in (api_key, username, timeout, options) else Access()
        key, user = (api_key or access.api_key).strip(), (username or access.username).strip()
        if not (key and user):
            raise SettingsError("GSM_FUSION_API_KEY and GSM_FUSION_USERNAME are missing: set both in the environment.")
        self._options = options or ClientOptions(access.base_url)
        self._credentials = {"apiKey": key, "userId": user}
        self._secrets = Redactor([key], [user])
        self._max_retries = max_retries
        self._timeout = access.call_timeout if timeout is None else timeout
        self._silence = self._timeout  #: seconds without a byte that end the reading of a list
        self._session = PostSession(
            _checked_base(self._options.base_url) + API_PATH,
            self._timeout,
            self._options.connect_timeout,
            self._options.pool_size,
            self._options.ca_file,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def get_imei_services(self) -> list[ServiceInfo]:
        """Return the services that an IMEI can be ordered from. Raises GSMFusionAPIError."""
        return self._read("imeiservices", parse_services)

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Keep | None = None, **optional_fields: str
    ) -> PlacementAnswer:
        """Order one service (network_id) for one or many IMEIs, in one POST that is never repeated.

        keep is called with the whole body of an HTTP 200 answer before it is parsed; what it raises goes
        through. optional_fields are the manual's, or a service's own. Raises NotSentError, RefusedError or
        OutcomeUnknownError; ValueError, before anything is sent, for no IMEI or a reserved field.
        """
        reserved = RESERVED_FIELDS.intersection(name.lower() for name in optional_fields)
        if reserved:
            raise ValueError(f"Not an optional field: {', '.join(sorted(reserved))}.")
        fields = {**optional_fields, "imei": _comma_list(imei), "networkId": network_id}
        with self._reported("placeorder"):
            raw = self._post("placeorder", fields)
            if keep:
                keep(raw)
            return parse_placement(raw)

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        """Return the orders of these ids (a comma list or a sequence) that the provider knows.

        nothing_else: an answer that names other orders too is unreadable. Raises GSMFusionAPIError (RefusedError of
        kind ORDER_ID for an id that it refuses), ValueError for no id.
        """
        comma_list = _comma_list(order_ids)
        asked = comma_list.split(",")
        return self._read("getimeis", lambda raw: parse_asked_orders(raw, asked, nothing_else), orderIds=comma_list)

    def list_recent_orders(self) -> list[IMEIOrder]:
        """Return the recent orders; how many and how far back is the provider's choice. Raises GSMFusionAPIError.

        An order whose id cannot be read has an empty one. The timeout of a call is not that of a list: it is read as
        long as more of it comes. Where nothing comes for the timeout, SlowProviderError is raised, and the next list
        may be silent for twice as long.
        """
        started = time.monotonic()
        patience = Patience(self._silence, LONGEST_LIST, self._is_wanted)
        try:
            orders = self._read("getimeis", parse_recent_orders, MAX_LIST, patience)
        except SlowProviderError:
            self._silence = max(self._silence, min(2 * patience.silence, LONGEST_SILENCE))
            raise
        self._silence = max(self._timeout, min(self._silence, 2 * (time.monotonic() - started)))
        return orders

    def _is_wanted(self) -> bool:
        return self._options.turns is None or not self._options.turns.is_closed

    def get_account(self) -> Account:
        """Return the account's credits. Raises GSMFusionAPIError."""
        return self._read("accountinfo", parse_account)

    def _read(
        self,
        action: str,
        parse: Callable[[bytes], Answer],
        max_body: int = MAX_BODY,
        patience: Patience | None = None,
        **fields: str,
    ) -> Answer:
        """Make a call that places nothing, and repeat it where that may help."""
        turns, attempt = self._options.turns, 1
        while True:
            if turns:
                turns.before_read()
            try:
                with self._reported(action):
                    return parse(self._post(action, fields, max_body, patience))
            except GSMFusionAPIError as error:
                delay = read_delay(attempt, error.retry_after, secrets.randbelow(1000) / 1000)
                if turns and isinstance(error, RateLimitedError):
                    turns.read_limited(delay)
                if attempt > self._max_retries or not may_repeat_read(error):
                    raise
                log.warning("%s failed, will be repeated in %.1f s: %s", action, delay, error)
            self._options.sleep(delay)
            attempt += 1

    @contextmanager
    def _reported(self, action: str) -> Iterator[None]:
        """Report the call that is made inside, and hide the secrets in its error."""
        started, report = time.monotonic(), self._options.report or (lambda *_: None)
        try:
            yield
        except GSMFusionAPIError as error:
            error.hide(self._secrets)
            report(action, time.monotonic() - started, error)
            raise
        report(action, time.monotonic() - started, None)

    def _post(
        self, action: str, fields: Mapping[str, str], max_body: int = MAX_BODY, patience: Patience | None = None
    ) -> bytes:
        """Return the whole HTTP 200 body of one POST. Raises NotSentError or OutcomeUnknownError."""
        form = {**fields, **self._credentials, "action": action}
        try:
            reply = self._session.post(form, max_body, patience)
        except NotConnectedError as error:
            raise NotSentError(f"The provider cannot be reached: {error}") from error
        except TooLargeError as error:
            raise OutcomeUnknownError(f"The outcome is unknown: {error}.", status=http.client.OK) from error
        except SilentError as error:
            raise SlowProviderError(f"The provider is too slow: {error}.") from error
        except BrokenCallError as error:
            raise OutcomeUnknownError(f"The outcome is unknown: {error}.") from error
        if log.isEnabledFor(logging.DEBUG):
            text = self._secrets.clean(reply.body.decode("utf-8", "replace"))
            log.debug("%s: HTTP %d, %d bytes: %.*s", action, reply.status, len(reply.body), LOGGED, text)
        return self._secrets.clean_answer(_body_of(reply))


def _body_of(reply: Reply) -> bytes:
    """Return the body of HTTP 200, the only status with which the API answers; others raise GSMFusionAPIError."""
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
    host = parts.hostname or ""
    if (parts.scheme == "https" and host) or (parts.scheme == "http" and _is_loopback(host)):
        return base_url.rstrip("/")
    raise ValueError("The provider's address must begin with https://, or the key would travel in the open.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
