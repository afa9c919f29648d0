"""Makers of ODS and XLSB workbooks, written by hand as small as their readers take them."""

import struct
from collections.abc import Collection, Sequence

from sample_files import archive

OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
STYLE = "urn:oasis:names:tc:opendocument:xmlns:style:1.0"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006"


def ods(rows: Sequence[Sequence[str]], more: str = "", styles: str = "", left_out: Collection[str] = ()) -> bytes:
    """One sheet of text cells; more is XML behind its rows, styles before them, and left_out names missing parts."""
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="{OFFICE}" '
        f'xmlns:table="{TABLE}" xmlns:text="{TEXT}" xmlns:style="{STYLE}">{styles}<office:body><office:spreadsheet>'
        f'<table:table table:name="Stock">{cells}{more}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = f'<manifest:manifest xmlns:manifest="{OFFICE.replace("office", "manifest")}"/>'
    parts = {"mimetype": kind, "content.xml": content, "META-INF/manifest.xml": manifest}
    return archive({name: part for name, part in parts.items() if name not in left_out})


def xlsb(rows: Sequence[Sequence[str]]) -> bytes:
    """One sheet of text cells ([MS-XLSB]: records of type, length and data)."""
    widest = max(len(row) for row in rows)
    sheet = _record(129) + _record(148, struct.pack("<4I", 0, len(rows) - 1, 0, widest - 1)) + _record(145)
    for number, row in enumerate(rows):
        sheet += _record(0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0))
        for index, cell in enumerate(row):
            sheet += _record(6, struct.pack("<II", index, 0) + _text(cell))
    sheet += _record(146) + _record(130)
    bundle = struct.pack("<II", 0, 1) + _text("rId1") + _text("Stock")
    book = _record(131) + _record(143) + _record(156, bundle) + _record(144) + _record(132)
    links = (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{DOCUMENT}/relationships/worksheet" Target="worksheets/sheet1.bin"/></Relationships>'
    )
    types = f'<Types xmlns="{PACKAGE}/content-types"/>'
    return archive(
        {
            "[Content_Types].xml": types,
            "xl/workbook.bin": book,
            "xl/_rels/workbook.bin.rels": links,
            "xl/worksheets/sheet1.bin": sheet,
        }
    )


def _record(kind: int, data: bytes = b"") -> bytes:
    return _varint(kind) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def far_cell() -> bytes:
    """A sheet that claims a value in every one of 17 thousand million cells."""
    cell = '<table:table-cell table:number-columns-repeated="16384" office:value-type="string"><text:p>x</text:p>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-cell></table:table-row>'
    return ods([["IMEI"]], row)
