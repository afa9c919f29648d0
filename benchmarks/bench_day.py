"""The clicks, keys and seconds of an operator's day in the demo, in Chromium.

Three files (one mixed lot that is sent in parts), 40 scans, two re-checks, a dispute until its refund, and the reports
of the month and of a batch. A click is a click, a drop of a file or a choice in a list; keys are typed characters and
shortcuts; what a scanner types is a scan. Seconds are those of the program; a person who
reads and decides takes longer.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from live_site import SERVICE, Site, csv_of, launch
from playwright.sync_api import Locator, Page, expect, sync_playwright
from waiting import wait_until

from benchmarks.measuring import with_check_digit

APPLE_TAC, SAMSUNG_TAC, UNKNOWN_TAC = "35337008", "35123456", "35999999"
SAMSUNG_SERVICE = "956"  #: "Samsung Model & Info" of the demo
SCANS, KNOWN_SCANS = 40, 8
KNOBS = {"latency": 0.3, "jitter": 0.0, "turnaround": 0.0, "rejection_share": 0.1, "duplicates": "pending"}
PATIENCE = 20_000  #: milliseconds


@dataclass
class Part:
    """What one part of the day took."""

    name: str
    clicks: int = 0
    keys: int = 0
    scans: int = 0
    seconds: float = 0.0

    @property
    def words(self) -> str:
        scans = f", {self.scans} scans" if self.scans else ""
        return f"{self.clicks} clicks, {self.keys} keys{scans}, {self.seconds:.1f} s"


class Operator:
    """A person at one page, whose clicks and keys are counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.parts: list[Part] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what follows as this part."""
        self.parts.append(Part(name))
        started = time.perf_counter()
        yield
        self.parts[-1].seconds = time.perf_counter() - started

    def click(self, name: str, role: Literal["button", "link"] = "button", within: str = "main") -> None:
        """Click the first button or link whose name begins with or holds these words."""
        self._count(self.page.locator(within).get_by_role(role, name=name).first).click()

    def open_menu(self, name: str) -> None:
        self._count(self.page.locator("main summary", has_text=name)).click()

    def choose(self, name: str, value: str) -> None:
        self._count(self.page.locator(f"select[name={name}]")).select_option(value)

    def tick(self, box: Locator) -> None:
        self._count(box).check()

    def drop(self, file: str, imeis: Sequence[str]) -> None:
        field = self._count(self.page.locator("input[type=file]"))
        field.set_input_files({"name": file, "mimeType": "text/csv", "buffer": csv_of(imeis)})

    def type(self, label: str, text: str) -> None:
        field = self._count(self.page.locator("main").get_by_label(label, exact=True))
        field.fill(text)
        self.parts[-1].keys += len(text)

    def press(self, *keys: str) -> None:
        """Press keys, and wait for the page that they open."""
        with self.page.expect_navigation():
            for key in keys:
                self.page.keyboard.press(key)
        self.parts[-1].keys += len(keys)

    def scan(self, imei: str) -> None:
        self.page.keyboard.insert_text(imei)
        self.page.keyboard.press("Enter")
        self.parts[-1].scans += 1

    def _count(self, target: Locator) -> Locator:
        self.parts[-1].clicks += 1
        return target


def imeis(tac: str, first: int, count: int) -> list[str]:
    """Return made-up IMEIs of a device type, by serial number from first."""
    return [with_check_digit(f"{tac}{serial:06d}") for serial in range(first, first + count)]


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder))
        try:
            know_models(site)
            browser = launch(playwright)
            page = browser.new_context(base_url=site.url, reduced_motion="reduce").new_page()
            page.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            page.goto("/")
            parts = work(Operator(page), site)
            browser.close()
        finally:
            site.kill()
    total = Part("the whole day")
    for part in parts:
        total.clicks += part.clicks
        total.keys += part.keys
        total.scans += part.scans
        total.seconds += part.seconds
    return [(part.name, part.words, "-") for part in [*parts, total]]


def know_models(site: Site) -> None:
    """Order phones of two brands, so that their models are known, and wait for the results."""
    site.provider(**KNOBS)
    for tac, service in ((SAMSUNG_TAC, SAMSUNG_SERVICE), (APPLE_TAC, SERVICE)):
        site.finish(site.order(imeis(tac, 900, 12), service=service))
    settle(site)


def settle(site: Site) -> None:
    """Wait until all batches are sent, and fetch all results."""
    wait_until(lambda: site.one("SELECT COUNT(*) FROM batches WHERE state <> 'finished'") == 0, "every batch is sent")
    site.fetch_results()
    pending = "SELECT COUNT(*) FROM orders WHERE status IN ('Pending', 'In Process')"
    wait_until(lambda: site.one(pending) == 0, "every result is there")


def work(operator: Operator, site: Site) -> list[Part]:
    """Do the work of the day; return its parts."""
    for number, lot in enumerate((imeis(APPLE_TAC, 0, 60), imeis(APPLE_TAC, 100, 200)), 1):
        with operator.part(f"file {number}: {len(lot)} IMEIs"):
            send_file(operator, f"stock {number}.csv", lot)
        site.finish(operator.page.url.removeprefix(site.url))
    with operator.part("file 3: a mixed lot, in parts"):
        send_mixed_lot(operator)
    settle(site)
    with operator.part(f"{SCANS} scans, {KNOWN_SCANS} of known phones"):
        scan_phones(operator)
    settle(site)
    with operator.part("re-check of three rows"):
        check_rows_again(operator)
    with operator.part("re-check of a filter each week"):
        schedule_recheck(operator)
    settle(site)
    with operator.part("dispute: opened, sent, refunded"):
        dispute(operator)
    with operator.part("report of the month, as a workbook"):
        report_month(operator)
    with operator.part("link to the report of a batch"):
        share_report(operator)
    return operator.parts


def send_file(operator: Operator, name: str, lot: Sequence[str]) -> None:
    operator.press("n")
    operator.drop(name, lot)
    operator.click("Preview cost")
    operator.click("Confirm and send")
    operator.page.wait_for_url("**/batches/*")


def send_mixed_lot(operator: Operator) -> None:
    operator.press("n")
    operator.drop("mixed.csv", [*imeis(APPLE_TAC, 400, 30), *imeis(SAMSUNG_TAC, 400, 20), *imeis(UNKNOWN_TAC, 400, 10)])
    operator.click("Preview cost")
    operator.click("Send each part to its own service", "link")
    operator.click("Confirm and send")
    expect(operator.page.get_by_role("heading", name="Sent")).to_be_visible()


def scan_phones(operator: Operator) -> None:
    """Scan new phones and known ones; the next scan comes when the card of the one before is there."""
    operator.press("s")
    for imei in [*imeis(APPLE_TAC, 0, KNOWN_SCANS), *imeis(APPLE_TAC, 600, SCANS - KNOWN_SCANS)]:
        operator.scan(imei)
        expect(operator.page.locator("[data-scan]").filter(has_text=imei)).to_have_count(1)


def check_rows_again(operator: Operator) -> None:
    operator.click("History", "link", within="aside")  # in scan mode keys belong to the field
    for row in range(3):
        operator.tick(operator.page.locator("[name=row]").nth(row))
    operator.click("Check again")
    operator.click("Preview cost")
    operator.click("Confirm and send")
    operator.page.wait_for_url("**/batches/*")


def schedule_recheck(operator: Operator) -> None:
    operator.press("g", "h")
    operator.choose("verdict", "review")
    operator.click("Apply filter")
    operator.click("Automate filter", "link")
    operator.click("Scheduled re-check", "link")
    operator.type("Name", "Stock watch")
    operator.type("Daily limit (US dollars)", "20")
    operator.click("Save automation")
    operator.tick(operator.page.locator("[name=sure]"))
    operator.click("Turn on")
    expect(operator.page.get_by_role("button", name="Turn off")).to_be_visible()


def dispute(operator: Operator) -> None:
    operator.press("g", "r")
    operator.click("Disputes", "link")
    operator.click("Dispute 3")
    operator.click("Mark as sent")
    operator.click("Record refund")
    expect(operator.page.locator("h1")).to_contain_text("Refunded")


def report_month(operator: Operator) -> None:
    operator.press("g", "r")
    with operator.page.expect_download():
        operator.click("Excel", "link")


def share_report(operator: Operator) -> None:
    operator.press("g", "b")
    operator.click("stock 2", "link")
    operator.open_menu("Export")
    operator.click("Share report", "link")
    operator.click("Create link")
    operator.click("Copy the link")
