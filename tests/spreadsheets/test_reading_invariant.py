"""Nothing is lost without a word: the promise of the upload page, over generated files.

Every run of 14 to 17 digits that is in an upload, after folding, is exactly one of: ready, rejected with its row and a
reason (a wrong check digit among them), repeated, or announced as not taken: in another column, in another sheet, above
the data, or the second IMEI of a phone.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sample_files import imei, text_workbook, workbook, wrong
from workbook_reader import read_in_this_process

from spreadsheets import Choice, Intake, UnreadableFileError
from spreadsheets.cells import classify
from spreadsheets.intake import ALL_COLUMNS
from spreadsheets.reading import read_file, read_text

good = st.integers(1, 60).map(imei)
other = st.integers(70, 90).map(imei)
body = st.integers(1, 60).map(lambda number: imei(number)[:14])
moment = st.integers(0, 59).map(lambda second: f"202611281236{second:02d}")
digits = st.integers(14, 17).flatmap(lambda length: st.text("0123456789", min_size=length, max_size=length))
single = st.one_of(
    good,
    st.integers(1, 60).map(wrong),
    body,
    moment,
    digits,
    good.map(lambda text: "0" + text),
    body.map(lambda text: text + "77"),
    good.map(lambda text: "IMEI1" + text),
    good.map(lambda text: "IMEI: " + text),
    good.map(lambda text: "]C1" + text),
    good.map(lambda text: "(8002)" + text),
    good.map(lambda text: "\x1d" + text),
    digits.map(lambda text: "SN" + text + "X"),
    digits.map(lambda text: f"about {text} in words"),
    digits.map(lambda text: f"IMSI: {text}"),
    good.map(lambda text: text[:6] + "\u200b" + text[6:]),
    good.map(lambda text: text.translate({48 + digit: 0xFF10 + digit for digit in range(10)})),
)
several = st.one_of(
    st.builds("{}/{}".format, good, other),
    st.builds("IMEI1:{}IMEI2:{}".format, good, other),
    st.builds("IMEI: {} IMSI: {}".format, good, digits),
    st.builds("{}\n{}\n{}".format, single, single, single),
    st.builds("{} {}".format, good, moment),
    st.builds("{} {}".format, digits, digits),
    st.builds("{}, {}; {}".format, digits, single, digits),
    st.builds("(01){}(21){}".format, digits, good),
)
nothing = st.sampled_from(["", " ", "n/a", "3.5337E+14", "iPhone 12", "5", "#N/A", "TRUE", "35-1", "=A1"])
cells = st.one_of(single, single, several, nothing)
headers = st.sampled_from(
    ["IMEI", "IMEI 2", "Model", "IMSI", "Serial No", "Order", "Note", "", "Report 20261128123600"]
)
tables = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(headers, min_size=width, max_size=width),
        st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=12),
    )
)


def folded(text: str) -> str:
    """The text as the invariant means it, worked out apart from the program."""
    signs = (sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    return "".join(signs)


def runs(text: str) -> list[str]:
    return re.findall(r"(?<![0-9])[0-9]{14,17}(?![0-9])", folded(text))


@dataclass(frozen=True)
class Entry:
    """One value of a bucket, as the page shows it."""

    row: int
    imei: str
    text: str

    def may_be(self, run: str) -> bool:
        """Whether this value can be what became of a run."""
        if run in folded(self.text) or run == self.imei:
            return True
        shortened = {self.imei[:14], self.imei[1:]}
        return bool(self.imei) and (run[:14] in shortened or run[1:] == self.imei)


def entries(intake: Intake) -> Iterator[Entry]:
    """Every value of every bucket."""
    for bucket in (intake.ready, intake.luhn_failed, intake.seconds):
        yield from (Entry(one.row, one.imei, one.text) for one in bucket)
    yield from (Entry(again.row, again.imei, "") for again in intake.repeated)
    for rejected in intake.rejected:
        assert rejected.reason
        yield Entry(rejected.row, "", rejected.text)


def check(intake: Intake, sheets: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """Each run of the chosen column is one value of its row; the others are announced in number."""
    chosen = intake.chosen
    rows = sheets[chosen.sheet or ""]
    found = list(entries(intake))
    above = 0
    for number, row in enumerate(rows, 1):
        taken = row if chosen.column == ALL_COLUMNS else row[chosen.column or 0 : (chosen.column or 0) + 1]
        wanted = [run for cell in taken for run in runs(cell)]
        here = [entry for entry in found if entry.row == number]
        for run in wanted:
            matches = [entry for entry in here if entry.may_be(run)]
            if number <= (chosen.header_row or 0) and not matches:
                above += 1
                continue
            assert matches, f"{run} of row {number} is lost"
        if number > (chosen.header_row or 0):
            of_runs = [entry for entry in here if any(entry.may_be(run) for run in wanted)]
            assert len(of_runs) == len(wanted), "a run is in two buckets, or shares one"
    assert not above or any("above the data" in warning for warning in intake.warnings)
    for sheet in intake.sheets:
        check_announced(intake, sheet.name, sheets[sheet.name])


def check_announced(intake: Intake, name: str, rows: Sequence[Sequence[str]]) -> None:
    """The columns and sheets that are not taken say how many numbers they hold."""
    if name == (intake.chosen.sheet or "") and intake.chosen.column == ALL_COLUMNS:
        return
    sheet = next(sheet for sheet in intake.sheets if sheet.name == name)
    columns = {column.index: column for column in sheet.columns}
    held = 0
    for index in range(max(map(len, rows))):
        count = sum(len(runs(row[index])) for row in rows if index < len(row))
        counted = columns[index].imeis + columns[index].others if index in columns else 0
        assert counted == count
        held += count
        if count and name == (intake.chosen.sheet or "") and index != intake.chosen.column:
            assert any(warning.startswith(f"{columns[index].title} also holds") for warning in intake.warnings)
    if held and name != (intake.chosen.sheet or ""):
        assert any(f"sheet {name!r} also holds" in warning for warning in intake.warnings)


def delimited(rows: Sequence[Sequence[str]], delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def read(data: bytes | str, choice: Choice) -> Intake:
    """The intake; a file without any IMEI is refused as a whole, and is not of interest here."""
    try:
        return read_text(data, choice) if isinstance(data, str) else read_file(data, choice)
    except UnreadableFileError as error:
        assume("No IMEI was found" not in str(error) and "is empty" not in str(error))
        raise


@given(tables, st.booleans(), st.sampled_from(",;\t|"))
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.filter_too_much])
def test_no_run_of_a_delimited_file_is_lost(
    table: tuple[list[str], list[list[str]]], headed: bool, delimiter: str
) -> None:
    header, rows = table
    rows = [header, *rows] if headed else rows
    check(read(delimited(rows, delimiter), Choice(delimiter=delimiter)), {"": rows})


@given(tables, st.sampled_from("\t|"))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
def test_no_run_of_a_pasted_table_is_lost(table: tuple[list[str], list[list[str]]], delimiter: str) -> None:
    rows = [[re.sub("[\n\t|]", " ", cell) for cell in row] for row in (table[0], *table[1])]
    text = "\n".join(delimiter.join(row) for row in rows)
    check(read(text, Choice(delimiter=delimiter)), {"": rows})


@given(st.lists(tables, min_size=1, max_size=2))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])
def test_no_run_of_a_workbook_is_lost(found: list[tuple[list[str], list[list[str]]]]) -> None:
    sheets = {f"S{number}": [[shown(cell) for cell in row] for row in (header, *rows)]
              for number, (header, rows) in enumerate(found)}  # fmt: skip
    with read_in_this_process():
        intake = read(workbook(sheets), Choice())
    check(intake, sheets)


def shown(cell: str) -> str:
    """What openpyxl can write, without a formula."""
    return re.sub("[\x00-\x08\x0b-\x1f]", " ", cell).replace("=A1", "A1").replace("#N/A", "")


@given(st.lists(st.one_of(single, nothing), min_size=2, max_size=30))
@settings(deadline=None, max_examples=100)
def test_taking_second_imeis_loses_none_either(values: list[str]) -> None:
    rows = [["IMEI", "IMEI 2"], *([imei(200 + place), value] for place, value in enumerate(values))]
    intake = read(delimited(rows, ","), Choice(second_imeis=True, column=0, header_row=1))
    second = [row for row, value in enumerate(values, 2) for _ in classify(value)]
    assert sorted(entry.row for entry in entries(intake)) == sorted([*range(2, len(values) + 2), *second]) or not any(
        column.is_second and column.imeis for column in intake.columns
    )


@pytest.mark.parametrize("text", ["IMEI", imei(1)])
def test_a_wide_workbook_announces_what_is_beyond_its_columns(text: str) -> None:
    row = [text if place == 0 else "" for place in range(300)]
    data = text_workbook([row, [imei(2), *[""] * 298, imei(3)]])
    intake = read_file(data)
    assert any("also holds 1 IMEI" in warning for warning in intake.warnings)
