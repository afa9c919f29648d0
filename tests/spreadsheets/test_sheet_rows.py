"""The columns that My sheet appends: one row for each row of the file, with a reason for what was left out."""

from datetime import datetime
from typing import Any

import pytest
from sample_files import imeis, wrong

from grading import Verdict
from spreadsheets import SHEET_COLUMNS, Choice, PhoneResult, added_rows, parse_text
from spreadsheets.sheet_rows import row_verdict

ONE, TWO, THREE = imeis(3)
TITLES = [column.title for column in SHEET_COLUMNS]
MARCH, APRIL = datetime(2026, 3, 1, 9), datetime(2026, 4, 1, 9)


def result(
    verdict: Verdict | None, model: str = "iPhone 12", when: datetime | None = MARCH, **more: Any
) -> PhoneResult:
    return PhoneResult(verdict, model=model, checked_on=when, status="Completed", **more)


def cells(text: str, results: dict[str, PhoneResult], choice: Choice | None = None) -> dict[int, dict[str, object]]:
    """Return row → title → value, blanks left out, of a pasted table."""
    chosen = choice or Choice()
    rows = added_rows(parse_text(text, chosen).placed(chosen), results, 1)
    return {row.number: {t: v for t, v in zip(TITLES, row.values, strict=True) if v != ""} for row in rows}


def test_a_row_has_the_result_of_its_phone_and_the_tone_of_its_verdict() -> None:
    known = result(
        Verdict.FAIL, carrier="AT&T", simlock="Locked", fmi="ON", blacklist="Clean", order_id="15", imei2=TWO
    )
    (row,) = added_rows(parse_text(f"IMEI\n{ONE}").placed(Choice()), {ONE: known}, 1)
    assert row.tone == "fail"
    assert row.values == (
        *("Fail", "iPhone 12", "AT&T", "Locked", "ON", "Clean", TWO, "", "Completed", MARCH, "15", ""),
    )


def test_each_row_that_was_left_out_says_why() -> None:
    bare = TWO[:14]
    text = "\n".join(["IMEI", ONE, wrong(2), "n/a", ONE, bare, THREE])
    found = cells(
        text, {ONE: result(Verdict.PASS, note="Checked already on 2026-03-01, not paid again."), TWO: result(None)}
    )
    assert {number: row["Note"] for number, row in found.items()} == {
        2: "Checked already on 2026-03-01, not paid again.",
        3: f"The check digit is wrong: after these 14 digits it would be {imeis(2)[1][14]}.",
        4: "No IMEI: an IMEI has 15 digits.",
        5: "Same IMEI as row 2. Checked already on 2026-03-01, not paid again.",
        6: f"Checked as {TWO}: 14 digits: the check digit was added.",
        7: "It was not part of the batch.",
    }
    assert [row["Status"] for row in found.values()] == [
        *("Completed", "Not checked", "Not checked", "Completed", "Completed", "Not checked"),
    ]
    assert [number for number, row in found.items() if "Verdict" in row] == [2, 5]


def test_a_row_with_several_phones_has_the_worst_verdict_and_all_values() -> None:
    table = f"IMEI 1\tIMEI 2\n{ONE}\t{TWO}\n"
    results = {
        ONE: result(Verdict.PASS, order_id="7", note="Odd."),
        TWO: result(Verdict.FAIL, "iPhone 13", APRIL, order_id="8"),
    }
    row = cells(table, results, Choice(second_imeis=True))[2]
    assert row == {
        "Verdict": "Fail",
        "Model": "iPhone 12; iPhone 13",
        "Status": "Completed",
        "Checked on": MARCH,
        "Order id": "7; 8",
        "Note": f"{ONE}: Odd.",
    }


def test_a_second_imei_is_named_only_where_nothing_else_of_its_row_was_checked() -> None:
    table = f"IMEI 1\tIMEI 2\n{ONE}\t{TWO}\n{wrong(3)}\t{THREE}\n"
    found = cells(table, {ONE: result(Verdict.PASS)})
    assert "Note" not in found[2]
    assert f"{THREE}: Second IMEI not checked: one check answers for the phone." in str(found[3]["Note"])


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], None),
        ([Verdict.PASS, Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.REVIEW], Verdict.REVIEW),
        ([Verdict.REVIEW, Verdict.FAIL, None], Verdict.FAIL),
        ([Verdict.PASS, None], None),
    ],
)
def test_a_verdict_waits_for_the_last_result_unless_a_phone_fails(
    verdicts: list[Verdict | None], expected: Verdict | None
) -> None:
    assert row_verdict([PhoneResult(verdict) for verdict in verdicts]) == expected
