"""In a real browser: what a page shows is what is ordered, stopped and listed."""

import re
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from axe_playwright_python.sync_playwright import Axe
from live_site import QUICK, SERVICE, Site, Visitor, csv_of, made_up_imeis
from playwright.sync_api import Page, expect

from imei import luhn_check_digit

pytestmark = pytest.mark.browser

OTHER = "970"  #: 0.10 US dollars in the demo


def chosen_service(page: Page) -> str:
    value: str = page.locator("#service_id").input_value()
    return value


def cost(page: Page) -> Callable[[str], None]:
    return lambda words: expect(page.locator("aside.cost")).to_contain_text(words)


def test_searching_a_service_changes_nothing_and_choosing_one_shows_its_cost_before_it_is_ordered(
    visitor: Visitor, site: Site
) -> None:
    """Service A was shown and B ordered, because the search changed the list without a word to the server."""
    page = visitor.open(site.upload(made_up_imeis(810_000, 3)))
    costs = cost(page)
    costs("$0.24")
    search = page.locator("[data-picker-search]")
    search.fill("Samsung")
    assert chosen_service(page) == SERVICE
    expect(page.get_by_role("button", name="Confirm and send 3 IMEIs")).to_be_visible()
    search.fill("no such service at all")
    assert chosen_service(page) == SERVICE
    expect(page.locator("[data-picked]")).to_contain_text("No matching service")
    search.fill(OTHER)
    search.press("Enter")
    assert chosen_service(page) == OTHER
    expect(page.get_by_role("button", name="Confirm and send")).to_be_hidden()
    expect(page.locator("[data-outdated]")).to_contain_text("You changed the service")
    page.locator("[data-outdated]").get_by_role("button", name="Update preview").click()
    costs("$0.30")
    page.get_by_role("button", name="Confirm and send 3 IMEIs · $0.30").click()
    page.wait_for_url("**/batches/*")
    assert site.one("SELECT service_id FROM batches ORDER BY id DESC LIMIT 1") == OTHER


def test_arrow_keys_in_a_list_send_nothing(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site.upload(made_up_imeis(811_000, 3)))
    address, sent = page.url, list[str]()
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.locator("#header_row").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    assert (page.url, sent) == (address, [])
    expect(page.locator("[data-outdated]")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    expect(page.locator("[data-outdated]")).to_be_hidden()
    expect(page.get_by_role("button", name="Confirm and send 3 IMEIs")).to_be_visible()


def test_without_a_script_another_service_is_shown_before_it_is_ordered(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site.upload(made_up_imeis(812_000, 3)), java_script_enabled=False)
    batches = site.one("SELECT COUNT(*) FROM batches")
    page.locator("#service_id").select_option(OTHER)
    page.get_by_role("button", name="Confirm and send 3 IMEIs").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was sent: the service or the reading")
    cost(page)("$0.30")
    assert site.one("SELECT COUNT(*) FROM batches") == batches
    page.get_by_role("button", name="Confirm and send 3 IMEIs · $0.30").click()
    page.wait_for_url("**/batches/*")
    assert site.one("SELECT service_id FROM batches ORDER BY id DESC LIMIT 1") == OTHER


def test_back_after_a_refused_confirmation_shows_a_page_and_sends_nothing_again(visitor: Visitor, site: Site) -> None:
    preview = site.upload(made_up_imeis(813_000, 3))
    page = visitor.open("/batches")
    page.goto(preview)
    page.evaluate("document.querySelector('[name=price]').value = '0.010000'")
    page.get_by_role("button", name="Confirm and send").click()
    expect(page.get_by_role("alert")).to_contain_text("rose from $0.01 to $0.08")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("stock.csv")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.go_back()
    expect(page.locator("main h1")).to_be_visible()
    assert "chrome-error" not in page.url


def test_a_file_dropped_beside_the_zone_is_taken(visitor: Visitor, tmp_path: Path) -> None:
    """The browser opened it instead of the page."""
    path = tmp_path / "beside.csv"
    path.write_bytes(csv_of(made_up_imeis(814_000, 4)))
    page = visitor.open("/batch")
    session = page.context.new_cdp_session(page)
    box = page.locator("h1").bounding_box()
    assert box
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 9, "y": box["y"] + 9, "data": data})
    expect(page.locator("[data-drop-text]")).to_contain_text("beside.csv")
    assert page.url.endswith("/batch")
    page.locator("#service_id").select_option(SERVICE)
    page.get_by_role("button", name="Preview cost").click()
    cost(page)("$0.32")


