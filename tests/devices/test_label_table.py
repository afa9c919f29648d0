"""Labels of providers, and the names under which their values are stored."""

import pytest

from devices.label_table import is_label, known_name, slug


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Find My iPhone", "fmi"),
        ("FIND  MY IPHONE (FMI)", "fmi"),
        ("Sim-Lock Status", "simlock"),
        ("US Blacklist", "blacklist"),
        ("IMEI 2", "imei2"),
        ("Serial Number", "serial"),
        ("Zeta Flag", ""),
        ("", ""),
    ],
)
def test_a_label_has_one_name_however_it_is_written(label: str, name: str) -> None:
    assert known_name(label) == name


def test_an_unknown_label_becomes_a_name_of_plain_letters() -> None:
    assert slug("Zeta  Flag (%)") == "zeta_flag"
    assert slug("Größe / Länge") == "grösse_länge"


def test_a_text_is_a_label_only_if_the_table_has_it() -> None:
    assert is_label("Carrier")
    assert not is_label("T-Mobile USA")
