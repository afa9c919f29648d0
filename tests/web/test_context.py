"""What views share about URLs: numbers that no row can have, and batches that are not there."""

import pytest
from simulated_provider import imeis
from web_client import Browser


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
