"""How inputs are spoiled, and how long a reader may look at them."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds of this process's own time that one input may take; other programs on the machine do not count.
LONGEST = 1.0

ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp500")
Mutation = Callable[[random.Random, bytes], bytes]


class TookTooLongError(Exception):
    """A reader hangs, or takes time that grows faster than its input."""


@contextmanager
def in_time(seconds: float = LONGEST) -> Iterator[None]:
    """Raise TookTooLongError after so much time of this process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLongError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


#: Inputs after which a run ends also before its time, so that a fast machine tries nothing that no other has.
MOST = 8000


def seeds(seconds: float, least: int = 50) -> Iterator[int]:
    """0, 1, 2, ... for so many seconds, and at least so many: the same seed gives the same input everywhere."""
    end = time.monotonic() + seconds
    for seed in range(MOST):
        if seed >= least and time.monotonic() >= end:
            return
        yield seed


def mutated(chance: random.Random, data: bytes, mutations: tuple[Mutation, ...], most: int = 3) -> bytes:
    """The data after one or a few mutations."""
    for _ in range(chance.randint(1, most)):
        data = chance.choice(mutations)(chance, data)
    return data


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: _place(chance, data)]


def behead(chance: random.Random, data: bytes) -> bytes:
    return data[_place(chance, data) :]


def drop(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + data[at + chance.choice((1, 2, 9, 70)) :]


def flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 20)) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def noise(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.randbytes(chance.choice((1, 4, 40))) + data[at:]


def double(chance: random.Random, data: bytes) -> bytes:
    start = _place(chance, data)
    piece = data[start : start + chance.choice((5, 60, 400))]
    at = _place(chance, data)
    return data[:at] + piece * chance.choice((1, 2, 30)) + data[at:]


def inserted(words: tuple[bytes, ...]) -> Mutation:
    """A mutation that puts one of these words somewhere, once or many times."""

    def insert(chance: random.Random, data: bytes) -> bytes:
        at = _place(chance, data)
        return data[:at] + chance.choice(words) * chance.choice((1, 1, 1, 3, 2000)) + data[at:]

    return insert


def recoded(chance: random.Random, data: bytes) -> bytes:
    """The same text in another encoding, or one that is none."""
    text = data.decode("utf-8", "replace")
    return text.encode(
        chance.choice(("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp500")), "replace"
    )


BYTES: tuple[Mutation, ...] = (cut, behead, drop, flip, noise, double, recoded)
