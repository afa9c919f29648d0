"""Workbooks made to break their reader: each is read or refused with a sentence in time, one at a time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hostile_workbooks import FIVE, GOOD_ROWS, READ, REFUSED
from sample_files import raw_workbook, text_workbook

from spreadsheets.reading import read_file
from workbooks import guarded as spreadsheets_guarded
from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, UnreadableFileError

LONGEST = 2.0  #: seconds of processor time, of this process and of the readers that it has waited for
LONGEST_WAIT = 3 * LONGEST  #: seconds


@contextmanager
def in_time() -> Iterator[None]:
    """Fail when what is done takes too long; a machine that does other work, too, gets more time."""
    began = os.times()
    yield
    ended = os.times()
    assert sum(ended[:4]) - sum(began[:4]) < LONGEST
    assert ended.elapsed - began.elapsed < LONGEST_WAIT


@pytest.mark.parametrize("what", REFUSED)
def test_a_hostile_workbook_is_refused_in_time(what: str) -> None:
    data = REFUSED[what]()
    with in_time(), pytest.raises(UnreadableFileError) as caught:
        read_file(data)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("what", READ)
def test_an_odd_workbook_is_read_without_losing_an_imei(what: str) -> None:
    data = READ[what]()
    with in_time():
        intake = read_file(data)
    assert [ready.imei for ready in intake.ready] == FIVE
    for rejected in intake.rejected:
        rejected.text.encode()


def test_one_workbook_is_read_at_a_time() -> None:
    """While one is read another waits; when its time is up it is told so, and a free reader takes the next."""
    data = text_workbook([["IMEI"], *([number] for number in FIVE)])
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with spreadsheets_guarded.take_turn(spreadsheets_guarded.PROGRAM, Deadline(5)):
            inside.set()
            go_on.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(5)
    with pytest.raises(UnreadableFileError, match="Other workbooks are being read"):
        Workbook(data, FileKind.XLSX, Deadline(0.1))
    go_on.set()
    holder.join()
    assert [sheet.name for sheet in Workbook(data, FileKind.XLSX, Deadline(20)).sheets] == ["Stock"]


def test_an_error_of_ours_while_a_workbook_is_read_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_guarded, "COMMAND", ("/nothing/here",))
    with pytest.raises(FileNotFoundError):
        read_file(raw_workbook(GOOD_ROWS))
