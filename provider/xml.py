"""The fields of the provider's answers: elements become the nouns of orders.py.

provider/body.py makes elements of a body. This module must not know HTTP, and it draws no conclusion about money:
provider/answers.py decides what an error or an unexpected answer means.
"""

import logging
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from xml.etree import ElementTree as ET

from amounts import HIGHEST_PRICE
from orders import Account, IMEIOrder, OrderStatus, PlacedOrder, PlacementAnswer, ServiceInfo
from provider.body import IMEI_LIKE, PROLOG

log = logging.getLogger(__name__)

#: Longest number in a price or a balance; longer digits are no amount of money.
AMOUNT_LENGTH = 15
#: Characters of what an answer says about one IMEI: a batch is summed up by it in an index, which takes 2,700 bytes.
LONGEST_REASON = 300
AMOUNT = re.compile(r"[\d.,]*\d")
MINUS_BEFORE = re.compile(r"-\s?[^\w\s-]?\s?$")

#: An order id. One with blanks or other characters was damaged in transit.
ORDER_ID = re.compile(r"[\w.#/:-]{1,64}", re.ASCII)
#: Characters of the longest id that a list may name: where ids are compared, they are read as numbers.
LONGEST_LISTED = 400
ORDER_FIELDS = frozenset({"id", "imei", "status", "statusid", "code", "package", "requestedat", "repliedat"})
STATUS_BY_ID = dict(zip("1234", OrderStatus, strict=True))
#: Characters of a status, an IMEI or the id of a service, and of a title: a database finds orders by an index of them.
LONGEST_WORD, LONGEST_TITLE = 200, 300
STATUS_BY_WORD = {re.sub(r"\W", "", status).lower(): status for status in OrderStatus}
PLAIN_RECORD = re.compile(
    r"<imeis>\s*+<id>\s*+(\w{1,64}+)\s*+</id>\s*+<imei>\s*+(\d++)\s*+</imei>\s*+"
    rf"<status>({'|'.join(OrderStatus)})</status>\s*+</imeis>\s*+",
    re.ASCII,
)
#: No optional part lies between two runs of blanks, so that the time to match grows linearly with the text.
PLAIN_HEAD = re.compile(rf"(?:{PROLOG.pattern}\s*)?<(result|response)>\s*", re.ASCII)
OPTIONAL_WORDS = frozenset({"", "no", "0", "false"})
#: What some panels write between the digits of an IMEI.
IMEI_SEPARATORS = re.compile(r"[\s\u00a0\u200b-\u200d\u2010-\u2015\ufeff./-]+")
#: One entry of a list such as "353209110000007, 353209110000015".
LISTED = re.compile(r"[^\s,;]+")
INVALID_IMEI = re.compile(r"invalid imei:\s*(\d+)", re.IGNORECASE)


def error_texts(root: ET.Element) -> list[str]:
    """Return the text of every <error>, also of the root, with single blanks; empty texts are left out."""
    texts = (" ".join(_text(element).split()) for element in root.iter("error"))
    return [text for text in texts if text]


def read_placement(root: ET.Element) -> PlacementAnswer:
    """Return what an answer to placeorder names; an empty answer where it has another shape.

    An order without an IMEI or without a valid id is left out. An error text that names no IMEI has an empty one.
    """
    records = [
        record
        for record in _order_records(root)
        if record.get("imei") and _is_id(record.get("id", "")) and ORDER_ID.fullmatch(record["id"])
    ]
    return PlacementAnswer(
        orders=tuple(PlacedOrder(r["id"], r["imei"], _status(r) or OrderStatus.PENDING) for r in records),
        duplicates=tuple(_duplicates(root)),
        errors=tuple(_named_errors(root)),
    )


def read_plain_placement(raw: bytes) -> PlacementAnswer | None:
    """Return what the usual answer to placeorder names, ten times faster than read_placement.

    The usual body holds only records of id, imei and a known status; None for any other body.
    """
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        return None
    parts = PLAIN_RECORD.split(text)  # the head; id, IMEI and status of each record, and what follows it
    head, ids = PLAIN_HEAD.fullmatch(parts[0]), parts[1::4]
    if head is None or parts[-1] != f"</{head[1]}>" or any(parts[4:-1:4]):
        return None
    if not all(order_id.strip("0") for order_id in ids):
        return None
    return PlacementAnswer(tuple(map(PlacedOrder._make, zip(ids, parts[2::4], parts[3::4], strict=True))))


