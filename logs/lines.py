"""Log lines: text or JSON, with the ids of request, batch and chunk, and without secrets.

`about()` sets the ids for what is logged inside it. The formatters remove secrets from the finished line, tracebacks
included. This module must not know Flask, gunicorn's classes or the database.
"""

import json
import logging
import logging.config
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from logs.redaction import Redactor
from settings import JSON_LINES, Settings

LOG_FORMAT = "%(asctime)s - %(name)s - [%(levelname)s] - %(message)s"
#: gunicorn's names for a finished request → ours. Query strings are left out: they hold IMEIs.
REQUEST_ATOMS = {"h": "address", "m": "method", "U": "path", "s": "status", "B": "bytes", "M": "ms"}
REQUEST_ID_ATOM = "{x-request-id}o"
ACCESS_FORMAT = f'%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms request=%({REQUEST_ID_ATOM})s'
#: The server's own loggers.
ERROR_LOG, ACCESS_LOG = "gunicorn.error", "gunicorn.access"
#: A record of this logger has its entry as fields.
AUDIT_LOG = "audit"


@dataclass(frozen=True, slots=True)
class Ids:
    """What a log line is about; empty or 0 where it is not known."""

    request_id: str = ""
    batch_id: int = 0
    chunk_id: int = 0

    def known(self) -> dict[str, Any]:
        """Return the ids that are known, by name."""
        return {name: value for name, value in asdict(self).items() if value}


CURRENT = ContextVar("CURRENT", default=Ids())  # noqa: B039  # Ids is frozen


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Add these ids (fields of Ids) to what this thread logs inside."""
    token = CURRENT.set(replace(CURRENT.get(), **ids))
    try:
        yield
    finally:
        CURRENT.reset(token)


def begin_request(request_id: str) -> None:
    """Add this id to what this thread logs until its next request."""
    CURRENT.set(Ids(request_id))


class TextLines(logging.Formatter):
    """One line as text: LOG_FORMAT, then the ids that are known."""

    def __init__(self, redactor: Redactor, fmt: str = LOG_FORMAT) -> None:
        super().__init__(fmt)
        self._redactor = redactor

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without its traceback."""
        line = super().formatMessage(record)
        if record.name == ACCESS_LOG:  # a path may hold an encoded line break
            return line.encode("unicode_escape").decode()
        known = " ".join(f"{name}={value}" for name, value in CURRENT.get().known().items())
        return f"{line} [{known}]" if known else line

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback, without secrets."""
        return self._redactor.clean(super().format(record))


class JsonLines(logging.Formatter):
    """One line as a JSON object: time, level, logger, message, the ids that are known, exception."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without secrets."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.name == ACCESS_LOG and isinstance(record.args, Mapping):
            fields |= _request_fields(record.args)
        else:
            fields |= CURRENT.get().known()
        if record.name == AUDIT_LOG:
            fields |= getattr(record, "entry", {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(self._clean(fields), ensure_ascii=False, default=str)

    def _clean(self, value: Any) -> Any:
        """Return a value without secrets, also inside objects and lists."""
        if isinstance(value, str):
            return self._redactor.clean(value)
        if isinstance(value, Mapping):
            return {name: self._clean(inner) for name, inner in value.items()}
        return [self._clean(inner) for inner in value] if isinstance(value, list | tuple) else value


def _request_fields(atoms: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: atoms[atom] for atom, name in REQUEST_ATOMS.items()}
    request_id = atoms[REQUEST_ID_ATOM]
    found["status"] = int(found["status"])
    return found | ({"request_id": request_id} if request_id != "-" else {})


def redactor_for(settings: Settings) -> Redactor:
    """Return what hides the secrets of these settings."""
    return Redactor(settings.secrets, () if settings.demo else settings.usernames)


def server_logging(settings: Settings) -> dict[str, Any]:
    """Return the logging of a server, for dictConfig: JSON on standard output; text on standard error.

    Finished requests and the entries of the audit log are on standard output in both, whatever LOG_LEVEL is.
    """
    config = _logging(settings, settings.log_level, "stdout" if settings.log_format == JSON_LINES else "stderr")
    config["handlers"]["audit"] = {**config["handlers"]["events"], "stream": "ext://sys.stdout"}
    config["loggers"][AUDIT_LOG] = {"level": "INFO", "handlers": ["audit"], "propagate": False}
    return config


def _logging(settings: Settings, level: str, stream: str) -> dict[str, Any]:
    redactor = redactor_for(settings)
    lines: dict[str, Any] = {"()": JsonLines if settings.log_format == JSON_LINES else TextLines, "redactor": redactor}
    requests = lines if settings.log_format == JSON_LINES else {**lines, "fmt": "%(message)s"}
    ours = {"level": level, "handlers": ["events"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"events": lines, "requests": requests},
        "handlers": {
            "events": {"class": "logging.StreamHandler", "formatter": "events", "stream": f"ext://sys.{stream}"},
            "requests": {"class": "logging.StreamHandler", "formatter": "requests", "stream": "ext://sys.stdout"},
        },
        "root": {"level": level, "handlers": ["events"]},
        "loggers": {
            ERROR_LOG: ours,
            ACCESS_LOG: {"level": "INFO", "handlers": ["requests"], "propagate": False},
            # One says each call to the provider, the other each look at the schema; neither is an event.
            "urllib3": {"level": "INFO"},
            "alembic": {"level": "WARNING"},
        },
    }


def log_server(settings: Settings) -> None:
    """Log as a server does, in this process."""
    logging.config.dictConfig(server_logging(settings))
    log_uncaught()


def log_command(settings: Settings) -> None:
    """Log as a command does: warnings, or all at LOG_LEVEL=DEBUG, on standard error. A process that logs is left alone.

    Standard output belongs to the result of the command.
    """
    if not logging.getLogger().handlers:
        level = settings.log_level if settings.log_level == "DEBUG" else "WARNING"
        logging.config.dictConfig(_logging(settings, level, "stderr"))
        log_uncaught()


def log_uncaught() -> None:
    """Log warnings, and exceptions that end the program or a thread: Python would print them with their secrets."""
    logging.captureWarnings(capture=True)
    logger = logging.getLogger(__name__)

    def at_exit(kind: type[BaseException], error: BaseException, _: object) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        logger.critical("The program ended with an error", exc_info=error)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "a thread"
        logger.critical("%s ended with an error", name, exc_info=args.exc_value)

    sys.excepthook, threading.excepthook = at_exit, in_thread
