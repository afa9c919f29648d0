"""What python-calamine does not report about an XLS workbook: a password, formulas without a value, hidden rows.

A program that does not compute formulas stores an empty text or 0 for them. Source: [MS-CFB] (the container) and
[MS-XLS] 2.4.117 (FilePass), 2.4.127 (Formula), 2.4.221 (Row), 2.4.28 (BoundSheet8), 2.4.268 (String). Invalid data
ends the search without an error.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_END = 0xFFFFFFFA  #: sector numbers from here on are marks
_FORMULAS = frozenset({0x0006, 0x0206, 0x0406})
_FILE_PASS, _BOUND_SHEET, _STRING, _BOF, _EOF = 0x002F, 0x0085, 0x0207, 0x0809, 0x000A
_BETWEEN = frozenset({0x04BC, 0x0221, 0x0236, 0x003C})  #: records between a formula and its text
_ROW, _IS_HIDDEN = 0x0208, 0x20
_WORKSHEET = 0

#: A cell by row and column from 0.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Marks:
    """Hidden rows and formulas without a value of one worksheet."""

    formulas: frozenset[Place] = frozenset()  #: cells whose formula has no stored value
    hidden: frozenset[int] = frozenset()  #: rows from 0 that are hidden or filtered out


def is_protected(data: bytes) -> bool:
    """Whether a password is needed to read the workbook."""
    try:
        return any(kind == _FILE_PASS for kind, _ in _records(_workbook_stream(data), 0))
    except (struct.error, IndexError, ValueError):
        return False


def read_marks(data: bytes) -> list[Marks]:
    """Return the marks of each worksheet, in the order of the workbook; [] where they cannot be read."""
    try:
        stream = _workbook_stream(data)
        starts = [struct.unpack_from("<I", body)[0] for kind, body in _records(stream, 0) if _is_worksheet(kind, body)]
        return [
            Marks(frozenset(_uncomputed(stream, start)), frozenset(_hidden(stream, start))) for start in starts[:1000]
        ]
    except (struct.error, IndexError, ValueError):
        return []


def _is_worksheet(kind: int, body: bytes) -> bool:
    return kind == _BOUND_SHEET and len(body) > 5 and body[5] == _WORKSHEET


def _uncomputed(stream: bytes, start: int) -> Iterator[Place]:
    """Yield the cells whose formula has no stored value: an empty text, 0 or a missing text."""
    pending: Place | None = None  #: a formula whose result is the text that follows
    for kind, body in _records(stream, start):
        if kind == _STRING:
            pending = None if body[:2] != b"\0\0" else pending
        if pending is not None and kind not in _BETWEEN:
            yield pending
            pending = None
        if kind not in _FORMULAS or len(body) < 14:
            continue
        row, column = struct.unpack_from("<HH", body)
        result = body[6:14]
        if result[6:] == b"\xff\xff" and result[0] == 0:
            pending = row, column
        elif result == bytes(8) or (result[6:] == b"\xff\xff" and result[0] == 3):
            yield row, column


def _hidden(stream: bytes, start: int) -> Iterator[int]:
    for kind, body in _records(stream, start):
        if kind == _ROW and len(body) >= 14 and body[12] & _IS_HIDDEN:
            yield struct.unpack_from("<H", body)[0]


def _records(stream: bytes, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of one substream, which ends with the EOF of its first BOF."""
    depth = 0
    while place + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, place)
        yield kind, stream[place + 4 : place + 4 + length]
        depth += (kind == _BOF) - (kind == _EOF)
        if depth <= 0:
            return
        place += 4 + length


def _workbook_stream(data: bytes) -> bytes:
    """Return the stream named Workbook or Book of a compound file. Raises struct.error, IndexError, ValueError."""
    size, mini_size = 1 << data[30], 1 << data[32]
    if size not in (512, 4096) or mini_size != 64:
        raise ValueError("not a compound file")
    first_folder, cutoff, first_mini = (struct.unpack_from("<I", data, place)[0] for place in (48, 56, 60))
    table = _sector_table(data, size)
    folder = _chain(data, table, first_folder, size, size)
    entries = [folder[place : place + 128] for place in range(0, len(folder), 128)]
    found = [_extent(entry) for entry in entries if _name(entry).lower() in ("workbook", "book")]
    start, length = found[0]
    if length >= cutoff:
        return _chain(data, table, start, size, size)[:length]
    minis = _chain(data, table, _extent(entries[0])[0], size, size)
    mini_table = _numbers(_chain(data, table, first_mini, size, size))
    return _chain(minis, mini_table, start, mini_size, 0)[:length]


def _extent(entry: bytes) -> tuple[int, int]:
    start, length = struct.unpack_from("<II", entry, 116)
    return start, length


def _name(entry: bytes) -> str:
    return entry[: max(struct.unpack_from("<H", entry, 64)[0] - 2, 0)].decode("utf-16-le", "replace")


def _sector_table(data: bytes, size: int) -> tuple[int, ...]:
    """Return the FAT, the next sector of each sector; the header and the DIFAT chain list the sectors of the FAT."""
    named = list(struct.unpack_from("<109I", data, 76))
    more, count = struct.unpack_from("<II", data, 68)
    for _ in range(min(count, len(data) // size)):
        if more >= _END:
            break
        numbers = _numbers(data[(more + 1) * size : (more + 2) * size])
        named += numbers[:-1]
        more = numbers[-1]
    sectors = (data[(number + 1) * size : (number + 2) * size] for number in named if number < _END)
    return _numbers(b"".join(sectors))


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def _chain(data: bytes, table: tuple[int, ...], sector: int, size: int, offset: int) -> bytes:
    """Return the bytes of a chain of sectors. Raises ValueError for a circle."""
    found = []
    while sector < _END:
        found.append(data[offset + sector * size : offset + (sector + 1) * size])
        if len(found) > len(table):
            raise ValueError("the chain of sectors has no end")
        sector = table[sector]
    return b"".join(found)
