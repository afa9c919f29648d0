"""How many deliveries to webhooks wait: not those that ended, nor messages to people."""

from plain_sql import run

from database import IMEIDatabase
from storage import delivery_store


def test_deliveries_to_webhooks_wait_until_they_have_ended(database: IMEIDatabase) -> None:
    with database.write() as connection:
        run(
            connection,
            "INSERT INTO webhooks (id, url, secret, events, created_at) VALUES (1, 'https://a.example', 's', '', ?)",
            "2026-11-25 10:00:00",
        )
        run(
            connection,
            "INSERT INTO outbox_events (id, kind, data, created_at) VALUES (1, 'test', '{}', ?)",
            "2026-11-25 10:00:00",
        )
        assert delivery_store.count_waiting(connection) == 0
        for webhook_id, state in ((1, "waiting"), (1, "waiting"), (1, "delivered"), (1, "failed"), (None, "waiting")):
            values = ("k" if webhook_id is None else "", state)
            words = "INSERT INTO deliveries (event_id, webhook_id, target, state) VALUES (1, CAST(? AS INTEGER), ?, ?)"
            run(connection, words, webhook_id, *values)
        assert delivery_store.count_waiting(connection) == 2
