"""Threads that make calls: each answer is on disk before the loop gets it, and what has not begun can be held back."""

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from handmade_calls import call
from provider_answers import IMEI_A, ORDER_A
from simulated_provider import SERVICE, imeis
from waiting import wait_until

from database import IMEIDatabase
from gsm_fusion_client import RateLimitedError
from orders import Chunk, Item, PlacementAnswer
from provider import parse_placement
from schema import chunks
from submission import checkpoints as checkpoint_files
from submission.answers import Answer
from submission.checkpoints import Checkpoints
from submission.judging import AllOrdered, Judged, NotPlaced
from submission.options import Options
from submission.thread_carrier import ThreadCarrier

RAW = f"<result>{ORDER_A}</result>".encode()


def chunk_of(number: int) -> Chunk:
    """The first call of a chunk with this id, of one IMEI."""
    return Chunk(number, 1, SERVICE, 1, number, (Item(number, IMEI_A),))


class WaitingProvider:
    """Answers the calls when it is let go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.limited = False
        self.at_once = self.most_at_once = 0
        self.began: list[float] = []
        self._lock = threading.Lock()

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None, **_: str
    ) -> PlacementAnswer:
        with self._lock:
            self.began.append(time.monotonic())
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go_on.wait(20)
        with self._lock:
            self.at_once -= 1
        if self.limited:
            raise RateLimitedError("fewer calls", retry_after=5.0)
        assert keep is not None
        keep(RAW)
        return parse_placement(RAW)


class Scene:
    """A carrier of two workers that has its threads."""

    def __init__(self, database: IMEIDatabase, folder: Path) -> None:
        self.provider, self.checkpoints = WaitingProvider(), Checkpoints(folder)
        options = Options(workers=2)
        self.carrier = ThreadCarrier(database, self.provider, self.checkpoints, options, time.monotonic)

    def send(self, *numbers: int, wait: float = 0.0) -> None:
        """Hand over calls that start after these seconds."""
        self.carrier.send([chunk_of(number) for number in numbers], [time.monotonic() + wait] * len(numbers))

    def collected(self, count: int) -> list[Answer]:
        """Wait for this number of answers, in the order in which they come."""
        found: list[Answer] = []
        give_up_at = time.monotonic() + 20.0
        while len(found) < count and time.monotonic() < give_up_at:
            found += self.carrier.collect(0.5, ())
        assert len(found) == count
        return found


@pytest.fixture(name="scene")
def scene_fixture(file_database: IMEIDatabase, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(file_database, tmp_path / "kept")
    with scene.carrier.open():
        yield scene
        scene.provider.go_on.set()
        scene.carrier.hold()


def numbers(answers: Sequence[Answer]) -> list[int]:
    return sorted(answer.chunk.chunk_id for answer in answers)


def test_an_answer_is_on_disk_before_the_loop_gets_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes | None] = []
    queue = scene.carrier._answers

    def noting(answer: Answer) -> None:
        kept.append(scene.checkpoints.answer_of(answer.chunk))
        queue.put(answer)

    monkeypatch.setattr(scene.carrier, "_answers", SimpleNamespace(put=noting, get=queue.get))
    began = time.monotonic()
    scene.send(1)
    answer = queue.get(timeout=20)
    assert kept == [RAW]
    assert answer is not None
    assert isinstance(answer.judgement, AllOrdered)
    assert began <= answer.began <= answer.began + answer.seconds <= time.monotonic()


def test_as_many_calls_as_workers_are_made_at_once(scene: Scene) -> None:
    """One thread more is there, for looks at the provider's list."""
    scene.provider.go_on.clear()
    scene.send(1, 2, 3, 4)
    wait_until(lambda: scene.provider.at_once == 2, "two are made")
    time.sleep(0.1)
    scene.provider.go_on.set()
    assert numbers(scene.collected(4)) == [1, 2, 3, 4]
    assert scene.provider.most_at_once == 2


def test_a_call_waits_for_its_start(scene: Scene) -> None:
    before = time.monotonic()
    scene.send(1, wait=0.15)
    assert scene.carrier.collect(0.05, ()) == []
    scene.collected(1)
    assert scene.provider.began[0] >= before + 0.15


def test_calls_that_have_not_begun_are_held_back_until_others_are_sent(scene: Scene) -> None:
    scene.send(1, 2, wait=60.0)
    scene.carrier.hold()
    answers = scene.collected(2)
    assert numbers(answers) == [1, 2]
    assert not any(answer.was_sent for answer in answers)
    scene.send(3)
    (answer,) = scene.collected(1)
    assert isinstance(answer.judgement, AllOrdered)
    assert len(scene.provider.began) == 1


