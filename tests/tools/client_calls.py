"""A client of a scripted server, and what it sends and reads."""

import traceback
from typing import Any

import pytest
from scripted_server import ScriptedServer

from gsm_fusion_client import (
    ClientOptions,
    GSMFusionAPIError,
    GSMFusionClient,
)

KEY, USER = "KEYS-TEST-ONLY-SECRET", "someone"
IMEI = "350000000000014"
PLACED = f"<result><imeis><id>15562209</id><imei>{IMEI}</imei><status>Pending</status></imeis></result>"
REDIRECT = ("307 Temporary Redirect", "Location: /gsmfusion_api/index.php")


def client_of(server: ScriptedServer, timeout: float = 5.0, **options: Any) -> GSMFusionClient:
    return at(server.url, timeout, **options)


def at(url: str, timeout: float = 5.0, **options: Any) -> GSMFusionClient:
    """A client of this address."""
    return GSMFusionClient(KEY, USER, timeout, options=ClientOptions(url, **options))


def order(server: ScriptedServer, timeout: float = 5.0) -> GSMFusionAPIError:
    """The error of one paid call."""
    with client_of(server, timeout) as client, pytest.raises(GSMFusionAPIError) as caught:
        client.place_imei_order(IMEI, "7")
    return caught.value


def assert_free_of_the_key(error: BaseException) -> None:
    assert KEY not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
