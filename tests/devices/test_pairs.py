"""Labels and values are found in any layout, and keep their order."""

import json
from collections.abc import Callable
from html import escape

import pytest
from result_texts import EXAMPLES, MAIN_FIELDS, said

from devices.device_report import read_report
from devices.states import blacklist_state, fmi_state, sim_state

#: Texts in further layouts, with what a careful reader takes from them; None where the text does not say it.
LAYOUTS: list[tuple[str, dict[str, str | None]]] = [
    (
        "IMEI: 353979105704801 - Model: iPhone 12 - FMI: ON - RAM: 4GB - US Blacklist: Clean",
        {"model": "iPhone 12", "fmi": "ON", "blacklist": "Clean", "imei": "353979105704801", "ram": "4GB"},
    ),
    (
        "IMEI: 353979105704801 | Model: iPhone 12 | Foo Thing: abc | SIM Lock : Locked",
        {"model": "iPhone 12", "simlock": "Locked", "foo_thing": "abc"},
    ),
    (
        "IMEI:353979105704801;Model:iPhone 12;Find My iPhone (FMI):OFF",
        {"model": "iPhone 12", "fmi": "OFF", "imei": "353979105704801"},
    ),
    (
        "IMEI\t353979105704801\nModel\tGalaxy S21\nSIM Lock\tLocked\nPurchase Date\t2023-01-04 10:33",
        {
            "imei": "353979105704801",
            "model": "Galaxy S21",
            "simlock": "Locked",
            "purchase_date": "2023-01-04 10:33",
        },
    ),
    (
        "IMEI\tModel\tFMI\n353979105704801\tiPhone 12\tON",
        {"imei": "353979105704801", "model": "iPhone 12", "fmi": "ON"},
    ),
    (
        "<table><tr><td>Model</td><td>iPhone 12</td></tr><tr><td>Find My "
        "iPhone</td><td><span>OFF</span></td></tr><tr><td>Sim-lock "
        "status</td><td>Unlocked</td></tr></table>",
        {"model": "iPhone 12", "fmi": "OFF", "simlock": "Unlocked"},
    ),
    (
        "<table>\n <tr>\n  <th>IMEI</th>\n  <th>Model</th>\n  <th>Blacklist</th>\n </tr>\n <tr>\n  "
        "<td>353979105704801</td>\n  <td>Pixel 8</td>\n  <td>Clean</td>\n </tr>\n</table>",
        {"imei": "353979105704801", "model": "Pixel 8", "blacklist": "Clean"},
    ),
    (
        "<ul><li><b>Model:</b> iPhone 12</li><li><b>iCloud:</b> ON</li><li><strong>ESN:</strong> Clean</li></ul>",
        {"model": "iPhone 12", "fmi": "ON", "blacklist": "Clean"},
    ),
    (
        "<dl><dt>Model</dt><dd>iPhone SE</dd><dt>Network Lock</dt><dd>US AT&amp;T</dd></dl>",
        {"model": "iPhone SE", "carrier": "US AT&T", "simlock": None},
    ),
    (
        "Model => iPhone 12\nNetwork Lock => Locked\nCarrier Name => T-Mobile",
        {"model": "iPhone 12", "simlock": "Locked", "carrier": "T-Mobile"},
    ),
    (
        "Model：iPhone 13\nＦＭＩ：ＯＮ\n黑名单：正常",
        {"model": "iPhone 13", "fmi": "ON", "blacklist": "正常"},
    ),
    (
        "MODEL: IPHONE 12\nSIM-LOCK STATUS: UNLOCKED\nBLACK LIST STATUS: NOT BLACKLISTED\nFIND MY IPHONE STATUS: OFF",
        {"model": "IPHONE 12", "simlock": "UNLOCKED", "blacklist": "NOT BLACKLISTED", "fmi": "OFF"},
    ),
    (
        "Model:\niPhone 12\nIMEI:\n353979105704801\nSIM Lock:\nLocked",
        {"model": "iPhone 12", "imei": "353979105704801", "simlock": "Locked"},
    ),
    (
        "Model\niPhone 12\nIMEI\n353979105704801\nCarrier\nT-Mobile USA\nSIM Lock\nLocked",
        {"model": "iPhone 12", "imei": "353979105704801", "simlock": "Locked", "carrier": "T-Mobile USA"},
    ),
    (
        "<div class='l'>Model</div><div class='v'>iPhone 12</div><div>Carrier</div><div>US Verizon</div>",
        {"model": "iPhone 12", "carrier": "US Verizon"},
    ),
    (
        "<p><span><span><b>Find My iPhone</b></span>: <span><i>ON</i></span></span></p>",
        {"fmi": "ON"},
    ),
    (
        "Blacklist : NO\nBlacklist Country: USA",
        {"blacklist": "NO", "blacklist_country": "USA"},
    ),
    (
        "IMEI 1: 353979105704801\nIMEI 2: 353979101608360\nIMEI/MEID: 353979105704801",
        {"imei": "353979105704801", "imei2": "353979101608360"},
    ),
    (
        "IMEI: 353979105704801 / 353979101608360",
        {"imei": "353979105704801", "imei2": "353979101608360"},
    ),
    (
        "IMEI: 35-397910-570480-1",
        {"imei": "353979105704801"},
    ),
    (
        "Initial Carrier: US T-Mobile\nActivation Policy: US Sprint Locked",
        {"carrier": "US T-Mobile", "activation_policy": "US Sprint Locked", "simlock": None},
    ),
    (
        "Carrier: AT&T, Simlock: Locked, FMI: OFF, Color: Space Gray, RAM: 4GB",
        {"carrier": "AT&T", "simlock": "Locked", "fmi": "OFF", "color": "Space Gray", "ram": "4GB"},
    ),
    (
        "Model: Galaxy S21, 128GB, Gray\nKnox Status: Locked\nMDM Lock: ON\nFRP Lock: ON",
        {"model": "Galaxy S21, 128GB, Gray", "simlock": None, "fmi": None, "mdm": "ON", "frp_lock": "ON"},
    ),
    (
        "ESN: 80A1B2C3\nModel: iPhone 4",
        {"blacklist": None, "esn": "80A1B2C3", "model": "iPhone 4"},
    ),
    (
        "Blacklist Status: Clean\nBlacklist Status: Blacklisted",
        {"blacklist": "Blacklisted"},
    ),
    (
        "FMI: OFF\niCloud Lock: ON",
        {"fmi": "ON"},
    ),
    (
        "Unlocked: Yes\nModel: iPhone 12",
        {"simlock": "Unlocked"},
    ),
    (
        "Locked: Yes\nModel: iPhone 12",
        {"simlock": "Yes"},
    ),
    (
        "Locked Carrier: 10 - Unlock Sim-Lock Status: Unlocked Country: USA",
        {"carrier": "10 - Unlock", "simlock": "Unlocked", "country": "USA"},
    ),
    (
        "IMEI: 354377061394312 S/N: FK1NGXFHG5R1 Model: IPHONE 6 PLUS SILVER 128GB-GBR ICCID: "
        "8944110065413619256 Activated: Yes iOS: 8.1.2 First Activation Date: 2014-10-19 Bluetooth "
        "Mac Address: E0B52D137002 Find my iPhone: ON ZIP/SSN Required: N/A Initial Activation "
        "Policy Description: 235 - Retail Unlock Next Tether Policy Details: 235 - Retail Unlock "
        "Lock Status: Unlocked",
        {
            "imei": "354377061394312",
            "serial": "FK1NGXFHG5R1",
            "model": "IPHONE 6 PLUS SILVER 128GB-GBR",
            "fmi": "ON",
            "simlock": "Unlocked",
            "iccid": "8944110065413619256",
            "initial_activation_policy_description": "235 - Retail Unlock",
        },
    ),
    (
        "IMEI: 353979105704801 Foo Bar: 12 FMI: ON Zeta Flag: No Model: iPhone X",
        {"imei": "353979105704801", "fmi": "ON", "zeta_flag": "No", "model": "iPhone X"},
    ),
    (
        '353979105704801 Find My iPhone: <font color="red"><b>ON</b></font>',
        {"imei": "353979105704801", "fmi": "ON"},
    ),
    (
        "Model: iPhone 6SIMEI: 351230009990043Carrier: UnlockedSimLock: UNLOCKEDFind My iPhone: ONiCloud Status: "
        "CleanCurrent GSMA Status: Clean",
        {"model": "iPhone 6S", "simlock": "UNLOCKED", "fmi": "ON", "blacklist": "Clean"},
    ),
    (
        "IMEI: 353012340001175 - Mi Cloud: Locked - Account Lock: Yes",
        {"imei": "353012340001175", "simlock": None, "account_lock": "Yes"},
    ),
    (
        "IMEI: 353012340001282 Loan Status: Unpaid Blacklist: Clean Carrier: Total Wireless",
        {"loan_status": "Unpaid", "blacklist": "Clean", "carrier": "Total Wireless"},
    ),
    (
        "Simlock: UNLOCKED Network: 4G LTE Knox: OFF Samsung Account Lock: ON",
        {"simlock": "UNLOCKED", "carrier": None, "samsung_account_lock": "ON"},
    ),
    (
        "Black Listed: YES Reported Date: 2021-12-01 Reporting Operator: Claro Colombia Country: Colombia",
        {"blacklist": "YES", "carrier": None, "country": "Colombia"},
    ),
    (
        "IMEI: 352233001122441Status: Clean",
        {"imei": "352233001122441", "blacklist": None},
    ),
    (
        "FMI ON\nSimlock UNLOCKED\nBlacklist CLEAN",
        {"fmi": "ON", "simlock": "UNLOCKED", "blacklist": "CLEAN"},
    ),
    (
        '{"success":true,"response":"Model: iPhone 15 Pro<br>Find My iPhone: '
        '<span>ON</span>","object":{"imei":"353979105704801","simLock":false,"fmiOn":true,"'
        'blacklistStatus":"Clean","modelName":"iPhone '
        '15 Pro (A3104)","serialNumber":"ABC497KYP853"}}',
        {
            "model": "iPhone 15 Pro",
            "fmi": "ON",
            "simlock": "No",
            "blacklist": "Clean",
            "serial": "ABC497KYP853",
            "imei": "353979105704801",
        },
    ),
    (
        '{"blacklist":"Blacklisted","blacklist":"Clean"}',
        {"blacklist": "Blacklisted"},
    ),
    (
        '[{"label":"Model","value":"iPhone 15"},{"label":"FMI","value":"OFF"}]',
        {"model": "iPhone 15", "fmi": "OFF"},
    ),
    (
        '{"model": "iPhone 15", "fmi": "ON", "carrier": "AT&T"',
        {"model": "iPhone 15", "fmi": "ON", "carrier": "AT&T"},
    ),
    (
        "**Model:** iPhone 12\n**SIM Lock:** Locked\n- Carrier: `T-Mobile`",
        {"model": "iPhone 12", "simlock": "Locked", "carrier": "T-Mobile"},
    ),
    (
        "[b]Model:[/b] iPhone 12 [A2403]\n[b]FMI:[/b] [color=red]ON[/color]",
        {"model": "iPhone 12 [A2403]", "fmi": "ON"},
    ),
    (
        "<result><imei>353979105704801</imei><model>iPhone 12</model><simlock>Locked</simlock></result>",
        {"imei": "353979105704801", "model": "iPhone 12", "simlock": "Locked"},
    ),
    (
        "&lt;b&gt;Model:&lt;/b&gt; iPhone 12&lt;br&gt;FMI: ON&lt;br/&gt;Carrier: AT&amp;amp;T",
        {"model": "iPhone 12", "fmi": "ON", "carrier": "AT&T"},
    ),
    (
        "📱 Model: iPhone 12\n🔒 SIM Lock: 🔴 Locked\n☁️ iCloud: ✅ Clean",
        {"model": "iPhone 12", "simlock": "Locked", "icloud_status": "Clean", "fmi": None},
    ),
    (
        "Modelo: iPhone 12\nOperadora: Movistar España\nBloqueo de SIM: Desbloqueado\nLista negra: "
        "No\nBuscar mi iPhone: Activado",
        {
            "model": "iPhone 12",
            "carrier": "Movistar España",
            "simlock": "Desbloqueado",
            "blacklist": "No",
            "fmi": "Activado",
        },
    ),
    (
        "Device: iPhone 12\nNetwork: GSM / LTE / 5G\nWarranty: Expired\nSerial No.: C39KP6WVTNJX",
        {
            "model": "iPhone 12",
            "carrier": None,
            "network_modes": "GSM / LTE / 5G",
            "warranty": "Expired",
            "serial": "C39KP6WVTNJX",
        },
    ),
    (
        "Model    iPhone 12\nIMEI     353979105704801\nSIM Lock   Locked\nFoo      bar",
        {"model": "iPhone 12", "imei": "353979105704801", "simlock": "Locked", "foo": "bar"},
    ),
    (
        "Model - iPhone 12\nSIM Lock - Locked\nCarrier - T-Mobile - USA",
        {"model": "iPhone 12", "simlock": "Locked", "carrier": "T-Mobile - USA"},
    ),
    (
        "Model → iPhone 12\nSIM Lock → Locked",
        {"model": "iPhone 12", "simlock": "Locked"},
    ),
    (
        "Model,iPhone 12\nSIM Lock,Locked",
        {"model": "iPhone 12", "simlock": "Locked"},
    ),
    (
        "Carrier: N/A\nModel: -\nBlacklist Status: N/A\nSerial: none\nFMI: ON",
        {"carrier": None, "model": None, "blacklist": None, "serial": None, "fmi": "ON"},
    ),
    (
        "Result: IMEI not found",
        {"kind": "rejected", "reason": "IMEI not found"},
    ),
    (
        "IMEI: 353979105704801<br>Result: Not Found",
        {"kind": "rejected"},
    ),
    (
        "Error: Insufficient credits",
        {"kind": "error", "reason": "Insufficient credits"},
    ),
    (
        '{"status":"error","message":"Service temporarily unavailable"}',
        {"kind": "error", "reason": "Service temporarily unavailable"},
    ),
    (
        "Invalid IMEI: 12345",
        {"kind": "rejected"},
    ),
    (
        "Unlock Code: 1234567890123456",
        {"kind": "unlock_code", "unlock_code": "1234567890123456"},
    ),
    (
        "Network Code=12345678<br>Defreeze=87654321",
        {"kind": "unlock_code", "nck": "12345678", "unfreeze": "87654321"},
    ),
    (
        "77442699",
        {"kind": "unlock_code"},
    ),
    (
        "N/A",
        {"kind": "empty"},
    ),
    (
        "<br> &nbsp; <br>",
        {"kind": "empty"},
    ),
    (
        "Thank you, your order is completed",
        {"kind": "free_text"},
    ),
    (
        "Model: iPhone 12<br>Blacklist: Not found in GSMA blacklist",
        {"blacklist": "Not found in GSMA blacklist"},
    ),
    (
        "Google Find My Device: ON\nModel: Pixel 8",
        {"fmi": None},
    ),
    (
        "Find My Device: ON\nModel: iPhone 8",
        {"fmi": "ON"},
    ),
    (
        "Network Status: Blacklisted\nModel: Moto G",
        {"carrier": None, "blacklist": None},
    ),
    (
        "SIM Lock: Locked (US T-Mobile)\nPurchase Country: United States",
        {"simlock": "Locked (US T-Mobile)", "purchase_country": "United States"},
    ),
    (
        "Apple Warranty: Active\nWarranty Expires: 2026-01-01",
        {"warranty": "Active", "warranty_end": "2026-01-01"},
    ),
    (
        "Reported Carrier: Vodafone\nGSMA Blacklisted: Yes\nBlacklisted On: 2020-01-01\nBlacklisted By: Vodafone",
        {"blacklist": "Yes", "carrier": None, "blacklisted_by": "Vodafone"},
    ),
    (
        "Model: iPhone 12\nLost Mode: OFF\nActivation Status: Activated\nFind My: OFF",
        {"fmi": "OFF", "lost_mode": "OFF", "activation": "Activated"},
    ),
    (
        "1. Model: iPhone 12\n2. FMI: ON",
        {"model": "iPhone 12", "fmi": "ON"},
    ),
    (
        "[Model] => iPhone 12\n[FMI] => ON",
        {"model": "iPhone 12", "fmi": "ON"},
    ),
    (
        "Wifi Model: x1\nBattery Serial Number: 123\nModel: iPhone 9",
        {"model": "iPhone 9", "serial": None},
    ),
    (
        "SIM Lock: Unlocked<br>Lock Status: Locked",
        {"simlock": "Unlocked"},
    ),
    (
        "GSMA Status: <font color=red><b>BLACKLISTED</b></font> (Lost / Stolen)",
        {"blacklist": "BLACKLISTED (Lost / Stolen)"},
    ),
    (
        "IMEI: 353979105704801<br/>Find My iPhone: ON<br/>Status: success",
        {"fmi": "ON", "status": "success"},
    ),
    (
        "Carrier: T-Mobile - USA - SIM Lock: Locked - Model: iPhone 12 Pro - 128GB",
        {"carrier": "T-Mobile - USA", "simlock": "Locked", "model": "iPhone 12 Pro - 128GB"},
    ),
    (
        "Model: iPhone 11 64GB Black IMEI: 353979105704801 Carrier: US - AT&T SIM Lock Status: Locked iCloud Lock: OFF",
        {"model": "iPhone 11 64GB Black", "carrier": "US - AT&T", "simlock": "Locked", "fmi": "OFF"},
    ),
    (
        "Model: iPhone 11 / FMI: ON / SIM Lock: Unlocked",
        {"model": "iPhone 11", "fmi": "ON", "simlock": "Unlocked"},
    ),
    (
        "Note: 3 days left\nNotice: see https://example.com/a?b=c",
        {"kind": "free_text"},
    ),
    (
        "SIMLOCK:UNLOCKED,FMI:OFF,MODEL:IPHONE 8,CARRIER:UNLOCKED",
        {"simlock": "UNLOCKED", "fmi": "OFF", "model": "IPHONE 8", "carrier": "UNLOCKED"},
    ),
    (
        "Network Lock: Unlocked\nNetwork: T-Mobile",
        {"simlock": "Unlocked", "carrier": "T-Mobile"},
    ),
    (
        "Simlock status: SIM unlocked\nIs blacklisted: false",
        {"simlock": "SIM unlocked", "blacklist": "false"},
    ),
    (
        "ICLOUD STATUS: ON\nMI LOCK: OFF",
        {"fmi": "ON", "mi_lock": "OFF"},
    ),
    (
        "<b>Model</b> iPhone 12 <b>FMI</b> ON<br><strong>Carrier</strong> AT&T",
        {"model": "iPhone 12", "fmi": "ON", "carrier": "AT&T"},
    ),
    (
        "<span class='k'>Model</span><span>iPhone 12</span><br><span>SIM Lock</span><span "
        "style='color:red'>Locked</span>",
        {"model": "iPhone 12", "simlock": "Locked"},
    ),
    (
        "SIM Lock: <b>Locked</b><br>Carrier: <span>Unlocked</span>",
        {"simlock": "Locked", "carrier": "Unlocked"},
    ),
    (
        "FMI [ON]\nSIM Lock (Locked)",
        {"fmi": "ON", "simlock": "Locked"},
    ),
    (
        "<script>Model: evil</script>Model: iPhone 12<style>FMI: ON</style><!-- Carrier: x -->",
        {"model": "iPhone 12", "fmi": None, "carrier": None},
    ),
    (
        "Result:<br><b>GSMA Report</b><br>Model: Moto G<br>Blocked: No",
        {"model": "Moto G", "blacklist": "No"},
    ),
    (
        "Model: iPhone 12\nIMEI: 353979105704801\nSold By: T-Mobile USA\nFirst Carrier: T-Mobile\n"
        "Locked Carrier: Unlocked",
        {"carrier": "Unlocked"},
    ),
    (
        "<div>Find My iPhone</div><div><span>OFF</span></div><div>SIM-Lock</div><div>UNLOCKED</div>",
        {"fmi": "OFF", "simlock": "UNLOCKED"},
    ),
    (
        "Brand: Apple Model Name: iPhone 12 Color: Black Storage: 64GB FMI Status: OFF",
        {"brand": "Apple", "model": "iPhone 12", "color": "Black", "capacity": "64GB", "fmi": "OFF"},
    ),
    (
        "Simlock Status:<font color=red>LOCKED</font>Carrier:<b>AT&T</b>",
        {"simlock": "LOCKED", "carrier": "AT&T"},
    ),
    ("SIM-Lock: Locked Carrier: US AT&T FMI: OFF", {"simlock": "Locked", "carrier": "US AT&T", "fmi": "OFF"}),
    (
        "IMEI,Model,FMI\n353979105704801,iPhone 12,ON",
        {"imei": "353979105704801", "model": "iPhone 12", "fmi": "ON"},
    ),
    (
        "IMEI|Model|Carrier|Simlock\n353979105704801|iPhone 12|AT&T|Locked",
        {"carrier": "AT&T", "simlock": "Locked"},
    ),
    ("Model: iPhone 12 ~ Simlock : Locked", {"model": "iPhone 12", "simlock": "Locked"}),
    ("Model: iPhone 12 * FMI: ON", {"model": "iPhone 12", "fmi": "ON"}),
    ("FMI: ON CARRIER: T-MOBILE - USA MODEL: IPHONE 12", {"carrier": "T-MOBILE - USA", "model": "IPHONE 12"}),
    ("FMI: ON - US Blacklist: Clean", {"fmi": "ON", "blacklist": "Clean"}),
    ("SIM: Unlocked\nFMI/iCloud: OFF", {"simlock": "Unlocked", "fmi": "OFF"}),
    (
        "Model: iPhone 12 Color: Black Carrier: T-Mobile Loan: Paid FMI: OFF",
        {"carrier": "T-Mobile", "loan": "Paid", "fmi": "OFF"},
    ),
]


