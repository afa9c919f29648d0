"""Counts of results as lines and columns: everything is counted once, the commonest comes first."""

from web.pivot_table import Layout, Most, PivotColumn, PivotLine, lay_out

COUNTS: dict[tuple[str, ...], int] = {
    ("iPhone 12", "AT&T", "Locked"): 5,
    ("iPhone 12", "AT&T", "SIM Locked"): 2,
    ("iPhone 12", "Verizon", "Unlocked"): 4,
    ("iPhone 12", "", "Unlocked"): 9,
    ("iPhone 13", "AT&T", ""): 3,
    ("", "AT&T", "Unlocked"): 99,
}
LAYOUT = Layout("model", "carrier", "simlock")
ALL = Most(9, 9, 9)


def test_lines_have_lines_under_them_and_what_is_not_reported_comes_last() -> None:
    table = lay_out(COUNTS, LAYOUT, ALL)
    assert [column.words for column in table.columns] == ["Unlocked", "Locked", "Not reported"]
    assert [(line.words, line.results, line.cells) for line in table.lines] == [
        (("iPhone 12",), 20, (13, 7, 0)),
        (("iPhone 12", "AT&T"), 7, (0, 7, 0)),
        (("iPhone 12", "Verizon"), 4, (4, 0, 0)),
        (("iPhone 12", "Not reported"), 9, (9, 0, 0)),
        (("iPhone 13",), 3, (0, 0, 3)),
        (("iPhone 13", "AT&T"), 3, (0, 0, 3)),
        (("Not reported",), 99, (99, 0, 0)),
        (("Not reported", "AT&T"), 99, (99, 0, 0)),
    ]
    assert table.totals == PivotLine((), (), 122, (112, 7, 3))


def test_what_is_not_shown_is_added_up_as_others() -> None:
    table = lay_out(COUNTS, LAYOUT, Most(1, 1, 1))
    assert table.columns == (PivotColumn("Unlocked", "Unlocked"), PivotColumn("2 others", None))
    assert table.lines == (
        PivotLine(("iPhone 12",), ("iPhone 12",), 20, (13, 7)),
        PivotLine(("iPhone 12", "AT&T"), ("iPhone 12", "AT&T"), 7, (0, 7)),
        PivotLine(("iPhone 12", "2 others"), None, 13, (13, 0)),
        PivotLine(("2 others",), None, 102, (99, 3)),
    )
    assert table.totals == PivotLine((), (), 122, (112, 10))


def test_a_table_may_have_neither_columns_nor_lines_under_lines() -> None:
    assert lay_out({}, LAYOUT, ALL).lines == ()
    table = lay_out({("fail",): 2, ("pass",): 3, ("",): 4}, Layout("verdict"), ALL)
    assert [(line.words, line.results, line.cells) for line in table.lines] == [
        (("Pass",), 3, ()), (("Fail",), 2, ()), (("Not reported",), 4, ())]  # fmt: skip
