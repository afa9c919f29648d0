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


@pytest.mark.parametrize(
    "line",
    [
        "Device is blocked",
        "This phone is barred",
        "Device blocked due to non payment",
        "Device has been blocked by AT&T",
        "IMEI found in blacklist",
        "Device is on the blacklist",
        "Dieses Gerät ist auf der Sperrliste",
        "Phone is NOT CLEAN",
        "Bad ESN",
        "Equipo reportado por robo",
        "Aparelho roubado",
        "Este equipo está bloqueado",
        "Cet appareil est bloqué",
        "Телефон украден",
        "В черном списке",
        "已报失",
        "Not eligible for activation - blacklisted",
        "iPhone 12 64GB Blacklisted",
        "Model: iPhone 12 64GB [BLACKLISTED]",
        "Model: iPhone 12 STOLEN",
        "Device Status: Stolen",
        "Phone Status: Blacklisted",
        "Event Type: Stolen / Lost",
        "Reason: Stolen",
        "Contract Status: Past due",
        "T-Mobile USA: Blocked",
        "AT&T Wireless: Blocked",
        "Brazil (Anatel): Blocked",
        "IMEI 2 Status: Blacklisted",
        "IMEI2: 353370080000029 - Blacklisted",
        "IMEI2: 353370080000029 (blacklisted)",
        "353370080000029: Blacklisted",
        "Second IMEI: Blacklisted",
        "Blacklisted Worldwide: Yes",
        "isStolen: true",
        "Device: Blacklisted",
        "Sorry, this device is blacklisted",
        "Checked. This device is blacklisted.",
        "The owner reported this device as stolen",
        "(!) BLACKLISTED",
        "Black-listed",
        "This phone was lost",
        "2nd IMEI blacklisted",
        "IMEI2 353370080000029 is blacklisted",
        "IMEI2 = 353370080000029 = Blacklisted",
        "Equipo con reporte de robo",
        "El equipo se encuentra en lista negra",
        "Esta línea está bloqueada por robo",
        "Das Gerät wurde als gestohlen gemeldet",
        "Steht auf der Sperrliste",
        "Cet appareil a été déclaré volé",
        "Sur liste noire",
        "Urządzenie skradzione",
        "Устройство украдено",
        "Телефон в розыске",
        "该设备已被盗",
        "已列入黑名单",
    ],
)
def test_a_phone_that_is_on_a_list_by_other_words_is_blacklisted(line: str) -> None:
    first, rest = (line, "") if line.startswith("Model") else ("Model: iPhone 12", line)
    report = read_report(f"{first}\nIMEI: 353370080000011\nSIM Lock: Unlocked\nBlacklist: Clean\nFMI: OFF\n{rest}")
    assert states(report) == ("Unlocked", "OFF", "Blacklisted")


@pytest.mark.parametrize(
    "line",
    [
        "Find My iPhone is turned on",
        "Find My iPhone has been enabled",
        "Lost Mode is ON",
        "Device is in lost mode",
        "iCloud status: Stolen",
        "FMI OFF: No",
        "iCloud is ON",
        "Activation Locked",
        "Apple ID locked",
        "iCloud status is Lost",
        "FMI OFF but Lost Mode ON",
    ],
)
def test_other_words_for_a_phone_that_is_lost_or_found_by_apple_are_read(line: str) -> None:
    assert states(read_report(f"Model: iPhone 12\nFMI: OFF\n{line}"))[1] == "ON"


@pytest.mark.parametrize(
    "line", ["Locked to AT&T", "This phone is locked to Verizon", "Phone is not unlocked", "SIM Lock ON", "Locked"]
)
def test_a_sentence_about_a_locked_phone_outweighs_unlocked(line: str) -> None:
    assert states(read_report(f"Model: iPhone 12\nSIM Lock: Unlocked\n{line}"))[0] == "Locked"


@pytest.mark.parametrize(
    "lines",
    [
        "Blacklist: CLEAN*\n*Not verified",
        "Blacklist: Clean (1 record)",
        "Blacklist: Clean\nBlacklist Records: 3",
        "Blacklist: Clean\nBlacklisted Records: 2",
        "Blacklist: Clean\nBlacklist not checked",
        "Could not check blacklist\nBlacklist: Clean",
        "Blacklist: Clean\nBlacklist check failed",
        "Blacklist: Clean (unverified)",
        "Blacklist: Clean\nBlacklist Status: Clean, not verified",
        "Blacklist: Clean\nBlacklist server is down",
        "Blacklist: Clean\nReporting Operator: VODAFONE Ltd / United Kingdom",
    ],
)
def test_a_clean_status_that_the_text_takes_back_is_unknown(lines: str) -> None:
    assert states(read_report(f"Model: iPhone 12\n{lines}\nFMI: OFF")) == ("Unknown", "OFF", "Unknown")


@pytest.mark.parametrize(
    "line",
    [
        "Blacklisted By: no operator",
        "Blacklisted By: Not blacklisted",
        "Blacklisted By: No Records Found",
        "Blacklisted By: Clean",
        "Blacklisted Reason: not applicable",
        "Blacklisted On: 0000-00-00",
        "Blacklisted Countries: 0",
        "Blacklisted Networks: none found",
        "Blacklisted Previously: Yes, removed",
        "Blacklist Records: 0",
        "Blacklist Info: https://example.com/stolen",
        "Blacklist Checker: GSMA",
        "Reported By: none",
        "Locked to: None",
        "Locked to: -",
        "Locked To: Any carrier",
        "If FMI is ON we can not unlock",
        "Please make sure that Find My iPhone is ON before",
        "Is this phone stolen?",
        "Stolen phone? Call the police",
        "Note: SIM locked phones need an unlock code",
        "Lost & Stolen report",
        "*** SIM-LOCKED CARRIER CHECK ***",
        "Source: Stolen Phone Checker",
        "Device was blacklisted but removed",
        "Unlock any blacklisted iPhone with us: example.com",
        "FMI OFF: Yes",
        "Device is not blocked",
        "This device is not in lost mode",
        "Este equipo no está bloqueado",
        "Nicht auf der Sperrliste",
        "Телефон не украден",
        "IMEI2: 353370080000029 - Clean",
        "Device Status: Refurbished",
        "Was locked to AT&T, now unlocked",
        "Blacklist reason not available",
        "Device is not in Lost mode.",
        "iCloud is not locked",
        "Not locked to AT&T",
        "How to know if a phone is blacklisted",
        "IMEI2: 353370080000029 (not blocked)",
        "Both IMEIs not blacklisted",
        "Contract Status: No unpaid bills",
        "Message: This device is not blocked.",
        "Blacklist: Clean, 0 records found",
        "iPhone 12 never stolen",
        "El equipo no se encuentra en lista negra",
        "N'est pas sur liste noire",
        "Телефон не в розыске",
        "该设备未被盗",
        "未列入黑名单",
        "*Not verified by Apple",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_nothing_advice_and_titles_leave_a_good_phone_good(line: str, is_first: bool) -> None:
    good = "Model: iPhone 12\nIMEI: 353370080000011\nSIM Lock: Unlocked\nBlacklist: Clean\nFMI: OFF"
    report = read_report(f"{line}\n{good}" if is_first else f"{good}\n{line}")
    assert states(report) == ("Unlocked", "OFF", "Clean")
