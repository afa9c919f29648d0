"""The main job as people do it: by clicking, dropping, pasting and typing, in a real browser on the real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import xlsxwriter
from live_site import SERVICE, Site, Visitor, csv_of, made_up_imeis
from playwright.sync_api import Page, expect
from waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", name="site")
def site_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that fetches results when it is asked to: the long batches below would be asked for all along.

    Tests that ask for results come before these batches, because all that is pending is asked for.
    """
    running = Site(tmp_path_factory.mktemp("site"), AUTO_SYNC_INTERVAL="0")
    yield running
    running.kill()


LIVE = re.compile(r"/batches/\d+$")


def choose_file(page: Page, name: str, content: bytes) -> None:
    page.goto("/batch")
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
    page.locator("#service_id").select_option(SERVICE)
    page.get_by_role("button", name="Preview cost").click()


def confirm(page: Page) -> str:
    """Type the number if that is asked for, and confirm; the path of the live page."""
    typed = page.locator("#typed")
    if typed.count():
        typed.fill(re.sub(r"\D", "", page.locator("label[for=typed]").inner_text()))
    page.get_by_role("button", name="Confirm and send").click()
    return live_path(page)


def live_path(page: Page) -> str:
    page.wait_for_url(LIVE)
    return "/batches/" + page.url.rsplit("/", 1)[1]


#: IMEIs of a batch whose calls have begun. One that was killed before it reached the provider is waited for, to prove
#: that it is absent, for as long as a call may take.
SENT = """
SELECT count(*) FROM items JOIN chunks ON chunks.id = items.chunk_id
WHERE chunks.batch_id = {} AND chunks.state IN ('sending', 'answered')
"""


def done(page: Page) -> int:
    return int(page.locator("[data-field=done]").inner_text().replace(",", ""))


#: Milliseconds between two looks at a page. By default Playwright looks at each frame, and so the page is drawn sixty
#: times a second.
BETWEEN_LOOKS = 50


def wait_for_more(page: Page, than: int) -> None:
    shown = "Number(document.querySelector('[data-field=done]').textContent.replaceAll(',', ''))"
    page.wait_for_function(f"than => {shown} > than", arg=than, polling=BETWEEN_LOOKS)


def expect_state(page: Page, state: str) -> None:
    expect(page.locator("[data-live]")).to_have_attribute("data-state", state)


def test_results_appear_on_an_open_page_by_themselves(visitor: Visitor, site: Site) -> None:
    """The page of a finished batch stays open while the provider gives results; nobody reloads it."""
    site.provider(latency=0.0)
    live = site.order(made_up_imeis(700_000, 5))
    site.finish(live)
    page = visitor.window().new_page()
    page.clock.install()  # so that the test need not wait as long as the page does
    page.goto(live)
    results = page.locator("[data-rows] tbody")
    expect(results).to_contain_text("Pending")
    site.fetch_results()

    def shown() -> bool:
        page.clock.fast_forward(11_000)
        return "Pending" not in results.inner_text()

    wait_until(shown, "the results on the open page")
    expect(page.locator("[data-field=stage]")).to_have_text("Complete")
    expect(page.locator("[data-verdict=pending] [data-count]")).to_have_text("0")


WATCH = """() => {
    window.shift = 0;
    window.said = [];
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value; }))
        .observe({ type: "layout-shift" });
    new MutationObserver(() => window.said.push(document.querySelector("[data-announce]").textContent))
        .observe(document.querySelector("[data-announce]"), { childList: true });
    window.events = [];
    const source = new EventSource(document.querySelector("[data-live]").dataset.events);
    source.addEventListener("progress", () => window.events.push(performance.now()));
    source.addEventListener("end", () => source.close());
}"""


def test_a_live_page_without_orders_says_so_in_whole_words(visitor: Visitor, site: Site) -> None:
    site.provider(latency=3.0)
    path = site.order(made_up_imeis(720_000, 1))
    words = visitor.open(path).get_by_text("No orders yet.")
    expect(words).to_be_visible()
    assert words.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
    site.finish(path)


