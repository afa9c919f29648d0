"""The simulated provider without its socket: the ledger of charges, and the XML that answers each action.

One lock makes each answer a single step, so what the ledger says is the truth about who paid for what. This
module must not know HTTP or how an answer is spoiled on its way.
"""

import dataclasses
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from simulator_knobs import Fault, Knobs, changed
from simulator_texts import Package, catalogue, is_rejected, rejection_text, result_text

FIRST_ORDER_ID = 15_000_000
#: The balance that accountinfo starts from while no credit is set, in US dollars.
OPENING_BALANCE = 100_000.0
#: The provider writes its local time without saying so.
PROVIDER_ZONE = timedelta(hours=-5)
STATUSES = {1: "Pending", 2: "Completed", 3: "Rejected", 4: "In Process"}
IDLE_ACTIONS = {
    "fileservices": "<Packages></Packages>",
    "serverservices": "<Packages></Packages>",
    "getproviders": "<Providers></Providers>",
    "getmobiles": "<Mobiles></Mobiles>",
    "getservices": "<Services></Services>",
    "getservicedtls": "<Services></Services>",
    "placefileorder": "<error>Invalid value of Network Id!</error>",
    "placeserverorder": "<error>Invalid value of Network Id!</error>",
    "getfileorder": "<error>Invalid Order ID</error>",
    "getserverorder": "<error>Invalid Order ID</error>",
}


class Charge(NamedTuple):
    """One line of the ledger: one IMEI was placed and paid. A tuple, as a hundred are made in a call."""

    order_id: int
    imei: str
    service_id: str
    credits: float  #: US dollars
    call: int  #: the number of the placeorder call, from 1 since the start of the provider that took it
    time: float  #: seconds since 1970


@dataclass(frozen=True, slots=True)
class SimulatedOrder:
    """An order as it stands now, worked out from its charge and the clock."""

    order_id: int
    imei: str
    service_id: str
    status_id: int  #: a key of STATUSES
    code: str
    requested_at: str
    replied_at: str

    @property
    def status(self) -> str:
        return STATUSES[self.status_id]


class Ledger:
    """The append-only list of charges, in memory and, if a path is given, as JSON lines on disk.

    The file has one writer: a second raises BlockingIOError.
    """

    def __init__(self, path: Path | None) -> None:
        self.charges: list[Charge] = []
        self.places: dict[int, int] = {}  #: order id -> position
        self.latest: dict[tuple[str, str], int] = {}  #: (IMEI, service id) -> position of the last charge
        self._file = -1 if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        if path is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(path)

    def _load(self, path: Path) -> None:
        """Take in what is there; a last line that a kill cut short is taken off the file."""
        whole = path.read_bytes()
        end = whole.rfind(b"\n") + 1
        os.ftruncate(self._file, end)
        self._remember([Charge(*json.loads(line)) for line in whole[:end].splitlines()])

    def append(self, charges: Sequence[Charge]) -> None:
        """Write the charges of one call with one write, then remember them. Raises OSError, keeping none."""
        if charges and self._file >= 0:
            lines = "".join(
                f'[{order_id},"{imei}","{service_id}",{credits},{call},{time!r}]\n'
                for order_id, imei, service_id, credits, call, time in charges
            ).encode()
            before = os.fstat(self._file).st_size
            if os.write(self._file, lines) != len(lines):
                os.ftruncate(self._file, before)
                raise OSError("the ledger's disk is full")
        self._remember(charges)

    def _remember(self, charges: Sequence[Charge]) -> None:
        for place, charge in enumerate(charges, len(self.charges)):
            self.places[charge.order_id] = place
            self.latest[charge.imei, charge.service_id] = place
        self.charges.extend(charges)

    def next_id(self) -> int:
        return self.charges[-1].order_id + 1 if self.charges else FIRST_ORDER_ID

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass
class _Placement:
    """What one placeorder call has done so far."""

    charges: list[Charge] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    error: str = ""  #: ends the call; what was charged before stays charged


