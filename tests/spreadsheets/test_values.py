"""The values of a column as they were judged, in few bytes each."""

import tracemalloc

import pytest
from read_tables import FIVE, lines, table, taken
from sample_files import (
    imei,
    imeis,
)

from imei import Kind
from spreadsheets import Choice
from spreadsheets.cells import BESIDE
from spreadsheets.reading import read_file, read_text


def test_memory_grows_by_few_bytes_an_imei() -> None:
    data = lines("IMEI", *imeis(20_000))
    tracemalloc.start()
    try:
        intake = read_file(data)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(intake.ready) == 20_000
    assert held < 20_000 * 30
    assert peak < 20_000 * 250


def test_fourteen_digits_are_no_body_where_the_row_has_an_imei() -> None:
    rows = [["Scan", "IMEI 2"], *([FIVE[place][:14] if place else imei(30), imei(place + 60)] for place in range(5))]
    intake = read_file(table(*rows), Choice(column=0))
    assert taken(intake) == [imei(30)]
    assert {(bad.kind, bad.reason) for bad in intake.rejected} == {(Kind.NOT_AN_IMEI, BESIDE)}


@pytest.mark.parametrize("delimiter", [" ", "\t", ",", ";", " | "])
@pytest.mark.parametrize("code", ["20261128123600", "10194252707067", "06934177712349", "20261128123600123"])
def test_a_scanner_log_gives_its_imeis_only(delimiter: str, code: str) -> None:
    assert taken(read_text("\n".join(f"{number}{delimiter}{code}" for number in FIVE))) == FIVE
    assert taken(read_text("\n".join(f"{code}{delimiter}{number}" for number in FIVE))) == FIVE
    assert taken(read_text("\n".join(f"{code}\n{number}" for number in FIVE))) == FIVE
