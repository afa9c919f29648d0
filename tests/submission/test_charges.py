"""What the account's balance shows beyond the orders and doubts that we know."""

import pytest
from doubtful_call import in_doubt
from handmade_calls import answered, call, one, read_balance
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from storage import audit_store, balance_store
from submission.charges import cost, unexplained_fall


@pytest.mark.parametrize(
    ("credits", "beyond"),
    [(99.5, 0.0), (99.49, 0.0), (99.48, 0.02), (98.5, 1.0), (99.9, 0.0), (101.0, 0.0), (None, 0.0)],
)
def test_what_left_the_account_is_compared_with_our_orders_and_doubts(
    database: IMEIDatabase, credits: float | None, beyond: float
) -> None:
    """$100 before them: two orders and three IMEIs in doubt, at $0.10 each."""
    in_doubt(database, 3)
    answered(database, call(database, imeis(1, first=300)), 7000)
    with database.read() as connection:
        first = balance_store.reading_after(connection, 0)
        assert unexplained_fall(connection, first, credits, "main") == pytest.approx(beyond)
        assert unexplained_fall(connection, None, credits, "main") == 0.0


def test_each_imei_in_doubt_may_have_cost_the_price_of_its_batch(database: IMEIDatabase) -> None:
    first, _ = in_doubt(database, 3)
    second = call(database, imeis(2, first=300))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET unit_price = 2.0 WHERE id = ?", (second.batch_id,))
    with database.read() as connection:
        assert cost(connection, [first, second]) == pytest.approx(4.3)
        assert cost(connection, []) == 0.0
    assert one(database, "SELECT count(*) FROM batches") == 3


@pytest.mark.parametrize(
    ("restored", "known", "explained"),
    [
        (["7001", "7002"], "", 0.2),
        (["7001", "6999"], "", 0.1),  # the second one is older than the reading
        (["7001", "R7002"], "", 0.1),
        (["7001"], "UPDATE orders SET order_id = 'R1' WHERE order_id = '1000'", 0.0),
        (["7001"], "UPDATE orders SET order_id = '900' WHERE order_id = '7100'", 0.0),  # ids do not grow
        (["7001"], "DELETE FROM orders WHERE order_id = '7000'", 0.1),
        (["7001"], "DELETE FROM orders WHERE order_id IN ('7000', '1000')", 0.0),
        (["7001"], "UPDATE orders SET notes = NULL", 0.0),
        (["7001"], "UPDATE orders SET account = 'b' WHERE notes IS NOT NULL", 0.0),
    ],
)
def test_restored_orders_explain_a_fall_only_where_their_ids_show_that_they_are_younger(
    database: IMEIDatabase, restored: list[str], known: str, explained: float
) -> None:
    """What counts as younger, though it is older, would hide the charge of an order that nobody knows."""
    answered(database, call(database, imeis(1, first=1)), 1000)
    answered(database, call(database, imeis(1, first=2)), 7000)
    read_balance(database)
    answered(database, call(database, imeis(1, first=3)), 7100)
    for place, order_id in enumerate(restored):
        row = {"order_id": order_id, "imei": imeis(1, 500 + place)[0], "service_id": SERVICE, "credits": 0.1}
        audit_store.restore(database, [row | {"status": "Pending", "notes": audit_store.FROM_LIST}])
    with database.write() as connection:
        if known:
            connection.exec_driver_sql(known)
        reading = balance_store.newest_reading(connection)
        assert reading is not None
        ours = balance_store.spent_since(connection, reading).known
        assert unexplained_fall(connection, reading, 90.0 - ours, "main") == pytest.approx(10.0 - explained)
