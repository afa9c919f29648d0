"""The preview shows how a file was read, and lets every choice be changed: sheet, column, header row, delimiter."""

import io
import re
from collections.abc import Iterator, Sequence

import pytest
import xlsxwriter
from flask import Flask
from hostile_workbooks import READ, REFUSED
from simulated_provider import imeis
from web_client import SERVICES, Browser, Provider, confirm_fields, make_app, words

from database import IMEIDatabase
from settings import Settings


@pytest.fixture(name="browser")
def browser_fixture(settings: Settings, database: IMEIDatabase) -> Iterator[Browser]:
    made: Flask = make_app(settings, database, Provider(list(SERVICES)))
    yield Browser(made)
    made.extensions["stopping"].set()


def workbook(**sheets: Sequence[Sequence[str]]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return file.getvalue()


def chosen(page: str) -> dict[str, str]:
    """What each choice stands at, by the name of its field."""
    fields = re.findall(r'<select id="(sheet|column|header_row|delimiter|encoding)".*?</select>', page, re.DOTALL)
    found = {}
    for name in fields:
        select = re.search(rf'<select id="{name}".*?</select>', page, re.DOTALL)
        assert select
        option = re.search(r'<option value="([^"]*)" selected', select[0])
        found[name] = option[1] if option else ""
    return found


def change(browser: Browser, preview: str, **fields: str) -> str:
    """Change one choice, with the others as the page has them; the page that follows."""
    page = browser.get(preview).text
    now = chosen(page)
    form = {f"was_{name}": value for name, value in now.items()} | now | fields
    return browser.post(preview + "/options", form, follow_redirects=True).text


def ready(page: str) -> int:
    found = re.search(r'<b class="num">([\d,]+)</b><span>ready', page)
    assert found
    return int(found[1].replace(",", ""))


def test_a_workbook_shows_and_changes_sheet_column_and_header_row(browser: Browser) -> None:
    one, two = imeis(5), imeis(3, first=100)
    rows = [["IMEI", "IMEI 2"], *zip(one, imeis(5, first=50), strict=True)]
    data = workbook(Stock=rows, Old=[["Number"], *([imei] for imei in two)])
    preview = browser.upload(data, "stock.xlsx").location
    page = browser.get(preview).text
    assert chosen(page) == {"sheet": "Stock", "column": "0", "header_row": "1"}
    assert ready(page) == 5
    page = change(browser, preview, column="1")
    assert (chosen(page)["column"], ready(page)) == ("1", 5)
    page = change(browser, preview, header_row="0")
    assert chosen(page)["header_row"] == "0"
    assert "1 not an IMEI" in words(browser.get(preview))
    page = change(browser, preview, sheet="Old")
    assert chosen(page) == {"sheet": "Old", "column": "0", "header_row": "1"}
    assert ready(page) == 3


def test_a_csv_file_shows_and_changes_delimiter_column_and_header_row(browser: Browser) -> None:
    numbers = imeis(4)
    text = "\r\n".join(["note;IMEI", *(f"a,{n};{imei}" for n, imei in enumerate(numbers))])
    preview = browser.upload(text.encode()).location
    page = browser.get(preview).text
    assert chosen(page) == {"column": "1", "header_row": "1", "delimiter": ";", "encoding": "utf-8"}
    assert ready(page) == 4
    page = change(browser, preview, delimiter=",")
    assert chosen(page)["delimiter"] == ","
    page = change(browser, preview, delimiter=";")
    assert (chosen(page)["column"], ready(page)) == ("1", 4)
    assert ready(change(browser, preview, header_row="3")) == 2


def test_a_pasted_table_shows_and_changes_column_and_delimiter(browser: Browser) -> None:
    numbers, others = imeis(4), imeis(4, first=60)
    preview = browser.paste(["IMEI\tIMEI 2", *(f"{one}\t{other}" for one, other in zip(numbers, others, strict=True))])
    page = browser.get(preview).text
    assert chosen(page)["delimiter"] == "\t"
    page = change(browser, preview, column="1")
    assert (chosen(page)["column"], ready(page)) == ("1", 4)
    assert chosen(change(browser, preview, header_row="0"))["header_row"] == "0"


def test_what_speaks_of_a_changed_choice_is_told_and_the_old_one_kept(browser: Browser) -> None:
    preview = browser.upload("\r\n".join(["IMEI", *imeis(3)]).encode()).location
    page = change(browser, preview, column="7")
    assert "Not changed: There is no column 8" in page
    assert ready(page) == 3


def test_the_second_imei_of_a_phone_is_shown_with_its_cost_and_taken_on_request(browser: Browser) -> None:
    firsts, seconds = imeis(5), imeis(5, first=60)
    preview = browser.upload("\r\n".join(["IMEI", *map("{}/{}".format, firsts, seconds)]).encode()).location
    shown = browser.get(preview)
    assert "5 second IMEIs of phones whose first IMEI is in the same cell, which are not taken" in words(shown)
    assert "Include 5 second IMEIs of these phones (+$0.40)" in words(shown)
    assert (ready(shown.text), "5 second IMEIs, not sent" in words(shown)) == (5, True)
    assert seconds[0] in browser.get(preview + "/rejects.csv").text
    page = change(browser, preview, was_second_imeis="1", second_imeis="on")
    assert ready(page) == 10
    assert "Confirm and send 10 IMEIs" in page
    assert ready(change(browser, preview, was_second_imeis="1")) == 5


def test_a_column_of_second_imeis_is_shown_with_its_cost_and_taken_on_request(browser: Browser) -> None:
    rows = [["IMEI", "IMEI 2"], *zip(imeis(3), imeis(3, first=60), strict=True)]
    preview = browser.upload(workbook(Stock=rows), "stock.xlsx").location
    assert "Include 3 second IMEIs of these phones (+$0.24)" in words(browser.get(preview))
    assert ready(change(browser, preview, was_second_imeis="1", second_imeis="on")) == 6


def test_what_was_completed_is_shown_before_and_after(browser: Browser) -> None:
    good = imeis(2)
    preview = browser.upload("\n".join(["IMEI", good[0][:14], "0" + good[1]]).encode()).location
    shown = words(browser.get(preview))
    assert f"{good[0][:14]} → {good[0]}" in shown
    assert f"0{good[1]} → {good[1]}" in shown


def test_the_encoding_of_a_file_is_shown_and_changed(browser: Browser) -> None:
    text = "\r\n".join(["IMEI;Größe", *(f"{imei};ä" for imei in imeis(3))])
    preview = browser.upload(text.encode("cp1252")).location
    assert chosen(browser.get(preview).text)["encoding"] == "cp1252"
    page = change(browser, preview, encoding="cp1251")
    assert (chosen(page)["encoding"], ready(page)) == ("cp1251", 3)
    page = change(browser, preview, encoding="utf-16")
    assert "not text in the encoding" in page
    assert "is not a text encoding" in change(browser, preview, encoding="klingon")
    assert chosen(browser.get(preview).text)["encoding"] == "cp1251"


def test_a_second_imei_is_not_dropped_from_the_page_of_single_orders(browser: Browser) -> None:
    pair = "/".join(imeis(2))
    refused = browser.led_back(browser.post("/submit", {"imei": pair, "service_id": SERVICES[0].package_id}))
    assert "1 second IMEI of phones" in words(refused)


@pytest.mark.parametrize("what", READ)
def test_an_odd_workbook_is_previewed_and_never_an_error_of_ours(browser: Browser, what: str) -> None:
    preview = browser.upload(READ[what](), "odd.xlsx").location
    assert ready(browser.get(preview).text) == 5
    assert browser.get(preview + "/rejects.csv").status_code == 200


@pytest.mark.parametrize("what", REFUSED)
def test_a_hostile_workbook_is_refused_on_the_page(browser: Browser, what: str) -> None:
    page = browser.led_back(browser.upload(REFUSED[what](), "hostile.xlsx"))
    assert '<p class="flash error" role="alert">' in page.text


def test_a_workbook_is_confirmed_with_the_form_as_the_page_shows_it(browser: Browser, database: IMEIDatabase) -> None:
    """Seen: each first confirmation of a workbook was refused, because "Include hidden rows" is ticked by default."""
    preview = browser.upload(workbook(Stock=[["IMEI"], *([number] for number in imeis(3))]), "stock.xlsx").location
    assert 'name="hidden_rows"' in browser.get(preview).text
    assert browser.confirm(preview).location == "/batches/1"


def test_a_choice_changed_on_the_page_but_not_shown_is_not_confirmed(browser: Browser) -> None:
    preview = browser.upload(workbook(Stock=[["IMEI"], *([number] for number in imeis(3))]), "stock.xlsx").location
    fields = confirm_fields(browser.get(preview).text)
    del fields["hidden_rows"]
    refused = browser.led_back(browser.post(preview, fields))
    assert "the reading of the file was changed" in words(refused)
