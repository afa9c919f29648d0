"""Workbooks that are made to break their reader, by their fault: some are refused, some are read."""

from collections.abc import Callable

from old_workbooks import ods
from sample_files import LINK_NS, MAIN_NS, archive, imeis, raw_workbook

FIVE = imeis(5)
GOOD_ROWS = "".join(f'<row r="{n}"><c r="A{n}"><v>{number}</v></c></row>' for n, number in enumerate(FIVE, 1))


def many_sheets(count: int, parts: int) -> bytes:
    """Return a workbook that lists `count` sheets in as many parts."""
    sheets = "".join(f'<sheet name="S{n}" sheetId="{n}" r:id="r{n % parts}"/>' for n in range(count))
    links = "".join(
        f'<Relationship Id="r{n}" Type="{LINK_NS}/worksheet" Target="worksheets/s{n}.xml"/>' for n in range(parts)
    )
    sheet = f'<worksheet xmlns="{MAIN_NS}"><sheetData>{GOOD_ROWS}</sheetData></worksheet>'.encode()
    book = f'<workbook xmlns="{MAIN_NS}" xmlns:r="{LINK_NS}"><sheets>{sheets}</sheets></workbook>'
    start = f'<Relationship Id="r" Type="{LINK_NS}/officeDocument" Target="xl/workbook.xml"/>'
    return archive(
        {
            "[Content_Types].xml": b"<Types/>",
            "_rels/.rels": f"<Relationships>{start}</Relationships>".encode(),
            "xl/workbook.xml": book.encode(),
            "xl/_rels/workbook.xml.rels": f"<Relationships>{links}</Relationships>".encode(),
            **{f"xl/worksheets/s{n}.xml": sheet for n in range(parts)},
        }
    )


def many_tables() -> bytes:
    return ods(
        [], "</table:table>" + '<table:table table:name="S"></table:table>' * 20_000 + '<table:table table:name="E">'
    )


def repeated_row() -> str:
    cells = "<table:table-cell><text:p>1</text:p></table:table-cell>" * 9
    return f'<table:table-row table:number-rows-repeated="1048576">{cells}</table:table-row>'


def far_right(rows: int) -> bytes:
    cells = "".join(f'<row r="{n}"><c r="XFD{n}"><v>{FIVE[0]}</v></c></row>' for n in range(1, rows + 1))
    return raw_workbook(cells)


REFUSED: dict[str, Callable[[], bytes]] = {
    "20,000 sheets in 20,000 parts": lambda: many_sheets(20_000, 20_000),
    "301 sheets": lambda: many_sheets(301, 301),
    "20,000 sheets of an ODS": many_tables,
    "20,000 cells in column XFD": lambda: far_right(20_000),
    "a doctype": lambda: raw_workbook("<row/>", before='<!DOCTYPE x [<!ENTITY a "b">]>'),
    "a part without end": lambda: raw_workbook("<row>" * 100_000),
    "an ODS row repeated without end": lambda: ods([], repeated_row()),
}


def cell(value: str, style: int = 0, kind: str = "n") -> str:
    return f'<row r="9"><c r="A9" s="{style}" t="{kind}"><v>{value}</v></c></row>'


DATES = (
    b'<styleSheet xmlns="x"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'  #: style 1 is a date
)
LINKS = (
    b'<Relationships xmlns="x"><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/>'
    b'<Relationship Id="rId2" Type="http://x/styles" Target="styles.xml"/></Relationships>'
)
BOOK_1904 = (
    f'<workbook xmlns="{MAIN_NS}" xmlns:r="{LINK_NS}"><workbookPr date1904="1"/><sheets>'
    '<sheet name="Stock" sheetId="1" r:id="rId1"/></sheets></workbook>'
).encode()
STYLED = {"xl/styles.xml": DATES, "xl/_rels/workbook.xml.rels": LINKS, "xl/workbook.xml": BOOK_1904}

READ: dict[str, Callable[[], bytes]] = {
    "a cell in column XFD": lambda: raw_workbook(GOOD_ROWS + f'<row r="9"><c r="XFD9"><v>{FIVE[0]}</v></c></row>'),
    "row numbers of 20 digits": lambda: raw_workbook(GOOD_ROWS + f'<row r="{"9" * 20}"><c><v>1</v></c></row>' * 3),
    "a row number of 5,000 digits": lambda: raw_workbook(GOOD_ROWS + f'<row r="{"9" * 5000}"><c><v>1</v></c></row>'),
    "row number 0 and signs": lambda: raw_workbook(GOOD_ROWS + '<row r="0"/><row r="-7"><c><v>5</v></c></row>'),
    "half a surrogate pair": lambda: raw_workbook(GOOD_ROWS + cell("_xD800__xDFFF_ x", kind="str")),
    "an escaped NUL": lambda: raw_workbook(GOOD_ROWS + cell("_x0000_a", kind="str")),
    "a date after the year 9999": lambda: raw_workbook(GOOD_ROWS + cell("2958465", 1), extra=STYLED),
    "a date that is no number": lambda: raw_workbook(GOOD_ROWS + cell("NaN", 1), extra=STYLED),
    "an endless number": lambda: raw_workbook(GOOD_ROWS + cell("1e999")),
    "a number of 4,000 digits": lambda: raw_workbook(GOOD_ROWS + cell("9" * 4000)),
    "a style that is no number": lambda: raw_workbook(GOOD_ROWS.replace('r="A3"', 'r="A3" s="x"')),
    "column letters without end": lambda: raw_workbook(GOOD_ROWS + f'<row r="9"><c r="{"A" * 500_000}9"/></row>'),
    "a shared string that is missing": lambda: raw_workbook(GOOD_ROWS + cell("77", kind="s")),
}
