"""Pausing, resuming and stopping a batch: what is written, with its entry of the audit log in the same transaction."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, Provider, send_chunk
from web_scenes import aged

from backend import Backend
from database import IMEIDatabase
from orders import BatchState, Outcome, Progress
from people import Actor, Role
from storage import audit_log, batch_queries, batch_states, call_queries
from storage.audit_log import AuditFilter
from storage.batch_creation import NewBatch, create_batch
from web.access import set_actor
from web.batch_moves import BY_HAND, Resumed, pause_batch, resume_at, stop_batch


@pytest.fixture(name="backend")
def backend_fixture(app: Flask) -> Iterator[Backend]:
    """The backend of the app, in a request of an operator that pauses batch 1."""
    found: Backend = app.extensions["backend"]
    with app.test_request_context("/batches/1/pause", method="POST"):
        set_actor(Actor("otto", Role.OPERATOR))
        yield found


@pytest.fixture(name="batch_id")
def batch_fixture(database: IMEIDatabase) -> int:
    """Five IMEIs in calls of two, not sent."""
    wanted: list[tuple[str, int | None]] = [(imei, None) for imei in imeis(5)]
    new = NewBatch("Lot", "test", CARRIER.package_id, CARRIER.title, CARRIER.price, wanted)
    return create_batch(database, new, chunk_size=2)


def progress(database: IMEIDatabase, batch_id: int) -> Progress:
    found = batch_queries.progress(database, batch_id)
    assert found
    return found


def paused(backend: Backend, batch_id: int) -> Progress:
    assert pause_batch(backend, batch_id)
    return progress(backend.database, batch_id)


def dearer(backend: Backend, provider: Provider, price: float) -> None:
    """Let the provider list another price, which nobody has read yet."""
    backend.catalog.current()
    provider.services[0] = replace(CARRIER, price=price)
    aged(backend.database, 600)


def entries(database: IMEIDatabase) -> list[Any]:
    return list(audit_log.walk(database, AuditFilter()))


def test_a_running_batch_is_paused_once_and_the_log_has_it(backend: Backend, batch_id: int) -> None:
    assert pause_batch(backend, batch_id)
    assert not pause_batch(backend, batch_id)
    found = progress(backend.database, batch_id)
    assert (found.state, found.notice) == (BatchState.PAUSED, BY_HAND)
    [entry] = entries(backend.database)
    assert (entry.actor, entry.action, entry.subject) == ("otto", "batch.pause", "batch 1")
    assert not pause_batch(backend, batch_id + 1)


def test_a_batch_that_runs_is_not_resumed(backend: Backend, batch_id: int) -> None:
    assert resume_at(backend, progress(backend.database, batch_id), CARRIER.price) == Resumed(False, CARRIER.price)
    assert entries(backend.database) == []


def test_a_batch_goes_on_at_its_price_and_not_at_a_lower_one(
    backend: Backend, provider: Provider, batch_id: int
) -> None:
    before = paused(backend, batch_id)
    dearer(backend, provider, 0.05)
    resumed = resume_at(backend, before, before.unit_price)
    assert (resumed.done, resumed.price, resumed.objection) == (True, 0.05, "")
    after = progress(backend.database, batch_id)
    assert (after.state, after.unit_price) == (BatchState.RUNNING, CARRIER.price)


@pytest.mark.parametrize(
    ("accepted", "is_resumed"), [(CARRIER.price, False), (0.0, False), (0.1199, False), (0.12, True), (None, True)]
)
def test_a_higher_price_is_taken_up_to_the_accepted_one(
    backend: Backend, provider: Provider, batch_id: int, accepted: float | None, is_resumed: bool
) -> None:
    before = paused(backend, batch_id)
    dearer(backend, provider, 0.12)
    resumed = resume_at(backend, before, accepted)
    assert (resumed.done, resumed.price) == (is_resumed, 0.12)
    assert ("to $0.12" in resumed.dearer) is not is_resumed
    assert resumed.objection == resumed.dearer
    after = progress(backend.database, batch_id)
    assert after.state is (BatchState.RUNNING if is_resumed else BatchState.PAUSED)
    assert after.unit_price == (0.12 if is_resumed else CARRIER.price)
    assert len(entries(backend.database)) == 1 + is_resumed
    if is_resumed:
        assert entries(backend.database)[0].detail == {"price": "$0.08 → $0.12"}


def test_what_the_account_does_not_hold_is_not_resumed(backend: Backend, provider: Provider, batch_id: int) -> None:
    """The transaction takes back that it was resumed, and its entry of the log."""
    before = paused(backend, batch_id)
    provider.credits = 0.59
    dearer(backend, provider, 0.12)
    resumed = resume_at(backend, before, 0.12)
    assert not resumed.done
    assert resumed.objection.startswith("Not resumed. At the new price of $0.12 an IMEI")
    after = progress(backend.database, batch_id)
    assert (after.state, after.unit_price, len(entries(backend.database))) == (BatchState.PAUSED, CARRIER.price, 1)


def test_nothing_is_resumed_while_nothing_may_be_ordered(backend: Backend, batch_id: int) -> None:
    before = paused(backend, batch_id)
    lost = replace(backend, settings=replace(backend.settings, volatile_disk=True, api_key="K", username="u"))
    resumed = resume_at(lost, before, None)
    assert (resumed.done, resumed.objection) == (False, resumed.blocked)
    assert "this disk is lost" in resumed.blocked
    assert progress(backend.database, batch_id).state is BatchState.PAUSED


def test_a_stop_cancels_what_is_not_sent_and_leaves_what_is_on_the_wire(backend: Backend, batch_id: int) -> None:
    database = backend.database
    with database.write() as connection:
        chunk_id, _ = call_queries.planned_chunks(connection, batch_id, 1)[0]
        send_chunk(connection, chunk_id, batch_id, CARRIER.package_id)
    assert [stop_batch(backend, batch_id) for _ in range(2)] == [3, 0]
    found = progress(database, batch_id)
    assert (found.outcomes[Outcome.CANCELLED], found.outcomes[Outcome.WAITING]) == (3, 2)
    with database.read() as connection:
        assert batch_states.state_of(connection, batch_id) is BatchState.RUNNING
    assert [entry.detail for entry in entries(database)] == [{"imeis": 0}, {"imeis": 3}]