class Provider:
    """Answers actions with XML and charges for orders. Safe to call from several threads."""

    def __init__(self, knobs: Knobs, ledger: Ledger, clock: Callable[[], float], seed: int) -> None:
        self.ledger = ledger
        self.packages = {package.package_id: package for package in catalogue()}
        self.knobs = knobs  #: as they were set; what is left of credit is in current()
        self._clock, self._seed = clock, seed
        self._credit = knobs.credit
        self._spent = round(sum(charge.credits for charge in ledger.charges), 2)
        self._finished_before = 0.0
        self._faults = 0
        self._window = (-1, 0)
        self._lock = threading.RLock()

    def current(self) -> Knobs:
        """The knobs as they stand, credit being what is left."""
        with self._lock:
            return dataclasses.replace(self.knobs, credit=self._credit)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change these knobs from the next decision on, all or none. Raises TypeError, ValueError."""
        with self._lock:
            self.knobs = changed(self.knobs, changes)
            if "credit" in changes:
                self._credit = self.knobs.credit
            if "fault" in changes:
                self._faults = 0

    def complete(self) -> None:
        """Give every order placed until now its result."""
        self._finished_before = self._clock()

    def chance(self, number: int, what: str) -> float:
        """A number from 0 to 1 that depends on the seed, the call and what it is for."""
        digest = blake2b(f"{self._seed}/{number}/{what}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) / 2**32

    def limited(self, action: str) -> float:
        """Count one call against the rate limit: 0 lets it pass, else the seconds left of the window."""
        with self._lock:
            knobs, now = self.knobs, self._clock()
            if not knobs.rate_limit or action not in knobs.rate_actions:
                return 0.0
            window = int(now // knobs.rate_window)
            count = self._window[1] if self._window[0] == window else 0
            if count >= knobs.rate_limit:
                return (window + 1) * knobs.rate_window - now
            self._window = (window, count + 1)
            return 0.0

    def fault_for(self, action: str, number: int) -> Fault:
        """What goes wrong with this call, "" for nothing; counts it."""
        with self._lock:
            knobs = self.knobs
            if not knobs.fault or action not in knobs.fault_actions:
                return ""
            if (knobs.fault_limit and self._faults >= knobs.fault_limit) or not self._strikes(number):
                return ""
            self._faults += 1
            return knobs.fault

    def _strikes(self, number: int) -> bool:
        knobs = self.knobs
        if knobs.fault_calls:
            return number in knobs.fault_calls
        if knobs.fault_every:
            return number % knobs.fault_every == 0
        return self.chance(number, "fault") < knobs.fault_share

    def answer(self, action: str, fields: Mapping[str, str], number: int) -> str:
        """The XML document, without prolog, that answers a call whose credentials are right."""
        with self._lock:
            if action == "placeorder":
                return self._place(fields, number)
            if action == "getimeis":
                return self._show(fields.get("orderIds", ""))
            if action == "imeiservices":
                return _services_xml(self.packages.values())
            if action == "accountinfo":
                return f"<Client><ClientCredits>$ {self.balance():.2f} USD</ClientCredits></Client>"
            return IDLE_ACTIONS.get(action, "<error>Invalid User!</error>")

    def balance(self) -> float:
        """US dollars that accountinfo shows."""
        return max(OPENING_BALANCE - self._spent, 0.0) if self._credit is None else self._credit

    def orders(self) -> list[SimulatedOrder]:
        """Every order as it stands now, oldest first."""
        with self._lock:
            now = self._clock()
            return [self._order(charge, now) for charge in self.ledger.charges]

    def _place(self, fields: Mapping[str, str], number: int) -> str:
        package = self.packages.get(fields.get("networkId", ""))
        if package is None:
            return "<error>Invalid value of Network Id!</error>"
        missing = [name for name in package.required if not fields.get(name, "").strip()]
        if missing:
            return f"<error>{missing[0]} is required!</error>"
        sent = [imei.strip() for imei in fields.get("imei", "").split(",") if imei.strip()] or [""]
        done = self._walk(self._read(sent), package, number)
        self.ledger.append(done.charges)
        cost = len(done.charges) * package.price
        self._spent = round(self._spent + cost, 2)
        self._credit = None if self._credit is None else round(self._credit - cost, 2)
        return self._placement_xml(done, len(sent))

    def _read(self, sent: list[str]) -> list[str]:
        """The part of a list that is taken notice of at all."""
        if self.knobs.comma_list == "last":
            return sent[-1:]
        return sent[: self.knobs.first_n] if self.knobs.comma_list == "first" else sent

    def _walk(self, imeis: list[str], package: Package, number: int) -> _Placement:
        """Go through the list in order, as the provider's own loop does."""
        done, taken, now, next_id = _Placement(), set[str](), self._clock(), self.ledger.next_id()
        one_error = len(imeis) == 1 or self.knobs.duplicate_style != "per_imei"
        affordable = len(imeis) if self._credit is None else int(round(self._credit * 100) // package.cents)
        for imei in imeis:
            objection = self._objection(imei, package, taken, now)
            if objection and one_error:
                done.error = objection
                break
            if objection:
                (done.invalid if objection.startswith("Invalid") else done.known).append(imei)
                continue
            if len(done.charges) >= affordable:
                done.error = "Credit has been finished!"
                break
            taken.add(imei)
            order_id = next_id + len(done.charges)
            done.charges.append(Charge(order_id, imei, package.package_id, package.price, number, now))
        if done.error and self.knobs.duplicate_style == "whole_call_clean" and "Credit" not in done.error:
            done.charges.clear()
        return done

    def _objection(self, imei: str, package: Package, taken: set[str], now: float) -> str:
        """The error text that speaks against this IMEI, "" if none does."""
        if len(imei) != 15 or not (imei.isascii() and imei.isdigit()):
            return f"Invalid IMEI: {imei}"
        if self.knobs.duplicates == "never":
            return ""
        if imei in taken:
            return "IMEI already exists!"
        place = self.ledger.latest.get((imei, package.package_id))
        if place is None:
            return ""
        settled = self.knobs.duplicates == "pending" and self._settled(self.ledger.charges[place], now)
        return "" if settled else "IMEI already exists!"

    def _placement_xml(self, done: _Placement, sent: int) -> str:
        named = done.charges
        if self.knobs.comma_list == "charge_all_report_last" and sent > 1:
            named = named[-1:]
        if done.error:
            return f"<error>{escape(done.error)}</error>"
        if done.known and not done.charges and not done.invalid and self.knobs.all_known == "error":
            return "<error>IMEI already exists!</error>"
        orders = "".join(
            f"<imeis><id>{charge.order_id}</id><imei>{charge.imei}</imei><status>Pending</status></imeis>"
            for charge in named
        )
        known = f"<imeiduplicates><imei>{','.join(done.known)}</imei></imeiduplicates>" if done.known else ""
        invalid = "".join(
            f"<imeierrors><imei>{escape(imei)}</imei><error>Invalid IMEI: {escape(imei)}</error></imeierrors>"
            for imei in done.invalid
        )
        return f"<result>{orders}{known}{invalid}</result>"

    def _show(self, order_ids: str) -> str:
        """The answer to getimeis, for a comma list of ids or for all recent orders."""
        now = self._clock()
        wanted = [text.strip() for text in order_ids.split(",") if text.strip()]
        if wanted in ([], ["0"]):
            return self._recent(now)
        places = [self.ledger.places.get(int(text)) if text.isdecimal() else None for text in wanted]
        if places == [None]:
            return "<error>Invalid Order ID</error>"
        found = [self.ledger.charges[place] for place in places if place is not None]
        return f"<result>{''.join(self._order_xml(charge, now) for charge in found)}</result>"

    def _recent(self, now: float) -> str:
        knobs = self.knobs
        if knobs.listing == "off":
            return "<error>Invalid Order ID</error>"
        until = now - knobs.listing_lag if knobs.listing == "lagging" else now
        seen = [charge for charge in reversed(self.ledger.charges) if charge.time <= until]
        if knobs.listing == "empty":
            seen = []
        shown = seen[: knobs.listing_limit or None]
        room = knobs.listing_limit - len(shown) if knobs.listing_limit else knobs.history
        older = range(0 if knobs.listing == "empty" else min(knobs.history, room))
        records = [self._order_xml(charge, now) for charge in shown] + [_older_xml(number, now) for number in older]
        return f"<result>{''.join(records)}</result>"

    def _replied(self, charge: Charge) -> float:
        """When this order has or will have its result, in seconds since 1970."""
        share = 0.6 + 0.4 * (charge.order_id * 7919 % 1000) / 1000
        by_itself = charge.time + self.knobs.turnaround * share
        if charge.time > self._finished_before:
            return by_itself
        return min(by_itself, self._finished_before)

    def _settled(self, charge: Charge, now: float) -> bool:
        return self._replied(charge) <= now

    def _order(self, charge: Charge, now: float) -> SimulatedOrder:
        package, replied = self.packages[charge.service_id], self._replied(charge)
        status, code = 2, ""
        if replied > now:
            status = 1 if now - charge.time < (replied - charge.time) / 2 else 4
        elif is_rejected(package, charge.imei, self.knobs.rejection_share):
            status, code = 3, rejection_text(package, charge.imei)
        else:
            code = result_text(package, charge.imei)
        return SimulatedOrder(
            charge.order_id,
            charge.imei,
            charge.service_id,
            status,
            code,
            _local_text(charge.time),
            _local_text(replied) if replied <= now else "",
        )

    def _order_xml(self, charge: Charge, now: float) -> str:
        order = self._order(charge, now)
        package = order.service_id
        if self.knobs.package_as == "title":
            package = escape(self.packages[order.service_id].title)
        return (
            f"<imeis><id>{order.order_id}</id><package>{package}</package><imei>{order.imei}</imei>"
            f"<statusId>{order.status_id}</statusId><status>{order.status}</status>"
            f"<code>{escape(order.code)}</code><requestedat>{order.requested_at}</requestedat>"
            f"<repliedat>{order.replied_at}</repliedat></imeis>"
        )


def _older_xml(number: int, now: float) -> str:
    """An order of another program on the same account, a month old."""
    requested = _local_text(now - 30 * 86_400 - number)
    return (
        f"<imeis><id>{9_000_000 - number}</id><package>Old check</package><imei>{359_999_000_000_000 + number}</imei>"
        f"<statusId>2</statusId><status>Completed</status><code></code><requestedat>{requested}</requestedat></imeis>"
    )


def _local_text(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC) + PROVIDER_ZONE:%Y-%m-%d %H:%M:%S}"


def _services_xml(packages: Iterable[Package]) -> str:
    return f"<Packages>{''.join(_package_xml(package) for package in packages)}</Packages>"


def _package_xml(package: Package) -> str:
    required = "".join(
        f"<CustomField><FieldName>{escape(name)}</FieldName><Mandatory>Yes</Mandatory></CustomField>"
        for name in package.required
    )
    fields = f"<CustomFields>{required}</CustomFields>" if required else ""
    return (
        f"<Package><CategoryId>{package.category_id}</CategoryId><Category>{escape(package.category)}</Category>"
        f"<PackageId>{package.package_id}</PackageId><PackageTitle>{escape(package.title)}</PackageTitle>"
        f"<PackagePrice>{package.price:.2f}</PackagePrice><TimeTaken>{package.delivery}</TimeTaken>"
        f"<MustRead>{escape(package.must_read)}</MustRead>{fields}</Package>"
    )
