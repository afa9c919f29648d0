"""Values of SIM lock, Find My iPhone and blacklist, in the words of many providers and languages."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

from devices import words as device_words
from devices.states import blacklist_state, fmi_state, sim_state

VALUES = Path(__file__).parents[1] / "data" / "state_values.json"
READERS: dict[str, Callable[[str], StrEnum]] = {"simlock": sim_state, "fmi": fmi_state, "blacklist": blacklist_state}
ROWS = [
    (name, value, states)
    for name, rows in json.loads(VALUES.read_text(encoding="utf-8")).items()
    for value, states in rows
]
GOOD_STATES = {"simlock": "Unlocked", "fmi": "OFF", "blacklist": "Clean"}


@pytest.mark.parametrize(("name", "value", "states"), ROWS, ids=[f"{name}: {value}" for name, value, _ in ROWS])
def test_a_value_is_read_as_a_careful_reader_would(name: str, value: str, states: list[str]) -> None:
    assert READERS[name](value) in states
    assert READERS[name](value.upper()) in states


@pytest.mark.parametrize(("name", "value", "states"), ROWS, ids=[f"{name}: {value}" for name, value, _ in ROWS])
def test_no_words_around_a_value_make_it_good(name: str, value: str, states: list[str]) -> None:
    """Beside a value that is not good, only words that say so are good; beside a bad one none are."""
    if GOOD_STATES[name] in states:
        return
    good = GOOD_STATES[name]
    for text in (f"{value} - checked 2025-03-01", f"{value} (GSMA)", f"Info: {value}", f"{value}.", f"{value} / X"):
        assert READERS[name](text) != good, text
    if "Unknown" not in states and device_words.tokens(value)[0] not in device_words.ANSWERS:
        for text in (f"{good} - {value}", f"{value} - {good}", f"{good}; {value}", f"{value}. {good}"):
            assert READERS[name](text) != good, text