def _is_id(text: str) -> bool:
    """Return whether a text is an id; some panels write 0 where nothing was placed."""
    return bool(text.strip("0"))


def _duplicates(root: ET.Element) -> Iterator[str]:
    for wrapper in root.iter("imeiduplicates"):
        leaves = wrapper.findall(".//imei") if len(wrapper) else [wrapper]
        for leaf in leaves:
            yield from LISTED.findall(_text(leaf))


def _named_errors(root: ET.Element) -> Iterator[tuple[str, str]]:
    refused = {id(element) for wrapper in root.iter("imeierrors") for element in wrapper.iter()}
    if root.tag == "error":
        yield from (("", text[:LONGEST_REASON]) for text in error_texts(root))
    for parent in root.iter():
        if parent.find("id") is None:
            yield from _errors_among(parent, id(parent) in refused)


def _errors_among(parent: ET.Element, refused: bool) -> Iterator[tuple[str, str]]:
    """Yield (IMEI, error text) of an element's children; with refused, also IMEIs without a text."""
    imeis: list[str] = []
    for child in parent:
        if child.tag == "imei" and not len(child):
            imeis += LISTED.findall(_text(child))
        elif child.tag == "error" and (words := " ".join(_text(child).split())):
            named = imeis or INVALID_IMEI.findall(words)[:1] or [""]
            yield from ((imei, words[:LONGEST_REASON]) for imei in named)
            imeis = []
    if refused:
        yield from ((imei, "") for imei in imeis)


def read_orders(root: ET.Element) -> list[IMEIOrder]:
    """Return the orders of a getimeis answer, in its order; a record of an IMEI without a usable id has an empty one.

    Such a record may be a second order of an IMEI that the answer names with an id, too.
    """
    return [
        IMEIOrder(
            id=record["id"] if _has_listed_id(record) else "",
            imei=plain_imei(record.get("imei", ""))[:LONGEST_WORD],
            status=_status(record),
            code=record.get("code", ""),
            service_id=sys.intern(record.get("package", "")[:LONGEST_TITLE]),  # a list names few services, often
            requested_at=record.get("requestedat", ""),
            replied_at=record.get("repliedat", ""),
        )
        for record in _order_records(root)
        if _has_listed_id(record) or (record.get("imei") and len(record) > 1)
    ]


def _has_listed_id(record: dict[str, str]) -> bool:
    return len(record.get("id", "")) <= LONGEST_LISTED and _is_id(record.get("id", ""))


def read_named_imeis(root: ET.Element) -> set[str]:
    """Return each IMEI that an answer names anywhere: where no order of it can be read, one may have been placed."""
    written = {imei for element in root.iter("imei") for imei in IMEI_LIKE.findall(_text(element))}
    return {imei if imei.isascii() else plain_imei(imei) for imei in written}


def texts_name_orders(root: ET.Element) -> bool:
    """Return whether an element within a result text has the name of an order's id."""
    return any(len(code) and code.find(".//id") is not None for code in root.iter("code"))


def plain_imei(text: str) -> str:
    """Return the digits of an IMEI written with blanks or dashes, or in another script; any other text unchanged.

    A masked IMEI is such a text.
    """
    digits = IMEI_SEPARATORS.sub("", text)
    if not digits.isdecimal():
        return text.strip()
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def _order_records(root: ET.Element) -> Iterator[dict[str, str]]:
    """Yield the records inside <imeis>: one element for each, one around all, or all fields in a row."""
    waiting = [(root, False)]
    while waiting:
        element, inside = waiting.pop()
        inside = inside or element.tag == "imeis"
        if inside:
            yield from _groups(element)
        inner = [child for child in reversed(element) if len(child) or child.tag == "imeis"]
        waiting += [(child, inside) for child in inner if child.tag != "code"]  # a text names no orders


