"""Daily limits: what counts for a user and a token, and that nothing brings a batch past a limit."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from batch_checks import rows
from handmade_calls import answered, one, unanswered
from simulated_provider import SERVICE, imeis
from sqlalchemy import update
from stored_people import add_token, add_user

from access import actor_of
from database import IMEIDatabase, utc_now
from orders import Chunk
from people import COMMAND_LINE, Actor
from schema import api_tokens, orders, users
from storage import call_queries, kept_sums
from storage.batch_creation import Funds, NewBatch, OverBudgetError, RefusedActorError, create_batch, resume_batch
from storage.batch_states import pause
from storage.call_records import write_intents
from storage.daily_limits import DailyLimit, daily_limits


def order(database: IMEIDatabase, actor: Actor, count: int, first: int = 0, price: float = 1.0) -> int:
    """Create a batch of this actor; each IMEI costs a dollar."""
    numbers = [(imei, None) for imei in imeis(count, first=first)]
    return create_batch(database, NewBatch("b", "upload", SERVICE, "T-Mobile", price, numbers, actor=actor))


def send(database: IMEIDatabase, batch_id: int) -> Chunk:
    with database.write() as connection:
        planned = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1)]
        return write_intents(connection, planned)[0]


def used(database: IMEIDatabase, actor: Actor) -> list[float]:
    with database.read() as connection:
        return [limit.used for limit in daily_limits(connection, actor.user_id, actor.token_id)]


def test_two_batches_at_the_same_instant_do_not_pass_a_limit_together(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    anna, barrier, results = add_user(database, "anna", daily_limit=5.0), threading.Barrier(2), list[Any]()

    def confirm(connected: IMEIDatabase, first: int) -> None:
        barrier.wait()
        try:
            results.append(order(connected, anna, 3, first))
        except OverBudgetError as error:
            results.append(str(error))

    threads = [threading.Thread(target=confirm, args=pair) for pair in ((database, 0), (rival, 100))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [1, "This costs $3.00. Your daily limit is $5.00; $3.00 of it is used."]
    assert one(database, "SELECT count(*) FROM items") == 3


def test_what_is_spent_promised_and_in_doubt_today_counts_and_nothing_else(database: IMEIDatabase) -> None:
    anna, bob = add_user(database, "anna", daily_limit=50.0), add_user(database, "bob", daily_limit=50.0)
    order(database, anna, 10)
    answered(database, send(database, order(database, anna, 4, 20)), 1)
    unanswered(database, send(database, order(database, anna, 4, 30)))
    order(database, bob, 7, 100)
    order(database, COMMAND_LINE, 30, 200)
    assert (used(database, anna), used(database, bob), used(database, COMMAND_LINE)) == ([18.0], [7.0], [])
    kept_sums.tend(database, few=0)
    assert used(database, anna) == [18.0]
    yesterday = utc_now() - timedelta(days=1)
    with database.write() as connection:
        connection.execute(update(orders).values(order_date=yesterday))
    assert used(database, anna) == [14.0]


def test_a_token_counts_for_itself_and_for_its_maker(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=10.0)
    sync = actor_of(database, add_token(database, maker=anna, daily_limit=4.0))
    assert sync is not None
    order(database, anna, 5)
    order(database, sync, 3, 10)
    assert (used(database, anna), used(database, sync)) == ([8.0], [8.0, 3.0])
    with pytest.raises(
        OverBudgetError, match=r"^This costs \$2.00. Your daily limit is \$4.00; \$3.00 of it is used.$"
    ):
        order(database, sync, 2, 20)
    with pytest.raises(OverBudgetError, match=r"Your daily limit is \$10.00; \$8.00 of it is used.$"):
        order(database, anna, 3, 20)
    assert order(database, sync, 1, 20)
    with pytest.raises(OverBudgetError) as both:
        order(database, sync, 2, 30)
    assert "The daily limit of anna is $10.00; $9.00 of it is used." in str(both.value)
    assert rows(database, "SELECT ordered_by, user_id > 0, token_id > 0 FROM batches ORDER BY id") == [
        ("anna", True, None), *[("token stock-sync", True, True)] * 2]  # fmt: skip


@pytest.mark.parametrize("gone", ["user", "token"])
def test_who_was_disabled_or_revoked_since_the_request_began_orders_nothing(database: IMEIDatabase, gone: str) -> None:
    """A request may wait seconds for the price after its user, or its token, was looked up."""
    anna = add_user(database, "anna")
    sync = actor_of(database, add_token(database, maker=anna))
    assert sync is not None
    with database.write() as connection:
        if gone == "user":
            connection.execute(update(users).values(disabled_at=utc_now()))
        else:
            connection.execute(update(api_tokens).values(revoked_at=utc_now()))
    words = {"user": "The user anna is disabled.", "token": "The token stock-sync is revoked."}[gone]
    with pytest.raises(RefusedActorError, match=words):
        order(database, sync, 2)
    if gone == "user":
        with pytest.raises(RefusedActorError, match=words):
            order(database, anna, 2)
    assert rows(database, "SELECT id FROM batches") == []


def test_a_batch_may_use_a_limit_up_and_costs_only_what_is_sent(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=0.8)
    order(database, anna, 8, price=0.1)
    assert order(database, anna, 8, price=0.1) == 2  # each IMEI is under way, so nothing is added
    with database.read() as connection:
        [limit] = daily_limits(connection, anna.user_id, None)
    assert (round(limit.left, 9), limit.sentence("bob")) == (
        0.0, "The daily limit of anna is $0.80; $0.80 of it is used.")  # fmt: skip
    assert DailyLimit("anna", 1.0, 3.0).left == 0.0


def test_a_resume_at_a_higher_price_counts_for_who_created_the_batch(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=15.0)
    batch_id = order(database, anna, 10)
    for price, is_refused in ((1.6, True), (1.5, False)):
        with database.write() as connection:
            pause(connection, batch_id, "The price rose.")
        try:
            with database.write() as connection:
                assert resume_batch(connection, batch_id, price, Funds())
        except OverBudgetError as error:
            assert str(error).endswith("costs $16.00, but $15.00 of the daily limit of anna is left.")
            assert is_refused
    assert used(database, anna) == [15.0]
    assert one(database, "SELECT unit_price FROM batches") == 1.5


def test_a_batch_does_not_go_on_beyond_a_limit_that_was_lowered(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=15.0)
    batch_id = order(database, anna, 10)
    with database.write() as connection:
        pause(connection, batch_id, "Paused by hand.")
        connection.execute(update(users).values(daily_limit=8.0))
    words = r"^The rest of batch 1 costs \$10.00, but \$8.00 of the daily limit of anna is left.$"
    with pytest.raises(OverBudgetError, match=words), database.write() as connection:
        resume_batch(connection, batch_id, 1.0, Funds())
    assert one(database, "SELECT state FROM batches") == "paused"