def test_a_live_page_is_calm(visitor: Visitor, site: Site) -> None:
    """Nothing moves while numbers change, two updates a second at most, and a screen reader hears each tenth once."""
    site.provider(latency=2.0)
    page = visitor.open(site.order(made_up_imeis(510_000, 1_500)), viewport={"width": 1280, "height": 1600})
    wait_for_more(page, 0)
    page.evaluate(WATCH)
    expect_state(page, "finished")
    site.fetch_results()
    complete = "() => window.said.at(-1)?.startsWith('Complete: 1,500 results')"
    page.wait_for_function(complete, polling=BETWEEN_LOOKS)
    said = page.evaluate("window.said")
    assert 1 <= len(said) <= 22
    assert len(said) == len(set(said))
    times = page.evaluate("window.events")
    assert len(times) >= 2
    assert len(times) <= 2 * (times[-1] - times[0]) / 1000 + 2
    assert page.evaluate("window.shift") < 0.1


def test_a_notification_comes_only_to_those_who_asked(visitor: Visitor, site: Site) -> None:
    """The browser is asked for leave by the button alone, and complete results are told once."""
    site.provider(latency=7.0)  # the pause comes before the answers also where much else runs
    window = visitor.window(permissions=["notifications"])
    window.add_init_script("""
        window.told = [];
        window.asked = 0;
        const Real = Notification;
        window.Notification = class extends Real {
            constructor(title, more) { super(title, more); window.told.push([title, more.body]); }
            static requestPermission() { window.asked += 1; return Real.requestPermission(); }
        };""")
    asking, silent = window.new_page(), window.new_page()
    live = site.order(made_up_imeis(550_000, 600), "told.csv")
    site.post(f"{live}/pause", {})
    for page in (asking, silent):
        page.goto(live)
        expect_state(page, "paused")
    assert asking.evaluate("window.asked") == 0
    asking.get_by_role("button", name="Tell me when results are complete").click()
    expect(asking.get_by_role("button", name="You will be notified")).to_be_visible()
    site.post(f"{live}/resume", {})
    for page in (asking, silent):
        expect_state(page, "finished")
    assert asking.evaluate("window.told") == []
    site.fetch_results()
    for page in (asking, silent):
        expect(page.locator("[data-live]")).to_have_attribute("data-stage", "complete")
    [[title, body]] = asking.evaluate("window.told")
    assert title == "told.csv: results are complete"
    assert sum(int(count.replace(",", "")) for count in re.findall(r"\d[\d,]*", body)) == 600
    assert silent.evaluate("[window.asked, window.told]") == [0, []]


def test_a_file_of_20_000_goes_from_the_file_button_to_the_history(visitor: Visitor, site: Site) -> None:
    """Upload, preview, typed confirmation, progress that climbs, a closed tab, and 20,000 orders at the end."""
    site.provider(latency=1.0)
    before = site.one("SELECT COUNT(*) FROM orders")
    window = visitor.window()
    page = window.new_page()
    choose_file(page, "stock.csv", csv_of(made_up_imeis(0, 20_000)))
    cost = page.locator("aside.cost")
    expect(cost).to_contain_text("20,000")
    expect(cost).to_contain_text("$1,600.00")
    live = confirm(page)
    wait_for_more(page, 0)
    wait_for_more(page, done(page))
    assert re.match(r"\d+ % ordered · Batch \d+ · ", page.title())
    page.close()
    page = window.new_page()
    page.goto(live)
    expect_state(page, "finished")
    expect(page.locator("[data-field='outcomes.ordered']")).to_have_text("20,000")
    page.goto("/history")
    expect(page.locator("main .lead")).to_have_text(f"{before + 20_000:,} orders and their results")
    assert site.one("SELECT COUNT(*) FROM orders") == before + 20_000
    assert site.charged() == before + 20_000


def test_a_workbook_can_be_dropped_on_the_page(visitor: Visitor, tmp_path: Path) -> None:
    path = tmp_path / "stock.xlsx"
    with xlsxwriter.Workbook(path) as workbook:
        workbook.add_worksheet().write_column(0, 0, ["IMEI", *made_up_imeis(20_000, 40)])
    page = visitor.open("/batch")
    drop(page, path)
    expect(page.locator("[data-drop-text]")).to_contain_text("stock.xlsx")
    page.locator("#service_id").select_option(SERVICE)
    page.get_by_role("button", name="Preview cost").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("stock.xlsx")
    expect(page.locator("aside.cost")).to_contain_text("$3.20")


