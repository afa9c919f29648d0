"""Each route declares the role that it needs, and a route without a declaration is refused."""

from pathlib import Path

import pytest
from web_client import Browser

from web.access import ATTRIBUTE, Permission


def test_each_route_declares_its_role(browser: Browser) -> None:
    app = browser.client.application
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}
    undeclared = {name for name, view in views.items() if not isinstance(getattr(view, ATTRIBUTE, None), Permission)}
    assert undeclared == {"static"}


def test_a_route_without_a_declaration_is_refused(browser: Browser) -> None:
    app = browser.client.application
    app._got_first_request = False  # Flask adds no route after the first request
    app.add_url_rule("/forgotten", "forgotten", lambda: "a secret")
    assert browser.get("/forgotten").status_code == 403


@pytest.mark.parametrize("path", ["/nothing-here", "/batches/999999999"])
def test_an_unknown_page_is_not_found(browser: Browser, path: Path) -> None:
    assert browser.get(str(path)).status_code == 404
