"""Mutations that damage an input, and a limit on the time that a reader may take for it."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds of processor time that one input may take; the load of the machine does not count.
LONGEST = 1.0

ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp500")
Mutation = Callable[[random.Random, bytes], bytes]


class TookTooLongError(Exception):
    """A reader hangs, or its time grows faster than its input."""


@contextmanager
def in_time(seconds: float = LONGEST) -> Iterator[None]:
    """Raise TookTooLongError when the block takes more processor time than this."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLongError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def mutated(chance: random.Random, data: bytes, mutations: tuple[Mutation, ...], most: int = 3) -> bytes:
    """Return the data after one to `most` mutations."""
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
    """Return a mutation that inserts one of these words at a random place, once or many times."""

    def insert(chance: random.Random, data: bytes) -> bytes:
        at = _place(chance, data)
        return data[:at] + chance.choice(words) * chance.choice((1, 1, 1, 3, 2000)) + data[at:]

    return insert


def recoded(chance: random.Random, data: bytes) -> bytes:
    """Return the text in another encoding."""
    text = data.decode("utf-8", "replace")
    return text.encode(
        chance.choice(("utf-16", "utf-16-le", "utf-32", "cp1252", "utf-8-sig", "utf-7", "cp500")), "replace"
    )


BYTES: tuple[Mutation, ...] = (cut, behead, drop, flip, noise, double, recoded)
