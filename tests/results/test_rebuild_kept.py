"""Orders that kept answers name: believed where the provider or the batch confirms them, and never guessed."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pending_orders import NOTHING, UNREADABLE
from sample_files import imeis
from stored_orders import all_orders

from database import IMEIDatabase
from gsm_fusion_client import NotSentError
from orders import Chunk, IMEIOrder, ServiceInfo
from results.rebuild import RebuildPlan, plan_rebuild, read_kept, rebuild_records
from settings import MAIN_ACCOUNT
from storage.audit_store import FROM_ANSWER, FROM_LIST, KeptOrder
from storage.batch_creation import NewBatch, create_batch
from submission import Checkpoints

ONE, TWO, THREE = imeis(3)
CHECK = ServiceInfo("269", "Status Check", 0.08, "Instant", "Network")
STRANGE = 77  #: a batch that the database does not have


class Answerer:
    """A provider that lists some orders, and knows others by id."""

    def __init__(self, listed: Sequence[IMEIOrder] = (), known: Sequence[IMEIOrder] = ()) -> None:
        self.listed, self.known = list(listed), {order.id: order for order in known}
        self.asked: list[list[str]] = []
        self.failure: Exception | None = None

    def get_imei_services(self) -> list[ServiceInfo]:
        return [CHECK]

    def list_recent_orders(self) -> list[IMEIOrder]:
        return self.listed

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        self.asked.append(list(order_ids))
        if self.failure:
            raise self.failure
        return [self.known[order_id] for order_id in order_ids if order_id in self.known]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "answers")


def keep(checkpoints: Checkpoints, raw: str, batch_id: int = STRANGE, chunk_id: int = 900) -> None:
    checkpoints.keep(Chunk(chunk_id, batch_id, "269", 1, 1, ()), raw.encode())


def answer(*pairs: tuple[str, str]) -> str:
    """The answer to a call that placed these orders, by id and IMEI."""
    orders = (
        f"<imeis><id>{order_id}</id><imei>{imei}</imei><status>Pending</status></imeis>" for order_id, imei in pairs
    )
    return f"<result>{''.join(orders)}</result>"


def batch_of(database: IMEIDatabase, *numbers: str) -> int:
    """A batch of an older copy of the database: nothing of it is sent."""
    new = NewBatch("b", "upload", "269", "Old name", 0.05, [(imei, None) for imei in numbers])
    return create_batch(database, new)


def planned(database: IMEIDatabase, provider: Answerer, checkpoints: Checkpoints) -> RebuildPlan:
    return plan_rebuild(database, provider, checkpoints, MAIN_ACCOUNT)


def ids(orders: Sequence[KeptOrder]) -> list[str]:
    return [order.order_id for order in orders]


def test_orders_beyond_the_list_are_asked_for_by_id_and_restored_as_the_provider_has_them(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    keep(checkpoints, answer(("11", ONE), ("12", TWO), ("13", THREE)))
    listed = IMEIOrder("13", THREE, "Pending", service_id="Status Check", requested_at="2026-11-03 04:05:06")
    known = [IMEIOrder(number, imei, "Completed", "Model: A", "269") for number, imei in (("11", ONE), ("12", TWO))]
    provider = Answerer([listed], known)
    plan = planned(database, provider, checkpoints)
    assert provider.asked == [["11", "12"]]
    report = plan.report
    assert (report.listed, report.known, report.answers, ids(report.kept)) == (1, 0, 1, ["11", "12", "13"])
    assert (report.missing, report.damaged, report.error, report.complete) == ((), (), "", True)
    assert (report.oldest, report.unnamed_service, report.unusable) == ("2026-11-03 04:05:06", 0, 0)
    shown = ("order_id", "imei", "service_id", "status", "credits", "notes", "account")
    assert [tuple(row[name] for name in shown) for row in plan.rows] == [
        ("11", ONE, "269", "Completed", 0.08, FROM_ANSWER, MAIN_ACCOUNT),
        ("12", TWO, "269", "Completed", 0.08, FROM_ANSWER, MAIN_ACCOUNT),
        ("13", THREE, "269", "Pending", 0.08, FROM_ANSWER, MAIN_ACCOUNT),
    ]
    done = rebuild_records(database, plan)
    assert (done.restored.new, done.missing, done.complete) == (3, (), True)
    assert {row["order_id"]: row["model"] for row in all_orders(database)} == {"11": "A", "12": "A", "13": None}
    assert planned(database, provider, checkpoints).rows == []


def test_an_order_that_only_the_answer_names_needs_the_batch_that_asked_for_it(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    """Its service and price are those of the batch; an IMEI that the batch does not hold is not believed."""
    batch_id = batch_of(database, ONE)
    keep(checkpoints, answer(("11", ONE), ("12", TWO)), batch_id)
    provider = Answerer()
    provider.failure = NOTHING
    plan = planned(database, provider, checkpoints)
    [row] = plan.rows
    assert (row["order_id"], row["service_id"], row["service_name"], row["credits"]) == ("11", "269", "Old name", 0.05)
    assert (row["status"], row["order_date"] is not None) == ("Pending", True)
    assert (ids(plan.report.missing), plan.report.error, plan.report.complete) == (["12"], "", False)
    assert ids(rebuild_records(database, plan).missing) == ["12"]


def test_an_order_of_an_unknown_batch_has_no_service_and_stays_missing(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    keep(checkpoints, answer(("11", ONE)))
    plan = planned(database, Answerer(), checkpoints)
    assert [(row["order_id"], row["service_id"]) for row in plan.rows] == [("11", None)]
    assert (plan.report.unnamed_service, ids(plan.report.missing)) == (1, ["11"])


def test_an_id_that_answers_give_to_two_imeis_is_believed_as_the_provider_reports_it(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    batch_id = batch_of(database, ONE, TWO)
    keep(checkpoints, answer(("11", ONE)), batch_id)
    keep(checkpoints, answer(("11", TWO)), batch_id, chunk_id=901)
    assert planned(database, Answerer(), checkpoints).rows == []
    sure = Answerer(known=[IMEIOrder("11", TWO, "Pending", service_id="269")])
    assert [row["imei"] for row in planned(database, sure, checkpoints).rows] == [TWO]
    masked = Answerer(known=[IMEIOrder("11", "", "Pending", service_id="269")])
    assert planned(database, masked, checkpoints).rows == []


def test_a_masked_order_of_the_provider_gets_the_imei_of_the_answer(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    keep(checkpoints, answer(("11", ONE)))
    provider = Answerer(known=[IMEIOrder("11", "", "In Process", service_id="269")])
    [row] = planned(database, provider, checkpoints).rows
    assert (row["imei"], row["status"], row["service_id"]) == (ONE, "In Process", "269")


def test_the_service_of_the_provider_outweighs_that_of_a_batch_whose_number_is_used_again(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    keep(checkpoints, answer(("11", ONE)), batch_of(database, ONE))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET service_id = '5'")
    provider = Answerer(known=[IMEIOrder("11", ONE, "Pending", service_id="status check ")])
    [row] = planned(database, provider, checkpoints).rows
    assert (row["service_id"], row["service_name"], row["credits"]) == ("269", "Status Check", 0.08)


def test_answers_are_counted_and_unreadable_ones_of_lost_calls_are_named(
    database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    """A call that the database has is put in doubt by the runner; a refusal names no order."""
    batch_id = batch_of(database, ONE)
    with database.read() as connection:
        ours = connection.exec_driver_sql("SELECT id FROM chunks").scalar_one()
    keep(checkpoints, "cut off", batch_id, chunk_id=ours)
    keep(checkpoints, "cut off")
    keep(checkpoints, "<error>Invalid User!</error>")
    keep(checkpoints, answer(("11", ONE)))
    kept = read_kept(database, checkpoints)
    assert (kept.answers, kept.damaged, ids(kept.orders)) == (2, (STRANGE,), ["11"])
    (log,) = (checkpoints.folder / str(STRANGE)).iterdir()
    log.write_bytes(log.read_bytes()[:-3])
    kept = read_kept(database, checkpoints)
    assert (kept.answers, kept.damaged, kept.orders) == (1, (STRANGE, STRANGE), ())
    assert not planned(database, Answerer(), checkpoints).report.complete


@pytest.mark.parametrize("failure", [NotSentError("The provider is away."), UNREADABLE])
def test_a_provider_that_cannot_be_asked_leaves_orders_missing_and_is_named(
    database: IMEIDatabase, checkpoints: Checkpoints, failure: Exception
) -> None:
    keep(checkpoints, answer(("11", ONE)))
    provider = Answerer([IMEIOrder("13", THREE, "Pending", service_id="269"), IMEIOrder("14", "", "Pending")])
    provider.failure = failure
    plan = planned(database, provider, checkpoints)
    assert ids(plan.report.missing) == ["11"]
    assert plan.report.error == ("" if failure is UNREADABLE else str(failure))
    assert [(row["order_id"], row["notes"]) for row in plan.rows if row["service_id"]] == [("13", FROM_LIST)]
    assert plan.report.unusable == 1
