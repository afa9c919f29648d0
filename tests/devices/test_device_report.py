"""What the reader of result texts promises: each fact where the text says it, and none where it does not."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_texts import EXAMPLES, MAIN_FIELDS, said

from devices import STATE_OF
from devices.device_report import MAX_VALUE, DeviceReport, ReportKind, read_report
from devices.states import blacklist_state, fmi_state, sim_state

#: Texts with the facts that a careful reader takes from them, and those that he must not; made-up identifiers.
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases_results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_texts_are_read_as_a_careful_reader_would(example: dict[str, Any]) -> None:
    report = read_report(example["raw"])
    expected, accepted = example["expected"], example.get("accept", {})
    assert report.kind in [example["kind"], *accepted.get("kind", [])]
    for name in MAIN_FIELDS:
        assert said(report, name) in [expected[name], *accepted.get(name, [])], name
    for name, value in expected["other"].items():
        assert report.other.get(name) in [value, *accepted.get(name, [])], name


def fact(report: DeviceReport, name: str, ordered: str) -> object:
    """A state, whether the text is about another device, or a main field."""
    match name:
        case "sim":
            return str(sim_state(report.simlock))
        case "fmi":
            return str(fmi_state(report.fmi))
        case "bl":
            return str(blacklist_state(report.blacklist))
        case "other_device":
            return report.is_about_another_device(ordered)
    return getattr(report, name)


@pytest.mark.parametrize("case", CASES, ids=[case["raw"][:60] for case in CASES])
@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
def test_texts_from_the_wild_say_no_more_than_they_say(case: dict[str, Any], encoded: bool) -> None:
    raw = base64.b64encode(case["raw"].encode()).decode() if encoded and ": " in case["raw"] else case["raw"]
    report = read_report(raw)
    for name, expected in case["expected"].items():
        allowed = expected if isinstance(expected, list) else [expected]
        assert fact(report, name, case["ordered"]) in allowed, name


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("Locked", "Locked"),
        ("US AT&T Locked Policy", "Locked"),
        ("Yes", "Locked"),
        ("Unlocked", "Unlocked"),
        ("10 - Unlock", "Unlocked"),
        ("Not Locked", "Unlocked"),
        ("SIM-free", "Unlocked"),
        ("NO", "Unlocked"),
        ("Déverrouillé", "Unlocked"),
        ("No SIM restrictions", "Unlocked"),
        ("Non bloqué", "Unlocked"),
        ("Locked - not eligible for unlock", "Locked"),
        ("Locked by AT&T, please contact AT&T to unlock", "Locked"),
        ("Pending", "Unknown"),
        ("Locked / Unlocked", "Locked"),
        ("Not unlocked", "Locked"),
        ("Not found", "Unknown"),
        ("", "Unknown"),
        (None, "Unknown"),
    ],
)
def test_sim_state_reads_words_not_letters(value: str | None, state: str) -> None:
    assert sim_state(value) == state


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("ON", "ON"),
        ("Enabled", "ON"),
        ("Lost Mode", "ON"),
        ("Locked", "ON"),
        ("OFF", "OFF"),
        ("Unlocked", "OFF"),
        ("Not active", "OFF"),
        ("false", "OFF"),
        ("Désactivé", "OFF"),
        ("Activé", "ON"),
        ("ON (Family Sharing: OFF)", "ON"),
        ("Error, try again", "Unknown"),
        ("N/A", "Unknown"),
        ("Not found", "Unknown"),
        (None, "Unknown"),
    ],
)
def test_fmi_state_reads_words_not_letters(value: str | None, state: str) -> None:
    assert fmi_state(value) == state


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ("Clean", "Clean"),
        ("Not Blacklisted", "Clean"),
        ("Not reported lost/stolen", "Clean"),
        ("NO", "Clean"),
        ("Blocked", "Blacklisted"),
        ("Reported stolen", "Blacklisted"),
        ("Not clean", "Blacklisted"),
        ("Clean, but reported stolen", "Blacklisted"),
        ("Yes", "Blacklisted"),
        ("Reportado por robo", "Blacklisted"),
        ("BAD ESN (Lost/Stolen)", "Blacklisted"),
        ("Nein", "Clean"),
        ("Unable to verify", "Unknown"),
        ("NO RECORD FOUND", "Unknown"),
        ("Not found", "Unknown"),
        ("Not found in GSMA blacklist", "Unknown"),
        ("No records found", "Unknown"),
        ("None", "Unknown"),
        (None, "Unknown"),
    ],
)
def test_blacklist_state_calls_nothing_clean_that_is_not_said_to_be(value: str | None, state: str) -> None:
    assert blacklist_state(value) == state


@pytest.mark.parametrize(
    ("text", "other_device"),
    [
        ("IMEI: 353979105704801", False),
        ("IMEI: 353979105704802", False),
        ("IMEI: 35397910570480", False),
        ("IMEI: 35397910570XXXX", False),
        ("IMEI: 356168092439798<br>IMEI2: 353979105704801", False),
        ("Model: iPhone 12", False),
        ("IMEI: not found", False),
        ("IMEI: 356168092439798", True),
        ("IMEI: 35616809243XXXX", True),
        ("353979105704801!IMEI1: 356168092439798<br>IMEI2: 356168099720422", True),
    ],
)
def test_a_text_about_another_device_is_flagged(text: str, other_device: bool) -> None:
    assert read_report(text).is_about_another_device("353979105704801") is other_device


@pytest.mark.parametrize(
    ("answer", "state"), [("YES", "Unlocked"), ("No", "Locked"), ("Unlocked", "Unlocked"), ("Locked", "Locked")]
)
def test_yes_to_an_unlock_status_means_unlocked(answer: str, state: str) -> None:
    assert sim_state(read_report(f"Model: Moto G<br>Unlocked Status: {answer}").simlock) == state


def test_texts_of_the_simulated_provider_tell_their_facts_in_each_form() -> None:
    facts = ["Model: Pixel 8", "IMEI: 353979105704801", "SimLock: Locked", "FMI: OFF"]
    escaped = html.escape('<br><span style="color:red">').join(facts)
    for text in ("<br>".join(facts), "\n".join(facts), " - ".join(facts), " ".join(facts), escaped):
        report = read_report(text)
        assert (report.model, report.simlock, report.fmi) == ("Pixel 8", "Locked", "OFF")


PIECES = st.sampled_from(
    [
        "<b>", "</b>", "<br>", "<td>", "<tr>", "<", ">", "&lt;", "&#0;", "IMEI", "Model", "FMI", "Blacklist",
        ": ",
        " - ", "ON", "Clean", "353979105704801", "\t", "\n", "\x00", "\ud800", "{", "}", "[", "]", '"', ",",
        ";", "=",
        "|", "-", "\\n", "\\ud800", "N/A", "error", "not found", "<script>", "<!--", "🔴", "：",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_no_text_raises_and_every_report_is_clean(text: str) -> None:
    report = read_report(text)
    assert isinstance(report.kind, ReportKind)
    shown = [report.display, *(part for pair in report.pairs for part in pair), *report.other.values()]
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", part.replace("\t", "")) for part in shown)
    assert all(label and value for label, value in report.pairs)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("IMEI: 353370080000011, IMEI2: 353370080000029", "353370080000029"),
        ("IMEI: 353370080000029, IMEI2: 353370080000011", "353370080000029"),
        ("IMEI2: 353370080000011", "353370080000011"),
        ("IMEI: 353370080000011", None),
    ],
)
def test_the_other_imei_of_the_ordered_one_is_read_in_both_orders(text: str, other: str | None) -> None:
    assert read_report(text).second_of("353370080000011") == other
    assert read_report(text).second_of("35337") == read_report(text).imei2


@pytest.mark.parametrize(
    ("label", "field", "first", "last"),
    [
        ("Blacklist Status", "blacklist", "Clean", "blacklisted"),
        ("Find My iPhone", "fmi", "Off", "on"),
        ("SIM Lock", "simlock", "Unlocked", "locked"),
    ],
)
def test_a_long_value_keeps_its_state_and_not_all_its_words(label: str, field: str, first: str, last: str) -> None:
    """What decides may come behind the words that are kept."""
    state_of, sign = STATE_OF[field], "\u00e9"
    for value in (f"{first}; {sign * 500}", f"{first}; {sign * 190}; {last}"):
        kept = getattr(read_report(f"{label}: {value}"), field)
        assert len(kept.encode()) <= MAX_VALUE
        assert state_of(kept) == state_of(value)
    assert state_of(kept) != state_of(first)


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("iPhoneを探す: オン\nSIMロック: あり\nブラックリスト: 紛失", ("Locked", "ON", "Blacklisted")),
        ("iPhoneを探す：無効\nSIMロック：ロック解除\nブラックリスト: クリーン", ("Unlocked", "OFF", "Clean")),
        ("나의 iPhone 찾기: 켜짐\n유심 잠금: 잠김\n블랙리스트: 도난", ("Locked", "ON", "Blacklisted")),
        ("나의 iPhone 찾기: 꺼짐\n유심 잠금: 잠금 해제\n블랙리스트: 정상", ("Unlocked", "OFF", "Clean")),
        ("قفل الشبكة: نعم\nالعثور على iPhone: مفعل\nالقائمة السوداء: مسروق", ("Locked", "ON", "Blacklisted")),
        ("قفل الشبكة: غير مقفل\nقفل التنشيط: غير مفعل\nالقائمة السوداء: لا", ("Unlocked", "OFF", "Clean")),
    ],
)
def test_findings_in_japanese_korean_and_arabic_are_read(text: str, states: tuple[str, str, str]) -> None:
    report = read_report(text)
    found = sim_state(report.simlock), fmi_state(report.fmi), blacklist_state(report.blacklist)
    assert tuple(map(str, found)) == states
