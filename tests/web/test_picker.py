"""The services as a picker lists them, and the one that a form begins with."""

from collections.abc import Iterator

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, MAIL, SERVICES, Browser, order_batch

from backend import Backend
from database import IMEIDatabase
from orders import Catalogue
from people import Actor, Role
from storage.customer_store import set_default_service
from web.access import set_actor
from web.picker import choose_own_service, offered, own_service, preselected, service_choices

TMOBILE = SERVICES[2]


def test_a_picker_lists_favourites_and_recent_services_first_and_chooses_the_last_one(browser: Browser) -> None:
    assert "Favourite and recent" not in browser.get("/batch").text
    browser.start(imeis(1))
    browser.post("/favourites", {"mark": "269"})
    page = browser.get("/batch").text
    assert page.index('value="269"') < page.index(f'value="{CARRIER.package_id}"') < page.index("All others")
    assert f'data-mark="recent" selected>{CARRIER.title}' in page
    assert browser.post("/favourites", {"mark": "7"}).status_code == 404
    browser.post("/favourites", {"unmark": "269"})
    page = browser.get("/submit").text
    assert page.index("All others") < page.index('value="269"')
    assert len(SERVICES) == page.count("<option") - 1


@pytest.fixture
def catalogue(app: Flask) -> Iterator[Catalogue]:
    """The list of services, for a request of anna."""
    backend: Backend = app.extensions["backend"]
    with app.test_request_context():
        set_actor(Actor("anna", Role.OPERATOR))
        yield backend.catalog.current()


def test_a_recent_service_that_is_no_longer_listed_is_not_offered(catalogue: Catalogue, database: IMEIDatabase) -> None:
    order_batch(database, imeis(1), CARRIER)
    shorter = Catalogue((MAIL, TMOBILE), 0.0, stale=False, error="")
    assert service_choices(catalogue).first == (CARRIER,)
    assert service_choices(catalogue).others == (MAIL, TMOBILE)
    assert service_choices(shorter).first == ()
    assert preselected(shorter, "") == ""


def test_a_form_begins_with_the_default_of_the_customer_then_the_persons_then_the_last_one(
    catalogue: Catalogue, database: IMEIDatabase
) -> None:
    assert preselected(catalogue, "") == ""
    order_batch(database, imeis(1), CARRIER)
    assert preselected(catalogue, "") == CARRIER.package_id
    choose_own_service(TMOBILE.package_id)
    assert (own_service(), preselected(catalogue, "")) == (TMOBILE.package_id, TMOBILE.package_id)
    set_default_service(database, "Acme", CARRIER.package_id)
    assert preselected(catalogue, "", "ACME ") == CARRIER.package_id
    assert preselected(catalogue, "", "Other") == TMOBILE.package_id
    assert preselected(catalogue, "404", "Acme") == "404", "what was chosen on a page stays, whatever it is"
    choose_own_service("")
    assert (own_service(), preselected(catalogue, "", "Other")) == ("", CARRIER.package_id)


def test_a_service_that_needs_more_than_an_imei_is_no_default(catalogue: Catalogue, database: IMEIDatabase) -> None:
    choose_own_service(MAIL.package_id)
    set_default_service(database, "Acme", MAIL.package_id)
    order_batch(database, imeis(1), CARRIER)
    assert preselected(catalogue, "", "Acme") == CARRIER.package_id
    assert offered(catalogue, "Acme", CARRIER.package_id) is None


def test_a_default_is_chosen_by_each_person(catalogue: Catalogue) -> None:
    choose_own_service(TMOBILE.package_id)
    set_actor(Actor("berta", Role.OPERATOR))
    assert own_service() == ""


def test_the_default_of_a_customer_is_offered_where_another_service_is_shown(
    catalogue: Catalogue, database: IMEIDatabase
) -> None:
    set_default_service(database, "Acme", CARRIER.package_id)
    assert offered(catalogue, "acme", TMOBILE.package_id) == CARRIER
    assert offered(catalogue, "acme", CARRIER.package_id) is None
    assert offered(catalogue, "", TMOBILE.package_id) is None
    assert offered(Catalogue((TMOBILE,), 0.0, stale=False, error=""), "acme", TMOBILE.package_id) is None
