"""The child process: each message is sent by Apprise, and each has a line with what became of it."""

import json

from scripted_server import ScriptedServer, reply

from notices.notifying import Message, Sent, send_messages

SECRET = "tok3n-of-the-service"


def test_each_address_gets_its_message_or_says_why_not() -> None:
    with ScriptedServer(reply("ok"), reply("no", "403 Forbidden")) as server:
        address = f"json://127.0.0.1:{server.port}/{SECRET}"
        messages = [Message(key, address, "Title", "Text") for key in "ab"] + [Message("c", f"{SECRET}://x", "T", "T")]
        found = send_messages(messages)
    assert found["a"] == Sent(True)
    assert (found["b"].is_sent, found["c"].is_sent) == (False, False)
    assert "403" in found["b"].words
    assert found["c"].words
    assert SECRET not in repr(found)
    sent = json.loads(server.requests[0].body)
    assert (sent["title"], sent["message"]) == ("Title", "Text")
