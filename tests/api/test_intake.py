"""What becomes of each value of a request: taken, repaired, merged, or refused with its reason."""

from io import BytesIO
from typing import Any

import pytest
from api_client import SERVICE, ApiClient, problem
from simulated_provider import imeis
from web_scenes import batch_count

from database import IMEIDatabase
from imei import luhn_check_digit

GOOD = imeis(2)
WRONG = GOOD[1][:14] + str((int(GOOD[1][14]) + 5) % 10)


def test_values_that_are_not_valid_refuse_the_whole_list_by_default(api: ApiClient, database: IMEIDatabase) -> None:
    given = [GOOD[0], "junk", WRONG, " ", "12345"]
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": given})
    errors = problem(refused, 422, "invalid-imeis")["errors"]
    assert [error["pointer"] for error in errors] == [f"#/imeis/{place}" for place in (1, 2, 3, 4)]
    assert [error["text"] for error in errors[:1]] == ["junk"]
    assert "check digit is wrong" in errors[1]["detail"]
    assert batch_count(database) == 0


def test_values_that_are_not_valid_can_be_skipped(api: ApiClient) -> None:
    created = api.batch([GOOD[0], "junk", WRONG, GOOD[0]], invalid="skip")
    assert (created["total"], created["counts"]["rejected"], created["counts"]["repeated"]) == (1, 2, 1)
    assert [bad["row"] for bad in created["rejected"]] == [2, 3]


def test_a_wrong_check_digit_can_be_taken(api: ApiClient) -> None:
    assert api.batch([*GOOD[:1], WRONG], take_wrong_check_digits=True)["total"] == 2


def test_what_was_repaired_is_reported(api: ApiClient) -> None:
    one = imeis(1)[0]
    created = api.batch([one[:14], f"{one[:2]}-{one[2:8]}-{one[8:14]}-{one[14]}"])
    assert [repaired["imei"] for repaired in created["repaired"]] == [one]
    assert created["repaired"][0]["reason"]
    assert created["total"] == 1


def test_an_imei_as_a_number_is_refused_because_it_loses_its_zero(api: ApiClient) -> None:
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": [int(GOOD[0]), GOOD[1]]})
    assert problem(refused, 422, "invalid-request")["errors"] == [
        {"detail": "Not a valid string.", "pointer": "#/imeis/0"}
    ]


def test_a_leading_zero_stays(api: ApiClient) -> None:
    body = "01" + GOOD[0][2:14]
    api.batch([body + luhn_check_digit(body)])
    items: Any = api.get("/batches/1/items").json
    assert items["items"][0]["imei"].startswith("01")


def test_rows_of_a_file_are_named(api: ApiClient) -> None:
    data = f"Stock\nIMEI,Model\n{GOOD[0]},iPhone\n{WRONG},Pixel\n".encode()
    form = {"service_id": SERVICE, "file": (BytesIO(data), "stock.csv")}
    errors = problem(api.post("/batches", data=form), 422, "invalid-imeis")["errors"]
    assert [(error["row"], "pointer" in error) for error in errors] == [(4, False)]


@pytest.mark.parametrize("data", [b"", b"no numbers here", b"PK\x03\x04broken"])
def test_a_file_that_cannot_be_read_is_a_problem(api: ApiClient, data: bytes) -> None:
    form = {"service_id": SERVICE, "file": (BytesIO(data), "stock.xlsx")}
    assert problem(api.post("/batches", data=form), 422, "invalid-request")["detail"]


def test_a_long_list_of_errors_is_cut(api: ApiClient) -> None:
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": ["junk"] * 5000})
    found = problem(refused, 422, "invalid-imeis")
    assert (len(found["errors"]), found["detail"]) == (100, "5,000 values are not valid, so nothing was ordered.")
