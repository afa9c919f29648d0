"""What views share about URLs: row numbers, the length of a page, and the batch or order that a URL names."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from flask import abort, request
from werkzeug.routing import IntegerConverter, Map

from backend import backend
from orders import Progress
from storage import batch_queries, order_queries
from storage.rows import Order

View = TypeVar("View", bound=Callable[..., object])
#: Orders on one page of a list.
PAGE = 50
#: Higher than any row number; SQLite cannot compare much higher ones.
BEYOND_ROWS = 2**62


class RowNumbers(IntegerConverter):
    """The `<int:…>` of our URLs: a number that no row can have is a 404, and so are digits of other scripts."""

    regex = "[0-9]+"

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=BEYOND_ROWS - 1)


def at_one_moment(view: View) -> View:
    """Let a page read everything at one moment, and once. For a view that only reads and waits for nothing."""

    @wraps(view)
    def looking(*args: object, **given: object) -> object:
        with backend().database.snapshot():
            return view(*args, **given)

    return cast(View, looking)


def row_number(text: str) -> int:
    """Return the row number in a text. Raises ValueError for anything else."""
    number = int(text)
    if not 0 <= number < BEYOND_ROWS:
        raise ValueError(text)
    return number


def row_of_form(name: str) -> int | None:
    """Return the row number in a field of the form; None without the field. Answers 400 for anything else."""
    number = request.form.get(name, type=row_number)
    if number is None and name in request.form:
        abort(400)
    return number


def batch_of_url() -> int | None:
    """Return the batch number of ?batch=, such as 41 or #41; None without one. Answers 400 for anything else."""
    text = request.args.get("batch", "").strip()
    try:
        return row_number(text.removeprefix("#")) if text else None
    except ValueError:
        abort(400, f"“{text[:40]}” is not a batch number such as 41.")


def batch_or_404(batch_id: int) -> Progress:
    """Return the batch, or answer 404."""
    return batch_queries.progress(backend().database, batch_id) or abort(404, f"There is no batch {batch_id}.")


def order_or_404(order_id: str) -> Order:
    """Return the order with this id of the provider, or answer 404."""
    return order_queries.find_order(backend().database, order_id) or abort(404, f"There is no order {order_id}.")
