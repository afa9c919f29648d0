"""Two people, two programs and files that order the same IMEIs, on the real pages, while the real loop sends.

What they do is drawn. After each action ledger and tables must say the same. An IMEI is paid a second time only where
the page that was confirmed, the card or the request asked for that and knew of its newest result.
"""

import os
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from api_client import ApiClient
from flask import Flask
from plain_sql import run
from provider_model import SILENT, SPOILED, STOPS, TURNED_AWAY, Disturbance
from simulated_provider import SERVICE, imeis
from stepped_loop import CALL, Loop
from web_client import Browser, confirm_fields, fields_of, words
from werkzeug.test import TestResponse

from access import create_token
from database import IMEIDatabase, utc_now
from orders import NotPossibleError, Outcome
from people import Role, scopes_of
from results.importing import import_orders, undo_import
from simulator.ledger import Charge
from spreadsheets.order_rows import ImportRow
from storage.token_store import NewToken
from submission.decisions import take_back_clearing, take_back_order, was_not_placed, was_placed

POOL = imeis(8)
FINAL = ("Completed", "Rejected")
FAULTS = [
    *(Disturbance(fault, delay=20.0) for fault in SILENT),
    *(Disturbance(fault) for fault in (*TURNED_AWAY, *SPOILED)),
    *(Disturbance(words=said, placed=1) for said in STOPS),
]
UNSENT = (
    "SELECT b.id, b.state, b.total, (SELECT count(*) FROM items i WHERE i.batch_id = b.id),"
    " (SELECT count(*) FROM chunks c WHERE c.batch_id = b.id AND c.state IN ('planned', 'sending')) FROM batches b"
)
#: The newest paid order of each IMEI with a service, where each of its orders has a result.
SEEN = (
    "SELECT imei, coalesce(max(id) FILTER (WHERE batch_id IS NOT NULL), 0) FROM orders WHERE service_id = ?"
    " GROUP BY imei HAVING count(*) = count(*) FILTER (WHERE status IN ('Completed', 'Rejected'))"
)
OPEN = (
    "SELECT i.imei FROM items i LEFT JOIN chunks c ON c.id = i.chunk_id WHERE i.outcome = 'in_doubt'"
    " OR c.state = 'sending'"
)


#: IMEI → row id of its newest paid order, 0 where it has none.
Seen = Mapping[str, int]
NOTHING: Seen = {}


def seeds(*usual: int) -> Sequence[int]:
    """Return the seeds of the walks: these, or with WALKS=200 as many others, or with WALKS=200-300 those from 200."""
    first, _, end = os.environ.get("WALKS", "").rpartition("-")
    return range(int(first or 0), int(end)) if end else usual


