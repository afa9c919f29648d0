"""A result is read as states: what it reports, what its service's name promises, and whether it can be used at all."""

from typing import Any

import pytest

from devices import blacklist_state, fmi_state, sim_state
from grading import Findings
from grading.findings import promised


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("", set()),
        ("Info", set()),
        ("10-7.1# Apple iPhone IMEI Carrier + Simlock + FMI", {"simlock", "fmi"}),
        ("Apple SIM Lock Status", {"simlock"}),
        ("apple sim-lock status", {"simlock"}),
        ("Rosim locked", set()),
        ("Apple Find My iPhone ON/OFF", {"fmi"}),
        ("iCloud Lock Check", {"fmi"}),
        ("iCloud Clean/Lost", set()),
        ("FMIP", set()),
        ("GSMA Black List Worldwide", {"blacklist"}),
        ("Blacklisted?", {"blacklist"}),
        ("Carrier without Blacklist, no FMI, without SIM lock", set()),
        ("No refund. FMI + Blacklist", {"fmi", "blacklist"}),
    ],
)
def test_the_name_of_a_service_promises_findings(title: str, names: set[str]) -> None:
    assert promised(title) == names


LOST = "Model: iPhone 12\niCloud Status: Lost Mode\n"


@pytest.mark.parametrize(
    ("given", "name", "state"),
    [
        ({"fmi": "ON"}, "fmi", fmi_state("on")),
        ({"fmi": "OFF"}, "fmi", fmi_state("off")),
        ({"fmi": "maybe"}, "fmi", fmi_state("")),
        ({}, "fmi", None),
        ({"service_name": "FMI check"}, "fmi", fmi_state("")),
        ({"service_name": "Check without FMI"}, "fmi", None),
        ({"service_name": "FMI check"}, "simlock", None),
        ({"simlock": "Locked"}, "simlock", sim_state("locked")),
        ({"blacklist": "Not Blacklisted"}, "blacklist", blacklist_state("clean")),
        # An iCloud status outweighs what the field says, but only for Find My iPhone.
        ({"text": LOST}, "fmi", fmi_state("on")),
        ({"text": LOST, "fmi": "OFF"}, "fmi", fmi_state("on")),
        ({"text": LOST}, "blacklist", None),
        ({"text": LOST.replace("Lost Mode", "Clean")}, "fmi", None),
        ({"text": LOST.replace("Lost Mode", "Clean"), "fmi": "OFF"}, "fmi", fmi_state("off")),
        ({"text": "iCloud Clean/Lost: Lost"}, "fmi", fmi_state("on")),
        ({"text": "iCloud: Clean - Note: Lost"}, "fmi", None),
        # A rejected order has no findings, whatever its columns hold.
        ({"text": LOST, "fmi": "ON", "is_rejected": True}, "fmi", None),
    ],
)
def test_a_finding_has_a_state_where_the_result_or_its_service_speaks_of_it(
    given: dict[str, Any], name: str, state: object
) -> None:
    assert Findings(**given).state(name) == state


@pytest.mark.parametrize(
    ("given", "usable"),
    [
        ({}, False),
        ({"text": "see mail"}, False),
        ({"carrier": "US AT&T"}, True),
        ({"model": "iPhone 12"}, True),
        ({"warranty": "Expired"}, True),
        ({"fmi": "OFF"}, True),
        ({"fmi": "maybe"}, False),
        ({"service_name": "FMI check"}, False),
        ({"text": LOST}, True),
        ({"fmi": "OFF", "is_about_another": True}, False),
        ({"fmi": "OFF", "is_rejected": True}, False),
    ],
)
def test_a_result_is_usable_where_something_in_it_is_understood_about_this_device(
    given: dict[str, Any], usable: bool
) -> None:
    assert Findings(**given).is_usable is usable


@pytest.mark.parametrize("words", ["Unknown", "Not found", "N/A", "Error", "-", "No data", "no record found"])
@pytest.mark.parametrize("name", ["carrier", "model", "warranty"])
def test_a_result_whose_only_value_says_nothing_is_not_usable(name: str, words: str) -> None:
    given: dict[str, Any] = {name: words}
    assert not Findings(**given).is_usable
    assert Findings(**(given | {"carrier": "AT&T"})).is_usable


@pytest.mark.parametrize("line", ["Refunded - server down", "Result: Server error", "Check failed, try again later"])
def test_a_model_beside_a_failure_is_no_usable_result(line: str) -> None:
    assert not Findings(model="iPhone 12", text=f"Model: iPhone 12\n{line}").is_usable


@pytest.mark.parametrize("line", ["Wrong orders are not refunded", "If the server is down, try again later"])
def test_terms_about_failures_are_no_failure(line: str) -> None:
    assert Findings(model="iPhone 12", text=f"Model: iPhone 12\n{line}").is_usable


@pytest.mark.parametrize("value", ["N/A", "-", "?", "null", "...", "", "\u274c"])
@pytest.mark.parametrize(
    ("name", "label"), [("blacklist", "Blacklist Status"), ("fmi", "Find My iPhone"), ("simlock", "SIM-Lock Status")]
)
def test_a_label_of_a_finding_without_words_is_unknown_and_not_missing(name: str, label: str, value: str) -> None:
    findings = Findings(model="iPhone 12", text=f"Model: iPhone 12\n{label}: {value}\nCountry: USA")
    assert findings.state(name) == "Unknown"
    assert Findings(model="iPhone 12", text="Model: iPhone 12\nGSMA Report:\nCountry: N/A").state(name) is None
