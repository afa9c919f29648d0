"""The kind of a file is found by its bytes; for what cannot be read a sentence says what to do."""

from collections.abc import Callable

import pytest
from read_tables import FORMULA_XLS, SMALL_WORKBOOK
from sample_files import (
    OLE,
    archive,
)

from spreadsheets.reading import read_file
from workbooks.kinds import UnreadableFileError


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "empty"),
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "password"),
        (OLE + "Workbook".encode("utf-16-le"), "damaged"),
        (OLE, "old Office"),
        (b"\x09\x08\x10\x00\x00\x06\x05\x00" + bytes(50), r"\.xls"),
        (archive({"xl/workbook.bin": b"x", "[Content_Types].xml": b"x"}), "damaged"),
        (archive({"mimetype": b"application/vnd.oasis", "content.xml": b"<x"}), "damaged"),
        (archive({"word/document.xml": b"<x/>", "[Content_Types].xml": b"x"}), "Word"),
        (archive({"Index/Document.iwa": b"x"}), "Numbers"),
        (archive({"stock.csv": b"IMEI"}), "ZIP archive"),
        (SMALL_WORKBOOK[:400], "damaged"),
        (b"<!DOCTYPE html><html><table><tr><td>353370080089451", "web page"),
        ("\ufeff<html><table><tr><td>353370080089458".encode("utf-16"), "web page"),
        (b'<?xml version="1.0"?><Workbook/>', "XML"),
        (bytes(range(1, 32)) * 40, "neither text nor"),
        (bytes(4000) + b"\x01\x02\x03" * 900, "neither text nor"),
        (b"Name,Price\nA,5\nB,6\n", "No IMEI was found in 3 rows .* begins with 'Name'"),
        (b"\n\n,,\n", "No IMEI"),
    ],
)
def test_other_files_get_one_sentence_that_says_what_to_do(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words) as caught:
        read_file(data)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def encrypted_ods() -> bytes:
    manifest = '<m:manifest xmlns:m="x"><m:file-entry><m:encryption-data/></m:file-entry></m:manifest>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return archive({"mimetype": kind, "content.xml": bytes(range(256)) * 9, "META-INF/manifest.xml": manifest})


def encrypted_xls() -> bytes:
    """The workbook with the record FILEPASS in place of INTERFACEHDR, which programs that decrypt look for."""
    data = FORMULA_XLS.read_bytes()
    assert data.count(b"\xe1\0\2\0") == 1
    return data.replace(b"\xe1\0\2\0", b"\x2f\0\2\0")


LOCKED: dict[str, Callable[[], bytes]] = {
    "ods": encrypted_ods,
    "ods in one piece": lambda: archive({"mimetype": "x", "encrypted-package": b"1", "META-INF/manifest.xml": "<m/>"}),
    "xls": encrypted_xls,
    "xlsx or xlsb": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le"),
}


@pytest.mark.parametrize("kind", LOCKED)
def test_a_workbook_with_a_password_is_not_called_damaged(kind: str) -> None:
    with pytest.raises(UnreadableFileError, match="protected with a password"):
        read_file(LOCKED[kind]())


@pytest.mark.parametrize("mimetype", ["text", "presentation", "graphics"])
def test_another_open_document_is_no_table(mimetype: str) -> None:
    content = (
        '<office:document-content xmlns:office="x"><office:body><office:text/></office:body></office:document-content>'
    )
    with pytest.raises(UnreadableFileError, match="a document and not a table"):
        read_file(archive({"mimetype": f"application/vnd.oasis.opendocument.{mimetype}", "content.xml": content}))
    with pytest.raises(UnreadableFileError, match="a document and not a table"):
        read_file(archive({"content.xml": content}))
