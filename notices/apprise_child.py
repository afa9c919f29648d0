"""A program that sends messages with Apprise; run as a child process only.

Apprise loads 100 modules and logs the addresses that it sends to, which hold passwords. So it gets a process of its own
that ends after the messages; addresses come on standard input, and each result goes out as a line of JSON.

    python -E -s -P notices/apprise_child.py < messages > results
"""

import json
import sys
from typing import Any

import apprise


def main() -> None:
    """Read a list of {key, url, title, body}; write {key, sent, words} for each as soon as it is sent or not."""
    for message in json.load(sys.stdin):
        sent, words = send(message)
        sys.stdout.write(json.dumps({"key": message["key"], "sent": sent, "words": words}) + "\n")
        sys.stdout.flush()


def send(message: dict[str, Any]) -> tuple[bool, str]:
    """Send one message; return whether it was taken, and what Apprise logged where it was not."""
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as log:  # type: ignore[no-untyped-call]
        sender = apprise.Apprise()
        known = sender.add(message["url"])
        sent = bool(known and sender.notify(title=message["title"], body=message["body"]))
        return sent, "" if sent else log.getvalue() or "Apprise does not know this kind of address."


if __name__ == "__main__":
    main()
