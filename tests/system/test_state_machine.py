"""The promise as a state machine: the real loop, database, checkpoints and settlement against a model of the provider.

Hypothesis draws what people do, what the provider does wrong, how time passes and where the process dies. After every
step the provider's ledger is the judge. Two negative controls must be caught by the same machine.
"""

import logging
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from provider_model import (
    DEATHS,
    SILENT,
    SPOILED,
    STOPS,
    TURNED_AWAY,
    Clock,
    Disturbance,
    Killed,
    Late,
    Model,
    ModelClient,
    Process,
    Wire,
)
from simulated_provider import OLD_ORDER, SERVICE, imeis, threads_of

import production_submission_system
from database import IMEIDatabase, Transaction
from gsm_fusion_client import Keep, OutcomeUnknownError
from orders import BatchState, Chunk, ChunkState, Outcome, PlacementAnswer
from production_submission_system import ProductionSubmissionSystem
from simulator.knobs import Knobs
from storage import batch_states, call_queries, chunk_moves, doubt_moves
from storage.batch_creation import NewBatch, create_batch, fingerprint
from submission.checkpoints import Checkpoints
from submission.decisions import ask_again, was_not_placed, was_placed
from submission.listing import Look
from submission.options import Options
from submission.settlement import Settler

POOL = imeis(10)
SPARE = imeis(9, first=500)
QUIET = 60.0
DEADLINE = 100.0
OPTIONS = Options(workers=2, chunk_size=3, settle_quiet=QUIET, call_timeout=DEADLINE, poll=0.0, canaries=1)
#: A disk in memory where there is one: the machine is about order, not about fsync.
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None

MACHINE = settings(
    max_examples=100,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)

ITEMS = "SELECT i.id, i.batch_id, i.imei, i.outcome, c.state FROM items i LEFT JOIN chunks c ON c.id = i.chunk_id"
BATCHES = (
    "SELECT b.id, b.total, b.state, (SELECT count(*) FROM items i WHERE i.batch_id = b.id),"
    " (SELECT count(*) FROM chunks c WHERE c.batch_id = b.id AND c.state IN ('planned', 'sending')) FROM batches b"
)
ON_THE_WIRE = "SELECT i.imei FROM items i JOIN chunks c ON c.id = i.chunk_id WHERE c.state = 'sending'"
#: state of a chunk → what may be said of the IMEIs in it.
ALLOWED = {
    ChunkState.PLANNED: {Outcome.WAITING},
    ChunkState.SENDING: {Outcome.WAITING},
    ChunkState.IN_DOUBT: set(Outcome) - {Outcome.WAITING},
    ChunkState.ANSWERED: set(Outcome) - {Outcome.WAITING, Outcome.IN_DOUBT},
    ChunkState.CANCELLED: {Outcome.CANCELLED},
    None: {Outcome.DUPLICATE},
}

