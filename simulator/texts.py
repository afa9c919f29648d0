"""The 236 services of the simulated provider, and a result text for any IMEI.

Everything follows from the service and the digits of the IMEI, so that two runs are equal. The forms are those of real
answers (HTML with coloured spans, escaped HTML, plain lines, "Label: value - Label: value"). This module must not know
orders or charges.
"""

import html
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b

SERVICE_COUNT = 236
REJECTIONS = ("Rejected by Admin", "IMEI not found", "Wrong IMEI or unsupported device", "")
COLOURS = {
    "Unlocked": "green", "Clean": "green", "OFF": "green", "Locked": "red", "Blacklisted": "red", "ON": "red",
}  # fmt: skip
FAST = ("Instant-5 Minutes", "Instant", "1-15 Minutes", "1-6 Hours")
SLOW = ("1-3 Days", "1-24 Hours", "3-7 Working Days")
FORMS = ("spans", "lines", "dashes", "escaped")

APPLE_MODELS = (
    "iPhone 11 64GB Black [A2111] [iPhone12,1]", "iPhone 11 Purple 64GB",
    "iPhone 11 Pro 256GB Midnight Green", "iPhone 12 128GB Blue [A2403] [iPhone13,2]",
    "iPhone 12 mini 64GB White", "iPhone 12 Pro Max 256GB Silver", "iPhone 13 128GB Midnight",
    "iPhone 13 Pro 256GB Sierra Blue [A2483] [iPhone14,2]", "iPhone 14 128GB Starlight",
    "iPhone 14 Pro Max 512GB Deep Purple", "iPhone 15 128GB Pink", "iPhone 15 Pro 256GB Natural Titanium",
    "iPhone 16 128GB Ultramarine", "iPhone SE (3rd generation) 64GB Red", "iPhone XR 128GB Coral",
    "iPhone XS 64GB Space Gray [A1920]",
)  # fmt: skip
OTHER_MODELS = {
    "Samsung": ("Galaxy S21 FE 5G (SM-G990B/DS)", "Galaxy S24 Ultra (SM-S928U)", "Galaxy A54 5G (SM-A546E)"),
    "Xiaomi": ("Xiaomi 14", "Redmi Note 12 Pro+ 5G", "POCO X5 Pro 5G", "Mi 11 Lite 5G NE"),
    "Google": ("Pixel 8", "Pixel 7a", "Pixel 6 Pro"),
    "Motorola": ("moto g84 5G", "edge 40 neo", "razr 40 ultra"),
    "Huawei": ("P30 Pro (VOG-L29)", "Mate 20 lite", "nova 9"),
    "LG": ("Velvet 5G (LM-G900)", "K51", "Stylo 6"),
    "OnePlus": ("11 5G (CPH2449)", "Nord N200 5G", "9 Pro"),
    "Sony": ("Xperia 1 V (XQ-DQ54)", "Xperia 10 IV"),
    "Oppo": ("Find X5 Pro", "Reno8 5G", "A78 5G"),
    "Vivo": ("V25 Pro 8G+128G", "Y36"),
    "ZTE": ("Blade V 2020", "Axon 40 Ultra"),
    "Nokia": ("G42 5G", "X30 5G"),
    "Alcatel": ("Idol3-4.7", "1S (2021)"),
}  # fmt: skip
CARRIERS = (
    "Unlocked", "US T-Mobile", "US AT&T", "US Verizon", "US Sprint/T-Mobile Locked Policy", "10 - Unlock",
    "US Cricket", "US Xfinity Mobile", "UK EE", "UK O2", "UK Vodafone", "Canada Rogers", "France Orange",
    "Spain Movistar", "Mexico Telcel", "US Reseller Flex Policy",
)  # fmt: skip
NETWORKS = (
    "T-Mobile USA", "AT&T USA", "Verizon USA", "Sprint USA", "Cricket USA", "Metro by T-Mobile",
    "Xfinity Mobile USA", "US Cellular", "Boost Mobile USA", "TracFone USA", "EE UK", "O2 UK", "Vodafone UK",
    "Three UK", "Tesco UK", "Rogers Canada", "Bell & Virgin Canada", "Telus & Koodo Canada", "Freedom Canada",
    "Orange France", "SFR France", "Bouygues France", "Movistar Spain", "Vodafone Spain", "Yoigo Spain",
    "Telekom Germany", "O2 Germany", "TIM Italy", "Vodafone Italy", "KPN Netherlands", "Swisscom",
    "Telia Sweden", "Telenor Norway", "Orange Poland", "Meo Portugal", "Telcel Mexico", "Claro Brazil",
    "Optus Australia", "Telstra Australia", "SoftBank Japan", "Docomo Japan",
)  # fmt: skip
APPLE_CHECKS = (
    ("10-7.1# Apple iPhone IMEI Carrier + Simlock + FMI", 8, "apple"),
    ("Apple Carrier + SimLock + FMI + Blacklist (GSX) 🔥", 12, "apple"),
    ("Apple Basic Info: Model & Serial & Warranty", 3, "apple_basic"),
    ("Apple Find My iPhone ON/OFF ⚡", 2, "fmi"),
    ("Apple iCloud Clean/Lost Status", 4, "icloud"),
    ("Apple SIM Lock Status - IMEI only", 5, "apple_lock"),
    ("Apple Sold By + Coverage", 180, "apple_basic"),
    ("Apple MDM Status ON/OFF", 45, "icloud"),
    ("Apple Full GSX Report + Case History", 250, "apple"),
    ("Apple Next Tether Policy ID", 6, "apple_lock"),
    ("Apple Serial <-> IMEI Converter", 3, "apple_basic"),
    ("Apple Activation & Purchase Date", 3, "apple_basic"),
)
BLACKLISTS = (
    "GSMA Blacklist Worldwide 🌍", "GSMA Blacklist Pro + Reason & Country",
    "USA Blacklist (T-Mobile + AT&T + Verizon)", "UK CheckMEND Report", "Canada Blacklist (CWTA)",
    "Australia AMTA Lost & Stolen", "Mexico IMEI Status (IFT)", "Brazil Anatel - Celular Legal",
    "India CEIR Status", "Japan Network Restriction ○△✕",
)  # fmt: skip
BRAND_CHECKS = ("Model & Info", "Info + Warranty", "Carrier + Country", "Blacklist + Info")
MUST_READ = (
    "",
    "<p><b>Read first:</b> no refund for wrong IMEI.<br>Working days only.</p>",
    "<div style='color:red'>Bulk accepted &amp; welcome</div><ul><li>No verify</li><li>No cancel</li></ul>",
    "Supported: all models\nNot supported: demo units",
)
#: What each kind of service reports, in its order; the names in braces are those of _device().
FACTS = {
    "apple": "Model: {model}, IMEI Number: {imei}, Serial Number: {serial}, IMEI2 Number: {imei2}, "
    "MEID Number: {meid}, Estimated Purchase Date: {bought}, Carrier: {carrier}, Next Tether Policy: {policy}, "
    "Current GSMA Status: {listed}, Find My iPhone: {fmi}, SimLock: {lock}",
    "apple_basic": "Model: {model}, IMEI Number: {imei}, Serial Number: {serial}, IMEI2 Number: {imei2}, "
    "MEID Number: {meid}, Estimated Purchase Date: {bought}, Warranty Status: {warranty}, Demo Unit: No",
    "apple_lock": "Model: {model}, IMEI Number: {imei}, Serial Number: {serial}, Locked Carrier: {carrier}, "
    "SIM-Lock Status: {lock}",
    "fmi": "IMEI: {imei}, Find My iPhone: {fmi}",
    "icloud": "Model: {model}, IMEI Number: {imei}, Find My iPhone: {fmi}, iCloud Status: {icloud}",
    "unlock": "Model: {model}, IMEI Number: {imei}, SIM-Lock Status: Unlocked, "
    "Message: Connect to Wi-Fi and restore to finish",
    "network": "Device Model: {model}, IMEI: {imei}, Network: {carrier}, Lock Status: {lock}, "
    "Blacklist Status: {listed}, FMI: {fmi}",
    "blacklist": "IMEI: {imei}, Model: {model}, Blacklist Status: {listed}, Blacklist Records: {records}",
    "code": "IMEI: {imei}, NCK: {nck}, Unfreeze: {unfreeze}",
    "samsung": "IMEI: {imei}, Model Name: {model}, Serial Number: {serial}, Warranty Until: {bought}, "
    "Carrier: {carrier}, Knox Guard: {fmi}, Country: United States",
    "xiaomi": "IMEI: {imei}, Model Name: {model}, Serial Number: {serial}, MI Lock Status: {fmi}, "
    "MI Lost Status: {listed}, Purchase Country: N/A",
    "generic": "IMEI: {imei}, Model Name: {model}, Serial Number: {serial}, Purchase Date: {bought}, "
    "Blacklist Status: {listed}",
}
#: The ids of the services that the tests order.
FIXED_IDS = {APPLE_CHECKS[0][0]: "1739", "T-Mobile USA - Status Check": "269"}


