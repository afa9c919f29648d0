"""Messages to the addresses of NOTIFY_URLS, sent by Apprise in a child process.

An address holds passwords or tokens, often in the place of its host: nothing but its scheme is ever shown or logged.
"""

import hmac
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

PROGRAM = Path(__file__).with_name("apprise_child.py")
#: Without the environment, the user's packages, and the folder of the program in the search path.
COMMAND = (sys.executable, "-E", "-s", "-P", str(PROGRAM))
#: Seconds for all messages of one run; characters of what a service said that are kept.
DEADLINE, MOST_KEPT = 45.0, 200
#: Characters of a part of an address from which on it counts as a secret in what Apprise says.
SHORTEST_SECRET = 3
TOO_LATE = f"No answer came within {DEADLINE:g} seconds."


@dataclass(frozen=True, slots=True)
class Target:
    """One address of NOTIFY_URLS."""

    key: str  #: a keyed hash that names it in the database
    label: str  #: such as "slack address 2", for pages and logs
    url: str  #: secret


@dataclass(frozen=True, slots=True)
class Message:
    """What one target is sent."""

    key: str  #: names it among the messages of one run
    url: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message."""

    is_sent: bool
    words: str = ""  #: why not, without a secret


def targets_of(urls: Sequence[str], install_id: str) -> list[Target]:
    """Return the addresses of NOTIFY_URLS, each once, as pages and the database may know them."""
    return [
        Target(
            hmac.digest(install_id.encode(), url.encode(), "sha256").hex()[:20],
            f"{url.partition('://')[0].lower()}://… (address {place})",
            url,
        )
        for place, url in enumerate(dict.fromkeys(urls), 1)
    ]


def send_messages(messages: Sequence[Message], seconds: float = DEADLINE) -> dict[str, Sent]:
    """Send all messages and return what became of each, by its key."""
    try:
        done = subprocess.run(
            COMMAND,
            input=json.dumps([asdict(message) for message in messages]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback may hold an address
            timeout=seconds,
            env={},
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
    found = dict.fromkeys((message.key for message in messages), Sent(False, TOO_LATE))
    urls = {message.key: message.url for message in messages}
    for line in output.splitlines(keepends=True):
        try:
            result = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if not isinstance(result, dict) or result.get("key") not in urls:
            continue  # the child was ended while it wrote, or a service of Apprise printed this
        words = without_secrets(result["words"], urls[result["key"]])
        found[result["key"]] = Sent(result["sent"], words)
    return found


def without_secrets(words: str, url: str) -> str:
    """Return the first line that Apprise logged, without any part of the address that it was for."""
    line = next(filter(None, map(str.strip, words.splitlines())), "")
    rest = url.partition("://")[2]
    parts = {part for text in (rest, unquote(rest)) for part in re.split(r"[/:@?&=#,;%\s]+", text)}
    for part in sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=len, reverse=True):
        line = re.sub(re.escape(part), "…", line, flags=re.IGNORECASE)
    return line[:MOST_KEPT]
