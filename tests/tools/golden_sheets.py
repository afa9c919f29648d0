"""Three workbooks as wholesalers send them, and a comparison of what came back with what was sent."""

import io
import warnings
from collections.abc import Iterator
from copy import copy
from datetime import date, datetime
from typing import Any

import openpyxl
import xlsxwriter
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.formula import ArrayFormula
from sample_files import imeis, wrong

GOOD = imeis(12, start=50)
SECONDS = imeis(12, start=80)
MISTYPED = wrong(70)


def stock_list() -> bytes:
    """A supplier's stock list: title rows, merged cells, formulas, prices, dates, a comment, a list to choose from."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        title = book.add_format({"bold": True, "font_size": 16, "font_color": "#1F3864"})
        head = book.add_format({"bold": True, "bg_color": "#1F3864", "font_color": "white", "rotation": 30})
        money = book.add_format({"num_format": '"$"#,##0.00', "border": 1})
        day = book.add_format({"num_format": "dd.mm.yyyy", "italic": True})
        red = book.add_format({"font_color": "red"})
        sheet = book.add_worksheet("Stock Nov")
        sheet.merge_range("A1:F1", "November stock, Dubai", title)
        sheet.write_row("A2", ["Supplier", "Gulf Mobile"])
        sheet.write_row("A4", ["No", "Model", "IMEI", "Price", "Received", "Total"], head)
        for number, imei in enumerate([*GOOD[:6], GOOD[0], MISTYPED, 353370080000000 + 0.5, "n/a"]):
            row = 4 + number
            sheet.write_number(row, 0, number + 1)
            sheet.write_string(row, 1, f"iPhone 1{number % 5} 128GB")
            sheet.write(row, 2, imei)
            sheet.write_number(row, 3, 199.1 + number / 3, money)
            sheet.write_datetime(row, 4, datetime(2026, 11, 1 + number, 13, 45, 7), day)
            sheet.write_formula(row, 5, f"=D{row + 1}*1.05", money, (199.1 + number / 3) * 1.05)
        sheet.write_rich_string("B2", "Gulf ", red, "Mobile", " LLC")
        sheet.write_comment("C5", "Box was open", {"author": "Ann"})
        sheet.write_url("H2", "https://example.com/terms", None, "Terms")
        sheet.set_row(6, None, None, {"hidden": True})
        sheet.set_row(0, 30)
        sheet.set_column("A:A", 5)
        sheet.set_column("C:C", 19)
        sheet.set_column("I:XFD", 3)
        sheet.freeze_panes(4, 1)
        sheet.autofilter("A4:F14")
        sheet.data_validation("B5:B14", {"validate": "list", "source": ["iPhone 11 128GB", "iPhone 12 128GB"]})
        sheet.conditional_format("D5:D14", {"type": "cell", "criteria": ">", "value": 200, "format": red})
        prices = book.add_worksheet("Prices")
        prices.write_row(0, 0, ["Model", "Buy"])
        prices.write_row(1, 0, ["iPhone 12", 250.123456789012])
        prices.write_formula("C2", "=SUM('Stock Nov'!D5:D14)", money, 2006.25)
        prices.hide()
        book.define_name("Buy", "=Prices!$B$2")
    return file.getvalue()


def two_imei_columns() -> bytes:
    """A list with two IMEI columns and no titles above them, as openpyxl programs write it; one row is repeated."""
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "Phones"
    sheet.append(["IMEI 1", "IMEI 2", "Colour", "Grade"])
    for number in range(5):
        sheet.append([GOOD[number], SECONDS[number], "Black", "AB"[number % 2]])
    sheet.append([GOOD[2], SECONDS[2], "Gold", "A"])
    sheet.append([f"{GOOD[6]}\n{GOOD[7]}", None, "a pair", "B"])
    sheet.append([])
    sheet.append(["Total", "=COUNTA(A2:A7)", True, "#N/A"])
    for cell in sheet[1]:
        cell.font = Font(name="Arial", sz=9, b=True)
        cell.fill = PatternFill("solid", fgColor="FFD9D9D9")
    sheet.column_dimensions["A"].width = 22.5
    sheet.column_dimensions["B"].hidden = True
    sheet.row_dimensions[8].height = 33.0
    sheet.print_title_rows = "1:1"
    sheet.page_setup.orientation = "landscape"
    sheet.protection.sheet = True
    return saved(book)


def invoice() -> bytes:
    """An invoice: the IMEIs are numbers in the middle of a sheet with merged blocks, an Excel table beside them."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        other = book.add_worksheet("Cover")
        other.write("B2", "Invoice 2026-118")
        other.write_row("A5", [3, 1, 2])
        other.add_sparkline("D5", {"range": "Cover!A5:C5"})
        sheet = book.add_worksheet("Lines")
        sheet.merge_range("B2:D3", "Invoice lines")
        sheet.merge_range("F2:H2", "Bank")
        number = book.add_format({"num_format": "0"})
        sheet.write_row("B5", ["Description", "IMEI", "Qty"])
        for row, imei in enumerate(GOOD[3:8], 5):
            sheet.write(row, 1, "Galaxy S21 & case <new>")
            sheet.write_number(row, 2, int(imei), number)
            sheet.write(row, 3, 1)
        sheet.write_formula("D11", "=SUM(D6:D10)", None, 5)
        sheet.write_array_formula("D12:D12", "{=SUM(D6:D10*2)}", None, 10)
        sheet.add_table("F5:H8", {"name": "Rates", "columns": [{"header": "A"}, {"header": "B"}, {"header": "C"}]})
        sheet.set_column("F:H", 11, None, {"level": 1})
        sheet.set_zoom(85)
    return file.getvalue()


