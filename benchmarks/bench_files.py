"""How fast and in how much memory files are read and written.

Each measurement runs in a process of its own, so that the peak is that of the one file.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import xlsxwriter

from benchmarks.measuring import kilobytes, measured_apart, with_check_digit
from spreadsheets import UnreadableFileError
from spreadsheets.reading import read_file
from spreadsheets.writing import write_xlsx

ROUNDS = 5
ROWS, MANY = 20_000, 1_000_000


def run() -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder))
        many = files["many"]
        return [
            ("CSV, 20,000 rows, 1 column", _seconds(_measure("read", files["one"])), "< 0.3 s"),
            ("CSV, 20,000 rows, 5 columns", _seconds(_measure("read", files["five"])), "< 0.3 s"),
            ("XLSX, 20,000 rows, 5 columns, text", _seconds(_measure("read", files["text"])), "< 1.5 s"),
            ("XLSX, 20,000 rows, 5 columns, numbers", _seconds(_measure("read", files["number"])), "< 1.5 s"),
            ("CSV, 1,000,000 rows, refused", _peak(_measure("read", many, 100_000)), "< 200 MB"),
            ("CSV, 1,000,000 rows, taken", _peak(_measure("read", many, MANY)), "< 200 MB"),
            ("XLSX out, 200,000 rows", _peak(_measure("write", Path(folder) / "out.xlsx", 200_000)), "< 60 MB"),
        ]


def make_files(folder: Path) -> dict[str, Path]:
    """The files to read, by name."""
    imeis = [_imei(number) for number in range(ROWS)]
    header = ["Model", "Colour", "IMEI", "Storage", "Grade"]
    table = [[f"iPhone {n % 14} Pro Max", "Black", imei, "64GB", "A"] for n, imei in enumerate(imeis)]
    files = {name: folder / f"{name}.csv" for name in ("one", "five", "many")}
    files["one"].write_text("IMEI\n" + "\n".join(imeis), encoding="utf-8")
    files["five"].write_text("\n".join(map(",".join, [header, *table])), encoding="utf-8")
    with files["many"].open("w", encoding="utf-8") as out:
        out.writelines(f"{_imei(number)}\n" for number in range(MANY))
    for kind in ("text", "number"):
        files[kind] = folder / f"{kind}.xlsx"
        _write_workbook(files[kind], [header, *table], as_numbers=kind == "number")
    return files


def _imei(number: int) -> str:
    return with_check_digit(f"35{number * 7_919:012d}")


def _write_workbook(path: Path, rows: list[list[str]], as_numbers: bool) -> None:
    book = xlsxwriter.Workbook(str(path))
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        for index, text in enumerate(row):
            if as_numbers and text.isdigit():
                sheet.write_number(number, index, int(text))
            else:
                sheet.write_string(number, index, text)
    book.close()


def _measure(task: str, path: Path, limit: int = 100_000) -> dict[str, float]:
    return measured_apart("bench_files", task, path, limit)


def _seconds(measured: dict[str, float]) -> str:
    return f"{measured['seconds']:.3f} s"


def _peak(measured: dict[str, float]) -> str:
    return f"{measured['peak'] / 1024:.0f} MB, {measured['seconds']:.1f} s"


def _child(task: str, path: Path, limit: int) -> None:
    work = (lambda: _read(path, limit)) if task == "read" else (lambda: _write(path, limit))
    once = _timed(work)
    seconds = once if once > 1 else min([once, *(_timed(work) for _ in range(ROUNDS - 1))])
    print(json.dumps({"seconds": seconds, "peak": kilobytes()}))


def _read(path: Path, limit: int) -> None:
    try:
        intake = read_file(path, limit=limit)
    except UnreadableFileError as error:
        assert "1,000,000 different IMEIs" in str(error)
    else:
        assert len(intake.ready) in (ROWS, MANY)


def _write(path: Path, rows: int) -> None:
    order = {"imei": _imei(1), "model": "iPhone 12", "credits": 0.08, "result_code_display": "Model: iPhone 12 " * 8}
    write_xlsx((order for _ in range(rows)), path)


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
