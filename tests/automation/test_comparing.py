"""What changed since the last check: by meaning, with counts, while results come and once when all are here."""

import json
import threading

import pytest
from automation_scene import DUE, SECOND, Scene
from simulated_provider import imeis

from automation.comparing import compare_open_runs, compared, differences
from orders import AutomationKind
from storage import automation_change_store
from storage.automation_change_store import Pair


def pair(before: str, after: str, row: int = 1) -> Pair:
    """Findings in the order of COMPARED, separated by bars."""
    return Pair(row, str(row), tuple(before.split("|")), tuple(after.split("|")))


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("AT&T|Locked|OFF|Clean|pass|iPhone 12", "at&t|LOCKED|Disabled|clean|pass|iphone 12", []),
        ("||OFF|||", "||ON|||", [("Find My", "OFF", "ON")]),
        ("||OFF|||", "|||||", [("Find My", "OFF", "–")]),
        ("AT&T|||||iPhone 12", "|||||", []),
        ("AT&T|||Clean|pass|", "Verizon|||Blacklisted|fail|", [
            ("Carrier", "AT&T", "Verizon"), ("Blacklist", "Clean", "Blacklisted"), ("Verdict", "pass", "fail"),
        ]),
    ],
)  # fmt: skip
def test_a_finding_changed_if_it_means_something_else(
    before: str, after: str, found: list[tuple[str, str, str]]
) -> None:
    assert differences(pair(before, after)) == found


def test_phones_and_kinds_of_changes_are_counted() -> None:
    found = compared([pair("||OFF|||", "||ON|||", 1), pair("||OFF|||", "||ON|||", 2), pair("|||||", "|||||", 3)])
    assert (found.phones, len(found.changed), found.counts) == (3, 2, {"Find My OFF → ON": 2})


def test_a_recheck_shows_what_changed_as_results_come_and_announces_it_once(scene: Scene) -> None:
    scene.check(imeis(4), service_id=SECOND)
    scene.check(imeis(1), fmi="OFF", service_id="1739")  # of another service: not compared with
    rule = scene.add(AutomationKind.RECHECK)
    scene.turn_on(rule, due_at=DUE)
    scene.turn(DUE)
    assert [(run.compared, run.is_compared) for run in scene.log(rule)] == [(0, False)]
    scene.answer(fmi="ON")
    threads = [threading.Thread(target=compare_open_runs, args=(scene.database, threading.Event())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run = scene.log(rule)[0]
    assert (run.compared, run.changed, run.is_compared) == (4, 4, True)
    assert run.changes == {"Find My OFF → ON": 4, "Verdict pass → fail": 4}
    with scene.database.read() as connection:
        phones = automation_change_store.changed_phones(connection, run.run_id)
        events = "SELECT data FROM outbox_events WHERE kind = 'recheck.compared'"
        told = [json.loads(data) for (data,) in connection.exec_driver_sql(events)]
    assert sorted(phone.imei for phone in phones) == imeis(4)
    assert [(event["run_id"], event["changed"]) for event in told] == [(run.run_id, 4)]
