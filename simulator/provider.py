"""The simulated provider without its socket: what it places and charges, and the XML that answers each action.

One lock makes each answer a single step. This module must not know HTTP or how an answer is spoiled on its way.
"""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any
from xml.sax.saxutils import escape

from simulator.credit import CreditAccount
from simulator.knobs import Fault, Knobs, changed
from simulator.ledger import Charge, Ledger
from simulator.limits import Limiter, limiter
from simulator.lists import OrderView, services_xml
from simulator.texts import Package, catalogue

logger = logging.getLogger(__name__)

#: The actions that the rate limit counts.
LIMITED_ACTIONS = ("placeorder", "imeiservices")
INVALID_USER = "<error>Invalid User!</error>"
#: Gets the XML that answers a placeorder call; empty if the ledger could not be written.
Receiver = Callable[[str], None]


@dataclass
class _Work:
    """One placeorder call: what is to be done, and what was done so far."""

    package: Package
    number: int  #: of the call
    sent: int  #: IMEIs in the list
    imeis: list[str]  #: those that are read at all
    place: int = 0  #: of the next IMEI to place
    charges: list[Charge] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    error: str = ""  #: ends the call; what was charged before stays charged
    begun: bool = False
    answer: str | None = None  #: the XML, when all is done
    receivers: list[Receiver] = field(default_factory=list)  #: those that wait for the answer

    def finish(self, answer: str) -> None:
        """Keep the answer and hand it to everyone who waits for it."""
        self.answer = answer
        receivers, self.receivers = self.receivers, []
        for receive in receivers:
            receive(answer)


def discard(xml: str) -> None:
    """Discard an answer that no client waits for."""


