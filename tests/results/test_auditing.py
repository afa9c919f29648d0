"""The audit and the rebuild, against a provider on a real socket whose ledger is the judge."""

import json
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from audited_orders import COUNT, audited, audited_with, counts, place, read_balance
from handmade_calls import one
from pending_orders import client_of
from simulated_provider import Simulator, imeis
from sqlalchemy import update
from waiting import wait_until
from web_client import SERVICES, Browser, Provider, make_app

from commands.audit import conclusion, report_lines
from database import IMEIDatabase, utc_now
from orders import RequestKind
from results import auditing
from results.auditing import NightlyAudit, last_audit, midnight, next_nightly, request_audit
from schema import attempts, batches
from settings import MAIN_ACCOUNT, Settings
from storage import request_store


@pytest.fixture
def silent_account(simulator: Simulator) -> None:
    """The simulator tells no balance, so that the readings of a test are all that there are."""
    simulator.set(accountinfo="off")


@pytest.mark.parametrize("package_as", ["title", "id"])
def test_a_clean_run_agrees_and_both_sides_spent_the_same(
    simulator: Simulator, database: IMEIDatabase, package_as: str
) -> None:
    simulator.set(package_as=package_as)
    place(simulator, database)
    report = audited(simulator, database)
    assert report.agrees
    assert (report.ours, report.theirs, report.listed, counts(report)) == (COUNT, COUNT, COUNT, (0, 0, 0, 0))
    assert report.our_spend == report.their_spend == round(sum(charge.credits for charge in simulator.charges()), 4)
    assert last_audit(database, MAIN_ACCOUNT) == report


