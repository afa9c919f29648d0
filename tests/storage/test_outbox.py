"""Events: one for each time that a batch becomes complete, paused or in doubt, written with what makes it true."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from call_moves import in_doubt, item_outcomes, linked, ordered, repeated
from handmade_calls import call, one, planned, record_outcomes
from simulated_provider import imeis
from sqlalchemy import event, insert, select, update

from database import IMEIDatabase, utc_now
from engines.migrations import MIGRATIONS
from orders import IMEIOrder, Outcome
from schema import orders, outbox_events, webhooks
from storage import batch_states, chunk_moves, outbox
from storage.outbox import EventKind
from storage.result_store import Withheld, note_withheld, store_results

ORDERED = Outcome.ORDERED


def events(database: IMEIDatabase) -> list[str]:
    """The kinds of all events, oldest first."""
    with database.read() as connection:
        return list(connection.execute(select(outbox_events.c.kind).order_by(outbox_events.c.id)).scalars())


def data(database: IMEIDatabase) -> dict[str, Any]:
    """What the newest event says."""
    return dict(json.loads(one(database, "SELECT data FROM outbox_events ORDER BY id DESC LIMIT 1")))


def give(database: IMEIDatabase, numbers: Sequence[str], status: str = "Completed") -> None:
    """Store results of the orders of these IMEIs, as one answer of the provider brings them."""
    with database.read() as connection:
        found = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT imei, order_id FROM orders")}
    answer = [IMEIOrder(found[imei], imei, status) for imei in numbers]
    store_results(database, answer, lambda order, row: {"status": order.status})


def subscribe(database: IMEIDatabase, kinds: str, **more: Any) -> None:
    webhook = {"url": "https://example.com", "events": kinds, "secret": "whsec_", "created_at": utc_now()}
    with database.write() as connection:
        connection.execute(insert(webhooks).values(webhook | more))


def test_a_batch_is_complete_once_with_its_last_result(database: IMEIDatabase) -> None:
    sent = call(database, imeis(3))
    with database.write() as connection:
        ordered(connection, sent)
    give(database, imeis(2))
    assert events(database) == []
    give(database, imeis(3), "Rejected")
    assert events(database) == ["batch.complete"]
    give(database, imeis(3))
    assert events(database) == ["batch.complete"]
    found = data(database)
    assert found["outcomes"]["ordered"] == found["results"] == found["total"] == 3
    assert (found["state"], found["spent"], found["verdicts"]["review"]) == ("complete", "0.30", 3)


def test_a_list_of_results_takes_as_many_statements_as_one_result(database: IMEIDatabase) -> None:
    """Orders of as many batches, each of which is complete with it."""
    numbers = imeis(9)
    for number in numbers:
        sent = call(database, [number])
        with database.write() as connection:
            record_outcomes(connection, sent, item_outcomes(sent, ORDERED, first_id=int(number)))
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    give(database, numbers[:1])
    alone = len(asked)
    give(database, numbers[1:])
    assert len(asked) == 2 * alone < 40
    assert events(database) == ["batch.complete"] * 9


def test_a_batch_is_complete_when_what_is_left_of_its_results_is_withheld(database: IMEIDatabase) -> None:
    sent = call(database, imeis(2))
    with database.write() as connection:
        ordered(connection, sent)
    give(database, imeis(1))
    last = str(one(database, "SELECT order_id FROM orders WHERE imei = ?", imeis(2)[1]))
    for times in (1, 2):
        note_withheld(database, [Withheld(last, utc_now(), utc_now(), times, "Processing", False)], [])
    assert events(database) == ["batch.complete"]


def test_each_pause_that_needs_a_person_is_an_event(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "maintenance", resumes_itself=True)
        batch_states.resume_self_resuming(connection)
    assert events(database) == []
    for _ in range(2):
        with database.write() as connection:
            batch_states.pause_all(connection, "no money")
            batch_states.pause_all(connection, "no money")
            batch_states.touch(connection, batch_id)
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
    assert events(database) == ["batch.paused"] * 2
    assert (data(database)["state"], data(database)["reason"]) == ("needs_you", "no money")


def test_a_batch_is_in_doubt_when_everything_is_sent_and_complete_when_that_is_settled(database: IMEIDatabase) -> None:
    sent, again = call(database, imeis(2)), call(database, imeis(2, 10))
    for chunk in (sent, again):
        with database.write() as connection:
            in_doubt(connection, chunk)
    assert events(database) == ["batch.in_doubt"] * 2
    assert data(database)["at_stake"] == "0.20"
    with database.write() as connection:
        linked(connection, sent)
    give(database, imeis(2))
    with database.write() as connection:
        repeated(connection, again)  # it is sent once more, and answered
        connection.exec_driver_sql("UPDATE chunks SET state = 'answered'")
        batch_states.finish_if_done(connection, again.batch_id)
    assert events(database)[2:] == ["batch.complete", "batch.complete"]


def test_a_batch_that_is_stopped_is_complete_when_nothing_of_it_changes_any_more(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        chunk_moves.cancel_rest(connection, batch_id)
    assert (events(database), data(database)["state"]) == (["batch.complete"], "stopped")


def test_an_event_is_written_with_what_happened_or_not_at_all(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    with pytest.raises(RuntimeError), database.write() as connection:
        batch_states.pause(connection, batch_id, "by hand")
        raise RuntimeError
    assert events(database) == []
    for process in (database, rival):
        with process.write() as connection:
            batch_states.pause(connection, batch_id, "by hand")
    assert events(database) == ["batch.paused"]


def test_a_call_on_the_wire_and_a_placed_order_write_no_event(database: IMEIDatabase) -> None:
    batch_id, chunks = planned(database, 4)
    with database.write() as connection:
        batch_states.touch(connection, batch_id)
        batch_states.start(connection, batch_id, utc_now())
    assert (events(database), len(chunks)) == ([], 2)


@pytest.mark.parametrize(
    ("kinds", "more", "expected"),
    [
        ("batch.complete", {}, []),
        ("batch.complete order.completed", {}, ["order.completed"] * 2),
        ("order.completed", {"disabled_at": utc_now()}, []),
        ("my.order.completed order.completed.not", {}, []),
    ],
)
def test_an_order_with_its_result_is_an_event_where_a_webhook_wants_it(
    database: IMEIDatabase, kinds: str, more: dict[str, Any], expected: list[str]
) -> None:
    subscribe(database, kinds, **more)
    subscribe(database, kinds, **more)
    sent = call(database, imeis(3))
    with database.write() as connection:
        ordered(connection, sent)
        connection.execute(update(orders).values(credits=0.085, model="X" * 9999))
    for _ in range(2):
        give(database, imeis(2))
    assert events(database) == expected
    if expected:
        assert one(database, "SELECT max(length(data)) FROM outbox_events") < 1000
        found = data(database)
        assert (found["status"], found["price"], found["imei"]) == ("Completed", "0.085", imeis(2)[1])


def test_the_text_of_others_is_cut(database: IMEIDatabase) -> None:
    with database.write() as connection:
        outbox.add(connection, EventKind.BACKUP_FAILED, {"error": "x" * 99_999, "size": 5})
    assert data(database) == {"error": "x" * outbox.LONGEST_TEXT, "size": 5}


@pytest.mark.usefixtures("batch")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upgrade_announces_nothing_that_was_so_before(database: IMEIDatabase) -> None:
    """The migration of SQLite gives each batch at rest the mark that it would have."""
    paused, _ = planned(database, 2, first=20)
    waits, done = call(database, imeis(2, 30)), call(database, imeis(1, 40))
    planned(database, 2, first=50)
    with database.write() as connection:
        batch_states.pause(connection, paused, "by hand")
        for first_id, chunk in ((60, waits), (70, done)):
            record_outcomes(connection, chunk, item_outcomes(chunk, *[ORDERED] * len(chunk.items), first_id=first_id))
    give(database, imeis(1, 40))
    marks = "SELECT json_group_array(announced) FROM (SELECT announced FROM batches ORDER BY id)"
    expected = one(database, marks)
    assert len(set(json.loads(expected))) == 4
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(MIGRATIONS / "sqlite"))
    revision = ScriptDirectory.from_config(config).get_revision("0012")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET announced = ''")
        connection.exec_driver_sql(revision.module.ANNOUNCED)
    assert one(database, marks) == expected
