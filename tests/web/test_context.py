"""What views share: numbers that no row can have, batches that are not there, and pages that read each thing once."""

import pytest
from flask import Flask
from simulated_provider import imeis
from sqlalchemy import Engine, event
from web_client import Browser, answer_chunks

from database import IMEIDatabase


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "doubt/ask", "doubt/not-placed", "doubt/placed"])
def test_an_unknown_batch_cannot_be_moved(browser: Browser, action: str) -> None:
    assert browser.post(f"/batches/9/{action}").status_code == 404


def test_numbers_that_no_row_can_have_lead_nowhere(browser: Browser) -> None:
    huge = "9" * 25
    for path in (f"/batches/{huge}", f"/batches/{huge}/progress.json", f"/batches/{huge}/doubt"):
        assert browser.get(path).status_code == 404, path
    assert browser.get(f"/batches?before={huge}").status_code == 200
    batch_id = browser.start(imeis(1))
    assert browser.post(f"/batches/{batch_id}/doubt/placed", {"item_id": huge, "order_id": "1"}).status_code == 400


#: Statements of each page with a batch under way, when nothing is remembered. A page pays for each of them.
STATEMENTS = {
    "/": 22,
    "/services": 14,
    "/history": 17,
    "/history?carrier=Verizon": 18,
    "/batches": 12,
    "/batches/1": 19,
    "/status": 18,
    "/reports": 16,
    "/reports/disputes": 14,
    "/tags": 9,
    "/help": 8,
}


def test_a_page_reads_once_what_it_needs(browser: Browser, app: Flask, database: IMEIDatabase) -> None:
    browser.start(imeis(120))
    answer_chunks(database)
    assert {path: _statements(browser, app, path) for path in STATEMENTS} == STATEMENTS


def _statements(browser: Browser, app: Flask, path: str) -> int:
    """Return how many statements a page runs when nothing is remembered."""
    caught: list[str] = []

    def catch(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            caught.append(statement)

    app.extensions["backend"].forget()
    event.listen(Engine, "before_cursor_execute", catch)
    try:
        assert browser.get(path).status_code == 200
    finally:
        event.remove(Engine, "before_cursor_execute", catch)
    return len(caught)