def drop(page: Page, path: Path) -> None:
    """Drag a file from the desk to the drop zone, as the browser itself sees it."""
    box = page.locator("[data-drop]").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **where, "data": data})


def test_a_paste_of_30_000_is_counted_and_read(visitor: Visitor) -> None:
    page = visitor.open("/batch", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(made_up_imeis(30_000, 30_000)))
    page.locator("#imeis").focus()
    page.keyboard.press("Control+V")
    expect(page.locator("[data-paste-count]")).to_have_text("30,000 IMEIs in 30,000 entries")
    page.locator("#service_id").select_option(SERVICE)
    expect(page.locator("[data-estimate]")).to_have_text("about $2,400.00")
    page.get_by_role("button", name="Preview cost").click()
    expect(page.locator(".buckets .good")).to_contain_text("30,000")
    expect(page.locator("aside.cost")).to_contain_text("$2,400.00")


def test_pause_resume_and_cancel_show_in_two_tabs_alike(visitor: Visitor, site: Site) -> None:
    """Nothing more is sent while paused, resuming goes on, cancelling leaves each IMEI with one outcome."""
    site.provider(latency=3.0)
    window = visitor.window()
    page, other = window.new_page(), window.new_page()
    live = site.order(made_up_imeis(400_000, 16_000))
    page.goto(live)
    other.goto(live)
    wait_for_more(page, 0)
    page.get_by_role("button", name="Pause").click()
    expect_state(page, "paused")
    expect_state(other, "paused")
    page.get_by_text("Technical").click()
    expect(page.locator(".legend")).to_be_visible()
    wait_until(lambda: site.progress(live)["chunks"]["sending"] == 0, "all that was under way is answered")
    held = site.progress(live)["done"]
    assert 0 < held < 16_000
    for tab in (page, other):
        expect(tab.locator("[data-field=done]")).to_have_text(f"{held:,}")
    page.get_by_role("button", name="Resume").click()
    expect_state(other, "running")
    wait_for_more(other, held)
    question = page.get_by_role("dialog", name="Stop batch")
    page.get_by_role("button", name="Stop batch").click()
    expect(question.get_by_role("button", name="Keep sending")).to_be_focused()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    page.get_by_role("button", name="Stop batch").press("Enter")
    question.get_by_role("button", name="Stop batch").click()
    for tab in (page, other):
        expect_state(tab, "finished")
        expect(tab.locator("[data-field=stage]")).to_have_text("Stopped")
    outcomes = site.progress(live)["outcomes"]
    assert outcomes["cancelled"] > 0
    assert outcomes["cancelled"] + outcomes["ordered"] == 16_000
    for tab in (page, other):
        expect(tab.locator("[data-field=done]")).to_have_text(f"{outcomes['ordered']:,}")


def test_one_imei_can_be_ordered_with_the_keyboard_alone(visitor: Visitor, site: Site) -> None:
    [imei] = made_up_imeis(300_000, 1)
    page = visitor.open("/submit")
    tab_to(page, "#imei")
    page.keyboard.type(imei)
    expect(page.locator("[data-luhn]")).to_contain_text("check digit is correct")
    tab_to(page, "[data-picker-search]")
    page.keyboard.type(SERVICE)
    page.keyboard.press("Enter")
    tab_to(page, "button[type=submit]")
    page.keyboard.press("Enter")
    live_path(page)
    expect_state(page, "finished")
    assert site.one(f"SELECT COUNT(*) FROM orders WHERE imei = '{imei}'") == 1


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def test_without_javascript_a_batch_goes_from_upload_to_its_end(visitor: Visitor, site: Site) -> None:
    """The live page asks to be refreshed by the browser itself until it is finished."""
    page = visitor.window(java_script_enabled=False).new_page()
    site.provider(latency=1.0)
    choose_file(page, "plain.csv", csv_of(made_up_imeis(301_000, 150)))
    expect(page.locator("aside.cost")).to_contain_text("$12.00")
    live = confirm(page)
    assert page.locator("noscript meta[http-equiv=refresh]").count() or site.progress(live)["state"] == "finished"
    site.finish(live)
    page.reload()
    expect_state(page, "finished")
    expect(page.locator("[data-field=done]")).to_have_text("150")


