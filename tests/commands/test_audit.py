"""The commands audit and rebuild-from-provider: what they print, restore and exit with."""

import json
import sys
from dataclasses import asdict, replace
from threading import Event
from types import SimpleNamespace
from typing import Any

import click
import pytest
from audited_orders import COUNT, audited, forget, place
from click.testing import Result
from flask import Flask
from handmade_calls import planned
from pending_orders import client_of
from simulated_provider import SERVICE, Simulator, imeis, judge, system
from sqlalchemy import update
from stored_orders import all_orders

from account.requests import ProviderRequests
from backend import Backend
from commands.audit import audit as audit_command
from commands.audit import figures, rebuild_from_provider, report_lines
from database import IMEIDatabase
from gsm_fusion_client import GSMFusionClient
from orders import Chunk, Outcome
from results.importing import import_orders
from schema import services
from settings import Settings
from spreadsheets.order_rows import read_orders
from storage import audit_store
from storage.batch_queries import progress
from submission import older_copy as batch_older_copy
from submission.checkpoints import Checkpoints
from submission.lost_commits import stop_lost


@pytest.fixture
def app(settings: Settings, database: IMEIDatabase, simulator: Simulator) -> Flask:
    return app_on(database, settings, simulator)


def app_on(database: IMEIDatabase, settings: Settings, simulator: Simulator) -> Flask:
    real = replace(settings, api_key="DEMO-KEY", username="demo", base_url=simulator.base_url)
    app = Flask("audit_test")
    app.extensions["backend"] = Backend(real, database, ProviderRequests(database), Event())
    for command in (audit_command, rebuild_from_provider):
        app.cli.add_command(command)
    return app


def run(app: Flask, *words: str, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=words, input=typed)


def test_the_command_exits_with_zero_only_when_both_sides_agree(
    app: Flask, simulator: Simulator, database: IMEIDatabase
) -> None:
    placed = place(simulator, database)
    clean = run(app, "audit", "--json")
    assert clean.exit_code == 0, clean.output
    said = json.loads(clean.stdout.splitlines()[-1])
    assert (said["agrees"], said["ours"], said["unknown_to_us"]) == (True, COUNT, {"count": 0, "examples": []})
    assert "Both sides agree." in clean.stderr
    forget(database, placed[0])
    lost = run(app, "audit")
    assert lost.exit_code == 1
    assert f"order {placed[0]}" in lost.stdout
    simulator.set(listing="off")
    silent = run(app, "audit", "--since", "2020-01-01")
    assert silent.exit_code == 1
    assert "could not be asked" in silent.stdout
    assert "time zone is unknown" in silent.stdout


def test_examples_are_bounded_and_the_rest_is_counted(simulator: Simulator, database: IMEIDatabase) -> None:
    with client_of(simulator) as client:
        client.place_imei_order(imeis(50), SERVICE)
    report = audited(simulator, database)
    assert (report.unknown_to_us.count, len(report.unknown_to_us.examples)) == (50, 20)
    assert "    and 30 more" in report_lines(report)
    assert figures(report).keys() == asdict(report).keys() | {"agrees", "complete"}


def test_the_rebuild_asks_first_and_says_what_it_did(app: Flask, simulator: Simulator, database: IMEIDatabase) -> None:
    with client_of(simulator) as client:
        client.place_imei_order(imeis(5), SERVICE)
    assert run(app, "rebuild-from-provider", typed="n\n").exit_code == 1
    assert database.count_orders() == 0
    done = run(app, "rebuild-from-provider", "--yes")
    assert (done.exit_code, database.count_orders()) == (0, 5)
    assert "5 orders restored" in done.stdout
    assert "0 orders restored" in run(app, "rebuild-from-provider", "--yes").stdout
    simulator.set(listing="off")
    assert "Nothing was restored" in run(app, "rebuild-from-provider", "--yes").stderr


def keep_answer(settings: Settings, chunk_id: int, named: dict[str, str], batch_id: int = 7) -> None:
    """An answer on disk that names these orders (order id → IMEI)."""
    records = "".join(
        f"<imeis><id>{order_id}</id><imei>{imei}</imei><status>Pending</status></imeis>"
        for order_id, imei in named.items()
    )
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(Chunk(chunk_id, batch_id, SERVICE, 1, 1, ()), f"<result>{records}</result>".encode())
    kept.close()