def test_without_a_script_the_chosen_file_is_seen(visitor: Visitor) -> None:
    page = visitor.open("/batch", java_script_enabled=False)
    field = page.locator("input[type=file]")
    field.set_input_files({"name": "stock.csv", "mimeType": "text/csv", "buffer": b"IMEI"})
    assert field.evaluate("field => getComputedStyle(field).opacity") == "1"
    box, zone = field.bounding_box(), page.locator("[data-drop]").bounding_box()
    assert box and zone
    assert box["width"] > 150
    assert box["x"] >= zone["x"] and box["x"] + box["width"] <= zone["x"] + zone["width"]


@pytest.mark.parametrize("path", ["/reports", "/history?batch=1", "/history?since=2026-13-45&batch=x"])
def test_no_two_fields_of_a_filter_overlap(visitor: Visitor, path: str) -> None:
    visitor.expected = ("status of 400",)
    page = visitor.open(path)
    for width in (390, 1024, 1440, 1920, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        boxes = page.eval_on_selector_all(
            "main .filters :is(input, select, button):not([type=hidden])",
            "all => all.map((one) => one.getBoundingClientRect().toJSON()).filter((box) => box.width)",
        )
        assert len(boxes) > 2
        for n, one in enumerate(boxes):
            for other in boxes[n + 1 :]:
                apart = one["right"] <= other["left"] or other["right"] <= one["left"]
                below = one["bottom"] <= other["top"] or other["bottom"] <= one["top"]
                assert apart or below, (width, one, other)


def test_refresh_results_disappears_when_every_result_is_final(visitor: Visitor, site: Site) -> None:
    site.provider(latency=0.0)
    live = site.order(made_up_imeis(815_000, 5))
    site.finish(live)
    page = visitor.window().new_page()
    page.clock.install()
    page.goto(live)
    button = page.get_by_role("button", name="Refresh results")
    expect(button).to_be_visible()
    site.fetch_results()
    for _ in range(60):
        page.clock.fast_forward(11_000)
        page.wait_for_timeout(200)
        if not button.is_visible():
            break
    expect(button).to_be_hidden()
    expect(page.locator("[data-rate-words]")).to_have_text("Average rate")


def test_stopping_shows_what_is_paid_and_saved_and_ends_as_stopped(visitor: Visitor, site: Site) -> None:
    site.provider(**QUICK | {"latency": 2.0})
    live = site.order(made_up_imeis(820_000, 9_000))
    page = visitor.open(live)
    expect(page.locator("[data-field='outcomes.ordered']")).not_to_have_text("0")
    page.get_by_role("button", name="Stop batch").click()
    question = page.get_by_role("dialog", name="Stop batch")
    expect(question).to_contain_text("already ordered")
    expect(question).to_contain_text("and save $")
    question.get_by_role("button", name="Stop batch").click()
    expect(page.locator("[data-field=stage]")).to_have_text("Stopped")
    percent = int(page.locator("[data-field=percent]").inner_text())
    assert 0 < percent < 100
    assert site.progress(live)["stage"] == "stopped"


@pytest.mark.parametrize("scripted", [True, False])
def test_a_verdict_tile_filters_the_results_of_a_batch(visitor: Visitor, site: Site, scripted: bool) -> None:
    site.provider(latency=0.0)
    live = site.order(made_up_imeis(830_000 if scripted else 831_000, 90), "tiles.csv")
    site.finish(live)
    site.settle(live)
    page = visitor.open(live, java_script_enabled=scripted)
    verdicts = page.locator(".orders tbody [data-part=verdict]")
    expect(verdicts.first).to_have_text("Fail")
    counts = site.progress(live)["verdicts"]
    assert sum(counts.values()) == 90
    for word in ("Review", "Fail"):
        page.get_by_role("navigation", name="Results by verdict").get_by_role("link", name=word).click()
        page.wait_for_url(f"**verdict={word.lower()}")
        assert set(verdicts.all_inner_texts()) == {word}
        assert verdicts.count() == min(50, counts[word.lower()])
    page.get_by_role("link", name="Show all").click()
    page.wait_for_url(f"**{live}")
    page.get_by_role("link", name="Next page").click()
    expect(verdicts).to_have_count(40)


def test_the_export_menu_is_used_by_keyboard(visitor: Visitor, site: Site) -> None:
    live = site.order(made_up_imeis(832_000, 3), "menu.csv")
    site.finish(live)
    page = visitor.open(live)
    menu, csv = page.locator(".menu summary"), page.get_by_role("link", name=re.compile("^CSV"))
    menu.focus()
    expect(csv).to_be_hidden()
    page.keyboard.press("Enter")
    page.get_by_text("Technical").click()
    expect(csv).to_be_hidden()  # a click beside the menu closes it
    expect(page.locator("[data-chunk-words]")).to_be_visible()
    menu.press("Enter")
    expect(csv).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("Escape")
    expect(csv).to_be_hidden()
    expect(menu).to_be_focused()
    menu.press("Enter")
    csv.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".csv")


