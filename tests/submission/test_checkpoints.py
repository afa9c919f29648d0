"""An answer that was kept is there again, byte for byte, or not at all."""

import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from unsynced_disk import PowerLossError, UnsyncedDisk

from orders import Chunk
from submission.checkpoints import (
    BALLAST_SIZE,
    DISK_FULL,
    LEAST_FREE,
    MOST_OPEN,
    READ_ONLY,
    Checkpoints,
    KeptAnswer,
    disk_objection,
    is_disk_full,
)


def chunk(chunk_id: int, attempt: int = 1, batch_id: int = 1) -> Chunk:
    return Chunk(chunk_id, batch_id, "269", attempt, 1, ())


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def test_each_answer_comes_back_as_it_was(checkpoints: Checkpoints, tmp_path: Path) -> None:
    answers = {1: b"<result/>", 2: b"", 3: b"\n\nhammer-checkpoint 1 1 3 0\nabc", 12: bytes(range(256)) * 400}
    for chunk_id, raw in answers.items():
        checkpoints.keep(chunk(chunk_id), raw)
    after_restart = Checkpoints(tmp_path / "checkpoints")
    assert {chunk_id: after_restart.answer_of(chunk(chunk_id)) for chunk_id in answers} == answers


def test_attempts_batches_and_chunks_are_told_apart(checkpoints: Checkpoints) -> None:
    checkpoints.keep(chunk(1, attempt=1), b"first")
    checkpoints.keep(chunk(1, attempt=2), b"second")
    checkpoints.keep(chunk(1, batch_id=2), b"other batch")
    assert checkpoints.answer_of(chunk(1, attempt=2)) == b"second"
    assert checkpoints.answer_of(chunk(1, batch_id=2)) == b"other batch"
    assert checkpoints.answer_of(chunk(11)) is None
    assert checkpoints.answer_of(chunk(1, attempt=3)) is None


def test_a_batch_without_a_log_has_no_answer(checkpoints: Checkpoints) -> None:
    assert checkpoints.answer_of(chunk(1)) is None
    assert checkpoints.newest_attempts(1) == {}


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_cut_or_changed_answer_is_no_answer(checkpoints: Checkpoints, cut: int) -> None:
    checkpoints.keep(chunk(1), b"<result>1</result>")
    path = checkpoints.folder / "1" / "answers.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert checkpoints.answer_of(chunk(1)) is None
    path.write_bytes(whole.replace(b">1<", b">2<"))
    assert checkpoints.answer_of(chunk(1)) is None


def test_a_damaged_record_does_not_hide_the_next_one(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.keep(chunk(1), b"<result>1</result>")
    path = checkpoints.folder / "1" / "answers.log"
    path.write_bytes(path.read_bytes()[:-4])
    Checkpoints(tmp_path / "checkpoints").keep(chunk(2), b"<result>2</result>")
    assert checkpoints.answer_of(chunk(2)) == b"<result>2</result>"


def test_every_whole_answer_of_a_batch_is_read_and_a_damaged_one_is_counted_once(checkpoints: Checkpoints) -> None:
    nested = b"\n\nhammer-checkpoint 1 1 3 0\nabc"
    kept = [(1, 1, b"<result>1</result>"), (2, 1, b""), (1, 2, nested), (3, 1, bytes(range(256)) * 40)]
    for chunk_id, attempt, raw in kept:
        checkpoints.keep(chunk(chunk_id, attempt), raw)
    assert list(checkpoints.answers(1)) == [KeptAnswer(*answer) for answer in kept]
    path = checkpoints.folder / "1" / "answers.log"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b">1<", b">2<"))
    assert list(checkpoints.answers(1)) == [KeptAnswer(1, 1, None), *(KeptAnswer(*answer) for answer in kept[1:])]
    path.write_bytes(whole.replace(b"\nabc", b"\nabd"))  # what looks like a header in it is still no record
    assert list(checkpoints.answers(1))[2:] == [KeptAnswer(1, 2, None), KeptAnswer(*kept[3])]
    path.write_bytes(whole[:-9])
    assert list(checkpoints.answers(1))[-1] == KeptAnswer(3, 1, None)
    path.write_bytes(whole.replace(b"hammer-checkpoint 2", b"hammer-checkpoin* 2"))
    assert [answer.raw for answer in checkpoints.answers(1)] == [kept[0][2], None, kept[2][2], kept[3][2]]
    path.write_bytes(whole + b"\nhammer-check")
    assert list(checkpoints.answers(1))[-1] == KeptAnswer(0, 0, None)


