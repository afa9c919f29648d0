"""Messages by Apprise: sent in a child process, with a result for each address, and no secret in any of them."""

import json
import sys

import pytest
from scripted_server import ScriptedServer, hang

from notices import notifying
from notices.notifying import Message, Sent, send_messages, targets_of, without_secrets

SECRET = "tok3n-of-the-service"


def test_a_service_that_hangs_is_given_up() -> None:
    with ScriptedServer(hang(10.0)) as server:
        found = send_messages([Message("a", f"json://127.0.0.1:{server.port}/", "T", "T")], seconds=1.0)
    assert found == {"a": Sent(False, "No answer came within 45 seconds.")}


def test_what_a_service_prints_hides_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all messages of the run would be sent again, every five minutes."""
    lines = ["no JSON", "7", '{"key": "x"}', json.dumps({"key": "a", "sent": True, "words": ""}), '{"key": "b", "sent"']
    program = f"import sys; sys.stdin.read(); print({chr(10).join(lines)!r}, end='')"
    monkeypatch.setattr(notifying, "COMMAND", (sys.executable, "-c", program))
    found = send_messages([Message(key, "json://127.0.0.1/", "T", "T") for key in "ab"])
    assert (found["a"].is_sent, found["b"].is_sent) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        "Unparseable URL tgram://123456:AbC-dEf/chat",
        "url: /bot123456:ABC-DEF/sendMessage\nsecond line",
        "login of user with p%40ssw0rd failed",
        "login of user with P@SSW0RD failed",
        "\n  \n  123456  ",
    ],
)
def test_what_a_service_said_holds_no_part_of_the_address(words: str) -> None:
    found = without_secrets(words, "tgram://user:p%40ssw0rd@123456:AbC-dEf/chat?token=xyz9")
    assert not any(part in found.lower() for part in ("123456", "abc-def", "ssw0rd", "xyz9", "second"))


def test_an_address_is_known_by_a_key_and_shown_by_its_service_only() -> None:
    urls = [f"tgram://{SECRET}/1", f"MAILTOS://u:{SECRET}@example.com", f"tgram://{SECRET}/1"]
    found = targets_of(urls, "install")
    assert [target.label for target in found] == ["tgram://… (address 1)", "mailtos://… (address 2)"]
    assert targets_of(urls[1:2], "install")[0].key == found[1].key
    assert targets_of(urls[1:2], "other")[0].key != found[1].key
