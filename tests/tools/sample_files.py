"""Functions that make files as users upload them, good and bad. Every IMEI is made up."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl
import xlsxwriter

from imei import check_digit_of

MAIN_NS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINK_NS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_NS = "http://purl.oclc.org/ooxml/spreadsheetml/main"


def imei(number: int) -> str:
    """Return the nth of a series of valid IMEIs that begin with 35."""
    body = 35 * 10**12 + number * 7_919 % 10**12
    return f"{body * 10 + check_digit_of(body):015d}"


def imeis(count: int, start: int = 1) -> list[str]:
    return [imei(number) for number in range(start, start + count)]


def wrong(number: int) -> str:
    """Return the nth of a series of IMEIs that begin with 35, with a wrong check digit."""
    good = imei(number)
    return good[:14] + str((int(good[14]) + 3) % 10)


def workbook(
    sheets: Mapping[str, Sequence[Any]],
    hidden_sheets: Sequence[str] = (),
    hidden_rows: Sequence[int] = (),
) -> bytes:
    """An XLSX workbook as Excel would save it; hidden_rows count from 1 and hold for all sheets."""
    out = io.BytesIO()
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        for number in hidden_rows:
            sheet.row_dimensions[number].hidden = True
        if name in hidden_sheets:
            sheet.sheet_state = "hidden"
    book.save(out)
    return out.getvalue()


def text_workbook(rows: Sequence[Sequence[str]], inline: bool = False) -> bytes:
    """A workbook of text cells, shared as Excel saves them or inline as programs that stream write them."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"constant_memory": inline})
    sheet = book.add_worksheet("Stock")
    for number, row in enumerate(rows):
        for index, text in enumerate(row):
            sheet.write_string(number, index, text)
    book.close()
    return out.getvalue()


def raw_workbook(
    sheet_data: str, *, prefix: str = "", namespace: str = MAIN_NS, before: str = "", extra: Mapping[str, bytes] = {}
) -> bytes:
    """A workbook whose only sheet has exactly this XML, for what no library writes."""
    colon = f"{prefix}:" if prefix else ""
    declaration = f'xmlns:{prefix}="{namespace}"' if prefix else f'xmlns="{namespace}"'
    parts = {
        "[Content_Types].xml": b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": _links({"rId1": ("officeDocument", "xl/workbook.xml")}),
        "xl/workbook.xml": (
            f'<{colon}workbook {declaration} xmlns:r="{LINK_NS}"><{colon}sheets>'
            f'<{colon}sheet name="Stock" sheetId="1" r:id="rId1"/></{colon}sheets></{colon}workbook>'
        ).encode(),
        "xl/_rels/workbook.xml.rels": _links({"rId1": ("worksheet", "/xl/worksheets/sheet1.xml")}),
        "xl/worksheets/sheet1.xml": (
            f"{before}<{colon}worksheet {declaration}><{colon}sheetData>"
            f"{sheet_data}</{colon}sheetData></{colon}worksheet>"
        ).encode(),
        **extra,
    }
    return archive(parts)


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return out.getvalue()


def repacked(data: bytes, replaced: Mapping[str, bytes]) -> bytes:
    """The archive with some members replaced."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return archive({name: file.read(name) for name in file.namelist()} | dict(replaced))


def _links(links: Mapping[str, tuple[str, str]]) -> bytes:
    entries = "".join(
        f'<Relationship Id="{name}" Type="{LINK_NS}/{kind}" Target="{target}"/>'
        for name, (kind, target) in links.items()
    )
    return f'<Relationships xmlns="x">{entries}</Relationships>'.encode()


#: The beginning of a workbook of Excel 97, and of one with a password.
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
