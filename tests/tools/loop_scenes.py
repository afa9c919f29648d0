"""Scenes of the stepped loop: calls under way, lost or answered, and time that passes."""

from typing import Any

from plain_sql import run
from provider_model import DEATHS
from stepped_loop import BALANCE, CALL, LIST, Loop, batch, ready

from submission.decisions import was_not_placed


def sending(loop: Loop, count: int, **more: Any) -> int:
    """A batch, as many of whose calls as may be are on the wire."""
    ready(loop)
    batch_id = batch(loop, count, **more)
    loop.step(3)
    return batch_id


def hold_ends(loop: Loop) -> None:
    """The time passes in which nothing is sent, and the balance is read."""
    loop.clock.now += 2.0
    loop.step(2)
    loop.let_all(BALANCE)


def notice(loop: Loop) -> str:
    """The words on the page of the only batch."""
    return loop.states()[0][1]


def long_calls(loop: Loop) -> Loop:
    """Another life of the loop, with calls of five IMEIs."""
    loop.close()
    return Loop(loop.database, loop.folder, loop.model, chunk_size=5)


def broken(*_: Any, **__: Any) -> Any:
    """A fault of the program itself."""
    raise ZeroDivisionError


def pass_time(loop: Loop, seconds: float) -> None:
    """Let time pass; what is asked for meanwhile is answered, but for paid calls."""
    end = loop.clock.now + seconds
    while loop.clock.now < end:
        loop.clock.now = min(end, loop.clock.now + 5.0)
        loop.step(2)
        loop.let_all(LIST, BALANCE)


def lost(loop: Loop, count: int, size: int = 2) -> int:
    """A batch whose first call has no answer; the others of that moment have one."""
    ready(loop)
    batch_id = batch(loop, count, size=size)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    return batch_id


def clear(loop: Loop) -> None:
    """A person says that nothing in doubt was placed."""
    sent_before(loop)
    with loop.database.read() as connection:
        ids = list(connection.exec_driver_sql("SELECT id FROM items WHERE outcome = 'in_doubt'").scalars())
    assert was_not_placed(loop.database, ids, 0.0) == len(ids) > 0


def sent_before(loop: Loop) -> None:
    """The calls in doubt are those of an earlier process: the person has waited long enough, by the wall clock."""
    for watch in loop.system._settler.watches.values():
        watch.is_own = False


def cleared(loop: Loop) -> list[str]:
    """A call in doubt that a person says placed nothing; returns its IMEIs."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    loop.let_all()
    loop.clock.now += 5.0
    sent_before(loop)
    with loop.database.read() as connection:
        query = "SELECT id FROM items WHERE batch_id = ?"
        ids = list(run(connection, query, batch_id).scalars())
    assert was_not_placed(loop.database, ids, 0.0) == 2
    return loop.sent[-1]


BEFORE_IT_IS_SENT, BEFORE_IT_IS_KEPT, AFTER_IT_IS_KEPT = DEATHS


def next_life(loop: Loop, **options: Any) -> Loop:
    """Another process takes over the database and the answers that are kept."""
    return Loop(loop.database, loop.folder, loop.model, **options)


def dead(loop: Loop, death: str, count: int = 2) -> int:
    """A batch whose first call was on the wire when its process died there."""
    ready(loop)
    batch_id = batch(loop, count)
    loop.step(3)
    loop.die(death)
    return batch_id