def _groups(element: ET.Element) -> list[dict[str, str]]:
    """Return an element's fields as records: a repeated field starts a new one. Empty where that is ambiguous."""
    groups: list[dict[str, str]] = []
    for child in element:
        tag = child.tag
        if tag not in ORDER_FIELDS or (tag == "imei" and len(child)):
            continue
        if not groups or tag in groups[-1]:
            groups.append({})
        groups[-1][tag] = _text(child)
    if len(groups) > 1 and {next(iter(group)) for group in groups} not in ({"id"}, {"imei"}):
        return []
    return groups


def _status(record: dict[str, str]) -> str:
    """Return the known status, else the provider's word, else ""; a word takes precedence over a statusId."""
    word = record.get("status", "")
    if word:
        return _known_status(word) or word[:LONGEST_WORD]
    number = record.get("statusid", "")
    return STATUS_BY_ID.get(number) or number[:LONGEST_WORD]


@lru_cache(8)
def _known_status(word: str) -> OrderStatus | None:
    """Return the status that a provider's word means; a list of many orders has few words."""
    return STATUS_BY_WORD.get(re.sub(r"[\W_]", "", word).lower()) or STATUS_BY_ID.get(word)


def read_services(root: ET.Element) -> list[ServiceInfo]:
    """Return the services of a list, each id once; one without a usable id or a readable price is left out."""
    services: dict[str, ServiceInfo] = {}
    for package in root.iter("package"):
        service = _service(package)
        if service and service.price <= HIGHEST_PRICE:
            services.setdefault(service.package_id, service)
        elif len(package):
            log.warning("Left out service %.40r without a readable price", _field(package, "packageid"))
    return list(services.values())


def _service(package: ET.Element) -> ServiceInfo | None:
    service_id, price = _field(package, "packageid"), amount(_field(package, "packageprice"))
    if not service_id or len(service_id) > LONGEST_WORD or price is None or price < 0:
        return None
    return ServiceInfo(
        package_id=service_id,
        title=_field(package, "packagetitle")[:LONGEST_TITLE],
        price=price,
        category=_field(package, "category"),
        delivery_time=_field(package, "timetaken"),
        must_read=_field(package, "mustread"),
        required_fields=tuple(_required_fields(package)),
    )


def _required_fields(package: ET.Element) -> Iterator[str]:
    for custom in package.iter():
        if custom.find("mandatory") is None or _field(custom, "mandatory").lower() in OPTIONAL_WORDS:
            continue
        name = _field(custom, "fieldname") or _field(custom, "fieldlabel") or "unnamed field"
        if name.lower() != "imei":
            yield name


def read_account(root: ET.Element) -> Account | None:
    """Return what accountinfo reports; None where it names no credits."""
    for element in root.iter():
        if element.tag in ("clientcredits", "credits", "credit", "balance"):
            text = _text(element)
            return Account(amount(text), text)
    return None


def amount(text: str) -> float | None:
    """Return the number in a text such as "$ 150.00 USD"; None for no number, for two, and for an ambiguous one."""
    found = list(AMOUNT.finditer(text))
    if len(found) != 1 or len(found[0][0]) > AMOUNT_LENGTH:
        return None
    number = _plain_number(found[0][0])
    if number is None or "-" not in text:
        return number
    return -number if MINUS_BEFORE.search(text[: found[0].start()]) and text.count("-") == 1 else None


def _plain_number(digits: str) -> float | None:
    """Return the value of digits with separators; None for "1,234", which may mean 1.234 or 1234."""
    if re.fullmatch(r"\d*\.?\d+", digits):
        return float(digits)
    if re.fullmatch(r"0?,\d+|\d+,(\d|\d\d|\d{4,})", digits):
        return float(digits.replace(",", "."))
    if re.fullmatch(r"\d{1,3}((,\d{3})+\.\d+|(,\d{3}){2,})", digits):
        return float(digits.replace(",", ""))
    if re.fullmatch(r"\d{1,3}((\.\d{3})+,\d+|(\.\d{3}){2,})", digits):
        return float(digits.replace(".", "").replace(",", "."))
    return None


def _field(element: ET.Element, name: str) -> str:
    child = element.find(name)
    return "" if child is None else _text(child)


def _text(element: ET.Element) -> str:
    if not len(element):  # nearly every element, and a list has more than a hundred thousand
        return (element.text or "").strip()
    return "".join(element.itertext()).strip()
