"""A brand is read from whole words: of a model, of a maker, and of the title of a service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import brand_of, brands_of_service, fits
from devices.brands import NAMES

MODELS = {
    "Apple": [
        "iPhone 13 Pro",
        "IPHONE 11 64GB BLACK [A2111]",
        "Apple Watch Series 6",
        "iPad Air",
        "iPhone12,1",
        "A2161",
    ],
    "Samsung": ["Galaxy S21", "SM-G991U", "SAMSUNG A10", "sm-a217f/ds", "GT-I9500"],
    "Google": ["Pixel 6a", "Google Pixel 7", "Google"],
    "Xiaomi": ["Redmi Note 10", "Xiaomi 12", "POCO X3", "Mi 11 Ultra", "MI A3", "Mi Note 10"],
    "Motorola": ["Moto G Power", "XT2117-4", "motorola edge"],
    "OnePlus": ["OnePlus 9", "One Plus Nord"],
    "LG": ["LG Stylo 6", "LM-K400", "LG-H918"],
    "Sony": ["Xperia 5"],
    "Huawei": ["Huawei P30"],
    "Honor": ["Honor 50", "HONOR"],
    "Nokia": ["Nokia G20", "TA-1258"],
    "Oppo": ["OPPO A54", "CPH2239"],
    "Vivo": ["vivo Y21"],
    "Realme": ["realme 8", "RMX3241"],
    "TCL": ["TCL 20 SE"],
    "ZTE": ["ZTE Blade A5"],
}
#: Words that hold the letters of a brand, and name none.
NO_BRAND = [
    *("Honorable", "Pineapple", "ALG", "Algiers", "Family", "Mimi", "motorway", "promoting", "vivos", "Galaxyland"),
    *(
        "S21 128GB",
        "Mi",
        "Google Fi",
        "Vivo Brazil",
        "LG U+",
        "SM-",
        "A10",
        "A21611",
        "nothing",
        "",
        "5G",
        "T-Mobile USA",
    ),
]
SERVICES = {
    "iPhone Carrier + SIM lock": {"Apple"},
    "Samsung Info": {"Samsung"},
    "Apple FMI": {"Apple"},
    "FMI ON/OFF": {"Apple"},
    "iCloud Clean/Lost": {"Apple"},
    "Blacklist + FMI": {"Apple"},
    "Xiaomi Mi lock": {"Xiaomi"},
    "MI Account status": {"Xiaomi"},
    "Samsung Knox + FMI": {"Samsung"},
    "iPhone / Samsung / LG unlock": {"Apple", "Samsung", "LG"},
    "LG-Motorola info": {"LG", "Motorola"},
    "T-Mobile USA - Status Check": set(),
    "Worldwide blacklist (GSMA)": set(),
    "Honorable mention": set(),
    "Unlock, all models except iPhone": set(),
    "Non-Apple carrier check": set(),
    "Samsung unlock (no LG)": {"Samsung"},
    "Google Fi - iPhone unlock": {"Apple"},
    "Vivo Brazil unlock": set(),
    "AT&T - iPhone Premium Unlock 🔓": {"Apple"},
}


@pytest.mark.parametrize(("brand", "words"), [(brand, words) for brand, each in MODELS.items() for words in each])
def test_the_brand_of_a_model_is_read(brand: str, words: str) -> None:
    assert brand_of(words) == brand


@pytest.mark.parametrize("words", NO_BRAND)
def test_other_words_name_no_brand(words: str) -> None:
    assert brand_of(words) == ""


@pytest.mark.parametrize(("title", "brands"), SERVICES.items())
def test_the_brands_of_a_service_are_read(title: str, brands: set[str]) -> None:
    assert brands_of_service(title) == brands


@pytest.mark.parametrize(
    ("brand", "title", "is_for"),
    [
        ("Apple", "Apple Find My iPhone", True),
        ("Samsung", "Apple Find My iPhone", False),
        ("", "Apple Find My iPhone", True),
        ("Samsung", "GSMA status worldwide", True),
        ("", "GSMA status worldwide", True),
        ("Samsung", "All phones, no Samsung", True),
    ],
)
def test_a_service_of_another_brand_is_not_for_a_phone(brand: str, title: str, is_for: bool) -> None:
    assert fits(brand, title) is is_for


@given(st.sampled_from(sorted(NAMES.keys() - {"Nothing"})), st.text("bcdfghjklnpqrtvwxz", min_size=1, max_size=5))
def test_the_name_of_a_brand_counts_as_a_whole_word_only(brand: str, letters: str) -> None:
    for words in (brand, brand.upper(), f"({brand})", f"{brand} 12", f"x {brand.lower()}, y"):
        assert brand_of(words) == brand
        assert brands_of_service(words) == {brand}
    assert brand_of(f"{letters}{brand}") == brand_of(f"{brand}{letters}q") == ""


@given(st.text())
def test_no_title_breaks_the_reader(title: str) -> None:
    assert brands_of_service(title) <= set(NAMES)