@dataclass(frozen=True, slots=True)
class Package:
    """One service, as imeiservices lists it; catalogue() fills the fields that follow from its place in the list."""

    title: str
    cents: int  #: US cents an IMEI
    category: str
    kind: str  #: a key of FACTS
    brand: str = "Apple"
    required: tuple[str, ...] = ()  #: mandatory custom fields
    package_id: str = ""
    category_id: int = 0
    delivery: str = ""
    must_read: str = ""  #: HTML
    form: str = ""  #: how its result is laid out, one of FORMS

    def cents_at(self, factor: float) -> int:
        """Return the US cents an IMEI while all prices are multiplied by this factor."""
        return round(self.cents * factor)


@cache
def catalogue() -> tuple[Package, ...]:
    """Return the 236 services, identical in every run; 1739 and 269 cost $0.08."""
    apple = [Package(title, cents, "Apple Checks", kind) for title, cents, kind in APPLE_CHECKS]
    offers = (apple + _network_offers() + _brand_offers() + _blacklist_offers())[:SERVICE_COUNT]
    categories = sorted({offer.category for offer in offers})
    return tuple(_placed(place, offer, categories) for place, offer in enumerate(offers))


def luhn_ok(digits: str) -> bool:
    """Return whether the last digit is the check digit of those before it."""
    return _check_sum(digits) % 10 == 0


