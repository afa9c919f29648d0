"""What the resources of the API look like: every field each time, null where there is nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, make_response
from marshmallow import Schema, fields
from simulated_provider import imeis
from web_client import CARRIER, answer_chunks, order_batch

from api import answers
from api.answers import (
    AnswerSchema,
    BatchAnswer,
    Derived,
    ExportAnswer,
    ItemAnswer,
    OrderAnswer,
    ServiceAnswer,
    accepted,
    words,
)
from database import IMEIDatabase
from orders import ChunkState, Outcome, Progress
from storage import batch_queries, order_queries
from web import Export


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    """A request, for the addresses in answers."""
    with app.test_request_context():
        yield


class Inner(AnswerSchema):
    """What is made of a whole object."""

    text = words()


class Outer(AnswerSchema):
    """Fields of an object or of a mapping."""

    text = words(attribute="inner.text")
    count = fields.Integer()
    made = Derived(Inner, lambda given: given.get("inner") if isinstance(given, dict) else None)


def test_what_an_object_lacks_is_null_and_a_mapping_is_read_like_an_object() -> None:
    assert Outer().dump({"inner": {"text": "x"}, "more": 1}) == {"text": "x", "count": None, "made": {"text": "x"}}
    assert Outer().dump(object()) == {"text": None, "count": None, "made": None}


def every_answer() -> list[type[Schema]]:
    found = [one for one in vars(answers).values() if isinstance(one, type) and issubclass(one, AnswerSchema)]
    return [one for one in found if one is not AnswerSchema]


@pytest.mark.parametrize("answer", every_answer(), ids=lambda one: one.__name__)
def test_each_answer_has_each_field_whatever_it_is_made_of(answer: type[Schema]) -> None:
    """The document lists them as required, but the errors of a problem, which most problems lack."""
    required = {name for name, field in answer().fields.items() if field.required}
    assert required == set(answer().fields) - {"errors"}


@pytest.mark.usefixtures("context")
def test_a_batch_shows_where_it_stands_and_where_its_parts_are(database: IMEIDatabase) -> None:
    batch_id = order_batch(database, imeis(3))
    found = batch_queries.progress(database, batch_id)
    shown: Any = BatchAnswer().dump(found)
    assert (shown["id"], shown["state"], shown["stage"], shown["unit_price"]) == (1, "finished", "waiting", "0.08")
    assert shown["outcomes"] == dict.fromkeys(map(str, Outcome), 0) | {"ordered": 3}
    assert shown["verdicts"] == {"pass": 0, "review": 0, "fail": 0, "pending": 3}
    assert (shown["spent"], shown["cost"], shown["at_stake"], shown["is_settled"]) == ("0.24", "0.24", "0.00", False)
    links = {name: f"/api/v1/batches/1/{name}" for name in ("items", "results", "sheet", "events")}
    assert shown["links"] == links | {"self": "/api/v1/batches/1"}


@pytest.mark.usefixtures("context")
def test_a_batch_that_has_not_begun_has_times_of_null() -> None:
    progress = Progress(
        *(7, "Lot", "running", CARRIER.package_id, CARRIER.title, 0.08, 0),  # type: ignore[arg-type]
        outcomes=dict.fromkeys(Outcome, 0),
        chunks=dict.fromkeys(ChunkState, 0),
        revision=0,
        spent=0.0,
    )
    shown: Any = BatchAnswer().dump(progress)
    assert [shown[name] for name in ("created_at", "started_at", "finished_at")] == [None] * 3
    assert (shown["reason"], shown["ordered_by"]) == ("", "")


def test_an_item_has_its_order_only_where_there_is_one(database: IMEIDatabase) -> None:
    ordered, refused = imeis(2)
    batch_id = order_batch(database, [ordered])
    becomes = {ordered: (Outcome.DUPLICATE, ""), refused: (Outcome.REFUSED, "no")}
    order_batch(database, [refused])
    answer_chunks(database, becomes.__getitem__)
    batch = batch_queries.progress(database, batch_id)
    assert batch
    [item] = order_queries.items_with_orders(database, batch, 0, 9)
    shown: Any = ItemAnswer().dump(item)
    assert (shown["imei"], shown["outcome"], shown["order"]["status"]) == (ordered, "ordered", "Pending")
    assert set(shown["findings"].values()) == {None}
    without: Any = ItemAnswer().dump(item._replace(status=None, order_id=None))
    assert (without["order"], without["verdict"]) == (None, None)


def test_an_order_shows_the_imei_of_its_result_where_it_is_another_one(database: IMEIDatabase) -> None:
    order_batch(database, imeis(1))
    found = order_queries.find_order(database, "15000001")
    assert found
    shown: Any = OrderAnswer().dump(found._replace(other_imei="350000000000014", result_code_display="Model: X"))
    assert (shown["imei"], shown["result_imei"], shown["result"]) == (imeis(1)[0], "350000000000014", "Model: X")
    assert (shown["cost"], shown["batch_id"], shown["findings"]["model"]) == ("0.08", 1, None)


def test_a_service_has_the_names_of_the_api() -> None:
    shown: Any = ServiceAnswer().dump(CARRIER)
    assert (shown["id"], shown["is_orderable"], shown["price"]) == (CARRIER.package_id, True, "0.08")
    assert ServiceAnswer().dump({"package_id": "1", "orderable": False})["is_orderable"] is False


@pytest.mark.usefixtures("context")
def test_a_file_that_is_being_built_is_accepted_with_the_address_to_ask() -> None:
    export = Export("a-token", "orders.csv", 12, rows=3, notices=("One.",))
    answer = make_response(accepted(export))
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "2")
    assert answer.headers["Location"] == "/api/v1/exports/a-token"
    assert answer.json == ExportAnswer().dump(export)
    assert answer.json["links"] == {"self": "/api/v1/exports/a-token", "file": "/api/v1/exports/a-token/file"}
    assert (answer.json["id"], answer.json["notices"]) == ("a-token", ["One."])
