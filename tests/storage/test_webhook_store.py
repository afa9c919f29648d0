"""Webhooks on disk: who gets which events, and which secrets sign when."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from database import IMEIDatabase
from schema import webhooks
from storage import delivery_store, outbox, webhook_store
from storage.delivery_store import DeliveryState
from storage.outbox import EventKind
from storage.webhook_store import OLD_SECRET_SIGNS, Webhook

NOW, SECOND = datetime(2026, 3, 1, 12), timedelta(seconds=1)
LOW, PLACED = EventKind.BALANCE_LOW, EventKind.ORDER_COMPLETED


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


@pytest.fixture(name="pair")
def pair_fixture(database: IMEIDatabase) -> tuple[int, int]:
    """Two webhooks for a low balance; one delivery waits for each."""
    with database.write() as connection:
        first = webhook_store.add_webhook(connection, "https://a.example", "desk", [LOW], "whsec_a")
        second = webhook_store.add_webhook(connection, "https://b.example", "", [LOW, LOW, PLACED], "whsec_b")
        outbox.add(connection, LOW, {})
    delivery_store.plan(database, [], NOW)
    assert first
    assert second
    return first, second


def found(database: IMEIDatabase, webhook_id: int) -> Webhook:
    with database.read() as connection:
        webhook = webhook_store.find_webhook(connection, webhook_id)
    assert webhook
    return webhook


def test_a_webhook_is_shown_without_its_secrets(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    first, second = webhook_store.all_webhooks(database)
    assert (first, second) == tuple(found(database, webhook_id) for webhook_id in pair)
    assert (first.url, first.description, first.events, first.has_secret) == ("https://a.example", "desk", (LOW,), True)
    assert (second.events, second.waiting, second.disabled_at) == ((LOW, PLACED), 1, None)
    assert "whsec" not in repr([first, second])
    with database.read() as connection:
        assert webhook_store.find_webhook(connection, second.webhook_id + 1) is None


def test_a_kind_of_event_that_this_version_does_not_know_is_left_out(
    database: IMEIDatabase, pair: tuple[int, int]
) -> None:
    with database.write() as connection:
        connection.execute(update(webhooks).values(events="balance.low moon.full"))
    assert found(database, pair[0]).events == (LOW,)


def test_there_are_no_more_webhooks_than_threads_may_be(
    database: IMEIDatabase, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_store, "MOST_WEBHOOKS", 3)
    with database.write() as connection:
        assert webhook_store.add_webhook(connection, "https://c.example", "", [LOW], "whsec_c")
        assert webhook_store.add_webhook(connection, "https://d.example", "", [LOW], "whsec_d") is None
    assert len(webhook_store.all_webhooks(database)) == 3


def test_a_change_is_of_one_webhook_and_says_whether_it_exists(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    first, second = pair
    before = found(database, second)
    with database.write() as connection:
        assert webhook_store.change_webhook(connection, first, "https://new.example", "shop", [PLACED])
        assert not webhook_store.change_webhook(connection, 99, "https://new.example", "shop", [PLACED])
    changed = found(database, first)
    assert (changed.url, changed.description, changed.events) == ("https://new.example", "shop", (PLACED,))
    assert found(database, second) == before


def test_what_waits_for_a_disabled_webhook_fails_with_the_reason(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    first, second = pair
    with database.write() as connection:
        assert webhook_store.disable_webhook(connection, first, "The receiver is gone.")
        assert not webhook_store.disable_webhook(connection, 99, "")
    assert found(database, first).disabled_at
    assert (found(database, first).waiting, found(database, second).waiting) == (0, 1)
    assert found(database, second).disabled_at is None
    [ended] = delivery_store.page(database, DeliveryState.FAILED, None, None, 10)
    assert (ended.webhook_id, ended.answer, ended.next_at, ended.ended_at is not None) == (
        first,
        "The receiver is gone.",
        None,
        True,
    )


def test_an_enabled_webhook_gets_what_happens_from_now_on(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    """Not what waited; and none without a secret, as after a restore."""
    first, second = pair
    with database.write() as connection:
        connection.execute(update(webhooks).values(disabled_at=NOW, failing_since=NOW))
        connection.execute(update(webhooks).where(webhooks.c.id == second).values(secret=""))
        assert webhook_store.enable_webhook(connection, first)
        assert not webhook_store.enable_webhook(connection, second)
        assert not webhook_store.enable_webhook(connection, 99)
    enabled, disabled = found(database, first), found(database, second)
    assert (enabled.disabled_at, enabled.failing_since, enabled.waiting) == (None, None, 0)
    assert (disabled.disabled_at, disabled.has_secret) == (NOW, False)


def test_a_webhook_is_deleted_with_its_deliveries(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    first, second = pair
    with database.write() as connection:
        assert webhook_store.delete_webhook(connection, first)
        assert not webhook_store.delete_webhook(connection, first)
    assert [webhook.webhook_id for webhook in webhook_store.all_webhooks(database)] == [second]
    assert [one.webhook_id for one in delivery_store.page(database, None, None, None, 10)] == [second]


def test_the_old_secret_signs_for_a_day_beside_the_new_one(database: IMEIDatabase, pair: tuple[int, int]) -> None:
    first, second = pair
    with database.write() as connection:
        assert webhook_store.signing_secrets(connection, first, NOW) == ["whsec_a"]
        assert webhook_store.rotate_secret(connection, first, "whsec_new", NOW)
        assert not webhook_store.rotate_secret(connection, 99, "whsec_new", NOW)
        end = NOW + OLD_SECRET_SIGNS
        assert webhook_store.signing_secrets(connection, first, end - SECOND) == ["whsec_new", "whsec_a"]
        assert webhook_store.signing_secrets(connection, first, end) == ["whsec_new"]
        assert webhook_store.signing_secrets(connection, second, NOW) == ["whsec_b"]
    assert found(database, first).old_secret_until == end