Pairs = tuple[tuple[str, str], ...]
#: The same pairs as providers may write them.
REWRITTEN: dict[str, Callable[[Pairs], str]] = {
    "bold labels": lambda pairs: "<br/>\n".join(f"<b>{escape(label)}:</b> {escape(value)}" for label, value in pairs),
    "escaped fonts": lambda pairs: escape(
        "<br>".join(f"{escape(label)}: <font color='red'>{escape(value)}</font>" for label, value in pairs)
    ),
    "dashes": lambda pairs: " - ".join(f"{label}: {value}" for label, value in pairs),
    "commas": lambda pairs: ", ".join(f"{label}: {value}" for label, value in pairs),
    "bars": lambda pairs: " | ".join(f"{label} : {value}" for label, value in pairs),
    "semicolons": lambda pairs: "\r\n".join(f"{label};{value}" for label, value in pairs),
    "arrows": lambda pairs: "\n".join(f"{label} => {value}" for label, value in pairs),
    "a table": lambda pairs: "".join(
        f"<tr><td>{escape(label)}</td><td><span>{escape(value)}</span></td></tr>" for label, value in pairs
    ),
    "JSON": lambda pairs: json.dumps(dict(pairs)),
    "capitals": lambda pairs: "\\n".join(f"{label.upper()} = {value}" for label, value in pairs),
    "no-break spaces": lambda pairs: "<br>".join(
        f"{escape(label)}&nbsp;:&nbsp;{escape(value)}&nbsp;" for label, value in pairs
    ),
    "ticks": lambda pairs: "\n".join(f"🔹 {label}: {value} ✅" for label, value in pairs),
    "two lines": lambda pairs: "\n".join(f"{label}:\n{value}" for label, value in pairs),
}


