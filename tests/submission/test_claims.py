"""Which planned chunks are sent next, and which are split first: tables of snapshots, without a database."""

from dataclasses import replace
from typing import Any

import pytest
from simulated_provider import SERVICE

from submission.claims import Claims, SendableBatch, Snapshot, Split, choose_claims

OTHER = "270"


def batch(batch_id: int, *sizes: int, on_the_wire: int = 0, in_doubt: bool = False, service: str = SERVICE) -> Any:
    """A batch whose chunks have these sizes and the ids 101, 102 and so on (201 … for batch 2)."""
    planned = tuple((100 * batch_id + n, size) for n, size in enumerate(sizes, 1))
    return SendableBatch(batch_id, service, planned, on_the_wire, in_doubt)


def choice(*batches: SendableBatch, free: int = 4, proven: int = 5, **more: Any) -> Claims:
    """What is chosen where a full call has five IMEIs and the service is proven for lists of `proven`."""
    return choose_claims(Snapshot(batches, free, 5, {SERVICE: proven, OTHER: 5}, **{"canaries": 3, **more}))


def sends(*chunk_ids: int, splits: tuple[Split, ...] = ()) -> Claims:
    return Claims(chunk_ids, splits)


def splits_first(chunk_id: int, first: int, rest: int) -> Claims:
    return Claims((), (Split(chunk_id, first, rest),), is_complete=False)


# Which batch comes first


@pytest.mark.parametrize(
    ("batches", "free", "expected"),
    [
        ([], 4, sends()),
        ([batch(1)], 4, sends()),
        ([batch(1, 5, 5, 3)], 4, sends(101, 102, 103)),
        ([batch(1, 5, 5, 3)], 2, sends(101, 102)),
        ([batch(1, 5, 5, 5), batch(2, 5, 5, 5)], 4, sends(101, 201, 102, 202)),
        ([batch(1, 5, 5, 5), batch(2, 5)], 4, sends(101, 201, 102, 103)),
        ([batch(1, 5, 5, on_the_wire=3), batch(2, 5, 5, 5)], 3, sends(201, 202, 203)),
        ([batch(1, 5, 5, on_the_wire=1), batch(2, 5, 5, 5)], 3, sends(201, 101, 202)),
        ([batch(2, 5), batch(1, 5)], 1, sends(101)),
        ([batch(1, 5)], 0, sends()),
    ],
)
def test_the_batch_with_the_fewest_calls_on_the_wire_comes_first(
    batches: list[SendableBatch], free: int, expected: Claims
) -> None:
    """Of two with the same number, the older one."""
    assert choice(*batches, free=free) == expected


# What an account can pay


@pytest.mark.parametrize(
    ("sizes", "dollars", "expected"),
    [
        ([5, 5], 0.8, sends(101, 102)),
        ([5, 5], 0.79, splits_first(102, 4, 1)),
        ([5, 5, 1], 0.5, splits_first(102, 1, 4)),
        ([5, 5], 0.4, sends(101)),
        ([5, 5], 0.39, splits_first(101, 4, 1)),
        ([5, 5], 0.08, splits_first(101, 1, 4)),
        ([5, 5], 0.07, sends()),
        ([5, 5], 0.0, sends()),
        ([5, 5], -1.0, sends()),
        ([1, 1, 1], 0.16, sends(101, 102)),
        ([3], 3 * 0.08, sends(101)),
    ],
)
def test_nothing_is_sent_that_the_account_cannot_pay(sizes: list[int], dollars: float, expected: Claims) -> None:
    """A call that it can pay in part is split. An IMEI costs 8 cents, whose sums are no exact binary fractions."""
    assert choice(replace(batch(1, *sizes), price=0.08), dollars=dollars) == expected


def test_what_costs_nothing_needs_no_money_and_an_account_without_limit_pays_everything() -> None:
    assert choice(batch(1, 5, 5), dollars=0.0) == sends(101, 102)
    assert choice(replace(batch(1, 5, 5), price=0.08)) == sends(101, 102)


def test_the_money_of_an_account_is_shared_by_its_batches() -> None:
    batches = [replace(batch(number, 5, 5), price=0.08) for number in (1, 2)]
    assert choice(*batches, dollars=0.8) == sends(101, 201)
    assert choice(batches[0], batch(2, 5, 5), dollars=0.4) == sends(101, 201, 202)


# How long a call may be


@pytest.mark.parametrize(
    ("sizes", "proven", "expected"),
    [
        ([5, 5], 5, sends(101, 102)),
        ([5, 5], 7, sends(101, 102)),
        ([5, 5], 3, splits_first(101, 3, 3)),
        ([3, 5], 3, splits_first(102, 3, 3)),
        ([5], 1, splits_first(101, 1, 1)),
        ([1, 1, 1], 1, sends(101, 102, 103)),
        ([5, 5], 0, splits_first(101, 2, 5)),
        ([2, 3, 5], 0, sends(101)),
        ([6], 0, splits_first(101, 2, 5)),
        ([5], 0, splits_first(101, 1, 1)),
        ([2], 0, splits_first(101, 1, 1)),
        ([1], 0, sends(101)),
        ([1, 1, 5], 0, splits_first(103, 1, 1)),
        ([5, 5], 2, sends(101)),
        ([7, 5], 2, splits_first(101, 5, 5)),
        ([1, 5, 1, 5], 2, sends(101, 102, 103)),
    ],
)
def test_a_call_is_as_long_as_its_service_is_proven_for(sizes: list[int], proven: int, expected: Claims) -> None:
    """Two IMEIs prove that a list is read, then one full call proves the rest; each of these goes alone."""
    assert choice(batch(1, *sizes), proven=proven) == expected


