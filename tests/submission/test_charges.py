"""What the account's balance shows beyond the orders and doubts that we know."""

import pytest
from doubtful_call import in_doubt
from handmade_calls import answered, call, one
from simulated_provider import imeis

from database import IMEIDatabase
from storage import balance_store
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
        assert unexplained_fall(connection, first, credits) == pytest.approx(beyond)
        assert unexplained_fall(connection, None, credits) == 0.0


def test_each_imei_in_doubt_may_have_cost_the_price_of_its_batch(database: IMEIDatabase) -> None:
    first, _ = in_doubt(database, 3)
    second = call(database, imeis(2, first=300))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET unit_price = 2.0 WHERE id = ?", (second.batch_id,))
    with database.read() as connection:
        assert cost(connection, [first, second]) == pytest.approx(4.3)
        assert cost(connection, []) == 0.0
    assert one(database, "SELECT count(*) FROM batches") == 3
