"""Damaged input: no reader fails or hangs, and nothing counts as placed that is not in the answer.

A seed decides each input, so that a run is the same on every machine. A failure names its seed.
"""

import html
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzzing import BYTES, Mutation, TookTooLongError, cut, drop, flip, in_time, inserted, mutated, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from old_workbooks import ods, xlsb
from sample_files import imei as made_up
from sample_files import text_workbook, workbook, wrong
from workbook_reader import read_in_this_process

import provider
from devices import read_report
from devices.states import BlacklistState, FmiState, SimState, blacklist_state, fmi_state, sim_state
from gsm_fusion_client import GSMFusionAPIError
from imei import ORDERABLE, is_valid
from orders import Chunk, Item, Outcome, PlacedOrder, PlacementAnswer
from spreadsheets import UnreadableFileError
from spreadsheets.cells import classify
from spreadsheets.delimited import Delimited
from spreadsheets.intake import ALL_COLUMNS, Intake
from spreadsheets.reading import read_file
from submission.judging import AllOrdered, judge, judge_by_name, judge_error, outcomes_of
from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, find_kind

#: Seconds of this process that one file may take: it is read twice, and Excel's parts are unpacked.
LONGEST_FILE = 2.0
#: Inputs of each kind. A child process reads workbooks, and a result text has up to 66,000 characters.
ANSWER_COUNT, FILE_COUNT, TEXT_COUNT, LINES_COUNT = 5000, 180, 180, 5000
DATA = Path(__file__).parents[1] / "data"

# The provider's XML

IMEIS = [made_up(number) for number in range(1, 9)]
PLACED = {(str(15_000_000 + place), imei) for place, imei in enumerate(IMEIS)}
RECORDS = "".join(
    f"<imeis><id>{order_id}</id><imei>{imei}</imei><status>Pending</status></imeis>"
    for order_id, imei in sorted(PLACED)
)
ANSWERS = [
    f"<result>{RECORDS}</result>",
    f'<?xml version="1.0" encoding="utf-8"?>\n<response>\n{RECORDS}</response>\n',
    f'<?phpxml version="1.0" encoding="utf-8"?><result><note>AT&T &eacute; a<br>b</note>{RECORDS}</result>',
    f"<br />\n<b>Notice</b>: x in <b>/a.php</b> on line <b>3</b><br />\n<result>{RECORDS}</result>",
]
OTHERS = [
    "<result><imeis><id>15000001</id><package>Check</package><imei>350000000000014</imei><statusId>2</statusId>"
    "<status>Completed</status><code><![CDATA[Model: x<br>FMI: <b>ON</b>]]></code><requestedat>2025-11-14 11:46:39"
    "</requestedat><repliedat></repliedat></imeis></result>",
    "<result><imeiduplicates><imei>350000000000014,350000000000022</imei></imeiduplicates><imeierrors><imei>1</imei>"
    "<error>Invalid IMEI: 1</error></imeierrors></result>",
    "<Packages><Package><PackageId>269</PackageId><PackageTitle>AT&amp;T</PackageTitle><PackagePrice>0.08"
    "</PackagePrice><MustRead><![CDATA[<b>x</b>]]></MustRead><CustomFields><CustomField><FieldName>A</FieldName>"
    "<Mandatory>Yes</Mandatory></CustomField></CustomFields></Package></Packages>",
    "<Client><ClientCredits>$ 150.00 USD</ClientCredits></Client>",
    "<error>Credit has been finished!</error>",
]
XML_WORDS = (
    b"<imeis>", b"</imeis>", b"<id>", b"</id>", b"<imei>", b"</imei>", b"<result>", b"</result>", b"<!--", b"-->",
    b"<![CDATA[", b"]]>", b"&nbsp;", b"&#0;", b"&#x1F;", b"&#99999999;", b"&lt;", b"&", b"<", b">", b'"', b"\0",
    b"<?php ?>", b"<?xml version='1.0'?>", b"<br>", b"</br>", b"<b a='", b"<a:b xmlns:a='u'>", b"\xff\xfe", b"\xe9",
    b"<!DOCTYPE r [<!ENTITY a 'aaaa'>]>", b"&a;", b"<html>", b"<status>", b" ", b"\n", b"<imei/>", b"<id/>",
)  # fmt: skip
XML_MUTATIONS: tuple[Mutation, ...] = (*BYTES, inserted(XML_WORDS), inserted(XML_WORDS), cut)
PARSERS: tuple[Callable[[bytes], object], ...] = (
    provider.parse_recent_orders, provider.parse_services, provider.parse_account,
)  # fmt: skip
CHUNK = Chunk(1, 1, "269", 1, 1, tuple(Item(number, imei) for number, imei in enumerate(IMEIS)))