@pytest.mark.parametrize("proven", [0, 2])
def test_a_list_waits_while_another_one_of_its_service_is_tried(proven: int) -> None:
    """Calls of one IMEI and lists of another service go on."""
    batches = [batch(1, 2, 5), batch(2, 1, 1), batch(3, 5, service=OTHER)]
    found = choice(*batches, proven=proven, services_with_list=frozenset({SERVICE}))
    assert found == sends(201, 301, 202)


def test_a_list_of_another_batch_of_the_service_waits_too() -> None:
    assert choice(batch(1, 5), batch(2, 5), proven=2) == sends(101)


def test_proven_lists_go_beside_those_on_the_wire() -> None:
    assert choice(batch(1, 5, 5), services_with_list=frozenset({SERVICE})) == sends(101, 102)


def test_a_service_without_a_proof_counts_as_not_tried() -> None:
    assert choose_claims(Snapshot((batch(1, 5, 5),), 4, 5, {})) == splits_first(101, 2, 5)


def test_the_pieces_of_a_split_follow_their_chunk() -> None:
    """The choice after the split takes them before the next chunk of the batch."""
    snapshot = Snapshot((batch(1, 5, 5), batch(2, 5)), 9, 5, {SERVICE: 3})
    assert choose_claims(snapshot) == splits_first(101, 3, 3)
    again = snapshot.with_pieces(101, 3, [(900, 2)])
    assert again.batches[0].planned == ((101, 3), (900, 2), (102, 5))
    assert again.batches[1] == snapshot.batches[1]
    assert choose_claims(again) == splits_first(201, 3, 3)
    last = again.with_pieces(201, 3, [(901, 2)]).with_pieces(102, 3, [(902, 2)])
    assert choose_claims(last) == sends(101, 201, 900, 901, 102, 902)


def test_splits_end() -> None:
    """Whatever the sizes are, each split makes a chunk fit, and at last all of it is chosen."""
    for proven in range(6):
        snapshot, next_id = Snapshot((batch(1, 9, 1, 14), batch(2, 5, 2)), 99, 5, {SERVICE: proven}), 1000
        while not (found := choose_claims(snapshot)).is_complete:
            [split] = found.splits
            size = next(size for b in snapshot.batches for chunk_id, size in b.planned if chunk_id == split.chunk_id)
            left = size - split.first
            assert left > 0
            sizes = [min(split.rest, left - start) for start in range(0, left, split.rest)]
            pieces = list(enumerate(sizes, next_id))
            next_id += len(pieces)
            snapshot = snapshot.with_pieces(split.chunk_id, split.first, pieces)
        assert len(found.chunk_ids) == len(set(found.chunk_ids)) > 0
        assert sum(size for b in snapshot.batches for _, size in b.planned) == 31


# What a batch in doubt holds back


@pytest.mark.parametrize(
    ("sizes", "may_send", "expected"),
    [
        ([5, 5], False, sends(101, 102, splits=(Split(102, 2, 1),))),
        ([5, 3], False, sends(101)),
        ([5, 3], True, sends(101, 102)),
        ([5, 2], False, sends(101, splits=(Split(101, 4, 1),))),
        ([5, 2], True, sends(101, splits=(Split(101, 4, 1),))),
        ([5, 1, 1, 1], False, sends(101)),
        ([1, 1, 1], False, sends()),
        ([1, 1, 1], True, sends(101)),
        ([3], False, sends()),
        ([4], False, sends(101, splits=(Split(101, 1, 1),))),
    ],
)
def test_a_batch_in_doubt_holds_its_last_imeis_back(sizes: list[int], may_send: bool, expected: Claims) -> None:
    """One of them is sent when its order can prove the provider's list fresh."""
    assert choice(batch(1, *sizes, in_doubt=True), may_send_canary=may_send) == expected


def test_only_the_batch_in_doubt_holds_something_back() -> None:
    assert choice(batch(1, 1, 1, in_doubt=True), batch(2, 1, 1)) == sends(201, 202)


def test_without_canaries_nothing_is_held_back() -> None:
    assert choice(batch(1, 5, 1, in_doubt=True), canaries=0) == sends(101, 102)


def test_what_is_held_back_is_found_again_after_the_split_of_another_batch() -> None:
    """The first choice asks for one split only; nothing of the batch in doubt is decided before it."""
    doubtful, too_long = batch(1, 4, in_doubt=True), batch(2, 7)
    assert choice(doubtful, too_long) == splits_first(201, 5, 5)
    cut = Snapshot((doubtful, too_long), 4, 5, {SERVICE: 5}, canaries=3).with_pieces(201, 5, [(900, 2)])
    assert choose_claims(cut) == sends(101, 201, 900, splits=(Split(101, 1, 1),))
