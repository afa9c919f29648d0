"""The fields of an automation: what is taken of them, what is refused, and the automation in one sentence."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from flask import Flask
from web_client import CARRIER, MAIL, SERVICES
from werkzeug.datastructures import MultiDict

from database import IMEIDatabase
from orders import AutomationKind, Catalogue, NotPossibleError
from people import Actor, Role
from storage import automation_store
from storage.automation_store import Automation, Terms
from storage.order_terms import OrderFilter
from web.automation_form import (
    does,
    filter_objection,
    filter_words,
    read_terms,
    require_free_name,
    stored_text,
    typed_as,
)
from web.filters import read_filter

FORM = {"name": " Second  stage ", "service_id": CARRIER.package_id, "max_price": "", "daily_limit": "$1,250.50"}
SCHEDULE = {"every_days": "7", "hour": "8", "time_zone": "Europe/Berlin", "first_day": "2026-12-06"}
ACTOR = Actor("otto", Role.OPERATOR)


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    """An app that knows nothing but the list of services."""
    app, catalogue = Flask("test"), Catalogue(tuple(SERVICES), 0.0, stale=False, error="")
    app.extensions["backend"] = SimpleNamespace(catalog=SimpleNamespace(current=lambda: catalogue))
    with app.app_context():
        yield


def read(kind: AutomationKind = AutomationKind.RECHECK, /, **changed: str) -> Terms:
    return read_terms(MultiDict(FORM | SCHEDULE | changed), kind, "fmi=OFF")


def made(database: IMEIDatabase, terms: Terms, kind: AutomationKind) -> Automation:
    """Store an automation and return it."""
    with database.write() as connection:
        found = automation_store.find_automation(connection, automation_store.create(connection, kind, terms, ACTOR))
    assert found
    return found


def test_what_is_entered_becomes_terms() -> None:
    terms = Terms("Second stage", "fmi=OFF", CARRIER.package_id, CARRIER.price, 1250.5)
    assert read(AutomationKind.FOLLOW_UP) == terms, "a follow-up has no schedule"
    assert read() == replace(terms, every_days=7, hour=8, time_zone="Europe/Berlin", first_day="2026-12-06")
    assert read(max_price=str(CARRIER.price)).max_price == CARRIER.price


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("name", "n", "n" * 60),
        ("daily_limit", "0.01", "1000000"),
        ("max_price", str(CARRIER.price), "1000000"),
        ("every_days", "1", "365"),
        ("hour", "0", "23"),
        ("first_day", "2020-01-01", "2099-12-31"),
    ],
)
def test_the_ends_of_each_range_are_taken(name: str, lowest: str, highest: str) -> None:
    for value in (lowest, highest):
        assert str(getattr(read(**{name: value}), name)).removesuffix(".0") == value


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": ""}, "Enter a name of at most 60 characters."),
        ({"name": "n" * 61}, "Enter a name of at most 60 characters."),
        ({"service_id": MAIL.package_id}, "needs more than an IMEI"),
        ({"service_id": ""}, "service"),
        ({"max_price": "0.0799"}, "costs $0.08, more than your highest price."),
        ({"max_price": "0"}, "Enter the highest price in US dollars, such as 25 or 0.08."),
        ({"daily_limit": "0"}, "Enter the daily limit in US dollars"),
        ({"daily_limit": "1000000.01"}, "Enter the daily limit in US dollars"),
        ({"daily_limit": "inf"}, "Enter the daily limit in US dollars"),
        ({"daily_limit": "1,5"}, "Enter the daily limit in US dollars"),
        ({"max_price": "0,08"}, "Enter the highest price in US dollars"),
        ({"every_days": "0"}, "Enter the number of days as a whole number from 1 to 365."),
        ({"every_days": "366"}, "whole number from 1 to 365"),
        ({"every_days": "1.0"}, "whole number from 1 to 365"),
        ({"hour": "-1"}, "Enter the hour as a whole number from 0 to 23."),
        ({"hour": "٣"}, "whole number from 0 to 23"),
        ({"time_zone": "Mars/Base"}, "“Mars/Base” is not a time zone such as Europe/Berlin."),
        ({"first_day": "2019-12-31"}, "Enter the first day as a date such as 2026-12-06."),
        ({"first_day": "2100-01-01"}, "Enter the first day"),
        ({"first_day": "soon"}, "Enter the first day"),
    ],
)
def test_what_is_beyond_a_range_is_refused_with_a_sentence(changed: dict[str, str], sentence: str) -> None:
    with pytest.raises(NotPossibleError) as refused:
        read(**changed)
    assert sentence in str(refused.value)


def test_what_a_schedule_lacks_does_not_matter_for_a_follow_up() -> None:
    assert read(AutomationKind.FOLLOW_UP, every_days="never", first_day="").first_day == ""


@pytest.mark.parametrize(
    ("query", "objection"),
    [
        ({}, "Choose a filter in the history first."),
        ({"status": "Completed"}, "Choose a filter in the history first."),
        ({"status": "Pending", "fmi": "ON"}, "An automation works on completed results."),
        ({"verdict": "pending"}, "An automation works on completed results."),
        ({"fmi": "perhaps"}, "“perhaps” is not a value of Find My."),
        ({"fmi": "ON"}, ""),
        ({"fmi": "ON", "status": "completed"}, ""),
        ({"verdict": "fail"}, ""),
    ],
)
def test_an_automation_needs_a_filter_of_completed_results(
    database: IMEIDatabase, query: dict[str, str], objection: str
) -> None:
    found = filter_objection(read_filter(database, query))
    assert found.startswith(objection)
    assert bool(found) == bool(objection)


def test_a_filter_is_stored_without_its_status_and_shown_in_words() -> None:
    text = stored_text(OrderFilter(status="Completed", fmi="OFF", carrier="AT&T", mismatch=True))
    assert text == "carrier=AT%26T&fmi=OFF&mismatch=1"
    assert filter_words(text) == "Carrier is AT&T and Find My is OFF and other IMEI is 1"
    assert filter_words("colour=red") == "colour=red", "a filter of a later version is shown as it is"


def test_an_automation_is_one_sentence(database: IMEIDatabase) -> None:
    weekly, daily = read(), read(name="Daily", every_days="1", hour="23")
    follow_up = made(database, weekly, AutomationKind.FOLLOW_UP)
    assert does(follow_up, "Lock") == "Orders “Lock” for each phone with a new result where Find My is OFF."
    again = "Orders “Lock” again for each phone where Find My is OFF, every "
    recheck = made(database, daily, AutomationKind.RECHECK)
    assert does(recheck, "Lock") == f"{again}day at 23:00 Europe/Berlin."
    assert does(replace(recheck, terms=weekly), "Lock") == f"{again}7 days at 08:00 Europe/Berlin."


def test_a_name_is_free_for_the_automation_that_has_it(database: IMEIDatabase) -> None:
    one = made(database, read(), AutomationKind.FOLLOW_UP)
    with database.read() as connection:
        require_free_name(connection, "Second stage", one.automation_id)
        require_free_name(connection, "Third stage")
        for other in (None, one.automation_id + 1):
            with pytest.raises(NotPossibleError, match="There is an automation named “Second stage” already"):
                require_free_name(connection, "Second stage", other)


def test_the_form_of_an_automation_holds_what_was_entered(database: IMEIDatabase) -> None:
    """To save it again unchanged changes no amount, also none of many digits."""
    for limit in ("1250.5", "123456.78", "1000000", "999999.123456"):
        terms = read(name=f"Up to {limit}", daily_limit=limit)
        typed = typed_as(made(database, terms, AutomationKind.RECHECK))
        assert (typed["max_price"], typed["daily_limit"], typed["hour"]) == ("0.08", limit, "8")
        assert read_terms(typed, AutomationKind.RECHECK, terms.filter) == terms
