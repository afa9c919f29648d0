"""Whose database it is: with another account nothing is sent, fetched or settled until an administrator adopts it."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_checks import new_batch, outcomes
from handmade_calls import call, listed, look, one, planned, reason, unanswered
from simulated_provider import Simulator, imeis, settings_at
from waiting import wait_until
from web_client import Browser, Provider, make_app, words

from callers import leading
from database import IMEIDatabase, utc_now
from orders import Outcome
from runner import Background, run_or_follow, sync_or_follow
from settings import ProviderAccount, Settings, load_settings
from storage import account_mark, batch_states
from submission import account_guard
from submission.account_guard import (
    OtherAccountError,
    absence_of,
    account_objection,
    adopt_database,
    may_adopt,
)
from submission.settlement import OTHER_ACCOUNT, Settler


def test_an_unused_database_takes_the_mark_of_the_first_account(database: IMEIDatabase, live: Settings) -> None:
    assert account_objection(database, live) == ""
    assert account_objection(database, replace(live, username="another")) != ""
    assert account_objection(database, live) == ""


def test_a_used_database_of_an_older_version_takes_the_mark_of_its_account(
    database: IMEIDatabase, live: Settings
) -> None:
    call(database, imeis(2))
    assert account_objection(database, live) == ""


def test_a_used_database_beside_the_files_of_the_demo_is_marked_by_a_person_only(
    database: IMEIDatabase, live: Settings
) -> None:
    """Older versions kept the orders of the demo in the same file."""
    call(database, imeis(2))
    (live.data_dir / "demo").mkdir()
    assert "not known which account" in account_objection(database, live)
    assert may_adopt(database, live)
    adopt_database(database, live)
    assert account_objection(database, live) == ""


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"username": "somebody"}, "with another user name"),
        ({"base_url": "https://elsewhere.example"}, "placed at https://hammerfusion.com"),
        ({"api_key": "", "username": ""}, "orders of a real account"),
    ],
)
def test_another_user_address_or_mode_is_another_account(
    database: IMEIDatabase, live: Settings, other: dict[str, Any], reason: str
) -> None:
    assert account_objection(database, live) == ""
    assert reason in account_objection(database, replace(live, **other))
    with pytest.raises(OtherAccountError, match="Nothing is sent"):
        account_guard.require_account(database, replace(live, **other))


@pytest.mark.parametrize(
    "same",
    [{"api_key": "another key of the account"}, {"username": " wholesaler "}, {"base_url": "https://HammerFusion.com"}],
)
def test_a_new_key_of_the_same_user_is_the_same_account(
    database: IMEIDatabase, live: Settings, same: dict[str, Any]
) -> None:
    account_objection(database, live)
    assert account_objection(database, replace(live, **same)) == ""


def test_a_marked_database_is_asked_without_writing(database: IMEIDatabase, live: Settings) -> None:
    """Every probe of /health and every second of a process that is not the runner asks, also while others write."""
    account_objection(database, live)
    with database.write():
        assert account_objection(database, live) == ""


def test_the_demo_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = {"DATA_DIR": str(tmp_path)}
    real = {**folder, "GSM_FUSION_API_KEY": "K", "GSM_FUSION_USERNAME": "U"}
    assert load_settings(folder).database_path == tmp_path / "demo" / "imei_orders.db"
    assert load_settings(real).database_path == tmp_path / "imei_orders.db"


def test_a_database_of_the_demo_is_never_adopted_by_a_real_account(
    database: IMEIDatabase, settings: Settings, live: Settings
) -> None:
    account_objection(database, settings)
    assert "simulated orders" in account_objection(database, live)
    assert not may_adopt(database, live)
    with pytest.raises(OtherAccountError):
        adopt_database(database, live)
    assert account_objection(database, settings) == ""


def test_an_adopted_database_sends_nothing_before_a_person_resumes_it(database: IMEIDatabase, live: Settings) -> None:
    account_objection(database, live)
    batch_id, _ = planned(database, 3)
    other = replace(live, username="other")
    adopt_database(database, other)
    assert account_objection(database, other) == ""
    assert "another user name" in account_objection(database, live)
    assert one(database, "SELECT state, notice FROM batches WHERE id = ?", batch_id) == ("paused", account_guard.PAUSED)
    with database.read() as connection:
        assert batch_states.running_batches(connection) == []


def test_doubt_of_the_account_before_is_left_to_a_person(database: IMEIDatabase, live: Settings) -> None:
    """The list of the new account may show an order of the same IMEI, and never shows that there is none."""
    account_objection(database, live)
    doubtful = call(database, imeis(1, first=50))
    unanswered(database, doubtful)
    adopt_database(database, replace(live, username="other"))
    look(database, Settler(60.0), [listed("700", imeis(1, first=50)[0])], 5000.0)
    assert outcomes(database, doubtful.batch_id) == {Outcome.IN_DOUBT: 1}
    assert reason(database, doubtful) == OTHER_ACCOUNT
    later = call(database, imeis(1, first=60))
    unanswered(database, later)
    now = utc_now().isoformat(" ", "seconds")
    look(database, Settler(60.0), [listed("701", imeis(1, first=60)[0], at=now)], 6000.0)
    assert outcomes(database, later.batch_id) == {Outcome.ORDERED: 1}


def test_nothing_is_sent_or_fetched_with_another_account(
    simulator: Simulator, database: IMEIDatabase, settings: Settings
) -> None:
    """Seen: a changed user name sent the waiting IMEIs of a batch to the new account."""
    own, other = settings_at(simulator, settings), settings_at(simulator, settings, username="other")
    account_objection(database, own)
    batch_id = new_batch(database, 20, 10)
    with pytest.raises(OtherAccountError):
        run_or_follow(other, database, batch_id, lambda _: None, threading.Event())
    with pytest.raises(OtherAccountError):
        sync_or_follow(other, database)
    with pytest.raises(OtherAccountError), leading(other, database):
        pass
    assert simulator.calls() == []


def test_the_runner_waits_until_the_database_is_adopted(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It was marked with another address, as after a move of the provider."""
    account_objection(database, settings_at(simulator, settings, base_url="https://old.example"))
    batch_id = new_batch(database, 20, 10)
    background = Background(settings_at(simulator, settings), database)
    background.start()
    try:
        wait_until(lambda: "placed at https://old.example" in caplog.text, "the reason is logged")
        assert simulator.calls() == []
        adopt_database(database, background.settings)
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
        wait_until(lambda: outcomes(database, batch_id).get(Outcome.ORDERED) == 20, "all is ordered")
    finally:
        background.stop()


