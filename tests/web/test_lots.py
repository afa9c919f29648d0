"""What an upload holds: phones by brand and model, and the warning about those that a service is not for."""

import pytest
from sqlalchemy import insert
from web_client import Browser

from database import IMEIDatabase
from imei import luhn_check_digit
from schema import orders
from spreadsheets import Choice, Intake, parsed_list
from storage.model_store import PhoneModel, TacRow, import_models
from submission import Again
from web.lots import (
    BrandPart,
    ModelCount,
    article,
    asked_again,
    chosen_imeis,
    known_from,
    misfit_words,
    misfits,
    model_words,
    models_in,
    parts_of,
)

APPLE, SAMSUNG, OTHER = "35337008", "35123456", "35999999"
FOR_APPLE = "Apple iPhone Carrier"


def numbers(tac: str, count: int) -> list[tuple[str, int | None]]:
    """Return IMEIs of a TAC with the rows that they came from."""
    bodies = [f"{tac}{number:06d}" for number in range(count)]
    return [(body + luhn_check_digit(body), row) for row, body in enumerate(bodies, 2)]


def part(brand: str, count: int, *models: str) -> BrandPart:
    return BrandPart(brand, tuple(numbers(OTHER, count)), tuple(ModelCount(name, count, 1, 1) for name in models))


def read(*texts: str) -> Intake:
    return parsed_list(texts).intake(Choice(), 100)


def test_wrong_check_digits_are_sent_only_where_the_option_says_so() -> None:
    [(good, _)] = numbers(APPLE, 1)
    wrong = good[:-1] + str((int(good[-1]) + 1) % 10)
    intake = read(good, wrong)
    assert chosen_imeis(intake, {}) == chosen_imeis(intake, {"include_luhn": False}) == [(good, 1)]
    assert chosen_imeis(intake, {"include_luhn": True}) == [(good, 1), (wrong, 2)]


def test_each_option_of_an_upload_repeats_its_own_kind_of_order() -> None:
    assert asked_again({}) == Again(checked=False, rejected=False)
    assert asked_again({"recheck": True}) == Again(checked=True, rejected=False)
    assert asked_again({"resend_rejected": True}) == Again(checked=False, rejected=True)


def test_parts_are_by_brand_the_largest_first_and_unknown_phones_last(browser: Browser, database: IMEIDatabase) -> None:
    """Two TACs of one model are counted together; an imported list names what no own result does."""
    with database.write() as connection:
        for number, model in enumerate(["Galaxy S21", "Galaxy S21", "Galaxy S21 5G"]):
            values = {"imei": f"{SAMSUNG}999{number:04d}", "model": model, "status": "Completed"}
            connection.execute(insert(orders).values(order_id=str(number), **values))
    import_models(database, [TacRow(tac, "Apple", "iPhone 14") for tac in (APPLE, "35337009")])
    imeis = [*numbers(OTHER, 9), *numbers(SAMSUNG, 2), *numbers(APPLE, 2), *numbers("35337009", 1)]
    with browser.client.application.app_context():
        parts = parts_of(imeis)
    assert [(one.brand, one.count, one.label) for one in parts] == [
        ("Apple", 3, "iPhone"),
        ("Samsung", 2, "Samsung"),
        ("", 9, "unknown"),
    ]
    assert parts[0].imeis == tuple(imeis[-3:])
    assert [(one.model, one.count, one.source) for one in models_in(parts)] == [
        ("iPhone 14", 3, "imported list"),
        ("Galaxy S21", 2, "2 of 3 results"),
    ]
    assert parts[2].models == ()


def test_apple_phones_are_called_iphones_only_where_all_are() -> None:
    assert part("Apple", 1, "iPhone 14", "Apple iPhone 12").label == "iPhone"
    assert part("Apple", 1, "iPhone 14", "iPad Air").label == "Apple"
    assert part("Google", 1, "iPhone copy").label == "Google"


def test_parts_that_a_service_is_not_for_are_named_and_unknown_ones_are_not() -> None:
    apple, samsung, unknown = part("Apple", 2, "iPhone 14"), part("Samsung", 1), part("", 4)
    assert misfits([apple, samsung, unknown], FOR_APPLE) == (samsung,)
    assert misfits([apple, samsung], "Blacklist worldwide") == ()


@pytest.mark.parametrize(
    ("parts", "title", "words"),
    [
        ([part("Samsung", 1)], FOR_APPLE, "1 IMEI is a Samsung phone. This service is for Apple."),
        ([part("Samsung", 2)], FOR_APPLE, "2 IMEIs are Samsung phones. This service is for Apple."),
        ([part("Apple", 1, "iPhone 14")], "Samsung Info", "1 IMEI is an iPhone. This service is for Samsung."),
        ([part("Apple", 1200, "iPhone 14")], "Samsung Info", "1,200 IMEIs are iPhones. This service is for Samsung."),
        (
            [part("Samsung", 2), part("Sony", 1)],
            "Apple and Google",
            "3 IMEIs are phones of other brands (2 Samsung, 1 Sony). This service is for Apple and Google.",
        ),
    ],
)
def test_the_warning_counts_the_phones_and_names_the_brands(parts: list[BrandPart], title: str, words: str) -> None:
    assert misfit_words(parts, title) == f"{words} The provider will probably reject them."
    assert misfit_words([], title) == ""


def test_a_model_says_how_it_is_known() -> None:
    assert known_from(0, 0) == ""
    assert (known_from(1, 1), known_from(3, 3), known_from(3, 4)) == ("1 result", "3 results", "3 of 4 results")
    galaxy = PhoneModel(SAMSUNG, "Samsung", "Galaxy S21", 3, 4)
    assert model_words(galaxy) == "Galaxy S21 (known from 3 of 4 results)"
    assert model_words(galaxy._replace(model="SM-G991U", results=0)) == "SM-G991U (from the imported list)"
    assert model_words(PhoneModel(OTHER, "Acme", "One", 0, 0)) == "Acme One (from the imported list)"
    assert model_words(PhoneModel(OTHER, "Acme", "", 0, 0)) == "Acme (from the imported list)"


def test_a_phone_has_the_article_that_it_is_spoken_with() -> None:
    for noun in ("iPhone 14", "Oppo A5", "Asus Zenfone", "LG G8", "HTC One", "Honor 9", "SM-G991U", "XT2051"):
        assert article(noun) == f"an {noun}"
    for noun in ("OnePlus 9", "Galaxy S21", "Huawei P30", "Lenovo K5", "Xperia 5", "Lumia 950"):
        assert article(noun) == f"a {noun}"