def test_the_rebuild_restores_what_a_kept_answer_names_beyond_the_list(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    with client_of(simulator) as client:
        placed = client.place_imei_order(imeis(30), SERVICE).orders
    simulator.set(listing_limit=10)
    keep_answer(settings, 1, {order.id: order.imei for order in placed})
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    dry = run(app, "rebuild-from-provider", "--dry-run")
    assert dry.exit_code == 0
    assert "1 answer kept on disk, with 30 unknown orders." in dry.stderr
    assert (database.count_orders(), bool(batch_older_copy.older_copy_objection(database))) == (0, True)
    done = run(app, "rebuild-from-provider", "--yes")
    assert done.exit_code == 0, done.output
    assert {(row["order_id"], row["imei"], row["service_id"]) for row in all_orders(database)} == {
        (order.id, order.imei, SERVICE) for order in placed
    }
    assert all(row["order_date"] for row in all_orders(database))
    assert batch_older_copy.older_copy_objection(database) == ""


def test_the_guard_stays_while_an_order_of_a_kept_answer_is_missing(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """The provider does not know these ids, so nobody can say of which service they are."""
    keep_answer(settings, 1, {"501": imeis(1)[0], "502": imeis(1, 1)[0]})
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    for _ in range(2):
        done = run(app, "rebuild-from-provider", "--yes")
        assert done.exit_code == 1
        assert "2 orders of kept answers missing" in done.stderr
        assert f"order 501  {imeis(1)[0]}  of batch 7" in done.stderr
        assert batch_older_copy.older_copy_objection(database)
    lines = [f"50{n},{imeis(1, n - 1)[0]},T-Mobile USA - Status Check,Pending" for n in (1, 2)]
    file = "\r\n".join(["ORDER ID,IMEI NO.,SERVICE,STATUS", *lines])
    import_orders(database, list(read_orders(file.encode())), "by-hand.csv")
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""


def test_an_id_that_answers_give_to_two_imeis_restores_neither(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    keep_answer(settings, 1, {"501": imeis(1)[0]})
    keep_answer(settings, 2, {"501": imeis(1, 1)[0]})
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 1
    assert database.count_orders() == 0


def test_a_damaged_answer_of_a_lost_call_keeps_the_guard(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    keep_answer(settings, 1, {"501": imeis(1)[0]})
    path = settings.data_dir / "checkpoints" / "7" / "answers.log"
    path.write_bytes(path.read_bytes()[:-5])
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    done = run(app, "rebuild-from-provider", "--yes")
    assert done.exit_code == 1
    assert "1 kept answer not readable, of batch 7." in done.stderr
    assert batch_older_copy.older_copy_objection(database)


def test_an_answer_of_which_the_database_knows_every_order_is_nothing_to_restore(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database)
    simulator.set(listing_limit=5, turnaround=10_000)
    before = all_orders(database)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert all_orders(database) == before


def test_a_doubt_whose_order_an_answer_names_is_settled_by_it(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """An older copy has the call in doubt; the answer that came later lies on disk, and the list is too short."""
    simulator.set(fault="close", fault_when="after", fault_limit=1, listing="off", duplicates="never")
    with system(simulator, database, in_use=False, patience=0.2) as running:
        running.submit_batch(imeis(5), SERVICE)
    simulator.set(listing="on", listing_limit=1)
    keep_answer(settings, 1, {str(c.order_id): c.imei for c in simulator.charges()}, batch_id=1)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    found = progress(database, 1)
    assert found
    assert found.outcomes[Outcome.ORDERED] == 5
    assert judge(simulator, database) == (0, 0)


def test_a_server_that_lost_commits_needs_a_list_that_reaches_back_and_waits_for_calls(
    settings: Settings, simulator: Simulator, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answers are kept beside a server: what a short list leaves out would be paid again. No loop has run on it."""
    waited = list[float]()
    monkeypatch.setattr(sys.modules["commands.audit"], "time", SimpleNamespace(sleep=waited.append))
    app = app_on(server_database, settings, simulator)
    with client_of(simulator) as client:
        for order in client.place_imei_order(imeis(5), SERVICE).orders:
            server_database.insert_order({"order_id": order.id, "imei": order.imei, "service_id": SERVICE})
        client.place_imei_order(imeis(30, 500), SERVICE)
    with server_database.write() as connection:
        stop_lost(connection)
    simulator.set(listing_limit=10)
    for _ in range(2):  # what the first one has restored does not count as known
        done = run(app, "rebuild-from-provider", "--yes")
        assert (done.exit_code, "The list of account main shows no order" in done.stderr) == (1, True)
        assert batch_older_copy.older_copy_objection(server_database)
    assert round(max(waited) / 10) == round((settings.call_timeout + settings.settle_quiet) / 10)
    simulator.set(listing_limit=1000)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert batch_older_copy.older_copy_objection(server_database) == ""
    with server_database.write() as connection:
        stop_lost(connection)
    simulator.set(listing_limit=10)
    assert run(app, "rebuild-from-provider", "--yes", "--sure").exit_code == 0
    assert batch_older_copy.older_copy_objection(server_database) == ""


def test_a_stop_that_came_while_a_person_was_asked_is_not_lifted(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list that was read may be older than what was lost then."""
    place(simulator, database, 5)
    stop_again = iter([True, False])

    def asked(*_: Any, **__: Any) -> bool:
        if next(stop_again):
            batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
        return True

    monkeypatch.setattr(click, "confirm", asked)
    batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    for number, code in enumerate((1, 0)):
        with client_of(simulator) as client:
            client.place_imei_order(imeis(1, 500 + number), SERVICE)
        done = run(app, "rebuild-from-provider")
        assert (done.exit_code, "was stopped once more meanwhile" in done.stderr) == (code, bool(code))
        assert bool(batch_older_copy.older_copy_objection(database)) is bool(code)


def test_a_rebuild_that_was_killed_half_way_is_ended_by_the_next_one(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written stays, the rest is still planned, and nothing is ordered in between."""
    place(simulator, database, 3)
    batch_id = planned(database, 7, first=500)[0]
    with client_of(simulator) as client:
        client.place_imei_order(imeis(7, 500), SERVICE)
    batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    monkeypatch.setattr(audit_store, "RESTORED_AT_ONCE", 2)
    graded = iter(range(3))
    with monkeypatch.context() as patch:
        patch.setattr(audit_store, "grade_orders", lambda *_: next(graded))
        assert isinstance(run(app, "rebuild-from-provider", "--yes").exception, StopIteration)
    assert (database.count_orders(), bool(batch_older_copy.older_copy_objection(database))) == (9, True)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    found = progress(database, batch_id)
    assert found
    assert (found.outcomes[Outcome.ORDERED], database.count_orders()) == (7, 10)
    with system(simulator, database) as running:
        running.run_batch(batch_id)
    assert (judge(simulator, database), len(simulator.charges())) == ((0, 0), 10)


def test_restored_orders_of_a_service_without_a_name_keep_the_guard_until_a_person_is_sure(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their IMEIs would not be recognised as ordered already. A second run finds them restored, and still unnamed."""
    place(simulator, database, 5)
    batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    with client_of(simulator) as client:
        client.place_imei_order(imeis(3, 500), SERVICE)
    with database.write() as connection:
        connection.execute(update(services).values(title="Another title"))
    monkeypatch.setattr(GSMFusionClient, "get_imei_services", lambda _: [])
    for _ in range(2):
        done = run(app, "rebuild-from-provider", "--yes")
        assert (done.exit_code, "3 restored orders of a service that we cannot name" in done.stderr) == (1, True)
        assert batch_older_copy.older_copy_objection(database)
    assert run(app, "rebuild-from-provider", "--yes", "--sure").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0  # nothing is stopped any more


def restore_before_more_than_is_listed(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """Stop a database that was restored, and rebuild it twice by a list that does not reach back to it: in vain."""
    batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    with client_of(simulator) as client:
        client.place_imei_order(imeis(30, 500), SERVICE)
    simulator.set(listing_limit=10)
    for _ in range(2):
        done = run(app, "rebuild-from-provider", "--yes")
        assert (done.exit_code, "The list of account main shows no order" in done.stderr) == (1, True)
        assert batch_older_copy.older_copy_objection(database)


def test_a_restored_database_without_orders_cannot_tell_whether_a_list_is_whole(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """What the first run has restored is on the list that it came from, so a second one knows no more."""
    restore_before_more_than_is_listed(app, settings, simulator, database)
    assert run(app, "rebuild-from-provider", "--yes", "--sure").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""


def test_a_restored_database_without_newer_answers_needs_a_list_that_reaches_back(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """On another machine, or after the way back from a server: what a short list leaves out would be paid again."""
    place(simulator, database, 5)
    restore_before_more_than_is_listed(app, settings, simulator, database)
    simulator.set(listing_limit=31)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""
    batch_older_copy.stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    simulator.set(listing_limit=10)
    assert run(app, "rebuild-from-provider", "--yes", "--sure").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""