disturbances = st.one_of(
    st.builds(Disturbance, fault=st.sampled_from(SILENT), delay=st.floats(0.5, DEADLINE + QUIET - 1).map(round)),
    st.builds(Disturbance, fault=st.sampled_from(TURNED_AWAY + SPOILED)),
    st.builds(Disturbance, words=st.sampled_from(STOPS), placed=st.integers(0, 2)),
)


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual manner three times in four."""
    return st.sampled_from([usual] * 3 * len(others) + list(others))


providers = st.fixed_dictionaries(
    {
        "duplicates": st.sampled_from(["never", "always", "pending"]),
        "duplicate_style": st.sampled_from(["per_imei", "whole_call", "whole_call_clean"]),
        "all_known": st.sampled_from(["error", "list"]),
        "comma_list": st.sampled_from(["all", "all", "last", "first", "charge_all_report_last"]),
        "first_n": st.integers(1, 2),
        "listing": st.sampled_from(["on", "on", "lagging", "off", "empty"]),
        "listing_lag": st.sampled_from([5.0, 30.0]),
        "listing_limit": st.sampled_from([0, 0, 3]),
        "package_as": st.sampled_from(["title", "id"]),
        "listing_holes": mostly("", "open_only", "no_in_process", "newest_per_service", "newest_changed"),
        "late_share": mostly(0.0, 0.5),
        "late_seconds": st.sampled_from([100.0, 1000.0]),
        "list_cache": mostly(0.0, 30.0, 400.0),
        "balance_cache": mostly(0.0, 30.0, 400.0),
        "accountinfo": mostly("on", "off"),
        "imei_style": mostly("plain", "blanks", "dashes", "masked", "body"),
        "date_style": mostly("iso", "us", "day_first", "none"),
        "turnaround": st.sampled_from([0.0, 0.0, 120.0]),
        "history": st.just(1),
    }
)
which = st.integers(0, 9)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A migrated, empty database, to be copied for each run."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        path = Path(folder) / "template.db"
        with IMEIDatabase(path) as empty:
            model = Model(Knobs(), Clock())
            empty.store_services(ModelClient(model, lambda _: None).get_imei_services(), 0.0)
        Promise.template = path
        logging.disable(logging.ERROR)  # thousands of foreseen warnings
        yield path
        logging.disable(logging.NOTSET)


class Promise(RuleBasedStateMachine):
    """What may happen, and what must hold after it."""

    template: ClassVar[Path]
    client_class: ClassVar[type[ModelClient]] = ModelClient
    settler_class: ClassVar[type[Settler]] = Settler

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=FOLDER))
        shutil.copy(self.template, self.folder / "imei_orders.db")
        (self.folder / "checkpoints").mkdir()
        (self.folder / "checkpoints" / "ballast").touch()  # 8 MB a run would be slow
        self.database = IMEIDatabase(self.folder / "imei_orders.db")
        self.reader = sqlite3.connect(self.folder / "imei_orders.db", isolation_level=None, check_same_thread=False)
        self.clock = Clock()
        self.process: Process | None = None
        self.elders: list[tuple[Process, Wire]] = []  #: runners that were overtaken, and what they have on the wire
        self.lists: list[list[str]] = []
        self.batches: list[int] = []
        self.rechecks: Counter[str] = Counter()
        self.sound = True

    @initialize(knobs=providers, count=st.integers(1, 9))
    def open(self, knobs: dict[str, Any], count: int) -> None:
        self.model = Model(Knobs(**knobs), self.clock)
        self.put_in_use()
        self.create(POOL[:count])

    def put_in_use(self) -> None:
        """The account has ordered before."""
        with self.database.write() as connection:
            old = (OLD_ORDER, "359999000000000", SERVICE, "Completed", 0)
            columns = "order_id, imei, service_id, status, attempt_id"
            connection.exec_driver_sql(f"INSERT INTO orders ({columns}) VALUES (?, ?, ?, ?, ?)", old)

    # What people do

    @rule(first=st.integers(0, 8), count=st.integers(1, 7), recheck=st.booleans())
    def submit(self, first: int, count: int, recheck: bool) -> None:
        self.create(POOL[first : first + count], recheck)

    @rule(index=which)
    def submit_again(self, index: int) -> None:
        wanted = self.lists[index % len(self.lists)]
        name = fingerprint(SERVICE, wanted)
        unfinished, doubtful = (
            self.rows(f"SELECT id FROM batches b WHERE fingerprint = ? AND {condition}", name)
            for condition in (
                "state != 'finished'",
                "state = 'finished' AND EXISTS"
                " (SELECT 1 FROM items i WHERE i.batch_id = b.id AND outcome = 'in_doubt')",
            )
        )
        batch_id = self.create(wanted)
        assert not unfinished or (batch_id,) in unfinished, "an unfinished list made a second batch"
        sends = self.rows("SELECT 1 FROM items WHERE batch_id = ? AND outcome = 'waiting'", batch_id)
        assert not doubtful or (batch_id,) in doubtful or sends, "a list in doubt made a batch that sends nothing"

    @rule(index=which, move=st.sampled_from(["pause", "resume", "resume", "cancel"]))
    def move_batch(self, index: int, move: str) -> None:
        batch_id = self.batches[index % len(self.batches)]
        with self.database.write() as connection:
            if move == "pause":
                batch_states.pause(connection, batch_id, "paused by a person")
            elif move == "resume":
                batch_states.resume(connection, batch_id)
            else:
                chunk_moves.cancel_rest(connection, batch_id)

    @rule(index=which)
    def a_person_looks(self, index: int) -> None:
        """Somebody looks an IMEI in doubt up on the provider's site, and says the truth."""
        doubtful = [(row[0], row[2]) for row in self.rows(ITEMS) if row[3] == Outcome.IN_DOUBT]
        if not doubtful:
            return
        item_id, imei = doubtful[index % len(doubtful)]
        known = {row[0] for row in self.rows("SELECT order_id FROM orders")}
        unknown = [str(c.order_id) for c in self.model.charges if c.imei == imei and str(c.order_id) not in known]
        if unknown:
            was_placed(self.database, item_id, unknown[0])
        elif not any(imei in late.imeis for late in self.model.late) and imei not in self.with_elders():
            was_not_placed(self.database, [item_id], 0.0)

    @rule()
    def ask_the_list_now(self) -> None:
        ask_again(self.database)

    @rule()
    def results_come(self) -> None:
        """Every order gets its result, and we learn of it: from then on a recheck may be asked for."""
        self.model.provider.complete()
        for (order_id,) in self.rows("SELECT order_id FROM orders WHERE status != 'Completed'"):
            self.database.update_order_status(order_id, "Completed")

    # What the program and the provider do

    @rule()
    def step(self) -> None:
        self.alive().step()
        self.clock.now += 0.01

    @rule(steps=st.integers(1, 4))
    def work(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            while self.wire.waiting:
                self.wire.let_through()
        self.step()

    @precondition(lambda self: self.process and self.wire.waiting)
    @rule(index=which)
    def answer(self, index: int) -> None:
        self.wire.let_through(index % len(self.wire.waiting))

    @rule(index=which, wrong=disturbances)
    def disturb(self, index: int, wrong: Disturbance) -> None:
        """The next call goes wrong; it is made now where one waits."""
        self.model.next = wrong
        self.step()
        if self.wire.waiting:
            self.wire.let_through(index % len(self.wire.waiting))

    @rule(down=st.booleans())
    def the_list_fails_or_recovers(self, down: bool) -> None:
        self.model.list_is_down = down

    @rule(seconds=st.sampled_from([1.0, 10.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.pass_time(seconds)

    @precondition(lambda self: self.process)
    @rule(fates=st.lists(st.sampled_from(["never sent", "charged", "late", "much later"]), min_size=3, max_size=3))
    def die(self, fates: list[str]) -> None:
        """Kill the process: between intent and call, or between answer and commit. What is on the wire lives on."""
        calls = [args[0] for _, args in self.wire.waiting if args and isinstance(args[0], Chunk)]
        for chunk, fate in zip(calls, fates, strict=False):
            if fate != "never sent":
                sent = tuple(item.imei for item in chunk.items)
                seconds = {"charged": 0, "late": 5, "much later": DEADLINE + QUIET - 1}[fate]
                self.model.late.append(Late(self.clock() + seconds, sent, chunk.service_id))
        self.bury()
        self.model.pass_time(0.0)

    @precondition(lambda self: self.process and self.wire.waiting)
    @rule(index=which, death=st.sampled_from(DEATHS), fault=st.sampled_from(["", "", "fewer", "truncated"]))
    def die_in_a_call(self, index: int, death: str, fault: str) -> None:
        self.model.next = Disturbance(fault=fault, death=death)
        try:
            self.wire.let_through(index % len(self.wire.waiting))
        except Killed:
            self.bury()
        self.model.next = Disturbance()

    @precondition(lambda self: self.process and not self.elders)
    @rule()
    def be_overtaken(self) -> None:
        """The lock file is deleted: another process becomes the runner while this one lives on."""
        assert self.process is not None
        self.elders.append((self.process, self.wire))
        self.process = None

    @precondition(lambda self: self.elders and self.elders[0][1].waiting)
    @rule(index=which, wrong=disturbances)
    def elder_is_answered(self, index: int, wrong: Disturbance) -> None:
        """The runner that was overtaken gets an answer, and takes its turn later."""
        self.model.next = wrong
        wire = self.elders[0][1]
        wire.let_through(index % len(wire.waiting))
        self.model.next = Disturbance()

    @precondition(lambda self: self.elders)
    @rule(index=which)
    def elder_moves(self, index: int) -> None:
        """The runner that was overtaken gets an answer, and takes a turn."""
        process, wire = self.elders[0]
        if wire.waiting:
            wire.let_through(index % len(wire.waiting))
        process.step()
        if process.has_ended:
            self.elders.clear()

    def with_elders(self) -> set[str]:
        """IMEIs that an overtaken runner has on the wire."""
        tasks = [args for _, wire in self.elders for _, args in wire.waiting]
        chunks = [args[0] for args in tasks if args and isinstance(args[0], Chunk)]
        return {item.imei for chunk in chunks for item in chunk.items}

    # What must hold

    def is_written(self, sent: Sequence[str]) -> None:
        """Called when a paid call is made."""
        written = {row[0] for row in self.rows(ON_THE_WIRE)}
        assert self.elders or written >= set(sent), "an IMEI was sent before its intent was written"

    @invariant()
    def a_look_alone_is_alone(self) -> None:
        """No paid call of the same process waits beside it."""
        tasks = self.wire.waiting if self.process is not None else []
        is_alone = any(call.__name__ == "_look" and args[1] for call, args in tasks)
        paid = [args[0] for _, args in tasks if args and isinstance(args[0], Chunk)]
        assert not (is_alone and paid), "a call is on the wire beside a look alone"

    @invariant()
    def the_promise_holds(self) -> None:
        self.sound, sound = False, self.sound
        items = self.rows(ITEMS)
        orders = self.rows(
            "SELECT order_id, imei, service_id, batch_id, existed FROM orders WHERE order_id != ?", OLD_ORDER
        )
        self.nothing_is_charged_twice()
        self.every_charge_is_known(items, orders)
        self.every_order_was_charged(items, orders)
        self.every_item_has_one_outcome(items)
        self.sound = sound

    def nothing_is_charged_twice(self) -> None:
        for (imei, _), count in Counter((charge.imei, charge.service_id) for charge in self.model.charges).items():
            assert count <= 1 + self.rechecks[imei], f"{imei} was charged twice"

    def every_charge_is_known(self, items: list[Any], orders: list[Any]) -> None:
        known = {(row[0], row[1], row[2]) for row in orders}
        open_ones = {row[2] for row in items if row[3] == Outcome.IN_DOUBT or row[4] == ChunkState.SENDING}
        for charge in self.model.charges:
            ours = (str(charge.order_id), charge.imei, charge.service_id) in known
            assert ours or charge.imei in open_ones, f"the charge of {charge.imei} is lost"

    def every_order_was_charged(self, items: list[Any], orders: list[Any]) -> None:
        ledger = {(str(charge.order_id), charge.imei, charge.service_id) for charge in self.model.charges}
        placed = Counter((row[1], row[3]) for row in orders if not row[4])
        for order_id, imei, service_id, _, _ in orders:
            assert (order_id, imei, service_id) in ledger, f"order {order_id} of {imei} was never charged"
        ordered = Counter((row[2], row[1]) for row in items if row[3] == Outcome.ORDERED)
        assert ordered == placed, "items that are ordered, and orders, differ"

    def every_item_has_one_outcome(self, items: list[Any]) -> None:
        for _, _, imei, outcome, state in items:
            assert Outcome(outcome) in ALLOWED[state and ChunkState(state)], f"{imei} is {outcome}, its chunk {state}"
        for batch_id, total, state, counted, unsent in self.rows(BATCHES):
            assert counted == total, f"batch {batch_id} has {counted} outcomes of {total}"
            assert state != BatchState.FINISHED or not unsent, f"batch {batch_id} is finished and has chunks to send"

    def teardown(self) -> None:
        try:
            if self.sound:
                self.everything_settles()
        finally:
            self.bury()
            self.bury_elders()
            self.reader.close()
            self.database.close()
            shutil.rmtree(self.folder)

    def everything_settles(self) -> None:
        """Without faults, with time, and with one small order where it is needed, nothing stays open."""
        self.model.list_is_down, self.model.next = False, Disturbance()
        self.step()  # whoever was overtaken learns of it
        while self.elders:
            self.elder_moves(0)
        whole = self.is_honest()
        for turn in range(90 if whole else 12):
            for (batch_id,) in self.rows("SELECT id FROM batches WHERE state = 'paused'"):
                with self.database.write() as connection:  # what was said last may have paused it
                    batch_states.resume(connection, batch_id)
            self.work(1)
            self.model.pass_time(20.0)
            left = Counter(row[3] for row in self.rows(ITEMS) if row[3] in (Outcome.WAITING, Outcome.IN_DOUBT))
            if not left and not self.model.late:
                break
            if left[Outcome.IN_DOUBT] and turn % 10 == 9:
                self.create([SPARE[turn // 10]])  # the next batch of the day
        self.the_promise_holds()
        assert not (whole and left[Outcome.WAITING]), "the list shows everything, and an IMEI was never sent"
        assert not (whole and left[Outcome.IN_DOUBT]), "the list shows everything, and an IMEI stays in doubt"

    def is_honest(self) -> bool:
        """Whether the provider's list and balance show everything, sooner or later."""
        knobs = self.model.knobs
        shows = knobs.listing in ("on", "lagging") and not (knobs.listing_limit or knobs.listing_holes)
        prompt = not (knobs.late_share or knobs.list_cache or knobs.balance_cache)
        return shows and prompt and knobs.accountinfo == "on" and knobs.imei_style in ("plain", "blanks", "dashes")

    # Tools

    def create(self, wanted: list[str], recheck: bool = False) -> int:
        before = set(self.batches)
        batch_id = create_batch(
            self.database,
            NewBatch(
                label="list",
                source="paste",
                service_id=SERVICE,
                service_name="Service",
                unit_price=0.08,
                imeis=[(imei, row) for row, imei in enumerate(wanted, 1)],
                fingerprint=fingerprint(SERVICE, wanted),
                recheck=recheck,
            ),
            OPTIONS.chunk_size,
        )
        if batch_id not in before:
            self.batches.append(batch_id)
            self.lists.append(wanted)
            if recheck:
                self.rechecks.update(row[2] for row in self.rows(f"{ITEMS} WHERE c.batch_id = ?", batch_id))
        return batch_id

    def alive(self) -> Process:
        if self.process is None:
            self.wire = Wire(self.clock)
            with patch.object(production_submission_system, "Settler", self.settler_class):
                system = ProductionSubmissionSystem(
                    self.database,
                    self.client_class(self.model, self.is_written),
                    Checkpoints(self.folder / "checkpoints"),
                    replace(OPTIONS, pool=lambda _: self.wire),
                    clock=self.clock,
                )
            self.process = Process(system)
        return self.process

    def bury_elders(self) -> None:
        for process, _ in self.elders:
            process.kill()
            threads_of(process.system).checkpoints.close()
        self.elders.clear()

    def bury(self) -> None:
        if self.process is not None:
            self.process.kill()
            threads_of(self.process.system).checkpoints.close()
            self.process = None

    def rows(self, query: str, *given: Any) -> list[Any]:
        return list(self.reader.execute(query, given))


def test_the_promise_holds_whatever_happens_in_whatever_order(template: Path) -> None:
    run_state_machine_as_test(Promise, settings=MACHINE)


# Negative controls


class ResendingClient(ModelClient):
    """What everybody writes first: a paid call is sent again when no answer came."""

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Keep | None = None, **fields: str
    ) -> PlacementAnswer:
        try:
            return super().place_imei_order(imei, network_id, keep=keep)
        except OutcomeUnknownError:
            return super().place_imei_order(imei, network_id, keep=keep)


class HastySettler(Settler):
    """Sends again whatever the list does not show at the first look."""

    def apply(self, connection: Transaction, look: Look, may_repeat: bool = False) -> int | None:
        piece = super().apply(connection, look, may_repeat)
        for chunk in call_queries.open_chunks(connection, ChunkState.IN_DOUBT):
            if piece is None:
                piece = doubt_moves.repeat(connection, chunk, [item.item_id for item in chunk.items], "sent again")
        return piece


class Control(Promise):
    """Against a provider that refuses no IMEI, so that what is sent twice is paid twice."""

    @initialize(count=st.integers(1, 9))
    def open(self, count: int) -> None:
        self.model = Model(Knobs(duplicates="never", history=1), self.clock)
        self.put_in_use()
        self.create(POOL[:count])

    def is_honest(self) -> bool:
        """No: the balance shows what was paid twice, so that doubt stays. Only a broken promise ends the search."""
        return False


class Resending(Control):
    client_class = ResendingClient


class Hasty(Control):
    settler_class = HastySettler


@pytest.mark.parametrize("machine", [Resending, Hasty])
def test_the_machine_catches_a_program_that_pays_twice(machine: type[Promise], template: Path) -> None:
    """The search ends at the first run that is caught, mostly within 50.

    What Hypothesis draws depends on the constants of every module that the process has imported: a small number of
    runs may miss it.
    """
    until_caught = settings(MACHINE, max_examples=2000, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=r"charged twice|is lost"):
        run_state_machine_as_test(machine, settings=until_caught)


@pytest.mark.parametrize(("machine", "fault"), [(Resending, "lost after"), (Hasty, "late")])
def test_a_program_that_pays_twice_is_caught_in_a_short_run(machine: type[Promise], fault: str, template: Path) -> None:
    """Without a search: one IMEI, one call without an answer, and time for the list to be read."""
    run = machine()
    try:
        run.open(count=1)
        run.disturb(0, Disturbance(fault=fault, delay=20.0))
        with pytest.raises(AssertionError, match=r"charged twice|is lost"):
            for _ in range(30):
                run.work(1)
                run.time_passes(1.0)
                run.the_promise_holds()
    finally:
        run.sound = False
        run.teardown()
