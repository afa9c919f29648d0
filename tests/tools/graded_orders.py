"""Orders with results and without verdicts, and the verdicts that are stored."""

from collections import Counter
from typing import Any

from sqlalchemy import insert, select
from web_client import answer_chunks

from database import IMEIDatabase, utc_now
from grading import DEFAULT_RULES, Condition, Rule, Verdict
from orders import IMEIOrder
from results.order_values import result_values
from schema import orders
from storage.batch_creation import NewBatch, create_batch
from storage.result_store import store_results

NUMBERS = [f"35000000000{n:04d}" for n in range(3000)]
SERVICE = "Apple FMI + Blacklist"
#: Rules by which a locked phone fails.
STRICT = (Rule(Verdict.FAIL, Condition.LOCKED), *DEFAULT_RULES)


def result_text(fmi: str = "OFF", blacklist: str = "Clean") -> str:
    return f"Model: iPhone 12\nFind My iPhone: {fmi}\nBlacklist Status: {blacklist}\nSIM Lock: Locked"


def ordered_batch(database: IMEIDatabase) -> int:
    """A batch of 60 orders without results."""
    batch_id = create_batch(database, NewBatch("stock", "command", "269", SERVICE, 0.1, [(n, 1) for n in NUMBERS[:60]]))
    answer_chunks(database)
    return batch_id


def plant(database: IMEIDatabase, count: int, **values: Any) -> None:
    """Completed orders without a verdict, as before an upgrade."""
    row = {"status": "Completed", "fmi": "OFF", "service_name": SERVICE, "blacklist": "Clean", "order_date": utc_now()}
    with database.write() as connection:
        connection.execute(
            insert(orders), [row | {"imei": imei, "order_id": imei} | values for imei in NUMBERS[:count]]
        )


def verdicts(database: IMEIDatabase) -> dict[str | None, int]:
    """Verdict → orders, by reading every order."""
    with database.read() as connection:
        return dict(Counter(connection.execute(select(orders.c.verdict)).scalars()))


def listed(database: IMEIDatabase, code: str, status: str = "Completed", first: int = 0, last: int = 60) -> int:
    """The provider lists some of the orders with this result."""
    with database.read() as connection:
        rows = connection.execute(select(orders.c.order_id, orders.c.imei).order_by(orders.c.id)).all()[first:last]
    return store_results(database, [IMEIOrder(row.order_id, row.imei, status, code) for row in rows], result_values)