@pytest.mark.usefixtures("silent_account")
def test_a_difference_is_an_event_until_another_one_is_found(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    count = "SELECT count(*) FROM outbox_events WHERE kind = 'audit.differs'"
    assert audited(simulator, database).agrees
    assert one(database, count) == 0
    for forgotten, expected in ((1, 1), (0, 1), (1, 2)):
        with database.write() as connection:
            connection.exec_driver_sql(
                "DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT ?)", (forgotten,)
            )
        assert audited(simulator, database).disagrees
        assert one(database, count) == expected
    data = json.loads(one(database, "SELECT data FROM outbox_events ORDER BY id DESC LIMIT 1"))
    assert data["differences"] == 2
    assert data["summary"].startswith("2 orders differ between our records and the provider's.")


def test_nothing_on_either_side_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    assert audited(simulator, database).agrees


def test_a_provider_that_does_not_list_is_said_and_never_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    simulator.set(listing="off")
    report = audited(simulator, database)
    assert "Invalid Order ID" in report.error
    assert not report.agrees
    assert counts(report) == (0, 0, 0, 0)
    assert "could not be asked" in conclusion(report)


@pytest.mark.parametrize(
    ("knobs", "listed"), [({"listing_limit": 10}, 10), ({"listing": "empty"}, 0), ({"listing": "lagging"}, 0)]
)
def test_what_a_short_list_leaves_out_is_asked_for_by_id_and_agreement_is_not_claimed(
    simulator: Simulator, database: IMEIDatabase, knobs: dict[str, Any], listed: int
) -> None:
    place(simulator, database)
    simulator.set(**knobs)
    report = audited(simulator, database)
    assert (report.listed, report.only_by_id, report.theirs) == (listed, COUNT - listed, COUNT)
    assert counts(report) == (0, 0, 0, 0)
    assert not report.agrees
    assert "may hide beyond" in conclusion(report)


def test_a_balance_that_fell_by_what_our_orders_cost_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(credit=100.0)
    assert audited(simulator, database).balance_note == auditing.NO_READING  # and keeps one
    place(simulator, database)
    report = audited(simulator, database)
    assert (report.balance_fell, report.known_spent, report.unexplained) == (2.4, 2.4, 0.0)
    assert report.agrees
    assert f"The balance fell by $2.40 since {report.balance_since} UTC; our orders since then cost $2.40." in (
        report_lines(report)
    )


@pytest.mark.usefixtures("silent_account")
@pytest.mark.parametrize(
    ("credits", "unexplained", "sentence"),
    [
        (55.6, 42.0, "$42.00 more was charged than our orders explain: a higher price"),
        (97.59, 0.01, "$0.01 more was charged"),
        (98.1, -0.5, "$0.50 less was charged than our orders cost: a top-up or a refund."),
        (150.0, -52.4, "The balance rose by $50.00"),
    ],
)
def test_another_fall_than_our_orders_explain_does_not_agree(
    simulator: Simulator, database: IMEIDatabase, credits: float, unexplained: float, sentence: str
) -> None:
    """Seen: the price rose, $50.40 was charged and $8.40 reported, and the audit agreed."""
    read_balance(database, 100.0)
    place(simulator, database)
    report = audited_with(simulator, database, credits, utc_now() - timedelta(days=1))
    assert report.unexplained == unexplained
    assert (report.differences, report.sums_differ, report.agrees) == (0, False, False)
    assert sentence in "\n".join(report_lines(report))
    assert "The balance does not fit our orders." in conclusion(report)


@pytest.mark.usefixtures("silent_account")
def test_a_balance_that_cannot_be_read_leaves_the_orders_to_agree_and_is_said(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    read_balance(database, 100.0)
    place(simulator, database)
    report = audited_with(simulator, database, None)
    assert report.agrees
    assert "The balance was not compared. The provider has no such action." in report_lines(report)


@pytest.mark.parametrize(
    ("after", "night"),
    [
        (datetime(2026, 3, 1, 2, 59), datetime(2026, 3, 1, 3)),
        (datetime(2026, 3, 1, 3, 0), datetime(2026, 3, 2, 3)),
        (datetime(2026, 12, 31, 23, 0), datetime(2027, 1, 1, 3)),
    ],
)
def test_the_next_night_is_at_three(after: datetime, night: datetime) -> None:
    assert next_nightly(after) == night


def test_an_audit_is_due_every_night_and_after_a_batch_with_doubt(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 2)
    now = utc_now()
    with client_of(simulator) as client:
        assert not NightlyAudit(database, client, MAIN_ACCOUNT, lambda: now - timedelta(seconds=60)).is_due()
        assert NightlyAudit(database, client, MAIN_ACCOUNT, lambda: now - timedelta(seconds=60)).audit().agrees
        assert NightlyAudit(database, client, MAIN_ACCOUNT, lambda: now + timedelta(days=1)).is_due()
        last = last_audit(database, MAIN_ACCOUNT)
        assert last
        done = datetime.fromtimestamp(last.at, UTC).replace(tzinfo=None)
        assert not NightlyAudit(
            database, client, MAIN_ACCOUNT, lambda: next_nightly(done) - timedelta(seconds=1)
        ).is_due()
        late = NightlyAudit(database, client, MAIN_ACCOUNT, lambda: done)
        assert not late.is_due()
        with database.write() as connection:
            connection.execute(update(attempts).values(result="in doubt"))
            connection.execute(update(batches).values(finished_at=utc_now() + timedelta(seconds=1)))
        assert late.is_due()


def test_the_thread_audits_when_it_is_due_and_survives_a_failure(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(simulator, database, 2)
    monkeypatch.setattr(auditing, "LOOK", 0.01)
    monkeypatch.setattr(auditing, "DUE_LOOK", 0.01)
    stop, started, broken = Event(), utc_now(), Event()

    def clock() -> datetime:
        if utc_now() > started and not broken.is_set():
            broken.set()
            raise OSError("the disk is gone for a moment")
        return utc_now()

    with client_of(simulator) as client:
        nightly = NightlyAudit(database, client, MAIN_ACCOUNT, lambda: started - timedelta(days=2))
        nightly._clock = clock
        thread = Thread(target=nightly.duty().repeat, args=(stop,))
        thread.start()
        wait_until(lambda: last_audit(database, MAIN_ACCOUNT) is not None, "an audit")
        stop.set()
        thread.join()
    found = last_audit(database, MAIN_ACCOUNT)
    assert found
    assert found.agrees
    assert broken.is_set()


def test_requested_audits_of_an_account_are_made_and_finished(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 2)
    since = midnight(utc_now())
    numbers = [request_audit(database, when, MAIN_ACCOUNT) for when in (None, since)]
    other = request_audit(database, None, "second")
    with client_of(simulator) as client:
        NightlyAudit(database, client, MAIN_ACCOUNT).answer_requests()
    done = [request_store.get(database, number) for number in numbers]
    assert [found and (found.error, found.failure, found.answered_at > 0) for found in done] == [("", "", True)] * 2
    last = last_audit(database, MAIN_ACCOUNT)
    assert last and (last.ours, last.since) == (2, f"{since:%Y-%m-%d}")
    waiting = request_store.waiting(database, RequestKind.AUDIT, "second")
    assert waiting and (waiting.request_id, last_audit(database, "second")) == (other, None)


def test_a_requested_audit_that_fails_is_finished_with_a_sentence(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it must not wait for ever, and the next request is answered by the next turn."""
    failing, waiting = request_audit(database, None, MAIN_ACCOUNT), request_audit(database, utc_now(), MAIN_ACCOUNT)
    with client_of(simulator) as client:
        nightly = NightlyAudit(database, client, MAIN_ACCOUNT)
        with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
            patched.setattr(auditing, "run_audit", lambda *_: 1 / 0)
            nightly.answer_requests()
        nightly.answer_requests()
    failed, done = request_store.get(database, failing), request_store.get(database, waiting)
    assert failed and (failed.error, failed.failure) == (auditing.AUDIT_FAILED, "GSMFusionAPIError")
    assert done and done.error == "" and done.answered_at > 0


def test_the_status_page_shows_the_last_audit(simulator: Simulator, settings: Settings, database: IMEIDatabase) -> None:
    page = Browser(make_app(settings, database, Provider(SERVICES)))
    assert "it runs every night" in page.get("/status").text
    simulator.set(accountinfo="off")  # while orders are placed, so that the first audit has no balance before it
    place(simulator, database)
    simulator.set(accountinfo="on")
    audited(simulator, database)
    shown = page.get("/status").text
    assert "both sides agree" in shown
    assert f"The balance was not compared. {auditing.NO_READING}" in shown
    stored = json.loads(database.get_setting(auditing.LAST) or "")
    for change, words in (({"in_doubt": 1}, "IMEIs in doubt"), ({"only_by_id": 1}, "not fully compared")):
        database.set_setting(auditing.LAST, json.dumps(stored | change))
        shown = page.get("/status").text
        assert words in shown
        assert "they differ" not in shown
    database.insert_order({"order_id": "77", "imei": imeis(1, 500)[0], "status": "Pending", "order_date": utc_now()})
    audited(simulator, database)
    shown = " ".join(page.get("/status").text.split())
    assert "they differ" in shown
    assert "1 recorded only here" in shown
    database.set_setting(auditing.LAST, '{"at": 1, "word_of_another_version": 2}')
    assert "it runs every night" in page.get("/status").text
