"""What to send next: which planned chunks to claim, and which of them to split first.

Pure: no I/O, no clock, no database. The loop takes a snapshot, makes the splits that the choice asks for, and writes
the intents of the chunks that are chosen.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from amounts import TOLERANCE, exceeds
from submission.judging import trial_length

#: IMEIs of the first call that proves the comma list of a service.
TRIAL = 2


@dataclass(frozen=True, slots=True)
class SendableBatch:
    """A running batch that may send, and what it would send next."""

    batch_id: int
    service_id: str
    planned: tuple[tuple[int, int], ...]  #: its next planned chunks as (chunk id, IMEIs), in the order of sending
    on_the_wire: int = 0  #: calls that are being made
    in_doubt: bool = False  #: a call of it is in doubt: its last IMEIs are held back as canaries
    price: float = 0.0  #: US dollars an IMEI


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the choice depends on, at one moment."""

    batches: tuple[SendableBatch, ...]
    free: int  #: calls that may be started now
    chunk_size: int  #: IMEIs of a full call
    #: Service id → IMEIs of the longest list that came back whole; 0 or missing: none was tried.
    proven: Mapping[str, int]
    services_with_list: frozenset[str] = frozenset()  #: services with a call of several IMEIs on the wire
    canaries: int = 0  #: IMEIs that a batch in doubt holds back: their orders prove the provider's list fresh
    may_send_canary: bool = False
    dollars: float = math.inf  #: what the account may still send

    def with_pieces(self, chunk_id: int, first: int, pieces: Sequence[tuple[int, int]]) -> "Snapshot":
        """Return the snapshot after a split: the chunk keeps `first` IMEIs, and its pieces (chunk id, IMEIs) follow."""
        batches = []
        for batch in self.batches:
            place = next((n for n, (planned_id, _) in enumerate(batch.planned) if planned_id == chunk_id), None)
            if place is not None:
                before, after = batch.planned[:place], batch.planned[place + 1 :]
                batch = replace(batch, planned=(*before, (chunk_id, first), *pieces, *after))
            batches.append(batch)
        return replace(self, batches=tuple(batches))


@dataclass(frozen=True, slots=True)
class Split:
    """A planned chunk that is too long."""

    chunk_id: int
    first: int  #: IMEIs that stay in the chunk
    rest: int  #: IMEIs of each chunk into which the others go


@dataclass(frozen=True, slots=True)
class Claims:
    """What to send. The splits come first."""

    chunk_ids: tuple[int, ...] = ()
    splits: tuple[Split, ...] = ()
    is_complete: bool = True  #: False: the splits yield chunks that may be sent too, so choose again after them


def choose_claims(snapshot: Snapshot) -> Claims:
    """Choose the next calls, one by one: the batch with the fewest calls on the wire comes first."""
    waiting = {batch.batch_id: batch for batch in snapshot.batches if batch.planned}
    services_with_list = set(snapshot.services_with_list)
    claimed, splits, dollars = list[int](), list[Split](), snapshot.dollars
    while waiting and len(claimed) < snapshot.free:
        batch = min(waiting.values(), key=lambda found: (found.on_the_wire, found.batch_id))
        chunk_id, size = batch.planned[0]
        if size > 1 and batch.service_id in services_with_list and not _is_proven(snapshot, batch.service_id):
            del waiting[batch.batch_id]  # the call that proves the comma list is on its way
            continue
        affordable = _affordable(dollars, batch)
        if not affordable:
            del waiting[batch.batch_id]
            continue
        too_long = _split_to_proven(snapshot, batch) or (
            Split(chunk_id, affordable, size - affordable) if affordable < size else None
        )
        if too_long is not None:
            return Claims(splits=(too_long,), is_complete=False)
        spare = _missing_canaries(snapshot, batch)
        if size > spare or snapshot.may_send_canary:
            claimed.append(chunk_id)
            dollars -= batch.price * size
            services_with_list |= {batch.service_id} if size > 1 else set()
        if 0 < spare < size:
            splits.append(Split(chunk_id, size - spare, 1))
        behind = () if spare else batch.planned[1:]  # what is held back is not sent in this turn
        if behind:
            waiting[batch.batch_id] = replace(batch, planned=behind, on_the_wire=batch.on_the_wire + 1)
        else:
            del waiting[batch.batch_id]
    return Claims(tuple(claimed), tuple(splits))


def _affordable(dollars: float, batch: SendableBatch) -> int:
    """Return how many IMEIs of the batch's next chunk these US dollars pay."""
    _, size = batch.planned[0]
    if not batch.price or not exceeds(batch.price * size, dollars):
        return size
    return max(0, int((dollars + TOLERANCE) // batch.price))


def _is_proven(snapshot: Snapshot, service_id: str) -> bool:
    """Whether lists of this service may go side by side: the calls that prove a length go alone."""
    return snapshot.proven.get(service_id, 0) not in (0, TRIAL)


def _split_to_proven(snapshot: Snapshot, batch: SendableBatch) -> Split | None:
    """Return how to split the batch's next chunk to the length that its service is proven for; None if it fits."""
    chunk_id, size = batch.planned[0]
    proven = snapshot.proven.get(batch.service_id, 0)
    if proven == 0 and len(batch.planned) == 1 and 1 < size <= TRIAL + snapshot.canaries:
        return Split(chunk_id, 1, 1)  # too few to prove a list with: one by one, none of them can be left out
    longest = trial_length(proven, snapshot.chunk_size)
    if size == 1 or size <= longest:
        return None
    return Split(chunk_id, longest, longest if _is_proven(snapshot, batch.service_id) else snapshot.chunk_size)


def _missing_canaries(snapshot: Snapshot, batch: SendableBatch) -> int:
    """Return how many IMEIs of the batch's next chunk must be held back; those planned behind it count already."""
    if not batch.in_doubt:
        return 0
    return max(0, snapshot.canaries - sum(size for _, size in batch.planned[1:]))
