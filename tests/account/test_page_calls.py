"""Pages never take more of the calls of a minute than are left to them, in whichever process they are opened."""

import pytest

from account.page_calls import LIST_KEPT, AskedOftenError, PageCalls, RecentOrders
from database import IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError
from orders import IMEIOrder

LISTED = [IMEIOrder("7", "353370080000001", "Pending", "long text", "1739", "2026-11-25 10:00:00")]


class Provider:
    """Lists its orders, or fails, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error = ""

    def __call__(self) -> list[IMEIOrder]:
        self.asked += 1
        if self.error:
            raise GSMFusionAPIError(self.error)
        return LISTED


def test_two_processes_share_the_calls_of_a_minute(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    one, other = (PageCalls(database, 60, lambda: now[0]).counted(provider) for _ in range(2))
    one()
    now[0] += 30
    other()
    for ask in (one, other):
        with pytest.raises(AskedOftenError, match="in 31 s"):
            ask()
    now[0] += 31
    one()
    with pytest.raises(AskedOftenError):
        other()
    assert provider.asked == 3


def test_a_clock_that_was_set_back_locks_nobody_out(database: IMEIDatabase) -> None:
    now, provider = [9000.0], Provider()
    ask = PageCalls(database, 60, lambda: now[0]).counted(provider)
    ask()
    ask()
    now[0] = 1000.0
    ask()
    assert provider.asked == 3


def test_without_a_limit_nothing_is_counted(database: IMEIDatabase) -> None:
    provider = Provider()
    ask = PageCalls(database, None).counted(provider)
    for _ in range(9):
        ask()
    assert provider.asked == 9


def test_a_list_that_one_process_has_read_serves_the_others_for_a_while(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    one, other = (RecentOrders(database, provider, lambda: now[0]) for _ in range(2))
    assert [order.id for order in one()] == ["7"]
    now[0] += LIST_KEPT - 1
    assert other()[0].requested_at == "2026-11-25 10:00:00"
    assert provider.asked == 1
    now[0] += 1
    other()
    assert provider.asked == 2


def test_a_failure_is_remembered_as_long_as_a_list(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    provider.error = "The provider is in maintenance."
    orders = RecentOrders(database, provider, lambda: now[0])
    for _ in range(2):
        with pytest.raises(GSMFusionAPIError, match="maintenance"):
            orders()
    assert provider.asked == 1


def test_what_was_not_asked_is_no_failure_of_the_provider(database: IMEIDatabase) -> None:
    """A list that had to wait for its turn is read as soon as it has one."""
    now, provider = [1000.0], Provider()
    calls = PageCalls(database, 2, lambda: now[0])
    orders = RecentOrders(database, calls.counted(provider), lambda: now[0])
    calls.counted(provider)()
    with pytest.raises(AskedOftenError):
        orders()
    now[0] += 61
    assert orders() == [IMEIOrder("7", "353370080000001", "Pending", "", "1739", "2026-11-25 10:00:00")]
