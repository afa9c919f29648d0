"""What a request may bring: little before a login, text and fields in bounds after it, files up to 25 MB."""

import io
import time
import tracemalloc
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from simulated_provider import imeis
from web_client import CARRIER, Browser, Provider, make_app, words

from database import IMEIDatabase
from settings import Settings
from web.forms import MAX_FIELDS, MAX_FIELDS_BEFORE_LOGIN, MAX_REQUEST_BEFORE_LOGIN, MAX_TEXT

MEGABYTE = 1024 * 1024
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def stranger(settings: Settings, database: IMEIDatabase, provider: Provider) -> FlaskClient:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")
    return make_app(real, database, provider).test_client()


@pytest.mark.parametrize(
    ("start", "part", "times"),
    [
        (b"", b"a=&", 25 * MEGABYTE // 3),
        (b"", b"&", 25 * MEGABYTE),
        (b"password=", b"x", 25 * MEGABYTE),
        (b"password=", b"x", MAX_REQUEST_BEFORE_LOGIN),
        (b"a=1", b"&a=1", MAX_FIELDS_BEFORE_LOGIN),
    ],
    ids=["25 MB of fields", "25 MB of separators", "25 MB of password", "16 KB", "21 fields"],
)
def test_a_large_login_is_refused_at_once_and_costs_no_memory(
    stranger: FlaskClient, start: bytes, part: bytes, times: int
) -> None:
    body = start + part * times
    began = time.process_time()
    tracemalloc.start()
    answer = stranger.post("/login", data=io.BytesIO(body), content_type=FORM, content_length=len(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 413
    assert time.process_time() - began < 2
    assert peak < 5 * MEGABYTE


def test_a_multipart_login_is_limited_too(stranger: FlaskClient) -> None:
    many = {f"field{n}": "1" for n in range(MAX_FIELDS_BEFORE_LOGIN + 1)}
    assert stranger.post("/login", data=many, content_type="multipart/form-data").status_code == 413
    file = {"file": (io.BytesIO(b"x" * MEGABYTE), "stock.csv")}
    assert stranger.post("/login", data=file).status_code == 413
    assert stranger.post("/batch", data={"file": (io.BytesIO(b"x"), "stock.csv")}).status_code == 303


def test_a_body_of_unknown_length_is_refused_before_a_login(stranger: FlaskClient) -> None:
    answer = stranger.post(
        "/login",
        input_stream=io.BytesIO(b"username=admin"),
        content_type=FORM,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert answer.status_code == 411


def test_a_paste_of_100000_imeis_is_taken(browser: Browser) -> None:
    assert browser.paste([f"{imei}  iPhone 13 Pro Max, 256 GB" for imei in imeis(100_000)]).startswith(
        "/batch/preview/"
    )


def test_a_file_may_have_25_megabytes_and_text_may_not(browser: Browser) -> None:
    rows = (f"{imei},{'words ' * 4000}" for imei in imeis(1000))
    assert browser.upload("\n".join(rows).encode()).status_code == 303
    answer = browser.post("/batch", {"imeis": "\n" * (MAX_TEXT + 1), "service_id": CARRIER.package_id})
    assert answer.status_code == 413
    assert "You can send at most 25 MB of files and 8 MB of text" in words(answer)


@pytest.mark.parametrize("content_type", [FORM, "multipart/form-data"])
def test_text_is_limited_as_a_whole_and_fields_are_counted_after_a_login(
    app: Flask, browser: Browser, content_type: str
) -> None:
    halves = {"imeis": "\n" * (MAX_TEXT // 2 + 1), "service_id": "\n" * (MAX_TEXT // 2 + 1)}
    assert browser.client.post("/batch", data=halves, content_type=content_type).status_code == 413
    many = {"imei": ["1"] * (MAX_FIELDS + 1)}
    assert browser.client.post("/submit", data=many, content_type=content_type).status_code == 413
