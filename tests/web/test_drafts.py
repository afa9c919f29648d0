"""Each upload is read once for each way of reading, and a list of known IMEIs is not read as a file at all."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import xlsxwriter
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, Browser, answer_chunks, confirm_fields, words

from backend import Backend
from database import IMEIDatabase
from orders import Outcome
from results import uploaded
from spreadsheets import Choice, parse_file, parse_text
from web import drafts

CSV = "\n".join(["IMEI;Other", *map("{};{}".format, imeis(5), imeis(5, first=60))]).encode()


@pytest.fixture(name="reads")
def reads_fixture(monkeypatch: pytest.MonkeyPatch) -> list[Choice]:
    """The choices that a file or a text was parsed with, one for each time."""
    reads: list[Choice] = []

    def counted(parse: Callable[..., Any]) -> Callable[..., Any]:
        def parse_and_count(content: bytes | str, choice: Choice, limit: int) -> Any:
            reads.append(choice)
            return parse(content, choice, limit)

        return parse_and_count

    monkeypatch.setattr(uploaded, "parse_file", counted(parse_file))
    monkeypatch.setattr(uploaded, "parse_text", counted(parse_text))
    return reads


@pytest.fixture(name="backend")
def backend_fixture(app: Flask) -> Backend:
    backend: Backend = app.extensions["backend"]
    return backend


def workbook() -> bytes:
    """Five phones with two IMEIs each in one cell, the last one in a hidden row."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet("Stock")
        sheet.write_column(0, 0, ["IMEI", *map("{}/{}".format, imeis(5), imeis(5, first=60))])
        sheet.set_row(5, None, None, {"hidden": True})
    return file.getvalue()


@pytest.mark.parametrize("content", [CSV, workbook()])
def test_an_upload_is_parsed_once_from_upload_to_confirmation(
    browser: Browser, reads: list[Choice], content: bytes
) -> None:
    preview = browser.upload(content).location
    assert browser.get(preview + "/rejects.csv").status_code == 200
    assert browser.confirm(preview).location == "/batches/1"
    assert len(reads) == 1


def test_a_paste_is_parsed_once_from_paste_to_confirmation(browser: Browser, reads: list[Choice]) -> None:
    browser.start(imeis(5))
    assert len(reads) == 1


def test_hidden_rows_second_imeis_and_check_digits_need_no_second_parse(browser: Browser, reads: list[Choice]) -> None:
    preview = browser.upload(workbook()).location
    hidden, second = {"was_hidden_rows": "1"}, {"was_second_imeis": "1", "second_imeis": "on"}
    sent = []
    for form in (hidden, hidden | second, hidden | {"hidden_rows": "on"} | second | {"include_luhn": "on"}):
        browser.post(preview + "/options", form)
        sent.append(confirm_count(browser, preview))
    assert sent == [4, 8, 10]
    assert len(reads) == 1


def confirm_count(browser: Browser, preview: str) -> int:
    """The number of IMEIs that the preview's button would send."""
    return int(confirm_fields(browser.get(preview).text)["count"])


def test_another_column_is_parsed_once_and_its_intake_kept_too(browser: Browser, reads: list[Choice]) -> None:
    preview = browser.upload(CSV).location
    for column in ("1", "0", "1", "0"):
        browser.post(preview + "/options", {"column": column})
        browser.get(preview)
    assert [choice.column for choice in reads] == [None, 1, 0]


@pytest.mark.parametrize("damage", [b"", b"no intake", None])
def test_a_damaged_or_missing_intake_is_parsed_again(
    browser: Browser, backend: Backend, reads: list[Choice], damage: bytes | None
) -> None:
    preview = browser.upload(CSV).location
    shown = words(browser.get(preview))
    (kept,) = backend.uploads.glob("*.*")
    if damage is None:
        kept.unlink()
    else:
        kept.write_bytes(damage)
    assert words(browser.get(preview)) == shown
    assert words(browser.get(preview)) == shown
    assert len(reads) == 2


def test_an_intake_with_one_changed_bit_is_parsed_again(browser: Browser, backend: Backend) -> None:
    preview = browser.upload(CSV).location
    shown = words(browser.get(preview))
    (kept,) = backend.uploads.glob("*.*")
    whole = kept.read_bytes()
    for place in range(0, len(whole), 7):
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert words(browser.get(preview)) == shown


def test_an_intake_that_cannot_be_stored_is_parsed_again(
    browser: Browser, reads: list[Choice], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploaded, "keep_intake", full)
    assert browser.confirm(browser.upload(CSV).location).location == "/batches/1"
    assert len(reads) == 3


def test_the_limit_is_checked_on_a_kept_intake_too(browser: Browser, backend: Backend, reads: list[Choice]) -> None:
    preview = browser.upload(CSV).location
    backend.settings = replace(backend.settings, max_batch_imeis=4)
    assert "holds 5 different IMEIs, and a batch takes 4" in words(browser.led_back(browser.get(preview)))
    assert len(reads) == 1


def wrong(imei: str) -> str:
    return imei[:14] + str((int(imei[14]) + 1) % 10)


def test_a_list_of_known_imeis_is_never_parsed(browser: Browser, database: IMEIDatabase, reads: list[Choice]) -> None:
    """Retry, re-check, the missing IMEIs of a search and many typed IMEIs: each leads to a preview of its list."""
    browser.start(imeis(3))
    answer_chunks(database, lambda imei: (Outcome.REFUSED, "No."))
    search = browser.post("/history/search", {"imeis": "\n".join(imeis(4, first=200))}).location
    reads.clear()
    service = {"service_id": CARRIER.package_id}
    previews = [
        browser.post("/batches/1/retry"),
        browser.post("/history/recheck", service | {"imeis": "", "imei": imeis(1)[0]}),
        browser.post(search.partition("?")[0] + "/order", service),
        browser.post("/submit", service | {"imeis": "\n".join(imeis(25, first=300))}),
    ]
    assert [confirm_count(browser, answer.location) for answer in previews] == [3, 1, 4, 25]
    assert browser.confirm(previews[2].location).location == "/batches/2"
    assert reads == []


def test_a_list_holds_its_imeis_in_order_and_the_wrong_ones_with_their_reason(app: Flask) -> None:
    good = imeis(2)
    given = [good[0], wrong(good[1]), "3533700*****", good[1]]
    with app.test_request_context():
        token = drafts.from_imeis(given, "Known", CARRIER.package_id)
        upload = drafts.find(token)
        assert upload
        intake = drafts.read(upload, Choice())
    assert [(ready.imei, ready.row) for ready in intake.ready] == [(good[0], 1), (good[1], 4)]
    assert [(failed.imei, failed.row) for failed in intake.luhn_failed] == [(wrong(good[1]), 2)]
    assert [(bad.text, bad.row) for bad in intake.rejected] == [("3533700*****", 3)]


def test_a_damaged_list_gets_a_sentence(browser: Browser, backend: Backend) -> None:
    answer = browser.post("/submit", {"service_id": CARRIER.package_id, "imeis": "\n".join(imeis(25))})
    (stored,) = backend.uploads.iterdir()
    stored.write_bytes(b"damaged")
    assert "choose the IMEIs again" in words(browser.led_back(browser.get(answer.location)))