class Provider:
    """Answers actions with XML and charges for orders. Safe to call from several threads.

    clock returns seconds since 1970; later(seconds, step) calls step after these seconds.
    """

    def __init__(
        self,
        knobs: Knobs,
        ledger: Ledger,
        clock: Callable[[], float],
        seed: int,
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.ledger = ledger
        self.packages = {package.package_id: package for package in catalogue()}
        self.knobs = knobs  #: as they were set; what is left of credit is in current()
        self._clock, self._seed, self._later = clock, seed, later
        self._account = CreditAccount(ledger.charges, knobs.credit)
        self._finished_before = 0.0
        self._faults = 0
        self._copies: dict[str, tuple[float, str]] = {}  #: what -> when it was written, and the answer
        self._limiter: Limiter | None = None  #: created again when its knobs change
        self._keys: dict[str, _Work] = {}  #: orderId -> the work that it came with
        self._lock = threading.RLock()
        if knobs.credit is not None:  # what is left now: earlier rejections are in it
            self._account.watch(self._view())

    def current(self) -> Knobs:
        """Return the knobs; credit is what is left now."""
        with self._lock:
            self._refund()
            return dataclasses.replace(self.knobs, credit=self._account.credit)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change these knobs from the next decision on, all or none. Raises TypeError, ValueError."""
        with self._lock:
            knobs = changed(self.knobs, changes)
            self._refund()
            if knobs.refund_rejected and not self.knobs.refund_rejected:
                self._account.watch(self._view())
            self.knobs = knobs
            if "credit" in changes:
                self._account.credit = self.knobs.credit
            if "fault" in changes:
                self._faults = 0
            if any(name.startswith("rate_") for name in changes):
                self._limiter = None
            # What a test sets takes effect at once, whatever copy of the answer there is.
            if any(name.startswith(("list", "balance", "credit")) for name in changes):
                self._copies.clear()

    def complete(self) -> None:
        """Give every order placed until now its result."""
        self._finished_before = self._clock()

    def chance(self, number: int, what: str) -> float:
        """Return a number from 0 to 1 that depends on the seed, the call and what it is for."""
        digest = blake2b(f"{self._seed}/{number}/{what}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) / 2**32

    def limited(self, action: str) -> float:
        """Count one call against the rate limit. Return 0 if it may pass, else the seconds to wait."""
        with self._lock:
            knobs, now = self.knobs, self._clock()
            if not knobs.rate_limit or action not in LIMITED_ACTIONS:
                return 0.0
            if self._limiter is None:
                self._limiter = limiter(knobs.rate_limiter, knobs.rate_limit, knobs.rate_window, knobs.rate_burst)
            return self._limiter.wait(now)

    def fault_for(self, action: str, number: int) -> Fault:
        """Return and count what goes wrong with this call, "" for nothing."""
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

    def answer(self, action: str, fields: Mapping[str, str]) -> str:
        """Return the XML document, without prolog, that answers any call but placeorder, for which there is begin()."""
        with self._lock:
            if action == "getimeis":
                return self._show(fields.get("orderIds", ""))
            if action == "imeiservices":
                return services_xml(self.knobs.price_factor)
            if action == "accountinfo" and self.knobs.accountinfo == "on":
                xml = "<Client><ClientCredits>$ {:.2f} USD</ClientCredits></Client>"
                return self._copied("balance", self.knobs.balance_cache, lambda: xml.format(self.balance()))
            return INVALID_USER

    def _copied(self, what: str, seconds: float, write: Callable[[], str]) -> str:
        """Return a stored answer that is younger than these seconds, else a new answer."""
        if not seconds:
            return write()
        written, xml = self._copies.get(what, (float("-inf"), ""))
        if self._clock() - written >= seconds:
            written, xml = self._copies[what] = (self._clock(), write())
        return xml

    def balance(self) -> float:
        """Return the US dollars left: the opening balance or credit, less charges, plus refunds."""
        with self._lock:
            self._refund()
            return self._account.balance()

    def _refund(self) -> None:
        """Give back the price of the orders that were rejected since the last time."""
        if self.knobs.refund_rejected:
            self._account.refund(self._view())

    def _is_late(self, charge: Charge) -> bool:
        """Return whether the listing shows this order late."""
        knobs = self.knobs
        if self.ledger.places[charge.order_id] in knobs.late_orders:
            return True
        return bool(knobs.late_share) and self.chance(charge.order_id, "late") < knobs.late_share

    def _view(self) -> OrderView:
        return OrderView(self.packages, self.knobs, self._finished_before, self._clock())

    def begin(self, fields: Mapping[str, str], number: int, receive: Receiver = discard, after: float = 0.0) -> None:
        """Place a placeorder call, IMEI by IMEI if seconds_per_imei says so, and hand its XML to receive.

        The work begins `after` seconds from now. Raises OSError if the ledger cannot be written at once.
        """
        if after > 0:
            self._later(after, partial(self.begin, fields, number, receive))
            return
        with self._lock:
            share = self.knobs.repeat_share
            if share and self.chance(number, "repeat") < share:  # a proxy sends it twice
                self._start(fields, number, lambda _: self._start(fields, number, receive))
            else:
                self._start(fields, number, receive)

    def _start(self, fields: Mapping[str, str], number: int, receive: Receiver) -> None:
        """Begin with the work of a call, or wait for that of the call before with the same key."""
        work = self._open(fields, number)
        if isinstance(work, str):
            receive(work)
        elif work.answer is not None:
            receive(work.answer)
        else:
            work.receivers.append(receive)
            if not work.begun:
                self._work_off(work)

    def _work_off(self, work: _Work) -> None:
        """Place the IMEIs of a call, one by one or all at once."""
        work.begun, seconds = True, self.knobs.seconds_per_imei
        if seconds and not self._stops_at_once(work):
            self._later(seconds, partial(self._place_next, work, seconds))
        else:
            self._finish(work)

    def _open(self, fields: Mapping[str, str], number: int) -> _Work | str:
        """Return the work of a placeorder call, or the XML that refuses all of it."""
        package = self.packages.get(fields.get("networkId", ""))
        if package is None:
            return "<error>Invalid value of Network Id!</error>"
        missing = [name for name in package.required if not fields.get(name, "").strip()]
        if missing:
            return f"<error>{missing[0]} is required!</error>"
        sent = [imei.strip() for imei in fields.get("imei", "").split(",") if imei.strip()] or [""]
        work = _Work(package, number, len(sent), self._read(sent))
        return self._keyed(fields.get("orderId", ""), work) if len(sent) == 1 else work

    def _keyed(self, key: str, work: _Work) -> _Work:
        """Return the work that came with this key before, if keys are honoured, else this work."""
        if not key or self.knobs.order_key == "ignored":
            return work
        known = self._keys.get(key)
        if known is not None and (known.answer is None or known.charges):
            return known
        self._keys[key] = work
        return work

    def _stops_at_once(self, work: _Work) -> bool:
        """Return whether the call is refused, or has nothing to place, before any IMEI is worked on."""
        if self.knobs.duplicate_style != "whole_call_clean":
            return not work.imeis
        trial = dataclasses.replace(work)
        return not self._walk(trial, work.imeis)

    def _finish(self, work: _Work) -> None:
        """Place what is left of the call, charge for it, and answer."""
        rest = work.imeis[work.place :]
        work.place = len(work.imeis)
        try:
            self._book(self._walk(work, rest), work.charges)
        except OSError:
            work.answer = ""  # a later call with the same key must not wait for this one
            raise
        work.finish(self._placement_xml(work))

    def _place_next(self, work: _Work, seconds: float) -> None:
        """Place one IMEI of a slow call; the next follows after seconds_per_imei, the answer after the last."""
        with self._lock:
            if work.answer is not None:
                return
            imei = work.imeis[work.place]
            work.place += 1
            try:
                self._book(self._walk(work, [imei]), work.charges)
            except OSError:
                logger.exception("The ledger could not be written")
                work.finish("")
                return
            if work.error or work.place == len(work.imeis):
                work.finish(self._placement_xml(work))
            else:
                self._later(seconds, partial(self._place_next, work, seconds))

    def order_elsewhere(self, imei: str, service_id: str) -> int:
        """Place and charge an order as another program on the same account does; return its id.

        No rule about duplicates or credit refuses it. Raises KeyError for an unknown service.
        """
        with self._lock:
            price = self.packages[service_id].cents_at(self.knobs.price_factor) / 100
            order_id = self.ledger.next_id(self.knobs.first_order_id)
            self._book([Charge(order_id, imei, service_id, price, 0, self._clock())])
            return order_id

    def _book(self, charges: list[Charge], done: list[Charge] | None = None) -> None:
        """Write these charges and take them off the balance. Raises OSError, changing nothing."""
        self.ledger.append(charges)
        if done is not None:
            done += charges
        self._account.pay(charges)

    def _read(self, sent: list[str]) -> list[str]:
        """Return the part of a list that is read at all."""
        if self.knobs.comma_list == "last":
            return sent[-1:]
        return sent[: self.knobs.first_n] if self.knobs.comma_list == "first" else sent

    def _walk(self, work: _Work, imeis: Sequence[str]) -> list[Charge]:
        """Go through these IMEIs of a call in order, as the provider's own loop does; return the new charges."""
        new, view, next_id = list[Charge](), self._view(), self.ledger.next_id(self.knobs.first_order_id)
        taken = {charge.imei for charge in work.charges}
        one_error = len(work.imeis) == 1 or self.knobs.duplicate_style != "per_imei"
        package, cents = work.package, work.package.cents_at(self.knobs.price_factor)
        self._refund()
        credit = self._account.credit
        left = None if credit is None else round(credit * 100)
        for imei in imeis:
            objection = self._objection(imei, package, taken, view)
            if objection and one_error:
                work.error = objection
                break
            if objection:
                (work.invalid if objection.startswith("Invalid") else work.known).append(imei)
                continue
            if left is not None and cents * (len(new) + 1) > left:
                work.error = "Credit has been finished!"
                break
            taken.add(imei)
            new.append(Charge(next_id + len(new), imei, package.package_id, cents / 100, work.number, view.now))
        if work.error and self.knobs.duplicate_style == "whole_call_clean" and "Credit" not in work.error:
            new.clear()
        return new

    def _objection(self, imei: str, package: Package, taken: set[str], view: OrderView) -> str:
        """Return the error text that refuses this IMEI, "" if it may be placed."""
        if len(imei) != 15 or not (imei.isascii() and imei.isdigit()):
            return f"Invalid IMEI: {imei}"
        if self.knobs.duplicates == "never":
            return ""
        if imei in taken:
            return "IMEI already exists!"
        place = self.ledger.latest.get((imei, package.package_id))
        if place is None:
            return ""
        settled = self.knobs.duplicates == "pending" and view.is_settled(self.ledger.charges[place])
        return "" if settled else "IMEI already exists!"

    def _placement_xml(self, work: _Work) -> str:
        named = work.charges
        if self.knobs.comma_list == "charge_all_report_last" and work.sent > 1:
            named = named[-1:]
        if work.error:
            return f"<error>{escape(work.error)}</error>"
        if work.known and not work.charges and not work.invalid and self.knobs.all_known == "error":
            return "<error>IMEI already exists!</error>"
        orders = "".join(
            f"<imeis><id>{charge.order_id}</id><imei>{charge.imei}</imei><status>Pending</status></imeis>"
            for charge in named
        )
        known = f"<imeiduplicates><imei>{','.join(work.known)}</imei></imeiduplicates>" if work.known else ""
        invalid = "".join(
            f"<imeierrors><imei>{escape(imei)}</imei><error>Invalid IMEI: {escape(imei)}</error></imeierrors>"
            for imei in work.invalid
        )
        return f"<result>{orders}{known}{invalid}</result>"

    def _show(self, order_ids: str) -> str:
        """Return the answer to getimeis, for a comma list of ids or for all recent orders."""
        view = self._view()
        wanted = [text.strip() for text in order_ids.split(",") if text.strip()]
        if wanted in ([], ["0"]):
            return self._copied(
                "list", self.knobs.list_cache, lambda: view.recent_xml(self.ledger.charges, self._is_late)
            )
        places = [self.ledger.places.get(int(text)) if text.isdecimal() else None for text in wanted]
        if places == [None]:
            return "<error>Invalid Order ID</error>"
        return view.orders_xml(self.ledger.charges[place] for place in places if place is not None)