def is_rejected(package: Package, imei: str, share: float) -> bool:
    """Return whether the order ends as Rejected: a wrong check digit always, else this share (0 to 1) of IMEIs."""
    return not luhn_ok(imei) or int.from_bytes(_digest(package.package_id, imei)[:4]) < share * 2**32


def rejection_text(package: Package, imei: str) -> str:
    """Return the provider's words for a rejected order; may be empty."""
    return REJECTIONS[_digest(package.package_id, imei)[5] % len(REJECTIONS)]


def result_text(package: Package, imei: str) -> str:
    """Return the raw result of a completed order, as in <code> before XML escaping."""
    phone = _device(package.brand, imei)
    facts = [fact.strip().format_map(phone) for fact in FACTS[package.kind].split(",")]
    return _lay_out([(label, value) for label, _, value in (fact.partition(": ") for fact in facts)], package.form)


def _network_offers() -> list[Package]:
    offers = []
    for place, network in enumerate(NETWORKS):
        unlock = 300 + 137 * place % 2201
        cents = 8 if network == "T-Mobile USA" else 5 + 11 * place % 60
        offers.append(Package(f"{network} - Status Check", cents, "Network Status Checks", "network"))
        offers.append(Package(f"{network} - iPhone Factory Unlock (Clean)", unlock, "iPhone Unlock", "unlock"))
        offers.append(Package(f"{network} - iPhone Premium Unlock 🔓", 2500 - place * 23, "iPhone Unlock", "unlock"))
    offers[1] = replace(offers[1], required=("Email",))
    return offers


