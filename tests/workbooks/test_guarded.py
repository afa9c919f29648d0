"""Old workbooks: what they hold comes out whole, and what would break their reader breaks only the child."""

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from old_workbooks import far_cell, ods, xlsb
from read_tables import STOCK, TABLE, bent

from spreadsheets.reading import read_file
from workbooks.kinds import UnreadableFileError

ROOT = Path(__file__).parents[2]
#: The answer while as many workbooks are read as may be at once, on the whole machine.
BUSY = "Other workbooks are being read: try again in a minute."


def zip_bomb() -> bytes:
    """Five megabytes that unpack to eleven hundred."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        with packed.open("content.xml", "w", force_zip64=True) as content:
            for _ in range(1100):
                content.write(b"<a>" + b"x" * 999_997)
    return out.getvalue()


@pytest.mark.parametrize("bomb", [far_cell, zip_bomb])
def test_a_bomb_gets_a_sentence_in_bounded_time(bomb: object) -> None:
    assert callable(bomb)
    started = time.monotonic()
    with pytest.raises(UnreadableFileError, match=r"memory|damaged|longer than|repeated without end|Unpacked"):
        read_file(bomb(), seconds=20)
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_workbook_is_read_or_refused_and_never_breaks_us(seed: int) -> None:
    try:
        intake = read_file(bent(STOCK.read_bytes(), seed), seconds=20)
        assert len(intake.ready) <= 6
    except UnreadableFileError as error:
        assert str(error).endswith(".")


def test_a_cut_workbook_gets_a_sentence() -> None:
    for data in (STOCK.read_bytes()[:3000], ods(TABLE)[:-60], xlsb(TABLE)[:-60]):
        with pytest.raises(UnreadableFileError):
            read_file(data)


def test_a_file_that_takes_too_long_is_given_up() -> None:
    deadline, words = time.monotonic() + 60, BUSY
    while words == BUSY and time.monotonic() < deadline:  # other tests may read workbooks
        with pytest.raises(UnreadableFileError) as raised:
            read_file(STOCK, seconds=0.001)
        words = str(raised.value)
    assert "longer than" in words


def test_the_reader_is_never_loaded_into_our_process() -> None:
    """Other tests load it into this one."""
    imports = "import pathlib, sys; from spreadsheets.reading import read_file"
    code = f"{imports}; read_file(pathlib.Path({str(STOCK)!r})); print('python_calamine' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"
