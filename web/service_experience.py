"""What our own orders say about services, in the words, orders and drawings of pages. No routes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from amounts import money
from orders import ServiceInfo
from storage.service_figure_store import PriceSince, ServiceFigures
from web.format import duration, percent

#: Orders with a result that a service needs at least for a hint in the picker.
LEAST = 5
#: The drawing of prices, in SVG units.
WIDTH, HEIGHT, EDGE = 560, 120, 6

#: ?sort= → words of the choice, and the figure by which services are sorted; without it, the provider's order.
SORTS: Mapping[str, tuple[str, Callable[[ServiceInfo, ServiceFigures | None], float | None]]] = {
    "price": ("Price", lambda service, _: service.price),
    "median": ("Fastest", lambda _, found: found.median if found else None),
    "rejected": ("Fewest rejected", lambda _, found: found.rejection_rate if found else None),
    "cost": ("Cost per result", lambda _, found: found.cost if found else None),
    "orders": ("Most used", lambda _, found: -found.finished if found else None),
}


@dataclass(frozen=True, slots=True)
class PriceLine:
    """The prices of a service as a line of steps."""

    points: str  #: of an SVG polyline
    low: float  #: US dollars
    high: float  #: US dollars
    width: int = WIDTH
    height: int = HEIGHT


def hint(found: ServiceFigures | None) -> str:
    """Return "median 2 h · 3 % rejected", or "" where too few orders say it."""
    if found is None or found.finished < LEAST:
        return ""
    took = [f"median {duration(found.median)}"] if found.median is not None else []
    return " · ".join([*took, f"{percent(found.rejected, found.finished)} rejected"])


def sorted_services(
    services: Sequence[ServiceInfo], figures: Mapping[str, ServiceFigures], sort: str
) -> list[ServiceInfo]:
    """Return the services in the order of a key of SORTS; those without the figure come last."""
    if sort not in SORTS:
        return list(services)
    value_of = SORTS[sort][1]

    def key(service: ServiceInfo) -> tuple[bool, float]:
        value = value_of(service, figures.get(service.package_id))
        return value is None, value or 0.0

    return sorted(services, key=key)


def price_line(prices: Sequence[PriceSince], now: float) -> PriceLine | None:
    """Return the line from the first price until now (Unix time); None without prices."""
    if not prices:
        return None
    first, low, high = prices[0].since, min(one.price for one in prices), max(one.price for one in prices)
    ends = [*(one.since for one in prices[1:]), max(now, prices[-1].since)]
    corners = [(at, one.price) for one, end in zip(prices, ends, strict=True) for at in (one.since, end)]
    length = max(ends[-1] - first, 1.0)

    def point(at: float, price: float) -> str:
        x = EDGE + (WIDTH - 2 * EDGE) * (at - first) / length
        share = (price - low) / (high - low) if high > low else 0.5
        return f"{x:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share:.1f}"

    return PriceLine(" ".join(point(*corner) for corner in corners), low, high)


def price_words(line: PriceLine) -> str:
    """Return the drawing in words."""
    if line.low == line.high:
        return f"The price has been {money(line.low)} since it is known."
    return f"Prices from {money(line.low)} to {money(line.high)}."