def test_a_runner_that_is_at_work_stops_when_another_account_adopts_the_database(
    simulator: Simulator, database: IMEIDatabase, settings: Settings
) -> None:
    own = settings_at(simulator, settings)
    background = Background(own, database)
    background.start()
    try:
        first = new_batch(database, 20, 10)
        wait_until(lambda: outcomes(database, first).get(Outcome.ORDERED) == 20, "all is ordered")
        adopt_database(database, replace(own, username="other"))
        second = new_batch(database, 20, 10, first=500)
        assert _is_at_rest(background)
        assert outcomes(database, second) == {Outcome.WAITING: 20}
        assert len(simulator.charges()) == 20
    finally:
        background.stop()


def _is_at_rest(background: Background) -> bool:
    """Two seconds in which a runner at work would have sent something."""
    return not background.stopping.wait(2.0)


def test_pages_say_why_nothing_is_sent_and_adopt_the_database(database: IMEIDatabase, live: Settings) -> None:
    settings = replace(live, api_key="", username="")
    database.set_setting(account_mark.ACCOUNT, '{"mode": "demo", "base_url": "", "user": "somebody else"}')
    browser = Browser(make_app(settings, database, Provider([])))
    page = browser.get("/status")
    assert "Another account" in words(page)
    assert "It holds 0 orders of the other account, $0.00 in all." in words(page)
    refused = browser.post("/status/adopt-account")
    assert refused.status_code == 303
    assert account_objection(database, settings) != ""
    assert browser.post("/status/adopt-account", {"sure": "on"}).status_code == 303
    assert account_objection(database, settings) == ""
    assert "Another account" not in words(browser.get("/status"))


def test_pages_neither_order_nor_decide_with_another_account(database: IMEIDatabase, settings: Settings) -> None:
    doubtful = call(database, imeis(2))
    unanswered(database, doubtful)
    database.set_setting(account_mark.ACCOUNT, '{"mode": "live", "base_url": "https://a.example", "user": "x"}')
    browser = Browser(make_app(settings, database, Provider([])))
    reason = "this database holds orders of a real account"
    for path in (f"/batches/{doubtful.batch_id}/doubt/not-placed", f"/batches/{doubtful.batch_id}/resume"):
        answer = browser.post(path, {"all": "on", "sure": "on"})
        assert answer.status_code == 303
        assert reason in words(browser.get(answer.location))
    assert outcomes(database, doubtful.batch_id) == {Outcome.IN_DOUBT: 2}
    assert "Adopt database" not in words(browser.get("/status"))
    assert reason in words(browser.get("/status"))


# Accounts besides the main one

SECOND = ProviderAccount("KEY", "second", name="b")


def test_the_name_of_an_account_belongs_to_its_user_and_a_user_has_one_name(
    database: IMEIDatabase, live: Settings
) -> None:
    assert account_objection(database, live) == ""
    assert absence_of(database, SECOND) == absence_of(database, SECOND) == ""
    assert "its name belongs to another user name" in absence_of(database, replace(SECOND, username="third"))
    assert "recorded under the name 'b'" in absence_of(database, replace(SECOND, name="c"))
    assert "recorded under the name 'main'" in absence_of(database, replace(SECOND, username=live.username))
    assert absence_of(database, SECOND) == ""
