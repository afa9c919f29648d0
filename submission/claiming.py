"""Choosing the next calls in a transaction: takes the snapshot that claims.py chooses from, and makes its splits."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from database import Transaction
from orders import Chunk
from storage import account_chunks, call_queries, chunk_moves
from submission.account_room import Room
from submission.claims import SendableBatch, Snapshot, choose_claims
from submission.options import Options
from submission.ownership import Ownership
from submission.recording import ListLimits
from submission.settlement import Settler


@dataclass(frozen=True, slots=True)
class Claimer:
    """Chooses which planned chunks are sent next."""

    options: Options
    settler: Settler
    ownership: Ownership
    clock: Callable[[], float]  #: returns seconds that never go back
    room: Room

    def choose(self, connection: Transaction, on_the_wire: Sequence[Chunk], free: int, limits: ListLimits) -> list[int]:
        """Return the ids of at most `free` planned chunks, after those that are too long were split."""
        if not self.room.may_send:
            return []
        snapshot = self._snapshot(connection, on_the_wire, free, limits)
        while True:
            chosen = choose_claims(snapshot)
            for split in chosen.splits:
                pieces = chunk_moves.split_chunk(connection, split.chunk_id, split.first, split.rest)
                snapshot = snapshot.with_pieces(split.chunk_id, split.first, pieces)
            if chosen.is_complete:
                return self._own(connection, chosen.chunk_ids)

    def _own(self, connection: Transaction, chosen: Sequence[int]) -> list[int]:
        """Return the chosen chunks without those of which another account has ordered an IMEI since."""
        if not chosen or not self.room.is_shared:
            return list(chosen)
        elsewhere = account_chunks.send_home(connection, chosen, self.room.account)
        return [chunk_id for chunk_id in chosen if chunk_id not in elsewhere]

    def _snapshot(
        self, connection: Transaction, on_the_wire: Sequence[Chunk], free: int, limits: ListLimits
    ) -> Snapshot:
        load = Counter(chunk.batch_id for chunk in on_the_wire)
        reach, account = free + self.options.canaries, self.options.account
        batches = tuple(
            SendableBatch(
                batch.batch_id,
                batch.service_id,
                tuple(call_queries.planned_chunks(connection, batch.batch_id, reach, account)),
                load[batch.batch_id],
                self.settler.doubts(batch.batch_id),
                batch.unit_price,
            )
            for batch in self.ownership.sendable(connection)
            if self.room.takes(batch.service_id, batch.unit_price)
        )
        services = {batch.service_id for batch in batches if any(size > 1 for _, size in batch.planned)}
        is_doubted = any(batch.in_doubt for batch in batches)
        return Snapshot(
            batches,
            free,
            self.options.chunk_size,
            {service_id: limits.of(service_id) for service_id in services},
            frozenset(chunk.service_id for chunk in on_the_wire if len(chunk.items) > 1),
            self.options.canaries,
            is_doubted and self.settler.may_send_last(connection, self.clock()),
            self.room.dollars(connection),
        )