def test_a_batch_without_answers_has_none(checkpoints: Checkpoints) -> None:
    assert list(checkpoints.answers(9)) == []
    (checkpoints.folder / "9").mkdir()
    (checkpoints.folder / "9" / "answers.log").touch()
    assert list(checkpoints.answers(9)) == []


def test_thirty_threads_keep_their_answers_at_once(checkpoints: Checkpoints) -> None:
    threads = [
        threading.Thread(target=checkpoints.keep, args=(chunk(number), b"%d" % number * 5000)) for number in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(checkpoints.answer_of(chunk(number)) == b"%d" % number * 5000 for number in range(30))


def test_progress_is_a_small_json_file(checkpoints: Checkpoints) -> None:
    checkpoints.write_progress(4, 50, 200, 4800)
    expected = {"batch_id": 4, "completed_batches": 50, "total_batches": 200, "successful_orders": 4800}
    assert json.loads((checkpoints.folder / "4" / "progress.json").read_text()) == expected


def test_ballast_is_laid_and_can_be_given_back(checkpoints: Checkpoints) -> None:
    assert checkpoints.has_space()
    assert (checkpoints.folder / "ballast").stat().st_size > 1_000_000
    checkpoints.drop_ballast()
    assert not (checkpoints.folder / "ballast").exists()


def test_a_process_that_lives_for_many_batches_does_not_keep_their_files_open(checkpoints: Checkpoints) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    def answer(batches: range) -> None:
        for batch_id in batches:
            checkpoints.keep(chunk(1, batch_id=batch_id), b"%d" % batch_id)
            checkpoints.keep(chunk(2, batch_id=1 + batch_id % 3), b"again %d" % batch_id)

    threads = [threading.Thread(target=answer, args=(range(first, 200, 4),)) for first in range(10, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= MOST_OPEN
    assert all(checkpoints.answer_of(chunk(1, batch_id=n)) == b"%d" % n for n in range(10, 200))
    checkpoints.close()


# Headers that were damaged


def damage(checkpoints: Checkpoints, change: Callable[[bytes], bytes]) -> bytes | None:
    """What is answered of a kept answer after its header was changed."""
    checkpoints.keep(chunk(1), b"<result>1</result>")
    path = checkpoints.folder / "1" / "answers.log"
    _, header, raw = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n" + change(header) + b"\n" + raw)
    return checkpoints.answer_of(chunk(1))


def without_digest(header: bytes) -> bytes:
    return header.rpartition(b" ")[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda header: without_digest(header),
        lambda header: header + b" more",
        lambda header: header.replace(b" 18 ", b" many "),
        lambda header: header.replace(b" 18 ", b" 17 "),
        lambda header: header.replace(b" 18 ", b" 180 "),
        lambda header: header.replace(b" 18 ", b" 18  "),
        lambda header: without_digest(header) + b" \xff",
        lambda header: without_digest(header) + b" " + b"0" * 64,
        lambda header: header.replace(b"hammer", b"HAMMER"),
        lambda header: b"more" + header,
    ],
    ids=[
        "no digest",
        "more",
        "no number",
        "shorter",
        "longer",
        "a gap",
        "not ASCII",
        "other digest",
        "other mark",
        "not first",
    ],
)
def test_an_answer_with_a_damaged_header_is_no_answer(
    checkpoints: Checkpoints, change: Callable[[bytes], bytes]
) -> None:
    assert damage(checkpoints, change) is None


def test_an_undamaged_header_is_read(checkpoints: Checkpoints) -> None:
    assert damage(checkpoints, lambda header: header) == b"<result>1</result>"


def test_an_answer_of_which_a_digest_matches_a_shorter_part_is_not_believed(checkpoints: Checkpoints) -> None:
    """The length must be there too: a digest of nothing fits an answer that was cut to nothing."""
    checkpoints.keep(chunk(1), b"")
    path = checkpoints.folder / "1" / "answers.log"
    path.write_bytes(path.read_bytes().replace(b" 0 ", b" 5 "))
    assert checkpoints.answer_of(chunk(1)) is None


# What is kept of which batch


def test_the_newest_attempt_of_each_chunk_is_found(checkpoints: Checkpoints) -> None:
    for chunk_id, attempt in [(7, 1), (7, 3), (7, 2), (5, 12), (123456789012345678, 1)]:
        checkpoints.keep(chunk(chunk_id, attempt), b"\nhammer-checkpoint 9 9 is no header\n")
    assert checkpoints.newest_attempts(1) == {5: 12, 7: 3, 123456789012345678: 1}
    assert checkpoints.newest_attempts(2) == {}


def test_an_empty_log_has_no_attempts(checkpoints: Checkpoints) -> None:
    checkpoints.keep(chunk(1), b"")
    (checkpoints.folder / "1" / "answers.log").write_bytes(b"")
    assert checkpoints.newest_attempts(1) == {}


def test_only_folders_with_kept_answers_are_batches(checkpoints: Checkpoints) -> None:
    for batch_id in (3, 20):
        checkpoints.keep(chunk(1, batch_id=batch_id), b"kept")
    checkpoints.write_progress(4, 1, 2, 3)
    (checkpoints.folder / "backup").mkdir()
    (checkpoints.folder / "backup" / "answers.log").touch()
    assert sorted(checkpoints.batches()) == [3, 20]


def test_a_folder_whose_parents_do_not_exist_is_made_and_one_that_exists_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "checkpoints"
    Checkpoints(folder).keep(chunk(1), b"kept")
    assert Checkpoints(folder).answer_of(chunk(1)) == b"kept"


def test_a_folder_that_another_process_made_meanwhile_is_used(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_dir, asked = Path.is_dir, list[Path]()

    def not_yet(path: Path) -> bool:
        asked.append(path)
        return len(asked) > 1 and is_dir(path)

    monkeypatch.setattr(Path, "is_dir", not_yet)
    Checkpoints(checkpoints.folder)
    assert asked[0] == checkpoints.folder


def test_two_processes_append_to_one_log_and_others_cannot_read_it(checkpoints: Checkpoints) -> None:
    other = Checkpoints(checkpoints.folder)
    for number, process in enumerate([checkpoints, other, checkpoints, other]):
        process.keep(chunk(number), b"answer %d" % number)
    assert [checkpoints.answer_of(chunk(n)) for n in range(4)] == [b"answer %d" % n for n in range(4)]
    assert (checkpoints.folder / "1" / "answers.log").stat().st_mode & 0o777 == 0o600


def test_an_answer_that_is_written_piece_by_piece_is_kept_whole(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    checkpoints.keep(chunk(1), b"<result>1</result>" * 10)
    assert checkpoints.answer_of(chunk(1)) == b"<result>1</result>" * 10


# What is on disk when the power fails


def keep_and_report(folder: Path, kept: dict[Chunk, bytes]) -> None:
    """Keep some answers of two batches, each noted in kept once keep has returned, and report after each."""
    checkpoints = Checkpoints(folder)
    for number in range(1, 5):
        answered, raw = chunk(number, batch_id=1 + number % 2), b"<result>%d</result>" % number
        checkpoints.keep(answered, raw)
        kept[answered] = raw
        checkpoints.write_progress(answered.batch_id, number, 4, 100 * number)
    checkpoints.close()


@pytest.mark.parametrize("whole", [False, True], ids=["only synced names are left", "every name is left"])
def test_whenever_the_power_fails_what_keep_returned_for_is_there_and_no_progress_is_half(
    tmp_path: Path, whole: bool
) -> None:
    """It is failed at each call in turn that changes the disk."""
    for step in count():
        root, kept, failed = tmp_path / f"disk{step}", dict[Chunk, bytes](), False
        root.mkdir()
        with UnsyncedDisk(root, fails_at=step) as disk:
            try:
                keep_and_report(root / "checkpoints", kept)
            except PowerLossError:
                failed = True
            left = disk.leave(tmp_path / f"left{step}", whole)
        after = Checkpoints(left / "checkpoints")
        assert {answered: after.answer_of(answered) for answered in kept} == kept
        for progress in after.folder.glob("*/progress.json"):
            assert json.loads(progress.read_text())["total_batches"] == 4
        if not failed:
            assert step > 20
            assert {"fsync", "write", "replace"} <= set(disk.steps)
            return


def test_the_first_progress_of_a_batch_makes_its_folder_for_good(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with UnsyncedDisk(root) as disk:
        Checkpoints(root / "data" / "checkpoints").write_progress(1, 0, 4, 0)
        left = disk.leave(tmp_path / "left")
    assert (left / "data" / "checkpoints" / "1").is_dir()


def test_the_ballast_takes_up_its_bytes_for_good(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with UnsyncedDisk(root) as disk:
        assert Checkpoints(root).has_space()
        left = disk.leave(tmp_path / "left", whole=True)
    assert (left / "ballast").stat().st_size == BALLAST_SIZE


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_disk_that_cannot_set_bytes_aside_has_the_ballast_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", raises(OSError(code, os.strerror(code))))
    root = tmp_path / "disk"
    root.mkdir()
    with UnsyncedDisk(root) as disk:
        assert Checkpoints(root).has_space()
        left = disk.leave(tmp_path / "left", whole=True)
    assert (left / "ballast").stat().st_size == BALLAST_SIZE


def test_there_is_no_space_where_the_ballast_has_none(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", raises(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
    assert not checkpoints.has_space()


def test_the_ballast_takes_blocks_of_the_disk(checkpoints: Checkpoints) -> None:
    """A file of holes would give nothing back."""
    assert checkpoints.has_space()
    assert (checkpoints.folder / "ballast").stat().st_blocks * 512 >= BALLAST_SIZE


class SlowSync:
    """An fsync that counts its calls; each of the first ones waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, slow: int = 1) -> None:
        self.begun = [threading.Event() for _ in range(slow)]
        self.go = [threading.Event() for _ in range(slow)]
        self.calls = 0
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        number, self.calls = self.calls, self.calls + 1
        if number < len(self.go):
            self.begun[number].set()
            assert self.go[number].wait(10)
        self._fsync(descriptor)


def test_answers_that_come_during_a_sync_share_the_next_one(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync that has begun may not cover them, and one for all of them is enough."""
    checkpoints.keep(chunk(1), b"opens the log")
    log = checkpoints.folder / "1" / "answers.log"
    slow = SlowSync(monkeypatch)
    threads = [threading.Thread(target=checkpoints.keep, args=(chunk(number), b"waits")) for number in range(2, 7)]
    threads[0].start()
    assert slow.begun[0].wait(10)
    for thread in threads[1:]:
        thread.start()
    while log.read_bytes().count(b"waits") < 5:
        assert threads[0].is_alive()
    slow.go[0].set()
    for thread in threads:
        thread.join(10)
    assert slow.calls == 2
    checkpoints.keep(chunk(7), b"alone")
    assert slow.calls == 3


# Open files


def open_batches(checkpoints: Checkpoints) -> set[int]:
    """The batches whose log this process has open."""
    targets = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    return {int(Path(path).parent.name) for path in targets if path.startswith(f"{checkpoints.folder}/")}


def test_the_log_that_was_not_used_for_the_longest_is_closed_first(checkpoints: Checkpoints) -> None:
    for batch_id in [*range(1, MOST_OPEN + 1), 1]:
        checkpoints.keep(chunk(batch_id, batch_id=batch_id), b"kept")
    assert open_batches(checkpoints) == set(range(1, MOST_OPEN + 1))
    for batch_id in (101, 102):
        checkpoints.keep(chunk(1, batch_id=batch_id), b"kept")
    assert open_batches(checkpoints) == {1, *range(4, MOST_OPEN + 1), 101, 102}
    checkpoints.close()
    assert open_batches(checkpoints) == set()
    checkpoints.keep(chunk(9), b"after a close")
    assert checkpoints.answer_of(chunk(9)) == b"after a close"


def test_a_log_into_which_an_answer_is_on_its_way_stays_open(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when another answer, which came into it at the same time, is on disk already."""
    checkpoints.keep(chunk(1), b"opens the log")
    log = checkpoints.folder / "1" / "answers.log"
    slow = SlowSync(monkeypatch, slow=2)
    first, second = (
        threading.Thread(target=checkpoints.keep, args=(chunk(number), b"on its way")) for number in (2, 3)
    )
    first.start()
    assert slow.begun[0].wait(10)
    second.start()
    while log.read_bytes().count(b"on its way") < 2:
        assert second.is_alive()
    slow.go[0].set()
    first.join(10)
    assert slow.begun[1].wait(10)
    for batch_id in range(2, MOST_OPEN + 2):
        checkpoints.keep(chunk(1, batch_id=batch_id), b"kept")
    assert 1 in open_batches(checkpoints)
    assert len(open_batches(checkpoints)) == MOST_OPEN
    slow.go[1].set()
    second.join(10)
    checkpoints.keep(chunk(1, batch_id=99), b"kept")
    assert 1 not in open_batches(checkpoints)
    assert checkpoints.answer_of(chunk(3)) == b"on its way"


def test_a_log_that_could_not_be_written_is_closed_in_its_turn(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "write", raises(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            checkpoints.keep(chunk(1), b"lost")
    for batch_id in range(2, MOST_OPEN + 2):
        checkpoints.keep(chunk(1, batch_id=batch_id), b"kept")
    assert 1 not in open_batches(checkpoints)


def raises(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


# Space


def with_free(monkeypatch: pytest.MonkeyPatch, free: int, folder: Path) -> None:
    def usage(path: Path) -> SimpleNamespace:
        assert path == folder
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)


@pytest.mark.parametrize("missing", [0, 1])
def test_there_is_space_while_the_answers_of_every_worker_fit(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    with_free(monkeypatch, LEAST_FREE - missing, checkpoints.folder)
    assert checkpoints.has_space() == (not missing)
    assert (checkpoints.folder / "ballast").exists() == (not missing)
    assert disk_objection(checkpoints.folder) == (DISK_FULL if missing else "")


def test_ballast_is_written_once_and_dropped_twice_without_an_error(checkpoints: Checkpoints) -> None:
    assert checkpoints.has_space()
    ballast = checkpoints.folder / "ballast"
    ballast.write_bytes(b"laid already")
    assert checkpoints.has_space()
    assert ballast.read_bytes() == b"laid already"
    checkpoints.drop_ballast()
    checkpoints.drop_ballast()


def test_on_a_disk_that_fails_there_is_no_space_and_the_log_says_why(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", raises(OSError(errno.EIO, "Input/output error")))
    with caplog.at_level(logging.ERROR):
        assert not checkpoints.has_space()
    assert caplog.messages == ["The data folder cannot be written: Input/output error"]


def test_a_folder_that_cannot_be_written_is_objected_to(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (checkpoints.folder, os.W_OK))
    with_free(monkeypatch, 0, checkpoints.folder)
    assert disk_objection(checkpoints.folder) == READ_ONLY


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_is_told_from_a_broken_one(number: int, full: bool) -> None:
    assert is_disk_full(OSError(number, "")) is full


def test_the_newest_call_is_noted_and_never_an_older_one(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "checkpoints")
    assert kept.newest_call() == 0
    for attempt_id, newest in ((7, 7), (12, 12), (9, 12)):
        kept.note_call(attempt_id)
        assert (kept.newest_call(), Checkpoints(tmp_path / "checkpoints").newest_call()) == (newest, newest)
    Checkpoints(tmp_path / "checkpoints").note_call(10)  # of another process
    assert (kept.newest_call(), kept.batches()) == (12, [])
    (tmp_path / "checkpoints" / "newest-call").write_bytes(b"\0" * 21)  # as after a power cut
    assert Checkpoints(tmp_path / "checkpoints").newest_call() == 0
