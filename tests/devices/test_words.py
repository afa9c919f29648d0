"""The tables of words say one thing about one state."""

import pytest

from devices import words as device_words


@pytest.mark.parametrize("words", [device_words.SIM_WORDS, device_words.FMI_WORDS, device_words.LIST_WORDS])
def test_a_phrase_has_one_meaning_for_one_state(words: dict[device_words.Mark, frozenset[str]]) -> None:
    """A word that two groups hold would mean what the order of the tables happens to say."""
    marks: dict[tuple[str, ...], device_words.Mark] = {}
    for mark, group in (device_words.SHARED | words).items():
        for entry in group:
            assert marks.setdefault(tuple(device_words.tokens(entry)), mark) is mark, entry
