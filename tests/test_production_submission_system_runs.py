"""A list from its first call to the result that its caller gets, and what a process finds that follows another one."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from handmade_calls import one
from loop_scenes import next_life
from provider_model import Clock, Model, ModelClient, Wire
from simulated_provider import SERVICE, imeis
from stepped_loop import CALL, Loop, batch, ready

import production_submission_system
from database import IMEIDatabase
from gsm_fusion_client import Keep
from orders import PlacementAnswer, Progress, ServiceInfo, order_key
from production_submission_system import ProductionSubmissionSystem
from simulator.knobs import Knobs
from storage.batch_creation import NewBatch, create_batch, fingerprint
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options
from submission.throttle import Throttle


class AtOnce(Wire):
    """Every call is let through as it is handed over."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        super().submit(fn, *args)
        self.let_through()
        return Future()


class Ticking(Clock):
    """A tenth of a second passes whenever somebody asks for the time."""

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


class Noting(ModelClient):
    """Notes the optional fields of each paid call, and how often the services were asked for."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, lambda numbers: self.sent.append(list(numbers)))
        self.sent: list[list[str]] = []
        self.fields: list[dict[str, str]] = []
        self.services_asked = 0

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Keep | None = None, **fields: str
    ) -> PlacementAnswer:
        self.fields.append(fields)
        return super().place_imei_order(imei, network_id, keep=keep)

    def get_imei_services(self) -> list[ServiceInfo]:
        self.services_asked += 1
        return super().get_imei_services()


class Whole:
    """The system on a provider that answers at once; whole lists are handed in."""

    def __init__(self, database: IMEIDatabase, folder: Path, clock: Clock | None = None, **options: Any) -> None:
        self.clock = clock or Clock()
        self.model = Model(Knobs(history=1, duplicates="never"), self.clock)
        self.client = Noting(self.model)
        self.checkpoints = Checkpoints(folder)
        self.threads: list[int] = []  #: how many were asked for, by each run
        self.system = ProductionSubmissionSystem(
            database,
            self.client,
            self.checkpoints,
            Options(**{"workers": 3, "chunk_size": 2, "poll": 0.0, "canaries": 1, "pool": self._pool, **options}),
            clock=self.clock,
        )

    def _pool(self, count: int) -> AtOnce:
        self.threads.append(count)
        return AtOnce(self.clock)


@pytest.fixture
def whole(database: IMEIDatabase, tmp_path: Path) -> Iterator[Whole]:
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    running = Whole(database, tmp_path / "kept")
    with closing(running.checkpoints):
        yield running


def test_a_list_becomes_a_batch_at_the_providers_price(database: IMEIDatabase, whole: Whole) -> None:
    """Label, source, service and price of the batch, the row of each IMEI, and the length of each call."""
    seen: list[Progress] = []
    result = whole.system.submit_batch(imeis(5), SERVICE, seen.append, "stock")
    service = database.get_service(SERVICE)
    assert service is not None
    assert one(database, "SELECT label, source, service_id, service_name, unit_price FROM batches") == (
        "stock",
        "command",
        SERVICE,
        service.title,
        service.price,
    )
    assert one(database, "SELECT group_concat(source_row) FROM items") == "1,2,3,4,5"
    assert [len(numbers) for numbers in whole.client.sent] == [2, 2, 1]
    assert (result.state, result.total, result.successful) == ("finished", 5, 5)
    assert 0 <= result.duration < 60
    assert seen[-1].done == 5


def test_a_list_without_a_label_is_named_after_the_call(database: IMEIDatabase, whole: Whole) -> None:
    """The label that a batch of the command line has, and no callback, are the defaults."""
    whole.system.submit_batch(imeis(1), SERVICE)
    assert one(database, "SELECT label FROM batches") == "submit_batch"


def test_the_same_list_again_continues_its_batch(database: IMEIDatabase, whole: Whole) -> None:
    """A batch that was stopped before its first call goes on, and another list makes another batch."""
    stopped = threading.Event()
    stopped.set()
    listed = [(imei, row) for row, imei in enumerate(imeis(4), 1)]
    same = fingerprint(SERVICE, imeis(4))
    new = NewBatch("x", "command", SERVICE, "T-Mobile", 0.08, listed, fingerprint=same)
    batch_id = create_batch(database, new, 2)
    assert whole.system.run_batch(batch_id, stop=stopped).waiting == 4
    assert whole.client.sent == []
    assert whole.system.submit_batch(imeis(4), SERVICE).batch_id == batch_id
    assert whole.system.submit_batch(imeis(4, first=50), SERVICE).batch_id != batch_id


def test_the_services_are_asked_for_once(database: IMEIDatabase, whole: Whole) -> None:
    """A service that is not stored is looked for at the provider, and its list is stored with the time of now."""
    whole.system.submit_batch(imeis(1), SERVICE)
    whole.system.submit_batch(imeis(1, first=50), SERVICE)
    assert whole.client.services_asked == 1
    age = one(database, "SELECT julianday('now') - 2440587.5 - max(refreshed_at) / 86400 FROM services")
    assert abs(age) < 1


def test_a_service_that_the_provider_does_not_have_is_refused(database: IMEIDatabase, whole: Whole) -> None:
    """Nothing is written of it."""
    with pytest.raises(ValueError, match=r"^The provider has no service 999999\.$"):
        whole.system.submit_batch(imeis(1), "999999")
    assert one(database, "SELECT count(*) FROM batches") == 0


def test_a_service_that_needs_more_than_an_imei_is_refused(database: IMEIDatabase, whole: Whole) -> None:
    """The sentence names what it needs."""
    database.store_services([ServiceInfo(SERVICE, "Unlock", 0.1, required_fields=("Model", "Network"))], 0.0)
    with pytest.raises(ValueError, match=r"^Unlock needs more than an IMEI: Model, Network\.$"):
        whole.system.submit_batch(imeis(1), SERVICE)


def test_a_single_order_carries_a_key_of_ours_where_that_is_wished(database: IMEIDatabase, tmp_path: Path) -> None:
    """A list has none: the provider would take it for the key of one order."""
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    running = Whole(database, tmp_path / "kept", send_order_key=True)
    with closing(running.checkpoints):
        running.system.submit_batch(imeis(3), SERVICE)
    item_id, imei = one(database, "SELECT id, imei FROM items ORDER BY id DESC LIMIT 1")
    assert running.client.fields == [{}, {"orderId": order_key(database.install_id(), item_id, imei, SERVICE)}]


def test_a_single_order_carries_no_key_by_itself(whole: Whole) -> None:
    """The optional field is sent only where the settings say so."""
    whole.system.submit_batch(imeis(1), SERVICE)
    assert whole.client.fields == [{}]


@pytest.mark.parametrize(("answers", "patience"), [("off", 30.0), ("on", 0.1)])
def test_doubt_is_waited_for_no_longer_than_it_may_settle(
    database: IMEIDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, patience: float
) -> None:
    """Shortly where the provider lists no order, and not longer than the options say."""
    monkeypatch.setattr(production_submission_system, "PATIENCE_FOR_PERSON", 0.1)
    running = Whole(database, tmp_path / "kept", Ticking(), patience=patience)
    running.model.list_is_down = answers == "off"
    running.model.next.fault = "lost before"
    with closing(running.checkpoints):
        result = running.system.submit_batch(imeis(1), SERVICE)
    assert (result.state, result.in_doubt) == ("finished", 1)
    assert 0.1 <= result.duration < 10


def test_a_run_ends_with_its_batch(database: IMEIDatabase, tmp_path: Path) -> None:
    """Others run along until then; the rest of them is left to a later run."""
    running = Whole(database, tmp_path / "kept", workers=1)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    first, second = (
        create_batch(
            database, NewBatch("x", "command", SERVICE, "T-Mobile", 0.08, [(imei, None) for imei in numbers]), 2
        )
        for numbers in (imeis(2), imeis(40, first=50))
    )
    with closing(running.checkpoints):
        assert running.system.run_batch(first).successful == 2
        assert len(running.client.sent) <= 3
        assert running.system.run_batch(second).successful == 40


def test_a_turn_follows_at_once_when_something_has_come(database: IMEIDatabase, tmp_path: Path) -> None:
    """The balance and each answer end the wait of the loop, however long it is."""
    running = Whole(database, tmp_path / "kept", poll=20.0, workers=1)
    with closing(running.checkpoints):
        result = running.system.submit_batch(imeis(4), SERVICE)
    assert result.successful == 4
    assert result.duration < 10


def test_each_worker_has_a_thread_and_looks_have_another(whole: Whole) -> None:
    """A look at the list must not wait until a call has ended."""
    whole.system.submit_batch(imeis(1), SERVICE)
    assert whole.threads == [3 + 1]


def test_the_next_process_names_itself_as_the_holder_of_the_lease(loop: Loop) -> None:
    """Process, host and the place of the database, by which a copy is recognised."""
    ready(loop)
    holder = one(loop.database, "SELECT holder FROM leases")
    assert holder == f"process {os.getpid()} on {socket.gethostname()}"
    assert one(loop.database, "SELECT place FROM leases") == loop.database.engines.place
    loop.close()
    with closing(next_life(loop)) as after:
        ready(after)
        assert one(loop.database, "SELECT number FROM leases") == 2
        assert not after.system.was_overtaken


def test_what_waited_for_the_end_of_maintenance_goes_on_with_the_next_process(loop: Loop) -> None:
    """The process that would have resumed it is gone."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="maintenance")
    assert loop.states()[0][0] == "paused"
    loop.close()
    with closing(next_life(loop)) as after:
        after.step(2)
        after.let_all()
        assert after.outcomes(batch_id) == ["ordered"] * 2


def test_calls_of_the_last_minute_count_for_the_limit_of_the_next_process(loop: Loop) -> None:
    """A process that starts again and again must not send more than the limit allows."""
    ready(loop)
    batch(loop, 6)
    loop.step(3)
    loop.let_all()
    loop.close()
    limited = Throttle(4, 8, clock=loop.clock)
    with closing(next_life(loop, throttle=limited)) as after:
        after.step()
        assert limited._left(after.clock.now) == 8 - 2 - 3
        after.clock.now += 61.1
        assert limited._left(after.clock.now) == 8 - 2
