"""Each page in a real browser: readable for everybody, in light and dark, on a small screen, with no dead link."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
import requests
from axe_playwright_python.base import AXE_SCRIPT
from axe_walk import PHONE, AxeWalk
from kinds_of_addresses import Kinds
from live_site import QUICK, SERVICE, Chromium, Site, Visitor, made_up_imeis
from playwright.sync_api import Page, expect
from waiting import wait_until

from database import IMEIDatabase
from settings import Settings
from web_app import create_app

pytestmark = pytest.mark.browser

#: Each of these pages lives for a second: to optimize its scripts takes longer than they run.
UNOPTIMIZED = "--js-flags=--no-opt --no-maglev --single-threaded-gc"


@pytest.fixture(scope="module", name="chromium")
def chromium_fixture() -> Iterator[Chromium]:
    with closing(Chromium(UNOPTIMIZED)) as found:
        yield found


#: Nothing is drawn: what walks over all pages ask for is laid out at once, and nobody looks at a frame. A click would
#: wait for one.
UNDRAWN = ("--enable-begin-frame-control", "--run-all-compositor-stages-before-draw")


@pytest.fixture(name="walker")
def walker_fixture(visitor: Visitor, chromium: Chromium) -> Visitor:
    """A visitor whose pages are not drawn."""
    visitor.browser = chromium.browser(*UNDRAWN)
    return visitor


@dataclass(frozen=True)
class Filled:
    """A site where every page has something to show, and the paths of its pages."""

    site: Site
    paths: tuple[str, ...]
    fetched: dict[str, requests.Response] = field(default_factory=dict)  #: by path

    def fetch(self, path: str) -> requests.Response:
        """Fetch one of these pages once for the walks that need no browser for that."""
        if path not in self.fetched:
            self.fetched[path] = self.site.session.get(self.site.url + path, timeout=30)
        return self.fetched[path]


def building(site: Site, token: str, **more: object) -> None:
    """Write the state of a workbook that is built in the background."""
    folder = site.data_dir / "demo" / "exports"
    folder.mkdir(exist_ok=True)
    state = {"token": token, "name": "orders.xlsx", "total": 9, "rows": 4, "at": time.time() + 900} | more
    (folder / f"{token}.json").write_text(json.dumps(state))


def automated_recheck(site: Site, imei: str) -> str:
    """Make a re-check that is on, with one run by hand; return the page of what the run changed."""
    when = {"every_days": "7", "hour": "8", "time_zone": "Europe/Berlin", "first_day": "2027-01-01"}
    terms = {"service_id": SERVICE, "max_price": "", "daily_limit": "25", **when}
    page = site.post("/automations", {"kind": "recheck", "filter": f"q={imei}", "name": "Stock watch", **terms})
    site.post(f"{page}/trial", {})
    site.finish(site.post(f"{page}/run", {"trial": "1"}))
    site.post(f"{page}/on", {"sure": "on", "revision": "1"})
    site.post(f"{page}/trial", {})
    return f"/automations/runs/{site.one('SELECT id FROM automation_runs WHERE batch_id > 0')}"


@pytest.fixture(scope="module", name="filled")
def filled_fixture(site: Site) -> Filled:
    """A finished batch with results, one with IMEIs in doubt, one that waits, and previews of both kinds of input."""
    finished = site.order(made_up_imeis(0, 60), "finished stock.csv")
    site.finish(finished)
    site.fetch_results()
    site.post(f"{finished}/names", {"name": "Stock", "customer": "ACME", "note": "Box 3"})
    site.post(f"{finished}/tags", {"tag": "sold, for Berlin"})
    wait_until(lambda: bool(site.one("SELECT COUNT(*) >= 60 FROM orders WHERE status != 'Pending'")), "results")
    recheck = automated_recheck(site, made_up_imeis(0, 1)[0])
    site.provider(fault="reset", fault_when="before", fault_limit=1)  # no later call will prove that it was not placed
    doubtful = site.order(made_up_imeis(100, 40), "doubtful stock.csv")
    wait_until(lambda: site.progress(doubtful)["outcomes"]["in_doubt"] == 40, "40 are in doubt")
    site.provider(**QUICK | {"latency": 5.0})
    paused = site.order(made_up_imeis(200, 300), "paused stock.csv")
    site.post(f"{paused}/pause", {})
    models = b"TAC,Brand,Model\n35337008,Apple,iPhone 14\n35123456,Samsung,Galaxy S21\n"
    site.post("/settings/models/import", {}, {"file": ("models.csv", models)})
    brands = site.upload([*made_up_imeis(900, 3), "351234560000002"], "two brands.csv")
    mixed = ["IMEI", *made_up_imeis(0, 20), *made_up_imeis(600, 40), "353370080000001", "12345", "n/a"]
    preview = site.upload(mixed + made_up_imeis(600, 3), "mixed stock.csv")
    export = site.session.get(f"{site.url}/history.csv", timeout=30).content
    imported = site.post("/database/import", {}, {"file": ("orders.csv", export)})
    order = site.one("SELECT order_id FROM orders WHERE status = 'Completed' LIMIT 1")
    search = site.post("/history/search", {"imeis": "\n".join(made_up_imeis(30, 60))})
    building(site, "built")
    site.post("/settings/users", {"name": "anna", "role": "operator", "password": PASSWORD})
    webhook = {"url": "http://127.0.0.1:1/", "description": "Shop", "events": "backup.failed"}
    site.post("/settings/notifications/webhooks", webhook)
    site.post("/settings/notifications/webhooks/1/test", {})  # nobody listens there
    site.post("/scan", {"service_id": SERVICE, "imei": made_up_imeis(0, 1)[0], "session": "desk"})
    site.post("/reports/disputes", {"kind": "in_doubt", "all": "1"})
    shared = site.share(finished)
    pages = ("/", "/batch", "/submit", "/scan?session=desk", "/scan/sessions", "/help", "/batches", "/batches?q=stock",
             "/automations", "/automations/new?fmi=OFF", "/automations/new?fmi=ON&kind=recheck", "/automations/1",
             recheck,
             "/history", "/services?q=t-mobile", "/database", "/status",
             "/login", "/settings", "/settings/users", "/settings/users/1", "/account", "/settings/tokens",
             "/settings/notifications", "/settings/notifications/webhooks/1", "/settings/notifications/deliveries",
             "/settings/accounts", "/settings/audit-log", "/settings/models?q=35337008", "/api/docs")  # fmt: skip
    site.post("/history/filters?verdict=fail&since=7d", {"name": "To return"})
    more = ("/reports", "/reports?by=service", "/reports/print", "/reports/pivot", "/reports/disputes",
            "/reports/disputes?kind=rejected", "/reports/disputes?state=open", "/reports/disputes/1",
            "/reports/refunds", "/history/recheck", search, f"{search}?show=missing", f"{finished}/report",
            f"{finished}/findings", "/exports/built", "/settings/links", shared, f"/services/{SERVICE}")  # fmt: skip
    asked = (f"{finished}?verdict=fail", "/history?q=nothing", "/services?q=nothing", "/submit?imei=353370080000001",
             "/tags", "/customers", "/customers/one?name=acme", "/search?q=35337", "/history?tag=sold",
             "/history/filters")  # fmt: skip
    return Filled(site, (*pages, *more, *asked, finished, doubtful, f"{doubtful}/doubt", f"{finished}/doubt", paused,
                         f"{paused}/cancel", preview, f"{brands}/split", imported, f"/orders/{order}",
                         "/no-such-page"))  # fmt: skip


#: What answers a GET with a file, with JSON, with events or with a part of a page.
NO_PAGES = {
    "static", "health.bar", "health.probe", "health.status", "batches.events", "batches.progress",
    "batches.results_csv", "batches.results_xlsx", "orders.history_csv", "orders.history_xlsx", "searches.found_csv",
    "searches.found_xlsx", "searches.missing_csv", "reports.spend_csv", "reports.spend_xlsx", "pivot.as_csv",
    "pivot.as_xlsx", "disputes.as_csv", "disputes.as_xlsx",
    "batch_reports.findings_csv", "preview.template", "preview.rejects", "exports.file", "submit.known", "doubt.listed",
    "orders.rows", "orders.result", "orders.sync_state", "scan.cards", "batches.sheet", "batches.sheet_workbook",
    "audit_log.csv", "automations.changes_csv", "metrics.metrics", "api_reference.openapi", "customers.seen_csv",
}  # fmt: skip
#: Pages of a user who is logged in; the demo needs a login from elsewhere, and through a proxy.
BEHIND_LOGIN = ("/account", "/account/second-factor", "/account/prove")
THROUGH_PROXY = {"X-Forwarded-For": "203.0.113.9"}
PASSWORD = "four plain words here"
#: A page that is not there says so on the console, and rightly.
MISSING = ("status of 404",)


def test_the_page_of_doubt_says_by_itself_what_the_provider_lists(visitor: Visitor, filled: Filled) -> None:
    """Fetched when the page stands; without a script, by a link.

    It comes first: after some minutes the list proves that nothing was placed, and the doubt is over.
    """
    doubt = next(path for path in filled.paths if path.endswith("/doubt"))
    words = "Of the 40 IMEIs in doubt, 0 are on it and 40 are not."
    page = visitor.open(doubt)
    expect(page.locator("[data-load]")).to_contain_text(words)
    plain = visitor.window(java_script_enabled=False).new_page()
    plain.goto(doubt)
    plain.get_by_role("link", name="Check provider's list").click()
    expect(plain.get_by_role("region", name="Provider's list now")).to_contain_text(words)


def test_every_page_of_the_app_is_among_those_that_are_looked_at(
    filled: Filled, settings: Settings, database: IMEIDatabase
) -> None:
    """Whoever adds a page must add it here, or to what is no page."""
    rules = create_app(settings, database).url_map
    address = rules.bind("localhost")
    looked_at = {address.match(path.partition("?")[0])[0] for path in filled.paths if path != "/no-such-page"}
    looked_at |= {address.match(path)[0] for path in BEHIND_LOGIN}
    every = {rule.endpoint for rule in rules.iter_rules() if "GET" in (rule.methods or ())}
    operations = {name for name in every if name.startswith("api_") and not name.startswith("api_reference.")}
    assert every - looked_at - operations == NO_PAGES


def each_page(
    visitor: Visitor, filled: Filled, show: Callable[[Page, str], object] = Page.goto, **options: Any
) -> Iterator[tuple[str, Page]]:
    """Open every page, and those behind the login as a user."""
    visitor.expected = MISSING
    page = visitor.window(**options).new_page()
    for path in filled.paths:
        show(page, path)
        yield path, page
    page = visitor.window(extra_http_headers=THROUGH_PROXY, **options).new_page()
    page.goto("/login?next=/account")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url("**/account")
    for path in BEHIND_LOGIN:
        show(page, path)
        yield path, page


def too_wide(page: Page) -> list[str]:
    """Return how wide a page is that a phone must scroll sideways."""
    width = page.evaluate("document.documentElement.scrollWidth")
    return [f"is {width} wide"] if width > PHONE["width"] else []


def test_axe_finds_nothing_on_any_page_and_none_scrolls_sideways_on_a_phone(walker: Visitor, filled: Filled) -> None:
    """Each page is loaded once: scheme and size change in place."""
    wrong, axe = list[str](), AxeWalk()
    walker.scripts.append(AXE_SCRIPT)
    for path, page in each_page(walker, filled, viewport=PHONE):
        wrong += [f"{path} {found}" for found in (*too_wide(page), *axe.violations(page))]
    assert wrong == []


#: Adds to a page: a field without a label, words of too little contrast in either scheme, a button whose name a small
#: window hides, an item without a list, an id that another element has, and what is wider than a phone.
PLANT = """() => {
    const looks = new CSSStyleSheet();
    looks.replaceSync(`.planted-pale { color: #ddd; } .planted-dim { color: #333; }
        .planted-wide { width: 800px; }
        @media (width < 600px) { .planted-name { display: none; } }`);
    document.adoptedStyleSheets.push(looks);
    document.querySelector("main").insertAdjacentHTML("beforeend", `<input>
        <p class="planted-pale">Pale</p><p class="planted-dim">Dim</p>
        <p id="planted">One</p><p id="planted" class="planted-wide">Two</p>
        <button><span class="planted-name">Send</span></button>
        <div><li>Alone</li></div>`);
}"""
PLANTED = {("desk", "label"), ("desk", "color-contrast"), ("dark", "color-contrast"), ("phone", "button-name"),
           ("desk", "listitem"), ("phone", "repeated-id")}  # fmt: skip


def test_the_walk_with_axe_finds_faults_on_a_page_like_those_before(walker: Visitor) -> None:
    """What passed on one page is left out on the next; what is new there is not."""
    walker.scripts.append(AXE_SCRIPT)
    page, axe = walker.window(viewport=PHONE).new_page(), AxeWalk()
    page.goto("/tags")
    assert list(axe.violations(page)) == []
    page.goto("/tags")
    assert too_wide(page) == []
    page.evaluate(PLANT)
    assert len(too_wide(page)) == 1
    assert {tuple(found.split(": ")[:2]) for found in axe.violations(page)} == PLANTED


#: What would open the page itself.
REFRESH = re.compile('<meta http-equiv="refresh"[^>]*>')


def test_no_page_scrolls_sideways_on_a_phone_without_a_script(walker: Visitor, filled: Filled) -> None:
    def lay_out(page: Page, path: str) -> None:
        """Show what is at a path in place of the page before: that takes half the time of opening it."""
        if page.url == "about:blank":
            page.goto("/")
        text = filled.fetch(path).text if path in filled.paths else page.request.get(path).text()
        page.set_content(REFRESH.sub("", text))

    pages = each_page(walker, filled, lay_out, viewport=PHONE, java_script_enabled=False)
    assert [f"{path} {found}" for path, page in pages for found in too_wide(page)] == []


#: The attributes that name what a page links, loads or asks for.
FETCHED = ("href", "src", "data-url", "data-events", "data-progress", "data-load", "data-watch", "data-fresh",
           "data-sync")  # fmt: skip


#: The tags of a page, and those that have one of these attributes or begin a form: the rest need not be parsed.
TAG = re.compile(r"""<[a-z](?:"[^"]*"|[^>"])*>""")
LEADS = re.compile("<form|" + "|".join(f" {name}=" for name in FETCHED))


class Targets(HTMLParser):
    """Where a page leads: what can be fetched, and what forms post to."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[str] = []
        self.posts: list[str] = []

    def read(self, page: str) -> None:
        """Add where a page leads."""
        self.feed("".join(filter(LEADS.search, TAG.findall(page))))

    def set_cdata_mode(self, *_: Any, **__: Any) -> None:
        """Read on after the tag of a script: its text and end are left out."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            known = self.posts if given.get("method", "get").lower() == "post" else self.gets
            known.append(given.get("action", ""))
        for name in FETCHED:
            if name in given:
                self.gets.append(given[name])


@dataclass
class Crawl:
    """A walk over every page of the site that any page leads to."""

    filled: Filled
    status: dict[str, int] = field(default_factory=dict)  #: by path, of what was fetched
    posts: set[str] = field(default_factory=set)  #: paths that forms post to
    kinds: Kinds = field(default_factory=Kinds)  #: of the paths that a page has linked

    def walk(self, starts: tuple[str, ...]) -> None:
        waiting = list(starts)
        while waiting:
            path = waiting.pop()
            if path not in self.status and not self.kinds.is_like_others(path):
                waiting += self.visit(path)

    def visit(self, path: str) -> list[str]:
        """Fetch a path and say where it leads; of a stream, only its beginning is read."""
        with self._answer(path) as answer:
            self.status[path] = answer.status_code
            if not answer.headers["Content-Type"].startswith("text/html"):
                return []
            targets = Targets()
            targets.read(answer.text)
        self.posts.update(filter(None, (self.local(path, target) for target in targets.posts)))
        return [found for found in (self.local(path, target) for target in targets.gets) if found]

    def _answer(self, path: str) -> requests.Response:
        if path in self.filled.paths:
            return self.filled.fetch(path)
        return self.filled.site.session.get(self.filled.site.url + path, timeout=30, stream=True)

    def local(self, page: str, target: str) -> str:
        """The path on this site that a target on a page names; "" where it leads elsewhere."""
        site = self.filled.site.url
        url = urldefrag(urljoin(site + page, target)).url
        parts = urlsplit(url)
        return url.removeprefix(site) if f"{parts.scheme}://{parts.netloc}" == site else ""


def test_every_link_leads_somewhere_and_every_form_is_heard(filled: Filled) -> None:
    """All that pages link, load or ask for answers 200; a form that is posted without its token is refused as such."""
    crawl = Crawl(filled)
    crawl.walk(tuple(path for path in filled.paths if path != "/no-such-page"))
    assert len(crawl.status) > 80
    assert {path: status for path, status in crawl.status.items() if status != 200} == {}
    site = filled.site
    heard = {path: site.session.post(site.url + path, timeout=30).status_code for path in sorted(crawl.posts)}
    assert len(heard) > 10
    assert {path: status for path, status in heard.items() if status != 400} == {}


def test_the_menu_is_walked_by_clicking(visitor: Visitor, filled: Filled) -> None:
    page = visitor.open("/")
    menu = page.get_by_role("navigation", name="Pages").get_by_role("link")
    links = menu.locator("span").all_inner_texts()
    assert len(links) >= 6
    for link in links:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=link, exact=True).click()
        page.wait_for_load_state()
        assert page.locator("h1").inner_text().startswith(link)
        assert page.get_by_role("navigation", name="Pages").locator("[aria-current=page] span").inner_text() == link


def test_a_report_is_printed_black_on_white_without_what_only_a_screen_needs(visitor: Visitor, filled: Filled) -> None:
    """Also from a dark desk: summary, findings and errors on paper, no menu and no button."""
    report = next(path for path in filled.paths if path.endswith("/report"))
    page = visitor.open(report, color_scheme="dark")
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    page.emulate_media(media="print")
    for hidden in ("aside.side", ".crumb", ".demo", "[data-print]"):
        expect(page.locator(hidden)).to_be_hidden()
    for heading in ("Summary", "Results summary", "IMEIs that were not ordered"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    color = "getComputedStyle(document.querySelector('h1')).color"
    assert page.evaluate(color) == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_results_come_to_open_pages_and_leave_what_is_held(visitor: Visitor, site: Site) -> None:
    """Asked for with the button, on the same page: cells fill, a selected one when it is let go, nothing jumps."""
    [first, second] = made_up_imeis(5_000, 2)
    live = site.order([first, second], "awaited stock.csv")
    site.finish(live)
    batch = live.rsplit("/", 1)[1]
    window = visitor.window(viewport={"width": 1280, "height": 500})
    page, alone = window.new_page(), window.new_page()
    page.goto(f"/history?batch={batch}")
    alone.goto("/orders/" + str(site.one(f"SELECT order_id FROM orders WHERE imei = '{first}'")))
    page.bring_to_front()
    status = [page.get_by_role("row").filter(has_text=imei).locator("[data-part=status]") for imei in (first, second)]
    expect(status[0]).to_have_text("Pending")
    page.evaluate("scrollTo(0, 60)")
    status[1].evaluate("(cell) => getSelection().selectAllChildren(cell)")
    boxes = [cell.bounding_box() for cell in status]
    site.complete()
    page.evaluate("document.querySelector('[data-sync-now] button').click()")
    expect(page.locator("[data-sync]")).to_contain_text("still pending")
    expect(status[0]).to_have_text(re.compile("Completed|Rejected"))
    assert page.evaluate("getSelection().toString()").strip() == "Pending"
    assert [cell.bounding_box() for cell in status] == boxes
    page.evaluate("getSelection().removeAllRanges()")
    expect(status[1]).to_have_text(re.compile("Completed|Rejected"))
    assert page.evaluate("scrollY") == 60
    alone.bring_to_front()
    expect(alone.locator("h1 [data-part=status]")).to_have_text(re.compile("Completed|Rejected"))
    expect(alone.locator("[data-part=timeline]")).to_contain_text("Pending →")


def test_without_a_script_nothing_is_cancelled_by_one_click(visitor: Visitor, site: Site) -> None:
    site.provider(latency=5.0)
    live = site.order(made_up_imeis(700_000, 6_000), "long stock.csv")
    site.post(f"{live}/pause", {})
    page = visitor.open(live, java_script_enabled=False)
    page.get_by_role("link", name="Stop batch").click()
    expect(page.get_by_role("heading", name="Stop batch")).to_be_visible()
    page.get_by_role("button", name="Keep sending").click()
    assert urlsplit(page.url).path == live
    assert site.progress(live)["outcomes"]["cancelled"] == 0
    page.get_by_role("link", name="Stop batch").click()
    page.get_by_role("button", name="Stop batch").click()
    assert site.progress(live)["outcomes"]["cancelled"] > 0


def test_the_rarer_filters_are_one_line_on_a_phone_and_open_when_one_is_set(visitor: Visitor, filled: Filled) -> None:
    page = visitor.open("/history", viewport={"width": 390, "height": 844})
    expect(page.locator("#carrier")).to_be_hidden()
    first = page.locator("tbody tr").first.bounding_box()
    assert first is not None
    assert first["y"] < 844 * 0.9
    page.get_by_text("More filters").click()
    page.locator("#simlock").select_option("Locked")
    page.locator("details .filters").get_by_role("button", name="Filter").click()
    page.wait_for_url("**simlock=Locked*")
    expect(page.locator("#simlock")).to_have_value("Locked")


def test_a_workbook_under_way_shows_by_itself_when_it_is_done(visitor: Visitor, site: Site) -> None:
    building(site, "watched")
    page = visitor.open("/exports/watched")
    expect(page.get_by_role("status")).to_have_text("4 of 9 rows")
    (site.data_dir / "demo" / "exports" / "watched.xlsx").write_bytes(b"a workbook")
    with page.expect_download():  # by itself: the visitor has waited for it
        building(site, "watched", rows=9, state="done")
    expect(page.get_by_role("link", name="Download")).to_be_visible()


def test_times_are_the_readers_and_keep_utc_to_hover(visitor: Visitor, filled: Filled) -> None:
    page = visitor.open("/history", timezone_id="Asia/Tokyo")
    time = page.locator("time[datetime]").first
    shown, moment = time.inner_text(), time.get_attribute("datetime")
    assert moment is not None
    expected = page.evaluate("moment => new Date(moment).getHours()", moment)
    assert re.search(rf"\b0?{expected % 12 or 12}:|\b{expected:02d}:", shown)
    assert "UTC" in (time.get_attribute("title") or "")


def test_a_token_is_revoked_only_after_a_question(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/settings/tokens")
    page.get_by_label("Name of the program").fill("desk")
    page.get_by_role("button", name="Create token").click()
    page.goto("/settings/tokens")
    row, question = page.get_by_role("row", name="desk"), page.get_by_role("dialog")
    for answer, state in (("Cancel", "Active"), ("Revoke", "Revoked")):
        row.get_by_role("button", name="Revoke token desk").click()
        expect(question).to_contain_text("Revoke token desk?")
        question.get_by_role("button", name=answer).click()
        expect(question).to_be_hidden()
        expect(row).to_contain_text(state)
