"""The ledger: every charge is kept, on disk too."""

from pathlib import Path

import pytest
import requests
from simulator_calls import A, B, C, error, place

from simulator.server import Simulator


def test_a_ledger_is_remembered_and_a_line_cut_by_a_kill_is_dropped(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with Simulator(ledger=ledger) as simulator:
        place(simulator, A, B)
        charges = simulator.charges()
    with ledger.open("a") as lines:
        lines.write('[15000002,"3532091')
    with Simulator(ledger=ledger) as simulator:
        assert simulator.charges() == charges
        assert error(place(simulator, A)) == "IMEI already exists!"
        assert [order.findtext("id") for order in place(simulator, C).iter("imeis")] == ["15000002"]
    assert len(ledger.read_text().splitlines()) == 3


def test_a_ledger_has_one_writer(tmp_path: Path) -> None:
    with Simulator(ledger=tmp_path / "ledger"), pytest.raises(BlockingIOError):
        Simulator(ledger=tmp_path / "ledger")


def test_the_ledger_page_shows_charges_from_a_position_on(simulator: Simulator) -> None:
    place(simulator, A, B)
    place(simulator, C)
    page = requests.get(simulator.base_url + "/ledger?since=1", timeout=10).json()
    assert [charge["imei"] for charge in page["charges"]] == [B, C]
    assert (page["total"], page["credits"], page["calls"]) == (3, 0.24, 2)
    assert [call["imeis"] for call in requests.get(simulator.base_url + "/calls", timeout=10).json()] == [
        2,
        1,
    ]
