"""Take the pictures of this folder from a demo that is filled first: `.venv/bin/python docs/screenshots.py`."""

import io
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path

import openpyxl
from openpyxl.cell.cell import Cell
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter
from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests" / "tools")]

from live_site import QUICK, SERVICE, Site, launch, made_up_imeis  # noqa: E402
from waiting import wait_until  # noqa: E402
from web_client import confirm_fields  # noqa: E402

DESK = (1280, 800)
PHONE = (390, 844)
#: How the picture of a workbook looks, beside what its cells say.
SHEET_STYLE = """
body { margin: 0; font: 13px Carlito, Calibri, "DejaVu Sans", sans-serif; }
table { border-collapse: collapse; }
td, th { border: 1px solid #d5d7db; padding: 3px 7px; white-space: nowrap; font-weight: normal; text-align: left; }
th { background: #eef0f3; color: #555; text-align: center; min-width: 22px; }
"""


def fill(site: Site) -> str:
    """Order 20,000 IMEIs with their results, and a batch with a call in doubt; return the path of the first."""
    finished = site.order(made_up_imeis(0, 20_000), "warehouse-november.csv")
    site.finish(finished, 120)
    site.complete()
    wait_until(lambda: site.progress(finished)["is_settled"], "the first results are there", 240)
    site.provider(fault="reset", fault_when="after", fault_limit=1, listing="off")
    doubtful = site.order(made_up_imeis(30_000, 1_200), "returns-week-47.csv")
    wait_until(lambda: site.progress(doubtful)["outcomes"]["in_doubt"] > 0, "a call is in doubt")
    wait_until(lambda: site.progress(doubtful)["outcomes"]["waiting"] == 0, "the rest is answered")
    site.complete()
    site.post("/history/sync", {})
    wait_until(lambda: site.progress(doubtful)["pending"] == 0, "the other results are there", 240)
    return finished


def wait_for_half(site: Site) -> str:
    """Order a batch, and return its path when about half of its results are there."""
    site.provider(**QUICK | {"turnaround": 60})
    waiting = site.order(made_up_imeis(90_000, 2_000), "trade-in-berlin.csv")
    site.finish(waiting)
    wait_until(lambda: site.progress(waiting)["result_percent"] >= 40, "half of the results are there", 120)
    return waiting


def start_a_long_one(site: Site) -> str:
    """Start a batch that runs for as long as the pictures take; return its path."""
    site.provider(**QUICK | {"latency": 4.0, "jitter": 2.0, "listing": "off"})
    return site.order(made_up_imeis(40_000, 20_000), "store-transfer-berlin.csv")


def stock_list() -> bytes:
    """Return a workbook as a wholesaler keeps it: a title, a damaged row, a repeated one, and a sum."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Stock"
    sheet.append(["Trade-in Berlin, week 48"])
    sheet.append([])
    sheet.append(["Box", "IMEI", "Grade", "Paid", "Received"])
    numbers = made_up_imeis(95_000, 14)
    for place, imei in enumerate([*numbers, numbers[2], "35337008008"], 1):
        sheet.append([f"B{place:02}", imei, "AB"[place % 2], 240 + 5 * place, date(2026, 11, 20)])
    sheet.append(["Sum", None, None, f"=SUM(D4:D{sheet.max_row})"])
    sheet["A1"].font = Font(bold=True, size=14)
    for row, fill in ((3, "DDE6F4"), (sheet.max_row, "F3F4F6")):
        for cell in sheet[row][:5]:
            cell.font, cell.fill = Font(bold=True), PatternFill("solid", fgColor=fill)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def my_sheet(site: Site) -> bytes:
    """Return the stock list as it comes back with its results."""
    site.provider(**QUICK)
    preview = site.post("/batch", {"service_id": SERVICE}, {"file": ("trade-in-berlin-48.xlsx", stock_list())})
    batch = site.post(preview, confirm_fields(site.session.get(site.url + preview).text))
    site.finish(batch)
    site.complete()
    site.post("/history/sync", {})
    wait_until(lambda: site.progress(batch)["pending"] == 0, "its results are there")
    return site.session.get(f"{site.url}{batch}/sheet").content


def as_html(workbook: bytes) -> Iterator[str]:
    """Yield the first sheet of a workbook as a table in its colours."""
    sheet = openpyxl.load_workbook(io.BytesIO(workbook)).worksheets[0]
    yield f"<style>{SHEET_STYLE}</style><table><tr><th></th>"
    yield "".join(f"<th>{get_column_letter(column)}</th>" for column in range(1, sheet.max_column + 1))
    for number, row in enumerate(sheet.iter_rows(), 1):
        yield f"</tr><tr><th>{number}</th>"
        yield "".join(f'<td style="{look(cell)}">{escape(shown(cell))}</td>' for cell in row if isinstance(cell, Cell))
    yield "</tr></table>"


def look(cell: Cell) -> str:
    """Return the style of a cell."""
    fill = f"background: #{cell.fill.fgColor.rgb[-6:]};" if cell.fill.fill_type else ""
    color = f"color: #{cell.font.color.rgb[-6:]};" if cell.font.color and isinstance(cell.font.color.rgb, str) else ""
    return f"{fill}{color}font-weight: {'bold' if cell.font.bold else 'normal'};"


def shown(cell: Cell) -> str:
    """Return the text of a cell; a formula as it is written."""
    if cell.is_date:
        return f"{cell.value:%Y-%m-%d}"
    return "" if cell.value is None else str(cell.value)


def take_sheet(page: Page, workbook: bytes) -> None:
    """Take the picture of a workbook."""
    page.set_content("".join(as_html(workbook)))
    page.locator("table").screenshot(path=DOCS / "my-sheet.png")


def take_scan(page: Page, site: Site) -> None:
    """Take the picture of scan mode after a few scans."""
    site.provider(**QUICK | {"turnaround": 0.0})
    page.goto("/scan")
    for imei in made_up_imeis(97_000, 4):
        page.keyboard.type(imei)
        page.keyboard.press("Enter")
        time.sleep(4)
    page.screenshot(path=DOCS / "scan-390.png")


def window(browser: Browser, site: Site, scheme: str = "light", size: tuple[int, int] = DESK) -> Page:
    context = browser.new_context(
        base_url=site.url,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce",
    )
    return context.new_page()


def take(page: Page, path: str, name: str) -> None:
    page.goto(path)
    time.sleep(1.5)  # the first event of a stream, and times in the reader's zone
    page.screenshot(path=DOCS / f"{name}.png")


def take_all(browser: Browser, site: Site) -> None:
    light, dark, phone = window(browser, site), window(browser, site, "dark"), window(browser, site, size=PHONE)
    take_sheet(window(browser, site), my_sheet(site))
    complete = fill(site)
    stock = made_up_imeis(70_000, 2_400)
    take(light, site.upload([*stock, *stock[:12], "353370080000001", "12345", "n/a"], "stock.csv"), "preview")
    take(light, complete, "batch")
    take(dark, wait_for_half(site), "batch-dark")
    take_scan(phone, site)
    live = start_a_long_one(site)
    wait_until(lambda: site.progress(live)["percent"] >= 30, "a third is done", 120)
    take(light, "/", "dashboard")
    take(phone, "/history", "history-390")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hammer-pictures-") as folder:
        site = Site(Path(folder))
        try:
            with sync_playwright() as playwright, launch(playwright) as browser:
                take_all(browser, site)
        finally:
            site.kill()


if __name__ == "__main__":
    main()
