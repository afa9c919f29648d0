"""Log lines as text and as JSON: ids, exceptions, and no secret in any of it."""

import json
import logging
import subprocess
import sys
import threading
from contextvars import Context
from pathlib import Path

import pytest

from logs import Redactor, about, begin_request
from logs.lines import AUDIT_LOG, CURRENT, Ids, JsonLines, TextLines

KEY = "Planted-Key-7f3a-99"
ROOT = Path(__file__).parents[2]


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("runner", logging.WARNING, __file__, 1, message, args, exc_info)


def failure() -> Exception:
    try:
        raise RuntimeError(f"refused {KEY}") from ValueError(KEY.upper())
    except RuntimeError as error:
        return error


def test_a_json_line_is_one_object_with_the_ids_that_are_known() -> None:
    with about(request_id="", batch_id=12, chunk_id=340):
        line = JsonLines(Redactor([KEY])).format(record("Chunk %d\nfailed: %s", 340, KEY, error=failure()))
    found = json.loads(line)
    assert "\n" not in line
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "runner", "Chunk 340\nfailed: [hidden]")
    assert (found["batch_id"], found["chunk_id"], "request_id" in found) == (12, 340, False)
    assert found["exception"].startswith("ValueError")
    assert found["time"].endswith("+00:00")
    assert KEY.lower() not in line.lower()


def test_the_fields_of_an_audit_entry_have_no_secret_at_any_depth() -> None:
    entry = record("an entry")
    entry.name = AUDIT_LOG
    entry.entry = {"actor": "anna", "detail": {"name": f"for {KEY}", "filter": [f"q {KEY}", 5], "imeis": 3}}
    line = json.loads(JsonLines(Redactor([KEY])).format(entry))
    assert line["detail"] == {"name": "for [hidden]", "filter": ["q [hidden]", 5], "imeis": 3}


def test_a_text_line_ends_with_its_ids_and_its_traceback_has_no_secret() -> None:
    with about(request_id="", batch_id=12):
        line = TextLines(Redactor([KEY])).format(record("It failed", error=failure()))
    first, *rest = line.splitlines()
    assert first.endswith(" - runner - [WARNING] - It failed [batch_id=12]")
    assert rest[-1] == "RuntimeError: refused [hidden]"
    assert KEY.lower() not in line.lower()


def test_ids_belong_to_one_thread_and_end_with_what_they_are_about() -> None:
    def work() -> None:
        with about(batch_id=1):
            thread = threading.Thread(target=lambda: seen.append(CURRENT.get()))
            thread.start()
            thread.join()
            with about(chunk_id=2):
                seen.append(CURRENT.get())
        seen.append(CURRENT.get())

    seen: list[Ids] = []
    Context().run(work)
    assert seen == [Ids(), Ids(batch_id=1, chunk_id=2), Ids()]


def test_a_request_replaces_the_id_of_the_one_before_it() -> None:
    def requests() -> None:
        for name in ("a", "b"):
            begin_request(name)
            lines.append(TextLines(Redactor()).format(record("x"))[-16:])

    lines: list[str] = []
    Context().run(requests)
    assert lines == ["x [request_id=a]", "x [request_id=b]"]


@pytest.mark.parametrize("lines", ["text", "json"])
def test_what_nobody_catches_is_logged_without_secrets(lines: str) -> None:
    program = f"""
import logging, threading, warnings
from dataclasses import replace
from logs import log_command
from settings import Settings
log_command(Settings(api_key={KEY!r}, username='anna', log_format={lines!r}))
def work(): raise RuntimeError('in a thread: {KEY}')
thread = threading.Thread(target=work, name='worker'); thread.start(); thread.join()
warnings.warn('careful: {KEY}')
raise RuntimeError('at the end: {KEY.lower()} of anna')
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    for words in ("in a thread: [hidden]", "careful: [hidden]", "at the end: [hidden] of [hidden]"):
        assert words in done.stderr
    assert KEY.lower() not in done.stderr.lower()
    if lines == "json":
        assert [json.loads(line)["level"] for line in done.stderr.splitlines()] == ["CRITICAL", "WARNING", "CRITICAL"]
