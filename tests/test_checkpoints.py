"""An answer that was kept is there again, byte for byte, or not at all."""

import json
import threading
from pathlib import Path

import pytest

from checkpoints import MOST_OPEN, Checkpoints
from orders import Chunk


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
