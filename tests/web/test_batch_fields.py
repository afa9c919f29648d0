"""A batch has a name, a customer and a note: given with the upload, changed later, searched, and in file names."""

from io import BytesIO

import pytest
from simulated_provider import imeis
from web_client import CARRIER, Browser, answer_chunks, confirm_fields, words

from database import IMEIDatabase
from orders import BatchNames, Outcome
from web.batch_fields import LONGEST_NAME, LONGEST_NOTE, names_from, one_line

NAMES = {"name": "Berlin returns", "customer": "Acme PO 4711", "note": "Box 3\nurgent"}


def upload(browser: Browser, **names: str) -> str:
    """Upload two IMEIs with these names; return the address of the preview."""
    content = "\n".join(["IMEI", *imeis(2)]).encode()
    form = {"file": (BytesIO(content), "stock.csv"), "service_id": CARRIER.package_id} | names
    return browser.post("/batch", form).location


def test_names_go_from_the_upload_to_the_batch_and_change_nothing_that_is_ordered(browser: Browser) -> None:
    """The preview shows them and takes others with the confirmation."""
    preview = upload(browser, **NAMES)
    page = browser.get(preview)
    assert all(value in page.text for value in NAMES.values())
    live = browser.post(preview, confirm_fields(page.text) | {"options": "1", "customer": "Acme PO 4712"}).location
    batch = words(browser.get(live))
    assert all(part in batch for part in ("Berlin returns", "Acme PO 4712", "Box 3 urgent"))
    name = browser.get(f"{live}/results.csv").headers["Content-Disposition"]
    assert "batch-1_acme-po-4712-berlin-returns_" in name
    browser.post(f"{live}/names", {"name": " ", "customer": "", "note": "sent"})
    batch = words(browser.get(live))
    assert ("Berlin returns" in batch, "Acme" in batch, "sent" in batch) == (True, False, True)


def test_an_upload_without_names_is_called_like_its_file(browser: Browser) -> None:
    assert "<h1>stock.csv" in browser.get(browser.confirm(upload(browser)).location).text


def test_names_are_kept_when_a_form_is_refused(browser: Browser) -> None:
    form = NAMES | {"imeis": imeis(1)[0], "service_id": ""}
    page = browser.led_back(browser.post("/batch", form)).text
    assert all(value in page for value in NAMES.values())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("berlin", True),
        ("4711 ACME", True),
        ("urgent", True),
        ("1", True),
        ("#1", True),
        ("%", False),
        ("2", False),
        ("9" * 40, False),
    ],
)
def test_the_list_is_searched_by_name_customer_note_and_id(browser: Browser, query: str, found: bool) -> None:
    browser.confirm(upload(browser, **NAMES | {"customer": "Acme PO 47-11" if query == "2" else "Acme PO 4711"}))
    page = browser.get("/batches", query_string={"q": query})
    assert ('href="/batches/1"' in page.text, "No matching batch" in page.text) == (found, not found)


def test_what_is_sent_again_is_for_the_same_customer(browser: Browser, database: IMEIDatabase) -> None:
    browser.confirm(upload(browser, **NAMES))
    answer_chunks(database, lambda imei: (Outcome.REFUSED, "no"))
    page = browser.get(browser.post("/batches/1/retry").location).text
    assert all(value in page for value in ("Again: Berlin returns", NAMES["customer"], NAMES["note"]))


def test_a_form_changes_what_it_holds_and_a_blank_name_changes_nothing() -> None:
    before = BatchNames("Berlin", "Acme", "Box 3\nurgent")
    assert names_from({}, before) == before
    assert names_from({"name": " \t", "customer": "", "note": ""}, before) == BatchNames("Berlin")
    assert names_from({"name": " A\nB\u2028C ", "note": "  "}, before) == BatchNames("A B C", "Acme")
    longest = names_from({"name": "n" * 101, "customer": "c" * 101, "note": "x" * 600 + "\n" + "y" * 600}, before)
    assert (len(longest.name), len(longest.customer), len(longest.note)) == (LONGEST_NAME, LONGEST_NAME, LONGEST_NOTE)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\r\nb", "a b"), ("\x00a\x7f", "a"), ("a\u202eb", "a b"), ("  a   b ", "a b"), ("", ""), ("ü – 漢", "ü – 漢")],
)
def test_a_line_holds_no_sign_that_would_break_it(text: str, line: str) -> None:
    assert one_line(text) == line
    assert one_line("x" * 9 + " y", 9) == "x" * 9
