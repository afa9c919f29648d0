"""My sheet through the app: the user's own file comes back with the results of its batch."""

import io
import re
import zipfile
from collections.abc import Callable
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from golden_sheets import GOOD, differences, invoice, stock_list, two_imei_columns
from old_workbooks import ods
from sample_files import imeis
from sqlalchemy import update
from waiting import wait_until
from web_client import CARRIER, Browser, answer_chunks, order_batch, words
from werkzeug.test import TestResponse

from backend import Backend
from database import IMEIDatabase
from orders import Outcome
from results import my_sheet
from schema import orders
from web import downloads

#: Reading what openpyxl does not know is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*extension is not supported")

TITLES = [
    *("Verdict", "Model", "Carrier", "SIM lock", "FMI", "Blacklist"),
    *("IMEI 2", "Serial", "Status", "Checked on", "Order id", "Note"),
]
PLACED = datetime(2026, 11, 2, 10, 30)
FINDINGS = {"carrier": "T-Mobile USA", "simlock": "Locked", "fmi": "OFF", "blacklist": "Clean", "serial": "0012E5"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a sheet however busy the machine is."""
    monkeypatch.setattr(downloads, "PATIENCE", 60.0)


def complete(database: IMEIDatabase, imei: str = "", **values: Any) -> None:
    """Give all orders, or those of an IMEI, a result as the sync would."""
    result = {"status": "Completed", "model": "iPhone 12", "verdict": "pass", "order_date": PLACED, **FINDINGS}
    with database.write() as connection:
        query = update(orders).values(**result | values)
        connection.execute(query.where(orders.c.imei == imei) if imei else query)


def sent(browser: Browser, data: bytes, name: str, **options: str) -> int:
    """Upload a file and confirm its batch; return the batch id."""
    preview = browser.upload(data, name).location
    if options:
        browser.post(f"{preview}/options", options)
    return int(browser.confirm(preview).location.rsplit("/", 1)[1])


def sheet(answer: TestResponse, name: str, width: int) -> list[dict[str, Any]]:
    """Return the added cells of each row below the titles, blank ones left out."""
    assert answer.status_code == 200, answer.headers.get("Location")
    found: Any = openpyxl.load_workbook(io.BytesIO(answer.data))[name]
    rows = [row[width:] for row in found.iter_rows(values_only=True)]
    start = next(number for number, row in enumerate(rows) if list(row[:12]) == TITLES)
    return [{t: v for t, v in zip(TITLES, row, strict=False) if v is not None} for row in rows[start + 1 :]]


def test_a_stock_list_comes_back_with_results_and_reasons(browser: Browser, database: IMEIDatabase) -> None:
    """One phone was checked in an earlier batch, one was rejected there, one fails, one is about another IMEI."""
    order_batch(database, GOOD[1:3])
    complete(database, fmi="ON", verdict="fail", order_date=datetime(2026, 3, 1))
    complete(database, GOOD[2], status="Rejected", verdict="review", model=None, result_code_display="=Not\nfound")
    data = stock_list()
    batch_id = sent(browser, data, "November stock.xlsx", customer="Gulf")
    answer_chunks(database)
    for imei in (GOOD[0], *GOOD[3:6]):
        complete(database, imei, imei2=f"0{imei[1:]}", model="=cmd|' /C calc'!A0" if imei == GOOD[5] else "iPhone 12")
    complete(database, GOOD[4], verdict="review", other_imei=GOOD[9])
    answer = browser.get(f"/batches/{batch_id}/sheet")
    name = re.search(r'filename="?([^";]+)', answer.headers["Content-Disposition"])
    assert name
    assert re.fullmatch(r"batch-2_gulf-november-stock_sheet_\d{8}T\d{4}Z\.xlsx", name[1])
    assert differences(data, answer.data, 8) == []
    found = sheet(answer, "Stock Nov", 8)
    assert found[0] == {
        "Verdict": "Pass",
        "Model": "iPhone 12",
        "Carrier": "T-Mobile USA",
        "SIM lock": "Locked",
        "FMI": "OFF",
        "Blacklist": "Clean",
        "IMEI 2": f"0{GOOD[0][1:]}",
        "Serial": "0012E5",
        "Status": "Completed",
        "Checked on": PLACED,
        "Order id": found[0]["Order id"],
    }
    assert isinstance(found[0]["Order id"], str)
    assert [row.get("Verdict") for row in found[1:6]] == ["Fail", "Review", "Pass", "Review", "Pass"]
    assert found[1]["Checked on"] == datetime(2026, 3, 1)
    assert [row.get("Note") for row in found] == [
        None,
        "Checked already on 2026-03-01, not paid again.",
        "Rejected before on 2026-11-02, not sent again. The provider rejected the order: =Not found",
        None,
        f"The result is about IMEI {GOOD[9]}.",
        None,
        "Same IMEI as row 5.",
        f"The check digit is wrong: after these 14 digits it would be {imeis(1, 70)[0][14]}.",
        "No IMEI: an IMEI has 15 digits.",
        "No IMEI: an IMEI has 15 digits.",
    ]
    assert found[6] | {"Note": ""} == found[0] | {"Note": ""}
    cells: Any = openpyxl.load_workbook(io.BytesIO(answer.data))["Stock Nov"]
    assert (cells["J10"].value, cells["J10"].data_type) == ("=cmd|' /C calc'!A0", "s")
    assert [cells[f"I{row}"].fill.fgColor.rgb for row in (5, 6, 9)] == ["FFE1F3E9", "FFFCE8E6", "FFFBEFD8"]


def test_two_imei_columns_that_are_both_taken_share_their_row(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = sent(browser, two_imei_columns(), "phones.xlsx", was_second_imeis="1", second_imeis="on")
    answer_chunks(database)
    complete(database)
    complete(database, GOOD[1], verdict="fail", model="iPhone 13")
    found = sheet(browser.get(f"/batches/{batch_id}/sheet"), "Phones", 4)
    assert [row.get("Verdict") for row in found[:7]] == ["Pass", "Fail", "Pass", "Pass", "Pass", "Pass", "Pass"]
    assert (found[0]["Model"], found[1]["Model"]) == ("iPhone 12", "iPhone 13; iPhone 12")
    assert len(found[0]["Order id"].split("; ")) == len(found[6]["Order id"].split("; ")) == 2
    assert found[5]["Note"].count("Same IMEI as row 4.") == 2


def test_numbers_in_the_middle_of_an_invoice_find_their_rows(browser: Browser, database: IMEIDatabase) -> None:
    data = invoice()
    batch_id = sent(browser, data, "invoice.xlsx")
    answer_chunks(database)
    complete(database)
    answer = browser.get(f"/batches/{batch_id}/sheet")
    assert differences(data, answer.data, 8) == []
    assert [row.get("Verdict") for row in sheet(answer, "Lines", 8)] == ["Pass"] * 5 + [None] * 2


def test_a_text_comes_back_as_text_or_as_a_workbook(browser: Browser, database: IMEIDatabase) -> None:
    one, two = imeis(2, start=300)
    data = f"\ufeffModèle\tIMEI\r\n“Dual”\t{one}\r\nPlus\t{two}\r\n".encode()
    batch_id = sent(browser, data, "list.tsv")
    answer_chunks(database)
    complete(database, order_id=None)
    answer = browser.get(f"/batches/{batch_id}/sheet")
    assert answer.headers["Content-Disposition"].rstrip('"').endswith(".tsv")
    assert not list((browser.client.application.extensions["backend"].settings.data_dir / "exports").iterdir())
    fields = "Pass\tiPhone 12\tT-Mobile USA\tLocked\tOFF\tClean\t\t0012E5\tCompleted\t2026-11-02 10:30\t\t"
    expected = data.decode().replace("IMEI\r", "IMEI\t" + "\t".join(TITLES) + "\r")
    expected = expected.replace(f"{one}\r", f"{one}\t{fields}\r").replace(f"{two}\r", f"{two}\t{fields}\r")
    assert answer.data.decode() == expected
    workbook = browser.get(f"/batches/{batch_id}/sheet.xlsx")
    assert [row["Verdict"] for row in sheet(workbook, "IMEIs", 2)] == ["Pass", "Pass"]
    cells: Any = openpyxl.load_workbook(io.BytesIO(workbook.data))["IMEIs"]
    assert [cell.value for cell in cells[2]][:2] == ["“Dual”", one]


def test_a_paste_and_a_typed_list_come_back_in_their_order(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(3, start=400)[::-1]
    preview = browser.paste([numbers[0], "junk", *numbers[1:]])
    browser.confirm(preview)
    typed = order_batch(database, imeis(2, start=500))
    answer_chunks(database)
    complete(database)
    pasted = sheet(browser.get("/batches/1/sheet"), "IMEIs", 1)
    assert [row.get("Verdict", row.get("Note")) for row in pasted] == [
        "Pass",
        "No IMEI: an IMEI has 15 digits.",
        *["Pass"] * 2,
    ]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET source = 'single' WHERE id = ?", (typed,))
    cells: Any = openpyxl.load_workbook(io.BytesIO(browser.get(f"/batches/{typed}/sheet").data)).active
    assert [row[0] for row in cells.iter_rows(values_only=True)] == ["IMEI", *imeis(2, start=500)]


def test_a_sheet_with_open_results_shows_how_many_are_pending(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(3, start=600)
    batch_id = sent(browser, "\n".join(["IMEI", *numbers]).encode(), "list.csv")
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "") if imei == numbers[2] else (Outcome.ORDERED, ""))
    complete(database, numbers[0])
    page = browser.led_back(browser.get(f"/batches/{batch_id}/sheet"))
    assert "1 of 3 pending: download the sheet again when these results are here." in words(page)
    assert "1 IMEI in doubt" in words(page)
    (link,) = re.findall(r'href="(/exports/[^"]+/file)"', page.text)
    lines = browser.get(link).text.splitlines()
    assert [line.split(",")[9] for line in lines[1:]] == ["Completed", "Pending", "In doubt"]
    workbook = browser.led_back(browser.get(f"/batches/{batch_id}/sheet.xlsx"))
    (link,) = re.findall(r'href="(/exports/[^"]+/file)"', workbook.text)
    notes: Any = openpyxl.load_workbook(io.BytesIO(browser.get(link).data))["My sheet notes"]
    assert notes["A1"].value.startswith("1 of 3 pending")


def test_an_old_workbook_comes_back_as_its_values(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(2, start=700)
    batch_id = sent(browser, ods([["Stock"], ["Model", "IMEI"], *(["Nova", n] for n in numbers)]), "stock.ods")
    answer_chunks(database)
    complete(database)
    page = browser.led_back(browser.get(f"/batches/{batch_id}/sheet"))
    assert "The .ods workbook comes back as a new .xlsx workbook of its values" in words(page)
    (link,) = re.findall(r'href="(/exports/[^"]+/file)"', page.text)
    book = openpyxl.load_workbook(io.BytesIO(browser.get(link).data))
    assert [row[1] for row in book.worksheets[0].iter_rows(values_only=True)] == [None, "IMEI", *numbers]


def test_a_long_sheet_is_built_in_the_background(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PATIENCE", 0.0)
    batch_id = sent(browser, two_imei_columns(), "phones.xlsx")
    answer_chunks(database)
    complete(database)
    address = browser.get(f"/batches/{batch_id}/sheet").location
    wait_until(lambda: "Ready to download" in words(browser.get(address)), "the sheet is built")
    assert sheet(browser.get(f"{address}/file"), "Phones", 4)[0]["Verdict"] == "Pass"


def too_long(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    monkeypatch.setattr(my_sheet, "MOST_ROWS", 3)


def gone(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    for path in backend.uploads.iterdir():
        path.unlink()


@pytest.mark.parametrize(("happens", "sentence"), [(too_long, "this one has 8"), (gone, "no longer kept")])
def test_a_sheet_that_cannot_be_given_names_the_other_exports(
    browser: Browser,
    database: IMEIDatabase,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[pytest.MonkeyPatch, Backend], None],
    sentence: str,
) -> None:
    batch_id = sent(browser, two_imei_columns(), "phones.xlsx")
    happens(monkeypatch, browser.client.application.extensions["backend"])
    page = words(browser.led_back(browser.get(f"/batches/{batch_id}/sheet")))
    assert sentence in page
    assert "The Excel and CSV exports of this batch hold all results." in page


def test_a_workbook_that_openpyxl_refuses_offers_the_streamed_export(browser: Browser, database: IMEIDatabase) -> None:
    """The reader of uploads does not look at comments."""
    batch_id = sent(browser, with_broken_comments(), "odd.xlsx")
    page = browser.led_back(browser.get(f"/batches/{batch_id}/sheet"))
    assert "The file was not built. openpyxl cannot change this workbook" in words(page)
    assert f'href="/batches/{batch_id}/results.xlsx"' in page.text


def with_broken_comments() -> bytes:
    """A workbook whose comments are not XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stock_list())) as archive, zipfile.ZipFile(out, "w") as made:
        for name in archive.namelist():
            made.writestr(name, b"<broken" if "comments" in name else archive.read(name))
    return out.getvalue()


def test_the_choices_of_a_batch_stay_as_they_were_confirmed(browser: Browser, database: IMEIDatabase) -> None:
    """A page of the preview that is still open changes nothing afterwards."""
    preview = browser.upload(two_imei_columns(), "phones.xlsx").location
    browser.confirm(preview)
    browser.post(f"{preview}/options", {"column": "1", "service_id": CARRIER.package_id})
    answer_chunks(database)
    complete(database)
    assert sheet(browser.get("/batches/1/sheet"), "Phones", 4)[0]["Verdict"] == "Pass"
