"""A finding that a text states outside of its own label is read, and words that state none are left alone."""

import pytest

from devices.device_report import DeviceReport, read_report
from devices.states import blacklist_state, fmi_state, sim_state


def states(report: DeviceReport) -> tuple[str, str, str]:
    return str(sim_state(report.simlock)), str(fmi_state(report.fmi)), str(blacklist_state(report.blacklist))


@pytest.mark.parametrize(
    "line",
    [
        "This device is BLACKLISTED",
        "BLACKLISTED",
        "Warning: device reported stolen",
        "IMEI 353370080000011 is blacklisted",
        "Note: device stolen",
        "Check result: Blacklisted",
        "Police: Reported stolen",
        "Blacklisted By: Vodafone UK",
        "Blacklisted On: 2020-01-01",
        "Blacklist Reason: Stolen",
        "Not Blacklisted: No",
        "IMEI Clean: No",
        "T-Mobile: Blocked",
        "AT&T Status: Blocked",
        "Blacklisted? Yes",
        "Carrier: Vodafone | Blacklisted",
        "Este equipo está reportado como robado",
        "Dieses Gerät ist als gestohlen gemeldet",
        "Cet appareil est déclaré volé",
    ],
)
@pytest.mark.parametrize("more", ["", "Blacklist Status: Clean\n"])
def test_what_says_that_a_phone_is_on_a_list_outweighs_a_clean_status(line: str, more: str) -> None:
    if more and line.startswith("Not"):
        return
    report = read_report(f"Model: iPhone 12\n{more}FMI: OFF\n{line}")
    assert states(report) == ("Unknown", "OFF", "Blacklisted")


@pytest.mark.parametrize("line", ["Blacklist Records: 3", "Blacklist History: 2 events", "Blacklist Records: None"])
def test_a_blacklist_without_its_status_is_unknown_and_not_missing(line: str) -> None:
    report = read_report(f"Model: iPhone 12\nFMI: OFF\n{line}")
    assert report.blacklist and states(report) == ("Unknown", "OFF", "Unknown")


@pytest.mark.parametrize(
    "line",
    [
        "Lost Mode: ON",
        "iCloud Lost Mode: Yes",
        "iCloud Status Lost",
        "iCloud: Lost",
        "Clean/Lost: Lost",
        "FMI is ON",
        "FMI-ON",
        "FMI/ON",
        "Find My iPhone Lock On",
        "iPhone 12 128GB FMI ON",
        "FMI: OFF | FMI: ON",
    ],
)
def test_what_says_that_find_my_iphone_is_on_outweighs_off(line: str) -> None:
    assert states(read_report(f"Model: iPhone 12\nFMI: OFF\n{line}")) == ("Unknown", "ON", "Unknown")


@pytest.mark.parametrize(
    "line",
    [
        "Carrier: T-Mobile USA - Locked",
        "Carrier: AT&T (Locked)",
        "Carrier: Sprint Locked",
        "Network: AT&T Locked",
        "Locked to: AT&T",
        "Model: iPhone 12 128GB Locked",
        "Device is SIM locked",
        "SIM Lock Policy: Locked",
    ],
)
def test_a_lock_that_only_another_value_names_is_a_sim_lock(line: str) -> None:
    assert states(read_report(f"{line}\nFMI: OFF"))[0] == "Locked"


def test_the_status_of_the_sim_lock_outweighs_what_a_policy_says() -> None:
    text = "Model: iPhone 12\nSIM Lock: Unlocked\nNext Tether Policy: US AT&T Locked Policy"
    assert states(read_report(text))[0] == "Unlocked"


@pytest.mark.parametrize("line", ["Find My iPhone Unknown", "Find My iPhone Error", "FMI not available"])
def test_a_state_that_is_not_known_is_read_without_a_colon(line: str) -> None:
    assert read_report(f"Model: iPhone 12\n{line}").fmi


@pytest.mark.parametrize(
    "line",
    [
        "Note: Report stolen phones to the police",
        "Note: If the device is blacklisted later, no refund",
        "We are not responsible for blacklisted devices",
        "Check blacklisted phones at example.com",
        "This device is not blacklisted",
        "Device not reported stolen",
        "No blacklist record found",
        "Blacklist History: Stolen 2019, found 2020",
        "Blacklisted By: None",
        "Blacklisted By: -",
        "Blacklisted On: N/A",
        "Blacklist Country: Brazil",
        "Blacklist Type: GSMA",
        "Lost Mode: OFF",
        "iCloud: Clean",
        "iCloud Status: Not Lost",
        "Clean/Lost: Clean",
        "T-Mobile: Clean",
        "Locked to: Unlocked",
        "Carrier: T-Mobile USA - Unlocked",
        "Bootloader: Locked",
        "Knox: Blocked",
        "Mi Lock: ON",
    ],
)
def test_words_that_state_nothing_bad_change_nothing(line: str) -> None:
    text = f"Model: iPhone 12\nSIM Lock: Unlocked\nBlacklist: Clean\nFMI: OFF\n{line}"
    assert states(read_report(text)) == ("Unlocked", "OFF", "Clean")
