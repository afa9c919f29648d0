"""Lists of orders in a real browser: rows are selected, copied and checked again; on a phone they are cards."""

import csv
import re

import pytest
from live_site import SERVICE, Site, Visitor, made_up_imeis
from playwright.sync_api import Download, Page, expect

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
#: What a page gets that is pasted into, by kind.
PASTED = """() => new Promise((done) => document.addEventListener("paste", (event) => done(
    ["text/plain", "text/html"].map((kind) => event.clipboardData.getData(kind))), { once: true }))"""


@pytest.fixture(scope="module", name="batch")
def batch_fixture(site: Site) -> str:
    """The page of a finished batch of 60, every order with a result."""
    live = site.order(made_up_imeis(860_000, 60), "selected rows.csv")
    site.finish(live)
    site.settle(live)
    return live


def imeis_on(page: Page) -> list[str]:
    return page.locator("[data-part=imei] code").all_inner_texts()


def selected(page: Page) -> int:
    return page.locator("[name=row]:checked").count()


def rows_of(download: Download) -> list[dict[str, str]]:
    with download.path().open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_selected_copied_and_checked_again(visitor: Visitor, batch: str) -> None:
    page = visitor.open(batch, permissions=["clipboard-read", "clipboard-write"])
    imeis, boxes, bar = imeis_on(page), page.locator("[name=row]"), page.locator("[data-selection]")
    expect(bar).to_be_hidden()
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    boxes.nth(2).uncheck()
    expect(bar).to_contain_text("3 selected")
    chosen = [imeis[1], imeis[3], imeis[4]]

    bar.get_by_role("button", name="Copy").click()
    expect(bar).to_contain_text("3 orders copied")
    pasted = page.evaluate_handle(f"() => ({{ value: ({PASTED})() }})")
    page.locator("main").focus()
    page.keyboard.press("Control+V")
    text, table = pasted.evaluate("async (held) => await held.value")
    lines = list(csv.reader(text.splitlines(), delimiter="\t"))
    assert [line[0] for line in lines] == ["IMEI", *chosen]
    assert f"""<td style='mso-number-format:"\\@"'>{chosen[0]}</td>""" in table

    bar.get_by_role("button", name="Check again").click()
    expect(page.locator("main")).to_contain_text("The IMEIs of 3 orders")
    page.locator("#service_id").select_option(SERVICE)
    page.get_by_role("button", name="Preview cost").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Checked again: 3 IMEIs")
    expect(page.get_by_role("button", name="Confirm and send 3 IMEIs")).to_be_visible()


def test_the_keyboard_selects_rows_and_a_whole_page_offers_all_that_match(visitor: Visitor, batch: str) -> None:
    page = visitor.open(f"/history?batch={batch.rsplit('/', 1)[1]}")
    bar = page.locator("[data-selection]")
    expect(page.get_by_label("Select all on this page")).to_be_visible()
    for key in ("j", "x", "j", "ArrowDown", "x", "k", "x"):
        page.keyboard.press(key)
    expect(bar).to_contain_text("3 selected")
    checked = page.locator("[name=row]").evaluate_all("all => all.map((one) => one.checked)")
    assert checked[:4] == [True, True, True, False]
    everything = bar.get_by_label("All 60 orders that match")
    expect(everything).to_be_hidden()
    page.get_by_label("Select all on this page").check()
    assert selected(page) == 50
    everything.check()
    with page.expect_download() as started:
        bar.get_by_role("button", name="CSV").click()
    assert len(rows_of(started.value)) == 60
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()
    assert selected(page) == 0


def test_selected_disputes_are_marked_at_once(visitor: Visitor, site: Site, batch: str) -> None:
    for place in range(4):
        order_id = site.one(f"SELECT order_id FROM orders LIMIT 1 OFFSET {place}")
        site.post(f"/reports/disputes/order/{order_id}", {"note": "Another phone"})
    page = visitor.open("/reports/disputes?state=open")
    boxes, bar = page.locator("[name=row]"), page.locator("[data-selection]")
    expect(bar).to_be_hidden()
    boxes.nth(0).check()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 selected")
    bar.get_by_label("Note for the selected disputes").fill("Sent by mail")
    bar.get_by_role("button", name="Mark as sent").click()
    expect(page.locator("main")).to_contain_text("3 disputes are sent now.")
    assert site.one("SELECT COUNT(*) FROM disputes WHERE state = 'sent' AND note = 'Sent by mail'") == 3


def test_a_selection_stays_while_results_come(visitor: Visitor, site: Site) -> None:
    live = site.order(made_up_imeis(861_000, 3), "held rows.csv")
    site.finish(live)
    page = visitor.open(live)
    page.locator("[name=row]").first.check()
    site.settle(live)
    expect(page.locator("[data-verdict=pending] [data-count]")).to_have_text("0")
    assert selected(page) == 1
    page.get_by_role("button", name="Clear").click()
    page.locator("h1").click()
    expect(page.locator("tbody [data-part=status]").first).to_contain_text(re.compile("Completed|Rejected"))


def test_without_a_script_columns_are_chosen_and_rows_are_exported(visitor: Visitor, batch: str) -> None:
    page = visitor.open(f"/history?batch={batch.rsplit('/', 1)[1]}&sort=imei", java_script_enabled=False)
    page.get_by_text("Columns", exact=True).click()
    choice = page.locator(".columns-choice")
    choice.get_by_label("Order", exact=True).uncheck()
    choice.get_by_role("button", name="Show these columns").click()
    expect(page.get_by_role("columnheader", name="IMEI")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_role("columnheader", name="Order", exact=True)).to_have_count(0)
    imeis = imeis_on(page)
    for place in (0, 2):
        page.locator("[name=row]").nth(place).check()
    page.get_by_label("Columns of the file").select_option("shown")
    with page.expect_download() as started:
        page.locator("[data-selection]").get_by_role("button", name="CSV").click()
    rows = rows_of(started.value)
    assert [row["IMEI"] for row in rows] == sorted([imeis[0], imeis[2]], reverse=True)
    assert "Order" not in rows[0]
    page.get_by_text("Columns", exact=True).click()
    choice.get_by_role("button", name="Usual columns").click()
    expect(page.get_by_role("columnheader", name="Order", exact=True)).to_have_count(1)


def not_wider_than_their_frames(page: Page) -> bool:
    """Whether no table scrolls sideways."""
    wide = page.locator(".table-wrap").evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth)")
    return not wide


def test_on_a_phone_each_row_is_a_card_and_on_a_desk_headings_stay_at_the_top(visitor: Visitor, batch: str) -> None:
    page = visitor.window(viewport=PHONE).new_page()
    history = f"/history?batch={batch.rsplit('/', 1)[1]}&verdict=fail"
    for path in (history, batch, "/batches", "/"):
        page.goto(path)
        assert not_wider_than_their_frames(page), path
    page.goto(batch)
    heights = page.locator("tbody tr").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert max(heights) < 80
    size = page.locator("tbody .pick label").first.bounding_box()
    assert size
    assert min(size["width"], size["height"]) >= 44
    page.locator("tbody .pick label").first.click()
    expect(page.locator("[data-selection]")).to_contain_text("1 selected")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(history)
    assert not_wider_than_their_frames(page)
    page.goto(batch)
    frame = page.locator(".table-wrap").first
    frame.evaluate("frame => { frame.scrollIntoView(); frame.scrollTop = 600; }")
    head, around = page.get_by_role("columnheader", name="Carrier").bounding_box(), frame.bounding_box()
    assert head and around
    assert abs(head["y"] - around["y"]) < 2
