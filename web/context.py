"""The numbers in the addresses of pages, and the batch that an address names."""

from flask import abort
from werkzeug.routing import IntegerConverter, Map

from backend import backend
from orders import Progress
from storage import batch_queries

#: Orders on one page of a list.
PAGE = 50
#: No row has a number as high as this, and a table cannot be asked for one much higher.
BEYOND_ROWS = 2**62


class RowNumbers(IntegerConverter):
    """The `<int:…>` of our addresses: what no row can have leads nowhere, as any address that names nothing."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=BEYOND_ROWS - 1)


def row_number(text: str) -> int:
    """A whole number that a table can hold. Raises ValueError."""
    number = int(text)
    if not 0 <= number < BEYOND_ROWS:
        raise ValueError(text)
    return number


def batch_or_404(batch_id: int) -> Progress:
    """The batch, or a 404 page that names it."""
    found = batch_queries.progress(backend().database, batch_id)
    if found is None:
        abort(404, f"There is no batch {batch_id}.")
    return found
