"""Take the pictures of this folder from a demo that is filled first: `.venv/bin/python docs/screenshots.py`."""

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests" / "tools")]

from live_site import QUICK, Site, launch, made_up_imeis, wait_until  # noqa: E402

DESK = (1280, 800)
PHONE = (390, 844)


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
    complete = fill(site)
    stock = made_up_imeis(70_000, 2_400)
    take(light, site.upload([*stock, *stock[:12], "353370080000001", "12345", "n/a"], "stock.csv"), "preview")
    take(light, complete, "batch")
    take(dark, wait_for_half(site), "batch-dark")
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