@pytest.mark.parametrize("layout", REWRITTEN)
def test_the_same_pairs_say_the_same_in_any_layout(layout: str) -> None:
    """Every example that is a list of different labels, written anew, gives the same main fields."""
    rewritten = 0
    for example in EXAMPLES:
        report = read_report(example["raw"])
        labels = {label.upper() for label, _ in report.pairs}
        if example["kind"] != "completed" or len(labels) != len(report.pairs) or len(labels) < 2:
            continue
        rewritten += 1
        text = REWRITTEN[layout](report.pairs)
        again = read_report(text)
        for name in MAIN_FIELDS:
            accepted = [said(report, name), *example.get("accept", {}).get(name, [])]
            assert said(again, name) in accepted, (name, text)
    assert rewritten > 150


@pytest.mark.parametrize(("text", "expected"), LAYOUTS, ids=range(len(LAYOUTS)))
def test_other_layouts_and_labels_are_read_alike(text: str, expected: dict[str, str | None]) -> None:
    report = read_report(text)
    assert {name: said(report, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Blacklist Status: Blacklisted", "Blacklist Status: Clean"),
        ("FMI: ON", "Find My iPhone: OFF"),
        ("SIM Lock: Locked", "Sim-Lock Status: Unlocked"),
    ],
)
def test_no_order_of_lines_turns_bad_into_good(first: str, second: str) -> None:
    for text in (f"{first}<br>{second}", f"{second}<br>{first}"):
        report = read_report(text)
        states = sim_state(report.simlock), fmi_state(report.fmi), blacklist_state(report.blacklist)
        assert {"Locked", "ON", "Blacklisted"} & {*map(str, states)}


def test_every_pair_is_kept_in_order_with_repeated_and_unknown_labels() -> None:
    report = read_report("Model: X1<br>Zeta Flag: 7<br>Blacklist: Clean<br>Blacklist: Stolen<br>Country: N/A")
    assert report.pairs == (
        ("Model", "X1"),
        ("Zeta Flag", "7"),
        ("Blacklist", "Clean"),
        ("Blacklist", "Stolen"),
        ("Country", "N/A"),
    )
    assert report.other == {"zeta_flag": "7"}
