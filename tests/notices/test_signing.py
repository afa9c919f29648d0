"""Payloads and signatures, read by the library that receivers use."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from database import utc_now
from notices.signing import message_id, new_secret, payload, signed_headers

CREATED = datetime(2026, 11, 25, 10, 0, 0, 123456)


def test_a_payload_has_a_type_a_time_and_data() -> None:
    body = payload("balance.low", CREATED, {"balance": "3.50"})
    expected = {"type": "balance.low", "timestamp": "2026-11-25T10:00:00.123Z", "data": {"balance": "3.50"}}
    assert json.loads(body) == expected


def test_either_secret_of_a_rotation_verifies_and_no_other() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    headers = signed_headers("evt_1", "{}", [new, old], utc_now())
    assert len(headers["webhook-signature"].split(" ")) == 2
    for key in (old, new):
        Webhook(key).verify("{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify("{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify("{ }", headers)


def test_a_signature_is_of_the_moment_of_the_attempt() -> None:
    now = utc_now()
    key = new_secret()
    assert int(signed_headers("evt_1", "{}", [key], now)["webhook-timestamp"]) == int(datetime.now(UTC).timestamp())
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(key).verify("{}", signed_headers("evt_1", "{}", [key], now - timedelta(hours=1)))


def test_an_event_has_one_name_that_a_restored_database_does_not_give_again() -> None:
    assert message_id(7, CREATED) == message_id(7, CREATED) == "evt_7_20261125T100000123456"
    assert message_id(7, CREATED + timedelta(microseconds=1)) != message_id(7, CREATED)


def test_a_secret_is_256_random_bits_in_the_form_of_the_standard() -> None:
    assert new_secret() != new_secret()
    assert new_secret().startswith("whsec_")
    assert len(Webhook(new_secret())._whsecret) == 32