def test_a_workbook_comes_back_with_its_verdicts_after_seven_clicks(
    visitor: Visitor, site: Site, tmp_path: Path
) -> None:
    """The main job: choose a file and a service, see the cost, confirm, and take the sheet back when it is complete."""
    site.provider(latency=0.0, turnaround=0.0)
    file, numbers = tmp_path / "stock.xlsx", made_up_imeis(833_000, 5)
    book = openpyxl.Workbook()
    for row in (("Berlin",), ("Box", "IMEI"), *((str(place), imei) for place, imei in enumerate(numbers, 1))):
        book.worksheets[0].append(row)
    book.save(file)
    page = visitor.open("/batch")
    counted = "addEventListener('click', event => event.isTrusted && event.detail && clicked(), true)"
    clicks: list[str] = []
    page.expose_function("clicked", lambda: clicks.append(page.url))
    page.add_init_script(counted)
    page.reload()
    with page.expect_file_chooser() as chooser:
        page.locator("[data-drop]").click()
    chooser.value.set_files(file)
    page.get_by_role("combobox", name="Service").click()
    page.get_by_role("option", name=re.compile("Carrier")).first.click()
    page.get_by_role("button", name="Preview cost").click()
    page.get_by_role("button", name="Confirm and send 5 IMEIs").click()
    expect(page.locator("[data-field=stage]")).to_have_text("Complete")
    page.get_by_text("Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^My sheet")).click()
    assert 5 <= len(clicks) <= 7
    download.value.save_as(tmp_path / "back.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "back.xlsx").worksheets[0]
    assert [cell.value for cell in sheet["B"]] == [None, "IMEI", *numbers]
    assert sheet["C2"].value == "Verdict"
    assert {cell.value for cell in sheet["C"][2:]} <= {"Pass", "Review", "Fail"}


def test_a_mixed_lot_is_sent_in_parts_with_one_click(visitor: Visitor, site: Site) -> None:
    """The warning leads to the parts; the service of one is changed, and what is shown then is ordered."""
    listed = b"TAC,Brand,Model\r\n35441100,Apple,iPhone 12\r\n35441200,Samsung,Galaxy S21\r\n"
    site.post("/settings/models/import", {}, {"file": ("tacs.csv", listed)})
    bodies = [f"{tac}{number:06d}" for tac, count in (("35441100", 3), ("35441200", 2)) for number in range(count)]
    numbers = [body + luhn_check_digit(body) for body in bodies]
    before = site.one("SELECT max(id) FROM batches") or 0
    page = visitor.open(site.upload(numbers), viewport={"width": 390, "height": 844})
    expect(page.get_by_role("region", name="Models")).to_contain_text("3iPhone")
    expect(page.locator("aside.cost")).to_contain_text("2 IMEIs are Samsung phones. This service is for Apple.")
    page.locator("aside.cost").get_by_role("link", name="Send each part to its own service").click()
    samsung = page.get_by_label("Service for Samsung")
    usual = samsung.input_value()
    assert usual in ("", OTHER)  # nobody has ordered such a phone yet; another test may have used the service
    offered = samsung.locator("option").all_text_contents()
    assert not [title for title in offered if "iPhone" in title]
    ids = samsung.locator("option").evaluate_all("options => options.map((option) => option.value)")
    samsung.select_option(next(service_id for service_id in ids if service_id not in ("", usual)))
    expect(page.get_by_role("button", name="Confirm and send")).to_be_hidden()
    page.get_by_role("button", name="Update cost").click()
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name=re.compile("Confirm and send 5 IMEIs")).click()
    expect(page.get_by_role("region", name="Sent")).to_contain_text("stock.csv · Samsung")
    assert site.one(f"SELECT group_concat(total) FROM batches WHERE id > {before}") == "3,2"
    assert site.one(f"SELECT count(DISTINCT imei) FROM items WHERE batch_id > {before}") == len(numbers)
