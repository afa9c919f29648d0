"""Options of the loop."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from database import IMEIDatabase
from settings import ProviderAccount, Settings, SettingsError
from submission import OtherAccountError
from submission.account_guard import mark_of
from submission.options import call_threads, options_of, parts_from_environment


def test_the_threads_of_calls_are_all_there_before_the_first_call() -> None:
    """To start one between busy ones would stall the writer."""
    before = threading.active_count()
    with call_threads(3) as pool:
        assert threading.active_count() == before + 3
        assert sum(thread.name.startswith("call_") for thread in threading.enumerate()) == 3
        assert pool.submit(lambda: 7).result(10) == 7
    assert threading.active_count() == before


@pytest.fixture(name="environment")
def environment_fixture(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> pytest.MonkeyPatch:
    """The environment of an account, with a folder of this test."""
    given = {"GSM_FUSION_API_KEY": "K", "GSM_FUSION_USERNAME": "wholesaler", "DATA_DIR": str(data_dir)}
    for name, value in {**given, "WORKERS": "7", "GSM_FUSION_RATE_LIMIT": "20"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_parts_of_a_system_are_those_that_the_environment_names(
    environment: pytest.MonkeyPatch, data_dir: Path
) -> None:
    database, client, checkpoints, options, throttle, settings = parts_from_environment()
    with database, client:
        assert (database.path, checkpoints.folder) == (settings.database_path, data_dir / "checkpoints")
        assert (throttle.workers, throttle.limit, options.workers, options.limit) == (7, 20, 7, 20)
        assert options.mark is not None and options == options_of(settings, database)
        assert client._options.pool_size == 7 + 2  # beside the calls, looks and balances are read
        assert client._options.turns is throttle  # reads of the list keep to the limit of the orders


def test_there_are_no_parts_without_credentials_or_for_the_orders_of_another_account(
    environment: pytest.MonkeyPatch,
) -> None:
    parts_from_environment()[0].close()
    environment.setenv("GSM_FUSION_USERNAME", "somebody-else")
    with pytest.raises(OtherAccountError):
        parts_from_environment()
    for name in ("GSM_FUSION_API_KEY", "GSM_FUSION_USERNAME"):
        environment.delenv(name)
    with pytest.raises(SettingsError):
        parts_from_environment()


def test_an_account_sends_with_limits_and_a_mark_of_its_own(database: IMEIDatabase, live: Settings) -> None:
    """What the settings say of doubt and chunks holds for all of them."""
    second = ProviderAccount("L", "second", live.base_url, 120.0, "b", rate_limit=9, daily_budget=12.5, workers=3)
    both = replace(live, rate_limit=20, workers=7, settle_quiet=33.0, chunk_size=50, more_accounts=(second,))
    main, other = options_of(both, database), options_of(both, database, second)
    assert (main.account, main.workers, main.limit, main.budget) == ("main", 7, 20, None)
    assert (other.account, other.workers, other.limit, other.budget) == ("b", 3, 9, 12.5)
    assert main.mark == mark_of(both, database.install_id()) != other.mark == mark_of(second, database.install_id())
    assert {one.settle_quiet for one in (main, other)} == {33.0}
    assert {one.chunk_size for one in (main, other)} == {50}
    assert {one.patience for one in (main, other)} == {120.0 + 1.5 * 33.0 + 10.0}