def saved(book: openpyxl.Workbook) -> bytes:
    """Return the bytes of a workbook."""
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def differences(before: bytes, after: bytes, width: int) -> list[str]:
    """Return what differs between two workbooks, apart from blank cells and from columns behind this one."""
    found = []
    for results in (False, True):
        one, two = _opened(before, results), _opened(after, results)
        names = [name for name in two.sheetnames if name != "My sheet notes"]
        if one.sheetnames != names:
            found.append(f"sheets {one.sheetnames} became {names}")
        defined = [{name: each.attr_text for name, each in book.defined_names.items()} for book in (one, two)]
        if defined[0] != defined[1]:
            found.append(f"names {defined[0]} became {defined[1]}")
        for name in one.sheetnames:
            found += [f"{name}: {each}" for each in _sheet_differences(one[name], two[name], width)]
    return found


def _opened(data: bytes, results: bool) -> openpyxl.Workbook:
    """Return a workbook with its formulas, or with their stored results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(io.BytesIO(data), data_only=results, rich_text=True)


def _sheet_differences(one: Any, two: Any, width: int) -> Iterator[str]:
    for cell in (cell for row in one.iter_rows() for cell in row):
        other = two[cell.coordinate]
        if cell.value is None and not cell.has_style and not cell.comment:
            continue  # an added cell may be there
        for name in ("value", "data_type", "number_format", "font", "fill", "border", "alignment", "protection"):
            before, after = _plain(getattr(cell, name)), _plain(getattr(other, name))
            if before != after:
                yield f"{cell.coordinate}.{name}: {before!r} became {after!r}"
        links = [each.hyperlink and (each.hyperlink.target, each.hyperlink.location) for each in (cell, other)]
        comments = [each.comment and (each.comment.text, each.comment.author) for each in (cell, other)]
        if links[0] != links[1] or comments[0] != comments[1]:
            yield f"{cell.coordinate}: link or comment {links} {comments}"
    for name in SHEET_FACTS:
        before, after = SHEET_FACTS[name](one), SHEET_FACTS[name](two)
        if before != after:
            yield f"{name}: {before!r} became {after!r}"
    if _widths(one, width) != _widths(two, width):
        yield f"widths: {_widths(one, width)} became {_widths(two, width)}"


def _plain(value: Any) -> Any:
    if isinstance(value, ArrayFormula):
        return value.ref, value.text
    return copy(value) if not isinstance(value, str | int | float | date | None) else value


def _widths(sheet: Any, width: int) -> dict[int, tuple[Any, ...]]:
    """Return column → width, hidden and level, of the first columns."""
    found = {}
    for dimension in sheet.column_dimensions.values():
        dimension.reindex()
        for column in range(dimension.min, min(dimension.max, width) + 1):
            found[column] = (dimension.width, dimension.hidden, dimension.outlineLevel)
    return found


SHEET_FACTS: dict[str, Any] = {
    "merged": lambda sheet: sorted(map(str, sheet.merged_cells.ranges)),
    "state": lambda sheet: sheet.sheet_state,
    "frozen": lambda sheet: sheet.freeze_panes,
    "filter": lambda sheet: sheet.auto_filter.ref,
    "rows": lambda sheet: {n: (d.height, d.hidden, d.outlineLevel) for n, d in sheet.row_dimensions.items()},
    "validations": lambda sheet: [(str(v.sqref), v.formula1, v.type) for v in sheet.data_validations.dataValidation],
    "conditions": lambda sheet: [
        (str(area.sqref), [(r.type, r.operator, r.formula, r.dxf and r.dxf.font.color.rgb) for r in area.rules])
        for area in sheet.conditional_formatting
    ],
    "tables": lambda sheet: sheet.tables.items(),
    "view": lambda sheet: sheet.sheet_view.zoomScale,
    "print": lambda sheet: (sheet.print_title_rows, sheet.page_setup.orientation, sheet.protection.sheet),
}
