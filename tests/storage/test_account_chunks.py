"""An IMEI stays with the account that has an order of it, and what the money of an account is bound by."""

from datetime import date, datetime, timedelta

import pytest
from handmade_calls import one, planned
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase, Transaction, utc_now
from storage import account_chunks, account_store, call_queries, doubt_moves
from storage.batch_creation import NewBatch, create_batch
from storage.call_records import write_intents
from storage.chunk_moves import release, split_chunk
from storage.guards import WrongStateError

MAIN, SECOND = "main", "b"


@pytest.fixture(autouse=True)
def two(database: IMEIDatabase) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})


def ordered(database: IMEIDatabase, numbers: list[str], account: str, first_id: int) -> None:
    """Store completed orders of an account, for $0.50 each."""
    for place, imei in enumerate(numbers):
        fields = {"imei": imei, "service_id": SERVICE, "status": "Completed", "credits": 0.5, "account": account}
        database.insert_order({"order_id": str(first_id + place), "order_date": utc_now(), **fields})


def chunks_of(connection: Transaction, account: str) -> list[int]:
    """Return the sizes of the planned chunks that an account may claim in the newest batch."""
    batch_id = connection.exec_driver_sql("SELECT max(id) FROM batches").scalar_one()
    return [size for _, size in call_queries.planned_chunks(connection, batch_id, 99, account)]


def test_a_batch_is_cut_so_that_what_an_account_has_ordered_is_in_its_own_chunks(database: IMEIDatabase) -> None:
    numbers = imeis(10)
    ordered(database, numbers[:3], SECOND, 700)
    ordered(database, numbers[3:5], MAIN, 800)
    new = NewBatch("test", "command", SERVICE, "", 0.1, [(imei, None) for imei in numbers], recheck=True)
    create_batch(database, new, 2)
    with database.write() as connection:
        assert chunks_of(connection, "c") == [2, 2, 1]
        assert chunks_of(connection, SECOND) == [2, 2, 1, 2, 1]
        assert chunks_of(connection, MAIN) == [2, 2, 1, 2]
        query = "SELECT imei FROM items JOIN chunks c ON c.id = chunk_id WHERE account = 'b' ORDER BY items.id"
        assert list(connection.exec_driver_sql(query).scalars()) == numbers[:3]
    assert one(database, "SELECT count(*), count(DISTINCT imei) FROM items WHERE chunk_id > 0") == (10, 10)


def test_an_order_that_came_since_takes_its_imei_out_of_a_free_chunk(database: IMEIDatabase) -> None:
    _, [whole, mixed, free] = planned(database, 6)
    numbers = imeis(6)
    ordered(database, numbers[:3], SECOND, 700)
    with database.write() as connection:
        assert account_chunks.send_home(connection, [whole, mixed, free], MAIN) == {whole, mixed}
        assert chunks_of(connection, MAIN) == [1, 2]
        assert account_chunks.send_home(connection, [mixed, free], MAIN) == set()
        assert account_chunks.send_home(connection, [free], SECOND) == set()


def test_no_account_claims_a_chunk_of_another_one(database: IMEIDatabase) -> None:
    _, [first, second] = planned(database, 4)
    with database.write() as connection:
        assert write_intents(connection, [first], SECOND)[0].account == SECOND
        connection.exec_driver_sql(f"UPDATE chunks SET account = 'b' WHERE id = {second}")
    with pytest.raises(WrongStateError), database.write() as connection:
        write_intents(connection, [second], MAIN)


def test_what_is_on_the_wire_and_what_was_spent_is_counted_for_each_account(database: IMEIDatabase) -> None:
    batch_id, [first, second, *_] = planned(database, 6)
    ordered(database, imeis(2, 50), SECOND, 700)
    with database.write() as connection:
        write_intents(connection, [first, second], SECOND)
        assert account_chunks.on_the_wire(connection) == {SECOND: 2}
        assert account_chunks.accounts_of_batch(connection, batch_id) == {SECOND: 2}
        assert account_chunks.at_risk(connection, SECOND) == pytest.approx(0.4)
        assert account_chunks.at_risk(connection, MAIN) == 0.0
        spent, newest = account_chunks.spent_after(connection, SECOND, 0, day=utc_now().date())
        assert (spent, account_chunks.spent_after(connection, SECOND, newest)[0]) == (1.0, 0.0)
        item_id = connection.exec_driver_sql(f"SELECT min(id) FROM items WHERE chunk_id = {first}").scalar_one()
        assert account_chunks.account_of_item(connection, item_id) == SECOND
        connection.exec_driver_sql(f"UPDATE chunks SET state = 'in_doubt' WHERE id = {first}")
        assert account_chunks.accounts_in_doubt(connection, batch_id) == [SECOND]


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_call_that_did_not_begin_leaves_its_chunk_to_any_account_and_one_that_did_does_not(
    database: IMEIDatabase, was_sent: bool
) -> None:
    _, [chunk_id] = planned(database, 2)
    with database.write() as connection:
        [chunk] = write_intents(connection, [chunk_id], SECOND)
        release(connection, chunk, "", was_sent)
        assert chunks_of(connection, MAIN) == ([] if was_sent else [2])
        assert chunks_of(connection, SECOND) == [2]


def test_what_is_taken_out_of_a_chunk_stays_with_its_account(database: IMEIDatabase) -> None:
    _, [chunk_id] = planned(database, 4, size=4)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE chunks SET account = 'b' WHERE id = {chunk_id}")
        split_chunk(connection, chunk_id, 1, 2)
        assert (chunks_of(connection, MAIN), chunks_of(connection, SECOND)) == ([], [1, 2, 1])
        [chunk] = write_intents(connection, [chunk_id], SECOND)
        for table, word in (("chunks", "state"), ("items", "outcome")):
            key = "id" if table == "chunks" else "chunk_id"
            connection.exec_driver_sql(f"UPDATE {table} SET {word} = 'in_doubt' WHERE {key} = {chunk_id}")
        piece = doubt_moves.repeat(connection, chunk, [chunk.items[0].item_id], "again")
        query = f"SELECT account FROM chunks WHERE id = {piece}"
        assert connection.exec_driver_sql(query).scalar_one() == SECOND


def test_an_order_of_the_first_moment_of_a_day_counts_for_it(database: IMEIDatabase) -> None:
    """Moments without a fraction of a second are stored without one: the daily budget left such an order out."""
    midnight = datetime(2026, 12, 3)
    with database.write() as connection:
        for order_id, moment in (("1", midnight), ("2", midnight - timedelta(microseconds=1))):
            values = f"'{order_id}', '{imeis(1)[0]}', '{moment}', 0.5, '{SECOND}'"
            connection.exec_driver_sql(
                f"INSERT INTO orders (order_id, imei, order_date, credits, account) VALUES ({values})"
            )
        for day, spent in ((midnight.date(), 0.5), (date(2026, 12, 2), 1.0), (date(2026, 12, 4), 0.0)):
            assert account_chunks.spent_after(connection, SECOND, 0, day=day)[0] == spent
