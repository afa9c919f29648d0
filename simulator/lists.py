"""The lists that the simulated provider answers with: its services, and its orders as they are at one moment.

This module decides and writes XML; it charges nothing, remembers nothing and must not know HTTP.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from xml.sax.saxutils import escape

from simulator.knobs import Knobs
from simulator.ledger import Charge
from simulator.texts import Package, catalogue, is_rejected, rejection_text, result_text

#: The provider writes its local time without saying so.
PROVIDER_ZONE = timedelta(hours=-5)
DATE_FORMATS = {
    "iso": "%Y-%m-%d %H:%M:%S",
    "us": "%m/%d/%Y {hour}:%M %p",
    "day_first": "%d/%m/%Y %H:%M",
    "none": "",
}
#: The newest order of the history, and its age in seconds.
HISTORY_ID, HISTORY_AGE = 9_000_000, 30 * 86_400
#: The service of the history orders that history_same counts.
HISTORY_SERVICE = "269"
STATUSES = {1: "Pending", 2: "Completed", 3: "Rejected", 4: "In Process"}
#: Results and moments whose text is kept: a list of recent orders shows the same ones each time.
KEPT = 32_768


@dataclass(frozen=True)
class OrderView:
    """The orders as they are at one moment, each worked out from its charge and the clock."""

    packages: Mapping[str, Package]  #: by service id
    knobs: Knobs
    finished_before: float  #: every order placed until this moment has its result; seconds since 1970
    now: float  #: seconds since 1970

    def replied(self, charge: Charge) -> float:
        """Return when this order has or will have its result, in seconds since 1970."""
        share = 0.6 + 0.4 * (charge.order_id * 7919 % 1000) / 1000
        by_itself = charge.time + self.knobs.turnaround * share
        if charge.time > self.finished_before:
            return by_itself
        return min(by_itself, self.finished_before)

    def is_settled(self, charge: Charge) -> bool:
        """Return whether the order has its result."""
        return self.replied(charge) <= self.now

    def is_rejected(self, charge: Charge) -> bool:
        """Return whether the result of the order is or will be a rejection."""
        return is_rejected(self.packages[charge.service_id], charge.imei, self.knobs.rejection_share)

    def _result(self, charge: Charge) -> tuple[int, str]:
        """Return the final status of an order, a key of STATUSES, and its text in XML; the history has no texts."""
        if charge.order_id <= HISTORY_ID:
            return 2, ""
        return _final(self.packages[charge.service_id], charge.imei, self.knobs.rejection_share)

    def orders_xml(self, charges: Iterable[Charge]) -> str:
        """Return the answer to getimeis that shows these orders."""
        return f"<result>{''.join(map(self._order_xml, charges))}</result>"

    def recent_xml(self, charges: Sequence[Charge], is_late: Callable[[Charge], bool]) -> str:
        """Return the answer to getimeis without ids; charges is the whole ledger, oldest first."""
        match self.knobs.listing:
            case "off":
                return "<error>Invalid Order ID</error>"
            case "empty":
                return self.orders_xml(())
            case "lagging":
                until = self.now - self.knobs.listing_lag
            case "on":
                until = self.now
        seen = [charge for charge in reversed(charges) if charge.time <= until]
        if self.knobs.late_seconds:
            shown_late = self.now - self.knobs.late_seconds
            seen = [charge for charge in seen if charge.time <= shown_late or not is_late(charge)]
        return self.orders_xml(self._listed([*seen, *self._history()]))

    def _history(self) -> list[Charge]:
        """Return the orders that another program made on the account a month before, newest first."""
        same = self.knobs.history_same
        return [
            Charge(
                HISTORY_ID - number,
                str(359_999_000_000_000 + number),
                HISTORY_SERVICE if number < same else "",
                0.0,
                0,
                self.now - HISTORY_AGE - number,
            )
            for number in range(self.knobs.history)
        ]

    def _listed(self, charges: list[Charge]) -> list[Charge]:
        """Return what the listing shows of these orders, which are the newest first."""
        limit = self.knobs.listing_limit or None
        match self.knobs.listing_holes:
            case "":
                return charges[:limit]
            case "open_only":
                return [charge for charge in charges if not self.is_settled(charge)][:limit]
            case "no_in_process":
                return [charge for charge in charges if self._status(charge) != 4][:limit]
            case "newest_changed":
                return sorted(charges, key=self._last_change, reverse=True)[:limit]
            case "newest_per_service":
                return _newest_per_service(charges, limit or len(charges))

    def _last_change(self, charge: Charge) -> tuple[float, int]:
        """Return when the order was placed or, if it has its result, replied; the newer id wins a tie."""
        return (self.replied(charge) if self.is_settled(charge) else charge.time, charge.order_id)

    def _status(self, charge: Charge) -> int:
        """Return a key of STATUSES: 2 for any order that has its result, be it rejected or not."""
        replied = self.replied(charge)
        if replied <= self.now:
            return 2
        return 1 if self.now - charge.time < (replied - charge.time) / 2 else 4

    def _order_xml(self, charge: Charge) -> str:
        status, code, replied_at = self._status(charge), "", ""
        if self.is_settled(charge):
            status, code = self._result(charge)
            replied_at = self._date_text(self.replied(charge))
        return (
            f"<imeis><id>{charge.order_id}</id><package>{self._package_text(charge)}</package>"
            f"<imei>{self._imei_text(charge.imei)}</imei>"
            f"<statusId>{status}</statusId><status>{STATUSES[status]}</status>"
            f"<code>{code}</code><requestedat>{self._date_text(charge.time)}</requestedat>"
            f"<repliedat>{replied_at}</repliedat></imeis>"
        )

    def _package_text(self, charge: Charge) -> str:
        if not charge.service_id:
            return "Old check"
        if self.knobs.package_as == "id":
            return charge.service_id
        return escape(self.packages[charge.service_id].title)

    def _imei_text(self, imei: str) -> str:
        """Return the IMEI as imei_style says."""
        match self.knobs.imei_style:
            case "plain":
                return imei
            case "blanks":
                return " ".join(_imei_parts(imei))
            case "dashes":
                return "-".join(_imei_parts(imei))
            case "masked":
                return f"{imei[:6]}*****{imei[-4:]}"
            case "no_leading_zero":
                return imei.lstrip("0")
            case "body":
                return imei[:14]

    def _date_text(self, moment: float) -> str:
        """Return a moment as date_style says."""
        return _written(round(moment * 1e6) // 10**6, DATE_FORMATS[self.knobs.date_style])


@lru_cache(KEPT)
def _final(package: Package, imei: str, rejection_share: float) -> tuple[int, str]:
    """Return the status of an order that has its result, a key of STATUSES, and the text of the result in XML."""
    if is_rejected(package, imei, rejection_share):
        return 3, escape(rejection_text(package, imei))
    return 2, escape(result_text(package, imei))


@lru_cache(KEPT)
def _written(second: int, style: str) -> str:
    """Return a second since 1970 in the provider's zone, as a format of strftime with an {hour} of the clock says."""
    local = datetime.fromtimestamp(second, UTC) + PROVIDER_ZONE
    return local.strftime(style.format(hour=local.hour % 12 or 12))


