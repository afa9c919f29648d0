"""A call in doubt beside orders that are known, and the list that shows these: the scene of most settlement tests."""

from collections.abc import Sequence

from handmade_calls import OTHER, QUIET, answered, call, read_balance, unanswered
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from orders import Chunk, IMEIOrder, ServiceInfo
from storage.list_limits import write_list_limit

START, RESTED = 1000.0, 1000.0 + QUIET
OLD = "2026-11-20 09:00:00"


def in_doubt(
    database: IMEIDatabase, count: int = 1, said: Sequence[str] = (), words: str = ""
) -> tuple[Chunk, list[IMEIOrder]]:
    """A call without an answer, and the list of what we ordered before it; the balance from before it is known."""
    read_balance(database)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    doubtful = call(database, imeis(count, first=20))
    unanswered(database, doubtful, said, words)
    return doubtful, known


def newer(database: IMEIDatabase, known: Sequence[IMEIOrder], number: int = 1) -> list[IMEIOrder]:
    """The list after another of our orders."""
    return [*known, *answered(database, call(database, imeis(1, first=900 + number)), 5000 + number)]


def stored_services(database: IMEIDatabase) -> None:
    """The provider's words for both services are known."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo(OTHER, "Sprint", 0.1)], 1.0)


def again(chunk: Chunk) -> list[str]:
    """The IMEIs of a call, as look returns them where all are sent again."""
    return [item.imei for item in chunk.items]
