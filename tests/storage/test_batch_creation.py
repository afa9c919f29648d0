"""Confirmed IMEIs become one batch: once for each token or list, without those that are ordered or under way."""

import json
import re
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from batch_checks import outcomes
from handmade_calls import OTHER, answered, call, one, unanswered
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import delete, update

from database import IMEIDatabase, utc_now
from orders import BatchState
from schema import orders
from storage.batch_creation import (
    OPEN_ITEMS,
    NewBatch,
    OverBudgetError,
    create_batch,
    fingerprint,
    in_flight,
    known_orders,
    results_elsewhere,
    unfinished_batch,
)
from storage.batch_queries import batch_state


def new_batch(numbers: list[str], **changes: Any) -> NewBatch:
    listed = [(imei, row) for row, imei in enumerate(numbers, 1)]
    values: dict[str, Any] = {"label": "test", "source": "command", "service_id": SERVICE, "service_name": "T-Mobile"}
    return NewBatch(**{**values, "unit_price": 0.08, "imeis": listed, **changes})


def test_one_confirmation_token_makes_one_batch(database: IMEIDatabase) -> None:
    first = create_batch(database, new_batch(imeis(3), confirm_token="a"))
    assert create_batch(database, new_batch(imeis(3), confirm_token="a")) == first


def test_two_confirmations_at_the_same_instant_make_one_batch(database: IMEIDatabase) -> None:
    barrier, made = threading.Barrier(8), list[int]()

    def confirm() -> None:
        barrier.wait()
        made.append(create_batch(database, new_batch(imeis(300), confirm_token="b")))

    threads = [threading.Thread(target=confirm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1


def test_two_batches_in_flight_never_hold_the_same_imei(database: IMEIDatabase) -> None:
    first = create_batch(database, new_batch(imeis(3)))
    second = create_batch(database, new_batch(imeis(5)))
    assert outcomes(database, first) == {"waiting": 3}
    assert outcomes(database, second) == {"waiting": 2, "duplicate": 3}
    assert in_flight(database, SERVICE, imeis(6)) == dict.fromkeys(imeis(3), first) | dict.fromkeys(
        imeis(2, first=3), second
    )


def test_a_server_without_statistics_looks_for_open_items_by_their_imeis(server_database: IMEIDatabase) -> None:
    """PostgreSQL knew nothing of a batch that was just planned, and compared each IMEI with each open item."""
    create_batch(server_database, new_batch(imeis(500)))
    with server_database.read() as connection:
        words = str(OPEN_ITEMS.compile(dialect=connection.dialect))
        given = {"service": SERVICE, "imeis": json.dumps(imeis(500, first=500))}
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {words}", given).scalars())
    assert re.search(r"Index Cond: \(\(service_id = .*\) AND \(imei = ", plan), plan


def test_a_plan_knows_of_the_batch_that_would_be_given_back(database: IMEIDatabase) -> None:
    """A finished batch in doubt is one: a page must not say that another has started."""
    numbers = [(imei, None) for imei in imeis(2)]
    doubtful = call(database, imeis(2))
    unanswered(database, doubtful)
    mark = fingerprint(SERVICE, imeis(2))
    with database.write() as connection:
        run(connection, "UPDATE batches SET fingerprint = ?", mark)
    assert batch_state(database, doubtful.batch_id)[0] is BatchState.FINISHED
    new = NewBatch("again", "command", SERVICE, "T-Mobile", 0.1, numbers, fingerprint=mark)
    assert create_batch(database, new) == doubtful.batch_id == unfinished_batch(database, mark, 0)


def test_a_batch_that_only_waits_for_doubt_does_not_keep_the_rest_of_its_list_back(database: IMEIDatabase) -> None:
    """It was given back, and what was refused or stopped in it could not be ordered with the same list again."""
    mark = fingerprint(SERVICE, imeis(3))
    doubtful = call(database, imeis(3))
    unanswered(database, doubtful)
    with database.write() as connection:
        run(connection, "UPDATE batches SET fingerprint = ?", mark)
        run(connection, "UPDATE items SET outcome = 'refused' WHERE imei = ?", imeis(3)[2])
    again = create_batch(database, new_batch(imeis(3), fingerprint=mark))
    assert again != doubtful.batch_id
    assert outcomes(database, again) == {"duplicate": 2, "waiting": 1}
    assert create_batch(database, new_batch(imeis(3), fingerprint=mark)) == again == unfinished_batch(database, mark, 0)


def test_the_day_is_not_overdrawn_by_a_batch_that_was_planned_before_another(database: IMEIDatabase) -> None:
    first = create_batch(database, new_batch(imeis(10), budget=1.0))
    with pytest.raises(OverBudgetError, match="Another batch has taken"):
        create_batch(database, new_batch(imeis(5, first=20), budget=1.0))
    assert one(database, "SELECT count(*), max(id) FROM batches") == (1, first)
    assert one(database, "SELECT count(*) FROM items") == 10


def test_items_stand_in_calls_of_the_given_length_and_a_repeated_imei_in_none(database: IMEIDatabase) -> None:
    numbers = imeis(5)
    batch_id = create_batch(database, new_batch([*numbers[:2], numbers[0], *numbers[2:]]), chunk_size=2)
    with database.read() as connection:
        query = "SELECT chunk_id - (SELECT min(id) FROM chunks), source_row FROM items WHERE batch_id = ? ORDER BY id"
        rows = [tuple(row) for row in run(connection, query, batch_id)]
        sizes = list(connection.exec_driver_sql("SELECT size FROM chunks ORDER BY id").scalars())
    assert rows == [(0, 1), (0, 2), (None, 3), (1, 4), (1, 5), (2, 6)]
    assert sizes == [2, 2, 1]
    words = one(database, "SELECT message FROM items WHERE chunk_id IS NULL")
    assert words == "in this batch more than once; it is ordered once"


def test_of_earlier_orders_the_one_that_waits_is_known_and_results_of_other_services_are_shown(
    database: IMEIDatabase,
) -> None:
    [imei] = imeis(1)
    rows = [("1", SERVICE, "Pending"), ("2", SERVICE, "Completed"), ("3", OTHER, "Completed"), ("4", OTHER, "Pending")]
    for order_id, service_id, status in rows:
        database.insert_order({"order_id": order_id, "imei": imei, "service_id": service_id, "status": status})
    with database.read() as connection:
        assert [order.order_id for order in known_orders(connection, SERVICE, [imei])] == ["1"]
        assert [order.order_id for order in results_elsewhere(connection, SERVICE, [imei])] == ["3"]
        assert results_elsewhere(connection, OTHER, imeis(1, first=9)) == []


@pytest.mark.parametrize(
    ("columns", "service_id", "is_known"),
    [
        ({"status": "Completed"}, SERVICE, True),
        ({"status": "Rejected"}, SERVICE, True),
        ({"status": "Pending"}, SERVICE, True),
        ({"status": "Completed"}, OTHER, False),
        ({"status": "Completed", "other_imei": "?"}, SERVICE, False),  # the result is about another phone
    ],
)
def test_the_second_imei_of_an_ordered_phone_is_that_phone(
    database: IMEIDatabase, columns: dict[str, str], service_id: str, is_known: bool
) -> None:
    first, second, fresh = imeis(3)
    row = {"order_id": "7", "imei": first, "imei2": second, "service_id": service_id}
    database.insert_order({**row, **columns})
    with database.read() as connection:
        known = known_orders(connection, SERVICE, [second, fresh])
    assert [(order.imei, order.second_of, order.status) for order in known] == (
        [(second, first, columns["status"])] if is_known else []
    )
    batch_id = create_batch(database, new_batch([second, fresh]))
    assert outcomes(database, batch_id) == ({"waiting": 1, "duplicate": 1} if is_known else {"waiting": 2})
    message = one(database, "SELECT message FROM items WHERE imei = ?", second)
    assert message == (f"ordered already: order 7, which names it as IMEI 2 of {first}" if is_known else None)


def test_a_phone_is_paid_again_by_its_second_imei_only_where_that_is_asked_for(database: IMEIDatabase) -> None:
    first, second = imeis(2)
    rows = [("7", first, second, "Completed"), ("8", second, None, "Rejected")]
    for order_id, imei, imei2, status in rows:
        row = {"order_id": order_id, "imei": imei, "imei2": imei2, "service_id": SERVICE, "status": status}
        database.insert_order(row)
    assert outcomes(database, create_batch(database, new_batch([second], resend_rejected=True))) == {"duplicate": 1}
    assert outcomes(database, create_batch(database, new_batch([second], recheck=True))) == {"waiting": 1}


def test_an_old_order_of_a_file_does_not_hide_the_newest_result(database: IMEIDatabase) -> None:
    """Else the preview shows an old verdict, and "send rejected ones again" pays for a phone that has its result."""
    [imei] = imeis(1)
    rows = [("new", "2026-02-01", "Completed"), ("old", "2024-02-01", "Rejected"), ("undated", None, "Rejected")]
    for order_id, day, status in rows:
        row = {"order_id": order_id, "imei": imei, "service_id": SERVICE, "status": status}
        database.insert_order({**row, "order_date": day and datetime.fromisoformat(day)})
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.order_id == "undated").values(order_date=None))
    with database.read() as connection:
        assert [order.order_id for order in known_orders(connection, SERVICE, [imei])] == ["new"]
    assert outcomes(database, create_batch(database, new_batch([imei], resend_rejected=True))) == {"duplicate": 1}