class People:
    """Two browsers and two programs on one database, and what they were shown."""

    pool = POOL

    def __init__(self, app: Flask, database: IMEIDatabase, loop: Loop, seed: int) -> None:
        self.draw, self.database, self.loop = random.Random(seed), database, loop
        self.browsers = [Browser(app), Browser(app)]
        tokens = (NewToken(name, Role.OPERATOR, scopes_of(Role.OPERATOR)) for name in ("first", "second"))
        self.programs = [ApiClient(app, create_token(database, token)) for token in tokens]
        #: Browser, preview, fields of its button, and the results when it was shown and "again" was ticked.
        self.previews: list[tuple[Browser, str, dict[str, str], Seen]] = []
        self.forms: list[tuple[Browser, dict[str, Any], Seen]] = []  #: of one or a few IMEIs
        self.cards: list[tuple[str, Seen]] = []
        self.looks: list[tuple[list[str], Seen]] = []  #: the order ids that a program has read
        #: IMEI and service → how often it may be paid beside the first time
        self.again: Counter[tuple[str, str]] = Counter()
        self.imports: list[int] = []
        self.named: list[tuple[int, str]] = []  #: batch and order of what a person found
        self.numbers = iter(range(8_000_000, 9_000_000))

    def rows(self, query: str, *given: Any) -> list[Any]:
        with self.database.read() as connection:
            return [tuple(row) for row in run(connection, query, *given)]

    def batches(self) -> list[int]:
        return [row[0] for row in self.rows("SELECT id FROM batches ORDER BY id")]

    def some(self) -> list[str]:
        return self.draw.sample(self.pool, self.draw.randint(1, 5))

    @property
    def charges(self) -> list[Charge]:
        return self.loop.model.charges

    def seen(self) -> Seen:
        """Return the IMEIs with a result, each with its newest order."""
        return dict(self.rows(SEEN, SERVICE))

    def seen_long_ago(self) -> Seen:
        """Return those of seen() for which nothing came in the last twelve hours."""
        newer = "SELECT imei FROM orders WHERE service_id = ? AND batch_id IS NOT NULL AND updated_at >= ?"
        gone = {row[0] for row in self.rows(newer, SERVICE, utc_now() - timedelta(hours=12))}
        return {imei: order for imei, order in self.seen().items() if imei not in gone}

    def note_made(self, before: int, seen: Seen) -> None:
        """At most one batch was made since there were this many; it may pay again where nothing newer came since."""
        made = self.batches()[before:]
        assert len(made) <= 1
        now, waiting = self.seen(), "SELECT imei FROM items WHERE batch_id = ? AND outcome = 'waiting'"
        listed = [imei for batch_id in made for (imei,) in self.rows(waiting, batch_id)]
        self.again.update((imei, SERVICE) for imei in listed if imei in seen and now.get(imei) == seen[imei])

    # People

    def upload(self) -> None:
        browser = self.draw.choice(self.browsers)
        preview = browser.paste(self.some(), SERVICE)
        ticks = self.draw.choice([[], ["recheck"], ["resend_rejected"], ["recheck", "resend_rejected"]])
        if ticks:
            fields = confirm_fields(browser.get(preview).text) or {"service_id": SERVICE}
            browser.post(f"{preview}/options", fields | dict.fromkeys(ticks, "on"))
        self.see(browser, preview)

    def see(self, browser: Browser, preview: str) -> None:
        fields = confirm_fields(browser.get(preview).text)
        if fields:
            ticked = not {"recheck", "resend_rejected"}.isdisjoint(fields)
            self.previews.append((browser, preview, fields, self.seen() if ticked else NOTHING))

    def confirm(self) -> None:
        """Press the button of any page that is open, once or twice."""
        if self.previews:
            browser, preview, fields, seen = self.draw.choice(self.previews)
            before = len(self.batches())
            for _ in range(self.draw.randint(1, 2)):
                browser.post(preview, fields)
            self.note_made(before, seen)

    def open_form(self) -> None:
        """Open "Check a few" and press its button, where nothing is known of the IMEIs."""
        browser = self.draw.choice(self.browsers)
        asked = {"imei": "\n".join(self.some()[:2]), "service_id": SERVICE}
        before, ticks = len(self.batches()), self.draw.choice([{}, {"recheck": "on"}])
        answer = browser.post("/submit", asked | ticks)
        self.note_made(before, NOTHING)
        if "/batches/" not in (answer.location or ""):
            self.see_form(browser, browser.led_back(answer))

    def see_form(self, browser: Browser, page: TestResponse) -> None:
        fields = fields_of(page.text, "/submit") | {"service_id": SERVICE}
        self.forms.append(
            (browser, fields | {"seen": re.findall(r'name="seen" value="(\d+)"', page.text)}, self.seen())
        )

    def send_form(self) -> None:
        """Tick "check again" on any form that is open, and press its button twice."""
        if self.forms:
            browser, fields, seen = self.draw.choice(self.forms)
            before = len(self.batches())
            for _ in range(2):
                answer = browser.post("/submit", fields | {"recheck": "on"})
            self.note_made(before, seen)
            if "/batches/" not in (answer.location or ""):
                self.see_form(browser, browser.led_back(answer))

    def move(self) -> None:
        if found := self.batches():
            way = self.draw.choice(["pause", "resume", "resume", "cancel"])
            self.draw.choice(self.browsers).post(f"/batches/{self.draw.choice(found)}/{way}", {"price": "0.1"})

    def retry(self) -> None:
        if found := self.batches():
            browser = self.draw.choice(self.browsers)
            answer = browser.post(f"/batches/{self.draw.choice(found)}/retry")
            if "preview" in (answer.location or ""):
                self.see(browser, answer.location)

    def scan(self) -> None:
        form = {"imei": self.draw.choice(self.pool), "service_id": SERVICE, "session": self.draw.choice("ab")}
        shown = self.browsers[0].post("/scan/check.json", form).get_json()
        self.cards.append((shown["card"]["html"], self.seen()))

    def scan_again(self) -> None:
        """Press "Check again" twice, on any card that was ever shown."""
        card, seen = self.draw.choice(self.cards or [("", NOTHING)])
        fields = dict(re.findall(r'name="(again|seen|token|imei|service_id|prices)" value="([^"]*)"', card))
        if "again" in fields:
            before = len(self.batches())
            for _ in range(2):
                shown = self.browsers[1].post("/scan/check.json", fields | {"session": "a"}).get_json()
            self.note_made(before, seen)
            self.cards.append((shown["card"]["html"], self.seen()))

    # Programs and files

    def look(self) -> None:
        """A program reads which orders have a result."""
        listed: Any = self.programs[0].get("/orders?limit=100").json
        named = [order["order_id"] for order in listed["orders"] if order["status"] in FINAL]
        self.looks.append((named, self.seen()))

    def request(self) -> None:
        several: tuple[str, dict[str, Any]] = ("/batches", {"imeis": self.some()})
        path, more = self.draw.choice([several, ("/checks", {"imei": self.some()[0]})])
        again, before = self.draw.random() < 0.5, len(self.batches())
        known, seen = self.draw.choice([*self.looks, (None, self.seen_long_ago())])
        key = {"Idempotency-Key": self.draw.choice("abc")} if self.draw.random() < 0.5 else {}
        body = {"service_id": SERVICE, "recheck": again, **more, **({"known_orders": known} if known else {})}
        program = self.draw.choice(self.programs)
        for _ in range(2 if key else 1):
            program.post(path, body, headers=key)
        self.note_made(before, seen if again else NOTHING)

    def bring_file(self) -> None:
        title = self.rows("SELECT title FROM services WHERE service_id = ?", SERVICE)[0][0]
        listed = []
        for place, imei in enumerate(self.some(), 1):
            number = next(self.numbers)
            values = {"imei": imei, "service_name": title, "status": self.draw.choice(["Pending", *FINAL])}
            day = datetime(2025, 1, 1) + timedelta(hours=number % 1000)
            listed.append(ImportRow(place, {**values, "order_id": str(number), "order_date": day}))
        self.imports.append(import_orders(self.database, listed, "export.csv")[0])

    def undo_file(self) -> None:
        if self.imports:
            undo_import(self.database, self.imports.pop(self.draw.randrange(len(self.imports))))

    # Doubt

    def decide(self) -> None:
        """Say the truth about an IMEI in doubt."""
        doubtful = self.rows("SELECT id, imei, batch_id FROM items WHERE outcome = 'in_doubt'")
        if not doubtful:
            return
        item_id, imei, batch_id = self.draw.choice(doubtful)
        known = {row[0] for row in self.rows("SELECT order_id FROM orders")}
        theirs = [str(charge.order_id) for charge in self.charges if charge.imei == imei]
        unknown = [order_id for order_id in theirs if order_id not in known]
        if unknown:
            was_placed(self.database, item_id, unknown[0])
            self.named.append((batch_id, unknown[0]))
        elif not any(imei in late.imeis for late in self.loop.model.late):
            was_not_placed(self.database, [item_id], 0.0)

    def take_back(self) -> None:
        for batch_id in self.batches():
            take_back_clearing(self.database, batch_id)
        if self.named:
            try:
                take_back_order(self.database, *self.named.pop())
            except NotPossibleError:
                return  # it has its result

    # The loop and the provider

    def work(self) -> None:
        for _ in range(self.draw.randint(1, 3)):
            self.loop.step(2)
            self.loop.let_all()

    def work_a_little(self) -> None:
        self.loop.step()
        if self.loop.waiting:
            self.loop.let(self.draw.choice(self.loop.waiting))

    def disturb(self) -> None:
        self.loop.step(2)
        if CALL in self.loop.waiting:
            self.loop.let(CALL, **vars(self.draw.choice(FAULTS)))

    def results_come(self) -> None:
        self.loop.model.provider.complete()
        for (order_id,) in self.rows("SELECT order_id FROM orders WHERE status NOT IN ('Completed', 'Rejected')"):
            self.database.update_order_status(order_id, self.draw.choice(FINAL))

    def time_passes(self) -> None:
        self.loop.model.pass_time(self.draw.choice([1.0, 61.0, 200.0]))

    # What must hold

    def check(self) -> None:
        charges = self.charges
        for paid, count in Counter((charge.imei, charge.service_id) for charge in charges).items():
            assert count <= 1 + self.again[paid], f"{paid} was charged {count} times"
        known = {row[0] for row in self.rows("SELECT order_id FROM orders")}
        open_ones = {row[0] for row in self.rows(OPEN)}
        lost = [one.imei for one in charges if str(one.order_id) not in known and one.imei not in open_ones]
        assert not lost, "charges are lost"
        ordered = self.rows("SELECT imei, batch_id FROM items WHERE outcome = 'ordered'")
        placed = self.rows("SELECT imei, batch_id FROM orders WHERE batch_id IS NOT NULL AND NOT existed")
        assert Counter(ordered) == Counter(placed)
        for batch_id, state, total, count, unsent in self.rows(UNSENT):
            assert count == total
            assert state != "finished" or not unsent, f"batch {batch_id} is finished and has calls to send"

    def check_pages(self) -> None:
        for batch_id in self.batches():
            counted = "SELECT outcome, count(*) FROM items WHERE batch_id = ? GROUP BY outcome"
            outcomes = dict(self.rows(counted, batch_id))
            page = words(self.browsers[0].get(f"/batches/{batch_id}"))
            for outcome in Outcome:
                assert f" {outcomes.get(outcome, 0)} {outcome.replace('_', ' ')} ?" in page
            answer: Any = self.programs[0].get(f"/batches/{batch_id}").json
            assert {name: count for name, count in answer["outcomes"].items() if count} == outcomes
