"""What a person decides about IMEIs in doubt: look again, it was placed, it was not placed, take that back.

Nothing is sent here. What a person clears is sent again by settlement.py, after one more look at the provider's list.
"""

from collections.abc import Sequence

import submission.absence as absence
from database import IMEIDatabase, read_setting
from orders import NAMED_BY_PERSON, ChunkState, ItemOutcome, NotPossibleError, OrderStatus, Outcome
from storage import batch_undo, call_queries, call_records, doubt_moves, guards
from submission.watches import LAG, SLOWNESS

#: The name in the settings table: the number of the newest request to look now.
REQUESTED = "settle_requested"
#: Digits of the longest order id.
LONGEST_ID = 19
TAKEN_BACK = "in doubt again: a person took back what was decided"


def ask_again(database: IMEIDatabase) -> None:
    """Have the leader look at the provider's list now."""
    with database.write() as connection:
        newest = call_queries.newest_attempt(connection)
    previous = int(database.get_setting(REQUESTED) or 0)
    database.set_setting(REQUESTED, str(max(previous + 1, newest)))


def rest_before_decision(database: IMEIDatabase, timeout: float, quiet: float, imeis: int) -> float:
    """Return the seconds after a call of this many IMEIs in which nobody may decide that it placed nothing.

    It is as long as the program itself waits.
    """
    with database.read() as connection:
        lag, slowness = (float(read_setting(connection, name) or 0.0) for name in (LAG, SLOWNESS))
    return absence.rests_until(0.0, absence.call_deadline(timeout, imeis, slowness), quiet, lag, None)


def was_not_placed(database: IMEIDatabase, item_ids: Sequence[int], rest: float, newest: int | None = None) -> int:
    """Let these items in doubt be sent again, because a person found that they were not placed. Return how many.

    The leader looks at the provider's list once more right before. Raises NotPossibleError with a sentence for the page
    while less than rest seconds (deadline and quiet time) have passed since a call was sent: the provider may still
    place what it does not show yet. newest is the newest attempt when the person looked (None: now): about a later call
    nothing was found out, and it is refused.
    """
    wanted, cleared = set(item_ids), 0
    with database.write() as connection:
        for chunk in call_queries.open_chunks(connection, ChunkState.IN_DOUBT):
            chosen = [item.item_id for item in chunk.items if item.item_id in wanted]
            if not chosen or chunk.cleared:
                continue
            if newest is not None and chunk.attempt_id > newest:
                raise NotPossibleError(
                    "An IMEI was sent again since this page was shown. Check the list and try again."
                )
            left = rest - call_queries.seconds_since(connection, chunk.attempt_id)
            if left > 0:
                raise NotPossibleError(
                    f"The provider may still be working on it. Look once more in {left:.0f} seconds."
                )
            doubt_moves.clear(connection, chunk, chosen, "not placed, as a person decided; will be sent again")
            cleared += len(chosen)
    return cleared


def read_order_id(text: str) -> str:
    """Return an order id as a person types or pastes it. Raises NotPossibleError for anything but digits."""
    order_id = text.strip().lstrip("#").strip()
    if not order_id:
        raise NotPossibleError("Give the provider's order id, as its order page shows it.")
    if not (order_id.isascii() and order_id.isdecimal() and len(order_id) <= LONGEST_ID):
        raise NotPossibleError(f"“{order_id[:40]}” is not an order id: it is digits only, such as 15012345.")
    return order_id


def was_placed(
    database: IMEIDatabase,
    item_id: int,
    order_id: str,
    batch_id: int | None = None,
    status: str = OrderStatus.PENDING,
) -> None:
    """Record the order that a person found for an item in doubt, of this batch where one is named.

    Raises NotPossibleError.
    """
    order_id = read_order_id(order_id)
    with database.write() as connection:
        for chunk in call_queries.open_chunks(connection, ChunkState.IN_DOUBT):
            item = next((item for item in chunk.items if item.item_id == item_id), None)
            if item is None or batch_id not in (None, chunk.batch_id):
                continue
            owner = call_queries.order_owners(connection, [order_id]).get(order_id)
            if owner is not None:
                raise NotPossibleError(f"Order {order_id} is known already: it belongs to {owner[0]}.")
            item_outcome = ItemOutcome(item_id, item.imei, Outcome.ORDERED, order_id, status, NAMED_BY_PERSON)
            call_records.adopt(connection, chunk, [item_outcome])
            return
    raise NotPossibleError("This IMEI is no longer in doubt.")


def take_back_order(database: IMEIDatabase, batch_id: int, order_id: str) -> None:
    """Undo was_placed: remove the order and put its IMEI in doubt again. Raises NotPossibleError.

    Nothing is sent because of it: the provider's list is read again, as for any other IMEI in doubt.
    """
    try:
        with database.write() as connection:
            batch_undo.withdraw(connection, batch_id, order_id, TAKEN_BACK)
    except guards.WrongStateError as error:
        raise NotPossibleError(f"Not undone. {error}") from error
    ask_again(database)


def take_back_clearing(database: IMEIDatabase, batch_id: int) -> int:
    """Undo was_not_placed for what was not sent again yet. Return how many IMEIs are in doubt again."""
    with database.write() as connection:
        return batch_undo.undo_clearing(connection, batch_id, TAKEN_BACK)
