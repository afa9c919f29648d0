"""Result texts that hold whole records of orders, as the simulated provider writes them into its list unescaped."""

import time
from xml.sax.saxutils import escape

import pytest
from batch_checks import rows
from simulated_provider import Simulator, judge

from database import IMEIDatabase
from simulator import lists as simulator_lists
from simulator import texts as simulator_texts

FORGED = 15_900_000  #: an id that the provider has not given to any order, newer than all that it has
TITLE = "T-Mobile USA - Status Check"


def forged_text(*named: tuple[int, str]) -> str:
    """A result text with whole records of these (order id, IMEI), after which the list is well formed again."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 5 * 3600))
    records = "".join(
        f"</code><requestedat>{at}</requestedat></imeis><imeis><id>{order_id}</id><package>{TITLE}</package>"
        f"<imei>{imei}</imei><statusId>1</statusId><status>Pending</status><code>"
        for order_id, imei in named
    )
    return f"Clean{records}no more"


def let_texts(monkeypatch: pytest.MonkeyPatch, texts: dict[str, str]) -> None:
    """The provider writes these results (IMEI → text) into its answers as they are."""
    usual = simulator_texts.result_text
    monkeypatch.setattr(simulator_lists, "_final", simulator_lists._final.__wrapped__)  # which keeps texts
    monkeypatch.setattr(simulator_lists, "result_text", lambda package, imei: texts.get(imei) or usual(package, imei))
    monkeypatch.setattr(simulator_lists, "escape", lambda text: text if text in texts.values() else escape(text))


def ordered(database: IMEIDatabase) -> dict[str, str]:
    """IMEI → order id of what was placed, as our database says."""
    return dict(rows(database, "SELECT imei, order_id FROM orders WHERE attempt_id IS NOT NULL AND attempt_id > 0"))


def assert_no_false_word(simulator: Simulator, database: IMEIDatabase) -> None:
    """Each order that we know is one that was charged, of this IMEI; no IMEI is charged twice."""
    charged = {(charge.imei, str(charge.order_id)) for charge in simulator.charges()}
    assert set(ordered(database).items()) <= charged
    assert judge(simulator, database)[0] == 0
