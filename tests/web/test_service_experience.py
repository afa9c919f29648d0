"""What own orders say about services: in the order of a list, in the hint of a picker, and in the drawing of prices."""

from orders import ServiceInfo
from storage.service_figure_store import PriceSince, ServiceFigures
from web.service_experience import EDGE, HEIGHT, LEAST, SORTS, WIDTH, hint, price_line, price_words, sorted_services


def figures(service_id: str, completed: int, rejected: int, median: float | None) -> ServiceFigures:
    spent = (completed + rejected) * 0.1
    return ServiceFigures(service_id, 90, completed, rejected, spent, 0.0, 1, median, median, 0.0)


def test_a_hint_is_given_where_enough_orders_say_it() -> None:
    assert hint(figures("1", 4, 0, 60.0)) == hint(None) == ""
    assert hint(figures("1", 99, 0, None)) == "0 % rejected"
    assert hint(figures("1", LEAST - 1, 1, 60.0)) == "median 1 min · 20 % rejected"


def test_services_without_the_figure_come_last() -> None:
    services = [ServiceInfo(name, name, 1.0 + place, "") for place, name in enumerate("abc")]
    found = {"c": figures("c", 10, 5, 60.0), "b": figures("b", 10, 0, None)}
    in_order = {sort: [one.title for one in sorted_services(services, found, sort)] for sort in SORTS}
    assert in_order == {
        "price": ["a", "b", "c"],
        "median": ["c", "a", "b"],
        "rejected": ["b", "c", "a"],
        "cost": ["b", "c", "a"],
        "orders": ["c", "b", "a"],
    }
    assert sorted_services(services, found, "") == services


def test_prices_are_drawn_as_steps() -> None:
    assert price_line([], 9.0) is None
    line = price_line([PriceSince(0.0, 1.0), PriceSince(50.0, 2.0)], 100.0)
    assert line
    assert line.points == f"6.0,{HEIGHT - 6}.0 280.0,{HEIGHT - 6}.0 280.0,6.0 554.0,6.0"
    assert price_words(line) == "Prices from $1.00 to $2.00."
    flat = price_line([PriceSince(5.0, 1.0)], 5.0)
    assert flat
    assert price_words(flat) == "The price has been $1.00 since it is known."


def test_the_line_ends_at_its_newest_price_also_where_the_clock_was_behind() -> None:
    """And a price between two others is between them."""
    line = price_line([PriceSince(10.0, 1.0), PriceSince(20.0, 3.0), PriceSince(30.0, 2.0)], 5.0)
    assert line
    assert line.points.endswith(f"{WIDTH - EDGE}.0,{HEIGHT // 2}.0")
    assert (line.low, line.high) == (1.0, 3.0)
