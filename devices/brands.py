"""Whose phone it is, by the words of its model, and whose phones a service is for, by the words of its title. Pure.

A name says it outright: "Galaxy S21" is a Samsung. A hint counts only where no brand is named: "Blacklist + FMI" is for
Apple, "Samsung Info + FMI" is not. Names of carriers that look like a brand, such as Google Fi, do not count.
"""

import re
from functools import lru_cache

#: Brand → the words that name it, as a pattern of whole words.
NAMES = {
    "Apple": r"apple|iphones?|iphone\d+,\d+|ipads?|ipad\d+,\d+|ipod|macbook|airpods",
    "Samsung": r"samsung|galaxy|(?:sm|gt|sgh|sph|sch)-[a-z]\d{3,4}[a-z\d]*",
    "Google": r"google(?!\s+(?:fi|voice)\b)|pixel",
    "Xiaomi": r"xiaomi|redmi|poco(?:phone)?|black\s*shark|mi\s+(?:\d{1,2}[a-z]*|a\d|note|mix|max|play|pad)",
    "Motorola": r"motorola|moto|razr|xt\d{4}",
    "OnePlus": r"one\s?plus",
    "LG": r"lg(?!\s*u(?:\+|plus\b))|lge|lm-[a-z]\d{3}[a-z\d]*",
    "Sony": r"sony|xperia",
    "Huawei": r"huawei",
    "Honor": r"honor",
    "Nokia": r"nokia|hmd|ta-\d{4}",
    "Oppo": r"oppo|cph\d{4}",
    "Vivo": r"vivo(?!\s+(?:brazil|brasil)\b)|iqoo",
    "Realme": r"realme|rmx\d{4}",
    "TCL": r"tcl",
    "Alcatel": r"alcatel",
    "ZTE": r"zte|nubia|red\s?magic",
    "HTC": r"htc",
    "BlackBerry": r"black\s?berry",
    "Asus": r"asus|zenfone|rog\s+phone",
    "Lenovo": r"lenovo",
    "Microsoft": r"microsoft|lumia|surface\s+duo",
    "Nothing": r"nothing\s+phone|cmf\s+phone",
    "Tecno": r"tecno",
    "Infinix": r"infinix",
    "Kyocera": r"kyocera",
    "Coolpad": r"coolpad",
    "Sonim": r"sonim",
    "Fairphone": r"fairphone",
    "Meizu": r"meizu",
}
#: Brand → what only its phones have.
HINTS = {
    "Apple": r"a[1-3]\d{3}|fmip?|find\s+my(?:\s+iphone)?|icloud|gsx|apple\s*care|ios",
    "Samsung": r"knox(?:\s+guard)?",
    "Xiaomi": r"mi\s+(?:lock|lost|account|cloud|unlock)",
}
#: A brand behind these words is one that a service is not for.
EXCEPT = r"(?:(?:all|any)\s+)?(?:no|not|non|except|excluding|excludes|without)[\s:-]+(?:for\s+|the\s+)?"


def _groups(patterns: dict[str, str]) -> str:
    """Return the pattern that finds each brand as whole words, under the name of its group."""
    groups = "|".join(f"(?P<{brand}>{words})" for brand, words in patterns.items())
    return rf"(?<!\w)(?:{groups})(?!\w)"


NAMED, HINTED = (re.compile(_groups(patterns), re.IGNORECASE) for patterns in (NAMES, HINTS))
NOT_FOR = re.compile(rf"(?<!\w){EXCEPT}{_groups(NAMES)}", re.IGNORECASE)


@lru_cache(maxsize=10_000)
def brand_of(words: str) -> str:
    """Return the brand of a phone, from its model or maker, such as "iPhone 13 Pro" or "SM-G991U"; "" if unknown."""
    found = NAMED.search(words) or HINTED.search(words)
    return (found.lastgroup or "") if found else ""


@lru_cache(maxsize=10_000)
def brands_of_service(title: str) -> frozenset[str]:
    """Return the brands whose phones a service is for, from its title; none: it is for every phone."""
    named = NOT_FOR.sub(" ", title)
    for pattern in (NAMED, HINTED):
        if found := frozenset(match.lastgroup or "" for match in pattern.finditer(named)):
            return found
    return frozenset()


def fits(brand: str, title: str) -> bool:
    """Return whether the service of this title is for phones of a brand; unknown ones fit every service."""
    wanted = brands_of_service(title)
    return not brand or not wanted or brand in wanted