#: What a reader takes out, or what holds nothing.
NOT_SEEN = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[|\]\]>|&#(?:0|x1F);|[\x01-\x08\x0b\x0c\x0e-\x1f]|<[^<>]*/>|</br\s*>",
    re.DOTALL | re.IGNORECASE,
)
FIELD = re.compile(r"<(/?)(?:[\w.-]+:)?(imeis|id|imei)\b[^<>]*>([^<]*)", re.IGNORECASE)


def stands_there(order: PlacedOrder, raw: bytes) -> bool:
    """Whether the bytes hold this order's id and IMEI whole and beside each other: judged by hand, without XML."""
    text = raw.decode("utf-8" if _is_utf8(raw) else "cp1252", "replace").replace("\0", "")
    text = NOT_SEEN.sub("", text)
    fields = [(mark + name.lower(), html.unescape(words).strip()) for mark, name, words in FIELD.findall(text)]
    number, imei = ("id", order.id), ("imei", order.imei)
    for one, two in ((number, imei), (imei, number)):
        for at in range(len(fields) - 3):
            whole = fields[at] == one and fields[at + 1][0] == "/" + one[0]
            if whole and fields[at + 2] == two and fields[at + 3][0] == "/" + two[0]:
                return True
    return False


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def check_placement(raw: bytes, parse: Callable[[bytes], PlacementAnswer] = provider.parse_placement) -> None:
    """An answer that named every IMEI as placed was spoiled: each is ordered as it stands there, or in doubt."""
    try:
        with in_time():
            answer = parse(raw)
    except GSMFusionAPIError as error:
        judgement = judge_error(CHUNK, error)
        assert b"error" in raw.lower() or {v.outcome for v in outcomes_of(CHUNK, judgement)} == {Outcome.IN_DOUBT}
        return
    for order in answer.orders:
        assert order.imei not in IMEIS or stands_there(order, raw), f"{order} is not in the answer"
    found = judge_by_name(CHUNK, answer).item_outcomes
    assert {one.outcome for one in found} <= {Outcome.ORDERED, Outcome.IN_DOUBT}
    if isinstance(judge(CHUNK, answer), AllOrdered):
        assert {one.outcome for one in found} == {Outcome.ORDERED}


def fuzz(seeds: range, make: Callable[[random.Random], bytes], check: Callable[[bytes], None]) -> None:
    """Make an input from each seed and check it; a failure names the seed and shows the input."""
    for seed in seeds:
        raw = make(random.Random(seed))
        try:
            check(raw)
        except (Exception, TookTooLongError) as error:
            raise AssertionError(f"seed {seed}, {len(raw)} bytes {raw[:3000]!r}: {error!r}") from error


def spoiled_answer(chance: random.Random) -> bytes:
    return mutated(chance, chance.choice(ANSWERS).encode(), XML_MUTATIONS)


def test_no_imei_of_a_spoiled_answer_is_placed_unless_it_stands_there_whole() -> None:
    fuzz(range(ANSWER_COUNT), spoiled_answer, check_placement)


def test_an_answer_cut_anywhere_places_nothing_that_is_not_whole() -> None:
    for text in ANSWERS:
        for length in range(0, len(text), 3):
            check_placement(text[:length].encode())


def test_other_spoiled_answers_are_read_or_refused_with_the_documented_error() -> None:
    def check(raw: bytes) -> None:
        for parse in PARSERS:
            try:
                with in_time():
                    parse(raw)
            except GSMFusionAPIError:
                continue

    def make(chance: random.Random) -> bytes:
        return mutated(chance, chance.choice(OTHERS).encode(), XML_MUTATIONS)

    fuzz(range(ANSWER_COUNT), make, check)


