"""The provider's state is how its newest call went, whoever made it: a page, the placing loop, or the sync."""

import threading
from dataclasses import replace
from typing import NoReturn

import pytest
from simulated_provider import SERVICE, Knobs, Simulator, imeis
from web_client import SERVICES, Browser, Provider, make_app, words

from account.state import (
    AHEAD,
    REPEAT,
    ProviderState,
    ProviderWatch,
    call_counts,
    provider_state,
    state_of,
    write_state,
)
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from runner import run_or_follow, sync_or_follow
from settings import MAIN_ACCOUNT, Settings
from storage.batch_creation import NewBatch, create_batch
from storage.list_limits import write_list_limit


@pytest.mark.parametrize(
    ("error", "works"),
    [
        (None, True),
        (RateLimitedError("Fewer calls, please."), True),
        (RefusedError(RefusalKind.INVALID_IMEI, "Invalid IMEI"), True),
        (RefusedError(RefusalKind.DUPLICATE, "IMEI already exists"), True),
        (RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID"), True),
        (RefusedError(RefusalKind.CREDENTIALS, "Invalid User"), False),
        (RefusedError(RefusalKind.CREDIT, "Credit has been finished"), False),
        (RefusedError(RefusalKind.UNKNOWN, "Database error"), False),
        (NotSentError("No connection."), False),
        (MaintenanceError("Down."), False),
        (OutcomeUnknownError("HTTP 503."), False),
    ],
)
def test_an_answer_that_turns_an_imei_away_is_no_failure_of_the_provider(
    error: GSMFusionAPIError | None, works: bool
) -> None:
    state = state_of("placeorder", 0.25, error, 1000.0)
    assert state == ProviderState(works, 250, 1000.0, "" if works else str(error), "placing orders")


def test_an_older_call_does_not_replace_a_newer_one_unless_a_wrong_clock_wrote_that(database: IMEIDatabase) -> None:
    assert provider_state(database) == ProviderState()
    write_state(database, ProviderState(False, 9, 1000.0, "down", "placing orders"), {}, MAIN_ACCOUNT)
    write_state(database, ProviderState(True, 9, 999.0, "", "reading services"), {}, MAIN_ACCOUNT)
    assert not provider_state(database).ok
    write_state(database, ProviderState(True, 9, 1000.0 - AHEAD, "", "reading services"), {}, MAIN_ACCOUNT)
    assert provider_state(database).ok


def test_a_hundred_calls_a_second_are_one_write_until_something_changes(database: IMEIDatabase) -> None:
    now = [1000.0]
    watch = ProviderWatch(database, MAIN_ACCOUNT, lambda: now[0])
    for n in range(20):
        now[0] = 1000.0 + n / 10
        watch.report("placeorder", 0.1, None)
        watch.write()
    assert provider_state(database).at == 1000.0
    watch.report("placeorder", 0.1, NotSentError("No connection."))
    watch.write()
    assert provider_state(database).error == "No connection."
    now[0] += 6
    watch.report("placeorder", 0.1, NotSentError("No connection."))
    watch.write()
    assert provider_state(database).at == now[0]
    watch.report("getimeis", 0.1, NotSentError("No connection."))
    stop = threading.Event()
    stop.set()
    watch.run(stop)
    assert provider_state(database).call == "reading orders"


def test_what_has_not_changed_is_written_again_after_some_seconds_and_nothing_before_the_first_call(
    database: IMEIDatabase,
) -> None:
    now = [1000.0]
    watch = ProviderWatch(database, MAIN_ACCOUNT, lambda: now[0])
    watch.write()
    assert provider_state(database) == ProviderState()
    for seconds, written_at in ((0.0, 1000.0), (REPEAT - 0.1, 1000.0), (REPEAT, 1000.0 + REPEAT)):
        now[0] = 1000.0 + seconds
        watch.report("placeorder", 0.1, None)
        watch.write()
        assert provider_state(database).at == written_at


def test_counts_that_cannot_be_written_are_written_once_with_the_next_ones(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    watch = ProviderWatch(database, MAIN_ACCOUNT, lambda: now[0])
    watch.report("placeorder", 0.1, None)
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", unwritable)
        watch.write()
    assert call_counts(database) == {}
    for _ in range(3):
        now[0] += REPEAT
        watch.report("placeorder", 0.1, None)
        watch.write()
    assert call_counts(database)["placing orders"].outcomes == {"answered": 4}


def unwritable() -> NoReturn:
    raise DatabaseUnavailableError("", None, OSError("a full disk"))


def shown(settings: Settings, database: IMEIDatabase) -> tuple[str, str, str]:
    """The provider's state in the sidebar and for the probe, and the words of the page of it."""
    app = make_app(settings, database, Provider(list(SERVICES)))
    browser = Browser(app)
    probe = browser.get("/health").get_json()["checks"]["api"]
    bar = browser.get("/status.json").get_json()
    app.extensions["stopping"].set()
    return bar["provider"], probe["status"], words(browser.get("/status"))


def test_placing_and_syncing_say_that_the_provider_is_down_and_that_it_is_back(
    settings: Settings, database: IMEIDatabase
) -> None:
    """Pages had asked just before, so the status stayed green while every order failed."""
    with Simulator(Knobs(turnaround=3600)) as simulator:
        real = replace(settings, api_key="DEMO-KEY", username="demo", base_url=simulator.base_url, call_timeout=5.0)
        with database.write() as connection:
            write_list_limit(connection, SERVICE, 100)
        run(real, database, imeis(1))
        assert shown(settings, database)[:2] == ("ok", "ok")
        simulator.set(fault="maintenance", fault_actions=("placeorder",))
        run(real, database, imeis(1, first=50))
        bar, probe, page = shown(settings, database)
        assert (bar, probe) == ("failing", "failing")
        assert "last call: placing orders" in page
        simulator.set(fault="")
        assert sync_or_follow(real, database).asked == 1
        assert shown(settings, database)[:2] == ("ok", "ok")
        simulator.set(fault="maintenance", fault_actions=("getimeis",))
        assert sync_or_follow(real, database).error
        bar, probe, page = shown(settings, database)
        assert (bar, probe) == ("failing", "failing")
        assert "last call: reading orders" in page


def run(settings: Settings, database: IMEIDatabase, numbers: list[str]) -> None:
    """A batch of these, until it is over or has met the provider's trouble."""
    wanted = [(imei, None) for imei in numbers]
    batch_id = create_batch(database, NewBatch("test", "command", SERVICE, "T-Mobile", 0.1, wanted))
    stop = threading.Event()
    run_or_follow(settings, database, batch_id, lambda found: stop.set() if found.notice else None, stop)