@pytest.mark.parametrize("scripted", [True, False])
def test_a_double_click_on_confirm_makes_one_batch(visitor: Visitor, site: Site, scripted: bool) -> None:
    """Whether the page's script or only the server stands between the second click and the money."""
    imeis = made_up_imeis(310_000 if scripted else 311_000, 30)
    batches, charged = site.one("SELECT COUNT(*) FROM batches"), site.charged()
    page = visitor.open(site.upload(imeis), java_script_enabled=scripted)
    page.get_by_role("button", name="Confirm and send").dblclick()
    live = live_path(page)
    site.finish(live)
    assert site.one("SELECT COUNT(*) FROM batches") == batches + 1
    assert site.charged() == charged + 30


def test_many_imeis_are_looked_up_by_pasting_them(visitor: Visitor, site: Site) -> None:
    """6,000 pasted into the history: what is found, what is missing, and a file of each."""
    site.finish(site.order(made_up_imeis(500_000, 200)))
    page = visitor.open("/history", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(made_up_imeis(500_000, 6_000)))
    page.get_by_text("Look up many IMEIs at once").click()
    page.locator("#imeis").press("Control+V")
    expect(page.locator("[data-paste-count]")).to_have_text("6,000 IMEIs in 6,000 entries")
    page.get_by_role("button", name="Look up IMEIs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("6,000 IMEIs looked up")
    expect(page.locator(".tabs")).to_contain_text("200 found")
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("link", name="5,800 missing").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download missing as CSV").click()
    assert len(download.value.path().read_text().split()) - 2 == 5_800


@pytest.mark.parametrize("how", ["asleep", "offline"])
def test_a_live_page_finds_back_after_sleep_and_without_network(visitor: Visitor, site: Site, how: str) -> None:
    """What happened meanwhile is shown, by the same document, without anybody reloading it."""
    visitor.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_IO_SUSPENDED", "ERR_NETWORK_CHANGED")
    site.provider(latency=1.0)
    page = visitor.open(live := site.order(made_up_imeis(530_000 if how == "asleep" else 540_000, 6_000)))
    page.evaluate("window.sameDocument = true")
    wait_for_more(page, 0)
    session = page.context.new_cdp_session(page)
    if how == "asleep":
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
    else:
        page.context.set_offline(True)
    site.finish(live)
    if how == "asleep":
        session.send("Page.setWebLifecycleState", {"state": "active"})
    else:
        page.context.set_offline(False)
    expect_state(page, "finished")
    expect(page.locator("[data-field=done]")).to_have_text("6,000")
    assert page.evaluate("window.sameDocument")


def test_what_is_known_of_an_imei_is_shown_while_it_is_typed(visitor: Visitor, site: Site) -> None:
    [imei] = made_up_imeis(560_000, 1)
    site.finish(site.order([imei]))
    page = visitor.open("/submit")
    page.locator("#imei").press_sequentially(imei)
    expect(page.locator("[data-luhn]")).to_contain_text("Checked just now")
    page.locator("[data-luhn]").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(imei)


def test_an_imei_is_copied_with_its_button(visitor: Visitor, site: Site) -> None:
    [imei] = made_up_imeis(570_000, 1)
    site.finish(site.order([imei]))
    page = visitor.open(f"/history?q={imei}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=f"Copy {imei}").click()
    copied = "async imei => await navigator.clipboard.readText() === imei"
    page.wait_for_function(copied, arg=imei, polling=BETWEEN_LOOKS)


def test_the_live_page_goes_on_by_itself_after_the_server_was_killed(visitor: Visitor, site: Site) -> None:
    """The open page finds the new server and shows the rest; every IMEI is charged once and ordered."""
    visitor.expected = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING",
                        "ERR_EMPTY_RESPONSE")  # fmt: skip
    before = site.charged()
    site.provider(latency=1.0)
    live = site.order(made_up_imeis(200_000, 6_000))
    page = visitor.open(live)
    page.evaluate("window.sameDocument = true")
    wait_for_more(page, 0)
    shown = done(page)
    wait_until(lambda: site.charged() - before == site.one(SENT.format(live.rpartition("/")[2])), "all is sent")
    site.kill()
    site.start()
    wait_for_more(page, shown)
    expect(page.locator(".outcomes [data-field='outcomes.ordered']")).to_have_text("6,000", timeout=240_000)
    assert page.evaluate("window.sameDocument")
    assert sorted(site.charges(before)) == sorted(made_up_imeis(200_000, 6_000))