HUGE = {
    "deep": b"<a>" * 60_000 + b"</a>" * 60_000,
    "deep and open": b"<result>" + b"<imeis>" * 40_000,
    "deep in a list": b"<result>" + b"<imeis>" * 39 + RECORDS.encode() * 300 + b"</imeis>" * 39 + b"</result>",
    "laughs": b'<!DOCTYPE r [<!ENTITY a "' + b"a" * 50_000 + b'">]><result>' + b"&a;" * 50_000 + b"</result>",
    "brackets": b"<" * 300_000,
    "ampersands": b"<result>" + b"&" * 200_000 + b"</result>",
    "comments": b"<!--" * 200_000,
    "instructions": b"<?" * 300_000,
    "cdata": b"<result>" + b"<![CDATA[" * 100_000,
    "blanks": b"<result>" + b" " * 1_000_000 + b"x",
    "prologs": b'<?xml version="1.0"?>' * 40_000,
    "notices": b"<br />\n<b>" * 80_000 + b"<result>",
    "voids": b"<result>" + b"<br " * 200_000,
    "names": b"<result>" + b"<imeis><id>1</id>" * 30_000 + b"</imeis>" * 30_000 + b"</result>",
    "attribute": b"<result a='" + b"x" * 1_000_000 + b"'>",
    "errors": b"<result><imeierrors>" + b"<imei>1</imei>" * 30_000 + b"<error>x</error></imeierrors></result>",
    "numbers": b"<Client><ClientCredits>" + b"1," * 300_000 + b"</ClientCredits></Client>",
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_answer_is_read_or_refused_in_time(name: str) -> None:
    for parse in (provider.parse_placement, *PARSERS):
        try:
            with in_time():
                parse(HUGE[name])
        except GSMFusionAPIError:
            continue


# Files

ROWS = [["Model", "IMEI", "Note"], *[["iPhone", made_up(n), "x"] for n in range(12)], ["a", wrong(3), 'Ünï, "q"']]
ROWS += [["b", made_up(2), ""], ["c", "not one", "z"], ["d", "3.5E+14", ""], ["", "", "only a note"]]


def csv_of(mark: str, quoted: bool = False) -> bytes:
    cell = '"{}"' if quoted else "{}"
    return "\r\n".join(mark.join(cell.format(c.replace('"', "")) for c in row) for row in ROWS).encode()


FILES = [
    csv_of(","), csv_of(";"), csv_of("\t"), csv_of("|"), csv_of(",", quoted=True), "\n".join(IMEIS).encode(),
    csv_of(",").decode().encode("utf-16"), csv_of(";").decode().encode("cp1252"), ",".join(IMEIS * 3).encode(),
    text_workbook(ROWS), text_workbook(ROWS, inline=True),
    workbook({"Stock": ROWS, "Other": [[1, 2.5, True], [made_up(1)]]}, hidden_sheets=["Other"], hidden_rows=[4]),
]  # fmt: skip
FILE_WORDS = (
    b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"\x1a", b"=", b'="', b"sep=;\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xe9", "　".encode(), "٣".encode(), b"IMEI", b"35-", b"e+14", b"a" * 200, b'"\n"', b"1" * 50,
    b"&", b"<c>", made_up(1).encode(),
)  # fmt: skip
FILE_MUTATIONS: tuple[Mutation, ...] = (*BYTES, inserted(FILE_WORDS), inserted(FILE_WORDS))


def tampered(chance: random.Random, data: bytes) -> bytes:
    """A workbook with a member spoiled, gone, doubled or renamed; half of the time the archive itself is whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        victim = chance.choice(old.namelist())
        for name in old.namelist():
            content, fate = old.read(name), chance.randrange(8) if name == victim else 9
            if fate == 0:
                continue
            if fate == 1:
                name = chance.choice((name.upper(), "/" + name, name.replace("/", "\\"), "../" + name, "x" + name))
            elif fate < 8:
                content = mutated(chance, content, FILE_MUTATIONS)
            new.writestr(name, content)
    return out.getvalue()


def spoiled_file(chance: random.Random) -> bytes:
    data = chance.choice(FILES)
    if data.startswith(b"PK") and chance.random() < 0.8:
        return tampered(chance, data)
    return mutated(chance, data, FILE_MUTATIONS)


def check_file(raw: bytes, seconds: float = LONGEST_FILE) -> None:
    """Read or refused in time; what was read is accounted for, value by value."""
    try:
        with in_time(seconds):
            intake = read_file(raw)
    except UnreadableFileError as error:
        assert str(error).endswith("."), "not a sentence"
        return
    imeis = [each.imei for each in (*intake.ready, *intake.luhn_failed)]
    assert len(set(imeis)) == len(imeis)
    assert all(is_valid(each.imei) for each in intake.ready)
    assert not any(is_valid(each.imei) for each in intake.luhn_failed)
    assert {again.imei for again in intake.repeated} <= set(imeis)
    assert all(again.first_row <= again.row for again in intake.repeated)
    buckets = len(imeis) + len(intake.rejected) + len(intake.repeated) + len(intake.seconds)
    assert buckets == values_in(raw, intake), "a value is not accounted for"


def values_in(raw: bytes, intake: Intake) -> int:
    """How many values the chosen column holds, counted anew."""
    chosen, kind = intake.chosen, find_kind(raw)
    if kind is FileKind.CSV:
        quoted = not any("never closed" in warning for warning in intake.warnings)
        thousands = any("thousands" in warning for warning in intake.warnings)
        rows = Delimited(raw, chosen.encoding or "", chosen.delimiter or "", quoted, thousands).rows(Deadline(20))
    else:
        with read_in_this_process():
            book = Workbook(raw, kind, Deadline(20))
            rows = book.rows(next(sheet for sheet in book.sheets if sheet.name == chosen.sheet))
    column, count = chosen.column or 0, 0
    for number, cells, _ in rows:
        if number > (chosen.header_row or 0):
            wanted = cells if column == ALL_COLUMNS else cells[column : column + 1]
            count += sum(len(classify(cell)) for cell in wanted)
    return count


def test_a_spoiled_file_is_refused_with_a_sentence_or_every_value_is_accounted_for() -> None:
    fuzz(range(FILE_COUNT), spoiled_file, check_file)


@pytest.mark.parametrize("kind", ["xls", "xlsb", "ods"])
def test_a_spoiled_old_workbook_does_too(kind: str) -> None:
    """Each costs a process, so there are few."""
    table = [row[1:2] for row in ROWS]
    data = {"xls": (DATA / "stock.xls").read_bytes(), "xlsb": xlsb(table), "ods": ods(table)}[kind]

    def make(chance: random.Random) -> bytes:
        if kind == "xls":
            return mutated(chance, data, (cut, drop, flip, noise))
        return tampered(chance, data)

    fuzz(range(6), make, lambda raw: check_file(raw, 5.0))


LONG = {
    "one line": b"1" * 3_000_000,
    "one cell of words": b"imei " * 400_000,
    "open quote": b'IMEI\n"' + b"\n".join(made_up(n).encode() for n in range(20_000)),
    "quotes": b'"' * 1_000_000,
    "commas": b"," * 1_400_000,
    "spaced digits": b"3 " * 700_000,
    "points": b"35." * 500_000,
    "formulas": b'="35' * 300_000,
    "labels": b"IMEI: " * 300_000,
    "nul": b"35\0" * 300_000,
    "letters and digits": b"A1" * 700_000,
    "exponents": b"1e+" * 400_000,
    "line ends": b"\r" * 200_000 + made_up(1).encode(),
}


@pytest.mark.parametrize("name", LONG)
def test_a_file_of_one_endless_thing_is_read_or_refused_in_time(name: str) -> None:
    check_file(LONG[name], 5.0)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(["3", "35", "0", " ", "-", "/", ".", "e", "E+14", "IMEI", "=", '"', ",", "\n", "٣", "A", "f"])
    )
)
def test_pasted_text_yields_only_imeis_that_are_whole(pieces: list[str]) -> None:
    for found in classify("".join(pieces) + made_up(1)[len(pieces) % 15 :]):
        assert (found.kind in ORDERABLE) == bool(found.imei)
        assert not found.imei or re.fullmatch(r"[0-9]{15}", found.imei)


# Result texts

TEXTS = [example["raw"] for example in json.loads((DATA / "result_texts.json").read_text(encoding="utf-8"))]
PIECES = (
    "<br>", "<b>", "</b>", "<div", "<a b='", '"', "'", ":", "=", "|", "-", " - ", ", ", ",", ";", "\n", "\t", " ", "&",
    "&amp;", "&#58;", "\\u003c", "\\n", "{", "}", "[", "]", "[b]", "[/b]", "<td>", "<tr>", "</td>", "<!--",
    "<![CDATA[", "<script>", "(", ")", "Locked", "IMEI: ", "Model: x", "SIM Lock", "Find My iPhone: ", "Blacklist",
    "not ", "3", "A", "é", "：", "\u200b", "→", "🔒", "1.",
)  # fmt: skip
TEXT_MUTATIONS: tuple[Mutation, ...] = (*BYTES, inserted(tuple(piece.encode() for piece in PIECES)))
#: label → (a bad value, its reading, the state that must not come out).
BAD = (
    ("Blacklist Status", "BLACKLISTED", lambda report: blacklist_state(report.blacklist), BlacklistState.CLEAN),
    ("SIM Lock", "Locked", lambda report: sim_state(report.simlock), SimState.UNLOCKED),
    ("Find My iPhone", "ON", lambda report: fmi_state(report.fmi), FmiState.OFF),
)
#: What may take the line after it along, as it would in a browser.
SWALLOWING = ("<!--", "<![CDATA[", "<script>", "<div", "<a b='", "<td>", "<tr>", "</td>", '"', "\\u003c")
HARMLESS = tuple(piece for piece in PIECES if piece not in SWALLOWING)
GOOD = {"Blacklist Status": "Clean", "SIM Lock": "Unlocked", "Find My iPhone": "OFF"}


def test_a_hostile_result_text_is_read_in_time() -> None:
    """Pieces repeated up to the longest text that is read: what is quadratic shows."""

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.3:
            return mutated(
                chance,
                chance.choice(TEXTS).encode("utf-8", "surrogatepass"),
                (*BYTES, inserted(tuple(p.encode() for p in PIECES))),
            )
        piece = "".join(chance.choices(PIECES, k=chance.randint(1, 4)))
        opening = "".join(chance.choices(PIECES, k=chance.randint(0, 2)))
        return (opening + piece * (66_000 // len(piece))).encode()

    def check(raw: bytes) -> None:
        with in_time(3.0):  # 66,000 signs take 0.6 s where nobody else works, and what is not linear takes minutes
            read_report(raw.decode("utf-8", "replace"))

    fuzz(range(TEXT_COUNT), make, check)


def test_no_line_beside_a_bad_finding_makes_it_good() -> None:
    """Junk, and the same label with a good value, stand before and after the line with the bad one."""

    def make(chance: random.Random) -> bytes:
        label, bad, _, _ = chance.choice(BAD)
        lines = [f"{label}: {bad}", *(f"{label}: {GOOD[label]}" for _ in range(chance.randint(0, 2)))]
        lines += ["".join(chance.choices(HARMLESS, k=chance.randint(1, 6))) for _ in range(chance.randint(0, 3))]
        chance.shuffle(lines)
        return chance.choice(("<br>", "\n", "<br/>\r\n")).join(lines).encode()

    def check(raw: bytes) -> None:
        text = raw.decode()
        report = read_report(text)
        for label, bad, state, good in BAD:
            assert f"{label}: {bad}" not in text or state(report) is not good

    fuzz(range(LINES_COUNT), make, check)


# The harness itself


def believes_cut_answers(raw: bytes) -> PlacementAnswer:
    """A planted bug: every record that has begun counts."""
    found = re.findall(rb"<id>(\d+)</id><imei>(\d+)", raw)
    return PlacementAnswer(tuple(PlacedOrder(number.decode(), imei.decode()) for number, imei in found))


def forgives_cut_answers(raw: bytes) -> PlacementAnswer:
    """Another: what cannot be read placed nothing."""
    try:
        return provider.parse_placement(raw)
    except provider.OutcomeUnknownError as error:
        raise provider.NotSentError(str(error)) from error


@pytest.mark.parametrize("parse", [believes_cut_answers, forgives_cut_answers])
def test_the_fuzz_run_catches_a_reader_that_believes_cut_answers(parse: Callable[[bytes], PlacementAnswer]) -> None:
    with pytest.raises(AssertionError, match="seed"):
        fuzz(range(2000), spoiled_answer, lambda raw: check_placement(raw, parse))


def test_the_fuzz_run_catches_a_reader_that_hangs() -> None:
    def hang(_: bytes) -> PlacementAnswer:
        while True:
            pass

    with pytest.raises(TookTooLongError), in_time(0.1):
        hang(b"")