def test_a_429_holds_the_others_back_after_its_own_answer(scene: Scene) -> None:
    """It must be recorded first: else the chunks that are given back would be planned again at once."""
    scene.provider.limited = True
    scene.send(1)
    scene.send(2, wait=60.0)
    first, second = scene.collected(2)
    assert isinstance(first.judgement, NotPlaced) and first.judgement.limited
    assert (first.chunk.chunk_id, second.chunk.chunk_id, second.was_sent) == (1, 2, False)
    assert len(scene.provider.began) == 1


def test_waiting_for_an_answer_ends_when_something_else_has_come(scene: Scene) -> None:
    scene.carrier.wake()
    started = time.monotonic()
    assert scene.carrier.collect(20.0, ()) == []
    assert time.monotonic() - started < 10.0


@pytest.mark.parametrize(("number", "is_freed"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_on_a_full_disk_the_ballast_goes_and_the_answer_comes_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, number: int, is_freed: bool
) -> None:
    def failing(_chunk: Chunk, _raw: bytes) -> None:
        raise OSError(number, "it does not work")

    assert scene.carrier.has_space()
    monkeypatch.setattr(scene.checkpoints, "keep", failing)
    scene.send(1)
    assert isinstance(scene.collected(1)[0].judgement, AllOrdered)
    assert (scene.checkpoints.folder / "ballast").exists() is not is_freed


def test_the_newest_call_is_noted_before_any_begins(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a database from before it is known as older, whatever became of the call."""
    noted: list[tuple[int, int]] = []
    note = scene.checkpoints.note_call

    def noting(attempt_id: int) -> None:
        note(attempt_id)
        noted.append((scene.checkpoints.newest_call(), len(scene.provider.began)))

    monkeypatch.setattr(scene.checkpoints, "note_call", noting)
    scene.send(2, 1)
    scene.collected(2)
    assert noted == [(2, 0)]


def test_a_call_that_cannot_be_noted_is_made_all_the_same(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    (scene.checkpoints.folder / "newest-call").mkdir()
    scene.send(1)
    assert isinstance(scene.collected(1)[0].judgement, AllOrdered)
    assert "The newest call was not noted beside the database: Is a directory" in caplog.text


def test_without_room_for_answers_there_is_no_space_and_room_can_be_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ballast = scene.checkpoints.folder / "ballast"
    assert scene.carrier.has_space()
    assert ballast.exists()
    monkeypatch.setattr(checkpoint_files, "LEAST_FREE", 1 << 62)
    assert not scene.carrier.has_space()
    scene.carrier.make_room()
    assert not ballast.exists()


def test_calls_of_an_ended_process_have_their_kept_answers_or_are_in_doubt(
    file_database: IMEIDatabase, scene: Scene
) -> None:
    """Those of another account are recovered by its own loop."""
    first, second, elsewhere = (call(file_database, imeis(1, first=n)) for n in range(3))
    with file_database.write() as connection:
        connection.execute(chunks.update().where(chunks.c.id == elsewhere.chunk_id).values(account="b"))
    scene.checkpoints.keep(first, RAW.replace(IMEI_A.encode(), first.items[0].imei.encode()))
    with file_database.write() as connection:
        recovery = scene.carrier.recover(connection)
    found = {answer.chunk.chunk_id: answer.judgement for answer in recovery.answers}
    assert found.keys() == {first.chunk_id, second.chunk_id}
    assert isinstance(found[first.chunk_id], AllOrdered)
    assert isinstance(found[second.chunk_id], Judged)
    assert recovery.on_the_wire == ()


def test_no_file_of_answers_stays_open_when_the_threads_have_ended(file_database: IMEIDatabase, tmp_path: Path) -> None:
    """A process leads many times, and may open about a thousand files. The last call ends before they are closed."""
    scene, opened = Scene(file_database, tmp_path / "kept"), list[int]()
    for number in (1, 2):
        with scene.carrier.open():
            scene.provider.go_on.clear()
            scene.send(number)
            wait_until(lambda: scene.provider.at_once == 1, "it is made")
            threading.Timer(0.05, scene.provider.go_on.set).start()
        opened += [int(path.name) for path in Path("/proc/self/fd").iterdir() if is_of(path, tmp_path / "kept")]
        assert scene.checkpoints.answer_of(chunk_of(number)) == RAW
    assert opened == []


def is_of(descriptor: Path, folder: Path) -> bool:
    """Whether an open file of this process lies in a folder."""
    with suppress(OSError):  # the one that lists them is gone
        return descriptor.readlink().is_relative_to(folder)
    return False


def test_on_a_database_server_threads_make_no_calls(tmp_path: Path) -> None:
    """Two machines would not know each other's calls."""
    server = cast(IMEIDatabase, SimpleNamespace(is_file=False))
    options = Options(send_order_key=False)
    carrier = ThreadCarrier(server, WaitingProvider(), Checkpoints(tmp_path), options, time.monotonic)
    opened: AbstractContextManager[Any] = carrier.open()
    with pytest.raises(RuntimeError, match="only jobs make calls"), opened:
        pass