def _brand_offers() -> list[Package]:
    offers = []
    for place, brand in enumerate(OTHER_MODELS):
        kind = brand.lower() if brand in ("Samsung", "Xiaomi") else "generic"
        for number, what in enumerate(BRAND_CHECKS):
            offers.append(Package(f"{brand} {what}", 2 + number * 4 + place, f"{brand} Checks", kind, brand))
        for number, region in enumerate(("Worldwide", "Europe", "USA")):
            cents = 150 + place * 90 + number * 210
            required = ("Network", "Country") if place == number == 2 else ()
            offers.append(Package(f"{brand} Unlock Code - {region}", cents, "Unlock Codes", "code", brand, required))
    return offers


def _blacklist_offers() -> list[Package]:
    offers = [Package(title, 2 + place * 5, "Blacklist Checks", "blacklist") for place, title in enumerate(BLACKLISTS)]
    offers[3] = replace(offers[3], required=("Serial Number",))
    return offers


def _placed(place: int, offer: Package, categories: list[str]) -> Package:
    deliveries = SLOW if offer.kind in ("unlock", "code") else FAST
    return replace(
        offer,
        package_id=FIXED_IDS.get(offer.title, str(11 + place * 7)),
        category_id=categories.index(offer.category) + 1,
        delivery=deliveries[place % len(deliveries)],
        must_read=MUST_READ[place % len(MUST_READ)],
        form=FORMS[place % len(FORMS)],
    )


def _digest(*parts: str) -> bytes:
    """Return 16 bytes that depend on nothing but the parts."""
    return blake2b("/".join(parts).encode(), digest_size=16).digest()


def _check_sum(digits: str) -> int:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    plain = (int(digit) for digit in digits[::-2])
    return sum(value - 9 if value > 9 else value for value in doubled) + sum(plain)


def _with_check_digit(body: str) -> str:
    return body + str(-_check_sum(body + "0") % 10)


def _device(brand: str, imei: str) -> dict[str, str]:
    """Return what is true of one made-up device, whichever service is asked."""
    tac, own = _digest(imei[:8]), _digest(imei)
    models = OTHER_MODELS.get(brand, APPLE_MODELS)
    carrier = CARRIERS[own[1] % len(CARRIERS)]
    free = carrier in ("Unlocked", "10 - Unlock") or own[2] % 4 == 0
    clean = own[4] % 20 != 0
    nck = f"{int.from_bytes(own[:4]) % 10**8:08d}"
    return {
        "imei": imei,
        "imei2": _with_check_digit(("35" if imei.startswith("86") else "86") + imei[2:14]),
        "meid": imei[:14],
        "serial": "".join("0123456789CDFGHJKLMNPQRTVWXY"[byte % 28] for byte in own[:12]),
        "model": models[tac[0] % len(models)],
        "carrier": carrier,
        "lock": "Unlocked" if free else "Locked",
        "fmi": "ON" if own[3] % 3 == 0 else "OFF",
        "listed": "Clean" if clean else "Blacklisted",  # on the blacklist or not
        "records": "None" if clean else "1",
        "icloud": "Clean" if clean else "Lost Mode",
        "bought": f"20{19 + own[9] % 6}-{1 + own[10] % 12:02d}-{1 + own[11] % 28:02d}",
        "warranty": "Apple Limited Warranty" if own[12] % 3 else "Out Of Warranty",
        "policy": str(10 + own[13] % 90),
        "nck": nck,  # it unlocks the device
        "unfreeze": nck[::-1],
    }


def _lay_out(facts: list[tuple[str, str]], form: str) -> str:
    if form == "lines":
        return "\n".join(f"{label}: {value}" for label, value in facts)
    if form == "dashes":
        return " - ".join(f"{label}: {value}" for label, value in facts)
    text = "<br>".join(f"{label}: {_coloured(value)}" for label, value in facts)
    return html.escape(text, quote=False) if form == "escaped" else text


def _coloured(value: str) -> str:
    colour = COLOURS.get(value)
    return f'<span style="color:{colour};">{value}</span>' if colour else html.escape(value, quote=False)
