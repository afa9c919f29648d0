"""The list of services and the balance: how old they may be, and when the provider is asked again."""

import threading
import time
from dataclasses import replace

from local_provider import LocalProvider
from simulated_provider import imeis
from web_client import SERVICES, Browser, Provider, answer_chunks, words

from account.answerer import Questions
from account.catalogue import AccountBalance, ServiceCatalog
from account.state import provider_state
from database import IMEIDatabase
from orders import ServiceInfo
from storage import balance_store


def test_services_are_asked_once_for_all_pages(browser: Browser, provider: Provider) -> None:
    for _ in range(3):
        browser.get("/services")
    assert provider.asked == 1


def test_a_stale_list_is_better_than_none_and_is_not_asked_for_at_once_again(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    assert [s.package_id for s in catalog.current().services] == [s.package_id for s in SERVICES]
    provider.down = True
    now[0] += 400
    for _ in range(3):
        old = catalog.current()
        assert old.stale
        assert len(old.services) == 3
        assert "maintenance" in old.error
    assert provider.asked == 2
    now[0] += 31
    provider.down = False
    assert not catalog.current().stale
    assert provider_state(database).ok


def test_a_list_that_is_confirmed_is_seconds_old_unless_the_provider_is_silent(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    catalog.current()
    now[0] += 9
    assert not catalog.for_confirmation().stale
    assert provider.asked == 1
    now[0] += 2
    provider.services = [replace(SERVICES[0], price=0.48), *SERVICES[1:]]
    risen = catalog.for_confirmation().find(SERVICES[0].package_id)
    assert risen is not None
    assert (risen.price, provider.asked) == (0.48, 2)
    provider.down = True
    now[0] += 200
    silent = catalog.for_confirmation()
    assert (silent.stale, provider.asked) == (False, 3)
    assert "maintenance" in silent.error
    catalog.for_confirmation()
    assert provider.asked == 3  # not at once again
    now[0] += 101
    assert catalog.for_confirmation().stale


def test_confirming_waits_for_the_list_as_long_as_it_is_told_and_no_longer(database: IMEIDatabase) -> None:
    answer = threading.Event()

    def slow() -> list[ServiceInfo]:
        answer.wait(10)
        return list(SERVICES)

    catalog = ServiceCatalog(LocalProvider(database, Questions(services=slow)))
    began = time.monotonic()
    assert catalog.for_confirmation(0.05).stale
    assert time.monotonic() - began < 5
    answer.set()
    assert not catalog.for_confirmation(10).stale


def test_an_empty_list_does_not_replace_a_full_one(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider(list(SERVICES))
    catalog = ServiceCatalog(LocalProvider(database, Questions(services=provider.list_services), lambda: now[0]))
    catalog.current()
    provider.services = []
    now[0] += 400
    assert len(catalog.current().services) == 3


def test_a_balance_is_trusted_while_it_is_young(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider([], credits=12.5)
    account = AccountBalance(LocalProvider(database, Questions(account=provider.account), lambda: now[0]))
    assert account.current().credits == 12.5
    provider.down = True
    now[0] += 3600
    old = account.current()
    assert (old.credits, old.trusted) == (12.5, False)


def test_a_balance_from_before_the_newest_orders_is_asked_again_and_says_so_until_then(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    """After a batch of $88 the dashboard and the next preview showed the balance from before it."""
    provider.credits = 100.0
    browser.start(imeis(3))
    answer_chunks(database)
    provider.credits = 12.0
    text = words(browser.get("/"))
    assert "Balance $100.00 just now, before the newest orders" in text
    with database.write() as connection:  # a while later
        connection.exec_driver_sql(
            "UPDATE settings SET value = json_set(value, '$.at', ?) WHERE key = 'account'", (time.time() - 11,)
        )
    text = words(browser.get(browser.paste(imeis(2, first=50))))
    assert "Balance just now $12.00" in text
    assert "Balance $12.00 just now" in words(browser.get("/"))


def test_a_balance_that_the_runner_has_read_counts_as_the_newest(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    provider.credits = 100.0
    browser.start(imeis(3))
    answer_chunks(database)
    with database.write() as connection:
        balance_store.record_reading(connection, 99.76)
    text = words(browser.get("/"))
    assert "Balance $99.76 just now" in text
    assert "before the newest orders" not in text
    assert browser.get("/status.json").get_json()["balance"] == 99.76