def _imei_parts(imei: str) -> tuple[str, str, str, str]:
    return imei[:2], imei[2:8], imei[8:14], imei[14:]


def _newest_per_service(charges: Iterable[Charge], limit: int) -> list[Charge]:
    """Return the first orders of each service, up to a limit for each."""
    counts, listed = Counter[str](), []
    for charge in charges:
        counts[charge.service_id] += 1
        if counts[charge.service_id] <= limit:
            listed.append(charge)
    return listed


@lru_cache(maxsize=8)
def services_xml(price_factor: float) -> str:
    """Return the answer to imeiservices, with every price multiplied by the factor."""
    return f"<Packages>{''.join(_package_xml(package, price_factor) for package in catalogue())}</Packages>"


def _package_xml(package: Package, price_factor: float) -> str:
    required = "".join(
        f"<CustomField><FieldName>{escape(name)}</FieldName><Mandatory>Yes</Mandatory></CustomField>"
        for name in package.required
    )
    fields = f"<CustomFields>{required}</CustomFields>" if required else ""
    return (
        f"<Package><CategoryId>{package.category_id}</CategoryId><Category>{escape(package.category)}</Category>"
        f"<PackageId>{package.package_id}</PackageId><PackageTitle>{escape(package.title)}</PackageTitle>"
        f"<PackagePrice>{package.cents_at(price_factor) / 100:.2f}</PackagePrice>"
        f"<TimeTaken>{package.delivery}</TimeTaken>"
        f"<MustRead>{escape(package.must_read)}</MustRead>{fields}</Package>"
    )