def test_an_order_that_a_file_dates_ahead_does_not_hide_one_that_is_placed_later(database: IMEIDatabase) -> None:
    """The file has the provider's local time. Else a page pays again for the later order that it never showed."""
    [imei] = imeis(1)
    row = {"imei": imei, "service_id": SERVICE, "status": "Completed"}
    for order_id, ahead in (("file", 3), ("newer in the file", 5)):
        database.insert_order({**row, "order_id": order_id, "order_date": utc_now() + timedelta(hours=ahead)})
    answered(database, call(database, [imei], recheck=True), 15)
    database.update_order_status("15", "Completed")
    with database.write() as connection:
        assert [order.order_id for order in known_orders(connection, SERVICE, [imei])] == ["15"]
        connection.execute(delete(orders).where(orders.c.order_id == "15"))
        assert [order.order_id for order in known_orders(connection, SERVICE, [imei])] == ["newer in the file"]


def test_rechecks_order_what_has_a_result_and_nothing_that_is_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    answered(database, chunk, 1)
    database.update_order_status("1", "Completed")
    database.update_order_status("2", "Rejected")
    unanswered(database, call(database, imeis(1, first=2)))
    numbers = imeis(3)
    none = create_batch(database, new_batch(numbers))
    assert outcomes(database, none) == {"duplicate": 3}
    assert batch_state(database, none)[0] is BatchState.FINISHED
    assert outcomes(database, create_batch(database, new_batch(numbers, recheck=True))) == {
        "waiting": 1,
        "duplicate": 2,
    }
    again = new_batch(numbers, recheck=True, resend_rejected=True)
    assert outcomes(database, create_batch(database, again)) == {"waiting": 1, "duplicate": 2}  # the first waits
